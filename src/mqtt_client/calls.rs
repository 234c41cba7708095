//! How the callback thread hears which clients have something for it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::callbacks::Seat;

/// A queue of its own: the receiver of a channel yields its processor again and again before it sleeps, and where
/// others want that processor, too, each time costs it a whole time slice.
#[derive(Default)]
struct Calls {
    queue: Mutex<Queue>,
    has_come: Condvar,
}

#[derive(Default)]
struct Queue {
    seats: VecDeque<Arc<Seat>>,
    callers: usize,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the callback thread, which lives as long as one of these does.
pub(super) struct Caller(Arc<Calls>);

/// What the callback thread waits at.
pub(super) struct Called(Arc<Calls>);

pub(super) fn calls() -> (Caller, Called) {
    let calls = Arc::<Calls>::default();
    calls.lock().callers = 1;
    (Caller(Arc::clone(&calls)), Called(calls))
}

impl Caller {
    pub(super) fn call(&self, seat: &Arc<Seat>) {
        self.0.lock().seats.push_back(Arc::clone(seat));
        self.0.has_come.notify_one();
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        self.0.lock().callers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.lock().callers -= 1;
        self.0.has_come.notify_one();
    }
}

impl Called {
    /// Adds those that have called to those that wait. Where none waits it waits until one calls or none can.
    pub(super) fn take(&self, waiting: &mut VecDeque<Arc<Seat>>) {
        let mut queue = self.0.lock();
        while waiting.is_empty() && queue.seats.is_empty() && queue.callers > 0 {
            queue = self.0.has_come.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.append(&mut queue.seats);
    }
}
