//! Runs of packets, as a busy server sends them: checked like any others, at a part of the cost.
//!
//! What is taken here is what [`Session::handle_input`] would have taken, with the same outcome. Whatever needs more
//! than a look (an alias, properties, QoS 2, a fault, a full table, the beginning of a packet) is left to that.

use core::ops::Range;

use super::Session;
use super::config::Acknowledgement;
use super::event::Receipt;
use super::machine::Machine;
use super::storage::Heap;
use crate::codec::PacketType;
use crate::time::Instant;
use crate::types::{PacketId, QoS, ReasonCode, TopicName};

/// The first bytes of acknowledgements.
const PUBACK: u8 = PacketType::Puback.first_byte();
const PUBREC: u8 = PacketType::Pubrec.first_byte();
const PUBCOMP: u8 = PacketType::Pubcomp.first_byte();
/// Bytes of an acknowledgement without a reason code.
const SHORT_ACK: usize = 4;

/// The flags of a PUBLISH that are taken: of QoS, the lower bit.
const RETAIN: u8 = 0x01;
const AT_LEAST_ONCE: u8 = 0x02;
const DUP: u8 = 0x08;

/// A message of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plain<'i> {
    /// Where it is published; none where that is the topic of the message before.
    pub(crate) topic: Option<&'i str>,
    /// Where the payload stands in the input.
    pub(crate) payload: Range<usize>,
    /// The low four bits of its first byte.
    pub(crate) flags: u8,
    /// What acknowledges it; QoS 0 has none.
    pub(crate) receipt: Option<Receipt>,
}

/// A PUBLISH without properties.
struct Head<'i> {
    flags: u8,
    topic: &'i [u8],
    packet_id: Option<PacketId>,
    payload: &'i [u8],
    /// What is behind the packet.
    rest: &'i [u8],
}

impl Session<Heap> {
    /// Takes whole PUBLISH packets of QoS 0 and 1 without properties at the start of the input, each of which `take`
    /// hears of, up to the first that is anything else, or that would be one more to be acknowledged than `at_most`.
    /// Says how many bytes are done with.
    pub(crate) fn take_run<'i>(
        &mut self,
        now: Instant,
        input: &'i [u8],
        at_most: usize,
        mut take: impl FnMut(Plain<'i>),
    ) -> usize {
        let Self { machine, storage } = self;
        if !machine.may_run() {
            return 0;
        }
        let is_v5 = machine.version::<Heap>().is_v5();
        let code = (machine.config.acknowledgement == Acknowledgement::Automatic).then_some(ReasonCode::SUCCESS);
        let longest = machine.longest();
        let receive_maximum = if is_v5 { machine.receive_maximum } else { u16::MAX };
        let mut room = storage.room_for_run(usize::from(receive_maximum)).min(at_most);
        let (mut rest, mut last_topic) = (input, None);
        while let Some(head) = Head::decode(rest, is_v5).filter(|head| rest.len() - head.rest.len() <= longest) {
            let mut topic = None;
            if Some(head.topic) != last_topic {
                let Some(name) = valid_topic(head.topic) else { break };
                topic = Some(name);
            }
            let mut receipt = None;
            if let Some(packet_id) = head.packet_id {
                let serial = machine.last_serial.wrapping_add(1);
                if room == 0 || !storage.push_in_line(packet_id, serial, code) {
                    break;
                }
                room -= 1;
                machine.last_serial = serial;
                receipt = Some(Receipt { packet_id, serial });
            }
            let packet = rest;
            (rest, last_topic) = (head.rest, Some(head.topic));
            let end = input.len() - rest.len();
            take(Plain { topic, payload: end - head.payload.len()..end, flags: head.flags, receipt });
            if head.packet_id.is_none() {
                rest = take_alike(input, packet, &head, &mut take);
            }
        }
        let consumed = input.len() - rest.len();
        if consumed > 0 {
            machine.timers.has_received(now, input.len(), consumed);
        }
        consumed
    }

