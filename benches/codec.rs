//! What decoding and encoding a packet costs: nanoseconds, bytes a second, allocations.
//!
//! `cargo bench --bench codec`. Every kind of packet stands as its longest line in the golden tables; PUBLISH packets
//! with a payload of 64 bytes stand beside a floor: code written by hand for nothing but this packet, with the same
//! checks.

#[allow(dead_code, reason = "the codec tests use the rest")]
#[path = "../tests/codec/golden.rs"]
mod golden;
#[path = "../tests/codec/golden_v3.rs"]
mod golden_v3;
#[path = "../tests/codec/golden_v5.rs"]
mod golden_v5;
#[allow(dead_code, reason = "the codec tests use the rest")]
#[path = "../tests/codec/notation.rs"]
mod notation;

use std::alloc::System;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use flowsdk::codec::Writer;
use flowsdk::packet::{Delivery, Packet, Publish};
use flowsdk::types::{PacketId, ProtocolVersion, QoS, Role};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SAMPLES: usize = 31;
const CALLS: u32 = 20_000;
const TOPIC: &str = "bench/topic";
const PAYLOAD: [u8; 64] = [b'x'; 64];
const V5: ProtocolVersion = ProtocolVersion::V5;

/// Nanoseconds a call of each, taken in turns so that a disturbance meets all: the medians.
fn nanoseconds<const N: usize>(mut bodies: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut samples = [const { Vec::<f64>::new() }; N];
    for _ in 0..SAMPLES {
        for (body, samples) in bodies.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            body();
            samples.push(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
        }
    }
    samples.map(|mut samples| {
        samples.sort_unstable_by(f64::total_cmp);
        samples[SAMPLES / 2]
    })
}

/// A body for [`nanoseconds`].
fn repeat(mut call: impl FnMut()) -> impl FnMut() {
    move || (0..CALLS).for_each(|_| call())
}

fn encoded(packet: &Packet<'_>, version: ProtocolVersion, from: Role) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut Writer::appending(&mut bytes), version, from).expect("a valid packet");
    bytes
}

fn main() {
    println!("{:<24} {:>5} {:>9} {:>9} {:>9} {:>9} {:>6}", "", "bytes", "decode", "MB/s", "encode", "MB/s", "allocs");
    let mut longest = BTreeMap::new();
    for case in golden::all() {
        let bytes = case.wire().bytes;
        let version = if case.version == V5 { "v5.0" } else { "v3.1.1" };
        let name = format!("{} {version}", kind(&case.packet));
        let entry = longest.entry(name).or_insert((case, bytes.clone()));
        if bytes.len() > entry.1.len() {
            *entry = (case, bytes);
        }
    }
    for (name, (case, bytes)) in &longest {
        line(name, &case.packet, bytes, case.version, case.from);
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let publish = message(qos);
        let bytes = encoded(&publish, V5, Role::Server);
        line(&format!("PUBLISH 64 B QoS {}", qos.bits()), &publish, &bytes, V5, Role::Server);
    }
    against_the_floor();
}

fn kind(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Ack(ack) => format!("{:?}", ack.kind).to_uppercase(),
        other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_uppercase(),
    }
}

fn message(qos: QoS) -> Packet<'static> {
    let delivery = Delivery::first(qos, PacketId::MIN);
    Packet::Publish(Publish { topic: TOPIC, payload: &PAYLOAD, delivery, ..Publish::default() })
}

fn line(name: &str, packet: &Packet<'_>, bytes: &[u8], version: ProtocolVersion, from: Role) {
    assert_eq!(Packet::decode(bytes, version, from), Ok(Some((*packet, bytes.len()))), "{name}");
    let mut buffer = vec![0; bytes.len()];
    let region = Region::new(ALLOCATOR);
    let _ = black_box(Packet::decode(black_box(bytes), version, from));
    let _ = black_box(packet.encode(&mut Writer::new(&mut buffer), version, from));
    let allocations = region.change().allocations;
    let [decode, encode] = nanoseconds([
        &mut repeat(|| {
            let _ = black_box(Packet::decode(black_box(bytes), version, from));
        }),
        &mut repeat(|| {
            let _ = black_box(black_box(packet).encode(&mut Writer::new(black_box(&mut buffer)), version, from));
        }),
    ]);
    let rate = |nanoseconds: f64| bytes.len() as f64 * 1e3 / nanoseconds;
    println!(
        "{name:<24} {:>5} {decode:>6.1} ns {:>9.0} {encode:>6.1} ns {:>9.0} {allocations:>6}",
        bytes.len(),
        rate(decode),
        rate(encode)
    );
}

