//! Which request makes the server end the connection.
//!
//! A server of v3.1.1 can refuse a PUBLISH in no other way, and some refuse a SUBSCRIBE like that. What was cut off is
//! sent again, so it would end one connection after the other. As one end alone cannot be told from a network that
//! fails, it is tried out: on a connection that has stood for a while and has just answered a ping, what is doubted goes
//! alone, one after the other.
//!
//! ```text
//!   ends alike                 CONNACK             time              PINGRESP
//!  None ────────▶ (next one) ─────────▶ Settling ───────▶ Asking ───────────▶ Trying ──▶ None
//!                                                                             │    ▲ answered: the next one
//!                                                                             └────┘ ended by the server: one trial
//! ```

use std::time::{Duration, Instant};

use super::Connection;
use crate::mqtt_client::client::{DropCause, Outcome};
use crate::mqtt_client::command::{Requesting, RequestingKind};
use crate::mqtt_client::token::Token;
use crate::types::{QoS, ReasonCode};

/// Connections in a row that the server has ended with the same one unanswered, from which on there is a doubt.
const ALIKE: u32 = 3;
/// Trials in a row of the same one that the server has ended, from which on it is given up. Where the server says why by
/// a DISCONNECT, one is enough.
const TRIALS: u32 = 5;
/// How soon a server ends the connection that does so because of what was sent.
const PROMPT: Duration = Duration::from_secs(2);
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
    requests: Watch,
    messages: Watch,
    /// What the last trial was of, and how many of it have ended alike.
    trials: Watch,
    /// A message that is given up when the session gives it back.
    unwelcome: Option<(Token, DropCause)>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Everything is sent as it comes.
    #[default]
    None,
    /// The connection has to stand for a while.
    Settling { until: Instant },
    /// The server has to answer a ping.
    Asking { is_answered: bool },
    /// One at a time is sent, and so many messages at most.
    Trying { subject: Option<Subject>, since: Instant, messages: usize },
}

/// How often in a row it was the same one.
#[derive(Debug, Default)]
struct Watch {
    subject: Option<Subject>,
    count: u32,
}

impl Watch {
    fn note(&mut self, subject: Option<Subject>) {
        let is_same = subject.is_some() && self.subject == subject;
        self.count = if is_same { self.count.saturating_add(1) } else { u32::from(subject.is_some()) };
        self.subject = subject;
    }
}

/// How a connection has ended, as far as it may lie in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// The server, without a word.
    Closing,
    /// The server, with a code that may be about a request.
    Refusal(ReasonCode),
    Other,
}

impl EndedBy {
    pub(super) const fn disconnect(code: ReasonCode) -> Self {
        match code {
            ReasonCode::UNSPECIFIED_ERROR => Self::Closing,
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
            | ReasonCode::WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED => Self::Refusal(code),
            _ => Self::Other,
        }
    }

    /// Whether it can be about what was sent alone so long ago. What takes long may be cut off by anything.
    fn is_about(self, since: Duration) -> bool {
        match self {
            Self::Closing => since <= PROMPT,
            Self::Refusal(_) => true,
            Self::Other => false,
        }
    }

    const fn cause(self) -> DropCause {
        match self {
            Self::Refusal(code) => DropCause::EndsConnection(Some(code)),
            Self::Closing | Self::Other => DropCause::EndsConnection(None),
        }
    }
}

/// What the end of a connection says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing about requests.
    Nothing,
    /// A request may be why.
    Doubtful,
    /// It has ended upon what was tried; it is not certain yet.
    Tried,
    /// The server ends connections over this.
    Certain(Subject),
}

impl Doubt {
    /// Whether requests go out as they come.
    pub(super) const fn is_none(&self) -> bool {
        matches!(self.stage, Stage::None)
    }

    /// When the connection has stood long enough.
    pub(super) const fn next_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Settling { until } => Some(until),
            _ => None,
        }
    }

    /// A connection begins; `settle` says how long it has to stand.
    fn begin(&mut self, now: Instant, session_present: bool, settle: impl FnOnce() -> Duration) {
        // What a session resumes has to be sent again, whatever comes of it [MQTT-4.4.0-1].
        let doubts_messages = !session_present && self.messages.count >= ALIKE;
        let is_due = self.requests.count >= ALIKE || doubts_messages || self.trials.count > 0;
        self.stage = if is_due { Stage::Settling { until: now + settle() } } else { Stage::None };
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
        matches!(self.stage, Stage::None | Stage::Trying { subject: None, .. })
    }

    /// It was sent, alone.
    pub(super) fn note_tried(&mut self, now: Instant, tried: Subject) {
        if let Stage::Trying { subject, since, messages } = &mut self.stage {
            *messages -= usize::from(matches!(tried, Subject::Message(_)));
            (*subject, *since) = (Some(tried), now);
        }
    }

    /// A connection has ended with these unanswered, the oldest request and the oldest message.
    pub(super) fn handle_end(
        &mut self,
        now: Instant,
        by: EndedBy,
        (request, message): (Option<Subject>, Option<Subject>),
    ) -> Finding {
        let stage = std::mem::take(&mut self.stage);
        let has_some = request.is_some() || message.is_some();
        match stage {
            Stage::Trying { subject: Some(subject), since, .. }
                if has_some && by.is_about(now.saturating_duration_since(since)) =>
            {
                self.trials.note(Some(subject.clone()));
                if self.trials.count < TRIALS && by == EndedBy::Closing {
                    return Finding::Tried;
                }
                self.clear();
                if let Subject::Message(token) = subject {
                    self.unwelcome = Some((token, by.cause()));
                }
                Finding::Certain(subject)
            }
            Stage::None if by != EndedBy::Other && has_some => {
                self.trials = Watch::default();
                self.requests.note(request);
                self.messages.note(message);
                if let EndedBy::Refusal(_) = by {
                    (self.requests.count, self.messages.count) = (ALIKE, ALIKE);
                }
                Finding::Doubtful
            }
            // Something else ends connections.
            _ => {
                self.clear();
                Finding::Nothing
            }
        }
    }

    /// Why a message is not published again that the session gives back.
    pub(super) fn why_not_again(&mut self, token: Token) -> Option<DropCause> {
        self.unwelcome.take_if(|(unwelcome, _)| *unwelcome == token).map(|(_, cause)| cause)
    }
}

