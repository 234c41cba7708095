use super::{decode_properties, encode_packet, encode_properties};
use crate::codec::{
    DecodeError, EncodeError, FixedHeader, PacketType, Properties, Property, PropertyContext, PropertyId, Reader,
    Writer,
};
use crate::macros::{Bytes, Hidden, shows};
use crate::types::{ProtocolVersion, QoS, TopicName};

const PROTOCOL_NAME: &str = "MQTT";
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;

/// CONNECT: the first packet of a client (section 3.1). `Debug` shows neither user name, which some
/// servers take a token as, nor password.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version this packet is written in and asks for.
    pub version: ProtocolVersion,
    /// Start a new session (Clean Session in v3.1.1).
    pub clean_start: bool,
    /// The longest pause between two packets of the client in seconds; 0 turns the mechanism off.
    pub keep_alive: u16,
    /// Names the session. Empty lets the server choose, in v3.1.1 only together with `clean_start`.
    pub client_id: &'a str,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password. v3.1.1 allows it only with a user name.
    pub password: Option<&'a [u8]>,
    /// What the server publishes when the connection ends without a DISCONNECT.
    pub will: Option<Will<'a>>,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// The Will Message of a CONNECT (section 3.1.2.5).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Will<'a> {
    /// Where it is published.
    pub topic: &'a str,
    /// What is published; may be empty.
    pub payload: &'a [u8],
    /// The QoS it is published at.
    pub qos: QoS,
    /// Whether the server retains it.
    pub retain: bool,
    /// Properties of the message and the Will Delay Interval, v5.0 only.
    pub properties: Properties<'a>,
}

/// What a connection is opened with. `Debug` shows neither user name nor password.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectOptions<'a> {
    /// Names the session. Empty lets the server choose, in v3.1.1 only with `clean_start`.
    pub client_id: &'a str,
    /// Start a new session on both sides (Clean Session in v3.1.1).
    pub clean_start: bool,
    /// Seconds within which the client is heard of; 0 turns the mechanism off. The server may demand another value.
    pub keep_alive: u16,
    /// The user name.
    pub username: Option<&'a str>,
    /// The password. v3.1.1 allows it only with a user name.
    pub password: Option<&'a [u8]>,
    /// What the server publishes when the connection ends without a DISCONNECT.
    pub will: Option<Will<'a>>,
    /// Seconds the server keeps the session after the connection (v5.0); 0xFFFFFFFF means for ever.
    pub session_expiry_interval: u32,
    /// More properties. Session Expiry Interval, Receive Maximum, Maximum Packet Size and Topic Alias Maximum are
    /// added by the session.
    pub properties: &'a [Property<'a>],
}

impl ConnectOptions<'_> {
    /// As `Default`, for a constant: on a microcontroller options in flash take no stack.
    pub const DEFAULT: Self = Self {
        client_id: "",
        clean_start: false,
        keep_alive: 0,
        username: None,
        password: None,
        will: None,
        session_expiry_interval: 0,
        properties: &[],
    };
}

impl<'a> Connect<'a> {
    pub(super) fn decode(header: FixedHeader, reader: &mut Reader<'a>) -> Self {
        if reader.string() != PROTOCOL_NAME {
            reader.fail(DecodeError::ProtocolName);
        }
        let level = reader.u8();
        let version = ProtocolVersion::from_level(level).unwrap_or_else(|| {
            reader.fail(DecodeError::ProtocolLevel(level));
            ProtocolVersion::V5
        });
        if version.is_v5() && !header.is_minimal() {
            reader.fail(DecodeError::VariableByteInteger);
        }
        let flags = reader.u8();
        check_flags(flags, version).unwrap_or_else(|error| reader.fail(error));
        let keep_alive = reader.u16();
        let properties = Properties::from_wire(decode_properties(reader, version, PropertyContext::Connect));
        let client_id = reader.string();
        let clean_start = flags & CLEAN_START != 0;
        if !is_client_id(client_id, clean_start, version) {
            reader.fail(DecodeError::ClientIdentifier);
        }
        let will = (flags & WILL != 0).then(|| Will::decode(flags, reader, version));
        let username = (flags & USERNAME != 0).then(|| reader.string());
        let password = (flags & PASSWORD != 0).then(|| reader.binary());
        Self { version, clean_start, keep_alive, client_id, username, password, will, properties }
    }

