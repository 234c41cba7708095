//! Servers that do not what they should, each followed by a good one at the same port.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flowsdk::mqtt_client::{MqttEvent, TlsError, TlsOptions, TlsVersion};

use crate::pki::{Ca, Leaf};
use crate::scene::{NAMES, connected, connecting, options, shut_down, tls_error, trusting};
use crate::server::{
    self, ALL, ONLY_12, ONLY_13, Script, Server, accept, bad, config, cut_after, good, says, script, silent, tls,
};
use crate::support::{PATIENCE, wait_until};

/// A server that is bad, and then good: what the client says of the first, before it reaches the second. It says the
/// same on its way to a WebSocket.
#[track_caller]
fn error_before_success(first: impl Fn(&Ca, &Leaf) -> Script) -> (ErrorKind, String, TlsError) {
    #[cfg(feature = "websocket")]
    let over_websocket = crate::websocket::error_before_success(&first);
    let told = error_of_mqtts(first);
    #[cfg(feature = "websocket")]
    {
        assert_eq!(std::mem::discriminant(&over_websocket.2), std::mem::discriminant(&told.2), "{}", over_websocket.1);
        assert_eq!(over_websocket.0, told.0, "{}", over_websocket.1);
    }
    told
}

#[track_caller]
fn error_of_mqtts(first: impl Fn(&Ca, &Leaf) -> Script) -> (ErrorKind, String, TlsError) {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let log = server::Log::default();
    let server = Server::start(vec![first(&ca, &leaf), good(config(&leaf, ALL), &log)]);
    let (client, told) = connecting(options(&server, trusting(&ca)));
    let error = tls_error(&told);
    connected(&told);
    shut_down(&client);
    drop(server);
    assert!(log.lock().unwrap()[0].is_closed, "a client that says that it goes");
    assert!(error.1.starts_with("cannot connect to mqtts://localhost:"), "{}", error.1);
    error
}

#[test]
fn an_expired_certificate_is_named_with_its_age() {
    for versions in [ONLY_12, ONLY_13] {
        let (kind, text, error) = error_before_success(|ca, _| bad(config(&ca.expired(NAMES), versions)));
        assert_eq!(kind, ErrorKind::InvalidData);
        assert!(matches!(error, TlsError::Expired { since: Some(since) } if since.as_secs() > 20 * 365 * 86_400));
        assert!(text.contains("has expired ") && text.ends_with(" days ago"), "{text}");
    }
}

#[test]
fn a_certificate_of_the_future_is_named() {
    let (_, text, error) = error_before_success(|ca, _| bad(config(&ca.future(NAMES), ALL)));
    assert_eq!(error, TlsError::NotValidYet);
    assert!(text.contains("not valid yet"), "{text}");
}

#[test]
fn a_certificate_that_nobody_trusted_has_signed_is_of_an_unknown_issuer() {
    for leaf in [Leaf::self_signed(NAMES), Ca::new("another").leaf(NAMES)] {
        let (_, text, error) = error_before_success(|_, _| bad(config(&leaf, ALL)));
        assert_eq!(error, TlsError::UnknownIssuer, "{text}");
        assert!(text.contains("unknown issuer"), "{text}");
    }
    let namesake = Ca::new("root").leaf(NAMES);
    let (_, text, error) = error_before_success(|_, _| bad(config(&namesake, ALL)));
    assert!(matches!(error, TlsError::BadCertificate(_)) && text.contains("not signed by the key"), "{text}");
}

#[test]
fn a_certificate_for_others_is_named_with_them() {
    let (_, text, error) = error_before_success(|ca, _| bad(config(&ca.leaf(&["a.example", "10.0.0.1"]), ALL)));
    let TlsError::WrongHost { expected, presented } = error else { panic!("{error:?}") };
    assert_eq!(expected, "localhost");
    assert_eq!(presented.len(), 2);
    assert!(text.contains("\"localhost\"") && text.contains("a.example") && text.contains("10.0.0.1"), "{text}");
}

#[test]
fn a_handshake_that_is_cut_anywhere_fails_alone() {
    for versions in [ONLY_12, ONLY_13] {
        for bytes in [0, 1, 4, 5, 6, 100, 130, 600] {
            let (kind, text, error) = error_before_success(|_, leaf| cut_after(config(leaf, versions), bytes));
            assert_eq!((kind, error), (ErrorKind::UnexpectedEof, TlsError::Closed), "after {bytes}: {text}");
        }
    }
}

#[test]
fn plain_text_is_named_by_what_it_is() {
    for (answer, what) in [
        (&[0x20, 2, 0, 5][..], "an MQTT packet in the clear"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP in the clear"),
        (b"SSH-2.0-x\r\n", "something else in the clear"),
    ] {
        let (_, text, error) = error_before_success(|_, _| says(answer));
        assert_eq!(error, TlsError::NotTls(what), "{text}");
    }
}

#[test]
fn a_server_that_is_too_old_is_named() {
    // The alert by which a server of TLS 1.1 refuses the client, and the ServerHello by which it goes on all the same.
    let alert = [0x15, 3, 2, 0, 2, 2, 70].to_vec();
    let hello = [&[0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2][..], &[7; 32], &[0, 0xC0, 0x13, 0]].concat();
    for answer in [alert, hello] {
        let (_, text, error) = error_before_success(|_, _| says(answer.clone()));
        assert_eq!(error, TlsError::NoCommonVersion, "{text}");
        assert!(text.contains("no version of TLS"), "{text}");
    }
}

#[test]
fn a_server_with_no_version_in_common_is_named() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    for (versions, allowed) in [(ONLY_12, TlsVersion::V1_3), (ONLY_13, TlsVersion::V1_2)] {
        let log = server::Log::default();
        let server = Server::start(vec![bad(config(&leaf, versions)), good(config(&leaf, ALL), &log)]);
        let tls = TlsOptions { min_version: allowed, max_version: allowed, ..trusting(&ca) };
        let (client, told) = connecting(options(&server, tls));
        assert_eq!(tls_error(&told).2, TlsError::NoCommonVersion);
        connected(&told);
        shut_down(&client);
    }
}

