use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mio::{Poll, Waker};

use super::callbacks;
use super::calls::{self, Caller};
use super::error::ClientError;
use super::hub::{Hub, NoteEnd, is_some_worker};
use super::threads::spawn;
use super::worker::{self, Worker};
use crate::macros::equal_if_clones;

/// Threads that clients share: one that drives their connections, and one that runs their callbacks.
///
/// A client made without a runtime has threads of its own, which is right for a few clients. Hundreds of clients in one
/// process should share them. `cargo bench --bench scale` measures a thousand clients on one runtime; on a busy machine
/// of two cores each took 10 KiB when connected, and as much more as its longest burst needed (200 KiB for 500 messages
/// in flight), no thread woke up between keep-alives, and together they published 215,000 messages of QoS 1 a second.
///
/// ```
/// use flowsdk::mqtt_client::{
///     AsyncClientConfig, AsyncMqttClient, MqttClientOptions, MqttEventHandler, Runtime, Threads,
/// };
///
/// struct Quiet;
/// impl MqttEventHandler for Quiet {}
///
/// let runtime = Runtime::new()?;
/// let clients: Result<Vec<_>, _> = (0..100)
///     .map(|number| {
///         let options = MqttClientOptions {
///             client_id: format!("sensor-{number}"),
///             threads: Threads { runtime: Some(runtime.clone()), ..Default::default() },
///             ..Default::default()
///         };
///         AsyncMqttClient::new(options, Box::new(Quiet), AsyncClientConfig::default())
///     })
///     .collect();
/// // From here on only the clients keep the two threads.
/// drop(runtime);
/// for client in clients? {
///     client.shutdown()?;
/// }
/// # Ok::<(), flowsdk::mqtt_client::ClientError>(())
/// ```
///
/// # What clients share, and what they do not
///
/// Connections take turns: none waits for more than a bounded turn of each other one. Queues, limits, waits, panics in
/// handlers and the [end](super::AsyncMqttClient::shutdown) of a client are its own. What one client's *callback* does
/// is felt by others: while it blocks, no other callback of the runtime runs; connections go on, and a client whose
/// messages pile up stops to read until then. Give clients whose callbacks block a runtime of their own. Connections
/// are opened by up to eight short-lived threads at a time, at most four of them for one peer; further attempts wait
/// for one, and their [`Timeouts::connect`](super::Timeouts::connect) counts from then on. One at a time takes no thread,
/// if it is by plain TCP to a single server that is given by its address.
///
/// # When its threads end
///
/// With the last client, when all clones of the runtime are dropped, or by [`Runtime::shutdown`]. Clients do not count
/// as clones.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    hub: Arc<Hub>,
    name: String,
    /// What calls the callback thread, once there is one.
    callback_thread: Mutex<Option<Caller>>,
}

impl Runtime {
    /// Starts a runtime. The callback thread comes with the first client that needs it.
    ///
    /// # Errors
    /// [`ClientError::Start`] if the system has no thread or no poll for it.
    pub fn new() -> Result<Self, ClientError> {
        Self::named("flowsdk")
    }

    /// As [`Runtime::new`], with threads named `{name} worker`, `{name} callbacks` and `{name} connect`.
    ///
    /// # Errors
    /// As [`Runtime::new`], also for a name with a NUL character.
    pub fn named(name: &str) -> Result<Self, ClientError> {
        if name.contains('\0') {
            return Err(ClientError::Start("a thread's name cannot contain NUL".to_string()));
        }
        let poll = Poll::new().map_err(failed)?;
        let waker = Waker::new(poll.registry(), worker::WAKE).map_err(failed)?;
        let hub = Arc::new(Hub::new(waker, name));
        // Until there is a callback thread, there is no end of it to wait for.
        hub.end.note(|ended| ended.callbacks = true);
        let (driven, end) = (Arc::clone(&hub), NoteEnd::worker(&hub.end));
        let run = move || {
            Worker::new(poll, driven).run();
            drop(end);
        };
        spawn(&format!("{name} worker"), Box::new(run)).map_err(failed)?;
        Ok(Self(Arc::new(Inner { hub, name: name.to_string(), callback_thread: Mutex::new(None) })))
    }

