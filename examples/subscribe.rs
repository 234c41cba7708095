//! Prints the messages of a topic filter until it is interrupted.
//!
//! `cargo run --example subscribe -- mqtt://localhost:1883 'greetings/#'`

use std::error::Error;

use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEvent};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(peer), Some(filter)) = (args.next(), args.next()) else {
        return Err("usage: subscribe PEER FILTER".into());
    };

    let options = MqttClientOptions { peer, ..Default::default() };
    let (client, events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default())?;
    client.connect()?;
    client.subscribe(&filter, 1)?;

    for event in events {
        match event {
            MqttEvent::MessageReceived(message) => {
                println!("{}: {}", message.topic_name, String::from_utf8_lossy(&message.payload));
            }
            MqttEvent::Error(error) => eprintln!("{error}"),
            _ => {}
        }
    }
    Ok(())
}
