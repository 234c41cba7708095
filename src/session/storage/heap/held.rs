//! PUBLISH packets that are held until the server has them.

use std::vec::Vec;

use super::wire::{Lying, Segment, WRITE_IN_PLACE};
use super::{Cursor, Heap, Held};
use crate::session::error::Full;
use crate::session::frame;
use crate::types::{PacketId, QoS};

/// From this size the packets of a run are written where they lie; fewer are copied behind the bytes before them.
const RUN_IN_PLACE: usize = 4 * 1024;
/// How many buffers of runs are kept to be filled again.
const MAX_SPARES: usize = 4;

pub(super) struct HeldFrame {
    pub(super) held: Held,
    pub(super) frame: Frame,
    pub(super) state: FrameState,
    /// The batch that has to be durable before it leaves.
    pub(super) batch: u64,
}

/// The bytes of a held PUBLISH.
pub(super) enum Frame {
    Own(Vec<u8>),
    /// A part of a run.
    Part {
        run: u32,
        start: u16,
        len: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameState {
    Unsent,
    /// As above, and the server of this connection takes it.
    Checked,
    /// On the wire or sent; its first byte stands there in the stream.
    Loaded(u64),
    /// As above, and acknowledged before its last byte was sent.
    Acknowledged,
}

impl FrameState {
    pub(super) const fn waits(self) -> bool {
        matches!(self, Self::Unsent | Self::Checked)
    }
}

impl Frame {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Own(frame) => frame.len(),
            Self::Part { len, .. } => usize::from(*len),
        }
    }

    pub(super) fn bytes<'f>(&'f self, runs: &'f Runs) -> &'f [u8] {
        match self {
            Self::Own(frame) => frame,
            Self::Part { run, start, len } => {
                let start = usize::from(*start);
                runs.packets(*run).get(start..start + usize::from(*len)).unwrap_or(&[])
            }
        }
    }

    pub(super) fn bytes_mut<'f>(&'f mut self, runs: &'f mut Runs) -> &'f mut [u8] {
        match self {
            Self::Own(frame) => frame,
            Self::Part { run, start, len } => {
                let start = usize::from(*start);
                runs.packets_mut(*run).get_mut(start..start + usize::from(*len)).unwrap_or_default()
            }
        }
    }
}

/// Buffers that hold many PUBLISH packets each. One of them keeps its buffer, so that counts as a whole.
#[derive(Default)]
pub(super) struct Runs {
    /// By their numbers; what has ended leaves its number to a later one.
    runs: Vec<HeldRun>,
    free: Vec<u32>,
    spares: Vec<Vec<u8>>,
}

#[derive(Default)]
struct HeldRun {
    frames: Vec<u8>,
    /// Where its packets begin.
    start: usize,
    /// How many of its packets are held, and how many segments of the wire lie in it.
    left: usize,
    on_wire: usize,
    /// The buffer came with the packets, and goes back.
    is_lent: bool,
}

/// What comes of a run that may have ended.
#[derive(Default)]
pub(super) struct Ended {
    /// Bytes that count no longer.
    pub(super) cost: usize,
    /// A buffer for others.
    pub(super) frames: Vec<u8>,
}

impl Runs {
    /// The number that the next run has.
    fn next(&self) -> Option<u32> {
        self.free.last().copied().or_else(|| u32::try_from(self.runs.len()).ok())
    }

