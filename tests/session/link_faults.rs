//! A link that breaks behind every byte of every exchange: nothing is lost, QoS 2 comes once, the order is kept.

use flowsdk::session::{Acknowledgement, Config};
use flowsdk::types::QoS;

use crate::support::*;

/// What is under way when the link breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Exchange {
    Publish(QoS),
    Receive(QoS),
    /// Messages of every QoS in both directions.
    Both,
    Subscribe,
    Unsubscribe,
}

const EXCHANGES: [Exchange; 7] = [
    Exchange::Publish(AtLeastOnce),
    Exchange::Publish(ExactlyOnce),
    Exchange::Receive(AtLeastOnce),
    Exchange::Receive(ExactlyOnce),
    Exchange::Both,
    Exchange::Subscribe,
    Exchange::Unsubscribe,
];

/// How many bytes get through before the link breaks.
#[derive(Clone, Copy, Debug)]
struct Budget {
    up: usize,
    down: usize,
}

const WHOLE: Budget = Budget { up: usize::MAX, down: usize::MAX };

/// A session and a broker, with a link between them.
struct Pair<'r> {
    rig: &'r mut Rig,
    broker: Broker,
    /// What the session has read and not consumed.
    inbox: Vec<u8>,
    events: Vec<String>,
}

impl<'r> Pair<'r> {
    /// Connected, with nothing on the way.
    fn new(rig: &'r mut Rig) -> Self {
        let broker = Broker::new(rig.config.version);
        let mut pair = Self { rig, broker, inbox: Vec::new(), events: Vec::new() };
        pair.rig.connect();
        pair.run(WHOLE);
        assert_eq!(std::mem::take(&mut pair.events), ["Connected"]);
        pair
    }

    /// Carries bytes until there are none, or until one direction has carried its share; how many it carried.
    fn run(&mut self, mut budget: Budget) -> Budget {
        let mut carried = Budget { up: 0, down: 0 };
        loop {
            let up = self.rig.transmit(budget.up);
            let mut down = self.broker.transmit();
            down.truncate(budget.down);
            (budget.up, budget.down) = (budget.up - up.len(), budget.down - down.len());
            (carried.up, carried.down) = (carried.up + up.len(), carried.down + down.len());
            if up.is_empty() && down.is_empty() {
                return carried;
            }
            self.broker.take(&up);
            self.deliver(&down);
            if budget.up == 0 || budget.down == 0 {
                return carried;
            }
        }
    }

