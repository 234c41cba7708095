//! Outcomes are told by some process, whenever one ends, and told again only where that is between a callback and the
//! disk.

use std::sync::mpsc::{Receiver, Sender, channel};

use flowsdk::mqtt_client::{
    AsyncMqttClient, CallbackMode, ClientError, DropCause, EventReceiver, InboundStorage::AckAfter, MqttEvent,
    MqttEventHandler, Outcome, PersistenceError, PublishOptions, PublishResult, Token, Tracked,
};
use flowsdk::types::ProtocolVersion;

use crate::persistence_setup::{Lives, durable, heard};
use crate::recorder::{Log, Recorder};
use crate::scripted_setup::{Live, V5, both, publish};
use crate::support::scripted_broker::Peer;
use crate::support::{PATIENCE, wire};

const QOS1: u8 = 0x02;
const QOS2: u8 = 0x04;

/// A handler whose callbacks about publishes return when they are let, or when nobody can let them any more.
struct Held(Log, Receiver<()>);

impl MqttEventHandler for Held {
    fn on_published(&mut self, result: &PublishResult) {
        self.0.add(MqttEvent::Published(result.clone()));
        let _ = self.1.recv();
    }

    fn on_durable(&mut self, tokens: &[Token]) {
        self.0.add(MqttEvent::Durable(tokens.to_vec()));
    }
}

fn held(lives: &Lives) -> (AsyncMqttClient, Log, Sender<()>) {
    let (log, (go, gate)) = (Log::default(), channel());
    let handler = Box::new(Held(log.clone(), gate));
    let client = AsyncMqttClient::new(lives.scene.options.clone(), handler, lives.scene.config.clone());
    (client.expect("options that work"), log, go)
}

fn receiving(lives: &Lives) -> (AsyncMqttClient, EventReceiver) {
    AsyncMqttClient::with_receiver(lives.scene.options.clone(), lives.scene.config.clone()).unwrap()
}

fn tracked(client: &AsyncMqttClient) -> Tracked<PublishResult> {
    client.publish_tracked("t", b"x", &PublishOptions { qos: 1, ..Default::default() }).unwrap()
}

/// The process ends while a message is in its callback with that outcome: the next one tells the same, and sends
/// nothing of it.
#[track_caller]
fn is_told_again(mut lives: Lives, first: &Log, token: Token) -> PublishResult {
    let version = lives.scene.version();
    let result = first.published(token);
    lives.crash();
    let (second, log) = lives.scene.client();
    assert!(second.restored().contains(&token));
    assert_eq!(log.published(token), result);
    second.publish("t", b"new", 1, false).unwrap();
    second.connect().unwrap();
    let mut peer = lives.scene.accept(true);
    if second.restored().len() == 1 {
        peer.expect(&publish(version, QOS1, "t", Some(1), b"new"));
    }
    result
}

#[test]
fn an_acknowledgement_in_its_callback_at_a_crash_is_told_again_without_the_server() {
    both(|version| {
        for qos in [1, 2] {
            let lives = Lives::new(version, AckAfter);
            let (client, log, _go) = held(&lives);
            client.connect().unwrap();
            let mut peer = lives.scene.accept(false);
            let token = client.publish("t", b"x", qos, false).unwrap();
            peer.expect(&publish(version, qos << 1, "t", Some(1), b"x"));
            if qos == 2 {
                peer.send(&wire::ack(wire::PUBREC, 1));
                peer.expect(&wire::ack(wire::PUBREL, 1));
            }
            peer.send(&wire::ack(if qos == 1 { wire::PUBACK } else { wire::PUBCOMP }, 1));
            let result = is_told_again(lives, &log, token);
            assert_eq!((result.outcome, result.packet_id), (Outcome::Acknowledged, Some(1)));
        }
    });
}

#[test]
fn a_refusal_in_its_callback_at_a_crash_is_told_again_with_its_reason() {
    let lives = Lives::new(V5, AckAfter);
    let (client, log, _go) = held(&lives);
    client.connect().unwrap();
    let mut peer = lives.scene.accept(false);
    let token = client.publish("t", b"x", 1, false).unwrap();
    peer.expect(&publish(V5, QOS1, "t", Some(1), b"x"));
    let reason = [&[0x1F][..], &wire::string("not today")].concat();
    peer.send(&wire::packet(wire::PUBACK, &[&[0, 1, 0x97, reason.len() as u8], &reason]));
    let result = is_told_again(lives, &log, token);
    assert_eq!((result.outcome, result.reason_code), (Outcome::Rejected, Some(0x97)));
    assert_eq!(result.properties.reason_string(), Some("not today"));
}

