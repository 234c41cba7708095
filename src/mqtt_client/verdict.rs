//! What the application says of a certificate: asked by the worker, answered where callbacks run.

use std::sync::{Arc, OnceLock};

use super::shared::Shared;

/// To be answered. Who drops it says no.
pub(super) struct Question {
    answer: Arc<OnceLock<bool>>,
    shared: Arc<Shared>,
}

/// What comes of it.
#[derive(Debug)]
pub(super) struct Answer(Arc<OnceLock<bool>>);

impl Question {
    pub(super) fn new(shared: &Arc<Shared>) -> (Self, Answer) {
        let answer = Arc::default();
        (Self { answer: Arc::clone(&answer), shared: Arc::clone(shared) }, Answer(answer))
    }

    pub(super) fn answer(self, accepted: bool) {
        // It is the first answer, as this consumes the question.
        let _ = self.answer.set(accepted);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // Behind an answer this changes nothing.
        let _ = self.answer.set(false);
        self.shared.wake();
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

impl Answer {
    /// None until it is given.
    pub(super) fn get(&self) -> Option<bool> {
        self.0.get().copied()
    }
}
