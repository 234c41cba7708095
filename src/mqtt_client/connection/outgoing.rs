//! What the application wants sent, and what it hears of it.

use std::io;
use std::time::Duration;

use super::Connection;
use super::in_flight::Leaving;
use crate::codec::Property;
use crate::macros::client_event;
use crate::mqtt_client::client::{DropCause, Outcome, PublishResult, SessionLossReport};
use crate::mqtt_client::command::{Messages, Publishing, Run};
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::options::SessionLossPolicy;
use crate::mqtt_client::persistence::Ended;
use crate::mqtt_client::properties::PropertyBlock;
use crate::mqtt_client::queue::Places;
use crate::mqtt_client::shared::PATIENT_BYTES;
use crate::mqtt_client::token::Token;
use crate::mqtt_client::transport::MAX_SLICES;
use crate::packet::Packet;
use crate::session::{DropReason, Full, Misuse, RunRefusal};
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

impl Connection {
    /// Hands messages to the session in their order, for as long as it takes them.
    pub(super) fn send_publishes(&mut self) {
        self.send_publishes_up_to(usize::MAX);
    }

    /// As [`Self::send_publishes`], with a bound in bytes; whether that has ended it.
    pub(super) fn send_publishes_up_to(&mut self, budget: usize) -> bool {
        self.send_publishes_before(None, budget)
    }

