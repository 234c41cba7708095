//! What options become in CONNECT.

use flowsdk::mqtt_client::{MessageProperties, MqttClientOptions, ProtocolOptions, Will};
use flowsdk::types::ProtocolVersion;

use crate::scripted_setup::{PACKET_SIZE, Scene, V3_1_1, V5, both, connack, connect};
use crate::support::scripted_broker::Peer;
use crate::support::wire;

const CLEAN: u8 = 0x02;

/// The client identifier that a scene has.
const ID: [u8; 3] = [0, 1, b'c'];

/// The CONNECT of a client with changed options.
#[track_caller]
fn connect_of(version: ProtocolVersion, change: impl FnOnce(&mut MqttClientOptions)) -> Vec<u8> {
    let mut scene = Scene::new(version);
    change(&mut scene.options);
    let (client, _log) = scene.client();
    client.connect().unwrap();
    scene.broker.accept().expect_connect()
}

/// Only the packet size, which every client of v5.0 announces, and `more`.
fn announcing(more: &[u8]) -> Vec<u8> {
    [more, &PACKET_SIZE].concat()
}

#[test]
fn the_default_options_but_for_the_names_give_the_smallest_connect() {
    both(|version| {
        let packet = connect_of(version, |_| {});
        assert_eq!(packet, connect(version, CLEAN, 0, &PACKET_SIZE, &[&ID]));
    });
}

#[test]
fn the_client_id_may_be_empty_or_anything() {
    both(|version| {
        let empty = connect_of(version, |options| options.client_id.clear());
        assert_eq!(empty, connect(version, CLEAN, 0, &PACKET_SIZE, &[&[0, 0]]));
        let long = "ü".repeat(100);
        let packet = connect_of(version, |options| options.client_id.clone_from(&long));
        assert_eq!(packet, connect(version, CLEAN, 0, &PACKET_SIZE, &[&wire::string(&long)]));
    });
}

#[test]
fn keep_alive_stands_in_connect_in_seconds() {
    both(|version| {
        let packet = connect_of(version, |options| options.keep_alive = 0x1234);
        assert_eq!(packet, connect(version, CLEAN, 0x1234, &PACKET_SIZE, &[&ID]));
    });
    let client_default = MqttClientOptions::default();
    assert_eq!(client_default.keep_alive, 60);
}

#[test]
fn without_clean_start_the_flag_is_not_set_and_sessionless_sets_it_all_the_same() {
    both(|version| {
        let packet = connect_of(version, |options| options.clean_start = false);
        assert_eq!(packet, connect(version, 0, 0, &PACKET_SIZE, &[&ID]));
        let packet = connect_of(version, |options| {
            options.clean_start = false;
            options.sessionless = true;
            if version.is_v5() {
                options.protocol.session_expiry_interval = 100;
            }
        });
        assert_eq!(packet, connect(version, CLEAN, 0, &PACKET_SIZE, &[&ID]));
    });
}

#[test]
fn user_name_and_password_follow_the_client_id() {
    both(|version| {
        let packet = connect_of(version, |options| {
            options.username = Some("user".to_string());
            options.password = Some("pass".into());
        });
        let rest: [&[u8]; 3] = [&ID, &wire::string("user"), &wire::string("pass")];
        assert_eq!(packet, connect(version, 0xC0 | CLEAN, 0, &PACKET_SIZE, &rest));

        let packet = connect_of(version, |options| options.username = Some(String::new()));
        assert_eq!(packet, connect(version, 0x80 | CLEAN, 0, &PACKET_SIZE, &[&ID, &[0, 0]]));
    });
    let packet = connect_of(V5, |options| options.password = Some(vec![0xFF, 0].into()));
    assert_eq!(packet, connect(V5, 0x40 | CLEAN, 0, &PACKET_SIZE, &[&ID, &[0, 2, 0xFF, 0]]));
}

