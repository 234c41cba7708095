//! All 256 codes in every packet that has one, from either side.

use flowsdk::codec::{DecodeError, EncodeError, Property};
use flowsdk::packet::{AckKind, Packet, Suback, Unsuback};
use flowsdk::types::{
    ProtocolVersion,
    ProtocolVersion::{V3_1_1, V5},
    ReasonCode, Role,
    Role::{Client, Server},
};

use super::checks::{ROLES, VERSIONS, accepts, encoded, refuses, refuses_to_write};
use super::golden::{ack, auth, connack, disconnect, id};
use super::notation::{packet, wire};

/// Decodes the packet with each code between `before` and `behind`, and encodes it back.
#[track_caller]
fn codes(version: ProtocolVersion, from: Role, first_byte: u8, before: &str, behind: &str, allowed: &[u8]) {
    for code in 0..=u8::MAX {
        let bytes = packet(first_byte, &[wire(before), vec![code], wire(behind)].concat());
        if allowed.contains(&code) {
            let packet = accepts(version, from, &bytes);
            assert_eq!(accepts(version, from, &encoded(version, from, &packet)), packet);
            assert_eq!(code_of(&packet, version), Some(code));
        } else {
            refuses(version, from, &bytes, DecodeError::ReasonCode(code));
        }
    }
    assert_eq!(DecodeError::ReasonCode(0xFF).reason_code(), ReasonCode::PROTOCOL_ERROR);
}

fn code_of(packet: &Packet<'_>, version: ProtocolVersion) -> Option<u8> {
    let code = match packet {
        Packet::Connack(packet) if version == V3_1_1 => return packet.reason_code.return_code(),
        Packet::Connack(packet) => packet.reason_code,
        Packet::Ack(packet) => packet.reason_code,
        Packet::Suback(packet) => packet.reason_codes().next()?,
        Packet::Unsuback(packet) => packet.reason_codes().next()?,
        Packet::Disconnect(packet) => packet.reason_code,
        Packet::Auth(packet) => packet.reason_code,
        _ => return None,
    };
    Some(code.byte())
}

/// `[MQTT-3.2.2-8]`
#[test]
fn connack_has_22_reason_codes_in_v5_and_6_return_codes_in_v3_1_1() {
    let allowed = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
        0x9B, 0x9C, 0x9D, 0x9F,
    ];
    codes(V5, Server, 0x20, "00", "00", &allowed);
    codes(V3_1_1, Server, 0x20, "00", "", &[0, 1, 2, 3, 4, 5]);
}

/// `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn puback_and_pubrec_have_9_codes_one_of_them_only_from_the_server() {
    let from_client = [0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let from_server = [&from_client[..], &[0x10]].concat();
    for first_byte in [0x40, 0x50] {
        for behind in ["", "00", "07 26 0001'a'0001'b'"] {
            codes(V5, Client, first_byte, "0001", behind, &from_client);
            codes(V5, Server, first_byte, "0001", behind, &from_server);
        }
    }
}

/// `[MQTT-3.6.2-1]` `[MQTT-3.7.2-1]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn pubrel_and_pubcomp_have_2_codes() {
    for from in ROLES {
        for first_byte in [0x62, 0x70] {
            for behind in ["", "00", "07 26 0001'a'0001'b'"] {
                codes(V5, from, first_byte, "0001", behind, &[0x00, 0x92]);
            }
        }
    }
}

/// `[MQTT-3.9.3-2]`
#[test]
fn suback_has_12_reason_codes_in_v5_and_4_return_codes_in_v3_1_1() {
    let allowed = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
    codes(V5, Server, 0x90, "0001 00", "", &allowed);
    codes(V5, Server, 0x90, "0001 00", "00", &allowed);
    codes(V3_1_1, Server, 0x90, "0001", "", &[0x00, 0x01, 0x02, 0x80]);
    refuses(V5, Server, &wire("90 06 0001 00 00 01 03"), DecodeError::ReasonCode(3));
    refuses(V3_1_1, Server, &wire("90 05 0001 00 01 87"), DecodeError::ReasonCode(0x87));
}

/// `[MQTT-3.11.3-2]`
#[test]
fn unsuback_has_7_reason_codes_in_v5() {
    codes(V5, Server, 0xB0, "0001 00", "", &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]);
    refuses(V5, Server, &wire("B0 05 0001 00 00 01"), DecodeError::ReasonCode(1));
}

