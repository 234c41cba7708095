//! The worker's end: what changes in its turn, and who waits for it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::ended::{Ended, Settled, Telling};
use super::file::StoreFile;
use super::keeper::{Keeper, News};
use super::options::InboundStorage;
use super::record::{Kept, Op, Restored, deadline};
use crate::mqtt_client::command::Publishing;
use crate::mqtt_client::error::ClientError;
use crate::mqtt_client::hub::NoteEnd;
use crate::mqtt_client::shared::Shared;
use crate::mqtt_client::threads::spawn;
use crate::mqtt_client::token::{Durably, Token};
use crate::session::Change;
use crate::types::PacketId;

/// What changes, until it is in the file.
pub(in crate::mqtt_client) struct Journal {
    keeper: Arc<Keeper>,
    inbound: InboundStorage,
    ops: Vec<Op>,
    batch: Batch,
    /// Batches that are on their way.
    on_their_way: VecDeque<(u64, Batch)>,
    /// The last batch that was handed over.
    last_batch: u64,
    durable: u64,
    /// Messages that are not in the file.
    unsaved: HashSet<Token>,
    next_place: u64,
}

/// What waits for a batch.
#[derive(Default)]
struct Batch {
    /// Messages that were accepted, and those who wait for them.
    accepted: Vec<Token>,
    waiting: Vec<Durably>,
    /// Messages that have ended.
    ended: Vec<Ended>,
}

impl Journal {
    /// Keeps changes in a file, by a thread of its own. Where outcomes are `heard_later`, the end of the client does
    /// not wait for that.
    pub(in crate::mqtt_client) fn start(
        file: StoreFile,
        restored: &Restored,
        inbound: InboundStorage,
        shared: &Arc<Shared>,
        heard_later: bool,
    ) -> Result<Self, ClientError> {
        let keeper = Arc::<Keeper>::default();
        let (kept, shared) = (Arc::clone(&keeper), Arc::clone(shared));
        let end = NoteEnd::store(&shared.end);
        let run = move || {
            let linger = || {
                if heard_later {
                    shared.end.note(|ended| ended.lingers = true);
                }
            };
            kept.run(file, || shared.wake(), linger);
            drop(end);
        };
        spawn("mqtt-store", Box::new(run)).map_err(|error| ClientError::Start(error.to_string()))?;
        Ok(Self {
            keeper,
            inbound,
            ops: Vec::new(),
            batch: Batch::default(),
            on_their_way: VecDeque::new(),
            last_batch: 0,
            durable: 0,
            unsaved: HashSet::new(),
            next_place: restored.next_place,
        })
    }

    /// A message was accepted.
    pub(in crate::mqtt_client) fn accept(&mut self, publishing: &Publishing, now: Instant) {
        let left = publishing.expires_at().map(|at| at.saturating_duration_since(now));
        let deadline = left.map_or(0, |left| deadline(SystemTime::now(), left));
        let kept = Kept { place: self.place(), deadline, frame: publishing.frame.clone() };
        self.ops.push(Op::Keep(publishing.token, kept));
        self.unsaved.insert(publishing.token);
        self.batch.accepted.push(publishing.token);
        self.batch.waiting.extend(publishing.tracked.as_ref().map(|promise| promise.durably()));
    }

    /// The session has a message.
    pub(in crate::mqtt_client) fn assign(&mut self, token: Token, packet_id: PacketId) {
        self.ops.push(Op::Assign(token, packet_id));
    }

    /// A message was taken back from a session that is gone.
    pub(in crate::mqtt_client) fn take_back(&mut self, token: Token) {
        self.ops.push(Op::TakeBack(token));
    }

    /// A message has come to its outcome.
    pub(in crate::mqtt_client) fn end(&mut self, ended: Ended) {
        self.ops.push(Op::End(ended.result.token, ended.result.to_bytes()));
        self.batch.ended.push(ended);
    }

    /// Its outcome goes to the application.
    pub(in crate::mqtt_client) fn tell(&self, token: Token, is_tracked: bool) -> (Telling, Option<Telling>) {
        self.keeper.tell(token, is_tracked)
    }

    /// What the session has done. `token_of` finds the message of an identifier.
    pub(in crate::mqtt_client) fn note(&mut self, change: Change, token_of: impl FnOnce(PacketId) -> Option<Token>) {
        let op = match change {
            Change::Released(packet_id) => match token_of(packet_id) {
                Some(token) => Op::Release(token, packet_id, self.place()),
                None => return,
            },
            Change::Received(packet_id) => Op::Received(packet_id),
            Change::Completed(packet_id) => Op::Completed(packet_id),
            Change::Cleared => Op::Cleared,
        };
        self.ops.push(op);
    }

    /// Whether there is something for the batch in the making.
    pub(in crate::mqtt_client) fn has_changes(&self) -> bool {
        !self.ops.is_empty()
    }

    /// Hands the batch over.
    pub(in crate::mqtt_client) fn submit(&mut self, batch: u64) {
        self.keeper.submit(&mut self.ops, batch);
        self.last_batch = batch;
        self.on_their_way.push_back((batch, std::mem::take(&mut self.batch)));
    }

    /// What has become durable, and whoever waits at a tracked call for that hears of it.
    pub(in crate::mqtt_client) fn take_durable(&mut self) -> Settled {
        let News { durable, error } = self.keeper.news();
        let has_changed = std::mem::replace(&mut self.durable, durable) != durable;
        let mut settled = Settled { batch: has_changed.then_some(durable), ..Default::default() };
        settled.error = error.map(Into::into);
        while self.on_their_way.front().is_some_and(|(batch, _)| *batch <= durable)
            && let Some((_, batch)) = self.on_their_way.pop_front()
        {
            for token in &batch.accepted {
                self.unsaved.remove(token);
            }
            settled.tokens.extend(batch.accepted);
            settled.ended.extend(batch.ended);
            batch.waiting.into_iter().for_each(Durably::tell);
        }
        settled
    }

    /// The messages whose outcome is not in the file: nobody waits for that any more.
    pub(in crate::mqtt_client) fn take_unsettled(&mut self) -> Vec<Ended> {
        let on_their_way = self.on_their_way.iter_mut().map(|(_, batch)| batch);
        on_their_way.chain([&mut self.batch]).flat_map(|batch| std::mem::take(&mut batch.ended)).collect()
    }

    /// Whether everything is in the file.
    pub(in crate::mqtt_client) fn is_settled(&self) -> bool {
        self.ops.is_empty() && self.durable == self.last_batch
    }

    /// Gives up what is not in the file, if the disk fails; whether it does.
    pub(in crate::mqtt_client) fn give_up_if_failing(&self) -> bool {
        self.keeper.close_if_failing()
    }

    /// Whether a message of QoS 1 or 2 is in the file.
    pub(in crate::mqtt_client) fn has(&self, token: Token) -> bool {
        !self.unsaved.contains(&token)
    }

    /// Whether messages of QoS 2 wait for the file before the application sees them.
    pub(in crate::mqtt_client) fn holds_up_messages(&self) -> bool {
        self.inbound == InboundStorage::IdFirst
    }

    fn place(&mut self) -> u64 {
        self.next_place += 1;
        self.next_place - 1
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.keeper.close();
    }
}
