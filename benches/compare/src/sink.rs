//! The other end of every driver: it acknowledges, counts, verifies, sends, or echoes. One connection a round.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use compare_support::Error;
use compare_support::meter::now_ns;
use compare_support::plan::{Mode, Plan};
use compare_support::wire::{self, Header, PUBACK, PUBCOMP, PUBREC, PUBREL, Ring};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// For the driver to say anything.
const PATIENCE: i64 = 20;
const READ: usize = 256 * 1024;
/// What the sink needs to see of a PUBLISH before it lets the payload pass: every driver's topic is short.
const PUBLISH_HEAD: usize = 64;

/// Serves one driver to its end; `complete` hears when the sink has had all it waits for.
pub fn serve(listener: &TcpListener, plan: &Plan, complete: impl FnOnce(u64)) -> Result<(), Error> {
    setsockopt(listener, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
    let (stream, _) = listener.accept().map_err(|error| format!("the driver has not connected: {error}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(PATIENCE as u64)))?;
    let mut sink = Sink {
        stream,
        plan,
        v5: false,
        buffer: vec![0; READ],
        filled: 0,
        skip: 0,
        passing: None,
        answers: Vec::with_capacity(READ),
        used: vec![false; 1 << 16],
        in_flight: 0,
        received: 0,
        done: 0,
        subscribed: false,
    };
    sink.connect()?;
    sink.handle()?;
    match plan.mode {
        Mode::Publish | Mode::Echo => sink.take_all()?,
        Mode::Receive if plan.qos == 0 => sink.pour()?,
        Mode::Receive => sink.send_all()?,
    }
    complete(now_ns()?);
    while sink.turn()? {}
    Ok(())
}

struct Sink<'a> {
    stream: TcpStream,
    plan: &'a Plan,
    v5: bool,
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes of the current PUBLISH that have not come yet.
    skip: usize,
    /// The PUBLISH whose payload is passing by.
    passing: Option<(u8, [u8; 2])>,
    /// Acknowledgements of four bytes each, or echoes.
    answers: Vec<u8>,
    /// The packet identifiers in flight: the driver's, or in `Receive` the sink's own.
    used: Vec<bool>,
    in_flight: usize,
    received: usize,
    /// Messages whose last packet was sent or, in `Receive`, whose acknowledgement has come.
    done: usize,
    subscribed: bool,
}

impl Sink<'_> {
    fn connect(&mut self) -> Result<(), Error> {
        loop {
            if !self.fill()? {
                return Err("the driver has left before CONNECT".into());
            }
            let Some(header) = Header::read(&self.buffer[..self.filled])? else { continue };
            let len = header.len + header.remaining;
            if self.filled < len {
                continue;
            }
            let body = &self.buffer[header.len..len];
            self.v5 = match (header.first, body) {
                (0x10, [0, 4, b'M', b'Q', b'T', b'T', version @ (4 | 5), ..]) => *version == 5,
                _ => return Err("no CONNECT of v3.1.1 or v5.0".into()),
            };
            self.buffer.copy_within(len..self.filled, 0);
            self.filled -= len;
            let window = self.plan.window.to_be_bytes();
            // A Receive Maximum and nothing else.
            let v5 = [0x20, 6, 0, 0, 3, 0x21, window[0], window[1]];
            self.stream.write_all(if self.v5 { &v5 } else { &[0x20, 2, 0, 0] })?;
            return Ok(());
        }
    }

    /// `Publish` and `Echo`: until every message has come, and what it is answered with has gone.
    fn take_all(&mut self) -> Result<(), Error> {
        while self.done < self.plan.messages {
            self.more()?;
        }
        Ok(())
    }

    /// `Receive` at QoS 0.
    fn pour(&mut self) -> Result<(), Error> {
        while !self.subscribed {
            self.more()?;
        }
        let mut ring = self.ring();
        let mut left = self.plan.messages;
        while left > 0 {
            let count = left.min(ring.packets());
            ring.send(count, &mut self.stream)?;
            left -= count;
        }
        Ok(())
    }

    /// `Receive` at QoS 1: never more than the window in flight.
    fn send_all(&mut self) -> Result<(), Error> {
        while !self.subscribed {
            self.more()?;
        }
        let mut ring = self.ring();
        let (mut begun, window) = (0, usize::from(self.plan.window));
        while self.done < self.plan.messages {
            let count = (window - self.in_flight).min(self.plan.messages - begun);
            for place in begun..begun + count {
                let packet_id = place % ring.packets() + 1;
                if std::mem::replace(&mut self.used[packet_id], true) {
                    return Err(format!("packet {packet_id} is not acknowledged while much later ones are").into());
                }
            }
            begun += count;
            self.in_flight += count;
            ring.send(count, &mut self.stream)?;
            self.more()?;
        }
        Ok(())
    }

    fn ring(&self) -> Ring {
        Ring::new(self.v5, self.plan.qos, &self.plan.payload(), self.plan.window)
    }

    /// A turn of a round that is not over.
    fn more(&mut self) -> Result<(), Error> {
        if self.turn()? {
            return Ok(());
        }
        let (done, messages) = (self.done, self.plan.messages);
        Err(format!("the driver has left after {done} of {messages} messages ({} received)", self.received).into())
    }

    /// Reads what there is, handles it, answers it in one write. False at the end of the connection.
    fn turn(&mut self) -> Result<bool, Error> {
        if !self.fill()? {
            return Ok(false);
        }
        self.handle()?;
        Ok(true)
    }

    fn handle(&mut self) -> Result<(), Error> {
        let mut at = self.skip.min(self.filled);
        self.skip -= at;
        if self.skip == 0
            && let Some((qos, packet_id)) = self.passing.take()
        {
            self.take_publish(qos, packet_id)?;
        }
        while let Some(header) = Header::read(&self.buffer[at..self.filled])? {
            let len = header.len + header.remaining;
            let there = (self.filled - at).min(len);
            let publish = header.first >> 4 == 3;
            let wanted = if publish && self.plan.mode == Mode::Publish { len.min(PUBLISH_HEAD) } else { len };
            if there < wanted {
                break;
            }
            if publish {
                let (qos, packet_id) = self.read_publish(header, at, there)?;
                if there == len {
                    self.take_publish(qos, packet_id)?;
                } else {
                    self.skip = len - there;
                    self.passing = Some((qos, packet_id));
                }
            } else {
                self.take_other(header.first, at + header.len, at + len)?;
            }
            at += there;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(self.answer()?)
    }

    fn fill(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(len) => {
                self.filled += len;
                Ok(len > 0)
            }
            // A driver may end without DISCONNECT.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Checks a PUBLISH by what comes before its payload, and claims its packet identifier.
    #[inline]
    fn read_publish(&mut self, header: Header, at: usize, there: usize) -> Result<(u8, [u8; 2]), Error> {
        let packet = &self.buffer[at..at + there];
        let qos = header.first >> 1 & 3;
        let body = &packet[header.len..];
        let [high, low, ..] = *body else { return Err("a PUBLISH without a topic".into()) };
        let mut head = 2 + usize::from(u16::from_be_bytes([high, low]));
        let mut packet_id = [0; 2];
        if qos > 0 {
            packet_id = [*body.get(head).unwrap_or(&0), *body.get(head + 1).unwrap_or(&0)];
            head += 2;
        }
        // No driver sends properties that do not fit one byte of length.
        head += if self.v5 { 1 + usize::from(*body.get(head).unwrap_or(&0)) } else { 0 };
        if header.first & 0b1000 != 0 || qos != self.plan.qos || header.remaining != head + self.plan.size {
            return Err(format!("a PUBLISH {:#x} of {} bytes", header.first, header.remaining).into());
        }
        if self.plan.mode == Mode::Echo {
            self.answers.extend_from_slice(&self.buffer[at..at + there]);
        } else if qos > 0 {
            self.claim(packet_id)?;
        }
        Ok((qos, packet_id))
    }

    #[inline]
    fn claim(&mut self, packet_id: [u8; 2]) -> Result<(), Error> {
        let packet_id = usize::from(u16::from_be_bytes(packet_id));
        if packet_id == 0 || std::mem::replace(&mut self.used[packet_id], true) {
            return Err(format!("packet identifier {packet_id} is in flight already").into());
        }
        self.in_flight += 1;
        if self.in_flight > usize::from(self.plan.window) {
            return Err(format!("{} messages in flight, the receive maximum is exceeded", self.in_flight).into());
        }
        Ok(())
    }

    #[inline]
    fn take_publish(&mut self, qos: u8, packet_id: [u8; 2]) -> Result<(), Error> {
        self.received += 1;
        if self.received > self.plan.messages {
            return Err(format!("more than {} messages", self.plan.messages).into());
        }
        match qos {
            0 => self.done += 1,
            1 => self.answers.extend_from_slice(&wire::acknowledgement(PUBACK, packet_id)),
            _ => self.answers.extend_from_slice(&wire::acknowledgement(PUBREC, packet_id)),
        }
        Ok(())
    }

    fn take_other(&mut self, first: u8, start: usize, end: usize) -> Result<(), Error> {
        let body = &self.buffer[start..end];
        match (first, body) {
            (PUBREL, [high, low, ..]) if self.plan.mode == Mode::Publish => {
                if !self.used[usize::from(u16::from_be_bytes([*high, *low]))] {
                    return Err("a PUBREL for nothing".into());
                }
                self.answers.extend_from_slice(&wire::acknowledgement(PUBCOMP, [*high, *low]));
            }
            (PUBACK, [high, low, ..]) if self.plan.mode == Mode::Receive => {
                let packet_id = usize::from(u16::from_be_bytes([*high, *low]));
                if !std::mem::replace(&mut self.used[packet_id], false) {
                    return Err(format!("packet {packet_id} is acknowledged twice").into());
                }
                self.in_flight -= 1;
                self.done += 1;
            }
            (0x82, [high, low, ..]) => {
                self.subscribed = true;
                let granted = self.plan.qos;
                let (v5, older) = ([0x90, 4, *high, *low, 0, granted], [0x90, 3, *high, *low, granted]);
                self.stream.write_all(if self.v5 { &v5 } else { &older })?;
            }
            (0xC0, _) => self.stream.write_all(&[0xD0, 0])?,
            (0xE0, _) => {}
            (other, _) => return Err(format!("an unexpected packet {other:#x}").into()),
        }
        Ok(())
    }

    /// Sends the answers, and frees the packet identifiers that they free.
    fn answer(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&self.answers)?;
        if self.plan.mode == Mode::Publish {
            for answer in self.answers.chunks_exact(4) {
                if let [PUBACK | PUBCOMP, 2, high, low] = *answer {
                    self.used[usize::from(u16::from_be_bytes([high, low]))] = false;
                    self.in_flight -= 1;
                    self.done += 1;
                }
            }
        }
        self.answers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::scenario::SCENARIOS;

    /// What the sink says of a driver of v3.1.1 that sends these packets after CONNECT, and leaves.
    fn verdict(scenario: &str, messages: usize, window: u16, packets: &[&[u8]]) -> String {
        let scenario = SCENARIOS.iter().find(|known| known.name == scenario).expect("a known scenario");
        let plan = Plan { size: 1, window, ..scenario.plan(messages) };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut driver = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let sink = thread::spawn(move || serve(&listener, &plan, |_| {}));
        let mut bytes = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00".to_vec();
        bytes.extend(packets.concat());
        driver.write_all(&bytes).expect("a sink that reads");
        driver.shutdown(std::net::Shutdown::Write).expect("a connection");
        let outcome = sink.join().expect("a sink that does not panic");
        outcome.map_or_else(|error| error.to_string(), |()| "well".to_string())
    }

    const FIRST: &[u8] = b"\x32\x06\x00\x01t\x00\x01x";
    const SECOND: &[u8] = b"\x32\x06\x00\x01t\x00\x02x";

    #[test]
    fn all_messages_in_their_window_are_well() {
        assert_eq!(verdict("publish-64B-qos1", 2, 2, &[FIRST, SECOND]), "well");
        assert_eq!(verdict("publish-64B-qos0", 1, 2, &[b"\x30\x04\x00\x01tx"]), "well");
    }

    #[test]
    fn a_lost_message_is_noticed() {
        assert!(verdict("publish-64B-qos1", 2, 2, &[FIRST]).contains("after 1 of 2 messages"));
        assert!(verdict("publish-64B-qos0", 2, 2, &[b"\x30\x04\x00\x01tx"]).contains("after 1 of 2 messages"));
        // A PUBLISH of QoS 2 without its PUBREL.
        assert!(verdict("publish-64B-qos2", 1, 2, &[b"\x34\x06\x00\x01t\x00\x01x"]).contains("after 0 of 1 messages"));
    }

    #[test]
    fn a_message_too_many_is_noticed() {
        assert_eq!(verdict("publish-64B-qos1", 1, 2, &[FIRST, SECOND]), "more than 1 messages");
    }

    #[test]
    fn a_packet_identifier_in_flight_is_noticed() {
        assert_eq!(verdict("publish-64B-qos1", 2, 2, &[FIRST, FIRST]), "packet identifier 1 is in flight already");
    }

    #[test]
    fn more_messages_than_the_receive_maximum_are_noticed() {
        let verdict = verdict("publish-64B-qos1", 2, 1, &[FIRST, SECOND]);
        assert_eq!(verdict, "2 messages in flight, the receive maximum is exceeded");
    }

    #[test]
    fn a_message_of_another_size_or_qos_is_noticed() {
        assert_eq!(verdict("publish-64B-qos1", 1, 1, &[b"\x32\x05\x00\x01t\x00\x01"]), "a PUBLISH 0x32 of 5 bytes");
        assert_eq!(verdict("publish-64B-qos0", 1, 1, &[FIRST]), "a PUBLISH 0x32 of 6 bytes");
    }

    #[test]
    fn a_received_message_without_acknowledgement_is_noticed() {
        let subscribe = b"\x82\x06\x00\x01\x00\x01t\x01";
        assert!(verdict("receive-64B-qos1", 1, 1, &[subscribe]).contains("after 0 of 1 messages"));
        assert_eq!(
            verdict("receive-64B-qos1", 1, 1, &[subscribe, b"\x40\x02\x00\x07"]),
            "packet 7 is acknowledged twice"
        );
    }
}
