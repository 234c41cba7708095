//! Connections through proxies: real ones to a broker, and ones that refuse, fall silent or talk nonsense.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncMqttClient, MqttClientOptions, MqttEventHandler, Proxy, ProxyKind, Secret};

use crate::scripted_setup::{Scene, V5, both, connack, publish};
use crate::support::scripted_broker::{ScriptedBroker, unanswering_address};

/// A name that no resolver knows: only the proxy can make something of it.
const NAME: &str = "broker.invalid";

const BOTH_KINDS: [ProxyKind; 2] = [ProxyKind::Http, ProxyKind::Socks5];

/// A proxy that connects whoever names [`NAME`] to a broker. It ends with its connections.
struct RealProxy {
    address: SocketAddr,
    /// The credentials that it was told.
    told: Arc<Mutex<Vec<String>>>,
}

impl RealProxy {
    fn start(kind: ProxyKind, broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        // One connection is what each test makes.
        thread::spawn(move || -> io::Result<()> {
            let (mut client, _) = listener.accept()?;
            let credentials = match kind {
                ProxyKind::Http => Self::greet_http(&mut client)?,
                ProxyKind::Socks5 => Self::greet_socks5(&mut client)?,
            };
            teller.lock().unwrap().push(credentials);
            let mut server = TcpStream::connect(broker)?;
            let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Write);
            });
            io::copy(&mut server, &mut client)?;
            client.shutdown(Shutdown::Write)
        });
        Self { address, told }
    }

    fn greet_http(client: &mut TcpStream) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(read::<1>(client)?);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("CONNECT broker.invalid:1884 HTTP/1.1"));
        assert_eq!(lines.next(), Some("Host: broker.invalid:1884"));
        client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")?;
        let credentials = lines.next().and_then(|line| line.strip_prefix("Proxy-Authorization: Basic "));
        Ok(credentials.unwrap_or_default().to_string())
    }

    fn greet_socks5(client: &mut TcpStream) -> io::Result<String> {
        let [5, count] = read(client)? else { panic!("no SOCKS5") };
        let mut methods = vec![0; usize::from(count)];
        client.read_exact(&mut methods)?;
        let mut credentials = String::new();
        if methods.contains(&2) {
            client.write_all(&[5, 2])?;
            assert_eq!(read(client)?, [1]);
            for separator in ["/", ""] {
                let mut text = vec![0; usize::from(read::<1>(client)?[0])];
                client.read_exact(&mut text)?;
                credentials += &String::from_utf8(text).unwrap();
                credentials += separator;
            }
            client.write_all(&[1, 0])?;
        } else {
            client.write_all(&[5, 0])?;
        }
        assert_eq!(read(client)?, *b"\x05\x01\x00\x03\x0Ebroker.invalid\x07\x5C");
        client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80])?;
        Ok(credentials)
    }
}

fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A client whose server is only known to the proxy at this address.
fn scene_behind(kind: ProxyKind, address: SocketAddr) -> Scene {
    let mut scene = Scene::new(V5);
    scene.options.peer = format!("{NAME}:1884");
    scene.options.connecting.proxy = Some(Proxy::new(kind, &address.to_string()));
    scene
}

#[test]
fn a_broker_is_reached_through_a_proxy_that_alone_knows_its_name() {
    for kind in BOTH_KINDS {
        both(|version| {
            let mut scene = Scene::new(version);
            let proxy = RealProxy::start(kind, scene.broker.address());
            scene.options.peer = format!("{NAME}:1884");
            scene.options.connecting.proxy = Some(Proxy::new(kind, &proxy.address.to_string()));
            let mut live = scene.connected();
            live.client.publish("t", b"out", 0, false).unwrap();
            live.peer.expect(&publish(version, 0, "t", None, b"out"));
            live.peer.send(&publish(version, 0, "t", None, b"in"));
            assert_eq!(live.log.messages(1)[0].payload, &b"in"[..]);
            assert_eq!(*proxy.told.lock().unwrap(), [""]);
        });
    }
}

#[test]
fn a_proxy_is_told_the_credentials_that_belong_to_it() {
    for (kind, told) in [(ProxyKind::Http, "bWU6cGFzcw=="), (ProxyKind::Socks5, "me/pass")] {
        let mut scene = Scene::new(V5);
        let real = RealProxy::start(kind, scene.broker.address());
        scene.options.peer = format!("{NAME}:1884");
        scene.options.connecting.proxy = Some(Proxy {
            username: Some("me".to_string()),
            password: Some(Secret::from("pass")),
            ..Proxy::new(kind, &real.address.to_string())
        });
        let live = scene.connected();
        assert_eq!(*real.told.lock().unwrap(), [told]);
        drop(live.peer);
    }
}

