//! TLS with `openssl s_server`, for what no good broker does.

use std::fs;

use flowsdk::mqtt_client::{
    ConnectionError, MqttClientOptions, MqttEvent, Timeouts, TlsError, TlsIdentity, TlsOptions, TlsRoots,
};
use libtest_mimic::Trial;

use crate::fixture::{Client, qos, quick};
use crate::pki::{Ca, Leaf};
use crate::support::mosquitto::Directory;
use crate::support::openssl::{SServer, trial};
use crate::support::wire;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("openssl::one_version_of_tls_is_enough", one_version),
        trial("openssl::odd_ways_through_a_handshake_lead_to_its_end", odd_handshakes),
        trial("openssl::no_cipher_suite_group_or_key_in_common_is_named", nothing_in_common),
        trial("openssl::a_server_of_tls_1_1_alone_is_named", too_old),
        trial("openssl::a_missing_and_a_wrong_client_certificate_are_named", client_certificates),
        trial("openssl::a_name_that_the_server_does_not_know_is_named", server_names),
        trial("openssl::a_protocol_is_agreed_on_or_named", protocols),
        trial("openssl::a_chain_with_a_gap_is_of_an_unknown_issuer", chains),
        trial("openssl::sessions_are_resumed_where_the_server_does", resumption),
        trial("openssl::new_keys_in_mid_stream_lose_nothing", key_updates),
        trial("openssl::a_renegotiation_is_refused_and_costs_no_more_than_the_connection", renegotiation),
    ]
}

const TLS_12: &str = "-tls1_2";
const TLS_13: &str = "-tls1_3";

/// What servers are made with.
struct Scene {
    ca: Ca,
    directory: Directory,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { ca: Ca::new("root of a test"), directory: Directory::create().expect("a directory") };
        scene.write("server", &scene.ca.leaf(&["localhost"]));
        fs::write(scene.path("ca.pem"), &scene.ca.pem).expect("a file");
        scene
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, leaf: &Leaf) {
        fs::write(self.path(&format!("{name}.pem")), format!("{}{}", leaf.pem, leaf.key_pem())).expect("a file");
    }

    /// A server with the certificate of that name, and the words of `arguments`, in which `{…}` stands for a file.
    #[track_caller]
    fn server_with(&self, certificate: &str, arguments: &str) -> SServer {
        let mut all = vec!["-cert".to_string(), self.path(&format!("{certificate}.pem"))];
        all.extend(arguments.split_whitespace().map(|word| match word.strip_prefix('{') {
            Some(name) => self.path(name.trim_end_matches('}')),
            None => word.to_string(),
        }));
        SServer::start(&all)
    }

    #[track_caller]
    fn server(&self, arguments: &str) -> SServer {
        self.server_with("server", arguments)
    }

    fn tls(&self) -> TlsOptions {
        TlsOptions { roots: TlsRoots::bytes(self.ca.pem.clone()), ..Default::default() }
    }

    /// A client that has been told to connect.
    #[track_caller]
    fn client(&self, server: &SServer, tls: TlsOptions) -> Client {
        let client = Client::new(
            MqttClientOptions {
                peer: format!("mqtts://localhost:{}", server.port()),
                client_id: "c".to_string(),
                keep_alive: 0,
                timeouts: Timeouts { drain: std::time::Duration::from_millis(500), ..Default::default() },
                tls,
                ..Default::default()
            },
            quick(),
        );
        client.connect().expect("an open client");
        client
    }

    /// A client comes through to the server and says something, and the server, too.
    #[track_caller]
    fn works(&self, server: &mut SServer, tls: TlsOptions) {
        let client = self.client(server, tls);
        accept(server, &client, 1);
        talk(server, &client, 1);
        client.shutdown().expect("an end in time");
    }

    /// A client is told the same by every attempt, and goes on with them.
    #[track_caller]
    fn refused(&self, server: &SServer, tls: TlsOptions) -> TlsError {
        let client = self.client(server, tls);
        let told = client.log.wait_for(|events| {
            let errors: Vec<_> = events.iter().filter_map(tls_error).collect();
            Some(errors).filter(|errors| errors.len() >= 2)
        });
        client.shutdown().expect("an end in time");
        assert_eq!(told[0], told[1]);
        told[0].clone()
    }
}

