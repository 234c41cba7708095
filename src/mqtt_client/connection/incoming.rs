//! Bytes of the server, and what the application hears of them.

use std::io;
use std::time::{Duration, Instant};

use super::authenticating::Challenge;
use super::ending::{Ending, Farewell};
use super::input::Input;
use super::requests::Answered;
use super::{Connection, Means};
use crate::codec::Property;
use crate::macros::client_event;
use crate::mqtt_client::batch::{Batch, Flags, Place, Span};
use crate::mqtt_client::client::ConnectionResult;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::properties::PropertyBlock;
use crate::packet::{Connack, Suback, Unsuback};
use crate::session::{Event, Heap, Message, PeerError, Session, Stall, Topic};
use crate::time;
use crate::types::{PacketId, ReasonCode};

/// Who sends so few bytes at once may wait for an answer.
const FEW: usize = 4 * 1024;

/// Bounds of how many messages are answered together: a write for fewer costs more than it saves, and with more the
/// callbacks begin later than they could.
const LEAST_ANSWERS: usize = 16;
const MOST_ANSWERS: usize = 256;
/// Reading waits where so much has not been handled, or two batches: what circulates stays in the cache, and is little.
const AHEAD: usize = 192 * 1024;
/// How long reading waits for callbacks that are behind.
const HOLD: Duration = Duration::from_millis(5);

/// What a packet means, without borrowing the input.
enum Step {
    /// Nothing that the application has to hear.
    Nothing,
    Message,
    Connected(ConnectionResult, Option<String>),
    Published(PacketId, ReasonCode, PropertyBlock<'static>),
    Answered(Answered),
    PingResponse,
    Auth(Challenge),
    Disconnected(Farewell),
    Incomplete,
    Stalled(Stall),
    Fault(io::Error),
}

impl Connection {
    /// Reads and handles what there is, up to a measure; whether there may be more.
    pub(super) fn read(&mut self, means: &mut Means<'_>) -> bool {
        self.check_pause();
        self.input.borrow(means.buffer, &self.shared.hub.spares);
        self.input.unanswered = 0;
        let goes_on = self.read_up_to(means.budget);
        self.let_callbacks_run();
        self.input.give_back(means.buffer, &self.shared.hub.spares);
        goes_on
    }

    /// Takes what callbacks ask for meanwhile, so that it goes out with this turn's write. Those of another thread hear
    /// of results behind it, so that they do not take the processor first.
    pub(super) fn hear_callbacks(&mut self) {
        self.outlet.run_callbacks();
        let was_fed = self.was_fed;
        self.take_commands();
        // Callbacks that run here need no processor to ask for more.
        self.was_fed &= was_fed || !self.outlet.listener().runs_here();
    }

    fn read_up_to(&mut self, mut budget: usize) -> bool {
        if self.input.stalled {
            self.handle_input();
        }
        while budget > 0 && !self.input.paused && !self.input.stalled {
            if self.is_held() {
                return false;
            }
            let Some(up) = self.link.up() else { return false };
            if !up.readable || up.is_ending() {
                return false;
            }
            let room = self.input.room(&self.shared.hub.spares, self.session.version());
            let room_len = room.len();
            match up.transport.read(room) {
                Ok(0) => self.lose_link(io::Error::new(io::ErrorKind::UnexpectedEof, self.end_of_input())),
                Ok(len) => {
                    up.readable = up.read_closed || up.transport.may_have_more(len, room_len);
                    self.input.has_read(len);
                    budget = budget.saturating_sub(len);
                    self.handle_input();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => up.readable = false,
                // What was read was not MQTT's, but it has cost its time.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => budget = budget.saturating_sub(room_len),
                Err(error) => self.lose_link(error),
            }
        }
        let goes_on = !self.input.paused && !self.input.stalled;
        goes_on && self.link.up().is_some_and(|up| up.readable)
    }

    /// What the end of the input means.
    fn end_of_input(&self) -> &'static str {
        match (self.input.is_empty(), self.session.is_connected(), self.session.version().is_v5()) {
            (false, ..) => "the server has closed the connection in mid-packet",
            (true, false, true) => {
                "the server has closed the connection without an answer to CONNECT: it may not know MQTT 5.0"
            }
            (true, false, false) => "the server has closed the connection without an answer to CONNECT",
            (true, true, _) => "the server has closed the connection",
        }
    }

