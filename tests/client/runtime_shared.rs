//! Clients that share threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, CallbackMode, ClientError, Limits, MqttClientOptions, MqttEvent, MqttPublish,
    Outcome, Runtime, Threads, WaitError,
};

use crate::broker_fixture::{Client, VERSIONS, is_message, options, qos, quick, text};
use crate::recorder::Recorder;
use crate::scripted_setup::{Live, Scene, V5, both, publish};
use crate::support::embedded_broker::EmbeddedBroker;
use crate::support::proxy::Proxy;
use crate::support::scripted_broker::unanswering_address;
use crate::support::{PATIENCE, wait_until, wire};

fn on(runtime: &Runtime, callbacks: CallbackMode) -> Threads {
    Threads { runtime: Some(runtime.clone()), callbacks, ..Default::default() }
}

/// A scene whose client uses a runtime.
fn scene_on(runtime: &Runtime) -> Scene {
    let mut scene = Scene::new(V5);
    scene.options.threads = on(runtime, CallbackMode::Thread);
    scene
}

/// How many threads of this process have a name that begins so; `None` where the system does not tell.
fn threads_named(name: &str) -> Option<usize> {
    let names = std::fs::read_dir("/proc/self/task").ok()?.flatten();
    // A thread may end before its name is read.
    let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    Some(names.filter(|comm| comm.starts_with(name)).count())
}

#[track_caller]
fn expect_threads(name: &str, count: usize) {
    wait_until(PATIENCE, || threads_named(name).is_none_or(|threads| threads == count));
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_given_by_its_address_is_connected_to_without_a_thread() {
    let (address, _silent) = unanswering_address();
    let by_name = format!("localhost:{}", address.port());
    for (name, peer, takes_thread) in [("address", address.to_string(), false), ("name", by_name, true)] {
        let runtime = Runtime::named(name).unwrap();
        let mut scene = scene_on(&runtime);
        scene.options.peer = peer;
        scene.options.timeouts.connect = Duration::from_millis(300);
        let (client, log) = scene.client();
        client.connect().unwrap();
        let mut was_seen = false;
        wait_until(PATIENCE, || {
            was_seen |= threads_named(&format!("{name} connect")) != Some(0);
            log.count(|event| matches!(event, MqttEvent::Error(_))) > 0
        });
        assert_eq!(was_seen, takes_thread, "{name}");
        assert_ne!(threads_named(&format!("{name} worker")), Some(0));
        client.shutdown().unwrap();
    }
}

#[test]
fn a_hundred_clients_share_two_threads_through_a_cut_and_the_shutdown_of_one() {
    const CLIENTS: usize = 100;
    for (version, name) in VERSIONS.into_iter().zip(["hundred5", "hundred3"]) {
        for mode in [CallbackMode::Thread, CallbackMode::Worker] {
            let broker = EmbeddedBroker::start().unwrap();
            let proxy = Proxy::start(broker.address()).unwrap();
            let runtime = Runtime::named(name).unwrap();
            let mut clients: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let address = if number % 10 == 0 { proxy.address() } else { broker.address() };
                    let mut options = options(address, &format!("client-{number}"), version);
                    options.subscription_topics =
                        vec![flowsdk::mqtt_client::TopicSubscription::new(&format!("to/{number}"), 1)];
                    options.threads = on(&runtime, mode);
                    Client::new(options, quick())
                })
                .collect();
            clients.iter().for_each(|client| client.connect().unwrap());
            clients.iter().for_each(|client| assert!(client.log.connection(1).is_success()));
            let threads = if mode == CallbackMode::Thread { 2 } else { 1 };
            expect_threads(name, threads);

            proxy.cut();
            clients.pop().unwrap().shutdown().unwrap();
            clients.iter().step_by(10).for_each(|client| assert!(client.log.connection(2).is_success()));
            // A restored subscription has no answer to wait for: retained messages come also when it is late.
            for (number, client) in clients.iter().enumerate() {
                for round in ["1", "2"] {
                    let to = (number + 1) % clients.len();
                    client.publish(&format!("to/{to}"), round.as_bytes(), 1, true).unwrap();
                }
            }
            for client in &clients {
                client.log.wait_for(|events| {
                    let last = events.iter().rfind(|event| is_message(event))?;
                    matches!(last, MqttEvent::MessageReceived(publish) if *publish.payload == *b"2").then_some(())
                });
                client
                    .log
                    .wait_for_count(2, |event| matches!(event, MqttEvent::Published(result) if result.is_success()));
            }
            expect_threads(name, threads);
            clients.iter().for_each(|client| client.shutdown().unwrap());
            expect_threads(name, threads);
            drop(runtime);
            expect_threads(name, 0);
        }
    }
}

