//! News that nobody hears for long.

use std::sync::mpsc::channel;

use flowsdk::mqtt_client::{
    AsyncMqttClient, ConnectionResult, DropCause, MqttEvent, MqttEventHandler, Outcome, PublishResult,
    SessionLossPolicy, SessionLossReport, Token,
};

use crate::recorder::{Log, Recorder};
use crate::scripted_setup::{Scene, V5};
use crate::support::PATIENCE;

/// Connections that are lost while nobody listens; each tells six things beside the outcome of a message.
const CONNECTIONS: usize = 200;
/// News that may wait all the same.
const MOST: usize = 256 + 64 + 16;

fn scene() -> Scene {
    let mut scene = Scene::new(V5);
    scene.options.session_loss = SessionLossPolicy::Fail;
    scene.config.reconnect_delay_ms = 0;
    scene.config.max_reconnect_delay_ms = 1;
    scene
}

/// Loses one connection after the other with a message in flight, which fails with it, and leaves the last one open.
fn lose_connections(scene: &Scene, client: &AsyncMqttClient) -> Vec<Token> {
    client.connect().unwrap();
    let lose = |_| {
        // The one before has gone by then.
        let mut peer = scene.accept(false);
        let token = client.publish("t", b"x", 1, false).unwrap();
        peer.expect_type(3);
        token
    };
    let tokens = (0..CONNECTIONS).map(lose).collect();
    let mut peer = scene.accept(false);
    client.disconnect().unwrap();
    peer.expect_type(14);
    tokens
}

#[track_caller]
fn check(events: &[MqttEvent<'static>], tokens: &[Token]) {
    let mut failed = Vec::new();
    let (mut outcomes, mut attempts, mut news) = (Vec::new(), Vec::new(), 0);
    for event in events {
        match event {
            MqttEvent::Published(result) => {
                assert_eq!(result.outcome, Outcome::Dropped(DropCause::SessionLost));
                outcomes.push(result.token);
                continue;
            }
            MqttEvent::ReconnectAttempt(attempt) => attempts.push(*attempt),
            MqttEvent::SessionLost(report) => failed.extend_from_slice(&report.failed),
            _ => {}
        }
        news += 1;
    }
    assert_eq!(outcomes, tokens, "each outcome is told");
    failed.sort_unstable();
    assert_eq!(failed, tokens, "each message of the reports is told once");
    assert!(news <= MOST, "{news}");
    assert!(attempts.is_sorted_by(|a, b| a < b), "{attempts:?}");
    assert_eq!(attempts.last().map(|last| usize::try_from(*last).unwrap()), Some(CONNECTIONS), "the newest is told");
    let last = events.iter().rev().find(|event| !matches!(event, MqttEvent::Published(_)));
    assert!(matches!(last, Some(MqttEvent::Disconnected(Some(0)))), "{last:?}");
}

#[test]
fn of_news_that_nobody_takes_the_latest_waits_and_every_outcome() {
    let scene = scene();
    let (client, events) = AsyncMqttClient::with_receiver(scene.options.clone(), scene.config.clone()).unwrap();
    let tokens = lose_connections(&scene, &client);
    client.shutdown().unwrap();
    check(&events.collect::<Vec<_>>(), &tokens);
}

#[test]
fn of_news_behind_a_callback_that_does_not_return_the_latest_is_told_and_every_outcome() {
    /// It hangs at the first connection.
    struct Hangs(Option<std::sync::mpsc::Receiver<()>>, Box<Recorder>);
    impl MqttEventHandler for Hangs {
        fn on_connected(&mut self, result: &ConnectionResult) {
            if let Some(gate) = self.0.take() {
                // It ends when the sender is dropped.
                let _ = gate.recv();
            }
            self.1.on_connected(result);
        }

        fn on_published(&mut self, result: &PublishResult) {
            self.1.on_published(result);
        }

        fn on_session_lost(&mut self, report: &SessionLossReport) {
            self.1.on_session_lost(report);
        }

        fn on_pending_operations_cleared(&mut self) {
            self.1.on_pending_operations_cleared();
        }

        fn on_error(&mut self, error: &std::io::Error) {
            self.1.on_error(error);
        }

        fn on_connection_lost(&mut self) {
            self.1.on_connection_lost();
        }

        fn on_reconnect_attempt(&mut self, attempt: u32) {
            self.1.on_reconnect_attempt(attempt);
        }

        fn on_disconnected(&mut self, reason_code: Option<u8>) {
            self.1.on_disconnected(reason_code);
        }
    }
    let scene = scene();
    let (recorder, log) = Recorder::new();
    let (open, gate) = channel();
    let handler = Box::new(Hangs(Some(gate), recorder));
    let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
    let tokens = lose_connections(&scene, &client);
    drop(open);
    client.shutdown().unwrap();
    let told = |log: &Log| log.count(|event| matches!(event, MqttEvent::Disconnected(_)));
    crate::support::wait_until(PATIENCE, || told(&log) == 1);
    log.with(|events| check(events, &tokens));
}
