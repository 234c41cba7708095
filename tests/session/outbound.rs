//! Messages to the server at QoS 1 and 2 on one connection.

use flowsdk::packet::{AckKind, Delivery, Packet, Publish};
use flowsdk::session::{Misuse, PeerError};

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// [MQTT-4.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]
#[test]
fn the_first_transmission_has_the_qos_asked_for_and_no_dup() {
    everywhere(|rig| {
        rig.publish(AtMostOnce, "zero");
        rig.publish(AtLeastOnce, "one");
        rig.publish(ExactlyOnce, "two");
        let mut sent = rig.sent();
        sent.sort();
        assert_eq!(sent, ["PUBLISH 1 q1 t one", "PUBLISH 2 q2 t two", "PUBLISH q0 t zero"]);
    });
}

/// [MQTT-3.3.1-3]
#[test]
fn a_forwarded_message_does_not_inherit_dup() {
    everywhere(|rig| {
        let bytes = encode(&repeated(AtLeastOnce, 7, "x"), rig.config.version);
        let Ok(Some((Packet::Publish(received), _))) =
            Packet::decode(&bytes, rig.config.version, flowsdk::types::Role::Server)
        else {
            panic!("a PUBLISH")
        };
        assert!(received.delivery.dup());
        rig.take(&bytes).expect("a message");
        let forwarded = flowsdk::session::ApplicationMessage {
            topic: received.topic,
            payload: received.payload,
            qos: received.delivery.qos(),
            retain: received.retain,
            properties: received.properties,
        };
        rig.session.publish(rig.now, &forwarded).expect("room");
        assert_eq!(rig.sent(), ["PUBACK 7", "PUBLISH 1 q1 s x"]);
    });
}

#[test]
fn a_frame_that_was_sent_before_is_a_new_message_when_published_again() {
    use flowsdk::session::{Config, Heap, HeapLimits, Session};
    let frame = |dup| {
        let delivery = Delivery::AtLeastOnce { packet_id: id(99), dup };
        let publish = Publish { topic: "t", payload: b"x", delivery, ..Publish::default() };
        let mut bytes = Vec::new();
        let mut writer = flowsdk::codec::Writer::appending(&mut bytes);
        publish.encode(&mut writer, V5, flowsdk::types::Role::Client).expect("a PUBLISH");
        bytes
    };
    let mut session = Session::new(Config::DEFAULT, Heap::new(HeapLimits::default()));
    let now = flowsdk::time::Instant::default();
    assert_eq!(session.publish_frame(now, frame(true)), Ok(Some(id(1))));
    session.connect(now, &flowsdk::session::ConnectOptions::default()).expect("idle");
    let len = session.poll_transmit(now).map_or(0, <[u8]>::len);
    session.consume_transmit(now, len);
    let _ = session.handle_input(now, &encode(&connack(false, &[]), V5)).expect("accepted");
    let sent = session.poll_transmit(now).map(<[u8]>::to_vec).unwrap_or_default();
    assert_eq!(packets(&sent, V5), ["PUBLISH 1 q1 t x"]);
}

/// [MQTT-4.3.3-4] [MQTT-2.2.1-5]
#[test]
fn a_good_pubrec_gives_a_pubrel() {
    for code in [0x00, 0x10] {
        everywhere(|rig| {
            rig.publish(ExactlyOnce, "x");
            rig.sent();
            let code = if rig.is_v5() { code } else { 0 };
            assert_eq!(rig.give(ack_with(AckKind::Pubrec, 1, code)), NOTHING);
            assert_eq!(rig.sent(), ["PUBREL 1"]);
            assert_eq!(rig.give(pubcomp(1)), ["Published 1 q2"]);
            assert_eq!(rig.sent(), NOTHING);
        });
    }
}

/// [MQTT-4.3.3-4] [MQTT-4.4.0-2]
#[test]
fn a_failing_acknowledgement_ends_the_exchange() {
    for (qos, kind) in [(AtLeastOnce, AckKind::Puback), (ExactlyOnce, AckKind::Pubrec)] {
        Setup::new().v5().run(|rig| {
            rig.publish(qos, "x");
            rig.sent();
            assert_eq!(rig.session.send_quota(), u16::MAX - 1);
            let published = format!("Published 1 q{} 0x97", qos.bits());
            assert_eq!(rig.give(ack_with(kind, 1, 0x97)), [published]);
            assert_eq!(rig.session.send_quota(), u16::MAX);
            assert_eq!(rig.sent(), NOTHING);
            rig.cut_and_resume();
            assert_eq!(rig.sent(), NOTHING);
            assert_eq!(rig.dropped(), NOTHING);
        });
    }
}

