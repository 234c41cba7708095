use std::time::Instant;

use super::client::{PublishResult, ReauthenticationResult, SubscribeResult, UnsubscribeResult};
use super::event::Receipt;
use super::options::{DisconnectOptions, SubscribeOptions, TopicSubscription};
use super::token::{Promise, Token};
use crate::codec::FixedHeader;
use crate::session::Outbound;
use crate::types::{ProtocolVersion, QoS, ReasonCode};

/// What the handle asks of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Connect,
    Publish(Publishing),
    Run(Run),
    Request(Requesting),
    Ping,
    Reauthenticate(Reauthenticating),
    SetAutoReconnect(bool),
    Disconnect(ReasonCode, Box<DisconnectOptions>),
    Shutdown,
}

impl Command {
    /// Whether it takes no place in the command queue, although there may be many of them.
    pub(super) const fn is_control(&self) -> bool {
        matches!(self, Self::Connect | Self::Disconnect(..) | Self::SetAutoReconnect(_))
    }

    /// Whether doing both comes to the same as doing one.
    pub(super) fn is_same_control(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect, Self::Connect) | (Self::Shutdown, Self::Shutdown) => true,
            (Self::Disconnect(_, a), Self::Disconnect(_, b)) => a == b,
            (Self::SetAutoReconnect(a), Self::SetAutoReconnect(b)) => *a == *b,
            _ => false,
        }
    }
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) token: Token,
    pub(super) qos: QoS,
    /// The encoded PUBLISH; empty while the session has it.
    pub(super) frame: Vec<u8>,
    pub(super) expiry: Option<Expiry>,
    pub(super) tracked: Option<Promise<PublishResult>>,
    /// It takes a place in the command queue.
    pub(super) in_queue: bool,
}

impl Publishing {
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|Expiry { since, seconds }| {
            now.saturating_duration_since(since).as_secs() >= u64::from(seconds)
        })
    }
}

/// Messages of one QoS that came one after the other, encoded in one buffer: most cost no allocation of their own.
#[derive(Debug)]
pub(super) struct Run {
    /// The first of their tokens, which are consecutive.
    pub(super) first: Token,
    pub(super) count: usize,
    pub(super) qos: QoS,
    /// Their PUBLISH packets, and before them those of messages that were taken out.
    pub(super) frames: Vec<u8>,
    /// Where they begin.
    pub(super) start: usize,
    /// Bytes of the longest packet.
    pub(super) longest: usize,
    /// One of them is to be retained.
    pub(super) retain: bool,
    last: Option<Last>,
}

/// Where the parts of the last packet of a run begin, which has no properties.
#[derive(Clone, Copy, Debug)]
struct Last {
    start: usize,
    topic: usize,
    behind_topic: usize,
    payload: usize,
}

/// How a message follows the last one of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alike {
    last: Last,
    /// As long as the last one, it has the very same head.
    has_same_head: bool,
    /// Its Remaining Length, where it has not.
    remaining: usize,
}

/// A message as a run takes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) retain: bool,
    pub(super) has_properties: bool,
}

/// Messages that are handed over together.
#[derive(Debug)]
pub(super) enum Messages {
    One(Publishing),
    Run(Run),
}

impl Messages {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::One(publishing) => publishing.frame.len(),
            Self::Run(run) => run.bytes(),
        }
    }

    pub(super) const fn is_of_qos_0(&self) -> bool {
        let qos = match self {
            Self::One(publishing) => publishing.qos,
            Self::Run(run) => run.qos,
        };
        matches!(qos, QoS::AtMostOnce)
    }

    pub(super) const fn is_run(&self) -> bool {
        matches!(self, Self::Run(_))
    }

    pub(super) const fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Run(run) => run.count,
        }
    }
}

/// So many bytes at most are in one run: four messages of 4 KiB, with room for their heads.
pub(super) const MAX_RUN: usize = 17 * 1024;
/// The longest message that is in one.
pub(super) const LONGEST_IN_RUN: usize = 16 * 1024;
/// From this size on the messages of a run get room for all of them at once, shorter ones when there are some.
const ROOM_AT_ONCE: usize = 1024;

impl Run {
    /// A run without messages, that takes the buffer.
    pub(super) const fn new(first: Token, qos: QoS, frames: Vec<u8>) -> Self {
        Self { first, count: 0, qos, frames, start: 0, longest: 0, retain: false, last: None }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.frames.len() - self.start
    }

