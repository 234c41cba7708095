//! What a string may hold, in every field that is one.

use flowsdk::codec::{DecodeError, EncodeError, Property, PropertyId};
use flowsdk::packet::{Connect, Packet, Publish, Subscribe, Subscription, Unsubscribe, Will};
use flowsdk::types::{
    ProtocolVersion,
    ProtocolVersion::{V3_1_1, V5},
    QoS, Role,
    Role::{Client, Server},
    TopicError,
};

use super::checks::{VERSIONS, accepts, both_ways, refuses, refuses_to_write};
use super::frames::{FRAMES, ROWS};
use super::golden::id;
use super::notation::{hex, packet, prefixed, wire};

/// A packet with a gap for a string, which is put in behind its length.
struct Field {
    version: ProtocolVersion,
    from: Role,
    first_byte: u8,
    before: &'static str,
    behind: &'static str,
}

impl Field {
    fn around(&self, text: &[u8]) -> Vec<u8> {
        packet(self.first_byte, &[wire(self.before), prefixed(text), wire(self.behind)].concat())
    }
}

const fn field(
    version: ProtocolVersion,
    from: Role,
    first_byte: u8,
    before: &'static str,
    behind: &'static str,
) -> Field {
    Field { version, from, first_byte, before, behind }
}

/// Client identifier, will topic, user name, topic of each QoS, first and second filter.
const FIELDS: &[Field] = &[
    field(V3_1_1, Client, 0x10, "0004'MQTT' 04 02 0000", ""),
    field(V3_1_1, Client, 0x10, "0004'MQTT' 04 06 0000 0001'c'", "0000"),
    field(V3_1_1, Client, 0x10, "0004'MQTT' 04 82 0000 0001'c'", ""),
    field(V3_1_1, Client, 0x30, "", ""),
    field(V3_1_1, Server, 0x30, "", "'p'"),
    field(V3_1_1, Client, 0x32, "", "0001"),
    field(V3_1_1, Server, 0x34, "", "0001 'p'"),
    field(V3_1_1, Client, 0x82, "0001", "00"),
    field(V3_1_1, Client, 0x82, "0001 0001'f' 00", "00"),
    field(V3_1_1, Client, 0xA2, "0001", ""),
    field(V3_1_1, Client, 0xA2, "0001 0001'f'", ""),
    field(V5, Client, 0x10, "0004'MQTT' 05 02 0000 00", ""),
    field(V5, Client, 0x10, "0004'MQTT' 05 06 0000 00 0001'c' 00", "0000"),
    field(V5, Client, 0x10, "0004'MQTT' 05 82 0000 00 0001'c'", ""),
    field(V5, Client, 0x30, "", "00"),
    field(V5, Server, 0x30, "", "00 'p'"),
    field(V5, Client, 0x32, "", "0001 00"),
    field(V5, Server, 0x34, "", "0001 00 'p'"),
    field(V5, Client, 0x82, "0001 00", "00"),
    field(V5, Client, 0x82, "0001 00 0001'f' 00", "00"),
    field(V5, Client, 0xA2, "0001 00", ""),
    field(V5, Client, 0xA2, "0001 00 0001'f'", ""),
];

/// Overlong forms, surrogates, above U+10FFFF, bytes that never occur, lone continuations, sequences cut short.
const ILL_FORMED: &[&str] = &[
    "C0 80",
    "C0 AF",
    "C1 BF",
    "E0 80 80",
    "E0 9F BF",
    "F0 80 80 80",
    "F0 8F BF BF",
    "ED A0 80",
    "ED AF BF",
    "ED B0 80",
    "ED BF BF",
    "ED A0 80 ED B0 80",
    "F4 90 80 80",
    "F5 80 80 80",
    "F7 BF BF BF",
    "F8 88 80 80 80",
    "FC 84 80 80 80 80",
    "FE",
    "FF",
    "80",
    "BF",
    "'a' 80 'b'",
    "C3",
    "'a' C3",
    "E2 82",
    "F0 9F 98",
    "C3 28",
    "E2 28 A1",
    "E2 82 28",
];

/// The ends of each range that is well-formed, a byte order mark, a control character.
const WELL_FORMED: &[&str] = &[
    "C2 80",
    "DF BF",
    "E0 A0 80",
    "ED 9F BF",
    "EE 80 80",
    "EF BF BF",
    "F0 90 80 80",
    "F4 8F BF BF",
    "EF BB BF 'x'",
    "01",
];

/// Calls `check` with the bytes of every packet that has a string, as it is with this text in it.
fn in_every_string(text: &[u8], mut check: impl FnMut(ProtocolVersion, Role, &[u8])) {
    for field in FIELDS {
        check(field.version, field.from, &field.around(text));
    }
    for frame in FRAMES {
        for row in ROWS.iter().filter(|row| row.is_allowed(frame)) {
            let number = &wire(row.notation)[..1];
            let base = frame.base(row).map_or(Vec::new(), |(_, bytes)| bytes);
            let text = prefixed(text);
            let other = wire("0001'x'");
            match row.property {
                Property::UserProperty(..) => {
                    for parts in [[&text, &other], [&other, &text], [&text, &text]] {
                        let block = [&base[..], number, parts[0], parts[1]].concat();
                        check(V5, frame.from, &frame.around(&block));
                    }
                }
                Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::AssignedClientIdentifier(_)
                | Property::AuthenticationMethod(_)
                | Property::ResponseInformation(_)
                | Property::ServerReference(_)
                | Property::ReasonString(_) => {
                    check(V5, frame.from, &frame.around(&[&base[..], number, &text].concat()));
                }
                _ => {}
            }
        }
    }
}

