//! A session that outlives its transports.

use embedded_io::ErrorKind;
use flowsdk::embedded::Error;
use flowsdk::session::{DropReason, PeerError};

use crate::support::*;

#[test]
fn what_is_unacknowledged_is_sent_again_over_a_new_transport() {
    for version in BOTH {
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = connected(config(version), &link, &mut buffer);
        link.wire().answers = false;
        for (qos, payload) in [(AtLeastOnce, "a"), (ExactlyOnce, "b"), (ExactlyOnce, "c")] {
            client.publish(START, &message(qos, payload)).expect("publish");
        }
        assert_eq!(events(&mut client, START), NOTHING);
        link.give(pubrec(2));
        assert_eq!(events(&mut client, START), NOTHING);
        link.sent();
        link.wire().fails_to_read = Some(ErrorKind::ConnectionReset);
        assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::ConnectionReset)));

        let second = Link::new(version);
        second.wire().session_present = true;
        second.wire().most = 1;
        let first = client.replace_transport(START, second.clone());
        assert!(first.is(&link), "the old transport comes back");
        client.connect(START, &options(version)).expect("connect");
        let published = ["Connected present", "Published 1 q1", "Published 2 q2", "Published 3 q2"];
        let mut heard = events(&mut client, START);
        heard.sort();
        assert_eq!(heard, published);
        let sent = second.sent();
        assert_eq!(sent[..4], ["CONNECT", "PUBREL 2", "PUBLISH 1 q1 t a dup", "PUBLISH 3 q2 t c dup"]);
        assert_eq!(sent[4..], ["PUBREL 3"]);
    }
}

#[test]
fn a_transport_that_works_again_can_stay() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().answers = false;
    client.publish(START, &message(AtLeastOnce, "a")).expect("publish");
    assert_eq!(client.poll(START), Ok(None));
    link.wire().fails_to_read = Some(ErrorKind::Other);
    assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::Other)));
    link.wire().fails_to_read = None;
    link.sent();
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(client.poll(START), Ok(None));
    link.give(connack(true, &[]));
    assert_eq!(events(&mut client, START), ["Connected present"]);
    assert_eq!(link.sent(), ["CONNECT", "PUBLISH 1 q1 t a dup"]);
}

/// What the first transport took of a packet does not count, but it may have arrived: DUP, once a byte has gone.
#[test]
fn a_packet_cut_in_mid_write_is_whole_on_the_next_transport() {
    for version in BOTH {
        for taken in 0..8 {
            let link = Link::new(version);
            let mut buffer = [0; 64];
            let mut client = connected(config(version), &link, &mut buffer);
            link.wire().takes = taken;
            client.publish(START, &message(AtLeastOnce, "abc")).expect("publish");
            assert_eq!(client.poll(START), Err(Error::Transport(ErrorKind::ConnectionReset)));

            let second = Link::new(version);
            second.wire().session_present = true;
            client.replace_transport(START, second.clone());
            client.connect(START, &options(version)).expect("connect");
            assert_eq!(events(&mut client, START), ["Connected present", "Published 1 q1"]);
            let again = if taken == 0 { "PUBLISH 1 q1 t abc" } else { "PUBLISH 1 q1 t abc dup" };
            assert_eq!(second.sent(), ["CONNECT", again]);
        }
    }
}

#[test]
fn a_session_that_the_server_has_lost_gives_its_messages_back() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().answers = false;
    client.publish(START, &message(AtLeastOnce, "a")).expect("publish");
    assert_eq!(client.poll(START), Ok(None));
    let second = Link::new(V5);
    client.replace_transport(START, second.clone());
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected"]);
    let dropped = client.poll_dropped().expect("a message");
    assert_eq!((dropped.packet_id.value(), dropped.reason), (1, DropReason::SessionLost));
    assert_eq!(client.poll_dropped(), None);
    assert_eq!(second.sent(), ["CONNECT"]);
}

/// Taken over, the transport's connection ends as if it were lost.
#[test]
fn a_transport_can_be_replaced_while_it_works() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.give(incoming(AtMostOnce, 0, "hello"));
    let second = Link::new(V5);
    client.replace_transport(START, second.clone());
    assert_eq!(client.poll(START), Err(Error::Closed));
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected"]);
    assert_eq!(link.sent(), NOTHING);
    assert_eq!(second.sent(), ["CONNECT"]);
}

#[test]
fn a_client_can_be_taken_apart_and_its_session_used_again() {
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(config(V5), &link, &mut buffer);
    link.wire().answers = false;
    client.publish(START, &message(AtLeastOnce, "a")).expect("publish");
    assert_eq!(client.poll(START), Ok(None));
    let (session, _) = client.into_parts(START);

    let link = Link::new(V5);
    link.wire().session_present = true;
    let mut larger = [0; 128];
    let mut client = Client::new(session, link.clone(), &mut larger);
    assert_eq!(client.session().config().receive_limit, 64, "a limit that was set stays");
    client.connect(START, &options(V5)).expect("connect");
    assert_eq!(events(&mut client, START), ["Connected present", "Published 1 q1"]);
}

#[test]
fn the_deadline_of_the_first_connection_is_not_that_of_the_second() {
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut client = client(config(V5), &link, &mut buffer);
    client.connect(START, &options(V5)).expect("connect");
    let late = START.after_millis(10_000);
    assert_eq!(client.poll(late), Err(Error::Peer(PeerError::ConnackTimeout)));
    client.replace_transport(late, Link::silent(V5));
    client.connect(late, &options(V5)).expect("connect");
    assert_eq!(client.poll(late.after_millis(9_999)), Ok(None));
}
