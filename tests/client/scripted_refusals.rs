//! What is refused at the call, before anything is sent.

use std::io::{self, ErrorKind};

use flowsdk::mqtt_client::{
    AsyncMqttClient, ClientError, MessageProperties, MqttClientOptions, PublishOptions, SubscribeOptions,
    TopicSubscription, UnsubscribeOptions, WaitError, Will,
};
use flowsdk::types::ProtocolVersion;

use crate::recorder::Recorder;
use crate::scripted_setup::{Scene, V3_1_1, V5, both, publish};

/// Checks that a call is refused as it should be, and that it converts to an `io::Error` that says the same.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>, wanted: impl Fn(&ClientError) -> bool) {
    let error = result.expect_err("a refusal");
    assert!(wanted(&error), "{error:?}");
    let text = error.to_string();
    let converted = io::Error::from(error);
    assert_eq!((converted.kind(), converted.to_string()), (ErrorKind::InvalidInput, text));
}

const TOPIC: fn(&ClientError) -> bool = |error| matches!(error, ClientError::InvalidTopic { .. });
const ENCODE: fn(&ClientError) -> bool = |error| matches!(error, ClientError::Encode(_));
const QOS: fn(&ClientError) -> bool = |error| matches!(error, ClientError::InvalidQoS(3 | 255));
const OPTION: fn(&ClientError) -> bool = |error| matches!(error, ClientError::InvalidOption { .. });

/// [MQTT-3.3.1-4] [MQTT-3.3.2-2] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2] [MQTT-4.7.3-3]
/// [MQTT-3.8.3-2] [MQTT-3.10.3-2]
#[test]
fn calls_that_make_no_valid_packet_are_refused_and_send_nothing() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let client = &live.client;
        let too_long = "x".repeat(65_536);
        for qos in [3, 255] {
            refused(client.publish("t", b"", qos, false), QOS);
            refused(client.subscribe("t", qos), QOS);
        }
        for topic in ["", "a/+", "a/#", "#", "a\0b", &too_long] {
            refused(client.publish(topic, b"", 1, false), TOPIC);
        }
        for filter in ["", "a#", "a/#/b", "#a", "a+", "+a/b", "a\0b", &too_long] {
            refused(client.subscribe(filter, 1), TOPIC);
            refused(client.unsubscribe(vec!["good", filter]), TOPIC);
            refused(client.add_topic_handler(filter, |_| {}), TOPIC);
            assert!(!client.remove_topic_handler(filter));
        }
        refused(client.subscribe_with(&[], &SubscribeOptions::default()), ENCODE);
        refused(client.unsubscribe(Vec::new()), ENCODE);
        client.publish("t", b"good", 0, false).unwrap();
        live.peer.expect(&publish(version, 0, "t", None, b"good"));
    });
}

#[test]
fn topics_and_filters_of_the_greatest_length_pass() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let long = "x".repeat(65_535);
        live.client.publish(&long, b"", 0, false).unwrap();
        live.peer.expect(&publish(version, 0, &long, None, b""));
        live.client.subscribe(&long, 0).unwrap();
        live.peer.expect(&crate::scripted_setup::subscribe(version, 1, &[(&long, 0)]));
    });
}

#[test]
fn bad_shares_are_refused_and_no_local_on_a_share() {
    let live = Scene::new(V5).connected();
    for filter in ["$share/", "$share//x", "$share/g", "$share/g/", "$share/+/x", "$share/a#/x"] {
        refused(live.client.subscribe(filter, 0), TOPIC);
    }
    let shared = TopicSubscription { no_local: true, ..TopicSubscription::new("$share/g/a", 0) };
    refused(live.client.subscribe_with(&[shared], &SubscribeOptions::default()), ENCODE);
}

