//! The bytes of PUBLISH, SUBSCRIBE and UNSUBSCRIBE, and what comes of their answers.

use flowsdk::mqtt_client::{
    DropCause, MessageProperties, MqttEvent, Outcome, PublishOptions, SubscribeOptions, TopicSubscription,
    UnsubscribeOptions,
};
use flowsdk::packet::RetainHandling;
use flowsdk::session::Misuse;

use crate::scripted_connect::{all_properties, all_properties_on_the_wire};
use crate::scripted_setup::{Scene, V3_1_1, V5, both, packet_with, publish, suback, subscribe, unsuback, unsubscribe};
use crate::support::{PATIENCE, wait_until, wire};

#[test]
fn a_publish_has_topic_payload_qos_and_retain() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        live.client.publish("a/b", b"zero", 0, false).unwrap();
        live.client.publish("a/b", b"", 0, true).unwrap();
        live.peer.expect(&publish(version, 0x00, "a/b", None, b"zero"));
        live.peer.expect(&publish(version, 0x01, "a/b", None, b""));
        live.client.publish("a/b", b"one", 1, false).unwrap();
        live.client.publish("a/b", b"two", 2, true).unwrap();
        live.peer.expect(&publish(version, 0x02, "a/b", Some(1), b"one"));
        live.peer.expect(&publish(version, 0x05, "a/b", Some(2), b"two"));
    });
}

#[test]
fn a_publish_has_every_property_that_it_is_given() {
    let mut live = Scene::new(V5).connected();
    let options = PublishOptions { qos: 1, retain: true, properties: all_properties() };
    live.client.publish_with("t", b"p", &options).unwrap();
    live.peer.expect(&wire::publish_v5(0x03, "t", Some(1), &all_properties_on_the_wire(), b"p"));
}

#[test]
fn each_property_of_a_message_has_its_own_field() {
    let fields: [(&[u8], MessageProperties); 6] = [
        (&[0x01, 1], MessageProperties { payload_is_utf8: true, ..Default::default() }),
        (&[0x02, 0, 0, 0, 9], MessageProperties { message_expiry_interval: Some(9), ..Default::default() }),
        (&[0x03, 0, 1, b'x'], MessageProperties { content_type: Some("x".into()), ..Default::default() }),
        (&[0x08, 0, 1, b'y'], MessageProperties { response_topic: Some("y".into()), ..Default::default() }),
        (&[0x09, 0, 1, 0], MessageProperties { correlation_data: Some(vec![0]), ..Default::default() }),
        (
            &[0x26, 0, 1, b'k', 0, 0],
            MessageProperties { user_properties: vec![("k".into(), String::new())], ..Default::default() },
        ),
    ];
    let mut live = Scene::new(V5).connected();
    for (bytes, properties) in fields {
        let options = PublishOptions { properties, ..Default::default() };
        live.client.publish_with("t", b"p", &options).unwrap();
        live.peer.expect(&wire::publish_v5(0, "t", None, bytes, b"p"));
    }
}

#[test]
fn a_message_that_has_waited_says_how_long_it_still_lives() {
    let scene = Scene::new(V5);
    let (client, log) = scene.client();
    let expiring = |seconds| PublishOptions {
        qos: 1,
        properties: MessageProperties { message_expiry_interval: Some(seconds), ..Default::default() },
        ..Default::default()
    };
    let waiting = client.publish_with("t", b"waits", &expiring(60)).unwrap();
    let gone = client.publish_with("t", b"gone", &expiring(1)).unwrap();
    // The interval counts whole seconds, so one has to pass.
    let published_at = std::time::Instant::now();
    wait_until(PATIENCE, || published_at.elapsed().as_millis() > 1100);
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    peer.expect(&wire::publish_v5(0x02, "t", Some(1), &[0x02, 0, 0, 0, 59], b"waits"));
    assert_eq!(log.published(gone).outcome, Outcome::Expired);
    peer.close();
    // The server has lost the session: the same message as a new one, that has not aged twice.
    let mut peer = scene.accept(false);
    let again = peer.expect_type(3);
    assert_eq!(again[0], 0x32);
    assert!(matches!(wire::body(&again)[10], 58 | 59), "{again:?}");
    peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&again)));
    assert_eq!(log.published(waiting).outcome, Outcome::Acknowledged);
}

