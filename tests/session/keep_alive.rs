//! Keep-alive, PINGREQ and PINGRESP.

use flowsdk::codec::Property;
use flowsdk::packet::Packet;
use flowsdk::session::{Acknowledgement, PeerError};

use crate::support::*;

const NOTHING: [&str; 0] = [];

fn with_keep_alive(seconds: u16, test: impl Fn(&mut Rig)) {
    Setup::new().run_idle(|rig| {
        rig.keep_alive = seconds;
        rig.up();
        test(rig);
    });
}

/// The PINGREQ leaves a little early, to arrive in time. [MQTT-3.1.2-20]
#[test]
fn a_quiet_link_is_pinged_within_the_keep_alive() {
    for (seconds, due) in [(1, 750), (2, 1500), (60, 59_000), (u16::MAX, 65_534_000)] {
        with_keep_alive(seconds, |rig| {
            rig.wait(due - 1);
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
            assert_eq!(rig.sent(), NOTHING);
            assert_eq!(rig.wait_for_timeout(), (1, Ok(())));
            assert_eq!(rig.sent(), ["PINGREQ"]);
            assert_eq!(rig.give(Packet::Pingresp), ["PingResponse"]);
            assert_eq!(rig.wait_for_timeout(), (due, Ok(())));
            assert_eq!(rig.sent(), ["PINGREQ"]);
        });
    }
}

/// [MQTT-3.1.2-20]
#[test]
fn a_link_on_which_messages_only_come_in_is_pinged() {
    with_keep_alive(4, |rig| {
        for _ in 0..2 {
            rig.wait(2000);
            rig.give(incoming(AtMostOnce, 0, "x"));
        }
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        assert_eq!(rig.sent(), ["PINGREQ"]);
    });
}

/// A peer that is gone shows only by its silence.
#[test]
fn a_link_on_which_messages_only_go_out_is_pinged() {
    with_keep_alive(4, |rig| {
        for _ in 0..3 {
            rig.wait(1000);
            rig.publish(AtMostOnce, "x");
            assert_eq!(rig.sent(), ["PUBLISH q0 t x"]);
        }
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        assert_eq!(rig.sent(), ["PINGREQ"]);
    });
}

/// [MQTT-3.1.2-20]
#[test]
fn a_keep_alive_of_zero_never_pings() {
    with_keep_alive(0, |rig| {
        assert_eq!(rig.session.poll_timeout(), None);
        rig.wait(1 << 30);
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        assert_eq!(rig.sent(), NOTHING);
    });
}

/// The keep-alive counts from CONNECT, however late CONNACK comes. [MQTT-3.1.2-20]
#[test]
fn a_late_connack_does_not_prolong_the_keep_alive() {
    Setup::new().run_idle(|rig| {
        rig.keep_alive = 4;
        rig.connect();
        rig.sent();
        rig.wait(2500);
        rig.accept(false);
        assert_eq!(rig.wait_for_timeout(), (500, Ok(())));
        assert_eq!(rig.sent(), ["PINGREQ"]);
    });
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-21]
#[test]
fn the_servers_keep_alive_replaces_the_clients() {
    for (asked, demanded, due) in [(60, 2, Some(1500)), (2, 60, Some(59_000)), (60, 0, None), (0, 8, Some(7000))] {
        Setup::new().v5().run_idle(|rig| {
            rig.keep_alive = asked;
            rig.connect();
            rig.sent();
            rig.accept_with(false, &[Property::ServerKeepAlive(demanded)]);
            let at = rig.session.poll_timeout().map(|at| at.millis_since(rig.now));
            assert_eq!(at, due);
            rig.cut();
            // The next connection begins with the client's own value again.
            rig.resume();
            assert_eq!(rig.session.poll_timeout().is_some(), asked != 0);
        });
    }
}

/// [MQTT-3.12.4-1]
#[test]
fn a_ping_without_an_answer_ends_the_connection() {
    with_keep_alive(60, |rig| {
        rig.wait_for_timeout().1.expect("a ping");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        assert_eq!(rig.wait_for_timeout(), (10_000, Err(PeerError::PingTimeout)));
        assert!(rig.session.is_closing());
        assert_eq!(rig.sent(), NOTHING);
    });
}

/// [MQTT-3.12.4-1]
#[test]
fn an_answer_nobody_asked_for_does_no_harm() {
    with_keep_alive(4, |rig| {
        assert_eq!(rig.give(Packet::Pingresp), ["PingResponse"]);
        assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
        assert_eq!(rig.sent(), ["PINGREQ"]);
    });
}

#[test]
fn a_ping_can_be_asked_for_and_is_not_sent_twice() {
    with_keep_alive(0, |rig| {
        assert_eq!(rig.session.ping(rig.now), Ok(()));
        assert_eq!(rig.session.ping(rig.now), Ok(()));
        assert_eq!(rig.sent(), ["PINGREQ"]);
        assert_eq!(rig.session.ping(rig.now), Ok(()));
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.wait_for_timeout(), (10_000, Err(PeerError::PingTimeout)));
    });
}

/// Nothing shows better that the peer lives than a message.
#[test]
fn input_puts_the_deadline_of_a_ping_off() {
    with_keep_alive(0, |rig| {
        rig.session.ping(rig.now).expect("connected");
        rig.sent();
        rig.wait(9_000);
        rig.give(incoming(AtMostOnce, 0, "x"));
        assert_eq!(rig.wait_for_timeout(), (10_000, Err(PeerError::PingTimeout)));
    });
}

