//! MQTT packets as bytes, encoded here by hand so that they are a second opinion on the crate's own codec.

/// A PINGREQ.
pub const PINGREQ: [u8; 2] = [0xC0, 0];
/// A PINGRESP.
pub const PINGRESP: [u8; 2] = [0xD0, 0];
/// A DISCONNECT that says no more than its type: the only one of v3.1.1, and Normal disconnection in v5.0.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

/// First bytes of the acknowledgements that have an [`ack`] form.
pub const PUBACK: u8 = 0x40;
/// See [`PUBACK`].
pub const PUBREC: u8 = 0x50;
/// See [`PUBACK`].
pub const PUBREL: u8 = 0x62;
/// See [`PUBACK`].
pub const PUBCOMP: u8 = 0x70;

/// A packet: first byte, the length of all `parts` together, the parts.
pub fn packet(first_byte: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut bytes = vec![first_byte];
    bytes.extend(variable_byte_integer(body.len()));
    bytes.extend(body);
    bytes
}

/// A CONNACK of v5.0; `properties` without their length.
pub fn connack_v5(properties: &[u8], session_present: bool, reason_code: u8) -> Vec<u8> {
    let head = [u8::from(session_present), reason_code];
    packet(0x20, &[&head, &prefixed(properties)])
}

/// A CONNACK of v3.1.1.
pub fn connack_v3(session_present: bool, return_code: u8) -> Vec<u8> {
    packet(0x20, &[&[u8::from(session_present), return_code]])
}

/// A PUBLISH of v5.0; `flags` are the low half of the first byte, `properties` come without their length.
pub fn publish_v5(flags: u8, topic: &str, packet_id: Option<u16>, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    publish(flags, topic, packet_id, &prefixed(properties), payload)
}

/// A PUBLISH of v3.1.1; `flags` are the low half of the first byte.
pub fn publish_v3(flags: u8, topic: &str, packet_id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    publish(flags, topic, packet_id, &[], payload)
}

