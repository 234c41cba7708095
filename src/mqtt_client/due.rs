use std::time::{Duration, Instant};

/// How long an acknowledgement waits for others to go with it.
const DELAY: Duration = Duration::from_millis(1);
/// Callbacks are quick that take less than this between two looks at the clock.
const QUICK: Duration = Duration::from_micros(100);
/// Messages that pass without a look at most.
const MOST_UNSEEN: u8 = 7;

/// When acknowledgements that wait for others have to go. A look at the clock costs a good part of what a message does:
/// while callbacks are quick, only some of them are followed by one.
#[derive(Debug, Default)]
pub(super) struct Due {
    at: Option<Instant>,
    last_look: Option<Instant>,
    /// Messages that pass before the next look.
    unseen: u8,
    /// How many did before the last one.
    stride: u8,
}

impl Due {
    /// Whether they have to go before the next message. The first of them begins to wait.
    pub(super) fn is_over(&mut self, clock: impl FnOnce() -> Instant) -> bool {
        if self.unseen > 0 {
            self.unseen -= 1;
            return false;
        }
        let now = clock();
        let is_quick = self.last_look.replace(now).is_some_and(|last| now.saturating_duration_since(last) < QUICK);
        self.stride = if is_quick { (2 * self.stride + 1).min(MOST_UNSEEN) } else { 0 };
        self.unseen = self.stride;
        now >= *self.at.get_or_insert(now + DELAY)
    }

    /// They have gone.
    pub(super) const fn clear(&mut self) {
        self.at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_callbacks_are_seldom_followed_by_a_look_at_the_clock_and_slow_ones_each() {
        let mut now = Instant::now();
        let mut due = Due::default();
        let mut looks = |due: &mut Due, messages: usize, each: Duration| {
            let (mut looks, mut over) = (0, 0);
            for _ in 0..messages {
                now += each;
                if due.is_over(|| {
                    looks += 1;
                    now
                }) {
                    over += 1;
                    due.clear();
                }
            }
            (looks, over)
        };
        // 100 µs in all.
        let (quick, over) = looks(&mut due, 1000, Duration::from_nanos(100));
        assert!(quick <= 1000 / 8 + 4 && over == 0, "{quick} {over}");
        // From when they become slow, at most 8 pass before that is seen.
        let (slow, over) = looks(&mut due, 100, Duration::from_millis(10));
        assert!(slow >= 92 && over >= 45, "{slow} {over}");
    }
}
