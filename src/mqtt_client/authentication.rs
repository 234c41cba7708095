//! Enhanced authentication (v5.0 section 4.12): the application's side of an exchange, on threads that may block.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contain::{contain, discard};
use super::options::Secret;
use super::shared::Shared;
use super::threads::spawn;
use crate::macros::equal_if_clones;

/// The client's side of one exchange of enhanced authentication (v5.0 section 4.12).
///
/// Its methods are called one after the other, each once the one before has returned, on threads that serve nothing
/// else: they may take their time, which [`Timeouts::connect`](super::Timeouts::connect) bounds. An error or a panic
/// ends the connection, and is told by [`on_error`](super::MqttEventHandler::on_error): put no secret into it. Data
/// that is empty stands for none where it comes from the server.
pub trait Authenticator: Send {
    /// The data that CONNECT, or the AUTH that begins a re-authentication, has for the server; none if the server
    /// speaks first.
    ///
    /// # Errors
    /// Whatever keeps the client from authenticating.
    fn start(&mut self) -> io::Result<Option<Secret>>;

    /// The answer to an AUTH of the server with the code 0x18 Continue authentication.
    ///
    /// # Errors
    /// The server has said something that the method does not allow.
    fn answer(&mut self, challenge: &[u8]) -> io::Result<Option<Secret>>;

    /// The server is content. `data` is what its CONNACK, or the last AUTH of a re-authentication, has for the client:
    /// for instance the proof that the server, too, knows the password. Before this has returned, nothing is sent to a
    /// server that the client was not connected to before, and nobody hears of the connection.
    ///
    /// # Errors
    /// The client is not content with the server.
    fn finish(&mut self, data: &[u8]) -> io::Result<()>;
}

/// How a client authenticates: the name of a method, and what begins each exchange of it.
///
/// ```
/// use std::io;
///
/// use flowsdk::mqtt_client::{Authentication, Authenticator, Connecting, MqttClientOptions, Secret};
///
/// /// Shows a token, and takes the server for the right one.
/// struct Token(Secret);
///
/// impl Authenticator for Token {
///     fn start(&mut self) -> io::Result<Option<Secret>> {
///         Ok(Some(self.0.clone()))
///     }
///
///     fn answer(&mut self, _challenge: &[u8]) -> io::Result<Option<Secret>> {
///         Err(io::Error::other("a token has no second step"))
///     }
///
///     fn finish(&mut self, _data: &[u8]) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// let authentication = Authentication::new("TOKEN", || Token(Secret::from("from a file that is kept fresh")));
/// let options = MqttClientOptions {
///     connecting: Connecting { authentication: Some(authentication), ..Default::default() },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct Authentication(Arc<Method>);

struct Method {
    name: String,
    begin: Box<Begin>,
}

type Begin = dyn Fn() -> Box<dyn Authenticator> + Send + Sync;

impl Authentication {
    /// Authentication by the method of this name. `begin` is called for each exchange: on every connection, and for
    /// every re-authentication.
    pub fn new<A: Authenticator + 'static>(
        method: impl Into<String>,
        begin: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Method { name: method.into(), begin: Box::new(move || Box::new(begin())) }))
    }

    /// The name of the method.
    pub fn method(&self) -> &str {
        &self.0.name
    }
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authentication").field(&self.0.name).finish()
    }
}

equal_if_clones! { Authentication }

/// An exchange that has begun. The authenticator is never called on the thread that holds this.
pub(super) struct Exchange(State);

enum State {
    Ready(Fenced),
    Busy(Arc<Reply>),
    Failed,
}

/// An authenticator, unless it has failed. Its destructor may panic.
struct Fenced(Option<Box<dyn Authenticator>>);

/// What the authenticator is asked for.
pub(super) enum Step {
    Start(Authentication),
    Answer(Secret),
    Finish(Secret),
}

struct Done {
    authenticator: Fenced,
    result: io::Result<Option<Secret>>,
}

