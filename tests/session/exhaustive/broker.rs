//! A small server of one client that keeps every rule and holds the client to each of its own.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;

use flowsdk::codec::Property;
use flowsdk::packet::{AckKind, Connect, Packet, Publish};
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

use super::ledger::{Ledger, Verdict, payload, require};
use super::world::Case;
use crate::support::*;

#[derive(Debug)]
pub(super) struct Broker {
    version: ProtocolVersion,
    receive_maximum: Option<NonZeroU16>,
    /// A CONNECT has come over this link.
    is_up: bool,
    /// How many messages the client takes at a time, by that CONNECT.
    client_maximum: usize,
    pub(super) has_session: bool,
    /// The packets on their way to the client.
    pub(super) down: VecDeque<Vec<u8>>,
    /// What the client has published.
    pub(super) received: Ledger,
    /// QoS 2 messages between PUBLISH and PUBREL.
    known: BTreeMap<u16, usize>,
    /// The message that each identifier was last used for.
    meaning: BTreeMap<u16, usize>,
    /// The last message of which this connection has brought a PUBLISH of QoS 1, one of QoS 2, and a PUBREL.
    last: [Option<usize>; 3],
    /// The QoS of the messages for the client, in their order.
    messages: Vec<QoS>,
    /// How many of them were offered.
    pub(super) offered: usize,
    /// Those that are not complete.
    outgoing: Vec<Outgoing>,
    /// The answers that the client owes on this connection.
    owed: Vec<(AckKind, u16)>,
}

#[derive(Debug)]
struct Outgoing {
    id: u16,
    index: usize,
    /// Its PUBREC has come.
    released: bool,
    /// It was sent before.
    begun: bool,
    /// It was sent on this connection: it takes a place in the Receive Maximum of the client.
    counts: bool,
}

impl Broker {
    pub(super) fn new(case: &Case) -> Self {
        Self {
            version: case.version,
            receive_maximum: NonZeroU16::new(case.receive_maximum),
            is_up: false,
            client_maximum: 0,
            has_session: false,
            down: VecDeque::new(),
            received: Ledger::new(&case.published),
            known: BTreeMap::new(),
            meaning: BTreeMap::new(),
            last: [None; 3],
            messages: case.offered.clone(),
            offered: 0,
            outgoing: Vec::new(),
            owed: Vec::new(),
        }
    }

    pub(super) fn cut(&mut self) {
        self.is_up = false;
        self.client_maximum = 0;
        self.outgoing.iter_mut().for_each(|it| it.counts = false);
        self.down.clear();
        self.owed.clear();
        self.last = [None; 3];
    }

    /// Loses the session. The messages in it have to reach the client all the same: they are sent anew. A client does
    /// not hear of the loss if that CONNACK is cut off, so what is between PUBLISH and PUBREL may come twice.
    pub(super) fn forget(&mut self, seen: &mut Ledger) {
        self.has_session = false;
        std::mem::take(&mut self.known).into_values().for_each(|index| self.received.allow_again(index));
        for it in &mut self.outgoing {
            seen.allow_again(it.index);
            (it.released, it.begun) = (false, false);
        }
    }

    pub(super) fn can_offer(&self) -> bool {
        self.offered < self.messages.len()
    }

    /// Has its next message for the client.
    pub(super) fn offer(&mut self) {
        let id = (1..).find(|id| self.outgoing.iter().all(|it| it.id != *id)).expect("an identifier");
        self.outgoing.push(Outgoing { id, index: self.offered, released: false, begun: false, counts: false });
        self.offered += 1;
        if self.is_up {
            self.send(self.outgoing.len() - 1);
        }
    }

    pub(super) fn check_done(&self) -> Verdict {
        require(!self.can_offer() && self.outgoing.is_empty(), || format!("the broker waits: {self:?}"))?;
        require(self.known.is_empty(), || format!("no PUBREL for {:?}", self.known))?;
        require(self.owed.is_empty(), || format!("never answered: {:?}", self.owed))?;
        self.received.check_done("the broker")
    }

