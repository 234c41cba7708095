//! One client's connection: its session, its transport, and what the application is owed.

mod authenticating;
mod doubt;
mod early;
mod ending;
mod in_flight;
mod incoming;
mod input;
mod link;
mod offline;
mod outgoing;
mod pending;
mod requests;
mod stored;
mod subscriptions;
#[cfg(feature = "tls")]
mod vetting;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Registry, Token as PollToken};

use self::authenticating::Authenticating;
use self::doubt::Doubt;
use self::in_flight::{InFlight, Unsent};
use self::input::Input;
use self::link::Link;
use self::pending::Pending;
use self::subscriptions::Subscriptions;
use super::command::{Acknowledgement, Command, Requesting};
use super::config::AsyncClientConfig;
use super::dispatch::Outlet;
use super::error::ClientError;
use super::event::MqttEvent;
use super::hub::NoteEnd;
use super::kept::Kept;
use super::options::{DisconnectOptions, MqttClientOptions};
use super::persistence::Journal;
use super::queue::Places;
use super::reconnect::Backoff;
use super::servers::Servers;
use super::shared::Shared;
use crate::macros::client_event;
use crate::session::{Acknowledgement as Acknowledging, Config, Heap, HeapLimits, KEPT_PLACES, Oversize, Session};
use crate::time;
use crate::types::{PacketId, QoS, ReasonCode};

/// How long many buffers, or those of long messages, are kept for the next messages, or half of it.
const SPARES_KEPT: Duration = Duration::from_secs(1);
/// So many bytes are ready for the transport at a time: more would only lie there while it takes none.
const WIRE_BYTES: usize = 128 * 1024;

pub(super) struct Connection {
    /// What the transport is known by in the worker's poll.
    poll_token: PollToken,
    options: Arc<Kept>,
    config: AsyncClientConfig,
    servers: Servers,
    shared: Arc<Shared>,
    outlet: Outlet,
    session: Session<Heap>,
    epoch: Instant,
    now: Instant,
    /// The session's clock at `now`.
    session_now: time::Instant,
    link: Link,
    input: Input,
    /// A connection is wanted.
    wanted: bool,
    auto_reconnect: bool,
    backoff: Backoff,
    /// Connections in a row that the server has closed soon after it had accepted them.
    closed_in_a_row: u32,
    /// The server has not taken credentials since a connection has held.
    has_refused_credentials: bool,
    /// The next CONNECT is the first one after `connect()`.
    is_first: bool,
    /// The client identifier that the server has chosen.
    assigned_client_id: Option<String>,
    drain: Option<Drain>,
    /// What the DISCONNECT at the end of it says beside the reason code.
    last_words: Option<Box<DisconnectOptions>>,
    /// When a shutdown that was asked for stops to wait.
    shut_down_by: Option<Instant>,
    /// Commands that came behind `disconnect()`, until it is done.
    held_back: Vec<Command>,
    /// There is more to do at once.
    again: bool,
    /// The handle keeps its buffers until then.
    spares_until: Option<Instant>,
    /// This turn has given bytes to the transport.
    has_written: bool,
    /// This turn has had commands.
    was_fed: bool,
    /// This turn has given callbacks messages that they have not answered yet.
    awaits_callbacks: bool,
    /// Messages that the session does not have.
    pending: Pending,
    /// When one of them expires, or earlier.
    next_expiry: Option<Instant>,
    unsent: Unsent,
    /// Messages of QoS 1 and 2 that the session has.
    in_flight: InFlight,
    /// Requests that were not sent.
    requests: VecDeque<Requesting>,
    /// Requests without their answer.
    unanswered: HashMap<PacketId, Requesting>,
    /// Whether one of these makes the server end connections.
    doubt: Doubt,
    /// What to subscribe when the server has no session.
    subscriptions: Subscriptions,
    /// Pings that the application has asked for and that are not sent, and since when the others are on their way.
    wanted_pings: usize,
    pings: Vec<Instant>,
    authenticating: Authenticating,
    connection_number: u64,
    session_number: u64,
    freed: Places,
    commands: Vec<Command>,
    acknowledgements: Vec<Acknowledgement>,
    /// What is kept on a disk; none where nothing is.
    journal: Option<Journal>,
    /// Messages that an earlier life has left in the buffer.
    restored: Places,
    /// The last field, so that the end is told when all else has gone.
    _end: NoteEnd,
}