#[test]
fn a_subscribe_has_its_filter_and_qos_and_its_answer_comes_back_with_the_token() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        for (qos, id) in [(0, 1), (1, 2), (2, 3)] {
            let token = live.client.subscribe("a/+/#", qos).unwrap();
            live.peer.expect(&subscribe(version, id, &[("a/+/#", qos)]));
            live.peer.send(&suback(version, id, &[qos]));
            let result = live.log.subscribed(token);
            assert_eq!(
                (result.packet_id, &result.reason_codes[..], result.outcome),
                (id, &[qos][..], Outcome::Acknowledged)
            );
            assert!(result.is_success() && result.successful_subscriptions() == 1);
        }
    });
}

#[test]
fn a_subscribe_to_many_filters_is_one_packet_and_each_has_its_code() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let topics = [TopicSubscription::new("a", 0), TopicSubscription::new("b/#", 1), TopicSubscription::new("c", 2)];
        let token = live.client.subscribe_with(&topics, &SubscribeOptions::default()).unwrap();
        live.peer.expect(&subscribe(version, 1, &[("a", 0), ("b/#", 1), ("c", 2)]));
        live.peer.send(&suback(version, 1, &[0, 0x80, 1]));
        let result = live.log.subscribed(token);
        assert_eq!(result.reason_codes, [0, 0x80, 1]);
        assert!(!result.is_success() && result.successful_subscriptions() == 2);
    });
}

#[test]
fn a_subscribe_has_every_option_and_property_that_it_is_given() {
    let mut live = Scene::new(V5).connected();
    let topic = |change: fn(&mut TopicSubscription)| {
        let mut topic = TopicSubscription::new("t", 1);
        change(&mut topic);
        topic
    };
    let topics = [
        topic(|topic| topic.no_local = true),
        topic(|topic| topic.retain_as_published = true),
        topic(|topic| topic.retain_handling = RetainHandling::SendIfNew),
        topic(|topic| topic.retain_handling = RetainHandling::DoNotSend),
    ];
    let options = SubscribeOptions {
        subscription_identifier: Some(300),
        user_properties: vec![("k".to_string(), "v".to_string())],
    };
    let token = live.client.subscribe_with(&topics, &options).unwrap();
    let filters: Vec<u8> = [0x05, 0x09, 0x11, 0x21].iter().flat_map(|bits| [0, 1, b't', *bits]).collect();
    let properties = [0x0B, 0xAC, 0x02, 0x26, 0, 1, b'k', 0, 1, b'v'];
    live.peer.expect(&packet_with(0x82, V5, 1, &properties, &filters));
    let reason = [0x1F, 0, 2, b'n', b'o'];
    live.peer.send(&wire::suback_v5(1, &reason, &[1, 1, 1, 0x97]));
    let result = live.log.subscribed(token);
    assert_eq!(result.properties.reason_string(), Some("no"));
    assert_eq!(result.reason_codes, [1, 1, 1, 0x97]);
}

#[test]
fn an_unsubscribe_from_many_filters_is_one_packet() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let token = live.client.unsubscribe(vec!["a", "b/#", "+"]).unwrap();
        live.peer.expect(&unsubscribe(version, 1, &["a", "b/#", "+"]));
        live.peer.send(&unsuback(version, 1, &[0, 0x11, 0x11]));
        let result = live.log.unsubscribed(token);
        assert!(result.is_success());
        let codes: &[u8] = if version.is_v5() { &[0, 0x11, 0x11] } else { &[] };
        assert_eq!((result.packet_id, &result.reason_codes[..]), (1, codes));
    });
    let mut live = Scene::new(V5).connected();
    let token = live.client.unsubscribe(vec!["a"]).unwrap();
    live.peer.expect_type(10);
    live.peer.send(&unsuback(V5, 1, &[0x87]));
    assert!(!live.log.unsubscribed(token).is_success());
}

