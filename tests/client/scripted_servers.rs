//! Which server is tried, as whom, and what is not tried again.

use std::io;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowsdk::mqtt_client::{
    ConnectionError, Credentials, CredentialsProvider, MqttClientOptions, MqttEvent, Redirects, Secret,
};
use flowsdk::types::ReasonCode;

use crate::recorder::Log;
use crate::scripted_setup::{PACKET_SIZE, Scene, V5, both, connack, connect};
use crate::support::scripted_broker::{Peer, ScriptedBroker};
use crate::support::wire;

/// How long nobody may connect before a test believes that nobody will: the back-off is at most 10 ms.
const NOBODY: Duration = Duration::from_millis(150);

/// A loopback address where nobody listens.
fn refusing_address() -> String {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().to_string()
}

/// Waits for the first error of this kind.
#[track_caller]
fn connection_error(log: &Log, wanted: fn(&ConnectionError) -> bool) -> ConnectionError {
    log.wait_for_event(|event| match event {
        MqttEvent::Error(error) => {
            error.get_ref()?.downcast_ref::<ConnectionError>().filter(|error| wanted(error)).cloned()
        }
        _ => None,
    })
}

/// Takes a connection at another broker than that of the scene.
#[track_caller]
fn accept_at(broker: &ScriptedBroker, connack: &[u8]) -> Peer {
    let mut peer = broker.accept();
    peer.expect_connect();
    peer.send(connack);
    peer
}

#[test]
fn a_session_that_is_taken_over_is_left_alone_for_long_and_says_why() {
    let mut scene = Scene::new(V5);
    scene.config.max_reconnect_delay_ms = 600;
    let mut live = scene.connected();
    live.peer.send(&wire::disconnect_v5(0x8E, &[]));
    live.peer.expect_eof();
    assert_eq!(live.log.disconnected(), Some(0x8E));
    let error = connection_error(&live.log, |error| matches!(error, ConnectionError::ClientIdInUse { .. }));
    assert_eq!(error, ConnectionError::ClientIdInUse { client_id: "c".to_string(), is_certain: true });
    assert_eq!(live.log.error("another client with the same client identifier"), io::ErrorKind::ConnectionAborted);
    assert!(scene.broker.accept_within(Duration::from_millis(250)).is_none(), "at least half of the longest delay");
    let _peer = scene.accept(false);
    assert!(live.log.connection(2).is_success());
}

#[test]
fn connections_that_are_closed_again_and_again_right_after_connack_look_like_a_second_client() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.max_reconnect_delay_ms = 600;
        scene.config.reconnect_delay_ms = 1;
        let (client, log) = scene.client();
        client.connect().unwrap();
        for number in 1..=3 {
            let peer = scene.accept(false);
            log.connection(number);
            peer.close();
        }
        let error = connection_error(&log, |error| matches!(error, ConnectionError::ClientIdInUse { .. }));
        assert_eq!(error, ConnectionError::ClientIdInUse { client_id: "c".to_string(), is_certain: false });
        assert!(scene.broker.accept_within(Duration::from_millis(250)).is_none(), "at least half of the longest delay");
        let _peer = scene.accept(false);
        assert!(log.connection(4).is_success());
    });
}

#[test]
fn attempts_are_counted_anew_once_a_connection_has_held() {
    both(|version| {
        for (stable_after, numbers) in [(Duration::ZERO, [1; 4]), (Duration::from_secs(60), [1, 2, 3, 4])] {
            let mut scene = Scene::new(version);
            scene.options.connecting.stable_after = stable_after;
            let live = scene.connected();
            let mut peer = live.peer;
            for number in 2..=5 {
                peer.close();
                peer = scene.accept(false);
                live.log.connection(number);
            }
            let attempts = live.log.with(|events| {
                let number = |event: &MqttEvent<'_>| match event {
                    MqttEvent::ReconnectAttempt(number) => Some(*number),
                    _ => None,
                };
                events.iter().filter_map(number).collect::<Vec<_>>()
            });
            assert_eq!(attempts, numbers);
            let clash = live.log.with(|events| format!("{events:?}").contains("ClientIdInUse"));
            assert_eq!(clash, stable_after > Duration::ZERO);
        }
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_followed_by_the_next_one_in_the_same_attempt() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.connecting.servers = vec![refusing_address(), scene.options.peer];
        scene.options.peer = refusing_address();
        scene.config.max_reconnect_attempts = 1;
        let live = scene.connected();
        assert_eq!(live.log.words(), ["connected 0x00 session false"]);
        // The way back begins with the server that was reached.
        live.peer.close();
        let _peer = scene.accept(false);
        assert!(live.log.connection(2).is_success());
    });
}

