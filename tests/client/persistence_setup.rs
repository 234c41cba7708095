//! Clients that keep their messages in a file, and crashes of them.

#![allow(unreachable_pub, reason = "the items of a module of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use flowsdk::mqtt_client::{AsyncMqttClient, InboundStorage, MqttEvent, Outcome, Persistence, Token};
use flowsdk::types::ProtocolVersion;

use crate::recorder::Log;
use crate::scripted_setup::Scene;
use crate::support::scripted_broker::Peer;

/// A directory of its own, which goes with it.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let name = format!("flowsdk-store-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory of its own");
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Clients of one file, one after the other.
pub struct Lives {
    pub scene: Scene,
    directory: Directory,
    life: u32,
}

impl Lives {
    pub fn new(version: ProtocolVersion, inbound: InboundStorage) -> Self {
        let mut lives = Self { scene: Scene::keeping_session(version), directory: Directory::new(), life: 0 };
        let mut persistence = Persistence::new(lives.path());
        persistence.inbound = inbound;
        lives.scene.options.persistence = Some(persistence);
        lives
    }

    /// The file of this life.
    pub fn path(&self) -> PathBuf {
        self.directory.file(&format!("life-{}", self.life))
    }

    /// There was no crash: the client of the life before goes on.
    pub fn go_on(&mut self) {
        self.life -= 1;
        if let Some(persistence) = &mut self.scene.options.persistence {
            persistence.path = self.directory.file(&format!("life-{}", self.life));
        }
    }

    /// The next client finds the file as it is now: so would one after a crash at this moment. What the client of this
    /// life does from now on comes to nothing.
    pub fn crash(&mut self) {
        let before = self.path();
        self.life += 1;
        let after = self.path();
        fs::write(&after, snapshot(&before)).expect("a copy of the file");
        if let Some(persistence) = &mut self.scene.options.persistence {
            persistence.path = after;
        }
    }
}

/// The file as it is at one moment: a copy that is made while it is written could have parts of two.
fn snapshot(path: &Path) -> Vec<u8> {
    let read = || fs::read(path).expect("the file");
    let mut last = read();
    loop {
        let again = read();
        if again == last {
            return last;
        }
        last = again;
    }
}

/// Waits until messages are in the file.
#[track_caller]
pub fn durable(log: &Log, tokens: &[Token]) {
    log.wait_for(|events| {
        let stored: Vec<_> = events.iter().filter_map(stored).flatten().collect();
        tokens.iter().all(|token| stored.contains(&token)).then_some(())
    });
}

fn stored<'e>(event: &'e MqttEvent<'static>) -> Option<&'e Vec<Token>> {
    match event {
        MqttEvent::Durable(tokens) => Some(tokens),
        _ => None,
    }
}

/// Waits until the callbacks of all that was told so far have returned: a later one has come, on the same thread.
#[track_caller]
pub fn heard(client: &AsyncMqttClient, log: &Log, peer: &mut Peer) {
    let token = client.publish("heard", b"", 0, false).unwrap();
    assert_eq!(peer.read_packet()[0], 0x30);
    assert_eq!(outcome(log, token), Outcome::Sent);
}

/// Waits for an outcome.
#[track_caller]
pub fn outcome(log: &Log, token: Token) -> Outcome {
    log.published(token).outcome
}
