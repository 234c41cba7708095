//! What has consecutive identifiers and is alike in all else costs a count.

use std::collections::VecDeque;

use super::KEPT_PLACES;
use crate::types::PacketId;

/// Members with consecutive identifiers and something in common.
#[derive(Debug)]
pub(super) struct Line<T> {
    pub(super) first: PacketId,
    pub(super) count: u16,
    pub(super) common: T,
}

/// Lines one behind the other: those that were sent on this connection, and then those that wait for it.
///
/// The first line that was sent ends member by member, and the first one that waits is sent, whole or a part of it. Who
/// wants anything else takes lines apart, from the first one on. The identifiers of all lines rise within one circle,
/// so that each is found by halving.
#[derive(Debug)]
pub(super) struct Lines<T> {
    sent: VecDeque<Line<T>>,
    waiting: VecDeque<Line<T>>,
    len: usize,
}

/// How many identifiers there are.
const CIRCLE: usize = PacketId::MAX.value() as usize;

impl<T> Line<T> {
    /// The identifier that goes on with it.
    const fn behind(&self) -> PacketId {
        self.first.after(self.count)
    }
}

impl<T> Lines<T> {
    pub(super) const fn new() -> Self {
        Self { sent: VecDeque::new(), waiting: VecDeque::new(), len: 0 }
    }

    /// How many members there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends a line that waits, whose identifiers go on rising.
    pub(super) fn push(&mut self, first: PacketId, count: u16, common: T) {
        self.len += usize::from(count);
        self.waiting.push_back(Line { first, count, common });
    }

    /// Appends members to the last line that waits, if that is what they go on with; whether they are appended.
    pub(super) fn extend(&mut self, first: PacketId, count: u16, is_common: impl FnOnce(&T) -> bool) -> bool {
        let rises = self.rises_by(first, count);
        let line = self.waiting.back_mut().filter(|line| rises && line.behind() == first && is_common(&line.common));
        let Some(line) = line else { return false };
        line.count += count;
        self.len += usize::from(count);
        true
    }

    /// How many identifiers from one on, `at_most`, no member has.
    pub(super) fn free_from(&self, id: PacketId, at_most: usize) -> usize {
        match self.steps_behind(id) {
            Some(steps) => at_most.min(CIRCLE - steps),
            None => (0..).take(at_most).take_while(|steps| !self.contains(id.after(*steps))).count(),
        }
    }

    /// Whether so many identifiers from one on are behind all others in their circle.
    pub(super) fn rises_by(&self, id: PacketId, count: u16) -> bool {
        self.steps_behind(id).is_some_and(|steps| steps + usize::from(count) <= CIRCLE)
    }

    /// How many steps there are to an identifier from the first one, if it is behind the last one.
    fn steps_behind(&self, id: PacketId) -> Option<usize> {
        let (Some(front), Some(back)) = (self.front(), self.waiting.back().or(self.sent.back())) else {
            return Some(0);
        };
        let [steps, last] = [id, back.first].map(|id| usize::from(front.first.steps_to(id)));
        (steps >= last + usize::from(back.count)).then_some(steps)
    }

