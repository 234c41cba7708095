//! flowsdk with automatic acknowledgement and one message a call, by its defaults, or as COMPARE_MODE says: `batch` (many
//! messages a call), `worker` (callbacks there), `sleep` and `worker-sleep` (without looking again for answers before it
//! sleeps).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use compare_support::Error;
use compare_support::meter::{Meter, now_ns, wait_for_release};
use compare_support::plan::{FILTER, Mode, Plan, TOPIC};
use flowsdk::mqtt_client::client::{ConnectionResult, PublishResult, SubscribeResult};
use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, BatchMessage, CallbackMode, Limits, MqttClientOptions, MqttEventHandler,
    MqttPublish, ProtocolOptions, PublishOptions, Threads,
};

/// For room in the queue.
const PATIENCE: Duration = Duration::from_secs(20);
/// Messages in a batch.
const BATCH: usize = 128;

/// What the main thread waits for.
enum Signal {
    Connected,
    Subscribed,
    /// Everything is done, at this time.
    Done(u64, Vec<u64>),
}

/// What was said to the main thread and not heard; less code than a channel.
#[derive(Default)]
struct Signals {
    said: Mutex<VecDeque<Signal>>,
    has_come: Condvar,
}

impl Signals {
    fn send(&self, signal: Signal) {
        self.lock().push_back(signal);
        self.has_come.notify_one();
    }

    /// Waits for the next one.
    fn wait(&self) -> Signal {
        let mut said = self.lock();
        loop {
            match said.pop_front() {
                Some(signal) => return signal,
                None => said = self.has_come.wait(said).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Signal>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handler {
    plan: Plan,
    client: Arc<OnceLock<Weak<AsyncMqttClient>>>,
    /// Publishes that ended well.
    published: Arc<AtomicUsize>,
    received: usize,
    payload: Vec<u8>,
    begun: u64,
    round_trips: Vec<u64>,
    signals: Arc<Signals>,
}

impl Handler {
    fn done(&mut self) {
        let end = now_ns().expect("the clock");
        self.signals.send(Signal::Done(end, std::mem::take(&mut self.round_trips)));
    }

    fn send_one(&mut self) {
        let client = self.client.get().and_then(Weak::upgrade).expect("the client lives while it is measured");
        self.begun = now_ns().expect("the clock");
        client.publish(TOPIC, &self.payload, 0, false).expect("room for one message");
    }
}

impl MqttEventHandler for Handler {
    fn on_connected(&mut self, result: &ConnectionResult) {
        assert!(result.is_success(), "{}", result.reason_description());
        self.signals.send(Signal::Connected);
    }

    fn on_subscribed(&mut self, result: &SubscribeResult) {
        assert!(result.is_success(), "{result:?}");
        self.signals.send(Signal::Subscribed);
        if self.plan.mode == Mode::Echo {
            self.send_one();
        }
    }

    fn on_published(&mut self, result: &PublishResult) {
        assert!(result.is_success(), "{result:?}");
        let published = self.published.load(Ordering::Relaxed) + 1;
        self.published.store(published, Ordering::Relaxed);
        if self.plan.mode == Mode::Publish && published == self.plan.messages {
            self.done();
        }
    }

    fn on_message_received(&mut self, publish: &MqttPublish<'_>) {
        assert_eq!(publish.payload.len(), self.plan.size);
        self.received += 1;
        if self.plan.mode == Mode::Echo {
            self.round_trips.push(now_ns().expect("the clock") - self.begun);
            if self.received < self.plan.messages {
                return self.send_one();
            }
        }
        if self.received == self.plan.messages {
            self.done();
        }
    }
}

fn main() -> Result<(), Error> {
    let plan = Plan::from_args()?;
    let mode = std::env::var("COMPARE_MODE").unwrap_or_default();
    let threads = match mode.as_str() {
        "" | "batch" => Threads::default(),
        "worker" => Threads { callbacks: CallbackMode::Worker, ..Default::default() },
        "sleep" => Threads { spin: Duration::ZERO, ..Default::default() },
        "worker-sleep" => Threads { callbacks: CallbackMode::Worker, spin: Duration::ZERO, ..Default::default() },
        other => return Err(format!("no mode {other:?}").into()),
    };
    let options = MqttClientOptions {
        threads,
        peer: plan.address(),
        reconnect: false,
        protocol: ProtocolOptions { receive_maximum: plan.window, ..Default::default() },
        limits: Limits { in_flight: plan.window, ..Default::default() },
        ..Default::default()
    };
    let config = AsyncClientConfig { command_queue_size: 1024, ..Default::default() };
    let signals = Arc::<Signals>::default();
    let place = Arc::new(OnceLock::new());
    let published = Arc::new(AtomicUsize::new(0));
    let handler = Handler {
        plan: plan.clone(),
        client: Arc::clone(&place),
        published: Arc::clone(&published),
        received: 0,
        payload: if plan.mode == Mode::Echo { plan.payload() } else { Vec::new() },
        begun: 0,
        round_trips: Vec::with_capacity(if plan.mode == Mode::Echo { plan.messages } else { 0 }),
        signals: Arc::clone(&signals),
    };
    let client = Arc::new(AsyncMqttClient::new(options, Box::new(handler), config)?);
    place.set(Arc::downgrade(&client)).map_err(|_| "set once")?;
    client.connect()?;
    let Signal::Connected = signals.wait() else { return Err("no connection".into()) };

    let meter = Meter::start()?;
    if plan.mode == Mode::Publish {
        if mode == "batch" { publish_batches(&client, &plan) } else { publish_each(&client, &plan) }?;
    } else {
        client.subscribe(FILTER, plan.qos)?;
        let Signal::Subscribed = signals.wait() else { return Err("no subscription".into()) };
    }
    let Signal::Done(end, mut round_trips) = signals.wait() else { return Err("a second connection".into()) };
    wait_for_release()?;
    let done = if plan.mode == Mode::Publish { published.load(Ordering::Relaxed) } else { plan.messages };
    meter.finish(end, done, &mut round_trips)?;
    client.shutdown()?;
    Ok(())
}

fn publish_each(client: &AsyncMqttClient, plan: &Plan) -> Result<(), Error> {
    let (payload, options) = (plan.payload(), PublishOptions { qos: plan.qos, ..Default::default() });
    for _ in 0..plan.messages {
        client.publish_wait(TOPIC, &payload, &options, PATIENCE)?;
    }
    Ok(())
}

fn publish_batches(client: &AsyncMqttClient, plan: &Plan) -> Result<(), Error> {
    let (payload, options) = (plan.payload(), PublishOptions { qos: plan.qos, ..Default::default() });
    let batch = vec![BatchMessage { topic: TOPIC, payload: &payload, options: &options }; BATCH];
    let mut left = plan.messages;
    while left > 0 {
        let count = left.min(BATCH);
        if let Some(error) = client.publish_batch(&batch[..count], PATIENCE).error {
            return Err(error.into());
        }
        left -= count;
    }
    Ok(())
}
