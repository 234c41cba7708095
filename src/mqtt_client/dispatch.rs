//! From the worker to the callbacks.
//!
//! Messages travel in batches: a chunk of input with the places of its messages, so that nothing is copied for each.
//! Everything else travels apart, as notices, so that a pile of messages does not hold up the news of a publish. A
//! notice about the connection keeps its place between the messages before and behind it.

mod backlog;
mod next;
mod sending;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Select, SendError, Sender, TryRecvError, unbounded};

use self::backlog::{Backlog, is_news};
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

/// How long the last outcomes may take to leave the file.
#[cfg(feature = "persistence")]
const STORE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The worker's end.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    run: Vec<Notice>,
    /// Some of them are news.
    has_news: bool,
    backlog: Arc<Backlog>,
    notices: Sender<Vec<Notice>>,
    batches: Sender<Batch>,
    /// The same channel's other end, for what is left in it when nobody listens any more.
    unheard: Receiver<Batch>,
    sent_batches: u64,
    /// Bytes of batches whose listener was not called yet.
    uncalled: usize,
    /// Batches that wait until something is durable: what, and the batch; those behind them wait with them.
    held: VecDeque<(u64, Batch)>,
    /// The last that is.
    durable: u64,
    auto_ack: bool,
    /// The last field, so that what ends with the channels finds them closed.
    listener: Listener,
}

/// The end where callbacks run.
pub(super) struct Dispatcher {
    shared: Arc<Shared>,
    auto_ack: bool,
    notices: Receiver<Vec<Notice>>,
    batches: Receiver<Batch>,
    waiting: VecDeque<Notice>,
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
    backlog: Arc<Backlog>,
}

