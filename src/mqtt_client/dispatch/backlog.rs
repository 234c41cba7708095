//! News that callbacks are too slow for, or do not hear at all because one of them never returns.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, SendError, Sender};

use crate::mqtt_client::client::SessionLossReport;
use crate::mqtt_client::event::MqttEvent;
use crate::mqtt_client::notice::{News, Notice};
use crate::mqtt_client::token::Token;

/// How much of the news waits as it was told. What comes behind it is put together.
const AS_TOLD: usize = 256;
/// How many errors are kept of those that are put together.
const ERRORS: usize = 64;

/// What keeps news bounded that is no outcome of a call: of what waits for long the latest is told.
#[derive(Default)]
pub(super) struct Backlog {
    /// Notices have come that were not taken.
    has_notices: AtomicBool,
    /// News that was not heard.
    unheard: AtomicUsize,
    /// The part of it that was put together. It is newer than what lies in the channel.
    late: Mutex<Vec<Notice>>,
}

/// What [`Backlog::put_together`] has done.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// As many notices were replaced by newer ones.
    pub(super) fewer: usize,
    /// There is something now where nothing was: who waits at the channel has to hear of it.
    pub(super) has_begun: bool,
}

impl Backlog {
    /// Whether there is something to take.
    pub(super) fn has_notices(&self) -> bool {
        self.has_notices.load(Ordering::Relaxed)
    }

    /// Something was sent.
    pub(super) fn note_sent(&self) {
        self.has_notices.store(true, Ordering::Release);
    }

    /// News was heard.
    pub(super) fn note_heard(&self) {
        self.unheard.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes out of `run` the news that there is too much of, and then sends the rest, before anybody can take what was
    /// told behind it.
    pub(super) fn put_together(&self, run: &mut Vec<Notice>, notices: &Sender<Vec<Notice>>) -> Put {
        let mut late = self.late();
        let (was_empty, mut kept) = (late.is_empty(), Vec::with_capacity(run.len()));
        let mut put = Put::default();
        for notice in run.drain(..) {
            if !notice.is_news() {
                kept.push(notice);
                continue;
            }
            let unheard = self.unheard.fetch_add(1, Ordering::Relaxed);
            if unheard < AS_TOLD && late.is_empty() {
                kept.push(notice);
            } else {
                let fewer = add(&mut late, notice);
                self.unheard.fetch_sub(fewer, Ordering::Relaxed);
                put.fewer += fewer;
            }
        }
        *run = match late.is_empty() || kept.is_empty() {
            true => kept,
            false => notices.send(kept).map_or_else(SendError::into_inner, |()| Vec::new()),
        };
        put.has_begun = was_empty && !late.is_empty();
        drop(late);
        if put.has_begun {
            self.note_sent();
        }
        put
    }

    /// Takes what there is, in the order in which it was told.
    pub(super) fn take(&self, notices: &Receiver<Vec<Notice>>, waiting: &mut VecDeque<Notice>) {
        // What is sent from now on says so again.
        if self.has_notices() && self.has_notices.swap(false, Ordering::AcqRel) {
            self.take_all(notices, waiting);
        }
    }

    /// As [`Self::take`], whether or not something was sent.
    pub(super) fn take_all(&self, notices: &Receiver<Vec<Notice>>, waiting: &mut VecDeque<Notice>) {
        // Nothing newer gets into the channel while this is locked and not empty.
        let mut late = self.late();
        notices.try_iter().for_each(|run| waiting.extend(run));
        waiting.extend(late.drain(..));
    }

    fn late(&self) -> MutexGuard<'_, Vec<Notice>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

fn is_same(one: &io::Error, other: &io::Error) -> bool {
    one.kind() == other.kind() && one.to_string() == other.to_string()
}

fn join(tokens: &mut Vec<Token>, more: Vec<Token>) {
    tokens.extend(more);
    tokens.sort_unstable();
    tokens.dedup();
}
