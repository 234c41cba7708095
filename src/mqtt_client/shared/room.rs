//! What has room in the queue, and who waits for it.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Shared, lock};
use crate::mqtt_client::error::ClientError;
use crate::mqtt_client::hub::is_some_worker;
use crate::mqtt_client::queue::{LONG, Places, Queue};

/// The bounds of what waits for the worker.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt_client) struct Bounds {
    pub(in crate::mqtt_client) commands: usize,
    pub(in crate::mqtt_client) bytes: usize,
    pub(in crate::mqtt_client) unreported: usize,
    pub(in crate::mqtt_client) undelivered: usize,
    /// What is taken while there is no connection; none if messages are dropped for more.
    pub(in crate::mqtt_client) buffer: Option<Places>,
}

/// Who can wait does so from here on: what lies in the queue stays in the cache then.
pub(in crate::mqtt_client) const PATIENT_BYTES: usize = 256 * 1024;

impl Bounds {
    /// The bound in bytes for those who wait for room.
    fn patient_bytes(&self) -> usize {
        self.bytes.min(PATIENT_BYTES)
    }
}

/// Whether a call waits for room, and how long. The clock is only read when it does: that costs as much as an encoding.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt_client) enum Patience {
    None,
    For(Duration),
}

/// What the queue still takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt_client) struct Room {
    pub(in crate::mqtt_client) places: usize,
    pub(in crate::mqtt_client) bytes: usize,
    /// The bound in bytes that holds for this caller.
    pub(in crate::mqtt_client) bound: usize,
}

impl Shared {
    /// Waits for room before a long message is encoded, so that what waits is not the encoded one; the patience that is
    /// left.
    pub(in crate::mqtt_client) fn await_room(&self, bytes: usize, patience: Patience) -> Result<Patience, ClientError> {
        if bytes < LONG {
            return Ok(patience);
        }
        let begun = Instant::now();
        drop(self.queue_with_room(bytes, patience)?);
        Ok(match patience {
            Patience::None => Patience::None,
            Patience::For(timeout) => Patience::For(timeout.saturating_sub(begun.elapsed())),
        })
    }

    /// Whether a message of so many bytes has room at the moment.
    pub(in crate::mqtt_client) fn check_bytes(&self, bytes: usize, bound: usize) -> Result<(), ClientError> {
        self.check_publish(&lock(&self.queue), bytes, bound)
    }

