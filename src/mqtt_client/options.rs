use std::time::Duration;

use zeroize::Zeroizing;

use super::connecting::Connecting;
use super::offline::Offline;
use super::peer::without_secrets;
#[cfg(feature = "persistence")]
use super::persistence::Persistence;
use super::runtime::Runtime;
#[cfg(feature = "tls")]
use super::tls::TlsOptions;
use crate::macros::{Bytes, Hidden};
use crate::packet::RetainHandling;
use crate::types::ProtocolVersion;

/// Who the client is, where its broker is, and how they speak. `Debug` shows neither user name, which some brokers take
/// a token as, nor password.
///
/// ```
/// use flowsdk::mqtt_client::MqttClientOptions;
///
/// let options = MqttClientOptions {
///     peer: "mqtt://broker.example:1883".to_string(),
///     client_id: "sensor-7".to_string(),
///     clean_start: false,
///     ..Default::default()
/// };
/// assert_eq!(options.keep_alive, 60);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct MqttClientOptions {
    /// Where the broker is (default: `localhost:1883`): `host`, `host:port`, or a URL. IPv6 addresses stand in
    /// brackets. All addresses of a name are tried beside each other, a new one each 250 ms until one answers.
    ///
    /// | URL | the way | port, if none is given | feature |
    /// |---|---|---|---|
    /// | `mqtt://host:port` | TCP | 1883 | |
    /// | `mqtts://host:port` | TLS | 8883 | `tls` |
    /// | `ws://host:port/path` | WebSocket | 80 | `websocket` |
    /// | `wss://host:port/path` | WebSocket over TLS | 443 | `tls` and `websocket` |
    /// | `unix:/path` | Unix socket | | |
    ///
    /// `tcp://` is another name for `mqtt://`, `ssl://` and `tls://` are for `mqtts://`.
    ///
    /// A URL may hold user name and password, `mqtt://user:password@host`, in which the characters `% @ : / ? #` are
    /// written as `%25 %40 %3A %2F %3F %23`. They are those of [`username`](Self::username) and
    /// [`password`](Self::password), which then may not say anything else.
    pub peer: String,
    /// Names the session (default: empty, which lets the server choose). In v3.1.1 it is needed where `clean_start` is
    /// false.
    pub client_id: String,
    /// Begin a new session on the first connection after [`connect`](super::AsyncMqttClient::connect) (default: true).
    /// See the [table](super#sessions) for what it means for later ones.
    pub clean_start: bool,
    /// Seconds within which the server hears of the client; 0 turns that off (default: 60).
    pub keep_alive: u16,
    /// The user name (default: none).
    pub username: Option<String>,
    /// The password (default: none). In v3.1.1 it needs a user name.
    pub password: Option<Secret>,
    /// What the server publishes when the client goes away without a DISCONNECT (default: nothing).
    pub will: Option<Will>,
    /// Connect again by itself (default: true). It needs
    /// [`AsyncClientConfig::auto_reconnect`](super::AsyncClientConfig::auto_reconnect), too.
    pub reconnect: bool,
    /// Every connection begins a new session that ends with it, whatever `clean_start` says (default: false).
    pub sessionless: bool,
    /// Subscribed on every connection on which the server has no session (default: none).
    pub subscription_topics: Vec<TopicSubscription>,
    /// Acknowledge a message when its handler has returned, or the receiver has taken it (default: true). If false, the
    /// application does it by [`acknowledge`](super::AsyncMqttClient::acknowledge).
    pub auto_ack: bool,
    /// Version and properties of the connection.
    pub protocol: ProtocolOptions,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How much memory things may take.
    pub limits: Limits,
    /// Other servers, changing credentials, and what follows a loss.
    pub connecting: Connecting,
    /// What is done with messages while there is no connection.
    pub offline: Offline,
    /// What becomes of messages in flight when the server has lost the session.
    pub session_loss: SessionLossPolicy,
    /// Which threads do the work.
    pub threads: Threads,
    /// Where messages are kept that have to survive the process (default: nowhere).
    #[cfg(feature = "persistence")]
    pub persistence: Option<Persistence>,
    /// How TLS proves who the server is, and who the client is.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub tls: TlsOptions,
}

