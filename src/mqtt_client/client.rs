//! What operations have come to.

use std::time::Duration;

use super::properties::PropertyBlock;
use super::token::Token;
use crate::session::Misuse;
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode};

/// The answer to a connection attempt: CONNACK (section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionResult {
    /// The reason code: 0 for success. Return codes of v3.1.1 are given as the v5.0 code of their meaning.
    pub reason_code: u8,
    /// Whether the server has kept a session.
    pub session_present: bool,
    /// Properties, v5.0 only.
    pub properties: PropertyBlock<'static>,
    /// The version of the connection.
    pub version: ProtocolVersion,
}

impl ConnectionResult {
    /// Whether the connection was accepted.
    pub const fn is_success(&self) -> bool {
        self.reason_code == 0
    }

    /// Whether it was refused.
    pub const fn is_failure(&self) -> bool {
        !self.is_success()
    }

    /// What the code means, in the words of the version in use.
    pub fn reason_description(&self) -> &'static str {
        describe(self.reason_code, self.version)
    }

    /// The code as it stood on the wire: in v3.1.1 the return code 0 to 5.
    pub fn return_code(&self) -> u8 {
        let code = ReasonCode::from_byte(self.reason_code);
        let v3 = code.and_then(ReasonCode::return_code).filter(|_| !self.version.is_v5());
        v3.unwrap_or(self.reason_code)
    }
}

/// How a publish has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishResult {
    /// What the call has returned.
    pub token: Token,
    /// The packet identifier that the server has answered; none at QoS 0, and if there was no answer.
    pub packet_id: Option<u16>,
    /// The code of the server's answer; none at QoS 0, and if there was no answer.
    pub reason_code: Option<u8>,
    /// The QoS.
    pub qos: u8,
    /// How it ended.
    pub outcome: Outcome,
    /// Properties of the server's answer, v5.0 only.
    pub properties: PropertyBlock<'static>,
}

impl PublishResult {
    /// That of a client that ends without an answer.
    pub(super) fn cancelled(token: Token, qos: u8) -> Self {
        let properties = PropertyBlock::default();
        Self { token, packet_id: None, reason_code: None, qos, outcome: Outcome::Cancelled, properties }
    }

    /// That of a message of QoS 1 or 2 that the server has acknowledged without a word.
    pub(super) fn acknowledged(token: Token, qos: QoS, packet_id: PacketId) -> Self {
        Self {
            packet_id: Some(packet_id.value()),
            reason_code: Some(ReasonCode::SUCCESS.byte()),
            outcome: Outcome::Acknowledged,
            ..Self::cancelled(token, qos.bits())
        }
    }

    /// Whether the message was sent (QoS 0) or acknowledged without an error.
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Sent | Outcome::Acknowledged)
    }

    /// What the code means, or how the message ended without one.
    pub fn reason_description(&self) -> &'static str {
        match (self.reason_code, self.outcome) {
            (Some(code), _) => describe(code, ProtocolVersion::V5),
            (None, outcome) => outcome.description(),
        }
    }
}

/// How a publish has ended. There is exactly one for each [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// QoS 0: the transport has taken it.
    Sent,
    /// QoS 1 or 2: the server has it.
    Acknowledged,
    /// The server has answered with an error.
    Rejected,
    /// Its Message Expiry Interval has passed before it could be sent.
    Expired,
    /// It was given up.
    Dropped(DropCause),
    /// The client was shut down before.
    Cancelled,
    /// The client was shut down before, and the message is in the file of its
    /// [persistence](super::MqttClientOptions::persistence): the next client with that file goes on with it, and tells
    /// its outcome by the same token.
    #[cfg(feature = "persistence")]
    Kept,
}

impl Outcome {
    /// Whether another outcome of the same token follows.
    pub(super) const fn is_kept(self) -> bool {
        #[cfg(feature = "persistence")]
        return matches!(self, Self::Kept);
        #[cfg(not(feature = "persistence"))]
        return false;
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Sent => "Sent",
            Self::Acknowledged => "Acknowledged",
            Self::Rejected => "Rejected by the server",
            Self::Expired => "Expired before it could be sent",
            Self::Dropped(DropCause::BufferFull) => "Dropped: the offline buffer was full",
            Self::Dropped(DropCause::Superseded) => "Dropped: there was a newer message of the same topic",
            Self::Dropped(DropCause::ConnectionLost) => "Dropped: the connection was lost",
            Self::Dropped(DropCause::NotConnected) => "Dropped: not connected, and messages are not buffered",
            Self::Dropped(DropCause::SessionLost) => "Dropped: the server lost the session",
            Self::Dropped(DropCause::EndsConnection(_)) => {
                "Dropped: the server ends the connection each time it gets it"
            }
            Self::Dropped(DropCause::Refused(_)) => "Dropped: the server does not take such a message",
            Self::Cancelled => "Cancelled by the shutdown of the client",
            #[cfg(feature = "persistence")]
            Self::Kept => "Kept for the next client by the shutdown of this one",
        }
    }
}

