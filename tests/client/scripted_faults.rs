//! A server that breaks the protocol: told, answered in v5.0, and connected to again.

use std::io::ErrorKind;

use flowsdk::mqtt_client::MqttEvent;
use flowsdk::types::ProtocolVersion;

use crate::scripted_setup::{Scene, V3_1_1, V5, both, connack, publish};
use crate::support::wire;

/// The server sends `bytes` on a connection: the client tells an error, ends the connection, in v5.0 by a DISCONNECT
/// with `code`, and connects again.
#[track_caller]
fn is_refused(version: ProtocolVersion, bytes: &[u8], code: u8) {
    let scene = Scene::new(version);
    let mut live = scene.connected();
    live.peer.send(bytes);
    if version.is_v5() {
        live.peer.expect(&[0xE0, 1, code]);
    }
    live.peer.expect_eof();
    let kind = live.log.wait_for_event(|event| match event {
        MqttEvent::Error(error) => Some(error.kind()),
        _ => None,
    });
    assert_eq!(kind, ErrorKind::InvalidData);
    let _peer = scene.accept(false);
    assert!(live.log.connection(2).is_success());
    assert_eq!(live.log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 1);
    assert_eq!(live.log.count(|event| matches!(event, MqttEvent::MessageReceived(_))), 0);
}

/// [MQTT-3.14.1-1] [MQTT-3.3.1-4] [MQTT-4.13.1-1]
#[test]
fn malformed_packets_of_v5_are_answered_with_0x81() {
    let bad_utf8 = wire::packet(0x30, &[&[0, 1, 0xFF], &[0]]);
    let with_nul = wire::packet(0x30, &[&[0, 1, 0], &[0]]);
    let malformed: [&[u8]; 9] = [
        &[0xE1, 0],
        &[0x36, 4, 0, 1, b't', 0],
        &[0x20, 0x80, 0x80, 0x80, 0x80, 0x01],
        &bad_utf8,
        &with_nul,
        &[0x40, 0],
        &[0x90, 1, 0],
        &[0xD0, 1, 0],
        &[0x00, 0],
    ];
    for bytes in malformed {
        is_refused(V5, bytes, 0x81);
    }
}

/// [MQTT-4.13.1-1]
#[test]
fn protocol_errors_of_v5_are_answered_with_their_code() {
    let errors: [(&[u8], u8); 8] = [
        (&connack(V5, false), 0x82),
        (&[0xF0, 0], 0x82),
        (&wire::publish_v5(0, "", None, &[], b""), 0x82),
        (&wire::publish_v5(0, "", None, &[0x23, 0, 1], b""), 0x94),
        (&wire::publish_v5(0, "t", None, &[0x23, 0, 1], b""), 0x94),
        (&wire::publish_v5(0, "t", None, &[0x01, 1, 0x01, 1], b""), 0x82),
        (&wire::publish_v5(0, "t", None, &[0x0B, 0], b""), 0x82),
        (&wire::publish_v5(0x02, "t", Some(0), &[], b""), 0x82),
    ];
    for (bytes, code) in errors {
        is_refused(V5, bytes, code);
    }
}

/// [MQTT-4.8.0-1/3.1.1] [MQTT-1.5.3-1/3.1.1] [MQTT-1.5.3-2/3.1.1] [MQTT-3.3.1-4/3.1.1] [MQTT-3.14.4-3/3.1.1]
#[test]
fn violations_of_v3_1_1_close_the_connection_without_a_disconnect() {
    let subscribe = wire::packet(0x82, &[&[0, 1], &wire::string("t"), &[0]]);
    let violations: [&[u8]; 14] = [
        &[0xE0, 0],
        &[0xF0, 0],
        &[0x00, 0],
        &[0xC0, 0],
        &subscribe,
        &connack(V3_1_1, false),
        &[0x36, 3, 0, 1, b't'],
        &wire::packet(0x30, &[&[0, 1, 0xFF]]),
        &wire::packet(0x30, &[&[0, 1, 0]]),
        &wire::packet(0x30, &[&wire::string("a/#")]),
        &wire::packet(0x30, &[&[0, 0]]),
        &[0x40, 3, 0, 1, 0],
        &[0x90, 3, 0, 1, 3],
        &[0xD0, 0x80, 0x80, 0x80, 0x80],
    ];
    for bytes in violations {
        is_refused(V3_1_1, bytes, 0);
    }
}

#[test]
fn packets_that_only_a_client_sends_are_refused() {
    both(|version| {
        let subscribe = crate::scripted_setup::subscribe(version, 1, &[("t", 0)]);
        for bytes in [&wire::PINGREQ[..], &subscribe] {
            let scene = Scene::new(version);
            let mut live = scene.connected();
            live.peer.send(bytes);
            if version.is_v5() {
                let packet = live.peer.expect_type(14);
                assert!(packet.len() == 3 && packet[2] >= 0x81);
            }
            live.peer.expect_eof();
            let _peer = scene.accept(false);
            live.log.connection(2);
        }
    });
}

