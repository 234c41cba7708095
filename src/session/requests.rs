//! Subscribe and unsubscribe (sections 3.8 to 3.11).

use super::connection::queued_len;
use super::error::{Misuse, PeerError};
use super::event::Event;
use super::machine::{Handled, Machine};
use super::storage::{Encode, Queued, Request, RequestKind, Store};
use crate::codec::{EncodeError, Properties, Property, Writer};
use crate::packet::{Filters, Suback, Subscribe, Subscriptions, Unsuback, Unsubscribe};
use crate::types::{PacketId, TopicFilter};

impl Machine {
    pub(super) fn subscribe<V: Store>(
        &mut self,
        store: &mut V,
        subscriptions: Subscriptions<'_>,
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        self.check_offered(subscriptions, properties)?;
        let packet_id = self.unused_packet_id(store)?;
        let packet = Subscribe { packet_id, subscriptions, properties: Properties::new(properties) };
        let version = self.version();
        let filters = subscriptions.iter().count();
        self.request(store, RequestKind::Subscribe, packet_id, filters, &|writer: &mut Writer<'_>| {
            packet.encode(writer, version)
        })
    }

    pub(super) fn unsubscribe<V: Store>(
        &mut self,
        store: &mut V,
        filters: Filters<'_>,
        properties: &[Property<'_>],
    ) -> Result<PacketId, Misuse> {
        let packet_id = self.unused_packet_id(store)?;
        let packet = Unsubscribe { packet_id, filters, properties: Properties::new(properties) };
        let version = self.version();
        let count = filters.iter().count();
        self.request(store, RequestKind::Unsubscribe, packet_id, count, &|writer: &mut Writer<'_>| {
            packet.encode(writer, version)
        })
    }

    fn request<V: Store>(
        &mut self,
        store: &mut V,
        kind: RequestKind,
        packet_id: PacketId,
        filters: usize,
        encode: &Encode<'_>,
    ) -> Result<PacketId, Misuse> {
        if !self.is_connected() {
            return Err(Misuse::NotConnected);
        }
        let len = queued_len(encode)?;
        self.limits.check_packet_size(len)?;
        let filters = u16::try_from(filters).map_err(|_| EncodeError::TooLong)?;
        store.push_request(Request { kind, packet_id, filters })?;
        if let Err(error) = store.queue(Queued::Control, len, encode) {
            store.take_request(kind, packet_id);
            return Err(error.into());
        }
        self.last_packet_id = packet_id;
        Ok(packet_id)
    }

    /// Refuses what the server has said it does not offer.
    fn check_offered(&self, subscriptions: Subscriptions<'_>, properties: &[Property<'_>]) -> Result<(), Misuse> {
        let has_identifier = properties.iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_)));
        if has_identifier && !self.limits.subscription_identifier_available {
            return Err(Misuse::SubscriptionIdentifiersNotSupported);
        }
        for subscription in &subscriptions {
            if !self.limits.wildcard_subscription_available && subscription.filter.contains(['+', '#']) {
                return Err(Misuse::WildcardSubscriptionsNotSupported);
            }
            let shared = TopicFilter::new(subscription.filter).is_ok_and(TopicFilter::is_shared);
            if !self.limits.shared_subscription_available && shared {
                return Err(Misuse::SharedSubscriptionsNotSupported);
            }
        }
        Ok(())
    }

    pub(super) fn handle_suback<'i, V: Store>(
        &mut self,
        store: &mut V,
        suback: Suback<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        match store.take_request(RequestKind::Subscribe, suback.packet_id) {
            Some(request) if usize::from(request.filters) == suback.codes.len() => {
                Ok(Handled::Done(Some(Event::Subscribed(suback))))
            }
            Some(_) => Err(PeerError::ReasonCodeCount), // [MQTT-3.8.4-6]
            None => Ok(Handled::Done(None)),
        }
    }

    pub(super) fn handle_unsuback<'i, V: Store>(
        &mut self,
        store: &mut V,
        unsuback: Unsuback<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        match store.take_request(RequestKind::Unsubscribe, unsuback.packet_id) {
            Some(request) if self.version().is_v5() && usize::from(request.filters) != unsuback.codes.len() => {
                Err(PeerError::ReasonCodeCount) // [MQTT-3.11.3-1]
            }
            Some(_) => Ok(Handled::Done(Some(Event::Unsubscribed(unsuback)))),
            None => Ok(Handled::Done(None)),
        }
    }
}
