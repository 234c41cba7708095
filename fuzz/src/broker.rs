//! A server of one client: enough of a broker to lose nothing that it has answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use flowsdk::codec::{Properties, Property};
use flowsdk::packet::{Ack, AckKind, Connack, Connect, Delivery, Packet, Publish, Suback, Unsuback};
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

use crate::support::encode;

/// A message by its number; its topic follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) number: u32,
    pub(crate) qos: QoS,
}

impl Numbered {
    pub(crate) fn topic(self) -> &'static str {
        ["t", "a topic", "another topic"][self.number as usize % 3]
    }

    pub(crate) fn payload(self) -> Vec<u8> {
        let mut payload = self.number.to_string().into_bytes();
        // Some are longer than a small receive limit.
        payload.resize(if self.number.is_multiple_of(4) { 50 } else { 4 }, b' ');
        payload
    }

    /// Reads a message back; one that was mangled on its way is found here.
    pub(crate) fn read(topic: &str, payload: &[u8], qos: QoS) -> Self {
        let text = std::str::from_utf8(payload).expect("text");
        let this = Self { number: text.trim_end().parse().expect("a number"), qos };
        assert_eq!((this.topic(), &this.payload()[..]), (topic, payload));
        this
    }
}

pub(crate) struct Broker {
    version: ProtocolVersion,
    /// How many messages of QoS 1 and 2 it takes at a time.
    receive_maximum: u16,
    aliases: u16,
    session: Option<State>,
    link: Option<Link>,
    /// What has arrived, once for each time the broker passed it on.
    pub(crate) delivered: Vec<Numbered>,
    /// Answers are kept back for a while.
    pub(crate) is_slow: bool,
    has_forgotten: bool,
    /// The session was thrown away, and the CONNACK that said so was lost: by the next one, which says that there is a
    /// session, the client takes the new one for its own. No client can tell.
    pub(crate) was_confused: bool,
}

/// What outlives a connection.
#[derive(Default)]
struct State {
    /// QoS 2 messages that were passed on and not released.
    received: BTreeSet<PacketId>,
    outbound: VecDeque<Outbound>,
    last_id: u16,
    /// The client has said something behind the CONNECT that began it.
    is_confirmed: bool,
}

struct Outbound {
    packet_id: PacketId,
    message: Numbered,
    is_sent: bool,
    was_sent: bool,
    is_received: bool,
}

#[derive(Default)]
struct Link {
    input: Vec<u8>,
    output: Vec<u8>,
    kept_back: VecDeque<Vec<u8>>,
    /// Messages whose answer is kept back.
    unanswered: usize,
    is_accepted: bool,
    client_maximum: usize,
    client_aliases: u16,
    /// The aliases that the client knows.
    aliased: BTreeSet<NonZeroU16>,
    topics: BTreeMap<u16, String>,
    has_ended: bool,
}

impl Broker {
    pub(crate) fn new(version: ProtocolVersion, receive_maximum: u16, aliases: u16) -> Self {
        Self {
            version,
            receive_maximum,
            aliases,
            session: None,
            link: None,
            delivered: Vec::new(),
            is_slow: false,
            has_forgotten: false,
            was_confused: false,
        }
    }

    pub(crate) fn open(&mut self) {
        self.link = Some(Link::default());
    }

    pub(crate) fn close(&mut self) {
        self.link = None;
        for item in self.session.iter_mut().flat_map(|session| &mut session.outbound) {
            item.is_sent = false;
        }
    }

    /// The session is thrown away, if the client is not there.
    pub(crate) fn forget(&mut self) -> bool {
        let forgets = self.link.is_none() && self.session.take().is_some();
        self.has_forgotten |= forgets;
        forgets
    }

    /// Accepts a message for the client; `false` while there is no session.
    pub(crate) fn publish(&mut self, message: Numbered) -> bool {
        let Some(session) = &mut self.session else { return false };
        let Some(packet_id) = session.unused_id() else { return false };
        let (is_sent, was_sent, is_received) = (false, false, false);
        session.outbound.push_back(Outbound { packet_id, message, is_sent, was_sent, is_received });
        true
    }

