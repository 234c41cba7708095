//! Where a broker is, and by which way: the one parser of `peer`, `connecting.servers` and the references of servers.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use zeroize::Zeroizing;

use super::connecting::Credentials;
use super::error::ClientError;
use super::options::Secret;

/// What the application can name.
const SCHEMES: &str = "it is mqtt, mqtts, ws, wss or unix";

/// The way to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
    Unix,
}

/// A broker. Nothing of it is secret but what may stand in the query of its path, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) scheme: Scheme,
    /// A name or an address without brackets; for [`Scheme::Unix`] the path of the socket.
    pub(super) host: String,
    /// Of no meaning for [`Scheme::Unix`].
    pub(super) port: u16,
    /// Path and query of a WebSocket, as they are written; may be empty.
    pub(super) path: Zeroizing<String>,
}

impl Scheme {
    fn named(name: &str) -> Option<Self> {
        // "tcp", "ssl" and "tls" are what other clients call these ways.
        let over_tcp = [("mqtt", Self::Mqtt), ("tcp", Self::Mqtt)];
        let over_tls = [("mqtts", Self::Mqtts), ("ssl", Self::Mqtts), ("tls", Self::Mqtts)];
        let others = [("ws", Self::Ws), ("wss", Self::Wss), ("unix", Self::Unix)];
        let mut all = over_tcp.into_iter().chain(over_tls).chain(others);
        all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, scheme)| scheme)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
            Self::Unix => "unix",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
            Self::Unix => 0,
        }
    }

    pub(super) const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    #[cfg(feature = "tls")]
    pub(super) const fn is_over_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// Why it cannot be used here.
    const fn lack(self) -> Option<&'static str> {
        match self {
            Self::Mqtt => None,
            Self::Mqtts if cfg!(feature = "tls") => None,
            Self::Mqtts => Some("needs the feature `tls`, which this program is built without"),
            Self::Ws if cfg!(feature = "websocket") => None,
            Self::Ws => Some("needs the feature `websocket`, which this program is built without"),
            Self::Wss if cfg!(all(feature = "tls", feature = "websocket")) => None,
            Self::Wss => Some("needs the features `tls` and `websocket`, which this program is built without"),
            Self::Unix if cfg!(unix) => None,
            Self::Unix => Some("is not supported: this system has no Unix sockets"),
        }
    }
}

impl Peer {
    /// A broker as options name it, and the credentials in it.
    pub(super) fn parse(option: &'static str, text: &str) -> Result<(Self, Option<Credentials>), ClientError> {
        let invalid = |reason: String| ClientError::option(option, format!("{:?}: {reason}", without_secrets(text)));
        let (peer, credentials) = Self::parse_url(text).map_err(|reason| invalid(reason.into_owned()))?;
        if let Some(lack) = peer.scheme.lack() {
            return Err(invalid(format!("the scheme {} {lack}", peer.scheme.name())));
        }
        Ok((peer, credentials))
    }

    /// The broker that another one refers to (v5.0 section 4.11). It is reached by the same way: a server must not lead
    /// to a weaker one, nor give credentials.
    pub(super) fn referred(&self, reference: &str) -> Option<Self> {
        if self.scheme == Scheme::Unix {
            return None;
        }
        let has_scheme = reference.contains("://");
        let url =
            if has_scheme { Cow::Borrowed(reference) } else { format!("{}://{reference}", self.scheme.name()).into() };
        let (mut peer, credentials) = Self::parse_url(&url).ok()?;
        if peer.path.is_empty() {
            peer.path.clone_from(&self.path);
        }
        (peer.scheme == self.scheme && credentials.is_none()).then_some(peer)
    }

    fn parse_url(text: &str) -> Result<(Self, Option<Credentials>), Cow<'static, str>> {
        if let Some((scheme, path)) = text.split_once(':')
            && Scheme::named(scheme) == Some(Scheme::Unix)
        {
            return Ok((Self::parse_unix(path)?, None));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) => {
                let unknown = match name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    true => Cow::Owned(format!("the scheme {name}:// is not supported: {SCHEMES}")),
                    false => "the scheme is not supported".into(),
                };
                (Scheme::named(name).ok_or(unknown)?, rest)
            }
            None => (Scheme::Mqtt, text),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, address) = match authority.rsplit_once('@') {
            Some(_) if !text.contains("://") => return Err("a user name needs a scheme: mqtt://user@host".into()),
            Some((user_info, address)) => (Some(parse_user_info(user_info)?), address),
            None => (None, authority),
        };
        if path.contains('@') {
            return Err("in a user name or password / ? # and @ are written as %2F %3F %23 and %40".into());
        }
        let (host, port) = parse_address(address)?;
        let path = match path {
            "/" if !scheme.is_websocket() => "",
            path if path.contains('#') => return Err("a fragment (#) has no meaning here".into()),
            path if !path.is_empty() && !scheme.is_websocket() => {
                return Err("only ws:// and wss:// have a path or a query".into());
            }
            path if path.contains(is_odd) => return Err("the path has a space or a control character".into()),
            path => path,
        };
        let peer = Self {
            scheme,
            host: host.to_string(),
            port: port.unwrap_or(scheme.default_port()),
            path: Zeroizing::new(path.to_string()),
        };
        Ok((peer, credentials))
    }

    fn parse_unix(path: &str) -> Result<Self, &'static str> {
        let path = match path.strip_prefix("//") {
            Some(path) if path.starts_with('/') => path,
            Some(_) => return Err("a socket is named by its path alone: unix:/path or unix:///path"),
            None => path,
        };
        if path.is_empty() || path.contains('\0') {
            return Err("expected unix:/path or unix:///path");
        }
        Ok(Self { scheme: Scheme::Unix, host: path.to_string(), port: 0, path: Zeroizing::default() })
    }
}

