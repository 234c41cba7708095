//! Opening one connection, and waiting for its sockets on a thread for that: until something happens, the deadline, or
//! nobody wants it any more.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::peer::Peer;
#[cfg(any(feature = "proxy", feature = "tls", feature = "websocket"))]
use super::transport::Listener;
use super::transport::Socket;

/// How long one address is waited for before the next one is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long a local server with a full queue is left alone.
#[cfg(unix)]
const QUEUE_DELAY: Duration = Duration::from_millis(10);
/// How many addresses are tried at a time. The one that was begun first is given up for a further one.
const MAX_AT_ONCE: usize = 16;
/// Addresses beyond this are not named one by one in an error.
const MAX_NAMED: usize = 4;

const WAKE: Token = Token(usize::MAX);
/// The socket of the connection, once there is one.
pub(super) const SOCKET: Token = Token(usize::MAX - 1);

/// A part of the way to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Credentials,
    Authentication,
    Resolver,
    Tcp,
    Unix,
    Factory,
    #[cfg(feature = "proxy")]
    Proxy,
    #[cfg(feature = "tls")]
    Tls,
    #[cfg(feature = "websocket")]
    Request,
    #[cfg(feature = "websocket")]
    WebSocket,
}

impl Phase {
    /// Whether it is code of the application, which may never come back.
    pub(super) const fn is_of_application(self) -> bool {
        match self {
            Self::Credentials | Self::Authentication | Self::Factory => true,
            #[cfg(feature = "websocket")]
            Self::Request => true,
            _ => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credentials => "the credentials provider",
            Self::Authentication => "the authenticator",
            Self::Resolver => "the resolver",
            Self::Tcp => "the TCP connection",
            Self::Unix => "the connection to the socket",
            Self::Factory => "the factory of the transport",
            #[cfg(feature = "proxy")]
            Self::Proxy => "the handshake with the proxy",
            #[cfg(feature = "tls")]
            Self::Tls => "the TLS handshake",
            #[cfg(feature = "websocket")]
            Self::Request => "the provider of the WebSocket request",
            #[cfg(feature = "websocket")]
            Self::WebSocket => "the WebSocket upgrade",
        })
    }
}

/// What is known of an attempt outside of its thread.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now_at: Option<(Phase, Option<Peer>, Instant)>,
    waker: Option<Arc<Waker>>,
    given_up: bool,
}

impl Progress {
    /// Nobody wants the connection any more.
    pub(super) fn give_up(&self) {
        let mut inner = self.lock();
        inner.given_up = true;
        if let Some(waker) = &inner.waker {
            // If it fails, the thread goes on until its deadline.
            let _ = waker.wake();
        }
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.lock().given_up
    }

    pub(super) fn begin(&self, phase: Phase, peer: Option<&Peer>) {
        self.lock().now_at = Some((phase, peer.cloned(), Instant::now()));
    }

    /// Where it is.
    pub(super) fn phase(&self) -> Option<Phase> {
        self.lock().now_at.as_ref().map(|(phase, ..)| *phase)
    }

    /// The error of an attempt whose time is over, which names what has taken it.
    pub(super) fn timed_out(&self) -> io::Error {
        let inner = self.lock();
        let text = match &inner.now_at {
            Some((phase, peer, since)) => {
                let took = Duration::from_millis(u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX));
                let server = peer.as_ref().map(|peer| format!("cannot connect to {peer}: ")).unwrap_or_default();
                format!("{server}{phase} timed out after {took:?}")
            }
            None => "the connection timed out before it was begun".to_string(),
        };
        io::Error::new(io::ErrorKind::TimedOut, text)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one attempt waits with.
pub(super) struct Dial<'a> {
    pub(super) poll: Poll,
    events: Events,
    progress: &'a Progress,
    peer: &'a Peer,
    deadline: Instant,
    phase: Phase,
    since: Instant,
}

