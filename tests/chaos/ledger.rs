//! What was sent one way at one QoS, and what of it has arrived.

use crate::random::Random;

/// The messages of one topic.
pub(crate) struct Ledger {
    pub(crate) qos: u8,
    /// How often each message has arrived.
    counts: Vec<u8>,
    /// How many have arrived at all.
    pub(crate) arrived: usize,
    /// How many are known not to arrive.
    pub(crate) excused: usize,
    highest: Option<usize>,
    /// Messages that came for the first time behind a later one.
    pub(crate) disordered: Vec<usize>,
    /// Payloads that nobody sent.
    pub(crate) damaged: usize,
}

impl Ledger {
    pub(crate) fn new(qos: u8, messages: usize) -> Self {
        // Written once, so that the pages are there when memory is measured.
        let mut counts = vec![1; messages];
        counts.fill(0);
        Self { qos, counts, arrived: 0, excused: 0, highest: None, disordered: Vec::new(), damaged: 0 }
    }

    pub(crate) fn take(&mut self, text: &[u8]) {
        let number = number(text).filter(|number| *number < self.counts.len() && payload(self.qos, *number) == text);
        let Some(number) = number else {
            self.damaged += 1;
            return;
        };
        self.counts[number] = self.counts[number].saturating_add(1);
        if self.counts[number] == 1 {
            self.arrived += 1;
            if self.highest.is_some_and(|highest| highest > number) {
                self.disordered.push(number);
            }
            self.highest = self.highest.max(Some(number));
        }
    }

    /// How many have arrived, or are known not to.
    pub(crate) fn settled(&self) -> usize {
        self.arrived + self.excused
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.arrived == self.counts.len()
    }

    pub(crate) fn missing(&self) -> Vec<usize> {
        (0..self.counts.len()).filter(|number| self.counts[*number] == 0).collect()
    }

    pub(crate) fn repeated(&self) -> Vec<usize> {
        (0..self.counts.len()).filter(|number| self.counts[*number] > 1).collect()
    }
}

/// The payload of a message, which no other has: mostly some bytes, now and then more than a buffer holds.
pub(crate) fn payload(qos: u8, number: usize) -> Vec<u8> {
    let mut random = Random::new(number as u64);
    let len = match random.below(200) {
        0 => 8_000 + random.below(16_000),
        1..20 => random.below(1500),
        _ => random.below(64),
    };
    let mut payload = format!("{qos} {number} ").into_bytes();
    payload.extend((0..len).map(|at| b'a' + (at % 26) as u8));
    payload
}

fn number(payload: &[u8]) -> Option<usize> {
    let text = payload.get(2..)?;
    let digits = text.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
