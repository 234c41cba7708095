use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::codec::{Properties, Writer};
use crate::packet::{Delivery, Publish};
use crate::session::{Config, ConnectOptions, DropReason, Event, HeapLimits, Misuse};
use crate::types::ProtocolVersion::{self, V3_1_1, V5};
use crate::types::Role;

/// A session, and what it has told.
struct Side {
    session: Session<Heap>,
    version: ProtocolVersion,
    in_runs: bool,
    now: Instant,
    told: Vec<String>,
    /// How many messages were held by runs.
    held: usize,
}

impl Side {
    fn new(version: ProtocolVersion, in_runs: bool, wire_bytes: usize) -> Self {
        let config = Config { version, ..Config::DEFAULT };
        let limits = HeapLimits { window: 9, wire_bytes, ..HeapLimits::default() };
        let session = Session::new(config, Heap::new(limits));
        Self { session, version, in_runs, now: Instant::from_millis(0), told: vec![], held: 0 }
    }

    fn frame(&self, qos: QoS, retain: bool, payload: usize) -> Vec<u8> {
        let (delivery, payload) = (Delivery::first(qos, PacketId::MAX), vec![b'p'; payload]);
        let publish = Publish { topic: "t", payload: &payload, retain, delivery, properties: Properties::default() };
        let mut frame = Vec::new();
        publish.encode(&mut Writer::appending(&mut frame), self.version, Role::Client).unwrap();
        frame
    }

    /// Publishes messages up to the first one that there is no room for.
    fn publish(&mut self, qos: QoS, payloads: &[usize], retain: bool) {
        let frames: Vec<_> = payloads.iter().map(|payload| self.frame(qos, retain, *payload)).collect();
        let longest = frames.iter().map(Vec::len).max().unwrap_or(0);
        let mut taken = 0;
        if self.in_runs {
            // Behind what was taken out before, and in a buffer that is much too long for them, or not.
            let start = 3 * frames.len();
            let mut bytes = [vec![b'-'; start], frames.concat()].concat();
            bytes.reserve_exact(if frames.len() % 2 == 0 { 3 * bytes.len() } else { 0 });
            let run = Outbound { qos, count: frames.len(), longest, retain };
            let Self { session, told, now, .. } = self;
            match session.hold_run(*now, &mut bytes, start, run, |packet_id| told.push(format!("{packet_id}"))) {
                Ok(part) => {
                    assert_eq!(part.bytes, frames[..part.count].concat().len());
                    taken = part.count;
                    self.held += part.count;
                }
                Err(RunRefusal::Full(full)) => return self.told.push(format!("{full:?}")),
                Err(RunRefusal::OneByOne) => {}
            }
        }
        for frame in frames.into_iter().skip(taken) {
            match self.session.publish_own_frame(self.now, frame) {
                Ok(packet_id) => self.told.push(format!("{}", packet_id.unwrap())),
                Err((Misuse::Full(full), _)) => return self.told.push(format!("{full:?}")),
                Err((misuse, _)) => self.told.push(format!("{misuse:?}")),
            }
        }
    }

    /// Sends up to so many bytes.
    fn transmit(&mut self, mut most: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        loop {
            // All slices at once, as there may be more of them on one side.
            let mut slices = [&[][..]; 32];
            let count = self.session.poll_transmit_many(self.now, &mut slices);
            assert!(count < slices.len());
            let mut bytes = slices.concat();
            bytes.truncate(most);
            if bytes.is_empty() {
                break;
            }
            self.session.consume_transmit(self.now, bytes.len());
            most -= bytes.len();
            sent.extend(bytes);
        }
        while let Some(dropped) = self.session.poll_dropped() {
            self.told.push(format!("{dropped:?} {:x?}", dropped.frame));
            if dropped.reason == DropReason::SessionLost {
                // As a client does that sends them anew.
                while let Some(unsent) = self.session.storage_mut().take_unsent() {
                    self.told.push(format!("{unsent:x?}"));
                }
            }
        }
        sent
    }

    fn take(&mut self, mut input: &[u8]) {
        loop {
            if self.in_runs {
                let Self { session, told, now, .. } = self;
                let taken = session.take_acks(*now, input, |packet_id, qos| {
                    told.push(format!("{packet_id} {qos:?} done"));
                });
                input = &input[taken..];
            }
            match self.session.handle_input(self.now, input) {
                Ok(progress) => {
                    match progress.event {
                        Some(Event::Published(it)) if it.reason_code.byte() == 0 => {
                            self.told.push(format!("{} {:?} done", it.packet_id, it.qos));
                        }
                        event => self.told.extend(event.map(|event| format!("{event:?}"))),
                    }
                    if !progress.goes_on() {
                        return;
                    }
                    input = &input[progress.consumed..];
                }
                Err(error) => return self.told.push(format!("{error:?}")),
            }
        }
    }

