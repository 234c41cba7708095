//! Messages that come many at once, and handlers that do something else among them.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock, Weak};

use flowsdk::mqtt_client::{
    AsyncMqttClient, CallbackMode, ConnectionResult, MqttEvent, MqttEventHandler, MqttPublish, Outcome, PublishOptions,
    PublishResult,
};
use flowsdk::types::ProtocolVersion;

use crate::recorder::{Log, Recorder};
use crate::scripted_setup::{Scene, V5, both, publish, unsuback, unsubscribe};
use crate::support::scripted_broker::Peer;
use crate::support::{PATIENCE, wire};

const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

/// Tells a log everything, and does something with each message behind that.
struct Doing<F> {
    recorder: Box<Recorder>,
    something: F,
}

impl<F: FnMut(&MqttPublish<'_>) + Send> MqttEventHandler for Doing<F> {
    fn on_connected(&mut self, result: &ConnectionResult) {
        self.recorder.on_connected(result);
    }

    fn on_published(&mut self, result: &PublishResult) {
        self.recorder.on_published(result);
    }

    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        self.recorder.on_message_received(publish);
        (self.something)(publish);
    }

    fn on_error(&mut self, error: &io::Error) {
        self.recorder.on_error(error);
    }
}

/// A client that does something with each message.
fn connected(
    scene: &Scene,
    something: impl FnMut(&MqttPublish<'_>) + Send + 'static,
) -> (Arc<AsyncMqttClient>, Log, Peer) {
    let (recorder, log) = Recorder::new();
    let handler = Box::new(Doing { recorder, something });
    let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
    client.connect().unwrap();
    let peer = scene.accept(false);
    assert!(log.connection(1).is_success());
    (Arc::new(client), log, peer)
}

/// Runs a test in both versions, with callbacks on each of the threads.
fn everywhere(test: impl Fn(ProtocolVersion, Scene)) {
    both(|version| {
        for callbacks in [CallbackMode::Thread, CallbackMode::Worker] {
            let mut scene = Scene::new(version);
            scene.options.threads.callbacks = callbacks;
            test(version, scene);
        }
    });
}

fn burst(version: ProtocolVersion, ids: impl Iterator<Item = u16>) -> Vec<u8> {
    ids.flat_map(|id| publish(version, QOS1, "t", Some(id), &id.to_be_bytes())).collect()
}

fn ids(log: &Log, count: usize) -> Vec<u16> {
    log.messages(count).iter().filter_map(|it| it.packet_id).collect()
}

/// What the peer hears next is this message: no acknowledgement is left.
fn nothing_else_comes(client: &AsyncMqttClient, peer: &mut Peer, version: ProtocolVersion) {
    client.publish("end", b"", 0, false).unwrap();
    peer.expect(&publish(version, 0, "end", None, b""));
}

#[test]
fn a_handler_that_panics_in_mid_run_misses_nothing() {
    everywhere(|version, scene| {
        let (client, log, mut peer) = connected(&scene, |publish| {
            let id = publish.packet_id.unwrap();
            assert!(![1, 7, 8, 20].contains(&id), "the test's own panic at {id}");
        });
        peer.send(&burst(version, 1..=20));
        (1..=20).for_each(|id| peer.expect(&wire::ack(wire::PUBACK, id)));
        assert_eq!(ids(&log, 20), (1..=20).collect::<Vec<_>>());
        nothing_else_comes(&client, &mut peer, version);
        let errors = log.wait_for(|events| {
            let errors = events.iter().filter_map(|event| match event {
                MqttEvent::Error(error) => Some(error.to_string()),
                _ => None,
            });
            Some(errors.collect::<Vec<_>>()).filter(|errors| errors.len() >= 4)
        });
        for (error, id) in errors.iter().zip([1, 7, 8, 20]) {
            assert!(error.contains(&format!("the test's own panic at {id}")), "{error}");
        }
    });
}

/// [MQTT-4.6.0-2]
#[test]
fn messages_that_the_handler_acknowledges_itself_are_acknowledged_once_and_in_their_turn() {
    everywhere(|version, scene| {
        let place: Arc<OnceLock<Weak<AsyncMqttClient>>> = Arc::default();
        let client_of = Arc::clone(&place);
        let (client, log, mut peer) = connected(&scene, move |publish| {
            let client = client_of.get().and_then(Weak::upgrade).unwrap();
            if publish.packet_id.unwrap() % 3 == 1 {
                client.acknowledge(publish.receipt().unwrap()).unwrap();
            }
        });
        place.set(Arc::downgrade(&client)).unwrap();
        for first in [1, 41] {
            peer.send(&burst(version, first..first + 40));
            (first..first + 40).for_each(|id| peer.expect(&wire::ack(wire::PUBACK, id)));
        }
        assert_eq!(ids(&log, 80), (1..=80).collect::<Vec<_>>());
        nothing_else_comes(&client, &mut peer, version);
        assert_eq!(log.count(|event| matches!(event, MqttEvent::Error(_))), 0);
    });
}

#[test]
fn runs_of_every_qos_and_topic_between_each_other_are_handed_over_in_their_order() {
    everywhere(|version, scene| {
        let (client, log, mut peer) = connected(&scene, |_| {});
        let (mut stream, mut sent, mut answers) = (Vec::new(), Vec::new(), [Vec::new(), Vec::new()]);
        for id in 1..=60 {
            let (flags, topic) =
                ([0, 0, QOS1, QOS1, QOS1, QOS2][id as usize % 6], ["a/b", "ü", "a/b/c"][id as usize / 7 % 3]);
            let payload = vec![b'p'; id as usize * 5];
            stream.extend(publish(version, flags, topic, (flags > 0).then_some(id), &payload));
            sent.push((topic.to_string(), payload, flags >> 1));
            match flags {
                QOS1 => answers[0].push(id),
                QOS2 => answers[1].push(id),
                _ => {}
            }
        }
        peer.send(&stream);
        let mut heard = [Vec::new(), Vec::new()];
        for _ in 0..answers.iter().map(Vec::len).sum() {
            let answer = peer.read_packet();
            heard[usize::from(answer[0] == wire::PUBREC)].push(wire::packet_id(&answer));
        }
        assert_eq!(heard, answers);
        let got: Vec<_> =
            log.messages(60).into_iter().map(|it| (it.topic_name.to_string(), it.payload.to_vec(), it.qos)).collect();
        assert_eq!(got, sent);
        nothing_else_comes(&client, &mut peer, version);
    });
}

#[test]
fn the_news_of_a_publish_does_not_wait_behind_messages_that_have_come_before() {
    let (go_on, wait) = mpsc::channel::<()>();
    let (client, log, mut peer) = connected(&Scene::new(V5), move |publish| {
        if publish.packet_id == Some(1) {
            wait.recv_timeout(PATIENCE).unwrap();
        }
    });
    peer.send(&burst(V5, 1..=20));
    log.messages(1);
    let options = PublishOptions { qos: 1, ..Default::default() };
    let publishing = client.publish_tracked("t", b"", &options).unwrap();
    peer.expect(&publish(V5, QOS1, "t", Some(1), b""));
    peer.send(&wire::ack(wire::PUBACK, 1));
    publishing.wait(PATIENCE).unwrap();
    // The first may leave in the turn that has the outcome, before that is told; the second leaves behind that turn.
    for payload in [b"first", b"later"] {
        client.publish("t", payload, 0, false).unwrap();
        peer.expect(&publish(V5, 0, "t", None, payload));
    }
    go_on.send(()).unwrap();
    log.messages(20);
    log.with(|events| {
        let published = events.iter().position(|event| matches!(event, MqttEvent::Published(it) if it.qos == 1));
        let second =
            events.iter().position(|event| matches!(event, MqttEvent::MessageReceived(it) if it.packet_id == Some(2)));
        assert!(published < second, "{published:?} {second:?}");
        assert!(published.is_some());
    });
    (1..=20).for_each(|id| peer.expect(&wire::ack(wire::PUBACK, id)));
}

#[test]
fn the_end_of_an_unsubscribe_is_told_behind_the_messages_that_came_before_it() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let token = live.client.unsubscribe(vec!["t"]).unwrap();
        live.peer.expect(&unsubscribe(version, 1, &["t"]));
        let mut input = burst(version, 1..=50);
        input.extend(unsuback(version, 1, &[0]));
        input.extend(publish(version, 0, "other", None, b""));
        live.peer.send(&input);
        live.log.unsubscribed(token);
        live.log.messages(51);
        live.log.with(|events| {
            let is_message = |event: &&MqttEvent<'_>| matches!(event, MqttEvent::MessageReceived(_));
            let end = events.iter().position(|event| matches!(event, MqttEvent::Unsubscribed(_))).unwrap();
            let (before, behind) = events.split_at(end);
            assert_eq!((before.iter().filter(is_message).count(), behind.iter().filter(is_message).count()), (50, 1));
        });
    });
}

