//! What a heap storage does beside its [`Store`](super::Store).

use std::vec::Vec;

use zeroize::Zeroize as _;

use super::wire::Segment;
use super::{FrameState, Heap, HeldFrame};
use crate::session::RunRefusal;
use crate::session::error::Full;
use crate::types::PacketId;

/// How many frames are kept to be filled again, and how many bytes; a longer one is kept alone.
const MAX_SPENT: usize = 64;
const MAX_SPENT_BYTES: usize = 1024 * 1024;

impl Heap {
    /// How many QoS 0 messages the transport has taken whole since this was last asked, in the order they were queued.
    pub fn take_sent_messages(&mut self) -> usize {
        self.wire.take_sent_messages()
    }

    /// Messages of QoS 1 and 2 without their PUBACK or PUBREC, and PUBRELs without their PUBCOMP.
    pub fn in_flight(&self) -> usize {
        self.held.len() + self.releases.len()
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
        let fits = frame.capacity() <= MAX_SPENT_BYTES / MAX_SPENT
            || spent.iter().map(Vec::capacity).sum::<usize>() + frame.capacity() <= MAX_SPENT_BYTES;
        if spent.is_empty() || (spent.len() < MAX_SPENT && fits) {
            frame.clear();
            spent.push(frame);
        }
    }

    /// Gives back the memory of a burst, where nothing is left of it.
    pub(crate) fn shrink(&mut self) {
        self.held.shrink();
        self.releases.shrink();
        self.wire.shrink();
    }

    /// Queues messages of QoS 0 that lie one behind the other.
    pub(crate) fn queue_run(&mut self, frames: Vec<u8>, count: usize) -> Result<(), (RunRefusal, Vec<u8>)> {
        if let Err(full) = self.check_wire(frames.len()) {
            return Err((RunRefusal::Full(full), frames));
        }
        if self.outbound_aliases.is_on() {
            return Err((RunRefusal::OneByOne, frames));
        }
        self.wire.push(Segment::Run(frames));
        self.wire.end_messages(count);
        Ok(())
    }

    pub(super) fn check_wire(&self, len: usize) -> Result<(), Full> {
        let waiting = self.wire.waiting();
        if waiting > 0 && waiting + len > self.limits.wire_bytes { Err(Full::Wire) } else { Ok(()) }
    }

    pub(super) fn check_hold(&self, len: usize) -> Result<(), Full> {
        if self.in_flight() >= usize::from(self.limits.window) {
            return Err(Full::Window);
        }
        if self.held_bytes > 0 && self.held_bytes + len > self.limits.held_bytes { Err(Full::Bytes) } else { Ok(()) }
    }

    /// Takes back the oldest message of QoS 1 or 2 if nothing of it was sent: messages before it are to go anew.
    pub(crate) fn take_unsent(&mut self) -> Option<(PacketId, Vec<u8>)> {
        let (id, _) = self.held.front().filter(|(_, item)| item.state == FrameState::Unsent && !item.held.begun)?;
        self.drop_held(id).map(|gone| (id, gone.frame))
    }

    pub(super) fn drop_held(&mut self, packet_id: PacketId) -> Option<HeldFrame> {
        let gone = self.held.remove(packet_id)?;
        self.held_bytes -= gone.frame.len();
        Some(gone)
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.draft.zeroize();
    }
}
