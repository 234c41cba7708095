//! What happens in a storage, for those who keep it on a disk, and what has to be there before a packet leaves.
//!
//! Changes come in batches, numbered from 1. A packet that must not outrun the change it goes with names the batch of
//! that change and stays until that batch is durable: PUBLISH (its identifier), PUBREL (that PUBREC has come), PUBREC
//! (that the message is known) and PUBCOMP (that its identifier is free). PUBACK, PINGREQ and all else never wait.

use std::vec::Vec;

use super::{Frame, FrameState, Heap, Held, HeldFrame, Release};
use crate::session::frame;
use crate::session::storage::{Received, Stage};
use crate::types::{PacketId, ReasonCode};

/// A change that the session makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// PUBREC has come: the message is with the server, and PUBREL is to be sent.
    Released(PacketId),
    /// A message of QoS 2 is known to have been received.
    Received(PacketId),
    /// The identifier of a received message is free.
    Completed(PacketId),
    /// The server knows nothing of what it has sent before.
    Cleared,
}

/// When a message of QoS 2 counts as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "persistence"), allow(dead_code, reason = "nobody else keeps changes"))]
pub(crate) enum NoteReceived {
    /// When it comes.
    OnReceipt,
    /// When the application is done with it.
    OnAcknowledgement,
}

pub(super) struct Ledger {
    changes: Vec<Change>,
    note_received: NoteReceived,
    /// The batch in the making.
    batch: u64,
    /// Something waits for it.
    touched: bool,
    /// The last batch that is durable.
    durable: u64,
}

impl Heap {
    /// The last batch that is durable.
    pub(super) fn durable(&self) -> u64 {
        self.ledger.as_ref().map_or(u64::MAX, |ledger| ledger.durable)
    }

    /// The batch in the making, for something that waits for it.
    pub(crate) fn touch(&mut self) -> u64 {
        let Some(ledger) = &mut self.ledger else { return 0 };
        ledger.touched = true;
        ledger.batch
    }

    /// Whether something waits for the batch in the making.
    pub(crate) fn has_open_batch(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.touched)
    }

    pub(super) fn note(&mut self, change: Change) {
        if let Some(ledger) = &mut self.ledger {
            ledger.changes.push(change);
        }
    }

    #[cold]
    pub(super) fn note_receipt(&mut self, received: Received) {
        let Some(ledger) = &mut self.ledger else { return };
        if received.stage == Stage::ExactlyOnce && ledger.note_received == NoteReceived::OnReceipt {
            ledger.changes.push(Change::Received(received.packet_id));
            ledger.touched = true;
            self.received.answer_behind(received.packet_id, ledger.batch);
        }
    }

    #[cold]
    pub(super) fn note_acknowledgement(&mut self, packet_id: PacketId, code: ReasonCode) {
        let is_first_of_two = self.received.get(packet_id).is_some_and(|received| received.stage != Stage::AtLeastOnce);
        let Some(ledger) = self.ledger.as_mut().filter(|_| is_first_of_two) else { return };
        let change = match (code.is_error(), ledger.note_received) {
            // The exchange ends by it.
            (true, _) => Change::Completed(packet_id),
            (false, NoteReceived::OnAcknowledgement) => Change::Received(packet_id),
            (false, NoteReceived::OnReceipt) => return,
        };
        ledger.changes.push(change);
        ledger.touched = true;
        self.received.answer_behind(packet_id, ledger.batch);
    }
}

/// For the driver that keeps the changes.
#[cfg_attr(not(feature = "persistence"), expect(dead_code, reason = "nobody else keeps changes"))]
impl Heap {
    /// From now on changes are noted, and packets wait for them.
    pub(crate) fn keep_ledger(&mut self, note_received: NoteReceived) {
        let ledger = Ledger { changes: Vec::new(), note_received, batch: 1, touched: false, durable: 0 };
        self.ledger = Some(ledger.into());
    }

