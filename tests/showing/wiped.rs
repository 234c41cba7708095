//! A password is nowhere in the memory of the process but where it is kept, once it has been sent.
//!
//! The memory is searched through the file that the system has for it. Neither the search nor the server may hold the
//! password itself: the one knows how to compute its bytes, the other leaves what it is sent in the kernel.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use flowsdk::codec::{Properties, Property};
use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEvent, Secret};
use flowsdk::packet::Auth;
use flowsdk::session::{Config, ConnectOptions, Fixed, Heap, HeapLimits, Session, Storage};
use flowsdk::time::Instant;
use flowsdk::types::ReasonCode;

const LEN: u32 = 48;
const PATIENCE: Duration = Duration::from_secs(30);

/// A byte of a secret, which the optimizer must not put together.
fn byte(seed: u32, index: u32) -> u8 {
    let mixed = std::hint::black_box(seed).wrapping_mul(0x9E37_79B1).wrapping_add(index.wrapping_mul(0x85EB_CA6B));
    let [.., byte] = (mixed ^ mixed >> 15).wrapping_mul(0x2C1B_3C6D).to_be_bytes();
    byte | 1
}

/// The only place where the secret is put together.
fn secret(seed: u32) -> Vec<u8> {
    (0..LEN).map(|index| byte(seed, index)).collect()
}

/// How often the secret lies in the memory of the process. Only whole ones count: a free block's first bytes are the
/// allocator's.
fn found(seed: u32) -> usize {
    found_as(|index| byte(seed, index))
}

/// As [`found`], of what has these bytes.
fn found_as(byte: impl Fn(u32) -> u8) -> usize {
    const PART: usize = 1 << 20;
    // One search would find what another one has just read.
    static SEARCHING: Mutex<()> = Mutex::new(());
    let _searching = SEARCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let maps = fs::read_to_string("/proc/self/maps").expect("the list of what is mapped");
    let memory = File::open("/proc/self/mem").expect("the memory of this process");
    let mut buffer = vec![0; PART + LEN as usize];
    let own = buffer.as_ptr() as usize;
    let own = own..own + buffer.len();
    let (first, mut count) = (byte(8), 0);
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|place| usize::from_str_radix(place, 16).expect("a number"));
        for at in (start..end).step_by(PART) {
            let len = (end - at).min(buffer.len());
            // What goes away meanwhile, and pages that were never touched, cannot be read.
            let Ok(read) = memory.read_at(&mut buffer[..len], at as u64) else { continue };
            let windows = read.saturating_sub(LEN as usize - 1).min(PART);
            let mut next = 0;
            while let Some(step) = buffer[next..windows].iter().position(|byte| *byte == first) {
                let place = next + step;
                // What it begins with is the allocator's where it was freed.
                let is_secret = (8..LEN).all(|index| buffer[place + index as usize - 8] == byte(index));
                count += usize::from(is_secret && !own.contains(&(at + place)));
                next = place + 1;
            }
        }
    }
    buffer.fill(0);
    drop(std::hint::black_box(buffer));
    count
}

#[test]
fn the_search_finds_what_is_there() {
    let kept = secret(1);
    assert_eq!(found(1), 1);
    let copy = kept.clone();
    assert_eq!(found(1), 2);
    drop((kept, copy));
}

/// [MQTT-4.12.0-3]
#[test]
fn a_session_on_the_heap_wipes_connect_and_auth_when_they_have_gone_or_are_dropped() {
    for is_sent in [true, false] {
        let seed = if is_sent { 2 } else { 3 };
        let kept = Secret::from(secret(seed));
        let password = secret(seed);
        let before = found(seed);
        let mut session = Session::new(Config::DEFAULT, Heap::new(HeapLimits::default()));
        identify(&mut session, &password);
        assert_eq!(found(seed), before + 3, "twice in CONNECT, once in AUTH, and no copy more");
        leave(&mut session, is_sent);
        assert_eq!(found(seed), before);
        drop((kept, password));
    }
}

/// Sends a secret in CONNECT and in AUTH.
fn identify(session: &mut Session<impl Storage>, secret: &[u8]) {
    let now = Instant::from_millis(0);
    let data = [Property::AuthenticationMethod("m"), Property::AuthenticationData(secret)];
    let options = ConnectOptions { password: Some(secret), properties: &data, ..ConnectOptions::DEFAULT };
    session.connect(now, &options).expect("connect");
    let auth = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: Properties::new(&data) };
    session.authenticate(now, &auth).expect("authenticate");
}

