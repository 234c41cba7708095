//! Calls without a connection, and the bounds of what waits.

use flowsdk::mqtt_client::{AsyncMqttClient, ClientError, DropCause, MqttEvent, Outcome, Token};

use crate::recorder::Log;
use crate::scripted_setup::{Scene, V5, both, publish, subscribe};
use crate::support::wire;
use crate::support::{PATIENCE, wait_until};

/// Publishes where the queue may be full for a moment, until the worker has taken from it.
#[track_caller]
fn publish_soon(client: &AsyncMqttClient, payload: &[u8], qos: u8) -> Token {
    let mut token = None;
    wait_until(PATIENCE, || match client.publish("t", payload, qos, false) {
        Ok(accepted) => {
            token = Some(accepted);
            true
        }
        Err(ClientError::QueueFull) => false,
        Err(error) => panic!("{error}"),
    });
    token.unwrap()
}

fn outcomes(log: &Log, tokens: &[Token]) -> Vec<Outcome> {
    tokens.iter().map(|token| log.published(*token).outcome).collect()
}

#[test]
fn the_offline_buffer_drops_the_oldest_messages_and_says_so() {
    both(|version| {
        for qos in 0..=2 {
            let mut scene = Scene::new(version);
            scene.config.max_buffer_size = 2;
            let (client, log) = scene.client();
            let tokens: Vec<_> = [b"1", b"2", b"3", b"4"].iter().map(|it| publish_soon(&client, *it, qos)).collect();
            assert_eq!(outcomes(&log, &tokens[..2]), [Outcome::Dropped(DropCause::BufferFull); 2]);
            client.connect().unwrap();
            let mut peer = scene.accept(false);
            assert!(peer.expect_type(3).ends_with(b"3"));
            assert!(peer.expect_type(3).ends_with(b"4"));
            log.connection(1);
        }
    });
}

#[test]
fn the_offline_buffer_is_bounded_in_bytes_too() {
    let mut scene = Scene::new(V5);
    scene.options.limits.buffer_bytes = 1000;
    let (client, log) = scene.client();
    let first = publish_soon(&client, &[b'1'; 600], 1);
    let second = publish_soon(&client, &[b'2'; 600], 1);
    assert_eq!(outcomes(&log, &[first]), [Outcome::Dropped(DropCause::BufferFull)]);
    // One message above the bound is kept if it is the only one.
    let third = publish_soon(&client, &[b'3'; 2000], 1);
    assert_eq!(outcomes(&log, &[second]), [Outcome::Dropped(DropCause::BufferFull)]);
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    assert!(peer.expect_type(3).ends_with(b"33"));
    peer.send(&wire::ack(wire::PUBACK, 1));
    assert_eq!(outcomes(&log, &[third]), [Outcome::Acknowledged]);
}

#[test]
fn without_a_buffer_messages_are_refused_while_no_connection_is_wanted() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene.config.buffer_messages = false;
        let (client, log) = scene.client();
        assert_eq!(client.publish("t", b"early", 1, false), Err(ClientError::NotConnected));
        client.connect().unwrap();
        let token = client.publish("t", b"in time", 1, false).unwrap();
        let mut peer = scene.accept(false);
        peer.expect(&publish(version, 0x02, "t", Some(1), b"in time"));
        peer.send(&wire::ack(wire::PUBACK, 1));
        assert_eq!(outcomes(&log, &[token]), [Outcome::Acknowledged]);
        client.disconnect().unwrap();
        assert_eq!(client.publish("t", b"late", 1, false), Err(ClientError::NotConnected));
        peer.expect(&wire::DISCONNECT);
    });
}

#[test]
fn without_a_buffer_messages_that_wait_when_the_client_gives_up_are_dropped() {
    let mut scene = Scene::new(V5);
    scene.config.buffer_messages = false;
    let (client, log) = scene.client();
    client.connect().unwrap();
    let token = client.publish("t", b"", 1, false).unwrap();
    scene.accept_with(&wire::connack_v5(&[], false, 0x87)).expect_eof();
    assert_eq!(outcomes(&log, &[token]), [Outcome::Dropped(DropCause::NotConnected)]);
}

#[test]
fn a_subscribe_or_ping_without_a_connection_is_sent_when_there_is_one() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, log) = scene.client();
        client.subscribe("s", 1).unwrap();
        client.ping().unwrap();
        client.connect().unwrap();
        let mut peer = scene.accept(false);
        let packets = [peer.read_packet(), peer.read_packet()];
        assert!(packets.contains(&subscribe(version, 1, &[("s", 1)])), "{packets:?}");
        assert!(packets.contains(&wire::PINGREQ.to_vec()), "{packets:?}");
        peer.close();
        log.wait_for_count(1, |event| matches!(event, MqttEvent::PingResponse(ping) if !ping.success));
    });
}

