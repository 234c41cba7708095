//! Input and output in pieces of any size come to the same.

use flowsdk::packet::Packet;
use flowsdk::session::Oversize;

use crate::support::*;

/// What a server says in a conversation that meets every kind of packet.
fn conversation(rig: &Rig) -> Vec<u8> {
    let long = "a payload that is longer than the receive limit of sixty-four bytes, so it is streamed";
    let packets = [
        connack(true, &[]),
        puback(1),
        incoming(AtMostOnce, 0, "zero"),
        incoming(AtLeastOnce, 1, "one"),
        incoming(ExactlyOnce, 2, "two"),
        pubrec(2),
        suback(3, &[0, 0x80]),
        unsuback(rig.config.version, 4, &[0]),
        pubcomp(2),
        incoming(AtLeastOnce, 3, long),
        pubrel(2),
        Packet::Pingresp,
        pubrel(9),
    ];
    packets.iter().flat_map(|packet| encode(packet, rig.config.version)).collect()
}

/// Everything that leads up to the conversation.
fn prepare(rig: &mut Rig) {
    rig.connect();
    rig.publish(AtLeastOnce, "a");
    rig.publish(ExactlyOnce, "b");
    rig.sent();
}

fn begin(rig: &mut Rig) {
    rig.publish(AtMostOnce, "c");
    rig.subscribe(&["d", "e"]);
    rig.unsubscribe(&["f"]);
}

/// Gives the input in pieces, and says what came of it; consecutive chunks are one.
fn converse(rig: &mut Rig, pieces: &[&[u8]]) -> (Vec<String>, Vec<String>) {
    let (mut events, mut sent) = (Vec::<String>::new(), Vec::new());
    let mut buffer = Vec::new();
    let mut begun = false;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            let (consumed, event, goes_on) = rig.step(&buffer);
            buffer.drain(..consumed);
            match (event, events.last_mut()) {
                (Some(event), Some(last)) if event.starts_with("Chunk ") && last.starts_with("Chunk ") => {
                    last.push_str(&event["Chunk ".len()..]);
                }
                (Some(event), _) => events.push(event),
                (None, _) => {}
            }
            if rig.session.is_connected() && !std::mem::replace(&mut begun, true) {
                sent.extend(rig.sent());
                begin(rig);
            }
            sent.extend(rig.sent());
            if !goes_on {
                assert_eq!(before - consumed, buffer.len());
                break;
            }
        }
    }
    assert!(buffer.is_empty());
    (events, sent)
}

fn streaming() -> Setup {
    Setup::new().config(|config| {
        config.receive_limit = 64;
        config.oversize = Oversize::Stream;
    })
}

/// [MQTT-4.2-1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn input_split_at_every_byte_gives_the_same_events_and_the_same_output() {
    streaming().run_idle(|whole| {
        let bytes = conversation(whole);
        prepare(whole);
        let expected = converse(whole, &[&bytes]);
        assert_eq!(expected.0.len(), 12, "{expected:?}");
        for at in 1..bytes.len() {
            let config = whole.config;
            Setup::new().config(|other| *other = config).only(config.version).run_idle(|rig| {
                prepare(rig);
                assert_eq!(converse(rig, &[&bytes[..at], &bytes[at..]]), expected, "split at {at}");
            });
        }
    });
    streaming().run_idle(|rig| {
        let bytes = conversation(rig);
        prepare(rig);
        let single: Vec<_> = bytes.chunks(1).collect();
        let (events, _) = converse(rig, &single);
        assert_eq!(events.len(), 12, "{events:?}");
    });
}

/// Commands that leave every kind of packet.
fn talk(rig: &mut Rig) {
    rig.publish(AtMostOnce, "zero");
    rig.publish(AtLeastOnce, "one");
    rig.publish(ExactlyOnce, "two");
    rig.subscribe(&["f"]);
    rig.unsubscribe(&["f"]);
    rig.give(incoming(AtLeastOnce, 1, "x"));
    rig.give(incoming(ExactlyOnce, 2, "x"));
    rig.give(pubrel(9));
    rig.session.ping(rig.now).expect("connected");
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn output_taken_in_pieces_is_the_same() {
    everywhere(|rig| {
        talk(rig);
        rig.disconnect().expect("connected");
        let expected = rig.wire();
        for step in 1..expected.len() {
            let name = rig.session.state();
            Setup::new().only(rig.config.version).run(|other| {
                // The other storage orders what it gathers in its own way.
                talk(other);
                other.disconnect().expect("connected");
                let mut bytes = Vec::new();
                loop {
                    let taken = other.transmit(step);
                    if taken.is_empty() {
                        break;
                    }
                    bytes.extend(taken);
                }
                if other.session.state().contains("Heap") == name.contains("Heap") {
                    assert_eq!(bytes, expected, "in steps of {step}");
                }
            });
        }
    });
}

/// Reading `poll_transmit` over and over changes nothing.
#[test]
fn polling_is_idempotent_and_the_vectored_way_gives_the_same() {
    everywhere(|rig| {
        talk(rig);
        while let Some(first) = rig.session.poll_transmit(rig.now).map(<[u8]>::to_vec) {
            assert_eq!(rig.session.poll_transmit(rig.now), Some(&first[..]));
            let many = rig.session.poll_transmit_many(rig.now);
            assert_eq!(many[..first.len()], first);
            rig.session.consume_transmit(rig.now, 3);
        }
        assert!(rig.session.poll_transmit_many(rig.now).is_empty());
    });
    Setup::new().heap().run(|rig| {
        let long = "x".repeat(20_000);
        for payload in ["short", &long, "short", &long] {
            rig.publish(AtLeastOnce, payload);
        }
        assert!(rig.session.poll_transmit(rig.now).is_some_and(|bytes| bytes.len() < 50));
        let many = rig.session.poll_transmit_many(rig.now);
        assert_eq!(many, rig.wire());
        assert_eq!(packets(&many, rig.config.version).len(), 4);
    });
}
