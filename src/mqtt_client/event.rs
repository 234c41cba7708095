use std::borrow::Cow;
use std::io;

use super::client::{
    ConnectionResult, PingResult, PublishResult, ReauthenticationResult, SessionLossReport, SubscribeResult,
    UnsubscribeResult,
};
use super::properties::PropertyBlock;
#[cfg(feature = "persistence")]
use super::token::Token;
use crate::session;
use crate::types::QoS;

/// Everything that a client can tell. In a callback it borrows; [`MqttEvent::into_owned`] makes it free to travel.
#[derive(Debug)]
#[non_exhaustive]
pub enum MqttEvent<'a> {
    /// The server has answered CONNECT: accepted, or refused.
    Connected(ConnectionResult),
    /// The connection has ended by a DISCONNECT: the client's, or the server's with its reason code. `None` in v3.1.1.
    Disconnected(Option<u8>),
    /// A publish has ended.
    Published(PublishResult),
    /// Messages are in the file of [persistence](super::MqttClientOptions::persistence): from now on they outlive the
    /// process. Those of one event have come to it together.
    #[cfg(feature = "persistence")]
    Durable(Vec<Token>),
    /// A subscribe has ended.
    Subscribed(SubscribeResult),
    /// An unsubscribe has ended.
    Unsubscribed(UnsubscribeResult),
    /// A message has arrived.
    MessageReceived(MqttPublish<'a>),
    /// A ping was answered.
    PingResponse(PingResult),
    /// A re-authentication has ended.
    Reauthenticated(ReauthenticationResult),
    /// Something went wrong.
    Error(io::Error),
    /// The certificate of a TLS peer.
    PeerCertReceived(Vec<u8>),
    /// The connection has ended without a DISCONNECT.
    ConnectionLost,
    /// An attempt to connect again begins; the first one has number 1.
    ReconnectAttempt(u32),
    /// The server has lost the session while messages were in flight; [`MqttEvent::PendingOperationsCleared`] follows.
    SessionLost(SessionLossReport),
    /// The messages in flight have been taken back because the server has lost the session.
    PendingOperationsCleared,
}

impl MqttEvent<'_> {
    /// The same event with everything it needs.
    pub fn into_owned(self) -> MqttEvent<'static> {
        match self {
            Self::Connected(result) => MqttEvent::Connected(result),
            Self::Disconnected(code) => MqttEvent::Disconnected(code),
            Self::Published(result) => MqttEvent::Published(result),
            #[cfg(feature = "persistence")]
            Self::Durable(tokens) => MqttEvent::Durable(tokens),
            Self::Subscribed(result) => MqttEvent::Subscribed(result),
            Self::Unsubscribed(result) => MqttEvent::Unsubscribed(result),
            Self::MessageReceived(publish) => MqttEvent::MessageReceived(publish.into_owned()),
            Self::PingResponse(result) => MqttEvent::PingResponse(result),
            Self::Reauthenticated(result) => MqttEvent::Reauthenticated(result),
            Self::Error(error) => MqttEvent::Error(error),
            Self::PeerCertReceived(certificate) => MqttEvent::PeerCertReceived(certificate),
            Self::ConnectionLost => MqttEvent::ConnectionLost,
            Self::ReconnectAttempt(number) => MqttEvent::ReconnectAttempt(number),
            Self::SessionLost(report) => MqttEvent::SessionLost(report),
            Self::PendingOperationsCleared => MqttEvent::PendingOperationsCleared,
        }
    }
}

/// A received message (section 3.3), of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MqttPublish<'a> {
    /// Where it was published.
    pub topic_name: Cow<'a, str>,
    /// What was published.
    pub payload: Cow<'a, [u8]>,
    /// The QoS it came with.
    pub qos: u8,
    /// Whether the server may have sent it before.
    pub dup: bool,
    /// Whether it was retained.
    pub retain: bool,
    /// The server's packet identifier; none at QoS 0.
    pub packet_id: Option<u16>,
    /// Properties, v5.0 only.
    pub properties: PropertyBlock<'a>,
    pub(super) receipt: Option<Receipt>,
}

impl<'a> MqttPublish<'a> {
    /// A message as a broker might send it, to try a handler on. It has no properties, and nothing acknowledges it.
    ///
    /// ```
    /// use flowsdk::mqtt_client::MqttPublish;
    ///
    /// let publish = MqttPublish::new(0, "sensor/1/temperature", None, b"23.5", false, false);
    /// assert_eq!(publish.topic_name, "sensor/1/temperature");
    /// ```
    pub fn new(
        qos: u8,
        topic_name: &'a str,
        packet_id: Option<u16>,
        payload: &'a [u8],
        retain: bool,
        dup: bool,
    ) -> Self {
        Self {
            topic_name: Cow::Borrowed(topic_name),
            payload: Cow::Borrowed(payload),
            qos,
            dup,
            retain,
            packet_id,
            properties: PropertyBlock::default(),
            receipt: None,
        }
    }

    /// What acknowledges this message by [`acknowledge`](super::AsyncMqttClient::acknowledge); none at QoS 0.
    pub const fn receipt(&self) -> Option<Receipt> {
        self.receipt
    }

    /// The same message with bytes of its own.
    pub fn into_owned(self) -> MqttPublish<'static> {
        MqttPublish {
            topic_name: Cow::Owned(self.topic_name.into_owned()),
            payload: Cow::Owned(self.payload.into_owned()),
            qos: self.qos,
            dup: self.dup,
            retain: self.retain,
            packet_id: self.packet_id,
            properties: self.properties.into_owned(),
            receipt: self.receipt,
        }
    }
}

/// Acknowledges one message of QoS 1 or 2, once. It names the connection of its message: that of a QoS 1 message is
/// stale when the connection is gone, as the server sends the message again; that of a QoS 2 message outlives a resume,
/// as the message is not handed over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(super) inner: session::Receipt,
    pub(super) qos: QoS,
    /// The number of the connection.
    pub(super) connection: u64,
    /// The number of the session.
    pub(super) session: u64,
}
