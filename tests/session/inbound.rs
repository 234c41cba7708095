//! Messages of the server, and their acknowledgement.

use flowsdk::session::{Acknowledgement, Misuse, PeerError};
use flowsdk::types::ReasonCode;

use crate::support::*;

const NOTHING: [&str; 0] = [];

fn by_hand() -> Setup {
    Setup::new().config(|config| config.acknowledgement = Acknowledgement::Manual)
}

/// [MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.5.0-2]
#[test]
fn every_message_is_answered_as_its_qos_asks() {
    everywhere(|rig| {
        assert_eq!(rig.give(incoming(AtMostOnce, 0, "zero")), ["Message q0 s zero"]);
        assert_eq!(rig.sent(), NOTHING);
        assert_eq!(rig.give(incoming(AtLeastOnce, 7, "one")), ["Message q1 s one"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 8, "two")), ["Message q2 s two"]);
        assert_eq!(rig.sent(), ["PUBREC 8"]);
        assert_eq!(rig.give(pubrel(8)), NOTHING);
        assert_eq!(rig.sent(), ["PUBCOMP 8"]);
    });
}

/// [MQTT-4.3.2-5]
#[test]
fn a_qos_1_identifier_is_a_new_message_after_its_puback() {
    everywhere(|rig| {
        rig.give(incoming(AtLeastOnce, 7, "x"));
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        assert_eq!(rig.give(incoming(AtLeastOnce, 7, "y")), ["Message q1 s y"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        assert_eq!(rig.give(repeated(AtLeastOnce, 7, "y")), ["Message q1 s dup y"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
    });
}

/// [MQTT-4.3.3-10] [MQTT-4.3.3-12]
#[test]
fn a_qos_2_message_is_delivered_once_until_it_is_released() {
    everywhere(|rig| {
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "x")), ["Message q2 s x"]);
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING, "before its PUBREC");
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.sent(), ["PUBREC 7"], "one for all that came before it");
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        rig.give(pubrel(7));
        assert_eq!(rig.sent(), ["PUBCOMP 7"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "y")), ["Message q2 s y"]);
    });
}

/// [MQTT-4.3.3-10] [MQTT-4.3.3-12]
#[test]
fn a_pubrel_behind_a_repeated_message_completes_it() {
    everywhere(|rig| {
        rig.give(incoming(ExactlyOnce, 7, "x"));
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        for reconnects in [false, true] {
            if reconnects {
                rig.cut_and_resume();
            }
            // The server has had the PUBREC, or has it by the time it sends PUBREL.
            assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
            rig.give(pubrel(7));
            assert_eq!(rig.sent(), ["PUBCOMP 7"]);
            assert_eq!(rig.give(incoming(ExactlyOnce, 7, "y")), ["Message q2 s y"]);
            assert_eq!(rig.sent(), ["PUBREC 7"]);
        }
    });
}

/// [MQTT-4.6.0-3]
#[test]
fn a_repeated_message_is_answered_in_its_turn() {
    by_hand().v5().run(|rig| {
        rig.give(incoming(ExactlyOnce, 1, "x"));
        rig.give(incoming(ExactlyOnce, 2, "y"));
        rig.acknowledge_with(0, code(0x83));
        rig.acknowledge(1);
        assert_eq!(rig.sent(), ["PUBREC 1 0x83", "PUBREC 2"]);
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(ExactlyOnce, 1, "x")), ["Message q2 s dup x"]);
        assert_eq!(rig.give(repeated(ExactlyOnce, 2, "y")), NOTHING);
        assert_eq!(rig.sent(), NOTHING, "the first one has no answer yet");
        rig.acknowledge(2);
        assert_eq!(rig.sent(), ["PUBREC 1", "PUBREC 2"]);
    });
}

/// [MQTT-4.3.3-10]
#[test]
fn a_qos_2_message_without_its_acknowledgement_is_delivered_once() {
    by_hand().run(|rig| {
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "x")), ["Message q2 s x"]);
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.sent(), NOTHING);
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, "x")), NOTHING);
        assert_eq!(rig.sent(), NOTHING);
        rig.acknowledge(0);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        rig.give(pubrel(7));
        assert_eq!(rig.sent(), ["PUBCOMP 7"]);
    });
}

/// [MQTT-4.3.3-11] [MQTT-3.7.2-1]
#[test]
fn an_unknown_pubrel_is_answered() {
    everywhere(|rig| {
        rig.give(pubrel(9));
        assert_eq!(rig.sent(), [if rig.is_v5() { "PUBCOMP 9 0x92" } else { "PUBCOMP 9" }]);
        rig.give(incoming(ExactlyOnce, 9, "x"));
        rig.sent();
        rig.give(pubrel(9));
        assert_eq!(rig.sent(), ["PUBCOMP 9"]);
        rig.give(pubrel(9));
        assert_eq!(rig.sent(), [if rig.is_v5() { "PUBCOMP 9 0x92" } else { "PUBCOMP 9" }]);
    });
}

