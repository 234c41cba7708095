//! Storages that are full: what is refused changes nothing, and the session always gets out of it.

use flowsdk::session::{Config, Fixed, Full, Heap, HeapLimits, Misuse, Session};

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// Sessions with little room, once connected.
fn small(test: impl Fn(&mut Rig)) {
    for version in [V5, V3_1_1] {
        let config = Config { version, ..Config::DEFAULT };
        let limits = HeapLimits { window: 3, held_bytes: 60, wire_bytes: 60, receive_window: 3, topic_aliases: 0 };
        let sessions: [Box<dyn Endpoint>; 2] =
            [Box::new(Session::new(config, Fixed::<120, 3>::new())), Box::new(Session::new(config, Heap::new(limits)))];
        for session in sessions {
            let mut rig = Rig::new(config, session);
            rig.up();
            test(&mut rig);
        }
    }
}

/// Calls what is refused, and sees that the session is as it was.
#[track_caller]
fn refused(rig: &mut Rig, full: Full, call: impl Fn(&mut Rig) -> Result<(), Misuse>) {
    let before = rig.session.state();
    assert_eq!(call(rig), Err(Misuse::Full(full)));
    assert_eq!(rig.session.state(), before);
}

#[test]
fn a_full_window_refuses_messages_until_one_has_ended() {
    small(|rig| {
        for _ in 0..3 {
            rig.publish(ExactlyOnce, "x");
        }
        refused(rig, Full::Window, |rig| rig.try_publish(AtLeastOnce, "x").map(drop));
        rig.sent();
        rig.give(pubrec(2));
        refused(rig, Full::Window, |rig| rig.try_publish(AtLeastOnce, "x").map(drop));
        rig.sent();
        rig.give(pubcomp(2));
        assert_eq!(rig.publish(AtLeastOnce, "x"), 4);
        assert_eq!(rig.sent(), ["PUBLISH 4 q1 t x"]);
    });
}

#[test]
fn full_bytes_refuse_messages_until_one_has_ended() {
    small(|rig| {
        let payload = "x".repeat(25);
        rig.publish(AtLeastOnce, &payload);
        let mut count = 1;
        while rig.session.publish(rig.now, &message(AtLeastOnce, &payload)).is_ok() {
            count += 1;
        }
        assert!(count < 3);
        refused(rig, Full::Bytes, |rig| rig.try_publish(AtLeastOnce, &"x".repeat(25)).map(drop));
        assert_eq!(rig.sent().len(), count);
        rig.give(puback(1));
        rig.publish(AtLeastOnce, &payload);
    });
}

#[test]
fn a_full_wire_refuses_what_is_not_kept() {
    small(|rig| {
        let mut count = 0;
        let full = loop {
            match rig.try_publish(AtMostOnce, "0123456789") {
                Ok(_) => count += 1,
                Err(Misuse::Full(full)) => break full,
                Err(other) => panic!("{other}"),
            }
            assert!(count < 50);
        };
        assert!(count > 1);
        refused(rig, full, |rig| rig.try_publish(AtMostOnce, "0123456789").map(drop));
        refused(rig, full, |rig| rig.try_subscribe(&["0123456789"], &[]).map(drop));
        refused(rig, full, |rig| rig.try_unsubscribe(&["0123456789"]).map(drop));
        assert_eq!(rig.sent().len(), count);
        assert_eq!(rig.try_publish(AtMostOnce, "0123456789"), Ok(None));
    });
}

/// Once sent, a request takes 9 bytes until its answer, however long its filters are.
#[test]
fn a_request_makes_room_when_it_is_sent_and_again_when_it_is_answered() {
    let config = Config::DEFAULT;
    let mut rig = Rig::new(config, Box::new(Session::new(config, Fixed::<120, 3>::new())));
    rig.up();
    let filter = "f".repeat(80);
    for id in 1..=3 {
        assert_eq!(rig.subscribe(&[&filter]), id);
        refused(&mut rig, Full::Bytes, |rig| rig.try_subscribe(&[&filter], &[]).map(drop));
        rig.sent();
    }
    refused(&mut rig, Full::Bytes, |rig| rig.try_subscribe(&[&filter], &[]).map(drop));
    refused(&mut rig, Full::Bytes, |rig| rig.try_unsubscribe(&[&filter]).map(drop));
    assert_eq!(rig.give(suback(2, &[0])), ["Subscribed 2 [00]"]);
    assert_eq!(rig.subscribe(&[&filter]), 4);
    assert_eq!(rig.give(suback(1, &[0])), ["Subscribed 1 [00]"], "while another one is on its way");
    assert_eq!(rig.sent(), [format!("SUBSCRIBE 4 {filter}")]);
    for id in [4, 3] {
        assert_eq!(rig.give(suback(id, &[0])), [format!("Subscribed {id} [00]")]);
    }
    assert_eq!(rig.give(suback(4, &[0])), [""; 0]);
}

