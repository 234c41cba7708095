//! DISCONNECT, and the end of a connection.

use std::num::NonZeroU32;

use flowsdk::codec::Property;
use flowsdk::packet::{Auth, Disconnect, Packet};
use flowsdk::session::{Acknowledgement, ConnectOptions, Full, Misuse};
use flowsdk::types::ReasonCode;

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.4-1/3.1.1] [MQTT-3.14.4-2/3.1.1]
#[test]
fn nothing_leaves_behind_disconnect() {
    let reason = [Property::ReasonString("bye")];
    for properties in [&[][..], &reason] {
        Setup::new().config(|config| config.acknowledgement = Acknowledgement::Manual).run(|rig| {
            if !rig.is_v5() && !properties.is_empty() {
                return;
            }
            rig.give(incoming(AtLeastOnce, 1, "x"));
            rig.give(incoming(AtLeastOnce, 2, "x"));
            rig.publish(AtMostOnce, "ready");
            rig.publish(AtLeastOnce, "stays");
            rig.acknowledge(0);
            let properties = flowsdk::codec::Properties::new(properties);
            let disconnect = Disconnect { reason_code: ReasonCode::SUCCESS, properties };
            assert_eq!(rig.session.disconnect(rig.now, &disconnect), Ok(()));
            let first = rig.transmit(1);
            let mut bytes = first;
            bytes.extend(rig.wire());
            let mut sent = packets(&bytes, rig.config.version);
            assert_eq!(sent.pop().as_deref(), Some("DISCONNECT"));
            sent.sort();
            assert_eq!(sent, ["PUBACK 1", "PUBLISH q0 t ready"]);
            assert!(rig.session.is_closing());
            rig.acknowledge(1);
            rig.give(incoming(AtLeastOnce, 3, "x"));
            rig.give(pubrel(9));
            rig.wait(1 << 30);
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
            assert_eq!(rig.sent(), NOTHING);
            rig.cut_and_resume();
            assert_eq!(rig.sent(), ["PUBLISH 1 q1 t stays"]);
        });
    }
}

/// An acknowledgement made while DISCONNECT is on its way must not follow it. [MQTT-3.14.4-1]
#[test]
fn nothing_joins_a_disconnect_that_has_begun() {
    let reason = [Property::ReasonString("bye")];
    Setup::new().v5().config(|config| config.acknowledgement = Acknowledgement::Manual).run(|rig| {
        rig.give(incoming(AtLeastOnce, 1, "x"));
        let disconnect = Disconnect { reason_code: ReasonCode::SUCCESS, properties: (&reason).into() };
        assert_eq!(rig.session.disconnect(rig.now, &disconnect), Ok(()));
        let mut bytes = rig.transmit(1);
        rig.acknowledge(0);
        bytes.extend(rig.wire());
        assert_eq!(packets(&bytes, V5), ["DISCONNECT"]);
    });
}

/// [MQTT-4.13.1-1]
#[test]
fn a_fault_lets_only_a_packet_that_has_begun_leave_before_disconnect() {
    Setup::new().v5().fixed().run(|rig| {
        rig.publish(AtLeastOnce, "begun");
        rig.publish(AtLeastOnce, "not begun");
        rig.give(incoming(AtLeastOnce, 1, "x"));
        let mut bytes = rig.transmit(1);
        assert!(rig.take(&[0, 0]).is_err());
        bytes.extend(rig.wire());
        assert_eq!(packets(&bytes, V5), ["PUBACK 1", "DISCONNECT 0x81"]);
    });
}

#[test]
fn disconnect_carries_a_code_and_properties() {
    everywhere(|rig| {
        let with_will = Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL);
        let result = rig.session.disconnect(rig.now, &with_will);
        if rig.is_v5() {
            assert_eq!(result, Ok(()));
            assert_eq!(rig.sent(), ["DISCONNECT 0x04"]);
        } else {
            assert!(matches!(result, Err(Misuse::Encode(_))));
            assert!(rig.session.is_connected());
            rig.disconnect().expect("connected");
            assert_eq!(rig.wire(), b"\xe0\x00");
        }
    });
}

/// The call tells that they do not fit, so that the caller leaves them out. [MQTT-3.14.2-3] [MQTT-3.14.2-4]
#[test]
fn properties_of_disconnect_never_make_it_longer_than_the_server_takes() {
    for property in [Property::ReasonString("0123456789"), Property::UserProperty("01234", "567")] {
        Setup::new().v5().run_idle(|rig| {
            rig.connect();
            rig.sent();
            rig.accept_with(false, &[Property::MaximumPacketSize(NonZeroU32::new(16).expect("not 0"))]);
            let properties = [property];
            let disconnect = Disconnect { reason_code: ReasonCode::SUCCESS, properties: (&properties).into() };
            let result = rig.session.disconnect(rig.now, &disconnect);
            assert_eq!(result, Err(Misuse::PacketTooLarge { limit: 16 }));
            assert!(rig.session.is_connected());
            rig.disconnect().expect("connected");
            assert_eq!(rig.sent(), ["DISCONNECT"]);
        });
    }
}