enum Found {
    Notice(MqttEvent<'static>),
    Results,
    Message,
}

pub(super) fn channel(shared: &Arc<Shared>, auto_ack: bool) -> (Outlet, Dispatcher) {
    let (notices_in, notices) = unbounded();
    let (batches_in, batches) = unbounded();
    let backlog = Arc::<Backlog>::default();
    let outlet = Outlet {
        shared: Arc::clone(shared),
        run: Vec::new(),
        has_news: false,
        backlog: Arc::clone(&backlog),
        notices: notices_in,
        batches: batches_in,
        unheard: batches.clone(),
        auto_ack,
        sent_batches: 0,
        uncalled: 0,
        held: VecDeque::new(),
        durable: 0,
        listener: Listener::Receiver,
    };
    let dispatcher = Dispatcher {
        shared: Arc::clone(shared),
        auto_ack,
        notices,
        batches,
        waiting: VecDeque::new(),
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
        backlog,
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
        self.run.push(Notice { behind: self.sent_batches, news: News::Event(event) });
    }

    /// Tells how an operation has ended, as soon as possible.
    pub(super) fn tell_result(&mut self, event: MqttEvent<'static>) {
        self.has_news |= is_news(&event);
        self.run.push(Notice { behind: 0, news: News::Event(event) });
    }

    /// As [`Self::tell_result`], for a publish; the file hears when it was told.
    pub(super) fn tell_ended(&mut self, result: PublishResult, telling: Telling) {
        self.run.push(Notice { behind: 0, news: News::Ended(result, telling) });
    }

    /// As [`Self::tell_result`], for messages of QoS 0 with consecutive tokens.
    pub(super) fn tell_run(&mut self, first: Token, count: usize, outcome: Outcome) {
        let results = Results { qos: QoS::AtMostOnce, token: first, count, outcome, packet_ids: None };
        self.run.push(Notice { behind: 0, news: News::Published(results) });
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
        self.run.push(Notice { behind: 0, news: News::Certificate(certificate, question) });
        Some(answer)
    }

    /// As [`Self::tell_result`], for a message of QoS 1 or 2 that the server has acknowledged without a word.
    pub(super) fn tell_acknowledged(&mut self, token: Token, qos: QoS, packet_id: PacketId) {
        if let Some(Notice { news: News::Published(results), .. }) = self.run.last_mut()
            && results.add(token, qos, packet_id)
        {
            return;
        }
        let (outcome, packet_ids) = (Outcome::Acknowledged, Some((packet_id, packet_id)));
        let results = Results { qos, token, count: 1, outcome, packet_ids };
        self.run.push(Notice { behind: 0, news: News::Published(results) });
    }

    /// Hands over what has come together.
    pub(super) fn flush(&mut self) {
        self.send_notices();
        self.call();
    }

    fn send_notices(&mut self) {
        if self.run.is_empty() {
            return;
        }
        self.shared.add_unreported(self.run.iter().map(Notice::count).sum());
        let wakes = !std::mem::take(&mut self.has_news) || self.put_news_together();
        if (wakes || !self.run.is_empty())
            && let Err(SendError(run)) = self.notices.send(std::mem::take(&mut self.run))
        {
            self.shared.remove_unreported(run.iter().map(Notice::count).sum());
            // Nobody wants to hear of them.
            run.into_iter().for_each(Notice::done);
        }
        self.backlog.note_sent();
        self.listener.call();
    }

    /// Takes out of the run the news that there is too much of; whether who waits has to be told.
    fn put_news_together(&mut self) -> bool {
        if self.shared.has_lost_callbacks() {
            return false;
        }
        let put = self.backlog.put_together(&mut self.run, &self.notices);
        self.shared.remove_unreported(put.fewer);
        put.has_begun
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
            self.flush_acknowledgements();
            match self.is_closed() {
                Some(true) => return Next::Closed,
                Some(false) => {}
                None => continue,
            }
            if !self.wait(patience) {
                return Next::TimedOut;
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
            if *left == 0 || self.backlog.has_notices() {
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
            self.backlog.take(&self.notices, &mut self.waiting);
            // A notice that waits for messages before it does not hold up results behind it.
            let due = self.waiting.iter().position(|notice| notice.behind <= self.done_batches);
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
                None => self.take_batch().ok()?,
            }
        }
    }

    /// Takes a notice in hand that waits.
    fn take_notice(&mut self, index: usize) -> Option<Found> {
        let notice = self.waiting.remove(index)?;
        if notice.is_news() {
            self.backlog.note_heard();
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

    /// Takes the next batch in hand.
    fn take_batch(&mut self) -> Result<(), TryRecvError> {
        self.current = Some(self.batches.try_recv()?);
        (self.next, self.acknowledged) = (0, 0);
        Ok(())
    }

    /// Whether something has come, be it the end.
    pub(super) fn has_news(&mut self) -> bool {
        self.is_closed() != Some(false)
    }

    /// Whether the worker has gone; `None` if something has come meanwhile, which must not wait for what comes next.
    fn is_closed(&mut self) -> Option<bool> {
        let batches = self.take_batch();
        let notices = self.notices.try_recv().map(|run| self.waiting.extend(run));
        let gone = Err(TryRecvError::Disconnected);
        (batches.is_err() && notices.is_err()).then_some(batches == gone && notices == gone)
    }

    /// Waits until something may be there; `false` if patience has ended first.
    fn wait(&self, patience: Patience) -> bool {
        let mut select = Select::new();
        select.recv(&self.notices);
        select.recv(&self.batches);
        match patience {
            Patience::None => false,
            Patience::Until(deadline) => select.ready_deadline(deadline).is_ok(),
            Patience::Endless => {
                select.ready();
                true
            }
        }
    }
}

impl Dispatcher {
    /// Nobody wants to hear of what is left.
    pub(super) fn give_up(&mut self) {
        self.settle_outcome();
        self.drop_notices(Notice::done);
    }

    fn drop_notices(&mut self, end: impl Fn(Notice)) {
        let mut unreported = 0;
        self.backlog.take_all(&self.notices, &mut self.waiting);
        for notice in self.waiting.drain(..) {
            unreported += notice.count();
            end(notice);
        }
        self.shared.remove_unreported(unreported);
    }

    /// Behind the end of the client: nothing of it is open on the disk any more.
    #[cfg(feature = "persistence")]
    pub(super) fn wait_until_stored(&self) {
        self.shared.end.wait_until_stored(Instant::now() + STORE_PATIENCE);
    }
}

impl Drop for Dispatcher {
    /// What nobody will look at any more is acknowledged all the same `[MQTT-4.5.0-2]`, and holds up no further call.
    fn drop(&mut self) {
        self.flush_acknowledgements();
        self.shared.lose_callbacks();
        self.drop_notices(drop);
        let in_hand = self.results.take().map_or(0, |results| results.count);
        self.shared.remove_unreported(in_hand);
        let current = self.current.take().into_iter().map(|batch| (batch, self.next));
        for (batch, next) in current.chain(self.batches.try_iter().map(|batch| (batch, 0))) {
            if self.auto_ack {
                self.shared.acknowledge(batch.acknowledgements(next));
            }
            self.shared.remove_undelivered(batch.cost());
        }
    }
}
