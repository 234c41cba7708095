use std::io::{self, Read, Write};

use super::dial::{Dial, SOCKET};
use super::transport::Socket;

/// A socket that blocks until the deadline of its attempt, which then is the error.
pub(super) struct Blocking<'d, 'a> {
    dial: &'d mut Dial<'a>,
    socket: &'d mut Socket,
}

impl<'d, 'a> Blocking<'d, 'a> {
    pub(super) fn new(dial: &'d mut Dial<'a>, socket: &'d mut Socket) -> io::Result<Self> {
        socket.register(dial.poll.registry(), SOCKET)?;
        Ok(Self { dial, socket })
    }

    fn repeat<T>(&mut self, mut act: impl FnMut(&mut Socket) -> io::Result<T>) -> io::Result<T> {
        // However slowly the peer goes on, it goes on no longer than this.
        self.dial.check()?;
        loop {
            match act(self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.dial.wait(None)?,
                result => return result,
            };
        }
    }
}

impl Read for Blocking<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.repeat(|socket| socket.read(buffer))
    }
}

impl Write for Blocking<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.repeat(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Blocking<'_, '_> {
    /// The worker's poll is to have it.
    fn drop(&mut self) {
        let _ = self.socket.deregister(self.dial.poll.registry());
    }
}
