//! Runs a target over inputs without libFuzzer, and tells its steps: `replay TARGET FILE...`.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let target = arguments.next().ok_or_else(|| io::Error::other("usage: replay TARGET FILE..."))?;
    let target = match target.to_str() {
        Some("decode") => flowsdk_fuzz::decode,
        Some("roundtrip") => flowsdk_fuzz::roundtrip,
        Some("session_ops") => flowsdk_fuzz::session_ops,
        Some("chunking") => flowsdk_fuzz::chunking,
        Some("pair") => flowsdk_fuzz::pair,
        _ => return Err(io::Error::other("no such target")),
    };
    for file in arguments {
        eprintln!("{}", file.display());
        target(&fs::read(file)?);
    }
    println!("nothing is wrong");
    Ok(())
}
