//! Messages to the server in line: those of a run that go the usual way, which are held, sent and acknowledged one
//! behind the other.
//!
//! What was held in one go on this connection is a line, as are PUBRELs for PUBRECs that came one behind the other. All
//! that is held one by one is older, so whatever is to come behind a line as such a message takes the line apart first.
//! So does everything that is not the next step for the first of a line: an acknowledgement out of order, the end of
//! the connection, a message that is taken back.

use super::line::Line;
use super::runs::{Part, Runs};
use super::wire::{Lying, Segment};
use super::{Change, Frame, FrameState, Heap, Held, HeldFrame, Release, Store as _};
use crate::codec::PacketType;
use crate::session::error::Full;
use crate::session::frame;
use crate::types::{PacketId, QoS};

/// From this size the packets of a run are written where they lie; fewer are copied behind the bytes before them.
const RUN_IN_PLACE: usize = 4 * 1024;

/// What the messages of a line have in common: the server of this connection takes them.
#[derive(Debug)]
pub(super) struct Packets {
    /// The first of them, or of those that came before it.
    held: Held,
    /// The batch that has to be durable before they leave.
    batch: u64,
    run: u32,
    /// Where in the run they begin and end, with those that have ended.
    from: usize,
    to: usize,
    /// How many have ended.
    ended: u16,
    /// Where in the stream of the connection the first byte stands, once they are sent.
    at: u64,
    /// How far bytes are known to have gone.
    begun: Begun,
}

/// How many packets, with those that have ended, have begun to leave, and where in the run the next one begins.
#[derive(Clone, Copy, Debug)]
struct Begun {
    count: u16,
    to: usize,
}

impl Packets {
    /// How many of them may be sent at once, and where those end.
    fn fitting(&self, count: u16, at_most: usize, room: usize, runs: &Runs) -> (u16, usize) {
        if usize::from(count) <= at_most && self.to - self.from <= room {
            return (count, self.to);
        }
        let packets = runs.packets(self.run);
        let (mut fitting, mut end) = (0, self.from);
        // As for packets one by one: one is begun while there is room.
        while fitting < count
            && usize::from(fitting) < at_most
            && end - self.from < room
            && let Some((len, _)) = packets.get(end..).and_then(frame::extent)
        {
            (fitting, end) = (fitting + 1, end + len);
        }
        (fitting, end)
    }

    /// Splits off the packets up to a place, which stand there in the stream.
    fn cut(&mut self, end: usize, at: u64) -> Self {
        let begun = Begun { count: 0, to: self.from };
        let part = Self { to: end, at, begun, ..*self };
        self.from = end;
        part
    }

    /// Goes on with those of the same run that lie and stand behind them; if others, they come back.
    fn join(&mut self, part: Self) -> Option<Self> {
        let goes_on = self.run == part.run && self.to == part.from && self.at + (self.to - self.from) as u64 == part.at;
        if !goes_on {
            return Some(part);
        }
        self.to = part.to;
        None
    }

    /// How far these have gone where so many bytes of the connection have, and `left` have not ended.
    #[inline]
    fn begun(&self, left: u16, consumed: u64, runs: &Runs) -> Begun {
        let all = self.ended + left;
        let gone = consumed.saturating_sub(self.at);
        if self.begun.count == all || gone >= (self.to - self.from) as u64 {
            return Begun { count: all, to: self.to };
        }
        let packets = runs.packets(self.run);
        let mut begun = self.begun;
        while begun.count < all
            && ((begun.to - self.from) as u64) < gone
            && let Some((len, _)) = packets.get(begun.to..).and_then(frame::extent)
        {
            begun = Begun { count: begun.count + 1, to: begun.to + len };
        }
        begun
    }
}

