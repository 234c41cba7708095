//! What is kept of a message, and its bytes in the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::mqtt_client::client::{DropCause, Outcome, PublishResult};
use crate::mqtt_client::properties::PropertyBlock;
use crate::mqtt_client::token::Token;
use crate::session::Misuse;
use crate::types::{PacketId, QoS, ReasonCode};

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
    /// It has come to its outcome, of which these are the bytes.
    End(Token, Vec<u8>),
    /// The application has heard of that.
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

impl PublishResult {
    /// What the file has of it beside the token.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (kind, detail) = kind(self.outcome);
        let packet_id = self.packet_id.unwrap_or(0).to_be_bytes();
        let code = [u8::from(self.reason_code.is_some()), self.reason_code.unwrap_or(0)];
        let properties = self.properties.as_properties().as_block().unwrap_or(&[]);
        [&[kind][..], &detail.to_be_bytes(), &[self.qos], &packet_id, &code, properties].concat()
    }

    pub(super) fn from_bytes(token: Token, bytes: &[u8]) -> Option<Self> {
        let (head, properties) = bytes.split_first_chunk()?;
        let [kind, d0, d1, d2, d3, qos, i0, i1, has_code, code] = *head;
        let packet_id = Some(u16::from_be_bytes([i0, i1])).filter(|packet_id| *packet_id > 0);
        let outcome = outcome(kind, u32::from_be_bytes([d0, d1, d2, d3]))?;
        let properties = PropertyBlock::from_checked(properties).into_owned();
        Some(Self { token, packet_id, reason_code: (has_code == 1).then_some(code), qos, outcome, properties })
    }
}

/// An outcome as two numbers.
fn kind(outcome: Outcome) -> (u8, u32) {
    match outcome {
        Outcome::Acknowledged => (1, 0),
        Outcome::Rejected => (2, 0),
        Outcome::Expired => (3, 0),
        Outcome::Cancelled => (4, 0),
        Outcome::Dropped(DropCause::BufferFull) => (5, 0),
        Outcome::Dropped(DropCause::Superseded) => (6, 0),
        Outcome::Dropped(DropCause::ConnectionLost) => (7, 0),
        Outcome::Dropped(DropCause::NotConnected) => (8, 0),
        Outcome::Dropped(DropCause::SessionLost) => (9, 0),
        Outcome::Dropped(DropCause::Refused(Misuse::QoSNotSupported(qos))) => (10, u32::from(qos.bits())),
        Outcome::Dropped(DropCause::Refused(Misuse::RetainNotSupported)) => (11, 0),
        Outcome::Dropped(DropCause::Refused(Misuse::PacketTooLarge { limit })) => (12, limit),
        Outcome::Dropped(DropCause::EndsConnection(code)) => (14, code.byte().into()),
        // No server refuses a message that was checked when it was accepted for anything else, and no other one is
        // kept.
        Outcome::Dropped(DropCause::Refused(_)) | Outcome::Sent | Outcome::Kept => (13, 0),
    }
}

fn outcome(kind: u8, detail: u32) -> Option<Outcome> {
    Some(match kind {
        1 => Outcome::Acknowledged,
        2 => Outcome::Rejected,
        3 => Outcome::Expired,
        4 => Outcome::Cancelled,
        5 => Outcome::Dropped(DropCause::BufferFull),
        6 => Outcome::Dropped(DropCause::Superseded),
        7 => Outcome::Dropped(DropCause::ConnectionLost),
        8 => Outcome::Dropped(DropCause::NotConnected),
        9 => Outcome::Dropped(DropCause::SessionLost),
        10 => {
            let qos = u8::try_from(detail).ok().and_then(QoS::from_bits)?;
            Outcome::Dropped(DropCause::Refused(Misuse::QoSNotSupported(qos)))
        }
        11 => Outcome::Dropped(DropCause::Refused(Misuse::RetainNotSupported)),
        12 => Outcome::Dropped(DropCause::Refused(Misuse::PacketTooLarge { limit: detail })),
        13 => Outcome::Dropped(DropCause::Refused(Misuse::LeftOut)),
        14 => {
            let code = u8::try_from(detail).ok().and_then(ReasonCode::from_byte)?;
            Outcome::Dropped(DropCause::EndsConnection(code))
        }
        _ => return None,
    })
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
    /// Messages whose outcome the application has not heard, or not for sure.
    pub(in crate::mqtt_client) ended: Vec<PublishResult>,
    /// Messages of QoS 2 that are known to have been received.
    pub(in crate::mqtt_client) received: Vec<PacketId>,
    /// Places from here on are free.
    pub(super) next_place: u64,
    /// Tokens up to this one were given away.
    pub(in crate::mqtt_client) last_token: u64,
}

impl Restored {
    /// Whether there are messages of the version that they were encoded for.
    pub(super) const fn has_messages(&self) -> bool {
        !(self.queued.is_empty() && self.sent.is_empty() && self.released.is_empty())
    }

    /// The tokens of all messages, in the order in which they were accepted.
    pub(in crate::mqtt_client) fn tokens(&self) -> Vec<Token> {
        let released = self.released.iter().map(|(token, _)| *token);
        let sent = self.sent.iter().map(|(token, ..)| *token);
        let queued = self.queued.iter().map(|(token, _)| *token);
        let ended = self.ended.iter().map(|result| result.token);
        let mut tokens: Vec<_> = released.chain(sent).chain(queued).chain(ended).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_comes_back_from_its_bytes_as_it_was() {
        let refused = [
            Misuse::QoSNotSupported(QoS::AtLeastOnce),
            Misuse::RetainNotSupported,
            Misuse::PacketTooLarge { limit: u32::MAX - 1 },
            Misuse::LeftOut,
        ];
        let causes = [DropCause::BufferFull, DropCause::Superseded, DropCause::ConnectionLost, DropCause::NotConnected];
        let lost = [DropCause::SessionLost, DropCause::EndsConnection(ReasonCode::NOT_AUTHORIZED)];
        let dropped = causes.into_iter().chain(lost).chain(refused.map(DropCause::Refused));
        let others = [Outcome::Acknowledged, Outcome::Rejected, Outcome::Expired, Outcome::Cancelled];
        let outcomes: Vec<_> = dropped.map(Outcome::Dropped).chain(others).collect();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let properties = PropertyBlock::from_checked(b"\x1F\0\x03why").into_owned();
            let plain = PublishResult { outcome, ..PublishResult::cancelled(Token(number as u64), 1) };
            let answered = PublishResult { packet_id: Some(0xFFEE), reason_code: Some(0), properties, ..plain.clone() };
            for result in [plain, answered] {
                assert_eq!(PublishResult::from_bytes(result.token, &result.to_bytes()), Some(result));
            }
        }
    }

    #[test]
    fn bytes_that_are_no_outcome_are_refused() {
        let bytes = PublishResult::cancelled(Token(1), 1).to_bytes();
        assert_eq!(PublishResult::from_bytes(Token(1), &bytes[..bytes.len() - 1]), None);
        assert_eq!(PublishResult::from_bytes(Token(1), &[&[0], &bytes[1..]].concat()), None);
    }
}
