//! What the application wants sent, and what it hears of it.

use std::io;
use std::time::Duration;

use super::Connection;
use crate::codec::Property;
use crate::macros::client_event;
use crate::mqtt_client::client::{
    DropCause, Outcome, PublishResult, SessionLossReport, SubscribeResult, UnsubscribeResult,
};
use crate::mqtt_client::command::{Publishing, Requesting, RequestingKind};
use crate::mqtt_client::connecting::RestoreSubscriptions;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::options::{SessionLossPolicy, TopicSubscription};
use crate::mqtt_client::outbound_properties::subscribe_properties;
use crate::mqtt_client::properties::PropertyBlock;
use crate::mqtt_client::transport::MAX_SLICES;
use crate::packet::{Packet, Subscription};
use crate::session::{DropReason, Full, Misuse};
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

/// A SUBACK or UNSUBACK.
pub(super) struct Answered {
    pub(super) packet_id: PacketId,
    pub(super) codes: Vec<u8>,
    pub(super) properties: PropertyBlock<'static>,
}

impl Connection {
    /// Hands messages to the session in their order, for as long as it takes them.
    pub(super) fn send_publishes(&mut self) {
        self.send_publishes_up_to(usize::MAX);
    }

    /// As [`Self::send_publishes`], with a bound in bytes; whether that has ended it.
    pub(super) fn send_publishes_up_to(&mut self, mut budget: usize) -> bool {
        let now = self.session_now();
        let mut holds_new = false;
        while self.session.is_connected()
            && let Some(mut publishing) = self.pending.pop_front()
        {
            if budget == 0 {
                self.pending.push_front(publishing);
                return true;
            }
            if !self.in_flight.admits(publishing.qos, self.session.version()) {
                self.pending.push_front(publishing);
                return false;
            }
            let len = publishing.frame.len();
            if publishing.has_expired(self.now) {
                self.leave_pending(&publishing, len);
                self.finish_publish(publishing, None, Outcome::Expired);
                continue;
            }
            if publishing.qos == QoS::AtMostOnce && std::mem::take(&mut holds_new) {
                // The session fills its wire with what it holds: else a message of QoS 0 would overtake it.
                let _ = self.session.poll_transmit(now);
            }
            let since = publishing.expiry.map_or(now, |expiry| self.session_time(expiry.since));
            match self.session.publish_own_frame(since, std::mem::take(&mut publishing.frame)) {
                Ok(packet_id) => {
                    self.leave_pending(&publishing, len);
                    holds_new |= packet_id.is_some();
                    budget = budget.saturating_sub(len);
                    match packet_id {
                        Some(packet_id) => self.in_flight.insert(packet_id, publishing),
                        None => self.unsent.push_back(publishing),
                    }
                }
                Err((full @ (Misuse::Full(_) | Misuse::PacketIdsExhausted), frame)) => {
                    publishing.frame = frame;
                    self.pending.push_front(publishing);
                    // A full wire takes more once some of it has gone; a full window waits for the server.
                    if full != Misuse::Full(Full::Wire) || !self.write() {
                        return false;
                    }
                }
                Err((misuse, _)) => {
                    self.leave_pending(&publishing, len);
                    self.finish_publish(publishing, None, Outcome::Dropped(DropCause::Refused(misuse)));
                }
            }
        }
        false
    }

    /// A message leaves the queue of pending ones; its place there is free.
    pub(super) fn leave_pending(&mut self, publishing: &Publishing, len: usize) {
        self.pending_bytes -= len;
        if publishing.in_queue {
            self.freed.add(len);
        }
    }

    /// Messages of QoS 0 that the transport has taken are done with.
    pub(super) fn collect_sent(&mut self) {
        for _ in 0..self.session.storage_mut().take_sent_messages() {
            if let Some(publishing) = self.unsent.pop_front() {
                self.finish_publish(publishing, None, Outcome::Sent);
            }
        }
    }

    pub(super) fn drop_unsent(&mut self) {
        while let Some(publishing) = self.unsent.pop_front() {
            self.finish_publish(publishing, None, Outcome::Dropped(DropCause::ConnectionLost));
        }
    }

    /// The server has acknowledged or rejected a message.
    pub(super) fn handle_published(
        &mut self,
        packet_id: PacketId,
        code: ReasonCode,
        properties: PropertyBlock<'static>,
    ) {
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
        if let Some(tracked) = publishing.tracked {
            tracked.complete(result.clone());
        }
        self.outlet.tell_result(MqttEvent::Published(result));
    }

