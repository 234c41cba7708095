//! Messages fill the buffers that those before them have left.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use flowsdk::mqtt_client::{MqttEvent, PublishOptions};
use flowsdk::types::ProtocolVersion::V5;
use stats_alloc::Region;

use crate::ALLOCATOR;
use crate::claims::{PATIENCE, accept, opened};

const MIB: usize = 1024 * 1024;

/// Reads packets to the end of the connection and acknowledges those of QoS 1; their topic has one letter.
fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    loop {
        let mut first = [0];
        if reader.read(&mut first)? == 0 {
            return Ok(());
        }
        let (mut len, mut shift) = (0, 0);
        loop {
            let mut byte = [0];
            reader.read_exact(&mut byte)?;
            len |= u64::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] < 0x80 {
                break;
            }
        }
        let mut body = reader.by_ref().take(len);
        let mut head = [0; 5];
        if first[0] == 0x32 {
            body.read_exact(&mut head)?;
        }
        io::copy(&mut body, &mut io::sink())?;
        if first[0] == 0x32 {
            (&mut &*stream).write_all(&[0x40, 2, head[3], head[4]])?;
        }
    }
}

/// What memory is asked for while so many messages are published by a producer that waits for room, and that is no more
/// than `ahead` results ahead.
fn taken_by(count: usize, size: usize, qos: u8, ahead: usize) -> usize {
    let (client, mut events, mut stream) = opened(V5);
    accept(V5, &mut stream, &mut events);
    let server = thread::spawn(move || serve(&stream));
    let (payload, options) = (vec![b'x'; size], PublishOptions { qos, ..Default::default() });
    let region = Region::new(ALLOCATOR);
    let mut unheard = 0;
    for _ in 0..count {
        client.publish_wait("t", &payload, &options, PATIENCE).expect("room in time");
        unheard += 1;
        while unheard > ahead {
            let event = events.recv_timeout(PATIENCE).expect("a result in time");
            unheard -= usize::from(matches!(event, MqttEvent::Published(_)));
        }
    }
    let taken = region.change().bytes_allocated;
    client.shutdown().expect("an end within its time");
    server.join().expect("a server").expect("packets to the end");
    taken
}

pub(crate) fn long_messages_one_after_the_other_fill_one_buffer() {
    let taken = taken_by(40, MIB, 0, 40);
    assert!(taken < 2 * MIB, "{taken} bytes for forty messages of 1 MiB");
}

pub(crate) fn messages_of_4_kib_fill_the_buffers_of_those_before() {
    for qos in [0, 1] {
        let taken = taken_by(10_000, 4096, qos, 16);
        // What each of them costs beside its bytes is little.
        assert!(taken < 20 * MIB, "{taken} bytes for 40 MiB of messages of QoS {qos}");
    }
}
