//! How the values of properties stand on the wire (v5.0 section 2.2.2.2), and what they are to the caller.

use core::num::{NonZeroU16, NonZeroU32};

use super::{Reader, VarInt, Writer};
use crate::types::{QoS, Text, TopicName};

/// How a value stands on the wire, and its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A byte that is 0 or 1.
    Flag,
    U16,
    /// A two byte integer above 0.
    PositiveU16,
    U32,
    /// A four byte integer above 0.
    PositiveU32,
    /// A variable byte integer above 0.
    PositiveVarInt,
    Text,
    /// A string that is a Topic Name: not empty, no wildcards `[MQTT-3.3.2-14]`.
    Topic,
    Binary,
    /// A name and a value (section 1.5.7).
    Pair,
}

/// A value of any form. Only what belongs to its form counts: the rest may be left from a value before.
#[derive(Clone, Copy, Default)]
pub(super) struct Value<'a> {
    pub(super) number: u32,
    pub(super) text: Text<'a>,
    /// The value of a pair, whose name is `text`.
    pub(super) second: Text<'a>,
    pub(super) bytes: &'a [u8],
}

impl<'a> Value<'a> {
    pub(super) fn read(&mut self, form: Form, reader: &mut Reader<'a>) {
        match form {
            Form::Flag => self.number = reader.u8().into(),
            Form::U16 | Form::PositiveU16 => self.number = reader.u16().into(),
            Form::U32 | Form::PositiveU32 => self.number = reader.u32(),
            Form::PositiveVarInt => self.number = reader.var_int(),
            Form::Text | Form::Topic => self.text = reader.text(),
            Form::Binary => self.bytes = reader.binary(),
            Form::Pair => {
                self.text = reader.text();
                self.second = reader.text();
            }
        }
    }

    pub(super) fn write(&self, form: Form, writer: &mut Writer<'_>) {
        match form {
            Form::Flag => writer.u8(low_byte(self.number)),
            Form::U16 | Form::PositiveU16 => writer.u16(low_half(self.number)),
            Form::U32 | Form::PositiveU32 => writer.u32(self.number),
            Form::PositiveVarInt => writer.var_int(self.number),
            Form::Text | Form::Topic => writer.text(self.text),
            Form::Binary => writer.binary(self.bytes),
            Form::Pair => {
                writer.text(self.text);
                writer.text(self.second);
            }
        }
    }

    /// Whether the value is in the range of its form.
    pub(super) fn is_in_range(&self, form: Form) -> bool {
        match form {
            Form::Flag => self.number <= 1,
            Form::PositiveU16 | Form::PositiveU32 => self.number != 0,
            Form::PositiveVarInt => (1..=VarInt::MAX).contains(&self.number),
            Form::Topic => TopicName::fault(self.text.as_bytes()).is_none(),
            Form::U16 | Form::U32 | Form::Text | Form::Binary | Form::Pair => true,
        }
    }
}

/// What a value is to the caller.
pub(super) trait Field<'a>: Sized {
    /// `None` for a value that is out of its range.
    fn from_value(value: &Value<'a>) -> Option<Self>;
    fn put_into(self, value: &mut Value<'a>);
}

impl<'a> Field<'a> for bool {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(value.number != 0)
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self.into();
    }
}

/// Maximum QoS: only 0 and 1 can be said (v5.0 section 3.2.2.3.4).
impl<'a> Field<'a> for QoS {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Self::from_bits(low_byte(value.number))
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self.bits().into();
    }
}

impl<'a> Field<'a> for u16 {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(low_half(value.number))
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self.into();
    }
}

impl<'a> Field<'a> for NonZeroU16 {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Self::new(low_half(value.number))
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self.get().into();
    }
}

impl<'a> Field<'a> for u32 {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(value.number)
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self;
    }
}

impl<'a> Field<'a> for NonZeroU32 {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Self::new(value.number)
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.number = self.get();
    }
}

impl<'a> Field<'a> for &'a str {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(value.text.as_str())
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.text = Text::new(self);
    }
}

impl<'a> Field<'a> for &'a [u8] {
    fn from_value(value: &Value<'a>) -> Option<Self> {
        Some(value.bytes)
    }

    fn put_into(self, value: &mut Value<'a>) {
        value.bytes = self;
    }
}

const fn low_byte(number: u32) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low
}

pub(super) const fn low_half(number: u32) -> u16 {
    let [b0, b1, ..] = number.to_le_bytes();
    u16::from_le_bytes([b0, b1])
}
