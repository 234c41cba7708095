//! What is checked of one line of a table.

use flowsdk::codec::{DecodeError, EncodeError, FixedHeader, PacketType, Writer};
use flowsdk::packet::{Packet, PublishHead};
use flowsdk::types::{ProtocolVersion, Role};

use super::notation::hex;

pub(crate) const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V3_1_1, ProtocolVersion::V5];
pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// The bytes are this packet, and the packet is written as these bytes.
#[track_caller]
pub(crate) fn both_ways(version: ProtocolVersion, from: Role, bytes: &[u8], packet: Packet<'_>) {
    assert_eq!(hex(&encoded(version, from, &packet)), hex(bytes), "encoding {packet:?}");
    decodes_to(version, from, bytes, packet);
}

/// The bytes are this packet and nothing else, also when more follows.
#[track_caller]
pub(crate) fn decodes_to(version: ProtocolVersion, from: Role, bytes: &[u8], packet: Packet<'_>) {
    let decoded = Packet::decode(bytes, version, from);
    assert_eq!(decoded, Ok(Some((packet, bytes.len()))), "decoding {} as {version:?} from {from:?}", hex(bytes));
    let followed = [bytes, &[0xFF]].concat();
    assert_eq!(Packet::decode(&followed, version, from), Ok(Some((packet, bytes.len()))), "with a byte behind it");
}

/// The bytes are one whole packet.
#[track_caller]
pub(crate) fn accepts(version: ProtocolVersion, from: Role, bytes: &[u8]) -> Packet<'_> {
    match Packet::decode(bytes, version, from) {
        Ok(Some((packet, len))) if len == bytes.len() => packet,
        other => panic!("{} as {version:?} from {from:?} is {other:?}", hex(bytes)),
    }
}

/// The bytes are refused with this error, a PUBLISH also by the decoding of its head.
#[track_caller]
pub(crate) fn refuses(version: ProtocolVersion, from: Role, bytes: &[u8], error: DecodeError) {
    let decoded = Packet::decode(bytes, version, from);
    assert_eq!(decoded, Err(error), "decoding {} as {version:?} from {from:?}", hex(bytes));
    if bytes.first().is_some_and(|first| first >> 4 == PacketType::Publish.number()) {
        let head = PublishHead::decode(bytes, version, from);
        assert_eq!(head, Err(error), "decoding the head of {} as {version:?} from {from:?}", hex(bytes));
    }
}

/// The packet cannot be written, neither into a buffer nor to be counted.
#[track_caller]
pub(crate) fn refuses_to_write(version: ProtocolVersion, from: Role, packet: &Packet<'_>, error: EncodeError) {
    let mut buffer = vec![0; 1024];
    for mut writer in [Writer::new(&mut buffer), Writer::counting()] {
        let written = packet.encode(&mut writer, version, from);
        assert_eq!(written, Err(error), "encoding {packet:?} as {version:?} from {from:?}");
    }
}

/// The packet as bytes; counting gives the same length.
#[track_caller]
pub(crate) fn encoded(version: ProtocolVersion, from: Role, packet: &Packet<'_>) -> Vec<u8> {
    let mut counting = Writer::counting();
    let counted = packet.encode(&mut counting, version, from);
    assert_eq!(counted, Ok(()), "counting {packet:?} as {version:?} from {from:?}");
    let mut buffer = vec![0; counting.written()];
    let mut writer = Writer::new(&mut buffer);
    let written = packet.encode(&mut writer, version, from);
    assert_eq!((written, writer.written()), (Ok(()), counting.written()), "encoding {packet:?}");
    buffer
}

/// Decodes in each version from each side; what decodes is written as something that decodes to the same.
pub(crate) fn holds_together(bytes: &[u8]) {
    for version in VERSIONS {
        for from in ROLES {
            let decoded = Packet::decode(bytes, version, from);
            let head = PublishHead::decode(bytes, version, from);
            let header = FixedHeader::decode(bytes, version);
            match decoded {
                Ok(Some((packet, len))) => {
                    assert!(len <= bytes.len());
                    let header = header.expect("a good header").expect("a whole header");
                    assert_eq!(header.packet_len(), len);
                    let again = encoded(version, from, &packet);
                    decodes_to(version, from, &again, packet);
                    assert!(!format!("{packet:?}").is_empty());
                    if let Packet::Publish(publish) = packet {
                        let head = head.expect("a good head").expect("a whole head");
                        assert_eq!(head.publish.topic, publish.topic);
                        assert_eq!(head.payload_len, publish.payload.len());
                        assert_eq!(head.head_len, len - publish.payload.len());
                    }
                }
                Ok(None) => assert!(header.is_ok()),
                Err(error) => assert!(error.reason_code().is_error() && !error.to_string().is_empty()),
            }
        }
    }
}
