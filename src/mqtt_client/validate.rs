//! What is wrong with options and calls, before anything is done with them.

use super::authentication::Authentication;
use super::config::AsyncClientConfig;
use super::error::ClientError;
use super::options::{DisconnectOptions, MqttClientOptions, SubscribeOptions, TopicSubscription};
use super::outbound_properties::{disconnect_properties, message_properties, subscribe_properties, user_properties};
use crate::codec::{EncodeError, Properties, Property, Writer};
use crate::packet::{self, Connect, Disconnect, Filters, Subscribe, Subscription, Subscriptions, Unsubscribe};
use crate::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role, TopicFilter};

/// Checks everything that a connection will need.
pub(super) fn options(options: &MqttClientOptions, config: &AsyncClientConfig) -> Result<(), ClientError> {
    if config.command_queue_size == 0 {
        return Err(ClientError::option("command_queue_size", "at least 1 is needed"));
    }
    if options.limits.in_flight == 0 {
        return Err(ClientError::option("limits.in_flight", "at least 1 is needed"));
    }
    if options.limits.undelivered_bytes == 0 {
        return Err(ClientError::option("limits.undelivered_bytes", "at least 1 is needed"));
    }
    if options.limits.unreported_results == 0 {
        return Err(ClientError::option("limits.unreported_results", "at least 1 is needed"));
    }
    if options.limits.maximum_packet_size < 16 {
        return Err(ClientError::option("limits.maximum_packet_size", "at least 16 bytes are needed"));
    }
    options.connecting.websocket.check()?;
    if options.connecting.transport.is_some() && options.connecting.proxy.is_some() {
        return Err(ClientError::option(
            "connecting.transport",
            "a proxy is not for a transport of the application's own",
        ));
    }
    if let Some(proxy) = &options.connecting.proxy {
        proxy.check()?;
    }
    protocol(options)?;
    #[cfg(feature = "persistence")]
    persistence(options, config)?;
    connect(options)?;
    if !options.subscription_topics.is_empty() {
        let topics = &options.subscription_topics;
        subscribe(topics, &SubscribeOptions::default(), options.protocol.version)
            .map_err(in_option("subscription_topics"))?;
    }
    Ok(())
}

/// What CONNECT says by options. Each is tried in a CONNECT of its own, so that the error names the one that is wrong.
fn connect(options: &MqttClientOptions) -> Result<(), ClientError> {
    let will_properties = options.will.as_ref().map(|will| message_properties(&will.properties)).unwrap_or_default();
    let will = match &options.will {
        Some(will) => Some(packet::Will {
            topic: &will.topic,
            payload: &will.payload,
            qos: QoS::from_bits(will.qos).ok_or(ClientError::InvalidQoS(will.qos)).map_err(in_option("will"))?,
            retain: will.retain,
            properties: Properties::new(&will_properties),
        }),
        None => None,
    };
    let method = options.connecting.authentication.as_ref().map(Authentication::method);
    let method: Vec<_> = method.map(Property::AuthenticationMethod).into_iter().collect();
    let user_properties: Vec<_> = user_properties(&options.protocol.user_properties).collect();
    let (username, password) = (options.username.as_deref(), options.password.as_ref());
    let bare = Connect {
        version: options.protocol.version,
        clean_start: true,
        keep_alive: options.keep_alive,
        client_id: "",
        username: None,
        password: None,
        will: None,
        properties: Properties::EMPTY,
    };
    let password = password.map(super::options::Secret::expose);
    for (option, connect) in [
        ("client_id", Connect { client_id: &options.client_id, ..bare }),
        ("username", Connect { username, ..bare }),
        ("password", Connect { username, password, ..bare }),
        ("will", Connect { will, ..bare }),
        ("protocol.user_properties", Connect { properties: Properties::new(&user_properties), ..bare }),
        ("connecting.authentication", Connect { properties: Properties::new(&method), ..bare }),
    ] {
        connect.encode(&mut Writer::counting()).map_err(ClientError::from).map_err(in_option(option))?;
    }
    Ok(())
}

/// Says of an error that it is in an option.
fn in_option(option: &'static str) -> impl Fn(ClientError) -> ClientError {
    move |error| ClientError::option(option, error.to_string())
}