#[test]
fn an_unsubscribe_has_every_property_that_it_is_given() {
    let mut live = Scene::new(V5).connected();
    let options = UnsubscribeOptions { user_properties: vec![("k".to_string(), "v".to_string())] };
    let token = live.client.unsubscribe_with(&["t"], &options).unwrap();
    let properties = [0x26, 0, 1, b'k', 0, 1, b'v'];
    live.peer.expect(&packet_with(0xA2, V5, 1, &properties, &[0, 1, b't']));
    live.peer.send(&unsuback(V5, 1, &[0]));
    assert!(live.log.unsubscribed(token).is_success());
    let tracked = live.client.unsubscribe_tracked(&["t"], &options).unwrap();
    live.peer.expect(&packet_with(0xA2, V5, 2, &properties, &[0, 1, b't']));
    live.peer.send(&unsuback(V5, 2, &[0]));
    assert!(live.log.unsubscribed(tracked.token()).is_success());
}

#[test]
fn answers_in_another_order_reach_the_calls_they_belong_to() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let publish = live.client.publish("t", b"", 1, false).unwrap();
        let subscribe = live.client.subscribe("t", 1).unwrap();
        let unsubscribe = live.client.unsubscribe(vec!["u"]).unwrap();
        let packets = [live.peer.read_packet(), live.peer.read_packet(), live.peer.read_packet()];
        let id_of = |packet_type: u8| {
            packets.iter().find(|packet| packet[0] >> 4 == packet_type).map(|packet| wire::packet_id(packet)).unwrap()
        };
        live.peer.send(&unsuback(version, id_of(10), &[0]));
        live.peer.send(&suback(version, id_of(8), &[1]));
        live.peer.send(&wire::ack(wire::PUBACK, id_of(3)));
        assert_eq!(live.log.published(publish).packet_id, Some(id_of(3)));
        assert_eq!(live.log.subscribed(subscribe).packet_id, id_of(8));
        assert_eq!(live.log.unsubscribed(unsubscribe).packet_id, id_of(10));
        let words = live.log.words();
        assert!(
            words[1].starts_with("unsub") && words[2].starts_with("sub") && words[3].starts_with("pub"),
            "{words:?}"
        );
    });
}

#[test]
fn the_server_may_reject_a_message_with_a_reason() {
    let mut live = Scene::new(V5).connected();
    let one = live.client.publish("t", b"", 1, false).unwrap();
    let two = live.client.publish("t", b"", 2, false).unwrap();
    live.peer.expect_type(3);
    live.peer.expect_type(3);
    live.peer.send(&wire::packet(wire::PUBACK, &[&[0, 1, 0x97], &wire::prefixed(&[0x1F, 0, 1, b'q'])]));
    live.peer.send(&wire::ack_v5(wire::PUBREC, 2, 0x87));
    let result = live.log.published(one);
    assert_eq!((result.outcome, result.reason_code, result.qos), (Outcome::Rejected, Some(0x97), 1));
    assert_eq!((result.reason_description(), result.properties.reason_string()), ("Quota exceeded", Some("q")));
    let result = live.log.published(two);
    assert_eq!((result.outcome, result.reason_description()), (Outcome::Rejected, "Not authorized"));
    assert!(!result.is_success());
}

#[test]
fn the_code_of_a_good_acknowledgement_is_told_too() {
    let mut live = Scene::new(V5).connected();
    let token = live.client.publish("t", b"", 1, false).unwrap();
    live.peer.expect_type(3);
    live.peer.send(&wire::ack_v5(wire::PUBACK, 1, 0x10));
    let result = live.log.published(token);
    assert_eq!((result.outcome, result.reason_code), (Outcome::Acknowledged, Some(0x10)));
}

