//! How far the client reads ahead of its callbacks, and when they are heard.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use flowsdk::mqtt_client::{CustomTransport, MqttPublish, Outcome, PublishOptions, Readiness, TransportFactory};

use crate::scripted_setup::{Live, Scene, V5, both, connack, publish};
use crate::support::wire;

const PATIENCE: Duration = Duration::from_secs(20);

/// Has the handler of a topic wait at its n-th message; what tells that it does, and what lets it go on.
fn waits_at(live: &Live, topic: &str, number: usize) -> (Receiver<()>, Sender<()>) {
    let (entered, has_entered) = channel();
    let (release, released) = channel::<()>();
    let mut handled = 0;
    let handler = move |_: &MqttPublish<'_>| {
        handled += 1;
        if handled == number {
            entered.send(()).unwrap();
            // It ends when the test does.
            let _ = released.recv();
        }
    };
    live.client.add_topic_handler(topic, handler).unwrap();
    (has_entered, release)
}

#[test]
fn half_of_a_window_is_acknowledged_before_the_other_half_is_handled() {
    let mut scene = Scene::new(V5);
    scene.options.protocol.receive_maximum = 40;
    let mut live = scene.connected();
    let (_has_entered, release) = waits_at(&live, "t", 21);
    let window: Vec<u8> = (1..=40).flat_map(|id| publish(V5, 0x02, "t", Some(id), b"")).collect();
    live.peer.send(&window);
    for id in 1..=20 {
        live.peer.expect(&wire::ack(wire::PUBACK, id));
    }
    live.peer.expect_silence(Duration::from_millis(50));
    drop(release);
    for id in 21..=40 {
        live.peer.expect(&wire::ack(wire::PUBACK, id));
    }
}

#[test]
fn what_comes_behind_messages_is_read_although_their_callback_takes_long() {
    both(|version| {
        let mut live = Scene::new(version).connected();
        let (has_entered, release) = waits_at(&live, "slow", 1);
        live.peer.send(&publish(version, 0, "slow", None, b""));
        has_entered.recv_timeout(PATIENCE).unwrap();
        let options = PublishOptions { qos: 1, ..Default::default() };
        let tracked = live.client.publish_tracked("t", b"", &options).unwrap();
        live.peer.expect(&publish(version, 0x02, "t", Some(1), b""));
        // Much more than is read ahead.
        let message = publish(version, 0, "waiting", None, &[b'x'; 16 * 1024]);
        live.peer.send(&message.repeat(64));
        live.peer.send(&wire::ack(wire::PUBACK, 1));
        assert_eq!(tracked.wait(PATIENCE).unwrap().outcome, Outcome::Acknowledged);
        drop(release);
        assert_eq!(live.log.messages(64).len(), 64);
    });
}

/// A server that sends without end, once it has been spoken to.
struct Endless {
    waker: Option<Waker>,
    is_open: bool,
    packet: Vec<u8>,
    sent: usize,
    /// When so many bytes were asked for.
    reads: Arc<Mutex<Vec<(usize, Instant)>>>,
    /// Hears of the end of it.
    enough: Sender<()>,
}

const ENOUGH: usize = 1 << 20;

impl CustomTransport for Endless {
    fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.waker = Some(readiness.waker());
        Ok(())
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.waker.is_some() || self.sent > ENOUGH {
            return Err(ErrorKind::WouldBlock.into());
        }
        if !std::mem::replace(&mut self.is_open, true) {
            return (&connack(V5, false)[..]).read(buffer);
        }
        self.reads.lock().unwrap().push((self.sent, Instant::now()));
        let len = buffer.len();
        for byte in buffer {
            *byte = self.packet[self.sent % self.packet.len()];
            self.sent += 1;
        }
        if self.sent > ENOUGH {
            let _ = self.enough.send(());
        }
        Ok(len)
    }
}

impl Write for Endless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn callbacks_that_are_behind_are_given_time() {
    let mut scene = Scene::new(V5);
    let reads = Arc::<Mutex<Vec<_>>>::default();
    let (enough, has_enough) = channel();
    let log = Arc::clone(&reads);
    scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
        let packet = publish(V5, 0, "t", None, &[b'x'; 1000]);
        let (reads, enough) = (Arc::clone(&log), enough.clone());
        Ok(Box::new(Endless { waker: None, is_open: false, packet, sent: 0, reads, enough }))
    }));
    let (client, _log) = scene.client();
    let (done, is_done) = channel();
    // Taken by the first message alone.
    let mut wait = Some(Mutex::new(has_enough));
    client
        .add_topic_handler("t", move |_| {
            // All of it is read although this has not returned.
            if let Some(has_enough) = wait.take() {
                done.send(has_enough.into_inner().unwrap().recv_timeout(PATIENCE)).unwrap();
            }
        })
        .unwrap();
    client.connect().unwrap();
    is_done.recv_timeout(2 * PATIENCE).unwrap().unwrap();
    let reads = reads.lock().unwrap();
    let has_waited = |pair: &[(usize, Instant)]| {
        (64 * 1024..512 * 1024).contains(&pair[1].0) && pair[1].1 - pair[0].1 >= Duration::from_millis(5)
    };
    assert!(reads.windows(2).any(has_waited), "{reads:?}");
}
