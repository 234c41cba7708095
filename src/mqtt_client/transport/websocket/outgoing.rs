use std::hash::{BuildHasher, RandomState};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::mqtt_client::outbox::Outbox;

/// The longest payload of a frame: one write of the system takes about as much.
const LONGEST_PAYLOAD: usize = 64 * 1024;
/// The longest header of a frame that is masked.
const LONGEST_HEADER: usize = 14;
/// Memory that is kept while there is nothing to send.
const KEPT: usize = 16 * 1024;

/// The client's frames, whole and masked, until they have left.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: Outbox,
    /// How much of them has left.
    sent: usize,
    masks: Masks,
    closed: bool,
}

/// Masking keys that a peer cannot foresee (RFC 6455 section 5.3): a keyed hash of a number, the key from the system.
#[derive(Debug, Default)]
struct Masks {
    key: RandomState,
    number: u64,
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        self.number = self.number.wrapping_add(1);
        let [a, b, c, d, ..] = self.key.hash_one(self.number).to_ne_bytes();
        [a, b, c, d]
    }
}

impl Outgoing {
    /// One binary frame of what these slices hold, up to a measure; how many bytes that is.
    pub(super) fn push_data(&mut self, slices: &[&[u8]]) -> usize {
        let whole = slices.iter().fold(0, |len: usize, slice| len.saturating_add(slice.len()));
        let len = whole.min(LONGEST_PAYLOAD);
        if len > 0 && !self.closed {
            self.push(OpCode::Data(Data::Binary), slices, len);
        }
        len
    }

    pub(super) fn push_pong(&mut self, payload: &[u8]) {
        if !self.closed {
            self.push(OpCode::Control(Control::Pong), &[payload], payload.len());
        }
    }

    /// The last frame, once.
    pub(super) fn push_close(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.closed, true) {
            self.push(OpCode::Control(Control::Close), &[&u16::from(code).to_be_bytes()], 2);
        }
    }

    fn push(&mut self, opcode: OpCode, slices: &[&[u8]], len: usize) {
        let mask = self.masks.next();
        let header = FrameHeader { opcode, mask: Some(mask), ..Default::default() };
        let length = u64::try_from(len).unwrap_or(u64::MAX);
        self.frames.make_room(LONGEST_HEADER + len);
        let mut head = Vec::with_capacity(LONGEST_HEADER);
        // A vector takes whatever is written to it.
        let _ = header.format(length, &mut head);
        self.frames.push(&head);
        let start = self.frames.len();
        let mut left = len;
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            self.frames.push(part);
            left -= part.len();
        }
        apply_mask(self.frames.as_mut_slice().get_mut(start..).unwrap_or_default(), mask);
    }

    /// What has not left yet.
    pub(super) fn rest(&self) -> &[u8] {
        self.frames.as_slice().get(self.sent..).unwrap_or_default()
    }

    /// So much more of it has left.
    pub(super) fn consume(&mut self, len: usize) {
        self.sent += len;
        if self.sent >= self.frames.len() {
            self.sent = 0;
            self.frames.clear(KEPT);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// Masks in place, eight bytes at a time.
fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}
