//! A connection that is lost, and what the next one begins with.

use std::time::Duration;

use flowsdk::mqtt_client::{
    DropCause, MessageProperties, MqttEvent, Outcome, PublishOptions, RestoreSubscriptions, SessionLossPolicy,
    SubscribeOptions, Token, TopicSubscription,
};
use flowsdk::packet::Packet;
use flowsdk::types::{ProtocolVersion, Role};

use crate::recorder::Log;
use crate::scripted_setup::{
    Live, Scene, V5, both, connack, packet_with, publish, suback, subscribe, unsuback, unsubscribe,
};
use crate::support::scripted_broker::Peer;
use crate::support::wire;

const DUP: u8 = 0x08;
const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

fn outcome(log: &Log, token: Token) -> Outcome {
    log.published(token).outcome
}

/// [MQTT-3.3.1-1] [MQTT-4.4.0-1]
#[test]
fn what_was_not_acknowledged_is_sent_again_with_dup_and_its_id_when_the_session_is_resumed() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let mut live = scene.connected();
        let one = live.client.publish("t", b"one", 1, false).unwrap();
        let two = live.client.publish("t", b"two", 2, true).unwrap();
        let done = live.client.publish("t", b"done", 1, false).unwrap();
        live.peer.expect(&publish(version, QOS1, "t", Some(1), b"one"));
        live.peer.expect(&publish(version, QOS2 | 1, "t", Some(2), b"two"));
        live.peer.expect(&publish(version, QOS1, "t", Some(3), b"done"));
        live.peer.send(&wire::ack(wire::PUBACK, 3));
        assert_eq!(outcome(&live.log, done), Outcome::Acknowledged);
        live.peer.close();
        let mut peer = scene.accept(true);
        peer.expect(&publish(version, DUP | QOS1, "t", Some(1), b"one"));
        peer.expect(&publish(version, DUP | QOS2 | 1, "t", Some(2), b"two"));
        peer.send(&wire::ack(wire::PUBACK, 1));
        peer.send(&wire::ack(wire::PUBREC, 2));
        peer.expect(&wire::ack(wire::PUBREL, 2));
        peer.close();
        // After PUBREC only PUBREL is sent again.
        let mut peer = scene.accept(true);
        peer.expect(&wire::ack(wire::PUBREL, 2));
        peer.send(&wire::ack(wire::PUBCOMP, 2));
        assert_eq!(outcome(&live.log, one), Outcome::Acknowledged);
        assert_eq!(outcome(&live.log, two), Outcome::Acknowledged);
        peer.close();
        // And nothing after PUBCOMP.
        let mut peer = scene.accept(true);
        live.client.publish("t", b"next", 0, false).unwrap();
        peer.expect(&publish(version, 0, "t", None, b"next"));
    });
}

#[test]
fn a_loss_a_reconnection_and_its_success_are_told_in_this_order() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let live = scene.connected();
        live.peer.close();
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.close();
        let _peer = scene.accept(true);
        live.log.connection(2);
        let guess = if version.is_v5() { ": it may not know MQTT 5.0" } else { "" };
        assert_eq!(
            live.log.words(),
            [
                "connected 0x00 session false",
                "error the server has closed the connection",
                "connection lost",
                "reconnect attempt 1",
                &format!("error the server has closed the connection without an answer to CONNECT{guess}"),
                "reconnect attempt 2",
                "connected 0x00 session true",
            ]
        );
    });
}

#[test]
fn a_packet_cut_by_the_loss_is_sent_again_whole() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let live = scene.connected();
        // More than the buffers of the sockets hold.
        let payload = vec![b'x'; 20_000_000];
        let token = live.client.publish("t", &payload, 1, false).unwrap();
        let mut peer = live.peer;
        peer.finish_sending();
        peer.reset();
        let mut peer = scene.accept(true);
        let packet = peer.expect_type(3);
        assert_eq!(packet.len(), publish(version, QOS1, "t", Some(1), &payload).len());
        peer.send(&wire::ack(wire::PUBACK, 1));
        assert_eq!(outcome(&live.log, token), Outcome::Acknowledged);
    });
}