impl Heap {
    /// Holds packets of QoS 1 or 2 from `start` on, of a run that the server takes: as many of `at_most` as there is
    /// room for, with the identifier of the first one and those behind it as far as they are free. If these are all,
    /// the buffer itself may be taken.
    pub(crate) fn hold_part(
        &mut self,
        frames: &mut Vec<u8>,
        start: usize,
        at_most: usize,
        first: Held,
    ) -> (Part, Option<Full>) {
        let mut part = Part { first: first.packet_id, count: 0, bytes: 0 };
        let mut full = None;
        let (Some(run), batch) = (self.runs.next(), self.touch()) else { return (part, full) };
        let places = usize::from(self.limits.window).saturating_sub(self.in_flight());
        let room = self.limits.held_bytes.saturating_sub(self.held_bytes);
        let free = self.free_from(part.first, at_most.min(places));
        let mut packet_id = part.first;
        while usize::from(part.count) < free {
            let rest = frames.get_mut(start + part.bytes..).unwrap_or_default();
            let Some((len, at)) = frame::extent(rest) else { break };
            if u16::try_from(part.bytes).is_err() || u16::try_from(len).is_err() {
                break;
            }
            if part.bytes + len > room && self.held_bytes + part.bytes > 0 {
                full = Some(Full::Bytes);
                break;
            }
            frame::put_packet_id(rest, at, packet_id);
            packet_id = packet_id.next();
            part.count += 1;
            part.bytes += len;
        }
        if usize::from(part.count) == places && places < at_most {
            full = Some(Full::Window);
        }
        if part.count > 0 {
            let begun = Begun { count: 0, to: 0 };
            let packets = Packets { held: first, batch, run, from: 0, to: part.bytes, ended: 0, at: 0, begun };
            self.held_bytes += self.runs.push(frames, start, part);
            self.held_lines.push(part.first, part.count, packets);
        }
        (part, full)
    }

    /// How many identifiers from one on are free, as far as a line may go on with them.
    fn free_from(&mut self, first: PacketId, at_most: usize) -> usize {
        if !self.held_lines.rises_by(first, 1) {
            self.take_held_apart();
        }
        let in_lines = self.release_lines.free_from(first, self.held_lines.free_from(first, at_most));
        let alone = self.releases.free_from(first, self.held.free_from(first, in_lines));
        self.requests.free_from(first, alone)
    }

    /// Puts messages of the first line that waits on the wire for as long as it has room; how many.
    pub(super) fn load_line(&mut self, at_most: usize) -> usize {
        let durable = self.durable();
        let Self { held_lines, wire, runs, limits, .. } = self;
        let Some(line) = held_lines.first_waiting().filter(|line| line.common.batch <= durable) else { return 0 };
        let room = limits.wire_bytes.max(1).saturating_sub(wire.waiting());
        let Packets { run, from, .. } = line.common;
        let (count, to) = line.common.fitting(line.count, at_most, room, runs);
        if count > 0 {
            held_lines.send(count, |packets| packets.cut(to, wire.position()), Packets::join);
            self.load_packets(run, from, to);
        }
        count.into()
    }

    /// Puts packets of a run on the wire that lie one behind the other.
    pub(super) fn load_packets(&mut self, run: u32, from: usize, to: usize) {
        let Self { wire, runs, .. } = self;
        if to - from >= RUN_IN_PLACE {
            runs.enter_wire(run);
            wire.push(Segment::Held(Lying::Run(run), from, to));
        } else {
            wire.gather_bytes(runs.packets(run).get(from..to).unwrap_or(&[]));
        }
    }

    /// Lets go of PUBLISH packets of this QoS that went out on this connection, from an identifier on: `count_acks`
    /// says for how many, of which there are at least one and at most as many as it is told. Says how many these are.
    #[inline]
    pub(crate) fn end_sent(&mut self, packet_id: PacketId, qos: QoS, count_acks: impl FnOnce(u16) -> u16) -> u16 {
        let Self { held_lines, runs, wire, .. } = self;
        let line = held_lines.first_sent();
        let Some(line) = line.filter(|line| line.first == packet_id && line.common.held.qos == qos) else {
            return self.end_alone(packet_id, qos).into();
        };
        let (packets, left) = (&mut line.common, line.count);
        packets.begun = packets.begun(left, wire.consumed, runs);
        let at_most = packets.begun.count - packets.ended;
        if at_most == 0 {
            return 0;
        }
        let count = count_acks(at_most).min(at_most);
        packets.ended += count;
        let ended = runs.release(packets.run, count.into());
        held_lines.end(count);
        self.note_ended(ended);
        count
    }

