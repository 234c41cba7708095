//! The option about a proxy on the way to the servers.

use super::error::ClientError;
use super::options::Secret;
use crate::macros::Hidden;

/// A proxy through which connections are opened (feature `proxy`). It resolves the names of servers, so that the
/// client's own resolver is asked for the proxy's name alone. `Debug` shows neither user name nor password.
///
/// ```
/// use flowsdk::mqtt_client::{Connecting, MqttClientOptions, Proxy, ProxyKind, Secret};
///
/// let proxy = Proxy {
///     username: Some("gateway-7".to_string()),
///     password: Some(Secret::from("from your secret store")),
///     ..Proxy::new(ProxyKind::Http, "proxy.example:3128")
/// };
/// let options = MqttClientOptions {
///     peer: "mqtt://broker.example".to_string(),
///     connecting: Connecting { proxy: Some(proxy), ..Default::default() },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: ProxyKind,
    /// Where it is: `host:port`; IPv6 addresses stand in brackets.
    pub address: String,
    /// Who the client is to the proxy (default: nobody in particular). SOCKS5 takes 255 bytes, HTTP no colon in it.
    pub username: Option<String>,
    /// The password that belongs to it. SOCKS5 takes 255 bytes.
    pub password: Option<Secret>,
}

/// What a proxy speaks. Both are spoken in the clear; what goes through them is as safe as it is without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// HTTP/1.1 CONNECT (RFC 9110 section 9.3.6), with credentials by the Basic scheme (RFC 7617).
    Http,
    /// SOCKS version 5 (RFC 1928), with credentials by RFC 1929.
    Socks5,
}

impl Proxy {
    /// A proxy without credentials at `host:port`.
    pub fn new(kind: ProxyKind, address: &str) -> Self {
        Self { kind, address: address.to_string(), username: None, password: None }
    }

    /// Finds what would fail on every attempt.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        let invalid = |reason: &str| Err(ClientError::option("connecting.proxy", reason));
        if !cfg!(feature = "proxy") {
            return invalid("this program is built without the feature `proxy`");
        }
        if self.place().is_none() {
            return invalid(&format!("expected host:port, not {:?}", self.address));
        }
        let username = self.username.as_deref().unwrap_or_default();
        let password = self.password.as_ref().map(Secret::expose).unwrap_or_default();
        match self.kind {
            _ if self.password.is_some() && self.username.is_none() => invalid("a password needs a user name"),
            ProxyKind::Http if username.contains(':') => invalid("HTTP takes no user name with a colon (RFC 7617)"),
            ProxyKind::Socks5 if username.len().max(password.len()) > 255 => {
                invalid("SOCKS5 takes user names and passwords of up to 255 bytes (RFC 1929)")
            }
            ProxyKind::Socks5 if self.username.as_deref() == Some("") => invalid("SOCKS5 takes no empty user name"),
            _ => Ok(()),
        }
    }

    /// Host and port.
    pub(super) fn place(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let is_named = !host.is_empty() && host.bytes().all(|byte| byte > b' ' && !b"/@[]".contains(&byte));
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_named.then_some((host, port))
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, address, username, password } = self;
        f.debug_struct("Proxy")
            .field("kind", kind)
            .field("address", address)
            .field("username", &username.as_ref().map(|_| Hidden))
            .field("password", password)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_host_and_port_and_nothing_else() {
        let place =
            |address: &str| Proxy::new(ProxyKind::Http, address).place().map(|(host, port)| format!("{host} {port}"));
        assert_eq!(place("proxy.example:3128").as_deref(), Some("proxy.example 3128"));
        assert_eq!(place("[::1]:1080").as_deref(), Some("::1 1080"));
        for wrong in
            ["", "p", "p:", ":1", "p:0", "p:65536", "http://p:1", "u@p:1", "::1:1", "[::1:1", "p q:1", "p\r\n:1"]
        {
            assert_eq!(place(wrong), None, "{wrong:?}");
        }
    }

    #[cfg(feature = "proxy")]
    #[test]
    fn credentials_that_cannot_be_sent_are_refused() {
        let with = |kind, username: Option<String>, password: Option<String>| {
            Proxy { username, password: password.map(Secret::from), ..Proxy::new(kind, "p:1") }.check().is_ok()
        };
        let of = |len| Some("x".repeat(len));
        assert!(with(ProxyKind::Http, None, None) && with(ProxyKind::Socks5, None, None));
        assert!(with(ProxyKind::Http, of(1000), of(1000)) && with(ProxyKind::Socks5, of(255), of(255)));
        assert!(!with(ProxyKind::Socks5, of(256), None) && !with(ProxyKind::Socks5, of(1), of(256)));
        assert!(!with(ProxyKind::Socks5, of(0), None) && !with(ProxyKind::Http, None, of(1)));
        assert!(!with(ProxyKind::Http, Some("a:b".to_string()), None));
    }

    #[cfg(not(feature = "proxy"))]
    #[test]
    fn without_the_feature_a_proxy_is_refused() {
        let error = Proxy::new(ProxyKind::Http, "p:1").check().unwrap_err();
        assert!(error.to_string().contains("feature `proxy`"), "{error}");
    }
}
