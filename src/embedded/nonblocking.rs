//! A client over an async transport, for any executor.

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{ErrorKind, Read, Write};

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

/// Where a [`Client`] has its time from. With embassy it is two lines over `embassy_time::Instant` and `Timer`.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Instant;

    /// Waits until `at`; returning early does no harm. A future that is dropped has to leave nothing behind.
    fn wait_until(&mut self, at: Instant) -> impl Future<Output = ()>;
}

/// A session together with an async transport, a receive buffer and a clock.
///
/// Commands only enqueue; [`Client::poll`] does the work, and pings while it waits for input. To give a command while a
/// poll is pending, drop its future, or let the command be what the poll is raced against.
///
/// # Dropping futures
///
/// Each future may be dropped at any time: nothing that was received is lost, and nothing is sent twice. How far a
/// packet has been written or read is the client's state, not the future's. This asks of the transport that a
/// `read` or `write` that is dropped has done nothing, which the contract of `embedded-io-async` recommends and
/// buffered transports keep. The client drops a pending `read` itself, to send a PINGREQ.
///
/// # Flushing
///
/// When all that is due is written the transport is flushed, as a TLS stream needs it. A transport whose `flush`
/// waits until the peer has acknowledged everything, as a socket of embassy-net does, holds up reading for that long:
/// hand it in behind a wrapper whose `flush` does nothing.
///
/// # Example
///
/// ```
/// use std::task::{Context, Poll, Waker};
///
/// use flowsdk::embedded::{Error, nonblocking::{Client, Clock}};
/// use flowsdk::session::{Config, ConnectOptions, Event, Fixed, Session};
/// use flowsdk::time::Instant;
/// # use embedded_io_async::{ErrorType, ErrorKind, Read, Write};
/// # #[derive(Default)]
/// # struct Socket(Vec<u8>);
/// # impl ErrorType for Socket { type Error = ErrorKind; }
/// # impl Read for Socket {
/// #     async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
/// #         let len = self.0.len().min(buffer.len());
/// #         for (place, byte) in buffer.iter_mut().zip(self.0.drain(..len)) { *place = byte; }
/// #         Ok(len)
/// #     }
/// # }
/// # impl Write for Socket {
/// #     async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
/// #         if bytes[0] == 0x10 { self.0.extend(b"\x20\x03\x00\x00\x00\x30\x08\x00\x03cmd\x00on"); }
/// #         Ok(bytes.len())
/// #     }
/// #     async fn flush(&mut self) -> Result<(), ErrorKind> { Ok(()) }
/// # }
///
/// struct Ticks;
///
/// impl Clock for Ticks {
///     fn now(&self) -> Instant {
///         Instant::from_millis(0) // The milliseconds since the start, of your timer.
///     }
///
///     async fn wait_until(&mut self, _at: Instant) {
///         std::future::pending().await // Your timer's future.
///     }
/// }
///
/// async fn run(socket: Socket) -> Result<(), Error<ErrorKind>> {
///     let mut buffer = [0; 512];
///     let session = Session::new(Config::DEFAULT, Fixed::<512, 4>::new());
///     let mut client = Client::new(session, socket, Ticks, &mut buffer);
///
///     let options = ConnectOptions { client_id: "probe", clean_start: true, ..Default::default() };
///     client.connect_and_wait(&options).await?;
///     let Event::Message(message) = client.poll().await? else { panic!("not a message") };
///     assert_eq!(message.payload, b"on");
///     Ok(())
/// }
/// # let mut run = std::pin::pin!(run(Socket::default()));
/// # let done = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
/// # assert_eq!(done, Poll::Ready(Ok(())));
/// # use std::future::Future;
/// ```
pub struct Client<'b, T, S, C> {
    driver: Driver<'b, S>,
    transport: T,
    clock: C,
}

