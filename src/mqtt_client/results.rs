//! Results that travel together.

use super::client::{Outcome, PublishResult};
use super::token::Token;
use crate::types::{PacketId, QoS};

/// Messages of one QoS with consecutive tokens that have ended alike.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) qos: QoS,
    /// The first one, and how many there are.
    pub(super) token: Token,
    pub(super) count: usize,
    pub(super) outcome: Outcome,
    /// Of those that the server has acknowledged, whose identifiers are consecutive, too: the first and the last one.
    pub(super) packet_ids: Option<(PacketId, PacketId)>,
}

impl Results {
    /// Adds messages that the server has acknowledged if they go on where these end; whether they do.
    pub(super) fn add(&mut self, token: Token, qos: QoS, packet_id: PacketId, count: u16) -> bool {
        let Some((_, last)) = &mut self.packet_ids else { return false };
        let goes_on = qos == self.qos && token.0 == self.token.0 + self.count as u64 && packet_id == last.next();
        if goes_on {
            (*last, self.count) = (packet_id.after(count - 1), self.count + usize::from(count));
        }
        goes_on
    }

    /// Takes out the first message.
    #[inline]
    pub(super) fn take(&mut self) -> PublishResult {
        let token = self.token;
        (self.token.0, self.count) = (token.0 + 1, self.count.saturating_sub(1));
        match &mut self.packet_ids {
            Some((packet_id, _)) => {
                let result = PublishResult::acknowledged(token, self.qos, *packet_id);
                *packet_id = packet_id.next();
                result
            }
            None => PublishResult { outcome: self.outcome, ..PublishResult::cancelled(token, self.qos.bits()) },
        }
    }
}