#[test]
fn messages_in_flight_are_published_anew_when_the_server_has_lost_the_session() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let mut live = scene.connected();
        let tokens: Vec<_> =
            [1, 2, 2].iter().map(|qos| live.client.publish("t", &[b'0' + qos], *qos, false).unwrap()).collect();
        for _ in 0..3 {
            live.peer.expect_type(3);
        }
        live.peer.send(&wire::ack(wire::PUBREC, 3));
        live.peer.expect(&wire::ack(wire::PUBREL, 3));
        live.peer.close();
        let mut peer = scene.accept(false);
        for (flags, payload) in [(QOS1, b"1"), (QOS2, b"2")] {
            let packet = peer.expect_type(3);
            let id = wire::packet_id(&packet);
            assert_eq!(packet, publish(version, flags, "t", Some(id), payload));
            peer.send(&wire::ack(if flags == QOS1 { wire::PUBACK } else { wire::PUBREC }, id));
        }
        // The server had taken the third one, so that one is not published a second time.
        assert_eq!(outcome(&live.log, tokens[2]), Outcome::Dropped(DropCause::SessionLost));
        assert_eq!(outcome(&live.log, tokens[0]), Outcome::Acknowledged);
        live.log.connection(2);
        let words = live.log.words();
        let at = |text: &str| words.iter().position(|word| word == text).unwrap_or_else(|| panic!("{text}: {words:?}"));
        let (lost, cleared) = (at("session lost [1, 2] [3] []"), at("pending operations cleared"));
        assert!(at("reconnect attempt 1") < lost && lost + 1 == cleared, "{words:?}");
        assert!(words[cleared..].contains(&"connected 0x00 session false".to_string()), "{words:?}");
    });
}

#[test]
fn messages_in_flight_fail_when_the_session_is_lost_if_the_policy_says_so() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        scene.options.session_loss = SessionLossPolicy::Fail;
        let mut live = scene.connected();
        let token = live.client.publish("t", b"x", 1, false).unwrap();
        live.peer.expect_type(3);
        live.peer.close();
        let mut peer = scene.accept(false);
        assert_eq!(outcome(&live.log, token), Outcome::Dropped(DropCause::SessionLost));
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::PendingOperationsCleared));
        assert!(live.log.words().contains(&"session lost [] [1] []".to_string()));
        live.client.publish("t", b"next", 0, false).unwrap();
        peer.expect(&publish(version, 0, "t", None, b"next"));
    });
}

/// Some of them had been sent and some had waited for the server's window; the order is that of the calls all the same.
#[test]
fn messages_keep_their_order_when_the_session_is_lost() {
    let scene = Scene::new(V5);
    let two_at_a_time = wire::connack_v5(&[0x21, 0, 2], false, 0);
    let mut live = scene.connected_with(&two_at_a_time);
    for payload in [b"1", b"2", b"3", b"4"] {
        live.client.publish("t", payload, 1, false).unwrap();
    }
    live.peer.expect_type(3);
    live.peer.expect_type(3);
    live.peer.close();
    let mut peer = scene.accept(false);
    for payload in [b"1", b"2", b"3", b"4"] {
        let packet = peer.expect_type(3);
        assert!(packet.ends_with(payload) && packet[0] == 0x32, "{packet:?}");
    }
}

/// A client that has subscribed to `a` plainly and to `b` with options.
fn subscribed(scene: &Scene) -> Live {
    let mut live = scene.connected();
    let version = scene.version();
    let plain = live.client.subscribe("a", 1).unwrap();
    live.peer.expect(&subscribe(version, 1, &[("a", 1)]));
    live.peer.send(&suback(version, 1, &[1]));
    live.log.subscribed(plain);
    let mut topics = [TopicSubscription::new("b", 2), TopicSubscription::new("refused", 2)];
    let mut options = SubscribeOptions::default();
    if version.is_v5() {
        topics[0].no_local = true;
        options.subscription_identifier = Some(9);
    }
    let token = live.client.subscribe_with(&topics, &options).unwrap();
    live.peer.expect_type(8);
    live.peer.send(&suback(version, 2, &[2, 0x80]));
    live.log.subscribed(token);
    live
}

