use std::io::{self, Read};

use rustls::ClientConnection;

use super::TlsSetup;
use super::error::{Shown, TlsError, explain};
use crate::mqtt_client::blocking::Blocking;
use crate::mqtt_client::dial::{Dial, Phase};
use crate::mqtt_client::error::ConnectionError;
use crate::mqtt_client::peer::Peer;
use crate::mqtt_client::transport::{Socket, TlsStream};

/// Speaks TLS over a socket, until application data can follow.
pub(in crate::mqtt_client) fn handshake(
    setup: &TlsSetup,
    peer: &Peer,
    mut socket: Socket,
    dial: &mut Dial<'_>,
) -> io::Result<TlsStream> {
    dial.begin(Phase::Tls);
    let name = setup.name(&peer.host)?;
    setup.begin();
    let failed = |error: &rustls::Error, is_first_word| {
        let shown = Shown { is_first_word, ..setup.shown() };
        tell(peer, explain(error, shown))
    };
    let mut tls = ClientConnection::new(setup.config.clone(), name).map_err(|error| failed(&error, false))?;
    let mut stream = Blocking::new(dial, &mut socket)?;
    let (mut first, mut can_write) = (None, true);
    while tls.is_handshaking() || tls.wants_write() {
        if tls.wants_write() && can_write {
            match tls.write_tls(&mut stream) {
                // Why the server has gone may lie in what is still to be read.
                Err(error) if is_cut(&error) => can_write = false,
                result => {
                    result?;
                }
            }
            continue;
        }
        let mut watched = Watched { stream: &mut stream, first: &mut first };
        let len = match tls.read_tls(&mut watched) {
            Err(error) if is_cut(&error) => 0,
            result => result?,
        };
        if let Some(what) = first.and_then(plain_text) {
            return Err(tell(peer, TlsError::NotTls(what)));
        }
        if len == 0 {
            return Err(tell(peer, TlsError::Closed));
        }
        if let Err(error) = tls.process_new_packets() {
            // The server may hear why; whether it does is of no consequence.
            let _ = tls.write_tls(&mut stream);
            return Err(failed(&error, tls.protocol_version().is_none()));
        }
    }
    drop(stream);
    Ok(TlsStream::new(socket, tls, peer.to_string(), setup.shown()))
}

fn tell(peer: &Peer, error: TlsError) -> io::Error {
    ConnectionError::Tls { server: peer.to_string(), error }.into()
}

/// Many servers answer by a reset to what they do not understand.
fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A stream of which the first byte is known.
struct Watched<'w, S> {
    stream: &'w mut S,
    first: &'w mut Option<u8>,
}

impl<S: Read> Read for Watched<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        if let (None, Some(byte)) = (&self.first, buffer.get(..len).and_then(<[u8]>::first)) {
            *self.first = Some(*byte);
        }
        Ok(len)
    }
}

/// What a first byte is of, if not of TLS.
const fn plain_text(first: u8) -> Option<&'static str> {
    match first {
        // The content types of RFC 8446, section 5.1, and around.
        0x14..=0x18 => None,
        0x20 => Some("an MQTT packet in the clear"),
        b'H' => Some("HTTP in the clear"),
        _ => Some("something else in the clear"),
    }
}
