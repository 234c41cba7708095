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

    pub(super) fn message(&self, place: &Place) -> MqttPublish<'_> {
        let whole = self.bytes.get(self.origin..).unwrap_or(&[]);
        let bytes = |span: Span| whole.get(span.range()).unwrap_or(&[]);
        let topic = if place.by_alias {
            self.topics.get(place.topic.range())
        } else {
            // The decoder has checked it.
            std::str::from_utf8(bytes(place.topic)).ok()
        };
        MqttPublish {
            topic_name: Cow::Borrowed(topic.unwrap_or("")),
            payload: Cow::Borrowed(bytes(place.payload)),
            qos: place.qos.bits(),
            dup: place.dup,
            retain: place.retain,
            packet_id: place.receipt.map(|receipt| receipt.packet_id().value()),
            properties: PropertyBlock::from_checked(bytes(place.properties)),
            receipt: self.receipt(place),
        }
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