/// What a step has come to, where nobody has taken it.
type Reply = Mutex<Option<Done>>;

/// What a step runs with: whom it wakes when it is done, and a reference that lives as long as it does.
pub(super) struct Apart<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) running: &'a Arc<()>,
}

impl Exchange {
    /// Begins on this thread, which may block.
    pub(super) fn begin(authentication: &Authentication) -> io::Result<(Self, Option<Secret>)> {
        let Done { authenticator, result } = Step::Start(authentication.clone()).run(Fenced(None));
        let data = result?;
        Ok((Self(State::of(authenticator)), data))
    }

    /// Begins on another thread.
    pub(super) fn begin_apart(authentication: &Authentication, apart: &Apart<'_>) -> io::Result<Self> {
        let mut exchange = Self(State::Failed);
        exchange.run(Step::Start(authentication.clone()), Fenced(None), apart)?;
        Ok(exchange)
    }

    /// Takes the next step on another thread.
    pub(super) fn go_on(&mut self, step: Step, apart: &Apart<'_>) -> io::Result<()> {
        match std::mem::replace(&mut self.0, State::Failed) {
            State::Ready(authenticator) => self.run(step, authenticator, apart),
            busy => {
                self.0 = busy;
                let text = "the server has gone on with the authentication before it had its answer";
                Err(io::Error::new(io::ErrorKind::InvalidData, text))
            }
        }
    }

    fn run(&mut self, step: Step, authenticator: Fenced, apart: &Apart<'_>) -> io::Result<()> {
        // One that never returns must not cost a thread for each attempt.
        if Arc::strong_count(apart.running) > 1 {
            return Err(explain(&io::Error::other("a step of an earlier exchange has not returned")));
        }
        let (shared, running) = (Arc::clone(apart.shared), Arc::clone(apart.running));
        let reply = Arc::<Reply>::default();
        let awaited = Arc::clone(&reply);
        let work = move || {
            let done = step.run(authenticator);
            drop(running);
            *lock(&reply) = Some(done);
            shared.wake();
        };
        spawn("mqtt authentication", Box::new(work))?;
        self.0 = State::Busy(awaited);
        Ok(())
    }

    /// Whether a step has not returned.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.0, State::Busy(_))
    }

    /// What the last step has come to, once.
    pub(super) fn poll(&mut self) -> Option<io::Result<Option<Secret>>> {
        let State::Busy(reply) = &self.0 else { return None };
        let Done { authenticator, result } = lock(reply).take()?;
        self.0 = State::of(authenticator);
        Some(result)
    }
}

impl State {
    fn of(authenticator: Fenced) -> Self {
        if authenticator.0.is_some() { Self::Ready(authenticator) } else { Self::Failed }
    }
}

impl Step {
    /// Whatever panics in it, this does not.
    fn run(self, mut authenticator: Fenced) -> Done {
        let ran = contain(|| {
            if let Self::Start(authentication) = &self {
                authenticator.0 = Some((authentication.0.begin)());
            }
            // It stays behind its fence: a destructor that panics behind a panic would end the process.
            let authenticator = authenticator.0.as_mut().ok_or_else(panicked)?;
            let result = match &self {
                Self::Start(_) => authenticator.start(),
                Self::Answer(challenge) => authenticator.answer(challenge.expose()),
                Self::Finish(data) => authenticator.finish(data.expose()).map(|()| None),
            };
            result.map_err(|error| explain(&error))
        });
        discard(self);
        match ran {
            Ok(result) => Done { authenticator, result },
            Err(_) => Done { authenticator: Fenced(None), result: Err(panicked()) },
        }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("is_busy", &self.is_busy()).finish()
    }
}

fn explain(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("authentication failed: {error}"))
}

fn panicked() -> io::Error {
    // What the panic says may be of the secret.
    io::Error::other("authentication failed: the authenticator has panicked")
}

fn lock(reply: &Reply) -> MutexGuard<'_, Option<Done>> {
    reply.lock().unwrap_or_else(PoisonError::into_inner)
}
