//! Valid values by chance, for fuzzing: implementations of [`Arbitrary`] for what `types`, `codec` and `packet` define.
//!
//! Every packet can be encoded: in v5.0, and where both sides may send it, as a client. [`SentPacket`] is a packet of
//! either version and either side. Values borrow the bytes that they are made of; a list or a block of properties is
//! the longest valid beginning of some of them, so that bytes of a captured packet are a good start.
//!
//! ```
//! use flowsdk::arbitrary::SentPacket;
//! use flowsdk::codec::Writer;
//!
//! # fn main() -> arbitrary::Result<()> {
//! let mut by_chance = arbitrary::Unstructured::new(&[0x17; 64]);
//! let SentPacket { version, from, packet } = by_chance.arbitrary()?;
//! assert!(packet.encode(&mut Writer::counting(), version, from).is_ok());
//! # Ok(())
//! # }
//! ```

use ::arbitrary::{Arbitrary, Result, Unstructured};

use crate::codec::{Entries, Entry, Properties, Property, PropertyContext, PropertyId, Reader, VarInt, Writer};
use crate::packet::{
    Ack, AckKind, Auth, Connack, Connect, Delivery, Disconnect, Filters, Packet, Publish, RetainHandling, Suback,
    Subscribe, Subscription, Subscriptions, Unsuback, Unsubscribe, Will,
};
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role, TopicFilter, TopicName};

/// The longest string or binary field there can be.
const LONGEST_FIELD: usize = 65_535;
/// The longest list or block that is made.
const LONGEST_BLOCK: usize = 512;

/// A packet with the version it is written in and the side that may send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPacket<'a> {
    /// The version of the connection.
    pub version: ProtocolVersion,
    /// The side.
    pub from: Role,
    /// The packet.
    pub packet: Packet<'a>,
}

impl<'a> SentPacket<'a> {
    /// A packet of this version from this side.
    ///
    /// # Errors
    /// As [`Arbitrary::arbitrary`].
    pub fn of(u: &mut Unstructured<'a>, version: ProtocolVersion, from: Role) -> Result<Self> {
        Ok(Self { version, from, packet: packet(u, version, from)? })
    }
}

impl<'a> Arbitrary<'a> for SentPacket<'a> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (version, from) = (u.arbitrary()?, u.arbitrary()?);
        Self::of(u, version, from)
    }
}

/// Implements [`Arbitrary`] by a function of [`Unstructured`].
macro_rules! arbitrary_by {
    ($( $name:ty: $make:expr; )*) => {
        $( impl<'a> Arbitrary<'a> for $name {
            fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
                let make: fn(&mut Unstructured<'a>) -> Result<Self> = $make;
                make(u)
            }
        } )*
    };
}

const V5: ProtocolVersion = ProtocolVersion::V5;

arbitrary_by! {
    QoS: |u| u.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).copied();
    ProtocolVersion: |u| u.choose(&[V5, ProtocolVersion::V3_1_1]).copied();
    Role: |u| u.choose(&[Role::Client, Role::Server]).copied();
    PacketId: |u| Ok(PacketId::new(u.arbitrary()?).unwrap_or(PacketId::MIN));
    ReasonCode: |u| reason_code(u, |_| true);
    TopicName<'a>: topic_name;
    TopicFilter<'a>: |u| topic_filter(u, V5);
    RetainHandling: |u| {
        u.choose(&[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend]).copied()
    };
    AckKind: |u| u.choose(&[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp]).copied();
    Delivery: delivery;
    Property<'a>: property;
    Subscription<'a>: |u| subscription(u, V5);
    Will<'a>: |u| will(u, V5);
    Connect<'a>: |u| connect(u, V5);
    Connack<'a>: |u| connack(u, V5);
    Publish<'a>: |u| publish(u, V5, Role::Client);
    Ack<'a>: |u| ack(u, V5, Role::Client);
    Subscribe<'a>: |u| subscribe(u, V5);
    Suback<'a>: |u| suback(u, V5);
    Unsubscribe<'a>: |u| unsubscribe(u, V5);
    Unsuback<'a>: |u| unsuback(u, V5);
    Disconnect<'a>: |u| disconnect(u, V5, Role::Client);
    Auth<'a>: |u| auth(u, Role::Client);
    Packet<'a>: |u| {
        let from = u.arbitrary()?;
        packet(u, V5, from)
    };
}

