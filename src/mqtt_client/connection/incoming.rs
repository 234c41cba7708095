//! Bytes of the server, and what the application hears of them.

use std::io;
use std::ops::Range;

use super::link::Ending;
use super::outgoing::Answered;
use super::{Connection, Means};
use crate::codec::Property;
use crate::macros::client_event;
use crate::mqtt_client::client::ConnectionResult;
use crate::mqtt_client::dispatch::{Batch, Place};
use crate::mqtt_client::event::{MqttEvent, Receipt};
use crate::mqtt_client::properties::PropertyBlock;
use crate::packet::{Connack, Suback, Unsuback};
use crate::session::{Event, Heap, Message, Session, Stall, Topic};
use crate::types::{PacketId, ReasonCode};

/// Bytes that one read takes at least room for.
const READ: usize = 64 * 1024;
/// A buffer that has grown beyond this for a long packet is not kept for others.
const KEPT: usize = 1024 * 1024;
/// Up to this size the bytes of a batch are copied out of the input; above, the input itself travels.
const COPY: usize = 16 * 1024;

/// What has been read and not been understood yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Where the next packet begins.
    start: usize,
    /// Where the bytes end.
    end: usize,
    /// Where the first message of the batch in the making begins.
    batch_start: usize,
    batch: Batch,
    /// Whole packets lie there that could not be taken.
    stalled: bool,
    /// Reading is paused until callbacks have caught up.
    paused: bool,
}

impl Input {
    pub(super) fn clear(&mut self) {
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::default() };
        self.batch.places.clear();
    }

    /// Whether reading is paused or cannot go on.
    pub(super) const fn is_paused(&self) -> bool {
        self.paused || self.stalled
    }

    /// Reads into the buffer that the worker keeps for all, where what is left of before has room.
    fn borrow(&mut self, buffer: &mut Vec<u8>) {
        let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        if rest.is_empty() || rest.len() < buffer.len() / 2 {
            if let Some(place) = buffer.get_mut(..rest.len()) {
                place.copy_from_slice(rest);
            }
            (self.start, self.end) = (0, rest.len());
            self.buffer = std::mem::take(buffer);
        }
    }

    /// Gives the buffer back. The beginning of a packet stays, in memory that fits.
    fn give_back(&mut self, buffer: &mut Vec<u8>) {
        let rest = self.buffer.get(self.start..self.end).unwrap_or(&[]);
        if rest.len() >= READ / 4 {
            return;
        }
        let rest = rest.to_vec();
        (self.start, self.batch_start, self.end) = (0, 0, rest.len());
        let large = std::mem::replace(&mut self.buffer, rest);
        if buffer.is_empty() && large.capacity() <= KEPT {
            *buffer = large;
        }
    }

    /// Room to read into. A long packet gets its room as it comes: its length is only a claim of the server.
    fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.buffer.len() - self.end < READ / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() - self.end < READ / 2 {
            let len = (2 * self.buffer.len()).max(self.end + READ);
            self.buffer.resize(len, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }
}

/// What a packet means, without borrowing the input.
enum Step {
    /// Nothing that the application has to hear.
    Nothing,
    Message,
    Connected(ConnectionResult, Option<String>),
    Published(PacketId, ReasonCode, PropertyBlock<'static>),
    Answered(Answered),
    PingResponse,
    Disconnected(ReasonCode, Option<String>),
    Incomplete,
    Stalled(Stall),
    Fault(io::Error),
}

impl Connection {
    /// Reads and handles what there is, up to a measure; whether there may be more.
    pub(super) fn read(&mut self, means: &mut Means<'_>) -> bool {
        self.check_pause();
        self.input.borrow(means.buffer);
        let goes_on = self.read_up_to(means.budget);
        self.input.give_back(means.buffer);
        goes_on
    }

    fn read_up_to(&mut self, mut budget: usize) -> bool {
        if self.input.stalled {
            self.handle_input();
        }
        while budget > 0 && !self.input.paused && !self.input.stalled {
            let Some(up) = self.link.up() else { return false };
            if !up.readable || up.is_ending() {
                return false;
            }
            let room = self.input.room();
            let room_len = room.len();
            match up.transport.read(room) {
                Ok(0) => {
                    self.lose_link(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server has closed the connection",
                    ));
                }
                Ok(len) => {
                    // A short read has emptied the socket; the poll tells when there is more.
                    up.readable = len == room_len || up.read_closed || !cfg!(unix);
                    self.input.end += len;
                    budget = budget.saturating_sub(len);
                    self.handle_input();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => up.readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.lose_link(error),
            }
        }
        let goes_on = !self.input.paused && !self.input.stalled;
        goes_on && self.link.up().is_some_and(|up| up.readable)
    }

