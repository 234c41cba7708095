use super::{decode_properties, encode_packet, encode_properties};
use crate::codec::{DecodeError, EncodeError, FixedHeader, PacketType, Properties, PropertyContext, Reader, Writer};
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

impl<'a> Connect<'a> {
    pub(super) fn decode(header: FixedHeader, reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if reader.string()? != PROTOCOL_NAME {
            return Err(DecodeError::ProtocolName);
        }
        let level = reader.u8()?;
        let version = ProtocolVersion::from_level(level).ok_or(DecodeError::ProtocolLevel(level))?;
        if version.is_v5() && !header.is_minimal() {
            return Err(DecodeError::VariableByteInteger);
        }
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = decode_properties(reader, version, PropertyContext::Connect)?;
        let client_id = reader.string()?;
        if !is_client_id(client_id, flags & CLEAN_START != 0, version) {
            return Err(DecodeError::ClientIdentifier);
        }
        let will = if flags & WILL == 0 { None } else { Some(Will::decode(flags, reader, version)?) };
        let username = if flags & USERNAME == 0 { None } else { Some(reader.string()?) };
        let password = if flags & PASSWORD == 0 { None } else { Some(reader.binary()?) };
        Ok(Self {
            version,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            username,
            password,
            will,
            properties,
        })
    }

    /// Writes the packet in its own version.
    ///
    /// # Errors
    /// [`EncodeError`] for what its version does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        if !self.version.is_v5() && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::PasswordWithoutUserName);
        }
        if !is_client_id(self.client_id, self.clean_start, self.version) {
            return Err(EncodeError::ClientIdentifier);
        }
        encode_packet(writer, PacketType::Connect, |writer| {
            writer.string(PROTOCOL_NAME)?;
            writer.u8(self.version.level())?;
            writer.u8(self.flags())?;
            writer.u16(self.keep_alive)?;
            encode_properties(self.properties, writer, self.version, PropertyContext::Connect)?;
            writer.string(self.client_id)?;
            if let Some(will) = &self.will {
                will.encode(writer, self.version)?;
            }
            if let Some(username) = self.username {
                writer.string(username)?;
            }
            self.password.map_or(Ok(()), |password| writer.binary(password))
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
    fn decode(flags: u8, reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let properties = decode_properties(reader, version, PropertyContext::Will)?;
        let topic = TopicName::new(reader.string()?).map_err(DecodeError::Topic)?.as_str();
        Ok(Self {
            topic,
            payload: reader.binary()?,
            qos: QoS::from_bits(flags >> 3 & 3).ok_or(DecodeError::WillQoS)?,
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        encode_properties(self.properties, writer, version, PropertyContext::Will)?;
        writer.string(TopicName::new(self.topic)?.as_str())?;
        writer.binary(self.payload)
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
