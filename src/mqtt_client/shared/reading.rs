//! How far the worker reads ahead of the callbacks.

use std::sync::atomic::Ordering;

use super::{Shared, lock};

impl Shared {
    pub(in crate::mqtt_client) fn add_undelivered(&self, bytes: usize) {
        self.undelivered.fetch_add(bytes, Ordering::SeqCst);
    }

    /// A batch has been handled: a worker that has stopped reading looks again when half of what was too much is done.
    pub(in crate::mqtt_client) fn remove_undelivered(&self, bytes: usize) {
        let left = self.undelivered.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        let is_waited_for =
            left <= self.reads_on_at.load(Ordering::SeqCst) && self.reads_on_at.swap(0, Ordering::SeqCst) > 0;
        if is_waited_for || (self.is_reading_paused() && self.little_is_undelivered()) {
            self.wake();
        }
    }

    /// Whether so much is undelivered. The worker is woken when half of it is done.
    pub(in crate::mqtt_client) fn is_ahead(&self, bytes: usize) -> bool {
        let is_ahead = || self.undelivered.load(Ordering::SeqCst) >= bytes;
        let wants_to_know = || self.reads_on_at.store(bytes / 2, Ordering::SeqCst);
        // What was done before that was said has woken nobody.
        is_ahead() && (wants_to_know(), is_ahead()).1
    }

    /// So much that reading has to pause.
    pub(in crate::mqtt_client) fn too_much_undelivered(&self) -> bool {
        self.undelivered.load(Ordering::SeqCst) >= self.bounds.undelivered
    }

    /// So little that reading that was paused goes on. To go on right below the bound would cost a wake-up a batch.
    pub(in crate::mqtt_client) fn little_is_undelivered(&self) -> bool {
        self.undelivered.load(Ordering::SeqCst) <= self.bounds.undelivered / 2
    }

    /// Says whether the worker reads. A callback that waits for a result learns that none can come.
    pub(in crate::mqtt_client) fn set_reading_paused(&self, paused: bool) {
        self.reading_paused.store(paused, Ordering::SeqCst);
        if paused && let Some(waiting) = &*lock(&self.waiting_callback) {
            waiting.look_again();
        }
    }

    pub(in crate::mqtt_client) fn is_reading_paused(&self) -> bool {
        self.reading_paused.load(Ordering::SeqCst)
    }
}
