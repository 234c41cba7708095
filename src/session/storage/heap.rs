use core::num::NonZeroU16;
use std::collections::VecDeque;
use std::vec::Vec;

use zeroize::{Zeroize as _, Zeroizing};

use super::{Answer, Held, Loaded, Queued, Received, Request, RequestKind, Stage, Storage, Store, Terms};
use crate::codec::Writer;
use crate::session::error::Full;
use crate::session::event::Stall;
use crate::session::frame;
use crate::types::{PacketId, QoS, ReasonCode, TopicName};

mod aliases;
mod fifo;
mod held;
mod in_line;
mod ledger;
mod limits;
mod line;
mod own;
mod received;
mod received_line;
mod run;
mod runs;
mod shown;
mod wire;

use fifo::Cursor;
pub(crate) use fifo::{Fifo, KEPT_PLACES};
use held::{Frame, FrameState, HeldFrame};
use in_line::Packets;
pub(crate) use ledger::Change;
use ledger::Ledger;
#[cfg(any(feature = "persistence", test))]
pub(crate) use ledger::NoteReceived;
pub use limits::HeapLimits;
use line::Lines;
use received::ReceivedTable;
pub(crate) use runs::Part;
use runs::Runs;
use wire::{Gone, Lying, Segment, Wire, put_on_wire};

/// A storage that grows on the heap, up to [`HeapLimits`]. Operations take constant time on average, but for messages out
/// of order: finding one takes as long as the logarithm of how many there are. What is kept in lines, messages of a run
/// and PUBRELs, is taken apart at the first acknowledgement out of order, which takes as long as its line and those
/// before it are long, once for each member.
pub struct Heap {
    limits: HeapLimits,
    wire: Wire,
    maximum_packet_size: u32,
    held: Fifo<HeldFrame>,
    /// Behind them, those of runs that are in line.
    held_lines: Lines<Packets>,
    runs: Runs,
    /// Bytes of held frames, and of runs as a whole.
    held_bytes: usize,
    /// Where those of `held` that were not sent on this connection begin.
    unsent: Cursor,
    /// PUBRELs without a PUBCOMP.
    releases: Fifo<Release>,
    /// Behind them, those in line, and the batches that have to be durable before they leave.
    release_lines: Lines<u64>,
    /// Where those of `releases` that were not sent on this connection begin.
    unsent_releases: Cursor,
    requests: Fifo<Request>,
    /// Answers, and the batch that has to be durable before each of them.
    answers: VecDeque<(u64, Answer)>,
    received: ReceivedTable,
    inbound_aliases: aliases::Inbound,
    outbound_aliases: aliases::Outbound,
    /// The DISCONNECT that has to leave last.
    farewell: Vec<u8>,
    spent: Vec<Vec<u8>>,
    /// The packet that is being written.
    draft: Vec<u8>,
    /// Where what happens here is kept elsewhere, too.
    ledger: Option<Box<Ledger>>,
}

#[derive(Clone, Copy, Debug)]
struct Release {
    /// It was sent on this connection.
    sent: bool,
    /// The batch that has to be durable before it leaves.
    batch: u64,
}

/// How many answers wait at most; the rest of the input waits then.
const MAX_ANSWERS: usize = 1024;

impl Heap {
    /// An empty storage.
    pub fn new(limits: HeapLimits) -> Self {
        Self {
            limits,
            wire: Wire::default(),
            maximum_packet_size: u32::MAX,
            held: Fifo::new(),
            held_lines: Lines::new(),
            runs: Runs::default(),
            held_bytes: 0,
            unsent: Cursor::default(),
            releases: Fifo::new(),
            release_lines: Lines::new(),
            unsent_releases: Cursor::default(),
            requests: Fifo::new(),
            answers: VecDeque::new(),
            received: ReceivedTable::new(),
            inbound_aliases: aliases::Inbound::default(),
            outbound_aliases: aliases::Outbound::default(),
            farewell: Vec::new(),
            spent: Vec::new(),
            draft: Vec::new(),
            ledger: None,
        }
    }
}

