//! A resolver that never answers, in a network of the test's own.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use flowsdk::mqtt_client::{MqttClientOptions, Timeouts};
use libtest_mimic::Trial;

use crate::fixture::{Client, quick};
use crate::support::PATIENCE;

const NAME: &str = "a_resolver_that_never_answers_is_named_and_does_not_hold_up_a_shutdown";
/// Set where the test runs for itself.
const INSIDE: &str = "FLOWSDK_TEST_RESOLVER";

/// Where a process may not have a network of its own, the test is listed as ignored.
pub(crate) fn trial() -> Trial {
    let is_inside = std::env::var_os(INSIDE).is_some();
    let can_run = is_inside || apart().arg("true").output().is_ok_and(|output| output.status.success());
    let run = move || {
        if is_inside {
            inside();
        } else {
            outside();
        }
        Ok(())
    };
    Trial::test(NAME, run).with_ignored_flag(!can_run)
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

fn outside() {
    let program = std::env::current_exe().expect("this program");
    let output = apart().arg(program).args(["--exact", NAME]).env(INSIDE, "1").output().expect("a process");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn inside() {
    // It takes questions, and has no answer.
    let silent = UdpSocket::bind("127.0.0.1:53").expect("the port of a name server");
    silent.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let client = |peer: &str, connect| {
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
    };
    let waiting = client("first.example", Duration::from_millis(300));
    let kind = waiting.log.error("cannot connect to first.example:1883: the resolver timed out after ");
    assert_eq!(kind, std::io::ErrorKind::TimedOut);
    waiting.shutdown().expect("an end in time");
    let waiting = client("second.example", Duration::from_secs(3600));
    let mut question = [0; 512];
    while !question.windows(6).any(|part| part == b"second") {
        silent.recv(&mut question).expect("a question");
    }
    waiting.shutdown().expect("an end in time");
}