/// Requests and messages beside each other: each goes its own way, whichever ends first.
#[test]
fn requests_and_messages_end_in_any_order() {
    let config = Config::DEFAULT;
    let mut rig = Rig::new(config, Box::new(Session::new(config, Fixed::<300, 3>::new())));
    rig.up();
    let first = rig.publish(AtLeastOnce, "a");
    let request = rig.subscribe(&["f"]);
    let second = rig.publish(AtLeastOnce, "b");
    let other = rig.subscribe(&["g"]);
    rig.sent();
    assert_eq!(rig.give(puback(request)), [""; 0], "that is no message");
    assert_eq!(rig.give(suback(first, &[0])), [""; 0], "that is no request");
    assert_eq!(rig.give(unsuback(V5, request, &[0])), [""; 0], "that is no unsubscribe");
    assert_eq!(rig.give(puback(second)), [format!("Published {second} q1")]);
    assert_eq!(rig.give(suback(other, &[0])), [format!("Subscribed {other} [00]")]);
    assert_eq!(rig.give(suback(request, &[0])), [format!("Subscribed {request} [00]")]);
    rig.cut_and_resume();
    assert_eq!(rig.sent(), [format!("PUBLISH {first} q1 t a dup")]);
}

/// What has been connected once can connect again, whatever it keeps.
#[test]
fn connect_fits_however_full_the_store_is() {
    small(|rig| {
        let mut payload = 40;
        while payload > 0 {
            if rig.try_publish(AtLeastOnce, &"x".repeat(payload)).is_err() {
                payload -= 1;
            }
        }
        let _ = rig.try_publish(AtLeastOnce, "");
        for _ in 0..3 {
            while rig.try_publish(AtMostOnce, "").is_ok() {}
            while rig.try_subscribe(&["f"], &[]).is_ok() {}
            rig.transmit(3);
            rig.cut();
            while rig.try_publish(AtLeastOnce, "").is_ok() {}
            rig.resume();
        }
        assert!(rig.sent().len() >= 2);
    });
}

#[test]
fn messages_stored_before_the_first_connect_may_leave_no_room_for_it() {
    let config = Config::DEFAULT;
    let mut rig = Rig::new(config, Box::new(Session::new(config, Fixed::<60, 3>::new())));
    rig.publish(AtLeastOnce, "0123456789012345");
    let options = rig.options();
    refused(&mut rig, Full::Bytes, |rig| rig.session.connect(rig.now, &options));
    assert_eq!(rig.sent(), NOTHING);
}

#[test]
fn one_message_longer_than_the_bounds_is_taken_when_there_is_no_other() {
    let limits = |limits: &mut HeapLimits| (limits.held_bytes, limits.wire_bytes) = (10, 10);
    Setup::new().heap().limits(limits).run(|rig| {
        for qos in [AtLeastOnce, AtMostOnce] {
            rig.publish(qos, "longer than ten bytes");
            assert!(matches!(rig.try_publish(qos, "another"), Err(Misuse::Full(_))));
            assert_eq!(rig.sent().len(), 1);
        }
    });
}

/// Told by what its `Debug` form shows, and of bytes by the number that it shows for them.
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn nothing_piles_up_in_a_session_that_is_never_idle() {
    Setup::new().run(|rig| {
        rig.publish(AtLeastOnce, "never acknowledged");
        rig.sent();
        let long = "x".repeat(200);
        rig.publish(AtMostOnce, &long);
        let len = rig.session.poll_transmit(rig.now).map_or(0, <[u8]>::len);
        rig.transmit(100);
        for _ in 0..5_000 {
            let id = rig.publish(AtLeastOnce, "x");
            assert!(rig.session.poll_transmit(rig.now).is_some());
            rig.publish(AtMostOnce, &long);
            let step = len + if rig.is_v5() { 9 } else { 8 };
            assert_eq!(rig.transmit(step).len(), step, "and something is always left");
            assert_eq!(rig.give(puback(id)), [format!("Published {id} q1")]);
        }
        let state = rig.session.state();
        let bytes = state.split("Bytes(").skip(1).filter_map(|part| part.split(')').next()?.parse::<usize>().ok());
        let kept = state.len() + bytes.sum::<usize>();
        assert!(kept < 500_000, "{kept} bytes that have gone are kept");
        assert!(state.matches("None").count() < 200, "gaps of messages that have ended are kept");
    });
}

#[test]
fn messages_of_qos_0_are_counted_once_the_transport_has_them() {
    use flowsdk::session::ConnectOptions;
    let now = flowsdk::time::Instant::default();
    let mut session = Session::new(Config::DEFAULT, Heap::new(HeapLimits::default()));
    session.connect(now, &ConnectOptions::default()).expect("idle");
    let len = session.poll_transmit(now).map_or(0, <[u8]>::len);
    session.consume_transmit(now, len);
    let _ = session.handle_input(now, &encode(&connack(false, &[]), V5)).expect("accepted");
    for _ in 0..3 {
        session.publish(now, &message(AtMostOnce, "x")).expect("room");
    }
    let all = session.poll_transmit(now).map_or(0, <[u8]>::len);
    session.consume_transmit(now, all - 1);
    assert_eq!(session.storage_mut().take_sent_messages(), 2);
    assert_eq!(session.storage_mut().take_sent_messages(), 0);
    session.consume_transmit(now, 1);
    session.handle_closed(now);
    assert_eq!(session.storage_mut().take_sent_messages(), 1, "the end of the connection does not forget it");
}

/// A limit below the length of a packet lets one at a time pass.
#[test]
fn a_wire_of_no_bytes_takes_one_packet_at_a_time() {
    Setup::new().heap().limits(|limits| limits.wire_bytes = 0).run(|rig| {
        let id = rig.publish(AtLeastOnce, "a");
        rig.publish(ExactlyOnce, "b");
        assert_eq!(rig.sent(), [format!("PUBLISH {id} q1 t a"), format!("PUBLISH {} q2 t b", id + 1)]);
        rig.disconnect().expect("connected");
        assert_eq!(rig.sent(), ["DISCONNECT"]);
    });
}