impl Storage for Heap {
    type Frame = Vec<u8>;
    type Store = Self;

    fn store(&mut self) -> &mut Self {
        self
    }

    fn transmit(&self) -> &[u8] {
        let mut slices = [&[][..]];
        self.transmit_many(&mut slices);
        let [first] = slices;
        first
    }

    fn transmit_many<'s>(&'s self, slices: &mut [&'s [u8]]) -> usize {
        let bytes_of = |lying| match lying {
            Lying::Frame(id) => self.held.get(id).map_or(&[][..], |held| held.frame.bytes(&self.runs)),
            Lying::Run(run) => self.runs.packets(run),
        };
        let waiting = self.wire.slices(bytes_of).filter(|slice| !slice.is_empty());
        let mut count = 0;
        for (place, slice) in slices.iter_mut().zip(waiting) {
            *place = slice;
            count += 1;
        }
        count
    }

    fn topic(&self, alias: NonZeroU16) -> Option<&str> {
        self.inbound_aliases.topic(alias)
    }
}

impl Store for Heap {
    type Frame = Vec<u8>;

    fn open(&mut self, terms: Terms) {
        self.maximum_packet_size = terms.maximum_packet_size;
        self.inbound_aliases.open(terms.inbound_aliases);
        self.outbound_aliases.open(terms.outbound_aliases);
    }

    fn close(&mut self) {
        self.unsend();
        self.wire.clear();
        self.take_runs_off_wire();
        self.take_releases_apart();
        self.releases.iter_mut().for_each(|(_, release)| release.sent = false);
        self.unsent_releases = Cursor::default();
        self.requests.clear();
        self.answers.clear();
        self.farewell.clear();
        self.received.interrupt();
    }

    fn has_wire_room(&self) -> bool {
        // An empty wire takes a packet whatever the limit: nothing else could ever leave.
        self.wire.waiting() < self.limits.wire_bytes.max(1)
    }

    fn waiting(&self) -> usize {
        self.wire.waiting()
    }

    fn load(&mut self, packet: &[u8]) {
        self.wire.gather_bytes(packet);
    }

    fn load_next(&mut self, publishes: bool, mut admit: impl FnMut(&mut [u8], &mut Held) -> bool) -> Loaded {
        if !self.farewell.is_empty() {
            let farewell = core::mem::take(&mut self.farewell);
            self.wire.gather_bytes(&farewell);
            return Loaded::Farewell;
        }
        if !publishes {
            return Loaded::Nothing;
        }
        let durable = self.durable();
        let Heap { held, runs, wire, outbound_aliases, unsent, maximum_packet_size, .. } = self;
        loop {
            let Some((id, item)) = held.seek(unsent) else { return Loaded::Nothing };
            if !item.state.waits() {
                unsent.step();
                continue;
            }
            if item.batch > durable {
                return Loaded::Nothing;
            }
            let frame = item.frame.bytes_mut(runs);
            if !admit(frame, &mut item.held) {
                self.drop_held(id);
                return Loaded::Refused(id);
            }
            item.state = FrameState::Loaded(wire.position());
            if let Some(offset) = put_on_wire(wire, outbound_aliases, frame, *maximum_packet_size) {
                wire.push(Segment::Held(Lying::Frame(id), offset, frame.len()));
            }
            unsent.step();
            return Loaded::Publish;
        }
    }

    fn load_run(&mut self, at_most: usize) -> usize {
        self.load_part(at_most)
    }

    fn consume(&mut self, len: usize) {
        let Heap { wire, held, runs, held_bytes, spent, .. } = self;
        let mut done = Vec::new();
        wire.consume(len, |gone| match gone {
            Gone::Held(Lying::Frame(id)) => {
                if held.get(id).is_some_and(|held| held.state == FrameState::Acknowledged) {
                    done.push(id);
                }
            }
            Gone::Held(Lying::Run(run)) => {
                let ended = runs.leave_wire(run);
                *held_bytes -= ended.cost;
                Heap::keep_spent(spent, ended.frames);
            }
            Gone::Spent(frame) => Heap::keep_spent(spent, frame),
        });
        for id in done {
            self.drop_held(id);
        }
    }