shows! {
    impl['b, T, S, C] Client for Client<'b, T, S, C> where S, |this| { session: &this.driver.session }
}

/// What the transport has done.
enum Done {
    Wrote(usize),
    Flushed,
    Read(usize),
    /// Nothing: something is due first.
    TimedOut,
}

impl<'b, T: Read + Write, S: Storage, C: Clock> Client<'b, T, S, C> {
    /// A client with a session, a transport that may be connected later, and a receive buffer. The session's
    /// [`Config::receive_limit`](crate::session::Config::receive_limit) is cut to the buffer's length.
    pub fn new(session: Session<S>, transport: T, clock: C, buffer: &'b mut [u8]) -> Self {
        Self { driver: Driver::new(session, buffer), transport, clock }
    }

    commands!(|this| this.clock.now());

    /// Sends what is due and waits for the next event, which borrows the receive buffer. What an event leads to, an
    /// acknowledgement for one, is sent by the next call.
    ///
    /// Each packet is one write to the transport. The future may be dropped, see [`Client`](Self#dropping-futures). A
    /// server that falls silent is found by the keep-alive, except while a last DISCONNECT leaves: the transport's own
    /// time-out has to end that, or yours.
    ///
    /// # Errors
    /// [`Error::Transport`], [`Error::Peer`], [`Error::Closed`], [`Error::BufferTooSmall`]: the connection is over.
    /// [`Error::Stalled`]: acknowledge first.
    pub async fn poll(&mut self) -> Result<Event<'_>, Error<T::Error>> {
        let place = self.poll_place().await?;
        Ok(self.driver.event(place))
    }

    /// As [`Client::poll`], but lends the event to `handler` together with the session, which can give commands and
    /// resolve a topic alias meanwhile. Returns what the handler has returned.
    ///
    /// # Errors
    /// As [`Client::poll`].
    pub async fn poll_with<R>(
        &mut self,
        mut handler: impl FnOnce(Event<'_>, &mut Session<S>) -> R,
    ) -> Result<R, Error<T::Error>> {
        loop {
            let now = self.clock.now();
            let io = match self.driver.turn(now, handler) {
                // Nothing is awaited between here and the return, so no result is lost to a dropped future.
                Turn::Event(result) => return Ok(result),
                Turn::Io(io, unused) => {
                    handler = unused;
                    io
                }
                Turn::Stalled(stall) => return Err(Error::Stalled(stall)),
                Turn::End => return Err(self.driver.end(now, Error::Closed)),
            };
            let done = self.work(io, now).await;
            self.note(done)?;
        }
    }

    /// Connects and waits for the server's answer, no longer than
    /// [`Config::connect_timeout_ms`](crate::session::Config::connect_timeout_ms). If the future is dropped the
    /// connection goes on: poll for [`Event::Connected`]. It does not serve enhanced authentication, which is a
    /// dialogue: use [`Client::connect`] and [`Client::poll`] there.
    ///
    /// # Errors
    /// [`Error::Misuse`] if `options` cannot be used; [`Error::Refused`]; [`PeerError::ConnackTimeout`];
    /// [`PeerError::UnexpectedPacket`] for an AUTH; and as [`Client::poll`].
    pub async fn connect_and_wait(&mut self, options: &ConnectOptions<'_>) -> Result<Connack<'_>, Error<T::Error>> {
        self.connect(options)?;
        let place = self.poll_place().await?;
        let error = match place.shape {
            Event::Connected(_) => None,
            Event::Refused(connack) => Some(Error::Refused(connack.reason_code)),
            _ => Some(PeerError::UnexpectedPacket(PacketType::Auth).into()),
        };
        if let Some(error) = error {
            return Err(self.driver.end(self.clock.now(), error));
        }
        match self.driver.event(place) {
            Event::Connected(connack) => Ok(connack),
            _ => Err(Error::Closed),
        }
    }

    /// Gives back what the client was made of. A connection that is open ends as if it were lost.
    pub fn into_parts(mut self) -> (Session<S>, T, C) {
        let _: Error<ErrorKind> = self.driver.end(self.clock.now(), Error::Closed);
        (self.driver.session, self.transport, self.clock)
    }

    async fn poll_place(&mut self) -> Result<Place, Error<T::Error>> {
        let buffer = self.driver.address();
        self.poll_with(|event, _| Place::of(&event, buffer)).await
    }

    /// Lets the transport do one thing, until the session has something due.
    async fn work(&mut self, io: Io, now: Instant) -> Result<Done, Error<T::Error>> {
        let Self { driver, transport, clock } = self;
        let at = driver.session.poll_timeout();
        let mut io = pin!(async {
            match io {
                Io::Write => transport.write(driver.session.poll_transmit(now).unwrap_or(&[])).await.map(Done::Wrote),
                Io::Flush => transport.flush().await.map(|()| Done::Flushed),
                Io::Read => match driver.room() {
                    [] => return Err(Error::BufferTooSmall),
                    room => transport.read(room).await.map(Done::Read),
                },
            }
            .map_err(Error::Transport)
        });
        let mut timer = pin!(async {
            match at {
                Some(at) => clock.wait_until(at).await,
                None => pending().await,
            }
        });
        poll_fn(|context| match io.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => timer.as_mut().poll(context).map(|()| Ok(Done::TimedOut)),
        })
        .await
    }

    /// Takes note of what the transport has done, in the same poll of the future.
    fn note(&mut self, done: Result<Done, Error<T::Error>>) -> Result<(), Error<T::Error>> {
        let now = self.clock.now();
        match done {
            Ok(Done::Wrote(0) | Done::Read(0)) => return Err(self.driver.end(now, Error::Closed)),
            Ok(Done::Wrote(len)) => self.driver.has_written(now, len),
            Ok(Done::Flushed) => self.driver.has_flushed(),
            Ok(Done::Read(len)) => self.driver.has_read(len),
            Ok(Done::TimedOut) => {}
            Err(error) => return Err(self.driver.end(now, error)),
        }
        Ok(())
    }
}