impl std::fmt::Debug for MqttClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Taken apart, so that no field is forgotten.
        let Self {
            peer,
            client_id,
            clean_start,
            keep_alive,
            username,
            password,
            will,
            reconnect,
            sessionless,
            subscription_topics,
            auto_ack,
            protocol,
            timeouts,
            limits,
            connecting,
            offline,
            session_loss,
            threads,
            #[cfg(feature = "persistence")]
            persistence,
            #[cfg(feature = "tls")]
            tls,
        } = self;
        let mut shown = f.debug_struct("MqttClientOptions");
        shown
            .field("peer", &without_secrets(peer))
            .field("client_id", client_id)
            .field("clean_start", clean_start)
            .field("keep_alive", keep_alive)
            .field("username", &username.as_ref().map(|_| Hidden))
            .field("password", password)
            .field("will", will)
            .field("reconnect", reconnect)
            .field("sessionless", sessionless)
            .field("subscription_topics", subscription_topics)
            .field("auto_ack", auto_ack)
            .field("protocol", protocol)
            .field("timeouts", timeouts)
            .field("limits", limits)
            .field("connecting", connecting)
            .field("offline", offline)
            .field("session_loss", session_loss)
            .field("threads", threads);
        #[cfg(feature = "persistence")]
        shown.field("persistence", persistence);
        #[cfg(feature = "tls")]
        shown.field("tls", tls);
        shown.finish()
    }
}

impl Default for MqttClientOptions {
    fn default() -> Self {
        Self {
            peer: "localhost:1883".to_string(),
            client_id: String::new(),
            clean_start: true,
            keep_alive: 60,
            username: None,
            password: None,
            will: None,
            reconnect: true,
            sessionless: false,
            subscription_topics: Vec::new(),
            auto_ack: true,
            protocol: ProtocolOptions::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            connecting: Connecting::default(),
            offline: Offline::default(),
            session_loss: SessionLossPolicy::default(),
            threads: Threads::default(),
            #[cfg(feature = "persistence")]
            persistence: None,
            #[cfg(feature = "tls")]
            tls: TlsOptions::default(),
        }
    }
}

/// The version of the protocol, and what the client tells the server in CONNECT. All but the version need v5.0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolOptions {
    /// The version (default: 5.0).
    pub version: ProtocolVersion,
    /// Seconds the session outlives its connection; 0xFFFFFFFF means for ever (default: 0).
    pub session_expiry_interval: u32,
    /// Messages of QoS 1 and 2 the server may send before they are acknowledged (default: 0, which stands for 65,535).
    pub receive_maximum: u16,
    /// Topic aliases the server may use, at most 32 (default: 0).
    pub topic_alias_maximum: u16,
    /// Send topic aliases, as far as the server takes them (default: false).
    pub topic_aliases: bool,
    /// Ask for Response Information in CONNACK (default: false).
    pub request_response_information: bool,
    /// Ask the server to leave out reason strings and user properties (default: false).
    pub omit_problem_information: bool,
    /// User properties of CONNECT.
    pub user_properties: Vec<(String, String)>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection, from the resolver to CONNACK (default: 10 seconds).
    pub connect: Duration,
    /// For the answer to a PINGREQ (default: 10 seconds).
    pub ping: Duration,
    /// For [`disconnect`](super::AsyncMqttClient::disconnect) and [`shutdown`](super::AsyncMqttClient::shutdown) to
    /// have everything delivered that was accepted before (default: 5 seconds).
    pub drain: Duration,
    /// For `shutdown` to return, from its call (default: 10 seconds).
    pub shutdown: Duration,
}

