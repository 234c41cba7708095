use core::ops::Range;

use crate::codec::Properties;
use crate::packet::{Auth, Connack, Disconnect, Suback, Unsuback};
use crate::session::{Event, Message, Published, Topic};
use crate::types::{Text, TopicName};

/// An event apart from the bytes that it borrows, so that a loop can be left with it and the buffer borrowed
/// afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The event with nothing in its borrowed parts.
    pub(super) shape: Event<'static>,
    name: Span,
    bytes: Span,
    properties: Span,
}

/// What an event borrows.
#[derive(Clone, Copy)]
struct Parts<'a> {
    /// The topic of a message.
    name: &'a [u8],
    /// A payload, or the codes of an answer.
    bytes: &'a [u8],
    properties: &'a [u8],
}

/// Counted from the start of the buffer.
#[derive(Clone, Copy, Debug)]
struct Span {
    at: usize,
    len: usize,
}

impl Place {
    /// Where the parts of an event lie in the buffer that begins at this address.
    pub(super) fn of(event: &Event<'_>, buffer: usize) -> Self {
        let parts = parts(event);
        // An empty part may lie anywhere.
        let span = |part: &[u8]| Span { at: part.as_ptr().addr().wrapping_sub(buffer), len: part.len() };
        Self {
            shape: rebuild(event, Parts { name: &[], bytes: &[], properties: &[] }),
            name: span(parts.name),
            bytes: span(parts.bytes),
            properties: span(parts.properties),
        }
    }

    /// The event, if `buffer` is what it was found in.
    pub(super) fn event(self, buffer: &[u8]) -> Event<'_> {
        let part = |span: Span| buffer.get(span.range()).unwrap_or(&[]);
        let parts = Parts { name: part(self.name), bytes: part(self.bytes), properties: part(self.properties) };
        rebuild(&self.shape, parts)
    }
}

impl Span {
    fn range(self) -> Range<usize> {
        self.at..self.at.wrapping_add(self.len)
    }
}

fn parts<'a>(event: &Event<'a>) -> Parts<'a> {
    let (name, bytes, properties) = match event {
        Event::Connected(connack) | Event::Refused(connack) => (&[][..], &[][..], connack.properties),
        Event::Message(message) | Event::MessageStart { message, .. } | Event::MessageSkipped { message, .. } => {
            let name = match message.topic {
                Topic::Name(name) => name.as_bytes(),
                Topic::Alias(_) => &[],
            };
            (name, message.payload, message.properties)
        }
        Event::Chunk(chunk) => (&[][..], *chunk, Properties::EMPTY),
        Event::MessageEnd(_) | Event::PingResponse => (&[][..], &[][..], Properties::EMPTY),
        Event::Published(published) => (&[][..], &[][..], published.properties),
        Event::Subscribed(suback) => (&[][..], suback.codes, suback.properties),
        Event::Unsubscribed(unsuback) => (&[][..], unsuback.codes, unsuback.properties),
        Event::Auth(auth) => (&[][..], &[][..], auth.properties),
        Event::Disconnected(disconnect) => (&[][..], &[][..], disconnect.properties),
    };
    Parts { name, bytes, properties: properties.as_block().unwrap_or(&[]) }
}

/// The same event with other parts.
fn rebuild<'b>(event: &Event<'_>, parts: Parts<'b>) -> Event<'b> {
    let properties = Properties::from_checked_block(parts.properties);
    let codes = parts.bytes;
    let connack = |connack: &Connack<'_>| Connack {
        session_present: connack.session_present,
        reason_code: connack.reason_code,
        properties,
    };
    match event {
        Event::Connected(old) => Event::Connected(connack(old)),
        Event::Refused(old) => Event::Refused(connack(old)),
        Event::Message(old) => Event::Message(message(old, parts)),
        Event::MessageStart { message: old, payload_len } => {
            Event::MessageStart { message: message(old, parts), payload_len: *payload_len }
        }
        Event::Chunk(_) => Event::Chunk(parts.bytes),
        Event::MessageEnd(receipt) => Event::MessageEnd(*receipt),
        Event::MessageSkipped { message: old, payload_len } => {
            Event::MessageSkipped { message: message(old, parts), payload_len: *payload_len }
        }
        Event::Published(old) => Event::Published(Published {
            packet_id: old.packet_id,
            qos: old.qos,
            reason_code: old.reason_code,
            properties,
        }),
        Event::Subscribed(old) => Event::Subscribed(Suback { packet_id: old.packet_id, codes, properties }),
        Event::Unsubscribed(old) => Event::Unsubscribed(Unsuback { packet_id: old.packet_id, codes, properties }),
        Event::PingResponse => Event::PingResponse,
        Event::Auth(old) => Event::Auth(Auth { reason_code: old.reason_code, properties }),
        Event::Disconnected(old) => Event::Disconnected(Disconnect { reason_code: old.reason_code, properties }),
    }
}

fn message<'b>(old: &Message<'_>, parts: Parts<'b>) -> Message<'b> {
    let topic = match old.topic {
        // It was read as UTF-8 before.
        Topic::Name(_) => Topic::Name(TopicName::from_checked(Text::from_bytes(parts.name).unwrap_or_default())),
        Topic::Alias(alias) => Topic::Alias(alias),
    };
    Message {
        topic,
        payload: parts.bytes,
        qos: old.qos,
        retain: old.retain,
        dup: old.dup,
        properties: Properties::from_checked_block(parts.properties),
        receipt: old.receipt,
    }
}
