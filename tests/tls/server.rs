//! Servers of TLS, good ones and others.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{
    CipherSuite, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion, version,
};

use crate::pki::{Ca, Leaf};
use crate::support::{PATIENCE, wait_until};

pub type Stream = StreamOwned<ServerConnection, TcpStream>;
pub type Script = Box<dyn FnOnce(TcpStream) + Send>;

pub const ALL: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
pub const ONLY_12: &[&SupportedProtocolVersion] = &[&version::TLS12];
pub const ONLY_13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Plays one script for each connection, in their order, and ends with the last one or when it is dropped.
pub struct Server {
    pub port: u16,
    ends: Arc<AtomicBool>,
    played: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let port = listener.local_addr().expect("an address").port();
        let ends = Arc::new(AtomicBool::new(false));
        let played = Arc::<AtomicUsize>::default();
        let (seen, count) = (Arc::clone(&ends), Arc::clone(&played));
        let thread = thread::spawn(move || {
            for script in scripts {
                let Ok((stream, _)) = listener.accept() else { return };
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
                script(stream);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, ends, played, thread: Some(thread) }
    }

    /// Waits until so many scripts have ended.
    #[track_caller]
    pub fn wait_for(&self, scripts: usize) {
        wait_until(PATIENCE, || self.played.load(Ordering::SeqCst) >= scripts);
    }

    pub fn url(&self) -> String {
        format!("mqtts://localhost:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // For one that still accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.expect("a thread").expect("a script without a fault");
        }
    }
}

/// A script.
pub fn script(play: impl FnOnce(TcpStream) + Send + 'static) -> Script {
    Box::new(play)
}

pub fn config(leaf: &Leaf, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    builder(versions).with_no_client_auth().with_single_cert(vec![leaf.der.clone()], leaf.key_der()).expect("a key")
}

/// As [`config`], of a server that wants a certificate that `ca` has signed.
pub fn mutual(leaf: &Leaf, ca: &Ca, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der.clone()).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
    let builder = builder(versions).with_client_cert_verifier(verifier);
    builder.with_single_cert(vec![leaf.der.clone()], leaf.key_der()).expect("a key")
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions")
}

/// TLS over a connection, before its handshake.
pub fn tls(config: impl Into<Arc<ServerConfig>>, stream: TcpStream) -> Stream {
    StreamOwned::new(ServerConnection::new(config.into()).expect("a configuration"), stream)
}

/// What a good server has seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub server_name: Option<String>,
    pub version: Option<ProtocolVersion>,
    pub kind: Option<HandshakeKind>,
    pub alpn: Option<Vec<u8>>,
    pub suite: Option<CipherSuite>,
    pub has_certificate: bool,
    /// Whether it has ended by a word, and not by a cut.
    pub is_closed: bool,
}

/// What good servers have seen, in their order.
pub type Log = Arc<Mutex<Vec<Seen>>>;

/// Accepts a CONNECT of v5.0, and reads until the end.
pub fn good(config: impl Into<Arc<ServerConfig>>, log: &Log) -> Script {
    let (config, log) = (config.into(), Arc::clone(log));
    script(move |stream| {
        let mut stream = tls(config, stream);
        accept(&mut stream);
        let is_closed = loop {
            match stream.read(&mut [0; 4096]) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break false,
                Err(error) => panic!("{error}"),
            }
        };
        let tls = &stream.conn;
        log.lock().unwrap().push(Seen {
            server_name: tls.server_name().map(str::to_string),
            version: tls.protocol_version(),
            kind: tls.handshake_kind(),
            suite: tls.negotiated_cipher_suite().map(|suite| suite.suite()),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            has_certificate: tls.peer_certificates().is_some(),
            is_closed,
        });
    })
}

/// Takes CONNECT and sends CONNACK, of v5.0.
pub fn accept(stream: &mut Stream) {
    assert_eq!(read_packet(stream).expect("CONNECT")[0], 0x10);
    stream.write_all(&[0x20, 3, 0, 0, 0]).expect("a client that takes CONNACK");
    stream.flush().expect("a client that takes CONNACK");
}

/// A packet of less than 128 bytes.
pub fn read_packet(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    assert!(head[1] < 0x80, "a short packet");
    let mut packet = vec![0; 2 + usize::from(head[1])];
    packet[..2].copy_from_slice(&head);
    stream.read_exact(&mut packet[2..])?;
    Ok(packet)
}

/// Fails in its handshake, for whatever the client does not like.
pub fn bad(config: impl Into<Arc<ServerConfig>>) -> Script {
    let config = config.into();
    script(move |stream| {
        let mut stream = tls(config, stream);
        assert!(read_packet(&mut stream).is_err(), "nothing is sent to a server that is not believed");
    })
}

/// Sends these bytes to whoever comes, and closes when that has.
pub fn says(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    script(move |mut stream| {
        // The whole ClientHello is taken first, or the close would be a reset.
        let _ = stream.read(&mut [0; 16 * 1024]);
        stream.write_all(&bytes).expect("a client that reads");
        read_to_end(&mut stream);
    })
}

/// A good handshake of which the client gets so many bytes, and then the end.
pub fn cut_after(config: impl Into<Arc<ServerConfig>>, mut left: usize) -> Script {
    let config = config.into();
    script(move |mut stream| {
        let mut tls = ServerConnection::new(config).expect("a configuration");
        while left > 0 {
            let read = tls.read_tls(&mut stream).expect("a client that goes on");
            assert!(read > 0, "the client does not give up");
            tls.process_new_packets().expect("a good client");
            let mut bytes = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut bytes).expect("a vector");
            }
            let sent = left.min(bytes.len());
            stream.write_all(&bytes[..sent]).expect("a client that reads");
            left -= sent;
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        read_to_end(&mut stream);
    })
}

/// Says nothing; tells whether the client has gone before anybody had to wait for long.
pub fn silent(gone: &Arc<AtomicBool>) -> Script {
    let gone = Arc::clone(gone);
    script(move |mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        gone.store(read_to_end(&mut stream), Ordering::SeqCst);
    })
}

/// Whether it has come to its end, however that was.
fn read_to_end(stream: &mut TcpStream) -> bool {
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}
