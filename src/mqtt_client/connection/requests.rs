//! SUBSCRIBE and UNSUBSCRIBE, and what comes of them.

use std::io;

use super::Connection;
use crate::mqtt_client::client::{DropCause, Outcome, PingResult, SubscribeResult, UnsubscribeResult};
use crate::mqtt_client::command::{Requesting, RequestingKind};
use crate::mqtt_client::connecting::RestoreSubscriptions;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::options::TopicSubscription;
use crate::mqtt_client::outbound_properties::subscribe_properties;
use crate::mqtt_client::properties::PropertyBlock;
use crate::mqtt_client::token::Token;
use crate::packet::Subscription;
use crate::session::{Full, Misuse};
use crate::types::{PacketId, QoS};

/// A SUBACK or UNSUBACK.
pub(super) struct Answered {
    pub(super) packet_id: PacketId,
    pub(super) codes: Vec<u8>,
    pub(super) properties: PropertyBlock<'static>,
}

impl Connection {
    pub(super) fn send_requests(&mut self) {
        let now = self.session_now();
        if self.wanted_pings > 0 && self.session.ping(now).is_ok() {
            let wanted = std::mem::take(&mut self.wanted_pings);
            self.pings.extend(std::iter::repeat_n(self.now, wanted));
        }
        while self.session.is_connected()
            && self.doubt.may_try()
            && let Some(requesting) = self.requests.pop_front()
        {
            if let RequestingKind::Unsubscribe(..) = requesting.kind {
                // Else the server might not send them back any more.
                self.send_publishes_first(requesting.token);
            }
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
                    if !self.doubt.is_none() {
                        self.note_tried(requesting.subject());
                    }
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

    /// Messages that were published before a call leave before what that asks for, as far as the server's window lets
    /// them.
    pub(super) fn send_publishes_first(&mut self, call: Option<Token>) {
        self.send_publishes_before(call, usize::MAX);
        let now = self.session_now();
        // Those of QoS 1 and 2 wait in the session until it fills its wire, which a request goes to at once.
        let _ = self.session.poll_transmit(now);
    }

    /// A request that the server would not take. Subscriptions that are restored together may be too many for one
    /// packet.
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

    /// One PINGRESP answers every ping before it: while a PINGREQ is on its way, no other one is sent.
    pub(super) fn answer_pings(&mut self) {
        for since in self.pings.drain(..) {
            self.freed.add(0);
            let round_trip = Some(self.now.saturating_duration_since(since));
            self.outlet.tell_result(MqttEvent::PingResponse(PingResult { success: true, round_trip }));
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

    pub(super) fn finish_request(&mut self, requesting: Requesting, answer: Option<Answered>, outcome: Outcome) {
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
                // The last message of a subscription comes before the news of its end.
                self.outlet.tell(MqttEvent::Unsubscribed(result));
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
        unanswered.sort_unstable_by_key(|(packet_id, requesting)| (requesting.token, *packet_id));
        for (_, mut requesting) in unanswered.into_iter().rev() {
            requesting.in_queue = false;
            self.requests.push_front(requesting);
        }
        self.fail_pings();
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
