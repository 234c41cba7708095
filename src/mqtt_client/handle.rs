use std::sync::Arc;
use std::time::Instant;

use super::callbacks::{Callbacks, Listener, TopicHandler, TopicHandlers};
use super::client::{ReauthenticationResult, SubscribeResult, UnsubscribeResult};
use super::command::{Acknowledgement, Command, Reauthenticating, Requesting, RequestingKind};
use super::config::AsyncClientConfig;
use super::connection::Connection;
use super::dispatch::{self, Dispatcher};
use super::error::ClientError;
use super::event::{MqttPublish, Receipt};
use super::handler::MqttEventHandler;
use super::hub::{NoteEnd, is_some_worker};
use super::kept::Kept;
use super::offline::Overflow;
use super::options::{
    CallbackMode, DisconnectOptions, MqttClientOptions, SubscribeOptions, TopicSubscription, UnsubscribeOptions,
};
#[cfg(feature = "persistence")]
use super::persistence;
use super::queue::Places;
use super::receiver::EventReceiver;
use super::runtime::Runtime;
use super::servers::Servers;
use super::shared::{Bounds, Shared};
use super::token::{Completion, Promise, Token, Tracked};
use super::validate;
use crate::packet::AckKind;
use crate::types::{QoS, ReasonCode, Role, TopicFilter};

/// An MQTT client that works on a thread of its own, or on that of a [`Runtime`], and tells by callbacks.
///
/// Every call may be made from any thread, callbacks included, and returns at once: it checks what it is given, hands
/// it to the worker, and returns a [`Token`] that comes back in the result. Share a client by `Arc`.
///
/// Dropping a client shuts it down as [`AsyncMqttClient::shutdown`] does.
pub struct AsyncMqttClient {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Arc<Kept>,
    pub(super) buffers_messages: bool,
    #[cfg(feature = "persistence")]
    restored: Vec<Token>,
    topic_handlers: Arc<TopicHandlers>,
}

impl AsyncMqttClient {
    /// Makes a client whose events go to `handler`, on a thread of their own. Nothing is sent before
    /// [`AsyncMqttClient::connect`].
    ///
    /// # Errors
    /// [`ClientError::InvalidOption`] and the like for options that cannot work; [`ClientError::Start`] if the system
    /// has no thread or no poll for it.
    pub fn new(
        options: MqttClientOptions,
        handler: Box<dyn MqttEventHandler>,
        config: AsyncClientConfig,
    ) -> Result<Self, ClientError> {
        Self::start(options, config, |shared, topic_handlers, dispatcher, (runtime, mode)| {
            let end = NoteEnd::callbacks(&shared.end);
            let callbacks = Callbacks::new(dispatcher, handler, topic_handlers, end);
            match mode {
                CallbackMode::Thread => Ok((Listener::thread(callbacks, runtime.callback_thread()?), ())),
                CallbackMode::Worker => Ok((Listener::Worker(Box::new(callbacks)), ())),
            }
        })
        .map(|(client, ())| client)
    }

    /// As [`AsyncMqttClient::new`], with the default configuration.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::new`].
    pub fn with_default_config(
        options: MqttClientOptions,
        handler: Box<dyn MqttEventHandler>,
    ) -> Result<Self, ClientError> {
        Self::new(options, handler, AsyncClientConfig::default())
    }

    /// Makes a client whose events are taken from a queue instead of callbacks. Take them, or drop the receiver:
    /// results that nobody takes hold up further calls at
    /// [`Limits::unreported_results`](super::Limits::unreported_results).
    ///
    /// # Errors
    /// As [`AsyncMqttClient::new`].
    pub fn with_receiver(
        options: MqttClientOptions,
        config: AsyncClientConfig,
    ) -> Result<(Self, EventReceiver), ClientError> {
        Self::start(options, config, |shared, topic_handlers, dispatcher, _| {
            shared.end.note(|ended| ended.callbacks = true);
            Ok((Listener::Receiver, EventReceiver::new(dispatcher, topic_handlers)))
        })
    }

