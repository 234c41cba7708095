//! SUBSCRIBE and UNSUBSCRIBE.

use flowsdk::session::{Misuse, PeerError};

use crate::support::*;

const NOTHING: [&str; 0] = [];

/// [MQTT-3.8.4-6] [MQTT-3.9.3-1]
#[test]
fn a_suback_has_a_code_for_each_filter_in_order() {
    everywhere(|rig| {
        assert_eq!(rig.subscribe(&["a", "b", "c"]), 1);
        assert_eq!(rig.sent(), ["SUBSCRIBE 1 a,b,c"]);
        assert_eq!(rig.give(suback(1, &[1, 0x80, 0])), ["Subscribed 1 [01, 80, 00]"]);
    });
    for codes in [&[0, 0][..], &[0, 0, 0, 0]] {
        everywhere(|rig| {
            rig.subscribe(&["a", "b", "c"]);
            rig.sent();
            assert_eq!(rig.give_bad(suback(1, codes)), PeerError::ReasonCodeCount);
            rig.ends_with(0x82);
        });
    }
}

/// A server that answers so early is out of step: what is on the wire is not torn for it.
#[test]
fn a_request_answered_before_its_last_byte_still_leaves_whole() {
    for sent in [0, 1, 5] {
        everywhere(|rig| {
            rig.publish(AtLeastOnce, "a");
            rig.sent();
            rig.subscribe(&["b"]);
            rig.unsubscribe(&["c"]);
            let mut bytes = rig.transmit(sent);
            // The message before it makes room meanwhile.
            assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
            assert_eq!(rig.give(suback(2, &[0])), ["Subscribed 2 [00]"]);
            bytes.extend(rig.wire());
            assert_eq!(packets(&bytes, rig.config.version), ["SUBSCRIBE 2 b", "UNSUBSCRIBE 3 c"]);
            let answer = unsuback(rig.config.version, 3, &[0]);
            assert_eq!(rig.give(answer).len(), 1);
            assert_eq!(rig.give(suback(2, &[0])), NOTHING);
        });
    }
}

/// [MQTT-3.11.3-1]
#[test]
fn an_unsuback_has_a_code_for_each_filter_in_order() {
    everywhere(|rig| {
        assert_eq!(rig.unsubscribe(&["a", "b", "c"]), 1);
        assert_eq!(rig.sent(), ["UNSUBSCRIBE 1 a,b,c"]);
        let expected = if rig.is_v5() { "Unsubscribed 1 [00, 11, 87]" } else { "Unsubscribed 1 []" };
        assert_eq!(rig.give(unsuback(rig.config.version, 1, &[0, 0x11, 0x87])), [expected]);
    });
    for codes in [&[0, 0][..], &[0, 0, 0, 0]] {
        Setup::new().v5().run(|rig| {
            rig.unsubscribe(&["a", "b", "c"]);
            rig.sent();
            assert_eq!(rig.give_bad(unsuback(V5, 1, codes)), PeerError::ReasonCodeCount);
            rig.ends_with(0x82);
        });
    }
}

#[test]
fn a_request_that_cannot_be_written_is_refused() {
    everywhere(|rig| {
        assert!(matches!(rig.try_subscribe(&[], &[]), Err(Misuse::Encode(_))));
        assert!(matches!(rig.try_unsubscribe(&[]), Err(Misuse::Encode(_))));
        for filter in ["", "a/#/b", "a+", "nul\0"] {
            assert!(matches!(rig.try_subscribe(&["fine", filter], &[]), Err(Misuse::Encode(_))), "{filter}");
            assert!(matches!(rig.try_unsubscribe(&["fine", filter]), Err(Misuse::Encode(_))), "{filter}");
        }
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.subscribe(&["fine"]), 1, "no identifier was used up");
    });
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_request_of_more_filters_than_can_be_counted_is_refused() {
    Setup::new().heap().run(|rig| {
        let filters = vec!["f"; 65_536];
        assert!(matches!(rig.try_subscribe(&filters, &[]), Err(Misuse::Encode(_))));
        assert_eq!(rig.subscribe(&filters[1..]), 1);
    });
}