fn tls_error(event: &MqttEvent<'static>) -> Option<TlsError> {
    let MqttEvent::Error(told) = event else { return None };
    match told.get_ref()?.downcast_ref()? {
        ConnectionError::Tls { error, .. } => Some(error.clone()),
        _ => None,
    }
}

/// Takes the client's next CONNECT and answers it.
#[track_caller]
fn accept(server: &mut SServer, client: &Client, number: usize) {
    server.wait_for("\0\u{4}MQTT", number);
    server.send(&wire::connack_v5(&[], false, 0));
    assert!(client.log.connection(number).is_success());
}

/// A message each way.
#[track_caller]
fn talk(server: &mut SServer, client: &Client, number: usize) {
    let topic = format!("to the server, number {number}");
    client.published(&topic, b"", &qos(0));
    server.wait_for(&topic, 1);
    server.send(&wire::publish_v5(0, "to the client", None, &[], number.to_string().as_bytes()));
    assert_eq!(client.payloads(number).last(), Some(&number.to_string()));
}

fn one_version() {
    let scene = Scene::new();
    for version in [TLS_12, TLS_13] {
        scene.works(&mut scene.server(version), scene.tls());
    }
}

fn odd_handshakes() {
    let scene = Scene::new();
    for arguments in [
        // The client's first guess of a group is not taken: HelloRetryRequest.
        "-tls1_3 -groups P-384",
        "-tls1_2 -groups P-384",
        "-tls1_3 -num_tickets 40",
        "-tls1_3 -max_send_frag 512",
        "-tls1_2 -max_send_frag 512",
        "-tls1_2 -no_ticket",
        "-tls1_2 -no_etm -legacy_renegotiation",
        "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
        // It asks for a certificate, and does without.
        "-tls1_2 -verify 1",
        "-tls1_3 -verify 1",
    ] {
        scene.works(&mut scene.server(arguments), scene.tls());
    }
}

fn nothing_in_common() {
    let scene = Scene::new();
    for arguments in [
        "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256",
        "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
        "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256",
        "-tls1_3 -groups P-521",
        "-tls1_2 -nocert -cipher aNULL:@SECLEVEL=0",
        "-tls1_2 -sigalgs ECDSA+SHA1",
    ] {
        assert_eq!(scene.refused(&scene.server(arguments), scene.tls()), TlsError::NoCommonCipher, "{arguments}");
    }
}

fn too_old() {
    let scene = Scene::new();
    let server = scene.server("-tls1_1 -cipher ALL:@SECLEVEL=0");
    assert_eq!(scene.refused(&server, scene.tls()), TlsError::NoCommonVersion);
}

fn client_certificates() {
    let scene = Scene::new();
    let identity = |ca: &Ca| {
        let leaf = ca.leaf(&["device-7"]);
        Some(TlsIdentity::bytes(leaf.pem.clone(), leaf.key.serialize_der()))
    };
    for version in [TLS_12, TLS_13] {
        let mut server = scene.server(&format!("{version} -Verify 1 -verify_return_error -CAfile {{ca.pem}}"));
        assert_eq!(scene.refused(&server, scene.tls()), TlsError::NoClientCertificate, "{version}");
        let stranger = TlsOptions { identity: identity(&Ca::new("another one")), ..scene.tls() };
        let refused = scene.refused(&server, stranger);
        assert_eq!(refused, TlsError::ClientCertificateRefused("UnknownCA".to_string()), "{version}");
        scene.works(&mut server, TlsOptions { identity: identity(&scene.ca), ..scene.tls() });
    }
}

