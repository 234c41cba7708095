//! What stands in `peer` and in `connecting.servers`.

use std::io;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use flowsdk::mqtt_client::{
    AsyncMqttClient, ClientError, Connecting, Credentials, CredentialsProvider, MqttClientOptions, Secret,
};

use crate::recorder::Recorder;
use crate::scripted_setup::{PACKET_SIZE, Scene, V5, both, connack, connect};
use crate::support::{PATIENCE, wire};

#[test]
fn user_name_and_password_of_a_url_stand_in_connect() {
    both(|version| {
        let mut scene = Scene::new(version);
        let address = scene.broker.address();
        scene.options.peer = format!("mqtt://us%40er:p%3Ass@{address}/");
        // What is said twice is no conflict.
        scene.options.username = Some("us@er".to_string());
        scene.options.connecting.servers = vec![format!("mqtt://us%40er:p%3Ass@{address}"), address.to_string()];
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut peer = scene.broker.accept();
        let rest: [&[u8]; 3] = [&wire::string("c"), &wire::string("us@er"), &wire::string("p:ss")];
        peer.expect(&connect(version, 0xC2, 0, &PACKET_SIZE, &rest));
        peer.send(&connack(version, false));
        assert!(log.connection(1).is_success());
    });
}

#[test]
fn a_url_that_says_something_else_than_the_options_is_refused() {
    let refused = |change: fn(&mut MqttClientOptions), reason: &str| {
        let mut options = MqttClientOptions { peer: "mqtt://u:secret@a".to_string(), ..Default::default() };
        change(&mut options);
        let error = AsyncMqttClient::with_default_config(options, Recorder::new().0).unwrap_err();
        assert!(matches!(error, ClientError::InvalidOption { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains("secret"), "{text}");
    };
    refused(|options| options.username = Some("v".to_string()), "another user name");
    refused(|options| options.password = Some(Secret::from("q")), "another password");
    refused(|options| options.connecting.servers = vec!["mqtt://u:q@b".to_string()], "the same credentials");
    let provide = |options: &mut MqttClientOptions| {
        options.connecting.credentials = Some(CredentialsProvider::new(|| Ok(Credentials::default())));
    };
    refused(provide, "connecting.credentials");
    refused(|options| options.peer = "mqtt://u:secret@a:x".to_string(), "port");
    refused(|options| options.connecting.servers = vec!["gopher://u:secret@b".to_string()], "gopher://");
}

#[test]
fn nothing_secret_of_a_url_is_shown_by_debug() {
    let options = MqttClientOptions {
        peer: "mqtt://user:secret@a".to_string(),
        connecting: Connecting { servers: vec!["mqtt://user:secret@b:1".to_string()], ..Default::default() },
        ..Default::default()
    };
    let shown = format!("{options:?}");
    assert!(shown.contains("mqtt://…@a") && shown.contains("mqtt://…@b:1"), "{shown}");
    assert!(!shown.contains("user:") && !shown.contains("secret"), "{shown}");
}

#[test]
fn a_name_is_resolved_and_whichever_of_its_addresses_answers_is_taken() {
    let mut scene = Scene::new(V5);
    scene.options.peer = format!("localhost:{}", scene.broker.address().port());
    drop(scene.connected());
}

#[test]
fn what_takes_too_long_before_and_behind_the_connection_is_named() {
    let mut scene = Scene::new(V5);
    scene.options.timeouts.connect = Duration::from_millis(300);
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    scene.options.connecting.credentials = Some(CredentialsProvider::new(move || {
        // The first one takes as long as the test, the others no time.
        let _ = wait.lock().unwrap().recv_timeout(3 * PATIENCE);
        Ok(Credentials::default())
    }));
    let (client, log) = scene.client();
    client.connect().unwrap();
    assert_eq!(log.error("the credentials provider timed out after "), io::ErrorKind::TimedOut);
    drop(go_on);
    let mut silent = scene.broker.accept();
    silent.expect_connect();
    let address = scene.broker.address();
    let text = format!("cannot connect to {address}: no CONNACK within 300ms");
    assert_eq!(log.error(&text), io::ErrorKind::TimedOut);
}