#[test]
fn the_threads_end_with_the_last_client_when_no_clone_of_the_runtime_is_left() {
    let runtime = Runtime::named("last one").unwrap();
    let mut scene = scene_on(&runtime);
    let (client, _log) = scene.client();
    scene.options.threads.runtime = None;
    drop(scene);
    // Only the client keeps them now.
    drop(runtime);
    expect_threads("last one", 2);
    client.shutdown().unwrap();
    expect_threads("last one", 0);
}

#[test]
fn callbacks_run_on_the_thread_that_the_option_says() {
    for (mode, expected) in [(CallbackMode::Thread, "where callbacks"), (CallbackMode::Worker, "where worker")] {
        let runtime = Runtime::named("where").unwrap();
        let mut scene = scene_on(&runtime);
        scene.options.threads.callbacks = mode;
        let mut live = scene.connected();
        let (sender, names) = channel();
        let handler =
            move |_: &MqttPublish<'_>| sender.send(std::thread::current().name().map(str::to_string)).unwrap();
        live.client.add_topic_handler("t", handler).unwrap();
        live.peer.send(&publish(V5, 0, "t", None, b""));
        assert_eq!(names.recv_timeout(PATIENCE).unwrap().as_deref(), Some(expected));
    }
}

#[test]
fn a_wait_on_the_worker_ends_at_once_and_calls_and_panics_are_as_ever() {
    for version in VERSIONS {
        let broker = EmbeddedBroker::start().unwrap();
        let mut options = options(broker.address(), "client", version);
        options.threads.callbacks = CallbackMode::Worker;
        let (sender, waits) = channel();
        let client = Client::acting(options, quick(), move |client, event| {
            match event {
                MqttEvent::MessageReceived(publish) if publish.topic_name == "in" => {
                    let publishing = client.publish_tracked("out", &publish.payload, &qos(1)).unwrap();
                    sender.send((publishing.wait(Duration::from_secs(600)), publishing)).unwrap();
                    panic!("the test's own panic");
                }
                MqttEvent::Error(error) => assert!(error.to_string().contains("the test's own panic"), "{error}"),
                _ => {}
            }
            true
        });
        client.connect_and_wait();
        client.subscribed("#", 2);
        for number in ["1", "2"] {
            client.published("in", number.as_bytes(), &qos(2));
            let (wait, publishing) = waits.recv_timeout(PATIENCE).unwrap();
            assert_eq!(wait, Err(WaitError::WouldDeadlock));
            assert_eq!(publishing.wait(PATIENCE).unwrap().outcome, Outcome::Acknowledged);
        }
        let messages = client.log.messages(2);
        assert!(messages.iter().all(|message| message.topic_name == "out"));
        assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), ["1", "2"]);
        client.log.wait_for_count(2, |event| matches!(event, MqttEvent::Error(_)));
        client.shutdown().unwrap();
    }
}

