use std::collections::HashSet;

use super::super::{Received, Stage};
use super::fifo::{BuildIdHasher, Fifo};
use super::received_line::{Member, ReceivedLine};
use crate::session::event::Stall;
use crate::types::{PacketId, ReasonCode};

/// Received messages that are not complete, each kind in the order of receipt.
#[derive(Debug)]
pub(super) struct ReceivedTable {
    at_least_once: Fifo<Unanswered>,
    /// The others of QoS 1. Whatever is not the next step for these takes them over there, and while there are some of
    /// one kind there are none of the other.
    in_line: ReceivedLine,
    exactly_once: Fifo<Unanswered>,
    /// QoS 2, from an earlier connection, and not repeated yet.
    interrupted: Fifo<Unanswered>,
    awaiting_release: HashSet<PacketId, BuildIdHasher>,
    /// As above, but from an earlier connection, and not repeated.
    carried: HashSet<PacketId, BuildIdHasher>,
}

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    serial: u16,
    code: Option<ReasonCode>,
    /// The batch that has to be durable before it is answered.
    batch: u64,
}

impl ReceivedTable {
    pub(super) fn new() -> Self {
        Self {
            at_least_once: Fifo::new(),
            in_line: ReceivedLine::EMPTY,
            exactly_once: Fifo::new(),
            interrupted: Fifo::new(),
            awaiting_release: HashSet::default(),
            carried: HashSet::default(),
        }
    }

