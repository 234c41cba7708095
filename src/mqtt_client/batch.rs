//! Messages as they travel to the callbacks: together with the bytes they lie in, so that nothing is copied for each.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::command::Acknowledgement;
use super::event::{MqttPublish, Receipt};
use super::properties::PropertyBlock;
use crate::session::{self, Message};
use crate::types::{QoS, ReasonCode};

/// How many batches and how many buffers are kept to be filled again.
const MAX_SPARE: usize = 8;
/// A batch that keeps more memory busy than this, beside its bytes, is not kept.
const MAX_SPARE_COST: usize = 256 * 1024;
/// Bytes of all buffers that are kept.
const MAX_SPARE_BYTES: usize = 4 * 1024 * 1024;
/// A buffer that travels with its messages is at least so long.
pub(super) const BUFFER: usize = 64 * 1024;

/// Messages together with the bytes they lie in.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where the places count from.
    pub(super) origin: usize,
    /// Topics, each once for the messages in a row that have it: what is text here is not checked again to be UTF-8.
    topics: String,
    /// Where the topic of an alias stands there.
    aliases: Vec<(NonZeroU16, Span)>,
    pub(super) places: Vec<Place>,
    /// The numbers of the connection and of the session that the messages came by.
    pub(super) numbers: (u64, u64),
}

/// Where a message lies in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// In [`Batch::topics`].
    pub(super) topic: Span,
    pub(super) payload: Span,
    pub(super) properties: Span,
    pub(super) receipt: Option<session::Receipt>,
    pub(super) flags: Flags,
}

/// QoS, DUP and RETAIN as they stand in the first byte of a PUBLISH.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const fn new(low_bits: u8) -> Self {
        Self(low_bits & 0x0F)
    }

    pub(super) fn of(message: &Message<'_>) -> Self {
        Self(u8::from(message.retain) | message.qos.bits() << 1 | u8::from(message.dup) << 3)
    }

    const fn qos(self) -> u8 {
        self.0 >> 1 & 3
    }

    const fn dup(self) -> bool {
        self.0 & 8 != 0
    }

    const fn retain(self) -> bool {
        self.0 & 1 != 0
    }
}

/// Some bytes of a batch. Half of what a range takes: there is one for every part of every message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// No packet comes near 4 GiB, nor does a buffer; what did would read as nothing.
    pub(super) fn new(start: usize, len: usize) -> Self {
        match (u32::try_from(start), u32::try_from(len)) {
            (Ok(start), Ok(len)) => Self { start, len },
            _ => Self::default(),
        }
    }

    /// Where a part of `whole` lies in it.
    pub(super) fn of(whole: &[u8], part: &[u8]) -> Self {
        Self::new(part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr()), part.len())
    }

    const fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

impl Batch {
    /// Memory that it keeps busy.
    pub(super) fn cost(&self) -> usize {
        self.bytes.capacity() + self.cost_beside_bytes()
    }

    /// Whether a message of QoS 2 is in it.
    pub(super) fn has_exactly_once(&self) -> bool {
        self.places.iter().any(|place| place.flags.qos() == QoS::ExactlyOnce.bits())
    }

    /// Whether its last message is to be acknowledged.
    pub(super) fn ends_with_receipt(&self) -> bool {
        self.places.last().is_some_and(|place| place.receipt.is_some())
    }

    fn cost_beside_bytes(&self) -> usize {
        size_of::<Self>() + self.topics.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// The place of a topic, which is that of the message before where there is no other.
    pub(super) fn topic(&mut self, topic: &str) -> Span {
        match self.places.last() {
            Some(last) if self.topics.get(last.topic.range()) == Some(topic) => last.topic,
            _ => self.add_topic(topic),
        }
    }

    pub(super) fn add_topic(&mut self, topic: &str) -> Span {
        let span = Span::new(self.topics.len(), topic.len());
        self.topics.push_str(topic);
        span
    }

    /// The place of a topic that an alias stands for: a short packet must not cost a copy of a long topic each time.
    pub(super) fn topic_by_alias(&mut self, alias: NonZeroU16, topic: &str) -> Span {
        let known = self.aliases.iter().rfind(|(known, _)| *known == alias).map(|(_, span)| *span);
        if let Some(span) = known.filter(|span| self.topics.get(span.range()) == Some(topic)) {
            return span;
        }
        let span = self.add_topic(topic);
        self.aliases.push((alias, span));
        span
    }

    /// A message of this batch.
    #[inline]
    pub(super) fn message(&self, place: &Place) -> MqttPublish<'_> {
        let whole = self.bytes.get(self.origin..).unwrap_or(&[]);
        let bytes = |span: Span| whole.get(span.range()).unwrap_or(&[]);
        MqttPublish {
            topic_name: Cow::Borrowed(self.topics.get(place.topic.range()).unwrap_or("")),
            payload: Cow::Borrowed(bytes(place.payload)),
            qos: place.flags.qos(),
            dup: place.flags.dup(),
            retain: place.flags.retain(),
            packet_id: place.receipt.map(|receipt| receipt.packet_id().value()),
            properties: PropertyBlock::from_checked(bytes(place.properties)),
            receipt: self.receipt(place),
        }
    }

