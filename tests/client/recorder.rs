//! A handler that keeps every event, and the log to wait on.

#![allow(dead_code, unreachable_pub, reason = "not every group of tests asks for everything")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    ConnectionError, ConnectionResult, MqttEvent, MqttEventHandler, MqttPublish, Outcome, PingResult, PublishResult,
    ReauthenticationResult, SessionLossReport, SubscribeResult, Token, UnsubscribeResult,
};

use crate::support::PATIENCE;

/// Which call an event ends, and how.
pub fn outcome(event: &MqttEvent<'static>) -> Option<(Token, Outcome)> {
    match event {
        MqttEvent::Published(result) => Some((result.token, result.outcome)),
        MqttEvent::Subscribed(result) => Some((result.token, result.outcome)),
        MqttEvent::Unsubscribed(result) => Some((result.token, result.outcome)),
        _ => None,
    }
}

/// Every outcome that was told, by its token.
pub fn ledger(events: &[MqttEvent<'static>]) -> BTreeMap<Token, Vec<Outcome>> {
    let mut ledger = BTreeMap::<_, Vec<_>>::new();
    for (token, outcome) in events.iter().filter_map(outcome) {
        ledger.entry(token).or_default().push(outcome);
    }
    ledger
}

/// A handler that tells a [`Log`] everything.
pub struct Recorder(Log);

/// What a client has told, in its order. Clones share it.
#[derive(Clone, Default)]
pub struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    events: Mutex<Vec<MqttEvent<'static>>>,
    changed: Condvar,
}

impl Recorder {
    /// A handler for [`AsyncMqttClient::new`](flowsdk::mqtt_client::AsyncMqttClient::new), and its log.
    pub fn new() -> (Box<Self>, Log) {
        let log = Log::default();
        (Box::new(Self(log.clone())), log)
    }
}

impl Log {
    /// Adds an event, as a handler of another kind does.
    pub fn add(&self, event: MqttEvent<'static>) {
        self.lock().push(event);
        self.0.changed.notify_all();
    }