    /// Takes one whole packet.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Verdict {
        let (packet, len) =
            Packet::decode(bytes, self.version, Role::Client).map_err(|e| format!("{e:?}"))?.ok_or("half a packet")?;
        require(len == bytes.len(), || "more than a packet".to_owned())?;
        require(self.is_up != matches!(packet, Packet::Connect(_)), || format!("{packet:?} at the wrong time"))?;
        match packet {
            Packet::Connect(connect) => self.resume(&connect),
            Packet::Publish(publish) => self.take_publish(&publish)?,
            Packet::Ack(ack) => self.take_ack(ack.kind, ack.packet_id.value(), ack.reason_code)?,
            Packet::Pingreq => self.say(&Packet::Pingresp),
            other => return Err(format!("{other:?} is an error of the client, or finds one here")),
        }
        Ok(())
    }

    fn say(&mut self, packet: &Packet<'_>) {
        self.down.push_back(encode(packet, self.version));
    }

    /// All that is not complete is sent again, in its order.
    fn resume(&mut self, connect: &Connect<'_>) {
        self.is_up = true;
        // It holds for this connection alone (section 3.1.2.11.3).
        let announced = connect.properties.iter().find_map(|property| match property {
            Property::ReceiveMaximum(maximum) => Some(maximum.get()),
            _ => None,
        });
        self.client_maximum = usize::from(announced.unwrap_or(u16::MAX));
        let maximum = self.receive_maximum.map(Property::ReceiveMaximum);
        self.say(&connack(self.has_session, maximum.as_slice()));
        self.has_session = true;
        (0..self.outgoing.len()).for_each(|nth| self.send(nth));
    }

    /// Sends PUBREL, or PUBLISH where the client takes another one. No other packet waits for that.
    fn send(&mut self, nth: usize) {
        let unanswered = self.outgoing.iter().filter(|it| it.counts).count();
        let it = &mut self.outgoing[nth];
        if it.released {
            let id = it.id;
            self.owed.push((AckKind::Pubcomp, id));
            return self.say(&pubrel(id));
        }
        // [MQTT-3.3.4-9]
        if unanswered >= self.client_maximum {
            return;
        }
        let (id, qos, text, begun) = (it.id, self.messages[it.index], payload(it.index), it.begun);
        (it.begun, it.counts) = (true, true);
        self.owed.push((if qos == AtLeastOnce { AckKind::Puback } else { AckKind::Pubrec }, id));
        self.say(&if begun { repeated(qos, id, &text) } else { incoming(qos, id, &text) });
    }

    fn take_publish(&mut self, publish: &Publish<'_>) -> Verdict {
        let (qos, id) = (publish.delivery.qos(), publish.delivery.packet_id().map_or(0, PacketId::value));
        let index = self.received.index_of(publish.payload, qos)?;
        self.in_order(usize::from(qos.bits()) - 1, index)?;
        // [MQTT-3.3.1-1]
        let is_again = self.received.has(index) && !self.received.is_allowed_again(index);
        require(publish.delivery.dup() || !is_again, || format!("message {index} comes again without DUP"))?;
        self.meaning.insert(id, index);
        if qos == AtLeastOnce {
            require(!self.known.contains_key(&id), || format!("the identifier {id} is in use"))?;
            self.received.note(index)?;
            self.say(&puback(id));
            return Ok(());
        }
        match self.known.insert(id, index) {
            Some(other) => require(other == index, || format!("the identifier {id} is in use"))?,
            None => self.received.note(index)?,
        }
        self.say(&pubrec(id));
        Ok(())
    }

    fn take_ack(&mut self, kind: AckKind, id: u16, code: ReasonCode) -> Verdict {
        if kind == AckKind::Pubrel {
            let index = *self.meaning.get(&id).ok_or_else(|| format!("PUBREL {id} for no message"))?;
            self.in_order(2, index)?;
            let byte = if self.known.remove(&id).is_none() && self.version.is_v5() { 0x92 } else { 0 };
            self.say(&ack_with(AckKind::Pubcomp, id, byte));
            return Ok(());
        }
        // Each is owed once; PUBACK and PUBREC in the order of the messages [MQTT-4.6.0-2] [MQTT-4.6.0-3].
        let owed = self.owed.iter().position(|(of, owed)| *of == kind && (kind != AckKind::Pubcomp || *owed == id));
        let owed = owed.filter(|nth| self.owed[*nth].1 == id).ok_or_else(|| format!("{kind:?} {id} is not owed"))?;
        self.owed.remove(owed);
        // The client need not know any more what it has completed.
        let is_fine = code == ReasonCode::SUCCESS || kind == AckKind::Pubcomp && code.byte() == 0x92;
        require(is_fine, || format!("{kind:?} {id} says {code:?}"))?;
        if kind == AckKind::Pubrec {
            let nth = self.outgoing.iter().position(|it| it.id == id).expect("what is owed is open");
            self.outgoing[nth].released = true;
            self.send(nth);
        } else {
            self.outgoing.retain(|it| it.id != id);
            let waits = |nth: &usize| !self.outgoing[*nth].released && !self.outgoing[*nth].counts;
            let next = (0..self.outgoing.len()).find(waits);
            next.into_iter().for_each(|nth| self.send(nth));
        }
        Ok(())
    }

    /// On one connection the messages of a QoS come in their order, and so do PUBRELs [MQTT-4.6.0-1] [MQTT-4.6.0-4].
    fn in_order(&mut self, line: usize, index: usize) -> Verdict {
        let before = self.last[line].replace(index);
        let is_in_order = before.is_none_or(|before| before < index) || !self.received.is_ordered;
        require(is_in_order, || format!("message {index} behind {before:?} on one connection"))
    }
}
