//! One round of one driver: a process of its own, with the sink in a thread of this one.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use compare_support::Error;
use compare_support::meter::Report;
use compare_support::plan::Plan;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::scenario::{Driver, Placement};
use crate::sink;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a round measured, a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub seconds: f64,
    pub rate: f64,
    pub cpu_us: f64,
    pub switches: f64,
    pub rss_mib: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

enum Happened {
    Complete(u64),
    SinkEnded(Result<(), Error>),
    Output(Result<String, Error>),
}

/// Ends the process, whatever happens to the round.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // The group holds what a counting parent has started.
        let group = i32::try_from(self.0.id()).map(Pid::from_raw);
        if let (Ok(None), Ok(group)) = (self.0.try_wait(), group) {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.0.wait();
    }
}

/// The processors that this process may use.
pub fn processors() -> Result<Vec<usize>, Error> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

fn keep_to(processors: &[usize]) -> Result<(), Error> {
    let mut set = CpuSet::new();
    for cpu in processors {
        set.set(*cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

pub struct Runner {
    /// Where the drivers' programs are.
    pub directory: PathBuf,
    pub processors: Vec<usize>,
    /// Where the system calls are counted, if they can be.
    pub counts: Option<PathBuf>,
}

impl Runner {
    /// Whether `perf` counts system calls here.
    pub fn can_count(at: &Path) -> bool {
        let mut command = counting(at);
        command.arg("true").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success()) && read_count(at).is_ok()
    }

    /// Runs a driver under `perf`: system calls a message, connecting and all.
    pub fn count_system_calls(&self, driver: &Driver, plan: &Plan, placement: Placement) -> Result<f64, Error> {
        let counts = self.counts.as_ref().ok_or("system calls cannot be counted here")?;
        let mut command = counting(counts);
        command.arg(driver.program(&self.directory));
        self.play(command, driver, plan, placement)?;
        Ok(read_count(counts)? / plan.messages as f64)
    }

    pub fn run(&self, driver: &Driver, plan: &Plan, placement: Placement) -> Result<Measured, Error> {
        self.play(Command::new(driver.program(&self.directory)), driver, plan, placement)
    }

    fn play(
        &self,
        mut command: Command,
        driver: &Driver,
        plan: &Plan,
        placement: Placement,
    ) -> Result<Measured, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut plan = plan.clone();
        plan.port = listener.local_addr()?.port();
        let (sender, happened) = mpsc::channel();
        let served = (plan.clone(), placement.of_sink(&self.processors).to_vec(), sender.clone());
        let sink = thread::spawn(move || serve(listener, &served.0, &served.1, &served.2));
        // The child inherits the processors of the thread that starts it.
        keep_to(placement.of_driver(&self.processors))?;
        command.envs(driver.setting);
        command.args(plan.to_args()).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = Running(command.spawn()?);
        let mut output = child.0.stdout.take().ok_or("no output")?;
        thread::spawn(move || {
            let mut text = String::new();
            let outcome = output.read_to_string(&mut text).map(|_| text).map_err(Error::from);
            let _ = sender.send(Happened::Output(outcome));
        });
        let (complete_ns, report) = watch(&mut child.0, &happened)?;
        sink.join().map_err(|_| "the sink has panicked")?;
        measure(&plan, complete_ns, &report)
    }
}

fn counting(counts: &Path) -> Command {
    let mut command = Command::new("perf");
    command.args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o"]).arg(counts).arg("--");
    command
}

fn read_count(counts: &Path) -> Result<f64, Error> {
    let text = std::fs::read_to_string(counts)?;
    let line = text.lines().find(|line| line.contains("sys_enter")).ok_or("perf has not counted")?;
    Ok(line.split(',').next().unwrap_or("").parse()?)
}

fn serve(listener: TcpListener, plan: &Plan, processors: &[usize], happened: &Sender<Happened>) {
    let outcome = keep_to(processors).and_then(|()| {
        sink::serve(&listener, plan, |end_ns| {
            let _ = happened.send(Happened::Complete(end_ns));
        })
    });
    let _ = happened.send(Happened::SinkEnded(outcome));
}

/// Waits for the sink to have everything, releases the driver, and takes its report.
fn watch(child: &mut Child, happened: &Receiver<Happened>) -> Result<(u64, Report), Error> {
    let mut release = child.stdin.take();
    let (mut complete, mut ended, mut report) = (None, false, None);
    while complete.is_none() || !ended || report.is_none() {
        match happened.recv_timeout(PATIENCE).map_err(|_| format!("nothing has happened for {PATIENCE:?}"))? {
            Happened::Complete(end_ns) => {
                complete = Some(end_ns);
                release = None;
            }
            Happened::SinkEnded(outcome) => {
                outcome?;
                ended = true;
            }
            Happened::Output(text) => report = Some(Report::from_line(&text?)?),
        }
    }
    drop(release);
    let status = child.wait()?;
    match (complete, report) {
        (Some(complete), Some(report)) if status.success() => Ok((complete, report)),
        _ => Err(format!("the driver has failed: {status}").into()),
    }
}

fn measure(plan: &Plan, complete_ns: u64, report: &Report) -> Result<Measured, Error> {
    if report.done != plan.messages as u64 {
        return Err(format!("the driver counted {} of {} messages", report.done, plan.messages).into());
    }
    let end_ns = report.end_ns.max(complete_ns);
    let messages = plan.messages as f64;
    let seconds = end_ns.saturating_sub(report.start_ns) as f64 / 1e9;
    Ok(Measured {
        seconds,
        rate: messages / seconds,
        cpu_us: report.cpu_us as f64 / messages,
        switches: report.switches as f64 / messages,
        rss_mib: report.rss_kib as f64 / 1024.0,
        p50_us: report.p50_ns as f64 / 1e3,
        p99_us: report.p99_ns as f64 / 1e3,
    })
}
