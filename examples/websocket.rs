//! Connects by a WebSocket, subscribes, and receives what it publishes itself.
//!
//! `cargo run --example websocket --features websocket -- ws://localhost:8080/mqtt [HEADER VALUE]...`
//!
//! A broker for it: `mosquitto` with the two lines `listener 8080` and `protocol websockets` in its configuration, and
//! `allow_anonymous true`. With a URL of `wss://` it needs the feature `tls`, too.

use std::error::Error;
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, Connecting, MqttClientOptions, MqttEvent, TopicSubscription, WebSocketOptions,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let peer = args.next().ok_or("usage: websocket URL [HEADER VALUE]...")?;
    let mut headers = Vec::new();
    while let Some(name) = args.next() {
        headers.push((name, args.next().ok_or("a header has a value")?.into()));
    }

    let options = MqttClientOptions {
        peer,
        subscription_topics: vec![TopicSubscription::new("flowsdk/websocket", 1)],
        connecting: Connecting { websocket: WebSocketOptions { headers }, ..Default::default() },
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
