//! The other end: a client straight at the broker that shares no code with the crate. One thread, a small window, and
//! the rules of section 4.3 and 4.4 by hand.

use std::collections::{HashSet, VecDeque};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::ledger::{Ledger, payload};
use crate::support::referee::{Referee, Side};
use crate::support::wire::{self, Splitter};

pub(crate) const CLIENT_ID: &str = "peer";

/// Connections of the peer are numbered from here on, where those of the proxy do not come.
const FIRST_CONNECTION: usize = 1_000_000;
/// What mosquitto takes by its defaults.
const WINDOW: usize = 20;
/// How far the client may be behind: what the broker has in flight to it is sent again after each cut.
const BEHIND: usize = 200;

/// What the peer sends and has received.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) is_v5: bool,
    pub(crate) referee: Arc<Referee>,
    /// Of QoS 1 and of QoS 2.
    pub(crate) received: Arc<[Mutex<Ledger>; 2]>,
    /// What the client has received.
    pub(crate) arrived: Arc<[Mutex<Ledger>; 2]>,
    pub(crate) messages: usize,
    pub(crate) is_over: Arc<AtomicBool>,
    state: State,
}

#[derive(Default)]
struct State {
    connections: usize,
    is_connected: bool,
    next: [usize; 2],
    last_id: u16,
    in_flight: VecDeque<InFlight>,
    unreleased: HashSet<u16>,
    out: Vec<u8>,
}

struct InFlight {
    packet_id: u16,
    qos: u8,
    number: usize,
    is_released: bool,
}

impl Peer {
    pub(crate) fn new(
        address: SocketAddr,
        is_v5: bool,
        referee: Arc<Referee>,
        [received, arrived]: [Arc<[Mutex<Ledger>; 2]>; 2],
        messages: usize,
        is_over: Arc<AtomicBool>,
    ) -> Self {
        Self { address, is_v5, referee, received, arrived, messages, is_over, state: State::default() }
    }

    /// Connects, and subscribes to what the client publishes; then sends until all is sent, and receives until it is
    /// over.
    pub(crate) fn run(mut self, is_subscribed: &AtomicBool) -> io::Result<()> {
        while !self.is_over.load(Ordering::SeqCst) {
            match self.connect_and_exchange(is_subscribed) {
                Err(error) if error.kind() == ErrorKind::InvalidData => return Err(error),
                // The broker restarts.
                _ => std::thread::park_timeout(Duration::from_millis(5)),
            }
        }
        Ok(())
    }

