//! A link in memory that moves as few bytes at a time as a test likes, fails and ends, with a server behind it.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use flowsdk::embedded::{Error, blocking};
use flowsdk::packet::{AckKind, Disconnect, Packet, Subscription};
use flowsdk::session::{Config, ConnectOptions, Event, Fixed, Session, Topic};
use flowsdk::time::Instant;
use flowsdk::types::{ProtocolVersion, ReasonCode, Role};

#[allow(dead_code, reason = "some of it is for the tests of the session")]
#[path = "../session/support/packets.rs"]
mod packets;

pub(crate) use flowsdk::types::ProtocolVersion::{V3_1_1, V5};
pub(crate) use flowsdk::types::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
pub(crate) use packets::*;

pub(crate) type Storage = Fixed<512, 4>;
pub(crate) type Client<'b> = blocking::Client<'b, Link, Storage>;
pub(crate) type Failure = Error<ErrorKind>;

pub(crate) const BOTH: [ProtocolVersion; 2] = [V5, V3_1_1];
pub(crate) const START: Instant = Instant::from_millis(u32::MAX - 500);
pub(crate) const NOTHING: [&str; 0] = [];

pub(crate) fn config(version: ProtocolVersion) -> Config {
    Config { version, ..Config::DEFAULT }
}

/// Options of a session that is kept.
pub(crate) fn options(version: ProtocolVersion) -> ConnectOptions<'static> {
    let session_expiry_interval = if version.is_v5() { u32::MAX } else { 0 };
    ConnectOptions { client_id: "client", session_expiry_interval, ..ConnectOptions::default() }
}

pub(crate) fn client<'b>(config: Config, link: &Link, buffer: &'b mut [u8]) -> Client<'b> {
    Client::new(Session::new(config, Fixed::new()), link.clone(), buffer)
}

/// A client that has connected.
pub(crate) fn connected<'b>(config: Config, link: &Link, buffer: &'b mut [u8]) -> Client<'b> {
    let mut client = client(config, link, buffer);
    client.connect(START, &options(config.version)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected"]);
    assert_eq!(link.sent(), ["CONNECT"]);
    client
}

pub(crate) fn tell(event: &Event<'_>) -> String {
    describe_event(event, |topic| match topic {
        Topic::Name(name) => name.to_string(),
        Topic::Alias(alias) => alias.to_string(),
    })
}

/// Polls until nothing is left to do.
#[track_caller]
pub(crate) fn events(client: &mut Client<'_>, now: Instant) -> Vec<String> {
    let (events, end) = events_and_end(client, now);
    assert_eq!(end, None, "after {events:?}");
    events
}

/// Polls until nothing is left to do or the connection ends.
pub(crate) fn events_and_end(client: &mut Client<'_>, now: Instant) -> (Vec<String>, Option<Failure>) {
    let mut list = Vec::new();
    loop {
        match client.poll(now) {
            Ok(Some(event)) => list.push(tell(&event)),
            Ok(None) => return (list, None),
            Err(error) => return (list, Some(error)),
        }
    }
}

pub(crate) fn one_subscription() -> [Subscription<'static>; 1] {
    [Subscription::new("s", ExactlyOnce)]
}

pub(crate) fn subscribe(client: &mut Client<'_>, now: Instant) {
    client.subscribe(now, &one_subscription(), &[]).expect("subscribe");
}

pub(crate) fn farewell() -> Disconnect<'static> {
    Disconnect::new(ReasonCode::SUCCESS)
}

/// Both ends of the link: the transport, and what a test sees and does of it.
#[derive(Clone, Debug)]
pub(crate) struct Link(Rc<RefCell<Wire>>);

#[derive(Debug)]
pub(crate) struct Wire {
    version: ProtocolVersion,
    to_client: VecDeque<u8>,
    /// All that the client has written.
    pub(crate) from_client: Vec<u8>,
    told: usize,
    /// Bytes up to here have been answered.
    answered: usize,
    /// Whether the server answers by itself.
    pub(crate) answers: bool,
    /// Whether it has a session.
    pub(crate) session_present: bool,
    /// What it sends when the client subscribes.
    pub(crate) on_subscribe: Vec<u8>,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    /// How many bytes the client can still write before that fails.
    pub(crate) takes: usize,
    /// The most bytes one call moves.
    pub(crate) most: usize,
    /// The server has closed the connection.
    pub(crate) ended: bool,
    pub(crate) fails_to_read: Option<ErrorKind>,
    pub(crate) fails_to_write: Option<ErrorKind>,
    /// A read without input gives up instead of waiting.
    pub(crate) times_out: bool,
}