#[test]
fn answers_that_answer_nothing_do_no_harm_and_wrong_ones_end_the_connection() {
    both(|version| {
        let scene = Scene::new(version);
        let mut live = scene.connected();
        live.peer.send(&wire::ack(wire::PUBACK, 9));
        live.peer.send(&wire::PINGRESP);
        live.peer.send(&crate::scripted_setup::suback(version, 9, &[0]));
        live.peer.send(&crate::scripted_setup::unsuback(version, 9, &[0]));
        live.client
            .subscribe_with(
                &[
                    flowsdk::mqtt_client::TopicSubscription::new("a", 0),
                    flowsdk::mqtt_client::TopicSubscription::new("b", 0),
                ],
                &Default::default(),
            )
            .unwrap();
        live.peer.expect_type(8);
        live.peer.send(&crate::scripted_setup::suback(version, 1, &[0]));
        if version.is_v5() {
            live.peer.expect(&[0xE0, 1, 0x82]);
        }
        live.peer.expect_eof();
        live.log.error("one reason code for each filter");
    });
}

/// What is no CONNACK, where one is due.
#[test]
fn garbage_instead_of_a_connack_is_told_and_another_attempt_made() {
    both(|version| {
        let garbage: [&[u8]; 6] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[0xFF; 64],
            &[0x00; 64],
            &publish(version, 0, "t", None, b"early"),
            &wire::PINGRESP,
            &[0x20, 2, 2, 0],
        ];
        for bytes in garbage {
            let scene = Scene::new(version);
            let (client, log) = scene.client();
            client.connect().unwrap();
            let mut peer = scene.accept_with(bytes);
            while let Some(packet) = peer.read_packet_or_eof() {
                assert!(version.is_v5() && packet[0] == 0xE0 && packet[2] >= 0x80, "{packet:?}");
            }
            let _peer = scene.accept(false);
            assert!(log.connection(1).is_success());
            let words = log.words();
            assert!(words[0].starts_with("error") && words[1] == "reconnect attempt 1", "{words:?}");
            assert_eq!(words.len(), 3, "{words:?}");
        }
    });
}

#[test]
fn half_a_packet_and_then_the_end_hands_over_nothing() {
    both(|version| {
        let scene = Scene::new(version);
        let mut live = scene.connected();
        let message = publish(version, 0x02, "t", Some(1), b"cut");
        live.peer.send(&message[..message.len() - 1]);
        live.peer.close();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        let mut peer = scene.accept(false);
        peer.send(&message);
        peer.expect(&wire::ack(wire::PUBACK, 1));
        assert_eq!(live.log.messages(1).len(), 1);
    });
}

#[test]
fn what_came_before_the_fault_is_handed_over() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        live.peer.send(&[publish(version, 0, "t", None, b"good"), vec![0x36, 2, 0, 0]].concat());
        assert_eq!(live.log.messages(1)[0].payload, &b"good"[..]);
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
    });
}

/// One conversation, in which the server's bytes come in the pieces that `send` makes of them.
fn conversation(
    version: ProtocolVersion,
    send: impl Fn(&mut crate::support::scripted_broker::Peer, &[u8]),
) -> Vec<String> {
    let scene = Scene::new(version);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    send(&mut peer, &connack(version, false));
    log.connection(1);
    let subscribing = client.subscribe("t", 2).unwrap();
    peer.expect_type(8);
    send(&mut peer, &crate::scripted_setup::suback(version, 1, &[2]));
    log.subscribed(subscribing);
    let messages = [
        publish(version, 0, "t", None, b"zero"),
        publish(version, 0x02, "t/1", Some(1), &[b'x'; 200]),
        publish(version, 0x04, "t/2", Some(2), b"two"),
    ];
    send(&mut peer, &messages.concat());
    peer.expect(&wire::ack(wire::PUBACK, 1));
    peer.expect(&wire::ack(wire::PUBREC, 2));
    log.messages(3);
    let publishing = client.publish("t", b"out", 2, false).unwrap();
    peer.expect_type(3);
    send(&mut peer, &[wire::ack(wire::PUBREL, 2), wire::ack(wire::PUBREC, 2)].concat());
    peer.expect(&wire::ack(wire::PUBCOMP, 2));
    peer.expect(&wire::ack(wire::PUBREL, 2));
    send(&mut peer, &wire::ack(wire::PUBCOMP, 2));
    log.published(publishing);
    client.disconnect().unwrap();
    peer.expect(&wire::DISCONNECT);
    peer.expect_eof();
    peer.close();
    log.disconnected();
    log.words()
}

/// [MQTT-4.2-1]
#[test]
fn the_same_events_come_however_the_stream_is_cut() {
    both(|version| {
        let whole = conversation(version, |peer, bytes| peer.send(bytes));
        assert_eq!(whole.len(), 7, "{whole:?}");
        assert_eq!(conversation(version, |peer, bytes| peer.send_bytewise(bytes)), whole);
        for split in [1, 2, 3, 5, 7, 50] {
            let pieces = conversation(version, |peer, bytes| bytes.chunks(split).for_each(|piece| peer.send(piece)));
            assert_eq!(pieces, whole, "pieces of {split}");
        }
    });
}
