//! Transports of the application's own.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{BlockingTransport, MqttEvent, TransportFactory};

use crate::scripted_setup::{Scene, V5, both, publish};
use crate::support::{PATIENCE, wire};

/// A client's ends of two pipes whose other ends lead to a broker.
fn piped_to(broker: SocketAddr) -> io::Result<(PipeReader, PipeWriter)> {
    let (from_client, to_broker) = pipe()?;
    let (from_broker, to_client) = pipe()?;
    let broker = TcpStream::connect(broker)?;
    let second = broker.try_clone()?;
    thread::spawn(move || {
        let _ = pass_on(from_client, &broker);
        let _ = broker.shutdown(Shutdown::Write);
    });
    thread::spawn(move || pass_on(second, to_client));
    Ok((from_broker, to_broker))
}

/// Passes on what it reads at once, which `io::copy` between descriptors does not do on every system.
fn pass_on(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            len => to.write_all(&buffer[..len])?,
        }
    }
}

/// A client that speaks to its broker over pipes.
fn scene_over_pipes(scene: &mut Scene) {
    let broker = scene.broker.address();
    scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
        let (reader, writer) = piped_to(broker)?;
        Ok(Box::new(BlockingTransport::new(reader, writer)?))
    }));
}

#[test]
fn a_pair_of_blocking_halves_is_a_transport() {
    both(|version| {
        let mut scene = Scene::new(version);
        scene_over_pipes(&mut scene);
        let mut live = scene.connected();
        live.client.publish("t", b"out", 0, false).unwrap();
        live.peer.expect(&publish(version, 0, "t", None, b"out"));
        live.peer.send(&publish(version, 0, "t", None, b"in"));
        assert_eq!(live.log.messages(1)[0].payload, &b"in"[..]);
        live.client.disconnect().unwrap();
        live.peer.expect(&wire::DISCONNECT);
        // The writer is dropped behind DISCONNECT.
        live.peer.expect_eof();
        live.peer.close();
        live.client.shutdown().unwrap();
    });
}

#[test]
fn messages_longer_than_what_waits_between_the_threads_pass_whole() {
    let mut scene = Scene::new(V5);
    scene_over_pipes(&mut scene);
    let mut live = scene.connected();
    let payload: Vec<u8> = (0..1_000_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let packet = publish(V5, 0, "t", None, &payload);
    live.client.publish("t", &payload, 0, false).unwrap();
    live.peer.expect(&packet);
    live.peer.send(&packet);
    assert_eq!(live.log.messages(1)[0].payload, payload);
}

#[test]
fn the_end_of_the_reader_is_the_end_of_the_connection_and_a_new_transport_is_opened() {
    let mut scene = Scene::new(V5);
    scene_over_pipes(&mut scene);
    let live = scene.connected();
    live.peer.close();
    let _peer = scene.accept(false);
    assert!(live.log.connection(2).is_success());
    live.log.error("the server has closed the connection");
}

/// A half that tells when it is dropped.
struct Told<T>(T, Sender<&'static str>, &'static str);

impl<T> Drop for Told<T> {
    fn drop(&mut self) {
        let _ = self.1.send(self.2);
    }
}

impl<T: Read> Read for Told<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<T: Write> Write for Told<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn both_threads_end_with_the_transport_where_the_reader_has_a_time_out() {
    let mut scene = Scene::new(V5);
    let broker = scene.broker.address();
    let (sender, dropped) = channel();
    let sender = Mutex::new(sender);
    scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
        let stream = TcpStream::connect(broker)?;
        stream.set_read_timeout(Some(Duration::from_millis(10)))?;
        let sender = sender.lock().unwrap().clone();
        let reader = Told(stream.try_clone()?, sender.clone(), "reader");
        Ok(Box::new(BlockingTransport::new(reader, Told(stream, sender, "writer"))?))
    }));
    let live = scene.connected();
    // Longer than some time-outs, after which the connection still is one.
    live.client.ping().unwrap();
    let mut peer = live.peer;
    peer.expect(&wire::PINGREQ);
    peer.send(&wire::PINGRESP);
    live.log.wait_for_event(|event| matches!(event, MqttEvent::PingResponse(_)).then_some(()));
    live.client.shutdown().unwrap();
    let mut ended = [dropped.recv_timeout(PATIENCE).unwrap(), dropped.recv_timeout(PATIENCE).unwrap()];
    ended.sort_unstable();
    assert_eq!(ended, ["reader", "writer"]);
    peer.expect(&wire::DISCONNECT);
    peer.expect_eof();
}

