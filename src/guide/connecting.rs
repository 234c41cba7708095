//! Connecting to cloud brokers, and by other ways than TCP.
//!
//! | `peer` | The way | Port without one | Feature |
//! |---|---|---|---|
//! | `host:port`, `mqtt://host` | TCP | 1883 | |
//! | `mqtts://host` | TLS | 8883 | `tls` |
//! | `ws://host/path` | a WebSocket; the path is `/mqtt` without one | 80 | `websocket` |
//! | `wss://host/path` | a WebSocket over TLS | 443 | `tls`, `websocket` |
//! | `unix:/path` | a Unix socket | | |
//!
//! [`Connecting::proxy`] leads all of them but the last one through a proxy (feature `proxy`), and
//! [`Connecting::transport`] puts a stream of your own in the place of the TCP connection.
//!
//! # Cloud brokers
//!
//! What follows is from the public documentation of the services, and of HiveMQ Cloud from what programs that use it
//! say. **It was not tested against any of them**: names, versions and limits are theirs and change. All of them want
//! TLS, which by default trusts what the platform trusts, and some of them the name of the server in the handshake
//! (SNI), which is sent by default.
//!
//! ## AWS IoT Core
//!
//! A device has a certificate. On port 8883 that is all; on port 443, which firewalls let through, the TLS handshake
//! has to offer the protocol `x-amzn-mqtt-ca` (ALPN):
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, TlsIdentity, TlsOptions};
//!
//! let options = MqttClientOptions {
//!     peer: "mqtts://abc123-ats.iot.eu-central-1.amazonaws.com:443".to_string(),
//!     client_id: "thing-7".to_string(),
//!     tls: TlsOptions {
//!         identity: Some(TlsIdentity::files("thing-7.cert.pem", "thing-7.private.key")),
//!         alpn: vec!["x-amzn-mqtt-ca".to_string()],
//!         ..Default::default()
//!     },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! A custom authorizer takes user name and password instead, by the protocol `mqtt` on port 443. Its name, and a token
//! with its signature (`x-amz-customauthorizer-signature`) where the authorizer wants them, follow the user name as a
//! query:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, Secret, TlsOptions};
//!
//! let options = MqttClientOptions {
//!     peer: "mqtts://abc123-ats.iot.eu-central-1.amazonaws.com:443".to_string(),
//!     client_id: "thing-7".to_string(),
//!     username: Some("thing-7?x-amz-customauthorizer-name=my-authorizer".to_string()),
//!     password: Some(Secret::from("from your secret store")),
//!     tls: TlsOptions { alpn: vec!["mqtt".to_string()], ..Default::default() },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! With AWS credentials (Signature Version 4) it is a WebSocket on port 443 whose URL is signed. A signature is good
//! for minutes, and so it is asked for before each attempt:
//!
//! ```
//! use flowsdk::mqtt_client::{
//!     Connecting, MqttClientOptions, Secret, WebSocketOptions, WebSocketRequest, WebSocketRequestProvider,
//! };
//!
//! fn signed_query(host: &str) -> std::io::Result<String> {
//!     // X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=…&X-Amz-Signature=…, for the service iotdevicegateway.
//!     # let _ = host;
//!     # Ok(String::new())
//! }
//!
//! let provider = WebSocketRequestProvider::new(|host| {
//!     let path = Secret::from(format!("/mqtt?{}", signed_query(host)?));
//!     Ok(WebSocketRequest { path: Some(path), ..Default::default() })
//! });
//! let websocket = WebSocketOptions { request: Some(provider), ..Default::default() };
//! let options = MqttClientOptions {
//!     peer: "wss://abc123-ats.iot.eu-central-1.amazonaws.com".to_string(),
//!     client_id: "thing-7".to_string(),
//!     connecting: Connecting { websocket, ..Default::default() },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! AWS IoT Core has no QoS 2: it does not answer what is published or subscribed with it.
//!
//! ## Azure Event Grid
//!
//! A client is known by its certificate; the user name is its authentication name, unless the namespace takes that from
//! the certificate. Both versions of MQTT are spoken, on port 8883 and by WebSockets on port 443, with packets of 512
//! KB at most:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, TlsIdentity, TlsOptions};
//!
//! let options = MqttClientOptions {
//!     peer: "mqtts://my-namespace.westeurope-1.ts.eventgrid.azure.net".to_string(),
//!     client_id: "session-1".to_string(),
//!     username: Some("device-7-authn-id".to_string()),
//!     tls: TlsOptions {
//!         identity: Some(TlsIdentity::files("device-7.pem", "device-7.key")),
//!         ..Default::default()
//!     },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! With tokens the client authenticates by a method of MQTT 5.0 instead, which has the token as its data: `OAUTH2-JWT`
//! with those of Microsoft Entra, `CUSTOM-JWT` with those of other issuers. That is what [`Connecting::authentication`]
//! is for, and re-authentication renews the token on a live connection.
//!
//! ## Azure IoT Hub
//!
//! It speaks v3.1.1, and is no full broker: topics are those of its documentation. The client identifier is that of the
//! device, the user name has the hub, the device and the version of the interface, and the password is a token with an
//! expiry (SAS), so it is asked for before each attempt:
//!
//! ```
//! use flowsdk::mqtt_client::{
//!     Connecting, Credentials, CredentialsProvider, MqttClientOptions, ProtocolOptions, Secret,
//! };
//! use flowsdk::types::ProtocolVersion;
//!
//! fn sas_token() -> std::io::Result<String> {
//!     // SharedAccessSignature sr=…&sig=…&se=…, signed with the key of the device.
//!     # Ok(String::new())
//! }
//!
//! let provider = CredentialsProvider::new(|| {
//!     Ok(Credentials {
//!         username: Some("my-hub.azure-devices.net/device-7/?api-version=2021-04-12".to_string()),
//!         password: Some(Secret::from(sas_token()?)),
//!     })
//! });
//! let options = MqttClientOptions {
//!     peer: "mqtts://my-hub.azure-devices.net".to_string(),
//!     client_id: "device-7".to_string(),
//!     protocol: ProtocolOptions { version: ProtocolVersion::V3_1_1, ..Default::default() },
//!     connecting: Connecting { credentials: Some(provider), ..Default::default() },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! A device with a certificate needs no password. Where port 8883 is closed, the hub is at
//! `wss://my-hub.azure-devices.net/$iothub/websocket`, to which devices without a certificate add
//! `?iothub-no-client-cert=true`. It closes the connection when a message of QoS 2 is published, grants QoS 1 to who
//! subscribes with 2, retains nothing, takes a keep-alive of 1,177 seconds at most, and drops a connection of a device
//! for the next one.
//!
//! ## HiveMQ Cloud
//!
//! User name and password over TLS; over WebSockets it is port 8884 with the path `/mqtt`:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, Secret};
//!
//! let options = MqttClientOptions {
//!     // Or wss://0123456789abcdef.s1.eu.hivemq.cloud:8884/mqtt
//!     peer: "mqtts://0123456789abcdef.s1.eu.hivemq.cloud".to_string(),
//!     username: Some("device-7".to_string()),
//!     password: Some(Secret::from("from your secret store")),
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! ## EMQX Cloud
//!
//! User name and password over TLS. A serverless deployment has port 8883, and for WebSockets over TLS port 8084 with
//! the path `/mqtt`; the others have ports of their own. Where the platform does not trust its CA, [`TlsRoots::file`]
//! takes the one from the overview of the deployment:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, Secret, TlsOptions, TlsRoots};
//!
//! let options = MqttClientOptions {
//!     // Or wss://abc123.ala.eu-central-1.emqxsl.com:8084/mqtt
//!     peer: "mqtts://abc123.ala.eu-central-1.emqxsl.com:8883".to_string(),
//!     username: Some("device-7".to_string()),
//!     password: Some(Secret::from("from your secret store")),
//!     tls: TlsOptions { roots: TlsRoots::file("emqxsl-ca.crt"), ..Default::default() },
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! # When it does not connect
//!
//! [`on_error`] names the server and what has failed on the way to it: the resolver, the TCP connection, the proxy, the
//! TLS handshake or the WebSocket upgrade, each with its own words, and each within what [`Timeouts::connect`] leaves.
//! A refusal of the broker itself is a [`ConnectionError::Refused`] with its reason code. See [the page about
//! TLS](super::tls) for certificates.
//!
//! # Secrets in memory
//!
//! Passwords, tokens, keys and headers rest in [`Secret`]s, which are wiped when they are dropped, and the options of a
//! client are wiped with it, user name and URL included. CONNECT and AUTH are wiped when they have gone, and so are the
//! buffers of WebSockets, of proxies and of [`BlockingTransport`] behind them. TLS encrypts out of the session, without
//! a copy in the clear.
//!
//! Not wiped is what is not this crate's: the text that a `Secret` was copied from, the memory in which `rustls` and
//! its cryptography take apart a key and keep it, the system's buffers of sockets, swap space, a [`CustomTransport`],
//! and the user name of a proxy. Nor can a program wipe what the compiler has left in registers and on the stack.
//!
//! [`BlockingTransport`]: crate::mqtt_client::BlockingTransport
//! [`CustomTransport`]: crate::mqtt_client::CustomTransport
//! [`Secret`]: crate::mqtt_client::Secret
//! [`Connecting::proxy`]: crate::mqtt_client::Connecting::proxy
//! [`Connecting::transport`]: crate::mqtt_client::Connecting::transport
//! [`Connecting::authentication`]: crate::mqtt_client::Connecting::authentication
//! [`ConnectionError::Refused`]: crate::mqtt_client::ConnectionError::Refused
//! [`Timeouts::connect`]: crate::mqtt_client::Timeouts::connect
//! [`TlsRoots::file`]: crate::mqtt_client::TlsRoots::file
//! [`on_error`]: crate::mqtt_client::MqttEventHandler::on_error
