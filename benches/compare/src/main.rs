//! Runs every driver in every scenario, round by round, and prints what it measured. `run` beside Cargo.toml builds
//! everything and starts this.

mod round;
mod scenario;
mod sink;
mod table;
mod targets;

use std::collections::HashMap;
use std::process::ExitCode;

use compare_support::Error;
use round::Runner;
use scenario::{DRIVERS, Driver, Kind, PLACEMENTS, Placement, SCENARIOS, Scenario};
use table::{Row, Table};

/// What the script beside Cargo.toml prints for `--help`, too.
const USAGE: &str = include_str!("usage.txt");

struct Args {
    rounds: usize,
    scenarios: Vec<String>,
    drivers: Vec<String>,
    placements: Vec<Placement>,
    seconds: f64,
    quick: bool,
    system_calls: bool,
}

impl Args {
    fn read() -> Result<Self, Error> {
        let mut args = Self {
            rounds: 5,
            scenarios: Vec::new(),
            drivers: Vec::new(),
            placements: Vec::new(),
            seconds: 0.5,
            quick: false,
            system_calls: true,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--rounds" => args.rounds = value()?.parse()?,
                "--scenario" => args.scenarios.push(value()?),
                "--driver" => args.drivers.push(value()?),
                "--seconds" => args.seconds = value()?.parse()?,
                "--pin" => {
                    let name = value()?;
                    let known = PLACEMENTS.into_iter().find(|placement| placement.name() == name);
                    args.placements.push(known.ok_or_else(|| format!("{name:?} is no placement\n{USAGE}"))?);
                }
                "--quick" => args.quick = true,
                "--no-system-calls" => args.system_calls = false,
                _ => return Err(format!("{word:?} is unknown\n{USAGE}").into()),
            }
        }
        if args.placements.is_empty() {
            args.placements = PLACEMENTS.to_vec();
        }
        if args.quick {
            args.rounds = 1;
            args.system_calls = false;
        }
        Ok(args)
    }
}

struct Comparison {
    args: Args,
    runner: Runner,
    drivers: Vec<Driver>,
    /// How many messages a driver sends in a scenario.
    counts: HashMap<(&'static str, &'static str), usize>,
}

fn main() -> ExitCode {
    match compare() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("{failed} rows have failed.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<usize, Error> {
    let args = Args::read()?;
    let processors = round::processors()?;
    let directory = std::env::current_exe()?.parent().ok_or("this program lies nowhere")?.to_path_buf();
    let (there, missing): (Vec<Driver>, Vec<Driver>) =
        DRIVERS.into_iter().partition(|driver| driver.program(&directory).is_file());
    for driver in &missing {
        println!("{} is left out: its driver is not built.", driver.name);
    }
    let wanted = |driver: &Driver| {
        matches!(driver.kind, Kind::Limit | Kind::Ours) || args.drivers.iter().any(|part| driver.name.contains(part))
    };
    let drivers = there.into_iter().filter(|driver| args.drivers.is_empty() || wanted(driver)).collect();
    let counts = std::env::temp_dir().join(format!("flowsdk-compare-{}", std::process::id()));
    let counting = args.system_calls && Runner::can_count(&counts);
    if args.system_calls && !counting {
        println!("System calls are not counted: perf is not here, or may not.");
    }
    let runner = Runner { directory, processors, counts: counting.then(|| counts.clone()) };
    let mut comparison = Comparison { args, runner, drivers, counts: HashMap::new() };
    let outcome = comparison.run();
    let _ = std::fs::remove_file(counts);
    outcome
}

impl Comparison {
    /// How many rows have failed.
    fn run(&mut self) -> Result<usize, Error> {
        let mut tables = Vec::new();
        for placement in self.args.placements.clone() {
            if self.runner.processors.len() < 2 && placement == Placement::Pinned {
                println!("Pinned is left out: it needs two processors.");
                continue;
            }
            for scenario in SCENARIOS.iter().filter(|scenario| placement.takes(scenario)) {
                let parts = &self.args.scenarios;
                if parts.is_empty() || parts.iter().any(|part| scenario.name.contains(part)) {
                    let table = self.table(*scenario, placement);
                    if self.args.quick {
                        table.print_failures()
                    } else {
                        table.print()
                    }
                    tables.push(table);
                }
            }
        }
        if !self.args.quick {
            targets::print(&tables);
        }
        Ok(tables.iter().flat_map(|table| &table.rows).filter(|row| row.failure.is_some()).count())
    }

    fn table(&mut self, scenario: Scenario, placement: Placement) -> Table {
        let drivers = self.drivers.clone();
        let mut rows: Vec<Row> = drivers
            .into_iter()
            .filter(|driver| (driver.takes)(&scenario))
            .map(|driver| Row { driver, rounds: Vec::new(), system_calls: None, failure: None })
            .collect();
        for row in &mut rows {
            if let Err(error) = self.calibrate(&row.driver, &scenario, placement) {
                row.failure = Some(error.to_string());
            }
        }
        let len = rows.len();
        for round in 0..self.args.rounds {
            // Another one is first in each round.
            for place in 0..len {
                let row = &mut rows[(round + place) % len];
                if row.failure.is_none() {
                    match self.round(&row.driver, &scenario, placement) {
                        Ok(measured) => row.rounds.push(measured),
                        Err(error) => row.failure = Some(error.to_string()),
                    }
                }
            }
        }
        for row in rows.iter_mut().filter(|row| row.failure.is_none() && self.runner.counts.is_some()) {
            let plan = scenario.plan(self.messages(&row.driver, &scenario));
            match self.runner.count_system_calls(&row.driver, &plan, placement) {
                Ok(count) => row.system_calls = Some(count),
                Err(error) => row.failure = Some(error.to_string()),
            }
        }
        Table { scenario, placement, rows }
    }

    fn messages(&self, driver: &Driver, scenario: &Scenario) -> usize {
        self.counts.get(&(driver.name, scenario.name)).copied().unwrap_or(scenario.few)
    }

    fn round(&self, driver: &Driver, scenario: &Scenario, placement: Placement) -> Result<round::Measured, Error> {
        let plan = scenario.plan(self.messages(driver, scenario));
        self.runner.run(driver, &plan, placement)
    }

    /// Finds how many messages make a round as long as asked for.
    fn calibrate(&mut self, driver: &Driver, scenario: &Scenario, placement: Placement) -> Result<(), Error> {
        let wanted = self.args.seconds;
        if self.args.quick || self.counts.contains_key(&(driver.name, scenario.name)) {
            return Ok(());
        }
        let mut messages = scenario.few;
        for _ in 0..8 {
            let seconds = self.runner.run(driver, &scenario.plan(messages), placement)?.seconds;
            let factor = (wanted / seconds).clamp(0.1, 20.0);
            messages = ((messages as f64 * factor) as usize).max(scenario.few / 2);
            if seconds > wanted / 4.0 {
                break;
            }
        }
        self.counts.insert((driver.name, scenario.name), messages);
        Ok(())
    }
}
