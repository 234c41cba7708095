//! Where connections are opened: on threads of their own, as resolvers block, but for those that need nothing of the
//! kind.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use mio::{Registry, Token};

use super::authentication::{Authentication, Exchange};
#[cfg(feature = "websocket")]
use super::blocking::Blocking;
use super::connecting::{Connecting, Credentials, CredentialsProvider};
use super::contain::{contain, discard};
use super::custom::TransportFactory;
use super::dial::{Dial, Phase, Progress};
use super::direct::Direct;
use super::error::ConnectionError;
use super::options::Secret;
use super::peer::{Peer, Scheme};
use super::proxy::Proxy;
use super::reach::reach;
use super::servers::Servers;
use super::shared::Shared;
use super::threads::spawn;
#[cfg(feature = "tls")]
use super::tls::{self, TlsSetup};
#[cfg(feature = "websocket")]
use super::transport::websocket::{Request, WebSocket, upgrade};
use super::transport::{Listener, Socket, Transport};
#[cfg(feature = "websocket")]
use super::websocket::WebSocketOptions;

/// Threads at a time.
const MAX_THREADS: usize = 8;
/// Threads at a time that one client has lost to the resolver.
const MAX_STUCK: usize = 2;
/// Threads at a time for one peer, so that one that never answers does not hold up the clients of others.
const MAX_FOR_PEER: usize = MAX_THREADS / 2;
/// Connections that are made without a thread and not accepted at a time: where many clients begin at once, a server may
/// have fewer places for those that are new.
const MAX_DIRECT: usize = 1;
/// How long the thread that connects has to say itself that its time is over: it knows of all servers.
const GRACE: Duration = Duration::from_millis(50);
/// So many attempts may wait before it is looked which of them nobody waits for any more.
const MANY_WAITING: usize = 16;

/// The connectors of a runtime. Their threads end when nothing is left to be opened.
#[derive(Clone)]
pub(super) struct Connectors {
    pool: Arc<Mutex<Pool>>,
    thread_name: Arc<str>,
}

#[derive(Default)]
struct Pool {
    /// The first servers of what threads are busy with, one for each thread.
    busy: Vec<Option<Peer>>,
    waiting: VecDeque<Job>,
    /// How many of these were still wanted when that was looked at last.
    wanted: usize,
    /// Each connection that is made without a thread has one of these.
    direct: Arc<()>,
}

struct Job {
    attempt: Arc<Attempt>,
    target: Target,
    timeout: Duration,
    shared: Arc<Shared>,
}

/// What an attempt is to reach.
pub(super) struct Target {
    servers: Vec<Peer>,
    /// Asked before.
    credentials: Option<CredentialsProvider>,
    /// Begun before.
    authentication: Option<Authentication>,
    ways: Ways,
    /// Earlier attempts of the same client.
    stuck: Arc<Mutex<Stuck>>,
}

/// What lies on the way to a server.
pub(super) struct Ways {
    pub(super) proxy: Option<Proxy>,
    pub(super) transport: Option<TransportFactory>,
    #[cfg(feature = "websocket")]
    websocket: WebSocketOptions,
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsSetup>>,
}

/// What an attempt has come to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) transport: Transport,
    /// The server that it leads to.
    pub(super) peer: Peer,
    /// From the provider.
    pub(super) credentials: Option<Credentials>,
    /// The authentication that has begun, and what CONNECT has of it.
    pub(super) exchange: Option<(Exchange, Option<Secret>)>,
    /// The place of one that was made without a thread: to be kept until the server has answered.
    pub(super) place: Option<Arc<()>>,
}

/// The attempts of one client that it has given up, and whose threads have not come back: what a provider, a factory or
/// the resolver does cannot be broken off.
#[derive(Debug, Default)]
pub(super) struct Stuck(Vec<Weak<Attempt>>);

impl Stuck {
    /// Remembers an attempt for as long as its thread has it.
    fn note(&mut self, attempt: &Arc<Attempt>) {
        self.0.push(Arc::downgrade(attempt));
    }

    /// Fails while an earlier attempt sits where the next one would only sit down beside it.
    fn check(&mut self) -> io::Result<()> {
        self.0.retain(|attempt| attempt.strong_count() > 0);
        let underway: Vec<_> = self.0.iter().filter_map(Weak::upgrade).collect();
        let begun = underway.iter().filter(|attempt| lock(&attempt.state).deadline().is_some());
        let phases: Vec<_> = begun.filter_map(|attempt| attempt.progress.phase()).collect();
        let stuck = phases.iter().find(|phase| phase.is_of_application()).or_else(|| phases.get(MAX_STUCK - 1));
        let text = |phase| format!("{phase} has not returned from an earlier attempt");
        stuck.map_or(Ok(()), |phase| Err(io::Error::new(io::ErrorKind::WouldBlock, text(phase))))
    }
}

