//! Topic aliases (v5.0 section 3.3.2.3.4), of both directions. They live as long as a connection `[MQTT-3.3.2-7]`.

use core::num::NonZeroU16;
use std::boxed::Box;
use std::collections::HashMap;
use std::vec::Vec;

use crate::codec::{MAX_REMAINING_LENGTH, Properties, PropertyContext, PropertyId, Writer};
use crate::session::frame::{self, Flags};
use crate::types::{ProtocolVersion, QoS};

/// Bytes of the property.
const PROPERTY_LEN: usize = 3;
/// Bytes of the property, and of the lengths that it may make longer.
const ALIAS_LEN: usize = PROPERTY_LEN + 2;

/// The topics the server has defined.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    topics: Vec<Option<Box<str>>>,
    capacity: usize,
}

impl Inbound {
    pub(super) fn open(&mut self, capacity: u16) {
        self.topics.clear();
        self.capacity = usize::from(capacity);
    }

    pub(super) fn define(&mut self, alias: NonZeroU16, topic: &str) -> bool {
        let index = usize::from(alias.get()) - 1;
        if index >= self.capacity {
            return false;
        }
        if index >= self.topics.len() {
            self.topics.resize(index + 1, None);
        }
        if let Some(place) = self.topics.get_mut(index)
            && place.as_deref() != Some(topic)
        {
            *place = Some(topic.into());
        }
        true
    }

    pub(super) fn topic(&self, alias: NonZeroU16) -> Option<&str> {
        self.topics.get(usize::from(alias.get()) - 1)?.as_deref()
    }
}

/// The topics this client has defined.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    aliases: HashMap<Box<str>, NonZeroU16>,
    /// The topics in the order of their aliases.
    topics: Vec<Box<str>>,
    maximum: u16,
    /// Which alias is given to a new topic when all are taken.
    next: usize,
}

impl Outbound {
    pub(super) fn open(&mut self, maximum: u16) {
        *self = Self { maximum, ..Self::default() };
    }

    pub(super) const fn is_on(&self) -> bool {
        self.maximum > 0
    }

    /// Appends the head of an encoded PUBLISH in the variant with an alias, and says where its payload begins. `None`
    /// where it is better sent as it is.
    pub(super) fn write_head(&mut self, frame: &[u8], room: u32, buffer: &mut Vec<u8>) -> Option<usize> {
        let parts = frame::parts(frame, ProtocolVersion::V5)?;
        let name = core::str::from_utf8(parts.topic).ok()?;
        let known = self.aliases.get(name).copied();
        let saved = if known.is_some() { name.len() } else { 0 };
        // An alias makes the packet longer by the property and maybe by a longer length before each block.
        let len = frame.len() + ALIAS_LEN - saved;
        if name.len() <= PROPERTY_LEN || u32::try_from(len).ok()? > room.min(MAX_REMAINING_LENGTH) {
            return None;
        }
        let (index, alias) = known.map_or_else(|| self.next_place(), |alias| Some((0, alias)))?;
        let topic = if known.is_some() { "" } else { name };
        let payload = frame.get(parts.behind_properties..)?;
        let id = match Flags::of(frame)?.qos {
            QoS::AtMostOnce => &[][..],
            _ => frame.get(parts.behind_topic..parts.behind_topic + 2)?,
        };
        let own = [(PropertyId::TopicAlias, alias.get().into())];
        let properties = Properties::from_checked_block(parts.properties);
        let mut writer = Writer::appending(buffer);
        writer.u8(*frame.first()?);
        writer.prefixed_before(payload.len(), |writer| {
            writer.string(topic);
            writer.bytes(id);
            writer.prefixed(|writer| properties.encode_behind(&own, writer, PropertyContext::PublishFromClient));
        });
        writer.finish().ok()?;
        if known.is_none() {
            self.assign(index, alias, name);
        }
        Some(parts.behind_properties)
    }

    /// The place and the alias for a new topic: one that was never used, or else that of the topic defined longest ago.
    fn next_place(&self) -> Option<(usize, NonZeroU16)> {
        let is_free = self.topics.len() < usize::from(self.maximum);
        let index = if is_free { self.topics.len() } else { self.next % self.topics.len().max(1) };
        Some((index, NonZeroU16::new(u16::try_from(index + 1).ok()?)?))
    }

    fn assign(&mut self, index: usize, alias: NonZeroU16, topic: &str) {
        match self.topics.get_mut(index) {
            Some(old) => {
                self.aliases.remove(old);
                *old = topic.into();
                self.next = index + 1;
            }
            None => self.topics.push(topic.into()),
        }
        self.aliases.insert(topic.into(), alias);
    }
}
