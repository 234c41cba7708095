//! The client against mosquitto over a link that fails all the time, with a ledger on both ends.
//!
//! `FLOWSDK_CHAOS_SEED` repeats the plan of a run, and `FLOWSDK_CHAOS=long` makes it a long one. Without mosquitto
//! these tests are ignored; where `FLOWSDK_REQUIRE_MOSQUITTO` is set they fail.

#[cfg(feature = "persistence")]
mod child;
#[cfg(all(feature = "persistence", target_os = "linux"))]
mod disk;
#[path = "../client/broker_fixture.rs"]
mod fixture;
#[cfg(feature = "persistence")]
mod kills;
mod ledger;
mod passage;
mod peer;
mod random;
#[path = "../client/recorder.rs"]
mod recorder;
mod run;
#[path = "../support/mod.rs"]
mod support;
#[cfg(feature = "persistence")]
mod told;

use std::time::{SystemTime, UNIX_EPOCH};

use flowsdk::types::ProtocolVersion;
use libtest_mimic::{Arguments, Trial};

use self::run::{Run, Size};
use self::support::mosquitto::trial;

/// Messages for each QoS and direction, and what happens meanwhile.
const SHORT: Size = Size { messages: 5000, cuts: 100, restarts: 4 };
const LONG: Size = Size { messages: 20_000, cuts: 300, restarts: 6 };

/// Sessions outlive the broker. mosquitto 2.0.11 keeps no order among messages that wait for a place in flight, so
/// there are places enough.
const CONFIG: &str = "persistence true\nmax_inflight_messages 0";

fn main() {
    #[cfg(feature = "persistence")]
    child::run_if_child();
    #[cfg(all(feature = "persistence", target_os = "linux"))]
    disk::run_if_child();
    // Memory and time are those of the one test that runs.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let is_long = std::env::var("FLOWSDK_CHAOS").is_ok_and(|length| length == "long");
    let size = if is_long { LONG } else { SHORT };
    let seed = std::env::var("FLOWSDK_CHAOS_SEED").map_or_else(|_| time(), |seed| seed.parse().expect("a number"));
    #[cfg_attr(not(feature = "persistence"), expect(unused_mut, reason = "nothing survives a process without it"))]
    let mut trials: Vec<_> = fixture::VERSIONS.map(|version| of_version(version, seed, size)).into();
    #[cfg(feature = "persistence")]
    trials.extend(killing::trials(seed, is_long));
    #[cfg(all(feature = "persistence", target_os = "linux"))]
    trials.push(Trial::test("a_full_disk_loses_nothing", || {
        disk::a_full_disk_loses_nothing();
        Ok(())
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn of_version(version: ProtocolVersion, seed: u64, size: Size) -> Trial {
    let suffix = if version.is_v5() { "v5" } else { "v3_1_1" };
    let name = format!("nothing_is_lost_or_doubled_or_out_of_order_over_a_failing_link::{suffix}");
    trial(&name, CONFIG, move |broker| Run { broker, version, seed, size }.go())
}

#[cfg(feature = "persistence")]
mod killing {
    use flowsdk::mqtt_client::InboundStorage;

    use super::*;
    use crate::kills::Kills;

    /// Each version with each way to store what is received; of the short ones, each of them once.
    pub(crate) fn trials(seed: u64, is_long: bool) -> Vec<Trial> {
        let (messages, kills) = if is_long { (20_000, 20) } else { (1500, 4) };
        let ways = [InboundStorage::IdFirst, InboundStorage::AckAfter];
        let all = ways.into_iter().flat_map(|inbound| fixture::VERSIONS.map(|version| (version, inbound)));
        let is_short = |version: ProtocolVersion, inbound| version.is_v5() == (inbound == InboundStorage::IdFirst);
        let chosen = all.filter(|(version, inbound)| is_long || is_short(*version, *inbound));
        let trial_of = |(version, inbound): (ProtocolVersion, InboundStorage)| {
            let way = if inbound == InboundStorage::IdFirst { "id_first" } else { "ack_after" };
            let suffix = if version.is_v5() { "v5" } else { "v3_1_1" };
            let name = format!("a_client_that_is_killed_goes_on_by_its_file::{way}::{suffix}");
            trial(&name, CONFIG, move |broker| Kills { broker, version, inbound, seed, messages, kills }.go())
        };
        chosen.map(trial_of).collect()
    }
}

fn time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
