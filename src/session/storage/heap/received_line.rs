use crate::types::PacketId;

/// Messages of QoS 1 that came one behind the other with consecutive identifiers and are acknowledged without a word in
/// this order: each costs a count.
#[derive(Debug)]
pub(super) struct ReceivedLine {
    first: PacketId,
    /// That of the first one.
    serial: u16,
    count: u16,
    /// How many of them are acknowledged.
    acknowledged: u16,
}

/// A message in line.
pub(super) struct Member {
    pub(super) packet_id: PacketId,
    pub(super) serial: u16,
    pub(super) is_acknowledged: bool,
}

impl ReceivedLine {
    pub(super) const EMPTY: Self = Self { first: PacketId::MIN, serial: 0, count: 0, acknowledged: 0 };

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) const fn len(&self) -> u16 {
        self.count
    }

    /// Adds a message if it goes on where these end; whether it does.
    #[inline]
    pub(super) fn push(&mut self, packet_id: PacketId, serial: u16) -> bool {
        if self.is_empty() {
            *self = Self { first: packet_id, serial, count: 1, acknowledged: 0 };
            return true;
        }
        let goes_on = self.is_at(self.count, packet_id, serial) && self.count < u16::MAX;
        self.count += u16::from(goes_on);
        goes_on
    }

    /// Acknowledges so many messages from this one on if they are the next ones; whether they are.
    #[inline]
    pub(super) fn acknowledge(&mut self, first: PacketId, serial: u16, count: u16) -> bool {
        let are_next = count <= self.count - self.acknowledged && self.is_at(self.acknowledged, first, serial);
        self.acknowledged += if are_next { count } else { 0 };
        are_next
    }

    /// Takes out the oldest message if it is acknowledged.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<PacketId> {
        let left = self.acknowledged.checked_sub(1)?;
        let first = self.first;
        (self.first, self.serial) = (first.next(), self.serial.wrapping_add(1));
        (self.count, self.acknowledged) = (self.count - 1, left);
        Some(first)
    }

    pub(super) fn front(&self) -> Option<Member> {
        (!self.is_empty()).then(|| self.member(0))
    }

    pub(super) fn find(&self, packet_id: PacketId) -> Option<Member> {
        let steps = self.first.steps_to(packet_id);
        (steps < self.count).then(|| self.member(steps))
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Member> {
        (0..self.count).map(|steps| self.member(steps))
    }

    const fn member(&self, steps: u16) -> Member {
        Member {
            packet_id: self.first.after(steps),
            serial: self.serial.wrapping_add(steps),
            is_acknowledged: steps < self.acknowledged,
        }
    }

    fn is_at(&self, steps: u16, packet_id: PacketId, serial: u16) -> bool {
        packet_id == self.first.after(steps) && serial == self.serial.wrapping_add(steps)
    }
}
