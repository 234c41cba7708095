//! The first bytes of a packet: type, flags, length.

use flowsdk::codec::{DecodeError, FixedHeader, PacketType, Reader, VarInt, Writer};
use flowsdk::packet::Packet;
use flowsdk::types::{
    ProtocolVersion::{V3_1_1, V5},
    Role::{Client, Server},
};

use super::checks::{ROLES, VERSIONS, accepts, refuses};
use super::golden;
use super::notation::{var_int, wire};

/// `[MQTT-2.1.3-1]` `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.14.1-1]` `[MQTT-3.15.1-1]`
/// `[MQTT-2.2.2-2/3.1.1]`
#[test]
fn every_wrong_flag_of_every_packet_type_is_refused() {
    for case in golden::all() {
        let mut bytes = case.wire().bytes;
        let right = bytes[0];
        if matches!(case.packet, Packet::Publish(_)) {
            continue;
        }
        for first_byte in (right & 0xF0..=right | 0x0F).filter(|byte| *byte != right) {
            bytes[0] = first_byte;
            refuses(case.version, case.from, &bytes, DecodeError::HeaderFlags);
            // Nothing more has to arrive for that.
            refuses(case.version, case.from, &bytes[..1], DecodeError::HeaderFlags);
        }
    }
    assert_eq!(DecodeError::HeaderFlags.reason_code().byte(), 0x81);
}

#[test]
fn a_first_byte_stands_for_one_packet_type_or_none() {
    // The low four bits of each type, PUBLISH aside.
    let flags = [0, 0, 0, 0, 0, 0, 0b0010, 0, 0b0010, 0, 0b0010, 0, 0, 0, 0, 0];
    for byte in 0..=u8::MAX {
        let number = byte >> 4;
        let expected = match number {
            0 => Err(DecodeError::PacketType(0)),
            3 => Ok(()),
            _ if byte & 0x0F != flags[usize::from(number)] => Err(DecodeError::HeaderFlags),
            _ => Ok(()),
        };
        let in_v5 = FixedHeader::decode(&[byte, 0], V5).map(|_| ());
        assert_eq!(in_v5, expected, "{byte:#04x}");
        let in_v3 = if number == 15 { Err(DecodeError::PacketType(15)) } else { expected };
        assert_eq!(FixedHeader::decode(&[byte, 0], V3_1_1).map(|_| ()), in_v3, "{byte:#04x} in v3.1.1");
    }
}

#[test]
fn the_first_byte_of_a_type_is_its_number_and_its_flags() {
    let first_bytes = [0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0];
    for (number, first_byte) in (1..).zip(first_bytes) {
        let packet_type = PacketType::from_number(number).expect("15 types");
        assert_eq!((packet_type.number(), packet_type.first_byte()), (number, first_byte));
    }
    assert_eq!((PacketType::from_number(0), PacketType::from_number(16)), (None, None));
    assert_eq!(PacketType::from_number(255), None);
}

#[test]
fn a_packet_of_the_wrong_side_is_refused_from_its_header_on() {
    // Types that only the client, and that only the server sends.
    let sides = [(Client, [1, 8, 10, 12]), (Server, [2, 9, 11, 13])];
    for version in VERSIONS {
        for (sender, numbers) in sides {
            let other = if sender == Client { Server } else { Client };
            for number in numbers {
                let first_byte = PacketType::from_number(number).expect("a packet type").first_byte();
                refuses(version, other, &[first_byte, 0], DecodeError::PacketType(number));
                refuses(version, other, &[first_byte, 100], DecodeError::PacketType(number));
                let start = [first_byte, 100];
                assert_eq!(Packet::decode(&start, version, sender), Ok(None), "{number} from {sender:?}");
            }
        }
        for number in [3, 4, 5, 6, 7] {
            let first_byte = PacketType::from_number(number).expect("a packet type").first_byte();
            for from in ROLES {
                assert_eq!(Packet::decode(&[first_byte, 100], version, from), Ok(None), "{number} from {from:?}");
            }
        }
    }
    refuses(V3_1_1, Server, &wire("E0 00"), DecodeError::PacketType(14));
    for from in ROLES {
        refuses(V3_1_1, from, &wire("F0 00"), DecodeError::PacketType(15));
    }
    assert_eq!(DecodeError::PacketType(15).reason_code().byte(), 0x82);
    assert_eq!(DecodeError::PacketType(0).reason_code().byte(), 0x81);
}