    /// Whether reading leaves callbacks time to catch up. For a moment only: one that takes long may wait for what
    /// comes next.
    fn is_held(&mut self) -> bool {
        if !self.shared.is_ahead(AHEAD.max(2 * self.input.last_cost)) {
            self.input.held_until = None;
            return false;
        }
        self.now < *self.input.held_until.get_or_insert_with(|| Instant::now() + HOLD)
    }

    /// Stops to read while too much waits for its callbacks. The server's silence means nothing then.
    fn check_pause(&mut self) {
        // Before CONNACK there is nothing to hold back, and without it no connection.
        let can_pause = self.session.is_connected();
        if self.input.paused {
            if !can_pause || self.shared.little_is_undelivered() {
                self.resume_reading();
            }
            return;
        }
        if !can_pause || !self.shared.too_much_undelivered() {
            return;
        }
        self.input.paused = true;
        self.shared.set_reading_paused(true);
        let now = self.session_now();
        self.session.set_reading_paused(now, true);
        // A callback that has ended just before was not asked to wake this thread.
        if self.shared.little_is_undelivered() {
            self.resume_reading();
        }
    }

    pub(super) fn resume_reading(&mut self) {
        if self.input.paused {
            self.input.paused = false;
            self.shared.set_reading_paused(false);
            let now = self.session_now();
            self.session.set_reading_paused(now, false);
        }
    }

    fn handle_input(&mut self) {
        self.input.stalled = false;
        self.input.begin_batch();
        self.input.answerable = 0;
        let now = self.session_now();
        loop {
            if self.holds_connack() {
                self.input.stalled = true;
                break;
            }
            self.handle_run(now);
            if self.input.unanswered >= self.answers_at() {
                self.send_batch();
                self.answer();
                continue;
            }
            self.handle_acks(now);
            match self.handle_packet(now) {
                Step::Nothing | Step::Message => {}
                Step::Connected(result, client_id) => {
                    self.send_batch();
                    self.handle_connected(result, client_id);
                }
                Step::Published(packet_id, code, properties) => self.handle_published(packet_id, code, properties),
                Step::Answered(answer) => {
                    self.send_batch();
                    self.handle_answer(answer);
                }
                Step::PingResponse => {
                    self.doubt.handle_ping_response();
                    self.answer_pings();
                }
                Step::Auth(challenge) => self.handle_auth(challenge),
                Step::Disconnected(farewell) => {
                    self.reject_reauthentication();
                    self.end_link(Ending::ByServer(farewell));
                }
                Step::Incomplete => break,
                // What waits for the disk does not leave in this turn.
                Step::Stalled(Stall::TransmitFirst) if self.write() && self.is_settled() => {}
                Step::Stalled(_) => {
                    self.input.stalled = true;
                    break;
                }
                Step::Fault(error) => {
                    self.end_link(Ending::Fault(error));
                    break;
                }
            }
        }
        self.send_batch();
        if self.input.answerable > 0 {
            self.input.early.note(self.input.answerable, self.now);
        }
    }

