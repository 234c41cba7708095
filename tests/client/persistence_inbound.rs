//! Received messages of QoS 2 when the process ends in the midst of their exchange.

use flowsdk::mqtt_client::InboundStorage::{self, AckAfter, IdFirst};
use flowsdk::mqtt_client::MqttEvent;
use flowsdk::types::ProtocolVersion;

use crate::persistence_setup::Lives;
use crate::recorder::Log;
use crate::scripted_setup::{Live, V5, both, publish};
use crate::support::scripted_broker::Peer;
use crate::support::wire;

const DUP: u8 = 0x08;
const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

/// A client that acknowledges by hand and has a message of QoS 2 with the id 7.
fn with_message(version: ProtocolVersion, inbound: InboundStorage) -> (Lives, Live) {
    let mut lives = Lives::new(version, inbound);
    lives.scene.options.auto_ack = false;
    let mut live = lives.scene.connected();
    live.peer.send(&publish(version, QOS2, "t", Some(7), b"one"));
    assert_eq!(live.log.messages(1)[0].payload, &b"one"[..]);
    (lives, live)
}

fn acknowledge(live: &Live) {
    live.client.acknowledge(live.log.messages(1)[0].receipt().unwrap()).unwrap();
}

/// After a crash: the next life, resumed.
fn after_crash(mut lives: Lives, before: Live) -> (Lives, Live) {
    lives.crash();
    lives.scene.options.auto_ack = true;
    end(before);
    let (client, log) = lives.scene.client();
    client.connect().unwrap();
    let peer = lives.scene.accept(true);
    (lives, Live { peer, client, log })
}

/// The client before would come again where the connection goes first.
fn end(Live { client, peer, .. }: Live) {
    client.shutdown().unwrap();
    drop(peer);
}

/// The broker repeats the message, which is answered and not handed over, and ends the exchange.
fn is_known(version: ProtocolVersion, peer: &mut Peer, log: &Log) {
    peer.send(&publish(version, DUP | QOS2, "t", Some(7), b"one"));
    peer.expect(&wire::ack(wire::PUBREC, 7));
    is_released(version, peer, log);
}

/// The broker ends the exchange, and the identifier is free for another message, which is the first to be handed over.
fn is_released(version: ProtocolVersion, peer: &mut Peer, log: &Log) {
    peer.send(&wire::ack(wire::PUBREL, 7));
    peer.expect(&wire::ack(wire::PUBCOMP, 7));
    peer.send(&publish(version, QOS2, "t", Some(7), b"two"));
    peer.expect(&wire::ack(wire::PUBREC, 7));
    assert_eq!(log.messages(1)[0].payload, &b"two"[..]);
}

fn is_handed_over_again(version: ProtocolVersion, peer: &mut Peer, log: &Log) {
    peer.send(&publish(version, DUP | QOS2, "t", Some(7), b"one"));
    assert_eq!(log.messages(1)[0].payload, &b"one"[..]);
    peer.expect(&wire::ack(wire::PUBREC, 7));
}

#[test]
fn with_the_id_first_a_message_in_hand_at_a_crash_does_not_come_again() {
    both(|version| {
        let (lives, live) = with_message(version, IdFirst);
        let (_lives, mut live) = after_crash(lives, live);
        is_known(version, &mut live.peer, &live.log);
    });
}

#[test]
fn with_the_acknowledgement_first_a_message_in_hand_at_a_crash_comes_again() {
    both(|version| {
        let (lives, live) = with_message(version, AckAfter);
        let (_lives, mut live) = after_crash(lives, live);
        is_handed_over_again(version, &mut live.peer, &live.log);
    });
}

/// [MQTT-4.3.3-10]
#[test]
fn a_message_whose_pubrec_has_left_does_not_come_again() {
    for inbound in [IdFirst, AckAfter] {
        both(|version| {
            let (lives, mut live) = with_message(version, inbound);
            acknowledge(&live);
            live.peer.expect(&wire::ack(wire::PUBREC, 7));
            let (lives, mut live) = after_crash(lives, live);
            // The server may repeat it or go on, and the process may end once more.
            live.peer.send(&publish(version, DUP | QOS2, "t", Some(7), b"one"));
            live.peer.expect(&wire::ack(wire::PUBREC, 7));
            let (_lives, mut live) = after_crash(lives, live);
            is_released(version, &mut live.peer, &live.log);
        });
    }
}

