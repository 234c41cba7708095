//! Messages longer than the receive buffer, and frames so long that they are written where they lie.

use flowsdk::codec::DecodeError;
use flowsdk::packet::Packet;
use flowsdk::session::{Acknowledgement, Oversize, PeerError};

use crate::support::*;

const NOTHING: [&str; 0] = [];
const LIMIT: u32 = 20;

fn with_policy(oversize: Oversize, acknowledgement: Acknowledgement) -> Setup {
    Setup::new().config(move |config| {
        config.receive_limit = LIMIT;
        config.oversize = oversize;
        config.acknowledgement = acknowledgement;
    })
}

const PAYLOAD: &str = "a payload of thirty-four bytes, ok";

#[test]
fn a_long_message_is_streamed_and_acknowledged_behind_its_end() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        with_policy(Oversize::Stream, Acknowledgement::Automatic).run(|rig| {
            let bytes = encode(&incoming(qos, 7, PAYLOAD), rig.config.version);
            let (all, last) = bytes.split_at(bytes.len() - 1);
            let events = rig.take(all).expect("valid");
            let head = format!("Start q{} s {}", qos.bits(), PAYLOAD.len());
            assert_eq!(events[0], head);
            assert_eq!(events.len(), 2);
            assert_eq!(rig.sent(), NOTHING, "not before its end");
            assert_eq!(rig.take(last), Ok(vec!["Chunk k".to_owned(), "End".to_owned()]));
            let answer = match qos {
                AtMostOnce => vec![],
                AtLeastOnce => vec!["PUBACK 7"],
                ExactlyOnce => vec!["PUBREC 7"],
            };
            assert_eq!(rig.sent(), answer);
            // What follows is a packet again.
            assert_eq!(rig.give(incoming(AtMostOnce, 0, "short")), ["Message q0 s short"]);
        });
    }
}

#[test]
fn a_streamed_message_is_acknowledged_by_hand_with_the_receipt_of_its_end() {
    with_policy(Oversize::Stream, Acknowledgement::Manual).run(|rig| {
        rig.give(incoming(ExactlyOnce, 7, PAYLOAD));
        assert_eq!(rig.sent(), NOTHING);
        rig.acknowledge(0);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
        // Its repetition passes in silence.
        assert_eq!(rig.give(repeated(ExactlyOnce, 7, PAYLOAD)), NOTHING);
        assert_eq!(rig.sent(), ["PUBREC 7"]);
    });
}

#[test]
fn a_long_message_is_passed_over_and_acknowledged() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        for acknowledgement in [Acknowledgement::Automatic, Acknowledgement::Manual] {
            with_policy(Oversize::Skip, acknowledgement).run(|rig| {
                let events = rig.give(incoming(qos, 7, PAYLOAD));
                assert_eq!(events, [format!("Skipped q{} s {}", qos.bits(), PAYLOAD.len())]);
                assert_eq!(rig.sent().len(), usize::from(qos != AtMostOnce));
                assert_eq!(rig.give(incoming(AtMostOnce, 0, "short")), ["Message q0 s short"]);
            });
        }
    }
}

/// A long topic with nothing behind it.
#[test]
fn a_long_message_without_a_payload_has_an_end_too() {
    for oversize in [Oversize::Skip, Oversize::Stream] {
        with_policy(oversize, Acknowledgement::Automatic).run(|rig| {
            let Packet::Publish(publish) = incoming(AtLeastOnce, 7, "") else { unreachable!() };
            let topic = "a topic of more than twenty bytes";
            let events = rig.give(Packet::Publish(flowsdk::packet::Publish { topic, ..publish }));
            let head = format!("q1 {topic} 0");
            let expected = match oversize {
                Oversize::Skip => vec![format!("Skipped {head}")],
                _ => vec![format!("Start {head}"), "End".to_owned()],
            };
            assert_eq!(events, expected);
            assert_eq!(rig.sent(), ["PUBACK 7"]);
        });
    }
}

#[test]
fn a_streamed_message_comes_whole_byte_by_byte() {
    with_policy(Oversize::Stream, Acknowledgement::Automatic).run(|rig| {
        let bytes = encode(&incoming(AtLeastOnce, 7, PAYLOAD), rig.config.version);
        let (mut events, mut buffer) = (Vec::new(), Vec::new());
        for byte in bytes {
            buffer.push(byte);
            loop {
                let (consumed, event, goes_on) = rig.step(&buffer);
                buffer.drain(..consumed);
                events.extend(event);
                if !goes_on {
                    break;
                }
            }
        }
        assert_eq!(events.remove(0), format!("Start q1 s {}", PAYLOAD.len()));
        assert_eq!(events.pop().as_deref(), Some("End"));
        let payload: String = events.iter().map(|event| event.strip_prefix("Chunk ").expect("a chunk")).collect();
        assert_eq!(payload, PAYLOAD);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
    });
}

/// Half a message counts for nothing: the server sends it again, and it is delivered then.
#[test]
fn a_message_cut_in_its_stream_is_delivered_anew() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        with_policy(Oversize::Stream, Acknowledgement::Automatic).run(|rig| {
            let bytes = encode(&incoming(qos, 7, PAYLOAD), rig.config.version);
            rig.take(&bytes[..bytes.len() - 3]).expect("valid");
            rig.cut_and_resume();
            let events = rig.give(repeated(qos, 7, PAYLOAD));
            assert_eq!(events.first(), Some(&format!("Start q{} s dup {}", qos.bits(), PAYLOAD.len())));
            assert_eq!(events.last().map(String::as_str), Some("End"));
            assert_eq!(rig.sent().len(), 1);
        });
    }
}

