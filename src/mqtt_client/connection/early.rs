use std::time::{Duration, Instant};

/// Whether acknowledging some messages before others that have come with them pays. A server that has a part of its
/// window back can go on while the rest is handled, and then neither has to sleep. Where both want the same processor,
/// each part costs switches and a write for nothing. What it is worth shows in the time that messages take: so both ways
/// are tried now and then, while messages come one behind the other.
#[derive(Debug)]
pub(super) struct Early {
    is_early: bool,
    stretch: Stretch,
    /// What a message takes in nanoseconds in the way that is kept to.
    usual: u64,
    /// Messages of this stretch so far, and their time.
    count: u64,
    time: Duration,
    last: Option<Instant>,
}

/// Messages that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stretch {
    /// The way that has been found better is kept to.
    Kept,
    /// It is measured.
    Measured,
    /// The other one is measured.
    Tried,
}

/// Messages that show what one takes, and those in between.
const SAMPLE: u64 = 2048;
const KEPT: u64 = 64 * SAMPLE;
/// Who sends nothing for so long has nothing to send.
const PAUSE: Duration = Duration::from_millis(1);

impl Default for Early {
    fn default() -> Self {
        Self { is_early: true, stretch: Stretch::Measured, usual: 0, count: 0, time: Duration::ZERO, last: None }
    }
}

impl Early {
    pub(super) fn is_worth_it(&self) -> bool {
        self.is_early != (self.stretch == Stretch::Tried)
    }

    /// Notes that so many messages have come that are to be acknowledged.
    pub(super) fn note(&mut self, count: usize, now: Instant) {
        let last = self.last.replace(now);
        let Some(took) = last.map(|last| now.saturating_duration_since(last)).filter(|took| *took < PAUSE) else {
            return;
        };
        self.count += count as u64;
        self.time += took;
        if self.count >= if self.stretch == Stretch::Kept { KEPT } else { SAMPLE } {
            self.end_stretch();
        }
    }

    fn end_stretch(&mut self) {
        let nanos = u64::try_from(self.time.as_nanos()).unwrap_or(u64::MAX) / self.count;
        self.stretch = match self.stretch {
            Stretch::Kept => Stretch::Measured,
            Stretch::Measured => {
                self.usual = nanos;
                Stretch::Tried
            }
            Stretch::Tried => {
                // By a margin: others use the processors, too.
                self.is_early ^= nanos + nanos / 4 < self.usual;
                Stretch::Kept
            }
        };
        (self.count, self.time) = (0, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server with a window of 100 messages.
    struct Server {
        early: Early,
        now: Instant,
        /// Messages that came while answering early was worth it, and the others.
        counts: [u64; 2],
    }

    impl Server {
        fn new() -> Self {
            Self { early: Early::default(), now: Instant::now(), counts: [0, 0] }
        }

        /// So many windows come, in the microseconds that one takes with early answers and without.
        fn send(&mut self, windows: u64, micros: [u64; 2]) {
            self.counts = [0, 0];
            for _ in 0..windows {
                let way = usize::from(!self.early.is_worth_it());
                self.now += Duration::from_micros(micros[way]);
                self.counts[way] += 100;
                self.early.note(100, self.now);
            }
        }

        fn percent_early(&self) -> u64 {
            self.counts[0] * 100 / (self.counts[0] + self.counts[1])
        }
    }

    #[test]
    fn the_way_in_which_messages_take_less_time_is_kept_to_but_for_trials() {
        for (micros, percent) in [([50, 100], 96..100), ([100, 50], 1..5)] {
            let mut server = Server::new();
            server.send(20_000, micros);
            assert!(percent.contains(&server.percent_early()), "{micros:?}: {}", server.percent_early());
        }
    }

    #[test]
    fn a_way_that_has_become_the_better_one_is_found_again() {
        let mut server = Server::new();
        for micros in [[100, 50], [50, 100], [100, 50]] {
            server.send(3_000, micros);
            server.send(20_000, micros);
            assert_eq!(server.percent_early() > 50, micros[0] < micros[1], "{micros:?}");
        }
    }

    #[test]
    fn a_difference_that_may_be_by_chance_changes_nothing() {
        let mut server = Server::new();
        server.send(20_000, [100, 90]);
        assert!(server.percent_early() > 95);
    }

    #[test]
    fn nothing_is_learnt_from_a_server_that_has_little_to_send() {
        let mut server = Server::new();
        server.send(20_000, [2_000, 1_000]);
        assert_eq!(server.percent_early(), 100);
        // Its pauses are not the fault of the way it is answered.
        server.send(5_000, [100, 50]);
        assert!(server.percent_early() < 10);
    }
}
