//! What the client does in a second, and what a message costs.
//!
//! `cargo bench --bench client` starts mosquitto on a free loopback port if it is on the PATH; `-- --broker HOST:PORT`
//! uses yours. Allocations are counted in the whole process, against a peer that makes none.

#[path = "../tests/support/mod.rs"]
mod support;

use std::alloc::System;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::client::{ConnectionResult, PublishResult, SubscribeResult};
use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ClientError, MqttClientOptions, MqttEventHandler, MqttPublish,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::mosquitto::Mosquitto;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 5;
const MESSAGES: usize = 200_000;
const ROUND_TRIPS: usize = 2_000;
const PAYLOAD: [u8; 64] = [b'x'; 64];
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Counts {
    published: AtomicUsize,
    failed: AtomicUsize,
    received: AtomicUsize,
}

struct Handler {
    counts: Arc<Counts>,
    signals: Sender<()>,
}

impl MqttEventHandler for Handler {
    fn on_connected(&mut self, result: &ConnectionResult) {
        assert!(result.is_success(), "{}", result.reason_description());
        let _ = self.signals.send(());
    }

    fn on_subscribed(&mut self, result: &SubscribeResult) {
        assert!(result.is_success());
        let _ = self.signals.send(());
    }

    fn on_published(&mut self, result: &PublishResult) {
        self.counts.failed.fetch_add(usize::from(!result.is_success()), Ordering::Relaxed);
        self.counts.published.fetch_add(1, Ordering::Release);
    }

    fn on_message_received(&mut self, _publish: &MqttPublish<'_>) {
        self.counts.received.fetch_add(1, Ordering::Release);
    }
}

struct Bench {
    client: AsyncMqttClient,
    counts: Arc<Counts>,
    signals: Receiver<()>,
}

impl Bench {
    fn start(peer: &str) -> Result<Self, Box<dyn Error>> {
        let options = MqttClientOptions { peer: peer.to_string(), ..Default::default() };
        let config = AsyncClientConfig { command_queue_size: 1024, ..Default::default() };
        let counts = Arc::new(Counts::default());
        let (sender, signals) = mpsc::channel();
        let handler = Handler { counts: Arc::clone(&counts), signals: sender };
        let client = AsyncMqttClient::new(options, Box::new(handler), config)?;
        client.connect()?;
        signals.recv_timeout(PATIENCE)?;
        Ok(Self { client, counts, signals })
    }

    /// Publishes messages and waits until each has ended well; seconds.
    fn publish(&self, qos: u8, messages: usize) -> Result<f64, Box<dyn Error>> {
        let before = self.counts.published.load(Ordering::Acquire);
        let start = Instant::now();
        for _ in 0..messages {
            while let Err(error) = self.client.publish("bench/topic", &PAYLOAD, qos, false) {
                if error != ClientError::QueueFull {
                    return Err(error.into());
                }
                thread::yield_now();
            }
        }
        wait_for(&self.counts.published, before + messages)?;
        let seconds = start.elapsed().as_secs_f64();
        match self.counts.failed.load(Ordering::Relaxed) {
            0 => Ok(seconds),
            failed => Err(format!("{failed} messages failed").into()),
        }
    }