impl Connection {
    /// A connection begins.
    pub(super) fn begin_doubt(&mut self, session_present: bool) {
        let least = self.options.connecting.stable_after / 10;
        let Self { doubt, backoff, now, .. } = self;
        // At random, so that what else ends connections does not keep time with it.
        doubt.begin(*now, session_present, || backoff.random(least, least.saturating_mul(3)));
    }

    /// The oldest request and the oldest message that were sent and not answered. Whether a request was sent whole is
    /// known where nothing is left to send.
    pub(super) fn oldest_unanswered(&self, nothing_is_left: bool) -> (Option<Subject>, Option<Subject>) {
        let requests = self.unanswered.iter().filter(|_| nothing_is_left);
        let oldest = requests.min_by_key(|(packet_id, requesting)| (requesting.token, **packet_id));
        let message = self.in_flight.oldest().filter(|(packet_id, _)| self.session.storage().has_sent(*packet_id));
        (oldest.map(|(_, requesting)| requesting.subject()), message.map(|(_, token)| Subject::Message(token)))
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
                    // What a session resumes is sent at once, and not alone.
                    self.doubt.clear();
                } else if self.session.ping(now).is_ok() {
                    self.doubt.stage = Stage::Asking { is_answered: false };
                }
            }
            Stage::Asking { is_answered: true } => {
                self.doubt.stage = Stage::Trying { subject: None, since: self.now, messages: MOST_MESSAGES };
                self.try_next();
            }
            Stage::Trying { subject, .. } if is_quiet => {
                *subject = None;
                self.try_next();
            }
            _ => {}
        }
    }

    /// Sends the next one alone, a request if there is one.
    fn try_next(&mut self) {
        let waits = |requesting: &Requesting| matches!(requesting.kind, RequestingKind::Unsubscribe(..));
        let first = self.requests.front().filter(|first| !waits(first) || self.pending.first_token() > first.token);
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
                self.doubt.note_tried(self.now, Subject::Message(token));
            }
        }
        if self.doubt.may_try() {
            self.doubt.clear();
        }
    }

    /// The server ends connections over it: it is not sent again.
    pub(super) fn give_up_unwelcome(&mut self, subject: &Subject, by: EndedBy) {
        let place = self.requests.iter().position(|requesting| requesting.subject() == *subject);
        let Some(requesting) = place.and_then(|place| self.requests.remove(place)) else { return };
        match requesting.kind {
            RequestingKind::Subscribe(topics, None) if requesting.token.is_none() && topics.len() > 1 => {
                // It may be one of them alone.
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
                    let reason = Outcome::Dropped(by.cause()).description();
                    let text = format!("cannot subscribe to {filter:?} again: {reason}");
                    self.tell_error(std::io::Error::other(text));
                    self.subscriptions.forget(&[filter], Some(Token(u64::MAX)));
                }
            }
            kind => self.finish_request(Requesting { kind, ..requesting }, None, Outcome::Dropped(by.cause())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_long_behind_what_was_sent_is_no_trial_unless_the_server_says_why() {
        let now = Instant::now();
        let since = now - PROMPT - Duration::from_millis(1);
        for (by, finding) in [
            (EndedBy::Closing, Finding::Nothing),
            (EndedBy::Refusal(ReasonCode::NOT_AUTHORIZED), Finding::Certain(Subject::Request(Token(1)))),
        ] {
            let subject = Subject::Request(Token(1));
            let mut doubt = Doubt {
                stage: Stage::Trying { subject: Some(subject.clone()), since, messages: 0 },
                trials: Watch { subject: Some(subject.clone()), count: TRIALS - 1 },
                ..Doubt::default()
            };
            assert_eq!(doubt.handle_end(now, by, (Some(subject), None)), finding);
            assert_eq!(doubt.trials.count, 0);
        }
    }

    #[test]
    fn what_was_not_sent_when_a_connection_ended_is_not_doubted() {
        let mut doubt = Doubt::default();
        for _ in 0..2 * ALIKE {
            assert_eq!(doubt.handle_end(Instant::now(), EndedBy::Closing, (None, None)), Finding::Nothing);
        }
        doubt.begin(Instant::now(), false, || Duration::from_secs(1));
        assert!(doubt.is_none());
    }
}
