//! What the client offers in its handshake: names, versions, protocols, sessions to resume.

use std::process::Command;
use std::sync::mpsc::channel;

use flowsdk::mqtt_client::{MqttEvent, TlsError, TlsOptions, TlsVersion};
use rustls::server::Acceptor;
use rustls::{CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion};

use crate::pki::Ca;
use crate::scene::{NAMES, connected, connecting, options, refused, shut_down, tls_error, trusting};
use crate::server::{self, ALL, ONLY_12, ONLY_13, Seen, Server, bad, config, good, script, tls};
use crate::support::PATIENCE;
use crate::support::mosquitto::Directory;

/// What a good server sees of one connection.
#[track_caller]
fn seen(ca: &Ca, names: &[&str], tls: TlsOptions) -> Seen {
    let log = server::Log::default();
    let mut config = config(&ca.leaf(names), ALL);
    config.alpn_protocols = vec![b"a".to_vec(), b"mqtt".to_vec()];
    let server = Server::start(vec![good(config, &log)]);
    let (client, told) = connecting(options(&server, tls));
    connected(&told);
    shut_down(&client);
    drop(server);
    log.lock().unwrap()[0].clone()
}

#[test]
fn the_server_is_told_its_name_unless_that_is_turned_off_or_another_one_is_set() {
    let ca = Ca::new("root");
    assert_eq!(seen(&ca, NAMES, trusting(&ca)).server_name.as_deref(), Some("localhost"));
    let silent = TlsOptions { send_server_name: false, ..trusting(&ca) };
    assert_eq!(seen(&ca, NAMES, silent).server_name, None);
    let other = TlsOptions { server_name: Some("b.example".to_string()), ..trusting(&ca) };
    assert_eq!(seen(&ca, &["b.example"], other).server_name.as_deref(), Some("b.example"));
    let address = TlsOptions { server_name: Some("10.1.1.1".to_string()), ..trusting(&ca) };
    assert_eq!(seen(&ca, &["10.1.1.1"], address).server_name, None);
}

#[test]
fn the_highest_version_is_spoken_within_the_bounds() {
    let ca = Ca::new("root");
    let version =
        |min_version, max_version| seen(&ca, NAMES, TlsOptions { min_version, max_version, ..trusting(&ca) }).version;
    assert_eq!(version(TlsVersion::V1_2, TlsVersion::V1_3), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version(TlsVersion::V1_3, TlsVersion::V1_3), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version(TlsVersion::V1_2, TlsVersion::V1_2), Some(ProtocolVersion::TLSv1_2));
    let upside_down = TlsOptions { min_version: TlsVersion::V1_3, max_version: TlsVersion::V1_2, ..trusting(&ca) };
    assert!(refused(upside_down).contains("tls.min_version"));
}

#[test]
fn protocols_are_offered_and_a_server_that_knows_none_refuses() {
    let ca = Ca::new("root");
    let alpn = |names: &[&str]| TlsOptions { alpn: names.iter().map(ToString::to_string).collect(), ..trusting(&ca) };
    assert_eq!(seen(&ca, NAMES, alpn(&[])).alpn, None);
    assert_eq!(seen(&ca, NAMES, alpn(&["x", "mqtt"])).alpn.as_deref(), Some(&b"mqtt"[..]));
    let mut config = config(&ca.leaf(NAMES), ALL);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::start(vec![bad(config)]);
    let (client, told) = connecting(options(&server, alpn(&["mqtt"])));
    assert_eq!(tls_error(&told).2, TlsError::NoCommonProtocol);
    shut_down(&client);
    for wrong in ["", &"x".repeat(256)] {
        assert!(refused(alpn(&[wrong])).contains("tls.alpn"));
    }
}

#[test]
fn a_name_that_no_certificate_can_have_is_refused_when_the_client_is_made() {
    let ca = Ca::new("root");
    for wrong in ["", "a b", "ü.example"] {
        let tls = TlsOptions { server_name: Some(wrong.to_string()), ..trusting(&ca) };
        assert!(refused(tls).contains("tls.server_name"), "{wrong}");
    }
}

