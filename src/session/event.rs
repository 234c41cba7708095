use core::num::NonZeroU16;

use crate::codec::Properties;
use crate::packet::{Auth, Connack, Disconnect, Suback, Unsuback};
use crate::types::{PacketId, QoS, ReasonCode};

/// What one call of [`Session::handle_input`](super::Session::handle_input) has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "consumed bytes have to leave the receive buffer"]
pub struct Progress<'a> {
    /// Bytes at the start of the input that are done with.
    pub consumed: usize,
    /// What they meant to the application. It borrows the input.
    pub event: Option<Event<'a>>,
    /// Why a packet that lies there whole was not taken.
    pub stalled: Option<Stall>,
}

impl<'a> Progress<'a> {
    /// Nothing can be done until more bytes have come.
    pub(super) const INCOMPLETE: Self = Self { consumed: 0, event: None, stalled: None };

    pub(super) const fn consumed(consumed: usize, event: Option<Event<'a>>) -> Self {
        Self { consumed, event, stalled: None }
    }

    pub(super) const fn stalled(stall: Stall) -> Self {
        Self { consumed: 0, event: None, stalled: Some(stall) }
    }

    /// Whether another call with the rest of the input may do something.
    pub const fn goes_on(&self) -> bool {
        self.consumed > 0 || self.event.is_some()
    }
}

/// What has to happen before the packet at the start of the input can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stall {
    /// Its answer has no room: transmit first.
    TransmitFirst,
    /// Every place for an unacknowledged message is taken: acknowledge first.
    AcknowledgeFirst,
}

/// Something the application wants to know. It borrows the input, so the session stays free for new commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The server has accepted the connection.
    Connected(Connack<'a>),
    /// The server has refused the connection; close the transport.
    Refused(Connack<'a>),
    /// A message has arrived.
    Message(Message<'a>),
    /// A message longer than the receive limit begins: its payload follows in [`Event::Chunk`]s.
    MessageStart {
        /// The message with an empty payload. Its receipt comes with the end.
        message: Message<'a>,
        /// Bytes of the whole payload.
        payload_len: u32,
    },
    /// A piece of the payload of the message that has begun.
    Chunk(&'a [u8]),
    /// The message that has begun is complete.
    MessageEnd(Option<Receipt>),
    /// A message longer than the receive limit is passed over.
    MessageSkipped {
        /// Where it was published, without its payload.
        message: Message<'a>,
        /// Bytes of the payload.
        payload_len: u32,
    },
    /// The exchange of a message of QoS 1 or 2 has ended.
    Published(Published<'a>),
    /// The server has answered a subscribe.
    Subscribed(Suback<'a>),
    /// The server has answered an unsubscribe.
    Unsubscribed(Unsuback<'a>),
    /// The server has answered a ping.
    PingResponse,
    /// A step of enhanced authentication.
    Auth(Auth<'a>),
    /// The server ends the connection; close the transport.
    Disconnected(Disconnect<'a>),
}

/// A received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where it was published.
    pub topic: Topic<'a>,
    /// What was published.
    pub payload: &'a [u8],
    /// The QoS it came with.
    pub qos: QoS,
    /// Whether it was retained, or published so, as the subscription asks.
    pub retain: bool,
    /// Whether the server may have sent it before.
    pub dup: bool,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
    /// What acknowledges it; QoS 0 has none.
    pub receipt: Option<Receipt>,
}

/// The topic of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The Topic Name stands in the packet.
    Name(&'a str),
    /// The packet has an alias for it: [`Session::topic`](super::Session::topic) knows the name.
    Alias(NonZeroU16),
}

/// Acknowledges one message, once. That of a QoS 1 message is good while its connection lasts; that of a QoS 2
/// message outlives a resume, as its message is not handed over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(super) packet_id: PacketId,
    pub(super) serial: u16,
}

impl Receipt {
    /// The Packet Identifier of the message.
    pub const fn packet_id(self) -> PacketId {
        self.packet_id
    }
}

/// The end of the exchange of a message of QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published<'a> {
    /// The identifier that `publish` returned. It is free again.
    pub packet_id: PacketId,
    /// The QoS.
    pub qos: QoS,
    /// The code of the PUBACK, PUBREC or PUBCOMP that ended the exchange.
    pub reason_code: ReasonCode,
    /// Properties of that packet.
    pub properties: Properties<'a>,
}

/// A message of QoS 1 or 2 that ends without an answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped<F> {
    /// The identifier that `publish` returned. It is free again.
    pub packet_id: PacketId,
    /// Why it ends.
    pub reason: DropReason,
    /// The encoded message, where the storage has kept one. A message the server had already received has none.
    pub frame: Option<F>,
}

/// Why a message ends without an answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// Its Message Expiry Interval passed before it was first sent.
    Expired,
    /// It was sent, and the session it belonged to is gone.
    SessionLost,
    /// It was accepted before the server told its limits, and breaks one of them.
    Refused(super::Misuse),
}