    fn deliver(&mut self, bytes: &[u8]) {
        self.inbox.extend(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        loop {
            let (consumed, event, goes_on) = self.rig.step(rest);
            self.events.extend(event);
            rest = &rest[consumed..];
            if !goes_on {
                break;
            }
        }
        self.inbox = rest.to_vec();
    }

    fn cut(&mut self) {
        self.rig.cut();
        self.broker.cut();
        self.inbox.clear();
    }

    fn begin(&mut self, exchange: Exchange) {
        match exchange {
            Exchange::Publish(qos) => {
                self.rig.publish(qos, "a");
                self.rig.publish(qos, "b");
            }
            Exchange::Receive(qos) => {
                self.broker.send(qos, "x");
                self.broker.send(qos, "y");
            }
            Exchange::Both => {
                for (qos, payloads) in [(AtLeastOnce, ["a1", "b1"]), (ExactlyOnce, ["a2", "b2"])] {
                    for payload in payloads {
                        self.rig.publish(qos, payload);
                        self.broker.send(qos, payload);
                    }
                }
            }
            Exchange::Subscribe => {
                self.rig.subscribe(&["f"]);
            }
            Exchange::Unsubscribe => {
                self.broker.subscriptions = vec!["f".to_owned()];
                self.rig.unsubscribe(&["f"]);
            }
        }
    }

    /// A request whose answer has not come is forgotten with its connection: the application asks again.
    fn ask_again(&mut self, exchange: Exchange) {
        match exchange {
            Exchange::Subscribe if !self.has_event("Subscribed") => {
                self.rig.subscribe(&["f"]);
            }
            Exchange::Unsubscribe if !self.has_event("Unsubscribed") => {
                self.rig.unsubscribe(&["f"]);
            }
            _ => {}
        }
    }

    fn has_event(&self, start: &str) -> bool {
        self.events.iter().any(|event| event.starts_with(start))
    }

    /// The rest of the events that begin so.
    fn told(&self, start: &str) -> Vec<&str> {
        self.events.iter().filter_map(|event| event.strip_prefix(start)).collect()
    }

    fn check(&self, exchange: Exchange) {
        let sent: Vec<_> = self.broker.received.iter().map(String::as_str).collect();
        let (told_1, told_2) = (self.told("Message q1 s "), self.told("Message q2 s "));
        let told_1 = told_1.into_iter().map(|payload| payload.trim_start_matches("dup ")).collect();
        let told_2: Vec<_> = told_2.into_iter().map(|payload| payload.trim_start_matches("dup ")).collect();
        let mut ended = self.told("Published ");
        ended.sort_unstable();
        match exchange {
            Exchange::Publish(qos) => {
                assert_eq!(if qos == AtLeastOnce { firsts(sent) } else { sent }, ["a", "b"]);
                assert_eq!(ended, [1, 2].map(|id| format!("{id} q{}", qos.bits())));
            }
            Exchange::Receive(AtLeastOnce) => assert_eq!(firsts(told_1), ["x", "y"]),
            Exchange::Receive(_) => assert_eq!(told_2, ["x", "y"]),
            Exchange::Both => {
                let (once, often): (Vec<_>, Vec<_>) = sent.into_iter().partition(|payload| payload.ends_with('2'));
                assert_eq!((firsts(often), once), (vec!["a1", "b1"], vec!["a2", "b2"]));
                assert_eq!((firsts(told_1), told_2), (vec!["a1", "b1"], vec!["a2", "b2"]));
                assert_eq!(ended, ["1 q1", "2 q1", "3 q2", "4 q2"]);
            }
            Exchange::Subscribe => {
                assert!(self.broker.subscriptions.contains(&"f".to_owned()));
                assert_eq!(self.told("Subscribed").len(), 1);
            }
            Exchange::Unsubscribe => {
                assert_eq!(self.broker.subscriptions, [""; 0]);
                assert_eq!(self.told("Unsubscribed").len(), 1);
            }
        }
        assert_eq!(self.broker.open(), 0, "the broker waits for nothing");
        assert_eq!(self.rig.session.send_quota(), u16::MAX, "the session waits for nothing");
    }
}

/// A message of QoS 1 may come again, but not before the first copies of those ahead of it.
fn firsts(payloads: Vec<&str>) -> Vec<&str> {
    let mut firsts = Vec::new();
    for payload in payloads {
        if !firsts.contains(&payload) {
            firsts.push(payload);
        }
    }
    firsts
}

/// The link breaks there twice in a row, the second time counted from the CONNECT on; the third link holds.
fn survives(rig: &mut Rig, exchange: Exchange, budget: Budget) -> Budget {
    let mut pair = Pair::new(rig);
    pair.begin(exchange);
    let carried = pair.run(budget);
    for budget in [budget, WHOLE] {
        pair.cut();
        pair.rig.connect();
        let carried = pair.run(budget);
        let rest = Budget { up: budget.up - carried.up, down: budget.down - carried.down };
        if rest.up > 0 && rest.down > 0 {
            pair.ask_again(exchange);
            pair.run(rest);
        }
    }
    pair.check(exchange);
    carried
}

/// [MQTT-4.1.0-1] [MQTT-4.3.2-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_link_may_break_behind_any_byte_of_any_exchange() {
    for exchange in EXCHANGES {
        let carried = std::cell::Cell::new(WHOLE);
        Setup::new().v5().fixed().run_idle(|rig| carried.set(survives(rig, exchange, WHOLE)));
        let Budget { up, down } = carried.get();
        assert!(up > 0 && down > 0, "{exchange:?} has something to break");
        let ups = (0..=up).map(|up| Budget { up, ..WHOLE });
        for budget in ups.chain((0..=down).map(|down| Budget { down, ..WHOLE })) {
            Setup::new().run_idle(|rig| {
                eprintln!("{exchange:?} {budget:?}");
                survives(rig, exchange, budget);
            });
        }
    }
}

