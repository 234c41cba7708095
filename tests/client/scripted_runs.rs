//! Messages that travel together, each with an end of its own.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncMqttClient, BatchMessage, CallbackMode, ClientError, ConnectionResult, DropCause, MessageProperties,
    MqttEvent, MqttEventHandler, Outcome, PublishOptions, PublishResult, Token,
};
use flowsdk::session::Misuse;

use crate::recorder::{Log, Recorder};
use crate::scripted_setup::{Live, Scene, V5, both, connack, publish};
use crate::support::wire;

const TOPIC: &str = "topic";
const PATIENCE: Duration = Duration::from_secs(10);

/// Publishes these in one call; all have to be accepted.
#[track_caller]
fn batch(client: &AsyncMqttClient, payloads: &[&[u8]], options: &PublishOptions) -> Vec<Token> {
    let messages: Vec<_> = payloads.iter().map(|payload| BatchMessage { topic: TOPIC, payload, options }).collect();
    let result = client.publish_batch(&messages, PATIENCE);
    assert_eq!((result.accepted, &result.error), (payloads.len(), &None));
    result.tokens().collect()
}

#[track_caller]
fn outcomes(log: &Log, tokens: &[Token]) -> Vec<Outcome> {
    tokens.iter().map(|token| log.published(*token).outcome).collect()
}

#[test]
fn each_message_of_a_run_is_reported_with_its_own_token() {
    both(|version| {
        let Live { mut peer, client, log } = Scene::new(version).connected();
        let tokens = batch(&client, &[b"1", b"", b"333"], &PublishOptions::default());
        for payload in [&b"1"[..], b"", b"333"] {
            peer.expect(&publish(version, 0, TOPIC, None, payload));
        }
        for token in &tokens {
            let result = log.published(*token);
            assert_eq!((result.outcome, result.qos, result.packet_id), (Outcome::Sent, 0, None));
        }
        assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 3);
        assert_eq!(log.count(|event| matches!(event, MqttEvent::Published(_))), 3);
    });
}

#[test]
fn of_a_run_the_server_gets_what_it_takes_and_the_rest_is_dropped() {
    // Maximum Packet Size 20, Retain Available 0.
    let mut live = Scene::new(V5).connected_with(&wire::connack_v5(&[0x27, 0, 0, 0, 20, 0x25, 0], false, 0));
    let long = [b'x'; 20];
    let tokens = batch(&live.client, &[b"1", &long, b"3"], &PublishOptions::default());
    live.peer.expect(&publish(V5, 0, TOPIC, None, b"1"));
    live.peer.expect(&publish(V5, 0, TOPIC, None, b"3"));
    let too_long = Outcome::Dropped(DropCause::Refused(Misuse::PacketTooLarge { limit: 20 }));
    assert_eq!(outcomes(&live.log, &tokens), [Outcome::Sent, too_long, Outcome::Sent]);
    let retained = live.client.publish(TOPIC, b"retained", 0, true).unwrap();
    let plain = live.client.publish(TOPIC, b"plain", 0, false).unwrap();
    live.peer.expect(&publish(V5, 0, TOPIC, None, b"plain"));
    let refused = Outcome::Dropped(DropCause::Refused(Misuse::RetainNotSupported));
    assert_eq!(outcomes(&live.log, &[retained, plain]), [refused, Outcome::Sent]);
}

#[test]
fn an_invalid_message_leaves_those_before_and_behind_it_alone() {
    both(|version| {
        let Live { mut peer, client, log } = Scene::new(version).connected();
        let options = PublishOptions::default();
        let message = |topic, payload| BatchMessage { topic, payload, options: &options };
        let messages = [message(TOPIC, b"1"), message("t/#", b"2"), message(TOPIC, b"3")];
        let result = client.publish_batch(&messages, PATIENCE);
        assert_eq!(result.accepted, 1);
        assert!(matches!(result.error, Some(ClientError::InvalidTopic { .. })), "{:?}", result.error);
        assert!(client.publish("", b"4", 0, false).is_err());
        let last = client.publish(TOPIC, b"5", 0, false).unwrap();
        peer.expect(&publish(version, 0, TOPIC, None, b"1"));
        peer.expect(&publish(version, 0, TOPIC, None, b"5"));
        let tokens: Vec<_> = result.tokens().chain([last]).collect();
        assert_eq!(outcomes(&log, &tokens), [Outcome::Sent, Outcome::Sent]);
    });
}

