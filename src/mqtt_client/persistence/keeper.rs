//! The thread that writes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::StoreFile;
use super::options::PersistenceError;
use super::record::Op;

/// How long a disk that has failed is left alone.
const RETRY: Duration = Duration::from_millis(500);

/// What the worker and the thread have in common.
#[derive(Default)]
pub(super) struct Keeper {
    state: Mutex<State>,
    has_changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Changes that the thread has not taken, and the batch that they end with.
    ops: Vec<Op>,
    batch: u64,
    /// Batches up to this one are in the file.
    durable: u64,
    /// What the thread has failed with since it was last asked.
    error: Option<PersistenceError>,
    /// The thread has failed, and waits before it tries again.
    failing: bool,
    closing: bool,
}

/// What the worker learns.
#[derive(Debug)]
pub(super) struct News {
    pub(super) durable: u64,
    /// The disk has begun to fail.
    pub(super) error: Option<PersistenceError>,
}

impl Keeper {
    /// Gives a batch to the thread.
    pub(super) fn submit(&self, ops: &mut Vec<Op>, batch: u64) {
        let mut state = self.lock();
        state.ops.append(ops);
        state.batch = batch;
        drop(state);
        self.has_changed.notify_one();
    }

    pub(super) fn news(&self) -> News {
        let mut state = self.lock();
        News { durable: state.durable, error: state.error.take() }
    }

    /// Ends the thread, once it has done what it can.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.has_changed.notify_one();
    }

    /// Ends the thread where the disk fails; whether it does. What is not in the file then never will be.
    pub(super) fn close_if_failing(&self) -> bool {
        let mut state = self.lock();
        state.closing |= state.failing;
        let is_failing = state.failing;
        drop(state);
        self.has_changed.notify_one();
        is_failing
    }

    /// The thread. It calls `tell` when there are news.
    pub(super) fn run(&self, mut file: impl Disk, tell: impl Fn()) {
        while let Some((ops, batch)) = self.take() {
            while let Err(error) = write(&mut file, &ops) {
                if !self.fail(error, &tell) {
                    return;
                }
            }
            let mut state = self.lock();
            (state.durable, state.failing) = (batch, false);
            drop(state);
            tell();
        }
    }

    /// Waits for changes; none at the end.
    fn take(&self) -> Option<(Vec<Op>, u64)> {
        let mut state = self.lock();
        while state.batch == state.durable {
            if state.closing {
                return None;
            }
            state = self.has_changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some((std::mem::take(&mut state.ops), state.batch))
    }

    /// Waits before another attempt; `false` if there is none.
    fn fail(&self, error: PersistenceError, tell: &impl Fn()) -> bool {
        let mut state = self.lock();
        if !std::mem::replace(&mut state.failing, true) {
            state.error = Some(error);
            drop(state);
            tell();
            state = self.lock();
        }
        let is_open = |state: &mut State| !state.closing;
        let waited = self.has_changed.wait_timeout_while(state, RETRY, is_open);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where changes are kept.
pub(super) trait Disk {
    /// Puts changes there, all or none. After an error the same ones come again.
    fn apply(&mut self, ops: &[Op]) -> Result<(), PersistenceError>;
}

impl Disk for StoreFile {
    fn apply(&mut self, ops: &[Op]) -> Result<(), PersistenceError> {
        Self::apply(self, ops)
    }
}

fn write(disk: &mut impl Disk, ops: &[Op]) -> Result<(), PersistenceError> {
    // A batch without changes is there for what waits behind earlier ones.
    if ops.is_empty() { Ok(()) } else { disk.apply(ops) }
}
