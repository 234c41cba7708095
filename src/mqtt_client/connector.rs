use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};

use super::options::Peer;
use super::shared::Shared;
use super::transport::Transport;

/// Opens a transport on a thread of its own, as resolvers block. The worker is woken when it is there.
///
/// The thread ends by itself: at the deadline, or when the resolver comes back. Whoever drops the receiver has given up.
pub(super) fn open(peer: Peer, timeout: Duration, shared: Arc<Shared>) -> io::Result<Receiver<io::Result<Transport>>> {
    let (sender, receiver) = bounded(1);
    thread::Builder::new().name("flowsdk connect".to_string()).spawn(move || {
        let transport = connect(&peer, Instant::now() + timeout).and_then(Transport::tcp);
        let _ = sender.send(transport);
        shared.wake();
    })?;
    Ok(receiver)
}

/// Tries every address of the peer.
fn connect(peer: &Peer, deadline: Instant) -> io::Result<TcpStream> {
    let name = format!("{}:{}", peer.host, peer.port);
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {name}: {error}"));
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let addresses: Vec<_> = (peer.host.as_str(), peer.port).to_socket_addrs().map_err(explain)?.collect();
    for (address, untried) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = deadline.saturating_duration_since(Instant::now());
        // An address that never answers leaves time for the others.
        let share = left / u32::try_from(untried).unwrap_or(u32::MAX);
        if share.is_zero() {
            last_error = io::ErrorKind::TimedOut.into();
            break;
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = error,
        }
    }
    Err(explain(last_error))
}