    /// Writes the packet in its own version.
    ///
    /// # Errors
    /// [`EncodeError`] for what its version does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        let options = ConnectOptions {
            client_id: self.client_id,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            username: self.username,
            password: self.password,
            will: self.will,
            ..ConnectOptions::DEFAULT
        };
        options.encode(writer, self.version, &[], &self.properties)
    }
}

impl ConnectOptions<'_> {
    /// Writes the packet with the `properties`, and numbers before them, where those that are 0 are left out.
    pub(crate) fn encode(
        &self,
        writer: &mut Writer<'_>,
        version: ProtocolVersion,
        numbers: &[(PropertyId, u32)],
        properties: &Properties<'_>,
    ) -> Result<(), EncodeError> {
        if !version.is_v5() && self.password.is_some() && self.username.is_none() {
            return writer.refuse(EncodeError::PasswordWithoutUserName);
        }
        if !is_client_id(self.client_id, self.clean_start, version) {
            return writer.refuse(EncodeError::ClientIdentifier);
        }
        encode_packet(writer, PacketType::Connect, |writer| {
            writer.string(PROTOCOL_NAME);
            writer.u8(version.level());
            writer.u8(self.flags());
            writer.u16(self.keep_alive);
            if version.is_v5() {
                writer.prefixed(|writer| properties.encode_behind(numbers, writer, PropertyContext::Connect));
            } else if !properties.is_empty() {
                writer.fail(EncodeError::NotInVersion);
            }
            writer.string(self.client_id);
            if let Some(will) = &self.will {
                will.write(writer, version);
            }
            if let Some(username) = self.username {
                writer.string(username);
            }
            if let Some(password) = self.password {
                writer.binary(password);
            }
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | will.qos.bits() << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        flags
    }
}

impl<'a> Will<'a> {
    fn decode(flags: u8, reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        let properties = Properties::from_wire(decode_properties(reader, version, PropertyContext::Will));
        let topic = reader.string();
        if let Some(error) = TopicName::fault(topic.as_bytes()) {
            reader.fail(DecodeError::Topic(error));
        }
        // The flags were checked with the others.
        let qos = QoS::from_bits(flags >> 3 & 3).unwrap_or_default();
        Self { topic, payload: reader.binary(), qos, retain: flags & WILL_RETAIN != 0, properties }
    }

    fn write(&self, writer: &mut Writer<'_>, version: ProtocolVersion) {
        encode_properties(self.properties, writer, version, PropertyContext::Will);
        if let Some(error) = TopicName::fault(self.topic.as_bytes()) {
            writer.fail(error.into());
        }
        writer.string(self.topic);
        writer.binary(self.payload);
    }
}

shows! {
    impl[] ConnectOptions for ConnectOptions<'_>, |this| {
        client_id: this.client_id,
        clean_start: this.clean_start,
        keep_alive: this.keep_alive,
        username: this.username.map(|_| Hidden),
        password: this.password.map(|_| Hidden),
        will: this.will,
        session_expiry_interval: this.session_expiry_interval,
        properties: this.properties,
    }
}

shows! {
    impl[] Connect for Connect<'_>, |this| {
        version: this.version,
        clean_start: this.clean_start,
        keep_alive: this.keep_alive,
        client_id: this.client_id,
        username: this.username.map(|_| Hidden),
        password: this.password.map(|_| Hidden),
        will: this.will,
        properties: this.properties,
    }
}

shows! {
    impl[] Will for Will<'_>, |this| {
        topic: this.topic,
        payload: Bytes(this.payload.len()),
        qos: this.qos,
        retain: this.retain,
        properties: this.properties,
    }
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    if flags & 0x01 != 0 {
        return Err(DecodeError::ConnectFlags);
    }
    if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
        return Err(DecodeError::WillFlags);
    }
    if flags & WILL_QOS == WILL_QOS {
        return Err(DecodeError::WillQoS);
    }
    if flags & (USERNAME | PASSWORD) == PASSWORD && !version.is_v5() {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(())
}

/// In v3.1.1 a server names only sessions that end with their connection `[MQTT-3.1.3-7/3.1.1]`.
const fn is_client_id(client_id: &str, clean_start: bool, version: ProtocolVersion) -> bool {
    !client_id.is_empty() || clean_start || version.is_v5()
}
