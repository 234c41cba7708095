//! From options to what a handshake needs.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, KeyLogFile, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_platform_verifier::Verifier;

use super::error::Shown;
use super::material::Roots;
use super::verify::Pinned;
use super::{TlsConfig, TlsIdentity, TlsOptions, TlsVersion};
use crate::mqtt_client::error::ClientError;

/// Sessions that are kept to be resumed: some for each server.
const KEPT_SESSIONS: usize = 32;

/// What all TLS connections of a client have in common.
#[derive(Debug)]
pub(in crate::mqtt_client) struct TlsSetup {
    pub(super) config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    identity: Option<Arc<Identity>>,
}

/// The client's certificate, if it has one.
#[derive(Debug)]
struct Identity {
    key: Option<Arc<CertifiedKey>>,
    /// The server has asked for it.
    was_asked: AtomicBool,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

impl TlsSetup {
    pub(in crate::mqtt_client) fn new(options: &TlsOptions) -> Result<Self, ClientError> {
        let name = match &options.server_name {
            Some(name) => Some(server_name(name).ok_or_else(|| no_name("tls.server_name", name))?),
            None => None,
        };
        if let Some(TlsConfig(config)) = &options.config {
            let (alone, server_name) = (Some(TlsConfig(Arc::clone(config))), options.server_name.clone());
            if (TlsOptions { config: alone, server_name, ..Default::default() }) != *options {
                return Err(ClientError::option("tls.config", "no other option of TLS but server_name goes with it"));
            }
            return Ok(Self { config: Arc::clone(config), name, identity: None });
        }
        let provider = provider()?;
        let identity = Arc::new(identity(options.identity.as_ref(), &provider)?);
        let verifier = verifier(options, &provider)?;
        let versions = versions(options.min_version, options.max_version)?;
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let builder = builder.map_err(|error| ClientError::option("tls", error.to_string()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_client_cert_resolver(Arc::clone(&identity) as Arc<dyn ResolvesClientCert>);
        config.enable_sni = options.send_server_name;
        for protocol in &options.alpn {
            if protocol.is_empty() || protocol.len() > 255 {
                return Err(ClientError::option("tls.alpn", "the name of a protocol has 1 to 255 bytes"));
            }
        }
        config.alpn_protocols = options.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect();
        config.resumption =
            if options.resumption { Resumption::in_memory_sessions(KEPT_SESSIONS) } else { Resumption::disabled() };
        if options.log_keys {
            config.key_log = Arc::new(KeyLogFile::new());
        }
        Ok(Self { config: Arc::new(config), name, identity: Some(identity) })
    }

    /// The name that a server at this host has to prove to be.
    pub(in crate::mqtt_client) fn name(&self, host: &str) -> Result<ServerName<'static>, ClientError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => server_name(host).ok_or_else(|| no_name("peer", host)),
        }
    }

    pub(super) fn begin(&self) {
        if let Some(identity) = &self.identity {
            identity.was_asked.store(false, Ordering::Relaxed);
        }
    }

    /// What the server of the last handshake was shown.
    pub(super) fn shown(&self) -> Shown {
        self.identity.as_ref().map_or_else(Shown::default, |identity| Shown {
            was_asked: identity.was_asked.load(Ordering::Relaxed),
            has_identity: identity.key.is_some(),
            is_first_word: false,
        })
    }
}

fn no_name(option: &'static str, name: &str) -> ClientError {
    let reason = "no certificate can be for that; a name that is not ASCII is written in its ASCII form (xn--…)";
    ClientError::option(option, format!("{name:?}: {reason}"))
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    // The zone of a link-local address means something on this machine alone.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        return Some(ServerName::from(IpAddr::V6(address)));
    }
    ServerName::try_from(host.to_string()).ok()
}

fn provider() -> Result<Arc<CryptoProvider>, ClientError> {
    if let Some(provider) = CryptoProvider::get_default() {
        return Ok(Arc::clone(provider));
    }
    // Who turns on what is off by default wants it, and the default one may be on all the same.
    #[cfg(feature = "aws-lc-rs")]
    {
        Ok(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    }
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    {
        Ok(Arc::new(rustls::crypto::ring::default_provider()))
    }
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    {
        let reason = "no cryptography: neither is this program built with the feature `ring` or `aws-lc-rs`, nor has it \
                      installed a rustls::crypto::CryptoProvider";
        Err(ClientError::option("tls", reason))
    }
}

type Versions = &'static [&'static SupportedProtocolVersion];

static BOTH: Versions = &[&TLS13, &TLS12];
static ONLY_12: Versions = &[&TLS12];
static ONLY_13: Versions = &[&TLS13];

fn versions(min: TlsVersion, max: TlsVersion) -> Result<Versions, ClientError> {
    match (min, max) {
        (TlsVersion::V1_2, TlsVersion::V1_3) => Ok(BOTH),
        (TlsVersion::V1_2, TlsVersion::V1_2) => Ok(ONLY_12),
        (TlsVersion::V1_3, TlsVersion::V1_3) => Ok(ONLY_13),
        (TlsVersion::V1_3, TlsVersion::V1_2) => {
            Err(ClientError::option("tls.min_version", "it is above tls.max_version"))
        }
    }
}

fn identity(identity: Option<&TlsIdentity>, provider: &CryptoProvider) -> Result<Identity, ClientError> {
    let mut key = None;
    if let Some(identity) = identity {
        let certified = CertifiedKey::from_der(identity.certificates()?, identity.key()?, provider);
        key = Some(Arc::new(certified.map_err(|error| ClientError::option("tls.identity", error.to_string()))?));
    }
    Ok(Identity { key, was_asked: AtomicBool::new(false) })
}

fn verifier(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, ClientError> {
    let invalid = |error: &dyn std::fmt::Display| ClientError::option("tls.roots", error.to_string());
    let verifier: Arc<dyn ServerCertVerifier> = match options.roots.roots() {
        Roots::Platform => platform(provider).map_err(|error| invalid(&error))?,
        Roots::Own(sources) => {
            let mut roots = RootCertStore::empty();
            for source in sources {
                for certificate in source.certificates("tls.roots")? {
                    let added = roots.add(certificate);
                    added.map_err(|error| source.invalid("tls.roots", &format!("no certificate of a CA: {error}")))?;
                }
            }
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            builder.build().map_err(|error| invalid(&error))?
        }
        #[cfg(feature = "danger-no-verification")]
        Roots::Anyone => {
            crate::macros::event!(warn, "TLS certificates are not verified: anyone may be the server");
            Arc::new(super::verify::Anyone(Arc::clone(provider)))
        }
    };
    if options.pinned_keys.is_empty() {
        return Ok(verifier);
    }
    let pinned = Pinned::new(verifier, options.pinned_keys.clone(), provider);
    let none = || ClientError::option("tls.pinned_keys", "the cryptography in use has no SHA-256");
    Ok(Arc::new(pinned.ok_or_else(none)?))
}

/// The platform's verifier. Its roots are read once a process: there may be hundreds of clients.
fn platform(provider: &Arc<CryptoProvider>) -> Result<Arc<Verifier>, rustls::Error> {
    static VERIFIER: OnceLock<Arc<Verifier>> = OnceLock::new();
    if let Some(verifier) = VERIFIER.get() {
        return Ok(Arc::clone(verifier));
    }
    let verifier = Arc::new(Verifier::new(Arc::clone(provider))?);
    Ok(Arc::clone(VERIFIER.get_or_init(|| verifier)))
}
