//! What the server has said it does not take.

use std::num::NonZeroU32;

use flowsdk::codec::{Properties, Property};
use flowsdk::packet::{AckKind, Disconnect};
use flowsdk::session::{Acknowledgement, ApplicationMessage, Misuse, PeerError};
use flowsdk::types::{QoS, ReasonCode};

use crate::support::*;

const NOTHING: [&str; 0] = [];

fn packet_size(size: u32) -> Property<'static> {
    Property::MaximumPacketSize(NonZeroU32::new(size).expect("not 0"))
}

fn connected_with(limit: Property<'static>, test: impl Fn(&mut Rig)) {
    Setup::new().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &[limit]);
        test(rig);
    });
}

/// Publishes before CONNACK, and says what becomes of that. A message that is refused does not hold others up.
fn published_before(limit: Property<'static>, refused: &ApplicationMessage<'_>, reason: &str) {
    Setup::new().v5().run_idle(|rig| {
        rig.session.publish(rig.now, refused).expect("nothing is known yet");
        rig.connect();
        rig.session.publish(rig.now, refused).expect("nothing is known yet");
        rig.publish(AtLeastOnce, "x");
        rig.sent();
        rig.accept_with(false, &[limit]);
        let mut dropped = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(rig.sent());
            dropped.extend(rig.dropped());
        }
        assert_eq!(dropped, [format!("1 Refused({reason})"), format!("2 Refused({reason})")]);
        let takes_qos_1 = limit != Property::MaximumQoS(AtMostOnce);
        assert_eq!(sent, if takes_qos_1 { vec!["PUBLISH 3 q1 t x"] } else { vec![] });
    });
}

/// [MQTT-3.2.2-11]
#[test]
fn nothing_is_published_above_the_maximum_qos() {
    for (maximum, refused) in [(AtMostOnce, vec![AtLeastOnce, ExactlyOnce]), (AtLeastOnce, vec![ExactlyOnce])] {
        connected_with(Property::MaximumQoS(maximum), |rig| {
            for qos in &refused {
                assert_eq!(rig.try_publish(*qos, "x"), Err(Misuse::QoSNotSupported(maximum)));
            }
            assert_eq!(rig.sent(), NOTHING);
            rig.publish(maximum, "y");
            assert_eq!(rig.sent().len(), 1);
        });
    }
    let limit = Property::MaximumQoS(AtLeastOnce);
    published_before(limit, &message(ExactlyOnce, "x"), "QoSNotSupported(AtLeastOnce)");
}

/// [MQTT-3.2.2-14]
#[test]
fn nothing_is_retained_where_the_server_does_not() {
    let retained = |qos: QoS| ApplicationMessage { retain: true, ..message(qos, "x") };
    connected_with(Property::RetainAvailable(false), |rig| {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            assert_eq!(rig.session.publish(rig.now, &retained(qos)), Err(Misuse::RetainNotSupported));
        }
        assert_eq!(rig.sent(), NOTHING);
        rig.publish(AtLeastOnce, "x");
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t x"]);
    });
    published_before(Property::RetainAvailable(false), &retained(AtLeastOnce), "RetainNotSupported");
    everywhere(|rig| {
        rig.session.publish(rig.now, &retained(AtLeastOnce)).expect("room");
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 t x retain"]);
    });
}

/// [MQTT-3.2.2-15]
#[test]
fn packets_of_the_maximum_size_leave_and_longer_ones_do_not() {
    connected_with(packet_size(20), |rig| {
        let too_large = Misuse::PacketTooLarge { limit: 20 };
        // A PUBLISH has 6 bytes beside its payload at QoS 0, and 8 at QoS 1.
        assert_eq!(rig.try_publish(AtMostOnce, "123456789012345"), Err(too_large));
        assert_eq!(rig.try_publish(AtLeastOnce, "1234567890123"), Err(too_large));
        rig.publish(AtMostOnce, "12345678901234");
        assert_eq!(rig.wire().len(), 20);
        rig.publish(AtLeastOnce, "123456789012");
        assert_eq!(rig.wire().len(), 20);
        assert_eq!(rig.try_subscribe(&["1234567890123"], &[]), Err(too_large));
        assert_eq!(rig.try_unsubscribe(&["12345678901234"]), Err(too_large));
        rig.subscribe(&["123456789012"]);
        assert_eq!(rig.wire().len(), 20);
        rig.unsubscribe(&["1234567890123"]);
        assert_eq!(rig.wire().len(), 20);
    });
    let reason = "PacketTooLarge { limit: 20 }";
    published_before(packet_size(20), &message(AtLeastOnce, "1234567890123"), reason);
}