#[test]
fn a_client_is_shut_down_and_dropped_by_its_callback_on_the_worker() {
    let runtime = Runtime::named("dropper").unwrap();
    let mut scene = scene_on(&runtime);
    scene.options.threads.callbacks = CallbackMode::Worker;
    let Live { client, log, mut peer } = scene.connected();
    let end = Arc::new(AtomicBool::new(false));
    let (place, ended) = (Arc::new(OnceLock::new()), Arc::clone(&end));
    let held = Arc::clone(&place);
    let handler = move |_: &MqttPublish<'_>| {
        let client: &std::sync::Mutex<Option<AsyncMqttClient>> = held.get().unwrap();
        drop(client.lock().unwrap().take());
        ended.store(true, Ordering::SeqCst);
    };
    client.add_topic_handler("t", handler).unwrap();
    assert!(place.set(std::sync::Mutex::new(Some(client))).is_ok());
    peer.send(&publish(V5, 0, "t", None, b""));
    peer.expect(&wire::DISCONNECT);
    peer.close();
    log.disconnected();
    assert!(end.load(Ordering::SeqCst));
    drop(runtime);
    drop(scene);
    expect_threads("dropper", 0);
}

#[test]
fn a_callback_that_blocks_delays_callbacks_of_others_and_no_connection() {
    let runtime = Runtime::new().unwrap();
    let mut slow = scene_on(&runtime).connected();
    let mut other = scene_on(&runtime);
    other.options.keep_alive = 1;
    let mut other = other.connected();
    let (entered, has_entered) = channel();
    let (release, released) = channel::<()>();
    let handler = move |_: &MqttPublish<'_>| {
        entered.send(()).unwrap();
        // It ends when the test says so.
        let _ = released.recv();
    };
    slow.client.add_topic_handler("t", handler).unwrap();
    slow.peer.send(&publish(V5, 0, "t", None, b""));
    has_entered.recv_timeout(PATIENCE).unwrap();

    other.peer.send(&publish(V5, 0, "t", None, b"later"));
    for _ in 0..2 {
        other.peer.expect(&wire::PINGREQ);
        other.peer.send(&wire::PINGRESP);
    }
    let publishing = other.client.publish_tracked("t", b"", &qos(1)).unwrap();
    let packet = other.peer.expect_type(3);
    other.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
    assert!(publishing.wait(PATIENCE).unwrap().is_success());
    assert_eq!(other.log.count(is_message), 0);
    drop(release);
    assert_eq!(text(&other.log.messages(1)[0]), "later");
}

#[test]
fn a_wait_for_a_client_whose_messages_wait_for_the_same_thread_is_told_that_it_never_ends() {
    let runtime = Runtime::new().unwrap();
    let waiting = scene_on(&runtime);
    let mut full = scene_on(&runtime);
    full.options.limits = Limits { undelivered_bytes: 1, ..Default::default() };
    let (mut waiting, full) = (waiting.connected(), full.connected());
    let Live { client: full_client, log: full_log, peer: mut full_peer } = full;
    let full_client = Arc::new(full_client);
    let (sender, waits) = channel();
    let ((entered, has_entered), (ready, is_ready)) = (channel(), channel::<()>());
    let held = Arc::clone(&full_client);
    let handler = move |_: &MqttPublish<'_>| {
        entered.send(()).unwrap();
        is_ready.recv_timeout(PATIENCE).unwrap();
        sender.send(held.publish_tracked("t", b"", &qos(1)).unwrap().wait(Duration::from_secs(600))).unwrap();
    };
    waiting.client.add_topic_handler("t", handler).unwrap();
    waiting.peer.send(&publish(V5, 0, "t", None, b""));
    has_entered.recv_timeout(PATIENCE).unwrap();
    ready.send(()).unwrap();
    full_peer.expect_type(3);
    // The client stops to read when it finds that the messages before have not been taken.
    let deadline = Instant::now() + PATIENCE;
    let wait = loop {
        full_peer.send(&publish(V5, 0, "t", None, b"piles up"));
        match waits.recv_timeout(Duration::from_millis(1)) {
            Ok(wait) => break wait,
            Err(_) => assert!(Instant::now() < deadline, "the wait goes on"),
        }
    };
    assert_eq!(wait, Err(WaitError::WouldDeadlock));
    full_log.messages(1);
    waiting.client.remove_topic_handler("t");
}

