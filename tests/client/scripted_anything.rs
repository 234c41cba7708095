//! Anything that an application, its options and a server may do, in any order, from seeds.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncMqttClient, ClientError, DropCause, MessageProperties, MqttEvent, Outcome, Overflow, PublishOptions,
    RestoreSubscriptions, SessionLossPolicy, Token,
};
use flowsdk::types::ProtocolVersion;

use crate::recorder::ledger;
use crate::scripted_setup::{Scene, V3_1_1, V5, connack, suback, unsuback};
use crate::support::wire;

/// Random numbers that a seed repeats: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[usize::try_from(self.below(choice.len() as u64)).unwrap()]
    }
}

/// What a server has had, over all connections.
#[derive(Default)]
struct Served {
    /// Payloads at QoS 1 and 2, in the order of their first arrival.
    arrived: [Vec<u64>; 3],
    /// Identifiers that wait for their PUBREL.
    received: HashSet<u16>,
    /// Payloads of QoS 2 that came twice as new messages.
    doubled: Vec<u64>,
}

impl Served {
    /// Takes a packet; what it answers.
    fn take(&mut self, version: ProtocolVersion, packet: &[u8]) -> Vec<u8> {
        match packet[0] >> 4 {
            3 => {
                let qos = usize::from(packet[0] >> 1 & 3);
                let payload = wire::payload(packet, version.is_v5());
                let number = u64::from_be_bytes(payload.try_into().expect("a payload of this test's"));
                let is_new = qos < 2 || self.received.insert(wire::packet_id(packet));
                let is_known = self.arrived[qos].contains(&number);
                if is_new && is_known && qos == 2 {
                    self.doubled.push(number);
                }
                if !is_known {
                    self.arrived[qos].push(number);
                }
                match qos {
                    0 => Vec::new(),
                    1 => wire::ack(wire::PUBACK, wire::packet_id(packet)),
                    _ => wire::ack(wire::PUBREC, wire::packet_id(packet)),
                }
            }
            6 => {
                self.received.remove(&wire::packet_id(packet));
                wire::ack(wire::PUBCOMP, wire::packet_id(packet))
            }
            8 => suback(version, wire::packet_id(packet), &vec![1; filters(version, packet)]),
            10 => unsuback(version, wire::packet_id(packet), &[0]),
            12 => wire::PINGRESP.to_vec(),
            _ => Vec::new(),
        }
    }
}

/// How many filters a SUBSCRIBE without properties has.
fn filters(version: ProtocolVersion, packet: &[u8]) -> usize {
    let mut rest = &wire::body(packet)[if version.is_v5() { 3 } else { 2 }..];
    let mut count = 0;
    while let [high, low, ..] = rest {
        rest = &rest[3 + usize::from(u16::from_be_bytes([*high, *low]))..];
        count += 1;
    }
    count
}

/// A server that does anything, until it is told to be good, and then until the client disconnects for good.
fn serve(scene: &Scene, random: &mut Random, keeps: bool, is_good: &AtomicBool, ends: &AtomicBool) -> Served {
    let mut served = Served::default();
    let mut has_session = false;
    while !ends.load(Ordering::Relaxed) {
        let Some(mut peer) = scene.broker.accept_within(Duration::from_millis(5)) else { continue };
        let good = is_good.load(Ordering::Relaxed);
        if !good && random.one_in(6) {
            continue;
        }
        let Some(connect) = peer.read_packet_or_eof() else { continue };
        let flags = wire::body(&connect)[7];
        if !good && random.one_in(8) {
            let refusal =
                if scene.version().is_v5() { wire::connack_v5(&[], false, 0x88) } else { wire::connack_v3(false, 3) };
            let _ = peer.into_stream().write_all(&refusal);
            continue;
        }
        let loses = !keeps || flags & 2 != 0;
        if loses {
            (has_session, served.received) = (false, HashSet::new());
        }
        let mut stream = peer.into_stream();
        let present = std::mem::replace(&mut has_session, true) && !loses;
        let _ = stream.write_all(&connack(scene.version(), present));
        let life = if good { Duration::from_secs(60) } else { Duration::from_millis(random.below(40)) };
        serve_one(stream, scene.version(), random, &mut served, life, is_good, ends);
    }
    served
}

fn serve_one(
    mut stream: TcpStream,
    version: ProtocolVersion,
    random: &mut Random,
    served: &mut Served,
    life: Duration,
    is_good: &AtomicBool,
    ends: &AtomicBool,
) {
    let until = Instant::now() + life;
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut splitter = wire::Splitter::default();
    let mut buffer = [0; 4096];
    while Instant::now() < until && !ends.load(Ordering::Relaxed) {
        let len = match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        let good = is_good.load(Ordering::Relaxed);
        let mut packets = Vec::new();
        splitter.feed(&buffer[..len], |packet| packets.push(packet.to_vec()));
        for packet in packets {
            let answer = served.take(version, &packet);
            match if good { 9 } else { random.below(10) } {
                0 => return,
                1 if version.is_v5() => {
                    let _ = stream.write_all(&wire::disconnect_v5(random.of(&[0x8B, 0x89, 0x80, 0x97]), &[]));
                    return;
                }
                // Half of it.
                2 => {
                    let _ = stream.write_all(&answer[..answer.len() / 2]);
                    return;
                }
                _ if stream.write_all(&answer).is_err() => return,
                _ => {}
            }
        }
    }
}

