//! The application's code that fails or comes back on threads that others need.

use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::{io, thread};

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, BatchMessage, CallbackMode, ClientError, MqttClientOptions, MqttEventHandler,
    MqttPublish, Offline, Outcome, Overflow, PublishOptions, PublishResult, Runtime, Threads, Timeouts, WaitError,
};

use crate::recorder::{Log, Recorder};
use crate::support::PATIENCE;

const MODES: [CallbackMode; 2] = [CallbackMode::Thread, CallbackMode::Worker];

/// A client that is never connected and keeps one message.
fn client(runtime: &Runtime, callbacks: CallbackMode, handler: Box<dyn MqttEventHandler>) -> AsyncMqttClient {
    let threads = Threads { runtime: Some(runtime.clone()), callbacks, ..Default::default() };
    let config = AsyncClientConfig { max_buffer_size: 1, ..Default::default() };
    AsyncMqttClient::new(MqttClientOptions { threads, ..Default::default() }, handler, config).unwrap()
}

fn bystander(runtime: &Runtime, mode: CallbackMode) -> (AsyncMqttClient, Log) {
    let (recorder, log) = Recorder::new();
    (client(runtime, mode, recorder), log)
}

/// Checks that a client works and that it and its runtime end as they should.
#[track_caller]
fn expect_in_order(runtime: &Runtime, client: &AsyncMqttClient, log: &Log) {
    let first = client.publish("t", b"", 1, false).unwrap();
    let second = client.publish("t", b"", 1, false).unwrap();
    assert!(matches!(log.published(first).outcome, Outcome::Dropped(_)));
    client.shutdown().unwrap();
    assert_eq!(log.published(second).outcome, Outcome::Cancelled);
    runtime.shutdown(PATIENCE).unwrap();
}

/// A topic handler that keeps something.
fn holding(held: impl Send + 'static) -> impl FnMut(&MqttPublish<'_>) + Send + 'static {
    move |_| {
        let _ = &held;
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the test's own bomb");
    }
}

/// Panics wherever it can, with bombs.
struct Hostile;

impl MqttEventHandler for Hostile {
    fn on_published(&mut self, _result: &PublishResult) {
        panic_any(Bomb);
    }

    fn on_error(&mut self, _error: &io::Error) {
        panic_any(Bomb);
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        panic_any(Bomb);
    }
}

#[test]
fn a_panic_whose_payload_panics_when_it_is_dropped_ends_no_thread() {
    for mode in MODES {
        let runtime = Runtime::new().unwrap();
        let hostile = client(&runtime, mode, Box::new(Hostile));
        for filter in ["a", "b/+", "b/#"] {
            hostile.add_topic_handler(filter, holding(Bomb)).unwrap();
        }
        let (other, log) = bystander(&runtime, mode);
        for _ in 0..3 {
            hostile.publish("t", b"", 1, false).unwrap();
        }
        hostile.shutdown().unwrap();
        expect_in_order(&runtime, &other, &log);
    }
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic_any(Bomb);
    }
}

#[test]
fn a_waker_that_panics_ends_no_client() {
    let runtime = Runtime::new().unwrap();
    let (one, one_log) = bystander(&runtime, CallbackMode::Thread);
    let (other, log) = bystander(&runtime, CallbackMode::Thread);
    let mut awaited = one.publish_tracked("t", b"", &PublishOptions::default()).unwrap();
    let waker = Waker::from(Arc::new(BadWaker));
    assert!(Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker)).is_pending());
    one.publish("t", b"", 0, false).unwrap();
    assert!(matches!(one_log.published(awaited.token()).outcome, Outcome::Dropped(_)));
    one.shutdown().unwrap();
    expect_in_order(&runtime, &other, &log);
}

/// Asks the client for something else when it is dropped.
struct ComesBack(Weak<AsyncMqttClient>);

impl Drop for ComesBack {
    fn drop(&mut self) {
        if let Some(client) = self.0.upgrade() {
            client.remove_topic_handler("other");
        }
    }
}

