//! A scripted broker together with the client that a test talks about, and packets by version.

#![allow(unreachable_pub, reason = "the items of a module of tests")]

use std::time::Duration;

use flowsdk::mqtt_client::{AsyncClientConfig, AsyncMqttClient, MqttClientOptions, ProtocolOptions, Timeouts};
use flowsdk::types::ProtocolVersion;

pub use flowsdk::types::ProtocolVersion::{V3_1_1, V5};

use crate::recorder::{Log, Recorder};
use crate::support::scripted_broker::{Peer, ScriptedBroker};
use crate::support::wire;

/// Runs a test in both versions; a failure shows which.
pub fn both(test: impl Fn(ProtocolVersion)) {
    for version in [V5, V3_1_1] {
        println!("in {version:?}");
        test(version);
    }
}

/// What a client is made with, and its broker.
pub struct Scene {
    pub broker: ScriptedBroker,
    pub options: MqttClientOptions,
    pub config: AsyncClientConfig,
}

/// A client that its broker has accepted.
pub struct Live {
    /// It is dropped first, as the client waits for it to close.
    pub peer: Peer,
    pub client: AsyncMqttClient,
    pub log: Log,
}

impl Scene {
    /// A client named `c` without keep-alive that reconnects within a few milliseconds and drains for half a second.
    pub fn new(version: ProtocolVersion) -> Self {
        let broker = ScriptedBroker::bind();
        let options = MqttClientOptions {
            peer: broker.address().to_string(),
            client_id: "c".to_string(),
            keep_alive: 0,
            protocol: ProtocolOptions { version, ..Default::default() },
            timeouts: Timeouts { drain: Duration::from_millis(500), ..Default::default() },
            ..Default::default()
        };
        let config = AsyncClientConfig { reconnect_delay_ms: 5, max_reconnect_delay_ms: 10, ..Default::default() };
        Self { broker, options, config }
    }

    /// A client whose sessions outlive its connections.
    pub fn keeping_session(version: ProtocolVersion) -> Self {
        let mut scene = Self::new(version);
        scene.options.clean_start = false;
        if version.is_v5() {
            scene.options.protocol.session_expiry_interval = u32::MAX;
        }
        scene
    }

    pub fn version(&self) -> ProtocolVersion {
        self.options.protocol.version
    }

    /// A client that does nothing yet.
    pub fn client(&self) -> (AsyncMqttClient, Log) {
        let (recorder, log) = Recorder::new();
        let client = AsyncMqttClient::new(self.options.clone(), recorder, self.config.clone());
        (client.expect("options that work"), log)
    }

    /// Takes a connection and answers its CONNECT.
    #[track_caller]
    pub fn accept(&self, session_present: bool) -> Peer {
        self.accept_with(&connack(self.version(), session_present))
    }

    /// Takes a connection and answers its CONNECT by these bytes.
    #[track_caller]
    pub fn accept_with(&self, connack: &[u8]) -> Peer {
        let mut peer = self.broker.accept();
        peer.expect_connect();
        peer.send(connack);
        peer
    }

    /// A client that is connected.
    #[track_caller]
    pub fn connected(&self) -> Live {
        self.connected_with(&connack(self.version(), false))
    }

    /// A client that is connected by this CONNACK.
    #[track_caller]
    pub fn connected_with(&self, connack: &[u8]) -> Live {
        let (client, log) = self.client();
        client.connect().unwrap();
        let peer = self.accept_with(connack);
        assert!(log.connection(1).is_success());
        Live { client, log, peer }
    }
}

/// A CONNACK of success.
pub fn connack(version: ProtocolVersion, session_present: bool) -> Vec<u8> {
    if version.is_v5() { wire::connack_v5(&[], session_present, 0) } else { wire::connack_v3(session_present, 0) }
}

/// A PUBLISH without properties.
pub fn publish(version: ProtocolVersion, flags: u8, topic: &str, packet_id: Option<u16>, payload: &[u8]) -> Vec<u8> {
    if version.is_v5() {
        wire::publish_v5(flags, topic, packet_id, &[], payload)
    } else {
        wire::publish_v3(flags, topic, packet_id, payload)
    }
}

/// A SUBACK with these codes.
pub fn suback(version: ProtocolVersion, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    if version.is_v5() { wire::suback_v5(packet_id, &[], codes) } else { wire::suback_v3(packet_id, codes) }
}

/// An UNSUBACK; v3.1.1 leaves out the codes.
pub fn unsuback(version: ProtocolVersion, packet_id: u16, codes: &[u8]) -> Vec<u8> {
    if version.is_v5() { wire::unsuback_v5(packet_id, &[], codes) } else { wire::unsuback_v3(packet_id) }
}

/// A SUBSCRIBE without properties: filters with their options.
pub fn subscribe(version: ProtocolVersion, packet_id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    let list: Vec<u8> =
        filters.iter().flat_map(|(filter, options)| [wire::string(filter), vec![*options]].concat()).collect();
    packet_with(0x82, version, packet_id, &[], &list)
}

/// An UNSUBSCRIBE without properties.
pub fn unsubscribe(version: ProtocolVersion, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let list: Vec<u8> = filters.iter().flat_map(|filter| wire::string(filter)).collect();
    packet_with(0xA2, version, packet_id, &[], &list)
}

/// A packet of a packet id, in v5.0 properties, and a rest.
pub fn packet_with(
    first_byte: u8,
    version: ProtocolVersion,
    packet_id: u16,
    properties: &[u8],
    rest: &[u8],
) -> Vec<u8> {
    let properties = if version.is_v5() { wire::prefixed(properties) } else { Vec::new() };
    wire::packet(first_byte, &[&packet_id.to_be_bytes(), &properties, rest])
}

/// A CONNECT: flags, keep-alive, in v5.0 properties beside the Maximum Packet Size that every client announces, and
/// what follows them.
pub fn connect(version: ProtocolVersion, flags: u8, keep_alive: u16, properties: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    let level = if version.is_v5() { 5 } else { 4 };
    let properties = if version.is_v5() { wire::prefixed(properties) } else { Vec::new() };
    let head = [&wire::string("MQTT")[..], &[level, flags], &keep_alive.to_be_bytes(), &properties].concat();
    wire::packet(0x10, &[&head, &rest.concat()])
}

/// The property Maximum Packet Size with its default of 64 MiB.
pub const PACKET_SIZE: [u8; 5] = [0x27, 0x04, 0, 0, 0];
