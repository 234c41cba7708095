//! Messages that survive the process: what is kept on a disk, and what waits for it.
//!
//! The worker notes what changes in a [`Journal`]; at the end of its turn it hands the changes as one batch to a thread
//! that puts all that has come meanwhile into the file by one transaction. Packets that must not outrun their change
//! wait for it in the session's storage; reading, keep-alive and messages of QoS 0 do not.
//!
//! What the file holds: each accepted message of QoS 1 and 2 with its token, its expiry and its place in the order; for
//! those in flight the packet identifier, and whether PUBREC has come; the identifiers of received messages of QoS 2.
//!
//! A message that comes to its outcome is replaced by that. The application hears of it once it is in the file, and it
//! leaves the file once the application has heard: so whenever the process ends, none goes untold, and what is told
//! again is the same.

#[cfg(feature = "persistence")]
mod draft;
mod ended;
#[cfg(feature = "persistence")]
mod file;
#[cfg(feature = "persistence")]
mod journal;
#[cfg(feature = "persistence")]
mod keeper;
#[cfg(feature = "persistence")]
mod opening;
#[cfg(feature = "persistence")]
mod options;
#[cfg(feature = "persistence")]
mod record;
#[cfg(not(feature = "persistence"))]
mod without;

#[cfg(feature = "persistence")]
pub use self::options::{InboundStorage, Persistence, PersistenceError};

pub(super) use self::ended::{Ended, Telling};
#[cfg(feature = "persistence")]
pub(super) use self::journal::Journal;
#[cfg(feature = "persistence")]
use self::keeper::Keeper;
#[cfg(feature = "persistence")]
pub(super) use self::opening::{open, resume};
#[cfg(feature = "persistence")]
pub(super) use self::record::{Kept, Restored};
#[cfg(not(feature = "persistence"))]
pub(super) use self::without::Journal;
#[cfg(not(feature = "persistence"))]
use self::without::Keeper;
