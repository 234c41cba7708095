use core::slice::Iter;

use super::Reader;

/// Entries of one kind, one behind the other: either a list of the caller's, or a block from the wire that was checked
/// once and is read lazily. Equal when they hold the same entries in the same order.
#[derive(Clone, Copy)]
pub struct Entries<'a, T>(Form<'a, T>);

#[derive(Clone, Copy)]
enum Form<'a, T> {
    Block(&'a [u8]),
    List(&'a [T]),
}

/// Something that [`Entries`] can read.
pub trait Entry<'a>: Copy {
    /// Reads one entry; what is malformed in it fails the reader, and gives `None` where nothing can stand for it.
    fn decode_entry(reader: &mut Reader<'a>) -> Option<Self>;
}

impl<'a> Entry<'a> for &'a str {
    fn decode_entry(reader: &mut Reader<'a>) -> Option<Self> {
        Some(reader.string())
    }
}

impl<'a, T: Entry<'a>> Entries<'a, T> {
    /// The entries of a list.
    pub const fn new(list: &'a [T]) -> Self {
        Self(Form::List(list))
    }

    /// A block whose entries have all been decoded before. An unchecked one reads as its valid beginning.
    pub(crate) const fn from_checked_block(block: &'a [u8]) -> Self {
        Self(Form::Block(block))
    }

    /// The bytes on the wire, where the entries came from there.
    pub const fn as_block(&self) -> Option<&'a [u8]> {
        match self.0 {
            Form::Block(block) => Some(block),
            Form::List(_) => None,
        }
    }

    /// The list, where the entries came from the caller.
    pub(super) const fn as_list(&self) -> Option<&'a [T]> {
        match self.0 {
            Form::Block(_) => None,
            Form::List(list) => Some(list),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        match self.0 {
            Form::Block(block) => block.is_empty(),
            Form::List(list) => list.is_empty(),
        }
    }

    /// The entries in their order.
    pub fn iter(&self) -> EntryIter<'a, T> {
        EntryIter(match self.0 {
            Form::Block(block) => IterForm::Block(Reader::new(block)),
            Form::List(list) => IterForm::List(list.iter()),
        })
    }
}

impl<'a, T: Entry<'a>, const N: usize> From<&'a [T; N]> for Entries<'a, T> {
    fn from(list: &'a [T; N]) -> Self {
        Self::new(list)
    }
}

impl<'a, T: Entry<'a>> Default for Entries<'a, T> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl<'a, T: Entry<'a> + PartialEq> PartialEq for Entries<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Entry<'a> + Eq> Eq for Entries<'a, T> {}

impl<'a, T: Entry<'a> + core::fmt::Debug> core::fmt::Debug for Entries<'a, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.iter().fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<'a, T: Entry<'a> + defmt::Format> defmt::Format for Entries<'a, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.iter());
    }
}

impl<'a, T: Entry<'a>> IntoIterator for &Entries<'a, T> {
    type Item = T;
    type IntoIter = EntryIter<'a, T>;

    fn into_iter(self) -> EntryIter<'a, T> {
        self.iter()
    }
}

/// Iterator over [`Entries`].
#[derive(Clone)]
pub struct EntryIter<'a, T>(IterForm<'a, T>);

#[derive(Clone)]
enum IterForm<'a, T> {
    Block(Reader<'a>),
    List(Iter<'a, T>),
}

impl<'a, T: Entry<'a>> Iterator for EntryIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            IterForm::Block(reader) if reader.is_empty() => None,
            IterForm::Block(reader) => T::decode_entry(reader).filter(|_| reader.error().is_none()),
            IterForm::List(list) => list.next().copied(),
        }
    }
}

impl<'a, T: Entry<'a> + core::fmt::Debug> core::fmt::Debug for EntryIter<'a, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

#[cfg(feature = "defmt")]
impl<'a, T: Entry<'a> + defmt::Format> defmt::Format for EntryIter<'a, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "[");
        for (index, entry) in self.clone().enumerate() {
            if index > 0 {
                defmt::write!(f, ", ");
            }
            defmt::write!(f, "{}", entry);
        }
        defmt::write!(f, "]");
    }
}
