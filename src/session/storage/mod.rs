//! Where a session keeps what outlives a call: packets to send, unacknowledged messages, the identifiers of both
//! directions, requests that await their answer.
//!
//! A session is generic over its [`Storage`] alone. Its logic works on the [`Store`] that a storage lends for a call. A
//! program that has sessions of two sizes has the code twice: for one size it is smaller so.

mod fixed;
#[cfg(feature = "std")]
mod heap;

pub use fixed::{Fixed, NoFrame};
#[cfg(any(feature = "persistence", all(test, feature = "std")))]
pub(crate) use heap::NoteReceived;
#[cfg(feature = "std")]
pub(crate) use heap::{Change, Fifo, KEPT_PLACES, Part};
#[cfg(feature = "std")]
pub use heap::{Heap, HeapLimits};

use core::num::NonZeroU16;

use super::error::Full;
use super::event::Stall;
use crate::codec::Writer;
use crate::packet::AckKind;
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, TopicName};

/// What owns the memory of a session.
pub trait Storage {
    /// A PUBLISH that is handed over already encoded.
    type Frame;
    /// What the session's logic works on.
    type Store: Store<Frame = Self::Frame>;

    /// Lends the storage to the session's logic.
    fn store(&mut self) -> &mut Self::Store;

    /// The bytes that are next on the wire; empty when there are none.
    fn transmit(&self) -> &[u8];

    /// Fills `slices` with the bytes that are next on the wire, in order, and says how many slices that took.
    fn transmit_many<'s>(&'s self, slices: &mut [&'s [u8]]) -> usize {
        match (slices.first_mut(), self.transmit()) {
            (Some(first), bytes) if !bytes.is_empty() => {
                *first = bytes;
                1
            }
            _ => 0,
        }
    }

    /// The topic the server has defined for an alias.
    fn topic(&self, alias: NonZeroU16) -> Option<&str> {
        let _ = alias;
        None
    }
}

/// A storage that lives elsewhere: on a device in a `static`, so that it never lies on the stack.
///
/// ```
/// use flowsdk::session::{Config, Fixed, Session};
///
/// let mut storage = Fixed::<512, 4>::new();
/// let session = Session::new(Config::DEFAULT, &mut storage);
/// ```
impl<S: Storage> Storage for &mut S {
    type Frame = S::Frame;
    type Store = S::Store;

    fn store(&mut self) -> &mut S::Store {
        (**self).store()
    }

    fn transmit(&self) -> &[u8] {
        (**self).transmit()
    }

    fn transmit_many<'s>(&'s self, slices: &mut [&'s [u8]]) -> usize {
        (**self).transmit_many(slices)
    }

    fn topic(&self, alias: NonZeroU16) -> Option<&str> {
        (**self).topic(alias)
    }
}

/// The operations of a session on its memory.
///
/// Two ways lead to the wire. What needs no place in the window is *queued* and leaves in that order. A PUBLISH of QoS
/// 1 or 2 is *held* until the server has acknowledged it, and leaves when the session lets it, in the order of holding.
/// Small packets are *loaded* directly.
pub trait Store {
    /// A PUBLISH that is handed over already encoded.
    type Frame;
    /// What its sessions are built without, of [`without`].
    const WITHOUT: u32 = 0;

    /// A connection begins that speaks so.
    fn open(&mut self, terms: Terms);
    /// The connection is gone: what was queued is dropped; what is held and the PUBRELs have to be sent again; answers
    /// and requests are forgotten; received QoS 1 messages too, and those of QoS 2 wait for their repetition.
    fn close(&mut self);

    /// Whether the wire takes another packet.
    fn has_wire_room(&self) -> bool;
    /// How many bytes wait on the wire for the transport.
    fn waiting(&self) -> usize;
    /// Puts a packet of at most five bytes on the wire, which has room.
    fn load(&mut self, packet: &[u8]);
    /// Puts the next queued packet on the wire, or, if `publishes`, the next held one that was not sent on this
    /// connection. `admit` may change bytes of a held one; where it says `false` the message is removed.
    fn load_next(&mut self, publishes: bool, admit: impl FnMut(&mut [u8], &mut Held) -> bool) -> Loaded;
    /// Puts held PUBLISH packets on the wire in one go, each of which [`Store::load_next`] would put there next as it
    /// is, if the storage can; how many. What `Heap` keeps in lines leaves by this alone.
    fn load_run(&mut self, at_most: usize) -> usize {
        let _ = at_most;
        0
    }
    /// The transport has taken that many bytes.
    fn consume(&mut self, len: usize);