    /// As [`Self::send_publishes_up_to`], for those alone that were published before that call.
    pub(super) fn send_publishes_before(&mut self, call: Option<Token>, mut budget: usize) -> bool {
        if !self.doubt.is_none() {
            return false;
        }
        let now = self.session_now();
        let mut holds_new = false;
        while self.session.is_connected()
            && call.is_none_or(|call| self.pending.first_token() < Some(call))
            && let Some(messages) = self.pending.take_front()
        {
            if budget == 0 {
                self.pending.put_front(messages);
                return true;
            }
            let len = messages.bytes();
            if messages.is_of_qos_0() && std::mem::take(&mut holds_new) {
                // The session fills its wire with what it holds: else a message of QoS 0 would overtake it.
                let _ = self.session.poll_transmit(now);
            }
            let sent = match messages {
                Messages::One(publishing) => self.send_publish(publishing, &mut holds_new),
                Messages::Run(run) if run.qos == QoS::AtMostOnce => self.send_run(run),
                Messages::Run(run) => self.hold_run(run, &mut holds_new),
            };
            match sent {
                Ok(()) => budget = budget.saturating_sub(len),
                // A full wire takes more once some of it has gone; a full window waits for the server.
                Err(Misuse::Full(Full::Wire)) if self.write() => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Hands a message to the session, or its end to the application. What the session has no room for waits on.
    pub(super) fn send_publish(&mut self, mut publishing: Publishing, holds_new: &mut bool) -> Result<(), Misuse> {
        let len = publishing.frame.len();
        if self.in_flight.room(publishing.qos, self.session.version()) == 0 {
            self.pending.push_front(publishing);
            return Err(Misuse::Full(Full::Window));
        }
        if publishing.has_expired(self.now) {
            self.leave_pending(&publishing, len);
            self.finish_publish(publishing, None, Outcome::Expired);
            return Ok(());
        }
        let since = publishing.expiry.map_or(self.session_now(), |expiry| self.session_time(expiry.since));
        match self.session.publish_own_frame(since, std::mem::take(&mut publishing.frame)) {
            Ok(Some(packet_id)) => {
                self.leave_pending(&publishing, len);
                *holds_new = true;
                self.note_assigned(publishing.token, packet_id);
                self.in_flight.insert(packet_id, publishing);
            }
            // What fills the queue alone does so until it has gone: the next one gets its buffer then.
            Ok(None) if publishing.in_queue && len > PATIENT_BYTES => {
                self.unsent.push(Leaving::One(publishing, Places { count: 1, bytes: len }));
            }
            Ok(None) => {
                self.leave_pending(&publishing, len);
                self.unsent.push(Leaving::One(publishing, Places::default()));
            }
            Err((full @ (Misuse::Full(_) | Misuse::PacketIdsExhausted), frame)) => {
                publishing.frame = frame;
                self.pending.push_front(publishing);
                return Err(full);
            }
            Err((misuse, _)) => {
                self.leave_pending(&publishing, len);
                self.finish_publish(publishing, None, Outcome::Dropped(DropCause::Refused(misuse)));
            }
        }
        Ok(())
    }

    /// As [`Self::send_publish`], for a run.
    fn send_run(&mut self, mut run: Run) -> Result<(), Misuse> {
        let len = run.frames.len();
        let frames = std::mem::take(&mut run.frames);
        match self.session.publish_run(frames, run.outbound()) {
            Ok(()) => {
                self.freed.count += run.count;
                self.freed.bytes += len;
                self.unsent.push(Leaving::Run(run.first, run.count));
                Ok(())
            }
            Err((RunRefusal::Full(full), frames)) => {
                run.frames = frames;
                self.pending.put_front(Messages::Run(run));
                Err(Misuse::Full(full))
            }
            Err((RunRefusal::OneByOne, frames)) => {
                run.frames = frames;
                self.pending.put_front_one_by_one(run);
                Ok(())
            }
        }
    }

    /// As [`Self::send_run`], for one of QoS 1 or 2: what the server's window does not take waits on.
    fn hold_run(&mut self, mut run: Run, holds_new: &mut bool) -> Result<(), Misuse> {
        let now = self.session_now();
        let Self { session, in_flight, .. } = self;
        let mut outbound = run.outbound();
        outbound.count = outbound.count.min(in_flight.room(run.qos, session.version()));
        if outbound.count == 0 {
            self.pending.put_front(Messages::Run(run));
            return Err(Misuse::Full(Full::Window));
        }
        match session.hold_run(now, &mut run.frames, run.start, outbound) {
            Ok(part) => {
                in_flight.insert_run(part.first, run.first, run.qos, part.count);
                *holds_new = true;
                self.freed.count += usize::from(part.count);
                self.freed.bytes += part.bytes;
                run.take_out(part.count.into(), part.bytes);
                if run.count == 0 {
                    self.session.storage_mut().keep_buffer(run.frames);
                } else {
                    self.pending.put_front(Messages::Run(run));
                }
                Ok(())
            }
            Err(RunRefusal::Full(full)) => {
                self.pending.put_front(Messages::Run(run));
                Err(Misuse::Full(full))
            }
            Err(RunRefusal::OneByOne) => {
                self.pending.put_front_one_by_one(run);
                Ok(())
            }
        }
    }

    /// A message leaves the queue of pending ones; its place there is free.
    pub(super) fn leave_pending(&mut self, publishing: &Publishing, len: usize) {
        if publishing.in_queue {
            self.freed.add(len);
        }
    }

    /// Messages of QoS 0 that the transport has taken are done with.
    pub(super) fn collect_sent(&mut self) {
        let mut left = self.session.storage_mut().take_sent_messages();
        while left > 0
            && let Some(sent) = self.unsent.pop(left)
        {
            left -= sent.count();
            self.finish_unsent(sent, Outcome::Sent);
        }
    }

    /// How long it is worth to look for an answer before sleeping: for one of the server, or of callbacks that another
    /// processor runs.
    pub(in crate::mqtt_client) fn spin(&self) -> Duration {
        let awaits_server =
            self.has_written || !self.in_flight.is_empty() || !self.unanswered.is_empty() || !self.pings.is_empty();
        let hopes = awaits_server || self.awaits_callbacks;
        if hopes && self.link.is_up() { self.options.threads.spin } else { Duration::ZERO }
    }

    /// Tells what has come together. What has become of messages may wait for the answer that the worker looks for.
    pub(super) fn tell(&mut self) {
        let look = self.spin();
        if look.is_zero() || self.drain.is_some() {
            self.outlet.flush();
        } else {
            self.outlet.flush_unless_quiet(!self.pending.is_empty(), self.now, look);
        }
    }

    /// Whether something waits to be told.
    pub(in crate::mqtt_client) const fn is_quiet(&self) -> bool {
        self.outlet.is_quiet()
    }

    /// There is no answer to wait for.
    pub(in crate::mqtt_client) fn tell_what_waits(&mut self) {
        self.outlet.flush();
    }

    fn finish_unsent(&mut self, messages: Leaving, outcome: Outcome) {
        match messages {
            Leaving::One(publishing, places) => {
                self.freed.count += places.count;
                self.freed.bytes += places.bytes;
                self.finish_publish(publishing, None, outcome);
            }
            Leaving::Run(first, count) => {
                if outcome != Outcome::Sent {
                    let first = first.id();
                    client_event!(
                        self.client_id(),
                        warn,
                        "{} messages from {} on are given up: {:?}",
                        count,
                        first,
                        outcome
                    );
                }
                self.outlet.tell_run(first, count, outcome);
            }
        }
    }

    pub(super) fn drop_unsent(&mut self) {
        while let Some(messages) = self.unsent.pop(usize::MAX) {
            self.finish_unsent(messages, Outcome::Dropped(DropCause::ConnectionLost));
        }
    }

    /// The server has acknowledged or rejected a message.
    pub(super) fn handle_published(
        &mut self,
        packet_id: PacketId,
        code: ReasonCode,
        properties: PropertyBlock<'static>,
    ) {
        self.note_changes();
        if let Some(publishing) = self.in_flight.remove(packet_id) {
            // Only a PUBCOMP says so: the server had the message since its PUBREC, and knows that it is done with.
            let is_done = code == ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
            let outcome = if code.is_error() && !is_done { Outcome::Rejected } else { Outcome::Acknowledged };
            self.finish_publish(publishing, Some((packet_id, code, properties)), outcome);
        }
    }

    pub(super) fn finish_publish(
        &mut self,
        publishing: Publishing,
        answer: Option<(PacketId, ReasonCode, PropertyBlock<'static>)>,
        outcome: Outcome,
    ) {
        let (packet_id, reason_code, properties) = match answer {
            Some((packet_id, code, properties)) => (Some(packet_id.value()), Some(code.byte()), properties),
            None => (None, None, PropertyBlock::default()),
        };
        if let Outcome::Dropped(_) | Outcome::Expired = outcome {
            client_event!(self.client_id(), warn, "message {} is given up: {:?}", publishing.token.id(), outcome);
        }
        let qos = publishing.qos.bits();
        let result = PublishResult { token: publishing.token, packet_id, reason_code, qos, outcome, properties };
        self.tell_when_stored(Ended { result, tracked: publishing.tracked });
    }

    /// Messages the session has given up: refused by the limits of the server, or sent in a session that is gone.
    /// Whether there were some.
    pub(super) fn collect_dropped(&mut self) -> bool {
        let mut report = SessionLossReport::default();
        let mut requeued = Vec::new();
        let mut some = false;
        self.note_changes();
        while let Some(dropped) = self.session.poll_dropped() {
            some = true;
            let Some(mut publishing) = self.in_flight.remove(dropped.packet_id) else { continue };
            let lost = dropped.reason == DropReason::SessionLost;
            let outcome = match (dropped.reason, dropped.frame) {
                (DropReason::SessionLost, Some(_)) if publishing.has_expired(self.now) => {
                    report.expired.push(publishing.token);
                    Outcome::Expired
                }
                (DropReason::SessionLost, Some(_)) if let Some(cause) = self.doubt.why_not_again(publishing.token) => {
                    Outcome::Dropped(cause)
                }
                (DropReason::SessionLost, Some(frame)) if self.options.session_loss == SessionLossPolicy::Requeue => {
                    report.requeued.push(publishing.token);
                    publishing.frame = frame;
                    requeued.push(publishing);
                    continue;
                }
                (DropReason::Expired, _) => Outcome::Expired,
                (DropReason::Refused(misuse), _) => Outcome::Dropped(DropCause::Refused(misuse)),
                _ => Outcome::Dropped(DropCause::SessionLost),
            };
            if lost && outcome != Outcome::Expired {
                report.failed.push(publishing.token);
            }
            self.finish_publish(publishing, None, outcome);
        }
        if !requeued.is_empty() {
            self.requeue(requeued);
        }
        if report != SessionLossReport::default() {
            self.outlet.tell(MqttEvent::SessionLost(report));
            self.outlet.tell(MqttEvent::PendingOperationsCleared);
        }
        some
    }

    /// Messages go back to the front of the queue, and behind them those that have waited in the session for their
    /// turn.
    fn requeue(&mut self, mut messages: Vec<Publishing>) {
        while let Some((packet_id, frame)) = self.session.storage_mut().take_unsent() {
            let Some(mut publishing) = self.in_flight.remove(packet_id) else { continue };
            publishing.frame = frame;
            messages.push(publishing);
        }
        for mut publishing in messages.into_iter().rev() {
            self.note_taken_back(&publishing);
            publishing.make_new();
            publishing.count_expiry_from_frame(self.options.protocol.version);
            self.pending.push_front(publishing);
        }
    }

    /// Gives the transport what it takes; whether it took all there was.
    pub(super) fn write(&mut self) -> bool {
        loop {
            let all = self.write_ready();
            self.collect_sent();
            // Whether the session is lost for good is known when there is a new one. What is given up had held up
            // others.
            if !self.session.is_connected() || !self.collect_dropped() {
                return all;
            }
            self.again = true;
        }
    }

    fn write_ready(&mut self) -> bool {
        let now = self.session_now();
        loop {
            let Some(up) = self.link.up() else { return false };
            if !up.writable {
                return false;
            }
            let mut slices = [&[][..]; MAX_SLICES];
            let count = self.session.poll_transmit_many(now, &mut slices);
            if count == 0 {
                match up.transport.flush() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => up.writable = false,
                    Err(error) => self.note_write_error(error),
                    Ok(()) => {}
                }
                return true;
            }
            match up.transport.write(slices.get(..count).unwrap_or(&[])) {
                Ok(0) => self.note_write_error(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.has_written = true;
                    self.session.consume_transmit(now, written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => up.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.note_write_error(error),
            }
        }
    }

    /// The client ends: what is left has no other outcome.
    pub(super) fn cancel_everything(&mut self) {
        self.outlet.drop_held();
        self.pings.extend(std::iter::repeat_n(self.now, std::mem::take(&mut self.wanted_pings)));
        self.take_back_requests();
        self.drop_authentication(Outcome::Cancelled);
        let in_flight = self.in_flight.drain();
        let unsent = std::iter::from_fn(|| self.unsent.pop(usize::MAX));
        let others = in_flight.chain(self.pending.drain());
        let mut left: Vec<_> =
            others.map(|publishing| Leaving::One(publishing, Places::default())).chain(unsent).collect();
        left.sort_unstable_by_key(Leaving::first);
        for messages in left {
            let outcome = match &messages {
                Leaving::One(publishing, _) => self.at_shutdown(publishing),
                Leaving::Run(..) => Outcome::Cancelled,
            };
            self.finish_unsent(messages, outcome);
        }
        while let Some(requesting) = self.requests.pop_front() {
            self.finish_request(requesting, None, Outcome::Cancelled);
        }
        self.end_batch();
        self.tell_unsettled();
    }
}

impl Publishing {
    /// The session has written into the frame what was left of its lifetime, so only what is left counts from then on.
    fn count_expiry_from_frame(&mut self, version: ProtocolVersion) {
        let Some(expiry) = &mut self.expiry else { return };
        let Ok(Some((Packet::Publish(publish), _))) = Packet::decode(&self.frame, version, Role::Client) else {
            return;
        };
        let left = publish.properties.find(|property| match property {
            Property::MessageExpiryInterval(seconds) => Some(seconds),
            _ => None,
        });
        if let Some(left) = left.filter(|left| *left < expiry.seconds) {
            expiry.since += Duration::from_secs(u64::from(expiry.seconds - left));
            expiry.seconds = left;
        }
    }

    /// It will be published again as if for the first time.
    fn make_new(&mut self) {
        self.in_queue = false;
        if let Some(first) = self.frame.first_mut()
            && self.qos != QoS::AtMostOnce
        {
            *first &= !0x08;
        }
    }
}