#[test]
fn a_session_is_resumed_over_connections_unless_that_is_turned_off() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    for (versions, resumption) in [(ONLY_12, true), (ONLY_13, true), (ONLY_12, false), (ONLY_13, false)] {
        let log = server::Log::default();
        let config = std::sync::Arc::new(config(&leaf, versions));
        // The first one goes away by itself, as soon as the client has the tickets that come before CONNACK.
        let first = std::sync::Arc::clone(&config);
        let leaving = script(move |stream| server::accept(&mut tls(first, stream)));
        let server = Server::start(vec![leaving, good(config, &log)]);
        let (client, told) = connecting(options(&server, TlsOptions { resumption, ..trusting(&ca) }));
        assert!(told.connection(2).is_success());
        shut_down(&client);
        drop(server);
        let expected = if resumption { HandshakeKind::Resumed } else { HandshakeKind::Full };
        assert_eq!(log.lock().unwrap()[0].kind, Some(expected));
        // The certificate is shown to the application all the same.
        assert_eq!(told.count(|event| matches!(event, MqttEvent::PeerCertReceived(der) if **der == *leaf.der)), 2);
    }
}

/// The variable counts for a whole process, so this runs in one of its own.
#[test]
fn secrets_are_logged_where_the_option_and_the_environment_say_so() {
    const NAME: &str = "offers::secrets_are_logged_where_the_option_and_the_environment_say_so";
    const OPTION: &str = "FLOWSDK_TEST_LOG_KEYS";
    if let Some(option) = std::env::var_os(OPTION) {
        let ca = Ca::new("root");
        let _ = seen(&ca, NAMES, TlsOptions { log_keys: option == "on", ..trusting(&ca) });
        return;
    }
    let directory = Directory::create().unwrap();
    for option in ["on", "off"] {
        let path = directory.path().join(option);
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env(OPTION, option).env("SSLKEYLOGFILE", &path);
        assert!(child.output().unwrap().status.success());
        let logged = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(logged.contains("CLIENT_TRAFFIC_SECRET_0"), option == "on", "{logged}");
    }
}

#[test]
fn a_key_exchange_against_quantum_computers_is_offered_first_where_the_cryptography_has_one() {
    let ca = Ca::new("root");
    let (sender, offered) = channel();
    let server = Server::start(vec![script(move |mut stream| {
        let mut acceptor = Acceptor::default();
        let hello = loop {
            acceptor.read_tls(&mut stream).expect("a ClientHello");
            if let Some(accepted) = acceptor.accept().expect("a good ClientHello") {
                break accepted;
            }
        };
        sender.send(hello.client_hello().named_groups().expect("groups").to_vec()).unwrap();
    })]);
    let (client, _told) = connecting(options(&server, trusting(&ca)));
    let offered = offered.recv_timeout(PATIENCE).unwrap();
    let first = if cfg!(feature = "aws-lc-rs") { NamedGroup::X25519MLKEM768 } else { NamedGroup::X25519 };
    assert_eq!(offered.first(), Some(&first), "{offered:?}");
    shut_down(&client);
}

/// A provider is installed for a whole process, so this runs in one of its own.
#[test]
fn the_cryptography_that_the_process_has_installed_is_used() {
    const NAME: &str = "offers::the_cryptography_that_the_process_has_installed_is_used";
    const INSTALL: &str = "FLOWSDK_TEST_INSTALL_PROVIDER";
    if std::env::var_os(INSTALL).is_none() {
        let mut child = Command::new(std::env::current_exe().unwrap());
        assert!(child.args(["--exact", NAME]).env(INSTALL, "1").output().unwrap().status.success());
        return;
    }
    let mut provider = rustls::crypto::ring::default_provider();
    let suite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    provider.cipher_suites.retain(|known| known.suite() == suite);
    provider.install_default().unwrap();
    let ca = Ca::new("root");
    assert_eq!(seen(&ca, NAMES, TlsOptions { min_version: TlsVersion::V1_3, ..trusting(&ca) }).suite, Some(suite));
}
