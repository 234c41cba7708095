//! What the feature `arbitrary` makes is valid, and it makes everything there is.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Unstructured};
use flowsdk::arbitrary::SentPacket;
use flowsdk::codec::{Properties, Property, PropertyId, Writer};
use flowsdk::packet::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, Publish, Suback, Subscribe, Subscription, Subscriptions, Unsuback,
    Unsubscribe, Will,
};
use flowsdk::types::{PacketId, ProtocolVersion, ReasonCode, Role, TopicFilter, TopicName};
use proptest::collection::vec;
use proptest::prelude::*;

/// The bytes of a packet; only what cannot be written is refused.
fn encoded(version: ProtocolVersion, from: Role, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = packet.encode(&mut Writer::appending(&mut bytes), version, from);
    assert_eq!(written, Ok(()), "{packet:?} in {version:?} from {from:?}");
    bytes
}

/// Makes a packet of these bytes and writes it as a client, or as a server.
fn writes<'a, T: Arbitrary<'a>>(bytes: &'a [u8], from: Role, packet: impl Fn(T) -> Packet<'a>) {
    if let Ok(made) = T::arbitrary(&mut Unstructured::new(bytes)) {
        let packet = packet(made);
        let encoded = encoded(ProtocolVersion::V5, from, &packet);
        let decoded = Packet::decode(&encoded, ProtocolVersion::V5, from);
        assert_eq!(decoded, Ok(Some((packet, encoded.len()))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sent_packet_is_written_and_read_as_the_same(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(SentPacket { version, from, packet }) = Unstructured::new(&bytes).arbitrary() {
            let encoded = encoded(version, from, &packet);
            prop_assert_eq!(Packet::decode(&encoded, version, from), Ok(Some((packet, encoded.len()))));
        }
    }

    #[test]
    fn each_packet_by_itself_is_valid_in_version_5(bytes in vec(any::<u8>(), 0..200)) {
        writes::<Connect>(&bytes, Role::Client, Packet::Connect);
        writes::<Will>(&bytes, Role::Client, |will| Packet::Connect(Connect { will: Some(will), ..Connect::default() }));
        writes::<Connack>(&bytes, Role::Server, Packet::Connack);
        writes::<Publish>(&bytes, Role::Client, Packet::Publish);
        writes::<Ack>(&bytes, Role::Client, Packet::Ack);
        writes::<Subscribe>(&bytes, Role::Client, Packet::Subscribe);
        writes::<Suback>(&bytes, Role::Server, Packet::Suback);
        writes::<Unsubscribe>(&bytes, Role::Client, Packet::Unsubscribe);
        writes::<Unsuback>(&bytes, Role::Server, Packet::Unsuback);
        writes::<Disconnect>(&bytes, Role::Client, Packet::Disconnect);
        writes::<Auth>(&bytes, Role::Client, Packet::Auth);
        if let Ok(subscription) = Unstructured::new(&bytes).arbitrary::<Subscription<'_>>() {
            let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
            let list = [subscription];
            let subscribe = Subscribe { packet_id, subscriptions: Subscriptions::new(&list), properties };
            encoded(ProtocolVersion::V5, Role::Client, &Packet::Subscribe(subscribe));
        }
    }

    #[test]
    fn topics_keep_the_rules(bytes in vec(prop_oneof![Just(b'/'), Just(b'+'), Just(b'#'), any::<u8>()], 0..60)) {
        if let Ok(name) = Unstructured::new(&bytes).arbitrary::<TopicName<'_>>() {
            prop_assert!(TopicName::new(name.as_str()).is_ok());
        }
        if let Ok(filter) = Unstructured::new(&bytes).arbitrary::<TopicFilter<'_>>() {
            prop_assert!(TopicFilter::new(filter.as_str()).is_ok());
        }
    }
}

/// Bytes that follow a number by a simple generator.
fn bytes_of(seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..200).map(|_| next()).collect()
}

#[test]
fn every_packet_type_property_and_reason_code_is_made() {
    let (mut types, mut properties, mut codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..20_000 {
        let bytes = bytes_of(seed);
        let sent: SentPacket<'_> = Unstructured::new(&bytes).arbitrary().expect("enough bytes");
        let first = encoded(sent.version, sent.from, &sent.packet)[0];
        types.insert((sent.version.level(), first >> 4));
        properties.insert(Unstructured::new(&bytes).arbitrary::<Property<'_>>().expect("enough bytes").id());
        codes.insert(Unstructured::new(&bytes).arbitrary::<ReasonCode>().expect("enough bytes").byte());
    }
    assert_eq!(types.len(), 14 + 15, "{types:?}");
    let all_ids: BTreeSet<_> = (0..=u8::MAX).filter_map(PropertyId::from_number).collect();
    assert_eq!(properties, all_ids);
    let all_codes: BTreeSet<_> = (0..=u8::MAX).filter(|byte| ReasonCode::from_byte(*byte).is_some()).collect();
    assert_eq!(codes, all_codes);
}

#[test]
fn a_packet_has_none_one_or_more_properties() {
    let count = |bytes: &[u8]| {
        let publish: Publish<'_> = Unstructured::new(bytes).arbitrary().expect("enough bytes");
        publish.properties.iter().count()
    };
    let counts: BTreeSet<_> = (0..20_000).map(|seed| count(&bytes_of(seed))).collect();
    assert!(counts.contains(&0) && counts.contains(&1) && counts.contains(&2), "{counts:?}");
}
