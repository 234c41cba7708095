//! Where events go: tokens and their results, waits, the receiver, handlers by topic.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncMqttClient, ClientError, DropCause, MqttEvent, Outcome, PublishOptions, SubscribeOptions, TopicSubscription,
    WaitError,
};

use crate::recorder::ledger;
use crate::scripted_setup::{Live, Scene, V5, both, publish, suback, unsuback};
use crate::support::{PATIENCE, wait_until, wire};

fn qos(qos: u8) -> PublishOptions {
    PublishOptions { qos, ..Default::default() }
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        assert!(Instant::now() < deadline, "the future was not woken");
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn every_token_ends_in_exactly_one_outcome_over_cuts_and_a_shutdown() {
    both(|version| {
        for session_present in [true, false] {
            let scene = Scene::keeping_session(version);
            let Live { client, log, peer } = scene.connected();
            let mut peer = peer;
            let mut accepted = Vec::new();
            for round in 0..4 {
                for qos in [0, 1, 2, 1, 2, 0] {
                    accepted.push(client.publish("t", &[round], qos, false).unwrap());
                }
                accepted.push(client.subscribe("s", 1).unwrap());
                accepted.push(client.unsubscribe(vec!["u"]).unwrap());
                // Every other exchange gets its answer before the cut, another half each time.
                for number in 0..8 {
                    let packet = peer.read_packet();
                    if (number + round) % 2 == 0 && packet[0] != 0x30 {
                        peer.send(&match packet[0] >> 4 {
                            3 if packet[0] & 4 == 0 => wire::ack(wire::PUBACK, wire::packet_id(&packet)),
                            3 => wire::ack(wire::PUBREC, wire::packet_id(&packet)),
                            6 => wire::ack(wire::PUBCOMP, wire::packet_id(&packet)),
                            8 => suback(version, wire::packet_id(&packet), &[1]),
                            10 => unsuback(version, wire::packet_id(&packet), &[0]),
                            _ => continue,
                        });
                    }
                }
                peer.close();
                peer = scene.accept(session_present);
                log.connection(usize::from(round) + 2);
            }
            drop(peer);
            client.shutdown().unwrap();
            let ledger = log.with(ledger);
            assert_eq!(ledger.keys().copied().collect::<Vec<_>>(), accepted);
            assert!(ledger.values().all(|outcomes| outcomes.len() == 1), "{ledger:?}");
        }
    });
}

#[test]
fn tokens_are_numbered_in_the_order_of_the_calls() {
    let live = Scene::new(V5).connected();
    let tokens = [
        live.client.publish("t", b"", 0, false).unwrap(),
        live.client.subscribe("t", 0).unwrap(),
        live.client.unsubscribe(vec!["t"]).unwrap(),
        live.client.publish_tracked("t", b"", &qos(0)).unwrap().token(),
    ];
    assert!(tokens.is_sorted_by(|a, b| a < b && a.id() < b.id()), "{tokens:?}");
}

#[test]
fn a_tracked_call_can_be_waited_for_and_its_callback_comes_all_the_same() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let sent = live.client.publish_tracked("t", b"0", &qos(0)).unwrap();
        assert_eq!(sent.wait(PATIENCE).unwrap().outcome, Outcome::Sent);
        live.peer.expect_type(3);

        let published = live.client.publish_tracked("t", b"1", &qos(1)).unwrap();
        live.peer.expect_type(3);
        assert!(published.try_result().is_none());
        assert_eq!(published.wait(Duration::from_millis(20)), Err(WaitError::TimedOut));
        live.peer.send(&wire::ack(wire::PUBACK, 1));
        // The call has gone on, and another wait sees its result, as often as one likes.
        let result = published.wait(PATIENCE).unwrap();
        assert_eq!((result.outcome, result.token), (Outcome::Acknowledged, published.token()));
        assert_eq!(published.wait(Duration::ZERO), Ok(result.clone()));
        assert_eq!(published.try_result(), Some(result.clone()));
        assert_eq!(live.log.published(published.token()), result);

        let none = SubscribeOptions::default();
        let subscribed = live.client.subscribe_tracked(&[TopicSubscription::new("t", 1)], &none).unwrap();
        live.peer.expect_type(8);
        live.peer.send(&suback(version, 2, &[0x80]));
        assert_eq!(subscribed.wait(PATIENCE).unwrap().reason_codes, [0x80]);

        let unsubscribed = live.client.unsubscribe_tracked(&["t"], &Default::default()).unwrap();
        live.peer.expect_type(10);
        live.peer.send(&unsuback(version, 3, &[0]));
        assert!(unsubscribed.wait(PATIENCE).unwrap().is_success());
    });
}

#[test]
fn a_tracked_call_can_be_awaited_without_an_executor() {
    both(|version| {
        let Live { client, mut peer, .. } = Scene::new(version).connected();
        let server = thread::spawn(move || {
            for _ in 0..3 {
                let packet = peer.expect_type(3);
                peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
            }
            peer
        });
        let outcomes = block_on(async {
            let mut outcomes = Vec::new();
            for _ in 0..3 {
                outcomes.push(client.publish_tracked("t", b"", &qos(1)).unwrap().await.outcome);
            }
            outcomes
        });
        assert_eq!(outcomes, [Outcome::Acknowledged; 3]);
        drop(server.join().unwrap());
    });
}

