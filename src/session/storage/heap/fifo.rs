use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::types::PacketId;

/// Values in the order they came, each found by its packet identifier in constant time.
///
/// A removed value leaves a gap. The gaps are closed when they outweigh the rest, so that a value nobody ever removes
/// does not keep them all.
#[derive(Debug)]
pub(super) struct Fifo<T> {
    items: VecDeque<Option<(PacketId, T)>>,
    /// The number of the first item; numbers of later ones follow.
    first: u64,
    numbers: HashMap<PacketId, u64, BuildIdHasher>,
    /// How often gaps were closed: a cursor of an earlier epoch starts over.
    epoch: u64,
}

/// A place in a [`Fifo`] to go on from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    number: u64,
    epoch: u64,
}

impl Cursor {
    pub(super) const fn step(&mut self) {
        self.number += 1;
    }
}

pub(super) type BuildIdHasher = BuildHasherDefault<IdHasher>;

impl<T> Fifo<T> {
    pub(super) fn new() -> Self {
        Self { items: VecDeque::new(), first: 0, numbers: HashMap::default(), epoch: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.numbers.contains_key(&id)
    }

    /// Appends a value; one of the same identifier goes away.
    pub(super) fn push(&mut self, id: PacketId, value: T) {
        self.remove(id);
        let number = self.first + self.items.len() as u64;
        self.items.push_back(Some((id, value)));
        self.numbers.insert(id, number);
    }

    pub(super) fn get(&self, id: PacketId) -> Option<&T> {
        let item = self.items.get(self.index(*self.numbers.get(&id)?)?)?;
        item.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let index = self.index(*self.numbers.get(&id)?)?;
        self.items.get_mut(index)?.as_mut().map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, id: PacketId) -> Option<T> {
        let number = self.numbers.remove(&id)?;
        let index = self.index(number)?;
        let (_, value) = self.items.get_mut(index)?.take()?;
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.first += 1;
        }
        if self.items.len() > 2 * self.len() + 64 {
            self.close_gaps();
        }
        Some(value)
    }

    pub(super) fn front(&self) -> Option<(PacketId, &T)> {
        self.items.front()?.as_ref().map(|(id, value)| (*id, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PacketId, &mut T)> {
        self.items.iter_mut().flatten().map(|(id, value)| (*id, value))
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.numbers.clear();
        self.epoch += 1;
    }

    /// The first value at or behind `cursor`, which moves there.
    pub(super) fn seek(&mut self, cursor: &mut Cursor) -> Option<(PacketId, &mut T)> {
        let number = if cursor.epoch == self.epoch { cursor.number.max(self.first) } else { self.first };
        let mut index = self.index(number)?;
        while let Some(None) = self.items.get(index) {
            index += 1;
        }
        *cursor = Cursor { number: self.first + index as u64, epoch: self.epoch };
        self.items.get_mut(index)?.as_mut().map(|(id, value)| (*id, value))
    }

    fn close_gaps(&mut self) {
        self.items.retain(Option::is_some);
        for (index, (id, _)) in self.items.iter().flatten().enumerate() {
            self.numbers.insert(*id, self.first + index as u64);
        }
        self.epoch += 1;
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

/// Identifiers are ours or bounded to 65,535, so nobody can make many collide. They come one after the other: so the low
/// bits, which choose the place, stay as they are, and neighbours share cache lines.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u16(u16::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        let value = self.0 << 16 | u64::from(value);
        self.0 = value ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 57 << 57;
    }
}
