use super::*;

/// A proxy that has said everything before it is asked.
struct Script {
    says: io::Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

impl Script {
    fn new(says: &[u8]) -> Self {
        Self { says: io::Cursor::new(says.to_vec()), heard: Vec::new() }
    }

    fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.says.read_to_end(&mut rest).unwrap();
        rest
    }
}

impl Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.says.read(buffer)
    }
}

impl Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.heard.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn plain(kind: ProxyKind) -> Proxy {
    Proxy::new(kind, "p:1")
}

fn with_credentials(kind: ProxyKind, username: &str, password: &str) -> Proxy {
    Proxy { username: Some(username.to_string()), password: Some(Secret::from(password)), ..plain(kind) }
}

/// What was heard from a client of whom `says` makes a success, and what is left for the server's connection.
#[track_caller]
fn succeeds(proxy: &Proxy, host: &str, says: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut script = Script::new(says);
    handshake(&mut script, proxy, host, 0x0102).unwrap();
    (std::mem::take(&mut script.heard), script.rest())
}

#[track_caller]
fn fails(proxy: &Proxy, says: &[u8], text: &str) -> io::ErrorKind {
    let error = handshake(&mut Script::new(says), proxy, "host", 1883).unwrap_err();
    assert!(error.to_string().contains(text), "{error} does not contain {text}");
    error.kind()
}

#[test]
fn http_is_asked_for_the_servers_name_and_what_follows_its_answer_is_left() {
    let (heard, rest) = succeeds(&plain(ProxyKind::Http), "host", b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n\x20\x02");
    assert_eq!(heard, b"CONNECT host:258 HTTP/1.1\r\nHost: host:258\r\n\r\n");
    assert_eq!(rest, b"\x20\x02");
    let (heard, _) = succeeds(&plain(ProxyKind::Http), "::1", b"HTTP/1.0 200\n\n");
    assert_eq!(heard, b"CONNECT [::1]:258 HTTP/1.1\r\nHost: [::1]:258\r\n\r\n");
}

#[test]
fn http_is_told_the_credentials_by_the_basic_scheme() {
    // The example of RFC 7617 section 2.
    let proxy = with_credentials(ProxyKind::Http, "Aladdin", "open sesame");
    let (heard, _) = succeeds(&proxy, "h", b"HTTP/1.1 200 OK\r\n\r\n");
    let expected = "CONNECT h:258 HTTP/1.1\r\nHost: h:258\r\n\
         Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    assert_eq!(String::from_utf8(heard).unwrap(), expected);
}

#[test]
fn base64_is_that_of_rfc_4648() {
    let pairs = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];
    for (plain, encoded) in pairs {
        let mut bytes = Vec::new();
        append_base64(&mut bytes, plain.as_bytes());
        assert_eq!(String::from_utf8(bytes).unwrap(), encoded);
    }
    let mut bytes = Vec::new();
    append_base64(&mut bytes, &[0xFB, 0xFF, 0xFE]);
    assert_eq!(bytes, b"+//+");
}

#[test]
fn http_that_refuses_is_quoted() {
    let http = plain(ProxyKind::Http);
    let kind = fails(&http, b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "HTTP/1.1 407 Proxy Authentication");
    assert_eq!(kind, io::ErrorKind::PermissionDenied);
    assert_eq!(fails(&http, b"HTTP/1.1 403 No\r\n\r\n", "answers HTTP/1.1 403 No"), io::ErrorKind::ConnectionRefused);
    for odd in ["HTTP/1.1 2000\r\n\r\n", "HTTP/1.1  200\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n"]
    {
        assert_eq!(fails(&http, odd.as_bytes(), "HTTP/1.1"), io::ErrorKind::ConnectionRefused);
    }
    let long = [&b"HTTP/1.1 500 "[..], &[b'\x1B'; 3000], b"\r\n\r\n"].concat();
    let error = handshake(&mut Script::new(&long), &http, "host", 1).unwrap_err().to_string();
    assert!(error.len() < 500 && !error.contains('\x1B'), "{error}");
}

