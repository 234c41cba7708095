//! Malformed input, packet by packet: what the systematic tests of the other files do not reach.

use flowsdk::codec::{DecodeError, PropertyId};
use flowsdk::packet::{Packet, PublishHead};
use flowsdk::types::{
    ProtocolVersion,
    ProtocolVersion::{V3_1_1, V5},
    Role,
    Role::{Client, Server},
    TopicError,
};

use super::checks::refuses;
use super::notation::wire;

/// A line: sender, bytes, error, and the reason code that a DISCONNECT of v5.0 gives for it.
type Line = (Role, &'static str, DecodeError, u8);

const V5_LINES: &[Line] = &[
    // CONNECT
    (Client, "10 00", DecodeError::Truncated, 0x81),
    (Client, "10 06 0004'MQTT'", DecodeError::Truncated, 0x81),
    (Client, "10 07 0006'MQTT'05", DecodeError::Truncated, 0x81),
    (Client, "10 0E 0004'MQTT' 05 02 0000 00 0000 00", DecodeError::TrailingBytes, 0x81),
    (Client, "10 0D 0004'MQTT' 05 02 0000 00 0001", DecodeError::Truncated, 0x81),
    (Client, "10 0F 0004'MQTT' 05 02 0000 00 0000 0000", DecodeError::TrailingBytes, 0x81),
    (
        Client,
        "10 12 0004'MQTT' 05 02 0000 05 18 00000000 0000",
        DecodeError::MisplacedProperty(PropertyId::WillDelayInterval),
        0x81,
    ),
    (Client, "10 0E 0004'MQTT' 05 06 0000 00 0000 00", DecodeError::Truncated, 0x81),
    (Client, "10 11 0004'MQTT' 05 06 0000 00 0000 00 0001't'", DecodeError::Truncated, 0x81),
    (
        Client,
        "10 15 0004'MQTT' 05 06 0000 00 0000 02 01 02 0001't' 0000",
        DecodeError::PropertyValue(PropertyId::PayloadFormatIndicator),
        0x82,
    ),
    // CONNACK
    (Server, "20 00", DecodeError::Truncated, 0x81),
    (Server, "20 02 00 00", DecodeError::Truncated, 0x81),
    (Server, "20 04 00 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Server, "20 06 00 00 03 21 0000", DecodeError::PropertyValue(PropertyId::ReceiveMaximum), 0x82),
    (Server, "20 07 00 00 04 24 00 24 01", DecodeError::DuplicateProperty(PropertyId::MaximumQoS), 0x82),
    (Server, "20 05 00 00 02 7E 00", DecodeError::UnknownProperty(0x7E), 0x81),
    // PUBLISH
    (Client, "30 00", DecodeError::Truncated, 0x81),
    (Client, "30 03 0001't'", DecodeError::Truncated, 0x81),
    (Client, "30 04 0003't' 00", DecodeError::Truncated, 0x81),
    (Client, "32 04 0001't' 00", DecodeError::Truncated, 0x81),
    (Client, "30 05 0001't' 05 00", DecodeError::Truncated, 0x81),
    (Client, "30 07 0001't' 03 22 0001", DecodeError::MisplacedProperty(PropertyId::TopicAliasMaximum), 0x81),
    (Client, "30 06 0001't' 02 0B 01", DecodeError::OneSidedProperty(PropertyId::SubscriptionIdentifier), 0x82),
    (Server, "30 06 0001't' 02 0B 00", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier), 0x82),
    (Server, "30 0A 0001't' 06 23 0001 23 0001", DecodeError::DuplicateProperty(PropertyId::TopicAlias), 0x82),
    // PUBACK, PUBREC, PUBREL, PUBCOMP
    (Server, "40 00", DecodeError::Truncated, 0x81),
    (Server, "40 01 00", DecodeError::Truncated, 0x81),
    (Server, "40 05 0001 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Server, "40 04 0001 00 01", DecodeError::Truncated, 0x81),
    (Server, "50 05 0001 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Client, "62 05 0001 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Client, "70 05 0001 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Client, "62 03 0001 10", DecodeError::ReasonCode(0x10), 0x82),
    (Client, "40 03 0001 10", DecodeError::ReasonCode(0x10), 0x82),
    // SUBSCRIBE, SUBACK
    (Client, "82 00", DecodeError::Truncated, 0x81),
    (Client, "82 02 0001", DecodeError::Truncated, 0x81),
    (Client, "82 06 0001 00 0001'f'", DecodeError::Truncated, 0x81),
    (Client, "82 08 0001 00 0001'f' 00 00", DecodeError::Truncated, 0x81),
    (Client, "82 09 0001 02 0B 00 0001'f' 00", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier), 0x82),
    (
        Client,
        "82 0B 0001 04 0B 01 0B 02 0001'f' 00",
        DecodeError::DuplicateProperty(PropertyId::SubscriptionIdentifier),
        0x82,
    ),
    (Client, "82 0A 0001 00 0003'a#b' 00 00", DecodeError::TopicFilter(TopicError::MultiLevelWildcard), 0x82),
    (Server, "90 00", DecodeError::Truncated, 0x81),
    (Server, "90 02 0001", DecodeError::Truncated, 0x81),
    (Server, "90 03 0001 00", DecodeError::EmptyList, 0x82),
    // UNSUBSCRIBE, UNSUBACK
    (Client, "A2 00", DecodeError::Truncated, 0x81),
    (Client, "A2 07 0001 00 0001'f' 00", DecodeError::Truncated, 0x81),
    (Client, "A2 08 0001 02 0B 01 0001'f'", DecodeError::MisplacedProperty(PropertyId::SubscriptionIdentifier), 0x81),
    (Server, "B0 02 0001", DecodeError::Truncated, 0x81),
    (Server, "B0 03 0001 00", DecodeError::EmptyList, 0x82),
    // PINGREQ, PINGRESP
    (Client, "C0 01 00", DecodeError::TrailingBytes, 0x81),
    (Server, "D0 01 00", DecodeError::TrailingBytes, 0x81),
    // DISCONNECT
    (Client, "E0 03 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Client, "E0 02 00 01", DecodeError::Truncated, 0x81),
    (Client, "E0 01 8D", DecodeError::ReasonCode(0x8D), 0x82),
    (Server, "E0 01 04", DecodeError::ReasonCode(0x04), 0x82),
    (Server, "E0 07 00 05 11 00000001", DecodeError::OneSidedProperty(PropertyId::SessionExpiryInterval), 0x82),
    (Client, "E0 05 00 03 1C 0000", DecodeError::OneSidedProperty(PropertyId::ServerReference), 0x82),
    // AUTH
    (Server, "F0 01 00", DecodeError::Truncated, 0x81),
    (Server, "F0 01 18", DecodeError::Truncated, 0x81),
    (Server, "F0 02 18 00", DecodeError::AuthenticationMethod, 0x82),
    (Server, "F0 05 18 03 16 0000", DecodeError::AuthenticationMethod, 0x82),
    (Server, "F0 07 18 04 15 0001'm' 00", DecodeError::TrailingBytes, 0x81),
    (
        Server,
        "F0 0A 18 08 15 0001'm' 15 0001'm'",
        DecodeError::DuplicateProperty(PropertyId::AuthenticationMethod),
        0x82,
    ),
    // No packet
    (Client, "00 00", DecodeError::PacketType(0), 0x81),
    (Server, "0F", DecodeError::PacketType(0), 0x81),
];

/// There is no DISCONNECT of the server in v3.1.1; the reason code is what the error would be in v5.0.
const V3_LINES: &[Line] = &[
    // CONNECT
    (Client, "10 00", DecodeError::Truncated, 0x81),
    (Client, "10 0A 0004'MQTT' 04 02 0000", DecodeError::Truncated, 0x81),
    (Client, "10 0D 0004'MQTT' 04 02 0000 0000 00", DecodeError::TrailingBytes, 0x81),
    (Client, "10 0C 0004'MQTT' 04 06 0000 0000", DecodeError::Truncated, 0x81),
    (Client, "10 0C 0004'MQTT' 04 82 0000 0000", DecodeError::Truncated, 0x81),
    (Client, "10 0E 0004'MQTT' 04 C2 0000 0000 0000", DecodeError::Truncated, 0x81),
    (Client, "10 0E 0004'MQTT' 04 42 0000 0000 0000", DecodeError::PasswordWithoutUserName, 0x81),
    (Client, "10 0C 0004'MQTT' 04 00 0000 0000", DecodeError::ClientIdentifier, 0x85),
    // CONNACK
    (Server, "20 00", DecodeError::Truncated, 0x81),
    (Server, "20 01 00", DecodeError::Truncated, 0x81),
    (Server, "20 03 00 00 00", DecodeError::TrailingBytes, 0x81),
    (Server, "20 02 00 06", DecodeError::ReasonCode(6), 0x82),
    (Server, "20 02 00 80", DecodeError::ReasonCode(0x80), 0x82),
    // PUBLISH
    (Client, "30 00", DecodeError::Truncated, 0x81),
    (Client, "30 02 0001", DecodeError::Truncated, 0x81),
    (Client, "32 03 0001't'", DecodeError::Truncated, 0x81),
    (Client, "32 04 0001't' 01", DecodeError::Truncated, 0x81),
    // PUBACK, PUBREC, PUBREL, PUBCOMP
    (Server, "40 01 00", DecodeError::Truncated, 0x81),
    (Server, "40 03 0001 00", DecodeError::TrailingBytes, 0x81),
    (Server, "50 03 0001 00", DecodeError::TrailingBytes, 0x81),
    (Server, "62 03 0001 00", DecodeError::TrailingBytes, 0x81),
    (Server, "70 03 0001 00", DecodeError::TrailingBytes, 0x81),
    (Server, "70 04 0001 00 00", DecodeError::TrailingBytes, 0x81),
    // SUBSCRIBE, SUBACK
    (Client, "82 02 0001", DecodeError::EmptyList, 0x82),
    (Client, "82 05 0001 0001'f'", DecodeError::Truncated, 0x81),
    (Client, "82 07 0001 0001'f' 00 00", DecodeError::Truncated, 0x81),
    (Client, "82 06 0001 0001'f' 03", DecodeError::SubscriptionQoS, 0x82),
    (Client, "82 06 0001 0001'f' 04", DecodeError::SubscriptionOptions, 0x81),
    (Client, "82 06 0001 0001'f' 10", DecodeError::SubscriptionOptions, 0x81),
    (Client, "82 06 0001 0001'f' 80", DecodeError::SubscriptionOptions, 0x81),
    (Server, "90 02 0001", DecodeError::EmptyList, 0x82),
    (Server, "90 03 0001 03", DecodeError::ReasonCode(3), 0x82),
    // UNSUBSCRIBE, UNSUBACK
    (Client, "A2 02 0001", DecodeError::EmptyList, 0x82),
    (Client, "A2 06 0001 0001'f' 00", DecodeError::Truncated, 0x81),
    (Server, "B0 01 00", DecodeError::Truncated, 0x81),
    (Server, "B0 03 0001 00", DecodeError::TrailingBytes, 0x81),
    // PINGREQ, PINGRESP, DISCONNECT
    (Client, "C0 01 00", DecodeError::TrailingBytes, 0x81),
    (Server, "D0 01 00", DecodeError::TrailingBytes, 0x81),
    (Client, "E0 01 00", DecodeError::TrailingBytes, 0x81),
    (Client, "E0 02 00 00", DecodeError::TrailingBytes, 0x81),
    (Server, "E0 00", DecodeError::PacketType(14), 0x82),
    // No packet, and one that only v5.0 has
    (Client, "00 00", DecodeError::PacketType(0), 0x81),
    (Client, "F0 00", DecodeError::PacketType(15), 0x82),
    (Server, "F0 06 18 04 15 0001'm'", DecodeError::PacketType(15), 0x82),
];

#[test]
fn malformed_packets_of_v5_are_refused_with_their_error_and_reason_code() {
    refuses_all(V5, V5_LINES);
}

#[test]
fn malformed_packets_of_v3_1_1_are_refused_with_their_error() {
    refuses_all(V3_1_1, V3_LINES);
}

fn refuses_all(version: ProtocolVersion, lines: &[Line]) {
    for &(from, notation, error, reason_code) in lines {
        refuses(version, from, &wire(notation), error);
        assert_eq!(error.reason_code().byte(), reason_code, "{notation}: {error:?}");
    }
}

#[test]
fn an_error_says_which_rule_was_broken() {
    for (error, tag) in [
        (DecodeError::HeaderFlags, "[MQTT-2.1.3-1]"),
        (DecodeError::VariableByteInteger, "[MQTT-1.5.5-1]"),
        (DecodeError::Utf8, "[MQTT-1.5.4-1]"),
        (DecodeError::Nul, "[MQTT-1.5.4-2]"),
        (DecodeError::ProtocolName, "[MQTT-3.1.2-1]"),
        (DecodeError::ProtocolLevel(3), "[MQTT-3.1.2-2]"),
        (DecodeError::ConnectFlags, "[MQTT-3.1.2-3]"),
        (DecodeError::WillFlags, "[MQTT-3.1.2-11]"),
        (DecodeError::WillQoS, "[MQTT-3.1.2-12]"),
        (DecodeError::PasswordWithoutUserName, "[MQTT-3.1.2-22/3.1.1]"),
        (DecodeError::ClientIdentifier, "[MQTT-3.1.3-7/3.1.1]"),
        (DecodeError::ConnackFlags, "[MQTT-3.2.2-1]"),
        (DecodeError::SessionPresent, "[MQTT-3.2.2-6]"),
        (DecodeError::QoS, "[MQTT-3.3.1-4]"),
        (DecodeError::DupAtQoS0, "[MQTT-3.3.1-2]"),
        (DecodeError::PacketId, "[MQTT-2.2.1-4]"),
        (DecodeError::TopicAliasZero, "[MQTT-3.3.2-8]"),
        (DecodeError::SubscriptionOptions, "[MQTT-3.8.3-5]"),
        (DecodeError::NoLocalOnShared, "[MQTT-3.8.3-4]"),
        (DecodeError::EmptyList, "[MQTT-3.8.3-2] [MQTT-3.10.3-2]"),
        (DecodeError::Topic(TopicError::WildcardInName), "[MQTT-4.7.0-1]"),
        (DecodeError::TopicFilter(TopicError::MultiLevelWildcard), "[MQTT-4.7.1-1]"),
    ] {
        assert!(error.to_string().contains(tag), "{error} does not name {tag}");
    }
}

#[test]
fn an_empty_input_is_no_packet_yet() {
    for version in super::checks::VERSIONS {
        for from in super::checks::ROLES {
            assert_eq!(Packet::decode(&[], version, from), Ok(None));
            assert_eq!(PublishHead::decode(&[], version, from), Ok(None));
        }
    }
}