    /// Ends all clients, each as by its own [`shutdown`](super::AsyncMqttClient::shutdown), and then the threads. New
    /// clients are refused. From a callback it starts the end and returns.
    ///
    /// # Errors
    /// [`ClientError::StillRunning`] if a thread has not ended within `timeout`; it goes on by itself.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), ClientError> {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)));
        let hub = &self.0.hub;
        hub.shut();
        self.0.callback_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if hub.is_callback_thread() || is_some_worker() {
            return Ok(());
        }
        hub.end.wait(deadline).result()
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// What calls the callback thread, which is started now if there is none.
    pub(super) fn callback_thread(&self) -> Result<Caller, ClientError> {
        let mut place = self.0.callback_thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = &*place {
            return Ok(thread.clone());
        }
        let hub = Arc::clone(&self.0.hub);
        if hub.is_shut() {
            return Err(ClientError::ShutDown);
        }
        let (calls, called) = calls::calls();
        hub.end.note(|ended| ended.callbacks = false);
        let end = NoteEnd::callbacks(&hub.end);
        let serve = move || {
            hub.enter_callback_thread();
            callbacks::serve(&called);
            drop(end);
        };
        spawn(&format!("{} callbacks", self.0.name), Box::new(serve)).map_err(failed)?;
        *place = Some(calls.clone());
        Ok(calls)
    }
}

fn failed(error: io::Error) -> ClientError {
    ClientError::Start(error.to_string())
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hub.abandon();
    }
}

equal_if_clones! { Runtime }

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("name", &self.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        AsyncMqttClient, MqttClientOptions, MqttEventHandler, Outcome, PublishOptions, Threads, Tracked,
    };
    use super::*;

    struct Quiet;
    impl MqttEventHandler for Quiet {}

    fn cancelled<T: Clone + Send + 'static>(tracked: &Tracked<T>) -> T {
        tracked.wait(Duration::ZERO).unwrap()
    }

    #[test]
    fn where_the_worker_has_gone_calls_fail_and_waits_end() {
        let poll = Poll::new().unwrap();
        let hub = Arc::new(Hub::new(Waker::new(poll.registry(), worker::WAKE).unwrap(), "gone"));
        let (mut worker, end) = (Worker::new(poll, Arc::clone(&hub)), NoteEnd::worker(&hub.end));
        let runtime = Runtime(Arc::new(Inner { hub, name: "gone".to_string(), callback_thread: Mutex::new(None) }));
        let threads = Threads { runtime: Some(runtime.clone()), ..Default::default() };
        let options = MqttClientOptions { threads, ..Default::default() };
        let client = || AsyncMqttClient::with_default_config(options.clone(), Box::new(Quiet));
        let message = PublishOptions { qos: 1, ..Default::default() };
        let (seen, unseen) = (client().unwrap(), client());
        let taken = seen.publish_tracked("t", b"", &message).unwrap();
        worker.look_for_news();
        worker.take_turns();
        let unseen = unseen.unwrap();
        let untaken = [&seen, &unseen].map(|client| client.publish_tracked("t", b"", &message).unwrap());
        let request = unseen.unsubscribe_tracked(&["t"], &Default::default()).unwrap();
        assert!(taken.try_result().is_none() && untaken[0].try_result().is_none());
        // As it is dropped when its thread unwinds.
        drop((worker, end));
        for tracked in [&taken, &untaken[0], &untaken[1]] {
            assert_eq!((cancelled(tracked).outcome, cancelled(tracked).qos), (Outcome::Cancelled, 1));
        }
        assert_eq!(cancelled(&request).outcome, Outcome::Cancelled);
        for client in [seen, unseen] {
            assert_eq!(client.connect(), Err(ClientError::ShutDown));
            assert_eq!(client.publish_wait("t", b"", &message, Duration::MAX), Err(ClientError::ShutDown));
            assert_eq!(client.shutdown(), Ok(()));
        }
        assert_eq!(client().err(), Some(ClientError::ShutDown));
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), Ok(()));
    }
}
