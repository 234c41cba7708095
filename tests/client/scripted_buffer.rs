//! What is kept without a connection, and what has to go.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncMqttClient, CallbackMode, ClientError, ConnectionResult, DropCause, MessageProperties, MqttEvent,
    MqttEventHandler, Outcome, Overflow, PublishOptions, Token,
};

use crate::recorder::Log;
use crate::scripted_setup::{Scene, V5, both, publish};
use crate::support::wire;

const KEPT: Duration = Duration::from_secs(10);

/// A scene whose buffer takes two messages.
fn two(version: flowsdk::types::ProtocolVersion, overflow: Overflow) -> Scene {
    let mut scene = Scene::new(version);
    scene.config.max_buffer_size = 2;
    scene.options.offline.overflow = overflow;
    scene
}

fn outcome(log: &Log, token: Token) -> Outcome {
    log.published(token).outcome
}

#[track_caller]
fn published(client: &AsyncMqttClient, topic: &str, payload: &[u8]) -> Token {
    client.publish(topic, payload, 1, false).unwrap()
}

#[test]
fn the_newest_messages_are_dropped_if_the_policy_says_so() {
    both(|version| {
        let scene = two(version, Overflow::DropNewest);
        let (client, log) = scene.client();
        let tokens = [b"1", b"2", b"3", b"4"].map(|payload| published(&client, "t", payload));
        for token in &tokens[2..] {
            assert_eq!(outcome(&log, *token), Outcome::Dropped(DropCause::BufferFull));
        }
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&publish(version, 2, "t", Some(1), b"1"));
        peer.expect(&publish(version, 2, "t", Some(2), b"2"));
    });
}

#[test]
fn messages_beyond_the_buffer_are_refused_if_the_policy_says_so_until_there_is_a_connection() {
    both(|version| {
        let scene = two(version, Overflow::Refuse);
        let (client, log) = scene.client();
        for payload in [b"1", b"2"] {
            published(&client, "t", payload);
        }
        for _ in 0..10 {
            assert_eq!(client.publish("t", b"3", 1, false), Err(ClientError::BufferFull));
        }
        client.subscribe("s", 0).unwrap();
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect_type(8);
        for number in 1..=2 {
            peer.expect(&publish(version, 2, "t", Some(number + 1), &[b'0' + number as u8]));
        }
        log.connection(1);
        let options = PublishOptions { qos: 1, ..Default::default() };
        let third = client.publish_wait("t", b"3", &options, KEPT).unwrap();
        peer.expect(&publish(version, 2, "t", Some(4), b"3"));
        peer.send(&wire::ack(wire::PUBACK, 4));
        assert_eq!(outcome(&log, third), Outcome::Acknowledged);
    });
}

#[test]
fn a_buffer_that_refuses_is_bounded_in_bytes_and_lets_producers_wait_for_the_connection() {
    let mut scene = two(V5, Overflow::Refuse);
    scene.config.max_buffer_size = 100;
    scene.options.limits.buffer_bytes = 1000;
    let (client, _log) = scene.client();
    let options = PublishOptions { qos: 1, ..Default::default() };
    published(&client, "t", &[b'1'; 2000]);
    assert_eq!(client.publish("t", b"2", 1, false), Err(ClientError::BufferFull));
    let late = client.publish_wait("t", b"2", &options, Duration::from_millis(20));
    assert_eq!(late, Err(ClientError::BufferFull));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.publish_wait("t", b"2", &options, KEPT));
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        assert!(peer.expect_type(3).ends_with(b"11"));
        assert!(peer.expect_type(3).ends_with(b"2"));
        assert!(waiting.join().unwrap().is_ok());
    });
}

#[test]
fn a_buffer_that_refuses_keeps_what_was_accepted_before_the_connection_was_lost() {
    let scene = two(V5, Overflow::Refuse);
    let one_at_a_time = wire::connack_v5(&[0x21, 0, 1], false, 0);
    let live = scene.connected_with(&one_at_a_time);
    let tokens = [b"1", b"2", b"3", b"4"].map(|payload| published(&live.client, "t", payload));
    let mut peer = live.peer;
    peer.expect_type(3);
    peer.close();
    let mut peer = scene.accept(false);
    for (number, token) in (b'1'..).zip(tokens) {
        let packet = peer.expect_type(3);
        assert!(packet.ends_with(&[number]));
        peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
        assert_eq!(outcome(&live.log, token), Outcome::Acknowledged);
    }
}

/// Publishes more than the buffer takes as soon as it hears of a connection.
struct AtOnce(Arc<OnceLock<AsyncMqttClient>>);

impl MqttEventHandler for AtOnce {
    fn on_connected(&mut self, _: &ConnectionResult) {
        let client = self.0.wait();
        for payload in [b"1", b"2", b"3", b"4"] {
            published(client, "t", payload);
        }
    }
}

#[test]
fn whoever_hears_of_the_connection_publishes_with_it_and_not_into_the_buffer() {
    for mode in [CallbackMode::Thread, CallbackMode::Worker] {
        let mut scene = two(V5, Overflow::Refuse);
        scene.options.threads.callbacks = mode;
        let place = Arc::new(OnceLock::new());
        let handler = Box::new(AtOnce(Arc::clone(&place)));
        let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
        let client = place.get_or_init(|| client);
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        for number in 1..=4 {
            peer.expect(&publish(V5, 2, "t", Some(number), &[b'0' + number as u8]));
        }
        peer.close();
        client.shutdown().unwrap();
    }
}

#[test]
fn only_the_newest_message_of_each_topic_is_kept_if_the_option_says_so() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.offline.latest_per_topic = true;
        let (client, log) = scene.client();
        let old = published(&client, "a", b"1");
        let kept = published(&client, "b", b"2");
        let new = published(&client, "a", b"3");
        assert_eq!(outcome(&log, old), Outcome::Dropped(DropCause::Superseded));
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&publish(version, 2, "b", Some(1), b"2"));
        peer.expect(&publish(version, 2, "a", Some(2), b"3"));
        // With a connection every message is sent.
        published(&client, "a", b"4");
        published(&client, "a", b"5");
        peer.expect(&publish(version, 2, "a", Some(3), b"4"));
        peer.expect(&publish(version, 2, "a", Some(4), b"5"));
        assert!(log.count(|event| matches!(event, MqttEvent::Published(_))) == 1, "{kept:?} {new:?}");
    });
}

#[test]
fn a_message_leaves_the_buffer_when_it_expires_and_makes_room_for_others() {
    let scene = two(V5, Overflow::DropOldest);
    let (client, log) = scene.client();
    let kept = published(&client, "t", b"kept");
    let properties = MessageProperties { message_expiry_interval: Some(1), ..Default::default() };
    let begin = Instant::now();
    let options = PublishOptions { qos: 1, properties, ..Default::default() };
    let short = client.publish_with("t", b"short", &options).unwrap();
    assert_eq!(outcome(&log, short), Outcome::Expired);
    assert!(begin.elapsed() >= Duration::from_secs(1) && begin.elapsed() < KEPT);
    published(&client, "t", b"new");
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    peer.expect(&publish(V5, 2, "t", Some(1), b"kept"));
    peer.expect(&publish(V5, 2, "t", Some(2), b"new"));
    peer.send(&wire::ack(wire::PUBACK, 1));
    assert_eq!(outcome(&log, kept), Outcome::Acknowledged);
}