fn with_options(version: ProtocolVersion, packet_id: u16) -> Vec<u8> {
    if version.is_v5() {
        packet_with(0x82, version, packet_id, &[0x0B, 9], &[0, 1, b'b', 0x06])
    } else {
        subscribe(version, packet_id, &[("b", 2)])
    }
}

/// The subscriptions of [`subscribed`] come again; returns packet ids with the numbers of filters. One packet holds
/// those that have the same options.
#[track_caller]
fn expect_restored(version: ProtocolVersion, peer: &mut Peer) -> Vec<(u16, usize)> {
    let first = peer.expect_type(8);
    let id = wire::packet_id(&first);
    if version.is_v5() {
        assert_eq!(first, subscribe(version, id, &[("a", 1)]));
        let second = peer.expect_type(8);
        let other = wire::packet_id(&second);
        assert_eq!(second, with_options(version, other));
        vec![(id, 1), (other, 1)]
    } else {
        assert_eq!(first, subscribe(version, id, &[("a", 1), ("b", 2)]));
        vec![(id, 2)]
    }
}

#[test]
fn subscriptions_are_restored_with_their_options_when_the_server_has_no_session() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let live = subscribed(&scene);
        live.peer.close();
        let mut peer = scene.accept(false);
        let restored = expect_restored(version, &mut peer);
        for (id, filters) in restored {
            peer.send(&suback(version, id, &vec![2; filters]));
        }
        live.log.connection(2);
        assert_eq!(live.log.count(|event| matches!(event, MqttEvent::Subscribed(_))), 2, "only those of the calls");
    });
}

#[test]
fn subscriptions_are_restored_although_the_server_has_the_session_if_the_policy_says_so() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        scene.options.connecting.restore_subscriptions = RestoreSubscriptions::Always;
        let live = subscribed(&scene);
        live.peer.close();
        let mut peer = scene.accept(true);
        expect_restored(version, &mut peer);
    });
}

#[test]
fn only_topics_of_the_options_are_subscribed_again_if_the_policy_says_never() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        scene.options.connecting.restore_subscriptions = RestoreSubscriptions::Never;
        scene.options.subscription_topics = vec![TopicSubscription::new("x", 0)];
        let mut live = scene.connected();
        live.peer.expect(&subscribe(version, 1, &[("x", 0)]));
        live.peer.send(&suback(version, 1, &[0]));
        let token = live.client.subscribe("a", 1).unwrap();
        live.peer.expect(&subscribe(version, 2, &[("a", 1)]));
        live.peer.send(&suback(version, 2, &[1]));
        assert!(live.log.subscribed(token).is_success());
        live.peer.close();
        let mut peer = scene.accept(false);
        let packet = peer.expect_type(8);
        assert_eq!(packet, subscribe(version, wire::packet_id(&packet), &[("x", 0)]));
        live.log.connection(2);
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
    });
}

#[test]
fn a_message_in_flight_that_has_expired_when_the_session_is_lost_is_told_as_such() {
    let scene = Scene::keeping_session(V5);
    let mut live = scene.connected();
    let properties = MessageProperties { message_expiry_interval: Some(1), ..Default::default() };
    let options = PublishOptions { qos: 1, properties, ..Default::default() };
    let token = live.client.publish_with("t", b"x", &options).unwrap();
    live.peer.expect_type(3);
    live.peer.expect_silence(Duration::from_millis(1100));
    live.peer.close();
    let _peer = scene.accept(false);
    assert_eq!(outcome(&live.log, token), Outcome::Expired);
    live.log.connection(2);
    let words = live.log.words();
    let lost = words.iter().position(|word| word == "session lost [] [] [1]").expect("a report");
    assert_eq!(words[lost + 1], "pending operations cleared");
}

