use thiserror::Error;

use super::Text;
use super::bytes::has_any;

/// Why a string is no Topic Name or no Topic Filter (v5.0 section 4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TopicError {
    /// It has no character.
    #[error("a topic has at least one character [MQTT-4.7.3-1]")]
    Empty,
    /// It is longer than 65,535 bytes.
    #[error("a topic has at most 65,535 bytes [MQTT-4.7.3-3]")]
    TooLong,
    /// It contains U+0000.
    #[error("a topic must not contain U+0000 [MQTT-4.7.3-2]")]
    Nul,
    /// A Topic Name contains `+` or `#`.
    #[error("a topic name must not contain the wildcards + and # [MQTT-4.7.0-1]")]
    WildcardInName,
    /// A `#` that does not stand alone in the last level.
    #[error("# must fill the last level of a topic filter [MQTT-4.7.1-1]")]
    MultiLevelWildcard,
    /// A `+` that does not fill its level.
    #[error("+ must fill a whole level of a topic filter [MQTT-4.7.1-2]")]
    SingleLevelWildcard,
    /// A `$share/` filter without a share name, or whose share name has a wildcard.
    #[error("a shared subscription has a share name without wildcards [MQTT-4.8.2-1] [MQTT-4.8.2-2]")]
    ShareName,
    /// A `$share/name` without a filter behind it.
    #[error("a shared subscription has a topic filter after its share name [MQTT-4.8.2-2]")]
    ShareFilter,
}

/// A string that is a valid Topic Name: what a message is published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TopicName<'a>(Text<'a>);

impl<'a> TopicName<'a> {
    /// Checks a string.
    ///
    /// # Errors
    /// [`TopicError`] says which rule the string breaks.
    pub fn new(topic: &'a str) -> Result<Self, TopicError> {
        match Self::fault(topic.as_bytes()) {
            None => Ok(Self(Text::new(topic))),
            Some(error) => Err(error),
        }
    }

    /// The rule that a string breaks: small enough for a register.
    pub(crate) fn fault(topic: &[u8]) -> Option<TopicError> {
        let fault = length_fault(topic);
        // Only what is wrong is looked for byte by byte.
        if fault.is_some() || cfg!(feature = "std") && !has_any(topic, [0, b'+', b'#']) {
            return fault;
        }
        topic.iter().find_map(|byte| match byte {
            0 => Some(TopicError::Nul),
            b'+' | b'#' => Some(TopicError::WildcardInName),
            _ => None,
        })
    }

    /// A string without a fault.
    pub(crate) const fn from_checked(topic: Text<'a>) -> Self {
        Self(topic)
    }

    /// The string.
    ///
    /// Without `std`, a topic from the wire is kept as bytes that were checked, and each call looks through them once
    /// more. Comparing needs no call.
    pub const fn as_str(self) -> &'a str {
        self.0.as_str()
    }

    /// The bytes of the string.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }
}

impl PartialEq<str> for TopicName<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for TopicName<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl AsRef<str> for TopicName<'_> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl core::fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a shared subscription begins with.
const SHARE: &[u8] = b"$share/";

