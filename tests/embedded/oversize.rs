//! Messages longer than the receive buffer.

use flowsdk::embedded::Error;
use flowsdk::session::{Config, Event, Oversize, PeerError};
use flowsdk::types::{ProtocolVersion, QoS};

use crate::support::*;

const BUFFER: usize = 32;

fn long_payload() -> String {
    (0..300).map(|at| char::from(b'a' + (at % 26) as u8)).collect()
}

/// A server that sends a long message and a short one to who subscribes.
fn link(version: ProtocolVersion, qos: QoS, most: usize) -> Link {
    let link = Link::new(version);
    link.wire().most = most;
    link.wire().on_subscribe = [incoming(qos, 7, &long_payload()), incoming(AtMostOnce, 0, "short")]
        .iter()
        .flat_map(|packet| encode(packet, version))
        .collect();
    link
}

fn policy(version: ProtocolVersion, oversize: Oversize) -> Config {
    Config { oversize, ..config(version) }
}

fn answers(qos: QoS) -> &'static [&'static str] {
    match qos {
        AtMostOnce => &["SUBSCRIBE 1 s"],
        AtLeastOnce => &["SUBSCRIBE 1 s", "PUBACK 7"],
        ExactlyOnce => &["SUBSCRIBE 1 s", "PUBREC 7", "PUBCOMP 7"],
    }
}

#[test]
fn a_message_longer_than_the_buffer_comes_in_pieces() {
    for version in BOTH {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            for most in [1, 7, usize::MAX] {
                let link = link(version, qos, most);
                let mut buffer = [0; BUFFER];
                let mut client = connected(policy(version, Oversize::Stream), &link, &mut buffer);
                subscribe(&mut client, START);
                let (mut payload, mut others) = (Vec::new(), Vec::new());
                while let Some(event) = client.poll(START).expect("alive") {
                    match event {
                        Event::Chunk(chunk) => payload.extend_from_slice(chunk),
                        event => others.push(tell(&event)),
                    }
                }
                let start = format!("Start q{} s 300", qos.bits());
                assert_eq!(others, ["Subscribed 1 [02]", start.as_str(), "End", "Message q0 s short"]);
                assert_eq!(String::from_utf8(payload).as_deref(), Ok(long_payload().as_str()));
                assert_eq!(link.sent(), answers(qos));
            }
        }
    }
}

#[test]
fn a_message_longer_than_the_buffer_is_skipped() {
    for version in BOTH {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            for most in [1, usize::MAX] {
                let link = link(version, qos, most);
                let mut buffer = [0; BUFFER];
                let mut client = connected(policy(version, Oversize::Skip), &link, &mut buffer);
                subscribe(&mut client, START);
                let skipped = format!("Skipped q{} s 300", qos.bits());
                let expected = ["Subscribed 1 [02]", skipped.as_str(), "Message q0 s short"];
                assert_eq!(events(&mut client, START), expected);
                assert_eq!(link.sent(), answers(qos));
            }
        }
    }
}

#[test]
fn a_message_longer_than_the_buffer_ends_the_connection_if_nothing_else_is_asked_for() {
    for version in BOTH {
        let link = link(version, AtMostOnce, usize::MAX);
        let mut buffer = [0; BUFFER];
        let mut client = connected(policy(version, Oversize::Refuse), &link, &mut buffer);
        subscribe(&mut client, START);
        let (events, end) = events_and_end(&mut client, START);
        assert_eq!(events, ["Subscribed 1 [02]"]);
        let limit = BUFFER as u32;
        assert!(matches!(end, Some(Error::Peer(PeerError::PacketTooLarge(len))) if len > limit));
        assert_eq!(link.sent()[1..], ["DISCONNECT 0x95"][..usize::from(version.is_v5())]);
    }
}

/// Half a message counts for nothing: the server sends it again over the next transport.
#[test]
fn a_message_cut_in_its_stream_comes_whole_over_the_next_transport() {
    for version in BOTH {
        let first = Link::new(version);
        let mut buffer = [0; BUFFER];
        let mut client = connected(policy(version, Oversize::Stream), &first, &mut buffer);
        let bytes = encode(&incoming(ExactlyOnce, 7, &long_payload()), version);
        first.send(&bytes[..100]);
        assert_eq!(events(&mut client, START)[0], "Start q2 s 300");

        let second = Link::new(version);
        second.wire().session_present = true;
        client.replace_transport(START, second.clone());
        client.connect(START, &options(version)).expect("connect");
        assert_eq!(events(&mut client, START), ["Connected present"]);
        second.give(repeated(ExactlyOnce, 7, &long_payload()));
        let events = events(&mut client, START);
        assert_eq!(events.first().map(String::as_str), Some("Start q2 s dup 300"));
        assert_eq!(events.last().map(String::as_str), Some("End"));
        assert_eq!(second.sent(), ["CONNECT", "PUBREC 7", "PUBCOMP 7"]);
    }
}
