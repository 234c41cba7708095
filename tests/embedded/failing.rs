//! What ends a connection, and what the caller hears of it.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use flowsdk::codec::PacketType;
use flowsdk::embedded::{Error, blocking};
use flowsdk::packet::{AckKind, Disconnect, Packet};
use flowsdk::session::{Config, PeerError, Session};
use flowsdk::types::ReasonCode;

use crate::support::*;

#[test]
fn the_end_of_the_stream_is_told_behind_what_came_before_it() {
    for version in BOTH {
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = connected(config(version), &link, &mut buffer);
        link.give(incoming(AtMostOnce, 0, "last"));
        link.wire().ended = true;
        let end = (vec!["Message q0 s last".to_owned()], Some(Error::Closed));
        assert_eq!(events_and_end(&mut client, START), end);
        assert!(!client.session().has_connection());
    }
}

#[test]
fn an_error_of_the_transport_comes_out_as_it_is() {
    for version in BOTH {
        let mut buffer = [0; 64];
        let link = Link::new(version);
        let mut client = connected(config(version), &link, &mut buffer);
        link.wire().fails_to_read = Some(ErrorKind::ConnectionReset);
        assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::ConnectionReset)));
        assert!(!client.session().has_connection());

        let link = Link::new(version);
        let mut client = connected(config(version), &link, &mut buffer);
        link.wire().fails_to_write = Some(ErrorKind::BrokenPipe);
        assert_eq!(client.poll(START), Ok(None), "nothing to write");
        client.ping(START).expect("ping");
        assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::BrokenPipe)));
        assert!(!client.session().has_connection());
    }
}

/// A time-out of a transport that can tell when it is ready is the network's, not the read's.
#[test]
fn a_time_out_is_an_error_where_reads_have_none() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().fails_to_read = Some(ErrorKind::TimedOut);
    assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::TimedOut)));
}

#[test]
fn an_interrupted_read_is_none() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().fails_to_read = Some(ErrorKind::Interrupted);
    assert_eq!(client.poll(START), Ok(None));
    link.wire().fails_to_read = None;
    link.give(incoming(AtMostOnce, 0, "hello"));
    assert_eq!(events(&mut client, START), ["Message q0 s hello"]);
}

#[test]
fn a_transport_that_takes_nothing_is_closed() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().most = 0;
    client.ping(START).expect("ping");
    assert_eq!(client.poll(START), Err(Error::Closed));
}

/// A transport that reads the first byte of a PUBLISH and then says that it has read more than anything has room for.
#[derive(Default)]
struct Boaster {
    has_read: bool,
}

impl ErrorType for Boaster {
    type Error = ErrorKind;
}

impl Read for Boaster {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        buffer[0] = if self.has_read { 0 } else { 0x30 };
        Ok(if std::mem::replace(&mut self.has_read, true) { usize::MAX } else { 1 })
    }
}

impl ReadReady for Boaster {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(true)
    }
}

impl Write for Boaster {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[test]
fn a_transport_that_says_it_has_read_more_than_there_was_room_for_fills_the_buffer_at_most() {
    let mut buffer = [0; 64];
    let session = Session::new(config(V5), Storage::new());
    let mut client = blocking::Client::new(session, Boaster::default(), &mut buffer);
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(client.poll(START), Err(Error::Peer(PeerError::UnexpectedPacket(PacketType::Publish))));
}

/// In v3.1.1 a DISCONNECT would discard the will.
#[test]
fn a_server_at_fault_is_told_why_before_the_caller_is() {
    for version in BOTH {
        for most in [1, usize::MAX] {
            let link = Link::new(version);
            let mut buffer = [0; 64];
            let mut client = connected(config(version), &link, &mut buffer);
            link.wire().most = most;
            link.give(ack(AckKind::Puback, 1));
            link.give(connack(false, &[]));
            link.give(incoming(AtMostOnce, 0, "too late"));
            let flushes = link.wire().flushes;
            let (events, end) = events_and_end(&mut client, START);
            assert!(matches!(end, Some(Error::Peer(PeerError::UnexpectedPacket(_)))), "{end:?}");
            assert_eq!(events, NOTHING);
            let farewell: &[&str] = if version.is_v5() { &["DISCONNECT 0x82"] } else { &[] };
            assert_eq!(link.sent(), farewell);
            assert_eq!(link.wire().flushes - flushes, farewell.len());
            assert_eq!(client.poll(START), Err(Error::Closed));
        }
    }
}

/// The fault tells more than a transport that then breaks, too.
#[test]
fn a_fault_is_told_even_if_the_server_can_no_longer_be() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.give(connack(false, &[]));
    link.wire().fails_to_write = Some(ErrorKind::BrokenPipe);
    assert!(matches!(client.poll(START), Err(Error::Peer(PeerError::UnexpectedPacket(_)))));
}

#[test]
fn a_refusal_and_a_disconnect_are_events_and_then_the_end() {
    for version in BOTH {
        let link = Link::silent(version);
        let mut buffer = [0; 64];
        let mut client = client(config(version), &link, &mut buffer);
        client.connect(START, &options(version)).expect("connect");
        assert_eq!(client.poll(START), Ok(None));
        link.send(if version.is_v5() { b"\x20\x03\x00\x87\x00" } else { b"\x20\x02\x00\x05" });
        let end = (vec!["Refused 0x87".to_owned()], Some(Error::Closed));
        assert_eq!(events_and_end(&mut client, START), end);
    }
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.give(Packet::Disconnect(Disconnect::new(ReasonCode::SERVER_BUSY)));
    let end = (vec!["Disconnected 0x89".to_owned()], Some(Error::Closed));
    assert_eq!(events_and_end(&mut client, START), end);
}

#[test]
fn no_connack_is_a_fault_of_the_server() {
    for version in BOTH {
        let mut buffer = [0; 64];
        let mut client = client(config(version), &Link::silent(version), &mut buffer);
        client.connect(START, &options(version)).expect("connect");
        let at = START.after_millis(Config::DEFAULT.connect_timeout_ms);
        assert_eq!(client.poll(START), Ok(None));
        assert_eq!(client.poll_timeout(), Some(at));
        assert_eq!(client.poll(at), Err(Error::Peer(PeerError::ConnackTimeout)));
    }
}

#[test]
fn a_buffer_without_room_for_a_header_is_told_of() {
    for len in 0..5 {
        let link = Link::silent(V3_1_1);
        let mut buffer = vec![0; len];
        let mut client = client(config(V3_1_1), &link, &mut buffer);
        client.connect(START, &options(V3_1_1)).expect("connect");
        assert_eq!(client.poll(START), Ok(None));
        link.send(b"\x20\x80\x80\x80\x01");
        let (events, end) = events_and_end(&mut client, START);
        assert_eq!((events, end), (vec![], Some(Error::BufferTooSmall)), "{len} bytes");
    }
}

#[test]
fn what_was_read_from_one_connection_does_not_reach_the_next() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    let bytes = encode(&incoming(AtMostOnce, 0, "hello"), V5);
    link.send(&bytes[..6]);
    assert_eq!(client.poll(START), Ok(None));
    link.wire().ended = true;
    assert_eq!(client.poll(START), Err(Error::Closed));
    let link = Link::new(V5);
    client.replace_transport(START, link.clone());
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected"]);
}
