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
    messages: Fifo<Flying>,
    exactly_once: usize,
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
        Self { messages: Fifo::new(), exactly_once: 0 }
    }

    /// How many more messages the session may have, as far as it does not decide that itself.
    pub(super) fn room(&self, qos: QoS, version: ProtocolVersion) -> usize {
        let is_told = version.is_v5() || qos != QoS::ExactlyOnce;
        if is_told { usize::MAX } else { UNTOLD_EXACTLY_ONCE.saturating_sub(self.exactly_once) }
    }

    pub(super) fn insert(&mut self, packet_id: PacketId, publishing: Publishing) {
        self.push(packet_id, publishing.into());
    }

    /// As [`Self::insert`], for a message of which nothing else has to be known.
    pub(super) fn insert_plain(&mut self, packet_id: PacketId, token: Token, qos: QoS) {
        self.push(packet_id, Flying { token, qos, more: None });
    }

    fn push(&mut self, packet_id: PacketId, message: Flying) {
        self.exactly_once += usize::from(message.qos == QoS::ExactlyOnce);
        self.messages.push(packet_id, message);
    }

    pub(super) fn remove(&mut self, packet_id: PacketId) -> Option<Publishing> {
        self.take(packet_id).map(Publishing::from)
    }

    /// Removes a message that the server has acknowledged without a word; its token.
    pub(super) fn complete(&mut self, packet_id: PacketId) -> Option<Token> {
        let Flying { token, qos, more } = self.take(packet_id)?;
        if let Some(tracked) = more.and_then(|more| more.tracked) {
            tracked.complete(PublishResult::acknowledged(token, qos, packet_id));
        }
        Some(token)
    }

    fn take(&mut self, packet_id: PacketId) -> Option<Flying> {
        let message = self.messages.remove(packet_id)?;
        self.exactly_once -= usize::from(message.qos == QoS::ExactlyOnce);
        Some(message)
    }

    /// The token of a message.
    pub(super) fn token(&self, packet_id: PacketId) -> Option<Token> {
        self.messages.get(packet_id).map(|message| message.token)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Publishing> {
        self.exactly_once = 0;
        self.messages.drain().map(Publishing::from)
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        self.messages.shrink();
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
