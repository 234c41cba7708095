//! mqtt5: a publish of QoS 1 and 2 waits for its acknowledgement, so as many tasks publish as the window is wide.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use compare_support::Error;
use compare_support::meter::{Meter, now_ns, wait_for_release};
use compare_support::plan::{FILTER, Mode, Plan, TOPIC};
use mqtt5::{ConnectOptions, MqttClient, PublishResult, QoS, SubscribeOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

fn main() -> Result<(), Error> {
    let plan = Plan::from_args()?;
    compare_support::runtime()?.block_on(drive(plan))
}

async fn drive(plan: Plan) -> Result<(), Error> {
    let mut options = ConnectOptions::new("mqtt5").with_clean_start(true);
    options.properties.receive_maximum = Some(plan.window);
    let client = MqttClient::with_options(options.clone());
    Box::pin(client.connect_with_options(&format!("mqtt://{}", plan.address()), options)).await?;

    let meter = Meter::start()?;
    let mut round_trips = Vec::new();
    match plan.mode {
        Mode::Publish => publish(&client, &plan).await?,
        Mode::Receive => receive(&client, &plan).await?,
        Mode::Echo => round_trips = echo(&client, &plan).await?,
    }
    let end = now_ns()?;
    tokio::task::spawn_blocking(wait_for_release).await??;
    meter.finish(end, plan.messages, &mut round_trips)
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

async fn publish(client: &MqttClient, plan: &Plan) -> Result<(), Error> {
    let begun = Arc::new(AtomicUsize::new(0));
    let mut publishers = JoinSet::new();
    for _ in 0..if plan.qos == 0 { 1 } else { plan.window } {
        let (client, begun, payload) = (client.clone(), Arc::clone(&begun), plan.payload());
        let (messages, qos) = (plan.messages, qos(plan.qos));
        publishers.spawn(async move {
            while begun.fetch_add(1, Ordering::Relaxed) < messages {
                match client.publish_qos(TOPIC, payload.clone(), qos).await? {
                    PublishResult::Sent(_) => {}
                    other => return Err(format!("{other:?}").into()),
                }
            }
            Ok::<(), Error>(())
        });
    }
    while let Some(publisher) = publishers.join_next().await {
        publisher??;
    }
    Ok(())
}

/// Subscribes, and tells of each message by the callback's time.
async fn subscribe(client: &MqttClient, plan: &Plan, every: usize) -> Result<mpsc::UnboundedReceiver<u64>, Error> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (received, size) = (AtomicUsize::new(0), plan.size);
    let options = SubscribeOptions { qos: qos(plan.qos), ..Default::default() };
    let callback = move |message: mqtt5::Message| {
        assert_eq!(message.payload.len(), size);
        if (received.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every) {
            let _ = sender.send(now_ns().expect("the clock"));
        }
    };
    client.subscribe_with_options(FILTER, options, callback).await?;
    Ok(receiver)
}

async fn receive(client: &MqttClient, plan: &Plan) -> Result<(), Error> {
    let mut all = subscribe(client, plan, plan.messages).await?;
    all.recv().await.ok_or("the subscription has ended")?;
    Ok(())
}

async fn echo(client: &MqttClient, plan: &Plan) -> Result<Vec<u64>, Error> {
    let mut messages = subscribe(client, plan, 1).await?;
    let payload = plan.payload();
    let mut round_trips = Vec::with_capacity(plan.messages);
    for _ in 0..plan.messages {
        let begun = now_ns()?;
        client.publish_qos(TOPIC, payload.clone(), QoS::AtMostOnce).await?;
        let end = messages.recv().await.ok_or("the subscription has ended")?;
        round_trips.push(end - begun);
    }
    Ok(round_trips)
}
