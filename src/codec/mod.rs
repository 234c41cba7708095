//! The wire's alphabet: bytes in, bytes out. [`Reader`] and [`Writer`], the fixed header, variable byte integers and
//! the table of properties. Knows no packet and no session.

mod block;
mod entries;
mod error;
mod header;
mod properties;
mod property;
mod reader;
mod shown;
mod value;
mod var_int;
mod writer;

pub(crate) use block::Block;
pub use entries::{Entries, Entry, EntryIter};
pub use error::{DecodeError, EncodeError};
pub use header::{FixedHeader, MAX_REMAINING_LENGTH, PacketType};
pub use properties::{Properties, PropertyIter};
pub use property::{Property, PropertyContext, PropertyId};
pub use reader::Reader;
pub use var_int::VarInt;
pub use writer::Writer;
pub(crate) use writer::{copy, shift_down};