    fn connect(&mut self, connack: &[u8]) {
        self.session.handle_closed(self.now);
        let options = ConnectOptions { client_id: "c", clean_start: false, ..ConnectOptions::DEFAULT };
        let session_expiry_interval = if self.version.is_v5() { 100 } else { 0 };
        let options = ConnectOptions { session_expiry_interval, ..options };
        self.session.connect(self.now, &options).unwrap();
        self.transmit(usize::MAX);
        self.take(connack);
    }
}

/// How long the payloads are, what the wire has room for, and how much is sent at once.
struct Sizes {
    payloads: [usize; 4],
    wire_bytes: usize,
    at_once: u64,
}

/// Does the same with both sides; how many messages were held by runs.
fn both_ways_come_to_the_same(seed: u64, version: ProtocolVersion, sizes: &Sizes) -> usize {
    let mut random = seed;
    let mut dice = |sides: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((random >> 33) % sides).unwrap()
    };
    let mut sides = [true, false].map(|in_runs| Side::new(version, in_runs, sizes.wire_bytes));
    // What the server has got and not answered to the end.
    let (mut open, mut stream, mut last) = (Vec::new(), Vec::new(), 0);
    for step in 0..120 {
        match dice(12) {
            0..4 => {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][dice(2)];
                let payloads: Vec<_> = (0..=dice(6)).map(|_| sizes.payloads[dice(4)]).collect();
                let retain = dice(8) == 0;
                sides.iter_mut().for_each(|side| side.publish(qos, &payloads, retain));
            }
            4..7 => {
                let most = [usize::MAX, dice(sizes.at_once)][dice(2)];
                let [sent, other] = sides.each_mut().map(|side| side.transmit(most));
                assert_eq!(sent, other, "seed {seed} step {step}");
                stream.extend(sent);
                let packets = whole_packets(&mut stream);
                let ids = packets.iter().filter(|(kind, ..)| *kind != 0x70);
                last = ids.map(|(_, high, low)| u16::from_be_bytes([*high, *low])).max().unwrap_or(last).max(last);
                open.extend(packets);
            }
            7..11 => {
                let mut answers = Vec::new();
                for _ in 0..dice(6).min(open.len()) {
                    // Mostly in order.
                    let place = if dice(5) == 0 { dice(open.len() as u64) } else { 0 };
                    let (kind, high, low): (u8, u8, u8) = open.remove(place);
                    let failed = version.is_v5() && dice(10) == 0;
                    answers.extend_from_slice(&[kind, if failed { 3 } else { 2 }, high, low]);
                    answers.extend(failed.then_some(0x80).filter(|_| kind != 0x70).or(failed.then_some(0x92)));
                }
                if dice(12) == 0 {
                    // For the message that is sent next.
                    let [high, low] = (last + 1).to_be_bytes();
                    answers.extend_from_slice(&[[0x40, 0x50, 0x70][dice(3)], 2, high, low]);
                }
                sides.iter_mut().for_each(|side| side.take(&answers));
            }
            11 if step == 0 || dice(3) == 0 => {
                let present = u8::from(dice(4) > 0 && step > 0);
                let connack = match dice(4) {
                    _ if !version.is_v5() => vec![0x20, 2, present, 0],
                    // Receive Maximum 3, Retain Available 0, Maximum Packet Size 20, Maximum QoS 1.
                    0 => vec![0x20, 8, present, 0, 5, 0x21, 0, 3, 0x25, 0],
                    1 => vec![0x20, 8, present, 0, 5, 0x27, 0, 0, 0, 20],
                    2 => vec![0x20, 5, present, 0, 2, 0x24, 1],
                    _ => vec![0x20, 3, present, 0, 0],
                };
                sides.iter_mut().for_each(|side| side.connect(&connack));
                (open, stream) = (Vec::new(), Vec::new());
            }
            _ => sides.iter_mut().for_each(|side| side.now = side.now.after_millis(700)),
        }
        let [runs, single] = &mut sides;
        assert_eq!(runs.told, single.told, "seed {seed} step {step}");
        let state = |side: &Side| (side.session.storage().in_flight(), side.session.send_quota());
        assert_eq!(state(runs), state(single), "seed {seed} step {step}");
        (runs.told, single.told) = (vec![], vec![]);
    }
    let [runs, single] = &sides;
    if runs.session.storage().in_flight() == 0 {
        assert_eq!(runs.session.storage().held_bytes(), single.session.storage().held_bytes(), "seed {seed}");
    }
    runs.held
}

