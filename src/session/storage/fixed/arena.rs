//! One run of bytes that holds packets, each behind a header of its own.
//!
//! Records stand in the order they were made. Those that are queued go away once sent, those that are held once they
//! are acknowledged; of a request the header stays until its answer. The bytes behind move up. Nothing is ever split.

use core::num::NonZeroU16;

use super::super::{Held, Queued, Request, RequestKind};
use crate::codec::{Writer, copy, shift_down};
use crate::session::error::Full;
use crate::time::Instant;
use crate::types::{PacketId, QoS};

/// Length and Packet Identifier, two bytes each, where a queued packet has no identifier; flags; four bytes: of a message
/// the time since when it expires, of a request how many filters it has.
type Header = [u8; HEADER];

const HEADER: usize = 9;
const SMALL: usize = 5;

/// The QoS of a held PUBLISH; 0 for a packet that is queued.
const QOS: u8 = 0x03;
/// It is on the wire or was sent on this connection.
const LOADED: u8 = 0x04;
/// Bytes of it have gone to a transport.
const BEGUN: u8 = 0x08;
/// The DISCONNECT.
const FAREWELL: u8 = 0x10;
/// A SUBSCRIBE or UNSUBSCRIBE whose answer has not come.
const SUBSCRIBE: u8 = 0x20;
const UNSUBSCRIBE: u8 = 0x40;

/// Where a record begins, plus one: an empty arena is all zeros, and costs a `static` no flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At(NonZeroU16);

impl At {
    const START: Self = Self(NonZeroU16::MIN);

    fn index(self) -> usize {
        usize::from(self.0.get()) - 1
    }

    const fn plus(self, len: usize) -> Self {
        Self(self.0.saturating_add(low_half(len)))
    }

    const fn minus(self, len: usize) -> Self {
        match NonZeroU16::new(self.0.get().saturating_sub(low_half(len))) {
            Some(at) => Self(at),
            None => Self::START,
        }
    }
}

/// What is filled, and what of it is being sent.
#[derive(Debug)]
pub(super) struct Position {
    used: u16,
    reserved: u16,
    /// The record on the wire.
    sending: Option<At>,
    /// How many bytes of what is on the wire have gone.
    sent: u16,
    /// A short packet on the wire.
    small: [u8; SMALL],
    small_len: u8,
}

impl Position {
    pub(super) const fn new() -> Self {
        Self { used: 0, reserved: 0, sending: None, sent: 0, small: [0; SMALL], small_len: 0 }
    }
}

/// The bytes together with their position.
// In this order: what lies at small offsets is reached by short instructions.
#[repr(C)]
pub(super) struct Arena<const N: usize> {
    pub(super) position: Position,
    bytes: [u8; N],
}

impl<const N: usize> Arena<N> {
    pub(super) const fn new() -> Self {
        Self { position: Position::new(), bytes: [0; N] }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.position.small_len == 0 && self.position.sending.is_none()
    }

    pub(super) fn transmit(&self) -> &[u8] {
        let position = &self.position;
        let packet = match position.sending {
            Some(at) => self.bytes.get(at.index()..position.used.into()).and_then(packet),
            None => position.small.get(..position.small_len.into()),
        };
        packet.and_then(|packet| packet.get(position.sent.into()..)).unwrap_or(&[])
    }

    pub(super) fn load_small(&mut self, packet: &[u8]) {
        copy(&mut self.position.small, packet);
        self.position.small_len = u8::try_from(packet.len().min(SMALL)).unwrap_or(0);
        self.position.sent = 0;
    }

    /// Positions are 16 bits wide.
    fn capacity(&self) -> usize {
        self.bytes.len().min(u16::MAX.into())
    }