    /// The changes of the batch in the making that were not taken yet.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.ledger.as_mut().map(|ledger| core::mem::take(&mut ledger.changes)).unwrap_or_default()
    }

    /// Ends the batch in the making, if it `has_changes` or something waits for it; its number.
    pub(crate) fn end_batch(&mut self, has_changes: bool) -> Option<u64> {
        let ledger = self.ledger.as_mut().filter(|ledger| ledger.touched || has_changes)?;
        ledger.touched = false;
        ledger.batch += 1;
        Some(ledger.batch - 1)
    }

    /// All batches up to this one are durable.
    pub(crate) fn set_durable(&mut self, batch: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.durable = batch;
        }
    }

    /// Holds a PUBLISH of an earlier life, which may have been sent.
    pub(crate) fn restore_held(&mut self, held: Held, mut frame: Vec<u8>) {
        self.take_held_apart();
        frame::renew(&mut frame, held.packet_id);
        self.held_bytes += frame.len();
        self.held
            .push(held.packet_id, HeldFrame { held, frame: Frame::Own(frame), state: FrameState::Unsent, batch: 0 });
    }

    /// Appends a PUBREL of an earlier life.
    pub(crate) fn restore_release(&mut self, packet_id: PacketId) {
        self.take_releases_apart();
        self.releases.push(packet_id, Release { sent: false, batch: 0 });
    }

    /// A message of QoS 2 that was received in an earlier life and awaits its PUBREL.
    pub(crate) fn restore_received(&mut self, packet_id: PacketId) {
        self.received.restore(packet_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Properties;
    use crate::session::{ApplicationMessage, Config, ConnectOptions, Event, HeapLimits, Session};
    use crate::time::Instant;
    use crate::types::{ProtocolVersion, QoS};

    const NOW: Instant = Instant::from_millis(0);

    fn connected(note_received: NoteReceived) -> Session<Heap> {
        let config = Config { version: ProtocolVersion::V3_1_1, ..Config::DEFAULT };
        let config = Config { acknowledgement: crate::session::Acknowledgement::Manual, ..config };
        let mut session = Session::new(config, Heap::new(HeapLimits::default()));
        session.storage_mut().keep_ledger(note_received);
        session.connect(NOW, &ConnectOptions { client_id: "c", clean_start: false, ..Default::default() }).unwrap();
        assert!(!sent(&mut session).is_empty());
        hear(&mut session, &[0x20, 2, 1, 0]);
        session
    }

    fn sent(session: &mut Session<Heap>) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(bytes) = session.poll_transmit(NOW) {
            let len = bytes.len();
            all.extend_from_slice(bytes);
            session.consume_transmit(NOW, len);
        }
        all
    }

    /// Handles a packet, and acknowledges what is handed over.
    fn hear(session: &mut Session<Heap>, packet: &[u8]) {
        let progress = session.handle_input(NOW, packet).unwrap();
        assert_eq!(progress.consumed, packet.len());
        if let Some(Event::Message(message)) = progress.event {
            let receipt = message.receipt.unwrap();
            session.acknowledge(NOW, receipt, ReasonCode::SUCCESS).unwrap();
        }
    }

    /// What leaves only once the batch in the making is durable.
    fn sent_when_durable(session: &mut Session<Heap>) -> Vec<u8> {
        assert_eq!(sent(session), []);
        let batch = session.storage_mut().end_batch(false).expect("something waits for it");
        assert_eq!(sent(session), []);
        session.storage_mut().set_durable(batch);
        sent(session)
    }

    #[test]
    fn a_publish_and_its_pubrel_wait_for_their_changes() {
        let mut session = connected(NoteReceived::OnReceipt);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let properties = Properties::default();
            let message = ApplicationMessage { topic: "t", payload: b"x", qos, retain: false, properties };
            session.publish(NOW, &message).unwrap();
        }
        assert_eq!(sent_when_durable(&mut session), b"\x32\x06\0\x01t\0\x01x\x34\x06\0\x01t\0\x02x");
        hear(&mut session, &[0x50, 2, 0, 2]);
        // Sent again, PUBREC is answered no sooner.
        hear(&mut session, &[0x50, 2, 0, 2]);
        assert_eq!(session.storage_mut().take_changes(), [Change::Released(PacketId::new(2).unwrap())]);
        assert_eq!(sent_when_durable(&mut session), [0x62, 2, 0, 2, 0x62, 2, 0, 2]);
    }

    #[test]
    fn pubrec_and_pubcomp_wait_for_their_changes_and_puback_for_nothing() {
        let id = PacketId::new(7).unwrap();
        for note_received in [NoteReceived::OnReceipt, NoteReceived::OnAcknowledgement] {
            let mut session = connected(note_received);
            hear(&mut session, b"\x34\x06\0\x01t\0\x07x");
            assert_eq!(session.storage_mut().take_changes(), [Change::Received(id)]);
            assert_eq!(sent_when_durable(&mut session), [0x50, 2, 0, 7]);
            hear(&mut session, &[0x62, 2, 0, 7]);
            hear(&mut session, b"\x32\x06\0\x01t\0\x08x");
            session.ping(NOW).unwrap();
            assert_eq!(sent(&mut session), [0xC0, 0, 0x40, 2, 0, 8]);
            assert_eq!(session.storage_mut().take_changes(), [Change::Completed(id)]);
            assert_eq!(sent_when_durable(&mut session), [0x70, 2, 0, 7]);
        }
    }
}