/// What was accepted so far is delivered before the connection ends.
#[derive(Clone, Copy, Debug)]
struct Drain {
    until: Instant,
    reason: ReasonCode,
    shutdown: bool,
}

/// What a turn has of its worker.
pub(super) struct Means<'w> {
    pub(super) registry: &'w Registry,
    /// Where input is read to. What is not understood yet moves to memory of its connection.
    pub(super) buffer: &'w mut Vec<u8>,
    /// Bytes to read, and bytes of messages to take on, so that others have their turn.
    pub(super) budget: usize,
}

/// When the worker has to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// At once: there is more to do.
    Again,
    /// When something happens, or at that time.
    Wait(Option<Instant>),
    /// Never: the client has ended.
    Ended,
}

impl Connection {
    pub(super) fn new(
        options: Arc<Kept>,
        config: AsyncClientConfig,
        servers: Servers,
        shared: Arc<Shared>,
        outlet: Outlet,
        end: NoteEnd,
    ) -> Box<Self> {
        let now = Instant::now();
        let subscriptions = Subscriptions::new(&options.subscription_topics);
        Box::new(Self {
            poll_token: PollToken(0),
            session: Session::new(session_config(&options), Heap::new(heap_limits(&options))),
            servers,
            shared,
            outlet,
            epoch: now,
            now,
            session_now: time::Instant::from_millis(0),
            link: Link::Down,
            input: Input::default(),
            wanted: false,
            auto_reconnect: config.auto_reconnect,
            backoff: Backoff::new(&config),
            closed_in_a_row: 0,
            has_refused_credentials: false,
            is_first: true,
            assigned_client_id: None,
            drain: None,
            last_words: None,
            shut_down_by: None,
            held_back: Vec::new(),
            again: false,
            spares_until: None,
            has_written: false,
            was_fed: false,
            awaits_callbacks: false,
            pending: Pending::new(options.protocol.version),
            next_expiry: None,
            unsent: Unsent::default(),
            in_flight: InFlight::new(),
            requests: VecDeque::new(),
            unanswered: HashMap::new(),
            doubt: Doubt::default(),
            subscriptions,
            wanted_pings: 0,
            pings: Vec::new(),
            authenticating: Authenticating::default(),
            connection_number: 0,
            session_number: 0,
            freed: Places::default(),
            commands: Vec::new(),
            acknowledgements: Vec::new(),
            journal: None,
            restored: Places::default(),
            _end: end,
            options,
            config,
        })
    }

    /// Does everything that can be done now, within what the worker gives.
    pub(super) fn turn(&mut self, means: &mut Means<'_>) -> Turn {
        self.now = Instant::now();
        self.session_now = self.session_time(self.now);
        self.has_written = false;
        self.was_fed = false;
        self.awaits_callbacks = false;
        self.take_durable();
        self.take_commands();
        self.drive_link(means.registry);
        self.link.note_signal();
        if self.link.is_up() {
            self.drive_authentication();
            self.again |= self.read(means);
            self.hear_callbacks();
            self.check_session_timeout();
            self.drive_doubt();
            self.send_requests();
            self.again |= self.send_publishes_up_to(means.budget);
            self.write();
        }
        self.check_end_of_link(means.registry);
        self.bound_pending();
        let ended = self.check_drain();
        self.end_batch();
        self.tell();
        self.outlet.run_callbacks();
        let storage = self.session.storage_mut();
        let has_many = self.shared.give_back(&mut self.freed, std::iter::from_fn(|| storage.take_spent()));
        // A timer that moves with every turn would cost something each time.
        if has_many && self.spares_until.is_none_or(|until| until < self.now + SPARES_KEPT / 2) {
            self.spares_until = Some(self.now + SPARES_KEPT);
        }
        self.note_pending();
        // What the handle does not take is not kept.
        while self.session.storage_mut().take_spent().is_some() {}
        match (ended, std::mem::take(&mut self.again)) {
            (true, _) => Turn::Ended,
            (false, true) => Turn::Again,
            (false, false) => {
                self.shrink();
                Turn::Wait(self.next_timeout())
            }
        }
    }

