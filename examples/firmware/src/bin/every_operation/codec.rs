//! `codec`.

use core::hint::black_box;
use core::num::{NonZeroU16, NonZeroU32};

use flowsdk::codec::{
    DecodeError, EncodeError, Entries, Entry, FixedHeader, PacketType, Properties, Property, PropertyContext,
    PropertyId, Reader, VarInt, Writer,
};

use crate::types::{qos, version};
use crate::{Input, used};

pub(crate) fn all(input: &Input, buffer: &mut [u8]) {
    used(reader(input));
    used(writer(input, buffer));
    used(header(input));
    used(properties(input, buffer));
    entries(input, black_box(&[input.text]));
    entries(input, black_box(&every_property(input)));
}

pub(crate) fn context(input: &Input) -> PropertyContext {
    use PropertyContext::{
        Auth, Connack, Connect, DisconnectFromClient, DisconnectFromServer, Puback, Pubcomp, PublishFromClient,
        PublishFromServer, Pubrec, Pubrel, Suback, Subscribe, Unsuback, Unsubscribe, Will,
    };
    let messages = [Will, PublishFromClient, PublishFromServer, Puback, Pubrec, Pubrel, Pubcomp];
    let requests = [Subscribe, Suback, Unsubscribe, Unsuback];
    let connection = [Connect, Connack, DisconnectFromClient, DisconnectFromServer, Auth];
    input.one_of(&messages, input.one_of(&requests, input.one_of(&connection, Connect)))
}

/// Every property there is.
pub(crate) fn every_property<'a>(input: &Input) -> [Property<'a>; 27] {
    let (text, bytes) = (black_box("text"), black_box(b"bytes"));
    let (long, flag) = (input.number(), input.number() == 1);
    let short = long as u16;
    let number = NonZeroU16::new(short).unwrap_or(NonZeroU16::MIN);
    [
        Property::PayloadFormatIndicator(flag),
        Property::MessageExpiryInterval(long),
        Property::ContentType(text),
        Property::ResponseTopic(text),
        Property::CorrelationData(bytes),
        Property::SubscriptionIdentifier(long),
        Property::SessionExpiryInterval(long),
        Property::AssignedClientIdentifier(text),
        Property::ServerKeepAlive(short),
        Property::AuthenticationMethod(text),
        Property::AuthenticationData(bytes),
        Property::RequestProblemInformation(flag),
        Property::WillDelayInterval(long),
        Property::RequestResponseInformation(flag),
        Property::ResponseInformation(text),
        Property::ServerReference(text),
        Property::ReasonString(text),
        Property::ReceiveMaximum(number),
        Property::TopicAliasMaximum(short),
        Property::TopicAlias(number),
        Property::MaximumQoS(qos(input)),
        Property::RetainAvailable(flag),
        Property::UserProperty(text, text),
        Property::MaximumPacketSize(NonZeroU32::new(long).unwrap_or(NonZeroU32::MIN)),
        Property::WildcardSubscriptionAvailable(flag),
        Property::SubscriptionIdentifierAvailable(flag),
        Property::SharedSubscriptionAvailable(flag),
    ]
}

fn reader(input: &Input) -> Result<(), DecodeError> {
    let mut reader = Reader::new(input.bytes);
    used((reader.is_empty(), reader.remaining()));
    used((reader.u8(), reader.u16(), reader.u32(), reader.var_int()));
    used((reader.binary(), reader.string(), reader.take(input.number() as usize), reader.rest()));
    reader.fail(DecodeError::Nul);
    used(reader.error());
    reader.finish()
}

fn writer(input: &Input, buffer: &mut [u8]) -> Result<(), EncodeError> {
    for mut writer in [Writer::counting(), Writer::new(buffer)] {
        let number = input.number();
        writer.u8(number as u8);
        writer.u16(number as u16);
        writer.u32(number);
        writer.var_int(number);
        writer.bytes(input.bytes);
        writer.binary(input.bytes);
        writer.string(input.text);
        writer.prefixed(|writer| writer.bytes(input.bytes));
        writer.prefixed_before(number as usize, |writer| writer.bytes(input.bytes));
        used(writer.refuse(EncodeError::TooLong));
        writer.fail(EncodeError::Nul);
        used((writer.written(), writer.is_counting(), writer.finish()));
    }
    Ok(())
}

fn header(input: &Input) -> Result<(), DecodeError> {
    if let Some(header) = FixedHeader::decode(input.bytes, version(input))? {
        used(header.packet_len());
    }
    if let Some(packet_type) = PacketType::from_number(input.number() as u8) {
        used((packet_type.number(), packet_type.first_byte()));
    }
    if let Some(number) = VarInt::decode(input.bytes)? {
        used((number.value(), number.len(), number.is_minimal()));
    }
    used(VarInt::len_of(input.number()));
    used(PropertyId::from_number(input.number() as u8).map(|id| id.is_allowed_in(context(input))));
    Ok(())
}

fn properties(input: &Input, buffer: &mut [u8]) -> Result<(), EncodeError> {
    let list = every_property(input);
    let (list, context) = (black_box(&list[..]), context(input));
    used(Properties::decode(&mut Reader::new(input.bytes), context));
    let block = Properties::from_block(input.bytes, context);
    used(block.map_err(DecodeError::reason_code));
    let all = [Properties::new(list), block.unwrap_or_default()];
    for properties in all {
        let mut writer = Writer::new(buffer);
        properties.encode(&mut writer, context);
        properties.encode_block(&mut writer, context);
        writer.finish()?;
        used((properties.as_block(), properties.is_empty(), properties.reason_string()));
        used(properties.find(|property| Some(property.id())));
        used(properties.iter().count());
        used(properties == all[0]);
    }
    Ok(())
}

fn entries<'a, T: Entry<'a> + PartialEq>(input: &'a Input, list: &'a [T]) {
    used(T::decode_entry(&mut Reader::new(input.bytes)).is_some());
    for entries in [Entries::new(list), Entries::default()] {
        used((entries.as_block(), entries.is_empty()));
        used(entries.iter().count());
        used(entries == Entries::default());
    }
}
