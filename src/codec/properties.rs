use super::property::{Fault, Seen};
use super::{
    DecodeError, EncodeError, Entries, Entry, EntryIter, Property, PropertyContext, PropertyId, Reader, Writer,
};

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

    /// The properties of one list and then those of another.
    pub const fn joined(first: &'a [Property<'a>], second: &'a [Property<'a>]) -> Self {
        Self(Entries::joined(first, second))
    }

    /// Checks a block as it stands on the wire behind its length.
    ///
    /// # Errors
    /// [`DecodeError`] for properties that are unknown, misplaced, repeated or out of range.
    pub fn from_block(block: &'a [u8], context: PropertyContext) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(block);
        let mut seen = Seen::new(context);
        while !reader.is_empty() {
            let id = Property::decode_entry(&mut reader)?.id();
            seen.note(id).map_err(|fault| match fault {
                Fault::Misplaced if id.is_allowed_in(context.other_side()) => DecodeError::OneSidedProperty(id),
                Fault::Misplaced => DecodeError::MisplacedProperty(id),
                Fault::Duplicate => DecodeError::DuplicateProperty(id),
            })?;
        }
        if lacks_method(&seen) {
            return Err(DecodeError::AuthenticationMethod);
        }
        Ok(Self::from_checked_block(block))
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

    /// Reads the length and the block behind it.
    ///
    /// # Errors
    /// As [`Properties::from_block`], and [`DecodeError::Truncated`].
    pub fn decode(reader: &mut Reader<'a>, context: PropertyContext) -> Result<Self, DecodeError> {
        let len = reader.var_int()?;
        let len = usize::try_from(len).map_err(|_| DecodeError::Truncated)?;
        Self::from_block(reader.take(len)?, context)
    }

    /// Writes the length and the block; an empty one is the length 0 `[MQTT-2.2.2-1]`.
    ///
    /// # Errors
    /// [`EncodeError`] for properties that are misplaced, repeated or out of range.
    pub fn encode(&self, writer: &mut Writer<'_>, context: PropertyContext) -> Result<(), EncodeError> {
        if self.is_empty() {
            return writer.u8(0);
        }
        writer.prefixed(|writer| self.encode_block(writer, context))
    }

    /// Writes the block without its length.
    ///
    /// # Errors
    /// As [`Properties::encode`].
    pub fn encode_block(&self, writer: &mut Writer<'_>, context: PropertyContext) -> Result<(), EncodeError> {
        let mut seen = Seen::new(context);
        for property in self.iter() {
            let id = property.id();
            seen.note(id).map_err(|fault| match fault {
                Fault::Misplaced => EncodeError::MisplacedProperty(id),
                Fault::Duplicate => EncodeError::DuplicateProperty(id),
            })?;
            property.encode(writer)?;
        }
        if lacks_method(&seen) { Err(EncodeError::AuthenticationMethod) } else { Ok(()) }
    }
}

/// Authentication Data means nothing without its method (v5.0 section 3.1.2.11.10).
fn lacks_method(seen: &Seen) -> bool {
    seen.has(PropertyId::AuthenticationData) && !seen.has(PropertyId::AuthenticationMethod)
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
