//! Connects by a WebSocket, subscribes, and receives what it publishes itself.
//!
//! `cargo run --example websocket --features websocket -- ws://localhost:8080/mqtt [--mqtt-version 3.1.1|5] [HEADER
//! VALUE]...`
//!
//! A broker for it: `mosquitto` with the two lines `listener 8080` and `protocol websockets` in its configuration, and
//! `allow_anonymous true`. With a URL of `wss://` it needs the feature `tls`, too.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, Connecting, MqttClientOptions, MqttEvent, ProtocolOptions, TopicSubscription,
    WebSocketOptions,
};
use flowsdk::types::ProtocolVersion;

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let peer = args.next().ok_or("usage: websocket URL [--mqtt-version 3.1.1|5] [HEADER VALUE]...")?;
    let (mut version, mut headers) = (ProtocolVersion::V5, Vec::new());
    while let Some(name) = args.next() {
        let value = args.next().ok_or("a header has a value")?;
        match (name.as_str(), value.as_str()) {
            ("--mqtt-version", "5") => version = ProtocolVersion::V5,
            ("--mqtt-version", "3.1.1") => version = ProtocolVersion::V3_1_1,
            _ => headers.push((name, value.into())),
        }
    }

    let websocket = WebSocketOptions { headers, ..Default::default() };
    let options = MqttClientOptions {
        peer,
        subscription_topics: vec![TopicSubscription::new("flowsdk/websocket", 1)],
        protocol: ProtocolOptions { version, ..Default::default() },
        connecting: Connecting { websocket, ..Default::default() },
        ..Default::default()
    };
    let (client, mut events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default())?;
    client.connect()?;

    loop {
        match events.recv_timeout(PATIENCE) {
            Some(MqttEvent::Connected(result)) if result.is_success() => {
                client.publish("flowsdk/websocket", b"hello over a WebSocket", 1, false)?;
            }
            Some(MqttEvent::MessageReceived(message)) => {
                println!("{}: {}", message.topic_name, String::from_utf8_lossy(&message.payload));
                break;
            }
            Some(MqttEvent::Error(error)) => return Err(error.into()),
            Some(_) => {}
            None => return Err("nothing came for ten seconds".into()),
        }
    }
    client.shutdown()?;
    Ok(())
}
