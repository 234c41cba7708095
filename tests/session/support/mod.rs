//! A session, a server's end of the link in memory, and a clock that is turned by hand.
//!
//! What the session sends and reports is told as text, one line a packet or event: `PUBLISH 1 q2 a/b hello dup`,
//! `Published 1 q2 0x92`. A code of success is left out.

use std::any::Any;

use flowsdk::codec::Property;
use flowsdk::packet::{Disconnect, Packet, Subscription};
use flowsdk::session::storage::without;
use flowsdk::session::{
    ApplicationMessage, Config, ConnectOptions, DropReason, Event, Fixed, Heap, HeapLimits, Message, Misuse, PeerError,
    Progress, Receipt, Session, Storage, Topic,
};
use flowsdk::time::Instant;
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode};

mod broker;
mod packets;

pub(crate) use broker::Broker;
pub(crate) use packets::*;

pub(crate) use flowsdk::types::ProtocolVersion::{V3_1_1, V5};
pub(crate) use flowsdk::types::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};

/// Places for messages in flight in each direction of the storages that the tests run with.
pub(crate) const WINDOW: u16 = 8;
/// A keep-alive of this many seconds is asked for where a test does not say otherwise: none.
const KEEP_ALIVE: u16 = 0;

/// How often a property is tried: so often, or as PROPTEST_CASES says.
pub(crate) fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").map_or(usual, |cases| cases.parse().expect("a number"))
}

/// How many steps a property takes at most: so many, and few in Miri, where each costs a thousand times as much.
pub(crate) fn most(usual: usize) -> usize {
    if cfg!(miri) { 20 } else { usual }
}