/// A PUBLISH with what stands between packet id and payload given as it is on the wire.
pub fn publish(
    flags: u8,
    topic: &str,
    packet_id: Option<u16>,
    properties_with_length: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let packet_id = packet_id.map(u16::to_be_bytes);
    packet(
        0x30 | flags,
        &[&string(topic), packet_id.as_ref().map_or(&[][..], |id| id), properties_with_length, payload],
    )
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP that reports success in either version: the packet id alone.
pub fn ack(first_byte: u8, packet_id: u16) -> Vec<u8> {
    packet(first_byte, &[&packet_id.to_be_bytes()])
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP of v5.0 with a reason code and no properties.
pub fn ack_v5(first_byte: u8, packet_id: u16, reason_code: u8) -> Vec<u8> {
    packet(first_byte, &[&packet_id.to_be_bytes(), &[reason_code]])
}

/// A SUBACK of v5.0; `properties` without their length.
pub fn suback_v5(packet_id: u16, properties: &[u8], reason_codes: &[u8]) -> Vec<u8> {
    let id = packet_id.to_be_bytes();
    packet(0x90, &[&id, &prefixed(properties), reason_codes])
}

/// A SUBACK of v3.1.1.
pub fn suback_v3(packet_id: u16, return_codes: &[u8]) -> Vec<u8> {
    packet(0x90, &[&packet_id.to_be_bytes(), return_codes])
}

/// An UNSUBACK of v5.0; `properties` without their length.
pub fn unsuback_v5(packet_id: u16, properties: &[u8], reason_codes: &[u8]) -> Vec<u8> {
    let id = packet_id.to_be_bytes();
    packet(0xB0, &[&id, &prefixed(properties), reason_codes])
}

/// An UNSUBACK of v3.1.1.
pub fn unsuback_v3(packet_id: u16) -> Vec<u8> {
    packet(0xB0, &[&packet_id.to_be_bytes()])
}

/// A DISCONNECT of v5.0; `properties` without their length.
pub fn disconnect_v5(reason_code: u8, properties: &[u8]) -> Vec<u8> {
    packet(0xE0, &[&[reason_code], &prefixed(properties)])
}

/// A UTF-8 encoded string with its two bytes of length.
pub fn string(text: &str) -> Vec<u8> {
    binary(text.as_bytes())
}

/// Binary data with its two bytes of length.
pub fn binary(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("at most 65,535 bytes");
    [&length.to_be_bytes(), data].concat()
}

/// `properties` with their length before them.
pub fn prefixed(properties: &[u8]) -> Vec<u8> {
    let mut bytes = variable_byte_integer(properties.len());
    bytes.extend(properties);
    bytes
}

/// A Variable Byte Integer, in as few bytes as can be.
pub fn variable_byte_integer(value: usize) -> Vec<u8> {
    assert!(value < 1 << 28, "{value} has no encoding");
    let mut bytes = Vec::new();
    let mut rest = value;
    loop {
        let low = u8::try_from(rest % 128).expect("below 128");
        rest /= 128;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The packet id of a received PUBLISH above QoS 0, acknowledgement, SUBSCRIBE or UNSUBSCRIBE, in either version.
///
/// # Panics
/// When the packet is too short to hold one.
#[track_caller]
pub fn packet_id(packet: &[u8]) -> u16 {
    let body = body(packet);
    let at = if packet[0] >> 4 == 3 { 2 + usize::from(u16::from_be_bytes([body[0], body[1]])) } else { 0 };
    u16::from_be_bytes([body[at], body[at + 1]])
}

/// The payload of a whole PUBLISH.
#[track_caller]
pub fn payload(packet: &[u8], is_v5: bool) -> &[u8] {
    let body = body(packet);
    let has_packet_id = packet[0] & 0x06 != 0;
    let rest = &body[2 + usize::from(u16::from_be_bytes([body[0], body[1]])) + 2 * usize::from(has_packet_id)..];
    if is_v5 {
        let (properties_len, length_bytes) = variable_byte_integer_of(rest).expect("a length of properties");
        &rest[length_bytes + properties_len..]
    } else {
        rest
    }
}

/// The client id in the body of a CONNECT.
#[track_caller]
pub fn client_id(connect: &[u8]) -> String {
    let is_v5 = connect[6] == 5;
    let rest = &connect[10..];
    let properties = if is_v5 { variable_byte_integer_of(rest).expect("a length of properties") } else { (0, 0) };
    let rest = &rest[properties.0 + properties.1..];
    String::from_utf8_lossy(&rest[2..2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))]).into_owned()
}

/// Cuts a stream into whole packets.
#[derive(Default)]
pub struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    /// Takes the next bytes of the stream, and gives each packet that is whole to `take`.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        self.begun.extend(bytes);
        let mut at = 0;
        while let Some((body_len, length_bytes)) = self.begun.get(at + 1..).and_then(variable_byte_integer_of) {
            let end = at + 1 + length_bytes + body_len;
            let Some(packet) = self.begun.get(at..end) else { break };
            take(packet);
            at = end;
        }
        self.begun.drain(..at);
        // One that waits for ever, as its connection is gone, keeps no more than it needs.
        self.begun.shrink_to_fit();
    }
}

/// The Variable Byte Integer at the front of `bytes`, and how many bytes it takes; `None` when it is not whole.
fn variable_byte_integer_of(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = bytes.iter().take(4).position(|byte| *byte < 0x80)? + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    Some((value, length))
}

/// What follows the fixed header of a whole packet.
#[track_caller]
pub fn body(packet: &[u8]) -> &[u8] {
    let length_bytes = packet[1..].iter().take_while(|&&byte| byte >= 0x80).count() + 1;
    &packet[1 + length_bytes..]
}

/// The name of the packet type that `first_byte` announces.
pub fn type_name(first_byte: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "type 0",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    NAMES[usize::from(first_byte >> 4)]
}