/// [MQTT-4.3.3-11]
#[test]
fn a_pubrel_after_a_resume_completes_its_message() {
    everywhere(|rig| {
        rig.give(incoming(ExactlyOnce, 9, "x"));
        rig.sent();
        rig.cut_and_resume();
        rig.give(pubrel(9));
        assert_eq!(rig.sent(), ["PUBCOMP 9"]);
    });
}

/// [MQTT-4.3.3-9]
#[test]
fn a_message_refused_by_its_pubrec_leaves_its_identifier_free() {
    by_hand().v5().run(|rig| {
        rig.give(incoming(ExactlyOnce, 7, "x"));
        rig.acknowledge_with(0, code(0x87));
        assert_eq!(rig.sent(), ["PUBREC 7 0x87"]);
        assert_eq!(rig.give(incoming(ExactlyOnce, 7, "x")), ["Message q2 s x"]);
    });
}

/// [MQTT-4.3.3-13]
#[test]
fn an_expired_message_is_still_acknowledged() {
    use flowsdk::codec::Property;
    use flowsdk::packet::Packet;
    by_hand().v5().run(|rig| {
        let properties = [Property::MessageExpiryInterval(1)];
        let Packet::Publish(publish) = incoming(ExactlyOnce, 7, "x") else { unreachable!() };
        let publish = flowsdk::packet::Publish { properties: (&properties).into(), ..publish };
        rig.give(Packet::Publish(publish));
        rig.wait(5000);
        rig.acknowledge(0);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        rig.wait(5000);
        rig.give(pubrel(7));
        assert_eq!(rig.sent(), ["PUBCOMP 7"]);
    });
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn acknowledgements_leave_in_the_order_of_receipt() {
    by_hand().run(|rig| {
        for id in 1..=6 {
            rig.give(incoming(if id % 2 == 0 { ExactlyOnce } else { AtLeastOnce }, id * 10, "x"));
        }
        for nth in (1..6).rev() {
            rig.acknowledge(nth);
        }
        assert_eq!(rig.sent(), ["PUBREC 20", "PUBREC 40", "PUBREC 60"], "the first PUBACK holds the others back");
        rig.acknowledge(0);
        assert_eq!(rig.sent(), ["PUBACK 10", "PUBACK 30", "PUBACK 50"]);
    });
}

#[test]
fn a_receipt_is_good_once() {
    by_hand().run(|rig| {
        let stale = Err(Misuse::StaleReceipt);
        for (qos, id) in [(AtLeastOnce, 7), (ExactlyOnce, 8)] {
            rig.give(incoming(qos, id, "x"));
            let receipt = rig.receipts.pop().expect("a receipt");
            assert_eq!(receipt.packet_id().value(), id);
            let again = |rig: &mut Rig| rig.session.acknowledge(rig.now, receipt, ReasonCode::SUCCESS);
            assert_eq!(again(rig), Ok(()));
            assert_eq!(again(rig), stale);
            rig.sent();
            assert_eq!(again(rig), stale);
            if qos == ExactlyOnce {
                rig.give(pubrel(id));
            }
            // Another message under the same identifier has a receipt of its own.
            rig.give(incoming(qos, id, "y"));
            assert_eq!(again(rig), stale);
            assert_eq!(rig.sent().len(), usize::from(qos == ExactlyOnce));
        }
    });
}

#[test]
fn what_is_acknowledged_by_the_session_has_no_use_for_its_receipt() {
    everywhere(|rig| {
        rig.give(incoming(AtLeastOnce, 7, "x"));
        let stale = rig.session.acknowledge(rig.now, rig.receipts[0], ReasonCode::SUCCESS);
        assert_eq!(stale, Err(Misuse::StaleReceipt));
    });
}

#[test]
fn a_receipt_of_qos_1_dies_with_its_connection_and_one_of_qos_2_goes_on() {
    by_hand().run(|rig| {
        rig.give(incoming(AtLeastOnce, 7, "x"));
        rig.give(incoming(ExactlyOnce, 8, "y"));
        rig.give(incoming(ExactlyOnce, 9, "z"));
        rig.cut();
        let stale = rig.session.acknowledge(rig.now, rig.receipts[0], ReasonCode::SUCCESS);
        assert_eq!(stale, Err(Misuse::StaleReceipt));
        rig.acknowledge(2);
        rig.resume();
        assert_eq!(rig.give(repeated(AtLeastOnce, 7, "x")), ["Message q1 s dup x"], "it is handed over again");
        assert_eq!(rig.give(repeated(ExactlyOnce, 8, "y")), NOTHING);
        assert_eq!(rig.give(repeated(ExactlyOnce, 9, "z")), NOTHING);
        rig.acknowledge(1);
        assert_eq!(rig.sent(), ["PUBREC 8", "PUBREC 9"]);
        let stale = rig.session.acknowledge(rig.now, rig.receipts[0], ReasonCode::SUCCESS);
        assert_eq!(stale, Err(Misuse::StaleReceipt));
        rig.acknowledge(3);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
    });
}

#[test]
fn receipts_die_with_a_lost_session() {
    by_hand().run(|rig| {
        rig.give(incoming(ExactlyOnce, 8, "y"));
        rig.cut();
        rig.connect();
        rig.sent();
        rig.accept(false);
        let stale = rig.session.acknowledge(rig.now, rig.receipts[0], ReasonCode::SUCCESS);
        assert_eq!(stale, Err(Misuse::StaleReceipt));
        assert_eq!(rig.give(incoming(ExactlyOnce, 8, "new")), ["Message q2 s new"]);
    });
}

/// The API takes a code and no property. [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2]
/// [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.4.2-1] [MQTT-3.5.2-1]
#[test]
fn acknowledgements_fit_the_smallest_packet_size() {
    use flowsdk::codec::Property;
    use std::num::NonZeroU32;
    by_hand().v5().run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &[Property::MaximumPacketSize(NonZeroU32::new(5).expect("not 0"))]);
        rig.give(incoming(AtLeastOnce, 1, "x"));
        rig.give(incoming(ExactlyOnce, 2, "x"));
        for refused in [0x10, 0x81, 0x92, 0xFF_u8] {
            if let Some(refused) = ReasonCode::from_byte(refused) {
                let result = rig.session.acknowledge(rig.now, rig.receipts[0], refused);
                assert_eq!(result, Err(Misuse::ReasonCode));
            }
        }
        rig.acknowledge_with(0, code(0x83));
        rig.acknowledge_with(1, code(0x99));
        rig.give(pubrel(3));
        rig.give(pubrec(4));
        let bytes = rig.wire();
        let lines = packets(&bytes, V5);
        assert_eq!(lines, ["PUBCOMP 3 0x92", "PUBREL 4 0x92", "PUBACK 1 0x83", "PUBREC 2 0x99"]);
        assert_eq!(bytes.len(), 4 * 5);
    });
}

