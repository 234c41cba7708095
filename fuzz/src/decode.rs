//! Decoding of any bytes.

use flowsdk::codec::FixedHeader;
use flowsdk::packet::{Packet, PublishHead};
use flowsdk::types::{ProtocolVersion, Role, TopicFilter, TopicName};

use crate::checks::{ROLES, VERSIONS, holds_together};

/// Every beginning of an input up to this length is decoded, too.
const SHORT: usize = 256;

/// Decodes bytes in every way; see the target.
pub fn decode(data: &[u8]) {
    holds_together(data);
    for version in VERSIONS {
        for from in ROLES {
            if data.len() <= SHORT {
                for len in 0..data.len() {
                    agrees(&data[..len], data, version, from);
                }
            }
        }
    }
    match_topics(data);
}

/// What the beginning of some bytes says, all of them say.
fn agrees(beginning: &[u8], whole: &[u8], version: ProtocolVersion, from: Role) {
    let (header, all) = (FixedHeader::decode(beginning, version), FixedHeader::decode(whole, version));
    assert!(header == Ok(None) || header == all, "{header:?} and then {all:?}");
    let (packet, all) = (Packet::decode(beginning, version, from), Packet::decode(whole, version, from));
    assert!(packet == Ok(None) || packet == all, "{packet:?} and then {all:?}");
    let (head, all) = (PublishHead::decode(beginning, version, from), PublishHead::decode(whole, version, from));
    assert!(head == Ok(None) || head == all, "{head:?} and then {all:?}");
}

/// The lines of a text are topics and filters, as far as they are.
fn match_topics(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<_> = text.lines().take(8).collect();
    for filter in lines.iter().filter_map(|line| TopicFilter::new(line).ok()) {
        for name in lines.iter().filter_map(|line| TopicName::new(line).ok()) {
            let matched = filter.matches(name);
            assert!(matched || filter.is_shared() || filter.as_str() != name.as_str());
        }
    }
}
