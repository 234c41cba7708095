//! Topic aliases of v5.0, in both directions.

use std::num::{NonZeroU16, NonZeroU32};

use flowsdk::codec::{Properties, Property};
use flowsdk::packet::{Delivery, Packet, Publish};
use flowsdk::session::{ApplicationMessage, PeerError};
use flowsdk::types::QoS;

use crate::support::*;

const NOTHING: [&str; 0] = [];

fn alias(number: u16) -> [Property<'static>; 1] {
    [Property::TopicAlias(NonZeroU16::new(number).expect("not 0"))]
}

fn aliased<'a>(topic: &'a str, properties: &'a [Property<'a>]) -> Packet<'a> {
    let properties = Properties::new(properties);
    Packet::Publish(Publish { topic, payload: b"x", delivery: Delivery::AtMostOnce, properties, retain: false })
}

/// [MQTT-3.3.2-10] [MQTT-3.1.2-26]
#[test]
fn aliases_of_the_server_resolve_up_to_the_announced_maximum() {
    // Ten are wished for, four are what the storage has places for.
    Setup::new().v5().heap().config(|config| config.topic_alias_maximum = 10).run(|rig| {
        for number in [1, 4] {
            assert_eq!(rig.give(aliased("first", &alias(number))), ["Message q0 first x"]);
            assert_eq!(rig.give(aliased("", &alias(number))), ["Message q0 first x"]);
            assert_eq!(rig.give(aliased("second", &alias(number))), ["Message q0 second x"]);
            assert_eq!(rig.give(aliased("", &alias(number))), ["Message q0 second x"]);
        }
        assert_eq!(rig.give_bad(aliased("third", &alias(5))), PeerError::TopicAlias(5));
        rig.ends_with(0x94);
    });
}

/// [MQTT-3.1.2-27]
#[test]
fn an_alias_of_the_server_is_refused_where_none_was_announced() {
    for topic in ["topic", ""] {
        Setup::new().v5().run(|rig| {
            assert_eq!(rig.give_bad(aliased(topic, &alias(1))), PeerError::TopicAlias(1));
            rig.ends_with(0x94);
        });
    }
    Setup::new().v5().config(|config| config.topic_alias_maximum = 9).run(|rig| {
        // PUBLISH with the alias 0.
        assert!(rig.take(b"\x30\x07\x00\x01s\x03\x23\x00\x00").is_err());
        rig.ends_with(0x94);
    });
}

/// [MQTT-3.3.2-7]
#[test]
fn aliases_of_the_server_end_with_their_connection() {
    Setup::new().v5().heap().config(|config| config.topic_alias_maximum = 4).run(|rig| {
        assert_eq!(rig.give_bad(aliased("", &alias(2))), PeerError::UndefinedTopicAlias(2));
        rig.ends_with(0x82);
        rig.cut_and_resume();
        rig.give(aliased("topic", &alias(2)));
        rig.cut_and_resume();
        assert_eq!(rig.give_bad(aliased("", &alias(2))), PeerError::UndefinedTopicAlias(2));
        rig.ends_with(0x82);
    });
}

fn with_outbound_aliases(maximum: Option<u16>, test: impl Fn(&mut Rig)) {
    Setup::new().v5().heap().config(|config| config.outbound_topic_aliases = true).run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, maximum.map(Property::TopicAliasMaximum).as_slice());
        test(rig);
    });
}

fn publish_under(rig: &mut Rig, topic: &str, qos: QoS) -> Vec<String> {
    let message = ApplicationMessage { topic, ..message(qos, "x") };
    rig.session.publish(rig.now, &message).expect("room");
    rig.sent()
}

/// [MQTT-3.2.2-17] [MQTT-3.3.2-9]
#[test]
fn aliases_are_assigned_reused_and_taken_from_the_oldest_topic() {
    with_outbound_aliases(Some(2), |rig| {
        assert_eq!(publish_under(rig, "first", AtMostOnce), ["PUBLISH q0 first x alias=1"]);
        assert_eq!(publish_under(rig, "first", AtMostOnce), ["PUBLISH q0  x alias=1"]);
        assert_eq!(publish_under(rig, "second", AtLeastOnce), ["PUBLISH 1 q1 second x alias=2"]);
        assert_eq!(publish_under(rig, "second", ExactlyOnce), ["PUBLISH 2 q2  x alias=2"]);
        assert_eq!(publish_under(rig, "third", AtMostOnce), ["PUBLISH q0 third x alias=1"]);
        assert_eq!(publish_under(rig, "second", AtMostOnce), ["PUBLISH q0  x alias=2"]);
        assert_eq!(publish_under(rig, "first", AtMostOnce), ["PUBLISH q0 first x alias=2"]);
        assert_eq!(publish_under(rig, "third", AtMostOnce), ["PUBLISH q0  x alias=1"]);
    });
}

