//! WebSockets over TLS: `wss://`.

use std::io::ErrorKind;
use std::sync::mpsc::channel;

use crate::pki::Ca;
use crate::scene::{NAMES, connecting, options, shut_down, trusting};
use crate::server::{ALL, Server, config, script, tls};
use crate::support::websocket::{BINARY, CLOSE, PING, PONG, WebSocketPeer};
use crate::support::{PATIENCE, wire};

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
