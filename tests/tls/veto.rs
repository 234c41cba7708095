//! The certificate of the server as the application sees it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, CallbackMode, ConnectionResult, MqttClientOptions, MqttEvent, MqttEventHandler,
    TlsError,
};

use crate::pki::Ca;
use crate::recorder::Log;
use crate::scene::{NAMES, connected, connecting, options, shut_down, tls_error, trusting};
use crate::server::{self, ALL, Server, bad, config, good};
use crate::support::PATIENCE;

/// A handler that does with a certificate what a test wants.
struct Vetting<F>(Log, F);

impl<F: FnMut(&[u8]) -> bool + Send> MqttEventHandler for Vetting<F> {
    fn on_peer_cert_received(&mut self, certificate: &[u8]) {
        self.0.add(MqttEvent::PeerCertReceived(certificate.to_vec()));
    }

    fn accept_peer_cert(&mut self, certificate: &[u8]) -> bool {
        (self.1)(certificate)
    }

    fn on_connected(&mut self, result: &ConnectionResult) {
        self.0.add(MqttEvent::Connected(result.clone()));
    }

    fn on_error(&mut self, error: &io::Error) {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<flowsdk::mqtt_client::ConnectionError>());
        let copy = inner.map(|inner| io::Error::from(inner.clone()));
        self.0.add(MqttEvent::Error(copy.unwrap_or_else(|| io::Error::other(error.to_string()))));
    }
}

fn vetting(options: MqttClientOptions, vet: impl FnMut(&[u8]) -> bool + Send + 'static) -> (AsyncMqttClient, Log) {
    let log = Log::default();
    let config = AsyncClientConfig { reconnect_delay_ms: 5, max_reconnect_delay_ms: 10, ..Default::default() };
    let client = AsyncMqttClient::new(options, Box::new(Vetting(log.clone(), vet)), config).unwrap();
    client.connect().unwrap();
    (client, log)
}

#[test]
fn the_certificate_comes_before_the_connection() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let server = Server::start(vec![good(config(&leaf, ALL), &server::Log::default())]);
    let (client, told) = connecting(options(&server, trusting(&ca)));
    connected(&told);
    told.with(|events| {
        assert!(matches!(&events[0], MqttEvent::PeerCertReceived(der) if **der == *leaf.der), "{events:?}");
        assert!(matches!(events[1], MqttEvent::Connected(_)), "{events:?}");
    });
    shut_down(&client);
}

#[test]
fn a_server_that_the_application_does_not_accept_is_sent_nothing() {
    let ca = Ca::new("root");
    for callbacks in [CallbackMode::Thread, CallbackMode::Worker] {
        let (leaf, other) = (ca.leaf(NAMES), ca.leaf(NAMES));
        let log = server::Log::default();
        let server = Server::start(vec![bad(config(&other, ALL)), good(config(&leaf, ALL), &log)]);
        let mut options = options(&server, trusting(&ca));
        options.threads.callbacks = callbacks;
        let wanted = leaf.der.clone();
        let (client, told) = vetting(options, move |certificate| *certificate == *wanted);
        let (kind, _, error) = tls_error(&told);
        assert_eq!((kind, error), (io::ErrorKind::PermissionDenied, TlsError::Vetoed));
        connected(&told);
        shut_down(&client);
    }
}

#[test]
fn a_handler_that_panics_over_a_certificate_does_not_accept_it() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let log = server::Log::default();
    let server = Server::start(vec![bad(config(&leaf, ALL)), good(config(&leaf, ALL), &log)]);
    let calls = AtomicUsize::new(0);
    let (client, told) = vetting(options(&server, trusting(&ca)), move |_| {
        assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "a fault of the test's");
        true
    });
    assert_eq!(tls_error(&told).2, TlsError::Vetoed);
    told.error("a callback has panicked: a fault of the test's");
    connected(&told);
    shut_down(&client);
}

#[test]
fn a_handler_that_takes_too_long_over_a_certificate_fails_the_attempt_alone() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let server = Server::start(vec![bad(config(&leaf, ALL)), good(config(&leaf, ALL), &server::Log::default())]);
    let mut options = options(&server, trusting(&ca));
    options.timeouts.connect = Duration::from_millis(1500);
    let (go_on, wait) = mpsc::channel::<()>();
    let first = AtomicUsize::new(0);
    let (client, told) = vetting(options, move |_| {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            wait.recv_timeout(3 * PATIENCE).expect("the end of the first server");
        }
        true
    });
    // The first server has ended by itself when the client has let it go, which needs no callback.
    server.wait_for(1);
    go_on.send(()).unwrap();
    told.error("no callback has looked at its certificate in time");
    connected(&told);
    shut_down(&client);
}

#[test]
fn a_shutdown_while_the_application_looks_at_a_certificate_ends_in_time() {
    let ca = Ca::new("root");
    let server = Server::start(vec![bad(config(&ca.leaf(NAMES), ALL))]);
    let (asked, is_asked) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let (client, _told) = vetting(options(&server, trusting(&ca)), move |_| {
        asked.send(()).unwrap();
        wait.recv_timeout(3 * PATIENCE).is_ok()
    });
    is_asked.recv_timeout(PATIENCE).unwrap();
    let client = Arc::new(client);
    let ending = Arc::clone(&client);
    let shutdown = std::thread::spawn(move || ending.shutdown());
    // The worker lets the server go, though the callback goes on.
    server.wait_for(1);
    go_on.send(()).unwrap();
    assert_eq!(shutdown.join().unwrap(), Ok(()));
}

#[test]
fn a_receiver_is_told_the_certificate_and_holds_up_nothing() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let server = Server::start(vec![good(config(&leaf, ALL), &server::Log::default())]);
    let options = options(&server, trusting(&ca));
    let (client, mut receiver) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).unwrap();
    client.connect().unwrap();
    // Delivered before anybody looks at the receiver.
    let publishing = client.publish_tracked("t", b"", &Default::default()).unwrap();
    assert!(publishing.wait(PATIENCE).unwrap().is_success());
    let first = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(&first, MqttEvent::PeerCertReceived(der) if **der == *leaf.der), "{first:?}");
    client.shutdown().unwrap();
}
