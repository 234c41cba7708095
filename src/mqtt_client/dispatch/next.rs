use std::time::Instant;

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
        match self {
            Self::None => true,
            Self::Until(deadline) => Instant::now() >= deadline,
            Self::Endless => false,
        }
    }
}
