//! MQTT over WebSockets, against servers that keep to the rules and servers that do not.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncMqttClient, MqttClientOptions, MqttEvent, MqttEventHandler};
use flowsdk::types::ProtocolVersion;

use crate::recorder::Log;
use crate::scripted_setup::{Scene, V5, both, connack, publish};
use crate::support::websocket::{BINARY, CLOSE, PING, PONG, SWITCHING, WebSocketPeer, frame};
use crate::support::wire;

/// What a client is made with that connects by a WebSocket.
fn scene(version: ProtocolVersion) -> Scene {
    let mut scene = Scene::new(version);
    scene.options.peer = format!("ws://{}", scene.broker.address());
    scene
}

/// Takes a connection, opens the WebSocket and answers CONNECT.
#[track_caller]
fn accept(scene: &Scene) -> WebSocketPeer {
    let mut peer = WebSocketPeer::accept_upgraded(&scene.broker);
    assert_eq!(peer.read_packet()[0], 0x10, "CONNECT");
    peer.send_frame(BINARY, &connack(scene.version(), false));
    peer
}

/// A client that is connected.
#[track_caller]
fn connected(scene: &Scene) -> (AsyncMqttClient, Log, WebSocketPeer) {
    let (client, log) = scene.client();
    client.connect().unwrap();
    let peer = accept(scene);
    assert!(log.connection(1).is_success());
    (client, log, peer)
}

/// [MQTT-6.0.0-3] [MQTT-6.0.0-4]
#[test]
fn the_request_asks_for_mqtt_at_the_path_of_the_url() {
    let paths = [("", "/mqtt"), ("/", "/"), ("/a/b?token=x", "/a/b?token=x"), ("?token=x", "/mqtt?token=x")];
    for (path, asked) in paths {
        let mut scene = scene(V5);
        scene.options.peer += path;
        scene.options.connecting.websocket.headers = vec![("X-Key".to_string(), "s3cr3t".into())];
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut peer = WebSocketPeer::accept(&scene.broker);
        let request = peer.upgrade();
        let lines: Vec<_> = request.lines().collect();
        assert_eq!(lines[0], format!("GET {asked} HTTP/1.1"));
        for line in [
            format!("Host: {}", scene.broker.address()).as_str(),
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: mqtt",
            "X-Key: s3cr3t",
        ] {
            assert_eq!(lines.iter().filter(|known| **known == line).count(), 1, "{line} in {request}");
        }
        peer.read_packet();
        peer.send_frame(BINARY, &connack(V5, false));
        assert!(log.connection(1).is_success());
    }
}

/// [MQTT-6.0.0-1]
#[test]
fn packets_travel_in_binary_frames_both_ways() {
    both(|version| {
        let scene = scene(version);
        let (client, log, mut peer) = connected(&scene);
        for number in 0..100 {
            client.publish("t", format!("{number}").as_bytes(), 0, false).unwrap();
        }
        for number in 0..100 {
            peer.expect(&publish(version, 0, "t", None, format!("{number}").as_bytes()));
        }
        peer.send_frame(BINARY, &publish(version, 0, "t", None, b"in"));
        assert_eq!(log.messages(1)[0].payload, &b"in"[..]);
        client.disconnect().unwrap();
        peer.expect(&wire::DISCONNECT);
        peer.expect_frame(CLOSE, &1000_u16.to_be_bytes());
        peer.send_frame(CLOSE, &1000_u16.to_be_bytes());
        peer.expect_eof();
        client.shutdown().unwrap();
    });
}

