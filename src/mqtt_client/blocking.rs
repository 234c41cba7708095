use std::io::{self, Read, Write};

use mio::{Registry, Token};

use super::dial::{Dial, SOCKET};
#[cfg(feature = "websocket")]
use super::transport::Transport;
use super::transport::{Listener, Socket};

/// What a poll can wait for.
pub(super) trait NonBlocking {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()>;
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
    fn listen(&mut self, listener: Listener);
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    fn flush(&mut self) -> io::Result<()>;
}

impl NonBlocking for Socket {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        Self::register(self, registry, token)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        Self::deregister(self, registry)
    }

    fn listen(&mut self, listener: Listener) {
        Self::listen(self, listener);
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(self)
    }
}

#[cfg(feature = "websocket")]
impl NonBlocking for Transport {
    fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        Self::register(self, registry, token)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        Self::deregister(self, registry)
    }

    fn listen(&mut self, listener: Listener) {
        Self::listen(self, listener);
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::read(self, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, &[bytes])
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self)
    }
}

/// A stream that blocks until the deadline of its attempt, which then is the error.
pub(super) struct Blocking<'d, 'a, S: NonBlocking = Socket> {
    dial: &'d mut Dial<'a>,
    stream: &'d mut S,
}

impl<'d, 'a, S: NonBlocking> Blocking<'d, 'a, S> {
    pub(super) fn new(dial: &'d mut Dial<'a>, stream: &'d mut S) -> io::Result<Self> {
        stream.listen(dial.listener());
        stream.register(dial.poll.registry(), SOCKET)?;
        Ok(Self { dial, stream })
    }

    fn repeat<T>(&mut self, mut act: impl FnMut(&mut S) -> io::Result<T>) -> io::Result<T> {
        // However slowly the peer goes on, it goes on no longer than this.
        self.dial.check()?;
        loop {
            match act(self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.dial.wait(None)?,
                result => return result,
            };
        }
    }
}

impl<S: NonBlocking> Read for Blocking<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.repeat(|stream| stream.read(buffer))
    }
}

impl<S: NonBlocking> Write for Blocking<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.repeat(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.repeat(S::flush)
    }
}

impl<S: NonBlocking> Drop for Blocking<'_, '_, S> {
    /// The worker's poll is to have it.
    fn drop(&mut self) {
        let _ = self.stream.deregister(self.dial.poll.registry());
    }
}