    /// Lets the handle know whether messages are sent at once, and how many wait.
    fn note_pending(&self) {
        self.shared.note_pending(self.session.is_connected(), self.pending.len(), self.pending.bytes());
    }

    /// What the worker knows it by from now on.
    pub(super) const fn set_poll_token(&mut self, token: PollToken) {
        self.poll_token = token;
    }

    /// Whether the last turn had commands.
    pub(super) const fn was_fed(&self) -> bool {
        self.was_fed
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The transport may take or give bytes.
    pub(super) fn handle_readiness(&mut self, event: &Event) {
        self.link.note_readiness(event);
    }

    fn take_commands(&mut self) {
        let mut acknowledgements = std::mem::take(&mut self.acknowledgements);
        self.shared.take(&mut self.commands, &mut acknowledgements);
        self.was_fed |= !self.commands.is_empty();
        self.awaits_callbacks &= self.commands.is_empty() && acknowledgements.is_empty();
        for acknowledgement in acknowledgements.drain(..) {
            self.acknowledge(acknowledgement);
        }
        self.acknowledgements = acknowledgements;
        // Out of their place one by one: where one of them fails, the others still have to end.
        self.commands.reverse();
        while let Some(command) = self.commands.pop() {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        if let Command::Shutdown = command {
            self.shut_down_by.get_or_insert(self.now + self.options.timeouts.drain);
        }
        if self.drain.is_some() && !matches!(command, Command::SetAutoReconnect(_)) {
            return self.held_back.push(command);
        }
        if command.is_control() {
            self.shared.remove_control();
        }
        match command {
            Command::Connect => self.want_connection(),
            Command::Publish(publishing) => {
                self.note_accepted_message(&publishing);
                self.pending.push_back(publishing);
            }
            Command::Run(run) => self.accept_run(run),
            Command::Request(requesting) => {
                self.send_publishes_first(requesting.token);
                self.requests.push_back(requesting);
                self.send_requests();
            }
            Command::Ping => self.wanted_pings += 1,
            Command::Reauthenticate(reauthenticating) => self.want_reauthentication(reauthenticating),
            Command::SetAutoReconnect(on) => self.auto_reconnect = on,
            Command::Disconnect(reason, options) => {
                self.last_words = Some(options);
                self.begin_drain(reason, false);
            }
            Command::Shutdown => self.begin_drain(ReasonCode::SUCCESS, true),
        }
    }

    fn begin_drain(&mut self, reason: ReasonCode, shutdown: bool) {
        self.drain = Some(Drain { until: self.now + self.options.timeouts.drain, reason, shutdown });
    }

    /// When a disconnect or shutdown stops to wait. One shutdown deadline holds for all that was to be done before.
    fn drain_until(&self) -> Option<Instant> {
        let drain = self.drain?;
        Some(self.shut_down_by.map_or(drain.until, |by| by.min(drain.until)))
    }

    /// Goes on with a disconnect or shutdown; `true` when the client has ended.
    fn check_drain(&mut self) -> bool {
        let Some(drain) = self.drain else { return false };
        let is_late = self.drain_until().is_some_and(|until| self.now >= until);
        let is_due = is_late || self.is_idle();
        if self.session.is_connected() {
            if is_due {
                self.send_disconnect(drain.reason);
                self.again = true;
            }
            return false;
        }
        let is_ending = self.session.is_closing() || self.link.is_lingering();
        // A server that has CONNECT publishes the will unless DISCONNECT follows, for which CONNACK has to come first.
        let is_answered_soon = self.link.is_up() && !is_late;
        if is_ending || is_answered_soon || (self.wanted && !is_due) {
            return false;
        }
        self.wanted = false;
        self.abandon_link();
        (self.drain, self.last_words) = (None, None);
        if drain.shutdown {
            if !self.settle(is_late) {
                // The disk tells when it is done.
                self.drain = Some(drain);
                return false;
            }
            self.cancel_everything();
            return true;
        }
        for command in std::mem::take(&mut self.held_back) {
            self.execute(command);
        }
        self.again = true;
        false
    }

    /// Gives back the memory of a burst, where nothing is left of it.
    fn shrink(&mut self) {
        if !self.is_idle() {
            return;
        }
        if self.commands.capacity() > KEPT_PLACES {
            self.commands = Vec::new();
            self.shared.shrink();
        }
        if self.spares_until.is_some_and(|until| self.now >= until) {
            self.spares_until = None;
            self.shared.drop_spares();
        }
        self.pending.shrink(KEPT_PLACES);
        self.unsent.shrink(KEPT_PLACES);
        self.in_flight.shrink();
        self.session.storage_mut().shrink();
    }

    /// Whether everything that was accepted is done with.
    fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && self.requests.is_empty()
            && self.unanswered.is_empty()
            && self.in_flight.is_empty()
            && self.unsent.is_empty()
            && self.wanted_pings == 0
            && self.pings.is_empty()
            && self.is_settled()
            && self.authenticating.is_idle()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let session = self.session.poll_timeout().map(|at| {
            let left = at.millis_since(self.session_now());
            self.now + Duration::from_millis(u64::from(left))
        });
        // A drain that is over waits for its connection to end, which has a time of its own.
        let drain = self.drain_until().filter(|until| *until > self.now);
        let [spares, held] =
            [self.spares_until, self.input.held_until].map(|until| until.filter(|until| *until > self.now));
        let doubt = self.doubt.next_timeout().filter(|until| *until > self.now);
        let authenticating = self.authenticating.deadline();
        [session, drain, self.link.next_timeout(), self.next_expiry(), authenticating, doubt, spares, held]
            .into_iter()
            .flatten()
            .min()
    }

    /// The session's clock.
    const fn session_now(&self) -> time::Instant {
        self.session_now
    }

    fn session_time(&self, at: Instant) -> time::Instant {
        let millis = at.saturating_duration_since(self.epoch).as_millis();
        // The session's clock wraps.
        time::Instant::from_millis(u32::try_from(millis & u128::from(u32::MAX)).unwrap_or(0))
    }

    /// The identifier that the session has.
    fn client_id(&self) -> &str {
        self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id)
    }

