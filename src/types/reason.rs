use core::cmp::Ordering;
use core::num::NonZeroU8;

use super::{ProtocolVersion, QoS, Role};

/// A Reason Code of MQTT 5.0 (section 2.4). Return codes of v3.1.1 are carried as the v5 code of the same meaning.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ReasonCode {
    /// The byte with its bits turned over: 0xFF is no code, so an `Option` of a code takes one byte too.
    complement: NonZeroU8,
}

/// Where a reason code stands.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum CodeContext {
    Connack = 0,
    /// PUBACK or PUBREC `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]`. That nobody subscribes only a server can say.
    Ack = 1,
    /// PUBREL or PUBCOMP `[MQTT-3.6.2-1]` `[MQTT-3.7.2-1]`.
    Release = 2,
    Suback = 3,
    /// That of v3.1.1 `[MQTT-3.9.3-2]`.
    SubackV3 = 4,
    Unsuback = 5,
    /// Section 3.14.2.1 `[MQTT-3.14.2-1]`; 0x8C only the table of section 2.4 gives to DISCONNECT.
    Disconnect = 6,
    /// Section 3.15.2.1 `[MQTT-3.15.2-1]`.
    Auth = 7,
}

impl CodeContext {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    const fn of_server(self) -> u16 {
        self.bit() as u16
    }

    const fn of_client(self) -> u16 {
        (self.bit() as u16) << 8
    }
}

const CONNACK: u16 = CodeContext::Connack.of_server();
const SERVER_ACK: u16 = CodeContext::Ack.of_server();
const ACK: u16 = CodeContext::Ack.of_client() | SERVER_ACK;
const RELEASE: u16 = CodeContext::Release.of_client() | CodeContext::Release.of_server();
const SUBACK: u16 = CodeContext::Suback.of_server();
const SUBACK_V3: u16 = CodeContext::SubackV3.of_server();
const UNSUBACK: u16 = CodeContext::Unsuback.of_server();
const SUBACKS: u16 = SUBACK | UNSUBACK;
const CLIENT_BYE: u16 = CodeContext::Disconnect.of_client();
const SERVER_BYE: u16 = CodeContext::Disconnect.of_server();
const BYE: u16 = CLIENT_BYE | SERVER_BYE;
const CLIENT_AUTH: u16 = CodeContext::Auth.of_client();
const SERVER_AUTH: u16 = CodeContext::Auth.of_server();
const AUTH: u16 = CLIENT_AUTH | SERVER_AUTH;

macro_rules! reason_codes {
    ($( $name:ident = $code:literal, $text:literal, in $contexts:expr; )*) => {
        impl ReasonCode {
            $(
                #[doc = concat!("`", stringify!($code), "` ", $text, ".")]
                pub const $name: Self = Self::new($code);
            )*

            const fn text(self) -> &'static str {
                match self.byte() {
                    $( $code => $text, )*
                    _ => "Unknown reason code",
                }
            }
        }

        #[cfg(feature = "defmt")]
        impl ReasonCode {
            fn format_text(self, f: defmt::Formatter<'_>) {
                match self.byte() {
                    $( $code => defmt::write!(f, $text), )*
                    _ => defmt::write!(f, "Unknown reason code"),
                }
            }
        }

        /// The contexts of each code, by its [`index`]. A table for each side: most programs are only one.
        static FROM_SERVER: [u8; 0x43] = {
            let mut contexts = [0; 0x43];
            $( contexts[index($code)] = ($contexts & 0xFF) as u8; )*
            contexts
        };
        static FROM_CLIENT: [u8; 0x43] = {
            let mut contexts = [0; 0x43];
            $( contexts[index($code)] = ($contexts >> 8) as u8; )*
            contexts
        };
    };
}

/// The codes lie in two ranges: from 0x00 to 0x1F, and from 0x80 on.
const fn index(code: u8) -> usize {
    (match code {
        0..=0x1F => code,
        0x20..=0x7F => u8::MAX,
        0x80.. => code - 0x60,
    }) as usize
}

reason_codes! {
    SUCCESS = 0x00, "Success", in CONNACK | ACK | RELEASE | SUBACKS | SUBACK_V3 | BYE | SERVER_AUTH;
    GRANTED_QOS_1 = 0x01, "Granted QoS 1", in SUBACK | SUBACK_V3;
    GRANTED_QOS_2 = 0x02, "Granted QoS 2", in SUBACK | SUBACK_V3;
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message", in CLIENT_BYE;
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers", in SERVER_ACK;
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed", in UNSUBACK;
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication", in AUTH;
    REAUTHENTICATE = 0x19, "Re-authenticate", in CLIENT_AUTH;
    UNSPECIFIED_ERROR = 0x80, "Unspecified error", in CONNACK | ACK | SUBACKS | SUBACK_V3 | BYE;
    MALFORMED_PACKET = 0x81, "Malformed Packet", in CONNACK | BYE;
    PROTOCOL_ERROR = 0x82, "Protocol Error", in CONNACK | BYE;
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error", in CONNACK | ACK | SUBACKS | BYE;
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version", in CONNACK;
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid", in CONNACK;
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password", in CONNACK;
    NOT_AUTHORIZED = 0x87, "Not authorized", in CONNACK | ACK | SUBACKS | SERVER_BYE;
    SERVER_UNAVAILABLE = 0x88, "Server unavailable", in CONNACK;
    SERVER_BUSY = 0x89, "Server busy", in CONNACK | SERVER_BYE;
    BANNED = 0x8A, "Banned", in CONNACK;
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down", in SERVER_BYE;
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method", in CONNACK | SERVER_BYE;
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout", in SERVER_BYE;
    SESSION_TAKEN_OVER = 0x8E, "Session taken over", in SERVER_BYE;
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid", in SUBACKS | SERVER_BYE;
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid", in CONNACK | ACK | BYE;
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use", in ACK | SUBACKS;
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found", in RELEASE;
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded", in BYE;
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid", in BYE;
    PACKET_TOO_LARGE = 0x95, "Packet too large", in CONNACK | BYE;
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high", in BYE;
    QUOTA_EXCEEDED = 0x97, "Quota exceeded", in CONNACK | ACK | SUBACK | BYE;
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action", in BYE;
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid", in CONNACK | ACK | BYE;
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported", in CONNACK | SERVER_BYE;
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported", in CONNACK | SERVER_BYE;
    USE_ANOTHER_SERVER = 0x9C, "Use another server", in CONNACK | SERVER_BYE;
    SERVER_MOVED = 0x9D, "Server moved", in CONNACK | SERVER_BYE;
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported", in SUBACK | SERVER_BYE;
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded", in CONNACK | SERVER_BYE;
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time", in SERVER_BYE;
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported", in SUBACK | SERVER_BYE;
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported", in SUBACK | SERVER_BYE;
}

