use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[cfg(feature = "persistence")]
use super::client::PublishResult;
use super::contain::contain;
use super::error::WaitError;
use super::hub::is_some_worker;
use super::persistence::Telling;
use super::shared::Shared;

/// Names one accepted call. It comes back in the result, and is never used again by the same client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

impl Token {
    /// The number; later calls have higher ones.
    pub const fn id(self) -> u64 {
        self.0
    }
}

/// A call whose result can be waited for, or awaited: it is a [`Future`] that needs no particular executor. It may also
/// be dropped, which changes nothing for the call.
#[must_use = "the tracked form costs an allocation; use the plain call where nobody waits"]
pub struct Tracked<T> {
    token: Token,
    completion: Arc<Completion<T>>,
    shared: Arc<Shared>,
    /// The result where the client has gone without one.
    cancelled: T,
}

impl<T: Clone> Tracked<T> {
    pub(super) const fn new(token: Token, completion: Arc<Completion<T>>, shared: Arc<Shared>, cancelled: T) -> Self {
        Self { token, completion, shared, cancelled }
    }

    /// The token of the call.
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The result, if it is there.
    pub fn try_result(&self) -> Option<T> {
        self.result(&mut self.completion.lock())
    }

    fn result(&self, state: &mut State<T>) -> Option<T> {
        if !state.ended {
            return None;
        }
        if let Some(telling) = state.telling.take() {
            telling.done();
        }
        Some(state.value.as_ref().unwrap_or(&self.cancelled).clone())
    }

    /// Waits for the result.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`]; inside a callback [`WaitError::WouldDeadlock`] as soon as the result could only come
    /// after that callback has returned, at once where callbacks run on the worker
    /// ([`CallbackMode::Worker`](super::CallbackMode::Worker)). In all cases the call goes on.
    pub fn wait(&self, timeout: Duration) -> Result<T, WaitError>
    where
        T: Send + 'static,
    {
        if is_some_worker() {
            // This very thread would have to bring it, or that of another runtime that may wait for this one.
            return self.try_result().ok_or(WaitError::WouldDeadlock);
        }
        let deadline = Instant::now().checked_add(timeout);
        let completion = Arc::clone(&self.completion);
        let in_callback = self.shared.hub.is_callback_thread();
        if in_callback {
            self.shared.set_waiting_callback(Some(completion));
        }
        let result = self.wait_until(deadline, in_callback);
        if in_callback {
            self.shared.set_waiting_callback(None);
        }
        result
    }