    fn start<R>(
        options: MqttClientOptions,
        config: AsyncClientConfig,
        listen: impl FnOnce(
            &Shared,
            Arc<TopicHandlers>,
            Dispatcher,
            (&Runtime, CallbackMode),
        ) -> Result<(Listener, R), ClientError>,
    ) -> Result<(Self, R), ClientError> {
        let mut options = Kept(options);
        options.timeouts.cut();
        let servers = Servers::take(&mut options)?;
        validate::options(&options, &config)?;
        #[cfg(feature = "persistence")]
        let stored = persistence::open(&options)?;
        // Neither the handle nor the worker keeps the runtime going by itself.
        let runtime = options.threads.runtime.take().map_or_else(Runtime::new, Ok)?;
        let bounds = Bounds {
            commands: config.command_queue_size,
            bytes: options.limits.queue_bytes,
            unreported: options.limits.unreported_results,
            undelivered: options.limits.undelivered_bytes,
            buffer: (config.buffer_messages && options.offline.overflow == Overflow::Refuse)
                .then_some(Places { count: config.max_buffer_size, bytes: options.limits.buffer_bytes }),
        };
        let shared = Arc::new(Shared::new(Arc::clone(runtime.hub()), bounds));
        let (mut outlet, dispatcher) = dispatch::channel(&shared, options.auto_ack);
        let topic_handlers = Arc::<TopicHandlers>::default();
        let callbacks = options.threads.callbacks;
        let (listener, heard) = listen(&shared, Arc::clone(&topic_handlers), dispatcher, (&runtime, callbacks))?;
        outlet.set_listener(listener);
        let (options, buffers_messages) = (Arc::new(options), config.buffer_messages);
        #[cfg(feature = "persistence")]
        let heard_later = outlet.has_receiver();
        let end = NoteEnd::worker(&shared.end);
        #[cfg_attr(not(feature = "persistence"), expect(unused_mut, reason = "nothing has been kept"))]
        let mut connection = Connection::new(Arc::clone(&options), config, servers, Arc::clone(&shared), outlet, end);
        #[cfg(feature = "persistence")]
        let restored =
            stored.map(|stored| persistence::resume(stored, &mut connection, &shared, heard_later)).transpose()?;
        runtime.hub().add(connection)?;
        let client = Self {
            shared,
            options,
            buffers_messages,
            #[cfg(feature = "persistence")]
            restored: restored.unwrap_or_default(),
            topic_handlers,
        };
        Ok((client, heard))
    }

    /// The tokens of messages that an earlier client has left in the file of
    /// [`MqttClientOptions::persistence`](super::MqttClientOptions::persistence), in the order of their calls. Each
    /// comes to its outcome as if this client had published it; those that had come to it and were not told are told
    /// before anything else, perhaps even before [`new`](Self::new) returns. Tokens of this client are all higher.
    #[cfg(feature = "persistence")]
    pub fn restored(&self) -> &[Token] {
        &self.restored
    }

    /// Opens the connection, and opens it again when it is lost, as the options say. Does nothing if one is wanted
    /// already.
    ///
    /// # Errors
    /// [`ClientError::ShutDown`], here as in every other call; [`ClientError::QueueFull`], here and in the calls that
    /// disconnect or turn reconnection on and off, where a thousand of them wait.
    pub fn connect(&self) -> Result<(), ClientError> {
        self.shared.submit_control(Command::Connect)
    }

    /// Subscribes to a topic filter (section 3.8). `qos` is 0, 1 or 2. A subscription made while there is no connection
    /// is sent when there is one.
    ///
    /// # Errors
    /// [`ClientError::InvalidTopic`], [`ClientError::InvalidQoS`], [`ClientError::QueueFull`],
    /// [`ClientError::ShutDown`].
    pub fn subscribe(&self, topic_filter: &str, qos: u8) -> Result<Token, ClientError> {
        self.subscribe_with(&[TopicSubscription::new(topic_filter, qos)], &SubscribeOptions::default())
    }