#[test]
fn a_code_of_failure_is_a_plain_acknowledgement_in_v3_1_1() {
    by_hand().v3().run(|rig| {
        rig.give(incoming(ExactlyOnce, 7, "x"));
        rig.acknowledge_with(0, code(0x87));
        assert_eq!(rig.wire(), b"\x50\x02\x00\x07");
        rig.give(pubrel(7));
        assert_eq!(rig.wire(), b"\x70\x02\x00\x07");
    });
}

/// [MQTT-3.3.4-9]
#[test]
fn more_messages_than_announced_end_the_connection() {
    let setup = || by_hand().v5().config(|config| config.receive_maximum = 2);
    setup().run(|rig| {
        rig.give(incoming(AtLeastOnce, 1, "x"));
        rig.give(incoming(ExactlyOnce, 2, "x"));
        rig.give(incoming(AtMostOnce, 0, "QoS 0 does not count"));
        rig.acknowledge(0);
        rig.sent();
        rig.give(incoming(AtLeastOnce, 3, "x"));
        rig.acknowledge_with(1, code(0x80));
        rig.sent();
        rig.give(incoming(ExactlyOnce, 4, "x"));
        rig.acknowledge(3);
        rig.sent();
        rig.give(pubrel(4));
        rig.sent();
        rig.give(incoming(ExactlyOnce, 5, "x"));
        rig.acknowledge(4);
        assert_eq!(rig.sent(), ["PUBREC 5"]);
        // A PUBREC of success does not make room.
        assert_eq!(rig.give_bad(incoming(ExactlyOnce, 6, "x")), PeerError::ReceiveMaximumExceeded);
        rig.ends_with(0x93);
    });
    // What awaits its PUBREL from before does not count on a new connection, where the storage has places enough.
    setup().run(|rig| {
        for id in 1..=2 {
            rig.give(incoming(ExactlyOnce, id, "x"));
            rig.acknowledge(usize::from(id) - 1);
        }
        rig.sent();
        rig.cut_and_resume();
        rig.give(incoming(ExactlyOnce, 3, "x"));
        rig.give(incoming(ExactlyOnce, 4, "x"));
        assert_eq!(rig.give_bad(incoming(ExactlyOnce, 5, "x")), PeerError::ReceiveMaximumExceeded);
    });
}

