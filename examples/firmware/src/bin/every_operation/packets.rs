//! `packet`: whatever is decoded is encoded again, and lists of the caller's are encoded.

use core::hint::black_box;

use flowsdk::codec::{DecodeError, EncodeError, Properties, Writer};
use flowsdk::packet::{
    Ack, AckKind, Auth, Connack, Connect, Delivery, Disconnect, Filters, Packet, Publish, PublishHead, RetainHandling,
    Suback, Subscribe, Subscription, Subscriptions, Unsuback, Unsubscribe, Will,
};

use crate::codec::every_property;
use crate::types::{code, packet_id, qos, role, version};
use crate::{Input, used};

pub(crate) fn all(input: &Input, buffer: &mut [u8]) {
    used(decoded(input, buffer));
    used(listed(input, buffer));
    used(encoded_alone(input, buffer));
    parts(input);
}

pub(crate) fn subscription(input: &Input) -> Subscription<'static> {
    let handling = [RetainHandling::SendAtSubscribe, RetainHandling::DoNotSend, RetainHandling::SendIfNew];
    Subscription {
        no_local: input.number() == 1,
        retain_as_published: input.number() == 1,
        retain_handling: input.one_of(&handling, RetainHandling::DoNotSend),
        ..Subscription::new(input.text, qos(input))
    }
}

pub(crate) fn will<'a>(input: &Input, properties: Properties<'a>) -> Will<'a> {
    let retain = input.number() == 1;
    Will { topic: input.text, payload: input.bytes, qos: qos(input), retain, properties }
}

fn decoded(input: &Input, buffer: &mut [u8]) -> Result<(), DecodeError> {
    let head = PublishHead::decode(input.bytes, version(input), role(input))?;
    used(head.map(|head| (head.head_len, head.payload_len, head.publish)));
    if let Some((packet, len)) = Packet::decode(input.bytes, version(input), role(input))? {
        used(len);
        used(packet == black_box(packet));
        used(packet.encode(&mut Writer::new(buffer), version(input), role(input)));
    }
    Ok(())
}

fn connect<'a>(input: &Input, properties: Properties<'a>) -> Connect<'a> {
    Connect {
        version: version(input),
        clean_start: input.number() == 1,
        keep_alive: input.number() as u16,
        client_id: input.text,
        username: black_box(Some(input.text)),
        password: black_box(Some(input.bytes)),
        will: black_box(Some(will(input, properties))),
        properties,
    }
}

fn publish<'a>(input: &Input, properties: Properties<'a>) -> Publish<'a> {
    let delivery = Delivery::first(qos(input), packet_id(input));
    Publish { topic: input.text, payload: input.bytes, retain: input.number() == 1, delivery, properties }
}

/// Encodes every packet, with lists that the caller has made.
fn listed(input: &Input, buffer: &mut [u8]) -> Result<(), EncodeError> {
    let list = every_property(input);
    let properties = Properties::new(black_box(&list));
    let (packet_id, reason_code) = (packet_id(input), code(input));
    let (subscriptions, filters) = ([subscription(input)], [input.text]);
    let (subscriptions, filters) = (Subscriptions::new(&subscriptions), Filters::new(&filters));
    let (session_present, codes) = (input.number() == 1, input.bytes);
    let all = [
        Packet::Connect(connect(input, properties)),
        Packet::Connack(Connack { session_present, reason_code, properties }),
        Packet::Publish(publish(input, properties)),
        Packet::Ack(Ack { kind: AckKind::Pubrec, packet_id, reason_code, properties }),
        Packet::Subscribe(Subscribe { packet_id, subscriptions, properties }),
        Packet::Suback(Suback { packet_id, codes, properties }),
        Packet::Unsubscribe(Unsubscribe { packet_id, filters, properties }),
        Packet::Unsuback(Unsuback { packet_id, codes, properties }),
        Packet::Pingreq,
        Packet::Pingresp,
        Packet::Disconnect(Disconnect { reason_code, properties }),
        Packet::Auth(Auth { reason_code, properties }),
    ];
    for packet in black_box(&all) {
        packet.encode(&mut Writer::new(buffer), version(input), role(input))?;
    }
    Ok(())
}

/// The packets by themselves, without the enum around them.
fn encoded_alone(input: &Input, buffer: &mut [u8]) -> Result<(), EncodeError> {
    let (version, role) = (version(input), role(input));
    let (packet_id, reason_code, codes) = (packet_id(input), code(input), input.bytes);
    let properties = Properties::EMPTY;
    let writer = &mut Writer::new(buffer);
    connect(input, properties).encode(writer)?;
    publish(input, properties).encode(writer, version, role)?;
    Connack { session_present: false, reason_code, properties }.encode(writer, version)?;
    Subscribe { packet_id, subscriptions: Subscriptions::default(), properties }.encode(writer, version)?;
    Unsubscribe { packet_id, filters: Filters::default(), properties }.encode(writer, version)?;
    Suback { packet_id, codes, properties }.encode(writer, version)?;
    Unsuback { packet_id, codes, properties }.encode(writer, version)?;
    Disconnect::new(reason_code).encode(writer, version, role)?;
    Auth { reason_code, properties }.encode(writer, version, role)?;
    for kind in [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp] {
        Ack::new(kind, packet_id, reason_code).encode(writer, version, role)?;
        used((kind.packet_type(), kind.allows(reason_code, role)));
    }
    Ok(())
}

fn parts(input: &Input) {
    let (packet_id, codes) = (packet_id(input), input.bytes);
    let list = every_property(input);
    let properties = Properties::new(black_box(&list));
    let publish = publish(input, properties);
    used((publish.delivery.qos(), publish.delivery.packet_id(), publish.delivery.dup(), publish.topic_alias()));
    used(Suback { packet_id, codes, properties }.reason_codes().last());
    used(Unsuback { packet_id, codes, properties }.reason_codes().last());
    used(Auth { reason_code: code(input), properties }.method());
}
