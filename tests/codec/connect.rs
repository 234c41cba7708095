//! CONNECT and CONNACK: their flags, their names, what must be there together.

use flowsdk::codec::{DecodeError, EncodeError};
use flowsdk::packet::{Connack, Connect, Packet};
use flowsdk::types::{
    ProtocolVersion,
    ProtocolVersion::{V3_1_1, V5},
    ReasonCode,
    Role::{Client, Server},
    TopicError,
};

use super::checks::{VERSIONS, accepts, both_ways, refuses, refuses_to_write};
use super::notation::{packet, wire};

const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

/// What the standard says of a byte of CONNECT flags.
fn verdict(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    if flags & 0x01 != 0 {
        Err(DecodeError::ConnectFlags)
    } else if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        Err(DecodeError::WillFlags)
    } else if flags & WILL_QOS == WILL_QOS {
        Err(DecodeError::WillQoS)
    } else if version == V3_1_1 && flags & USERNAME == 0 && flags & PASSWORD != 0 {
        Err(DecodeError::PasswordWithoutUserName)
    } else {
        Ok(())
    }
}

/// The fields that the flags announce, each as bytes, behind the client identifier.
fn fields(flags: u8, version: ProtocolVersion) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    if flags & WILL != 0 {
        fields.extend(version.is_v5().then(|| wire("00")));
        fields.extend([wire("0001't'"), wire("0001'w'")]);
    }
    fields.extend((flags & USERNAME != 0).then(|| wire("0001'u'")));
    fields.extend((flags & PASSWORD != 0).then(|| wire("0001'p'")));
    fields
}

fn connect(flags: u8, version: ProtocolVersion, fields: &[Vec<u8>]) -> Vec<u8> {
    let properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
    let head = [&wire("0004'MQTT'")[..], &[version.level(), flags, 0, 60], properties, &wire("0001'c'")].concat();
    packet(0x10, &[head, fields.concat()].concat())
}

/// `[MQTT-3.1.2-3]` `[MQTT-3.1.2-11]` `[MQTT-3.1.2-11/3.1.1]` `[MQTT-3.1.2-12]` `[MQTT-3.1.2-13]`
/// `[MQTT-3.1.2-22/3.1.1]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn each_of_the_256_connect_flags_is_accepted_or_refused_by_its_rule() {
    for version in VERSIONS {
        for flags in 0..=u8::MAX {
            let bytes = connect(flags, version, &fields(flags, version));
            match verdict(flags, version) {
                Err(error) => refuses(version, Client, &bytes, error),
                Ok(()) => {
                    let Packet::Connect(decoded) = accepts(version, Client, &bytes) else { panic!("a CONNECT") };
                    assert_eq!(decoded.clean_start, flags & CLEAN != 0);
                    assert_eq!(decoded.will.map(|will| will.topic), (flags & WILL != 0).then_some("t"));
                    assert_eq!(decoded.will.map_or(0, |will| will.qos.bits()), flags >> 3 & 3);
                    assert_eq!(decoded.will.is_some_and(|will| will.retain), flags & WILL_RETAIN != 0);
                    assert_eq!(decoded.username, (flags & USERNAME != 0).then_some("u"));
                    assert_eq!(decoded.password, (flags & PASSWORD != 0).then_some(&b"p"[..]));
                    both_ways(version, Client, &bytes, Packet::Connect(decoded));
                }
            }
        }
    }
}

/// `[MQTT-3.1.2-9]` `[MQTT-3.1.2-16]` `[MQTT-3.1.2-17]` `[MQTT-3.1.2-18]` `[MQTT-3.1.2-19]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn the_payload_holds_what_the_flags_announce_and_no_more() {
    for version in VERSIONS {
        for flags in (0..=u8::MAX).filter(|flags| verdict(*flags, version).is_ok()) {
            let announced = fields(flags, version);
            for len in 0..announced.len() {
                refuses(version, Client, &connect(flags, version, &announced[..len]), DecodeError::Truncated);
            }
            let more = [&announced[..], &[wire("0001'x'")]].concat();
            refuses(version, Client, &connect(flags, version, &more), DecodeError::TrailingBytes);
        }
    }
}

/// `[MQTT-3.1.2-1]` `[MQTT-3.1.2-2]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn another_protocol_name_or_level_is_refused() {
    for version in VERSIONS {
        for name in ["0006'MQIsdp' 03", "0004'mqtt' 05", "0004'MQTU' 04", "0005'MQTT5' 05", "0003'MQT' 05", "0000 05"] {
            let bytes = packet(0x10, &wire(&format!("{name} 02 0000 00 0000")));
            refuses(version, Client, &bytes, DecodeError::ProtocolName);
        }
        for level in (0..=u8::MAX).filter(|level| ![4, 5].contains(level)) {
            let bytes = packet(0x10, &[&wire("0004'MQTT'")[..], &[level], &wire("02 0000 00 0000")].concat());
            refuses(version, Client, &bytes, DecodeError::ProtocolLevel(level));
        }
    }
    assert_eq!(DecodeError::ProtocolName.reason_code().byte(), 0x84);
    assert_eq!(DecodeError::ProtocolLevel(3).reason_code().byte(), 0x84);
}

#[test]
fn a_connect_is_read_in_its_own_version() {
    for version in VERSIONS {
        let v3 = wire("10 0C 0004'MQTT' 04 02 0000 0000");
        let Packet::Connect(decoded) = accepts(version, Client, &v3) else { panic!("a CONNECT") };
        assert_eq!(decoded.version, V3_1_1);
        let v5 = wire("10 0D 0004'MQTT' 05 02 0000 00 0000");
        let Packet::Connect(decoded) = accepts(version, Client, &v5) else { panic!("a CONNECT") };
        assert_eq!(decoded.version, V5);
    }
}

