//! The end of a connection or of an attempt, and what follows it.

use std::io;
use std::time::Instant;

use super::Connection;
use super::doubt::Finding;
use super::link::Link;
use crate::codec::{Properties, Property};
use crate::macros::client_event;
use crate::mqtt_client::client::Outcome;
use crate::mqtt_client::command::Command;
use crate::mqtt_client::error::ConnectionError;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::reconnect::{SUSPICIOUS, Verdict, judge};
use crate::types::{ProtocolVersion, ReasonCode};

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// This client has sent DISCONNECT.
    ByClient(ReasonCode),
    /// The server has sent DISCONNECT.
    ByServer(Farewell),
    /// CONNACK has refused it.
    Refused(Farewell),
    /// The transport or the server has failed.
    Fault(io::Error),
}

/// What the server says at the end.
#[derive(Debug)]
pub(super) struct Farewell {
    reason: ReasonCode,
    reason_string: Option<String>,
    server_reference: Option<String>,
}

impl Farewell {
    pub(super) fn new(reason: ReasonCode, properties: &Properties<'_>) -> Self {
        let server_reference = properties.find(|property| match property {
            Property::ServerReference(server) => Some(server.to_string()),
            _ => None,
        });
        Self { reason, reason_string: properties.reason_string().map(str::to_string), server_reference }
    }
}

/// When the next attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Soon,
    Late,
    Never,
}

impl Connection {
    /// What was learnt by earlier attempts is forgotten.
    pub(super) fn begin_attempts(&mut self) {
        self.backoff.reset();
        self.servers.restart();
        self.closed_in_a_row = 0;
        self.has_refused_credentials = false;
    }

    pub(super) fn after_end(&mut self, ending: Ending, was_accepted: Option<Instant>, is_something_unanswered: bool) {
        let stable_after = self.options.connecting.stable_after;
        let has_held = was_accepted.is_some_and(|since| self.now.saturating_duration_since(since) >= stable_after);
        if has_held {
            self.backoff.reset();
            self.closed_in_a_row = 0;
            self.has_refused_credentials = false;
        }
        // An attempt that has not come to a connection says nothing.
        let finding = match was_accepted {
            Some(_) => self.doubt.handle_end(ending.disconnect_code(), is_something_unanswered),
            None => Finding::Nothing,
        };
        if let Finding::Certain(subject, code) = &finding {
            self.give_up_unwelcome(subject, *code);
        }
        let next = match ending {
            Ending::ByClient(reason) => {
                client_event!(self.client_id(), info, "disconnected");
                self.tell_disconnected(reason);
                self.wanted = false;
                return;
            }
            Ending::ByServer(farewell) => self.note_disconnect(farewell, &finding),
            Ending::Refused(farewell) => self.note_refusal(farewell),
            Ending::Fault(error) if was_accepted.is_some() => self.note_loss(error, has_held),
            Ending::Fault(error) => {
                self.servers.skip();
                self.tell_error(error);
                Next::Soon
            }
        };
        self.try_again(next);
    }

    fn note_disconnect(&mut self, farewell: Farewell, finding: &Finding) -> Next {
        self.tell_disconnected(farewell.reason);
        // It says nothing about the next connection where it is about a request.
        let next = if *finding == Finding::Nothing { self.follows(&farewell) } else { Next::Soon };
        if next == Next::Late {
            self.tell_clash(true);
        } else {
            self.tell_error(farewell.disconnect(next != Next::Never).into());
        }
        next
    }

    fn note_refusal(&mut self, farewell: Farewell) -> Next {
        let next = self.follows(&farewell);
        match next {
            Next::Never => self.tell_error(farewell.refusal(self.session.version()).into()),
            Next::Late => self.tell_clash(true),
            Next::Soon => {
                client_event!(self.client_id(), warn, "the server refuses the connection: {}", farewell.reason);
            }
        }
        next
    }

    /// A connection that was accepted has gone without a word of the server.
    fn note_loss(&mut self, error: io::Error, has_held: bool) -> Next {
        client_event!(self.client_id(), warn, "connection lost: {}", error);
        let kind = error.kind();
        self.outlet.tell(MqttEvent::Error(error));
        self.outlet.tell(MqttEvent::ConnectionLost);
        let is_closed_by_server = matches!(
            kind,
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
        );
        self.closed_in_a_row =
            if is_closed_by_server && !has_held { self.closed_in_a_row.saturating_add(1) } else { 0 };
        if self.closed_in_a_row < SUSPICIOUS {
            return Next::Soon;
        }
        self.tell_clash(false);
        Next::Late
    }

