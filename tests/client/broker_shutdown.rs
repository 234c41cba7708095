//! The end of a client, in every phase.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ClientError, MqttClientOptions, MqttEvent, Outcome, Timeouts, Will,
};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, options, qos, quick};
use crate::support::PATIENCE;
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::scripted_broker::{ScriptedBroker, unanswering_address};
use crate::support::wire;

const V5: ProtocolVersion = ProtocolVersion::V5;
const DRAIN: Duration = Duration::from_millis(200);
/// What a slow machine adds to a deadline.
const SLACK: Duration = Duration::from_secs(3);

fn draining(address: SocketAddr) -> MqttClientOptions {
    let timeouts = Timeouts { drain: DRAIN, ..Timeouts::default() };
    MqttClientOptions { timeouts, ..options(address, "client", V5) }
}

/// A loopback address where nobody listens.
fn refusing_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

#[track_caller]
fn shut_down_within(client: &Client, limit: Duration) {
    let start = Instant::now();
    client.shutdown().unwrap();
    assert!(start.elapsed() < limit, "it took {:?}", start.elapsed());
}

#[test]
fn a_callback_shuts_its_client_down() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let (sender, results) = channel();
        let client = Client::acting(options(broker.address(), "client", version), quick(), move |client, event| {
            if is_message(event) {
                let results = [client.shutdown(), client.shutdown(), client.publish("t", b"", 0, false).map(drop)];
                sender.send(results).unwrap();
            }
            true
        });
        client.connect_and_wait();
        client.subscribed("t", 1);
        let token = client.publish("t", b"end", 1, false).unwrap();
        assert_eq!(results.recv_timeout(PATIENCE).unwrap(), [Ok(()), Ok(()), Err(ClientError::ShutDown)]);
        shut_down_within(&client, SLACK);
        assert!(client.log.published(token).is_success());
        client.log.disconnected();
    }
}

#[test]
fn a_client_is_shut_down_once_by_many_threads_and_refuses_calls_then() {
    let broker = EmbeddedBroker::start().unwrap();
    let client = Client::connected(options(broker.address(), "client", V5));
    let token = client.publish("t", b"x", 2, false).unwrap();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.shutdown())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    shut_down_within(&client, SLACK);
    assert!(client.log.published(token).is_success());
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::Disconnected(_))), 1);
    assert_eq!(client.connect(), Err(ClientError::ShutDown));
    assert_eq!(client.publish("t", b"", 0, false), Err(ClientError::ShutDown));
    assert_eq!(client.subscribe("t", 0), Err(ClientError::ShutDown));
    assert_eq!(client.ping(), Err(ClientError::ShutDown));
    assert_eq!(client.disconnect(), Err(ClientError::ShutDown));
}

#[test]
fn a_client_that_never_connected_is_shut_down_at_once() {
    let client = Client::new(options(refusing_address(), "client", V5), AsyncClientConfig::default());
    let token = client.publish("t", b"kept", 1, false).unwrap();
    shut_down_within(&client, SLACK);
    assert_eq!(client.log.published(token).outcome, Outcome::Cancelled);
}

#[test]
fn a_shutdown_during_the_back_off_does_not_wait_for_it() {
    let config = AsyncClientConfig {
        reconnect_delay_ms: 3_600_000,
        max_reconnect_delay_ms: 3_600_000,
        ..AsyncClientConfig::default()
    };
    let client = Client::new(draining(refusing_address()), config);
    client.connect().unwrap();
    assert_eq!(client.log.error("cannot connect"), io::ErrorKind::ConnectionRefused);
    let token = client.publish("t", b"kept", 1, false).unwrap();
    shut_down_within(&client, DRAIN + SLACK);
    assert_eq!(client.log.published(token).outcome, Outcome::Cancelled);
}

#[test]
fn a_shutdown_does_not_wait_for_an_address_that_never_answers() {
    let (address, _guard) = unanswering_address();
    let client = Client::new(draining(address), AsyncClientConfig::default());
    client.connect().unwrap();
    shut_down_within(&client, SLACK);

    let client = Client::new(draining(address), AsyncClientConfig::default());
    client.connect().unwrap();
    let tokens = [0, 1, 2].map(|qos_level| client.publish("t", b"kept", qos_level, false).unwrap());
    shut_down_within(&client, DRAIN + SLACK);
    for token in tokens {
        assert_eq!(client.log.published(token).outcome, Outcome::Cancelled);
    }
}