impl ReasonCode {
    /// The code of a byte; `None` where MQTT 5.0 defines none.
    pub fn from_byte(byte: u8) -> Option<Self> {
        let is_known = |code: &Self| code.contexts(Role::Server) | code.contexts(Role::Client) != 0;
        Some(Self::new(byte)).filter(is_known)
    }

    /// The code of a byte, if that side may send it there.
    pub(crate) fn decode(byte: u8, context: CodeContext, from: Role) -> Option<Self> {
        Some(Self::new(byte)).filter(|code| code.is_allowed_in(context, from))
    }

    pub(crate) fn is_allowed_in(self, context: CodeContext, from: Role) -> bool {
        self.contexts(from) & context.bit() != 0
    }

    fn contexts(self, from: Role) -> u8 {
        let table = match from {
            Role::Client => &FROM_CLIENT,
            Role::Server => &FROM_SERVER,
        };
        table.get(index(self.byte())).copied().unwrap_or(0)
    }

    /// The byte on the wire of v5.0.
    pub const fn byte(self) -> u8 {
        !self.complement.get()
    }

    /// 0xFF becomes 0xFE, which is no code either.
    const fn new(byte: u8) -> Self {
        match NonZeroU8::new(!byte) {
            Some(complement) => Self { complement },
            None => Self { complement: NonZeroU8::MIN },
        }
    }

    /// Whether the code reports a failure: 0x80 or above.
    pub const fn is_error(self) -> bool {
        self.byte() >= 0x80
    }

    /// The SUBACK code that grants this QoS.
    pub const fn granted(qos: QoS) -> Self {
        Self::new(qos.bits())
    }

    /// The v5 code of a CONNACK return code of v3.1.1 (its section 3.2.2.3); `None` above 5.
    pub const fn from_return_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::SUCCESS),
            1 => Some(Self::UNSUPPORTED_PROTOCOL_VERSION),
            2 => Some(Self::CLIENT_IDENTIFIER_NOT_VALID),
            3 => Some(Self::SERVER_UNAVAILABLE),
            4 => Some(Self::BAD_USER_NAME_OR_PASSWORD),
            5 => Some(Self::NOT_AUTHORIZED),
            _ => None,
        }
    }

    /// The CONNACK return code of v3.1.1 with this meaning; `None` where that version has none.
    pub const fn return_code(self) -> Option<u8> {
        match self {
            Self::SUCCESS => Some(0),
            Self::UNSUPPORTED_PROTOCOL_VERSION => Some(1),
            Self::CLIENT_IDENTIFIER_NOT_VALID => Some(2),
            Self::SERVER_UNAVAILABLE => Some(3),
            Self::BAD_USER_NAME_OR_PASSWORD => Some(4),
            Self::NOT_AUTHORIZED => Some(5),
            _ => None,
        }
    }

    /// The name the standard gives the code, in the words of the version in use: in v3.1.1 those of CONNACK for 0x00
    /// and its refusals, those of SUBACK for the others it has.
    pub const fn description(self, version: ProtocolVersion) -> &'static str {
        if version.is_v5() {
            return self.text();
        }
        match self {
            Self::SUCCESS => "Connection Accepted",
            Self::UNSUPPORTED_PROTOCOL_VERSION => "Connection Refused, unacceptable protocol version",
            Self::CLIENT_IDENTIFIER_NOT_VALID => "Connection Refused, identifier rejected",
            Self::SERVER_UNAVAILABLE => "Connection Refused, Server unavailable",
            Self::BAD_USER_NAME_OR_PASSWORD => "Connection Refused, bad user name or password",
            Self::NOT_AUTHORIZED => "Connection Refused, not authorized",
            Self::GRANTED_QOS_1 => "Success - Maximum QoS 1",
            Self::GRANTED_QOS_2 => "Success - Maximum QoS 2",
            Self::UNSPECIFIED_ERROR => "Failure",
            other => other.text(),
        }
    }
}

impl Ord for ReasonCode {
    fn cmp(&self, other: &Self) -> Ordering {
        self.byte().cmp(&other.byte())
    }
}

impl PartialOrd for ReasonCode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl core::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#04x} {}", self.byte(), self.text())
    }
}

/// The text stays in the file that the host reads; only the code and an index are sent.
#[cfg(feature = "defmt")]
impl defmt::Format for ReasonCode {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u8:#04x} ", self.byte());
        self.format_text(f);
    }
}

impl core::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({:#04x})", self.text(), self.byte())
    }
}
