use core::num::{NonZeroU16, NonZeroU32};

use crate::macros::Bytes;
use crate::types::QoS;

/// How a property's value shows itself: binary data by its length, as it may be a secret, the rest as it is.
pub(super) trait Shown {
    type As;

    fn shown(self) -> Self::As;
}

impl Shown for &[u8] {
    type As = Bytes;

    fn shown(self) -> Bytes {
        Bytes(self.len())
    }
}

macro_rules! whole {
    ($($type:ty),+) => {
        $(
            impl Shown for $type {
                type As = Self;

                fn shown(self) -> Self {
                    self
                }
            }
        )+
    };
}

whole!(bool, u16, u32, NonZeroU16, NonZeroU32, QoS, &str);
