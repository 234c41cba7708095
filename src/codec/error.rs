use thiserror::Error;

use super::PropertyId;
use crate::types::{ReasonCode, TopicError};

/// Why bytes of the peer are no valid packet. The peer is at fault; the connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecodeError {
    /// Packet type 0, or one the version or the sender does not have.
    #[error("packet type {0} is not allowed here")]
    PacketType(u8),
    /// The low four bits of the first byte are not what the packet type asks for.
    #[error("reserved bits of the fixed header are wrong [MQTT-2.1.3-1]")]
    HeaderFlags,
    /// A variable byte integer of more than four bytes, or, in v5.0, longer than needed.
    #[error("malformed variable byte integer [MQTT-1.5.5-1]")]
    VariableByteInteger,
    /// A field runs past the end of its packet.
    #[error("a field runs past the end of the packet")]
    Truncated,
    /// A property runs past the end of the properties (section 2.2.2.1).
    #[error("a property runs past the end of the properties")]
    PropertyLength,
    /// Bytes are left after the last field.
    #[error("bytes are left after the last field of the packet")]
    TrailingBytes,
    /// A string that is not well-formed UTF-8, surrogates included.
    #[error("a string is not well-formed UTF-8 [MQTT-1.5.4-1]")]
    Utf8,
    /// A string that contains U+0000.
    #[error("a string contains U+0000 [MQTT-1.5.4-2]")]
    Nul,
    /// The protocol name is not `MQTT` `[MQTT-3.1.2-1]`.
    #[error("the protocol name is not MQTT [MQTT-3.1.2-1]")]
    ProtocolName,
    /// The protocol level is neither 4 nor 5.
    #[error("protocol level {0} is not supported [MQTT-3.1.2-2]")]
    ProtocolLevel(u8),
    /// The reserved bit of the CONNECT flags.
    #[error("the reserved bit of the connect flags is set [MQTT-3.1.2-3]")]
    ConnectFlags,
    /// Will QoS or Will Retain in a CONNECT without a will.
    #[error("will QoS or will retain without a will [MQTT-3.1.2-11] [MQTT-3.1.2-13]")]
    WillFlags,
    /// Both bits of the Will QoS are set.
    #[error("will QoS 3 does not exist [MQTT-3.1.2-12]")]
    WillQoS,
    /// A password without a user name in v3.1.1.
    #[error("MQTT 3.1.1 allows no password without a user name [MQTT-3.1.2-22/3.1.1]")]
    PasswordWithoutUserName,
    /// An empty Client Identifier without Clean Session in v3.1.1.
    #[error("MQTT 3.1.1 allows an empty client identifier only with Clean Session 1 [MQTT-3.1.3-7/3.1.1]")]
    ClientIdentifier,
    /// Reserved bits of the CONNACK flags.
    #[error("reserved bits of the connect acknowledge flags are set [MQTT-3.2.2-1]")]
    ConnackFlags,
    /// Session Present together with a refusal.
    #[error("session present with a refused connection [MQTT-3.2.2-6]")]
    SessionPresent,
    /// Both QoS bits of a PUBLISH are set.
    #[error("QoS 3 does not exist [MQTT-3.3.1-4]")]
    QoS,
    /// DUP on a QoS 0 PUBLISH.
    #[error("DUP is set on a QoS 0 message [MQTT-3.3.1-2]")]
    DupAtQoS0,
    /// A packet identifier of 0.
    #[error("packet identifier 0 [MQTT-2.2.1-3] [MQTT-2.2.1-4]")]
    PacketId,
    /// A Topic Name that breaks a rule.
    #[error("invalid topic name: {0}")]
    Topic(TopicError),
    /// A Topic Filter that breaks a rule.
    #[error("invalid topic filter: {0}")]
    TopicFilter(TopicError),
    /// A PUBLISH without a topic and without a Topic Alias (section 3.3.2.1).
    #[error("a PUBLISH has neither topic name nor topic alias")]
    NoTopic,
    /// A reason or return code that the packet does not allow.
    #[error("reason code {0:#04x} is not allowed in this packet")]
    ReasonCode(u8),
    /// Reserved bits of the subscription options; in v3.1.1 any bit above the QoS.
    #[error("reserved bits of the subscription options are set [MQTT-3.8.3-5]")]
    SubscriptionOptions,
    /// QoS 3 in the subscription options (section 3.8.3.1).
    #[error("a subscription asks for QoS 3")]
    SubscriptionQoS,
    /// Retain Handling 3 in the subscription options (section 3.8.3.1).
    #[error("a subscription asks for retain handling 3")]
    RetainHandling,
    /// No Local on a shared subscription.
    #[error("a shared subscription cannot be No Local [MQTT-3.8.3-4]")]
    NoLocalOnShared,
    /// A SUBSCRIBE, SUBACK, UNSUBSCRIBE or UNSUBACK with an empty list.
    #[error("the packet has no entry in its payload [MQTT-3.8.3-2] [MQTT-3.10.3-2]")]
    EmptyList,
    /// A property identifier that v5.0 does not define; 255 stands for all above.
    #[error("unknown property {0:#04x}")]
    UnknownProperty(u8),
    /// A property in a packet that must not carry it.
    #[error("property {0:?} is not allowed in this packet")]
    MisplacedProperty(PropertyId),
    /// A property that in this packet only the other side may send `[MQTT-3.3.4-6]` `[MQTT-3.14.2-2]`.
    #[error("property {0:?} is not for this side to send in this packet")]
    OneSidedProperty(PropertyId),
    /// A property that may occur once occurs again.
    #[error("property {0:?} occurs more than once")]
    DuplicateProperty(PropertyId),
    /// A property with a value outside of its range.
    #[error("property {0:?} has a value out of range")]
    PropertyValue(PropertyId),
    /// Topic Alias 0 `[MQTT-3.3.2-8]`.
    #[error("topic alias 0 [MQTT-3.3.2-8]")]
    TopicAliasZero,
    /// Authentication Data without an Authentication Method, or an AUTH without a method.
    #[error("authentication data without an authentication method")]
    AuthenticationMethod,
}

