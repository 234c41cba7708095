use std::time::Duration;

/// Whether it is worth to look again and again instead of sleeping: only while it has paid lately.
#[derive(Debug)]
pub(super) struct Spin {
    /// Grows when something came in time, shrinks when not.
    credit: u8,
    /// How often it was not tried since.
    skipped: u8,
}

const MAX_CREDIT: u8 = 8;
/// What one spin in vain costs.
const COST: u8 = 2;
/// Without credit it is tried once in so many times.
const TRY_EVERY: u8 = 32;

impl Default for Spin {
    fn default() -> Self {
        Self { credit: MAX_CREDIT, skipped: 0 }
    }
}

impl Spin {
    pub(super) fn is_worth_it(&mut self) -> bool {
        if self.credit == 0 {
            self.skipped = (self.skipped + 1) % TRY_EVERY;
        }
        self.credit > 0 || self.skipped == 0
    }

    /// Notes whether something came, and how long that took of the time there was. What came only behind its end came
    /// because others had the processor meanwhile: sleeping would have found it as soon.
    pub(super) fn note(&mut self, has_come: bool, took: Duration, patience: Duration) {
        let paid = has_come && took < patience;
        self.credit = if paid { (self.credit + 1).min(MAX_CREDIT) } else { self.credit.saturating_sub(COST) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_micros(50);

    #[test]
    fn what_comes_when_others_give_the_processor_back_does_not_pay() {
        let mut spin = Spin::default();
        (0..MAX_CREDIT).for_each(|_| spin.note(true, Duration::from_millis(4), PATIENCE));
        assert!(!spin.is_worth_it());
    }

    #[test]
    fn spins_in_vain_become_rare_and_come_back_when_they_pay() {
        let mut spin = Spin::default();
        let tries = |spin: &mut Spin, paid: bool| {
            let mut count = 0;
            for _ in 0..320 {
                if spin.is_worth_it() {
                    count += 1;
                    spin.note(paid, Duration::ZERO, PATIENCE);
                }
            }
            count
        };
        assert_eq!(tries(&mut spin, true), 320);
        assert!((4..=14).contains(&tries(&mut spin, false)));
        assert_eq!(tries(&mut spin, false), 10);
        assert!(tries(&mut spin, true) > 280);
    }
}