/// What survives the process needs a session that does.
#[cfg(feature = "persistence")]
fn persistence(options: &MqttClientOptions, config: &AsyncClientConfig) -> Result<(), ClientError> {
    let needs = [
        ("client_id", options.client_id.is_empty(), "persistence needs one"),
        ("clean_start", options.clean_start, "persistence needs false, or the server would forget what it has"),
        ("sessionless", options.sessionless, "persistence needs a session"),
        ("buffer_messages", !config.buffer_messages, "persistence needs true"),
        (
            "protocol.session_expiry_interval",
            options.protocol.version.is_v5() && options.protocol.session_expiry_interval == 0,
            "persistence needs one above 0, or the session would end with the connection",
        ),
    ];
    match needs.into_iter().find(|(_, is_missing, _)| *is_missing && options.persistence.is_some()) {
        Some((option, _, reason)) => Err(ClientError::option(option, reason)),
        None => Ok(()),
    }
}

/// What only one of the versions can say.
fn protocol(options: &MqttClientOptions) -> Result<(), ClientError> {
    let protocol = &options.protocol;
    if protocol.version.is_v5() {
        return Ok(());
    }
    if options.client_id.is_empty() && !options.clean_start && !options.sessionless {
        return Err(ClientError::option("client_id", "MQTT 3.1.1 needs one where clean_start is false [MQTT-3.1.3-7]"));
    }
    let only_v5 = [
        ("protocol.session_expiry_interval", protocol.session_expiry_interval != 0),
        ("protocol.receive_maximum", protocol.receive_maximum != 0),
        ("protocol.topic_alias_maximum", protocol.topic_alias_maximum != 0),
        ("protocol.topic_aliases", protocol.topic_aliases),
        ("protocol.request_response_information", protocol.request_response_information),
        ("protocol.omit_problem_information", protocol.omit_problem_information),
        ("protocol.user_properties", !protocol.user_properties.is_empty()),
        ("connecting.authentication", options.connecting.authentication.is_some()),
        ("will.delay_interval", options.will.as_ref().is_some_and(|will| will.delay_interval != 0)),
    ];
    match only_v5.into_iter().find(|(_, used)| *used) {
        Some((option, _)) => Err(ClientError::option(option, "MQTT 3.1.1 has no such thing")),
        None => Ok(()),
    }
}

pub(super) fn subscribe(
    topics: &[TopicSubscription],
    options: &SubscribeOptions,
    version: ProtocolVersion,
) -> Result<(), ClientError> {
    let mut list = Vec::new();
    for topic in topics {
        list.push(Subscription {
            filter: checked_filter(&topic.topic_filter, version)?,
            qos: QoS::from_bits(topic.qos).ok_or(ClientError::InvalidQoS(topic.qos))?,
            no_local: topic.no_local,
            retain_as_published: topic.retain_as_published,
            retain_handling: topic.retain_handling,
        });
    }
    let properties = subscribe_properties(options);
    let packet = Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: Subscriptions::new(&list),
        properties: Properties::new(&properties),
    };
    Ok(packet.encode(&mut Writer::counting(), version)?)
}

pub(super) fn unsubscribe(
    filters: &[&str],
    options: &SubscribeOptions,
    version: ProtocolVersion,
) -> Result<(), ClientError> {
    for filter in filters {
        checked_filter(filter, version)?;
    }
    let properties = subscribe_properties(options);
    let packet = Unsubscribe {
        packet_id: PacketId::MIN,
        filters: Filters::new(filters),
        properties: Properties::new(&properties),
    };
    Ok(packet.encode(&mut Writer::counting(), version)?)
}

/// A DISCONNECT that this client may send.
pub(super) fn disconnect(options: &DisconnectOptions, client: &MqttClientOptions) -> Result<ReasonCode, ClientError> {
    let code = options.reason_code;
    let reason = ReasonCode::from_byte(code).ok_or(ClientError::InvalidReasonCode(code))?;
    let version = client.protocol.version;
    let ends_with_connection = client.sessionless || client.protocol.session_expiry_interval == 0;
    if options.session_expiry_interval.is_some_and(|seconds| seconds > 0) && ends_with_connection && version.is_v5() {
        return Err(ClientError::option(
            "session_expiry_interval",
            "above 0 where CONNECT has said 0 (section 3.14.2.2.2)",
        ));
    }
    let plain = Disconnect::new(reason).encode(&mut Writer::counting(), version, Role::Client);
    plain.map_err(|_: EncodeError| ClientError::InvalidReasonCode(code))?;
    let properties = disconnect_properties(options);
    let disconnect = Disconnect { reason_code: reason, properties: Properties::new(&properties) };
    disconnect.encode(&mut Writer::counting(), version, Role::Client)?;
    Ok(reason)
}

fn checked_filter(filter: &str, version: ProtocolVersion) -> Result<&str, ClientError> {
    let checked = match version {
        ProtocolVersion::V5 => TopicFilter::new(filter),
        ProtocolVersion::V3_1_1 => TopicFilter::plain(filter),
    };
    checked.map(TopicFilter::as_str).map_err(|error| ClientError::invalid_topic(filter, error))
}