    /// Lets go of a PUBLISH of this QoS that went out on this connection; whether there was one.
    fn end_alone(&mut self, packet_id: PacketId, qos: QoS) -> bool {
        if self.end_oldest(packet_id, qos) {
            return true;
        }
        let was_sent = self.held_in_any_way(packet_id) == Some((qos, true));
        if was_sent {
            self.let_go(packet_id);
        }
        was_sent
    }

    /// The QoS of a message in line, and whether bytes of it have gone out on this connection.
    pub(super) fn held_in_line(&mut self, packet_id: PacketId) -> Option<(QoS, bool)> {
        let (line, member, is_sent) = self.held_lines.find_mut(packet_id)?;
        let (packets, left) = (&mut line.common, line.count);
        if is_sent {
            // It is kept, as a server may ask again and again for one that has not begun.
            packets.begun = packets.begun(left, self.wire.consumed, &self.runs);
        }
        Some((packets.held.qos, is_sent && packets.begun.count > packets.ended + member))
    }

    /// Takes the lines apart up to that of a message, if it is in line.
    pub(super) fn take_held_apart_to(&mut self, packet_id: PacketId) {
        while self.held_lines.contains(packet_id)
            && let Some((line, was_sent)) = self.held_lines.pop()
        {
            self.hold_alone(line, was_sent);
        }
    }

    /// Takes all lines apart.
    pub(super) fn take_held_apart(&mut self) {
        while let Some((line, was_sent)) = self.held_lines.pop() {
            self.hold_alone(line, was_sent);
        }
    }

    /// Holds what is left of a line one by one.
    fn hold_alone(&mut self, line: Line<Packets>, was_sent: bool) {
        let Line { first, count, common: Packets { held, batch, run, from, at, ended, .. } } = line;
        let mut place = from;
        let mut packet_id = first;
        for number in 0..ended + count {
            let extent = self.runs.packets(run).get(place..).and_then(frame::extent);
            // Both were checked when they were held.
            let Some((len, start, frame_len)) =
                extent.and_then(|(len, _)| Some((len, u16::try_from(place).ok()?, u16::try_from(len).ok()?)))
            else {
                return;
            };
            if number >= ended {
                let state = if was_sent { FrameState::Loaded(at + (place - from) as u64) } else { FrameState::Checked };
                let frame = Frame::Part { run, start, len: frame_len };
                let held = Held { packet_id, ..held };
                self.held.push(packet_id, HeldFrame { held, frame, state, batch });
                packet_id = packet_id.next();
            }
            place += len;
        }
    }
}

/// PUBRELs.
impl Heap {
    /// Appends PUBRELs with consecutive identifiers to those without a PUBCOMP.
    pub(crate) fn push_releases(&mut self, first: PacketId, count: u16) {
        for steps in 0..if self.ledger.is_some() { count } else { 0 } {
            self.note(Change::Released(first.after(steps)));
        }
        let batch = self.touch();
        if self.release_lines.extend(first, count, |other| *other == batch) {
            return;
        }
        if !self.release_lines.rises_by(first, count) {
            self.take_releases_apart();
        }
        self.release_lines.push(first, count, batch);
    }

    /// Puts PUBRELs on the wire for as long as it has room; whether there were some.
    pub(super) fn load_plain_pubrels(&mut self) -> bool {
        if self.releases() == 0 {
            return false;
        }
        let durable = self.durable();
        let Self { releases, unsent_releases, release_lines, wire, limits, .. } = self;
        let room = limits.wire_bytes.max(1).saturating_sub(wire.waiting());
        let mut some = false;
        let _: Result<(), ()> = wire.gather(|buffer| {
            let full = buffer.len().saturating_add(room);
            let mut goes_on = true;
            releases.walk(unsent_releases, |packet_id, release| {
                goes_on = release.sent || (release.batch <= durable && buffer.len() < full);
                if goes_on && !core::mem::replace(&mut release.sent, true) {
                    buffer.extend_from_slice(&pubrel(packet_id));
                    some = true;
                }
                goes_on
            });
            while goes_on
                && buffer.len() < full
                && let Some(line) = release_lines.first_waiting().filter(|line| line.common <= durable)
            {
                let (mut count, mut packet_id) = (0, line.first);
                while count < line.count && buffer.len() < full {
                    buffer.extend_from_slice(&pubrel(packet_id));
                    (packet_id, count) = (packet_id.next(), count + 1);
                }
                release_lines.send(count, |batch| *batch, join_batches);
                some = true;
            }
            Ok(())
        });
        some
    }