    /// Messages the session has given up: refused by the limits of the server, or sent in a session that is gone. Whether
    /// there were some.
    pub(super) fn collect_dropped(&mut self) -> bool {
        let mut report = SessionLossReport::default();
        let mut requeued = Vec::new();
        let mut some = false;
        while let Some(dropped) = self.session.poll_dropped() {
            some = true;
            let Some(mut publishing) = self.in_flight.remove(dropped.packet_id) else { continue };
            let lost = dropped.reason == DropReason::SessionLost;
            let outcome = match (dropped.reason, dropped.frame) {
                (DropReason::SessionLost, Some(_)) if publishing.has_expired(self.now) => {
                    report.expired.push(publishing.token);
                    Outcome::Expired
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

    /// Messages go back to the front of the queue, and behind them those that have waited in the session for their turn.
    fn requeue(&mut self, mut messages: Vec<Publishing>) {
        while let Some((packet_id, frame)) = self.session.storage_mut().take_unsent() {
            let Some(mut publishing) = self.in_flight.remove(packet_id) else { continue };
            publishing.frame = frame;
            messages.push(publishing);
        }
        for mut publishing in messages.into_iter().rev() {
            publishing.make_new();
            publishing.count_expiry_from_frame(self.options.protocol.version);
            self.pending_bytes += publishing.frame.len();
            self.pending.push_front(publishing);
        }
    }

    pub(super) fn send_requests(&mut self) {
        let now = self.session_now();
        if self.wanted_pings > 0 && self.session.ping(now).is_ok() {
            let wanted = std::mem::take(&mut self.wanted_pings);
            self.pings.extend(std::iter::repeat_n(self.now, wanted));
        }
        while self.session.is_connected()
            && let Some(requesting) = self.requests.pop_front()
        {
            let properties = subscribe_properties(&requesting.options);
            let sent = match &requesting.kind {
                RequestingKind::Subscribe(topics, _) => {
                    let list: Vec<_> = topics.iter().map(subscription).collect();
                    self.session.subscribe(now, &list, &properties)
                }
                RequestingKind::Unsubscribe(filters, _) => {
                    let list: Vec<_> = filters.iter().map(String::as_str).collect();
                    self.session.unsubscribe(now, &list, &properties)
                }
            };
            match sent {
                Ok(packet_id) => {
                    self.note_request_sent(&requesting);
                    self.unanswered.insert(packet_id, requesting);
                }
                Err(full @ (Misuse::Full(_) | Misuse::PacketIdsExhausted)) => {
                    self.requests.push_front(requesting);
                    if full != Misuse::Full(Full::Wire) || !self.write() {
                        return;
                    }
                }
                Err(misuse) => {
                    self.note_request_sent(&requesting);
                    self.give_up_request(requesting, misuse);
                }
            }
        }
    }

    /// A request that the server would not take. Subscriptions that are restored together may be too many for one packet.
    fn give_up_request(&mut self, requesting: Requesting, misuse: Misuse) {
        match requesting.kind {
            RequestingKind::Subscribe(mut topics, None) if requesting.token.is_none() && topics.len() > 1 => {
                let rest = topics.split_off(topics.len() / 2);
                for topics in [rest, topics] {
                    let kind = RequestingKind::Subscribe(topics, None);
                    let options = requesting.options.clone();
                    self.requests.push_front(Requesting { token: None, options, kind, in_queue: false });
                }
            }
            RequestingKind::Subscribe(topics, None) if requesting.token.is_none() => {
                let filter = topics.first().map_or("", |topic| &topic.topic_filter);
                self.tell_error(io::Error::other(format!("cannot subscribe to {filter:?} again: {misuse}")));
            }
            kind => {
                let outcome = Outcome::Dropped(DropCause::Refused(misuse));
                self.finish_request(Requesting { kind, ..requesting }, None, outcome);
            }
        }
    }

    fn note_request_sent(&mut self, requesting: &Requesting) {
        if requesting.in_queue {
            self.freed.add(0);
        }
        if let RequestingKind::Unsubscribe(filters, _) = &requesting.kind {
            self.subscriptions.forget(filters, requesting.token);
        }
    }

    /// The server has answered a request.
    pub(super) fn handle_answer(&mut self, answer: Answered) {
        let Some(requesting) = self.unanswered.remove(&answer.packet_id) else { return };
        match &requesting.kind {
            // What the client itself subscribes again stays wanted, though the server may refuse it this time.
            RequestingKind::Subscribe(..) if requesting.token.is_none() => {}
            RequestingKind::Subscribe(topics, _) => {
                for (topic, code) in topics.iter().zip(&answer.codes) {
                    let granted = *code < 0x80;
                    self.subscriptions.answer(topic, &requesting.options, requesting.token, granted);
                }
            }
            RequestingKind::Unsubscribe(filters, _) => self.subscriptions.forget(filters, requesting.token),
        }
        self.finish_request(requesting, Some(answer), Outcome::Acknowledged);
    }

    fn finish_request(&mut self, requesting: Requesting, answer: Option<Answered>, outcome: Outcome) {
        let (packet_id, reason_codes, properties) = match answer {
            Some(answer) => (answer.packet_id.value(), answer.codes, answer.properties),
            None => (0, Vec::new(), PropertyBlock::default()),
        };
        let Some(token) = requesting.token else {
            return self.note_restored(&requesting.kind, &reason_codes);
        };
        match requesting.kind {
            RequestingKind::Subscribe(_, tracked) => {
                let result = SubscribeResult { token, packet_id, reason_codes, outcome, properties };
                if let Some(tracked) = tracked {
                    tracked.complete(result.clone());
                }
                self.outlet.tell_result(MqttEvent::Subscribed(result));
            }
            RequestingKind::Unsubscribe(_, tracked) => {
                let result = UnsubscribeResult { token, packet_id, reason_codes, outcome, properties };
                if let Some(tracked) = tracked {
                    tracked.complete(result.clone());
                }
                self.outlet.tell_result(MqttEvent::Unsubscribed(result));
            }
        }
    }

    fn note_restored(&mut self, kind: &RequestingKind, reason_codes: &[u8]) {
        let RequestingKind::Subscribe(topics, _) = kind else { return };
        let refused = topics.iter().zip(reason_codes).filter(|(_, code)| **code >= 0x80);
        let refused: Vec<_> = refused.map(|(topic, code)| format!("{:?} ({code:#04x})", topic.topic_filter)).collect();
        if !refused.is_empty() {
            let text = format!("the server refuses {} subscriptions: {}", refused.len(), refused.join(", "));
            self.tell_error(io::Error::other(text));
        }
    }

    /// Subscribes again what the policy says, before anything else is sent.
    pub(super) fn restore_subscriptions(&mut self, session_present: bool) {
        let policy = self.options.connecting.restore_subscriptions;
        if session_present && policy != RestoreSubscriptions::Always {
            return;
        }
        // What was being restored on an earlier connection is among them.
        self.requests.retain(|requesting| requesting.token.is_some());
        let restored = self.subscriptions.restore(policy != RestoreSubscriptions::Never);
        for requesting in restored.into_iter().rev() {
            self.requests.push_front(requesting);
        }
    }

    /// Requests without an answer are sent again on the next connection, in their order.
    pub(super) fn take_back_requests(&mut self) {
        let mut unanswered: Vec<_> = self.unanswered.drain().collect();
        unanswered.sort_by_key(|(packet_id, requesting)| (requesting.token, *packet_id));
        for (_, mut requesting) in unanswered.into_iter().rev() {
            requesting.in_queue = false;
            self.requests.push_front(requesting);
        }
        self.fail_pings();
    }

    /// Gives the transport what it takes; whether it took all there was.
    pub(super) fn write(&mut self) -> bool {
        loop {
            let all = self.write_ready();
            self.collect_sent();
            // Whether the session is lost for good is known when there is a new one. What is given up had held up others.
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
        self.pings.extend(std::iter::repeat_n(self.now, std::mem::take(&mut self.wanted_pings)));
        self.take_back_requests();
        let in_flight = self.in_flight.drain();
        let mut left: Vec<_> = in_flight.chain(self.unsent.drain(..)).chain(self.pending.drain(..)).collect();
        left.sort_by_key(|publishing| publishing.token);
        for publishing in left {
            self.finish_publish(publishing, None, Outcome::Cancelled);
        }
        while let Some(requesting) = self.requests.pop_front() {
            self.finish_request(requesting, None, Outcome::Cancelled);
        }
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

fn subscription(topic: &TopicSubscription) -> Subscription<'_> {
    Subscription {
        filter: &topic.topic_filter,
        qos: QoS::from_bits(topic.qos).unwrap_or_default(),
        no_local: topic.no_local,
        retain_as_published: topic.retain_as_published,
        retain_handling: topic.retain_handling,
    }
}
