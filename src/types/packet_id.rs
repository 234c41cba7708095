use core::num::NonZeroU16;

/// A Packet Identifier: 1 to 65,535, never 0 `[MQTT-2.2.1-3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(transparent)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The lowest identifier.
    pub const MIN: Self = Self(NonZeroU16::MIN);

    /// The highest identifier.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// `None` for 0, which is not an identifier.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn value(self) -> u16 {
        self.0.get()
    }

    /// The identifier after this one; after 65,535 comes 1.
    pub const fn next(self) -> Self {
        match NonZeroU16::new(self.0.get().wrapping_add(1)) {
            Some(id) => Self(id),
            None => Self::MIN,
        }
    }

    /// The identifier so many steps after this one.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn after(self, steps: u16) -> Self {
        let (sum, goes_round) = self.0.get().overflowing_add(steps);
        // There is no identifier 0 in the circle.
        match NonZeroU16::new(sum.wrapping_add(goes_round as u16)) {
            Some(id) => Self(id),
            None => Self::MIN,
        }
    }

    /// How many steps lead to another identifier.
    #[cfg(feature = "std")]
    #[inline]
    pub(crate) const fn steps_to(self, other: Self) -> u16 {
        let (from, to) = (self.0.get(), other.0.get());
        if to >= from { to - from } else { to + (u16::MAX - from) }
    }
}

impl core::fmt::Display for PacketId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