#[test]
fn every_server_that_cannot_be_reached_is_named() {
    let mut scene = Scene::new(V5);
    let addresses = [refusing_address(), refusing_address()];
    scene.options.peer = addresses[0].clone();
    scene.options.connecting.servers = vec![addresses[1].clone()];
    let (client, log) = scene.client();
    client.connect().unwrap();
    for address in &addresses {
        assert_eq!(log.error(&format!("cannot connect to {address}")), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_server_that_refuses_or_goes_away_is_followed_by_the_next_one_in_the_next_attempt() {
    let other = ScriptedBroker::bind();
    let mut scene = Scene::new(V5);
    scene.options.connecting.servers = vec![other.address().to_string()];
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut busy = scene.accept_with(&wire::connack_v5(&[], false, 0x89));
    busy.expect_eof();
    let mut leaving = accept_at(&other, &connack(V5, false));
    assert!(log.connection(2).is_success());
    leaving.send(&wire::disconnect_v5(0x8B, &[]));
    leaving.expect_eof();
    let _peer = scene.accept(false);
    assert!(log.connection(3).is_success());
}

#[test]
fn the_provider_is_asked_before_each_attempt_on_the_thread_that_connects() {
    both(|version| {
        let mut scene = Scene::new(version);
        let threads = Arc::new(Mutex::new(Vec::new()));
        let (number, seen) = (AtomicUsize::new(1), Arc::clone(&threads));
        scene.options.username = Some("never seen".to_string());
        scene.options.connecting.credentials = Some(CredentialsProvider::new(move || {
            seen.lock().unwrap().push(std::thread::current().name().map(str::to_string));
            let token = format!("token {}", number.fetch_add(1, Ordering::SeqCst));
            Ok(Credentials { username: Some("u".to_string()), password: Some(Secret::from(token)) })
        }));
        let (client, log) = scene.client();
        client.connect().unwrap();
        for attempt in 1..=3 {
            let mut peer = scene.broker.accept();
            let token = wire::string(&format!("token {attempt}"));
            let expected = connect(version, 0xC2, 0, &PACKET_SIZE, &[&wire::string("c"), &wire::string("u"), &token]);
            peer.expect(&expected);
            peer.send(&connack(version, false));
            log.connection(attempt);
            peer.close();
        }
        let threads = threads.lock().unwrap();
        assert!(threads.iter().all(|name| name.as_deref() == Some("flowsdk connect")), "{threads:?}");
    });
}

#[test]
fn a_provider_that_fails_or_panics_fails_its_attempt_and_is_asked_again() {
    let mut scene = Scene::new(V5);
    let calls = AtomicUsize::new(0);
    scene.options.connecting.credentials =
        Some(CredentialsProvider::new(move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "no token yet")),
            1 => panic!("a provider with a fault"),
            _ => Ok(Credentials::default()),
        }));
    let (client, log) = scene.client();
    client.connect().unwrap();
    let _peer = scene.accept(false);
    assert!(log.connection(1).is_success());
    assert_eq!(log.error("no credentials: no token yet"), io::ErrorKind::NotFound);
    assert_eq!(log.error("provider has panicked"), io::ErrorKind::Other);
}

