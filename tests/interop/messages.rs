//! Messages through mosquitto and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flowsdk::mqtt_client::{MessageProperties, MqttEvent, MqttPublish, PublishOptions, TopicSubscription};
use flowsdk::packet::RetainHandling;
use flowsdk::types::ProtocolVersion;
use libtest_mimic::Trial;

use crate::fixture::{Client, is_message, options, qos, quick, text};
use crate::support::mosquitto::Mosquitto;
use crate::support::{PATIENCE, wait_until};
use crate::{of_both_versions, of_v5};

/// As many messages on their way as the protocol allows.
const UNLIMITED: &str = "max_inflight_messages 0";

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        of_v5("properties_of_a_message_arrive_as_they_were_sent", "", properties),
        of_v5("options_of_a_subscription_are_obeyed", "", subscription_options),
        of_v5("a_shared_subscription_gives_each_message_to_one_subscriber", "", shared),
    ];
    trials.extend(of_both_versions("messages_arrive_at_the_lower_of_both_qos", "", each_qos));
    trials.extend(of_both_versions("a_retained_message_is_there_until_it_is_cleared", "", retained));
    trials.extend(of_both_versions("nothing_comes_after_an_unsubscribe", "", unsubscribed));
    trials.extend(of_both_versions("a_message_of_20_megabytes_goes_both_ways", "", big));
    trials.extend(of_both_versions("messages_by_the_thousand_arrive_in_their_order", UNLIMITED, many));
    trials.extend(of_both_versions("a_burst_of_qos_1_and_2_fits_what_mosquitto_takes_at_once", "", burst));
    trials
}

fn pair(broker: &Mosquitto, version: ProtocolVersion) -> (Client, Client) {
    let publisher = Client::connected(options(broker.address(), "publisher", version));
    (publisher, Client::connected(options(broker.address(), "subscriber", version)))
}

fn burst(broker: &mut Mosquitto, version: ProtocolVersion) {
    let (publisher, subscriber) = pair(broker, version);
    subscriber.subscribed("t", 2);
    // With all its places taken by QoS 2 it would drop those of QoS 1, and acknowledge them.
    let publish = |number: u8| publisher.publish("t", b"x", number % 2 + 1, false).unwrap();
    for token in (0..200).map(publish).collect::<Vec<_>>() {
        assert!(publisher.log.published(token).is_success());
    }
    subscriber.log.messages(200);
    assert_eq!(publisher.log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
}

/// [MQTT-7.0.0-2/3.1.1]
fn each_qos(broker: &mut Mosquitto, version: ProtocolVersion) {
    let (publisher, subscriber) = pair(broker, version);
    for granted in 0..3 {
        subscriber.subscribed(&format!("granted/{granted}"), granted);
    }
    let mut expected = Vec::new();
    for granted in 0..3u8 {
        for sent in 0..3u8 {
            let payload = format!("{sent} to {granted}");
            publisher.published(&format!("granted/{granted}"), payload.as_bytes(), &qos(sent));
            expected.push((payload, sent.min(granted)));
        }
    }
    let mut received: Vec<_> = subscriber.log.messages(9).iter().map(|message| (text(message), message.qos)).collect();
    expected.sort();
    received.sort();
    assert_eq!(received, expected);
}

fn properties(broker: &mut Mosquitto) {
    let (publisher, subscriber) = pair(broker, ProtocolVersion::V5);
    subscriber.subscribed_with(TopicSubscription::new("t", 2), Some(268_435_455));
    let properties = MessageProperties {
        payload_is_utf8: true,
        message_expiry_interval: Some(60),
        content_type: Some("text/plain".to_string()),
        response_topic: Some("answers".to_string()),
        correlation_data: Some(vec![0, 1, 255]),
        user_properties: vec![("a".to_string(), "1".to_string()), ("a".to_string(), "2".to_string())],
    };
    for qos in 0..3 {
        let options = PublishOptions { qos, retain: false, properties: properties.clone() };
        publisher.published("t", b"text", &options);
    }
    for message in subscriber.log.messages(3) {
        let received = &message.properties;
        assert_eq!(received.content_type(), Some("text/plain"));
        assert_eq!(received.response_topic(), Some("answers"));
        assert_eq!(received.correlation_data(), Some(&[0, 1, 255][..]));
        assert!(received.message_expiry_interval().is_some_and(|seconds| (50..=60).contains(&seconds)));
        assert_eq!(received.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
        assert_eq!(received.subscription_identifiers().collect::<Vec<_>>(), [268_435_455]);
    }
}

fn subscription_options(broker: &mut Mosquitto) {
    let (publisher, subscriber) = pair(broker, ProtocolVersion::V5);
    let retain = PublishOptions { qos: 1, retain: true, ..Default::default() };
    publisher.published("kept", b"before", &retain);
    let topic = TopicSubscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..TopicSubscription::new("kept", 1)
    };
    subscriber.subscribed_with(topic, None);
    subscriber.published("kept", b"own", &qos(1));
    publisher.published("kept", b"after", &retain);
    let messages = subscriber.log.messages(1);
    let flags = |message: &MqttPublish<'_>| (text(message), message.retain);
    assert_eq!(messages.iter().map(flags).collect::<Vec<_>>(), [("after".to_string(), true)]);
}

fn shared(broker: &mut Mosquitto) {
    let (publisher, first) = pair(broker, ProtocolVersion::V5);
    let second = Client::connected(options(broker.address(), "second", ProtocolVersion::V5));
    first.subscribed("$share/group/work", 1);
    second.subscribed("$share/group/work", 1);
    for number in 0..20 {
        publisher.published("work", number.to_string().as_bytes(), &qos(1));
    }
    wait_until(PATIENCE, || first.log.count(is_message) + second.log.count(is_message) >= 20);
    let payloads = [first.payloads(0), second.payloads(0)].concat();
    let mut numbers: Vec<u32> = payloads.iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..20));
}

