//! Enhanced authentication (v5.0 section 4.12) against a server that plays exact bytes.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncMqttClient, Authentication, Authenticator, ClientError, DropCause, MqttEvent, Outcome, ReauthenticationResult,
    Secret, Token,
};

use crate::recorder::{Log, Recorder};
use crate::scripted_setup::*;
use crate::support::PATIENCE;
use crate::support::scripted_broker::Peer;
use crate::support::wire;

/// What an authenticator was asked, and a place for the answer.
type Asked = (String, Sender<io::Result<Option<Secret>>>);

/// Asks the test what to do, and does that.
struct Asking(Sender<Asked>);

impl Asking {
    fn ask(&self, what: String) -> io::Result<Option<Secret>> {
        let (answer, answered) = mpsc::channel();
        self.0.send((what, answer)).map_err(io::Error::other)?;
        answered.recv().unwrap_or_else(|_| panic!("the test has gone"))
    }
}

impl Authenticator for Asking {
    fn start(&mut self) -> io::Result<Option<Secret>> {
        self.ask("start".to_string())
    }

    fn answer(&mut self, challenge: &[u8]) -> io::Result<Option<Secret>> {
        self.ask(format!("answer {}", String::from_utf8_lossy(challenge)))
    }

    fn finish(&mut self, data: &[u8]) -> io::Result<()> {
        self.ask(format!("finish {}", String::from_utf8_lossy(data))).map(drop)
    }
}

/// The test's end of an authenticator.
struct Desk(Receiver<Asked>);

impl Desk {
    #[track_caller]
    fn asked(&self, what: &str) -> Sender<io::Result<Option<Secret>>> {
        let (asked, answer) = self.0.recv_timeout(PATIENCE).expect("a call of the authenticator");
        assert_eq!(asked, what);
        answer
    }

    /// Waits for a call and answers it by some data, or none.
    #[track_caller]
    fn answers(&self, what: &str, data: &str) {
        let data = (!data.is_empty()).then(|| Secret::from(data));
        self.asked(what).send(Ok(data)).expect("an authenticator that waits");
    }

    #[track_caller]
    fn fails(&self, what: &str) {
        self.asked(what).send(Err(io::Error::other("no thanks"))).expect("an authenticator that waits");
    }
}

/// A client that authenticates by the method `m`.
fn scene() -> (Scene, Desk) {
    let mut scene = Scene::new(V5);
    let (asked, desk) = mpsc::channel();
    let asked = Mutex::new(asked);
    scene.options.connecting.authentication =
        Some(Authentication::new("m", move || Asking(asked.lock().expect("a sender").clone())));
    (scene, Desk(desk))
}

/// The properties Authentication Method and Authentication Data.
fn properties(method: &str, data: &str) -> Vec<u8> {
    let method = [&[0x15][..], &wire::string(method)].concat();
    if data.is_empty() { method } else { [&method[..], &[0x16], &wire::string(data)].concat() }
}

fn auth(code: u8, method: &str, data: &str) -> Vec<u8> {
    wire::packet(0xF0, &[&[code], &wire::prefixed(&properties(method, data))])
}

fn connack(method: &str, data: &str) -> Vec<u8> {
    wire::connack_v5(&properties(method, data), false, 0)
}

/// A client that is connected by an exchange without data.
#[track_caller]
fn connected(scene: &Scene, desk: &Desk) -> Live {
    let (client, log) = scene.client();
    client.connect().unwrap();
    desk.answers("start", "");
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&connack("m", ""));
    desk.answers("finish ", "");
    assert!(log.connection(1).is_success());
    Live { client, log, peer }
}

/// The first exchange of a connection, up to where CONNACK is due.
#[track_caller]
fn exchange(scene: &Scene, desk: &Desk) -> Peer {
    desk.answers("start", "first");
    let mut peer = scene.broker.accept();
    let connect = connect(V5, 0x02, 0, &[&PACKET_SIZE[..], &properties("m", "first")].concat(), &[&wire::string("c")]);
    peer.expect(&connect);
    peer.send(&auth(0x18, "m", "challenge"));
    desk.answers("answer challenge", "answer");
    peer.expect(&auth(0x18, "m", "answer"));
    peer
}

