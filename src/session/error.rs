use thiserror::Error;

use crate::codec::{DecodeError, EncodeError, PacketType};
use crate::types::{QoS, ReasonCode};

/// Why a command was refused. The caller is at fault or asked too early; nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misuse {
    /// What was asked for cannot be written as a packet of this version.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The storage has no room; try again after an acknowledgement or a transmission.
    #[error(transparent)]
    Full(#[from] Full),
    /// There is no connection, or its CONNACK has not come.
    #[error("not connected")]
    NotConnected,
    /// `connect` while a connection is open; report its end with `handle_closed` first.
    #[error("a connection is already open")]
    AlreadyConnected,
    /// All 65,535 packet identifiers are in use.
    #[error("all 65,535 packet identifiers are in use [MQTT-2.2.1-3]")]
    PacketIdsExhausted,
    /// The server takes messages only up to this QoS.
    #[error("the server takes {0:?} at most [MQTT-3.2.2-11]")]
    QoSNotSupported(QoS),
    /// The server keeps no retained messages.
    #[error("the server does not support retained messages [MQTT-3.2.2-14]")]
    RetainNotSupported,
    /// The packet is longer than the server's Maximum Packet Size.
    #[error("the packet is longer than the {limit} bytes that the server takes [MQTT-3.2.2-15]")]
    PacketTooLarge {
        /// The server's Maximum Packet Size.
        limit: u32,
    },
    /// The server takes no filters with wildcards (v5.0 section 3.2.2.3.11).
    #[error("the server does not support wildcard subscriptions")]
    WildcardSubscriptionsNotSupported,
    /// The server takes no Subscription Identifiers (v5.0 section 3.2.2.3.12).
    #[error("the server does not support subscription identifiers")]
    SubscriptionIdentifiersNotSupported,
    /// The server takes no shared subscriptions (v5.0 section 3.2.2.3.13).
    #[error("the server does not support shared subscriptions")]
    SharedSubscriptionsNotSupported,
    /// A Topic Alias among the properties of a message: aliases are assigned by the session, see
    /// [`Config::outbound_topic_aliases`](super::Config::outbound_topic_aliases).
    #[error("topic aliases are assigned by the session, not by hand")]
    TopicAliasByHand,
    /// The message was acknowledged before, or its connection or session is gone.
    #[error("the receipt is stale: acknowledged before, or its connection is gone")]
    StaleReceipt,
    /// The reason code is not one that this acknowledgement may carry.
    #[error("the reason code is not allowed in this acknowledgement")]
    ReasonCode,
    /// A Session Expiry Interval in DISCONNECT where CONNECT had none (v5.0 section 3.14.2.2.2).
    #[error("DISCONNECT cannot keep a session that CONNECT did not ask to keep")]
    SessionExpiry,
    /// AUTH without an Authentication Method in CONNECT `[MQTT-4.12.0-7]`.
    #[error("CONNECT had no authentication method [MQTT-4.12.0-7]")]
    NoAuthenticationMethod,
    /// AUTH with another Authentication Method than CONNECT had `[MQTT-4.12.0-5]`.
    #[error("AUTH needs the authentication method of CONNECT [MQTT-4.12.0-5]")]
    AuthenticationMethod,
    /// Something that the storage of this session is built without, see [`without`](super::storage::without): QoS 2, or
    /// the version of its configuration.
    #[error("the session is built without it")]
    LeftOut,
    /// v3.1.1 takes an empty Client Identifier only with Clean Session `[MQTT-3.1.3-7]`.
    #[error("MQTT 3.1.1 needs a client identifier where the session is kept [MQTT-3.1.3-7]")]
    ClientIdRequired,
}

/// What has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Full {
    /// The bytes for packets to send and messages to keep.
    #[error("no room for the packet in the transmit storage")]
    Bytes,
    /// The table of messages in flight.
    #[error("the window of unacknowledged messages is full")]
    Window,
    /// The bytes ready for the transport: transmit some first.
    #[error("enough is waiting for the transport")]
    Wire,
}

