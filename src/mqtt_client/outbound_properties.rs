//! Options of the application as the properties of a packet.

use super::options::{DisconnectOptions, MessageProperties, SubscribeOptions};
use crate::codec::Property;

#[inline]
pub(super) fn message_properties(options: &MessageProperties) -> Vec<Property<'_>> {
    if has_none(options) { Vec::new() } else { some_message_properties(options) }
}

/// Whether there are none, as for most messages.
#[inline]
pub(super) const fn has_none(options: &MessageProperties) -> bool {
    let MessageProperties {
        payload_is_utf8,
        message_expiry_interval,
        content_type,
        response_topic,
        correlation_data,
        user_properties,
    } = options;
    !*payload_is_utf8
        && message_expiry_interval.is_none()
        && content_type.is_none()
        && response_topic.is_none()
        && correlation_data.is_none()
        && user_properties.is_empty()
}

fn some_message_properties(options: &MessageProperties) -> Vec<Property<'_>> {
    let mut properties = Vec::new();
    if options.payload_is_utf8 {
        properties.push(Property::PayloadFormatIndicator(true));
    }
    if let Some(seconds) = options.message_expiry_interval {
        properties.push(Property::MessageExpiryInterval(seconds));
    }
    if let Some(content_type) = &options.content_type {
        properties.push(Property::ContentType(content_type));
    }
    if let Some(topic) = &options.response_topic {
        properties.push(Property::ResponseTopic(topic));
    }
    if let Some(data) = &options.correlation_data {
        properties.push(Property::CorrelationData(data));
    }
    properties.extend(user_properties(&options.user_properties));
    properties
}

pub(super) fn subscribe_properties(options: &SubscribeOptions) -> Vec<Property<'_>> {
    let identifier = options.subscription_identifier.map(Property::SubscriptionIdentifier);
    identifier.into_iter().chain(user_properties(&options.user_properties)).collect()
}

pub(super) fn disconnect_properties(options: &DisconnectOptions) -> Vec<Property<'_>> {
    let expiry = options.session_expiry_interval.map(Property::SessionExpiryInterval);
    let reason = options.reason_string.as_deref().map(Property::ReasonString);
    expiry.into_iter().chain(reason).chain(user_properties(&options.user_properties)).collect()
}

pub(super) fn user_properties(pairs: &[(String, String)]) -> impl Iterator<Item = Property<'_>> {
    pairs.iter().map(|(name, value)| Property::UserProperty(name, value))
}
