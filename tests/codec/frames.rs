//! Every place a property block can stand in, with the packet around it, and every property with the places it may
//! stand in (tables 2-4 and the sections of the packets).

use flowsdk::codec::{Properties, Property, PropertyContext as At};
use flowsdk::packet::{
    Ack, AckKind, Auth, Connack, Connect, Delivery, Disconnect, Filters, Packet, Publish, Suback, Subscribe,
    Subscription, Subscriptions, Unsuback, Unsubscribe, Will,
};
use flowsdk::types::{QoS, ReasonCode, Role, Role::Client, Role::Server};

use super::golden::{id, nz16, nz32};
use super::notation::{packet, var_int, wire};

/// A packet of v5.0 with a gap for properties.
pub(crate) struct Frame {
    pub(crate) context: At,
    pub(crate) from: Role,
    first_byte: u8,
    before: &'static str,
    behind: &'static str,
    build: for<'a> fn(Properties<'a>) -> Packet<'a>,
}

impl Frame {
    /// The bytes with this block in the gap, behind its length.
    pub(crate) fn around(&self, block: &[u8]) -> Vec<u8> {
        self.around_raw(&[&var_int(block.len())[..], block].concat())
    }

    /// The bytes with this in the gap.
    pub(crate) fn around_raw(&self, gap: &[u8]) -> Vec<u8> {
        packet(self.first_byte, &[&wire(self.before)[..], gap, &wire(self.behind)].concat())
    }

    /// The packet with these properties.
    pub(crate) fn with<'a>(&self, properties: &'a [Property<'a>]) -> Packet<'a> {
        (self.build)(Properties::new(properties))
    }

    /// What must stand before a property for the block to be right otherwise: AUTH has a method, data needs one.
    pub(crate) fn base(&self, row: &Row) -> Option<(Property<'static>, Vec<u8>)> {
        let is_method = matches!(row.property, Property::AuthenticationMethod(_));
        let is_data = matches!(row.property, Property::AuthenticationData(_)) && row.is_allowed(self);
        let needed = is_data || (self.context == At::Auth && !is_method);
        needed.then(|| (Property::AuthenticationMethod("M"), wire("15 0001'M'")))
    }
}

const fn frame(
    context: At,
    from: Role,
    first_byte: u8,
    before: &'static str,
    behind: &'static str,
    build: for<'a> fn(Properties<'a>) -> Packet<'a>,
) -> Frame {
    Frame { context, from, first_byte, before, behind, build }
}

