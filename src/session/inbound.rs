//! Messages from the server: quality of service as the receiver (section 4.3), topic aliases, and messages longer than
//! the receive buffer.

use core::num::NonZeroU16;

use super::config::{Acknowledgement, Oversize};
use super::error::{Misuse, PeerError};
use super::event::{Event, Message, Progress, Receipt, Stall, Topic};
use super::machine::{Handled, Machine};
use super::storage::{Answer, Received, Stage, Store};
use crate::codec::Property;
use crate::packet::{Ack, AckKind, Publish, PublishHead};
use crate::types::{PacketId, QoS, ReasonCode, Role};

/// A message that is passing through in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// Bytes of the payload that have not come.
    remaining: u32,
    /// Whether the application hears of it.
    mode: Mode,
    /// What is to be acknowledged at its end.
    pub(super) receipt: Option<Receipt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Deliver,
    Skip,
    /// A repetition of a message that was handed over before.
    Repeated,
}

/// What is to be done with a PUBLISH.
enum Admission {
    New(Option<Receipt>),
    Repeated,
    Stalled(Stall),
}

impl Machine {
    pub(super) fn handle_publish<'i, V: Store>(
        &mut self,
        store: &mut V,
        publish: Publish<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        let topic = self.resolve_topic(store, &publish)?;
        let code = match self.config.acknowledgement {
            Acknowledgement::Automatic => Some(ReasonCode::SUCCESS),
            Acknowledgement::Manual => None,
        };
        Ok(match self.admit_publish(store, &publish, code)? {
            Admission::New(receipt) => Handled::Done(Some(Event::Message(message(&publish, topic, receipt)))),
            Admission::Repeated => Handled::Done(None),
            Admission::Stalled(stall) => Handled::Stalled(stall),
        })
    }

    /// Begins a PUBLISH longer than the receive limit.
    pub(super) fn begin_stream<'i, V: Store>(
        &mut self,
        store: &mut V,
        input: &'i [u8],
    ) -> Result<Progress<'i>, PeerError> {
        let Some(head) = PublishHead::decode(input, self.version(), Role::Server)? else {
            return Ok(Progress::INCOMPLETE);
        };
        let topic = self.resolve_topic(store, &head.publish)?;
        let (receipt, repeated) = match self.admit_publish(store, &head.publish, None)? {
            Admission::New(receipt) => (receipt, false),
            Admission::Repeated => (None, true),
            Admission::Stalled(stall) => return Ok(Progress::stalled(stall)),
        };
        let payload_len = u32::try_from(head.payload_len).unwrap_or(u32::MAX);
        let message = message(&head.publish, topic, None);
        let (mode, event) = match self.config.oversize {
            _ if repeated => (Mode::Repeated, None),
            Oversize::Stream => (Mode::Deliver, Some(Event::MessageStart { message, payload_len })),
            Oversize::Skip | Oversize::Refuse => (Mode::Skip, Some(Event::MessageSkipped { message, payload_len })),
        };
        self.stream = Some(Stream { remaining: payload_len, mode, receipt });
        if payload_len == 0 && mode != Mode::Deliver {
            self.end_stream(store);
        }
        Ok(Progress::consumed(head.head_len, event))
    }

    /// Takes a piece of a message that has begun, or its end.
    pub(super) fn continue_stream<'i, V: Store>(&mut self, store: &mut V, input: &'i [u8]) -> Progress<'i> {
        let Some(stream) = &mut self.stream else { return Progress::INCOMPLETE };
        if stream.remaining > 0 {
            let len = usize::try_from(stream.remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
            let chunk = input.get(..len).unwrap_or(input);
            stream.remaining -= u32::try_from(chunk.len()).unwrap_or(stream.remaining);
            let event = (stream.mode == Mode::Deliver && !chunk.is_empty()).then_some(Event::Chunk(chunk));
            let progress = Progress::consumed(chunk.len(), event);
            if stream.remaining > 0 || stream.mode == Mode::Deliver {
                return progress;
            }
            self.end_stream(store);
            return progress;
        }
        let receipt = stream.receipt;
        self.end_stream(store);
        Progress::consumed(0, Some(Event::MessageEnd(receipt)))
    }

    fn end_stream<V: Store>(&mut self, store: &mut V) {
        let Some(stream) = self.stream.take() else { return };
        let automatic = self.config.acknowledgement == Acknowledgement::Automatic || stream.mode == Mode::Skip;
        if let Some(receipt) = stream.receipt.filter(|_| automatic) {
            store.acknowledge(receipt.packet_id, receipt.serial, ReasonCode::SUCCESS);
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
        let code = if self.version().is_v5() { code } else { ReasonCode::SUCCESS };
        if store.acknowledge(receipt.packet_id, receipt.serial, code) { Ok(()) } else { Err(Misuse::StaleReceipt) }
    }

    /// PUBREL: the message is complete. One that is not known is answered too, or the server would wait for ever.
    pub(super) fn handle_pubrel<'i, V: Store>(&mut self, store: &mut V, ack: Ack<'i>) -> Handled<'i> {
        let known = store.received(ack.packet_id).is_some_and(|stage| stage.is_accepted());
        let reason_code = if known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        if !store.push_answer(Answer { kind: AckKind::Pubcomp, packet_id: ack.packet_id, reason_code }) {
            return Handled::Stalled(Stall::TransmitFirst);
        }
        store.release(ack.packet_id);
        Handled::Done(None)
    }

    /// Notes a message of QoS 1 or 2, to be answered with `code` if that is known.
    fn admit_publish<V: Store>(
        &mut self,
        store: &mut V,
        publish: &Publish<'_>,
        code: Option<ReasonCode>,
    ) -> Result<Admission, PeerError> {
        let qos = publish.delivery.qos();
        let Some(packet_id) = publish.delivery.packet_id() else { return Ok(Admission::New(None)) };
        let stage = store.received(packet_id);
        let takes_place = !stage.is_some_and(|stage| stage.is_counted());
        let window = usize::from(self.receive_maximum);
        if takes_place && self.version().is_v5() && store.received_count() >= window {
            return Err(PeerError::ReceiveMaximumExceeded);
        }
        match (qos, stage) {
            (QoS::ExactlyOnce, Some(Stage::Unanswered(QoS::ExactlyOnce, _))) => return Ok(Admission::Repeated),
            // Sent again before PUBREL: PUBREC in its turn, and no second delivery [MQTT-4.3.3-10].
            (QoS::ExactlyOnce, Some(Stage::Interrupted(_) | Stage::AwaitingRelease { .. })) => {
                store.revive(packet_id);
                return Ok(Admission::Repeated);
            }
            (QoS::AtLeastOnce, Some(Stage::Unanswered(QoS::AtLeastOnce, _)) | None)
            | (_, Some(Stage::Interrupted(_)) | None) => {}
            _ => return Err(PeerError::PacketIdInUse(packet_id.value())), // [MQTT-2.2.1-4]
        }
        self.note_received(store, packet_id, qos, code)
    }

    fn note_received<V: Store>(
        &mut self,
        store: &mut V,
        packet_id: PacketId,
        qos: QoS,
        code: Option<ReasonCode>,
    ) -> Result<Admission, PeerError> {
        let serial = self.last_serial.wrapping_add(1);
        let received = Received { packet_id, serial, stage: Stage::Unanswered(qos, code) };
        if !store.push_received(received) {
            // v3.1.1 tells the server no limit: let what can be answered make room first.
            return match store.stall() {
                Some(stall) => Ok(Admission::Stalled(stall)),
                None => Err(PeerError::InboundTableFull),
            };
        }
        self.last_serial = serial;
        Ok(Admission::New(Some(Receipt { packet_id, serial })))
    }

    /// The topic of a PUBLISH, by its alias where it has none in it (section 3.3.2.3.4).
    fn resolve_topic<'i, V: Store>(&self, store: &mut V, publish: &Publish<'i>) -> Result<Topic<'i>, PeerError> {
        let alias = publish.properties.find(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
            _ => None,
        });
        let Some(alias) = alias else { return Ok(Topic::Name(publish.topic)) };
        let invalid = PeerError::TopicAlias(NonZeroU16::get(alias));
        if alias.get() > self.topic_alias_maximum {
            return Err(invalid);
        }
        match publish.topic {
            "" if store.has_topic(alias) => Ok(Topic::Alias(alias)),
            "" => Err(PeerError::UndefinedTopicAlias(alias.get())),
            topic if store.define_topic(alias, topic) => Ok(Topic::Name(topic)),
            _ => Err(invalid),
        }
    }
}

fn message<'i>(publish: &Publish<'i>, topic: Topic<'i>, receipt: Option<Receipt>) -> Message<'i> {
    Message {
        topic,
        payload: publish.payload,
        qos: publish.delivery.qos(),
        retain: publish.retain,
        dup: publish.delivery.dup(),
        properties: publish.properties,
        receipt,
    }
}
