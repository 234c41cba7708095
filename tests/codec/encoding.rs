//! What is written: the golden tables, and what cannot be written.

use flowsdk::codec::{EncodeError, Properties, Property, PropertyId, Writer};
use flowsdk::packet::{
    AckKind, Connect, Filters, Packet, Publish, RetainHandling, Suback, Subscribe, Subscription, Subscriptions,
    Unsuback, Unsubscribe, Will,
};
use flowsdk::types::{
    ProtocolVersion::{V3_1_1, V5},
    QoS, ReasonCode,
    Role::{Client, Server},
    TopicError,
};

use super::checks::{VERSIONS, both_ways, encoded, refuses_to_write};
use super::golden::{self, QOS_0, ack, auth, connack, disconnect, id, publish, qos_1};
use super::notation::{packet, prefixed, wire};

const USER: &[Property<'static>] = &[Property::UserProperty("a", "b")];

/// `[MQTT-2.1.3-1]` `[MQTT-3.1.2-1]` `[MQTT-3.1.2-2]` `[MQTT-3.1.3-1]` `[MQTT-3.1.2-9]` `[MQTT-3.1.2-12]`
/// `[MQTT-3.1.2-17]` `[MQTT-3.1.2-19]` `[MQTT-3.1.3-3]` `[MQTT-3.1.3-12]` `[MQTT-3.3.2-1]` `[MQTT-2.2.1-2]`
/// `[MQTT-4.3.1-1]` `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.14.1-1]` `[MQTT-3.15.1-1]`
#[test]
fn every_golden_packet_is_read_and_written_byte_by_byte() {
    for case in golden::all() {
        both_ways(case.version, case.from, &case.wire().bytes, case.packet);
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_slice_that_is_too_small_has_no_room_at_every_size() {
    for case in golden::all() {
        let len = case.wire().bytes.len();
        for size in 0..len {
            let mut buffer = vec![0; size];
            let mut writer = Writer::new(&mut buffer);
            let result = case.packet.encode(&mut writer, case.version, case.from);
            let told = (result, writer.written());
            assert_eq!(told, (Err(EncodeError::NoRoom), len), "{size} of {len} bytes for {:?}", case.packet);
        }
        let mut buffer = vec![0xEE; len + 1];
        let written = case.packet.encode(&mut Writer::new(&mut buffer), case.version, case.from);
        assert_eq!((written, buffer[len]), (Ok(()), 0xEE), "{:?}", case.packet);
    }
}

#[test]
fn what_is_wrong_with_a_packet_is_told_before_that_it_has_no_room() {
    let wrong = Publish {
        topic: "a/topic",
        properties: Properties::new(&[Property::ServerKeepAlive(1)]),
        ..Publish::default()
    };
    for size in 0..12 {
        let mut buffer = vec![0; size];
        let result = wrong.encode(&mut Writer::new(&mut buffer), V5, Client);
        assert_eq!(result, Err(EncodeError::MisplacedProperty(PropertyId::ServerKeepAlive)), "{size} bytes");
    }
}

#[cfg(feature = "std")]
#[test]
fn appending_keeps_what_a_vec_holds() {
    for case in golden::all() {
        let mut bytes = b"before".to_vec();
        let mut writer = Writer::appending(&mut bytes);
        case.packet.encode(&mut writer, case.version, case.from).expect("a golden packet");
        assert_eq!(writer.written(), case.wire().bytes.len());
        assert_eq!(bytes, [b"before", &case.wire().bytes[..]].concat());
    }
}

/// In a `Vec` a length is put before a body that is there already.
#[cfg(feature = "std")]
#[test]
fn a_vec_gets_what_a_slice_gets_whatever_its_lengths_take() {
    for len in (0..300).chain(16_250..16_400).chain(2_097_050..2_097_160) {
        let payload = vec![0xAB; len];
        let text = "x".repeat(len % 150);
        let properties = [Property::ContentType(&text), Property::MessageExpiryInterval(7)];
        let properties = Properties::new(&properties[..len % 3]);
        let message =
            Packet::Publish(Publish { topic: "a/topic", payload: &payload, properties, ..Publish::default() });
        let mut slice = vec![0; len + 200];
        let mut writer = Writer::new(&mut slice);
        message.encode(&mut writer, V5, Client).expect("room enough");
        let written = writer.written();
        let mut bytes = b"before".to_vec();
        let mut writer = Writer::appending(&mut bytes);
        message.encode(&mut writer, V5, Client).expect("a growing buffer");
        assert_eq!(writer.written(), written);
        assert!(bytes == [b"before", &slice[..written]].concat(), "a payload of {len} bytes");
    }
}

/// `[MQTT-1.5.5-1]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn the_remaining_length_is_written_in_as_few_bytes_as_can_be() {
    for (version, head) in [(V3_1_1, wire("0001't'")), (V5, wire("0001't' 00"))] {
        for len in [0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000] {
            let payload = vec![0xAB; len - head.len()];
            let message = Packet::Publish(Publish { topic: "t", payload: &payload, ..Publish::default() });
            both_ways(version, Client, &packet(0x30, &[&head[..], &payload].concat()), message);
        }
    }
}

/// `[MQTT-2.2.2-1]`
#[test]
fn a_packet_without_properties_says_so_only_in_v5() {
    let publish = publish("t", QOS_0, false, &[], b"");
    assert_eq!(encoded(V5, Client, &publish), wire("30 04 0001't' 00"));
    assert_eq!(encoded(V3_1_1, Client, &publish), wire("30 03 0001't'"));
    let will = Will { topic: "t", ..Will::default() };
    let connect = Connect { client_id: "c", will: Some(will), ..Connect::default() };
    let in_v5 = wire("10 14 0004'MQTT' 05 04 0000 00 0001'c' 00 0001't' 0000");
    assert_eq!(encoded(V5, Client, &Packet::Connect(connect)), in_v5);
    let old = Packet::Connect(Connect { version: V3_1_1, ..connect });
    assert_eq!(encoded(V3_1_1, Client, &old), wire("10 12 0004'MQTT' 04 04 0000 0001'c' 0001't' 0000"));
}

/// `[MQTT-3.1.3-4]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn the_longest_field_has_65535_bytes() {
    let text = "x".repeat(65_536);
    for version in VERSIONS {
        let connect = |client_id| Packet::Connect(Connect { version, client_id, ..Connect::default() });
        let longest = &text[1..];
        let head: &[u8] = if version.is_v5() { b"\0\x04MQTT\x05\0\0\0\0" } else { b"\0\x04MQTT\x04\0\0\0" };
        both_ways(version, Client, &packet(0x10, &[head, &prefixed(longest.as_bytes())].concat()), connect(longest));
        refuses_to_write(version, Client, &connect(&text), EncodeError::FieldTooLong);
        let password = Some(text.as_bytes());
        let connect = Connect { version, clean_start: true, username: Some(""), password, ..Connect::default() };
        refuses_to_write(version, Client, &Packet::Connect(connect), EncodeError::FieldTooLong);
    }
}

#[test]
fn a_packet_that_no_remaining_length_can_say_is_too_long() {
    let payload = vec![0; 268_435_456];
    for (version, head) in [(V3_1_1, 3), (V5, 4)] {
        let longest = 268_435_455 - head;
        for (len, result) in [(longest, Ok(())), (longest + 1, Err(EncodeError::TooLong))] {
            let message = Publish { topic: "t", payload: &payload[..len], ..Publish::default() };
            let mut writer = Writer::counting();
            assert_eq!(message.encode(&mut writer, version, Client), result, "{version:?} with {len} bytes");
        }
    }
}

#[test]
fn v3_1_1_cannot_say_what_only_v5_has() {
    for packet in [
        connack(false, ReasonCode::SUCCESS, USER),
        publish("t", QOS_0, false, USER, b""),
        ack(AckKind::Puback, 1, ReasonCode::SUCCESS, USER),
        Packet::Suback(Suback { packet_id: id(1), codes: &[0], properties: Properties::new(USER) }),
        Packet::Unsuback(Unsuback { packet_id: id(1), codes: &[], properties: Properties::new(USER) }),
        Packet::Unsuback(Unsuback { packet_id: id(1), codes: &[0], properties: Properties::EMPTY }),
        disconnect(ReasonCode::SUCCESS, &[]),
        auth(ReasonCode::SUCCESS, &[]),
    ] {
        refuses_to_write(V3_1_1, Server, &packet, EncodeError::NotInVersion);
    }
    let connect = Connect { version: V3_1_1, clean_start: true, ..Connect::default() };
    let will = Will { topic: "t", properties: Properties::new(USER), ..Will::default() };
    for packet in [
        Packet::Connect(Connect { properties: Properties::new(USER), ..connect }),
        Packet::Connect(Connect { will: Some(will), ..connect }),
        disconnect(ReasonCode::DISCONNECT_WITH_WILL, &[]),
        disconnect(ReasonCode::SUCCESS, USER),
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            subscriptions: (&[Subscription::new("f", QoS::AtMostOnce)]).into(),
            properties: Properties::new(USER),
        }),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: id(1),
            filters: (&["f"]).into(),
            properties: Properties::new(USER),
        }),
    ] {
        refuses_to_write(V3_1_1, Client, &packet, EncodeError::NotInVersion);
    }
}

