//! CONNECT, CONNACK, and whose session it is.

use flowsdk::codec::Property;
use flowsdk::packet::{Auth, Connack, Packet};
use flowsdk::session::{ConnectOptions, Misuse, PeerError};
use flowsdk::types::ReasonCode;

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// [MQTT-3.1.0-1] [MQTT-3.1.0-2]
#[test]
fn nothing_but_one_connect_leaves_before_connack() {
    Setup::new().run_idle(|rig| {
        rig.publish(AtLeastOnce, "early");
        assert_eq!(rig.sent(), NOTHING);
        rig.connect();
        rig.publish(ExactlyOnce, "early too");
        assert_eq!(rig.session.connect(rig.now, &rig.options()), Err(Misuse::AlreadyConnected));
        assert_eq!(rig.sent(), ["CONNECT"]);
        assert_eq!(rig.session.connect(rig.now, &rig.options()), Err(Misuse::AlreadyConnected));
        assert_eq!(rig.sent(), NOTHING);
        rig.accept(false);
        assert_eq!(rig.session.connect(rig.now, &rig.options()), Err(Misuse::AlreadyConnected));
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t early", "PUBLISH 2 q2 t early too"]);
    });
}

/// [MQTT-3.2.0-1]
#[test]
fn any_other_packet_before_connack_ends_the_connection() {
    for number in 0..9 {
        Setup::new().run_idle(|rig| {
            rig.connect();
            rig.sent();
            let packet = match number {
                0 => incoming(AtMostOnce, 0, "x"),
                1 => incoming(AtLeastOnce, 1, "x"),
                2 => puback(1),
                3 => pubrec(1),
                4 => pubrel(1),
                5 => pubcomp(1),
                6 => suback(1, &[0]),
                7 => unsuback(rig.config.version, 1, &[0]),
                _ => Packet::Pingresp,
            };
            assert!(matches!(rig.give_bad(packet), PeerError::UnexpectedPacket(_)));
            rig.ends_with(0x82);
        });
    }
}

/// The first packet of a connection is CONNECT, so a server that speaks before it gets no DISCONNECT. [MQTT-3.1.0-1]
#[test]
fn a_server_that_speaks_before_connect_has_left_gets_nothing() {
    Setup::new().run_idle(|rig| {
        rig.connect();
        let connack = connack(false, &[]);
        rig.publish(AtLeastOnce, "x");
        assert!(matches!(rig.give_bad(connack), PeerError::UnexpectedPacket(_)));
        assert_eq!(rig.sent(), NOTHING);
        assert!(rig.session.is_closing());
        rig.cut();
        rig.up();
    });
}

/// [MQTT-3.2.0-2]
#[test]
fn a_second_connack_ends_the_connection() {
    everywhere(|rig| {
        assert!(matches!(rig.give_bad(connack(false, &[])), PeerError::UnexpectedPacket(_)));
        rig.ends_with(0x82);
    });
}

/// [MQTT-3.1.2-4]
#[test]
fn a_clean_start_throws_the_old_session_away() {
    everywhere(|rig| {
        let (one, two) = (rig.publish(AtLeastOnce, "one"), rig.publish(ExactlyOnce, "two"));
        rig.publish(ExactlyOnce, "released");
        rig.sent();
        rig.give(pubrec(3));
        rig.give(incoming(ExactlyOnce, 9, "theirs"));
        rig.sent();
        rig.cut();
        rig.connect_with(&ConnectOptions { clean_start: true, ..rig.options() });
        assert_eq!(rig.dropped(), ["1 SessionLost", "2 SessionLost", "3 SessionLost"]);
        assert_eq!(rig.sent(), ["CONNECT"]);
        rig.accept(false);
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.session.send_quota(), u16::MAX);
        assert_eq!(rig.give(incoming(ExactlyOnce, 9, "new")), ["Message q2 s new"]);
        assert_eq!((one, two), (1, 2));
        assert_eq!(rig.sent(), ["PUBREC 9"]);
    });
}

/// What was lost neither leaves nor takes a place, also while nobody has collected it.
#[test]
fn what_is_left_of_a_lost_session_is_not_sent() {
    everywhere(|rig| {
        rig.publish(ExactlyOnce, "released");
        rig.publish(AtLeastOnce, "sent");
        rig.sent();
        rig.give(pubrec(1));
        rig.sent();
        rig.cut();
        rig.connect();
        rig.sent();
        rig.accept(false);
        rig.publish(AtLeastOnce, "new");
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.session.send_quota(), u16::MAX);
        assert_eq!(rig.dropped(), ["2 SessionLost", "1 SessionLost"]);
        assert_eq!(rig.sent(), ["PUBLISH 3 q1 t new"]);
        assert_eq!(rig.session.send_quota(), u16::MAX - 1);
    });
}