    /// Where the next packet is encoded. It is kept by [`Store::queue`] or [`Store::hold`], or else forgotten.
    fn writer(&mut self) -> Writer<'_>;
    /// The next packet has a secret and so many bytes: a storage that grows makes room for it at once, as growing would
    /// leave copies of it behind.
    #[cfg(feature = "std")]
    fn expect_secret(&mut self, len: usize) {
        let _ = len;
    }
    /// Queues the packet that was written last.
    ///
    /// # Errors
    /// The storage is [`Full`], here as in the other methods.
    fn queue(&mut self, kind: Queued, len: usize) -> Result<(), Full>;
    /// Queues an encoded QoS 0 PUBLISH.
    ///
    /// # Errors
    /// The frame comes back.
    fn queue_frame(&mut self, frame: Self::Frame) -> Result<(), (Full, Self::Frame)>;
    /// Holds the PUBLISH that was written last.
    ///
    /// # Errors
    /// [`Full`].
    fn hold(&mut self, held: Held, len: usize) -> Result<(), Full>;
    /// Holds a PUBLISH that was encoded with any identifier; [`Held::packet_id`] is put in.
    ///
    /// # Errors
    /// The frame comes back.
    fn hold_frame(&mut self, held: Held, frame: Self::Frame) -> Result<(), (Full, Self::Frame)>;
    /// The QoS of a held PUBLISH, and whether bytes of it have gone out on this connection.
    fn held(&mut self, packet_id: PacketId) -> Option<(QoS, bool)>;
    /// Lets go of a held PUBLISH; its bytes stay for as long as a part of them is on the wire.
    fn unhold(&mut self, packet_id: PacketId);
    /// Whether [`Store::pop_lost`] has something.
    fn has_lost(&mut self) -> bool;
    /// Removes a message that was sent in a session that is gone, oldest first.
    fn pop_lost(&mut self) -> Option<(PacketId, Option<Self::Frame>)>;

    /// Appends a PUBREL to those without a PUBCOMP. There is a place: the message it belongs to had one.
    fn push_release(&mut self, packet_id: PacketId);
    /// The next PUBREL that was not sent on this connection; it counts as sent then.
    fn next_release(&mut self) -> Option<PacketId>;
    /// Puts on the wire in one go what [`Store::next_release`] would give, if the storage can.
    fn load_pubrels(&mut self) -> bool {
        false
    }
    /// Ends a PUBREL; whether there was one.
    fn remove_release(&mut self, packet_id: PacketId) -> bool;
    /// Whether a PUBREL waits for its PUBCOMP.
    fn has_release(&self, packet_id: PacketId) -> bool;
    /// How many PUBRELs wait for their PUBCOMP.
    fn releases(&self) -> usize;

    /// Queues the SUBSCRIBE or UNSUBSCRIBE that was written last, and notes it.
    ///
    /// # Errors
    /// [`Full`].
    fn queue_request(&mut self, request: Request, len: usize) -> Result<(), Full>;
    /// Removes the request of that kind and identifier; says how many filters it has.
    fn take_request(&mut self, kind: RequestKind, packet_id: PacketId) -> Option<u16>;
    /// Whether a message, a PUBREL or a request of ours has this identifier.
    fn is_in_use(&mut self, packet_id: PacketId) -> bool;

    /// Notes an answer to be sent; `false` if there is no room.
    fn push_answer(&mut self, answer: Answer) -> bool;
    /// Takes the oldest answer.
    fn pop_answer(&mut self) -> Option<Answer>;