#[test]
fn properties_that_break_a_rule_are_refused() {
    let live = Scene::new(V5).connected();
    let long = "x".repeat(65_536);
    let with = |properties| {
        let options = PublishOptions { properties, ..Default::default() };
        live.client.publish_with("t", b"", &options)
    };
    let text = |text: &str| Some(text.to_string());
    refused(with(MessageProperties { response_topic: text("a/#"), ..Default::default() }), ENCODE);
    refused(with(MessageProperties { response_topic: text("a\0"), ..Default::default() }), ENCODE);
    refused(with(MessageProperties { content_type: text("a\0"), ..Default::default() }), ENCODE);
    refused(with(MessageProperties { content_type: text(&long), ..Default::default() }), ENCODE);
    refused(with(MessageProperties { correlation_data: Some(vec![0; 65_536]), ..Default::default() }), ENCODE);
    let user_properties = vec![("\0".to_string(), String::new())];
    refused(with(MessageProperties { user_properties, ..Default::default() }), ENCODE);
    for identifier in [0, 268_435_456] {
        let options = SubscribeOptions { subscription_identifier: Some(identifier), ..Default::default() };
        refused(live.client.subscribe_with(&[TopicSubscription::new("t", 0)], &options), ENCODE);
    }
}

#[test]
fn what_only_v5_has_is_refused_in_v3_1_1() {
    let live = Scene::new(V3_1_1).connected();
    let client = &live.client;
    let expiring = MessageProperties { message_expiry_interval: Some(1), ..Default::default() };
    refused(client.publish_with("t", b"", &PublishOptions { properties: expiring, ..Default::default() }), ENCODE);
    let identifier = SubscribeOptions { subscription_identifier: Some(1), ..Default::default() };
    refused(client.subscribe_with(&[TopicSubscription::new("t", 0)], &identifier), ENCODE);
    let no_local = TopicSubscription { no_local: true, ..TopicSubscription::new("t", 0) };
    refused(client.subscribe_with(&[no_local], &SubscribeOptions::default()), ENCODE);
    let as_published = TopicSubscription { retain_as_published: true, ..TopicSubscription::new("t", 0) };
    refused(client.subscribe_with(&[as_published], &SubscribeOptions::default()), ENCODE);
    let named = UnsubscribeOptions { user_properties: vec![("k".to_string(), "v".to_string())] };
    refused(client.unsubscribe_with(&["t"], &named), ENCODE);
    refused(client.disconnect_with(4), |error| *error == ClientError::InvalidReasonCode(4));
}

#[test]
fn reason_codes_are_those_that_a_client_may_send() {
    let live = Scene::new(V5).connected();
    for code in [1, 0x87, 0x8B, 0xFF] {
        refused(live.client.disconnect_with(code), |error| matches!(error, ClientError::InvalidReasonCode(_)));
    }
}

/// Checks that a client is not made, and that the error names the option.
#[track_caller]
fn refused_options(version: ProtocolVersion, wanted: &str, change: impl Fn(&mut MqttClientOptions)) {
    let mut options = Scene::new(version).options;
    change(&mut options);
    let (recorder, _log) = Recorder::new();
    let names_it =
        |error: &ClientError| matches!(error, ClientError::InvalidOption { option, .. } if *option == wanted);
    refused(AsyncMqttClient::with_default_config(options, recorder), names_it);
}

/// [MQTT-3.1.3-4] [MQTT-3.1.3-11]
#[test]
fn options_that_make_no_valid_connect_are_refused_when_the_client_is_made() {
    both(|version| {
        let long = "x".repeat(65_536);
        refused_options(version, "client_id", |options| options.client_id.clone_from(&long));
        refused_options(version, "client_id", |options| options.client_id = "a\0".to_string());
        refused_options(version, "username", |options| options.username = Some(long.clone()));
        refused_options(version, "username", |options| options.username = Some("\0".to_string()));
        refused_options(version, "password", |options| {
            options.username = Some("u".to_string());
            options.password = Some(vec![0; 65_536].into());
        });
        for topic in ["", "a/#", "+", "a\0", &long] {
            refused_options(version, "will", |options| options.will = Some(Will::new(topic, b"", 0, false)));
        }
        refused_options(version, "will", |options| options.will = Some(Will::new("w", &[0; 65_536], 0, false)));
        refused_options(version, "will", |options| options.will = Some(Will::new("w", b"", 3, false)));
        refused_options(version, "subscription_topics", |options| {
            options.subscription_topics = vec![TopicSubscription::new("a#", 0)];
        });
        refused_options(version, "subscription_topics", |options| {
            options.subscription_topics = vec![TopicSubscription::new("a", 3)];
        });
        for peer in ["", "host:0", "host:port", "host:70000", "ftp://host", "::1:1883", "[::1", "user@host", "mqtt://"]
        {
            refused_options(version, "peer", |options| options.peer = peer.to_string());
            refused_options(version, "connecting.servers", |options| {
                options.connecting.servers = vec![peer.to_string()];
            });
        }
        refused_options(version, "limits.in_flight", |options| options.limits.in_flight = 0);
        refused_options(version, "limits.maximum_packet_size", |options| options.limits.maximum_packet_size = 1);
    });
    refused_options(V5, "protocol.user_properties", |options| {
        options.protocol.user_properties = vec![("\0".to_string(), String::new())];
    });
    let mut config = Scene::new(V5).config;
    config.command_queue_size = 0;
    let (recorder, _log) = Recorder::new();
    refused(AsyncMqttClient::new(MqttClientOptions::default(), recorder, config), OPTION);
}

