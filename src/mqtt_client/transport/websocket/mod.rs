//! MQTT in the binary frames of a WebSocket (RFC 6455; v5.0 section 6).
//!
//! Keys and frame headers are tungstenite's. Its own socket is not used: it logs frames with their payloads, which hold
//! passwords, and keeps each message whole before it gives any of it.

mod incoming;
mod outgoing;
mod upgrade;

use std::io;

use tungstenite::protocol::frame::coding::CloseCode;

use self::incoming::{End, Incoming};
use self::outgoing::Outgoing;
pub(in crate::mqtt_client) use self::upgrade::{Request, upgrade};
use super::Transport;
use super::http::shown;

/// Reads in which nothing of MQTT may come before others have their turn.
const MOST_READS: u32 = 16;

/// A WebSocket of which the handshake is done.
#[derive(Debug)]
pub(in crate::mqtt_client) struct WebSocket {
    below: Transport,
    incoming: Incoming,
    outgoing: Outgoing,
    /// There may be more below.
    has_more: bool,
}

impl WebSocket {
    pub(in crate::mqtt_client) fn new(below: Transport) -> Self {
        Self { below, incoming: Incoming::default(), outgoing: Outgoing::default(), has_more: true }
    }

    /// What its frames travel over.
    pub(super) const fn below_mut(&mut self) -> &mut Transport {
        &mut self.below
    }

    /// See [`Self::below_mut`].
    #[cfg(feature = "tls")]
    pub(super) const fn below(&self) -> &Transport {
        &self.below
    }

    /// `Interrupted` means that there may be more, and nothing was MQTT's so far.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for _ in 0..MOST_READS {
            if let Some(end) = self.incoming.end() {
                return told(end);
            }
            let len = self.below.read(buffer)?;
            if len == 0 {
                return Ok(0);
            }
            self.has_more = self.below.may_have_more(len, buffer.len());
            let decoded = self.incoming.decode(buffer.get_mut(..len).unwrap_or_default());
            if let Some(end) = self.incoming.end() {
                self.outgoing.push_close(answer(end));
                self.has_more = true;
                // The connection ends: there is no other time for it.
                let _ = self.flush();
            }
            if decoded > 0 {
                return Ok(decoded);
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    pub(super) const fn may_have_more(&self) -> bool {
        self.has_more
    }

    pub(super) fn write(&mut self, slices: &[&[u8]]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.outgoing.push_data(slices);
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outgoing.is_empty() || self.incoming.has_ping() || self.below.has_unsent()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        loop {
            if self.outgoing.is_empty() {
                // Only the last of several pings needs an answer, so that a flood of them takes no memory.
                let Some(ping) = self.incoming.take_ping() else { return self.below.flush() };
                self.outgoing.push_pong(ping.as_slice());
            }
            match self.below.write(&[self.outgoing.rest()]) {
                Ok(0) if !self.outgoing.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.outgoing.consume(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says so in a frame. The connection below is the server's to close (RFC 6455 section 7.1.1).
    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        self.outgoing.push_close(CloseCode::Normal);
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

/// The code with which a close frame is answered, or a violation told.
const fn answer(end: &End) -> CloseCode {
    match end {
        End::Violation(code, _) => *code,
        End::Closed(_) => CloseCode::Normal,
    }
}

/// The end as a read tells it.
fn told(end: &End) -> io::Result<usize> {
    match end {
        End::Closed(None | Some((CloseCode::Normal, _))) => Ok(0),
        End::Closed(Some((code, reason))) => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", shown(reason)) };
            let text = format!("the server has closed the WebSocket with code {}{reason}", u16::from(*code));
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
        }
        End::Violation(_, what) => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("the server has sent {what} over the WebSocket")))
        }
    }
}

#[cfg(test)]
mod tests;
