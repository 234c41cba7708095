//! Packet identifiers run out and come round.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flowsdk::mqtt_client::{Limits, MqttClientOptions, MqttEvent};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, options, quick};
use crate::support::scripted_broker::{Peer, ScriptedBroker};
use crate::support::{PATIENCE, wait_until, wire};

const COUNT: usize = 140_000;
/// So many of the first messages stay open to the end.
const HELD: usize = 100;

/// Acknowledges all but the first messages, which have to wait for all the others.
fn acknowledge_late(mut peer: Peer) -> Peer {
    let (mut held, mut seen) = (Vec::new(), HashSet::new());
    for _ in 0..COUNT {
        let id = wire::packet_id(&peer.expect_type(3));
        assert!(!held.contains(&id), "{id} is still in use");
        seen.insert(id);
        if held.len() < HELD {
            held.push(id);
        } else {
            peer.send(&wire::ack(wire::PUBACK, id));
        }
    }
    assert_eq!(seen.len(), 65_535, "every identifier was used");
    for id in held {
        peer.send(&wire::ack(wire::PUBACK, id));
    }
    peer
}

#[test]
fn packet_ids_are_used_again_without_a_clash_while_some_stay_open() {
    let broker = ScriptedBroker::bind();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&acknowledged);
    let limits = Limits { in_flight: 300, ..Limits::default() };
    let options = MqttClientOptions { limits, ..options(broker.address(), "client", ProtocolVersion::V5) };
    let client = Client::acting(options, quick(), move |_, event| match event {
        MqttEvent::Published(result) => {
            assert!(result.is_success());
            counted.fetch_add(1, Ordering::SeqCst);
            false
        }
        _ => true,
    });
    client.connect().unwrap();
    let mut peer = broker.accept();
    peer.expect_connect();
    peer.send(&wire::connack_v5(&[], false, 0));
    let acknowledging = thread::spawn(move || acknowledge_late(peer));
    for _ in 0..COUNT {
        wait_until(PATIENCE, || client.publish("t", b"", 1, false).is_ok());
    }
    let peer = acknowledging.join().unwrap();
    wait_until(PATIENCE, || acknowledged.load(Ordering::SeqCst) == COUNT);
    drop(peer);
}
