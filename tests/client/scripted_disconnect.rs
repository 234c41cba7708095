//! The orderly end of a connection.

use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{AsyncMqttClient, ClientError, DisconnectOptions, MqttEvent, Outcome};

use crate::scripted_setup::{Scene, V3_1_1, V5, both, publish, suback};
use crate::support::{PATIENCE, wait_until, wire};

/// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.4-1/3.1.1] [MQTT-3.14.4-2/3.1.1]
#[test]
fn disconnect_comes_last_and_ends_the_stream_although_the_broker_keeps_its_side_open() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        for number in 0..50_u8 {
            live.client.publish("t", &[number], 0, false).unwrap();
        }
        live.client.disconnect().unwrap();
        live.client.publish("t", b"behind", 0, false).unwrap();
        for number in 0..50 {
            live.peer.expect(&publish(version, 0, "t", None, &[number]));
        }
        live.peer.expect(&wire::DISCONNECT);
        live.peer.expect_eof();
        assert_eq!(live.log.disconnected(), version.is_v5().then_some(0));
        assert_eq!(live.log.count(|event| matches!(event, MqttEvent::ConnectionLost | MqttEvent::Error(_))), 0);
    });
}

#[test]
fn disconnect_waits_for_what_was_accepted_before_to_be_acknowledged() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let one = live.client.publish("t", b"1", 1, false).unwrap();
        let two = live.client.publish("t", b"2", 2, false).unwrap();
        live.client.disconnect().unwrap();
        live.peer.expect(&publish(version, 0x02, "t", Some(1), b"1"));
        live.peer.expect(&publish(version, 0x04, "t", Some(2), b"2"));
        live.peer.send(&wire::ack(wire::PUBACK, 1));
        live.peer.send(&wire::ack(wire::PUBREC, 2));
        live.peer.expect(&wire::ack(wire::PUBREL, 2));
        live.peer.send(&wire::ack(wire::PUBCOMP, 2));
        live.peer.expect(&wire::DISCONNECT);
        live.peer.expect_eof();
        assert_eq!(live.log.published(one).outcome, Outcome::Acknowledged);
        assert_eq!(live.log.published(two).outcome, Outcome::Acknowledged);
    });
}

#[test]
fn disconnect_waits_for_the_answer_to_a_subscribe_and_delivers_meanwhile() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let token = live.client.subscribe("t", 1).unwrap();
        live.client.disconnect().unwrap();
        live.peer.expect_type(8);
        live.peer.send(&publish(version, 0x02, "t", Some(9), b"x"));
        live.peer.expect(&wire::ack(wire::PUBACK, 9));
        live.peer.send(&suback(version, 1, &[1]));
        live.peer.expect(&wire::DISCONNECT);
        assert!(live.log.subscribed(token).is_success());
        assert_eq!(live.log.messages(1).len(), 1);
    });
}

/// Behind a disconnect() that waits, calls that take no place in the queue are kept for later.
#[test]
fn calls_that_alternate_between_connect_and_disconnect_are_refused_when_a_thousand_wait() {
    let mut scene = Scene::new(V5);
    scene.options.timeouts.drain = Duration::from_secs(30);
    let mut live = scene.connected();
    live.client.publish("t", b"1", 1, false).unwrap();
    live.peer.expect_type(3);
    live.client.disconnect().unwrap();
    let calls = [AsyncMqttClient::connect, AsyncMqttClient::disconnect];
    let refused = calls.iter().cycle().take(5000).find_map(|call| call(&live.client).err());
    assert_eq!(refused, Some(ClientError::QueueFull));
    // Nobody listens for the connections that were asked for.
    drop(scene);
    live.peer.send(&wire::ack(wire::PUBACK, 1));
    live.peer.expect(&wire::DISCONNECT);
    live.peer.close();
    // When they are done with there is room again.
    wait_until(PATIENCE, || live.client.disconnect().is_ok());
    live.client.shutdown().unwrap();
}

#[test]
fn a_drain_ends_at_its_deadline_if_the_broker_never_acknowledges() {
    both(|version| {
        for shutdown in [false, true] {
            let mut scene = Scene::new(version);
            scene.options.timeouts.drain = Duration::from_millis(200);
            let mut live = scene.connected();
            let token = live.client.publish("t", b"1", 2, false).unwrap();
            live.peer.expect_type(3);
            let begin = Instant::now();
            let client = live.client;
            let ending = std::thread::spawn(move || {
                if shutdown {
                    client.shutdown().unwrap();
                } else {
                    client.disconnect().unwrap();
                }
                client
            });
            live.peer.expect(&wire::DISCONNECT);
            assert!(begin.elapsed() >= Duration::from_millis(200));
            live.peer.expect_eof();
            live.peer.close();
            let client = ending.join().unwrap();
            live.log.disconnected();
            client.shutdown().unwrap();
            assert_eq!(live.log.published(token).outcome, Outcome::Cancelled);
        }
    });
}

