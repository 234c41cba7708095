//! Keep-alive (section 3.1.2.10), and the deadlines for CONNACK and PINGRESP.

use crate::packet::PINGREQ;
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
// What lies at small offsets is reached by short instructions, bytes the least far.
#[repr(C)]
pub(super) struct Timers {
    ping: Ping,
    /// While an answer is awaited, the next PINGREQ that keeps the connection alive.
    another: Another,
    /// No input is read, so nothing can be concluded from silence.
    reading_paused: bool,
    /// In seconds; 0 while the mechanism is off.
    keep_alive: u16,
    last_transmit: Instant,
    last_receive: Instant,
    /// Since when CONNACK or PINGRESP is awaited.
    awaited_since: Instant,
    /// How many bytes have to go to the transport until the PINGREQ among them is sent.
    ahead: usize,
    /// Bytes that have come and are not done with: the beginning of a packet.
    partial: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ping {
    Idle,
    /// A PINGREQ has to go out.
    Due,
    /// A PINGREQ is on the wire.
    Loaded,
    /// A PINGREQ has gone out and no PINGRESP has come.
    Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Another {
    None,
    Due,
    Loaded,
}

impl Timers {
    /// Before the first connection nothing here counts. It is not all zeros: to write those, memset would be linked.
    pub(super) const fn new() -> Self {
        Self { last_receive: Instant::from_millis(1), ahead: 1, partial: 1, ..Self::started(Instant::from_millis(0)) }
    }

    /// A connection begins: silence counts from now.
    pub(super) const fn started(now: Instant) -> Self {
        Self {
            last_transmit: now,
            last_receive: now,
            awaited_since: now,
            ahead: 0,
            keep_alive: 0,
            partial: 0,
            ping: Ping::Idle,
            another: Another::None,
            reading_paused: false,
        }
    }

    pub(super) const fn awaited_since(&self) -> Instant {
        self.awaited_since
    }

    pub(super) const fn set_keep_alive(&mut self, seconds: u16) {
        self.keep_alive = seconds;
    }

    /// So many bytes of input were there, and so many of them are done with. The beginning of a packet comes again and
    /// again; of the peer it says something only when it has changed.
    pub(super) const fn has_received(&mut self, now: Instant, len: usize, consumed: usize) {
        let partial = len.saturating_sub(consumed);
        if consumed > 0 || partial != self.partial {
            self.last_receive = now;
        }
        self.partial = partial;
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(super) const fn has_transmitted(&mut self, now: Instant, len: usize) {
        self.last_transmit = now;
        if let Another::Loaded = self.another {
            self.another = Another::None;
        }
        if let Ping::Loaded = self.ping {
            self.ahead = self.ahead.saturating_sub(len);
            if self.ahead == 0 {
                self.ping = Ping::Sent;
                self.awaited_since = now;
            }
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
            self.ping = Ping::Due;
            self.awaited_since = now;
            // What came longer ago than instants compare over must not count as later.
            self.last_receive = now;
        }
    }

    /// Whether a PINGREQ has to be put on the wire, where `waiting` bytes are; the caller does so.
    pub(super) const fn take_ping(&mut self, waiting: usize) -> bool {
        if let Ping::Due = self.ping {
            self.ping = Ping::Loaded;
            self.ahead = waiting + PINGREQ.len();
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

    /// Asks for a PINGREQ when one side was silent for the keep-alive `[MQTT-3.1.2-20]`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.ping_at().is_some_and(|at| now.has_reached(at)) {
            if self.ping == Ping::Idle {
                self.ping(now);
            } else {
                self.another = Another::Due;
            }
        }
    }

    /// When the next PINGREQ is due: a little before the keep-alive has passed, so that it arrives within it.
    pub(super) fn ping_at(&self) -> Option<Instant> {
        let quiet_since = match (self.ping, self.another) {
            // Reading counts too: a client that only sends QoS 0 would else never notice that nobody is there.
            (Ping::Idle, _) if !self.reading_paused => self.last_transmit.earlier_of(self.last_receive),
            // The server counts silence although it owes a PINGRESP, or although nobody reads it.
            (Ping::Idle, _) | (Ping::Sent, Another::None) => self.last_transmit,
            _ => return None,
        };
        let keep_alive_ms = u32::from(self.keep_alive) * 1000;
        let margin = (keep_alive_ms / 4).min(1000);
        (keep_alive_ms != 0).then(|| quiet_since.after_millis(keep_alive_ms - margin))
    }

    /// Since when a peer that is read owes a PINGRESP. Input of any kind shows that the peer lives: what it sent before the
    /// PINGRESP may be long. Output counts only while it pushes the PINGREQ before it: the buffers of a dead link take
    /// bytes for a while.
    pub(super) fn pong_awaited_since(&self) -> Option<Instant> {
        if self.reading_paused || self.ping == Ping::Idle {
            return None;
        }
        let since = self.awaited_since.later_of(self.last_receive);
        Some(if self.ping == Ping::Sent { since } else { since.later_of(self.last_transmit) })
    }
}