    /// Takes a run of so many packets under the number that was next; what it counts for. The buffer itself is taken
    /// where they fill the rest of it, and most of it.
    fn push(&mut self, frames: &mut Vec<u8>, start: usize, part: Part) -> usize {
        let is_lent = start + part.bytes == frames.len() && frames.capacity() <= 2 * part.bytes;
        let run = if is_lent {
            HeldRun { frames: core::mem::take(frames), start, left: part.count, on_wire: 0, is_lent }
        } else {
            let mut copy = self.spares.pop().unwrap_or_default();
            copy.extend_from_slice(frames.get(start..start + part.bytes).unwrap_or(&[]));
            HeldRun { frames: copy, start: 0, left: part.count, on_wire: 0, is_lent }
        };
        let cost = run.frames.capacity();
        match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.get_mut(number) {
                    *place = run;
                }
            }
            None => self.runs.push(run),
        }
        cost
    }

    /// One of the packets of a run is not held any more.
    #[inline]
    fn release(&mut self, number: u32) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        run.left = run.left.saturating_sub(1);
        if run.left > 0 || run.on_wire > 0 { Ended::default() } else { self.end(number) }
    }

    fn enter_wire(&mut self, number: u32) {
        if let Some(run) = self.get_mut(number) {
            run.on_wire += 1;
        }
    }

    /// A segment of the wire that lies in a run has gone whole.
    pub(super) fn leave_wire(&mut self, number: u32) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        run.on_wire = run.on_wire.saturating_sub(1);
        if run.left > 0 || run.on_wire > 0 { Ended::default() } else { self.end(number) }
    }

    fn end(&mut self, number: u32) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        let HeldRun { mut frames, is_lent, .. } = core::mem::take(run);
        let cost = frames.capacity();
        self.free.push(number);
        if is_lent {
            return Ended { cost, frames };
        }
        if self.spares.len() < MAX_SPARES {
            frames.clear();
            self.spares.push(frames);
        }
        Ended { cost, frames: Vec::new() }
    }

    /// The packets of a run.
    pub(super) fn packets(&self, number: u32) -> &[u8] {
        let run = usize::try_from(number).ok().and_then(|number| self.runs.get(number));
        run.and_then(|run| run.frames.get(run.start..)).unwrap_or(&[])
    }

    fn packets_mut(&mut self, number: u32) -> &mut [u8] {
        self.get_mut(number).and_then(|run| run.frames.get_mut(run.start..)).unwrap_or_default()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut HeldRun> {
        self.runs.get_mut(usize::try_from(number).ok()?)
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    fn shrink(&mut self) {
        if self.free.len() == self.runs.len() {
            *self = Self::default();
        }
    }
}

/// Messages of a run that are to be held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl Heap {
    pub(super) fn check_hold(&self, len: usize) -> Result<(), Full> {
        if self.in_flight() >= usize::from(self.limits.window) {
            return Err(Full::Window);
        }
        if self.held_bytes > 0 && self.held_bytes + len > self.limits.held_bytes { Err(Full::Bytes) } else { Ok(()) }
    }

    /// Holds packets of QoS 1 or 2 from `start` on, of a run that the server takes: as many of `at_most` as there is
    /// room for. Each gets an identifier of `next_id`. If these are all, the buffer itself may be taken.
    pub(crate) fn hold_part(
        &mut self,
        frames: &mut Vec<u8>,
        start: usize,
        at_most: usize,
        held: impl Fn(PacketId) -> Held,
        mut next_id: impl FnMut(&mut Self) -> Option<PacketId>,
    ) -> (Part, Option<Full>) {
        let mut part = Part { count: 0, bytes: 0 };
        let mut full = None;
        let (Some(run), batch) = (self.runs.next(), self.touch()) else { return (part, full) };
        let places = usize::from(self.limits.window).saturating_sub(self.in_flight());
        let room = self.limits.held_bytes.saturating_sub(self.held_bytes);
        while part.count < at_most {
            if part.count == places {
                full = Some(Full::Window);
                break;
            }
            let rest = frames.get_mut(start + part.bytes..).unwrap_or_default();
            let Some((len, at)) = frame::extent(rest) else { break };
            let (Ok(place), Ok(frame_len)) = (u16::try_from(part.bytes), u16::try_from(len)) else { break };
            if part.bytes + len > room && self.held_bytes + part.bytes > 0 {
                full = Some(Full::Bytes);
                break;
            }
            let Some(packet_id) = next_id(self) else { break };
            frame::put(rest, at, &packet_id.value().to_be_bytes());
            let frame = Frame::Part { run, start: place, len: frame_len };
            let state = FrameState::Checked;
            self.held.push(packet_id, HeldFrame { held: held(packet_id), frame, state, batch });
            part.count += 1;
            part.bytes += len;
        }
        if part.count > 0 {
            self.held_bytes += self.runs.push(frames, start, part);
        }
        (part, full)
    }

    /// Whether an identifier comes right behind the last one that is held, and nothing else has it.
    pub(crate) fn is_next_in_line(&self, packet_id: PacketId) -> bool {
        self.held.is_next(packet_id) && !self.releases.contains(packet_id) && !self.requests.contains(packet_id)
    }

    /// Puts messages of a run on the wire for as long as it has room; how many.
    pub(super) fn load_part(&mut self, at_most: usize) -> usize {
        let durable = self.durable();
        let Self { held, wire, runs, unsent, limits, .. } = self;
        let room = limits.wire_bytes.max(1).saturating_sub(wire.waiting());
        let base = wire.position();
        let mut place: Option<(u32, usize, usize)> = None;
        let mut count = 0;
        held.walk(unsent, |_, item| {
            let Frame::Part { run, start, len } = item.frame else { return false };
            let (start, len) = (usize::from(start), usize::from(len));
            let (number, from, end) = *place.get_or_insert((run, start, start));
            let fits = item.state == FrameState::Checked
                && item.batch <= durable
                && (number, end) == (run, start)
                && count < at_most
                // As for packets one by one: one is begun while there is room.
                && end - from < room;
            if fits {
                item.state = FrameState::Loaded(base + (start - from) as u64);
                place = Some((number, from, start + len));
                count += 1;
            }
            fits
        });
        if count > 0
            && let Some((number, from, end)) = place
        {
            if end - from >= RUN_IN_PLACE {
                runs.enter_wire(number);
                wire.push(Segment::Held(Lying::Run(number), from, end));
            } else {
                wire.gather_bytes(runs.packets(number).get(from..end).unwrap_or(&[]));
            }
        }
        count
    }

    /// Lets go of the oldest PUBLISH if it is this one of a run, of which bytes have gone out on this connection.
    #[inline]
    pub(super) fn end_oldest(&mut self, packet_id: PacketId, qos: QoS) -> bool {
        let Self { held, wire, .. } = self;
        let mut number = None;
        let is_it = held.front().is_some_and(|(id, _)| id == packet_id);
        let ended = is_it
            && held
                .pop_front_if(|item| {
                    number = if let Frame::Part { run, .. } = item.frame { Some(run) } else { None };
                    let is_sent = matches!(item.state, FrameState::Loaded(at) if at < wire.consumed);
                    is_sent && item.held.qos == qos && number.is_some()
                })
                .is_some();
        if ended && let Some(number) = number {
            self.release_part(number);
        }
        ended
    }

    /// One of the packets of a run is not held any more.
    #[inline]
    fn release_part(&mut self, run: u32) {
        let ended = self.runs.release(run);
        self.note_ended(ended);
    }

    fn note_ended(&mut self, ended: Ended) {
        self.held_bytes -= ended.cost;
        Self::keep_spent(&mut self.spent, ended.frames);
    }

    /// The wire is empty: what has waited for it alone ends.
    pub(super) fn take_runs_off_wire(&mut self) {
        for number in 0..u32::try_from(self.runs.runs.len()).unwrap_or(u32::MAX) {
            while self.runs.get_mut(number).is_some_and(|run| run.on_wire > 0) {
                let ended = self.runs.leave_wire(number);
                self.note_ended(ended);
            }
        }
    }

    /// The connection is gone: all that is held has to be sent again.
    pub(super) fn unsend(&mut self) {
        let consumed = self.wire.consumed;
        let mut done = Vec::new();
        for (id, held) in self.held.iter_mut() {
            match held.state {
                FrameState::Unsent => {}
                FrameState::Checked => held.state = FrameState::Unsent,
                FrameState::Acknowledged => done.push(id),
                FrameState::Loaded(at) => {
                    held.held.begun |= at < consumed;
                    held.state = FrameState::Unsent;
                }
            }
        }
        for id in done {
            self.drop_held(id);
        }
        self.unsent = Cursor::default();
    }

    /// Lets go of a held PUBLISH, of which a part may still be on the wire.
    pub(super) fn let_go(&mut self, packet_id: PacketId) {
        let Heap { held, wire, .. } = self;
        let Some(item) = held.get_mut(packet_id) else { return };
        if item.frame.len() >= WRITE_IN_PLACE && wire.holds(packet_id) {
            item.state = FrameState::Acknowledged;
        } else {
            self.drop_held(packet_id);
        }
    }

    /// Takes back the oldest message of QoS 1 or 2 if nothing of it was sent: messages before it are to go anew.
    pub(crate) fn take_unsent(&mut self) -> Option<(PacketId, Vec<u8>)> {
        let (id, _) = self.held.front().filter(|(_, item)| item.state.waits() && !item.held.begun)?;
        self.take_held(id).map(|frame| (id, frame))
    }

    /// Takes out a message.
    pub(super) fn take_held(&mut self, packet_id: PacketId) -> Option<Vec<u8>> {
        let gone = self.held.remove(packet_id)?;
        Some(match gone.frame {
            Frame::Own(frame) => {
                self.held_bytes -= frame.len();
                frame
            }
            Frame::Part { run, .. } => {
                let frame = gone.frame.bytes(&self.runs).to_vec();
                self.release_part(run);
                frame
            }
        })
    }

    /// Drops a message; its memory is kept for another one.
    pub(super) fn drop_held(&mut self, packet_id: PacketId) {
        let Some(gone) = self.held.remove(packet_id) else { return };
        match gone.frame {
            Frame::Own(frame) => {
                self.held_bytes -= frame.len();
                Heap::keep_spent(&mut self.spent, frame);
            }
            Frame::Part { run, .. } => self.release_part(run),
        }
    }

    pub(super) fn shrink_held(&mut self) {
        self.held.shrink();
        self.runs.shrink();
    }
}
