//! The client's half of MQTT as a state machine without I/O: bytes and time go in, bytes and events come out.
//!
//! A [`Session`] outlives its connections. A driver opens a transport, calls [`Session::connect`], and then, again and
//! again: gives what it has read to [`Session::handle_input`], calls [`Session::handle_timeout`] when
//! [`Session::poll_timeout`] has come, writes what [`Session::poll_transmit`] gives and reports how much of it the
//! transport took by [`Session::consume_transmit`]. When the transport is gone it calls [`Session::handle_closed`]. Any
//! order of calls is legal; commands only enqueue.
//!
//! ```text
//!            connect                 CONNACK 0x00                disconnect, or a fault of the peer
//!   Idle ─────────────▶ Connecting ───────────────▶ Connected ───────────────────────▶ Closing
//!    ▲                       │ refused, timeout         │ DISCONNECT of the server         │ (DISCONNECT, then nothing)
//!    │                       ▼                          ▼                                  │
//!    │                     Ended ◀──────────────────────┘                                  │
//!    └───────── handle_closed ┴────────────────────────────────────────────────────────────┘
//! ```
//!
//! The session decides and reports; it never reconnects by itself.

mod config;
mod connection;
mod error;
mod event;
mod frame;
mod inbound;
mod machine;
mod outbound;
#[cfg(feature = "std")]
mod outbound_run;
mod requests;
#[cfg(feature = "std")]
mod run;
pub mod storage;
mod timers;

pub use crate::packet::ConnectOptions;
pub use config::{Acknowledgement, ApplicationMessage, Config, Oversize, ServerLimits};
pub use error::{Full, Misuse, PeerError};
pub(crate) use event::Taken;
pub use event::{DropReason, Dropped, Event, Message, Progress, Published, Receipt, Stall, Topic};
#[cfg(feature = "std")]
pub(crate) use outbound_run::{Outbound, RunRefusal};
#[cfg(feature = "std")]
pub(crate) use storage::{Change, Fifo, KEPT_PLACES};
pub use storage::{Fixed, Storage};
#[cfg(feature = "std")]
pub use storage::{Heap, HeapLimits};
#[cfg(feature = "persistence")]
pub(crate) use {
    frame::set_expiry,
    storage::{Held, NoteReceived},
};

use core::num::NonZeroU16;

#[cfg(feature = "std")]
use crate::codec::EncodeError;
use crate::codec::Property;
use crate::macros::shows;
use crate::packet::{Auth, Disconnect, Subscription};
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, ReasonCode};
use machine::Machine;

/// A client's session and the connection it has, if any. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Session<S> {
    machine: Machine,
    storage: S,
}

shows! {
    Format: impl[S] Session for Session<S> where S, |this| {
        version: this.version(),
        is_connected: this.is_connected(),
        storage: &this.storage,
    }
}

impl<S> Session<S> {
    /// A session that has never been connected.
    pub const fn new(config: Config, storage: S) -> Self {
        Self { machine: Machine::new(config), storage }
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.machine.config
    }

    /// The protocol version.
    pub const fn version(&self) -> ProtocolVersion {
        self.machine.config.version
    }

    /// Whether the server has accepted the connection, and nobody has ended it.
    pub const fn is_connected(&self) -> bool {
        self.machine.is_connected()
    }

    /// Whether a connection has begun and its end has not been reported by [`Session::handle_closed`].
    pub const fn has_connection(&self) -> bool {
        !matches!(self.machine.phase, machine::Phase::Idle)
    }

    /// Whether the connection is at its end: when `poll_transmit` has nothing left, close the transport.
    pub const fn is_closing(&self) -> bool {
        self.machine.is_closing()
    }

    /// What the server of this connection can do.
    pub const fn server_limits(&self) -> &ServerLimits {
        self.machine.server_limits()
    }

    /// Sets [`Config::receive_limit`], for a driver that knows its buffer later than the session was made. Call it
    /// between connections: the server hears of it by the next CONNECT.
    pub const fn set_receive_limit(&mut self, limit: u32) {
        self.machine.config.receive_limit = limit;
    }

    /// How many more messages of QoS 1 and 2 may be on their way (v5.0 section 4.9).
    pub const fn send_quota(&self) -> u16 {
        self.machine.send_quota()
    }

    /// The storage.
    pub const fn storage(&self) -> &S {
        &self.storage
    }

    /// The storage, for what it offers of its own.
    pub const fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }
}