/// What the session has to send goes, or its connection does.
fn leave(session: &mut Session<impl Storage>, is_sent: bool) {
    let now = Instant::from_millis(0);
    while is_sent && let Some(bytes) = session.poll_transmit(now) {
        let len = bytes.len().min(7);
        session.consume_transmit(now, len);
    }
    if !is_sent {
        session.handle_closed(now);
    }
}

#[test]
fn a_session_without_a_heap_wipes_connect_and_auth_when_they_have_gone() {
    for is_sent in [true, false] {
        let seed = if is_sent { 5 } else { 6 };
        let password = secret(seed);
        let before = found(seed);
        // It is not moved about with what it holds.
        let mut storage = Box::new(Fixed::<1024, 4>::new());
        let mut session = Session::new(Config::DEFAULT, &mut *storage);
        identify(&mut session, &password);
        assert_eq!(found(seed), before + 3, "twice in CONNECT, once in AUTH, and no copy more");
        leave(&mut session, is_sent);
        assert_eq!(found(seed), before);
        drop(password);
    }
}

/// A client that is connected to a server that never looks at its CONNECT, and the server's end.
fn connected(listener: &TcpListener, options: MqttClientOptions) -> (AsyncMqttClient, TcpStream) {
    let (client, mut events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).expect("a client");
    client.connect().expect("an open client");
    let (mut stream, _) = listener.accept().expect("a connection");
    // It has been sent once its first byte is there.
    assert_eq!(stream.peek(&mut [0]).expect("a CONNECT"), 1);
    stream.write_all(&[0x20, 3, 0, 0, 0]).expect("an open connection");
    let event = events.recv_timeout(PATIENCE);
    assert!(matches!(event, Some(MqttEvent::Connected(_))), "{event:?}");
    (client, stream)
}

/// A client with this secret as its password, which keeps it twice: in the options of its handle and of its worker.
#[track_caller]
fn keeps_its_password_only_in_its_options(seed: u32, client: AsyncMqttClient, server: impl Send) {
    let kept = found(seed);
    assert!(kept <= 2, "{kept}");
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = client.shutdown();
        drop(client);
        let _ = done.send(());
    });
    drop(server);
    ended.recv_timeout(PATIENCE).expect("a shutdown");
    assert_eq!(found(seed), 0);
}

#[test]
fn a_client_keeps_its_password_only_in_its_options() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let options = MqttClientOptions {
        peer: listener.local_addr().expect("a port").to_string(),
        client_id: "c".to_string(),
        username: Some("user".to_string()),
        password: Some(Secret::from(secret(4))),
        ..Default::default()
    };
    assert_eq!(found(4), 1);
    let (client, stream) = connected(&listener, options);
    keeps_its_password_only_in_its_options(4, client, stream);
}

/// As [`secret`], of letters alone.
fn text_byte(seed: u32, index: u32) -> u8 {
    b'a' + byte(seed, index) % 26
}

/// `{0}` of this text is the secret. The text is put together in its place.
fn with_text_secret(seed: u32, text: &str) -> String {
    let (before, behind) = text.split_once("{0}").expect("a place for it");
    let mut whole = String::with_capacity(text.len() + LEN as usize);
    whole.push_str(before);
    whole.extend((0..LEN).map(|index| char::from(text_byte(seed, index))));
    whole.push_str(behind);
    whole
}

#[test]
fn what_a_url_says_of_a_user_is_wiped_with_the_client() {
    for (seed, user_info) in [(7, "user:{0}@"), (8, "{0}@"), (9, "{0}:x@"), (10, "%75:{0}@")] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("a port").to_string();
        let peer = with_text_secret(seed, &format!("mqtt://{user_info}{address}"));
        let (client, stream) = connected(&listener, MqttClientOptions { peer, ..Default::default() });
        let kept = found_as(|index| text_byte(seed, index));
        assert!((1..=2).contains(&kept), "{kept} of {user_info}");
        drop((stream, listener));
        client.shutdown().expect("an end in time");
        drop(client);
        assert_eq!(found_as(|index| text_byte(seed, index)), 0, "{user_info}");
    }
    // Options that cannot work are wiped, too.
    for (seed, peer) in [(11, "mqtt://u:{0}@"), (12, "mqtt://u:{0}%@h"), (13, "mqtt://{0}@h/path")] {
        let options = MqttClientOptions { peer: with_text_secret(seed, peer), ..Default::default() };
        assert!(AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).is_err());
        assert_eq!(found_as(|index| text_byte(seed, index)), 0, "{peer}");
    }
}

