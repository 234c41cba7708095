//! Publishes one message and waits until the broker has it.
//!
//! `cargo run --example publish -- mqtt://localhost:1883 greetings hello`

use std::error::Error;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEvent, PublishOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(peer), Some(topic), Some(payload)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: publish PEER TOPIC PAYLOAD".into());
    };

    let options = MqttClientOptions { peer, ..Default::default() };
    let (client, mut events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default())?;
    client.connect()?;

    let options = PublishOptions { qos: 1, ..Default::default() };
    let published = client.publish_tracked(&topic, payload.as_bytes(), &options)?.wait(Duration::from_secs(10));
    // Why it takes so long, if it does: the broker cannot be reached, for instance.
    while let Some(event) = events.try_recv() {
        if let MqttEvent::Error(error) = event {
            eprintln!("{error}");
        }
    }
    let published = published?;
    println!("{}: {}", topic, published.reason_description());

    client.shutdown()?;
    if published.is_success() { Ok(()) } else { Err("the message was not accepted".into()) }
}
