use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::codec::{Properties, Writer};
use crate::packet::{Delivery, Publish, Subscription};
use crate::session::storage::{NoteReceived, Store};
use crate::session::{Config, ConnectOptions, DropReason, Event, HeapLimits, Misuse};
use crate::types::ProtocolVersion::{self, V3_1_1, V5};
use crate::types::{PacketId, Role};

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
        Self::with_window(version, in_runs, wire_bytes, 9)
    }

    fn with_window(version: ProtocolVersion, in_runs: bool, wire_bytes: usize, window: u16) -> Self {
        let config = Config { version, ..Config::DEFAULT };
        let limits = HeapLimits { window, wire_bytes, ..HeapLimits::default() };
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
            match session.hold_run(*now, &mut bytes, start, run) {
                Ok(part) => {
                    told.extend((0..part.count).map(|steps| format!("{}", part.first.after(steps))));
                    assert_eq!(part.bytes, frames[..part.count.into()].concat().len());
                    taken = part.count.into();
                    self.held += taken;
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

    fn subscribe(&mut self) {
        let subscribed = self.session.subscribe(self.now, &[Subscription::new("t", QoS::AtMostOnce)], &[]);
        self.told.push(format!("{subscribed:?}"));
    }

    /// What has been noted for the disk gets there, or the batch in the making ends at least.
    fn end_batch(&mut self, is_durable: bool) {
        let storage = self.session.storage_mut();
        self.told.extend(storage.take_changes().iter().map(|change| format!("{change:?}")));
        let batch = storage.end_batch(false);
        self.told.push(format!("{batch:?}"));
        if let Some(batch) = batch.filter(|_| is_durable) {
            storage.set_durable(batch);
        }
    }

    /// What is known of an identifier.
    fn knows(&mut self, packet_id: PacketId) -> (bool, Option<(QoS, bool)>, bool, bool) {
        let storage = self.session.storage_mut();
        let is_in_use = storage.is_in_use(packet_id);
        (is_in_use, storage.held(packet_id), storage.has_sent(packet_id), storage.has_release(packet_id))
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
                let taken = session.take_acks(*now, input, |first, qos, count| {
                    told.extend((0..count).map(|steps| format!("{} {qos:?} done", first.after(steps))));
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
                    if !self.in_runs {
                        self.session.storage_mut().take_apart();
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

/// How long the payloads are, what the wire has room for, how much is sent at once, how many messages come or are
/// answered together, and how many are in flight.
struct Sizes {
    payloads: [usize; 4],
    wire_bytes: usize,
    at_once: u64,
    longest_run: u64,
    window: u16,
}

/// Does the same with both sides; how many messages were held by runs, and after how many steps some were in line.
fn both_ways_come_to_the_same(seed: u64, version: ProtocolVersion, sizes: &Sizes) -> (usize, usize) {
    let mut random = seed;
    let mut dice = |sides: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((random >> 33) % sides).unwrap()
    };
    let mut sides = [true, false].map(|in_runs| Side::with_window(version, in_runs, sizes.wire_bytes, sizes.window));
    // Some go over the end of the circle of identifiers.
    let mut last = PacketId::new([1, u16::MAX - 30][dice(2)]).unwrap();
    let is_kept = dice(3) == 0;
    for side in &mut sides {
        side.session.machine.last_packet_id = last;
        if is_kept {
            side.session.storage_mut().keep_ledger(NoteReceived::OnReceipt);
        }
    }
    // What the server has got and not answered to the end.
    let (mut open, mut stream) = (Vec::new(), Vec::new());
    let mut counted = 0;
    for step in 0..120 {
        match dice(13) {
            0..4 => {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][dice(2)];
                let payloads: Vec<_> = (0..=dice(sizes.longest_run)).map(|_| sizes.payloads[dice(4)]).collect();
                let retain = dice(8) == 0;
                sides.iter_mut().for_each(|side| side.publish(qos, &payloads, retain));
            }
            4..7 => {
                let most = [usize::MAX, dice(sizes.at_once)][dice(2)];
                let [sent, other] = sides.each_mut().map(|side| side.transmit(most));
                assert_eq!(sent, other, "seed {seed} step {step}");
                stream.extend(sent);
                let packets = whole_packets(&mut stream);
                let ids = packets.iter().rfind(|(kind, ..)| matches!(kind, 0x40 | 0x50));
                last = ids.map_or(last, |(_, high, low)| PacketId::new(u16::from_be_bytes([*high, *low])).unwrap());
                open.extend(packets);
            }
            7..11 => {
                let mut answers = Vec::new();
                let strays = [5, 50][dice(2)];
                for _ in 0..dice(sizes.longest_run).min(open.len()) {
                    // Mostly in order.
                    let place = if dice(strays) == 0 { dice(open.len() as u64) } else { 0 };
                    let (kind, high, low): (u8, u8, u8) = open.remove(place);
                    if kind == 0x90 {
                        let len = if version.is_v5() { 4 } else { 3 };
                        answers.extend_from_slice(&[kind, len, high, low, 0, 0][..2 + usize::from(len)]);
                        continue;
                    }
                    let failed = version.is_v5() && dice(2 * strays) == 0;
                    answers.extend_from_slice(&[kind, if failed { 3 } else { 2 }, high, low]);
                    answers.extend(failed.then_some(0x80).filter(|_| kind != 0x70).or(failed.then_some(0x92)));
                }
                if dice(12) == 0 {
                    // For the message that is sent next.
                    let [high, low] = last.next().value().to_be_bytes();
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
            11 => sides.iter_mut().for_each(|side| side.now = side.now.after_millis(700)),
            _ if is_kept => {
                let is_durable = dice(3) > 0;
                sides.iter_mut().for_each(|side| side.end_batch(is_durable));
            }
            _ => sides.iter_mut().for_each(Side::subscribe),
        }
        let [runs, single] = &mut sides;
        assert_eq!(runs.told, single.told, "seed {seed} step {step}");
        let state = |side: &Side| (side.session.storage().in_flight(), side.session.send_quota());
        assert_eq!(state(runs), state(single), "seed {seed} step {step}");
        for packet_id in (0..4).map(|_| last.after(u16::try_from(dice(60)).unwrap()).after(u16::MAX - 30)) {
            assert_eq!(runs.knows(packet_id), single.knows(packet_id), "seed {seed} step {step}: {packet_id}");
        }
        counted += usize::from(runs.session.storage().in_line() > 1);
        (runs.told, single.told) = (vec![], vec![]);
    }
    let [runs, single] = &sides;
    if runs.session.storage().in_flight() == 0 {
        assert_eq!(runs.session.storage().held_bytes(), single.session.storage().held_bytes(), "seed {seed}");
    }
    assert_eq!(single.session.storage().in_line(), 0);
    (runs.held, counted)
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
            8 => answers.push((0x90, body[0], body[1])),
            _ => {}
        }
        stream.drain(..head + len);
    }
    answers
}

#[test]
fn a_run_to_the_server_comes_to_the_same_as_its_messages_one_by_one() {
    let short = Sizes { payloads: [0, 3, 9, 130], wire_bytes: 60, at_once: 90, longest_run: 6, window: 9 };
    let many = Sizes { payloads: [0, 1, 2, 3], wire_bytes: 400, at_once: 500, longest_run: 25, window: 50 };
    // Some of these are written where they lie.
    let long = Sizes { payloads: [0, 40, 1500, 4000], wire_bytes: 9000, at_once: 12_000, longest_run: 6, window: 9 };
    for (sizes, seeds) in [(short, 1000), (many, 500), (long, 50)] {
        let seeds = if cfg!(miri) { 2 } else { seeds };
        let (mut held, mut counted) = (0, 0);
        for seed in 0..seeds {
            for version in [V5, V3_1_1] {
                let (in_runs, in_line) = both_ways_come_to_the_same(seed, version, &sizes);
                (held, counted) = (held + in_runs, counted + in_line);
            }
        }
        // Two seeds may have bad luck.
        assert!(cfg!(miri) || held as u64 > 20 * seeds, "{held}");
        assert!(cfg!(miri) || counted as u64 > 20 * seeds, "{counted}");
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

#[test]
fn messages_that_are_held_sent_and_acknowledged_in_their_order_are_only_counted() {
    for (qos, first_answer) in [(QoS::AtLeastOnce, 0x40), (QoS::ExactlyOnce, 0x50)] {
        let mut side = Side::with_window(V5, true, 60, 100);
        side.connect(&[0x20, 6, 0, 0, 3, 0x21, 0, 20]);
        for _ in 0..5 {
            side.publish(qos, &[9; 8], false);
        }
        let (mut open, mut stream) = (40, Vec::new());
        while open > 0 {
            assert_eq!(side.session.storage().in_line(), open);
            let sent = side.transmit(100);
            assert!(!sent.is_empty());
            stream.extend(sent);
            for (kind, high, low) in whole_packets(&mut stream) {
                open -= usize::from(kind != first_answer || kind == 0x40);
                side.take(&[kind, 2, high, low]);
            }
        }
        assert_eq!(side.session.storage().in_flight(), 0);
    }
}

#[test]
fn the_identifiers_of_a_run_go_around_those_that_are_in_use() {
    let mut side = Side::new(V5, true, 60_000);
    side.connect(&[0x20, 3, 0, 0, 0]);
    let told = |side: &mut Side| std::mem::take(&mut side.told).join(" ");
    told(&mut side);
    side.session.machine.last_packet_id = PacketId::new(4).unwrap();
    side.session.subscribe(side.now, &[Subscription::new("t", QoS::AtMostOnce)], &[]).unwrap();
    side.session.machine.last_packet_id = PacketId::new(1).unwrap();
    side.publish(QoS::AtLeastOnce, &[1; 3], false);
    assert_eq!((told(&mut side), side.held), ("2 3 4".into(), 3));
    side.publish(QoS::AtLeastOnce, &[1; 2], false);
    assert_eq!((told(&mut side), side.held), ("6 7".into(), 5));
    side.session.machine.last_packet_id = PacketId::new(u16::MAX - 1).unwrap();
    // A line ends where the next one of its identifiers is in use.
    side.publish(QoS::AtLeastOnce, &[1; 4], false);
    assert_eq!((told(&mut side), side.held), ("65535 1 8 9".into(), 7));
    side.transmit(usize::MAX);
    side.take(&[0x40, 2, 0, 6, 0x40, 2, 0, 2, 0x40, 2, 0, 9, 0x40, 2, 255, 255, 0x40, 2, 0, 1]);
    assert_eq!(side.session.storage().in_flight(), 4);
}

#[test]
fn behind_the_last_identifier_comes_the_first_one_and_no_other_packet() {
    let last = PacketId::MAX.value().to_be_bytes();
    for (behind, told) in [([0x40, 2, 0, 1], "1 AtLeastOnce done"), ([0x40, 3, 0, 0], "Decode(PacketId)")] {
        let mut side = Side::new(V5, true, 60_000);
        side.connect(&[0x20, 3, 0, 0, 0]);
        side.session.machine.last_packet_id = PacketId::new(u16::MAX - 1).unwrap();
        side.publish(QoS::AtLeastOnce, &[1; 3], false);
        side.transmit(usize::MAX);
        side.take(&[&[0x40, 2, last[0], last[1]][..], &behind, &[0]].concat());
        let heard = side.told.join(" ");
        assert!(heard.contains("65535 AtLeastOnce done") && heard.contains(told), "{heard}");
    }
}

#[test]
fn no_message_of_a_run_gets_the_identifier_of_a_request_or_of_a_pubrel() {
    let mut side = Side::new(V5, true, 60_000);
    side.connect(&[0x20, 3, 0, 0, 0]);
    side.session.machine.last_packet_id = PacketId::new(4).unwrap();
    side.subscribe();
    side.session.machine.last_packet_id = PacketId::new(7).unwrap();
    side.publish(QoS::ExactlyOnce, &[1], false);
    side.transmit(usize::MAX);
    side.take(&[0x50, 2, 0, 8]);
    for (last, expected) in [(1, "2 3 4 6"), (6, "7 9 10")] {
        side.told.clear();
        side.session.machine.last_packet_id = PacketId::new(last).unwrap();
        side.publish(QoS::AtLeastOnce, &vec![1; expected.split(' ').count()], false);
        assert_eq!(side.told.join(" "), expected);
    }
}
