use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::custom::{CustomSocket, Listener};
use crate::mqtt_client::custom::CustomTransport;

/// What the system gives, non-blocking, or the application in its place.
#[derive(Debug)]
pub(in crate::mqtt_client) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Custom(Box<CustomSocket>),
}

impl Socket {
    /// A connected one.
    pub(in crate::mqtt_client) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    pub(in crate::mqtt_client) fn custom(stream: Box<dyn CustomTransport>) -> Self {
        Self::Custom(Box::new(CustomSocket::new(stream)))
    }

    /// Whether a short read has emptied it.
    pub(super) const fn is_emptied_by_short_reads(&self) -> bool {
        match self {
            Self::Tcp(_) => cfg!(unix),
            #[cfg(unix)]
            Self::Unix(_) => true,
            Self::Custom(_) => false,
        }
    }

    /// The peer reads its end, once everything before has been read.
    pub(in crate::mqtt_client) fn finish_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Custom(custom) => custom.finish_writing(),
        }
    }

    /// Who is woken by what the poll cannot see.
    pub(in crate::mqtt_client) fn listen(&self, listener: Listener) {
        if let Self::Custom(custom) = self {
            custom.set_listener(listener);
        }
    }

    /// Whether it may have become ready unseen by the poll since the last call.
    pub(super) fn take_signal(&self) -> bool {
        matches!(self, Self::Custom(custom) if custom.take_signal())
    }

    pub(in crate::mqtt_client) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
        match self {
            Self::Tcp(stream) => registry.register(stream, token, BOTH),
            #[cfg(unix)]
            Self::Unix(stream) => registry.register(stream, token, BOTH),
            Self::Custom(custom) => custom.register(registry, token),
        }
    }

    pub(in crate::mqtt_client) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.deregister(stream),
            #[cfg(unix)]
            Self::Unix(stream) => registry.deregister(stream),
            Self::Custom(custom) => {
                custom.deregister();
                Ok(())
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
            Self::Custom(custom) => custom.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
            Self::Custom(custom) => custom.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_vectored(slices),
            Self::Custom(custom) => custom.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Custom(custom) => custom.flush(),
            _ => Ok(()),
        }
    }
}
