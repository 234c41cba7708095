//! The one table of v5.0 properties (section 2.2.2.2): decoding, encoding and the checks all follow from it.

use core::num::{NonZeroU16, NonZeroU32};

use super::shown::Shown;
use super::value::{Field, Form, Value, low_half};
use super::{DecodeError, Entry, Reader, Writer};
use crate::types::{QoS, Text};

/// Where a property block stands. The direction counts: some properties only one side may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the packets")]
pub enum PropertyContext {
    Connect = 0,
    Will = 1,
    Connack = 2,
    PublishFromClient = 3,
    PublishFromServer = 4,
    Puback = 5,
    Pubrec = 6,
    Pubrel = 7,
    Pubcomp = 8,
    Subscribe = 9,
    Suback = 10,
    Unsubscribe = 11,
    Unsuback = 12,
    DisconnectFromClient = 13,
    DisconnectFromServer = 14,
    Auth = 15,
}

impl PropertyContext {
    const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// The same packet from the other side, where both send it under rules of their own.
    pub(crate) const fn other_side(self) -> Self {
        match self {
            Self::PublishFromClient => Self::PublishFromServer,
            Self::PublishFromServer => Self::PublishFromClient,
            Self::DisconnectFromClient => Self::DisconnectFromServer,
            Self::DisconnectFromServer => Self::DisconnectFromClient,
            other => other,
        }
    }
}

const CONNECT: u16 = PropertyContext::Connect.bit();
const WILL: u16 = PropertyContext::Will.bit();
const CONNACK: u16 = PropertyContext::Connack.bit();
const FROM_SERVER: u16 = PropertyContext::PublishFromServer.bit();
const PUBLISH: u16 = PropertyContext::PublishFromClient.bit() | FROM_SERVER;
const PUBACKS: u16 = PropertyContext::Puback.bit()
    | PropertyContext::Pubrec.bit()
    | PropertyContext::Pubrel.bit()
    | PropertyContext::Pubcomp.bit();
const SUBSCRIBE: u16 = PropertyContext::Subscribe.bit();
const SUBACKS: u16 = PropertyContext::Suback.bit() | PropertyContext::Unsuback.bit();
const CLIENT_BYE: u16 = PropertyContext::DisconnectFromClient.bit();
const SERVER_BYE: u16 = PropertyContext::DisconnectFromServer.bit();
const AUTH: u16 = PropertyContext::Auth.bit();
const ANYWHERE: u16 = u16::MAX;

macro_rules! property_table {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident($($field:ty),+) as $form:ident = $id:literal, in $contexts:expr;
    )*) => {
        /// A property of MQTT 5.0, by name and value. Those that cannot be 0 on the wire cannot be 0 here.
        // Its tag is the identifier: then there is nothing to look up.
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Property<'a> {
            $( $(#[doc = $doc])* $name($($field),+) = $id, )*
        }

        /// The identifier of a property.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum PropertyId {
            $( #[doc = concat!("`", stringify!($id), "`, see [`Property::", stringify!($name), "`].")] $name = $id, )*
        }

        impl PropertyId {
            /// The identifier of a number; `None` where v5.0 defines none.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $( $id => Some(Self::$name), )*
                    _ => None,
                }
            }

            pub(super) fn form(self) -> Form {
                FORMS.get(usize::from(self as u8)).copied().unwrap_or(Form::Flag)
            }

            fn contexts(self) -> u16 {
                CONTEXTS.get(usize::from(self as u8)).copied().unwrap_or(0)
            }
        }

        /// Tables by number: what takes less room than a branch for each property.
        static FORMS: [Form; TABLE_LEN] = {
            let mut forms = [Form::Flag; TABLE_LEN];
            $( forms[$id] = Form::$form; )*
            forms
        };
        static CONTEXTS: [u16; TABLE_LEN] = {
            let mut contexts = [0; TABLE_LEN];
            $( contexts[$id] = $contexts; )*
            contexts
        };

        impl<'a> Property<'a> {
            /// The identifier.
            pub const fn id(&self) -> PropertyId {
                match self {
                    $( Self::$name(..) => PropertyId::$name, )*
                }
            }

            fn from_value(id: PropertyId, value: &Value<'a>) -> Option<Self> {
                match id {
                    $( PropertyId::$name => property_table!(@from value $name $form), )*
                }
            }

            #[cfg_attr(not(feature = "std"), inline(never))]
            pub(super) fn put_into(&self, value: &mut Value<'a>) {
                let this = self;
                match this {
                    $( Self::$name(..) => property_table!(@put this value $name $form), )*
                }
            }
        }

        impl core::fmt::Debug for Property<'_> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let this = *self;
                match this {
                    $( Self::$name(..) => property_table!(@debug this f $name $form), )*
                }
            }
        }

        #[cfg(feature = "defmt")]
        impl defmt::Format for Property<'_> {
            fn format(&self, f: defmt::Formatter<'_>) {
                let this = *self;
                match this {
                    $( Self::$name(..) => property_table!(@format this f $name $form), )*
                }
            }
        }
    };
    (@debug $this:ident $f:ident $name:ident Pair) => {
        if let Self::$name(name, value) = $this {
            $f.debug_tuple(stringify!($name)).field(&name).field(&value).finish()
        } else {
            Ok(())
        }
    };
    (@debug $this:ident $f:ident $name:ident $form:ident) => {
        if let Self::$name(value) = $this {
            $f.debug_tuple(stringify!($name)).field(&value.shown()).finish()
        } else {
            Ok(())
        }
    };
    (@format $this:ident $f:ident $name:ident Pair) => {
        if let Self::$name(name, value) = $this {
            defmt::write!($f, "{}({}, {})", $this.id(), name, value);
        }
    };
    (@format $this:ident $f:ident $name:ident $form:ident) => {
        if let Self::$name(value) = $this {
            defmt::write!($f, "{}({})", $this.id(), value.shown());
        }
    };
    (@from $value:ident $name:ident Pair) => { Some(Self::$name($value.text.as_str(), $value.second.as_str())) };
    (@from $value:ident $name:ident $form:ident) => { Field::from_value($value).map(Self::$name) };
    (@put $this:ident $value:ident $name:ident Pair) => {
        if let Self::$name(text, second) = *$this {
            ($value.text, $value.second) = (Text::new(text), Text::new(second));
        }
    };
    (@put $this:ident $value:ident $name:ident $form:ident) => {
        if let Self::$name(field) = *$this {
            field.put_into($value);
        }
    };
}

