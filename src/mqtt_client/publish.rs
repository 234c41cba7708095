//! The calls that publish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::PublishResult;
use super::command::{Expiry, LONGEST_IN_RUN, Messages, Plain, Publishing, Run};
use super::error::ClientError;
use super::handle::AsyncMqttClient;
use super::options::PublishOptions;
use super::outbound_properties::{has_none, message_properties};
use super::queue::LONG;
use super::shared::{Patience, Room};
use super::token::{Completion, Promise, Token, Tracked};
use crate::codec::{EncodeError, Properties, Property, PropertyContext, Writer};
use crate::macros::Bytes;
use crate::packet::{Delivery, Publish};
use crate::types::{PacketId, QoS, Role, TopicError};

impl AsyncMqttClient {
    /// Publishes a message (section 3.3). `qos` is 0, 1 or 2. Messages of one QoS keep their order; one of QoS 0 may
    /// overtake others that wait for the server's window.
    ///
    /// # Errors
    /// [`ClientError::InvalidTopic`], [`ClientError::InvalidQoS`], [`ClientError::Encode`], [`ClientError::QueueFull`],
    /// [`ClientError::NotConnected`] where messages are not buffered, [`ClientError::ShutDown`].
    pub fn publish(&self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> Result<Token, ClientError> {
        self.publish_with(topic, payload, &PublishOptions { qos, retain, ..Default::default() })
    }

    /// Publishes a message with properties.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::publish`].
    pub fn publish_with(&self, topic: &str, payload: &[u8], options: &PublishOptions) -> Result<Token, ClientError> {
        self.submit_message(topic, payload, options, Patience::None)
    }

    /// Publishes a message whose result can be waited for or awaited.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::publish`].
    pub fn publish_tracked(
        &self,
        topic: &str,
        payload: &[u8],
        options: &PublishOptions,
    ) -> Result<Tracked<PublishResult>, ClientError> {
        let completion = Completion::new();
        let message = Message::new(topic, payload, options)?;
        self.await_room(&message, Patience::None)?;
        let token = self.shared.next_token();
        let publishing = Publishing { tracked: Some(Promise::new(&completion)), ..self.prepare(&message, token)? };
        self.shared.submit_publish(publishing, Patience::None)?;
        let cancelled = PublishResult::cancelled(token, options.qos);
        Ok(Tracked::new(token, completion, Arc::clone(&self.shared), cancelled))
    }

    /// Publishes a message, and waits up to `timeout` for room where the queue is full: for producers that want to be
    /// held back instead of [`ClientError::QueueFull`]. Waiting producers go on when the queue is half empty, so that
    /// they are not woken for each place. It does not wait for the message to be sent or acknowledged.
    ///
    /// # Errors
    /// As [`AsyncMqttClient::publish`], [`ClientError::QueueFull`] when the time is over. Inside a callback it never
    /// waits: [`ClientError::WouldDeadlock`] where it would.
    pub fn publish_wait(
        &self,
        topic: &str,
        payload: &[u8],
        options: &PublishOptions,
        timeout: Duration,
    ) -> Result<Token, ClientError> {
        self.submit_message(topic, payload, options, Patience::For(timeout))
    }

    /// Publishes many messages at the cost of one call: the queue is locked once for as many as it has room for. They
    /// are accepted in their order, up to the first one that is refused; that one and the rest are not accepted, and
    /// [`BatchResult::error`] says why. With a `timeout` above zero it waits for room as
    /// [`AsyncMqttClient::publish_wait`] does.
    ///
    /// <!-- no_run: it needs a broker. -->
    /// ```no_run
    /// # use flowsdk::mqtt_client::{AsyncMqttClient, BatchMessage, PublishOptions};
    /// # use std::time::Duration;
    /// # fn example(client: &AsyncMqttClient) {
    /// let options = PublishOptions { qos: 1, ..Default::default() };
    /// let readings = ["21.5", "21.7", "21.6"];
    /// let batch = readings.map(|text| BatchMessage { topic: "temperature", payload: text.as_bytes(), options: &options });
    /// let result = client.publish_batch(&batch, Duration::from_secs(1));
    /// if let Some(error) = &result.error {
    ///     eprintln!("{} accepted, the rest not: {error}", result.accepted);
    /// }
    /// # }
    /// ```
    pub fn publish_batch(&self, messages: &[BatchMessage<'_>], timeout: Duration) -> BatchResult {
        let deadline = Instant::now().checked_add(timeout);
        let first_token = self.shared.next_tokens(messages.len());
        let mut result = BatchResult { first_token, accepted: 0, error: None };
        while result.error.is_none() && result.accepted < messages.len() {
            let rest = messages.get(result.accepted..).unwrap_or(&[]);
            let first = Token(first_token.0 + result.accepted as u64);
            let (accepted, refused) = self.submit_some(rest, first, self.shared.room(!timeout.is_zero()));
            result.accepted += accepted;
            result.error = match refused {
                Some((error, bytes)) if error.is_lack_of_room() && !timeout.is_zero() => {
                    self.shared.wait_for_room(bytes, deadline).err()
                }
                Some((error, _)) => Some(error),
                None => None,
            };
        }
        result
    }

    /// Hands over the first messages; how many, and why not the next one, with its length.
    fn submit_some(
        &self,
        messages: &[BatchMessage<'_>],
        first: Token,
        room: Room,
    ) -> (usize, Option<(ClientError, usize)>) {
        // What has no room is not encoded either, but for the first one, that has to be asked for.
        let places = room.places.clamp(1, messages.len());
        let mut prepared = Vec::new();
        let mut bytes = 0;
        let mut refused = None;
        for (message, number) in messages.iter().take(places).zip(first.0..) {
            let left = Room { bytes: room.bytes.saturating_sub(bytes), ..room };
            match self.prepare_behind(&mut prepared, message, Token(number), left) {
                Ok(len) => bytes += len,
                Err(error) => refused = Some(error),
            }
            if refused.is_some() || bytes >= room.bytes {
                break;
            }
        }
        let count: usize = prepared.iter().map(Messages::count).sum();
        let mut left = prepared.into_iter();
        let full = self.shared.submit_messages(&mut left, room.bound);
        let accepted = count - left.as_slice().iter().map(Messages::count).sum::<usize>();
        let next_len = left.next().map_or(0, |messages| messages.bytes());
        (accepted, full.map(|error| (error, next_len)).or(refused))
    }

    /// Adds a message to those of a batch; its length, or why not, and the length where that is for lack of room.
    fn prepare_behind(
        &self,
        prepared: &mut Vec<Messages>,
        message: &BatchMessage<'_>,
        token: Token,
        left: Room,
    ) -> Result<usize, (ClientError, usize)> {
        let message = Message::new(message.topic, message.payload, message.options).map_err(|error| (error, 0))?;
        self.check_long(&message).map_err(|error| (error, 0))?;
        if message.room >= LONG {
            // It is not encoded in vain.
            self.shared.check_bytes(message.room, left.bound).map_err(|error| (error, message.room))?;
        }
        self.encode_behind(prepared, &message, token, left.bytes).map_err(|error| (error, 0))
    }

    fn encode_behind(
        &self,
        prepared: &mut Vec<Messages>,
        message: &Message<'_>,
        token: Token,
        left: usize,
    ) -> Result<usize, ClientError> {
        // Where single messages are refused they have to come as such.
        if !message.fits_run() || self.shared.may_refuse_some() {
            let publishing = self.prepare(message, token)?;
            let len = publishing.frame.len();
            prepared.push(Messages::One(publishing));
            return Ok(len);
        }
        // A run is taken as a whole: one that may be too much must not hold up those before it.
        let goes_on = |run: &Run| run.takes(message.room, message.qos) && message.room <= left;
        if !matches!(prepared.last(), Some(Messages::Run(run)) if goes_on(run)) {
            prepared.push(Messages::Run(Run::new(token, message.qos, self.shared.run_buffer())));
        }
        let Some(Messages::Run(run)) = prepared.last_mut() else { return Ok(0) };
        run.make_room(message.room);
        let before = run.frames.len();
        let added = self.add_to_run(message, run);
        let len = run.frames.len() - before;
        if run.count == 0 {
            prepared.pop();
        }
        added.map(|()| len)
    }

    fn submit_message(
        &self,
        topic: &str,
        payload: &[u8],
        options: &PublishOptions,
        patience: Patience,
    ) -> Result<Token, ClientError> {
        let qos = QoS::from_bits(options.qos).ok_or(ClientError::InvalidQoS(options.qos))?;
        let room = topic.len() + payload.len() + MOST_HEAD;
        let can_follow = self.takes_messages();
        if room <= LONGEST_IN_RUN && has_none(&options.properties) {
            // Most messages are of this kind, and most follow one that was sent to the same topic.
            let plain = Plain { topic, payload, retain: options.retain, has_properties: false };
            let encode = |frames: &mut Vec<u8>| self.encode(&Message::new(topic, payload, options)?, frames);
            return self.shared.submit_to_run((&plain, can_follow), room, qos, patience, encode);
        }
        let message = Message::new(topic, payload, options)?;
        if message.fits_run() {
            let encode = |frames: &mut Vec<u8>| self.encode(&message, frames);
            return self.shared.submit_to_run((&message.plain(), can_follow), message.room, qos, patience, encode);
        }
        let patience = self.await_room(&message, patience)?;
        let publishing = self.prepare(&message, self.shared.next_token())?;
        let token = publishing.token;
        self.shared.submit_publish(publishing, patience)?;
        Ok(token)
    }

    /// Checks a long message before it waits for room, which it does before it is encoded; the patience that is left.
    fn await_room(&self, message: &Message<'_>, patience: Patience) -> Result<Patience, ClientError> {
        self.check_long(message)?;
        self.shared.await_room(message.room, patience)
    }

    fn check_long(&self, message: &Message<'_>) -> Result<(), ClientError> {
        if message.room < LONG { Ok(()) } else { self.encode_with(message, &mut Writer::counting()) }
    }

    /// Checks and encodes a message.
    fn prepare(&self, message: &Message<'_>, token: Token) -> Result<Publishing, ClientError> {
        // Room for everything, so that a message costs one allocation.
        let mut frame = self.shared.buffer(message.room);
        self.encode(message, &mut frame)?;
        Ok(Publishing {
            token,
            qos: message.qos,
            frame,
            expiry: message.options.properties.message_expiry_interval.map(Expiry::from_now),
            tracked: None,
            in_queue: true,
        })
    }

    /// Puts a message behind the others of a run.
    fn add_to_run(&self, message: &Message<'_>, run: &mut Run) -> Result<(), ClientError> {
        let plain = message.plain();
        if self.takes_messages()
            && let Some(alike) = run.alike(&plain)
        {
            run.add_alike(alike, &plain);
            return Ok(());
        }
        run.add(plain, |frames| self.encode(message, frames))
    }

    fn takes_messages(&self) -> bool {
        self.buffers_messages || self.shared.wants_connection()
    }

    /// Appends the PUBLISH of a message.
    fn encode(&self, message: &Message<'_>, frame: &mut Vec<u8>) -> Result<(), ClientError> {
        self.encode_with(message, &mut Writer::appending(frame))
    }

    fn encode_with(&self, message: &Message<'_>, writer: &mut Writer<'_>) -> Result<(), ClientError> {
        let topic = message.topic;
        let publish = Publish {
            topic,
            payload: message.payload,
            retain: message.options.retain,
            delivery: Delivery::first(message.qos, PacketId::MIN),
            properties: Properties::new(&message.properties),
        };
        publish.encode(writer, self.options.protocol.version, Role::Client).map_err(|error| match error {
            EncodeError::Topic(error) => ClientError::invalid_topic(topic, error),
            EncodeError::NoTopic => ClientError::invalid_topic(topic, TopicError::Empty),
            error => error.into(),
        })?;
        if self.takes_messages() { Ok(()) } else { Err(ClientError::NotConnected) }
    }
}

/// A message that is being published.
struct Message<'a> {
    topic: &'a str,
    payload: &'a [u8],
    options: &'a PublishOptions,
    qos: QoS,
    properties: Vec<Property<'a>>,
    /// Bytes that its PUBLISH takes at most.
    room: usize,
}

impl<'a> Message<'a> {
    fn new(topic: &'a str, payload: &'a [u8], options: &'a PublishOptions) -> Result<Self, ClientError> {
        let qos = QoS::from_bits(options.qos).ok_or(ClientError::InvalidQoS(options.qos))?;
        let properties = message_properties(&options.properties);
        let room = topic.len() + payload.len() + MOST_HEAD + len_of(Properties::new(&properties));
        Ok(Self { topic, payload, options, qos, properties, room })
    }

    /// As a run takes it.
    fn plain(&self) -> Plain<'a> {
        let Self { topic, payload, options, ref properties, .. } = *self;
        Plain { topic, payload, retain: options.retain, has_properties: !properties.is_empty() }
    }

    /// Whether nothing has to be known of it later but its token.
    fn fits_run(&self) -> bool {
        self.options.properties.message_expiry_interval.is_none() && self.room <= LONGEST_IN_RUN
    }
}

/// One message of [`AsyncMqttClient::publish_batch`].
#[derive(Clone, Copy)]
pub struct BatchMessage<'a> {
    /// Where it is published.
    pub topic: &'a str,
    /// What is published.
    pub payload: &'a [u8],
    /// How it is published.
    pub options: &'a PublishOptions,
}

impl std::fmt::Debug for BatchMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topic, payload, options } = self;
        f.debug_struct("BatchMessage")
            .field("topic", topic)
            .field("payload", &Bytes(payload.len()))
            .field("options", options)
            .finish()
    }
}

/// What has become of a batch. Each message that was accepted ends in an outcome of its own, with its own token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "messages that were not accepted are not sent"]
pub struct BatchResult {
    first_token: Token,
    /// How many messages were accepted: the first ones.
    pub accepted: usize,
    /// Why the next one was not; none if all were accepted.
    pub error: Option<ClientError>,
}

impl BatchResult {
    /// The tokens of the accepted messages, in their order.
    pub fn tokens(&self) -> impl Iterator<Item = Token> + use<> {
        (self.first_token.0..).map(Token).take(self.accepted)
    }
}

/// The longest head of a PUBLISH without its topic and properties: five bytes of fixed header, two lengths, an
/// identifier.
const MOST_HEAD: usize = 13;

/// Bytes of the properties of a message, which most have none of.
fn len_of(properties: Properties<'_>) -> usize {
    if properties.is_empty() {
        return 0;
    }
    let mut writer = Writer::counting();
    properties.encode_block(&mut writer, PropertyContext::PublishFromClient);
    writer.written()
}
