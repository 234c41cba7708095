//! Sessions of programs that leave features out: what is left out is refused on both sides, and all else is as ever.

use std::num::NonZeroU16;

use flowsdk::codec::{DecodeError, EncodeError, PacketType, Properties, Property};
use flowsdk::packet::{Packet, Subscription};
use flowsdk::session::storage::without;
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Fixed, Misuse, Oversize, PeerError, Session};
use flowsdk::time::Instant;
use flowsdk::types::ProtocolVersion;

use crate::support::*;

const FEATURES: u32 = without::QOS_2 | without::OVERSIZE | without::EXPIRY;

type Of<const WITHOUT: u32> = Fixed<2048, { WINDOW as usize }, WITHOUT>;
type Lean = Of<FEATURES>;
type LeanV5 = Of<{ FEATURES | without::V3_1_1 }>;
type LeanV3 = Of<{ FEATURES | without::V5_0 }>;

/// Runs with sessions of such storages, connected, in both versions.
fn everywhere(change: impl Fn(&mut Config), test: impl Fn(&mut Rig)) {
    let run = |version, session: &dyn Fn(Config) -> Box<dyn Endpoint>| {
        let mut config = Config { version, ..Config::DEFAULT };
        change(&mut config);
        let mut rig = Rig::new(config, session(config));
        rig.up();
        test(&mut rig);
    };
    run(V5, &|config| Box::new(Session::new(config, Lean::empty())));
    run(V5, &|config| Box::new(Session::new(config, LeanV5::empty())));
    run(V3_1_1, &|config| Box::new(Session::new(config, Lean::empty())));
    run(V3_1_1, &|config| Box::new(Session::new(config, LeanV3::empty())));
}

fn unchanged(_: &mut Config) {}

#[test]
fn qos_1_works_in_both_directions_and_across_connections() {
    everywhere(unchanged, |rig| {
        let packet_id = rig.publish(AtLeastOnce, "a");
        assert_eq!(rig.sent(), [format!("PUBLISH {packet_id} q1 t a")]);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), [format!("PUBLISH {packet_id} q1 t a dup")]);
        assert_eq!(rig.give(puback(packet_id)), [format!("Published {packet_id} q1")]);

        assert_eq!(rig.give(incoming(AtLeastOnce, 7, "b")), ["Message q1 s b"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        assert_eq!(rig.give(incoming(AtLeastOnce, 7, "c")), ["Message q1 s c"]);
        rig.cut_and_resume();
        assert_eq!(rig.give(repeated(AtLeastOnce, 7, "c")), ["Message q1 s dup c"]);
        assert_eq!(rig.sent(), ["PUBACK 7"]);
        assert_eq!(rig.give(incoming(AtMostOnce, 0, "d")), ["Message q0 s d"]);
    });
}

#[test]
fn a_publish_or_a_subscription_of_qos_2_is_refused_and_changes_nothing() {
    everywhere(unchanged, |rig| {
        let before = rig.session.state();
        assert_eq!(rig.try_publish(ExactlyOnce, "a"), Err(Misuse::LeftOut));
        let list = [Subscription::new("a", AtLeastOnce), Subscription::new("b", ExactlyOnce)];
        assert_eq!(rig.session.subscribe(rig.now, &list, &[]), Err(Misuse::LeftOut));
        assert_eq!(rig.session.state(), before);
        assert_eq!(rig.sent(), [""; 0]);
    });
}

#[track_caller]
fn ends_the_connection(packet: Packet<'_>, packet_type: PacketType) {
    everywhere(unchanged, |rig| {
        let held = rig.publish(AtLeastOnce, "a");
        assert_eq!(rig.sent(), [format!("PUBLISH {held} q1 t a")]);
        assert_eq!(rig.give_bad(packet), PeerError::LeftOut(packet_type));
        rig.ends_with(0x83);
        rig.cut_and_resume();
        assert_eq!(rig.sent(), [format!("PUBLISH {held} q1 t a dup")], "the session goes on");
    });
}

#[test]
fn a_qos_2_message_of_the_server_ends_the_connection() {
    ends_the_connection(incoming(ExactlyOnce, 7, "b"), PacketType::Publish);
}

#[test]
fn a_pubrec_ends_the_connection() {
    ends_the_connection(pubrec(1), PacketType::Pubrec);
}

#[test]
fn a_pubrel_ends_the_connection() {
    ends_the_connection(pubrel(7), PacketType::Pubrel);
}

#[test]
fn a_pubcomp_ends_the_connection() {
    ends_the_connection(pubcomp(1), PacketType::Pubcomp);
}

