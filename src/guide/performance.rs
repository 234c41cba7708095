//! What a message costs, how that is measured, and how to tune it.
//!
//! # What decides
//!
//! Not the codec. A write to the socket for each message costs a hundred times as much as one for many, a wake-up of another
//! thread more than everything else that is done for a short message, and the second copy of a long one as much as the first.
//! So the client gathers:
//!
//! - Messages of QoS 0 that follow each other are encoded into one buffer of up to 16 KiB, which goes to the worker, to the
//!   socket and back to be filled again. Their results travel as one, too, and become a call of
//!   [`on_published`](crate::mqtt_client::MqttEventHandler::on_published) each.
//! - A message of QoS 1 or 2 is one buffer from `publish` to its acknowledgement: what is sent again is never encoded again.
//! - A publish wakes the worker only if it sleeps. The worker takes all that has come, writes once, and asks again before it
//!   sleeps.
//! - Received messages reach the callbacks as pieces of what was read, without a copy or an allocation each, and their
//!   acknowledgements go back together.
//! - An idle client wakes for its keep-alive alone.
//!
//! # How it is measured
//!
//! `benches/compare/run` builds the client and its peers and lets them do the same work, interleaved in rounds, each in a process
//! of its own, against a sink that acknowledges, counts and verifies what it gets; a client that loses a message fails. *Plain
//! TCP* is the limit: a program that moves the same bytes with the same window of 100 messages and does nothing else. Each client
//! uses the fastest way that its documentation offers; flowsdk acknowledges by itself and calls its handler for every message and
//! every result.
//!
//! `cargo bench --bench codec`, `session`, `client` and `scale` measure the parts: nanoseconds a packet, two sessions in memory,
//! allocations and system calls a message, a thousand clients on one [`Runtime`](crate::mqtt_client::Runtime).
//!
//! # How to tune
//!
//! Most programs need nothing of this. For many messages a second:
//!
//! - **Queue size.** [`command_queue_size`](crate::mqtt_client::AsyncClientConfig::command_queue_size) is how many calls may wait for
//!   the worker, 100 by default. A producer that publishes in bursts needs room for one: 1,000 costs no memory before it is used.
//! - **Back-pressure.** [`publish_wait`](crate::mqtt_client::AsyncMqttClient::publish_wait) holds a producer back where `publish` would
//!   return `QueueFull`; to try again in a loop would keep the processor from the worker.
//! - **Batches.** [`publish_batch`](crate::mqtt_client::AsyncMqttClient::publish_batch) hands over many messages under one lock.
//! - **Window.** What is published at QoS 1 or 2 in one round trip is at most
//!   [`in_flight`](crate::mqtt_client::Limits::in_flight) messages, and what the server's Receive Maximum allows: on a link with 50 ms
//!   there and back, 100 messages in flight are 2,000 a second, 1,000 are 20,000.
//!   [`receive_maximum`](crate::mqtt_client::ProtocolOptions::receive_maximum) is the same for what the server sends.
//! - **Callbacks.** A handler that takes long fills
//!   [`undelivered_bytes`](crate::mqtt_client::Limits::undelivered_bytes), and then the client stops to read. Give slow work to a
//!   thread of yours.
//! - **Long messages** leave the queue at [`queue_bytes`](crate::mqtt_client::Limits::queue_bytes); the buffer of a message above 64 KiB
//!   is kept for a second and filled again by the next one.
//!
//! For the shortest answer: [`CallbackMode::Worker`](crate::mqtt_client::CallbackMode::Worker) saves the way to another thread, and the
//! handler must not block then; [`spin`](crate::mqtt_client::Threads::spin) looks for an answer instead of sleeping.
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
//! // Short round trips to a broker next door, at the cost of a processor that looks for them.
//! let threads = Threads { callbacks: CallbackMode::Worker, spin: Duration::from_micros(50), ..Default::default() };
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