/// [MQTT-4.4.0-1]
#[test]
fn a_day_without_an_acknowledgement_sends_nothing_again() {
    everywhere(|rig| {
        rig.publish(AtLeastOnce, "one");
        rig.publish(ExactlyOnce, "two");
        rig.publish(ExactlyOnce, "three");
        rig.sent();
        rig.give(pubrec(3));
        assert_eq!(rig.sent(), ["PUBREL 3"]);
        for _ in 0..24 {
            rig.wait(3_600_000);
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
            assert_eq!(rig.sent(), NOTHING);
        }
        assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
    });
}

/// [MQTT-4.6.0-4]
#[test]
fn pubrels_leave_in_the_order_of_the_pubrecs() {
    everywhere(|rig| {
        for payload in ["a", "b", "c", "d"] {
            rig.publish(ExactlyOnce, payload);
        }
        rig.sent();
        for id in [3, 1, 4, 2] {
            rig.give(pubrec(id));
        }
        let expected = ["PUBREL 3", "PUBREL 1", "PUBREL 4", "PUBREL 2"];
        assert_eq!(rig.sent(), expected);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), expected);
        rig.give(pubcomp(1));
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBREL 3", "PUBREL 4", "PUBREL 2"]);
    });
}

/// [MQTT-3.6.2-1]
#[test]
fn an_unknown_pubrec_is_answered() {
    everywhere(|rig| {
        assert_eq!(rig.give(pubrec(77)), NOTHING);
        assert_eq!(rig.sent(), [if rig.is_v5() { "PUBREL 77 0x92" } else { "PUBREL 77" }]);
        if rig.is_v5() {
            assert_eq!(rig.give(ack_with(AckKind::Pubrec, 77, 0x80)), NOTHING);
            assert_eq!(rig.sent(), NOTHING);
        }
    });
}

#[test]
fn a_pubrec_that_comes_again_gets_its_pubrel_again() {
    everywhere(|rig| {
        rig.publish(ExactlyOnce, "x");
        rig.sent();
        rig.give(pubrec(1));
        assert_eq!(rig.sent(), ["PUBREL 1"]);
        rig.give(pubrec(1));
        assert_eq!(rig.sent(), ["PUBREL 1"]);
        assert_eq!(rig.give(pubcomp(1)), ["Published 1 q2"]);
        assert_eq!(rig.session.send_quota(), u16::MAX);
    });
}

#[test]
fn a_message_acknowledged_before_its_last_byte_still_leaves_whole() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        everywhere(|rig| {
            rig.publish(qos, "first");
            rig.publish(qos, "second");
            rig.publish(qos, "third");
            let len = if rig.is_v5() { 13 } else { 12 };
            let mut bytes = rig.transmit(len + 3);
            // The second one is on its way while what lies before it goes away, and then itself.
            for id in [1, 2] {
                rig.give(if qos == AtLeastOnce { puback(id) } else { pubrec(id) });
                bytes.extend(rig.transmit(1));
            }
            bytes.extend(rig.wire());
            let mut lines = packets(&bytes, rig.config.version);
            lines.retain(|line| line.starts_with("PUBLISH"));
            let expected = ["first", "second", "third"].map(|payload| format!("q{} t {payload}", qos.bits()));
            for (line, expected) in lines.iter().zip(&expected) {
                assert!(line.ends_with(expected), "{line}");
            }
            assert_eq!(lines.len(), 3);
        });
    }
}

/// [MQTT-4.9.0-2]
#[test]
fn stray_acknowledgements_change_nothing() {
    everywhere(|rig| {
        assert_eq!(rig.give(puback(5)), NOTHING);
        assert_eq!(rig.give(pubcomp(5)), NOTHING);
        assert_eq!(rig.session.send_quota(), u16::MAX);
        rig.publish(AtLeastOnce, "x");
        // It cannot have arrived: no byte of it has left.
        assert_eq!(rig.give(puback(1)), NOTHING);
        assert!(rig.session.poll_transmit(rig.now).is_some());
        assert_eq!(rig.give(puback(1)), NOTHING);
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t x"]);
        assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
        assert_eq!(rig.give(puback(1)), NOTHING);
        assert_eq!(rig.session.send_quota(), u16::MAX);
    });
}

