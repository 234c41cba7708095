use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::config::AsyncClientConfig;
use crate::types::ReasonCode;

/// How long a connection has to hold until the next loss counts as the first one.
pub(super) const STABLE_AFTER: Duration = Duration::from_secs(10);

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
        if self.max_attempts > 0 && self.attempts >= self.max_attempts {
            return None;
        }
        let bound = self.first.saturating_mul(1u32.checked_shl(self.attempts).unwrap_or(u32::MAX)).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        self.draws += 1;
        let random = self.random.hash_one(self.draws);
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        Some(Duration::from_micros(random % micros.saturating_add(1)))
    }

    pub(super) const fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Whether another attempt with the same options may be accepted after a CONNACK or DISCONNECT with this code.
pub(super) const fn may_retry(code: ReasonCode) -> bool {
    !matches!(
        code,
        ReasonCode::MALFORMED_PACKET
            | ReasonCode::PROTOCOL_ERROR
            | ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            | ReasonCode::CLIENT_IDENTIFIER_NOT_VALID
            | ReasonCode::BAD_USER_NAME_OR_PASSWORD
            | ReasonCode::NOT_AUTHORIZED
            | ReasonCode::BANNED
            | ReasonCode::BAD_AUTHENTICATION_METHOD
            | ReasonCode::SESSION_TAKEN_OVER
            | ReasonCode::TOPIC_NAME_INVALID
            | ReasonCode::PACKET_TOO_LARGE
            | ReasonCode::PAYLOAD_FORMAT_INVALID
            | ReasonCode::RETAIN_NOT_SUPPORTED
            | ReasonCode::QOS_NOT_SUPPORTED
            | ReasonCode::USE_ANOTHER_SERVER
            | ReasonCode::SERVER_MOVED
    )
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
    fn attempts_end_at_their_maximum_and_begin_anew_after_a_reset() {
        let config = AsyncClientConfig { max_reconnect_attempts: 2, ..Default::default() };
        let mut backoff = Backoff::new(&config);
        assert!(backoff.next_delay().is_some() && backoff.next_delay().is_some());
        assert_eq!(backoff.next_delay(), None);
        backoff.reset();
        assert!(backoff.next_delay().is_some());
    }
}
