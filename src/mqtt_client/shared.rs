use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::{Acknowledgement, Command};
use super::error::ClientError;
use super::hub::{End, Hub};
use super::token::{Token, Waiting};

/// What the handle, the worker and the callbacks have in common.
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    queue: Mutex<Queue>,
    bounds: Bounds,
    last_token: AtomicU64,
    /// Results that wait for their callbacks.
    unreported: AtomicUsize,
    /// Bytes of messages that wait for their callbacks.
    undelivered: AtomicUsize,
    /// The worker does not read, because too much is undelivered.
    reading_paused: AtomicBool,
    /// Whether a connection is there, opened or waited for.
    wants_connection: AtomicBool,
    /// The numbers of the connection and of the session.
    connection: AtomicU64,
    session: AtomicU64,
    /// Nobody will take events any more.
    lost_callbacks: AtomicBool,
    waiting_callback: Mutex<Option<Arc<dyn Waiting>>>,
    pub(super) end: Arc<End>,
}

/// The bounds of what waits for the worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) commands: usize,
    pub(super) bytes: usize,
    pub(super) unreported: usize,
    pub(super) undelivered: usize,
}

#[derive(Default)]
struct Queue {
    commands: Vec<Command>,
    acknowledgements: Vec<Acknowledgement>,
    /// Places and bytes of commands the worker has not finished with.
    places: usize,
    bytes: usize,
    /// Where the worker keeps this client.
    place: usize,
    /// The worker does not look at this client until it is called, or something else happens.
    sleeping: bool,
    /// Something has happened elsewhere that the worker has to look at before it sleeps.
    poked: bool,
    /// Nothing is accepted any more.
    shut: bool,
}

impl Shared {
    pub(super) fn new(hub: Arc<Hub>, bounds: Bounds) -> Self {
        Self {
            hub,
            queue: Mutex::default(),
            bounds,
            last_token: AtomicU64::new(0),
            unreported: AtomicUsize::new(0),
            undelivered: AtomicUsize::new(0),
            reading_paused: AtomicBool::new(false),
            wants_connection: AtomicBool::new(false),
            connection: AtomicU64::new(0),
            session: AtomicU64::new(0),
            lost_callbacks: AtomicBool::new(false),
            waiting_callback: Mutex::new(None),
            end: Arc::default(),
        }
    }