#[test]
fn a_drop_in_its_callback_at_a_crash_is_told_again_and_the_message_stays_dropped() {
    both(|version| {
        let mut lives = Lives::new(version, AckAfter);
        lives.scene.config.max_buffer_size = 1;
        let (client, log, _go) = held(&lives);
        let first = client.publish("t", b"first", 1, false).unwrap();
        let _second = client.publish("t", b"second", 2, false).unwrap();
        let result = is_told_again(lives, &log, first);
        assert_eq!(result.outcome, Outcome::Dropped(DropCause::BufferFull));
    });
}

/// What of these a process would find that began behind a commit that comes now.
fn left_of(lives: &mut Lives, live: &mut Live, tokens: &[Token]) -> Vec<Token> {
    let Live { peer, client, log } = live;
    heard(client, log, peer);
    let later = client.publish("later", b"", 2, false).unwrap();
    durable(log, &[later]);
    lives.crash();
    let (next, _log) = lives.scene.client();
    let left = next.restored().iter().copied().filter(|token| tokens.contains(token)).collect();
    drop(next);
    lives.go_on();
    // It is answered, so that identifiers and packets go on as before.
    let packet = peer.read_packet();
    peer.send(&wire::ack(wire::PUBREC, wire::packet_id(&packet)));
    peer.expect(&wire::ack(wire::PUBREL, wire::packet_id(&packet)));
    left
}

/// A message that the server has acknowledged, and that has had its callback.
fn acknowledged(live: &mut Live, version: ProtocolVersion) -> Tracked<PublishResult> {
    let tracked = tracked(&live.client);
    let packet = live.peer.read_packet();
    assert_eq!(packet, publish(version, QOS1, "t", Some(wire::packet_id(&packet)), b"x"));
    live.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
    assert_eq!(live.log.published(tracked.token()).outcome, Outcome::Acknowledged);
    tracked
}

#[test]
fn the_outcome_of_a_tracked_call_stays_in_the_file_until_it_was_taken_or_nobody_can() {
    both(|version| {
        let mut lives = Lives::new(version, AckAfter);
        let mut live = lives.scene.connected();
        let [taken, awaited, dropped] = [(); 3].map(|()| acknowledged(&mut live, version));
        let tokens = [taken.token(), awaited.token(), dropped.token()];
        assert_eq!(left_of(&mut lives, &mut live, &tokens), tokens);
        assert_eq!(taken.wait(PATIENCE).unwrap().outcome, Outcome::Acknowledged);
        drop(dropped);
        assert_eq!(left_of(&mut lives, &mut live, &tokens), [tokens[1]]);
        assert_eq!(awaited.try_result().unwrap().outcome, Outcome::Acknowledged);
        assert_eq!(left_of(&mut lives, &mut live, &tokens), []);
    });
}

#[test]
fn a_callback_that_panics_has_told_its_outcome() {
    struct Panicking(Log);
    impl MqttEventHandler for Panicking {
        fn on_published(&mut self, result: &PublishResult) {
            self.0.add(MqttEvent::Published(result.clone()));
            assert!(result.qos == 0, "a callback that fails");
        }
        fn on_durable(&mut self, tokens: &[Token]) {
            self.0.add(MqttEvent::Durable(tokens.to_vec()));
        }
    }
    let mut lives = Lives::new(V5, AckAfter);
    let log = Log::default();
    let handler = Box::new(Panicking(log.clone()));
    let client = AsyncMqttClient::new(lives.scene.options.clone(), handler, lives.scene.config.clone()).unwrap();
    client.connect().unwrap();
    let peer = lives.scene.accept(false);
    let mut live = Live { peer, client, log };
    let token = acknowledged(&mut live, V5).token();
    assert_eq!(left_of(&mut lives, &mut live, &[token]), []);
}

