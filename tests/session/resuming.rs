//! What is sent again when a session goes on, and what becomes of it when it does not.

use flowsdk::codec::Property;
use flowsdk::session::ApplicationMessage;

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// How far an exchange has come when the link breaks.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Cut {
    BeforePublish,
    InsidePublish,
    BehindPublish,
    BeforePubrel,
    InsidePubrel,
    BehindPubrel,
    BehindPubcomp,
}

const CUTS: [Cut; 7] = [
    Cut::BeforePublish,
    Cut::InsidePublish,
    Cut::BehindPublish,
    Cut::BeforePubrel,
    Cut::InsidePubrel,
    Cut::BehindPubrel,
    Cut::BehindPubcomp,
];

/// Publishes `x` at QoS 2 as message 1 and breaks the link there.
fn exchange_until(rig: &mut Rig, cut: Cut) {
    rig.publish(ExactlyOnce, "x");
    match cut {
        Cut::BeforePublish => assert!(rig.session.poll_transmit(rig.now).is_some()),
        Cut::InsidePublish => assert_eq!(rig.transmit(1).len(), 1),
        _ => assert_eq!(rig.sent(), ["PUBLISH 1 q2 t x"]),
    }
    if cut >= Cut::BeforePubrel {
        rig.give(pubrec(1));
    }
    match cut {
        Cut::BeforePubrel => assert!(rig.session.poll_transmit(rig.now).is_some()),
        Cut::InsidePubrel => assert_eq!(rig.transmit(1).len(), 1),
        Cut::BehindPubrel | Cut::BehindPubcomp => assert_eq!(rig.sent(), ["PUBREL 1"]),
        _ => {}
    }
    if cut == Cut::BehindPubcomp {
        assert_eq!(rig.give(pubcomp(1)), ["Published 1 q2"]);
    }
    rig.cut();
}

/// [MQTT-3.3.1-1] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1] [MQTT-2.3.1-3/3.1.1]
#[test]
fn a_resumed_qos_2_exchange_goes_on_where_it_stood() {
    for cut in CUTS {
        everywhere(|rig| {
            exchange_until(rig, cut);
            rig.resume();
            let due = match cut {
                Cut::BeforePublish => vec!["PUBLISH 1 q2 t x"],
                Cut::InsidePublish | Cut::BehindPublish => vec!["PUBLISH 1 q2 t x dup"],
                Cut::BeforePubrel | Cut::InsidePubrel | Cut::BehindPubrel => vec!["PUBREL 1"],
                Cut::BehindPubcomp => vec![],
            };
            assert_eq!(rig.sent(), due, "{cut:?}");
            assert_eq!(rig.dropped(), NOTHING);
            // The identifier stays busy until the exchange is complete, and the exchange still completes.
            assert_eq!(rig.publish(AtLeastOnce, "y"), 2);
            rig.sent();
            if cut <= Cut::BehindPublish {
                rig.give(pubrec(1));
                assert_eq!(rig.sent(), ["PUBREL 1"]);
            }
            if cut < Cut::BehindPubcomp {
                assert_eq!(rig.give(pubcomp(1)), ["Published 1 q2"]);
            }
            assert_eq!(rig.session.send_quota(), u16::MAX - 1);
        });
    }
}

/// [MQTT-3.2.2-5]
#[test]
fn a_qos_2_exchange_whose_session_is_lost_is_reported_unless_it_never_began() {
    for cut in CUTS {
        everywhere(|rig| {
            exchange_until(rig, cut);
            rig.connect();
            rig.sent();
            rig.accept(false);
            let (dropped, sent) = match cut {
                Cut::BeforePublish => (vec![], vec!["PUBLISH 1 q2 t x"]),
                Cut::BehindPubcomp => (vec![], vec![]),
                _ => (vec!["1 SessionLost"], vec![]),
            };
            assert_eq!(rig.dropped(), dropped, "{cut:?}");
            assert_eq!(rig.sent(), sent, "{cut:?}");
            let in_flight = u16::from(cut == Cut::BeforePublish);
            assert_eq!(rig.session.send_quota(), u16::MAX - in_flight);
        });
    }
}

/// [MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT-4.4.0-1]
#[test]
fn a_qos_1_message_is_sent_again_until_it_is_acknowledged() {
    for bytes in 0..8 {
        everywhere(|rig| {
            rig.publish(AtLeastOnce, "x");
            rig.transmit(bytes);
            for _ in 0..3 {
                rig.cut_and_resume();
                let again = if bytes == 0 { "PUBLISH 1 q1 t x" } else { "PUBLISH 1 q1 t x dup" };
                assert_eq!(rig.transmit(bytes).len(), bytes);
                rig.cut_and_resume();
                assert!(rig.session.poll_transmit(rig.now).is_some());
                assert_eq!(rig.sent(), [again]);
                if bytes == 0 {
                    break;
                }
            }
            assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
            rig.cut_and_resume();
            assert_eq!(rig.sent(), NOTHING);
        });
    }
}

