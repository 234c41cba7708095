//! Subscribe and unsubscribe (sections 3.8 to 3.11).

use super::error::{Misuse, PeerError};
use super::event::{Event, Halted, Taken};
use super::machine::{Machine, has_qos_2};
use super::storage::{Queued, Request, RequestKind, Store};
use crate::codec::{EncodeError, Properties, Property, PropertyId};
use crate::packet::{Body, Suback, Subscription, Unsuback, encode_subscribe, encode_unsubscribe};
use crate::types::{PacketId, QoS, TopicFilter};

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
        self.check_offered(subscriptions, &properties)?;
        let (version, packet_id) = (self.version(), self.unused_packet_id(store)?);
        let len = self.encode(store, &|writer| {
            encode_subscribe(writer, version, packet_id, properties, subscriptions.iter().copied())
        })?;
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
        let (version, packet_id) = (self.version(), self.unused_packet_id(store)?);
        let len = self.encode(store, &|writer| {
            encode_unsubscribe(writer, version, packet_id, properties, filters.iter().copied())
        })?;
        self.request(store, RequestKind::Unsubscribe, packet_id, filters.len(), len)
    }

    /// Sends a request of `len` bytes that has been written.
    #[inline(never)]
    fn request<V: Store>(
        &mut self,
        store: &mut V,
        kind: RequestKind,
        packet_id: PacketId,
        filters: usize,
        len: usize,
    ) -> Result<PacketId, Misuse> {
        let filters = u16::try_from(filters).map_err(|_| EncodeError::TooLong)?;
        store.push_request(Request { kind, packet_id, filters })?;
        if let Err(full) = store.queue(Queued::Control, len) {
            store.take_request(kind, packet_id);
            return Err(full.into());
        }
        self.last_packet_id = packet_id;
        Ok(packet_id)
    }

    /// Refuses what the server has said it does not offer.
    fn check_offered(&self, subscriptions: &[Subscription<'_>], properties: &Properties<'_>) -> Result<(), Misuse> {
        let limits = &self.limits;
        if !limits.subscription_identifier_available && properties.has(PropertyId::SubscriptionIdentifier) {
            return Err(Misuse::SubscriptionIdentifiersNotSupported);
        }
        for subscription in subscriptions {
            let Ok(filter) = TopicFilter::new(subscription.filter) else { continue };
            if !limits.wildcard_subscription_available && filter.has_wildcard() {
                return Err(Misuse::WildcardSubscriptionsNotSupported);
            }
            if !limits.shared_subscription_available && filter.is_shared() {
                return Err(Misuse::SharedSubscriptionsNotSupported);
            }
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn handle_suback<'i, V: Store>(
        &mut self,
        store: &mut V,
        suback: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let Some(request) = store.take_request(RequestKind::Subscribe, suback.packet_id) else { return Ok(()) };
        if usize::from(request.filters) != suback.codes.len() {
            return taken.fault(PeerError::ReasonCodeCount); // [MQTT-3.8.4-6]
        }
        taken.has(Event::Subscribed(Suback::from_body(suback)));
        Ok(())
    }

    #[inline(never)]
    pub(super) fn handle_unsuback<'i, V: Store>(
        &mut self,
        store: &mut V,
        unsuback: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let Some(request) = store.take_request(RequestKind::Unsubscribe, unsuback.packet_id) else { return Ok(()) };
        if self.version().is_v5() && usize::from(request.filters) != unsuback.codes.len() {
            return taken.fault(PeerError::ReasonCodeCount); // [MQTT-3.11.3-1]
        }
        taken.has(Event::Unsubscribed(Unsuback::from_body(unsuback)));
        Ok(())
    }
}