    /// Takes acknowledgements without a reason code at the start of the input, up to the first packet that is anything
    /// else: PUBACKs and PUBRECs of messages that were sent on this connection, and PUBCOMPs. `take` hears of messages
    /// that have come to their end: the first one, their QoS, and how many have consecutive identifiers. Says how many
    /// bytes are done with.
    pub(crate) fn take_acks(&mut self, now: Instant, input: &[u8], mut take: impl FnMut(PacketId, QoS, u16)) -> usize {
        let Self { machine, storage } = self;
        if !machine.may_run() || machine.longest() < SHORT_ACK {
            return 0;
        }
        let mut rest = input;
        while let [first, 2, high, low, ..] = *rest
            && let Some(packet_id) = PacketId::new(u16::from_be_bytes([high, low]))
        {
            let in_a_row = |at_most| acks_in_a_row(rest, packet_id, at_most);
            let (count, ended) = match first {
                PUBACK => (storage.end_sent(packet_id, QoS::AtLeastOnce, in_a_row), Some(QoS::AtLeastOnce)),
                PUBREC => (storage.end_sent(packet_id, QoS::ExactlyOnce, in_a_row), None),
                PUBCOMP => (storage.end_releases(packet_id, in_a_row), Some(QoS::ExactlyOnce)),
                _ => break,
            };
            if count == 0 {
                break;
            }
            rest = rest.get(usize::from(count) * SHORT_ACK..).unwrap_or(&[]);
            if let Some(qos) = ended {
                machine.in_flight = machine.in_flight.saturating_sub(count);
                take(packet_id, qos, count);
            } else {
                storage.push_releases(packet_id, count);
            }
        }
        let consumed = input.len() - rest.len();
        if consumed > 0 {
            machine.timers.has_received(now, input.len(), consumed);
        }
        consumed
    }

    /// Acknowledges the message of a receipt of QoS 1 and those of QoS 1 that came behind it, `count` in all. One of
    /// them that is acknowledged already stays as it is.
    pub(crate) fn acknowledge_run(&mut self, first: Receipt, count: u16) {
        self.storage.acknowledge_run(first.packet_id, first.serial, count);
    }
}

impl Machine {
    /// Whether PUBLISH packets may come, from their first byte on.
    const fn may_run(&self) -> bool {
        self.is_connected() && self.stream.is_none()
    }

    /// Bytes of the longest packet that is taken.
    fn longest(&self) -> usize {
        match self.config.receive_limit {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }
}

impl<'i> Head<'i> {
    /// Decodes the packet at the start of the input, if it is whole and of the plain kind.
    #[inline]
    fn decode(input: &'i [u8], is_v5: bool) -> Option<Self> {
        let (first, len, rest) = match *input {
            [first, len @ ..0x80, ref rest @ ..] => (first, usize::from(len), rest),
            // The shortest form of a length has no 0 behind.
            [first, low, high @ 1..0x80, ref rest @ ..] => {
                (first, usize::from(low & 0x7F) | usize::from(high) << 7, rest)
            }
            _ => return None,
        };
        let flags = first ^ PacketType::Publish.first_byte();
        if flags & !(DUP | AT_LEAST_ONCE | RETAIN) != 0 || flags & (DUP | AT_LEAST_ONCE) == DUP {
            return None;
        }
        let (body, rest) = rest.split_at_checked(len)?;
        let &[high, low, ref body @ ..] = body else { return None };
        let (topic, body) = body.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        let (packet_id, body) = match *body {
            [high, low, ref body @ ..] if flags & AT_LEAST_ONCE != 0 => {
                (Some(PacketId::new(u16::from_be_bytes([high, low]))?), body)
            }
            _ if flags & AT_LEAST_ONCE != 0 => return None,
            _ => (None, body),
        };
        let payload = match *body {
            [0, ref payload @ ..] if is_v5 => payload,
            _ if is_v5 => return None,
            _ => body,
        };
        Some(Self { flags, topic, packet_id, payload, rest })
    }
}

/// Takes those behind a first packet of QoS 0 that are as long as it and begin with the same bytes up to the payload,
/// which need not be looked at again. What is behind them.
#[inline]
fn take_alike<'i>(input: &[u8], first: &'i [u8], head: &Head<'i>, take: &mut impl FnMut(Plain<'i>)) -> &'i [u8] {
    let (len, payload_len) = (first.len() - head.rest.len(), head.payload.len());
    let same = first.get(..len - payload_len).unwrap_or(first);
    let mut rest = head.rest;
    while let Some((packet, behind)) = rest.split_at_checked(len)
        && packet.starts_with(same)
    {
        rest = behind;
        let end = input.len() - rest.len();
        take(Plain { topic: None, payload: end - payload_len..end, flags: head.flags, receipt: None });
    }
    rest
}

