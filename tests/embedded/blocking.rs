//! The blocking client at its everyday work.

use flowsdk::codec::{Property, PropertyId};
use flowsdk::embedded::Error;
use flowsdk::packet::{AckKind, Auth, Connack, Disconnect, Packet, Publish, Suback, Unsuback};
use flowsdk::session::{
    Acknowledgement, ApplicationMessage, Config, ConnectOptions, Event, Fixed, Message, Misuse, PeerError, Session,
    Stall,
};
use flowsdk::types::{ReasonCode, Role};

use crate::support::*;

#[test]
fn messages_go_both_ways_at_each_quality_of_service() {
    for version in BOTH {
        for most in [1, 3, usize::MAX] {
            let link = Link::new(version);
            link.wire().most = most;
            for (qos, id) in [(AtMostOnce, 0), (AtLeastOnce, 1), (ExactlyOnce, 2)] {
                let bytes = encode(&incoming(qos, id, "hello"), version);
                link.wire().on_subscribe.extend(bytes);
            }
            let mut buffer = [0; 64];
            let mut client = connected(config(version), &link, &mut buffer);

            subscribe(&mut client, START);
            let received = ["Subscribed 1 [02]", "Message q0 s hello", "Message q1 s hello", "Message q2 s hello"];
            assert_eq!(events(&mut client, START), received);
            assert_eq!(link.sent(), ["SUBSCRIBE 1 s", "PUBACK 1", "PUBREC 2", "PUBCOMP 2"]);

            for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
                client.publish(START, &message(qos, "bye")).expect("publish");
            }
            assert_eq!(events(&mut client, START), ["Published 2 q1", "Published 3 q2"]);
            assert_eq!(link.sent(), ["PUBLISH q0 t bye", "PUBLISH 2 q1 t bye", "PUBLISH 3 q2 t bye", "PUBREL 3"]);

            client.ping(START).expect("ping");
            client.unsubscribe(START, &["s"], &[]).expect("unsubscribe");
            let unsubscribed = if version.is_v5() { "Unsubscribed 4 [00]" } else { "Unsubscribed 4 []" };
            assert_eq!(events(&mut client, START), ["PingResponse", unsubscribed]);
            assert_eq!(link.sent(), ["PINGREQ", "UNSUBSCRIBE 4 s"]);

            client.disconnect(START, &farewell()).expect("disconnect");
            assert_eq!(events_and_end(&mut client, START), (vec![], Some(Error::Closed)));
            assert_eq!(link.sent(), ["DISCONNECT"]);
            assert!(!client.session().has_connection());
        }
    }
}

#[test]
fn a_packet_is_one_write_and_what_is_due_together_is_flushed_once() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = client(config(V5), &link, &mut buffer);
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), NOTHING);
    assert_eq!(link.counts(), (1, 1));
    link.give(connack(false, &[]));
    assert_eq!(events(&mut client, START), ["Connected"]);
    for payload in ["a", "b", "c"] {
        client.publish(START, &message(AtLeastOnce, payload)).expect("publish");
    }
    assert_eq!(events(&mut client, START), NOTHING);
    assert_eq!(link.counts(), (4, 2));
    assert_eq!(link.sent().len(), 4);
    assert_eq!(events(&mut client, START), NOTHING);
    assert_eq!(link.counts(), (4, 2), "nothing was due");
}

/// Two of the clients in the field fail here.
#[test]
fn a_connack_in_pieces_is_waited_for() {
    for version in BOTH {
        let link = Link::silent(version);
        let mut buffer = [0; 64];
        let mut client = client(config(version), &link, &mut buffer);
        client.connect(START, &options(version)).expect("connect");
        let bytes = encode(&connack(false, &[]), version);
        let (last, first) = bytes.split_last().expect("not empty");
        for byte in first {
            link.send(&[*byte]);
            assert_eq!(events(&mut client, START), NOTHING);
        }
        link.send(&[*last]);
        assert_eq!(events(&mut client, START), ["Connected"]);
    }
}

/// The link of these tests panics when a read would wait.
#[test]
fn a_poll_never_waits_for_input() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = client(config(V5), &link, &mut buffer);
    client.connect(START, &options(V5)).expect("connect");
    for _ in 0..3 {
        assert_eq!(client.poll(START), Ok(None));
    }
}

#[test]
fn a_transport_that_gives_up_reading_by_itself_needs_no_readiness() {
    for version in BOTH {
        let link = Link::silent(version);
        link.wire().times_out = true;
        let mut buffer = [0; 64];
        let session = Session::new(config(version), Fixed::new());
        let mut client = Client::with_read_timeout(session, link.clone(), &mut buffer);
        client.connect(START, &options(version)).expect("connect");
        assert_eq!(events(&mut client, START), NOTHING);
        link.give(connack(false, &[]));
        assert_eq!(events(&mut client, START), ["Connected"]);
        link.give(incoming(AtMostOnce, 0, "hello"));
        assert_eq!(events(&mut client, START), ["Message q0 s hello"]);
        link.wire().ended = true;
        assert_eq!(client.poll(START), Err(Error::Closed));
    }
}