#[test]
fn a_run_that_waits_for_a_connection_is_dropped_and_sent_message_by_message() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.max_buffer_size = 2;
        let (client, log) = scene.client();
        let tokens = batch(&client, &[b"1", b"2", b"3"], &PublishOptions::default());
        assert_eq!(outcomes(&log, &tokens[..1]), [Outcome::Dropped(DropCause::BufferFull)]);
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&publish(version, 0, TOPIC, None, b"2"));
        peer.expect(&publish(version, 0, TOPIC, None, b"3"));
        assert_eq!(outcomes(&log, &tokens[1..]), [Outcome::Sent, Outcome::Sent]);
    });
}

#[test]
fn a_run_that_was_never_sent_is_cancelled_by_a_shutdown() {
    both(|version| {
        let (client, log) = Scene::new(version).client();
        let tokens = batch(&client, &[b"1", b"2"], &PublishOptions::default());
        client.shutdown().unwrap();
        assert_eq!(outcomes(&log, &tokens), [Outcome::Cancelled, Outcome::Cancelled]);
    });
}

#[test]
fn runs_keep_their_order_among_messages_of_other_kinds() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.command_queue_size = 1000;
        let (client, _log) = scene.client();
        let lasting = MessageProperties { message_expiry_interval: Some(1000), ..Default::default() };
        let mut number = 0;
        for kind in 0..40 {
            let properties =
                if version.is_v5() && kind % 5 == 0 { lasting.clone() } else { MessageProperties::default() };
            let options = PublishOptions { qos: u8::from(kind % 7 == 0), properties, ..Default::default() };
            client.publish_with(&format!("{number:03}"), b"", &options).unwrap();
            number += 1;
            let names: Vec<_> = (number..number + 3).map(|number| format!("{number:03}")).collect();
            let options = PublishOptions::default();
            let messages: Vec<_> =
                names.iter().map(|topic| BatchMessage { topic, payload: b"", options: &options }).collect();
            assert_eq!(client.publish_batch(&messages, PATIENCE).accepted, 3);
            number += 3;
        }
        client.connect().unwrap();
        let mut peer = scene.accept_with(&connack(version, false));
        for number in 0..number {
            let packet = peer.expect_type(3);
            assert_eq!(&packet[4..7], format!("{number:03}").as_bytes());
        }
    });
}

#[test]
fn messages_of_many_threads_all_come_with_those_of_each_in_order() {
    const THREADS: usize = 4;
    const EACH: usize = 2000;
    let Live { mut peer, client, log } = Scene::new(V5).connected();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let client = &client;
            scope.spawn(move || {
                for number in 0..EACH {
                    let payload = format!("{number:05}");
                    let options = PublishOptions { qos: u8::from(number % 100 == 99), ..Default::default() };
                    client.publish_wait(&thread.to_string(), payload.as_bytes(), &options, PATIENCE).unwrap();
                }
            });
        }
        let mut next = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let packet = peer.expect_type(3);
            let thread = usize::from(packet[4] - b'0');
            assert!(packet.ends_with(format!("{:05}", next[thread]).as_bytes()));
            next[thread] += 1;
            if packet[0] & 0x06 != 0 {
                peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
            }
        }
    });
    log.wait_for_count(THREADS * EACH, |event| matches!(event, MqttEvent::Published(result) if result.is_success()));
}