#[test]
fn messages_published_after_a_disconnect_wait_for_the_next_connect() {
    both(|version| {
        let scene = Scene::new(version);
        let mut live = scene.connected();
        live.client.disconnect().unwrap();
        live.client.publish("t", b"next time", 1, false).unwrap();
        live.client.subscribe("s", 0).unwrap();
        live.peer.expect(&wire::DISCONNECT);
        live.peer.expect_eof();
        live.peer.close();
        live.log.disconnected();
        assert!(scene.broker.accept_within(std::time::Duration::from_millis(100)).is_none());
        live.client.connect().unwrap();
        let mut peer = scene.accept(false);
        peer.expect_type(8);
        assert!(peer.expect_type(3).ends_with(b"next time"));
    });
}

/// The server takes one message at a time and never acknowledges it, so what follows stays in the queue.
#[test]
fn the_command_queue_is_full_at_its_size_and_takes_more_when_it_has_room() {
    let mut scene = Scene::new(V5);
    scene.config.command_queue_size = 3;
    scene.options.limits.in_flight = 1;
    let mut live = scene.connected();
    let mut accepted = vec![publish_soon(&live.client, b"0", 1)];
    let first = live.peer.expect_type(3);
    // The first one has left its place, or is about to.
    accepted.extend([b"1", b"2", b"3"].map(|payload| publish_soon(&live.client, payload, 1)));
    assert_eq!(live.client.publish("t", b"", 1, false), Err(ClientError::QueueFull));
    assert_eq!(live.client.subscribe("t", 0), Err(ClientError::QueueFull));
    assert_eq!(live.client.ping(), Err(ClientError::QueueFull));
    live.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&first)));
    accepted.push(publish_soon(&live.client, b"x", 1));
    for _ in 0..4 {
        let packet = live.peer.expect_type(3);
        live.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
    }
    assert_eq!(outcomes(&live.log, &accepted), [Outcome::Acknowledged; 5]);
}

#[test]
fn the_command_queue_is_bounded_in_bytes_but_takes_one_message_of_any_size() {
    let mut scene = Scene::new(V5);
    scene.options.limits.queue_bytes = 1000;
    scene.options.limits.in_flight = 1;
    let mut live = scene.connected();
    live.client.publish("t", b"first", 1, false).unwrap();
    let first = live.peer.expect_type(3);
    publish_soon(&live.client, &[0; 5000], 1);
    assert_eq!(live.client.publish("t", b"", 1, false), Err(ClientError::QueueFull));
    live.client.subscribe("t", 0).unwrap_err();
    live.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&first)));
    live.peer.expect_type(3);
    publish_soon(&live.client, b"again", 1);
}

#[test]
fn calls_are_refused_while_too_many_results_wait_for_their_callbacks() {
    struct Blocks(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<()>);
    impl flowsdk::mqtt_client::MqttEventHandler for Blocks {
        fn on_connected(&mut self, _: &flowsdk::mqtt_client::ConnectionResult) {
            self.0.send(()).unwrap();
            // It ends when the sender is dropped.
            let _ = self.1.recv();
        }
    }
    let mut scene = Scene::new(V5);
    scene.options.limits.unreported_results = 10;
    let (blocks, has_blocked) = std::sync::mpsc::channel();
    let (unblock, blocked) = std::sync::mpsc::channel();
    let handler = Box::new(Blocks(blocks, blocked));
    let client = AsyncMqttClient::new(scene.options.clone(), handler, scene.config.clone()).unwrap();
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    // Until its callback begins, the connection itself is a result that waits.
    has_blocked.recv().unwrap();
    let mut accepted = 0;
    while accepted < 1000 && client.publish("t", b"", 0, false).is_ok() {
        peer.expect_type(3);
        accepted += 1;
    }
    // The news of the connection is the tenth, if its callback has not begun yet.
    assert!((9..1000).contains(&accepted), "{accepted}");
    drop(unblock);
    publish_soon(&client, b"", 0);
}

#[test]
fn reading_stops_while_too_much_is_undelivered_and_goes_on_then() {
    let mut scene = Scene::new(V5);
    scene.options.limits.undelivered_bytes = 100_000;
    let (client, mut receiver) = AsyncMqttClient::with_receiver(scene.options.clone(), scene.config.clone()).unwrap();
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    let count: usize = 3000;
    let mut writer = peer.writer();
    let sender = std::thread::spawn(move || {
        let message = publish(V5, 0, "t", None, &[b'x'; 10_000]);
        (0..count).for_each(|_| std::io::Write::write_all(&mut writer, &message).unwrap());
    });
    // Nobody takes a message: 30 MB do not fit into the buffers of the sockets, so the sender cannot come to its end.
    client.publish("t", b"alive", 0, false).unwrap();
    peer.expect_type(3);
    assert!(!sender.is_finished());
    let mut messages = 0;
    while messages < count {
        match receiver.recv_timeout(PATIENCE) {
            Some(MqttEvent::MessageReceived(_)) => messages += 1,
            Some(_) => {}
            None => panic!("{messages} messages have come, and then none"),
        }
    }
    sender.join().unwrap();
}
