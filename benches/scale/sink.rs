//! A broker that accepts, acknowledges and pours, for many connections on one thread.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// What makes a process of this program the sink.
pub(super) const ARGUMENT: &str = "--sink";
const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
}

/// Tells its address in a line and serves until it is killed.
pub(super) fn run() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().map_err(io::Error::other)?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut connections = HashMap::new();
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 256 * 1024]);
    let mut last = 0;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    last += 1;
                    poll.registry().register(&mut stream, Token(last), Interest::READABLE | Interest::WRITABLE)?;
                    connections
                        .insert(Token(last), Connection { stream, input: Vec::new(), output: Vec::new(), sent: 0 });
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.serve(&mut buffer).unwrap_or(false)
            {
                connections.remove(&event.token());
            }
        }
    }
}

impl Connection {
    /// Reads, answers and writes; `false` at the end.
    fn serve(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => self.input.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some((packet, body)) = next_packet(&mut rest) {
            self.answer(packet, body);
        }
        self.input = rest.to_vec();
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(true)
    }

    fn answer(&mut self, first: u8, body: &[u8]) {
        match first >> 4 {
            1 => self.output.extend_from_slice(&[0x20, 3, 0, 0, 0]),
            3 => {
                let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                if first & 6 != 0 {
                    self.output.extend_from_slice(&[0x40, 2, body[topic_end], body[topic_end + 1]]);
                } else if &body[2..topic_end] == b"pour" {
                    // One byte of properties: there are none.
                    self.pour(&String::from_utf8_lossy(&body[topic_end + 1..]));
                }
            }
            12 => self.output.extend_from_slice(&[0xD0, 0]),
            _ => {}
        }
    }

    /// Sends so many messages to so many topics in turn.
    fn pour(&mut self, request: &str) {
        let mut numbers = request.split(' ').map(|number| number.parse::<usize>().expect("a number"));
        let (count, topics) = numbers.next().zip(numbers.next()).expect("two numbers");
        for number in 0..count {
            let topic = format!("s/{}/t", number % topics);
            let len = u8::try_from(2 + topic.len() + 1 + 16).expect("a short packet");
            self.output.extend_from_slice(&[0x30, len, 0, len - 19]);
            self.output.extend_from_slice(topic.as_bytes());
            self.output.extend_from_slice(&[0; 17]);
        }
    }
}

/// Takes a packet off the input: its first byte and what follows its length.
fn next_packet<'i>(input: &mut &'i [u8]) -> Option<(u8, &'i [u8])> {
    let mut len = 0;
    for place in 1..5 {
        let byte = *input.get(place)?;
        len |= usize::from(byte & 0x7F) << (7 * (place - 1));
        if byte < 0x80 {
            let body = input.get(place + 1..place + 1 + len)?;
            let first = input[0];
            *input = &input[place + 1 + len..];
            return Some((first, body));
        }
    }
    None
}