    /// Subscribes to several topic filters by one packet.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::subscribe`], and [`ClientError::Encode`] for an empty list or options that the version
    /// does not have.
    pub fn subscribe_with(
        &self,
        topics: &[TopicSubscription],
        options: &SubscribeOptions,
    ) -> Result<Token, ClientError> {
        self.submit_subscribe(topics, options, None)
    }

    /// Subscribes with a result that can be waited for or awaited.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::subscribe_with`].
    pub fn subscribe_tracked(
        &self,
        topics: &[TopicSubscription],
        options: &SubscribeOptions,
    ) -> Result<Tracked<SubscribeResult>, ClientError> {
        let completion = Completion::new();
        let token = self.submit_subscribe(topics, options, Some(Promise::new(&completion)))?;
        Ok(Tracked::new(token, completion, Arc::clone(&self.shared), SubscribeResult::cancelled(token)))
    }

    fn submit_subscribe(
        &self,
        topics: &[TopicSubscription],
        options: &SubscribeOptions,
        tracked: Option<Promise<SubscribeResult>>,
    ) -> Result<Token, ClientError> {
        validate::subscribe(topics, options, self.options.protocol.version)?;
        self.submit_request(RequestingKind::Subscribe(topics.to_vec(), tracked), options)
    }

    /// Unsubscribes from topic filters (section 3.10), behind the messages that were published before, as far as the
    /// server's window lets them go: those still come back to this client.
    ///
    /// # Errors
    /// [`ClientError::InvalidTopic`], [`ClientError::Encode`] for an empty list, [`ClientError::QueueFull`],
    /// [`ClientError::ShutDown`].
    pub fn unsubscribe(&self, topic_filters: Vec<&str>) -> Result<Token, ClientError> {
        self.unsubscribe_with(&topic_filters, &UnsubscribeOptions::default())
    }

    /// Unsubscribes with properties.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::unsubscribe`], and [`ClientError::Encode`] for properties in v3.1.1.
    pub fn unsubscribe_with(&self, topic_filters: &[&str], options: &UnsubscribeOptions) -> Result<Token, ClientError> {
        self.submit_unsubscribe(topic_filters, options, None)
    }

    /// Unsubscribes with a result that can be waited for or awaited.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::unsubscribe_with`].
    pub fn unsubscribe_tracked(
        &self,
        topic_filters: &[&str],
        options: &UnsubscribeOptions,
    ) -> Result<Tracked<UnsubscribeResult>, ClientError> {
        let completion = Completion::new();
        let token = self.submit_unsubscribe(topic_filters, options, Some(Promise::new(&completion)))?;
        Ok(Tracked::new(token, completion, Arc::clone(&self.shared), UnsubscribeResult::cancelled(token)))
    }

    fn submit_unsubscribe(
        &self,
        filters: &[&str],
        options: &UnsubscribeOptions,
        tracked: Option<Promise<UnsubscribeResult>>,
    ) -> Result<Token, ClientError> {
        let UnsubscribeOptions { user_properties } = options;
        let options = SubscribeOptions { user_properties: user_properties.clone(), ..Default::default() };
        validate::unsubscribe(filters, &options, self.options.protocol.version)?;
        let filters = filters.iter().map(ToString::to_string).collect();
        self.submit_request(RequestingKind::Unsubscribe(filters, tracked), &options)
    }

    fn submit_request(&self, kind: RequestingKind, options: &SubscribeOptions) -> Result<Token, ClientError> {
        let token = self.shared.next_token();
        let requesting = Requesting { token: Some(token), options: options.clone(), kind, in_queue: true };
        self.shared.submit(Command::Request(requesting), 0)?;
        Ok(token)
    }

