//! A client over a blocking transport, for a main loop without an executor.

use embedded_io::{Error as _, ErrorKind, ErrorType, Read, ReadReady, Write};

use super::commands::commands;
use super::driver::{Driver, Io, Turn};
use super::error::Error;
use super::place::Place;
use crate::codec::{PacketType, Property};
use crate::macros::{event, shows};
use crate::packet::{Auth, Connack, Disconnect, Subscription};
use crate::session::{
    ApplicationMessage, ConnectOptions, Dropped, Event, Misuse, PeerError, Receipt, Session, Storage,
};
use crate::time::Instant;
use crate::types::{PacketId, ReasonCode};

/// A session together with a transport and a receive buffer.
///
/// Commands only enqueue; [`Client::poll`] does the work. It belongs into the main loop, where it is called again at
/// once while it gives events, and otherwise when the transport has something to read, when a command was given, or
/// when [`Client::poll_timeout`] has come.
///
/// Of the receive buffer's length depends what can be received whole: the session's
/// [`Config::receive_limit`](crate::session::Config::receive_limit) is cut to it. What becomes of a longer message
/// says [`Oversize`](crate::session::Oversize).
///
/// ```
/// use flowsdk::embedded::{Error, blocking::Client};
/// use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session};
/// use flowsdk::time::Instant;
/// # use embedded_io::{ErrorType, ErrorKind, Read, ReadReady, Write};
/// # #[derive(Default)]
/// # struct Uart(Vec<u8>);
/// # impl ErrorType for Uart { type Error = ErrorKind; }
/// # impl Read for Uart {
/// #     fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
/// #         let len = self.0.len().min(buffer.len());
/// #         for (place, byte) in buffer.iter_mut().zip(self.0.drain(..len)) { *place = byte; }
/// #         Ok(len)
/// #     }
/// # }
/// # impl ReadReady for Uart { fn read_ready(&mut self) -> Result<bool, ErrorKind> { Ok(!self.0.is_empty()) } }
/// # impl Write for Uart {
/// #     fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
/// #         if bytes[0] == 0x10 { self.0.extend(b"\x20\x03\x00\x00\x00\x30\x08\x00\x03cmd\x00on"); }
/// #         Ok(bytes.len())
/// #     }
/// #     fn flush(&mut self) -> Result<(), ErrorKind> { Ok(()) }
/// # }
/// # fn now() -> Instant { Instant::from_millis(0) }
/// # fn main() -> Result<(), Error<ErrorKind>> {
/// # let uart = Uart::default();
/// let mut buffer = [0; 512];
/// let session = Session::new(Config::DEFAULT, Fixed::<512, 4>::new());
/// let mut client = Client::new(session, uart, &mut buffer);
///
/// client.connect(now(), &ConnectOptions { client_id: "probe", clean_start: true, keep_alive: 60, ..Default::default() })?;
/// let mut switched_on = false;
/// while !switched_on {
///     match client.poll(now())? {
///         Some(Event::Connected(_)) => {
///             let message = ApplicationMessage { topic: "t", payload: b"21.5", ..Default::default() };
///             client.publish(now(), &message)?;
///         }
///         Some(Event::Message(message)) => switched_on = message.payload == b"on",
///         Some(_) => {}
///         None => { /* Nothing to do: sleep until the next interrupt. */ }
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Client<'b, T: ErrorType, S> {
    driver: Driver<'b, S>,
    transport: T,
    /// Asks whether a read would wait; `None` if a read waits no longer than the transport's own time-out.
    is_ready: Option<IsReady<T>>,
}

