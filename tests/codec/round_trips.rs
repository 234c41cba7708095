//! What is written is read as the same, by chance and in numbers; and no bytes whatever make the decoder panic.

use flowsdk::codec::{EncodeError, Writer};
use flowsdk::packet::Packet;
use flowsdk::types::{ProtocolVersion, Role};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::arbitrary;
use super::checks::{ROLES, VERSIONS, decodes_to, encoded, holds_together};
use super::golden;
use super::notation::packet;

/// What can be sent: a version, a sender, a packet.
fn sent() -> impl Strategy<Value = (ProtocolVersion, Role, Packet<'static>)> {
    (select(&VERSIONS[..]), select(&ROLES[..])).prop_flat_map(|(version, from)| {
        arbitrary::packet(version, from).prop_map(move |packet| (version, from, packet))
    })
}

/// Golden packets with some bytes changed, taken out or put in, and a length that fits again or not.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let packets: Vec<Vec<u8>> = golden::all().map(|case| case.wire().bytes).collect();
    let changes = proptest::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..4);
    (select(packets), changes, any::<bool>()).prop_map(|(whole, changes, fits)| {
        let mut bytes = whole;
        for (place, value, change) in changes {
            let place = place.index(bytes.len());
            match change {
                0 => bytes[place] = value,
                1 => bytes[place] ^= 1 << (value % 8),
                2 => bytes.insert(place, value),
                _ if bytes.len() > 2 => drop(bytes.remove(place)),
                _ => {}
            }
        }
        if fits { packet(bytes[0], &bytes[2..]) } else { bytes }
    })
}

/// How often a property is tried: so often, or as PROPTEST_CASES says.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").map_or(usual, |cases| cases.parse().expect("a number"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(2000), max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_is_read_as_it_was_written((version, from, packet) in sent()) {
        let bytes = encoded(version, from, &packet);
        decodes_to(version, from, &bytes, packet);
        let (read, _) = Packet::decode(&bytes, version, from)?.expect("a whole packet");
        prop_assert_eq!(encoded(version, from, &read), bytes);
    }

    #[test]
    fn every_prefix_of_a_packet_awaits_the_rest((version, from, packet) in sent()) {
        let bytes = encoded(version, from, &packet);
        for len in 0..bytes.len() {
            prop_assert_eq!(Packet::decode(&bytes[..len], version, from), Ok(None));
        }
    }

    #[test]
    fn a_smaller_slice_has_no_room_and_a_larger_one_is_left_alone((version, from, packet) in sent()) {
        let len = encoded(version, from, &packet).len();
        let mut buffer = vec![0xEE; len + 8];
        for size in 0..len {
            let mut writer = Writer::new(&mut buffer[..size]);
            prop_assert_eq!(packet.encode(&mut writer, version, from), Err(EncodeError::NoRoom));
            prop_assert!(buffer[size..].iter().all(|byte| *byte == 0xEE));
        }
        prop_assert_eq!(packet.encode(&mut Writer::new(&mut buffer), version, from), Ok(()));
        prop_assert_eq!(&buffer[len..], [0xEE; 8]);
    }

    #[test]
    fn a_damaged_packet_is_refused_awaited_or_another_packet(bytes in damaged()) {
        holds_together(&bytes);
    }

    #[test]
    fn bytes_by_chance_are_refused_awaited_or_a_packet(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        holds_together(&bytes);
    }

    #[test]
    fn a_body_by_chance_behind_any_first_byte_is_refused_or_a_packet(
        first_byte in any::<u8>(),
        body in proptest::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..30),
    ) {
        holds_together(&packet(first_byte, &body));
    }

    #[test]
    fn a_packet_in_the_version_or_from_the_side_it_is_not_for_never_panics((version, from, packet) in sent()) {
        let bytes = encoded(version, from, &packet);
        holds_together(&bytes);
        for (version, from) in VERSIONS.into_iter().flat_map(|version| ROLES.map(|from| (version, from))) {
            let mut counting = Writer::counting();
            if packet.encode(&mut counting, version, from).is_ok() {
                prop_assert_eq!(encoded(version, from, &packet).len(), counting.written());
            }
        }
    }
}
