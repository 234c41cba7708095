//! A server that refuses a connection, or ends one.

use std::io::ErrorKind;
use std::time::Duration;

use flowsdk::mqtt_client::{MqttEvent, PropertyBlock};
use flowsdk::types::ProtocolVersion;

use crate::recorder::Log;
use crate::scripted_setup::{Scene, V3_1_1, V5, both, connack, publish};
use crate::support::wire;

/// How long nobody may connect before a test believes that nobody will: the back-off is at most 10 ms.
const NOBODY: Duration = Duration::from_millis(150);

fn refusal(version: ProtocolVersion, code: u8) -> Vec<u8> {
    if version.is_v5() { wire::connack_v5(&[], false, code) } else { wire::connack_v3(false, code) }
}

/// The client is refused while the broker keeps the socket: it closes and tells the code. Returns what it does next.
fn refused_once(version: ProtocolVersion, code: u8, reason_code: u8, description: &str) -> bool {
    let scene = Scene::new(version);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut peer = scene.accept_with(&refusal(version, code));
    peer.expect_eof();
    let result = log.connection(1);
    assert!(result.is_failure() && !result.is_success() && !result.session_present);
    assert_eq!((result.reason_code, result.return_code()), (reason_code, code));
    assert_eq!(result.reason_description(), description);
    assert_eq!(log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
    let retries = scene.broker.accept_within(NOBODY).is_some();
    if !retries {
        assert_eq!(log.error("the server refuses the connection"), ErrorKind::ConnectionRefused);
        assert_eq!(log.error(description), ErrorKind::ConnectionRefused);
        client.connect().unwrap();
        let _peer = scene.accept(false);
        assert!(log.connection(2).is_success());
    }
    retries
}

/// [MQTT-4.13.2-1] [MQTT-3.1.2-2]
#[test]
fn every_return_code_of_v3_1_1_is_told_and_only_a_server_that_may_recover_is_tried_again() {
    assert!(!refused_once(V3_1_1, 1, 0x84, "Connection Refused, unacceptable protocol version"));
    assert!(!refused_once(V3_1_1, 2, 0x85, "Connection Refused, identifier rejected"));
    assert!(refused_once(V3_1_1, 3, 0x88, "Connection Refused, Server unavailable"));
    assert!(!refused_once(V3_1_1, 4, 0x86, "Connection Refused, bad user name or password"));
    assert!(!refused_once(V3_1_1, 5, 0x87, "Connection Refused, not authorized"));
}

/// [MQTT-4.13.2-1] [MQTT-3.1.2-2]
#[test]
fn refusals_of_v5_are_told_and_only_those_that_may_pass_are_tried_again() {
    let never = [
        (0x84, "Unsupported Protocol Version"),
        (0x85, "Client Identifier not valid"),
        (0x86, "Bad User Name or Password"),
        (0x87, "Not authorized"),
        (0x8A, "Banned"),
        (0x9D, "Server moved"),
    ];
    for (code, description) in never {
        assert!(!refused_once(V5, code, code, description), "{code:#x}");
    }
    let later = [
        (0x80, "Unspecified error"),
        (0x88, "Server unavailable"),
        (0x89, "Server busy"),
        (0x97, "Quota exceeded"),
        (0x9F, "Connection rate exceeded"),
    ];
    for (code, description) in later {
        assert!(refused_once(V5, code, code, description), "{code:#x}");
    }
}

/// [MQTT-3.1.2-2]
#[test]
fn a_server_that_knows_only_earlier_versions_refuses_in_their_form_and_is_not_asked_again() {
    let scene = Scene::new(V5);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut peer = scene.accept_with(&wire::connack_v3(false, 1));
    peer.expect_eof();
    assert_eq!(log.connection(1).reason_code, 0x84);
    assert_eq!(log.error("Unsupported Protocol Version"), ErrorKind::ConnectionRefused);
    assert!(scene.broker.accept_within(NOBODY).is_none());
}

#[test]
fn the_properties_of_a_connack_are_told() {
    let scene = Scene::new(V5);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let properties = [&[0x1F][..], &wire::string("full"), &[0x26, 0, 1, b'k', 0, 1, b'v']].concat();
    let _peer = scene.accept_with(&wire::connack_v5(&properties, false, 0x97));
    let result = log.connection(1);
    assert_eq!(result.properties.reason_string(), Some("full"));
    assert_eq!(user_properties(&result.properties), [("k", "v")]);
}

fn user_properties<'b>(block: &'b PropertyBlock<'_>) -> Vec<(&'b str, &'b str)> {
    block.user_properties().collect()
}