/// A connection through a proxy that says this and then closes fails with such a text, and is tried again.
#[track_caller]
fn is_told(kind: ProxyKind, says: &[u8], text: &str) -> ErrorKind {
    let proxy = ScriptedBroker::bind();
    let scene = scene_behind(kind, proxy.address());
    let (client, log) = scene.client();
    client.connect().unwrap();
    for _ in 0..2 {
        let mut peer = proxy.accept();
        peer.expect_bytes(if kind == ProxyKind::Http { b"CONNECT " } else { &[5, 1, 0] });
        peer.send(says);
    }
    let whole = format!("cannot connect to {NAME}:1884: proxy {}: {text}", proxy.address());
    log.error(&whole)
}

#[test]
fn a_proxy_that_refuses_is_named_with_its_reason_and_asked_again() {
    let forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nbody";
    let kind = is_told(ProxyKind::Http, forbidden, "it answers HTTP/1.1 403 Forbidden");
    assert_eq!(kind, ErrorKind::ConnectionRefused);
    let kind = is_told(ProxyKind::Http, b"HTTP/1.1 407 Who?\r\n\r\n", "it answers HTTP/1.1 407 Who?");
    assert_eq!(kind, ErrorKind::PermissionDenied);
    let kind = is_told(ProxyKind::Socks5, &[5, 0xFF], "it wants a user name and a password");
    assert_eq!(kind, ErrorKind::PermissionDenied);
}

#[test]
fn a_proxy_that_talks_nonsense_is_named_with_what_it_says() {
    assert_eq!(is_told(ProxyKind::Http, b"\x05\xFF", "its answer is not HTTP/1"), ErrorKind::InvalidData);
    assert_eq!(is_told(ProxyKind::Socks5, b"HTTP/1.1 400", "its answer is not SOCKS5"), ErrorKind::InvalidData);
    let endless = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(2000)].concat();
    assert_eq!(is_told(ProxyKind::Http, &endless, "its answer is longer than 8192 bytes"), ErrorKind::InvalidData);
}

#[test]
fn a_proxy_that_closes_before_its_answer_is_whole_is_named() {
    for (kind, says) in [(ProxyKind::Http, &b"HTTP/1.1 200 OK\r\n"[..]), (ProxyKind::Socks5, &[5])] {
        assert_eq!(is_told(kind, says, "it has closed the connection"), ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_proxy_that_cannot_be_reached_is_named() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let scene = scene_behind(ProxyKind::Http, address);
    let (client, log) = scene.client();
    client.connect().unwrap();
    assert_eq!(log.error(&format!("{NAME}:1884: proxy {address}: ")), ErrorKind::ConnectionRefused);
}

#[test]
fn a_proxy_that_never_answers_does_not_hold_up_a_shutdown() {
    for kind in BOTH_KINDS {
        let (address, _guard) = unanswering_address();
        let silent = ScriptedBroker::bind();
        for address in [address, silent.address()] {
            let mut scene = scene_behind(kind, address);
            scene.options.timeouts.connect = Duration::from_secs(60);
            scene.options.timeouts.shutdown = Duration::from_secs(30);
            let (client, _log) = scene.client();
            client.connect().unwrap();
            let peer = (address == silent.address()).then(|| {
                let mut peer = silent.accept();
                peer.expect_bytes(if kind == ProxyKind::Http { b"CONNECT " } else { &[5, 1, 0] });
                peer
            });
            // An error here would say that a thread has not ended within the 30 seconds.
            client.shutdown().unwrap();
            drop(peer);
        }
    }
}

#[test]
fn time_for_one_server_behind_a_silent_proxy_leaves_time_for_the_next() {
    let silent = ScriptedBroker::bind();
    let mut scene = scene_behind(ProxyKind::Http, silent.address());
    scene.options.connecting.servers = vec!["second.invalid:1885".to_string()];
    scene.options.timeouts.connect = Duration::from_secs(2);
    let (client, log) = scene.client();
    client.connect().unwrap();
    let mut first = silent.accept();
    first.expect_bytes(b"CONNECT broker.invalid:1884 ");
    let mut second = silent.accept();
    second.expect_bytes(b"CONNECT second.invalid:1885 HTTP/1.1\r\nHost: second.invalid:1885\r\n\r\n");
    second.send(b"HTTP/1.1 200 OK\r\n\r\n");
    second.expect_connect();
    second.send(&connack(V5, false));
    assert!(log.connection(1).is_success());
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_when_the_client_is_made() {
    struct Nothing;
    impl MqttEventHandler for Nothing {}
    let with = |proxy| {
        let mut options = MqttClientOptions::default();
        options.connecting.proxy = Some(proxy);
        AsyncMqttClient::new(options, Box::new(Nothing), Default::default()).map(drop)
    };
    for address in ["", "p", "http://p:1", "p:0", "u:w@p:1"] {
        let error = with(Proxy::new(ProxyKind::Http, address)).unwrap_err();
        assert!(error.to_string().contains("connecting.proxy"), "{error}");
    }
    with(Proxy::new(ProxyKind::Http, "p:1")).unwrap();
}