    /// How many messages of QoS 1 and 2 can be received before one is complete.
    fn receive_capacity(&self) -> u16;
    /// How many messages of QoS 1 and 2 that came on this connection are not complete.
    fn received_count(&self) -> usize;
    /// How many messages of earlier connections await their PUBREL.
    fn carried_count(&self) -> usize;
    /// Notes a received message, last in the order of receipt; `false` if there is no room.
    fn push_received(&mut self, received: Received) -> bool;
    /// What has to happen before another message can be noted; `None` if only the server can make room.
    fn stall(&self) -> Option<Stall>;
    /// A received message that is not complete.
    fn received(&self, packet_id: PacketId) -> Option<Received>;
    /// Marks a message to be acknowledged with a code; `false` if this receipt does not await it.
    fn acknowledge(&mut self, packet_id: PacketId, serial: u16, code: ReasonCode) -> bool;
    /// The oldest message at that stage of its QoS, if its answer is known. It is answered then: one of QoS 1 is
    /// complete, one of QoS 2 is if its code is an error, and else awaits PUBREL.
    fn pop_acknowledged(&mut self, stage: Stage) -> Option<(PacketId, ReasonCode)>;
    /// Puts on the wire in one go what [`Store::pop_acknowledged`] would give for QoS 1 with success, if the storage
    /// can.
    fn load_pubacks(&mut self) -> bool {
        false
    }
    /// A QoS 2 message has been repeated: it counts on this connection, and is last in the order of receipt. One that
    /// awaited its PUBREL is to be answered again, with success.
    fn revive(&mut self, packet_id: PacketId);
    /// Completes a QoS 2 message; `false` if none is accepted under this identifier.
    fn release(&mut self, packet_id: PacketId) -> bool;
    /// Forgets a message that was not handed over whole: the server sends it again.
    fn remove_received(&mut self, packet_id: PacketId);
    /// Forgets all received messages.
    fn clear_received(&mut self);

    /// The highest alias the storage can keep a topic for.
    fn topic_alias_capacity(&self) -> u16;
    /// Keeps the topic of an alias of the server; `false` if there is no place.
    fn define_topic(&mut self, alias: NonZeroU16, topic: TopicName<'_>) -> bool;
    /// Whether the server has defined an alias.
    fn has_topic(&self, alias: NonZeroU16) -> bool;
}

/// Features that a program can leave out of its sessions: the third parameter of [`Fixed`], the sum of some of these.
///
/// What a program never calls is not linked anyhow. These are the features that a server may ask for, or a value that
/// is known only at run time, so that only the program itself can say that it does without them.
///
/// ```
/// use flowsdk::session::{Config, Fixed, Session};
/// use flowsdk::session::storage::without;
///
/// type Storage = Fixed<1024, 8, { without::QOS_2 | without::OVERSIZE }>;
/// let session = Session::new(Config::DEFAULT, Storage::empty());
/// # assert!(!session.is_connected());
/// ```
pub mod without {
    /// No QoS 2, about 1,350 bytes of flash: a publish or a subscription that asks for it is refused as
    /// [`Misuse::LeftOut`](crate::session::Misuse::LeftOut). A server that sends a packet of it all the same, which it
    /// may only by a subscription of an earlier program in the same session, ends the connection by
    /// [`PeerError::LeftOut`](crate::session::PeerError::LeftOut): connect with `clean_start`.
    pub const QOS_2: u32 = 1 << 0;
    /// No messages longer than the receive limit, about 600 bytes of flash:
    /// [`Config::oversize`](crate::session::Config::oversize) is taken for `Refuse`.
    pub const OVERSIZE: u32 = 1 << 1;
    /// No expiry of messages in this storage, about 300 bytes of flash: a Message Expiry Interval is sent as it was
    /// given, however long the message has waited here, and only the server counts it.
    pub const EXPIRY: u32 = 1 << 2;
    /// No v3.1.1, about 450 bytes of flash: a [`Config::version`](crate::session::Config::version) that says so cannot
    /// connect, which is refused as [`Misuse::LeftOut`](crate::session::Misuse::LeftOut).
    pub const V3_1_1: u32 = 1 << 3;
    /// No v5.0, about 3,100 bytes of flash, as properties, limits of the server and reasons told to it go with it. A
    /// [`Config::version`](crate::session::Config::version) of v5.0, the default, cannot connect, which is refused as
    /// [`Misuse::LeftOut`](crate::session::Misuse::LeftOut).
    pub const V5_0: u32 = 1 << 4;
}

/// What is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Queued {
    /// CONNECT: its room is kept free for the next connection, too.
    Connect,
    /// A QoS 0 PUBLISH.
    Message,
    /// Anything else.
    Control,
    /// The DISCONNECT behind which nothing is queued any more.
    Farewell,
}

