//! The async client, polled by hand: its futures are dropped wherever they wait, and nobody sees it on the wire.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_io::{ErrorKind, ErrorType};
use embedded_io_async::{Read, Write};
use flowsdk::embedded::Error;
use flowsdk::embedded::nonblocking::{Client, Clock};
use flowsdk::packet::{Connack, Packet};
use flowsdk::session::{
    Acknowledgement, ApplicationMessage, Config, ConnectOptions, Event, Misuse, Oversize, PeerError, Session, Stall,
};
use flowsdk::time::Instant;
use flowsdk::types::{ProtocolVersion, ReasonCode};

use crate::support::*;

/// A link whose every operation makes its caller wait once before it is done.
#[derive(Clone)]
struct Slow {
    link: Link,
    flush_hangs: bool,
}

#[derive(Clone)]
struct HandTurned(Rc<Cell<Instant>>);

type Async<'b> = Client<'b, Slow, Storage, HandTurned>;

impl Slow {
    async fn hesitate() {
        let mut asked = false;
        poll_fn(|_| if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl ErrorType for Slow {
    type Error = ErrorKind;
}

impl Read for Slow {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        Self::hesitate().await;
        poll_fn(|_| if self.link.wire().is_ready() { Poll::Ready(()) } else { Poll::Pending }).await;
        self.link.wire().read(buffer)
    }
}

impl Write for Slow {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        Self::hesitate().await;
        self.link.wire().write(bytes)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Self::hesitate().await;
        if self.flush_hangs {
            std::future::pending::<()>().await;
        }
        self.link.wire().flushes += 1;
        Ok(())
    }
}

impl HandTurned {
    fn new() -> Self {
        Self(Rc::new(Cell::new(START)))
    }

    fn turn_to(&self, at: Instant) {
        self.0.set(at);
    }
}

impl Clock for HandTurned {
    fn now(&self) -> Instant {
        self.0.get()
    }

    async fn wait_until(&mut self, at: Instant) {
        poll_fn(|_| if self.now().has_reached(at) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// More polls than any of these futures needs to come to an end or to where it waits.
const PATIENCE: usize = if cfg!(miri) { 500 } else { 20_000 };

fn settle<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    for _ in 0..PATIENCE {
        if let Poll::Ready(output) = poll_once(future.as_mut()) {
            return Poll::Ready(output);
        }
    }
    Poll::Pending
}

#[track_caller]
fn ready<F: Future>(future: F) -> F::Output {
    match settle(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("this waits for ever"),
    }
}

fn is_pending<F: Future>(future: F) -> bool {
    settle(pin!(future)).is_pending()
}

fn client<'b>(config: Config, link: &Link, clock: &HandTurned, buffer: &'b mut [u8]) -> Async<'b> {
    let transport = Slow { link: link.clone(), flush_hangs: false };
    Client::new(Session::new(config, Storage::new()), transport, clock.clone(), buffer)
}

fn connected<'b>(config: Config, link: &Link, clock: &HandTurned, buffer: &'b mut [u8]) -> Async<'b> {
    let mut client = client(config, link, clock, buffer);
    let options = ConnectOptions { keep_alive: 10, ..options(config.version) };
    ready(client.connect_and_wait(&options)).expect("accepted");
    assert_eq!(link.sent(), ["CONNECT"]);
    client
}

#[track_caller]
fn next(client: &mut Async<'_>) -> String {
    tell(&ready(client.poll()).expect("alive"))
}

/// All that a client has to do with a server: messages both ways at each quality of service, one of them too long for
/// the buffer, a ping and the end. A poll's future is dropped where `drops` says so, given how often one was polled.
fn story(version: ProtocolVersion, drops: impl Fn(usize) -> bool) -> (Vec<u8>, Vec<String>, usize) {
    let link = Link::new(version);
    link.wire().most = 1;
    let long = "a payload that is longer than the receive buffer of this client";
    for packet in [
        incoming(AtMostOnce, 0, "zero"),
        incoming(AtLeastOnce, 1, "one"),
        incoming(ExactlyOnce, 2, "two"),
        incoming(ExactlyOnce, 3, long),
    ] {
        let bytes = encode(&packet, version);
        link.wire().on_subscribe.extend(bytes);
    }
    let mut buffer = [0; 32];
    let config = Config { oversize: Oversize::Stream, ..config(version) };
    let mut client = client(config, &link, &HandTurned::new(), &mut buffer);
    client.connect(&options(version)).expect("connect");

    let (mut heard, mut polls) = (Vec::new(), 0);
    loop {
        let event = {
            let mut future = pin!(client.poll());
            loop {
                assert!(polls < PATIENCE, "it does not get on: {heard:?}");
                polls += 1;
                match poll_once(future.as_mut()) {
                    Poll::Ready(event) => break Some(event.map(|event| tell(&event))),
                    Poll::Pending if drops(polls) => break None,
                    Poll::Pending => {}
                }
            }
        };
        let Some(event) = event else { continue };
        match event {
            Ok(event) => heard.push(event),
            Err(error) => {
                assert_eq!(error, Error::Closed, "after {heard:?}");
                let bytes = link.wire().from_client.clone();
                return (bytes, heard, polls);
            }
        }
        match heard.last().expect("an event").as_str() {
            "Connected" => {
                client.subscribe(&one_subscription(), &[]).expect("subscribe");
            }
            "End" => {
                for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
                    client.publish(&message(qos, "bye")).expect("publish");
                }
            }
            "Published 3 q2" => client.ping().expect("ping"),
            "PingResponse" => client.disconnect(&farewell()).expect("disconnect"),
            _ => {}
        }
    }
}