/// `[MQTT-1.5.5-1]`
#[test]
fn a_variable_byte_integer_takes_as_few_bytes_as_can_be() {
    for (value, notation) in [
        (0, "00"),
        (1, "01"),
        (127, "7F"),
        (128, "80 01"),
        (16_383, "FF 7F"),
        (16_384, "80 80 01"),
        (2_097_151, "FF FF 7F"),
        (2_097_152, "80 80 80 01"),
        (268_435_455, "FF FF FF 7F"),
    ] {
        let bytes = wire(notation);
        let mut buffer = [0; 4];
        let mut writer = Writer::new(&mut buffer);
        writer.var_int(value);
        assert_eq!(writer.finish(), Ok(()));
        assert_eq!(writer.written(), bytes.len());
        assert_eq!(&buffer[..bytes.len()], &bytes[..], "{value}");
        let decoded = VarInt::decode(&bytes).expect("well-formed").expect("whole");
        assert_eq!((decoded.value(), decoded.len(), decoded.is_minimal()), (value, bytes.len(), true));
        assert_eq!(VarInt::len_of(value), bytes.len());
        for len in 0..bytes.len() {
            assert_eq!(VarInt::decode(&bytes[..len]), Ok(None), "{value} cut to {len} bytes");
        }
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.var_int(), reader.finish()), (value, Ok(())));
    }
    let mut writer = Writer::counting();
    writer.var_int(268_435_456);
    assert!(writer.finish().is_err());
}

/// `[MQTT-1.5.5-1]`
#[test]
fn a_length_of_five_bytes_is_refused_and_in_v5_a_longer_one_than_needed() {
    for version in VERSIONS {
        for length in ["80 80 80 80", "FF FF FF FF", "80 80 80 80 01", "FF FF FF FF 7F"] {
            for first_byte in ["C0", "30", "10"] {
                let bytes = wire(&format!("{first_byte} {length}"));
                refuses(version, Client, &bytes, DecodeError::VariableByteInteger);
            }
        }
    }
    for length in ["80 00", "80 80 00", "80 80 80 00"] {
        let bytes = wire(&format!("C0 {length}"));
        refuses(V5, Client, &bytes, DecodeError::VariableByteInteger);
        assert_eq!(accepts(V3_1_1, Client, &bytes), Packet::Pingreq);
    }
    assert_eq!(DecodeError::VariableByteInteger.reason_code().byte(), 0x81);
}

#[test]
fn a_connect_is_held_to_the_rules_of_the_version_it_asks_for() {
    let v3 = wire("10 8C 00 0004'MQTT' 04 02 0000 0000");
    let v5 = wire("10 8D 00 0004'MQTT' 05 02 0000 00 0000");
    for version in VERSIONS {
        accepts(version, Client, &v3);
        refuses(version, Client, &v5, DecodeError::VariableByteInteger);
    }
}

#[test]
fn the_longest_packet_is_awaited() {
    let bytes = [&[0x30][..], &var_int(268_435_455)].concat();
    for version in VERSIONS {
        let header = FixedHeader::decode(&bytes, version).expect("well-formed").expect("whole");
        assert_eq!((header.packet_len(), header.header_len), (268_435_460, 5));
        assert_eq!(Packet::decode(&bytes, version, Client), Ok(None));
    }
}

#[test]
fn a_decoded_packet_ends_where_the_next_begins() {
    let mut stream = Vec::new();
    let cases: Vec<_> = golden::all().filter(|case| case.version == V5 && case.from == Server).collect();
    for case in &cases {
        stream.extend(case.wire().bytes);
    }
    let mut rest = &stream[..];
    for case in &cases {
        let (packet, len) = Packet::decode(rest, V5, Server).expect("well-formed").expect("whole");
        assert_eq!(packet, case.packet);
        rest = &rest[len..];
    }
    assert!(rest.is_empty());
}
