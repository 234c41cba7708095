use super::{ProtocolVersion, QoS};

/// A Reason Code of MQTT 5.0 (section 2.4). Return codes of v3.1.1 are carried as the v5 code of the same meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct ReasonCode(u8);

macro_rules! reason_codes {
    ($( $name:ident = $code:literal, $text:literal; )*) => {
        impl ReasonCode {
            $(
                #[doc = concat!("`", stringify!($code), "` ", $text, ".")]
                pub const $name: Self = Self($code);
            )*

            /// The code of a byte; `None` where MQTT 5.0 defines none.
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $( $code => Some(Self($code)), )*
                    _ => None,
                }
            }

            #[cfg(feature = "defmt")]
            fn format_text(self, f: defmt::Formatter<'_>) {
                match self.0 {
                    $( $code => defmt::write!(f, $text), )*
                    _ => defmt::write!(f, "Unknown reason code"),
                }
            }

            const fn text(self) -> &'static str {
                match self.0 {
                    $( $code => $text, )*
                    _ => "Unknown reason code",
                }
            }
        }
    };
}

reason_codes! {
    SUCCESS = 0x00, "Success";
    GRANTED_QOS_1 = 0x01, "Granted QoS 1";
    GRANTED_QOS_2 = 0x02, "Granted QoS 2";
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message";
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers";
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed";
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication";
    REAUTHENTICATE = 0x19, "Re-authenticate";
    UNSPECIFIED_ERROR = 0x80, "Unspecified error";
    MALFORMED_PACKET = 0x81, "Malformed Packet";
    PROTOCOL_ERROR = 0x82, "Protocol Error";
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid";
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password";
    NOT_AUTHORIZED = 0x87, "Not authorized";
    SERVER_UNAVAILABLE = 0x88, "Server unavailable";
    SERVER_BUSY = 0x89, "Server busy";
    BANNED = 0x8A, "Banned";
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method";
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout";
    SESSION_TAKEN_OVER = 0x8E, "Session taken over";
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid";
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid";
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded";
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid";
    PACKET_TOO_LARGE = 0x95, "Packet too large";
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high";
    QUOTA_EXCEEDED = 0x97, "Quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action";
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid";
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported";
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    USE_ANOTHER_SERVER = 0x9C, "Use another server";
    SERVER_MOVED = 0x9D, "Server moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported";
}

impl ReasonCode {
    /// The byte on the wire of v5.0.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// Whether the code reports a failure: 0x80 or above.
    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The SUBACK code that grants this QoS.
    pub const fn granted(qos: QoS) -> Self {
        Self(qos.bits())
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

    /// The name the standard gives the code, in the words of the version in use: in v3.1.1 those of CONNACK for 0x00 and
    /// its refusals, those of SUBACK for the others it has.
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

impl core::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#04x} {}", self.0, self.text())
    }
}

/// The text stays in the file that the host reads; only the code and an index are sent.
#[cfg(feature = "defmt")]
impl defmt::Format for ReasonCode {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u8:#04x} ", self.0);
        self.format_text(f);
    }
}

impl core::fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({:#04x})", self.text(), self.0)
    }
}
