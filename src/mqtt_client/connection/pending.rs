use std::collections::VecDeque;

use crate::mqtt_client::command::{Messages, Publishing, Run};
use crate::mqtt_client::token::Token;
use crate::types::ProtocolVersion;

/// Messages that the session does not have, in their order.
pub(super) struct Pending {
    queue: VecDeque<Messages>,
    version: ProtocolVersion,
    /// How many of these are runs.
    runs: usize,
    count: usize,
    bytes: usize,
}

impl Pending {
    pub(super) const fn new(version: ProtocolVersion) -> Self {
        Self { queue: VecDeque::new(), version, runs: 0, count: 0, bytes: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The token of the message in front.
    pub(super) fn first_token(&self) -> Option<Token> {
        self.queue.front().map(|messages| match messages {
            Messages::One(publishing) => publishing.token,
            Messages::Run(run) => run.first,
        })
    }

    pub(super) fn push_back(&mut self, publishing: Publishing) {
        self.put_back(Messages::One(publishing));
    }

    pub(super) fn push_back_run(&mut self, run: Run) {
        self.put_back(Messages::Run(run));
    }

    fn put_back(&mut self, messages: Messages) {
        self.runs += usize::from(messages.is_run());
        self.count += messages.count();
        self.bytes += messages.bytes();
        self.queue.push_back(messages);
    }

    pub(super) fn push_front(&mut self, publishing: Publishing) {
        self.put_front(Messages::One(publishing));
    }

    /// Puts messages back that were taken.
    pub(super) fn put_front(&mut self, messages: Messages) {
        self.runs += usize::from(messages.is_run());
        self.count += messages.count();
        self.bytes += messages.bytes();
        self.queue.push_front(messages);
    }

    /// Puts back what was taken as a run, each message for itself.
    pub(super) fn put_front_one_by_one(&mut self, run: Run) {
        for publishing in run.take_apart(self.version).collect::<Vec<_>>().into_iter().rev() {
            self.push_front(publishing);
        }
    }

    /// Takes the messages in front, as they came.
    pub(super) fn take_front(&mut self) -> Option<Messages> {
        let messages = self.queue.pop_front()?;
        self.runs -= usize::from(messages.is_run());
        self.count -= messages.count();
        self.bytes -= messages.bytes();
        Some(messages)
    }

    pub(super) fn pop_front(&mut self) -> Option<Publishing> {
        self.take_apart();
        match self.take_front()? {
            Messages::One(publishing) => Some(publishing),
            Messages::Run(_) => None,
        }
    }

    pub(super) fn pop_back(&mut self) -> Option<Publishing> {
        self.take_apart();
        match self.queue.pop_back()? {
            Messages::One(publishing) => {
                self.count -= 1;
                self.bytes -= publishing.frame.len();
                Some(publishing)
            }
            Messages::Run(_) => None,
        }
    }

    /// The messages one by one, from the newest to the oldest.
    pub(super) fn newest_first(&mut self) -> impl Iterator<Item = &mut Publishing> {
        self.take_apart();
        self.queue.iter_mut().rev().filter_map(|messages| match messages {
            Messages::One(publishing) => Some(publishing),
            Messages::Run(_) => None,
        })
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> Vec<Publishing> {
        self.take_apart();
        std::iter::from_fn(|| self.pop_front()).collect()
    }

    /// Makes single messages of all runs.
    fn take_apart(&mut self) {
        if self.runs == 0 {
            return;
        }
        self.runs = 0;
        let version = self.version;
        let apart = std::mem::take(&mut self.queue).into_iter().flat_map(|messages| match messages {
            Messages::One(publishing) => vec![publishing],
            Messages::Run(run) => run.take_apart(version).collect(),
        });
        self.queue = apart.map(Messages::One).collect();
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self, kept_places: usize) {
        if self.queue.capacity() > kept_places {
            self.queue = VecDeque::new();
        }
    }
}
