//! A disk that has no more room, as a process finds it that may write no longer files.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flowsdk::mqtt_client::{MqttClientOptions, MqttEvent, Persistence};
use flowsdk::types::ProtocolVersion;

use crate::fixture::{Client, lasting, qos, quick};

/// Says to the program that it is the child, and where its file is.
const DIRECTORY: &str = "FLOWSDK_CHAOS_DISK";
const MESSAGES: usize = 2000;
const PATIENCE: Duration = Duration::from_secs(60);

fn options(directory: &Path) -> MqttClientOptions {
    // Nobody connects.
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let persistence = Some(Persistence::new(directory.join("store")));
    MqttClientOptions { persistence, ..lasting(nowhere, "client", ProtocolVersion::V5) }
}

/// Runs as the child, if this process is one.
pub(crate) fn run_if_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let client = Client::new(options(Path::new(&directory)), quick());
    for _ in 0..MESSAGES {
        client.publish_with("t", &[b'x'; 4096], &qos(1)).expect("room for it");
    }
    client.log.wait_for_within(PATIENCE, |events| {
        events.iter().any(|event| matches!(event, MqttEvent::Error(_))).then_some(())
    });
    println!("failing, {} are durable", durable(&client));
    while durable(&client) < MESSAGES {
        std::thread::park_timeout(Duration::from_millis(1));
    }
    println!("all are durable, {} errors", client.log.count(|event| matches!(event, MqttEvent::Error(_))));
    // Then it is killed.
    let _ = io::stdin().read(&mut [0]);
    std::process::exit(1);
}

fn durable(client: &Client) -> usize {
    client.log.with(|events| {
        let tokens = |event: &MqttEvent<'static>| match event {
            MqttEvent::Durable(tokens) => tokens.len(),
            _ => 0,
        };
        events.iter().map(tokens).sum()
    })
}

/// What is accepted while the disk is full is told as durable when it has room again, and not before.
pub(crate) fn a_full_disk_loses_nothing() {
    let directory = std::env::temp_dir().join(format!("flowsdk-disk-{}", std::process::id()));
    std::fs::create_dir(&directory).expect("a directory of its own");
    // 4 MiB, and an error instead of a signal.
    let script = "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\"";
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .env(DIRECTORY, &directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line of the child").expect("text");
    let failing = next();
    println!("{failing}");
    let count = failing.split(' ').nth(1).and_then(|count| count.parse::<usize>().ok()).expect("a number");
    assert!(count < MESSAGES, "{failing}");
    let raised = Command::new("prlimit").args(["--pid", &child.id().to_string(), "--fsize=unlimited:"]).status();
    assert!(raised.is_ok_and(|status| status.success()), "prlimit is needed");
    assert_eq!(next(), "all are durable, 1 errors");
    child.kill().expect("a child to kill");
    child.wait().expect("its end");
    let client = Client::new(options(&directory), quick());
    assert_eq!(client.restored().len(), MESSAGES);
    client.shutdown().expect("a clean end");
    std::fs::remove_dir_all(&directory).expect("an end of the directory");
}
