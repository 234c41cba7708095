//! What is said to a proxy before the bytes are those of the server: HTTP CONNECT (RFC 9110 section 9.3.6) and SOCKS5
//! (RFC 1928, RFC 1929).

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use super::http::{Head, invalid, read_array, shown};
use crate::mqtt_client::options::Secret;
use crate::mqtt_client::proxy::{Proxy, ProxyKind};

/// Has the proxy connect `stream` to this server. Nothing is read beyond the proxy's own words.
pub(in crate::mqtt_client) fn handshake(
    stream: &mut (impl Read + Write),
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<()> {
    if host.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the server's name cannot be told to a proxy"));
    }
    match proxy.kind {
        ProxyKind::Http => connect_http(stream, proxy, host, port),
        ProxyKind::Socks5 => connect_socks5(stream, proxy, host, port),
    }
}

fn connect_http(stream: &mut (impl Read + Write), proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    // Long enough for all of it: a buffer that grows leaves a copy of the credentials behind.
    let mut request = Zeroizing::new(Vec::with_capacity(2 * authority.len() + 4 * credentials_len(proxy) / 3 + 128));
    request.extend_from_slice(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").as_bytes());
    if let Some(username) = &proxy.username {
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        let mut credentials = Zeroizing::new(Vec::with_capacity(credentials_len(proxy)));
        credentials.extend_from_slice(username.as_bytes());
        credentials.push(b':');
        credentials.extend_from_slice(password(proxy));
        append_base64(&mut request, &credentials);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request)?;
    check_status(&Head::read(stream)?)
}

fn credentials_len(proxy: &Proxy) -> usize {
    proxy.username.as_ref().map_or(0, String::len) + 1 + password(proxy).len()
}

fn password(proxy: &Proxy) -> &[u8] {
    proxy.password.as_ref().map(Secret::expose).unwrap_or_default()
}

fn check_status(head: &Head) -> io::Result<()> {
    let kind = match head.status() {
        Some(200..=299) => return Ok(()),
        Some(407) => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::ConnectionRefused,
    };
    Err(io::Error::new(kind, format!("it answers {}", head.shown_status())))
}

fn connect_socks5(stream: &mut (impl Read + Write), proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let methods: &[u8] = if proxy.username.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(methods)?;
    let [version, method] = read_array(stream)?;
    check_version(version)?;
    match (method, &proxy.username) {
        (0, _) => {}
        (2, Some(username)) => authenticate(stream, username, password(proxy))?,
        (0xFF, None) => return Err(denied("it wants a user name and a password, or another way to authenticate")),
        (0xFF, Some(_)) => return Err(denied("it takes no user name and password, but another way to authenticate")),
        (method, _) => return Err(invalid(format!("it chooses the authentication {method:#04x}, not offered to it"))),
    }
    let mut request = vec![5, 1, 0];
    match (host.parse(), u8::try_from(host.len())) {
        (Ok(std::net::IpAddr::V4(address)), _) => {
            request.push(1);
            request.extend(address.octets());
        }
        (Ok(std::net::IpAddr::V6(address)), _) => {
            request.push(4);
            request.extend(address.octets());
        }
        (Err(_), Ok(len)) => {
            request.extend([3, len]);
            request.extend(host.as_bytes());
        }
        (Err(_), Err(_)) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "SOCKS5 takes host names of up to 255 bytes"));
        }
    }
    request.extend(port.to_be_bytes());
    stream.write_all(&request)?;
    let [version, reply, _reserved, address_type] = read_array(stream)?;
    check_version(version)?;
    check_reply(reply)?;
    // Which address the proxy connects from, and the port.
    let rest = match address_type {
        1 => 4 + 2,
        3 => usize::from(read_array::<1>(stream)?[0]) + 2,
        4 => 16 + 2,
        _ => return Err(invalid(format!("its answer has an address of the unknown type {address_type:#04x}"))),
    };
    for _ in 0..rest {
        read_array::<1>(stream)?;
    }
    Ok(())
}

/// User name and password by RFC 1929.
fn authenticate(stream: &mut (impl Read + Write), username: &str, password: &[u8]) -> io::Result<()> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "SOCKS5 takes credentials of up to 255 bytes each");
    let username_len = u8::try_from(username.len()).map_err(too_long)?;
    let password_len = u8::try_from(password.len()).map_err(too_long)?;
    let mut request = Zeroizing::new(Vec::with_capacity(3 + username.len() + password.len()));
    request.extend([1, username_len]);
    request.extend_from_slice(username.as_bytes());
    request.push(password_len);
    request.extend_from_slice(password);
    stream.write_all(&request)?;
    match read_array(stream)? {
        [1, 0] => Ok(()),
        [1, _] => Err(denied("it does not take the user name and password")),
        answer => Err(invalid(format!("its answer to the password begins with {}", shown(&answer)))),
    }
}

fn check_version(version: u8) -> io::Result<()> {
    if version == 5 { Ok(()) } else { Err(invalid(format!("its answer is not SOCKS5: it begins with {version:#04x}"))) }
}

/// The reply codes of RFC 1928 section 6.
fn check_reply(reply: u8) -> io::Result<()> {
    let (kind, text) = match reply {
        0 => return Ok(()),
        1 => (io::ErrorKind::Other, "general SOCKS server failure"),
        2 => (io::ErrorKind::PermissionDenied, "connection not allowed by ruleset"),
        3 => (io::ErrorKind::NetworkUnreachable, "network unreachable"),
        4 => (io::ErrorKind::HostUnreachable, "host unreachable"),
        5 => (io::ErrorKind::ConnectionRefused, "connection refused"),
        6 => (io::ErrorKind::TimedOut, "TTL expired"),
        7 => (io::ErrorKind::Unsupported, "command not supported"),
        8 => (io::ErrorKind::Unsupported, "address type not supported"),
        _ => (io::ErrorKind::Other, "a reply code that is not assigned"),
    };
    Err(io::Error::new(kind, format!("it answers {text} ({reply:#04x})")))
}

fn denied(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

/// Appends `bytes` in base64 with padding (RFC 4648 section 4).
fn append_base64(to: &mut Vec<u8>, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 0x3F;
            let letter = usize::try_from(six).ok().and_then(|six| ALPHABET.get(six));
            to.push(letter.copied().filter(|_| place <= chunk.len()).unwrap_or(b'='));
        }
    }
}

#[cfg(test)]
mod tests;