/// An answer from before the cut comes too early: an unknown PUBREC's PUBREL would make the server forget the message
/// that is about to be sent again.
#[test]
fn an_acknowledgement_before_the_message_is_sent_again_is_passed_over() {
    everywhere(|rig| {
        rig.publish(ExactlyOnce, "x");
        rig.publish(AtLeastOnce, "y");
        rig.sent();
        rig.cut_and_resume();
        for packet in [pubrec(1), pubcomp(1), puback(1), puback(2), pubrec(2)] {
            assert_eq!(rig.give(packet), NOTHING);
        }
        assert_eq!(rig.sent(), ["PUBLISH 1 q2 t x dup", "PUBLISH 2 q1 t y dup"]);
    });
}

#[test]
fn an_acknowledgement_of_the_wrong_kind_is_an_error() {
    for (qos, kind, setup) in [
        (AtLeastOnce, AckKind::Pubrec, Setup::new()),
        (AtLeastOnce, AckKind::Pubcomp, Setup::new()),
        (ExactlyOnce, AckKind::Puback, Setup::new().v5()),
        (ExactlyOnce, AckKind::Pubcomp, Setup::new()),
    ] {
        setup.run(|rig| {
            rig.publish(qos, "x");
            rig.sent();
            assert_eq!(rig.give_bad(ack(kind, 1)), PeerError::WrongAcknowledgement(kind.packet_type()));
            rig.ends_with(0x82);
            // The message is not lost by that.
            rig.cut();
            rig.resume();
            assert_eq!(rig.sent(), [format!("PUBLISH 1 q{} t x dup", qos.bits())]);
        });
    }
}

#[test]
fn a_server_of_v3_1_1_without_qos_2_ends_a_message_by_its_puback() {
    Setup::new().v3().run(|rig| {
        rig.publish(ExactlyOnce, "x");
        rig.sent();
        assert_eq!(rig.give(puback(1)), ["Published 1 q2"]);
        assert_eq!(rig.sent(), NOTHING);
        rig.cut();
        rig.resume();
        assert_eq!(rig.sent(), NOTHING);
        // Behind PUBREC the server has QoS 2: its PUBACK answers nothing.
        rig.publish(ExactlyOnce, "y");
        rig.sent();
        rig.give(pubrec(2));
        rig.sent();
        assert_eq!(rig.give(puback(2)), NOTHING);
        assert_eq!(rig.give(pubcomp(2)), ["Published 2 q2"]);
    });
}

#[test]
fn a_topic_alias_cannot_be_given_by_hand() {
    use flowsdk::codec::Property;
    use std::num::NonZeroU16;
    Setup::new().v5().run(|rig| {
        let properties = [Property::TopicAlias(NonZeroU16::MIN)];
        let message =
            flowsdk::session::ApplicationMessage { properties: (&properties).into(), ..message(AtMostOnce, "x") };
        assert_eq!(rig.session.publish(rig.now, &message), Err(Misuse::TopicAliasByHand));
        assert_eq!(rig.sent(), NOTHING);
    });
}

/// [MQTT-4.1.0-1]
#[test]
fn what_is_in_flight_stays_whatever_else_happens_on_the_connection() {
    Setup::new().run_idle(|rig| {
        rig.keep_alive = 60;
        rig.up();
        rig.publish(AtLeastOnce, "one");
        rig.publish(ExactlyOnce, "two");
        rig.publish(ExactlyOnce, "three");
        rig.sent();
        rig.give(pubrec(3));
        rig.sent();
        rig.wait_for_timeout().1.expect("a ping");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        rig.give(Packet::Pingresp);
        assert!(rig.try_subscribe(&[], &[]).is_err());
        assert!(rig.session.publish(rig.now, &flowsdk::session::ApplicationMessage::default()).is_err());
        let filter = rig.subscribe(&["f"]);
        rig.give(suback(filter, &[0x80]));
        assert_eq!(rig.session.send_quota(), u16::MAX - 3);
        assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
        rig.give(pubrec(2));
        assert_eq!(rig.give(pubcomp(2)), ["Published 2 q2"]);
        assert_eq!(rig.give(pubcomp(3)), ["Published 3 q2"]);
    });
}