#[test]
fn disconnect_carries_the_reason_code_that_it_is_given() {
    for code in [0x04, 0x80, 0x82, 0x99] {
        let mut live = Scene::new(V5).connected();
        live.client.disconnect_with(code).unwrap();
        live.peer.expect(&[0xE0, 1, code]);
        live.peer.expect_eof();
        assert_eq!(live.log.disconnected(), Some(code));
    }
    let mut live = Scene::new(V3_1_1).connected();
    live.client.disconnect_with(0).unwrap();
    live.peer.expect(&wire::DISCONNECT);
    live.peer.expect_eof();
}

#[test]
fn disconnect_carries_the_properties_that_it_is_given() {
    let mut scene = Scene::keeping_session(V5);
    scene.options.protocol.session_expiry_interval = 60;
    let options = DisconnectOptions {
        reason_code: 0x04,
        reason_string: Some("bye".to_string()),
        session_expiry_interval: Some(7),
        user_properties: vec![("k".to_string(), "v".to_string())],
    };
    let properties = [&[0x11, 0, 0, 0, 7, 0x1F][..], &wire::string("bye"), &[0x26, 0, 1, b'k', 0, 1, b'v']].concat();
    let mut live = scene.connected();
    live.client.disconnect_with_options(&options).unwrap();
    live.peer.expect(&wire::disconnect_v5(0x04, &properties));
    live.peer.expect_eof();
    assert_eq!(live.log.disconnected(), Some(0x04));

    // A server that takes no packet as long as that gets it without.
    let mut live = scene.connected_with(&wire::connack_v5(&[0x27, 0, 0, 0, 20], false, 0));
    live.client.disconnect_with_options(&options).unwrap();
    live.peer.expect(&[0xE0, 1, 0x04]);
    live.peer.expect_eof();
}

#[test]
fn properties_of_a_disconnect_that_break_a_rule_are_refused() {
    let long_lived = DisconnectOptions { session_expiry_interval: Some(7), ..Default::default() };
    let (client, _log) = Scene::new(V5).client();
    let refused = client.disconnect_with_options(&long_lived);
    assert!(matches!(refused, Err(ClientError::InvalidOption { .. })), "{refused:?}");
    let refused = Scene::new(V3_1_1).client().0.disconnect_with_options(&long_lived);
    assert!(matches!(refused, Err(ClientError::Encode(_))), "{refused:?}");
    let text = DisconnectOptions { reason_string: Some("\0".to_string()), ..Default::default() };
    let refused = client.disconnect_with_options(&text);
    assert!(matches!(refused, Err(ClientError::Encode(_))), "{refused:?}");
}

#[test]
fn disconnect_during_back_off_ends_the_attempts() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.reconnect_delay_ms = 3_600_000;
        scene.config.max_reconnect_delay_ms = 3_600_000;
        let live = scene.connected();
        live.peer.close();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        live.client.disconnect().unwrap();
        live.client.connect().unwrap();
        // Only the end of the attempts lets the call begin a new one at once.
        let _peer = scene.accept(false);
        live.log.connection(2);
    });
}

#[test]
fn what_was_accepted_before_disconnect_is_connected_for() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.timeouts.drain = PATIENCE;
        let (client, log) = scene.client();
        client.connect().unwrap();
        client.publish("t", b"x", 1, false).unwrap();
        client.disconnect().unwrap();
        scene.broker.accept().close();
        let mut peer = scene.accept(false);
        peer.expect(&publish(version, 0x02, "t", Some(1), b"x"));
        peer.send(&wire::ack(wire::PUBACK, 1));
        peer.expect(&wire::DISCONNECT);
        peer.expect_eof();
        peer.close();
        log.disconnected();
        assert!(scene.broker.accept_within(Duration::from_millis(100)).is_none());
    });
}

#[test]
fn dropping_the_client_disconnects_like_a_shutdown() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let token = live.client.publish("t", b"x", 1, false).unwrap();
        let dropping = std::thread::spawn(move || drop(live.client));
        live.peer.expect_type(3);
        live.peer.send(&wire::ack(wire::PUBACK, 1));
        live.peer.expect(&wire::DISCONNECT);
        live.peer.expect_eof();
        live.peer.close();
        dropping.join().unwrap();
        assert_eq!(live.log.with(|events| events.len()), 3);
        assert_eq!(live.log.published(token).outcome, Outcome::Acknowledged);
    });
}

#[test]
fn shutdown_gives_up_after_its_time_while_a_callback_does_not_return() {
    struct Blocks(std::sync::mpsc::Receiver<()>);
    impl flowsdk::mqtt_client::MqttEventHandler for Blocks {
        fn on_connected(&mut self, _: &flowsdk::mqtt_client::ConnectionResult) {
            // It ends when the sender is dropped.
            let _ = self.0.recv();
        }
    }
    let mut scene = Scene::new(V5);
    scene.options.timeouts.shutdown = Duration::from_millis(200);
    let (unblock, blocked) = std::sync::mpsc::channel();
    let handler = Box::new(Blocks(blocked));
    let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    client.ping().unwrap();
    peer.expect(&wire::PINGREQ);
    peer.send(&wire::PINGRESP);
    let closing = std::thread::spawn(move || {
        peer.expect(&wire::DISCONNECT);
        peer.expect_eof();
    });
    let error = client.shutdown().unwrap_err();
    assert!(error.to_string().contains("callback"), "{error}");
    closing.join().unwrap();
    drop(unblock);
    client.shutdown().unwrap();
}
