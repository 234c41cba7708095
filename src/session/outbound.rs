//! Messages to the server: quality of service as the sender (section 4.3) and flow control (section 4.9).

use super::config::{ApplicationMessage, ServerLimits};
use super::connection::{queue, queued_len};
use super::error::{Misuse, PeerError};
use super::event::{DropReason, Event, Published, Stall};
use super::frame::{self, Flags};
use super::machine::{Handled, Machine, Phase};
use super::storage::{Answer, Held, Queued, Store};
use crate::codec::{PacketType, Property, Writer};
use crate::packet::{Ack, AckKind, Publish};
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

impl Machine {
    pub(super) fn publish<V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        message: &ApplicationMessage<'_>,
    ) -> Result<Option<PacketId>, Misuse> {
        if message.properties.iter().any(|property| matches!(property, Property::TopicAlias(_))) {
            return Err(Misuse::TopicAliasByHand);
        }
        let publish = Publish {
            topic: message.topic,
            payload: message.payload,
            retain: message.retain,
            delivery: frame::unnumbered(message.qos),
            properties: message.properties,
        };
        let version = self.version();
        let encode = |writer: &mut Writer<'_>| publish.encode(writer, version, Role::Client);
        let len = queued_len(&encode)?;
        self.check_publish(Flags { qos: message.qos, retain: message.retain }, len)?;
        if message.qos == QoS::AtMostOnce {
            queue(store, Queued::Message, &encode)?;
            return Ok(None);
        }
        let held = self.new_held(store, now, message.qos)?;
        store.hold(held, len, &encode)?;
        self.last_packet_id = held.packet_id;
        Ok(Some(held.packet_id))
    }

    pub(super) fn publish_frame<V: Store>(
        &mut self,
        store: &mut V,
        since: Instant,
        frame: V::Frame,
    ) -> Result<Option<PacketId>, (Misuse, V::Frame)>
    where
        V::Frame: AsRef<[u8]>,
    {
        let bytes = frame.as_ref();
        let checked = frame::check(bytes, self.version())
            .and_then(|flags| self.check_publish(flags, bytes.len()).map(|()| flags));
        let flags = match checked {
            Ok(flags) => flags,
            Err(misuse) => return Err((misuse, frame)),
        };
        let full = |(full, frame)| (Misuse::Full(full), frame);
        if flags.qos == QoS::AtMostOnce {
            return store.queue_frame(frame).map(|()| None).map_err(full);
        }
        let held = match self.new_held(store, since, flags.qos) {
            Ok(held) => held,
            Err(misuse) => return Err((misuse, frame)),
        };
        store.hold_frame(held, frame).map_err(full)?;
        self.last_packet_id = held.packet_id;
        Ok(Some(held.packet_id))
    }

    /// Before CONNACK nobody knows the server's limits: then [`admit`] finds what breaks them.
    fn check_publish(&self, flags: Flags, len: usize) -> Result<(), Misuse> {
        if self.phase == Phase::Connected {
            check_limits(&self.limits, flags, len)
        } else if flags.qos == QoS::AtMostOnce {
            Err(Misuse::NotConnected)
        } else {
            Ok(())
        }
    }

    fn new_held<V: Store>(&self, store: &V, since: Instant, qos: QoS) -> Result<Held, Misuse> {
        Ok(Held { packet_id: self.unused_packet_id(store)?, qos, since, begun: false })
    }

    /// The next identifier that no message, PUBREL or request has `[MQTT-2.2.1-3]`.
    pub(super) fn unused_packet_id<V: Store>(&self, store: &V) -> Result<PacketId, Misuse> {
        let mut packet_id = self.last_packet_id.next();
        while store.is_in_use(packet_id) {
            if packet_id == self.last_packet_id {
                return Err(Misuse::PacketIdsExhausted);
            }
            packet_id = packet_id.next();
        }
        Ok(packet_id)
    }

    pub(super) fn handle_puback<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: Ack<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        match store.held(ack.packet_id) {
            Some((QoS::AtLeastOnce, true)) => Ok(self.complete(store, ack, QoS::AtLeastOnce)),
            Some((_, true)) => Err(PeerError::WrongAcknowledgement(PacketType::Puback)),
            Some((_, false)) | None => Ok(Handled::Done(None)),
        }
    }

    pub(super) fn handle_pubrec<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: Ack<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        let failed = ack.reason_code.is_error();
        match store.held(ack.packet_id) {
            Some((QoS::ExactlyOnce, true)) if failed => return Ok(self.complete(store, ack, QoS::ExactlyOnce)),
            Some((QoS::ExactlyOnce, true)) => {
                // Its place in the window passes to the PUBREL: the quota stays as it is [MQTT-4.3.3-4].
                store.unhold(ack.packet_id);
                store.push_release(ack.packet_id);
                return Ok(Handled::Done(None));
            }
            Some((_, true)) => return Err(PeerError::WrongAcknowledgement(PacketType::Pubrec)),
            // Its PUBLISH is about to be sent, and answered then.
            Some((_, false)) => return Ok(Handled::Done(None)),
            None => {}
        }
        let known = store.has_release(ack.packet_id);
        if known && failed {
            return Ok(self.complete(store, ack, QoS::ExactlyOnce));
        }
        if failed {
            return Ok(Handled::Done(None));
        }
        let reason_code = if known { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        let answer = Answer { kind: AckKind::Pubrel, packet_id: ack.packet_id, reason_code };
        Ok(if store.push_answer(answer) { Handled::Done(None) } else { Handled::Stalled(Stall::TransmitFirst) })
    }

    pub(super) fn handle_pubcomp<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: Ack<'i>,
    ) -> Result<Handled<'i>, PeerError> {
        if store.has_release(ack.packet_id) {
            return Ok(self.complete(store, ack, QoS::ExactlyOnce));
        }
        match store.held(ack.packet_id) {
            Some((_, true)) => Err(PeerError::WrongAcknowledgement(PacketType::Pubcomp)),
            Some((_, false)) | None => Ok(Handled::Done(None)),
        }
    }

    /// The exchange ends here, which frees its place in the server's window `[MQTT-4.9.0-2]`.
    fn complete<'i, V: Store>(&mut self, store: &mut V, ack: Ack<'i>, qos: QoS) -> Handled<'i> {
        store.unhold(ack.packet_id);
        store.remove_release(ack.packet_id);
        self.in_flight = self.in_flight.saturating_sub(1);
        Handled::Done(Some(Event::Published(Published {
            packet_id: ack.packet_id,
            qos,
            reason_code: ack.reason_code,
            properties: ack.properties,
        })))
    }
}

