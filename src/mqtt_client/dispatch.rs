//! From the worker to the callbacks.
//!
//! Messages travel in batches: a chunk of input with the places of its messages, so that nothing is copied for each.
//! Everything else travels apart, as notices, so that a pile of messages does not hold up the news of a publish. A
//! notice about the connection keeps its place between the messages before and behind it.

mod backlog;
mod mailbox;
mod next;
mod sending;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::backlog::{is_news, put_together};
use self::mailbox::{Came, Mailbox, Taken};
pub(super) use self::next::{Next, Patience};
use super::batch::Batch;
use super::callbacks::Listener;
use super::client::{Outcome, PublishResult};
use super::due::Due;
use super::event::{MqttEvent, MqttPublish};
use super::notice::{News, Notice};
use super::persistence::Telling;
use super::results::Results;
use super::shared::Shared;
use super::token::Token;
#[cfg(feature = "tls")]
use super::verdict::{Answer, Question};
use crate::types::{PacketId, QoS};

/// For no longer than that the application does not hear what it could, as long as the worker has a processor.
pub(super) const MOST_QUIET: Duration = Duration::from_millis(1);
/// So many acknowledged messages do not wait for more of them to be told.
const MOST_TOGETHER: usize = 512;
/// How long the last outcomes may take to leave the file.
#[cfg(feature = "persistence")]
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// The worker's end.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    run: VecDeque<Notice>,
    /// Some of them are news.
    has_news: bool,
    /// How much news was told so far, but for what was replaced.
    told_news: u64,
    sent_batches: u64,
    /// Bytes of batches whose listener was not called yet.
    uncalled: usize,
    /// Something was sent that the listener was not called for.
    has_uncalled: bool,
    /// Since when what has come together waits for something else to be told.
    quiet_since: Option<Instant>,
    /// Batches that wait until something is durable: what, and the batch; those behind them wait with them.
    held: VecDeque<(u64, Batch)>,
    /// The last that is.
    durable: u64,
    auto_ack: bool,
    listener: Listener,
}

/// The end where callbacks run.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    auto_ack: bool,
    mailbox: Arc<Mailbox>,
    /// What was not heard of it.
    taken: Taken,
    /// Results that are in hand.
    results: Option<Results>,
    current: Option<Batch>,
    /// The message of the current batch that comes next.
    next: usize,
    /// Where those begin that are not acknowledged.
    acknowledged: usize,
    /// Some of them have to be.
    owes: bool,
    /// When what waits to be acknowledged has to go.
    due: Due,
    done_batches: u64,
    /// The outcome in hand.
    telling: Option<Telling>,
    /// What the notice in hand asks.
    #[cfg(feature = "tls")]
    question: Option<Question>,
}

enum Found {
    Notice(MqttEvent<'static>),
    Results,
    Message,
}

pub(super) fn channel(shared: &Arc<Shared>, auto_ack: bool) -> (Outlet, Dispatcher) {
    let mailbox = Arc::<Mailbox>::default();
    let outlet = Outlet {
        shared: Arc::clone(shared),
        mailbox: Arc::clone(&mailbox),
        run: VecDeque::new(),
        has_news: false,
        told_news: 0,
        sent_batches: 0,
        uncalled: 0,
        has_uncalled: false,
        quiet_since: None,
        held: VecDeque::new(),
        durable: 0,
        auto_ack,
        listener: Listener::Receiver,
    };
    let dispatcher = Dispatcher {
        shared: Arc::clone(shared),
        auto_ack,
        mailbox,
        taken: Taken::default(),
        results: None,
        current: None,
        next: 0,
        acknowledged: 0,
        owes: false,
        due: Due::default(),
        done_batches: 0,
        telling: None,
        #[cfg(feature = "tls")]
        question: None,
    };
    (outlet, dispatcher)
}

impl Outlet {
    /// Says who hears of it. Without a listener the dispatcher is waited at.
    pub(super) fn set_listener(&mut self, listener: Listener) {
        self.listener = listener;
    }

