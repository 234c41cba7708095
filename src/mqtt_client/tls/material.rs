//! Certificates and keys as options name them.

use std::fs;
use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::mqtt_client::error::ClientError;
use crate::mqtt_client::options::Secret;

/// Who may have signed the certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRoots(Roots);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    Platform,
    Own(Vec<Source>),
    #[cfg(feature = "danger-no-verification")]
    Anyone,
}

/// Bytes, or where they are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Source {
    File(PathBuf),
    Bytes(Secret),
}

impl TlsRoots {
    /// Whoever the platform trusts: what its user or administrator has installed.
    pub const fn platform() -> Self {
        Self(Roots::Platform)
    }

    /// The certificates in a file and nobody else: one in DER, or any number in PEM.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Roots::Own(vec![Source::File(path.into())]))
    }

    /// The certificates in these bytes and nobody else: one in DER, or any number in PEM.
    pub fn bytes(certificates: impl Into<Vec<u8>>) -> Self {
        Self(Roots::Own(vec![Source::Bytes(Secret::from(certificates.into()))]))
    }

    /// These and those. The platform's roots cannot be joined with others: the platform would not know of them.
    ///
    /// # Errors
    /// [`ClientError::InvalidOption`] if one of both is not made of certificates.
    pub fn and(self, others: Self) -> Result<Self, ClientError> {
        match (self.0, others.0) {
            (Roots::Own(mut these), Roots::Own(those)) => {
                these.extend(those);
                Ok(Self(Roots::Own(these)))
            }
            _ => Err(ClientError::option("tls.roots", "only files and bytes of certificates can be joined")),
        }
    }

    /// **Dangerous.** Anyone: whoever is between the client and the server reads and changes everything, password
    /// included. Only [`pinned_keys`](super::TlsOptions::pinned_keys) still hold. Each client made so logs a warning.
    #[cfg(feature = "danger-no-verification")]
    #[cfg_attr(docsrs, doc(cfg(feature = "danger-no-verification")))]
    pub const fn dangerously_trust_anyone() -> Self {
        Self(Roots::Anyone)
    }

    pub(super) const fn roots(&self) -> &Roots {
        &self.0
    }
}

/// A certificate of the client and its private key (mutual TLS). `Debug` shows no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    certificates: Source,
    key: Source,
}

impl TlsIdentity {
    /// From two files. The first one holds the certificate of the client in DER, or in PEM followed by those that lead
    /// from it to a root of the server; the second one the key as PKCS#8, SEC1 or PKCS#1, in DER or PEM, not encrypted.
    /// They may be one file in PEM.
    pub fn files(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificates: Source::File(certificates.into()), key: Source::File(key.into()) }
    }

    /// As [`files`](Self::files), from bytes.
    pub fn bytes(certificates: impl Into<Vec<u8>>, key: impl Into<Secret>) -> Self {
        Self { certificates: Source::Bytes(Secret::from(certificates.into())), key: Source::Bytes(key.into()) }
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ClientError> {
        self.certificates.certificates("tls.identity")
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, ClientError> {
        let invalid = |reason: &str| self.key.invalid("tls.identity", reason);
        let bytes = self.key.read("tls.identity")?;
        if !is_pem(&bytes) {
            let unknown = "it is no private key of PKCS#8, SEC1 or PKCS#1";
            return PrivateKeyDer::try_from(&**bytes).map(|key| key.clone_key()).map_err(|_| invalid(unknown));
        }
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
            let is_encrypted = bytes.windows(9).any(|part| part == b"ENCRYPTED");
            invalid(if is_encrypted { "the private key is encrypted" } else { "there is no private key in it" })
        })
    }
}

impl Source {
    pub(super) fn certificates(&self, option: &'static str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
        let bytes = self.read(option)?;
        if !is_pem(&bytes) {
            return Ok(vec![CertificateDer::from(bytes.to_vec())]);
        }
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(|error| self.invalid(option, &format!("it is no valid PEM: {error}")))?;
        if found.is_empty() {
            return Err(self.invalid(option, "there is no certificate in it"));
        }
        Ok(found)
    }

    fn read(&self, option: &'static str) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        match self {
            Self::Bytes(bytes) => Ok(Zeroizing::new(bytes.expose().to_vec())),
            Self::File(path) => {
                fs::read(path).map(Zeroizing::new).map_err(|error| self.invalid(option, &error.to_string()))
            }
        }
    }

    pub(super) fn invalid(&self, option: &'static str, reason: &str) -> ClientError {
        ClientError::option(option, format!("{self:?}: {reason}"))
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{path:?}"),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.expose().len()),
        }
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).any(|part| part == b"-----BEGIN ")
}
