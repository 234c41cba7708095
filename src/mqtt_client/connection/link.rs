//! The way from nothing to a connection and back: opening, CONNECT, loss.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Registry;
use mio::event::Event;
use zeroize::Zeroize;

use super::Connection;
use super::ending::Ending;
#[cfg(feature = "tls")]
use super::vetting::Vetting;
use crate::codec::{Properties, Property};
use crate::macros::client_event;
use crate::mqtt_client::client::{DropCause, Outcome, PingResult};
use crate::mqtt_client::connecting::Credentials;
use crate::mqtt_client::connector::{Opened, Opening, State, Target};
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::options::{Secret, Will};
use crate::mqtt_client::outbound_properties::{disconnect_properties, message_properties, user_properties};
use crate::mqtt_client::transport::Transport;
use crate::packet::{self, Disconnect};
use crate::session::{ConnectOptions, Misuse, Storage};
use crate::types::{QoS, ReasonCode};

/// How long the last packet may take to leave, and the peer to close after that.
const LINGER: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Link {
    /// There is none, and none is being opened.
    Down,
    /// The next attempt begins then.
    Waiting { until: Instant },
    /// It is worked at.
    Opening(Opening),
    /// The application looks at the certificate of the server.
    #[cfg(feature = "tls")]
    Vetting(Box<Vetting>),
    /// A transport is open.
    Up(Up),
    /// DISCONNECT has gone; the peer closes first, so that nothing of it is lost to a reset.
    Lingering { transport: Transport, until: Instant },
}

#[derive(Debug)]
pub(super) struct Up {
    pub(super) transport: Transport,
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// The peer sends no more than what can be read now, and the poll will not tell of that again.
    pub(super) read_closed: bool,
    /// Writing has failed; what the peer has said before its end is still to be read.
    write_error: Option<io::Error>,
    /// CONNACK has to come until then.
    deadline: Instant,
    accepted_at: Option<Instant>,
    /// Of the connector's, until the server has accepted the connection.
    place: Option<Arc<()>>,
    ending: Option<Ending>,
    /// The last packet has to leave until then.
    leave_until: Option<Instant>,
}

impl Up {
    pub(super) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }
}

impl Link {
    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }

    pub(super) const fn is_lingering(&self) -> bool {
        matches!(self, Self::Lingering { .. })
    }

    pub(super) const fn up(&mut self) -> Option<&mut Up> {
        match self {
            Self::Up(up) => Some(up),
            _ => None,
        }
    }

    pub(super) fn note_readiness(&mut self, event: &Event) {
        match self {
            Self::Up(up) => {
                up.read_closed |= event.is_read_closed() || event.is_error();
                up.readable |= event.is_readable() || up.read_closed;
                up.writable |= event.is_writable() || event.is_write_closed();
            }
            Self::Opening(opening) => opening.note_readiness(),
            _ => {}
        }
    }

    /// A transport that the poll cannot see may be ready.
    pub(super) fn note_signal(&mut self) {
        if let Some(up) = self.up()
            && up.transport.take_signal()
        {
            (up.readable, up.writable) = (true, true);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Down => None,
            Self::Waiting { until } | Self::Lingering { until, .. } => Some(*until),
            Self::Opening(opening) => opening.until(),
            #[cfg(feature = "tls")]
            Self::Vetting(vetting) => Some(vetting.deadline()),
            Self::Up(up) => up.leave_until.or_else(|| up.accepted_at.is_none().then_some(up.deadline)),
        }
    }

    fn end(&mut self, ending: Ending, now: Instant) {
        if let Some(up) = self.up()
            && up.ending.is_none()
        {
            up.ending = Some(ending);
            up.leave_until = Some(now + LINGER);
        }
    }
}

impl Connection {
    /// `connect()` was called.
    pub(super) fn want_connection(&mut self) {
        if self.wanted {
            return;
        }
        self.wanted = true;
        self.shared.set_wants_connection(true);
        self.is_first = true;
        self.begin_attempts();
        if !self.link.is_up() && !self.link.is_lingering() {
            self.open_link();
        }
    }

