//! A client of the TLS servers.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

use std::io::ErrorKind;
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ClientError, ConnectionError, MqttClientOptions, MqttEvent, Timeouts, TlsError,
    TlsOptions, TlsRoots,
};

use crate::pki::Ca;
use crate::recorder::{Log, Recorder};
use crate::server::Server;

/// The names by which the tests reach their servers.
pub const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// TLS that believes whom this CA has signed.
pub fn trusting(ca: &Ca) -> TlsOptions {
    TlsOptions { roots: TlsRoots::bytes(ca.der.to_vec()), ..Default::default() }
}

/// Options for this server, without keep-alive.
pub fn options(server: &Server, tls: TlsOptions) -> MqttClientOptions {
    MqttClientOptions {
        peer: server.url(),
        client_id: "c".to_string(),
        keep_alive: 0,
        timeouts: Timeouts { drain: Duration::from_millis(500), ..Default::default() },
        tls,
        ..Default::default()
    }
}

/// A client that has been told to connect, and comes back within milliseconds.
pub fn connecting(options: MqttClientOptions) -> (AsyncMqttClient, Log) {
    let (recorder, log) = Recorder::new();
    let config = AsyncClientConfig { reconnect_delay_ms: 5, max_reconnect_delay_ms: 10, ..Default::default() };
    let client = AsyncMqttClient::new(options, recorder, config).expect("options that work");
    client.connect().expect("an open client");
    (client, log)
}

/// Waits for the first error of TLS.
#[track_caller]
pub fn tls_error(log: &Log) -> (ErrorKind, String, TlsError) {
    log.wait_for_event(|event| {
        let MqttEvent::Error(told) = event else { return None };
        match told.get_ref()?.downcast_ref()? {
            ConnectionError::Tls { error, .. } => Some((told.kind(), told.to_string(), error.clone())),
            _ => None,
        }
    })
}

/// Waits for an accepted connection, whatever came before it.
#[track_caller]
pub fn connected(log: &Log) {
    assert!(log.connection(1).is_success());
}

/// A clean end.
pub fn shut_down(client: &AsyncMqttClient) {
    client.shutdown().expect("an end in time");
}

/// What a client says of options that cannot work.
#[track_caller]
pub fn refused(tls: TlsOptions) -> String {
    let options = MqttClientOptions { peer: "mqtts://localhost:1".to_string(), tls, ..Default::default() };
    let error = AsyncMqttClient::with_default_config(options, Recorder::new().0).expect_err("a refusal");
    assert!(matches!(error, ClientError::InvalidOption { .. }), "{error:?}");
    error.to_string()
}