    fn connect_and_exchange(&mut self, is_subscribed: &AtomicBool) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
        self.state.connections += 1;
        self.state.is_connected = false;
        self.state.out = self.connect_packet();
        let mut splitter = Splitter::default();
        let mut buffer = vec![0; 64 * 1024];
        while !self.is_over.load(Ordering::SeqCst) {
            let connection = FIRST_CONNECTION + self.state.connections;
            self.referee.see(connection, Side::Client, &self.state.out);
            stream.write_all(&std::mem::take(&mut self.state.out))?;
            let len = match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
                Err(error) => return Err(error),
            };
            self.referee.see(connection, Side::Broker, &buffer[..len]);
            let mut packets = Vec::new();
            splitter.feed(&buffer[..len], |packet| packets.push(packet.to_vec()));
            for packet in packets {
                self.take(&packet, is_subscribed)?;
            }
            if self.state.is_connected && is_subscribed.load(Ordering::SeqCst) {
                self.fill_window();
            }
        }
        Ok(())
    }

    fn connect_packet(&self) -> Vec<u8> {
        // Of v5.0 the session has to be told to outlive the connection.
        let properties: &[u8] = if self.is_v5 { &[5, 0x11, 0, 0, 0xFF, 0xFF] } else { &[] };
        let level = if self.is_v5 { 5 } else { 4 };
        wire::packet(0x10, &[&wire::string("MQTT"), &[level, 0, 0, 0], properties, &wire::string(CLIENT_ID)])
    }

    fn take(&mut self, packet: &[u8], is_subscribed: &AtomicBool) -> io::Result<()> {
        match packet[0] & 0xF0 {
            0x20 => return self.take_connack(wire::body(packet), is_subscribed),
            0x90 => is_subscribed.store(true, Ordering::SeqCst),
            0x30 => self.take_publish(packet),
            0x40 | 0x70 => {
                let packet_id = wire::packet_id(packet);
                self.state.in_flight.retain(|message| message.packet_id != packet_id);
            }
            0x50 => {
                let packet_id = wire::packet_id(packet);
                let is_it = |message: &&mut InFlight| message.packet_id == packet_id;
                if let Some(message) = self.state.in_flight.iter_mut().find(is_it) {
                    message.is_released = true;
                }
                self.state.out.extend(wire::ack(wire::PUBREL, packet_id));
            }
            0x60 => {
                let packet_id = wire::packet_id(packet);
                self.state.unreleased.remove(&packet_id);
                self.state.out.extend(wire::ack(wire::PUBCOMP, packet_id));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_connack(&mut self, body: &[u8], is_subscribed: &AtomicBool) -> io::Result<()> {
        let is_new = !is_subscribed.load(Ordering::SeqCst);
        if body[1] != 0 || (body[0] == 0) != is_new {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("the peer was answered by CONNACK {body:?}")));
        }
        let State { out, in_flight, is_connected, .. } = &mut self.state;
        *is_connected = true;
        if is_new {
            let properties: &[u8] = if self.is_v5 { &[0] } else { &[] };
            out.extend(wire::packet(0x82, &[&[0xFF, 0xFF], properties, &wire::string("up/+"), &[2]]));
        }
        for message in in_flight.iter() {
            match message.is_released {
                true => out.extend(wire::ack(wire::PUBREL, message.packet_id)),
                false => out.extend(publish(message, true, self.is_v5)),
            }
        }
        Ok(())
    }

    fn take_publish(&mut self, packet: &[u8]) {
        let qos = packet[0] >> 1 & 3;
        let packet_id = wire::packet_id(packet);
        let is_new = qos == 1 || self.state.unreleased.insert(packet_id);
        if is_new {
            let text = wire::payload(packet, self.is_v5);
            self.received[usize::from(qos - 1)].lock().unwrap().take(text);
        }
        self.state.out.extend(wire::ack(if qos == 1 { wire::PUBACK } else { wire::PUBREC }, packet_id));
    }

    fn fill_window(&mut self) {
        let arrived: usize = self.arrived.iter().map(|ledger| ledger.lock().unwrap().settled()).sum();
        let State { next, last_id, in_flight, out, .. } = &mut self.state;
        while in_flight.len() < WINDOW && next[0] + next[1] < arrived + BEHIND {
            // The one that is behind.
            let at = usize::from(next[1] < next[0]);
            if next[at] == self.messages {
                return;
            }
            loop {
                // 65,535 is the SUBSCRIBE.
                *last_id = *last_id % 65_534 + 1;
                if in_flight.iter().all(|message| message.packet_id != *last_id) {
                    break;
                }
            }
            let message = InFlight { packet_id: *last_id, qos: at as u8 + 1, number: next[at], is_released: false };
            out.extend(publish(&message, false, self.is_v5));
            in_flight.push_back(message);
            next[at] += 1;
        }
    }
}

fn publish(message: &InFlight, is_again: bool, is_v5: bool) -> Vec<u8> {
    let flags = message.qos << 1 | u8::from(is_again) << 3;
    let topic = format!("down/{}", message.qos);
    let payload = payload(message.qos, message.number);
    if is_v5 {
        wire::publish_v5(flags, &topic, Some(message.packet_id), &[], &payload)
    } else {
        wire::publish_v3(flags, &topic, Some(message.packet_id), &payload)
    }
}