#[test]
fn a_will_has_its_topic_payload_qos_and_retain() {
    both(|version| {
        for (qos, retain, flags) in [(0, false, 0x04), (1, true, 0x2C), (2, false, 0x14)] {
            let packet = connect_of(version, |options| options.will = Some(Will::new("w/t", b"gone", qos, retain)));
            let no_properties: &[u8] = if version.is_v5() { &[0] } else { &[] };
            let rest: [&[u8]; 4] = [&ID, no_properties, &wire::string("w/t"), &wire::string("gone")];
            assert_eq!(packet, connect(version, flags | CLEAN, 0, &PACKET_SIZE, &rest));
        }
    });
}

#[test]
fn a_will_has_every_property_that_it_is_given() {
    let packet = connect_of(V5, |options| {
        options.will = Some(Will { delay_interval: 5, properties: all_properties(), ..Will::new("w", b"", 0, false) });
    });
    let properties = [&all_properties_on_the_wire()[..], &[0x18, 0, 0, 0, 5]].concat();
    let rest: [&[u8]; 4] = [&ID, &wire::prefixed(&properties), &wire::string("w"), &[0, 0]];
    assert_eq!(packet, connect(V5, 0x04 | CLEAN, 0, &PACKET_SIZE, &rest));
}

/// One of each.
pub(crate) fn all_properties() -> MessageProperties {
    MessageProperties {
        payload_is_utf8: true,
        message_expiry_interval: Some(0x0102_0304),
        content_type: Some("text".to_string()),
        response_topic: Some("re/ply".to_string()),
        correlation_data: Some(vec![0, 0xFF]),
        user_properties: vec![("k".to_string(), "v".to_string()), ("k".to_string(), "w".to_string())],
    }
}

pub(crate) fn all_properties_on_the_wire() -> Vec<u8> {
    [
        &[0x01, 1][..],
        &[0x02, 1, 2, 3, 4],
        &[0x03],
        &wire::string("text"),
        &[0x08],
        &wire::string("re/ply"),
        &[0x09, 0, 2, 0, 0xFF],
        &[0x26],
        &wire::string("k"),
        &wire::string("v"),
        &[0x26],
        &wire::string("k"),
        &wire::string("w"),
    ]
    .concat()
}

#[test]
fn every_property_of_the_connection_has_its_option() {
    let with = |properties: &[u8], change: fn(&mut ProtocolOptions)| {
        let packet = connect_of(V5, |options| change(&mut options.protocol));
        assert_eq!(packet, connect(V5, CLEAN, 0, properties, &[&ID]));
    };
    with(&announcing(&[0x11, 0, 0, 0, 9]), |protocol| protocol.session_expiry_interval = 9);
    with(&announcing(&[0x21, 0, 7]), |protocol| protocol.receive_maximum = 7);
    with(&[&PACKET_SIZE[..], &[0x22, 0, 6]].concat(), |protocol| protocol.topic_alias_maximum = 6);
    with(&[&PACKET_SIZE[..], &[0x19, 1]].concat(), |protocol| protocol.request_response_information = true);
    with(&[&PACKET_SIZE[..], &[0x17, 0]].concat(), |protocol| protocol.omit_problem_information = true);
    with(&[&PACKET_SIZE[..], &[0x26, 0, 1, b'a', 0, 1, b'b']].concat(), |protocol| {
        protocol.user_properties = vec![("a".to_string(), "b".to_string())];
    });
}

#[test]
fn the_longest_packet_that_is_taken_is_announced() {
    let packet = connect_of(V5, |options| options.limits.maximum_packet_size = 1000);
    assert_eq!(packet, connect(V5, CLEAN, 0, &[0x27, 0, 0, 3, 0xE8], &[&ID]));
}

#[test]
fn the_version_is_that_of_the_options() {
    assert_eq!(connect_of(V3_1_1, |_| {})[8], 4);
    assert_eq!(connect_of(V5, |_| {})[8], 5);
}