    pub(crate) fn is_done(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.outbound.is_empty())
    }

    /// Takes bytes of the client.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let Some(link) = &mut self.link else { return };
        link.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut link.input);
        let mut rest = &input[..];
        while let Some((packet, len)) = Packet::decode(rest, self.version, Role::Client).expect("valid packets") {
            self.handle(packet);
            rest = &rest[len..];
        }
        if let Some(link) = &mut self.link {
            link.input = rest.to_vec();
        }
    }

    /// What goes to the client.
    pub(crate) fn give(&mut self) -> Vec<u8> {
        let Some(link) = &mut self.link else { return Vec::new() };
        if !self.is_slow {
            link.output.extend(link.kept_back.drain(..).flatten());
            link.unanswered = 0;
        }
        if link.is_accepted && !link.has_ended {
            self.send();
        }
        self.link.as_mut().map(|link| std::mem::take(&mut link.output)).unwrap_or_default()
    }

    fn handle(&mut self, packet: Packet<'_>) {
        let Some(link) = &mut self.link else { return };
        assert!(!link.has_ended, "{packet:?} behind DISCONNECT");
        assert_eq!(matches!(packet, Packet::Connect(_)), !link.is_accepted, "{packet:?}");
        if let Some(session) = self.session.as_mut().filter(|_| link.is_accepted) {
            session.is_confirmed = true;
        }
        match packet {
            Packet::Connect(connect) => self.handle_connect(&connect),
            Packet::Publish(publish) => self.handle_publish(&publish),
            Packet::Ack(ack) => self.handle_ack(ack),
            Packet::Subscribe(packet) => {
                let codes = vec![0; packet.subscriptions.iter().count()];
                let properties = Properties::EMPTY;
                self.answer(&Packet::Suback(Suback { packet_id: packet.packet_id, codes: &codes, properties }));
            }
            Packet::Unsubscribe(packet) => {
                let count = if self.version.is_v5() { packet.filters.iter().count() } else { 0 };
                let (codes, properties) = (vec![0; count], Properties::EMPTY);
                self.answer(&Packet::Unsuback(Unsuback { packet_id: packet.packet_id, codes: &codes, properties }));
            }
            Packet::Pingreq => self.answer(&Packet::Pingresp),
            Packet::Disconnect(_) => link.has_ended = true,
            other => panic!("{other:?}"),
        }
    }

    fn handle_connect(&mut self, connect: &Connect<'_>) {
        assert_eq!(connect.version, self.version);
        let Some(link) = &mut self.link else { return };
        link.is_accepted = true;
        // A client of v3.1.1 cannot say how much it takes.
        link.client_maximum = if self.version.is_v5() { usize::from(u16::MAX) } else { 1 };
        for property in &connect.properties {
            match property {
                Property::ReceiveMaximum(maximum) => link.client_maximum = maximum.get().into(),
                Property::TopicAliasMaximum(maximum) => link.client_aliases = maximum,
                _ => {}
            }
        }
        let session_present = self.session.is_some() && !connect.clean_start;
        let is_new_to_client = self.session.as_ref().is_some_and(|session| !session.is_confirmed);
        self.was_confused |= session_present && self.has_forgotten && is_new_to_client;
        if !session_present {
            self.session = Some(State::default());
        }
        let maximum = NonZeroU16::new(self.receive_maximum).map(Property::ReceiveMaximum);
        let list: Vec<_> = maximum.into_iter().chain([Property::TopicAliasMaximum(self.aliases)]).collect();
        let properties = if self.version.is_v5() { Properties::new(&list) } else { Properties::EMPTY };
        let reason_code = ReasonCode::SUCCESS;
        self.say(&Packet::Connack(Connack { session_present, reason_code, properties }));
    }

    fn handle_publish(&mut self, publish: &Publish<'_>) {
        let (Some(link), Some(session)) = (&mut self.link, &mut self.session) else { return };
        if let (Some(alias), name) = (publish.topic_alias(), publish.topic) {
            assert!(alias <= self.aliases, "alias {alias} of {}", self.aliases);
            if !name.is_empty() {
                link.topics.insert(alias, name.to_owned());
            }
        }
        let topic = match publish.topic {
            "" => publish.topic_alias().and_then(|alias| link.topics.get(&alias)).expect("a known alias").clone(),
            name => name.to_owned(),
        };
        let message = Numbered::read(&topic, publish.payload, publish.delivery.qos());
        let Some(packet_id) = publish.delivery.packet_id() else {
            self.delivered.push(message);
            return;
        };
        let is_repeated = self.delivered.contains(&message);
        assert!(publish.delivery.dup() || !is_repeated, "{message:?} comes again without DUP [MQTT-3.3.1-1]");
        link.unanswered += 1;
        let most = if self.version.is_v5() { self.receive_maximum } else { u16::MAX };
        assert!(link.unanswered <= most.into(), "more than {most} messages without an answer");
        let kind = if message.qos == QoS::ExactlyOnce { AckKind::Pubrec } else { AckKind::Puback };
        if kind == AckKind::Puback || session.received.insert(packet_id) {
            self.delivered.push(message);
        }
        self.answer(&Packet::Ack(Ack::new(kind, packet_id, ReasonCode::SUCCESS)));
    }

    fn handle_ack(&mut self, ack: Ack<'_>) {
        let Some(session) = &mut self.session else { return };
        let failed = ack.reason_code.is_error();
        match ack.kind {
            AckKind::Pubrel => {
                session.received.remove(&ack.packet_id);
                self.answer(&Packet::Ack(Ack::new(AckKind::Pubcomp, ack.packet_id, ReasonCode::SUCCESS)));
                return;
            }
            AckKind::Pubrec if !failed => {
                let item = session.outbound.iter_mut().find(|item| item.packet_id == ack.packet_id);
                let item = item.expect("an exchange that was begun");
                assert_eq!(item.message.qos, QoS::ExactlyOnce);
                item.is_received = true;
                self.answer(&Packet::Ack(Ack::new(AckKind::Pubrel, ack.packet_id, ReasonCode::SUCCESS)));
                return;
            }
            AckKind::Puback | AckKind::Pubrec | AckKind::Pubcomp => {}
        }
        let at = session.outbound.iter().position(|item| item.packet_id == ack.packet_id && item.is_sent);
        let item = session.outbound.remove(at.expect("an exchange that was begun")).expect("it is there");
        assert_eq!(item.message.qos == QoS::AtLeastOnce, ack.kind == AckKind::Puback, "{ack:?}");
        assert_eq!(item.is_received, ack.kind == AckKind::Pubcomp, "{ack:?}");
    }

    /// Sends what the client's window has room for, in the order of publishing; first what was sent before.
    fn send(&mut self) {
        let Some(mut session) = self.session.take() else { return };
        let maximum = self.link.as_ref().map_or(0, |link| link.client_maximum);
        for item in session.outbound.iter_mut().take(maximum) {
            if std::mem::replace(&mut item.is_sent, true) {
                continue;
            }
            if item.is_received {
                self.say(&Packet::Ack(Ack::new(AckKind::Pubrel, item.packet_id, ReasonCode::SUCCESS)));
            } else {
                self.say_publish(item);
            }
            item.was_sent = true;
        }
        self.session = Some(session);
    }

    fn say_publish(&mut self, item: &Outbound) {
        let Outbound { packet_id, message, was_sent: dup, .. } = *item;
        let delivery = match message.qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
        };
        let Some(link) = &mut self.link else { return };
        // The first topic has none.
        let alias = u16::try_from(message.number % 3).ok().filter(|alias| *alias <= link.client_aliases);
        let alias = alias.and_then(NonZeroU16::new);
        let is_known = alias.is_some_and(|alias| !link.aliased.insert(alias));
        let alias = alias.map(Property::TopicAlias);
        let topic = if is_known { "" } else { message.topic() };
        let (payload, properties) = (message.payload(), Properties::new(alias.as_slice()));
        self.say(&Packet::Publish(Publish { topic, payload: &payload, retain: false, delivery, properties }));
    }

    fn say(&mut self, packet: &Packet<'_>) {
        if let Some(link) = &mut self.link {
            link.output.extend(encode(packet, self.version));
        }
    }

    fn answer(&mut self, packet: &Packet<'_>) {
        if let Some(link) = &mut self.link {
            link.kept_back.push_back(encode(packet, self.version));
        }
    }
}

impl State {
    fn unused_id(&mut self) -> Option<PacketId> {
        // Few identifiers, so that they come again soon.
        for _ in 0..20 {
            self.last_id = self.last_id % 20 + 1;
            let id = PacketId::new(self.last_id)?;
            if self.outbound.iter().all(|item| item.packet_id != id) {
                return Some(id);
            }
        }
        None
    }
}
