//! What a client owes a server for the messages it publishes (sections 4.3, 4.4, 4.6 and 4.9 of the standard).
//!
//! A message of QoS 1 is a PUBLISH until its PUBACK. One of QoS 2 is a PUBLISH until its PUBREC, then a PUBREL until
//! its PUBCOMP. A PUBREC with a code of failure ends it too. Nothing is sent twice on one connection; on the next one
//! all that has not ended is sent again.

use std::collections::VecDeque;

use super::with_code;

#[derive(Default)]
pub(super) struct Sender {
    /// QoS 0: nothing is kept once it is sent, or once the connection is gone.
    unkept: VecDeque<String>,
    /// PUBLISH packets in the order of their publishing `[MQTT-4.6.0-1]`.
    publishes: Vec<Publish>,
    /// PUBREL packets in the order of their PUBRECs `[MQTT-4.6.0-4]`.
    releases: Vec<Release>,
    /// How many exchanges the server takes at a time on this connection.
    receive_maximum: usize,
}

struct Publish {
    id: u16,
    qos: u8,
    payload: String,
    /// Sent on this connection.
    sent: bool,
    /// A byte of it was sent on any connection.
    begun: bool,
}

struct Release {
    id: u16,
    sent: bool,
}

impl Sender {
    pub(super) fn publish_unkept(&mut self, payload: &str) {
        self.unkept.push_back(format!("PUBLISH q0 t {payload}"));
    }

    pub(super) fn publish(&mut self, id: u16, qos: u8, payload: &str) {
        assert!(!self.is_in_use(id), "{id} is given out twice"); // [MQTT-2.2.1-3]
        self.publishes.push(Publish { id, qos, payload: payload.to_owned(), sent: false, begun: false });
    }

    pub(super) fn is_in_use(&self, id: u16) -> bool {
        self.publishes.iter().any(|it| it.id == id) || self.releases.iter().any(|it| it.id == id)
    }

    /// Messages that have not ended.
    pub(super) fn open(&self) -> usize {
        self.publishes.len() + self.releases.len()
    }

    /// An exchange takes a place from its PUBLISH on this connection, or its PUBREL, until it ends `[MQTT-4.9.0-2]`.
    pub(super) fn quota(&self) -> usize {
        let taken = self.publishes.iter().filter(|it| it.sent).count() + self.releases.len();
        self.receive_maximum.saturating_sub(taken)
    }

    /// The packets that may leave next, at most one of each kind: the standard orders nothing across kinds.
    pub(super) fn due(&self) -> Vec<String> {
        let release = self.releases.iter().find(|it| !it.sent).map(|it| format!("PUBREL {}", it.id));
        let publish = self.publishes.iter().find(|it| !it.sent && self.quota() > 0); // [MQTT-3.3.4-7]
        let publish = publish.map(|it| {
            let dup = if it.begun { " dup" } else { "" }; // [MQTT-3.3.1-1]
            format!("PUBLISH {} q{} t {}{dup}", it.id, it.qos, it.payload)
        });
        self.unkept.front().cloned().into_iter().chain(publish).chain(release).collect()
    }

    /// A packet that was due has left.
    pub(super) fn has_left(&mut self, packet: &str) {
        if packet.starts_with("PUBREL") {
            self.releases.iter_mut().find(|it| !it.sent).expect("due").sent = true;
        } else if packet.starts_with("PUBLISH q0") {
            self.unkept.pop_front();
        } else {
            let publish = self.publishes.iter_mut().find(|it| !it.sent).expect("due");
            (publish.sent, publish.begun) = (true, true);
        }
    }

    /// A packet with this first byte was cut off behind it.
    pub(super) fn has_begun(&mut self, first: u8) {
        let is_kept = first >> 4 == 3 && first & 0x06 != 0;
        if let Some(publish) = self.publishes.iter_mut().find(|it| !it.sent).filter(|_| is_kept) {
            publish.begun = true;
        }
    }

    /// PUBACK or PUBCOMP; what the application hears of it.
    pub(super) fn handle_end(&mut self, id: u16, code: u8) -> Vec<String> {
        let qos = if self.publishes.iter().any(|it| it.id == id && it.sent) { 1 } else { 2 };
        let open = self.open();
        self.publishes.retain(|it| it.id != id || !it.sent);
        self.releases.retain(|it| it.id != id);
        if self.open() < open { vec![with_code(format!("Published {id} q{qos}"), code)] } else { Vec::new() }
    }

    pub(super) fn handle_pubrec(&mut self, id: u16, code: u8) -> Vec<String> {
        self.publishes.retain(|it| it.id != id);
        if code >= 0x80 {
            return vec![with_code(format!("Published {id} q2"), code)];
        }
        if let Some(release) = self.releases.iter_mut().find(|it| it.id == id) {
            // It comes again, so the PUBREL goes again.
            release.sent = false;
        } else {
            self.releases.push(Release { id, sent: false });
        }
        Vec::new()
    }

    pub(super) fn cut(&mut self) {
        self.unkept.clear();
        self.publishes.iter_mut().for_each(|it| it.sent = false);
        self.releases.iter_mut().for_each(|it| it.sent = false);
    }

    pub(super) fn connect(&mut self, receive_maximum: usize) {
        self.receive_maximum = receive_maximum;
    }

    /// The server has no session: what it may have seen ends here, the rest is still to be sent. Says what ends.
    pub(super) fn lose(&mut self) -> Vec<String> {
        let begun = self.publishes.iter().filter(|it| it.begun).map(|it| it.id);
        let lost = begun.chain(self.releases.iter().map(|it| it.id)).map(|id| format!("{id} SessionLost")).collect();
        self.publishes.retain(|it| !it.begun);
        self.releases.clear();
        lost
    }
}
