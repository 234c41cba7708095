//! Code of the application that does not return while a connection is opened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowsdk::mqtt_client::{Credentials, CredentialsProvider, MqttClientOptions, MqttEvent, Runtime, TransportFactory};

use crate::scripted_setup::{Scene, V5, connack};
use crate::support::{PATIENCE, wait_until};

/// What hangs until it is let go, and how often it was called.
#[derive(Clone)]
struct Gate {
    calls: Arc<AtomicUsize>,
    closed: Arc<Mutex<std::sync::mpsc::Receiver<()>>>,
}

impl Gate {
    fn new() -> (Self, Sender<()>) {
        let (open, closed) = channel();
        (Self { calls: Arc::default(), closed: Arc::new(Mutex::new(closed)) }, open)
    }

    /// Whether it was let go, and not given up.
    fn pass(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let _ = self.closed.lock().unwrap().recv();
    }
}

/// A client whose attempts hang at the gate: they end by their time-out, which names what has taken it, and no further
/// one goes there until it is open; then the next one connects.
fn hangs_once(name: &str, set: impl Fn(&mut MqttClientOptions, Gate), connects: bool) {
    let (gate, open) = Gate::new();
    let mut scene = Scene::new(V5);
    scene.options.timeouts.connect = Duration::from_millis(200);
    set(&mut scene.options, gate.clone());
    let (client, log) = scene.client();
    client.connect().unwrap();
    log.error(&format!("{name} timed out after"));
    let told = format!("{name} has not returned from an earlier attempt");
    log.wait_for_count(5, |event| matches!(event, MqttEvent::Error(error) if error.to_string().contains(&told)));
    assert_eq!(gate.calls.load(Ordering::SeqCst), 1);
    if connects {
        drop(open);
        scene.accept_with(&connack(V5, false));
        assert!(log.connection(1).is_success());
        client.shutdown().unwrap();
    } else {
        // It hangs on.
        client.shutdown().unwrap();
        drop(open);
    }
}

fn with_provider(options: &mut MqttClientOptions, gate: Gate) {
    options.connecting.credentials = Some(CredentialsProvider::new(move || {
        gate.pass();
        Ok(Credentials { username: Some("u".to_string()), password: None })
    }));
}

fn with_factory(options: &mut MqttClientOptions, gate: Gate) {
    options.connecting.transport = Some(TransportFactory::new(move |_, _| {
        gate.pass();
        Err(std::io::Error::other("it was let go"))
    }));
}

#[test]
fn a_credentials_provider_that_hangs_is_called_once_and_holds_up_neither_errors_nor_the_end() {
    hangs_once("the credentials provider", with_provider, false);
}

#[test]
fn when_a_credentials_provider_returns_at_last_the_next_attempt_asks_it_again() {
    hangs_once("the credentials provider", with_provider, true);
}

#[test]
fn a_factory_that_hangs_is_called_once_and_holds_up_neither_errors_nor_the_end() {
    hangs_once("the factory of the transport", with_factory, false);
}

#[test]
fn clients_that_have_gone_do_not_pile_up_behind_attempts_that_hang() {
    let (gate, open) = Gate::new();
    let mut scene = Scene::new(V5);
    scene.options.threads.runtime = Some(Runtime::new().unwrap());
    let options = scene.options.clone();
    with_provider(&mut scene.options, gate.clone());
    // As many as there are threads for one peer.
    let hanging = [(); 4].map(|()| {
        let (client, _) = scene.client();
        client.connect().unwrap();
        client
    });
    wait_until(PATIENCE, || gate.calls.load(Ordering::SeqCst) == hanging.len());
    let held = Arc::new(());
    for _ in 0..60 {
        let with_client = Arc::clone(&held);
        scene.options = options.clone();
        scene.options.connecting.credentials = Some(CredentialsProvider::new(move || {
            let _ = &with_client;
            Err(std::io::Error::other("it is never asked"))
        }));
        let (client, _) = scene.client();
        client.connect().unwrap();
        client.shutdown().unwrap();
    }
    scene.options = options;
    // A few are kept until there are more.
    assert!(Arc::strong_count(&held) < 20, "{}", Arc::strong_count(&held));
    drop(open);
}