/// A connection that is being opened. Dropping it gives up.
#[derive(Debug)]
pub(super) enum Opening {
    /// By the thread that has the attempt.
    OnThread(Underway),
    /// On the worker.
    Direct(Box<Direct>),
}

/// An attempt that is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Underway(Arc<Attempt>);

#[derive(Debug)]
pub(super) struct Attempt {
    state: Mutex<State>,
    progress: Progress,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(super) enum State {
    /// It waits for a thread.
    Waiting,
    /// It has to be done by then.
    Begun(Instant),
    /// It has ended; what comes next has the rest of its time.
    Done(io::Result<Box<Opened>>, Instant),
}

impl Connectors {
    pub(super) fn new(name: &str) -> Self {
        Self { pool: Arc::default(), thread_name: format!("{name} connect").into() }
    }

    /// Opens a transport. The client's worker is woken when it begins late and when it is done, unless it opens it itself.
    ///
    /// # Errors
    /// If there is no thread for it, an earlier attempt of the client has not come back from code of the application, or
    /// the system refuses at once.
    pub(super) fn open(&self, target: Target, timeout: Duration, shared: &Arc<Shared>) -> io::Result<Opening> {
        if let Some((peer, address)) = target.direct()
            && let Some(place) = lock(&self.pool).take_direct_place()
        {
            let begun = Direct::begin(peer, address, Instant::now() + timeout, place);
            let direct = begun.map_err(|error| named(peer, error))?;
            return Ok(Opening::Direct(Box::new(direct)));
        }
        let stuck = Arc::clone(&target.stuck);
        lock(&stuck).check()?;
        let attempt = Arc::new(Attempt { state: Mutex::new(State::Waiting), progress: Progress::default() });
        lock(&stuck).note(&attempt);
        let shared = Arc::clone(shared);
        let peer = target.first();
        let job = Job { attempt: Arc::clone(&attempt), target, timeout, shared };
        let mut pool = lock(&self.pool);
        if pool.waiting.len() >= MANY_WAITING.max(2 * pool.wanted) {
            drop(pool);
            self.drop_unwanted();
            pool = lock(&self.pool);
        }
        if pool.busy.len() == MAX_THREADS || !pool.may_begin(&peer) {
            pool.waiting.push_back(job);
            return Ok(Opening::OnThread(Underway(attempt)));
        }
        pool.busy.push(peer.clone());
        drop(pool);
        job.begin();
        let connectors = self.clone();
        let work = Box::new(move || connectors.work(job));
        spawn(&self.thread_name, work).inspect_err(|_| lock(&self.pool).leave(&peer))?;
        Ok(Opening::OnThread(Underway(attempt)))
    }

    /// Lets go of what nobody waits for. What it holds of the application may do anything as it goes.
    fn drop_unwanted(&self) {
        let unwanted = lock(&self.pool).take_unwanted();
        unwanted.into_iter().for_each(discard);
    }

    /// A thread's life: one job after the other.
    fn work(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next.take() {
            let peer = job.target.first();
            // However it ends, its place is for the next one.
            let _ = contain(|| job.run());
            self.drop_unwanted();
            next = lock(&self.pool).next_after(&peer);
            if let Some(job) = &next {
                job.begin();
                job.shared.wake();
            }
        }
    }
}

impl Pool {
    fn may_begin(&self, peer: &Option<Peer>) -> bool {
        self.busy.iter().filter(|busy| *busy == peer).count() < MAX_FOR_PEER
    }

    /// What a thread that is done with a peer does next; it ends if there is nothing.
    fn next_after(&mut self, done: &Option<Peer>) -> Option<Job> {
        self.leave(done);
        let next = self.waiting.iter().position(|job| job.is_wanted() && self.may_begin(&job.target.first()));
        let job = next.and_then(|place| self.waiting.remove(place));
        self.busy.extend(job.as_ref().map(|job| job.target.first()));
        job
    }

    fn take_unwanted(&mut self) -> VecDeque<Job> {
        let (wanted, unwanted) = std::mem::take(&mut self.waiting).into_iter().partition(Job::is_wanted);
        self.waiting = wanted;
        self.wanted = self.waiting.len();
        unwanted
    }

