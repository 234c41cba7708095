//! TLS: its options, and how a connection gets through its handshake.

mod config;
mod error;
mod handshake;
mod material;
mod verify;

use std::sync::Arc;

pub(super) use self::config::TlsSetup;
pub use self::error::TlsError;
pub(super) use self::error::{Shown, explain};
pub(super) use self::handshake::handshake;
pub use self::material::{TlsIdentity, TlsRoots};
use crate::macros::opaque;

/// How the servers of `mqtts://` and `wss://` prove who they are, and how the client does.
///
/// By the defaults a server needs a certificate for the host of [`peer`](super::MqttClientOptions::peer) that the
/// platform trusts, and the client has none. Files are read when the client is made, and sessions are resumed over all
/// its connections.
///
/// ```
/// use flowsdk::mqtt_client::{MqttClientOptions, TlsIdentity, TlsOptions, TlsRoots};
///
/// let options = MqttClientOptions {
///     peer: "mqtts://broker.example".to_string(),
///     tls: TlsOptions {
///         roots: TlsRoots::file("ca.pem"),
///         identity: Some(TlsIdentity::files("client.pem", "client.key")),
///         ..Default::default()
///     },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
///
/// # Cryptography
///
/// It comes from the provider that the process has installed as its default by `rustls`, or else from the feature
/// `aws-lc-rs`, or else from `ring`, which is on by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Who may have signed the certificate of a server (default: whoever the platform trusts).
    pub roots: TlsRoots,
    /// What the client shows to a server that asks for a certificate (default: nothing).
    pub identity: Option<TlsIdentity>,
    /// The name or address that the certificate is to be for, and that the server is asked for, in place of the host of
    /// every server (default: none).
    pub server_name: Option<String>,
    /// Tell the server, in the clear, which name it is asked for (default: true): one that has several needs it (SNI).
    /// An address is never told.
    pub send_server_name: bool,
    /// Protocols to offer, the best one first (ALPN, default: none). A server that knows none of them may refuse the
    /// connection.
    pub alpn: Vec<String>,
    /// The lowest version (default: 1.2).
    pub min_version: TlsVersion,
    /// The highest version (default: 1.3).
    pub max_version: TlsVersion,
    /// Resume the session of an earlier connection, which saves most of a handshake (default: true).
    pub resumption: bool,
    /// Write the secrets of each connection to the file that the environment variable `SSLKEYLOGFILE` names, for a
    /// program that looks into recorded traffic (default: false). Whoever reads the file reads everything.
    pub log_keys: bool,
    /// The SHA-256 hashes of the keys that a server may have, if there are some (default: none): of the
    /// `SubjectPublicKeyInfo` in its certificate, which is verified all the same. `openssl x509 -in server.pem -pubkey
    /// -noout | openssl pkey -pubin -outform DER | sha256sum` prints one.
    pub pinned_keys: Vec<[u8; 32]>,
    /// In place of everything above but `server_name`: a whole configuration (default: none).
    pub config: Option<TlsConfig>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            roots: TlsRoots::platform(),
            identity: None,
            server_name: None,
            send_server_name: true,
            alpn: Vec::new(),
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            resumption: true,
            log_keys: false,
            pinned_keys: Vec::new(),
            config: None,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.2 (RFC 5246).
    V1_2,
    /// 1.3 (RFC 8446).
    V1_3,
}

impl std::fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

/// A configuration of `rustls`, used as it is. Clones of one are equal.
#[derive(Clone)]
pub struct TlsConfig(Arc<rustls::ClientConfig>);

impl From<Arc<rustls::ClientConfig>> for TlsConfig {
    fn from(config: Arc<rustls::ClientConfig>) -> Self {
        Self(config)
    }
}

opaque! { TlsConfig }
