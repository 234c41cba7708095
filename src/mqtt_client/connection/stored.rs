//! What this connection keeps on a disk, where it does.

#[cfg(feature = "persistence")]
use std::time::SystemTime;

use super::Connection;
use crate::mqtt_client::client::Outcome;
#[cfg(feature = "persistence")]
use crate::mqtt_client::client::PublishResult;
#[cfg(feature = "persistence")]
use crate::mqtt_client::command::Expiry;
use crate::mqtt_client::command::{Publishing, Run};
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::persistence::{Ended, Journal};
#[cfg(feature = "persistence")]
use crate::mqtt_client::persistence::{Kept, Restored};
use crate::mqtt_client::token::Token;
#[cfg(feature = "persistence")]
use crate::session::{Held, NoteReceived, set_expiry};
use crate::types::{PacketId, QoS};

impl Connection {
    /// Hears of what has become durable: it may leave, and the application may see it.
    pub(super) fn take_durable(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let settled = journal.take_durable();
        if let Some(batch) = settled.batch {
            self.session.storage_mut().set_durable(batch);
            self.outlet.release(batch);
        }
        self.tell_durable(settled.tokens);
        for ended in settled.ended {
            self.shared.remove_unreported(1);
            self.tell_ended(ended);
        }
        if let Some(error) = settled.error {
            self.tell_error(error);
        }
    }

    /// Ends the batch of this turn.
    pub(super) fn end_batch(&mut self) {
        self.note_changes();
        let Some(journal) = &mut self.journal else { return };
        if let Some(batch) = self.session.storage_mut().end_batch(journal.has_changes()) {
            journal.submit(batch);
        }
    }

    /// Notes what the session has done by itself, before identifiers stand for other messages.
    pub(super) fn note_changes(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for change in self.session.storage_mut().take_changes() {
            journal.note(change, |packet_id| self.in_flight.token(packet_id));
        }
    }

    /// A message was accepted.
    pub(super) fn note_accepted_message(&mut self, publishing: &Publishing) {
        if let Some(journal) = &mut self.journal
            && publishing.qos != QoS::AtMostOnce
        {
            journal.accept(publishing, self.now);
        }
    }

    /// Messages were accepted.
    pub(super) fn accept_run(&mut self, run: Run) {
        if self.journal.is_none() || run.qos == QoS::AtMostOnce {
            return self.pending.push_back_run(run);
        }
        for publishing in run.take_apart(self.session.version()) {
            self.note_accepted_message(&publishing);
            self.pending.push_back(publishing);
        }
    }

    /// The session has a message.
    pub(super) fn note_assigned(&mut self, token: Token, packet_id: PacketId) {
        if let Some(journal) = &mut self.journal {
            journal.assign(token, packet_id);
        }
    }

    /// A message that the session had waits for the next one.
    pub(super) fn note_taken_back(&mut self, publishing: &Publishing) {
        if let Some(journal) = &mut self.journal
            && publishing.qos != QoS::AtMostOnce
        {
            journal.take_back(publishing.token);
        }
    }

    /// A message has come to its outcome. Where that has to be in the file first it is told later.
    pub(super) fn tell_when_stored(&mut self, ended: Ended) {
        let result = &ended.result;
        if let Some(journal) = &mut self.journal
            && result.qos != QoS::AtMostOnce.bits()
            && !result.outcome.is_kept()
        {
            // While the disk fails this bounds what waits for it.
            self.shared.add_unreported(1);
            return journal.end(ended);
        }
        if let Some(tracked) = ended.tracked {
            tracked.complete(ended.result.clone());
        }
        self.outlet.tell_result(MqttEvent::Published(ended.result));
    }

    /// Tells an outcome that stays in the file until it was heard.
    fn tell_ended(&mut self, ended: Ended) {
        let Some(journal) = &self.journal else { return };
        let Ended { result, tracked } = ended;
        let (heard, taken) = journal.tell(result.token, tracked.is_some());
        if let Some(tracked) = tracked {
            tracked.complete_until_taken(result.clone(), taken);
        }
        self.outlet.tell_ended(result, heard);
    }

    /// Whether messages of this QoS wait for the disk before the application sees them: then for which batch.
    pub(super) fn batch_before_delivery(&mut self, has_exactly_once: bool) -> u64 {
        match &self.journal {
            Some(journal) if has_exactly_once && journal.holds_up_messages() => self.session.storage_mut().touch(),
            _ => 0,
        }
    }

