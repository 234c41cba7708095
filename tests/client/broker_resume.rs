//! Sessions across lost connections and restarted brokers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, ClientError, MqttClientOptions, MqttEvent, Outcome, Receipt, Token};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, lasting, options, qos, quick, text};
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::proxy::Proxy;
use crate::support::referee::{Referee, Side};
use crate::support::{PATIENCE, wait_until};

const CUTS: usize = 50;
const LONG: Duration = Duration::from_secs(60);

/// How often each payload has arrived.
type Received = Arc<Mutex<BTreeMap<String, usize>>>;
/// How each publish has ended, and how often.
type Ended = Arc<Mutex<HashMap<Token, Vec<Outcome>>>>;

fn subscriber(options: MqttClientOptions) -> (Client, Received) {
    let received = Received::default();
    let counted = Arc::clone(&received);
    let client = Client::acting(options, quick(), move |_, event| {
        if let MqttEvent::MessageReceived(publish) = event {
            *counted.lock().unwrap().entry(text(publish)).or_default() += 1;
        }
        !is_message(event)
    });
    client.connect_and_wait();
    (client, received)
}

fn publisher(options: MqttClientOptions) -> (Client, Ended) {
    let ended = Ended::default();
    let told = Arc::clone(&ended);
    let client = Client::acting(options, quick(), move |_, event| {
        if let MqttEvent::Published(result) = event {
            told.lock().unwrap().entry(result.token).or_default().push(result.outcome);
            return false;
        }
        true
    });
    client.connect_and_wait();
    (client, ended)
}

/// A broker that looks late at a connection which was cut before its CONNACK takes the newer one for taken over.
fn is_taken_over(event: &MqttEvent<'_>) -> bool {
    matches!(event, MqttEvent::Disconnected(Some(0x8E)))
}

#[test]
fn nothing_is_lost_and_qos_2_is_delivered_once_while_connections_are_cut() {
    // The broker answers a PUBREL of v3.1.1 that it does not know by a PUBCOMP of v5.0; mosquitto has that case.
    let cases = [
        (ProtocolVersion::V5, [1, 2], ProtocolVersion::V5),
        (ProtocolVersion::V5, [1, 2], ProtocolVersion::V3_1_1),
        (ProtocolVersion::V3_1_1, [1, 1], ProtocolVersion::V3_1_1),
    ];
    for (sends, qos_levels, receives) in cases {
        let broker = EmbeddedBroker::start().unwrap();
        let referee = Arc::new(Referee::default());
        let proxy = Proxy::start_with(broker.address(), Arc::clone(&referee)).unwrap();
        let client = subscriber(lasting(proxy.address(), "subscriber", receives));
        client.0.subscribed("#", 2);
        let source = publisher(lasting(proxy.address(), "publisher", sends));
        cut_again_and_again(&proxy, &referee, &source, qos_levels, &client);
    }
}

fn cut_again_and_again(
    proxy: &Proxy,
    referee: &Referee,
    (source, ended): &(Client, Ended),
    qos_levels: [u8; 2],
    (client, received): &(Client, Received),
) {
    const EACH: usize = 60;
    let mut tokens = Vec::new();
    for cut in 0..CUTS {
        for number in 0..EACH {
            let qos_level = qos_levels[number % 2];
            let payload = format!("{qos_level} {cut} {number}");
            tokens.push(source.publish("t", payload.as_bytes(), qos_level, false).unwrap());
        }
        // Each cut comes in the midst of some progress.
        let progress = cut * EACH + EACH / 3;
        wait_until(LONG, || {
            let is_going_on = received.lock().unwrap().len() > progress || ended.lock().unwrap().len() > progress;
            is_going_on && proxy.accepted() > 2 * cut
        });
        proxy.cut();
    }
    wait_until(LONG, || ended.lock().unwrap().len() == CUTS * EACH);
    wait_until(LONG, || received.lock().unwrap().len() == CUTS * EACH);
    source.shutdown().unwrap();
    client.shutdown().unwrap();
    let ended = ended.lock().unwrap();
    for token in tokens {
        assert_eq!(ended[&token], [Outcome::Acknowledged], "{token:?}");
    }
    let ours = referee.faults("publisher", Side::Client);
    assert_eq!(ours.count(), 0, "the publisher: {ours}");
    let received = received.lock().unwrap();
    let mut twice = received.iter().filter(|(text, count)| text.starts_with('2') && **count > 1);
    let brokers = referee.faults("subscriber", Side::Broker);
    if let Some((text, count)) = twice.find(|(text, _)| brokers.with(text.as_bytes()).is_none()) {
        let story = referee.story("subscriber", Side::Broker, text.as_bytes());
        panic!("{text} was delivered {count} times:\n{story}");
    }
    let taken_over = source.log.count(is_taken_over) + client.log.count(is_taken_over);
    assert!(taken_over <= referee.overtaken(), "{taken_over} times taken over");
    assert!(proxy.accepted() > 2 * (CUTS - 1), "{} connections", proxy.accepted());
}