/// [MQTT-3.2.2-15]
#[test]
fn a_server_that_takes_no_packet_as_long_as_an_answer_is_left_without_a_packet() {
    for size in 1..5 {
        Setup::new().v5().run(|rig| {
            rig.give(incoming(ExactlyOnce, 7, "x"));
            rig.publish(ExactlyOnce, "y");
            rig.sent();
            rig.cut();
            rig.connect();
            rig.sent();
            let refused = PeerError::MaximumPacketSize(size);
            assert_eq!(rig.give_bad(connack(true, &[packet_size(size)])), refused);
            assert_eq!(refused.reason_code(), ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
            assert!(rig.session.is_closing());
            assert_eq!(rig.wire(), b"");
            // The session goes on where the server takes more.
            rig.cut_and_resume();
            assert_eq!(rig.sent(), ["PUBLISH 1 q2 t y dup"]);
        });
    }
}

/// [MQTT-3.2.2-15]
#[test]
fn every_answer_fits_where_the_server_takes_five_bytes() {
    Setup::new().v5().config(|config| config.acknowledgement = Acknowledgement::Manual).run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &[packet_size(5)]);
        let mut wire = Vec::new();
        for qos in [AtLeastOnce, ExactlyOnce] {
            rig.give(incoming(qos, qos as u16, "x"));
            let receipt = rig.receipts.pop().expect("a receipt");
            assert_eq!(rig.session.acknowledge(rig.now, receipt, ReasonCode::QUOTA_EXCEEDED), Ok(()));
            wire.push(rig.wire());
        }
        for kind in [AckKind::Pubrec, AckKind::Pubrel] {
            rig.give(ack(kind, 9));
            wire.push(rig.wire());
        }
        rig.session.ping(rig.now).expect("connected");
        wire.push(rig.wire());
        let disconnect = Disconnect { reason_code: ReasonCode::UNSPECIFIED_ERROR, properties: Properties::EMPTY };
        rig.session.disconnect(rig.now, &disconnect).expect("connected");
        wire.push(rig.wire());
        assert_eq!(wire.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5, 2, 3]);
    });
}

/// [MQTT-3.2.2-15] [MQTT-3.2.2-11]
#[test]
fn messages_sent_before_are_held_to_the_limits_of_a_new_connection() {
    Setup::new().v5().run(|rig| {
        rig.publish(ExactlyOnce, "x");
        rig.publish(AtLeastOnce, "1234567890123");
        rig.publish(AtLeastOnce, "123456789012");
        rig.sent();
        rig.cut();
        rig.resume_with(&[packet_size(20), Property::MaximumQoS(AtLeastOnce)]);
        let mut dropped = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..3 {
            sent.extend(rig.sent());
            dropped.extend(rig.dropped());
        }
        assert_eq!(sent, ["PUBLISH 3 q1 t 123456789012 dup"]);
        let too_large = "2 Refused(PacketTooLarge { limit: 20 })";
        assert_eq!(dropped, ["1 Refused(QoSNotSupported(AtLeastOnce))", too_large]);
        assert_eq!(rig.session.send_quota(), u16::MAX - 1);
    });
}

#[test]
fn what_a_server_does_not_offer_to_subscribers_is_refused_at_the_call() {
    let identifier = [Property::SubscriptionIdentifier(1)];
    connected_with(Property::WildcardSubscriptionAvailable(false), |rig| {
        for filter in ["#", "a/+/b", "$share/g/+"] {
            assert_eq!(rig.try_subscribe(&["a", filter], &[]), Err(Misuse::WildcardSubscriptionsNotSupported));
        }
        assert_eq!(rig.try_subscribe(&["$share/g/a"], &identifier), Ok(1));
    });
    connected_with(Property::SharedSubscriptionAvailable(false), |rig| {
        assert_eq!(rig.try_subscribe(&["$share/g/a"], &[]), Err(Misuse::SharedSubscriptionsNotSupported));
        assert_eq!(rig.try_subscribe(&["#", "$shared/g/a"], &identifier), Ok(1));
    });
    connected_with(Property::SubscriptionIdentifierAvailable(false), |rig| {
        assert_eq!(rig.try_subscribe(&["a"], &identifier), Err(Misuse::SubscriptionIdentifiersNotSupported));
        assert_eq!(rig.try_subscribe(&["$share/g/#"], &[]), Ok(1));
    });
}

#[test]
fn limits_end_with_their_connection() {
    connected_with(packet_size(20), |rig| {
        rig.cut_and_resume();
        rig.publish(AtMostOnce, "a payload of more than twenty bytes");
        assert_eq!(rig.sent().len(), 1);
    });
}