/// Only the bytes of the message itself count, not that it lay ready behind others.
#[test]
fn dup_is_set_only_where_transmission_had_begun() {
    everywhere(|rig| {
        for payload in ["a", "b", "c"] {
            rig.publish(AtLeastOnce, payload);
        }
        let len = if rig.is_v5() { 9 } else { 8 };
        assert_eq!(rig.transmit(len).len(), len);
        assert!(rig.session.poll_transmit(rig.now).is_some(), "the second one lies on the wire");
        rig.cut_and_resume();
        assert_eq!(rig.transmit(len + 1).len(), len + 1);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t a dup", "PUBLISH 2 q1 t b dup", "PUBLISH 3 q1 t c"]);
    });
}

/// [MQTT-4.6.0-1]
#[test]
fn messages_are_sent_again_in_their_first_order() {
    everywhere(|rig| {
        for (number, payload) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
            rig.publish(if number % 2 == 0 { AtLeastOnce } else { ExactlyOnce }, payload);
        }
        rig.sent();
        rig.give(pubrec(4));
        rig.give(puback(3));
        rig.cut();
        rig.publish(AtLeastOnce, "g");
        rig.resume();
        let expected = [
            "PUBREL 4",
            "PUBLISH 1 q1 t a dup",
            "PUBLISH 2 q2 t b dup",
            "PUBLISH 5 q1 t e dup",
            "PUBLISH 6 q2 t f dup",
            "PUBLISH 7 q1 t g",
        ];
        assert_eq!(rig.sent(), expected);
        rig.cut_and_resume();
        assert_eq!(rig.sent()[..5], expected[..5]);
    });
}

/// [MQTT-4.3.3-7]
#[test]
fn a_message_that_was_sent_does_not_expire() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        Setup::new().v5().run(|rig| {
            publish_expiring(rig, qos, 1);
            let line = format!("PUBLISH 1 q{} t x", qos.bits());
            assert_eq!(rig.sent(), [format!("{line} expiry=1")]);
            rig.cut();
            rig.wait(10_000);
            rig.resume();
            assert_eq!(rig.sent(), [format!("{line} expiry=0 dup")]);
            assert_eq!(rig.dropped(), NOTHING);
        });
    }
}

#[test]
fn waiting_uses_up_the_expiry_of_a_message() {
    Setup::new().v5().run(|rig| {
        rig.cut();
        publish_expiring(rig, AtLeastOnce, 60);
        rig.wait(9_999);
        rig.connect();
        rig.sent();
        rig.accept(true);
        assert_eq!(rig.transmit(1).len(), 1);
        rig.cut();
        // Parts of seconds add up.
        rig.wait(1);
        rig.resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t x expiry=50 dup"]);
    });
}

#[test]
fn a_message_that_expires_before_it_is_sent_is_reported() {
    Setup::new().v5().run(|rig| {
        rig.cut();
        publish_expiring(rig, AtLeastOnce, 2);
        publish_expiring(rig, ExactlyOnce, 3);
        rig.publish(AtLeastOnce, "lasts");
        rig.wait(2_999);
        rig.resume();
        assert_eq!(rig.sent(), NOTHING, "the drop has to be collected first");
        assert_eq!(rig.dropped(), ["1 Expired"]);
        assert_eq!(rig.sent(), ["PUBLISH 2 q2 t x expiry=1", "PUBLISH 3 q1 t lasts"]);
        assert_eq!(rig.session.send_quota(), u16::MAX - 2);
    });
}

#[test]
fn requests_without_an_answer_are_forgotten() {
    everywhere(|rig| {
        rig.subscribe(&["f"]);
        rig.sent();
        rig.cut_and_resume();
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.give(suback(1, &[0])), NOTHING);
    });
}

#[test]
fn a_message_of_qos_0_does_not_outlive_its_connection() {
    everywhere(|rig| {
        rig.publish(AtMostOnce, "x");
        rig.transmit(1);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), NOTHING);
    });
}

fn publish_expiring(rig: &mut Rig, qos: flowsdk::types::QoS, seconds: u32) {
    let properties = [Property::MessageExpiryInterval(seconds)];
    let message = ApplicationMessage { properties: (&properties).into(), ..message(qos, "x") };
    rig.session.publish(rig.now, &message).expect("room");
}

/// A server that has lost the session, and whose CONNACK that said so got lost, too: the next one says that there is a
/// session.
#[test]
fn an_identifier_that_waits_for_its_release_since_an_earlier_connection_is_free_for_a_message_of_qos_1() {
    everywhere(|rig| {
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "x")), ["Message q2 s x"]);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        rig.cut_and_resume();
        assert_eq!(rig.give(incoming(AtLeastOnce, 7, "y")), ["Message q1 s y"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        // The exchange that had it is forgotten.
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "z")), ["Message q2 s z"]);
    });
}
