//! Requests and messages upon which the server ends the connection, and cuts that have nothing to do with them.

use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncMqttClient, DropCause, MqttEvent, Outcome, Token, TopicSubscription};
use flowsdk::types::{ProtocolVersion, ReasonCode};

use crate::recorder::{Log, outcome};
use crate::scripted_setup::{Scene, V5, both, connack, suback, unsuback};
use crate::support::scripted_broker::Peer;
use crate::support::wire;

/// A client that tries out on a connection that has stood for a few milliseconds.
fn scene(version: ProtocolVersion) -> Scene {
    let mut scene = Scene::new(version);
    scene.options.connecting.stable_after = Duration::from_millis(20);
    scene
}

/// Answers everything until the client disconnects, but for what `ends` gives the last words for. How many connections
/// there were.
fn serve(scene: &Scene, session_present: bool, mut ends: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> usize {
    for number in 1.. {
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&connack(scene.version(), session_present && number > 1));
        if !serve_one(&mut peer, scene.version(), &mut ends) {
            return number;
        }
    }
    unreachable!("a client that is shut down disconnects")
}

/// Whether another connection follows.
fn serve_one(peer: &mut Peer, version: ProtocolVersion, ends: &mut impl FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    while let Some(packet) = peer.read_packet_or_eof() {
        if let Some(last_words) = ends(&packet) {
            peer.send(&last_words);
            return true;
        }
        let answer = match packet[0] >> 4 {
            3 if packet[0] & 6 == 2 => wire::ack(wire::PUBACK, wire::packet_id(&packet)),
            3 if packet[0] & 6 == 4 => wire::ack(wire::PUBREC, wire::packet_id(&packet)),
            6 => wire::ack(wire::PUBCOMP, wire::packet_id(&packet)),
            8 => suback(version, wire::packet_id(&packet), &vec![1; filters(&packet)]),
            10 => unsuback(version, wire::packet_id(&packet), &[0]),
            12 => wire::PINGRESP.to_vec(),
            14 => return false,
            _ => continue,
        };
        peer.send(&answer);
    }
    true
}

/// How many filters of this test's a SUBSCRIBE has: each begins with `/`.
fn filters(packet: &[u8]) -> usize {
    // Behind the packet identifier, which may look like one.
    wire::body(packet).iter().skip(2).filter(|byte| **byte == b'/').count()
}

fn has(packet: &[u8], text: &str) -> bool {
    packet.windows(text.len()).any(|part| part == text.as_bytes())
}

fn outcomes(events: &[MqttEvent<'static>]) -> Vec<(Token, Outcome)> {
    let mut outcomes: Vec<_> = events.iter().filter_map(outcome).collect();
    outcomes.sort_by_key(|(token, _)| *token);
    outcomes
}

/// Runs a client whose calls `ask` makes until all of them have ended, against a server that `ends` connections; the
/// outcomes in the order of the calls, the number of connections, and the log.
fn run(
    scene: &Scene,
    session_present: bool,
    ends: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send,
    ask: impl FnOnce(&AsyncMqttClient) -> Vec<Token>,
) -> (Vec<Outcome>, usize, Log) {
    let (client, log) = scene.client();
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(scene, session_present, ends));
        client.connect().unwrap();
        assert!(log.connection(1).is_success());
        let tokens = ask(&client);
        log.wait_for(|events| (outcomes(events).len() >= tokens.len()).then_some(()));
        client.shutdown().unwrap();
        let told = log.with(outcomes);
        assert!(told.iter().map(|(token, _)| *token).eq(tokens), "each has one outcome: {told:?}");
        (told.into_iter().map(|(_, outcome)| outcome).collect(), server.join().unwrap(), log.clone())
    })
}

