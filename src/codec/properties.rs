use core::slice::Iter;

use super::property::{Fault, Seen, read, write, write_number};
use super::value::{Value, low_half};
use super::{
    Block, DecodeError, EncodeError, Entries, EntryIter, Property, PropertyContext, PropertyId, Reader, Writer,
};
use crate::types::Text;

/// The properties of a packet: either a list of the caller's, or a block from the wire that was checked once and is
/// read lazily. Equal when they hold the same properties in the same order.
///
/// ```
/// use flowsdk::codec::{Properties, Property};
///
/// let list = [Property::ContentType("text/plain"), Property::UserProperty("unit", "celsius")];
/// let properties = Properties::from(&list);
/// assert_eq!(properties.iter().count(), 2);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Properties<'a>(Entries<'a, Property<'a>>);

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self::new(&[]);

    /// Properties in the order of a list.
    pub const fn new(list: &'a [Property<'a>]) -> Self {
        Self(Entries::new(list))
    }

    /// Checks a block as it stands on the wire behind its length.
    ///
    /// # Errors
    /// [`DecodeError`] for properties that are cut, unknown, misplaced, repeated or out of range.
    pub fn from_block(block: &'a [u8], context: PropertyContext) -> Result<Self, DecodeError> {
        match Block::from_checked(block).fault(context) {
            None => Ok(Self::from_checked_block(block)),
            Some(error) => Err(error),
        }
    }

    /// A block that [`Properties::from_block`] has accepted before. An unchecked one reads as its valid beginning.
    pub(crate) const fn from_checked_block(block: &'a [u8]) -> Self {
        Self(Entries::from_checked_block(block))
    }

    pub(crate) const fn from_wire(block: Block<'a>) -> Self {
        Self::from_checked_block(block.as_bytes())
    }

    /// The bytes on the wire, where these properties came from there.
    pub const fn as_block(&self) -> Option<&'a [u8]> {
        self.0.as_block()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The properties in their order.
    pub fn iter(&self) -> PropertyIter<'a> {
        self.0.iter()
    }

    /// The first thing `pick` finds in them.
    ///
    /// ```
    /// use flowsdk::codec::{Properties, Property};
    ///
    /// let list = [Property::ServerKeepAlive(30)];
    /// let keep_alive = Properties::new(&list).find(|property| match property {
    ///     Property::ServerKeepAlive(seconds) => Some(seconds),
    ///     _ => None,
    /// });
    /// assert_eq!(keep_alive, Some(30));
    /// ```
    pub fn find<T>(&self, pick: impl FnMut(Property<'a>) -> Option<T>) -> Option<T> {
        self.iter().find_map(pick)
    }

    /// The Reason String, which many packets may carry.
    pub fn reason_string(&self) -> Option<&'a str> {
        self.find(|property| match property {
            Property::ReasonString(text) => Some(text),
            _ => None,
        })
    }

    /// As [`Block::number`].
    #[inline(always)]
    pub(crate) fn number(&self, wanted: PropertyId) -> Option<u32> {
        let mut value = Value::default();
        self.find_value(wanted, &mut value).then_some(value.number)
    }

    /// As [`Block::half`].
    #[inline(always)]
    pub(crate) fn half(&self, wanted: PropertyId) -> Option<u16> {
        self.number(wanted).map(low_half)
    }

    /// As [`Block::text`].
    #[inline(always)]
    pub(crate) fn text(&self, wanted: PropertyId) -> Option<Text<'a>> {
        let mut value = Value::default();
        self.find_value(wanted, &mut value).then_some(value.text)
    }

    /// As [`Block::has`].
    #[inline(always)]
    pub(crate) fn has(&self, wanted: PropertyId) -> bool {
        self.find_value(wanted, &mut Value::default())
    }

    /// Inlined, as all that first looks whether there are some: a program whose packets have none then links nothing of
    /// what is behind. That takes `self` by value, as the compiler sees through no borrow that it has lent.
    #[inline(always)]
    fn find_value(&self, wanted: PropertyId, value: &mut Value<'a>) -> bool {
        !self.is_empty() && self.find_some(wanted, value)
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn find_some(self, wanted: PropertyId, value: &mut Value<'a>) -> bool {
        if let Some(block) = self.as_block() {
            return Block::from_checked(block).locate(wanted, value).is_some();
        }
        let mut list = self.0.as_list().unwrap_or_default().iter();
        list.find(|property| property.id() == wanted).map(|property| property.put_into(value)).is_some()
    }

    /// Reads the length and the block behind it. Fails as [`Properties::from_block`].
    #[cfg_attr(feature = "std", inline)]
    pub fn decode(reader: &mut Reader<'a>, context: PropertyContext) -> Self {
        Self::from_wire(Block::decode(reader, context))
    }

    /// Writes the length and the block; an empty one is the length 0 `[MQTT-2.2.2-1]`. Fails with [`EncodeError`] for
    /// properties that are misplaced, repeated or out of range.
    #[inline(always)]
    pub fn encode(&self, writer: &mut Writer<'_>, context: PropertyContext) {
        if self.is_empty() {
            writer.u8(0);
        } else {
            self.encode_prefixed(writer, context);
        }
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn encode_prefixed(self, writer: &mut Writer<'_>, context: PropertyContext) {
        writer.prefixed(|writer| self.encode_some(writer, context));
    }

    /// Writes the block without its length. Fails as [`Properties::encode`].
    #[inline(always)]
    pub fn encode_block(&self, writer: &mut Writer<'_>, context: PropertyContext) {
        if !self.is_empty() {
            self.encode_some(writer, context);
        }
    }

    /// As [`Properties::encode_block`], with numbers before them, of which those that are 0 are left out. None of these
    /// properties is among them.
    pub(crate) fn encode_behind(
        &self,
        numbers: &[(PropertyId, u32)],
        writer: &mut Writer<'_>,
        context: PropertyContext,
    ) {
        for (id, number) in numbers.iter().filter(|(_, number)| *number != 0) {
            write_number(*id, *number, writer);
        }
        self.encode_block(writer, context);
    }

    #[cfg_attr(not(feature = "std"), inline(never))]
    fn encode_some(self, writer: &mut Writer<'_>, context: PropertyContext) {
        let mut seen = Seen::new(context);
        let mut value = Value::default();
        let mut cursor = self.cursor();
        while let Some(id) = cursor.next(&mut value) {
            if let Some(fault) = seen.note(id, &value) {
                return writer.fail(fault.of_caller(id));
            }
            write(id, &value, writer);
        }
        if seen.lacks_method() {
            writer.fail(EncodeError::AuthenticationMethod);
        }
    }

    fn cursor(self) -> Cursor<'a> {
        Cursor { list: self.0.as_list().unwrap_or_default().iter(), block: Reader::new(self.as_block().unwrap_or(&[])) }
    }
}