impl<S: Storage> Session<S> {
    /// Begins a connection over a transport that has just been opened, by a CONNECT.
    ///
    /// With `clean_start` the state of earlier connections is thrown away `[MQTT-3.1.2-4]`: messages that were sent and
    /// not acknowledged come out of [`Session::poll_dropped`]. Messages never sent stay.
    ///
    /// # Errors
    /// [`Misuse::AlreadyConnected`]; [`Misuse::Full`] if CONNECT has no room; [`Misuse::ClientIdRequired`];
    /// [`Misuse::Encode`] for what the version does not allow; [`Misuse::LeftOut`] for a version that the storage is
    /// built [`without`](storage::without).
    pub fn connect(&mut self, now: Instant, options: &ConnectOptions<'_>) -> Result<(), Misuse> {
        self.machine.connect(self.storage.store(), now, options)
    }

    /// Publishes a message (section 3.3). At QoS 1 and 2 it is kept until the server has it, across connections, and
    /// may be published before there is one; the identifier comes back in [`Event::Published`] or [`Dropped`]. A QoS 0
    /// message needs a connection.
    ///
    /// # Errors
    /// [`Misuse`]: no room, no connection, an invalid topic, or something the server has said it does not take.
    pub fn publish(&mut self, now: Instant, message: &ApplicationMessage<'_>) -> Result<Option<PacketId>, Misuse> {
        self.machine.publish(self.storage.store(), now, message)
    }

    /// Publishes a message that is already encoded as a PUBLISH of this session's version, with any packet identifier.
    /// A Message Expiry Interval in it counts from `since`.
    ///
    /// # Errors
    /// As [`Session::publish`]; the frame comes back.
    pub fn publish_frame(&mut self, since: Instant, frame: S::Frame) -> Result<Option<PacketId>, (Misuse, S::Frame)>
    where
        S::Frame: AsRef<[u8]>,
    {
        let flags = frame::check(frame.as_ref(), self.machine.version::<S::Store>());
        self.machine.publish_frame(self.storage.store(), since, frame, flags)
    }

    /// As [`Session::publish_frame`], for a frame that [`Publish::encode`](crate::packet::Publish::encode) has written
    /// in this session's version: what it sees to is not checked again.
    #[cfg(feature = "std")]
    pub(crate) fn publish_own_frame(
        &mut self,
        since: Instant,
        frame: S::Frame,
    ) -> Result<Option<PacketId>, (Misuse, S::Frame)>
    where
        S::Frame: AsRef<[u8]>,
    {
        let flags = frame::Flags::of(frame.as_ref()).ok_or(Misuse::Encode(EncodeError::NoTopic));
        self.machine.publish_frame(self.storage.store(), since, frame, flags)
    }

