//! Many messages from many threads, and from where one would not expect them.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, ClientError, Limits, MqttClientOptions, MqttEvent, Token};
use flowsdk::types::ProtocolVersion;

use crate::broker_fixture::{Client, VERSIONS, is_message, options, qos, quick};
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::{PATIENCE, wait_until};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn each_of_200_000_messages_from_8_threads_is_acknowledged_once() {
    const THREADS: usize = 8;
    const EACH: usize = 25_000;
    let broker = EmbeddedBroker::start().unwrap();
    let (ended, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (told, counted) = (Arc::clone(&ended), Arc::clone(&count));
    let config = AsyncClientConfig { command_queue_size: 10_000, ..quick() };
    let client = Client::acting(options(broker.address(), "load", ProtocolVersion::V5), config, move |_, event| {
        if let MqttEvent::Published(result) = event {
            assert!(result.is_success(), "{result:?}");
            told.lock().unwrap().push(result.token);
            counted.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        true
    });
    client.connect_and_wait();
    let publishers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let client = client.clone();
            thread::spawn(move || {
                let topic = format!("load/{thread}");
                (0..EACH).map(|_| publish_when_there_is_room(&client, &topic, b"0123456789")).collect::<Vec<Token>>()
            })
        })
        .collect();
    let mut tokens: Vec<_> = publishers.into_iter().flat_map(|publisher| publisher.join().unwrap()).collect();
    wait_until(LONG, || count.load(Ordering::SeqCst) == THREADS * EACH);
    client.shutdown().unwrap();
    let mut ended = ended.lock().unwrap().clone();
    tokens.sort_unstable();
    ended.sort_unstable();
    assert!(tokens == ended, "every token ends once");
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), THREADS * EACH);
    assert_eq!(client.log.words(), ["connected 0x00 session false", "disconnected Some(0)"]);
}

#[track_caller]
fn publish_when_there_is_room(client: &Client, topic: &str, payload: &[u8]) -> Token {
    let mut accepted = None;
    wait_until(LONG, || match client.publish(topic, payload, 1, false) {
        Ok(token) => accepted.replace(token).is_none(),
        Err(ClientError::QueueFull) => false,
        Err(error) => panic!("{error}"),
    });
    accepted.unwrap()
}

#[test]
fn a_callback_publishes_10_000_messages_through_a_queue_of_4() {
    const COUNT: usize = 10_000;
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let witness_count = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&witness_count);
        let witness = Client::acting(options(broker.address(), "witness", version), quick(), move |_, event| {
            if let MqttEvent::MessageReceived(publish) = event {
                seen.lock().unwrap().push(String::from_utf8_lossy(&publish.payload).parse::<usize>().unwrap());
            }
            !is_message(event)
        });
        witness.connect_and_wait();
        witness.subscribed("out", 1);
        let config = AsyncClientConfig { command_queue_size: 4, ..quick() };
        let (mut backlog, refused) = (VecDeque::new(), Arc::new(AtomicUsize::new(0)));
        let refusals = Arc::clone(&refused);
        let client = Client::acting(options(broker.address(), "client", version), config, move |client, event| {
            if is_message(event) {
                backlog.extend(0..COUNT);
            }
            while let Some(number) = backlog.pop_front() {
                let text = number.to_string();
                if let Err(error) = client.publish("out", text.as_bytes(), 1, false) {
                    assert_eq!(error, ClientError::QueueFull);
                    refusals.fetch_add(1, Ordering::SeqCst);
                    backlog.push_front(number);
                    break;
                }
            }
            !matches!(event, MqttEvent::Published(_))
        });
        client.connect_and_wait();
        client.subscribed("in", 1);
        witness.published("in", b"go", &qos(1));
        wait_until(LONG, || witness_count.lock().unwrap().len() >= COUNT);
        assert!(witness_count.lock().unwrap().iter().copied().eq(0..COUNT), "all in their order");
        assert!(refused.load(Ordering::SeqCst) > 0, "a queue of 4 was never full");
    }
}

/// Keeps the first callback busy for three keep-alive periods, with messages of `payload_len` bytes waiting.
fn block_for_three_keep_alive_periods(version: ProtocolVersion, limits: Limits, payload_len: usize) {
    const COUNT: usize = 5_000;
    let broker = EmbeddedBroker::start().unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let (counted, (release, released)) = (Arc::clone(&received), channel::<()>());
    let options_of = MqttClientOptions { keep_alive: 1, limits, ..options(broker.address(), "slow", version) };
    let client = Client::acting(options_of, quick(), move |_, event| {
        if is_message(event) && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            // Nobody sends: what passes is the time that this is about.
            let _ = released.recv_timeout(Duration::from_millis(3_200));
        }
        !is_message(event)
    });
    client.connect_and_wait();
    client.subscribed("t", 1);
    let publisher = Client::connected(options(broker.address(), "publisher", version));
    let payload = vec![b'x'; payload_len];
    for _ in 0..COUNT {
        publisher.publish("t", &payload, 1, false).unwrap();
    }
    wait_until(LONG, || received.load(Ordering::SeqCst) >= COUNT);
    drop(release);
    client.ping().unwrap();
    wait_until(PATIENCE, || received.load(Ordering::SeqCst) == COUNT);
    assert_eq!(client.log.words(), ["connected 0x00 session false"], "the link stays up");
}

#[test]
fn a_handler_that_blocks_for_three_keep_alive_periods_keeps_its_connection() {
    for version in VERSIONS {
        block_for_three_keep_alive_periods(version, Limits::default(), 100);
    }
}

#[test]
fn a_handler_that_blocks_until_reading_is_paused_keeps_its_connection() {
    let limits = Limits { undelivered_bytes: 10_000, ..Limits::default() };
    block_for_three_keep_alive_periods(ProtocolVersion::V5, limits, 20);
}