#[test]
fn disconnect_cannot_keep_a_session_that_connect_did_not() {
    for (asked, changed, allowed) in [(0, 0, true), (0, 5, false), (9, 5, true), (9, 0, true)] {
        Setup::new().v5().run_idle(|rig| {
            rig.connect_with(&ConnectOptions { session_expiry_interval: asked, ..rig.options() });
            rig.sent();
            rig.accept(false);
            rig.publish(AtLeastOnce, "x");
            rig.sent();
            let properties = [Property::SessionExpiryInterval(changed)];
            let disconnect = Disconnect { reason_code: ReasonCode::SUCCESS, properties: (&properties).into() };
            let result = rig.session.disconnect(rig.now, &disconnect);
            assert_eq!(result, if allowed { Ok(()) } else { Err(Misuse::SessionExpiry) });
            rig.sent();
            rig.cut();
            let kept = if allowed { changed } else { asked } > 0;
            assert_eq!(rig.dropped().is_empty(), kept);
        });
    }
}

/// [MQTT-4.13.2-1]
#[test]
fn a_disconnect_of_the_server_is_the_end() {
    Setup::new().v5().run(|rig| {
        rig.publish(AtLeastOnce, "x");
        let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_SHUTTING_DOWN));
        assert_eq!(rig.give(bye), ["Disconnected 0x8b"]);
        assert!(rig.session.is_closing());
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.session.poll_timeout(), None);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t x"]);
    });
}

/// Brings a session into each of its phases.
fn phases(test: impl Fn(&mut Rig, &str)) {
    Setup::new().run_idle(|rig| {
        test(rig, "idle");
        rig.cut();
        rig.connect();
        test(rig, "connecting");
        rig.cut();
        rig.resume();
        rig.disconnect().expect("connected");
        test(rig, "closing");
        rig.cut();
        rig.connect();
        rig.sent();
        let reason_code = ReasonCode::SERVER_BUSY;
        let reason_code = if rig.is_v5() { reason_code } else { ReasonCode::SERVER_UNAVAILABLE };
        let refusal = flowsdk::packet::Connack { session_present: false, reason_code, properties: Default::default() };
        rig.give(Packet::Connack(refusal));
        test(rig, "ended");
    });
}

#[test]
fn commands_that_need_a_connection_are_refused_in_every_other_phase() {
    phases(|rig, phase| {
        let not_connected = Some(Misuse::NotConnected);
        assert_eq!(rig.try_publish(AtMostOnce, "x").err(), not_connected, "{phase}");
        assert_eq!(rig.try_subscribe(&["f"], &[]).err(), not_connected, "{phase}");
        assert_eq!(rig.try_unsubscribe(&["f"]).err(), not_connected, "{phase}");
        assert_eq!(rig.session.ping(rig.now).err(), not_connected, "{phase}");
        assert_eq!(rig.disconnect().err(), not_connected, "{phase}");
        let auth = Auth { reason_code: ReasonCode::REAUTHENTICATE, properties: Default::default() };
        let refusal = rig.session.authenticate(rig.now, &auth).err();
        let without_method = Some(Misuse::NoAuthenticationMethod);
        assert_eq!(refusal, if phase == "connecting" { without_method } else { not_connected }, "{phase}");
        let connect = rig.session.connect(rig.now, &ConnectOptions { client_id: "\0", ..rig.options() });
        assert_eq!(connect.err() == Some(Misuse::AlreadyConnected), phase != "idle", "{phase}");
        // A message that is kept may be given at any time, and inputs and outputs are harmless.
        let id = rig.publish(AtLeastOnce, "x");
        assert!(id > 0);
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        rig.session.consume_transmit(rig.now, 9);
        rig.session.set_reading_paused(rig.now, true);
        rig.session.set_reading_paused(rig.now, false);
        if phase != "connecting" {
            assert_eq!(rig.take(&[0; 9]), Ok(vec![]));
            assert_eq!(rig.session.poll_timeout(), None);
        }
    });
}

#[test]
fn receipts_are_stale_in_a_session_that_never_had_them() {
    let config = |config: &mut flowsdk::session::Config| config.acknowledgement = Acknowledgement::Manual;
    Setup::new().config(config).run(|rig| {
        rig.give(incoming(AtLeastOnce, 1, "x"));
        let receipt = rig.receipts[0];
        phases(|other, _| {
            let result = other.session.acknowledge(other.now, receipt, ReasonCode::SUCCESS);
            assert_eq!(result, Err(Misuse::StaleReceipt));
        });
    });
}

#[test]
fn a_disconnect_whose_properties_have_no_room_is_refused() {
    Setup::new().v5().fixed().run(|rig| {
        let long = "x".repeat(3000);
        let properties = [Property::ReasonString(&long)];
        let disconnect = Disconnect { reason_code: ReasonCode::SUCCESS, properties: (&properties).into() };
        assert_eq!(rig.session.disconnect(rig.now, &disconnect), Err(Misuse::Full(Full::Bytes)));
        assert!(rig.session.is_connected());
    });
}