/// [MQTT-6.0.0-2]
#[test]
fn packets_may_span_frames_and_share_them() {
    both(|version| {
        let scene = scene(version);
        let (_client, log, mut peer) = connected(&scene);
        let packets: Vec<u8> =
            (0..20).flat_map(|number| publish(version, 0, "t", None, format!("{number}").as_bytes())).collect();
        // All in one frame, each byte in a frame of its own, and each in a part of one message.
        peer.send_frame(BINARY, &packets);
        for byte in &packets {
            peer.send(&frame(BINARY, &[*byte]));
        }
        peer.send_frame(0x02, &[]);
        for byte in &packets {
            peer.send(&[frame(0x00, &[*byte]), frame(PONG, b"unasked")].concat());
        }
        peer.send_frame(0x80, &[]);
        // In pieces that end anywhere, and one packet that begins in one message and ends in the next one.
        let whole = frame(BINARY, &packets);
        for at in 0..whole.len() {
            peer.send(&whole[..at]);
            thread::yield_now();
            peer.send(&whole[at..]);
        }
        let expected: Vec<_> = (0..20).map(|number| number.to_string().into_bytes()).collect();
        let rounds = 3 + whole.len();
        let messages = log.messages(20 * rounds);
        for (round, messages) in messages.chunks(20).enumerate() {
            let payloads: Vec<_> = messages.iter().map(|message| message.payload.to_vec()).collect();
            assert_eq!(payloads, expected, "in round {round}");
        }
    });
}

