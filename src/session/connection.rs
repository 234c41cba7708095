//! The life of a connection: CONNECT, CONNACK, DISCONNECT, AUTH (sections 3.1, 3.2, 3.14, 3.15).

use super::config::Oversize;
use super::error::{Full, Misuse, PeerError};
use super::event::{Event, Halted, Taken};
use super::machine::{Machine, Phase, has_oversize, has_v5, has_version};
use super::storage::{Queued, Store, Terms};
use super::timers::Timers;
use crate::codec::{Block, EncodeError, PacketType, Properties, Property, PropertyId, Writer};
use crate::packet::ConnectOptions;
use crate::packet::{Auth, Body, Connack, Disconnect};
use crate::time::Instant;
use crate::types::{ProtocolVersion, ReasonCode, Role, Text};

/// Bytes of an acknowledgement with a reason code. Nothing else is longer that is sent without a look at the server's
/// limits.
const LONGEST_ANSWER: usize = 5;

impl Machine {
    pub(super) fn connect<V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        options: &ConnectOptions<'_>,
    ) -> Result<(), Misuse> {
        if !matches!(self.phase, Phase::Idle) {
            return Err(Misuse::AlreadyConnected);
        }
        if !has_version::<V>(self.config.version) {
            return Err(Misuse::LeftOut);
        }
        let version = self.version::<V>();
        if !version.is_v5() && options.client_id.is_empty() && !options.clean_start {
            return Err(Misuse::ClientIdRequired);
        }
        if has_v5::<V>()
            && let Some(own) = options.properties.iter().find(|property| is_own(property))
        {
            return Err(EncodeError::DuplicateProperty(own.id()).into());
        }
        let client_id = Fingerprint::of(Some(Text::new(options.client_id)));
        let starts_anew = options.clean_start || (!self.client_id.is_none() && self.client_id != client_id);
        let receive_maximum = self.receive_maximum(store, starts_anew);
        let topic_alias_maximum = self.config.topic_alias_maximum.min(store.topic_alias_capacity());

        if !version.is_v5() && options.session_expiry_interval != 0 {
            return Err(EncodeError::NotInVersion.into());
        }
        let own = self.announced::<V>(options.session_expiry_interval, receive_maximum, topic_alias_maximum);
        let properties = Properties::new(options.properties);
        let encode = |writer: &mut Writer<'_>| options.encode(writer, version, &own, &properties);
        expect_secret(store, encode);
        let len = self.encode(store, encode)?;
        store.queue(Queued::Connect, len)?;

        self.receive_maximum = receive_maximum;
        self.topic_alias_maximum = topic_alias_maximum;
        self.client_id = client_id;
        self.begin_connection::<V>(now, options);
        if starts_anew {
            self.lose_session(store); // [MQTT-3.1.2-4] [MQTT-3.1.3-2]
        }
        Ok(())
    }

    /// Notes what has been asked for in CONNECT.
    fn begin_connection<V: Store>(&mut self, now: Instant, options: &ConnectOptions<'_>) {
        self.timers = Timers::started(now);
        self.timers.set_keep_alive(options.keep_alive);
        if has_v5::<V>() {
            let properties = Properties::new(options.properties);
            self.method = Fingerprint::of(properties.text(PropertyId::AuthenticationMethod));
            self.wants_problem_information = properties.number(PropertyId::RequestProblemInformation) != Some(0);
        }
        self.session_expiry = match self.version::<V>() {
            ProtocolVersion::V5 => options.session_expiry_interval,
            ProtocolVersion::V3_1_1 if options.clean_start => 0, // [MQTT-3.1.2-6/3.1.1]
            ProtocolVersion::V3_1_1 => u32::MAX,
        };
        self.asked_to_keep = self.session_expiry > 0;
        self.has_spoken = false;
        self.phase = Phase::Connecting { clean_start: options.clean_start };
    }

    /// What is announced does not exceed the storage: messages that still await PUBREL take places of it, and the
    /// server does not count those on a new connection (section 4.9). Where they take all, 1 is announced, since 0 must
    /// not be: a server that then sends a new message before any PUBREL finds the table full.
    fn receive_maximum<V: Store>(&self, store: &mut V, starts_anew: bool) -> u16 {
        let capacity = store.receive_capacity();
        let carried = if starts_anew { 0 } else { u16::try_from(store.carried_count()).unwrap_or(u16::MAX) };
        let free = capacity.saturating_sub(carried).max(1);
        match self.config.receive_maximum {
            wanted if wanted == 0 || !self.version::<V>().is_v5() => free,
            wanted => wanted.min(free),
        }
    }

    /// The properties by which CONNECT tells what this side can take; those with their default value are 0, and v3.1.1
    /// has none.
    fn announced<V: Store>(
        &self,
        session_expiry_interval: u32,
        receive_maximum: u16,
        topic_alias_maximum: u16,
    ) -> [(PropertyId, u32); 4] {
        let packet_size =
            if has_oversize::<V>() && self.config.oversize == Oversize::Stream { 0 } else { self.config.receive_limit };
        let receive_maximum = if receive_maximum == u16::MAX { 0 } else { receive_maximum };
        let announce = |id, number: u32| (id, if self.version::<V>().is_v5() { number } else { 0 });
        [
            announce(PropertyId::SessionExpiryInterval, session_expiry_interval),
            announce(PropertyId::ReceiveMaximum, receive_maximum.into()),
            announce(PropertyId::MaximumPacketSize, packet_size),
            announce(PropertyId::TopicAliasMaximum, topic_alias_maximum.into()),
        ]
    }

    pub(super) fn handle_connack<'i, V: Store>(
        &mut self,
        store: &mut V,
        connack: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let Phase::Connecting { clean_start } = self.phase else {
            return taken.fault(PeerError::UnexpectedPacket(PacketType::Connack));
        };
        let is_refusal = connack.reason_code != ReasonCode::SUCCESS;
        if is_refusal {
            self.phase = Phase::Ended; // [MQTT-4.13.2-1]
            taken.has(Event::Refused(Connack::from_body(connack)));
            return Ok(());
        }
        if connack.session_present && clean_start {
            return taken.fault(PeerError::SessionPresent); // [MQTT-3.2.2-4]
        }
        if !connack.session_present && !clean_start {
            self.lose_session(store); // [MQTT-3.2.2-5]
        }
        if has_v5::<V>() {
            self.take_over(connack.properties);
            // Then whatever is answered later fits [MQTT-3.2.2-15].
            if !self.limits.takes(LONGEST_ANSWER) {
                // Not even a DISCONNECT with its reason may fit.
                self.has_spoken = false;
                return taken.fault(PeerError::MaximumPacketSize(self.limits.maximum_packet_size));
            }
        }
        // PUBRELs that are sent again still take their place in the server's window.
        self.in_flight = if self.session_lost { 0 } else { u16::try_from(store.releases()).unwrap_or(u16::MAX) };
        let limits = self.limits::<V>();
        store.open(Terms {
            version: self.version::<V>(),
            outbound_aliases: if self.config.outbound_topic_aliases { limits.topic_alias_maximum } else { 0 },
            maximum_packet_size: limits.maximum_packet_size,
            inbound_aliases: self.topic_alias_maximum,
        });
        self.is_established = true;
        self.phase = Phase::Connected;
        taken.has(Event::Connected(Connack::from_body(connack)));
        Ok(())
    }

    /// What CONNACK of v5.0 says of the session, and of the server.
    fn take_over(&mut self, properties: Block<'_>) {
        if let Some(client_id) = properties.text(PropertyId::AssignedClientIdentifier) {
            self.client_id = Fingerprint::of(Some(client_id));
        }
        if let Some(seconds) = properties.number(PropertyId::SessionExpiryInterval) {
            self.session_expiry = seconds;
        }
        if let Some(seconds) = properties.half(PropertyId::ServerKeepAlive) {
            self.timers.set_keep_alive(seconds); // [MQTT-3.1.2-21]
        }
        self.limits.take_over(properties);
    }

    pub(super) fn authenticate<V: Store>(&mut self, store: &mut V, auth: &Auth<'_>) -> Result<(), Misuse> {
        if !matches!(self.phase, Phase::Connecting { .. } | Phase::Connected) {
            return Err(Misuse::NotConnected);
        }
        if self.method.is_none() {
            return Err(Misuse::NoAuthenticationMethod); // [MQTT-4.12.0-7]
        }
        if !self.is_connected() && auth.reason_code == ReasonCode::REAUTHENTICATE {
            return Err(Misuse::NotConnected);
        }
        if auth.method().is_some() && Fingerprint::of(auth.method().map(Text::new)) != self.method {
            return Err(Misuse::AuthenticationMethod); // [MQTT-4.12.0-5]
        }
        let version = self.version::<V>();
        let encode = |writer: &mut Writer<'_>| auth.encode(writer, version, Role::Client);
        expect_secret(store, encode);
        let len = match self.encode(store, encode) {
            // [MQTT-3.15.2-2] [MQTT-3.15.2-3]
            Err(Misuse::PacketTooLarge { .. }) => {
                self.encode(store, |writer| auth.encode_essence(writer, version, Role::Client))?
            }
            result => result?,
        };
        store.queue(Queued::Control, len)?;
        Ok(())
    }

    pub(super) fn disconnect<V: Store>(&mut self, store: &mut V, disconnect: &Disconnect<'_>) -> Result<(), Misuse> {
        if !self.is_connected() {
            return Err(Misuse::NotConnected);
        }
        let version = self.version::<V>();
        let expiry = disconnect.properties.number(PropertyId::SessionExpiryInterval);
        if !self.asked_to_keep && expiry.is_some_and(|seconds| seconds > 0) {
            return Err(Misuse::SessionExpiry);
        }
        let farewell = if disconnect.properties.is_empty() {
            // It needs no room of the store.
            disconnect.encode(&mut Writer::counting(), version, Role::Client)?;
            Some(disconnect.reason_code)
        } else {
            let len = self.encode(store, |writer| disconnect.encode(writer, version, Role::Client))?;
            store.queue(Queued::Farewell, len)?;
            None
        };
        self.session_expiry = expiry.unwrap_or(self.session_expiry);
        self.phase = Phase::Closing { orderly: true, farewell };
        Ok(())
    }

    pub(super) fn handle_closed<V: Store>(&mut self, store: &mut V) {
        if has_oversize::<V>()
            && let Some(packet_id) = self.stream.take().and_then(|stream| stream.packet_id)
        {
            // Half a message was handed over: the server sends it again, and then it is a new one.
            store.remove_received(packet_id);
        }
        store.close();
        self.in_flight = 0;
        self.phase = Phase::Idle;
        if core::mem::take(&mut self.is_established) && self.session_expiry == 0 {
            self.lose_session(store); // [MQTT-3.1.2-23]
        }
    }

    /// Has a packet written where the store has room for it, and says how long it is.
    pub(super) fn encode<V: Store>(
        &self,
        store: &mut V,
        packet: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, Misuse> {
        let mut writer = store.writer();
        // The writer knows what it returns.
        let _ = packet(&mut writer);
        self.check_written::<V>(&writer)
    }

    /// What can never be sent is told before that there is no room.
    #[inline(never)]
    fn check_written<V: Store>(&self, writer: &Writer<'_>) -> Result<usize, Misuse> {
        let result = writer.finish();
        if let Err(error) = result
            && error != EncodeError::NoRoom
        {
            return Err(error.into());
        }
        // Before CONNACK nobody knows what the server takes.
        if self.is_connected() {
            self.limits::<V>().check_packet_size(writer.written())?;
        }
        if result.is_ok() { Ok(writer.written()) } else { Err(Full::Bytes.into()) }
    }

    /// The server has nothing of the session any more. What was never sent goes on as before.
    fn lose_session<V: Store>(&mut self, store: &mut V) {
        store.clear_received();
        self.session_lost = store.has_lost();
    }
}

/// Tells a storage that grows how long the next packet is.
#[cfg_attr(not(feature = "std"), expect(unused_variables, reason = "no other storage grows"))]
fn expect_secret<V: Store>(store: &mut V, packet: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>) {
    #[cfg(feature = "std")]
    {
        let mut writer = Writer::counting();
        // What is wrong with it is told where it is written.
        let _ = packet(&mut writer);
        store.expect_secret(writer.written());
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

/// That of the Authentication Method.
pub(super) fn method(properties: Block<'_>) -> Fingerprint {
    Fingerprint::of(properties.text(PropertyId::AuthenticationMethod))
}

/// Tells two texts apart without keeping them; 0 stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u32);

impl Fingerprint {
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// FNV-1a.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn of(text: Option<Text<'_>>) -> Self {
        let Some(text) = text else { return Self::NONE };
        let mix = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        Self(text.as_bytes().iter().fold(0x811C_9DC5, mix).max(1))
    }
}