fn packet<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion, from: Role) -> Result<Packet<'a>> {
    let kind = u.int_in_range(0..=7_u8)?;
    Ok(match (kind, from) {
        (0, _) => Packet::Publish(publish(u, version, from)?),
        (1, _) => Packet::Ack(ack(u, version, from)?),
        (2, Role::Client) => Packet::Connect(connect(u, version)?),
        (2, Role::Server) => Packet::Connack(connack(u, version)?),
        (3, Role::Client) => Packet::Subscribe(subscribe(u, version)?),
        (3, Role::Server) => Packet::Suback(suback(u, version)?),
        (4, Role::Client) => Packet::Unsubscribe(unsubscribe(u, version)?),
        (4, Role::Server) => Packet::Unsuback(unsuback(u, version)?),
        (5, _) if version.is_v5() => Packet::Auth(auth(u, from)?),
        (6, _) if version.is_v5() || from == Role::Client => Packet::Disconnect(disconnect(u, version, from)?),
        (_, Role::Client) => Packet::Pingreq,
        (_, Role::Server) => Packet::Pingresp,
    })
}

fn connect<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Connect<'a>> {
    let client_id = text(u)?;
    let username = if u.arbitrary()? { Some(text(u)?) } else { None };
    let password = if u.arbitrary()? { Some(binary(u)?) } else { None };
    Ok(Connect {
        version,
        clean_start: u.arbitrary::<bool>()? || (client_id.is_empty() && !version.is_v5()),
        keep_alive: u.arbitrary()?,
        client_id,
        username,
        password: password.filter(|_| username.is_some() || version.is_v5()),
        will: if u.arbitrary()? { Some(will(u, version)?) } else { None },
        properties: properties(u, version, PropertyContext::Connect)?,
    })
}

fn will<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Will<'a>> {
    Ok(Will {
        topic: topic_name(u)?.as_str(),
        payload: binary(u)?,
        qos: u.arbitrary()?,
        retain: u.arbitrary()?,
        properties: properties(u, version, PropertyContext::Will)?,
    })
}

fn connack<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Connack<'a>> {
    let bare = |reason_code| Connack { session_present: false, reason_code, properties: Properties::EMPTY };
    let reason_code = reason_code(u, |code| bare(code).encode(&mut Writer::counting(), version).is_ok())?;
    Ok(Connack {
        session_present: u.arbitrary::<bool>()? && reason_code == ReasonCode::SUCCESS,
        properties: properties(u, version, PropertyContext::Connack)?,
        ..bare(reason_code)
    })
}

fn publish<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion, from: Role) -> Result<Publish<'a>> {
    let context = match from {
        Role::Client => PropertyContext::PublishFromClient,
        Role::Server => PropertyContext::PublishFromServer,
    };
    let mut publish = Publish {
        topic: topic_name(u)?.as_str(),
        retain: u.arbitrary()?,
        delivery: u.arbitrary()?,
        properties: properties(u, version, context)?,
        payload: &[],
    };
    if publish.topic_alias().is_some() && u.arbitrary()? {
        publish.topic = "";
    }
    publish.payload = u.arbitrary()?;
    Ok(publish)
}

fn delivery(u: &mut Unstructured<'_>) -> Result<Delivery> {
    let (packet_id, dup) = (u.arbitrary()?, u.arbitrary()?);
    Ok(match u.arbitrary()? {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
    })
}

fn ack<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion, from: Role) -> Result<Ack<'a>> {
    let kind: AckKind = u.arbitrary()?;
    let context = match kind {
        AckKind::Puback => PropertyContext::Puback,
        AckKind::Pubrec => PropertyContext::Pubrec,
        AckKind::Pubrel => PropertyContext::Pubrel,
        AckKind::Pubcomp => PropertyContext::Pubcomp,
    };
    let allows = |code| if version.is_v5() { kind.allows(code, from) } else { code == ReasonCode::SUCCESS };
    Ok(Ack {
        kind,
        packet_id: u.arbitrary()?,
        reason_code: reason_code(u, allows)?,
        properties: properties(u, version, context)?,
    })
}

fn subscribe<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Subscribe<'a>> {
    const EVERYTHING: &[Subscription<'static>] = &[Subscription::new("#", QoS::ExactlyOnce)];
    let mut subscribe = Subscribe {
        packet_id: u.arbitrary()?,
        subscriptions: Subscriptions::new(EVERYTHING),
        properties: properties(u, version, PropertyContext::Subscribe)?,
    };
    let block = longest_valid::<Subscription<'_>>(u, |block| {
        let subscriptions = Entries::from_checked_block(block);
        Subscribe { subscriptions, ..subscribe }.encode(&mut Writer::counting(), version).is_ok()
    })?;
    if !block.is_empty() {
        subscribe.subscriptions = Entries::from_checked_block(block);
    }
    Ok(subscribe)
}

