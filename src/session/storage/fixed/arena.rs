//! One run of bytes that holds packets, each behind a header of its own.
//!
//! Records stand in the order they were made. Those that are queued go away once sent, those that are held once they
//! are acknowledged; the bytes behind move up. Nothing is ever split.

use super::super::{Encode, Held, QueueError, Queued};
use crate::codec::Writer;
use crate::session::error::Full;
use crate::types::{PacketId, QoS};

const HEADER: usize = 9;
const SMALL: usize = 5;

const QOS: u8 = 0x03;
const LOADED: u8 = 0x04;
const BEGUN: u8 = 0x08;
const FAREWELL: u8 = 0x10;

/// A packet in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) at: usize,
    pub(super) len: usize,
    /// Identifier and QoS of a held PUBLISH; a queued packet has none.
    pub(super) identity: Option<(PacketId, QoS)>,
    /// It is on the wire or was sent on this connection.
    pub(super) loaded: bool,
    /// Bytes of it have gone to a transport.
    pub(super) begun: bool,
    /// The DISCONNECT.
    pub(super) farewell: bool,
    pub(super) since: u32,
}

impl Record {
    pub(super) fn queued(kind: Queued) -> Self {
        let farewell = kind == Queued::Farewell;
        Self { at: 0, len: 0, identity: None, loaded: false, begun: false, farewell, since: 0 }
    }

    pub(super) fn held(held: &Held) -> Self {
        let identity = Some((held.packet_id, held.qos));
        Self { identity, since: held.since.as_millis(), ..Self::queued(Queued::Message) }
    }

    pub(super) const fn end(&self) -> usize {
        self.at + HEADER + self.len
    }
}

/// What is filled, and what of it is being sent.
#[derive(Debug)]
pub(super) struct Position {
    used: u16,
    reserved: u16,
    sending: Sending,
    sent: u16,
    small: [u8; SMALL],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Nothing,
    Small(u8),
    Record { at: u16, len: u16 },
}

impl Position {
    pub(super) const fn new() -> Self {
        Self { used: 0, reserved: 0, sending: Sending::Nothing, sent: 0, small: [0; SMALL] }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.sending, Sending::Nothing)
    }

    /// Whether this record is on the wire and no byte of it has gone.
    pub(super) fn is_before(&self, record: &Record) -> bool {
        self.sent == 0 && matches!(self.sending, Sending::Record { at, .. } if usize::from(at) == record.at)
    }

    pub(super) fn reserved(&self) -> usize {
        usize::from(self.reserved)
    }

    pub(super) fn transmit<'b>(&'b self, bytes: &'b [u8]) -> &'b [u8] {
        let sent = usize::from(self.sent);
        match self.sending {
            Sending::Nothing => &[],
            Sending::Small(len) => self.small.get(sent..usize::from(len)).unwrap_or(&[]),
            Sending::Record { at, len } => {
                let start = usize::from(at) + HEADER;
                bytes.get(start + sent..start + usize::from(len)).unwrap_or(&[])
            }
        }
    }

    pub(super) fn load_small(&mut self, packet: &[u8]) {
        let len = packet.len().min(SMALL);
        if let (Some(target), Some(packet), Ok(count)) =
            (self.small.get_mut(..len), packet.get(..len), u8::try_from(len))
        {
            target.copy_from_slice(packet);
            self.sending = Sending::Small(count);
            self.sent = 0;
        }
    }
}

/// The bytes together with their position.
pub(super) struct Arena<'a> {
    pub(super) bytes: &'a mut [u8],
    pub(super) position: &'a mut Position,
}

