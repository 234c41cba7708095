//! Flow control: how many messages may be on their way to the server (section 4.9).

use std::num::NonZeroU16;

use flowsdk::codec::Property;
use flowsdk::packet::{AckKind, Packet};
use flowsdk::session::PeerError;

use crate::support::*;

const NOTHING: [&str; 0] = [];

fn receive_maximum(value: u16) -> [Property<'static>; 1] {
    [Property::ReceiveMaximum(NonZeroU16::new(value).expect("not 0"))]
}

fn with_receive_maximum(value: u16, test: impl Fn(&mut Rig)) {
    Setup::new().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &receive_maximum(value));
        test(rig);
    });
}

/// [MQTT-3.3.4-7] [MQTT-4.9.0-2]
#[test]
fn never_more_messages_are_on_their_way_than_the_server_takes() {
    for maximum in 1..=3 {
        for qos in [AtLeastOnce, ExactlyOnce] {
            with_receive_maximum(maximum, |rig| {
                for _ in 0..6 {
                    rig.publish(qos, "x");
                }
                let all: Vec<_> = (1..=6).map(|id| format!("PUBLISH {id} q{} t x", qos.bits())).collect();
                let window = usize::from(maximum);
                assert_eq!(rig.sent(), all[..window]);
                assert_eq!(rig.session.send_quota(), 0);
                for id in 1..=6 {
                    let next = all.get(usize::from(id) + window - 1);
                    if qos == AtLeastOnce {
                        rig.give(puback(id));
                    } else {
                        rig.give(pubrec(id));
                        assert_eq!(rig.sent(), [format!("PUBREL {id}")], "a good PUBREC frees nothing");
                        assert_eq!(rig.session.send_quota(), maximum - maximum.min(7 - id));
                        rig.give(pubcomp(id));
                    }
                    assert_eq!(rig.sent(), Vec::from_iter(next.cloned()));
                }
                assert_eq!(rig.session.send_quota(), maximum);
            });
        }
    }
}

/// [MQTT-4.9.0-2]
#[test]
fn a_failing_pubrec_frees_its_place() {
    with_receive_maximum(1, |rig| {
        rig.publish(ExactlyOnce, "x");
        rig.publish(ExactlyOnce, "y");
        assert_eq!(rig.sent(), ["PUBLISH 1 q2 t x"]);
        assert_eq!(rig.give(ack_with(AckKind::Pubrec, 1, 0x80)), ["Published 1 q2 0x80"]);
        assert_eq!(rig.sent(), ["PUBLISH 2 q2 t y"]);
    });
}

/// [MQTT-4.9.0-2] [MQTT-3.3.4-7]
#[test]
fn a_resume_does_not_refill_the_quota() {
    with_receive_maximum(3, |rig| {
        for payload in ["a", "b", "c", "d"] {
            rig.publish(ExactlyOnce, payload);
        }
        rig.sent();
        rig.give(pubrec(1));
        rig.give(pubrec(2));
        rig.cut();
        rig.resume_with(&receive_maximum(3));
        assert_eq!(rig.session.send_quota(), 1);
        assert_eq!(rig.sent(), ["PUBREL 1", "PUBREL 2", "PUBLISH 3 q2 t c dup"]);
        rig.give(pubcomp(1));
        assert_eq!(rig.sent(), ["PUBLISH 4 q2 t d"]);
    });
}

/// [MQTT-3.3.4-7]
#[test]
fn a_lower_receive_maximum_after_a_resume_holds() {
    with_receive_maximum(4, |rig| {
        for payload in ["a", "b", "c", "d"] {
            rig.publish(ExactlyOnce, payload);
        }
        rig.sent();
        rig.give(pubrec(1));
        rig.give(pubrec(2));
        rig.cut();
        rig.resume_with(&receive_maximum(1));
        assert_eq!(rig.sent(), ["PUBREL 1", "PUBREL 2"]);
        rig.give(pubcomp(1));
        assert_eq!(rig.sent(), NOTHING);
        rig.give(pubcomp(2));
        assert_eq!(rig.sent(), ["PUBLISH 3 q2 t c dup"]);
        rig.give(pubrec(3));
        assert_eq!(rig.sent(), ["PUBREL 3"]);
        rig.give(pubcomp(3));
        assert_eq!(rig.sent(), ["PUBLISH 4 q2 t d dup"]);
    });
}

/// [MQTT-3.3.4-8] [MQTT-4.9.0-3]
#[test]
fn a_full_window_delays_nothing_but_messages_of_qos_1_and_2() {
    with_receive_maximum(1, |rig| {
        rig.publish(AtLeastOnce, "first");
        rig.publish(AtLeastOnce, "held back");
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t first"]);
        rig.publish(AtMostOnce, "x");
        assert_eq!(rig.sent(), ["PUBLISH q0 t x"]);
        rig.subscribe(&["f"]);
        assert_eq!(rig.sent(), ["SUBSCRIBE 3 f"]);
        rig.unsubscribe(&["f"]);
        assert_eq!(rig.sent(), ["UNSUBSCRIBE 4 f"]);
        rig.session.ping(rig.now).expect("connected");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        assert_eq!(rig.give(Packet::Pingresp), ["PingResponse"]);
        assert_eq!(rig.give(incoming(AtLeastOnce, 1, "x")), ["Message q1 s x"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 2, "x")), ["Message q2 s x"]);
        assert_eq!(rig.sent(), ["PUBACK 1", "PUBREC 2"]);
        assert_eq!(rig.give(pubrel(2)), NOTHING);
        assert_eq!(rig.sent(), ["PUBCOMP 2"]);
        assert_eq!(rig.give(suback(3, &[0])), ["Subscribed 3 [00]"]);
        rig.disconnect().expect("connected");
        assert_eq!(rig.sent(), ["DISCONNECT"]);
    });
}

/// [MQTT-4.9.0-1]
#[test]
fn the_quota_is_whole_where_the_server_names_none() {
    everywhere(|rig| assert_eq!(rig.session.send_quota(), u16::MAX));
}

/// [MQTT-4.9.0-1]
#[test]
fn a_receive_maximum_of_zero_is_an_error() {
    Setup::new().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        assert!(matches!(rig.take(b"\x20\x06\x00\x00\x03\x21\x00\x00"), Err(PeerError::Decode(_))));
        rig.ends_with(0x82);
    });
}