/// `[MQTT-3.1.2-22/3.1.1]`
#[test]
fn a_password_without_a_user_name_is_written_in_v5_alone() {
    let connect = Connect { version: V5, clean_start: true, password: Some(b"p"), ..Connect::default() };
    both_ways(V5, Client, &wire("10 10 0004'MQTT' 05 42 0000 00 0000 0001'p'"), Packet::Connect(connect));
    let old = Packet::Connect(Connect { version: V3_1_1, ..connect });
    refuses_to_write(V3_1_1, Client, &old, EncodeError::PasswordWithoutUserName);
}

/// `[MQTT-3.1.3-7/3.1.1]` `[MQTT-3.1.3-3]`
#[test]
fn an_empty_client_identifier_needs_clean_session_in_v3_1_1_alone() {
    refuses(V3_1_1, Client, &wire("10 0C 0004'MQTT' 04 00 0000 0000"), DecodeError::ClientIdentifier);
    assert_eq!(DecodeError::ClientIdentifier.reason_code().return_code(), Some(2));
    let connect = Connect { version: V3_1_1, clean_start: false, ..Connect::default() };
    refuses_to_write(V3_1_1, Client, &Packet::Connect(connect), EncodeError::ClientIdentifier);
    let clean = Packet::Connect(Connect { clean_start: true, ..connect });
    both_ways(V3_1_1, Client, &wire("10 0C 0004'MQTT' 04 02 0000 0000"), clean);
    let v5 = Packet::Connect(Connect { version: V5, ..connect });
    both_ways(V5, Client, &wire("10 0D 0004'MQTT' 05 00 0000 00 0000"), v5);
}

/// `[MQTT-3.1.3-4]`
#[test]
fn a_client_identifier_is_any_string() {
    for (version, head) in [(V3_1_1, "0004'MQTT' 04 00 0000"), (V5, "0004'MQTT' 05 00 0000 00")] {
        let connect = Connect { version, client_id: "käse/ü #+", ..Connect::default() };
        let body = wire(&format!("{head} 000B 'k' C3A4 'se/' C3BC ' #+'"));
        both_ways(version, Client, &packet(0x10, &body), Packet::Connect(connect));
    }
}

/// `[MQTT-3.1.3-11]`
#[test]
fn a_will_topic_is_a_topic_name() {
    for (topic, error) in [
        ("0000", TopicError::Empty),
        ("0001'+'", TopicError::WildcardInName),
        ("0001'#'", TopicError::WildcardInName),
        ("0003'a/#'", TopicError::WildcardInName),
    ] {
        let error = DecodeError::Topic(error);
        let v3 = packet(0x10, &wire(&format!("0004'MQTT' 04 06 0000 0000 {topic} 0000")));
        refuses(V3_1_1, Client, &v3, error);
        let v5 = packet(0x10, &wire(&format!("0004'MQTT' 05 06 0000 00 0000 00 {topic} 0000")));
        refuses(V5, Client, &v5, error);
        assert_eq!(error.reason_code().byte(), 0x82);
    }
}

/// `[MQTT-3.2.2-1]`
#[test]
fn reserved_connack_flags_are_refused() {
    for flags in 2..=u8::MAX {
        refuses(V3_1_1, Server, &[0x20, 2, flags, 0], DecodeError::ConnackFlags);
        refuses(V5, Server, &[0x20, 3, flags, 0, 0], DecodeError::ConnackFlags);
    }
    assert_eq!(DecodeError::ConnackFlags.reason_code().byte(), 0x81);
}

/// `[MQTT-3.2.2-6]`
#[test]
fn a_session_present_with_a_refusal_is_refused() {
    for code in 1..=5 {
        refuses(V3_1_1, Server, &[0x20, 2, 1, code], DecodeError::SessionPresent);
    }
    for code in [0x80, 0x84, 0x87, 0x9F] {
        refuses(V5, Server, &[0x20, 3, 1, code, 0], DecodeError::SessionPresent);
    }
    assert_eq!(DecodeError::SessionPresent.reason_code().byte(), 0x82);
}

/// `[MQTT-3.2.2-8]`
#[test]
fn return_codes_of_v3_1_1_stand_as_reason_codes() {
    for (return_code, reason_code) in [(0, 0x00), (1, 0x84), (2, 0x85), (3, 0x88), (4, 0x86), (5, 0x87)] {
        let reason_code = ReasonCode::from_byte(reason_code).expect("a reason code");
        let connack = Connack { session_present: false, reason_code, properties: Default::default() };
        both_ways(V3_1_1, Server, &[0x20, 2, 0, return_code], Packet::Connack(connack));
    }
}

/// `[MQTT-3.1.2-2]`
#[test]
fn the_refusal_of_a_server_without_v5_is_read_in_its_own_form() {
    let refusal = Connack {
        session_present: false,
        reason_code: ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        properties: Default::default(),
    };
    let decoded = Packet::decode(&[0x20, 2, 0, 1], V5, Server);
    assert_eq!(decoded, Ok(Some((Packet::Connack(refusal), 4))));
    refuses(V5, Server, &[0x20, 2, 1, 1], DecodeError::SessionPresent);
    refuses(V5, Server, &[0x20, 3, 0, 1, 0], DecodeError::ReasonCode(1));
    for code in 2..=5 {
        refuses(V5, Server, &[0x20, 2, 0, code], DecodeError::ReasonCode(code));
    }
    for code in [0, 0x84] {
        refuses(V5, Server, &[0x20, 2, 0, code], DecodeError::Truncated);
    }
}