#[test]
fn more_than_the_receive_maximum_in_one_run_is_an_error_behind_what_it_allows() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.receive_maximum = 5;
    let (_client, log, mut peer) = connected(&scene, |_| {});
    let all = burst(V5, 1..=6);
    peer.send(&all);
    assert_eq!(ids(&log, 5), [1, 2, 3, 4, 5]);
    let last = loop {
        let packet = peer.read_packet();
        if packet[0] != wire::PUBACK {
            break packet;
        }
    };
    assert_eq!(last, [0xE0, 1, 0x93]);
    peer.expect_eof();
    assert_eq!(log.messages(5).len(), 5);
}

#[test]
fn acknowledgements_that_come_many_at_once_are_told_each_with_its_own_token_and_packet_id() {
    everywhere(|version, scene| {
        let (client, log, mut peer) = connected(&scene, |_| {});
        let mut tokens: Vec<_> = (0..30).map(|_| client.publish("t", b"", 1, false).unwrap()).collect();
        let options = PublishOptions { qos: 1, ..Default::default() };
        let tracked = client.publish_tracked("t", b"", &options).unwrap();
        tokens.push(tracked.token());
        (1..=31).for_each(|id| peer.expect(&publish(version, QOS1, "t", Some(id), b"")));
        let mut order: Vec<u16> = (1..=31).collect();
        order.swap(4, 20);
        order[10..13].rotate_left(1);
        // No subscriber has matched, says the server of one of them.
        let code = |id| if version.is_v5() && id == 17 { 0x10 } else { 0 };
        let answer =
            |id| if code(id) > 0 { wire::ack_v5(wire::PUBACK, id, code(id)) } else { wire::ack(wire::PUBACK, id) };
        peer.send(&order.iter().flat_map(|id| answer(*id)).collect::<Vec<_>>());
        let results = log.wait_for(|events| {
            let results = events.iter().filter_map(|event| match event {
                MqttEvent::Published(result) => Some(result.clone()),
                _ => None,
            });
            Some(results.collect::<Vec<_>>()).filter(|results| results.len() == 31)
        });
        for (result, id) in results.iter().zip(order) {
            assert_eq!((result.token, result.packet_id), (tokens[usize::from(id) - 1], Some(id)));
            assert_eq!((result.qos, result.reason_code), (1, Some(code(id))));
            assert_eq!(result.outcome, Outcome::Acknowledged);
        }
        assert_eq!(tracked.wait(PATIENCE).unwrap(), results[30]);
    });
}
