//! The small words of MQTT that every layer shares: [`QoS`], [`PacketId`], [`ReasonCode`], [`ProtocolVersion`],
//! [`TopicName`] and [`TopicFilter`].

mod bytes;
mod packet_id;
mod qos;
mod reason;
mod text;
mod topic;
mod version;

pub(crate) use bytes::has_any;
pub use packet_id::PacketId;
pub use qos::QoS;
pub(crate) use reason::CodeContext;
pub use reason::ReasonCode;
pub(crate) use text::Text;
pub use topic::{TopicError, TopicFilter, TopicName};
pub(crate) use topic::{behind_share, has_wildcard};
pub use version::{ProtocolVersion, Role};