#[test]
fn a_dropped_client_disconnects_and_ends_its_threads() {
    let broker = EmbeddedBroker::start().unwrap();
    let witness = Client::connected(options(broker.address(), "witness", V5));
    witness.subscribed("#", 1);
    let will = Some(Will::new("will", b"fired", 1, false));
    let alive = Arc::new(());
    let (handler_owns, options_of) =
        (Arc::clone(&alive), MqttClientOptions { will, ..options(broker.address(), "client", V5) });
    let client = Client::acting(options_of, quick(), move |_, _| Arc::strong_count(&handler_owns) > 0);
    client.connect_and_wait();
    client.publish("t", b"delivered", 1, false).unwrap();
    drop(client);
    // The last hold on the client may be that of a callback, and then it is not waited for.
    crate::support::wait_until(PATIENCE, || Arc::strong_count(&alive) == 1);
    assert_eq!(witness.payloads(1), ["delivered"]);
    witness.published("mark", b"mark", &qos(1));
    assert_eq!(witness.payloads(2), ["delivered", "mark"], "no will is fired");
}

#[test]
fn a_client_is_dropped_while_an_address_never_answers() {
    let (address, _guard) = unanswering_address();
    let client = AsyncMqttClient::with_receiver(draining(address), AsyncClientConfig::default()).unwrap();
    client.0.connect().unwrap();
    let start = Instant::now();
    drop(client);
    assert!(start.elapsed() < SLACK);
}

#[test]
fn a_shutdown_lets_go_of_a_callback_that_does_not_return() {
    let broker = EmbeddedBroker::start().unwrap();
    let (release, released) = channel::<()>();
    let (sender, entered) = channel();
    let timeouts = Timeouts { shutdown: Duration::from_millis(300), ..Timeouts::default() };
    let options_of = MqttClientOptions { timeouts, ..options(broker.address(), "client", V5) };
    let client = Client::acting(options_of, quick(), move |_, event| {
        if is_message(event) {
            sender.send(()).unwrap();
            // It ends with an error when the test lets go of the other end.
            let _ = released.recv();
        }
        true
    });
    client.connect_and_wait();
    client.subscribed("t", 0);
    client.publish("t", b"", 0, false).unwrap();
    entered.recv_timeout(PATIENCE).unwrap();
    let start = Instant::now();
    let result = client.shutdown();
    assert!(
        matches!(result, Err(ClientError::StillRunning { thread: "callback thread", .. })),
        "{result:?} after {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() < SLACK);
    drop(release);
    client.log.disconnected();
    crate::support::wait_until(PATIENCE, || client.shutdown().is_ok());
}

#[test]
fn what_no_broker_acknowledges_is_cancelled_after_the_drain() {
    for disconnects_first in [false, true] {
        let broker = ScriptedBroker::bind();
        let client = Client::new(draining(broker.address()), AsyncClientConfig::default());
        client.connect().unwrap();
        let mut peer = broker.accept();
        peer.expect_connect();
        peer.send(&wire::connack_v5(&[], false, 0));
        client.log.connection(1);
        let tokens = [1, 2].map(|qos_level| client.publish("t", b"", qos_level, false).unwrap());
        let request = client.subscribe("t", 1).unwrap();
        let mut first_bytes = [(); 3].map(|()| peer.read_packet()[0]);
        first_bytes.sort_unstable();
        assert_eq!(first_bytes, [0x32, 0x34, 0x82], "PUBLISH, PUBLISH, SUBSCRIBE");
        if disconnects_first {
            client.disconnect().unwrap();
        }
        let closing = thread::spawn(move || {
            peer.expect(&wire::DISCONNECT);
            peer.expect_eof();
        });
        shut_down_within(&client, DRAIN + SLACK);
        closing.join().unwrap();
        for token in tokens {
            assert_eq!(client.log.published(token).outcome, Outcome::Cancelled);
        }
        assert_eq!(client.log.subscribed(request).outcome, Outcome::Cancelled);
    }
}

#[test]
fn a_socket_that_takes_no_more_does_not_hold_up_the_shutdown() {
    let broker = ScriptedBroker::bind();
    let client = Client::new(draining(broker.address()), quick());
    client.connect().unwrap();
    let mut peer = broker.accept();
    peer.expect_connect();
    peer.send(&wire::connack_v5(&[], false, 0));
    client.log.connection(1);
    let payload = vec![0; 12_000_000];
    let token = client.publish("t", &payload, 0, false).unwrap();
    shut_down_within(&client, DRAIN + SLACK);
    assert!(!client.log.published(token).is_success());
}
