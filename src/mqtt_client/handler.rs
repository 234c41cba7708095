use std::io;

use super::client::{
    ConnectionResult, PingResult, PublishResult, ReauthenticationResult, SessionLossReport, SubscribeResult,
    UnsubscribeResult,
};
use super::event::{MqttEvent, MqttPublish};
#[cfg(feature = "persistence")]
use super::token::Token;

/// Callbacks, all on one thread, one at a time. Each does nothing unless it is implemented.
///
/// A callback may call everything on the client, best by a `Weak` reference (the crate's first page shows how); none of
/// those calls waits, but for a wait that is asked for. A callback that takes long delays the ones behind it, never the
/// connection (but see [`CallbackMode::Worker`](super::CallbackMode::Worker)). A panic in a callback is reported by
/// [`MqttEventHandler::on_error`], and the next callbacks are called as ever.
///
/// While a callback does not return, results wait within
/// [`Limits::unreported_results`](super::Limits::unreported_results), each of them, and messages within
/// [`Limits::undelivered_bytes`](super::Limits::undelivered_bytes). Of all other news 256 wait as they came; of what
/// comes behind those the latest of each kind is told, the latest 64 errors that differ, and what all reports of lost
/// sessions list together.
pub trait MqttEventHandler: Send {
    /// The server has answered CONNECT: look at [`ConnectionResult::is_success`].
    fn on_connected(&mut self, result: &ConnectionResult) {
        let _ = result;
    }

    /// The connection has ended by a DISCONNECT of either side; the reason code in v5.0.
    fn on_disconnected(&mut self, reason_code: Option<u8>) {
        let _ = reason_code;
    }

    /// A publish has ended, well or not: look at [`PublishResult::outcome`]. With
    /// [persistence](super::MqttClientOptions::persistence) it is told again by the next client if the process ends
    /// before this has returned, or at once behind.
    fn on_published(&mut self, result: &PublishResult) {
        let _ = result;
    }

    /// Publishes are in the file of [persistence](super::MqttClientOptions::persistence): from now on they outlive the
    /// process. Their outcomes come behind.
    #[cfg(feature = "persistence")]
    fn on_durable(&mut self, tokens: &[Token]) {
        let _ = tokens;
    }

    /// A subscribe has ended.
    fn on_subscribed(&mut self, result: &SubscribeResult) {
        let _ = result;
    }

    /// An unsubscribe has ended. Messages that came before the server's answer were handed over before.
    fn on_unsubscribed(&mut self, result: &UnsubscribeResult) {
        let _ = result;
    }

    /// A message has arrived that no [topic handler](super::AsyncMqttClient::add_topic_handler) has taken.
    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        let _ = publish;
    }

    /// A ping was answered.
    fn on_ping_response(&mut self, result: &PingResult) {
        let _ = result;
    }

    /// A re-authentication has ended, well or not: look at [`ReauthenticationResult::outcome`].
    fn on_reauthenticated(&mut self, result: &ReauthenticationResult) {
        let _ = result;
    }

    /// Something went wrong: an attempt to connect, the server's bytes, a callback.
    fn on_error(&mut self, error: &io::Error) {
        let _ = error;
    }

    /// The certificate of a server of TLS, in DER. TLS has verified it; nothing was sent to the server yet, and nothing
    /// is before this has returned: where callbacks take long, so does a connection over TLS.
    fn on_peer_cert_received(&mut self, certificate: &[u8]) {
        let _ = certificate;
    }

    /// Whether the server with this certificate, in DER, is the right one: the last word behind TLS itself, called
    /// right after [`on_peer_cert_received`](Self::on_peer_cert_received). If not, or if it panics, or if
    /// [`Timeouts::connect`](super::Timeouts::connect) is over before it has answered, the attempt has failed.
    fn accept_peer_cert(&mut self, certificate: &[u8]) -> bool {
        let _ = certificate;
        true
    }

    /// The connection has ended without a DISCONNECT.
    fn on_connection_lost(&mut self) {}

    /// An attempt to connect again begins; the first one has number 1.
    fn on_reconnect_attempt(&mut self, attempt: u32) {
        let _ = attempt;
    }

    /// The server has lost the session while messages were in flight.
    fn on_session_lost(&mut self, report: &SessionLossReport) {
        let _ = report;
    }

    /// The messages in flight have been taken back because the server has lost the session.
    fn on_pending_operations_cleared(&mut self) {}
}

/// Calls the callback of an event; whether the application accepts what it has heard of.
pub(super) fn call(handler: &mut dyn MqttEventHandler, event: &MqttEvent<'_>) -> bool {
    match event {
        MqttEvent::Connected(result) => handler.on_connected(result),
        MqttEvent::Disconnected(reason_code) => handler.on_disconnected(*reason_code),
        MqttEvent::Published(result) => handler.on_published(result),
        #[cfg(feature = "persistence")]
        MqttEvent::Durable(tokens) => handler.on_durable(tokens),
        MqttEvent::Subscribed(result) => handler.on_subscribed(result),
        MqttEvent::Unsubscribed(result) => handler.on_unsubscribed(result),
        MqttEvent::MessageReceived(publish) => handler.on_message_received(publish),
        MqttEvent::PingResponse(result) => handler.on_ping_response(result),
        MqttEvent::Reauthenticated(result) => handler.on_reauthenticated(result),
        MqttEvent::Error(error) => handler.on_error(error),
        MqttEvent::PeerCertReceived(certificate) => {
            handler.on_peer_cert_received(certificate);
            return handler.accept_peer_cert(certificate);
        }
        MqttEvent::ConnectionLost => handler.on_connection_lost(),
        MqttEvent::ReconnectAttempt(number) => handler.on_reconnect_attempt(*number),
        MqttEvent::SessionLost(report) => handler.on_session_lost(report),
        MqttEvent::PendingOperationsCleared => handler.on_pending_operations_cleared(),
    }
    true
}
