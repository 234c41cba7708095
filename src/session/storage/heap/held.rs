//! PUBLISH packets that are held until the server has them.

use std::vec::Vec;

use super::runs::{Ended, Runs};
use super::wire::WRITE_IN_PLACE;
use super::{Cursor, Heap, Held};
use crate::session::error::Full;
use crate::types::{PacketId, QoS};

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

impl Heap {
    pub(crate) fn check_hold(&self, len: usize) -> Result<(), Full> {
        if self.in_flight() >= usize::from(self.limits.window) {
            return Err(Full::Window);
        }
        if self.held_bytes > 0 && self.held_bytes + len > self.limits.held_bytes { Err(Full::Bytes) } else { Ok(()) }
    }

    /// Puts messages of a run on the wire for as long as it has room; how many.
    pub(super) fn load_part(&mut self, at_most: usize) -> usize {
        if self.some_wait_alone() { self.load_some_alone(at_most) } else { self.load_line(at_most) }
    }

    /// Whether messages that are held one by one have to be sent, before those in line.
    fn some_wait_alone(&mut self) -> bool {
        while let Some((_, item)) = self.held.seek(&mut self.unsent) {
            if item.state.waits() {
                return true;
            }
            self.unsent.step();
        }
        false
    }

    /// As [`Self::load_part`], for those that were in line before.
    fn load_some_alone(&mut self, at_most: usize) -> usize {
        let durable = self.durable();
        let Self { held, wire, unsent, limits, .. } = self;
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
            self.load_packets(number, from, end);
        }
        count
    }

    /// The QoS of a held PUBLISH, and whether bytes of it have gone out on this connection.
    pub(super) fn held_in_any_way(&mut self, packet_id: PacketId) -> Option<(QoS, bool)> {
        let Some(item) = self.held.get(packet_id) else { return self.held_in_line(packet_id) };
        match item.state {
            FrameState::Unsent | FrameState::Checked => Some((item.held.qos, false)),
            FrameState::Loaded(at) => Some((item.held.qos, at < self.wire.consumed)),
            FrameState::Acknowledged => None,
        }
    }

    /// Lets go of the oldest PUBLISH that is held alone if it is this one of a run, of which bytes have gone out on this
    /// connection.
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
        let ended = self.runs.release(run, 1);
        self.note_ended(ended);
    }

    pub(super) fn note_ended(&mut self, ended: Ended) {
        self.held_bytes -= ended.cost;
        Self::keep_spent(&mut self.spent, ended.frames);
    }

    /// The wire is empty: what has waited for it alone ends.
    pub(super) fn take_runs_off_wire(&mut self) {
        for number in self.runs.numbers() {
            while self.runs.is_on_wire(number) {
                let ended = self.runs.leave_wire(number);
                self.note_ended(ended);
            }
        }
    }

    /// The connection is gone: all that is held has to be sent again.
    pub(super) fn unsend(&mut self) {
        self.take_held_apart();
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
        self.take_held_apart_to(packet_id);
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
        self.take_held_apart();
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
        self.held_lines.shrink();
        self.runs.shrink();
    }
}