fn server_names() {
    let scene = Scene::new();
    for version in [TLS_12, TLS_13] {
        let other = format!("{version} -servername b.example -cert2 {{server.pem}}");
        let fatal = scene.server(&format!("{other} -servername_fatal"));
        assert_eq!(scene.refused(&fatal, scene.tls()), TlsError::UnknownServerName, "{version}");
        // A warning is no reason to go.
        scene.works(&mut scene.server(&other), scene.tls());
    }
}

fn protocols() {
    let scene = Scene::new();
    let offering = TlsOptions { alpn: vec!["x-amzn-mqtt-ca".to_string(), "mqtt".to_string()], ..scene.tls() };
    for version in [TLS_12, TLS_13] {
        let stranger = scene.server(&format!("{version} -alpn h2,http/1.1"));
        assert_eq!(scene.refused(&stranger, offering.clone()), TlsError::NoCommonProtocol, "{version}");
        let mut server = scene.server(&format!("{version} -alpn h2,mqtt"));
        scene.works(&mut server, offering.clone());
        server.wait_for("ALPN protocols selected: mqtt", 1);
        // One that knows of no protocols takes none, which is as good.
        scene.works(&mut scene.server(version), offering.clone());
    }
}

fn chains() {
    let scene = Scene::new();
    let intermediate = scene.ca.intermediate("between");
    scene.write("leaf", &intermediate.leaf(&["localhost"]));
    fs::write(scene.path("between.pem"), &intermediate.pem).expect("a file");
    let with_gap = scene.server_with("leaf", "");
    assert_eq!(scene.refused(&with_gap, scene.tls()), TlsError::UnknownIssuer);
    scene.works(&mut scene.server_with("leaf", "-cert_chain {between.pem}"), scene.tls());
}

fn resumption() {
    let scene = Scene::new();
    for (arguments, reused) in [
        ("-tls1_2", 1),
        ("-tls1_2 -no_ticket", 1),
        ("-tls1_3", 1),
        ("-tls1_2 -no_ticket -no_cache", 0),
        ("-tls1_3 -num_tickets 0", 0),
    ] {
        let mut server = scene.server(arguments);
        let client = scene.client(&server, scene.tls());
        accept(&mut server, &client, 1);
        talk(&mut server, &client, 1);
        server.send(b"q\n");
        accept(&mut server, &client, 2);
        talk(&mut server, &client, 2);
        assert_eq!(server.count("Reused session-id"), reused, "{arguments}: {}", server.said());
        client.shutdown().expect("an end in time");
    }
}

fn key_updates() {
    let scene = Scene::new();
    // It tells of the messages of the handshake protocol.
    let mut server = scene.server("-tls1_3 -msg");
    let client = scene.client(&server, scene.tls());
    accept(&mut server, &client, 1);
    for number in 1..=40 {
        // `K` wants new keys of the client, too.
        server.send(if number % 2 == 0 { b"K\n" } else { b"k\n" });
        server.wait_for(">>> TLS 1.3, Handshake [length 0005], KeyUpdate", number);
        talk(&mut server, &client, number);
    }
    server.wait_for("<<< TLS 1.3, Handshake [length 0005], KeyUpdate", 20);
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::Error(_))), 0, "{}", client.log.tail());
    client.shutdown().expect("an end in time");
}

fn renegotiation() {
    let scene = Scene::new();
    let mut server = scene.server(TLS_12);
    let client = scene.client(&server, scene.tls());
    accept(&mut server, &client, 1);
    for number in 1..=3 {
        talk(&mut server, &client, number);
        server.send(b"r\n");
        // OpenSSL gives up when the client does not want to.
        let told = client.log.wait_for(|events| events.iter().filter_map(tls_error).nth(number - 1));
        assert_eq!(told, TlsError::Other("the server has ended it by the alert HandshakeFailure".to_string()));
        accept(&mut server, &client, number + 1);
    }
    talk(&mut server, &client, 4);
    client.shutdown().expect("an end in time");
}