#[test]
fn an_acknowledgement_of_v3_1_1_is_its_packet_id_whatever_its_code() {
    for (kind, reason_code, bytes) in [
        (AckKind::Puback, ReasonCode::NOT_AUTHORIZED, "40 02 0007"),
        (AckKind::Pubrec, ReasonCode::QUOTA_EXCEEDED, "50 02 0007"),
        (AckKind::Pubrel, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, "62 02 0007"),
        (AckKind::Pubcomp, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, "70 02 0007"),
    ] {
        assert_eq!(encoded(V3_1_1, Client, &ack(kind, 7, reason_code, &[])), wire(bytes));
    }
}

/// `[MQTT-3.8.3-4/3.1.1]`
#[test]
fn subscription_options_of_v5_never_reach_a_v3_1_1_subscribe() {
    let plain = Subscription::new("f", QoS::AtLeastOnce);
    for option in [
        Subscription { no_local: true, ..plain },
        Subscription { retain_as_published: true, ..plain },
        Subscription { retain_handling: RetainHandling::SendIfNew, ..plain },
        Subscription { retain_handling: RetainHandling::DoNotSend, ..plain },
    ] {
        let list = [plain, option];
        let properties = Properties::EMPTY;
        let packet = Subscribe { packet_id: id(1), subscriptions: Subscriptions::new(&list), properties };
        refuses_to_write(V3_1_1, Client, &Packet::Subscribe(packet), EncodeError::NotInVersion);
    }
}