    fn writer(&mut self) -> Writer<'_> {
        if self.draft.capacity() == 0 {
            self.draft = self.take_spent().unwrap_or_default();
        }
        if !self.draft.is_empty() {
            // A packet that was refused before it was whole may have had a secret.
            self.draft.zeroize();
        }
        Writer::appending(&mut self.draft)
    }

    fn expect_secret(&mut self, len: usize) {
        self.draft.zeroize();
        self.draft.reserve(len);
    }

    fn queue(&mut self, kind: Queued, len: usize) -> Result<(), Full> {
        match kind {
            Queued::Message => {
                self.check_wire(len)?;
                let frame = core::mem::take(&mut self.draft);
                self.queue_frame(frame).map_err(|(full, _)| full)
            }
            Queued::Farewell => {
                core::mem::swap(&mut self.farewell, &mut self.draft);
                Ok(())
            }
            Queued::Connect | Queued::Control => {
                let draft = core::mem::take(&mut self.draft);
                if matches!(draft.first(), Some(0x10 | 0xF0)) {
                    // CONNECT has a password, AUTH what stands for one.
                    let secret = Zeroizing::new(draft);
                    self.check_wire(len)?;
                    self.wire.push(Segment::Secret(secret));
                } else {
                    self.check_wire(len)?;
                    self.wire.gather_bytes(&draft);
                }
                Ok(())
            }
        }
    }

    fn queue_frame(&mut self, frame: Vec<u8>) -> Result<(), (Full, Vec<u8>)> {
        if let Err(full) = self.check_wire(frame.len()) {
            return Err((full, frame));
        }
        let Heap { wire, outbound_aliases, maximum_packet_size, spent, .. } = self;
        match put_on_wire(wire, outbound_aliases, &frame, *maximum_packet_size) {
            Some(offset) => wire.push(Segment::Frame(frame, offset)),
            None => Heap::keep_spent(spent, frame),
        }
        wire.end_messages(1);
        Ok(())
    }

    fn hold(&mut self, held: Held, _len: usize) -> Result<(), Full> {
        let frame = core::mem::take(&mut self.draft);
        self.hold_frame(held, frame).map_err(|(full, _)| full)
    }

    fn hold_frame(&mut self, held: Held, mut frame: Vec<u8>) -> Result<(), (Full, Vec<u8>)> {
        if let Err(full) = self.check_hold(frame.len()) {
            return Err((full, frame));
        }
        self.take_held_apart();
        frame::renew(&mut frame, held.packet_id);
        self.held_bytes += frame.len();
        let batch = self.touch();
        self.held.push(held.packet_id, HeldFrame { held, frame: Frame::Own(frame), state: FrameState::Unsent, batch });
        Ok(())
    }

    fn held(&mut self, packet_id: PacketId) -> Option<(QoS, bool)> {
        self.held_in_any_way(packet_id)
    }

    fn unhold(&mut self, packet_id: PacketId) {
        self.let_go(packet_id);
    }

    fn has_lost(&mut self) -> bool {
        // They are sent in their order, so those that were are in front.
        self.held.front().is_some_and(|(_, held)| held.held.begun) || self.releases() > 0
    }

    fn pop_lost(&mut self) -> Option<(PacketId, Option<Vec<u8>>)> {
        let begun = self.held.front().filter(|(_, held)| held.held.begun).map(|(id, _)| id);
        if let Some(id) = begun {
            return Some((id, self.take_held(id)));
        }
        self.take_releases_apart();
        let (id, _) = self.releases.front()?;
        self.releases.remove(id);
        Some((id, None))
    }

    fn push_release(&mut self, packet_id: PacketId) {
        self.push_releases(packet_id, 1);
    }

    fn next_release(&mut self) -> Option<PacketId> {
        let durable = self.durable();
        let Heap { releases, unsent_releases, .. } = self;
        while let Some((id, release)) = releases.seek(unsent_releases) {
            if !release.sent && release.batch > durable {
                return None;
            }
            unsent_releases.step();
            if !core::mem::replace(&mut release.sent, true) {
                return Some(id);
            }
        }
        self.next_release_in_line()
    }

    fn load_pubrels(&mut self) -> bool {
        self.load_plain_pubrels()
    }

    fn remove_release(&mut self, packet_id: PacketId) -> bool {
        self.end_release(packet_id)
    }

    fn has_release(&self, packet_id: PacketId) -> bool {
        self.releases.contains(packet_id) || self.release_lines.contains(packet_id)
    }

    fn releases(&self) -> usize {
        self.releases.len() + self.release_lines.len()
    }

    fn queue_request(&mut self, request: Request, len: usize) -> Result<(), Full> {
        self.queue(Queued::Control, len)?;
        self.requests.push(request.packet_id, request);
        Ok(())
    }

    fn take_request(&mut self, kind: RequestKind, packet_id: PacketId) -> Option<u16> {
        self.requests.get(packet_id).filter(|request| request.kind == kind)?;
        self.requests.remove(packet_id).map(|request| request.filters)
    }

    fn is_in_use(&mut self, packet_id: PacketId) -> bool {
        self.held.contains(packet_id)
            || self.held_lines.contains(packet_id)
            || self.has_release(packet_id)
            || self.requests.contains(packet_id)
    }

    fn push_answer(&mut self, answer: Answer) -> bool {
        let has_room = self.answers.len() < MAX_ANSWERS;
        if has_room {
            // What it answers has changed something in this very batch, or has done so before.
            let batch = if answer.reason_code.is_error() { 0 } else { self.touch() };
            self.answers.push_back((batch, answer));
        }
        has_room
    }

    fn pop_answer(&mut self) -> Option<Answer> {
        let durable = self.durable();
        self.answers.front().filter(|(batch, _)| *batch <= durable)?;
        self.answers.pop_front().map(|(_, answer)| answer)
    }

    fn receive_capacity(&self) -> u16 {
        self.limits.receive_window
    }

    fn received_count(&self) -> usize {
        self.received.len()
    }

    fn carried_count(&self) -> usize {
        self.received.carried()
    }

    fn push_received(&mut self, received: Received) -> bool {
        let has_room = self.received.push(received, usize::from(self.limits.receive_window));
        if has_room && self.ledger.is_some() {
            self.note_receipt(received);
        }
        has_room
    }

    fn stall(&self) -> Option<Stall> {
        self.received.stall()
    }

    fn received(&self, packet_id: PacketId) -> Option<Received> {
        self.received.get(packet_id)
    }

    fn acknowledge(&mut self, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool {
        let accepted = self.received.acknowledge(packet_id, serial, code);
        if accepted && self.ledger.is_some() {
            self.note_acknowledgement(packet_id, code);
        }
        accepted
    }

    fn pop_acknowledged(&mut self, stage: Stage) -> Option<(PacketId, ReasonCode)> {
        let durable = self.durable();
        self.received.pop_acknowledged(stage, durable)
    }

    fn load_pubacks(&mut self) -> bool {
        self.load_plain_pubacks()
    }

    fn revive(&mut self, packet_id: PacketId) {
        self.received.revive(packet_id);
    }

    fn release(&mut self, packet_id: PacketId) -> bool {
        let was_known = self.received.release(packet_id);
        if was_known {
            self.note(Change::Completed(packet_id));
        }
        was_known
    }

    fn remove_received(&mut self, packet_id: PacketId) {
        self.received.remove(packet_id);
        self.note(Change::Completed(packet_id));
    }

    fn clear_received(&mut self) {
        self.received.clear();
        self.note(Change::Cleared);
    }

    fn topic_alias_capacity(&self) -> u16 {
        self.limits.topic_aliases
    }

    fn define_topic(&mut self, alias: NonZeroU16, topic: TopicName<'_>) -> bool {
        self.inbound_aliases.define(alias, topic.as_str())
    }

    fn has_topic(&self, alias: NonZeroU16) -> bool {
        self.inbound_aliases.topic(alias).is_some()
    }
}
