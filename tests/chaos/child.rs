//! The client as a process of its own, that can be killed: what it does and hears is written to a file at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{ClientError, InboundStorage, MqttEvent, Outcome, Persistence};
use flowsdk::types::ProtocolVersion;

use crate::fixture::{Client, lasting, quick};
use crate::ledger::payload;

/// Says to the program that it is the child, and what it has to do.
const TASK: &str = "FLOWSDK_CHAOS_CHILD";
/// How many messages wait for their end at once.
const OUTSTANDING: usize = 300;

/// What every life of the client does.
#[derive(Clone)]
pub(crate) struct Task {
    pub(crate) directory: PathBuf,
    pub(crate) broker: SocketAddr,
    pub(crate) version: ProtocolVersion,
    pub(crate) inbound: InboundStorage,
    /// For each QoS.
    pub(crate) messages: usize,
}

/// What the child has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A life begins.
    Life,
    /// A message that an earlier life has left.
    Restored(u64),
    /// It hears of what the peer publishes.
    Subscribed,
    /// It is about to publish this one: QoS and number.
    Intends(u8, usize),
    /// It was accepted.
    Accepted(u8, usize, u64),
    Durable(u64),
    /// It has ended, well or not.
    Ended(u64, bool),
    /// A message was handed over; none if its payload was damaged.
    Received(u8, Option<usize>),
    /// All is published and has ended.
    Done,
}

impl Task {
    /// Starts a life.
    pub(crate) fn start(&self) -> io::Result<Child> {
        let inbound = if self.inbound == InboundStorage::IdFirst { "id" } else { "ack" };
        let version = if self.version.is_v5() { "5" } else { "4" };
        let directory = self.directory.to_string_lossy();
        let task = [&*directory, &self.broker.to_string(), version, inbound, &self.messages.to_string()].join("\n");
        Command::new(std::env::current_exe()?).env(TASK, task).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()
    }

    fn of_environment() -> Option<Self> {
        let task = std::env::var(TASK).ok()?;
        let mut parts = task.split('\n');
        let mut next = || parts.next().expect("a part of the task");
        Some(Self {
            directory: next().into(),
            broker: next().parse().expect("an address"),
            version: if next() == "5" { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 },
            inbound: if next() == "id" { InboundStorage::IdFirst } else { InboundStorage::AckAfter },
            messages: next().parse().expect("a number"),
        })
    }

    pub(crate) fn notes(&self) -> PathBuf {
        self.directory.join("notes")
    }
}

impl Note {
    /// The note as a line.
    fn line(self) -> String {
        match self {
            Self::Life => "life\n".to_string(),
            Self::Restored(token) => format!("restored {token}\n"),
            Self::Intends(qos, number) => format!("intends {qos} {number}\n"),
            Self::Accepted(qos, number, token) => format!("accepted {qos} {number} {token}\n"),
            Self::Durable(token) => format!("durable {token}\n"),
            Self::Ended(token, well) => format!("ended {token} {}\n", u8::from(well)),
            Self::Received(qos, Some(number)) => format!("received {qos} {number}\n"),
            Self::Received(qos, None) => format!("damaged {qos}\n"),
            Self::Subscribed => "subscribed\n".to_string(),
            Self::Done => "done\n".to_string(),
        }
    }

    pub(crate) fn of_line(line: &str) -> Self {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let mut next = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        match word {
            "life" => Self::Life,
            "restored" => Self::Restored(next()),
            "intends" => Self::Intends(next() as u8, next() as usize),
            "accepted" => Self::Accepted(next() as u8, next() as usize, next()),
            "durable" => Self::Durable(next()),
            "ended" => Self::Ended(next(), next() == 1),
            "received" => Self::Received(next() as u8, Some(next() as usize)),
            "damaged" => Self::Received(next() as u8, None),
            "subscribed" => Self::Subscribed,
            "done" => Self::Done,
            _ => panic!("a note like {line:?}"),
        }
    }

    /// All that is in a file, up to a line that was cut off.
    fn read(path: &Path) -> Vec<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(Self::of_line).collect()
    }
}