/// Properties one after the other.
struct Cursor<'a> {
    list: Iter<'a, Property<'a>>,
    block: Reader<'a>,
}

impl<'a> Cursor<'a> {
    /// Reads the next one; `None` at the end.
    #[cfg_attr(feature = "std", inline)]
    fn next(&mut self, value: &mut Value<'a>) -> Option<PropertyId> {
        match self.list.next() {
            Some(property) => {
                property.put_into(value);
                Some(property.id())
            }
            None => read(&mut self.block, value),
        }
    }
}

impl Fault {
    fn of_caller(self, id: PropertyId) -> EncodeError {
        match self {
            Self::Misplaced => EncodeError::MisplacedProperty(id),
            Self::Duplicate => EncodeError::DuplicateProperty(id),
            Self::Value => EncodeError::PropertyValue(id),
        }
    }
}

impl core::fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Properties<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.0);
    }
}

impl<'a, const N: usize> From<&'a [Property<'a>; N]> for Properties<'a> {
    fn from(list: &'a [Property<'a>; N]) -> Self {
        Self::new(list)
    }
}

impl<'a> IntoIterator for &Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertyIter<'a>;

    fn into_iter(self) -> PropertyIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Properties`].
pub type PropertyIter<'a> = EntryIter<'a, Property<'a>>;