/// How many packets in front are like the first one, an acknowledgement of this identifier, but for identifiers that
/// follow one another.
#[inline]
fn acks_in_a_row(input: &[u8], first: PacketId, at_most: u16) -> u16 {
    let (packets, _) = input.as_chunks::<SHORT_ACK>();
    let Some(mut expected) = packets.first().copied().map(u32::from_be_bytes) else { return 0 };
    // Behind the last identifier the next number would be another packet.
    let at_most = at_most.min((u16::MAX - first.value()).saturating_add(1));
    let mut count = 0;
    for packet in packets.iter().take(at_most.into()) {
        if u32::from_be_bytes(*packet) != expected {
            break;
        }
        (count, expected) = (count + 1, expected.wrapping_add(1));
    }
    count
}

fn valid_topic(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    // A topic name has no NUL, which no string may have, and is not empty: then an alias stands for it.
    TopicName::new(text).ok().map(TopicName::as_str)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "the numbers are as small as the dice and the packets")]
mod tests {
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    use super::*;
    use crate::session::{ApplicationMessage, Config, ConnectOptions, Event, HeapLimits, PeerError, Topic};
    use crate::types::ProtocolVersion::{self, V3_1_1, V5};

    const NOW: Instant = Instant::from_millis(0);
    const RECEIVE_MAXIMUM: u16 = 6;
    const RECEIVE_LIMIT: u32 = 400;

    /// A session that is connected, and what it has told.
    struct Side {
        session: Session<Heap>,
        takes_runs: bool,
        input: Vec<u8>,
        told: Vec<String>,
        receipts: Vec<Receipt>,
        /// How many messages have come in runs.
        in_runs: usize,
    }

    impl Side {
        fn new(version: ProtocolVersion, acknowledgement: Acknowledgement, takes_runs: bool) -> Self {
            let config = Config {
                version,
                acknowledgement,
                receive_limit: RECEIVE_LIMIT,
                receive_maximum: RECEIVE_MAXIMUM,
                topic_alias_maximum: 2,
                ..Config::DEFAULT
            };
            let limits = HeapLimits { receive_window: RECEIVE_MAXIMUM, ..HeapLimits::default() };
            let mut session = Session::new(config, Heap::new(limits));
            session.connect(NOW, &ConnectOptions { client_id: "c", ..ConnectOptions::DEFAULT }).unwrap();
            let mut side = Self { session, takes_runs, input: vec![], told: vec![], receipts: vec![], in_runs: 0 };
            side.transmit();
            side.told.clear();
            let connack: &[u8] = if version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
            side.take(connack).unwrap();
            side
        }

        /// Publishes a message and sends it.
        fn publish(&mut self, qos: QoS) {
            let message = ApplicationMessage { topic: "t", qos, ..Default::default() };
            let _ = self.session.publish(NOW, &message);
            self.transmit();
        }

        fn transmit(&mut self) {
            while let Some(bytes) = self.session.poll_transmit(NOW) {
                let (len, text) = (bytes.len(), format!("{bytes:x?}"));
                self.told.push(text);
                self.session.consume_transmit(NOW, len);
            }
        }