#[test]
fn an_orderly_end_leaves_no_outcome_that_was_told() {
    for callbacks in [CallbackMode::Thread, CallbackMode::Worker] {
        both(|version| {
            let mut lives = Lives::new(version, AckAfter);
            lives.scene.options.threads.callbacks = callbacks;
            // What a slow disk leaves unanswered at the deadline is not told but kept.
            lives.scene.options.timeouts.drain = PATIENCE;
            lives.scene.options.timeouts.shutdown = 2 * PATIENCE;
            let mut live = lives.scene.connected();
            let tokens: Vec<_> = (0..50).map(|_| live.client.publish("t", b"x", 2, false).unwrap()).collect();
            let shutdown = std::thread::spawn(move || {
                live.client.shutdown().unwrap();
                live.log
            });
            let mut ended = 0;
            while ended < tokens.len() {
                let packet = live.peer.read_packet();
                let packet_id = wire::packet_id(&packet);
                let is_release = packet[0] & 0xF0 == 0x60;
                live.peer.send(&wire::ack(if is_release { wire::PUBCOMP } else { wire::PUBREC }, packet_id));
                ended += usize::from(is_release);
            }
            // A connection that is lost now would be followed by another one.
            assert_eq!(live.peer.read_packet()[0], 0xE0);
            drop(live.peer);
            let log = shutdown.join().unwrap();
            for token in tokens {
                assert_eq!(log.published(token).outcome, Outcome::Acknowledged);
            }
            assert_eq!(lives.scene.client().0.restored(), []);
        });
    }
}

#[test]
fn a_result_of_a_tracked_call_that_nobody_has_taken_does_not_hold_up_the_end() {
    let lives = Lives::new(V5, AckAfter);
    let mut live = lives.scene.connected();
    let tracked = acknowledged(&mut live, V5);
    let Live { peer, client, .. } = live;
    drop(peer);
    client.shutdown().unwrap();
    assert_eq!(lives.scene.client().0.restored(), []);
    assert_eq!(tracked.try_result().unwrap().outcome, Outcome::Acknowledged);
}

/// A client whose first message of QoS 1 has been acknowledged, which it has not heard yet.
fn with_an_unheard_outcome(lives: &Lives) -> (AsyncMqttClient, EventReceiver, Token, Peer) {
    let (client, events) = receiving(lives);
    client.connect().unwrap();
    let mut peer = lives.scene.accept(false);
    let token = client.publish("t", b"x", 1, false).unwrap();
    peer.expect(&publish(V5, QOS1, "t", Some(1), b"x"));
    peer.send(&wire::ack(wire::PUBACK, 1));
    (client, events, token, peer)
}

fn until_published(events: &mut EventReceiver, token: Token) {
    while !matches!(events.recv_timeout(PATIENCE), Some(MqttEvent::Published(result)) if result.token == token) {}
}

#[test]
fn an_event_that_was_taken_has_told_its_outcome_when_the_next_one_is_asked_for() {
    let mut lives = Lives::new(V5, AckAfter);
    let (client, mut events, token, mut peer) = with_an_unheard_outcome(&lives);
    until_published(&mut events, token);
    let later = client.publish("t", b"later", 2, false).unwrap();
    peer.expect(&publish(V5, QOS2, "t", Some(2), b"later"));
    lives.crash();
    let (second, log) = lives.scene.client();
    assert_eq!(second.restored(), [token, later]);
    assert_eq!(log.published(token).outcome, Outcome::Acknowledged);
    drop(second);
    lives.go_on();
    assert!(matches!(events.recv_timeout(PATIENCE), Some(MqttEvent::Durable(_))));
    let last = client.publish("t", b"last", 2, false).unwrap();
    peer.expect(&publish(V5, QOS2, "t", Some(3), b"last"));
    lives.crash();
    assert_eq!(lives.scene.client().0.restored(), [later, last]);
}

#[test]
fn a_receiver_has_the_file_until_its_outcomes_were_taken_or_given_up_and_the_end_does_not_wait_for_that() {
    for is_taken in [false, true] {
        let lives = Lives::new(V5, AckAfter);
        let (client, mut events, token, mut peer) = with_an_unheard_outcome(&lives);
        let shutdown = std::thread::spawn(move || client.shutdown().map(|()| client));
        assert_eq!(peer.read_packet()[0], 0xE0);
        drop(peer);
        let client = shutdown.join().unwrap().unwrap();
        let refused = AsyncMqttClient::new(lives.scene.options.clone(), Recorder::new().0, lives.scene.config.clone());
        assert!(matches!(refused, Err(ClientError::Persistence(PersistenceError::InUse { .. }))), "{refused:?}");
        if is_taken {
            until_published(&mut events, token);
            while events.recv().is_some() {}
        } else {
            drop(events);
        }
        assert_eq!(lives.scene.client().0.restored(), []);
        drop(client);
    }
}
