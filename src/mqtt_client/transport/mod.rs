//! Byte streams to a broker, non-blocking: a socket, and what lies between it and MQTT.

mod custom;
#[cfg(any(feature = "proxy", feature = "websocket"))]
mod http;
#[cfg(feature = "proxy")]
pub(super) mod proxy;
mod socket;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "websocket")]
pub(super) mod websocket;

use std::io::{self, IoSlice, Read, Write};

use mio::{Registry, Token};

pub(super) use self::custom::Listener;
pub(super) use self::socket::Socket;
#[cfg(feature = "tls")]
pub(super) use self::tls::TlsStream;
#[cfg(feature = "websocket")]
use self::websocket::WebSocket;

/// How many slices one write takes.
pub(super) const MAX_SLICES: usize = 32;

/// A stream over which MQTT can begin at once.
#[derive(Debug)]
pub(super) enum Transport {
    /// The socket itself.
    Plain(Socket),
    /// TLS over it.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    /// Within the frames of a WebSocket.
    #[cfg(feature = "websocket")]
    WebSocket(Box<WebSocket>),
}

impl Transport {
    const fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.below_mut().socket(),
        }
    }

    /// The certificate by which the server has proved who it is, in DER.
    #[cfg(feature = "tls")]
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.certificate(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.below().certificate(),
        }
    }

    /// Who is woken by what the poll cannot see.
    pub(super) fn listen(&mut self, listener: Listener) {
        self.socket().listen(listener);
    }

    /// Whether it may have become ready unseen by the poll since the last call.
    pub(super) fn take_signal(&mut self) -> bool {
        self.socket().take_signal()
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket().register(registry, token)
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket().deregister(registry)
    }

    /// As [`Read::read`]. `WouldBlock` means that only the poll can tell of more.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(buffer),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.read(buffer),
        }
    }

    /// Whether there may be more to read behind a read of `len` bytes into a buffer of `room`. If not, the poll will
    /// tell.
    pub(super) const fn may_have_more(&self, len: usize, room: usize) -> bool {
        match self {
            Self::Plain(socket) => len == room || !socket.is_emptied_by_short_reads(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => len == room || stream.may_have_more(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.may_have_more(),
        }
    }

    /// Takes bytes of these slices, in their order; how many. It may keep some of what it has taken, until
    /// [`flush`](Self::flush).
    pub(super) fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        match (self, slices) {
            #[cfg(feature = "tls")]
            (Self::Tls(stream), slices) => stream.write(slices),
            #[cfg(feature = "websocket")]
            (Self::WebSocket(websocket), slices) => websocket.write(slices),
            (Self::Plain(socket), [slice]) => socket.write(slice),
            (Self::Plain(socket), slices) => {
                let mut vectored = [IoSlice::new(&[]); MAX_SLICES];
                for (place, slice) in vectored.iter_mut().zip(slices) {
                    *place = IoSlice::new(slice);
                }
                socket.write_vectored(vectored.get(..slices.len().min(MAX_SLICES)).unwrap_or(&[]))
            }
        }
    }

    /// Whether it keeps bytes that have not left yet.
    pub(super) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.has_unsent(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.has_unsent(),
        }
    }

    /// Sends what it keeps, as far as the socket takes it: `WouldBlock` if some is left.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.flush(),
        }
    }

    /// Tells the peer that nothing more will come. To be called again as long as bytes are [unsent](Self::has_unsent).
    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.finish_writing(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.finish_writing(),
            #[cfg(feature = "websocket")]
            Self::WebSocket(websocket) => websocket.finish_writing(),
        }
    }
}
