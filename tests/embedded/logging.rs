//! What the features `log` and `defmt` tell of a client.

use std::cell::RefCell;
use std::sync::Once;

use embedded_io::ErrorKind;
use flowsdk::session::{Config, ConnectOptions, Oversize};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::*;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps the lines of each thread apart.
struct Lines;

impl Log for Lines {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

fn keep_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Lines).expect("the only logger");
        log::set_max_level(LevelFilter::Trace);
    });
}

fn lines() -> Vec<String> {
    LINES.take()
}

#[test]
fn a_connection_its_loss_and_its_return_are_a_line_each_and_no_line_has_a_secret() {
    keep_lines();
    for version in BOTH {
        let options = ConnectOptions { username: Some("s3cr3t"), password: Some(b"s3cr3t"), ..options(version) };
        let link = Link::new(version);
        let mut buffer = [0; 64];
        let mut client = client(config(version), &link, &mut buffer);
        client.connect(START, &options).expect("connect");
        assert_eq!(events(&mut client, START), ["Connected"]);
        assert_eq!(lines(), ["DEBUG connecting as client", "INFO connected, session present: false"]);

        link.wire().fails_to_read = Some(ErrorKind::ConnectionReset);
        client.poll(START).expect_err("a reset");
        assert_eq!(lines(), ["WARN connection lost: the transport failed: ConnectionReset"]);

        client.replace_transport(START, Link::new(version));
        client.connect(START, &options).expect("connect");
        assert_eq!(events(&mut client, START), ["Connected"]);
        assert_eq!(lines(), ["DEBUG connecting as client", "INFO connected, session present: false"]);

        let _ = client.into_parts(START);
        assert_eq!(lines(), ["WARN connection lost: the transport was closed"]);
        #[cfg(feature = "defmt")]
        {
            let sent = defmt::export::fetch_bytes();
            let has = |text: &[u8]| sent.windows(text.len()).any(|part| part == text);
            // defmt leaves out at compile time what this variable does not ask for: by default all but errors.
            assert_eq!(has(b"client"), option_env!("DEFMT_LOG") == Some("trace"), "{sent:?}");
            assert!(!has(b"s3cr3t"), "{sent:?}");
        }
    }
}

#[test]
fn a_silent_server_and_a_message_passed_over_are_told_with_the_reason() {
    keep_lines();
    let link = Link::new(V5);
    let mut buffer = [0; 64];
    let mut client = connected(Config { oversize: Oversize::Skip, ..config(V5) }, &link, &mut buffer);
    lines();
    link.give(incoming(AtMostOnce, 0, &"s3cr3t".repeat(20)));
    assert_eq!(events(&mut client, START).len(), 1);
    assert_eq!(lines(), ["WARN passed over a message of 120 bytes"]);

    link.wire().answers = false;
    client.ping(START).expect("ping");
    assert_eq!(client.poll(START), Ok(None));
    client.poll(START.after_millis(10_000)).expect_err("silence");
    assert_eq!(lines(), ["WARN connection lost: no PINGRESP within the ping timeout"]);
}

#[test]
fn a_refusal_and_an_end_in_order_are_told() {
    keep_lines();
    let link = Link::silent(V5);
    let mut buffer = [0; 64];
    let mut refused = client(config(V5), &link, &mut buffer);
    refused.connect(START, &options(V5)).expect("connect");
    link.send(&[0x20, 3, 0, 0x87, 0]);
    assert_eq!(events_and_end(&mut refused, START).0, ["Refused 0x87"]);
    assert_eq!(
        lines(),
        [
            "DEBUG connecting as client",
            "WARN the server refuses the connection: Not authorized (0x87)",
            "INFO connection closed"
        ]
    );

    let link = Link::new(V5);
    let mut client = connected(config(V5), &link, &mut buffer);
    lines();
    client.disconnect(START, &farewell()).expect("disconnect");
    events_and_end(&mut client, START).1.expect("the end");
    assert_eq!(lines(), ["INFO connection closed"]);
}
