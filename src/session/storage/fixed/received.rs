//! The table of received messages, in the order of receipt.

use super::super::{Received, Stage};
use super::table::{Table, remove, take};
use crate::session::event::Stall;
use crate::types::{PacketId, ReasonCode};

/// The connection is gone: the server sends QoS 1 messages anew and repeats those of QoS 2.
pub(super) fn interrupt<const N: usize>(table: &mut Table<Received, N>) {
    while take(table, |received| received.stage == Stage::AtLeastOnce).is_some() {}
    for received in table.iter_mut() {
        received.stage = if received.stage.awaits_release() { Stage::Carried } else { Stage::Interrupted };
    }
}

/// Only the answer to a QoS 1 message makes room: one of QoS 2 keeps its place until PUBREL. The oldest is answered
/// first.
pub(super) fn stall<const N: usize>(table: &Table<Received, N>) -> Option<Stall> {
    let oldest = table.iter().find(|received| received.stage == Stage::AtLeastOnce)?;
    Some(if oldest.code.is_some() { Stall::TransmitFirst } else { Stall::AcknowledgeFirst })
}

pub(super) fn acknowledge<const N: usize>(
    table: &mut Table<Received, N>,
    packet_id: PacketId,
    serial: u16,
    code: ReasonCode,
) -> bool {
    let awaits = |received: &&mut Received| {
        received.packet_id == packet_id
            && received.serial == serial
            && received.code.is_none()
            && !received.stage.awaits_release()
    };
    table.iter_mut().find(awaits).map(|received| received.code = Some(code)).is_some()
}

pub(super) fn pop_acknowledged<const N: usize>(
    table: &mut Table<Received, N>,
    wanted: Stage,
) -> Option<(PacketId, ReasonCode)> {
    let index = table.iter().position(|received| received.stage == wanted)?;
    let oldest = table.get_mut(index)?;
    let (packet_id, code) = (oldest.packet_id, oldest.code?);
    if wanted == Stage::ExactlyOnce && !code.is_error() {
        oldest.stage = Stage::AwaitingRelease;
    } else {
        remove(table, index);
    }
    Some((packet_id, code))
}

pub(super) fn revive<const N: usize>(table: &mut Table<Received, N>, packet_id: PacketId) {
    let is_asleep = |received: &Received| received.packet_id == packet_id && received.stage != Stage::ExactlyOnce;
    if let Some(mut received) = take(table, is_asleep) {
        if received.stage.awaits_release() {
            received.code = Some(ReasonCode::SUCCESS);
        }
        received.stage = Stage::ExactlyOnce;
        // Its place has just become free.
        let _ = table.push(received);
    }
}