fn subscription<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Subscription<'a>> {
    let filter = topic_filter(u, version)?;
    let plain = Subscription::new(filter.as_str(), u.arbitrary()?);
    if !version.is_v5() {
        return Ok(plain);
    }
    Ok(Subscription {
        no_local: u.arbitrary::<bool>()? && !filter.is_shared(),
        retain_as_published: u.arbitrary()?,
        retain_handling: u.arbitrary()?,
        ..plain
    })
}

fn unsubscribe<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Unsubscribe<'a>> {
    let mut unsubscribe = Unsubscribe {
        packet_id: u.arbitrary()?,
        filters: Filters::new(&["#"]),
        properties: properties(u, version, PropertyContext::Unsubscribe)?,
    };
    let block = longest_valid::<&str>(u, |block| {
        let filters = Entries::from_checked_block(block);
        Unsubscribe { filters, ..unsubscribe }.encode(&mut Writer::counting(), version).is_ok()
    })?;
    if !block.is_empty() {
        unsubscribe.filters = Entries::from_checked_block(block);
    }
    Ok(unsubscribe)
}

fn suback<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Suback<'a>> {
    let packet_id = u.arbitrary()?;
    let properties = properties(u, version, PropertyContext::Suback)?;
    let whole = |codes| Suback { packet_id, codes, properties };
    Ok(whole(codes(u, |codes| whole(codes).encode(&mut Writer::counting(), version).is_ok())?))
}

fn unsuback<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<Unsuback<'a>> {
    let packet_id = u.arbitrary()?;
    let properties = properties(u, version, PropertyContext::Unsuback)?;
    let whole = |codes| Unsuback { packet_id, codes, properties };
    if !version.is_v5() {
        return Ok(whole(&[]));
    }
    Ok(whole(codes(u, |codes| whole(codes).encode(&mut Writer::counting(), version).is_ok())?))
}

fn disconnect<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion, from: Role) -> Result<Disconnect<'a>> {
    let context = match from {
        Role::Client => PropertyContext::DisconnectFromClient,
        Role::Server => PropertyContext::DisconnectFromServer,
    };
    let allows = |code| Disconnect::new(code).encode(&mut Writer::counting(), version, from).is_ok();
    Ok(Disconnect { reason_code: reason_code(u, allows)?, properties: properties(u, version, context)? })
}

fn auth<'a>(u: &mut Unstructured<'a>, from: Role) -> Result<Auth<'a>> {
    const METHOD: &[Property<'static>] = &[Property::AuthenticationMethod("SCRAM-SHA-256")];
    let properties = properties(u, V5, PropertyContext::Auth)?;
    let with = |reason_code, properties| Auth { reason_code, properties };
    let allows = |auth: Auth<'_>| auth.encode(&mut Writer::counting(), V5, from).is_ok();
    let reason_code = reason_code(u, |code| allows(with(code, Properties::new(METHOD))))?;
    let auth = with(reason_code, properties);
    Ok(if allows(auth) { auth } else { with(reason_code, Properties::new(METHOD)) })
}

/// Properties that may stand there.
fn properties<'a>(
    u: &mut Unstructured<'a>,
    version: ProtocolVersion,
    context: PropertyContext,
) -> Result<Properties<'a>> {
    if !version.is_v5() {
        return Ok(Properties::EMPTY);
    }
    let block = longest_valid::<Property<'_>>(u, |block| Properties::from_block(block, context).is_ok())?;
    Ok(Properties::from_checked_block(block))
}