/// A session without the type of its storage.
pub(crate) trait Endpoint {
    fn connect(&mut self, now: Instant, options: &ConnectOptions<'_>) -> Result<(), Misuse>;
    fn publish(&mut self, now: Instant, message: &ApplicationMessage<'_>) -> Result<Option<PacketId>, Misuse>;
    /// Publishes a message as a frame; `None` if the storage takes none.
    fn publish_frame(
        &mut self,
        now: Instant,
        message: &ApplicationMessage<'_>,
    ) -> Option<Result<Option<PacketId>, Misuse>>;
    fn subscribe(&mut self, now: Instant, list: &[Subscription<'_>], with: &[Property<'_>])
    -> Result<PacketId, Misuse>;
    fn unsubscribe(&mut self, now: Instant, list: &[&str], with: &[Property<'_>]) -> Result<PacketId, Misuse>;
    fn acknowledge(&mut self, now: Instant, receipt: Receipt, code: ReasonCode) -> Result<(), Misuse>;
    fn authenticate(&mut self, now: Instant, auth: &flowsdk::packet::Auth<'_>) -> Result<(), Misuse>;
    fn ping(&mut self, now: Instant) -> Result<(), Misuse>;
    fn disconnect(&mut self, now: Instant, disconnect: &Disconnect<'_>) -> Result<(), Misuse>;
    fn handle_input<'i>(&mut self, now: Instant, input: &'i [u8]) -> Result<Progress<'i>, PeerError>;
    fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError>;
    fn handle_closed(&mut self, now: Instant);
    fn set_reading_paused(&mut self, now: Instant, paused: bool);
    fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]>;
    /// All slices that a vectored write would be given, in one.
    fn poll_transmit_many(&mut self, now: Instant) -> Vec<u8>;
    fn consume_transmit(&mut self, now: Instant, len: usize);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_dropped(&mut self) -> Option<(u16, DropReason)>;
    fn topic<'t>(&'t self, topic: Topic<'t>) -> Option<&'t str>;
    fn send_quota(&self) -> u16;
    fn is_connected(&self) -> bool;
    fn is_closing(&self) -> bool;
    /// All that is to be seen of its state from outside.
    fn state(&self) -> String;
}

macro_rules! forward {
    ($( fn $name:ident($($argument:ident: $of:ty),*) -> $result:ty; )*) => {
        $( fn $name(&mut self, $($argument: $of),*) -> $result { Session::$name(self, $($argument),*) } )*
    };
}

impl<S: Storage + std::fmt::Debug + 'static> Endpoint for Session<S> {
    forward! {
        fn connect(now: Instant, options: &ConnectOptions<'_>) -> Result<(), Misuse>;
        fn publish(now: Instant, message: &ApplicationMessage<'_>) -> Result<Option<PacketId>, Misuse>;
        fn subscribe(now: Instant, list: &[Subscription<'_>], with: &[Property<'_>]) -> Result<PacketId, Misuse>;
        fn unsubscribe(now: Instant, list: &[&str], with: &[Property<'_>]) -> Result<PacketId, Misuse>;
        fn acknowledge(now: Instant, receipt: Receipt, code: ReasonCode) -> Result<(), Misuse>;
        fn authenticate(now: Instant, auth: &flowsdk::packet::Auth<'_>) -> Result<(), Misuse>;
        fn ping(now: Instant) -> Result<(), Misuse>;
        fn disconnect(now: Instant, disconnect: &Disconnect<'_>) -> Result<(), Misuse>;
        fn handle_timeout(now: Instant) -> Result<(), PeerError>;
        fn handle_closed(now: Instant) -> ();
        fn set_reading_paused(now: Instant, paused: bool) -> ();
        fn consume_transmit(now: Instant, len: usize) -> ();
    }

    fn publish_frame(
        &mut self,
        now: Instant,
        message: &ApplicationMessage<'_>,
    ) -> Option<Result<Option<PacketId>, Misuse>> {
        let version = self.version();
        let session = (self as &mut dyn Any).downcast_mut::<Session<Heap>>()?;
        Some(session.publish_frame(now, frame(message, version)).map_err(|(misuse, _)| misuse))
    }

    fn handle_input<'i>(&mut self, now: Instant, input: &'i [u8]) -> Result<Progress<'i>, PeerError> {
        Session::handle_input(self, now, input)
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<&[u8]> {
        Session::poll_transmit(self, now)
    }

    fn poll_transmit_many(&mut self, now: Instant) -> Vec<u8> {
        let mut slices = [&[][..]; 8];
        let count = Session::poll_transmit_many(self, now, &mut slices);
        slices[..count].concat()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Session::poll_timeout(self)
    }

    fn poll_dropped(&mut self) -> Option<(u16, DropReason)> {
        Session::poll_dropped(self).map(|dropped| (dropped.packet_id.value(), dropped.reason))
    }

    fn topic<'t>(&'t self, topic: Topic<'t>) -> Option<&'t str> {
        Session::topic(self, topic)
    }

    fn send_quota(&self) -> u16 {
        Session::send_quota(self)
    }

    fn is_connected(&self) -> bool {
        Session::is_connected(self)
    }

    fn is_closing(&self) -> bool {
        Session::is_closing(self)
    }

    fn state(&self) -> String {
        let state = format!("{:?} {:?}", self.send_quota(), self.storage());
        // Where a queue counts from says nothing.
        let mut parts = state.split("first: ");
        let rest = |part: &str| part.trim_start_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        parts.next().into_iter().map(str::to_owned).chain(parts.map(rest)).collect()
    }
}

/// Which sessions a test runs with.
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) limits: HeapLimits,
    versions: &'static [ProtocolVersion],
    fixed: bool,
    heap: bool,
}

/// Runs a test with each storage in each version, connected for the first time, and with a session that is kept.
pub(crate) fn everywhere(test: impl Fn(&mut Rig)) {
    Setup::new().run(test);
}

impl Setup {
    pub(crate) fn new() -> Self {
        let limits = HeapLimits { window: WINDOW, receive_window: WINDOW, topic_aliases: 4, ..HeapLimits::default() };
        Self { config: Config::DEFAULT, limits, versions: &[V5, V3_1_1], fixed: true, heap: true }
    }

    pub(crate) fn config(mut self, change: impl Fn(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(crate) fn limits(mut self, change: impl Fn(&mut HeapLimits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub(crate) fn v5(self) -> Self {
        Self { versions: &[V5], ..self }
    }

    pub(crate) fn v3(self) -> Self {
        Self { versions: &[V3_1_1], ..self }
    }

    pub(crate) fn only(self, version: ProtocolVersion) -> Self {
        if version.is_v5() { self.v5() } else { self.v3() }
    }

    pub(crate) fn heap(self) -> Self {
        Self { fixed: false, ..self }
    }

    pub(crate) fn fixed(self) -> Self {
        Self { heap: false, ..self }
    }

    /// Runs with connected sessions.
    pub(crate) fn run(&self, test: impl Fn(&mut Rig)) {
        self.run_idle(|rig| {
            rig.up();
            test(rig);
        });
    }

    /// Runs with sessions that have never been connected.
    pub(crate) fn run_idle(&self, test: impl Fn(&mut Rig)) {
        for version in self.versions {
            let config = Config { version: *version, ..self.config };
            if self.fixed {
                self.run_one(&test, config, "Fixed", fixed::<0>(config));
                let alone = if version.is_v5() { fixed::<{ without::V3_1_1 }> } else { fixed::<{ without::V5_0 }> };
                self.run_one(&test, config, "Fixed of one version", alone(config));
            }
            if self.heap {
                self.run_one(&test, config, "Heap", Box::new(Session::new(config, Heap::new(self.limits))));
            }
        }
    }

    fn run_one(&self, test: &impl Fn(&mut Rig), config: Config, storage: &str, session: Box<dyn Endpoint>) {
        eprintln!("with {storage} in {:?}", config.version);
        test(&mut Rig::new(config, session));
    }
}

fn fixed<const WITHOUT: u32>(config: Config) -> Box<dyn Endpoint> {
    Box::new(Session::new(config, Fixed::<2048, { WINDOW as usize }, WITHOUT>::empty()))
}

/// A session at work.
pub(crate) struct Rig {
    pub(crate) session: Box<dyn Endpoint>,
    pub(crate) config: Config,
    pub(crate) now: Instant,
    /// The receipts of the messages that were reported.
    pub(crate) receipts: Vec<Receipt>,
    /// The keep-alive that is asked for.
    pub(crate) keep_alive: u16,
}

impl Rig {
    pub(crate) fn new(config: Config, session: Box<dyn Endpoint>) -> Self {
        // Just before the clock wraps, where it is most likely to be misread.
        let now = Instant::from_millis(u32::MAX - 500);
        Self { session, config, now, receipts: Vec::new(), keep_alive: KEEP_ALIVE }
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.config.version.is_v5()
    }

    /// The first connection, accepted.
    pub(crate) fn up(&mut self) {
        self.connect();
        assert_eq!(self.sent(), ["CONNECT"]);
        assert_eq!(self.accept(false), ["Connected"]);
        assert_eq!(self.dropped(), [""; 0]);
    }

    /// Options of a session that is kept.
    pub(crate) fn options(&self) -> ConnectOptions<'static> {
        ConnectOptions {
            client_id: "client",
            clean_start: false,
            keep_alive: self.keep_alive,
            session_expiry_interval: if self.is_v5() { u32::MAX } else { 0 },
            ..ConnectOptions::default()
        }
    }

    #[track_caller]
    pub(crate) fn connect(&mut self) {
        self.connect_with(&self.options());
    }

    #[track_caller]
    pub(crate) fn connect_with(&mut self, options: &ConnectOptions<'_>) {
        assert_eq!(self.session.connect(self.now, options), Ok(()));
    }

    /// The server's CONNACK.
    #[track_caller]
    pub(crate) fn accept(&mut self, session_present: bool) -> Vec<String> {
        self.accept_with(session_present, &[])
    }

    #[track_caller]
    pub(crate) fn accept_with(&mut self, session_present: bool, properties: &[Property<'_>]) -> Vec<String> {
        self.give(connack(session_present, properties))
    }

    /// The link breaks.
    pub(crate) fn cut(&mut self) {
        self.session.handle_closed(self.now);
    }

    /// A new connection to a server that has kept the session.
    #[track_caller]
    pub(crate) fn resume(&mut self) {
        self.resume_with(&[]);
    }

    #[track_caller]
    pub(crate) fn resume_with(&mut self, properties: &[Property<'_>]) {
        self.connect();
        assert_eq!(self.sent(), ["CONNECT"]);
        assert_eq!(self.accept_with(true, properties), ["Connected present"]);
    }

    /// The link breaks, and the session goes on over another one.
    #[track_caller]
    pub(crate) fn cut_and_resume(&mut self) {
        self.cut();
        self.resume();
    }

    /// All that the session has to send, taken by the transport.
    #[track_caller]
    pub(crate) fn sent(&mut self) -> Vec<String> {
        let bytes = self.wire();
        packets(&bytes, self.config.version)
    }

    /// The bytes of that.
    pub(crate) fn wire(&mut self) -> Vec<u8> {
        self.transmit(usize::MAX)
    }

    /// The transport takes so many bytes and no more.
    pub(crate) fn transmit(&mut self, most: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(bytes) = self.session.poll_transmit(self.now)
        {
            let len = bytes.len().min(most - taken.len());
            taken.extend_from_slice(&bytes[..len]);
            self.session.consume_transmit(self.now, len);
        }
        taken
    }

    /// The server sends a packet, and what that leads to.
    #[track_caller]
    pub(crate) fn give(&mut self, packet: Packet<'_>) -> Vec<String> {
        let bytes = encode(&packet, self.config.version);
        self.take(&bytes).expect("a packet that the session takes")
    }

    /// The server sends a packet that ends the connection.
    #[track_caller]
    pub(crate) fn give_bad(&mut self, packet: Packet<'_>) -> PeerError {
        let bytes = encode(&packet, self.config.version);
        self.take(&bytes).expect_err("a packet that the session refuses")
    }

    /// The server sends bytes.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> Result<Vec<String>, PeerError> {
        let mut events = Vec::new();
        loop {
            let progress = self.session.handle_input(self.now, bytes)?;
            bytes = &bytes[progress.consumed..];
            let goes_on = progress.goes_on();
            if let Some(event) = progress.event {
                events.push(self.tell(event));
            }
            if let Some(stall) = progress.stalled {
                events.push(format!("Stalled {stall:?}"));
            }
            if !goes_on {
                return Ok(events);
            }
        }
    }

    /// One call of `handle_input`: what was consumed, what was reported, and whether to go on.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> (usize, Option<String>, bool) {
        let progress = self.session.handle_input(self.now, bytes).expect("valid input");
        assert_eq!(progress.stalled, None);
        (progress.consumed, progress.event.map(|event| self.tell(event)), progress.goes_on())
    }

    fn tell(&mut self, event: Event<'_>) -> String {
        if let Event::Message(Message { receipt: Some(receipt), .. }) | Event::MessageEnd(Some(receipt)) = event {
            self.receipts.push(receipt);
        }
        describe_event(&event, |topic| self.session.topic(topic).unwrap_or("?").to_owned())
    }

    /// The server's DISCONNECT in v5.0, and nothing at all in v3.1.1, is the session's last word.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: u8) {
        let expected = if self.is_v5() { vec![format!("DISCONNECT {code:#04x}")] } else { Vec::new() };
        assert_eq!(self.sent(), expected);
        assert!(self.session.is_closing(), "the session asks for the close");
        assert!(!self.session.is_connected());
        assert_eq!(self.session.publish(self.now, &message(AtMostOnce, "late")), Err(Misuse::NotConnected));
        assert_eq!(self.take(&[0xFF; 9]), Ok(vec![]), "nothing the server says matters any more");
        assert_eq!(self.sent(), [""; 0]);
    }

    /// Publishes under the topic `t`, and says the identifier; 0 at QoS 0.
    #[track_caller]
    pub(crate) fn publish(&mut self, qos: QoS, payload: &str) -> u16 {
        let id = self.session.publish(self.now, &message(qos, payload)).expect("a publish that is taken");
        id.map_or(0, PacketId::value)
    }

    pub(crate) fn try_publish(&mut self, qos: QoS, payload: &str) -> Result<Option<PacketId>, Misuse> {
        self.session.publish(self.now, &message(qos, payload))
    }

    #[track_caller]
    pub(crate) fn subscribe(&mut self, filters: &[&str]) -> u16 {
        self.try_subscribe(filters, &[]).expect("a subscribe that is taken")
    }

    pub(crate) fn try_subscribe(&mut self, filters: &[&str], properties: &[Property<'_>]) -> Result<u16, Misuse> {
        let list: Vec<_> = filters.iter().map(|filter| Subscription::new(filter, AtLeastOnce)).collect();
        self.session.subscribe(self.now, &list, properties).map(PacketId::value)
    }

    #[track_caller]
    pub(crate) fn unsubscribe(&mut self, filters: &[&str]) -> u16 {
        self.try_unsubscribe(filters).expect("an unsubscribe that is taken")
    }

    pub(crate) fn try_unsubscribe(&mut self, filters: &[&str]) -> Result<u16, Misuse> {
        self.session.unsubscribe(self.now, filters, &[]).map(PacketId::value)
    }

    /// Acknowledges the message that was reported so many before with success.
    #[track_caller]
    pub(crate) fn acknowledge(&mut self, nth: usize) {
        self.acknowledge_with(nth, ReasonCode::SUCCESS);
    }

    #[track_caller]
    pub(crate) fn acknowledge_with(&mut self, nth: usize, code: ReasonCode) {
        assert_eq!(self.session.acknowledge(self.now, self.receipts[nth], code), Ok(()));
    }

    pub(crate) fn disconnect(&mut self) -> Result<(), Misuse> {
        self.session.disconnect(self.now, &Disconnect::new(ReasonCode::SUCCESS))
    }

    /// What has ended without an answer.
    pub(crate) fn dropped(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_dropped()).map(|(id, reason)| format!("{id} {reason:?}")).collect()
    }

    pub(crate) fn wait(&mut self, millis: u32) {
        self.now = self.now.after_millis(millis);
    }

    /// Turns the clock to when the session asks for, and gives it its timeout; how long that was.
    #[track_caller]
    pub(crate) fn wait_for_timeout(&mut self) -> (u32, Result<(), PeerError>) {
        let at = self.session.poll_timeout().expect("the session waits for something");
        let waited = at.millis_since(self.now);
        self.now = self.now.after_millis(waited);
        (waited, self.session.handle_timeout(self.now))
    }
}
