//! The client against mosquitto, and against the TLS of OpenSSL. Without a `mosquitto`, or an `openssl`, on the PATH
//! these tests are ignored; where `FLOWSDK_REQUIRE_MOSQUITTO` or `FLOWSDK_REQUIRE_OPENSSL` is set they fail.

#[path = "../client/broker_fixture.rs"]
mod fixture;
#[cfg(all(feature = "tls", feature = "ring"))]
#[path = "../support/pki.rs"]
mod pki;
#[path = "../client/recorder.rs"]
mod recorder;
#[path = "../support/mod.rs"]
mod support;

mod limits;
mod messages;
#[cfg(all(feature = "tls", feature = "ring"))]
mod openssl;
#[cfg(target_os = "linux")]
mod resolver;
mod sessions;
#[cfg(all(feature = "tls", feature = "ring"))]
mod tls;
mod ways;

use flowsdk::types::ProtocolVersion;
use libtest_mimic::{Arguments, Trial};

use self::support::mosquitto::{Mosquitto, trial};

/// A trial for each version.
fn of_both_versions(name: &str, config: &'static str, test: fn(&mut Mosquitto, ProtocolVersion)) -> [Trial; 2] {
    fixture::VERSIONS.map(|version| {
        let suffix = if version.is_v5() { "v5" } else { "v3_1_1" };
        trial(&format!("{name}::{suffix}"), config, move |mut broker| test(&mut broker, version))
    })
}

/// A trial of what only v5.0 has.
fn of_v5(name: &str, config: &'static str, test: fn(&mut Mosquitto)) -> Trial {
    trial(name, config, move |mut broker| test(&mut broker))
}

fn main() {
    let arguments = Arguments::from_args();
    let trials = messages::trials().into_iter().chain(sessions::trials()).chain(limits::trials()).chain(ways::trials());
    #[cfg(all(feature = "tls", feature = "ring"))]
    let trials = trials.chain(tls::trials()).chain(openssl::trials());
    #[cfg(target_os = "linux")]
    let trials = trials.chain(resolver::trials());
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit();
}