    /// Whether events are taken when somebody likes.
    #[cfg(feature = "persistence")]
    pub(super) const fn has_receiver(&self) -> bool {
        matches!(self.listener, Listener::Receiver)
    }

    /// Who hears of it.
    pub(super) const fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Runs the callbacks that run on the worker.
    pub(super) fn run_callbacks(&mut self) {
        if self.listener.runs_here() {
            self.flush();
        }
        if let Listener::Worker(callbacks) = &mut self.listener {
            callbacks.run(usize::MAX);
        }
    }

    /// Tells an event in its place between the messages.
    pub(super) fn tell(&mut self, event: MqttEvent<'static>) {
        self.has_news = true;
        self.run.push_back(Notice { behind: self.sent_batches, news: News::Event(event) });
    }

    /// Tells how an operation has ended, as soon as possible.
    pub(super) fn tell_result(&mut self, event: MqttEvent<'static>) {
        self.has_news |= is_news(&event);
        self.run.push_back(Notice { behind: 0, news: News::Event(event) });
    }

    /// As [`Self::tell_result`], for a publish; the file hears when it was told.
    pub(super) fn tell_ended(&mut self, result: PublishResult, telling: Telling) {
        self.run.push_back(Notice { behind: 0, news: News::Ended(result, telling) });
    }

    /// As [`Self::tell_result`], for messages of QoS 0 with consecutive tokens.
    pub(super) fn tell_run(&mut self, first: Token, count: usize, outcome: Outcome) {
        let results = Results { qos: QoS::AtMostOnce, token: first, count, outcome, packet_ids: None };
        self.run.push_back(Notice { behind: 0, news: News::Published(results) });
    }

    /// Tells of a certificate, as soon as possible; what the handler says of it, if there is one.
    #[cfg(feature = "tls")]
    pub(super) fn ask(&mut self, certificate: Vec<u8>) -> Option<Answer> {
        if let Listener::Receiver = self.listener {
            // Nobody can say no there, and whoever takes the event may wait for the connection first.
            self.tell_result(MqttEvent::PeerCertReceived(certificate));
            return None;
        }
        let (question, answer) = Question::new(&self.shared);
        self.has_news = true;
        self.run.push_back(Notice { behind: 0, news: News::Certificate(certificate, question) });
        Some(answer)
    }

    /// As [`Self::tell_result`], for messages of QoS 1 or 2, at least one, that the server has acknowledged without a
    /// word: with consecutive tokens and identifiers.
    pub(super) fn tell_acknowledged(&mut self, token: Token, qos: QoS, packet_id: PacketId, count: u16) {
        if let Some(Notice { news: News::Published(results), .. }) = self.run.back_mut()
            && results.add(token, qos, packet_id, count)
        {
            return;
        }
        let (outcome, packet_ids) = (Outcome::Acknowledged, Some((packet_id, packet_id.after(count - 1))));
        let results = Results { qos, token, count: count.into(), outcome, packet_ids };
        self.run.push_back(Notice { behind: 0, news: News::Published(results) });
    }

    /// Hands over what has come together.
    pub(super) fn flush(&mut self) {
        self.send_notices();
        self.call();
    }

    /// As [`Self::flush`], unless this may wait for what the worker looks for next, so that callbacks are woken for both
    /// together: once that messages of QoS 0 have been sent, and as long as there is time for another `look` that the
    /// server has acknowledged messages, where more of them wait anyway (`has_more`).
    pub(super) fn flush_unless_quiet(&mut self, has_more: bool, now: Instant, look: Duration) {
        // What is not counted yet must not make the bound of what is untold another one.
        let most = MOST_TOGETHER.min(self.shared.most_unreported() / 2);
        let mut acknowledged = 0;
        let may_wait = |notice: &Notice| match &notice.news {
            News::Published(it) if it.outcome == Outcome::Sent => self.quiet_since.is_none(),
            News::Published(it) if it.outcome == Outcome::Acknowledged => {
                acknowledged += it.count;
                has_more && acknowledged < most
            }
            _ => false,
        };
        let waited = self.quiet_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let has_time = waited + look < MOST_QUIET;
        if has_time && !self.listener.runs_here() && !self.run.is_empty() && self.run.iter().all(may_wait) {
            self.quiet_since.get_or_insert(now);
        } else {
            self.quiet_since = None;
            self.flush();
        }
    }