/// Prepares a held message for this connection: DUP if it was sent before `[MQTT-3.3.1-1]`, and what is left of its
/// Message Expiry Interval.
pub(super) fn admit(
    limits: &ServerLimits,
    version: ProtocolVersion,
    now: Instant,
    bytes: &mut [u8],
    held: &mut Held,
) -> Result<(), DropReason> {
    if let Some(flags) = Flags::of(bytes) {
        check_limits(limits, flags, bytes.len()).map_err(DropReason::Refused)?;
    }
    if held.begun {
        frame::set_dup(bytes);
    }
    let waited = now.millis_since(held.since) / 1000;
    if waited > 0
        && let Some(seconds) = frame::expiry(bytes, version)
    {
        // A message that was sent before is sent again whatever its age [MQTT-4.3.3-7].
        if waited >= seconds && !held.begun {
            return Err(DropReason::Expired);
        }
        frame::set_expiry(bytes, version, seconds.saturating_sub(waited));
        held.since = held.since.after_millis(waited * 1000);
    }
    Ok(())
}

fn check_limits(limits: &ServerLimits, flags: Flags, len: usize) -> Result<(), Misuse> {
    if flags.qos > limits.maximum_qos {
        return Err(Misuse::QoSNotSupported(limits.maximum_qos));
    }
    if flags.retain && !limits.retain_available {
        return Err(Misuse::RetainNotSupported);
    }
    limits.check_packet_size(len)
}
