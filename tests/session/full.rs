//! A `Fixed` that is full: the error names what is, and nothing has changed. Shown by two sessions that live through
//! the same, one of them with refused calls in between, and send and report the same ever after.

use flowsdk::session::{Config, Fixed, Full, Misuse, PeerError, Session};
use flowsdk::types::ProtocolVersion;

use crate::support::*;

type Call = fn(&mut Rig) -> Result<(), Misuse>;

fn connected(version: ProtocolVersion) -> Rig {
    let config = Config { version, ..Config::DEFAULT };
    let mut rig = Rig::new(config, Box::new(Session::new(config, Fixed::<200, 3>::new())));
    rig.up();
    rig
}

/// All that can be seen of a session from here on: what it sends, on this connection and the next, and what it takes
/// then.
fn rest_of_life(rig: &mut Rig) -> Vec<String> {
    let mut seen = vec![format!("{} {:?}", rig.session.send_quota(), rig.session.poll_timeout())];
    seen.extend(rig.sent());
    rig.cut();
    rig.resume();
    seen.extend(rig.sent());
    for id in 1..=8 {
        for packet in [puback(id), pubrec(id), pubcomp(id)] {
            // Whatever is out of place ends the connection, in both alike.
            let taken = rig.take(&encode(&packet, rig.config.version));
            seen.push(format!("{taken:?}"));
            seen.extend(rig.sent());
        }
    }
    rig.cut();
    rig.resume();
    seen.extend(rig.sent());
    seen.push(format!("{:?}", rig.try_publish(AtLeastOnce, "next")));
    seen.push(format!("{:?}", rig.try_subscribe(&["next"], &[])));
    seen.extend(rig.sent());
    seen
}

/// Fills two sessions, lets calls be refused in one of them, and compares what becomes of both.
#[track_caller]
fn refuses(fill: impl Fn(&mut Rig), full: Full, name: &str, calls: &[Call]) {
    assert!(full.to_string().contains(name), "{full}");
    for version in [V5, V3_1_1] {
        let (mut touched, mut other) = (connected(version), connected(version));
        fill(&mut touched);
        fill(&mut other);
        for call in calls {
            assert_eq!(call(&mut touched), Err(Misuse::Full(full)));
        }
        assert_eq!(rest_of_life(&mut touched), rest_of_life(&mut other), "in {version:?}");
    }
}

const PUBLISH_0: Call = |rig| rig.try_publish(AtMostOnce, "0123456789").map(drop);
const PUBLISH_1: Call = |rig| rig.try_publish(AtLeastOnce, "0123456789").map(drop);
const PUBLISH_2: Call = |rig| rig.try_publish(ExactlyOnce, "0123456789").map(drop);
const SUBSCRIBE: Call = |rig| rig.try_subscribe(&["0123456789"], &[]).map(drop);
const UNSUBSCRIBE: Call = |rig| rig.try_unsubscribe(&["0123456789"]).map(drop);

#[test]
fn a_full_transmit_buffer_is_named_and_refuses_every_command_without_a_trace() {
    let fill = |rig: &mut Rig| {
        rig.publish(ExactlyOnce, "kept");
        // To the last byte, so that nothing has room.
        for len in (0..100).rev() {
            while rig.try_publish(AtMostOnce, &"x".repeat(len)).is_ok() {}
        }
    };
    refuses(fill, Full::Bytes, "transmit storage", &[PUBLISH_0, PUBLISH_1, PUBLISH_2, SUBSCRIBE, UNSUBSCRIBE]);
}

#[test]
fn a_full_window_is_named_and_refuses_messages_without_a_trace() {
    let fill = |rig: &mut Rig| {
        rig.publish(ExactlyOnce, "a");
        rig.publish(AtLeastOnce, "b");
        rig.sent();
        rig.publish(ExactlyOnce, "c");
        rig.give(pubrec(1));
    };
    refuses(fill, Full::Window, "window", &[PUBLISH_1, PUBLISH_2, PUBLISH_1]);
}

#[test]
fn unanswered_requests_fill_the_transmit_buffer_and_leave_no_trace_when_refused() {
    let fill = |rig: &mut Rig| {
        rig.publish(AtLeastOnce, "kept");
        for _ in 0..30 {
            rig.try_subscribe(&["f"], &[]).ok();
            rig.sent();
        }
    };
    refuses(fill, Full::Bytes, "transmit storage", &[SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]);
}

/// The connection ends, as the message can be neither kept nor forgotten; the messages before it are as they were.
#[test]
fn a_full_table_of_received_messages_is_named_and_keeps_what_it_has() {
    for version in [V5, V3_1_1] {
        let mut rig = connected(version);
        for id in 1..=3 {
            assert_eq!(rig.give(incoming(ExactlyOnce, id, "x")), ["Message q2 s x"]);
            rig.sent();
        }
        let error = rig.give_bad(incoming(ExactlyOnce, 4, "y"));
        if version.is_v5() {
            assert_eq!(error, PeerError::ReceiveMaximumExceeded);
            assert!(error.to_string().contains("receive maximum"), "{error}");
        } else {
            assert_eq!(error, PeerError::InboundTableFull);
            assert!(error.to_string().contains("unfinished QoS 2 messages"), "{error}");
        }
        rig.sent();
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(ExactlyOnce, 1, "x")), [""; 0], "handed over a second time");
        assert_eq!(rig.sent(), ["PUBREC 1"]);
        for id in [1, 2, 3] {
            rig.give(pubrel(id));
            assert_eq!(rig.sent(), [format!("PUBCOMP {id}")]);
        }
        rig.give(pubrel(4));
        assert_eq!(rig.sent(), [if version.is_v5() { "PUBCOMP 4 0x92" } else { "PUBCOMP 4" }]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 4, "y")), ["Message q2 s y"], "it was not taken before");
    }
}
