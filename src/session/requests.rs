//! Subscribe and unsubscribe (sections 3.8 to 3.11).

use super::error::{Misuse, PeerError};
use super::event::{Event, Halted, Taken};
use super::machine::{Machine, has_qos_2, has_v5};
use super::storage::{Request, RequestKind, Store};
use crate::codec::{EncodeError, PacketType, Properties, Property, PropertyId};
use crate::packet::{Body, Suback, Subscription, Unsuback, encode_subscribe, encode_unsubscribe};
use crate::types::{PacketId, QoS, behind_share, has_wildcard};

impl Machine {
    pub(super) fn subscribe<V: Store>(
        &mut self,
        store: &mut V,
        subscriptions: &[Subscription<'_>],
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        let properties = Properties::new(properties);
        self.check_connected()?;
        if !has_qos_2::<V>() && subscriptions.iter().any(|subscription| subscription.qos == QoS::ExactlyOnce) {
            return Err(Misuse::LeftOut);
        }
        let version = self.version::<V>();
        let packet_id = self.unused_packet_id(store).ok_or(Misuse::PacketIdsExhausted)?;
        let len = self.encode(store, |writer| {
            encode_subscribe(writer, version, packet_id, properties, subscriptions.iter().copied())
        })?;
        if has_v5::<V>() {
            self.check_offered(subscriptions, &properties)?;
        }
        self.request(store, RequestKind::Subscribe, packet_id, subscriptions.len(), len)
    }

    pub(super) fn unsubscribe<V: Store>(
        &mut self,
        store: &mut V,
        filters: &[&str],
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        let properties = Properties::new(properties);
        self.check_connected()?;
        let version = self.version::<V>();
        let packet_id = self.unused_packet_id(store).ok_or(Misuse::PacketIdsExhausted)?;
        let len = self.encode(store, |writer| {
            encode_unsubscribe(writer, version, packet_id, properties, filters.iter().copied())
        })?;
        self.request(store, RequestKind::Unsubscribe, packet_id, filters.len(), len)
    }

    /// Sends a request of `len` bytes that has been written.
    fn request<V: Store>(
        &mut self,
        store: &mut V,
        kind: RequestKind,
        packet_id: PacketId,
        filters: usize,
        len: usize,
    ) -> Result<PacketId, Misuse> {
        let filters = u16::try_from(filters).map_err(|_| EncodeError::TooLong)?;
        store.queue_request(Request { kind, packet_id, filters }, len)?;
        self.last_packet_id = packet_id;
        Ok(packet_id)
    }

    /// Refuses what the server has said it does not offer. The filters are valid.
    fn check_offered(&self, subscriptions: &[Subscription<'_>], properties: &Properties<'_>) -> Result<(), Misuse> {
        let limits = &self.limits;
        if !limits.subscription_identifier_available && properties.has(PropertyId::SubscriptionIdentifier) {
            return Err(Misuse::SubscriptionIdentifiersNotSupported);
        }
        for subscription in subscriptions {
            let filter = subscription.filter.as_bytes();
            if !limits.wildcard_subscription_available && has_wildcard(filter) {
                return Err(Misuse::WildcardSubscriptionsNotSupported);
            }
            if !limits.shared_subscription_available && behind_share(filter).is_some() {
                return Err(Misuse::SharedSubscriptionsNotSupported);
            }
        }
        Ok(())
    }

    /// Takes a SUBACK or UNSUBACK.
    pub(super) fn handle_request_answer<'i, V: Store>(
        &mut self,
        store: &mut V,
        packet_type: PacketType,
        answer: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let is_suback = packet_type == PacketType::Suback;
        let kind = if is_suback { RequestKind::Subscribe } else { RequestKind::Unsubscribe };
        let Some(filters) = store.take_request(kind, answer.packet_id) else { return Ok(()) };
        let has_codes = is_suback || self.version::<V>().is_v5();
        if has_codes && usize::from(filters) != answer.codes.len() {
            return taken.fault(PeerError::ReasonCodeCount); // [MQTT-3.8.4-6] [MQTT-3.11.3-1]
        }
        taken.has(match kind {
            RequestKind::Subscribe => Event::Subscribed(Suback::from_body(answer)),
            RequestKind::Unsubscribe => Event::Unsubscribed(Unsuback::from_body(answer)),
        });
        Ok(())
    }
}