#[test]
fn attempts_end_after_as_many_as_are_wanted_with_a_clear_error() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.max_reconnect_attempts = 2;
        let (client, log) = scene.client();
        client.connect().unwrap();
        for _ in 0..3 {
            scene.broker.accept().close();
        }
        assert_eq!(log.error("gave up after 2 reconnection attempts"), ErrorKind::NotConnected);
        assert!(scene.broker.accept_within(NOBODY).is_none());
        let attempts: Vec<_> = reconnect_attempts(&log);
        assert_eq!(attempts, [1, 2]);
        client.connect().unwrap();
        let _peer = scene.accept(false);
        assert!(log.connection(1).is_success());
    });
}

#[test]
fn connections_that_do_not_last_count_as_attempts() {
    let mut scene = Scene::new(V5);
    scene.config.max_reconnect_attempts = 2;
    let (client, log) = scene.client();
    client.connect().unwrap();
    for number in 1..=3 {
        let peer = scene.accept(false);
        log.connection(number);
        peer.close();
    }
    log.error("gave up after 2 reconnection attempts");
    assert_eq!(reconnect_attempts(&log), [1, 2]);
}

fn reconnect_attempts(log: &Log) -> Vec<u32> {
    log.with(|events| {
        let number = |event: &MqttEvent<'_>| match event {
            MqttEvent::ReconnectAttempt(number) => Some(*number),
            _ => None,
        };
        events.iter().filter_map(number).collect()
    })
}

/// [MQTT-4.13.2-1]
#[test]
fn a_disconnect_of_the_server_that_will_not_pass_stops_the_client_which_says_why() {
    for (code, text) in [(0x87, "authorized"), (0x9D, "moved")] {
        let scene = Scene::new(V5);
        let mut live = scene.connected();
        live.peer.send(&wire::disconnect_v5(code, &[]));
        live.peer.expect_eof();
        assert_eq!(live.log.disconnected(), Some(code));
        assert_eq!(live.log.error(text), ErrorKind::ConnectionAborted);
        assert!(scene.broker.accept_within(NOBODY).is_none());
        live.client.connect().unwrap();
        let _peer = scene.accept(false);
        assert!(live.log.connection(2).is_success());
    }
}