/// `[MQTT-1.5.4-1]` `[MQTT-1.5.7-1]` `[MQTT-3.1.3-4]` `[MQTT-3.1.3-11]` `[MQTT-3.1.3-12]` `[MQTT-3.3.2-1]`
/// `[MQTT-3.3.2-13]` `[MQTT-3.3.2-19]` `[MQTT-3.8.3-1]` `[MQTT-3.10.3-1]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn ill_formed_utf_8_is_refused_in_every_string() {
    for text in ILL_FORMED {
        in_every_string(&wire(text), |version, from, bytes| refuses(version, from, bytes, DecodeError::Utf8));
    }
    refuses(V5, Client, &wire("10 0D 0004'MQT' FF 05 02 0000 00 0000"), DecodeError::Utf8);
}

/// `[MQTT-1.5.4-2]` `[MQTT-4.7.3-2]` `[MQTT-1.5.7-1]`
#[test]
fn u_0000_is_refused_in_every_string() {
    for text in ["00", "'a' 00", "00 'a'", "'a' 00 'b'"] {
        in_every_string(&wire(text), |version, from, bytes| refuses(version, from, bytes, DecodeError::Nul));
    }
}

/// `[MQTT-1.5.4-1]`
#[test]
fn well_formed_utf_8_is_accepted_in_every_string() {
    let mut places = 0;
    for text in WELL_FORMED {
        in_every_string(&wire(text), |version, from, bytes| {
            accepts(version, from, bytes);
            places += 1;
        });
    }
    assert!(places > 1000, "{places}");
}

/// `[MQTT-1.5.4-3]`
#[test]
fn a_byte_order_mark_stays_what_it_is() {
    for (version, behind) in [(V3_1_1, ""), (V5, "00")] {
        let bytes = packet(0x30, &wire(&format!("0005 EFBBBF 'a' 'b' {behind}")));
        let publish = Publish { topic: "\u{FEFF}ab", ..Publish::default() };
        both_ways(version, Client, &bytes, Packet::Publish(publish));
    }
}

/// `[MQTT-1.5.4-2]` `[MQTT-4.7.3-2]`
#[test]
fn u_0000_is_never_written() {
    for version in VERSIONS {
        let connect = Connect { version, client_id: "c", ..Connect::default() };
        let subscriptions = [Subscription::new("f\0", QoS::AtMostOnce)];
        let properties = Default::default();
        for (packet, error) in [
            (Packet::Connect(Connect { client_id: "c\0", ..connect }), EncodeError::Nul),
            (Packet::Connect(Connect { username: Some("\0"), ..connect }), EncodeError::Nul),
            (
                Packet::Connect(Connect { will: Some(Will { topic: "t\0", ..Will::default() }), ..connect }),
                TopicError::Nul.into(),
            ),
            (Packet::Publish(Publish { topic: "t\0", ..Publish::default() }), TopicError::Nul.into()),
            (
                Packet::Subscribe(Subscribe { packet_id: id(1), subscriptions: (&subscriptions).into(), properties }),
                TopicError::Nul.into(),
            ),
            (
                Packet::Unsubscribe(Unsubscribe { packet_id: id(1), filters: (&["a", "f\0"]).into(), properties }),
                TopicError::Nul.into(),
            ),
        ] {
            refuses_to_write(version, Client, &packet, error);
        }
    }
    for property in [
        Property::ContentType("\0"),
        Property::AssignedClientIdentifier("\0"),
        Property::AuthenticationMethod("\0"),
        Property::ResponseInformation("\0"),
        Property::ServerReference("\0"),
        Property::ReasonString("\0"),
        Property::UserProperty("\0", ""),
        Property::UserProperty("", "\0"),
    ] {
        let frame = FRAMES.iter().find(|frame| property.id().is_allowed_in(frame.context)).expect("a place for it");
        refuses_to_write(V5, frame.from, &frame.with(&[property]), EncodeError::Nul);
    }
    let error = EncodeError::PropertyValue(PropertyId::ResponseTopic);
    let publish = FRAMES.iter().find(|frame| frame.from == Server && frame.with(&[]).is_publish()).expect("a PUBLISH");
    refuses_to_write(V5, Server, &publish.with(&[Property::ResponseTopic("\0")]), error);
}

trait IsPublish {
    fn is_publish(&self) -> bool;
}

impl IsPublish for Packet<'_> {
    fn is_publish(&self) -> bool {
        matches!(self, Packet::Publish(_))
    }
}

#[test]
fn binary_fields_hold_any_byte() {
    for text in ILL_FORMED.iter().chain(&["00"]) {
        let bytes = wire(text);
        for (version, before) in [(V3_1_1, "0004'MQTT' 04 C6 0000 0000"), (V5, "0004'MQTT' 05 C6 0000 00 0000 00")] {
            let body = [wire(before), wire("0001't'"), prefixed(&bytes), wire("0001'u'"), prefixed(&bytes)].concat();
            let will = Some(Will { topic: "t", payload: &bytes, ..Will::default() });
            let username = Some("u");
            let connect =
                Connect { version, clean_start: true, will, username, password: Some(&bytes), ..Connect::default() };
            both_ways(version, Client, &packet(0x10, &body), Packet::Connect(connect));
        }
        let publish = Publish { topic: "t", payload: &bytes, ..Publish::default() };
        let whole = packet(0x30, &[wire("0001't'"), bytes.clone()].concat());
        assert!(whole.len() > 5, "{}", hex(&whole));
        both_ways(V3_1_1, Server, &whole, Packet::Publish(publish));
    }
}
