//! What many clients on one runtime cost, what handlers by topic cost, and what spinning is worth.
//!
//! `cargo bench --bench scale`. The broker is a sink of our own in another process, so that memory and threads are the
//! client's alone. Memory, CPU time and wake-ups come from `/proc`, and are left out where there is none. A thousand
//! clients need as many file descriptors: `ulimit -n 4096`.

#[path = "scale/sink.rs"]
mod sink;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, BatchMessage, CallbackMode, ConnectionResult, MqttClientOptions,
    MqttEventHandler, PublishOptions, PublishResult, Runtime, Threads,
};

const CLIENTS: usize = 1_000;
const EACH: usize = 500;
const BATCH: usize = 10;
const PRODUCERS: usize = 2;
const POURED: usize = 200_000;
const ROUND_TRIPS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "scale";

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 3]>);

impl Counts {
    fn wait(&self, which: usize, target: usize) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        while self.0[which].load(Ordering::Acquire) < target {
            if Instant::now() > deadline {
                return Err(format!("{} of {target}", self.0[which].load(Ordering::Acquire)).into());
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn add(&self, which: usize) {
        self.0[which].fetch_add(1, Ordering::Release);
    }
}

const CONNECTED: usize = 0;
const PUBLISHED: usize = 1;
const RECEIVED: usize = 2;

struct Handler(Counts);

impl MqttEventHandler for Handler {
    fn on_connected(&mut self, result: &ConnectionResult) {
        assert!(result.is_success());
        self.0.add(CONNECTED);
    }

    fn on_published(&mut self, result: &PublishResult) {
        assert!(result.is_success(), "{result:?}");
        self.0.add(PUBLISHED);
    }
}

struct Sink {
    process: Child,
    address: String,
}

impl Sink {
    fn start() -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut process = command.arg(sink::ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        Ok(Self { process, address: address.trim().to_string() })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

fn main() -> Outcome {
    if std::env::args().any(|argument| argument == sink::ARGUMENT) {
        return Ok(sink::run()?);
    }
    let sink = Sink::start()?;
    thousand(&sink.address)?;
    handlers_by_topic(&sink.address)?;
    spinning(&sink.address)
}

fn client(address: &str, counts: &Counts, threads: Threads) -> Outcome<AsyncMqttClient> {
    let options = MqttClientOptions { peer: address.to_string(), threads, ..Default::default() };
    let client = AsyncMqttClient::new(options, Box::new(Handler(counts.clone())), AsyncClientConfig::default())?;
    client.connect()?;
    Ok(client)
}

fn thousand(address: &str) -> Outcome {
    let runtime = Runtime::named(NAME)?;
    let counts = Counts::default();
    let threads = || Threads { runtime: Some(runtime.clone()), ..Default::default() };
    // The threads and the buffers that all share are there before memory is looked at.
    let first = client(address, &counts, threads())?;
    counts.wait(CONNECTED, 1)?;

    let (before, start) = (resident(), Instant::now());
    let clients: Vec<_> = (0..CLIENTS).map(|_| client(address, &counts, threads())).collect::<Result<_, _>>()?;
    counts.wait(CONNECTED, CLIENTS + 1)?;
    println!("{CLIENTS} clients on one runtime: connected in {:?}", start.elapsed());
    report_memory("connected", before);

    // The callback of the last answer ends.
    thread::sleep(IDLE / 10);
    let (switches, cpu) = (worker("status"), worker("schedstat"));
    thread::sleep(IDLE);
    if let (Some(switches), Some(cpu)) = (switches.zip(worker("status")), cpu.zip(worker("schedstat"))) {
        println!(
            "  idle for {IDLE:?}: {} wake-ups, {} µs of CPU time",
            switches.1 - switches.0,
            (cpu.1 - cpu.0) / 1000
        );
    }

    let start = Instant::now();
    thread::scope(|scope| {
        for part in clients.chunks(CLIENTS.div_ceil(PRODUCERS)) {
            scope.spawn(move || publish(part));
        }
    });
    counts.wait(PUBLISHED, CLIENTS * EACH)?;
    let rate = (CLIENTS * EACH) as f64 / start.elapsed().as_secs_f64();
    println!("  QoS 1, {EACH} messages of each: {rate:.0} messages/s in total");
    report_memory("after that", before);
    let start = Instant::now();
    runtime.shutdown(PATIENCE)?;
    println!("  shut down in {:?}", start.elapsed());
    drop((first, clients));
    Ok(())
}

/// Publishes at QoS 1 by batches, from one client after the other.
fn publish(clients: &[AsyncMqttClient]) {
    let options = PublishOptions { qos: 1, ..Default::default() };
    let batch = [BatchMessage { topic: "scale/topic", payload: &[b'x'; 64], options: &options }; BATCH];
    for _ in 0..EACH / BATCH {
        for client in clients {
            assert_eq!(client.publish_batch(&batch, PATIENCE).accepted, BATCH);
        }
    }
}

fn handlers_by_topic(address: &str) -> Outcome {
    println!("handlers by topic, a message for one of them:");
    for handlers in [1, 100, 1_000, 10_000] {
        let counts = Counts::default();
        let client = client(address, &counts, Threads::default())?;
        for number in 0..handlers {
            let counts = counts.clone();
            // A third of the filters has a wildcard.
            let filter = if number % 3 == 0 { format!("s/{number}/+") } else { format!("s/{number}/t") };
            client.add_topic_handler(&filter, move |_| counts.add(RECEIVED))?;
        }
        counts.wait(CONNECTED, 1)?;
        let start = Instant::now();
        client.publish("pour", format!("{POURED} {handlers}").as_bytes(), 0, false)?;
        counts.wait(RECEIVED, POURED)?;
        let nanos = start.elapsed().as_nanos() / POURED as u128;
        println!("  {handlers:>6} handlers: {nanos} ns/message, the network and the sink included");
        client.shutdown()?;
    }
    Ok(())
}

fn spinning(address: &str) -> Outcome {
    println!("round trip of a publish of QoS 1, and the worker's CPU time for it:");
    for (callbacks, spin) in [
        (CallbackMode::Thread, Duration::ZERO),
        (CallbackMode::Thread, Duration::from_micros(50)),
        (CallbackMode::Worker, Duration::ZERO),
        (CallbackMode::Worker, Duration::from_micros(50)),
    ] {
        let runtime = Runtime::named(NAME)?;
        let counts = Counts::default();
        let client = client(address, &counts, Threads { runtime: Some(runtime), callbacks, spin })?;
        counts.wait(CONNECTED, 1)?;
        let cpu = worker("schedstat");
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for number in 0..ROUND_TRIPS {
            let start = Instant::now();
            client.publish("t", b"x", 1, false)?;
            while counts.0[PUBLISHED].load(Ordering::Acquire) <= number {
                thread::yield_now();
            }
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let cpu = worker("schedstat").zip(cpu).map(|(after, before)| (after - before) / 1000 / ROUND_TRIPS as u64);
        println!(
            "  callbacks by {callbacks:?}, spin {spin:?}: {:?} median, {:?} p99, {cpu:?} µs of CPU time",
            times[ROUND_TRIPS / 2],
            times[ROUND_TRIPS * 99 / 100]
        );
        client.shutdown()?;
    }
    Ok(())
}

fn report_memory(when: &str, before: Option<usize>) {
    if let Some((before, now)) = before.zip(resident()) {
        println!(
            "  memory {when}: {:.1} KiB for each client",
            now.saturating_sub(before) as f64 / 1024.0 / CLIENTS as f64
        );
    }
}

/// Bytes of memory that this process has.
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

/// A number of both threads of the runtime: how often they slept, or their nanoseconds on a CPU.
fn worker(what: &str) -> Option<u64> {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).ok();
    let mut sum = None;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        if !read(task.path().join("comm"))?.starts_with(NAME) || task.file_name() == *std::process::id().to_string() {
            continue;
        }
        let text = read(task.path().join(what))?;
        let number = match text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")) {
            Some(switches) => switches,
            None => text.split(' ').next()?,
        };
        sum = Some(sum.unwrap_or(0) + number.trim().parse::<u64>().ok()?);
    }
    sum
}