#[test]
fn a_run_goes_message_by_message_where_topic_aliases_are_in_use() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.topic_aliases = true;
    // Topic Alias Maximum 1.
    let mut live = scene.connected_with(&wire::connack_v5(&[0x22, 0, 1], false, 0));
    let tokens = batch(&live.client, &[b"1", b"2"], &PublishOptions::default());
    live.peer.expect(&wire::publish_v5(0, TOPIC, None, &[0x23, 0, 1], b"1"));
    live.peer.expect(&wire::publish_v5(0, "", None, &[0x23, 0, 1], b"2"));
    assert_eq!(outcomes(&live.log, &tokens), [Outcome::Sent, Outcome::Sent]);
}

/// Publishes one message for each byte, in one call.
fn batch_of(client: &AsyncMqttClient, qos: u8, payloads: &[u8]) -> Vec<Token> {
    let payloads: Vec<&[u8]> = payloads.chunks(1).collect();
    batch(client, &payloads, &PublishOptions { qos, ..Default::default() })
}

/// [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
fn what_was_not_acknowledged_of_a_run_is_sent_again_with_dup_its_id_and_in_its_order() {
    for (qos, flags, answer) in [(1, 0x02, wire::PUBACK), (2, 0x04, wire::PUBREC)] {
        both(|version| {
            let scene = Scene::keeping_session(version);
            let Live { mut peer, client, log } = scene.connected();
            let tokens = batch_of(&client, qos, b"12345");
            for (id, payload) in (1..).zip(b"12345".chunks(1)) {
                peer.expect(&publish(version, flags, TOPIC, Some(id), payload));
            }
            for id in [4, 2] {
                peer.send(&wire::ack(answer, id));
            }
            if qos == 1 {
                assert_eq!(outcomes(&log, &[tokens[1], tokens[3]]), [Outcome::Acknowledged; 2]);
            } else {
                peer.expect(&wire::ack(wire::PUBREL, 4));
                peer.expect(&wire::ack(wire::PUBREL, 2));
            }
            peer.close();
            let mut peer = scene.accept(true);
            if qos == 2 {
                peer.expect(&wire::ack(wire::PUBREL, 4));
                peer.expect(&wire::ack(wire::PUBREL, 2));
            }
            for id in [1, 3, 5] {
                let payload = format!("{id}");
                peer.expect(&publish(version, 0x08 | flags, TOPIC, Some(id), payload.as_bytes()));
                peer.send(&wire::ack(answer, id));
            }
            if qos == 2 {
                for id in [1, 3, 5] {
                    peer.expect(&wire::ack(wire::PUBREL, id));
                }
                (1..=5).for_each(|id| peer.send(&wire::ack(wire::PUBCOMP, id)));
            }
            assert_eq!(outcomes(&log, &tokens), [Outcome::Acknowledged; 5]);
            for (id, token) in (1..).zip(&tokens) {
                let result = log.published(*token);
                assert_eq!((result.packet_id, result.reason_code, result.qos), (Some(id), Some(0), qos));
            }
            assert_eq!(log.count(|event| matches!(event, MqttEvent::Published(_))), 5);
        });
    }
}

/// Tells a log of results, and panics at some of them.
struct Panicking(Box<Recorder>);

impl MqttEventHandler for Panicking {
    fn on_published(&mut self, result: &PublishResult) {
        self.0.on_published(result);
        assert!(![Some(1), Some(3), Some(5)].contains(&result.packet_id), "the test's own panic");
    }

    fn on_connected(&mut self, result: &ConnectionResult) {
        self.0.on_connected(result);
    }

    fn on_error(&mut self, error: &io::Error) {
        self.0.on_error(error);
    }
}