/// What the application has asked for.
#[derive(Default)]
struct Asked {
    tokens: Vec<Token>,
    /// Messages: token, QoS and payload.
    messages: Vec<(Token, u8, u64)>,
    pings: usize,
}

impl Asked {
    fn anything(&mut self, client: &AsyncMqttClient, is_v5: bool, random: &mut Random) {
        let number = self.messages.len() as u64;
        let taken = match random.below(40) {
            0 => client.subscribe(random.of(&["a", "b", "c/#"]), 1).map(Some),
            1 => client.unsubscribe(vec![random.of(&["a", "b", "c/#"])]).map(Some),
            2 => client.ping().map(|()| {
                self.pings += 1;
                None
            }),
            3 => client.disconnect().map(|()| None),
            4..8 => client.connect().map(|()| None),
            8..12 => {
                thread::sleep(Duration::from_millis(random.below(20)));
                Ok(None)
            }
            _ => {
                let expiry = Some(random.of(&[0, 1, 1000])).filter(|_| is_v5 && random.one_in(4));
                let options = PublishOptions {
                    qos: random.of(&[0, 1, 1, 2]),
                    properties: MessageProperties { message_expiry_interval: expiry, ..Default::default() },
                    ..Default::default()
                };
                let topic = random.of(&["x", "y"]);
                let token = client.publish_with(topic, &number.to_be_bytes(), &options);
                token.map(|token| {
                    self.messages.push((token, options.qos, number));
                    Some(token)
                })
            }
        };
        match taken {
            Ok(token) => self.tokens.extend(token),
            Err(ClientError::QueueFull | ClientError::BufferFull | ClientError::NotConnected) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn scene(random: &mut Random, keeps: bool) -> Scene {
    let version = random.of(&[V5, V3_1_1]);
    let mut scene = if keeps { Scene::keeping_session(version) } else { Scene::new(version) };
    scene.options.limits.in_flight = random.of(&[1, 2, 1024, 1024, 1024]);
    scene.options.offline.overflow = random.of(&[Overflow::DropOldest, Overflow::DropNewest, Overflow::Refuse]);
    scene.options.offline.latest_per_topic = random.one_in(3);
    scene.options.session_loss = random.of(&[SessionLossPolicy::Requeue, SessionLossPolicy::Fail]);
    scene.options.connecting.restore_subscriptions =
        random.of(&[RestoreSubscriptions::IfLost, RestoreSubscriptions::Always, RestoreSubscriptions::Never]);
    scene.options.connecting.stable_after = Duration::from_millis(random.of(&[0, 20, 10_000]));
    scene.config.buffer_messages = !random.one_in(5);
    scene.config.max_buffer_size = random.of(&[0, 1, 5, 1000, 1000]);
    scene.config.command_queue_size = random.of(&[1, 100, 1000, 1000]);
    scene
}

fn go(seed: u64) {
    println!("seed {seed}");
    let random = &mut Random(seed);
    let keeps = random.one_in(2);
    let scene = scene(random, keeps);
    let (client, log) = scene.client();
    let (is_good, ends) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut asked = Asked::default();
    let mut other = Random(seed ^ 0x5555);
    let served = thread::scope(|scope| {
        let server = scope.spawn(|| serve(&scene, &mut other, keeps, &is_good, &ends));
        for _ in 0..400 {
            asked.anything(&client, scene.version().is_v5(), random);
        }
        is_good.store(true, Ordering::Relaxed);
        let _ = client.connect();
        if random.one_in(2) {
            thread::sleep(Duration::from_millis(50));
        }
        client.shutdown().unwrap();
        ends.store(true, Ordering::Relaxed);
        server.join().unwrap()
    });
    let outcomes = log.with(ledger);
    assert_eq!(outcomes.keys().copied().collect::<Vec<_>>(), asked.tokens, "seed {seed}");
    assert!(outcomes.values().all(|outcomes| outcomes.len() == 1), "seed {seed}: {outcomes:?}");
    assert_eq!(log.count(|event| matches!(event, MqttEvent::PingResponse(_))), asked.pings, "seed {seed}");
    let mut lost = Vec::new();
    for (token, qos, number) in &asked.messages {
        let arrived = served.arrived[usize::from(*qos)].contains(number);
        match outcomes[token][0] {
            Outcome::Acknowledged if !arrived => lost.push(*token),
            Outcome::Expired | Outcome::Dropped(DropCause::BufferFull | DropCause::Superseded) if arrived && keeps => {
                panic!("seed {seed}: {token:?} of QoS {qos} was sent")
            }
            _ => {}
        }
    }
    assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    if keeps {
        assert!(served.doubled.is_empty(), "seed {seed}: {:?}", served.doubled);
    }
    for qos in [1, 2] {
        assert!(served.arrived[qos].is_sorted(), "seed {seed}: QoS {qos} {:?}", served.arrived[qos]);
    }
}

#[test]
fn every_call_has_one_outcome_and_every_message_its_order_whatever_happens() {
    (0..20).for_each(go);
}
