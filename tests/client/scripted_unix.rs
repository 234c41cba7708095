//! Connections over Unix sockets.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncMqttClient, MqttClientOptions};

use crate::recorder::Recorder;
use crate::scripted_setup::{Scene, V5, both, connack, publish};
use crate::support::PATIENCE;
use crate::support::wire;

/// A path for a socket, removed when it is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("flowsdk-{name}-{}.sock", std::process::id())))
    }

    fn peer(&self) -> String {
        format!("unix:{}", self.0.display())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[track_caller]
fn expect(stream: &mut UnixStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
}

#[test]
fn a_broker_is_reached_over_a_unix_socket() {
    both(|version| {
        for slashes in ["", "//"] {
            let place = Place::new("reached");
            let listener = UnixListener::bind(&place.0).unwrap();
            let mut scene = Scene::new(version);
            scene.options.peer = place.peer().replace("unix:", &format!("unix:{slashes}"));
            let (client, log) = scene.client();
            client.connect().unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            stream.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
            stream.write_all(&connack(version, false)).unwrap();
            assert!(log.connection(1).is_success());
            client.publish("t", &[7; 500_000], 0, false).unwrap();
            expect(&mut stream, &publish(version, 0, "t", None, &[7; 500_000]));
            stream.write_all(&publish(version, 0, "t", None, &[8; 500_000])).unwrap();
            assert_eq!(log.messages(1)[0].payload, &[8; 500_000][..]);
            client.disconnect().unwrap();
            expect(&mut stream, &wire::DISCONNECT);
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    });
}

#[test]
fn a_socket_that_is_not_there_is_named_and_tried_again() {
    let place = Place::new("missing");
    let mut scene = Scene::new(V5);
    scene.options.peer = place.peer();
    let (client, log) = scene.client();
    client.connect().unwrap();
    assert_eq!(log.error(&format!("cannot connect to {}: ", place.peer())), ErrorKind::NotFound);
    let listener = UnixListener::bind(&place.0).unwrap();
    listener.accept().unwrap();
}

#[test]
fn a_server_with_a_full_queue_is_waited_for_and_does_not_hold_up_a_shutdown() {
    let place = Place::new("full");
    let _listener = UnixListener::bind(&place.0).unwrap();
    // As many as the queue takes: the system says that a further one would block.
    let mut queued = Vec::new();
    while let Ok(stream) = mio::net::UnixStream::connect(&place.0) {
        queued.push(stream);
        assert!(queued.len() < 100_000, "this system's queue has no end");
    }
    let mut scene = Scene::new(V5);
    scene.options.peer = place.peer();
    scene.options.timeouts.connect = Duration::from_millis(200);
    let (client, log) = scene.client();
    client.connect().unwrap();
    assert_eq!(log.error("the connection to the socket timed out"), ErrorKind::TimedOut);
    client.shutdown().unwrap();
}

#[test]
fn what_names_no_socket_is_refused_when_the_client_is_made() {
    for peer in ["unix:", "unix://host/path", "unix:/a\0b"] {
        let options = MqttClientOptions { peer: peer.to_string(), ..Default::default() };
        let error = AsyncMqttClient::with_default_config(options, Recorder::new().0).unwrap_err();
        assert!(error.to_string().contains("unix:"), "{error}");
    }
}
