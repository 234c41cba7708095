use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use super::batch::Spares;
use super::connection::Connection;
use super::connector::Connectors;
use super::error::ClientError;

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread drives the connections of a runtime from here on.
pub(super) fn enter_worker() {
    IS_WORKER.set(true);
}

/// Whether the calling thread drives the connections of some runtime, which none of them may have wait for long.
pub(super) fn is_some_worker() -> bool {
    IS_WORKER.get()
}

/// What the threads of a runtime and its clients have in common.
pub(super) struct Hub {
    mailbox: Mutex<Mailbox>,
    waker: mio::Waker,
    pub(super) connectors: Connectors,
    pub(super) spares: Spares,
    callback_thread: OnceLock<ThreadId>,
    pub(super) end: Arc<End>,
}

/// A client on its way to the worker. It comes as a call, so that the code that drops a hub, which every client has, is
/// not that of dropping clients.
pub(super) type Arrival = Box<dyn FnOnce() -> Box<Connection> + Send>;

/// What has come for the worker.
#[derive(Default)]
struct Mailbox {
    /// Clients that the worker has not seen yet.
    arrivals: Vec<Arrival>,
    /// The places of clients that slept, and for which something has come.
    called: Vec<usize>,
    /// The worker waits in `poll` and has to be woken.
    sleeping: bool,
    /// No client can come any more.
    abandoned: bool,
    /// All clients have to end.
    shut: bool,
    /// One of these has changed.
    poked: bool,
}

/// What the worker finds when it looks.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) abandoned: bool,
    pub(super) shut: bool,
}

impl Hub {
    pub(super) fn new(waker: mio::Waker, name: &str) -> Self {
        Self {
            mailbox: Mutex::default(),
            waker,
            connectors: Connectors::new(name),
            spares: Spares::default(),
            callback_thread: OnceLock::new(),
            end: Arc::default(),
        }
    }

    /// Gives the worker a client.
    pub(super) fn add(&self, connection: Box<Connection>) -> Result<(), ClientError> {
        let mut mailbox = lock(&self.mailbox);
        if mailbox.shut {
            return Err(ClientError::ShutDown);
        }
        mailbox.arrivals.push(Box::new(move || connection));
        self.wake_sleeper(mailbox);
        Ok(())
    }

    /// Tells the worker which client has something for it.
    pub(super) fn call(&self, place: usize) {
        let mut mailbox = lock(&self.mailbox);
        mailbox.called.push(place);
        self.wake_sleeper(mailbox);
    }

    /// Nobody can add a client any more: the worker ends with its last one.
    pub(super) fn abandon(&self) {
        let mut mailbox = lock(&self.mailbox);
        (mailbox.abandoned, mailbox.poked) = (true, true);
        self.wake_sleeper(mailbox);
    }

    /// Ends all clients, and the worker with the last one.
    pub(super) fn shut(&self) {
        let mut mailbox = lock(&self.mailbox);
        (mailbox.shut, mailbox.poked) = (true, true);
        self.wake_sleeper(mailbox);
    }

    /// The worker has gone: no client can come. Those come back that it has not seen.
    pub(super) fn close(&self) -> Vec<Arrival> {
        let mut mailbox = lock(&self.mailbox);
        mailbox.shut = true;
        std::mem::take(&mut mailbox.arrivals)
    }

    pub(super) fn is_shut(&self) -> bool {
        lock(&self.mailbox).shut
    }

    fn wake_sleeper(&self, mut mailbox: MutexGuard<'_, Mailbox>) {
        let sleeping = std::mem::take(&mut mailbox.sleeping);
        drop(mailbox);
        if sleeping {
            // It fails only when the worker's poll is gone, and then nobody sleeps there.
            let _ = self.waker.wake();
        }
    }

    /// Takes what has come.
    pub(super) fn take(&self, arrivals: &mut Vec<Arrival>, called: &mut Vec<usize>) -> News {
        let mut mailbox = lock(&self.mailbox);
        arrivals.append(&mut mailbox.arrivals);
        called.append(&mut mailbox.called);
        mailbox.poked = false;
        News { abandoned: mailbox.abandoned, shut: mailbox.shut }
    }

    /// Whether something has come.
    pub(super) fn has_news(&self) -> bool {
        !lock(&self.mailbox).is_empty()
    }

    /// Says that the worker is about to sleep; `false` if something has come.
    pub(super) fn fall_asleep(&self) -> bool {
        let mut mailbox = lock(&self.mailbox);
        mailbox.sleeping = mailbox.is_empty();
        mailbox.sleeping
    }

