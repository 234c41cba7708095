//! Every way that a few exchanges can go, over the very session.
//!
//! A state is a [`World`]: the session, a small [broker](broker), the link between them and the application. From each
//! state every [`Action`] that is possible there leads to another one, breadth first, until none is new. A session
//! cannot be copied, so a state is kept as the history that leads to it and reached by going through that again. After
//! each action nothing may have gone wrong, and each new state has to come to its end in a bounded number of steps with
//! every message delivered, at QoS 2 once, in its order and with one outcome.
//!
//! A cut takes what lies on the link in both directions, behind whatever was delivered before, and may come in the
//! middle of a packet; a time-out is a link that swallows all until the session gives it up. Both count as a cut. The
//! bounds, for all mixtures of QoS 1 and 2 in both directions:
//!
//! | messages | searched always | with `FLOWSDK_SEARCH=full` |
//! | --- | --- | --- |
//! | 1 | 2 cuts; or 1 cut and the loss of the session; both versions | 3 cuts; or with the loss of the session |
//! | 2 | 1 cut, v5.0 | 2 cuts, both versions; or with the loss of the session in v5.0 |
//! | 2, Receive Maximum 1 | 1 cut, v5.0 | 2 cuts |
//! | 2, storage `Fixed` | 1 cut, both versions | 2 cuts |
//! | 3 | no cut, both versions | 2 cuts, v5.0; or 1 cut in v3.1.1, acknowledged by the application in both; or 1 cut and the loss of the session |
//! | 3, Receive Maximum 1 and 2 | no cut, v5.0 | 1 cut |
//! | 3, storage `Fixed` | no cut, v5.0 | 1 cut |
//!
//! The full search is for `cargo test --release`, and `--nocapture` shows how many states each mixture has.

mod broker;
mod ledger;
mod world;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::time::Instant;

use flowsdk::session::{Acknowledgement, Fixed, Heap, HeapLimits, Session, Storage};
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
    /// The storage shows all that it knows of its messages. Of one that does not, states that look alike are told apart
    /// by what the session does from there to the end.
    shows_all: bool,
}

