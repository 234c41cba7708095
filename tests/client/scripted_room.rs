//! Producers that wait for room, and batches.

use std::io::Read as _;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{BatchMessage, CallbackMode, ClientError, MqttEvent, MqttPublish, Outcome, PublishOptions};

use crate::broker_fixture::{Client, VERSIONS, options, quick};
use crate::scripted_setup::{Live, Scene, V5, both, publish};
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::scripted_broker::Peer;
use crate::support::{PATIENCE, wait_until, wire};

const AT_ONCE: Duration = Duration::ZERO;
/// Long enough for what happens without waiting for anything.
const A_MOMENT: Duration = Duration::from_millis(50);

fn qos(qos: u8) -> PublishOptions {
    PublishOptions { qos, ..Default::default() }
}

/// A client with one message in flight, as many as may be, and a queue of eight that is full.
fn full(change: impl FnOnce(&mut Scene)) -> Live {
    let mut scene = Scene::new(V5);
    scene.config.command_queue_size = 8;
    scene.options.limits.in_flight = 1;
    change(&mut scene);
    let mut live = scene.connected();
    live.client.publish("t", b"x", 1, false).unwrap();
    live.peer.expect_type(3);
    wait_until(PATIENCE, || live.client.publish("t", b"x", 1, false) == Err(ClientError::QueueFull));
    live
}

/// Acknowledges the message in flight and waits for the next one.
fn let_one_go(peer: &mut Peer, packet_id: u16) {
    peer.send(&wire::ack(wire::PUBACK, packet_id));
    let packet = peer.expect_type(3);
    assert_eq!(wire::packet_id(&packet), packet_id + 1);
}

#[test]
fn a_producer_waits_until_the_queue_is_half_empty() {
    let Live { mut peer, client, log } = full(|_| {});
    assert_eq!(client.publish_wait("t", b"late", &qos(1), A_MOMENT), Err(ClientError::QueueFull));
    let (sender, ended) = channel();
    thread::scope(|scope| {
        let (begin, has_begun) = channel();
        let (client, sender) = (&client, &sender);
        scope.spawn(move || {
            begin.send(()).unwrap();
            sender.send(client.publish_wait("t", b"waited", &qos(1), PATIENCE)).unwrap();
        });
        has_begun.recv().unwrap();
        assert!(ended.recv_timeout(A_MOMENT).is_err(), "no place is free");
        (1..4).for_each(|packet_id| let_one_go(&mut peer, packet_id));
        assert!(ended.recv_timeout(A_MOMENT).is_err(), "three places of eight are free");
        let_one_go(&mut peer, 4);
        let token = ended.recv_timeout(PATIENCE).unwrap().unwrap();
        (5..9).for_each(|packet_id| let_one_go(&mut peer, packet_id));
        peer.send(&wire::ack(wire::PUBACK, 9));
        peer.expect(&publish(V5, 0x02, "t", Some(10), b"waited"));
        peer.send(&wire::ack(wire::PUBACK, 10));
        assert_eq!(log.published(token).outcome, Outcome::Acknowledged);
    });
}

#[test]
fn any_room_will_do_for_a_producer_whose_time_is_over() {
    let Live { mut peer, client, .. } = full(|_| {});
    let options = qos(1);
    let batch = [BatchMessage { topic: "t", payload: b"x", options: &options }; 2];
    let limit = Duration::from_secs(2);
    thread::scope(|scope| {
        let single = scope.spawn(|| client.publish_wait("t", b"x", &options, limit));
        let_one_go(&mut peer, 1);
        assert!(single.join().unwrap().is_ok(), "one place of eight was free");
        let waiting = scope.spawn(|| client.publish_batch(&batch, limit));
        let_one_go(&mut peer, 2);
        let result = waiting.join().unwrap();
        assert_eq!((result.accepted, result.error), (1, Some(ClientError::QueueFull)));
    });
}

#[test]
fn a_producer_that_waits_hears_of_the_end_of_the_client() {
    let Live { peer, client, .. } = full(|_| {});
    let (sender, ended) = channel();
    thread::scope(|scope| {
        scope.spawn(|| sender.send(client.publish_wait("t", b"", &qos(1), PATIENCE)).unwrap());
        assert!(ended.recv_timeout(A_MOMENT).is_err());
        scope.spawn(|| client.shutdown());
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Err(ClientError::ShutDown));
        drop(peer);
    });
}

#[test]
fn a_callback_never_waits_for_room() {
    for mode in [CallbackMode::Thread, CallbackMode::Worker] {
        let Live { mut peer, client, log } = full(|scene| scene.options.threads.callbacks = mode);
        let client = std::sync::Arc::new(client);
        let (weak, (sender, ended)) = (std::sync::Arc::downgrade(&client), channel());
        let handler = move |_: &MqttPublish<'_>| {
            sender.send(weak.upgrade().unwrap().publish_wait("t", b"x", &qos(1), PATIENCE)).unwrap();
        };
        client.add_topic_handler("in", handler).unwrap();
        peer.send(&publish(V5, 0, "in", None, b""));
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Err(ClientError::WouldDeadlock));
        let_one_go(&mut peer, 1);
        // With room there is nothing to wait for.
        peer.send(&publish(V5, 0, "in", None, b""));
        let token = ended.recv_timeout(PATIENCE).unwrap().unwrap();
        (2..10).for_each(|packet_id| let_one_go(&mut peer, packet_id));
        peer.send(&wire::ack(wire::PUBACK, 10));
        assert!(log.published(token).is_success());
    }
}