#[test]
fn rubbish_within_tls_is_an_error_of_its_attempt() {
    // A ServerHello of nothing, an alert that nobody knows, and a record that is too long.
    for answer in [&[0x16, 3, 3, 0, 4, 2, 0, 0, 0][..], &[0x15, 3, 3, 0, 2, 2, 111], &[0x17, 3, 3, 0xFF, 0xFF]] {
        let (_, text, error) = error_before_success(|_, _| says(answer));
        assert!(matches!(error, TlsError::Other(_)), "{text}");
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_its_phase_is_named() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let (gone, log) = (Arc::new(AtomicBool::new(false)), server::Log::default());
    let server = Server::start(vec![silent(&gone), good(config(&leaf, ALL), &log)]);
    let mut options = options(&server, trusting(&ca));
    options.timeouts.connect = Duration::from_millis(1500);
    let (client, told) = connecting(options);
    assert_eq!(told.error("the TLS handshake timed out after "), ErrorKind::TimedOut);
    wait_until(PATIENCE, || gone.load(Ordering::SeqCst));
    connected(&told);
    shut_down(&client);
}

#[test]
fn a_server_that_goes_on_a_byte_at_a_time_goes_on_no_longer_than_the_connect_timeout() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let trickle = script(|mut stream| {
        // A handshake message of 64 KiB, which never comes to its end in time.
        let head = [0x16, 3, 3, 0x3F, 0xFF, 2, 0, 0xFF, 0xFF];
        for byte in head.into_iter().chain(std::iter::repeat(7)) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let log = server::Log::default();
    let server = Server::start(vec![trickle, good(config(&leaf, ALL), &log)]);
    let mut options = options(&server, trusting(&ca));
    options.timeouts.connect = Duration::from_millis(1500);
    let (client, told) = connecting(options);
    assert_eq!(told.error("the TLS handshake timed out after "), ErrorKind::TimedOut);
    connected(&told);
    shut_down(&client);
}

#[test]
fn a_shutdown_in_mid_handshake_ends_in_time_and_lets_the_server_go() {
    let ca = Ca::new("root");
    let (gone, began) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (until_end, seen) = (silent(&gone), Arc::clone(&began));
    let server = Server::start(vec![script(move |stream| {
        seen.store(true, Ordering::SeqCst);
        until_end(stream);
    })]);
    let mut options = options(&server, trusting(&ca));
    // Neither the attempt ends by itself, nor the server.
    options.timeouts.connect = Duration::from_secs(3600);
    let (client, _told) = connecting(options);
    wait_until(PATIENCE, || began.load(Ordering::SeqCst));
    assert_eq!(client.shutdown(), Ok(()));
    wait_until(PATIENCE, || gone.load(Ordering::SeqCst));
}

#[test]
fn a_packet_that_claims_to_be_enormous_ends_its_connection_alone() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let (first, log) = (config(&leaf, ALL), server::Log::default());
    let claiming = script(move |stream| {
        let mut stream = tls(first, stream);
        accept(&mut stream);
        stream.write_all(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).expect("a client that reads");
        stream.flush().expect("a client that reads");
        assert_eq!(server::read_packet(&mut stream).expect("DISCONNECT")[..3], [0xE0, 1, 0x95]);
    });
    let server = Server::start(vec![claiming, good(config(&leaf, ALL), &log)]);
    let (client, told) = connecting(options(&server, trusting(&ca)));
    assert!(told.connection(2).is_success());
    shut_down(&client);
}

#[test]
fn the_platform_does_not_trust_a_ca_of_a_test() {
    let leaf = Ca::new("root").leaf(NAMES);
    let server = Server::start(vec![bad(config(&leaf, ALL))]);
    let (client, told) = connecting(options(&server, TlsOptions::default()));
    assert_eq!(tls_error(&told).2, TlsError::UnknownIssuer);
    shut_down(&client);
}

#[test]
fn a_server_that_is_not_believed_is_followed_by_the_next_one_in_the_same_attempt() {
    let (ca, other) = (Ca::new("root"), Ca::new("other"));
    let log = server::Log::default();
    let bad = Server::start(vec![bad(config(&other.leaf(NAMES), ALL))]);
    let good = Server::start(vec![good(config(&ca.leaf(NAMES), ALL), &log)]);
    let mut options = options(&bad, trusting(&ca));
    options.connecting.servers = vec![good.url()];
    let (client, told) = connecting(options);
    connected(&told);
    assert_eq!(told.count(|event| matches!(event, MqttEvent::Error(_))), 0, "{}", told.tail());
    shut_down(&client);
}