    /// Handles the messages in a row that need nothing else.
    fn handle_run(&mut self, now: time::Instant) {
        let at_most = self.answers_at().saturating_sub(self.input.unanswered);
        let Self { session, input, connection_number, session_number, .. } = self;
        let Input { buffer, start, end, batch, batch_start, unanswered, answerable, .. } = input;
        let bytes = buffer.get(*start..*end).unwrap_or(&[]);
        let before = *start - *batch_start;
        let mut topic = Span::default();
        *start += session.take_run(now, bytes, at_most, |plain| {
            *unanswered += usize::from(plain.receipt.is_some());
            *answerable += usize::from(plain.receipt.is_some());
            if let Some(name) = plain.topic {
                topic = batch.topic(name);
            }
            batch.places.push(Place {
                topic,
                payload: Span::new(before + plain.payload.start, plain.payload.len()),
                properties: Span::default(),
                receipt: plain.receipt,
                flags: Flags::new(plain.flags),
            });
        });
        batch.numbers = (*connection_number, *session_number);
    }

    /// Handles acknowledgements in a row that say nothing else.
    fn handle_acks(&mut self, now: time::Instant) {
        if self.journal.is_some() {
            // Each has changes to note, too.
            return;
        }
        let Self { session, input, in_flight, outlet, .. } = self;
        let bytes = input.buffer.get(input.start..input.end).unwrap_or(&[]);
        input.start += session.take_acks(now, bytes, |first, qos, count| {
            in_flight.complete(first, count, |first, token, count| {
                outlet.tell_acknowledged(token, qos, first, count);
            });
        });
    }