/// 0x8C is in the table of section 2.4 for DISCONNECT, though not in that of section 3.14.2.1: it is taken from a
/// server.
///
/// `[MQTT-3.14.2-1]`
#[test]
fn disconnect_has_13_codes_from_both_sides_1_from_the_client_and_16_from_the_server() {
    let both = [0x00, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    let servers = [0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2];
    for behind in ["", "00", "07 26 0001'a'0001'b'"] {
        codes(V5, Client, 0xE0, "", behind, &[&both[..], &[0x04]].concat());
        codes(V5, Server, 0xE0, "", behind, &[&both[..], &servers].concat());
    }
}

/// `[MQTT-3.15.2-1]`
#[test]
fn auth_has_a_code_of_each_side_and_one_of_both() {
    codes(V5, Client, 0xF0, "", "04 15 0001'm'", &[0x18, 0x19]);
    codes(V5, Server, 0xF0, "", "04 15 0001'm'", &[0x00, 0x18]);
    refuses(V5, Client, &wire("F0 00"), DecodeError::ReasonCode(0));
}

/// `[MQTT-3.2.2-8]` `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]` `[MQTT-3.6.2-1]` `[MQTT-3.7.2-1]` `[MQTT-3.9.3-2]`
/// `[MQTT-3.11.3-2]` `[MQTT-3.14.2-1]` `[MQTT-3.15.2-1]`
#[test]
fn what_is_refused_as_read_is_refused_to_be_written() {
    const METHOD: &[Property<'static>] = &[Property::AuthenticationMethod("m")];
    for code in (0..=u8::MAX).filter_map(ReasonCode::from_byte) {
        for from in ROLES {
            for packet in [
                ack(AckKind::Puback, 1, code, &[]),
                ack(AckKind::Pubrec, 1, code, &[]),
                ack(AckKind::Pubrel, 1, code, &[]),
                ack(AckKind::Pubcomp, 1, code, &[]),
                disconnect(code, &[]),
                auth(code, METHOD),
            ] {
                agrees(from, &packet, code);
            }
        }
        agrees(Server, &connack(false, code, &[]), code);
        let codes = &[code.byte()];
        let properties = Default::default();
        agrees(Server, &Packet::Suback(Suback { packet_id: id(1), codes, properties }), code);
        agrees(Server, &Packet::Unsuback(Unsuback { packet_id: id(1), codes, properties }), code);
    }
}

/// Encoding a v5.0 packet refuses the code exactly when decoding does.
#[track_caller]
fn agrees(from: Role, packet: &Packet<'_>, code: ReasonCode) {
    let bytes = as_bytes(packet, code.byte());
    match Packet::decode(&bytes, V5, from) {
        Ok(Some((decoded, _))) => assert_eq!((decoded, code_of(packet, V5)), (*packet, Some(code.byte()))),
        Err(DecodeError::ReasonCode(refused)) => {
            assert_eq!(refused, code.byte());
            refuses_to_write(V5, from, packet, EncodeError::ReasonCode);
            return;
        }
        other => panic!("{other:?}"),
    }
    encoded(V5, from, packet);
}

fn as_bytes(packet: &Packet<'_>, code: u8) -> Vec<u8> {
    let (first_byte, before, behind) = match packet {
        Packet::Connack(_) => (0x20, "00", "00"),
        Packet::Suback(_) => (0x90, "0001 00", ""),
        Packet::Unsuback(_) => (0xB0, "0001 00", ""),
        Packet::Disconnect(_) => (0xE0, "", ""),
        Packet::Auth(_) => (0xF0, "", "04 15 0001'm'"),
        Packet::Ack(ack) => (ack.kind.packet_type().first_byte(), "0001", ""),
        other => panic!("{other:?} has no code"),
    };
    super::notation::packet(first_byte, &[wire(before), vec![code], wire(behind)].concat())
}

#[test]
fn codes_that_v3_1_1_does_not_have_are_refused_to_be_written() {
    for code in (0..=u8::MAX).filter_map(ReasonCode::from_byte) {
        if code.return_code().is_none() {
            refuses_to_write(V3_1_1, Server, &connack(false, code, &[]), EncodeError::ReasonCode);
        }
        if ![0x00, 0x01, 0x02, 0x80].contains(&code.byte()) {
            let suback = Suback { packet_id: id(1), codes: &[0, code.byte()], properties: Default::default() };
            refuses_to_write(V3_1_1, Server, &Packet::Suback(suback), EncodeError::ReasonCode);
        }
    }
    for version in VERSIONS {
        let suback = Suback { packet_id: id(1), codes: &[0x33], properties: Default::default() };
        refuses_to_write(version, Server, &Packet::Suback(suback), EncodeError::ReasonCode);
    }
}
