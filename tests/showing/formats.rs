//! Every public type of the core implements `defmt::Format`. `.ci/formats` compares this list with the sources.

use flowsdk::{codec, embedded, packet, session, time, types};

macro_rules! every_one_has_a_format {
    ($($type:ty,)+) => {
        const _: () = {
            const fn has_format<T: defmt::Format>() {}
            $( has_format::<$type>(); )+
        };
    };
}

every_one_has_a_format! {
    time::Instant,
    types::PacketId,
    types::QoS,
    types::ReasonCode,
    types::TopicError,
    types::TopicName<'_>,
    types::TopicFilter<'_>,
    types::ProtocolVersion,
    types::Role,
    codec::Entries<'_, &str>,
    codec::EntryIter<'_, &str>,
    codec::DecodeError,
    codec::EncodeError,
    codec::PacketType,
    codec::FixedHeader,
    codec::Properties<'_>,
    codec::PropertyContext,
    codec::Property<'_>,
    codec::PropertyId,
    codec::Reader<'_>,
    codec::VarInt,
    codec::Writer<'_>,
    packet::Ack<'_>,
    packet::AckKind,
    packet::Auth<'_>,
    packet::Connack<'_>,
    packet::Connect<'_>,
    packet::Will<'_>,
    packet::Disconnect<'_>,
    packet::Packet<'_>,
    packet::Publish<'_>,
    packet::Delivery,
    packet::PublishHead<'_>,
    packet::Suback<'_>,
    packet::Unsuback<'_>,
    packet::ReasonCodeIter<'_>,
    packet::Subscribe<'_>,
    packet::Subscription<'_>,
    packet::RetainHandling,
    packet::Unsubscribe<'_>,
    session::Config,
    session::Acknowledgement,
    session::Oversize,
    packet::ConnectOptions<'_>,
    session::ApplicationMessage<'_>,
    session::ServerLimits,
    session::Misuse,
    session::Full,
    session::PeerError,
    session::Progress<'_>,
    session::Stall,
    session::Event<'_>,
    session::Message<'_>,
    session::Topic<'_>,
    session::Receipt,
    session::Published<'_>,
    session::Dropped<Vec<u8>>,
    session::DropReason,
    session::Session<session::Fixed<8, 1>>,
    session::storage::Fixed<8, 1>,
    session::storage::NoFrame,
    session::storage::Heap,
    session::storage::HeapLimits,
    session::storage::Queued,
    session::storage::Terms,
    session::storage::Held,
    session::storage::Loaded,
    session::storage::Request,
    session::storage::RequestKind,
    session::storage::Answer,
    session::storage::Received,
    session::storage::Stage,
    embedded::blocking::Client<'_, NoTransport, session::Heap>,
    embedded::Error<embedded_io::ErrorKind>,
}

#[cfg(feature = "async")]
every_one_has_a_format! {
    embedded::nonblocking::Client<'_, NoTransport, session::Heap, NoTransport>,
}

/// A transport need have none.
struct NoTransport;

impl embedded_io::ErrorType for NoTransport {
    type Error = embedded_io::ErrorKind;
}