    #[inline]
    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.place_of(id).is_some()
    }

    /// The line of a member, which member of it that is, and whether it was sent.
    pub(super) fn find_mut(&mut self, id: PacketId) -> Option<(&mut Line<T>, u16, bool)> {
        let (index, member, is_sent) = self.place_of(id)?;
        let lines = if is_sent { &mut self.sent } else { &mut self.waiting };
        Some((lines.get_mut(index)?, member, is_sent))
    }

    /// Which line of those that were sent, or else of those that wait, a member is in, which member of it that is, and
    /// whether it was sent.
    fn place_of(&self, id: PacketId) -> Option<(usize, u16, bool)> {
        let origin = self.front()?.first;
        let at = origin.steps_to(id);
        let begins = |line: &Line<T>| origin.steps_to(line.first) <= at;
        let is_sent = !self.waiting.front().is_some_and(begins);
        let lines = if is_sent { &self.sent } else { &self.waiting };
        let index = lines.partition_point(begins).checked_sub(1)?;
        let line = lines.get(index)?;
        let member = line.first.steps_to(id);
        (member < line.count).then_some((index, member, is_sent))
    }

    fn front(&self) -> Option<&Line<T>> {
        self.sent.front().or(self.waiting.front())
    }

    /// The line whose members end next.
    #[inline]
    pub(super) fn first_sent(&mut self) -> Option<&mut Line<T>> {
        self.sent.front_mut()
    }

    /// The line that is sent next.
    pub(super) fn first_waiting(&self) -> Option<&Line<T>> {
        self.waiting.front()
    }

    /// Ends the first members of the first line that was sent.
    #[inline]
    pub(super) fn end(&mut self, count: u16) {
        let Some(line) = self.sent.front_mut() else { return };
        let count = count.min(line.count);
        (line.first, line.count) = (line.first.after(count), line.count - count);
        self.len -= usize::from(count);
        if line.count == 0 {
            self.sent.pop_front();
        }
    }

    /// The first members of the first line that waits are sent. `cut` splits off what they have in common, and `join`
    /// adds it to what those before them have if that can be one line; if not, it gives it back.
    pub(super) fn send(
        &mut self,
        count: u16,
        cut: impl FnOnce(&mut T) -> T,
        join: impl FnOnce(&mut T, T) -> Option<T>,
    ) {
        let Some(line) = self.waiting.front_mut() else { return };
        let count = count.min(line.count);
        let first = line.first;
        let part = cut(&mut line.common);
        (line.first, line.count) = (first.after(count), line.count - count);
        if line.count == 0 {
            self.waiting.pop_front();
        }
        let before = self.sent.back_mut().filter(|line| line.behind() == first);
        let rest = match before {
            Some(line) => {
                let rest = join(&mut line.common, part);
                line.count += if rest.is_none() { count } else { 0 };
                rest
            }
            None => Some(part),
        };
        self.sent.extend(rest.map(|common| Line { first, count, common }));
    }

    /// Takes out the first line, and whether it was sent.
    pub(super) fn pop(&mut self) -> Option<(Line<T>, bool)> {
        let sent = self.sent.pop_front().map(|line| (line, true));
        let (line, was_sent) = sent.or_else(|| self.waiting.pop_front().map(|line| (line, false)))?;
        self.len -= usize::from(line.count);
        Some((line, was_sent))
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 && self.sent.capacity() + self.waiting.capacity() > KEPT_PLACES {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// What is in line by the dice, compared with a list; a line has its first identifier's number in common.
    fn behaves_like_a_list(seed: u64, steps: usize) {
        let mut random = seed;
        let mut dice = |sides: u16| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u16::try_from((random >> 33) % u64::from(sides)).unwrap()
        };
        let mut lines = Lines::new();
        // Each identifier, what it has in common with others, and whether it was sent.
        let mut list: Vec<(PacketId, u64, bool)> = Vec::new();
        let mut next = PacketId::new(65_500).unwrap();
        for _ in 0..steps {
            match dice(6) {
                0 | 1 if list.len() < 60 => {
                    let (count, common) = (1 + dice(9), u64::from(dice(3)));
                    next = next.after(dice(3) / 2 * dice(3000));
                    if !lines.rises_by(next, count) {
                        while lines.pop().is_some() {}
                        list.clear();
                    }
                    if !lines.extend(next, count, |other| *other == common) {
                        lines.push(next, count, common);
                    }
                    list.extend((0..count).map(|steps| (next.after(steps), common, false)));
                    next = next.after(count);
                }
                2 => {
                    let count = 1 + dice(12);
                    let Some(line) = lines.first_waiting() else { continue };
                    let (count, first, common) = (count.min(line.count), line.first, line.common);
                    let waiting = list.iter_mut().filter(|(.., is_sent)| !is_sent).take(count.into());
                    for ((id, other, is_sent), steps) in waiting.zip(0..) {
                        assert_eq!((*id, *other), (first.after(steps), common));
                        *is_sent = true;
                    }
                    lines.send(count, |common| *common, |common, part| Some(part).filter(|part| *part != *common));
                }
                3 | 4 => {
                    let Some(line) = lines.first_sent() else { continue };
                    let count = (1 + dice(12)).min(line.count);
                    lines.end(count);
                    assert!(list.drain(..usize::from(count)).all(|(.., is_sent)| is_sent));
                }
                _ if dice(4) == 0 => {
                    let Some((line, was_sent)) = lines.pop() else { continue };
                    let expected = list.drain(..usize::from(line.count));
                    assert!(expected.eq((0..line.count).map(|steps| (line.first.after(steps), line.common, was_sent))));
                }
                _ => {}
            }
            assert_eq!(lines.len(), list.len());
            for _ in 0..8 {
                // Near those that are there.
                let id = next.after(dice(80)).after(u16::MAX - 60);
                let expected = list.iter().find(|(other, ..)| *other == id);
                let found =
                    lines.find_mut(id).map(|(line, member, is_sent)| (line.first.after(member), line.common, is_sent));
                assert_eq!(found.as_ref(), expected);
                let free = (0..20).take_while(|steps| !list.iter().any(|(other, ..)| *other == id.after(*steps)));
                assert_eq!(lines.free_from(id, 20), free.count());
            }
        }
    }

    #[test]
    fn members_are_found_in_the_order_they_came_in_whatever_becomes_of_those_before_them() {
        for seed in 0..if cfg!(miri) { 1 } else { 20 } {
            behaves_like_a_list(seed, if cfg!(miri) { 200 } else { 3000 });
        }
    }
}
