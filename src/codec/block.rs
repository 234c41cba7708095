use super::property::{Fault, Seen, read};
use super::value::{Value, low_half};
use super::{DecodeError, PropertyContext, PropertyId, Reader};
use crate::types::Text;

/// The properties of a packet as they stand on the wire, checked once and read lazily. Apart from
/// [`Properties`](super::Properties), so that a program that only receives some links nothing of those that it could
/// send.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    pub(crate) const EMPTY: Self = Self(&[]);

    /// One that was checked before. An unchecked one reads as its valid beginning.
    pub(crate) const fn from_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads the length and the block behind it.
    #[cfg_attr(feature = "std", inline)]
    pub(crate) fn decode(reader: &mut Reader<'a>, context: PropertyContext) -> Self {
        // A length that does not fit is longer than any input.
        let len = usize::try_from(reader.var_int()).unwrap_or(usize::MAX);
        // Most packets have none. On a microcontroller checking nothing is fast enough.
        if cfg!(feature = "std") && len == 0 {
            return Self::EMPTY;
        }
        let this = Self(reader.take(len));
        match this.fault(context) {
            None => this,
            Some(error) => {
                reader.fail(error);
                Self::EMPTY
            }
        }
    }

    /// The first thing that is wrong with it in that place. What cannot be read comes before what may not stand there.
    #[cfg_attr(feature = "std", inline)]
    pub(super) fn fault(self, context: PropertyContext) -> Option<DecodeError> {
        let mut reader = Reader::new(self.0);
        let mut seen = Seen::new(context);
        let mut value = Value::default();
        while let Some(id) = read(&mut reader, &mut value) {
            if let Some(fault) = seen.note(id, &value) {
                reader.fail(fault.of_peer(id, context));
            }
        }
        match reader.error() {
            None => seen.lacks_method().then_some(DecodeError::AuthenticationMethod),
            Some(DecodeError::Truncated) => Some(DecodeError::PropertyLength),
            error => error,
        }
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The number that the property `wanted` has. A property that is no number has 0.
    pub(crate) fn number(self, wanted: PropertyId) -> Option<u32> {
        self.number_place(wanted).map(|(number, _)| number)
    }

    /// The number that the property `wanted` has, and how many bytes of the block are behind it.
    pub(crate) fn number_place(self, wanted: PropertyId) -> Option<(u32, usize)> {
        let mut value = Value::default();
        let behind = self.locate(wanted, &mut value)?;
        Some((value.number, behind))
    }

    /// As [`Block::number`], for a two byte integer.
    pub(crate) fn half(self, wanted: PropertyId) -> Option<u16> {
        self.number(wanted).map(low_half)
    }

    /// The string that the property `wanted` has.
    #[inline(never)]
    pub(crate) fn text(self, wanted: PropertyId) -> Option<Text<'a>> {
        let mut value = Value::default();
        self.locate(wanted, &mut value)?;
        Some(value.text)
    }

    /// Whether the property is there.
    pub(crate) fn has(self, wanted: PropertyId) -> bool {
        self.number(wanted).is_some()
    }

    /// Reads the value of the property `wanted`, and says how many bytes of the block are behind it.
    #[inline(never)]
    pub(super) fn locate(self, wanted: PropertyId, value: &mut Value<'a>) -> Option<usize> {
        let mut reader = Reader::new(self.0);
        while read(&mut reader, value)? != wanted {}
        reader.error().is_none().then(|| reader.remaining())
    }
}

impl Fault {
    fn of_peer(self, id: PropertyId, context: PropertyContext) -> DecodeError {
        match self {
            Self::Misplaced if id.is_allowed_in(context.other_side()) => DecodeError::OneSidedProperty(id),
            Self::Misplaced => DecodeError::MisplacedProperty(id),
            Self::Duplicate => DecodeError::DuplicateProperty(id),
            Self::Value if id == PropertyId::TopicAlias => DecodeError::TopicAliasZero,
            Self::Value => DecodeError::PropertyValue(id),
        }
    }
}
