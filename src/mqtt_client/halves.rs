//! A transport made of two streams that block.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use super::custom::{CustomTransport, Readiness};
use super::outbox::Outbox;
use super::threads::spawn;

/// Bytes that wait in each direction at most.
const BOUND: usize = 64 * 1024;
/// How long a half rests that has nothing to do and says so instead of blocking.
const REST: Duration = Duration::from_millis(1);

/// A [`CustomTransport`] of a pair of blocking halves: a serial line, pipes, whatever implements [`Read`] and
/// [`Write`].
///
/// Each half has a thread of its own, with at most 64 KiB of bytes between it and the client. A thread ends, and drops
/// its half, when the half fails or comes to its end, and otherwise when the transport is dropped: that of the writer
/// once it has written what was accepted, that of the reader when its `read` returns. Nothing can end a `read` that
/// blocks for ever, so give the reader a time-out where it has one: errors of the kinds
/// [`TimedOut`](io::ErrorKind::TimedOut) and [`WouldBlock`](io::ErrorKind::WouldBlock) mean that there is nothing yet.
///
/// ```
/// // The device is opened at each attempt to connect, not before.
/// use std::fs::OpenOptions;
///
/// use flowsdk::mqtt_client::{BlockingTransport, Connecting, MqttClientOptions, TransportFactory};
///
/// let factory = TransportFactory::new(|_host, _port| {
///     let device = OpenOptions::new().read(true).write(true).open("/dev/ttyUSB0")?;
///     Ok(Box::new(BlockingTransport::new(device.try_clone()?, device)?))
/// });
/// let options = MqttClientOptions {
///     connecting: Connecting { transport: Some(factory), ..Default::default() },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
pub struct BlockingTransport(Arc<Pipe>);

/// What the client and the two threads have in common.
struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    inbound: VecDeque<u8>,
    /// The reader's end, or its error.
    read_end: Option<io::Result<()>>,
    outbound: Outbox,
    /// The writer is busy with bytes that are in `outbound` no more.
    writing: bool,
    /// The writer's end, or its error.
    write_end: Option<io::Result<()>>,
    /// Nothing will be written behind what is there.
    finished: bool,
    /// The client has dropped the transport.
    dropped: bool,
    waker: Option<Waker>,
}

impl BlockingTransport {
    /// Starts the two threads.
    ///
    /// # Errors
    /// Those of starting a thread.
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> io::Result<Self> {
        let pipe = Arc::new(Pipe { state: Mutex::default(), changed: Condvar::new() });
        // From here on it is dropped if the second thread cannot be started, which ends the first one.
        let transport = Self(Arc::clone(&pipe));
        let end = End { pipe: Arc::clone(&pipe), of_reader: true };
        spawn("flowsdk read", Box::new(move || end.pipe.read_from(reader)))?;
        let end = End { pipe, of_reader: false };
        spawn("flowsdk write", Box::new(move || end.pipe.write_to(writer)))?;
        Ok(transport)
    }
}

impl CustomTransport for BlockingTransport {
    fn watch(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        let waker = readiness.waker();
        // What has come before is not told by the threads any more.
        waker.wake_by_ref();
        self.0.lock().waker = Some(waker);
        Ok(())
    }

    fn finish_writing(&mut self) -> io::Result<()> {
        self.0.lock().finished = true;
        self.0.changed.notify_all();
        Ok(())
    }
}

impl Read for BlockingTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if !state.inbound.is_empty() {
            let len = state.inbound.read(buffer)?;
            self.0.changed.notify_all();
            return Ok(len);
        }
        match state.read_end.take() {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(end) => {
                state.read_end = Some(Ok(()));
                end.map(|()| 0)
            }
        }
    }
}

impl Write for BlockingTransport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        state.check_writer()?;
        if state.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let len = bytes.len().min(BOUND.saturating_sub(state.outbound.len()));
        if len == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.outbound.push(bytes.get(..len).unwrap_or(bytes));
        self.0.changed.notify_all();
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.check_writer()?;
        if state.outbound.is_empty() && !state.writing { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl Drop for BlockingTransport {
    fn drop(&mut self) {
        self.0.lock().dropped = true;
        self.0.changed.notify_all();
    }
}

impl std::fmt::Debug for BlockingTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BlockingTransport")
    }
}

impl State {
    fn check_writer(&mut self) -> io::Result<()> {
        match self.write_end.take() {
            None => Ok(()),
            Some(end) => {
                self.write_end = Some(Ok(()));
                Err(end.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state is as wanted.
    fn wait_until(&self, is_wanted: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.changed.wait_while(state, |state| !is_wanted(state)).unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and has the client look at it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn read_from(&self, mut reader: impl Read) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let state = self.wait_until(|state| state.dropped || state.inbound.len() < BOUND);
            if state.dropped {
                return;
            }
            let room = buffer.len().min(BOUND - state.inbound.len());
            drop(state);
            let part = buffer.get_mut(..room).unwrap_or_default();
            match reader.read(part) {
                Ok(0) => return self.change(|state| state.read_end = Some(Ok(()))),
                Ok(len) => self.change(|state| state.inbound.extend(part.get(..len).unwrap_or(part))),
                Err(error) if is_nothing_yet(&error) => thread::park_timeout(REST),
                Err(error) => return self.change(|state| state.read_end = Some(Err(error))),
            }
        }
    }

    fn write_to(&self, mut writer: impl Write) {
        let mut chunk = Outbox::default();
        loop {
            let mut state = self.wait_until(|state| state.dropped || state.finished || !state.outbound.is_empty());
            if state.outbound.is_empty() {
                return;
            }
            std::mem::swap(&mut state.outbound, &mut chunk);
            state.writing = true;
            drop(state);
            if let Err(error) = self.write_chunk(&mut writer, chunk.as_slice()) {
                return self.change(|state| state.write_end = Some(Err(error)));
            }
            chunk.clear(BOUND);
            self.change(|state| state.writing = false);
        }
    }

    fn write_chunk(&self, writer: &mut impl Write, mut chunk: &[u8]) -> io::Result<()> {
        loop {
            let done = if chunk.is_empty() { writer.flush().map(|()| None) } else { writer.write(chunk).map(Some) };
            match done {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Some(len)) => chunk = chunk.get(len..).unwrap_or_default(),
                Err(error) if is_nothing_yet(&error) && !self.lock().dropped => thread::park_timeout(REST),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a half may be tried again.
fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Lives as long as a thread: however that ends, the client is told.
struct End {
    pipe: Arc<Pipe>,
    of_reader: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        self.pipe.change(|state| {
            let end = if self.of_reader { &mut state.read_end } else { &mut state.write_end };
            if thread::panicking() && end.is_none() {
                *end = Some(Err(io::Error::other("a half of the transport has panicked")));
            }
        });
    }
}
