//! The session, the broker, the link between them and the application: all that a state consists of.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::hash::{DefaultHasher, Hash, Hasher};

use flowsdk::packet::{AckKind, Packet};
use flowsdk::session::{
    Acknowledgement, Config, ConnectOptions, DropReason, Event, Message, Published, Receipt, Session, Storage,
};
use flowsdk::time::Instant;
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

use super::broker::Broker;
use super::ledger::{Ledger, Verdict, payload, require};
use crate::support::*;

/// What is searched: the messages of both directions, and how much may go wrong.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) version: ProtocolVersion,
    pub(super) acknowledgement: Acknowledgement,
    pub(super) published: Vec<QoS>,
    pub(super) offered: Vec<QoS>,
    pub(super) cuts: u8,
    pub(super) losses: u8,
    /// What the server says in CONNACK; 0 for nothing.
    pub(super) receive_maximum: u16,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The session takes the next packet that is on its way to it.
    Receive,
    /// The broker takes the next packet that is on its way to it.
    Serve,
    /// The application acknowledges the oldest message that waits for it, or the newest.
    AcknowledgeOldest,
    AcknowledgeNewest,
    /// The transport takes a packet, or the rest of it.
    Transmit,
    /// A new link, and a CONNECT.
    Connect,
    /// The application publishes its next message.
    Publish,
    /// The broker has its next message for the client.
    Offer,
    /// The transport takes half a packet.
    TransmitHalf,
    /// The link breaks, with all that is on it.
    Cut,
    /// The link swallows all that the session has to send, until the session finds out by its clock.
    TimeOut,
    /// The broker loses the session, between two connections.
    Forget,
}

impl Action {
    /// Those that bring the exchanges on stand in front.
    pub(super) const ALL: [Self; 12] = [
        Self::Receive,
        Self::Serve,
        Self::AcknowledgeOldest,
        Self::AcknowledgeNewest,
        Self::Transmit,
        Self::Connect,
        Self::Publish,
        Self::Offer,
        Self::TransmitHalf,
        Self::Cut,
        Self::TimeOut,
        Self::Forget,
    ];

    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }

    const fn brings_on(self) -> bool {
        (self as u16) < Self::TransmitHalf as u16
    }
}

pub(super) struct World<S: Storage> {
    case: Case,
    now: Instant,
    session: Session<S>,
    broker: Broker,
    app: Application,
    link: Option<Link>,
    cuts: u8,
    losses: u8,
    /// Of all that the session has sent and reported.
    trace: DefaultHasher,
}

#[derive(Debug, Default)]
struct Link {
    /// What the session has shown and the transport has not taken.
    polled: Vec<u8>,
    /// The half of a packet that the transport has taken.
    half: Vec<u8>,
    /// The packets on their way to the broker.
    up: VecDeque<Vec<u8>>,
    /// The messages that it has brought to the broker and whose last answer has not come.
    unanswered: Vec<u16>,
}

#[derive(Debug)]
struct Application {
    /// How many messages it has published.
    published: usize,
    /// Identifiers of messages without an outcome.
    open: Vec<(u16, usize)>,
    seen: Ledger,
    receipts: VecDeque<(QoS, Receipt)>,
}