    /// The queue, when it takes a message of so many bytes.
    #[inline]
    pub(super) fn queue_with_room(
        &self,
        bytes: usize,
        patience: Patience,
    ) -> Result<MutexGuard<'_, Queue>, ClientError> {
        let queue = lock(&self.queue);
        if !queue.shut && !self.is_full(&queue, bytes, self.bound(patience)) && !self.is_buffer_full(&queue, bytes) {
            return Ok(queue);
        }
        self.queue_without_room(queue, bytes, patience)
    }

    #[cold]
    fn queue_without_room<'q>(
        &'q self,
        queue: MutexGuard<'q, Queue>,
        bytes: usize,
        patience: Patience,
    ) -> Result<MutexGuard<'q, Queue>, ClientError> {
        match (self.check_publish(&queue, bytes, self.bound(patience)), patience) {
            (Ok(()), _) => Ok(queue),
            (Err(error), Patience::For(timeout)) if error.is_lack_of_room() => {
                self.wait_until_half_empty(queue, bytes, Instant::now().checked_add(timeout))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The bound in bytes for who has so much patience.
    fn bound(&self, patience: Patience) -> usize {
        match patience {
            Patience::None => self.bounds.bytes,
            Patience::For(_) => self.bounds.patient_bytes(),
        }
    }

    /// Waits until the queue is half empty and takes an item of so many bytes; at the deadline any room will do.
    pub(in crate::mqtt_client) fn wait_for_room(
        &self,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<(), ClientError> {
        self.wait_until_half_empty(lock(&self.queue), bytes, deadline).map(drop)
    }

    fn wait_until_half_empty<'q>(
        &'q self,
        mut queue: MutexGuard<'q, Queue>,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'q, Queue>, ClientError> {
        if self.hub.is_callback_thread() || is_some_worker() {
            return Err(ClientError::WouldDeadlock);
        }
        self.waiting_for_room.fetch_add(1, Ordering::SeqCst);
        let result = loop {
            let full = match self.check_publish(&queue, bytes, self.bounds.patient_bytes()) {
                Ok(()) if self.is_half_empty(&queue) => break Ok(()),
                Ok(()) => None,
                Err(error) if error.is_lack_of_room() => Some(error),
                Err(error) => break Err(error),
            };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            queue = match left {
                // Half empty is for those that can wait on.
                Some(Duration::ZERO) => break full.map_or(Ok(()), Err),
                Some(left) => self.has_room.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.has_room.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        };
        self.waiting_for_room.fetch_sub(1, Ordering::SeqCst);
        result.map(|()| queue)
    }

    pub(super) fn check_room(&self, queue: &Queue, bytes: usize, bound: usize) -> Result<(), ClientError> {
        if queue.shut {
            return Err(ClientError::ShutDown);
        }
        if self.is_full(queue, bytes, bound) { Err(ClientError::QueueFull) } else { Ok(()) }
    }

    #[inline]
    pub(super) fn is_full(&self, queue: &Queue, bytes: usize, bound: usize) -> bool {
        queue.places >= self.bounds.commands
            || self.unreported.load(Ordering::SeqCst) >= self.bounds.unreported
            // One item above the bound in bytes passes when nothing else waits, or it never could.
            || (queue.bytes > 0 && queue.bytes + bytes > bound)
    }

    pub(super) fn check_publish(&self, queue: &Queue, bytes: usize, bound: usize) -> Result<(), ClientError> {
        self.check_room(queue, bytes, bound)?;
        if self.is_buffer_full(queue, bytes) { Err(ClientError::BufferFull) } else { Ok(()) }
    }

    /// Whether a message may not wait for a connection, where it has to.
    #[inline]
    pub(super) fn is_buffer_full(&self, queue: &Queue, bytes: usize) -> bool {
        let Some(buffer) = self.bounds.buffer.filter(|_| !queue.connected) else { return false };
        let count = queue.new.count + queue.taken.count + queue.pending.count;
        let held = queue.new.bytes + queue.taken.bytes + queue.pending.bytes;
        count >= buffer.count || (count > 0 && held + bytes > buffer.bytes)
    }

    /// How many results may wait for their callbacks.
    pub(in crate::mqtt_client) const fn most_unreported(&self) -> usize {
        self.bounds.unreported
    }

    /// Whether a message may be refused where those before it were taken.
    pub(in crate::mqtt_client) const fn may_refuse_some(&self) -> bool {
        self.bounds.buffer.is_some()
    }

    fn is_half_empty(&self, queue: &Queue) -> bool {
        queue.places <= self.bounds.commands / 2
            && queue.bytes <= self.bounds.patient_bytes() / 2
            && self.unreported.load(Ordering::SeqCst) <= self.bounds.unreported / 2
    }

    /// Lets those go on that wait for room, if there is enough of it: once nobody holds the queue, which they need.
    pub(super) fn tell_room(&self, queue: MutexGuard<'_, Queue>) {
        let tells = self.waiting_for_room.load(Ordering::SeqCst) > 0 && self.is_half_empty(&queue);
        drop(queue);
        if tells {
            self.has_room.notify_all();
        }
    }

    /// Places and bytes that are free in the queue at the moment, for those who may wait and for those who may not.
    pub(in crate::mqtt_client) fn room(&self, may_wait: bool) -> Room {
        let bound = if may_wait { self.bounds.patient_bytes() } else { self.bounds.bytes };
        let queue = lock(&self.queue);
        let places = self.bounds.commands.saturating_sub(queue.places);
        Room { places, bytes: bound.saturating_sub(queue.bytes), bound }
    }
}