/// Bytes that were read and not looked at are gone with their link, and nothing of them is known.
#[test]
fn a_message_that_was_read_and_not_handed_over_comes_again_once() {
    everywhere(|rig| {
        let first = encode(&incoming(ExactlyOnce, 1, "x"), rig.config.version);
        let both = [&first[..], &encode(&incoming(ExactlyOnce, 2, "y"), rig.config.version)].concat();
        assert_eq!(rig.step(&both), (first.len(), Some("Message q2 s x".to_owned()), true));
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(ExactlyOnce, 1, "x")), [""; 0]);
        assert_eq!(rig.give(repeated(ExactlyOnce, 2, "y")), ["Message q2 s dup y"]);
        assert_eq!(rig.sent(), ["PUBREC 1", "PUBREC 2"]);
    });
}

#[test]
fn a_message_that_had_to_wait_for_room_when_the_link_broke_comes_again_once() {
    let by_hand = |config: &mut Config| config.acknowledgement = Acknowledgement::Manual;
    Setup::new().v3().config(by_hand).run(|rig| {
        for id in 1..=WINDOW {
            rig.give(incoming(AtLeastOnce, id, "x"));
        }
        let stalled = ["Stalled AcknowledgeFirst"];
        assert_eq!(rig.give(incoming(ExactlyOnce, WINDOW + 1, "y")), stalled);
        rig.cut_and_resume();
        let message = ["Message q2 s dup y"];
        assert_eq!(rig.give(repeated(ExactlyOnce, WINDOW + 1, "y")), message);
        assert_eq!(rig.give(repeated(ExactlyOnce, WINDOW + 1, "y")), [""; 0]);
    });
}

/// [MQTT-4.6.0-1] [MQTT-2.2.1-3]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn the_order_of_sending_again_is_not_that_of_the_identifiers() {
    Setup::new().v5().run(|rig| {
        rig.publish(AtLeastOnce, "held");
        for id in 2..u16::MAX {
            assert_eq!(rig.publish(AtLeastOnce, ""), id);
            rig.wire();
            rig.give(puback(id));
        }
        // Both of the last two come upon the identifier that is held.
        let ids = ["a", "b", "c"].map(|payload| rig.publish(ExactlyOnce, payload));
        assert_eq!(ids, [u16::MAX, 2, 3]);
        rig.sent();
        rig.cut_and_resume();
        let publishes =
            ["PUBLISH 1 q1 t held dup", "PUBLISH 65535 q2 t a dup", "PUBLISH 2 q2 t b dup", "PUBLISH 3 q2 t c dup"];
        assert_eq!(rig.sent(), publishes);
        for id in [3, u16::MAX, 2] {
            rig.give(pubrec(id));
        }
        rig.sent();
        rig.cut_and_resume();
        assert_eq!(rig.sent(), ["PUBREL 3", "PUBREL 65535", "PUBREL 2", publishes[0]]);
    });
}

/// The memory of what was acknowledged is used again while the rest of a packet waits.
#[test]
fn a_packet_that_was_cut_in_its_middle_is_sent_again_whole() {
    for taken in 1..=8 {
        everywhere(|rig| {
            for payload in ["a", "b"] {
                rig.publish(AtLeastOnce, payload);
            }
            let whole = if rig.is_v5() { 9 } else { 8 };
            rig.transmit(whole + taken.min(whole - 1));
            assert_eq!(rig.give(puback(1)), ["Published 1 q1"]);
            rig.publish(AtLeastOnce, "in its place");
            rig.cut_and_resume();
            assert_eq!(rig.sent(), ["PUBLISH 2 q1 t b dup", "PUBLISH 3 q1 t in its place"]);
        });
    }
}

/// The application asks again, and that is all that is sent.
#[test]
fn a_request_that_was_cut_in_its_middle_leaves_nothing_behind() {
    for taken in 0..8 {
        everywhere(|rig| {
            rig.subscribe(&["first"]);
            rig.transmit(taken);
            rig.cut_and_resume();
            rig.subscribe(&["second"]);
            assert_eq!(rig.sent(), ["SUBSCRIBE 2 second"]);
        });
    }
}
