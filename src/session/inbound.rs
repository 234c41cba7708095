//! Messages from the server: quality of service as the receiver (section 4.3), topic aliases, and messages longer than
//! the receive buffer.

use core::num::NonZeroU16;

use super::config::{Acknowledgement, Oversize};
use super::error::{Misuse, PeerError};
use super::event::{Event, Halted, Message, Receipt, Stall, Taken, Topic};
use super::machine::{Machine, has_qos_2, has_v5};
use super::storage::{Answer, Received, Stage, Store};
use crate::codec::{DecodeError, FixedHeader, PacketType, Properties, Reader};
use crate::packet::{AckKind, Body, Head};
use crate::types::{PacketId, QoS, ReasonCode, Role, TopicName};

/// A message that is passing through in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Bytes of the payload that have not come.
    remaining: u32,
    /// Whether the application hears of it.
    mode: Mode,
    /// What is to be acknowledged at its end.
    pub(super) packet_id: Option<PacketId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Deliver,
    Skip,
    /// A repetition of a message that was handed over before.
    Repeated,
}

impl Machine {
    /// Takes a PUBLISH that is whole, or, where it `is_oversize`, begins one that is longer than the receive limit.
    pub(super) fn take_publish<'i, V: Store>(
        &mut self,
        store: &mut V,
        header: FixedHeader,
        body: &'i [u8],
        is_oversize: bool,
        taken: &mut Taken<'i>,
    ) -> Result<usize, Halted> {
        let mut reader = Reader::new(body);
        let publish = Head::decode(header.flags, &mut reader, self.version::<V>(), Role::Server);
        let body_len = usize::try_from(header.remaining_length).unwrap_or(usize::MAX);
        match reader.error() {
            None => {}
            Some(DecodeError::Truncated) if is_oversize && body.len() < body_len => {
                // Topic and properties alone may fill the buffer: then they can never be seen whole.
                let available = u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(header.header_len.into());
                let buffer_is_full = available >= self.config.receive_limit;
                return if buffer_is_full { taken.fault(Self::too_large(header)) } else { Ok(0) };
            }
            Some(error) => return taken.fault(error),
        }
        let topic = self.resolve_topic(store, &publish, taken)?;
        let is_automatic = self.config.acknowledgement == Acknowledgement::Automatic;
        let code = (is_automatic && !is_oversize).then_some(ReasonCode::SUCCESS);
        let is_new = self.admit_publish(store, &publish, code, taken)?;
        let packet_id = publish.packet_id.filter(|_| is_new);
        let mut message = Message {
            topic,
            payload: reader.rest(),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            properties: Properties::from_wire(publish.properties),
            receipt: self.last_receipt(packet_id),
        };
        if !is_oversize {
            taken.progress.event = is_new.then_some(Event::Message(message));
            return Ok(header.packet_len());
        }
        let head_len = usize::from(header.header_len) + (body.len() - message.payload.len());
        let payload_len = u32::try_from(header.packet_len().saturating_sub(head_len)).unwrap_or(u32::MAX);
        message.payload = &[];
        message.receipt = None;
        let mode = match self.config.oversize {
            _ if !is_new => Mode::Repeated,
            Oversize::Stream => Mode::Deliver,
            Oversize::Skip | Oversize::Refuse => Mode::Skip,
        };
        taken.progress.event = match mode {
            Mode::Repeated => None,
            Mode::Deliver => Some(Event::MessageStart { message, payload_len }),
            Mode::Skip => Some(Event::MessageSkipped { message, payload_len }),
        };
        self.stream = Some(Stream { remaining: payload_len, mode, packet_id });
        if payload_len == 0 && mode != Mode::Deliver {
            self.end_stream(store);
        }
        Ok(head_len)
    }

    /// Takes a piece of a message that has begun, or its end.
    #[inline(never)]
    pub(super) fn continue_stream<'i, V: Store>(
        &mut self,
        store: &mut V,
        input: &'i [u8],
        taken: &mut Taken<'i>,
    ) -> usize {
        let Some(stream) = &mut self.stream else { return 0 };
        if stream.remaining == 0 {
            let packet_id = stream.packet_id;
            taken.has(Event::MessageEnd(self.last_receipt(packet_id)));
            self.end_stream(store);
            return 0;
        }
        let len = usize::try_from(stream.remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
        let chunk = input.get(..len).unwrap_or(input);
        stream.remaining -= u32::try_from(len).unwrap_or(stream.remaining);
        if stream.mode == Mode::Deliver {
            taken.progress.event = (len > 0).then_some(Event::Chunk(chunk));
        } else if stream.remaining == 0 {
            self.end_stream(store);
        }
        len
    }

    fn end_stream<V: Store>(&mut self, store: &mut V) {
        let Some(stream) = self.stream.take() else { return };
        let automatic = self.config.acknowledgement == Acknowledgement::Automatic || stream.mode == Mode::Skip;
        if let Some(packet_id) = stream.packet_id.filter(|_| automatic) {
            store.acknowledge(packet_id, self.last_serial, ReasonCode::SUCCESS);
        }
    }

    pub(super) fn acknowledge<V: Store>(
        &mut self,
        store: &mut V,
        receipt: Receipt,
        code: ReasonCode,
    ) -> Result<(), Misuse> {
        if !AckKind::Puback.allows(code, Role::Client) {
            return Err(Misuse::ReasonCode);
        }
        // v3.1.1 has no codes: the server takes whatever comes for success.
        let code = if self.version::<V>().is_v5() { code } else { ReasonCode::SUCCESS };
        if store.acknowledge(receipt.packet_id, receipt.serial, code) { Ok(()) } else { Err(Misuse::StaleReceipt) }
    }

    /// PUBREL: the message is complete. One that is not known is answered too, or the server would wait for ever.
    #[inline(never)]
    pub(super) fn handle_pubrel<V: Store>(
        &mut self,
        store: &mut V,
        ack: &Body<'_>,
        taken: &mut Taken<'_>,
    ) -> Result<(), Halted> {
        let known = store.received(ack.packet_id).is_some_and(|received| received.is_accepted());
        answer(store, AckKind::Pubcomp, ack.packet_id, known, taken)?;
        store.release(ack.packet_id);
        Ok(())
    }

    /// Notes a message of QoS 1 or 2, to be answered with `code` if that is known. Whether it is new.
    fn admit_publish<V: Store>(
        &mut self,
        store: &mut V,
        publish: &Head<'_>,
        code: Option<ReasonCode>,
        taken: &mut Taken<'_>,
    ) -> Result<bool, Halted> {
        let qos = publish.qos;
        let Some(packet_id) = publish.packet_id else { return Ok(true) };
        if qos == QoS::ExactlyOnce && !has_qos_2::<V>() {
            return taken.fault(PeerError::LeftOut(PacketType::Publish));
        }
        let stage = store.received(packet_id).map(|received| received.stage);
        let takes_place = !stage.is_some_and(|stage| stage.is_counted());
        if takes_place && self.version::<V>().is_v5() && store.received_count() >= usize::from(self.receive_maximum) {
            return taken.fault(PeerError::ReceiveMaximumExceeded);
        }
        match (qos, stage) {
            (_, None) | (QoS::AtLeastOnce, Some(Stage::AtLeastOnce | Stage::Interrupted)) => {
                self.note_received(store, packet_id, qos, code, taken)
            }
            (QoS::ExactlyOnce, _) if !has_qos_2::<V>() => Ok(false),
            (QoS::ExactlyOnce, Some(Stage::ExactlyOnce)) => Ok(false),
            // Sent again before PUBREL: PUBREC in its turn, and no second delivery [MQTT-4.3.3-10].
            (QoS::ExactlyOnce, Some(Stage::Interrupted | Stage::AwaitingRelease | Stage::Carried)) => {
                store.revive(packet_id);
                Ok(false)
            }
            // A server that gives the identifier to a message of QoS 1 has nothing to release any more: it has lost the
            // session of the earlier connection, and the CONNACK that said so never came.
            (QoS::AtLeastOnce, Some(Stage::Carried)) => {
                store.release(packet_id);
                self.note_received(store, packet_id, qos, code, taken)
            }
            _ => taken.fault(PeerError::PacketIdInUse(packet_id.value())), // [MQTT-2.2.1-4]
        }
    }

    fn note_received<V: Store>(
        &mut self,
        store: &mut V,
        packet_id: PacketId,
        qos: QoS,
        code: Option<ReasonCode>,
        taken: &mut Taken<'_>,
    ) -> Result<bool, Halted> {
        let serial = self.last_serial.wrapping_add(1);
        if !store.push_received(Received { packet_id, serial, stage: Stage::of(qos), code }) {
            // v3.1.1 tells the server no limit: let what can be answered make room first.
            return match store.stall() {
                Some(stall) => taken.stall(stall),
                None => taken.fault(PeerError::InboundTableFull),
            };
        }
        self.last_serial = serial;
        Ok(true)
    }

    /// The receipt of the message that was noted last.
    fn last_receipt(&self, packet_id: Option<PacketId>) -> Option<Receipt> {
        packet_id.map(|packet_id| Receipt { packet_id, serial: self.last_serial })
    }

    /// The topic of a PUBLISH, by its alias where it has none in it (section 3.3.2.3.4).
    fn resolve_topic<'i, V: Store>(
        &self,
        store: &mut V,
        publish: &Head<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<Topic<'i>, Halted> {
        let topic = TopicName::from_checked(publish.topic);
        let alias = if has_v5::<V>() { publish.topic_alias() } else { None };
        let Some(alias) = alias.and_then(NonZeroU16::new) else {
            return Ok(Topic::Name(topic));
        };
        let invalid = PeerError::TopicAlias(alias.get());
        if alias.get() > self.topic_alias_maximum {
            return taken.fault(invalid);
        }
        match topic.as_bytes() {
            [] if store.has_topic(alias) => Ok(Topic::Alias(alias)),
            [] => taken.fault(PeerError::UndefinedTopicAlias(alias.get())),
            _ if store.define_topic(alias, topic) => Ok(Topic::Name(topic)),
            _ => taken.fault(invalid),
        }
    }
}

/// Answers a packet of an exchange; with a failure where the exchange is not known.
pub(super) fn answer<V: Store>(
    store: &mut V,
    kind: AckKind,
    packet_id: PacketId,
    is_known: bool,
    taken: &mut Taken<'_>,
) -> Result<(), Halted> {
    let reason_code = if is_known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
    let has_room = store.push_answer(Answer { kind, packet_id, reason_code });
    if has_room { Ok(()) } else { taken.stall(Stall::TransmitFirst) }
}
