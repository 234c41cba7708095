//! Sessions of mosquitto, wills, and what happens when connections or the broker go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{MqttClientOptions, MqttEvent, Outcome, ProtocolOptions, Token, Will};
use flowsdk::types::ProtocolVersion;
use libtest_mimic::Trial;

use crate::fixture::{Client, is_message, lasting, options, qos, quick, text};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::Proxy;
use crate::support::wait_until;
use crate::{of_both_versions, of_v5};

const V5: ProtocolVersion = ProtocolVersion::V5;
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        of_v5("a_will_is_published_upon_a_disconnect_that_asks_for_it", "", will_upon_disconnect),
        of_v5("a_session_ends_when_it_has_expired", "", expiry),
    ];
    trials.extend(of_both_versions("a_will_is_published_when_the_connection_is_lost", "", will));
    trials.extend(of_both_versions("nothing_is_lost_or_doubled_while_connections_are_cut", "", cuts));
    trials.extend(of_both_versions("a_killed_broker_that_has_forgotten_all_is_subscribed_again", "", killed));
    trials.extend(of_both_versions("a_restarted_broker_that_remembers_goes_on", "persistence true", restarted));
    trials.extend(of_both_versions("messages_without_acknowledgement_come_again", "", unacknowledged));
    trials
}

fn will(broker: &mut Mosquitto, version: ProtocolVersion) {
    let proxy = Proxy::start(broker.address()).unwrap();
    let witness = Client::connected(options(broker.address(), "witness", version));
    witness.subscribed("#", 2);
    let with_will = |name: &str| MqttClientOptions {
        will: Some(Will::new("will", name.as_bytes(), 2, false)),
        reconnect: false,
        ..options(proxy.address(), name, version)
    };
    let polite = Client::connected(with_will("polite"));
    polite.disconnect().unwrap();
    polite.log.disconnected();
    let _cut = Client::connected(with_will("cut"));
    proxy.cut();
    assert_eq!(witness.payloads(1), ["cut"]);
}

fn will_upon_disconnect(broker: &mut Mosquitto) {
    let witness = Client::connected(options(broker.address(), "witness", V5));
    witness.subscribed("#", 2);
    let will = Some(Will { delay_interval: 0, ..Will::new("will", b"asked for", 1, false) });
    let client = Client::connected(MqttClientOptions { will, ..options(broker.address(), "client", V5) });
    client.disconnect_with(0x04).unwrap();
    assert_eq!(witness.payloads(1), ["asked for"]);
}

fn expiry(broker: &mut Mosquitto) {
    let with_expiry = |session_expiry_interval| MqttClientOptions {
        protocol: ProtocolOptions { session_expiry_interval, ..Default::default() },
        ..lasting(broker.address(), "client", V5)
    };
    for (seconds, is_kept) in [(300, true), (1, false)] {
        Client::connected(MqttClientOptions { clean_start: true, ..with_expiry(seconds) }).shutdown().unwrap();
        // The time itself is what this is about.
        thread::sleep(Duration::from_secs(3));
        let client = Client::connected(with_expiry(seconds));
        assert_eq!(client.log.connection(1).session_present, is_kept, "expiry {seconds}");
        client.shutdown().unwrap();
    }
}

fn cuts(broker: &mut Mosquitto, version: ProtocolVersion) {
    const CUTS: usize = 50;
    const EACH: usize = 40;
    let proxy = Proxy::start(broker.address()).unwrap();
    let received: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let ended: Arc<Mutex<HashMap<Token, Vec<Outcome>>>> = Arc::default();
    let tallies = (Arc::clone(&received), Arc::clone(&ended));
    let client = Client::acting(lasting(proxy.address(), "client", version), quick(), move |_, event| match event {
        MqttEvent::MessageReceived(publish) => {
            *tallies.0.lock().unwrap().entry(text(publish)).or_default() += 1;
            false
        }
        MqttEvent::Published(result) => {
            tallies.1.lock().unwrap().entry(result.token).or_default().push(result.outcome);
            false
        }
        _ => true,
    });
    client.connect_and_wait();
    client.subscribed("t", 2);
    let mut tokens = Vec::new();
    for cut in 0..CUTS {
        for number in 0..EACH {
            let qos_level = if number % 2 == 0 { 1 } else { 2 };
            let payload = format!("{qos_level} {cut} {number}");
            tokens.push(client.publish("t", payload.as_bytes(), qos_level, false).unwrap());
        }
        wait_until(LONG, || proxy.accepted() > cut && received.lock().unwrap().len() > cut * EACH + EACH / 3);
        proxy.cut();
    }
    wait_until(LONG, || ended.lock().unwrap().len() == CUTS * EACH);
    wait_until(LONG, || received.lock().unwrap().len() == CUTS * EACH);
    client.shutdown().unwrap();
    let ended = ended.lock().unwrap().clone();
    assert!(tokens.iter().all(|token| ended[token] == [Outcome::Acknowledged]), "{ended:?}");
    let twice = |(text, count): &(&String, &usize)| text.starts_with('2') && **count > 1;
    let received = received.lock().unwrap().clone();
    assert_eq!(received.iter().filter(twice).collect::<Vec<_>>(), []);
    assert!(proxy.accepted() >= CUTS);
}

fn killed(broker: &mut Mosquitto, version: ProtocolVersion) {
    let client = Client::connected(options(broker.address(), "client", version));
    client.subscribed("t", 1);
    broker.crash();
    client.log.wait_for_event(|event| matches!(event, MqttEvent::ConnectionLost).then_some(()));
    let tokens = [0, 1, 2].map(|qos_level| client.publish("t", &[b'0' + qos_level], qos_level, false).unwrap());
    broker.start_again().unwrap();
    assert!(!client.log.connection(2).session_present);
    for token in tokens {
        assert!(client.log.published(token).is_success());
    }
    let mut payloads = client.payloads(3);
    payloads.sort();
    assert_eq!(payloads, ["0", "1", "2"]);
}

fn restarted(broker: &mut Mosquitto, version: ProtocolVersion) {
    let client = Client::connected(lasting(broker.address(), "client", version));
    client.subscribed("t", 2);
    client.published("t", b"before", &qos(2));
    client.log.messages(1);
    broker.restart().unwrap();
    assert!(client.log.connection(2).session_present);
    client.published("t", b"after", &qos(2));
    assert_eq!(client.payloads(2), ["before", "after"]);
    assert_eq!(client.log.count(is_message), 2);
}

fn unacknowledged(broker: &mut Mosquitto, version: ProtocolVersion) {
    let proxy = Proxy::start(broker.address()).unwrap();
    let options_of = MqttClientOptions { auto_ack: false, ..lasting(proxy.address(), "client", version) };
    let client = Client::connected(options_of);
    client.subscribed("t", 1);
    let source = Client::connected(options(broker.address(), "source", version));
    for payload in ["1", "2", "3"] {
        source.published("t", payload.as_bytes(), &qos(1));
    }
    let first = client.log.messages(3)[0].receipt().unwrap();
    client.acknowledge(first).unwrap();
    client.ping().unwrap();
    client.log.wait_for_event(|event| matches!(event, MqttEvent::PingResponse(_)).then_some(()));
    proxy.cut();
    assert_eq!(client.payloads(5), ["1", "2", "3", "2", "3"]);
    assert!(client.log.messages(5).iter().skip(3).all(|message| message.dup));
}