pub(crate) const FRAMES: &[Frame] = &[
    frame(At::Connect, Client, 0x10, "0004'MQTT' 05 00 003C", "0002'id'", |properties| {
        Packet::Connect(Connect { keep_alive: 60, client_id: "id", properties, ..Connect::default() })
    }),
    frame(At::Will, Client, 0x10, "0004'MQTT' 05 04 003C 00 0002'id'", "0001't' 0001'p'", |properties| {
        let will = Some(Will { topic: "t", payload: b"p", properties, ..Will::default() });
        Packet::Connect(Connect { keep_alive: 60, client_id: "id", will, ..Connect::default() })
    }),
    frame(At::Connack, Server, 0x20, "00 00", "", |properties| {
        Packet::Connack(Connack { session_present: false, reason_code: ReasonCode::SUCCESS, properties })
    }),
    frame(At::PublishFromClient, Client, 0x30, "0001't'", "'p'", at_most_once),
    frame(At::PublishFromServer, Server, 0x30, "0001't'", "'p'", at_most_once),
    frame(At::PublishFromClient, Client, 0x34, "0001't' 0001", "", exactly_once),
    frame(At::PublishFromServer, Server, 0x34, "0001't' 0001", "", exactly_once),
    frame(At::Puback, Client, 0x40, "0001 80", "", |p| ack(AckKind::Puback, ReasonCode::UNSPECIFIED_ERROR, p)),
    frame(At::Puback, Server, 0x40, "0001 80", "", |p| ack(AckKind::Puback, ReasonCode::UNSPECIFIED_ERROR, p)),
    frame(At::Pubrec, Client, 0x50, "0001 80", "", |p| ack(AckKind::Pubrec, ReasonCode::UNSPECIFIED_ERROR, p)),
    frame(At::Pubrec, Server, 0x50, "0001 80", "", |p| ack(AckKind::Pubrec, ReasonCode::UNSPECIFIED_ERROR, p)),
    frame(At::Pubrel, Client, 0x62, "0001 00", "", |p| ack(AckKind::Pubrel, ReasonCode::SUCCESS, p)),
    frame(At::Pubrel, Server, 0x62, "0001 00", "", |p| ack(AckKind::Pubrel, ReasonCode::SUCCESS, p)),
    frame(At::Pubcomp, Client, 0x70, "0001 00", "", |p| ack(AckKind::Pubcomp, ReasonCode::SUCCESS, p)),
    frame(At::Pubcomp, Server, 0x70, "0001 00", "", |p| ack(AckKind::Pubcomp, ReasonCode::SUCCESS, p)),
    frame(At::Subscribe, Client, 0x82, "0001", "0001'f' 00", |properties| {
        const LIST: &[Subscription<'static>] = &[Subscription::new("f", QoS::AtMostOnce)];
        Packet::Subscribe(Subscribe { packet_id: id(1), subscriptions: Subscriptions::new(LIST), properties })
    }),
    frame(At::Suback, Server, 0x90, "0001", "00", |properties| {
        Packet::Suback(Suback { packet_id: id(1), codes: &[0], properties })
    }),
    frame(At::Unsubscribe, Client, 0xA2, "0001", "0001'f'", |properties| {
        Packet::Unsubscribe(Unsubscribe { packet_id: id(1), filters: Filters::new(&["f"]), properties })
    }),
    frame(At::Unsuback, Server, 0xB0, "0001", "00", |properties| {
        Packet::Unsuback(Unsuback { packet_id: id(1), codes: &[0], properties })
    }),
    frame(At::DisconnectFromClient, Client, 0xE0, "00", "", |properties| {
        Packet::Disconnect(Disconnect { reason_code: ReasonCode::SUCCESS, properties })
    }),
    frame(At::DisconnectFromServer, Server, 0xE0, "9C", "", |properties| {
        Packet::Disconnect(Disconnect { reason_code: ReasonCode::USE_ANOTHER_SERVER, properties })
    }),
    frame(At::Auth, Client, 0xF0, "19", "", |properties| {
        Packet::Auth(Auth { reason_code: ReasonCode::REAUTHENTICATE, properties })
    }),
    frame(At::Auth, Server, 0xF0, "18", "", |properties| {
        Packet::Auth(Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties })
    }),
];