/// Host and port of `host`, `host:port`, `[address]` or `[address]:port`.
fn parse_address(address: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
            let (address, _zone) = host.split_once('%').unwrap_or((host, ""));
            address.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err("behind the bracket comes a colon with the port, or nothing"),
                port => (host, port),
            }
        }
        None => match address.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address stands in brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() || host.contains(is_odd) || host.contains(['@', '[', ']', '\\']) {
        return Err("expected host:port or scheme://host:port");
    }
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let parse = |port: &str| Some(port).filter(is_number)?.parse().ok().filter(|port| *port != 0);
    match port {
        Some(port) => parse(port).map(|port| (host, Some(port))).ok_or("the port is a number from 1 to 65535"),
        None => Ok((host, None)),
    }
}

fn parse_user_info(user_info: &str) -> Result<Credentials, &'static str> {
    let (username, password) = match user_info.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (user_info, None),
    };
    let username = String::from_utf8(decode_percent(username)?).map_err(|_| "the user name is no UTF-8")?;
    let password = password.map(decode_percent).transpose()?.map(Secret::from);
    Ok(Credentials { username: Some(username).filter(|name| !name.is_empty()), password })
}

/// The bytes that a text with `%40` for `@` and the like stands for.
fn decode_percent(text: &str) -> Result<Vec<u8>, &'static str> {
    const WRONG: &str =
        "in a user name or password % is followed by two hexadecimal digits; % itself is written as %25";
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or(WRONG)?;
        decoded.push(u8::try_from(high * 16 + low).map_err(|_| WRONG)?);
    }
    Ok(std::mem::take(&mut *decoded))
}

fn is_odd(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// What may be shown of a broker as it is written in options, right or wrong: neither user name, password nor query.
pub(super) fn without_secrets(text: &str) -> String {
    if text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        return text.to_string();
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('@') => (format!("{scheme}://"), rest),
        Some(_) => return "…".to_string(),
        None => (String::new(), text),
    };
    let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.rfind('@') {
        // A password may have been written as it is.
        Some(at) if at > authority_len => format!("{scheme}…"),
        Some(at) => format!("{scheme}…@{}", without_query(&rest[at + 1..])),
        None => format!("{scheme}{}", without_query(rest)),
    }
}

fn without_query(text: &str) -> String {
    text.split_once('?').map_or_else(|| text.to_string(), |(path, _)| format!("{path}?…"))
}