/// [MQTT-4.13.2-1]
#[test]
fn a_disconnect_of_the_server_that_may_pass_is_followed_by_another_attempt() {
    for code in [0x8B, 0x89, 0x8D, 0x97, 0x98, 0x00] {
        let scene = Scene::new(V5);
        let mut live = scene.connected();
        live.peer.send(&wire::disconnect_v5(code, &[]));
        live.peer.expect_eof();
        assert_eq!(live.log.disconnected(), Some(code));
        let _peer = scene.accept(false);
        assert!(live.log.connection(2).is_success());
        assert_eq!(live.log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
        assert_eq!(reconnect_attempts(&live.log), [1]);
    }
}

#[test]
fn messages_before_a_disconnect_of_the_server_are_delivered_before_it_is_told() {
    let mut live = Scene::new(V5).connected();
    let last_words = [publish(V5, 0, "t", None, b"last"), wire::disconnect_v5(0x8B, &[])].concat();
    live.peer.send(&last_words);
    live.log.disconnected();
    assert_eq!(live.log.words()[1..3], ["message t last qos 0 dup false", "disconnected Some(139)"]);
}

#[test]
fn neither_of_the_switches_alone_makes_the_client_reconnect() {
    both(|version| {
        for (reconnect, auto_reconnect) in [(false, true), (true, false), (false, false)] {
            let mut scene = Scene::new(version);
            scene.options.reconnect = reconnect;
            scene.config.auto_reconnect = auto_reconnect;
            let live = scene.connected();
            live.peer.close();
            live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
            assert!(scene.broker.accept_within(NOBODY).is_none());
            assert!(reconnect_attempts(&live.log).is_empty());
            live.client.connect().unwrap();
            let _peer = scene.accept(false);
            assert!(live.log.connection(2).is_success());
        }
    });
}

#[test]
fn reconnection_can_be_turned_off_and_on() {
    both(|version| {
        let scene = Scene::new(version);
        let live = scene.connected();
        live.client.set_auto_reconnect(false).unwrap();
        // The ping shows that the worker has got that far.
        let mut peer = live.peer;
        live.client.ping().unwrap();
        peer.expect(&wire::PINGREQ);
        peer.close();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        assert!(scene.broker.accept_within(NOBODY).is_none());
        live.client.set_auto_reconnect(true).unwrap();
        live.client.connect().unwrap();
        let peer = scene.accept(false);
        live.log.connection(2);
        peer.close();
        let _peer = scene.accept(false);
        assert!(live.log.connection(3).is_success());
    });
}

#[test]
fn the_delay_before_an_attempt_keeps_to_its_bounds() {
    let mut scene = Scene::new(V5);
    scene.config.reconnect_delay_ms = 3_600_000;
    scene.config.max_reconnect_delay_ms = 20;
    let live = scene.connected();
    live.peer.close();
    // A random part of an hour would not end within the patience of a test, but for the longest delay.
    let _peer = scene.accept(false);
    live.log.connection(2);

    let mut scene = Scene::new(V5);
    scene.config.reconnect_delay_ms = 3_600_000;
    scene.config.max_reconnect_delay_ms = 3_600_000;
    let live = scene.connected();
    live.peer.close();
    live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
    assert!(scene.broker.accept_within(NOBODY).is_none());
    live.client.shutdown().unwrap();
}

#[test]
fn a_connect_timeout_ends_an_attempt_at_a_broker_that_says_nothing() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.timeouts.connect = Duration::from_millis(100);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut silent = scene.broker.accept();
        silent.expect_connect();
        silent.expect_eof();
        assert_eq!(log.error(""), ErrorKind::TimedOut);
        log.wait_for_count(1, |event| matches!(event, MqttEvent::ReconnectAttempt(1)));
        let _peer = scene.accept(false);
        assert!(log.connection(1).is_success());
        assert_eq!(log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
    });
}

#[test]
fn a_broker_that_closes_right_after_connect_is_tried_again() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.close();
        let told = "the server has closed the connection without an answer to CONNECT";
        let guess = if version.is_v5() { ": it may not know MQTT 5.0" } else { "" };
        let is_told = |event: &MqttEvent<'_>| matches!(event, MqttEvent::Error(error) if error.to_string() == format!("{told}{guess}"));
        log.wait_for_count(1, is_told);
        assert_eq!(log.error(told), ErrorKind::UnexpectedEof);
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.reset();
        let _peer = scene.accept(false);
        assert!(log.connection(1).is_success());
    });
}

#[test]
fn a_port_where_nobody_listens_is_told_and_tried_again() {
    let mut scene = Scene::new(V5);
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    scene.options.peer = free.to_string();
    scene.config.max_reconnect_attempts = 1;
    let (client, log) = scene.client();
    client.connect().unwrap();
    assert_eq!(log.error(&format!("cannot connect to {free}")), ErrorKind::ConnectionRefused);
    assert_eq!(log.error("gave up after 1"), ErrorKind::NotConnected);
}

#[test]
fn the_server_may_claim_a_session_only_where_the_client_has_not_asked_for_a_new_one() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut peer = scene.accept_with(&connack(version, true));
        if version.is_v5() {
            peer.expect(&[0xE0, 1, 0x82]);
        }
        peer.expect_eof();
        log.error("claims a session");
        assert_eq!(log.count(|event| matches!(event, MqttEvent::Connected(_))), 0);
    });
}
