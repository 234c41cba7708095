//! How the server breaks the protocol, and how the connection ends then.

use flowsdk::codec::{DecodeError, Properties, Property};
use flowsdk::packet::{Ack, AckKind, Auth, Packet, Suback, Unsuback};
use flowsdk::session::{ConnectOptions, PeerError};
use flowsdk::types::ReasonCode;

use crate::support::*;

/// Bytes that end a connection in both versions, and the code that v5.0 tells the server.
const VIOLATIONS: [(&str, &[u8], u8); 21] = [
    ("packet type 0", b"\x00\x00", 0x81),
    ("CONNECT", b"\x10\x00", 0x82),
    ("SUBSCRIBE", b"\x82\x00", 0x82),
    ("UNSUBSCRIBE", b"\xa2\x00", 0x82),
    ("PINGREQ", b"\xc0\x00", 0x82),
    ("flags of PUBACK", b"\x41\x02\x00\x01", 0x81),
    ("flags of PUBREL", b"\x60\x02\x00\x01", 0x81),
    ("flags of SUBACK", b"\x92\x03\x00\x01\x00", 0x81),
    ("flags of PINGRESP", b"\xd8\x00", 0x81),
    ("flags of DISCONNECT", b"\xe1\x00", 0x81),
    ("five bytes of length", b"\x30\xff\xff\xff\xff\x01", 0x81),
    ("QoS 3", b"\x36\x06\x00\x01s\x00\x01\x00", 0x81),
    ("DUP at QoS 0", b"\x38\x04\x00\x01s\x00", 0x81),
    ("a topic that is not UTF-8", b"\x30\x04\x00\x01\xff\x00", 0x81),
    ("a surrogate in a topic", b"\x30\x06\x00\x03\xed\xa0\x80\x00", 0x81),
    ("NUL in a topic", b"\x30\x04\x00\x01\x00\x00", 0x81),
    ("a wildcard in a topic", b"\x30\x04\x00\x01#\x00", 0x82),
    ("a topic beyond the packet", b"\x30\x03\x00\x09s", 0x81),
    ("identifier 0", b"\x32\x06\x00\x01s\x00\x00\x00", 0x82),
    ("identifier 0 in PUBACK", b"\x40\x02\x00\x00", 0x82),
    ("trailing bytes", b"\xd0\x01\x00", 0x81),
];

/// Nothing follows the DISCONNECT of v5.0, and v3.1.1 sends none, since it would discard the will. [MQTT-4.13.1-1]
/// [MQTT-3.3.1-4] [MQTT-3.14.1-1] [MQTT-4.8.0-1/3.1.1] [MQTT-1.5.3-1/3.1.1] [MQTT-1.5.3-2/3.1.1]
/// [MQTT-2.2.2-2/3.1.1] [MQTT-3.3.1-4/3.1.1] [MQTT-3.14.4-3/3.1.1]
#[test]
fn a_violation_ends_the_connection_and_nothing_follows() {
    for (name, bytes, code) in VIOLATIONS {
        eprintln!("{name}");
        everywhere(|rig| {
            let error = rig.take(bytes).expect_err(name);
            assert!(matches!(error, PeerError::Decode(_) | PeerError::UnexpectedPacket(_)), "{name}: {error:?}");
            // Whatever is ready stays behind.
            let _ = rig.try_publish(AtLeastOnce, "x");
            rig.ends_with(code);
        });
    }
}

/// [MQTT-3.15.1-1] [MQTT-4.13.1-1]
#[test]
fn violations_that_only_v5_knows_have_their_codes_too() {
    for (bytes, code) in [
        (&b"\xf1\x00"[..], 0x81),
        (b"\xd0\x80\x00", 0x81),
        (b"\x40\x03\x00\x01\x01", 0x82),
        (b"\x30\x05\x00\x01s\x01\x7f", 0x81),
        (b"\x30\x08\x00\x01s\x04\x01\x00\x01\x00", 0x82),
        (b"\x30\x04\x00\x00\x00x", 0x82),
        (b"\xe0\x03\x00\x00\x00", 0x81),
    ] {
        Setup::new().v5().run(|rig| {
            assert!(rig.take(bytes).is_err(), "{bytes:02x?}");
            rig.ends_with(code);
        });
    }
}