/// PUBREC and PUBREL mean nothing to the application; their answers leave within the same poll.
#[test]
fn packets_without_an_event_are_handled_on_the_way() {
    let link = Link::silent(V5);
    let mut buffer = [0; 16];
    let mut client = client(config(V5), &link, &mut buffer);
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(client.poll(START), Ok(None));
    link.give(connack(false, &[]));
    assert!(matches!(client.poll(START), Ok(Some(Event::Connected(_)))));
    client.publish(START, &message(ExactlyOnce, "a")).expect("publish");
    assert_eq!(client.poll(START), Ok(None));
    link.sent();
    link.give(pubrec(1));
    for id in 10..30 {
        link.give(pubrel(id));
    }
    link.give(Packet::Pingresp);
    assert_eq!(client.poll(START).map(|event| event.map(|event| tell(&event))), Ok(Some("PingResponse".to_owned())));
    assert_eq!(link.sent().len(), 21);
}

#[test]
fn the_acknowledgement_of_a_message_leaves_after_the_caller_has_had_it() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = connected_silently(Config::DEFAULT, &link, &mut buffer);
    link.give(incoming(AtLeastOnce, 7, "hello"));
    assert!(matches!(client.poll(START), Ok(Some(Event::Message(_)))));
    assert_eq!(link.sent(), NOTHING);
    assert_eq!(client.poll(START), Ok(None));
    assert_eq!(link.sent(), ["PUBACK 7"]);
}

fn connected_silently<'b>(config: Config, link: &Link, buffer: &'b mut [u8]) -> Client<'b> {
    let mut client = client(config, link, buffer);
    client.connect(START, &options(config.version)).expect("connect");
    assert_eq!(events(&mut client, START), NOTHING);
    link.give(connack(false, &[]));
    assert_eq!(events(&mut client, START), ["Connected"]);
    link.sent();
    client
}

#[test]
fn a_handler_publishes_while_it_holds_the_message() {
    for version in BOTH {
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = connected(config(version), &link, &mut buffer);
        link.give(incoming(AtMostOnce, 0, "hello"));
        let replied = client.poll_with(START, |event, session| {
            let Event::Message(message) = event else { panic!("{event:?}") };
            let topic = session.topic(message.topic).expect("a topic").to_owned();
            let reply = ApplicationMessage { topic: "reply", payload: message.payload, ..Default::default() };
            session.publish(START, &reply).map(|_| topic)
        });
        assert_eq!(replied, Ok(Some(Ok("s".to_owned()))));
        assert_eq!(client.poll_with(START, |event, _| panic!("{event:?}")), Ok(None::<()>));
        assert_eq!(link.sent(), ["PUBLISH q0 reply hello"]);
    }
}

#[test]
fn messages_are_acknowledged_by_hand_in_any_order() {
    for version in BOTH {
        let link = Link::new(version);
        let config = Config { acknowledgement: Acknowledgement::Manual, ..config(version) };
        let mut buffer = [0; 64];
        let mut client = connected(config, &link, &mut buffer);
        let mut receipts = Vec::new();
        for id in [1, 2] {
            link.give(incoming(AtLeastOnce, id, "hello"));
            let Ok(Some(Event::Message(Message { receipt: Some(receipt), .. }))) = client.poll(START) else { panic!() };
            receipts.push(receipt);
        }
        client.acknowledge(START, receipts[1], ReasonCode::SUCCESS).expect("acknowledge");
        assert_eq!(events(&mut client, START), NOTHING);
        assert_eq!(link.sent(), NOTHING);
        client.acknowledge(START, receipts[0], ReasonCode::SUCCESS).expect("acknowledge");
        assert_eq!(events(&mut client, START), NOTHING);
        assert_eq!(link.sent(), ["PUBACK 1", "PUBACK 2"]);
        assert_eq!(client.acknowledge(START, receipts[0], ReasonCode::SUCCESS), Err(Misuse::StaleReceipt));
    }
}