    /// Whether it takes another message of about so many bytes, if that is of the QoS of the others.
    pub(super) fn takes(&self, bytes: usize, qos: QoS) -> bool {
        self.qos == qos && self.frames.len() + bytes <= MAX_RUN
    }

    /// Makes room for a message of at most so many bytes, and for all that may follow the second one: a buffer that
    /// doubles would be copied again and again.
    pub(super) fn make_room(&mut self, bytes: usize) {
        let is_long = bytes >= ROOM_AT_ONCE || self.frames.len() >= 4 * ROOM_AT_ONCE;
        if is_long && self.frames.capacity() - self.frames.len() < bytes {
            let all = if self.count == 0 { bytes } else { MAX_RUN.saturating_sub(self.frames.len()).max(bytes) };
            self.frames.reserve_exact(all);
        }
    }

    /// Takes out the first messages.
    pub(super) fn take_out(&mut self, count: usize, bytes: usize) {
        self.first.0 += count as u64;
        self.count -= count;
        self.start += bytes;
    }

    /// What the session has to know of it.
    pub(super) const fn outbound(&self) -> Outbound {
        Outbound { qos: self.qos, count: self.count, longest: self.longest, retain: self.retain }
    }

    /// The token of a message that would come next.
    pub(super) const fn next_token(&self) -> Token {
        Token(self.first.0 + self.count as u64)
    }

    /// Adds a message whose packet `encode` puts behind the others, or nothing if that fails.
    pub(super) fn add<E>(
        &mut self,
        message: Plain<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.frames.len();
        if let Err(error) = encode(&mut self.frames) {
            self.frames.truncate(start);
            return Err(error);
        }
        self.last = if message.has_properties { None } else { self.last_at(start, message) };
        self.note_added(start, message.retain);
        Ok(())
    }

    /// Where the parts of the packet are that begins there.
    fn last_at(&self, start: usize, Plain { topic, payload, .. }: Plain<'_>) -> Option<Last> {
        let length = self.frames.get(start + 1..)?.iter().position(|byte| byte & 0x80 == 0)?;
        let topic_at = start + length + 2;
        let behind_topic = topic_at + 2 + topic.len();
        Some(Last { start, topic: topic_at, behind_topic, payload: self.frames.len() - payload.len() })
    }

    /// How a message follows the last one, if that has gone to the same topic and this is all that has to be known. The
    /// topic was checked there.
    #[inline]
    pub(super) fn alike(&self, message: &Plain<'_>) -> Option<Alike> {
        let last = self.last.filter(|_| !message.has_properties)?;
        let first = *self.frames.get(last.start)?;
        // The topic comes behind its length.
        let topic = self.frames.get(last.topic + 2..last.behind_topic)?;
        if topic != message.topic.as_bytes() || (first & 1 == 1) != message.retain {
            return None;
        }
        let has_same_head = message.payload.len() == self.frames.len() - last.payload;
        let remaining = last.payload - last.topic + message.payload.len();
        (has_same_head || remaining < 1 << 14).then_some(Alike { last, has_same_head, remaining })
    }

    /// Adds a message that follows the last one in this way.
    #[inline]
    pub(super) fn add_alike(&mut self, alike: Alike, message: &Plain<'_>) {
        let Alike { last, has_same_head, remaining } = alike;
        let start = self.frames.len();
        let topic = if has_same_head {
            self.frames.extend_from_within(last.start..last.payload);
            start + (last.topic - last.start)
        } else {
            let [low, high] = [remaining & 0x7F, remaining >> 7].map(|part| u8::try_from(part).unwrap_or(0));
            self.frames.extend_from_within(last.start..=last.start);
            match high {
                0 => self.frames.push(low),
                _ => self.frames.extend_from_slice(&[low | 0x80, high]),
            }
            let topic = self.frames.len();
            self.frames.extend_from_within(last.topic..last.payload);
            topic
        };
        let behind_topic = topic + (last.behind_topic - last.topic);
        self.last = Some(Last { start, topic, behind_topic, payload: self.frames.len() });
        self.frames.extend_from_slice(message.payload);
        self.note_added(start, message.retain);
    }

    fn note_added(&mut self, start: usize, retain: bool) {
        self.count += 1;
        self.longest = self.longest.max(self.frames.len() - start);
        self.retain |= retain;
    }

