//! Packets by chance, each one valid in its version and from its sender.

use flowsdk::codec::{Properties, Property, PropertyContext as At};
use flowsdk::packet::{
    Ack, AckKind, Auth, Connack, Connect, Delivery, Disconnect, Filters, Packet, Publish, RetainHandling, Suback,
    Subscribe, Subscription, Subscriptions, Unsuback, Unsubscribe, Will,
};
use flowsdk::types::{PacketId, ProtocolVersion, ProtocolVersion::V3_1_1, QoS, ReasonCode, Role, TopicFilter};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::frames::ROWS;

/// Packets borrow; the few bytes of a case are leaked so that a strategy can own its packets.
fn leaked<T: Clone>(list: Vec<T>) -> &'static [T] {
    Vec::leak(list)
}

fn text(characters: &'static str, len: std::ops::Range<usize>) -> BoxedStrategy<&'static str> {
    let characters: Vec<char> = characters.chars().collect();
    vec(select(characters), len).prop_map(|text| &*String::leak(text.into_iter().collect())).boxed()
}

fn string() -> BoxedStrategy<&'static str> {
    text("ab/+#$ \u{1}\u{7F}\u{80}ß\u{7FF}語\u{FEFF}\u{FFFF}😀\u{10FFFF}", 0..6)
}

fn topic() -> BoxedStrategy<&'static str> {
    text("ab/$ ß語", 1..6)
}

fn filter(version: ProtocolVersion) -> BoxedStrategy<&'static str> {
    let share = select(vec!["", "", "$share/g/"]);
    let levels = vec(select(vec!["", "a", "+", "$", "語"]), 1..4);
    (share, levels, any::<bool>())
        .prop_map(|(share, levels, all)| {
            let end = if all { "/#" } else { "" };
            &*String::leak(format!("{share}{}{end}", levels.join("/")))
        })
        .prop_filter("a filter", move |filter| {
            if version == V3_1_1 { TopicFilter::plain(filter) } else { TopicFilter::new(filter) }.is_ok()
        })
        .boxed()
}

fn bytes() -> BoxedStrategy<&'static [u8]> {
    vec(any::<u8>(), 0..12).prop_map(leaked).boxed()
}

fn packet_id() -> BoxedStrategy<PacketId> {
    (1..=u16::MAX).prop_map(|id| PacketId::new(id).expect("above 0")).boxed()
}

fn qos() -> BoxedStrategy<QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]).boxed()
}

