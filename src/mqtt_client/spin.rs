use std::time::{Duration, Instant};

/// Whether it is worth to look again and again instead of sleeping: only while what comes in time makes up for what does
/// not.
#[derive(Debug)]
pub(super) struct Spin {
    /// What it has saved and not used up.
    credit: Duration,
    /// How often it was not tried since, and how often that is at most.
    skipped: u16,
    try_every: u16,
}

/// Without credit it is tried once in so many times at first, and in so many after many trials in vain.
const TRY_EVERY: u16 = 32;
const TRY_SELDOM: u16 = 1024;
/// One look takes no longer: what does had others in it, that had the processor meanwhile.
const LOOK: Duration = Duration::from_micros(2);

/// What one spin has cost so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    start: Instant,
    last: Instant,
    own: Duration,
}

impl Cost {
    pub(super) const fn new(start: Instant) -> Self {
        Self { start, last: start, own: Duration::ZERO }
    }

    /// Adds a look; how long the spin has taken.
    pub(super) fn add(&mut self, now: Instant) -> Duration {
        self.own += now.saturating_duration_since(self.last).min(LOOK);
        self.last = now;
        now.saturating_duration_since(self.start)
    }
}

impl Spin {
    /// One that has credit for some spins of that length.
    pub(super) fn new() -> Self {
        Self { credit: Duration::MAX, skipped: 0, try_every: TRY_EVERY }
    }

    pub(super) fn is_worth_it(&mut self) -> bool {
        if self.has_credit() {
            return true;
        }
        self.skipped = (self.skipped + 1) % self.try_every;
        self.skipped == 0
    }

    /// Notes whether something came within the time there was. Not to fall asleep and be woken is worth all of that. What
    /// came only behind its end came because others had the processor meanwhile: sleeping would have found it as soon.
    pub(super) fn note(&mut self, has_come: bool, cost: Cost, patience: Duration) {
        let was_trial = !self.has_credit();
        let in_time = has_come && cost.last.saturating_duration_since(cost.start) < patience;
        let saved = if in_time { patience } else { Duration::ZERO };
        let most = 4 * patience;
        self.credit = self.credit.min(most).saturating_add(saved).saturating_sub(cost.own).min(most);
        self.try_every = match (self.has_credit(), was_trial) {
            (false, true) => (2 * self.try_every).min(TRY_SELDOM),
            _ => TRY_EVERY,
        };
    }

    const fn has_credit(&self) -> bool {
        !self.credit.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_micros(50);

    /// A spin of so many looks of such a length.
    fn spin(spin: &mut Spin, has_come: bool, looks: u32, look: Duration) {
        let start = Instant::now();
        let mut cost = Cost::new(start);
        for number in 1..=looks {
            cost.add(start + number * look);
        }
        spin.note(has_come, cost, PATIENCE);
    }

    /// How often it is tried in so many times.
    fn tries(state: &mut Spin, times: u32, has_come: bool, micros: u32) -> u32 {
        let mut count = 0;
        for _ in 0..times {
            if state.is_worth_it() {
                count += 1;
                spin(state, has_come, micros, Duration::from_micros(1));
            }
        }
        count
    }

    #[test]
    fn what_comes_when_others_give_the_processor_back_does_not_pay() {
        let mut state = Spin::new();
        (0..200).for_each(|_| spin(&mut state, true, 1, Duration::from_millis(4)));
        assert!(!state.is_worth_it());
    }

    #[test]
    fn time_that_others_have_had_meanwhile_is_no_cost() {
        let mut state = Spin::new();
        (0..200).for_each(|_| spin(&mut state, true, 4, Duration::from_micros(12)));
        assert!(state.is_worth_it());
    }

    #[test]
    fn spins_in_vain_become_rare_and_come_back_when_they_pay() {
        let mut state = Spin::new();
        assert_eq!(tries(&mut state, 320, true, 10), 320);
        assert_eq!(tries(&mut state, 32, false, 50), 4);
        // Once in 32, 64, 128, 256, 512 and then 1,024 times.
        assert_eq!(tries(&mut state, 100_000, false, 50), 5 + 96);
        let rest = tries(&mut state, 2048, true, 10);
        assert!(rest > 1000, "{rest}");
        assert_eq!(tries(&mut state, 320, true, 10), 320);
    }

    #[test]
    fn answers_in_time_pay_unless_too_many_others_are_late() {
        let mut state = Spin::new();
        assert_eq!(tries(&mut state, 10_000, true, 49), 10_000);
        // One in so many comes after 30 µs, and the others not at all.
        let one_in = |number: u32| {
            let mut state = Spin::new();
            let once = |time| tries(&mut state, 1, time % number == 0, if time % number == 0 { 30 } else { 50 });
            (0..10_000).map(once).sum::<u32>()
        };
        assert_eq!(one_in(1), 10_000);
        assert!(one_in(2) < 1_000, "{}", one_in(2));
    }
}
