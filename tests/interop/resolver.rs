//! A resolver that never answers, in a network of the test's own.

use std::fs;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use flowsdk::mqtt_client::{MqttClientOptions, MqttEvent, Timeouts};
use libtest_mimic::Trial;

use crate::fixture::{Client, quick};
use crate::support::PATIENCE;

/// Set where a test runs for itself.
const INSIDE: &str = "FLOWSDK_TEST_RESOLVER";

/// Where a process may not have a network of its own, the tests are listed as ignored.
pub(crate) fn trials() -> [Trial; 2] {
    let is_inside = std::env::var_os(INSIDE).is_some();
    let can_run = is_inside || apart().arg("true").output().is_ok_and(|output| output.status.success());
    let trial = |name, inside: fn()| {
        let run = move || {
            if is_inside {
                inside();
            } else {
                outside(name);
            }
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(!can_run)
    };
    [
        trial("a_resolver_that_never_answers_is_named_and_does_not_hold_up_a_shutdown", is_named),
        trial("a_resolver_that_never_answers_takes_two_threads_of_a_client_until_it_does", takes_two_threads),
    ]
}

/// Runs a command in a network that has nothing but the command itself, which is to be the name server.
fn apart() -> Command {
    const SETUP: &str = "PATH=$PATH:/usr/sbin:/sbin && ip link set lo up && file=$(mktemp) && \
                         printf 'nameserver 127.0.0.1\\noptions timeout:30\\n' >$file && \
                         mount --bind $file /etc/resolv.conf && rm $file && exec \"$@\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "--net", "sh", "-c", SETUP, "sh"]);
    unshare
}

fn outside(name: &str) {
    let program = std::env::current_exe().expect("this program");
    let output = apart().arg(program).args(["--exact", name]).env(INSIDE, "1").output().expect("a process");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A name server that takes questions, and has no answer.
fn silent() -> UdpSocket {
    let silent = UdpSocket::bind("127.0.0.1:53").expect("the port of a name server");
    silent.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    silent
}

fn client(peer: &str, connect: Duration) -> Client {
    let timeouts = Timeouts {
        connect,
        shutdown: Duration::from_secs(30),
        drain: Duration::from_millis(500),
        ..Default::default()
    };
    let options = MqttClientOptions { peer: peer.to_string(), timeouts, ..Default::default() };
    let client = Client::new(options, quick());
    client.connect().expect("an open client");
    client
}

fn is_named() {
    let silent = silent();
    let waiting = client("first.example", Duration::from_millis(300));
    let kind = waiting.log.error("cannot connect to first.example:1883: the resolver timed out after ");
    assert_eq!(kind, ErrorKind::TimedOut);
    waiting.shutdown().expect("an end in time");
    let waiting = client("second.example", Duration::from_secs(3600));
    let mut question = [0; 512];
    while !question.windows(6).any(|part| part == b"second") {
        silent.recv(&mut question).expect("a question");
    }
    waiting.shutdown().expect("an end in time");
}

fn takes_two_threads() {
    let silent = silent();
    let waiting = client("name.example", Duration::from_millis(200));
    let refused = "the resolver has not returned from an earlier attempt";
    let is_refusal = |event: &MqttEvent<'_>| matches!(event, MqttEvent::Error(error) if error.to_string() == refused);
    waiting.log.wait_for_count(5, is_refusal);
    assert_eq!(waiting.log.error(refused), ErrorKind::WouldBlock);
    assert_eq!(connectors(), 2);
    thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((len, from)) = silent.recv_from(&mut message) {
            // A response: there is no such name.
            message[2] |= 0x80;
            message[3] = message[3] & 0xF0 | 3;
            silent.send_to(&message[..len], from).expect("an answer");
        }
    });
    waiting.log.error("cannot connect to name.example:1883: failed to lookup address information");
    waiting.shutdown().expect("an end in time");
}

/// How many threads open connections.
fn connectors() -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("the threads of this process");
    let name = |thread: std::io::Result<fs::DirEntry>| fs::read_to_string(thread.ok()?.path().join("comm")).ok();
    threads.filter_map(name).filter(|name| name.trim_end().ends_with(" connect")).count()
}
