//! Publishes that outlive the process.

use std::time::Duration;

use flowsdk::mqtt_client::{
    InboundStorage::AckAfter, MessageProperties, MqttEvent, Outcome, PublishOptions, SessionLossPolicy,
};

use crate::persistence_setup::{Lives, durable, heard, outcome};
use crate::scripted_setup::{Live, V5, both, connack, publish};
use crate::support::{PATIENCE, wire};

const DUP: u8 = 0x08;
const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

/// [MQTT-4.1.0-1]
#[test]
fn what_is_in_flight_at_a_crash_is_sent_again_with_its_ids_in_its_order_and_told_by_its_tokens() {
    both(|version| {
        let mut lives = Lives::new(version, AckAfter);
        let Live { mut peer, client, log } = lives.scene.connected();
        let tokens = [("one", 2), ("two", 1), ("three", 2), ("four", 1)].map(|(payload, qos)| {
            let token = client.publish("t", payload.as_bytes(), qos, false).unwrap();
            (token, payload, qos)
        });
        for (id, (_, payload, qos)) in (1..).zip(&tokens) {
            peer.expect(&publish(version, qos << 1, "t", Some(id), payload.as_bytes()));
        }
        // One of each QoS is done with, and one of QoS 2 on its way there.
        peer.send(&[wire::ack(wire::PUBREC, 3), wire::ack(wire::PUBACK, 4)].concat());
        peer.expect(&wire::ack(wire::PUBREL, 3));
        assert_eq!(outcome(&log, tokens[3].0), Outcome::Acknowledged);
        heard(&client, &log, &mut peer);
        let last = client.publish_tracked("t", b"five", &PublishOptions { qos: 1, ..Default::default() }).unwrap();
        peer.expect(&publish(version, QOS1, "t", Some(5), b"five"));
        assert_eq!(last.wait_durable(PATIENCE), Ok(true));
        lives.crash();

        let (second, log) = lives.scene.client();
        let left = [tokens[0].0, tokens[1].0, tokens[2].0, last.token()];
        assert_eq!(second.restored(), left);
        second.connect().unwrap();
        let mut peer = lives.scene.accept(true);
        peer.expect(&wire::ack(wire::PUBREL, 3));
        peer.expect(&publish(version, DUP | QOS2, "t", Some(1), b"one"));
        peer.expect(&publish(version, DUP | QOS1, "t", Some(2), b"two"));
        peer.expect(&publish(version, DUP | QOS1, "t", Some(5), b"five"));
        let answers = [(wire::PUBCOMP, 3), (wire::PUBREC, 1), (wire::PUBACK, 2), (wire::PUBACK, 5)];
        peer.send(&answers.map(|(kind, id)| wire::ack(kind, id)).concat());
        peer.expect(&wire::ack(wire::PUBREL, 1));
        peer.send(&wire::ack(wire::PUBCOMP, 1));
        for token in left {
            assert_eq!(outcome(&log, token), Outcome::Acknowledged);
        }
        let new = second.publish("t", b"new", 1, false).unwrap();
        assert!(new > last.token());
        drop(client);
    });
}

#[test]
fn a_message_that_was_told_as_acknowledged_is_forgotten_once_a_later_one_is_durable() {
    both(|version| {
        let mut lives = Lives::new(version, AckAfter);
        let Live { mut peer, client, log } = lives.scene.connected();
        let one = client.publish("t", b"one", 2, false).unwrap();
        peer.expect(&publish(version, QOS2, "t", Some(1), b"one"));
        peer.send(&wire::ack(wire::PUBREC, 1));
        peer.expect(&wire::ack(wire::PUBREL, 1));
        peer.send(&wire::ack(wire::PUBCOMP, 1));
        assert_eq!(outcome(&log, one), Outcome::Acknowledged);
        heard(&client, &log, &mut peer);
        let two = client.publish("t", b"two", 1, false).unwrap();
        durable(&log, &[two]);
        lives.crash();
        let (second, _log) = lives.scene.client();
        assert_eq!(second.restored(), [two]);
    });
}

#[test]
fn messages_that_wait_for_a_connection_outlive_the_process_in_their_order() {
    both(|version| {
        let mut lives = Lives::new(version, AckAfter);
        let (client, log) = lives.scene.client();
        let tokens: Vec<_> =
            (0..20_u8).map(|number| client.publish("t", &[number], 1 + number % 2, false).unwrap()).collect();
        client.publish("t", b"QoS 0 is not kept", 0, false).unwrap();
        durable(&log, &tokens);
        lives.crash();
        let (second, _log) = lives.scene.client();
        assert_eq!(second.restored(), tokens);
        second.publish("t", b"later", 1, false).unwrap();
        second.connect().unwrap();
        let mut peer = lives.scene.accept(false);
        for number in 0..20_u8 {
            let flags = (1 + number % 2) << 1;
            peer.expect(&publish(version, flags, "t", Some(u16::from(number) + 1), &[number]));
        }
    });
}