#[test]
fn long_messages_pass_whole() {
    let scene = scene(V5);
    let (client, log, mut peer) = connected(&scene);
    let payload: Vec<u8> = (0..3_000_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let packet = publish(V5, 0, "t", None, &payload);
    client.publish("t", &payload, 0, false).unwrap();
    peer.expect(&packet);
    peer.send_frame(BINARY, &packet);
    assert_eq!(log.messages(1)[0].payload, payload);
}

#[test]
fn a_ping_is_answered_with_its_payload_and_a_flood_of_them_holds_nothing_up() {
    let scene = scene(V5);
    let (_client, log, mut peer) = connected(&scene);
    peer.send_frame(PING, b"are you there?");
    peer.expect_frame(PONG, b"are you there?");
    peer.send_frame(PING, b"");
    peer.expect_frame(PONG, b"");
    // More than what the client may keep, while nobody reads its answers.
    let flood = frame(PING, &[7; 125]).repeat(1000);
    for _ in 0..100 {
        peer.send(&flood);
    }
    peer.send_frame(BINARY, &publish(V5, 0, "t", None, b"behind"));
    peer.send_frame(PING, b"last");
    assert_eq!(log.messages(1)[0].payload, &b"behind"[..]);
    let answers = std::iter::repeat_with(|| peer.read_frame()).take_while(|frame| frame.1 != b"last");
    assert!(
        answers.fold(0, |count, frame| {
            assert_eq!(frame, (PONG, vec![7; 125]));
            count + 1
        }) <= 100_000
    );
}

/// The server sends `bytes` on a connection: the client closes the WebSocket with `code`, tells an error with `text`,
/// and connects again.
#[track_caller]
fn is_refused(bytes: &[u8], code: u16, kind: ErrorKind, text: &str) {
    let scene = scene(V5);
    let (client, log, mut peer) = connected(&scene);
    peer.send(bytes);
    let first = peer.read_frame();
    assert_eq!(first, (CLOSE, code.to_be_bytes().to_vec()), "for {bytes:?}");
    assert_eq!(log.error(text), kind, "for {bytes:?}");
    peer.expect_eof();
    let _peer = accept(&scene);
    assert!(log.connection(2).is_success());
    assert_eq!(log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 1);
    drop(client);
}

/// [MQTT-6.0.0-1]
#[test]
fn a_text_frame_ends_the_connection() {
    let packet = publish(V5, 0, "t", None, b"text");
    for first in [0x81, 0x01] {
        is_refused(&frame(first, &packet), 1003, ErrorKind::InvalidData, "a text frame [MQTT-6.0.0-1]");
    }
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let mut masked = frame(BINARY, b"");
    masked[1] |= 0x80;
    let cases = [
        (masked, "a masked frame"),
        (frame(0xC2, b""), "an extension"),
        (frame(0x83, b""), "an unknown kind"),
        (frame(0x80, b""), "a continuation of nothing"),
        (frame(PING, &[0; 126]), "a long control frame"),
        (vec![BINARY, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0], "longer than there are"),
    ];
    for (bytes, text) in cases {
        is_refused(&bytes, 1002, ErrorKind::InvalidData, text);
    }
}

#[test]
fn a_server_that_closes_the_websocket_is_told_with_its_reason() {
    let close = |payload: &[u8]| frame(CLOSE, payload);
    let told = "the server has closed the WebSocket with code 1008: not today";
    is_refused(&close(b"\x03\xF0not today"), 1000, ErrorKind::ConnectionAborted, told);
    is_refused(&close(b""), 1000, ErrorKind::UnexpectedEof, "the server has closed the connection");
    let half = &publish(V5, 0, "t", None, b"cut")[..5];
    let in_mid_packet = [frame(BINARY, half), close(&1001_u16.to_be_bytes())].concat();
    is_refused(&in_mid_packet, 1000, ErrorKind::ConnectionAborted, "with code 1001");
    is_refused(&[frame(0x02, half), close(b"")].concat(), 1000, ErrorKind::UnexpectedEof, "closed the connection");
}

#[test]
fn a_connection_that_is_cut_in_mid_frame_is_opened_again() {
    for cut in [&[BINARY][..], &[BINARY, 126, 1], &[BINARY, 5, 0x30, 3]] {
        let scene = scene(V5);
        let (_client, log, mut peer) = connected(&scene);
        peer.send(cut);
        drop(peer);
        let _peer = accept(&scene);
        assert!(log.connection(2).is_success());
        log.error("the server has closed the connection");
    }
}

#[test]
fn a_frame_that_claims_an_enormous_length_is_read_as_it_comes() {
    let scene = scene(V5);
    let (_client, log, mut peer) = connected(&scene);
    peer.send(&[BINARY, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    peer.send(&publish(V5, 0, "t", None, b"within"));
    assert_eq!(log.messages(1)[0].payload, &b"within"[..]);
    // A packet in it that is longer than the client takes is another matter.
    peer.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    assert_eq!(peer.read_packet()[0], 0xE0, "DISCONNECT");
    let _peer = accept(&scene);
    assert!(log.connection(2).is_success());
}

/// An attempt to open a WebSocket that is answered like this fails with such a text, and is made again.
#[track_caller]
fn upgrade_fails(answer: &str, kind: ErrorKind, text: &str) {
    let scene = scene(V5);
    let (client, log) = scene.client();
    client.connect().unwrap();
    for _ in 0..2 {
        let mut peer = WebSocketPeer::accept(&scene.broker);
        peer.upgrade_with(answer);
        peer.finish_sending();
        peer.expect_eof();
    }
    let address = scene.broker.address();
    assert_eq!(log.error(&format!("cannot connect to ws://{address}: the WebSocket upgrade: {text}")), kind);
}

#[test]
fn an_upgrade_that_is_refused_is_told_with_its_status() {
    let refused = ErrorKind::ConnectionRefused;
    upgrade_fails(
        "HTTP/1.1 200 OK\r\n\r\n<html>",
        refused,
        "it answers HTTP/1.1 200 OK, where 101 Switching Protocols",
    );
    upgrade_fails("HTTP/1.1 404 Not Found\r\n\r\n", refused, "it answers HTTP/1.1 404 Not Found");
    let denied = ErrorKind::PermissionDenied;
    upgrade_fails("HTTP/1.1 401 Unauthorized\r\n\r\n", denied, "it answers HTTP/1.1 401 Unauthorized");
    let moved = "HTTP/1.1 301 Moved\r\nLocation: https://else.example/mqtt\r\n\r\n";
    upgrade_fails(moved, refused, "it answers HTTP/1.1 301 Moved, and refers to \"https://else.example/mqtt\"");
}

/// [MQTT-6.0.0-4]
#[test]
fn an_answer_without_the_subprotocol_mqtt_is_refused() {
    let wrong = ErrorKind::InvalidData;
    upgrade_fails(&format!("{SWITCHING}\r\n"), wrong, "its answer has no subprotocol, where mqtt was due");
    let other = format!("{SWITCHING}Sec-WebSocket-Protocol: mqttv3.1\r\n\r\n");
    upgrade_fails(&other, wrong, "its answer has the subprotocol \"mqttv3.1\", where mqtt was due");
}

#[test]
fn an_answer_that_is_nonsense_or_cut_is_refused() {
    let wrong = ErrorKind::InvalidData;
    upgrade_fails("\x20\x02\0\0", wrong, "its answer is not HTTP/1");
    let other_key = SWITCHING.replace("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    upgrade_fails(&format!("{other_key}\r\n"), wrong, "its answer does not belong to the request");
    upgrade_fails(&format!("{SWITCHING}{}", "X: y\r\n".repeat(2000)), wrong, "its answer is longer than 8192 bytes");
    for len in [0, 1, 20, SWITCHING.len()] {
        upgrade_fails(&SWITCHING[..len], ErrorKind::UnexpectedEof, "it has closed the connection before its answer");
    }
}

#[test]
fn an_upgrade_that_is_never_answered_times_out_and_does_not_hold_up_a_shutdown() {
    let mut scene = scene(V5);
    scene.options.timeouts.connect = Duration::from_millis(300);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let _first = WebSocketPeer::accept(&scene.broker);
    assert_eq!(log.error("the WebSocket upgrade timed out"), ErrorKind::TimedOut);
    client.shutdown().unwrap();

    scene.options.timeouts.connect = Duration::from_secs(60);
    scene.options.timeouts.shutdown = Duration::from_secs(30);
    let (client, _log) = scene.client();
    client.connect().unwrap();
    let mut peer = WebSocketPeer::accept(&scene.broker);
    peer.read_request();
    peer.send(b"HTTP/1.1 101");
    client.shutdown().unwrap();
    peer.expect_eof();
}

#[test]
fn a_shutdown_closes_the_websocket_behind_disconnect_and_waits_for_a_silent_server_no_longer_than_it_must() {
    let scene = scene(V5);
    let (client, _log, mut peer) = connected(&scene);
    client.publish("t", b"last", 0, false).unwrap();
    client.shutdown().unwrap();
    peer.expect(&publish(V5, 0, "t", None, b"last"));
    peer.expect(&wire::DISCONNECT);
    peer.expect_frame(CLOSE, &1000_u16.to_be_bytes());
    peer.expect_eof();
}

#[test]
fn headers_that_cannot_be_sent_are_refused_when_the_client_is_made() {
    struct Nothing;
    impl MqttEventHandler for Nothing {}
    let with = |name: &str, value: &str| {
        let mut options = MqttClientOptions { peer: "ws://localhost".to_string(), ..Default::default() };
        options.connecting.websocket.headers = vec![(name.to_string(), value.into())];
        AsyncMqttClient::new(options, Box::new(Nothing), Default::default()).map(drop)
    };
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("ä", "x"),
        ("a", "s3cr3t\r\nb: c"),
        ("a", "s3cr3t\0"),
        ("Host", "x"),
        ("Sec-WebSocket-Protocol", "x"),
        ("connection", "x"),
        ("UPGRADE", "x"),
    ] {
        let error = with(name, value).unwrap_err().to_string();
        assert!(error.contains("connecting.websocket.headers") && !error.contains("s3cr3t"), "{error}");
    }
    with("Authorization", "Bearer s3cr3t=").unwrap();
}

#[cfg(feature = "proxy")]
#[test]
fn a_websocket_goes_through_a_proxy_too() {
    use flowsdk::mqtt_client::{Proxy, ProxyKind};

    let mut scene = scene(V5);
    scene.options.connecting.proxy = Some(Proxy::new(ProxyKind::Http, &scene.broker.address().to_string()));
    scene.options.peer = "ws://broker.invalid/p".to_string();
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut peer = WebSocketPeer::accept(&scene.broker);
    assert!(peer.read_request().starts_with("CONNECT broker.invalid:80 HTTP/1.1\r\n"));
    peer.send(b"HTTP/1.1 200 OK\r\n\r\n");
    let request = peer.upgrade();
    assert!(request.starts_with("GET /p HTTP/1.1\r\nHost: broker.invalid\r\n"), "{request}");
    peer.read_packet();
    peer.send_frame(BINARY, &connack(V5, false));
    assert!(log.connection(1).is_success());
}
