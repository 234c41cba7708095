//! Where brokers are, and which of them is tried next.

use std::sync::{Arc, Mutex};

use zeroize::Zeroize;

use super::connecting::{Credentials, Redirects};
use super::connector::Stuck;
use super::error::ClientError;
use super::options::MqttClientOptions;
use super::peer::{Peer, without_secrets};
#[cfg(feature = "tls")]
use super::tls::TlsSetup;

/// How many servers of one reference are tried: an attempt has its time for all of them together.
const MAX_REFERRED: usize = 16;

/// The servers of a client, and which is next.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    /// Those of the options.
    configured: Vec<Peer>,
    /// Those that are tried, beginning with the next one; never empty.
    in_turn: Vec<Peer>,
    /// Those that the next attempt begins with, once.
    referred: Vec<Peer>,
    /// The one that the last attempt has reached.
    reached: Option<Peer>,
    /// The one that was reached last, by any attempt.
    last: Option<Peer>,
    /// Attempts that were given up and have not come back.
    pub(super) stuck: Arc<Mutex<Stuck>>,
    /// For those of them that need it.
    #[cfg(feature = "tls")]
    tls: Option<Arc<TlsSetup>>,
}

impl std::fmt::Display for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, peer) in self.in_turn.iter().enumerate() {
            write!(f, "{}{peer}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Servers {
    /// Takes the servers out of the options. What they hold of user names and passwords moves to where those belong.
    pub(super) fn take(options: &mut MqttClientOptions) -> Result<Self, ClientError> {
        let (first, mut found) = Peer::parse("peer", &options.peer)?;
        let mut configured = vec![first];
        for server in &options.connecting.servers {
            let (peer, credentials) = Peer::parse("connecting.servers", server)?;
            configured.push(peer);
            if let Some(credentials) = credentials
                && *found.get_or_insert_with(|| credentials.clone()) != credentials
            {
                return Err(ClientError::option("connecting.servers", "all servers are given the same credentials"));
            }
        }
        if let Some(found) = found {
            set_credentials(options, found)?;
        }
        for server in options.connecting.servers.iter_mut().chain([&mut options.peer]) {
            let shown = without_secrets(server);
            server.zeroize();
            *server = shown;
        }
        Ok(Self {
            #[cfg(feature = "tls")]
            tls: tls_setup(&configured, options)?,
            in_turn: configured.clone(),
            configured,
            referred: Vec::new(),
            reached: None,
            last: None,
            stuck: Arc::default(),
        })
    }

    #[cfg(feature = "tls")]
    pub(super) const fn tls(&self) -> Option<&Arc<TlsSetup>> {
        self.tls.as_ref()
    }

    /// Those of the options are tried again, in their order.
    pub(super) fn restart(&mut self) {
        self.in_turn.clone_from(&self.configured);
        self.referred.clear();
    }

    /// What an attempt tries, in this order.
    pub(super) fn take_turn(&mut self) -> Vec<Peer> {
        self.reached = None;
        let mut turn = std::mem::take(&mut self.referred);
        turn.extend(self.in_turn.iter().cloned());
        turn
    }

    /// One of them was reached: the next attempt begins with it.
    pub(super) fn note_reached(&mut self, peer: Peer) {
        if let Some(place) = self.in_turn.iter().position(|known| *known == peer) {
            self.in_turn.rotate_left(place);
        }
        self.last = Some(peer.clone());
        self.reached = Some(peer);
    }

    /// The name of the one that was reached last.
    pub(super) fn last(&self) -> String {
        self.last.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The attempt has come to nothing: the next one begins with another server.
    pub(super) fn skip(&mut self) {
        if self.reached.take().is_none_or(|reached| self.in_turn.first() == Some(&reached)) {
            self.in_turn.rotate_left(1);
        }
    }

    /// The server refers to others; whether one of them will be tried.
    pub(super) fn follow(&mut self, reference: &str, has_moved: bool, policy: Redirects) -> bool {
        if policy == Redirects::Refuse {
            return false;
        }
        let Some(from) = &self.last else { return false };
        // Section 4.11: a list with spaces between its members.
        let peers: Vec<_> = reference.split(' ').filter_map(|peer| from.referred(peer)).take(MAX_REFERRED).collect();
        if peers.is_empty() {
            return false;
        }
        if has_moved {
            self.in_turn = peers;
        } else {
            self.referred = peers;
        }
        true
    }
}

/// What TLS needs, if a server does. One that refers to others leads to TLS only if it is reached by TLS itself.
#[cfg(feature = "tls")]
fn tls_setup(servers: &[Peer], options: &MqttClientOptions) -> Result<Option<Arc<TlsSetup>>, ClientError> {
    let mut over_tls = servers.iter().filter(|peer| peer.scheme.is_over_tls()).peekable();
    if over_tls.peek().is_none() {
        return Ok(None);
    }
    let setup = TlsSetup::new(&options.tls)?;
    over_tls.try_for_each(|peer| setup.name(&peer.host).map(drop))?;
    Ok(Some(Arc::new(setup)))
}

fn set_credentials(options: &mut MqttClientOptions, found: Credentials) -> Result<(), ClientError> {
    let Credentials { username, password } = found;
    let conflict = if options.connecting.credentials.is_some() {
        Some("a user name or password stands there, and connecting.credentials is set, too")
    } else if username.is_some() && options.username.as_ref().is_some_and(|set| Some(set) != username.as_ref()) {
        Some("another user name stands there than in username")
    } else if password.is_some() && options.password.as_ref().is_some_and(|set| Some(set) != password.as_ref()) {
        Some("another password stands there than in password")
    } else {
        None
    };
    if let Some(conflict) = conflict {
        return Err(ClientError::option("peer", conflict));
    }
    options.username = options.username.take().or(username);
    options.password = options.password.take().or(password);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt_client::connecting::Connecting;

    fn servers(more: &[&str]) -> Servers {
        let more = more.iter().map(ToString::to_string).collect();
        let connecting = Connecting { servers: more, ..Default::default() };
        Servers::take(&mut MqttClientOptions { peer: "a".to_string(), connecting, ..Default::default() }).unwrap()
    }

    fn peer(text: &str) -> Peer {
        Peer::parse("peer", text).unwrap().0
    }

    fn turn(servers: &mut Servers) -> String {
        servers.take_turn().iter().map(|peer| peer.host.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_attempt_begins_with_the_server_that_was_reached_unless_it_was_of_no_use() {
        let mut servers = servers(&["b", "c"]);
        assert_eq!(turn(&mut servers), "a b c");
        servers.note_reached(peer("b"));
        assert_eq!(turn(&mut servers), "b c a");
        servers.skip();
        assert_eq!(turn(&mut servers), "c a b", "none was reached");
        servers.note_reached(peer("x"));
        servers.skip();
        assert_eq!(turn(&mut servers), "c a b", "the one of no use is not the first one");
        servers.restart();
        assert_eq!(turn(&mut servers), "a b c");
    }

    #[test]
    fn a_reference_is_followed_once_and_a_move_until_a_restart() {
        let mut servers = servers(&["b"]);
        servers.note_reached(peer("a"));
        assert!(!servers.follow("x y", false, Redirects::Refuse));
        assert!(!servers.follow("ws://x  mqtts://y u@z", false, Redirects::Follow), "another way, or credentials");
        assert!(servers.follow("x mqtt://y:1", false, Redirects::Follow));
        assert_eq!(turn(&mut servers), "x y a b");
        assert_eq!(turn(&mut servers), "a b");
        assert!(servers.follow("x", true, Redirects::Follow));
        assert_eq!((turn(&mut servers), turn(&mut servers)), ("x".to_string(), "x".to_string()));
        servers.restart();
        assert_eq!(turn(&mut servers), "a b");
        assert!(servers.follow(&"x ".repeat(30_000), false, Redirects::Follow));
        assert_eq!(servers.take_turn().len(), MAX_REFERRED + 2);
    }
}