impl Link {
    /// A link to a server that answers.
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self(Rc::new(RefCell::new(Wire {
            version,
            to_client: VecDeque::new(),
            from_client: Vec::new(),
            told: 0,
            answered: 0,
            answers: true,
            session_present: false,
            on_subscribe: Vec::new(),
            writes: 0,
            flushes: 0,
            takes: usize::MAX,
            most: usize::MAX,
            ended: false,
            fails_to_read: None,
            fails_to_write: None,
            times_out: false,
        })))
    }

    /// A link to a server that does nothing by itself.
    pub(crate) fn silent(version: ProtocolVersion) -> Self {
        let link = Self::new(version);
        link.wire().answers = false;
        link
    }

    pub(crate) fn wire(&self) -> RefMut<'_, Wire> {
        self.0.borrow_mut()
    }

    /// The server sends bytes.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.wire().to_client.extend(bytes);
    }

    /// The server sends a packet.
    pub(crate) fn give(&self, packet: Packet<'_>) {
        let version = self.wire().version;
        self.send(&encode(&packet, version));
    }

    /// How often the client has written, and flushed.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let wire = self.wire();
        (wire.writes, wire.flushes)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// What the client has sent since this was asked last.
    #[track_caller]
    pub(crate) fn sent(&self) -> Vec<String> {
        let mut wire = self.wire();
        let end = wire.from_client.len();
        let from = std::mem::replace(&mut wire.told, end);
        packets(&wire.from_client[from..], wire.version)
    }
}

impl Wire {
    fn answer(&mut self) {
        while self.answers
            && let Ok(Some((packet, len))) =
                Packet::decode(&self.from_client[self.answered..], self.version, Role::Client)
        {
            let mut answer = |packet: Packet<'_>| self.to_client.extend(encode(&packet, self.version));
            match packet {
                Packet::Connect(_) => answer(connack(self.session_present, &[])),
                Packet::Publish(publish) => match (publish.delivery.qos(), publish.delivery.packet_id()) {
                    (AtLeastOnce, Some(id)) => answer(puback(id.value())),
                    (ExactlyOnce, Some(id)) => answer(pubrec(id.value())),
                    _ => {}
                },
                Packet::Ack(ack) => match ack.kind {
                    AckKind::Pubrec => answer(pubrel(ack.packet_id.value())),
                    AckKind::Pubrel => answer(pubcomp(ack.packet_id.value())),
                    AckKind::Puback | AckKind::Pubcomp => {}
                },
                Packet::Subscribe(packet) => {
                    answer(suback(packet.packet_id.value(), &[2]));
                    self.to_client.extend(&self.on_subscribe);
                }
                Packet::Unsubscribe(packet) => answer(unsuback(self.version, packet.packet_id.value(), &[0])),
                Packet::Pingreq => answer(Packet::Pingresp),
                Packet::Disconnect(_) => self.ended = true,
                other => panic!("unexpected {other:?}"),
            }
            self.answered += len;
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.to_client.is_empty() || self.ended || self.fails_to_read.is_some()
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        assert!(!buffer.is_empty(), "a read into nothing looks like the end");
        let len = buffer.len().min(self.most).min(self.to_client.len());
        for (place, byte) in buffer.iter_mut().zip(self.to_client.drain(..len)) {
            *place = byte;
        }
        match (len, self.fails_to_read) {
            (0, Some(kind)) => Err(kind),
            (0, None) if self.times_out && !self.ended => Err(ErrorKind::TimedOut),
            _ => Ok(len),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        assert!(!bytes.is_empty(), "a write of nothing");
        if let Some(kind) = self.fails_to_write {
            return Err(kind);
        }
        if self.takes == 0 {
            return Err(ErrorKind::ConnectionReset);
        }
        let len = bytes.len().min(self.most).min(self.takes);
        self.takes -= len;
        self.from_client.extend(&bytes[..len]);
        self.writes += 1;
        self.answer();
        Ok(len)
    }
}

impl ErrorType for Link {
    type Error = ErrorKind;
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut wire = self.wire();
        assert!(wire.is_ready() || wire.times_out, "this read would wait for ever");
        wire.read(buffer)
    }
}

impl ReadReady for Link {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.wire().is_ready())
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.wire().write(bytes)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.wire().flushes += 1;
        Ok(())
    }
}
