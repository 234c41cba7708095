//! What the feature `log` tells of a client.

use std::sync::{Mutex, Once, PoisonError};

use flowsdk::mqtt_client::{
    AsyncMqttClient, ClientError, ConnectionResult, MqttEventHandler, Outcome, PublishOptions, Runtime, Will,
};
use flowsdk::types::ProtocolVersion;
use log::{LevelFilter, Log, Metadata, Record};

use crate::scripted_setup::{Scene, V5, both, publish};
use crate::support::{PATIENCE, wire};

const SECRET: &str = "s3cr3t";

/// A client whose lines the logger fails at.
const BOMB: &str = "log-bomb";

/// Keeps every line of the process, of every crate, at every level.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        let fails = line.contains(BOMB);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        assert!(!fails, "the test's own logger");
    }

    fn flush(&self) {}
}

fn keep_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).expect("the only logger");
        log::set_max_level(LevelFilter::Trace);
    });
}

fn all_lines() -> Vec<String> {
    LINES.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The lines of one client: level and text. Delays and numbers of ports are left out, as they are never the same.
fn lines_of(client_id: &str) -> Vec<String> {
    let mark = format!("client {client_id:?}: ");
    let lines = all_lines().into_iter().filter(|line| line.contains(&mark));
    lines.map(|line| line.replacen(&mark, "", 1)).map(|line| cut(&line, &["127.0.0.1:", " in "])).collect()
}

fn cut(line: &str, before: &[&str]) -> String {
    let end = before.iter().filter_map(|mark| Some(line.find(mark)? + mark.len())).min();
    line[..end.unwrap_or(line.len())].to_owned()
}

fn scene(version: ProtocolVersion, client_id: &str) -> Scene {
    keep_lines();
    let mut scene = Scene::new(version);
    scene.options.client_id = client_id.to_owned();
    scene.options.username = Some(SECRET.to_owned());
    scene.options.password = Some(SECRET.into());
    scene.options.will = Some(Will::new("t", SECRET.as_bytes(), 0, false));
    scene
}

#[test]
fn a_connection_its_loss_and_its_return_are_a_line_each_and_no_line_has_a_secret() {
    both(|version| {
        let client_id = format!("log-{}", version.level());
        let scene = scene(version, &client_id);
        let mut live = scene.connected();
        let token = live.client.publish("t", SECRET.as_bytes(), 0, false).unwrap();
        assert_eq!(live.log.published(token).outcome, Outcome::Sent);
        live.peer.expect(&publish(version, 0, "t", None, SECRET.as_bytes()));
        live.peer.close();
        let _peer = scene.accept(false);
        assert!(live.log.connection(2).is_success());
        live.client.shutdown().unwrap();
        let expected = [
            "DEBUG connecting to 127.0.0.1:",
            "INFO connected, session present: false",
            "WARN connection lost: the server has closed the connection",
            "INFO reconnection attempt 1 in ",
            "DEBUG connecting to 127.0.0.1:",
            "INFO connected, session present: false",
            "INFO disconnected",
        ];
        assert_eq!(lines_of(&client_id), expected);
        for line in all_lines() {
            assert!(!line.contains(SECRET) && !line.contains("115, 51, 99"), "{line}");
        }
    });
}

#[test]
fn a_refusal_is_one_line_whether_or_not_it_is_final() {
    let scene = scene(V5, "log-refused");
    let (client, log) = scene.client();
    client.connect().unwrap();
    let busy = scene.accept_with(&wire::connack_v5(&[], false, 0x89));
    let banned = scene.accept_with(&wire::connack_v5(&[], false, 0x8A));
    assert!(log.connection(2).is_failure());
    drop((busy, banned));
    client.shutdown().unwrap();
    let expected = [
        "DEBUG connecting to 127.0.0.1:",
        "WARN the server refuses the connection: Server busy (0x89)",
        "INFO reconnection attempt 1 in ",
        "DEBUG connecting to 127.0.0.1:",
        "WARN the server refuses the connection: Banned; call connect() to try again",
    ];
    assert_eq!(lines_of("log-refused"), expected);
}

#[test]
fn a_message_that_is_dropped_is_a_line_with_the_reason() {
    let mut scene = scene(V5, "log-dropped");
    scene.config.max_buffer_size = 1;
    let (client, log) = scene.client();
    let first = client.publish("t", SECRET.as_bytes(), 1, false).unwrap();
    client.publish("t", SECRET.as_bytes(), 1, false).unwrap();
    assert!(matches!(log.published(first).outcome, Outcome::Dropped(_)));
    let expected = format!("WARN message {} is given up: Dropped(BufferFull)", first.id());
    assert_eq!(lines_of("log-dropped"), [expected]);
}

struct Panics;

impl MqttEventHandler for Panics {
    fn on_connected(&mut self, _result: &ConnectionResult) {
        panic!("the test's own panic, with {SECRET}");
    }
}

#[test]
fn a_callback_that_panics_is_a_line_without_the_words_of_the_panic() {
    let scene = scene(V5, "log-panic");
    let client = AsyncMqttClient::new(scene.options.clone(), Box::new(Panics), scene.config.clone()).unwrap();
    client.connect().unwrap();
    let peer = scene.accept(false);
    drop(peer);
    client.shutdown().unwrap();
    let lines = all_lines();
    assert!(lines.contains(&"WARN a callback has panicked".to_owned()));
    assert!(!lines.iter().any(|line| line.contains(SECRET)));
}

#[test]
fn a_logger_that_panics_ends_its_client_with_all_results_told_and_no_other_one() {
    let runtime = Runtime::new().unwrap();
    let mut scene = scene(V5, BOMB);
    scene.options.threads.runtime = Some(runtime.clone());
    let (client, log) = scene.client();
    scene.options.client_id = "log-beside".to_owned();
    let (other, _other_log) = scene.client();
    let options = PublishOptions { qos: 1, ..Default::default() };
    let tracked = client.publish_tracked("t", b"", &options).unwrap();
    let plain = client.publish("t", b"", 1, false).unwrap();
    let request = client.unsubscribe_tracked(&["t"], &Default::default()).unwrap();
    client.connect().unwrap();
    assert_eq!(tracked.wait(PATIENCE).unwrap().outcome, Outcome::Cancelled);
    assert_eq!(request.wait(PATIENCE).unwrap().outcome, Outcome::Cancelled);
    assert_eq!(log.published(plain).outcome, Outcome::Cancelled);
    log.error("the test's own logger");
    assert_eq!(client.publish("t", b"", 1, false), Err(ClientError::ShutDown));
    client.shutdown().unwrap();

    other.connect().unwrap();
    let mut peer = scene.accept(false);
    let tracked = other.publish_tracked("t", b"", &options).unwrap();
    let packet = peer.expect_type(3);
    peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
    assert!(tracked.wait(PATIENCE).unwrap().is_success());
    drop(peer);
    runtime.shutdown(PATIENCE).unwrap();
}
