use std::borrow::Cow;

use crate::codec::{Properties, Property, PropertyIter};

/// Properties of a received packet, as a checked block that is read lazily (v5.0 section 2.2.2).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PropertyBlock<'a>(Cow<'a, [u8]>);

impl<'a> PropertyBlock<'a> {
    pub(super) fn new(properties: &Properties<'a>) -> Self {
        Self(Cow::Borrowed(properties.as_block().unwrap_or(&[])))
    }

    pub(super) const fn from_checked(block: &'a [u8]) -> Self {
        Self(Cow::Borrowed(block))
    }

    /// The properties in their order.
    pub fn iter(&self) -> PropertyIter<'_> {
        self.as_properties().iter()
    }

    /// The same properties, for the layers below.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::from_checked_block(&self.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The Reason String.
    pub fn reason_string(&self) -> Option<&str> {
        self.as_properties().reason_string()
    }

    /// The User Properties.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The Content Type.
    pub fn content_type(&self) -> Option<&str> {
        self.as_properties().find(|property| match property {
            Property::ContentType(value) => Some(value),
            _ => None,
        })
    }

    /// The Response Topic.
    pub fn response_topic(&self) -> Option<&str> {
        self.as_properties().find(|property| match property {
            Property::ResponseTopic(value) => Some(value),
            _ => None,
        })
    }

    /// The Correlation Data.
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.as_properties().find(|property| match property {
            Property::CorrelationData(value) => Some(value),
            _ => None,
        })
    }

    /// The Message Expiry Interval in seconds.
    pub fn message_expiry_interval(&self) -> Option<u32> {
        self.as_properties().find(|property| match property {
            Property::MessageExpiryInterval(value) => Some(value),
            _ => None,
        })
    }

    /// The Subscription Identifiers.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(value) => Some(value),
            _ => None,
        })
    }

    /// The same with bytes of its own.
    pub fn into_owned(self) -> PropertyBlock<'static> {
        PropertyBlock(Cow::Owned(self.0.into_owned()))
    }
}

impl std::fmt::Debug for PropertyBlock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_properties().fmt(f)
    }
}