impl<S: Storage> World<S>
where
    Session<S>: Debug,
{
    pub(super) fn new(case: &Case, storage: S) -> Self {
        let config = Config { version: case.version, acknowledgement: case.acknowledgement, ..Config::DEFAULT };
        let seen = Ledger::new(&case.offered);
        Self {
            case: case.clone(),
            now: Instant::from_millis(0),
            session: Session::new(config, storage),
            broker: Broker::new(case),
            app: Application { published: 0, open: Vec::new(), seen, receipts: VecDeque::new() },
            link: None,
            cuts: case.cuts,
            losses: case.losses,
            trace: DefaultHasher::new(),
        }
    }

    /// Two states that agree in this agree in all that can happen to them. Storage and machine show all but the bytes
    /// of their packets: those of the wire are in the link, and those of a held message follow from its length.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut text = Hashed(DefaultHasher::new());
        let Self { now, session, broker, app, link, cuts, losses, .. } = self;
        let state: [&dyn Debug; 7] = [now, session, broker, app, link, cuts, losses];
        state.iter().try_for_each(|part| write!(text, "{part:?};")).expect("a hash takes everything");
        text.0.finish()
    }

    /// The actions that are possible. It polls the session.
    pub(super) fn enabled(&mut self) -> u16 {
        let can_transmit = self.poll();
        Action::ALL.into_iter().filter(|action| self.is_enabled(*action, can_transmit)).map(Action::bit).sum()
    }

    fn is_enabled(&self, action: Action, can_transmit: bool) -> bool {
        let may_cut = self.link.is_some() && self.cuts > 0;
        let half = self.link.as_ref().is_some_and(|link| !link.half.is_empty());
        match action {
            Action::Receive => !self.broker.down.is_empty(),
            Action::Serve => self.link.as_ref().is_some_and(|link| !link.up.is_empty()),
            Action::AcknowledgeOldest => !self.app.receipts.is_empty(),
            Action::AcknowledgeNewest => self.app.receipts.len() > 1,
            Action::Transmit => can_transmit,
            // Half a packet only matters to a cut.
            Action::TransmitHalf => can_transmit && !half && may_cut,
            Action::Connect => self.link.is_none(),
            Action::Publish => self.app.published < self.case.published.len(),
            Action::Offer => self.broker.can_offer(),
            Action::Cut | Action::TimeOut => may_cut,
            Action::Forget => self.link.is_none() && self.losses > 0 && self.broker.has_session,
        }
    }

    pub(super) fn apply(&mut self, action: Action) -> Verdict {
        match action {
            Action::Receive => self.receive()?,
            Action::Serve => {
                let packet = self.link.as_mut().and_then(|link| link.up.pop_front()).expect("a packet");
                self.broker.take(&packet)?;
            }
            Action::AcknowledgeOldest | Action::AcknowledgeNewest => {
                let receipts = &mut self.app.receipts;
                let next = if action == Action::AcknowledgeOldest { receipts.pop_front() } else { receipts.pop_back() };
                let (_, receipt) = next.expect("a receipt");
                let result = self.session.acknowledge(self.now, receipt, ReasonCode::SUCCESS);
                result.map_err(|misuse| format!("{receipt:?}: {misuse:?}"))?;
            }
            Action::Transmit => self.transmit(false)?,
            Action::TransmitHalf => self.transmit(true)?,
            Action::Connect => self.connect()?,
            Action::Publish => {
                let index = self.app.published;
                self.app.published += 1;
                self.publish(index)?;
            }
            Action::Offer => self.broker.offer(),
            Action::Cut => self.cut(),
            Action::TimeOut => self.time_out()?,
            Action::Forget => {
                self.losses -= 1;
                self.broker.forget(&mut self.app.seen);
            }
        }
        Ok(())
    }

    /// Brings everything to its end, and says what the session has done on the way.
    pub(super) fn drain(&mut self) -> Verdict<u64> {
        for _ in 0..500 {
            let enabled = self.enabled();
            let next = Action::ALL.into_iter().find(|it| it.brings_on() && enabled & it.bit() != 0);
            let Some(action) = next else {
                self.check_done()?;
                self.fingerprint().hash(&mut self.trace);
                return Ok(self.trace.finish());
            };
            self.apply(action).map_err(|wrong| format!("{wrong}, in {action:?} at its end"))?;
        }
        Err("it does not come to an end".to_owned())
    }

    /// From here on the trace counts.
    pub(super) fn begin_trace(&mut self) {
        self.trace = DefaultHasher::new();
    }

    fn check_done(&self) -> Verdict {
        self.broker.check_done()?;
        self.app.seen.check_done("the application")?;
        require(self.app.open.is_empty(), || format!("no outcome of {:?}", self.app.open))?;
        require(self.session.is_connected(), || "not connected".to_owned())?;
        let quota = self.session.send_quota();
        let whole = if self.case.receive_maximum > 0 { self.case.receive_maximum } else { u16::MAX };
        require(quota == whole, || format!("the session waits: {:?}", self.session))
    }

    fn publish(&mut self, index: usize) -> Verdict {
        let text = payload(index);
        let message = message(self.case.published[index], &text);
        let id = self.session.publish(self.now, &message).map_err(|misuse| format!("{misuse:?}"))?;
        let id = id.ok_or("no identifier")?.value();
        require(self.app.open.iter().all(|(open, _)| *open != id), || format!("{id} is given twice"))?; // [MQTT-2.2.1-3]
        self.app.open.push((id, index));
        Ok(())
    }

    fn connect(&mut self) -> Verdict {
        let options = ConnectOptions {
            client_id: "client",
            clean_start: false,
            keep_alive: 10,
            session_expiry_interval: if self.case.version.is_v5() { u32::MAX } else { 0 },
            ..ConnectOptions::default()
        };
        self.link = Some(Link::default());
        self.session.connect(self.now, &options).map_err(|misuse| format!("{misuse:?}"))
    }

    /// Whether there is something to transmit.
    fn poll(&mut self) -> bool {
        let Some(link) = &mut self.link else { return false };
        link.polled.clear();
        link.polled.extend(self.session.poll_transmit(self.now).unwrap_or_default());
        !link.polled.is_empty()
    }

    fn transmit(&mut self, half: bool) -> Verdict {
        assert!(self.poll(), "only what is there is transmitted");
        let link = self.link.as_mut().expect("a link");
        let whole = [&link.half[..], &link.polled].concat();
        let decoded = Packet::decode(&whole, self.case.version, Role::Client).expect("a valid packet");
        let len = decoded.as_ref().expect("a whole packet is on the wire").1;
        let taken = if half { len / 2 } else { len - link.half.len() };
        link.polled[..taken].hash(&mut self.trace);
        link.polled.drain(..taken);
        self.session.consume_transmit(self.now, taken);
        link.half = if half { whole[..taken].to_vec() } else { Vec::new() };
        if !half {
            link.up.push_back(whole[..len].to_vec());
            if let Some((Packet::Publish(publish), _)) = decoded {
                link.unanswered.extend(publish.delivery.packet_id().map(PacketId::value));
            }
        }
        let (count, most) = (link.unanswered.len(), usize::from(self.case.receive_maximum));
        // [MQTT-3.3.4-7]
        require(most == 0 || count <= most, || format!("{count} messages where {most} may be unanswered"))
    }

    fn cut(&mut self) {
        self.cuts -= 1;
        self.link = None;
        self.broker.cut();
        self.session.handle_closed(self.now);
        // At QoS 1 a message is acknowledged on its own connection or not at all.
        self.app.receipts.retain(|(qos, _)| *qos == ExactlyOnce);
    }

    fn time_out(&mut self) -> Verdict {
        let began = self.now;
        for _ in 0..4 {
            while self.poll() {
                let len = self.link.as_ref().map_or(0, |link| link.polled.len());
                self.session.consume_transmit(self.now, len);
            }
            self.now = self.session.poll_timeout().ok_or("it waits for ever")?;
            if self.session.handle_timeout(self.now).is_err() {
                // The clock shows how often this has happened, and nothing else.
                self.now = began.after_millis(100_000);
                self.cut();
                return Ok(());
            }
        }
        Err("a dead link is not found out".to_owned())
    }

    fn receive(&mut self) -> Verdict {
        let packet = self.broker.down.pop_front().expect("a packet");
        self.note_answer(&packet);
        let mut rest = &packet[..];
        loop {
            let progress = self.session.handle_input(self.now, rest).map_err(|error| format!("{error:?}"))?;
            require(progress.stalled.is_none(), || format!("{:?}", progress.stalled))?;
            rest = &rest[progress.consumed..];
            let goes_on = progress.goes_on();
            if let Some(event) = &progress.event {
                self.take_event(event)?;
            }
            if !goes_on {
                break;
            }
        }
        require(rest.is_empty(), || format!("{rest:02x?} is left"))?;
        while let Some(dropped) = self.session.poll_dropped() {
            let id = dropped.packet_id.value();
            let index = self.take_open(id)?;
            let was_lost = dropped.reason == DropReason::SessionLost && self.losses < self.case.losses;
            require(was_lost, || format!("message {index} is dropped: {:?}", dropped.reason))?;
            self.broker.received.allow_again(index);
            self.broker.received.is_ordered = false;
            self.publish(index)?;
        }
        Ok(())
    }

    fn note_answer(&mut self, packet: &[u8]) {
        let decoded = Packet::decode(packet, self.case.version, Role::Server).expect("a valid packet");
        if let (Some((Packet::Ack(ack), _)), Some(link)) = (decoded, &mut self.link)
            && matches!(ack.kind, AckKind::Puback | AckKind::Pubcomp)
        {
            link.unanswered.retain(|id| *id != ack.packet_id.value());
        }
    }

    fn take_event(&mut self, event: &Event<'_>) -> Verdict {
        format!("{event:?}").hash(&mut self.trace);
        match event {
            Event::Connected(connack) => {
                if !connack.session_present {
                    self.app.receipts.clear();
                }
            }
            Event::Message(Message { payload, qos, receipt, .. }) => {
                let index = self.app.seen.index_of(payload, *qos)?;
                self.app.seen.note(index)?;
                if self.case.acknowledgement == Acknowledgement::Manual {
                    self.app.receipts.push_back((*qos, receipt.ok_or("no receipt")?));
                }
            }
            Event::Published(Published { packet_id, qos, reason_code, .. }) => {
                let index = self.take_open(packet_id.value())?;
                require(self.case.published[index] == *qos, || format!("{event:?} for message {index}"))?;
                // A server need not know any more what it has completed.
                let is_fine = reason_code.byte() == 0 || *qos == ExactlyOnce && reason_code.byte() == 0x92;
                require(is_fine, || format!("{event:?}"))?;
                require(self.broker.received.has(index), || format!("message {index} is not there"))?;
            }
            Event::PingResponse => {}
            other => return Err(format!("{other:?} is not to be expected")),
        }
        Ok(())
    }

    fn take_open(&mut self, id: u16) -> Verdict<usize> {
        let at = self.app.open.iter().position(|(open, _)| *open == id);
        Ok(self.app.open.remove(at.ok_or_else(|| format!("{id} has ended before"))?).1)
    }
}

/// A text that nobody keeps.
struct Hashed(DefaultHasher);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
