//! The table of received messages, in the order of receipt.

use heapless::vec::VecView;

use super::super::{Received, Stage};
use crate::session::event::Stall;
use crate::types::{PacketId, QoS, ReasonCode};

/// The connection is gone: the server sends QoS 1 messages anew and repeats those of QoS 2.
pub(super) fn interrupt(table: &mut VecView<Received>) {
    table.retain(|received| !matches!(received.stage, Stage::Unanswered(QoS::AtLeastOnce, _)));
    for received in table.iter_mut() {
        received.stage = match received.stage {
            Stage::Unanswered(_, code) | Stage::Interrupted(code) => Stage::Interrupted(code),
            Stage::AwaitingRelease { .. } => Stage::AwaitingRelease { counted: false },
        };
    }
}

/// Only the answer to a QoS 1 message makes room: one of QoS 2 keeps its place until PUBREL. The oldest is answered first.
pub(super) fn stall(table: &VecView<Received>) -> Option<Stall> {
    table.iter().find_map(|received| match received.stage {
        Stage::Unanswered(QoS::AtLeastOnce, Some(_)) => Some(Stall::TransmitFirst),
        Stage::Unanswered(QoS::AtLeastOnce, None) => Some(Stall::AcknowledgeFirst),
        _ => None,
    })
}

pub(super) fn acknowledge(table: &mut VecView<Received>, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool {
    let known = table.iter_mut().find(|received| received.packet_id == packet_id && received.serial == serial);
    match known.map(|received| &mut received.stage) {
        Some(Stage::Unanswered(_, answer @ None) | Stage::Interrupted(answer @ None)) => {
            *answer = Some(code);
            true
        }
        _ => false,
    }
}

pub(super) fn pop_acknowledged(table: &mut VecView<Received>, wanted: QoS) -> Option<(PacketId, ReasonCode)> {
    let oldest =
        table.iter_mut().find(|received| matches!(received.stage, Stage::Unanswered(qos, _) if qos == wanted))?;
    let Stage::Unanswered(qos, Some(code)) = oldest.stage else { return None };
    let packet_id = oldest.packet_id;
    if qos == QoS::ExactlyOnce && !code.is_error() {
        oldest.stage = Stage::AwaitingRelease { counted: true };
    } else {
        table.retain(|received| received.packet_id != packet_id);
    }
    Some((packet_id, code))
}

pub(super) fn revive(table: &mut VecView<Received>, packet_id: PacketId) {
    let Some(mut received) = table.iter().find(|received| received.packet_id == packet_id).copied() else { return };
    received.stage = match received.stage {
        Stage::Interrupted(code) => Stage::Unanswered(QoS::ExactlyOnce, code),
        Stage::AwaitingRelease { .. } => Stage::Unanswered(QoS::ExactlyOnce, Some(ReasonCode::SUCCESS)),
        Stage::Unanswered(..) => return,
    };
    table.retain(|known| known.packet_id != packet_id);
    // The place has just become free.
    let _ = table.push(received);
}

pub(super) fn release(table: &mut VecView<Received>, packet_id: PacketId) -> bool {
    let before = table.len();
    table.retain(|received| received.packet_id != packet_id || !received.stage.is_accepted());
    table.len() != before
}
