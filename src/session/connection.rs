//! The life of a connection: CONNECT, CONNACK, DISCONNECT, AUTH (sections 3.1, 3.2, 3.14, 3.15).

use core::num::{NonZeroU16, NonZeroU32};

use super::config::{ConnectOptions, Oversize, ServerLimits};
use super::error::{Misuse, PeerError};
use super::event::Event;
use super::machine::{Handled, Machine, Phase};
use super::storage::{QueueError, Queued, Store, Terms};
use crate::codec::{EncodeError, PacketType, Properties, Property, Writer};
use crate::packet::{Auth, Connack, Connect, Disconnect};
use crate::time::Instant;
use crate::types::{ProtocolVersion, ReasonCode, Role};

impl Machine {
    pub(super) fn connect<V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        options: &ConnectOptions<'_>,
    ) -> Result<(), Misuse> {
        if self.phase != Phase::Idle {
            return Err(Misuse::AlreadyConnected);
        }
        let version = self.version();
        if !version.is_v5() && options.client_id.is_empty() && !options.clean_start {
            return Err(Misuse::ClientIdRequired);
        }
        if let Some(own) = options.properties.iter().find(|property| is_own(property)) {
            return Err(EncodeError::DuplicateProperty(own.id()).into());
        }
        let client_id = Some(fingerprint(options.client_id));
        let starts_anew = options.clean_start || (self.client_id.is_some() && self.client_id != client_id);
        let receive_maximum = self.receive_maximum(store, starts_anew);
        let topic_alias_maximum = self.config.topic_alias_maximum.min(store.topic_alias_capacity());

        let mut own = heapless::Vec::<Property<'_>, 4>::new();
        if version.is_v5() {
            let announced = self.announced(options.session_expiry_interval, receive_maximum, topic_alias_maximum);
            own.extend(announced.into_iter().flatten());
        } else if options.session_expiry_interval != 0 {
            return Err(EncodeError::NotInVersion.into());
        }
        let connect = Connect {
            version,
            clean_start: options.clean_start,
            keep_alive: options.keep_alive,
            client_id: options.client_id,
            username: options.username,
            password: options.password,
            will: options.will,
            properties: Properties::joined(&own, options.properties),
        };
        queue(store, Queued::Connect, &|writer| connect.encode(writer))?;

        self.receive_maximum = receive_maximum;
        self.topic_alias_maximum = topic_alias_maximum;
        self.client_id = client_id;
        self.begin_connection(now, options);
        if starts_anew {
            self.lose_session(store); // [MQTT-3.1.2-4] [MQTT-3.1.3-2]
        }
        Ok(())
    }

    /// Notes what has been asked for in CONNECT.
    fn begin_connection(&mut self, now: Instant, options: &ConnectOptions<'_>) {
        self.timers.start(now);
        self.limits = ServerLimits::DEFAULT;
        let has = |wanted: fn(&Property<'_>) -> bool| options.properties.iter().any(wanted);
        self.authenticates = has(|property| matches!(property, Property::AuthenticationMethod(_)));
        self.wants_problem_information =
            !has(|property| matches!(property, Property::RequestProblemInformation(false)));
        self.asked_expiry = match self.version() {
            ProtocolVersion::V5 => options.session_expiry_interval,
            ProtocolVersion::V3_1_1 if options.clean_start => 0, // [MQTT-3.1.2-6/3.1.1]
            ProtocolVersion::V3_1_1 => u32::MAX,
        };
        self.session_expiry = None;
        self.has_spoken = false;
        self.phase = Phase::Connecting {
            clean_start: options.clean_start,
            keep_alive: options.keep_alive,
            deadline: now.after_millis(self.config.connect_timeout_ms),
        };
    }

    /// What is announced never exceeds the storage: messages that still await PUBREL take places of it, and the server
    /// does not count those on a new connection (section 4.9).
    fn receive_maximum<V: Store>(&self, store: &V, starts_anew: bool) -> u16 {
        let capacity = store.receive_capacity();
        let carried = if starts_anew { 0 } else { u16::try_from(store.carried_count()).unwrap_or(u16::MAX) };
        let free = capacity.saturating_sub(carried).max(1);
        match self.config.receive_maximum {
            wanted if wanted == 0 || !self.version().is_v5() => free,
            wanted => wanted.min(free),
        }
    }

    /// The properties by which CONNECT tells what this side can take; those with their default value are left out.
    fn announced(
        &self,
        session_expiry_interval: u32,
        receive_maximum: u16,
        topic_alias_maximum: u16,
    ) -> [Option<Property<'static>>; 4] {
        let packet_size = match self.config.oversize {
            Oversize::Stream => None,
            Oversize::Refuse | Oversize::Skip => NonZeroU32::new(self.config.receive_limit),
        };
        [
            (session_expiry_interval != 0).then_some(Property::SessionExpiryInterval(session_expiry_interval)),
            NonZeroU16::new(receive_maximum).filter(|maximum| *maximum < NonZeroU16::MAX).map(Property::ReceiveMaximum),
            packet_size.map(Property::MaximumPacketSize),
            (topic_alias_maximum != 0).then_some(Property::TopicAliasMaximum(topic_alias_maximum)),
        ]
    }

    pub(super) fn handle_connack<'i, V: Store>(
        &mut self,
        store: &mut V,
        connack: Connack<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        let Phase::Connecting { clean_start, keep_alive, .. } = self.phase else {
            return Err(PeerError::UnexpectedPacket(PacketType::Connack));
        };
        let has_method =
            connack.properties.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
        if has_method && !self.authenticates {
            return Err(PeerError::UnexpectedAuth); // [MQTT-4.12.0-6]
        }
        if connack.reason_code != ReasonCode::SUCCESS {
            self.phase = Phase::Ended; // [MQTT-4.13.2-1]
            return Ok(Handled::Done(Some(Event::Refused(connack))));
        }
        if connack.session_present && clean_start {
            return Err(PeerError::SessionPresent); // [MQTT-3.2.2-4]
        }
        if !connack.session_present && !clean_start {
            self.lose_session(store); // [MQTT-3.2.2-5]
        }
        let assigned = connack.properties.find(|property| match property {
            Property::AssignedClientIdentifier(client_id) => Some(fingerprint(client_id)),
            _ => None,
        });
        self.client_id = assigned.or(self.client_id);
        self.session_expiry = session_expiry(&connack.properties).or(Some(self.asked_expiry));
        self.limits = ServerLimits::from_connack(&connack.properties);
        let server_keep_alive = connack.properties.find(|property| match property {
            Property::ServerKeepAlive(seconds) => Some(seconds),
            _ => None,
        });
        self.timers.set_keep_alive(server_keep_alive.unwrap_or(keep_alive)); // [MQTT-3.1.2-21]
        // PUBRELs that are sent again still take their place in the server's window.
        self.in_flight = if self.session_lost { 0 } else { u16::try_from(store.releases()).unwrap_or(u16::MAX) };
        store.open(Terms {
            version: self.version(),
            outbound_aliases: if self.config.outbound_topic_aliases { self.limits.topic_alias_maximum } else { 0 },
            maximum_packet_size: self.limits.maximum_packet_size,
            inbound_aliases: self.topic_alias_maximum,
        });
        self.phase = Phase::Connected;
        Ok(Handled::Done(Some(Event::Connected(connack))))
    }

    pub(super) fn authenticate<V: Store>(&mut self, store: &mut V, auth: &Auth<'_>) -> Result<(), Misuse> {
        if !matches!(self.phase, Phase::Connecting { .. } | Phase::Connected) {
            return Err(Misuse::NotConnected);
        }
        if !self.authenticates {
            return Err(Misuse::NoAuthenticationMethod); // [MQTT-4.12.0-7]
        }
        let version = self.version();
        queue(store, Queued::Control, &|writer| auth.encode(writer, version, Role::Client))
    }

    pub(super) fn disconnect<V: Store>(&mut self, store: &mut V, disconnect: &Disconnect<'_>) -> Result<(), Misuse> {
        if !self.is_connected() {
            return Err(Misuse::NotConnected);
        }
        let version = self.version();
        let expiry = session_expiry(&disconnect.properties);
        if self.asked_expiry == 0 && expiry.is_some_and(|seconds| seconds > 0) {
            return Err(Misuse::SessionExpiry);
        }
        let encode = |writer: &mut Writer<'_>| disconnect.encode(writer, version, Role::Client);
        let farewell = if disconnect.properties.is_empty() {
            encode(&mut Writer::counting())?;
            Some(disconnect.reason_code)
        } else {
            let len = queued_len(&encode)?;
            self.limits.check_packet_size(len)?;
            queue(store, Queued::Farewell, &encode)?;
            None
        };
        self.session_expiry = expiry.or(self.session_expiry);
        self.phase = Phase::Closing { orderly: true, farewell };
        Ok(())
    }

    pub(super) fn handle_closed<V: Store>(&mut self, store: &mut V) {
        if let Some(packet_id) = self.stream.take().and_then(|stream| stream.receipt).map(|receipt| receipt.packet_id) {
            // Half a message was handed over: the server sends it again, and then it is a new one.
            store.remove_received(packet_id);
        }
        store.close();
        self.in_flight = 0;
        self.phase = Phase::Idle;
        if self.session_expiry.take() == Some(0) {
            self.lose_session(store); // [MQTT-3.1.2-23]
        }
    }

    /// The server has nothing of the session any more. What was never sent goes on as before.
    fn lose_session<V: Store>(&mut self, store: &mut V) {
        store.clear_received();
        self.session_lost = store.has_lost();
    }
}

