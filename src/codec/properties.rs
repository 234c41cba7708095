use core::slice::Iter;

use super::property::{Fault, Seen, read, write};
use super::value::{Value, low_half};
use super::{DecodeError, EncodeError, Entries, EntryIter, Property, PropertyContext, PropertyId, Reader, Writer};
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
        let this = Self::from_checked_block(block);
        let mut cursor = this.cursor();
        let fault = walk(&[], &mut cursor, context, None);
        // What cannot be read comes before what may not stand there.
        match (cursor.block.error(), fault) {
            (Some(DecodeError::Truncated), _) => Err(DecodeError::PropertyLength),
            (Some(error), _) => Err(error),
            (None, Err(fault)) => Err(fault.of_peer(context)),
            (None, Ok(())) => Ok(this),
        }
    }

    /// A block that [`Properties::from_block`] has accepted before. An unchecked one reads as its valid beginning.
    pub(crate) const fn from_checked_block(block: &'a [u8]) -> Self {
        Self(Entries::from_checked_block(block))
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

    /// The number that the property `wanted` has. A property that is no number has 0.
    pub(crate) fn number(&self, wanted: PropertyId) -> Option<u32> {
        let mut value = Value::default();
        self.locate(wanted, &mut value).map(|_| value.number)
    }

    /// The number that the property `wanted` has, and how many bytes of the block are behind it.
    pub(crate) fn number_place(&self, wanted: PropertyId) -> Option<(u32, usize)> {
        let mut value = Value::default();
        let behind = self.locate(wanted, &mut value)?;
        Some((value.number, behind))
    }

    /// The string that the property `wanted` has.
    #[inline(never)]
    pub(crate) fn text(&self, wanted: PropertyId) -> Option<Text<'a>> {
        let mut value = Value::default();
        self.locate(wanted, &mut value)?;
        Some(value.text)
    }

    /// Reads the value of the property `wanted`, and says how many bytes of the block are behind it.
    #[inline(never)]
    fn locate(&self, wanted: PropertyId, value: &mut Value<'a>) -> Option<usize> {
        let mut cursor = self.cursor();
        while cursor.next(value)? != wanted {}
        cursor.block.error().is_none().then(|| cursor.block.remaining())
    }

    fn cursor(&self) -> Cursor<'a> {
        Cursor { list: self.0.as_list().unwrap_or_default().iter(), block: Reader::new(self.as_block().unwrap_or(&[])) }
    }

    /// As [`Properties::number`], for a two byte integer.
    pub(crate) fn half(&self, wanted: PropertyId) -> Option<u16> {
        self.number(wanted).map(low_half)
    }

    /// Whether the property is there.
    pub(crate) fn has(&self, wanted: PropertyId) -> bool {
        self.locate(wanted, &mut Value::default()).is_some()
    }

    /// Reads the length and the block behind it. Fails as [`Properties::from_block`].
    #[cfg_attr(feature = "std", inline)]
    pub fn decode(reader: &mut Reader<'a>, context: PropertyContext) -> Self {
        // A length that does not fit is longer than any input.
        let len = usize::try_from(reader.var_int()).unwrap_or(usize::MAX);
        // Most packets have none. On a microcontroller checking nothing is fast enough.
        if cfg!(feature = "std") && len == 0 {
            return Self::from_checked_block(&[]);
        }
        match Self::from_block(reader.take(len), context) {
            Ok(properties) => properties,
            Err(error) => {
                reader.fail(error);
                Self::EMPTY
            }
        }
    }

    /// Writes the length and the block; an empty one is the length 0 `[MQTT-2.2.2-1]`. Fails with [`EncodeError`] for
    /// properties that are misplaced, repeated or out of range.
    pub fn encode(&self, writer: &mut Writer<'_>, context: PropertyContext) {
        writer.prefixed(|writer| self.encode_block(writer, context));
    }

    /// Writes the block without its length. Fails as [`Properties::encode`].
    pub fn encode_block(&self, writer: &mut Writer<'_>, context: PropertyContext) {
        self.encode_behind(&[], writer, context);
    }

    /// As [`Properties::encode_block`], with numbers before them, of which those that are 0 are left out.
    pub(crate) fn encode_behind(
        &self,
        numbers: &[(PropertyId, u32)],
        writer: &mut Writer<'_>,
        context: PropertyContext,
    ) {
        if let Err(fault) = walk(numbers, &mut self.cursor(), context, Some(writer)) {
            writer.fail(fault.of_caller());
        }
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

/// Goes through the numbers that are not 0, and the properties behind them: whether they may stand together in that
/// place. Writes them where there is a writer.
#[cfg_attr(feature = "std", inline)]
fn walk<'a>(
    numbers: &[(PropertyId, u32)],
    cursor: &mut Cursor<'a>,
    context: PropertyContext,
    mut writer: Option<&mut Writer<'_>>,
) -> Result<(), Fault> {
    let mut seen = Seen::new(context);
    let mut value = Value::default();
    let mut numbers = numbers.iter().filter(|(_, number)| *number != 0);
    loop {
        let id = match numbers.next() {
            Some((id, number)) => {
                value.number = *number;
                *id
            }
            None => match cursor.next(&mut value) {
                Some(id) => id,
                None => return seen.finish(),
            },
        };
        seen.note(id, &value)?;
        if let Some(writer) = &mut writer {
            write(id, &value, writer);
        }
    }
}

impl Fault {
    fn of_peer(self, context: PropertyContext) -> DecodeError {
        match self {
            Self::Misplaced(id) if id.is_allowed_in(context.other_side()) => DecodeError::OneSidedProperty(id),
            Self::Misplaced(id) => DecodeError::MisplacedProperty(id),
            Self::Duplicate(id) => DecodeError::DuplicateProperty(id),
            Self::Value(PropertyId::TopicAlias) => DecodeError::TopicAliasZero,
            Self::Value(id) => DecodeError::PropertyValue(id),
            Self::NoMethod => DecodeError::AuthenticationMethod,
        }
    }

    fn of_caller(self) -> EncodeError {
        match self {
            Self::Misplaced(id) => EncodeError::MisplacedProperty(id),
            Self::Duplicate(id) => EncodeError::DuplicateProperty(id),
            Self::Value(id) => EncodeError::PropertyValue(id),
            Self::NoMethod => EncodeError::AuthenticationMethod,
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
