//! Transports that the application brings.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::Waker;

#[cfg(unix)]
use std::cell::RefCell;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::contain::contain;
use crate::macros::opaque;

/// A non-blocking byte stream of the application's own: a serial line, a tunnel, a socket of another family. For
/// streams that block there is [`BlockingTransport`](super::BlockingTransport).
///
/// `read` and `write` return [`WouldBlock`](io::ErrorKind::WouldBlock) where they would have to wait, and have the
/// client told, by what [`watch`](Self::watch) is given, when it is worth to try again. `read` returns 0 at the end of
/// the stream. `flush` returns `WouldBlock` while bytes that `write` has taken have not left.
///
/// The peer is spoken to by what the scheme of [`peer`](super::MqttClientOptions::peer) says: with `mqtts://` TLS goes
/// over the transport, with `ws://` a WebSocket, with `wss://` both. During the handshakes of these it is the thread that
/// connects that calls `watch`, `read`, `write` and `flush`. All else is called on the client's worker, which serves
/// other clients of the same [`Runtime`](super::Runtime), too: it must never wait.
///
/// ```
/// # #[cfg(unix)] mod example {
/// use std::io::{self, Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// use flowsdk::mqtt_client::{Connecting, CustomTransport, MqttClientOptions, Readiness, TransportFactory};
///
/// struct Tunnel(UnixStream);
///
/// impl CustomTransport for Tunnel {
///     fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
///         readiness.watch_fd(&self.0)
///     }
///
///     fn finish_writing(&mut self) -> io::Result<()> {
///         self.0.shutdown(std::net::Shutdown::Write)
///     }
/// }
///
/// impl Read for Tunnel {
///     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
///         self.0.read(buffer)
///     }
/// }
///
/// impl Write for Tunnel {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         self.0.write(bytes)
///     }
///
///     fn flush(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// # pub
/// fn options() -> MqttClientOptions {
///     let factory = TransportFactory::new(|_host, _port| {
///         let stream = UnixStream::connect("/run/tunnel")?;
///         stream.set_nonblocking(true)?;
///         Ok(Box::new(Tunnel(stream)))
///     });
///     MqttClientOptions {
///         connecting: Connecting { transport: Some(factory), ..Default::default() },
///         ..Default::default()
///     }
/// }
/// # }
/// # #[cfg(unix)] drop(example::options());
/// ```
pub trait CustomTransport: Read + Write + Send {
    /// Has the client told from now on when the stream may have become ready. It may be called again, with another
    /// `readiness`, which then counts alone.
    ///
    /// # Errors
    /// What keeps the stream from being watched; the attempt to connect fails by it.
    fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()>;

    /// Tells the peer that nothing comes behind what was written. The client does so behind DISCONNECT, and reads on
    /// until the peer ends the stream, or for a second. The default does nothing, which suits streams that cannot tell.
    ///
    /// # Errors
    /// Those of the stream, which is then dropped at once.
    fn finish_writing(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a [`CustomTransport`] has the client told that it may read or write again.
pub struct Readiness<'r> {
    pub(super) waker: &'r Waker,
    #[cfg(unix)]
    pub(super) registry: &'r mio::Registry,
    #[cfg(unix)]
    pub(super) token: mio::Token,
    #[cfg(unix)]
    pub(super) watched: RefCell<Vec<RawFd>>,
}

impl Readiness<'_> {
    /// Wakes the client from any thread. To be woken once too often does no harm.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Watches a descriptor, which has to stay open for as long as the transport lives. With it no
    /// [`waker`](Self::waker) is needed.
    ///
    /// # Errors
    /// Those of the system, for instance for a regular file, which is never waited for.
    #[cfg(unix)]
    pub fn watch_fd(&self, fd: &impl AsFd) -> io::Result<()> {
        let fd = fd.as_fd().as_raw_fd();
        let interests = mio::Interest::READABLE | mio::Interest::WRITABLE;
        self.registry.register(&mut mio::unix::SourceFd(&fd), self.token, interests)?;
        self.watched.borrow_mut().push(fd);
        Ok(())
    }
}

impl std::fmt::Debug for Readiness<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readiness")
    }
}

/// Opens a [`CustomTransport`] for each attempt to connect, with the host and the port that the server's address in the
/// options has.
///
/// It is called on the thread that connects, so it may take its time, which counts towards
/// [`Timeouts::connect`](super::Timeouts::connect). An error or a panic fails that attempt, and is told by
/// [`on_error`](super::MqttEventHandler::on_error).
#[derive(Clone)]
pub struct TransportFactory(Arc<Open>);

type Open = dyn Fn(&str, u16) -> io::Result<Box<dyn CustomTransport>> + Send + Sync;

impl TransportFactory {
    /// A factory that calls this.
    pub fn new(open: impl Fn(&str, u16) -> io::Result<Box<dyn CustomTransport>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(super) fn open(&self, host: &str, port: u16) -> io::Result<Box<dyn CustomTransport>> {
        let panicked = |_| Err(io::Error::other("the factory of the transport has panicked"));
        contain(|| (self.0)(host, port)).unwrap_or_else(panicked)
    }
}

opaque! { TransportFactory }