/// Runs as the child, if this process is one.
pub(crate) fn run_if_child() {
    let Some(task) = Task::of_environment() else { return };
    let next = next_numbers(&task);
    let file = OpenOptions::new().append(true).create(true).open(task.notes()).expect("a file for notes");
    let notes = Arc::new(file);
    note(&notes, &[Note::Life]);
    let ended = Arc::new(AtomicUsize::new(0));
    let client = client(&task, &notes, &ended);
    let restored: Vec<_> = client.restored().iter().map(|token| Note::Restored(token.id())).collect();
    note(&notes, &restored);
    client.connect_and_wait();
    client.subscribed("down/+", 2);
    note(&notes, &[Note::Subscribed]);
    // The parent says when it listens, too.
    let _ = io::stdin().read(&mut [0]);
    publish(&task, &client, &notes, next, (&ended, restored.len()));
    // The parent ends the process, or has ended itself.
    let _ = io::stdin().read(&mut [0]);
    client.shutdown().expect("a clean end");
    std::process::exit(0);
}

fn client(task: &Task, notes: &Arc<File>, ended: &Arc<AtomicUsize>) -> Client {
    let mut options = lasting(task.broker, "client", task.version);
    let mut persistence = Persistence::new(task.directory.join("store"));
    persistence.inbound = task.inbound;
    options.persistence = Some(persistence);
    let (notes, ended) = (Arc::clone(notes), Arc::clone(ended));
    Client::acting(options, quick(), move |_, event| match event {
        MqttEvent::MessageReceived(publish) => {
            let text = std::str::from_utf8(&publish.payload).unwrap_or_default();
            let number = text.split(' ').nth(1).and_then(|number| number.parse().ok());
            let number = number.filter(|number| payload(publish.qos, *number) == *publish.payload);
            note(&notes, &[Note::Received(publish.qos, number)]);
            false
        }
        MqttEvent::Published(result) => {
            note(&notes, &[Note::Ended(result.token.id(), result.outcome == Outcome::Acknowledged)]);
            ended.fetch_add(1, Ordering::SeqCst);
            false
        }
        MqttEvent::Durable(tokens) => {
            let durable: Vec<_> = tokens.iter().map(|token| Note::Durable(token.id())).collect();
            note(&notes, &durable);
            false
        }
        _ => true,
    })
}

/// The numbers of the messages of each QoS that no life has tried to publish.
fn next_numbers(task: &Task) -> [usize; 2] {
    let mut next = [0, 0];
    for earlier in Note::read(&task.notes()) {
        if let Note::Intends(qos, number) = earlier {
            next[usize::from(qos - 1)] = number + 1;
        }
    }
    next
}

/// Publishes messages from these numbers on, and waits for their end.
fn publish(task: &Task, client: &Client, notes: &File, mut next: [usize; 2], (ended, restored): (&AtomicUsize, usize)) {
    let mut accepted = restored;
    loop {
        let outstanding = accepted - ended.load(Ordering::SeqCst);
        let at = usize::from(next[1] < next[0]);
        if next == [task.messages; 2] {
            if outstanding == 0 {
                return note(notes, &[Note::Done]);
            }
        } else if outstanding < OUTSTANDING && next[at] < task.messages {
            let (qos, number) = (at as u8 + 1, next[at]);
            note(notes, &[Note::Intends(qos, number)]);
            next[at] += 1;
            match client.publish(&format!("up/{qos}"), &payload(qos, number), qos, false) {
                Ok(token) => {
                    accepted += 1;
                    note(notes, &[Note::Accepted(qos, number, token.id())]);
                }
                Err(error) => assert_eq!(error, ClientError::ShutDown, "room for it"),
            }
            continue;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Writes notes by one call, so that they outlive this process whole.
fn note(mut file: &File, notes: &[Note]) {
    let lines: String = notes.iter().map(|note| note.line()).collect();
    if !lines.is_empty() {
        file.write_all(lines.as_bytes()).expect("a file that takes notes");
    }
}
