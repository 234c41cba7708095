//! What a server says of the length of a packet costs the client no memory: only what it sends does, up to
//! [`Limits::maximum_packet_size`](flowsdk::mqtt_client::Limits::maximum_packet_size).

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, EventReceiver, Limits, MqttClientOptions, MqttEvent};
use flowsdk::mqtt_client::{ProtocolOptions, Timeouts};
use flowsdk::types::ProtocolVersion::{self, V3_1_1, V5};
use stats_alloc::Region;

use crate::ALLOCATOR;

pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The longest length that a packet can have: 256 MiB.
const LONGEST: [u8; 4] = [0xFF, 0xFF, 0xFF, 0x7F];
/// Far more than a client takes to connect, and far less than what is claimed.
const LITTLE: usize = 4 * 1024 * 1024;

/// A client, what it tells, and the server's end of its connection, on which CONNECT has been read.
pub(super) fn opened(version: ProtocolVersion) -> (AsyncMqttClient, EventReceiver, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let options = MqttClientOptions {
        peer: listener.local_addr().expect("a port").to_string(),
        client_id: "c".to_string(),
        reconnect: false,
        protocol: ProtocolOptions { version, ..Default::default() },
        timeouts: Timeouts { connect: PATIENCE, ..Default::default() },
        ..Default::default()
    };
    let (client, events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).expect("a client");
    client.connect().expect("an open client");
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out above zero");
    stream.set_nodelay(true).expect("segments as written");
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a CONNECT");
    let mut connect = vec![0; usize::from(head[1])];
    stream.read_exact(&mut connect).expect("a whole CONNECT");
    let announced = connect.windows(5).any(|part| part == [0x27, 0x04, 0, 0, 0]);
    assert_eq!(announced, version.is_v5(), "only v5.0 can announce the limit");
    (client, events, stream)
}

pub(super) fn accept(version: ProtocolVersion, stream: &mut TcpStream, events: &mut EventReceiver) {
    let connack: &[u8] = if version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
    stream.write_all(connack).expect("an open connection");
    let event = events.recv_timeout(PATIENCE);
    assert!(matches!(event, Some(MqttEvent::Connected(_))), "{event:?}");
}

/// Waits for an error that contains `part`.
#[track_caller]
fn told(events: &mut EventReceiver, part: &str) {
    while let Some(event) = events.recv_timeout(PATIENCE) {
        if let MqttEvent::Error(error) = &event
            && error.to_string().contains(part)
        {
            return;
        }
    }
    panic!("nobody has told of {part:?}");
}

pub(crate) fn a_server_that_claims_256_mib_is_left_at_once_and_costs_no_memory() {
    for version in [V5, V3_1_1] {
        for first in [0x20, 0x30, 0x32, 0x40, 0x62, 0x90, 0xB0, 0xE0] {
            let region = Region::new(ALLOCATOR);
            let (client, mut events, mut stream) = opened(version);
            if first != 0x20 {
                accept(version, &mut stream, &mut events);
            }
            if first == 0xE0 && !version.is_v5() {
                continue;
            }
            stream.write_all(&[&[first][..], &LONGEST].concat()).expect("an open connection");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("an end");
            let farewell: &[u8] = if version.is_v5() { &[0xE0, 1, 0x95] } else { &[] };
            assert_eq!(rest, farewell, "after {first:#04x} in {version:?}");
            told(&mut events, "longer than the receive limit");
            client.shutdown().expect("an end within its time");
            let taken = region.change().bytes_allocated;
            assert!(taken < LITTLE, "{taken} bytes after {first:#04x} in {version:?}");
        }
    }
}

pub(crate) fn a_packet_within_the_limit_gets_memory_only_as_it_comes() {
    let limit = usize::try_from(Limits::default().maximum_packet_size).expect("a limit below 4 GiB");
    for version in [V5, V3_1_1] {
        for first in [0x30, 0x90] {
            // The length of a packet of the limit, less its header: in four bytes.
            let len = limit - 5;
            let length = [0, 7, 14, 21].map(|shift| {
                let [low, ..] = (len >> shift & 0x7F).to_le_bytes();
                if shift < 21 { low | 0x80 } else { low }
            });
            let region = Region::new(ALLOCATOR);
            let (client, mut events, mut stream) = opened(version);
            accept(version, &mut stream, &mut events);
            stream.write_all(&[&[first][..], &length, &[0, 1, b't']].concat()).expect("an open connection");
            for _ in 0..1000 {
                stream.write_all(&[0]).expect("an open connection");
            }
            drop(stream);
            told(&mut events, "closed");
            client.shutdown().expect("an end within its time");
            let taken = region.change().bytes_allocated;
            assert!(taken < LITTLE, "{taken} bytes for a thousand of {first:#04x} in {version:?}");
        }
    }
}