/// The same bytes come again and again until there is room for their answer.
#[test]
fn input_that_has_to_wait_does_not_put_the_deadline_off() {
    Setup::new().v3().config(|config| config.acknowledgement = Acknowledgement::Manual).run(|rig| {
        for id in 1..=WINDOW {
            rig.give(incoming(AtLeastOnce, id, "x"));
        }
        rig.session.ping(rig.now).expect("connected");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        rig.wait(9_000);
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "x")), ["Stalled AcknowledgeFirst"]);
        assert_eq!(rig.wait_for_timeout(), (1000, Err(PeerError::PingTimeout)));
    });
}

/// [MQTT-3.1.2-20]
#[test]
fn pings_go_on_while_an_answer_is_owed() {
    with_keep_alive(4, |rig| {
        rig.wait_for_timeout().1.expect("a ping");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        for _ in 0..5 {
            assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
            rig.give(incoming(AtMostOnce, 0, "x"));
            assert_eq!(rig.sent(), ["PINGREQ"]);
        }
        rig.give(Packet::Pingresp);
        assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
    });
    // They do not put the deadline off.
    with_keep_alive(4, |rig| {
        rig.wait_for_timeout().1.expect("a ping");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        for _ in 0..3 {
            assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
            assert_eq!(rig.sent(), ["PINGREQ"]);
        }
        assert_eq!(rig.wait_for_timeout(), (1000, Err(PeerError::PingTimeout)));
    });
}

#[test]
fn paused_reading_suspends_the_deadline_and_not_the_pings() {
    with_keep_alive(4, |rig| {
        rig.session.set_reading_paused(rig.now, true);
        for _ in 0..20 {
            assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
            assert_eq!(rig.sent(), ["PINGREQ"]);
        }
        rig.wait(1000);
        rig.session.set_reading_paused(rig.now, false);
        assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        let mut waited = 0;
        loop {
            let (step, result) = rig.wait_for_timeout();
            waited += step;
            rig.sent();
            if result.is_err() {
                break;
            }
        }
        assert_eq!(waited, 10_000);
    });
}

/// Nobody reads, so silence means nothing, and what is sent keeps the connection alive.
#[test]
fn paused_reading_needs_no_ping_while_messages_go_out() {
    with_keep_alive(4, |rig| {
        rig.session.set_reading_paused(rig.now, true);
        for _ in 0..20 {
            rig.wait(1000);
            rig.publish(AtMostOnce, "x");
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
            assert_eq!(rig.sent(), ["PUBLISH q0 t x"]);
        }
    });
}

/// A slow link needs time for what stands before the PINGREQ.
#[test]
fn a_ping_behind_a_wire_that_drains_slowly_is_waited_for() {
    with_keep_alive(0, |rig| {
        rig.publish(AtMostOnce, "0123456789");
        assert!(rig.session.poll_transmit(rig.now).is_some());
        rig.session.ping(rig.now).expect("connected");
        let mut waited = 0;
        while rig.session.poll_transmit(rig.now).is_some() {
            rig.wait(9_000);
            waited += 9_000;
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()), "after {waited}");
            rig.transmit(1);
        }
        assert!(waited > 100_000);
        assert_eq!(rig.wait_for_timeout(), (10_000, Err(PeerError::PingTimeout)));
    });
}

#[test]
fn a_ping_behind_a_wire_that_nobody_drains_times_out() {
    with_keep_alive(4, |rig| {
        rig.publish(AtMostOnce, "stuck");
        assert_eq!(rig.transmit(2).len(), 2);
        assert_eq!(rig.wait_for_timeout(), (3000, Ok(())));
        let mut waited = 0;
        while waited < 10_000 {
            assert!(rig.session.poll_transmit(rig.now).is_some());
            let (step, result) = rig.wait_for_timeout();
            waited += step;
            assert_eq!(result.is_err(), waited >= 10_000);
        }
        assert_eq!(waited, 10_000);
    });
}

/// The deadline runs from when the PINGREQ has gone, not from when the wire is empty.
#[test]
fn a_wire_that_is_never_empty_does_not_hide_a_dead_peer() {
    with_keep_alive(4, |rig| {
        let mut waited = 0;
        let mut result = Ok(());
        while result.is_ok() && waited < 60_000 {
            rig.wait(500);
            waited += 500;
            rig.publish(AtMostOnce, "more and more");
            let _ = rig.session.poll_transmit(rig.now);
            rig.publish(AtMostOnce, "always something behind");
            rig.transmit(20);
            result = rig.session.handle_timeout(rig.now);
        }
        assert_eq!(result, Err(PeerError::PingTimeout));
        assert!(waited <= 20_000, "{waited}");
    });
}

/// A driver hands the beginning of a packet over with each of its turns. Only more of it is a sign of life.
#[test]
fn half_a_packet_does_not_hide_a_dead_peer() {
    with_keep_alive(4, |rig| {
        rig.session.ping(rig.now).expect("connected");
        assert_eq!(rig.sent(), ["PINGREQ"]);
        for (half, wait) in [(&b"\x30"[..], 6000), (b"\x30", 3000), (b"\x30\x09", 6000), (b"\x30\x09", 3000)] {
            rig.wait(wait);
            assert_eq!(rig.session.handle_input(rig.now, half).unwrap().consumed, 0);
            assert_eq!(rig.session.handle_timeout(rig.now), Ok(()));
        }
        rig.wait(7000);
        assert_eq!(rig.session.handle_input(rig.now, b"\x30\x09").unwrap().consumed, 0);
        assert_eq!(rig.session.handle_timeout(rig.now), Err(PeerError::PingTimeout));
    });
}