/// A server of v3.1.1 does not know the window.
#[test]
fn a_message_without_a_place_waits_for_an_acknowledgement_and_nobody_blames_the_server_meanwhile() {
    let link = Link::silent(V3_1_1);
    let config = Config { acknowledgement: Acknowledgement::Manual, ..config(V3_1_1) };
    let mut buffer = [0; 64];
    let mut client = client(config, &link, &mut buffer);
    client.connect(START, &ConnectOptions { keep_alive: 10, ..options(V3_1_1) }).expect("connect");
    assert_eq!(events(&mut client, START), NOTHING);
    link.give(connack(false, &[]));
    assert_eq!(events(&mut client, START), ["Connected"]);
    for id in 1..=5 {
        link.give(incoming(AtLeastOnce, id, "hello"));
    }
    let mut receipts = Vec::new();
    for _ in 1..=4 {
        let Ok(Some(Event::Message(message))) = client.poll(START) else { panic!() };
        receipts.push(message.receipt.expect("a receipt"));
    }
    let stalled = Err(Error::Stalled(Stall::AcknowledgeFirst));
    assert_eq!(client.poll(START), stalled);
    let mut now = START;
    for _ in 0..10 {
        now = now.after_millis(9_000);
        assert_eq!(client.poll(now), stalled);
    }
    assert!(link.sent().contains(&"PINGREQ".to_owned()), "the server still hears of the client");
    client.acknowledge(now, receipts[0], ReasonCode::SUCCESS).expect("acknowledge");
    assert_eq!(events(&mut client, now), ["Message q1 s hello"]);
    assert_eq!(link.sent(), ["PUBACK 1"]);
}

#[test]
fn it_pings_when_the_keep_alive_asks_for_it_and_finds_a_dead_server() {
    for version in BOTH {
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = client(config(version), &link, &mut buffer);
        client.connect(START, &ConnectOptions { keep_alive: 10, ..options(version) }).expect("connect");
        assert_eq!(events(&mut client, START), ["Connected"]);
        link.sent();
        let at = client.poll_timeout().expect("a keep-alive");
        assert_eq!(events(&mut client, START.after_millis(at.millis_since(START) - 1)), NOTHING);
        assert_eq!(link.sent(), NOTHING);
        assert_eq!(events(&mut client, at), ["PingResponse"]);
        assert_eq!(link.sent(), ["PINGREQ"]);

        link.wire().answers = false;
        let at = client.poll_timeout().expect("a keep-alive");
        assert_eq!(events(&mut client, at), NOTHING);
        let late = at.after_millis(Config::DEFAULT.ping_timeout_ms);
        assert_eq!(client.poll(late), Err(Error::Peer(PeerError::PingTimeout)));
        assert_eq!(client.poll(late), Err(Error::Closed));
    }
}

#[test]
fn connecting_can_be_waited_for() {
    for version in BOTH {
        let deadline = START.after_millis(1_000);
        let mut buffer = [0; 64];

        let link = Link::new(version);
        let mut one = client(config(version), &link, &mut buffer);
        let accepted = one.connect_and_wait(&options(version), deadline, || START).expect("accepted");
        assert!(!accepted.session_present);
        let again = one.connect_and_wait(&options(version), deadline, || START);
        assert_eq!(again, Err(Error::Misuse(Misuse::AlreadyConnected)));

        // The server answers when the clock is asked for the third time.
        let link = Link::silent(version);
        let mut one = client(config(version), &link, &mut buffer);
        let mut asked = 0;
        let clock = || {
            asked += 1;
            if asked == 3 {
                let refused =
                    Connack { session_present: false, reason_code: code(0x87), properties: Default::default() };
                link.give(Packet::Connack(refused));
            }
            START
        };
        let refused = one.connect_and_wait(&options(version), deadline, clock);
        assert_eq!(refused, Err(Error::Refused(ReasonCode::NOT_AUTHORIZED)));
        assert_eq!(one.connect(START, &options(version)), Ok(()), "another attempt is allowed");

        let mut one = client(config(version), &Link::silent(version), &mut buffer);
        let mut now = START;
        let clock = || {
            now = now.after_millis(100);
            now
        };
        let nobody = one.connect_and_wait(&options(version), deadline, clock);
        assert_eq!(nobody, Err(Error::Peer(PeerError::ConnackTimeout)));
        assert!(now.has_reached(deadline) && !now.has_reached(deadline.after_millis(200)), "{now:?}");
        assert_eq!(one.connect(START, &options(version)), Ok(()));
    }
}

#[test]
fn any_event_can_be_waited_for() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = connected_silently(Config::DEFAULT, &link, &mut buffer);
    let mut now = START;
    let mut clock = || {
        now = now.after_millis(10);
        if now == START.after_millis(50) {
            link.give(incoming(AtMostOnce, 0, "hello"));
        }
        now
    };
    let deadline = START.after_millis(100);
    let event = client.wait(deadline, &mut clock).expect("alive");
    assert_eq!(event.map(|event| tell(&event)).as_deref(), Some("Message q0 s hello"));
    assert_eq!(client.wait(deadline, &mut clock), Ok(None));
    assert_eq!(now, deadline);
}

