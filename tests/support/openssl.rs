//! `openssl s_server`: TLS by another library, with every option of it. What is within TLS a test says and reads
//! itself.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use libtest_mimic::Trial;

use super::{PATIENCE, holds_within};

/// A running `openssl s_server` at a free port of loopback, killed when it is dropped.
pub struct SServer {
    port: u16,
    child: Child,
    input: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
}

impl SServer {
    /// Starts it with more arguments.
    ///
    /// # Panics
    /// When it does not come to listen; the message holds what it has said.
    #[track_caller]
    pub fn start(arguments: &[String]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("an openssl");
        let output = Arc::<Mutex<Vec<u8>>>::default();
        keep(child.stdout.take().expect("a pipe"), &output);
        keep(child.stderr.take().expect("a pipe"), &output);
        let input = child.stdin.take().expect("a pipe");
        let mut server = Self { port: 0, child, input, output };
        server.wait_for("ACCEPT 127.0.0.1:", 1);
        // The line may come in parts.
        server.wait(|said| server.port_of(said).is_some());
        server.port = server.port_of(&server.said()).expect("a port");
        server
    }

    fn port_of(&self, said: &str) -> Option<u16> {
        let (_, rest) = said.split_once("ACCEPT 127.0.0.1:")?;
        rest.split_once('\n')?.0.trim().parse().ok()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything it has said so far, what it has received included.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    /// How often that stands in what it has said.
    pub fn count(&self, part: &str) -> usize {
        let said = self.lock();
        said.windows(part.len()).filter(|place| *place == part.as_bytes()).count()
    }

    /// Waits until it has said that so often.
    #[track_caller]
    pub fn wait_for(&self, part: &str, count: usize) {
        let told = holds_within(PATIENCE, || self.count(part) >= count);
        assert!(told, "{part:?} is not said {count} times, but: {}", self.said());
    }

    #[track_caller]
    fn wait(&self, condition: impl Fn(&str) -> bool) {
        assert!(holds_within(PATIENCE, || condition(&self.said())), "{}", self.said());
    }

    /// Sends these bytes to its client, or does what they stand for: `q` closes the connection, `k` and `K` change
    /// keys, and `r` renegotiates. To be called again only when there is a sign that it was done.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).expect("a server that runs");
        self.input.flush().expect("a server that runs");
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keep(mut from: impl Read + Send + 'static, output: &Arc<Mutex<Vec<u8>>>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            output.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..len]);
        }
    });
}

fn is_installed() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join("openssl").is_file())
}

/// A test of a binary with libtest-mimic. Without OpenSSL it is listed as ignored, or fails where
/// `FLOWSDK_REQUIRE_OPENSSL` is set.
pub fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    let required = std::env::var_os("FLOWSDK_REQUIRE_OPENSSL").is_some();
    let run = move || {
        test();
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(!required && !is_installed())
}