#[test]
fn subscriptions_are_not_restored_when_the_server_has_the_session() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let live = subscribed(&scene);
        live.peer.close();
        let mut peer = scene.accept(true);
        live.log.connection(2);
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
    });
}

#[test]
fn what_was_unsubscribed_is_not_restored() {
    both(|version| {
        let scene = Scene::new(version);
        let mut live = subscribed(&scene);
        let token = live.client.unsubscribe(vec!["a"]).unwrap();
        live.peer.expect(&unsubscribe(version, 3, &["a"]));
        live.peer.send(&unsuback(version, 3, &[0]));
        live.log.unsubscribed(token);
        live.peer.close();
        let mut peer = scene.accept(false);
        let packet = peer.expect_type(8);
        assert_eq!(packet, with_options(version, wire::packet_id(&packet)));
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
    });
}

/// The second connection is cut before the server has restored anything; the third one may find that session or not.
#[test]
fn a_subscription_that_is_being_restored_is_restored_once_on_the_connection_after_that() {
    both(|version| {
        for session_present in [true, false] {
            let scene = Scene::keeping_session(version);
            let live = subscribed(&scene);
            live.peer.close();
            expect_restored(version, &mut scene.accept(false));
            let mut peer = scene.accept(session_present);
            for (id, filters) in expect_restored(version, &mut peer) {
                peer.send(&suback(version, id, &vec![1; filters]));
            }
            live.client.ping().unwrap();
            peer.expect(&wire::PINGREQ);
        }
    });
}

#[test]
fn a_request_without_its_answer_is_sent_again() {
    both(|version| {
        for session_present in [true, false] {
            let scene = Scene::keeping_session(version);
            let mut live = scene.connected();
            let subscribing = live.client.subscribe("s", 1).unwrap();
            let unsubscribing = live.client.unsubscribe(vec!["u"]).unwrap();
            live.peer.expect(&subscribe(version, 1, &[("s", 1)]));
            live.peer.expect(&unsubscribe(version, 2, &["u"]));
            live.peer.close();
            let mut peer = scene.accept(session_present);
            let packet = peer.expect_type(8);
            let id = wire::packet_id(&packet);
            assert_eq!(packet, subscribe(version, id, &[("s", 1)]));
            peer.send(&suback(version, id, &[1]));
            let packet = peer.expect_type(10);
            let id = wire::packet_id(&packet);
            assert_eq!(packet, unsubscribe(version, id, &["u"]));
            peer.send(&unsuback(version, id, &[0]));
            assert!(live.log.subscribed(subscribing).is_success());
            assert!(live.log.unsubscribed(unsubscribing).is_success());
        }
    });
}

#[test]
fn topics_of_the_options_are_subscribed_whenever_the_server_has_no_session() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        scene.options.subscription_topics = vec![TopicSubscription::new("x", 1), TopicSubscription::new("y/#", 2)];
        let mut live = scene.connected();
        live.peer.expect(&subscribe(version, 1, &[("x", 1), ("y/#", 2)]));
        live.peer.send(&suback(version, 1, &[1, 2]));
        live.client.ping().unwrap();
        live.peer.expect(&wire::PINGREQ);
        live.peer.close();
        let mut peer = scene.accept(true);
        live.log.connection(2);
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
        peer.close();
        let mut peer = scene.accept(false);
        let packet = peer.expect_type(8);
        assert_eq!(packet, subscribe(version, wire::packet_id(&packet), &[("x", 1), ("y/#", 2)]));
    });
}