/// [MQTT-4.8.0-1/3.1.1] [MQTT-3.14.4-3/3.1.1]
#[test]
fn packets_that_v3_1_1_does_not_have_end_the_connection() {
    for bytes in [&b"\xe0\x00"[..], b"\xf0\x00", b"\xf0\x02\x18\x00"] {
        Setup::new().v3().run(|rig| {
            assert!(matches!(rig.take(bytes), Err(PeerError::Decode(DecodeError::PacketType(_)))));
            rig.ends_with(0);
        });
    }
}

/// [MQTT-3.1.2-24]
#[test]
fn a_packet_above_the_announced_size_ends_the_connection_by_its_header_alone() {
    Setup::new().config(|config| config.receive_limit = 20).run(|rig| {
        let overhead = if rig.is_v5() { 6 } else { 5 };
        let exact = "x".repeat(20 - overhead);
        assert_eq!(rig.give(incoming(AtMostOnce, 0, &exact)).len(), 1);
        let long = encode(&incoming(AtMostOnce, 0, &(exact + "x")), rig.config.version);
        assert_eq!(long.len(), 21);
        assert_eq!(rig.take(&long[..1]), Ok(vec![]));
        assert_eq!(rig.take(&long[..2]), Err(PeerError::PacketTooLarge(21)));
        rig.ends_with(0x95);
    });
}

/// [MQTT-3.1.2-29]
#[test]
fn explanations_nobody_asked_for_are_an_error() {
    let reason = [Property::ReasonString("because")];
    let user = [Property::UserProperty("name", "value")];
    for properties in [Properties::new(&reason), Properties::new(&user)] {
        for number in 0..6 {
            let packet = match number {
                0..=3 => {
                    let kind = [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp][number];
                    Packet::Ack(Ack { kind, packet_id: id(1), reason_code: ReasonCode::SUCCESS, properties })
                }
                4 => Packet::Suback(Suback { packet_id: id(1), codes: &[0], properties }),
                _ => Packet::Unsuback(Unsuback { packet_id: id(1), codes: &[0], properties }),
            };
            for wanted in [None, Some(true), Some(false)] {
                Setup::new().v5().run_idle(|rig| {
                    let own = wanted.map(Property::RequestProblemInformation);
                    rig.connect_with(&ConnectOptions { properties: own.as_slice(), ..rig.options() });
                    rig.sent();
                    rig.accept(false);
                    if wanted == Some(false) {
                        let error = rig.give_bad(packet);
                        assert!(matches!(error, PeerError::UnrequestedProblemInformation(_)));
                        rig.ends_with(0x82);
                    } else {
                        rig.give(packet);
                        assert!(rig.session.is_connected());
                    }
                });
            }
        }
    }
    // Where they may stand they do no harm.
    Setup::new().v5().run_idle(|rig| {
        let own = [Property::RequestProblemInformation(false)];
        rig.connect_with(&ConnectOptions { properties: &own, ..rig.options() });
        rig.sent();
        assert_eq!(rig.accept_with(false, &reason), ["Connected"]);
        let Packet::Publish(publish) = incoming(AtMostOnce, 0, "x") else { unreachable!() };
        let publish = flowsdk::packet::Publish { properties: (&user).into(), ..publish };
        assert_eq!(rig.give(Packet::Publish(publish)), ["Message q0 s x"]);
    });
}

/// [MQTT-4.12.0-6]
#[test]
fn authentication_goes_on_where_a_method_was_agreed() {
    Setup::new().v5().run_idle(|rig| {
        let method = [Property::AuthenticationMethod("m")];
        rig.connect_with(&ConnectOptions { properties: &method, ..rig.options() });
        rig.sent();
        let auth = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: (&method).into() };
        assert_eq!(rig.give(Packet::Auth(auth)), ["Auth 0x18"]);
        assert_eq!(rig.session.authenticate(rig.now, &auth), Ok(()));
        assert_eq!(rig.sent(), ["AUTH 0x18"]);
        assert_eq!(rig.accept_with(false, &method), ["Connected"]);
    });
}