/// A half that fails as it is told.
struct Failing(Fail);

type Fail = fn() -> io::Result<usize>;

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        (self.0)()
    }
}

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        (self.0)()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_half_that_fails_or_panics_ends_its_connection_with_its_error() {
    let broken = || Err(io::Error::new(ErrorKind::HostUnreachable, "the line is cut"));
    let panicking = || panic!("a half with a fault");
    let scene = |fail: fn() -> io::Result<usize>, of_reader: bool| {
        let mut scene = Scene::new(V5);
        let broker = scene.broker.address();
        scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
            let (reader, writer) = piped_to(broker)?;
            let failing = Failing(fail);
            Ok(Box::new(match of_reader {
                true => BlockingTransport::new(failing, writer)?,
                false => BlockingTransport::new(reader, failing)?,
            }))
        }));
        scene
    };
    for of_reader in [true, false] {
        let cases: [(Fail, _, _); 2] =
            [(broken, "the line is cut", ErrorKind::HostUnreachable), (panicking, "has panicked", ErrorKind::Other)];
        for (fail, text, kind) in cases {
            let scene = scene(fail, of_reader);
            let (client, log) = scene.client();
            client.connect().unwrap();
            assert_eq!(log.error(text), kind, "reader: {of_reader}");
            client.shutdown().unwrap();
        }
    }
}

#[test]
fn the_factory_is_asked_for_each_server_and_each_attempt_and_may_fail_or_panic() {
    let mut scene = Scene::new(V5);
    let broker = scene.broker.address();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (calls, seen) = (AtomicUsize::new(0), Arc::clone(&asked));
    scene.options.peer = "mqtt://line-1.invalid:7".to_string();
    scene.options.connecting.servers = vec!["line-2.invalid".to_string()];
    scene.options.connecting.transport = Some(TransportFactory::new(move |host, port| {
        seen.lock().unwrap().push(format!("{host} {port} {:?}", thread::current().name()));
        match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::new(ErrorKind::NotFound, "no such line")),
            1 => panic!("a factory with a fault"),
            _ => {
                let (reader, writer) = piped_to(broker)?;
                Ok(Box::new(BlockingTransport::new(reader, writer)?))
            }
        }
    }));
    let live = scene.connected();
    live.log.error("cannot connect to line-1.invalid:7: no such line");
    live.log.error("cannot connect to line-2.invalid:1883: the factory of the transport has panicked");
    let thread = Some("flowsdk connect");
    let expected = [
        format!("line-1.invalid 7 {thread:?}"),
        format!("line-2.invalid 1883 {thread:?}"),
        // The next attempt begins with another server.
        format!("line-2.invalid 1883 {thread:?}"),
    ];
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[cfg(feature = "websocket")]
mod panicking {
    use flowsdk::mqtt_client::{CustomTransport, Readiness};

    use super::*;

    /// A transport that panics by one of its methods.
    struct Panicking(At);

    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Watch,
        Write,
        Read,
    }

    impl Panicking {
        fn pass(&self, at: At) {
            assert!(self.0 != at, "a transport with a fault");
        }
    }

    impl CustomTransport for Panicking {
        fn watch(&mut self, _: &Readiness<'_>) -> io::Result<()> {
            self.pass(At::Watch);
            Ok(())
        }
    }

    impl Read for Panicking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.pass(At::Read);
            Ok(0)
        }
    }

    impl Write for Panicking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.pass(At::Write);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// More often than threads may be busy with one server.
    #[test]
    fn a_transport_that_panics_under_a_handshake_fails_its_attempts_and_holds_up_no_later_one() {
        let with_tls = cfg!(all(feature = "tls", feature = "ring"));
        for scheme in ["ws", "mqtts"].into_iter().take(1 + usize::from(with_tls)) {
            for at in [At::Watch, At::Write, At::Read] {
                let mut scene = Scene::new(V5);
                scene.options.peer = format!("{scheme}://line.invalid");
                let attempts = Arc::new(AtomicUsize::new(0));
                let seen = Arc::clone(&attempts);
                scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
                    if seen.fetch_add(1, Ordering::SeqCst) < 10 {
                        return Ok(Box::new(Panicking(at)));
                    }
                    Err(io::Error::new(ErrorKind::NotFound, "no more of them"))
                }));
                let (client, log) = scene.client();
                client.connect().unwrap();
                assert_eq!(
                    log.error("code of the application has panicked: a transport with a fault"),
                    ErrorKind::Other
                );
                assert_eq!(log.error("no more of them"), ErrorKind::NotFound);
                assert!(attempts.load(Ordering::SeqCst) > 10);
                client.shutdown().unwrap();
            }
        }
    }

    #[test]
    fn a_transport_that_panics_under_a_handshake_leaves_the_attempt_to_the_next_server() {
        let mut scene = Scene::new(V5);
        let broker = scene.broker.address();
        scene.options.peer = "ws://line-1.invalid".to_string();
        scene.options.connecting.servers = vec!["mqtt://line-2.invalid".to_string()];
        scene.options.connecting.transport = Some(TransportFactory::new(move |host, _| {
            if host == "line-1.invalid" {
                return Ok(Box::new(Panicking(At::Read)));
            }
            let (reader, writer) = piped_to(broker)?;
            Ok(Box::new(BlockingTransport::new(reader, writer)?))
        }));
        // In one attempt: the first one to be told is a success.
        let live = scene.connected();
        live.client.shutdown().unwrap();
    }
}

