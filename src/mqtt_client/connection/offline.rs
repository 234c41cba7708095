//! What waits for a connection, and its bounds.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::Connection;
use crate::mqtt_client::client::{DropCause, Outcome};
use crate::mqtt_client::command::Publishing;
use crate::mqtt_client::offline::Overflow;
use crate::packet::Packet;
use crate::types::{ProtocolVersion, Role};

impl Connection {
    /// Without a connection messages are kept within bounds, or not at all.
    pub(super) fn bound_pending(&mut self) {
        if self.session.is_connected() || self.drain.is_some() {
            return;
        }
        if !self.config.buffer_messages {
            if !self.wanted {
                self.drop_pending_while(|_| true, Overflow::DropOldest, DropCause::NotConnected);
            }
            return;
        }
        let mut has_new = false;
        for publishing in self.pending.newest_first().take_while(|publishing| publishing.in_queue) {
            publishing.in_queue = false;
            has_new = true;
            self.freed.add(publishing.frame.len());
            self.next_expiry = earlier(self.next_expiry, publishing.expires_at());
        }
        if self.next_expiry.is_some_and(|at| self.now >= at) {
            self.drop_expired();
        }
        if has_new && self.options.offline.latest_per_topic {
            self.drop_superseded();
        }
        if self.options.offline.overflow == Overflow::Refuse {
            return;
        }
        // What an earlier life has left is kept, however little the buffer takes now.
        let count = self.config.max_buffer_size.max(self.restored.count);
        let bytes = self.options.limits.buffer_bytes.max(self.restored.bytes);
        self.drop_pending_while(
            |connection| {
                connection.pending.len() > count || (connection.pending.bytes() > bytes && connection.pending.len() > 1)
            },
            self.options.offline.overflow,
            DropCause::BufferFull,
        );
    }

    /// When the next message leaves the buffer by itself.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let is_kept = !self.session.is_connected() && self.drain.is_none() && self.config.buffer_messages;
        self.next_expiry.filter(|_| is_kept)
    }

    fn drop_pending_while(&mut self, too_much: impl Fn(&Self) -> bool, overflow: Overflow, cause: DropCause) {
        while too_much(self) {
            let publishing = match overflow {
                Overflow::DropNewest => self.pending.pop_back(),
                Overflow::DropOldest | Overflow::Refuse => self.pending.pop_front(),
            };
            let Some(publishing) = publishing else { return };
            self.give_up_pending(publishing, Outcome::Dropped(cause));
        }
    }

    fn drop_expired(&mut self) {
        self.next_expiry = None;
        for publishing in self.pending.drain() {
            if publishing.has_expired(self.now) {
                self.give_up_pending(publishing, Outcome::Expired);
            } else {
                self.next_expiry = earlier(self.next_expiry, publishing.expires_at());
                self.pending.push_back(publishing);
            }
        }
    }

    /// Keeps the newest message of each topic, in its place.
    fn drop_superseded(&mut self) {
        let version = self.options.protocol.version;
        let (mut topics, mut superseded) = (HashSet::new(), VecDeque::new());
        for publishing in self.pending.drain().into_iter().rev() {
            if topics.insert(topic(&publishing, version)) {
                self.pending.push_front(publishing);
            } else {
                superseded.push_front(publishing);
            }
        }
        for publishing in superseded {
            self.give_up_pending(publishing, Outcome::Dropped(DropCause::Superseded));
        }
    }

    fn give_up_pending(&mut self, publishing: Publishing, outcome: Outcome) {
        self.leave_pending(&publishing, publishing.frame.len());
        self.finish_publish(publishing, None, outcome);
    }
}

impl Publishing {
    pub(in crate::mqtt_client) fn expires_at(&self) -> Option<Instant> {
        let expiry = self.expiry?;
        expiry.since.checked_add(Duration::from_secs(u64::from(expiry.seconds)))
    }
}

fn topic(publishing: &Publishing, version: ProtocolVersion) -> String {
    match Packet::decode(&publishing.frame, version, Role::Client) {
        Ok(Some((Packet::Publish(publish), _))) => publish.topic.to_string(),
        _ => String::new(),
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
