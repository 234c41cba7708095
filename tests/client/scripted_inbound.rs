//! Messages from the server, and how they are acknowledged.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use flowsdk::mqtt_client::{
    AsyncMqttClient, CallbackMode, ClientError, MqttEvent, MqttEventHandler, MqttPublish, Receipt,
};
use flowsdk::types::ProtocolVersion;

use crate::recorder::Log;
use crate::scripted_setup::{Live, Scene, V3_1_1, V5, both, publish};
use crate::support::scripted_broker::Peer;
use crate::support::{PATIENCE, wire};

const DUP: u8 = 0x08;
const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

#[test]
fn a_message_is_handed_over_with_everything_it_has() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        live.peer.send(&publish(version, 0x01, "t/ü", None, b"retained"));
        live.peer.send(&publish(version, DUP | QOS1, "t", Some(65_535), b""));
        live.peer.expect(&wire::ack(wire::PUBACK, 65_535));
        live.peer.send(&publish(version, QOS2, "t", Some(1), &[0xFF]));
        live.peer.expect(&wire::ack(wire::PUBREC, 1));
        live.peer.send(&wire::ack(wire::PUBREL, 1));
        live.peer.expect(&wire::ack(wire::PUBCOMP, 1));
        let messages = live.log.messages(3);
        let got: Vec<_> = messages
            .iter()
            .map(|it| (&*it.topic_name, &*it.payload, it.qos, it.dup, it.retain, it.packet_id))
            .collect();
        assert_eq!(got[0], ("t/ü", &b"retained"[..], 0, false, true, None));
        assert_eq!(got[1], ("t", &b""[..], 1, true, false, Some(65_535)));
        assert_eq!(got[2], ("t", &[0xFF][..], 2, false, false, Some(1)));
        assert!(messages[0].receipt().is_none() && messages[1].receipt().is_some());
    });
}

/// [MQTT-4.3.3-10]
#[test]
fn a_message_of_qos_2_that_is_repeated_is_handed_over_once() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        for flags in [QOS2, QOS2 | DUP, QOS2] {
            live.peer.send(&publish(version, flags, "t", Some(7), b"once"));
            live.peer.expect(&wire::ack(wire::PUBREC, 7));
        }
        live.peer.send(&wire::ack(wire::PUBREL, 7));
        live.peer.expect(&wire::ack(wire::PUBCOMP, 7));
        live.peer.send(&publish(version, QOS2, "t", Some(7), b"another"));
        live.peer.expect(&wire::ack(wire::PUBREC, 7));
        let payloads: Vec<_> = live.log.messages(2).into_iter().map(|it| it.payload).collect();
        assert_eq!(payloads, [&b"once"[..], b"another"]);
    });
}

/// [MQTT-4.3.3-10]
#[test]
fn a_message_of_qos_2_that_is_repeated_after_a_resume_is_handed_over_once() {
    both(|version| {
        let scene = Scene::keeping_session(version);
        let mut live = scene.connected();
        live.peer.send(&publish(version, QOS2, "t", Some(7), b"once"));
        live.peer.expect(&wire::ack(wire::PUBREC, 7));
        live.peer.close();
        let mut peer = scene.accept(true);
        peer.send(&publish(version, QOS2 | DUP, "t", Some(7), b"once"));
        peer.expect(&wire::ack(wire::PUBREC, 7));
        peer.send(&wire::ack(wire::PUBREL, 7));
        peer.expect(&wire::ack(wire::PUBCOMP, 7));
        peer.send(&publish(version, 0, "t", None, b"last"));
        assert_eq!(live.log.messages(2)[1].payload, &b"last"[..]);
    });
}

#[test]
fn a_pubrel_and_a_pubrec_that_nobody_knows_are_answered() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let not_found = |first, id| if version.is_v5() { wire::ack_v5(first, id, 0x92) } else { wire::ack(first, id) };
        live.peer.send(&wire::ack(wire::PUBREL, 100));
        live.peer.expect(&not_found(wire::PUBCOMP, 100));
        live.peer.send(&wire::ack(wire::PUBREC, 200));
        live.peer.expect(&not_found(wire::PUBREL, 200));
        live.peer.send(&wire::ack(wire::PUBCOMP, 200));
        // Neither ends the connection.
        live.client.publish("t", b"", 0, false).unwrap();
        live.peer.expect(&publish(version, 0, "t", None, b""));
    });
}

