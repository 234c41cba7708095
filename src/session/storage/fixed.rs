use heapless::deque::DequeView;
use heapless::vec::VecView;
use heapless::{Deque, Vec};

use super::{
    Admit, Answer, Encode, Held, Loaded, QueueError, Queued, Received, Request, RequestKind, Stage, Storage, Store,
    Terms,
};
use crate::codec::Writer;
use crate::macros::{Bytes, shows};
use crate::session::error::Full;
use crate::session::event::Stall;
use crate::session::frame;
use crate::time::Instant;
use crate::types::{PacketId, QoS, ReasonCode};

mod arena;
mod received;

use arena::{Arena, Position, Record};

/// A storage of fixed size, without a heap: `TX` bytes for packets to send and messages to keep, and `WINDOW` messages
/// in flight in each direction.
///
/// A message takes 9 bytes beside its packet. The longest CONNECT sent so far keeps its room, so that a store full of
/// messages can always connect again; messages stored before the first CONNECT may leave none for it.
///
/// # RAM
///
/// Bytes of a whole `Session<Fixed<TX, WINDOW>>` on a 32-bit microcontroller (thumbv7em), by `TX` and `WINDOW`. The receive
/// buffer, and what a driver keeps beside its session, come on top.
///
/// | Buffer | window 1 | window 4 | window 8 | window 16 |
/// |---|---|---|---|---|
/// | 256 | 460 | 524 | 612 | 788 |
/// | 512 | 716 | 780 | 868 | 1,044 |
/// | 1,024 | 1,228 | 1,292 | 1,380 | 1,556 |
/// | 2,048 | 2,252 | 2,316 | 2,404 | 2,580 |
/// | 4,096 | 4,300 | 4,364 | 4,452 | 4,628 |
///
/// # Example
///
/// ```
/// use flowsdk::session::{Config, Fixed, Session};
///
/// static SESSION: std::sync::Mutex<Session<Fixed<1024, 8>>> =
///     std::sync::Mutex::new(Session::new(Config::DEFAULT, Fixed::new()));
/// ```
pub struct Fixed<const TX: usize, const WINDOW: usize> {
    bytes: [u8; TX],
    position: Position,
    releases: Vec<Release, WINDOW>,
    requests: Vec<Request, WINDOW>,
    received: Vec<Received, WINDOW>,
    answers: Deque<Answer, WINDOW>,
}

#[derive(Clone, Copy, Debug)]
struct Release {
    packet_id: PacketId,
    sent: bool,
}

/// The view of a [`Fixed`] that has no sizes in its type.
pub struct FixedStore<'a> {
    arena: Arena<'a>,
    releases: &'a mut VecView<Release>,
    requests: &'a mut VecView<Request>,
    received: &'a mut VecView<Received>,
    answers: &'a mut DequeView<Answer>,
}

/// A [`Fixed`] encodes into its own memory: no frame is ever handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NoFrame {}

impl<const TX: usize, const WINDOW: usize> Fixed<TX, WINDOW> {
    /// An empty storage. Positions are 16 bits wide: of more than 65,535 bytes the rest stays unused.
    pub const fn new() -> Self {
        Self {
            bytes: [0; TX],
            position: Position::new(),
            releases: Vec::new(),
            requests: Vec::new(),
            received: Vec::new(),
            answers: Deque::new(),
        }
    }
}

shows! {
    Debug: impl[const TX: usize, const WINDOW: usize] Fixed for Fixed<TX, WINDOW>, |this| {
        bytes: Bytes(TX),
        position: this.position,
        releases: this.releases,
        requests: this.requests,
        received: this.received,
        answers: this.answers,
    }
}

shows! {
    Format: impl[const TX: usize, const WINDOW: usize] Fixed for Fixed<TX, WINDOW>, |this| {
        bytes: TX,
        window: WINDOW,
        releases: this.releases.len(),
        requests: this.requests.len(),
        received: this.received.len(),
    }
}

shows! {
    impl[] FixedStore for FixedStore<'_>, |this| {
        bytes: this.arena.bytes.len(),
        window: this.window(),
        releases: this.releases.len(),
        requests: this.requests.len(),
        received: this.received.len(),
    }
}