const TABLE_LEN: usize = 0x2B;

property_table! {
    /// Whether the payload is UTF-8 text (section 3.3.2.3.2).
    PayloadFormatIndicator(bool) as Flag = 0x01, in PUBLISH | WILL;
    /// Lifetime of the message in seconds (section 3.3.2.3.3).
    MessageExpiryInterval(u32) as U32 = 0x02, in PUBLISH | WILL;
    /// What the payload is, for instance a MIME type (section 3.3.2.3.9).
    ContentType(&'a str) as Text = 0x03, in PUBLISH | WILL;
    /// Topic for the answer to a request (section 3.3.2.3.5). It has no wildcards `[MQTT-3.3.2-14]`.
    ResponseTopic(&'a str) as Topic = 0x08, in PUBLISH | WILL;
    /// Tells which request an answer belongs to (section 3.3.2.3.6).
    CorrelationData(&'a [u8]) as Binary = 0x09, in PUBLISH | WILL;
    /// Names the subscription a message came through: 1 to 268,435,455 (sections 3.3.2.3.8 and 3.8.2.1.2).
    SubscriptionIdentifier(u32) as PositiveVarInt = 0x0B, in FROM_SERVER | SUBSCRIBE;
    /// Seconds the session outlives its connection; 0xFFFFFFFF means for ever (section 3.1.2.11.2).
    SessionExpiryInterval(u32) as U32 = 0x11, in CONNECT | CONNACK | CLIENT_BYE;
    /// The Client Identifier the server chose (section 3.2.2.3.7).
    AssignedClientIdentifier(&'a str) as Text = 0x12, in CONNACK;
    /// The Keep Alive in seconds the server demands (section 3.2.2.3.14).
    ServerKeepAlive(u16) as U16 = 0x13, in CONNACK;
    /// Name of the method of enhanced authentication (section 4.12).
    AuthenticationMethod(&'a str) as Text = 0x15, in CONNECT | CONNACK | AUTH;
    /// Data of the authentication method (section 4.12).
    AuthenticationData(&'a [u8]) as Binary = 0x16, in CONNECT | CONNACK | AUTH;
    /// Whether reason strings and user properties are wanted in any packet (section 3.1.2.11.7).
    RequestProblemInformation(bool) as Flag = 0x17, in CONNECT;
    /// Seconds between the loss of the session's connection and its will (section 3.1.3.2.2).
    WillDelayInterval(u32) as U32 = 0x18, in WILL;
    /// Whether Response Information is wanted in CONNACK (section 3.1.2.11.6).
    RequestResponseInformation(bool) as Flag = 0x19, in CONNECT;
    /// Basis for response topics (section 3.2.2.3.15).
    ResponseInformation(&'a str) as Text = 0x1A, in CONNACK;
    /// Another server to use (section 4.13).
    ServerReference(&'a str) as Text = 0x1C, in CONNACK | SERVER_BYE;
    /// Diagnosis for humans.
    ReasonString(&'a str) as Text = 0x1F, in CONNACK | PUBACKS | SUBACKS | CLIENT_BYE | SERVER_BYE | AUTH;
    /// How many QoS 1 and 2 messages the sender takes at a time (section 3.1.2.11.3).
    ReceiveMaximum(NonZeroU16) as PositiveU16 = 0x21, in CONNECT | CONNACK;
    /// The highest Topic Alias the sender takes (section 3.1.2.11.5).
    TopicAliasMaximum(u16) as U16 = 0x22, in CONNECT | CONNACK;
    /// A number that stands for the topic on this connection (section 3.3.2.3.4).
    TopicAlias(NonZeroU16) as PositiveU16 = 0x23, in PUBLISH;
    /// The highest QoS the server takes: 0 or 1; absent means 2 (section 3.2.2.3.4).
    MaximumQoS(QoS) as Flag = 0x24, in CONNACK;
    /// Whether the server keeps retained messages (section 3.2.2.3.5).
    RetainAvailable(bool) as Flag = 0x25, in CONNACK;
    /// A name and a value of the application's own (section 3.1.2.11.8). It may occur many times.
    UserProperty(&'a str, &'a str) as Pair = 0x26, in ANYWHERE;
    /// The longest packet in bytes the sender takes (section 3.1.2.11.4).
    MaximumPacketSize(NonZeroU32) as PositiveU32 = 0x27, in CONNECT | CONNACK;
    /// Whether the server takes filters with wildcards (section 3.2.2.3.11).
    WildcardSubscriptionAvailable(bool) as Flag = 0x28, in CONNACK;
    /// Whether the server takes Subscription Identifiers (section 3.2.2.3.12).
    SubscriptionIdentifierAvailable(bool) as Flag = 0x29, in CONNACK;
    /// Whether the server takes shared subscriptions (section 3.2.2.3.13).
    SharedSubscriptionAvailable(bool) as Flag = 0x2A, in CONNACK;
}

impl PropertyId {
    /// Whether this property may stand in that packet.
    pub fn is_allowed_in(self, context: PropertyContext) -> bool {
        self.contexts() & context.bit() != 0
    }

    /// User properties repeat anywhere, Subscription Identifiers only in a PUBLISH of the server.
    const fn may_repeat_in(self, context: PropertyContext) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionIdentifier => matches!(context, PropertyContext::PublishFromServer),
            _ => false,
        }
    }
}

/// What is wrong with a property in its place, whichever way it travels.
#[derive(Clone, Copy)]
pub(super) enum Fault {
    Misplaced,
    Duplicate,
    Value,
}

/// Which properties a block has had so far.
pub(super) struct Seen {
    context: PropertyContext,
    bits: u32,
}

impl Seen {
    pub(super) const fn new(context: PropertyContext) -> Self {
        Self { context, bits: 0 }
    }

    #[cfg_attr(feature = "std", inline)]
    pub(super) fn note(&mut self, id: PropertyId, value: &Value<'_>) -> Option<Fault> {
        if !value.is_in_range(id.form()) {
            return Some(Fault::Value);
        }
        if !id.is_allowed_in(self.context) {
            return Some(Fault::Misplaced);
        }
        let is_repeated = self.bits & bit(id) != 0;
        self.bits |= bit(id);
        (is_repeated && !id.may_repeat_in(self.context)).then_some(Fault::Duplicate)
    }

    /// Authentication Data means nothing without its method (v5.0 section 3.1.2.11.10).
    pub(super) const fn lacks_method(&self) -> bool {
        const DATA: u32 = bit(PropertyId::AuthenticationData);
        const METHOD: u32 = bit(PropertyId::AuthenticationMethod);
        self.bits & (DATA | METHOD) == DATA
    }
}

/// A bit for each property that may stand in a packet: there are more than 32, but no two with one bit in one packet.
const fn bit(id: PropertyId) -> u32 {
    let number = id as u8;
    1 << ((number + number / 32) % 32)
}

const _: () = {
    let mut one = 0u8;
    while (one as usize) < TABLE_LEN {
        let mut other = 0;
        while other < one {
            if let (Some(a), Some(b)) = (PropertyId::from_number(one), PropertyId::from_number(other)) {
                assert!(bit(a) != bit(b) || CONTEXTS[one as usize] & CONTEXTS[other as usize] == 0);
            }
            other += 1;
        }
        one += 1;
    }
};

/// Reads an identifier and its value, whatever its range; `None` at the end.
#[cfg_attr(feature = "std", inline)]
#[cfg_attr(not(feature = "std"), inline(never))]
pub(super) fn read<'a>(reader: &mut Reader<'a>, value: &mut Value<'a>) -> Option<PropertyId> {
    if reader.is_empty() {
        return None;
    }
    let number = u8::try_from(reader.var_int()).unwrap_or(u8::MAX);
    let Some(id) = PropertyId::from_number(number) else {
        reader.fail(DecodeError::UnknownProperty(number));
        return None;
    };
    value.read(id.form(), reader);
    Some(id)
}

impl<'a> Entry<'a> for Property<'a> {
    fn decode_entry(reader: &mut Reader<'a>) -> Option<Self> {
        let mut value = Value::default();
        let id = read(reader, &mut value)?;
        Self::from_value(id, &value)
    }
}

/// Writes an identifier and its value.
pub(super) fn write(id: PropertyId, value: &Value<'_>, writer: &mut Writer<'_>) {
    writer.u8(id as u8);
    value.write(id.form(), writer);
}

/// As [`write`], for a property that is an integer of two or four bytes.
pub(super) fn write_number(id: PropertyId, number: u32, writer: &mut Writer<'_>) {
    writer.u8(id as u8);
    match id.form() {
        Form::U16 | Form::PositiveU16 => writer.u16(low_half(number)),
        _ => writer.u32(number),
    }
}
