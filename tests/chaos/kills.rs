//! One run: the process of the client is killed again and again, at any moment, and goes on by what is in its file.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::InboundStorage;
use flowsdk::types::ProtocolVersion;

use crate::child::{Note, Task};
use crate::ledger::{Ledger, payload};
use crate::peer::{self, Peer};
use crate::random::Random;
use crate::run::resident_bytes;
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Passage, Proxy};
use crate::support::referee::{Referee, Side};
use crate::support::wire::{self, Splitter};
use crate::told::Told;

/// How long no message at all may arrive or end.
const STANDSTILL: Duration = Duration::from_secs(30);
/// What the memory of a life may be above that of the first.
const MAX_GROWTH: usize = 24 << 20;
/// What the file may have at the end: some hundred messages at once have passed through it.
const MAX_FILE: u64 = 32 << 20;

pub(crate) struct Kills {
    pub(crate) broker: Mosquitto,
    pub(crate) version: ProtocolVersion,
    pub(crate) inbound: InboundStorage,
    pub(crate) seed: u64,
    /// For each QoS and direction.
    pub(crate) messages: usize,
    pub(crate) kills: usize,
}

type Ledgers = Arc<[Mutex<Ledger>; 2]>;

/// Which messages of QoS 2 the client was sent and has not answered, by connection.
#[derive(Default)]
struct Watch {
    referee: Arc<Referee>,
    is_v5: bool,
    connections: Mutex<HashMap<usize, Seen>>,
}

#[derive(Default)]
struct Seen {
    splitters: [Splitter; 2],
    /// Numbers of messages without a PUBREC, by packet id.
    in_hand: HashMap<u16, usize>,
    /// Packet ids without a PUBCOMP.
    open: HashSet<u16>,
}

struct Scene<'r> {
    run: &'r Kills,
    task: Task,
    notes: BufReader<File>,
    rest: String,
    told: Told,
    watch: Arc<Watch>,
    referee: Arc<Referee>,
    inbound: Ledgers,
    outbound: Ledgers,
    proxy: Proxy,
    killed: usize,
    /// Of the lives, each at its end.
    memory: Vec<usize>,
}

impl Kills {
    pub(crate) fn go(self) {
        println!("seed {}", self.seed);
        let started = Instant::now();
        let mut scene = Scene::new(&self);
        let child = scene.first_life().expect("a client that subscribes");
        let is_over = Arc::new(AtomicBool::new(false));
        let is_subscribed = Arc::new(AtomicBool::new(false));
        let peer = Peer::new(
            self.broker.address(),
            self.version.is_v5(),
            Arc::clone(&scene.referee),
            [&scene.outbound, &scene.inbound].map(Arc::clone),
            self.messages,
            Arc::clone(&is_over),
        );
        let flag = Arc::clone(&is_subscribed);
        let peer = thread::spawn(move || peer.run(&flag));
        while !is_subscribed.load(Ordering::SeqCst) && !peer.is_finished() {
            thread::park_timeout(Duration::from_millis(1));
        }
        let outcome = scene.kill_again_and_again(child);
        is_over.store(true, Ordering::SeqCst);
        peer.join().expect("a peer without a panic").expect("a broker that keeps the session");
        println!("{}  {:<24} {:.1} s\n", scene.figures(), "time", started.elapsed().as_secs_f64());
        outcome.unwrap_or_else(|error| panic!("{error}"));
        scene.judge();
    }
}

impl<'r> Scene<'r> {
    fn new(run: &'r Kills) -> Self {
        let referee = Arc::new(Referee::default());
        let watch = Arc::new(Watch { referee: Arc::clone(&referee), is_v5: run.version.is_v5(), ..Watch::default() });
        let proxy = Proxy::start_with(run.broker.address(), Arc::clone(&watch)).expect("a loopback port");
        let name = format!("flowsdk-kills-{}-{:?}-{:?}", std::process::id(), run.version, run.inbound);
        let task = Task {
            directory: std::env::temp_dir().join(name),
            broker: proxy.address(),
            version: run.version,
            inbound: run.inbound,
            messages: run.messages,
        };
        fs::create_dir(&task.directory).expect("a directory of its own");
        File::create(task.notes()).expect("a file for notes");
        let notes = BufReader::new(File::open(task.notes()).expect("the notes"));
        let ledgers = || Arc::new([1, 2].map(|qos| Mutex::new(Ledger::new(qos, run.messages))));
        let (inbound, outbound) = (ledgers(), ledgers());
        let (told, rest) = (Told::default(), String::new());
        Self { run, task, notes, rest, told, watch, referee, inbound, outbound, proxy, killed: 0, memory: Vec::new() }
    }

