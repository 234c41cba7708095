//! The state of a session beside its storage, and the routes that packets take through it.

use super::config::{Config, Oversize, ServerLimits};
use super::error::{Misuse, PeerError};
use super::event::{DropReason, Dropped, Event, Progress, Stall};
use super::inbound::Stream;
use super::storage::{Loaded, Store};
use super::timers::Timers;
use crate::codec::{DecodeError, FixedHeader, PacketType, Property, Writer};
use crate::packet::{Ack, AckKind, PINGREQ, Packet};
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) limits: ServerLimits,
    pub(super) timers: Timers,
    pub(super) stream: Option<Stream>,
    /// The last identifier that was given to a message or a request.
    pub(super) last_packet_id: PacketId,
    /// The serial number of the last received message.
    pub(super) last_serial: u16,
    /// Messages on their way to the server on this connection, and PUBRELs without a PUBCOMP.
    pub(super) in_flight: u16,
    /// What CONNECT announced as Receive Maximum and Topic Alias Maximum.
    pub(super) receive_maximum: u16,
    pub(super) topic_alias_maximum: u16,
    /// CONNECT had an Authentication Method.
    pub(super) authenticates: bool,
    /// CONNECT had Request Problem Information 1, which is the default.
    pub(super) wants_problem_information: bool,
    /// The Session Expiry Interval of CONNECT.
    pub(super) asked_expiry: u32,
    /// How long the session outlives this connection; not known before its CONNACK.
    pub(super) session_expiry: Option<u32>,
    /// Fingerprint of the Client Identifier that the session is known by `[MQTT-3.1.3-2]`.
    pub(super) client_id: Option<u32>,
    /// Bytes of this connection have gone to the transport.
    pub(super) has_spoken: bool,
    /// The session of what was sent before is gone; what is left of it has to be collected.
    pub(super) session_lost: bool,
    pub(super) refused: Option<(PacketId, DropReason)>,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// CONNECT is on its way.
    Connecting { clean_start: bool, keep_alive: u16, deadline: Instant },
    /// CONNACK has accepted it.
    Connected,
    /// DISCONNECT is the last packet: `farewell` has still to be put on the wire, if `orderly` behind what is ready for it.
    Closing { orderly: bool, farewell: Option<ReasonCode> },
    /// Nothing is sent any more.
    Ended,
}

/// What one packet of the server has led to.
pub(super) enum Handled<'i> {
    Done(Option<Event<'i>>),
    Stalled(Stall),
}

