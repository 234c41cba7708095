//! Time as the core sees it: milliseconds that wrap, handed in by whoever drives a session.

/// A moment in milliseconds of a clock that never goes back and may start anywhere.
///
/// The count wraps after 49.7 days, so two instants compare rightly while they are less than 2³¹ ms (24.8 days) apart.
/// A 32-bit count keeps 64-bit division out of small firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u32);

impl Instant {
    /// The longest span two instants can be compared over, in milliseconds.
    pub const MAX_SPAN_MS: u32 = i32::MAX.unsigned_abs();

    /// An instant of a millisecond counter that wraps.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis)
    }

    /// The counter.
    pub const fn as_millis(self) -> u32 {
        self.0
    }

    /// The instant `millis` later. Spans above [`Instant::MAX_SPAN_MS`] are cut to it.
    #[must_use]
    pub const fn after_millis(self, millis: u32) -> Self {
        let span = if millis > Self::MAX_SPAN_MS { Self::MAX_SPAN_MS } else { millis };
        Self(self.0.wrapping_add(span))
    }

    /// Milliseconds from `earlier` to this instant; 0 if `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u32 {
        let span = self.0.wrapping_sub(earlier.0);
        if span > Self::MAX_SPAN_MS { 0 } else { span }
    }

    /// Whether this instant is `other` or later.
    pub const fn has_reached(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0) <= Self::MAX_SPAN_MS
    }

    /// The later of the two.
    #[must_use]
    pub const fn later_of(self, other: Self) -> Self {
        if other.has_reached(self) { other } else { self }
    }

    /// The earlier of the two.
    #[must_use]
    pub const fn earlier_of(self, other: Self) -> Self {
        if other.has_reached(self) { self } else { other }
    }
}