        /// Takes more input, up to what is not whole or what stalls.
        fn take(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
            self.input.extend_from_slice(bytes);
            let input = std::mem::take(&mut self.input);
            let mut rest = &input[..];
            loop {
                if self.takes_runs {
                    rest = &rest[self.take_run(rest)..];
                    let Self { session, told, in_runs, .. } = self;
                    let taken = session.take_acks(NOW, rest, |first, _, count| {
                        told.extend((0..count).map(|steps| format!("acknowledged {}", first.after(steps))));
                        *in_runs += usize::from(count);
                    });
                    rest = &rest[taken..];
                }
                let progress = self.session.handle_input(NOW, rest)?;
                match progress.event {
                    Some(Event::Message(message)) => {
                        let topic = match message.topic {
                            Topic::Name(name) => name.as_str(),
                            topic => self.session.topic(topic).unwrap(),
                        };
                        let flags = u8::from(message.retain) | message.qos.bits() << 1 | u8::from(message.dup) << 3;
                        self.told.push(format!("{topic} {:?} {flags} {:?}", message.payload, message.receipt));
                        self.receipts.extend(message.receipt);
                    }
                    Some(Event::Published(it)) if it.reason_code == ReasonCode::SUCCESS && it.properties.is_empty() => {
                        self.told.push(format!("acknowledged {}", it.packet_id));
                    }
                    Some(event) => self.told.push(format!("{event:?}")),
                    None => {}
                }
                if !progress.goes_on() {
                    self.told.extend(progress.stalled.map(|stall| format!("{stall:?}")));
                    break;
                }
                rest = &rest[progress.consumed..];
            }
            self.input = rest.to_vec();
            Ok(())
        }

        fn take_run(&mut self, input: &[u8]) -> usize {
            let Self { session, told, receipts, in_runs, .. } = self;
            let mut topic = "";
            session.take_run(NOW, input, usize::MAX, |plain| {
                topic = plain.topic.unwrap_or(topic);
                told.push(format!("{topic} {:?} {} {:?}", &input[plain.payload], plain.flags, plain.receipt));
                receipts.extend(plain.receipt);
                *in_runs += 1;
            })
        }

        /// Acknowledges what has come in the order of `places`: in one go where that is by one after the other.
        fn acknowledge(&mut self, backwards: bool) {
            let receipts = std::mem::take(&mut self.receipts);
            match receipts.first() {
                Some(first) if self.takes_runs && !backwards => {
                    let last = receipts.last().map_or(0, |last| last.serial.wrapping_sub(first.serial));
                    self.session.acknowledge_run(*first, last + 1);
                }
                _ => {}
            }
            let ways: Vec<_> = if backwards { receipts.into_iter().rev().collect() } else { receipts };
            for receipt in ways {
                // What the run has done is done.
                let _ = self.session.acknowledge(NOW, receipt, ReasonCode::SUCCESS);
            }
            self.transmit();
        }
    }

    fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let len = match body.len() {
            len @ ..0x80 => vec![len as u8],
            len => vec![len as u8 | 0x80, (len >> 7) as u8],
        };
        [vec![first], len, body].concat()
    }

    fn publish(first: u8, topic: &[u8], id: u16, properties: Option<&[u8]>, payload: &[u8]) -> Vec<u8> {
        let id = if first & 6 == 0 { vec![] } else { id.to_be_bytes().to_vec() };
        let block = properties.map_or(vec![], |block| [&[block.len() as u8], block].concat());
        packet(first, &[&(topic.len() as u16).to_be_bytes(), topic, &id, &block, payload])
    }

    /// A packet by the dice: mostly messages that make runs, sometimes something else, and at the end of it all a
    /// fault.
    fn any_packet(dice: &mut impl FnMut(u64) -> u64, version: ProtocolVersion, id: &mut u16) -> Vec<u8> {
        let none: Option<&[u8]> = version.is_v5().then_some(&[]);
        let topic: &[u8] =
            [&b"a"[..], b"a/b", "\u{fc}/b".as_bytes(), &[b't'; 130]][dice(40).saturating_sub(36) as usize];
        let payload = vec![b'p' + dice(3) as u8; [0, 5, 117, 118, 300][dice(5) as usize]];
        let mut next = || {
            *id = if *id == u16::MAX { 1 } else { *id + 1 };
            *id
        };
        match dice(240) {
            200..230 => vec![0x40, 2, 0, dice(12) as u8 + u8::from(dice(30) > 0)],
            230..234 if version.is_v5() => vec![0x40, 3, 0, dice(12) as u8 + 1, [0, 0x10, 0x87][dice(3) as usize]],
            0..70 => publish(0x30, topic, 0, none, &payload),
            70..140 => publish(0x32, topic, next(), none, &payload),
            140..150 => publish(0x3B, topic, next(), none, &payload),
            150..155 => publish(0x31, topic, 0, none, &payload),
            155..160 => publish(0x34, topic, next(), none, &payload),
            160..163 => packet(0x62, &[&(*id).to_be_bytes()]),
            // Out of line, perhaps in use.
            163..167 => publish(0x32, topic, id.saturating_sub(dice(4) as u16).max(1), none, b""),
            167..172 => vec![0xD0, 0],
            172..178 if version.is_v5() => publish(0x32, topic, next(), Some(&[0x23, 0, 1]), b"alias set"),
            178..184 if version.is_v5() => publish(0x30, b"", 0, Some(&[0x23, 0, 1]), b"by alias"),
            184..190 if version.is_v5() => publish(0x32, topic, next(), Some(&[0x01, 0]), b"format"),
            190 => publish(0x30, b"", 0, none, b"no topic"),
            191 => publish(0x30, b"a/#", 0, none, b"wildcard"),
            192 => publish(0x30, b"a\0", 0, none, b"nul"),
            193 => publish(0x30, &[b'a', 0xFF], 0, none, b"no text"),
            194 => publish(0x32, topic, 0, none, b"no identifier"),
            195 => publish(0x38, topic, 0, none, b"repeated"),
            196 => publish(0x36, topic, 1, none, b"no qos"),
            197 => publish(0x30, topic, 0, none, &[0; 400]),
            198 => vec![0x30, 0x84, 0, 0, 1, b'a', 0],
            199 => vec![0x32, 3, 0, 1, b'a'],
            _ => publish(0x30, topic, 0, none, b"one more"),
        }
    }

    /// Feeds the same bytes, cut anywhere, to both sides; how many messages came in runs.
    fn both_ways_come_to_the_same(seed: u64, version: ProtocolVersion, acknowledgement: Acknowledgement) -> usize {
        let mut random = seed;
        let mut dice = |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let [mut runs, mut single] = [true, false].map(|takes_runs| Side::new(version, acknowledgement, takes_runs));
        let mut id = [0, u16::MAX - 3][dice(2) as usize];
        for step in 0..60 {
            for _ in 0..dice(3) {
                let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(dice(60) == 0)];
                runs.publish(qos);
                single.publish(qos);
            }
            let mut bytes = Vec::new();
            (0..dice(9)).for_each(|_| bytes.extend(any_packet(&mut dice, version, &mut id)));
            let (first, second) = bytes.split_at(dice(bytes.len() as u64 + 1) as usize);
            for piece in [first, second] {
                let (one, other) = (runs.take(piece), single.take(piece));
                assert_eq!(runs.told, single.told, "seed {seed} step {step}");
                assert_eq!(one, other, "seed {seed} step {step}");
                if one.is_err() {
                    return runs.in_runs;
                }
            }
            if dice(4) > 0 {
                let backwards = dice(3) == 0;
                runs.acknowledge(backwards);
                single.acknowledge(backwards);
            }
            assert_eq!(runs.told, single.told, "seed {seed} step {step}");
            assert_eq!(runs.input, single.input, "seed {seed} step {step}");
        }
        runs.in_runs
    }

    #[test]
    fn a_run_comes_to_the_same_as_its_packets_one_by_one() {
        let seeds = if cfg!(miri) { 4 } else { 1500 };
        let mut in_runs = 0;
        for seed in 0..seeds {
            for version in [V5, V3_1_1] {
                for acknowledgement in [Acknowledgement::Manual, Acknowledgement::Automatic] {
                    in_runs += both_ways_come_to_the_same(seed, version, acknowledgement);
                }
            }
        }
        assert!(in_runs as u64 > 40 * seeds, "{in_runs}");
    }
}
