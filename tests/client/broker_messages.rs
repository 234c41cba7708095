//! Messages through a real broker and back.

use flowsdk::mqtt_client::{MessageProperties, MqttPublish, PublishOptions, TopicSubscription};
use flowsdk::packet::RetainHandling;
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, options, qos, text};
use crate::support::embedded_broker::EmbeddedBroker;

fn pair(version: ProtocolVersion) -> (EmbeddedBroker, Client, Client) {
    let broker = EmbeddedBroker::start().unwrap();
    let publisher = Client::connected(options(broker.address(), "publisher", version));
    let subscriber = Client::connected(options(broker.address(), "subscriber", version));
    (broker, publisher, subscriber)
}

/// The broker is none of ours, and the options are the defaults.
/// [MQTT-7.0.0-2/3.1.1]
#[test]
fn messages_of_each_qos_arrive_at_the_lower_of_both_qos() {
    for version in VERSIONS {
        let (_broker, publisher, subscriber) = pair(version);
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
        let mut received: Vec<_> =
            subscriber.log.messages(9).iter().map(|message| (text(message), message.qos)).collect();
        expected.sort();
        received.sort();
        assert_eq!(received, expected);
        subscriber.shutdown().unwrap();
        assert_eq!(subscriber.log.count(is_message), 9);
    }
}

#[test]
fn properties_of_a_message_arrive_as_they_were_sent() {
    let (_broker, publisher, subscriber) = pair(ProtocolVersion::V5);
    subscriber.subscribed("t", 2);
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
        let user: Vec<_> = received.user_properties().filter(|(name, _)| *name == "a").collect();
        assert_eq!(user, [("a", "1"), ("a", "2")]);
    }
}

#[test]
fn a_retained_message_is_there_for_later_subscribers_until_it_is_cleared() {
    for version in VERSIONS {
        let (broker, publisher, subscriber) = pair(version);
        let retain = PublishOptions { qos: 1, retain: true, ..Default::default() };
        publisher.published("state", b"on", &retain);
        subscriber.subscribed("state", 1);
        let message = subscriber.log.messages(1).remove(0);
        assert_eq!((text(&message), message.retain), ("on".to_string(), true));

        publisher.published("state", b"off", &retain);
        let message = subscriber.log.messages(2).remove(1);
        assert_eq!((text(&message), message.retain), ("off".to_string(), false));

        publisher.published("state", b"", &retain);
        let late = Client::connected(options(broker.address(), "late", version));
        late.subscribed("state", 1);
        publisher.published("state", b"live", &qos(1));
        assert_eq!(late.payloads(1), ["live"]);
    }
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let (_broker, publisher, subscriber) = pair(ProtocolVersion::V5);
    subscriber
        .subscribed_with(TopicSubscription { retain_as_published: true, ..TopicSubscription::new("kept", 1) }, None);
    subscriber.subscribed("cleared", 1);
    let retain = PublishOptions { qos: 1, retain: true, ..Default::default() };
    publisher.published("kept", b"", &retain);
    publisher.published("cleared", b"x", &retain);
    let flags = |message: &MqttPublish<'_>| (message.topic_name.to_string(), message.retain);
    let mut received: Vec<_> = subscriber.log.messages(2).iter().map(flags).collect();
    received.sort();
    assert_eq!(received, [("cleared".to_string(), false), ("kept".to_string(), true)]);
}

#[test]
fn retain_handling_decides_when_retained_messages_come() {
    let (_broker, publisher, subscriber) = pair(ProtocolVersion::V5);
    publisher.published("state", b"kept", &PublishOptions { qos: 1, retain: true, ..Default::default() });
    let subscribe = |retain_handling| {
        subscriber.subscribed_with(TopicSubscription { retain_handling, ..TopicSubscription::new("state", 1) }, None);
    };
    let mark = |text: &str| publisher.published("state", text.as_bytes(), &qos(1));
    subscribe(RetainHandling::DoNotSend);
    mark("none");
    subscribe(RetainHandling::SendIfNew);
    mark("not new");
    subscribe(RetainHandling::SendAtSubscribe);
    mark("always");
    assert_eq!(subscriber.payloads(4), ["none", "not new", "kept", "always"]);
}

#[test]
fn no_local_keeps_away_what_the_client_has_published_itself() {
    let (_broker, publisher, subscriber) = pair(ProtocolVersion::V5);
    subscriber.subscribed_with(TopicSubscription { no_local: true, ..TopicSubscription::new("t", 1) }, None);
    subscriber.published("t", b"own", &qos(1));
    publisher.published("t", b"of another", &qos(1));
    assert_eq!(subscriber.payloads(1), ["of another"]);
}

#[test]
fn subscription_identifiers_come_with_their_messages() {
    let (_broker, publisher, subscriber) = pair(ProtocolVersion::V5);
    subscriber.subscribed_with(TopicSubscription::new("a/+", 1), Some(7));
    subscriber.subscribed_with(TopicSubscription::new("b", 1), Some(268_435_455));
    publisher.published("a/x", b"", &qos(1));
    publisher.published("b", b"", &qos(1));
    let identifiers = |message: &MqttPublish<'_>| message.properties.subscription_identifiers().collect::<Vec<_>>();
    let received: Vec<_> = subscriber.log.messages(2).iter().map(identifiers).collect();
    assert_eq!(received, [[7], [268_435_455]]);
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_subscriber() {
    let (broker, publisher, first) = pair(ProtocolVersion::V5);
    let second = Client::connected(options(broker.address(), "second", ProtocolVersion::V5));
    first.subscribed("$share/group/work", 1);
    second.subscribed("$share/group/work", 1);
    for number in 0..20 {
        publisher.published("work", number.to_string().as_bytes(), &qos(1));
    }
    crate::support::wait_until(crate::support::PATIENCE, || {
        first.log.count(is_message) + second.log.count(is_message) >= 20
    });
    let mut all: Vec<u32> =
        [first.payloads(0), second.payloads(0)].concat().iter().map(|text| text.parse().unwrap()).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..20));
}

#[test]
fn nothing_comes_after_an_unsubscribe() {
    for version in VERSIONS {
        let (_broker, publisher, subscriber) = pair(version);
        subscriber.subscribed("a", 1);
        subscriber.subscribed("b", 1);
        publisher.published("a", b"before", &qos(1));
        subscriber.log.messages(1);
        let token = subscriber.unsubscribe(vec!["a", "never/subscribed"]).unwrap();
        let result = subscriber.log.unsubscribed(token);
        assert!(result.is_success(), "{result:?}");
        assert_eq!(result.reason_codes, if version.is_v5() { vec![0x00, 0x11] } else { vec![] });
        publisher.published("a", b"after", &qos(1));
        publisher.published("b", b"mark", &qos(1));
        assert_eq!(subscriber.payloads(2), ["before", "mark"]);
    }
}

#[test]
fn a_message_of_20_megabytes_goes_both_ways() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let client = Client::connected(options(broker.address(), "big", version));
        client.subscribed("big", 2);
        let payload: Vec<u8> =
            (0..20_000_000u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[2]).collect();
        for qos_level in 0..3 {
            client.published("big", &payload, &qos(qos_level));
            client.log.messages(usize::from(qos_level) + 1);
        }
        for (message, qos) in client.log.messages(3).iter().zip(0..) {
            assert!(message.payload == payload, "{} bytes came back", message.payload.len());
            assert_eq!(message.qos, qos);
        }
        client.published("big", b"small again", &qos(1));
        assert_eq!(client.payloads(4).last().unwrap(), "small again");
    }
}
