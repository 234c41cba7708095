//! What flowsdk sets out to reach, and whether it does.

use compare_support::plan::Mode;

use crate::scenario::{Driver, Kind, Placement, WORKER};
use crate::table::{Row, Table};

enum Target {
    /// At least so many times the best peer.
    OfBestPeer(f64),
    /// At least this part of plain TCP.
    OfLimit(f64),
    /// A round trip at most so many times that of plain TCP, with callbacks on their own thread and on the worker.
    RoundTrip(f64, f64),
}

use Target::{OfBestPeer, OfLimit, RoundTrip};

const TARGETS: [(&str, Target); 15] = [
    ("publish-64B-qos0", OfBestPeer(6.0)),
    ("publish-64B-qos1", OfBestPeer(2.5)),
    ("publish-64B-qos1", OfLimit(0.75)),
    ("publish-64B-qos2", OfBestPeer(2.0)),
    ("receive-64B-qos0", OfBestPeer(8.0)),
    ("receive-64B-qos1", OfBestPeer(1.6)),
    ("receive-64B-qos1", OfLimit(0.9)),
    ("publish-4KiB-qos0", OfBestPeer(3.0)),
    ("publish-4KiB-qos1", OfBestPeer(3.0)),
    ("publish-4KiB-qos2", OfBestPeer(3.0)),
    ("receive-4KiB-qos0", OfBestPeer(2.0)),
    ("receive-4KiB-qos1", OfBestPeer(2.0)),
    ("publish-1MiB-qos0", OfLimit(0.8)),
    ("receive-1MiB-qos0", OfLimit(0.8)),
    ("round-trip-64B", RoundTrip(1.3, 1.1)),
];

/// At QoS 1, with everything on one core: at least this part of plain TCP.
const ONE_CORE: f64 = 0.7;

/// One line for a target: a value, what it should be, and whether it is.
struct Verdict {
    place: String,
    wanted: String,
    value: f64,
    met: bool,
}

pub fn print(tables: &[Table]) {
    let verdicts: Vec<Verdict> = tables.iter().flat_map(of_table).collect();
    println!("\n### Targets\n");
    println!("| where | wanted | measured | |\n|---|---|---:|---|");
    for Verdict { place, wanted, value, met } in &verdicts {
        println!("| {place} | {wanted} | {value:.2} | {} |", if *met { "met" } else { "**not met**" });
    }
    let met = verdicts.iter().filter(|verdict| verdict.met).count();
    println!("\n{met} of {} targets met.", verdicts.len());
}

fn of_table(table: &Table) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for ours in table.whole().filter(|row| row.driver.kind == Kind::Ours) {
        let place = format!("{}, {}, {}", ours.driver.name, table.scenario.name, table.placement.name());
        let mut add = |wanted: String, value: f64, met: bool| {
            verdicts.push(Verdict { place: place.clone(), wanted, value, met });
        };
        // The targets are for the default mode; a round trip has another for callbacks on the worker.
        if ours.driver.setting.is_some() && (ours.driver.name != WORKER || table.scenario.mode != Mode::Echo) {
            continue;
        }
        if table.placement == Placement::OneCore {
            if let Some(limit) = table.limit() {
                let value = table.ratio(ours, limit);
                add(format!("at least {ONE_CORE} of plain TCP"), value, value >= ONE_CORE);
            }
            continue;
        }
        for (name, target) in &TARGETS {
            if *name == table.scenario.name {
                reach(table, ours, target, &mut add);
            }
        }
        frugal(table, ours, &mut add);
    }
    verdicts
}

fn reach(table: &Table, ours: &Row, target: &Target, add: &mut impl FnMut(String, f64, bool)) {
    let other = if matches!(target, OfBestPeer(_)) { table.best_peer() } else { table.limit() };
    let Some(other) = other else { return };
    let value = table.ratio(ours, other);
    match target {
        OfBestPeer(least) => add(format!("at least {least} times {}", other.driver.name), value, value >= *least),
        OfLimit(least) => add(format!("at least {least} of plain TCP"), value, value >= *least),
        RoundTrip(own_thread, worker) => {
            let most = if ours.driver.name == WORKER { worker } else { own_thread };
            add(format!("at most {most} times plain TCP"), value, value <= *most);
        }
    }
}

/// Memory as little as the leanest Rust peer, processor time the least of all.
fn frugal(table: &Table, ours: &Row, add: &mut impl FnMut(String, f64, bool)) {
    let rust = |row: &&Row| row.driver.kind == Kind::RustPeer;
    let rss = |row: &Row| row.median(|round| round.rss_mib);
    let cpu = |row: &Row| row.median(|round| round.cpu_us);
    let least = |rows: Vec<(Driver, f64)>| rows.into_iter().min_by(|left, right| left.1.total_cmp(&right.1));
    if let Some((peer, leanest)) = least(table.peers().filter(rust).map(|row| (row.driver, rss(row))).collect()) {
        let value = rss(ours) / leanest;
        add(format!("peak RSS at most that of {}", peer.name), value, value <= 1.0);
    }
    if let Some((peer, cheapest)) = least(table.peers().map(|row| (row.driver, cpu(row))).collect()) {
        let value = cpu(ours) / cheapest;
        add(format!("CPU time at most that of {}", peer.name), value, value <= 1.0);
    }
}