/// A transport that moves one byte at a time makes the client wait before and behind each of them.
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_future_dropped_anywhere_changes_nothing_on_the_wire_and_loses_nothing() {
    for version in BOTH {
        let (wire, heard, polls) = story(version, |_| false);
        let sent = packets(&wire, version);
        assert_eq!(sent.first().map(String::as_str), Some("CONNECT"));
        assert_eq!(sent.last().map(String::as_str), Some("DISCONNECT"));
        assert_eq!(sent.len(), 13, "{sent:?}");
        assert_eq!(heard.iter().filter(|event| event.starts_with("Message q")).count(), 3);
        assert!(polls > 2 * wire.len(), "only {polls} polls");
        for at in 1..=polls {
            let dropped = story(version, |poll| poll == at);
            assert_eq!((&dropped.0, &dropped.1), (&wire, &heard), "dropped at poll {at}");
        }
        for every in [2, 3, 5] {
            let dropped = story(version, |poll| poll % every == 0);
            assert_eq!((&dropped.0, &dropped.1), (&wire, &heard), "dropped at each {every}th poll");
        }
    }
}

#[test]
fn it_pings_while_a_read_is_pending() {
    for version in BOTH {
        let link = Link::silent(version);
        let clock = HandTurned::new();
        let mut buffer = [0; 64];
        link.wire().answers = true;
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        link.wire().answers = false;
        let due = client.session().poll_timeout().expect("a keep-alive");
        let mut poll = pin!(client.poll());
        assert!(settle(poll.as_mut()).is_pending());
        clock.turn_to(due);
        assert!(settle(poll.as_mut()).is_pending(), "the same future goes on");
        assert_eq!(link.sent(), ["PINGREQ"]);
        link.give(Packet::Pingresp);
        let Poll::Ready(event) = settle(poll.as_mut()) else { panic!("an answer was there") };
        assert_eq!(event, Ok(Event::PingResponse));
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_dead_server_is_found_while_reading_writing_or_flushing() {
    let within = Config::DEFAULT.ping_timeout_ms;
    for version in BOTH {
        let clock = HandTurned::new();
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        link.wire().answers = false;
        let since = client.session().poll_timeout().expect("a keep-alive");
        let end = loop {
            let polled = settle(pin!(client.poll_with(|event, _| panic!("{event:?}"))));
            match polled {
                Poll::Ready(end) => break end,
                Poll::Pending => clock.turn_to(client.session().poll_timeout().expect("a deadline")),
            }
        };
        assert_eq!(end, Err::<(), _>(Error::Peer(PeerError::PingTimeout)));
        assert_eq!(clock.now().millis_since(since), within);
        assert_eq!(ready(client.poll()), Err(Error::Closed));

        let link = Link::new(version);
        clock.turn_to(START);
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        client.transport_mut().flush_hangs = true;
        client.ping().expect("ping");
        link.wire().answers = false;
        assert!(is_pending(client.poll()));
        clock.turn_to(START.after_millis(within));
        assert_eq!(ready(client.poll()), Err(Error::Peer(PeerError::PingTimeout)));
    }
}

#[test]
fn connecting_ends_with_the_answer_or_at_its_deadline() {
    for version in BOTH {
        let mut buffer = [0; 64];
        let clock = HandTurned::new();
        let link = Link::silent(version);
        let mut one = client(config(version), &link, &clock, &mut buffer);
        {
            let options = options(version);
            let mut waiting = pin!(one.connect_and_wait(&options));
            assert!(settle(waiting.as_mut()).is_pending());
            clock.turn_to(START.after_millis(Config::DEFAULT.connect_timeout_ms));
            assert_eq!(settle(waiting.as_mut()), Poll::Ready(Err(Error::Peer(PeerError::ConnackTimeout))));
        }
        // Dropped, it leaves a connection that goes on.
        assert!(is_pending(one.connect_and_wait(&options(version))));
        assert_eq!(ready(one.connect_and_wait(&options(version))), Err(Error::Misuse(Misuse::AlreadyConnected)));
        link.give(connack(false, &[]));
        assert_eq!(next(&mut one), "Connected");

        let link = Link::silent(version);
        one.replace_transport(Slow { link: link.clone(), flush_hangs: false });
        let refused = Connack { session_present: false, reason_code: code(0x87), properties: Default::default() };
        {
            let options = options(version);
            let mut waiting = pin!(one.connect_and_wait(&options));
            assert!(settle(waiting.as_mut()).is_pending());
            link.give(Packet::Connack(refused));
            assert_eq!(settle(waiting), Poll::Ready(Err(Error::Refused(ReasonCode::NOT_AUTHORIZED))));
        }
        assert_eq!(one.connect(&options(version)), Ok(()), "another attempt is allowed");
    }
}

#[test]
fn what_is_unacknowledged_is_sent_again_over_a_new_transport() {
    for version in BOTH {
        let clock = HandTurned::new();
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        link.wire().answers = false;
        client.publish(&message(AtLeastOnce, "a")).expect("publish");
        assert!(is_pending(client.poll()));
        link.wire().fails_to_read = Some(ErrorKind::ConnectionReset);
        assert_eq!(ready(client.poll()), Err(Error::Transport(ErrorKind::ConnectionReset)));

        let second = Link::new(version);
        second.wire().session_present = true;
        client.replace_transport(Slow { link: second.clone(), flush_hangs: false });
        assert!(ready(client.connect_and_wait(&options(version))).expect("accepted").session_present);
        assert_eq!(next(&mut client), "Published 1 q1");
        assert_eq!(second.sent(), ["CONNECT", "PUBLISH 1 q1 t a dup"]);
    }
}

#[test]
fn a_server_at_fault_is_told_why_even_if_the_future_is_dropped_meanwhile() {
    for version in BOTH {
        for polls in 1..40 {
            let link = Link::new(version);
            let mut buffer = [0; 64];
            let mut client = connected(config(version), &link, &HandTurned::new(), &mut buffer);
            link.wire().most = 1;
            link.give(connack(false, &[]));
            let end = {
                let mut future = pin!(client.poll());
                (0..polls).find_map(|_| match poll_once(future.as_mut()) {
                    Poll::Ready(event) => Some(event.map(|_| ())),
                    Poll::Pending => None,
                })
            };
            let end = end.unwrap_or_else(|| ready(client.poll()).map(|_| ()));
            assert!(matches!(end, Err(Error::Peer(PeerError::UnexpectedPacket(_)))), "{end:?}");
            assert_eq!(link.sent(), ["DISCONNECT 0x82"][..usize::from(version.is_v5())]);
        }
    }
}

#[test]
fn the_end_of_the_stream_and_a_transport_that_takes_nothing_are_told() {
    for version in BOTH {
        let clock = HandTurned::new();
        let mut buffer = [0; 64];
        let link = Link::new(version);
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        link.give(incoming(AtMostOnce, 0, "last"));
        link.wire().ended = true;
        assert_eq!(next(&mut client), "Message q0 s last");
        assert_eq!(ready(client.poll()), Err(Error::Closed));

        let link = Link::new(version);
        let mut client = connected(config(version), &link, &clock, &mut buffer);
        link.wire().most = 0;
        client.ping().expect("ping");
        assert_eq!(ready(client.poll()), Err(Error::Closed));
    }
}

#[test]
fn a_buffer_without_room_for_a_header_is_told_of() {
    let link = Link::silent(V3_1_1);
    let mut buffer = [0; 3];
    let mut client = client(config(V3_1_1), &link, &HandTurned::new(), &mut buffer);
    client.connect(&options(V3_1_1)).expect("connect");
    assert!(is_pending(client.poll()));
    link.send(b"\x20\x80\x80\x80\x01");
    assert_eq!(ready(client.poll()), Err(Error::BufferTooSmall));
}

#[test]
fn a_handler_publishes_while_it_holds_the_message() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &HandTurned::new(), &mut buffer);
    link.give(incoming(AtMostOnce, 0, "hello"));
    let length = ready(client.poll_with(|event, session| {
        let Event::Message(message) = event else { panic!("{event:?}") };
        let reply = ApplicationMessage { topic: "reply", payload: message.payload, ..Default::default() };
        session.publish(START, &reply).expect("publish");
        message.payload.len()
    }));
    assert_eq!(length, Ok(5));
    assert!(is_pending(client.poll()));
    assert_eq!(link.sent(), ["PUBLISH q0 reply hello"]);
    let (session, _, _) = client.into_parts();
    assert!(!session.has_connection());
}

#[test]
fn a_message_without_a_place_is_told_of_instead_of_waiting_for_ever() {
    let link = Link::new(V3_1_1);
    let config = Config { acknowledgement: Acknowledgement::Manual, ..config(V3_1_1) };
    let mut buffer = [0; 64];
    let mut client = connected(config, &link, &HandTurned::new(), &mut buffer);
    for id in 1..=5 {
        link.give(incoming(AtLeastOnce, id, "hello"));
    }
    let mut receipts = Vec::new();
    for _ in 1..=4 {
        let Ok(Event::Message(message)) = ready(client.poll()) else { panic!() };
        receipts.push(message.receipt.expect("a receipt"));
    }
    assert_eq!(ready(client.poll()), Err(Error::Stalled(Stall::AcknowledgeFirst)));
    client.acknowledge(receipts[0], ReasonCode::SUCCESS).expect("acknowledge");
    assert_eq!(next(&mut client), "Message q1 s hello");
}
