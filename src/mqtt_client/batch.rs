//! Messages as they travel to the callbacks: together with the bytes they lie in, so that nothing is copied for each.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::{MqttPublish, Receipt};
use super::properties::PropertyBlock;
use crate::session;
use crate::types::QoS;

/// How many batches and how many buffers are kept to be filled again.
const MAX_SPARE: usize = 8;
/// A batch that keeps more memory busy than this, beside its bytes, is not kept.
const MAX_SPARE_COST: usize = 256 * 1024;
/// Bytes of all buffers that are kept.
const MAX_SPARE_BYTES: usize = 4 * 1024 * 1024;
/// A buffer that input is read into is at least so long.
pub(super) const BUFFER: usize = 64 * 1024;

/// Messages together with the bytes they lie in.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Where the places count from.
    pub(super) origin: usize,
    /// Topics that do not stand in the bytes, since an alias did.
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
    pub(super) topic: Span,
    pub(super) payload: Span,
    pub(super) properties: Span,
    pub(super) receipt: Option<session::Receipt>,
    pub(super) qos: QoS,
    /// The topic stands in [`Batch::topics`].
    pub(super) by_alias: bool,
    pub(super) dup: bool,
    pub(super) retain: bool,
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
        self.places.iter().any(|place| place.qos == QoS::ExactlyOnce)
    }

    fn cost_beside_bytes(&self) -> usize {
        size_of::<Self>() + self.topics.capacity() + self.places.capacity() * size_of::<Place>()
    }

    /// The place of a topic that an alias stands for: a short packet must not cost a copy of a long topic each time.
    pub(super) fn topic_by_alias(&mut self, alias: NonZeroU16, topic: &str) -> Span {
        let known = self.aliases.iter().rfind(|(known, _)| *known == alias).map(|(_, span)| *span);
        if let Some(span) = known.filter(|span| self.topics.get(span.range()) == Some(topic)) {
            return span;
        }
        let span = Span::new(self.topics.len(), topic.len());
        self.topics.push_str(topic);
        self.aliases.push((alias, span));
        span
    }

    /// The message at `index`. The topic that came twice in a row last is kept as `repeated`: messages mostly come in runs,
    /// and comparing bytes costs less than checking once more that they are UTF-8.
    pub(super) fn message<'b>(&'b self, index: usize, repeated: &'b mut String) -> Option<MqttPublish<'b>> {
        let place = self.places.get(index)?;
        let whole = self.bytes.get(self.origin..).unwrap_or(&[]);
        let bytes = |span: Span| whole.get(span.range()).unwrap_or(&[]);
        let name = bytes(place.topic);
        // The decoder has checked it.
        let text = || std::str::from_utf8(name).unwrap_or("");
        let is_repeated = || {
            let before = index.checked_sub(1).and_then(|before| self.places.get(before));
            before.is_some_and(|before| !before.by_alias && bytes(before.topic) == name)
        };
        let mut is_known = repeated.as_bytes() == name;
        if !is_known && !place.by_alias && is_repeated() {
            repeated.clear();
            repeated.push_str(text());
            is_known = true;
        }
        let topic = match is_known {
            _ if place.by_alias => self.topics.get(place.topic.range()).unwrap_or(""),
            true => repeated,
            false => text(),
        };
        Some(MqttPublish {
            topic_name: Cow::Borrowed(topic),
            payload: Cow::Borrowed(bytes(place.payload)),
            qos: place.qos.bits(),
            dup: place.dup,
            retain: place.retain,
            packet_id: place.receipt.map(|receipt| receipt.packet_id().value()),
            properties: PropertyBlock::from_checked(bytes(place.properties)),
            receipt: self.receipt(place),
        })
    }

    /// What acknowledges a message.
    pub(super) fn receipt(&self, place: &Place) -> Option<Receipt> {
        let (connection, session) = self.numbers;
        place.receipt.map(|inner| Receipt { inner, qos: place.qos, connection, session })
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

    /// A buffer of at least this length, and of [`BUFFER`]. What is in it is of no meaning.
    pub(super) fn take_buffer(&self, len: usize) -> Vec<u8> {
        let mut buffers = lock(&self.buffers);
        if let Some(index) = buffers.iter().rposition(|buffer| buffer.len() >= len) {
            return buffers.remove(index);
        }
        // One that is too short only takes the place of those that are asked for.
        buffers.pop();
        drop(buffers);
        vec![0; len.max(BUFFER)]
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
    fn every_message_has_its_own_topic_whatever_came_before() {
        let mut batch = Batch { bytes: b"-a/b1c/d2".to_vec(), origin: 1, ..Batch::default() };
        let place = |start, topic: &str, by_alias| Place {
            topic: Span::new(start, topic.len()),
            payload: Span::new(start + topic.len(), 1),
            properties: Span::default(),
            receipt: None,
            qos: QoS::AtMostOnce,
            by_alias,
            dup: false,
            retain: false,
        };
        batch.topics.push_str("alias");
        let (first, second) = (place(0, "a/b", false), place(4, "c/d", false));
        let by_alias = place(0, "alias", true);
        batch.places.extend([first, second, second, first, first, second, by_alias, first, by_alias, by_alias, first]);
        let mut repeated = String::new();
        let mut topics = Vec::new();
        for index in 0..batch.places.len() {
            topics.extend(batch.message(index, &mut repeated).map(|publish| publish.topic_name.into_owned()));
        }
        assert_eq!(topics, ["a/b", "c/d", "c/d", "a/b", "a/b", "c/d", "alias", "a/b", "alias", "alias", "a/b"]);
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
