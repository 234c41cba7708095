//! Enhanced authentication (v5.0 section 4.12): what passes between the server and the authenticator.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::Connection;
use super::ending::Ending;
use crate::codec::{Properties, Property, PropertyId};
use crate::mqtt_client::authentication::{Apart, Authentication, Exchange, Step};
use crate::mqtt_client::client::{DropCause, Outcome, ReauthenticationResult};
use crate::mqtt_client::command::Reauthenticating;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::options::Secret;
use crate::packet::{Auth, Packet};
use crate::session::{Full, Misuse, PeerError};
use crate::types::{ProtocolVersion, ReasonCode, Role, Text};

/// The exchange of a connection, and those that wait for it to end.
#[derive(Debug, Default)]
pub(super) struct Authenticating {
    /// The exchange that goes on.
    exchange: Option<Exchange>,
    /// The authenticator looks at what the server has said last.
    is_finishing: bool,
    /// It is content with the server.
    is_verified: bool,
    /// An AUTH that found no room.
    unsent: Option<(ReasonCode, Option<Secret>)>,
    /// The re-authentication that goes on, and when it has to be done.
    current: Option<(Reauthenticating, Instant)>,
    wanted: VecDeque<Reauthenticating>,
    /// Steps that run have a clone of it.
    running: Arc<()>,
}

impl Authenticating {
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && self.wanted.is_empty()
    }

    /// When a re-authentication has to be done.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.current.as_ref().map(|(_, until)| *until)
    }

    /// A connection begins with this exchange.
    pub(super) fn begin(&mut self, exchange: Option<Exchange>) {
        (self.exchange, self.is_finishing, self.is_verified) = (exchange, false, false);
    }
}

/// An AUTH of the server.
pub(super) struct Challenge {
    pub(super) reason_code: ReasonCode,
    data: Secret,
}

impl Challenge {
    pub(super) fn new(auth: &Auth<'_>) -> Self {
        Self { reason_code: auth.reason_code, data: data(&auth.properties) }
    }
}

impl Connection {
    fn method(&self) -> Option<Authentication> {
        self.options.connecting.authentication.clone()
    }

    /// Whether the CONNACK at the start of the input has to wait until the authenticator has looked at it.
    pub(super) fn holds_connack(&mut self) -> bool {
        if self.session.is_connected() || self.options.connecting.authentication.is_none() {
            return false;
        }
        // What comes behind a failure must not pass for an acceptance.
        if self.link.up().is_some_and(|up| up.is_ending()) {
            return true;
        }
        let authenticating = &self.authenticating;
        let Some(exchange) = authenticating.exchange.as_ref().filter(|_| !authenticating.is_verified) else {
            return false;
        };
        if authenticating.is_finishing && exchange.is_busy() {
            return true;
        }
        let connack = match Packet::decode(self.input.bytes(), ProtocolVersion::V5, Role::Server) {
            Ok(Some((Packet::Connack(connack), _))) if connack.reason_code == ReasonCode::SUCCESS => connack,
            _ => return false,
        };
        let method = self.options.connecting.authentication.as_ref().map(Authentication::method);
        if connack.properties.text(PropertyId::AuthenticationMethod).map(Text::as_str) != method {
            // The session refuses it.
            return false;
        }
        let data = data(&connack.properties);
        self.take_step(Step::Finish(data));
        true
    }

    /// Whether the server has passed the authenticator, or there is none.
    pub(super) fn is_verified(&self) -> bool {
        self.authenticating.exchange.is_none() || self.authenticating.is_verified
    }

    fn take_step(&mut self, step: Step) {
        let is_finishing = matches!(step, Step::Finish(_));
        let Authenticating { exchange, running, .. } = &mut self.authenticating;
        let Some(exchange) = exchange else { return };
        match exchange.go_on(step, &Apart { shared: &self.shared, running }) {
            Ok(()) => self.authenticating.is_finishing = is_finishing,
            Err(error) => self.fail_authentication(ReasonCode::UNSPECIFIED_ERROR, error),
        }
    }

    /// The server has sent AUTH.
    pub(super) fn handle_auth(&mut self, challenge: Challenge) {
        let is_over = challenge.reason_code == ReasonCode::SUCCESS;
        let is_due = if self.session.is_connected() { self.authenticating.current.is_some() } else { !is_over };
        if !is_due || self.authenticating.exchange.is_none() {
            let unexpected = PeerError::UnexpectedPacket(crate::codec::PacketType::Auth);
            let error = io::Error::new(io::ErrorKind::InvalidData, unexpected);
            return self.fail_authentication(ReasonCode::PROTOCOL_ERROR, error);
        }
        self.take_step(if is_over { Step::Finish(challenge.data) } else { Step::Answer(challenge.data) });
    }

    /// Goes on with what the authenticator has come to, and with re-authentications that were asked for.
    pub(super) fn drive_authentication(&mut self) {
        if let Some(result) = self.authenticating.exchange.as_mut().and_then(Exchange::poll) {
            match result {
                Err(error) => return self.fail_authentication(ReasonCode::UNSPECIFIED_ERROR, error),
                Ok(_) if self.authenticating.is_finishing => self.finish_exchange(),
                Ok(data) => self.authenticating.unsent = Some((self.next_code(), data)),
            }
        }
        if self.authenticating.deadline().is_some_and(|until| self.now >= until) {
            let text = format!("no re-authentication within {:?}", self.options.timeouts.connect);
            let error = io::Error::new(io::ErrorKind::TimedOut, text);
            return self.fail_authentication(ReasonCode::UNSPECIFIED_ERROR, error);
        }
        self.begin_reauthentication();
        self.send_auth();
    }

