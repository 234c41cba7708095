//! The session against a model of MQTT delivery, step by step.
//!
//! The model is written from the standard and knows nothing of the session: [`sender`] is what a client owes for the
//! messages it publishes, [`receiver`] for those it receives, and [`server`] a server that is late, loses what is on
//! its way, and forgets its session, but breaks no rule. After each step the packets that left, what the application
//! was told, and the send quota have to be those of the model.

mod receiver;
mod sender;
mod server;

use flowsdk::codec::Property;
use flowsdk::packet::{AckKind, Packet};
use flowsdk::session::{Acknowledgement, Full, Misuse};
use flowsdk::types::{QoS, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::num::NonZeroU16;

use crate::support::*;
use receiver::Receiver;
use sender::Sender;
use server::{Next, Server};

const NOTHING: [&str; 0] = [];

#[derive(Clone, Debug)]
enum Step {
    /// The application publishes.
    Publish(QoS),
    /// The transport takes so many bytes.
    Transmit(usize),
    /// The server looks at so many packets.
    Read(usize),
    /// The server answers one of the packets it has looked at, well or with an error.
    Answer { nth: usize, refuse: bool },
    /// The server sends its last PUBREC again.
    Repeat,
    /// The server acknowledges what is not there to be acknowledged.
    Stray { kind: AckKind, id: u16 },
    /// The server has a message for the client.
    Offer(QoS),
    /// The server sends its next packet.
    Serve,
    /// The application acknowledges one of the last messages.
    Acknowledge { nth: usize, refuse: bool },
    /// A day passes.
    Wait,
    /// The link breaks.
    Cut,
    /// A new connection, if there is none.
    Connect(Answer),
}

/// What becomes of a CONNECT.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The link breaks before CONNACK.
    Silence,
    /// The server has kept the session, or not.
    Accepted { session_present: bool, receive_maximum: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let qos = || select(&[AtMostOnce, AtLeastOnce, ExactlyOnce, ExactlyOnce][..]);
    let refuse = || proptest::bool::weighted(0.2);
    let answer = prop_oneof![
        1 => Just(Answer::Silence),
        8 => (proptest::bool::weighted(0.85), select(&[1, 2, 3, 100][..]))
            .prop_map(|(session_present, receive_maximum)| Answer::Accepted { session_present, receive_maximum }),
    ];
    prop_oneof![
        6 => qos().prop_map(Step::Publish),
        8 => select(&[1, 9, 30, usize::MAX, usize::MAX][..]).prop_map(Step::Transmit),
        6 => select(&[1, 3, usize::MAX][..]).prop_map(Step::Read),
        8 => (0..4_usize, refuse()).prop_map(|(nth, refuse)| Step::Answer { nth, refuse }),
        1 => Just(Step::Repeat),
        1 => (select(&[AckKind::Puback, AckKind::Pubcomp, AckKind::Pubrel][..]), 1..12_u16)
            .prop_map(|(kind, id)| Step::Stray { kind, id }),
        4 => qos().prop_map(Step::Offer),
        7 => Just(Step::Serve),
        5 => (0..6_usize, refuse()).prop_map(|(nth, refuse)| Step::Acknowledge { nth, refuse }),
        1 => Just(Step::Wait),
        3 => Just(Step::Cut),
        5 => answer.prop_map(Step::Connect),
    ]
}

fn with_code(line: String, code: u8) -> String {
    if code == 0 { line } else { format!("{line} {code:#04x}") }
}

/// The session beside the model.
struct Pair<'r> {
    rig: &'r mut Rig,
    sender: Sender,
    receiver: Receiver,
    server: Server,
    is_up: bool,
    /// The start of a packet that the transport has taken in part.
    partial: Vec<u8>,
    /// Numbers the payloads.
    count: usize,
    /// The last PUBREC that the server has sent on this connection.
    last_pubrec: Option<u16>,
}