#[test]
fn a_batch_is_accepted_as_far_as_there_is_room_and_the_rest_is_left() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.command_queue_size = 4;
        let (client, log) = scene.client();
        let (first, second) = (qos(1), qos(0));
        let message = |payload: &'static [u8]| BatchMessage { topic: "t", payload, options: &first };
        let mut batch = [b"0", b"1", b"2", b"3", b"4", b"5"].map(|payload| message(payload));
        batch[1].options = &second;
        client.set_auto_reconnect(true).unwrap();
        let result = client.publish_batch(&batch[..3], AT_ONCE);
        assert_eq!((result.accepted, &result.error), (3, &None));
        let tokens: Vec<_> = result.tokens().collect();
        assert!(tokens.is_sorted_by(|a, b| a < b) && tokens.len() == 3);
        assert_eq!(client.publish_batch(&[], AT_ONCE).error, None);

        client.connect().unwrap();
        let mut peer = scene.accept(false);
        for number in 0..3 {
            let packet = peer.expect_type(3);
            assert_eq!(packet.last(), Some(&(b'0' + number)));
            if number != 1 {
                peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
            }
        }
        let outcomes: Vec<_> = tokens.iter().map(|token| log.published(*token).outcome).collect();
        assert_eq!(outcomes, [Outcome::Acknowledged, Outcome::Sent, Outcome::Acknowledged]);
        batch[4].topic = "not/a/#/name";
        let result = client.publish_batch(&batch[3..], AT_ONCE);
        assert!(matches!(result.error, Some(ClientError::InvalidTopic { .. })), "{result:?}");
        assert_eq!(result.accepted, 1);
        assert_eq!(peer.expect_type(3).last(), Some(&b'3'));
    });
}

#[test]
fn a_batch_waits_for_room_if_it_may() {
    let Live { mut peer, client, log } = full(|_| {});
    let options = qos(1);
    let batch = [BatchMessage { topic: "t", payload: b"x", options: &options }; 20];
    let refused = client.publish_batch(&batch, AT_ONCE);
    assert_eq!((refused.accepted, refused.error), (0, Some(ClientError::QueueFull)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.publish_batch(&batch, PATIENCE));
        (1..29).for_each(|packet_id| let_one_go(&mut peer, packet_id));
        peer.send(&wire::ack(wire::PUBACK, 29));
        let result = waiting.join().unwrap();
        assert_eq!((result.accepted, &result.error), (20, &None));
        result.tokens().for_each(|token| assert!(log.published(token).is_success()));
    });
}

#[test]
fn a_bound_in_bytes_holds_a_batch_back_and_lets_one_larger_message_through() {
    let Live { mut peer, client, .. } = full(|scene| {
        scene.options.limits.queue_bytes = 100;
        scene.config.command_queue_size = 1000;
    });
    let options = qos(1);
    let (small, large) = ([b'x'; 30], [b'x'; 500]);
    let batch = [&small[..], &large, &small].map(|payload| BatchMessage { topic: "t", payload, options: &options });
    let refused = client.publish_batch(&batch, A_MOMENT);
    assert_eq!((refused.accepted, refused.error), (0, Some(ClientError::QueueFull)));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.publish_batch(&batch, PATIENCE));
        let lengths: Vec<_> = (1..)
            .map(|packet_id| {
                peer.send(&wire::ack(wire::PUBACK, packet_id));
                peer.expect_type(3).len()
            })
            .skip_while(|len| *len < 30)
            .take(3)
            .collect();
        assert!(lengths[0] < 100 && lengths[1] > 500 && lengths[2] < 100, "{lengths:?}");
        assert_eq!(waiting.join().unwrap().accepted, 3);
    });
}

#[test]
fn a_batch_that_does_not_wait_fills_the_queue_as_single_messages_do() {
    let live = || {
        let mut scene = Scene::new(V5);
        scene.options.limits.in_flight = 1;
        scene.options.limits.queue_bytes = 40_500;
        let mut live = scene.connected();
        live.client.publish("t", b"x", 1, false).unwrap();
        live.peer.expect_type(3);
        live
    };
    let (options, payload) = (qos(1), [b'x'; 1000]);
    let Live { client, peer, .. } = live();
    let single = (0..).take_while(|_| client.publish("t", &payload, 1, false).is_ok()).count();
    assert_eq!(single, 40);
    drop(peer);
    let Live { client, peer, .. } = live();
    let batch = [BatchMessage { topic: "t", payload: &payload, options: &options }; 60];
    let result = client.publish_batch(&batch, AT_ONCE);
    assert_eq!((result.accepted, result.error), (single, Some(ClientError::QueueFull)));
    drop(peer);
}

