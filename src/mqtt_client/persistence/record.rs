//! What is kept of a message, and its bytes in the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::mqtt_client::token::Token;
use crate::types::PacketId;

/// A change of what is kept.
#[derive(Debug)]
pub(super) enum Op {
    /// A message was accepted.
    Keep(Token, Kept),
    /// The session has it, under this identifier.
    Assign(Token, PacketId),
    /// PUBREC has come: its payload is not needed any more. PUBRELs are sent in the order of these numbers.
    Release(Token, PacketId, u64),
    /// It was taken back from a session that is gone.
    TakeBack(Token),
    /// It has come to its outcome.
    Forget(Token),
    /// A message of QoS 2 is known to have been received.
    Received(PacketId),
    /// The identifier of a received message is free.
    Completed(PacketId),
    /// No message is known to have been received.
    Cleared,
}

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mqtt_client) struct Kept {
    /// Its place in the order of acceptance.
    pub(super) place: u64,
    /// When it expires, in milliseconds of the Unix epoch; 0 for never.
    pub(super) deadline: u64,
    /// The encoded PUBLISH; empty where PUBREC has come.
    pub(in crate::mqtt_client) frame: Vec<u8>,
}

impl Kept {
    const HEAD: usize = 16;

    /// Seconds that are left of its lifetime, at most what it was given: clocks may be turned back.
    pub(in crate::mqtt_client) fn left(&self, now: SystemTime) -> Option<u32> {
        let left = Duration::from_millis(self.deadline.saturating_sub(millis(now)));
        (self.deadline > 0).then(|| u32::try_from(left.as_secs()).unwrap_or(u32::MAX))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.place.to_be_bytes()[..], &self.deadline.to_be_bytes(), &self.frame].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (place, rest) = bytes.split_first_chunk()?;
        let (deadline, frame) = rest.split_first_chunk()?;
        let (place, deadline) = (u64::from_be_bytes(*place), u64::from_be_bytes(*deadline));
        Some(Self { place, deadline, frame: frame.to_vec() })
    }

    /// Its bytes without the payload.
    pub(super) fn without_frame(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().take(Self::HEAD).copied().collect()
    }
}

/// How far a message has come that the session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) packet_id: PacketId,
    /// Its place in the order of the PUBRELs, where PUBREC has come.
    pub(super) released: Option<u64>,
}

impl Exchange {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let order = self.released.map(u64::to_be_bytes);
        [&self.packet_id.value().to_be_bytes()[..], order.as_ref().map_or(&[], |order| &order[..])].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (packet_id, rest) = bytes.split_first_chunk()?;
        let released = match rest {
            [] => None,
            order => Some(u64::from_be_bytes(order.try_into().ok()?)),
        };
        Some(Self { packet_id: PacketId::new(u16::from_be_bytes(*packet_id))?, released })
    }
}

/// What a file holds when it is opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::mqtt_client) struct Restored {
    /// Messages that no session has had, in their order.
    pub(in crate::mqtt_client) queued: Vec<(Token, Kept)>,
    /// Messages that may have been sent, in their order.
    pub(in crate::mqtt_client) sent: Vec<(Token, PacketId, Kept)>,
    /// Messages whose PUBREL has to be sent, in the order of their PUBRECs.
    pub(in crate::mqtt_client) released: Vec<(Token, PacketId)>,
    /// Messages of QoS 2 that are known to have been received.
    pub(in crate::mqtt_client) received: Vec<PacketId>,
    /// Places from here on are free.
    pub(super) next_place: u64,
    /// Tokens up to this one were given away.
    pub(in crate::mqtt_client) last_token: u64,
}

impl Restored {
    /// The tokens of all messages, in the order in which they were accepted.
    pub(in crate::mqtt_client) fn tokens(&self) -> Vec<Token> {
        let released = self.released.iter().map(|(token, _)| *token);
        let sent = self.sent.iter().map(|(token, ..)| *token);
        let mut tokens: Vec<_> = released.chain(sent).chain(self.queued.iter().map(|(token, _)| *token)).collect();
        tokens.sort_unstable();
        tokens
    }
}

/// When something expires that has so many seconds left.
pub(super) fn deadline(now: SystemTime, left: Duration) -> u64 {
    // Nothing that expires has the deadline of what never does.
    millis(now).saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)).max(1)
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
