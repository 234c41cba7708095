//! Bytes over TLS: every size, in both directions, and every kind of end.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use flowsdk::mqtt_client::{MqttEvent, PublishOptions};

use crate::pki::Ca;
use crate::recorder::Log;
use crate::scene::{NAMES, connecting, options, shut_down, trusting};
use crate::server::{self, ALL, ONLY_12, ONLY_13, Server, Stream, accept, config, good, script, tls};
use crate::support::PATIENCE;
use crate::support::wire;

/// A packet of any length.
fn read_packet(stream: &mut impl Read) -> Vec<u8> {
    let mut packet = vec![0; 1];
    stream.read_exact(&mut packet).expect("a packet");
    let (mut len, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a length");
        packet.push(byte[0]);
        len |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
    }
    let start = packet.len();
    packet.resize(start + len, 0);
    stream.read_exact(&mut packet[start..]).expect("a whole packet");
    packet
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|place| u8::try_from((place * 31 + len) % 251).expect("a byte")).collect()
}

#[test]
fn messages_of_every_size_pass_in_both_directions() {
    const SIZES: [usize; 9] = [0, 1, 4096, 16_373, 16_384, 16_385, 100_000, 1_000_000, 5_000_000];
    let ca = Ca::new("root");
    for versions in [ONLY_12, ONLY_13] {
        let config = config(&ca.leaf(NAMES), versions);
        // What it gets it sends back: a PUBLISH of QoS 0 is the same both ways.
        let echo = script(move |stream| {
            let mut stream = tls(config, stream);
            accept(&mut stream);
            for _ in SIZES {
                let packet = read_packet(&mut stream);
                stream.write_all(&packet).expect("a client that reads");
                stream.flush().expect("a client that reads");
            }
            assert_eq!(read_packet(&mut stream)[0], 0xE0);
            assert_eq!(stream.read(&mut [0]).expect("close_notify"), 0);
        });
        let server = Server::start(vec![echo]);
        let (client, told) = connecting(options(&server, trusting(&ca)));
        for len in SIZES {
            client.publish_wait("t", &payload(len), &PublishOptions::default(), PATIENCE).unwrap();
        }
        for (message, len) in told.messages(SIZES.len()).iter().zip(SIZES) {
            assert!(*message.payload == payload(len), "{len} bytes");
        }
        shut_down(&client);
    }
}

#[test]
fn packets_come_whole_however_they_lie_in_records() {
    let ca = Ca::new("root");
    let config = config(&ca.leaf(NAMES), ALL);
    let packets: Vec<_> = (0..1500).map(|number| wire::publish_v5(0, "t", None, &[], &payload(number))).collect();
    let play = script(move |stream| {
        let mut stream = tls(config, stream);
        accept(&mut stream);
        let whole = packets.concat();
        // A record for each, all of them in large records, and records that end anywhere.
        for record in packets.iter().map(Vec::as_slice).chain([&whole[..]]).chain(whole.chunks(997)) {
            stream.write_all(record).expect("a client that reads");
            stream.flush().expect("a client that reads");
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let server = Server::start(vec![play]);
    let (client, told) = connecting(options(&server, trusting(&ca)));
    for (place, message) in told.messages(4500).iter().enumerate() {
        assert!(*message.payload == payload(place % 1500), "message {place}");
    }
    shut_down(&client);
}

#[test]
fn a_server_that_is_slow_to_read_loses_nothing() {
    const COUNT: usize = 3000;
    const LEN: usize = 8000;
    let ca = Ca::new("root");
    let config = config(&ca.leaf(NAMES), ALL);
    let (go_on, wait) = mpsc::channel();
    let play = script(move |stream| {
        let mut stream = tls(config, stream);
        accept(&mut stream);
        wait.recv_timeout(PATIENCE).expect("a client that has filled everything");
        for number in 0..COUNT {
            let packet = read_packet(&mut stream);
            assert!(packet.ends_with(&[&payload(LEN)[..], &number.to_be_bytes()].concat()), "message {number}");
        }
        assert_eq!(read_packet(&mut stream)[0], 0xE0);
    });
    let server = Server::start(vec![play]);
    let mut options = options(&server, trusting(&ca));
    options.timeouts.drain = PATIENCE;
    let (client, told) = connecting(options);
    assert!(told.connection(1).is_success());
    let publish = |number: usize, patience| {
        let bytes = [&payload(LEN)[..], &number.to_be_bytes()].concat();
        client.publish_wait("t", &bytes, &PublishOptions::default(), patience)
    };
    // Without a reader there comes a time when nothing leaves any more.
    let stuck = (0..COUNT).find(|number| publish(*number, Duration::from_millis(300)).is_err());
    let stuck = stuck.expect("more than everything holds");
    go_on.send(()).unwrap();
    for number in stuck..COUNT {
        publish(number, PATIENCE).unwrap();
    }
    shut_down(&client);
}

/// How a connection is told to have ended that this has ended, and that the next one is good.
#[track_caller]
fn lost(end: impl FnOnce(Stream) + Send + 'static) -> (ErrorKind, Log) {
    let ca = Ca::new("root");
    let leaf = ca.leaf(NAMES);
    let first = config(&leaf, ALL);
    let ending = script(move |stream| {
        let mut stream = tls(first, stream);
        accept(&mut stream);
        end(stream);
    });
    let server = Server::start(vec![ending, good(config(&leaf, ALL), &server::Log::default())]);
    let (client, told) = connecting(options(&server, trusting(&ca)));
    assert!(told.connection(2).is_success());
    let kind = told.error("");
    assert_eq!(told.count(|event| matches!(event, MqttEvent::ConnectionLost)), 1);
    shut_down(&client);
    (kind, told)
}

#[test]
fn an_end_is_an_end_with_and_without_a_word_unless_bytes_are_missing() {
    let (kind, told) = lost(|mut stream| {
        stream.conn.send_close_notify();
        stream.flush().expect("a client that reads");
    });
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    told.error("the server has closed the connection");
    let (kind, told) = lost(drop);
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    told.error("the server has closed the connection");
    assert_eq!(told.count(|event| format!("{event:?}").contains("in mid-packet")), 0);
    let (kind, told) = lost(|mut stream| {
        let packet = wire::publish_v5(0, "t", None, &[], &payload(1000));
        stream.write_all(&packet[..500]).expect("a client that reads");
        stream.flush().expect("a client that reads");
    });
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    told.error("the server has closed the connection in mid-packet");
    assert_eq!(told.messages(0).len(), 0);
}

#[test]
fn what_comes_before_rubbish_counts_and_rubbish_ends_the_connection() {
    let (kind, told) = lost(|mut stream| {
        stream.write_all(&wire::publish_v5(0, "t", None, &[], b"last")).expect("a client that reads");
        stream.flush().expect("a client that reads");
        // A record that nobody has encrypted.
        stream.sock.write_all(&[0x17, 3, 3, 0, 32]).expect("a client that reads");
        stream.sock.write_all(&[7; 32]).expect("a client that reads");
        stream.sock.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        let _ = stream.sock.read_to_end(&mut Vec::new());
    });
    assert_eq!(kind, ErrorKind::InvalidData);
    assert_eq!(*told.messages(1)[0].payload, *b"last");
}
