use core::num::NonZeroU16;

use super::error::PeerError;
use crate::codec::{Properties, Reader};
use crate::macros::{Bytes, shows};
use crate::packet::{Auth, Connack, Disconnect, Suback, Unsuback};
use crate::types::{PacketId, QoS, ReasonCode, TopicName};

/// What one call of [`Session::handle_input`](super::Session::handle_input) has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "consumed bytes have to leave the receive buffer"]
pub struct Progress<'a> {
    /// Bytes at the start of the input that are done with.
    pub consumed: usize,
    /// What they meant to the application. It borrows the input.
    pub event: Option<Event<'a>>,
    /// Why a packet that lies there whole was not taken.
    pub stalled: Option<Stall>,
}

impl Progress<'_> {
    /// Whether another call with the rest of the input may do something.
    pub const fn goes_on(&self) -> bool {
        self.consumed > 0 || self.event.is_some()
    }
}

/// What is made of a piece of input. What stops a step is noted here too: a result that carries it would go through
/// memory at each return.
pub(crate) struct Taken<'i> {
    pub(crate) progress: Progress<'i>,
    /// What the peer has done wrong.
    pub(crate) fault: Option<PeerError>,
}

/// Nothing goes on; [`Taken`] says why.
#[derive(Debug)]
pub(super) struct Halted;

impl<'i> Taken<'i> {
    /// A function, not a constant, which would be copied from flash.
    #[inline(always)]
    pub(crate) fn nothing() -> Self {
        Self { progress: Progress { consumed: 0, event: None, stalled: None }, fault: None }
    }

    #[inline(always)]
    pub(super) fn fault<T>(&mut self, error: impl Into<PeerError>) -> Result<T, Halted> {
        self.fault = Some(error.into());
        Err(Halted)
    }

    #[inline(always)]
    pub(super) fn stall<T>(&mut self, stall: Stall) -> Result<T, Halted> {
        self.progress.stalled = Some(stall);
        Err(Halted)
    }

    #[inline(always)]
    pub(super) fn has(&mut self, event: Event<'i>) {
        self.progress.event = Some(event);
    }

    pub(super) fn check(&mut self, reader: &Reader<'i>) -> Result<(), Halted> {
        match reader.end() {
            Some(error) => self.fault(error),
            None => Ok(()),
        }
    }
}

/// What has to happen before the packet at the start of the input can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Stall {
    /// Its answer has no room: transmit first.
    TransmitFirst,
    /// Every place for an unacknowledged message is taken: acknowledge first.
    AcknowledgeFirst,
}

/// Something the application wants to know. It borrows the input, so the session stays free for new commands.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
// A tag of a whole word: what it carries is then copied by words, not by a linked memcpy.
#[repr(u32)]
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

impl core::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connected(connack) => f.debug_tuple("Connected").field(connack).finish(),
            Self::Refused(connack) => f.debug_tuple("Refused").field(connack).finish(),
            Self::Message(message) => f.debug_tuple("Message").field(message).finish(),
            Self::MessageStart { message, payload_len } => {
                f.debug_struct("MessageStart").field("message", message).field("payload_len", payload_len).finish()
            }
            Self::Chunk(chunk) => f.debug_tuple("Chunk").field(&Bytes(chunk.len())).finish(),
            Self::MessageEnd(receipt) => f.debug_tuple("MessageEnd").field(receipt).finish(),
            Self::MessageSkipped { message, payload_len } => {
                f.debug_struct("MessageSkipped").field("message", message).field("payload_len", payload_len).finish()
            }
            Self::Published(published) => f.debug_tuple("Published").field(published).finish(),
            Self::Subscribed(suback) => f.debug_tuple("Subscribed").field(suback).finish(),
            Self::Unsubscribed(unsuback) => f.debug_tuple("Unsubscribed").field(unsuback).finish(),
            Self::PingResponse => f.write_str("PingResponse"),
            Self::Auth(auth) => f.debug_tuple("Auth").field(auth).finish(),
            Self::Disconnected(disconnect) => f.debug_tuple("Disconnected").field(disconnect).finish(),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Event<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Connected(connack) => defmt::write!(f, "Connected({})", connack),
            Self::Refused(connack) => defmt::write!(f, "Refused({})", connack),
            Self::Message(message) => defmt::write!(f, "Message({})", message),
            Self::MessageStart { message, payload_len } => {
                defmt::write!(f, "MessageStart {{ message: {}, payload_len: {} }}", message, payload_len);
            }
            Self::Chunk(chunk) => defmt::write!(f, "Chunk({})", Bytes(chunk.len())),
            Self::MessageEnd(receipt) => defmt::write!(f, "MessageEnd({})", receipt),
            Self::MessageSkipped { message, payload_len } => {
                defmt::write!(f, "MessageSkipped {{ message: {}, payload_len: {} }}", message, payload_len);
            }
            Self::Published(published) => defmt::write!(f, "Published({})", published),
            Self::Subscribed(suback) => defmt::write!(f, "Subscribed({})", suback),
            Self::Unsubscribed(unsuback) => defmt::write!(f, "Unsubscribed({})", unsuback),
            Self::PingResponse => defmt::write!(f, "PingResponse"),
            Self::Auth(auth) => defmt::write!(f, "Auth({})", auth),
            Self::Disconnected(disconnect) => defmt::write!(f, "Disconnected({})", disconnect),
        }
    }
}

/// A received message.
#[derive(Clone, Copy, PartialEq, Eq)]
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

shows! {
    impl[] Message for Message<'_>, |this| {
        topic: this.topic,
        payload: Bytes(this.payload.len()),
        qos: this.qos,
        retain: this.retain,
        dup: this.dup,
        properties: this.properties,
        receipt: this.receipt,
    }
}

/// The topic of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Topic<'a> {
    /// The Topic Name stands in the packet.
    Name(TopicName<'a>),
    /// The packet has an alias for it: [`Session::topic`](super::Session::topic) knows the name.
    Alias(NonZeroU16),
}

/// Acknowledges one message, once. That of a QoS 1 message is good while its connection lasts; that of a QoS 2
/// message outlives a resume, as its message is not handed over again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receipt {
    pub(super) packet_id: PacketId,
    pub(super) serial: u16,
}

impl Receipt {
    /// The Packet Identifier of the message.
    pub const fn packet_id(self) -> PacketId {
        self.packet_id
    }

    /// Whether this message came so many behind that of another receipt, counted over both kinds.
    #[cfg(feature = "std")]
    pub(crate) const fn is_behind(self, first: Self, count: u16) -> bool {
        self.serial == first.serial.wrapping_add(count)
    }
}

/// The end of the exchange of a message of QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Dropped<F> {
    /// The identifier that `publish` returned. It is free again.
    pub packet_id: PacketId,
    /// Why it ends.
    pub reason: DropReason,
    /// The encoded message, where the storage has kept one. A message the server had already received has none.
    pub frame: Option<F>,
}

shows! {
    impl[F] Dropped for Dropped<F>, |this| {
        packet_id: this.packet_id,
        reason: this.reason,
        has_frame: this.frame.is_some(),
    }
}

/// Why a message ends without an answer of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DropReason {
    /// Its Message Expiry Interval passed before it was first sent.
    Expired,
    /// It was sent, and the session it belonged to is gone.
    SessionLost,
    /// It was accepted before the server told its limits, and breaks one of them.
    Refused(super::Misuse),
}