    /// The first PUBREL in line that was not sent on this connection; it counts as sent then.
    pub(super) fn next_release_in_line(&mut self) -> Option<PacketId> {
        let durable = self.durable();
        let first = self.release_lines.first_waiting().filter(|line| line.common <= durable)?.first;
        self.release_lines.send(1, |batch| *batch, join_batches);
        Some(first)
    }

    /// Ends PUBRELs from an identifier on: `count_acks` says how many, of which there are at least one and at most as
    /// many as it is told. Says how many these are.
    #[inline]
    pub(crate) fn end_releases(&mut self, packet_id: PacketId, count_acks: impl FnOnce(u16) -> u16) -> u16 {
        let line = self.release_lines.first_sent().filter(|line| line.first == packet_id);
        let Some(line) = line else {
            return self.end_release(packet_id).into();
        };
        let count = count_acks(line.count).min(line.count);
        self.release_lines.end(count);
        count
    }

    /// Ends a PUBREL; whether there was one.
    pub(super) fn end_release(&mut self, packet_id: PacketId) -> bool {
        while self.release_lines.contains(packet_id)
            && let Some((line, was_sent)) = self.release_lines.pop()
        {
            self.release_alone(&line, was_sent);
        }
        self.releases.remove(packet_id).is_some()
    }

    pub(super) fn take_releases_apart(&mut self) {
        while let Some((line, was_sent)) = self.release_lines.pop() {
            self.release_alone(&line, was_sent);
        }
    }

    fn release_alone(&mut self, line: &Line<u64>, sent: bool) {
        for steps in 0..line.count {
            self.releases.push(line.first.after(steps), Release { sent, batch: line.common });
        }
    }
}

/// PUBRELs that were sent one behind the other are alike: their batches are durable.
fn join_batches(batch: &mut u64, other: u64) -> Option<u64> {
    *batch = other;
    None
}

const fn pubrel(packet_id: PacketId) -> [u8; 4] {
    let [high, low] = packet_id.value().to_be_bytes();
    [PacketType::Pubrel.first_byte(), 2, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::HeapLimits;
    use crate::time::Instant;

    const COUNT: u16 = 100;
    /// A PUBLISH of QoS 1.
    const PACKET: [u8; 8] = [0x32, 6, 0, 1, b't', 0, 0, 0];

    #[test]
    fn how_far_a_line_has_gone_is_kept_when_one_that_has_not_begun_is_acknowledged() {
        let mut heap = Heap::new(HeapLimits::default());
        let since = Instant::from_millis(0);
        let first = Held { packet_id: PacketId::MIN, qos: QoS::AtLeastOnce, since, begun: false };
        let (part, _) = heap.hold_part(&mut PACKET.repeat(COUNT.into()), 0, COUNT.into(), first);
        assert_eq!((part.count, heap.load_run(COUNT.into())), (COUNT, COUNT.into()));

        let last = part.first.after(COUNT - 1);
        for (consumed, begun) in [(part.bytes / 2, COUNT / 2), (part.bytes / 2 - PACKET.len(), COUNT - 1)] {
            heap.consume(consumed);
            assert_eq!(heap.end_sent(last, QoS::AtLeastOnce, |_| 1), 0);
            assert_eq!(heap.held_lines.first_sent().unwrap().common.begun.count, begun);
        }
        heap.consume(1);
        assert_eq!(heap.end_sent(last, QoS::AtLeastOnce, |_| 1), 1);
        assert_eq!(heap.in_flight(), usize::from(COUNT) - 1);
    }
}
