use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::types::PacketId;

/// Values in the order they came, each found by its packet identifier in constant time.
///
/// Identifiers mostly come one after the other, so the place of a value follows from its identifier; those out of line
/// are looked up. A removed value leaves a gap. The gaps are closed when they outweigh the rest, so that a value nobody
/// ever removes does not keep them all.
#[derive(Debug)]
pub(crate) struct Fifo<T> {
    items: VecDeque<Option<(PacketId, T)>>,
    len: usize,
    /// The number of the first item; numbers of later ones follow.
    first: u64,
    /// What an identifier in line differs from its index by, in the circle of identifiers.
    shift: u64,
    /// The numbers of those out of line.
    strays: HashMap<PacketId, u64, BuildIdHasher>,
    /// How often gaps were closed: a cursor of an earlier epoch starts over.
    epoch: u64,
}

/// How many identifiers there are.
const CIRCLE: u64 = PacketId::MAX.value() as u64;
/// So many identifiers may be left out without the later ones falling out of line.
const MAX_LEAP: u64 = 8;
/// So many places are kept when nothing is there.
pub(crate) const KEPT_PLACES: usize = 256;

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
    pub(crate) fn new() -> Self {
        Self { items: VecDeque::new(), len: 0, first: 0, shift: 0, strays: HashMap::default(), epoch: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.find(id).is_some()
    }

    /// Appends a value; one of the same identifier goes away.
    #[inline]
    pub(crate) fn push(&mut self, id: PacketId, value: T) {
        if self.is_next(id) {
            self.append(id, value);
        } else {
            self.push_out_of_line(id, value);
        }
    }

    fn push_out_of_line(&mut self, id: PacketId, value: T) {
        if self.contains(id) {
            self.remove(id);
        }
        if self.len == 0 {
            return self.append(id, value);
        }
        let len = self.items.len() as u64;
        let leap = (self.in_line(id) + CIRCLE - len % CIRCLE) % CIRCLE;
        match leap {
            0 => {}
            1..MAX_LEAP => self.items.extend((0..leap).map(|_| None)),
            _ => drop(self.strays.insert(id, self.first + len)),
        }
        self.items.push_back(Some((id, value)));
        self.len += 1;
        self.close_gaps_if_many();
    }

    /// Appends a value if nothing has to be looked up for it; whether it was.
    #[inline]
    pub(super) fn push_in_line(&mut self, id: PacketId, value: T) -> bool {
        let is_next = self.is_next(id);
        if is_next {
            self.append(id, value);
        }
        is_next
    }

    /// Whether nothing is there, or only what an identifier right before this one ends: then this one is not there.
    #[inline]
    fn is_next(&self, id: PacketId) -> bool {
        match self.items.back() {
            // With its gaps the line may be longer than the circle, and what is out of line may be anywhere.
            Some(Some((last, _))) => last.next() == id && self.strays.is_empty() && (self.items.len() as u64) < CIRCLE,
            Some(None) => false,
            None => true,
        }
    }

    /// How many identifiers from one on, `at_most`, have no value.
    pub(super) fn free_from(&self, id: PacketId, at_most: usize) -> usize {
        if self.len == 0 {
            return at_most;
        }
        let index = self.in_line(id);
        if self.strays.is_empty() && self.items.len() as u64 <= index {
            return usize::try_from(CIRCLE - index).map_or(at_most, |steps| at_most.min(steps));
        }
        (0..).take(at_most).take_while(|steps| !self.contains(id.after(*steps))).count()
    }

    /// Appends a value whose identifier is in line.
    #[inline]
    fn append(&mut self, id: PacketId, value: T) {
        if self.items.is_empty() {
            self.shift = shift(id, 0);
        }
        self.items.push_back(Some((id, value)));
        self.len += 1;
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<&T> {
        let item = self.items.get(self.find(id)?)?;
        item.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, id: PacketId) -> Option<&mut T> {
        let index = self.find(id)?;
        self.items.get_mut(index)?.as_mut().map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<T> {
        // Mostly the oldest goes first.
        if self.front().is_none_or(|(first, _)| first != id) {
            return self.remove_later(id);
        }
        let (_, value) = self.pop_item()?;
        self.note_removed(id);
        Some(value)
    }

    fn remove_later(&mut self, id: PacketId) -> Option<T> {
        let index = self.find(id)?;
        let (_, value) = self.items.get_mut(index)?.take()?;
        self.note_removed(id);
        Some(value)
    }

    /// Removes the first value if it is wanted; its identifier.
    #[inline]
    pub(super) fn pop_front_if(&mut self, is_wanted: impl FnOnce(&T) -> bool) -> Option<PacketId> {
        self.front().filter(|(_, value)| is_wanted(value))?;
        let (id, _) = self.pop_item()?;
        self.note_removed(id);
        Some(id)
    }

    /// Takes out the first item; those behind it change their indices.
    #[inline]
    fn pop_item(&mut self) -> Option<(PacketId, T)> {
        let item = self.items.pop_front()?;
        self.first += 1;
        self.shift = self.shift.checked_sub(1).unwrap_or(CIRCLE - 1);
        item
    }

    #[inline]
    fn note_removed(&mut self, id: PacketId) {
        self.len -= 1;
        if !self.strays.is_empty() {
            self.strays.remove(&id);
        }
        while let Some(None) = self.items.front() {
            self.pop_item();
        }
        if self.len == 0 {
            // What is empty has no line, wherever the next one begins.
            self.shift = 0;
        }
        self.close_gaps_if_many();
    }

    /// Takes out all values in their order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        let items = core::mem::take(&mut self.items);
        self.clear();
        items.into_iter().flatten().map(|(_, value)| value)
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 && self.items.capacity() > KEPT_PLACES {
            self.items = VecDeque::new();
            self.strays = HashMap::default();
        }
    }

    #[inline]
    pub(super) fn front(&self) -> Option<(PacketId, &T)> {
        self.items.front()?.as_ref().map(|(id, value)| (*id, value))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, &T)> {
        self.items.iter().flatten().map(|(id, value)| (*id, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (PacketId, &mut T)> {
        self.items.iter_mut().flatten().map(|(id, value)| (*id, value))
    }

    /// The values from that of an identifier on, or all of them.
    pub(super) fn iter_mut_from(&mut self, id: Option<PacketId>) -> impl Iterator<Item = &mut T> {
        let from = id.and_then(|id| self.find(id)).unwrap_or(0);
        self.items.range_mut(from..).flatten().map(|(_, value)| value)
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.strays.clear();
        (self.len, self.shift) = (0, 0);
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

    /// Shows `goes_on` the values from `cursor` on, which moves, up to the first one that it does not want.
    pub(super) fn walk(&mut self, cursor: &mut Cursor, mut goes_on: impl FnMut(PacketId, &mut T) -> bool) {
        if self.seek(cursor).is_none() {
            return;
        }
        let Some(index) = self.index(cursor.number) else { return };
        for item in self.items.range_mut(index..) {
            if let Some((id, value)) = item
                && !goes_on(*id, value)
            {
                return;
            }
            cursor.step();
        }
    }

    #[inline]
    fn close_gaps_if_many(&mut self) {
        if self.items.len() > 2 * self.len + 64 {
            self.close_gaps();
        }
    }

    #[cold]
    fn close_gaps(&mut self) {
        self.items.retain(Option::is_some);
        self.epoch += 1;
        self.strays.clear();
        if let Some(Some((last, _))) = self.items.back() {
            self.shift = shift(*last, self.items.len() as u64 - 1);
        }
        for (index, (id, _)) in (0..).zip(self.items.iter().flatten()) {
            if shift(*id, index) != self.shift {
                self.strays.insert(*id, self.first + index);
            }
        }
    }

    /// Where a value is.
    #[inline]
    fn find(&self, id: PacketId) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let index = usize::try_from(self.in_line(id)).ok()?;
        if let Some(Some((found, _))) = self.items.get(index)
            && *found == id
        {
            return Some(index);
        }
        if self.strays.is_empty() && self.items.len() as u64 <= CIRCLE {
            return None;
        }
        self.find_out_of_line(id, index)
    }

    /// The index of an identifier that is in line, or one that differs from it by whole circles.
    #[inline]
    fn in_line(&self, id: PacketId) -> u64 {
        let index = u64::from(id.value()) + self.shift;
        index.checked_sub(CIRCLE).unwrap_or(index)
    }

    #[cold]
    fn find_out_of_line(&self, id: PacketId, index: usize) -> Option<usize> {
        if let Some(number) = self.strays.get(&id) {
            return self.index(*number);
        }
        // With its gaps the line may be longer than the circle.
        let behind = (index..self.items.len()).step_by(usize::from(PacketId::MAX.value()));
        behind.skip(1).find(|at| matches!(self.items.get(*at), Some(Some((found, _))) if *found == id))
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}

/// What leads from an identifier to an index.
const fn shift(id: PacketId, index: u64) -> u64 {
    (index + CIRCLE - id.value() as u64) % CIRCLE
}

/// Identifiers are ours or bounded to 65,535, so nobody can make many collide. They come one after the other: so the
/// low bits, which choose the place, stay as they are, and neighbours share cache lines.
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Compares with a list that is searched; identifiers come from `next`, which is given what is there.
    fn behaves_like_a_list(seed: u64, steps: usize, most: usize, mut next: impl FnMut(u64, PacketId) -> PacketId) {
        let (mut fifo, mut list) = (Fifo::new(), Vec::new());
        let mut random = seed;
        let mut last = PacketId::MAX;
        for step in 0..steps {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let dice = random >> 33;
            if list.len() < most && dice % 16 < 8 + (step / 64 % 2) as u64 {
                last = next(dice, last);
                list.retain(|(id, _)| *id != last);
                list.push((last, step));
                fifo.push(last, step);
            } else if !list.is_empty() {
                // Mostly the oldest, as acknowledgements come.
                let at = if dice & 0x300 > 0 { 0 } else { dice as usize % list.len() };
                let (id, value) = list.remove(at);
                assert_eq!(fifo.remove(id), Some(value));
                assert_eq!(fifo.remove(id), None);
            }
            assert_eq!(fifo.len(), list.len());
            assert_eq!(fifo.front().map(|(id, value)| (id, *value)), list.first().copied());
            for (id, value) in &list {
                assert_eq!(fifo.get(*id), Some(value));
            }
            assert_eq!(fifo.contains(last), list.iter().any(|(id, _)| *id == last));
            let from = last.after((dice % 50) as u16).after(u16::MAX - 40);
            let free = (0..20).take_while(|steps| !list.iter().any(|(id, _)| *id == from.after(*steps))).count();
            assert_eq!(fifo.free_from(from, 20), free);
        }
        let mut cursor = Cursor::default();
        for (id, value) in &list {
            assert_eq!(fifo.seek(&mut cursor).map(|(id, value)| (id, *value)), Some((*id, *value)));
            cursor.step();
        }
        assert!(fifo.drain().eq(list.iter().map(|(_, value)| *value)));
        assert_eq!((fifo.len(), fifo.front()), (0, None));
    }

    fn id(number: u64) -> PacketId {
        PacketId::new((number % CIRCLE) as u16 + 1).unwrap()
    }

    #[test]
    fn values_are_found_whatever_order_their_identifiers_come_in() {
        for seed in 0..6 {
            behaves_like_a_list(seed, 2_000, 40, |_, last| last.next());
            behaves_like_a_list(seed, 2_000, 40, |dice, last| id(u64::from(last.value()) + dice % 3));
            behaves_like_a_list(seed, 2_000, 40, |dice, last| id(u64::from(last.value()) + dice % 12));
            behaves_like_a_list(seed, 2_000, 40, |dice, _| id(dice));
            behaves_like_a_list(seed, 2_000, 40, |dice, _| id(dice % 20 + CIRCLE - 10));
        }
    }

    #[test]
    fn all_identifiers_can_be_there_beside_one_that_never_goes() {
        let mut fifo = Fifo::new();
        let (mut next, mut there) = (id(5), HashSet::new());
        fifo.push(id(0), 0);
        for number in 0..3 * CIRCLE {
            next = if next == id(CIRCLE - 1) { id(1) } else { next.next() };
            if !there.insert(next) {
                assert!(fifo.remove(next).is_some());
            }
            fifo.push(next, number);
            assert_eq!(fifo.get(next), Some(&number));
        }
        assert_eq!(fifo.len() as u64, CIRCLE);
        assert!((0..CIRCLE).all(|number| fifo.contains(id(number))));
        assert_eq!(fifo.front(), Some((id(0), &0)));
    }

    #[test]
    fn the_memory_of_a_burst_goes_back_once_nothing_is_left_of_it() {
        let mut fifo = Fifo::new();
        (0..1000).for_each(|number| fifo.push(id(number), number));
        fifo.shrink();
        assert_eq!(fifo.len(), 1000);
        assert!((0..1000).all(|number| fifo.remove(id(number)) == Some(number)));
        assert!(fifo.items.capacity() >= 1000);
        fifo.shrink();
        assert_eq!(fifo.items.capacity(), 0);
    }
}