    /// Looks at everything told so far.
    pub fn with<R>(&self, look: impl FnOnce(&[MqttEvent<'static>]) -> R) -> R {
        look(&self.lock())
    }

    /// The last events, for a message about what has not come.
    pub fn tail(&self) -> String {
        let events = self.lock();
        let shown: Vec<_> = events.iter().rev().take(40).rev().map(|event| format!("{event:?}")).collect();
        format!("the last of {} events:\n  {}", events.len(), shown.join("\n  "))
    }

    /// Waits until `found` gives something, and returns that.
    ///
    /// # Panics
    /// When that takes longer than [`PATIENCE`]; the message holds the log.
    #[track_caller]
    pub fn wait_for<R>(&self, found: impl Fn(&[MqttEvent<'static>]) -> Option<R>) -> R {
        self.wait_for_within(PATIENCE, found)
    }

    /// As [`wait_for`](Self::wait_for), with a limit of its own.
    #[track_caller]
    pub fn wait_for_within<R>(&self, limit: Duration, found: impl Fn(&[MqttEvent<'static>]) -> Option<R>) -> R {
        let deadline = Instant::now() + limit;
        let mut events = self.lock();
        loop {
            if let Some(result) = found(&events) {
                return result;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // The guard must not be poisoned by the panic, as threads of the client still use it.
                drop(events);
                panic!("not told within {limit:?}; {}", self.tail());
            }
            events = self.0.changed.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the first event of which `found` gives something.
    #[track_caller]
    pub fn wait_for_event<R>(&self, found: impl Fn(&MqttEvent<'static>) -> Option<R>) -> R {
        self.wait_for(|events| events.iter().find_map(&found))
    }

    /// Waits until `count` events are `wanted` ones.
    #[track_caller]
    pub fn wait_for_count(&self, count: usize, wanted: impl Fn(&MqttEvent<'static>) -> bool) {
        self.wait_for(|events| (events.iter().filter(|event| wanted(event)).count() >= count).then_some(()));
    }

    /// Waits for the answer to the `number`th CONNECT that was answered, counted from 1.
    #[track_caller]
    pub fn connection(&self, number: usize) -> ConnectionResult {
        self.wait_for(|events| connections(events).nth(number - 1).cloned())
    }

    /// Waits for the outcome of a publish.
    #[track_caller]
    pub fn published(&self, token: Token) -> PublishResult {
        self.wait_for_event(|event| match event {
            MqttEvent::Published(result) if result.token == token => Some(result.clone()),
            _ => None,
        })
    }

    /// Waits for the outcome of a subscribe.
    #[track_caller]
    pub fn subscribed(&self, token: Token) -> SubscribeResult {
        self.wait_for_event(|event| match event {
            MqttEvent::Subscribed(result) if result.token == token => Some(result.clone()),
            _ => None,
        })
    }

    /// Waits for the outcome of an unsubscribe.
    #[track_caller]
    pub fn unsubscribed(&self, token: Token) -> UnsubscribeResult {
        self.wait_for_event(|event| match event {
            MqttEvent::Unsubscribed(result) if result.token == token => Some(result.clone()),
            _ => None,
        })
    }

    /// Waits for `count` messages, and returns all there are.
    #[track_caller]
    pub fn messages(&self, count: usize) -> Vec<MqttPublish<'static>> {
        self.wait_for(|events| Some(messages(events)).filter(|messages| messages.len() >= count))
    }

    /// Waits for the first error whose text contains `part`, and returns its kind.
    #[track_caller]
    pub fn error(&self, part: &str) -> io::ErrorKind {
        self.wait_for_event(|event| match event {
            MqttEvent::Error(error) if error.to_string().contains(part) => Some(error.kind()),
            _ => None,
        })
    }

    /// Waits for the first [`MqttEvent::Disconnected`].
    #[track_caller]
    pub fn disconnected(&self) -> Option<u8> {
        self.wait_for_event(|event| match event {
            MqttEvent::Disconnected(code) => Some(*code),
            _ => None,
        })
    }

    /// How many events so far are `wanted` ones.
    pub fn count(&self, wanted: impl Fn(&MqttEvent<'static>) -> bool) -> usize {
        self.lock().iter().filter(|event| wanted(event)).count()
    }

    /// Every event so far in a few words, for a comparison of orders.
    pub fn words(&self) -> Vec<String> {
        self.lock().iter().map(words).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MqttEvent<'static>>> {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connections<'e>(events: &'e [MqttEvent<'static>]) -> impl Iterator<Item = &'e ConnectionResult> {
    events.iter().filter_map(|event| match event {
        MqttEvent::Connected(result) => Some(result),
        _ => None,
    })
}

fn messages(events: &[MqttEvent<'static>]) -> Vec<MqttPublish<'static>> {
    let message = |event: &MqttEvent<'static>| match event {
        MqttEvent::MessageReceived(publish) => Some(publish.clone()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

fn words(event: &MqttEvent<'static>) -> String {
    match event {
        MqttEvent::Connected(result) => {
            format!("connected {:#04x} session {}", result.reason_code, result.session_present)
        }
        MqttEvent::Disconnected(code) => format!("disconnected {code:?}"),
        MqttEvent::Published(result) => format!("published {} {:?}", result.token.id(), result.outcome),
        #[cfg(feature = "persistence")]
        MqttEvent::Durable(tokens) => format!("durable {}", tokens.len()),
        MqttEvent::Subscribed(result) => format!("subscribed {} {:?}", result.token.id(), result.reason_codes),
        MqttEvent::Unsubscribed(result) => format!("unsubscribed {} {:?}", result.token.id(), result.outcome),
        MqttEvent::MessageReceived(publish) => {
            let payload = String::from_utf8_lossy(&publish.payload);
            format!("message {} {payload} qos {} dup {}", publish.topic_name, publish.qos, publish.dup)
        }
        MqttEvent::PingResponse(result) => format!("ping {}", result.success),
        MqttEvent::Error(error) => format!("error {error}"),
        MqttEvent::ConnectionLost => "connection lost".to_string(),
        MqttEvent::ReconnectAttempt(number) => format!("reconnect attempt {number}"),
        MqttEvent::SessionLost(report) => {
            format!("session lost {} {} {}", ids(&report.requeued), ids(&report.failed), ids(&report.expired))
        }
        MqttEvent::PendingOperationsCleared => "pending operations cleared".to_string(),
        other => format!("{other:?}"),
    }
}

fn ids(tokens: &[Token]) -> String {
    format!("{:?}", tokens.iter().map(|token| token.id()).collect::<Vec<_>>())
}

impl MqttEventHandler for Recorder {
    fn on_connected(&mut self, result: &ConnectionResult) {
        self.0.add(MqttEvent::Connected(result.clone()));
    }

    fn on_disconnected(&mut self, reason_code: Option<u8>) {
        self.0.add(MqttEvent::Disconnected(reason_code));
    }

    fn on_published(&mut self, result: &PublishResult) {
        self.0.add(MqttEvent::Published(result.clone()));
    }

    #[cfg(feature = "persistence")]
    fn on_durable(&mut self, tokens: &[Token]) {
        self.0.add(MqttEvent::Durable(tokens.to_vec()));
    }

    fn on_subscribed(&mut self, result: &SubscribeResult) {
        self.0.add(MqttEvent::Subscribed(result.clone()));
    }

    fn on_unsubscribed(&mut self, result: &UnsubscribeResult) {
        self.0.add(MqttEvent::Unsubscribed(result.clone()));
    }

    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        self.0.add(MqttEvent::MessageReceived(publish.clone().into_owned()));
    }

    fn on_ping_response(&mut self, result: &PingResult) {
        self.0.add(MqttEvent::PingResponse(*result));
    }

    fn on_reauthenticated(&mut self, result: &ReauthenticationResult) {
        self.0.add(MqttEvent::Reauthenticated(*result));
    }

    fn on_error(&mut self, error: &io::Error) {
        let connection = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectionError>());
        let copy = connection.map(|inner| io::Error::from(inner.clone()));
        self.0.add(MqttEvent::Error(copy.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string()))));
    }

    fn on_peer_cert_received(&mut self, certificate: &[u8]) {
        self.0.add(MqttEvent::PeerCertReceived(certificate.to_vec()));
    }

    fn on_connection_lost(&mut self) {
        self.0.add(MqttEvent::ConnectionLost);
    }

    fn on_reconnect_attempt(&mut self, attempt: u32) {
        self.0.add(MqttEvent::ReconnectAttempt(attempt));
    }

    fn on_session_lost(&mut self, report: &SessionLossReport) {
        self.0.add(MqttEvent::SessionLost(report.clone()));
    }

    fn on_pending_operations_cleared(&mut self) {
        self.0.add(MqttEvent::PendingOperationsCleared);
    }
}