/// What the server cannot do is known only from its CONNACK, so what was accepted before ends with an outcome.
#[test]
fn what_the_server_does_not_offer_is_refused_with_the_reason() {
    let limits = [&[0x24, 0][..], &[0x25, 0], &[0x27, 0, 0, 0, 40], &[0x28, 0], &[0x29, 0], &[0x2A, 0]].concat();
    let mut live = Scene::new(V5).connected_with(&wire::connack_v5(&limits, false, 0));
    let refused = |token| match live.log.published(token).outcome {
        Outcome::Dropped(DropCause::Refused(misuse)) => misuse,
        other => panic!("{other:?}"),
    };
    let qos = refused(live.client.publish("t", b"", 1, false).unwrap());
    assert!(matches!(qos, Misuse::QoSNotSupported(_)));
    let retained = refused(live.client.publish("t", b"", 0, true).unwrap());
    assert_eq!(retained, Misuse::RetainNotSupported);
    let long = refused(live.client.publish("t", &[0; 100], 0, false).unwrap());
    assert!(matches!(long, Misuse::PacketTooLarge { limit: 40 }));
    let outcome_of = |filter: &str, options: &SubscribeOptions| {
        let token = live.client.subscribe_with(&[TopicSubscription::new(filter, 0)], options).unwrap();
        live.log.subscribed(token).outcome
    };
    let none = SubscribeOptions::default();
    let identifier = SubscribeOptions { subscription_identifier: Some(1), ..Default::default() };
    let refused = |misuse| Outcome::Dropped(DropCause::Refused(misuse));
    assert_eq!(outcome_of("a/#", &none), refused(Misuse::WildcardSubscriptionsNotSupported));
    assert_eq!(outcome_of("a", &identifier), refused(Misuse::SubscriptionIdentifiersNotSupported));
    assert_eq!(outcome_of("$share/g/a", &none), refused(Misuse::SharedSubscriptionsNotSupported));
    // None of them has left.
    live.client.publish("t", b"fits", 0, false).unwrap();
    live.peer.expect(&publish(V5, 0, "t", None, b"fits"));
}

#[test]
fn more_messages_than_the_server_takes_wait_for_their_turn() {
    let mut live = Scene::new(V5).connected_with(&wire::connack_v5(&[0x21, 0, 2], false, 0));
    for payload in [b"1", b"2", b"3"] {
        live.client.publish("t", payload, 1, false).unwrap();
    }
    live.client.publish("t", b"unlimited", 0, false).unwrap();
    let mut got: Vec<_> = (0..3).map(|_| live.peer.expect_type(3)).collect();
    got.retain(|packet| packet[0] == 0x32);
    assert!(got[0].ends_with(b"1") && got[1].ends_with(b"2") && got.len() == 2);
    live.peer.send(&wire::ack(wire::PUBACK, 1));
    assert!(live.peer.expect_type(3).ends_with(b"3"));
}

#[test]
fn fewer_messages_are_in_flight_if_the_limit_says_so() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.limits.in_flight = 1;
        let mut live = scene.connected();
        live.client.publish("t", b"1", 2, false).unwrap();
        live.client.publish("t", b"2", 1, false).unwrap();
        live.client.subscribe("t", 0).unwrap();
        // A subscribe passes by what has to wait.
        let packets = [live.peer.read_packet(), live.peer.read_packet()];
        let first = packets.iter().find(|packet| packet[0] == 0x34 && packet.ends_with(b"1")).unwrap();
        let id = wire::packet_id(first);
        live.peer.send(&wire::ack(wire::PUBREC, id));
        live.peer.expect(&wire::ack(wire::PUBREL, id));
        live.peer.send(&wire::ack(wire::PUBCOMP, id));
        assert!(live.peer.expect_type(3).ends_with(b"2"));
    });
}