#[test]
fn a_client_comes_back_to_a_restarted_broker_with_its_subscriptions_and_messages() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let address = broker.address();
        let client = Client::connected(options(address, "client", version));
        client.subscribed("kept/#", 1);
        client.subscribed("left", 1);
        let token = client.unsubscribe(vec!["left"]).unwrap();
        client.log.unsubscribed(token);
        drop(broker);
        client.log.wait_for_event(|event| {
            matches!(event, MqttEvent::ConnectionLost | MqttEvent::Disconnected(_)).then_some(())
        });
        let tokens =
            [0, 1, 2].map(|qos_level| client.publish("kept/x", &[b'0' + qos_level], qos_level, false).unwrap());
        client.publish("left", b"unwanted", 1, false).unwrap();
        let _broker = EmbeddedBroker::start_at(address).unwrap();
        assert!(client.log.connection(2).is_success());
        for token in tokens {
            assert!(client.log.published(token).is_success());
        }
        client.published("kept/y", b"live", &qos(1));
        let mut payloads = client.payloads(4);
        payloads.sort();
        assert_eq!(payloads, ["0", "1", "2", "live"]);
    }
}

#[test]
fn topics_of_the_options_are_subscribed_whenever_the_broker_has_no_session() {
    let broker = EmbeddedBroker::start().unwrap();
    let address = broker.address();
    let subscription_topics = vec![flowsdk::mqtt_client::TopicSubscription::new("t", 1)];
    let client =
        Client::connected(MqttClientOptions { subscription_topics, ..lasting(address, "client", ProtocolVersion::V5) });
    client.published("t", b"1", &qos(1));
    assert_eq!(client.payloads(1), ["1"]);
    drop(broker);
    let _broker = EmbeddedBroker::start_at(address).unwrap();
    assert!(!client.log.connection(2).session_present);
    client.published("t", b"2", &qos(1));
    assert_eq!(client.payloads(2), ["1", "2"]);
}

#[test]
fn messages_without_acknowledgement_come_again_on_the_next_connection() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let proxy = Proxy::start(broker.address()).unwrap();
        let options_of = MqttClientOptions { auto_ack: false, ..lasting(proxy.address(), "client", version) };
        let client = Client::connected(options_of);
        client.subscribed("t", 1);
        let source = Client::connected(options(broker.address(), "publisher", version));
        for payload in ["1", "2", "3"] {
            source.published("t", payload.as_bytes(), &qos(1));
        }
        let receipts: Vec<Receipt> = client.log.messages(3).iter().map(|message| message.receipt().unwrap()).collect();
        client.acknowledge(receipts[0]).unwrap();
        acknowledgements_have_arrived(&client);
        proxy.cut();
        assert!(client.log.connection(2).session_present);
        let again = client.log.messages(5).split_off(3);
        assert_eq!(again.iter().map(text).collect::<Vec<_>>(), ["2", "3"]);
        assert!(again.iter().all(|message| message.dup));
        assert_eq!(client.acknowledge(receipts[1]), Err(ClientError::StaleReceipt));
        for message in again.iter().rev() {
            client.acknowledge(message.receipt().unwrap()).unwrap();
        }
        acknowledgements_have_arrived(&client);
        proxy.cut();
        client.log.connection(3);
        source.published("t", b"4", &qos(1));
        assert_eq!(client.payloads(6), ["1", "2", "3", "2", "3", "4"]);
    }
}

/// The broker answers a ping behind everything that was sent before it.
#[track_caller]
fn acknowledgements_have_arrived(client: &Client) {
    let is_answer = |event: &MqttEvent<'_>| matches!(event, MqttEvent::PingResponse(result) if result.success);
    let before = client.log.count(is_answer);
    client.ping().unwrap();
    client.log.wait_for_count(before + 1, is_answer);
}

#[test]
fn a_client_without_reconnection_stays_away_until_it_is_told_to_connect() {
    let broker = EmbeddedBroker::start().unwrap();
    let proxy = Proxy::start(broker.address()).unwrap();
    let config = AsyncClientConfig { auto_reconnect: false, ..quick() };
    let client = Client::new(options(proxy.address(), "client", ProtocolVersion::V5), config);
    client.connect_and_wait();
    proxy.cut();
    client.log.wait_for_event(|event| matches!(event, MqttEvent::ConnectionLost).then_some(()));
    let token = client.publish("t", b"kept", 1, false).unwrap();
    client.connect().unwrap();
    client.log.connection(2);
    assert!(client.log.published(token).is_success());
    client.set_auto_reconnect(true).unwrap();
    acknowledgements_have_arrived(&client);
    proxy.cut();
    client.log.connection(3);
    wait_until(PATIENCE, || client.log.count(|event| matches!(event, MqttEvent::ReconnectAttempt(1))) == 1);
}

#[test]
fn a_client_whose_session_was_taken_over_does_not_fight_for_it() {
    let broker = EmbeddedBroker::start().unwrap();
    // The next attempt waits for at least half of the longest delay.
    let config = AsyncClientConfig { max_reconnect_delay_ms: 3_600_000, ..quick() };
    let first = Client::new(options(broker.address(), "same", ProtocolVersion::V5), config);
    first.connect_and_wait();
    let second = Client::connected(options(broker.address(), "same", ProtocolVersion::V5));
    assert_eq!(first.log.disconnected(), Some(0x8E));
    first.log.error("another client with the same client identifier \"same\"");
    second.published("t", b"x", &qos(1));
    assert_eq!(first.log.count(|event| matches!(event, MqttEvent::ReconnectAttempt(_))), 0);
}
