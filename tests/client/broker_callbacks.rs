//! What callbacks may do, against a real broker.

use std::sync::mpsc::channel;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, Limits, MqttClientOptions, MqttEvent, Outcome, Tracked, WaitError};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, options, qos, quick, text};
use crate::support::PATIENCE;
use crate::support::embedded_broker::EmbeddedBroker;

const V5: ProtocolVersion = ProtocolVersion::V5;

#[test]
fn a_wait_for_an_acknowledgement_inside_a_callback_succeeds() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let (sender, outcomes) = channel();
        let client = Client::acting(options(broker.address(), "client", version), quick(), move |client, event| {
            if is_message(event) {
                for qos_level in 0..3 {
                    let publishing = client.publish_tracked("out", b"x", &qos(qos_level)).unwrap();
                    sender.send(publishing.wait(PATIENCE).map(|result| result.outcome)).unwrap();
                }
                let subscribing = client.subscribe_tracked(
                    &[flowsdk::mqtt_client::TopicSubscription::new("more", 1)],
                    &flowsdk::mqtt_client::SubscribeOptions::default(),
                );
                assert!(subscribing.unwrap().wait(PATIENCE).unwrap().is_success());
                let unsubscribing = client.unsubscribe_tracked(&["more"], &Default::default()).unwrap();
                sender.send(unsubscribing.wait(PATIENCE).map(|result| result.outcome)).unwrap();
            }
            true
        });
        client.connect_and_wait();
        client.subscribed("t", 1);
        client.publish("t", b"go", 1, false).unwrap();
        let expected = [Outcome::Sent, Outcome::Acknowledged, Outcome::Acknowledged, Outcome::Acknowledged];
        for outcome in expected {
            assert_eq!(outcomes.recv_timeout(2 * PATIENCE).unwrap(), Ok(outcome));
        }
    }
}

#[test]
fn a_wait_that_could_never_end_is_told_so_and_the_message_goes_on() {
    let broker = EmbeddedBroker::start().unwrap();
    let (sender, waits) = channel::<(Tracked<_>, _)>();
    let limits = Limits { undelivered_bytes: 1_000, ..Limits::default() };
    let options_of = MqttClientOptions { limits, ..options(broker.address(), "client", V5) };
    let client = Client::acting(options_of, quick(), move |client, event| {
        if is_message(event) {
            let publishing = client.publish_tracked("out", b"x", &qos(1)).unwrap();
            let wait = publishing.wait(Duration::from_secs(600));
            sender.send((publishing, wait)).unwrap();
        }
        true
    });
    client.connect_and_wait();
    client.subscribed("t", 1);
    let publisher = Client::connected(options(broker.address(), "publisher", V5));
    for _ in 0..5 {
        publisher.published("t", &[b'x'; 2_000], &qos(1));
    }
    for _ in 0..5 {
        let (publishing, wait) = waits.recv_timeout(PATIENCE).unwrap();
        assert_eq!(wait, Err(WaitError::WouldDeadlock));
        assert_eq!(publishing.wait(PATIENCE).unwrap().outcome, Outcome::Acknowledged);
        client.log.published(publishing.token());
    }
}

#[test]
fn a_handler_that_panics_is_reported_and_called_again() {
    let broker = EmbeddedBroker::start().unwrap();
    let client = Client::acting(options(broker.address(), "client", V5), quick(), |_, event| {
        match event {
            MqttEvent::MessageReceived(publish) if text(publish) == "bad" => panic!("the test's own panic"),
            MqttEvent::Error(error) => assert!(error.to_string().contains("the test's own panic"), "{error}"),
            _ => {}
        }
        true
    });
    client.connect_and_wait();
    client.subscribed("t", 2);
    for (payload, qos_level) in [("a", 0), ("bad", 1), ("b", 2), ("bad", 0), ("c", 1)] {
        client.published("t", payload.as_bytes(), &qos(qos_level));
    }
    let mut payloads = client.payloads(3);
    payloads.sort();
    assert_eq!(payloads, ["a", "b", "c"]);
    client.log.wait_for_count(2, |event| matches!(event, MqttEvent::Error(_)));
    client.shutdown().unwrap();
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
}

