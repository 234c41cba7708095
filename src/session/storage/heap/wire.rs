use std::collections::VecDeque;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::KEPT_PLACES;
use super::aliases::Outbound;
use crate::codec::FixedHeader;
use crate::macros::{Bytes, shows};
use crate::types::{PacketId, ProtocolVersion};

/// From this size a frame is written where it lies; a shorter one is copied behind the bytes that go before it.
pub(super) const WRITE_IN_PLACE: usize = 16 * 1024;

/// So many bytes that have gone may lie before those that wait.
const KEPT_BEHIND: usize = 64 * 1024;

/// What goes to the transport, in order: bytes gathered from many packets, and long frames where they lie.
#[derive(Default)]
pub(super) struct Wire {
    gathered: Vec<u8>,
    /// How many of the gathered bytes have gone.
    gone: usize,
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that have gone.
    sent: usize,
    waiting: usize,
    /// Bytes that have gone since the connection began.
    pub(super) consumed: u64,
    /// Where in the stream QoS 0 PUBLISH packets end that have not gone whole, and how many end there together.
    message_ends: VecDeque<(u64, usize)>,
    /// QoS 0 PUBLISH packets that have gone whole since somebody asked.
    sent_messages: usize,
}

shows! {
    Debug: impl[] Wire for Wire, |this| {
        gathered: Bytes(this.gathered.len()),
        gone: this.gone,
        segments: this.segments,
        sent: this.sent,
        waiting: this.waiting,
        consumed: this.consumed,
        message_ends: this.message_ends,
        sent_messages: this.sent_messages,
    }
}

pub(super) enum Segment {
    /// That many of the gathered bytes.
    Gathered(usize),
    /// A long frame of QoS 0, from an offset on.
    Frame(Vec<u8>, usize),
    /// Messages of QoS 0 one behind the other.
    Run(Vec<u8>),
    /// What is held, from one place to another.
    Held(Lying, usize, usize),
    /// A packet that is wiped once it has gone or is dropped.
    Secret(Zeroizing<Vec<u8>>),
}

/// Where bytes lie that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lying {
    /// In the frame of a message.
    Frame(PacketId),
    /// In a run.
    Run(u32),
}

/// What has gone whole.
pub(super) enum Gone {
    /// A segment of what is held.
    Held(Lying),
    /// A frame or a run that nobody needs.
    Spent(Vec<u8>),
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Self::Gathered(len) => *len,
            Self::Frame(frame, offset) => frame.len() - offset,
            Self::Run(frames) => frames.len(),
            Self::Held(_, from, to) => to - from,
            Self::Secret(packet) => packet.len(),
        }
    }
}

impl core::fmt::Debug for Segment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Gathered(len) => f.debug_tuple("Gathered").field(len).finish(),
            Self::Frame(frame, at) => f.debug_tuple("Frame").field(&Bytes(frame.len())).field(at).finish(),
            Self::Run(frames) => f.debug_tuple("Run").field(&Bytes(frames.len())).finish(),
            Self::Secret(packet) => f.debug_tuple("Secret").field(&Bytes(packet.len())).finish(),
            Self::Held(lying, from, to) => f.debug_tuple("Held").field(lying).field(from).field(to).finish(),
        }
    }
}

impl Wire {
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Where the next byte will stand in the stream of the connection.
    pub(super) const fn position(&self) -> u64 {
        self.consumed + self.waiting as u64
    }

