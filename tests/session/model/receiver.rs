//! What a client owes a server for the messages it receives (sections 4.3, 4.4 and 4.6 of the standard).
//!
//! A PUBLISH of QoS 1 is handed over each time it comes, one of QoS 2 only if its identifier is not known. The
//! identifier is known from then until PUBREL, or until the message was refused by its PUBREC.

use std::collections::VecDeque;

use super::with_code;

#[derive(Default)]
pub(super) struct Receiver {
    /// Messages without their PUBACK or PUBREC, in the order of receipt on this connection `[MQTT-4.6.0-2]`
    /// `[MQTT-4.6.0-3]`.
    unanswered: Vec<Message>,
    /// QoS 2 messages of an earlier connection without their PUBREC: the server will repeat them.
    interrupted: Vec<Message>,
    /// Identifiers of QoS 2 messages between PUBREC and PUBREL.
    awaiting_release: Vec<u16>,
    pubcomps: VecDeque<String>,
}

#[derive(Clone)]
struct Message {
    id: u16,
    qos: u8,
    /// Names the message to the application.
    number: usize,
    /// What the application has acknowledged it with.
    code: Option<u8>,
}

impl Receiver {
    /// PUBLISH above QoS 0; whether the message is handed over, as the one of that number.
    pub(super) fn handle_publish(&mut self, id: u16, qos: u8, number: usize, code: Option<u8>) -> bool {
        let interrupted = self.interrupted.iter().position(|it| it.id == id);
        let known = interrupted.map(|at| self.interrupted.remove(at));
        let answered = self.awaiting_release.iter().position(|it| *it == id);
        // PUBREC again, and no second delivery [MQTT-4.3.3-10].
        let known = known.or(answered.map(|at| {
            self.awaiting_release.remove(at);
            Message { id, qos, number: usize::MAX, code: Some(0) }
        }));
        let is_new = known.is_none();
        self.unanswered.push(known.unwrap_or(Message { id, qos, number, code }));
        is_new
    }

    /// The application acknowledges; whether there was something to acknowledge.
    pub(super) fn acknowledge(&mut self, number: usize, code: u8) -> bool {
        let mut all = self.unanswered.iter_mut().chain(&mut self.interrupted);
        let message = all.find(|it| it.number == number && it.code.is_none());
        message.map(|it| it.code = Some(code)).is_some()
    }

    pub(super) fn handle_pubrel(&mut self, id: u16, is_v5: bool) {
        let known = self.awaiting_release.contains(&id);
        self.awaiting_release.retain(|it| *it != id);
        let code = if known || !is_v5 { 0 } else { 0x92 };
        self.pubcomps.push_back(with_code(format!("PUBCOMP {id}"), code));
    }

    fn answer(&self, qos: u8) -> Option<String> {
        let oldest = self.unanswered.iter().find(|it| it.qos == qos)?;
        let name = if qos == 1 { "PUBACK" } else { "PUBREC" };
        Some(with_code(format!("{name} {}", oldest.id), oldest.code?))
    }

    /// The packets that may leave next, at most one of each kind: the standard orders nothing across kinds.
    pub(super) fn due(&self) -> Vec<String> {
        self.answer(1).into_iter().chain(self.answer(2)).chain(self.pubcomps.front().cloned()).collect()
    }

    /// A packet that was due has left.
    pub(super) fn has_left(&mut self, packet: &str) {
        if packet.starts_with("PUBCOMP") {
            self.pubcomps.pop_front();
            return;
        }
        let qos = if packet.starts_with("PUBACK") { 1 } else { 2 };
        let at = self.unanswered.iter().position(|it| it.qos == qos).expect("due");
        let message = self.unanswered.remove(at);
        // A refused message is over [MQTT-4.3.3-9].
        if qos == 2 && message.code < Some(0x80) {
            self.awaiting_release.push(message.id);
        }
    }

    pub(super) fn refuses(&self) -> bool {
        self.unanswered.iter().any(|it| it.code >= Some(0x80))
    }

    pub(super) fn cut(&mut self) {
        self.unanswered.retain(|it| it.qos == 2);
        self.interrupted.append(&mut self.unanswered);
        self.pubcomps.clear();
    }

    pub(super) fn lose(&mut self) {
        *self = Self::default();
    }
}