#[test]
fn a_message_longer_than_the_receive_limit_is_refused_whatever_the_configuration_says() {
    for oversize in [Oversize::Skip, Oversize::Stream, Oversize::Refuse] {
        let limited = |config: &mut Config| (config.receive_limit, config.oversize) = (32, oversize);
        everywhere(limited, |rig| {
            let bytes = encode(&incoming(AtMostOnce, 0, &"x".repeat(40)), rig.config.version);
            let len = u32::try_from(bytes.len()).unwrap();
            assert_eq!(rig.take(&bytes[..32]), Err(PeerError::PacketTooLarge(len)));
            rig.ends_with(0x95);
        });
    }
}

#[test]
fn a_streaming_configuration_announces_the_receive_limit_where_streaming_is_left_out() {
    let config = Config { receive_limit: 300, oversize: Oversize::Stream, ..Config::DEFAULT };
    let mut rig = Rig::new(config, Box::new(Session::new(config, Lean::empty())));
    rig.connect();
    let maximum_packet_size = [0x27, 0, 0, 0x01, 0x2C];
    assert!(rig.wire().windows(5).any(|bytes| bytes == maximum_packet_size));
}

#[test]
fn a_message_expiry_interval_is_sent_as_it_was_given_however_long_the_message_has_waited() {
    let config = Config::DEFAULT;
    let mut rig = Rig::new(config, Box::new(Session::new(config, Lean::empty())));
    let properties = [Property::MessageExpiryInterval(5)];
    let expiring = ApplicationMessage { properties: Properties::new(&properties), ..message(AtLeastOnce, "a") };
    assert!(matches!(rig.session.publish(rig.now, &expiring), Ok(Some(_))));
    rig.wait(9_000);
    rig.up();
    let interval = [0x02, 0, 0, 0, 5];
    assert!(rig.wire().windows(5).any(|bytes| bytes == interval));
    assert_eq!(rig.dropped(), [""; 0]);
}

#[track_caller]
fn connects_never<const WITHOUT: u32>(version: ProtocolVersion) {
    let config = Config { version, ..Config::DEFAULT };
    let mut session = Session::new(config, Of::<WITHOUT>::empty());
    let before = session.state();
    let options = ConnectOptions { client_id: "c", ..ConnectOptions::DEFAULT };
    assert_eq!(session.connect(Instant::from_millis(0), &options), Err(Misuse::LeftOut));
    assert_eq!(session.state(), before);
    assert!(!session.has_connection());
}

#[test]
fn a_session_whose_version_is_left_out_never_connects() {
    connects_never::<{ without::V3_1_1 }>(V3_1_1);
    connects_never::<{ without::V5_0 }>(V5);
    connects_never::<{ without::V3_1_1 | without::V5_0 }>(V3_1_1);
    connects_never::<{ without::V3_1_1 | without::V5_0 }>(V5);
}

/// A session of v3.1.1 alone, connected.
fn v3_alone() -> Rig {
    let config = Config { version: V3_1_1, ..Config::DEFAULT };
    let mut rig = Rig::new(config, Box::new(Session::new(config, Of::<{ without::V5_0 }>::empty())));
    rig.up();
    rig
}

#[test]
fn properties_are_refused_where_v5_is_left_out() {
    let mut rig = v3_alone();
    let before = rig.session.state();
    for property in
        [Property::MessageExpiryInterval(5), Property::TopicAlias(NonZeroU16::MIN), Property::UserProperty("k", "v")]
    {
        let properties = [property];
        let message = ApplicationMessage { properties: Properties::new(&properties), ..message(AtLeastOnce, "a") };
        let refused = Err(Misuse::Encode(EncodeError::NotInVersion));
        assert_eq!(rig.session.publish(rig.now, &message), refused);
    }
    let list = [Subscription::new("a", AtLeastOnce)];
    let refused = Err(Misuse::Encode(EncodeError::NotInVersion));
    assert_eq!(rig.session.subscribe(rig.now, &list, &[Property::SubscriptionIdentifier(7)]), refused);
    assert_eq!(rig.session.state(), before);
}

#[test]
fn packets_of_v5_end_the_connection_where_it_is_left_out() {
    for packet in [&[0xF0, 0], &[0xE0, 0]] {
        let mut rig = v3_alone();
        assert_eq!(rig.take(packet), Err(PeerError::Decode(DecodeError::PacketType(packet[0] >> 4))));
        assert_eq!(rig.wire(), []);
        assert!(rig.session.is_closing());
    }
}