#[test]
fn a_topic_handler_that_is_removed_may_call_its_client_as_it_goes() {
    let runtime = Runtime::new().unwrap();
    let (client, _log) = bystander(&runtime, CallbackMode::Thread);
    let client = Arc::new(client);
    client.add_topic_handler("t", holding(ComesBack(Arc::downgrade(&client)))).unwrap();
    let (sender, removed) = channel();
    let remover = Arc::clone(&client);
    // Not within a scope: where this goes wrong the thread never ends.
    thread::spawn(move || sender.send(remover.remove_topic_handler("t")));
    assert_eq!(removed.recv_timeout(PATIENCE), Ok(true));
}

struct Published<F>(F);

impl<F: FnMut(&PublishResult) + Send> MqttEventHandler for Published<F> {
    fn on_published(&mut self, result: &PublishResult) {
        (self.0)(result);
    }
}

#[test]
fn a_callback_on_a_worker_does_not_wait_for_a_client_of_another_runtime() {
    let (runtime, another) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let threads = Threads { runtime: Some(another.clone()), ..Default::default() };
    let config = AsyncClientConfig { max_buffer_size: 1, ..Default::default() };
    let offline = Offline { overflow: Overflow::Refuse, ..Default::default() };
    let options = MqttClientOptions { threads, offline, ..Default::default() };
    let other = AsyncMqttClient::with_default_config(options.clone(), Box::new(Published(|_: &_| {}))).unwrap();
    let full = AsyncMqttClient::new(options, Box::new(Published(|_: &_| {})), config).unwrap();
    full.publish("t", b"", 1, false).unwrap();
    let awaited = other.publish_tracked("t", b"", &PublishOptions::default()).unwrap();
    let (sender, answers) = channel();
    let handler = move |_: &PublishResult| {
        let options = PublishOptions::default();
        let batch = [BatchMessage { topic: "t", payload: b"", options: &options }];
        let publish = full.publish_wait("t", b"", &options, PATIENCE).err();
        // The test may have taken its answers and gone.
        let _ = sender.send((awaited.wait(PATIENCE).err(), publish, full.publish_batch(&batch, PATIENCE).error));
    };
    let client = client(&runtime, CallbackMode::Worker, Box::new(Published(handler)));
    for _ in 0..2 {
        client.publish("t", b"", 1, false).unwrap();
    }
    let refused = Some(ClientError::WouldDeadlock);
    assert_eq!(answers.recv_timeout(4 * PATIENCE), Ok((Some(WaitError::WouldDeadlock), refused.clone(), refused)));
}

#[test]
fn a_callback_on_a_worker_only_starts_the_end_of_clients_of_another_runtime() {
    let (runtime, another) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let (go, gate) = channel::<()>();
    let blocked = move |_: &PublishResult| {
        let _ = gate.recv();
    };
    let threads = Threads { runtime: Some(another.clone()), ..Default::default() };
    let timeouts = Timeouts { shutdown: 4 * PATIENCE, ..Default::default() };
    let config = AsyncClientConfig { max_buffer_size: 1, ..Default::default() };
    let options = MqttClientOptions { threads, timeouts, ..Default::default() };
    let other = AsyncMqttClient::new(options, Box::new(Published(blocked)), config).unwrap();
    for _ in 0..2 {
        other.publish("t", b"", 1, false).unwrap();
    }
    let (sender, answers) = channel();
    let handler = move |_: &PublishResult| {
        // The test may have taken its answers and gone.
        let _ = sender.send((other.shutdown(), another.shutdown(4 * PATIENCE)));
    };
    let client = client(&runtime, CallbackMode::Worker, Box::new(Published(handler)));
    for _ in 0..2 {
        client.publish("t", b"", 1, false).unwrap();
    }
    let answer = answers.recv_timeout(PATIENCE);
    drop(go);
    assert_eq!(answer, Ok((Ok(()), Ok(()))));
}