    /// Goes on with opening, waiting and lingering.
    pub(super) fn drive_link(&mut self, registry: &Registry) {
        match &mut self.link {
            Link::Waiting { until } if self.now >= *until => {
                self.outlet.tell(MqttEvent::ReconnectAttempt(self.backoff.attempt()));
                self.open_link();
            }
            Link::Opening(opening) => match opening.poll(registry, self.poll_token, self.now) {
                #[cfg(feature = "tls")]
                State::Done(Ok(opened), deadline) => self.vet(registry, *opened, deadline),
                #[cfg(not(feature = "tls"))]
                State::Done(Ok(opened), deadline) => self.begin_connection(registry, *opened, deadline),
                State::Done(Err(error), _) => self.fail_attempt(error),
                State::Begun(_) if opening.until().is_some_and(|until| self.now >= until) => {
                    let error = opening.timed_out();
                    self.fail_attempt(error);
                }
                State::Begun(_) | State::Waiting => {}
            },
            #[cfg(feature = "tls")]
            Link::Vetting(_) => self.check_verdict(registry),
            Link::Lingering { transport, until } => {
                if transport.has_unsent() {
                    // It is tried again with the next event.
                    let _ = transport.finish_writing();
                }
                let passed_by = let_pass(transport);
                // There may be more, or the end, right behind.
                self.again = match &passed_by {
                    Ok(len) => *len > 0,
                    Err(error) => error.kind() == io::ErrorKind::Interrupted,
                };
                let closed = match passed_by {
                    Ok(len) => len == 0,
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock && !self.again,
                };
                if closed || self.now >= *until {
                    self.abandon_link();
                    if self.wanted && self.drain.is_none() {
                        self.open_link();
                    }
                }
            }
            _ => {}
        }
    }

    fn open_link(&mut self) {
        client_event!(self.client_id(), debug, "connecting to {}", self.servers);
        let timeout = self.options.timeouts.connect;
        let target = Target::new(&mut self.servers, &self.options.connecting);
        match self.shared.hub.connectors.open(target, timeout, &self.shared) {
            Ok(opening) => {
                self.link = Link::Opening(opening);
                self.again = true;
            }
            Err(error) => self.fail_attempt(error),
        }
    }

    pub(super) fn begin_connection(&mut self, registry: &Registry, opened: Opened, deadline: Instant) {
        let Opened { mut transport, peer, credentials, exchange, place } = opened;
        let (exchange, initial_data) = exchange.unzip();
        self.authenticating.begin(exchange);
        self.servers.note_reached(peer);
        if let Err(error) = transport.register(registry, self.poll_token) {
            return self.fail_attempt(error);
        }
        self.link = Link::Up(Up {
            transport,
            readable: true,
            writable: true,
            read_closed: false,
            write_error: None,
            deadline,
            accepted_at: None,
            place,
            ending: None,
            leave_until: None,
        });
        if let Err(misuse) = self.send_connect(credentials, initial_data.flatten()) {
            self.give_up();
            self.link.end(Ending::Fault(io::Error::new(io::ErrorKind::InvalidInput, misuse)), self.now);
        }
    }

    fn send_connect(&mut self, mut provided: Option<Credentials>, initial_data: Option<Secret>) -> Result<(), Misuse> {
        let options = &self.options;
        let (username, password) = match &provided {
            Some(credentials) => (&credentials.username, &credentials.password),
            None => (&options.username, &options.password),
        };
        let protocol = &options.protocol;
        let session_expiry_interval = if options.sessionless { 0 } else { protocol.session_expiry_interval };
        let resumes = protocol.version.is_v5() && session_expiry_interval > 0 && !self.is_first;
        let mut properties = Vec::new();
        if protocol.request_response_information {
            properties.push(Property::RequestResponseInformation(true));
        }
        if protocol.omit_problem_information {
            properties.push(Property::RequestProblemInformation(false));
        }
        if let Some(authentication) = &options.connecting.authentication {
            properties.push(Property::AuthenticationMethod(authentication.method()));
        }
        properties.extend(initial_data.as_ref().map(|data| Property::AuthenticationData(data.expose())));
        properties.extend(user_properties(&protocol.user_properties));
        let will_properties = options.will.as_ref().map(will_properties);
        let will = options.will.as_ref().zip(will_properties.as_deref()).map(|(will, properties)| packet::Will {
            topic: &will.topic,
            payload: &will.payload,
            qos: QoS::from_bits(will.qos).unwrap_or_default(),
            retain: will.retain,
            properties: Properties::new(properties),
        });
        let now = self.session_now();
        let connected = self.session.connect(
            now,
            &ConnectOptions {
                client_id: self.assigned_client_id.as_deref().unwrap_or(&options.client_id),
                clean_start: options.sessionless || (options.clean_start && !resumes),
                keep_alive: options.keep_alive,
                username: username.as_deref(),
                password: password.as_ref().map(Secret::expose),
                will,
                session_expiry_interval,
                properties: &properties,
            },
        );
        if let Some(credentials) = &mut provided {
            // It may be a token.
            credentials.username.zeroize();
        }
        connected
    }

    /// CONNACK has accepted the connection.
    pub(super) fn note_accepted(&mut self) {
        if let Some(up) = self.link.up() {
            up.accepted_at = Some(self.now);
            up.place = None;
        }
        self.is_first = false;
    }

    /// The connection ends once its last packet has left.
    pub(super) fn end_link(&mut self, ending: Ending) {
        self.link.end(ending, self.now);
    }