impl<'a> Dial<'a> {
    pub(super) fn new(peer: &'a Peer, deadline: Instant, progress: &'a Progress) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        progress.lock().waker = Some(Arc::new(waker));
        let since = Instant::now();
        let events = Events::with_capacity(MAX_AT_ONCE + 2);
        Ok(Self { poll, events, progress, peer, deadline, phase: Phase::Resolver, since })
    }

    /// What follows is of this phase, by which an error names it.
    pub(super) fn begin(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, Instant::now());
        self.progress.begin(phase, Some(self.peer));
    }

    /// Waits for the poll, but no longer than until then; whether something may have happened.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> io::Result<bool> {
        self.check()?;
        let now = Instant::now();
        let until = until.unwrap_or(self.deadline).min(self.deadline);
        // The poll counts whole milliseconds.
        let left = until.saturating_duration_since(now) + Duration::from_millis(1);
        match self.poll.poll(&mut self.events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(!self.events.is_empty()),
        }
    }

    /// Fails when it is time to stop.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.progress.is_given_up() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "nobody waits for the connection any more"));
        }
        if Instant::now() >= self.deadline { Err(self.timed_out()) } else { Ok(()) }
    }

    fn timed_out(&self) -> io::Error {
        let took = Duration::from_millis(u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX));
        io::Error::new(io::ErrorKind::TimedOut, format!("{} timed out after {took:?}", self.phase))
    }

    /// What is woken for a transport without a socket.
    #[cfg(any(feature = "proxy", feature = "tls", feature = "websocket"))]
    pub(super) fn listener(&self) -> Listener {
        self.progress.lock().waker.clone().map_or(Listener::Nobody, Listener::Poll)
    }

    /// A socket that is connected to a path.
    #[cfg(unix)]
    pub(super) fn connect_unix(&mut self, path: &str) -> io::Result<Socket> {
        self.begin(Phase::Unix);
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Ok(Socket::Unix(stream)),
                // The server's queue is full, and no event tells when it is not.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Some(Instant::now() + QUEUE_DELAY))?
                }
                Err(error) => return Err(error),
            };
        }
    }

    #[cfg(not(unix))]
    pub(super) fn connect_unix(&mut self, _: &str) -> io::Result<Socket> {
        self.begin(Phase::Unix);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A socket that is connected to one of the addresses of a name.
    pub(super) fn connect(&mut self, host: &str, port: u16) -> io::Result<Socket> {
        self.begin(Phase::Resolver);
        let addresses = (host, port).to_socket_addrs()?.collect();
        self.begin(Phase::Tcp);
        Socket::tcp(self.race(interleaved(addresses))?)
    }

    /// Tries the addresses in their order, a new one whenever one has failed or is slow; the first connection wins (RFC
    /// 8305).
    fn race(&mut self, mut untried: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
        let count = u32::try_from(untried.len()).unwrap_or(u32::MAX).max(1);
        let delay = ATTEMPT_DELAY.min(self.deadline.saturating_duration_since(Instant::now()) / count);
        let mut errors = Vec::new();
        let mut underway: VecDeque<(SocketAddr, TcpStream)> = VecDeque::new();
        let mut next_start = Instant::now();
        loop {
            let now = Instant::now();
            if (underway.is_empty() || now >= next_start)
                && let Some(address) = untried.pop_front()
            {
                if underway.len() == MAX_AT_ONCE {
                    underway.pop_front();
                }
                match self.start(address) {
                    Ok(stream) => underway.push_back((address, stream)),
                    Err(error) => errors.push((address, error)),
                }
                next_start = now + delay;
                continue;
            }
            if underway.is_empty() {
                return Err(summary(&errors));
            }
            if !self.wait((!untried.is_empty()).then_some(next_start))? {
                continue;
            }
            let mut place = 0;
            while let Some((address, stream)) = underway.get(place) {
                match outcome(stream) {
                    Some(Ok(())) => return self.take(underway, place),
                    Some(Err(error)) => {
                        errors.push((*address, error));
                        underway.remove(place);
                        next_start = now;
                    }
                    None => place += 1,
                }
            }
        }
    }

    fn start(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(address)?;
        // Which one an event is of does not matter: all of them are looked at.
        self.poll.registry().register(&mut stream, SOCKET, Interest::WRITABLE)?;
        Ok(stream)
    }

    fn take(&self, mut underway: VecDeque<(SocketAddr, TcpStream)>, place: usize) -> io::Result<TcpStream> {
        let (_, mut stream) = underway.remove(place).ok_or(io::ErrorKind::NotFound)?;
        self.poll.registry().deregister(&mut stream)?;
        Ok(stream)
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        self.progress.lock().waker = None;
    }
}