impl Timeouts {
    /// Cuts what is as good as for ever to what can be added to any time.
    pub(super) fn cut(&mut self) {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        for timeout in [&mut self.connect, &mut self.ping, &mut self.drain, &mut self.shutdown] {
            *timeout = (*timeout).min(YEAR);
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// How much memory things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of messages that wait for the worker (default: 16 MiB). One larger message is taken when no other waits.
    /// Calls that wait for room do so from 256 KiB on, or from here if this is less: more would fall out of the cache.
    pub queue_bytes: usize,
    /// Bytes of messages kept without a connection (default: 64 MiB). For more,
    /// [`Offline::overflow`](super::Offline::overflow) says which goes.
    pub buffer_bytes: usize,
    /// Messages of QoS 1 and 2 on their way to the server (default: 1024). Of v5.0 the server says how many it takes;
    /// of v3.1.1 it cannot, so those of QoS 2 are at most 19 there: mosquitto by its defaults has 20 places, of which
    /// QoS 1 needs one.
    pub in_flight: u16,
    /// The longest packet taken from the server, in bytes (default: 64 MiB). v5.0 tells it the server.
    pub maximum_packet_size: u32,
    /// Bytes of received messages that wait for their callbacks, beyond which the client stops to read until half of
    /// them are handled (default: 4 MiB).
    pub undelivered_bytes: usize,
    /// Results that wait for their callbacks, beyond which calls are refused (default: 65,536).
    pub unreported_results: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_bytes: 16 * 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            in_flight: 1024,
            maximum_packet_size: 64 * 1024 * 1024,
            undelivered_bytes: 4 * 1024 * 1024,
            unreported_results: 65_536,
        }
    }
}

/// Which threads do a client's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threads {
    /// The threads to share with other clients (default: none, which gives the client threads of its own).
    pub runtime: Option<Runtime>,
    /// Where callbacks run. [`with_receiver`](super::AsyncMqttClient::with_receiver) makes no use of it.
    pub callbacks: CallbackMode,
    /// How long the worker looks for an answer again and again before it sleeps (default: 50 µs; zero turns that off).
    /// It saves the time to fall asleep and to be woken, which pays where answers come within some ten microseconds: a
    /// broker on the same machine or rack. It looks only when something was just sent or is not acknowledged, or was
    /// just given to callbacks on another thread, and gives way to other threads between two looks.
    ///
    /// It keeps an account: each answer in time is worth `spin`, each look costs the time it takes, and what others had
    /// of the processor meanwhile costs nothing. When nothing is left, after four spins in vain, it tries once in 32
    /// times, then once in 64 and so on to once in 1,024, until that pays again. So an answer that takes 5 ms costs the
    /// worker some 50 ns more than without, and an idle client wakes for its keep-alive alone, as it does without. Where
    /// answers come in time there are up to twice as many messages a second, for about the same processor time each
    /// where threads have their cores, and up to a third more where the system moves them about. That a message of QoS 0
    /// has been sent, or that one is acknowledged while others wait for the server's window, is told with the answer, or
    /// behind a look that was in vain, by 1 ms at most.
    /// [`guide::performance`](crate::guide::performance) has figures.
    pub spin: Duration,
}

impl Default for Threads {
    fn default() -> Self {
        Self { runtime: None, callbacks: CallbackMode::default(), spin: Duration::from_micros(50) }
    }
}

/// Where callbacks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallbackMode {
    /// On the callback thread. A callback that takes long delays those behind it, also of other clients of the same
    /// [`Runtime`], and never a connection.
    #[default]
    Thread,
    /// On the thread that drives the connections, which saves the way to another thread: the least latency. A callback
    /// must not block: meanwhile no client of the same [`Runtime`] reads, writes or keeps alive. A wait in it that
    /// would have to wait, for whatever client, ends at once with
    /// [`WaitError::WouldDeadlock`](super::WaitError::WouldDeadlock).
    Worker,
}

/// What becomes of messages that were sent and not acknowledged when the server has lost the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionLossPolicy {
    /// They are published again as new messages: at QoS 2 one may arrive twice.
    #[default]
    Requeue,
    /// They end with [`DropCause::SessionLost`](super::DropCause::SessionLost).
    Fail,
}