    /// Nothing can be written any more. The reason may lie in what is still to be read, so that comes first.
    pub(super) fn note_write_error(&mut self, error: io::Error) {
        if let Some(up) = self.link.up() {
            (up.writable, up.readable) = (false, true);
            up.write_error = Some(error);
            self.again = true;
        }
    }

    /// The transport has failed: nothing leaves any more.
    pub(super) fn lose_link(&mut self, error: io::Error) {
        self.link.end(Ending::Fault(error), self.now);
        if let Some(up) = self.link.up() {
            (up.readable, up.writable) = (false, false);
            up.leave_until = Some(self.now);
        }
    }

    pub(super) fn send_disconnect(&mut self, reason_code: ReasonCode) {
        let now = self.session_now();
        let options = self.last_words.take();
        let properties = options.as_deref().map(disconnect_properties).unwrap_or_default();
        let full = Disconnect { reason_code, properties: Properties::new(&properties) };
        let mut sent = self.session.disconnect(now, &full);
        if sent.is_err() {
            // The server may take no packet as long as that.
            sent = self.session.disconnect(now, &Disconnect::new(reason_code));
        }
        if sent.is_ok() {
            self.link.end(Ending::ByClient(reason_code), self.now);
            self.write();
        }
    }

    pub(super) fn check_session_timeout(&mut self) {
        let now = self.session_now();
        if let Err(error) = self.session.handle_timeout(now) {
            self.end_link(Ending::Fault(io::Error::new(io::ErrorKind::TimedOut, error)));
        }
        if let Some(up) = self.link.up()
            && up.accepted_at.is_none()
            && self.now >= up.deadline
        {
            let timeout = self.options.timeouts.connect;
            let text = format!("cannot connect to {}: no CONNACK within {timeout:?}", self.servers.last());
            self.end_link(Ending::Fault(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
    }

    /// Closes a connection that has come to its end, and sees to the next one.
    pub(super) fn check_end_of_link(&mut self, registry: &Registry) {
        if let Some(up) = self.link.up()
            && (!up.readable || up.is_ending() || self.input.is_paused())
            && let Some(error) = up.write_error.take()
        {
            self.lose_link(error);
        }
        if !self.link.up().is_some_and(|up| up.is_ending()) {
            return;
        }
        let now = self.session_now();
        let is_empty = self.session.poll_transmit(now).is_none();
        let Some(up) = self.link.up() else { return };
        let has_left = is_empty && !up.transport.has_unsent();
        let is_over = has_left || up.leave_until.is_some_and(|until| self.now >= until);
        let Some(ending) = up.ending.take_if(|_| is_over) else { return };
        let was_accepted = up.accepted_at;
        let Link::Up(up) = std::mem::replace(&mut self.link, Link::Down) else { return };
        let is_all_sent = self.session.storage().transmit().is_empty() && !up.transport.has_unsent();
        let is_something_unanswered = self.is_something_unanswered(is_all_sent);
        self.take_back();
        self.close(registry, up.transport, &ending);
        self.after_end(ending, was_accepted, is_something_unanswered);
    }

    fn close(&mut self, registry: &Registry, mut transport: Transport, ending: &Ending) {
        if matches!(ending, Ending::ByClient(_)) && transport.finish_writing().is_ok() {
            self.link = Link::Lingering { transport, until: self.now + LINGER };
        } else {
            // A transport that is dropped leaves the poll by itself; saying so frees its place at once.
            let _ = transport.deregister(registry);
        }
    }

    /// Takes back from the session what the connection has not done.
    fn take_back(&mut self) {
        let now = self.session_now();
        self.session.handle_closed(now);
        // Of a run that was cut, too.
        self.collect_sent();
        self.input.clear();
        self.resume_reading();
        self.drop_unsent();
        self.drop_authentication(Outcome::Dropped(DropCause::ConnectionLost));
        // What has waited for its turn on this connection may expire without one.
        self.next_expiry = Some(self.now);
        self.take_back_requests();
    }

    /// Lets go of whatever there is of a link, without a word.
    pub(super) fn abandon_link(&mut self) {
        if self.link.is_up() {
            self.take_back();
        }
        self.link = Link::Down;
    }

    /// Pings whose connection has gone are answered, too.
    pub(super) fn fail_pings(&mut self) {
        for _ in self.pings.drain(..) {
            self.freed.add(0);
            self.outlet.tell_result(MqttEvent::PingResponse(PingResult { success: false, round_trip: None }));
        }
    }
}

fn will_properties(will: &Will) -> Vec<Property<'_>> {
    let mut properties = message_properties(&will.properties);
    if will.delay_interval > 0 {
        properties.push(Property::WillDelayInterval(will.delay_interval));
    }
    properties
}

/// Reads what nobody wants any more. Apart from all else, as its room on the stack would be touched in every turn.
#[inline(never)]
fn let_pass(transport: &mut Transport) -> io::Result<usize> {
    transport.read(&mut [0; 16 * 1024])
}
