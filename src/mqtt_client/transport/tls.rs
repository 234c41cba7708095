use std::io::{self, IoSlice, Read, Write};

use rustls::ClientConnection;

use super::{MAX_SLICES, Socket};
use crate::mqtt_client::error::ConnectionError;
use crate::mqtt_client::tls::{Shown, explain};

/// Bytes that one read takes from the socket: two records of the greatest length.
const INPUT: usize = 32 * 1024;
/// Bytes that are encrypted before the socket has taken those before.
const OUTPUT: usize = 64 * 1024;

/// TLS behind its handshake, over a socket.
pub(in crate::mqtt_client) struct TlsStream {
    socket: Socket,
    tls: Box<ClientConnection>,
    /// What an error names.
    server: String,
    shown: Shown,
    /// What was read from the socket, and where what TLS has not seen of it begins and ends.
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// The socket has no more at the moment.
    is_drained: bool,
    /// The socket has come to its end.
    has_ended: bool,
    /// What TLS has failed by; the data before it is read first.
    fault: Option<rustls::Error>,
}

impl TlsStream {
    pub(in crate::mqtt_client) fn new(socket: Socket, mut tls: ClientConnection, server: String, shown: Shown) -> Self {
        tls.set_buffer_limit(Some(OUTPUT));
        let (input, tls) = (Vec::new(), Box::new(tls));
        Self { socket, tls, server, shown, input, start: 0, end: 0, is_drained: false, has_ended: false, fault: None }
    }

    pub(super) const fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The certificate of the server, in DER.
    pub(in crate::mqtt_client) fn certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Whether there may be more behind what was read.
    pub(super) const fn may_have_more(&self) -> bool {
        !self.is_drained || self.fault.is_some()
    }

    /// Takes as much as there is, as each packet of a broker may be a record of its own.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_drained = false;
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.tls.reader().read(room) {
                // The server has said that this is the end.
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.take_in() {
                    Ok(()) => {}
                    // It comes again where nothing was read before it.
                    Err(_) if filled > 0 => break,
                    Err(error) => return Err(error),
                },
                // The server has not: many do so. Whether bytes are missing is known where packets are.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Gives TLS bytes of the socket.
    fn take_in(&mut self) -> io::Result<()> {
        if let Some(error) = &self.fault {
            let error = ConnectionError::Tls { server: self.server.clone(), error: explain(error, self.shown) };
            return Err(error.into());
        }
        if self.start == self.end && !self.has_ended {
            self.fill()?;
        }
        let mut bytes = self.input.get(self.start..self.end).unwrap_or(&[]);
        self.start += self.tls.read_tls(&mut bytes)?;
        if let Err(error) = self.tls.process_new_packets() {
            self.fault = Some(error);
            // The server may hear why; whether it does is of no consequence.
            let _ = self.flush();
        }
        if self.start == self.end && self.is_drained {
            self.input = Vec::new();
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.is_drained {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.resize(INPUT, 0);
        (self.start, self.end) = (0, 0);
        match self.socket.read(&mut self.input) {
            Ok(len) => {
                self.end = len;
                self.has_ended = len == 0;
                // A short read has emptied the socket, but for its end.
                self.is_drained = self.socket.is_emptied_by_short_reads() && len > 0 && len < INPUT;
                Ok(())
            }
            Err(error) => {
                self.is_drained = error.kind() == io::ErrorKind::WouldBlock;
                self.input = Vec::new();
                Err(error)
            }
        }
    }

    pub(super) fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        // What is encrypted already goes first: that bounds it.
        self.flush()?;
        let mut vectored = [IoSlice::new(&[]); MAX_SLICES];
        for (place, slice) in vectored.iter_mut().zip(slices) {
            *place = IoSlice::new(slice);
        }
        let taken = self.tls.writer().write_vectored(vectored.get(..slices.len().min(MAX_SLICES)).unwrap_or(&[]))?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                result => {
                    result?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        self.tls.send_close_notify();
        match self.flush() {
            // The rest goes with the next call.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(()) => self.socket.finish_writing(),
        }
    }
}

impl Drop for TlsStream {
    /// However it ends, the server may tell the end from a cut.
    fn drop(&mut self) {
        self.tls.send_close_notify();
        let _ = self.flush();
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("server", &self.server).finish_non_exhaustive()
    }
}