#[test]
fn pubrels_leave_in_the_order_of_the_pubrecs() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        for _ in 0..3 {
            live.client.publish("t", b"", 2, false).unwrap();
        }
        for id in 1..=3 {
            live.peer.expect(&publish(version, QOS2, "t", Some(id), b""));
        }
        let burst: Vec<u8> = [3, 1, 2].into_iter().flat_map(|id| wire::ack(wire::PUBREC, id)).collect();
        live.peer.send(&burst);
        for id in [3, 1, 2] {
            live.peer.expect(&wire::ack(wire::PUBREL, id));
        }
    });
}

struct DropsAll;

impl MqttEventHandler for DropsAll {}

/// [MQTT-4.5.0-2]
#[test]
fn every_message_is_acknowledged_although_nobody_wants_it() {
    fn exchange(version: ProtocolVersion, peer: &mut Peer) {
        for id in 1..=20 {
            peer.send(&publish(version, QOS1, "never/subscribed", Some(id), b"x"));
            peer.send(&publish(version, QOS2, "never/subscribed", Some(100 + id), b"x"));
        }
        let mut acks: Vec<_> = (0..40).map(|_| wire::packet_id(&peer.read_packet())).collect();
        acks.sort_unstable();
        assert_eq!(acks, (1..=20).chain(101..=120).collect::<Vec<_>>());
    }
    both(|version| {
        let scene = Scene::new(version);
        let client = AsyncMqttClient::new(scene.options.clone(), Box::new(DropsAll), scene.config.clone()).unwrap();
        client.connect().unwrap();
        exchange(version, &mut scene.accept(false));

        let (client, receiver) = AsyncMqttClient::with_receiver(scene.options.clone(), scene.config.clone()).unwrap();
        drop(receiver);
        client.connect().unwrap();
        exchange(version, &mut scene.accept(false));
    });
}

/// A client that acknowledges by hand, shared with other threads.
fn by_hand(scene: &mut Scene) -> (Arc<AsyncMqttClient>, Log, Peer) {
    scene.options.auto_ack = false;
    let Live { client, log, peer } = scene.connected();
    (Arc::new(client), log, peer)
}

fn receipts(log: &Log, count: usize) -> Vec<Receipt> {
    log.messages(count).iter().filter_map(MqttPublish::receipt).collect()
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn a_burst_acknowledged_by_hand_in_reverse_from_many_threads_is_answered_in_the_order_of_receipt() {
    both(|version| {
        let (client, log, mut peer) = by_hand(&mut Scene::new(version));
        let burst: Vec<u8> = (1..=20)
            .flat_map(|id| publish(version, if id % 2 == 0 { QOS1 } else { QOS2 }, "t", Some(id), b""))
            .collect();
        peer.send(&burst);
        let receipts = receipts(&log, 20);
        for chunk in receipts.chunks(5).rev() {
            let (client, mut chunk) = (Arc::clone(&client), chunk.to_vec());
            let thread = thread::spawn(move || {
                chunk.reverse();
                chunk.into_iter().for_each(|receipt| client.acknowledge(receipt).unwrap());
            });
            thread.join().unwrap();
        }
        let answers: Vec<_> = (0..20).map(|_| peer.read_packet()).collect();
        let ids = |first| answers.iter().filter(|it| it[0] == first).map(|it| wire::packet_id(it)).collect::<Vec<_>>();
        assert_eq!(ids(wire::PUBACK), (1..=10).map(|half| 2 * half).collect::<Vec<_>>());
        assert_eq!(ids(wire::PUBREC), (1..=10).map(|half| 2 * half - 1).collect::<Vec<_>>());
    });
}

#[test]
fn nothing_is_acknowledged_by_itself_where_the_application_does_it() {
    both(|version| {
        let (client, log, mut peer) = by_hand(&mut Scene::new(version));
        for (id, flags) in [(1, QOS1), (2, QOS2)] {
            peer.send(&publish(version, flags, "t", Some(id), b""));
        }
        let receipts = receipts(&log, 2);
        // Whatever would leave by itself would leave before this.
        client.publish("t", b"marker", 0, false).unwrap();
        peer.expect(&publish(version, 0, "t", None, b"marker"));
        client.acknowledge(receipts[1]).unwrap();
        peer.expect(&wire::ack(wire::PUBREC, 2));
        client.acknowledge(receipts[0]).unwrap();
        peer.expect(&wire::ack(wire::PUBACK, 1));
        // The second time is one too many, which is told later.
        client.acknowledge(receipts[0]).unwrap();
        log.error("acknowledged before");
    });
}

#[test]
fn a_receipt_that_is_used_again_and_again_is_refused_in_the_end() {
    let mut scene = Scene::new(V5);
    // There the worker cannot take any of them meanwhile.
    scene.options.threads.callbacks = CallbackMode::Worker;
    let (client, log, mut peer) = by_hand(&mut scene);
    let (weak, (refused, refusal)) = (Arc::downgrade(&client), channel());
    let acknowledge = move |message: &MqttPublish<'_>| {
        let (client, receipt) = (weak.upgrade().unwrap(), message.receipt().unwrap());
        let error = (0..200_000).find_map(|_| client.acknowledge(receipt).err());
        refused.send(error).unwrap();
    };
    client.add_topic_handler("t", acknowledge).unwrap();
    peer.send(&publish(V5, 0x02, "t", Some(1), b""));
    assert_eq!(refusal.recv_timeout(PATIENCE).unwrap(), Some(ClientError::QueueFull));
    peer.expect(&wire::ack(wire::PUBACK, 1));
    log.error("acknowledged before");
}

