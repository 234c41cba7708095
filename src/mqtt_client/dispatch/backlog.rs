//! News that callbacks are too slow for, or do not hear at all because one of them never returns.

use std::collections::VecDeque;
use std::io;
use std::mem;

use crate::mqtt_client::client::SessionLossReport;
use crate::mqtt_client::contain::contain;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::notice::{News, Notice};
use crate::mqtt_client::token::Token;

/// How much of the news waits as it was told. What comes behind it is put together.
const AS_TOLD: u64 = 256;
/// How many errors are kept of those that are put together.
const ERRORS: usize = 64;

/// Takes out of `run` the news that there is too much of, where so much was not heard, and puts it together with what is
/// `late` already: of what waits for long the latest is told. How many notices were replaced by newer ones.
pub(super) fn put_together(run: &mut VecDeque<Notice>, late: &mut Vec<Notice>, mut unheard: u64) -> usize {
    let mut fewer = 0;
    for notice in mem::take(run) {
        if !notice.is_news() || (unheard < AS_TOLD && late.is_empty()) {
            unheard += u64::from(notice.is_news());
            run.push_back(notice);
        } else {
            fewer += add(late, notice);
        }
    }
    fewer
}

/// Adds a notice in the place of what it makes stale; how many it replaces.
fn add(late: &mut Vec<Notice>, mut notice: Notice) -> usize {
    let stale = late.iter().position(|older| notice.replaces(older));
    let is_error = |notice: &Notice| matches!(notice.news, News::Event(MqttEvent::Error(_)));
    let place = stale.or_else(|| {
        let too_many = is_error(&notice) && late.iter().filter(|older| is_error(older)).count() >= ERRORS;
        late.iter().position(is_error).filter(|_| too_many)
    });
    if let Some(place) = place {
        notice.take_over(late.remove(place));
    }
    late.push(notice);
    usize::from(place.is_some())
}

impl Notice {
    /// Whether it is something else than the outcome of a call.
    pub(super) const fn is_news(&self) -> bool {
        match &self.news {
            News::Event(event) => is_news(event),
            News::Published(_) | News::Ended(..) => false,
            #[cfg(feature = "tls")]
            News::Certificate(..) => true,
        }
    }

    /// Whether nobody has to hear of an older one any more.
    fn replaces(&self, older: &Self) -> bool {
        match (&self.news, &older.news) {
            (News::Event(MqttEvent::Error(newer)), News::Event(MqttEvent::Error(older))) => is_same(newer, older),
            (News::Event(newer), News::Event(older)) => mem::discriminant(newer) == mem::discriminant(older),
            #[cfg(feature = "tls")]
            (News::Certificate(..), News::Certificate(..)) => true,
            _ => false,
        }
    }

    /// Takes what is not stale out of one that it replaces.
    fn take_over(&mut self, older: Self) {
        if let (News::Event(MqttEvent::SessionLost(report)), News::Event(MqttEvent::SessionLost(older))) =
            (&mut self.news, older.news)
        {
            let SessionLossReport { requeued, failed, expired } = older;
            join(&mut report.requeued, requeued);
            join(&mut report.failed, failed);
            join(&mut report.expired, expired);
        }
    }
}

/// Whether it is something else than the outcome of a call.
pub(super) const fn is_news(event: &MqttEvent<'_>) -> bool {
    match event {
        MqttEvent::Published(_)
        | MqttEvent::Subscribed(_)
        | MqttEvent::Unsubscribed(_)
        | MqttEvent::MessageReceived(_)
        | MqttEvent::PingResponse(_)
        | MqttEvent::Reauthenticated(_) => false,
        #[cfg(feature = "persistence")]
        MqttEvent::Durable(_) => false,
        _ => true,
    }
}

/// Errors may be the application's, and fail to be shown.
fn is_same(one: &io::Error, other: &io::Error) -> bool {
    one.kind() == other.kind() && contain(|| one.to_string() == other.to_string()).unwrap_or(false)
}

fn join(tokens: &mut Vec<Token>, more: Vec<Token>) {
    tokens.extend(more);
    tokens.sort_unstable();
    tokens.dedup();
}
