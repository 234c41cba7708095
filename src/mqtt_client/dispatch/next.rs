use std::time::{Duration, Instant};

use crate::mqtt_client::event::MqttEvent;

/// What [`Dispatcher::next`](super::Dispatcher::next) has come to.
#[derive(Debug)]
pub(in crate::mqtt_client) enum Next {
    Notice(MqttEvent<'static>),
    /// Results of publishes: [`Dispatcher::take_result`](super::Dispatcher::take_result) has them.
    Results,
    /// A message: [`Dispatcher::hand_out`](super::Dispatcher::hand_out) has it.
    Message,
    TimedOut,
    /// The client has ended, and everything was handed over.
    Closed,
}

/// How long [`Dispatcher::next`](super::Dispatcher::next) waits.
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt_client) enum Patience {
    None,
    Until(Instant),
    Endless,
}

impl Patience {
    pub(in crate::mqtt_client) fn is_over(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// How long it still lasts, where that ends.
    pub(super) fn left(self) -> Option<Duration> {
        match self {
            Self::None => Some(Duration::ZERO),
            Self::Until(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
            Self::Endless => None,
        }
    }
}