/// What a storage has to know of a connection.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Terms {
    /// The version its packets are in.
    pub version: ProtocolVersion,
    /// The highest alias that may be sent; 0 for none.
    pub outbound_aliases: u16,
    /// The longest packet the server takes.
    pub maximum_packet_size: u32,
    /// Room for the topics of the server's aliases.
    pub inbound_aliases: u16,
}

/// What belongs to a held PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Held {
    /// Its identifier.
    pub packet_id: PacketId,
    /// Its QoS: 1 or 2.
    pub qos: QoS,
    /// Since when its Message Expiry Interval counts.
    pub since: Instant,
    /// Whether bytes of it have gone to a transport. It is a retransmission then.
    pub begun: bool,
}

/// What [`Store::load_next`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Loaded {
    /// There was nothing.
    Nothing,
    /// A queued packet is on the wire.
    Queued,
    /// The farewell is on the wire.
    Farewell,
    /// A held PUBLISH is on the wire.
    Publish,
    /// A held PUBLISH was refused and is gone.
    Refused(PacketId),
}

/// A SUBSCRIBE or UNSUBSCRIBE without its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Request {
    /// Which of the two.
    pub kind: RequestKind,
    /// Its identifier.
    pub packet_id: PacketId,
    /// How many filters it has.
    pub filters: u16,
}

/// The requests that the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RequestKind {
    /// Answered by SUBACK.
    Subscribe,
    /// Answered by UNSUBACK.
    Unsubscribe,
}

/// PUBREC, PUBREL or PUBCOMP to be sent in answer to a packet of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer {
    /// Which of them.
    pub kind: AckKind,
    /// The identifier it repeats.
    pub packet_id: PacketId,
    /// Its code.
    pub reason_code: ReasonCode,
}

/// A received message of QoS 1 or 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Received {
    /// The server's identifier.
    pub packet_id: PacketId,
    /// Tells two messages of one identifier apart.
    pub serial: u16,
    /// How far its exchange has come.
    pub stage: Stage,
    /// The code it is acknowledged with, once that is known.
    pub code: Option<ReasonCode>,
}

/// How far the exchange of a received message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stage {
    /// QoS 1, and PUBACK was not sent.
    AtLeastOnce,
    /// QoS 2, and PUBREC has to be sent.
    ExactlyOnce,
    /// QoS 2, and PUBREC has to be sent, but its PUBLISH came on an earlier connection: the server will repeat it.
    Interrupted,
    /// PUBREC was sent, PUBREL has not come.
    AwaitingRelease,
    /// PUBREC was sent on an earlier connection, PUBREL has not come: it takes no place in the Receive Maximum.
    Carried,
}

impl Stage {
    /// Where a message of this QoS begins.
    pub(super) const fn of(qos: QoS) -> Self {
        match qos {
            QoS::ExactlyOnce => Self::ExactlyOnce,
            QoS::AtLeastOnce | QoS::AtMostOnce => Self::AtLeastOnce,
        }
    }

    /// Whether its PUBLISH came on this connection.
    pub(super) const fn is_counted(self) -> bool {
        !matches!(self, Self::Interrupted | Self::Carried)
    }

    /// Whether PUBREC was sent.
    pub(super) const fn awaits_release(self) -> bool {
        matches!(self, Self::AwaitingRelease | Self::Carried)
    }
}

impl Received {
    /// Whether PUBREL completes it: its PUBREC was sent, or is about to be sent once more.
    pub(super) fn is_accepted(&self) -> bool {
        match self.stage {
            Stage::AtLeastOnce => false,
            Stage::ExactlyOnce | Stage::Interrupted => self.code.is_some_and(|code| !code.is_error()),
            Stage::AwaitingRelease | Stage::Carried => true,
        }
    }
}
