//! What the notes of the child say, and what they say together.

use std::collections::{HashMap, HashSet};

use crate::child::Note;

/// What the notes of the child say.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) accepted: HashMap<u64, (u8, usize)>,
    durable: HashSet<u64>,
    /// The life in which each token has ended last.
    ended: HashMap<u64, usize>,
    lives: usize,
    restored: usize,
    /// Tokens that have ended, and were restored after that: in each life.
    told_again: Vec<usize>,
    life: Life,
    /// Outcomes that must have left the file.
    forgotten: HashSet<u64>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    pub(crate) subscribed: bool,
    pub(crate) done: bool,
}

/// What happens in one life before what. Callbacks come one after the other: where one writes a note, those before it
/// have returned. A message whose call comes after that is not in the file before their outcomes have left it.
#[derive(Default)]
struct Life {
    /// What an earlier life has left. It may end before that is noted.
    restored: HashSet<u64>,
    has_told_restored: bool,
    /// Tokens that have ended in this life and before.
    ended_again: Vec<u64>,
    /// The outcome that the last callback has told: it may still be at it.
    telling: Option<u64>,
    /// Outcomes whose callbacks have returned, in their order.
    returned: Vec<u64>,
    /// How many had before the call of the message that the child is about to publish, and of each that was accepted.
    before_next: usize,
    before: HashMap<u64, usize>,
    durable: HashSet<u64>,
    /// How many have left the file.
    forgotten: usize,
}

impl Told {
    pub(crate) fn take(&mut self, note: Note) {
        match note {
            Note::Accepted(qos, number, token) => {
                if self.accepted.insert(token, (qos, number)).is_some() {
                    self.wrong.push(format!("token {token} was given away twice"));
                }
                self.life.before.insert(token, self.life.before_next);
                self.forget_before(token);
            }
            Note::Durable(token) => {
                self.life.callback(None);
                self.durable.insert(token);
                self.life.durable.insert(token);
                self.forget_before(token);
            }
            Note::Restored(token) => self.take_restored(token),
            Note::Ended(token, well) => {
                self.life.callback(Some(token));
                match self.ended.insert(token, self.lives) {
                    Some(life) if life == self.lives => {
                        self.wrong.push(format!("token {token} has ended twice in one life"));
                    }
                    Some(_) if self.life.has_told_restored && !self.life.restored.contains(&token) => {
                        self.wrong.push(format!("token {token} has ended again without being restored"));
                    }
                    Some(_) => self.life.ended_again.push(token),
                    None => {}
                }
                if !well {
                    self.wrong.push(format!("token {token} was not acknowledged"));
                }
            }
            Note::Received(..) => self.life.callback(None),
            Note::Intends(..) => self.life.before_next = self.life.returned.len(),
            Note::Done => self.done = true,
            Note::Subscribed => {
                self.subscribed = true;
                self.life.has_told_restored = true;
                let Life { restored, ended_again, .. } = &self.life;
                for token in ended_again.iter().filter(|token| !restored.contains(token)) {
                    self.wrong.push(format!("token {token} has ended again without being restored"));
                }
            }
            Note::Life => {
                self.done = false;
                self.lives += 1;
                self.life = Life::default();
                self.told_again.push(0);
            }
        }
    }

    fn take_restored(&mut self, token: u64) {
        self.restored += 1;
        // It is in the file, whether or not that was told.
        self.durable.insert(token);
        self.life.restored.insert(token);
        let ended = self.ended.get(&token);
        let has_ended_before = ended.is_some_and(|life| *life < self.lives) || self.life.ended_again.contains(&token);
        if let Some(told_again) = self.told_again.last_mut().filter(|_| has_ended_before) {
            *told_again += 1;
        }
        if self.forgotten.contains(&token) {
            self.wrong.push(format!("token {token} is told again, though its outcome has left the file"));
        }
    }

    /// What has left the file with this message's coming to it.
    fn forget_before(&mut self, token: u64) {
        let Life { before, durable, returned, forgotten, .. } = &mut self.life;
        let Some(count) = before.get(&token).filter(|_| durable.contains(&token)) else { return };
        self.forgotten.extend(returned.get(*forgotten..*count).unwrap_or(&[]));
        *forgotten = (*forgotten).max(*count);
    }

    pub(crate) fn has_ended(&self, token: u64) -> bool {
        self.ended.contains_key(&token)
    }

    pub(crate) fn is_durable(&self, token: u64) -> bool {
        self.durable.contains(&token)
    }

    pub(crate) fn figures(&self, line: &mut impl FnMut(&str, String)) {
        let Self { accepted, durable, ended, told_again, restored, forgotten, .. } = self;
        line("messages", format!("{} accepted, {} told as durable", accepted.len(), durable.len()));
        let (all, most) = (told_again.iter().sum::<usize>(), told_again.iter().max().unwrap_or(&0));
        line(
            "tokens",
            format!("{restored} restored, {} ended, of {} known to have left the file", ended.len(), forgotten.len()),
        );
        line("told again", format!("{all}, at most {most} after a kill"));
    }
}

impl Life {
    /// A callback has begun; with an outcome, or something else.
    fn callback(&mut self, outcome: Option<u64>) {
        self.returned.extend(self.telling.take());
        self.telling = outcome;
    }
}