/// A property like this one, with a value by chance.
fn like(property: Property<'static>) -> BoxedStrategy<Property<'static>> {
    use Property::*;
    match property {
        PayloadFormatIndicator(_) => any::<bool>().prop_map(PayloadFormatIndicator).boxed(),
        MessageExpiryInterval(_) => any::<u32>().prop_map(MessageExpiryInterval).boxed(),
        ContentType(_) => string().prop_map(ContentType).boxed(),
        ResponseTopic(_) => topic().prop_map(ResponseTopic).boxed(),
        CorrelationData(_) => bytes().prop_map(CorrelationData).boxed(),
        SubscriptionIdentifier(_) => (1..=268_435_455_u32).prop_map(SubscriptionIdentifier).boxed(),
        SessionExpiryInterval(_) => any::<u32>().prop_map(SessionExpiryInterval).boxed(),
        AssignedClientIdentifier(_) => string().prop_map(AssignedClientIdentifier).boxed(),
        ServerKeepAlive(_) => any::<u16>().prop_map(ServerKeepAlive).boxed(),
        AuthenticationMethod(_) => string().prop_map(AuthenticationMethod).boxed(),
        AuthenticationData(_) => bytes().prop_map(AuthenticationData).boxed(),
        RequestProblemInformation(_) => any::<bool>().prop_map(RequestProblemInformation).boxed(),
        WillDelayInterval(_) => any::<u32>().prop_map(WillDelayInterval).boxed(),
        RequestResponseInformation(_) => any::<bool>().prop_map(RequestResponseInformation).boxed(),
        ResponseInformation(_) => string().prop_map(ResponseInformation).boxed(),
        ServerReference(_) => string().prop_map(ServerReference).boxed(),
        ReasonString(_) => string().prop_map(ReasonString).boxed(),
        ReceiveMaximum(_) => any::<std::num::NonZeroU16>().prop_map(ReceiveMaximum).boxed(),
        TopicAliasMaximum(_) => any::<u16>().prop_map(TopicAliasMaximum).boxed(),
        TopicAlias(_) => any::<std::num::NonZeroU16>().prop_map(TopicAlias).boxed(),
        MaximumQoS(_) => select(vec![QoS::AtMostOnce, QoS::AtLeastOnce]).prop_map(MaximumQoS).boxed(),
        RetainAvailable(_) => any::<bool>().prop_map(RetainAvailable).boxed(),
        UserProperty(..) => (string(), string()).prop_map(|(name, value)| UserProperty(name, value)).boxed(),
        MaximumPacketSize(_) => any::<std::num::NonZeroU32>().prop_map(MaximumPacketSize).boxed(),
        WildcardSubscriptionAvailable(_) => any::<bool>().prop_map(WildcardSubscriptionAvailable).boxed(),
        SubscriptionIdentifierAvailable(_) => any::<bool>().prop_map(SubscriptionIdentifierAvailable).boxed(),
        SharedSubscriptionAvailable(_) => any::<bool>().prop_map(SharedSubscriptionAvailable).boxed(),
        other => panic!("{other:?} is not in the table"),
    }
}

fn properties(version: ProtocolVersion, at: At) -> BoxedStrategy<Properties<'static>> {
    if version == V3_1_1 {
        return Just(Properties::EMPTY).boxed();
    }
    let once: Vec<_> = ROWS
        .iter()
        .filter(|row| row.is_allowed_at(at))
        .map(|row| option::weighted(if at == At::Auth { 0.9 } else { 0.4 }, like(row.property)))
        .collect();
    let users = vec((string(), string()).prop_map(|(name, value)| Property::UserProperty(name, value)), 0..3);
    (once, users)
        .prop_map(|(once, users)| once.into_iter().flatten().chain(users).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_map(move |mut list| {
            let has_method = list.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
            if !has_method && at == At::Auth {
                list.push(Property::AuthenticationMethod("m"));
            } else if !has_method {
                list.retain(|property| !matches!(property, Property::AuthenticationData(_)));
            }
            Properties::new(leaked(list))
        })
        .boxed()
}

/// A code of this list, which is of v5.0; v3.1.1 has success alone.
fn code(version: ProtocolVersion, codes: &[u8]) -> BoxedStrategy<ReasonCode> {
    let codes = if version == V3_1_1 { &codes[..1] } else { codes };
    let codes: Vec<_> = codes.iter().filter_map(|code| ReasonCode::from_byte(*code)).collect();
    select(codes).boxed()
}

fn connect(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let will = (topic(), bytes(), qos(), any::<bool>(), properties(version, At::Will))
        .prop_map(|(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties });
    let properties = properties(version, At::Connect);
    let logins = (option::of(string()), option::of(bytes()));
    (any::<bool>(), any::<u16>(), string(), logins, option::of(will), properties)
        .prop_map(move |(clean_start, keep_alive, client_id, (username, password), will, properties)| {
            let clean_start = clean_start || (version == V3_1_1 && client_id.is_empty());
            let password = password.filter(|_| version != V3_1_1 || username.is_some());
            let connect = Connect { version, clean_start, keep_alive, client_id, username, password, will, properties };
            Packet::Connect(connect)
        })
        .boxed()
}

fn connack(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let codes = [0, 0x84, 0x85, 0x86, 0x87, 0x88].map(|code| ReasonCode::from_byte(code).expect("a reason code"));
    (any::<bool>(), select(codes.to_vec()), properties(version, At::Connack))
        .prop_map(|(present, reason_code, properties)| {
            let session_present = present && reason_code == ReasonCode::SUCCESS;
            Packet::Connack(Connack { session_present, reason_code, properties })
        })
        .boxed()
}

fn publish(version: ProtocolVersion, from: Role) -> BoxedStrategy<Packet<'static>> {
    let at = if from == Role::Client { At::PublishFromClient } else { At::PublishFromServer };
    (topic(), bytes(), any::<[bool; 3]>(), qos(), packet_id(), properties(version, at))
        .prop_map(|(topic, payload, [retain, dup, no_topic], qos, packet_id, properties)| {
            let delivery = match qos {
                QoS::AtMostOnce => Delivery::AtMostOnce,
                QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
                QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
            };
            let publish = Publish { topic, payload, retain, delivery, properties };
            let aliased = no_topic && publish.topic_alias().is_some();
            Packet::Publish(Publish { topic: if aliased { "" } else { topic }, ..publish })
        })
        .boxed()
}