shows! {
    impl['b, T: ErrorType, S] Client for Client<'b, T, S> where S, |this| { session: &this.driver.session }
}

type IsReady<T> = fn(&mut T) -> Result<bool, <T as ErrorType>::Error>;

impl<'b, T: Read + ReadReady + Write, S: Storage> Client<'b, T, S> {
    /// A client that reads only what is there, so that [`Client::poll`] never waits for input.
    pub fn new(session: Session<S>, transport: T, buffer: &'b mut [u8]) -> Self {
        Self { driver: Driver::new(session, buffer), transport, is_ready: Some(T::read_ready) }
    }
}

impl<'b, T: Read + Write, S: Storage> Client<'b, T, S> {
    /// A client for a transport that cannot tell whether it has input, but whose `read` gives up by itself with
    /// [`ErrorKind::TimedOut`], such as a socket with a read time-out. [`Client::poll`] waits for that long, so choose
    /// it short beside the keep-alive. A `read` without a time-out keeps the client from pinging.
    pub fn with_read_timeout(session: Session<S>, transport: T, buffer: &'b mut [u8]) -> Self {
        Self { driver: Driver::new(session, buffer), transport, is_ready: None }
    }

    commands!(|this, now: Instant| now);

    /// When [`Client::poll`] has to be called even if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.driver.session.poll_timeout()
    }

    /// Sends what is due, takes what has come, and returns the first event, which borrows the receive buffer. `None`
    /// means that nothing is left to do for now. What an event leads to, an acknowledgement for one, is sent by the
    /// next call.
    ///
    /// Each packet is one write to the transport, which may wait until the transport takes it.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Peer`], [`Error::Closed`], [`Error::BufferTooSmall`]: the connection is over.
    /// [`Error::Stalled`]: acknowledge first.
    pub fn poll(&mut self, now: Instant) -> Result<Option<Event<'_>>, Error<T::Error>> {
        let place = self.poll_place(now)?;
        Ok(place.map(|place| self.driver.event(place)))
    }

    /// As [`Client::poll`], but lends the event to `handler` together with the session, which can give commands and
    /// resolve a topic alias meanwhile. It saves some flash, too. Returns what the handler has returned, `None`
    /// if there was no event for it.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub fn poll_with<R>(
        &mut self,
        now: Instant,
        mut handler: impl FnOnce(Event<'_>, &mut Session<S>) -> R,
    ) -> Result<Option<R>, Error<T::Error>> {
        let error = loop {
            let io = match self.driver.turn(now, handler) {
                Turn::Event(result) => return Ok(Some(result)),
                Turn::Io(io, unused) => {
                    handler = unused;
                    io
                }
                Turn::Stalled(stall) => return Err(Error::Stalled(stall)),
                Turn::End => break Error::Closed,
            };
            match self.work(now, io) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => break error,
            }
        };
        Err(self.driver.end(now, error))
    }

    /// Polls until an event comes, or until `deadline`, when it returns `None`. It asks `clock` for the time before
    /// each poll: that is the place to sleep until an interrupt, to yield to other tasks, or to feed a watchdog.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub fn wait(
        &mut self,
        deadline: Instant,
        mut clock: impl FnMut() -> Instant,
    ) -> Result<Option<Event<'_>>, Error<T::Error>> {
        let place = self.wait_place(deadline, &mut clock)?;
        Ok(place.map(|place| self.driver.event(place)))
    }

    /// Connects, and waits for the server's answer as [`Client::wait`] does. It does not serve enhanced
    /// authentication, which is a dialogue: use [`Client::connect`] and [`Client::poll`] there.
    ///
    /// # Errors
    /// [`Error::Misuse`] if `options` cannot be used; [`Error::Refused`]; [`PeerError::ConnackTimeout`] at `deadline`,
    /// or when [`Config::connect_timeout_ms`](crate::session::Config::connect_timeout_ms) have passed;
    /// [`PeerError::UnexpectedPacket`] for an AUTH; and as [`Client::poll`].
    pub fn connect_and_wait(
        &mut self,
        options: &ConnectOptions<'_>,
        deadline: Instant,
        mut clock: impl FnMut() -> Instant,
    ) -> Result<Connack<'_>, Error<T::Error>> {
        self.connect(clock(), options)?;
        let place = self.wait_place(deadline, &mut clock)?;
        let error = match place.map(|place| place.shape) {
            Some(Event::Connected(_)) => None,
            Some(Event::Refused(connack)) => Some(Error::Refused(connack.reason_code)),
            Some(_) => Some(PeerError::UnexpectedPacket(PacketType::Auth).into()),
            None => Some(PeerError::ConnackTimeout.into()),
        };
        if let Some(error) = error {
            return Err(self.driver.end(deadline, error));
        }
        match place.map(|place| self.driver.event(place)) {
            Some(Event::Connected(connack)) => Ok(connack),
            _ => Err(Error::Closed),
        }
    }

    /// Gives back what the client was made of. A connection that is open ends as if it were lost.
    pub fn into_parts(mut self, now: Instant) -> (Session<S>, T) {
        let _: Error<ErrorKind> = self.driver.end(now, Error::Closed);
        (self.driver.session, self.transport)
    }

    fn poll_place(&mut self, now: Instant) -> Result<Option<Place>, Error<T::Error>> {
        let buffer = self.driver.address();
        self.poll_with(now, |event, _| Place::of(&event, buffer))
    }

    fn wait_place(
        &mut self,
        deadline: Instant,
        clock: &mut impl FnMut() -> Instant,
    ) -> Result<Option<Place>, Error<T::Error>> {
        loop {
            let now = clock();
            let place = self.poll_place(now)?;
            if place.is_some() || now.has_reached(deadline) {
                return Ok(place);
            }
        }
    }

    /// Lets the transport do one thing; whether there may be another.
    fn work(&mut self, now: Instant, io: Io) -> Result<bool, Error<T::Error>> {
        match io {
            Io::Write => self.write(now)?,
            Io::Flush => {
                self.transport.flush().map_err(Error::Transport)?;
                self.driver.has_flushed();
            }
            Io::Read => return self.read(),
        }
        Ok(true)
    }

    fn write(&mut self, now: Instant) -> Result<(), Error<T::Error>> {
        let Some(bytes) = self.driver.session.poll_transmit(now) else { return Ok(()) };
        match self.transport.write(bytes) {
            Ok(0) => Err(Error::Closed),
            Ok(len) => {
                self.driver.has_written(now, len);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Error::Transport(error)),
        }
    }

    /// Whether something has come.
    fn read(&mut self) -> Result<bool, Error<T::Error>> {
        if let Some(is_ready) = self.is_ready
            && !is_ready(&mut self.transport).map_err(Error::Transport)?
        {
            return Ok(false);
        }
        let room = self.driver.room();
        if room.is_empty() {
            return Err(Error::BufferTooSmall);
        }
        match self.transport.read(room) {
            Ok(0) => Err(Error::Closed),
            Ok(len) => {
                self.driver.has_read(len);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => Ok(false),
                ErrorKind::TimedOut if self.is_ready.is_none() => Ok(false),
                _ => Err(Error::Transport(error)),
            },
        }
    }
}
