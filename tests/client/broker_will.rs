//! The will, and when it is published.

use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{AsyncClientConfig, MessageProperties, MqttClientOptions, MqttEvent, Will};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, lasting, options, qos, text};
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::proxy::Proxy;

const V5: ProtocolVersion = ProtocolVersion::V5;

/// A broker behind a proxy, and a client that sees everything published there.
fn scene(version: ProtocolVersion) -> (EmbeddedBroker, Proxy, Client) {
    let broker = EmbeddedBroker::start().unwrap();
    let proxy = Proxy::start(broker.address()).unwrap();
    let witness = Client::connected(options(broker.address(), "witness", version));
    witness.subscribed("#", 2);
    (broker, proxy, witness)
}

/// A connected client with a will that stays away once it has lost its connection.
fn with_will(proxy: &Proxy, version: ProtocolVersion, will: Will) -> Client {
    let options =
        MqttClientOptions { will: Some(will), reconnect: false, ..options(proxy.address(), "client", version) };
    let client = Client::new(options, AsyncClientConfig::default());
    client.connect_and_wait();
    client
}

#[test]
fn the_will_is_published_when_the_connection_is_lost() {
    for version in VERSIONS {
        let (_broker, proxy, witness) = scene(version);
        let _client = with_will(&proxy, version, Will::new("will", b"gone", 2, false));
        proxy.cut();
        let message = witness.log.messages(1).remove(0);
        assert_eq!((&*message.topic_name, text(&message), message.qos), ("will", "gone".to_string(), 2));
    }
}

#[test]
fn the_will_is_published_upon_a_disconnect_that_asks_for_it() {
    let (_broker, proxy, witness) = scene(V5);
    let properties = MessageProperties {
        content_type: Some("text/plain".to_string()),
        response_topic: Some("answers".to_string()),
        correlation_data: Some(b"7".to_vec()),
        user_properties: vec![("a".to_string(), "1".to_string())],
        ..Default::default()
    };
    let client = with_will(&proxy, V5, Will { properties, ..Will::new("will", b"gone", 1, false) });
    client.disconnect_with(0x04).unwrap();
    assert_eq!(client.log.disconnected(), Some(0x04));
    let message = witness.log.messages(1).remove(0);
    let received = &message.properties;
    assert_eq!(received.content_type(), Some("text/plain"));
    assert_eq!(received.response_topic(), Some("answers"));
    assert_eq!(received.correlation_data(), Some(&b"7"[..]));
    assert!(received.user_properties().any(|pair| pair == ("a", "1")));
}

#[test]
fn the_will_is_not_published_upon_a_clean_disconnect() {
    for version in VERSIONS {
        let (_broker, proxy, witness) = scene(version);
        let client = with_will(&proxy, version, Will::new("will", b"gone", 1, false));
        client.disconnect().unwrap();
        client.log.disconnected();
        witness.published("mark", b"mark", &qos(1));
        assert_eq!(witness.payloads(1), ["mark"]);
    }
}

#[test]
fn a_will_with_a_delay_is_published_after_it() {
    let (_broker, proxy, witness) = scene(V5);
    let will = Some(Will { delay_interval: 1, ..Will::new("will", b"gone", 1, false) });
    let options = MqttClientOptions { will, reconnect: false, ..lasting(proxy.address(), "client", V5) };
    let client = Client::new(options, AsyncClientConfig::default());
    client.connect_and_wait();
    let start = Instant::now();
    proxy.cut();
    assert_eq!(witness.payloads(1), ["gone"]);
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
}

#[test]
fn a_will_with_a_delay_is_not_published_if_the_client_comes_back_before() {
    let (_broker, proxy, witness) = scene(V5);
    let delayed = |topic: &str, delay_interval| Will { delay_interval, ..Will::new(topic, b"gone", 1, false) };
    let back = MqttClientOptions { will: Some(delayed("back", 1)), ..lasting(proxy.address(), "back", V5) };
    let away =
        MqttClientOptions { will: Some(delayed("away", 2)), reconnect: false, ..lasting(proxy.address(), "away", V5) };
    let back = Client::connected(back);
    let away = Client::connected(away);
    proxy.cut();
    assert!(back.log.connection(2).is_success());
    away.log.wait_for_event(|event| matches!(event, MqttEvent::ConnectionLost).then_some(()));
    // The later will shows that the earlier one would have come.
    assert_eq!(&*witness.log.messages(1)[0].topic_name, "away");
    assert_eq!(witness.log.messages(1).len(), 1);
}

#[test]
fn a_retained_will_is_there_for_later_subscribers() {
    let (broker, proxy, witness) = scene(V5);
    let client = with_will(&proxy, V5, Will::new("will", b"gone", 1, true));
    proxy.cut();
    client.log.wait_for_event(|event| matches!(event, MqttEvent::ConnectionLost).then_some(()));
    witness.log.messages(1);
    let late = Client::connected(options(broker.address(), "late", V5));
    late.subscribed("will", 1);
    assert!(late.log.messages(1)[0].retain);
}
