mod reading;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::command::{Acknowledgement, Command, Messages, Publishing, Run};
use super::error::ClientError;
use super::hub::{End, Hub, is_some_worker};
use super::queue::{LONG, MAX_CONTROLS, Places, Queue};
use super::token::{Token, Waiting};
use crate::types::QoS;

/// What the handle, the worker and the callbacks have in common.
pub(super) struct Shared {
    pub(super) hub: Arc<Hub>,
    queue: Mutex<Queue>,
    /// Threads that wait for room in the queue, and what wakes them.
    waiting_for_room: AtomicUsize,
    has_room: Condvar,
    bounds: Bounds,
    last_token: AtomicU64,
    /// Results that wait for their callbacks.
    unreported: AtomicUsize,
    /// Bytes of messages that wait for their callbacks.
    undelivered: AtomicUsize,
    /// The worker does not read, because too much is undelivered.
    reading_paused: AtomicBool,
    /// The worker reads on when no more than this is undelivered; none where it does not wait for that.
    reads_on_at: AtomicUsize,
    /// Whether a connection is there, opened or waited for.
    wants_connection: AtomicBool,
    /// The numbers of the connection and of the session.
    connection: AtomicU64,
    session: AtomicU64,
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
    /// What is taken while there is no connection; none if messages are dropped for more.
    pub(super) buffer: Option<Places>,
}

/// Who can wait does so from here on: what lies in the queue stays in the cache then.
pub(super) const PATIENT_BYTES: usize = 256 * 1024;

impl Bounds {
    /// The bound in bytes for those who wait for room.
    fn patient_bytes(&self) -> usize {
        self.bytes.min(PATIENT_BYTES)
    }
}

/// Whether a call waits for room, and how long. The clock is only read when it does: that costs as much as an encoding.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    None,
    For(Duration),
}

/// What the queue still takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) places: usize,
    pub(super) bytes: usize,
    /// The bound in bytes that holds for this caller.
    pub(super) bound: usize,
}

impl Shared {
    pub(super) fn new(hub: Arc<Hub>, bounds: Bounds) -> Self {
        Self {
            hub,
            queue: Mutex::default(),
            waiting_for_room: AtomicUsize::new(0),
            has_room: Condvar::new(),
            bounds,
            last_token: AtomicU64::new(0),
            unreported: AtomicUsize::new(0),
            undelivered: AtomicUsize::new(0),
            reading_paused: AtomicBool::new(false),
            reads_on_at: AtomicUsize::new(0),
            wants_connection: AtomicBool::new(false),
            connection: AtomicU64::new(0),
            session: AtomicU64::new(0),
            waiting_callback: Mutex::new(None),
            end: Arc::default(),
        }
    }

    /// Tokens go on behind this one.
    #[cfg(feature = "persistence")]
    pub(super) fn set_last_token(&self, token: u64) {
        self.last_token.store(token, Ordering::Relaxed);
    }

