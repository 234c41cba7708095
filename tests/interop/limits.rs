//! What mosquitto is told not to take, and what it tells the client.

use std::io;
use std::time::{Duration, Instant};

use flowsdk::codec::Property;
use flowsdk::mqtt_client::{
    AsyncClientConfig, DropCause, MqttClientOptions, MqttEvent, Outcome, PublishOptions, PublishResult, Secret,
};
use flowsdk::session::Misuse;
use flowsdk::types::ProtocolVersion;
use libtest_mimic::Trial;

use crate::fixture::{Client, options, qos};
use crate::support::PATIENCE;
use crate::support::mosquitto::Mosquitto;
use crate::{of_both_versions, of_v5};

const V5: ProtocolVersion = ProtocolVersion::V5;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        of_v5("a_receive_maximum_of_20_holds_messages_back", "", receive_maximum),
        of_v5("a_keep_alive_of_the_server_is_obeyed", "max_keepalive 10", server_keep_alive),
        of_v5("nothing_is_retained_where_that_is_not_available", "retain_available false", no_retain),
        of_v5("no_qos_above_the_maximum_is_sent", "max_qos 1", maximum_qos),
        of_v5("no_packet_above_the_maximum_size_is_sent", "max_packet_size 1000", maximum_packet_size),
        of_v5("an_empty_client_id_is_replaced_by_the_server", "", assigned_client_id),
    ];
    trials.extend(of_both_versions("refused_credentials_are_told_once", "allow_anonymous false", refused));
    trials.extend(of_both_versions("a_user_name_and_a_password_are_taken", "", credentials));
    trials.extend(of_both_versions("a_client_without_reconnection_gives_way_to_another_of_its_name", "", taken_over));
    trials
}

#[track_caller]
fn publish(client: &Client, payload: &[u8], options: &PublishOptions) -> PublishResult {
    client.publish_tracked("t", payload, options).unwrap().wait(PATIENCE).unwrap()
}

fn receive_maximum(broker: &mut Mosquitto) {
    let client = Client::connected(options(broker.address(), "client", V5));
    let told = client.log.connection(1).properties.iter().find_map(|property| match property {
        Property::ReceiveMaximum(maximum) => Some(maximum.get()),
        _ => None,
    });
    assert_eq!(told, Some(20));
    client.subscribed("t", 2);
    let tokens: Vec<_> = (0..500).map(|_| client.publish("t", b"x", 2, false).unwrap()).collect();
    for token in tokens {
        assert!(client.log.published(token).is_success());
    }
    client.log.messages(500);
    client.shutdown().unwrap();
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::ConnectionLost)), 0);
}

fn server_keep_alive(broker: &mut Mosquitto) {
    let options_of = MqttClientOptions { keep_alive: 600, ..options(broker.address(), "client", V5) };
    let client = Client::connected(options_of);
    let told = client.log.connection(1).properties.iter().find_map(|property| match property {
        Property::ServerKeepAlive(seconds) => Some(seconds),
        _ => None,
    });
    assert_eq!(told, Some(10));
    // A client that did not obey would be thrown out after one and a half times that.
    let start = Instant::now();
    client.log.wait_for_within(Duration::from_secs(20), |events| {
        let is_lost = events.iter().any(|event| !matches!(event, MqttEvent::Connected(_)));
        assert!(!is_lost, "{events:?}");
        (start.elapsed() > Duration::from_secs(17)).then_some(())
    });
}

fn no_retain(broker: &mut Mosquitto) {
    let client = Client::connected(options(broker.address(), "client", V5));
    let result = publish(&client, b"x", &PublishOptions { qos: 1, retain: true, ..Default::default() });
    assert_eq!(result.outcome, Outcome::Dropped(DropCause::Refused(Misuse::RetainNotSupported)));
    assert!(publish(&client, b"x", &qos(1)).is_success());
}

fn maximum_qos(broker: &mut Mosquitto) {
    let client = Client::connected(options(broker.address(), "client", V5));
    let result = publish(&client, b"x", &qos(2));
    assert!(matches!(result.outcome, Outcome::Dropped(DropCause::Refused(_))), "{result:?}");
    assert!(publish(&client, b"x", &qos(1)).is_success());
}

fn maximum_packet_size(broker: &mut Mosquitto) {
    let client = Client::connected(options(broker.address(), "client", V5));
    let result = publish(&client, &[0; 1_000], &qos(1));
    assert!(matches!(result.outcome, Outcome::Dropped(DropCause::Refused(_))), "{result:?}");
    assert!(publish(&client, &[0; 900], &qos(1)).is_success());
}

fn assigned_client_id(broker: &mut Mosquitto) {
    let client = Client::connected(options(broker.address(), "", V5));
    let properties = client.log.connection(1).properties;
    assert!(properties.iter().any(|property| matches!(property, Property::AssignedClientIdentifier(_))));
    assert!(publish(&client, b"x", &qos(1)).is_success());
}

fn refused(broker: &mut Mosquitto, version: ProtocolVersion) {
    let client = Client::new(options(broker.address(), "client", version), AsyncClientConfig::default());
    client.connect().unwrap();
    let result = client.log.connection(1);
    assert_eq!(result.reason_code, 0x87);
    assert_eq!(result.return_code(), if version.is_v5() { 0x87 } else { 5 });
    assert_eq!(client.log.error("refuses the connection"), io::ErrorKind::ConnectionRefused);
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::ReconnectAttempt(_))), 0);
    let token = client.publish("t", b"x", 1, false).unwrap();
    client.shutdown().unwrap();
    assert_eq!(client.log.published(token).outcome, Outcome::Cancelled);
}

fn credentials(broker: &mut Mosquitto, version: ProtocolVersion) {
    let client = Client::connected(MqttClientOptions {
        username: Some("user".to_string()),
        password: Some(Secret::from("password")),
        ..options(broker.address(), "client", version)
    });
    assert!(publish(&client, b"x", &qos(1)).is_success());
}

fn taken_over(broker: &mut Mosquitto, version: ProtocolVersion) {
    let first = Client::connected(options(broker.address(), "same", version));
    // Mosquitto 2.0 closes without a word: two clients that come back would throw each other out for ever.
    first.set_auto_reconnect(false).unwrap();
    let second = Client::connected(options(broker.address(), "same", version));
    first.log.wait_for_event(|event| {
        matches!(event, MqttEvent::ConnectionLost | MqttEvent::Disconnected(Some(0x8E))).then_some(())
    });
    assert!(publish(&second, b"x", &qos(1)).is_success());
    assert_eq!(first.log.count(|event| matches!(event, MqttEvent::ReconnectAttempt(_))), 0);
}
