//! Packets as bytes, for the sink and for the plain TCP driver, apart from the code that is measured.

use std::io::{self, IoSlice, Write};

use crate::plan::TOPIC;

pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;

/// An acknowledgement without a reason, the same bytes in both versions.
pub fn acknowledgement(kind: u8, packet_id: [u8; 2]) -> [u8; 4] {
    [kind, 2, packet_id[0], packet_id[1]]
}

/// What a packet's fixed header says: its first byte, how long the header is, and how many bytes follow.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub first: u8,
    pub len: usize,
    pub remaining: usize,
}

impl Header {
    /// Reads the header at the start of the bytes, or `None` if it is not whole.
    #[inline]
    pub fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        if let [first, remaining @ 0..=127, ..] = *bytes {
            return Ok(Some(Self { first, len: 2, remaining: usize::from(remaining) }));
        }
        Self::read_long(bytes)
    }

    fn read_long(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
        let mut remaining = 0;
        for (place, byte) in rest.iter().take(4).enumerate() {
            remaining |= usize::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(Some(Self { first: *first, len: place + 2, remaining }));
            }
        }
        if rest.len() < 4 { Ok(None) } else { Err(io::Error::other("a remaining length of five bytes")) }
    }
}

/// PUBLISH packets one after the other, each with its own packet identifier, sent round and round.
pub struct Ring {
    bytes: Vec<u8>,
    packet_len: usize,
    packets: usize,
    next: usize,
}

impl Ring {
    /// `v5` adds an empty property block.
    pub fn new(v5: bool, qos: u8, payload: &[u8], window: u16) -> Self {
        let one = publish(v5, qos, 1, payload);
        let room = (256 * 1024 / one.len()).max(1);
        let packets = if qos == 0 { room } else { room.max(usize::from(window) + 28).min(60_000) };
        let mut bytes = Vec::with_capacity(packets * one.len());
        for packet_id in 1..=packets {
            bytes.extend_from_slice(&publish(v5, qos, packet_id as u16, payload));
        }
        Self { packet_len: one.len(), bytes, packets, next: 0 }
    }

    pub fn packet_len(&self) -> usize {
        self.packet_len
    }

    /// How many packets there are before the first comes again; their identifiers begin at 1.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Sends the next packets, at most as many as the ring has, in one call if the socket takes them.
    pub fn send(&mut self, count: usize, to: &mut impl Write) -> io::Result<()> {
        let until_end = count.min(self.packets - self.next);
        let start = self.next * self.packet_len;
        let first = &self.bytes[start..start + until_end * self.packet_len];
        let second = &self.bytes[..(count - until_end) * self.packet_len];
        self.next = (self.next + count) % self.packets;
        write_both(to, first, second)
    }
}

/// Writes all of the first, then all of the second.
pub fn write_both(to: &mut impl Write, mut first: &[u8], second: &[u8]) -> io::Result<()> {
    while !first.is_empty() && !second.is_empty() {
        let written = to.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
        if written >= first.len() {
            return to.write_all(&second[written - first.len()..]);
        }
        first = &first[written..];
    }
    to.write_all(first)?;
    to.write_all(second)
}

fn publish(v5: bool, qos: u8, packet_id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (TOPIC.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(TOPIC.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&packet_id.to_be_bytes());
    }
    if v5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    let mut packet = vec![0x30 | qos << 1];
    let mut remaining = body.len();
    while remaining > 127 {
        packet.push((remaining & 0x7F) as u8 | 0x80);
        remaining >>= 7;
    }
    packet.push(remaining as u8);
    packet.append(&mut body);
    packet
}