    /// The session begins by it.
    fn first_life(&mut self) -> io::Result<Child> {
        let mut child = self.task.start()?;
        while !self.told.subscribed {
            if let Some(status) = child.try_wait()? {
                return Err(io::Error::other(format!("the first life has ended by {status}")));
            }
            self.read_notes();
            thread::park_timeout(Duration::from_millis(1));
        }
        Ok(child)
    }

    fn kill_again_and_again(&mut self, mut child: Child) -> Result<(), String> {
        let mut random = Random::new(self.run.seed);
        let total = 4 * self.run.messages;
        let failed = |error: io::Error| error.to_string();
        go(&mut child);
        let mut last = (0, Instant::now());
        while !self.is_complete() {
            self.read_notes();
            let progress = self.progress();
            if progress != last.0 {
                last = (progress, Instant::now());
            }
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Err(format!("a life has ended by {status} after {} kills", self.killed));
            }
            if last.1.elapsed() > STANDSTILL {
                end(&mut child);
                return Err(format!("nothing more happens after {} kills: {progress} of {total}", self.killed));
            }
            if self.killed < self.run.kills && progress > total * (self.killed + 1) / (self.run.kills + 1) {
                // The moment is anywhere between two that can be seen from here.
                thread::park_timeout(Duration::from_micros(random.below(20_000)));
                self.memory.push(resident_bytes(&child.id().to_string()));
                end(&mut child);
                self.killed += 1;
                self.read_notes();
                child = self.task.start().map_err(failed)?;
                go(&mut child);
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        self.memory.push(resident_bytes(&child.id().to_string()));
        drop(child.stdin.take());
        let status = child.wait().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(format!("the last life has ended by {status}")) }
    }

    fn read_notes(&mut self) {
        // The last line may be cut off, for now.
        while self.notes.read_line(&mut self.rest).expect("the notes") > 0 && self.rest.ends_with('\n') {
            let note = Note::of_line(self.rest.trim_end());
            self.rest.clear();
            if let Note::Received(qos, number) = note {
                let text = number.map(|number| payload(qos, number)).unwrap_or_default();
                self.inbound[usize::from(qos - 1)].lock().unwrap().take(&text);
            }
            self.told.take(note);
        }
        let in_hand = self.watch.in_hand();
        let mut exactly_once = self.inbound[1].lock().unwrap();
        if self.run.inbound == InboundStorage::IdFirst {
            let missing = exactly_once.missing();
            exactly_once.excused = missing.iter().filter(|number| in_hand.contains(*number)).count();
        }
    }

    fn progress(&self) -> usize {
        let arrived = self.inbound.iter().chain(&*self.outbound).map(|ledger| ledger.lock().unwrap().settled());
        arrived.sum()
    }

    fn is_complete(&self) -> bool {
        let has_all = |ledger: &Mutex<Ledger>| {
            let ledger = ledger.lock().unwrap();
            ledger.settled() == self.run.messages
        };
        self.told.done && self.killed == self.run.kills && self.inbound.iter().all(has_all) && self.watch.is_quiet()
    }

    fn figures(&self) -> String {
        let mut figures = format!(
            "MQTT {:?}, {:?}, {} messages at each QoS in each direction\n",
            self.run.version, self.run.inbound, self.run.messages
        );
        let mut line = |name: &str, text: String| figures += &format!("  {name:<24} {text}\n");
        line("kills", self.killed.to_string());
        line("connections", self.proxy.accepted().to_string());
        for (name, ledgers) in [("client to peer", &self.outbound), ("peer to client", &self.inbound)] {
            for ledger in ledgers.iter() {
                let ledger = ledger.lock().unwrap();
                let text = format!(
                    "{} arrived, {} missing, {} repeated, {} out of order",
                    ledger.arrived,
                    ledger.missing().len(),
                    ledger.repeated().len(),
                    ledger.disordered.len()
                );
                line(&format!("{name}, QoS {}", ledger.qos), text);
            }
        }
        for (name, client_id) in [("mosquitto to client", "client"), ("mosquitto to peer", peer::CLIENT_ID)] {
            line(name, self.referee.faults(client_id, Side::Broker).to_string());
        }
        self.told.figures(&mut line);
        line("file", format!("{} KiB at the end", self.file_bytes() / 1024));
        let memory: Vec<_> = self.memory.iter().map(|bytes| bytes / 1024).collect();
        let (least, most) = (memory.iter().min(), memory.iter().max());
        line("resident memory", format!("{least:?} to {most:?} KiB at the ends of the lives, {memory:?}"));
        figures
    }

