//! The thread that writes.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ended::{Hearer, Telling};
use super::file::StoreFile;
use super::options::PersistenceError;
use super::record::Op;
use crate::mqtt_client::token::Token;

/// How long a disk that has failed is left alone.
const RETRY: Duration = Duration::from_millis(500);
/// How long outcomes that were told stay in the file for other changes to go with: mostly another message follows.
const TOLD_DELAY: Duration = Duration::from_millis(1);

/// What the worker and the thread have in common.
#[derive(Default)]
pub(in crate::mqtt_client) struct Keeper {
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
    /// Outcomes that the application has heard, and when they leave the file by themselves.
    told: Vec<Token>,
    told_until: Option<Instant>,
    /// How many the listener has not heard.
    unheard: usize,
    /// Those that two have to hear, and who has.
    shared: HashMap<Token, Option<Hearer>>,
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

/// What the thread does next.
enum Next {
    /// Changes, and the batch they end with.
    Write(Vec<Op>, u64),
    /// Nothing is left but outcomes that nobody has heard.
    Linger,
    End,
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

    /// An outcome goes to the listener, and to one who waits for it if there `is_tracked`.
    pub(super) fn tell(self: &Arc<Self>, token: Token, is_tracked: bool) -> (Telling, Option<Telling>) {
        let mut state = self.lock();
        state.unheard += 1;
        if is_tracked {
            state.shared.insert(token, None);
        }
        drop(state);
        let telling = |hearer| Telling::new(Arc::clone(self), token, hearer);
        (telling(Hearer::Listener), is_tracked.then(|| telling(Hearer::Waiter)))
    }

    /// One of those who hear of an outcome is out: it `is_done`, or nothing can be told any more.
    pub(super) fn end_telling(&self, token: Token, hearer: Hearer, is_done: bool) {
        let mut state = self.lock();
        state.unheard -= usize::from(hearer == Hearer::Listener);
        let is_told = is_done && state.note_heard(token, hearer);
        if is_told {
            state.told.push(token);
        }
        let is_first = is_told && state.told.len() == 1;
        if is_first {
            state.told_until = Some(Instant::now() + TOLD_DELAY);
        }
        if is_first || state.closing {
            drop(state);
            self.has_changed.notify_one();
        }
    }

    /// Ends the thread, once it has done what it can and the listener has heard everything.
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

    /// The thread. It calls `tell` when there are news, and `linger` when only the listener keeps it from its end.
    pub(super) fn run(&self, mut file: impl Disk, tell: impl Fn(), linger: impl Fn()) {
        let mut lingers = false;
        loop {
            let (ops, batch) = match self.next(lingers) {
                Next::Write(ops, batch) => (ops, batch),
                Next::Linger => {
                    lingers = true;
                    linger();
                    continue;
                }
                Next::End => return,
            };
            while let Err(error) = write(&mut file, &ops) {
                if !self.fail(error, &tell) {
                    return;
                }
            }
            let mut state = self.lock();
            let has_news = state.durable != batch;
            (state.durable, state.failing) = (batch, false);
            drop(state);
            if has_news {
                tell();
            }
        }
    }

    /// Waits for something to do.
    fn next(&self, lingers: bool) -> Next {
        let mut state = self.lock();
        loop {
            let left = state.told_until.map(|until| until.saturating_duration_since(Instant::now()));
            if state.batch != state.durable || left.is_some_and(|left| left.is_zero() || state.is_over()) {
                return state.take();
            }
            if state.is_over() {
                // The listener has heard them, and whoever waits has them in memory.
                let heard = std::mem::take(&mut state.shared).into_iter().filter(|(_, heard)| heard.is_some());
                state.told = heard.map(|(token, _)| token).collect();
                return if state.told.is_empty() { Next::End } else { state.take() };
            }
            if state.closing && !lingers {
                return Next::Linger;
            }
            state = match left {
                Some(left) => self.has_changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.has_changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
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

impl State {
    /// Whether nothing more can come.
    const fn is_over(&self) -> bool {
        self.closing && self.unheard == 0
    }

    /// Whether all have heard of an outcome now.
    fn note_heard(&mut self, token: Token, hearer: Hearer) -> bool {
        match self.shared.get_mut(&token) {
            Some(heard @ None) => {
                *heard = Some(hearer);
                false
            }
            Some(Some(_)) => self.shared.remove(&token).is_some(),
            // At the end nobody is waited for.
            None => hearer == Hearer::Listener,
        }
    }

    /// All there is to write.
    fn take(&mut self) -> Next {
        self.told_until = None;
        let mut ops = std::mem::take(&mut self.ops);
        ops.extend(self.told.drain(..).map(Op::Forget));
        Next::Write(ops, self.batch)
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
        let thread = thread::spawn(move || running.run(Failing { failures, taken }, || tell.send(()).unwrap(), || {}));
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

    #[test]
    fn an_outcome_leaves_the_file_with_the_next_changes_or_by_itself_once_all_have_heard_it() {
        let (keeper, has_taken, told, thread) = keeper(0);
        let (heard, taken) = keeper.tell(Token(1), true);
        let (other, _) = keeper.tell(Token(2), false);
        heard.done();
        // Dropped before it was told.
        drop(other);
        keeper.submit(&mut ops(), 1);
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(2));
        told.recv_timeout(PATIENCE).unwrap();
        taken.unwrap().done();
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(1));
        keeper.close();
        thread.join().unwrap();
        // The worker learns nothing by it.
        assert_eq!((has_taken.try_iter().count(), told.try_iter().count()), (0, 0));
    }

    #[test]
    fn the_end_waits_for_the_listener_and_not_for_those_who_may_take_a_result_some_day() {
        let keeper = Arc::<Keeper>::default();
        let ((taken, has_taken), (linger, lingers)) = (channel(), channel());
        let [(one, untaken), (two, _)] = [(1, true), (2, false)].map(|(id, tracked)| keeper.tell(Token(id), tracked));
        let running = Arc::clone(&keeper);
        let run = move || running.run(Failing { failures: 0, taken }, || (), || linger.send(()).unwrap());
        let thread = thread::spawn(run);
        keeper.close();
        lingers.recv_timeout(PATIENCE).unwrap();
        two.done();
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(1));
        one.done();
        assert_eq!(has_taken.recv_timeout(PATIENCE), Ok(1));
        thread.join().unwrap();
        drop(untaken);
        assert_eq!((has_taken.try_iter().count(), lingers.try_iter().count()), (0, 0));
    }
}