#[test]
fn the_peer_may_be_given_as_a_url_or_as_host_and_port() {
    let urls = ["mqtt://127.0.0.1:PORT", "tcp://127.0.0.1:PORT", "mqtt://127.0.0.1:PORT/", "localhost:PORT"];
    for url in urls {
        let mut scene = Scene::new(V5);
        scene.options.peer = url.replace("PORT", &scene.broker.address().port().to_string());
        let (client, log) = scene.client();
        client.connect().unwrap();
        let _peer = scene.accept(false);
        assert!(log.connection(1).is_success(), "{url}");
    }
}

/// What CONNECT says of the session, on the first and on later connections: the table in the documentation.
#[test]
fn a_session_is_begun_and_resumed_as_the_table_says() {
    let rows: [(ProtocolVersion, bool, bool, u32, [bool; 3]); 9] = [
        (V5, true, true, 9, [true, true, true]),
        (V5, true, false, 9, [true, true, true]),
        (V5, false, true, 0, [true, true, true]),
        (V5, false, true, 9, [true, false, true]),
        (V5, false, false, 0, [false, false, false]),
        (V5, false, false, 9, [false, false, false]),
        (V3_1_1, true, false, 0, [true, true, true]),
        (V3_1_1, false, true, 0, [true, true, true]),
        (V3_1_1, false, false, 0, [false, false, false]),
    ];
    for (version, sessionless, clean_start, expiry, [first, later, after_connect]) in rows {
        let mut scene = Scene::new(version);
        scene.options.sessionless = sessionless;
        scene.options.clean_start = clean_start;
        scene.options.protocol.session_expiry_interval = expiry;
        let (client, log) = scene.client();
        let clean_start_of = |peer: &mut Peer| {
            let packet = peer.expect_connect();
            peer.send(&connack(version, false));
            packet[9] & CLEAN != 0
        };
        client.connect().unwrap();
        let mut peer = scene.broker.accept();
        assert_eq!(clean_start_of(&mut peer), first);
        log.connection(1);
        peer.close();
        let mut peer = scene.broker.accept();
        assert_eq!(clean_start_of(&mut peer), later);
        log.connection(2);
        client.disconnect().unwrap();
        client.connect().unwrap();
        peer.expect(&wire::DISCONNECT);
        peer.close();
        assert_eq!(clean_start_of(&mut scene.broker.accept()), after_connect);
    }
}

#[test]
fn the_client_id_that_the_server_has_assigned_is_used_from_then_on() {
    let mut scene = Scene::new(V5);
    scene.options.client_id.clear();
    let assigned = [&[0x12][..], &wire::string("given")].concat();
    let live = scene.connected_with(&wire::connack_v5(&assigned, false, 0));
    live.peer.close();
    let packet = scene.broker.accept().expect_connect();
    assert_eq!(packet, connect(V5, CLEAN, 0, &PACKET_SIZE, &[&wire::string("given")]));
}

/// [MQTT-3.1.0-1] [MQTT-3.1.0-2]
#[test]
fn a_publish_before_connect_or_during_back_off_waits_for_one_connect() {
    both(|version| {
        let scene = Scene::new(version);
        let (client, log) = scene.client();
        client.publish("a", b"before", 1, false).unwrap();
        client.connect().unwrap();
        client.connect().unwrap();
        let mut peer = scene.broker.accept();
        peer.expect_connect();
        peer.send(&connack(version, false));
        let first = peer.expect_type(3);
        assert!(first.ends_with(b"before"));
        peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&first)));
        log.connection(1);
        peer.close();
        log.wait_for_count(1, |event| matches!(event, flowsdk::mqtt_client::MqttEvent::ConnectionLost));
        client.publish("a", b"between", 1, false).unwrap();
        let mut peer = scene.accept(false);
        assert!(peer.expect_type(3).ends_with(b"between"));
    });
}
