use std::collections::BTreeSet;
use std::time::Instant;

/// When which client has to be looked at: sorted, so that what is due is found without a look at the others.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, usize)>);

impl Timers {
    /// Moves a client's time from `old` to `new`.
    pub(super) fn set(&mut self, place: usize, old: Option<Instant>, new: Option<Instant>) {
        if old != new {
            // In this order the set is not emptied in between, and keeps its memory.
            self.0.extend(new.map(|at| (at, place)));
            if let Some(at) = old {
                self.0.remove(&(at, place));
            }
        }
    }

    /// The earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes a client whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<usize> {
        self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.pop_first().map(|(_, place)| place)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Timers;

    #[test]
    fn what_is_due_comes_in_the_order_of_time_and_once() {
        let start = Instant::now();
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        let mut timers = Timers::default();
        timers.set(1, None, at(5));
        timers.set(2, None, at(3));
        timers.set(3, None, at(3));
        timers.set(4, None, at(1));
        timers.set(4, at(1), None);
        timers.set(1, at(5), at(2));
        assert_eq!(timers.next(), at(2));
        let now = start + Duration::from_secs(3);
        let due: Vec<_> = std::iter::from_fn(|| timers.take_due(now)).collect();
        assert_eq!(due, [1, 2, 3]);
        assert_eq!(timers.next(), None);
    }
}