#[test]
fn subscriptions_too_many_for_one_packet_are_restored_by_several() {
    let mut scene = Scene::new(V5);
    let topic = |number: usize| format!("topic/number/{number}");
    scene.options.subscription_topics = (0..5).map(|number| TopicSubscription::new(&topic(number), 1)).collect();
    scene.options.subscription_topics.push(TopicSubscription::new(&"long".repeat(20), 1));
    // Maximum Packet Size 50: two of the filters fit into a packet, and the long one into none.
    let mut live = scene.connected_with(&wire::connack_v5(&[0x27, 0, 0, 0, 50], false, 0));
    let mut filters = Vec::new();
    while filters.len() < 5 {
        let packet = live.peer.expect_type(8);
        assert!(packet.len() <= 50, "{} bytes", packet.len());
        let Ok(Some((Packet::Subscribe(subscribe), _))) = Packet::decode(&packet, V5, Role::Client) else {
            panic!("{packet:?}");
        };
        filters.extend(subscribe.subscriptions.iter().map(|subscription| subscription.filter.to_string()));
    }
    assert_eq!(filters, (0..5).map(topic).collect::<Vec<_>>());
    live.log.error("cannot subscribe to \"longlong");
}

#[test]
fn a_restored_subscription_that_the_server_refuses_is_told_as_an_error_and_stays_wanted() {
    let mut scene = Scene::new(V5);
    scene.options.subscription_topics = vec![TopicSubscription::new("x", 1)];
    let mut live = scene.connected();
    live.peer.expect_type(8);
    live.peer.send(&suback(V5, 1, &[0x97]));
    live.log.error("refuses 1 subscription");
    // The next session has another chance.
    live.peer.close();
    scene.accept(false).expect_type(8);
}

#[test]
fn a_reconnection_begins_with_subscriptions_then_buffered_messages_in_order_then_the_callback() {
    both(|version| {
        let scene = Scene::new(version);
        let live = subscribed(&scene);
        live.peer.close();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        for payload in [b"1", b"2", b"3"] {
            live.client.publish("t", payload, 1, false).unwrap();
        }
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&connack(version, false));
        expect_restored(version, &mut peer);
        for payload in [b"1", b"2", b"3"] {
            let packet = peer.expect_type(3);
            assert!(packet[0] == 0x32 && packet.ends_with(payload), "{packet:?}");
            peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
        }
        live.log.connection(2);
        live.log.wait_for_count(3, |event| matches!(event, MqttEvent::Published(_)));
        let words = live.log.words();
        let published = words.iter().position(|word| word.starts_with("published")).unwrap();
        let connected = words.iter().rposition(|word| word.starts_with("connected")).unwrap();
        assert!(connected < published, "{words:?}");
    });
}

#[test]
fn an_unsubscribe_while_a_subscription_is_being_restored_wins() {
    both(|version| {
        let scene = Scene::new(version);
        let live = subscribed(&scene);
        live.peer.close();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        live.client.unsubscribe(vec!["a", "b"]).unwrap();
        let mut peer = scene.accept(false);
        for (id, filters) in expect_restored(version, &mut peer) {
            peer.send(&suback(version, id, &vec![1; filters]));
        }
        let packet = peer.expect_type(10);
        peer.send(&unsuback(version, wire::packet_id(&packet), &[0, 0]));
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::Unsubscribed(_)));
        peer.close();
        let mut peer = scene.accept(false);
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
    });
}

/// The answer to the subscribe comes when the unsubscribe has left.
#[test]
fn a_subscription_that_was_given_up_before_it_was_granted_is_not_restored() {
    both(|version| {
        let scene = Scene::new(version);
        let mut live = scene.connected();
        live.client.subscribe("a", 0).unwrap();
        let unsubscribing = live.client.unsubscribe(vec!["a"]).unwrap();
        live.peer.expect_type(8);
        live.peer.expect_type(10);
        live.peer.send(&[suback(version, 1, &[0]), unsuback(version, 2, &[0])].concat());
        live.log.unsubscribed(unsubscribing);
        live.peer.close();
        let mut peer = scene.accept(false);
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
    });
}
