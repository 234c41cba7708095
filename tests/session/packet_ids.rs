//! Packet identifiers of our own.

use flowsdk::session::Misuse;

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// [MQTT-2.2.1-3] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn identifiers_wrap_around_those_that_are_held_open() {
    everywhere(|rig| {
        rig.publish(AtLeastOnce, "held");
        rig.publish(ExactlyOnce, "held");
        rig.subscribe(&["held"]);
        rig.publish(ExactlyOnce, "released");
        rig.sent();
        rig.give(pubrec(4));
        rig.sent();
        for expected in (5..=u16::MAX).chain(5..=20) {
            let id = match expected % 3 {
                0 => rig.publish(AtLeastOnce, "x"),
                1 => rig.subscribe(&["x"]),
                _ => rig.unsubscribe(&["x"]),
            };
            assert_eq!(id, expected);
            rig.wire();
            let events = match expected % 3 {
                0 => rig.give(puback(id)),
                1 => rig.give(suback(id, &[0])),
                _ => rig.give(unsuback(rig.config.version, id, &[0])),
            };
            assert_eq!(events.len(), 1);
        }
    });
}

/// [MQTT-2.2.1-3] [MQTT-2.3.1-3/3.1.1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn all_identifiers_can_be_in_use_and_no_more() {
    Setup::new().heap().limits(|limits| limits.window = u16::MAX).run(|rig| {
        let mut seen = vec![false; 1 << 16];
        for number in 0..u16::MAX {
            let id = if number % 2 == 0 { rig.publish(AtLeastOnce, "") } else { rig.publish(ExactlyOnce, "") };
            assert!(id != 0 && !std::mem::replace(&mut seen[usize::from(id)], true), "{id}");
        }
        assert_eq!(rig.try_publish(AtLeastOnce, ""), Err(Misuse::PacketIdsExhausted));
        assert_eq!(rig.try_subscribe(&["f"], &[]), Err(Misuse::PacketIdsExhausted));
        assert_eq!(rig.try_unsubscribe(&["f"]), Err(Misuse::PacketIdsExhausted));
        rig.wire();
        rig.give(puback(30_001));
        assert_eq!(rig.publish(AtLeastOnce, ""), 30_001);
        rig.give(pubrec(30_002));
        assert_eq!(rig.try_subscribe(&["f"], &[]), Err(Misuse::PacketIdsExhausted), "its PUBREL has the identifier");
        rig.give(pubcomp(30_002));
        assert_eq!(rig.subscribe(&["f"]), 30_002);
        rig.wire();
        rig.cut();
        rig.resume();
        assert_eq!(rig.publish(AtLeastOnce, ""), 30_002, "the request has ended with its connection");
        assert_eq!(rig.try_publish(ExactlyOnce, ""), Err(Misuse::PacketIdsExhausted));
    });
}

/// [MQTT-2.3.1-3/3.1.1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn an_identifier_is_busy_until_its_exchange_has_ended() {
    Setup::new().heap().limits(|limits| limits.window = u16::MAX).run(|rig| {
        rig.publish(ExactlyOnce, "x");
        // With all others in use, it is the only one that could be handed out.
        for _ in 1..u16::MAX {
            rig.publish(AtLeastOnce, "");
        }
        let is_busy = |rig: &mut Rig| rig.try_subscribe(&["f"], &[]) == Err(Misuse::PacketIdsExhausted);
        assert!(is_busy(rig));
        rig.wire();
        assert!(is_busy(rig));
        rig.give(pubrec(1));
        assert!(is_busy(rig));
        rig.wire();
        assert!(is_busy(rig));
        rig.cut_and_resume();
        assert!(is_busy(rig));
        rig.wire();
        rig.give(pubcomp(1));
        assert_eq!(rig.subscribe(&["f"]), 1);
        assert!(is_busy(rig), "the SUBSCRIBE has it");
        rig.give(suback(1, &[0]));
        assert_eq!(rig.unsubscribe(&["f"]), 1);
    });
}

/// [MQTT-2.2.1-6]
#[test]
fn answers_complete_their_own_request_in_any_order() {
    everywhere(|rig| {
        let version = rig.config.version;
        assert_eq!((rig.subscribe(&["a"]), rig.unsubscribe(&["b"]), rig.subscribe(&["c"])), (1, 2, 3));
        assert_eq!(rig.sent(), ["SUBSCRIBE 1 a", "UNSUBSCRIBE 2 b", "SUBSCRIBE 3 c"]);
        assert_eq!(rig.give(suback(2, &[0])), NOTHING, "that is the identifier of the UNSUBSCRIBE");
        assert_eq!(rig.give(unsuback(version, 1, &[0])), NOTHING);
        assert_eq!(rig.give(suback(4, &[0])), NOTHING);
        assert_eq!(rig.give(puback(1)), NOTHING);
        assert_eq!(rig.give(suback(3, &[2])), ["Subscribed 3 [02]"]);
        let codes = if rig.is_v5() { "[00]" } else { "[]" };
        assert_eq!(rig.give(unsuback(version, 2, &[0])), [format!("Unsubscribed 2 {codes}")]);
        assert_eq!(rig.give(suback(1, &[0x80])), ["Subscribed 1 [80]"]);
        assert_eq!(rig.give(suback(1, &[0x80])), NOTHING);
    });
}

/// [MQTT-2.2.1-5]
#[test]
fn the_servers_identifiers_come_back() {
    everywhere(|rig| {
        for id in [1, u16::MAX, 12_345, 256] {
            rig.give(incoming(AtLeastOnce, id, "x"));
            assert_eq!(rig.sent(), [format!("PUBACK {id}")]);
            rig.give(incoming(ExactlyOnce, id, "x"));
            assert_eq!(rig.sent(), [format!("PUBREC {id}")]);
            rig.give(pubrel(id));
            assert_eq!(rig.sent(), [format!("PUBCOMP {id}")]);
        }
    });
}
