//! What a command is refused for: what can never be done is told before what can be done later.

use flowsdk::codec::{EncodeError, Properties, Property, PropertyId};
use flowsdk::packet::Subscription;
use flowsdk::session::{
    ApplicationMessage, Config, ConnectOptions, DropReason, Event, Fixed, Heap, HeapLimits, Misuse, PeerError, Session,
    Storage,
};
use flowsdk::time::Instant;
use flowsdk::types::QoS;

const START: Instant = Instant::from_millis(0);
const OPTIONS: ConnectOptions<'static> =
    ConnectOptions { client_id: "client", session_expiry_interval: 100, ..ConnectOptions::DEFAULT };

#[test]
fn without_a_connection_a_full_storage_is_not_what_is_wrong() {
    let mut session = Session::new(Config::DEFAULT, Fixed::<8, 4>::new());
    assert_eq!(session.publish(START, &message(QoS::AtMostOnce, b"x")), Err(Misuse::NotConnected));
    let subscription = [Subscription::new("a", QoS::AtMostOnce)];
    assert_eq!(session.subscribe(START, &subscription, &[]), Err(Misuse::NotConnected));
    assert_eq!(session.unsubscribe(START, &["a"], &[]), Err(Misuse::NotConnected));
}

#[test]
fn an_invalid_message_is_told_of_where_there_is_no_room_for_it() {
    let mut session = Session::new(Config::DEFAULT, Fixed::<8, 4>::new());
    let properties = [Property::ServerKeepAlive(1)];
    let message = ApplicationMessage { properties: Properties::new(&properties), ..message(QoS::AtLeastOnce, b"x") };
    let misplaced = EncodeError::MisplacedProperty(PropertyId::ServerKeepAlive);
    assert_eq!(session.publish(START, &message), Err(Misuse::Encode(misplaced)));
}

#[test]
fn a_message_that_the_server_never_takes_is_told_of_where_there_is_no_room_for_it() {
    let mut session = connected(Fixed::<100, 4>::new(), &[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 50]);
    let long = [0; 200];
    assert_eq!(session.publish(START, &message(QoS::AtLeastOnce, &long)), Err(Misuse::PacketTooLarge { limit: 50 }));
}

#[test]
fn what_a_connection_has_refused_is_told_by_its_limits_while_the_next_one_begins() {
    let cases: [(&[u8], Misuse); 2] = [
        (&[0x20, 5, 0, 0, 2, 0x24, 1], Misuse::QoSNotSupported(QoS::AtLeastOnce)),
        (&[0x20, 8, 0, 0, 5, 0x27, 0, 0, 0, 50], Misuse::PacketTooLarge { limit: 50 }),
    ];
    for (connack, misuse) in cases {
        let mut session = Session::new(Config::DEFAULT, Fixed::<500, 4>::new());
        session.publish(START, &message(QoS::ExactlyOnce, &[0; 100])).expect("room");
        connect(&mut session, connack);
        transmit(&mut session, START);
        session.handle_closed(START);
        session.connect(START, &OPTIONS).expect("room");
        let dropped = session.poll_dropped().expect("a refused message");
        assert_eq!(dropped.reason, DropReason::Refused(misuse));
    }
}

#[test]
fn a_fixed_storage_keeps_room_for_connect_however_large_it_is() {
    for (kept, session) in [
        (fill(Fixed::<65_000, 64>::new()), "65,000"),
        (fill(Fixed::<70_000, 64>::new()), "70,000: what is above 65,535 stays unused"),
    ] {
        assert_eq!(kept, Ok(()), "{session}");
    }
}

#[test]
fn a_long_packet_shows_a_live_server_in_pieces_of_any_length() {
    for step in [65_535, 65_536] {
        let mut session = connected(Heap::new(HeapLimits::default()), &[0x20, 3, 0, 0, 0]);
        // A PUBLISH of 2 MiB, of which a piece comes each second.
        let mut input = vec![0x30, 0x80, 0x80, 0x80, 0x01, 0, 1, b't', 0];
        input.resize(2 * 1024 * 1024, 7);
        session.ping(START).expect("connected");
        transmit(&mut session, START);
        for seconds in 1..=20 {
            let now = Instant::from_millis(seconds * 1000);
            let len = step * usize::try_from(seconds).expect("few");
            let progress = session.handle_input(now, &input[..len]).expect("a part of a PUBLISH");
            assert_eq!(progress.consumed, 0);
            assert_eq!(session.handle_timeout(now), Ok(()), "{seconds} pieces of {step} bytes");
        }
    }
}

#[test]
fn a_ping_after_a_month_of_silence_has_its_deadline() {
    let mut session = connected(Fixed::<200, 1>::new(), &[0x20, 3, 0, 0, 0]);
    let late = Instant::from_millis(0x9000_0000);
    session.ping(late).expect("connected");
    transmit(&mut session, late);
    assert_eq!(session.handle_timeout(late.after_millis(20_000)), Err(PeerError::PingTimeout));
}

#[test]
fn a_frame_with_a_cut_property_is_sent_again_as_it_is() {
    let mut session = Session::new(Config::DEFAULT, Heap::new(HeapLimits::default()));
    // A property block of one byte, which would begin a Message Expiry Interval.
    session.publish_frame(START, vec![0x32, 8, 0, 1, b't', 0, 1, 1, 0x02, b'p']).expect("room");
    connect(&mut session, &[0x20, 3, 0, 0, 0]);
    assert_eq!(transmit(&mut session, START), [0x32, 8, 0, 1, b't', 0, 1, 1, 0x02, b'p']);
    session.handle_closed(START);
    let later = Instant::from_millis(5000);
    session.connect(later, &OPTIONS).expect("room");
    transmit(&mut session, later);
    let progress = session.handle_input(later, &[0x20, 3, 1, 0, 0]).expect("CONNACK");
    assert!(matches!(progress.event, Some(Event::Connected(_))));
    assert_eq!(transmit(&mut session, later), [0x3A, 8, 0, 1, b't', 0, 1, 1, 0x02, b'p']);
}

fn message(qos: QoS, payload: &[u8]) -> ApplicationMessage<'_> {
    ApplicationMessage { topic: "t", payload, qos, ..Default::default() }
}

/// Fills a storage with messages, and connects again.
fn fill<S: Storage>(storage: S) -> Result<(), Misuse> {
    let mut session = connected(storage, &[0x20, 3, 0, 0, 0]);
    let mut size = 60_000;
    while size > 0 {
        if session.publish(START, &message(QoS::AtLeastOnce, &vec![0; size])).is_err() {
            size /= 2;
        }
    }
    while session.publish(START, &message(QoS::AtLeastOnce, b"")).is_ok() {}
    session.handle_closed(START);
    session.connect(START, &OPTIONS)
}

fn connected<S: Storage>(storage: S, connack: &[u8]) -> Session<S> {
    let mut session = Session::new(Config::DEFAULT, storage);
    connect(&mut session, connack);
    session
}

fn connect<S: Storage>(session: &mut Session<S>, connack: &[u8]) {
    session.connect(START, &OPTIONS).expect("room");
    transmit(session, START);
    let progress = session.handle_input(START, connack).expect("CONNACK");
    assert!(matches!(progress.event, Some(Event::Connected(_))));
}

fn transmit<S: Storage>(session: &mut Session<S>, now: Instant) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Some(bytes) = session.poll_transmit(now) {
        let len = bytes.len();
        sent.extend_from_slice(bytes);
        session.consume_transmit(now, len);
    }
    sent
}