/// A message that is repeated on a new connection takes its place again.
#[test]
fn a_repeated_message_counts_on_its_new_connection() {
    for acknowledged in [true, false] {
        by_hand().v5().config(|config| config.receive_maximum = 2).run(|rig| {
            for id in 1..=2 {
                rig.give(incoming(ExactlyOnce, id, "x"));
                if acknowledged {
                    rig.acknowledge(usize::from(id) - 1);
                }
            }
            rig.sent();
            rig.cut_and_resume();
            rig.give(repeated(ExactlyOnce, 1, "x"));
            rig.give(incoming(ExactlyOnce, 3, "x"));
            assert_eq!(rig.give(repeated(ExactlyOnce, 1, "x")), NOTHING, "one place is enough for it");
            assert_eq!(rig.give(repeated(ExactlyOnce, 3, "x")), NOTHING);
            assert_eq!(rig.give_bad(repeated(ExactlyOnce, 2, "x")), PeerError::ReceiveMaximumExceeded);
        });
    }
}

/// What still awaits its PUBREL takes places of the storage that cannot be promised again.
#[test]
fn the_announced_receive_maximum_never_exceeds_the_storage() {
    Setup::new().v5().run(|rig| {
        for id in 1..=3 {
            rig.give(incoming(ExactlyOnce, id, "x"));
        }
        rig.sent();
        rig.cut();
        rig.connect();
        let connect = rig.wire();
        assert!(connect.windows(3).any(|bytes| bytes == [0x21, 0, 5]), "{connect:02x?}");
        rig.accept(true);
        for id in 4..=8 {
            assert_eq!(rig.give(incoming(ExactlyOnce, id, "x")), ["Message q2 s x"]);
        }
        rig.give_bad(incoming(ExactlyOnce, 9, "x"));
    });
}

/// [MQTT-4.8.0-2/3.1.1]
#[test]
fn a_full_table_of_qos_2_messages_ends_a_connection_of_v3_1_1() {
    Setup::new().v3().run(|rig| {
        for id in 1..=WINDOW {
            assert_eq!(rig.give(incoming(ExactlyOnce, id, "x")), ["Message q2 s x"]);
        }
        rig.sent();
        assert_eq!(rig.give_bad(incoming(ExactlyOnce, 99, "x")), PeerError::InboundTableFull);
        assert!(PeerError::InboundTableFull.to_string().contains("QoS 2"));
        rig.ends_with(0x93);
    });
}

/// The messages of QoS 1 make room as they are acknowledged, so there is no need to give the connection up.
#[test]
fn a_server_that_knows_no_limit_waits_for_room() {
    Setup::new().v3().run(|rig| {
        for id in 1..=WINDOW {
            rig.give(incoming(AtLeastOnce, id, "x"));
        }
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "y")), ["Stalled TransmitFirst"]);
        rig.sent();
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "y")), ["Message q1 s y"]);
    });
    by_hand().v3().run(|rig| {
        for id in 1..=WINDOW {
            rig.give(incoming(AtLeastOnce, id, "x"));
        }
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "y")), ["Stalled AcknowledgeFirst"]);
        assert_eq!(rig.give(incoming(AtMostOnce, 0, "z")), ["Message q0 s z"]);
        rig.acknowledge(0);
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "y")), ["Stalled TransmitFirst"]);
        assert_eq!(rig.sent(), ["PUBACK 1"]);
        assert_eq!(rig.give(incoming(AtLeastOnce, 99, "y")), ["Message q1 s y"]);
    });
}

#[test]
fn answers_without_room_wait_until_something_is_transmitted() {
    Setup::new().fixed().run(|rig| {
        for id in 1..=WINDOW {
            assert_eq!(rig.give(pubrel(id)), NOTHING);
        }
        assert_eq!(rig.give(pubrel(99)), ["Stalled TransmitFirst"]);
        assert_eq!(rig.give(pubrec(99)), ["Stalled TransmitFirst"]);
        assert_eq!(rig.sent().len(), usize::from(WINDOW));
        assert_eq!(rig.give(pubrel(99)), NOTHING);
        assert_eq!(rig.sent().len(), 1);
    });
}

#[test]
fn an_identifier_of_another_unfinished_message_is_an_error() {
    for (first, second) in [(AtLeastOnce, ExactlyOnce), (ExactlyOnce, AtLeastOnce)] {
        by_hand().run(|rig| {
            rig.give(incoming(first, 7, "x"));
            assert_eq!(rig.give_bad(incoming(second, 7, "y")), PeerError::PacketIdInUse(7));
            rig.ends_with(0x82);
        });
    }
}