fn property<'a>(u: &mut Unstructured<'a>) -> Result<Property<'a>> {
    let ids: Vec<_> = (0..=u8::MAX).filter_map(PropertyId::from_number).collect();
    Ok(match *u.choose(&ids)? {
        PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(u.arbitrary()?),
        PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(u.arbitrary()?),
        PropertyId::ContentType => Property::ContentType(text(u)?),
        PropertyId::ResponseTopic => Property::ResponseTopic(topic_name(u)?.as_str()),
        PropertyId::CorrelationData => Property::CorrelationData(binary(u)?),
        PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(u.int_in_range(1..=VarInt::MAX)?),
        PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(u.arbitrary()?),
        PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(text(u)?),
        PropertyId::ServerKeepAlive => Property::ServerKeepAlive(u.arbitrary()?),
        PropertyId::AuthenticationMethod => Property::AuthenticationMethod(text(u)?),
        PropertyId::AuthenticationData => Property::AuthenticationData(binary(u)?),
        PropertyId::RequestProblemInformation => Property::RequestProblemInformation(u.arbitrary()?),
        PropertyId::WillDelayInterval => Property::WillDelayInterval(u.arbitrary()?),
        PropertyId::RequestResponseInformation => Property::RequestResponseInformation(u.arbitrary()?),
        PropertyId::ResponseInformation => Property::ResponseInformation(text(u)?),
        PropertyId::ServerReference => Property::ServerReference(text(u)?),
        PropertyId::ReasonString => Property::ReasonString(text(u)?),
        PropertyId::ReceiveMaximum => Property::ReceiveMaximum(u.arbitrary()?),
        PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(u.arbitrary()?),
        PropertyId::TopicAlias => Property::TopicAlias(u.arbitrary()?),
        PropertyId::MaximumQoS => Property::MaximumQoS(*u.choose(&[QoS::AtMostOnce, QoS::AtLeastOnce])?),
        PropertyId::RetainAvailable => Property::RetainAvailable(u.arbitrary()?),
        PropertyId::UserProperty => Property::UserProperty(text(u)?, text(u)?),
        PropertyId::MaximumPacketSize => Property::MaximumPacketSize(u.arbitrary()?),
        PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(u.arbitrary()?),
        PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(u.arbitrary()?),
        PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(u.arbitrary()?),
    })
}

fn topic_name<'a>(u: &mut Unstructured<'a>) -> Result<TopicName<'a>> {
    let text = text(u)?;
    let name = text.split(['+', '#']).next().unwrap_or_default();
    // Only the empty string is left to be refused.
    TopicName::new(name).or_else(|_| TopicName::new("topic")).map_err(|_| ::arbitrary::Error::IncorrectFormat)
}

/// The levels of a string up to the first one with a wildcard in a wrong place.
fn topic_filter<'a>(u: &mut Unstructured<'a>, version: ProtocolVersion) -> Result<TopicFilter<'a>> {
    let check = |filter| if version.is_v5() { TopicFilter::new(filter) } else { TopicFilter::plain(filter) };
    let text = text(u)?;
    let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
    let filters = ends.map_while(|end| check(text.get(..end)?).ok());
    filters.last().map_or_else(|| check("#"), Ok).map_err(|_| ::arbitrary::Error::IncorrectFormat)
}

/// A string without U+0000.
fn text<'a>(u: &mut Unstructured<'a>) -> Result<&'a str> {
    let text = u.arbitrary::<&str>()?.split('\0').next().unwrap_or_default();
    let end = (0..=text.len().min(LONGEST_FIELD)).rev().find(|end| text.is_char_boundary(*end));
    Ok(end.and_then(|end| text.get(..end)).unwrap_or_default())
}

fn binary<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let bytes: &[u8] = u.arbitrary()?;
    Ok(bytes.get(..LONGEST_FIELD).unwrap_or(bytes))
}

fn reason_code(u: &mut Unstructured<'_>, allows: impl Fn(ReasonCode) -> bool) -> Result<ReasonCode> {
    let codes: Vec<_> = (0..=u8::MAX).filter_map(ReasonCode::from_byte).filter(|code| allows(*code)).collect();
    u.choose(&codes).copied()
}

/// Codes of which `is_valid` holds; one at the least.
fn codes<'a>(u: &mut Unstructured<'a>, is_valid: impl Fn(&'a [u8]) -> bool) -> Result<&'a [u8]> {
    let bytes: &'a [u8] = u.arbitrary()?;
    let count = bytes.chunks(1).take_while(|code| is_valid(code)).count();
    Ok(bytes.get(..count).filter(|codes| !codes.is_empty()).unwrap_or(&[0]))
}

/// The longest beginning of some bytes that is made of whole entries and of which `is_valid` holds.
fn longest_valid<'a, T: Entry<'a>>(u: &mut Unstructured<'a>, is_valid: impl Fn(&'a [u8]) -> bool) -> Result<&'a [u8]> {
    let bytes: &[u8] = u.arbitrary()?;
    let bytes = bytes.get(..LONGEST_BLOCK).unwrap_or(bytes);
    let mut reader = Reader::new(bytes);
    let mut ends = Vec::new();
    while !reader.is_empty() && T::decode_entry(&mut reader).is_some() && reader.error().is_none() {
        ends.push(bytes.len() - reader.remaining());
    }
    let beginnings = ends.iter().rev().filter_map(|end| bytes.get(..*end));
    Ok(beginnings.into_iter().find(|block| is_valid(block)).unwrap_or_default())
}