    /// The code of the next AUTH: the first one of a re-authentication says so `[MQTT-4.12.1-1]`.
    fn next_code(&mut self) -> ReasonCode {
        let first = self.authenticating.current.as_mut().is_some_and(|(current, _)| !current.has_begun);
        if let Some((current, _)) = &mut self.authenticating.current {
            current.has_begun = true;
        }
        if first { ReasonCode::REAUTHENTICATE } else { ReasonCode::CONTINUE_AUTHENTICATION }
    }

    fn finish_exchange(&mut self) {
        self.authenticating.is_finishing = false;
        self.authenticating.is_verified = true;
        if let Some((current, _)) = self.authenticating.current.take() {
            self.authenticating.exchange = None;
            self.finish_reauthentication(current, Outcome::Acknowledged);
        }
    }

    fn send_auth(&mut self) {
        let Some((reason_code, data)) = self.authenticating.unsent.take() else { return };
        let Some(authentication) = self.method() else { return };
        let data = data.unwrap_or_else(|| Secret::from(""));
        let method = Property::AuthenticationMethod(authentication.method());
        let both = [method, Property::AuthenticationData(data.expose())];
        let properties = if data.expose().is_empty() { both.get(..1) } else { both.get(..) };
        let auth = Auth { reason_code, properties: Properties::new(properties.unwrap_or_default()) };
        let now = self.session_now();
        let mut sent = self.session.authenticate(now, &auth);
        if sent == Err(Misuse::Full(Full::Wire)) && self.write() {
            sent = self.session.authenticate(now, &auth);
        }
        match sent {
            Ok(()) => {}
            Err(Misuse::Full(_)) => self.authenticating.unsent = Some((reason_code, Some(data))),
            Err(misuse) => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, misuse);
                self.fail_authentication(ReasonCode::UNSPECIFIED_ERROR, error);
            }
        }
    }

    /// `reauthenticate()` was called.
    pub(super) fn want_reauthentication(&mut self, reauthenticating: Reauthenticating) {
        if self.session.is_connected() {
            self.authenticating.wanted.push_back(reauthenticating);
            self.drive_authentication();
        } else {
            self.freed.add(0);
            self.finish_reauthentication(reauthenticating, Outcome::Dropped(DropCause::NotConnected));
        }
    }

    fn begin_reauthentication(&mut self) {
        if !self.session.is_connected() || self.authenticating.current.is_some() {
            return;
        }
        let Some(authentication) = self.method() else { return };
        let Some(wanted) = self.authenticating.wanted.pop_front() else { return };
        self.freed.add(0);
        self.authenticating.current = Some((wanted, self.now + self.options.timeouts.connect));
        let apart = Apart { shared: &self.shared, running: &self.authenticating.running };
        match Exchange::begin_apart(&authentication, &apart) {
            Ok(exchange) => self.authenticating.begin(Some(exchange)),
            Err(error) => self.fail_authentication(ReasonCode::UNSPECIFIED_ERROR, error),
        }
    }

    /// The connection ends, as one of the two does not accept the other `[MQTT-4.12.1-2]`.
    fn fail_authentication(&mut self, reason_code: ReasonCode, error: io::Error) {
        if let Some((current, _)) = self.authenticating.current.take() {
            self.finish_reauthentication(current, Outcome::Dropped(DropCause::ConnectionLost));
        }
        self.authenticating.unsent = None;
        self.end_at_fault(reason_code, error);
    }

    /// The server ends the connection amid a re-authentication.
    pub(super) fn reject_reauthentication(&mut self) {
        if let Some((current, _)) = self.authenticating.current.take() {
            self.finish_reauthentication(current, Outcome::Rejected);
        }
    }

    /// The connection has gone, and with it what was to be authenticated.
    pub(super) fn drop_authentication(&mut self, outcome: Outcome) {
        (self.authenticating.exchange, self.authenticating.unsent) = (None, None);
        if let Some((current, _)) = self.authenticating.current.take() {
            self.finish_reauthentication(current, outcome);
        }
        while let Some(wanted) = self.authenticating.wanted.pop_front() {
            self.freed.add(0);
            self.finish_reauthentication(wanted, outcome);
        }
    }

    pub(super) fn finish_reauthentication(&mut self, reauthenticating: Reauthenticating, outcome: Outcome) {
        let result = ReauthenticationResult { token: reauthenticating.token, outcome };
        if let Some(tracked) = reauthenticating.tracked {
            tracked.complete(result);
        }
        self.outlet.tell_result(MqttEvent::Reauthenticated(result));
    }

    /// Ends the connection for a reason that only this side knows.
    pub(super) fn end_at_fault(&mut self, reason_code: ReasonCode, error: io::Error) {
        let now = self.session_now();
        // Where CONNACK has not come, closing says enough.
        let _ = self.session.disconnect(now, &crate::packet::Disconnect::new(reason_code));
        self.end_link(Ending::Fault(error));
    }
}

fn data(properties: &Properties<'_>) -> Secret {
    let data = properties.find(|property| match property {
        Property::AuthenticationData(data) => Some(data.to_vec()),
        _ => None,
    });
    Secret::from(data.unwrap_or_default())
}
