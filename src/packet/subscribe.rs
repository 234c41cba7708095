use super::{decode_packet_id, decode_properties, encode_list, encode_packet, encode_properties};
use crate::codec::{DecodeError, EncodeError, Entries, Entry, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{PacketId, ProtocolVersion, QoS, TopicError, TopicFilter, behind_share};

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;

/// SUBSCRIBE (section 3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Subscribe<'a> {
    /// Comes back in the SUBACK.
    pub packet_id: PacketId,
    /// What is asked for; at least one entry `[MQTT-3.8.3-2]`.
    pub subscriptions: Subscriptions<'a>,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// A Topic Filter with its options (section 3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Subscription<'a> {
    /// The filter, which may be a shared subscription in v5.0.
    pub filter: &'a str,
    /// The highest QoS at which messages are wanted.
    pub qos: QoS,
    /// Do not send back what this client publishes (v5.0).
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published (v5.0).
    pub retain_as_published: bool,
    /// When retained messages are sent (v5.0).
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent for a subscription (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum RetainHandling {
    /// At every subscribe, as v3.1.1 does.
    #[default]
    SendAtSubscribe = 0,
    /// Only if the subscription is new.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

/// The entries of a SUBSCRIBE.
pub type Subscriptions<'a> = Entries<'a, Subscription<'a>>;

impl<'a> Subscribe<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        let packet_id = decode_packet_id(reader);
        let properties = Properties::from_wire(decode_properties(reader, version, PropertyContext::Subscribe));
        let block = reader.rest();
        if block.is_empty() {
            reader.fail(DecodeError::EmptyList);
        }
        let mut entries = Reader::new(block);
        while let Some(subscription) = Subscription::decode_entry(&mut entries) {
            if let Err(error) = subscription.check_decoded(version) {
                entries.fail(error);
            }
        }
        entries.finish().unwrap_or_else(|error| reader.fail(error));
        Self { packet_id, subscriptions: Subscriptions::from_checked_block(block), properties }
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for an empty list, an invalid filter, or options that the version does not have.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        encode_subscribe(writer, version, self.packet_id, self.properties, self.subscriptions.iter())
    }
}

/// Writes a SUBSCRIBE, wherever its subscriptions come from.
pub(crate) fn encode_subscribe<'s>(
    writer: &mut Writer<'_>,
    version: ProtocolVersion,
    packet_id: PacketId,
    properties: Properties<'_>,
    subscriptions: impl Iterator<Item = Subscription<'s>>,
) -> Result<(), EncodeError> {
    encode_packet(writer, PacketType::Subscribe, |writer| {
        writer.u16(packet_id.value());
        encode_properties(properties, writer, version, PropertyContext::Subscribe);
        encode_list(writer, subscriptions, |writer, subscription| subscription.write(writer, version));
    })
}

impl<'a> Subscription<'a> {
    /// A subscription with the options that v3.1.1 has.
    pub const fn new(filter: &'a str, qos: QoS) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }
}

impl<'a> Entry<'a> for Subscription<'a> {
    fn decode_entry(reader: &mut Reader<'a>) -> Option<Self> {
        if reader.is_empty() {
            return None;
        }
        let filter = reader.string();
        let options = reader.u8();
        let retain_handling = match options >> 4 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            handling => {
                let is_third = handling == 3;
                reader.fail(if is_third { DecodeError::RetainHandling } else { DecodeError::SubscriptionOptions });
                return None;
            }
        };
        let Some(qos) = QoS::from_bits(options & 3) else {
            reader.fail(DecodeError::SubscriptionQoS);
            return None;
        };
        Some(Self {
            filter,
            qos,
            no_local: options & NO_LOCAL != 0,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }
}

impl Subscription<'_> {
    fn check_decoded(&self, version: ProtocolVersion) -> Result<(), DecodeError> {
        match filter_fault(self.filter, version) {
            Some(error) => Err(DecodeError::TopicFilter(error)),
            None if self.is_no_local_on_shared(version) => Err(DecodeError::NoLocalOnShared),
            None if !version.is_v5() && self.options() > 2 => Err(DecodeError::SubscriptionOptions),
            None => Ok(()),
        }
    }

    fn write(&self, writer: &mut Writer<'_>, version: ProtocolVersion) {
        match filter_fault(self.filter, version) {
            Some(error) => writer.fail(error.into()),
            None if self.is_no_local_on_shared(version) => writer.fail(EncodeError::NoLocalOnShared),
            None if !version.is_v5() && self.options() > 2 => writer.fail(EncodeError::NotInVersion),
            None => {}
        }
        writer.string(self.filter);
        writer.u8(self.options());
    }

    fn is_no_local_on_shared(&self, version: ProtocolVersion) -> bool {
        version.is_v5() && self.no_local && behind_share(self.filter.as_bytes()).is_some()
    }

    fn options(&self) -> u8 {
        let mut options = self.qos.bits() | (self.retain_handling as u8) << 4;
        if self.no_local {
            options |= NO_LOCAL;
        }
        if self.retain_as_published {
            options |= RETAIN_AS_PUBLISHED;
        }
        options
    }
}

/// The rule that a filter breaks. Shared subscriptions exist in v5.0 only; v3.1.1 takes `$share/…` as any other filter.
pub(super) fn filter_fault(filter: &str, version: ProtocolVersion) -> Option<TopicError> {
    TopicFilter::fault(filter).or_else(|| if version.is_v5() { TopicFilter::share_fault(filter) } else { None })
}