    /// The connection is gone.
    pub(super) fn interrupt(&mut self) {
        self.at_least_once.clear();
        self.in_line = ReceivedLine::EMPTY;
        for (id, message) in self.exactly_once.iter_mut() {
            self.interrupted.push(id, *message);
        }
        self.exactly_once.clear();
        self.carried.extend(self.awaiting_release.drain());
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    pub(super) fn carried(&self) -> usize {
        self.carried.len()
    }

    /// Messages that came on this connection and are not complete.
    pub(super) fn len(&self) -> usize {
        self.at_least_once() + self.exactly_once.len() + self.awaiting_release.len()
    }

    fn at_least_once(&self) -> usize {
        self.at_least_once.len() + usize::from(self.in_line.len())
    }

    /// Those in line are messages like any others from now on.
    fn end_line(&mut self) {
        for Member { packet_id, serial, is_acknowledged } in
            core::mem::replace(&mut self.in_line, ReceivedLine::EMPTY).members()
        {
            let code = is_acknowledged.then_some(ReasonCode::SUCCESS);
            self.at_least_once.push(packet_id, Unanswered { serial, code, batch: 0 });
        }
    }

    pub(super) fn push(&mut self, received: Received, window: usize) -> bool {
        self.end_line();
        let Received { packet_id: id, stage, .. } = received;
        let is_known = self.unanswered(stage).contains(id) || self.interrupted.remove(id).is_some();
        if !is_known && self.len() + self.interrupted.len() + self.carried.len() >= window {
            return false;
        }
        self.unanswered(stage).push(id, Unanswered { serial: received.serial, code: received.code, batch: 0 });
        true
    }

    /// Room for messages of QoS 1; none while others than these are there, as their identifiers are taken.
    pub(super) fn room_for_run(&self, window: usize) -> usize {
        let others =
            self.exactly_once.len() + self.interrupted.len() + self.awaiting_release.len() + self.carried.len();
        if others > 0 { 0 } else { window.saturating_sub(self.at_least_once()) }
    }

    /// Notes a message of QoS 1, where there is room for it, if its identifier follows the last one's; whether it is
    /// noted.
    pub(super) fn push_in_line(&mut self, id: PacketId, serial: u16, code: Option<ReasonCode>) -> bool {
        if code.is_none() && self.at_least_once.len() == 0 {
            return self.in_line.push(id, serial);
        }
        self.in_line.is_empty() && self.at_least_once.push_in_line(id, Unanswered { serial, code, batch: 0 })
    }

    /// Only the answer to a QoS 1 message makes room: one of QoS 2 keeps its place until PUBREL.
    pub(super) fn stall(&self) -> Option<Stall> {
        let in_line = self.in_line.front().map(|oldest| oldest.is_acknowledged);
        let is_acknowledged = || self.at_least_once.front().map(|(_, oldest)| oldest.code.is_some());
        Some(if in_line.or_else(is_acknowledged)? { Stall::TransmitFirst } else { Stall::AcknowledgeFirst })
    }

    pub(super) fn get(&self, id: PacketId) -> Option<Received> {
        let received = |stage, serial, code| Some(Received { packet_id: id, serial, stage, code });
        for (stage, table) in [
            (Stage::AtLeastOnce, &self.at_least_once),
            (Stage::ExactlyOnce, &self.exactly_once),
            (Stage::Interrupted, &self.interrupted),
        ] {
            if let Some(message) = table.get(id) {
                return received(stage, message.serial, message.code);
            }
        }
        if let Some(Member { serial, is_acknowledged, .. }) = self.in_line.find(id) {
            return received(Stage::AtLeastOnce, serial, is_acknowledged.then_some(ReasonCode::SUCCESS));
        }
        let answered = |stage| received(stage, 0, Some(ReasonCode::SUCCESS));
        if self.awaiting_release.contains(&id) {
            return answered(Stage::AwaitingRelease);
        }
        if self.carried.contains(&id) { answered(Stage::Carried) } else { None }
    }

    pub(super) fn acknowledge(&mut self, id: PacketId, serial: u16, code: ReasonCode) -> bool {
        if code == ReasonCode::SUCCESS && self.in_line.acknowledge(id, serial, 1) {
            return true;
        }
        self.end_line();
        for table in [&mut self.at_least_once, &mut self.exactly_once, &mut self.interrupted] {
            if let Some(message) = table.get_mut(id)
                && message.serial == serial
                && message.code.is_none()
            {
                message.code = Some(code);
                return true;
            }
        }
        false
    }

    /// It is answered when that batch is durable.
    pub(super) fn answer_behind(&mut self, id: PacketId, batch: u64) {
        for table in [&mut self.exactly_once, &mut self.interrupted] {
            if let Some(message) = table.get_mut(id) {
                message.batch = batch;
            }
        }
    }

    pub(super) fn acknowledge_run(&mut self, first: PacketId, serial: u16, count: u16) {
        if self.in_line.acknowledge(first, serial, count) {
            return;
        }
        self.end_line();
        let is_first = |message: &Unanswered| message.serial == serial;
        // Where the first one is gone, those behind it are still in their order.
        let from = self.at_least_once.get(first).filter(|message| is_first(message)).map(|_| first);
        for message in self.at_least_once.iter_mut_from(from) {
            let at = message.serial.wrapping_sub(serial);
            if at < count {
                message.code.get_or_insert(ReasonCode::SUCCESS);
            } else if from.is_some() {
                return;
            }
        }
    }

    /// Takes the oldest message of QoS 1 if it is acknowledged without a word: no code is of more.
    #[inline]
    pub(super) fn pop_plain(&mut self) -> Option<PacketId> {
        if !self.in_line.is_empty() {
            return self.in_line.pop();
        }
        self.at_least_once.pop_front_if(|message| message.code == Some(ReasonCode::SUCCESS))
    }

    /// An identifier that was received in an earlier life.
    pub(super) fn restore(&mut self, id: PacketId) {
        self.carried.insert(id);
    }

    pub(super) fn pop_acknowledged(&mut self, stage: Stage, durable: u64) -> Option<(PacketId, ReasonCode)> {
        if stage == Stage::AtLeastOnce && !self.in_line.is_empty() {
            return self.in_line.pop().map(|id| (id, ReasonCode::SUCCESS));
        }
        let (id, message) = self.unanswered(stage).front().filter(|(_, message)| message.batch <= durable)?;
        let code = message.code?;
        self.unanswered(stage).remove(id);
        if stage == Stage::ExactlyOnce && !code.is_error() {
            self.awaiting_release.insert(id);
        }
        Some((id, code))
    }

    pub(super) fn revive(&mut self, id: PacketId) {
        if let Some(message) = self.interrupted.remove(id) {
            self.exactly_once.push(id, message);
        } else if self.release(id) {
            self.exactly_once.push(id, Unanswered { serial: 0, code: Some(ReasonCode::SUCCESS), batch: 0 });
        }
    }

    pub(super) fn release(&mut self, id: PacketId) -> bool {
        if self.awaiting_release.remove(&id) || self.carried.remove(&id) {
            return true;
        }
        let is_accepted = self.get(id).is_some_and(|received| received.is_accepted());
        if is_accepted {
            self.exactly_once.remove(id);
            self.interrupted.remove(id);
        }
        is_accepted
    }

    pub(super) fn remove(&mut self, id: PacketId) {
        self.end_line();
        self.at_least_once.remove(id);
        self.exactly_once.remove(id);
    }

    fn unanswered(&mut self, stage: Stage) -> &mut Fifo<Unanswered> {
        if stage == Stage::ExactlyOnce { &mut self.exactly_once } else { &mut self.at_least_once }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const WINDOW: usize = 40;

    /// The same by the dice for a table and for one in which no message is in line.
    fn in_line_or_not_is_the_same(seed: u64, in_order: u64) -> usize {
        let mut random = seed;
        let mut dice = |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let mut tables = [ReceivedTable::new(), ReceivedTable::new()];
        let (mut id, mut serial) = (PacketId::new(65_500).unwrap(), 65_500_u16);
        // What was received, and which of it is acknowledged next.
        let mut received = Vec::new();
        let (mut next, mut steps_in_line) = (0, 0);
        for _ in 0..if cfg!(miri) { 150 } else { 4000 } {
            let is_odd = dice(in_order) == 0;
            let what = dice(8);
            let any = received
                .get(usize::try_from(dice(received.len() as u64 + 1)).unwrap())
                .copied()
                .unwrap_or((id, serial));
            let count = 1 + u16::try_from(dice(5)).unwrap();
            let code = [ReasonCode::SUCCESS, ReasonCode::QUOTA_EXCEEDED][usize::from(dice(20) == 0)];
            let stage = if dice(3) == 0 { Stage::ExactlyOnce } else { Stage::AtLeastOnce };
            let (durable, is_cut) = (dice(3), dice(40) == 0);
            let told = tables.each_mut().map(|table| match (what, is_odd) {
                (0..3, false) => {
                    let received = Received { packet_id: id, serial, stage: Stage::AtLeastOnce, code: None };
                    let in_line = table.room_for_run(WINDOW) > 0 && table.push_in_line(id, serial, None);
                    (in_line || table.push(received, WINDOW)).then_some((id, ReasonCode::SUCCESS))
                }
                (0..2, true) => {
                    let packet_id = if durable == 0 { any.0 } else { id };
                    let had_room = table.push(Received { packet_id, serial, stage, code: None }, WINDOW);
                    had_room.then_some((packet_id, ReasonCode::SUCCESS))
                }
                (3 | 4, false) => {
                    let (first, serial) = received.get(next).copied().unwrap_or(any);
                    table.acknowledge_run(first, serial, count);
                    None
                }
                (2, true) => {
                    table.acknowledge_run(any.0, any.1, count);
                    None
                }
                (3, true) => table.acknowledge(any.0, any.1, code).then_some((any.0, code)),
                (5 | 6, false) => table.pop_plain().map(|id| (id, ReasonCode::SUCCESS)),
                (4, true) => table.pop_acknowledged(stage, durable),
                (5, true) => table.release(any.0).then_some((any.0, ReasonCode::SUCCESS)),
                (6, true) => {
                    table.remove(any.0);
                    None
                }
                (7, true) if is_cut => {
                    table.interrupt();
                    None
                }
                _ => None,
            });
            let [_, plain] = &mut tables;
            plain.end_line();
            assert_eq!(told[0], told[1]);
            if what < 3 && told[0].is_some() {
                received.push((told[0].map_or(id, |(id, _)| id), serial));
                serial = serial.wrapping_add(1 + u16::from(dice(50) == 49));
                id = id.after(1 + u16::from(dice(60) == 59));
            } else if what == 3 || what == 4 {
                next = (next + usize::from(count)).min(received.len());
            }
            let [first, second] = &tables;
            steps_in_line += usize::from(!first.in_line.is_empty());
            assert_eq!((first.len(), first.stall()), (second.len(), second.stall()));
            assert_eq!(first.room_for_run(WINDOW), second.room_for_run(WINDOW));
            for (id, _) in received.iter().rev().take(60) {
                assert_eq!(first.get(*id), second.get(*id));
            }
        }
        steps_in_line
    }

    #[test]
    fn messages_in_line_are_like_any_others() {
        let steps =
            |in_order| (0..if cfg!(miri) { 1 } else { 12 }).map(move |seed| in_line_or_not_is_the_same(seed, in_order));
        let (in_order, odd): (usize, usize) = (steps(100).sum(), steps(3).sum());
        assert!(in_order > 0 && (cfg!(miri) || in_order > odd), "{in_order} {odd}");
    }
}
