use std::io::{self, IoSlice, Read, Write};
use std::thread;

use rustls::ClientConnection;

use super::{MAX_SLICES, Socket};
use crate::mqtt_client::error::ConnectionError;
use crate::mqtt_client::tls::{Shown, explain};

/// Bytes that one read takes from the socket: two records of the greatest length.
const INPUT: usize = 32 * 1024;
/// Bytes that are encrypted before the socket has taken those before.
const OUTPUT: usize = 64 * 1024;

/// How often TLS is given more of the socket before others have their turn, where nothing of it is data: session tickets
/// may come without an end. A record of the greatest length takes five times.
const MOST_IN_VAIN: u32 = 8;

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

    /// Takes as much as there is, as each packet of a broker may be a record of its own. `Interrupted` means that there
    /// may be more, and nothing was data so far.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_drained = false;
        let (mut filled, mut in_vain) = (0, 0);
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.tls.reader().read(room) {
                // The server has said that this is the end.
                Ok(0) => break,
                Ok(len) => (filled, in_vain) = (filled + len, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && in_vain == MOST_IN_VAIN => {
                    // What was read of the socket is not all seen.
                    self.is_drained = false;
                    return if filled > 0 { Ok(filled) } else { Err(io::ErrorKind::Interrupted.into()) };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.take_in() {
                    Ok(()) => in_vain += 1,
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
        // What has panicked may be the application's transport, and a second panic would end the process.
        if thread::panicking() {
            return;
        }
        self.tls.send_close_notify();
        let _ = self.flush();
    }
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix, feature = "ring"))]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::thread;

    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

    use super::*;
    use crate::mqtt_client::contain::contain;
    use crate::mqtt_client::custom::{CustomTransport, Readiness};

    /// Both ends of TLS behind a handshake, and so many tickets on their way to the client.
    fn after_tickets(count: usize) -> (TlsStream, ServerConnection, UnixStream) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["a".to_string()]).unwrap().self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut server = server.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap();
        server.send_tls13_tickets = count;
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let serving = thread::spawn(move || {
            let mut server = ServerConnection::new(Arc::new(server)).unwrap();
            while server.is_handshaking() {
                server.complete_io(&mut far).unwrap();
            }
            while server.wants_write() {
                server.write_tls(&mut far).unwrap();
            }
            (server, far)
        });
        let mut client = ClientConnection::new(Arc::new(client), "a".try_into().unwrap()).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut near).unwrap();
        }
        let (server, far) = serving.join().unwrap();
        near.set_nonblocking(true).unwrap();
        let socket = Socket::Unix(mio::net::UnixStream::from_std(near));
        (TlsStream::new(socket, client, "a".to_string(), Shown::default()), server, far)
    }

    #[test]
    fn a_server_that_sends_tickets_without_an_end_does_not_keep_the_thread() {
        // As many as TLS takes by one flight.
        let (mut stream, mut server, mut far) = after_tickets(400);
        let mut buffer = [0; 64];
        let mut turns = 0;
        let error = loop {
            match stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    assert!(stream.may_have_more());
                    turns += 1;
                }
                result => break result.unwrap_err(),
            }
        };
        assert_eq!((error.kind(), turns > 0), (io::ErrorKind::WouldBlock, true), "{turns}: {error}");
        server.writer().write_all(b"data").unwrap();
        server.write_tls(&mut far).unwrap();
        assert_eq!(stream.read(&mut buffer).unwrap(), 4);
    }

    /// Takes nothing but panics.
    struct Panicking;

    impl CustomTransport for Panicking {
        fn watch(&mut self, _: &Readiness<'_>) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Panicking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("a read with a fault");
        }
    }

    impl Write for Panicking {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a write with a fault");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_goes_as_its_transport_has_panicked_does_not_call_that_again() {
        let (mut stream, ..) = after_tickets(0);
        stream.socket = Socket::custom(Box::new(Panicking));
        // A second panic would end the process.
        assert_eq!(contain(move || stream.write(&[b"data"]).is_ok()), Err("a write with a fault".to_string()));
    }
}
