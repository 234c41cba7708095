use thiserror::Error;

use crate::session::{Misuse, PeerError, Stall};
use crate::types::ReasonCode;

/// Why a driver's step did not go on. `E` is the transport's error.
///
/// After [`Error::Misuse`] and [`Error::Stalled`] the connection stands as before. After all others it is over: the
/// session keeps what is unacknowledged, and goes on with it once a new transport is handed in and `connect` called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error<E> {
    /// The transport failed.
    #[error("the transport failed: {0}")]
    Transport(E),
    /// The server broke the protocol or fell silent. In v5.0 it has been told why.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// There is no connection: none was begun, or the server has closed it, or it ended in order, after `disconnect`,
    /// [`Event::Refused`](crate::session::Event::Refused) or
    /// [`Event::Disconnected`](crate::session::Event::Disconnected).
    #[error("the connection is closed")]
    Closed,
    /// The server has refused the connection that was waited for.
    #[error("the server refused the connection: {0}")]
    Refused(ReasonCode),
    /// A packet lies in the receive buffer that cannot be taken yet: acknowledge a message, then poll again.
    #[error("a received packet waits until an earlier message is acknowledged")]
    Stalled(Stall),
    /// The receive buffer does not even hold the header of a packet, 5 bytes.
    #[error("the receive buffer is shorter than the header of a packet")]
    BufferTooSmall,
    /// A command was refused; commands return this by itself.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}
