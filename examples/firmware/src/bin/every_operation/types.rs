//! `types` and `time`.

use flowsdk::time::Instant;
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role, TopicFilter, TopicName};

use crate::{Input, used};

pub(crate) fn all(input: &Input) {
    reason_code(input);
    topic(input);
    instant(input);
    let level = input.number() as u8;
    used(ProtocolVersion::from_level(level).map(|version| (version.level(), version.is_v5())));
    used(QoS::from_bits(level).map(QoS::bits));
    used(packet_id(input).next().value());
}

pub(crate) fn version(input: &Input) -> ProtocolVersion {
    input.one_of(&[ProtocolVersion::V5, ProtocolVersion::V3_1_1], ProtocolVersion::V5)
}

pub(crate) fn role(input: &Input) -> Role {
    input.one_of(&[Role::Client, Role::Server], Role::Client)
}

pub(crate) fn qos(input: &Input) -> QoS {
    input.one_of(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce], QoS::AtMostOnce)
}

pub(crate) fn code(input: &Input) -> ReasonCode {
    ReasonCode::from_byte(input.number() as u8).unwrap_or(ReasonCode::SUCCESS)
}

pub(crate) fn packet_id(input: &Input) -> PacketId {
    PacketId::new(input.number() as u16).unwrap_or(PacketId::MIN)
}

pub(crate) fn now(input: &Input) -> Instant {
    Instant::from_millis(input.number())
}

fn reason_code(input: &Input) {
    let code = code(input);
    used((code.byte(), code.is_error(), code.return_code(), code.description(version(input))));
    used(ReasonCode::granted(qos(input)));
    used(ReasonCode::from_return_code(input.number() as u8));
}

fn topic(input: &Input) {
    let name = TopicName::new(input.text);
    for filter in [TopicFilter::new(input.text), TopicFilter::plain(input.text)].into_iter().flatten() {
        used((filter.as_str(), filter.is_shared(), filter.has_wildcard()));
        used(name.map(|name| filter.matches(name)));
    }
    used(name.map(|name| (name.as_str(), name.as_bytes(), name == input.text)));
}

fn instant(input: &Input) {
    let (one, other) = (now(input), now(input).after_millis(input.number()));
    used((
        one.millis_since(other),
        one.has_reached(other),
        one.earlier_of(other).as_millis(),
        one.later_of(other).as_millis(),
    ));
}
