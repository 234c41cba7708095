use tungstenite::handshake::derive_accept_key;

use super::incoming::{End, Incoming};
use super::outgoing::Outgoing;
use super::*;

/// A frame of the server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(len @ 0..=125) => bytes.push(u8::try_from(len).unwrap()),
        Ok(len) => {
            bytes.push(126);
            bytes.extend(len.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend(u64::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

/// What is MQTT's of a stream that comes in pieces of this length.
fn decoded(incoming: &mut Incoming, stream: &[u8], piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in stream.chunks(piece) {
        let mut chunk = chunk.to_vec();
        let len = incoming.decode(&mut chunk);
        all.extend(&chunk[..len]);
    }
    all
}

/// [MQTT-6.0.0-2]
#[test]
fn what_is_mqtts_does_not_depend_on_frames_messages_and_pieces() {
    let long = vec![7; 70_000];
    let stream = [
        frame(0x82, b"a"),
        frame(0x02, b"bc"),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8A, b"unasked"),
        frame(0x00, &[1; 126]),
        frame(0x80, b"d"),
        frame(0x82, b""),
        frame(0x82, &[2; 65_535]),
        frame(0x82, &long),
        frame(0x82, b"e"),
    ]
    .concat();
    let expected = [&b"abc"[..], &[1; 126], b"d", &[2; 65_535], &long, b"e"].concat();
    for piece in [1, 2, 3, 5, 127, 1000, stream.len()] {
        let mut incoming = Incoming::default();
        assert_eq!(decoded(&mut incoming, &stream, piece), expected, "in pieces of {piece}");
        assert_eq!(incoming.end(), None);
        assert_eq!(incoming.take_ping().unwrap().as_slice(), b"ping");
        assert!(!incoming.has_ping());
    }
}

#[test]
fn a_frame_that_claims_to_be_endless_takes_no_memory() {
    let mut incoming = Incoming::default();
    let stream = [&[0x82, 127, 0x40, 0, 0, 0, 0, 0, 0, 0][..], b"payload"].concat();
    assert_eq!(decoded(&mut incoming, &stream, 4), b"payload");
    assert_eq!(incoming.end(), None);
}

/// [MQTT-6.0.0-1]
#[test]
fn what_breaks_a_rule_ends_the_stream_behind_what_came_before() {
    let cases: [(Vec<u8>, u16, &str); 14] = [
        (frame(0x81, b"text"), 1003, "text frame"),
        (frame(0x01, b"text"), 1003, "text frame"),
        ([frame(0x02, b""), frame(0x81, b"t")].concat(), 1003, "text frame"),
        ([frame(0x02, b""), frame(0x82, b"t")].concat(), 1002, "within another"),
        (frame(0x80, b"x"), 1002, "continuation of nothing"),
        (vec![0x82, 0x81], 1002, "masked"),
        (vec![0x88, 0x80], 1002, "masked"),
        (frame(0xC2, b""), 1002, "extension"),
        (frame(0x92, b""), 1002, "extension"),
        (frame(0x83, b""), 1002, "unknown"),
        (frame(0x8B, b""), 1002, "unknown"),
        (frame(0x09, b""), 1002, "control frame in parts"),
        (frame(0x89, &[0; 126]), 1002, "long control"),
        (vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 1002, "longer than there are"),
    ];
    for (bytes, code, text) in cases {
        let stream = [frame(0x82, b"before"), bytes.clone(), frame(0x82, b"behind")].concat();
        for piece in [1, stream.len()] {
            let mut incoming = Incoming::default();
            assert_eq!(decoded(&mut incoming, &stream, piece), b"before", "{bytes:?}");
            let end = incoming.end().expect("an end");
            assert_eq!(u16::from(answer(end)), code, "{bytes:?}");
            let error = told(end).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}

#[test]
fn a_close_frame_is_the_end_and_says_why() {
    let end = |payload: &[u8]| {
        let mut incoming = Incoming::default();
        let stream = [frame(0x82, b"m"), frame(0x88, payload), frame(0x82, b"behind")].concat();
        assert_eq!(decoded(&mut incoming, &stream, 1), b"m");
        incoming.end().cloned().expect("an end")
    };
    assert_eq!(told(&end(b"")).unwrap(), 0);
    assert_eq!(told(&end(&[0x03, 0xE8])).unwrap(), 0);
    let error = told(&end(b"\x03\xF0no \x1Bentry")).unwrap_err();
    assert_eq!(error.to_string(), "the server has closed the WebSocket with code 1008: no \\x1bentry");
    let error = told(&end(&[0x03, 0xE9])).unwrap_err();
    assert_eq!(error.to_string(), "the server has closed the WebSocket with code 1001");
    assert_eq!(end(b"x"), End::Violation(CloseCode::Protocol, "a close frame of one byte"));
}

/// A masked frame of the client: its first byte and payload.
fn unmasked(bytes: &mut &[u8]) -> (u8, Vec<u8>) {
    let (head, mut rest) = bytes.split_at(2);
    assert_eq!(head[1] & 0x80, 0x80, "masked");
    let len = match head[1] & 0x7F {
        126 => {
            let (len, behind) = rest.split_first_chunk().unwrap();
            rest = behind;
            u64::from(u16::from_be_bytes(*len))
        }
        127 => {
            let (len, behind) = rest.split_first_chunk().unwrap();
            rest = behind;
            u64::from_be_bytes(*len)
        }
        len => u64::from(len),
    };
    let (mask, payload) = rest.split_first_chunk::<4>().unwrap();
    let (payload, behind) = payload.split_at(usize::try_from(len).unwrap());
    *bytes = behind;
    (head[0], payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

/// [MQTT-6.0.0-1]
#[test]
fn what_is_written_leaves_in_masked_binary_frames() {
    for len in [1, 2, 7, 8, 125, 126, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut outgoing = Outgoing::default();
        let (front, back) = payload.split_at(len / 3);
        assert_eq!(outgoing.push_data(&[front, &[], back]), len);
        let mut bytes = outgoing.rest();
        assert_eq!(unmasked(&mut bytes), (0x82, payload));
        assert!(bytes.is_empty());
    }
}

#[test]
fn a_frame_holds_64_kib_and_an_empty_one_is_not_sent() {
    let mut outgoing = Outgoing::default();
    assert_eq!(outgoing.push_data(&[&[1; 60_000], &[2; 60_000]]), 65_536);
    let (_, payload) = unmasked(&mut outgoing.rest());
    assert_eq!(payload, [vec![1; 60_000], vec![2; 5_536]].concat());
    let mut outgoing = Outgoing::default();
    assert_eq!(outgoing.push_data(&[&[]]), 0);
    assert!(outgoing.is_empty());
}

#[test]
fn frames_leave_in_any_pieces_and_a_close_frame_is_the_last() {
    let mut outgoing = Outgoing::default();
    outgoing.push_data(&[b"one"]);
    outgoing.push_pong(b"p");
    outgoing.push_close(CloseCode::Normal);
    outgoing.push_close(CloseCode::Protocol);
    outgoing.push_pong(b"p");
    outgoing.push_data(&[b"two"]);
    let mut sent = Vec::new();
    while !outgoing.is_empty() {
        sent.push(outgoing.rest()[0]);
        outgoing.consume(1);
    }
    let mut bytes = &sent[..];
    assert_eq!(unmasked(&mut bytes), (0x82, b"one".to_vec()));
    assert_eq!(unmasked(&mut bytes), (0x8A, b"p".to_vec()));
    assert_eq!(unmasked(&mut bytes), (0x88, vec![0x03, 0xE8]));
    assert!(bytes.is_empty());
}

#[test]
fn masking_keys_do_not_repeat() {
    let mut keys = std::collections::HashSet::new();
    let mut outgoing = Outgoing::default();
    for _ in 0..100 {
        outgoing.push_data(&[b"\0\0\0\0"]);
        keys.insert(outgoing.rest()[2..6].to_vec());
        outgoing.consume(usize::MAX / 2);
    }
    assert!(keys.len() > 98, "{} different keys of 100", keys.len());
}

/// A server that answers the request with `answer`, in which `{accept}` is what belongs to its key.
struct Script {
    answer: String,
    request: Vec<u8>,
    says: Option<io::Cursor<Vec<u8>>>,
}

impl Script {
    fn new(answer: &str) -> Self {
        Self { answer: answer.replace('\n', "\r\n"), request: Vec::new(), says: None }
    }
}

impl io::Write for Script {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.request.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let request = String::from_utf8_lossy(&self.request);
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let answer = self.answer.replace("{accept}", &derive_accept_key(key.as_bytes()));
        self.says.get_or_insert_with(|| io::Cursor::new(answer.into_bytes())).read(buffer)
    }
}

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\nUpgrade: WebSocket\nConnection: keep-alive, Upgrade\n\
     Sec-WebSocket-Accept: {accept}\nSec-WebSocket-Protocol: mqtt\n\n";

#[track_caller]
fn fails(answer: &str, text: &str) -> io::ErrorKind {
    let request = Request { authority: "h", path: b"", headers: &[] };
    let error = upgrade(&mut Script::new(answer), &request).unwrap_err();
    assert!(error.to_string().contains(text), "{error} does not contain {text}");
    error.kind()
}

/// [MQTT-6.0.0-3]
#[test]
fn the_request_offers_mqtt_and_has_the_path_and_the_headers_of_the_options() {
    let headers = [("X-Key".to_string(), "a b".into())];
    let mut script = Script::new(&format!("{GOOD}\u{82}"));
    upgrade(&mut script, &Request { authority: "h:8080", path: "/p?q=1 ü".as_bytes(), headers: &headers }).unwrap();
    let request = String::from_utf8(script.request).unwrap();
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let expected = format!(
        "GET /p?q=1%20%C3%BC HTTP/1.1\r\nHost: h:8080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: {key}\r\nX-Key: a b\r\n\r\n"
    );
    assert_eq!(request, expected);
    assert_eq!(key.len(), 24);
    for (path, asked) in [("", "/mqtt"), ("/", "/"), ("?x=1", "/mqtt?x=1")] {
        let mut script = Script::new(GOOD);
        upgrade(&mut script, &Request { authority: "h", path: path.as_bytes(), headers: &[] }).unwrap();
        assert!(script.request.starts_with(format!("GET {asked} HTTP/1.1\r\nHost: h\r\n").as_bytes()));
    }
}

/// [MQTT-6.0.0-4]
#[test]
fn an_answer_without_the_subprotocol_mqtt_is_refused() {
    let without = GOOD.replace("Sec-WebSocket-Protocol: mqtt\n", "");
    assert_eq!(fails(&without, "no subprotocol, where mqtt was due"), io::ErrorKind::InvalidData);
    for other in ["mqttv3.1", "MQTT", "mqtt, chat", ""] {
        fails(&GOOD.replace("Protocol: mqtt", &format!("Protocol: {other}")), "the subprotocol \"");
    }
    fails(&GOOD.replace("\n\n", "\nSec-WebSocket-Protocol: chat\n\n"), "the subprotocol \"mqtt\"");
}

#[test]
fn an_answer_that_is_no_upgrade_is_quoted() {
    let kind = fails("HTTP/1.1 401 Unauthorized\n\n", "it answers HTTP/1.1 401 Unauthorized");
    assert_eq!(kind, io::ErrorKind::PermissionDenied);
    let kind = fails("HTTP/1.1 200 OK\n\n<html>", "it answers HTTP/1.1 200 OK, where 101 Switching Protocols was due");
    assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    fails("HTTP/1.1 302 Found\nLocation: https://else.example/\n\n", "refers to \"https://else.example/\"");
    fails("SSH-2.0-x\n", "not HTTP/1");
    fails(&GOOD.replace("Upgrade: WebSocket\n", ""), "does not say that it upgrades");
    fails(&GOOD.replace("keep-alive, Upgrade", "keep-alive"), "does not say that it upgrades");
    fails(&GOOD.replace("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "does not belong to the request");
    fails(&GOOD.replace("\n\n", "\nSec-WebSocket-Extensions: permessage-deflate\n\n"), "permessage-deflate");
    for len in 0..GOOD.len() {
        let kind = fails(&GOOD[..len], "closed the connection before its answer was whole");
        assert_eq!(kind, io::ErrorKind::UnexpectedEof);
    }
}