    fn judge(&self) {
        assert!(self.told.wrong.is_empty(), "{:?}", self.told.wrong);
        for (client_id, name) in [("client", "the client"), (peer::CLIENT_ID, "the peer")] {
            let faults = self.referee.faults(client_id, Side::Client);
            assert_eq!(faults.count(), 0, "{name}: {faults}");
        }
        for ledger in self.inbound.iter().chain(&*self.outbound) {
            let ledger = ledger.lock().unwrap();
            assert_eq!((ledger.damaged, &ledger.disordered), (0, &Vec::new()), "QoS {}", ledger.qos);
        }
        self.judge_outbound();
        self.judge_inbound();
        let most = self.memory.iter().max().unwrap_or(&0);
        assert!(most.saturating_sub(self.memory[0]) < MAX_GROWTH, "the memory of the lives: {:?}", self.memory);
        assert!(self.file_bytes() < MAX_FILE, "the file has {} bytes", self.file_bytes());
    }

    fn file_bytes(&self) -> u64 {
        fs::metadata(self.task.directory.join("store")).map_or(0, |file| file.len())
    }

    fn judge_outbound(&self) {
        let (mut untold, mut gone) = (Vec::new(), 0);
        let missing = [0, 1].map(|at| self.outbound[at].lock().unwrap().missing().into_iter().collect::<HashSet<_>>());
        for (token, (qos, number)) in &self.told.accepted {
            let has_ended = self.told.has_ended(*token);
            let has_arrived = !missing[usize::from(qos - 1)].contains(number);
            let is_durable = self.told.is_durable(*token);
            assert!(has_arrived || !(is_durable || has_ended), "message {number} of QoS {qos} is lost");
            match has_ended {
                true => {}
                // What has arrived was in the file before.
                false if is_durable || has_arrived => untold.push(*token),
                false => gone += 1,
            }
        }
        println!(
            "  {:<24} {}, and {gone} messages gone with a kill before they were durable\n",
            "untold",
            untold.len()
        );
        assert!(untold.is_empty(), "tokens without an outcome: {untold:?}");
        let faults = self.referee.faults(peer::CLIENT_ID, Side::Broker);
        for number in self.outbound[1].lock().unwrap().repeated() {
            assert!(faults.with(&payload(2, number)).is_some(), "message {number} has arrived twice");
        }
    }

    fn judge_inbound(&self) {
        let [at_least_once, exactly_once] = &*self.inbound;
        assert!(at_least_once.lock().unwrap().missing().is_empty());
        let (exactly_once, in_hand) = (exactly_once.lock().unwrap(), self.watch.in_hand());
        let faults = self.referee.faults("client", Side::Broker);
        let is_fault = |number: usize| faults.with(&payload(2, number)).is_some();
        let is_id_first = self.run.inbound == InboundStorage::IdFirst;
        for number in exactly_once.missing() {
            assert!(is_id_first && in_hand.contains(&number), "message {number} is lost");
        }
        for number in exactly_once.repeated() {
            let is_allowed = !is_id_first && in_hand.contains(&number);
            assert!(is_allowed || is_fault(number), "message {number} was handed over twice");
        }
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fs::remove_dir_all(&self.task.directory);
    }
}

impl Watch {
    /// Messages that some connection but the last has left without a PUBREC.
    fn in_hand(&self) -> HashSet<usize> {
        let connections = self.connections.lock().unwrap();
        let last = connections.keys().max().copied();
        let cut = connections.iter().filter(|(number, _)| Some(**number) != last);
        cut.flat_map(|(_, seen)| seen.in_hand.values().copied()).collect()
    }

    /// Whether no exchange of the last connection is open.
    fn is_quiet(&self) -> bool {
        let connections = self.connections.lock().unwrap();
        connections.iter().max_by_key(|(number, _)| **number).is_some_and(|(_, seen)| seen.open.is_empty())
    }
}

impl Passage for Arc<Watch> {
    fn pass(&self, connection: usize, side: Side, bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        self.referee.see(connection, side, bytes);
        let mut connections = self.connections.lock().unwrap();
        let Seen { splitters, in_hand, open } = connections.entry(connection).or_default();
        splitters[usize::from(side == Side::Broker)].feed(bytes, |packet| {
            let packet_id = || wire::packet_id(packet);
            match (side, packet[0] & 0xF6) {
                (Side::Broker, 0x34) => {
                    let text = String::from_utf8_lossy(wire::payload(packet, self.is_v5)).into_owned();
                    let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
                    in_hand.extend(number.map(|number| (packet_id(), number)));
                    open.insert(packet_id());
                }
                (Side::Client, 0x50) => drop(in_hand.remove(&packet_id())),
                (Side::Client, 0x70) => drop(open.remove(&packet_id())),
                _ => {}
            }
        });
        drop(connections);
        to.write_all(bytes)
    }
}

/// Lets a life begin to publish.
fn go(child: &mut Child) {
    // One that has ended by itself is noticed elsewhere.
    let _ = child.stdin.as_mut().map(|stdin| stdin.write_all(b"g"));
}

/// Ends a life by SIGKILL.
fn end(child: &mut Child) {
    // One that has ended by itself is noticed elsewhere.
    let _ = child.kill();
    let _ = child.wait();
}
