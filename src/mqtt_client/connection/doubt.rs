//! Which request the server ends the connection over.
//!
//! A server can end it by a DISCONNECT whose code is about a packet. What was cut off is sent again, so it would end one
//! connection after the other. Which of several it was is tried out: on a connection that has stood for a while and has
//! just answered a ping, what is doubted goes alone, one after the other. An end without such a code, as by a network
//! that fails, is never held against a request.
//!
//! ```text
//!   DISCONNECT            CONNACK             time              PINGRESP
//!  None ──────▶ (next one) ─────▶ Settling ───────▶ Asking ───────────▶ Trying ──▶ None
//!                                                                        │    ▲ answered: the next one
//!                                                                        └────┘ DISCONNECT: given up
//! ```

use std::time::Instant;

use super::Connection;
use crate::mqtt_client::client::{DropCause, Outcome};
use crate::mqtt_client::command::{Requesting, RequestingKind};
use crate::mqtt_client::token::Token;
use crate::types::{QoS, ReasonCode};

/// Messages that are tried out on one connection.
const MOST_MESSAGES: usize = 32;

/// Something that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Request(Token),
    /// Filters that are subscribed again.
    Restored(Vec<String>),
    Message(Token),
}

/// What is known of requests that may end connections.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    stage: Stage,
    /// The server has ended the last connection over something.
    is_due: bool,
    /// A message that is given up when the session gives it back.
    unwelcome: Option<(Token, ReasonCode)>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Everything is sent as it comes.
    #[default]
    None,
    /// As before, though something is doubted: what a session resumes goes at once, and an answer may be long in coming.
    Resumed,
    /// The connection has to stand for a while.
    Settling { until: Instant },
    /// The server has to answer a ping.
    Asking { is_answered: bool },
    /// One at a time is sent, with some time for its answer, and so many messages at most.
    Trying { subject: Option<Subject>, until: Instant, messages: usize },
}

/// Whether a code of a DISCONNECT may be about a request.
const fn may_be_about_a_request(code: ReasonCode) -> bool {
    matches!(
        code,
        ReasonCode::MALFORMED_PACKET
            | ReasonCode::PROTOCOL_ERROR
            | ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::TOPIC_FILTER_INVALID
            | ReasonCode::TOPIC_NAME_INVALID
            | ReasonCode::PACKET_TOO_LARGE
            | ReasonCode::PAYLOAD_FORMAT_INVALID
            | ReasonCode::RETAIN_NOT_SUPPORTED
            | ReasonCode::QOS_NOT_SUPPORTED
            | ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
            | ReasonCode::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
            | ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
    )
}

/// What the end of a connection says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing about requests.
    Nothing,
    /// A request may be why.
    Doubtful,
    /// The server ends connections over this.
    Certain(Subject, ReasonCode),
}

impl Doubt {
    /// Whether requests go out as they come.
    pub(super) const fn is_none(&self) -> bool {
        matches!(self.stage, Stage::None | Stage::Resumed)
    }

    /// When the connection has stood long enough, or the answer has taken too long.
    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Settling { until } | Stage::Trying { subject: Some(_), until, .. } => Some(until),
            _ => None,
        }
    }

    /// Nothing is doubted any more.
    pub(super) fn clear(&mut self) {
        *self = Self { unwelcome: self.unwelcome.take(), ..Self::default() };
    }

    /// The server has answered a ping.
    pub(super) fn handle_ping_response(&mut self) {
        if let Stage::Asking { is_answered } = &mut self.stage {
            *is_answered = true;
        }
    }

    /// Whether one may be sent now, as none is on its way.
    pub(super) const fn may_try(&self) -> bool {
        matches!(self.stage, Stage::None | Stage::Resumed | Stage::Trying { subject: None, .. })
    }

    /// It was sent, alone.
    pub(super) fn note_tried(&mut self, tried: Subject, answered_until: Instant) {
        if let Stage::Trying { subject, until, messages } = &mut self.stage {
            *messages -= usize::from(matches!(tried, Subject::Message(_)));
            (*subject, *until) = (Some(tried), answered_until);
        }
    }

    /// A connection has ended, by the server's DISCONNECT if there is a code, and whether something that was sent had no
    /// answer.
    pub(super) fn handle_end(&mut self, code: Option<ReasonCode>, is_something_unanswered: bool) -> Finding {
        let stage = std::mem::take(&mut self.stage);
        self.clear();
        let code = code.filter(|code| is_something_unanswered && may_be_about_a_request(*code));
        match (stage, code) {
            (Stage::Trying { subject: Some(subject), .. }, Some(code)) => {
                if let Subject::Message(token) = subject {
                    self.unwelcome = Some((token, code));
                }
                Finding::Certain(subject, code)
            }
            (Stage::None, Some(_)) => {
                self.is_due = true;
                Finding::Doubtful
            }
            // Something else ends connections.
            _ => Finding::Nothing,
        }
    }

    /// Why a message is not published again that the session gives back.
    pub(super) fn why_not_again(&mut self, token: Token) -> Option<DropCause> {
        let (_, code) = self.unwelcome.take_if(|(unwelcome, _)| *unwelcome == token)?;
        Some(DropCause::EndsConnection(code))
    }
}

