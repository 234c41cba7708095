//! Any commands, packets, cuts and pauses in any order: nothing panics, and no message is lost or told twice.

use flowsdk::packet::AckKind;
use flowsdk::session::{Acknowledgement, Config, Fixed, Heap, HeapLimits, Oversize, Session};
use flowsdk::types::QoS;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::ledger::{Ledger, Step};
use crate::support::*;

fn qos() -> impl Strategy<Value = QoS> {
    select(&[AtMostOnce, AtLeastOnce, ExactlyOnce][..])
}

fn command() -> impl Strategy<Value = Step> {
    let topic = select(&["t", "a topic", "another/topic"][..]);
    let expiry = proptest::option::weighted(0.2, 0..5_u32);
    prop_oneof![
        8 => (qos(), 0..40_usize, topic, expiry, any::<bool>())
            .prop_map(|(qos, len, topic, expiry, encoded)| Step::Publish { qos, len, topic, expiry, encoded }),
        1 => Just(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        3 => (0..8_usize, select(&[0, 0, 0, 0x83, 0x92][..]))
            .prop_map(|(nth, code)| Step::Acknowledge { nth, code }),
        1 => Just(Step::Authenticate),
        1 => Just(Step::Ping),
        1 => any::<bool>().prop_map(|with_reason| Step::Disconnect { with_reason }),
    ]
}

fn surroundings() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => select(&[1, 2, 7, 30, 1000][..]).prop_map(Step::Transmit),
        2 => select(&[1, 900, 5_000, 70_000, 1 << 30][..]).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => Just(Step::Collect),
        1 => Just(Step::Cut),
        3 => (proptest::bool::weighted(0.1), proptest::bool::weighted(0.05))
            .prop_map(|(clean_start, other_client)| Step::Connect { clean_start, other_client }),
        3 => (proptest::bool::weighted(0.8), 1..5_u16, 0..3_u16).prop_map(|(session_present, receive_maximum, aliases)| {
            Step::Accept { session_present, receive_maximum, aliases }
        }),
    ]
}

fn servers() -> impl Strategy<Value = Step> {
    let kind = select(&[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp][..]);
    let alias = proptest::option::weighted(0.1, 1..4_u16);
    prop_oneof![
        4 => (qos(), 1..4_u16, 0..60_usize, alias)
            .prop_map(|(qos, id, len, alias)| Step::Serve { qos, id, len, alias }),
        4 => (kind, 1..6_u16, select(&[0, 0, 0x80][..]))
            .prop_map(|(kind, id, code)| Step::Acknowledged { kind, id, code }),
        6 => Just(Step::AnswerAll),
        1 => vec(any::<u8>(), 1..6).prop_map(Step::Garbage),
        8 => select(&[1, 3, 1000][..]).prop_map(Step::Deliver),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let oversize = select(&[Oversize::Refuse, Oversize::Skip, Oversize::Stream][..]);
    let version = select(&[V5, V3_1_1][..]);
    (version, any::<bool>(), oversize, any::<bool>(), 0..4_u16, any::<bool>()).prop_map(
        |(version, manual, oversize, limited, receive_maximum, outbound_topic_aliases)| Config {
            version,
            acknowledgement: if manual { Acknowledgement::Manual } else { Acknowledgement::Automatic },
            receive_limit: if limited { 40 } else { 0 },
            oversize,
            receive_maximum,
            topic_alias_maximum: 2,
            outbound_topic_aliases,
            ..Config::DEFAULT
        },
    )
}

fn sessions(config: Config) -> [Box<dyn Endpoint>; 5] {
    let tight = HeapLimits { window: 3, held_bytes: 100, wire_bytes: 50, receive_window: 3, topic_aliases: 2 };
    [
        Box::new(Session::new(config, Fixed::<100, 1>::new())),
        Box::new(Session::new(config, Fixed::<200, 3>::new())),
        Box::new(Session::new(config, Fixed::<2000, 16>::new())),
        Box::new(Session::new(config, Heap::new(tight))),
        Box::new(Session::new(config, Heap::new(HeapLimits::default()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, ..ProptestConfig::default() })]

    /// [MQTT-2.2.1-3] [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.3.1-1] [MQTT-3.3.4-7] [MQTT-3.14.4-1] [MQTT-4.6.0-1]
    /// [MQTT-4.9.0-2]
    #[test]
    fn every_message_ends_once_whatever_happens_in_whatever_order(
        config in config(),
        keep_alive in select(&[0, 3][..]),
        steps in vec(prop_oneof![command(), surroundings(), servers()], 0..most(150)),
    ) {
        for session in sessions(config) {
            let mut rig = Rig::new(config, session);
            rig.keep_alive = keep_alive;
            let mut ledger = Ledger::connected(rig);
            for step in &steps {
                ledger.step(step.clone());
            }
            ledger.settle();
        }
    }
}
