//! A broker that plays exact bytes and checks exact bytes.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

use super::{PATIENCE, wire};

/// More bytes than this are cut in a message about a packet.
const SHOWN: usize = 256;

/// Listens on a loopback port and does nothing that its script does not say.
pub struct ScriptedBroker {
    listener: TcpListener,
}

impl ScriptedBroker {
    /// Listens on a free port of 127.0.0.1.
    pub fn bind() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener that polls");
        Self { listener }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound listener")
    }

    /// The next connection.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    #[track_caller]
    pub fn accept(&self) -> Peer {
        match self.accept_within(PATIENCE) {
            Some(peer) => peer,
            None => panic!("no connection came within {PATIENCE:?}"),
        }
    }

    /// The next connection, if one comes within `limit`.
    pub fn accept_within(&self, limit: Duration) -> Option<Peer> {
        let deadline = Instant::now() + limit;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Some(Peer::new(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("the scripted broker cannot accept: {error}"),
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// The broker's end of one connection. Dropping it closes the connection.
pub struct Peer {
    stream: BufReader<TcpStream>,
    patience: Duration,
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).expect("a blocking stream");
        stream.set_nodelay(true).expect("segments as written");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write with an end");
        Self { stream: BufReader::with_capacity(64 * 1024, stream), patience: PATIENCE }
    }

    /// Waits up to `patience` for the client's next bytes, instead of [`PATIENCE`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sends `bytes`.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.get_mut().write_all(bytes) {
            panic!("cannot send {}: {error}", shown(bytes));
        }
    }

    /// Sends `bytes` each in a segment of its own.
    #[track_caller]
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// The connection itself, for what is not made of packets. Reading it ends with an error after [`PATIENCE`].
    pub fn into_stream(self) -> TcpStream {
        self.set_read_timeout(PATIENCE);
        self.stream.into_inner()
    }

    /// A handle that sends from another thread, for what the client is slow to read.
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("a second handle")
    }

    /// The client's next packet, whole.
    ///
    /// # Panics
    /// When the connection ends before it is whole, or nothing arrives for as long as the patience lasts.
    #[track_caller]
    pub fn read_packet(&mut self) -> Vec<u8> {
        match self.try_read_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => panic!("the client closed the connection where a packet was due"),
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The client's next packet, or `None` when it has closed the connection in between two packets.
    #[track_caller]
    pub fn read_packet_or_eof(&mut self) -> Option<Vec<u8>> {
        match self.try_read_packet() {
            Ok(packet) => packet,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The client's next packet, which must be `expected`, byte for byte.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let packet = match self.try_read_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => panic!("expected {}\nbut the client closed", shown(expected)),
            Err(problem) => panic!("expected {}\nbut {problem}", shown(expected)),
        };
        let difference = packet.iter().zip(expected).take_while(|(got, wanted)| got == wanted).count();
        assert!(
            packet == expected,
            "expected {}\nreceived {}\nthey differ from byte {difference} on",
            shown(expected),
            shown(&packet)
        );
    }

    /// The client's next bytes, which must be these, whatever packets they are or are not.
    #[track_caller]
    pub fn expect_bytes(&mut self, expected: &[u8]) {
        self.set_read_timeout(self.patience);
        let mut bytes = Vec::new();
        if let Err(problem) = self.read_whole(&mut bytes, expected.len()) {
            panic!("expected {}\nbut {problem}", expected.escape_ascii());
        }
        assert!(bytes == expected, "expected {}\nreceived {}", expected.escape_ascii(), bytes.escape_ascii());
    }

    /// The client's next packet, which must be a CONNECT.
    #[track_caller]
    pub fn expect_connect(&mut self) -> Vec<u8> {
        self.expect_type(1)
    }

    /// The client's next packet, which must be of this type: the high half of its first byte.
    #[track_caller]
    pub fn expect_type(&mut self, packet_type: u8) -> Vec<u8> {
        let wanted = wire::type_name(packet_type << 4);
        match self.try_read_packet() {
            Ok(Some(packet)) if packet[0] >> 4 == packet_type => packet,
            Ok(Some(packet)) => panic!("expected {wanted}, received {}", shown(&packet)),
            Ok(None) => panic!("expected {wanted}, but the client closed"),
            Err(problem) => panic!("expected {wanted}, but {problem}"),
        }
    }

    /// The client closes, with or without a reset, and sends nothing before that.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        match self.try_read_packet() {
            Ok(None) => {}
            Ok(Some(packet)) => panic!("expected the end, received {}", shown(&packet)),
            Err(problem) => panic!("expected the end, but {problem}"),
        }
    }

    /// Nothing arrives for `time`, not even the end of the connection.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        self.set_read_timeout(time);
        match self.stream.fill_buf() {
            Ok([]) => panic!("expected silence, but the client closed"),
            Ok(bytes) => panic!("expected silence, received {}", shown(bytes)),
            Err(error) if is_timeout(error.kind()) => {}
            Err(error) => panic!("expected silence, but the connection failed: {error}"),
        }
    }

    /// Closes: the client reads what was sent and then the end.
    pub fn close(self) {}

    /// Sends no more, but still reads.
    #[track_caller]
    pub fn finish_sending(&mut self) {
        let ended = self.stream.get_mut().shutdown(Shutdown::Write);
        ended.expect("an open connection");
    }

    /// Closes with a reset: the client's next read or write fails.
    pub fn reset(self) {
        let stream = self.stream.into_inner();
        stream.set_nonblocking(true).expect("what tokio asks for");
        // Only tokio's socket, of what the tests have at hand, can set SO_LINGER.
        let socket = TcpSocket::from_std_stream(stream);
        socket.set_zero_linger().expect("a close that resets");
    }

    fn try_read_packet(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.set_read_timeout(self.patience);
        let mut packet = Vec::new();
        if self.read_onto(&mut packet, 1)? == 0 {
            return Ok(None);
        }
        let mut remaining_length = 0;
        for place in 0..4 {
            self.read_whole(&mut packet, 1)?;
            let byte = usize::from(packet[place + 1]);
            remaining_length |= (byte & 0x7F) << (7 * place);
            if byte < 0x80 {
                self.read_whole(&mut packet, remaining_length)?;
                return Ok(Some(packet));
            }
        }
        Err(format!("its length has no end: {}", shown(&packet)))
    }

    fn read_whole(&mut self, packet: &mut Vec<u8>, count: usize) -> Result<(), String> {
        if self.read_onto(packet, count)? < count {
            return Err(format!("the client closed in the midst of {}", shown(packet)));
        }
        Ok(())
    }

    /// Reads `count` bytes, or fewer at the end of the stream.
    fn read_onto(&mut self, packet: &mut Vec<u8>, count: usize) -> Result<usize, String> {
        let limit = u64::try_from(count).expect("a packet's length");
        let start = packet.len();
        match (&mut self.stream).take(limit).read_to_end(packet) {
            Ok(read) => Ok(read),
            Err(error) if is_timeout(error.kind()) => {
                let patience = self.patience;
                Err(format!("nothing came for {patience:?} after {} bytes: {}", packet.len(), shown(packet)))
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(packet.len() - start),
            Err(error) => Err(format!("the connection failed: {error}")),
        }
    }

    fn set_read_timeout(&self, limit: Duration) {
        let set = self.stream.get_ref().set_read_timeout(Some(limit));
        set.expect("a time-out above zero");
    }
}

