//! One run: the client publishes to the peer and the peer to the client, while the link and the broker fail.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{MqttEvent, Outcome, Token};
use flowsdk::types::ProtocolVersion;

use crate::fixture::{Client, is_message, lasting, quick};
use crate::ledger::{Ledger, payload};
use crate::passage::Faulty;
use crate::peer::{self, Peer};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use crate::support::referee::{Faults, Referee, Side};

/// How long no message at all may arrive or end.
const STANDSTILL: Duration = Duration::from_secs(20);
/// How many messages of the client wait for their end at once.
const OUTSTANDING: usize = 1000;
/// What the memory of the process may grow by from the first quarter of a run on.
const MAX_GROWTH: usize = 24 << 20;

/// How much happens.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// For each QoS and direction.
    pub(crate) messages: usize,
    /// At least.
    pub(crate) cuts: usize,
    pub(crate) restarts: usize,
}

pub(crate) struct Run {
    pub(crate) broker: Mosquitto,
    pub(crate) version: ProtocolVersion,
    pub(crate) seed: u64,
    pub(crate) size: Size,
}

type Ledgers = Arc<[Mutex<Ledger>; 2]>;

/// How often each token has ended well, by its number, and otherwise.
struct Endings {
    acknowledged: Vec<u8>,
    others: Vec<(Token, Outcome)>,
}

/// What one run looks at.
struct Scene {
    size: Size,
    client: Client,
    proxy: Proxy,
    link: Arc<Faulty>,
    referee: Arc<Referee>,
    inbound: Ledgers,
    outbound: Ledgers,
    endings: Arc<Mutex<Endings>>,
    ended: Arc<AtomicUsize>,
    taken_over: Arc<AtomicUsize>,
    tokens: Vec<Token>,
    forced_cuts: usize,
    /// The number of the connection that was cut so.
    last_cut: usize,
    restarts: usize,
    memory: [usize; 2],
}

impl Run {
    pub(crate) fn go(mut self) {
        println!("seed {}", self.seed);
        let started = Instant::now();
        let mut scene = Scene::new(&self);
        let is_over = Arc::new(AtomicBool::new(false));
        let is_subscribed = Arc::new(AtomicBool::new(false));
        let peer = Peer::new(
            self.broker.address(),
            self.version.is_v5(),
            Arc::clone(&scene.referee),
            [&scene.outbound, &scene.inbound].map(Arc::clone),
            self.size.messages,
            Arc::clone(&is_over),
        );
        scene.client.connect_and_wait();
        scene.client.subscribed("down/+", 2);
        let flag = Arc::clone(&is_subscribed);
        let peer = thread::spawn(move || peer.run(&flag));
        while !is_subscribed.load(Ordering::SeqCst) && !peer.is_finished() {
            thread::park_timeout(Duration::from_millis(1));
        }
        let outcome = scene.exchange_everything(&mut self.broker);
        is_over.store(true, Ordering::SeqCst);
        scene.client.shutdown().unwrap();
        peer.join().expect("a peer without a panic").expect("a broker that keeps the session");
        println!(
            "{}{}",
            scene.figures(self.version),
            line("time", format!("{:.1} s", started.elapsed().as_secs_f64()))
        );
        outcome.unwrap_or_else(|standstill| panic!("{standstill}"));
        scene.judge();
    }
}