/// How the peer broke the protocol, or that it fell silent. The connection ends: transmit what
/// `poll_transmit` still gives (in v5.0 a DISCONNECT with [`PeerError::reason_code`]), then close the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
// A tag of a whole word: what it carries is then copied by words, not by a linked memcpy.
#[repr(u32)]
pub enum PeerError {
    /// Bytes that are no valid packet.
    #[error("invalid packet from the server: {0}")]
    Decode(#[from] DecodeError),
    /// A packet that has no place at this point of the exchange.
    #[error("unexpected {0:?} from the server [MQTT-4.13.1-1]")]
    UnexpectedPacket(PacketType),
    /// Session Present after a CONNECT with Clean Start.
    #[error("the server claims a session after a clean start [MQTT-3.2.2-4]")]
    SessionPresent,
    /// More unacknowledged messages than the Receive Maximum of CONNECT allows.
    #[error("the server exceeded the receive maximum [MQTT-3.3.4-9]")]
    ReceiveMaximumExceeded,
    /// More unfinished QoS 2 messages than the storage has places for; v3.1.1 has no limit a server could keep to.
    #[error("more unfinished QoS 2 messages than the storage has places for")]
    InboundTableFull,
    /// A Topic Alias above the Topic Alias Maximum of CONNECT.
    #[error("topic alias {0} is above the topic alias maximum [MQTT-3.3.2-10]")]
    TopicAlias(u16),
    /// A Topic Alias without a topic that was not defined on this connection `[MQTT-3.3.2-7]`.
    #[error("topic alias {0} is not defined on this connection [MQTT-3.3.2-7]")]
    UndefinedTopicAlias(u16),
    /// A Reason String or User Property although CONNECT asked for none.
    #[error("a reason string or user property in {0:?} although none was requested [MQTT-3.1.2-29]")]
    UnrequestedProblemInformation(PacketType),
    /// A packet of so many bytes: more than the Maximum Packet Size of CONNECT, or than the receive buffer has.
    #[error("a packet of {0} bytes is longer than the receive limit [MQTT-3.1.2-24]")]
    PacketTooLarge(u32),
    /// A Maximum Packet Size in CONNACK below the five bytes of an acknowledgement with a reason code: messages could
    /// not always be answered. The connection ends without a DISCONNECT, which might be too long as well.
    #[error("the server takes packets of {0} bytes at most, and an acknowledgement can have five [MQTT-3.2.2-15]")]
    MaximumPacketSize(u32),
    /// A PUBLISH with the identifier of another message whose exchange is not complete.
    #[error("packet identifier {0} is in use by another message of the server [MQTT-2.2.1-4]")]
    PacketIdInUse(u16),
    /// An acknowledgement that does not belong to the QoS of its message.
    #[error("{0:?} does not answer a message of that QoS [MQTT-4.3.3-4]")]
    WrongAcknowledgement(PacketType),
    /// A SUBACK or UNSUBACK that does not have a code for each filter.
    #[error("not one reason code for each filter [MQTT-3.8.4-6]")]
    ReasonCodeCount,
    /// An AUTH although CONNECT had no Authentication Method `[MQTT-4.12.0-6]`.
    #[error("AUTH without an authentication method in CONNECT [MQTT-4.12.0-6]")]
    UnexpectedAuth,
    /// An AUTH or CONNACK with another Authentication Method than CONNECT had `[MQTT-4.12.0-5]`, or one where CONNECT
    /// had none `[MQTT-4.12.0-6]`, or a CONNACK of success without that of CONNECT.
    #[error("not the authentication method of CONNECT [MQTT-4.12.0-5]")]
    AuthenticationMethod,
    /// A packet of QoS 2 for a session that is built without it, see [`without`](super::storage::without).
    #[error("{0:?} belongs to QoS 2, which the session is built without")]
    LeftOut(PacketType),
    /// No CONNACK within the connect timeout.
    #[error("no CONNACK within the connect timeout")]
    ConnackTimeout,
    /// No PINGRESP within the ping timeout.
    #[error("no PINGRESP within the ping timeout")]
    PingTimeout,
}

impl PeerError {
    /// What a DISCONNECT of v5.0 tells the server about this (section 4.13).
    pub const fn reason_code(self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason_code(),
            Self::ReceiveMaximumExceeded | Self::InboundTableFull => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::TopicAlias(_) => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::PacketTooLarge(_) => ReasonCode::PACKET_TOO_LARGE,
            Self::LeftOut(_) | Self::MaximumPacketSize(_) => ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
            Self::ConnackTimeout | Self::PingTimeout => ReasonCode::UNSPECIFIED_ERROR,
            _ => ReasonCode::PROTOCOL_ERROR,
        }
    }
}
