//! Every packet of MQTT 3.1.1, with nothing it can leave out and with everything it can hold.

use flowsdk::codec::Properties;
use flowsdk::packet::{
    AckKind, Connect, Filters, Packet, Suback, Subscribe, Subscription, Subscriptions, Unsuback, Unsubscribe, Will,
};
use flowsdk::types::{ProtocolVersion, QoS, ReasonCode, Role::Client, Role::Server};

use super::golden::{Golden, QOS_0, ack, connack, disconnect, id, publish, qos_1, qos_2, v3};

pub(crate) const CASES: &[Golden] = &[
    // CONNECT
    v3(Client, "10 0C 0004'MQTT' 04 02 0000 0000", Packet::Connect(MINIMAL)),
    v3(
        Client,
        "10 0D 0004'MQTT' 04 00 FFFF 0001'c'",
        Packet::Connect(Connect { clean_start: false, keep_alive: 0xFFFF, client_id: "c", ..MINIMAL }),
    ),
    v3(Client, "10 0E 0004'MQTT' 04 82 0000 0000 0000", Packet::Connect(Connect { username: Some(""), ..MINIMAL })),
    v3(
        Client,
        "10 10 0004'MQTT' 04 C2 0000 0000 0000 0000",
        Packet::Connect(Connect { username: Some(""), password: Some(b""), ..MINIMAL }),
    ),
    v3(Client, "10 11 0004'MQTT' 04 06 0000 0000 0001't' 0000", with_will(QoS::AtMostOnce, false)),
    v3(Client, "10 11 0004'MQTT' 04 26 0000 0000 0001't' 0000", with_will(QoS::AtMostOnce, true)),
    v3(Client, "10 11 0004'MQTT' 04 0E 0000 0000 0001't' 0000", with_will(QoS::AtLeastOnce, false)),
    v3(Client, "10 11 0004'MQTT' 04 36 0000 0000 0001't' 0000", with_will(QoS::ExactlyOnce, true)),
    v3(
        Client,
        "10 23 0004'MQTT' 04 F6 003C 0003'dev' 0003'w/t' 0003'bye' 0004'user' 0002 00FF",
        Packet::Connect(WHOLE),
    ),
    // CONNACK
    v3(Server, "20 02 00 00", connack(false, ReasonCode::SUCCESS, &[])),
    v3(Server, "20 02 01 00", connack(true, ReasonCode::SUCCESS, &[])),
    v3(Server, "20 02 00 01", connack(false, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, &[])),
    v3(Server, "20 02 00 02", connack(false, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, &[])),
    v3(Server, "20 02 00 03", connack(false, ReasonCode::SERVER_UNAVAILABLE, &[])),
    v3(Server, "20 02 00 04", connack(false, ReasonCode::BAD_USER_NAME_OR_PASSWORD, &[])),
    v3(Server, "20 02 00 05", connack(false, ReasonCode::NOT_AUTHORIZED, &[])),
    // PUBLISH
    v3(Client, "30 05 0003't/1' *", publish("t/1", QOS_0, false, &[], b"")),
    v3(Server, "31 07 0003't/1' * 'hi'", publish("t/1", QOS_0, true, &[], b"hi")),
    v3(Client, "32 07 0003't/1' 0001 *", publish("t/1", qos_1(1, false), false, &[], b"")),
    v3(Server, "3B 09 0003't/1' 0100 * 'hi'", publish("t/1", qos_1(0x100, true), true, &[], b"hi")),
    v3(Client, "34 08 0003't/1' 00FF * '!'", publish("t/1", qos_2(0xFF, false), false, &[], b"!")),
    v3(Server, "3C 09 0003't/1' FFFF * 'hi'", publish("t/1", qos_2(0xFFFF, true), false, &[], b"hi")),
    // PUBACK, PUBREC, PUBREL, PUBCOMP
    v3(Client, "40 02 0001", ack(AckKind::Puback, 1, ReasonCode::SUCCESS, &[])),
    v3(Server, "40 02 FFFF", ack(AckKind::Puback, 0xFFFF, ReasonCode::SUCCESS, &[])),
    v3(Client, "50 02 0001", ack(AckKind::Pubrec, 1, ReasonCode::SUCCESS, &[])),
    v3(Server, "50 02 FFFF", ack(AckKind::Pubrec, 0xFFFF, ReasonCode::SUCCESS, &[])),
    v3(Client, "62 02 0001", ack(AckKind::Pubrel, 1, ReasonCode::SUCCESS, &[])),
    v3(Server, "62 02 FFFF", ack(AckKind::Pubrel, 0xFFFF, ReasonCode::SUCCESS, &[])),
    v3(Client, "70 02 0001", ack(AckKind::Pubcomp, 1, ReasonCode::SUCCESS, &[])),
    v3(Server, "70 02 FFFF", ack(AckKind::Pubcomp, 0xFFFF, ReasonCode::SUCCESS, &[])),
    // SUBSCRIBE, SUBACK
    v3(Client, "82 06 0001 ! 0001'f' 00", subscribe(&[Subscription::new("f", QoS::AtMostOnce)])),
    v3(Client, "82 19 0001 ! 0003'a/b' 01 | 0001'#' 02 | 000A'$share/+/x' 00", subscribe(SUBSCRIPTIONS)),
    v3(Server, "90 03 0001 ! 00", suback(&[0])),
    v3(Server, "90 06 0001 ! 00 | 01 | 02 | 80", suback(&[0, 1, 2, 0x80])),
    // UNSUBSCRIBE, UNSUBACK
    v3(Client, "A2 05 0001 ! 0001'f'", unsubscribe(&["f"])),
    v3(Client, "A2 0A 0001 ! 0003'a/b' | 0001'#'", unsubscribe(&["a/b", "#"])),
    v3(Server, "B0 02 0001", unsuback(1)),
    v3(Server, "B0 02 FFFF", unsuback(0xFFFF)),
    // PINGREQ, PINGRESP, DISCONNECT
    v3(Client, "C0 00", Packet::Pingreq),
    v3(Server, "D0 00", Packet::Pingresp),
    v3(Client, "E0 00", disconnect(ReasonCode::SUCCESS, &[])),
];

const MINIMAL: Connect<'static> = Connect {
    version: ProtocolVersion::V3_1_1,
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
    version: ProtocolVersion::V3_1_1,
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
        properties: Properties::EMPTY,
    }),
    properties: Properties::EMPTY,
};

/// A shared subscription is a filter as any other here, also one that v5.0 refuses.
const SUBSCRIPTIONS: &[Subscription<'static>] = &[
    Subscription::new("a/b", QoS::AtLeastOnce),
    Subscription::new("#", QoS::ExactlyOnce),
    Subscription::new("$share/+/x", QoS::AtMostOnce),
];

const fn subscribe(subscriptions: &'static [Subscription<'static>]) -> Packet<'static> {
    Packet::Subscribe(Subscribe {
        packet_id: id(1),
        subscriptions: Subscriptions::new(subscriptions),
        properties: Properties::EMPTY,
    })
}

const fn suback(codes: &'static [u8]) -> Packet<'static> {
    Packet::Suback(Suback { packet_id: id(1), codes, properties: Properties::EMPTY })
}

const fn unsubscribe(filters: &'static [&'static str]) -> Packet<'static> {
    Packet::Unsubscribe(Unsubscribe { packet_id: id(1), filters: Filters::new(filters), properties: Properties::EMPTY })
}

const fn unsuback(packet_id: u16) -> Packet<'static> {
    Packet::Unsuback(Unsuback { packet_id: id(packet_id), codes: &[], properties: Properties::EMPTY })
}