#[test]
fn a_clean_shutdown_keeps_what_is_not_delivered_and_the_next_client_tells_its_outcome() {
    both(|version| {
        let lives = Lives::new(version, AckAfter);
        let Live { mut peer, client, log } = lives.scene.connected();
        let tracked = client.publish_tracked("t", b"one", &PublishOptions { qos: 2, ..Default::default() }).unwrap();
        let token = tracked.token();
        peer.expect(&publish(version, QOS2, "t", Some(1), b"one"));
        client.shutdown().unwrap();
        assert_eq!(outcome(&log, token), Outcome::Kept);
        assert_eq!(tracked.wait(PATIENCE).unwrap().outcome, Outcome::Kept);
        let none = client.publish("t", b"late", 1, false);
        assert!(none.is_err());
        let (second, log) = lives.scene.client();
        assert_eq!(second.restored(), [token]);
        second.connect().unwrap();
        let mut peer = lives.scene.accept(true);
        peer.expect(&publish(version, DUP | QOS2, "t", Some(1), b"one"));
        peer.send(&wire::ack(wire::PUBREC, 1));
        peer.expect(&wire::ack(wire::PUBREL, 1));
        peer.send(&wire::ack(wire::PUBCOMP, 1));
        assert_eq!(outcome(&log, token), Outcome::Acknowledged);
    });
}

#[test]
fn a_session_that_is_gone_after_a_crash_is_told_and_its_messages_go_anew_or_fail_by_policy() {
    for policy in [SessionLossPolicy::Requeue, SessionLossPolicy::Fail] {
        let mut lives = Lives::new(V5, AckAfter);
        lives.scene.options.session_loss = policy;
        let Live { mut peer, client, log } = lives.scene.connected();
        let tokens = ["one", "two"].map(|payload| client.publish("t", payload.as_bytes(), 2, false).unwrap());
        peer.expect(&publish(V5, QOS2, "t", Some(1), b"one"));
        peer.expect(&publish(V5, QOS2, "t", Some(2), b"two"));
        durable(&log, &tokens);
        lives.crash();
        let (second, log) = lives.scene.client();
        second.connect().unwrap();
        let mut peer = lives.scene.accept(false);
        let report = log.wait_for_event(|event| match event {
            MqttEvent::SessionLost(report) => Some(report.clone()),
            _ => None,
        });
        if policy == SessionLossPolicy::Requeue {
            assert_eq!(report.requeued, tokens);
            peer.expect(&publish(V5, QOS2, "t", Some(1), b"one"));
            peer.expect(&publish(V5, QOS2, "t", Some(2), b"two"));
        } else {
            assert_eq!(report.failed, tokens);
        }
        drop(client);
    }
}

#[test]
fn the_lifetime_of_a_message_goes_on_while_no_process_runs() {
    let mut lives = Lives::new(V5, AckAfter);
    let (client, log) = lives.scene.client();
    let with = |seconds| {
        let properties = MessageProperties { message_expiry_interval: Some(seconds), ..Default::default() };
        PublishOptions { qos: 1, properties, ..Default::default() }
    };
    let short = client.publish_with("t", b"short", &with(1)).unwrap();
    let long = client.publish_with("t", b"long", &with(1000)).unwrap();
    durable(&log, &[short, long]);
    lives.crash();
    // Time passes that no process of the client counts: the first client says when.
    assert_eq!(outcome(&log, short), Outcome::Expired);
    let (second, log) = lives.scene.client();
    assert_eq!(second.restored(), [short, long]);
    assert_eq!(outcome(&log, short), Outcome::Expired);
    second.connect().unwrap();
    let mut peer = lives.scene.accept(false);
    let packet = peer.read_packet();
    let sent_with = |seconds: u32| {
        let property = [&[0x02][..], &seconds.to_be_bytes()].concat();
        wire::publish_v5(QOS1, "t", Some(1), &property, b"long")
    };
    assert!((900..1000).any(|seconds| packet == sent_with(seconds)), "{packet:?}");
}

#[test]
fn a_message_is_told_as_durable_and_only_with_persistence() {
    let lives = Lives::new(V5, AckAfter);
    let (client, log) = lives.scene.client();
    let options = |qos| PublishOptions { qos, ..Default::default() };
    let kept = client.publish_tracked("t", b"kept", &options(1)).unwrap();
    assert_eq!(kept.wait_durable(PATIENCE), Ok(true));
    durable(&log, &[kept.token()]);
    assert_eq!(kept.try_result(), None);
    let passing = client.publish_tracked("t", b"passing", &options(0)).unwrap();
    assert!(passing.wait_durable(Duration::from_millis(20)).is_err());
    client.shutdown().unwrap();
    assert_eq!(passing.wait_durable(PATIENCE), Ok(false));
    assert_eq!(outcome(&log, passing.token()), Outcome::Cancelled);

    let mut scene = crate::scripted_setup::Scene::keeping_session(V5);
    scene.options.persistence = None;
    let Live { mut peer, client, log } = scene.connected_with(&connack(V5, false));
    let plain = client.publish_tracked("t", b"plain", &options(1)).unwrap();
    peer.expect(&publish(V5, QOS1, "t", Some(1), b"plain"));
    peer.send(&wire::ack(wire::PUBACK, 1));
    assert_eq!(plain.wait_durable(PATIENCE), Ok(false));
    assert_eq!(log.count(|event| matches!(event, MqttEvent::Durable(_))), 0);
}

#[test]
fn no_later_life_uses_a_token_again() {
    let mut lives = Lives::new(V5, AckAfter);
    let mut last = None;
    for _ in 0..4 {
        let (client, _log) = lives.scene.client();
        let tokens = [0, 1, 0].map(|qos| client.publish("t", b"x", qos, false).unwrap());
        assert!(tokens.is_sorted() && last < Some(tokens[0]), "{tokens:?} after {last:?}");
        last = Some(tokens[2]);
        // Whatever of them is in the file.
        lives.crash();
    }
}