#[test]
fn a_head_that_fills_the_buffer_is_refused() {
    with_policy(Oversize::Stream, Acknowledgement::Automatic).run(|rig| {
        let Packet::Publish(publish) = incoming(AtMostOnce, 0, "x") else { unreachable!() };
        let topic = "a topic of more than twenty bytes";
        let packet = Packet::Publish(flowsdk::packet::Publish { topic, ..publish });
        let bytes = encode(&packet, rig.config.version);
        assert_eq!(rig.take(&bytes[..19]), Ok(vec![]));
        assert!(matches!(rig.take(&bytes[..20]), Err(PeerError::PacketTooLarge(LIMIT..))));
        rig.ends_with(0x95);
    });
}

/// The head of a message of 60 bytes whose lengths say more than there is.
#[test]
fn a_long_message_with_a_malformed_head_is_malformed_and_not_too_large() {
    let property_past_its_block: &[u8] = &[0x30, 58, 0, 1, b's', 3, 0x02, 0, 0, 1, 2, 3];
    let mut topic_past_the_packet = vec![0x30, 58, 0, 57];
    topic_past_the_packet.resize(60, b't');
    for oversize in [Oversize::Skip, Oversize::Stream] {
        for (bytes, expected) in
            [(property_past_its_block, DecodeError::PropertyLength), (&topic_past_the_packet, DecodeError::Truncated)]
        {
            with_policy(oversize, Acknowledgement::Automatic).v5().run(|rig| {
                assert_eq!(rig.take(bytes), Err(PeerError::Decode(expected)));
                rig.ends_with(0x81);
            });
        }
    }
}

#[test]
fn a_packet_that_is_no_message_cannot_be_longer_than_the_limit() {
    for oversize in [Oversize::Skip, Oversize::Stream, Oversize::Refuse] {
        with_policy(oversize, Acknowledgement::Automatic).run(|rig| {
            rig.subscribe(&["f"]);
            rig.sent();
            let too_large = rig.give_bad(suback(1, &[0; 30]));
            assert!(matches!(too_large, PeerError::PacketTooLarge(_)));
            rig.ends_with(0x95);
        });
    }
}

fn long(byte: char) -> String {
    std::iter::repeat_n(byte, 20_000).collect()
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_long_frame_leaves_between_its_neighbours_in_any_steps() {
    for step in [1, 7, 4096, 16_384, 100_000] {
        Setup::new().heap().run(|rig| {
            rig.publish(AtLeastOnce, "before");
            rig.publish(AtLeastOnce, &long('a'));
            rig.publish(ExactlyOnce, &long('b'));
            rig.publish(AtLeastOnce, "after");
            let mut bytes = Vec::new();
            loop {
                let taken = rig.transmit(step);
                if taken.is_empty() {
                    break;
                }
                bytes.extend(taken);
            }
            let lines = packets(&bytes, rig.config.version);
            let expected =
                ["PUBLISH 1 q1 t before", "PUBLISH 2 q1 t [20000]", "PUBLISH 3 q2 t [20000]", "PUBLISH 4 q1 t after"];
            assert_eq!(lines, expected);
        });
    }
    Setup::new().heap().run(|rig| {
        rig.publish(AtMostOnce, &long('a'));
        rig.publish(AtMostOnce, "after");
        assert_eq!(rig.sent(), ["PUBLISH q0 t [20000]", "PUBLISH q0 t after"]);
    });
}

#[test]
fn a_long_frame_that_is_acknowledged_before_its_last_byte_still_leaves_whole() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        Setup::new().heap().run(|rig| {
            rig.publish(qos, &long('a'));
            rig.publish(AtLeastOnce, "after");
            let mut bytes = rig.transmit(100);
            let release = if qos == AtLeastOnce {
                assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
                vec![]
            } else {
                assert_eq!(rig.give(pubrec(1)), NOTHING);
                vec!["PUBREL 1"]
            };
            // Until it is gone nobody else gets its identifier.
            for _ in 0..3 {
                assert_ne!(rig.publish(AtLeastOnce, "x"), 1);
            }
            bytes.extend(rig.wire());
            let mut lines = packets(&bytes, rig.config.version);
            assert_eq!(lines.remove(0), format!("PUBLISH 1 q{} t [20000]", qos.bits()));
            assert_eq!(lines.iter().filter(|line| line.starts_with("PUBREL")).collect::<Vec<_>>(), release);
            assert_eq!(lines.len(), 4 + release.len());
            rig.cut_and_resume();
            assert_eq!(rig.sent().len(), 4 + release.len());
        });
    }
}

#[test]
fn a_long_frame_that_is_acknowledged_and_cut_is_not_sent_again() {
    Setup::new().heap().run(|rig| {
        rig.publish(AtLeastOnce, &long('a'));
        rig.transmit(100);
        rig.give(puback(1));
        rig.cut_and_resume();
        assert_eq!(rig.sent(), NOTHING);
    });
}

#[test]
fn a_long_frame_with_an_alias_keeps_its_payload_in_place() {
    use flowsdk::codec::Property;
    use flowsdk::session::ApplicationMessage;
    Setup::new().v5().heap().config(|config| config.outbound_topic_aliases = true).run_idle(|rig| {
        rig.connect();
        rig.sent();
        rig.accept_with(false, &[Property::TopicAliasMaximum(2)]);
        let payload = long('a');
        let message = ApplicationMessage { topic: "a long topic", ..message(AtLeastOnce, &payload) };
        for _ in 0..2 {
            rig.session.publish(rig.now, &message).expect("room");
        }
        let expected = ["PUBLISH 1 q1 a long topic [20000] alias=1", "PUBLISH 2 q1  [20000] alias=1"];
        assert_eq!(rig.sent(), expected);
    });
}
