use std::sync::Arc;
use std::time::{Duration, Instant};

use super::callbacks::TopicHandlers;
use super::dispatch::{Dispatcher, Next, Patience};
use super::event::{MqttEvent, MqttPublish};

/// The events of a client as a queue, instead of callbacks: made by
/// [`AsyncMqttClient::with_receiver`](super::AsyncMqttClient::with_receiver).
///
/// A message is acknowledged when it is taken from here (unless `auto_ack` is false). While nobody takes messages, the
/// client stops reading at [`Limits::undelivered_bytes`](super::Limits::undelivered_bytes), and the connection stays
/// up. Topic handlers run inside these calls. Take events on another thread than the one that waits for results: a wait
/// for a result that lies behind unread messages ends by its time-out. News that nobody takes is put together as the
/// [handler's](super::MqttEventHandler) is. When the receiver is dropped, messages are
/// acknowledged and thrown away, and so are outcomes. An outcome that a file has to keep until it was told was told
/// when the next event is asked for.
pub struct EventReceiver {
    dispatcher: Dispatcher,
    topic_handlers: Arc<TopicHandlers>,
}

impl EventReceiver {
    pub(super) const fn new(dispatcher: Dispatcher, topic_handlers: Arc<TopicHandlers>) -> Self {
        Self { dispatcher, topic_handlers }
    }

    /// The next event; `None` when the client has ended and all was taken.
    pub fn recv(&mut self) -> Option<MqttEvent<'static>> {
        loop {
            match self.take(Patience::Endless) {
                Taken::Event(event) => return Some(event),
                Taken::Nothing => {}
                Taken::Closed => return None,
            }
        }
    }

    /// The next event, if it comes within the time; `None` also when the client has ended and all was taken.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<MqttEvent<'static>> {
        let patience = match Instant::now().checked_add(timeout) {
            _ if timeout.is_zero() => Patience::None,
            Some(deadline) => Patience::Until(deadline),
            None => Patience::Endless,
        };
        match self.take(patience) {
            Taken::Event(event) => Some(event),
            Taken::Nothing | Taken::Closed => None,
        }
    }

    /// The next event, if it is there.
    pub fn try_recv(&mut self) -> Option<MqttEvent<'static>> {
        self.recv_timeout(Duration::ZERO)
    }

    fn take(&mut self, patience: Patience) -> Taken {
        loop {
            let event = match self.dispatcher.next(patience) {
                Next::Notice(event) => event,
                Next::Results => match self.dispatcher.take_result() {
                    Some(result) => MqttEvent::Published(result),
                    None => continue,
                },
                Next::Message => match self.take_message() {
                    Some(publish) => MqttEvent::MessageReceived(publish),
                    None if patience.is_over() => return Taken::Nothing,
                    None => continue,
                },
                Next::TimedOut => return Taken::Nothing,
                Next::Closed => {
                    self.topic_handlers.clear();
                    #[cfg(feature = "persistence")]
                    self.dispatcher.wait_until_stored();
                    return Taken::Closed;
                }
            };
            self.dispatcher.flush_acknowledgements();
            return Taken::Event(event);
        }
    }

    /// The next message, unless a topic handler has taken it.
    fn take_message(&mut self) -> Option<MqttPublish<'static>> {
        let mut untaken = None;
        self.dispatcher.hand_out(&mut 1, |publish| {
            if !self.topic_handlers.call(publish) {
                untaken = Some(publish.clone().into_owned());
            }
        });
        untaken
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.dispatcher.give_up();
        #[cfg(feature = "persistence")]
        self.dispatcher.wait_until_stored();
    }
}

enum Taken {
    Event(MqttEvent<'static>),
    Nothing,
    Closed,
}

impl Iterator for EventReceiver {
    type Item = MqttEvent<'static>;

    fn next(&mut self) -> Option<MqttEvent<'static>> {
        self.recv()
    }
}

impl std::fmt::Debug for EventReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReceiver").finish_non_exhaustive()
    }
}