impl<'r> Pair<'r> {
    fn new(rig: &'r mut Rig) -> Self {
        let mut sender = Sender::default();
        sender.connect(usize::from(u16::MAX));
        let (receiver, server) = (Receiver::default(), Server::default());
        Self { rig, sender, receiver, server, is_up: true, partial: Vec::new(), count: 0, last_pubrec: None }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish(qos) => self.publish(qos),
            Step::Transmit(most) => self.transmit(most),
            Step::Cut => self.cut(),
            Step::Connect(answer) if !self.is_up => self.connect(answer),
            Step::Acknowledge { nth, refuse } => self.acknowledge(nth, refuse),
            Step::Wait => {
                // Time alone sends nothing again [MQTT-4.4.0-1].
                self.rig.wait(86_400_000);
                assert_eq!(self.rig.session.handle_timeout(self.rig.now), Ok(()));
            }
            Step::Read(most) => self.server.read(most),
            Step::Answer { nth, refuse } if !self.server.unanswered.is_empty() => {
                let nth = nth % self.server.unanswered.len();
                let (kind, id) = self.server.unanswered.remove(nth);
                self.answer(kind, id, if refuse && self.rig.is_v5() { failure(kind) } else { 0 });
            }
            Step::Repeat => {
                if let Some(id) = self.last_pubrec.filter(|id| self.sender.is_in_use(*id)) {
                    // Alone on the wire: no order is laid down between its PUBREL and those of other exchanges.
                    self.transmit(usize::MAX);
                    self.answer(AckKind::Pubrec, id, 0);
                    self.transmit(usize::MAX);
                }
            }
            Step::Stray { kind, id } if self.is_up => self.stray(kind, id),
            Step::Offer(AtMostOnce) if self.is_up => {
                let payload = self.next_payload();
                let expected = [format!("Message q0 s {payload}")];
                assert_eq!(self.rig.give(incoming(AtMostOnce, 0, &payload)), expected);
            }
            Step::Offer(qos) if qos > AtMostOnce => {
                let payload = self.next_payload();
                self.server.offer(qos, &payload);
            }
            Step::Serve if self.is_up => self.serve(),
            _ => {}
        }
    }

    fn next_payload(&mut self) -> String {
        self.count += 1;
        format!("m{}", self.count)
    }

    fn publish(&mut self, qos: QoS) {
        let payload = self.next_payload();
        let result = self.rig.try_publish(qos, &payload);
        if qos == AtMostOnce {
            // The session does not keep it, so without a connection it is refused.
            assert_eq!(result, if self.is_up { Ok(None) } else { Err(Misuse::NotConnected) });
            if self.is_up {
                self.sender.publish_unkept(&payload);
            }
        } else if self.sender.open() == usize::from(WINDOW) {
            assert_eq!(result, Err(Misuse::Full(Full::Window)));
        } else {
            let id = result.expect("there is room").expect("an identifier").value();
            self.sender.publish(id, qos.bits(), &payload);
        }
    }

    fn due(&self) -> Vec<String> {
        if self.is_up { self.sender.due().into_iter().chain(self.receiver.due()).collect() } else { Vec::new() }
    }

    /// Each packet that leaves was due, and a session with nothing left to send owes nothing.
    fn transmit(&mut self, most: usize) {
        let taken = self.rig.transmit(most);
        let version = self.rig.config.version;
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend(&taken);
        let mut rest = &bytes[..];
        while let Some((_, len)) = Packet::decode(rest, version, Role::Client).expect("a valid packet") {
            let (whole, behind) = rest.split_at(len);
            let packet = packets(whole, version).remove(0);
            let due = self.due();
            assert!(due.contains(&packet), "{packet} has left, due were {due:?}");
            match packet.split(' ').next() {
                Some("PUBLISH" | "PUBREL") => self.sender.has_left(&packet),
                _ => self.receiver.has_left(&packet),
            }
            self.server.receive(packet);
            rest = behind;
        }
        self.partial = rest.to_vec();
        if taken.len() < most {
            assert_eq!(self.due(), NOTHING, "due, and has not left");
            if self.is_up {
                assert_eq!(usize::from(self.rig.session.send_quota()), self.sender.quota());
            }
        }
    }

    fn answer(&mut self, kind: AckKind, id: u16, code: u8) {
        let expected = match kind {
            AckKind::Pubrec => self.sender.handle_pubrec(id, code),
            _ => self.sender.handle_end(id, code),
        };
        self.last_pubrec = if kind == AckKind::Pubrec && code == 0 { Some(id) } else { None };
        assert_eq!(self.rig.give(ack_with(kind, id, code)), expected);
    }

    fn stray(&mut self, kind: AckKind, id: u16) {
        if kind == AckKind::Pubrel {
            // The client does not know this identifier.
            let id = id + server::MOST;
            self.receiver.handle_pubrel(id, self.rig.is_v5());
            assert_eq!(self.rig.give(pubrel(id)), NOTHING);
        } else if !self.sender.is_in_use(id) {
            assert_eq!(self.rig.give(ack(kind, id)), NOTHING);
        }
    }

    fn serve(&mut self) {
        let Some(next) = self.server.next() else { return };
        let expected = match &next {
            Next::Publish { id, qos, payload, again } => {
                let automatic = self.rig.config.acknowledgement == Acknowledgement::Automatic;
                let number = self.rig.receipts.len();
                let is_new = self.receiver.handle_publish(*id, qos.bits(), number, automatic.then_some(0));
                let dup = if *again { " dup" } else { "" };
                if is_new { vec![format!("Message q{} s{dup} {payload}", qos.bits())] } else { Vec::new() }
            }
            Next::Release(id) => {
                self.receiver.handle_pubrel(*id, self.rig.is_v5());
                Vec::new()
            }
        };
        assert_eq!(self.rig.give(next.packet()), expected);
    }

    fn acknowledge(&mut self, nth: usize, refuse: bool) {
        let Some(number) = self.rig.receipts.len().checked_sub(nth + 1) else { return };
        let byte = if refuse && self.rig.is_v5() { 0x83 } else { 0 };
        let result = self.rig.session.acknowledge(self.rig.now, self.rig.receipts[number], code(byte));
        let known = self.receiver.acknowledge(number, byte);
        assert_eq!(result, if known { Ok(()) } else { Err(Misuse::StaleReceipt) });
    }

    fn cut(&mut self) {
        if self.receiver.refuses() {
            // Whether a refusal counts that was ready and has not left is up to the client: here it leaves.
            self.transmit(usize::MAX);
        }
        self.rig.cut();
        if let Some(first) = std::mem::take(&mut self.partial).first().filter(|_| self.is_up) {
            self.sender.has_begun(*first);
        }
        self.is_up = false;
        self.last_pubrec = None;
        self.sender.cut();
        self.receiver.cut();
        self.server.cut();
    }

    fn connect(&mut self, answer: Answer) {
        self.rig.connect();
        assert_eq!(self.rig.sent(), ["CONNECT"]);
        let Answer::Accepted { session_present, receive_maximum } = answer else { return self.rig.cut() };
        let limit = [Property::ReceiveMaximum(NonZeroU16::new(receive_maximum).expect("not 0"))];
        let (properties, receive_maximum) =
            if self.rig.is_v5() { (&limit[..], receive_maximum) } else { (&[][..], u16::MAX) };
        let expected = if session_present { "Connected present" } else { "Connected" };
        assert_eq!(self.rig.accept_with(session_present, properties), [expected]);
        self.is_up = true;
        self.sender.connect(usize::from(receive_maximum));
        let mut lost = Vec::new();
        if !session_present {
            lost = self.sender.lose();
            self.receiver.lose();
            self.server.lose();
        }
        assert_eq!(self.rig.dropped(), lost);
    }

    /// With a server that does all it should, everything comes to its end.
    fn settle(&mut self) {
        self.cut();
        self.connect(Answer::Accepted { session_present: true, receive_maximum: 2 });
        for _ in 0..200 {
            self.transmit(usize::MAX);
            if self.sender.open() == 0 && self.server.is_done() {
                break;
            }
            self.server.read(usize::MAX);
            while !self.server.unanswered.is_empty() {
                self.step(&Step::Answer { nth: 0, refuse: false });
            }
            self.serve();
            for nth in 0..self.rig.receipts.len() {
                self.acknowledge(nth, false);
            }
        }
        assert_eq!(self.sender.open(), 0);
        assert!(self.server.is_done());
        assert_eq!(self.sender.quota(), if self.rig.is_v5() { 2 } else { usize::from(u16::MAX) });
    }
}

/// A code by which the server refuses.
fn failure(kind: AckKind) -> u8 {
    if kind == AckKind::Pubcomp { 0x92 } else { 0x97 }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(250),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// [MQTT-2.2.1-3] [MQTT-3.3.1-1] [MQTT-3.3.4-7] [MQTT-4.3.2-3] [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1]
    /// [MQTT-4.6.0-1] [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4] [MQTT-4.9.0-2]
    #[test]
    fn the_session_does_what_the_model_does(by_hand in any::<bool>(), steps in vec(step(), 0..most(120))) {
        let acknowledgement = if by_hand { Acknowledgement::Manual } else { Acknowledgement::Automatic };
        Setup::new().config(|config| config.acknowledgement = acknowledgement).run(|rig| {
            let mut pair = Pair::new(rig);
            for step in &steps {
                pair.step(step);
            }
            pair.settle();
        });
    }
}