#[cfg(feature = "websocket")]
impl Peer {
    /// Host and port as they stand in a URL, without the scheme's own port.
    pub(super) fn authority(&self) -> String {
        let Self { scheme, host, port, .. } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        if *port == scheme.default_port() { host } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, .. } = self;
        match scheme {
            Scheme::Unix => return write!(f, "unix:{host}"),
            Scheme::Mqtt => {}
            scheme => write!(f, "{}://", scheme.name())?,
        }
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Peer, Option<Credentials>), String> {
        Peer::parse_url(text).map_err(Cow::into_owned)
    }

    #[track_caller]
    fn parts(text: &str) -> (Scheme, String, u16, String) {
        let (Peer { scheme, host, port, path }, credentials) = parse(text).unwrap();
        assert_eq!(credentials, None);
        (scheme, host, port, path.to_string())
    }

    #[test]
    fn a_broker_is_named_by_host_and_port_or_by_a_url() {
        use Scheme::{Mqtt, Mqtts, Unix, Ws, Wss};
        for (text, scheme, host, port, path) in [
            ("a", Mqtt, "a", 1883, ""),
            ("a.b:1", Mqtt, "a.b", 1, ""),
            ("[::1]", Mqtt, "::1", 1883, ""),
            ("[fe80::1%eth0]:65535", Mqtt, "fe80::1%eth0", 65_535, ""),
            ("mqtt://a", Mqtt, "a", 1883, ""),
            ("tcp://a:2/", Mqtt, "a", 2, ""),
            ("MQTTS://a", Mqtts, "a", 8883, ""),
            ("ssl://a", Mqtts, "a", 8883, ""),
            ("tls://a:1", Mqtts, "a", 1, ""),
            ("mqtts://[::1]:3", Mqtts, "::1", 3, ""),
            ("ws://a", Ws, "a", 80, ""),
            ("wss://a/mqtt?x=1&y", Wss, "a", 443, "/mqtt?x=1&y"),
            ("ws://a:81?x", Ws, "a", 81, "?x"),
            ("unix:/run/mqtt.sock", Unix, "/run/mqtt.sock", 0, ""),
            ("unix:///run/a b@c", Unix, "/run/a b@c", 0, ""),
            ("unix:here", Unix, "here", 0, ""),
        ] {
            assert_eq!(parts(text), (scheme, host.to_string(), port, path.to_string()), "{text}");
        }
    }

    #[test]
    fn user_info_is_decoded() {
        let credentials = |text: &str| parse(text).unwrap().1.unwrap();
        let expected = |username: Option<&str>, password: Option<&[u8]>| Credentials {
            username: username.map(str::to_string),
            password: password.map(|password| Secret::from(password.to_vec())),
        };
        assert_eq!(credentials("mqtt://u@h"), expected(Some("u"), None));
        assert_eq!(credentials("mqtt://u:@h"), expected(Some("u"), Some(b"")));
        assert_eq!(credentials("mqtt://:p@h"), expected(None, Some(b"p")));
        assert_eq!(credentials("ws://%C3%bc:a:b%2F%ff@[::1]:1/x"), expected(Some("\u{fc}"), Some(b"a:b/\xFF")));
        assert_eq!(credentials("mqtt://a@b:c@d@h"), expected(Some("a@b"), Some(b"c@d")));
    }

    #[test]
    fn every_mistake_is_named_and_no_secret_is() {
        for (text, reason) in [
            ("", "expected host:port"),
            (":1", "expected host:port"),
            ("a b", "expected host:port"),
            ("mqtt://", "expected host:port"),
            ("mqtt://u:secret@", "expected host:port"),
            ("a:0", "port"),
            ("a:65536", "port"),
            ("a:+1", "port"),
            ("a:", "port"),
            ("::1", "brackets"),
            ("[::1", "bracket"),
            ("[1.2.3.4]", "no IPv6"),
            ("[::1]1", "colon"),
            ("http://u:secret@a", "http:// is not supported: it is mqtt, mqtts, ws, wss or unix"),
            ("u:secret@a", "needs a scheme"),
            ("u:secret@x://a", "not supported"),
            ("mqtt://u:secret@a/path", "only ws"),
            ("mqtt://u:secret?x@a", "%3F"),
            ("mqtt://u:secret/x@a", "%2F"),
            ("wss://a/x?token=secret#f", "fragment"),
            ("wss://a/x?token=sec ret", "space"),
            ("mqtt://u:secret%@a", "%25"),
            ("mqtt://u:secret%2@a", "%25"),
            ("mqtt://%ff:secret@a", "UTF-8"),
            ("unix:", "unix:/path"),
            ("unix://host/path", "path alone"),
            ("unix:a\0b", "unix:/path"),
        ] {
            let error = Peer::parse("peer", text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret") && !error.contains("sec ret"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_of_a_broker_has_no_secret() {
        for (text, shown) in [
            ("a:1", "a:1"),
            ("mqtt://u:p@a:1", "mqtt://…@a:1"),
            ("u:p@a:1", "…@a:1"),
            ("mqtt://u:p/q@a", "mqtt://…"),
            ("wss://u@a/x?token=b", "wss://…@a/x?…"),
            ("wss://a/x?token=b@c", "wss://…"),
            ("u@x://y", "…"),
            ("UNIX:/a@b?c", "UNIX:/a@b?c"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        let shown = |text: &str| parse(text).unwrap().0.to_string();
        assert_eq!(shown("mqtt://u:p@[::1]"), "[::1]:1883");
        assert_eq!(shown("wss://a/x?token"), "wss://a:443");
        assert_eq!(shown("unix:///a"), "unix:/a");
    }

    #[test]
    fn a_reference_keeps_the_way() {
        let referred = |from: &str, to: &str| parse(from).unwrap().0.referred(to).map(|peer| peer.to_string());
        assert_eq!(referred("mqtts://a:1", "b").as_deref(), Some("mqtts://b:8883"));
        assert_eq!(referred("mqtts://a", "b:2").as_deref(), Some("mqtts://b:2"));
        assert_eq!(referred("mqtts://a", "mqtts://b").as_deref(), Some("mqtts://b:8883"));
        for weaker in ["mqtt://b", "ws://b", "mqtts://u:p@b", "unix:/b", ""] {
            assert_eq!(referred("mqtts://a", weaker), None, "{weaker}");
        }
        assert_eq!(referred("unix:/a", "b"), None);
        let path = |to: &str| parse("wss://a/x").unwrap().0.referred(to).unwrap().path.to_string();
        assert_eq!((path("b"), path("b/y")), ("/x".to_string(), "/y".to_string()));
    }
}
