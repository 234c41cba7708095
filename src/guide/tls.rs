//! TLS: who is believed, who is told, and what goes wrong.
//!
//! # What is verified
//!
//! A server of `mqtts://` has to show a certificate that somebody trusted has signed, that is valid now, and that is
//! for the host in [`peer`], and it has to prove that it has the key. Nothing is sent to it before. Trusted is whoever
//! the platform trusts; with [`TlsRoots::file`] or [`TlsRoots::bytes`] it is whoever stands there, and nobody else:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, TlsOptions, TlsRoots};
//!
//! let options = MqttClientOptions {
//!     peer: "mqtts://10.0.0.7:8884".to_string(),
//!     tls: TlsOptions {
//!         roots: TlsRoots::file("/etc/plant/ca.pem"),
//!         // The certificate of the broker is for its name, though it is reached by its address.
//!         server_name: Some("broker.plant.example".to_string()),
//!         ..Default::default()
//!     },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! Files are read once, when the client is made; what cannot be used of them is an error of [`AsyncMqttClient::new`]
//! that names the file.
//!
//! Two things come on top for those who want them. [`TlsOptions::pinned_keys`] are the only keys a server may have,
//! whoever has signed its certificate: with two of them, one in use and one in a safe, a CA that is broken into is of
//! no consequence. [`MqttEventHandler::accept_peer_cert`] has the last word on a certificate, by code of your own. It
//! runs where callbacks run, and CONNECT waits for it: a handler that is busy for long delays a connection over TLS, as
//! it does not delay one without.
//!
//! A server that refers to another one ([`Redirects::Follow`]) never leads from TLS to a connection without.
//!
//! There is no option that turns verification off. For a laboratory there is the feature `danger-no-verification`, and
//! what it brings says danger in its name and logs a warning.
//!
//! # Who the client is
//!
//! A broker that wants to know its clients by their certificates (mutual TLS) gets that of [`TlsOptions::identity`]:
//! the certificate with those that lead to a root of the broker's, and the key as PKCS#8, SEC1 or PKCS#1, in PEM or
//! DER. A key that is encrypted or belongs to another certificate is an error when the client is made. Keys in memory
//! are wiped when they are dropped as far as they are this crate's, and neither `Debug` nor an error shows them.
//!
//! # When it fails
//!
//! What goes wrong is told by [`on_error`] as [`ConnectionError::Tls`], and the attempt counts like one that found
//! nobody: the client tries again, as a certificate may be renewed and a clock be set.
//!
//! | [`TlsError`] | What to look at |
//! |---|---|
//! | `Expired`, `NotValidYet` | the certificate of the server, or the clock of this machine |
//! | `UnknownIssuer` | [`TlsOptions::roots`]; or the server sends its own certificate without those that lead to a root |
//! | `WrongHost` | the host in [`peer`], or [`TlsOptions::server_name`]; the error has the names that the certificate is for |
//! | `WrongKey` | [`TlsOptions::pinned_keys`]; the error has the hash of the key that the server has |
//! | `NoClientCertificate` | [`TlsOptions::identity`] is missing |
//! | `ClientCertificateRefused` | the CA that the broker takes clients of, and whether the certificate is still valid |
//! | `NotTls` | the port: 8883 for TLS, 1883 without, by custom |
//! | `NoCommonVersion` | [`TlsOptions::min_version`], or a server that knows nothing above TLS 1.1 |
//! | `NoCommonCipher` | what the server allows: of TLS 1.2 no more than ciphers with forward secrecy and GCM or Poly1305 are offered |
//! | `UnknownServerName` | the host in [`peer`], or [`TlsOptions::server_name`]: servers of several names know no other |
//! | `NoCommonProtocol` | [`TlsOptions::alpn`]: leave it empty unless the broker asks for it |
//! | `Closed` | whether there is TLS at that port at all: brokers often close without a word for either mistake |
//!
//! With TLS 1.3 a server looks at the client's certificate when for the client the handshake is over, so its refusal
//! may come after CONNECT was sent, to a server that was verified. It is told alike.
//!
//! A server that ends a connection without the `close_notify` of TLS, as many do, has closed it like any other, unless
//! a packet is cut by that.
//!
//! # What it costs
//!
//! The handshake runs on the short-lived thread that connects, so clients of one [`Runtime`] do not wait for each
//! other's. From then on the worker encrypts what it sends, straight out of the buffers of the session, and decrypts
//! what it reads. At most 64 KiB are encrypted before the socket has taken those before. Sessions are resumed over the
//! connections of a client, which saves certificates and signatures in most handshakes but the first.
//!
//! # Cryptography
//!
//! It is that of [`rustls`](https://docs.rs/rustls), by the first of these that there is:
//!
//! 1. The provider that the program has installed for its process, by `rustls::crypto::CryptoProvider::install_default`.
//! 2. The feature `aws-lc-rs`: AWS-LC, which also has the key exchange X25519MLKEM768 against quantum computers and offers it
//!    first. It takes a minute of a C compiler to build, and nothing else on x86-64 Linux, where that is checked; other
//!    platforms may need CMake and bindgen.
//! 3. The feature `ring`, on by default: it builds with a C compiler alone, and soon.
//!
//! For `aws-lc-rs` without `ring` turn the default features off and `std`, `tls` and `aws-lc-rs` on. With both, this
//! client knows which one it takes, but `rustls` does not: other parts of the program that leave the choice to it, as
//! by `ClientConfig::builder`, panic unless a provider is installed.
//!
//! A whole `rustls::ClientConfig`, with whatever it can do, goes into [`TlsOptions::config`].
//!
//! [`peer`]: crate::mqtt_client::MqttClientOptions::peer
//! [`AsyncMqttClient::new`]: crate::mqtt_client::AsyncMqttClient::new
//! [`ConnectionError::Tls`]: crate::mqtt_client::ConnectionError::Tls
//! [`MqttEventHandler::accept_peer_cert`]: crate::mqtt_client::MqttEventHandler::accept_peer_cert
//! [`on_error`]: crate::mqtt_client::MqttEventHandler::on_error
//! [`Redirects::Follow`]: crate::mqtt_client::Redirects::Follow
//! [`Runtime`]: crate::mqtt_client::Runtime
//! [`TlsError`]: crate::mqtt_client::TlsError
//! [`TlsOptions::alpn`]: crate::mqtt_client::TlsOptions::alpn
//! [`TlsOptions::config`]: crate::mqtt_client::TlsOptions::config
//! [`TlsOptions::identity`]: crate::mqtt_client::TlsOptions::identity
//! [`TlsOptions::min_version`]: crate::mqtt_client::TlsOptions::min_version
//! [`TlsOptions::pinned_keys`]: crate::mqtt_client::TlsOptions::pinned_keys
//! [`TlsOptions::roots`]: crate::mqtt_client::TlsOptions::roots
//! [`TlsOptions::server_name`]: crate::mqtt_client::TlsOptions::server_name
//! [`TlsRoots::bytes`]: crate::mqtt_client::TlsRoots::bytes
//! [`TlsRoots::file`]: crate::mqtt_client::TlsRoots::file