fn ack(version: ProtocolVersion, kind: AckKind, at: At, codes: &[u8]) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), code(version, codes), properties(version, at))
        .prop_map(move |(packet_id, reason_code, properties)| {
            Packet::Ack(Ack { kind, packet_id, reason_code, properties })
        })
        .boxed()
}

fn subscribe(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    let handling = [RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    let entry = (filter(version), qos(), any::<[bool; 2]>(), select(handling.to_vec())).prop_map(
        move |(filter, qos, [no_local, retain_as_published], retain_handling)| {
            let no_local = no_local && !filter.starts_with("$share/");
            let plain = Subscription::new(filter, qos);
            let whole = Subscription { no_local, retain_as_published, retain_handling, ..plain };
            if version == V3_1_1 { plain } else { whole }
        },
    );
    (packet_id(), vec(entry, 1..4), properties(version, At::Subscribe))
        .prop_map(|(packet_id, list, properties)| {
            Packet::Subscribe(Subscribe { packet_id, subscriptions: Subscriptions::new(leaked(list)), properties })
        })
        .boxed()
}

fn unsubscribe(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), vec(filter(version), 1..4), properties(version, At::Unsubscribe))
        .prop_map(|(packet_id, list, properties)| {
            Packet::Unsubscribe(Unsubscribe { packet_id, filters: Filters::new(leaked(list)), properties })
        })
        .boxed()
}

fn suback(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), vec(select(vec![0_u8, 1, 2, 0x80]), 1..5), properties(version, At::Suback))
        .prop_map(|(packet_id, codes, properties)| {
            Packet::Suback(Suback { packet_id, codes: leaked(codes), properties })
        })
        .boxed()
}

fn unsuback(version: ProtocolVersion) -> BoxedStrategy<Packet<'static>> {
    (packet_id(), vec(select(vec![0_u8, 0x11, 0x87]), 1..5), properties(version, At::Unsuback))
        .prop_map(move |(packet_id, codes, properties)| {
            let codes = if version == V3_1_1 { &[] } else { leaked(codes) };
            Packet::Unsuback(Unsuback { packet_id, codes, properties })
        })
        .boxed()
}

fn disconnect(version: ProtocolVersion, from: Role) -> BoxedStrategy<Packet<'static>> {
    let (at, codes) = match from {
        Role::Client => (At::DisconnectFromClient, [0x00, 0x04, 0x82]),
        Role::Server => (At::DisconnectFromServer, [0x00, 0x8B, 0x9D]),
    };
    (code(version, &codes), properties(version, at))
        .prop_map(|(reason_code, properties)| Packet::Disconnect(Disconnect { reason_code, properties }))
        .boxed()
}

fn auth(version: ProtocolVersion, from: Role) -> BoxedStrategy<Packet<'static>> {
    let codes = if from == Role::Client { [0x18, 0x19] } else { [0x18, 0x00] };
    (code(version, &codes), properties(version, At::Auth))
        .prop_map(|(reason_code, properties)| Packet::Auth(Auth { reason_code, properties }))
        .boxed()
}

/// A packet that `from` may send in this version.
pub(crate) fn packet(version: ProtocolVersion, from: Role) -> BoxedStrategy<Packet<'static>> {
    let mut kinds = vec![
        publish(version, from),
        ack(version, AckKind::Puback, At::Puback, &[0x00, 0x80, 0x99]),
        ack(version, AckKind::Pubrec, At::Pubrec, &[0x00, 0x87, 0x97]),
        ack(version, AckKind::Pubrel, At::Pubrel, &[0x00, 0x92]),
        ack(version, AckKind::Pubcomp, At::Pubcomp, &[0x00, 0x92]),
    ];
    match from {
        Role::Client => kinds.extend([
            connect(version),
            subscribe(version),
            unsubscribe(version),
            Just(Packet::Pingreq).boxed(),
            disconnect(version, from),
        ]),
        Role::Server => {
            kinds.extend([connack(version), suback(version), unsuback(version), Just(Packet::Pingresp).boxed()]);
            kinds.extend(version.is_v5().then(|| disconnect(version, from)));
        }
    }
    kinds.extend(version.is_v5().then(|| auth(version, from)));
    proptest::strategy::Union::new(kinds).boxed()
}