/// [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5]
#[test]
fn the_authenticator_speaks_with_the_server_before_anything_else_is_sent() {
    let (scene, desk) = scene();
    let (client, log) = scene.client();
    let token = client.publish("t", b"early", 1, false).unwrap();
    client.subscribe("f", 0).unwrap();
    client.connect().unwrap();
    let mut peer = exchange(&scene, &desk);
    // A step more, without data in either direction.
    peer.send(&auth(0x18, "m", ""));
    desk.answers("answer ", "");
    peer.expect(&auth(0x18, "m", ""));
    peer.send(&connack("m", "proof"));
    let content = desk.asked("finish proof");
    peer.expect_silence(Duration::from_millis(100));
    assert_eq!(log.words(), [""; 0]);
    content.send(Ok(None)).unwrap();
    assert!(log.connection(1).is_success());
    let publish = peer.read_packet();
    let (publish, subscribe) =
        if publish[0] == 0x82 { (peer.read_packet(), publish) } else { (publish, peer.read_packet()) };
    assert_eq!((publish[0], subscribe[0]), (0x32, 0x82));
    peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&publish)));
    assert!(log.published(token).is_success());
    peer.close();
}

#[test]
fn each_connection_has_an_exchange_of_its_own() {
    let (scene, desk) = scene();
    let Live { client, log, peer } = connected(&scene, &desk);
    peer.close();
    let mut peer = exchange(&scene, &desk);
    peer.send(&connack("m", ""));
    desk.answers("finish ", "");
    assert!(log.connection(2).is_success());
    drop(peer);
    drop(client);
}

#[test]
fn a_server_that_the_authenticator_does_not_believe_gets_nothing_and_is_not_told_of() {
    let (scene, desk) = scene();
    let (client, log) = scene.client();
    let token = client.publish("t", b"secret", 1, false).unwrap();
    client.connect().unwrap();
    let mut peer = exchange(&scene, &desk);
    // Whatever comes behind must not pass for an acceptance.
    peer.send(&[connack("m", "forged"), connack("m", ""), wire::PINGRESP.to_vec()].concat());
    desk.fails("finish forged");
    peer.expect_eof();
    log.error("authentication failed: no thanks");
    let mut peer = exchange(&scene, &desk);
    peer.send(&connack("m", "proof"));
    desk.answers("finish proof", "");
    let publish = peer.expect_type(3);
    peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&publish)));
    assert!(log.published(token).is_success());
    assert_eq!(log.count(|event| matches!(event, MqttEvent::Connected(_))), 1);
    peer.close();
}

#[test]
fn an_authenticator_that_fails_or_panics_ends_the_attempt_and_is_asked_again_for_the_next_one() {
    let (scene, desk) = scene();
    let (client, log) = scene.client();
    client.connect().unwrap();
    desk.fails("start");
    log.error("authentication failed: no thanks");
    // It panics when the answer cannot come any more.
    drop(desk.asked("start"));
    log.error("the authenticator has panicked");
    desk.answers("start", "");
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&auth(0x18, "m", "a"));
    drop(desk.asked("answer a"));
    peer.expect_eof();
    let mut peer = exchange(&scene, &desk);
    peer.send(&connack("m", ""));
    desk.answers("finish ", "");
    assert!(log.connection(1).is_success());
    peer.close();
    drop(client);
}

/// Panics wherever it is asked for an answer, and as it goes.
struct Hostile;

impl Authenticator for Hostile {
    fn start(&mut self) -> io::Result<Option<Secret>> {
        Ok(None)
    }

    fn answer(&mut self, _: &[u8]) -> io::Result<Option<Secret>> {
        panic!("an answer with a fault");
    }

    fn finish(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        panic!("a destructor with a fault");
    }
}

#[test]
fn an_authenticator_that_panics_and_whose_destructor_does_so_too_ends_its_connection_alone() {
    let mut scene = Scene::new(V5);
    scene.options.connecting.authentication = Some(Authentication::new("m", || Hostile));
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&auth(0x18, "m", "a"));
    log.error("the authenticator has panicked");
    peer.expect_eof();
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&connack("m", ""));
    assert!(log.connection(1).is_success());
    peer.close();
    drop(client);
}

/// [MQTT-4.12.0-5]
#[test]
fn another_method_of_the_server_ends_the_connection() {
    for packet in [auth(0x18, "n", "challenge"), connack("n", ""), wire::connack_v5(&[], false, 0)] {
        let (scene, desk) = scene();
        let (client, log) = scene.client();
        client.connect().unwrap();
        desk.answers("start", "");
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&packet);
        peer.expect(&[0xE0, 1, 0x82]);
        peer.expect_eof();
        log.error("[MQTT-4.12.0-5]");
        client.set_auto_reconnect(false).unwrap();
        drop(desk);
    }
}