/// One of each kind to `forbidden`, with others around it; all but the forbidden one go through.
fn asks(forbidden: usize) -> impl FnOnce(&AsyncMqttClient) -> Vec<Token> {
    move |client| {
        let name = |number: usize| if number == forbidden { "/forbidden" } else { "/good" };
        vec![
            client.subscribe("/first", 1).unwrap(),
            client.subscribe(name(1), 1).unwrap(),
            client.publish("/first", b"", 1, false).unwrap(),
            client.publish(name(3), b"", 1, false).unwrap(),
            // Any other message of QoS 2 might be lost with the session between its answers.
            client.publish(name(4), b"", if forbidden == 4 { 2 } else { 1 }, false).unwrap(),
            client.unsubscribe(vec![name(5)]).unwrap(),
            client.publish("/last", b"", 1, false).unwrap(),
            client.subscribe("/last", 1).unwrap(),
        ]
    }
}

fn is_forbidden(packet: &[u8]) -> bool {
    has(packet, "/forbidden")
}

fn all_but(forbidden: usize, cause: DropCause) -> Vec<Outcome> {
    let outcome = |number| if number == forbidden { Outcome::Dropped(cause) } else { Outcome::Acknowledged };
    (0..8).map(outcome).collect()
}

#[test]
fn what_the_server_disconnects_upon_with_a_reason_ends_with_that_reason_once_it_was_sent_alone() {
    for forbidden in [1, 3, 4, 5] {
        for code in [ReasonCode::NOT_AUTHORIZED, ReasonCode::TOPIC_FILTER_INVALID, ReasonCode::PACKET_TOO_LARGE] {
            let disconnect = wire::disconnect_v5(code.byte(), &[]);
            let ends = |packet: &[u8]| is_forbidden(packet).then(|| disconnect.clone());
            let (outcomes, connections, _) = run(&scene(V5), false, ends, asks(forbidden));
            assert_eq!(outcomes, all_but(forbidden, DropCause::EndsConnection(code)));
            assert_eq!(connections, 3, "one as ever, one with the trial, and one without it");
        }
    }
}

#[test]
fn an_unsubscribe_that_waits_for_no_message_is_tried_too() {
    let ends = |packet: &[u8]| is_forbidden(packet).then(|| wire::disconnect_v5(0x8F, &[]));
    let ask = |client: &AsyncMqttClient| {
        vec![client.unsubscribe(vec!["/forbidden"]).unwrap(), client.subscribe("/last", 1).unwrap()]
    };
    let (outcomes, connections, _) = run(&scene(V5), false, ends, ask);
    let dropped = Outcome::Dropped(DropCause::EndsConnection(ReasonCode::TOPIC_FILTER_INVALID));
    assert_eq!(outcomes, [dropped, Outcome::Acknowledged]);
    assert_eq!(connections, 3);
}

#[test]
fn what_is_tried_and_has_no_answer_holds_nothing_else_back_for_long() {
    let mut scene = scene(V5);
    scene.options.timeouts.ping = Duration::from_secs(1);
    let (client, log) = scene.client();
    client.connect().unwrap();
    client.subscribe("/unanswered", 1).unwrap();
    let mut peer = scene.accept(false);
    peer.expect_type(8);
    peer.send(&wire::disconnect_v5(0x87, &[]));
    let mut peer = scene.accept(false);
    log.connection(2);
    let published = client.publish("/t", b"", 0, false).unwrap();
    peer.expect(&wire::PINGREQ);
    peer.send(&wire::PINGRESP);
    peer.expect_type(8);
    peer.expect_type(3);
    assert_eq!(log.published(published).outcome, Outcome::Sent);
}

#[test]
fn topics_of_the_options_are_tried_apart_and_the_one_that_ends_connections_is_left_out_and_told() {
    let mut scene = scene(V5);
    scene.options.subscription_topics =
        ["/a", "/forbidden", "/b"].map(|filter| TopicSubscription::new(filter, 1)).to_vec();
    let mut subscribed = Vec::new();
    let ends = |packet: &[u8]| {
        subscribed.extend((packet[0] == 0x82 && filters(packet) == 1).then(|| packet.to_vec()));
        is_forbidden(packet).then(|| wire::disconnect_v5(0x8F, &[]))
    };
    let ask = |client: &AsyncMqttClient| vec![client.publish("/t", b"", 1, false).unwrap()];
    let (outcomes, connections, log) = run(&scene, false, ends, ask);
    assert_eq!(outcomes, [Outcome::Acknowledged]);
    assert_eq!(connections, 4, "one as ever, one with all of them, one with each, and one without the guilty one");
    log.error("cannot subscribe to \"/forbidden\" again");
    let last: Vec<_> = subscribed.iter().rev().take(2).collect();
    assert!(has(last[1], "/a") && has(last[0], "/b"), "{subscribed:?}");
}

