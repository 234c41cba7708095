//! The codec asks for no memory, and the client for none that only a claim of the server stands for or that it has
//! already. A binary of its own, as the counter takes the place of the allocator.

#[cfg(feature = "std")]
#[path = "allocations/claims.rs"]
mod claims;
#[allow(dead_code, reason = "the codec tests use the rest")]
#[path = "codec/golden.rs"]
mod golden;
#[path = "codec/golden_v3.rs"]
mod golden_v3;
#[path = "codec/golden_v5.rs"]
mod golden_v5;
#[allow(dead_code, reason = "the codec tests use the rest")]
#[path = "codec/notation.rs"]
mod notation;
#[cfg(feature = "std")]
#[path = "allocations/publishing.rs"]
mod publishing;

use std::alloc::System;

use flowsdk::codec::Writer;
use flowsdk::packet::Packet;
use flowsdk::types::{ProtocolVersion, Role};
use libtest_mimic::{Arguments, Trial};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    // The counter counts for the whole process: nothing else may run beside a test.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = vec![
        trial("the_counter_counts", the_counter_counts),
        trial("decoding_and_reading_a_packet_allocates_nothing", decoding_and_reading_a_packet_allocates_nothing),
        trial("encoding_a_packet_allocates_nothing", encoding_a_packet_allocates_nothing),
        trial("refusing_a_packet_allocates_nothing", refusing_a_packet_allocates_nothing),
        #[cfg(feature = "std")]
        trial(
            "a_server_that_claims_256_mib_is_left_at_once_and_costs_no_memory",
            claims::a_server_that_claims_256_mib_is_left_at_once_and_costs_no_memory,
        ),
        #[cfg(feature = "std")]
        trial(
            "a_packet_within_the_limit_gets_memory_only_as_it_comes",
            claims::a_packet_within_the_limit_gets_memory_only_as_it_comes,
        ),
        #[cfg(feature = "std")]
        trial(
            "long_messages_one_after_the_other_fill_one_buffer",
            publishing::long_messages_one_after_the_other_fill_one_buffer,
        ),
        #[cfg(feature = "std")]
        trial(
            "messages_of_4_kib_fill_the_buffers_of_those_before",
            publishing::messages_of_4_kib_fill_the_buffers_of_those_before,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

/// How often `body` asks for memory.
fn allocations(body: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    body();
    let change = region.change();
    change.allocations + change.reallocations
}

fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 100]))), 1);
}

fn decoding_and_reading_a_packet_allocates_nothing() {
    for case in golden::all() {
        let bytes = case.wire().bytes;
        let mut read = 0;
        let count = allocations(|| {
            let decoded = Packet::decode(&bytes, case.version, case.from);
            assert_eq!(decoded, Ok(Some((case.packet, bytes.len()))));
            read = decoded.map_or(0, |decoded| decoded.map_or(0, |(packet, _)| entries(&packet)));
        });
        assert_eq!(count, 0, "{:?}", case.packet);
        assert_eq!(read, entries(&case.packet));
    }
}

/// Reads the lazy parts of a packet to their end.
fn entries(packet: &Packet<'_>) -> usize {
    match packet {
        Packet::Connect(packet) => packet.properties.iter().count(),
        Packet::Connack(packet) => packet.properties.iter().count(),
        Packet::Publish(packet) => packet.properties.iter().count(),
        Packet::Ack(packet) => packet.properties.iter().count(),
        Packet::Subscribe(packet) => packet.properties.iter().count() + packet.subscriptions.iter().count(),
        Packet::Suback(packet) => packet.properties.iter().count() + packet.reason_codes().count(),
        Packet::Unsubscribe(packet) => packet.properties.iter().count() + packet.filters.iter().count(),
        Packet::Unsuback(packet) => packet.properties.iter().count() + packet.reason_codes().count(),
        Packet::Disconnect(packet) => packet.properties.iter().count(),
        Packet::Auth(packet) => packet.properties.iter().count(),
        Packet::Pingreq | Packet::Pingresp => 0,
    }
}

fn encoding_a_packet_allocates_nothing() {
    for case in golden::all() {
        let bytes = case.wire().bytes;
        let mut buffer = vec![0; bytes.len()];
        let count = allocations(|| {
            let mut counting = Writer::counting();
            assert_eq!(case.packet.encode(&mut counting, case.version, case.from), Ok(()));
            let mut writer = Writer::new(&mut buffer);
            assert_eq!(case.packet.encode(&mut writer, case.version, case.from), Ok(()));
            assert_eq!(writer.written(), counting.written());
        });
        assert_eq!((count, &buffer), (0, &bytes), "{:?}", case.packet);
    }
}

fn refusing_a_packet_allocates_nothing() {
    for notation in [
        "20 03 00 00 05",
        "20 06 00 00 03 21 0000",
        "30 03 0000 00",
        "30 04 0001 FF 00",
        "40 02 0000",
        "90 03 0001 00",
        "C0 FF FF FF FF",
        "E0 01 04",
        "F0 02 18 00",
    ] {
        let bytes = notation::wire(notation);
        let mut refused = false;
        let count = allocations(|| refused = Packet::decode(&bytes, ProtocolVersion::V5, Role::Server).is_err());
        assert_eq!((count, refused), (0, true), "{notation}");
    }
}
