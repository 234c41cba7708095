//! From the worker to the callbacks.
//!
//! Messages travel in batches: a chunk of input with the places of its messages, so that nothing is copied for each.
//! Everything else travels apart, as notices, so that a pile of messages does not hold up the news of a publish. A notice
//! about the connection keeps its place between the messages before and behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, unbounded};

use super::batch::Batch;
use super::callbacks::Listener;
use super::client::{Outcome, PublishResult};
use super::command::Acknowledgement;
use super::event::{MqttEvent, MqttPublish, Receipt};
use super::shared::Shared;
use super::token::Token;
use crate::types::ReasonCode;

/// How long an acknowledgement waits for others to go with it.
const ACK_DELAY: Duration = Duration::from_millis(1);

/// What is told beside messages.
#[derive(Debug)]
struct Notice {
    /// It comes behind that many batches.
    behind: u64,
    news: News,
}

#[derive(Debug)]
enum News {
    Event(MqttEvent<'static>),
    /// Messages of QoS 0 with so many tokens from this one on have ended alike.
    Published(Token, usize, Outcome),
}

impl Notice {
    /// Calls that it makes.
    const fn count(&self) -> usize {
        match self.news {
            News::Event(_) => 1,
            News::Published(_, count, _) => count,
        }
    }
}

/// The worker's end.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    run: Vec<Notice>,
    notices: Sender<Vec<Notice>>,
    batches: Sender<Batch>,
    /// The same channel's other end, for what is left in it when nobody listens any more.
    unheard: Receiver<Batch>,
    sent_batches: u64,
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
    current: Option<Batch>,
    /// The message of the current batch that comes next.
    next: usize,
    done_batches: u64,
    repeated_topic: String,
    /// The message in hand, to be acknowledged when it is done with.
    in_hand: Option<Receipt>,
    acknowledgements: Vec<Acknowledgement>,
    /// Since when the first of them waits.
    waiting_since: Instant,
}

/// What [`Dispatcher::next`] has come to.
#[derive(Debug)]
pub(super) enum Next<'d> {
    Event(MqttEvent<'d>),
    TimedOut,
    /// The client has ended, and everything was handed over.
    Closed,
}

/// How long [`Dispatcher::next`] waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    None,
    Until(Instant),
    Endless,
}

impl Patience {
    pub(super) fn is_over(self) -> bool {
        match self {
            Self::None => true,
            Self::Until(deadline) => Instant::now() >= deadline,
            Self::Endless => false,
        }
    }
}

enum Found {
    Notice(MqttEvent<'static>),
    Message,
}

pub(super) fn channel(shared: &Arc<Shared>, auto_ack: bool) -> (Outlet, Dispatcher) {
    let (notices_in, notices) = unbounded();
    let (batches_in, batches) = unbounded();
    let outlet = Outlet {
        shared: Arc::clone(shared),
        run: Vec::new(),
        notices: notices_in,
        batches: batches_in,
        unheard: batches.clone(),
        auto_ack,
        sent_batches: 0,
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
        current: None,
        next: 0,
        done_batches: 0,
        repeated_topic: String::new(),
        in_hand: None,
        acknowledgements: Vec::new(),
        waiting_since: Instant::now(),
    };
    (outlet, dispatcher)
}

impl Outlet {
    /// Says who hears of it. Without a listener the dispatcher is waited at.
    pub(super) fn set_listener(&mut self, listener: Listener) {
        self.listener = listener;
    }

    /// Runs the callbacks that run on the worker.
    pub(super) fn run_callbacks(&mut self) {
        if let Listener::Worker(callbacks) = &mut self.listener {
            callbacks.run(usize::MAX);
        }
    }

    /// Tells an event in its place between the messages.
    pub(super) fn tell(&mut self, event: MqttEvent<'static>) {
        self.run.push(Notice { behind: self.sent_batches, news: News::Event(event) });
    }

    /// Tells how an operation has ended, as soon as possible.
    pub(super) fn tell_result(&mut self, event: MqttEvent<'static>) {
        self.run.push(Notice { behind: 0, news: News::Event(event) });
    }

    /// As [`Self::tell_result`], for messages of QoS 0 with consecutive tokens.
    pub(super) fn tell_run(&mut self, first: Token, count: usize, outcome: Outcome) {
        self.run.push(Notice { behind: 0, news: News::Published(first, count, outcome) });
    }

    /// Sends a batch behind those before, when what it stands `behind` is durable.
    pub(super) fn send(&mut self, batch: Batch, behind: u64) {
        // What was told before has its place before these messages.
        self.flush();
        self.sent_batches += 1;
        self.shared.add_undelivered(batch.cost());
        if behind > self.durable || !self.held.is_empty() {
            self.held.push_back((behind, batch));
        } else {
            self.pass_on(batch);
        }
    }

    /// Sends what has waited for this to be durable.
    pub(super) fn release(&mut self, durable: u64) {
        self.durable = durable;
        while self.held.front().is_some_and(|(behind, _)| *behind <= durable)
            && let Some((_, batch)) = self.held.pop_front()
        {
            self.pass_on(batch);
        }
    }

    /// Nothing becomes durable any more: messages that have waited for it are not told, and what was told behind them is.
    pub(super) fn drop_held(&mut self) {
        while let Some((_, mut batch)) = self.held.pop_front() {
            batch.places.clear();
            self.pass_on(batch);
        }
    }

