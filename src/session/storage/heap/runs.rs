//! Buffers that hold many PUBLISH packets each.

use std::vec::Vec;

use crate::types::PacketId;

/// How many buffers of runs are kept to be filled again.
const MAX_SPARES: usize = 4;

/// Buffers that hold many PUBLISH packets each. One of them keeps its buffer, so that counts as a whole.
#[derive(Default)]
pub(super) struct Runs {
    /// By their numbers; what has ended leaves its number to a later one.
    runs: Vec<HeldRun>,
    free: Vec<u32>,
    spares: Vec<Vec<u8>>,
}

#[derive(Default)]
struct HeldRun {
    frames: Vec<u8>,
    /// Where its packets begin.
    start: usize,
    /// How many of its packets are held, and how many segments of the wire lie in it.
    left: usize,
    on_wire: usize,
    /// The buffer came with the packets, and goes back.
    is_lent: bool,
}

/// What comes of a run that may have ended.
#[derive(Default)]
pub(super) struct Ended {
    /// Bytes that count no longer.
    pub(super) cost: usize,
    /// A buffer for others.
    pub(super) frames: Vec<u8>,
}

impl Runs {
    /// The number that the next run has.
    pub(super) fn next(&self) -> Option<u32> {
        self.free.last().copied().or_else(|| u32::try_from(self.runs.len()).ok())
    }

    /// Takes a run of so many packets under the number that was next; what it counts for. The buffer itself is taken
    /// where they fill the rest of it, and most of it.
    pub(super) fn push(&mut self, frames: &mut Vec<u8>, start: usize, part: Part) -> usize {
        let is_lent = start + part.bytes == frames.len() && frames.capacity() <= 2 * part.bytes;
        let run = if is_lent {
            HeldRun { frames: core::mem::take(frames), start, left: part.count.into(), on_wire: 0, is_lent }
        } else {
            let mut copy = self.spares.pop().unwrap_or_default();
            copy.extend_from_slice(frames.get(start..start + part.bytes).unwrap_or(&[]));
            HeldRun { frames: copy, start: 0, left: part.count.into(), on_wire: 0, is_lent }
        };
        let cost = run.frames.capacity();
        match self.free.pop() {
            Some(number) => {
                if let Some(place) = self.get_mut(number) {
                    *place = run;
                }
            }
            None => self.runs.push(run),
        }
        cost
    }

    /// Some of the packets of a run are not held any more.
    #[inline]
    pub(super) fn release(&mut self, number: u32, count: usize) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        run.left = run.left.saturating_sub(count);
        if run.left > 0 || run.on_wire > 0 { Ended::default() } else { self.end(number) }
    }

    pub(super) fn enter_wire(&mut self, number: u32) {
        if let Some(run) = self.get_mut(number) {
            run.on_wire += 1;
        }
    }

    /// A segment of the wire that lies in a run has gone whole.
    pub(super) fn leave_wire(&mut self, number: u32) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        run.on_wire = run.on_wire.saturating_sub(1);
        if run.left > 0 || run.on_wire > 0 { Ended::default() } else { self.end(number) }
    }

    /// The numbers of all runs.
    pub(super) fn numbers(&self) -> core::ops::Range<u32> {
        0..u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    /// Whether segments of the wire lie in a run.
    pub(super) fn is_on_wire(&mut self, number: u32) -> bool {
        self.get_mut(number).is_some_and(|run| run.on_wire > 0)
    }

    fn end(&mut self, number: u32) -> Ended {
        let Some(run) = self.get_mut(number) else { return Ended::default() };
        let HeldRun { mut frames, is_lent, .. } = core::mem::take(run);
        let cost = frames.capacity();
        self.free.push(number);
        if is_lent {
            return Ended { cost, frames };
        }
        if self.spares.len() < MAX_SPARES {
            frames.clear();
            self.spares.push(frames);
        }
        Ended { cost, frames: Vec::new() }
    }

    /// The packets of a run.
    pub(super) fn packets(&self, number: u32) -> &[u8] {
        let run = usize::try_from(number).ok().and_then(|number| self.runs.get(number));
        run.and_then(|run| run.frames.get(run.start..)).unwrap_or(&[])
    }

    pub(super) fn packets_mut(&mut self, number: u32) -> &mut [u8] {
        self.get_mut(number).and_then(|run| run.frames.get_mut(run.start..)).unwrap_or_default()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut HeldRun> {
        self.runs.get_mut(usize::try_from(number).ok()?)
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        if self.free.len() == self.runs.len() {
            *self = Self::default();
        }
    }
}

/// Messages of a run that are held, with consecutive identifiers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) first: PacketId,
    pub(crate) count: u16,
    pub(crate) bytes: usize,
}
