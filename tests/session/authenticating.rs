//! Enhanced authentication (v5.0 section 4.12): the exchange before CONNACK, and re-authentication.

use std::num::NonZeroU32;

use flowsdk::codec::{EncodeError, Properties, Property, Writer};
use flowsdk::packet::{Auth, Connack, Packet};
use flowsdk::session::{ConnectOptions, Misuse, PeerError};
use flowsdk::types::{ReasonCode, Role};

use crate::support::*;

const NOTHING: [&str; 0] = [];

const METHOD: [Property<'static>; 1] = [Property::AuthenticationMethod("m")];
const OTHER: [Property<'static>; 1] = [Property::AuthenticationMethod("n")];

fn continuing<'a>(properties: &'a [Property<'a>]) -> Auth<'a> {
    auth(ReasonCode::CONTINUE_AUTHENTICATION, properties)
}

fn auth<'a>(reason_code: ReasonCode, properties: &'a [Property<'a>]) -> Auth<'a> {
    Auth { reason_code, properties: Properties::new(properties) }
}

/// An AUTH of the client as it stands on the wire.
fn bytes(properties: &[Property<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    continuing(properties).encode(&mut Writer::appending(&mut bytes), V5, Role::Client).unwrap();
    bytes
}

fn maximum_packet_size(len: usize) -> Property<'static> {
    Property::MaximumPacketSize(NonZeroU32::new(len.try_into().unwrap()).unwrap())
}

/// Runs with sessions whose CONNECT has named the method `m` and waits for CONNACK.
fn exchanging(test: impl Fn(&mut Rig)) {
    Setup::new().v5().run_idle(|rig| {
        rig.connect_with(&ConnectOptions { properties: &METHOD, ..rig.options() });
        assert_eq!(rig.sent(), ["CONNECT"]);
        test(rig);
    });
}

/// As [`exchanging`], accepted.
fn accepted(test: impl Fn(&mut Rig)) {
    exchanging(|rig| {
        assert_eq!(rig.accept_with(false, &METHOD), ["Connected"]);
        test(rig);
    });
}

/// [MQTT-3.1.2-30] [MQTT-4.12.0-3]
#[test]
fn before_connack_only_auth_leaves_and_it_carries_the_code_to_continue() {
    exchanging(|rig| {
        rig.publish(AtLeastOnce, "early");
        assert_eq!(rig.try_publish(AtMostOnce, "early"), Err(Misuse::NotConnected));
        assert_eq!(rig.try_subscribe(&["f"], &[]), Err(Misuse::NotConnected));
        assert_eq!(rig.session.ping(rig.now), Err(Misuse::NotConnected));
        assert_eq!(rig.sent(), NOTHING);
        for _ in 0..2 {
            assert_eq!(rig.give(Packet::Auth(continuing(&METHOD))), ["Auth 0x18"]);
            assert_eq!(rig.sent(), NOTHING);
            let early = auth(ReasonCode::REAUTHENTICATE, &METHOD);
            assert_eq!(rig.session.authenticate(rig.now, &early), Err(Misuse::NotConnected));
            let success = auth(ReasonCode::SUCCESS, &METHOD);
            let refused = Err(Misuse::Encode(EncodeError::ReasonCode));
            assert_eq!(rig.session.authenticate(rig.now, &success), refused);
            assert_eq!(rig.session.authenticate(rig.now, &continuing(&METHOD)), Ok(()));
            assert_eq!(rig.sent(), ["AUTH 0x18"]);
        }
        assert_eq!(rig.accept_with(false, &METHOD), ["Connected"]);
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t early"]);
    });
}

/// [MQTT-4.12.0-5]
#[test]
fn every_auth_of_the_session_has_the_method_of_connect() {
    accepted(|rig| {
        for code in [ReasonCode::CONTINUE_AUTHENTICATION, ReasonCode::REAUTHENTICATE] {
            assert_eq!(rig.session.authenticate(rig.now, &auth(code, &OTHER)), Err(Misuse::AuthenticationMethod));
            let missing = Err(Misuse::Encode(EncodeError::AuthenticationMethod));
            assert_eq!(rig.session.authenticate(rig.now, &auth(code, &[])), missing);
        }
        assert_eq!(rig.sent(), NOTHING);
    });
}

/// [MQTT-4.12.0-5]
#[test]
fn an_auth_or_connack_with_another_method_ends_the_connection() {
    exchanging(|rig| {
        assert_eq!(rig.give_bad(Packet::Auth(continuing(&OTHER))), PeerError::AuthenticationMethod);
        rig.ends_with(0x82);
    });
    for properties in [&OTHER[..], &[]] {
        exchanging(|rig| {
            assert_eq!(rig.give_bad(connack(false, properties)), PeerError::AuthenticationMethod);
            rig.ends_with(0x82);
        });
    }
    accepted(|rig| {
        assert_eq!(rig.give_bad(Packet::Auth(auth(ReasonCode::SUCCESS, &OTHER))), PeerError::AuthenticationMethod);
        rig.ends_with(0x82);
    });
}

#[test]
fn a_refusal_may_leave_the_method_out() {
    exchanging(|rig| {
        let refusal =
            Connack { session_present: false, reason_code: ReasonCode::NOT_AUTHORIZED, properties: Default::default() };
        assert_eq!(rig.give(Packet::Connack(refusal)), ["Refused 0x87"]);
    });
}

/// [MQTT-4.12.1-1]
#[test]
fn a_live_connection_is_authenticated_again_while_messages_pass() {
    accepted(|rig| {
        let again = auth(ReasonCode::REAUTHENTICATE, &METHOD);
        assert_eq!(rig.session.authenticate(rig.now, &again), Ok(()));
        rig.publish(AtLeastOnce, "a");
        assert_eq!(rig.sent(), ["AUTH 0x19", "PUBLISH 1 q1 t a"]);
        assert_eq!(rig.give(Packet::Auth(continuing(&METHOD))), ["Auth 0x18"]);
        assert_eq!(rig.give(incoming(AtMostOnce, 0, "b")), ["Message q0 s b"]);
        assert_eq!(rig.session.authenticate(rig.now, &continuing(&METHOD)), Ok(()));
        assert_eq!(rig.sent(), ["AUTH 0x18"]);
        assert_eq!(rig.give(Packet::Auth(auth(ReasonCode::SUCCESS, &METHOD))), ["Auth"]);
        // A success may end behind its fixed header.
        assert_eq!(rig.take(&[0xF0, 0]), Ok(vec!["Auth".to_string()]));
        assert!(rig.session.is_connected());
    });
}

/// [MQTT-3.15.2-2] [MQTT-3.15.2-3]
#[test]
fn reason_string_and_user_properties_are_left_out_where_the_server_takes_no_packet_as_long() {
    let [method] = METHOD;
    let data = Property::AuthenticationData(b"data");
    for more in [Property::ReasonString("because"), Property::UserProperty("name", "value")] {
        let (full, essence) = ([method, data, more], [method, data]);
        for (limit, kept) in
            [(bytes(&full).len(), true), (bytes(&full).len() - 1, false), (bytes(&essence).len(), false)]
        {
            exchanging(|rig| {
                rig.accept_with(false, &[method, maximum_packet_size(limit)]);
                assert_eq!(rig.session.authenticate(rig.now, &continuing(&full)), Ok(()));
                assert_eq!(rig.wire(), bytes(if kept { &full } else { &essence }));
            });
        }
        exchanging(|rig| {
            let limit = bytes(&essence).len() - 1;
            rig.accept_with(false, &[method, maximum_packet_size(limit)]);
            let refused = rig.session.authenticate(rig.now, &continuing(&full));
            assert_eq!(refused, Err(Misuse::PacketTooLarge { limit: limit.try_into().unwrap() }));
            assert_eq!(rig.sent(), NOTHING);
        });
    }
    // Without data there is nothing to keep but the method.
    exchanging(|rig| {
        rig.accept_with(false, &[method, maximum_packet_size(bytes(&METHOD).len())]);
        let full = [method, Property::ReasonString("because")];
        assert_eq!(rig.session.authenticate(rig.now, &continuing(&full)), Ok(()));
        assert_eq!(rig.wire(), bytes(&METHOD));
    });
}

#[test]
fn the_time_for_connack_runs_through_the_exchange() {
    let config = Setup::new().v5().config(|config| config.connect_timeout_ms = 3000);
    config.run_idle(|rig| {
        rig.connect_with(&ConnectOptions { properties: &METHOD, ..rig.options() });
        rig.sent();
        for _ in 0..2 {
            rig.wait(1000);
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
            rig.give(Packet::Auth(continuing(&METHOD)));
            rig.session.authenticate(rig.now, &continuing(&METHOD)).unwrap();
            rig.sent();
        }
        assert_eq!(rig.wait_for_timeout(), (1000, Err(PeerError::ConnackTimeout)));
    });
}

#[test]
fn the_method_ends_with_its_connection() {
    accepted(|rig| {
        rig.cut();
        rig.up();
        assert_eq!(
            rig.session.authenticate(rig.now, &auth(ReasonCode::REAUTHENTICATE, &METHOD)),
            Err(Misuse::NoAuthenticationMethod)
        );
    });
}

#[test]
fn connect_with_data_needs_a_method() {
    Setup::new().v5().run_idle(|rig| {
        let data = [Property::AuthenticationData(b"d")];
        let refused = rig.session.connect(rig.now, &ConnectOptions { properties: &data, ..rig.options() });
        assert_eq!(refused, Err(Misuse::Encode(EncodeError::AuthenticationMethod)));
    });
}
