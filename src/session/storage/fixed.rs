use super::{Answer, Held, Loaded, Queued, Received, Request, RequestKind, Stage, Storage, Store, Terms, without};
use crate::codec::Writer;
use crate::macros::{Bytes, shows};
use crate::session::error::Full;
use crate::session::event::Stall;
use crate::types::{PacketId, QoS, ReasonCode, TopicName};

mod arena;
mod received;
mod table;

use arena::Arena;
use received::ReceivedTable;
use table::{Table, remove};

/// A storage of fixed size, without a heap: `TX` bytes for packets to send and messages to keep, and `WINDOW` messages
/// in flight in each direction. `WITHOUT` says what the program does without, to save flash: see [`without`].
///
/// Packets that have gone are overwritten, CONNECT with its password among them; those that are dropped before are not.
/// A message takes 9 bytes beside its packet, and so does a subscribe or unsubscribe, of which these 9 stay until its
/// answer. The longest CONNECT sent so far keeps its room, so that a store full of
/// messages can always connect again; messages stored before the first CONNECT may leave none for it.
///
/// # RAM
///
/// Bytes of a whole `Session<Fixed<TX, WINDOW>>` on a 32-bit microcontroller (thumbv7em), by `TX` and `WINDOW`. The
/// receive buffer, and what a driver keeps beside its session, come on top.
///
/// | Buffer | window 1 | window 4 | window 8 | window 16 |
/// |---|---|---|---|---|
/// | 256 | 396 | 432 | 480 | 576 |
/// | 512 | 652 | 688 | 736 | 832 |
/// | 1,024 | 1,164 | 1,200 | 1,248 | 1,344 |
/// | 2,048 | 2,188 | 2,224 | 2,272 | 2,368 |
/// | 4,096 | 4,236 | 4,272 | 4,320 | 4,416 |
///
/// # Example
///
/// ```
/// use flowsdk::session::{Config, Fixed, Session};
///
/// // On a device it lies in a `static` that is lent for ever: all zeros at first, it takes no flash there.
/// let mut storage = Fixed::<1024, 8>::new();
/// let session = Session::new(Config::DEFAULT, &mut storage);
/// # assert!(!session.is_connected());
/// ```
// In this order: what lies at small offsets is reached by short instructions.
#[repr(C)]
pub struct Fixed<const TX: usize, const WINDOW: usize, const WITHOUT: u32 = 0> {
    arena: Arena<TX>,
    received: ReceivedTable<WINDOW, WITHOUT>,
    /// Those in front were sent on this connection.
    releases: Table<PacketId, WINDOW>,
    sent_releases: u16,
    answers: Table<Answer, WINDOW>,
}

/// A [`Fixed`] encodes into its own memory: no frame is ever handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoFrame {}

impl<const TX: usize, const WINDOW: usize> Fixed<TX, WINDOW> {
    /// An empty storage, of sessions with all features. Positions are 16 bits wide: of more than 65,535 bytes the rest
    /// stays unused. `WINDOW` is 65,535 at most.
    pub const fn new() -> Self {
        Self::empty()
    }
}

impl<const TX: usize, const WINDOW: usize, const WITHOUT: u32> Fixed<TX, WINDOW, WITHOUT> {
    const HAS_QOS_2: bool = WITHOUT & without::QOS_2 == 0;

    /// As [`Fixed::new`], where the type says what is left out.
    pub const fn empty() -> Self {
        Self {
            arena: Arena::new(),
            received: ReceivedTable::new(),
            releases: Table::new(),
            sent_releases: 0,
            answers: Table::new(),
        }
    }
}

shows! {
    Debug: impl[const TX: usize, const WINDOW: usize, const WITHOUT: u32] Fixed for Fixed<TX, WINDOW, WITHOUT>, |this| {
        bytes: Bytes(TX),
        position: this.arena.position,
        releases: this.releases,
        received: this.received,
        answers: this.answers,
    }
}

shows! {
    Format: impl[const TX: usize, const WINDOW: usize, const WITHOUT: u32] Fixed for Fixed<TX, WINDOW, WITHOUT>, |this| {
        bytes: TX,
        window: WINDOW,
        releases: this.releases.len(),
        received: this.received.len(),
    }
}

impl<const TX: usize, const WINDOW: usize, const WITHOUT: u32> Default for Fixed<TX, WINDOW, WITHOUT> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<const TX: usize, const WINDOW: usize, const WITHOUT: u32> Storage for Fixed<TX, WINDOW, WITHOUT> {
    type Frame = NoFrame;
    type Store = Self;

    fn store(&mut self) -> &mut Self {
        self
    }

    fn transmit(&self) -> &[u8] {
        self.arena.transmit()
    }
}

impl<const TX: usize, const WINDOW: usize, const WITHOUT: u32> Store for Fixed<TX, WINDOW, WITHOUT> {
    type Frame = NoFrame;
    const WITHOUT: u32 = WITHOUT;

    fn open(&mut self, _terms: Terms) {}

    fn close(&mut self) {
        self.arena.rewind();
        self.received.interrupt();
        if Self::HAS_QOS_2 {
            self.sent_releases = 0;
            self.answers.clear();
        }
    }

    fn has_wire_room(&self) -> bool {
        self.arena.is_idle()
    }

    fn waiting(&self) -> usize {
        self.arena.transmit().len()
    }

    fn load(&mut self, packet: &[u8]) {
        self.arena.load_small(packet);
    }

