//! TLS with mosquitto, which speaks it by OpenSSL.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    ConnectionError, MqttClientOptions, MqttEvent, Outcome, TlsError, TlsIdentity, TlsOptions, TlsRoots, TlsVersion,
    Tracked,
};
use flowsdk::types::ProtocolVersion;
use libtest_mimic::Trial;

use crate::fixture::{Client, options, qos, quick};
use crate::pki::Ca;
use crate::support::mosquitto::{Directory, Mosquitto, trial};
use crate::support::{PATIENCE, wait_until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tls::both_versions_of_tls_carry_both_versions_of_mqtt", "", |_| both_versions()),
        trial("tls::a_client_certificate_is_who_the_client_is", "", |_| mutual()),
        trial("tls::large_messages_pass_in_both_directions", "", |_| large()),
        trial("tls::thousands_of_messages_arrive_once_each_over_tls_tcp_and_a_websocket", WEBSOCKETS, |plain| {
            load(&plain);
        }),
    ]
}

/// A mosquitto with TLS, and what its clients need.
struct Secured {
    broker: Mosquitto,
    ca: Ca,
    _files: Directory,
}

impl Secured {
    fn start(more: &str) -> Self {
        let ca = Ca::new("root of a test");
        let leaf = ca.leaf(&["localhost", "127.0.0.1"]);
        let files = Directory::create().expect("a directory");
        let path = |name: &str, text: &str| {
            let path = files.path().join(name);
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let cafile = path("ca.pem", &ca.pem);
        let (certfile, keyfile) = (path("server.pem", &leaf.pem), path("server.key", &leaf.key_pem()));
        let config = format!("cafile {cafile}\ncertfile {certfile}\nkeyfile {keyfile}\n{more}");
        Self { broker: Mosquitto::start(&config).expect("a mosquitto with TLS"), ca, _files: files }
    }

    fn options(&self, client_id: &str, version: ProtocolVersion) -> MqttClientOptions {
        let roots = TlsRoots::bytes(self.ca.pem.clone());
        MqttClientOptions {
            peer: format!("mqtts://localhost:{}", self.broker.address().port()),
            tls: TlsOptions { roots, ..Default::default() },
            ..options(self.broker.address(), client_id, version)
        }
    }
}

fn both_versions() {
    let secured = Secured::start("");
    for mqtt in [ProtocolVersion::V5, ProtocolVersion::V3_1_1] {
        for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let mut options = secured.options("c", mqtt);
            (options.tls.min_version, options.tls.max_version) = (tls, tls);
            let client = Client::connected(options);
            client.subscribed("t", 2);
            client.published("t", b"payload", &qos(2));
            assert_eq!(client.payloads(1), ["payload"], "{mqtt:?} {tls:?}");
            client.shutdown().expect("an end in time");
        }
    }
}

fn mutual() {
    let secured = Secured::start("require_certificate true\nuse_identity_as_username true");
    let leaf = secured.ca.leaf_with(&[], |params| {
        params.distinguished_name.push(rcgen::DnType::CommonName, "device-7");
    });
    for tls in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut options = secured.options("c", ProtocolVersion::V5);
        (options.tls.min_version, options.tls.max_version) = (tls, tls);
        let stranger = Client::new(options.clone(), quick());
        stranger.connect().expect("an open client");
        let told = stranger.log.wait_for_event(|event| match event {
            MqttEvent::Error(error) => match error.get_ref()?.downcast_ref()? {
                ConnectionError::Tls { error, .. } => Some(error.clone()),
                _ => None,
            },
            _ => None,
        });
        assert_eq!(told, TlsError::NoClientCertificate, "{tls:?}");
        stranger.shutdown().expect("an end in time");
        options.tls.identity = Some(TlsIdentity::bytes(leaf.pem.clone(), leaf.key.serialize_der()));
        let known = Client::connected(options);
        known.published("t", b"", &qos(1));
        known.shutdown().expect("an end in time");
    }
    assert!(secured.broker.log().contains("u'device-7'"), "{}", secured.broker.log());
}

fn large() {
    let secured = Secured::start("");
    let client = Client::connected(secured.options("c", ProtocolVersion::V5));
    client.subscribed("t", 1);
    let payload: Vec<_> = (0..10_000_000_u32).map(|place| place.to_le_bytes()[(place % 3) as usize]).collect();
    for _ in 0..3 {
        client.published("t", &payload, &qos(1));
    }
    for message in client.log.messages(3) {
        assert!(*message.payload == *payload);
    }
    client.shutdown().expect("an end in time");
}

const WEBSOCKETS: &str = "listener {second_port} 127.0.0.1\nprotocol websockets";

/// How many messages the load is.
fn load_size() -> usize {
    if std::env::var_os("FLOWSDK_TLS").is_some_and(|value| value == "long") { 200_000 } else { 20_000 }
}

fn load(plain: &Mosquitto) {
    let count = load_size();
    let tcp = messages_a_second(options(plain.address(), "c", ProtocolVersion::V5), count);
    let secured = Secured::start("");
    let tls = messages_a_second(secured.options("c", ProtocolVersion::V5), count);
    let part = 100.0 * tls / tcp;
    println!(
        "{count} messages of QoS 1 through mosquitto and back: {tls:.0}/s over TLS, {tcp:.0}/s over TCP ({part:.0} %)"
    );
    #[cfg(feature = "websocket")]
    {
        let peer = format!("ws://{}/mqtt", plain.second_address());
        let options = MqttClientOptions { peer, ..options(plain.address(), "w", ProtocolVersion::V5) };
        let websocket = messages_a_second(options, count);
        let part = 100.0 * websocket / tcp;
        println!("the same over a WebSocket: {websocket:.0}/s ({part:.0} %)");
    }
}

/// Publishes messages of QoS 1 to itself, and has each acknowledged and received once.
fn messages_a_second(options: MqttClientOptions, count: usize) -> f64 {
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    let client = Client::acting(options, quick(), move |_, event| match event {
        MqttEvent::MessageReceived(publish) => {
            let number = usize::from_le_bytes(publish.payload[..8].try_into().expect("a number in front"));
            // In their order, and so each of them once.
            assert_eq!(number, counter.fetch_add(1, Ordering::SeqCst));
            false
        }
        MqttEvent::Published(_) => false,
        _ => true,
    });
    client.connect_and_wait();
    client.subscribed("t", 1);
    let start = Instant::now();
    let mut tracked: Vec<Tracked<_>> = Vec::with_capacity(count);
    for number in 0..count {
        let payload = [&number.to_le_bytes()[..], &[7; 56]].concat();
        let publishing = client.publish_tracked("t", &payload, &qos(1)).expect("room in the queue");
        tracked.push(publishing);
        if number % 1000 == 999 {
            // The broker keeps what it cannot send at once, but not without an end.
            let floor = number.saturating_sub(20_000);
            wait_until(PATIENCE, || received.load(Ordering::SeqCst) >= floor);
        }
    }
    let limit = Duration::from_secs(120);
    for publishing in tracked {
        assert_eq!(publishing.wait(limit).expect("an outcome").outcome, Outcome::Acknowledged);
    }
    wait_until(limit, || received.load(Ordering::SeqCst) == count);
    let took = start.elapsed().as_secs_f64();
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::Error(_))), 0, "{}", client.log.tail());
    client.shutdown().expect("an end in time");
    #[expect(clippy::cast_precision_loss, reason = "of no consequence for a rate")]
    let rate = count as f64 / took;
    rate
}