    /// The messages as such, in their order.
    pub(super) fn take_apart(self, version: ProtocolVersion) -> impl Iterator<Item = Publishing> {
        let mut at = self.start;
        (self.first.0..).take(self.count).map(move |number| {
            let rest = self.frames.get(at..).unwrap_or(&[]);
            let len = FixedHeader::decode(rest, version).ok().flatten().map_or(0, |header| header.packet_len());
            at += len;
            Publishing {
                token: Token(number),
                qos: self.qos,
                frame: rest.get(..len).unwrap_or(&[]).to_vec(),
                expiry: None,
                tracked: None,
                in_queue: true,
            }
        })
    }
}

/// How long a message is worth to be sent. Messages without it need no clock, which costs as much as their encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    pub(super) since: Instant,
    pub(super) seconds: u32,
}

impl Expiry {
    pub(super) fn from_now(seconds: u32) -> Self {
        Self { since: Instant::now(), seconds }
    }
}

/// A subscribe or unsubscribe on its way.
#[derive(Debug)]
pub(super) struct Requesting {
    /// None where the client itself restores subscriptions.
    pub(super) token: Option<Token>,
    pub(super) options: SubscribeOptions,
    pub(super) kind: RequestingKind,
    /// It takes a place in the command queue.
    pub(super) in_queue: bool,
}

#[derive(Debug)]
pub(super) enum RequestingKind {
    Subscribe(Vec<TopicSubscription>, Option<Promise<SubscribeResult>>),
    Unsubscribe(Vec<String>, Option<Promise<UnsubscribeResult>>),
}

/// A re-authentication on its way.
#[derive(Debug)]
pub(super) struct Reauthenticating {
    pub(super) token: Token,
    pub(super) tracked: Option<Promise<ReauthenticationResult>>,
    /// Its first AUTH was handed to the session.
    pub(super) has_begun: bool,
}

/// Messages that the application is done with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgement {
    /// That of the first one.
    pub(super) receipt: Receipt,
    /// How many there are. Those behind the first one are of QoS 1, as it is, and came right behind it.
    pub(super) count: u16,
    pub(super) code: ReasonCode,
    /// The application has asked for it, and wants to know when it comes too late.
    pub(super) by_hand: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{EncodeError, Properties, Property, Writer};
    use crate::packet::{Delivery, Publish};
    use crate::types::{PacketId, Role};

    #[test]
    fn a_message_to_the_topic_of_the_last_one_is_the_packet_that_encoding_gives() {
        let mut alike = 0;
        let mut random = 1_u64;
        let mut dice = |sides: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(random >> 33).unwrap() % sides
        };
        for step in 0..if cfg!(miri) { 40 } else { 4000 } {
            let version = [ProtocolVersion::V5, ProtocolVersion::V3_1_1][dice(2)];
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][dice(3)];
            let (mut run, mut plain) = (Run::new(Token(1), qos, vec![]), Vec::new());
            for _ in 0..8 {
                let topic = ["t", "u", "tt", "t/\u{fc}"][dice(12).saturating_sub(8)];
                let len = [0, 1, 60, 110 + dice(20), 16_300 + dice(100)][dice(5)];
                let (payload, retain) = (vec![b't'; len], dice(6) == 0);
                let properties = [Property::PayloadFormatIndicator(true)];
                let properties = if version.is_v5() && dice(5) == 0 { &properties[..] } else { &[] };
                let encode = |frames: &mut Vec<u8>| -> Result<(), EncodeError> {
                    let (delivery, properties) = (Delivery::first(qos, PacketId::MIN), Properties::new(properties));
                    let publish = Publish { topic, payload: &payload, retain, delivery, properties };
                    publish.encode(&mut Writer::appending(frames), version, Role::Client)
                };
                let message = Plain { topic, payload: &payload, retain, has_properties: !properties.is_empty() };
                if let Some(how) = run.alike(&message) {
                    run.add_alike(how, &message);
                    alike += 1;
                } else {
                    run.add(message, encode).unwrap();
                }
                if dice(6) == 0 {
                    // What fails leaves nothing behind.
                    let failed = run.add(message, |frames| {
                        frames.extend_from_slice(b"begun");
                        Err(EncodeError::NoTopic)
                    });
                    assert_eq!(failed, Err(EncodeError::NoTopic));
                }
                let before = plain.len();
                encode(&mut plain).unwrap();
                assert!(run.longest >= plain.len() - before && run.retain >= retain);
            }
            assert!(run.frames == plain, "step {step}");
            assert_eq!(run.count, 8);
        }
        assert!(alike > 100, "{alike}");
    }
}
