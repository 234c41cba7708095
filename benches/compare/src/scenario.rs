//! What is compared, whom, and where they run.

use std::path::{Path, PathBuf};

use compare_support::plan::{Mode, Plan};

/// Messages of QoS 1 and 2 in flight.
pub const WINDOW: u16 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub name: &'static str,
    pub mode: Mode,
    pub qos: u8,
    pub size: usize,
    /// How many messages a smoke test sends.
    pub few: usize,
}

impl Scenario {
    const fn new(name: &'static str, mode: Mode, qos: u8, size: usize, few: usize) -> Self {
        Self { name, mode, qos, size, few }
    }

    pub fn plan(&self, messages: usize) -> Plan {
        Plan {
            host: "127.0.0.1".to_string(),
            port: 0,
            mode: self.mode,
            qos: self.qos,
            size: self.size,
            window: WINDOW,
            messages,
        }
    }
}

const KIB: usize = 1024;

pub const SCENARIOS: [Scenario; 13] = [
    Scenario::new("publish-64B-qos0", Mode::Publish, 0, 64, 3000),
    Scenario::new("publish-64B-qos1", Mode::Publish, 1, 64, 3000),
    Scenario::new("publish-64B-qos2", Mode::Publish, 2, 64, 3000),
    Scenario::new("receive-64B-qos0", Mode::Receive, 0, 64, 3000),
    Scenario::new("receive-64B-qos1", Mode::Receive, 1, 64, 3000),
    Scenario::new("publish-4KiB-qos0", Mode::Publish, 0, 4 * KIB, 3000),
    Scenario::new("publish-4KiB-qos1", Mode::Publish, 1, 4 * KIB, 3000),
    Scenario::new("publish-4KiB-qos2", Mode::Publish, 2, 4 * KIB, 3000),
    Scenario::new("receive-4KiB-qos0", Mode::Receive, 0, 4 * KIB, 3000),
    Scenario::new("receive-4KiB-qos1", Mode::Receive, 1, 4 * KIB, 3000),
    Scenario::new("publish-1MiB-qos0", Mode::Publish, 0, KIB * KIB, 50),
    Scenario::new("receive-1MiB-qos0", Mode::Receive, 0, KIB * KIB, 50),
    Scenario::new("round-trip-64B", Mode::Echo, 0, 64, 300),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain TCP.
    Limit,
    Ours,
    RustPeer,
    CPeer,
}

#[derive(Clone, Copy, Debug)]
pub struct Driver {
    pub name: &'static str,
    /// The program's file name.
    file: &'static str,
    pub kind: Kind,
    /// What the program is told besides its plan, in its environment.
    pub setting: Option<(&'static str, &'static str)>,
    /// The scenarios that it is there for.
    pub takes: fn(&Scenario) -> bool,
}

impl Driver {
    const fn new(name: &'static str, file: &'static str, kind: Kind) -> Self {
        Self { name, file, kind, setting: None, takes: |_| true }
    }

    /// flowsdk in another of its modes.
    const fn ours(name: &'static str, mode: &'static str, takes: fn(&Scenario) -> bool) -> Self {
        Self { name, file: "driver-flowsdk", kind: Kind::Ours, setting: Some(("COMPARE_MODE", mode)), takes }
    }

    pub fn program(&self, directory: &Path) -> PathBuf {
        directory.join(self.file)
    }
}

/// The name of the driver whose callbacks run on the worker.
pub const WORKER: &str = "flowsdk, on the worker";

pub const DRIVERS: [Driver; 11] = [
    Driver::new("plain TCP", "driver-tcp", Kind::Limit),
    Driver::new("flowsdk", "driver-flowsdk", Kind::Ours),
    Driver::ours("flowsdk, publish_batch", "batch", |scenario| matches!(scenario.mode, Mode::Publish)),
    Driver::ours(WORKER, "worker", |_| true),
    Driver::ours("flowsdk, without spinning", "sleep", awaits_answers),
    Driver::ours("flowsdk, on the worker, without spinning", "worker-sleep", awaits_answers),
    Driver::new("rumqttc 0.25", "driver-rumqttc", Kind::RustPeer),
    Driver::new("rumqttc-v5-next", "driver-rumqttc-v5-next", Kind::RustPeer),
    Driver::new("mqtt5", "driver-mqtt5", Kind::RustPeer),
    Driver::new("libmosquitto", "driver-mosquitto", Kind::CPeer),
    Driver::new("Paho C", "driver-paho", Kind::CPeer),
];

fn awaits_answers(scenario: &Scenario) -> bool {
    scenario.qos > 0 || matches!(scenario.mode, Mode::Echo)
}

/// Which processors the two ends may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The driver on one, the sink on another.
    Pinned,
    /// All of them.
    Unpinned,
    /// Both on the same.
    OneCore,
}

pub const PLACEMENTS: [Placement; 3] = [Placement::Pinned, Placement::Unpinned, Placement::OneCore];

impl Placement {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::OneCore => "one-core",
        }
    }

    /// The processors of the driver.
    pub fn of_driver(self, all: &[usize]) -> &[usize] {
        if self == Self::Unpinned { all } else { &all[..1] }
    }

    /// The processors of the sink.
    pub fn of_sink(self, all: &[usize]) -> &[usize] {
        match self {
            Self::Pinned => &all[all.len() - 1..],
            Self::Unpinned => all,
            Self::OneCore => &all[..1],
        }
    }

    /// On one core only the rows that a target asks for are worth their time.
    pub fn takes(self, scenario: &Scenario) -> bool {
        self != Self::OneCore || (scenario.size == 64 && scenario.qos == 1)
    }
}