fn against_the_floor() {
    let publish = message(QoS::AtLeastOnce);
    let bytes = encoded(&publish, V5, Role::Server);
    let Packet::Publish(expected) = publish else { unreachable!() };
    assert_eq!(floor::decode(&bytes), Some((expected.topic, 1, &PAYLOAD[..], bytes.len())));
    for place in 0..bytes.len() {
        // Where the floor refuses, so does the codec: they check the same.
        let mut broken = bytes.clone();
        broken[place] = 0;
        let decoded = Packet::decode(&broken, V5, Role::Server).ok().flatten();
        let is_same_kind =
            matches!(decoded, Some((Packet::Publish(Publish { delivery: Delivery::AtLeastOnce { .. }, .. }), _)));
        assert_eq!(floor::decode(&broken).is_some(), is_same_kind, "byte {place}");
    }
    let mut buffer = vec![0; bytes.len()];
    let mut other = buffer.clone();
    assert_eq!((floor::encode(&mut other, TOPIC, 1, &PAYLOAD), &other), (Some(bytes.len()), &bytes));
    let [ours, floor, our_encode, floor_encode] = nanoseconds([
        &mut repeat(|| {
            let _ = black_box(Packet::decode(black_box(&bytes), V5, Role::Server));
        }),
        &mut repeat(|| {
            let _ = black_box(floor::decode(black_box(&bytes)));
        }),
        &mut repeat(|| {
            let _ = black_box(black_box(&publish).encode(&mut Writer::new(black_box(&mut buffer)), V5, Role::Client));
        }),
        &mut repeat(|| {
            let _ = black_box(floor::encode(black_box(&mut other), black_box(TOPIC), 1, black_box(&PAYLOAD)));
        }),
    ]);
    println!("\nPUBLISH QoS 1, 64 B, beside code for nothing else with the same checks:");
    println!("decode {ours:.1} ns, floor {floor:.1} ns: {:.2} times", ours / floor);
    println!("encode {our_encode:.1} ns, floor {floor_encode:.1} ns: {:.2} times", our_encode / floor_encode);
}

/// A PUBLISH of QoS 1 of v5.0 without properties, by hand.
mod floor {
    /// Topic, packet identifier, payload and length.
    #[inline(never)]
    pub(super) fn decode(input: &[u8]) -> Option<(&str, u16, &[u8], usize)> {
        let (&first, rest) = input.split_first()?;
        if first >> 4 != 3 || first >> 1 & 3 != 1 {
            return None;
        }
        let (mut remaining, mut head) = (0, 0);
        loop {
            let byte = *rest.get(head)?;
            remaining |= usize::from(byte & 0x7F) << (7 * head);
            head += 1;
            if byte & 0x80 == 0 {
                // A length in more bytes than it needs is malformed.
                if byte == 0 && head > 1 {
                    return None;
                }
                break;
            }
            if head == 4 {
                return None;
            }
        }
        let body = rest.get(head..head + remaining)?;
        let (len, body) = body.split_first_chunk()?;
        let (topic, body) = body.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let topic = std::str::from_utf8(topic).ok()?;
        if topic.is_empty() || topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#')) {
            return None;
        }
        let (packet_id, body) = body.split_first_chunk()?;
        let packet_id = u16::from_be_bytes(*packet_id);
        let (&properties, payload) = body.split_first()?;
        if packet_id == 0 || properties != 0 {
            return None;
        }
        Some((topic, packet_id, payload, 1 + head + remaining))
    }

    /// The length, where the packet is shorter than 128 bytes and fits.
    #[inline(never)]
    pub(super) fn encode(into: &mut [u8], topic: &str, packet_id: u16, payload: &[u8]) -> Option<usize> {
        let remaining = 5 + topic.len() + payload.len();
        if topic.is_empty() || remaining > 127 || topic.bytes().any(|byte| matches!(byte, 0 | b'+' | b'#')) {
            return None;
        }
        let into = into.get_mut(..remaining + 2)?;
        let (head, rest) = into.split_at_mut(4);
        head.copy_from_slice(&[0x32, remaining as u8, 0, topic.len() as u8]);
        let (place, rest) = rest.split_at_mut(topic.len());
        place.copy_from_slice(topic.as_bytes());
        let (middle, place) = rest.split_at_mut(3);
        middle.copy_from_slice(&[(packet_id >> 8) as u8, packet_id as u8, 0]);
        place.copy_from_slice(payload);
        Some(remaining + 2)
    }
}
