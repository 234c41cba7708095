use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::config::AsyncClientConfig;
use crate::types::ReasonCode;

/// Connections in a row that the server closes soon after it has accepted them, from which on it looks as if another
/// client had the same identifier.
pub(super) const SUSPICIOUS: u32 = 3;

/// However short delays are to be: attempts may fail at once.
const LEAST: Duration = Duration::from_millis(1);

/// When to try again: exponential back-off with full jitter.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    max_attempts: u32,
    attempts: u32,
    random: RandomState,
    draws: u64,
}

impl Backoff {
    pub(super) fn new(config: &AsyncClientConfig) -> Self {
        let longest = Duration::from_millis(config.max_reconnect_delay_ms);
        Self {
            first: Duration::from_millis(config.reconnect_delay_ms).min(longest),
            longest,
            max_attempts: config.max_reconnect_attempts,
            attempts: 0,
            random: RandomState::new(),
            draws: 0,
        }
    }

    /// The number of the attempt that was drawn last.
    pub(super) const fn attempt(&self) -> u32 {
        self.attempts
    }

    /// The delay before the next attempt; `None` if there shall be no more.
    pub(super) fn next_delay(&mut self) -> Option<Duration> {
        let bound = self.first.saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX)).min(self.longest);
        self.draw(Duration::ZERO, bound)
    }

    /// A delay that leaves time to another client, or to somebody who sees to it.
    pub(super) fn next_long_delay(&mut self) -> Option<Duration> {
        self.draw(self.longest / 2, self.longest)
    }

    fn draw(&mut self, least: Duration, bound: Duration) -> Option<Duration> {
        if self.max_attempts > 0 && self.attempts >= self.max_attempts {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.draws += 1;
        let random = self.random.hash_one(self.draws);
        let micros = u64::try_from((bound - least).as_micros()).unwrap_or(u64::MAX);
        Some((least + Duration::from_micros(random % micros.saturating_add(1))).max(LEAST))
    }

    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// What follows a CONNACK or a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Retry,
    /// Other credentials may do.
    AskForCredentials,
    /// Another client has the identifier.
    TakenOver,
    /// Another server may do.
    GoElsewhere { has_moved: bool },
    /// Another attempt would come to the same.
    Stop,
}

/// Return codes of v3.1.1 come as the v5.0 code of their meaning; 3 is the only one that may pass by itself.
pub(super) const fn judge(code: ReasonCode) -> Verdict {
    match code {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD | ReasonCode::NOT_AUTHORIZED => Verdict::AskForCredentials,
        ReasonCode::SESSION_TAKEN_OVER => Verdict::TakenOver,
        ReasonCode::USE_ANOTHER_SERVER => Verdict::GoElsewhere { has_moved: false },
        ReasonCode::SERVER_MOVED => Verdict::GoElsewhere { has_moved: true },
        ReasonCode::MALFORMED_PACKET
        | ReasonCode::PROTOCOL_ERROR
        | ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
        | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
        | ReasonCode::BANNED
        | ReasonCode::BAD_AUTHENTICATION_METHOD
        | ReasonCode::TOPIC_NAME_INVALID
        | ReasonCode::PACKET_TOO_LARGE
        | ReasonCode::PAYLOAD_FORMAT_INVALID
        | ReasonCode::RETAIN_NOT_SUPPORTED
        | ReasonCode::QOS_NOT_SUPPORTED => Verdict::Stop,
        _ => Verdict::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_below_a_bound_that_doubles_up_to_the_longest() {
        let config = AsyncClientConfig { reconnect_delay_ms: 100, max_reconnect_delay_ms: 1000, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        for bound in [100, 200, 400, 800, 1000, 1000] {
            assert!(backoff.next_delay().unwrap() <= Duration::from_millis(bound));
        }
        for _ in 0..100 {
            assert!(backoff.next_delay().unwrap() <= Duration::from_millis(1000));
        }
    }

    #[test]
    fn delays_are_spread_over_the_whole_bound() {
        let config = AsyncClientConfig { reconnect_delay_ms: 1000, max_reconnect_delay_ms: 1000, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        let delays: Vec<_> = (0..200).map(|_| backoff.next_delay().unwrap().as_millis()).collect();
        assert!(delays.iter().any(|delay| *delay < 250) && delays.iter().any(|delay| *delay > 750));
    }

    #[test]
    fn delays_of_nothing_leave_a_moment_between_attempts() {
        let config = AsyncClientConfig { reconnect_delay_ms: 0, max_reconnect_delay_ms: 0, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        assert_eq!(backoff.next_delay(), Some(LEAST));
        assert_eq!(backoff.next_long_delay(), Some(LEAST));
    }

    #[test]
    fn a_long_delay_is_at_least_half_of_the_longest_one_from_the_first_attempt_on() {
        let config = AsyncClientConfig { reconnect_delay_ms: 1, max_reconnect_delay_ms: 1000, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        for _ in 0..100 {
            let delay = backoff.next_long_delay().unwrap();
            assert!(delay >= Duration::from_millis(500) && delay <= Duration::from_millis(1000), "{delay:?}");
        }
    }

    #[test]
    fn the_largest_delays_do_not_overflow() {
        let config =
            AsyncClientConfig { reconnect_delay_ms: u64::MAX, max_reconnect_delay_ms: u64::MAX, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        for _ in 0..100 {
            assert!(backoff.next_delay().is_some() && backoff.next_long_delay().is_some());
        }
    }

    #[test]
    fn attempts_end_at_their_maximum_and_begin_anew_after_a_reset() {
        let config = AsyncClientConfig { max_reconnect_attempts: 2, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        assert!(backoff.next_delay().is_some() && backoff.next_delay().is_some());
        assert_eq!(backoff.next_delay(), None);
        backoff.reset();
        assert!(backoff.next_delay().is_some());
    }
}
