//! WebSockets over TLS: `wss://`.

use std::io::ErrorKind;
use std::sync::mpsc::channel;

use flowsdk::mqtt_client::TlsError;

use crate::pki::{Ca, Leaf};
use crate::scene::{NAMES, connected, connecting, options, shut_down, tls_error, trusting};
use crate::server::{ALL, Script, Server, Stream, config, script, tls};
use crate::support::websocket::{BINARY, CLOSE, PING, PONG, WebSocketPeer};
use crate::support::{PATIENCE, wire};

/// What a client of `wss://` says of a server that is bad, before it reaches a good one at the same port.
#[track_caller]
pub(crate) fn error_before_success(first: impl Fn(&Ca, &Leaf) -> Script) -> (ErrorKind, String, TlsError) {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let server = Server::start(vec![first(&ca, &leaf), good(&leaf)]);
    let mut options = options(&server, trusting(&ca));
    options.peer = format!("wss://localhost:{}", server.port);
    let (client, told) = connecting(options);
    let error = tls_error(&told);
    connected(&told);
    shut_down(&client);
    assert!(error.1.starts_with("cannot connect to wss://localhost:"), "{}", error.1);
    error
}

/// Opens a WebSocket, accepts CONNECT, and waits for the end.
fn good(leaf: &Leaf) -> Script {
    let config = config(leaf, ALL);
    script(move |stream| {
        let mut peer = accept(WebSocketPeer::new(tls(config, stream)));
        peer.expect(&wire::DISCONNECT);
        peer.expect_frame(CLOSE, &1000_u16.to_be_bytes());
    })
}

fn accept(mut peer: WebSocketPeer<Stream>) -> WebSocketPeer<Stream> {
    peer.upgrade();
    assert_eq!(peer.read_packet()[0], 0x10, "CONNECT");
    peer.send_frame(BINARY, &wire::connack_v5(&[], false, 0));
    peer
}

#[test]
fn frames_and_packets_that_claim_to_be_enormous_cost_no_more_than_the_connection() {
    let ca = Ca::new("ca");
    let leaf = ca.leaf(NAMES);
    let (first, second) = (config(&leaf, ALL), config(&leaf, ALL));
    let frame = script(move |stream| {
        let mut peer = accept(WebSocketPeer::new(tls(first, stream)));
        // It comes as it is, whatever its length, and what is in it has a bound of its own.
        peer.send(&[BINARY, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]);
        peer.send(&wire::publish_v5(0, "t", None, &[], b"within"));
        peer.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
        assert_eq!(peer.read_packet()[..3], [0xE0, 1, 0x95]);
    });
    let longest = script(move |stream| {
        let mut peer = accept(WebSocketPeer::new(tls(second, stream)));
        peer.send(&[BINARY, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(peer.read_frame(), (CLOSE, 1002_u16.to_be_bytes().to_vec()));
    });
    let server = Server::start(vec![frame, longest, good(&leaf)]);
    let mut options = options(&server, trusting(&ca));
    options.peer = format!("wss://localhost:{}", server.port);
    let (client, log) = connecting(options);
    assert!(log.connection(3).is_success());
    assert_eq!(log.messages(1)[0].payload, &b"within"[..]);
    assert_eq!(log.error("a frame longer than there are over the WebSocket"), ErrorKind::InvalidData);
    shut_down(&client);
}

/// [MQTT-6.0.0-1] [MQTT-6.0.0-3]
#[test]
fn mqtt_travels_in_a_websocket_within_tls() {
    let ca = Ca::new("ca");
    let leaf = ca.leaf(NAMES);
    let long = vec![7; 300_000];
    let outward = wire::publish_v5(0, "t", None, &[], &long);
    let (sender, request) = channel();
    let server = Server::start(vec![script(move |stream| {
        let mut peer = WebSocketPeer::new(tls(config(&leaf, ALL), stream));
        sender.send(peer.upgrade()).unwrap();
        assert_eq!(peer.read_packet()[0], 0x10, "CONNECT");
        peer.send_frame(BINARY, &wire::connack_v5(&[], false, 0));
        peer.expect(&outward);
        peer.send_frame(PING, b"?");
        peer.expect_frame(PONG, b"?");
        peer.send_frame(BINARY, &outward);
        peer.expect(&wire::DISCONNECT);
        peer.expect_frame(CLOSE, &1000_u16.to_be_bytes());
        peer.send_frame(CLOSE, &1000_u16.to_be_bytes());
        peer.expect_eof();
    })]);
    let mut options = options(&server, trusting(&ca));
    options.peer = format!("wss://localhost:{}/a?b", server.port);
    let (client, log) = connecting(options);
    let request = request.recv_timeout(PATIENCE).unwrap();
    assert!(request.starts_with(&format!("GET /a?b HTTP/1.1\r\nHost: localhost:{}\r\n", server.port)), "{request}");
    assert!(log.connection(1).is_success());
    client.publish("t", &long, 0, false).unwrap();
    assert_eq!(log.messages(1)[0].payload, &[7; 300_000][..]);
    shut_down(&client);
    server.wait_for(1);
}

#[test]
fn an_upgrade_that_is_refused_within_tls_is_told() {
    let ca = Ca::new("ca");
    let leaf = ca.leaf(NAMES);
    let server = Server::start(vec![script(move |stream| {
        let mut peer = WebSocketPeer::new(tls(config(&leaf, ALL), stream));
        peer.upgrade_with("HTTP/1.1 200 OK\r\n\r\n");
    })]);
    let mut options = options(&server, trusting(&ca));
    options.peer = format!("wss://localhost:{}", server.port);
    let (client, log) = connecting(options);
    assert_eq!(log.error("the WebSocket upgrade: it answers HTTP/1.1 200 OK"), ErrorKind::ConnectionRefused);
    shut_down(&client);
}