#[test]
fn a_client_under_a_flood_leaves_the_others_their_turns_and_their_keep_alive() {
    both(|version| {
        let runtime = Runtime::new().unwrap();
        let on_runtime = |callbacks, keep_alive| {
            let mut scene = Scene::new(version);
            scene.options.threads = on(&runtime, callbacks);
            scene.options.keep_alive = keep_alive;
            scene.connected()
        };
        let mut flooded = on_runtime(CallbackMode::Worker, 0);
        let mut other = on_runtime(CallbackMode::Thread, 0);
        let mut kept_alive = on_runtime(CallbackMode::Thread, 1);
        flooded.client.add_topic_handler("flood", |_| {}).unwrap();
        let (flood, stop) =
            (publish(version, 0, "flood", None, &[b'x'; 100]).repeat(1000), Arc::new(AtomicBool::new(false)));
        let (mut writer, stopped) = (flooded.peer.writer(), Arc::clone(&stop));
        let pouring = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                std::io::Write::write_all(&mut writer, &flood).unwrap();
            }
        });
        for _ in 0..20 {
            let publishing = other.client.publish_tracked("t", b"", &qos(1)).unwrap();
            let packet = other.peer.expect_type(3);
            other.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
            assert!(publishing.wait(PATIENCE).unwrap().is_success());
        }
        kept_alive.peer.expect(&wire::PINGREQ);
        kept_alive.peer.send(&wire::PINGRESP);
        kept_alive.peer.expect(&wire::PINGREQ);
        stop.store(true, Ordering::SeqCst);
        pouring.join().unwrap();
        flooded.client.ping().unwrap();
        flooded.peer.expect(&wire::PINGREQ);
    });
}

#[test]
fn a_runtime_that_is_shut_down_ends_its_clients_and_takes_no_others() {
    let runtime = Runtime::named("shut").unwrap();
    let scenes = [scene_on(&runtime), scene_on(&runtime), scene_on(&runtime)];
    let lives = scenes.each_ref().map(Scene::connected);
    let (idle, log) = scenes[0].client();
    let token = idle.publish("t", b"kept", 1, false).unwrap();
    let (logs, peers): (Vec<_>, Vec<_>) = lives.into_iter().map(|live| ((live.client, live.log), live.peer)).unzip();
    let closing = std::thread::spawn(move || {
        for mut peer in peers {
            peer.expect(&wire::DISCONNECT);
        }
    });
    runtime.shutdown(PATIENCE).unwrap();
    closing.join().unwrap();
    for (client, log) in &logs {
        log.disconnected();
        assert_eq!(client.publish("t", b"", 0, false), Err(ClientError::ShutDown));
    }
    assert_eq!(log.published(token).outcome, Outcome::Cancelled);
    expect_threads("shut", 0);
    let (recorder, _log) = Recorder::new();
    let start = Instant::now();
    let refused = AsyncMqttClient::new(scenes[0].options.clone(), recorder, AsyncClientConfig::default());
    assert_eq!(refused.err(), Some(ClientError::ShutDown));
    assert!(start.elapsed() < PATIENCE / 2, "what was never there is not waited for");
    runtime.shutdown(Duration::ZERO).unwrap();
}

#[test]
fn attempts_at_a_peer_that_never_answers_take_few_threads_and_hold_up_no_other_peer() {
    let runtime = Runtime::named("dialer").unwrap();
    let (address, _guard) = unanswering_address();
    let stuck: Vec<_> = (0..50)
        .map(|number| {
            let mut options: MqttClientOptions = options(address, &format!("stuck-{number}"), V5);
            options.timeouts.drain = Duration::ZERO;
            options.threads = on(&runtime, CallbackMode::Thread);
            let client = Client::new(options, quick());
            client.connect().unwrap();
            client
        })
        .collect();
    let live = scene_on(&runtime).connected();
    // Those that the worker does not open itself.
    if let Some(connecting) = threads_named("dialer connect") {
        assert!((1..=8).contains(&connecting), "{connecting} threads");
    }
    live.client.publish("t", b"", 0, false).unwrap();
    // Those that have had no thread yet end as quickly as those that have.
    stuck.iter().for_each(|client| client.shutdown().unwrap());
}

