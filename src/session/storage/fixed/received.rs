//! The table of received messages, in the order of receipt.

use core::fmt;

use super::super::{Received, Stage, without};
use super::table::{Table, remove, take};
use crate::session::event::Stall;
use crate::types::{PacketId, ReasonCode};

pub(super) struct ReceivedTable<const N: usize, const WITHOUT: u32>(Table<Received, N>);

impl<const N: usize, const WITHOUT: u32> ReceivedTable<N, WITHOUT> {
    const HAS_QOS_2: bool = WITHOUT & without::QOS_2 == 0;

    pub(super) const fn new() -> Self {
        Self(Table::new())
    }

    /// That of a message; the only one there is where QoS 2 is left out.
    const fn stage(received: &Received) -> Stage {
        if Self::HAS_QOS_2 { received.stage } else { Stage::AtLeastOnce }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many came on this connection.
    pub(super) fn counted(&self) -> usize {
        if !Self::HAS_QOS_2 {
            return self.len();
        }
        self.0.iter().filter(|received| Self::stage(received).is_counted()).count()
    }

    pub(super) fn carried(&self) -> usize {
        self.0.iter().filter(|received| Self::stage(received) == Stage::Carried).count()
    }

    pub(super) fn find(&self, packet_id: PacketId) -> Option<Received> {
        let received = *self.0.iter().find(|received| received.packet_id == packet_id)?;
        Some(Received { stage: Self::stage(&received), ..received })
    }

    pub(super) fn push(&mut self, received: Received) -> bool {
        take(&mut self.0, |known| known.packet_id == received.packet_id);
        self.0.push(received).is_ok()
    }

    pub(super) fn remove(&mut self, packet_id: PacketId) {
        take(&mut self.0, |known| known.packet_id == packet_id);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The connection is gone: the server sends QoS 1 messages anew and repeats those of QoS 2.
    pub(super) fn interrupt(&mut self) {
        if !Self::HAS_QOS_2 {
            return self.clear();
        }
        while take(&mut self.0, |received| received.stage == Stage::AtLeastOnce).is_some() {}
        for received in &mut self.0 {
            received.stage = if received.stage.awaits_release() { Stage::Carried } else { Stage::Interrupted };
        }
    }

    /// Only the answer to a QoS 1 message makes room: one of QoS 2 keeps its place until PUBREL. The oldest is answered
    /// first.
    pub(super) fn stall(&self) -> Option<Stall> {
        let oldest = self.0.iter().find(|received| Self::stage(received) == Stage::AtLeastOnce)?;
        Some(if oldest.code.is_some() { Stall::TransmitFirst } else { Stall::AcknowledgeFirst })
    }

    pub(super) fn acknowledge(&mut self, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool {
        let awaits = |received: &&mut Received| {
            received.packet_id == packet_id
                && received.serial == serial
                && received.code.is_none()
                && !Self::stage(received).awaits_release()
        };
        self.0.iter_mut().find(awaits).map(|received| received.code = Some(code)).is_some()
    }

    pub(super) fn pop_acknowledged(&mut self, wanted: Stage) -> Option<(PacketId, ReasonCode)> {
        let index = self.0.iter().position(|received| Self::stage(received) == wanted)?;
        let oldest = self.0.get_mut(index)?;
        let (packet_id, code) = (oldest.packet_id, oldest.code?);
        if wanted == Stage::ExactlyOnce && !code.is_error() {
            oldest.stage = Stage::AwaitingRelease;
        } else {
            remove(&mut self.0, index);
        }
        Some((packet_id, code))
    }

    pub(super) fn revive(&mut self, packet_id: PacketId) {
        let is_asleep = |received: &Received| received.packet_id == packet_id && received.stage != Stage::ExactlyOnce;
        if let Some(mut received) = take(&mut self.0, is_asleep) {
            if received.stage.awaits_release() {
                received.code = Some(ReasonCode::SUCCESS);
            }
            received.stage = Stage::ExactlyOnce;
            // Its place has just become free.
            let _ = self.0.push(received);
        }
    }

    pub(super) fn release(&mut self, packet_id: PacketId) -> bool {
        Self::HAS_QOS_2
            && take(&mut self.0, |received| received.packet_id == packet_id && received.is_accepted()).is_some()
    }
}

impl<const N: usize, const WITHOUT: u32> fmt::Debug for ReceivedTable<N, WITHOUT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
