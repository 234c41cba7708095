use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use thiserror::Error as ThisError;

/// Why there is no TLS with a server. It is inside [`ConnectionError::Tls`](super::super::ConnectionError::Tls).
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate is too old.
    #[error("the certificate of the server has expired{}", ago(since))]
    Expired {
        /// How long ago.
        since: Option<Duration>,
    },
    /// The server's certificate is too new, or the clock of this machine is wrong.
    #[error("the certificate of the server is not valid yet")]
    NotValidYet,
    /// Nobody among [`TlsOptions::roots`](super::TlsOptions::roots) has signed the server's certificate, nor any
    /// between.
    #[error("the certificate of the server is of an unknown issuer: nobody that is trusted has signed it")]
    UnknownIssuer,
    /// The server's certificate is for others.
    #[error("the certificate of the server is not for {expected:?}, but for {}", list(presented))]
    WrongHost {
        /// The name or address that was asked for.
        expected: String,
        /// Those that it is for.
        presented: Vec<String>,
    },
    /// The server's key is none of [`TlsOptions::pinned_keys`](super::TlsOptions::pinned_keys).
    #[error("the key of the server is not pinned; its SHA-256 is {found}")]
    WrongKey {
        /// The hash of the key that it has.
        found: String,
    },
    /// The server's certificate cannot be used for another reason.
    #[error("the certificate of the server is not accepted: {0}")]
    BadCertificate(String),
    /// [`accept_peer_cert`](super::super::MqttEventHandler::accept_peer_cert) has said no.
    #[error("the application does not accept the certificate of the server")]
    Vetoed,
    /// The server wants a certificate of the client.
    #[error("the server wants a client certificate, and there is none (tls.identity)")]
    NoClientCertificate,
    /// The server does not take the certificate of the client.
    #[error("the server does not accept the client certificate: {0}")]
    ClientCertificateRefused(String),
    /// What answers is no server of TLS.
    #[error("the server does not speak TLS at this port: it answers by {0}")]
    NotTls(&'static str),
    /// Client and server have no version of TLS in common.
    #[error("the server speaks no version of TLS that the client allows")]
    NoCommonVersion,
    /// Client and server have no cipher suite in common, nor a group for the key exchange, or a kind of signature.
    #[error("the server takes none of the cipher suites, key exchanges and signatures that the client offers")]
    NoCommonCipher,
    /// The server knows none of the protocols in [`TlsOptions::alpn`](super::TlsOptions::alpn).
    #[error("the server knows none of the protocols that the client offers (tls.alpn)")]
    NoCommonProtocol,
    /// The server does not know the name that it is asked for: the host, or
    /// [`TlsOptions::server_name`](super::TlsOptions::server_name).
    #[error("the server does not know the name that it is asked for (tls.server_name, or the host of the server)")]
    UnknownServerName,
    /// The server has gone in mid-handshake.
    #[error("the server has closed the connection in the TLS handshake")]
    Closed,
    /// Something else, in the words of the TLS library.
    #[error("{0}")]
    Other(String),
}

impl TlsError {
    pub(in crate::mqtt_client) const fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Closed => io::ErrorKind::UnexpectedEof,
            Self::Vetoed | Self::NoClientCertificate | Self::ClientCertificateRefused(_) => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::InvalidData,
        }
    }
}

/// What has been shown by client and server when the server refuses the client.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::mqtt_client) struct Shown {
    /// The server has asked for a certificate.
    pub(in crate::mqtt_client) was_asked: bool,
    pub(in crate::mqtt_client) has_identity: bool,
    /// The server has said nothing but that: it does not even take what the client offers.
    pub(in crate::mqtt_client) is_first_word: bool,
}

pub(in crate::mqtt_client) fn explain(error: &Error, shown: Shown) -> TlsError {
    match error {
        Error::InvalidCertificate(error) => explain_certificate(error),
        Error::AlertReceived(alert) => explain_alert(*alert, shown),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => TlsError::NoCommonVersion,
        Error::NoApplicationProtocol => TlsError::NoCommonProtocol,
        error => TlsError::Other(error.to_string()),
    }
}

fn explain_certificate(error: &CertificateError) -> TlsError {
    match error {
        CertificateError::Expired => TlsError::Expired { since: None },
        CertificateError::ExpiredContext { time, not_after } => {
            let since = Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()));
            TlsError::Expired { since: Some(since) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsError::NotValidYet,
        CertificateError::UnknownIssuer => TlsError::UnknownIssuer,
        CertificateError::NotValidForNameContext { expected, presented } => TlsError::WrongHost {
            expected: expected.to_str().into_owned(),
            presented: presented.iter().map(|name| plain(name)).collect(),
        },
        CertificateError::BadSignature => {
            TlsError::BadCertificate("it is not signed by the key of the issuer that it names".to_string())
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<TlsError>() {
            Some(own) => own.clone(),
            // Of a certificate that has signed itself, and is no other's.
            None if other.to_string().contains("CaUsedAsEndEntity") => TlsError::UnknownIssuer,
            None => TlsError::BadCertificate(other.to_string()),
        },
        error => TlsError::BadCertificate(error.to_string()),
    }
}

fn explain_alert(alert: AlertDescription, shown: Shown) -> TlsError {
    use AlertDescription as Alert;
    match alert {
        Alert::ProtocolVersion => TlsError::NoCommonVersion,
        Alert::NoApplicationProtocol => TlsError::NoCommonProtocol,
        Alert::UnrecognisedName => TlsError::UnknownServerName,
        Alert::HandshakeFailure | Alert::InsufficientSecurity if shown.is_first_word => TlsError::NoCommonCipher,
        Alert::CertificateRequired => TlsError::NoClientCertificate,
        // What TLS 1.2 says of it.
        Alert::HandshakeFailure | Alert::BadCertificate | Alert::NoCertificate
            if shown.was_asked && !shown.has_identity =>
        {
            TlsError::NoClientCertificate
        }
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError
            if shown.was_asked && shown.has_identity =>
        {
            TlsError::ClientCertificateRefused(format!("{alert:?}"))
        }
        alert => TlsError::Other(format!("the server has ended it by the alert {alert:?}")),
    }
}

/// `DnsName("a")` as `a`.
fn plain(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"').to_string()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no name at all".to_string() } else { names.join(", ") }
}

fn ago(since: &Option<Duration>) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match since.map(|since| since.as_secs()) {
        None => String::new(),
        Some(seconds) if seconds >= 2 * DAY => format!(" {} days ago", seconds / DAY),
        Some(seconds) if seconds >= 2 * 60 * 60 => format!(" {} hours ago", seconds / (60 * 60)),
        Some(seconds) => format!(" {} minutes ago", seconds / 60),
    }
}
