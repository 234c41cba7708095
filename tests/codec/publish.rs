//! PUBLISH: its flags, its topic, its alias.

use flowsdk::codec::{DecodeError, Property};
use flowsdk::packet::{Delivery, Packet, PublishHead};
use flowsdk::types::{
    ProtocolVersion::{V3_1_1, V5},
    QoS,
    Role::{Client, Server},
    TopicError,
};

use super::checks::{ROLES, VERSIONS, accepts, both_ways, refuses};
use super::golden::{QOS_0, id, nz16, publish};
use super::notation::{packet, wire};

/// `[MQTT-3.3.1-2]` `[MQTT-3.3.1-4]` `[MQTT-2.2.1-2]` `[MQTT-4.3.1-1]`
#[test]
fn each_of_the_16_flags_is_accepted_or_refused_by_its_rule() {
    for (version, no_properties) in [(V3_1_1, ""), (V5, "00")] {
        for flags in 0..16_u8 {
            let packet_id = if flags & 0b0110 == 0 { "" } else { "0007" };
            let bytes = packet(0x30 | flags, &wire(&format!("0001't' {packet_id} {no_properties} 'p'")));
            for from in ROLES {
                match (flags & 0b1000 != 0, flags >> 1 & 0b11) {
                    (_, 3) => refuses(version, from, &bytes, DecodeError::QoS),
                    (true, 0) => refuses(version, from, &bytes, DecodeError::DupAtQoS0),
                    (dup, qos) => {
                        let Packet::Publish(publish) = accepts(version, from, &bytes) else { panic!("a PUBLISH") };
                        assert_eq!(publish.delivery.qos().bits(), qos);
                        assert_eq!(publish.delivery.dup(), dup);
                        assert_eq!(publish.delivery.packet_id(), (qos > 0).then(|| id(7)));
                        assert_eq!((publish.retain, publish.payload), (flags & 1 != 0, &b"p"[..]));
                        both_ways(version, from, &bytes, Packet::Publish(publish));
                    }
                }
            }
        }
    }
    assert_eq!(DecodeError::QoS.reason_code().byte(), 0x81);
    assert_eq!(DecodeError::DupAtQoS0.reason_code().byte(), 0x81);
}

/// `[MQTT-3.3.2-2]` `[MQTT-4.7.0-1]` `[MQTT-4.7.3-1]`
#[test]
fn a_topic_that_is_no_topic_name_is_refused() {
    for from in ROLES {
        for topic in ["0001'+'", "0001'#'", "0003'a/+'", "0003'a/#'", "0002'a+'", "0005'a/#/b'"] {
            let error = DecodeError::Topic(TopicError::WildcardInName);
            refuses(V3_1_1, from, &packet(0x30, &wire(topic)), error);
            refuses(V5, from, &packet(0x30, &wire(&format!("{topic} 00"))), error);
            refuses(V5, from, &packet(0x32, &wire(&format!("{topic} 0001 03 23 0001"))), error);
            assert_eq!(error.reason_code().byte(), 0x82);
        }
        refuses(V3_1_1, from, &wire("30 02 0000"), DecodeError::Topic(TopicError::Empty));
        refuses(V3_1_1, from, &wire("32 04 0000 0001"), DecodeError::Topic(TopicError::Empty));
        refuses(V5, from, &wire("30 03 0000 00"), DecodeError::NoTopic);
        refuses(V5, from, &wire("30 0A 0000 07 26 0001'a'0001'b'"), DecodeError::NoTopic);
    }
    assert_eq!(DecodeError::NoTopic.reason_code().byte(), 0x82);
}

/// `[MQTT-3.3.2-8]`
#[test]
fn a_topic_alias_stands_for_a_topic_and_is_not_0() {
    for from in ROLES {
        let alias = const { &[Property::TopicAlias(nz16(0xFFFF))] };
        both_ways(V5, from, &wire("30 06 0000 03 23 FFFF"), publish("", QOS_0, false, alias, b""));
        both_ways(V5, from, &wire("30 07 0001't' 03 23 FFFF"), publish("t", QOS_0, false, alias, b""));
        refuses(V5, from, &wire("30 06 0000 03 23 0000"), DecodeError::TopicAliasZero);
        refuses(V5, from, &wire("30 07 0001't' 03 23 0000"), DecodeError::TopicAliasZero);
    }
    assert_eq!(DecodeError::TopicAliasZero.reason_code().byte(), 0x94);
    let Packet::Publish(publish) = publish("", QOS_0, false, const { &[Property::TopicAlias(nz16(9))] }, b"") else {
        panic!("a PUBLISH")
    };
    assert_eq!(publish.topic_alias(), Some(9));
}