impl Scene {
    fn new(run: &Run) -> Self {
        let referee = Arc::new(Referee::default());
        let link = Faulty::new(run.seed, Arc::clone(&referee));
        let proxy = Proxy::start_with(run.broker.address(), Arc::clone(&link)).expect("a loopback port");
        let ledgers = || Arc::new([1, 2].map(|qos| Mutex::new(Ledger::new(qos, run.size.messages))));
        let (inbound, outbound) = (ledgers(), ledgers());
        let acknowledged = vec![0; 3 * run.size.messages];
        let endings = Arc::new(Mutex::new(Endings { acknowledged, others: Vec::new() }));
        let (ended, taken_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let told = (Arc::clone(&inbound), Arc::clone(&endings), Arc::clone(&ended), Arc::clone(&taken_over));
        let options = lasting(proxy.address(), "client", run.version);
        let client = Client::acting(options, quick(), move |_, event| {
            let (inbound, endings, ended, taken_over) = &told;
            match event {
                MqttEvent::MessageReceived(publish) => {
                    inbound[usize::from(publish.qos - 1)].lock().unwrap().take(&publish.payload);
                }
                MqttEvent::Published(result) => {
                    endings.lock().unwrap().note(result.token, result.outcome);
                    ended.fetch_add(1, Ordering::SeqCst);
                    return false;
                }
                // The broker came late to a connection that was cut before its CONNACK.
                MqttEvent::Disconnected(Some(0x8E)) => {
                    taken_over.fetch_add(1, Ordering::SeqCst);
                }
                _ => {}
            }
            !is_message(event)
        });
        Self {
            size: run.size,
            client,
            proxy,
            link,
            referee,
            inbound,
            outbound,
            endings,
            ended,
            taken_over,
            tokens: Vec::with_capacity(2 * run.size.messages),
            forced_cuts: 0,
            last_cut: 0,
            restarts: 0,
            memory: [0; 2],
        }
    }

    fn exchange_everything(&mut self, broker: &mut Mosquitto) -> Result<(), String> {
        let total = 6 * self.size.messages;
        let mut last = (0, Instant::now());
        while !self.is_complete() {
            self.publish();
            let progress = self.progress();
            if progress != last.0 {
                last = (progress, Instant::now());
            } else if last.1.elapsed() > STANDSTILL {
                return Err(format!("nothing more happens: {}\n{}", self.client.log.tail(), tail_of(&broker.log())));
            }
            let due = (self.size.cuts * progress).div_ceil(total);
            self.link.done().allowed_cuts.store(due + due / 2 + 5, Ordering::SeqCst);
            let connections = self.proxy.accepted();
            if self.cuts() < due && connections > self.last_cut {
                self.last_cut = connections;
                self.forced_cuts += 1;
                self.proxy.cut();
            }
            if self.restarts < self.size.restarts && progress > total * (self.restarts + 1) / (self.size.restarts + 1) {
                self.restarts += 1;
                broker.restart().map_err(|error| error.to_string())?;
            }
            if self.memory[0] == 0 && progress > total / 4 {
                self.memory[0] = self.memory();
            }
            if progress == total {
                break;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        self.memory[1] = self.memory();
        Ok(())
    }

    /// The last message waits for the last fault: however fast the others are, they meet all of them.
    fn publish(&mut self) {
        let has_failed_enough = self.cuts() >= self.size.cuts && self.restarts == self.size.restarts;
        while self.tokens.len() < 2 * self.size.messages - usize::from(!has_failed_enough)
            && self.tokens.len() - self.ended.load(Ordering::SeqCst) < OUTSTANDING
        {
            let (number, qos) = (self.tokens.len() / 2, self.tokens.len() as u8 % 2 + 1);
            let topic = if qos == 1 { "up/1" } else { "up/2" };
            self.tokens.push(self.client.publish(topic, &payload(qos, number), qos, false).expect("room for it"));
        }
    }

    /// How many of the messages have arrived, and of the client's have ended.
    fn progress(&self) -> usize {
        let arrived = self.inbound.iter().chain(&*self.outbound).map(|ledger| ledger.lock().unwrap().arrived);
        arrived.sum::<usize>() + self.ended.load(Ordering::SeqCst)
    }

    fn is_complete(&self) -> bool {
        let is_complete = |ledger: &Mutex<Ledger>| ledger.lock().unwrap().is_complete();
        let has_ended = self.ended.load(Ordering::SeqCst) >= 2 * self.size.messages;
        has_ended && self.inbound.iter().chain(&*self.outbound).all(is_complete)
    }

    /// What the process has in memory besides the notes about its wire.
    fn memory(&self) -> usize {
        resident_bytes("self").saturating_sub(self.referee.noted_bytes())
    }

    fn cuts(&self) -> usize {
        self.link.done().cuts.load(Ordering::SeqCst) + self.forced_cuts
    }

    fn figures(&self, version: ProtocolVersion) -> String {
        let done = self.link.done();
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        let Size { messages, .. } = self.size;
        let mut figures = format!("MQTT {version:?}, {messages} messages at each QoS in each direction\n");
        figures += &line("cuts", format!("{} at planned bytes, {} besides", count(&done.cuts), self.forced_cuts));
        figures += &line("broker restarts", self.restarts);
        figures += &line("connections", self.proxy.accepted());
        let [stalls, delays, splits] = [&done.stalls, &done.delays, &done.splits].map(count);
        figures += &line("link", format!("{stalls} stalls, {delays} delays, {splits} splits"));
        for (name, ledgers) in [("client to peer", &self.outbound), ("peer to client", &self.inbound)] {
            for ledger in ledgers.iter() {
                let ledger = ledger.lock().unwrap();
                let Ledger { qos, arrived, disordered, damaged, .. } = &*ledger;
                let repeated = ledger.repeated().len();
                let text = format!(
                    "{arrived} arrived, {repeated} repeated, {} out of order, {damaged} damaged",
                    disordered.len()
                );
                figures += &line(&format!("{name}, QoS {qos}"), text);
            }
        }
        for (name, client_id) in [("mosquitto to client", "client"), ("mosquitto to peer", peer::CLIENT_ID)] {
            figures += &line(name, self.referee.faults(client_id, Side::Broker));
        }
        let taken_over = count(&self.taken_over);
        figures += &line("taken over", format!("{taken_over} times by an older connection of its own"));
        figures += &line("tokens", format!("{} accepted, {} ended", self.tokens.len(), count(&self.ended)));
        let [before, after] = self.memory.map(|bytes| bytes / 1024);
        figures
            + &line(
                "resident memory",
                format!("{before} KiB after a quarter, {after} KiB at the end, without the notes"),
            )
    }

    fn judge(&self) {
        for (client_id, name) in [("client", "the client"), (peer::CLIENT_ID, "the peer")] {
            let faults = self.referee.faults(client_id, Side::Client);
            assert_eq!(faults.count(), 0, "{name}: {faults}");
        }
        self.judge_ledgers(&self.outbound, peer::CLIENT_ID);
        self.judge_ledgers(&self.inbound, "client");
        let endings = self.endings.lock().unwrap();
        assert!(endings.others.is_empty(), "{:?}", endings.others);
        for token in &self.tokens {
            assert_eq!(endings.count(*token), 1, "{token:?}");
        }
        let [before, after] = self.memory;
        assert!(after.saturating_sub(before) < MAX_GROWTH, "memory grew from {before} to {after} bytes");
        assert!(self.cuts() >= self.size.cuts && self.restarts == self.size.restarts);
    }

    /// What `receiver` has got from the broker.
    fn judge_ledgers(&self, ledgers: &Ledgers, receiver: &str) {
        let brokers = self.referee.faults(receiver, Side::Broker);
        for ledger in ledgers.iter() {
            let ledger = ledger.lock().unwrap();
            let qos = ledger.qos;
            assert_eq!(ledger.damaged, 0, "{receiver}, QoS {qos}: damaged payloads");
            assert!(ledger.missing().is_empty(), "{receiver}, QoS {qos}: {:?} missing", ledger.missing());
            assert!(ledger.disordered.is_empty(), "{receiver}, QoS {qos}: {:?} out of order", ledger.disordered);
            if qos == 2 {
                self.judge_repeated(&ledger, receiver, &brokers);
            }
        }
    }

    fn judge_repeated(&self, ledger: &Ledger, receiver: &str, brokers: &Faults) {
        let mut story = String::new();
        for number in ledger.repeated() {
            let payload = payload(2, number);
            if brokers.with(&payload).is_none() {
                let steps = self.referee.story(receiver, Side::Broker, &payload);
                let _ = writeln!(story, "{receiver} was given message {number} more than once:\n{steps}");
            }
        }
        assert!(story.is_empty(), "{story}");
    }
}

impl Endings {
    fn note(&mut self, token: Token, outcome: Outcome) {
        match usize::try_from(token.id()).ok().and_then(|id| self.acknowledged.get_mut(id)) {
            Some(count) if outcome == Outcome::Acknowledged => *count += 1,
            _ => self.others.push((token, outcome)),
        }
    }

    fn count(&self, token: Token) -> u8 {
        usize::try_from(token.id()).map_or(0, |id| self.acknowledged[id])
    }
}

fn line(name: &str, figure: impl std::fmt::Display) -> String {
    format!("  {name:<24} {figure}\n")
}

fn tail_of(log: &str) -> String {
    let lines: Vec<_> = log.lines().rev().take(40).collect();
    format!("the last of the broker's log:\n  {}", lines.into_iter().rev().collect::<Vec<_>>().join("\n  "))
}

/// What of a process is in memory, or 0 where the system does not say so.
pub(crate) fn resident_bytes(process: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse::<usize>().ok());
    kibibytes.unwrap_or(0) * 1024
}