#[test]
fn http_that_never_ends_its_answer_is_read_for_8_kib() {
    let mut script = Script::new(&[b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(3000)].concat());
    let error = handshake(&mut script, &plain(ProxyKind::Http), "host", 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(script.says.position(), 8192);
}

#[test]
fn what_is_no_proxy_is_told_at_its_first_wrong_byte() {
    assert_eq!(fails(&plain(ProxyKind::Http), b"SSH-2.0", "not HTTP/1: it begins with S"), io::ErrorKind::InvalidData);
    assert_eq!(fails(&plain(ProxyKind::Http), b"HTTP/2", "begins with HTTP/2"), io::ErrorKind::InvalidData);
    assert_eq!(fails(&plain(ProxyKind::Socks5), b"HT", "not SOCKS5: it begins with 0x48"), io::ErrorKind::InvalidData);
}

#[test]
fn an_answer_that_is_cut_anywhere_is_told_as_that() {
    let socks = [5, 2, 1, 0, 5, 0, 0, 3, 2, b'h', b'i', 0, 80];
    let cases = [
        (plain(ProxyKind::Http), &b"HTTP/1.1 200 OK\r\n\r\n"[..]),
        (with_credentials(ProxyKind::Socks5, "u", "p"), &socks),
    ];
    for (proxy, answer) in cases {
        for len in 0..answer.len() {
            let kind = fails(&proxy, &answer[..len], "closed the connection before its answer was whole");
            assert_eq!(kind, io::ErrorKind::UnexpectedEof, "after {len} bytes");
        }
        assert!(succeeds(&proxy, "h", answer).1.is_empty());
    }
}

#[test]
fn socks5_is_asked_for_the_servers_name_or_its_address() {
    let plain = plain(ProxyKind::Socks5);
    let (heard, rest) = succeeds(&plain, "host", &[5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0x20]);
    assert_eq!(heard, b"\x05\x01\x00\x05\x01\x00\x03\x04host\x01\x02");
    assert_eq!(rest, [0x20]);
    let (heard, rest) = succeeds(&plain, "127.0.0.2", &[5, 0, 5, 0, 0, 3, 1, b'x', 5, 6, 7]);
    assert_eq!(heard, [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 2, 1, 2]);
    assert_eq!(rest, [7]);
    let (heard, rest) = succeeds(&plain, "::1", &[&[5, 0, 5, 0, 0, 4][..], &[9; 18], &[8]].concat());
    assert_eq!(heard, [&[5, 1, 0, 5, 1, 0, 4][..], &[0; 15], &[1, 1, 2]].concat());
    assert_eq!(rest, [8]);
}

#[test]
fn socks5_is_told_the_credentials_only_if_it_asks_for_them() {
    let proxy = with_credentials(ProxyKind::Socks5, "me", "pass");
    let (heard, _) = succeeds(&proxy, "h", &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(heard, b"\x05\x02\x00\x02\x01\x02me\x04pass\x05\x01\x00\x03\x01h\x01\x02");
    let (heard, _) = succeeds(&proxy, "h", &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(heard, b"\x05\x02\x00\x02\x05\x01\x00\x03\x01h\x01\x02");
}

#[test]
fn socks5_that_refuses_says_why() {
    let plain = plain(ProxyKind::Socks5);
    let named = with_credentials(ProxyKind::Socks5, "u", "p");
    assert_eq!(fails(&plain, &[5, 0xFF], "wants a user name"), io::ErrorKind::PermissionDenied);
    assert_eq!(fails(&named, &[5, 0xFF], "takes no user name"), io::ErrorKind::PermissionDenied);
    assert_eq!(fails(&plain, &[5, 2], "0x02, not offered"), io::ErrorKind::InvalidData);
    assert_eq!(fails(&named, &[5, 2, 1, 1], "does not take the user name"), io::ErrorKind::PermissionDenied);
    assert_eq!(fails(&named, &[5, 2, 5, 0], "answer to the password"), io::ErrorKind::InvalidData);
    let replies = [
        (1, "general SOCKS server failure"),
        (2, "not allowed by ruleset"),
        (3, "network unreachable"),
        (4, "host unreachable"),
        (5, "connection refused"),
        (6, "TTL expired"),
        (7, "command not supported"),
        (8, "address type not supported"),
        (9, "not assigned (0x09)"),
    ];
    for (code, text) in replies {
        fails(&plain, &[5, 0, 5, code, 0, 1], text);
    }
    assert_eq!(fails(&plain, &[5, 0, 5, 0, 0, 2], "unknown type 0x02"), io::ErrorKind::InvalidData);
}

#[test]
fn names_that_cannot_be_told_are_not() {
    for host in ["h\r\nX: y", "h h", "h\0"] {
        let mut script = Script::new(b"");
        let error = handshake(&mut script, &plain(ProxyKind::Http), host, 1).unwrap_err();
        assert_eq!((error.kind(), script.heard.len()), (io::ErrorKind::InvalidInput, 0));
    }
    let long = "h".repeat(256);
    let error = handshake(&mut Script::new(&[5, 0]), &plain(ProxyKind::Socks5), &long, 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