/// `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`
#[test]
fn a_list_of_filters_or_codes_is_never_empty() {
    let properties = Properties::EMPTY;
    let subscribe = Subscribe { packet_id: id(1), subscriptions: Subscriptions::default(), properties };
    let unsubscribe = Unsubscribe { packet_id: id(1), filters: Filters::default(), properties };
    let suback = Suback { packet_id: id(1), codes: &[], properties };
    for version in VERSIONS {
        refuses_to_write(version, Client, &Packet::Subscribe(subscribe), EncodeError::EmptyList);
        refuses_to_write(version, Client, &Packet::Unsubscribe(unsubscribe), EncodeError::EmptyList);
        refuses_to_write(version, Server, &Packet::Suback(suback), EncodeError::EmptyList);
    }
    let unsuback = Unsuback { packet_id: id(1), codes: &[], properties };
    refuses_to_write(V5, Server, &Packet::Unsuback(unsuback), EncodeError::EmptyList);
}

/// `[MQTT-4.7.3-1]` `[MQTT-3.3.2-2]` `[MQTT-4.7.0-1]` `[MQTT-3.1.3-11]`
#[test]
fn a_message_or_a_will_is_written_only_to_a_topic_name() {
    let too_long = "x".repeat(65_536);
    for version in VERSIONS {
        for (topic, error) in [
            ("a/+", TopicError::WildcardInName),
            ("a/#", TopicError::WildcardInName),
            ("a\0", TopicError::Nul),
            (&too_long, TopicError::TooLong),
        ] {
            refuses_to_write(version, Client, &message(topic, &[]), error.into());
            refuses_to_write(version, Client, &will(version, topic), error.into());
        }
        refuses_to_write(version, Client, &will(version, ""), TopicError::Empty.into());
    }
    refuses_to_write(V3_1_1, Client, &message("", &[]), TopicError::Empty.into());
    refuses_to_write(V5, Client, &message("", USER), EncodeError::NoTopic);
    let alias = [Property::TopicAlias(golden::nz16(1))];
    refuses_to_write(V3_1_1, Client, &message("", &alias), TopicError::Empty.into());
    refuses_to_write(V5, Client, &message("+", &alias), TopicError::WildcardInName.into());
}