#[test]
fn an_auth_out_of_turn_ends_the_connection() {
    // A success where CONNACK has to tell it, and a challenge before the answer to the last one.
    for packets in [auth(0x00, "m", ""), [auth(0x18, "m", "a"), auth(0x18, "m", "b")].concat()] {
        let (scene, desk) = scene();
        let (client, log) = scene.client();
        client.connect().unwrap();
        desk.answers("start", "");
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&packets);
        peer.expect_eof();
        log.wait_for_event(|event| matches!(event, MqttEvent::Error(_)).then_some(()));
        client.set_auto_reconnect(false).unwrap();
        drop(desk);
    }
    // And on a connection on which no re-authentication goes on.
    let (scene, desk) = scene();
    let Live { client, log, mut peer } = connected(&scene, &desk);
    peer.send(&auth(0x18, "m", ""));
    peer.expect(&[0xE0, 1, 0x82]);
    peer.expect_eof();
    log.error("unexpected Auth");
    drop(client);
}

#[test]
fn the_connect_timeout_bounds_the_exchange_whoever_is_slow() {
    for slow_server in [false, true] {
        let (mut scene, desk) = scene();
        scene.options.timeouts.connect = Duration::from_millis(300);
        let (client, log) = scene.client();
        client.connect().unwrap();
        desk.answers("start", "");
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&auth(0x18, "m", "a"));
        let answer = desk.asked("answer a");
        if slow_server {
            answer.send(Ok(None)).unwrap();
            peer.expect(&auth(0x18, "m", ""));
        }
        peer.expect_eof();
        log.wait_for_event(|event| match event {
            MqttEvent::Error(error) if error.kind() == io::ErrorKind::TimedOut => Some(()),
            _ => None,
        });
        client.set_auto_reconnect(false).unwrap();
        drop(desk);
    }
}

#[test]
fn a_shutdown_amid_the_exchange_keeps_its_deadline() {
    let (scene, desk) = scene();
    let (client, _log) = scene.client();
    client.connect().unwrap();
    desk.answers("start", "");
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&auth(0x18, "m", "a"));
    let answer = desk.asked("answer a");
    client.shutdown().expect("an end within its time");
    peer.expect_eof();
    drop(answer);
}

/// [MQTT-4.12.1-1]
#[test]
fn a_live_connection_is_authenticated_again_while_messages_go_on() {
    let (scene, desk) = scene();
    let Live { client, log, mut peer } = connected(&scene, &desk);
    let first = client.reauthenticate_tracked().unwrap();
    let second = client.reauthenticate().unwrap();
    for data in ["one", "two"] {
        desk.answers("start", data);
        peer.expect(&auth(0x19, "m", data));
        peer.send(&auth(0x18, "m", "challenge"));
        let answer = desk.asked("answer challenge");
        let token = client.publish("t", data.as_bytes(), 1, false).unwrap();
        let publish = peer.expect_type(3);
        peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&publish)));
        assert!(log.published(token).is_success());
        answer.send(Ok(Some(Secret::from("answer")))).unwrap();
        peer.expect(&auth(0x18, "m", "answer"));
        peer.send(&auth(0x00, "m", "proof"));
        desk.answers("finish proof", "");
    }
    assert!(first.wait(PATIENCE).unwrap().is_success());
    assert!(reauthenticated(&log, second).is_success());
    let words = log.words();
    assert!(words.iter().all(|word| !word.starts_with("error")), "{words:?}");
    peer.close();
}

#[track_caller]
fn reauthenticated(log: &Log, token: Token) -> ReauthenticationResult {
    log.wait_for_event(|event| match event {
        MqttEvent::Reauthenticated(result) if result.token == token => Some(*result),
        _ => None,
    })
}