/// A password or another secret: never shown, and wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// The Will Message (section 3.1.2.5).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: String,
    /// What is published.
    pub payload: Vec<u8>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the server retains it.
    pub retain: bool,
    /// Seconds the server waits before it publishes it (v5.0).
    pub delay_interval: u32,
    /// Properties of the message (v5.0).
    pub properties: MessageProperties,
}

impl std::fmt::Debug for Will {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .field("payload", &Bytes(self.payload.len()))
            .field("qos", &self.qos)
            .field("retain", &self.retain)
            .field("delay_interval", &self.delay_interval)
            .field("properties", &self.properties)
            .finish()
    }
}

impl Will {
    /// A will without properties.
    pub fn new(topic: &str, payload: &[u8], qos: u8, retain: bool) -> Self {
        Self { topic: topic.to_string(), payload: payload.to_vec(), qos, retain, ..Self::default() }
    }
}

/// Properties of a message to publish (v5.0 section 3.3.2.3).
///
/// ```
/// use flowsdk::mqtt_client::MessageProperties;
///
/// let properties = MessageProperties {
///     content_type: Some("application/json".to_string()),
///     message_expiry_interval: Some(60),
///     ..Default::default()
/// };
/// # assert_eq!(properties.user_properties.len(), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// The payload is UTF-8 text.
    pub payload_is_utf8: bool,
    /// Lifetime in seconds, counted from the call.
    pub message_expiry_interval: Option<u32>,
    /// What the payload is, for instance a MIME type.
    pub content_type: Option<String>,
    /// Topic for an answer.
    pub response_topic: Option<String>,
    /// Tells which request an answer belongs to.
    pub correlation_data: Option<Vec<u8>>,
    /// Names and values of the application's own.
    pub user_properties: Vec<(String, String)>,
}

/// How a message is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the server keeps the message for later subscribers.
    pub retain: bool,
    /// Properties (v5.0).
    pub properties: MessageProperties,
}

/// What a DISCONNECT says (section 3.14). All of it needs v5.0.
///
/// ```
/// use flowsdk::mqtt_client::DisconnectOptions;
///
/// // Leave for good: the server forgets the session at once, and the will is published.
/// let options = DisconnectOptions { reason_code: 0x04, session_expiry_interval: Some(0), ..Default::default() };
/// # assert_eq!(options.reason_string, None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectOptions {
    /// Why: 0x00 (default), 0x04 to have the will published, or an error.
    pub reason_code: u8,
    /// Text for the logs of the server.
    pub reason_string: Option<String>,
    /// Seconds the session outlives this connection, in place of what CONNECT has said. Not above 0 where that was 0.
    pub session_expiry_interval: Option<u32>,
    /// Names and values of the application's own.
    pub user_properties: Vec<(String, String)>,
}

/// A topic filter with its options (section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSubscription {
    /// The filter.
    pub topic_filter: String,
    /// The highest QoS at which messages are wanted: 0, 1 or 2.
    pub qos: u8,
    /// Do not send back what this client publishes (v5.0).
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published (v5.0).
    pub retain_as_published: bool,
    /// When retained messages are sent (v5.0).
    pub retain_handling: RetainHandling,
}

impl TopicSubscription {
    /// A subscription with the options v3.1.1 has.
    pub fn new(topic_filter: &str, qos: u8) -> Self {
        Self {
            topic_filter: topic_filter.to_string(),
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }
}

/// What belongs to a whole subscribe (v5.0).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscribeOptions {
    /// Comes with every message of these subscriptions: 1 to 268,435,455.
    pub subscription_identifier: Option<u32>,
    /// Names and values of the application's own.
    pub user_properties: Vec<(String, String)>,
}

/// What belongs to a whole unsubscribe (v5.0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeOptions {
    /// Names and values of the application's own.
    pub user_properties: Vec<(String, String)>,
}
