//! Byte streams to a broker, non-blocking.

#[cfg(feature = "proxy")]
pub(super) mod proxy;
#[cfg(feature = "proxy")]
pub(super) mod timed;

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// An open byte stream.
#[derive(Debug)]
pub(super) enum Transport {
    /// TCP, in the clear.
    Tcp(TcpStream),
}

impl Transport {
    pub(super) fn tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpStream::from_std(stream)))
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.register(stream, token, Interest::READABLE | Interest::WRITABLE),
        }
    }

    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => registry.deregister(stream),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(stream), [slice]) => stream.write(slice),
            (Self::Tcp(stream), slices) => {
                let mut vectored = [IoSlice::new(&[]); MAX_SLICES];
                for (place, slice) in vectored.iter_mut().zip(slices) {
                    *place = IoSlice::new(slice);
                }
                stream.write_vectored(vectored.get(..slices.len().min(MAX_SLICES)).unwrap_or(&[]))
            }
        }
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

/// How many slices one write takes.
pub(super) const MAX_SLICES: usize = 16;
