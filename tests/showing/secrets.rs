//! Passwords, user names, authentication data and payloads are nowhere in what is shown.

use std::fmt::Debug;

use flowsdk::codec::{Properties, Property, PropertyContext, Reader, Writer};
use flowsdk::embedded::blocking;
use flowsdk::mqtt_client::{self, MqttClientOptions};
use flowsdk::packet::{Auth, Connack, Connect, Packet, Publish, PublishHead, Will};
use flowsdk::session::storage::Loaded;
use flowsdk::session::{
    ApplicationMessage, Config, ConnectOptions, DropReason, Dropped, Event, Fixed, Heap, HeapLimits, Message, Progress,
    Session, Storage, Topic,
};
use flowsdk::time::Instant;
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role, TopicName};

const SECRET: &[u8] = b"s3cr3t";
const SECRET_TEXT: &str = "s3cr3t";
const NOW: Instant = Instant::from_millis(0);
const AUTHENTICATION: [Property<'static>; 2] =
    [Property::AuthenticationMethod("visible"), Property::AuthenticationData(SECRET)];
const WILL: Will<'static> =
    Will { topic: "visible", payload: SECRET, qos: QoS::AtMostOnce, retain: false, properties: Properties::EMPTY };
const OPTIONS: ConnectOptions<'static> = ConnectOptions {
    client_id: "visible",
    clean_start: true,
    keep_alive: 60,
    username: Some(SECRET_TEXT),
    password: Some(SECRET),
    will: Some(WILL),
    session_expiry_interval: 0,
    properties: &AUTHENTICATION,
};

#[cfg(feature = "defmt")]
trait Shown: Debug + defmt::Format {}
#[cfg(feature = "defmt")]
impl<T: Debug + defmt::Format> Shown for T {}
#[cfg(not(feature = "defmt"))]
trait Shown: Debug {}
#[cfg(not(feature = "defmt"))]
impl<T: Debug> Shown for T {}

/// Whether bytes, or the numbers that `Debug` makes of them, stand in what is shown.
fn contains(shown: &[u8], bytes: &[u8]) -> bool {
    let decimal: Vec<_> = bytes.iter().map(u8::to_string).collect();
    [bytes, decimal.join(", ").as_bytes()].iter().any(|bytes| shown.windows(bytes.len()).any(|part| part == *bytes))
}

#[track_caller]
fn hides(shown: &[u8], is_seen: bool) {
    let text = String::from_utf8_lossy(shown);
    assert!(!contains(shown, SECRET), "{text}");
    assert_eq!(contains(shown, b"visible"), is_seen, "{text}");
}

/// Looks at everything a value shows: the secret must not be there, and what is no secret must.
#[track_caller]
fn hides_its_secret(value: &impl Shown, is_seen: bool) {
    hides(format!("{value:?}").as_bytes(), is_seen);
    #[cfg(feature = "defmt")]
    {
        defmt::export::fmt(value);
        let encoded = defmt::export::fetch_bytes();
        assert!(!encoded.is_empty());
        hides(&encoded, is_seen);
    }
}

fn reason(code: u8) -> ReasonCode {
    ReasonCode::from_byte(code).expect("a reason code")
}

fn connect() -> Connect<'static> {
    Connect {
        version: ProtocolVersion::V5,
        clean_start: true,
        keep_alive: 60,
        client_id: "visible",
        username: Some(SECRET_TEXT),
        password: Some(SECRET),
        will: Some(WILL),
        properties: Properties::new(&AUTHENTICATION),
    }
}

#[test]
fn a_secret_is_found_where_it_is_shown() {
    assert!(contains(format!("{SECRET_TEXT:?}").as_bytes(), SECRET));
    assert!(contains(format!("{SECRET:?}").as_bytes(), SECRET));
}

#[test]
fn connect_shows_neither_user_name_nor_password_nor_the_payload_of_its_will() {
    hides_its_secret(&connect(), true);
    hides_its_secret(&Packet::Connect(connect()), true);
    hides_its_secret(&WILL, true);
    hides_its_secret(&OPTIONS, true);
}

#[test]
fn authentication_data_is_shown_by_its_length() {
    assert_eq!(format!("{:?}", Property::AuthenticationData(SECRET)), "AuthenticationData(Bytes(6))");
    assert_eq!(format!("{:?}", Property::CorrelationData(SECRET)), "CorrelationData(Bytes(6))");
    hides_its_secret(&AUTHENTICATION, true);
    let list = Properties::new(&AUTHENTICATION);
    let mut bytes = [0; 64];
    let mut writer = Writer::new(&mut bytes);
    list.encode_block(&mut writer, PropertyContext::Auth);
    writer.finish().expect("room");
    let len = writer.written();
    let block = Properties::from_block(&bytes[..len], PropertyContext::Auth).expect("a block");
    for properties in [list, block] {
        let auth = Auth { reason_code: reason(0x18), properties };
        let connack = Connack { session_present: false, reason_code: reason(0), properties };
        hides_its_secret(&properties, true);
        hides_its_secret(&properties.iter(), true);
        hides_its_secret(&auth, true);
        hides_its_secret(&Packet::Auth(auth), true);
        hides_its_secret(&Event::Auth(auth), true);
        hides_its_secret(&Event::Connected(connack), true);
        hides_its_secret(&Progress { consumed: 0, event: Some(Event::Refused(connack)), stalled: None }, true);
    }
}