    fn load_next(&mut self, publishes: bool, mut admit: impl FnMut(&mut [u8], &mut Held) -> bool) -> Loaded {
        let Some((at, packet_id)) = self.arena.next(publishes) else { return Loaded::Nothing };
        if let Some(packet_id) = packet_id
            && let Some((mut held, bytes)) = self.arena.held_mut(at, packet_id)
        {
            if !admit(bytes, &mut held) {
                self.arena.remove(at);
                return Loaded::Refused(packet_id);
            }
            if WITHOUT & without::EXPIRY == 0 {
                self.arena.set_since(at, held.since);
            }
            self.arena.load(at);
            return Loaded::Publish;
        }
        if self.arena.load(at) { Loaded::Farewell } else { Loaded::Queued }
    }

    fn consume(&mut self, len: usize) {
        self.arena.consume(len);
    }

    fn writer(&mut self) -> Writer<'_> {
        self.arena.writer()
    }

    fn queue(&mut self, kind: Queued, len: usize) -> Result<(), Full> {
        self.arena.queue(kind, len)
    }

    fn queue_frame(&mut self, frame: NoFrame) -> Result<(), (Full, NoFrame)> {
        match frame {}
    }

    fn hold(&mut self, held: Held, len: usize) -> Result<(), Full> {
        if self.arena.held_count() + self.releases() >= WINDOW {
            return Err(Full::Window);
        }
        self.arena.hold(&held, len)
    }

    fn hold_frame(&mut self, _held: Held, frame: NoFrame) -> Result<(), (Full, NoFrame)> {
        match frame {}
    }

    fn held(&mut self, packet_id: PacketId) -> Option<(QoS, bool)> {
        self.arena.held(packet_id)
    }

    fn unhold(&mut self, packet_id: PacketId) {
        if let Some(at) = self.arena.find_id(packet_id) {
            self.arena.let_go(at);
        }
    }

    fn has_lost(&mut self) -> bool {
        self.arena.find_begun().is_some() || self.releases() > 0
    }

    fn pop_lost(&mut self) -> Option<(PacketId, Option<NoFrame>)> {
        if let Some(at) = self.arena.find_begun() {
            let packet_id = self.arena.packet_id(at)?;
            self.arena.remove(at);
            return Some((packet_id, None));
        }
        let packet_id = if Self::HAS_QOS_2 { remove(&mut self.releases, 0) } else { None };
        packet_id.map(|packet_id| (packet_id, None))
    }

    fn push_release(&mut self, packet_id: PacketId) {
        let pushed = self.releases.push(packet_id);
        debug_assert!(pushed.is_ok(), "a message and its PUBREL share one place in the window");
    }

    fn next_release(&mut self) -> Option<PacketId> {
        if !Self::HAS_QOS_2 {
            return None;
        }
        let packet_id = *self.releases.get(usize::from(self.sent_releases))?;
        self.sent_releases += 1;
        Some(packet_id)
    }

    fn remove_release(&mut self, packet_id: PacketId) -> bool {
        if !Self::HAS_QOS_2 {
            return false;
        }
        let Some(index) = self.releases.iter().position(|id| *id == packet_id) else { return false };
        if index < usize::from(self.sent_releases) {
            self.sent_releases -= 1;
        }
        remove(&mut self.releases, index).is_some()
    }

    fn has_release(&self, packet_id: PacketId) -> bool {
        Self::HAS_QOS_2 && self.releases.contains(&packet_id)
    }

    fn releases(&self) -> usize {
        if Self::HAS_QOS_2 { self.releases.len() } else { 0 }
    }

    fn queue_request(&mut self, request: Request, len: usize) -> Result<(), Full> {
        self.arena.queue_request(request, len)
    }

    fn take_request(&mut self, kind: RequestKind, packet_id: PacketId) -> Option<u16> {
        self.arena.take_request(kind, packet_id)
    }

    fn is_in_use(&mut self, packet_id: PacketId) -> bool {
        self.arena.find_id(packet_id).is_some() || self.has_release(packet_id)
    }

    fn push_answer(&mut self, answer: Answer) -> bool {
        self.answers.push(answer).is_ok()
    }

    fn pop_answer(&mut self) -> Option<Answer> {
        if !Self::HAS_QOS_2 {
            return None;
        }
        remove(&mut self.answers, 0)
    }

    fn receive_capacity(&self) -> u16 {
        u16::try_from(WINDOW).unwrap_or(u16::MAX)
    }

    fn received_count(&self) -> usize {
        self.received.counted()
    }

    fn carried_count(&self) -> usize {
        self.received.carried()
    }

    fn push_received(&mut self, received: Received) -> bool {
        self.received.push(received)
    }

    fn stall(&self) -> Option<Stall> {
        self.received.stall()
    }

    fn received(&self, packet_id: PacketId) -> Option<Received> {
        self.received.find(packet_id)
    }

    fn acknowledge(&mut self, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool {
        self.received.acknowledge(packet_id, serial, code)
    }

    fn pop_acknowledged(&mut self, stage: Stage) -> Option<(PacketId, ReasonCode)> {
        if !Self::HAS_QOS_2 && stage == Stage::ExactlyOnce {
            return None;
        }
        self.received.pop_acknowledged(stage)
    }

    fn revive(&mut self, packet_id: PacketId) {
        self.received.revive(packet_id);
    }

    fn release(&mut self, packet_id: PacketId) -> bool {
        self.received.release(packet_id)
    }

    fn remove_received(&mut self, packet_id: PacketId) {
        self.received.remove(packet_id);
    }

    fn clear_received(&mut self) {
        self.received.clear();
    }

    fn topic_alias_capacity(&self) -> u16 {
        0
    }

    fn define_topic(&mut self, _alias: core::num::NonZeroU16, _topic: TopicName<'_>) -> bool {
        false
    }

    fn has_topic(&self, _alias: core::num::NonZeroU16) -> bool {
        false
    }
}
