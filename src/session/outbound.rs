//! Messages to the server: quality of service as the sender (section 4.3) and flow control (section 4.9).

use super::config::{ApplicationMessage, ServerLimits};
use super::error::{Misuse, PeerError};
use super::event::{DropReason, Event, Halted, Published, Taken};
use super::frame::{self, Expiry, Flags};
use super::inbound::answer;
use super::machine::{Machine, has_expiry, has_qos_2, has_v5};
use super::storage::{Held, Queued, Store};
use crate::codec::{PacketType, Properties, PropertyId};
use crate::packet::{AckKind, Body, Delivery, Publish};
use crate::time::Instant;
use crate::types::{PacketId, ProtocolVersion, QoS, Role};

/// Why a held message ends when its turn comes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusal {
    Expired,
    Broken(Limit),
}

/// What the server has said it does not take.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    QoS,
    Retain,
    PacketTooLarge,
}

impl Machine {
    pub(super) fn publish<V: Store>(
        &mut self,
        store: &mut V,
        now: Instant,
        message: &ApplicationMessage<'_>,
    ) -> Result<Option<PacketId>, Misuse> {
        if has_v5::<V>() && message.properties.has(PropertyId::TopicAlias) {
            return Err(Misuse::TopicAliasByHand);
        }
        if message.qos == QoS::ExactlyOnce && !has_qos_2::<V>() {
            return Err(Misuse::LeftOut);
        }
        let has_id = message.qos != QoS::AtMostOnce;
        let packet_id = if has_id { self.unused_packet_id(store) } else { Some(PacketId::MIN) };
        let packet_id = packet_id.ok_or(Misuse::PacketIdsExhausted)?;
        let publish = Publish {
            topic: message.topic,
            payload: message.payload,
            retain: message.retain,
            delivery: Delivery::first(message.qos, packet_id),
            properties: message.properties,
        };
        let version = self.version::<V>();
        self.check_publish::<V>(Flags { qos: message.qos, retain: message.retain }, 0)?;
        let len = self.encode(store, |writer| publish.encode(writer, version, Role::Client))?;
        if !has_id {
            store.queue(Queued::Message, len)?;
            return Ok(None);
        }
        store.hold(Held { packet_id, qos: message.qos, since: now, begun: false }, len)?;
        self.last_packet_id = packet_id;
        Ok(Some(packet_id))
    }

    pub(super) fn publish_frame<V: Store>(
        &mut self,
        store: &mut V,
        since: Instant,
        frame: V::Frame,
        flags: Result<Flags, Misuse>,
    ) -> Result<Option<PacketId>, (Misuse, V::Frame)>
    where
        V::Frame: AsRef<[u8]>,
    {
        let checked = flags.and_then(|flags| self.check_publish::<V>(flags, frame.as_ref().len()).map(|()| flags));
        let flags = match checked {
            Ok(flags) => flags,
            Err(misuse) => return Err((misuse, frame)),
        };
        let full = |(full, frame)| (Misuse::Full(full), frame);
        if flags.qos == QoS::AtMostOnce {
            return store.queue_frame(frame).map(|()| None).map_err(full);
        }
        let Some(packet_id) = self.unused_packet_id(store) else {
            return Err((Misuse::PacketIdsExhausted, frame));
        };
        store.hold_frame(Held { packet_id, qos: flags.qos, since, begun: false }, frame).map_err(full)?;
        self.last_packet_id = packet_id;
        Ok(Some(packet_id))
    }

    /// Before CONNACK nobody knows the server's limits: then [`admit`] finds what breaks them.
    pub(super) fn check_publish<V: Store>(&self, flags: Flags, len: usize) -> Result<(), Misuse> {
        if self.is_connected() {
            let limits = self.limits::<V>();
            check_limits(limits, flags, len).map_err(|limit| limit.misuse(limits))
        } else if flags.qos == QoS::AtMostOnce {
            Err(Misuse::NotConnected)
        } else {
            Ok(())
        }
    }

    /// The next identifier that no message, PUBREL or request has `[MQTT-2.2.1-3]`; `None` if all are in use.
    #[inline(never)]
    pub(super) fn unused_packet_id<V: Store>(&self, store: &mut V) -> Option<PacketId> {
        let mut packet_id = self.last_packet_id.next();
        while store.is_in_use(packet_id) {
            if packet_id == self.last_packet_id {
                return None;
            }
            packet_id = packet_id.next();
        }
        Some(packet_id)
    }