    pub(super) fn next_token(&self) -> Token {
        Token(self.last_token.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Hands a command that takes a place in the queue to the worker.
    pub(super) fn submit(&self, command: Command, bytes: usize) -> Result<(), ClientError> {
        if self.unreported.load(Ordering::Relaxed) >= self.bounds.unreported {
            return Err(ClientError::QueueFull);
        }
        let mut queue = lock(&self.queue);
        if queue.shut {
            return Err(ClientError::ShutDown);
        }
        let is_full = queue.places >= self.bounds.commands;
        // One item above the bound in bytes passes when nothing else waits, or it never could.
        if is_full || (queue.bytes > 0 && queue.bytes + bytes > self.bounds.bytes) {
            return Err(ClientError::QueueFull);
        }
        queue.places += 1;
        queue.bytes += bytes;
        queue.commands.push(command);
        self.wake_sleeper(queue);
        Ok(())
    }

    /// Hands over a command that is never refused for lack of room. Repeated ones come to one.
    pub(super) fn submit_control(&self, command: Command) -> Result<(), ClientError> {
        let mut queue = lock(&self.queue);
        if queue.shut {
            return Err(ClientError::ShutDown);
        }
        match command {
            Command::Shutdown => queue.shut = true,
            Command::Connect => self.set_wants_connection(true),
            Command::Disconnect(_) => self.set_wants_connection(false),
            _ => {}
        }
        if !queue.commands.last().is_some_and(|last| last.is_same_control(&command)) {
            queue.commands.push(command);
        }
        self.wake_sleeper(queue);
        Ok(())
    }

    pub(super) fn acknowledge(&self, acknowledgements: impl IntoIterator<Item = Acknowledgement>) {
        let mut queue = lock(&self.queue);
        queue.acknowledgements.extend(acknowledgements);
        self.wake_sleeper(queue);
    }

    /// Wakes the worker if it sleeps, for something it sees elsewhere.
    pub(super) fn wake(&self) {
        let mut queue = lock(&self.queue);
        queue.poked = true;
        self.wake_sleeper(queue);
    }

    fn wake_sleeper(&self, mut queue: MutexGuard<'_, Queue>) {
        let sleeping = std::mem::take(&mut queue.sleeping);
        let place = queue.place;
        drop(queue);
        if sleeping {
            self.hub.call(place);
        }
    }

    /// Swaps what has come for empty buffers.
    pub(super) fn take(&self, commands: &mut Vec<Command>, acks: &mut Vec<Acknowledgement>) {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.commands, commands);
        std::mem::swap(&mut queue.acknowledgements, acks);
    }

    /// Gives back the places of commands that are finished.
    pub(super) fn give_back(&self, places: &mut Places) {
        if places.count > 0 {
            let mut queue = lock(&self.queue);
            queue.places = queue.places.saturating_sub(places.count);
            queue.bytes = queue.bytes.saturating_sub(places.bytes);
            *places = Places::default();
        }
    }

    /// Says that the worker is about to leave this client alone; `false` if something has come.
    pub(super) fn fall_asleep(&self, place: usize) -> bool {
        let mut queue = lock(&self.queue);
        queue.place = place;
        let poked = std::mem::take(&mut queue.poked);
        queue.sleeping = queue.commands.is_empty() && queue.acknowledgements.is_empty() && !poked;
        queue.sleeping
    }

    pub(super) fn has_woken(&self) {
        lock(&self.queue).sleeping = false;
    }

    pub(super) fn set_wants_connection(&self, wants: bool) {
        self.wants_connection.store(wants, Ordering::Relaxed);
    }

    pub(super) fn wants_connection(&self) -> bool {
        self.wants_connection.load(Ordering::Relaxed)
    }

    pub(super) fn set_numbers(&self, connection: u64, session: u64) {
        self.connection.store(connection, Ordering::Relaxed);
        self.session.store(session, Ordering::Relaxed);
    }

    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.connection.load(Ordering::Relaxed), self.session.load(Ordering::Relaxed))
    }

    pub(super) fn add_unreported(&self, count: usize) {
        self.unreported.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn remove_unreported(&self, count: usize) {
        self.unreported.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn add_undelivered(&self, bytes: usize) {
        self.undelivered.fetch_add(bytes, Ordering::SeqCst);
    }

    /// A batch has been handled: a worker that has stopped reading looks again.
    pub(super) fn remove_undelivered(&self, bytes: usize) {
        self.undelivered.fetch_sub(bytes, Ordering::SeqCst);
        if self.is_reading_paused() {
            self.wake();
        }
    }

    pub(super) fn too_much_undelivered(&self) -> bool {
        self.undelivered.load(Ordering::SeqCst) >= self.bounds.undelivered
    }

    /// Says whether the worker reads. A callback that waits for a result learns that none can come.
    pub(super) fn set_reading_paused(&self, paused: bool) {
        self.reading_paused.store(paused, Ordering::SeqCst);
        if paused && let Some(waiting) = &*lock(&self.waiting_callback) {
            waiting.look_again();
        }
    }

    pub(super) fn is_reading_paused(&self) -> bool {
        self.reading_paused.load(Ordering::SeqCst)
    }

    pub(super) fn set_waiting_callback(&self, waiting: Option<Arc<dyn Waiting>>) {
        *lock(&self.waiting_callback) = waiting;
    }

    /// What is sent to the callbacks from now on is heard by nobody.
    pub(super) fn lose_callbacks(&self) {
        self.lost_callbacks.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_lost_callbacks(&self) -> bool {
        self.lost_callbacks.load(Ordering::SeqCst)
    }

    pub(super) fn is_shut(&self) -> bool {
        lock(&self.queue).shut
    }
}

/// Places in the queue that are free again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Places {
    pub(super) const fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