    /// Appends bytes that `write` puts behind those in the buffer.
    pub(super) fn gather<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let before = self.gathered.len();
        if let Err(error) = write(&mut self.gathered) {
            self.gathered.truncate(before);
            return Err(error);
        }
        let len = self.gathered.len() - before;
        self.waiting += len;
        match self.segments.back_mut() {
            Some(Segment::Gathered(sum)) => *sum += len,
            _ => self.segments.push_back(Segment::Gathered(len)),
        }
        Ok(())
    }

    pub(super) fn gather_bytes(&mut self, bytes: &[u8]) {
        let _: Result<(), ()> = self.gather(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok(())
        });
    }

    pub(super) fn push(&mut self, segment: Segment) {
        self.waiting += segment.len();
        self.segments.push_back(segment);
    }

    /// Whether a part of this held frame has still to go.
    pub(super) fn holds(&self, packet_id: PacketId) -> bool {
        self.segments.iter().any(|segment| matches!(segment, Segment::Held(Lying::Frame(id), ..) if *id == packet_id))
    }

    /// Notes that so many QoS 0 PUBLISH packets end with the last byte so far.
    pub(super) fn end_messages(&mut self, count: usize) {
        self.message_ends.push_back((self.position(), count));
    }

    /// How many QoS 0 PUBLISH packets have gone whole since this was asked.
    pub(super) fn take_sent_messages(&mut self) -> usize {
        core::mem::take(&mut self.sent_messages)
    }

    /// The bytes that are next, a slice for each segment.
    pub(super) fn slices<'w>(&'w self, bytes_of: impl Fn(Lying) -> &'w [u8]) -> impl Iterator<Item = &'w [u8]> {
        let mut gathered = self.gone;
        let mut sent = self.sent;
        self.segments.iter().map(move |segment| {
            let skip = core::mem::take(&mut sent);
            match segment {
                Segment::Gathered(len) => {
                    let rest = len - skip;
                    let bytes = self.gathered.get(gathered..gathered + rest).unwrap_or(&[]);
                    gathered += rest;
                    bytes
                }
                Segment::Frame(frame, offset) => frame.get(offset + skip..).unwrap_or(&[]),
                Segment::Run(frames) => frames.get(skip..).unwrap_or(&[]),
                Segment::Secret(packet) => packet.get(skip..).unwrap_or(&[]),
                Segment::Held(lying, from, to) => bytes_of(*lying).get(from + skip..*to).unwrap_or(&[]),
            }
        })
    }

    /// The transport has taken bytes. `gone` hears of what lies elsewhere and has gone whole.
    pub(super) fn consume(&mut self, len: usize, mut gone: impl FnMut(Gone)) {
        let mut rest = len.min(self.waiting);
        self.waiting -= rest;
        self.consumed += rest as u64;
        while rest > 0 {
            let Some(segment) = self.segments.front() else { break };
            let whole = segment.len();
            let step = rest.min(whole - self.sent);
            if matches!(segment, Segment::Gathered(_)) {
                self.gone += step;
            }
            self.sent += step;
            rest -= step;
            if self.sent == whole {
                self.sent = 0;
                match self.segments.pop_front() {
                    Some(Segment::Held(lying, ..)) => gone(Gone::Held(lying)),
                    Some(Segment::Frame(frame, _) | Segment::Run(frame)) => gone(Gone::Spent(frame)),
                    _ => {}
                }
            }
        }
        while let Some(&(end, count)) = self.message_ends.front()
            && end <= self.consumed
        {
            self.message_ends.pop_front();
            self.sent_messages += count;
        }
        // A wire that never runs empty must not keep what has gone.
        if self.gone == self.gathered.len() || self.gone > KEPT_BEHIND.max(self.gathered.len() / 2) {
            self.gathered.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        if self.message_ends.is_empty() && self.message_ends.capacity() > KEPT_PLACES {
            self.message_ends = VecDeque::new();
        }
        if self.gathered.is_empty() && self.gathered.capacity() > KEPT_BEHIND {
            self.gathered = Vec::new();
        }
    }

    /// Drops everything; the stream of the next connection begins.
    pub(super) fn clear(&mut self) {
        if let Some(Segment::Run(frames)) = self.segments.front() {
            self.sent_messages += whole_packets(frames.get(..self.sent).unwrap_or(&[]));
        }
        self.gathered.clear();
        *self = Self {
            gathered: core::mem::take(&mut self.gathered),
            sent_messages: self.sent_messages,
            ..Self::default()
        };
    }
}

/// How many whole packets are in front.
fn whole_packets(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    // Both versions encode a length alike.
    while let Ok(Some(header)) = FixedHeader::decode(bytes, ProtocolVersion::V5)
        && let Some(rest) = bytes.get(header.packet_len()..)
    {
        bytes = rest;
        count += 1;
    }
    count
}

/// Puts a frame on the wire: its head with a topic alias where those are in use, and the rest where it lies if it is
/// long. Says whether the frame itself is still needed, and from where on.
pub(super) fn put_on_wire(wire: &mut Wire, aliases: &mut Outbound, frame: &[u8], room: u32) -> Option<usize> {
    let mut offset = 0;
    if aliases.is_on() {
        let _: Result<(), ()> = wire.gather(|buffer| {
            let before = buffer.len();
            match aliases.write_head(frame, room, buffer) {
                Some(behind_head) => offset = behind_head,
                None => buffer.truncate(before),
            }
            Ok(())
        });
    }
    let rest = frame.get(offset..).unwrap_or(&[]);
    if rest.len() >= WRITE_IN_PLACE {
        return Some(offset);
    }
    wire.gather_bytes(rest);
    None
}

#[cfg(test)]
mod tests {
    use super::{Segment, Wire};

    /// A run of three packets of 4, 3 and 5 bytes.
    fn run() -> Wire {
        let mut wire = Wire::default();
        wire.push(Segment::Run(b"\x30\x02ab\x30\x01c\x30\x03def".to_vec()));
        wire.end_messages(3);
        wire
    }

    #[test]
    fn a_run_is_sent_when_its_last_byte_is() {
        let mut wire = run();
        for (len, sent) in [(11, 0), (1, 3)] {
            wire.consume(len, |_| {});
            assert_eq!(wire.take_sent_messages(), sent);
        }
    }

    #[test]
    fn of_a_run_that_was_cut_the_packets_that_have_gone_whole_are_sent() {
        for (len, sent) in [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3].into_iter().enumerate() {
            let mut wire = run();
            wire.consume(len, |_| {});
            wire.clear();
            assert_eq!(wire.take_sent_messages(), sent, "after {len} bytes");
        }
    }
}
