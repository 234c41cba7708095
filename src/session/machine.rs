//! The state of a session beside its storage, and the routes that packets take through it.

use super::config::{Config, Oversize, ServerLimits};
use super::connection::{Fingerprint, method};
use super::error::{Misuse, PeerError};
use super::event::{DropReason, Dropped, Event, Halted, Taken};
use super::inbound::Stream;
use super::outbound::Refusal;
use super::storage::{Loaded, Stage, Store, without};
use super::timers::Timers;
use crate::codec::{FixedHeader, PacketType, PropertyId, Reader};
use crate::packet::{Ack, AckKind, Auth, Body, Disconnect, PINGREQ, check_sender};
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, ReasonCode, Role};

#[derive(Debug)]
// Bytes, then half words, then words: what lies at small offsets is reached by short instructions, bytes the least far.
#[repr(C)]
pub(super) struct Machine {
    pub(super) phase: Phase,
    /// Bytes of this connection have gone to the transport.
    pub(super) has_spoken: bool,
    /// The server has accepted this connection.
    pub(super) is_established: bool,
    /// CONNECT had Request Problem Information 1, which is the default.
    pub(super) wants_problem_information: bool,
    /// CONNECT asked for a session that outlives the connection.
    pub(super) asked_to_keep: bool,
    /// The session of what was sent before is gone; what is left of it has to be collected.
    pub(super) session_lost: bool,
    /// Why `refused` was refused.
    pub(super) refusal: Refusal,
    /// A message that was refused when its turn came, and has to be collected.
    pub(super) refused: Option<PacketId>,
    /// The last identifier that was given to a message or a request.
    pub(super) last_packet_id: PacketId,
    /// The serial number of the last received message.
    pub(super) last_serial: u16,
    /// Messages on their way to the server on this connection, and PUBRELs without a PUBCOMP.
    pub(super) in_flight: u16,
    /// What CONNECT announced as Receive Maximum and Topic Alias Maximum.
    pub(super) receive_maximum: u16,
    pub(super) topic_alias_maximum: u16,
    pub(super) timers: Timers,
    pub(super) limits: ServerLimits,
    pub(super) config: Config,
    /// Fingerprint of the Authentication Method of CONNECT.
    pub(super) method: Fingerprint,
    /// How long the session outlives this connection: what CONNECT asked for, or what the server has said.
    pub(super) session_expiry: u32,
    /// Fingerprint of the Client Identifier that the session is known by `[MQTT-3.1.3-2]`.
    pub(super) client_id: Fingerprint,
    pub(super) stream: Option<Stream>,
}

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// CONNECT is on its way.
    Connecting { clean_start: bool },
    /// CONNACK has accepted it.
    Connected,
    /// DISCONNECT is the last packet: `farewell` has still to be put on the wire, if `orderly` behind what is ready for
    /// it.
    Closing { orderly: bool, farewell: Option<ReasonCode> },
    /// Nothing is sent any more.
    Ended,
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
            method: Fingerprint::NONE,
            wants_problem_information: true,
            asked_to_keep: false,
            session_expiry: 0,
            is_established: false,
            client_id: Fingerprint::NONE,
            has_spoken: false,
            session_lost: false,
            refused: None,
            refusal: Refusal::Expired,
        }
    }

    /// The version of its packets: a constant where the program leaves the other one out, so that nothing of that is
    /// linked.
    pub(super) const fn version<V: Store>(&self) -> ProtocolVersion {
        match self.config.version {
            _ if !has_version::<V>(ProtocolVersion::V3_1_1) => ProtocolVersion::V5,
            _ if !has_version::<V>(ProtocolVersion::V5) => ProtocolVersion::V3_1_1,
            version => version,
        }
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

    /// Those of the last connection stay until the next CONNACK: what they have refused is told by them.
    pub(super) const fn server_limits(&self) -> &ServerLimits {
        if self.is_connected() { &self.limits } else { &ServerLimits::DEFAULT }
    }

    /// The send quota of section 4.9: what the server's Receive Maximum leaves `[MQTT-4.9.0-1]`.
    pub(super) const fn send_quota(&self) -> u16 {
        self.server_limits().receive_maximum.saturating_sub(self.in_flight)
    }

    /// Those of the server of the last connection, which v3.1.1 has none of.
    pub(super) const fn limits<V: Store>(&self) -> &ServerLimits {
        if has_v5::<V>() { &self.limits } else { &ServerLimits::DEFAULT }
    }

    pub(super) const fn check_connected(&self) -> Result<(), Misuse> {
        if self.is_connected() { Ok(()) } else { Err(Misuse::NotConnected) }
    }

    pub(super) fn ping(&mut self, now: Instant) -> Result<(), Misuse> {
        self.check_connected()?;
        self.timers.ping(now);
        Ok(())
    }

    pub(super) fn handle_input<'i, V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        input: &'i [u8],
        taken: &mut Taken<'i>,
    ) {
        let done = match self.phase {
            Phase::Connecting { .. } | Phase::Connected => match self.stream {
                Some(_) if has_oversize::<V>() => Ok(self.continue_stream(store, input, taken)),
                _ => self.take_packet(store, input, taken),
            },
            // Nothing the server says matters any more.
            Phase::Idle | Phase::Closing { .. } | Phase::Ended => {
                taken.progress.consumed = input.len();
                return;
            }
        };
        if let Ok(consumed) = done {
            taken.progress.consumed = consumed;
            self.timers.has_received(now, input.len(), consumed);
        } else if let Some(error) = taken.fault {
            self.fail::<V>(error);
        }
        // A stalled packet comes again and again, which says nothing of the peer.
    }

    /// Takes the packet at the start of the input; says how many bytes are done with.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn take_packet<'i, V: Store>(
        &mut self,
        store: &mut V,
        input: &'i [u8],
        taken: &mut Taken<'i>,
    ) -> Result<usize, Halted> {
        let header = match FixedHeader::decode(input, self.version::<V>()) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(0),
            Err(error) => return taken.fault(error),
        };
        let packet_type = header.packet_type;
        self.check_expected::<V>(packet_type, taken)?;
        if let Err(error) = check_sender(packet_type, self.version::<V>(), Role::Server) {
            return taken.fault(error);
        }
        let len = header.packet_len();
        let limit = self.config.receive_limit;
        let is_oversize = limit > 0 && len > usize::try_from(limit).unwrap_or(usize::MAX);
        if is_oversize && (packet_type != PacketType::Publish || !self.takes_oversize::<V>()) {
            return taken.fault(Self::too_large(header));
        }
        let is_oversize = is_oversize && has_oversize::<V>();
        if !is_oversize && input.len() < len {
            return Ok(0);
        }
        let body = input.get(usize::from(header.header_len)..len.min(input.len())).unwrap_or_default();
        if packet_type == PacketType::Publish {
            return self.take_publish(store, header, body, is_oversize, taken);
        }
        self.route(store, packet_type, body, taken)?;
        Ok(len)
    }

    fn takes_oversize<V: Store>(&self) -> bool {
        has_oversize::<V>() && self.config.oversize != Oversize::Refuse
    }

    pub(super) fn too_large(header: FixedHeader) -> PeerError {
        let len = header.remaining_length.saturating_add(header.header_len.into());
        PeerError::PacketTooLarge(len)
    }

    /// Before CONNACK only CONNACK and AUTH may come, afterwards no CONNACK `[MQTT-3.2.0-1]` `[MQTT-3.2.0-2]`.
    fn check_expected<V: Store>(&self, packet_type: PacketType, taken: &mut Taken<'_>) -> Result<(), Halted> {
        const CONNACK: u16 = PacketType::Connack.bit();
        const AUTH: u16 = PacketType::Auth.bit();
        const OF_QOS_2: u16 = PacketType::Pubrec.bit() | PacketType::Pubrel.bit() | PacketType::Pubcomp.bit();
        let expected = match self.phase {
            // A server that speaks first does not answer our CONNECT.
            _ if !self.has_spoken => 0,
            Phase::Connected => !CONNACK,
            _ => CONNACK | AUTH,
        };
        if packet_type.bit() & expected == 0 {
            return taken.fault(PeerError::UnexpectedPacket(packet_type));
        }
        if packet_type == PacketType::Auth && has_v5::<V>() && self.method.is_none() {
            return taken.fault(PeerError::UnexpectedAuth);
        }
        if packet_type.bit() & OF_QOS_2 != 0 && !has_qos_2::<V>() {
            return taken.fault(PeerError::LeftOut(packet_type));
        }
        Ok(())
    }

    /// Takes a whole packet other than PUBLISH.
    fn route<'i, V: Store>(
        &mut self,
        store: &mut V,
        packet_type: PacketType,
        body: &'i [u8],
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let mut reader = Reader::new(body);
        if packet_type == PacketType::Pingresp {
            taken.check(&reader)?;
            self.timers.has_ponged();
            taken.has(Event::PingResponse);
            return Ok(());
        }
        let body = &Body::decode(packet_type, &mut reader, self.version::<V>(), Role::Server);
        taken.check(&reader)?;
        if has_v5::<V>() {
            self.check_properties(packet_type, body, taken)?;
        }
        match packet_type {
            PacketType::Puback => self.handle_puback(store, body, taken),
            PacketType::Pubrec if has_qos_2::<V>() => self.handle_pubrec(store, body, taken),
            PacketType::Pubrel if has_qos_2::<V>() => self.handle_pubrel(store, body, taken),
            PacketType::Pubcomp if has_qos_2::<V>() => self.handle_pubcomp(store, body, taken),
            PacketType::Suback | PacketType::Unsuback => self.handle_request_answer(store, packet_type, body, taken),
            PacketType::Auth if has_v5::<V>() => {
                taken.has(Event::Auth(Auth::from_body(body)));
                Ok(())
            }
            PacketType::Disconnect if has_v5::<V>() => {
                self.phase = Phase::Ended;
                taken.has(Event::Disconnected(Disconnect::from_body(body)));
                Ok(())
            }
            _ => self.handle_connack(store, body, taken),
        }
    }

    /// Whether the properties go with what CONNECT has said.
    fn check_properties(&self, packet_type: PacketType, body: &Body<'_>, taken: &mut Taken<'_>) -> Result<(), Halted> {
        const MAY_EXPLAIN: u16 = PacketType::Connack.bit() | PacketType::Disconnect.bit();
        let properties = body.properties;
        if matches!(packet_type, PacketType::Auth | PacketType::Connack) {
            let told = method(properties);
            // Only a refusal, and an AUTH that is bare, may leave it out.
            let may_be_absent = packet_type == PacketType::Auth || body.reason_code != ReasonCode::SUCCESS;
            if told != self.method && !(may_be_absent && told.is_none()) {
                return taken.fault(PeerError::AuthenticationMethod); // [MQTT-4.12.0-5] [MQTT-4.12.0-6]
            }
        }
        // Without Request Problem Information only PUBLISH, CONNACK and DISCONNECT may explain themselves
        // [MQTT-3.1.2-29].
        let explains = || properties.has(PropertyId::ReasonString) || properties.has(PropertyId::UserProperty);
        if self.wants_problem_information || packet_type.bit() & MAY_EXPLAIN != 0 || !explains() {
            return Ok(());
        }
        taken.fault(PeerError::UnrequestedProblemInformation(packet_type))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        if self.answer_deadline().is_some_and(|deadline| now.has_reached(deadline)) {
            let error = if self.is_connected() { PeerError::PingTimeout } else { PeerError::ConnackTimeout };
            self.phase = Phase::Ended;
            return Err(error);
        }
        if self.is_connected() {
            self.timers.handle_timeout(now);
        }
        Ok(())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let ping_at = if self.is_connected() { self.timers.ping_at() } else { None };
        match (self.answer_deadline(), ping_at) {
            (Some(deadline), Some(at)) => Some(deadline.earlier_of(at)),
            (deadline, at) => deadline.or(at),
        }
    }

    /// When CONNACK or PINGRESP has to be there.
    fn answer_deadline(&self) -> Option<Instant> {
        let (since, timeout_ms) = match self.phase {
            Phase::Connecting { .. } => (self.timers.awaited_since(), self.config.connect_timeout_ms),
            Phase::Connected => (self.timers.pong_awaited_since()?, self.config.ping_timeout_ms),
            _ => return None,
        };
        Some(since.after_millis(timeout_ms))
    }

    /// The peer is at fault: v5.0 tells it why. v3.1.1 just closes, since a DISCONNECT would discard the will
    /// `[MQTT-4.13.1-1]`.
    fn fail<V: Store>(&mut self, error: PeerError) {
        // The first packet is CONNECT, so where that has not left DISCONNECT cannot either [MQTT-3.1.0-1].
        self.phase = match self.version::<V>() {
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

    /// Puts the most urgent packet on the wire: PINGREQ, answers, acknowledgements, PUBRELs, then what was queued and
    /// held.
    fn load_next<V: Store>(&mut self, store: &mut V, now: Instant) -> bool {
        let (is_accepted, is_open) = match self.phase {
            Phase::Idle | Phase::Ended => return false,
            Phase::Connecting { .. } => (false, true),
            Phase::Connected => (true, true),
            Phase::Closing { orderly, .. } => (orderly, orderly),
        };
        if is_accepted && self.load_urgent(store) || is_open && self.load_queued(store, now) {
            return true;
        }
        let Phase::Closing { farewell, .. } = self.phase else { return false };
        self.phase = Phase::Closing { orderly: false, farewell: None };
        farewell.map(|code| load_disconnect(store, code)).is_some()
    }

    /// Whether a held PUBLISH may leave: only on a connection, within the send quota, and behind what has to be told.
    const fn may_publish<V: Store>(&self) -> bool {
        self.is_connected()
            && self.in_flight < self.limits::<V>().receive_maximum
            && !self.session_lost
            && self.refused.is_none()
    }

    #[inline(never)]
    fn load_urgent<V: Store>(&mut self, store: &mut V) -> bool {
        if self.timers.take_ping(store.waiting()) {
            store.load(&PINGREQ);
            return true;
        }
        let (kind, packet_id, code) = if let Some(answer) = store.pop_answer() {
            (answer.kind, answer.packet_id, answer.reason_code)
        } else if store.load_pubacks() {
            return true;
        } else if let Some((packet_id, code)) = store.pop_acknowledged(Stage::AtLeastOnce) {
            (AckKind::Puback, packet_id, code)
        } else if let Some((packet_id, code)) = store.pop_acknowledged(Stage::ExactlyOnce) {
            (AckKind::Pubrec, packet_id, code)
        } else if !self.session_lost && store.load_pubrels() {
            return true;
        } else if let Some(packet_id) = if self.session_lost { None } else { store.next_release() } {
            (AckKind::Pubrel, packet_id, ReasonCode::SUCCESS)
        } else {
            return false;
        };
        let (packet, len) = Ack::short(kind, packet_id, code, self.version::<V>());
        store.load(packet.get(..len).unwrap_or_default());
        true
    }

    #[inline(never)]
    fn load_queued<V: Store>(&mut self, store: &mut V, now: Instant) -> bool {
        let publishes = self.may_publish::<V>();
        if publishes {
            let loaded = store.load_run(self.send_quota().into());
            if loaded > 0 {
                self.in_flight = self.in_flight.saturating_add(u16::try_from(loaded).unwrap_or(u16::MAX));
                return true;
            }
        }
        let (limits, version) = (self.limits::<V>(), self.version::<V>());
        let mut refusal = Refusal::Expired;
        let loaded = store.load_next(publishes, |frame, held| {
            super::outbound::admit::<V>(limits, version, now, frame, held).map_err(|why| refusal = why).is_ok()
        });
        match loaded {
            Loaded::Nothing => return false,
            Loaded::Queued => {}
            Loaded::Farewell => self.phase = Phase::Closing { orderly: false, farewell: None },
            Loaded::Publish => self.in_flight = self.in_flight.saturating_add(1),
            Loaded::Refused(packet_id) => (self.refused, self.refusal) = (Some(packet_id), refusal),
        }
        true
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
        if let Some(packet_id) = self.refused.take() {
            return Some(Dropped { packet_id, reason: self.refusal.reason(self.limits::<V>()), frame: None });
        }
        if !self.session_lost {
            return None;
        }
        let lost = store.pop_lost();
        self.session_lost = store.has_lost();
        lost.map(|(packet_id, frame)| Dropped { packet_id, reason: DropReason::SessionLost, frame })
    }
}

/// Whether the program has not left it out.
pub(super) const fn has_qos_2<V: Store>() -> bool {
    V::WITHOUT & without::QOS_2 == 0
}

pub(super) const fn has_v5<V: Store>() -> bool {
    has_version::<V>(ProtocolVersion::V5)
}

pub(super) const fn has_version<V: Store>(version: ProtocolVersion) -> bool {
    let left_out = match version {
        ProtocolVersion::V3_1_1 => without::V3_1_1,
        ProtocolVersion::V5 => without::V5_0,
    };
    V::WITHOUT & left_out == 0
}

pub(super) const fn has_expiry<V: Store>() -> bool {
    V::WITHOUT & without::EXPIRY == 0
}

pub(super) const fn has_oversize<V: Store>() -> bool {
    V::WITHOUT & without::OVERSIZE == 0
}

fn load_disconnect<V: Store>(store: &mut V, code: ReasonCode) {
    let len = u8::from(code != ReasonCode::SUCCESS);
    let packet = [PacketType::Disconnect.first_byte(), len, code.byte()];
    store.load(packet.get(..usize::from(len) + 2).unwrap_or_default());
}
