//! Keep-alive (section 3.1.2.10), and the deadlines for CONNACK and PINGRESP.

use super::error::PeerError;
use crate::packet::PINGREQ;
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    /// 0 while the mechanism is off.
    keep_alive_ms: u32,
    last_transmit: Instant,
    last_receive: Instant,
    ping: Ping,
    /// While an answer is awaited, the next PINGREQ that keeps the connection alive.
    another: Another,
    /// No input is read, so nothing can be concluded from silence.
    reading_paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    Idle,
    /// A PINGREQ has to go out, since then.
    Due(Instant),
    /// A PINGREQ is on the wire since then, and so many bytes with it go to the transport first.
    Loaded(Instant, usize),
    /// A PINGREQ has gone out and no PINGRESP has come.
    Sent(Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Another {
    None,
    Due,
    Loaded,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self {
            keep_alive_ms: 0,
            last_transmit: Instant::from_millis(0),
            last_receive: Instant::from_millis(0),
            ping: Ping::Idle,
            another: Another::None,
            reading_paused: false,
        }
    }

    /// A connection begins: silence counts from now.
    pub(super) const fn start(&mut self, now: Instant) {
        *self = Self { last_transmit: now, last_receive: now, ..Self::new() };
    }

    pub(super) fn set_keep_alive(&mut self, seconds: u16) {
        self.keep_alive_ms = u32::from(seconds) * 1000;
    }

    pub(super) const fn has_received(&mut self, now: Instant) {
        self.last_receive = now;
    }

    pub(super) const fn has_transmitted(&mut self, now: Instant, len: usize) {
        self.last_transmit = now;
        if let Another::Loaded = self.another {
            self.another = Another::None;
        }
        if let Ping::Loaded(since, ahead) = self.ping {
            self.ping = if ahead <= len { Ping::Sent(now) } else { Ping::Loaded(since, ahead - len) };
        }
    }

    pub(super) const fn set_reading_paused(&mut self, now: Instant, paused: bool) {
        if self.reading_paused && !paused {
            self.last_receive = now;
        }
        self.reading_paused = paused;
    }

    /// A PINGREQ is wanted now.
    pub(super) const fn ping(&mut self, now: Instant) {
        if let Ping::Idle = self.ping {
            self.ping = Ping::Due(now);
        }
    }

    /// Whether a PINGREQ has to be put on the wire, where `waiting` bytes are; the caller does so.
    pub(super) const fn take_ping(&mut self, waiting: usize) -> bool {
        if let Ping::Due(since) = self.ping {
            self.ping = Ping::Loaded(since, waiting + PINGREQ.len());
            return true;
        }
        if let Another::Due = self.another {
            self.another = Another::Loaded;
            return true;
        }
        false
    }

    pub(super) const fn has_ponged(&mut self) {
        self.ping = Ping::Idle;
        self.another = Another::None;
    }

    /// Asks for a PINGREQ when one side was silent for the keep-alive `[MQTT-3.1.2-20]`, and finds a peer that does not
    /// answer one.
    pub(super) fn handle_timeout(&mut self, now: Instant, ping_timeout_ms: u32) -> Result<(), PeerError> {
        if self.ping == Ping::Idle {
            if self.ping_at().is_some_and(|at| now.has_reached(at)) {
                self.ping = Ping::Due(now);
            }
            return Ok(());
        }
        if self.another_at().is_some_and(|at| now.has_reached(at)) {
            self.another = Another::Due;
        }
        match self.pong_deadline(ping_timeout_ms) {
            Some(deadline) if now.has_reached(deadline) => Err(PeerError::PingTimeout),
            _ => Ok(()),
        }
    }

    pub(super) fn poll_timeout(&self, ping_timeout_ms: u32) -> Option<Instant> {
        if self.ping == Ping::Idle {
            return self.ping_at();
        }
        match (self.pong_deadline(ping_timeout_ms), self.another_at()) {
            (Some(deadline), Some(at)) => Some(deadline.earlier_of(at)),
            (deadline, at) => deadline.or(at),
        }
    }

    /// A little before the keep-alive has passed, so that the PINGREQ arrives within it. Reading counts too: a client
    /// that only sends QoS 0 would else never notice that nobody is there.
    fn ping_at(&self) -> Option<Instant> {
        let quiet_since =
            if self.reading_paused { self.last_transmit } else { self.last_transmit.earlier_of(self.last_receive) };
        self.after_keep_alive(quiet_since)
    }

    /// The server counts silence although it owes a PINGRESP, or although nobody reads it.
    fn another_at(&self) -> Option<Instant> {
        match (self.ping, self.another) {
            (Ping::Sent(_), Another::None) => self.after_keep_alive(self.last_transmit),
            _ => None,
        }
    }

    fn after_keep_alive(&self, since: Instant) -> Option<Instant> {
        let margin = (self.keep_alive_ms / 4).min(1000);
        (self.keep_alive_ms != 0).then(|| since.after_millis(self.keep_alive_ms - margin))
    }

    /// Input of any kind shows that the peer lives: what it sent before the PINGRESP may be long. Output counts only
    /// while it pushes the PINGREQ before it: the buffers of a dead link take bytes for a while.
    fn pong_deadline(&self, ping_timeout_ms: u32) -> Option<Instant> {
        if self.reading_paused {
            return None;
        }
        let heard = |since: Instant| if self.last_receive.has_reached(since) { self.last_receive } else { since };
        let since = match self.ping {
            Ping::Idle => return None,
            Ping::Due(since) | Ping::Loaded(since, _) => {
                let heard = heard(since);
                if self.last_transmit.has_reached(heard) { self.last_transmit } else { heard }
            }
            Ping::Sent(since) => heard(since),
        };
        Some(since.after_millis(ping_timeout_ms))
    }
}
