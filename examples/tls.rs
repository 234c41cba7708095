//! TLS with a CA of one's own, in both directions: the client knows the broker by its certificate, the broker the
//! client.
//!
//! `cargo run --example tls` brings everything it needs: a CA, its certificates, and a broker in the same process. With
//! a broker of your own: `cargo run --example tls -- mqtts://localhost:8883 ca.pem client.pem client.key`

#[path = "../tests/support/embedded_broker.rs"]
mod embedded_broker;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ConnectionError, ConnectionResult, MqttClientOptions, MqttEventHandler,
    PublishOptions, TlsError, TlsIdentity, TlsOptions, TlsRoots,
};

struct Handler;

impl MqttEventHandler for Handler {
    // TLS has verified the certificate before. What is done here is done before anything is sent.
    fn on_peer_cert_received(&mut self, certificate: &[u8]) {
        println!("the broker has a certificate of {} bytes", certificate.len());
    }

    // Say false, and nothing is sent: for rules of your own.
    fn accept_peer_cert(&mut self, certificate: &[u8]) -> bool {
        certificate.len() < 16 * 1024
    }

    fn on_connected(&mut self, result: &ConnectionResult) {
        println!("connected: {}", result.reason_description());
    }

    fn on_error(&mut self, error: &io::Error) {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectionError>());
        match inner {
            Some(ConnectionError::Tls { error: TlsError::UnknownIssuer, .. }) => eprintln!("is this the right CA?"),
            Some(ConnectionError::Tls { error: TlsError::NoClientCertificate, .. }) => eprintln!("who are you?"),
            _ => {}
        }
        eprintln!("{error}");
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let (peer, ca, certificate, key, _own) = match &args[..] {
        [peer, ca, certificate, key] => (peer.clone(), ca.into(), certificate.into(), key.into(), None),
        [] => {
            let own = OwnBroker::start()?;
            let path = |name| own.directory.join(name);
            (own.url.clone(), path("ca.pem"), path("client.pem"), path("client.key"), Some(own))
        }
        _ => return Err("usage: tls [PEER CA CERTIFICATE KEY]".into()),
    };

    let options = MqttClientOptions {
        peer,
        client_id: "tls-example".to_string(),
        tls: TlsOptions {
            roots: TlsRoots::file(ca),
            identity: Some(TlsIdentity::files(certificate, key)),
            ..Default::default()
        },
        ..Default::default()
    };
    let client = AsyncMqttClient::new(options, Box::new(Handler), AsyncClientConfig::default())?;
    client.connect()?;
    let options = PublishOptions { qos: 1, ..Default::default() };
    let published = client.publish_tracked("greetings", b"hello over TLS", &options)?.wait(Duration::from_secs(10))?;
    println!("published: {}", published.reason_description());
    client.shutdown()?;
    if published.is_success() { Ok(()) } else { Err("the message was not accepted".into()) }
}

/// A broker that takes clients with a certificate alone, and the files it was made with.
struct OwnBroker {
    url: String,
    directory: PathBuf,
    _broker: embedded_broker::EmbeddedBroker,
}

impl OwnBroker {
    fn start() -> Result<Self, Box<dyn Error>> {
        let directory = std::env::temp_dir().join(format!("flowsdk-tls-example-{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        write_certificates(&directory)?;
        // This broker leaves the choice to rustls, which makes none where the feature `aws-lc-rs` is on, too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let tls = mqtt5::broker::config::TlsConfig::new(directory.join("server.pem"), directory.join("server.key"))
            .with_ca_file(directory.join("ca.pem"))
            .with_require_client_cert(true)
            .with_bind_addresses(vec![([127, 0, 0, 1], port).into()]);
        let broker = embedded_broker::EmbeddedBroker::start_with(|config| config.with_tls(tls))?;
        Ok(Self { url: format!("mqtts://localhost:{port}"), directory, _broker: broker })
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        // What is left of a temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn write_certificates(directory: &Path) -> Result<(), Box<dyn Error>> {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    let mut ca = CertificateParams::new([])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate()?;
    std::fs::write(directory.join("ca.pem"), ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);
    for name in ["server", "client"] {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["localhost".to_string()])?.signed_by(&key, &issuer)?;
        std::fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
        std::fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