    /// Acknowledges a message of QoS 1 or 2, where `auto_ack` is false. From any thread and in any order: the
    /// acknowledgements leave in the order of receipt `[MQTT-4.6.0-2]`.
    ///
    /// # Errors
    /// [`ClientError::StaleReceipt`] if the connection of the message is gone; where that is noticed only later,
    /// [`MqttEventHandler::on_error`] tells it. [`ClientError::QueueFull`] for one receipt used more than a hundred
    /// thousand times at once.
    pub fn acknowledge(&self, receipt: Receipt) -> Result<(), ClientError> {
        self.acknowledge_with(receipt, ReasonCode::SUCCESS.byte())
    }

    /// Acknowledges a message with a reason code of PUBACK or PUBREC, for instance 0x87 Not authorized. v3.1.1 has no
    /// such codes, there every acknowledgement is a success.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::acknowledge`], and [`ClientError::InvalidReasonCode`].
    pub fn acknowledge_with(&self, receipt: Receipt, reason_code: u8) -> Result<(), ClientError> {
        let code = ReasonCode::from_byte(reason_code)
            .filter(|code| AckKind::Puback.allows(*code, Role::Client))
            .ok_or(ClientError::InvalidReasonCode(reason_code))?;
        self.shared.check_acknowledging()?;
        let (connection, session) = self.shared.numbers();
        let is_stale = receipt.connection != connection && receipt.qos != QoS::ExactlyOnce;
        if is_stale || receipt.session != session {
            return Err(ClientError::StaleReceipt);
        }
        self.shared.acknowledge([Acknowledgement { receipt, count: 1, code, by_hand: true }]);
        Ok(())
    }

    /// Sends a PINGREQ (section 3.12). The client does so by itself as often as the keep-alive asks. It takes a place
    /// in the command queue until it is answered, or its connection has gone.
    ///
    /// # Errors
    /// [`ClientError::QueueFull`], [`ClientError::ShutDown`].
    pub fn ping(&self) -> Result<(), ClientError> {
        self.shared.submit(Command::Ping, 0)
    }

    /// Authenticates again on the connection that is there, while messages go on (v5.0 section 4.12.1), by a new
    /// exchange of [`Connecting::authentication`](super::Connecting::authentication).
    /// [`MqttEventHandler::on_reauthenticated`] tells how it has ended. Where it fails, the connection ends
    /// `[MQTT-4.12.1-2]`.
    ///
    /// # Errors
    /// [`ClientError::NoAuthenticationMethod`], [`ClientError::QueueFull`], [`ClientError::ShutDown`].
    pub fn reauthenticate(&self) -> Result<Token, ClientError> {
        self.submit_reauthentication(None)
    }

    /// Authenticates again with a result that can be waited for or awaited.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::reauthenticate`].
    pub fn reauthenticate_tracked(&self) -> Result<Tracked<ReauthenticationResult>, ClientError> {
        let completion = Completion::new();
        let token = self.submit_reauthentication(Some(Promise::new(&completion)))?;
        Ok(Tracked::new(token, completion, Arc::clone(&self.shared), ReauthenticationResult::cancelled(token)))
    }

    fn submit_reauthentication(&self, tracked: Option<Promise<ReauthenticationResult>>) -> Result<Token, ClientError> {
        if self.options.connecting.authentication.is_none() {
            return Err(ClientError::NoAuthenticationMethod); // [MQTT-4.12.0-7]
        }
        let token = self.shared.next_token();
        self.shared.submit(Command::Reauthenticate(Reauthenticating { token, tracked, has_begun: false }), 0)?;
        Ok(token)
    }