/// [MQTT-4.12.1-2]
#[test]
fn a_failed_reauthentication_ends_the_connection() {
    // On the client's side, at the end and at the beginning.
    for step in ["finish forged", "start"] {
        let (scene, desk) = scene();
        let Live { client, log, mut peer } = connected(&scene, &desk);
        let token = client.reauthenticate().unwrap();
        if step == "start" {
            desk.fails(step);
        } else {
            desk.answers("start", "");
            peer.expect(&auth(0x19, "m", ""));
            peer.send(&auth(0x00, "m", "forged"));
            desk.fails(step);
        }
        peer.expect(&[0xE0, 1, 0x80]);
        peer.expect_eof();
        assert_eq!(reauthenticated(&log, token).outcome, Outcome::Dropped(DropCause::ConnectionLost));
        log.error("authentication failed: no thanks");
        client.set_auto_reconnect(false).unwrap();
        drop(desk);
    }
    // On the server's side.
    let (scene, desk) = scene();
    let Live { client, log, mut peer } = connected(&scene, &desk);
    let token = client.reauthenticate().unwrap();
    desk.answers("start", "");
    peer.expect(&auth(0x19, "m", ""));
    peer.send(&wire::disconnect_v5(0x87, &[]));
    peer.expect_eof();
    assert_eq!(reauthenticated(&log, token).outcome, Outcome::Rejected);
    assert_eq!(log.disconnected(), Some(0x87));
    drop(client);
}

#[test]
fn a_reauthentication_that_nobody_answers_ends_with_the_connect_timeout() {
    let (mut scene, desk) = scene();
    scene.options.timeouts.connect = Duration::from_secs(1);
    let Live { client, log, mut peer } = connected(&scene, &desk);
    let token = client.reauthenticate().unwrap();
    desk.answers("start", "");
    peer.expect(&auth(0x19, "m", ""));
    peer.expect(&[0xE0, 1, 0x80]);
    peer.expect_eof();
    assert_eq!(reauthenticated(&log, token).outcome, Outcome::Dropped(DropCause::ConnectionLost));
    log.error("no re-authentication within");
    client.set_auto_reconnect(false).unwrap();
}

#[test]
fn a_reauthentication_always_has_an_outcome() {
    let (scene, desk) = scene();
    let Live { client, log, mut peer } = connected(&scene, &desk);
    client.set_auto_reconnect(false).unwrap();
    let lost = [client.reauthenticate().unwrap(), client.reauthenticate().unwrap()];
    desk.answers("start", "");
    peer.expect(&auth(0x19, "m", ""));
    peer.close();
    for token in lost {
        assert_eq!(reauthenticated(&log, token).outcome, Outcome::Dropped(DropCause::ConnectionLost));
    }
    let token = client.reauthenticate().unwrap();
    assert_eq!(reauthenticated(&log, token).outcome, Outcome::Dropped(DropCause::NotConnected));
    // And where the client ends.
    client.connect().unwrap();
    desk.answers("start", "");
    let mut peer = scene.broker.accept();
    peer.expect_connect();
    peer.send(&connack("m", ""));
    desk.answers("finish ", "");
    log.connection(2);
    let token = client.reauthenticate().unwrap();
    let asked = desk.asked("start");
    client.shutdown().expect("an end within its time");
    assert!(matches!(reauthenticated(&log, token).outcome, Outcome::Dropped(_) | Outcome::Cancelled));
    drop((asked, peer));
}

/// [MQTT-4.12.0-7]
#[test]
fn without_a_method_there_is_nothing_to_authenticate_again() {
    both(|version| {
        let (client, _log) = Scene::new(version).client();
        assert_eq!(client.reauthenticate().err(), Some(ClientError::NoAuthenticationMethod));
    });
}

#[test]
fn what_cannot_be_written_in_connect_is_refused_at_once() {
    let authentication = |method: &str| Some(Authentication::new(method, || Asking(mpsc::channel().0)));
    for (version, method) in [(V3_1_1, "m"), (V5, "nul\0"), (V5, &*"m".repeat(65_536))] {
        let mut scene = Scene::new(version);
        scene.options.connecting.authentication = authentication(method);
        let (recorder, _log) = Recorder::new();
        let made = AsyncMqttClient::new(scene.options.clone(), recorder, scene.config.clone());
        assert!(matches!(made, Err(ClientError::InvalidOption { .. } | ClientError::Encode(_))), "{method:.9}");
    }
}

#[test]
fn an_authenticator_that_never_returns_costs_one_thread_and_no_more() {
    let (mut scene, desk) = scene();
    scene.options.timeouts.connect = Duration::from_millis(300);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut held = Vec::new();
    for _ in 0..2 {
        desk.answers("start", "");
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&auth(0x18, "m", "a"));
        if held.is_empty() {
            held.push(desk.asked("answer a"));
        }
        peer.expect_eof();
    }
    log.error("an earlier exchange has not returned");
    client.set_auto_reconnect(false).unwrap();
    drop(held);
}
