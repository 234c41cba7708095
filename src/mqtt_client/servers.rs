//! Where brokers are, and which of them is tried next.

use super::connecting::Redirects;
use super::error::ClientError;
use super::options::MqttClientOptions;

/// Host and port of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) host: String,
    pub(super) port: u16,
}

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
}

impl Peer {
    pub(super) fn parse(option: &'static str, peer: &str) -> Result<Self, ClientError> {
        let invalid = |reason: &str| ClientError::option(option, format!("{peer:?}: {reason}"));
        let authority = match peer.split_once("://") {
            Some(("mqtt" | "tcp", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some((scheme, _)) => return Err(invalid(&format!("the scheme {scheme}:// is not supported"))),
            None => peer,
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(|| invalid("the bracket is not closed"))?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("1883")))
            }
            None => match authority.split_once(':') {
                Some((_, port)) if port.contains(':') => return Err(invalid("an IPv6 address stands in brackets")),
                Some((host, port)) => (host, Some(port)),
                None => (authority, Some("1883")),
            },
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(invalid("expected host:port or mqtt://host:port"));
        }
        let port = port.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        let port = port.ok_or_else(|| invalid("the port is a number from 1 to 65535"))?;
        Ok(Self { host: host.to_string(), port })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
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
    pub(super) fn parse(options: &MqttClientOptions) -> Result<Self, ClientError> {
        let mut configured = vec![Peer::parse("peer", &options.peer)?];
        for server in &options.connecting.servers {
            configured.push(Peer::parse("connecting.servers", server)?);
        }
        Ok(Self { in_turn: configured.clone(), configured, referred: Vec::new(), reached: None })
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
        self.reached = Some(peer);
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
        // Section 4.11: a list with spaces between its members.
        let peers: Vec<_> = reference.split(' ').filter_map(|peer| Peer::parse("peer", peer).ok()).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt_client::connecting::Connecting;

    fn servers(more: &[&str]) -> Servers {
        let more = more.iter().map(ToString::to_string).collect();
        let connecting = Connecting { servers: more, ..Default::default() };
        Servers::parse(&MqttClientOptions { peer: "a".to_string(), connecting, ..Default::default() }).unwrap()
    }

    fn turn(servers: &mut Servers) -> String {
        servers.take_turn().iter().map(|peer| peer.host.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_attempt_begins_with_the_server_that_was_reached_unless_it_was_of_no_use() {
        let mut servers = servers(&["b", "c"]);
        assert_eq!(turn(&mut servers), "a b c");
        let b = Peer::parse("peer", "b").unwrap();
        servers.note_reached(b);
        assert_eq!(turn(&mut servers), "b c a");
        servers.skip();
        assert_eq!(turn(&mut servers), "c a b", "none was reached");
        servers.note_reached(Peer::parse("peer", "x").unwrap());
        servers.skip();
        assert_eq!(turn(&mut servers), "c a b", "the one of no use is not the first one");
        servers.restart();
        assert_eq!(turn(&mut servers), "a b c");
    }

    #[test]
    fn a_reference_is_followed_once_and_a_move_until_a_restart() {
        let mut servers = servers(&["b"]);
        assert!(!servers.follow("x y", false, Redirects::Refuse));
        assert!(!servers.follow("ws://x  mqtts://y", false, Redirects::Follow), "no such transport");
        assert!(servers.follow("x mqtt://y:1", false, Redirects::Follow));
        assert_eq!(turn(&mut servers), "x y a b");
        assert_eq!(turn(&mut servers), "a b");
        assert!(servers.follow("x", true, Redirects::Follow));
        assert_eq!((turn(&mut servers), turn(&mut servers)), ("x".to_string(), "x".to_string()));
        servers.restart();
        assert_eq!(turn(&mut servers), "a b");
    }
}