impl<const TX: usize, const WINDOW: usize> Default for Fixed<TX, WINDOW> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const TX: usize, const WINDOW: usize> Storage for Fixed<TX, WINDOW> {
    type Frame = NoFrame;
    type Store<'a> = FixedStore<'a>;

    fn store(&mut self) -> FixedStore<'_> {
        FixedStore {
            arena: Arena { bytes: &mut self.bytes, position: &mut self.position },
            releases: &mut self.releases,
            requests: &mut self.requests,
            received: &mut self.received,
            answers: &mut self.answers,
        }
    }

    fn transmit(&self) -> &[u8] {
        self.position.transmit(&self.bytes)
    }
}

impl FixedStore<'_> {
    fn window(&self) -> usize {
        self.received.capacity()
    }
}

impl Store for FixedStore<'_> {
    type Frame = NoFrame;

    fn open(&mut self, _terms: Terms) {}

    fn close(&mut self) {
        self.arena.rewind();
        for release in self.releases.iter_mut() {
            release.sent = false;
        }
        self.requests.clear();
        self.answers.clear();
        received::interrupt(self.received);
    }

    fn has_wire_room(&self) -> bool {
        self.arena.position.is_idle()
    }

    fn waiting(&self) -> usize {
        self.arena.position.transmit(self.arena.bytes).len()
    }

    fn load(&mut self, packet: &[u8]) {
        self.arena.position.load_small(packet);
    }

    fn load_next(&mut self, publishes: bool, admit: &mut Admit<'_>) -> Loaded<NoFrame> {
        let mut at = 0;
        while let Some(record) = self.arena.record(at) {
            at = record.end();
            let Some((packet_id, qos)) = record.identity else {
                self.arena.load_record(&record);
                return if record.farewell { Loaded::Farewell } else { Loaded::Queued };
            };
            if record.loaded || !publishes {
                continue;
            }
            let since = Instant::from_millis(record.since);
            let mut held = Held { packet_id, qos, since, begun: record.begun };
            let Some(bytes) = self.arena.frame_mut(&record) else { continue };
            match admit(bytes, &mut held) {
                Ok(()) => {
                    let record = Record { since: held.since.as_millis(), loaded: true, ..record };
                    self.arena.write_header(&record);
                    self.arena.load_record(&record);
                    return Loaded::Publish;
                }
                Err(reason) => {
                    self.arena.remove(&record);
                    return Loaded::Refused(packet_id, reason, None);
                }
            }
        }
        Loaded::Nothing
    }

    fn consume(&mut self, len: usize) {
        self.arena.consume(len);
    }

    fn queue(&mut self, kind: Queued, len: usize, encode: &Encode<'_>) -> Result<(), QueueError> {
        self.arena.push(Record::queued(kind), len, 0, encode)?;
        if kind == Queued::Connect {
            self.arena.reserve(len);
        }
        Ok(())
    }

    fn queue_frame(&mut self, frame: NoFrame) -> Result<(), (Full, NoFrame)> {
        match frame {}
    }

    fn hold(&mut self, held: Held, len: usize, encode: &Encode<'_>) -> Result<(), QueueError> {
        if self.arena.held() + self.releases.len() >= self.window() {
            return Err(Full::Window.into());
        }
        let record = Record::held(&held);
        let reserved = self.arena.position.reserved();
        self.arena.push(record, len, reserved, &|writer: &mut Writer<'_>| encode(writer))?;
        if let Some(bytes) = self.arena.last_frame_mut() {
            frame::renew(bytes, held.packet_id);
        }
        Ok(())
    }

    fn hold_frame(&mut self, _held: Held, frame: NoFrame) -> Result<(), (Full, NoFrame)> {
        match frame {}
    }

    fn held(&self, packet_id: PacketId) -> Option<(QoS, bool)> {
        let record = self.arena.find(packet_id)?;
        let (_, qos) = record.identity?;
        Some((qos, record.loaded && !self.arena.position.is_before(&record)))
    }

    fn unhold(&mut self, packet_id: PacketId) {
        if let Some(record) = self.arena.find(packet_id) {
            self.arena.let_go(&record);
        }
    }

    fn has_lost(&self) -> bool {
        self.arena.find_begun().is_some() || !self.releases.is_empty()
    }

    fn pop_lost(&mut self) -> Option<(PacketId, Option<NoFrame>)> {
        if let Some(record) = self.arena.find_begun() {
            self.arena.remove(&record);
            return record.identity.map(|(packet_id, _)| (packet_id, None));
        }
        let release = *self.releases.first()?;
        self.releases.remove(0);
        Some((release.packet_id, None))
    }

    fn push_release(&mut self, packet_id: PacketId) {
        let pushed = self.releases.push(Release { packet_id, sent: false });
        debug_assert!(pushed.is_ok(), "a message and its PUBREL share one place in the window");
    }

    fn next_release(&mut self) -> Option<PacketId> {
        let release = self.releases.iter_mut().find(|release| !release.sent)?;
        release.sent = true;
        Some(release.packet_id)
    }

    fn remove_release(&mut self, packet_id: PacketId) -> bool {
        let before = self.releases.len();
        self.releases.retain(|release| release.packet_id != packet_id);
        self.releases.len() != before
    }

    fn has_release(&self, packet_id: PacketId) -> bool {
        self.releases.iter().any(|release| release.packet_id == packet_id)
    }

    fn releases(&self) -> usize {
        self.releases.len()
    }

    fn push_request(&mut self, request: Request) -> Result<(), Full> {
        self.requests.push(request).map_err(|_| Full::Requests)
    }

    fn take_request(&mut self, kind: RequestKind, packet_id: PacketId) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.kind == kind && request.packet_id == packet_id)?;
        Some(self.requests.swap_remove(index))
    }

    fn is_in_use(&self, packet_id: PacketId) -> bool {
        self.arena.find(packet_id).is_some()
            || self.has_release(packet_id)
            || self.requests.iter().any(|request| request.packet_id == packet_id)
    }

    fn push_answer(&mut self, answer: Answer) -> bool {
        self.answers.push_back(answer).is_ok()
    }

    fn pop_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    fn receive_capacity(&self) -> u16 {
        u16::try_from(self.window()).unwrap_or(u16::MAX)
    }

    fn received_count(&self) -> usize {
        self.received.iter().filter(|received| received.stage.is_counted()).count()
    }

    fn carried_count(&self) -> usize {
        let carried = Stage::AwaitingRelease { counted: false };
        self.received.iter().filter(|received| received.stage == carried).count()
    }

    fn push_received(&mut self, received: Received) -> bool {
        self.received.retain(|known| known.packet_id != received.packet_id);
        self.received.push(received).is_ok()
    }

    fn stall(&self) -> Option<Stall> {
        received::stall(self.received)
    }

    fn received(&self, packet_id: PacketId) -> Option<Stage> {
        self.received.iter().find(|received| received.packet_id == packet_id).map(|received| received.stage)
    }

    fn acknowledge(&mut self, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool {
        received::acknowledge(self.received, packet_id, serial, code)
    }

    fn pop_acknowledged(&mut self, qos: QoS) -> Option<(PacketId, ReasonCode)> {
        received::pop_acknowledged(self.received, qos)
    }

    fn revive(&mut self, packet_id: PacketId) {
        received::revive(self.received, packet_id);
    }

    fn release(&mut self, packet_id: PacketId) -> bool {
        received::release(self.received, packet_id)
    }

    fn remove_received(&mut self, packet_id: PacketId) {
        self.received.retain(|received| received.packet_id != packet_id);
    }

    fn clear_received(&mut self) {
        self.received.clear();
    }

    fn topic_alias_capacity(&self) -> u16 {
        0
    }

    fn define_topic(&mut self, _alias: core::num::NonZeroU16, _topic: &str) -> bool {
        false
    }

    fn has_topic(&self, _alias: core::num::NonZeroU16) -> bool {
        false
    }
}