    fn pass_on(&mut self, batch: Batch) {
        // It cannot fail: this has the other end, too.
        let _ = self.batches.send(batch);
        self.listener.call();
        if self.shared.has_lost_callbacks() {
            // The server must not wait for what nobody wants [MQTT-4.5.0-2].
            for batch in self.unheard.try_iter() {
                self.shared.remove_undelivered(batch.cost());
                if self.auto_ack {
                    self.shared.acknowledge(acknowledgements(&batch, 0));
                }
            }
        }
    }

    /// Hands over what has come together.
    pub(super) fn flush(&mut self) {
        if !self.run.is_empty() {
            let count = self.run.iter().map(Notice::count).sum();
            self.shared.add_unreported(count);
            if self.notices.send(std::mem::take(&mut self.run)).is_err() {
                self.shared.remove_unreported(count);
            }
            self.listener.call();
        }
    }
}

fn acknowledgement(receipt: Receipt) -> Acknowledgement {
    Acknowledgement { receipt, code: ReasonCode::SUCCESS, by_hand: false }
}

/// Those of the messages of a batch from the one at `next` on.
fn acknowledgements(batch: &Batch, next: usize) -> impl Iterator<Item = Acknowledgement> {
    batch.places.iter().skip(next).filter_map(|place| batch.receipt(place)).map(acknowledgement)
}

impl Dispatcher {
    /// The next event, or what else happens meanwhile. The one before is done with.
    pub(super) fn next(&mut self, patience: Patience) -> Next<'_> {
        self.finish_message();
        loop {
            match self.find() {
                Some(Found::Notice(event)) => return Next::Event(event),
                Some(Found::Message) => break,
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
        self.message().map_or(Next::TimedOut, |publish| Next::Event(MqttEvent::MessageReceived(publish)))
    }

    /// The message in hand is done with: acknowledge it.
    pub(super) fn finish_message(&mut self) {
        let Some(receipt) = self.in_hand.take() else { return };
        let now = Instant::now();
        if self.acknowledgements.is_empty() {
            self.waiting_since = now;
        }
        self.acknowledgements.push(acknowledgement(receipt));
        if now.saturating_duration_since(self.waiting_since) >= ACK_DELAY {
            self.flush_acknowledgements();
        }
    }

    pub(super) fn flush_acknowledgements(&mut self) {
        if !self.acknowledgements.is_empty() {
            self.shared.acknowledge(self.acknowledgements.drain(..));
        }
    }

    fn find(&mut self) -> Option<Found> {
        loop {
            // Before every message: looking is cheaper than trying.
            while !self.notices.is_empty()
                && let Ok(run) = self.notices.try_recv()
            {
                self.waiting.extend(run);
            }
            // A notice that waits for messages before it does not hold up results behind it.
            let due = self.waiting.iter().position(|notice| notice.behind <= self.done_batches);
            if let Some(event) = due.and_then(|index| self.take_notice(index)) {
                self.shared.remove_unreported(1);
                return Some(Found::Notice(event));
            }
            match &self.current {
                Some(batch) if self.next < batch.places.len() => {
                    self.next += 1;
                    return Some(Found::Message);
                }
                // A notice may have its place right behind this batch.
                Some(_) => self.finish_batch(),
                None => self.take_batch().ok()?,
            }
        }
    }

    /// The next event of a notice that waits.
    fn take_notice(&mut self, index: usize) -> Option<MqttEvent<'static>> {
        if let Some(Notice { news: News::Published(first, count, outcome), .. }) = self.waiting.get_mut(index) {
            let result = PublishResult { outcome: outcome.clone(), ..PublishResult::cancelled(*first, 0) };
            (first.0, *count) = (first.0 + 1, *count - 1);
            if *count == 0 {
                self.waiting.remove(index);
            }
            return Some(MqttEvent::Published(result));
        }
        match self.waiting.remove(index)?.news {
            News::Event(event) => Some(event),
            News::Published(..) => None,
        }
    }

    fn message(&mut self) -> Option<MqttPublish<'_>> {
        let batch = self.current.as_ref()?;
        let publish = batch.message(self.next.checked_sub(1)?, &mut self.repeated_topic)?;
        self.in_hand = publish.receipt.filter(|_| self.auto_ack);
        Some(publish)
    }

    fn finish_batch(&mut self) {
        let Some(batch) = self.current.take() else { return };
        self.done_batches += 1;
        self.flush_acknowledgements();
        let cost = batch.cost();
        self.shared.hub.spares.keep_batch(batch);
        self.shared.remove_undelivered(cost);
    }

    /// Takes the next batch in hand.
    fn take_batch(&mut self) -> Result<(), TryRecvError> {
        self.current = Some(self.batches.try_recv()?);
        self.next = 0;
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

impl Drop for Dispatcher {
    /// What nobody will look at any more is acknowledged all the same `[MQTT-4.5.0-2]`, and holds up no further call.
    fn drop(&mut self) {
        self.finish_message();
        self.shared.lose_callbacks();
        let runs = self.notices.try_iter().flatten().chain(self.waiting.drain(..));
        let unreported = runs.map(|notice| notice.count()).sum();
        self.shared.remove_unreported(unreported);
        let current = self.current.take().into_iter().map(|batch| (batch, self.next));
        for (batch, next) in current.chain(self.batches.try_iter().map(|batch| (batch, 0))) {
            if self.auto_ack {
                self.acknowledgements.extend(acknowledgements(&batch, next));
            }
            self.shared.remove_undelivered(batch.cost());
        }
        self.flush_acknowledgements();
    }
}
