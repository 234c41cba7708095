//! The rows of one scenario in one placement: medians, and ratios taken round by round.

use compare_support::plan::Mode;

use crate::round::Measured;
use crate::scenario::{Driver, Kind, Placement, Scenario};

/// What one driver did in one scenario.
pub struct Row {
    pub driver: Driver,
    pub rounds: Vec<Measured>,
    pub system_calls: Option<f64>,
    pub failure: Option<String>,
}

impl Row {
    pub fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// Ours in the same process as each of theirs: what disturbs the machine disturbs both.
    fn ratio(&self, other: &Self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.rounds.iter().zip(&other.rounds).map(|(ours, theirs)| of(ours) / of(theirs)).collect())
    }

    fn spread(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let values: Vec<f64> = self.rounds.iter().map(of).collect();
        let (low, high) = values.iter().fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
        (high - low) / median(values) / 2.0
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// All rows of one scenario in one placement.
pub struct Table {
    pub scenario: Scenario,
    pub placement: Placement,
    pub rows: Vec<Row>,
}

impl Table {
    /// Messages a second, or microseconds of a round trip.
    pub fn value(&self, round: &Measured) -> f64 {
        if self.scenario.mode == Mode::Echo { round.p50_us } else { round.rate }
    }

    pub fn whole(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.failure.is_none() && !row.rounds.is_empty())
    }

    pub fn peers(&self) -> impl Iterator<Item = &Row> {
        self.whole().filter(|row| matches!(row.driver.kind, Kind::RustPeer | Kind::CPeer))
    }

    pub fn limit(&self) -> Option<&Row> {
        self.whole().find(|row| row.driver.kind == Kind::Limit)
    }

    pub fn best_peer(&self) -> Option<&Row> {
        let value = |row: &Row| row.median(|round| self.value(round));
        let better = |left: &&Row, right: &&Row| value(left).total_cmp(&value(right));
        if self.scenario.mode == Mode::Echo { self.peers().min_by(better) } else { self.peers().max_by(better) }
    }

    pub fn ratio(&self, row: &Row, other: &Row) -> f64 {
        row.ratio(other, |round| self.value(round))
    }

    pub fn print(&self) {
        let echo = self.scenario.mode == Mode::Echo;
        println!("\n### {}, {}\n", self.scenario.name, self.placement.name());
        println!(
            "| | {} | spread | of TCP | of best peer | CPU µs | switches | system calls | peak RSS MiB |",
            if echo { "median µs (p99)" } else { "messages/s" }
        );
        println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
        for row in &self.rows {
            self.print_row(row);
        }
    }

    /// Few messages say nothing about speed: only who has delivered them.
    pub fn print_failures(&self) {
        println!(
            "{}, {}: {} of {} drivers",
            self.scenario.name,
            self.placement.name(),
            self.whole().count(),
            self.rows.len()
        );
        for (row, failure) in self.rows.iter().filter_map(|row| Some((row, row.failure.as_ref()?))) {
            println!("  {}: {failure}", row.driver.name);
        }
    }

    fn print_row(&self, row: &Row) {
        if let Some(failure) = &row.failure {
            println!("| {} | failed: {failure} | | | | | | | |", row.driver.name);
            return;
        }
        let value = row.median(|round| self.value(round));
        let value = if self.scenario.mode == Mode::Echo {
            format!("{value:.1} ({:.1})", row.median(|round| round.p99_us))
        } else {
            thousands(value)
        };
        let against = |other: Option<&Row>| match other {
            Some(other) => format!("{:.2}", self.ratio(row, other)),
            None => String::new(),
        };
        println!(
            "| {} | {value} | ±{:.0} % | {} | {} | {} | {} | {} | {:.1} |",
            row.driver.name,
            100.0 * row.spread(|round| self.value(round)),
            against(self.limit()),
            against(self.best_peer()),
            small(row.median(|round| round.cpu_us)),
            small(row.median(|round| round.switches)),
            row.system_calls.map(small).unwrap_or_default(),
            row.median(|round| round.rss_mib),
        );
    }
}

fn small(value: f64) -> String {
    if value < 1.0 { format!("{value:.4}") } else { format!("{value:.2}") }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
