//! Keep-alive: PINGREQ in time, and a server that has gone silent.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{ClientError, MqttEvent, PublishOptions};

use crate::scripted_setup::{Scene, V5, both, publish};
use crate::support::{PATIENCE, wire};

/// A keep-alive of one second, and what a PINGREQ may be late on a busy machine.
const IN_TIME: Duration = Duration::from_millis(1500);

/// [MQTT-3.1.2-20]
#[test]
fn a_quiet_link_gets_a_pingreq_within_the_keep_alive() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.keep_alive = 1;
        let mut live = scene.connected();
        let mut last = Instant::now();
        for _ in 0..2 {
            live.peer.expect(&wire::PINGREQ);
            assert!(last.elapsed() > Duration::from_millis(500) && last.elapsed() < IN_TIME);
            last = Instant::now();
            live.peer.send(&wire::PINGRESP);
        }
        // These are the client's own: no callback tells of them.
        assert_eq!(live.log.count(|event| matches!(event, MqttEvent::PingResponse(_))), 0);
    });
}

/// [MQTT-3.1.2-20]
#[test]
fn a_link_that_only_receives_gets_a_pingreq_too() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.keep_alive = 1;
        let mut live = scene.connected();
        let begin = Instant::now();
        let mut writer = live.peer.writer();
        let sender = std::thread::spawn(move || {
            let message = publish(version, 0, "t", None, b"x");
            while std::io::Write::write_all(&mut writer, &message).is_ok() && begin.elapsed() < IN_TIME {
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        live.peer.expect(&wire::PINGREQ);
        assert!(begin.elapsed() < IN_TIME);
        sender.join().unwrap();
    });
}

#[test]
fn a_link_that_only_sends_qos_0_gets_a_pingreq_too_and_a_silent_server_is_found() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.keep_alive = 1;
        scene.options.timeouts.ping = Duration::from_millis(300);
        let mut live = scene.connected();
        let begin = Instant::now();
        let mut pinged = false;
        loop {
            // The link may be lost and the buffer take the message: both are fine.
            let _ = live.client.publish("t", b"x", 0, false);
            match live.peer.read_packet_or_eof() {
                Some(packet) if packet == wire::PINGREQ => pinged = true,
                Some(packet) => assert_eq!(packet[0], 0x30),
                None => break,
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        assert!(pinged && begin.elapsed() < IN_TIME + Duration::from_millis(500));
        assert_eq!(live.log.error("PINGRESP"), ErrorKind::TimedOut);
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
    });
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-21]
#[test]
fn the_keep_alive_of_the_server_replaces_that_of_the_options() {
    let mut scene = Scene::new(V5);
    scene.options.keep_alive = 60;
    let mut live = scene.connected_with(&wire::connack_v5(&[0x13, 0, 1], false, 0));
    let begin = Instant::now();
    live.peer.expect(&wire::PINGREQ);
    assert!(begin.elapsed() < IN_TIME);
}

#[test]
fn a_keep_alive_of_zero_never_pings_whoever_says_so() {
    let none = std::thread::spawn(|| {
        let mut live = Scene::new(V5).connected();
        live.peer.expect_silence(IN_TIME);
    });
    let mut scene = Scene::new(V5);
    scene.options.keep_alive = 1;
    let mut live = scene.connected_with(&wire::connack_v5(&[0x13, 0, 0], false, 0));
    live.peer.expect_silence(IN_TIME);
    none.join().unwrap();
}

#[test]
fn a_broker_that_stops_answering_is_found_within_keep_alive_and_ping_timeout() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.keep_alive = 1;
        scene.options.timeouts.ping = Duration::from_millis(200);
        let mut live = scene.connected();
        let begin = Instant::now();
        live.peer.expect(&wire::PINGREQ);
        live.peer.expect_eof();
        assert!(begin.elapsed() < IN_TIME + Duration::from_millis(200));
        assert_eq!(live.log.error("no PINGRESP"), ErrorKind::TimedOut);
        let _peer = scene.accept(false);
        live.log.connection(2);
    });
}

#[test]
fn pings_that_are_not_answered_take_places_in_the_command_queue() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.command_queue_size = 3;
        let (client, log) = scene.client();
        for _ in 0..3 {
            client.ping().unwrap();
        }
        // The worker has nothing to do with them yet.
        assert_eq!(client.ping(), Err(ClientError::QueueFull));
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&wire::PINGREQ);
        assert_eq!(client.ping(), Err(ClientError::QueueFull));
        peer.send(&wire::PINGRESP);
        log.wait_for_count(3, |event| matches!(event, MqttEvent::PingResponse(result) if result.success));
        // The places are given back at the end of the turn that has told of them.
        let token = client.publish_wait("t", b"", &PublishOptions::default(), PATIENCE);
        assert!(token.is_ok(), "{token:?}");
        peer.expect_type(3);
        client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
        peer.close();
        log.wait_for_event(|event| matches!(event, MqttEvent::PingResponse(result) if !result.success).then_some(()));
    });
}
