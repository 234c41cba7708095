//! Messages on their way to the callbacks.

use super::{Batch, Outlet, pass_over};

/// So many bytes of messages may wait for what the worker reads next before their listener is called. Where both want
/// the same processor, each call costs two switches.
const MOST_UNCALLED: usize = 128 * 1024;

impl Outlet {
    /// Sends a batch behind those before, when what it stands `behind` is durable. Its listener is called by
    /// [`Self::call`] at the latest.
    pub(in crate::mqtt_client) fn send(&mut self, batch: Batch, behind: u64) {
        // What was told before has its place before these messages.
        self.send_notices();
        self.sent_batches += 1;
        self.shared.add_undelivered(batch.cost());
        if behind > self.durable || !self.held.is_empty() {
            self.held.push_back((behind, batch));
        } else {
            self.pass_on(batch);
        }
    }

    /// Sends what has waited for this to be durable.
    pub(in crate::mqtt_client) fn release(&mut self, durable: u64) {
        self.durable = durable;
        while self.held.front().is_some_and(|(behind, _)| *behind <= durable)
            && let Some((_, batch)) = self.held.pop_front()
        {
            self.pass_on(batch);
        }
    }

    /// Nothing becomes durable any more: messages that have waited for it are not told, and what was told behind them
    /// is.
    pub(in crate::mqtt_client) fn drop_held(&mut self) {
        while let Some((_, mut batch)) = self.held.pop_front() {
            batch.places.clear();
            self.pass_on(batch);
        }
    }

    fn pass_on(&mut self, batch: Batch) {
        self.has_uncalled = true;
        self.uncalled += batch.cost();
        if let Some(batch) = self.mailbox.put_batch(batch) {
            pass_over(&self.shared, self.auto_ack, &batch, 0);
        }
        if self.uncalled >= MOST_UNCALLED {
            self.call();
        }
    }

    /// Calls the listener for what was sent.
    pub(in crate::mqtt_client) fn call(&mut self) {
        self.uncalled = 0;
        if std::mem::take(&mut self.has_uncalled) {
            self.listener.call();
        }
    }
}
