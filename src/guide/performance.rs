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
//! - What goes the usual way costs a count: messages of a run that are sent and acknowledged in their order, and
//!   received ones that are acknowledged in theirs. What does not is taken apart, and looked up by its identifier.
//! - Received messages reach the callbacks as pieces of what was read, without a copy or an allocation each, and their
//!   acknowledgements go back together. Half of the
//!   [window](crate::mqtt_client::ProtocolOptions::receive_maximum) goes back before the other half is handled, so that
//!   the server goes on meanwhile, unless messages take less time without: both ways are measured now and then.
//! - Where an answer is awaited, the worker looks for it for up to 50 µs before it sleeps, as long as that
//!   [pays](crate::mqtt_client::Threads::spin). That a message of QoS 0 has been sent is told with the answer then, so
//!   that callbacks are woken once for both.
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
//! spends on each. *Spinning* is [`spin`](crate::mqtt_client::Threads::spin), where an answer is awaited; flowsdk does
//! so by default.
//!
//! ```text
//! benches/compare/run --rounds 5 --pin pinned --driver plain --driver flowsdk --driver rumqttc
//! ```
//!
//! | messages a second, CPU µs each | plain TCP | flowsdk | without spinning | callbacks on the worker | rumqttc 0.25 | rumqttc-v5-next |
//! |---|---|---|---|---|---|---|
//! | publish QoS 0, 64 B | 32.32 M, 0.03 | 7.89 M, 0.13 |  | 7.44 M, 0.13 | 144 k, 6.9 | 862 k, 1.2 |
//! | publish QoS 1, 64 B | 1.20 M, 0.33 | 1.78 M, 0.55 | 1.22 M, 0.51 | 2.09 M, 0.48 | 125 k, 8 | 473 k, 2 |
//! | publish QoS 2, 64 B | 735 k, 0.45 | 1.35 M, 0.74 | 578 k, 0.92 | 1.04 M, 0.88 | 108 k, 9.2 | 332 k, 2.8 |
//! | receive QoS 0, 64 B | 25.34 M, 0.026 | 15.93 M, 0.061 |  | 22.65 M, 0.042 | 2.73 M, 0.37 | 1.67 M, 0.6 |
//! | receive QoS 1, 64 B | 1.18 M, 0.33 | 1.67 M, 0.59 | 1.03 M, 0.5 | 2.60 M, 0.37 | 795 k, 1.2 | 881 k, 1 |
//! | publish QoS 0, 4 KiB | 799 k, 1.2 | 502 k, 2 |  | 591 k, 1.6 | 111 k, 9 | 158 k, 6.3 |
//! | publish QoS 1, 4 KiB | 736 k, 1.1 | 552 k, 1.8 | 599 k, 1.7 | 525 k, 1.9 | 87 k, 11 | 158 k, 6.3 |
//! | publish QoS 2, 4 KiB | 479 k, 1.6 | 534 k, 1.7 | 425 k, 2.3 | 512 k, 1.9 | 72 k, 14 | 122 k, 8.2 |
//! | receive QoS 0, 4 KiB | 783 k, 0.79 | 931 k, 0.83 |  | 885 k, 0.6 | 341 k, 2.3 | 294 k, 2.9 |
//! | receive QoS 1, 4 KiB | 850 k, 0.64 | 805 k, 1.2 | 819 k, 1 | 754 k, 1.1 | 266 k, 3.7 | 272 k, 3.5 |
//! | publish QoS 0, 1 MiB | 2.6 k, 319 | 2.5 k, 300 |  | 2.9 k, 309 | 2.5 k, 302 | 2.5 k, 314 |
//! | receive QoS 0, 1 MiB | 2.8 k, 167 | 3.0 k, 165 |  | 2.9 k, 163 | 1.9 k, 498 | 1.3 k, 752 |
//! | round trip, 64 B (µs) | 69, 23 | 52, 51 | 79, 46 | 28, 29 | 66, 31 | 73, 37 |
//!
//! Compare within a row: on another machine the figures are others. At QoS 1 and 2 what counts at this window is how
//! soon the client answers: where both sides wait for each other, each window of 100 messages costs a sleep and a
//! wake-up or more, as it does plain TCP, unless the client still looks for the answer when it comes. With everything
//! on one core nothing is gained by looking, and nothing lost: there it is instructions and switches that count, and
//! plain TCP is two to three times as fast at QoS 1.
//!
//! What is out of reach so far, and why:
//!
//! - *Everything on one core at QoS 1*: publishing reaches half of plain TCP, receiving a third, or three quarters with
//!   callbacks on the worker. Nobody waits for anybody there, so instructions count: a published message takes 1,330 of
//!   the program's own (callgrind), 530 on the thread that calls, which checks, encodes and queues it, 490 in the
//!   session, which holds it, finds it by its identifier and lets it go, 105 for copies, 100 to tell its result. Plain
//!   TCP keeps no message. Runs, one buffer and one call for many messages, took it from 3,290 to that.
//! - *Peak memory* is up to 21 % above that of rumqttc 0.25, 3.3 to 4 MiB against 3.2, but for long messages received,
//!   where it is half. Heap and stacks are alike in both; this program maps more of itself. With 4 KiB messages the
//!   queue and the window, 650 KiB, come on top, where that client's benchmark shares one payload among all messages.
//! - *A round trip with callbacks on their own thread* takes half as much processor time again as a client without such
//!   a thread does; the answer is there sooner.
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
//! thread, and the handler must not block then. A [`spin`](crate::mqtt_client::Threads::spin) that is longer than a
//! broker takes to answer saves the time to fall asleep and to wake, at the cost of processor time; zero leaves the
//! processor to others.
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
