//! Every way that a few exchanges can go, over the very session.
//!
//! A state is a [`World`]: the session, a small [broker](broker), the link between them and the application. From each
//! state every [`Action`] that is possible there leads to another one, breadth first, until none is new. A session cannot
//! be copied, so a state is kept as the history that leads to it and reached by going through that again. After each
//! action nothing may have gone wrong, and each new state has to come to its end in a bounded number of steps with every
//! message delivered, at QoS 2 once, in its order and with one outcome.
//!
//! A cut takes what lies on the link in both directions, behind whatever was delivered before, and may come in the middle
//! of a packet; a time-out is a link that swallows all until the session gives it up. Both count as a cut. The bounds, for
//! all mixtures of QoS 1 and 2 in both directions:
//!
//! | messages | searched always | with `FLOWSDK_SEARCH=full` |
//! | --- | --- | --- |
//! | 1 | 2 cuts; or 1 cut and the loss of the session; both versions | 3 cuts; or with the loss of the session |
//! | 2 | 1 cut, v5.0 | 2 cuts, both versions; or with the loss of the session in v5.0 |
//! | 3 | no cut, v5.0 | 2 cuts, v5.0; or 1 cut, acknowledged by the application |
//!
//! The full search is for `cargo test --release`, and `--nocapture` shows how many states each mixture has.

mod broker;
mod ledger;
mod world;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use flowsdk::session::Acknowledgement;
use flowsdk::types::{ProtocolVersion, QoS};

use crate::support::*;
use ledger::Verdict;
use world::{Action, Case, World};

/// One of so many states that are reached again is compared with what it was the first time.
const SAMPLE: usize = 8;

struct Node {
    parent: u32,
    action: Action,
    depth: u16,
    enabled: u16,
}

#[derive(Default)]
struct Search {
    nodes: Vec<Node>,
    /// The states by their fingerprints, each with what the session does from there to the end.
    endings: HashMap<u64, u64>,
    transitions: usize,
    compared: usize,
}

impl Search {
    fn run(case: &Case) -> Self {
        let mut search = Self::default();
        search.visit(World::new(case), 0, Action::Connect, 0).expect("a first state");
        let mut next = 0;
        while let Some(Node { enabled, depth, .. }) = search.nodes.get(next) {
            let (enabled, depth) = (*enabled, depth + 1);
            let history = search.history(next);
            for action in Action::ALL.into_iter().filter(|action| enabled & action.bit() != 0) {
                let mut world = World::new(case);
                let again = history.iter().try_for_each(|action| world.apply(*action));
                let verdict = again.and_then(|()| world.apply(action));
                let verdict = verdict.and_then(|()| search.visit(world, next, action, depth));
                if let Err(wrong) = verdict {
                    panic!("{wrong}\n{case:?}\n{history:?}, {action:?}");
                }
                search.transitions += 1;
            }
            next += 1;
        }
        search
    }

    fn visit(&mut self, mut world: World, parent: usize, action: Action, depth: u16) -> Verdict {
        let fingerprint = world.fingerprint();
        world.begin_trace();
        match self.endings.entry(fingerprint) {
            Entry::Vacant(place) => {
                let enabled = world.enabled();
                place.insert(world.drain()?);
                let parent = u32::try_from(parent).expect("fewer states than that");
                self.nodes.push(Node { parent, action, depth, enabled });
            }
            Entry::Occupied(known) if self.transitions.is_multiple_of(SAMPLE) => {
                self.compared += 1;
                if world.drain()? != *known.get() {
                    return Err("two states look alike and go on in different ways".to_owned());
                }
            }
            Entry::Occupied(_) => {}
        }
        Ok(())
    }

    fn history(&self, mut of: usize) -> Vec<Action> {
        let mut history = Vec::new();
        while of > 0 {
            history.push(self.nodes[of].action);
            of = self.nodes[of].parent as usize;
        }
        history.reverse();
        history
    }
}

fn search(case: &Case) {
    let (began, search) = (Instant::now(), Search::run(case));
    let (states, transitions, compared) = (search.endings.len(), search.transitions, search.compared);
    let longest = search.nodes.iter().map(|node| node.depth).max().unwrap_or_default();
    let Case { version, acknowledgement, published, offered, cuts, losses } = case;
    println!(
        "{version:?} {acknowledgement:?}, publishes {published:?}, receives {offered:?}, {cuts} cuts, {losses} losses: \
         {states} states, {transitions} transitions, longest history {longest}, {compared} compared, {:.1?}",
        began.elapsed()
    );
}

/// Whether the larger bounds are searched.
fn is_full() -> bool {
    std::env::var("FLOWSDK_SEARCH").is_ok_and(|what| what == "full")
}

/// All that so many messages can be: in each direction every list of QoS 1 and 2.
fn mixtures(count: u32) -> Vec<(Vec<QoS>, Vec<QoS>)> {
    let qos_of = |bits: u32, nth: u32| if bits >> nth & 1 == 0 { AtLeastOnce } else { ExactlyOnce };
    let mixture = |published: u32, bits: u32| {
        let list = |range: std::ops::Range<u32>| range.map(|nth| qos_of(bits, nth)).collect();
        (list(0..published), list(published..count))
    };
    (0..=count).flat_map(|published| (0..1 << count).map(move |bits| mixture(published, bits))).collect()
}

fn search_all(versions: &[ProtocolVersion], by_hand: bool, messages: u32, cuts: u8, losses: u8) {
    for version in versions {
        for (published, offered) in mixtures(messages) {
            let acknowledges = by_hand && !offered.is_empty();
            let acknowledgement = if acknowledges { Acknowledgement::Manual } else { Acknowledgement::Automatic };
            search(&Case { version: *version, acknowledgement, published, offered, cuts, losses });
        }
    }
}

/// [MQTT-4.3.2-3] [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn one_message_ends_well_in_every_way_through_cuts() {
    let cuts = if is_full() { 3 } else { 2 };
    search_all(&[V5, V3_1_1], true, 1, cuts, 0);
    search_all(&[V5], false, 1, cuts, 0);
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn one_message_ends_well_in_every_way_through_the_loss_of_the_session() {
    search_all(&[V5, V3_1_1], true, 1, if is_full() { 3 } else { 1 }, 1);
    if is_full() {
        search_all(&[V5], false, 2, 2, 1);
    }
}

/// [MQTT-4.6.0-1] [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn two_messages_end_well_in_every_way_through_cuts() {
    search_all(&[V5], false, 2, if is_full() { 2 } else { 1 }, 0);
    if is_full() {
        search_all(&[V3_1_1], true, 2, 2, 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn three_messages_end_well_in_every_way() {
    search_all(&[V5], false, 3, if is_full() { 2 } else { 0 }, 0);
    if is_full() {
        search_all(&[V5], true, 3, 1, 0);
    }
}