#[test]
fn topic_aliases_are_sent_only_if_both_sides_want_them() {
    let alias = |number: u8| [0x23, 0, number];
    for (wanted, offered) in [(true, true), (true, false), (false, true)] {
        let mut scene = Scene::new(V5);
        scene.options.protocol.topic_aliases = wanted;
        let offer: &[u8] = if offered { &[0x22, 0, 1] } else { &[] };
        let mut live = scene.connected_with(&wire::connack_v5(offer, false, 0));
        for _ in 0..2 {
            live.client.publish("topic", b"x", 0, false).unwrap();
        }
        if wanted && offered {
            live.peer.expect(&wire::publish_v5(0, "topic", None, &alias(1), b"x"));
            live.peer.expect(&wire::publish_v5(0, "", None, &alias(1), b"x"));
        } else {
            live.peer.expect(&publish(V5, 0, "topic", None, b"x"));
            live.peer.expect(&publish(V5, 0, "topic", None, b"x"));
        }
    }
}

#[test]
fn a_ping_is_sent_and_its_answer_told() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        live.client.ping().unwrap();
        live.client.ping().unwrap();
        live.client.subscribe("behind", 0).unwrap();
        let packets = [live.peer.read_packet(), live.peer.read_packet()];
        assert!(packets.iter().any(|packet| *packet == wire::PINGREQ));
        assert!(packets.iter().any(|packet| packet[0] == 0x82), "one PINGREQ at a time");
        live.peer.send(&wire::PINGRESP);
        live.log.wait_for_count(
            2,
            |event| matches!(event, MqttEvent::PingResponse(ping) if ping.success && ping.round_trip.is_some()),
        );
    });
}

#[test]
fn a_received_message_can_be_published_as_it_is() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        live.peer.send(&publish(version, 0x03, "in", Some(9), b"x"));
        live.peer.expect(&wire::ack(wire::PUBACK, 9));
        let message = live.log.messages(1).remove(0);
        live.client.publish(&message.topic_name, &message.payload, message.qos, message.retain).unwrap();
        live.peer.expect(&publish(version, 0x03, "in", Some(1), b"x"));
    });
}

/// [MQTT-3.3.4-6]
#[test]
fn the_properties_of_a_message_have_no_place_for_a_subscription_identifier() {
    let mut live = Scene::new(V5).connected();
    let received = [&all_properties_on_the_wire()[..], &[0x0B, 5]].concat();
    live.peer.send(&wire::publish_v5(0, "in", None, &received, b"x"));
    let message = live.log.messages(1).remove(0);
    assert_eq!(message.properties.subscription_identifiers().collect::<Vec<_>>(), [5]);
    let own = |text: &str| text.to_string();
    let properties = MessageProperties {
        payload_is_utf8: true,
        message_expiry_interval: message.properties.message_expiry_interval(),
        content_type: message.properties.content_type().map(own),
        response_topic: message.properties.response_topic().map(own),
        correlation_data: message.properties.correlation_data().map(<[u8]>::to_vec),
        user_properties: message.properties.user_properties().map(|(name, value)| (own(name), own(value))).collect(),
    };
    let options = PublishOptions { properties, ..Default::default() };
    live.client.publish_with("out", &message.payload, &options).unwrap();
    live.peer.expect(&wire::publish_v5(0, "out", None, &all_properties_on_the_wire(), b"x"));
}

#[test]
fn a_message_of_qos_2_that_a_server_of_v3_1_1_answers_as_for_qos_1_is_acknowledged() {
    let mut live = Scene::new(V3_1_1).connected();
    let publishing = live.client.publish_tracked("t", b"x", &PublishOptions { qos: 2, ..Default::default() }).unwrap();
    live.peer.expect(&publish(V3_1_1, 4, "t", Some(1), b"x"));
    live.peer.send(&wire::ack(wire::PUBACK, 1));
    let result = publishing.wait(PATIENCE).unwrap();
    assert_eq!((result.outcome, result.qos), (Outcome::Acknowledged, 2));
    live.client.disconnect().unwrap();
    live.peer.expect(&wire::DISCONNECT);
}
