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
use crate::types::{ReasonCode, Role};

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
        let receive_maximum = match (self.config.receive_maximum, store.receive_capacity()) {
            (0, capacity) => capacity,
            (wanted, capacity) => wanted.min(capacity),
        };
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

        self.timers.start(now);
        self.limits = ServerLimits::DEFAULT;
        self.receive_maximum = receive_maximum;
        self.topic_alias_maximum = topic_alias_maximum;
        self.authenticates =
            options.properties.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
        self.phase = Phase::Connecting {
            clean_start: options.clean_start,
            keep_alive: options.keep_alive,
            deadline: now.after_millis(self.config.connect_timeout_ms),
        };
        if options.clean_start {
            self.lose_session(store); // [MQTT-3.1.2-4]
        }
        Ok(())
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
        now: Instant,
        connack: Connack<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        let Phase::Connecting { clean_start, keep_alive, .. } = self.phase else {
            return Err(PeerError::UnexpectedPacket(PacketType::Connack));
        };
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
        self.limits = ServerLimits::from_connack(&connack.properties);
        let server_keep_alive = connack.properties.find(|property| match property {
            Property::ServerKeepAlive(seconds) => Some(seconds),
            _ => None,
        });
        self.timers.start(now);
        self.timers.set_keep_alive(server_keep_alive.unwrap_or(keep_alive)); // [MQTT-3.1.2-21]
        // PUBRELs that are sent again still take their place in the server's window.
        self.in_flight = u16::try_from(store.releases()).unwrap_or(u16::MAX);
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
        let encode = |writer: &mut Writer<'_>| disconnect.encode(writer, version, Role::Client);
        let farewell = if disconnect.properties.is_empty() {
            encode(&mut Writer::counting())?;
            Some(disconnect.reason_code)
        } else {
            let len = queued_len(&encode)?;
            self.limits.check_packet_size(len)?;
            queue(store, Queued::Control, &encode)?;
            None
        };
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
    }

    /// The server has nothing of the session any more. What was never sent goes on as before.
    fn lose_session<V: Store>(&mut self, store: &mut V) {
        store.clear_received();
        self.session_lost = true;
    }
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
