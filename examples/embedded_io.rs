//! The client for devices without a heap, here over a TCP socket of the standard library.
//!
//! It subscribes, publishes, loses its connection, resumes the session over a new one and gets its messages back.
//! Without arguments it starts a broker inside this process and uses that; `-- localhost:1883` uses yours.

#[path = "../tests/support/embedded_broker.rs"]
mod embedded_broker;

use std::error::Error;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use embedded_broker::EmbeddedBroker;
use flowsdk::embedded::blocking::Client;
use flowsdk::packet::{Disconnect, Subscription};
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session, Topic};
use flowsdk::time::Instant;
use flowsdk::types::{QoS, ReasonCode};

const TOPIC: &str = "flowsdk/embedded";

/// What `embedded-io` asks of a transport. On a device this is a UART, a modem, or the socket of a network stack.
struct Tcp(TcpStream);

#[derive(Debug)]
struct TcpError(io::Error);

impl Tcp {
    fn open(peer: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(peer)?;
        // The client waits in `read`, and has to come back in time for its pings.
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

impl embedded_io::ErrorType for Tcp {
    type Error = TcpError;
}

impl embedded_io::Read for Tcp {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TcpError> {
        io::Read::read(&mut self.0, buffer).map_err(TcpError)
    }
}

impl embedded_io::Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, TcpError> {
        io::Write::write(&mut self.0, bytes).map_err(TcpError)
    }

    fn flush(&mut self) -> Result<(), TcpError> {
        io::Write::flush(&mut self.0).map_err(TcpError)
    }
}

impl embedded_io::Error for TcpError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self.0.kind() {
            // A read without input ends so, by the name that the system has for it.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => embedded_io::ErrorKind::TimedOut,
            io::ErrorKind::Interrupted => embedded_io::ErrorKind::Interrupted,
            _ => embedded_io::ErrorKind::Other,
        }
    }
}

impl Error for TcpError {}

impl std::fmt::Display for TcpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1);
    // Kept until the end, if there is one.
    let broker = if argument.is_none() { Some(EmbeddedBroker::start()?) } else { None };
    let peer = match (argument, &broker) {
        (None, Some(broker)) => broker.address().to_string(),
        (argument, _) => argument.unwrap_or_default(),
    };

    let started = Clock::now();
    // A device has such a counter, too: milliseconds that may wrap.
    let now = || Instant::from_millis(started.elapsed().as_millis() as u32);

    // All the memory there is: 512 bytes to receive, 512 to send, 4 messages in flight each way.
    let mut buffer = [0; 512];
    let session = Session::new(Config::DEFAULT, Fixed::<512, 4>::new());
    let mut client = Client::with_read_timeout(session, Tcp::open(&peer)?, &mut buffer);

    let options = ConnectOptions {
        client_id: "flowsdk-embedded",
        keep_alive: 30,
        // The broker keeps the session for a minute after a lost connection.
        session_expiry_interval: 60,
        ..Default::default()
    };
    let patience = || now().after_millis(10_000);
    let accepted = client.connect_and_wait(&options, patience(), now)?;
    println!("connected to {peer}, session present: {}", accepted.session_present);

    let subscription = [Subscription::new(TOPIC, QoS::AtLeastOnce)];
    client.subscribe(now(), &subscription, &[])?;
    println!("{}", wait_for(&mut client, now, |event| matches!(event, Event::Subscribed(_)))?);

    // The connection is lost before the message has left: it stays in the session.
    let message = ApplicationMessage { topic: TOPIC, payload: b"21.5", qos: QoS::AtLeastOnce, ..Default::default() };
    client.publish(now(), &message)?;
    drop(client.replace_transport(now(), Tcp::open(&peer)?));
    println!("cut the connection");

    let accepted = client.connect_and_wait(&options, patience(), now)?;
    println!("connected again, session present: {}", accepted.session_present);
    println!("{}", wait_for(&mut client, now, |event| matches!(event, Event::Message(_)))?);

    // Poll until the end: the acknowledgement of that message goes out before DISCONNECT does.
    client.disconnect(now(), &Disconnect::new(ReasonCode::SUCCESS))?;
    while client.session().has_connection() {
        match client.poll(now()) {
            Ok(_) => {}
            Err(flowsdk::embedded::Error::Closed) => println!("disconnected"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Tells what comes until it is what is wanted.
fn wait_for<S: flowsdk::session::Storage>(
    client: &mut Client<'_, Tcp, S>,
    now: impl Fn() -> Instant,
    wanted: impl Fn(&Event<'_>) -> bool,
) -> Result<String, Box<dyn Error>> {
    let deadline = now().after_millis(10_000);
    while let Some(event) = client.wait(deadline, &now)? {
        let is_wanted = wanted(&event);
        let text = match event {
            Event::Message(message) => {
                let Topic::Name(topic) = message.topic else { return Err("no alias was allowed".into()) };
                format!("message on {topic}: {}", String::from_utf8_lossy(message.payload))
            }
            Event::Subscribed(suback) => format!("subscribed: {:?}", suback.reason_codes().collect::<Vec<_>>()),
            Event::Published(published) => format!("published: {}", published.reason_code),
            other => format!("{other:?}"),
        };
        if is_wanted {
            return Ok(text);
        }
        println!("{text}");
    }
    Err("nothing came within 10 seconds".into())
}
