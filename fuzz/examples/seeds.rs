//! Writes what fuzzing starts from, made of the golden packets of the tests: `seeds DIRECTORY` fills a directory for
//! each target in that one.

use std::path::Path;
use std::{env, fs, io};

use flowsdk::types::{ProtocolVersion, Role};

#[path = "../../tests/codec/golden.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod golden;
#[path = "../../tests/codec/golden_v3.rs"]
mod golden_v3;
#[path = "../../tests/codec/golden_v5.rs"]
mod golden_v5;
#[path = "../../tests/codec/notation.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod notation;

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: seeds DIRECTORY"))?;
    let directory = Path::new(&directory);
    let packets: Vec<_> = golden::all().map(|case| case.wire().bytes).collect();
    write(&directory.join("decode"), &packets)?;
    write(&directory.join("roundtrip"), &packets)?;
    write(&directory.join("session_ops"), &session_ops())?;
    write(&directory.join("chunking"), &chunking())?;
    write(&directory.join("pair"), &pair())
}

fn write(directory: &Path, seeds: &[Vec<u8>]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(directory.join(format!("golden-{number:03}")), seed)?;
    }
    println!("{}: {} seeds", directory.display(), seeds.len());
    Ok(())
}

/// Both versions, with the flags that choose them in a configuration, and the packets of a server.
fn servers() -> [(u8, Vec<Vec<u8>>); 2] {
    [(0, ProtocolVersion::V5), (1, ProtocolVersion::V3_1_1)].map(|(flags, version)| {
        let of_server = golden::all().filter(|case| case.version == version && case.from == Role::Server);
        (flags, of_server.map(|case| case.wire().bytes).collect())
    })
}

/// Configuration and storage: five bytes and two.
fn setup(flags: u8, oversize: u8, receive_limit: u8, storage: u8) -> Vec<u8> {
    vec![flags, oversize, receive_limit, 0, 2, storage, 0xFF]
}

/// Every packet of a server, to a session that is connected and awaits answers.
fn session_ops() -> Vec<Vec<u8>> {
    const KEEP_ALIVE: &[u8] = &[1];
    const CONNECTED: &[u8] = &[0, 0];
    const PUBLISHES: &[u8] = &[1, 1, 5, 0, 1, 1, 1, 2, 5, 0, 1, 0];
    const REQUESTS: &[u8] = &[4, 5];
    const TRANSMIT: &[u8] = &[10, 4];
    const DELIVER: &[u8] = &[22, 2];
    const ANSWER: &[u8] = &[19];
    const CUT: &[u8] = &[14];
    let mut seeds = Vec::new();
    for (flags, packets) in servers() {
        for (packet, storage) in packets.iter().zip((0..=8).cycle()) {
            let begin = [KEEP_ALIVE, CONNECTED, PUBLISHES, REQUESTS, TRANSMIT].concat();
            let input = [&[20, u8::try_from(packet.len()).expect("a short packet")], &packet[..]].concat();
            let end = [DELIVER, TRANSMIT, ANSWER, DELIVER, CUT, CONNECTED, TRANSMIT].concat();
            seeds.push([setup(flags, 2, storage % 4, storage), begin, input, end].concat());
        }
    }
    seeds
}

/// Every packet of a server, and all of them, in pieces.
fn chunking() -> Vec<Vec<u8>> {
    const ACCEPTED: &[u8] = &[1, 3, 1, 2, 9];
    let mut seeds = Vec::new();
    for (flags, mut packets) in servers() {
        packets.push(packets[1..].concat());
        for (packet, storage) in packets.iter().zip((0..=8).cycle()) {
            seeds.push([setup(flags, storage, storage % 4, storage), ACCEPTED.to_vec(), packet.clone()].concat());
        }
    }
    seeds
}

/// Messages of each QoS in both directions, with cuts at several places.
fn pair() -> Vec<Vec<u8>> {
    const LIMITS: &[u8] = &[1, 1, 0];
    const CONNECT: &[u8] = &[10, 17];
    const MESSAGES: &[u8] = &[0, 1, 0, 2, 3, 1, 0, 2, 3, 2, 0, 1];
    const ENDS: &[&[u8]] =
        &[&[17, 17], &[4, 0, 11], &[4, 3, 6, 0, 11], &[4, 0, 6, 0, 8, 3, 11], &[17, 11], &[17, 17, 12, 0, 11]];
    let mut seeds = Vec::new();
    for flags in 0..8 {
        for (end, storage) in ENDS.iter().zip((flags..9).cycle()) {
            let steps = [LIMITS, CONNECT, MESSAGES, end, CONNECT, MESSAGES, end].concat();
            seeds.push([setup(flags, 2, flags % 4, storage), steps].concat());
        }
    }
    seeds
}