#[test]
fn authentication_in_steps_goes_through_the_client() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = client(Config::DEFAULT, &link, &mut buffer);
    let method = [Property::AuthenticationMethod("m")];
    client.connect(START, &ConnectOptions { properties: &method, ..options(V5) }).expect("connect");
    assert_eq!(events(&mut client, START), NOTHING);
    let step = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: (&method).into() };
    link.give(Packet::Auth(step));
    assert_eq!(events(&mut client, START), ["Auth 0x18"]);
    client.authenticate(START, &step).expect("authenticate");
    link.give(connack(false, &method));
    assert_eq!(events(&mut client, START), ["Connected"]);
    assert_eq!(link.sent(), ["CONNECT", "AUTH 0x18"]);
}

#[test]
fn the_buffer_is_what_the_server_hears_of_as_the_maximum_packet_size() {
    for (asked, announced) in [(0, 100), (1_000, 100), (50, 50)] {
        let link = Link::silent(V5);
        let mut buffer = [0; 100];
        let config = Config { receive_limit: asked, ..Config::DEFAULT };
        let mut client = client(config, &link, &mut buffer);
        client.connect(START, &options(V5)).expect("connect");
        assert_eq!(events(&mut client, START), NOTHING);
        let bytes = link.wire().from_client.clone();
        let Ok(Some((Packet::Connect(connect), _))) = Packet::decode(&bytes, V5, Role::Client) else { panic!() };
        let size = connect.properties.iter().find(|property| property.id() == PropertyId::MaximumPacketSize);
        assert_eq!(size, Some(Property::MaximumPacketSize(announced.try_into().expect("not 0"))));
    }
}

/// The parts of an event are put together again behind the loop that has found it.
#[test]
fn an_event_is_what_the_session_has_reported() {
    let text = [Property::ReasonString("why"), Property::UserProperty("key", "value")];
    let properties = (&text).into();
    let meta = [Property::ContentType("text/plain"), Property::CorrelationData(b"\0\xFF")];
    let Packet::Publish(publish) = incoming(AtLeastOnce, 9, "payload") else { unreachable!() };
    let failed = ReasonCode::UNSPECIFIED_ERROR;
    let given = [
        Packet::Publish(Publish { properties: (&meta).into(), retain: true, ..publish }),
        Packet::Publish(Publish { topic: "ü/ß", payload: b"", ..publish }),
        Packet::Ack(flowsdk::packet::Ack { properties, ..flowsdk::packet::Ack::new(AckKind::Puback, id(1), failed) }),
        Packet::Suback(Suback { packet_id: id(2), codes: &[1, 0x80], properties }),
        Packet::Unsuback(Unsuback { packet_id: id(3), codes: &[0x11], properties }),
        Packet::Pingresp,
        Packet::Disconnect(Disconnect { reason_code: ReasonCode::SERVER_SHUTTING_DOWN, properties }),
    ];
    let link = Link::silent(V5);
    let mut buffer = [0; 128];
    let mut client = connected_silently(Config::DEFAULT, &link, &mut buffer);
    let mut session = Session::new(Config::DEFAULT, Storage::new());
    session.connect(START, &options(V5)).expect("connect");
    let len = session.poll_transmit(START).expect("CONNECT").len();
    session.consume_transmit(START, len);
    let accepted = encode(&connack(false, &[]), V5);
    assert!(matches!(session.handle_input(START, &accepted), Ok(progress) if progress.event.is_some()));

    let two = [one_subscription()[0], one_subscription()[0]];
    for session in [&mut session, client.session_mut()] {
        session.publish(START, &message(AtLeastOnce, "x")).expect("publish");
        session.subscribe(START, &two, &[]).expect("subscribe");
        session.unsubscribe(START, &["s"], &[]).expect("unsubscribe");
    }
    assert_eq!(events(&mut client, START), NOTHING);
    while let Some(bytes) = session.poll_transmit(START) {
        let len = bytes.len();
        session.consume_transmit(START, len);
    }
    for packet in given {
        let bytes = encode(&packet, V5);
        link.send(&bytes);
        let expected = session.handle_input(START, &bytes).expect("valid").event;
        assert!(expected.is_some());
        let event = client.poll(START).expect("alive");
        assert_eq!(event, expected);
        assert_eq!(format!("{event:?}"), format!("{expected:?}"));
    }
}

#[test]
fn without_a_connection_there_is_nothing_to_poll() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = client(Config::DEFAULT, &link, &mut buffer);
    assert_eq!(client.poll(START), Err(Error::Closed));
    assert_eq!(client.ping(START), Err(Misuse::NotConnected));
    // A message of QoS 1 may be published all the same, and leaves once there is one.
    client.publish(START, &message(AtLeastOnce, "early")).expect("publish");
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected", "Published 1 q1"]);
    assert_eq!(link.sent(), ["CONNECT", "PUBLISH 1 q1 t early"]);
}
