use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest header of a frame that is not masked.
const LONGEST_HEADER: usize = 10;
/// The longest payload of a control frame (RFC 6455 section 5.5).
const LONGEST_CONTROL: usize = 125;

/// The server's frames, taken apart as they come: of a message nothing is kept, so that its length costs nothing.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    header: Short<LONGEST_HEADER>,
    frame: Option<Frame>,
    /// A message is not at its last frame yet.
    in_message: bool,
    /// The payload of a control frame.
    control: Short<LONGEST_CONTROL>,
    ping: Option<Short<LONGEST_CONTROL>>,
    end: Option<End>,
}

/// The frame that is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    left: u64,
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The server closes the WebSocket, with a code and text if it says why.
    Closed(Option<(CloseCode, Vec<u8>)>),
    /// The server has broken a rule, which this code tells.
    Violation(CloseCode, &'static str),
}

/// A few bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> Short<N> {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends as much as there is room for.
    fn push(&mut self, bytes: &[u8]) {
        for (place, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *place = *byte;
            self.len += 1;
        }
    }
}

impl Incoming {
    /// Why nothing more comes, if so.
    pub(super) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Whether there was a ping that nobody has [taken](Self::take_ping).
    pub(super) const fn has_ping(&self) -> bool {
        self.ping.is_some()
    }

    /// What the last ping was sent with, if there was one.
    pub(super) const fn take_ping(&mut self) -> Option<Short<LONGEST_CONTROL>> {
        self.ping.take()
    }

    /// Takes the next bytes of the stream, and leaves at their front those that are MQTT's; how many.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut from, mut to) = (0, 0);
        while self.end.is_none() && from < bytes.len() {
            let Some(frame) = self.frame else {
                self.header.push(bytes.get(from..=from).unwrap_or_default());
                from += 1;
                self.begin_frame();
                continue;
            };
            let rest = bytes.len() - from;
            let len = usize::try_from(frame.left).map_or(rest, |left| left.min(rest));
            if let OpCode::Data(_) = frame.opcode {
                bytes.copy_within(from..from + len, to);
                to += len;
            } else {
                self.control.push(bytes.get(from..from + len).unwrap_or_default());
            }
            from += len;
            self.go_on(frame, len);
        }
        to
    }

    /// Looks whether the header is whole.
    fn begin_frame(&mut self) {
        let header = self.header.as_slice();
        if header.get(1).is_some_and(|second| second & 0x80 != 0) {
            return self.violate(CloseCode::Protocol, "a masked frame");
        }
        let parsed = match FrameHeader::parse(&mut Cursor::new(header)) {
            Ok(parsed) => parsed,
            Err(_) => return self.violate(CloseCode::Protocol, "a frame of an unknown kind"),
        };
        let Some((header, left)) = parsed else { return };
        self.header = Short::default();
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return self.violate(CloseCode::Protocol, "a frame of an extension that was not agreed on");
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final => {
                return self.violate(CloseCode::Protocol, "a control frame in parts");
            }
            OpCode::Control(_) if left > 125 => return self.violate(CloseCode::Protocol, "a long control frame"),
            OpCode::Control(_) => self.control = Short::default(),
            OpCode::Data(Data::Continue) if !self.in_message => {
                return self.violate(CloseCode::Protocol, "a continuation of nothing");
            }
            OpCode::Data(Data::Binary) if self.in_message => {
                return self.violate(CloseCode::Protocol, "a message within another one");
            }
            OpCode::Data(Data::Continue | Data::Binary) => self.in_message = !header.is_final,
            // [MQTT-6.0.0-1]
            OpCode::Data(_) => return self.violate(CloseCode::Unsupported, "a text frame [MQTT-6.0.0-1]"),
        }
        if left > u64::MAX >> 1 {
            return self.violate(CloseCode::Protocol, "a frame longer than there are");
        }
        self.go_on(Frame { opcode: header.opcode, left }, 0);
    }

    /// `len` bytes of the frame have come.
    fn go_on(&mut self, mut frame: Frame, len: usize) {
        frame.left = frame.left.saturating_sub(u64::try_from(len).unwrap_or(u64::MAX));
        self.frame = (frame.left > 0).then_some(frame);
        if frame.left > 0 {
            return;
        }
        match frame.opcode {
            OpCode::Control(Control::Ping) => self.ping = Some(self.control),
            OpCode::Control(Control::Close) => self.end = Some(closed(self.control.as_slice())),
            OpCode::Control(_) | OpCode::Data(_) => {}
        }
    }

    fn violate(&mut self, code: CloseCode, what: &'static str) {
        self.end = Some(End::Violation(code, what));
    }
}

fn closed(payload: &[u8]) -> End {
    match payload.split_first_chunk() {
        Some((code, reason)) => End::Closed(Some((u16::from_be_bytes(*code).into(), reason.to_vec()))),
        None if payload.is_empty() => End::Closed(None),
        None => End::Violation(CloseCode::Protocol, "a close frame of one byte"),
    }
}