impl DecodeError {
    /// What a DISCONNECT of v5.0 tells the peer about this (section 4.13).
    ///
    /// What can be parsed but is not allowed is a protocol error; where the standard calls it malformed, it is that.
    pub const fn reason_code(self) -> ReasonCode {
        if let Self::PacketType(1..) = self {
            return ReasonCode::PROTOCOL_ERROR;
        }
        match self {
            Self::ProtocolName | Self::ProtocolLevel(_) => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ClientIdentifier => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::TopicAliasZero => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::SessionPresent
            | Self::PacketId
            | Self::Topic(_)
            | Self::TopicFilter(_)
            | Self::NoTopic
            | Self::ReasonCode(_)
            | Self::SubscriptionQoS
            | Self::RetainHandling
            | Self::NoLocalOnShared
            | Self::EmptyList
            | Self::OneSidedProperty(_)
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_)
            | Self::AuthenticationMethod => ReasonCode::PROTOCOL_ERROR,
            _ => ReasonCode::MALFORMED_PACKET,
        }
    }
}

/// Why a packet cannot be put into bytes. The caller is at fault; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum EncodeError {
    /// The buffer is too small.
    #[error("the buffer is too small for the packet")]
    NoRoom,
    /// The packet would pass 268,435,455 bytes (section 2.1.4).
    #[error("the packet is longer than 268,435,455 bytes")]
    TooLong,
    /// A string or a binary field is longer than 65,535 bytes.
    #[error("a field is longer than 65,535 bytes")]
    FieldTooLong,
    /// A string contains U+0000 `[MQTT-1.5.4-2]`.
    #[error("a string contains U+0000 [MQTT-1.5.4-2]")]
    Nul,
    /// A Topic Name or Topic Filter that breaks a rule.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// An empty topic without a Topic Alias.
    #[error("a PUBLISH has neither topic name nor topic alias")]
    NoTopic,
    /// Something that MQTT 3.1.1 cannot say: a property, a subscription option, a reason code, AUTH.
    #[error("MQTT 3.1.1 has no such field")]
    NotInVersion,
    /// A property in a packet that must not carry it.
    #[error("property {0:?} is not allowed in this packet")]
    MisplacedProperty(PropertyId),
    /// A property that may occur once occurs again.
    #[error("property {0:?} occurs more than once")]
    DuplicateProperty(PropertyId),
    /// A property with a value outside of its range.
    #[error("property {0:?} has a value out of range")]
    PropertyValue(PropertyId),
    /// A reason code that the packet does not allow.
    #[error("the reason code is not allowed in this packet")]
    ReasonCode,
    /// A password without a user name, which v3.1.1 does not allow `[MQTT-3.1.2-22/3.1.1]`.
    #[error("MQTT 3.1.1 allows no password without a user name [MQTT-3.1.2-22/3.1.1]")]
    PasswordWithoutUserName,
    /// An empty Client Identifier without Clean Session, which v3.1.1 does not allow `[MQTT-3.1.3-7/3.1.1]`.
    #[error("MQTT 3.1.1 allows an empty client identifier only with Clean Session 1 [MQTT-3.1.3-7/3.1.1]")]
    ClientIdentifier,
    /// An empty list of filters or codes.
    #[error("at least one entry is needed [MQTT-3.8.3-2] [MQTT-3.10.3-2]")]
    EmptyList,
    /// No Local on a shared subscription `[MQTT-3.8.3-4]`.
    #[error("a shared subscription cannot be No Local [MQTT-3.8.3-4]")]
    NoLocalOnShared,
    /// Authentication Data without an Authentication Method, or an AUTH without a method.
    #[error("authentication data without an authentication method")]
    AuthenticationMethod,
    /// Session Present together with a refusal.
    #[error("session present with a refused connection [MQTT-3.2.2-6]")]
    SessionPresent,
}