    pub(super) fn handle_puback<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        match store.held(ack.packet_id) {
            // A server of v3.1.1 cannot say that it has no QoS 2, and some answer as for QoS 1: sent again, it would
            // come twice.
            Some((qos, true)) if qos == QoS::AtLeastOnce || !self.version::<V>().is_v5() => {
                self.complete(store, ack, qos, taken);
            }
            Some((_, true)) => return taken.fault(PeerError::WrongAcknowledgement(PacketType::Puback)),
            Some((_, false)) | None => {}
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn handle_pubrec<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        let failed = ack.reason_code.is_error();
        let has_release = store.has_release(ack.packet_id);
        match store.held(ack.packet_id) {
            Some((QoS::ExactlyOnce, true)) if !failed => {
                // Its place in the window passes to the PUBREL: the quota stays as it is [MQTT-4.3.3-4].
                store.unhold(ack.packet_id);
                store.push_release(ack.packet_id);
            }
            Some((QoS::ExactlyOnce, true)) => self.complete(store, ack, QoS::ExactlyOnce, taken),
            Some((_, true)) => return taken.fault(PeerError::WrongAcknowledgement(PacketType::Pubrec)),
            // Its PUBLISH is about to be sent, and answered then.
            Some((_, false)) => {}
            None if failed && has_release => self.complete(store, ack, QoS::ExactlyOnce, taken),
            None if failed => {}
            None => answer(store, AckKind::Pubrel, ack.packet_id, has_release, taken)?,
        }
        Ok(())
    }

    pub(super) fn handle_pubcomp<'i, V: Store>(
        &mut self,
        store: &mut V,
        ack: &Body<'i>,
        taken: &mut Taken<'i>,
    ) -> Result<(), Halted> {
        if store.has_release(ack.packet_id) {
            self.complete(store, ack, QoS::ExactlyOnce, taken);
        } else if let Some((_, true)) = store.held(ack.packet_id) {
            return taken.fault(PeerError::WrongAcknowledgement(PacketType::Pubcomp));
        }
        Ok(())
    }

    /// The exchange ends here, which frees its place in the server's window `[MQTT-4.9.0-2]`.
    fn complete<'i, V: Store>(&mut self, store: &mut V, ack: &Body<'i>, qos: QoS, taken: &mut Taken<'i>) {
        store.unhold(ack.packet_id);
        if has_qos_2::<V>() {
            store.remove_release(ack.packet_id);
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        taken.progress.event = Some(Event::Published(Published {
            packet_id: ack.packet_id,
            qos,
            reason_code: ack.reason_code,
            properties: Properties::from_wire(ack.properties),
        }));
    }
}

/// Prepares a held message for this connection: DUP if it was sent before `[MQTT-3.3.1-1]`, and what is left of its
/// Message Expiry Interval.
pub(super) fn admit<V: Store>(
    limits: &ServerLimits,
    version: ProtocolVersion,
    now: Instant,
    bytes: &mut [u8],
    held: &mut Held,
) -> Result<(), Refusal> {
    if let Some(flags) = Flags::of(bytes) {
        check_limits(limits, flags, bytes.len()).map_err(Refusal::Broken)?;
    }
    if held.begun {
        frame::set_dup(bytes);
    }
    let waited = now.millis_since(held.since) / 1000;
    if has_expiry::<V>()
        && waited > 0
        && let Some(expiry) = Expiry::of(bytes, version)
    {
        // A message that was sent before is sent again whatever its age [MQTT-4.3.3-7].
        if waited >= expiry.seconds && !held.begun {
            return Err(Refusal::Expired);
        }
        expiry.set(bytes, expiry.seconds.saturating_sub(waited));
        held.since = held.since.after_millis(waited * 1000);
    }
    Ok(())
}

fn check_limits(limits: &ServerLimits, flags: Flags, len: usize) -> Result<(), Limit> {
    if flags.qos > limits.maximum_qos {
        return Err(Limit::QoS);
    }
    if flags.retain && !limits.retain_available {
        return Err(Limit::Retain);
    }
    if limits.takes(len) { Ok(()) } else { Err(Limit::PacketTooLarge) }
}

impl Refusal {
    pub(super) const fn reason(self, limits: &ServerLimits) -> DropReason {
        match self {
            Self::Expired => DropReason::Expired,
            Self::Broken(limit) => DropReason::Refused(limit.misuse(limits)),
        }
    }
}

impl Limit {
    const fn misuse(self, limits: &ServerLimits) -> Misuse {
        match self {
            Self::QoS => Misuse::QoSNotSupported(limits.maximum_qos),
            Self::Retain => Misuse::RetainNotSupported,
            Self::PacketTooLarge => Misuse::PacketTooLarge { limit: limits.maximum_packet_size },
        }
    }
}
