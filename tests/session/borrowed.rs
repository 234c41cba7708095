//! A storage that the session only borrows.

use std::num::NonZeroU16;

use flowsdk::session::{
    ApplicationMessage, Config, ConnectOptions, Event, Fixed, Heap, HeapLimits, Session, Storage, Topic,
};
use flowsdk::time::Instant;
use flowsdk::types::QoS;

const NOW: Instant = Instant::from_millis(0);
const CONNACK: &[u8] = b"\x20\x03\x00\x00\x00";
/// Defines alias 1 as the topic "a".
const PUBLISH: &[u8] = b"\x30\x08\x00\x01a\x03\x23\x00\x01!";

/// All that a session gives for a fixed course of things: bytes, and the topic of an alias.
fn course<S: Storage>(storage: S) -> (Vec<Vec<u8>>, Option<String>) {
    let config = Config { topic_alias_maximum: 1, ..Config::DEFAULT };
    let mut session = Session::new(config, storage);
    let mut sent = Vec::new();
    session.connect(NOW, &ConnectOptions { client_id: "c", clean_start: true, ..Default::default() }).unwrap();
    transmit(&mut session, &mut sent);
    assert!(matches!(session.handle_input(NOW, CONNACK).unwrap().event, Some(Event::Connected(_))));
    for payload in [b"1", b"2"] {
        let message = ApplicationMessage { topic: "t", payload, qos: QoS::AtLeastOnce, ..Default::default() };
        session.publish(NOW, &message).unwrap();
    }
    transmit(&mut session, &mut sent);
    let _ = session.handle_input(NOW, PUBLISH);
    let topic = session.topic(Topic::Alias(NonZeroU16::MIN)).map(str::to_owned);
    (sent, topic)
}

fn transmit<S: Storage>(session: &mut Session<S>, sent: &mut Vec<Vec<u8>>) {
    while let Some(first) = session.poll_transmit(NOW).map(<[u8]>::to_vec) {
        let mut slices = [&[][..]; 4];
        let count = session.poll_transmit_many(NOW, &mut slices);
        assert_eq!(slices[0], first);
        sent.push(slices[..count].concat());
        let len = sent.last().map_or(0, Vec::len);
        session.consume_transmit(NOW, len);
    }
}

#[test]
fn a_borrowed_fixed_storage_gives_what_an_owned_one_gives() {
    let owned = course(Fixed::<256, 4>::new());
    assert!(owned.0.concat().ends_with(b"\x32\x07\x00\x01t\x00\x01\x001\x32\x07\x00\x01t\x00\x02\x002"));
    assert_eq!(course(&mut Fixed::<256, 4>::new()), owned);
}

#[test]
fn a_borrowed_heap_gives_what_an_owned_one_gives() {
    let owned = course(Heap::new(HeapLimits::default()));
    assert_eq!(owned.1.as_deref(), Some("a"));
    assert_eq!(course(&mut Heap::new(HeapLimits::default())), owned);
}