    fn tell_clash(&mut self, is_certain: bool) {
        let client_id = self.client_id().to_string();
        self.tell_error(ConnectionError::ClientIdInUse { client_id, is_certain }.into());
    }

    fn follows(&mut self, farewell: &Farewell) -> Next {
        let verdict = judge(farewell.reason);
        if verdict == Verdict::TakenOver {
            return Next::Late;
        }
        self.servers.skip();
        let goes_on = match verdict {
            Verdict::AskForCredentials => {
                // The credentials may have run out on their way.
                let connecting = &self.options.connecting;
                let can_ask = connecting.credentials.is_some() || connecting.authentication.is_some();
                let may_ask = can_ask && !self.has_refused_credentials;
                self.has_refused_credentials = true;
                may_ask
            }
            Verdict::GoElsewhere { has_moved } => {
                let reference = farewell.server_reference.as_deref().unwrap_or("");
                self.servers.follow(reference, has_moved, self.options.connecting.redirects)
            }
            Verdict::Retry => true,
            Verdict::Stop | Verdict::TakenOver => false,
        };
        if goes_on { Next::Soon } else { Next::Never }
    }

    pub(super) fn fail_attempt(&mut self, error: io::Error) {
        self.link = Link::Down;
        self.servers.skip();
        self.tell_error(error);
        self.try_again(Next::Soon);
    }

    fn try_again(&mut self, next: Next) {
        let retries = next != Next::Never && self.wanted && self.options.reconnect && self.auto_reconnect;
        let delay = if next == Next::Late { self.backoff.next_long_delay() } else { self.backoff.next_delay() };
        match delay.filter(|_| retries) {
            Some(delay) => {
                let attempt = self.backoff.attempt();
                client_event!(self.client_id(), info, "reconnection attempt {} in {:?}", attempt, delay);
                self.link = Link::Waiting { until: self.now + delay };
            }
            None => {
                if retries {
                    let attempts = self.config.max_reconnect_attempts;
                    self.tell_error(ConnectionError::GaveUp { attempts }.into());
                }
                self.give_up();
            }
        }
    }

    /// Ends the client on the spot, because the worker has failed in it: what the application is owed is told, and
    /// nothing else of it can be trusted.
    pub(in crate::mqtt_client) fn abort(&mut self, text: &str) {
        let unseen = self.shared.shut();
        let error = io::Error::other(format!("the client ends, because it has failed: {text}"));
        self.outlet.tell(MqttEvent::Error(error));
        if self.session.is_connected() {
            self.outlet.tell(MqttEvent::ConnectionLost);
        }
        let taken = std::mem::take(&mut self.commands).into_iter().rev();
        for command in std::mem::take(&mut self.held_back).into_iter().chain(taken).chain(unseen) {
            match command {
                Command::Publish(publishing) => {
                    self.note_accepted_message(&publishing);
                    self.pending.push_back(publishing);
                }
                Command::Run(run) => self.accept_run(run),
                Command::Request(requesting) => self.requests.push_back(requesting),
                Command::Ping => self.wanted_pings += 1,
                Command::Reauthenticate(reauthenticating) => {
                    self.finish_reauthentication(reauthenticating, Outcome::Cancelled);
                }
                _ => {}
            }
        }
        self.cancel_everything();
        self.outlet.flush();
        self.outlet.run_callbacks();
    }

    /// There are no more attempts until the next `connect()`.
    pub(super) fn give_up(&mut self) {
        self.wanted = false;
        self.shared.set_wants_connection(false);
    }

    fn tell_disconnected(&mut self, reason: ReasonCode) {
        let code = self.session.version().is_v5().then_some(reason.byte());
        self.outlet.tell(MqttEvent::Disconnected(code));
    }
}

impl Ending {
    /// The code of the server's DISCONNECT.
    const fn disconnect_code(&self) -> Option<ReasonCode> {
        match self {
            Self::ByServer(farewell) => Some(farewell.reason),
            Self::ByClient(_) | Self::Refused(_) | Self::Fault(_) => None,
        }
    }
}

impl Farewell {
    fn refusal(self, version: ProtocolVersion) -> ConnectionError {
        let Self { reason, reason_string, server_reference } = self;
        let description = reason.description(version);
        ConnectionError::Refused { reason, description, reason_string, server_reference }
    }

    fn disconnect(self, tries_again: bool) -> ConnectionError {
        let Self { reason, reason_string, server_reference } = self;
        let description = reason.description(ProtocolVersion::V5);
        ConnectionError::EndedByServer { reason, description, reason_string, server_reference, tries_again }
    }
}