    pub(super) fn has_woken(&self) {
        lock(&self.mailbox).sleeping = false;
    }

    /// The calling thread is the one that runs callbacks.
    pub(super) fn enter_callback_thread(&self) {
        // Only the first thread that asks runs callbacks.
        let _ = self.callback_thread.set(thread::current().id());
    }

    /// Whether the calling thread runs callbacks of this runtime: there, what other callbacks have to do first never
    /// comes.
    pub(super) fn is_callback_thread(&self) -> bool {
        self.callback_thread.get() == Some(&thread::current().id())
    }
}

impl Mailbox {
    fn is_empty(&self) -> bool {
        self.called.is_empty() && self.arrivals.is_empty() && !self.poked
    }
}

/// Which sides have come to their end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    pub(super) worker: bool,
    pub(super) callbacks: bool,
    /// What is kept on a disk is still open.
    pub(super) is_storing: bool,
    /// All is on it, but the application has not taken all outcomes.
    pub(super) lingers: bool,
}

/// An end that can be waited for.
#[derive(Default)]
pub(super) struct End {
    ended: Mutex<Ended>,
    has_changed: Condvar,
}

impl End {
    pub(super) fn note(&self, note: impl FnOnce(&mut Ended)) {
        note(&mut lock(&self.ended));
        self.has_changed.notify_all();
    }

    /// Waits until all sides have ended as far as they do by themselves, or the deadline.
    pub(super) fn wait(&self, deadline: Instant) -> Ended {
        self.wait_until(deadline, |ended| ended.worker && ended.callbacks && (!ended.is_storing || ended.lingers))
    }

    /// After the worker's end: waits until nothing is open on the disk, or the deadline. Not on a worker, which others
    /// need.
    #[cfg(feature = "persistence")]
    pub(super) fn wait_until_stored(&self, deadline: Instant) {
        if !is_some_worker() {
            self.wait_until(deadline, |ended| !ended.worker || !ended.is_storing);
        }
    }

    fn wait_until(&self, deadline: Instant, is_enough: impl Fn(&Ended) -> bool) -> Ended {
        let mut ended = lock(&self.ended);
        while !is_enough(&ended) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            ended = self.has_changed.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *ended
    }
}

impl Ended {
    /// What a shutdown says of it.
    pub(super) const fn result(self) -> Result<(), ClientError> {
        match (self.worker, self.callbacks) {
            (true, true) if self.is_storing && !self.lingers => {
                Err(ClientError::StillRunning { thread: "store", reason: "the disk has not taken everything yet" })
            }
            (true, true) => Ok(()),
            (true, false) => {
                Err(ClientError::StillRunning { thread: "callback thread", reason: "a callback has not returned" })
            }
            (false, _) => {
                Err(ClientError::StillRunning { thread: "worker", reason: "the connection has not ended yet" })
            }
        }
    }
}

/// Says that a side has ended, however that came.
pub(super) struct NoteEnd {
    end: Arc<End>,
    side: Side,
}

#[derive(Clone, Copy)]
enum Side {
    Worker,
    Callbacks,
    #[cfg(feature = "persistence")]
    Store,
}

impl NoteEnd {
    pub(super) fn worker(end: &Arc<End>) -> Self {
        Self { end: Arc::clone(end), side: Side::Worker }
    }

    pub(super) fn callbacks(end: &Arc<End>) -> Self {
        Self { end: Arc::clone(end), side: Side::Callbacks }
    }

    /// Of what is kept on a disk, which is open from now on.
    #[cfg(feature = "persistence")]
    pub(super) fn store(end: &Arc<End>) -> Self {
        end.note(|ended| ended.is_storing = true);
        Self { end: Arc::clone(end), side: Side::Store }
    }
}

impl Drop for NoteEnd {
    fn drop(&mut self) {
        let side = self.side;
        self.end.note(|ended| match side {
            Side::Worker => ended.worker = true,
            Side::Callbacks => ended.callbacks = true,
            #[cfg(feature = "persistence")]
            Side::Store => ended.is_storing = false,
        });
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "persistence"))]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_worker_does_not_wait_for_the_disk() {
        let end = Arc::<End>::default();
        let _store = NoteEnd::store(&end);
        end.note(|ended| ended.worker = true);
        let (sender, returned) = channel();
        thread::spawn(move || {
            enter_worker();
            end.wait_until_stored(Instant::now() + Duration::from_secs(3600));
            sender.send(())
        });
        assert_eq!(returned.recv_timeout(Duration::from_secs(30)), Ok(()));
    }
}
