//! Who the client is: mutual TLS.

use std::fs;

use flowsdk::mqtt_client::{Secret, TlsError, TlsIdentity, TlsOptions};
use rcgen::{KeyPair, PKCS_RSA_SHA256};

use crate::pki::{Ca, Leaf};
use crate::scene::{NAMES, connected, connecting, options, refused, shut_down, tls_error, trusting};
use crate::server::{self, ONLY_12, ONLY_13, Server, bad, good, mutual};
use crate::support::mosquitto::Directory;

/// RSA, as `ring` cannot make one.
const RSA: &str = include_str!("rsa.pem");

#[test]
fn a_server_that_wants_a_certificate_says_so_to_a_client_without_one() {
    let ca = Ca::new("root");
    for versions in [ONLY_12, ONLY_13] {
        let server = Server::start(vec![bad(mutual(&ca.leaf(NAMES), &ca, versions))]);
        let (client, told) = connecting(options(&server, trusting(&ca)));
        let (_, text, error) = tls_error(&told);
        assert_eq!(error, TlsError::NoClientCertificate, "{text}");
        assert!(text.starts_with("cannot connect to mqtts://localhost:") && text.contains("tls.identity"), "{text}");
        shut_down(&client);
    }
}

#[test]
fn a_server_that_does_not_take_the_certificate_says_so() {
    let (ca, other) = (Ca::new("root"), Ca::new("other"));
    let client_leaf = other.leaf(&["device-7"]);
    for versions in [ONLY_12, ONLY_13] {
        let server = Server::start(vec![bad(mutual(&ca.leaf(NAMES), &ca, versions))]);
        let identity = Some(TlsIdentity::bytes(client_leaf.der.to_vec(), client_leaf.key.serialize_der()));
        let (client, told) = connecting(options(&server, TlsOptions { identity, ..trusting(&ca) }));
        let (_, text, error) = tls_error(&told);
        assert!(matches!(error, TlsError::ClientCertificateRefused(_)), "{text}");
        shut_down(&client);
    }
}

/// What stands in the OCTET STRING of a PKCS#8 key: SEC1 of an elliptic curve, PKCS#1 of RSA.
fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    /// The content of what begins there, and what comes behind it.
    fn element(bytes: &[u8]) -> (&[u8], &[u8]) {
        let (len, start) = match bytes[1] {
            len @ 0..0x80 => (usize::from(len), 2),
            long => {
                let count = usize::from(long & 0x7F);
                (bytes[2..2 + count].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), 2 + count)
            }
        };
        (&bytes[start..start + len], &bytes[start + len..])
    }
    let (sequence, _) = element(pkcs8);
    let (_version, rest) = element(sequence);
    let (_algorithm, rest) = element(rest);
    element(rest).0.to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", base64(der))
}

/// In lines of 64 characters.
fn base64(der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for line in der.chunks(48) {
        for chunk in line.chunks(3) {
            let bits = (0..3).fold(0_usize, |bits, place| bits << 8 | usize::from(*chunk.get(place).unwrap_or(&0)));
            for place in 0..4 {
                let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
                text.push(if place <= chunk.len() { digit } else { '=' });
            }
        }
        text.push('\n');
    }
    text
}

/// Connects with this identity to a server that wants one.
#[track_caller]
fn is_taken(ca: &Ca, identity: TlsIdentity) {
    let log = server::Log::default();
    let server = Server::start(vec![good(mutual(&ca.leaf(NAMES), ca, server::ALL), &log)]);
    let (client, told) = connecting(options(&server, TlsOptions { identity: Some(identity), ..trusting(ca) }));
    connected(&told);
    shut_down(&client);
    drop(server);
    assert!(log.lock().unwrap()[0].has_certificate);
}

#[test]
fn keys_come_as_pkcs8_sec1_and_pkcs1_in_der_and_pem() {
    let ca = Ca::new("root");
    let rsa = KeyPair::from_pkcs8_pem_and_sign_algo(RSA, &PKCS_RSA_SHA256).unwrap();
    let leaves = [(ca.leaf(&["c"]), "EC PRIVATE KEY"), (ca.leaf_of(&["c"], rsa, |_| {}), "RSA PRIVATE KEY")];
    for (Leaf { der, pem: certificate, key }, label) in leaves {
        let pkcs8 = key.serialize_der();
        let inner = inner_key(&pkcs8);
        for key in [pkcs8.clone(), inner.clone(), pem("PRIVATE KEY", &pkcs8).into(), pem(label, &inner).into()] {
            is_taken(&ca, TlsIdentity::bytes(der.to_vec(), key.clone()));
            is_taken(&ca, TlsIdentity::bytes(certificate.clone(), key));
        }
    }
}

#[test]
fn certificates_and_keys_come_from_files_be_they_one() {
    let ca = Ca::new("root");
    let leaf = ca.leaf(&["c"]);
    let directory = Directory::create().unwrap();
    let paths = ["c.pem", "c.key", "both.pem"].map(|name| directory.path().join(name));
    fs::write(&paths[0], &leaf.pem).unwrap();
    fs::write(&paths[1], leaf.key.serialize_der()).unwrap();
    fs::write(&paths[2], format!("{}{}", leaf.key_pem(), leaf.pem)).unwrap();
    is_taken(&ca, TlsIdentity::files(&paths[0], &paths[1]));
    is_taken(&ca, TlsIdentity::files(&paths[2], &paths[2]));
}

#[test]
fn an_identity_that_cannot_work_is_refused_when_the_client_is_made_and_no_key_is_shown() {
    let ca = Ca::new("root");
    let (leaf, other) = (ca.leaf(&["c"]), ca.leaf(&["c"]));
    let with = |certificates: &str, key: Secret| {
        let identity = TlsIdentity::bytes(certificates, key);
        assert!(!format!("{identity:?}").contains("PRIVATE"), "{identity:?}");
        refused(TlsOptions { identity: Some(identity), ..trusting(&ca) })
    };
    let key = leaf.key_pem();
    for (certificates, key, reason) in [
        (&*leaf.pem, other.key_pem(), "KeyMismatch"),
        (&*leaf.pem, leaf.pem.clone(), "no private key in it"),
        (&*leaf.pem, "x".to_string(), "no private key of"),
        (&*leaf.pem, key.replace("PRIVATE", "ENCRYPTED PRIVATE"), "is encrypted"),
        (&*key, key.clone(), "no certificate in it"),
    ] {
        let text = with(certificates, Secret::from(key));
        assert!(text.contains("tls.identity") && text.contains(reason), "{text}");
    }
    let identity = Some(TlsIdentity::files("/no/such/c.pem", "/no/such/c.key"));
    assert!(refused(TlsOptions { identity, ..trusting(&ca) }).contains("/no/such/c.pem"));
}
