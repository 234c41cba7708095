//! The program that the client was made for, against a real broker.

use std::io;

use flowsdk::mqtt_client::client::{ConnectionResult, PublishResult};
use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEvent, MqttEventHandler};
use flowsdk::mqtt_serde::mqttv5::publishv5::MqttPublish;
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, options, text};
use crate::recorder::Log;
use crate::support::embedded_broker::EmbeddedBroker;

struct MyHandler {
    name: String,
    log: Log,
}

impl MqttEventHandler for MyHandler {
    fn on_connected(&mut self, result: &ConnectionResult) {
        assert!(result.is_success(), "{}: {}", self.name, result.reason_description());
        self.log.add(MqttEvent::Connected(result.clone()));
    }

    fn on_published(&mut self, result: &PublishResult) {
        self.log.add(MqttEvent::Published(result.clone()));
    }

    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        self.log.add(MqttEvent::MessageReceived(publish.clone().into_owned()));
    }

    fn on_error(&mut self, error: &io::Error) {
        self.log.add(MqttEvent::Error(io::Error::new(error.kind(), error.to_string())));
    }
}

#[test]
fn the_program_of_the_readme_delivers_everything_without_a_wait() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let witness = Client::connected(options(broker.address(), "witness", version));
        witness.subscribed("#", 2);
        let log = Log::default();
        run(&broker, version, log.clone()).unwrap();

        let messages = witness.log.messages(2);
        assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["23.5", "Temperature too high!"]);
        assert_eq!(messages.iter().map(|message| message.qos).collect::<Vec<_>>(), [1, 2]);
        let outcomes: Vec<_> = log.with(|events| events.iter().filter_map(crate::broker_fixture::published).collect());
        assert_eq!(outcomes.len(), 2, "{:?}", log.words());
        assert!(outcomes.iter().all(|(_, success)| *success), "{:?}", log.words());
        assert_eq!(log.count(|event| matches!(event, MqttEvent::Error(_))), 0, "{:?}", log.words());
    }
}

fn run(broker: &EmbeddedBroker, version: ProtocolVersion, log: Log) -> io::Result<()> {
    let mqtt_options = MqttClientOptions {
        peer: broker.address().to_string(),
        client_id: "my_async_client".to_string(),
        clean_start: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
        reconnect: true,
        sessionless: false,
        subscription_topics: vec![],
        auto_ack: false,
        protocol: flowsdk::mqtt_client::ProtocolOptions { version, ..Default::default() },
        ..Default::default()
    };
    let async_config = AsyncClientConfig {
        auto_reconnect: true,
        reconnect_delay_ms: 1000,
        max_reconnect_delay_ms: 30000,
        max_reconnect_attempts: 5,
        command_queue_size: 100,
        buffer_messages: true,
        max_buffer_size: 1000,
    };
    let handler = Box::new(MyHandler { name: "Client".to_string(), log });
    let client = AsyncMqttClient::new(mqtt_options, handler, async_config)?;
    client.connect()?;
    client.subscribe("sensor/+/temperature", 1)?;
    client.subscribe("alerts/#", 2)?;
    client.publish("sensor/1/temperature", b"23.5", 1, false)?;
    client.publish("alerts/high_temp", b"Temperature too high!", 2, true)?;
    client.ping()?;
    client.unsubscribe(vec!["sensor/+/temperature"])?;
    client.disconnect()?;
    client.shutdown()?;
    Ok(())
}

#[test]
fn what_is_published_after_a_disconnect_and_a_connect_is_delivered_before_the_shutdown() {
    let broker = EmbeddedBroker::start().unwrap();
    let witness = Client::connected(options(broker.address(), "witness", ProtocolVersion::V5));
    witness.subscribed("#", 1);
    let client = Client::new(options(broker.address(), "client", ProtocolVersion::V5), AsyncClientConfig::default());
    client.connect().unwrap();
    client.publish("t", b"first", 1, false).unwrap();
    client.disconnect().unwrap();
    client.publish("t", b"between", 1, false).unwrap();
    client.connect().unwrap();
    // Of one QoS, as only then a broker keeps the order.
    client.publish("t", b"last", 1, false).unwrap();
    client.shutdown().unwrap();
    assert_eq!(witness.payloads(3), ["first", "between", "last"]);
    assert_eq!(client.log.count(crate::broker_fixture::is_published), 3);
}

#[test]
fn a_publish_behind_a_disconnect_is_cancelled_by_the_shutdown_and_told() {
    let broker = EmbeddedBroker::start().unwrap();
    let client = Client::connected(options(broker.address(), "client", ProtocolVersion::V5));
    client.publish("t", b"before", 1, false).unwrap();
    client.disconnect().unwrap();
    let token = client.publish("t", b"behind", 1, false).unwrap();
    client.shutdown().unwrap();
    assert_eq!(client.log.published(token).outcome, flowsdk::mqtt_client::Outcome::Cancelled);
    assert_eq!(client.log.count(crate::broker_fixture::is_published), 2);
}

#[test]
fn a_thousand_messages_before_the_first_connection_are_delivered_in_order() {
    let broker = EmbeddedBroker::start().unwrap();
    let witness = Client::connected(options(broker.address(), "witness", ProtocolVersion::V5));
    witness.subscribed("#", 2);
    let client = Client::new(options(broker.address(), "client", ProtocolVersion::V5), crate::broker_fixture::quick());
    client.connect().unwrap();
    for number in 0..1000u32 {
        client
            .publish("t", number.to_string().as_bytes(), u8::try_from(number % 2 + 1).unwrap(), false)
            .map(drop)
            .unwrap();
    }
    client.shutdown().unwrap();
    let odd_and_even = |rest| (0..1000).filter(move |number| number % 2 == rest).map(|number: u32| number.to_string());
    let payloads = witness.payloads(1000);
    let received = |rest: u32| payloads.iter().filter(move |text| text.parse::<u32>().unwrap() % 2 == rest);
    for rest in [0, 1] {
        assert!(received(rest).cloned().eq(odd_and_even(rest)), "messages of one QoS keep their order");
    }
    assert_eq!(witness.log.count(is_message), 1000);
}