fn at_most_once(properties: Properties<'_>) -> Packet<'_> {
    Packet::Publish(Publish { topic: "t", payload: b"p", properties, ..Publish::default() })
}

fn exactly_once(properties: Properties<'_>) -> Packet<'_> {
    let delivery = Delivery::ExactlyOnce { packet_id: id(1), dup: false };
    Packet::Publish(Publish { topic: "t", delivery, properties, ..Publish::default() })
}

fn ack(kind: AckKind, reason_code: ReasonCode, properties: Properties<'_>) -> Packet<'_> {
    Packet::Ack(Ack { kind, packet_id: id(1), reason_code, properties })
}

/// A property, its bytes, and where it may stand.
pub(crate) struct Row {
    pub(crate) property: Property<'static>,
    pub(crate) notation: &'static str,
    contexts: &'static [At],
}

impl Row {
    pub(crate) fn is_allowed(&self, frame: &Frame) -> bool {
        self.is_allowed_at(frame.context)
    }

    pub(crate) fn is_allowed_at(&self, context: At) -> bool {
        self.contexts.contains(&context)
    }

    /// Whether it may only stand in the same packet from the other side.
    pub(crate) fn is_one_sided(&self, frame: &Frame) -> bool {
        let other = match frame.context {
            At::PublishFromClient => At::PublishFromServer,
            At::DisconnectFromClient => At::DisconnectFromServer,
            At::DisconnectFromServer => At::DisconnectFromClient,
            _ => return false,
        };
        !self.is_allowed(frame) && self.contexts.contains(&other)
    }
}

const MESSAGE: &[At] = &[At::PublishFromClient, At::PublishFromServer, At::Will];
const HANDSHAKE: &[At] = &[At::Connect, At::Connack];
const AUTHENTICATION: &[At] = &[At::Connect, At::Connack, At::Auth];
const ANSWERS: &[At] = &[
    At::Connack,
    At::Puback,
    At::Pubrec,
    At::Pubrel,
    At::Pubcomp,
    At::Suback,
    At::Unsuback,
    At::DisconnectFromClient,
    At::DisconnectFromServer,
    At::Auth,
];
const EVERYWHERE: &[At] = &[
    At::Connect,
    At::Will,
    At::Connack,
    At::PublishFromClient,
    At::PublishFromServer,
    At::Puback,
    At::Pubrec,
    At::Pubrel,
    At::Pubcomp,
    At::Subscribe,
    At::Suback,
    At::Unsubscribe,
    At::Unsuback,
    At::DisconnectFromClient,
    At::DisconnectFromServer,
    At::Auth,
];

const fn row(property: Property<'static>, notation: &'static str, contexts: &'static [At]) -> Row {
    Row { property, notation, contexts }
}

pub(crate) const ROWS: &[Row] = &[
    row(Property::PayloadFormatIndicator(true), "01 01", MESSAGE),
    row(Property::MessageExpiryInterval(0x0102_0304), "02 01020304", MESSAGE),
    row(Property::ContentType("text"), "03 0004'text'", MESSAGE),
    row(Property::ResponseTopic("r/t"), "08 0003'r/t'", MESSAGE),
    row(Property::CorrelationData(&[0, 1, 0xFF]), "09 0003 0001FF", MESSAGE),
    row(Property::SubscriptionIdentifier(16_384), "0B 808001", &[At::PublishFromServer, At::Subscribe]),
    row(
        Property::SessionExpiryInterval(u32::MAX),
        "11 FFFFFFFF",
        &[At::Connect, At::Connack, At::DisconnectFromClient],
    ),
    row(Property::AssignedClientIdentifier("auto-1"), "12 0006'auto-1'", &[At::Connack]),
    row(Property::ServerKeepAlive(0x0102), "13 0102", &[At::Connack]),
    row(Property::AuthenticationMethod("SCRAM"), "15 0005'SCRAM'", AUTHENTICATION),
    row(Property::AuthenticationData(&[0, 0xFF]), "16 0002 00FF", AUTHENTICATION),
    row(Property::RequestProblemInformation(false), "17 00", &[At::Connect]),
    row(Property::WillDelayInterval(5), "18 00000005", &[At::Will]),
    row(Property::RequestResponseInformation(true), "19 01", &[At::Connect]),
    row(Property::ResponseInformation("r/"), "1A 0002'r/'", &[At::Connack]),
    row(Property::ServerReference("b:1883"), "1C 0006'b:1883'", &[At::Connack, At::DisconnectFromServer]),
    row(Property::ReasonString("why"), "1F 0003'why'", ANSWERS),
    row(Property::ReceiveMaximum(nz16(65_535)), "21 FFFF", HANDSHAKE),
    row(Property::TopicAliasMaximum(0), "22 0000", HANDSHAKE),
    row(Property::TopicAlias(nz16(1)), "23 0001", &[At::PublishFromClient, At::PublishFromServer]),
    row(Property::MaximumQoS(QoS::AtMostOnce), "24 00", &[At::Connack]),
    row(Property::RetainAvailable(true), "25 01", &[At::Connack]),
    row(Property::UserProperty("name", ""), "26 0004'name' 0000", EVERYWHERE),
    row(Property::MaximumPacketSize(nz32(1)), "27 00000001", HANDSHAKE),
    row(Property::WildcardSubscriptionAvailable(true), "28 01", &[At::Connack]),
    row(Property::SubscriptionIdentifierAvailable(false), "29 00", &[At::Connack]),
    row(Property::SharedSubscriptionAvailable(true), "2A 01", &[At::Connack]),
];