    /// Whether something waits to be told.
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet_since.is_some()
    }

    fn send_notices(&mut self) {
        if self.run.is_empty() {
            return;
        }
        self.shared.add_unreported(count(&self.run));
        let mut late = Vec::new();
        if std::mem::take(&mut self.has_news) {
            late = self.put_news_together();
        }
        if !self.mailbox.put_notices(&mut self.run, &mut late) {
            self.shared.remove_unreported(count(self.run.iter().chain(&late)));
            // Nobody wants to hear of them.
            self.run.drain(..).chain(late).for_each(Notice::done);
        }
        (self.has_uncalled, self.quiet_since) = (true, None);
    }

    /// Takes out of the run the news that there is too much of. Meanwhile the mailbox is not locked: errors may be the
    /// application's.
    fn put_news_together(&mut self) -> Vec<Notice> {
        let (mut late, heard) = self.mailbox.take_late();
        let new = self.run.iter().filter(|notice| notice.is_news()).count();
        let fewer = put_together(&mut self.run, &mut late, self.told_news - heard);
        self.told_news += (new - fewer) as u64;
        self.shared.remove_unreported(fewer);
        late
    }
}

impl Drop for Outlet {
    /// The listener goes behind this, and what ends with the mail finds it complete.
    fn drop(&mut self) {
        self.mailbox.complete();
    }
}

impl Dispatcher {
    /// What comes next, or what else happens meanwhile. What came before is done with.
    pub(super) fn next(&mut self, patience: Patience) -> Next {
        loop {
            match self.find() {
                Some(Found::Notice(event)) => return Next::Notice(event),
                Some(Found::Results) => return Next::Results,
                Some(Found::Message) => return Next::Message,
                None => {}
            }
            match self.mailbox.take(patience, &mut self.taken) {
                Came::Something => {}
                Came::Nothing => return Next::TimedOut,
                Came::End => return Next::Closed,
            }
        }
    }

    /// What the notice in hand asks.
    #[cfg(feature = "tls")]
    pub(super) const fn take_question(&mut self) -> Option<Question> {
        self.question.take()
    }

    /// The application has heard of the outcome in hand.
    pub(super) fn settle_outcome(&mut self) {
        if let Some(telling) = self.telling.take() {
            telling.done();
        }
    }

