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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;
    use crate::types::PacketId;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Fails as often as it is told; says how many changes it has taken.
    struct Failing {
        failures: u32,
        taken: Sender<usize>,
    }

    impl Disk for Failing {
        fn apply(&mut self, ops: &[Op]) -> Result<(), PersistenceError> {
            if self.failures > 0 {
                self.failures -= 1;
                return Err(PersistenceError::Io { path: "disk".into(), reason: "full".to_string() });
            }
            self.taken.send(ops.len()).unwrap();
            Ok(())
        }
    }

    /// A keeper with its thread; what the disk has taken, and that there are news.
    fn keeper(failures: u32) -> (Arc<Keeper>, Receiver<usize>, Receiver<()>, thread::JoinHandle<()>) {
        let keeper = Arc::<Keeper>::default();
        let ((taken, has_taken), (tell, told)) = (channel(), channel());
        let running = Arc::clone(&keeper);
        let thread = thread::spawn(move || running.run(Failing { failures, taken }, || tell.send(()).unwrap()));
        (keeper, has_taken, told, thread)
    }

    fn ops() -> Vec<Op> {
        vec![Op::Received(PacketId::MIN), Op::Completed(PacketId::MIN)]
    }

    #[test]
    fn changes_wait_for_a_disk_that_fails_for_a_while_and_the_failure_is_told_once() {
        let (keeper, has_taken, told, thread) = keeper(2);
        keeper.submit(&mut ops(), 1);
        told.recv_timeout(PATIENCE).unwrap();
        let news = keeper.news();
        assert!(news.durable == 0 && news.error.is_some());
        keeper.submit(&mut ops(), 2);
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(2));
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(2));
        told.recv_timeout(PATIENCE).unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        let news = keeper.news();
        assert!(news.durable == 2 && news.error.is_none(), "{news:?}");
        keeper.close();
        thread.join().unwrap();
    }

    #[test]
    fn what_was_handed_over_before_the_end_is_kept_and_only_a_failing_disk_is_given_up() {
        let (keeper, has_taken, _told, thread) = keeper(0);
        assert!(!keeper.close_if_failing());
        keeper.submit(&mut ops(), 1);
        keeper.close();
        thread.join().unwrap();
        assert_eq!(has_taken.try_iter().sum::<usize>(), 2);
    }

    #[test]
    fn a_disk_that_goes_on_failing_is_given_up_when_the_client_ends() {
        let (keeper, has_taken, told, thread) = keeper(u32::MAX);
        keeper.submit(&mut ops(), 1);
        told.recv_timeout(PATIENCE).unwrap();
        assert!(keeper.close_if_failing());
        thread.join().unwrap();
        assert_eq!((keeper.news().durable, has_taken.try_iter().count()), (0, 0));
    }
}