impl Machine {
    pub(super) const fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Idle,
            limits: ServerLimits::DEFAULT,
            timers: Timers::new(),
            stream: None,
            last_packet_id: PacketId::MAX,
            last_serial: 0,
            in_flight: 0,
            receive_maximum: 0,
            topic_alias_maximum: 0,
            authenticates: false,
            wants_problem_information: true,
            asked_expiry: 0,
            session_expiry: None,
            client_id: None,
            has_spoken: false,
            session_lost: false,
            refused: None,
        }
    }

    pub(super) const fn version(&self) -> ProtocolVersion {
        self.config.version
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    /// Whether bytes may still go to the transport.
    pub(super) const fn may_transmit(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Ended)
    }

    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. } | Phase::Ended)
    }

    /// The send quota of section 4.9: what the server's Receive Maximum leaves `[MQTT-4.9.0-1]`.
    pub(super) const fn send_quota(&self) -> u16 {
        self.limits.receive_maximum.saturating_sub(self.in_flight)
    }

    pub(super) fn ping(&mut self, now: Instant) -> Result<(), Misuse> {
        if !self.is_connected() {
            return Err(Misuse::NotConnected);
        }
        self.timers.ping(now);
        Ok(())
    }

    pub(super) fn handle_input<'i, V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        input: &'i [u8],
    ) -> Result<Progress<'i>, PeerError> {
        match self.phase {
            Phase::Connecting { .. } | Phase::Connected => {}
            // Nothing the server says matters any more.
            Phase::Idle | Phase::Closing { .. } | Phase::Ended => return Ok(Progress::consumed(input.len(), None)),
        }
        let progress = match self.stream {
            Some(_) => Ok(self.continue_stream(store, input)),
            None => self.take_packet(store, input),
        };
        // A stalled packet comes again and again, which says nothing of the peer.
        if !input.is_empty() && progress.is_ok_and(|progress| progress.stalled.is_none()) {
            self.timers.has_received(now);
        }
        progress.inspect_err(|error| self.fail(*error))
    }

    /// Takes the packet at the start of the input.
    fn take_packet<'i, V: Store>(&mut self, store: &mut V, input: &'i [u8]) -> Result<Progress<'i>, PeerError> {
        let Some(header) = FixedHeader::decode(input, self.version())? else { return Ok(Progress::INCOMPLETE) };
        self.check_expected(header.packet_type)?;
        let len = header.packet_len();
        if self.config.receive_limit > 0 && len > usize::try_from(self.config.receive_limit).unwrap_or(usize::MAX) {
            return self.take_oversize(store, header, input);
        }
        let Some((packet, consumed)) = Packet::decode(input, self.version(), Role::Server)? else {
            return Ok(Progress::INCOMPLETE);
        };
        self.check_problem_information(header.packet_type, &packet)?;
        Ok(match self.route(store, packet)? {
            Handled::Done(event) => Progress::consumed(consumed, event),
            Handled::Stalled(stall) => Progress::stalled(stall),
        })
    }

    fn take_oversize<'i, V: Store>(
        &mut self,
        store: &mut V,
        header: FixedHeader,
        input: &'i [u8],
    ) -> Result<Progress<'i>, PeerError> {
        let len = header.remaining_length.saturating_add(u32::from(header.header_len));
        let too_large = PeerError::PacketTooLarge { len, limit: self.config.receive_limit };
        if header.packet_type != PacketType::Publish || self.config.oversize == Oversize::Refuse {
            return Err(too_large);
        }
        let progress = self.begin_stream(store, input)?;
        let buffer_is_full = u32::try_from(input.len()).is_ok_and(|len| len >= self.config.receive_limit);
        // Topic and properties alone fill the buffer: they can never be seen whole.
        if progress == Progress::INCOMPLETE && buffer_is_full { Err(too_large) } else { Ok(progress) }
    }

    /// Before CONNACK only CONNACK and AUTH may come, afterwards no CONNACK `[MQTT-3.2.0-1]` `[MQTT-3.2.0-2]`.
    fn check_expected(&self, packet_type: PacketType) -> Result<(), PeerError> {
        let expected = match packet_type {
            // A server that speaks first does not answer our CONNECT.
            _ if !self.has_spoken => false,
            PacketType::Connack => !self.is_connected(),
            PacketType::Auth if !self.authenticates => return Err(PeerError::UnexpectedAuth),
            PacketType::Auth => true,
            _ => self.is_connected(),
        };
        if expected { Ok(()) } else { Err(PeerError::UnexpectedPacket(packet_type)) }
    }

    /// Without Request Problem Information only PUBLISH, CONNACK and DISCONNECT may explain themselves `[MQTT-3.1.2-29]`.
    fn check_problem_information(&self, packet_type: PacketType, packet: &Packet<'_>) -> Result<(), PeerError> {
        let properties = match packet {
            Packet::Ack(ack) => &ack.properties,
            Packet::Suback(suback) => &suback.properties,
            Packet::Unsuback(unsuback) => &unsuback.properties,
            Packet::Auth(auth) => &auth.properties,
            _ => return Ok(()),
        };
        let explains = |property| matches!(property, Property::ReasonString(_) | Property::UserProperty(..));
        if self.wants_problem_information || !properties.iter().any(explains) {
            return Ok(());
        }
        Err(PeerError::UnrequestedProblemInformation(packet_type))
    }

    fn route<'i, V: Store>(&mut self, store: &mut V, packet: Packet<'i>) -> Result<Handled<'i>, PeerError> {
        match packet {
            Packet::Connack(connack) => self.handle_connack(store, connack),
            Packet::Publish(publish) => self.handle_publish(store, publish),
            Packet::Ack(ack) => match ack.kind {
                AckKind::Puback => self.handle_puback(store, ack),
                AckKind::Pubrec => self.handle_pubrec(store, ack),
                AckKind::Pubrel => Ok(self.handle_pubrel(store, ack)),
                AckKind::Pubcomp => self.handle_pubcomp(store, ack),
            },
            Packet::Suback(suback) => self.handle_suback(store, suback),
            Packet::Unsuback(unsuback) => self.handle_unsuback(store, unsuback),
            Packet::Pingresp => {
                self.timers.has_ponged();
                Ok(Handled::Done(Some(Event::PingResponse)))
            }
            Packet::Auth(auth) => Ok(Handled::Done(Some(Event::Auth(auth)))),
            Packet::Disconnect(disconnect) => {
                self.phase = Phase::Ended;
                Ok(Handled::Done(Some(Event::Disconnected(disconnect))))
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
                // The decoder refuses what a server does not send.
                Err(PeerError::Decode(DecodeError::PacketType(0)))
            }
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        let result = match self.phase {
            Phase::Connecting { deadline, .. } if now.has_reached(deadline) => Err(PeerError::ConnackTimeout),
            Phase::Connected => self.timers.handle_timeout(now, self.config.ping_timeout_ms),
            _ => Ok(()),
        };
        result.inspect_err(|_| self.phase = Phase::Ended)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting { deadline, .. } => Some(deadline),
            Phase::Connected => self.timers.poll_timeout(self.config.ping_timeout_ms),
            _ => None,
        }
    }

    /// The peer is at fault: v5.0 tells it why. v3.1.1 just closes, since a DISCONNECT would discard the will
    /// `[MQTT-4.13.1-1]`.
    fn fail(&mut self, error: PeerError) {
        // The first packet is CONNECT, so where that has not left DISCONNECT cannot either [MQTT-3.1.0-1].
        self.phase = match self.version() {
            ProtocolVersion::V5 if self.has_spoken => {
                Phase::Closing { orderly: false, farewell: Some(error.reason_code()) }
            }
            _ => Phase::Ended,
        };
    }

    /// Fills the wire.
    pub(super) fn prepare<V: Store>(&mut self, store: &mut V, now: Instant) {
        while store.has_wire_room() && self.load_next(store, now) {}
    }

    /// Puts the most urgent packet on the wire: PINGREQ, answers, acknowledgements, PUBRELs, then what was queued and held.
    fn load_next<V: Store>(&mut self, store: &mut V, now: Instant) -> bool {
        match self.phase {
            Phase::Idle | Phase::Ended => false,
            Phase::Connecting { .. } => self.load_queued(store, now, false),
            Phase::Connected => {
                self.load_urgent(store) || {
                    let may_publish = self.send_quota() > 0 && !self.session_lost && self.refused.is_none();
                    self.load_queued(store, now, may_publish)
                }
            }
            Phase::Closing { orderly, farewell } => {
                if orderly && (self.load_urgent(store) || self.load_queued(store, now, false)) {
                    return true;
                }
                self.phase = Phase::Closing { orderly: false, farewell: None };
                farewell.map(|code| load_disconnect(store, code)).is_some()
            }
        }
    }

    fn load_urgent<V: Store>(&mut self, store: &mut V) -> bool {
        if self.timers.take_ping(store.waiting()) {
            store.load(&PINGREQ);
            return true;
        }
        let ack = if let Some(answer) = store.pop_answer() {
            (answer.kind, answer.packet_id, answer.reason_code)
        } else if let Some((packet_id, code)) = store.pop_acknowledged(QoS::AtLeastOnce) {
            (AckKind::Puback, packet_id, code)
        } else if let Some((packet_id, code)) = store.pop_acknowledged(QoS::ExactlyOnce) {
            (AckKind::Pubrec, packet_id, code)
        } else if let Some(packet_id) = if self.session_lost { None } else { store.next_release() } {
            (AckKind::Pubrel, packet_id, ReasonCode::SUCCESS)
        } else {
            return false;
        };
        self.load_ack(store, ack);
        true
    }

    fn load_ack<V: Store>(&self, store: &mut V, (kind, packet_id, code): (AckKind, PacketId, ReasonCode)) {
        let mut buffer = [0; 5];
        let mut writer = Writer::new(&mut buffer);
        if Ack::new(kind, packet_id, code).encode(&mut writer, self.version(), Role::Client).is_ok() {
            let len = writer.written();
            store.load(buffer.get(..len).unwrap_or(&[]));
        }
    }

    fn load_queued<V: Store>(&mut self, store: &mut V, now: Instant, publishes: bool) -> bool {
        let limits = self.limits;
        let version = self.version();
        let loaded =
            store.load_next(publishes, &mut |frame, held| super::outbound::admit(&limits, version, now, frame, held));
        match loaded {
            Loaded::Nothing => false,
            Loaded::Queued => true,
            Loaded::Farewell => {
                self.phase = Phase::Closing { orderly: false, farewell: None };
                true
            }
            Loaded::Publish => {
                self.in_flight = self.in_flight.saturating_add(1);
                true
            }
            Loaded::Refused(packet_id, reason, frame) => {
                drop(frame);
                self.refused = Some((packet_id, reason));
                true
            }
        }
    }

    pub(super) fn consume_transmit<V: Store>(&mut self, store: &mut V, now: Instant, len: usize) {
        let len = len.min(store.waiting());
        if len > 0 {
            store.consume(len);
            self.has_spoken = true;
            self.timers.has_transmitted(now, len);
        }
    }

    pub(super) fn poll_dropped<V: Store>(&mut self, store: &mut V) -> Option<Dropped<V::Frame>> {
        if let Some((packet_id, reason)) = self.refused.take() {
            return Some(Dropped { packet_id, reason, frame: None });
        }
        if !self.session_lost {
            return None;
        }
        let lost = store.pop_lost();
        self.session_lost = store.has_lost();
        lost.map(|(packet_id, frame)| Dropped { packet_id, reason: DropReason::SessionLost, frame })
    }
}

fn load_disconnect<V: Store>(store: &mut V, code: ReasonCode) {
    let first = PacketType::Disconnect.first_byte();
    match code {
        ReasonCode::SUCCESS => store.load(&[first, 0]),
        code => store.load(&[first, 1, code.byte()]),
    }
}
