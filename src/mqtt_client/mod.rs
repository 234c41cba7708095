//! The client of the desktop: a background thread does the work, callbacks tell what happens.
//!
//! [`AsyncMqttClient`] is the handle, [`MqttEventHandler`] the callbacks, [`MqttClientOptions`] and
//! [`AsyncClientConfig`] what it is made with.
//!
//! # Sessions
//!
//! What the client asks the server to keep, by its options. *First* is the first connection after
//! [`connect`](AsyncMqttClient::connect), *later* are those it opens again by itself.
//!
//! | `sessionless` | `clean_start` | expiry | v5.0 first | v5.0 later | v3.1.1 first | v3.1.1 later |
//! |---|---|---|---|---|---|---|
//! | true | any | any | new, ends with the connection | the same | new | new |
//! | false | true | 0 | new, ends with the connection | the same | new | new |
//! | false | true | above 0 | new, kept | resumed | | |
//! | false | false | 0 | resumed, ends with the connection | the same | resumed, kept | resumed |
//! | false | false | above 0 | resumed, kept | resumed | | |
//!
//! # Threads
//!
//! A client has two: the worker, which waits for its socket, its commands and for time, and the callback thread.
//! Short-lived ones resolve names and connect; plain TCP to an address may need none. [`Threads`] changes that: many
//! clients share two threads by a [`Runtime`], and callbacks may run on the worker.
//!
//! # When the network fails
//!
//! A lost connection is opened again after a random part of a delay that doubles from
//! [`reconnect_delay_ms`](AsyncClientConfig::reconnect_delay_ms) to
//! [`max_reconnect_delay_ms`](AsyncClientConfig::max_reconnect_delay_ms). Until then messages are kept, the oldest
//! being dropped for new ones unless [`Offline`] says otherwise. On the new connection, in this order: subscriptions
//! the server has forgotten, messages in flight, messages kept, and then
//! [`on_connected`](MqttEventHandler::on_connected). Every publish, subscribe and unsubscribe ends in exactly one
//! result, with the [`Token`] of its call.

// Where to look. A call goes down this list, and its result comes up again; in brackets stands what the file before
// uses.
//
//   handle, publish, validate        what the calls check, and hand over
//   shared, queue, command, token    what waits for the worker, its bounds, who wakes whom
//   hub, runtime, worker             the thread that drives connections (timers, spin)
//   connection/                      one client on that thread: its session, its link, its turns
//     link, ending, reconnect        opening a connection, losing it, when to try again (servers)
//     outgoing, requests             what goes to the session (pending, offline, in_flight, subscriptions)
//     incoming, input                what comes from the server
//     stored                         what waits for the disk (persistence/)
//   dispatch, batch                  what travels to the callbacks
//   callbacks, receiver, calls       where the application hears of it (handler, filters, contain)
//
// Connecting: peer says where, connector opens on a thread of its own (dial, reach, blocking, tls/, transport/proxy,
// transport/websocket) or without one (direct), and transport/ is what the worker reads and writes then (custom, halves: those of the
// application).
//
// Options and results: options, config, connecting, offline, proxy, websocket, authentication; client, event, error,
// properties.

mod authentication;
mod batch;
#[cfg(any(feature = "proxy", feature = "tls", feature = "websocket"))]
mod blocking;
mod callbacks;
mod calls;
pub mod client;
mod command;
mod config;
mod connecting;
mod connection;
mod connector;
mod contain;
mod custom;
mod dial;
mod direct;
mod dispatch;
mod due;
mod error;
mod event;
mod filters;
mod halves;
mod handle;
mod handler;
mod hub;
mod kept;
mod notice;
mod offline;
mod options;
mod outbound_properties;
mod outbox;
mod peer;
mod persistence;
mod properties;
mod proxy;
mod publish;
mod queue;
mod reach;
mod receiver;
mod reconnect;
mod results;
mod runtime;
mod servers;
mod shared;
mod spin;
mod threads;
mod timers;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
mod tls;
mod token;
mod transport;
mod validate;
#[cfg(feature = "tls")]
mod verdict;
mod websocket;
mod worker;

pub use authentication::{Authentication, Authenticator};
pub use client::{
    ConnectionResult, DropCause, Outcome, PingResult, PublishResult, ReauthenticationResult, SessionLossReport,
    SubscribeResult, UnsubscribeResult,
};
pub use config::AsyncClientConfig;
pub use connecting::{Connecting, Credentials, CredentialsProvider, Redirects, RestoreSubscriptions};
pub use custom::{CustomTransport, Readiness, TransportFactory};
pub use error::{ClientError, ConnectionError, WaitError};
pub use event::{MqttEvent, MqttPublish, Receipt};
pub use halves::BlockingTransport;
pub use handle::AsyncMqttClient;
pub use handler::MqttEventHandler;
pub use offline::{Offline, Overflow};
pub use options::{
    CallbackMode, DisconnectOptions, Limits, MessageProperties, MqttClientOptions, ProtocolOptions, PublishOptions,
    Secret, SessionLossPolicy, SubscribeOptions, Threads, Timeouts, TopicSubscription, UnsubscribeOptions, Will,
};
#[cfg(feature = "persistence")]
pub use persistence::{InboundStorage, Persistence, PersistenceError};
pub use properties::PropertyBlock;
pub use proxy::{Proxy, ProxyKind};
pub use publish::{BatchMessage, BatchResult};
pub use receiver::EventReceiver;
pub use runtime::Runtime;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::{TlsConfig, TlsError, TlsIdentity, TlsOptions, TlsRoots, TlsVersion};
pub use token::{Token, Tracked};
pub use websocket::{WebSocketOptions, WebSocketRequest, WebSocketRequestProvider};