#[test]
fn an_acknowledgement_may_carry_a_reason_code_in_v5() {
    both(|version| {
        let (client, log, mut peer) = by_hand(&mut Scene::new(version));
        peer.send(&publish(version, QOS1, "t", Some(1), b""));
        peer.send(&publish(version, QOS2, "t", Some(2), b""));
        let receipts = receipts(&log, 2);
        for code in [1, 0x81, 0x92, 0xFF] {
            assert_eq!(client.acknowledge_with(receipts[0], code), Err(ClientError::InvalidReasonCode(code)));
        }
        for receipt in receipts {
            client.acknowledge_with(receipt, 0x87).unwrap();
        }
        if version.is_v5() {
            peer.expect(&wire::ack_v5(wire::PUBACK, 1, 0x87));
            peer.expect(&wire::ack_v5(wire::PUBREC, 2, 0x87));
            // The exchange has ended, so the same id is a new message.
            peer.send(&publish(version, QOS2, "t", Some(2), b"new"));
            assert_eq!(log.messages(3)[2].payload, &b"new"[..]);
        } else {
            peer.expect(&wire::ack(wire::PUBACK, 1));
            peer.expect(&wire::ack(wire::PUBREC, 2));
        }
    });
}

#[test]
fn after_a_reconnect_a_receipt_of_qos_1_is_stale_and_one_of_qos_2_is_good_if_the_session_is_resumed() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        let (client, log, mut peer) = by_hand(&mut scene);
        peer.send(&publish(version, QOS1, "t", Some(1), b""));
        peer.send(&publish(version, QOS2, "t", Some(2), b""));
        let old = receipts(&log, 2);
        peer.close();
        let mut peer = scene.accept(true);
        log.connection(2);
        assert_eq!(client.acknowledge(old[0]), Err(ClientError::StaleReceipt));
        client.acknowledge(old[1]).unwrap();
        // The server repeats both: the first one is handed over again, the second one is only answered.
        peer.send(&publish(version, QOS1 | DUP, "t", Some(1), b"again"));
        peer.send(&publish(version, QOS2 | DUP, "t", Some(2), b"again"));
        peer.expect(&wire::ack(wire::PUBREC, 2));
        let again = receipts(&log, 3)[2];
        client.acknowledge(again).unwrap();
        peer.expect(&wire::ack(wire::PUBACK, 1));
        assert_eq!(log.messages(3).len(), 3);
    });
}