    /// Ends the connection when everything that was accepted before is delivered and acknowledged, or
    /// [`Timeouts::drain`](super::Timeouts::drain) is over. There is no reconnection until the next
    /// [`AsyncMqttClient::connect`].
    ///
    /// # Errors
    /// [`ClientError::ShutDown`].
    pub fn disconnect(&self) -> Result<(), ClientError> {
        self.disconnect_with_options(&DisconnectOptions::default())
    }

    /// Disconnects with a reason code (v5.0 section 3.14.2.1), for instance 0x04 to have the will published.
    ///
    /// # Errors
    /// [`ClientError::InvalidReasonCode`] for a code that a client does not send, or any but 0 in v3.1.1.
    pub fn disconnect_with(&self, reason_code: u8) -> Result<(), ClientError> {
        self.disconnect_with_options(&DisconnectOptions { reason_code, ..Default::default() })
    }

    /// Disconnects with a reason code and properties. Where the server takes no packet as long as that, the properties
    /// are left out.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::disconnect_with`], [`ClientError::InvalidOption`] for an expiry that a session without one
    /// cannot get, [`ClientError::Encode`] for properties that break a rule, or any of them in v3.1.1.
    pub fn disconnect_with_options(&self, options: &DisconnectOptions) -> Result<(), ClientError> {
        let reason = validate::disconnect(options, &self.options)?;
        self.shared.submit_control(Command::Disconnect(reason, Box::new(options.clone())))
    }

    /// Turns reconnection on or off, from the next loss on.
    ///
    /// # Errors
    /// [`ClientError::ShutDown`].
    pub fn set_auto_reconnect(&self, on: bool) -> Result<(), ClientError> {
        self.shared.submit_control(Command::SetAutoReconnect(on))
    }

    /// Has the messages that match a filter go to a handler of their own, instead of
    /// [`MqttEventHandler::on_message_received`]. Where several filters match, each handler is called. This subscribes
    /// to nothing by itself.
    ///
    /// # Errors
    /// [`ClientError::InvalidTopic`].
    pub fn add_topic_handler(
        &self,
        topic_filter: &str,
        handler: impl FnMut(&MqttPublish<'_>) + Send + 'static,
    ) -> Result<(), ClientError> {
        let filter = plain_filter(topic_filter)?;
        let handler: TopicHandler = Box::new(handler);
        self.topic_handlers.add(filter, handler);
        Ok(())
    }

    /// Removes the handlers of a filter, and says whether there were some.
    pub fn remove_topic_handler(&self, topic_filter: &str) -> bool {
        plain_filter(topic_filter).is_ok_and(|filter| self.topic_handlers.remove(filter))
    }

    /// Ends the client: what was accepted before is delivered within [`Timeouts::drain`](super::Timeouts::drain), a
    /// DISCONNECT is sent, what is left is told as cancelled, and the threads end unless others use them. It may be
    /// called from any thread, also more than once; from a callback it starts the end and returns.
    ///
    /// # Errors
    /// [`ClientError::StillRunning`] if a thread has not ended within
    /// [`Timeouts::shutdown`](super::Timeouts::shutdown). It is let go: callbacks go on with what has been received
    /// before, and end then.
    pub fn shutdown(&self) -> Result<(), ClientError> {
        let deadline = Instant::now() + self.options.timeouts.shutdown;
        // A client that is shut down already is waited for all the same.
        let _ = self.shared.submit_control(Command::Shutdown);
        if self.shared.hub.is_callback_thread() || is_some_worker() {
            return Ok(());
        }
        self.shared.end.wait(deadline).result()
    }
}

impl Drop for AsyncMqttClient {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `shutdown` before.
        let _ = self.shutdown();
    }
}

impl std::fmt::Debug for AsyncMqttClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncMqttClient").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The part of a filter that messages are matched against.
fn plain_filter(filter: &str) -> Result<&str, ClientError> {
    TopicFilter::new(filter).map_err(|error| ClientError::invalid_topic(filter, error))?;
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    Ok(shared.map_or(filter, |(_, plain)| plain))
}