/// `[MQTT-2.2.1-4]`
#[test]
fn packet_id_0_is_refused_in_every_packet_that_has_one() {
    for (version, none) in [(V3_1_1, ""), (V5, "00")] {
        for from in ROLES {
            for first_byte in [0x32, 0x3A, 0x34, 0x3C] {
                let bytes = packet(first_byte, &wire(&format!("0001't' 0000 {none}")));
                refuses(version, from, &bytes, DecodeError::PacketId);
            }
            for first_byte in [0x40, 0x50, 0x62, 0x70] {
                refuses(version, from, &packet(first_byte, &wire("0000")), DecodeError::PacketId);
            }
        }
        for (from, first_byte, behind) in
            [(Client, 0x82, "0001'f' 00"), (Client, 0xA2, "0001'f'"), (Server, 0x90, "00"), (Server, 0xB0, "")]
        {
            let bytes = packet(first_byte, &wire(&format!("0000 {none} {behind}")));
            refuses(version, from, &bytes, DecodeError::PacketId);
        }
    }
    assert_eq!(DecodeError::PacketId.reason_code().byte(), 0x82);
}

#[test]
fn the_head_of_a_long_publish_is_read_without_its_payload() {
    for (version, behind) in [(V3_1_1, ""), (V5, "03 23 0005")] {
        let head = wire(&format!("3B 8080 8001 0003'a/b' 0007 {behind}"));
        let decoded = PublishHead::decode(&head, version, Client).expect("well-formed").expect("a whole head");
        assert_eq!((decoded.publish.topic, decoded.publish.retain), ("a/b", true));
        assert_eq!(decoded.publish.delivery, Delivery::AtLeastOnce { packet_id: id(7), dup: true });
        assert_eq!(decoded.head_len, head.len());
        assert_eq!(decoded.payload_len, 0x20_0000 + 5 - head.len());
        assert_eq!(Packet::decode(&head, version, Client), Ok(None));
    }
}

#[test]
fn a_bad_head_is_refused_before_the_payload_is_there() {
    for (version, notation, error) in [
        (V5, "36 FF7F", DecodeError::QoS),
        (V5, "38 FF7F", DecodeError::DupAtQoS0),
        (V5, "30 FF7F 0001'+' 00", DecodeError::Topic(TopicError::WildcardInName)),
        (V5, "30 FF7F 0001 FF", DecodeError::Utf8),
        (V5, "32 FF7F 0001't' 0000", DecodeError::PacketId),
        (V5, "30 FF7F 0000 00", DecodeError::NoTopic),
        (V5, "30 FF7F 0001't' 03 23 0000", DecodeError::TopicAliasZero),
        (V5, "30 FF7F 0001't' FFFFFFFF", DecodeError::VariableByteInteger),
        (V3_1_1, "30 FF7F 0000", DecodeError::Topic(TopicError::Empty)),
        (V3_1_1, "32 FF7F 0001't' 0000", DecodeError::PacketId),
    ] {
        assert_eq!(PublishHead::decode(&wire(notation), version, Server), Err(error), "{notation}");
    }
}

#[test]
fn a_delivery_is_made_for_each_qos() {
    assert_eq!(Delivery::first(QoS::AtMostOnce, id(1)), Delivery::AtMostOnce);
    let once = Delivery::first(QoS::AtLeastOnce, id(1));
    assert_eq!((once.qos(), once.packet_id(), once.dup()), (QoS::AtLeastOnce, Some(id(1)), false));
    let exactly = Delivery::first(QoS::ExactlyOnce, id(2));
    assert_eq!((exactly.qos(), exactly.packet_id(), exactly.dup()), (QoS::ExactlyOnce, Some(id(2)), false));
    for version in VERSIONS {
        assert!(PublishHead::decode(&[], version, Client).is_ok_and(|head| head.is_none()));
    }
}
