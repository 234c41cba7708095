//! Every packet of MQTT 5.0, with nothing it can leave out and with everything it can hold.

use flowsdk::codec::{Properties, Property};
use flowsdk::packet::{
    AckKind, Connect, Filters, Packet, RetainHandling, Suback, Subscribe, Subscription, Subscriptions, Unsuback,
    Unsubscribe, Will,
};
use flowsdk::types::{ProtocolVersion, QoS, ReasonCode, Role::Client, Role::Server};

use super::golden::{Golden, QOS_0, ack, auth, connack, disconnect, id, nz16, nz32, publish, qos_1, qos_2, v5};

const NONE: &[Property<'static>] = &[];
const USER: Property<'static> = Property::UserProperty("a", "b");
/// A reason for humans and a user property: what every acknowledgement may carry. 13 bytes.
const WHY: &[Property<'static>] = &[Property::ReasonString("bad"), USER];
const METHOD: &[Property<'static>] = &[Property::AuthenticationMethod("m")];

pub(crate) const CASES: &[Golden] = &[
    // CONNECT
    v5(Client, "10 0D 0004'MQTT' 05 02 0000 00 0000", Packet::Connect(MINIMAL)),
    v5(Client, "10 0D 0004'MQTT' 05 00 FFFF 00 0000", Packet::Connect(Connect { clean_start: false, keep_alive: 0xFFFF, ..MINIMAL })),
    v5(Client, "10 0F 0004'MQTT' 05 82 0000 00 0000 0000", Packet::Connect(Connect { username: Some(""), ..MINIMAL })),
    v5(Client, "10 0F 0004'MQTT' 05 42 0000 00 0000 0000", Packet::Connect(Connect { password: Some(b""), ..MINIMAL })),
    v5(Client, "10 13 0004'MQTT' 05 06 0000 00 0000 00 0001't' 0000", with_will(QoS::AtMostOnce, false)),
    v5(Client, "10 13 0004'MQTT' 05 26 0000 00 0000 00 0001't' 0000", with_will(QoS::AtMostOnce, true)),
    v5(Client, "10 13 0004'MQTT' 05 0E 0000 00 0000 00 0001't' 0000", with_will(QoS::AtLeastOnce, false)),
    v5(Client, "10 13 0004'MQTT' 05 36 0000 00 0000 00 0001't' 0000", with_will(QoS::ExactlyOnce, true)),
    v5(
        Client,
        "10 78 0004'MQTT' 05 F6 003C
         31 11 00000E10 21 0014 27 00010000 22 000A 19 01 17 00 26 0001'k'0001'v' 26 0001'k'0002'v2' 15 0005'SCRAM' 16 0003 010203
         0003'dev'
         22 18 0000000A 01 01 02 00000E10 03 0002'ct' 08 0002'rt' 09 0002 CAFE 26 0001'a'0001'b'
         0003'w/t' 0003'bye' 0004'user' 0002 00FF",
        Packet::Connect(WHOLE),
    ),
    // CONNACK
    v5(Server, "20 03 00 00 00", connack(false, ReasonCode::SUCCESS, NONE)),
    v5(Server, "20 03 01 00 00", connack(true, ReasonCode::SUCCESS, NONE)),
    v5(Server, "20 03 00 87 00", connack(false, ReasonCode::NOT_AUTHORIZED, NONE)),
    v5(
        Server,
        "20 44 00 00
         41 11 0000003C 21 0064 24 01 25 00 27 00002000 12 0003'gen' 22 0010 1F 0002'ok' 26 0001'a'0001'b' 28 00 29 01 2A 00
         13 001E 1A 0002'ri' 1C 0002'sr' 15 0001'm' 16 0001 FF",
        connack(false, ReasonCode::SUCCESS, CONNACK_PROPERTIES),
    ),
    // PUBLISH
    v5(Client, "30 06 0003't/1' 00 *", publish("t/1", QOS_0, false, NONE, b"")),
    v5(Server, "31 08 0003't/1' 00 * 'hi'", publish("t/1", QOS_0, true, NONE, b"hi")),
    v5(Client, "32 08 0003't/1' 0001 00 *", publish("t/1", qos_1(1, false), false, NONE, b"")),
    v5(Server, "3A 0A 0003't/1' 0100 00 * 'hi'", publish("t/1", qos_1(0x100, true), false, NONE, b"hi")),
    v5(Client, "34 09 0003't/1' 00FF 00 * '!'", publish("t/1", qos_2(0xFF, false), false, NONE, b"!")),
    v5(Server, "3D 0A 0003't/1' FFFF 00 * 'hi'", publish("t/1", qos_2(0xFFFF, true), true, NONE, b"hi")),
    v5(Server, "30 06 0000 03 23 0001 *", publish("", QOS_0, false, &[Property::TopicAlias(nz16(1))], b"")),
    v5(
        Client,
        "33 2A 0001't' 000A 23 01 01 02 0000000A 23 0007 08 0003'r/t' 09 0002 0001 26 0001'a'0001'b' 03 0004'text' * 'p'",
        publish("t", qos_1(10, false), true, CLIENT_PUBLISH, b"p"),
    ),
    v5(
        Server,
        "3B 31 0001't' 000A
         2A 01 01 02 0000000A 23 0007 08 0003'r/t' 09 0002 0001 26 0001'a'0001'b' 0B 01 0B FFFFFF7F 03 0004'text' * 'p'",
        publish("t", qos_1(10, true), true, SERVER_PUBLISH, b"p"),
    ),
    // PUBACK, PUBREC, PUBREL, PUBCOMP
    v5(Client, "40 02 0001", ack(AckKind::Puback, 1, ReasonCode::SUCCESS, NONE)),
    v5(Server, "40 03 0001 | 10", ack(AckKind::Puback, 1, ReasonCode::NO_MATCHING_SUBSCRIBERS, NONE)),
    v5(Client, "40 11 FFFF | 87 | 0D 1F 0003'bad' 26 0001'a'0001'b'", ack(AckKind::Puback, 0xFFFF, ReasonCode::NOT_AUTHORIZED, WHY)),
    v5(Server, "40 11 0001 | 00 | 0D 1F 0003'bad' 26 0001'a'0001'b'", ack(AckKind::Puback, 1, ReasonCode::SUCCESS, WHY)),
    v5(Client, "50 02 0001", ack(AckKind::Pubrec, 1, ReasonCode::SUCCESS, NONE)),
    v5(Server, "50 03 0001 | 10", ack(AckKind::Pubrec, 1, ReasonCode::NO_MATCHING_SUBSCRIBERS, NONE)),
    v5(Client, "50 11 FFFF | 97 | 0D 1F 0003'bad' 26 0001'a'0001'b'", ack(AckKind::Pubrec, 0xFFFF, ReasonCode::QUOTA_EXCEEDED, WHY)),
    v5(Client, "62 02 0001", ack(AckKind::Pubrel, 1, ReasonCode::SUCCESS, NONE)),
    v5(Server, "62 03 0001 | 92", ack(AckKind::Pubrel, 1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, NONE)),
    v5(Client, "62 11 FFFF | 92 | 0D 1F 0003'bad' 26 0001'a'0001'b'", ack(AckKind::Pubrel, 0xFFFF, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, WHY)),
    v5(Client, "70 02 0001", ack(AckKind::Pubcomp, 1, ReasonCode::SUCCESS, NONE)),
    v5(Server, "70 03 0001 | 92", ack(AckKind::Pubcomp, 1, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, NONE)),
    v5(Client, "70 11 FFFF | 92 | 0D 1F 0003'bad' 26 0001'a'0001'b'", ack(AckKind::Pubcomp, 0xFFFF, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND, WHY)),
    // SUBSCRIBE, SUBACK
    v5(Client, "82 07 0001 00 ! 0001'f' 00", subscribe(NONE, &[Subscription::new("f", QoS::AtMostOnce)])),
    v5(
        Client,
        "82 24 0001 0A 0B 8001 26 0001'a'0001'b' ! 0003'a/b' 01 | 0001'#' 2E | 000A'$share/g/x' 18",
        subscribe(&[Property::SubscriptionIdentifier(128), USER], SUBSCRIPTIONS),
    ),
    v5(Server, "90 04 0001 00 ! 00", suback(NONE, &[0])),
    v5(
        Server,
        "90 1C 0001 0D 1F 0003'bad' 26 0001'a'0001'b' ! 00 | 01 | 02 | 80 | 83 | 87 | 8F | 91 | 97 | 9E | A1 | A2",
        suback(WHY, &[0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
    ),
    // UNSUBSCRIBE, UNSUBACK
    v5(Client, "A2 06 0001 00 ! 0001'f'", unsubscribe(NONE, &["f"])),
    v5(Client, "A2 12 0001 07 26 0001'a'0001'b' ! 0003'a/b' | 0001'#'", unsubscribe(&[USER], &["a/b", "#"])),
    v5(Server, "B0 04 0001 00 ! 00", unsuback(NONE, &[0])),
    v5(
        Server,
        "B0 17 0001 0D 1F 0003'bad' 26 0001'a'0001'b' ! 00 | 11 | 80 | 83 | 87 | 8F | 91",
        unsuback(WHY, &[0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]),
    ),
    // PINGREQ, PINGRESP
    v5(Client, "C0 00", Packet::Pingreq),
    v5(Server, "D0 00", Packet::Pingresp),
    // DISCONNECT
    v5(Client, "E0 00", disconnect(ReasonCode::SUCCESS, NONE)),
    v5(Server, "E0 00", disconnect(ReasonCode::SUCCESS, NONE)),
    v5(Client, "E0 01 | 04", disconnect(ReasonCode::DISCONNECT_WITH_WILL, NONE)),
    v5(Server, "E0 01 | 8B", disconnect(ReasonCode::SERVER_SHUTTING_DOWN, NONE)),
    v5(
        Client,
        "E0 14 | 04 | 12 11 00000000 1F 0003'bad' 26 0001'a'0001'b'",
        disconnect(
            ReasonCode::DISCONNECT_WITH_WILL,
            &[Property::SessionExpiryInterval(0), Property::ReasonString("bad"), USER],
        ),
    ),
    v5(
        Server,
        "E0 16 | 9D | 14 1F 0003'bad' 26 0001'a'0001'b' 1C 0004'b:18'",
        disconnect(
            ReasonCode::SERVER_MOVED,
            &[Property::ReasonString("bad"), USER, Property::ServerReference("b:18")],
        ),
    ),
    // AUTH
    v5(Server, "F0 00", auth(ReasonCode::SUCCESS, NONE)),
    v5(Server, "F0 06 | 00 04 15 0001'm'", auth(ReasonCode::SUCCESS, METHOD)),
    v5(Client, "F0 06 18 04 15 0001'm'", auth(ReasonCode::CONTINUE_AUTHENTICATION, METHOD)),
    v5(Client, "F0 06 19 04 15 0001'm'", auth(ReasonCode::REAUTHENTICATE, METHOD)),
    v5(
        Server,
        "F0 18 | 18 16 15 0001'm' 16 0002 BEEF 1F 0003'bad' 26 0001'a'0001'b'",
        auth(
            ReasonCode::CONTINUE_AUTHENTICATION,
            &[
                Property::AuthenticationMethod("m"),
                Property::AuthenticationData(&[0xBE, 0xEF]),
                Property::ReasonString("bad"),
                USER,
            ],
        ),
    ),
];

const MINIMAL: Connect<'static> = Connect {
    version: ProtocolVersion::V5,
    clean_start: true,
    keep_alive: 0,
    client_id: "",
    username: None,
    password: None,
    will: None,
    properties: Properties::EMPTY,
};

const fn with_will(qos: QoS, retain: bool) -> Packet<'static> {
    let will = Will { topic: "t", payload: b"", qos, retain, properties: Properties::EMPTY };
    Packet::Connect(Connect { will: Some(will), ..MINIMAL })
}

const WHOLE: Connect<'static> = Connect {
    version: ProtocolVersion::V5,
    clean_start: true,
    keep_alive: 60,
    client_id: "dev",
    username: Some("user"),
    password: Some(&[0x00, 0xFF]),
    will: Some(Will {
        topic: "w/t",
        payload: b"bye",
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: Properties::new(&[
            Property::WillDelayInterval(10),
            Property::PayloadFormatIndicator(true),
            Property::MessageExpiryInterval(3600),
            Property::ContentType("ct"),
            Property::ResponseTopic("rt"),
            Property::CorrelationData(&[0xCA, 0xFE]),
            USER,
        ]),
    }),
    properties: Properties::new(&[
        Property::SessionExpiryInterval(3600),
        Property::ReceiveMaximum(nz16(20)),
        Property::MaximumPacketSize(nz32(65_536)),
        Property::TopicAliasMaximum(10),
        Property::RequestResponseInformation(true),
        Property::RequestProblemInformation(false),
        Property::UserProperty("k", "v"),
        Property::UserProperty("k", "v2"),
        Property::AuthenticationMethod("SCRAM"),
        Property::AuthenticationData(&[1, 2, 3]),
    ]),
};

const CONNACK_PROPERTIES: &[Property<'static>] = &[
    Property::SessionExpiryInterval(60),
    Property::ReceiveMaximum(nz16(100)),
    Property::MaximumQoS(QoS::AtLeastOnce),
    Property::RetainAvailable(false),
    Property::MaximumPacketSize(nz32(8192)),
    Property::AssignedClientIdentifier("gen"),
    Property::TopicAliasMaximum(16),
    Property::ReasonString("ok"),
    USER,
    Property::WildcardSubscriptionAvailable(false),
    Property::SubscriptionIdentifierAvailable(true),
    Property::SharedSubscriptionAvailable(false),
    Property::ServerKeepAlive(30),
    Property::ResponseInformation("ri"),
    Property::ServerReference("sr"),
    Property::AuthenticationMethod("m"),
    Property::AuthenticationData(&[0xFF]),
];

const CLIENT_PUBLISH: &[Property<'static>] = &[
    Property::PayloadFormatIndicator(true),
    Property::MessageExpiryInterval(10),
    Property::TopicAlias(nz16(7)),
    Property::ResponseTopic("r/t"),
    Property::CorrelationData(&[0, 1]),
    USER,
    Property::ContentType("text"),
];

const SERVER_PUBLISH: &[Property<'static>] = &[
    Property::PayloadFormatIndicator(true),
    Property::MessageExpiryInterval(10),
    Property::TopicAlias(nz16(7)),
    Property::ResponseTopic("r/t"),
    Property::CorrelationData(&[0, 1]),
    USER,
    Property::SubscriptionIdentifier(1),
    Property::SubscriptionIdentifier(268_435_455),
    Property::ContentType("text"),
];

const SUBSCRIPTIONS: &[Subscription<'static>] = &[
    Subscription::new("a/b", QoS::AtLeastOnce),
    Subscription {
        filter: "#",
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    },
    Subscription {
        filter: "$share/g/x",
        qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
    },
];

const fn subscribe(
    properties: &'static [Property<'static>],
    subscriptions: &'static [Subscription<'static>],
) -> Packet<'static> {
    Packet::Subscribe(Subscribe {
        packet_id: id(1),
        subscriptions: Subscriptions::new(subscriptions),
        properties: Properties::new(properties),
    })
}

const fn suback(properties: &'static [Property<'static>], codes: &'static [u8]) -> Packet<'static> {
    Packet::Suback(Suback { packet_id: id(1), codes, properties: Properties::new(properties) })
}

const fn unsubscribe(properties: &'static [Property<'static>], filters: &'static [&'static str]) -> Packet<'static> {
    Packet::Unsubscribe(Unsubscribe {
        packet_id: id(1),
        filters: Filters::new(filters),
        properties: Properties::new(properties),
    })
}

const fn unsuback(properties: &'static [Property<'static>], codes: &'static [u8]) -> Packet<'static> {
    Packet::Unsuback(Unsuback { packet_id: id(1), codes, properties: Properties::new(properties) })
}