#[test]
fn a_tracked_call_ends_with_the_client_too() {
    let mut scene = Scene::new(V5);
    scene.options.timeouts.drain = Duration::ZERO;
    let Live { client, mut peer, .. } = scene.connected();
    let waiting = client.publish_tracked("t", b"", &qos(1)).unwrap();
    peer.expect_type(3);
    let waiter = thread::spawn(move || waiting.wait(PATIENCE));
    let closing = thread::spawn(move || while peer.read_packet_or_eof().is_some() {});
    client.shutdown().unwrap();
    assert_eq!(waiter.join().unwrap().unwrap().outcome, Outcome::Cancelled);
    closing.join().unwrap();
}

#[test]
fn a_message_of_qos_0_that_a_cut_leaves_unsent_says_so() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.reconnect = false;
        let Live { client, log, peer } = scene.connected();
        // More than the buffers of the sockets hold.
        let token = client.publish("t", &vec![0; 20_000_000], 0, false).unwrap();
        let mut peer = peer;
        peer.finish_sending();
        peer.reset();
        assert_eq!(log.published(token).outcome, Outcome::Dropped(DropCause::ConnectionLost));
    });
}

#[test]
fn a_receiver_gives_the_same_events_in_order_and_acknowledges_what_is_taken() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, mut receiver) =
            AsyncMqttClient::with_receiver(scene.options.clone(), scene.config.clone()).unwrap();
        assert!(receiver.try_recv().is_none());
        assert!(receiver.recv_timeout(Duration::from_millis(1)).is_none());
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        assert!(matches!(receiver.recv(), Some(MqttEvent::Connected(result)) if result.is_success()));
        for id in 1..=2 {
            peer.send(&publish(version, 0x02, "t", Some(id), b"0"));
        }
        client.publish("marker", b"", 0, false).unwrap();
        // Nothing is acknowledged before it is taken.
        peer.expect(&publish(version, 0, "marker", None, b""));
        let mut messages = 0;
        while messages < 2 {
            match receiver.recv_timeout(PATIENCE) {
                Some(MqttEvent::MessageReceived(_)) => {
                    messages += 1;
                    peer.expect(&wire::ack(wire::PUBACK, messages));
                }
                Some(MqttEvent::Published(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        drop(peer);
        client.shutdown().unwrap();
        let rest: Vec<_> = receiver.by_ref().collect();
        assert!(!rest.iter().any(|event| matches!(event, MqttEvent::MessageReceived(_))), "{rest:?}");
        assert!(receiver.recv().is_none());
    });
}

#[test]
fn results_that_nobody_takes_hold_up_calls_until_the_receiver_is_dropped() {
    let mut scene = Scene::new(V5);
    scene.options.limits.unreported_results = 2;
    let (client, receiver) = AsyncMqttClient::with_receiver(scene.options.clone(), scene.config.clone()).unwrap();
    client.connect().unwrap();
    let _peer = scene.accept(false);
    let publish = || client.publish("t", b"", 0, false);
    wait_until(PATIENCE, || publish() == Err(ClientError::QueueFull));
    drop(receiver);
    wait_until(PATIENCE, || publish().is_ok());
}

#[test]
fn a_handler_by_topic_that_holds_its_client_is_let_go_when_the_client_ends() {
    let (client, _log) = Scene::new(V5).client();
    let client = Arc::new(client);
    let (held, weak) = (Arc::clone(&client), Arc::downgrade(&client));
    client.add_topic_handler("t", move |_| drop(held.ping())).unwrap();
    client.shutdown().unwrap();
    drop(client);
    wait_until(PATIENCE, || weak.upgrade().is_none());
}

/// [MQTT-4.7.2-1]
#[test]
fn handlers_by_topic_take_what_matches_and_the_rest_goes_to_the_general_one() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let (calls, called) = channel();
        let add = |filter: &'static str| {
            let calls = calls.clone();
            let handler = move |message: &flowsdk::mqtt_client::MqttPublish<'_>| {
                calls.send((filter, message.topic_name.clone().into_owned())).unwrap();
            };
            live.client.add_topic_handler(filter, handler).unwrap();
        };
        add("a/+");
        add("a/b");
        add("$share/g/s/#");
        let mut take = |topic: &str| {
            live.peer.send(&publish(version, 0x02, topic, Some(1), b""));
            live.peer.expect(&wire::ack(wire::PUBACK, 1));
            let mut filters: Vec<_> = called.try_iter().map(|(filter, _)| filter).collect();
            filters.sort_unstable();
            filters
        };
        assert_eq!(take("a/b"), ["a/+", "a/b"]);
        assert_eq!(take("a/c"), ["a/+"]);
        assert_eq!(take("s"), ["$share/g/s/#"]);
        assert!(take("a").is_empty());
        assert!(live.client.remove_topic_handler("a/+"));
        assert!(!live.client.remove_topic_handler("a/+"));
        assert!(take("a/c").is_empty());
        add("#");
        assert!(take("$SYS/x").is_empty());
        add("$SYS/#");
        assert_eq!(take("$SYS/x"), ["$SYS/#"]);
        assert_eq!(take("x"), ["#"]);
        let general: Vec<_> = live.log.messages(3).into_iter().map(|it| it.topic_name.into_owned()).collect();
        assert_eq!(general, ["a", "a/c", "$SYS/x"]);
    });
}
