//! Who is to blame when a message of QoS 2 arrives twice or never: told from what both sides put on the wire.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::wire::{self, Splitter};

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Client,
    Broker,
}

impl Side {
    /// The other end.
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Broker,
            Self::Broker => Self::Client,
        }
    }
}

/// What a sender of QoS 2 did against section 4.3.3 or 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// PUBLISH again after the sender's own PUBREL for it [MQTT-4.3.3-6].
    AfterRelease,
    /// PUBLISH again with another packet id [MQTT-4.4.0-1]: to its receiver it is another message.
    OtherId,
    /// PUBLISH with the id of an exchange that is not complete: to its receiver it is the other message again.
    IdInUse,
}

/// Watches the QoS 2 exchanges of connections, each message with a payload of its own.
#[derive(Default)]
pub struct Referee(Mutex<State>);

#[derive(Default)]
struct State {
    connections: HashMap<usize, Connection>,
    flows: HashMap<(String, Side), Vec<Step>>,
    overtaken: usize,
}

#[derive(Default)]
struct Connection {
    client_id: String,
    is_v5: bool,
    splitters: [Splitter; 2],
}

/// A packet that belongs to messages of one sender.
#[derive(Clone, Copy, Debug)]
struct Step {
    connection: usize,
    packet_id: u16,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// PUBLISH of QoS 2 with a payload of this hash.
    Publish(u64),
    Release,
    /// PUBCOMP, or a PUBREC that refuses.
    Complete,
}

impl Referee {
    /// Sees bytes that come from `side`, before they are passed on.
    pub fn see(&self, connection: usize, side: Side, bytes: &[u8]) {
        let mut state = self.lock();
        let mut seen = state.connections.remove(&connection).unwrap_or_default();
        let mut splitter = std::mem::take(&mut seen.splitters[side as usize]);
        splitter.feed(bytes, |packet| state.see_packet(connection, &mut seen, side, packet));
        seen.splitters[side as usize] = splitter;
        state.connections.insert(connection, seen);
    }

    /// The faults of `sender` towards or as the client `client_id`, by payload.
    pub fn faults(&self, client_id: &str, sender: Side) -> Faults {
        Faults::judge(&self.steps(client_id, sender))
    }

    /// The exchanges in which `sender` used a packet id of the message with `payload`, in order.
    pub fn story(&self, client_id: &str, sender: Side, payload: &[u8]) -> String {
        let message = Kind::Publish(hash(payload));
        let steps = self.steps(client_id, sender);
        let ids: Vec<u16> = steps.iter().filter(|step| step.kind == message).map(|step| step.packet_id).collect();
        let shown = steps.iter().filter(|step| ids.contains(&step.packet_id)).map(|step| {
            let is_it = if step.kind == message { " <- this message" } else { "" };
            format!("  connection {}, id {}: {:?}{is_it}\n", step.connection, step.packet_id, step.kind)
        });
        shown.collect()
    }

    /// How much memory the notes of exchanges take, in bytes.
    pub fn noted_bytes(&self) -> usize {
        self.lock().flows.values().map(|steps| size_of_val(steps.as_slice())).sum()
    }

    /// How often the broker ended the newest connection of a client by Session taken over: it had come to an older one,
    /// which was cut before its CONNACK, only after the newest.
    pub fn overtaken(&self) -> usize {
        self.lock().overtaken
    }

    fn steps(&self, client_id: &str, sender: Side) -> Vec<Step> {
        let mut steps = self.lock().flows.get(&(client_id.to_string(), sender)).cloned().unwrap_or_default();
        // What a cut connection had still to say may be read when the next one has begun.
        steps.sort_by_key(|step| step.connection);
        steps
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn see_packet(&mut self, connection: usize, seen: &mut Connection, side: Side, packet: &[u8]) {
        let mut step = |sender, kind| {
            let step = Step { connection, packet_id: wire::packet_id(packet), kind };
            self.flows.entry((seen.client_id.clone(), sender)).or_default().push(step);
        };
        match packet[0] & 0xF0 {
            0x10 => {
                let connect = wire::body(packet);
                seen.is_v5 = connect[6] == 5;
                seen.client_id = wire::client_id(connect);
            }
            0x30 if packet[0] & 0x06 == 0x04 => {
                step(side, Kind::Publish(hash(wire::payload(packet, seen.is_v5))));
            }
            0x50 if wire::body(packet).get(2).is_some_and(|code| *code >= 0x80) => step(side.peer(), Kind::Complete),
            0x60 => step(side, Kind::Release),
            0x70 => step(side.peer(), Kind::Complete),
            0xE0 if side == Side::Broker && wire::body(packet).first() == Some(&0x8E) => {
                let is_newer =
                    |(number, other): (&usize, &Connection)| *number > connection && other.client_id == seen.client_id;
                self.overtaken += usize::from(!self.connections.iter().any(is_newer));
            }
            _ => {}
        }
    }
}

/// What one sender did wrong.
#[derive(Debug, Default)]
pub struct Faults {
    by_payload: HashMap<u64, Fault>,
}

impl Faults {
    /// What was done wrong with the message of this payload.
    pub fn with(&self, payload: &[u8]) -> Option<Fault> {
        self.by_payload.get(&hash(payload)).copied()
    }

    /// How many messages were treated wrongly.
    pub fn count(&self) -> usize {
        self.by_payload.len()
    }

    fn judge(steps: &[Step]) -> Self {
        let mut faults = Self::default();
        let mut open: BTreeMap<u16, u64> = BTreeMap::new();
        let mut messages: HashMap<u64, (u16, bool)> = HashMap::new();
        for step in steps {
            match step.kind {
                Kind::Publish(message) => {
                    let before = messages.get(&message).copied();
                    let fault = match (before, open.get(&step.packet_id)) {
                        (Some((id, _)), _) if id != step.packet_id => Some(Fault::OtherId),
                        (Some((_, true)), _) => Some(Fault::AfterRelease),
                        (_, Some(other)) if *other != message => Some(Fault::IdInUse),
                        _ => None,
                    };
                    faults.by_payload.extend(fault.map(|fault| (message, fault)));
                    open.insert(step.packet_id, message);
                    messages.insert(message, (step.packet_id, false));
                }
                Kind::Release => {
                    if let Some((_, is_released)) =
                        open.get(&step.packet_id).and_then(|message| messages.get_mut(message))
                    {
                        *is_released = true;
                    }
                }
                Kind::Complete => {
                    open.remove(&step.packet_id);
                }
            }
        }
        faults
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |fault| self.by_payload.values().filter(|other| **other == fault).count();
        let (again, other_id, in_use) = (count(Fault::AfterRelease), count(Fault::OtherId), count(Fault::IdInUse));
        write!(f, "{again} sent again after PUBREL, {other_id} with another packet id, {in_use} with one in use")
    }
}

fn hash(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}
