//! A server that keeps to the standard and is as late and as unhelpful as that allows.

use std::collections::VecDeque;

use flowsdk::packet::{AckKind, Packet};
use flowsdk::types::QoS;

use crate::support::*;

/// Messages of the server that are not complete at a time.
pub(super) const MOST: u16 = 4;

#[derive(Default)]
pub(super) struct Server {
    /// Packets of the client that have arrived and were not looked at.
    inbox: VecDeque<String>,
    /// What the client awaits an answer to.
    pub(super) unanswered: Vec<(AckKind, u16)>,
    /// Its own messages, in the order of their first PUBLISH, those with a PUBREC in the order of it.
    publishes: Vec<Outgoing>,
    releases: Vec<Outgoing>,
}

struct Outgoing {
    id: u16,
    qos: QoS,
    payload: String,
    /// Sent on this connection.
    sent: bool,
    /// Sent on any connection.
    begun: bool,
}

/// What the server sends next.
pub(super) enum Next {
    Publish { id: u16, qos: QoS, payload: String, again: bool },
    Release(u16),
}

impl Next {
    pub(super) fn packet(&self) -> Packet<'_> {
        match self {
            Self::Publish { id, qos, payload, again: false } => incoming(*qos, *id, payload),
            Self::Publish { id, qos, payload, again: true } => repeated(*qos, *id, payload),
            Self::Release(id) => pubrel(*id),
        }
    }
}

impl Server {
    pub(super) fn receive(&mut self, packet: String) {
        self.inbox.push_back(packet);
    }

    /// Looks at so many packets.
    pub(super) fn read(&mut self, most: usize) {
        for packet in self.inbox.drain(..most.min(self.inbox.len())) {
            let words: Vec<_> = packet.split(' ').collect();
            let Ok(id) = words[1].parse::<u16>() else { continue };
            match (words[0], words.get(2)) {
                ("PUBLISH", Some(&"q1")) => self.unanswered.push((AckKind::Puback, id)),
                ("PUBLISH", _) => self.unanswered.push((AckKind::Pubrec, id)),
                ("PUBREL", _) => self.unanswered.push((AckKind::Pubcomp, id)),
                ("PUBREC", code) => {
                    let Some(at) = self.publishes.iter().position(|it| it.id == id) else { continue };
                    let message = self.publishes.remove(at);
                    if code.is_none() {
                        self.releases.push(Outgoing { sent: false, ..message });
                    }
                }
                ("PUBACK", _) => self.publishes.retain(|it| it.id != id),
                ("PUBCOMP", _) => self.releases.retain(|it| it.id != id),
                _ => panic!("{packet} of a client"),
            }
        }
    }

    /// Has another message for the client, if it may.
    pub(super) fn offer(&mut self, qos: QoS, payload: &str) {
        let used = |id: &u16| self.publishes.iter().chain(&self.releases).any(|it| it.id == *id);
        if let Some(id) = (1..=MOST).find(|id| !used(id)) {
            self.publishes.push(Outgoing { id, qos, payload: payload.to_owned(), sent: false, begun: false });
        }
    }

    /// Sends a packet, in its order.
    pub(super) fn next(&mut self) -> Option<Next> {
        if let Some(release) = self.releases.iter_mut().find(|it| !it.sent) {
            release.sent = true;
            return Some(Next::Release(release.id));
        }
        let publish = self.publishes.iter_mut().find(|it| !it.sent)?;
        let again = std::mem::replace(&mut publish.begun, true);
        publish.sent = true;
        Some(Next::Publish { id: publish.id, qos: publish.qos, payload: publish.payload.clone(), again })
    }

    /// What is on its way is lost.
    pub(super) fn cut(&mut self) {
        self.inbox.clear();
        self.unanswered.clear();
        self.publishes.iter_mut().chain(&mut self.releases).for_each(|it| it.sent = false);
    }

    pub(super) fn lose(&mut self) {
        self.publishes.clear();
        self.releases.clear();
    }

    pub(super) fn is_done(&self) -> bool {
        self.publishes.is_empty() && self.releases.is_empty() && self.unanswered.is_empty() && self.inbox.is_empty()
    }
}