fn message<'a>(topic: &'a str, properties: &'a [Property<'a>]) -> Packet<'a> {
    let properties = Properties::new(properties);
    Packet::Publish(Publish { topic, delivery: qos_1(1, false), properties, ..Publish::default() })
}

fn will(version: flowsdk::types::ProtocolVersion, topic: &str) -> Packet<'_> {
    let will = Some(Will { topic, ..Will::default() });
    Packet::Connect(Connect { version, client_id: "c", will, ..Connect::default() })
}

#[test]
fn a_packet_of_enhanced_authentication_names_its_method() {
    let data = &[Property::AuthenticationData(b"d")];
    for packet in [
        auth(ReasonCode::CONTINUE_AUTHENTICATION, &[]),
        auth(ReasonCode::CONTINUE_AUTHENTICATION, data),
        auth(ReasonCode::SUCCESS, USER),
        connack(false, ReasonCode::SUCCESS, data),
    ] {
        refuses_to_write(V5, Server, &packet, EncodeError::AuthenticationMethod);
    }
    let connect = Connect { properties: Properties::new(data), ..Connect::default() };
    refuses_to_write(V5, Client, &Packet::Connect(connect), EncodeError::AuthenticationMethod);
}

#[test]
fn a_refusal_never_comes_with_a_session() {
    refuses_to_write(V5, Server, &connack(true, ReasonCode::BANNED, &[]), EncodeError::SessionPresent);
    refuses_to_write(V3_1_1, Server, &connack(true, ReasonCode::NOT_AUTHORIZED, &[]), EncodeError::SessionPresent);
}

/// `[MQTT-3.3.4-6]`
#[test]
fn a_client_never_publishes_with_a_subscription_identifier() {
    let properties = &[Property::SubscriptionIdentifier(1)];
    let packet = publish("t", QOS_0, false, properties, b"");
    refuses_to_write(V5, Client, &packet, EncodeError::MisplacedProperty(PropertyId::SubscriptionIdentifier));
    both_ways(V5, Server, &wire("30 06 0001't' 02 0B 01"), packet);
    let received = wire("30 06 0001't' 02 0B 01");
    let received = super::checks::accepts(V5, Server, &received);
    refuses_to_write(V5, Client, &received, EncodeError::MisplacedProperty(PropertyId::SubscriptionIdentifier));
}

#[test]
fn a_writer_that_has_failed_writes_no_more_and_says_so_but_counts() {
    let mut buffer = [0; 3];
    let mut writer = Writer::new(&mut buffer);
    writer.u8(1);
    writer.u32(5);
    writer.u8(9);
    assert_eq!((writer.finish(), writer.written()), (Err(EncodeError::NoRoom), 6));
    assert_eq!(buffer, [1, 0, 0]);

    let mut writer = Writer::counting();
    let refused = Publish { topic: "", ..Publish::default() }.encode(&mut writer, V5, Client);
    assert_eq!((refused, writer.finish()), (Err(EncodeError::NoTopic), Err(EncodeError::NoTopic)));
}