    /// Subscribes (section 3.8). Answered by [`Event::Subscribed`]; forgotten if the connection ends before that.
    ///
    /// # Errors
    /// [`Misuse`]: no connection, no room, an empty list, an invalid filter, or an option the server does not offer.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscriptions: &[Subscription<'_>],
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        let _ = now;
        self.machine.subscribe(self.storage.store(), subscriptions, properties)
    }

    /// Unsubscribes (section 3.10). Answered by [`Event::Unsubscribed`]; forgotten if the connection ends before that.
    ///
    /// # Errors
    /// [`Misuse`]: no connection, no room, an empty list, an invalid filter.
    #[inline(never)]
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        filters: &[&str],
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        let _ = now;
        self.machine.unsubscribe(self.storage.store(), filters, properties)
    }

    /// Acknowledges a received message, in any order: the packets leave in the order of receipt `[MQTT-4.6.0-2]`
    /// `[MQTT-4.6.0-3]`. In v3.1.1 a code is not sent; a failure is an acknowledgement like any other there.
    ///
    /// # Errors
    /// [`Misuse::StaleReceipt`], [`Misuse::ReasonCode`].
    pub fn acknowledge(&mut self, now: Instant, receipt: Receipt, code: ReasonCode) -> Result<(), Misuse> {
        let _ = now;
        self.machine.acknowledge(self.storage.store(), receipt, code)
    }

    /// Sends an AUTH (section 3.15) with the method of CONNECT: an answer to [`Event::Auth`], which has the code 0x18,
    /// or, on a connection that was accepted, the begin of a re-authentication by 0x19. Where the server takes no
    /// packet as long as that, reason string and user properties are left out.
    ///
    /// # Errors
    /// [`Misuse::NoAuthenticationMethod`] if CONNECT had none, [`Misuse::AuthenticationMethod`] for another one,
    /// [`Misuse::NotConnected`], [`Misuse::PacketTooLarge`], [`Misuse::Encode`].
    pub fn authenticate(&mut self, now: Instant, auth: &Auth<'_>) -> Result<(), Misuse> {
        let _ = now;
        self.machine.authenticate(self.storage.store(), auth)
    }

    /// Sends a PINGREQ now (section 3.12), unless one is on its way.
    ///
    /// # Errors
    /// [`Misuse::NotConnected`].
    pub fn ping(&mut self, now: Instant) -> Result<(), Misuse> {
        self.machine.ping(now)
    }

    /// Ends the connection by a DISCONNECT behind everything that is ready for the wire (section 3.14). Messages of QoS
    /// 1 and 2 without an answer stay for the next connection.
    ///
    /// # Errors
    /// [`Misuse::NotConnected`], [`Misuse::Encode`], [`Misuse::Full`] if its properties have no room.
    #[inline(never)]
    pub fn disconnect(&mut self, now: Instant, disconnect: &Disconnect<'_>) -> Result<(), Misuse> {
        let _ = now;
        self.machine.disconnect(self.storage.store(), disconnect)
    }

    /// Takes bytes from the server: at most one packet a call. Call again with the rest while
    /// [`Progress::goes_on`].
    ///
    /// # Errors
    /// [`PeerError`]: the connection ends.
    pub fn handle_input<'i>(&mut self, now: Instant, input: &'i [u8]) -> Result<Progress<'i>, PeerError> {
        let mut taken = Taken::nothing();
        self.take_input(now, input, &mut taken);
        match taken.fault {
            Some(error) => Err(error),
            None => Ok(taken.progress),
        }
    }

    /// As [`Session::handle_input`], but fills in what was nothing: on a microcontroller each copy of it costs.
    pub(crate) fn take_input<'i>(&mut self, now: Instant, input: &'i [u8], taken: &mut Taken<'i>) {
        self.machine.handle_input(self.storage.store(), now, input, taken);
    }

    /// Does what is due: a PINGREQ, or the end of a silent connection.
    ///
    /// # Errors
    /// [`PeerError::ConnackTimeout`], [`PeerError::PingTimeout`]: the connection ends.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        self.machine.handle_timeout(now)
    }

    /// The transport is gone, for whatever reason.
    pub fn handle_closed(&mut self, now: Instant) {
        let _ = now;
        self.machine.handle_closed(self.storage.store());
    }

    /// Tells that input is not read for now, so that the server's silence means nothing, or that it is read again.
    pub fn set_reading_paused(&mut self, now: Instant, paused: bool) {
        self.machine.timers.set_reading_paused(now, paused);
    }

    /// The bytes to send next, which stay until [`Session::consume_transmit`].
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        if !self.prepare(now) {
            return None;
        }
        Some(self.storage.transmit()).filter(|bytes| !bytes.is_empty())
    }

    /// As [`Session::poll_transmit`], for a vectored write: says how many slices it has filled.
    #[must_use]
    pub fn poll_transmit_many<'s>(&'s mut self, now: Instant, slices: &mut [&'s [u8]]) -> usize {
        if self.prepare(now) { self.storage.transmit_many(slices) } else { 0 }
    }

    /// The transport has taken the first `len` bytes of what was polled.
    pub fn consume_transmit(&mut self, now: Instant, len: usize) {
        self.machine.consume_transmit(self.storage.store(), now, len);
    }

    /// When [`Session::handle_timeout`] has to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    /// A message that has ended without an answer of the server. While there are some, no PUBLISH of QoS 1 or 2 is
    /// sent.
    #[must_use]
    pub fn poll_dropped(&mut self) -> Option<Dropped<S::Frame>> {
        self.machine.poll_dropped(self.storage.store())
    }

    /// The topic of a received message; `None` for an alias that was not used on this connection.
    pub fn topic<'t>(&'t self, topic: Topic<'t>) -> Option<&'t str> {
        match topic {
            Topic::Name(name) => Some(name.as_str()),
            Topic::Alias(alias) => self.alias(alias),
        }
    }

    /// Fills the wire; whether bytes may be sent at all.
    fn prepare(&mut self, now: Instant) -> bool {
        self.machine.prepare(self.storage.store(), now);
        self.machine.may_transmit()
    }

    fn alias(&self, alias: NonZeroU16) -> Option<&str> {
        self.storage.topic(alias)
    }
}
