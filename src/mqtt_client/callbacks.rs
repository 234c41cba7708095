//! Where the application's code runs.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::calls::{Called, Caller};
use super::contain::{contain, discard};
use super::dispatch::{Dispatcher, Next, Patience};
use super::event::MqttPublish;
use super::filters::FilterTree;
use super::handler::{self, MqttEventHandler};
use super::hub::NoteEnd;
use crate::macros::event;

/// What is called with the messages of one topic filter.
pub(super) type TopicHandler = Box<dyn FnMut(&MqttPublish<'_>) + Send>;

/// The handlers by topic filter.
#[derive(Default)]
pub(super) struct TopicHandlers {
    tree: Mutex<FilterTree<Arc<Mutex<TopicHandler>>>>,
    /// The tree was not empty when it was last changed: without handlers no message has to lock it.
    has_some: AtomicBool,
}

impl TopicHandlers {
    pub(super) fn add(&self, filter: &str, handler: TopicHandler) {
        let mut tree = self.lock();
        tree.insert(filter, Arc::new(Mutex::new(handler)));
        self.has_some.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, filter: &str) -> bool {
        let mut tree = self.lock();
        let removed = tree.remove(filter);
        self.has_some.store(!tree.is_empty(), Ordering::Release);
        drop(tree);
        // Outside of the lock: what they hold may come back here when it is dropped.
        !removed.is_empty()
    }

    /// Drops them all, and with them whatever they hold of the client.
    pub(super) fn clear(&self) {
        let handlers = std::mem::take(&mut *self.lock());
        // Outside of the lock: what they hold may be the client itself. One by one, as a second panic in one drop
        // aborts.
        handlers.into_values().into_iter().for_each(discard);
    }

    /// Calls those whose filter matches, and says whether there were some. They may add and remove others meanwhile.
    #[inline]
    pub(super) fn call(&self, publish: &MqttPublish<'_>) -> bool {
        self.has_some.load(Ordering::Acquire) && self.call_matching(publish)
    }

    fn call_matching(&self, publish: &MqttPublish<'_>) -> bool {
        let mut found = Vec::new();
        self.lock().matches(&publish.topic_name, &mut |handler| found.push(Arc::clone(handler)));
        for handler in &found {
            // A handler that has panicked before is called like any other.
            let mut handler = handler.lock().unwrap_or_else(PoisonError::into_inner);
            handler(publish);
        }
        !found.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, FilterTree<Arc<Mutex<TopicHandler>>>> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many callbacks of one client run before those of others that wait.
const TURN: usize = 256;

/// The callbacks of one client, and what they are called with.
pub(super) struct Callbacks {
    dispatcher: Dispatcher,
    handler: Box<dyn MqttEventHandler>,
    topic_handlers: Arc<TopicHandlers>,
    /// The last field, so that the end is told when the handler is gone.
    _end: NoteEnd,
}

/// What [`Callbacks::run`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// There may be more.
    Enough,
    /// There is nothing at the moment.
    All,
    /// The client has ended, and everything was told.
    Closed,
}

impl Callbacks {
    pub(super) const fn new(
        dispatcher: Dispatcher,
        handler: Box<dyn MqttEventHandler>,
        topic_handlers: Arc<TopicHandlers>,
        end: NoteEnd,
    ) -> Self {
        Self { dispatcher, handler, topic_handlers, _end: end }
    }

    /// Calls the handler with what there is, up to a measure.
    pub(super) fn run(&mut self, at_most: usize) -> Ran {
        let mut left = at_most;
        while left > 0 {
            let Self { dispatcher, handler, topic_handlers, .. } = self;
            let ran = match dispatcher.next(Patience::None) {
                Next::Notice(event) => {
                    left -= 1;
                    contain(|| handler::call(&mut **handler, &event))
                }
                // One fence for many calls: behind one that panics the next ones follow.
                Next::Results => contain(|| {
                    while left > 0
                        && let Some(result) = dispatcher.take_result()
                    {
                        left -= 1;
                        handler.on_published(&result);
                    }
                    true
                }),
                Next::Message => contain(|| {
                    dispatcher.hand_out(&mut left, |publish| {
                        if !topic_handlers.call(publish) {
                            handler.on_message_received(publish);
                        }
                    });
                    true
                }),
                Next::TimedOut => return Ran::All,
                Next::Closed => {
                    topic_handlers.clear();
                    return Ran::Closed;
                }
            };
            #[cfg(feature = "tls")]
            if let Some(question) = self.dispatcher.take_question() {
                question.answer(ran == Ok(true));
            }
            if let Err(text) = ran {
                // What the panic says may be of the message; the handler hears it.
                event!(warn, "a callback has panicked");
                let error = io::Error::other(format!("a callback has panicked: {text}"));
                // If this panics too, there is nobody left to tell.
                let _ = contain(|| self.handler.on_error(&error));
            }
        }
        // Another client's callbacks may take long.
        self.dispatcher.settle_outcome();
        self.dispatcher.flush_acknowledgements();
        Ran::Enough
    }
}

/// Who hears of what the worker tells.
pub(super) enum Listener {
    /// Somebody who waits at the dispatcher.
    Receiver,
    /// The callback thread.
    Thread(Arc<Seat>, Caller),
    /// The worker, at the end of each turn.
    Worker(Box<Callbacks>),
}

impl Listener {
    pub(super) fn thread(callbacks: Callbacks, thread: Caller) -> Self {
        Self::Thread(Arc::new(Seat { called: AtomicBool::new(false), callbacks: Mutex::new(Some(callbacks)) }), thread)
    }

    /// Whether the callbacks run on the worker.
    pub(super) const fn runs_here(&self) -> bool {
        matches!(self, Self::Worker(_))
    }

    /// Lets callbacks run on their thread, where that waits for this processor.
    pub(super) fn let_run(&self) {
        if let Self::Thread(..) = self {
            thread::yield_now();
        }
    }

    /// Tells that something is there.
    pub(super) fn call(&self) {
        if let Self::Thread(seat, thread) = self
            && !seat.called.swap(true, Ordering::SeqCst)
        {
            thread.call(seat);
        }
    }
}

impl Drop for Listener {
    /// The client has ended: its last callbacks come, and its handler goes.
    fn drop(&mut self) {
        match self {
            Self::Receiver => {}
            Self::Thread(..) => self.call(),
            Self::Worker(callbacks) => {
                callbacks.run(usize::MAX);
            }
        }
    }
}

/// The place of a client at the callback thread.
pub(super) struct Seat {
    /// The thread has it in its queue, or is at it.
    called: AtomicBool,
    callbacks: Mutex<Option<Callbacks>>,
}

impl Seat {
    /// Runs callbacks; whether there are more.
    fn serve(&self) -> bool {
        let mut place = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(callbacks) = &mut *place else { return false };
        loop {
            match callbacks.run(TURN) {
                Ran::Enough => return true,
                Ran::Closed => break,
                Ran::All => {
                    self.called.swap(false, Ordering::SeqCst);
                    // What came just before has called nobody: look again. What comes from now on calls.
                    if !callbacks.dispatcher.has_news() || self.called.swap(true, Ordering::SeqCst) {
                        return false;
                    }
                }
            }
        }
        drop(place);
        self.vacate();
        false
    }

    /// Lets the handler go. What it does when it is dropped must not end the callbacks of others.
    fn vacate(&self) {
        let last = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).take();
        discard(last);
    }
}

/// Runs the callbacks of all clients that are called, each for a while, until no client can come any more.
pub(super) fn serve(called: &Called) {
    let mut waiting = VecDeque::new();
    loop {
        called.take(&mut waiting);
        let Some(seat) = waiting.pop_front() else { return };
        match contain(|| seat.serve()) {
            Ok(true) => waiting.push_back(seat),
            Ok(false) => {}
            Err(_) => seat.vacate(),
        }
    }
}