#[test]
fn other_properties_are_shown_whole() {
    assert_eq!(format!("{:?}", Property::TopicAliasMaximum(7)), "TopicAliasMaximum(7)");
    assert_eq!(format!("{:?}", Property::UserProperty("a", "b")), r#"UserProperty("a", "b")"#);
    assert_eq!(format!("{:?}", Properties::new(&[Property::ResponseTopic("t")])), r#"[ResponseTopic("t")]"#);
}

#[test]
fn payloads_are_shown_by_their_length() {
    let publish = Publish { topic: "visible", payload: SECRET, ..Publish::default() };
    let message = Message {
        topic: Topic::Name(TopicName::new("visible").expect("a topic")),
        payload: SECRET,
        qos: QoS::AtMostOnce,
        retain: false,
        dup: false,
        properties: Properties::EMPTY,
        receipt: None,
    };
    let application = ApplicationMessage { topic: "visible", payload: SECRET, ..ApplicationMessage::default() };
    assert!(format!("{publish:?}").contains("payload: Bytes(6)"));
    hides_its_secret(&publish, true);
    hides_its_secret(&PublishHead { publish, head_len: 0, payload_len: 0 }, true);
    hides_its_secret(&message, true);
    hides_its_secret(&Event::Message(message), true);
    hides_its_secret(&Event::MessageStart { message, payload_len: 6 }, true);
    hides_its_secret(&Event::MessageSkipped { message, payload_len: 6 }, true);
    hides_its_secret(&application, true);
    hides_its_secret(&Event::Chunk(SECRET), false);
}

#[test]
fn bytes_on_their_way_are_shown_by_their_length() {
    let mut bytes = [0; 256];
    let mut writer = Writer::new(&mut bytes);
    Packet::Connect(connect()).encode(&mut writer, ProtocolVersion::V5, Role::Client).expect("room");
    hides_its_secret(&writer, false);
    hides_its_secret(&Reader::new(&bytes), false);
    let packet_id = PacketId::MIN;
    hides_its_secret(&Dropped { packet_id, reason: DropReason::Expired, frame: Some(SECRET.to_vec()) }, false);
    hides_its_secret(&Loaded::Refused(packet_id), false);
}

/// A session with a secret in each of its packets to send.
fn busy<S: Storage>(storage: S) -> Session<S> {
    let mut session = Session::new(Config::DEFAULT, storage);
    session.connect(NOW, &OPTIONS).expect("connect");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let message = ApplicationMessage { topic: "visible", payload: SECRET, qos, ..ApplicationMessage::default() };
        session.publish(NOW, &message).expect("publish");
    }
    assert!(contains(session.poll_transmit(NOW).expect("CONNECT"), SECRET));
    session
}

struct Uart;

impl embedded_io::ErrorType for Uart {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Read for Uart {
    fn read(&mut self, _buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Err(embedded_io::ErrorKind::TimedOut)
    }
}

impl embedded_io::Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_session_and_what_holds_it_show_none_of_their_packets() {
    let mut fixed = busy(Fixed::<512, 4>::new());
    assert!(format!("{fixed:?}").contains("bytes: Bytes(512)"), "{fixed:?}");
    hides_its_secret(&fixed, false);
    hides_its_secret(&busy(Heap::new(HeapLimits::default())), false);
    let sent = fixed.poll_transmit(NOW).map_or(0, <[u8]>::len);
    fixed.consume_transmit(NOW, sent);
    let mut buffer = *b"s3cr3t, left from an earlier use";
    hides_its_secret(&blocking::Client::with_read_timeout(fixed, Uart, &mut buffer), false);
}

#[test]
fn the_options_of_the_desktop_client_show_neither_user_name_nor_password_nor_the_payload_of_the_will() {
    let options = MqttClientOptions {
        client_id: "visible".to_string(),
        username: Some(SECRET_TEXT.to_string()),
        password: Some(SECRET_TEXT.into()),
        will: Some(mqtt_client::Will::new("visible", SECRET, 0, false)),
        ..Default::default()
    };
    hides(format!("{options:?}").as_bytes(), true);
}

#[test]
fn the_headers_of_a_websocket_show_their_names_alone() {
    let headers = vec![("visible".to_string(), SECRET_TEXT.into())];
    let request = mqtt_client::WebSocketRequest { path: Some(SECRET_TEXT.into()), headers: headers.clone() };
    hides(format!("{request:?}").as_bytes(), true);
    let websocket = mqtt_client::WebSocketOptions { headers, ..Default::default() };
    let connecting = mqtt_client::Connecting { websocket, ..Default::default() };
    let options = MqttClientOptions { connecting, ..Default::default() };
    hides(format!("{options:?}").as_bytes(), true);
}

#[test]
fn the_options_of_a_proxy_show_neither_user_name_nor_password() {
    let proxy = mqtt_client::Proxy {
        username: Some(SECRET_TEXT.to_string()),
        password: Some(SECRET_TEXT.into()),
        ..mqtt_client::Proxy::new(mqtt_client::ProxyKind::Http, "visible:1")
    };
    let connecting = mqtt_client::Connecting { proxy: Some(proxy), ..Default::default() };
    let options = MqttClientOptions { connecting, ..Default::default() };
    hides(format!("{options:?}").as_bytes(), true);
}