/// Why a message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropCause {
    /// There were more messages than the offline buffer takes.
    BufferFull,
    /// A newer message of the same topic has taken its place in the offline buffer.
    Superseded,
    /// QoS 0: the connection went before the transport had taken it.
    ConnectionLost,
    /// There is no connection, and messages are not buffered.
    NotConnected,
    /// It was sent and not acknowledged, and the server has lost the session.
    SessionLost,
    /// It breaks a limit that the server has told.
    Refused(Misuse),
    /// The server [ends the connection](crate::guide::delivery_guarantees#what-a-server-ends-the-connection-over) each
    /// time it gets it, by a DISCONNECT with this code.
    EndsConnection(ReasonCode),
}

/// The answer to a subscribe: SUBACK (section 3.9).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeResult {
    /// What the call has returned.
    pub token: Token,
    /// The packet identifier that the server has answered; 0 if there was no answer.
    pub packet_id: u16,
    /// A code for each filter: the granted QoS, or an error from 0x80 on. Empty if there was no answer.
    pub reason_codes: Vec<u8>,
    /// Whether the server has answered, and why not.
    pub outcome: Outcome,
    /// Properties, v5.0 only.
    pub properties: PropertyBlock<'static>,
}

impl SubscribeResult {
    /// That of a client that ends without an answer.
    pub(super) fn cancelled(token: Token) -> Self {
        let (reason_codes, properties) = (Vec::new(), PropertyBlock::default());
        Self { token, packet_id: 0, reason_codes, outcome: Outcome::Cancelled, properties }
    }

    /// Whether every filter was granted.
    pub fn is_success(&self) -> bool {
        !self.reason_codes.is_empty() && self.reason_codes.iter().all(|code| *code <= 2)
    }

    /// How many filters were granted.
    pub fn successful_subscriptions(&self) -> usize {
        self.reason_codes.iter().filter(|code| **code <= 2).count()
    }
}

/// The answer to an unsubscribe: UNSUBACK (section 3.11).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsubscribeResult {
    /// What the call has returned.
    pub token: Token,
    /// The packet identifier that the server has answered; 0 if there was no answer.
    pub packet_id: u16,
    /// A code for each filter; always empty in v3.1.1, and if there was no answer.
    pub reason_codes: Vec<u8>,
    /// Whether the server has answered, and why not.
    pub outcome: Outcome,
    /// Properties, v5.0 only.
    pub properties: PropertyBlock<'static>,
}

impl UnsubscribeResult {
    /// That of a client that ends without an answer.
    pub(super) fn cancelled(token: Token) -> Self {
        let (reason_codes, properties) = (Vec::new(), PropertyBlock::default());
        Self { token, packet_id: 0, reason_codes, outcome: Outcome::Cancelled, properties }
    }

    /// Whether the server has answered without an error.
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Acknowledged && self.reason_codes.iter().all(|code| *code < 0x80)
    }
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PingResult {
    /// Whether PINGRESP has come.
    pub success: bool,
    /// From PINGREQ to PINGRESP, where the application had asked for it.
    pub round_trip: Option<Duration>,
}

/// How a re-authentication has ended (v5.0 section 4.12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReauthenticationResult {
    /// What the call has returned.
    pub token: Token,
    /// [`Outcome::Acknowledged`] if both sides accept each other, [`Outcome::Rejected`] if the server has ended the
    /// connection by a DISCONNECT meanwhile, [`Outcome::Dropped`] if there was no connection, or it was lost, or the
    /// authenticator has failed, which ends it.
    pub outcome: Outcome,
}

impl ReauthenticationResult {
    /// That of a client that ends without an answer.
    pub(super) const fn cancelled(token: Token) -> Self {
        Self { token, outcome: Outcome::Cancelled }
    }

    /// Whether both sides accept each other.
    pub const fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged)
    }
}

/// What became of the messages in flight when the server had lost the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionLossReport {
    /// Messages that are published again as new ones.
    pub requeued: Vec<Token>,
    /// Messages that end as [`DropCause::SessionLost`].
    pub failed: Vec<Token>,
    /// Messages that end as [`Outcome::Expired`].
    pub expired: Vec<Token>,
}

fn describe(code: u8, version: ProtocolVersion) -> &'static str {
    ReasonCode::from_byte(code).map_or("Unknown reason code", |code| code.description(version))
}