/// What CONNECT says of the session's own abilities is not for the caller to add.
const fn is_own(property: &Property<'_>) -> bool {
    matches!(
        property,
        Property::SessionExpiryInterval(_)
            | Property::ReceiveMaximum(_)
            | Property::MaximumPacketSize(_)
            | Property::TopicAliasMaximum(_)
    )
}

/// Tells two Client Identifiers apart without keeping them (FNV-1a).
fn fingerprint(client_id: &str) -> u32 {
    client_id.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn session_expiry(properties: &Properties<'_>) -> Option<u32> {
    properties.find(|property| match property {
        Property::SessionExpiryInterval(seconds) => Some(seconds),
        _ => None,
    })
}

/// Bytes of a packet.
pub(super) fn queued_len(encode: &dyn Fn(&mut Writer<'_>) -> Result<(), EncodeError>) -> Result<usize, EncodeError> {
    let mut counting = Writer::counting();
    encode(&mut counting)?;
    Ok(counting.written())
}

pub(super) fn queue<V: Store>(
    store: &mut V,
    kind: Queued,
    encode: &dyn Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<(), Misuse> {
    store.queue(kind, queued_len(encode)?, encode)?;
    Ok(())
}

impl From<QueueError> for Misuse {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full(full) => Self::Full(full),
            QueueError::Encode(error) => Self::Encode(error),
        }
    }
}
