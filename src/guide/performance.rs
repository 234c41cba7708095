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
//! - A message to the topic of the one before it is checked and encoded by a look at that one, and so are received ones
//!   of QoS 0.
//! - What goes the usual way costs a count: messages of a run that are sent and acknowledged in their order, and
//!   received ones that are acknowledged in theirs. What does not is taken apart, and looked up by its identifier.
//! - Received messages reach the callbacks as pieces of what was read, without a copy or an allocation each, and their
//!   acknowledgements go back together. Half of the
//!   [window](crate::mqtt_client::ProtocolOptions::receive_maximum) goes back before the other half is handled, so that
//!   the server goes on meanwhile, unless messages take less time without: both ways are measured now and then.
//! - Where an answer is awaited, of the server or of callbacks, the worker looks for it for up to 50 µs before it
//!   sleeps, as long as that [pays](crate::mqtt_client::Threads::spin). That a message of QoS 0 has been sent is told
//!   with the answer then, and that messages are acknowledged with the next answers where others wait for the server's
//!   window, for a millisecond at most, so that callbacks are woken once for all.
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
//! benches/compare/run --rounds 5 --pin pinned
//! ```
//!
//! | messages a second, CPU µs each | plain TCP | flowsdk | without spinning | callbacks on the worker | rumqttc 0.25 | rumqttc-v5-next | mqtt5 | libmosquitto | Paho C |
//! |---|---|---|---|---|---|---|---|---|---|
//! | publish QoS 0, 64 B | 46.29 M, 0.021 | 14.13 M, 0.071 |  | 14.89 M, 0.067 | 183 k, 5.5 | 1.11 M, 0.9 | 166 k, 6.0 | 190 k, 5.3 | 93 k, 11 |
//! | publish QoS 1, 64 B | 1.69 M, 0.24 | 3.27 M, 0.3 | 1.50 M, 0.39 | 3.06 M, 0.32 | 162 k, 6.1 | 613 k, 1.6 | 112 k, 8.8 | 91 k, 11 | 53 k, 19 |
//! | publish QoS 2, 64 B | 780 k, 0.5 | 1.84 M, 0.54 | 725 k, 0.72 | 1.62 M, 0.61 | 129 k, 7.5 | 430 k, 2.3 | 66 k, 15 | 46 k, 22 | 30 k, 33 |
//! | receive QoS 0, 64 B | 40.96 M, 0.016 | 34.00 M, 0.029 |  | 43.43 M, 0.021 | 3.12 M, 0.32 | 2.10 M, 0.48 | 1.09 M, 0.93 | 247 k, 4.0 | 136 k, 7.3 |
//! | receive QoS 1, 64 B | 1.44 M, 0.27 | 2.22 M, 0.45 | 1.27 M, 0.44 | 2.85 M, 0.34 | 899 k, 1.0 | 1.13 M, 0.87 | 154 k, 6.5 | 86 k, 12 | 71 k, 14 |
//! | publish QoS 0, 4 KiB | 1.20 M, 0.83 | 762 k, 1.3 |  | 791 k, 1.2 | 137 k, 7.3 | 223 k, 4.5 | 129 k, 7.7 | 137 k, 7.3 | 74 k, 14 |
//! | publish QoS 1, 4 KiB | 986 k, 0.93 | 721 k, 1.4 | 711 k, 1.4 | 733 k, 1.4 | 124 k, 8.1 | 195 k, 5.1 | 97 k, 10 | 79 k, 13 | 50 k, 20 |
//! | publish QoS 2, 4 KiB | 534 k, 1.2 | 616 k, 1.6 | 561 k, 1.7 | 591 k, 1.7 | 104 k, 9.6 | 167 k, 5.9 | 50 k, 20 | 38 k, 26 | 26 k, 36 |
//! | receive QoS 0, 4 KiB | 1.12 M, 0.62 | 1.26 M, 0.67 |  | 1.22 M, 0.48 | 399 k, 2.5 | 336 k, 2.8 | 277 k, 3.6 | 154 k, 6.5 | 100 k, 10 |
//! | receive QoS 1, 4 KiB | 946 k, 0.58 | 865 k, 1.1 | 936 k, 1.0 | 721 k, 0.96 | 345 k, 2.8 | 301 k, 3.2 | 102 k, 9.7 | 65 k, 15 | 52 k, 19 |
//! | publish QoS 0, 1 MiB | 3.2 k, 264 | 2.8 k, 340 |  | 2.7 k, 333 | 2.6 k, 350 | 3.0 k, 308 | 467, 2140 | 1.9 k, 503 | 198, 774 |
//! | receive QoS 0, 1 MiB | 3.4 k, 169 | 3.8 k, 142 |  | 3.8 k, 129 | 2.9 k, 324 | 1.5 k, 629 | 2.7 k, 300 | 4.2 k, 147 | 4.5 k, 157 |
//! | round trip, 64 B (µs) | 76, 33 | 48, 48 | 84, 48 | 27, 29 | 85, 42 | 90, 45 | 102, 49 | 95, 48 | 112, 71 |
//!
//! Compare within a row: on another machine the figures are others, and on this one they vary by a third from run to
//! run. At QoS 1 and 2 what counts at this window is how soon the client answers: where both sides wait for each other,
//! each window of 100 messages costs a sleep and a wake-up or more, as it does plain TCP, unless the client still looks
//! for the answer when it comes.
//!
//! Not pinned, three threads and the sink share two processors as the system likes: 64 bytes published are 11, 4.5 and
//! 4.7 times as many as those of the best peer at QoS 0, 1 and 2, received 4 to 9 times at QoS 0 (with callbacks on the
//! worker 10 times) and twice at QoS 1; 4 KiB 2.6, 2.8 and 3.4 times, and 2.6 and 3.1 times; a round trip takes 0.56 of
//! the time that plain TCP does.
//!
//! What is out of reach so far, and why:
//!
//! - *Everything on one core at QoS 1*: publishing reaches 0.63 of plain TCP and receiving 0.53; with callbacks on the
//!   worker it is 0.68 and 0.69. Nobody waits for anybody there, so work and switches count. Of the time of a published
//!   message (perf) the sink has 36 %, the system calls of the worker 36 %, the thread that publishes 15 %, the
//!   worker's own code 9 % and callbacks 4 %; of a received one the sink has 33 %, the system calls 49 %, the worker's
//!   own code 11 % and that of the callbacks 7 %. If all of the client's own code took no time, receiving would reach
//!   0.65: the two switches more for each window, from the worker to the callbacks and back, are what callbacks of
//!   their own thread cost. A published message takes about 730 instructions (callgrind), of which the calling thread,
//!   which checks, encodes and queues it, has 450. Tried, and worth nothing: to read the next answer without asking
//!   whether it is there, and to tell more than 512 results together.
//! - *Peak memory* is below that of rumqttc 0.25 or level with it, 3.0 to 3.3 MiB, but for five rows. With messages of
//!   4 KiB at QoS 1 and 2 it is 10 to 15 % above, as a window of 100 of them is held, 400 KiB, where that client's
//!   benchmark shares one payload among all messages. Receiving takes 6 to 10 % more, as up to 192 KiB lie ahead of the
//!   callbacks; buffers of half the length save 200 KiB of that, and cost 6 to 23 % of the messages.
//! - *Processor time of messages of 1 MiB* that are published is 11 % above the best peer's: the system copies them in
//!   four fifths of it, as it does for everybody, and one message at a time goes from the thread that publishes to the
//!   worker and back, four switches. A second one beside it would take another MiB.
//! - *A round trip with callbacks on their own thread* takes 14 % more processor time than a client without such a
//!   thread does, as it looks for the answer all the while; the answer is there in 0.56 of the time.
//!
//! The same command without `--pin` also runs unpinned and with everything on one core, and tells peak memory, context
//! switches and system calls, in half an hour.
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
