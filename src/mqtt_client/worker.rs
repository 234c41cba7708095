//! The I/O worker: one thread that waits for the socket, for commands and for time, and never for anything else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::{Connection, Turn};
use super::shared::Shared;

/// What the waker is known by in the poll.
pub(super) const WAKE: Token = Token(0);
/// What the connection's transport is known by.
pub(super) const CONNECTION: Token = Token(1);

/// Runs a connection until its client has ended.
pub(super) fn run(mut poll: Poll, mut connection: Connection, shared: &Arc<Shared>) {
    let mut events = Events::with_capacity(16);
    loop {
        let timeout = match connection.turn(poll.registry()) {
            Turn::Ended => return,
            Turn::Again => Some(Duration::ZERO),
            Turn::Wait(_) if !shared.fall_asleep() => Some(Duration::ZERO),
            Turn::Wait(until) => until.map(|until| until.saturating_duration_since(Instant::now())),
        };
        // A poll that fails (a signal) is like one that comes back with nothing.
        if poll.poll(&mut events, timeout.map(round_up)).is_err() {
            events.clear();
        }
        shared.has_woken();
        for event in events.iter().filter(|event| event.token() == CONNECTION) {
            connection.handle_readiness(event);
        }
    }
}

/// The session counts whole milliseconds: a poll that ends within one would find nothing due.
fn round_up(timeout: Duration) -> Duration {
    if timeout.is_zero() { timeout } else { timeout + Duration::from_millis(1) }
}