#[cfg(feature = "websocket")]
#[test]
fn a_websocket_wipes_its_path_its_frames_and_its_headers() {
    use std::io::Read;

    use tungstenite::handshake::derive_accept_key;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let address = listener.local_addr().expect("a port");
    let mut options = MqttClientOptions {
        peer: with_text_secret(14, &format!("ws://{address}/mqtt?{{0}}")),
        password: Some(Secret::from(secret(15))),
        ..Default::default()
    };
    options.connecting.websocket.headers = vec![("X-Key".to_string(), with_text_secret(16, "{0}").into())];
    let (client, mut events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).expect("a client");
    client.connect().expect("an open client");
    let (mut stream, _) = listener.accept().expect("a connection");
    // Of the request no more is kept at a time than a line.
    let (mut line, mut key) = (Vec::with_capacity(1024), String::new());
    while line != b"\r\n" {
        line.fill(0);
        line.clear();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            line.push(byte[0]);
        }
        if let Some(sent) = line.strip_prefix(b"Sec-WebSocket-Key: ") {
            key = String::from_utf8_lossy(sent.trim_ascii()).into_owned();
        }
    }
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: mqtt\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes()).expect("an open connection");
    // The head of the frame alone: two bytes and the mask.
    let mut head = [0; 6];
    stream.read_exact(&mut head).expect("CONNECT");
    let [_, _, mask @ ..] = head;
    stream.write_all(&[0x82, 5, 0x20, 3, 0, 0, 0]).expect("an open connection");
    let event = events.recv_timeout(PATIENCE);
    assert!(matches!(event, Some(MqttEvent::Connected(_))), "{event:?}");
    for turn in 0..4 {
        let masked = |index: u32| byte(15, index) ^ mask[(index as usize + turn) % 4];
        assert_eq!(found_as(masked), 0, "the frame of CONNECT, which has its mask beside it");
    }
    keeps_its_password_only_in_its_options(15, client, stream);
    drop(events);
    assert_eq!(found_as(|index| text_byte(14, index)), 0, "the query");
    assert_eq!(found_as(|index| text_byte(16, index)), 0, "the header");
}

#[cfg(all(feature = "tls", feature = "ring"))]
#[test]
fn tls_keeps_nothing_of_a_password_that_it_has_encrypted() {
    use std::io::Read;
    use std::sync::Arc;

    use flowsdk::mqtt_client::{TlsOptions, TlsRoots};
    use rustls::{ServerConfig, ServerConnection, version};

    let ca = crate::pki::Ca::new("root");
    let leaf = ca.leaf(&["localhost"]);
    for (seed, version) in [(17, &version::TLS12), (18, &version::TLS13)] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).expect("a version");
        let config = config.with_no_client_auth().with_single_cert(vec![leaf.der.clone()], leaf.key_der());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let options = MqttClientOptions {
            peer: format!("mqtts://localhost:{}", listener.local_addr().expect("a port").port()),
            password: Some(Secret::from(secret(seed))),
            tls: TlsOptions { roots: TlsRoots::bytes(ca.der.to_vec()), ..Default::default() },
            ..Default::default()
        };
        let (client, mut events) =
            AsyncMqttClient::with_receiver(options, AsyncClientConfig::default()).expect("a client");
        client.connect().expect("an open client");
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut tls = ServerConnection::new(Arc::new(config.expect("a key"))).expect("a configuration");
        // Record by record, so that CONNECT stays where it is, encrypted.
        while tls.is_handshaking() {
            let mut record = vec![0; 5];
            stream.read_exact(&mut record).expect("a record");
            let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
            record.resize(5 + len, 0);
            stream.read_exact(&mut record[5..]).expect("a whole record");
            let mut rest = &record[..];
            while !rest.is_empty() {
                tls.read_tls(&mut rest).expect("room");
                tls.process_new_packets().expect("a good client");
            }
            while tls.wants_write() {
                tls.write_tls(&mut stream).expect("an open connection");
            }
        }
        assert_eq!(stream.peek(&mut [0]).expect("a CONNECT"), 1);
        tls.writer().write_all(&[0x20, 3, 0, 0, 0]).expect("room");
        tls.write_tls(&mut stream).expect("an open connection");
        loop {
            match events.recv_timeout(PATIENCE) {
                Some(MqttEvent::Connected(_)) => break,
                Some(MqttEvent::PeerCertReceived(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        keeps_its_password_only_in_its_options(seed, client, stream);
    }
}