#[test]
fn a_handler_that_panics_at_some_results_of_a_run_hears_of_the_others() {
    for callbacks in [CallbackMode::Thread, CallbackMode::Worker] {
        let mut scene = Scene::new(V5);
        scene.options.threads.callbacks = callbacks;
        let (recorder, log) = Recorder::new();
        let handler = Box::new(Panicking(recorder));
        let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        assert!(log.connection(1).is_success());
        let tokens = batch_of(&client, 1, b"12345");
        for id in 1..=5 {
            peer.expect(&publish(V5, 0x02, TOPIC, Some(id), format!("{id}").as_bytes()));
        }
        let acks: Vec<_> = (1..=5).flat_map(|id| wire::ack(wire::PUBACK, id)).collect();
        peer.send(&acks);
        assert_eq!(outcomes(&log, &tokens), [Outcome::Acknowledged; 5]);
        log.wait_for(|events| {
            let errors = events.iter().filter(|event| matches!(event, MqttEvent::Error(_))).count();
            (errors == 3).then_some(())
        });
        client.shutdown().unwrap();
        assert_eq!(log.count(|event| matches!(event, MqttEvent::Published(_))), 5);
    }
}

/// [MQTT-4.9.0-2]
#[test]
fn of_a_run_as_much_is_sent_as_the_window_takes_and_the_rest_follows_its_answers() {
    // Receive Maximum 2.
    let Live { mut peer, client, log } = Scene::new(V5).connected_with(&wire::connack_v5(&[0x21, 0, 2], false, 0));
    let tokens = batch_of(&client, 1, b"12345");
    client.publish(TOPIC, b"behind", 0, false).unwrap();
    for id in [1, 2] {
        peer.expect(&publish(V5, 0x02, TOPIC, Some(id), format!("{id}").as_bytes()));
    }
    peer.expect(&publish(V5, 0, TOPIC, None, b"behind"));
    for id in [3, 4, 5] {
        peer.send(&wire::ack(wire::PUBACK, id - 2));
        peer.expect(&publish(V5, 0x02, TOPIC, Some(id), format!("{id}").as_bytes()));
    }
    peer.send(&wire::ack_v5(wire::PUBACK, 4, 0x87));
    peer.send(&wire::ack(wire::PUBACK, 5));
    let [first @ .., fourth, fifth] = &outcomes(&log, &tokens)[..] else { panic!("five messages") };
    assert_eq!((first, *fourth, *fifth), (&[Outcome::Acknowledged; 3][..], Outcome::Rejected, Outcome::Acknowledged));
}

#[test]
fn a_run_that_fits_the_limit_in_flight_only_in_parts_is_sent_in_parts() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.options.limits.in_flight = 2;
        let Live { mut peer, client, log } = scene.connected();
        let tokens = batch_of(&client, 1, b"12345");
        for id in 1..=5 {
            peer.expect(&publish(version, 0x02, TOPIC, Some(id), format!("{id}").as_bytes()));
            peer.send(&wire::ack(wire::PUBACK, id));
        }
        assert_eq!(outcomes(&log, &tokens), [Outcome::Acknowledged; 5]);
    });
}

#[test]
fn of_a_run_of_qos_1_the_server_gets_what_it_takes_and_the_rest_is_dropped() {
    // Maximum Packet Size 20.
    let mut live = Scene::new(V5).connected_with(&wire::connack_v5(&[0x27, 0, 0, 0, 20], false, 0));
    let long = [b'x'; 20];
    let options = PublishOptions { qos: 1, ..Default::default() };
    let tokens = batch(&live.client, &[b"1", &long, b"3"], &options);
    live.peer.expect(&publish(V5, 0x02, TOPIC, Some(1), b"1"));
    live.peer.expect(&publish(V5, 0x02, TOPIC, Some(2), b"3"));
    live.peer.send(&wire::ack(wire::PUBACK, 1));
    live.peer.send(&wire::ack(wire::PUBACK, 2));
    let too_long = Outcome::Dropped(DropCause::Refused(Misuse::PacketTooLarge { limit: 20 }));
    assert_eq!(outcomes(&live.log, &tokens), [Outcome::Acknowledged, too_long, Outcome::Acknowledged]);
}
