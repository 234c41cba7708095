//! Attempts that come to a halt on their way, in each of its phases.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowsdk::mqtt_client::{Authentication, Authenticator, Credentials, CredentialsProvider, Secret, TransportFactory};

use crate::scripted_setup::{Scene, V5};
use crate::support::PATIENCE;
use crate::support::scripted_broker::{ScriptedBroker, unanswering_address};

/// A scene of which no attempt goes on, and how the test knows that one has come so far.
struct Halted {
    scene: Scene,
    /// What an error says of it.
    text: String,
    reached: Box<dyn Fn() -> Box<dyn Any>>,
    /// Until it is dropped.
    _halt: Box<dyn Any>,
}

/// Code of the application that does not return before the first half is dropped; the second half tells of calls.
fn blocking() -> (Sender<()>, Receiver<()>, impl Fn() + Send + Sync + 'static) {
    let ((halt, wait), (tell, told)) = (channel::<()>(), channel());
    let wait = Mutex::new(wait);
    let block = move || {
        let _ = tell.send(());
        // It returns when the test has ended.
        let _ = wait.lock().unwrap().recv_timeout(6 * PATIENCE);
    };
    (halt, told, block)
}

/// An attempt that hangs in code of the application, which `set` sets.
fn in_code(phase: &str, set: impl FnOnce(&mut Scene, Box<dyn Fn() + Send + Sync>)) -> Halted {
    let (halt, told, block) = blocking();
    let mut scene = Scene::new(V5);
    set(&mut scene, Box::new(block));
    let reached = Box::new(move || -> Box<dyn Any> {
        told.recv_timeout(PATIENCE).expect("a call");
        Box::new(())
    });
    Halted { scene, text: format!("{phase} timed out after "), reached, _halt: Box::new(halt) }
}

/// An attempt that reaches a server which says nothing.
fn at_silent_server(text: &str, set: impl FnOnce(&mut Scene, u16)) -> Halted {
    let mut scene = Scene::new(V5);
    let silent = ScriptedBroker::bind();
    let address = silent.address();
    scene.options.peer = address.to_string();
    set(&mut scene, address.port());
    let text = text.replace("{server}", &address.to_string());
    let reached = Box::new(move || -> Box<dyn Any> {
        let stream = silent.accept().into_stream();
        assert_eq!(stream.peek(&mut [0]).expect("a client that begins"), 1);
        Box::new(stream)
    });
    Halted { scene, text, reached, _halt: Box::new(()) }
}

struct Hanging(Arc<dyn Fn() + Send + Sync>);

impl Authenticator for Hanging {
    fn start(&mut self) -> io::Result<Option<Secret>> {
        (self.0)();
        Ok(None)
    }

    fn answer(&mut self, _challenge: &[u8]) -> io::Result<Option<Secret>> {
        Ok(None)
    }

    fn finish(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

fn at_every_phase() -> Vec<Halted> {
    let tcp = |set: fn(&mut Scene, SocketAddr)| {
        let (address, guard) = unanswering_address();
        let mut scene = Scene::new(V5);
        scene.options.peer = address.to_string();
        set(&mut scene, address);
        let text = format!("cannot connect to {address}: the TCP connection timed out after ");
        Halted { scene, text, reached: Box::new(|| Box::new(())), _halt: Box::new(guard) }
    };
    vec![
        in_code("the credentials provider", |scene, block| {
            let provide = move || {
                block();
                Ok(Credentials::default())
            };
            scene.options.connecting.credentials = Some(CredentialsProvider::new(provide));
        }),
        in_code("the authenticator", |scene, block| {
            let block = Arc::<dyn Fn() + Send + Sync>::from(block);
            let authentication = Authentication::new("m", move || Hanging(Arc::clone(&block)));
            scene.options.connecting.authentication = Some(authentication);
        }),
        in_code("the factory of the transport", |scene, block| {
            let open = move |_: &str, _| {
                block();
                Err(ErrorKind::NotFound.into())
            };
            scene.options.connecting.transport = Some(TransportFactory::new(open));
        }),
        #[cfg(feature = "websocket")]
        in_code("the provider of the WebSocket request", |scene, block| {
            let provide = move |_: &str| {
                block();
                Ok(Default::default())
            };
            scene.options.peer = format!("ws://{}", scene.broker.address());
            let provider = flowsdk::mqtt_client::WebSocketRequestProvider::new(provide);
            scene.options.connecting.websocket.request = Some(provider);
        }),
        tcp(|_, _| {}),
        // One of several servers is tried on a thread.
        tcp(|scene, address| scene.options.connecting.servers = vec![address.to_string()]),
        #[cfg(feature = "proxy")]
        at_silent_server("the handshake with the proxy timed out after ", |scene, port| {
            use flowsdk::mqtt_client::{Proxy, ProxyKind};
            scene.options.connecting.proxy = Some(Proxy::new(ProxyKind::Http, &format!("127.0.0.1:{port}")));
            scene.options.peer = "broker.invalid".to_string();
        }),
        #[cfg(all(feature = "tls", feature = "ring"))]
        at_silent_server("cannot connect to mqtts://{server}: the TLS handshake timed out after ", |scene, port| {
            scene.options.peer = format!("mqtts://127.0.0.1:{port}");
        }),
        #[cfg(feature = "websocket")]
        at_silent_server("cannot connect to ws://{server}: the WebSocket upgrade timed out after ", |scene, port| {
            scene.options.peer = format!("ws://127.0.0.1:{port}");
        }),
        at_silent_server("cannot connect to {server}: no CONNACK within 300ms", |_, _| {}),
    ]
}

#[test]
fn every_phase_ends_with_the_connect_timeout_and_an_error_that_names_it() {
    for Halted { mut scene, text, reached, _halt } in at_every_phase() {
        println!("{text}");
        scene.options.timeouts.connect = Duration::from_millis(300);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let _peer = reached();
        assert_eq!(log.error(&text), ErrorKind::TimedOut);
        drop(_halt);
        client.shutdown().unwrap();
    }
}

#[test]
fn a_shutdown_in_every_phase_ends_before_its_deadline() {
    for Halted { mut scene, text, reached, _halt } in at_every_phase() {
        println!("{text}");
        scene.options.timeouts.connect = Duration::from_secs(3600);
        scene.options.timeouts.shutdown = Duration::from_secs(30);
        let (client, _log) = scene.client();
        client.connect().unwrap();
        let _peer = reached();
        // An error here would say that a thread has not ended within the 30 seconds.
        client.shutdown().unwrap();
    }
}