    /// Hands messages that are in hand to `take`, at least one and at most as many as are `left`, until something else
    /// has to be told first. A message that `take` panics with is done with like any other.
    pub(super) fn hand_out(&mut self, left: &mut usize, mut take: impl FnMut(&MqttPublish<'_>)) {
        loop {
            if self.owes && self.due.is_over(Instant::now) {
                self.flush_acknowledgements();
            }
            let Some(batch) = &self.current else { return };
            let Some(place) = batch.places.get(self.next) else { return };
            *left = left.saturating_sub(1);
            self.next += 1;
            self.owes |= place.receipt.is_some() && self.auto_ack;
            take(&batch.message(place));
            if *left == 0 || self.mailbox.has_notices() {
                return;
            }
        }
    }

    /// Acknowledges what is done with.
    pub(super) fn flush_acknowledgements(&mut self) {
        if std::mem::take(&mut self.owes)
            && let Some(batch) = &self.current
        {
            self.shared.acknowledge(batch.acknowledgements_of(self.acknowledged..self.next));
        }
        self.acknowledged = self.next;
        self.due.clear();
    }

    fn find(&mut self) -> Option<Found> {
        self.settle_outcome();
        if self.results.is_some() {
            return Some(Found::Results);
        }
        loop {
            if self.mailbox.has_notices() {
                self.mailbox.take(Patience::None, &mut self.taken);
            }
            // A notice that waits for messages before it does not hold up results behind it.
            let due = self.taken.notices.iter().position(|notice| notice.behind <= self.done_batches);
            if let Some(found) = due.and_then(|index| self.take_notice(index)) {
                if let Found::Notice(_) = found {
                    self.shared.remove_unreported(1);
                }
                return Some(found);
            }
            match &self.current {
                Some(batch) if self.next < batch.places.len() => return Some(Found::Message),
                // A notice may have its place right behind this batch.
                Some(_) => self.finish_batch(),
                None => {
                    self.current = Some(self.taken.batches.pop_front()?);
                    (self.next, self.acknowledged) = (0, 0);
                }
            }
        }
    }

    /// Takes a notice in hand that waits.
    fn take_notice(&mut self, index: usize) -> Option<Found> {
        let notice = self.taken.notices.remove(index)?;
        if notice.is_news() {
            self.taken.news = self.taken.news.saturating_sub(1);
            self.mailbox.note_heard();
        }
        match notice.news {
            News::Event(event) => Some(Found::Notice(event)),
            News::Ended(result, telling) => {
                self.telling = Some(telling);
                Some(Found::Notice(MqttEvent::Published(result)))
            }
            News::Published(results) => {
                self.results = Some(results);
                Some(Found::Results)
            }
            #[cfg(feature = "tls")]
            News::Certificate(certificate, question) => {
                self.question = Some(question);
                Some(Found::Notice(MqttEvent::PeerCertReceived(certificate)))
            }
        }
    }

    /// The next of the results that are in hand.
    #[inline]
    pub(super) fn take_result(&mut self) -> Option<PublishResult> {
        let results = self.results.as_mut()?;
        let result = results.take();
        if results.count == 0 {
            self.results = None;
        }
        self.shared.remove_unreported(1);
        Some(result)
    }

    fn finish_batch(&mut self) {
        self.flush_acknowledgements();
        let Some(batch) = self.current.take() else { return };
        self.done_batches += 1;
        let cost = batch.cost();
        self.shared.hub.spares.keep_batch(batch);
        self.shared.remove_undelivered(cost);
    }

    /// Whether something has come, be it the end.
    pub(super) fn has_news(&self) -> bool {
        self.mailbox.has_come(&self.taken)
    }
}

impl Dispatcher {
    /// Nobody wants to hear of what is left.
    pub(super) fn give_up(&mut self) {
        self.settle_outcome();
        self.leave(Notice::done);
    }

    /// Nobody will hear or look at anything any more. What there is to hear comes to an `end`.
    fn leave(&mut self, end: impl Fn(Notice)) {
        self.flush_acknowledgements();
        self.mailbox.abandon(&mut self.taken);
        let Taken { notices, batches, .. } = std::mem::take(&mut self.taken);
        let in_hand = self.results.take().map_or(0, |results| results.count);
        self.shared.remove_unreported(in_hand + count(&notices));
        if let Some(batch) = self.current.take() {
            pass_over(&self.shared, self.auto_ack, &batch, self.next);
        }
        for batch in batches {
            pass_over(&self.shared, self.auto_ack, &batch, 0);
        }
        notices.into_iter().for_each(end);
    }

    /// Behind the end of the client: nothing of it is open on the disk any more.
    #[cfg(feature = "persistence")]
    pub(super) fn wait_until_stored(&self) {
        self.shared.end.wait_until_stored(Instant::now() + STORE_PATIENCE);
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.leave(drop);
    }
}

/// What nobody will look at is acknowledged all the same `[MQTT-4.5.0-2]`, and holds up no further call.
fn pass_over(shared: &Shared, auto_ack: bool, batch: &Batch, from: usize) {
    if auto_ack {
        shared.acknowledge(batch.acknowledgements(from));
    }
    shared.remove_undelivered(batch.cost());
}

/// Calls that they make.
fn count<'a>(notices: impl IntoIterator<Item = &'a Notice>) -> usize {
    notices.into_iter().map(Notice::count).sum()
}
