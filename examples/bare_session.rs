//! A session driven by hand: no socket, no clock, no broker, only bytes and a number that stands for the time.
//!
//! `cargo run --example bare_session` needs nothing else; it also runs with `--no-default-features`.

use std::error::Error;

use flowsdk::codec::Writer;
use flowsdk::packet::{Ack, AckKind, Connack, Packet};
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session};
use flowsdk::time::Instant;
use flowsdk::types::{ProtocolVersion, QoS, ReasonCode, Role};

const VERSION: ProtocolVersion = ProtocolVersion::V5;

fn main() -> Result<(), Box<dyn Error>> {
    // 256 bytes for what is to be sent, 2 messages in flight each way; this could be a `static`.
    let mut session = Session::new(Config::DEFAULT, Fixed::<256, 2>::new());
    let mut now = Instant::from_millis(0);

    // A command only enqueues; bytes come out of `poll_transmit`.
    let options =
        ConnectOptions { client_id: "bare", keep_alive: 10, session_expiry_interval: 60, ..Default::default() };
    session.connect(now, &options)?;
    transmit(&mut session, now)?;
    receive(&mut session, now, Packet::Connack(accepted(false)))?;

    let message = ApplicationMessage { topic: "t", payload: b"21.5", qos: QoS::AtLeastOnce, ..Default::default() };
    let packet_id = session.publish(now, &message)?.ok_or("QoS 1 has an identifier")?;
    transmit(&mut session, now)?;

    // The connection is lost before the answer has come. Another one carries the same message, marked with DUP.
    println!("-- the transport breaks");
    session.handle_closed(now);
    session.connect(now, &options)?;
    transmit(&mut session, now)?;
    receive(&mut session, now, Packet::Connack(accepted(true)))?;
    transmit(&mut session, now)?;
    receive(&mut session, now, Packet::Ack(Ack::new(AckKind::Puback, packet_id, ReasonCode::SUCCESS)))?;

    // Nothing to say for a while: the session tells when it wants to be called.
    let at = session.poll_timeout().ok_or("a keep-alive")?;
    println!("-- {} ms later", at.millis_since(now));
    now = at;
    session.handle_timeout(now)?;
    transmit(&mut session, now)?;
    receive(&mut session, now, Packet::Pingresp)?;
    Ok(())
}

/// What a transport would write.
fn transmit(session: &mut Session<Fixed<256, 2>>, now: Instant) -> Result<(), Box<dyn Error>> {
    while let Some(bytes) = session.poll_transmit(now) {
        let (packet, len) = Packet::decode(bytes, VERSION, Role::Client)?.ok_or("a whole packet")?;
        println!("client: {packet:?}");
        session.consume_transmit(now, len);
    }
    Ok(())
}

/// What a transport would have read, the packet of a server that is played here.
fn receive(session: &mut Session<Fixed<256, 2>>, now: Instant, packet: Packet<'_>) -> Result<(), Box<dyn Error>> {
    println!("server: {packet:?}");
    let mut buffer = [0; 64];
    let mut writer = Writer::new(&mut buffer);
    packet.encode(&mut writer, VERSION, Role::Server)?;
    let len = writer.written();

    let mut input = &buffer[..len];
    loop {
        let progress = session.handle_input(now, input)?;
        input = &input[progress.consumed..];
        match progress.event {
            Some(Event::Connected(connack)) => println!("   connected, session present: {}", connack.session_present),
            Some(Event::Published(published)) => println!("   message {} is acknowledged", published.packet_id.value()),
            Some(event) => println!("   {event:?}"),
            None => {}
        }
        if !progress.goes_on() {
            return Ok(());
        }
    }
}

fn accepted(session_present: bool) -> Connack<'static> {
    Connack { session_present, reason_code: ReasonCode::SUCCESS, properties: Default::default() }
}
