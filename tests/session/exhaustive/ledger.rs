//! What has arrived at one end.

use flowsdk::types::QoS;

use crate::support::ExactlyOnce;

/// What is wrong, if something is.
pub(super) type Verdict<T = ()> = Result<T, String>;

pub(super) fn require(holds: bool, wrong: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(wrong()) }
}

/// Each message is known by the length of its payload.
pub(super) fn payload(index: usize) -> String {
    "x".repeat(index + 1)
}

#[derive(Debug)]
pub(super) struct Ledger {
    messages: Vec<Entry>,
    /// No message was published again after the loss of a session.
    pub(super) is_ordered: bool,
}

#[derive(Debug)]
struct Entry {
    qos: QoS,
    has_come: bool,
    /// It may come once more at QoS 2, since a session was lost.
    again: bool,
}

impl Ledger {
    pub(super) fn new(list: &[QoS]) -> Self {
        let messages = list.iter().map(|qos| Entry { qos: *qos, has_come: false, again: false }).collect();
        Self { messages, is_ordered: true }
    }

    pub(super) fn index_of(&self, payload: &[u8], qos: QoS) -> Verdict<usize> {
        let index = payload.len().wrapping_sub(1);
        let is_right = self.messages.get(index).is_some_and(|entry| entry.qos == qos);
        require(is_right, || format!("nobody sent {} bytes at {qos:?}", payload.len()))?;
        Ok(index)
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.messages[index].has_come
    }

    pub(super) fn is_allowed_again(&self, index: usize) -> bool {
        self.messages[index].again
    }

    pub(super) fn allow_again(&mut self, index: usize) {
        self.messages[index].again = true;
    }

    /// It has arrived: at QoS 2 once, and behind the first copies of those ahead of it.
    pub(super) fn note(&mut self, index: usize) -> Verdict {
        let Entry { qos, has_come, again } = self.messages[index];
        let comes_right = !has_come || again || qos != ExactlyOnce;
        require(comes_right, || format!("message {index} arrives twice"))?;
        let is_overtaking = self.messages[..index].iter().any(|before| before.qos == qos && !before.has_come);
        require(!is_overtaking || !self.is_ordered, || format!("message {index} overtakes another"))?;
        let entry = &mut self.messages[index];
        entry.again &= !has_come;
        entry.has_come = true;
        Ok(())
    }

    pub(super) fn check_done(&self, whose: &str) -> Verdict {
        let missing = self.messages.iter().position(|entry| !entry.has_come);
        require(missing.is_none(), || format!("{missing:?} never reached {whose}"))
    }
}