fn retained(broker: &mut Mosquitto, version: ProtocolVersion) {
    let (publisher, subscriber) = pair(broker, version);
    let retain = PublishOptions { qos: 1, retain: true, ..Default::default() };
    publisher.published("state", b"on", &retain);
    subscriber.subscribed("state", 1);
    assert!(subscriber.log.messages(1)[0].retain);
    publisher.published("state", b"", &retain);
    let late = Client::connected(options(broker.address(), "late", version));
    late.subscribed("state", 1);
    publisher.published("state", b"live", &qos(1));
    assert_eq!(late.payloads(1), ["live"]);
}

fn unsubscribed(broker: &mut Mosquitto, version: ProtocolVersion) {
    let (publisher, subscriber) = pair(broker, version);
    subscriber.subscribed("a", 1);
    subscriber.subscribed("b", 1);
    let token = subscriber.unsubscribe(vec!["a", "never/subscribed"]).unwrap();
    let result = subscriber.log.unsubscribed(token);
    assert!(result.is_success(), "{result:?}");
    publisher.published("a", b"after", &qos(1));
    publisher.published("b", b"mark", &qos(1));
    assert_eq!(subscriber.payloads(1), ["mark"]);
}

fn big(broker: &mut Mosquitto, version: ProtocolVersion) {
    let (publisher, subscriber) = pair(broker, version);
    subscriber.subscribed("big", 2);
    let payload: Vec<u8> = (0..20_000_000u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[2]).collect();
    for qos_level in 0..3 {
        publisher.published("big", &payload, &qos(qos_level));
        let received = subscriber.log.messages(usize::from(qos_level) + 1);
        assert!(received.last().is_some_and(|message| message.payload == payload && message.qos == qos_level));
    }
}

fn many(broker: &mut Mosquitto, version: ProtocolVersion) {
    const COUNT: usize = 50_000;
    let (received, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&received), Arc::clone(&acknowledged));
    let client = Client::acting(options(broker.address(), "client", version), quick(), move |_, event| match event {
        MqttEvent::MessageReceived(publish) => {
            assert_eq!(text(publish), counts.0.fetch_add(1, Ordering::SeqCst).to_string());
            false
        }
        MqttEvent::Published(result) => {
            assert!(result.is_success(), "{result:?}");
            counts.1.fetch_add(1, Ordering::SeqCst);
            false
        }
        _ => true,
    });
    client.connect_and_wait();
    client.subscribed("t", 1);
    for number in 0..COUNT {
        wait_until(PATIENCE, || client.publish("t", number.to_string().as_bytes(), 1, false).is_ok());
    }
    let done = || received.load(Ordering::SeqCst) == COUNT && acknowledged.load(Ordering::SeqCst) == COUNT;
    wait_until(Duration::from_secs(60), done);
    client.shutdown().unwrap();
    assert_eq!(client.log.words().len(), 2, "{:?}", client.log.words());
}
