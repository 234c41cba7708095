//! Which session a target works on, by the first bytes of its input.

use arbitrary::{Result, Unstructured};
use flowsdk::session::storage::without;
use flowsdk::session::{Acknowledgement, Config, Fixed, Heap, HeapLimits, Oversize, Session};

use crate::support::Endpoint;

/// One of a list.
pub(crate) fn one_of<T: Copy>(u: &mut Unstructured<'_>, list: &[T]) -> Result<T> {
    u.choose(list).copied()
}

/// Takes five bytes.
pub(crate) fn config(u: &mut Unstructured<'_>) -> Result<Config> {
    let flags: u8 = u.arbitrary()?;
    let bit = |n: u8| flags >> n & 1 == 1;
    Ok(Config {
        version: crate::checks::VERSIONS[usize::from(!bit(0))],
        acknowledgement: if bit(1) { Acknowledgement::Manual } else { Acknowledgement::Automatic },
        outbound_topic_aliases: bit(2),
        oversize: one_of(u, &[Oversize::Refuse, Oversize::Skip, Oversize::Stream])?,
        receive_limit: one_of(u, &[0, 16, 40, 200])?,
        receive_maximum: u.int_in_range(0..=3)?,
        topic_alias_maximum: u.int_in_range(0..=2)?,
        ..Config::DEFAULT
    })
}

/// Which storage a session has: two bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind(u8, u8);

impl Kind {
    pub(crate) fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(Self(u.int_in_range(0..=9)?, u.arbitrary()?))
    }

    pub(crate) fn session(self, config: Config) -> Box<dyn Endpoint> {
        let size = usize::from(self.1);
        let limits = HeapLimits {
            window: 1 + u16::from(self.1 % 5),
            held_bytes: size * 2,
            wire_bytes: size,
            receive_window: 1 + u16::from(self.1 % 4),
            topic_aliases: u16::from(self.1 % 3),
        };
        match self.0 {
            0 => Box::new(Session::new(config, Fixed::<2000, 16>::new())),
            1 => Box::new(Session::new(config, Fixed::<64, 1>::new())),
            2 => Box::new(Session::new(config, Fixed::<100, 1>::new())),
            3 => Box::new(Session::new(config, Fixed::<128, 2>::new())),
            4 => Box::new(Session::new(config, Fixed::<200, 3>::new())),
            5 => Box::new(Session::new(config, Fixed::<600, 8>::new())),
            6 => Box::new(Session::new(config, Fixed::<70_000, 4>::new())),
            7 => Box::new(Session::new(config, Heap::new(limits))),
            8 => Box::new(Session::new(config, Heap::new(HeapLimits::default()))),
            // Of the version of its packets alone.
            _ if config.version.is_v5() => {
                Box::new(Session::new(config, Fixed::<200, 3, { without::V3_1_1 }>::empty()))
            }
            _ => Box::new(Session::new(config, Fixed::<200, 3, { without::V5_0 }>::empty())),
        }
    }
}
