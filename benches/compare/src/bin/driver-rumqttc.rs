//! rumqttc 0.25, MQTT 3.1.1: its asynchronous client, payloads as `Bytes`, events counted as the event loop yields
//! them.

use bytes::Bytes;
use compare_support::Error;
use compare_support::meter::{Meter, now_ns, wait_for_release};
use compare_support::plan::{FILTER, Mode, Plan, TOPIC};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing, Packet, QoS};
use tokio::sync::oneshot;

const QUEUE: usize = 1024;

fn main() -> Result<(), Error> {
    let plan = Plan::from_args()?;
    compare_support::runtime()?.block_on(drive(plan))
}

async fn drive(plan: Plan) -> Result<(), Error> {
    let mut options = MqttOptions::new("rumqttc", plan.host.clone(), plan.port);
    options.set_inflight(plan.window).set_max_packet_size(1 << 24, 1 << 24);
    let (client, mut events) = AsyncClient::new(options, QUEUE);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}

    let meter = Meter::start()?;
    let mut round_trips = Vec::new();
    match plan.mode {
        Mode::Publish => publish(&client, &mut events, &plan).await?,
        Mode::Receive => receive(&client, &mut events, &plan).await?,
        Mode::Echo => round_trips = echo(&client, &mut events, &plan).await?,
    }
    let end = now_ns()?;
    let (released, mut release) = oneshot::channel();
    std::thread::spawn(move || released.send(wait_for_release()));
    loop {
        tokio::select! {
            biased;
            outcome = &mut release => break outcome??,
            event = events.poll() => drop(event?),
        }
    }
    meter.finish(end, plan.messages, &mut round_trips)
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

async fn publish(client: &AsyncClient, events: &mut EventLoop, plan: &Plan) -> Result<(), Error> {
    let (client, messages, qos, payload) = (client.clone(), plan.messages, qos(plan.qos), Bytes::from(plan.payload()));
    let publisher = tokio::spawn(async move {
        for _ in 0..messages {
            client.publish_bytes(TOPIC, qos, false, payload.clone()).await?;
        }
        Ok::<(), Error>(())
    });
    let mut done = 0;
    while done < messages {
        done += usize::from(match events.poll().await? {
            Event::Incoming(Packet::PubAck(_)) => qos == QoS::AtLeastOnce,
            Event::Incoming(Packet::PubComp(_)) => qos == QoS::ExactlyOnce,
            Event::Outgoing(Outgoing::Publish(_)) => qos == QoS::AtMostOnce,
            _ => false,
        });
    }
    publisher.await?
}

async fn receive(client: &AsyncClient, events: &mut EventLoop, plan: &Plan) -> Result<(), Error> {
    client.subscribe(FILTER, qos(plan.qos)).await?;
    let mut done = 0;
    while done < plan.messages {
        if let Event::Incoming(Packet::Publish(message)) = events.poll().await? {
            assert_eq!(message.payload.len(), plan.size);
            done += 1;
        }
    }
    Ok(())
}

async fn echo(client: &AsyncClient, events: &mut EventLoop, plan: &Plan) -> Result<Vec<u64>, Error> {
    client.subscribe(FILTER, QoS::AtMostOnce).await?;
    while !matches!(events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
    let payload = Bytes::from(plan.payload());
    let mut round_trips = Vec::with_capacity(plan.messages);
    for _ in 0..plan.messages {
        let begun = now_ns()?;
        client.publish_bytes(TOPIC, QoS::AtMostOnce, false, payload.clone()).await?;
        while !matches!(events.poll().await?, Event::Incoming(Packet::Publish(_))) {}
        round_trips.push(now_ns()? - begun);
    }
    Ok(round_trips)
}