    fn round_trips(&self) -> Result<Vec<Duration>, Box<dyn Error>> {
        self.client.subscribe("bench/echo", 0)?;
        self.signals.recv_timeout(PATIENCE)?;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        for _ in 0..ROUND_TRIPS {
            let before = self.counts.received.load(Ordering::Acquire);
            let start = Instant::now();
            self.client.publish("bench/echo", &PAYLOAD, 0, false)?;
            wait_for(&self.counts.received, before + 1)?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    }
}

/// Waits actively: this thread measures.
fn wait_for(counter: &AtomicUsize, target: usize) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    while counter.load(Ordering::Acquire) < target {
        if Instant::now() > deadline {
            return Err(format!("{} of {target} after {PATIENCE:?}", counter.load(Ordering::Acquire)).into());
        }
        thread::yield_now();
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let given = args.iter().position(|arg| arg == "--broker").and_then(|at| args.get(at + 1)).cloned();
    let started = match &given {
        None if Mosquitto::is_installed() => Some(Mosquitto::start("max_inflight_messages 0")?),
        _ => None,
    };
    match given.or(started.as_ref().map(|broker| broker.address().to_string())) {
        Some(peer) => throughput(&peer)?,
        None => println!("throughput and round trip: not measured, mosquitto is not on the PATH"),
    }
    allocations()
}

fn throughput(peer: &str) -> Result<(), Box<dyn Error>> {
    let bench = Bench::start(peer)?;
    let (mut qos0, mut qos1) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        qos0.push(MESSAGES as f64 / bench.publish(0, MESSAGES)?);
        qos1.push(MESSAGES as f64 / bench.publish(1, MESSAGES)?);
    }
    println!("publish QoS 0, {} B payload: {:>9.0} messages/s (median of {ROUNDS})", PAYLOAD.len(), median(&mut qos0));
    println!("publish QoS 1, {} B payload: {:>9.0} messages/s (median of {ROUNDS})", PAYLOAD.len(), median(&mut qos1));
    let times = bench.round_trips()?;
    let (middle, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("round trip of one message: {middle:?} median, {p99:?} p99 of {ROUND_TRIPS}");
    bench.client.shutdown()?;
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn allocations() -> Result<(), Box<dyn Error>> {
    for qos in [0, 1] {
        let (peer, sink) = Peer::start(Peer::acknowledge)?;
        let bench = Bench::start(&peer)?;
        bench.publish(qos, MESSAGES)?;
        let region = Region::new(ALLOCATOR);
        let seconds = bench.publish(qos, MESSAGES)?;
        report(&format!("published message, QoS {qos}"), &region, seconds);
        bench.client.shutdown()?;
        sink.join().map_err(|_| "the sink has panicked")??;
    }
    let (peer, source) = Peer::start(Peer::pour)?;
    let bench = Bench::start(&peer)?;
    wait_for(&bench.counts.received, MESSAGES / 2)?;
    let (region, start) = (Region::new(ALLOCATOR), Instant::now());
    let seen = bench.counts.received.load(Ordering::Acquire);
    wait_for(&bench.counts.received, 2 * MESSAGES)?;
    let count = (2 * MESSAGES - seen) as f64;
    println!(
        "received message, QoS 0: {:.4} allocations, {:.0} messages/s from a peer in this process",
        region.change().allocations as f64 / count,
        count / start.elapsed().as_secs_f64()
    );
    bench.client.shutdown()?;
    source.join().map_err(|_| "the source has panicked")??;
    Ok(())
}

fn report(what: &str, region: &Region<'_, System>, seconds: f64) {
    let change = region.change();
    let per = |count: usize| count as f64 / MESSAGES as f64;
    println!(
        "{what}: {:.3} allocations, {:.3} reallocations, {:.0} messages/s to a peer in this process",
        per(change.allocations),
        per(change.reallocations),
        MESSAGES as f64 / seconds
    );
}

/// A peer that allocates nothing while it is measured.
struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

type Joiner = thread::JoinHandle<std::io::Result<()>>;

impl Peer {
    fn start(play: fn(Self) -> std::io::Result<()>) -> std::io::Result<(String, Joiner)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let joiner = thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let mut buffer = vec![0; 1 << 20];
            let _connect = stream.read(&mut buffer)?;
            stream.write_all(&[0x20, 3, 0, 0, 0])?;
            play(Self { stream, buffer })
        });
        Ok((address, joiner))
    }

    /// Answers each QoS 1 PUBLISH until the client leaves.
    fn acknowledge(mut self) -> std::io::Result<()> {
        let mut answers = Vec::with_capacity(1 << 20);
        let mut filled = 0;
        loop {
            let len = self.stream.read(&mut self.buffer[filled..])?;
            if len == 0 {
                return Ok(());
            }
            filled += len;
            let mut at = 0;
            // Every packet here is shorter than 128 bytes, so its length is one byte.
            while at + 2 <= filled && at + 2 + usize::from(self.buffer[at + 1]) <= filled {
                if self.buffer[at] == 0x32 {
                    let id = at + 4 + usize::from(self.buffer[at + 3]);
                    answers.extend_from_slice(&[0x40, 2, self.buffer[id], self.buffer[id + 1]]);
                }
                at += 2 + usize::from(self.buffer[at + 1]);
            }
            self.buffer.copy_within(at..filled, 0);
            filled -= at;
            self.stream.write_all(&answers)?;
            answers.clear();
        }
    }

    /// Sends QoS 0 messages.
    fn pour(mut self) -> std::io::Result<()> {
        let mut packet = vec![0x30, 8 + 64, 0, 5];
        packet.extend_from_slice(b"bench\0");
        packet.extend_from_slice(&PAYLOAD);
        let many = packet.repeat(1000);
        for _ in 0..2 * MESSAGES / 1000 {
            self.stream.write_all(&many)?;
        }
        // DISCONNECT and the end.
        while self.stream.read(&mut self.buffer)? > 0 {}
        Ok(())
    }
}