    fn take_direct_place(&self) -> Option<Arc<()>> {
        (Arc::strong_count(&self.direct) <= MAX_DIRECT).then(|| Arc::clone(&self.direct))
    }

    /// A thread is not busy with a peer any more.
    fn leave(&mut self, peer: &Option<Peer>) {
        if let Some(place) = self.busy.iter().position(|busy| busy == peer) {
            self.busy.swap_remove(place);
        }
    }
}

impl Job {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        !self.attempt.progress.is_given_up()
    }

    fn begin(&self) {
        *lock(&self.attempt.state) = State::Begun(Instant::now() + self.timeout);
    }

    fn run(self) {
        let Self { attempt, target, timeout, shared } = self;
        let begun = lock(&attempt.state).deadline();
        let deadline = begun.unwrap_or_else(|| Instant::now() + timeout);
        let opened = fail_by_panic(|| {
            let mut opened = target.open(deadline, &attempt.progress)?;
            opened.transport.listen(Listener::Worker(Arc::downgrade(&shared)));
            Ok(Box::new(opened))
        });
        discard(target);
        *lock(&attempt.state) = State::Done(opened, deadline);
        shared.wake();
    }
}

impl Opening {
    /// How far it has come. What it has opened is given once. The `token` is what the worker knows the client by.
    pub(super) fn poll(&mut self, registry: &Registry, token: Token, now: Instant) -> State {
        match self {
            Self::OnThread(Underway(attempt)) => {
                let mut state = lock(&attempt.state);
                match &*state {
                    State::Waiting => State::Waiting,
                    State::Begun(deadline) => State::Begun(*deadline),
                    State::Done(..) => std::mem::replace(&mut *state, State::Waiting),
                }
            }
            Self::Direct(direct) if now >= direct.deadline() => State::Done(Err(direct.timed_out()), direct.deadline()),
            Self::Direct(direct) => {
                let Some(made) = direct.poll(registry, token) else { return State::Begun(direct.deadline()) };
                let peer = direct.peer();
                let opened = |socket| Opened {
                    transport: Transport::Plain(socket),
                    peer: peer.clone(),
                    credentials: None,
                    exchange: None,
                    place: Some(direct.place()),
                };
                let made = made.map(opened).map(Box::new).map_err(|error| named(peer, error));
                State::Done(made, direct.deadline())
            }
        }
    }

    /// The poll tells of it.
    pub(super) const fn note_readiness(&mut self) {
        if let Self::Direct(direct) = self {
            direct.note_readiness();
        }
    }

    /// When it is given up; unknown while it waits for a thread.
    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Self::OnThread(Underway(attempt)) => lock(&attempt.state).deadline().map(|deadline| deadline + GRACE),
            Self::Direct(direct) => Some(direct.deadline()),
        }
    }

    /// The error of one whose time is over.
    pub(super) fn timed_out(&self) -> io::Error {
        match self {
            Self::OnThread(Underway(attempt)) => attempt.progress.timed_out(),
            Self::Direct(direct) => direct.timed_out(),
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.progress.give_up();
    }
}

impl State {
    const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Begun(deadline) => Some(*deadline),
            Self::Waiting | Self::Done(..) => None,
        }
    }
}

impl Target {
    /// The servers whose turn it is.
    pub(super) fn new(servers: &mut Servers, options: &Connecting) -> Self {
        let ways = Ways {
            proxy: options.proxy.clone(),
            transport: options.transport.clone(),
            #[cfg(feature = "websocket")]
            websocket: options.websocket.clone(),
            #[cfg(feature = "tls")]
            tls: servers.tls().cloned(),
        };
        Self {
            servers: servers.take_turn(),
            credentials: options.credentials.clone(),
            authentication: options.authentication.clone(),
            ways,
            stuck: Arc::clone(&servers.stuck),
        }
    }

    fn first(&self) -> Option<Peer> {
        self.servers.first().cloned()
    }

    /// The only server and its address, if plain TCP to it is all that it takes.
    fn direct(&self) -> Option<(&Peer, IpAddr)> {
        let [peer] = &*self.servers else { return None };
        let Ways { proxy, transport, .. } = &self.ways;
        let is_plain = peer.scheme == Scheme::Mqtt && proxy.is_none() && transport.is_none();
        let asks_nobody = self.credentials.is_none() && self.authentication.is_none();
        let address = peer.host.parse().ok().filter(|_| is_plain && asks_nobody)?;
        Some((peer, address))
    }

