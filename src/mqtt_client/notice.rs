//! What the worker tells beside messages.

use super::client::PublishResult;
use super::event::MqttEvent;
use super::persistence::Telling;
use super::results::Results;
#[cfg(feature = "tls")]
use super::verdict::Question;

/// What is told beside messages.
#[derive(Debug)]
pub(super) struct Notice {
    /// It comes behind that many batches.
    pub(super) behind: u64,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    Event(MqttEvent<'static>),
    Published(Results),
    /// A publish has ended, which the file has until it was told.
    Ended(PublishResult, Telling),
    /// A certificate, of which an answer is waited for.
    #[cfg(feature = "tls")]
    Certificate(Vec<u8>, Question),
}

impl Notice {
    /// Calls that it makes.
    pub(super) const fn count(&self) -> usize {
        match self.news {
            News::Event(_) | News::Ended(..) => 1,
            News::Published(Results { count, .. }) => count,
            #[cfg(feature = "tls")]
            News::Certificate(..) => 1,
        }
    }

    /// Nobody wants to hear of it.
    pub(super) fn done(self) {
        if let News::Ended(_, telling) = self.news {
            telling.done();
        }
    }
}