/// [MQTT-3.1.3-7/3.1.1] [MQTT-3.1.2-22/3.1.1]
#[test]
fn options_that_v3_1_1_does_not_have_are_refused_when_the_client_is_made() {
    refused_options(V3_1_1, "client_id", |options| {
        options.client_id.clear();
        options.clean_start = false;
    });
    refused_options(V3_1_1, "password", |options| options.password = Some("p".into()));
    refused_options(V3_1_1, "protocol.session_expiry_interval", |options| options.protocol.session_expiry_interval = 1);
    refused_options(V3_1_1, "protocol.receive_maximum", |options| options.protocol.receive_maximum = 1);
    refused_options(V3_1_1, "protocol.topic_alias_maximum", |options| options.protocol.topic_alias_maximum = 1);
    refused_options(V3_1_1, "protocol.topic_aliases", |options| options.protocol.topic_aliases = true);
    refused_options(V3_1_1, "protocol.request_response_information", |options| {
        options.protocol.request_response_information = true;
    });
    refused_options(V3_1_1, "protocol.omit_problem_information", |options| {
        options.protocol.omit_problem_information = true;
    });
    refused_options(V3_1_1, "protocol.user_properties", |options| {
        options.protocol.user_properties = vec![("a".to_string(), "b".to_string())];
    });
    refused_options(V3_1_1, "will.delay_interval", |options| {
        options.will = Some(Will { delay_interval: 1, ..Will::new("w", b"", 0, false) });
    });
    refused_options(V3_1_1, "will", |options| {
        let properties = MessageProperties { payload_is_utf8: true, ..Default::default() };
        options.will = Some(Will { properties, ..Will::new("w", b"", 0, false) });
    });
}

#[test]
fn errors_become_io_errors_of_a_fitting_kind() {
    let kind = |error: ClientError| io::Error::from(error).kind();
    assert_eq!(kind(ClientError::QueueFull), ErrorKind::WouldBlock);
    assert_eq!(kind(ClientError::NotConnected), ErrorKind::NotConnected);
    assert_eq!(kind(ClientError::ShutDown), ErrorKind::BrokenPipe);
    assert_eq!(kind(ClientError::StaleReceipt), ErrorKind::InvalidInput);
    assert_eq!(kind(ClientError::Start("no thread".to_string())), ErrorKind::Other);
    assert_eq!(io::Error::from(WaitError::TimedOut).kind(), ErrorKind::TimedOut);
    assert_eq!(io::Error::from(WaitError::WouldDeadlock).kind(), ErrorKind::Deadlock);
    let still = ClientError::StillRunning { thread: "worker", reason: "it works" };
    assert_eq!(io::Error::from(still).kind(), ErrorKind::TimedOut);
}

#[test]
fn a_client_that_was_shut_down_refuses_every_call() {
    both(|version| {
        let live = Scene::new(version).connected();
        drop(live.peer);
        live.client.shutdown().unwrap();
        live.client.shutdown().unwrap();
        let shut = Err(ClientError::ShutDown);
        assert_eq!(live.client.connect(), shut);
        assert_eq!(live.client.ping(), shut);
        assert_eq!(live.client.disconnect(), shut);
        assert_eq!(live.client.set_auto_reconnect(true), shut);
        assert_eq!(live.client.publish("t", b"", 0, false), Err(ClientError::ShutDown));
        assert_eq!(live.client.subscribe("t", 0), Err(ClientError::ShutDown));
        assert_eq!(live.client.unsubscribe(vec!["t"]), Err(ClientError::ShutDown));
    });
}
