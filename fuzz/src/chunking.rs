//! One stream, cut into pieces in several ways.

use arbitrary::{Result, Unstructured};
use flowsdk::session::{Config, Event, Message, PeerError, Receipt};
use flowsdk::types::QoS;

use crate::setup::{Kind, config};
use crate::support::{Rig, code, connack, encode};

/// Gives a session the stream whole, in the pieces that the bytes say, and byte by byte; see the target.
pub fn chunking(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let config = config(u)?;
    let kind = Kind::new(u)?;
    let is_accepted = u.arbitrary()?;
    let count = u.int_in_range(0..=15_usize)?;
    let lengths = u.bytes(count.min(u.len()))?;
    let stream = u.bytes(u.len())?;

    let mut pieces = Vec::new();
    let mut rest = stream;
    for len in lengths {
        let (piece, later) = rest.split_at(usize::from(*len).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);

    let begin = || Receiver::new(config, kind, is_accepted);
    let expected = begin().take_all(&[stream]);
    assert_eq!(begin().take_all(&pieces), expected);
    let single: Vec<_> = stream.chunks(1).collect();
    assert_eq!(begin().take_all(&single), expected);
    Ok(())
}

/// All that came of a stream: events, how it ended, what was sent.
type Outcome = (Vec<Told>, Option<PeerError>, Vec<u8>);

/// An event; consecutive chunks are one.
#[derive(Debug, PartialEq)]
enum Told {
    Event(String),
    Chunk(Vec<u8>),
}

/// A driver that reads into a buffer of the size that the session asks for.
struct Receiver {
    rig: Rig,
    buffer: Vec<u8>,
    capacity: usize,
    receipts: Vec<Receipt>,
    told: Vec<Told>,
    sent: Vec<u8>,
}

impl Receiver {
    fn new(config: Config, kind: Kind, is_accepted: bool) -> Self {
        let mut rig = Rig::new(config, kind.session(config));
        // Whatever has no room here has none in the other run.
        let _ = rig.session.connect(rig.now, &rig.options());
        let mut sent = rig.wire();
        if is_accepted {
            let _ = rig.take(&encode(&connack(false, &[]), config.version));
        }
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let _ = rig.try_publish(qos, "payload");
        }
        let _ = rig.try_subscribe(&["f"], &[]);
        let _ = rig.try_unsubscribe(&["f"]);
        sent.extend(rig.wire());
        let capacity = if config.receive_limit == 0 { usize::MAX } else { config.receive_limit as usize };
        Self { rig, buffer: Vec::new(), capacity, receipts: Vec::new(), told: Vec::new(), sent }
    }

    fn take_all(mut self, pieces: &[&[u8]]) -> Outcome {
        let mut end = None;
        for piece in pieces {
            if let Err(error) = self.take_piece(piece) {
                end = Some(error);
                break;
            }
        }
        self.sent.extend(self.rig.wire());
        (self.told, end, self.sent)
    }

    fn take_piece(&mut self, mut piece: &[u8]) -> Result<(), PeerError> {
        loop {
            let (now, later) = piece.split_at(piece.len().min(self.capacity - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            piece = later;
            self.take_buffer()?;
            if piece.is_empty() {
                return Ok(());
            }
            if self.buffer.len() >= self.capacity {
                assert!(self.is_stuck(), "the buffer is full, and nothing is taken");
                return Ok(());
            }
        }
    }

    /// Whether the server has filled a table that only its own packets can empty.
    fn is_stuck(&mut self) -> bool {
        let progress = self.rig.session.handle_input(self.rig.now, &self.buffer);
        progress.is_ok_and(|progress| progress.stalled.is_some())
    }

    fn take_buffer(&mut self) -> Result<(), PeerError> {
        let mut has_helped = false;
        loop {
            let progress = self.rig.session.handle_input(self.rig.now, &self.buffer)?;
            let (consumed, goes_on, stalled) = (progress.consumed, progress.goes_on(), progress.stalled);
            if let Some(event) = progress.event {
                tell(&mut self.told, &mut self.receipts, &self.rig, &event);
            }
            self.buffer.drain(..consumed);
            match stalled {
                Some(_) if !has_helped => self.help(),
                _ if !goes_on => return Ok(()),
                _ => {}
            }
            has_helped = stalled.is_some();
        }
    }

    /// Does all that a driver can do about a stall.
    fn help(&mut self) {
        for receipt in self.receipts.drain(..) {
            let _ = self.rig.session.acknowledge(self.rig.now, receipt, code(0));
        }
        self.sent.extend(self.rig.wire());
    }
}

fn tell(told: &mut Vec<Told>, receipts: &mut Vec<Receipt>, rig: &Rig, event: &Event<'_>) {
    match event {
        Event::Chunk(chunk) => {
            if let Some(Told::Chunk(last)) = told.last_mut() {
                last.extend_from_slice(chunk);
            } else {
                told.push(Told::Chunk(chunk.to_vec()));
            }
            return;
        }
        Event::Message(Message { topic, receipt, .. })
        | Event::MessageStart { message: Message { topic, receipt, .. }, .. } => {
            assert!(rig.session.topic(*topic).is_some(), "{event:?}");
            receipts.extend(*receipt);
        }
        Event::MessageEnd(receipt) => receipts.extend(*receipt),
        _ => {}
    }
    told.push(Told::Event(format!("{event:?}")));
}