impl Arena<'_> {
    /// The record that begins at `at`.
    pub(super) fn record(&self, at: usize) -> Option<Record> {
        let used = self.bytes.get(..usize::from(self.position.used))?;
        let (&[l0, l1, i0, i1, flags, s0, s1, s2, s3], _) = used.get(at..)?.split_first_chunk::<HEADER>()?;
        let identity = PacketId::new(u16::from_be_bytes([i0, i1])).zip(QoS::from_bits(flags & QOS));
        Some(Record {
            at,
            len: usize::from(u16::from_be_bytes([l0, l1])),
            identity,
            loaded: flags & LOADED != 0,
            begun: flags & BEGUN != 0,
            farewell: flags & FAREWELL != 0,
            since: u32::from_be_bytes([s0, s1, s2, s3]),
        })
    }

    pub(super) fn write_header(&mut self, record: &Record) {
        let [l0, l1] = u16::try_from(record.len).unwrap_or(0).to_be_bytes();
        let (id, qos) = record.identity.map_or((0, 0), |(id, qos)| (id.value(), qos.bits()));
        let [i0, i1] = id.to_be_bytes();
        let [s0, s1, s2, s3] = record.since.to_be_bytes();
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = qos | flag(record.loaded, LOADED) | flag(record.begun, BEGUN) | flag(record.farewell, FAREWELL);
        if let Some(target) = self.bytes.get_mut(record.at..record.at + HEADER) {
            target.copy_from_slice(&[l0, l1, i0, i1, flags, s0, s1, s2, s3]);
        }
    }

    pub(super) fn find(&self, packet_id: PacketId) -> Option<Record> {
        self.first(|record| record.identity.is_some_and(|(id, _)| id == packet_id))
    }

    pub(super) fn find_begun(&self) -> Option<Record> {
        self.first(|record| record.identity.is_some() && record.begun)
    }

    /// How many messages are held.
    pub(super) fn held(&self) -> usize {
        let mut count = 0;
        let mut at = 0;
        while let Some(record) = self.record(at) {
            count += usize::from(record.identity.is_some());
            at = record.end();
        }
        count
    }

    pub(super) fn frame_mut(&mut self, record: &Record) -> Option<&mut [u8]> {
        self.bytes.get_mut(record.at + HEADER..record.end())
    }

    pub(super) fn last_frame_mut(&mut self) -> Option<&mut [u8]> {
        let mut last = None;
        let mut at = 0;
        while let Some(record) = self.record(at) {
            at = record.end();
            last = Some(record);
        }
        self.frame_mut(&last?)
    }

    /// Keeps room for a packet of this length when messages are held.
    pub(super) fn reserve(&mut self, len: usize) {
        if let Ok(len) = u16::try_from(len + HEADER) {
            self.position.reserved = self.position.reserved.max(len);
        }
    }

    /// Encodes a packet behind the last one and leaves `spare` bytes free.
    pub(super) fn push(
        &mut self,
        record: Record,
        len: usize,
        spare: usize,
        encode: &Encode<'_>,
    ) -> Result<(), QueueError> {
        let record = Record { at: usize::from(self.position.used), len, ..record };
        let capacity = self.bytes.len().min(usize::from(u16::MAX));
        let needed = record.end().checked_add(spare).filter(|needed| *needed <= capacity);
        let (Some(_), Ok(end)) = (needed, u16::try_from(record.end())) else { return Err(Full::Bytes.into()) };
        let Some(target) = self.frame_mut(&record) else { return Err(Full::Bytes.into()) };
        encode(&mut Writer::new(target))?;
        self.write_header(&record);
        self.position.used = end;
        Ok(())
    }

    pub(super) fn remove(&mut self, record: &Record) {
        let used = usize::from(self.position.used);
        let gap = record.end() - record.at;
        // A byte loop: `copy_within` links memmove, 1.5 KB of flash.
        for (to, from) in (record.at..).zip(record.end()..used) {
            let Some(byte) = self.bytes.get(from).copied() else { break };
            if let Some(target) = self.bytes.get_mut(to) {
                *target = byte;
            }
        }
        self.position.used = u16::try_from(used.saturating_sub(gap)).unwrap_or(0);
        if let Sending::Record { at, len } = self.position.sending
            && usize::from(at) > record.at
        {
            let at = at.saturating_sub(u16::try_from(gap).unwrap_or(at));
            self.position.sending = Sending::Record { at, len };
        }
    }

    /// Removes a held record, or makes it a queued one where it is being sent: then it goes away behind its last byte.
    pub(super) fn let_go(&mut self, record: &Record) {
        match self.position.sending {
            Sending::Record { at, .. } if usize::from(at) == record.at => {
                self.write_header(&Record { identity: None, ..*record });
            }
            _ => self.remove(record),
        }
    }

    pub(super) fn load_record(&mut self, record: &Record) {
        if let (Ok(at), Ok(len)) = (u16::try_from(record.at), u16::try_from(record.len)) {
            self.position.sending = Sending::Record { at, len };
            self.position.sent = 0;
        }
    }

    pub(super) fn consume(&mut self, len: usize) {
        let sent = self.position.sent.saturating_add(u16::try_from(len).unwrap_or(u16::MAX));
        self.position.sent = sent;
        let (at, whole) = match self.position.sending {
            Sending::Nothing => return,
            Sending::Small(whole) => {
                if sent >= u16::from(whole) {
                    self.position.sending = Sending::Nothing;
                }
                return;
            }
            Sending::Record { at, len } => (at, len),
        };
        let Some(record) = self.record(usize::from(at)) else { return };
        if sent >= whole {
            self.position.sending = Sending::Nothing;
        }
        if record.identity.is_some() {
            if len > 0 && !record.begun {
                self.write_header(&Record { begun: true, ..record });
            }
        } else if sent >= whole {
            self.remove(&record);
        }
    }

    /// The connection is gone: queued records go, held ones have to be sent again.
    pub(super) fn rewind(&mut self) {
        self.position.sending = Sending::Nothing;
        let mut at = 0;
        while let Some(record) = self.record(at) {
            if record.identity.is_some() {
                self.write_header(&Record { loaded: false, ..record });
                at = record.end();
            } else {
                self.remove(&record);
            }
        }
    }

    fn first(&self, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        let mut at = 0;
        while let Some(record) = self.record(at) {
            if wanted(&record) {
                return Some(record);
            }
            at = record.end();
        }
        None
    }
}