/// Whether a connection that was begun is made, or has failed, once the poll has told of it.
pub(super) fn outcome(stream: &TcpStream) -> Option<io::Result<()>> {
    match stream.take_error() {
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
        Ok(None) => {}
    }
    match stream.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        // A connection that has failed meanwhile has no peer, and it knows why.
        Err(error) => Some(Err(stream.take_error().ok().flatten().unwrap_or(error))),
    }
}

/// The addresses in turns of their families, the first one as the resolver has put it (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = VecDeque::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            return ordered;
        }
        ordered.extend(pair.0);
        ordered.extend(pair.1);
    }
}

/// The error of all addresses.
fn summary(errors: &[(SocketAddr, io::Error)]) -> io::Error {
    match errors {
        [] => io::Error::new(io::ErrorKind::NotFound, "the name has no address"),
        [(_, error)] => io::Error::new(error.kind(), error.to_string()),
        [.., (_, last)] => {
            let mut texts: Vec<_> =
                errors.iter().take(MAX_NAMED).map(|(address, error)| format!("{address}: {error}")).collect();
            if errors.len() > MAX_NAMED {
                texts.push(format!("and {} more addresses", errors.len() - MAX_NAMED));
            }
            io::Error::new(last.kind(), texts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use tokio::net::TcpSocket;

    use super::*;

    #[test]
    fn addresses_come_in_turns_of_their_families_beginning_with_the_resolvers_first() {
        let order = |addresses: &[&str]| -> Vec<String> {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            interleaved(addresses).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]);
        assert_eq!(order(&[]), [""; 0]);
    }

    fn peer() -> Peer {
        Peer::parse("peer", "a").unwrap().0
    }

    /// A deadline that no test waits for.
    fn late() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address at which a connection is neither made nor refused, and what keeps it so: a full queue.
    fn silent() -> (SocketAddr, (TcpListener, Vec<std::net::TcpStream>)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let queued: Vec<_> = std::iter::from_fn(connect).take(64).collect();
        assert!(queued.len() < 64, "this system's queue has no end");
        (address, (listener, queued))
    }

    #[test]
    fn an_address_that_never_answers_holds_up_no_other_one() {
        let (progress, peer) = (Progress::default(), peer());
        let mut dial = Dial::new(&peer, late(), &progress).unwrap();
        let ((silent, _kept), (_listener, good)) = (silent(), listener());
        let stream = dial.race(VecDeque::from([silent, good])).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        // More of them than are tried at once.
        let many = std::iter::repeat_n(silent, MAX_AT_ONCE + 2).chain([good]);
        assert_eq!(dial.race(many.collect()).unwrap().peer_addr().unwrap(), good);
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next_one_and_all_of_them_are_named() {
        let (progress, peer) = (Progress::default(), peer());
        let mut dial = Dial::new(&peer, late(), &progress).unwrap();
        let (_listener, good) = listener();
        let refusing = listener().1;
        let stream = dial.race(VecDeque::from([refusing, refusing, good])).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = dial.race(VecDeque::from([refusing; 6])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().ends_with(", and 2 more addresses"), "{error}");
        let error = dial.race(VecDeque::new()).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, "the name has no address".to_string()));
    }

    #[test]
    fn a_deadline_names_its_phase_and_who_gives_up_ends_a_wait_at_once() {
        let (progress, peer) = (Progress::default(), peer());
        let (silent, _kept) = silent();
        let mut dial = Dial::new(&peer, Instant::now() + Duration::from_millis(50), &progress).unwrap();
        dial.begin(Phase::Tcp);
        let error = dial.race(VecDeque::from([silent])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().starts_with("the TCP connection timed out after "), "{error}");
        let told = progress.timed_out().to_string();
        assert!(told.starts_with("cannot connect to a:1883: the TCP connection timed out after "), "{told}");
        drop(dial);
        let mut dial = Dial::new(&peer, late(), &progress).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(move || dial.race(VecDeque::from([silent])).unwrap_err().kind());
            progress.give_up();
            assert_eq!(waiting.join().unwrap(), io::ErrorKind::ConnectionAborted);
        });
    }
}