    fn tell_error(&mut self, error: io::Error) {
        client_event!(self.client_id(), warn, "{}", error);
        self.outlet.tell(MqttEvent::Error(error));
    }

    fn acknowledge(&mut self, acknowledgement: Acknowledgement) {
        let Acknowledgement { receipt, count, code, by_hand } = acknowledgement;
        let is_current = receipt.session == self.session_number
            && (receipt.connection == self.connection_number || receipt.qos == QoS::ExactlyOnce);
        let now = self.session_now();
        if count > 1 {
            if is_current {
                self.session.acknowledge_run(receipt.inner, count);
            }
            return;
        }
        let accepted = is_current && self.session.acknowledge(now, receipt.inner, code).is_ok();
        if !accepted && by_hand {
            self.tell_error(ClientError::StaleReceipt.into());
        }
    }
}

fn session_config(options: &MqttClientOptions) -> Config {
    let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(time::Instant::MAX_SPAN_MS);
    Config {
        version: options.protocol.version,
        // The callbacks decide when, so the session always waits to be told.
        acknowledgement: Acknowledging::Manual,
        receive_limit: options.limits.maximum_packet_size,
        oversize: Oversize::Refuse,
        receive_maximum: options.protocol.receive_maximum,
        topic_alias_maximum: options.protocol.topic_alias_maximum,
        outbound_topic_aliases: options.protocol.topic_aliases,
        // The link counts from the beginning of the attempt, and says more when that is over.
        connect_timeout_ms: millis(options.timeouts.connect + Duration::from_secs(1)),
        ping_timeout_ms: millis(options.timeouts.ping),
    }
}

fn heap_limits(options: &MqttClientOptions) -> HeapLimits {
    HeapLimits { window: options.limits.in_flight, wire_bytes: WIRE_BYTES, ..HeapLimits::default() }
}
