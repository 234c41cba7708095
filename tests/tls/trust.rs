//! Whom the client believes.

use std::fs;
use std::sync::Arc;

use flowsdk::mqtt_client::{TlsConfig, TlsError, TlsOptions, TlsRoots};
use rustls::{ClientConfig, RootCertStore};

use crate::pki::{Ca, Leaf};
use crate::scene::{NAMES, connected, connecting, options, refused, shut_down, tls_error, trusting};
use crate::server::{self, ALL, Server, bad, config, good};
use crate::support::mosquitto::Directory;

#[test]
fn the_client_takes_a_ca_from_pem_and_der_and_files_and_bytes() {
    let (ca, other) = (Ca::new("root"), Ca::new("other"));
    let directory = Directory::create().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let both = format!("# two\n{}\n{}", other.pem, ca.pem);
    let all = [
        TlsRoots::bytes(ca.der.to_vec()),
        TlsRoots::bytes(both.clone()),
        TlsRoots::file(path("ca.der", &ca.der)),
        TlsRoots::file(path("ca.pem", both.as_bytes())),
        TlsRoots::bytes(other.pem.clone()).and(TlsRoots::bytes(ca.pem.clone())).unwrap(),
    ];
    for roots in all {
        let log = server::Log::default();
        let server = Server::start(vec![good(config(&ca.leaf(NAMES), ALL), &log)]);
        let (client, told) = connecting(options(&server, TlsOptions { roots, ..Default::default() }));
        connected(&told);
        shut_down(&client);
    }
    assert!(TlsRoots::platform().and(TlsRoots::bytes(ca.pem)).is_err());
}

#[test]
fn an_address_is_believed_where_the_certificate_is_for_it() {
    let ca = Ca::new("root");
    let log = server::Log::default();
    let server = Server::start(vec![good(config(&ca.leaf(NAMES), ALL), &log)]);
    let mut options = options(&server, trusting(&ca));
    options.peer = format!("mqtts://127.0.0.1:{}", server.port);
    let (client, told) = connecting(options);
    connected(&told);
    shut_down(&client);
    drop(server);
    assert_eq!(log.lock().unwrap()[0].server_name, None, "an address is not told");
}

#[test]
fn a_pinned_key_is_the_only_one_that_is_taken() {
    let ca = Ca::new("root");
    let (leaf, another) = (ca.leaf(NAMES), ca.leaf(NAMES));
    for versions in [server::ONLY_12, server::ONLY_13] {
        let log = server::Log::default();
        let server = Server::start(vec![bad(config(&another, versions)), good(config(&leaf, versions), &log)]);
        let tls = TlsOptions { pinned_keys: vec![[0; 32], leaf.key_hash()], ..trusting(&ca) };
        let (client, told) = connecting(options(&server, tls));
        let (_, text, error) = tls_error(&told);
        let found: String = another.key_hash().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(error, TlsError::WrongKey { found }, "{text}");
        connected(&told);
        shut_down(&client);
    }
}

#[test]
fn a_pinned_key_alone_is_not_believed() {
    let leaf = Leaf::self_signed(NAMES);
    let server = Server::start(vec![bad(config(&leaf, ALL))]);
    let tls = TlsOptions { pinned_keys: vec![leaf.key_hash()], ..trusting(&Ca::new("root")) };
    let (client, told) = connecting(options(&server, tls));
    assert_eq!(tls_error(&told).2, TlsError::UnknownIssuer);
    shut_down(&client);
}

#[cfg(feature = "danger-no-verification")]
#[test]
fn who_trusts_anyone_is_connected_to_anyone_but_for_another_key_than_the_pinned_one() {
    let leaf = Leaf::self_signed(&["elsewhere.example"]);
    for versions in [server::ONLY_12, server::ONLY_13] {
        let log = server::Log::default();
        let server = Server::start(vec![good(config(&leaf, versions), &log)]);
        let tls = TlsOptions { roots: TlsRoots::dangerously_trust_anyone(), ..Default::default() };
        let (client, told) = connecting(options(&server, tls));
        connected(&told);
        shut_down(&client);
        let server = Server::start(vec![bad(config(&leaf, versions))]);
        let roots = TlsRoots::dangerously_trust_anyone();
        let tls = TlsOptions { roots, pinned_keys: vec![[0; 32]], ..Default::default() };
        let (client, told) = connecting(options(&server, tls));
        assert!(matches!(tls_error(&told).2, TlsError::WrongKey { .. }));
        shut_down(&client);
    }
}

#[test]
fn a_whole_configuration_is_used_as_it_is_and_goes_with_a_server_name_alone() {
    let ca = Ca::new("root");
    let mut roots = RootCertStore::empty();
    roots.add(ca.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(server::ONLY_12).unwrap();
    let own = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    let log = server::Log::default();
    let server = Server::start(vec![good(config(&ca.leaf(&["a.example"]), ALL), &log)]);
    let own = Some(TlsConfig::from(own));
    let tls = TlsOptions { config: own.clone(), server_name: Some("a.example".to_string()), ..Default::default() };
    let (client, told) = connecting(options(&server, tls));
    connected(&told);
    shut_down(&client);
    drop(server);
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(seen.version, Some(rustls::ProtocolVersion::TLSv1_2));
    assert_eq!(seen.server_name.as_deref(), Some("a.example"));
    assert!(refused(TlsOptions { config: own, resumption: false, ..Default::default() }).contains("tls.config"));
}

#[test]
fn roots_that_are_none_are_refused_when_the_client_is_made() {
    let with = |roots| refused(TlsOptions { roots, ..Default::default() });
    let text = with(TlsRoots::file("/no/such/file.pem"));
    assert!(text.contains("tls.roots") && text.contains("/no/such/file.pem"), "{text}");
    let text = with(TlsRoots::bytes("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"));
    assert!(text.contains("PEM"), "{text}");
    let text = with(TlsRoots::bytes("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"));
    assert!(text.contains("no certificate in it"), "{text}");
    let text = with(TlsRoots::bytes([0x30, 0]));
    assert!(text.contains("2 bytes: no certificate of a CA"), "{text}");
    let text = with(TlsRoots::bytes(""));
    assert!(text.contains("no certificate"), "{text}");
}
