//! Runs of messages to the server, encoded one behind the other: checked as a whole, at a part of the cost.

use std::vec::Vec;

use super::Session;
use super::error::Full;
use super::frame::Flags;
use super::storage::{Heap, Held, Part};
use crate::time::Instant;
use crate::types::{PacketId, QoS};

/// What is known of a run of messages that [`Publish::encode`](crate::packet::Publish::encode) has written in the
/// session's version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound {
    pub(crate) qos: QoS,
    pub(crate) count: usize,
    /// Bytes of the longest packet.
    pub(crate) longest: usize,
    /// One of them is to be retained.
    pub(crate) retain: bool,
}

/// Why a run of messages was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunRefusal {
    Full(Full),
    /// Each message has to be looked at for itself: some may break the server's limits, or may go by a topic alias.
    OneByOne,
}

impl Session<Heap> {
    /// Publishes messages of QoS 0.
    pub(crate) fn publish_run(&mut self, frames: Vec<u8>, run: Outbound) -> Result<(), (RunRefusal, Vec<u8>)> {
        if !self.takes(run) {
            return Err((RunRefusal::OneByOne, frames));
        }
        self.storage.queue_run(frames, run.count).map_err(|(full, frames)| (RunRefusal::Full(full), frames))
    }

    /// Publishes messages of QoS 1 or 2 without an expiry that lie from `start` on, as many of the first ones as there
    /// is room for. Their identifiers go to `take` in their order. If these are all, the buffer itself may be taken.
    pub(crate) fn hold_run(
        &mut self,
        since: Instant,
        frames: &mut Vec<u8>,
        start: usize,
        run: Outbound,
        mut take: impl FnMut(PacketId),
    ) -> Result<Part, RunRefusal> {
        if !self.takes(run) || !self.is_connected() {
            return Err(RunRefusal::OneByOne);
        }
        let Self { machine, storage } = self;
        let held = |packet_id| Held { packet_id, qos: run.qos, since, begun: false };
        let (part, full) = storage.hold_part(frames, start, run.count, held, |storage| {
            let next = machine.last_packet_id.next();
            let is_free = storage.is_next_in_line(next);
            let packet_id = if is_free { next } else { machine.unused_packet_id(storage)? };
            machine.last_packet_id = packet_id;
            take(packet_id);
            Some(packet_id)
        });
        match full {
            Some(full) if part.count == 0 => Err(RunRefusal::Full(full)),
            // All identifiers are in use, or a packet is not what it should be.
            None if part.count == 0 => Err(RunRefusal::OneByOne),
            _ => Ok(part),
        }
    }

    /// Whether all of them are within the limits of the server, and go out as they are.
    fn takes(&self, run: Outbound) -> bool {
        let flags = Flags { qos: run.qos, retain: run.retain };
        self.machine.check_publish::<Heap>(flags, run.longest).is_ok() && !self.storage.sends_aliases()
    }
}

#[cfg(test)]
mod tests;