    /// Handles one packet.
    fn handle_packet(&mut self, now: time::Instant) -> Step {
        let Self { session, input, connection_number, session_number, .. } = self;
        let Input { buffer, start, end, batch, batch_start, unanswered, answerable, .. } = input;
        let bytes = buffer.get(*start..*end).unwrap_or(&[]);
        let progress = match session.handle_input(now, bytes) {
            Ok(progress) => progress,
            Err(error) => return Step::Fault(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        if let Some(stall) = progress.stalled {
            return Step::Stalled(stall);
        }
        if !progress.goes_on() {
            return Step::Incomplete;
        }
        *start += progress.consumed;
        match progress.event {
            Some(Event::Message(message)) => {
                let origin = buffer.get(*batch_start..).unwrap_or(&[]);
                batch.numbers = (*connection_number, *session_number);
                *unanswered += usize::from(message.receipt.is_some());
                *answerable += usize::from(message.receipt.is_some());
                add_message(batch, session, origin, &message);
                Step::Message
            }
            Some(Event::Connected(connack) | Event::Refused(connack)) => connected(session, &connack),
            Some(Event::Published(published)) => {
                let properties = PropertyBlock::new(&published.properties).into_owned();
                Step::Published(published.packet_id, published.reason_code, properties)
            }
            Some(
                Event::Subscribed(Suback { packet_id, codes, properties })
                | Event::Unsubscribed(Unsuback { packet_id, codes, properties }),
            ) => Step::Answered(Answered {
                packet_id,
                codes: codes.to_vec(),
                properties: PropertyBlock::new(&properties).into_owned(),
            }),
            Some(Event::PingResponse) => Step::PingResponse,
            Some(Event::Auth(auth)) => Step::Auth(Challenge::new(&auth)),
            Some(Event::Disconnected(disconnect)) => {
                Step::Disconnected(Farewell::new(disconnect.reason_code, &disconnect.properties))
            }
            _ => Step::Nothing,
        }
    }

    /// Sends the messages of the input so far to their callbacks.
    fn send_batch(&mut self) {
        if let Some(batch) = self.input.take_batch(&self.shared.hub.spares) {
            let has_exactly_once = self.journal.is_some() && batch.has_exactly_once();
            let behind = self.batch_before_delivery(has_exactly_once);
            self.input.awaits |= batch.ends_with_receipt() || batch.bytes.len() < FEW;
            self.input.last_cost = batch.cost();
            self.outlet.send(batch, behind);
            // Those that run here do so while their messages are in the cache, and give the memory back for the next.
            self.outlet.run_callbacks();
        }
    }

    /// How many messages are acknowledged before others that have come with them are handled: half of the window, where
    /// that pays. Callbacks that run here are too quick for it: the server would see both halves at once.
    fn answers_at(&self) -> usize {
        let runs_here = self.outlet.listener().runs_here();
        match self.options.protocol.receive_maximum {
            _ if runs_here || !self.input.early.is_worth_it() => usize::MAX,
            0 => MOST_ANSWERS,
            window => usize::from(window / 2).clamp(LEAST_ANSWERS, MOST_ANSWERS),
        }
    }

    /// Sends what has been acknowledged so far, before there is more.
    fn answer(&mut self) {
        self.input.unanswered = 0;
        self.let_callbacks_run();
        // With a journal it leaves when the turn has been committed.
        if self.journal.is_none() && self.take_acknowledgements() {
            self.write();
        }
    }

    /// Takes acknowledgements alone; whether there were some.
    fn take_acknowledgements(&mut self) -> bool {
        let mut acknowledgements = std::mem::take(&mut self.acknowledgements);
        self.shared.take_acknowledgements(&mut acknowledgements);
        let some = !acknowledgements.is_empty();
        for acknowledgement in acknowledgements.drain(..) {
            self.acknowledge(acknowledgement);
        }
        self.acknowledgements = acknowledgements;
        some
    }

    /// Callbacks that wait for this very processor have it now: what they ask for goes out with what this turn writes.
    fn let_callbacks_run(&mut self) {
        self.outlet.call();
        if std::mem::take(&mut self.input.awaits) {
            self.awaits_callbacks = !self.outlet.listener().runs_here();
            self.outlet.listener().let_run();
        }
    }

    fn handle_connected(&mut self, result: ConnectionResult, client_id: Option<String>) {
        if result.is_failure() {
            let code = ReasonCode::from_byte(result.reason_code).unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
            let farewell = Farewell::new(code, &result.properties.as_properties());
            self.outlet.tell(MqttEvent::Connected(result));
            return self.end_link(Ending::Refused(farewell));
        }
        if !self.is_verified() {
            let error = io::Error::new(io::ErrorKind::InvalidData, PeerError::AuthenticationMethod);
            return self.end_at_fault(ReasonCode::PROTOCOL_ERROR, error);
        }
        self.authenticating.begin(None);
        self.note_accepted();
        self.connection_number += 1;
        if client_id.is_some() {
            self.assigned_client_id = client_id;
        }
        let present = result.session_present;
        client_event!(self.client_id(), info, "connected, session present: {}", present);
        self.collect_dropped();
        if !result.session_present {
            self.session_number += 1;
        }
        self.begin_doubt();
        self.restore_subscriptions(present);
        self.shared.set_numbers(self.connection_number, self.session_number);
        self.send_requests();
        self.send_publishes();
        // Whoever hears of the connection may publish with it.
        self.note_pending();
        self.outlet.tell(MqttEvent::Connected(result));
    }
}

/// Notes a message with the places of its parts, counted from the start of `origin`.
fn add_message(batch: &mut Batch, session: &Session<Heap>, origin: &[u8], message: &Message<'_>) {
    let topic = match message.topic {
        Topic::Name(name) => batch.topic(name.as_str()),
        topic @ Topic::Alias(alias) => batch.topic_by_alias(alias, session.topic(topic).unwrap_or("")),
    };
    batch.places.push(Place {
        topic,
        payload: Span::of(origin, message.payload),
        properties: Span::of(origin, message.properties.as_block().unwrap_or(&[])),
        receipt: message.receipt,
        flags: Flags::of(message),
    });
}

fn connected(session: &Session<Heap>, connack: &Connack<'_>) -> Step {
    let client_id = connack.properties.find(|property| match property {
        Property::AssignedClientIdentifier(id) => Some(id.to_string()),
        _ => None,
    });
    let result = ConnectionResult {
        reason_code: connack.reason_code.byte(),
        session_present: connack.session_present,
        properties: PropertyBlock::new(&connack.properties).into_owned(),
        version: session.version(),
    };
    Step::Connected(result, client_id)
}