    /// What acknowledges a message.
    pub(super) fn receipt(&self, place: &Place) -> Option<Receipt> {
        let (connection, session) = self.numbers;
        let qos = if place.flags.qos() == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        place.receipt.map(|inner| Receipt { inner, qos, connection, session })
    }

    /// What acknowledges the messages from that place on.
    pub(super) fn acknowledgements(&self, from: usize) -> impl Iterator<Item = Acknowledgement> {
        self.acknowledgements_of(from..self.places.len())
    }

    /// What acknowledges some of the messages. Those of QoS 1 that came one after the other have one in common.
    pub(super) fn acknowledgements_of(&self, range: Range<usize>) -> impl Iterator<Item = Acknowledgement> {
        let places = self.places.get(range).unwrap_or(&[]);
        let mut places = places.iter().filter(|place| place.receipt.is_some()).peekable();
        std::iter::from_fn(move || {
            let receipt = self.receipt(places.next()?)?;
            let mut count = 1;
            // An exchange of QoS 2 goes on, so each has its own.
            if receipt.qos == QoS::AtLeastOnce {
                let follows = |place: &Place, count| {
                    place.flags.qos() == 1 && place.receipt.is_some_and(|next| next.is_behind(receipt.inner, count))
                };
                while count < u16::MAX && places.next_if(|place| follows(place, count)).is_some() {
                    count += 1;
                }
            }
            Some(Acknowledgement { receipt, count, code: ReasonCode::SUCCESS, by_hand: false })
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.topics.clear();
        self.aliases.clear();
        self.places.clear();
        self.origin = 0;
    }
}

/// Memory to be filled again, kept for all clients of a runtime.
#[derive(Default)]
pub(super) struct Spares {
    batches: Mutex<Vec<Batch>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spares {
    /// An empty batch.
    pub(super) fn take_batch(&self) -> Batch {
        lock(&self.batches).pop().unwrap_or_default()
    }

    /// Keeps what is left of a batch, unless there is enough of it.
    pub(super) fn keep_batch(&self, mut batch: Batch) {
        if batch.bytes.len() >= BUFFER {
            self.keep_buffer(std::mem::take(&mut batch.bytes));
        }
        batch.clear();
        let mut batches = lock(&self.batches);
        if batches.len() < MAX_SPARE && batch.cost_beside_bytes() <= MAX_SPARE_COST {
            batches.push(batch);
        }
    }

    /// A buffer of at least this length. What is in it is of no meaning.
    pub(super) fn take_buffer(&self, len: usize) -> Vec<u8> {
        let mut buffers = lock(&self.buffers);
        if let Some(index) = buffers.iter().rposition(|buffer| buffer.len() >= len) {
            return buffers.remove(index);
        }
        // One that is too short only takes the place of those that are asked for.
        buffers.pop();
        drop(buffers);
        vec![0; len]
    }

    /// Keeps a buffer in its full length, so that it is never filled with zeros again, unless there are enough.
    pub(super) fn keep_buffer(&self, buffer: Vec<u8>) {
        let mut buffers = lock(&self.buffers);
        let kept: usize = buffers.iter().map(Vec::len).sum();
        if buffer.len() >= BUFFER && buffers.len() < MAX_SPARE && kept + buffer.len() <= MAX_SPARE_BYTES {
            buffers.push(buffer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_own_topic_and_those_in_a_row_share_one() {
        let mut batch = Batch::default();
        let alias = NonZeroU16::MIN;
        let topics = ["a/b", "a/b", "c/d", "a/b", "by alias", "by alias", "c/d", "by alias", "redefined", "redefined"];
        for topic in topics {
            let by_alias = topic == "by alias" || topic == "redefined";
            let topic = if by_alias { batch.topic_by_alias(alias, topic) } else { batch.topic(topic) };
            let (payload, properties) = (Span::default(), Span::default());
            batch.places.push(Place { topic, payload, properties, receipt: None, flags: Flags::new(0) });
        }
        assert!(batch.places.iter().map(|place| batch.message(place).topic_name).eq(topics));
        assert_eq!(batch.topics, "a/bc/da/bby aliasc/dredefined");
    }

    #[test]
    fn a_buffer_comes_back_in_its_full_length_and_only_so_many_are_kept() {
        let spares = Spares::default();
        let mut batch = spares.take_batch();
        batch.bytes = spares.take_buffer(2 * BUFFER);
        let place = batch.bytes.as_ptr();
        spares.keep_batch(batch);
        assert!(spares.take_batch().bytes.is_empty());
        let again = spares.take_buffer(BUFFER);
        assert_eq!((again.as_ptr(), again.len()), (place, 2 * BUFFER));
        for _ in 0..2 * MAX_SPARE {
            spares.keep_buffer(vec![0; MAX_SPARE_BYTES / 4]);
        }
        assert_eq!(lock(&spares.buffers).len(), 4);
    }
}
