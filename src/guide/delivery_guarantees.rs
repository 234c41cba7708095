//! What [`mqtt_client`](crate::mqtt_client) promises about a message, and what it does not.
//!
//! # Each call ends in one result
//!
//! A `publish` that returns a [`Token`](crate::mqtt_client::Token) has accepted the message; one that returns an error
//! has not, and nothing of it is sent. An accepted message ends in exactly one
//! [`Outcome`](crate::mqtt_client::Outcome), whatever happens to connections in between, and
//! [`on_published`](crate::mqtt_client::MqttEventHandler::on_published) tells it with that token. The same holds for
//! `subscribe` and `unsubscribe`, which are sent again until they are answered.
//!
//! ```
//! use flowsdk::mqtt_client::{
//!     AsyncClientConfig, AsyncMqttClient, DropCause, MqttClientOptions, Outcome, PublishOptions,
//! };
//! use std::time::Duration;
//!
//! // Nobody has called `connect()`, and one message is kept without a connection.
//! let config = AsyncClientConfig { max_buffer_size: 1, ..Default::default() };
//! let (client, _events) = AsyncMqttClient::with_receiver(MqttClientOptions::default(), config)?;
//! let options = PublishOptions { qos: 1, ..Default::default() };
//! let first = client.publish_tracked("readings", b"1", &options)?;
//! let second = client.publish_tracked("readings", b"2", &options)?;
//!
//! let soon = Duration::from_secs(10);
//! assert_eq!(first.wait(soon)?.outcome, Outcome::Dropped(DropCause::BufferFull));
//! client.shutdown()?;
//! assert_eq!(second.wait(soon)?.outcome, Outcome::Cancelled);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What you publish
//!
//! | | What success means | A connection is lost, the session is not | The session is lost |
//! |---|---|---|---|
//! | QoS 0 | `Sent`: the operating system has the bytes, or the layer of TLS or WebSockets above it, which holds back up to 64 KiB. Whether the server gets them is not known | Nothing is sent twice. What the system had not taken whole ends as `Dropped(ConnectionLost)` | the same |
//! | QoS 1 | `Acknowledged`: the server has it | It is sent again with DUP: the server may pass it on twice | It is published anew and may arrive twice, or ends as `Dropped(SessionLost)` and may have arrived |
//! | QoS 2 | `Acknowledged`: the server has it, once (of v3.1.1, at least once where it has no QoS 2 and answers by PUBACK) | It is sent again as far as needed: the server has it exactly once | What the server had not yet confirmed goes the way of QoS 1. What it had confirmed (PUBREC) is not published again and ends as `Dropped(SessionLost)` |
//!
//! The session is lost when the server says so in CONNACK (`session_present` is false), because it was restarted, has
//! let the session expire, or because the options ask for a new one on each connection. Which ones do is told by the
//! [table of sessions](crate::mqtt_client#sessions); the default is a session that ends with its connection.
//! [`SessionLossPolicy`](crate::mqtt_client::SessionLossPolicy) chooses between the two ways of the last column, and
//! [`on_session_lost`](crate::mqtt_client::MqttEventHandler::on_session_lost) lists the tokens of either, and of
//! messages whose lifetime was over. So for QoS 2 without any doubt, use a session that outlives connections:
//!
//! ```
//! use flowsdk::mqtt_client::{MqttClientOptions, ProtocolOptions, SessionLossPolicy};
//!
//! let options = MqttClientOptions {
//!     client_id: "sensor-7".to_string(),
//!     clean_start: false,
//!     protocol: ProtocolOptions { session_expiry_interval: 7 * 24 * 60 * 60, ..Default::default() },
//!     // Rather lost than twice, should the server lose the session all the same.
//!     session_loss: SessionLossPolicy::Fail,
//!     ..Default::default()
//! };
//! # drop(options);
//! ```
//!
//! Other outcomes, at any QoS: `Rejected` with the server's reason code (v5.0; the server did not take it), `Expired`
//! (its Message Expiry Interval was over before it could be sent), `Dropped(BufferFull)`, `Dropped(Superseded)` and
//! `Dropped(NotConnected)` (never sent, by the bounds of the [offline buffer](crate::mqtt_client::Offline)),
//! `Dropped(Refused(_))` (never sent: it breaks a limit that the server has told), `Dropped(EndsConnection(_))` (see
//! [below](#what-a-server-ends-the-connection-over)), and `Cancelled`: the client ended before anything else was known.
//! A cancelled message of QoS 1 or 2 may have arrived.
//!
//! **Order.** Messages of one QoS reach the server in the order of the calls, also over lost connections and lost
//! sessions; a repeated one of QoS 1 may come behind its successors a second time. A message of QoS 0 may overtake
//! others that wait for the server's window. A subscribe leaves ahead of the messages that wait for a connection, and
//! behind those published before it on the same one; an unsubscribe leaves behind them in both cases. Both overtake
//! messages that wait for the window.
//!
//! # What you receive
//!
//! | | While the session lives | What may happen |
//! |---|---|---|
//! | QoS 0 | at most once | It is lost with a connection |
//! | QoS 1 | at least once | It is handed over again when its acknowledgement had not reached the server |
//! | QoS 2 | exactly once for each time the server sends it as a new message | Identifiers are remembered over connections, so that a repeated one is not handed over again |
//!
//! Messages are handed over in the order they came, and news of the connection and the end of an unsubscribe keep their
//! place between them. How a publish or a subscribe has ended is told as soon as possible, ahead of messages that wait.
//!
//! A message is acknowledged when your callback has returned, or when you [say
//! so](crate::mqtt_client::AsyncMqttClient::acknowledge) where `auto_ack` is false. When the session is lost, the
//! server has forgotten what it still held for you; the client subscribes again, and what was published in between is
//! not sent unless it was retained.
//!
//! One case no client can tell: the server has lost the session, its CONNACK that says so is lost with the connection,
//! and the next one speaks of a session, the new one. Then a QoS 2 message that was in flight may arrive twice, or one
//! that comes under an identifier of the lost session is taken for its repetition.
//!
//! # What a server ends the connection over
//!
//! What a lost connection has cut off is sent again, however often that happens. A server of v5.0 can say that it was
//! the request itself: by a DISCONNECT whose code may be about one (0x81 to 0x83, 0x87, 0x8F, 0x90, 0x95, 0x99 to 0x9B,
//! 0x9E, 0xA1, 0xA2) while something has no answer. The next connection then tries out which it was: it stands for a
//! tenth of [`Connecting::stable_after`](crate::mqtt_client::Connecting::stable_after), sends a ping, and upon its
//! answer what had none, alone, one after the other. Whatever else is to be sent waits meanwhile, behind
//! `on_connected`, for each answer at most [`Timeouts::ping`](crate::mqtt_client::Timeouts::ping). What the server ends
//! this connection over, by such a DISCONNECT again, ends as
//! [`Dropped(EndsConnection(_))`](crate::mqtt_client::DropCause::EndsConnection) with that code, and all else goes on.
//! A subscription that the client itself makes again is told by `on_error`, and is not made any more.
//!
//! A message of QoS 1 or 2 in a session that the server keeps is not ended like that: the standard wants it sent again
//! for as long as the session lives `[MQTT-4.4.0-1]`, and its identifier may stand for it at the server. There the code
//! counts as it does where nothing is unanswered: 0x87 stops the client, for one.
//!
//! A server of v3.1.1 can only close the connection, which looks like a network that fails, so nothing is held against
//! a request. From the third close in a row soon behind CONNACK on, `on_error` tells
//! [`ClientIdInUse`](crate::mqtt_client::ConnectionError::ClientIdInUse), which names this cause, too, and the client
//! waits longer.
//!
//! # Your process ends
//!
//! Without [persistence](#with-persistence) the client keeps all of this in memory. With the process, accepted messages
//! are gone that were not acknowledged, and so are the identifiers of received messages of QoS 2. A session that the
//! server keeps goes on at the next start with the same `client_id` and `clean_start: false`: subscriptions hold, and
//! messages that your process had not acknowledged come again, at QoS 2 too, as its callback may have been in the midst
//! of one.
//!
//! An orderly end loses less: [`shutdown`](crate::mqtt_client::AsyncMqttClient::shutdown) and
//! [`disconnect`](crate::mqtt_client::AsyncMqttClient::disconnect) first deliver what was accepted, for up to
//! [`Timeouts::drain`](crate::mqtt_client::Timeouts::drain). What is left then is told as `Cancelled` by `shutdown`,
//! and stays for the next `connect()` after a `disconnect`. A DISCONNECT with reason code 0x00 keeps the will from
//! being published. After one with another code, and when a connection ends without one, it is published, after its
//! delay if it has one and the client does not come back before.
//!
//! # With persistence
//!
//! With the feature `persistence`, `MqttClientOptions::persistence` names a file. In it are the publishes of QoS 1 and
//! 2 that have no outcome yet, with how far they have come, outcomes that you have not heard, and the identifiers of
//! received messages of QoS 2. The next client with the same file and `client_id` goes on with them: after `shutdown`,
//! after a crash at any moment, and after a power cut, as far as the disk keeps what it has synced.
//!
//! **Accepted is not yet durable.** A call returns as soon as the message is in memory. `on_durable` tells the tokens
//! that are in the file, and `Tracked::wait_durable` waits for one. All that comes up while the disk is busy goes into
//! the file by one transaction. A crash loses what was not told as durable, or does not: both may be.
//!
//! | | After the end of the process |
//! |---|---|
//! | QoS 0 | Gone: it is never in the file |
//! | QoS 1 | What was durable is sent, or sent again with its identifier and DUP: the server may pass it on twice |
//! | QoS 2 | What was durable is sent, or its exchange goes on where it was: the server has it exactly once, if it keeps the session |
//! | Tokens | [`AsyncMqttClient`](crate::mqtt_client::AsyncMqttClient)`::restored` lists those of the messages that are left; each comes to its outcome. Later tokens are all higher |
//! | Outcomes | None goes untold. One that you were about to hear is told by the next client, before it connects, and nothing is sent for it |
//! | Order | as without a crash |
//! | Lifetime | Message Expiry Intervals go on in wall-clock time; what is over ends as `Expired`, unless it may have been sent before |
//! | Session lost meanwhile | as ever, by [`SessionLossPolicy`](crate::mqtt_client::SessionLossPolicy) |
//!
//! For this, packets wait for the disk: a PUBLISH of QoS 1 or 2 until the message and its identifier are in the file, a
//! PUBREL until it is there that PUBREC has come, a PUBREC until the received identifier is, a PUBCOMP until the
//! identifier is removed. PUBACK, pings, subscriptions, and messages of QoS 0 wait for nothing; so one of QoS 0 may
//! overtake others. `shutdown` tells `Outcome::Kept` for what it leaves in the file; its outcome is told by the next
//! client.
//!
//! **Every outcome is told once, whenever the process ends,** except for those that you were hearing at that moment:
//! they are told again. When a message of QoS 1 or 2 comes to its outcome, the outcome takes its place in the file, and
//! you hear of it as soon as it is there, which takes one write of the disk (as all that comes up meanwhile goes by the
//! next one, it costs time and no throughput). It leaves the file by the first write after its callback has returned,
//! at most a millisecond later by a write of its own. So where the process dies between the beginning of a callback and
//! that write, the next client tells the same outcome again: the same in every field, however the server would answer
//! now. Whoever counts what must not be counted twice notes the token together with what it has led to.
//!
//! - A tracked call has been heard when its callback has returned and its result was taken or its `Tracked` dropped.
//! - An event of a [receiver](crate::mqtt_client::AsyncMqttClient::with_receiver) has been heard when the next one is
//!   asked for. `shutdown` does not wait for events that nobody takes: the file stays in use until all were, or the
//!   receiver is dropped, which gives them up.
//! - Outcomes that wait for a callback that blocks, or for a disk that fails, count for
//!   [`Limits::unreported_results`](crate::mqtt_client::Limits::unreported_results): beyond that calls are refused.
//!
//! **Received messages of QoS 2.** Without a crash each is handed over once. What a crash does is for
//! `Persistence::inbound` to choose: with `AckAfter` an identifier is durable after the acknowledgement of the
//! application and before PUBREC, so no message is lost, and those come again that the application had and whose
//! acknowledgement was not durable. With `IdFirst` it is durable before the application sees the message, so none comes
//! twice, and those are lost that were durable and not handled. Received messages of QoS 1 are not in the file: the
//! server sends again what was not acknowledged.
//!
//! **When the disk fails** while the client runs, `on_error` tells a `PersistenceError` once. What was accepted stays
//! in memory, packets that wait for the disk go on waiting, the connection is kept alive, and the disk is tried again
//! twice a second. At the bounds of memory calls are refused by `QueueFull`. When the disk works again all goes on, and
//! nothing is lost. A `shutdown` meanwhile waits for the drain deadline: what is in the file is `Kept`, also where it
//! has come to an outcome that is not, the rest `Cancelled`.
//!
//! A file that is damaged, not this crate's, in use by another client, another client's, or from a later version is an
//! error of `AsyncMqttClient::new`, and stays as it is. One exception: where the last transaction before a crash was
//! damaged later, it cannot be told from one that the crash has cut off, and the client goes on from the one before.
//!
//! **Not promised:** subscriptions are not in the file (a session that the server keeps has them). If the server loses
//! the session and the process dies within the moment between the server's CONNACK and the file's knowing of it, the
//! next client takes the server's new session for the old one: a message of QoS 2 whose PUBREC had come counts as
//! acknowledged then, and one received in that moment under the identifier of an old one may be lost.
//!
//! # What no client can promise
//!
//! An acknowledgement is the server's: it says nothing about subscribers. A server may drop messages for a subscriber
//! that is slow or away, deliver at a lower QoS than was published, or forget a session it has promised to keep.