/// Session Present 0: what was begun is reported, what was never sent goes out as new. [MQTT-3.2.2-5]
#[test]
fn a_lost_session_reports_what_was_begun_and_sends_the_rest() {
    everywhere(|rig| {
        rig.give(incoming(ExactlyOnce, 5, "theirs"));
        rig.sent();
        rig.publish(AtLeastOnce, "begun");
        rig.publish(AtLeastOnce, "cut in the middle");
        rig.publish(ExactlyOnce, "never begun");
        let first = rig.session.poll_transmit(rig.now).map_or(0, <[u8]>::len);
        assert!(first > 0);
        let len = if rig.is_v5() { 13 } else { 12 };
        assert_eq!(rig.transmit(len + 1).len(), len + 1);
        rig.cut();
        rig.connect();
        rig.sent();
        assert_eq!(rig.accept(false), ["Connected"]);
        assert_eq!(rig.dropped(), ["1 SessionLost", "2 SessionLost"]);
        assert_eq!(rig.sent(), ["PUBLISH 3 q2 t never begun"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 5, "new")), ["Message q2 s new"]);
        assert_eq!(rig.publish(AtLeastOnce, "x"), 4);
    });
}

/// [MQTT-3.1.2-6/3.1.1]
#[test]
fn state_of_a_clean_session_ends_with_its_connection() {
    Setup::new().v3().run_idle(|rig| {
        let clean = ConnectOptions { clean_start: true, ..rig.options() };
        rig.connect_with(&clean);
        rig.sent();
        rig.accept(false);
        rig.publish(AtLeastOnce, "sent");
        rig.give(incoming(ExactlyOnce, 5, "theirs"));
        rig.sent();
        rig.publish(AtLeastOnce, "never sent");
        rig.cut();
        assert_eq!(rig.dropped(), ["1 SessionLost"]);
        rig.connect();
        rig.sent();
        rig.accept(true);
        assert_eq!(rig.sent(), ["PUBLISH 2 q1 t never sent"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 5, "new")), ["Message q2 s new"]);
    });
}

/// [MQTT-3.1.2-4/3.1.1]
#[test]
fn state_of_a_kept_session_is_there_after_any_time() {
    Setup::new().v3().run(|rig| {
        rig.publish(AtLeastOnce, "one");
        rig.publish(ExactlyOnce, "two");
        rig.sent();
        rig.give(pubrec(2));
        rig.cut();
        for _ in 0..10 {
            rig.wait(1 << 30);
        }
        rig.resume();
        assert_eq!(rig.sent(), ["PUBREL 2", "PUBLISH 1 q1 t one dup"]);
    });
}

/// [MQTT-3.1.2-23]
#[test]
fn a_session_expiry_decides_what_outlives_the_connection() {
    for (asked, granted, kept) in
        [(0, None, false), (0, Some(9), true), (9, None, true), (9, Some(0), false), (u32::MAX, None, true)]
    {
        Setup::new().v5().run_idle(|rig| {
            rig.connect_with(&ConnectOptions { session_expiry_interval: asked, ..rig.options() });
            rig.sent();
            let property = granted.map(Property::SessionExpiryInterval);
            rig.accept_with(false, property.as_slice());
            rig.publish(AtLeastOnce, "sent");
            rig.sent();
            rig.cut();
            assert_eq!(rig.dropped(), if kept { vec![] } else { vec!["1 SessionLost"] });
            rig.resume();
            assert_eq!(rig.sent(), if kept { vec!["PUBLISH 1 q1 t sent dup"] } else { vec![] });
        });
    }
}

/// A connection that never got its CONNACK says nothing of the session. [MQTT-3.1.2-23]
#[test]
fn an_attempt_without_connack_leaves_the_session_as_it_was() {
    everywhere(|rig| {
        rig.publish(AtLeastOnce, "sent");
        rig.sent();
        rig.cut();
        rig.connect_with(&ConnectOptions { session_expiry_interval: 0, ..rig.options() });
        rig.sent();
        rig.cut();
        assert_eq!(rig.dropped(), NOTHING);
        rig.resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t sent dup"]);
    });
}

/// [MQTT-3.1.3-2]
#[test]
fn a_session_belongs_to_its_client_identifier() {
    everywhere(|rig| {
        rig.publish(AtLeastOnce, "sent");
        rig.sent();
        rig.cut();
        rig.connect_with(&ConnectOptions { client_id: "other", ..rig.options() });
        assert_eq!(rig.dropped(), ["1 SessionLost"]);
        rig.sent();
        rig.accept(true);
        assert_eq!(rig.sent(), NOTHING);
    });
}

/// [MQTT-3.1.3-2]
#[test]
fn a_session_belongs_to_the_assigned_client_identifier() {
    Setup::new().v5().run_idle(|rig| {
        rig.connect_with(&ConnectOptions { client_id: "", ..rig.options() });
        rig.sent();
        rig.accept_with(false, &[Property::AssignedClientIdentifier("client")]);
        rig.publish(AtLeastOnce, "sent");
        rig.sent();
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t sent dup"]);
        rig.cut();
        rig.connect_with(&ConnectOptions { client_id: "", ..rig.options() });
        assert_eq!(rig.dropped(), ["1 SessionLost"]);
    });
}