/// Takes the packets of the client that are whole; how each is answered.
fn whole_packets(stream: &mut Vec<u8>) -> Vec<(u8, u8, u8)> {
    let mut answers = Vec::new();
    while let [first, rest @ ..] = &stream[..]
        && let Some(lengths) = rest.iter().position(|byte| byte & 0x80 == 0)
    {
        let len = (0..=lengths).map(|at| usize::from(rest[at] & 0x7F) << (7 * at)).sum::<usize>();
        let (head, kind) = (2 + lengths, *first);
        let Some(body) = stream.get(head..head + len) else { break };
        match kind >> 4 {
            3 => answers.push((if kind & 6 == 2 { 0x40 } else { 0x50 }, body[3], body[4])),
            6 => answers.push((0x70, body[0], body[1])),
            _ => {}
        }
        stream.drain(..head + len);
    }
    answers
}

#[test]
fn a_run_to_the_server_comes_to_the_same_as_its_messages_one_by_one() {
    let short = Sizes { payloads: [0, 3, 9, 130], wire_bytes: 60, at_once: 90 };
    // Some of these are written where they lie.
    let long = Sizes { payloads: [0, 40, 1500, 4000], wire_bytes: 9000, at_once: 12_000 };
    for (sizes, seeds) in [(short, 1000), (long, 50)] {
        let seeds = if cfg!(miri) { 2 } else { seeds };
        let mut held = 0;
        for seed in 0..seeds {
            for version in [V5, V3_1_1] {
                held += both_ways_come_to_the_same(seed, version, &sizes);
            }
        }
        assert!(held as u64 > 20 * seeds, "{held}");
    }
}

#[test]
fn one_message_of_a_run_keeps_the_bytes_of_its_part_and_counts_for_them() {
    let mut side = Side::new(V5, true, 60);
    side.connect(&[0x20, 3, 0, 0, 0]);
    side.publish(QoS::AtLeastOnce, &[20, 20, 20], false);
    let held = side.session.storage().held_bytes();
    assert!(held >= 3 * 20, "{held}");
    side.transmit(usize::MAX);
    for packet_id in [3, 1] {
        side.take(&[0x40, 2, 0, packet_id]);
        assert_eq!(side.session.storage().held_bytes(), held);
    }
    side.take(&[0x40, 2, 0, 2]);
    assert_eq!(side.session.storage().held_bytes(), 0);
}

#[test]
fn a_run_is_held_up_to_the_bound_in_bytes() {
    let mut side = Side::new(V5, true, 60);
    let limits = HeapLimits { held_bytes: 60, ..HeapLimits::default() };
    side.session = Session::new(Config { version: V5, ..Config::DEFAULT }, Heap::new(limits));
    side.connect(&[0x20, 3, 0, 0, 0]);
    // Each has 8 bytes beside its payload.
    side.publish(QoS::AtLeastOnce, &[20, 20, 20], false);
    assert_eq!((side.held, side.session.storage().in_flight()), (2, 2));
    side.publish(QoS::AtLeastOnce, &[20], false);
    assert_eq!(side.told.pop().unwrap(), "Bytes");
}

#[test]
fn a_buffer_that_is_taken_whole_comes_back_when_its_last_message_is_acknowledged() {
    let mut side = Side::new(V5, true, 60_000);
    side.connect(&[0x20, 3, 0, 0, 0]);
    side.publish(QoS::AtLeastOnce, &[3000, 3000, 3000], false);
    side.transmit(usize::MAX);
    for packet_id in [3, 1] {
        side.take(&[0x40, 2, 0, packet_id]);
        assert_eq!(side.session.storage_mut().take_spent(), None);
    }
    side.take(&[0x40, 2, 0, 2]);
    assert!(side.session.storage_mut().take_spent().is_some_and(|buffer| buffer.capacity() > 9000));
    assert_eq!(side.session.storage().held_bytes(), 0);
}

#[test]
fn a_run_whose_messages_are_acknowledged_before_its_last_byte_has_left_leaves_whole() {
    for loses_connection in [false, true] {
        let mut side = Side::new(V5, true, 60_000);
        side.connect(&[0x20, 3, 0, 0, 0]);
        side.publish(QoS::AtLeastOnce, &[3000, 3000, 3000], false);
        let mut sent = side.transmit(7000);
        (1..4).for_each(|packet_id| side.take(&[0x40, 2, 0, packet_id]));
        assert_eq!(side.session.storage().in_flight(), 0);
        assert_eq!(side.session.storage_mut().take_spent(), None);
        if loses_connection {
            side.connect(&[0x20, 3, 1, 0, 0]);
        } else {
            sent.extend(side.transmit(usize::MAX));
            assert_eq!(whole_packets(&mut sent).len(), 3);
            assert_eq!(sent, []);
        }
        assert!(side.session.storage_mut().take_spent().is_some());
        assert_eq!(side.session.storage().held_bytes(), 0);
    }
}
