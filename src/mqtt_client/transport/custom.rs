use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Wake, Waker};

#[cfg(unix)]
use std::cell::RefCell;
#[cfg(unix)]
use std::os::fd::RawFd;

use mio::{Registry, Token};

use crate::mqtt_client::custom::{CustomTransport, Readiness};
use crate::mqtt_client::shared::Shared;

/// The application's transport in the place of a socket.
pub(in crate::mqtt_client) struct CustomSocket {
    stream: Box<dyn CustomTransport>,
    signal: Arc<Signal>,
    waker: Waker,
    /// What is watched, and where.
    #[cfg(unix)]
    watched: Option<(Registry, Vec<RawFd>)>,
}

/// What the transport's waker does.
#[derive(Default)]
struct Signal {
    is_given: AtomicBool,
    listener: Mutex<Listener>,
}

/// Who waits for the transport.
#[derive(Clone, Default)]
pub(in crate::mqtt_client) enum Listener {
    #[default]
    Nobody,
    /// The thread that opens the connection.
    #[cfg(any(feature = "proxy", feature = "tls", feature = "websocket"))]
    Poll(Arc<mio::Waker>),
    /// The worker, for this client.
    Worker(Weak<Shared>),
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_given.store(true, Ordering::Release);
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match listener {
            Listener::Nobody => {}
            // If it fails, the thread goes on until its deadline.
            #[cfg(any(feature = "proxy", feature = "tls", feature = "websocket"))]
            Listener::Poll(waker) => drop(waker.wake()),
            Listener::Worker(shared) => {
                if let Some(shared) = shared.upgrade() {
                    shared.wake();
                }
            }
        }
    }
}

impl CustomSocket {
    pub(in crate::mqtt_client) fn new(stream: Box<dyn CustomTransport>) -> Self {
        let signal = Arc::<Signal>::default();
        let waker = Waker::from(Arc::clone(&signal));
        Self {
            stream,
            signal,
            waker,
            #[cfg(unix)]
            watched: None,
        }
    }

    /// Who is woken from now on.
    pub(in crate::mqtt_client) fn set_listener(&self, listener: Listener) {
        *self.signal.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }

    /// Whether its waker was used since the last call.
    pub(super) fn take_signal(&self) -> bool {
        self.signal.is_given.swap(false, Ordering::Acquire)
    }

    #[cfg(unix)]
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.deregister();
        let readiness = Readiness { waker: &self.waker, registry, token, watched: RefCell::default() };
        let result = self.stream.watch(&readiness);
        self.watched = Some((registry.try_clone()?, readiness.watched.into_inner()));
        result
    }

    #[cfg(not(unix))]
    pub(super) fn register(&mut self, _: &Registry, _: Token) -> io::Result<()> {
        self.stream.watch(&Readiness { waker: &self.waker })
    }

    pub(super) fn deregister(&mut self) {
        #[cfg(unix)]
        if let Some((registry, watched)) = self.watched.take() {
            for fd in watched {
                // One that was closed has left by itself.
                let _ = registry.deregister(&mut mio::unix::SourceFd(&fd));
            }
        }
    }

    pub(super) fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.finish_writing()
    }
}

impl Read for CustomSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        if len > buffer.len() {
            return Err(io::Error::other("the transport says that it has read more than there was room for"));
        }
        Ok(len)
    }
}

impl Write for CustomSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.stream.write(bytes)?;
        if len > bytes.len() {
            return Err(io::Error::other("the transport says that it has written more than it was given"));
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Drop for CustomSocket {
    /// A descriptor that others have, too, does not leave the poll by being closed.
    fn drop(&mut self) {
        self.deregister();
    }
}

impl std::fmt::Debug for CustomSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomSocket")
    }
}
