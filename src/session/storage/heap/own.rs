//! What a heap storage does beside its [`Store`](super::Store).

use std::vec::Vec;

use zeroize::Zeroize as _;

use super::wire::Segment;
use super::{Heap, Store as _};
use crate::session::error::Full;
use crate::types::PacketId;

/// How many frames are kept to be filled again, and how many bytes; a longer one is kept alone.
const MAX_SPENT: usize = 64;
const MAX_SPENT_BYTES: usize = MAX_SPENT * 17 * 1024;

impl Heap {
    /// How many QoS 0 messages the transport has taken whole since this was last asked, in the order they were queued.
    pub fn take_sent_messages(&mut self) -> usize {
        self.wire.take_sent_messages()
    }

    /// Messages of QoS 1 and 2 without their PUBACK or PUBREC, and PUBRELs without their PUBCOMP.
    pub fn in_flight(&self) -> usize {
        self.held.len() + self.held_lines.len() + self.releases()
    }

    /// Bytes of the messages that are held, and of runs as long as one of their messages is.
    #[cfg(test)]
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Messages of QoS 1 and 2 and PUBRELs that are only counted.
    #[cfg(test)]
    pub(crate) const fn in_line(&self) -> usize {
        self.held_lines.len() + self.release_lines.len()
    }

    /// From now on they are there one by one.
    #[cfg(test)]
    pub(crate) fn take_apart(&mut self) {
        self.take_held_apart();
        self.take_releases_apart();
    }

    /// Whether some of a message has been sent on this connection, as far as it is still held.
    pub(crate) fn has_sent(&mut self, packet_id: PacketId) -> bool {
        self.held_in_any_way(packet_id).is_none_or(|(_, has_begun)| has_begun)
    }

    /// Requests without their answer.
    pub fn unanswered_requests(&self) -> usize {
        self.requests.len()
    }

    /// A buffer that a sent frame has left, to encode the next one into.
    pub fn take_spent(&mut self) -> Option<Vec<u8>> {
        self.spent.pop()
    }

    pub(super) fn keep_spent(spent: &mut Vec<Vec<u8>>, mut frame: Vec<u8>) {
        // Short frames are nearly all that come, and as many as are kept of them are within the bound in bytes.
        if frame.capacity() == 0 {
            return;
        }
        let fits = frame.capacity() <= MAX_SPENT_BYTES / MAX_SPENT
            || spent.iter().map(Vec::capacity).sum::<usize>() + frame.capacity() <= MAX_SPENT_BYTES;
        if spent.is_empty() || (spent.len() < MAX_SPENT && fits) {
            frame.clear();
            spent.push(frame);
        }
    }

    /// Gives back the memory of a burst, where nothing is left of it.
    pub(crate) fn shrink(&mut self) {
        self.shrink_held();
        self.releases.shrink();
        self.release_lines.shrink();
        self.wire.shrink();
    }

    /// Queues messages of QoS 0 that lie one behind the other.
    pub(crate) fn queue_run(&mut self, frames: Vec<u8>, count: usize) -> Result<(), (Full, Vec<u8>)> {
        if let Err(full) = self.check_wire(frames.len()) {
            return Err((full, frames));
        }
        self.wire.push(Segment::Run(frames));
        self.wire.end_messages(count);
        Ok(())
    }

    /// Whether messages to the server go by topic aliases.
    pub(crate) const fn sends_aliases(&self) -> bool {
        self.outbound_aliases.is_on()
    }

    pub(super) fn check_wire(&self, len: usize) -> Result<(), Full> {
        let waiting = self.wire.waiting();
        if waiting > 0 && waiting + len > self.limits.wire_bytes { Err(Full::Wire) } else { Ok(()) }
    }

    /// Keeps the buffer of a run that was held in parts.
    pub(crate) fn keep_buffer(&mut self, buffer: Vec<u8>) {
        Self::keep_spent(&mut self.spent, buffer);
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.draft.zeroize();
    }
}
