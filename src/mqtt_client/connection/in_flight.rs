use std::collections::VecDeque;

use crate::mqtt_client::client::PublishResult;
use crate::mqtt_client::command::{Expiry, Publishing};
use crate::mqtt_client::queue::Places;
use crate::mqtt_client::token::{Promise, Token};
use crate::session::Fifo;
use crate::types::{PacketId, ProtocolVersion, QoS};

/// Messages of QoS 2 at once to a server that cannot say how many it takes. mosquitto takes 20: for one more it closes
/// the connection, and with all 20 places taken it acknowledges a message of QoS 1 and drops it.
const UNTOLD_EXACTLY_ONCE: usize = 19;

/// Messages that the session has, by their packet id.
pub(super) struct InFlight {
    line: Line,
    others: Fifo<Flying>,
    exactly_once: usize,
}

/// Messages of one QoS with consecutive identifiers and tokens, of which nothing else has to be known: what a busy
/// client sends, and what the server acknowledges in this order, costs a count.
#[derive(Clone, Copy)]
struct Line {
    first: PacketId,
    token: Token,
    qos: QoS,
    count: u16,
    /// The identifier that goes on with it.
    next: PacketId,
}

/// A message that the session has. Most have nothing but a token and a QoS.
struct Flying {
    token: Token,
    qos: QoS,
    more: Option<Box<More>>,
}

struct More {
    expiry: Option<Expiry>,
    tracked: Option<Promise<PublishResult>>,
}

impl From<Publishing> for Flying {
    fn from(publishing: Publishing) -> Self {
        let Publishing { token, qos, expiry, tracked, .. } = publishing;
        let has_more = expiry.is_some() || tracked.is_some();
        Self { token, qos, more: has_more.then(|| Box::new(More { expiry, tracked })) }
    }
}

impl From<Flying> for Publishing {
    fn from(Flying { token, qos, more }: Flying) -> Self {
        let (expiry, tracked) = more.map_or((None, None), |more| (more.expiry, more.tracked));
        Self { token, qos, frame: Vec::new(), expiry, tracked, in_queue: false }
    }
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { line: Line::EMPTY, others: Fifo::new(), exactly_once: 0 }
    }

    /// How many more messages the session may have, as far as it does not decide that itself.
    pub(super) fn room(&self, qos: QoS, version: ProtocolVersion) -> usize {
        let is_told = version.is_v5() || qos != QoS::ExactlyOnce;
        if is_told { usize::MAX } else { UNTOLD_EXACTLY_ONCE.saturating_sub(self.exactly_once) }
    }

    pub(super) fn insert(&mut self, packet_id: PacketId, publishing: Publishing) {
        self.exactly_once += usize::from(publishing.qos == QoS::ExactlyOnce);
        self.others.push(packet_id, publishing.into());
    }

    /// As [`Self::insert`], for messages with consecutive identifiers and tokens of which nothing else has to be known.
    pub(super) fn insert_run(&mut self, first: PacketId, token: Token, qos: QoS, count: u16) {
        self.exactly_once += if qos == QoS::ExactlyOnce { count.into() } else { 0 };
        if !self.line.push(first, token, qos, count) {
            for steps in 0..count {
                let token = Token(token.0 + u64::from(steps));
                self.others.push(first.after(steps), Flying { token, qos, more: None });
            }
        }
    }

    pub(super) fn remove(&mut self, packet_id: PacketId) -> Option<Publishing> {
        self.take(packet_id).map(Publishing::from)
    }

    /// Removes messages with consecutive identifiers that the server has acknowledged without a word. `ended` hears of
    /// them: the identifier and the token of the first one, and how many have consecutive ones.
    pub(super) fn complete(&mut self, first: PacketId, count: u16, mut ended: impl FnMut(PacketId, Token, u16)) {
        let (mut packet_id, mut left) = (first, count);
        while left > 0 {
            let mut done = 1;
            if let Some((token, qos, count)) = self.line.pop(packet_id, left) {
                self.exactly_once -= if qos == QoS::ExactlyOnce { count.into() } else { 0 };
                ended(packet_id, token, count);
                done = count;
            } else if let Some(token) = self.complete_out_of_line(packet_id) {
                ended(packet_id, token, 1);
            }
            (packet_id, left) = (packet_id.after(done), left - done);
        }
    }

    fn complete_out_of_line(&mut self, packet_id: PacketId) -> Option<Token> {
        let Flying { token, qos, more } = self.take(packet_id)?;
        if let Some(tracked) = more.and_then(|more| more.tracked) {
            tracked.complete(PublishResult::acknowledged(token, qos, packet_id));
        }
        Some(token)
    }

    fn take(&mut self, packet_id: PacketId) -> Option<Flying> {
        if self.line.find(packet_id).is_some() {
            self.end_line();
        }
        let message = self.others.remove(packet_id)?;
        self.exactly_once -= usize::from(message.qos == QoS::ExactlyOnce);
        Some(message)
    }

    /// Its messages are in no line any more.
    fn end_line(&mut self) {
        let Line { mut first, mut token, qos, count, .. } = std::mem::replace(&mut self.line, Line::EMPTY);
        for _ in 0..count {
            self.others.push(first, Flying { token, qos, more: None });
            (first, token.0) = (first.next(), token.0 + 1);
        }
    }

    /// The token of a message.
    pub(super) fn token(&self, packet_id: PacketId) -> Option<Token> {
        self.line.find(packet_id).or_else(|| self.others.get(packet_id).map(|message| message.token))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.count == 0 && self.others.len() == 0
    }

    /// The oldest message.
    pub(super) fn oldest(&self) -> Option<(PacketId, Token)> {
        let in_line = (self.line.count > 0).then_some((self.line.first, self.line.token));
        let others = self.others.iter().map(|(packet_id, message)| (packet_id, message.token));
        in_line.into_iter().chain(others).min_by_key(|(_, token)| *token)
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Publishing> {
        self.end_line();
        self.exactly_once = 0;
        self.others.drain().map(Publishing::from)
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        self.others.shrink();
    }
}

