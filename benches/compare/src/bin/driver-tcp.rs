//! The limit: what a socket carries when nobody thinks about the packets. The bytes, the window and the
//! acknowledgements are those of the clients.

use std::io::{Read, Write};
use std::net::TcpStream;

use compare_support::Error;
use compare_support::meter::{Meter, now_ns, wait_for_release};
use compare_support::plan::{FILTER, Mode, Plan};
use compare_support::wire::{self, PUBACK, PUBCOMP, PUBREC, PUBREL, Ring};

const READ: usize = 256 * 1024;

fn main() -> Result<(), Error> {
    let plan = Plan::from_args()?;
    let mut stream = TcpStream::connect((plan.host.as_str(), plan.port))?;
    stream.set_nodelay(true)?;
    stream.write_all(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x64\x00\x00")?;
    stream.read_exact(&mut [0; 8])?;
    let ring = Ring::new(true, plan.qos, &plan.payload(), plan.window);
    let mut driver = Driver { plan, stream, ring, buffer: vec![0; READ] };
    match driver.plan.mode {
        Mode::Publish if driver.plan.qos == 0 => driver.pour(),
        Mode::Publish => driver.publish(),
        Mode::Receive => driver.receive(),
        Mode::Echo => driver.echo(),
    }
}

struct Driver {
    plan: Plan,
    stream: TcpStream,
    ring: Ring,
    buffer: Vec<u8>,
}

impl Driver {
    fn pour(&mut self) -> Result<(), Error> {
        let meter = Meter::start()?;
        let mut left = self.plan.messages;
        while left > 0 {
            let count = left.min(self.ring.packets());
            self.ring.send(count, &mut self.stream)?;
            left -= count;
        }
        self.finish(meter, self.plan.messages, &mut [])
    }

    fn publish(&mut self) -> Result<(), Error> {
        let meter = Meter::start()?;
        let (mut begun, mut done, mut filled) = (0, 0, 0);
        let mut releases = Vec::with_capacity(READ);
        while done < self.plan.messages {
            let room = usize::from(self.plan.window) - (begun - done);
            let count = room.min(self.plan.messages - begun);
            if count > 0 && releases.is_empty() {
                self.ring.send(count, &mut self.stream)?;
            } else if count > 0 {
                let mut gathered = std::mem::take(&mut releases);
                self.ring.send(count, &mut gathered)?;
                self.stream.write_all(&gathered)?;
                gathered.clear();
                releases = gathered;
            } else {
                self.stream.write_all(&releases)?;
                releases.clear();
            }
            begun += count;
            filled += self.read(filled)?;
            let whole = filled - filled % 4;
            for answer in self.buffer[..whole].chunks_exact(4) {
                match answer[0] {
                    PUBACK | PUBCOMP => done += 1,
                    PUBREC => releases.extend_from_slice(&wire::acknowledgement(PUBREL, [answer[2], answer[3]])),
                    other => return Err(format!("packet {other:#x}").into()),
                }
            }
            self.buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        self.finish(meter, done, &mut [])
    }

    fn receive(&mut self) -> Result<(), Error> {
        let meter = Meter::start()?;
        let mut subscribe = vec![0x82, 6 + FILTER.len() as u8, 0, 1, 0, 0, FILTER.len() as u8];
        subscribe.extend_from_slice(FILTER.as_bytes());
        subscribe.push(self.plan.qos);
        self.stream.write_all(&subscribe)?;
        self.stream.read_exact(&mut [0; 6])?;
        let packet_len = self.ring.packet_len();
        let id_at = packet_len - self.plan.size - 3;
        let mut acknowledgements = Vec::with_capacity(READ);
        let (mut done, mut filled) = (0, 0);
        // A message longer than the buffer is counted in pieces.
        self.buffer.resize(READ.max(if self.plan.qos > 0 { 2 * packet_len } else { 0 }), 0);
        while done < self.plan.messages {
            if self.plan.qos == 0 {
                filled += self.read(0)?;
                done += filled / packet_len;
                filled %= packet_len;
                continue;
            }
            filled += self.read(filled)?;
            let whole = filled - filled % packet_len;
            for packet in self.buffer[..whole].chunks_exact(packet_len) {
                let packet_id = [packet[id_at], packet[id_at + 1]];
                acknowledgements.extend_from_slice(&wire::acknowledgement(PUBACK, packet_id));
            }
            done += whole / packet_len;
            self.stream.write_all(&acknowledgements)?;
            acknowledgements.clear();
            self.buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        self.finish(meter, done, &mut [])
    }

    fn echo(&mut self) -> Result<(), Error> {
        let meter = Meter::start()?;
        let packet_len = self.ring.packet_len();
        let mut round_trips = Vec::with_capacity(self.plan.messages);
        for _ in 0..self.plan.messages {
            let begun = now_ns()?;
            self.ring.send(1, &mut self.stream)?;
            self.stream.read_exact(&mut self.buffer[..packet_len])?;
            round_trips.push(now_ns()? - begun);
        }
        let done = round_trips.len();
        self.finish(meter, done, &mut round_trips)
    }

    fn read(&mut self, from: usize) -> Result<usize, Error> {
        match self.stream.read(&mut self.buffer[from..])? {
            0 => Err("the sink has gone".into()),
            len => Ok(len),
        }
    }

    fn finish(&self, meter: Meter, done: usize, round_trips: &mut [u64]) -> Result<(), Error> {
        let end = now_ns()?;
        wait_for_release()?;
        meter.finish(end, done, round_trips)
    }
}