/// A string that is a valid Topic Filter: what a subscription asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks a string. A filter that starts with `$share/` is checked as a shared subscription, which only
    /// v5.0 knows; [`TopicFilter::plain`] takes it as an ordinary filter.
    ///
    /// # Errors
    /// [`TopicError`] says which rule the string breaks.
    pub fn new(filter: &'a str) -> Result<Self, TopicError> {
        match Self::fault(filter).or_else(|| Self::share_fault(filter)) {
            None => Ok(Self(filter)),
            Some(error) => Err(error),
        }
    }

    /// Checks a string by the rules that both versions share.
    ///
    /// # Errors
    /// [`TopicError`] says which rule the string breaks.
    pub fn plain(filter: &'a str) -> Result<Self, TopicError> {
        match Self::fault(filter) {
            None => Ok(Self(filter)),
            Some(error) => Err(error),
        }
    }

    /// The rule of both versions that a string breaks.
    pub(crate) fn fault(filter: &str) -> Option<TopicError> {
        let mut fault = length_fault(filter.as_bytes());
        let mut before = b'/';
        let mut bytes = filter.bytes();
        while let (None, Some(byte)) = (fault, bytes.next()) {
            let behind = bytes.clone().next();
            fault = match byte {
                0 => Some(TopicError::Nul),
                b'#' if before != b'/' || behind.is_some() => Some(TopicError::MultiLevelWildcard),
                b'+' if before != b'/' || behind.unwrap_or(b'/') != b'/' => Some(TopicError::SingleLevelWildcard),
                _ => None,
            };
            before = byte;
        }
        fault
    }

    /// The rule of shared subscriptions that a string breaks.
    pub(crate) fn share_fault(filter: &str) -> Option<TopicError> {
        let (name, filter) = split_level(behind_share(filter.as_bytes())?);
        if name.is_empty() || has_wildcard(name) {
            return Some(TopicError::ShareName);
        }
        if filter.is_none_or(<[u8]>::is_empty) { Some(TopicError::ShareFilter) } else { None }
    }

    /// The string.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether this is a shared subscription (v5.0 section 4.8.2).
    pub fn is_shared(self) -> bool {
        self.behind_share().is_some()
    }

    /// Whether a level is a wildcard.
    pub fn has_wildcard(self) -> bool {
        has_wildcard(self.0.as_bytes())
    }

    /// Share name and filter of a shared subscription.
    fn behind_share(self) -> Option<&'a [u8]> {
        behind_share(self.0.as_bytes())
    }

    /// Whether a message published to `topic` matches (section 4.7). Of a shared subscription the part behind the
    /// share name is compared.
    ///
    /// ```
    /// use flowsdk::types::{TopicFilter, TopicName};
    /// # fn main() -> Result<(), flowsdk::types::TopicError> {
    /// let filter = TopicFilter::new("sensor/+/temperature")?;
    /// assert!(filter.matches(TopicName::new("sensor/7/temperature")?));
    /// assert!(!filter.matches(TopicName::new("sensor/7/8/temperature")?));
    /// // Wildcards at the start do not match topics of the server [MQTT-4.7.2-1].
    /// assert!(!TopicFilter::new("#")?.matches(TopicName::new("$SYS/uptime")?));
    /// # Ok(())
    /// # }
    /// ```
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        let shared = self.behind_share().map(|shared| split_level(shared).1.unwrap_or_default());
        let mut filter = Some(shared.unwrap_or(self.0.as_bytes()));
        let mut topic = Some(topic.0.as_bytes());
        if matches!((filter, topic), (Some([b'+' | b'#', ..]), Some([b'$', ..]))) {
            return false;
        }
        while let Some(rest) = filter {
            let (wanted, behind) = split_level(rest);
            filter = behind;
            if wanted == b"#" {
                return true;
            }
            let Some((level, behind)) = topic.map(split_level) else { return false };
            topic = behind;
            if wanted != b"+" && wanted != level {
                return false;
            }
        }
        topic.is_none()
    }
}

/// The first level, and what is behind it if there is another.
fn split_level(topic: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = topic.iter().position(|byte| *byte == b'/').unwrap_or(topic.len());
    let (level, behind) = topic.split_at_checked(end).unwrap_or((topic, &[]));
    (level, behind.split_first().map(|(_, behind)| behind))
}

/// What follows the prefix of a shared subscription. Compared byte by byte: `strip_prefix` links memcmp.
pub(crate) fn behind_share(filter: &[u8]) -> Option<&[u8]> {
    let (prefix, behind) = filter.split_at_checked(SHARE.len())?;
    prefix.iter().eq(SHARE).then_some(behind)
}

pub(crate) fn has_wildcard(topic: &[u8]) -> bool {
    topic.iter().any(|byte| matches!(byte, b'+' | b'#'))
}

fn length_fault(topic: &[u8]) -> Option<TopicError> {
    match topic.len() {
        0 => Some(TopicError::Empty),
        1..=0xFFFF => None,
        _ => Some(TopicError::TooLong),
    }
}