/// Keeps an [`unanswering_address`] unanswering.
pub struct Guard {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

/// A loopback address at which a TCP connection is neither made nor refused, for as long as the guard lives.
///
/// The system drops what comes when the queue of connections not yet accepted is full.
pub fn unanswering_address() -> (SocketAddr, Guard) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime to listen with a queue of our length");
    let listener = {
        let _entered = runtime.enter();
        let socket = TcpSocket::new_v4().expect("a socket");
        let any_port = (Ipv4Addr::LOCALHOST, 0).into();
        socket.bind(any_port).expect("a loopback port");
        let listener = socket.listen(1).expect("a listener");
        listener.into_std().expect("a listener without a runtime")
    };
    let address = listener.local_addr().expect("a bound listener");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
        assert!(queued.len() < 64, "this system's queue has no end");
    }
    let guard = Guard { _listener: listener, _queued: queued };
    (address, guard)
}

fn is_timeout(kind: ErrorKind) -> bool {
    // Unix says the one, Windows the other.
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A packet for a person to read: its type, then its bytes in hex.
fn shown(packet: &[u8]) -> String {
    let name = packet.first().map_or("nothing", |first| wire::type_name(*first));
    let mut text = format!("{name} ({} bytes)", packet.len());
    for byte in packet.iter().take(SHOWN) {
        write!(text, " {byte:02X}").expect("a string takes all");
    }
    if packet.len() > SHOWN {
        text.push_str(" …");
    }
    text
}
