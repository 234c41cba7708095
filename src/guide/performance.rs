//! What a message costs, how that is measured, and how to tune it.
//!
//! # What decides
//!
//! Not the codec. A write to the socket for each message costs a hundred times as much as one for many, a wake-up of
//! another thread more than everything else that is done for a short message, and the second copy of a long one as much
//! as the first. So the client gathers:
//!
//! - Messages that follow each other at one QoS are encoded into one buffer of up to 17 KiB, a topic that stays the
//!   same once. It goes to the worker, to the socket and back to be filled again; at QoS 1 and 2 when the last of these
//!   messages is acknowledged, and if the server's window has no room for all of them, as many as it has room for are
//!   copied out. Results travel as one, too, and become a call of
//!   [`on_published`](crate::mqtt_client::MqttEventHandler::on_published) each.
//! - A longer message is one buffer from `publish` to the socket, at QoS 1 and 2 to its acknowledgement. What is sent
//!   again is never encoded again.
//! - A publish wakes the worker only if it sleeps. The worker takes all that has come, writes once, and asks again
//!   before it sleeps.
//! - Received messages reach the callbacks as pieces of what was read, without a copy or an allocation each, and their
//!   acknowledgements go back together: half of the [window](crate::mqtt_client::ProtocolOptions::receive_maximum)
//!   before the other half is handled, so that the server goes on meanwhile.
//! - Where an answer is awaited, the worker looks for it for up to 50 µs before it sleeps, as long as that
//!   [pays](crate::mqtt_client::Threads::spin).
//! - Callbacks that wait for the worker's processor get it before the worker looks for what they have asked for. It
//!   reads no more than some 200 KiB ahead of them, or two long messages, unless a callback takes longer than 5 ms.
//! - An idle client wakes for its keep-alive alone.
//!
//! # How it is measured
//!
//! `benches/compare/run` builds the client and its peers and lets them do the same work, interleaved in rounds, each in
//! a process of its own, against a sink that acknowledges, counts and verifies what it gets; a client that loses a
//! message fails. *Plain TCP* is the limit: a program that moves the same bytes with the same window of 100 messages
//! and does nothing else. Each client uses the fastest way that its documentation offers; flowsdk acknowledges by
//! itself and calls its handler for every message and every result.
//!
//! On a virtual machine with two cores of an AMD EPYC and Linux, over loopback, the client on one core and the sink on
//! the other, medians of five rounds: messages a second, and microseconds of processor time that the client's process
//! spends on each. Other programs ran on that machine, too, which slows all of them. *Spinning* is
//! [`spin`](crate::mqtt_client::Threads::spin), where an answer is awaited; flowsdk does so by default.
//!
//! ```text
//! benches/compare/run --rounds 5 --pin pinned --driver plain --driver flowsdk --driver rumqttc
//! ```
//!
//! | messages a second, CPU µs each | plain TCP | flowsdk | without spinning | callbacks on the worker | rumqttc 0.25 | rumqttc-v5-next |
//! |---|---|---|---|---|---|---|
//! | publish QoS 0, 64 B | 33.52 M, 0.03 | 8.35 M, 0.12 |  | 9.70 M, 0.1 | 180 k, 5.5 | 974 k, 1 |
//! | publish QoS 1, 64 B | 983 k, 0.27 | 1.27 M, 0.49 | 1.05 M, 0.55 | 1.32 M, 0.46 | 62 k, 6.8 | 309 k, 1.7 |
//! | publish QoS 2, 64 B | 536 k, 0.55 | 637 k, 0.86 | 525 k, 0.94 | 520 k, 0.85 | 48 k, 8.5 | 205 k, 2.9 |
//! | receive QoS 0, 64 B | 16.64 M, 0.019 | 13.28 M, 0.057 |  | 14.62 M, 0.03 | 2.91 M, 0.34 | 1.95 M, 0.51 |
//! | receive QoS 1, 64 B | 861 k, 0.26 | 1.01 M, 0.45 | 808 k, 0.48 | 969 k, 0.37 | 223 k, 1.6 | 710 k, 1.1 |
//! | publish QoS 0, 4 KiB | 411 k, 0.96 | 407 k, 1.5 |  | 393 k, 1.2 | 126 k, 3.5 | 152 k, 2.8 |
//! | publish QoS 1, 4 KiB | 309 k, 1.2 | 235 k, 1.8 | 207 k, 2 | 232 k, 2 | 45 k, 9.1 | 70 k, 6.7 |
//! | publish QoS 2, 4 KiB | 190 k, 1.8 | 164 k, 2 | 153 k, 2.4 | 185 k, 2 | 38 k, 11 | 46 k, 9.5 |
//! | receive QoS 0, 4 KiB | 362 k, 0.86 | 928 k, 0.78 |  | 497 k, 0.82 | 210 k, 2.5 | 256 k, 2.8 |
//! | receive QoS 1, 4 KiB | 297 k, 0.85 | 530 k, 1.1 | 475 k, 1.2 | 270 k, 1.1 | 104 k, 3.4 | 198 k, 3.6 |
//! | publish QoS 0, 1 MiB | 1.2 k, 281 | 1.2 k, 300 |  | 1.4 k, 283 | 1.3 k, 260 | 1.1 k, 288 |
//! | receive QoS 0, 1 MiB | 1.0 k, 181 | 1.0 k, 218 |  | 1.1 k, 193 | 0.9 k, 367 | 0.6 k, 583 |
//! | round trip, 64 B (µs) | 54, 24 | 40, 41 | 57, 38 | 29, 31 | 71, 38 | 59, 33 |
//!
//! Compare within a row: on another machine the figures are others. At QoS 1 and 2 what counts at this window is how
//! soon the client answers: where both sides wait for each other, each window of 100 messages costs a sleep and a
//! wake-up or more, as it does plain TCP, unless the client still looks for the answer when it comes. With everything
//! on one core nothing is gained by looking, and nothing lost: there it is instructions and switches that count, and
//! plain TCP is two to three times as fast at QoS 1.
//!
//! The same command without `--pin` also runs unpinned and with everything on one core, and tells peak memory, context
//! switches and system calls; with all peers (mqtt5, libmosquitto and Paho C, too) it takes half an hour.
//!
//! `cargo bench --bench codec`, `session`, `client` and `scale` measure the parts: nanoseconds a packet, two sessions
//! in memory, allocations and system calls a message, a thousand clients on one
//! [`Runtime`](crate::mqtt_client::Runtime).
//!
//! # How to tune
//!
//! Most programs need nothing of this. For many messages a second:
//!
//! - **Queue size.** [`command_queue_size`](crate::mqtt_client::AsyncClientConfig::command_queue_size) is how many
//!   calls may wait for the worker, 100 by default. A producer that publishes in bursts needs room for one: 1,000 costs
//!   no memory before it is used.
//! - **Back-pressure.** [`publish_wait`](crate::mqtt_client::AsyncMqttClient::publish_wait) holds a producer back where
//!   `publish` would return `QueueFull`; to try again in a loop would keep the processor from the worker.
//! - **Batches.** [`publish_batch`](crate::mqtt_client::AsyncMqttClient::publish_batch) hands over many messages under
//!   one lock.
//! - **Window.** What is published at QoS 1 or 2 in one round trip is at most
//!   [`in_flight`](crate::mqtt_client::Limits::in_flight) messages, and what the server's Receive Maximum allows: on a
//!   link with 50 ms there and back, 100 messages in flight are 2,000 a second, 1,000 are 20,000.
//!   [`receive_maximum`](crate::mqtt_client::ProtocolOptions::receive_maximum) is the same for what the server sends.
//! - **Callbacks.** A handler that takes long fills
//!   [`undelivered_bytes`](crate::mqtt_client::Limits::undelivered_bytes), and then the client stops to read. Give slow
//!   work to a thread of yours.
//! - **Long messages** leave the queue at [`queue_bytes`](crate::mqtt_client::Limits::queue_bytes). One above 64 KiB is
//!   encoded once it has room, so a producer that waits holds no second copy of it, and fills the buffer of the one
//!   before, which is kept for half a second to a second.
//!
//! For the shortest answer: [`CallbackMode::Worker`](crate::mqtt_client::CallbackMode::Worker) saves the way to another
//! thread, and the handler must not block then. A [`spin`](crate::mqtt_client::Threads::spin) that is longer than a broker
//! takes to answer saves the time to fall asleep and to wake, at the cost of processor time; zero leaves the processor to
//! others.
//!
//! For many clients in one process: one [`Runtime`](crate::mqtt_client::Runtime) gives them two threads together.
//!
//! ```
//! use flowsdk::mqtt_client::{AsyncClientConfig, CallbackMode, Limits, MqttClientOptions, Runtime, Threads};
//! use std::time::Duration;
//!
//! // Throughput over a long link.
//! let options = MqttClientOptions { limits: Limits { in_flight: 4096, ..Default::default() }, ..Default::default() };
//! let config = AsyncClientConfig { command_queue_size: 4096, ..Default::default() };
//! # let _ = (options, config);
//!
//! // Short round trips to a broker that answers within 100 µs, at the cost of a processor that looks for them.
//! let threads = Threads { callbacks: CallbackMode::Worker, spin: Duration::from_micros(150), ..Default::default() };
//! let options = MqttClientOptions { threads, ..Default::default() };
//! # let _ = options;
//!
//! // A thousand devices of a test bench.
//! let runtime = Runtime::new()?;
//! let devices = (0..1000).map(|number| MqttClientOptions {
//!     client_id: format!("device-{number}"),
//!     threads: Threads { runtime: Some(runtime.clone()), ..Default::default() },
//!     ..Default::default()
//! });
//! # assert_eq!(devices.count(), 1000);
//! # Ok::<(), std::io::Error>(())
//! ```