/// How often the worker of a runtime has gone to sleep so far.
#[cfg(target_os = "linux")]
fn sleeps(worker: &str) -> u64 {
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let mut found = tasks.filter(|task| read(task.join("comm")).trim() == worker);
    let status = read(found.next().unwrap().join("status"));
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_that_spins_does_not_sleep_between_a_message_and_its_answer() {
    const EXCHANGES: u64 = 100;
    let runtime = Runtime::named("spin").unwrap();
    let mut scene = scene_on(&runtime);
    scene.options.threads.spin = Duration::from_secs(1);
    let mut live = scene.connected();
    let before = sleeps("spin worker");
    for _ in 0..EXCHANGES {
        let publishing = live.client.publish_tracked("t", b"", &qos(1)).unwrap();
        let packet = live.peer.expect_type(3);
        live.peer.send(&wire::ack(wire::PUBACK, wire::packet_id(&packet)));
        assert!(publishing.wait(PATIENCE).unwrap().is_success());
    }
    // Once an exchange, when it has its answer; a worker that does not spin sleeps a second time, before that.
    let slept = sleeps("spin worker") - before;
    assert!(slept < EXCHANGES * 3 / 2, "{slept}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_worker_that_spins_does_not_sleep_while_a_callback_is_at_the_message_that_it_acknowledges() {
    const MESSAGES: u16 = 100;
    let runtime = Runtime::named("await").unwrap();
    let mut scene = scene_on(&runtime);
    scene.options.threads.spin = Duration::from_secs(1);
    let mut live = scene.connected();
    // Long enough for a worker that sleeps to be asleep.
    live.client.add_topic_handler("t", |_| std::thread::sleep(Duration::from_millis(1))).unwrap();
    let before = sleeps("await worker");
    for packet_id in 1..=MESSAGES {
        live.peer.send(&publish(V5, 2, "t", Some(packet_id), b""));
        assert_eq!(live.peer.expect_type(4), wire::ack(wire::PUBACK, packet_id));
    }
    let slept = sleeps("await worker") - before;
    assert!(slept < u64::from(MESSAGES) / 2, "{slept}");
}

#[test]
fn that_a_message_was_sent_does_not_wait_for_the_long_look_of_another_client() {
    let runtime = Runtime::new().unwrap();
    let quick = scene_on(&runtime).connected();
    let mut patient = scene_on(&runtime);
    patient.options.threads.spin = Duration::from_secs(3600);
    let mut patient = patient.connected();
    let mut trigger = scene_on(&runtime);
    trigger.options.threads.callbacks = CallbackMode::Worker;
    let mut trigger = trigger.connected();
    let (sender, tokens) = channel();
    let (quick_client, patient_client) = (Arc::new(quick.client), Arc::new(patient.client));
    let both = (Arc::clone(&quick_client), Arc::clone(&patient_client));
    // On the worker, so that both have their turn in one round.
    let publish_both = move |_: &MqttPublish<'_>| {
        both.1.publish("t", b"", 1, false).unwrap();
        sender.send(both.0.publish("t", b"", 0, false).unwrap()).unwrap();
    };
    trigger.client.add_topic_handler("t", publish_both).unwrap();
    trigger.peer.send(&publish(V5, 0, "t", None, b""));
    // Nobody answers the patient client.
    patient.peer.expect_type(3);
    let token = tokens.recv_timeout(PATIENCE).unwrap();
    assert_eq!(quick.log.published(token).outcome, Outcome::Sent);
}
