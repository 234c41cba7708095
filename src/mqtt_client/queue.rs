//! What waits for the worker.

use super::command::{Acknowledgement, Command, MAX_RUN, Plain, Run};
use super::error::ClientError;
use super::token::Token;
use crate::types::QoS;

/// What the handle and the callbacks have handed to the worker.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) commands: Vec<Command>,
    pub(super) acknowledgements: Vec<Acknowledgement>,
    /// The token that was given last.
    pub(super) last_token: u64,
    /// Places and bytes of commands the worker has not finished with.
    pub(super) places: usize,
    pub(super) bytes: usize,
    /// Commands that take no place and that the worker has not begun with.
    pub(super) controls: usize,
    /// Messages among the commands, those that the worker has just taken, and those that it keeps.
    pub(super) new: Places,
    pub(super) taken: Places,
    pub(super) pending: Places,
    /// There is a connection for them.
    pub(super) connected: bool,
    /// Where the worker keeps this client.
    pub(super) place: usize,
    /// The worker does not look at this client until it is called, or something else happens.
    pub(super) sleeping: bool,
    /// Something has happened elsewhere that the worker has to look at before it sleeps.
    pub(super) poked: bool,
    /// Nothing is accepted any more.
    pub(super) shut: bool,
    /// Buffers for runs, and for long messages.
    spares: Vec<Vec<u8>>,
    long_spares: Vec<Vec<u8>>,
}

/// Calls that take no place in the queue and wait all the same. Only who alternates between them without a pause gets
/// here.
pub(super) const MAX_CONTROLS: usize = 1000;
/// Acknowledgements by hand that wait: more than a server can have messages that are not acknowledged.
const MAX_ACKNOWLEDGEMENTS: usize = 1 << 17;
/// Bytes of the buffers that are kept for runs, and of those for long messages, one of which is kept however long it is.
const MAX_SPARE_BYTES: usize = 512 * 1024;
/// How many buffers are kept for runs.
const MAX_SPARES: usize = MAX_SPARE_BYTES / MAX_RUN;
/// A message from this size on takes a buffer that another one has left: new memory of such a size comes from the
/// system, page by page.
pub(super) const LONG: usize = 64 * 1024;

impl Queue {
    /// A run that takes another message of about so many bytes.
    fn run(&mut self, bytes: usize, qos: QoS, next: Token) -> Option<&mut Run> {
        if self.last_run(bytes, qos).is_none_or(|run| run.next_token() != next) {
            let buffer = self.run_buffer();
            self.commands.push(Command::Run(Run::new(next, qos, buffer)));
        }
        match self.commands.last_mut() {
            Some(Command::Run(run)) => Some(run),
            _ => None,
        }
    }

    /// The run that ends what waits, if it takes another message of about so many bytes.
    #[inline]
    fn last_run(&mut self, bytes: usize, qos: QoS) -> Option<&mut Run> {
        match self.commands.last_mut() {
            Some(Command::Run(run)) if run.takes(bytes, qos) => Some(run),
            _ => None,
        }
    }

    /// Keeps some of these buffers. Whether there are enough of them to be given back some time.
    pub(super) fn keep_spares(&mut self, buffers: impl Iterator<Item = Vec<u8>>) -> bool {
        for buffer in buffers {
            if buffer.capacity() >= LONG {
                self.long_spares.push(buffer);
            } else if self.spares.len() < MAX_SPARES {
                self.spares.push(buffer);
            }
        }
        let bytes = |spares: &[Vec<u8>]| spares.iter().map(Vec::capacity).sum::<usize>();
        while self.long_spares.len() > 1 && bytes(&self.long_spares) > MAX_SPARE_BYTES {
            self.long_spares.remove(0);
        }
        !self.long_spares.is_empty() || self.spares.len() > MAX_SPARES / 8
    }

    /// A buffer that takes a long message, if there is one.
    pub(super) fn take_long_spare(&mut self, room: usize) -> Option<Vec<u8>> {
        let place = self.long_spares.iter().rposition(|spare| spare.capacity() >= room)?;
        Some(self.long_spares.swap_remove(place))
    }

    pub(super) fn drop_spares(&mut self) {
        (self.spares, self.long_spares) = (Vec::new(), Vec::new());
    }

    /// A buffer for a run; a new one is empty.
    pub(super) fn run_buffer(&mut self) -> Vec<u8> {
        self.spares.pop().unwrap_or_default()
    }

    /// Adds a message of about so many bytes to the last run, or to a new one, by what `encode` puts there; its token.
    pub(super) fn push_to_run(
        &mut self,
        bytes: usize,
        qos: QoS,
        message: Plain<'_>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), ClientError>,
    ) -> Result<Token, ClientError> {
        let token = self.next_tokens(1);
        let Some(run) = self.run(bytes, qos, token) else { return Ok(token) };
        run.make_room(bytes);
        let before = run.frames.len();
        if let Err(error) = run.add(message, encode) {
            if run.count == 0 {
                self.commands.pop();
            }
            return Err(error);
        }
        let len = run.frames.len() - before;
        self.note_new(len);
        Ok(token)
    }

    /// Adds a message of about so many bytes to the last run, if it follows there as it is; its token.
    #[inline]
    pub(super) fn add_alike(&mut self, bytes: usize, qos: QoS, message: &Plain<'_>) -> Option<Token> {
        let last_token = self.last_token;
        let run = self.last_run(bytes, qos)?;
        let token = run.next_token();
        if token.0 != last_token + 1 {
            return None;
        }
        let alike = run.alike(message)?;
        run.make_room(bytes);
        let before = run.frames.len();
        run.add_alike(alike, message);
        let len = run.frames.len() - before;
        self.last_token = token.0;
        self.note_new(len);
        Some(token)
    }

    /// A message of so many bytes has come.
    const fn note_new(&mut self, len: usize) {
        self.places += 1;
        self.bytes += len;
        self.new.add(len);
    }

    /// So many tokens one after the other; the first of them.
    pub(super) const fn next_tokens(&mut self, count: usize) -> Token {
        let first = Token(self.last_token + 1);
        self.last_token += count as u64;
        first
    }

    pub(super) fn push_run(&mut self, run: Run) {
        self.places += run.count;
        self.bytes += run.frames.len();
        self.new.count += run.count;
        self.new.bytes += run.frames.len();
        self.commands.push(Command::Run(run));
    }

    /// Whether messages may be acknowledged by hand: not by who does so faster than the worker can say that it is in
    /// vain.
    pub(super) fn check_acknowledging(&self) -> Result<(), ClientError> {
        if self.shut {
            return Err(ClientError::ShutDown);
        }
        if self.acknowledgements.len() < MAX_ACKNOWLEDGEMENTS { Ok(()) } else { Err(ClientError::QueueFull) }
    }

    pub(super) fn push(&mut self, command: Command, bytes: usize) {
        self.places += 1;
        self.bytes += bytes;
        if let Command::Publish(_) = command {
            self.new.add(bytes);
        }
        self.commands.push(command);
    }
}

/// Places in the queue that are free again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Places {
    pub(super) const fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }
}