    pub(super) fn next_token(&self) -> Token {
        Token(self.last_token.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// As many tokens one after the other; the first of them.
    pub(super) fn next_tokens(&self, count: usize) -> Token {
        Token(self.last_token.fetch_add(count as u64, Ordering::Relaxed) + 1)
    }

    /// Hands a command that takes a place in the queue to the worker.
    pub(super) fn submit(&self, command: Command, bytes: usize) -> Result<(), ClientError> {
        let mut queue = lock(&self.queue);
        self.check_room(&queue, bytes, self.bounds.bytes)?;
        queue.push(command, bytes);
        self.wake_sleeper(queue);
        Ok(())
    }

    /// Hands a message to the worker.
    pub(super) fn submit_publish(&self, publishing: Publishing, patience: Patience) -> Result<(), ClientError> {
        let bytes = publishing.frame.len();
        let mut queue = self.queue_with_room(bytes, patience)?;
        queue.push(Command::Publish(publishing), bytes);
        self.wake_sleeper(queue);
        Ok(())
    }

    /// Hands a message to the worker, of at most so many bytes, that `add` adds to others.
    #[inline]
    pub(super) fn submit_to_run(
        &self,
        bytes: usize,
        qos: QoS,
        patience: Patience,
        add: impl FnOnce(&mut Run) -> Result<(), ClientError>,
    ) -> Result<Token, ClientError> {
        let mut queue = self.queue_with_room(bytes, patience)?;
        let token = self.next_token();
        queue.push_to_run(bytes, token, qos, add)?;
        self.wake_sleeper(queue);
        Ok(token)
    }

    /// Hands over messages for as long as there is room, and says why there is no more; what is left has not been
    /// taken.
    pub(super) fn submit_messages(
        &self,
        messages: &mut std::vec::IntoIter<Messages>,
        bound: usize,
    ) -> Option<ClientError> {
        let mut queue = lock(&self.queue);
        let mut refused = None;
        while let Some(next) = messages.as_slice().first() {
            refused = self.check_publish(&queue, next.bytes(), bound).err();
            // Others may have taken places since they were counted.
            if queue.places + next.count() > self.bounds.commands && refused.is_none() {
                refused = Some(ClientError::QueueFull);
            }
            if refused.is_some() {
                break;
            }
            match messages.next() {
                Some(Messages::One(publishing)) => {
                    let bytes = publishing.frame.len();
                    queue.push(Command::Publish(publishing), bytes);
                }
                Some(Messages::Run(run)) => queue.push_run(run),
                None => {}
            }
        }
        self.wake_sleeper(queue);
        refused
    }

    /// Waits for room before a long message is encoded, so that what waits is not the encoded one; the patience that is
    /// left.
    pub(super) fn await_room(&self, bytes: usize, patience: Patience) -> Result<Patience, ClientError> {
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
    pub(super) fn check_bytes(&self, bytes: usize, bound: usize) -> Result<(), ClientError> {
        self.check_publish(&lock(&self.queue), bytes, bound)
    }

    /// The queue, when it takes a message of so many bytes.
    #[inline]
    fn queue_with_room(&self, bytes: usize, patience: Patience) -> Result<MutexGuard<'_, Queue>, ClientError> {
        let queue = lock(&self.queue);
        let (bound, timeout) = match patience {
            Patience::None => (self.bounds.bytes, None),
            Patience::For(timeout) => (self.bounds.patient_bytes(), Some(timeout)),
        };
        match (self.check_publish(&queue, bytes, bound), timeout) {
            (Ok(()), _) => Ok(queue),
            (Err(error), Some(timeout)) if error.is_lack_of_room() => {
                self.wait_until_half_empty(queue, bytes, Instant::now().checked_add(timeout))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Waits until the queue is half empty and takes an item of so many bytes; at the deadline any room will do.
    pub(super) fn wait_for_room(&self, bytes: usize, deadline: Option<Instant>) -> Result<(), ClientError> {
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

    fn check_room(&self, queue: &Queue, bytes: usize, bound: usize) -> Result<(), ClientError> {
        if queue.shut {
            return Err(ClientError::ShutDown);
        }
        let is_full = queue.places >= self.bounds.commands
            || self.unreported.load(Ordering::SeqCst) >= self.bounds.unreported
            // One item above the bound in bytes passes when nothing else waits, or it never could.
            || (queue.bytes > 0 && queue.bytes + bytes > bound);
        if is_full { Err(ClientError::QueueFull) } else { Ok(()) }
    }

    #[inline]
    fn check_publish(&self, queue: &Queue, bytes: usize, bound: usize) -> Result<(), ClientError> {
        self.check_room(queue, bytes, bound)?;
        self.check_buffer(queue, bytes)
    }

    /// Whether a message may wait for a connection.
    fn check_buffer(&self, queue: &Queue, bytes: usize) -> Result<(), ClientError> {
        let Some(buffer) = self.bounds.buffer.filter(|_| !queue.connected) else { return Ok(()) };
        let count = queue.new.count + queue.taken.count + queue.pending.count;
        let held = queue.new.bytes + queue.taken.bytes + queue.pending.bytes;
        let is_full = count >= buffer.count || (count > 0 && held + bytes > buffer.bytes);
        if is_full { Err(ClientError::BufferFull) } else { Ok(()) }
    }

    /// Whether a message may be refused where those before it were taken.
    pub(super) const fn may_refuse_some(&self) -> bool {
        self.bounds.buffer.is_some()
    }

    fn is_half_empty(&self, queue: &Queue) -> bool {
        queue.places <= self.bounds.commands / 2
            && queue.bytes <= self.bounds.patient_bytes() / 2
            && self.unreported.load(Ordering::SeqCst) <= self.bounds.unreported / 2
    }

    /// Lets those go on that wait for room, if there is enough of it: once nobody holds the queue, which they need.
    fn tell_room(&self, queue: MutexGuard<'_, Queue>) {
        let tells = self.waiting_for_room.load(Ordering::SeqCst) > 0 && self.is_half_empty(&queue);
        drop(queue);
        if tells {
            self.has_room.notify_all();
        }
    }

    /// Places and bytes that are free in the queue at the moment, for those who may wait and for those who may not.
    pub(super) fn room(&self, may_wait: bool) -> Room {
        let bound = if may_wait { self.bounds.patient_bytes() } else { self.bounds.bytes };
        let queue = lock(&self.queue);
        let places = self.bounds.commands.saturating_sub(queue.places);
        Room { places, bytes: bound.saturating_sub(queue.bytes), bound }
    }

    /// Hands over a command that takes no place in the queue. Repeated ones come to one.
    pub(super) fn submit_control(&self, command: Command) -> Result<(), ClientError> {
        let mut queue = lock(&self.queue);
        if queue.shut {
            return Err(ClientError::ShutDown);
        }
        let is_repeated = queue.commands.last().is_some_and(|last| last.is_same_control(&command));
        if command.is_control() && !is_repeated {
            if queue.controls >= MAX_CONTROLS {
                return Err(ClientError::QueueFull);
            }
            queue.controls += 1;
        }
        match command {
            Command::Shutdown => {
                queue.shut = true;
                self.has_room.notify_all();
            }
            Command::Connect => self.set_wants_connection(true),
            Command::Disconnect(..) => self.set_wants_connection(false),
            _ => {}
        }
        if !is_repeated {
            queue.commands.push(command);
        }
        self.wake_sleeper(queue);
        Ok(())
    }

    /// The worker has begun with a command that takes no place.
    pub(super) fn remove_control(&self) {
        let mut queue = lock(&self.queue);
        queue.controls = queue.controls.saturating_sub(1);
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

    #[inline]
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
        let new = std::mem::take(&mut queue.new);
        queue.taken.count += new.count;
        queue.taken.bytes += new.bytes;
    }

    /// As [`Self::take`], without the commands.
    pub(super) fn take_acknowledgements(&self, acknowledgements: &mut Vec<Acknowledgement>) {
        std::mem::swap(&mut lock(&self.queue).acknowledgements, acknowledgements);
    }

    /// At the end of a turn: whether there is a connection, and what waits for it.
    pub(super) fn note_pending(&self, connected: bool, count: usize, bytes: usize) {
        if self.bounds.buffer.is_some() {
            let mut queue = lock(&self.queue);
            (queue.connected, queue.taken, queue.pending) = (connected, Places::default(), Places { count, bytes });
            self.tell_room(queue);
        }
    }

    /// A buffer that takes so many bytes.
    pub(super) fn buffer(&self, room: usize) -> Vec<u8> {
        let spare = if room >= LONG { lock(&self.queue).take_long_spare(room) } else { None };
        spare.unwrap_or_else(|| Vec::with_capacity(room))
    }

    /// A buffer for a run.
    pub(super) fn run_buffer(&self) -> Vec<u8> {
        lock(&self.queue).run_buffer()
    }

    pub(super) fn drop_spares(&self) {
        lock(&self.queue).drop_spares();
    }

    /// Gives back the memory of a burst.
    pub(super) fn shrink(&self) {
        let mut queue = lock(&self.queue);
        if queue.commands.is_empty() {
            queue.commands = Vec::new();
        }
    }

    /// Gives back the places of commands that are finished, and buffers that are spent; whether it keeps many.
    pub(super) fn give_back(&self, places: &mut Places, spent: impl Iterator<Item = Vec<u8>>) -> bool {
        let mut spent = spent.peekable();
        let mut has_many = false;
        if places.count > 0 || spent.peek().is_some() {
            let mut queue = lock(&self.queue);
            has_many = queue.keep_spares(spent);
            queue.places = queue.places.saturating_sub(places.count);
            queue.bytes = queue.bytes.saturating_sub(places.bytes);
            self.tell_room(queue);
            *places = Places::default();
        }
        has_many
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
        let before = self.unreported.fetch_sub(count, Ordering::SeqCst);
        let half = self.bounds.unreported / 2;
        if before > half && before - count <= half && self.waiting_for_room.load(Ordering::SeqCst) > 0 {
            self.tell_room(lock(&self.queue));
        }
    }

    pub(super) fn set_waiting_callback(&self, waiting: Option<Arc<dyn Waiting>>) {
        *lock(&self.waiting_callback) = waiting;
    }

    /// Nothing is accepted any more, and nobody waits for room. What the worker has not taken comes back.
    pub(super) fn shut(&self) -> Vec<Command> {
        let mut queue = lock(&self.queue);
        queue.shut = true;
        let commands = std::mem::take(&mut queue.commands);
        drop(queue);
        self.has_room.notify_all();
        commands
    }

    /// Whether messages may be acknowledged by hand.
    pub(super) fn check_acknowledging(&self) -> Result<(), ClientError> {
        lock(&self.queue).check_acknowledging()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
