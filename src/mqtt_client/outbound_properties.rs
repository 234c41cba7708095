//! Options of the application as the properties of a packet.

use super::options::{DisconnectOptions, MessageProperties, SubscribeOptions};
use crate::codec::Property;

pub(super) fn message_properties(options: &MessageProperties) -> Vec<Property<'_>> {
    let mut properties = Vec::new();
    if options.payload_is_utf8 {
        properties.push(Property::PayloadFormatIndicator(true));
    }
    properties.extend(options.message_expiry_interval.map(Property::MessageExpiryInterval));
    properties.extend(options.content_type.as_deref().map(Property::ContentType));
    properties.extend(options.response_topic.as_deref().map(Property::ResponseTopic));
    properties.extend(options.correlation_data.as_deref().map(Property::CorrelationData));
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