/// [MQTT-3.2.2-4]
#[test]
fn a_session_claimed_after_a_clean_start_is_an_error() {
    Setup::new().run_idle(|rig| {
        rig.connect_with(&ConnectOptions { clean_start: true, ..rig.options() });
        rig.sent();
        assert_eq!(rig.give_bad(connack(true, &[])), PeerError::SessionPresent);
        rig.ends_with(0x82);
    });
    Setup::new().run_idle(|rig| {
        rig.resume();
        assert!(rig.session.is_connected());
    });
}

/// [MQTT-4.13.2-1]
#[test]
fn a_refusal_ends_the_connection_and_keeps_the_session() {
    everywhere(|rig| {
        rig.publish(AtLeastOnce, "one");
        rig.sent();
        rig.cut();
        rig.connect();
        rig.sent();
        let reason_code = ReasonCode::NOT_AUTHORIZED;
        let refusal = Connack { session_present: false, reason_code, properties: Default::default() };
        assert_eq!(rig.give(Packet::Connack(refusal)), ["Refused 0x87"]);
        assert!(rig.session.is_closing());
        assert_eq!(rig.sent(), NOTHING);
        rig.cut();
        assert_eq!(rig.dropped(), NOTHING);
        rig.resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t one dup"]);
    });
}

#[test]
fn a_server_that_does_not_answer_connect_is_given_up() {
    Setup::new().config(|config| config.connect_timeout_ms = 3000).run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.wait(2999);
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        assert_eq!(rig.wait_for_timeout(), (1, Err(PeerError::ConnackTimeout)));
        assert!(rig.session.is_closing());
        assert_eq!(rig.session.poll_timeout(), None);
        assert_eq!(rig.sent(), NOTHING);
        rig.cut();
        rig.up();
    });
}

/// [MQTT-4.12.0-6] [MQTT-4.12.0-7]
#[test]
fn authentication_without_a_method_is_refused_both_ways() {
    Setup::new().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        let method = [Property::AuthenticationMethod("m")];
        assert_eq!(rig.give_bad(connack(false, &method)), PeerError::AuthenticationMethod);
        rig.ends_with(0x82);
    });
    for before_connack in [true, false] {
        Setup::new().v5().run_idle(|rig| {
            rig.connect();
            rig.sent();
            if !before_connack {
                rig.accept(false);
            }
            let method = [Property::AuthenticationMethod("m")];
            let auth = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: (&method).into() };
            assert_eq!(rig.session.authenticate(rig.now, &auth), Err(Misuse::NoAuthenticationMethod));
            assert_eq!(rig.give_bad(Packet::Auth(auth)), PeerError::UnexpectedAuth);
            rig.ends_with(0x82);
        });
    }
}

#[test]
fn connect_takes_no_property_that_is_the_sessions_own() {
    use std::num::{NonZeroU16, NonZeroU32};
    for property in [
        Property::ReceiveMaximum(NonZeroU16::MIN),
        Property::MaximumPacketSize(NonZeroU32::MIN),
        Property::TopicAliasMaximum(9),
        Property::SessionExpiryInterval(9),
    ] {
        Setup::new().v5().run_idle(|rig| {
            let properties = [property];
            let options = ConnectOptions { properties: &properties, ..rig.options() };
            assert!(matches!(rig.session.connect(rig.now, &options), Err(Misuse::Encode(_))));
            rig.up();
        });
    }
}

#[test]
fn an_empty_client_identifier_in_v3_1_1_needs_a_clean_session() {
    Setup::new().v3().run_idle(|rig| {
        let nameless = ConnectOptions { client_id: "", ..rig.options() };
        assert_eq!(rig.session.connect(rig.now, &nameless), Err(Misuse::ClientIdRequired));
        rig.connect_with(&ConnectOptions { clean_start: true, ..nameless });
        assert_eq!(rig.sent(), ["CONNECT"]);
    });
}

#[test]
fn connect_announces_what_the_session_can_take() {
    Setup::new().v5().fixed().config(|config| config.receive_limit = 300).run_idle(|rig| {
        rig.connect();
        // Session Expiry Interval, Receive Maximum 8, Maximum Packet Size 300.
        let expected = b"\x10\x20\x00\x04MQTT\x05\x00\x00\x00\x0d\x11\xff\xff\xff\xff\x21\x00\x08\x27\x00\x00\x01\x2c\x00\x06client";
        assert_eq!(rig.wire(), expected);
    });
    Setup::new().v5().heap().config(|config| config.topic_alias_maximum = 9).run_idle(|rig| {
        rig.connect();
        // The storage has places for four aliases.
        let expected =
            b"\x10\x1e\x00\x04MQTT\x05\x00\x00\x00\x0b\x11\xff\xff\xff\xff\x21\x00\x08\x22\x00\x04\x00\x06client";
        assert_eq!(rig.wire(), expected);
    });
}
