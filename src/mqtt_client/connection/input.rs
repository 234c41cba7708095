use std::time::Instant;

use super::early::Early;
use crate::codec::FixedHeader;
use crate::mqtt_client::batch::{BUFFER, Batch, Spares};
use crate::types::ProtocolVersion;

/// What is read into until more than that has come at once.
const FIRST: usize = BUFFER / 4;
/// A buffer longer than this is not kept for the input of others.
const KEPT: usize = 2 * 1024 * 1024;
/// Up to this size the bytes of a batch are copied out of the input; above, the input itself travels.
const COPY: usize = 16 * 1024;
/// As above, as a part of the buffer: a long buffer must not travel for a few bytes in it.
const COPY_PART: usize = 8;

/// What has been read and not been understood yet.
#[derive(Debug)]
pub(super) struct Input {
    /// Memory that can be read into in its whole length; none between the turns where little is left.
    pub(super) buffer: Vec<u8>,
    /// How long a buffer is read into, as long as packets are shorter.
    size: usize,
    /// Where the next packet begins.
    pub(super) start: usize,
    /// Where the bytes end.
    pub(super) end: usize,
    /// What is left between the turns, if it is little.
    rest: Vec<u8>,
    /// Where the first message of the batch in the making begins.
    pub(super) batch_start: usize,
    pub(super) batch: Batch,
    /// Messages that are to be acknowledged, since there was time for that.
    pub(super) unanswered: usize,
    /// Those of them that the last read has brought, and whether they are acknowledged part by part.
    pub(super) answerable: usize,
    pub(super) early: Early,
    /// What the last batch costs.
    pub(super) last_cost: usize,
    /// Until when reading waits for callbacks to catch up.
    pub(super) held_until: Option<Instant>,
    /// Callbacks have been sent messages that they will answer soon.
    pub(super) awaits: bool,
    /// Whole packets lie there that could not be taken.
    pub(super) stalled: bool,
    /// Reading is paused until callbacks have caught up.
    pub(super) paused: bool,
}

impl Default for Input {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            size: FIRST,
            start: 0,
            end: 0,
            rest: Vec::new(),
            batch_start: 0,
            batch: Batch::default(),
            unanswered: 0,
            answerable: 0,
            early: Early::default(),
            last_cost: 0,
            held_until: None,
            awaits: false,
            stalled: false,
            paused: false,
        }
    }
}

impl Input {
    pub(super) fn clear(&mut self) {
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::default() };
    }

    /// Whether reading is paused or cannot go on.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused || self.stalled
    }

    /// What was read and not handled.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or(&[])
    }

    /// Whether all that was read has been handled.
    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// So many bytes have been read into the room.
    pub(super) const fn has_read(&mut self, len: usize) {
        self.end += len;
        if self.end == self.buffer.len() {
            self.size = BUFFER;
        }
    }

    /// A batch begins where the next packet does.
    pub(super) const fn begin_batch(&mut self) {
        self.batch_start = self.start;
    }

    /// Reads into the buffer that the worker keeps for all, where what is left of before has room.
    pub(super) fn borrow(&mut self, buffer: &mut Vec<u8>, spares: &Spares) {
        if !self.buffer.is_empty() {
            return;
        }
        let kept = std::mem::take(buffer);
        if kept.len() >= self.size {
            self.fill(kept);
        } else {
            self.fill_from(spares, self.size);
        }
    }

    /// Gives the buffer back. The beginning of a packet stays, in memory that fits.
    pub(super) fn give_back(&mut self, buffer: &mut Vec<u8>, spares: &Spares) {
        if self.end - self.start >= FIRST {
            return;
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(self.bytes());
        self.rest = rest;
        (self.start, self.batch_start, self.end) = (0, 0, self.rest.len());
        let large = std::mem::take(&mut self.buffer);
        if buffer.is_empty() && large.len() <= KEPT {
            *buffer = large;
        } else {
            spares.keep_buffer(large);
        }
    }

    /// Room to read into. A long packet gets its room as it comes: its length is only a claim of the server.
    pub(super) fn room(&mut self, spares: &Spares, version: ProtocolVersion) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let rest = self.end - self.start;
        let header = FixedHeader::decode(self.bytes(), version).ok().flatten();
        let packet = header.map_or(0, |header| header.packet_len());
        // The end of a long packet is read alone, so that nothing behind it has to move.
        let wanted = if packet < BUFFER { self.size / 2 } else { (BUFFER / 2).min(packet.saturating_sub(rest)) };
        if self.buffer.len().saturating_sub(self.end) < wanted {
            if rest + wanted <= self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, rest);
            } else {
                let len = self.buffer.len().max(BUFFER);
                let len = if packet <= 4 * len { packet } else { 2 * len };
                let old = self.fill_from(spares, len.max(rest + wanted));
                spares.keep_buffer(old);
            }
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes the batch that has been made, if it has messages: the bytes with it, and `next` in its place.
    pub(super) fn take_batch(&mut self, spares: &Spares) -> Option<Batch> {
        if self.batch.places.is_empty() {
            self.begin_batch();
            return None;
        }
        let mut batch = std::mem::replace(&mut self.batch, spares.take_batch());
        let used = self.start - self.batch_start;
        if used <= COPY.max(self.buffer.len() / COPY_PART) {
            batch.bytes.extend_from_slice(self.buffer.get(self.batch_start..self.start).unwrap_or(&[]));
        } else {
            batch.origin = self.batch_start;
            // Where one needed this much, so will the next.
            let len = if used > self.buffer.len() / 2 { self.buffer.len().min(KEPT) } else { BUFFER };
            batch.bytes = self.fill_from(spares, len.max(self.end - self.start + BUFFER / 2));
        }
        self.begin_batch();
        Some(batch)
    }

    /// Moves what is left to another buffer of at least this length; the old one.
    fn fill_from(&mut self, spares: &Spares, len: usize) -> Vec<u8> {
        self.fill(spares.take_buffer(len))
    }

    /// Moves what is left to the front of another buffer, which is long enough; the old one.
    fn fill(&mut self, mut buffer: Vec<u8>) -> Vec<u8> {
        let rest = if self.buffer.is_empty() { &self.rest[..] } else { self.bytes() };
        if let Some(place) = buffer.get_mut(..rest.len()) {
            place.copy_from_slice(rest);
        }
        (self.start, self.batch_start, self.end) = (0, 0, rest.len());
        self.rest.clear();
        std::mem::replace(&mut self.buffer, buffer)
    }
}