#[test]
fn every_receipt_is_stale_when_the_session_is_lost() {
    both(|version| {
        let mut scene = Scene::new(version);
        let (client, log, mut peer) = by_hand(&mut scene);
        peer.send(&publish(version, QOS2, "t", Some(2), b""));
        let old = receipts(&log, 1)[0];
        peer.close();
        let mut peer = scene.accept(false);
        log.connection(2);
        assert_eq!(client.acknowledge(old), Err(ClientError::StaleReceipt));
        // What the server sends now is another message, though it has the same id.
        peer.send(&publish(version, QOS2, "t", Some(2), b"new"));
        client.acknowledge(receipts(&log, 2)[1]).unwrap();
        peer.expect(&wire::ack(wire::PUBREC, 2));
    });
}

#[test]
fn a_receipt_used_while_the_connection_is_lost_is_refused_sooner_or_later() {
    let mut scene = Scene::keeping_session(V3_1_1);
    scene.options.reconnect = false;
    let (client, log, mut peer) = by_hand(&mut scene);
    peer.send(&publish(V3_1_1, QOS1, "t", Some(1), b""));
    let receipt = receipts(&log, 1)[0];
    peer.close();
    log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
    assert!(client.acknowledge(receipt).is_ok());
    log.error("its connection is gone");
}

#[test]
fn topic_aliases_of_the_server_are_resolved_up_to_the_maximum() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.topic_alias_maximum = 2;
    let mut live = scene.connected();
    let alias = |number: u8| [0x23, 0, number];
    live.peer.send(
        &[
            wire::publish_v5(0, "one", None, &alias(1), b"1"),
            wire::publish_v5(0, "two", None, &alias(2), b"2"),
            wire::publish_v5(0, "", None, &alias(1), b"3"),
            wire::publish_v5(0, "uno", None, &alias(1), b"4"),
            wire::publish_v5(0, "", None, &alias(1), b"5"),
            wire::publish_v5(0, "", None, &alias(2), b"6"),
        ]
        .concat(),
    );
    let topics: Vec<_> = live.log.messages(6).into_iter().map(|it| it.topic_name.into_owned()).collect();
    assert_eq!(topics, ["one", "two", "one", "uno", "uno", "two"]);
    live.peer.send(&wire::publish_v5(0, "three", None, &alias(3), b""));
    live.peer.expect(&[0xE0, 1, 0x94]);
    live.peer.expect_eof();
    live.log.error("topic alias 3");
    // Aliases end with the connection.
    let mut peer = scene.accept(false);
    peer.send(&wire::publish_v5(0, "", None, &alias(1), b""));
    peer.expect(&[0xE0, 1, 0x82]);
    peer.expect_eof();
}

#[test]
fn more_messages_than_the_receive_maximum_end_the_connection() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.receive_maximum = 2;
    let (_client, log, mut peer) = by_hand(&mut scene);
    for id in 1..=3 {
        peer.send(&publish(V5, QOS1, "t", Some(id), b""));
    }
    peer.expect(&[0xE0, 1, 0x93]);
    peer.expect_eof();
    log.error("receive maximum");
    assert_eq!(log.messages(2).len(), 2);
}

#[test]
fn a_packet_above_the_maximum_size_ends_the_connection_by_its_header() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.limits.maximum_packet_size = 100;
        let mut live = scene.connected();
        let head = publish(version, 0, "t", None, b"").len();
        live.peer.send(&publish(version, 0, "t", None, &vec![b'x'; 100 - head]));
        assert_eq!(live.log.messages(1)[0].payload.len(), 100 - head);
        live.peer.send(&[0x30, 99]);
        if version.is_v5() {
            live.peer.expect(&[0xE0, 1, 0x95]);
        }
        live.peer.expect_eof();
        live.log.error("packet of 101 bytes");
        let _peer = scene.accept(false);
        live.log.connection(2);
    });
}

#[test]
fn reason_strings_that_were_not_wanted_end_the_connection() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.omit_problem_information = true;
    let mut live = scene.connected();
    live.client.publish("t", b"", 1, false).unwrap();
    live.peer.expect_type(3);
    live.peer.send(&wire::packet(wire::PUBACK, &[&[0, 1, 0], &wire::prefixed(&[0x1F, 0, 1, b'x'])]));
    live.peer.expect(&[0xE0, 1, 0x82]);
    live.peer.expect_eof();
}