#[cfg(unix)]
mod watched {
    use flowsdk::mqtt_client::{CustomTransport, Readiness};

    use super::*;

    /// A socket that the poll of the client watches.
    struct Watched(TcpStream);

    impl CustomTransport for Watched {
        fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
            readiness.watch_fd(&self.0)
        }

        fn finish_writing(&mut self) -> io::Result<()> {
            self.0.shutdown(Shutdown::Write)
        }
    }

    impl Read for Watched {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Watched {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_with_a_descriptor_is_watched_by_the_client() {
        both(|version| {
            let mut scene = Scene::new(version);
            let broker = scene.broker.address();
            scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
                let stream = TcpStream::connect(broker)?;
                stream.set_nonblocking(true)?;
                Ok(Box::new(Watched(stream)))
            }));
            let mut live = scene.connected();
            let payload = vec![5; 3_000_000];
            let packet = publish(version, 0, "t", None, &payload);
            live.client.publish("t", &payload, 0, false).unwrap();
            live.peer.expect(&packet);
            live.peer.send(&packet);
            assert_eq!(live.log.messages(1)[0].payload, payload);
            live.client.disconnect().unwrap();
            live.peer.expect(&wire::DISCONNECT);
            live.peer.expect_eof();
        });
    }

    /// Is interrupted once behind what it was told to be the last it writes, and tells when the peer ends.
    struct Interrupted(Watched, Option<bool>, Sender<()>);

    impl CustomTransport for Interrupted {
        fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
            self.0.watch(readiness)
        }

        fn finish_writing(&mut self) -> io::Result<()> {
            self.1.get_or_insert(true);
            self.0.finish_writing()
        }
    }

    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.1 == Some(true) {
                self.1 = Some(false);
                return Err(ErrorKind::Interrupted.into());
            }
            let len = self.0.read(buffer)?;
            if len == 0 {
                let _ = self.2.send(());
            }
            Ok(len)
        }
    }

    impl Write for Interrupted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_read_behind_disconnect_that_is_interrupted_is_not_the_end_of_the_stream() {
        let mut scene = Scene::new(V5);
        let broker = scene.broker.address();
        let (sender, ended) = channel();
        let sender = Mutex::new(Some(sender));
        scene.options.connecting.transport = Some(TransportFactory::new(move |_, _| {
            let stream = TcpStream::connect(broker)?;
            stream.set_nonblocking(true)?;
            let sender = sender.lock().unwrap().take().ok_or(ErrorKind::NotFound)?;
            Ok(Box::new(Interrupted(Watched(stream), None, sender)))
        }));
        let mut live = scene.connected();
        live.client.disconnect().unwrap();
        live.peer.expect(&wire::DISCONNECT);
        live.peer.expect_eof();
        live.peer.close();
        // It is read to its end before it is dropped.
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(()));
    }

    #[test]
    fn what_cannot_be_watched_fails_the_attempt() {
        struct Regular(std::fs::File);

        impl CustomTransport for Regular {
            fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
                readiness.watch_fd(&self.0)
            }
        }

        impl Read for Regular {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.read(buffer)
            }
        }

        impl Write for Regular {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut scene = Scene::new(V5);
        scene.options.connecting.transport =
            Some(TransportFactory::new(|_, _| Ok(Box::new(Regular(std::fs::File::open(std::env::current_exe()?)?)))));
        let (client, log) = scene.client();
        client.connect().unwrap();
        // Epoll says so; where everything can be watched, the file is no MQTT.
        log.wait_for_event(|event| matches!(event, MqttEvent::Error(_)).then_some(()));
        client.shutdown().unwrap();
    }
}