impl Connection {
    /// A connection begins.
    pub(super) fn begin_doubt(&mut self) {
        if self.doubt.is_due {
            self.doubt.stage = Stage::Settling { until: self.now + self.options.connecting.stable_after / 10 };
        }
    }

    /// Whether something was sent and not answered. Whether a request was sent whole is known where nothing is left to
    /// send.
    pub(super) fn is_something_unanswered(&mut self, nothing_is_left: bool) -> bool {
        let has_sent = |(packet_id, _)| self.session.storage_mut().has_sent(packet_id);
        (nothing_is_left && !self.unanswered.is_empty()) || self.in_flight.oldest().is_some_and(has_sent)
    }

    /// This was sent, alone.
    pub(super) fn note_tried(&mut self, tried: Subject) {
        self.doubt.note_tried(tried, self.now + self.options.timeouts.ping);
    }

    /// Goes on with trying out what is doubted.
    pub(super) fn drive_doubt(&mut self) {
        if self.doubt.is_none() || !self.session.is_connected() {
            return;
        }
        if self.drain.is_some() {
            // As much as possible leaves before the end.
            return self.doubt.clear();
        }
        let is_quiet = self.unanswered.is_empty() && self.in_flight.is_empty();
        match &mut self.doubt.stage {
            Stage::Settling { until } if self.now >= *until => {
                let now = self.session_time(self.now);
                if !is_quiet {
                    self.doubt.stage = Stage::Resumed;
                } else if self.session.ping(now).is_ok() {
                    self.doubt.stage = Stage::Asking { is_answered: false };
                }
            }
            Stage::Asking { is_answered: true } => {
                self.doubt.stage = Stage::Trying { subject: None, until: self.now, messages: MOST_MESSAGES };
                self.try_next();
            }
            Stage::Trying { subject, .. } if is_quiet => {
                *subject = None;
                self.try_next();
            }
            Stage::Trying { until, .. } if self.now >= *until => self.doubt.stage = Stage::Resumed,
            _ => {}
        }
    }

    /// Sends the next one alone, a request if there is one.
    fn try_next(&mut self) {
        let waits = |requesting: &Requesting| matches!(requesting.kind, RequestingKind::Unsubscribe(..));
        let has_come = |first: &Requesting| self.pending.first_token().is_none_or(|token| Some(token) > first.token);
        let first = self.requests.front().filter(|first| !waits(first) || has_come(first));
        if first.is_some() {
            self.send_requests();
        }
        while self.doubt.may_try()
            && let Stage::Trying { messages: 1.., .. } = self.doubt.stage
            && let Some(publishing) = self.pending.pop_front()
        {
            let (token, qos) = (publishing.token, publishing.qos);
            if qos == QoS::AtMostOnce {
                // It has no answer.
                self.pending.push_front(publishing);
                break;
            }
            if self.send_publish(publishing, &mut false).is_err() {
                break;
            }
            if !self.in_flight.is_empty() {
                self.note_tried(Subject::Message(token));
            }
        }
        if self.doubt.may_try() {
            self.doubt.clear();
        }
    }

    /// The server ends connections over it: it is not sent again.
    pub(super) fn give_up_unwelcome(&mut self, subject: &Subject, code: ReasonCode) {
        let outcome = Outcome::Dropped(DropCause::EndsConnection(code));
        let place = self.requests.iter().position(|requesting| requesting.subject() == *subject);
        let Some(requesting) = place.and_then(|place| self.requests.remove(place)) else { return };
        match requesting.kind {
            RequestingKind::Subscribe(topics, None) if requesting.token.is_none() && topics.len() > 1 => {
                // It may be one of them alone, which the next connection tries out.
                self.doubt.is_due = true;
                self.subscriptions.separate(&topics);
                for topic in topics.into_iter().rev() {
                    let kind = RequestingKind::Subscribe(vec![topic], None);
                    let options = requesting.options.clone();
                    self.requests.push_front(Requesting { token: None, options, kind, in_queue: false });
                }
            }
            RequestingKind::Subscribe(topics, None) if requesting.token.is_none() => {
                for topic in topics {
                    let filter = topic.topic_filter;
                    let reason = outcome.description();
                    let text = format!("cannot subscribe to {filter:?} again: {reason}");
                    self.tell_error(std::io::Error::other(text));
                    self.subscriptions.forget(&[filter], Some(Token(u64::MAX)));
                }
            }
            kind => self.finish_request(Requesting { kind, ..requesting }, None, outcome),
        }
    }
}

impl Requesting {
    pub(super) fn subject(&self) -> Subject {
        match (self.token, &self.kind) {
            (Some(token), _) => Subject::Request(token),
            (None, RequestingKind::Subscribe(topics, _)) => {
                Subject::Restored(topics.iter().map(|topic| topic.topic_filter.clone()).collect())
            }
            (None, RequestingKind::Unsubscribe(filters, _)) => Subject::Restored(filters.clone()),
        }
    }
}
