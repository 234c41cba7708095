//! A client with callbacks, from connect to shutdown.
//!
//! Without arguments it starts a broker inside this process and uses that. With
//! `-- --broker mqtt://host:1883` it uses yours; `--mqtt-version 3.1.1` or `5` chooses the version.

#[path = "../tests/support/embedded_broker.rs"]
mod embedded_broker;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::client::{ConnectionResult, PingResult, PublishResult, SubscribeResult, UnsubscribeResult};
use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEventHandler, ProtocolOptions};
use flowsdk::mqtt_serde::mqttv5::publishv5::MqttPublish;
use flowsdk::types::ProtocolVersion;

use embedded_broker::EmbeddedBroker;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the main thread waits for.
#[derive(Debug, PartialEq)]
enum Step {
    Connected,
    Failed(String),
    Subscribed,
    Published,
    Message,
    Pong,
    Unsubscribed,
    Disconnected,
}

struct MyHandler {
    name: String,
    steps: Sender<Step>,
}

impl MyHandler {
    fn tell(&self, text: &str, step: Step) {
        println!("[{}] {text}", self.name);
        // The main thread may have stopped to listen.
        let _ = self.steps.send(step);
    }
}

impl MqttEventHandler for MyHandler {
    fn on_connected(&mut self, result: &ConnectionResult) {
        if result.is_success() {
            self.tell(&format!("Connected! Session present: {}", result.session_present), Step::Connected);
        } else {
            let text = format!("Connection failed: {}", result.reason_description());
            self.tell(&text, Step::Failed(text.clone()));
        }
    }

    fn on_disconnected(&mut self, reason_code: Option<u8>) {
        self.tell(&format!("Disconnected, reason code {reason_code:?}"), Step::Disconnected);
    }

    fn on_published(&mut self, result: &PublishResult) {
        let text = format!("Published (QoS {}): {}", result.qos, result.reason_description());
        self.tell(&text, Step::Published);
    }

    fn on_subscribed(&mut self, result: &SubscribeResult) {
        self.tell(&format!("Subscribed, reason codes {:?}", result.reason_codes), Step::Subscribed);
    }

    fn on_unsubscribed(&mut self, result: &UnsubscribeResult) {
        self.tell(&format!("Unsubscribed, success: {}", result.is_success()), Step::Unsubscribed);
    }

    fn on_message_received(&mut self, publish: &MqttPublish) {
        let payload = String::from_utf8_lossy(&publish.payload);
        self.tell(&format!("Message on '{}' (QoS {}): {payload}", publish.topic_name, publish.qos), Step::Message);
    }

    fn on_ping_response(&mut self, result: &PingResult) {
        self.tell(&format!("Ping answered: {}", result.success), Step::Pong);
    }

    fn on_error(&mut self, error: &io::Error) {
        self.tell(&format!("Error: {error}"), Step::Failed(error.to_string()));
    }

    fn on_connection_lost(&mut self) {
        println!("[{}] Connection lost", self.name);
    }

    fn on_reconnect_attempt(&mut self, attempt: u32) {
        println!("[{}] Reconnection attempt {attempt}", self.name);
    }
}

struct Arguments {
    broker: Option<String>,
    version: ProtocolVersion,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("async_mqtt_client_example: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = parse_arguments()?;
    let (peer, _broker) = match arguments.broker {
        Some(peer) => (peer, None),
        None => {
            let broker = EmbeddedBroker::start()?;
            println!("Started a broker in this process on {}", broker.address());
            (broker.address().to_string(), Some(broker))
        }
    };

    let mqtt_options = MqttClientOptions {
        peer: peer.clone(),
        client_id: "my_async_client".to_string(),
        clean_start: true,
        keep_alive: 60,
        username: None,
        password: None,
        will: None,
        reconnect: true,
        sessionless: false,
        subscription_topics: vec![],
        auto_ack: true,
        protocol: ProtocolOptions { version: arguments.version, ..Default::default() },
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
    let (steps, done) = mpsc::channel();
    let handler = Box::new(MyHandler { name: "Client".to_string(), steps });
    let client = AsyncMqttClient::new(mqtt_options, handler, async_config)?;

    println!("Connecting to {peer}");
    client.connect()?;
    wait_for(&done, &[Step::Connected])?;

    client.subscribe("sensor/+/temperature", 1)?;
    client.subscribe("alerts/#", 2)?;
    wait_for(&done, &[Step::Subscribed, Step::Subscribed])?;

    client.publish("sensor/1/temperature", b"23.5", 1, false)?;
    client.publish("sensor/2/temperature", b"19.0", 0, false)?;
    client.publish("alerts/high_temp", b"Temperature too high!", 2, false)?;
    wait_for(&done, &[Step::Published, Step::Published, Step::Published, Step::Message, Step::Message, Step::Message])?;

    client.ping()?;
    wait_for(&done, &[Step::Pong])?;

    client.unsubscribe(vec!["sensor/+/temperature"])?;
    wait_for(&done, &[Step::Unsubscribed])?;

    client.disconnect()?;
    wait_for(&done, &[Step::Disconnected])?;

    client.shutdown()?;
    println!("Done");
    Ok(())
}

/// Waits until all of these have happened, in any order. The first error ends it.
fn wait_for(done: &Receiver<Step>, expected: &[Step]) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    let mut missing: Vec<&Step> = expected.iter().collect();
    while !missing.is_empty() {
        match done.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Step::Failed(text)) => return Err(text.into()),
            Ok(step) => {
                if let Some(index) = missing.iter().position(|wanted| **wanted == step) {
                    missing.swap_remove(index);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("{missing:?} did not happen within {PATIENCE:?}").into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the client has ended".into()),
        }
    }
    Ok(())
}

fn parse_arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = Arguments { broker: None, version: ProtocolVersion::V5 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), args.next()) {
            ("--broker", Some(peer)) => arguments.broker = Some(peer),
            ("--mqtt-version", Some(version)) => {
                arguments.version = match version.as_str() {
                    "5" | "5.0" => ProtocolVersion::V5,
                    "3.1.1" => ProtocolVersion::V3_1_1,
                    other => return Err(format!("--mqtt-version is 3.1.1 or 5, not {other}").into()),
                }
            }
            _ => return Err("usage: async_mqtt_client_example [--broker PEER] [--mqtt-version 3.1.1|5]".into()),
        }
    }
    Ok(arguments)
}
