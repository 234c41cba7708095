//! The way to a server that is given by its address and spoken to by plain TCP. Nothing on it blocks, so it needs no
//! thread.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::dial::{Phase, Progress, outcome};
use super::peer::Peer;
use super::transport::Socket;

/// A connection that is being made on the worker.
#[derive(Debug)]
pub(super) struct Direct {
    peer: Peer,
    deadline: Instant,
    progress: Progress,
    /// None once it is made or has failed.
    stream: Option<TcpStream>,
    is_registered: bool,
    /// The poll has told of it since it was looked at.
    was_told: bool,
    /// Its place among those of the runtime.
    place: Arc<()>,
}

impl Direct {
    pub(super) fn begin(peer: &Peer, address: IpAddr, deadline: Instant, place: Arc<()>) -> io::Result<Self> {
        let progress = Progress::default();
        progress.begin(Phase::Tcp, Some(peer));
        let stream = Some(TcpStream::connect((address, peer.port).into())?);
        let peer = peer.clone();
        Ok(Self { peer, deadline, progress, stream, is_registered: false, was_told: false, place })
    }

    /// The poll tells of it.
    pub(super) const fn note_readiness(&mut self) {
        self.was_told = true;
    }

    /// What it has come to, once. Before the poll has told of it that is not known: not every system says the truth then.
    pub(super) fn poll(&mut self, registry: &Registry, token: Token) -> Option<io::Result<Socket>> {
        self.try_finish(registry, token).transpose()
    }

    fn try_finish(&mut self, registry: &Registry, token: Token) -> io::Result<Option<Socket>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        if !std::mem::replace(&mut self.is_registered, true) {
            registry.register(stream, token, Interest::WRITABLE)?;
        }
        if !std::mem::take(&mut self.was_told) {
            return Ok(None);
        }
        let Some(made) = outcome(stream) else { return Ok(None) };
        registry.deregister(stream)?;
        let stream = self.stream.take();
        made?;
        stream.map(Socket::tcp).transpose()
    }

    /// Its place, which it has until the server has taken the connection.
    pub(super) fn place(&self) -> Arc<()> {
        Arc::clone(&self.place)
    }

    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// When it has to be made.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The error of one whose time is over.
    pub(super) fn timed_out(&self) -> io::Error {
        self.progress.timed_out()
    }
}