impl Search {
    fn run<S: Storage>(case: &Case, storage: fn() -> S, shows_all: bool) -> Self
    where
        Session<S>: Debug,
    {
        let mut search = Self { shows_all, ..Self::default() };
        search.visit(World::new(case, storage()), 0, Action::Connect, 0).expect("a first state");
        let mut next = 0;
        while let Some(Node { enabled, depth, .. }) = search.nodes.get(next) {
            let (enabled, depth) = (*enabled, depth + 1);
            let history = search.history(next);
            for action in Action::ALL.into_iter().filter(|action| enabled & action.bit() != 0) {
                let mut world = World::new(case, storage());
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

    fn visit<S: Storage>(&mut self, mut world: World<S>, parent: usize, action: Action, depth: u16) -> Verdict
    where
        Session<S>: Debug,
    {
        let fingerprint = world.fingerprint();
        world.begin_trace();
        if !self.shows_all {
            let enabled = world.enabled();
            let ending = world.drain()?;
            if let Entry::Vacant(place) = self.endings.entry(fingerprint ^ ending.rotate_left(1)) {
                place.insert(ending);
                let parent = u32::try_from(parent).expect("fewer states than that");
                self.nodes.push(Node { parent, action, depth, enabled });
            }
            return Ok(());
        }
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

/// What a session keeps its messages in.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Heap,
    Fixed,
}

fn heap() -> Heap {
    Heap::new(HeapLimits { window: WINDOW, receive_window: WINDOW, ..HeapLimits::default() })
}

/// Its window is as long as the messages are many, so that it fills.
fn fixed<const MESSAGES: usize>() -> Fixed<256, MESSAGES> {
    Fixed::new()
}

/// The number of states that were seen.
fn search(case: &Case, kept: Kept) -> usize {
    let began = Instant::now();
    let search = match kept {
        Kept::Heap => Search::run(case, heap, true),
        Kept::Fixed if case.published.len() + case.offered.len() < 3 => Search::run(case, fixed::<2>, false),
        Kept::Fixed => Search::run(case, fixed::<3>, false),
    };
    let (states, transitions, compared) = (search.endings.len(), search.transitions, search.compared);
    let longest = search.nodes.iter().map(|node| node.depth).max().unwrap_or_default();
    let Case { version, acknowledgement, published, offered, cuts, losses, receive_maximum } = case;
    println!(
        "{version:?} {acknowledgement:?} {kept:?}, publishes {published:?}, receives {offered:?}, {cuts} cuts, \
         {losses} losses, receive maximum {receive_maximum}: {states} states, {transitions} transitions, \
         longest history {longest}, {compared} compared, {:.1?}",
        began.elapsed()
    );
    states
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

/// What is searched with all mixtures of so many messages.
#[derive(Clone, Copy)]
struct Bounds {
    versions: &'static [ProtocolVersion],
    by_hand: bool,
    messages: u32,
    cuts: u8,
    losses: u8,
    receive_maximum: u16,
    kept: Kept,
}

const BOTH: &[ProtocolVersion] = &[V5, V3_1_1];

impl Bounds {
    const fn new(versions: &'static [ProtocolVersion], messages: u32, cuts: u8) -> Self {
        Self { versions, by_hand: false, messages, cuts, losses: 0, receive_maximum: 0, kept: Kept::Heap }
    }

    fn search(self) {
        let Self { versions, by_hand, messages, cuts, losses, receive_maximum, kept } = self;
        let mut states = 0;
        for version in versions {
            for (published, offered) in mixtures(messages) {
                if receive_maximum > 0 && published.len() <= usize::from(receive_maximum) {
                    // It never comes to it.
                    continue;
                }
                let acknowledges = by_hand && !offered.is_empty();
                let acknowledgement = if acknowledges { Acknowledgement::Manual } else { Acknowledgement::Automatic };
                let version = *version;
                let case = Case { version, acknowledgement, published, offered, cuts, losses, receive_maximum };
                states += search(&case, kept);
            }
        }
        println!("{states} states in all");
    }
}

/// [MQTT-4.3.2-3] [MQTT-4.3.3-6] [MQTT-4.3.3-10] [MQTT-4.4.0-1]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn one_message_ends_well_in_every_way_through_cuts() {
    let cuts = if is_full() { 3 } else { 2 };
    Bounds { by_hand: true, ..Bounds::new(BOTH, 1, cuts) }.search();
    Bounds::new(&[V5], 1, cuts).search();
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn one_message_ends_well_in_every_way_through_the_loss_of_the_session() {
    let cuts = if is_full() { 3 } else { 1 };
    Bounds { by_hand: true, losses: 1, ..Bounds::new(BOTH, 1, cuts) }.search();
    if is_full() {
        Bounds { losses: 1, ..Bounds::new(&[V5], 2, 2) }.search();
    }
}

/// [MQTT-4.6.0-1] [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn two_messages_end_well_in_every_way_through_cuts() {
    Bounds::new(&[V5], 2, if is_full() { 2 } else { 1 }).search();
    if is_full() {
        Bounds { by_hand: true, ..Bounds::new(&[V3_1_1], 2, 2) }.search();
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn three_messages_end_well_in_every_way() {
    Bounds::new(&[V5], 3, if is_full() { 2 } else { 0 }).search();
    Bounds::new(&[V3_1_1], 3, u8::from(is_full())).search();
    if is_full() {
        Bounds { by_hand: true, ..Bounds::new(BOTH, 3, 1) }.search();
        Bounds { losses: 1, ..Bounds::new(BOTH, 3, 1) }.search();
    }
}

/// [MQTT-3.3.4-7]
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn messages_end_well_in_every_way_where_the_server_takes_one_or_two_at_a_time() {
    Bounds { receive_maximum: 1, ..Bounds::new(&[V5], 2, if is_full() { 2 } else { 1 }) }.search();
    for receive_maximum in [1, 2] {
        Bounds { receive_maximum, ..Bounds::new(&[V5], 3, u8::from(is_full())) }.search();
    }
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn messages_end_well_in_every_way_in_a_storage_of_fixed_size() {
    let kept = Kept::Fixed;
    Bounds { kept, ..Bounds::new(BOTH, 2, if is_full() { 2 } else { 1 }) }.search();
    Bounds { kept, ..Bounds::new(&[V5], 3, u8::from(is_full())) }.search();
}
