//! Where the application's code runs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::dispatch::{Dispatcher, Next};
use super::event::{MqttEvent, MqttPublish};
use super::filters::FilterTree;
use super::handler::{self, MqttEventHandler};
use super::shared::Shared;
use crate::macros::event;

/// What is called with the messages of one topic filter.
pub(super) type TopicHandler = Box<dyn FnMut(&MqttPublish<'_>) + Send>;

/// The handlers by topic filter.
#[derive(Default)]
pub(super) struct TopicHandlers(Mutex<FilterTree<Arc<Mutex<TopicHandler>>>>);

impl TopicHandlers {
    pub(super) fn add(&self, filter: &str, handler: TopicHandler) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(filter, Arc::new(Mutex::new(handler)));
    }

    pub(super) fn remove(&self, filter: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(filter)
    }

    /// Drops them all, and with them whatever they hold of the client.
    pub(super) fn clear(&self) {
        let handlers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Outside of the lock: what they hold may be the client itself.
        drop(handlers);
    }

    /// Calls those whose filter matches, and says whether there were some. They may add and remove others meanwhile.
    pub(super) fn call(&self, publish: &MqttPublish<'_>) -> bool {
        let mut found = Vec::new();
        {
            let handlers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if handlers.is_empty() {
                return false;
            }
            handlers.matches(&publish.topic_name, &mut |handler| found.push(Arc::clone(handler)));
        }
        for handler in &found {
            // A handler that has panicked before is called like any other.
            let mut handler = handler.lock().unwrap_or_else(PoisonError::into_inner);
            handler(publish);
        }
        !found.is_empty()
    }
}

/// Calls a handler with every event until the client has ended.
pub(super) fn run(
    mut dispatcher: Dispatcher,
    mut handler: Box<dyn MqttEventHandler>,
    topic_handlers: &TopicHandlers,
    shared: &Shared,
) {
    shared.enter_callback_thread();
    loop {
        let panic = match dispatcher.next(None) {
            Next::Event(event) => catch_unwind(AssertUnwindSafe(|| {
                let taken = matches!(&event, MqttEvent::MessageReceived(publish) if topic_handlers.call(publish));
                if !taken {
                    handler::call(&mut *handler, &event);
                }
            })),
            Next::TimedOut => Ok(()),
            Next::Closed => return topic_handlers.clear(),
        };
        if let Err(panic) = panic {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            // What the panic says may be of the message; the handler hears it.
            event!(warn, "a callback has panicked");
            let error = io::Error::other(format!("a callback has panicked: {text}"));
            // If this panics too, there is nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| handler.on_error(&error)));
        }
    }
}
