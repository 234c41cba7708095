//! The I/O worker: one thread that waits for the sockets of its clients, for their commands and for time, and never for
//! anything else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::command::Command;
use super::connection::{Connection, Means, Turn};
use super::contain::{contain, discard};
use super::dispatch::MOST_QUIET;
use super::hub::{Arrival, Hub, enter_worker};
use super::spin::{Cost, Spin};
use super::timers::Timers;

/// What the waker is known by in the poll. A client's transport is known by its place.
pub(super) const WAKE: Token = Token(usize::MAX);

/// Bytes that one round of turns reads and sends at most, for each direction.
const ROUND: usize = 1024 * 1024;
/// Bytes that every client may read and send in its turn, however many there are.
const LEAST_TURN: usize = 64 * 1024;

/// Drives the connections of a runtime.
pub(super) struct Worker {
    poll: Poll,
    hub: Arc<Hub>,
    places: Vec<Option<Place>>,
    free: Vec<usize>,
    /// Clients that have something to do, in the order of their turns.
    runnable: VecDeque<usize>,
    /// Clients that have kept something to themselves which may wait for the answer that they hope for.
    quiet: Vec<usize>,
    timers: Timers,
    spin: Spin,
    /// How long to spin for the answers that the last turns hope for.
    hope: Duration,
    /// What connections read into.
    buffer: Vec<u8>,
    arrivals: Vec<Arrival>,
    called: Vec<usize>,
    /// New clients may come.
    can_come: bool,
    shut: bool,
}

/// Where a client is kept.
struct Place {
    connection: Box<Connection>,
    is_runnable: bool,
    /// Its entry among the timers.
    until: Option<Instant>,
}

impl Worker {
    pub(super) fn new(poll: Poll, hub: Arc<Hub>) -> Self {
        Self {
            poll,
            hub,
            places: Vec::new(),
            free: Vec::new(),
            runnable: VecDeque::new(),
            quiet: Vec::new(),
            timers: Timers::default(),
            spin: Spin::new(),
            hope: Duration::ZERO,
            buffer: Vec::new(),
            arrivals: Vec::new(),
            called: Vec::new(),
            can_come: true,
            shut: false,
        }
    }

    /// Runs until no client is left and none can come.
    pub(super) fn run(mut self) {
        enter_worker();
        let mut events = Events::with_capacity(256);
        loop {
            self.look_for_news();
            self.take_turns();
            if !self.can_come && self.free.len() == self.places.len() {
                return;
            }
            self.wait(&mut events);
            self.hub.has_woken();
            for event in events.iter().filter(|event| event.token() != WAKE) {
                let Token(place) = event.token();
                if let Some(Some(client)) = self.places.get_mut(place) {
                    client.connection.handle_readiness(event);
                    self.make_runnable(place);
                }
            }
            self.look_at_the_clock();
        }
    }

    /// Waits for sockets, for news and for time. However busy: sockets are heard in every round.
    fn wait(&mut self, events: &mut Events) {
        let is_idle = self.runnable.is_empty();
        if self.hope > MOST_QUIET {
            self.tell_what_waits();
        }
        if is_idle && self.spin(events) {
            return;
        }
        self.tell_what_waits();
        let timeout = if is_idle && self.hub.fall_asleep() {
            self.timers.next().map(|at| round_up(at.saturating_duration_since(Instant::now())))
        } else {
            Some(Duration::ZERO)
        };
        self.poll(events, timeout);
    }

    /// Looks again and again for as long as an answer may come soon; whether something has come.
    fn spin(&mut self, events: &mut Events) -> bool {
        if self.hope.is_zero() || !self.spin.is_worth_it() {
            return false;
        }
        let mut cost = Cost::new(Instant::now());
        let due = self.timers.next();
        loop {
            self.poll(events, Some(Duration::ZERO));
            let now = Instant::now();
            let has_come = !events.is_empty() || self.hub.has_news() || due.is_some_and(|due| now >= due);
            if cost.add(now) >= self.hope || has_come {
                self.spin.note(has_come, cost, self.hope);
                return has_come;
            }
            thread::yield_now();
        }
    }

    fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) {
        // A poll that fails (a signal) is like one that comes back with nothing.
        if self.poll.poll(events, timeout).is_err() {
            events.clear();
        }
    }

    /// Takes on new clients and hears which ones have commands.
    pub(super) fn look_for_news(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let mut called = std::mem::take(&mut self.called);
        let news = self.hub.take(&mut arrivals, &mut called);
        for arrival in arrivals.drain(..) {
            self.take_on(arrival());
        }
        for place in called.drain(..) {
            self.make_runnable(place);
        }
        (self.arrivals, self.called) = (arrivals, called);
        if news.shut && !std::mem::replace(&mut self.shut, true) {
            for place in self.places.iter().flatten() {
                // One that ends already ends as it does.
                let _ = place.connection.shared().submit_control(Command::Shutdown);
            }
            (0..self.places.len()).for_each(|place| self.make_runnable(place));
        }
        self.can_come = !news.abandoned && !news.shut;
    }

    fn take_on(&mut self, mut connection: Box<Connection>) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        connection.set_poll_token(Token(place));
        if let Some(free) = self.places.get_mut(place) {
            *free = Some(Place { connection, is_runnable: false, until: None });
        }
        self.make_runnable(place);
    }

    fn make_runnable(&mut self, place: usize) {
        if let Some(Some(client)) = self.places.get_mut(place)
            && !client.is_runnable
        {
            client.is_runnable = true;
            client.connection.shared().has_woken();
            self.runnable.push_back(place);
        }
    }

    /// One turn for each client that has something to do.
    pub(super) fn take_turns(&mut self) {
        // Those that have a turn now tell it with what has come.
        self.tell_what_waits();
        let count = self.runnable.len();
        self.hope = Duration::ZERO;
        let budget = (ROUND / count.max(1)).max(LEAST_TURN);
        for _ in 0..count {
            let Some(place) = self.runnable.pop_front() else { return };
            let Some(Some(client)) = self.places.get_mut(place) else { continue };
            let mut means = Means { registry: self.poll.registry(), buffer: &mut self.buffer, budget };
            let turn = contain(|| client.connection.turn(&mut means));
            if count > 1 && client.connection.is_quiet() {
                // It must not wait for the turns of others.
                client.connection.tell_what_waits();
            }
            match turn {
                Err(text) => {
                    abort(&mut client.connection, &text);
                    self.let_go(place);
                }
                Ok(Turn::Ended) => self.let_go(place),
                Ok(Turn::Wait(until)) if client.falls_asleep(place) => {
                    client.is_runnable = false;
                    self.hope = self.hope.max(client.connection.spin());
                    if client.connection.is_quiet() {
                        self.quiet.push(place);
                    }
                    self.timers.set(place, client.until, until);
                    client.until = until;
                }
                Ok(Turn::Wait(_) | Turn::Again) => self.runnable.push_back(place),
            }
        }
    }

    fn tell_what_waits(&mut self) {
        while let Some(place) = self.quiet.pop() {
            if let Some(Some(client)) = self.places.get_mut(place)
                && !client.is_runnable
            {
                client.connection.tell_what_waits();
            }
        }
    }

    fn let_go(&mut self, place: usize) {
        let Some(Some(client)) = self.places.get_mut(place).map(Option::take) else { return };
        self.timers.set(place, client.until, None);
        self.free.push(place);
        // With it goes the handler of a client whose callbacks run here: what that does must not end the others.
        discard(client);
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        while let Some(place) = self.timers.take_due(now) {
            if let Some(Some(client)) = self.places.get_mut(place) {
                client.until = None;
                self.make_runnable(place);
            }
        }
    }
}

impl Place {
    /// As [`Shared::fall_asleep`](super::shared::Shared::fall_asleep). Who has just given it commands may be about to
    /// give it more, and may need this very processor for that: going to sleep and being woken costs more than asking
    /// again.
    fn falls_asleep(&self, place: usize) -> bool {
        if self.connection.was_fed() {
            thread::yield_now();
        }
        self.connection.shared().fall_asleep(place)
    }
}

impl Drop for Worker {
    /// However the thread has ended: nobody may wait for it any more.
    fn drop(&mut self) {
        let unseen = self.hub.close();
        for arrival in unseen.into_iter().chain(self.arrivals.drain(..)) {
            let mut connection = arrival();
            abort(&mut connection, "the worker has ended");
            discard(connection);
        }
        for mut client in self.places.drain(..).flatten() {
            abort(&mut client.connection, "the worker has ended");
            discard(client);
        }
    }
}

fn abort(connection: &mut Connection, text: &str) {
    // What fails once may fail again; what it leaves undone is done where the client is dropped.
    let _ = contain(|| connection.abort(text));
}

/// The session counts whole milliseconds: a poll that ends within one would find nothing due.
fn round_up(timeout: Duration) -> Duration {
    if timeout.is_zero() { timeout } else { timeout + Duration::from_millis(1) }
}
