//! The first steps to a server: to a socket over which it is spoken to.

use std::io;

use super::connector::Ways;
use super::dial::{Dial, Phase};
use super::peer::{Peer, Scheme};
use super::proxy::Proxy;
use super::transport::Socket;
#[cfg(feature = "proxy")]
use super::{blocking::Blocking, transport::proxy::handshake};

/// A socket that leads to the server.
pub(super) fn reach(peer: &Peer, ways: &Ways, dial: &mut Dial<'_>) -> io::Result<Socket> {
    if let Some(factory) = &ways.transport {
        dial.begin(Phase::Factory);
        return factory.open(&peer.host, peer.port).map(Socket::custom);
    }
    match &ways.proxy {
        _ if peer.scheme == Scheme::Unix => dial.connect_unix(&peer.host),
        None => dial.connect(&peer.host, peer.port),
        Some(proxy) => {
            let connected = connect_through(proxy, peer, dial);
            connected.map_err(|error| io::Error::new(error.kind(), format!("proxy {}: {error}", proxy.address)))
        }
    }
}

#[cfg(feature = "proxy")]
fn connect_through(proxy: &Proxy, peer: &Peer, dial: &mut Dial<'_>) -> io::Result<Socket> {
    let (host, port) = proxy.place().ok_or(io::ErrorKind::InvalidInput)?;
    let mut socket = dial.connect(host, port)?;
    dial.begin(Phase::Proxy);
    handshake(&mut Blocking::new(dial, &mut socket)?, proxy, &peer.host, peer.port)?;
    Ok(socket)
}

#[cfg(not(feature = "proxy"))]
fn connect_through(_: &Proxy, _: &Peer, _: &mut Dial<'_>) -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}