#[test]
fn what_is_cut_off_is_sent_again_however_often_the_server_closes_upon_it() {
    both(|version| {
        for cut_off in [1, 3, 4, 5] {
            let mut cuts = 20;
            let ends = |packet: &[u8]| {
                let is_cut = cuts > 0 && is_forbidden(packet);
                cuts -= u32::from(is_cut);
                is_cut.then(Vec::new)
            };
            let (outcomes, connections, _) = run(&scene(version), false, ends, asks(cut_off));
            assert_eq!((outcomes, connections), ([Outcome::Acknowledged; 8].to_vec(), 21));
        }
    });
}

#[test]
fn a_server_that_disconnects_before_anything_is_tried_ends_no_request_and_stops_the_client() {
    let scene = scene(V5);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let token = client.subscribe("/t", 1).unwrap();
    let mut peer = scene.accept(false);
    peer.expect_type(8);
    peer.send(&wire::disconnect_v5(0x87, &[]));
    scene.accept(false).send(&wire::disconnect_v5(0x87, &[]));
    log.wait_for(|events| {
        let ends = events.iter().filter(|event| matches!(event, MqttEvent::Disconnected(Some(0x87))));
        (ends.count() == 2).then_some(())
    });
    assert_eq!(log.with(outcomes), []);
    client.connect().unwrap();
    let mut peer = scene.accept(false);
    let subscribe = peer.expect_type(8);
    peer.send(&suback(V5, wire::packet_id(&subscribe), &[1]));
    assert_eq!(log.subscribed(token).outcome, Outcome::Acknowledged);
}

#[test]
fn a_server_that_ends_connections_for_reasons_of_its_own_ends_no_request() {
    for code in [0x8B, 0x89, 0x8D, 0x97] {
        let mut cuts = 20;
        let ends = |packet: &[u8]| {
            let is_cut = cuts > 0 && is_forbidden(packet);
            cuts -= u32::from(is_cut);
            is_cut.then(|| wire::disconnect_v5(code, &[]))
        };
        let (outcomes, ..) = run(&scene(V5), false, ends, asks(1));
        assert_eq!(outcomes, [Outcome::Acknowledged; 8]);
    }
}

/// [MQTT-4.4.0-1]
#[test]
fn a_message_of_a_session_that_goes_on_is_sent_again_however_often_the_server_closes_upon_it() {
    both(|version| {
        let mut scene = Scene::keeping_session(version);
        scene.options.connecting.stable_after = Duration::from_millis(20);
        let mut cuts = 20;
        let ends = |packet: &[u8]| {
            let is_cut = cuts > 0 && packet[0] >> 4 == 3;
            cuts -= u32::from(is_cut);
            is_cut.then(Vec::new)
        };
        let ask = |client: &AsyncMqttClient| vec![client.publish("/t", b"", 1, false).unwrap()];
        let (outcomes, ..) = run(&scene, true, ends, ask);
        assert_eq!(outcomes, [Outcome::Acknowledged]);
    });
}

#[test]
fn a_client_that_is_shut_down_amid_a_doubt_sends_what_it_has() {
    let mut scene = scene(V5);
    // Longer than a test or a drain may take.
    scene.options.connecting.stable_after = Duration::from_secs(3600);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let token = client.subscribe("/cut", 1).unwrap();
    let mut peer = scene.accept(false);
    peer.expect_type(8);
    peer.send(&wire::disconnect_v5(0x87, &[]));
    let mut peer = scene.accept(false);
    log.connection(2);
    let closing = thread::spawn(move || {
        let subscribe = peer.expect_type(8);
        peer.send(&suback(V5, wire::packet_id(&subscribe), &[1]));
        peer.expect(&wire::DISCONNECT);
    });
    client.shutdown().unwrap();
    closing.join().unwrap();
    assert_eq!(log.subscribed(token).outcome, Outcome::Acknowledged);
}