#[test]
fn producers_that_wait_do_so_at_a_lower_bound_in_bytes() {
    let mut scene = Scene::new(V5);
    scene.options.limits.in_flight = 1;
    let mut live = scene.connected();
    live.client.publish("t", b"x", 1, false).unwrap();
    live.peer.expect_type(3);
    let large = vec![b'x'; 200 * 1024];
    live.client.publish_wait("t", &large, &qos(1), A_MOMENT).unwrap();
    assert_eq!(live.client.publish_wait("t", &large, &qos(1), A_MOMENT), Err(ClientError::QueueFull));
    let options = qos(1);
    let batch = [BatchMessage { topic: "t", payload: &large, options: &options }; 2];
    let waiting = live.client.publish_batch(&batch, A_MOMENT);
    assert_eq!((waiting.accepted, waiting.error), (0, Some(ClientError::QueueFull)));
    let at_once = live.client.publish_batch(&batch, AT_ONCE);
    assert_eq!((at_once.accepted, at_once.error), (2, None));
    live.client.publish("t", &large, 1, false).unwrap();
}

#[test]
fn a_message_that_fills_the_queue_alone_does_so_until_it_has_gone() {
    let Live { mut peer, client, .. } = Scene::new(V5).connected();
    // The system takes a part of it at most.
    let large = vec![b'x'; 12 * 1024 * 1024];
    client.publish_wait("t", &large, &qos(0), A_MOMENT).unwrap();
    assert_eq!(client.publish_wait("t", &large, &qos(0), A_MOMENT), Err(ClientError::QueueFull));
    let options = qos(0);
    let batch = [BatchMessage { topic: "t", payload: &large, options: &options }];
    assert_eq!(client.publish_batch(&batch, A_MOMENT).error, Some(ClientError::QueueFull));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.publish_wait("t", &large, &qos(0), PATIENCE));
        assert!(peer.expect_type(3).len() > large.len());
        waiting.join().unwrap().unwrap();
    });
    assert!(peer.expect_type(3).len() > large.len());
}

#[test]
fn what_a_long_message_is_refused_for_is_said_although_the_queue_is_full() {
    let Live { client, .. } = full(|_| {});
    let large = vec![b'x'; 100 * 1024];
    let refused = client.publish_wait("a/#", &large, &qos(1), PATIENCE);
    assert!(matches!(refused, Err(ClientError::InvalidTopic { .. })), "{refused:?}");
    assert_eq!(client.publish("t", &large, 1, false), Err(ClientError::QueueFull));
    assert_eq!(client.publish_tracked("t", &large, &qos(1)).err(), Some(ClientError::QueueFull));
}

#[test]
fn producers_that_wait_have_everything_accepted_through_a_small_queue() {
    const EACH: usize = 2_000;
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let config = flowsdk::mqtt_client::AsyncClientConfig { command_queue_size: 16, ..quick() };
        let client = Client::new(options(broker.address(), "producer", version), config);
        client.connect_and_wait();
        let (one, two) = (client.clone(), client.clone());
        let singles = thread::spawn(move || {
            for _ in 0..EACH {
                one.publish_wait("t", b"x", &qos(1), PATIENCE).unwrap();
            }
        });
        let batches = thread::spawn(move || {
            let options = qos(2);
            let batch = [BatchMessage { topic: "t", payload: b"x", options: &options }; 50];
            for _ in 0..EACH / 50 {
                assert_eq!(two.publish_batch(&batch, PATIENCE).accepted, 50);
            }
        });
        singles.join().unwrap();
        batches.join().unwrap();
        client.shutdown().unwrap();
        let tokens = client.ended_tokens();
        assert_eq!(tokens.len(), 2 * EACH);
        assert_eq!(tokens.iter().collect::<std::collections::HashSet<_>>().len(), 2 * EACH);
    }
}

#[test]
fn of_messages_that_a_cut_meets_those_that_have_gone_whole_are_told_as_sent() {
    let mut scene = Scene::new(V5);
    scene.options.reconnect = false;
    let Live { client, log, mut peer, .. } = scene.connected();
    // Until nothing more fits between the two.
    while client.publish_wait("t", &[b'x'; 1000], &qos(0), A_MOMENT).is_ok() {}
    peer.finish_sending();
    log.wait_for_count(1, |event| matches!(event, MqttEvent::ConnectionLost));
    let mut arrived = 0;
    let mut stream = peer.into_stream();
    let mut packet = [0; 2 + 1 + 3 + 1 + 1000];
    while stream.read_exact(&mut packet).is_ok() {
        assert_eq!(packet[..7], [0x30, 0xEC, 0x07, 0, 1, b't', 0]);
        arrived += 1;
    }
    let is_sent = |event: &MqttEvent<'static>| match event {
        MqttEvent::Published(result) => result.outcome == Outcome::Sent,
        _ => false,
    };
    assert_eq!(log.count(is_sent), arrived);
}
