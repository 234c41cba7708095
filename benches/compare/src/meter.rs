//! The clock, the use of the processor and of memory, and the line in which a driver reports them.

use std::fmt::Write as _;
use std::io::Read;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

use crate::Error;

/// Nanoseconds on a clock that all processes share.
pub fn now_ns() -> Result<u64, Error> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(time.num_nanoseconds())?)
}

/// What a driver reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub start_ns: u64,
    /// When the driver saw its last message, or the end of its last publish.
    pub end_ns: u64,
    /// Time on a processor, of the program and of the system for it.
    pub cpu_us: u64,
    pub switches: u64,
    /// The most memory the process ever held.
    pub rss_kib: u64,
    /// Publishes that ended well, or messages handled.
    pub done: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
}

impl Report {
    fn fields(&mut self) -> [(&'static str, &mut u64); 8] {
        [
            ("start_ns", &mut self.start_ns),
            ("end_ns", &mut self.end_ns),
            ("cpu_us", &mut self.cpu_us),
            ("switches", &mut self.switches),
            ("rss_kib", &mut self.rss_kib),
            ("done", &mut self.done),
            ("p50_ns", &mut self.p50_ns),
            ("p99_ns", &mut self.p99_ns),
        ]
    }

    pub fn to_line(mut self) -> String {
        let mut line = String::new();
        for (name, value) in self.fields() {
            let _ = write!(line, "{name}={value} ");
        }
        line
    }

    /// Reads a line; what it does not name is 0.
    pub fn from_line(line: &str) -> Result<Self, Error> {
        let mut report = Self::default();
        for word in line.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word:?} in a report"))?;
            let mut fields = report.fields();
            let field = fields.iter_mut().find(|(known, _)| *known == name);
            *field.ok_or_else(|| format!("{name:?} in a report"))?.1 = value.parse()?;
        }
        Ok(report)
    }
}

/// Measures a driver from the first message on.
pub struct Meter {
    start_ns: u64,
    usage: Usage,
}

impl Meter {
    pub fn start() -> Result<Self, Error> {
        Ok(Self { usage: getrusage(UsageWho::RUSAGE_SELF)?, start_ns: now_ns()? })
    }

    /// Reports on standard output. It is called when the driver is [released](wait_for_release), so that late
    /// acknowledgements count.
    pub fn finish(self, end_ns: u64, done: usize, round_trips: &mut [u64]) -> Result<(), Error> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        round_trips.sort_unstable();
        let percentile = |percent: usize| {
            let place = (round_trips.len() * percent / 100).min(round_trips.len().saturating_sub(1));
            round_trips.get(place).copied().unwrap_or(0)
        };
        let report = Report {
            start_ns: self.start_ns,
            end_ns,
            cpu_us: u64::try_from(cpu_us(&usage) - cpu_us(&self.usage))?,
            switches: u64::try_from(switches(&usage) - switches(&self.usage))?,
            rss_kib: peak_rss_kib()?,
            done: done as u64,
            p50_ns: percentile(50),
            p99_ns: percentile(99),
        };
        println!("{}", report.to_line());
        Ok(())
    }
}

fn cpu_us(usage: &Usage) -> i64 {
    usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
}

fn switches(usage: &Usage) -> i64 {
    usage.voluntary_context_switches() + usage.involuntary_context_switches()
}

/// The high-water mark of this program alone: that of `getrusage` begins with the parent's.
fn peak_rss_kib() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Blocks until the runner closes standard input: the sink has everything then.
pub fn wait_for_release() -> Result<(), Error> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