impl Line {
    const EMPTY: Self =
        Self { first: PacketId::MIN, token: Token(0), qos: QoS::AtLeastOnce, count: 0, next: PacketId::MIN };

    /// Adds messages if they go on where these end; whether they do.
    fn push(&mut self, first: PacketId, token: Token, qos: QoS, count: u16) -> bool {
        if self.count == 0 {
            *self = Self { first, token, qos, count, next: first.after(count) };
            return true;
        }
        let follows = first == self.next && token.0 == self.token.0 + u64::from(self.count) && qos == self.qos;
        // More than a circle of identifiers would come to where it begins.
        let sum = self.count.checked_add(count).filter(|_| follows);
        if let Some(sum) = sum {
            (self.next, self.count) = (first.after(count), sum);
        }
        sum.is_some()
    }

    /// Takes out the first messages, up to a number, if they begin with this identifier; the token of the first one,
    /// and how many they are.
    fn pop(&mut self, packet_id: PacketId, at_most: u16) -> Option<(Token, QoS, u16)> {
        if self.count == 0 || self.first != packet_id {
            return None;
        }
        let (token, count) = (self.token, at_most.min(self.count));
        (self.first, self.token.0, self.count) =
            (packet_id.after(count), token.0 + u64::from(count), self.count - count);
        Some((token, self.qos, count))
    }

    /// The token of a message.
    fn find(&self, packet_id: PacketId) -> Option<Token> {
        let at = self.first.steps_to(packet_id);
        (at < self.count).then(|| Token(self.token.0 + u64::from(at)))
    }
}

/// Messages of QoS 0 that the session has and the transport has not taken whole, in order.
#[derive(Default)]
pub(super) struct Unsent(VecDeque<Leaving>);

/// Messages that are done with together.
pub(super) enum Leaving {
    /// One, and the places that it takes in the command queue until then.
    One(Publishing, Places),
    /// Those with so many tokens from this one on.
    Run(Token, usize),
}

impl Unsent {
    pub(super) fn push(&mut self, messages: Leaving) {
        self.0.push_back(messages);
    }

    /// Takes out the first messages, up to a number.
    pub(super) fn pop(&mut self, at_most: usize) -> Option<Leaving> {
        if let Some(Leaving::Run(first, count)) = self.0.front_mut()
            && *count > at_most
        {
            let part = Leaving::Run(*first, at_most);
            (first.0, *count) = (first.0 + at_most as u64, *count - at_most);
            return Some(part);
        }
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self, kept_places: usize) {
        if self.0.capacity() > kept_places {
            self.0 = VecDeque::new();
        }
    }
}