/// [MQTT-3.2.2-17]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn no_alias_is_above_the_servers_maximum() {
    for maximum in [1, 2, u16::MAX] {
        with_outbound_aliases(Some(maximum), |rig| {
            let mut highest = 0;
            for number in 0..=u32::from(maximum) + 3 {
                let topic = format!("topic {number}");
                let line = publish_under(rig, &topic, AtMostOnce).remove(0);
                let (_, alias) = line.rsplit_once("alias=").expect("an alias");
                highest = highest.max(alias.parse::<u32>().expect("a number"));
            }
            assert_eq!(highest, u32::from(maximum));
        });
    }
}

/// [MQTT-3.2.2-18]
#[test]
fn no_alias_is_sent_where_the_server_takes_none() {
    for maximum in [None, Some(0)] {
        with_outbound_aliases(maximum, |rig| {
            assert_eq!(publish_under(rig, "topic", AtMostOnce), ["PUBLISH q0 topic x"]);
            assert_eq!(publish_under(rig, "topic", AtMostOnce), ["PUBLISH q0 topic x"]);
        });
    }
    // Nor where they are not switched on.
    Setup::new().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &[Property::TopicAliasMaximum(9)]);
        assert_eq!(publish_under(rig, "topic", AtMostOnce), ["PUBLISH q0 topic x"]);
    });
}

/// The stored message keeps its topic. [MQTT-3.3.2-7]
#[test]
fn a_message_sent_again_has_its_topic() {
    with_outbound_aliases(Some(2), |rig| {
        publish_under(rig, "topic", AtMostOnce);
        assert_eq!(publish_under(rig, "topic", AtLeastOnce), ["PUBLISH 1 q1  x alias=1"]);
        rig.cut();
        rig.resume_with(&[Property::TopicAliasMaximum(1)]);
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 topic x alias=1 dup"]);
        assert_eq!(publish_under(rig, "topic", AtMostOnce), ["PUBLISH q0  x alias=1"]);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBLISH 1 q1 topic x dup"]);
    });
}

#[test]
fn properties_and_flags_stay_beside_an_alias() {
    with_outbound_aliases(Some(2), |rig| {
        for expected in ["PUBLISH 1 q2 topic x alias=1 expiry=9 retain", "PUBLISH 2 q2  x alias=1 expiry=9 retain"] {
            let properties = [Property::UserProperty("name", "value"), Property::MessageExpiryInterval(9)];
            let properties = (&properties).into();
            let message = ApplicationMessage { topic: "topic", retain: true, properties, ..message(ExactlyOnce, "x") };
            rig.session.publish(rig.now, &message).expect("room");
            assert_eq!(rig.sent(), [expected]);
        }
    });
}

/// [MQTT-3.2.2-15]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn an_alias_never_makes_a_packet_longer_than_the_server_takes() {
    let rooms = (14..=24).chain(125..=140_u32);
    for (room, spare) in rooms.flat_map(|room| (0..6).map(move |spare| (room, spare))) {
        Setup::new().v5().heap().config(|config| config.outbound_topic_aliases = true).run_idle(|rig| {
            rig.connect();
            rig.sent();
            let size = Property::MaximumPacketSize(NonZeroU32::new(room).expect("not 0"));
            rig.accept_with(false, &[size, Property::TopicAliasMaximum(9)]);
            for topic in ["a", "ab", "abc", "abcd", "abcde"] {
                for _ in 0..2 {
                    // Fixed header, length of the topic, length of the properties.
                    let overhead = if room > 129 { 6 } else { 5 };
                    let payload = "x".repeat((room as usize).saturating_sub(overhead + topic.len() + spare));
                    let message = ApplicationMessage { topic, ..message(AtMostOnce, &payload) };
                    rig.session.publish(rig.now, &message).expect("it fits without an alias");
                    let sent = rig.wire();
                    assert!(sent.len() <= room as usize, "{sent:02x?}");
                    assert_eq!(packets(&sent, V5).len(), 1);
                }
            }
        });
    }
}

#[test]
fn the_topic_of_an_alias_that_was_never_used_is_not_known() {
    Setup::new().v5().run(|rig| {
        let unknown = flowsdk::session::Topic::Alias(NonZeroU16::MIN);
        assert_eq!(rig.session.topic(unknown), None);
        assert_eq!(rig.sent(), NOTHING);
    });
}
