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
//! - Where an answer is awaited, of the server or of callbacks, the worker looks for it for up to 50 µs before it
//!   sleeps, as long as that [pays](crate::mqtt_client::Threads::spin). That a message of QoS 0 has been sent is told
//!   with the answer then, so that callbacks are woken once for both.
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
//! | publish QoS 0, 64 B | 32.21 M, 0.029 | 8.69 M, 0.11 |  | 8.24 M, 0.12 | 122 k, 8.1 | 746 k, 1.3 |
//! | publish QoS 1, 64 B | 1.00 M, 0.39 | 2.01 M, 0.49 | 960 k, 0.62 | 2.15 M, 0.46 | 126 k, 7.8 | 377 k, 2.4 |
//! | publish QoS 2, 64 B | 402 k, 0.94 | 1.19 M, 0.83 | 464 k, 1.1 | 1.13 M, 0.87 | 90 k, 11 | 283 k, 3.2 |
//! | receive QoS 0, 64 B | 29.23 M, 0.015 | 32.62 M, 0.03 |  | 27.78 M, 0.03 | 2.95 M, 0.34 | 2.12 M, 0.47 |
//! | receive QoS 1, 64 B | 1.27 M, 0.31 | 1.84 M, 0.54 | 1.17 M, 0.59 | 2.40 M, 0.41 | 795 k, 1.2 | 886 k, 1.1 |
//! | publish QoS 0, 4 KiB | 863 k, 1.1 | 699 k, 1.4 |  | 661 k, 1.5 | 115 k, 8.7 | 166 k, 6.0 |
//! | publish QoS 1, 4 KiB | 570 k, 1.7 | 521 k, 1.9 | 688 k, 1.3 | 586 k, 1.6 | 115 k, 8.6 | 176 k, 5.7 |
//! | publish QoS 2, 4 KiB | 491 k, 1.5 | 461 k, 2.1 | 525 k, 1.8 | 597 k, 1.7 | 88 k, 11 | 127 k, 7.7 |
//! | receive QoS 0, 4 KiB | 877 k, 0.82 | 1.01 M, 0.79 |  | 956 k, 0.58 | 336 k, 2.4 | 339 k, 2.4 |
//! | receive QoS 1, 4 KiB | 1.07 M, 0.52 | 1.12 M, 0.88 | 1.10 M, 0.83 | 1.02 M, 0.74 | 344 k, 2.6 | 367 k, 2.6 |
//! | publish QoS 0, 1 MiB | 2.7 k, 220 | 3.0 k, 259 |  | 3.3 k, 251 | 3.5 k, 249 | 3.3 k, 254 |
//! | receive QoS 0, 1 MiB | 3.8 k, 168 | 4.0 k, 130 |  | 4.1 k, 119 | 3.0 k, 306 | 1.7 k, 587 |
//! | round trip, 64 B (µs) | 75, 31 | 48, 49 | 86, 50 | 26, 27 | 90, 39 | 89, 43 |
//!
//! Compare within a row: on another machine the figures are others, and on this one they vary by a third from run to
//! run. At QoS 1 and 2 what counts at this window is how soon the client answers: where both sides wait for each other,
//! each window of 100 messages costs a sleep and a wake-up or more, as it does plain TCP, unless the client still looks
//! for the answer when it comes.
//!
//! What is out of reach so far, and why:
//!
//! - *Everything on one core at QoS 1*: publishing reaches 0.53 of plain TCP and receiving 0.57; with callbacks on the
//!   worker it is 0.64 and 0.75. Nobody waits for anybody there, so work and switches count. A published message takes
//!   about 790 instructions of the program's own (callgrind): 510 on the thread that calls, which checks, encodes and
//!   queues it, 190 on the worker, 90 for its callback; a received one takes 570, of which 230 are for its callback.
//!   But of the time on the processor (perf) two thirds and more are the system's, most of it switches: three for each
//!   window of 100, of which plain TCP, that has one thread, needs one.
//! - *Moved about by the system*, not pinned, three threads share two cores: callbacks run now on the core of the
//!   worker, now on that of the server. Receiving 64 bytes reaches 6.6 times the best peer at QoS 0, and with callbacks
//!   on the worker 11 times; at QoS 1 2.2 times and 1.4 of plain TCP.
//! - *Peak memory* is level with that of rumqttc 0.25 or up to 17 % above, 3.1 to 3.9 MiB against 3.0 to 3.4, but for
//!   long messages received, where it is half. Heap and stacks are alike in both; this program maps more of itself,
//!   1.3 MB of code against 1.1. With messages of 64 bytes at QoS 0 some 300 KiB of buffers come on top, with those of
//!   4 KiB the queue and the window, 650 KiB, where that client's benchmark shares one payload among all messages.
//!   Reading half as far ahead of the callbacks saves 200 KiB and costs a third of the messages.
//! - *A round trip with callbacks on their own thread* takes a quarter more processor time than a client without such a
//!   thread does, as it looks for the answer all the while; the answer is there in 0.7 of the time.
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
