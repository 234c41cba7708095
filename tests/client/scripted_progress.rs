//! The client goes on by itself, without anything else happening: there is no keep-alive here to wake it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use flowsdk::mqtt_client::{CallbackMode, MessageProperties, MqttPublish, Outcome, PublishOptions};
use flowsdk::types::ProtocolVersion;

use crate::scripted_setup::{Live, Scene, V5, both, connack, publish, subscribe, unsubscribe};
use crate::support::wire;

#[test]
fn an_expired_message_does_not_hold_up_those_behind_it() {
    // Receive Maximum 1.
    let mut live = Scene::new(V5).connected_with(&wire::connack_v5(&[0x21, 0, 1], false, 0));
    live.client.publish("t", b"first", 1, false).unwrap();
    live.peer.expect(&publish(V5, 0x02, "t", Some(1), b"first"));
    let properties = MessageProperties { message_expiry_interval: Some(1), ..Default::default() };
    let options = PublishOptions { qos: 1, properties, ..Default::default() };
    let expiring = live.client.publish_with("t", b"expiring", &options).unwrap();
    live.client.publish("t", b"last", 1, false).unwrap();
    live.peer.expect_silence(Duration::from_millis(1200));
    live.peer.send(&wire::ack(wire::PUBACK, 1));
    live.peer.expect(&publish(V5, 0x02, "t", Some(3), b"last"));
    assert_eq!(live.log.published(expiring).outcome, Outcome::Expired);
}

#[test]
fn a_server_that_cannot_say_how_many_messages_of_qos_2_it_takes_gets_19_at_once() {
    let mut live = Scene::new(ProtocolVersion::V3_1_1).connected();
    let name = |number: u16| number.to_string();
    let tokens: Vec<_> = (1..=20).map(|number| live.client.publish(&name(number), b"", 2, false).unwrap()).collect();
    for number in 1..=19 {
        live.peer.expect(&publish(ProtocolVersion::V3_1_1, 0x04, &name(number), Some(number), b""));
    }
    // Only the end of an exchange makes room.
    live.peer.send(&wire::ack(wire::PUBREC, 1));
    live.peer.expect(&wire::ack(wire::PUBREL, 1));
    live.peer.expect_silence(Duration::from_millis(100));
    live.peer.send(&wire::ack(wire::PUBCOMP, 1));
    live.peer.expect(&publish(ProtocolVersion::V3_1_1, 0x04, "20", Some(20), b""));
    assert_eq!(live.log.published(tokens[0]).outcome, Outcome::Acknowledged);
}

#[test]
fn messages_leave_in_their_order_while_the_window_is_open() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, _log) = scene.client();
        for (number, qos) in [1, 0, 2, 0, 0, 1].into_iter().enumerate() {
            client.publish(&number.to_string(), b"", qos, false).unwrap();
        }
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        for number in 0..6 {
            let packet = peer.expect_type(3);
            assert_eq!(&packet[2..5], [0, 1, b'0' + number]);
        }
    });
}

#[test]
fn a_request_behind_a_long_message_leaves_with_it() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let payload = vec![b'x'; 1 << 20];
        live.client.publish("t", &payload, 0, false).unwrap();
        live.client.subscribe("s", 1).unwrap();
        live.peer.expect(&publish(version, 0, "t", None, &payload));
        live.peer.expect(&subscribe(version, 1, &[("s", 1)]));
    });
}

/// Else the server would not send them back.
#[test]
fn an_unsubscribe_leaves_behind_the_messages_that_were_published_before_it() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, _log) = scene.client();
        client.subscribe("t", 1).unwrap();
        client.publish("t", b"before", 1, false).unwrap();
        client.publish("t", b"too", 0, false).unwrap();
        client.unsubscribe(vec!["t"]).unwrap();
        client.subscribe("s", 1).unwrap();
        client.publish("t", b"behind", 0, false).unwrap();
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&subscribe(version, 1, &[("t", 1)]));
        peer.expect(&publish(version, 0x02, "t", Some(2), b"before"));
        peer.expect(&publish(version, 0, "t", None, b"too"));
        peer.expect(&unsubscribe(version, 3, &["t"]));
        peer.expect(&subscribe(version, 4, &[("s", 1)]));
        peer.expect(&publish(version, 0, "t", None, b"behind"));
    });
}

#[test]
fn a_request_leaves_behind_the_messages_that_were_published_on_the_same_connection_before_it() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.threads.callbacks = CallbackMode::Worker;
        let Live { client, mut peer, .. } = scene.connected();
        let client = Arc::new(client);
        let weak = Arc::downgrade(&client);
        // On the worker all three are asked for within one of its turns.
        let ask = move |_: &MqttPublish<'_>| {
            let client = weak.upgrade().unwrap();
            client.publish("t", b"2", 2, false).unwrap();
            client.publish("t", b"1", 1, false).unwrap();
            client.subscribe("t", 1).unwrap();
        };
        client.add_topic_handler("go", ask).unwrap();
        peer.send(&publish(version, 0, "go", None, b""));
        peer.expect(&publish(version, 0x04, "t", Some(1), b"2"));
        peer.expect(&publish(version, 0x02, "t", Some(2), b"1"));
        peer.expect(&subscribe(version, 3, &[("t", 1)]));
    });
}

#[test]
fn a_connection_is_opened_again_while_a_callback_takes_long() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.limits.undelivered_bytes = 1;
        let mut live = scene.connected();
        let (entered, has_entered) = channel();
        let (release, released) = channel::<()>();
        live.client
            .add_topic_handler("slow", move |_| {
                entered.send(()).unwrap();
                // It ends when the test does.
                let _ = released.recv();
            })
            .unwrap();
        live.peer.send(&publish(version, 0, "slow", None, b""));
        has_entered.recv().unwrap();
        live.peer.send(&publish(version, 0, "waiting", None, b""));
        live.peer.reset();
        // Nothing is read, so that only writing shows that the connection has gone.
        let mut peer = loop {
            live.client.publish("t", b"", 0, false).unwrap();
            if let Some(peer) = scene.broker.accept_within(Duration::from_millis(20)) {
                break peer;
            }
        };
        peer.expect_connect();
        peer.send(&connack(version, false));
        live.client.publish("t", b"back", 0, false).unwrap();
        let expected = publish(version, 0, "t", None, b"back");
        while peer.expect_type(3) != expected {}
        drop(release);
    });
}

#[test]
fn times_without_end_are_taken_as_such() {
    let mut scene = Scene::new(V5);
    let timeouts = &mut scene.options.timeouts;
    for timeout in [&mut timeouts.connect, &mut timeouts.ping, &mut timeouts.drain, &mut timeouts.shutdown] {
        *timeout = Duration::MAX;
    }
    let mut live = scene.connected();
    live.client.ping().unwrap();
    live.peer.expect(&wire::PINGREQ);
    live.peer.send(&wire::PINGRESP);
    live.client.disconnect().unwrap();
    live.peer.expect(&wire::DISCONNECT);
    live.peer.close();
    live.client.shutdown().unwrap();
}

#[test]
fn a_connection_that_is_not_wanted_any_more_before_its_connack_ends_by_a_disconnect() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        client.disconnect().unwrap();
        peer.send(&connack(version, false));
        peer.expect(&wire::DISCONNECT);
        peer.close();
        log.disconnected();
    });
}
