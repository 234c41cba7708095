use super::error::Error;
use super::place::Place;
use crate::codec::shift_down;
use crate::macros::event;
use crate::session::{Event, PeerError, Session, Stall, Storage, Taken};
use crate::time::Instant;

/// What both drivers have in common: a session and its receive buffer, without a transport.
pub(super) struct Driver<'b, S> {
    pub(super) session: Session<S>,
    buffer: &'b mut [u8],
    /// What was read and not handled lies from `start` to `end`. What lies before belongs to the last event.
    start: usize,
    end: usize,
    /// Why the connection ends, while its last bytes leave.
    fault: Option<PeerError>,
    /// Bytes were written since the last flush.
    unflushed: bool,
}

/// What has to happen next.
#[derive(Debug)]
pub(super) enum Turn<R, F> {
    /// Nothing: an event was handled.
    Event(R),
    /// The transport has to do something; the handler was not called.
    Io(Io, F),
    /// The application has to do something.
    Stalled(Stall),
    /// The connection has to be ended, if there is one.
    End,
}

/// What a transport has to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Io {
    Write,
    Flush,
    Read,
}

impl<'b, S: Storage> Driver<'b, S> {
    pub(super) fn new(mut session: Session<S>, buffer: &'b mut [u8]) -> Self {
        let len = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let limit = session.config().receive_limit;
        if limit == 0 || limit > len {
            session.set_receive_limit(len);
        }
        Self { session, buffer, start: 0, end: 0, fault: None, unflushed: false }
    }

    /// Does all that needs no transport, and gives the first event to the handler.
    #[inline(never)]
    pub(super) fn turn<R, F>(&mut self, now: Instant, handler: F) -> Turn<R, F>
    where
        F: FnOnce(Event<'_>, &mut Session<S>) -> R,
    {
        if !self.session.has_connection() {
            return Turn::End;
        }
        if let Err(error) = self.session.handle_timeout(now) {
            self.fault = Some(error);
            // Nobody is there, so a flush may never end.
            self.unflushed = false;
        }
        loop {
            if self.session.poll_transmit(now).is_some() {
                return Turn::Io(Io::Write, handler);
            }
            if self.unflushed {
                return Turn::Io(Io::Flush, handler);
            }
            if self.session.is_closing() {
                return Turn::End;
            }
            let input = self.buffer.get(self.start..self.end).unwrap_or(&[]);
            let mut taken = Taken::nothing();
            self.session.take_input(now, input, &mut taken);
            if taken.fault.is_some() {
                self.fault = taken.fault;
                continue;
            }
            let progress = &taken.progress;
            self.start += progress.consumed;
            // A server that is not read cannot be blamed for its silence.
            self.session.set_reading_paused(now, progress.stalled == Some(Stall::AcknowledgeFirst));
            if let Some(stall) = progress.stalled {
                return Turn::Stalled(stall);
            }
            if let Some(event) = progress.event {
                log_event(&event);
                return Turn::Event(handler(event, &mut self.session));
            }
            if progress.consumed == 0 {
                return Turn::Io(Io::Read, handler);
            }
        }
    }

    /// Where the transport puts what it reads; empty if the buffer is full.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            shift_down(self.buffer.get_mut(..self.end).unwrap_or_default(), self.start);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// The transport has put so many bytes there.
    pub(super) fn has_read(&mut self, len: usize) {
        self.end = self.buffer.len().min(self.end.saturating_add(len));
    }

    /// The transport has taken so many bytes.
    pub(super) fn has_written(&mut self, now: Instant, len: usize) {
        self.session.consume_transmit(now, len);
        self.unflushed = true;
    }

    pub(super) fn has_flushed(&mut self) {
        self.unflushed = false;
    }

    /// The connection is over, and why if nothing says more than `error`.
    #[inline(always)]
    pub(super) fn end<E: embedded_io::Error>(&mut self, now: Instant, error: Error<E>) -> Error<E> {
        let error = self.fault.map_or(error, Error::Peer);
        if self.session.has_connection() {
            log_end(&error, self.session.is_closing());
        }
        self.close(now);
        error
    }

    /// By itself, so that a program that does not ask why the connection has ended links nothing of it.
    #[inline(never)]
    fn close(&mut self, now: Instant) {
        self.session.handle_closed(now);
        (self.start, self.end, self.unflushed, self.fault) = (0, 0, false, None);
    }

    /// The address that [`Place::of`] counts from.
    pub(super) fn address(&self) -> usize {
        self.buffer.as_ptr().addr()
    }

    /// The event that the last turn has found there.
    pub(super) fn event(&self, place: Place) -> Event<'_> {
        place.event(self.buffer)
    }
}

/// What an event means to the connection.
fn log_event(event: &Event<'_>) {
    match event {
        Event::Connected(connack) => event!(info, "connected, session present: {}", connack.session_present),
        Event::Refused(connack) => event!(warn, "the server refuses the connection: {}", connack.reason_code),
        Event::Disconnected(disconnect) => event!(warn, "the server ends the connection: {}", disconnect.reason_code),
        Event::MessageSkipped { payload_len, .. } => event!(warn, "passed over a message of {} bytes", payload_len),
        _ => {}
    }
}

/// How a connection has ended.
fn log_end<E: embedded_io::Error>(error: &Error<E>, is_closing: bool) {
    match error {
        Error::Peer(error) => event!(warn, "connection lost: {}", error),
        Error::Transport(error) => event!(warn, "connection lost: the transport failed: {}", error.kind()),
        Error::BufferTooSmall => event!(warn, "connection lost: the receive buffer is too small"),
        _ if is_closing => event!(info, "connection closed"),
        _ => event!(warn, "connection lost: the transport was closed"),
    }
}
