//! Runs of messages to the server, encoded one behind the other: checked as a whole, at a part of the cost.

use std::vec::Vec;

use super::Session;
use super::error::Full;
use super::frame::Flags;
use super::storage::{Heap, Held, Part};
use crate::time::Instant;
use crate::types::QoS;

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
    /// is room and identifiers in a row for. If these are all, the buffer itself may be taken.
    pub(crate) fn hold_run(
        &mut self,
        since: Instant,
        frames: &mut Vec<u8>,
        start: usize,
        run: Outbound,
    ) -> Result<Part, RunRefusal> {
        if !self.takes(run) || !self.is_connected() {
            return Err(RunRefusal::OneByOne);
        }
        let Self { machine, storage } = self;
        // With all identifiers in use none is looked for.
        storage.check_hold(0).map_err(RunRefusal::Full)?;
        let Some(packet_id) = machine.unused_packet_id(storage) else { return Err(RunRefusal::OneByOne) };
        let first = Held { packet_id, qos: run.qos, since, begun: false };
        let (part, full) = storage.hold_part(frames, start, run.count, first);
        match full {
            Some(full) if part.count == 0 => Err(RunRefusal::Full(full)),
            // A packet is not what it should be.
            None if part.count == 0 => Err(RunRefusal::OneByOne),
            _ => {
                machine.last_packet_id = packet_id.after(part.count - 1);
                Ok(part)
            }
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
