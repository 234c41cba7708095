//! A password is nowhere in the memory of the process but where it is kept, once it has been sent.
//!
//! The memory is searched through the file that the system has for it. Neither the search nor the server may hold the password
//! itself: the one knows how to compute its bytes, the other leaves what it is sent in the kernel.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use flowsdk::codec::{Properties, Property};
use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEvent, Secret};
use flowsdk::packet::Auth;
use flowsdk::session::{Config, ConnectOptions, Heap, HeapLimits, Session};
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
    const PART: usize = 1 << 20;
    // One search would find what another one has just read.
    static SEARCHING: Mutex<()> = Mutex::new(());
    let _searching = SEARCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let maps = fs::read_to_string("/proc/self/maps").expect("the list of what is mapped");
    let memory = File::open("/proc/self/mem").expect("the memory of this process");
    let mut buffer = vec![0; PART + LEN as usize];
    let own = buffer.as_ptr() as usize;
    let own = own..own + buffer.len();
    let (first, mut count) = (byte(seed, 8), 0);
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
                let is_secret = (8..LEN).all(|index| buffer[place + index as usize - 8] == byte(seed, index));
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
        let now = Instant::from_millis(0);
        let kept = Secret::from(secret(seed));
        let password = secret(seed);
        let before = found(seed);
        let mut session = Session::new(Config::DEFAULT, Heap::new(HeapLimits::default()));
        let data = [Property::AuthenticationMethod("m"), Property::AuthenticationData(&password)];
        let options = ConnectOptions { password: Some(&password), properties: &data, ..ConnectOptions::DEFAULT };
        session.connect(now, &options).expect("connect");
        let auth = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: Properties::new(&data) };
        session.authenticate(now, &auth).expect("authenticate");
        assert_eq!(found(seed), before + 3, "twice in CONNECT, once in AUTH, and no copy more");
        while is_sent && let Some(bytes) = session.poll_transmit(now) {
            let len = bytes.len().min(7);
            session.consume_transmit(now, len);
        }
        if !is_sent {
            session.handle_closed(now);
        }
        assert_eq!(found(seed), before);
        drop((kept, password));
    }
}

/// A client that is connected to a server that never looks at its CONNECT, and the server's end.
fn connected(options: MqttClientOptions) -> (AsyncMqttClient, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    let options = MqttClientOptions { peer: listener.local_addr().expect("a port").to_string(), ..options };
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

#[test]
fn a_client_keeps_its_password_only_in_its_options() {
    let options = MqttClientOptions {
        client_id: "c".to_string(),
        username: Some("user".to_string()),
        password: Some(Secret::from(secret(4))),
        ..Default::default()
    };
    assert_eq!(found(4), 1);
    let (client, stream) = connected(options);
    // Those of the handle, and those of the worker.
    let kept = found(4);
    assert!(kept <= 2, "{kept}");
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = client.shutdown();
        drop(client);
        let _ = done.send(());
    });
    drop(stream);
    ended.recv_timeout(PATIENCE).expect("a shutdown");
    assert_eq!(found(4), 0);
}
