//! A link that fails by plan: what happens to a connection depends on the seed and its number alone.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::random::Random;
use crate::support::proxy::Passage;
use crate::support::referee::{Referee, Side};

/// Cuts, stalls, splits and delays.
pub(crate) struct Faulty {
    seed: u64,
    referee: Arc<Referee>,
    plans: Mutex<HashMap<(usize, Side), Plan>>,
    done: Done,
}

/// What the link has done so far.
#[derive(Default)]
pub(crate) struct Done {
    pub(crate) cuts: AtomicUsize,
    pub(crate) stalls: AtomicUsize,
    pub(crate) delays: AtomicUsize,
    pub(crate) splits: AtomicUsize,
    /// How many cuts there may be so far; without this a long message that is in the way of all others never passes.
    pub(crate) allowed_cuts: AtomicUsize,
}

/// What is to happen to one direction of a connection.
struct Plan {
    random: Random,
    /// How many bytes pass until the connection is cut.
    left: usize,
}

impl Faulty {
    pub(crate) fn new(seed: u64, referee: Arc<Referee>) -> Arc<Self> {
        Arc::new(Self { seed, referee, plans: Mutex::default(), done: Done::default() })
    }

    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    fn plan(&self, connection: usize, side: Side) -> Plan {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.remove(&(connection, side)).unwrap_or_else(|| Plan::new(self.seed, connection, side))
    }

    fn write_in_pieces(&self, plan: &mut Plan, mut bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        while !bytes.is_empty() {
            let is_split = plan.random.one_in(4);
            let len = if is_split { plan.random.below(20) as usize + 1 } else { bytes.len() };
            let (piece, rest) = bytes.split_at(len.min(bytes.len()));
            to.write_all(piece)?;
            self.done.splits.fetch_add(usize::from(!rest.is_empty()), Ordering::Relaxed);
            // A delay is the fault itself here, not a wait for something.
            if plan.random.one_in(400) {
                self.done.stalls.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(50 + plan.random.below(250)));
            } else if plan.random.one_in(20) {
                self.done.delays.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_micros(plan.random.below(5000)));
            }
            bytes = rest;
        }
        Ok(())
    }
}

impl Plan {
    fn new(seed: u64, connection: usize, side: Side) -> Self {
        let mut random = Random::new(seed ^ (connection as u64).wrapping_mul(0x9E37_79B9));
        let cut_side = if random.one_in(2) { Side::Client } else { Side::Broker };
        // As many cuts within the first few bytes as after many: within a CONNECT, a resume, or the midst of a burst.
        let magnitude = 4 + random.below(14);
        let left = if side == cut_side { random.below(1 << magnitude) as usize + 1 } else { usize::MAX };
        let random = Random::new(random.next() ^ side as u64);
        Self { random, left }
    }
}

impl Passage for Arc<Faulty> {
    fn pass(&self, connection: usize, side: Side, bytes: &[u8], to: &mut TcpStream) -> io::Result<()> {
        self.referee.see(connection, side, bytes);
        let mut plan = self.plan(connection, side);
        let may_cut = self.done.cuts.load(Ordering::SeqCst) < self.done.allowed_cuts.load(Ordering::SeqCst);
        let passing = if may_cut { plan.left.min(bytes.len()) } else { bytes.len() };
        self.write_in_pieces(&mut plan, &bytes[..passing], to)?;
        if may_cut && passing == plan.left {
            self.done.cuts.fetch_add(1, Ordering::SeqCst);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        plan.left = plan.left.saturating_sub(passing).max(1);
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert((connection, side), plan);
        Ok(())
    }
}
