//! What a WebSocket is asked for, attempt by attempt.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use flowsdk::mqtt_client::{Secret, WebSocketOptions, WebSocketRequest, WebSocketRequestProvider};

use crate::scripted_setup::{Scene, V5, connack};
use crate::support::websocket::{BINARY, WebSocketPeer};

/// What a client is made with that connects by a WebSocket.
fn scene() -> Scene {
    let mut scene = Scene::new(V5);
    scene.options.peer = format!("ws://{}", scene.broker.address());
    scene
}

#[test]
fn a_provider_gives_path_and_headers_of_each_attempt() {
    let mut scene = scene();
    scene.options.peer += "/static";
    let authority = scene.broker.address().to_string();
    let (count, expected) = (AtomicU32::new(0), authority.clone());
    let provider = WebSocketRequestProvider::new(move |authority| {
        assert_eq!(authority, expected);
        let number = count.fetch_add(1, Ordering::SeqCst);
        let path = (number < 2).then(|| Secret::from(format!("/signed?n={number}")));
        Ok(WebSocketRequest { path, headers: vec![("X-Number".to_string(), number.to_string().into())] })
    });
    let headers = vec![("X-Always".to_string(), "1".into())];
    scene.options.connecting.websocket = WebSocketOptions { headers, request: Some(provider) };
    let (client, log) = scene.client();
    client.connect().unwrap();
    for (number, path) in ["/signed?n=0", "/signed?n=1", "/static"].into_iter().enumerate() {
        let mut peer = WebSocketPeer::accept(&scene.broker);
        // The first one is too late.
        let request = if number == 0 {
            peer.upgrade_with("HTTP/1.1 403 Forbidden\r\n\r\n")
        } else {
            let request = peer.upgrade();
            peer.read_packet();
            peer.send_frame(BINARY, &connack(V5, false));
            assert!(log.connection(number).is_success());
            request
        };
        assert!(request.starts_with(&format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\n")), "{request}");
        assert!(request.contains(&format!("\r\nX-Always: 1\r\nX-Number: {number}\r\n\r\n")), "{request}");
    }
    log.error("the WebSocket upgrade: it answers HTTP/1.1 403 Forbidden");
}

#[test]
fn a_provider_that_has_no_request_or_none_that_can_be_sent_fails_the_attempt() {
    let asked = |path: &str| Ok(WebSocketRequest { path: Some(path.into()), ..Default::default() });
    let with = |name: &str| {
        let headers = vec![(name.to_string(), "s3cr3t".into())];
        Ok(WebSocketRequest { headers, ..Default::default() })
    };
    type Case = Box<dyn Fn() -> io::Result<WebSocketRequest> + Send + Sync>;
    let cases: [(Case, ErrorKind, &str); 7] = [
        (Box::new(|| Err(io::Error::new(ErrorKind::NotFound, "no key"))), ErrorKind::NotFound, "no key"),
        (Box::new(|| panic!("a fault of the provider")), ErrorKind::Other, "the provider has panicked"),
        (Box::new(move || asked("")), ErrorKind::InvalidInput, "no path that begins with / or ?"),
        (Box::new(move || asked("s3cr3t")), ErrorKind::InvalidInput, "no path that begins with / or ?"),
        (Box::new(move || asked("/s3cr3t\r\nX: y")), ErrorKind::InvalidInput, "no path that begins with / or ?"),
        (Box::new(move || with("Host")), ErrorKind::InvalidInput, "Host is set by the client itself"),
        (Box::new(move || with("a b")), ErrorKind::InvalidInput, "\"a b\" is no name of a header"),
    ];
    for (case, kind, text) in cases {
        let mut scene = scene();
        let is_first = AtomicBool::new(true);
        scene.options.connecting.websocket.request = Some(WebSocketRequestProvider::new(move |_| {
            if is_first.swap(false, Ordering::SeqCst) { case() } else { Ok(WebSocketRequest::default()) }
        }));
        let (client, log) = scene.client();
        client.connect().unwrap();
        let address = scene.broker.address();
        let told = format!("cannot connect to ws://{address}: no WebSocket request: ");
        assert_eq!(log.error(&told), kind);
        log.error(text);
        assert_eq!(log.count(|event| format!("{event:?}").contains("s3cr3t")), 0, "{}", log.tail());
        let mut peer = WebSocketPeer::accept_upgraded(&scene.broker);
        peer.read_packet();
        peer.send_frame(BINARY, &connack(V5, false));
        assert!(log.connection(1).is_success());
    }
}
