//! Golden packets cut short, in both senses: not yet there, and there with too short a length.

use flowsdk::codec::{DecodeError, FixedHeader, PacketType};
use flowsdk::packet::{Ack, AckKind, Packet, Publish, PublishHead};
use flowsdk::types::{ProtocolVersion::V5, ReasonCode, Role};

use super::checks::{ROLES, accepts, decodes_to, refuses};
use super::golden::{self, Golden, ack, disconnect, id};
use super::notation::{packet, wire};

#[test]
fn a_packet_is_awaited_until_its_last_byte_is_there() {
    for case in golden::all() {
        let bytes = case.wire().bytes;
        for len in 0..bytes.len() {
            let decoded = Packet::decode(&bytes[..len], case.version, case.from);
            assert_eq!(decoded, Ok(None), "the first {len} bytes of {:?}", case.packet);
        }
    }
}

#[test]
fn the_fixed_header_is_known_as_soon_as_its_bytes_are() {
    for case in golden::all() {
        let bytes = case.wire().bytes;
        let packet_type = PacketType::from_number(bytes[0] >> 4).expect("a packet type");
        let remaining_length = u32::from(bytes[1]);
        let flags = bytes[0] & 0x0F;
        let header = FixedHeader { packet_type, flags, remaining_length, header_len: 2 };
        for len in 0..=bytes.len() {
            let decoded = FixedHeader::decode(&bytes[..len], case.version);
            assert_eq!(decoded, Ok((len >= 2).then_some(header)), "the first {len} bytes of {:?}", case.packet);
        }
        assert_eq!(header.packet_len(), bytes.len());
    }
}

#[test]
fn the_head_of_a_publish_is_known_as_soon_as_its_payload_begins() {
    for case in golden::all() {
        let bytes = case.wire().bytes;
        let Packet::Publish(whole) = case.packet else {
            let error = DecodeError::PacketType(bytes[0] >> 4);
            assert_eq!(PublishHead::decode(&bytes, case.version, case.from), Err(error), "{:?}", case.packet);
            continue;
        };
        let head_len = bytes.len() - whole.payload.len();
        let publish = Publish { payload: b"", ..whole };
        let head = PublishHead { publish, head_len, payload_len: whole.payload.len() };
        for len in 0..=bytes.len() {
            let decoded = PublishHead::decode(&bytes[..len], case.version, case.from);
            assert_eq!(decoded, Ok((len >= head_len).then_some(head)), "the first {len} bytes of {whole:?}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_length_that_cuts_a_packet_short_is_refused_wherever_it_cuts() {
    for case in golden::all() {
        let whole = case.wire();
        for len in 2..whole.bytes.len() {
            cut_short(case, len);
        }
    }
}

fn cut_short(case: &Golden, len: usize) {
    let whole = case.wire();
    let bytes = packet(whole.bytes[0], &whole.bytes[2..len]);
    if whole.ends.contains(&len) || whole.open_from.is_some_and(|open| open <= len) {
        accepts(case.version, case.from, &bytes);
    } else if whole.empty_list_at == Some(len) {
        refuses(case.version, case.from, &bytes, DecodeError::EmptyList);
    } else if matches!(case.packet, Packet::Auth(_)) && len == 2 {
        // An empty AUTH says success, which a client cannot.
        refuses(case.version, case.from, &bytes, DecodeError::ReasonCode(0));
    } else {
        refuses(case.version, case.from, &bytes, DecodeError::Truncated);
    }
}

#[test]
fn what_a_short_form_leaves_out_may_also_be_said() {
    for (first_byte, kind) in
        [(0x40, AckKind::Puback), (0x50, AckKind::Pubrec), (0x62, AckKind::Pubrel), (0x70, AckKind::Pubcomp)]
    {
        for from in ROLES {
            let success = Packet::Ack(Ack::new(kind, id(1), ReasonCode::SUCCESS));
            for body in ["0001", "0001 00", "0001 00 00"] {
                decodes_to(V5, from, &packet(first_byte, &wire(body)), success);
            }
        }
    }
    let refused = ack(AckKind::Puback, 1, ReasonCode::NOT_AUTHORIZED, &[]);
    decodes_to(V5, Role::Client, &wire("40 04 0001 87 00"), refused);
    for from in ROLES {
        for bytes in ["E0 00", "E0 01 00", "E0 02 00 00"] {
            decodes_to(V5, from, &wire(bytes), disconnect(ReasonCode::SUCCESS, &[]));
        }
    }
    decodes_to(V5, Role::Server, &wire("E0 02 8E 00"), disconnect(ReasonCode::SESSION_TAKEN_OVER, &[]));
}
