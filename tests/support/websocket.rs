//! The server's end of a WebSocket, made here by hand so that it is a second opinion, and can be as wrong as a test
//! wants.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use tungstenite::handshake::derive_accept_key;

use super::scripted_broker::ScriptedBroker;
use super::wire::Splitter;

/// First bytes of frames.
pub const BINARY: u8 = 0x82;
/// See [`BINARY`].
pub const CLOSE: u8 = 0x88;
/// See [`BINARY`].
pub const PING: u8 = 0x89;
/// See [`BINARY`].
pub const PONG: u8 = 0x8A;

/// A connection of a client, over which a WebSocket may be opened. Dropping it closes the connection.
pub struct WebSocketPeer<S = TcpStream> {
    pub stream: S,
    splitter: Splitter,
    packets: std::collections::VecDeque<Vec<u8>>,
}

impl WebSocketPeer {
    /// The next connection.
    #[track_caller]
    pub fn accept(broker: &ScriptedBroker) -> Self {
        Self::new(broker.accept().into_stream())
    }

    /// The next connection, with its WebSocket opened as the client wants it.
    #[track_caller]
    pub fn accept_upgraded(broker: &ScriptedBroker) -> Self {
        let mut peer = Self::accept(broker);
        peer.upgrade();
        peer
    }

    /// Sends no more, but still reads.
    pub fn finish_sending(&self) {
        // The client may have gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl<S: Read + Write> WebSocketPeer<S> {
    /// What lies over this stream.
    pub fn new(stream: S) -> Self {
        Self { stream, splitter: Splitter::default(), packets: Default::default() }
    }

    /// Reads the request and gives the answer that it wants; the request.
    #[track_caller]
    pub fn upgrade(&mut self) -> String {
        self.upgrade_with(&format!("{SWITCHING}Sec-WebSocket-Protocol: mqtt\r\n\r\n"))
    }

    /// Reads the request and gives this answer, in which `{accept}` is what belongs to it; the request.
    #[track_caller]
    pub fn upgrade_with(&mut self, answer: &str) -> String {
        let request = self.read_request();
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        self.send(answer.replace("{accept}", &derive_accept_key(key.as_bytes())).as_bytes());
        request
    }

    /// The head of the client's request.
    #[track_caller]
    pub fn read_request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read::<1>());
        }
        String::from_utf8(head).expect("a head in ASCII")
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a client that reads");
        self.stream.flush().expect("a client that reads");
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload));
    }

    /// The client's next frame: its first byte and its payload, which must have been masked.
    #[track_caller]
    pub fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let [first, second] = self.read();
        assert_eq!(second & 0x80, 0x80, "a frame of a client is masked");
        let len = match second & 0x7F {
            126 => u64::from(u16::from_be_bytes(self.read())),
            127 => u64::from_be_bytes(self.read()),
            len => u64::from(len),
        };
        let mask: [u8; 4] = self.read();
        let mut payload = vec![0; usize::try_from(len).expect("a length")];
        self.stream.read_exact(&mut payload).expect("a whole frame");
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        (first, payload)
    }

    /// The client's next frame, which must be this one.
    #[track_caller]
    pub fn expect_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = self.read_frame();
        assert!(frame == (first, payload.to_vec()), "{:#04x} {}", frame.0, frame.1.escape_ascii());
    }

    /// The client's next packet. Every frame until then must be a binary one.
    #[track_caller]
    pub fn read_packet(&mut self) -> Vec<u8> {
        while self.packets.is_empty() {
            let (first, payload) = self.read_frame();
            assert_eq!(first, BINARY, "{}", payload.escape_ascii());
            self.splitter.feed(&payload, |packet| self.packets.push_back(packet.to_vec()));
        }
        self.packets.pop_front().expect("there is one")
    }

    /// The client's next packet, which must be this one.
    #[track_caller]
    pub fn expect(&mut self, packet: &[u8]) {
        let read = self.read_packet();
        let cut = |bytes: &[u8]| bytes.get(..100).unwrap_or(bytes).escape_ascii().to_string();
        assert!(read == packet, "expected {}\nreceived {}", cut(packet), cut(&read));
    }

    /// The client closes the connection, with or without a reset, and sends nothing before that.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {}
            other => panic!("expected the end, but {other:?}"),
        }
    }

    #[track_caller]
    fn read<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if let Err(error) = self.stream.read_exact(&mut bytes) {
            panic!("expected more from the client, but: {error}");
        }
        bytes
    }
}

/// The beginning of an answer that opens a WebSocket.
pub const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: {accept}\r\n";

/// A frame that is not masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len) if len < 126 => bytes.extend(len.to_be_bytes().get(1)),
        Ok(len) => {
            bytes.push(126);
            bytes.extend(len.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend(u64::try_from(payload.len()).expect("a length").to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}
