//! Messages that have come to their outcome, from there until the application has heard of it.

use std::io;
use std::sync::Arc;

use crate::mqtt_client::client::PublishResult;
use crate::mqtt_client::persistence::Keeper;
use crate::mqtt_client::token::{Promise, Token};

/// A message that has come to its outcome, and who waits for that.
pub(in crate::mqtt_client) struct Ended {
    pub(in crate::mqtt_client) result: PublishResult,
    pub(in crate::mqtt_client) tracked: Option<Promise<PublishResult>>,
}

/// What has become of the changes.
#[derive(Default)]
pub(in crate::mqtt_client) struct Settled {
    /// The last batch that is durable, if that has changed.
    pub(in crate::mqtt_client) batch: Option<u64>,
    /// Messages that are in the file from now on.
    pub(in crate::mqtt_client) tokens: Vec<Token>,
    /// Messages whose outcome is.
    pub(in crate::mqtt_client) ended: Vec<Ended>,
    pub(in crate::mqtt_client) error: Option<io::Error>,
}

/// Who hears of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "persistence"), expect(dead_code, reason = "nothing is kept until it was told"))]
pub(in crate::mqtt_client) enum Hearer {
    /// A callback or a receiver.
    Listener,
    /// The one who waits at a tracked call.
    Waiter,
}

/// An outcome on its way to the application. The file has it until it is [`done`](Self::done) with; where it is dropped
/// before, the next client tells it.
pub(in crate::mqtt_client) struct Telling {
    keeper: Arc<Keeper>,
    token: Token,
    hearer: Hearer,
    is_done: bool,
}

impl Telling {
    #[cfg(feature = "persistence")]
    pub(super) const fn new(keeper: Arc<Keeper>, token: Token, hearer: Hearer) -> Self {
        Self { keeper, token, hearer, is_done: false }
    }

    /// The application has heard it, or does not want to.
    pub(in crate::mqtt_client) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.keeper.end_telling(self.token, self.hearer, self.is_done);
    }
}

impl std::fmt::Debug for Telling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telling").field("token", &self.token).finish_non_exhaustive()
    }
}
