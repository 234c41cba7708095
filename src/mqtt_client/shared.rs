mod reading;
mod room;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub(super) use self::room::{Bounds, PATIENT_BYTES, Patience, Room};
use super::command::{Acknowledgement, Command, Messages, Plain, Publishing};
use super::error::ClientError;
use super::hub::{End, Hub};
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

impl Shared {
    pub(super) fn new(hub: Arc<Hub>, bounds: Bounds) -> Self {
        Self {
            hub,
            queue: Mutex::default(),
            waiting_for_room: AtomicUsize::new(0),
            has_room: Condvar::new(),
            bounds,
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
        lock(&self.queue).last_token = token;
    }

    pub(super) fn next_token(&self) -> Token {
        lock(&self.queue).next_tokens(1)
    }

    /// As many tokens one after the other; the first of them.
    pub(super) fn next_tokens(&self, count: usize) -> Token {
        lock(&self.queue).next_tokens(count)
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

    /// Hands a message to the worker, of at most so many bytes, that goes behind others in one buffer, where `encode` puts
    /// it unless it `can_follow` the one before it as it is, and does.
    #[inline]
    pub(super) fn submit_to_run(
        &self,
        (message, can_follow): (&Plain<'_>, bool),
        bytes: usize,
        qos: QoS,
        patience: Patience,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), ClientError>,
    ) -> Result<Token, ClientError> {
        let mut queue = self.queue_with_room(bytes, patience)?;
        let alike = if can_follow { queue.add_alike(bytes, qos, message) } else { None };
        let token = match alike {
            Some(token) => token,
            None => queue.push_to_run(bytes, qos, *message, encode)?,
        };
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

#[cfg(test)]
mod tests {
    use mio::{Poll, Waker};

    use super::*;

    #[test]
    fn a_message_like_the_one_before_it_is_refused_where_it_has_to_be() {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let bounds = Bounds { commands: 9, bytes: 999, unreported: 9, undelivered: 9, buffer: None };
        let shared = Shared::new(Arc::new(Hub::new(waker, "test")), bounds);
        let message = Plain { topic: "t", payload: b"1", retain: false, has_properties: false };
        let packet = b"\x30\x04\0\x01t1";
        let submit = |can_follow, outcome: Result<(), ClientError>| {
            let encode = |frames: &mut Vec<u8>| {
                frames.extend_from_slice(packet);
                outcome
            };
            shared.submit_to_run((&message, can_follow), 14, QoS::AtMostOnce, Patience::None, encode)
        };
        assert_eq!(submit(true, Ok(())), Ok(Token(1)));
        assert_eq!(submit(true, Err(ClientError::NotConnected)), Ok(Token(2)), "it is not encoded");
        assert_eq!(submit(false, Err(ClientError::NotConnected)), Err(ClientError::NotConnected));
        let (mut commands, mut acks) = (Vec::new(), Vec::new());
        shared.take(&mut commands, &mut acks);
        assert!(matches!(&commands[..], [Command::Run(run)] if run.count == 2 && run.frames == packet.repeat(2)));
    }
}
