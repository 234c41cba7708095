//! Clients of a real broker, ready to use.
#![allow(dead_code, unreachable_pub, reason = "every group of tests uses its own part of this")]

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ConnectionResult, MqttClientOptions, MqttEvent, MqttEventHandler, MqttPublish,
    ProtocolOptions, PublishOptions, PublishResult, SubscribeOptions, Token, TopicSubscription,
};
use flowsdk::types::ProtocolVersion;

use crate::recorder::{Log, Recorder};
use crate::support::PATIENCE;

pub const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::V5, ProtocolVersion::V3_1_1];

/// A client and what it has told. Clones share it.
#[derive(Clone)]
pub struct Client {
    pub client: Arc<AsyncMqttClient>,
    pub log: Log,
}

impl Deref for Client {
    type Target = AsyncMqttClient;

    fn deref(&self) -> &AsyncMqttClient {
        &self.client
    }
}

impl Client {
    /// A client that has not been told to connect.
    #[track_caller]
    pub fn new(options: MqttClientOptions, config: AsyncClientConfig) -> Self {
        let (handler, log) = Recorder::new();
        let client = AsyncMqttClient::new(options, handler, config).expect("options that work");
        Self { client: Arc::new(client), log }
    }

    /// A client that has not been told to connect, whose callbacks run `act`; what `act` says true of is told to the
    /// log.
    #[track_caller]
    pub fn acting(
        options: MqttClientOptions,
        config: AsyncClientConfig,
        act: impl FnMut(&AsyncMqttClient, &MqttEvent<'_>) -> bool + Send + 'static,
    ) -> Self {
        let (log, client) = (Log::default(), Arc::new(OnceLock::new()));
        let handler = Acting { log: log.clone(), client: Arc::clone(&client), act: Box::new(act) };
        let made = Arc::new(AsyncMqttClient::new(options, Box::new(handler), config).expect("options that work"));
        client.set(Arc::downgrade(&made)).expect("a cell that is set once");
        Self { client: made, log }
    }

    /// Connects and waits until the broker has accepted that.
    #[track_caller]
    pub fn connect_and_wait(&self) {
        self.client.connect().expect("an open client");
        let result = self.log.connection(1);
        assert!(result.is_success(), "{}", result.reason_description());
    }

    /// A connected client that comes back quickly when it loses its connection.
    #[track_caller]
    pub fn connected(options: MqttClientOptions) -> Self {
        let client = Self::new(options, quick());
        client.connect_and_wait();
        client
    }

    /// Subscribes and waits until the broker has granted it.
    #[track_caller]
    pub fn subscribed(&self, topic_filter: &str, qos: u8) {
        self.subscribed_with(TopicSubscription::new(topic_filter, qos), None);
    }

    /// As [`subscribed`](Self::subscribed), with every option.
    #[track_caller]
    pub fn subscribed_with(&self, topic: TopicSubscription, subscription_identifier: Option<u32>) {
        let options = SubscribeOptions { subscription_identifier, ..Default::default() };
        let subscribing = self.client.subscribe_tracked(&[topic], &options).expect("an open client");
        let result = subscribing.wait(PATIENCE).expect("a SUBACK");
        assert!(result.is_success(), "{result:?}");
    }

    /// Publishes and waits for the end of it.
    #[track_caller]
    pub fn published(&self, topic: &str, payload: &[u8], options: &PublishOptions) {
        let publishing = self.client.publish_tracked(topic, payload, options).expect("an open client");
        let result = publishing.wait(PATIENCE).expect("an outcome");
        assert!(result.is_success(), "{result:?}");
    }

    /// The payloads of the first `count` messages.
    #[track_caller]
    pub fn payloads(&self, count: usize) -> Vec<String> {
        self.log.messages(count).iter().map(text).collect()
    }

    /// The tokens whose publish has ended.
    pub fn ended_tokens(&self) -> Vec<Token> {
        self.log.with(|events| events.iter().filter_map(published).map(|(token, _)| token).collect())
    }
}

type Act = Box<dyn FnMut(&AsyncMqttClient, &MqttEvent<'_>) -> bool + Send>;

/// A handler that does what a test wants.
struct Acting {
    log: Log,
    client: Arc<OnceLock<Weak<AsyncMqttClient>>>,
    act: Act,
}

impl Acting {
    /// Outcomes that an earlier client has left may be told before the client is there.
    fn tell(&mut self, event: MqttEvent<'_>) {
        if let Some(client) = self.client.wait().upgrade()
            && (self.act)(&client, &event)
        {
            self.log.add(event.into_owned());
        }
    }
}

impl MqttEventHandler for Acting {
    fn on_connected(&mut self, result: &ConnectionResult) {
        self.tell(MqttEvent::Connected(result.clone()));
    }

    fn on_disconnected(&mut self, reason_code: Option<u8>) {
        self.tell(MqttEvent::Disconnected(reason_code));
    }

    fn on_published(&mut self, result: &PublishResult) {
        self.tell(MqttEvent::Published(result.clone()));
    }

    #[cfg(feature = "persistence")]
    fn on_durable(&mut self, tokens: &[Token]) {
        self.tell(MqttEvent::Durable(tokens.to_vec()));
    }

    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        self.tell(MqttEvent::MessageReceived(publish.clone()));
    }

    fn on_error(&mut self, error: &io::Error) {
        self.tell(MqttEvent::Error(io::Error::new(error.kind(), error.to_string())));
    }

    fn on_connection_lost(&mut self) {
        self.tell(MqttEvent::ConnectionLost);
    }

    fn on_reconnect_attempt(&mut self, attempt: u32) {
        self.tell(MqttEvent::ReconnectAttempt(attempt));
    }
}

/// The token of a publish that has ended, and whether well.
pub fn published(event: &MqttEvent<'_>) -> Option<(Token, bool)> {
    match event {
        MqttEvent::Published(result) => Some((result.token, result.is_success())),
        _ => None,
    }
}

pub fn is_published(event: &MqttEvent<'_>) -> bool {
    published(event).is_some()
}

pub fn is_message(event: &MqttEvent<'_>) -> bool {
    matches!(event, MqttEvent::MessageReceived(_))
}

pub fn text(publish: &MqttPublish<'_>) -> String {
    String::from_utf8_lossy(&publish.payload).into_owned()
}

pub fn options(address: SocketAddr, client_id: &str, version: ProtocolVersion) -> MqttClientOptions {
    MqttClientOptions {
        peer: address.to_string(),
        client_id: client_id.to_string(),
        protocol: ProtocolOptions { version, ..Default::default() },
        ..Default::default()
    }
}

/// As [`options`], with a session that outlives its connection.
pub fn lasting(address: SocketAddr, client_id: &str, version: ProtocolVersion) -> MqttClientOptions {
    let session_expiry_interval = if version.is_v5() { 300 } else { 0 };
    MqttClientOptions {
        clean_start: false,
        protocol: ProtocolOptions { version, session_expiry_interval, ..Default::default() },
        ..options(address, client_id, version)
    }
}

pub fn quick() -> AsyncClientConfig {
    AsyncClientConfig {
        reconnect_delay_ms: 5,
        max_reconnect_delay_ms: 20,
        command_queue_size: 100_000,
        max_buffer_size: 100_000,
        ..Default::default()
    }
}

pub fn qos(qos: u8) -> PublishOptions {
    PublishOptions { qos, ..Default::default() }
}