#[test]
fn credentials_that_are_refused_are_asked_for_once_more_before_the_client_stops() {
    both(|version| {
        for (code, return_code) in [(0x86, 4), (0x87, 5)] {
            let refusal =
                if version.is_v5() { wire::connack_v5(&[], false, code) } else { wire::connack_v3(false, return_code) };
            let mut scene = Scene::new(version);
            scene.options.connecting.credentials = Some(CredentialsProvider::new(|| Ok(Credentials::default())));
            let (client, log) = scene.client();
            client.connect().unwrap();
            scene.accept_with(&refusal).expect_eof();
            assert_eq!(log.connection(1).reason_code, code);
            scene.accept_with(&refusal).expect_eof();
            let error = connection_error(&log, |error| matches!(error, ConnectionError::Refused { .. }));
            let ConnectionError::Refused { reason, .. } = error else { unreachable!("as waited for") };
            assert_eq!(reason.byte(), code);
            assert!(scene.broker.accept_within(NOBODY).is_none());
            // What was refused is forgotten with the next call.
            client.connect().unwrap();
            scene.accept_with(&refusal).expect_eof();
            let _peer = scene.accept(false);
            assert!(log.connection(4).is_success());
        }
    });
}

/// The property Server Reference.
fn reference(broker: &ScriptedBroker) -> Vec<u8> {
    [&[0x1C][..], &wire::string(&broker.address().to_string())].concat()
}

fn following(options: &mut MqttClientOptions) {
    options.connecting.redirects = Redirects::Follow;
}

#[test]
fn a_server_that_refers_to_another_one_is_not_followed_unless_the_options_say_so() {
    let other = ScriptedBroker::bind();
    let scene = Scene::new(V5);
    let (client, log) = scene.client();
    client.connect().unwrap();
    scene.accept_with(&wire::connack_v5(&reference(&other), false, 0x9C)).expect_eof();
    let error = connection_error(&log, |error| matches!(error, ConnectionError::Refused { .. }));
    let ConnectionError::Refused { reason, server_reference, .. } = error else { unreachable!("as waited for") };
    assert_eq!(reason, ReasonCode::USE_ANOTHER_SERVER);
    assert_eq!(server_reference, Some(other.address().to_string()));
    log.error(&format!("(use {})", other.address()));
    assert!(scene.broker.accept_within(NOBODY).is_none() && other.accept_within(Duration::ZERO).is_none());
}

#[test]
fn another_server_is_used_for_one_connection() {
    let other = ScriptedBroker::bind();
    let mut scene = Scene::new(V5);
    following(&mut scene.options);
    let (client, log) = scene.client();
    client.connect().unwrap();
    scene.accept_with(&wire::connack_v5(&reference(&other), false, 0x9C)).expect_eof();
    let peer = accept_at(&other, &connack(V5, false));
    assert!(log.connection(2).is_success());
    peer.close();
    let _peer = scene.accept(false);
    assert!(log.connection(3).is_success());
}

#[test]
fn a_server_that_has_moved_is_found_there_until_connect_is_called() {
    let other = ScriptedBroker::bind();
    let mut scene = Scene::new(V5);
    following(&mut scene.options);
    let mut live = scene.connected();
    live.peer.send(&wire::disconnect_v5(0x9D, &reference(&other)));
    live.peer.expect_eof();
    for number in 2..=3 {
        let peer = accept_at(&other, &connack(V5, false));
        assert!(live.log.connection(number).is_success());
        peer.close();
    }
    let mut peer = accept_at(&other, &connack(V5, false));
    live.log.connection(4);
    live.client.disconnect().unwrap();
    peer.expect(&wire::DISCONNECT);
    peer.close();
    live.log.wait_for_count(2, |event| matches!(event, MqttEvent::Disconnected(_)));
    live.client.connect().unwrap();
    let _peer = scene.accept(false);
    assert!(live.log.connection(5).is_success());
}

#[test]
fn a_reference_to_nothing_that_can_be_used_stops_the_client() {
    for properties in [Vec::new(), [&[0x1C][..], &wire::string("ftp://x")].concat()] {
        let mut scene = Scene::new(V5);
        following(&mut scene.options);
        let (client, log) = scene.client();
        client.connect().unwrap();
        scene.accept_with(&wire::connack_v5(&properties, false, 0x9D)).expect_eof();
        log.error("Server moved");
        assert!(scene.broker.accept_within(NOBODY).is_none());
    }
}