#[test]
fn topic_handlers_take_what_matches_and_leave_the_rest_to_the_handler() {
    let broker = EmbeddedBroker::start().unwrap();
    let client = Client::connected(options(broker.address(), "client", V5));
    client.subscribed("#", 1);
    let (sender, taken) = channel();
    for filter in ["a/+", "a/#", "$share/g/b"] {
        let sender = sender.clone();
        client.add_topic_handler(filter, move |publish| sender.send((filter, text(publish))).unwrap()).unwrap();
    }
    for topic in ["a/x", "a/x/y", "b", "c"] {
        client.published(topic, topic.as_bytes(), &qos(1));
    }
    assert_eq!(client.payloads(1), ["c"]);
    let mut calls: Vec<_> = taken.try_iter().collect();
    calls.sort();
    let expected = [("$share/g/b", "b"), ("a/#", "a/x"), ("a/#", "a/x/y"), ("a/+", "a/x")];
    assert_eq!(calls, expected.map(|(filter, payload)| (filter, payload.to_string())));

    assert!(client.remove_topic_handler("a/#"));
    assert!(!client.remove_topic_handler("a/#"));
    client.published("a/x/y", b"left over", &qos(1));
    assert_eq!(client.payloads(2), ["c", "left over"]);
}

#[test]
fn topic_handlers_are_added_and_removed_inside_a_callback() {
    let broker = EmbeddedBroker::start().unwrap();
    let client = Client::connected(options(broker.address(), "client", V5));
    client.subscribed("#", 1);
    let (sender, taken) = channel();
    let weak = std::sync::Arc::downgrade(&client.client);
    let outer = sender.clone();
    let handler = move |publish: &flowsdk::mqtt_client::MqttPublish<'_>| {
        let client = weak.upgrade().unwrap();
        assert!(client.remove_topic_handler("once"), "a handler removes itself");
        let inner = outer.clone();
        client.add_topic_handler("later", move |publish| inner.send(text(publish)).unwrap()).unwrap();
        outer.send(text(publish)).unwrap();
    };
    client.add_topic_handler("once", handler).unwrap();
    for (topic, payload) in [("once", "1"), ("later", "2"), ("once", "3")] {
        client.published(topic, payload.as_bytes(), &qos(1));
    }
    assert_eq!(client.payloads(1), ["3"]);
    assert_eq!(taken.try_iter().collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_receiver_gives_events_in_order_and_ends_after_the_shutdown() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let (client, mut events) = flowsdk::mqtt_client::AsyncMqttClient::with_receiver(
            options(broker.address(), "client", version),
            AsyncClientConfig::default(),
        )
        .unwrap();
        assert!(events.try_recv().is_none());
        assert!(events.recv_timeout(Duration::from_millis(1)).is_none());
        client.connect().unwrap();
        assert!(matches!(events.recv_timeout(PATIENCE), Some(MqttEvent::Connected(result)) if result.is_success()));
        client.subscribe("t", 2).unwrap();
        assert!(matches!(events.recv(), Some(MqttEvent::Subscribed(_))));
        for number in 0..50 {
            client.publish("t", number.to_string().as_bytes(), 2, false).unwrap();
        }
        let (mut payloads, mut ended) = (Vec::new(), Vec::new());
        while payloads.len() < 50 || ended.len() < 50 {
            match events.recv_timeout(PATIENCE).expect("100 events") {
                MqttEvent::MessageReceived(publish) => payloads.push(text(&publish)),
                MqttEvent::Published(result) => ended.push(result.token),
                other => panic!("{other:?}"),
            }
        }
        assert!(payloads.into_iter().eq((0..50).map(|number: u32| number.to_string())));
        assert!(ended.is_sorted(), "one QoS ends in its order");
        client.shutdown().unwrap();
        let rest: Vec<_> = events.collect();
        assert!(matches!(rest[..], [MqttEvent::Disconnected(_)]), "{rest:?}");
    }
}

#[test]
fn topic_handlers_of_a_receiver_run_where_it_is_read() {
    let broker = EmbeddedBroker::start().unwrap();
    let (client, mut events) = flowsdk::mqtt_client::AsyncMqttClient::with_receiver(
        options(broker.address(), "client", V5),
        AsyncClientConfig::default(),
    )
    .unwrap();
    let (sender, taken) = channel();
    let handler = move |publish: &flowsdk::mqtt_client::MqttPublish<'_>| {
        sender.send((std::thread::current().id(), text(publish))).unwrap();
    };
    client.add_topic_handler("a", handler).unwrap();
    client.connect().unwrap();
    client.subscribe("#", 0).unwrap();
    client.publish("a", b"1", 0, false).unwrap();
    client.publish("b", b"2", 0, false).unwrap();
    let message = events.find_map(|event| match event {
        MqttEvent::MessageReceived(publish) => Some(text(&publish)),
        _ => None,
    });
    assert_eq!(message.as_deref(), Some("2"));
    assert_eq!(taken.try_recv().unwrap(), (std::thread::current().id(), "1".to_string()));
}