impl Leaving {
    pub(super) const fn count(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Run(_, count) => *count,
        }
    }

    pub(super) const fn first(&self) -> Token {
        match self {
            Self::One(publishing, _) => publishing.token,
            Self::Run(first, _) => *first,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What is sent and answered by the dice, compared with a map.
    fn behaves_like_a_map(seed: u64, is_mostly_in_order: bool) {
        let mut random = seed;
        let mut dice = |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let (mut in_flight, mut map) = (InFlight::new(), BTreeMap::new());
        // Near the end of the circle, which it goes over.
        let (mut id, mut token) = (PacketId::new(65_000).unwrap(), Token(7));
        for _ in 0..if cfg!(miri) { 200 } else { 20_000 } {
            let stray = dice(if is_mostly_in_order { 64 } else { 4 }) == 0;
            if map.len() < 40 && dice(2) == 0 {
                let qos = if stray { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
                (id, token.0) = (id.next(), token.0 + 1 + u64::from(stray));
                if map.contains_key(&id) {
                    continue;
                }
                if stray && dice(2) == 0 {
                    let publishing = Publishing::from(Flying { token, qos, more: None });
                    in_flight.insert(id, publishing);
                } else {
                    // Some at once.
                    let mut count = 1 + dice(4);
                    while map.contains_key(&id.after(u16::try_from(count - 1).unwrap()))
                        || map.len() as u64 + count > 40
                    {
                        count -= 1;
                    }
                    in_flight.insert_run(id, token, qos, u16::try_from(count).unwrap());
                    for _ in 1..count {
                        map.insert(id, (token, qos));
                        (id, token.0) = (id.next(), token.0 + 1);
                    }
                }
                map.insert(id, (token, qos));
            } else {
                let oldest = map.iter().min_by_key(|(_, (token, _))| token.0).map(|(id, _)| *id);
                let any = PacketId::new(u16::try_from(1 + dice(65_535)).unwrap()).unwrap();
                let some = map.keys().nth(usize::try_from(dice(40)).unwrap()).copied();
                let answered = if stray { some.unwrap_or(any) } else { oldest.unwrap_or(any) };
                assert_eq!(in_flight.token(answered), map.get(&answered).map(|(token, _)| *token));
                if dice(8) == 0 {
                    let expected = map.remove(&answered);
                    let removed = in_flight.remove(answered).map(|publishing| (publishing.token, publishing.qos));
                    assert_eq!(removed, expected);
                } else {
                    let count = u16::try_from(1 + dice(6)).unwrap();
                    let mut completed = Vec::new();
                    in_flight.complete(answered, count, |id, token, count| {
                        completed.extend((0..count).map(|steps| (id.after(steps), Token(token.0 + u64::from(steps)))));
                    });
                    let answered = (0..count).map(|steps| answered.after(steps));
                    let expected: Vec<_> =
                        answered.filter_map(|id| map.remove(&id).map(|(token, _)| (id, token))).collect();
                    assert_eq!(completed, expected);
                }
            }
            let exactly_once = map.values().filter(|(_, qos)| *qos == QoS::ExactlyOnce).count();
            assert_eq!((in_flight.is_empty(), in_flight.exactly_once), (map.is_empty(), exactly_once));
        }
        let mut left: Vec<_> = in_flight.drain().map(|publishing| publishing.token).collect();
        left.sort();
        let mut expected: Vec<_> = map.values().map(|(token, _)| *token).collect();
        expected.sort();
        assert_eq!(left, expected);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn a_message_is_found_by_its_identifier_in_whatever_order_it_is_answered() {
        for seed in 0..8 {
            behaves_like_a_map(seed, false);
            behaves_like_a_map(seed, true);
        }
    }

    #[test]
    fn messages_that_are_answered_in_their_order_are_only_counted() {
        let mut in_flight = InFlight::new();
        let first = PacketId::new(65_500).unwrap();
        for number in 0..50_u16 {
            in_flight.insert_run(first.after(2 * number), Token(u64::from(2 * number)), QoS::AtLeastOnce, 2);
        }
        assert_eq!((in_flight.others.len(), in_flight.line.count), (0, 100));
    }
}