    fn wait_until(&self, deadline: Option<Instant>, in_callback: bool) -> Result<T, WaitError> {
        let mut state = self.completion.lock();
        loop {
            if let Some(result) = self.result(&mut state) {
                return Ok(result);
            }
            if in_callback && self.shared.is_reading_paused() {
                return Err(WaitError::WouldDeadlock);
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(WaitError::TimedOut),
                Some(left) => self.completion.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.completion.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

#[cfg(feature = "persistence")]
impl Tracked<PublishResult> {
    /// Waits until the message is in the file of [`Persistence`](super::Persistence): from then on it outlives the
    /// process. `false` if it has ended before, without persistence and at QoS 0 by its outcome.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`]; [`WaitError::WouldDeadlock`] inside a callback that runs on the worker
    /// ([`CallbackMode::Worker`](super::CallbackMode::Worker)), if the answer is not there. In all cases the call goes
    /// on.
    pub fn wait_durable(&self, timeout: Duration) -> Result<bool, WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.completion.lock();
        loop {
            if state.durable || state.ended {
                return Ok(state.durable);
            }
            if is_some_worker() {
                return Err(WaitError::WouldDeadlock);
            }
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(WaitError::TimedOut),
                Some(left) => self.completion.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.completion.done.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl<T: Clone> Future for Tracked<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.completion.wake_at_end(context.waker());
        self.try_result().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T> std::fmt::Debug for Tracked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracked").field("token", &self.token).finish_non_exhaustive()
    }
}

/// The worker's end of a completion. Where it is dropped without a result, because something has failed there, waiting
/// ends all the same.
#[derive(Debug)]
pub(super) struct Promise<T>(Arc<Completion<T>>);

impl<T> Promise<T> {
    pub(super) fn new(completion: &Arc<Completion<T>>) -> Self {
        Self(Arc::clone(completion))
    }

    pub(super) fn complete(self, value: T) {
        self.0.end(Some(value), None);
    }

    /// As [`Self::complete`]; the file has the outcome until it was taken, or nobody can.
    pub(super) fn complete_until_taken(self, value: T, telling: Option<Telling>) {
        self.0.end(Some(value), telling);
    }
}

#[cfg(feature = "persistence")]
impl Promise<PublishResult> {
    /// What is to be told when the message is durable.
    pub(super) fn durably(&self) -> Durably {
        Durably(Arc::clone(&self.0))
    }
}

/// Tells that a message is durable.
#[cfg(feature = "persistence")]
#[derive(Debug)]
pub(super) struct Durably(Arc<Completion<PublishResult>>);

#[cfg(feature = "persistence")]
impl Durably {
    pub(super) fn tell(self) {
        self.0.lock().durable = true;
        self.0.done.notify_all();
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.end(None, None);
    }
}

/// Where the worker puts a result.
#[derive(Debug)]
pub(super) struct Completion<T> {
    state: Mutex<State<T>>,
    done: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    ended: bool,
    #[cfg(feature = "persistence")]
    durable: bool,
    telling: Option<Telling>,
    waker: Option<Waker>,
}

impl<T> Completion<T> {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            value: None,
            ended: false,
            #[cfg(feature = "persistence")]
            durable: false,
            telling: None,
            waker: None,
        };
        Arc::new(Self { state: Mutex::new(state), done: Condvar::new() })
    }

    fn end(&self, value: Option<T>, telling: Option<Telling>) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        (state.value, state.telling) = (value, telling);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            // An executor that fails is no reason for the worker to fail.
            let _ = contain(|| waker.wake());
        }
    }

    /// Has this waker woken by the end, unless that has come. To clone a waker and to drop one may be code of the
    /// application, which runs without the lock.
    fn wake_at_end(&self, waker: &Waker) {
        let is_needless =
            |state: &State<T>| state.ended || state.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        if is_needless(&self.lock()) {
            return;
        }
        let waker = waker.clone();
        let mut state = self.lock();
        let unused = if state.ended { Some(waker) } else { state.waker.replace(waker) };
        drop(state);
        drop(unused);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Completion<T> {
    /// Nobody can take the result any more.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(telling) = state.telling.take() {
            telling.done();
        }
    }
}

/// Something that a thread waits for.
pub(super) trait Waiting: Send + Sync {
    /// Lets the waiting thread look again.
    fn look_again(&self);
}

impl<T: Send> Waiting for Completion<T> {
    fn look_again(&self) {
        // With the lock taken, the thread either has not looked yet or is asleep.
        drop(self.lock());
        self.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::task::Wake;

    use super::*;

    /// Tells when it is dropped whether the result could be looked at meanwhile.
    struct Looking(Arc<Completion<u8>>, Sender<bool>);

    impl Wake for Looking {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looking {
        fn drop(&mut self) {
            let _ = self.1.send(self.0.state.try_lock().is_ok());
        }
    }

    #[test]
    fn a_waker_is_dropped_where_it_may_look_at_the_result_itself() {
        let completion = Completion::new();
        let (sender, has_looked) = channel();
        for _ in 0..3 {
            completion.wake_at_end(&Waker::from(Arc::new(Looking(Arc::clone(&completion), sender.clone()))));
        }
        completion.end(Some(1), None);
        completion.wake_at_end(&Waker::from(Arc::new(Looking(Arc::clone(&completion), sender))));
        assert_eq!(has_looked.iter().collect::<Vec<_>>(), [true; 4]);
    }
}