    /// Stops to read while too much waits for its callbacks. The server's silence means nothing then.
    fn check_pause(&mut self) {
        // Before CONNACK there is nothing to hold back, and without it no connection.
        let too_much = self.session.is_connected() && self.shared.too_much_undelivered();
        if too_much == self.input.paused {
            return;
        }
        if !too_much {
            return self.resume_reading();
        }
        self.input.paused = true;
        self.shared.set_reading_paused(true);
        let now = self.session_now();
        self.session.set_reading_paused(now, true);
        // A callback that has ended just before was not asked to wake this thread.
        if !self.shared.too_much_undelivered() {
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
        self.input.batch_start = self.input.start;
        loop {
            match self.handle_packet() {
                Step::Nothing | Step::Message => {}
                Step::Connected(result, client_id) => {
                    self.send_batch();
                    self.handle_connected(result, client_id);
                }
                Step::Published(packet_id, code, properties) => self.handle_published(packet_id, code, properties),
                Step::Answered(answer) => self.handle_answer(answer),
                Step::PingResponse => self.answer_pings(),
                Step::Disconnected(reason, text) => self.end_link(Ending::ByServer(reason, text)),
                Step::Incomplete => break,
                Step::Stalled(Stall::TransmitFirst) if self.write() => {}
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
    }

    /// Handles one packet.
    fn handle_packet(&mut self) -> Step {
        let now = self.session_now();
        let numbers = (self.connection_number, self.session_number);
        let Self { session, input, .. } = self;
        let Input { buffer, start, end, batch, batch_start, .. } = input;
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
                add_message(batch, session, origin, &message, numbers);
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
            Some(Event::Disconnected(disconnect)) => {
                let text = disconnect.properties.reason_string().map(str::to_string);
                Step::Disconnected(disconnect.reason_code, text)
            }
            _ => Step::Nothing,
        }
    }

    /// Sends the messages of the input so far to their callbacks.
    fn send_batch(&mut self) {
        let input = &mut self.input;
        if input.batch.places.is_empty() {
            input.batch_start = input.start;
            return;
        }
        let mut batch = std::mem::replace(&mut input.batch, self.outlet.take_spare());
        let used = input.start - input.batch_start;
        if used <= COPY {
            batch.bytes.extend_from_slice(input.buffer.get(input.batch_start..input.start).unwrap_or(&[]));
        } else {
            // The places count from the first message on.
            let mut rest = std::mem::take(&mut batch.bytes);
            rest.extend_from_slice(input.buffer.get(input.start..input.end).unwrap_or(&[]));
            let shift = input.batch_start;
            batch.bytes = std::mem::replace(&mut input.buffer, rest);
            batch.bytes.truncate(input.start);
            (input.start, input.end) = (0, input.buffer.len());
            if shift > 0 {
                batch.places.iter_mut().for_each(|place| place.shift(shift));
            }
        }
        input.batch_start = input.start;
        self.outlet.send(batch);
    }

    fn handle_connected(&mut self, result: ConnectionResult, client_id: Option<String>) {
        if result.is_failure() {
            let code = ReasonCode::from_byte(result.reason_code).unwrap_or(ReasonCode::UNSPECIFIED_ERROR);
            self.outlet.tell(MqttEvent::Connected(result));
            return self.end_link(Ending::Refused(code));
        }
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
            self.restore_subscriptions();
        }
        self.shared.set_numbers(self.connection_number, self.session_number);
        self.send_requests();
        self.send_publishes();
        self.outlet.tell(MqttEvent::Connected(result));
    }
}

impl Place {
    fn shift(&mut self, by: usize) {
        let shift = |range: &mut Range<usize>| *range = range.start + by..range.end + by;
        if !self.by_alias {
            shift(&mut self.topic);
        }
        shift(&mut self.payload);
        shift(&mut self.properties);
    }
}

/// Notes a message with the places of its parts, counted from the start of `origin`.
fn add_message(
    batch: &mut Batch,
    session: &Session<Heap>,
    origin: &[u8],
    message: &Message<'_>,
    (connection, session_number): (u64, u64),
) {
    let topic = match message.topic {
        Topic::Name(name) => place_in(origin, name.as_bytes()),
        topic @ Topic::Alias(alias) => batch.topic_by_alias(alias, session.topic(topic).unwrap_or("")),
    };
    let receipt = message.receipt.map(|inner| Receipt { inner, qos: message.qos, connection, session: session_number });
    batch.places.push(Place {
        topic,
        by_alias: matches!(message.topic, Topic::Alias(_)),
        payload: place_in(origin, message.payload),
        properties: place_in(origin, message.properties.as_block().unwrap_or(&[])),
        qos: message.qos,
        dup: message.dup,
        retain: message.retain,
        receipt,
    });
}

/// Where a part of `whole` lies in it.
fn place_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    start..start.wrapping_add(part.len())
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