    /// Tries every server.
    fn open(&self, deadline: Instant, progress: &Progress) -> io::Result<Opened> {
        let provider = self.credentials.as_ref();
        if provider.is_some() {
            progress.begin(Phase::Credentials, None);
        }
        let credentials = provider.map(CredentialsProvider::provide).transpose();
        let explain = |error: io::Error| io::Error::new(error.kind(), format!("no credentials: {error}"));
        let credentials = credentials.map_err(explain)?;
        if self.authentication.is_some() {
            progress.begin(Phase::Authentication, None);
        }
        let exchange = self.authentication.as_ref().map(Exchange::begin).transpose()?;
        let mut untried = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        let mut errors: Vec<io::Error> = Vec::new();
        for peer in &self.servers {
            let left = deadline.saturating_duration_since(Instant::now());
            if (left.is_zero() && !errors.is_empty()) || progress.is_given_up() {
                break;
            }
            // A server that never answers leaves time for the others.
            match fail_by_panic(|| open(peer, &self.ways, Instant::now() + left / untried, progress)) {
                Ok(transport) => {
                    return Ok(Opened { transport, peer: peer.clone(), credentials, exchange, place: None });
                }
                Err(error) => errors.push(named(peer, error)),
            }
            untried = untried.saturating_sub(1).max(1);
        }
        if errors.len() == 1 {
            return Err(errors.remove(0));
        }
        let kind = errors.last().map_or(io::ErrorKind::NotFound, io::Error::kind);
        let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Err(io::Error::new(kind, texts.join("; ")))
    }
}

/// Runs what may run code of the application's: its transport, its verifier, its errors as they are shown. A panic of
/// that is an error like others.
fn fail_by_panic<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let panicked = |text| Err(io::Error::other(format!("code of the application has panicked: {text}")));
    contain(act).unwrap_or_else(panicked)
}

/// Goes all the way to one server: layer by layer, all with the same deadline.
fn open(peer: &Peer, ways: &Ways, deadline: Instant, progress: &Progress) -> io::Result<Transport> {
    let mut dial = Dial::new(peer, deadline, progress)?;
    #[cfg(feature = "websocket")]
    if peer.scheme.is_websocket() {
        return open_websocket(peer, ways, &mut dial);
    }
    let socket = reach(peer, ways, &mut dial)?;
    secure(socket, peer, ways, &mut dial)
}

/// Lays TLS over the socket where the server is spoken to by it.
#[cfg(feature = "tls")]
fn secure(socket: Socket, peer: &Peer, ways: &Ways, dial: &mut Dial<'_>) -> io::Result<Transport> {
    if !peer.scheme.is_over_tls() {
        return Ok(Transport::Plain(socket));
    }
    let setup = ways.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    Ok(Transport::Tls(Box::new(tls::handshake(setup, peer, socket, dial)?)))
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "that is what it is with TLS")]
const fn secure(socket: Socket, _: &Peer, _: &Ways, _: &mut Dial<'_>) -> io::Result<Transport> {
    Ok(Transport::Plain(socket))
}

/// The error with the server that it is of.
fn named(peer: &Peer, error: io::Error) -> io::Error {
    let is_named = error.get_ref().is_some_and(|inner| inner.is::<ConnectionError>());
    if is_named { error } else { io::Error::new(error.kind(), format!("cannot connect to {peer}: {error}")) }
}

#[cfg(feature = "websocket")]
fn open_websocket(peer: &Peer, ways: &Ways, dial: &mut Dial<'_>) -> io::Result<Transport> {
    let authority = peer.authority();
    dial.begin(Phase::Request);
    let asked = ways.websocket.request(&authority);
    let asked = asked.map_err(|error| io::Error::new(error.kind(), format!("no WebSocket request: {error}")))?;
    dial.check()?;
    let socket = reach(peer, ways, dial)?;
    let mut below = secure(socket, peer, ways, dial)?;
    dial.begin(Phase::WebSocket);
    let path = asked.path.as_ref().map_or(peer.path.as_bytes(), Secret::expose);
    let request = Request { authority: &authority, path, headers: &asked.headers };
    let upgraded = upgrade(&mut Blocking::new(dial, &mut below)?, &request);
    match upgraded {
        Ok(()) => Ok(Transport::WebSocket(Box::new(WebSocket::new(below)))),
        // It names the phase by itself.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(error),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", Phase::WebSocket))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
