//! What was told, until it is heard.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::next::Patience;
use crate::mqtt_client::batch::Batch;
use crate::mqtt_client::notice::Notice;

/// A place for so many notices is kept. The memory of a burst is given back.
const MOST_KEPT: usize = 256;

/// Between the worker and the callbacks. Nothing of the application's is called, compared or dropped while it is
/// locked.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    has_come: Condvar,
    /// Notices have come that were not taken: between two messages this is seen without the lock.
    has_notices: AtomicBool,
}

#[derive(Default)]
struct Mail {
    notices: VecDeque<Notice>,
    /// News that was put together: it is newer than what is among the notices.
    late: Vec<Notice>,
    batches: VecDeque<Batch>,
    /// How much news was heard so far.
    heard: u64,
    /// Somebody waits for something to come.
    is_awaited: bool,
    /// Nothing comes any more.
    is_complete: bool,
    /// Nothing is taken any more.
    is_abandoned: bool,
}

/// What was taken at once, in the order in which it was told.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) notices: VecDeque<Notice>,
    /// How many of them are news. While there are some, what was put together stays where more is put together with it.
    pub(super) news: usize,
    pub(super) batches: VecDeque<Batch>,
}

/// What [`Mailbox::take`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Something,
    /// Nothing within the time.
    Nothing,
    /// The worker has gone, and everything was taken.
    End,
}

impl Mailbox {
    /// Takes the notices in, and the news that was put together; `false` if nobody wants to hear of them, which they
    /// are left for.
    pub(super) fn put_notices(&self, notices: &mut VecDeque<Notice>, late: &mut Vec<Notice>) -> bool {
        let mut mail = self.lock();
        if mail.is_abandoned {
            return false;
        }
        pour(notices, &mut mail.notices);
        mail.late.append(late);
        self.has_notices.store(true, Ordering::Relaxed);
        self.wake(mail);
        true
    }

    /// Takes a batch in; it comes back if nobody wants to look at it.
    pub(super) fn put_batch(&self, batch: Batch) -> Option<Batch> {
        let mut mail = self.lock();
        if mail.is_abandoned {
            return Some(batch);
        }
        mail.batches.push_back(batch);
        self.wake(mail);
        None
    }

    /// Takes out the news that was put together, for more to be put together with it, and says how much news was heard
    /// so far.
    pub(super) fn take_late(&self) -> (Vec<Notice>, u64) {
        let mut mail = self.lock();
        (mem::take(&mut mail.late), mail.heard)
    }

    /// Nothing comes any more.
    pub(super) fn complete(&self) {
        let mut mail = self.lock();
        mail.is_complete = true;
        self.wake(mail);
    }

    /// Lets the one go on who waits for something to come.
    fn wake(&self, mut mail: MutexGuard<'_, Mail>) {
        let is_awaited = mem::take(&mut mail.is_awaited);
        drop(mail);
        if is_awaited {
            self.has_come.notify_one();
        }
    }
}

impl Mailbox {
    /// Whether there are notices to take.
    pub(super) fn has_notices(&self) -> bool {
        self.has_notices.load(Ordering::Relaxed)
    }

    /// Whether there is something to take, be it the end.
    pub(super) fn has_come(&self, taken: &Taken) -> bool {
        let mail = self.lock();
        mail.has_some(taken) || mail.is_complete
    }

    /// Takes what there is, or what comes while patience lasts.
    pub(super) fn take(&self, patience: Patience, taken: &mut Taken) -> Came {
        let mut mail = self.lock();
        while !mail.has_some(taken) {
            if mail.is_complete {
                return Came::End;
            }
            let left = patience.left();
            if left.is_some_and(|left| left.is_zero()) {
                return Came::Nothing;
            }
            mail.is_awaited = true;
            mail = match left {
                Some(left) => self.has_come.wait_timeout(mail, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.has_come.wait(mail).unwrap_or_else(PoisonError::into_inner),
            };
            mail.is_awaited = false;
        }
        self.hand_over(mail, taken);
        Came::Something
    }

    /// Takes what there is. Nothing is taken in from now on.
    pub(super) fn abandon(&self, taken: &mut Taken) {
        let mut mail = self.lock();
        mail.is_abandoned = true;
        self.hand_over(mail, taken);
    }

    /// News was heard.
    pub(super) fn note_heard(&self) {
        self.lock().heard += 1;
    }

    fn hand_over(&self, mut mail: MutexGuard<'_, Mail>, taken: &mut Taken) {
        if taken.notices.is_empty() && taken.notices.capacity() > MOST_KEPT {
            taken.notices = VecDeque::new();
        }
        taken.news += mail.notices.iter().filter(|notice| notice.is_news()).count();
        pour(&mut mail.notices, &mut taken.notices);
        if mail.gives_late(taken) {
            taken.news += mail.late.len();
            taken.notices.extend(mail.late.drain(..));
        }
        self.has_notices.store(!mail.late.is_empty(), Ordering::Relaxed);
        pour(&mut mail.batches, &mut taken.batches);
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mail {
    fn has_some(&self, taken: &Taken) -> bool {
        !self.notices.is_empty() || !self.batches.is_empty() || (!self.late.is_empty() && self.gives_late(taken))
    }

    const fn gives_late(&self, taken: &Taken) -> bool {
        taken.news == 0 || self.is_complete || self.is_abandoned
    }
}

/// Adds all of them behind what is there, by a swap where nothing is.
fn pour<T>(from: &mut VecDeque<T>, to: &mut VecDeque<T>) {
    if to.is_empty() {
        mem::swap(from, to);
    } else {
        to.append(from);
    }
}
