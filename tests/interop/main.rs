//! The client against mosquitto. Without a mosquitto on the PATH these tests are ignored; where
//! `FLOWSDK_REQUIRE_MOSQUITTO` is set they fail.

#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    libtest_mimic::run(&arguments, Vec::new()).exit();
}