    /// Whether everything is on the disk, and nothing waits for it.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |journal: &Journal| journal.is_settled() && !self.session.storage().has_open_batch();
        self.journal.as_ref().is_none_or(is_settled)
    }

    /// At the end of the client: whether everything is on the disk, or the disk has failed and is given up.
    pub(super) fn settle(&mut self, is_late: bool) -> bool {
        self.end_batch();
        let is_settled = self.is_settled();
        is_settled || (is_late && self.journal.as_ref().is_some_and(|journal| journal.give_up_if_failing()))
    }
}

#[cfg(feature = "persistence")]
impl Connection {
    /// At the end of the client: tells what waits for the disk no longer. Of what the file has, the next client will
    /// tell.
    pub(super) fn tell_unsettled(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        for mut ended in journal.take_unsettled() {
            self.shared.remove_unreported(1);
            let PublishResult { token, qos, .. } = ended.result;
            if self.journal.as_ref().is_some_and(|journal| journal.has(token)) {
                ended.result = PublishResult { outcome: Outcome::Kept, ..PublishResult::cancelled(token, qos) };
                self.tell_when_stored(ended);
            } else {
                self.tell_ended(ended);
            }
        }
    }

    /// Goes on where an earlier life has ended, and keeps what happens from now on.
    pub(in crate::mqtt_client) fn keep(&mut self, journal: Journal, restored: Restored) {
        let note_received =
            if journal.holds_up_messages() { NoteReceived::OnReceipt } else { NoteReceived::OnAcknowledgement };
        let (clock, now) = (SystemTime::now(), self.now);
        let publishing = |token, kept: &mut Kept| {
            let expiry = kept.left(clock).map(|seconds| Expiry { since: now, seconds });
            Publishing::restored(token, &mut kept.frame, expiry)
        };
        let storage = self.session.storage_mut();
        storage.keep_ledger(note_received);
        for packet_id in restored.received {
            storage.restore_received(packet_id);
        }
        for (token, packet_id) in restored.released {
            storage.restore_release(packet_id);
            self.in_flight.insert(packet_id, Publishing::exactly_once(token));
        }
        let version = self.options.protocol.version;
        for (token, packet_id, mut kept) in restored.sent {
            let mut publishing = publishing(token, &mut kept);
            if let Some(Expiry { seconds, .. }) = publishing.expiry {
                set_expiry(&mut publishing.frame, version, seconds);
            }
            let since = self.session_now;
            let held = Held { packet_id, qos: publishing.qos, since, begun: true };
            self.session.storage_mut().restore_held(held, std::mem::take(&mut publishing.frame));
            self.in_flight.insert(packet_id, publishing);
        }
        for (token, mut kept) in restored.queued {
            let mut publishing = publishing(token, &mut kept);
            if let Some(Expiry { seconds, .. }) = publishing.expiry {
                set_expiry(&mut publishing.frame, version, seconds);
            }
            self.pending.push_back(publishing);
        }
        self.restored.count = self.pending.len();
        self.restored.bytes = self.pending.bytes();
        self.next_expiry = Some(now);
        self.journal = Some(journal);
        for result in restored.ended {
            self.tell_ended(Ended { result, tracked: None });
        }
    }

    fn tell_durable(&mut self, tokens: Vec<Token>) {
        if !tokens.is_empty() {
            self.outlet.tell_result(MqttEvent::Durable(tokens));
        }
    }

    /// What a message comes to that is left when the client ends.
    pub(super) fn at_shutdown(&self, publishing: &Publishing) -> Outcome {
        match &self.journal {
            Some(journal) if publishing.qos != QoS::AtMostOnce && journal.has(publishing.token) => Outcome::Kept,
            _ => Outcome::Cancelled,
        }
    }
}

#[cfg(not(feature = "persistence"))]
impl Connection {
    fn tell_durable(&mut self, _: Vec<Token>) {}

    pub(super) fn tell_unsettled(&mut self) {}

    /// What a message comes to that is left when the client ends.
    pub(super) fn at_shutdown(&self, _: &Publishing) -> Outcome {
        Outcome::Cancelled
    }
}

#[cfg(feature = "persistence")]
impl Publishing {
    /// A message of an earlier life.
    fn restored(token: Token, frame: &mut Vec<u8>, expiry: Option<Expiry>) -> Self {
        let qos = frame.first().and_then(|first| QoS::from_bits(first >> 1 & 3)).unwrap_or_default();
        let frame = std::mem::take(frame);
        Self { token, qos, frame, expiry, tracked: None, in_queue: false }
    }

    /// A message of an earlier life whose PUBREC has come.
    const fn exactly_once(token: Token) -> Self {
        Self { token, qos: QoS::ExactlyOnce, frame: Vec::new(), expiry: None, tracked: None, in_queue: false }
    }
}