    /// Where the next packet is encoded.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn writer(&mut self) -> Writer<'_> {
        let end = self.capacity();
        Writer::new(self.bytes.get_mut(usize::from(self.position.used) + HEADER..end).unwrap_or_default())
    }

    /// Keeps a packet that was written to be sent in its turn. That of a CONNECT keeps its room for the next
    /// connection.
    pub(super) fn queue(&mut self, kind: Queued, len: usize) -> Result<(), Full> {
        let flags = if kind == Queued::Farewell { FAREWELL } else { 0 };
        self.push(len, 0, flags, 0)?;
        if kind == Queued::Connect {
            self.position.reserved = self.position.reserved.max(low_half(len + HEADER));
        }
        Ok(())
    }

    /// As [`Arena::queue`], but the header stays until [`Arena::take_request`].
    pub(super) fn queue_request(&mut self, request: Request, len: usize) -> Result<(), Full> {
        self.push(len, request.packet_id.value(), request.kind.flag(), request.filters.into())
    }

    /// Keeps a PUBLISH that was written until the server has it, unless that takes the room of a CONNECT.
    pub(super) fn hold(&mut self, held: &Held, len: usize) -> Result<(), Full> {
        let end = usize::from(self.position.used) + HEADER + len + usize::from(self.position.reserved);
        if end > self.capacity() {
            return Err(Full::Bytes);
        }
        self.push(len, held.packet_id.value(), held.qos.bits(), held.since.as_millis())
    }

    fn push(&mut self, len: usize, id: u16, flags: u8, note: u32) -> Result<(), Full> {
        let at = usize::from(self.position.used);
        let header = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<HEADER>).ok_or(Full::Bytes)?;
        let ([l0, l1], [i0, i1], [n0, n1, n2, n3]) =
            (low_half(len).to_be_bytes(), id.to_be_bytes(), note.to_be_bytes());
        *header = [l0, l1, i0, i1, flags, n0, n1, n2, n3];
        self.position.used = low_half(at + HEADER + len);
        Ok(())
    }

    /// The record that is next to be put on the wire, and its identifier if it is held.
    pub(super) fn next(&mut self, publishes: bool) -> Option<(At, Option<PacketId>)> {
        let wanted = |flags| flags & LOADED == 0 && (publishes || flags & QOS == 0);
        let at = self.find(|header| wanted(flags(header)))?;
        let header = self.header(at)?;
        Some((at, if flags(header) & QOS == 0 { None } else { id(header) }))
    }

    /// Puts a queued packet on the wire; whether it is the farewell.
    pub(super) fn load(&mut self, at: At) -> bool {
        self.position.sending = Some(at);
        self.position.sent = 0;
        self.set(at, LOADED).is_some_and(|flags| flags & FAREWELL != 0)
    }

    /// What belongs to a held message, and its bytes.
    pub(super) fn held_mut(&mut self, at: At, packet_id: PacketId) -> Option<(Held, &mut [u8])> {
        let (header, bytes) = self.bytes.get_mut(at.index()..)?.split_first_chunk_mut::<HEADER>()?;
        let flags = flags(header);
        let [_, _, _, _, _, since @ ..] = *header;
        let since = Instant::from_millis(u32::from_be_bytes(since));
        let held = Held { packet_id, qos: QoS::from_bits(flags & QOS)?, since, begun: flags & BEGUN != 0 };
        Some((held, bytes.get_mut(..len(header))?))
    }

    pub(super) fn set_since(&mut self, at: At, since: Instant) {
        if let Some([_, _, _, _, _, place @ ..]) = self.header(at) {
            *place = since.as_millis().to_be_bytes();
        }
    }

    /// The record of an identifier. It stays as long as bytes of it are on the wire.
    pub(super) fn find_id(&mut self, packet_id: PacketId) -> Option<At> {
        self.find(|header| id(header) == Some(packet_id))
    }

    /// Ends a request of that kind; says how many filters it has.
    pub(super) fn take_request(&mut self, kind: RequestKind, packet_id: PacketId) -> Option<u16> {
        let at = self.find_id(packet_id)?;
        let [_, _, _, _, flags, _, _, filters @ ..] = *self.header(at)?;
        if flags & kind.flag() == 0 {
            return None;
        }
        self.let_go(at);
        Some(u16::from_be_bytes(filters))
    }

    /// The QoS of a held message, and whether bytes of it have gone out on this connection.
    pub(super) fn held(&mut self, packet_id: PacketId) -> Option<(QoS, bool)> {
        let at = self.find_id(packet_id)?;
        let flags = flags(self.header(at)?);
        if flags & QOS == 0 {
            return None;
        }
        let is_before_first_byte = self.position.sending == Some(at) && self.position.sent == 0;
        Some((QoS::from_bits(flags & QOS)?, flags & LOADED != 0 && !is_before_first_byte))
    }

    /// The oldest held message of which bytes have gone to a transport.
    pub(super) fn find_begun(&mut self) -> Option<At> {
        self.find(|header| flags(header) & BEGUN != 0 && flags(header) & QOS != 0)
    }

    pub(super) fn packet_id(&mut self, at: At) -> Option<PacketId> {
        id(self.header(at)?)
    }

    /// How many messages are held.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn held_count(&mut self) -> usize {
        let mut count = 0;
        self.find(|header| {
            count += usize::from(flags(header) & QOS != 0);
            false
        });
        count
    }

    pub(super) fn remove(&mut self, at: At) {
        self.cut(at, 0);
    }

    /// Keeps so many bytes of a record: its header, or none.
    fn cut(&mut self, at: At, kept: usize) {
        let Some(header) = self.header(at) else { return };
        let gap = HEADER + len(header) - kept;
        let [l0, l1, ..] = header;
        (*l0, *l1) = (0, 0);
        let used = usize::from(self.position.used);
        shift_down(self.bytes.get_mut(at.index() + kept..used).unwrap_or_default(), gap);
        self.position.used = low_half(used.saturating_sub(gap));
        if let Some(sending) = self.position.sending
            && sending > at
        {
            self.position.sending = Some(sending.minus(gap));
        }
    }

    /// Removes a record that was held or has its answer, or makes it a queued one where it has still to be sent: then it
    /// goes away behind its last byte.
    pub(super) fn let_go(&mut self, at: At) {
        let is_on_wire = self.position.sending == Some(at);
        let Some([_, _, _, _, flags, ..]) = self.header(at) else { return };
        if is_on_wire || *flags & LOADED == 0 {
            *flags &= !(QOS | SUBSCRIBE | UNSUBSCRIBE);
        } else {
            self.remove(at);
        }
    }

    pub(super) fn consume(&mut self, len: usize) {
        let is_whole = len >= self.transmit().len();
        let position = &mut self.position;
        position.sent = position.sent.saturating_add(low_half(len));
        let sending = position.sending;
        if is_whole {
            position.small_len = 0;
            position.sending = None;
        }
        if let Some(at) = sending
            && let Some(flags) = self.set(at, BEGUN)
            && flags & QOS == 0
            && is_whole
        {
            self.cut(at, if flags & (SUBSCRIBE | UNSUBSCRIBE) == 0 { 0 } else { HEADER });
        }
    }

    /// The connection is gone: queued records go, held ones have to be sent again.
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) fn rewind(&mut self) {
        self.position.sending = None;
        self.position.small_len = 0;
        let is_queued = |header: &mut Header| {
            let [_, _, _, _, flags, ..] = header;
            *flags &= !LOADED;
            *flags & QOS == 0
        };
        while let Some(at) = self.find(is_queued) {
            self.remove(at);
        }
    }

    /// Sets a flag and gives all of them.
    fn set(&mut self, at: At, flag: u8) -> Option<u8> {
        let [_, _, _, _, flags, ..] = self.header(at)?;
        *flags |= flag;
        Some(*flags)
    }

    fn header(&mut self, at: At) -> Option<&mut Header> {
        self.bytes.get_mut(at.index()..self.position.used.into())?.first_chunk_mut()
    }

    /// The first record that is wanted.
    fn find(&mut self, mut wanted: impl FnMut(&mut Header) -> bool) -> Option<At> {
        let mut at = At::START;
        loop {
            let header = self.header(at)?;
            if wanted(header) {
                return Some(at);
            }
            at = at.plus(HEADER + len(header));
        }
    }
}

impl RequestKind {
    const fn flag(self) -> u8 {
        match self {
            Self::Subscribe => SUBSCRIBE,
            Self::Unsubscribe => UNSUBSCRIBE,
        }
    }
}

/// The packet behind a header.
fn packet(record: &[u8]) -> Option<&[u8]> {
    let (header, behind) = record.split_first_chunk()?;
    behind.get(..len(header))
}

fn len(header: &Header) -> usize {
    let [l0, l1, ..] = *header;
    u16::from_be_bytes([l0, l1]).into()
}

fn id(header: &Header) -> Option<PacketId> {
    let [_, _, i0, i1, ..] = *header;
    PacketId::new(u16::from_be_bytes([i0, i1]))
}

const fn flags(header: &Header) -> u8 {
    let [_, _, _, _, flags, ..] = *header;
    flags
}

/// Positions and lengths never pass the 16 bits of the arena.
const fn low_half(number: usize) -> u16 {
    let [b0, b1, ..] = number.to_le_bytes();
    u16::from_le_bytes([b0, b1])
}
