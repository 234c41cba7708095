//! A TCP proxy before a broker, for tests that cut connections.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::referee::{Referee, Side};

/// Passes every connection on to a broker until it is told to cut them. Dropping it cuts all and stops listening.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

struct State {
    broker: SocketAddr,
    streams: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    stopped: AtomicBool,
    passage: Box<dyn Passage>,
}

/// What happens to bytes on their way.
pub trait Passage: Send + Sync + 'static {
    /// Passes on `bytes` that came from `side` of a connection, the first of which is number 1.
    ///
    /// # Errors
    /// Those of writing, or one of its own: either ends the connection.
    fn pass(&self, connection: usize, side: Side, bytes: &[u8], to: &mut TcpStream) -> io::Result<()>;
}

impl Passage for () {
    fn pass(&self, _: usize, _: Side, bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        to.write_all(bytes)
    }
}

impl Passage for Arc<Referee> {
    fn pass(&self, connection: usize, side: Side, bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        self.see(connection, side, bytes);
        to.write_all(bytes)
    }
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1, before the broker at `broker`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(broker: SocketAddr) -> io::Result<Self> {
        Self::start_with(broker, ())
    }

    /// As [`start`](Self::start), with `passage` between the two sides.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start_with(broker: SocketAddr, passage: impl Passage) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            broker,
            streams: Mutex::default(),
            accepted: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            passage: Box::new(passage),
        });
        let shared = Arc::clone(&state);
        let listening = thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A broker that is not there refuses by a connection that ends at once.
                if let Ok(broker) = TcpStream::connect(shared.broker) {
                    shared.pass_on(client, broker);
                }
            }
        });
        Ok(Self { address, state, listening: Some(listening) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Ends every connection in the midst of whatever passes through.
    pub fn cut(&self) {
        for stream in self.state.lock().drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass_on(self: &Arc<Self>, client: TcpStream, broker: TcpStream) {
        let both =
            || Ok::<_, io::Error>([client.try_clone()?, broker.try_clone()?, client.try_clone()?, broker.try_clone()?]);
        let Ok([client_in, broker_in, client_out, broker_out]) = both() else { return };
        self.lock().extend([client, broker]);
        let connection = self.accepted.fetch_add(1, Ordering::SeqCst) + 1;
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || up.copy(connection, Side::Client, client_in, broker_out));
        thread::spawn(move || down.copy(connection, Side::Broker, broker_in, client_out));
    }

    fn copy(&self, connection: usize, side: Side, mut from: TcpStream, mut to: TcpStream) {
        let _ = (from.set_nodelay(true), to.set_nodelay(true));
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if self.passage.pass(connection, side, &buffer[..len], &mut to).is_err() {
                // The peer is gone: the other direction ends, too.
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // The listener looks at the flag when somebody comes.
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        self.cut();
    }
}
