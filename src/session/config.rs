use super::error::Misuse;
use crate::codec::{Block, Properties, PropertyId};
use crate::macros::{Bytes, shows};
use crate::types::{ProtocolVersion, QoS};

/// What a session is made with. It holds for all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
// Bytes, then half words, then words: what lies at small offsets is reached by short instructions.
#[repr(C)]
pub struct Config {
    /// The protocol version, one that the storage is not built [`without`](super::storage::without).
    pub version: ProtocolVersion,
    /// Who acknowledges received messages.
    pub acknowledgement: Acknowledgement,
    /// What becomes of a message longer than `receive_limit`.
    pub oversize: Oversize,
    /// Whether messages are sent with topic aliases, as far as the server and the storage allow (v5.0).
    pub outbound_topic_aliases: bool,
    /// How many unacknowledged messages of QoS 1 and 2 the server may send at a time (v5.0 Receive Maximum). No
    /// more than the storage has places free, but for the 1 that is announced where none is. 0 means as many as those.
    pub receive_maximum: u16,
    /// The highest alias the server may use (v5.0 Topic Alias Maximum). Never more than the storage has places for.
    pub topic_alias_maximum: u16,
    /// The longest packet that is received whole, in bytes: the size of the receive buffer. v5.0 announces it as the
    /// Maximum Packet Size unless longer messages are streamed. 0 means no limit.
    pub receive_limit: u32,
    /// How long to wait for CONNACK, in milliseconds.
    pub connect_timeout_ms: u32,
    /// How long to wait for PINGRESP, in milliseconds.
    pub ping_timeout_ms: u32,
}

impl Config {
    /// Version 5.0, automatic acknowledgement, no receive limit, 10 seconds for CONNACK and for PINGRESP.
    pub const DEFAULT: Self = Self {
        version: ProtocolVersion::V5,
        acknowledgement: Acknowledgement::Automatic,
        receive_limit: 0,
        oversize: Oversize::Refuse,
        receive_maximum: 0,
        topic_alias_maximum: 0,
        outbound_topic_aliases: false,
        connect_timeout_ms: 10_000,
        ping_timeout_ms: 10_000,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Who acknowledges received messages of QoS 1 and 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Acknowledgement {
    /// The session, with success, as soon as the call that reported the message has returned.
    #[default]
    Automatic,
    /// The caller, by [`Session::acknowledge`](super::Session::acknowledge), in any order.
    Manual,
}

/// What becomes of a message that is longer than the receive limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Oversize {
    /// The connection is closed, in v5.0 with Packet too large.
    #[default]
    Refuse,
    /// The message is passed over and acknowledged; an event tells its size.
    Skip,
    /// The message comes in pieces.
    Stream,
}

/// A message to publish.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ApplicationMessage<'a> {
    /// Where it is published; no wildcards.
    pub topic: &'a str,
    /// What is published.
    pub payload: &'a [u8],
    /// How surely it arrives.
    pub qos: QoS,
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// Properties, v5.0 only. A Message Expiry Interval counts from the call.
    pub properties: Properties<'a>,
}

shows! {
    impl[] ApplicationMessage for ApplicationMessage<'_>, |this| {
        topic: this.topic,
        payload: Bytes(this.payload.len()),
        qos: this.qos,
        retain: this.retain,
        properties: this.properties,
    }
}

/// What the server has said it can do (v5.0 section 3.2.2.3). The defaults are those of absent properties, and v3.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C)]
pub struct ServerLimits {
    /// The highest QoS it takes.
    pub maximum_qos: QoS,
    /// Whether it keeps retained messages.
    pub retain_available: bool,
    /// Whether it takes filters with wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether it takes Subscription Identifiers.
    pub subscription_identifier_available: bool,
    /// Whether it takes shared subscriptions.
    pub shared_subscription_available: bool,
    /// Unacknowledged messages of QoS 1 and 2 it takes at a time.
    pub receive_maximum: u16,
    /// The highest alias it takes.
    pub topic_alias_maximum: u16,
    /// The longest packet it takes, in bytes.
    pub maximum_packet_size: u32,
}

impl ServerLimits {
    pub(super) const DEFAULT: Self = Self {
        receive_maximum: u16::MAX,
        maximum_qos: QoS::ExactlyOnce,
        retain_available: true,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
        wildcard_subscription_available: true,
        subscription_identifier_available: true,
        shared_subscription_available: true,
    };

    /// Takes over what a CONNACK says of limits.
    pub(super) fn take_over(&mut self, properties: Block<'_>) {
        let is_available = |what| properties.number(what) != Some(0);
        self.receive_maximum = properties.half(PropertyId::ReceiveMaximum).unwrap_or(u16::MAX);
        self.maximum_qos = match properties.number(PropertyId::MaximumQoS) {
            Some(0) => QoS::AtMostOnce,
            Some(_) => QoS::AtLeastOnce,
            None => QoS::ExactlyOnce,
        };
        self.retain_available = is_available(PropertyId::RetainAvailable);
        self.maximum_packet_size = properties.number(PropertyId::MaximumPacketSize).unwrap_or(u32::MAX);
        self.topic_alias_maximum = properties.half(PropertyId::TopicAliasMaximum).unwrap_or(0);
        self.wildcard_subscription_available = is_available(PropertyId::WildcardSubscriptionAvailable);
        self.subscription_identifier_available = is_available(PropertyId::SubscriptionIdentifierAvailable);
        self.shared_subscription_available = is_available(PropertyId::SharedSubscriptionAvailable);
    }

    /// Refuses what is longer than the server takes `[MQTT-3.2.2-15]`.
    pub(super) fn check_packet_size(&self, len: usize) -> Result<(), Misuse> {
        let limit = self.maximum_packet_size;
        if self.takes(len) { Ok(()) } else { Err(Misuse::PacketTooLarge { limit }) }
    }

    /// Whether the server takes a packet of so many bytes.
    pub(super) fn takes(&self, len: usize) -> bool {
        u32::try_from(len).is_ok_and(|len| len <= self.maximum_packet_size)
    }
}