#[test]
fn the_identifier_is_free_once_pubcomp_has_left() {
    for inbound in [IdFirst, AckAfter] {
        both(|version| {
            let (lives, mut live) = with_message(version, inbound);
            acknowledge(&live);
            live.peer.expect(&wire::ack(wire::PUBREC, 7));
            live.peer.send(&wire::ack(wire::PUBREL, 7));
            live.peer.expect(&wire::ack(wire::PUBCOMP, 7));
            let (_lives, mut live) = after_crash(lives, live);
            live.peer.send(&publish(version, QOS2, "t", Some(7), b"two"));
            assert_eq!(live.log.messages(1)[0].payload, &b"two"[..]);
        });
    }
}

#[test]
fn a_message_that_was_refused_leaves_its_identifier_free() {
    for inbound in [IdFirst, AckAfter] {
        let (lives, mut live) = with_message(V5, inbound);
        let receipt = live.log.messages(1)[0].receipt().unwrap();
        live.client.acknowledge_with(receipt, 0x97).unwrap();
        live.peer.expect(&wire::ack_v5(wire::PUBREC, 7, 0x97));
        let (_lives, mut live) = after_crash(lives, live);
        live.peer.send(&publish(V5, QOS2, "t", Some(7), b"two"));
        assert_eq!(live.log.messages(1)[0].payload, &b"two"[..]);
    }
}

#[test]
fn a_server_without_the_session_has_no_identifiers_in_use() {
    for inbound in [IdFirst, AckAfter] {
        both(|version| {
            let (mut lives, mut live) = with_message(version, inbound);
            acknowledge(&live);
            live.peer.expect(&wire::ack(wire::PUBREC, 7));
            lives.crash();
            end(live);
            let (client, log) = lives.scene.client();
            client.connect().unwrap();
            let mut peer = lives.scene.accept(false);
            peer.send(&publish(version, QOS2, "t", Some(7), b"two"));
            assert_eq!(log.messages(1)[0].payload, &b"two"[..]);
        });
    }
}

#[test]
fn a_message_of_qos_1_comes_again_whatever_is_stored() {
    both(|version| {
        let mut lives = Lives::new(version, IdFirst);
        lives.scene.options.auto_ack = false;
        let mut live = lives.scene.connected();
        live.peer.send(&publish(version, QOS1, "t", Some(7), b"one"));
        live.log.messages(1);
        let (_lives, mut live) = after_crash(lives, live);
        live.peer.send(&publish(version, DUP | QOS1, "t", Some(7), b"one"));
        assert_eq!(live.log.messages(1)[0].payload, &b"one"[..]);
        live.peer.expect(&wire::ack(wire::PUBACK, 7));
    });
}

#[test]
fn more_answers_than_there_is_room_for_wait_for_the_disk_and_leave_in_their_order() {
    for inbound in [IdFirst, AckAfter] {
        let lives = Lives::new(V5, inbound);
        let mut live = lives.scene.connected();
        let ids = 1..=3000;
        let all = |packet: &dyn Fn(u16) -> Vec<u8>| ids.clone().flat_map(packet).collect::<Vec<_>>();
        live.peer.send(&all(&|id| publish(V5, QOS2, "t", Some(id), b"x")));
        ids.clone().for_each(|id| live.peer.expect(&wire::ack(wire::PUBREC, id)));
        live.peer.send(&all(&|id| wire::ack(wire::PUBREL, id)));
        ids.clone().for_each(|id| live.peer.expect(&wire::ack(wire::PUBCOMP, id)));
    }
}

#[test]
fn messages_that_wait_for_the_disk_keep_their_order_among_events_and_messages_of_other_qos() {
    both(|version| {
        let lives = Lives::new(version, IdFirst);
        let mut live = lives.scene.connected();
        let mut bytes = Vec::new();
        for number in 0..50_u8 {
            let qos = number % 3;
            let packet_id = (qos > 0).then_some(u16::from(number));
            bytes.extend(publish(version, qos << 1, "t", packet_id, &[number]));
        }
        live.peer.send(&bytes);
        // The connection ends while they wait.
        live.peer.finish_sending();
        live.log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
        let messages = live.log.messages(50);
        assert!(messages.iter().enumerate().all(|(at, message)| *message.payload == [at as u8]));
        let words = live.log.words();
        let is_message = |words: &String| words.starts_with("message");
        let lost = words.iter().position(|words| words == "connection lost").unwrap();
        assert!(words.iter().rposition(is_message).unwrap() < lost, "{words:?}");
    });
}
