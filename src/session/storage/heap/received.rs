use std::collections::HashSet;

use super::super::{Received, Stage};
use super::fifo::{BuildIdHasher, Fifo};
use crate::session::event::Stall;
use crate::types::{PacketId, ReasonCode};

/// Received messages that are not complete, each kind in the order of receipt.
#[derive(Debug)]
pub(super) struct ReceivedTable {
    at_least_once: Fifo<Unanswered>,
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
            exactly_once: Fifo::new(),
            interrupted: Fifo::new(),
            awaiting_release: HashSet::default(),
            carried: HashSet::default(),
        }
    }

    /// The connection is gone.
    pub(super) fn interrupt(&mut self) {
        self.at_least_once.clear();
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
        self.at_least_once.len() + self.exactly_once.len() + self.awaiting_release.len()
    }

    pub(super) fn push(&mut self, received: Received, window: usize) -> bool {
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
        if others > 0 { 0 } else { window.saturating_sub(self.at_least_once.len()) }
    }

    /// Notes a message of QoS 1, where there is room for it, if its identifier follows the last one's; whether it is
    /// noted.
    pub(super) fn push_in_line(&mut self, id: PacketId, serial: u16, code: Option<ReasonCode>) -> bool {
        self.at_least_once.push_in_line(id, Unanswered { serial, code, batch: 0 })
    }

    /// Only the answer to a QoS 1 message makes room: one of QoS 2 keeps its place until PUBREL.
    pub(super) fn stall(&self) -> Option<Stall> {
        let (_, oldest) = self.at_least_once.front()?;
        Some(if oldest.code.is_some() { Stall::TransmitFirst } else { Stall::AcknowledgeFirst })
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
        let answered = |stage| received(stage, 0, Some(ReasonCode::SUCCESS));
        if self.awaiting_release.contains(&id) {
            return answered(Stage::AwaitingRelease);
        }
        if self.carried.contains(&id) { answered(Stage::Carried) } else { None }
    }

    pub(super) fn acknowledge(&mut self, id: PacketId, serial: u16, code: ReasonCode) -> bool {
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
        self.at_least_once.pop_front_if(|message| message.code == Some(ReasonCode::SUCCESS))
    }

    /// An identifier that was received in an earlier life.
    pub(super) fn restore(&mut self, id: PacketId) {
        self.carried.insert(id);
    }

    pub(super) fn pop_acknowledged(&mut self, stage: Stage, durable: u64) -> Option<(PacketId, ReasonCode)> {
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
        self.at_least_once.remove(id);
        self.exactly_once.remove(id);
    }

    fn unanswered(&mut self, stage: Stage) -> &mut Fifo<Unanswered> {
        if stage == Stage::ExactlyOnce { &mut self.exactly_once } else { &mut self.at_least_once }
    }
}
