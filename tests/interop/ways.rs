//! Other ways to mosquitto than TCP.

use flowsdk::mqtt_client::MqttClientOptions;
use flowsdk::types::ProtocolVersion;
use libtest_mimic::Trial;

use crate::fixture::{Client, options, qos, text};
use crate::of_both_versions;
use crate::support::mosquitto::Mosquitto;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    if cfg!(unix) {
        let name = "messages_go_both_ways_over_a_unix_socket";
        trials.extend(of_both_versions(name, "listener 0 {directory}/mqtt.sock", over_unix));
    }
    if cfg!(feature = "websocket") {
        let name = "messages_go_both_ways_over_a_websocket";
        trials.extend(of_both_versions(name, "listener {second_port} 127.0.0.1\nprotocol websockets", over_websocket));
    }
    trials
}

fn over_unix(broker: &mut Mosquitto, version: ProtocolVersion) {
    let peer = format!("unix:{}", broker.directory().join("mqtt.sock").display());
    both_ways(|id| MqttClientOptions { peer: peer.clone(), ..options(broker.address(), id, version) });
}

fn over_websocket(broker: &mut Mosquitto, version: ProtocolVersion) {
    let peer = format!("ws://{}/mqtt", broker.second_address());
    both_ways(|id| MqttClientOptions { peer: peer.clone(), ..options(broker.address(), id, version) });
}

/// Messages of each QoS and of many lengths from one client to another, and the end of both.
fn both_ways(options: impl Fn(&str) -> MqttClientOptions) {
    let subscriber = Client::connected(options("subscriber"));
    let publisher = Client::connected(options("publisher"));
    subscriber.subscribed("t/#", 2);
    // Over WebSockets mosquitto sends 4 KiB of a message every tenth of a second.
    let lengths = [0, 1, 100, 118, 119, 120, 125, 126, 127, 4_000, 20_000];
    for (number, len) in lengths.into_iter().enumerate() {
        for level in 0..3 {
            let payload = vec![b'a' + u8::try_from(number).unwrap(); len];
            publisher.published(&format!("t/{level}"), &payload, &qos(level));
        }
    }
    let messages = subscriber.log.messages(3 * lengths.len());
    for (at, message) in messages.iter().enumerate() {
        let (number, level) = (at / 3, at % 3);
        assert_eq!(message.topic_name, format!("t/{level}"));
        assert_eq!(message.payload.len(), lengths[number]);
        assert!(message.payload.iter().all(|byte| usize::from(*byte) == usize::from(b'a') + number), "{number}");
    }
    for len in [65_529, 65_530, 65_536, 1_000_000] {
        publisher.published("unread", &vec![0; len], &qos(1));
    }
    for number in 0..1000 {
        publisher.publish("t/many", number.to_string().as_bytes(), 1, false).unwrap();
    }
    publisher.shutdown().unwrap();
    let messages = subscriber.log.messages(3 * lengths.len() + 1000);
    let many: Vec<_> = messages.iter().filter(|message| message.topic_name == "t/many").map(text).collect();
    assert_eq!(many, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
    subscriber.shutdown().unwrap();
}
