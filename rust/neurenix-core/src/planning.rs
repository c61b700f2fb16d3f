//! Plans: what memory a run would take, found by running everything but the tasks of its kernels.
//!
//! In a thread that plans, arrays and the buffers of kernels come from a pool of its own, of the same classes and the same thrift,
//! whose memory is never written to; a parallel region runs no task but its first, which only says what scratch it would have.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blocks;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static IN_KERNEL: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread plans.
#[inline]
pub fn is_on() -> bool {
    ON.get()
}

/// Lets this thread plan, or not.
pub fn set(on: bool) {
    ON.set(on);
    IN_KERNEL.set(false);
}

/// Runs `f`, whose memory a plan notes as a kernel's.
pub fn in_kernel<R>(f: impl FnOnce() -> R) -> R {
    IN_KERNEL.set(true);
    let result = f();
    IN_KERNEL.set(false);
    result
}

/// Notes the scratch that a task of a region has: the calling thread and `helpers` others, each of them keeping it.
pub fn note_scratch(bytes: usize, helpers: usize) {
    blocks::with_plan(|notes| notes.scratch(bytes, helpers));
}

/// One block in use, as the plan tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its number: no other allocation of the plan has it.
    pub serial: usize,
    /// Address.
    pub start: usize,
    /// Bytes that are resident.
    pub bytes: usize,
    /// Whether a kernel took it for itself.
    pub kernel: bool,
}

/// What a plan noted.
#[derive(Debug, Default)]
pub struct Notes {
    /// Of this plan, from 1 on.
    pub number: usize,
    live: BTreeMap<usize, Item>,
    /// Bytes of these.
    used: usize,
    /// The most that was in use at once, with scratch.
    most: usize,
    resident: usize,
    serial: usize,
    /// Scratch that the calling thread keeps, and each of its helpers, with their number.
    kept: (usize, usize, usize),
    /// The most that was resident at once.
    pub peak: usize,
    /// What was in use when most was; beside it blocks may have been cached, before or later.
    pub at_peak: Vec<Item>,
    /// Scratch that threads kept then.
    pub scratch_at_peak: usize,
}

impl Notes {
    /// Nothing yet.
    pub fn new() -> Self {
        static PLANS: AtomicUsize = AtomicUsize::new(0);
        Self { number: PLANS.fetch_add(1, Ordering::Relaxed) + 1, ..Self::default() }
    }

    /// What is in use.
    pub fn live(&self) -> Vec<Item> {
        self.live.values().copied().collect()
    }

    /// Starts to look for the peak anew.
    pub fn reset_peak(&mut self) {
        (self.peak, self.most) = (0, 0);
        self.look();
    }

    fn kept_bytes(&self) -> usize {
        self.kept.0 + self.kept.1 * self.kept.2
    }

    fn look(&mut self) {
        let kept = self.kept_bytes();
        self.peak = self.peak.max(self.resident + kept);
        if self.used + kept > self.most {
            (self.most, self.at_peak, self.scratch_at_peak) = (self.used + kept, self.live(), kept);
        }
    }

    /// A block is taken, of which `bytes` are resident, of `resident` that the pool has then.
    pub fn take(&mut self, start: usize, bytes: usize, resident: usize) {
        self.serial += 1;
        self.resident = resident;
        self.used += bytes;
        self.live.insert(start, Item { serial: self.serial, start, bytes, kernel: IN_KERNEL.get() });
        self.look();
    }

    /// A block is free for others.
    pub fn free(&mut self, start: usize) {
        self.used -= self.live.remove(&start).map_or(0, |item| item.bytes);
    }

    fn scratch(&mut self, bytes: usize, helpers: usize) {
        self.kept.0 = self.kept.0.max(bytes);
        if helpers > 0 {
            (self.kept.1, self.kept.2) = (self.kept.1.max(bytes), self.kept.2.max(helpers));
        }
        self.look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::{Block, begin_plan, end_plan, stats};

    #[test]
    fn a_plan_counts_without_memory() {
        let before = stats().live;
        begin_plan();
        set(true);
        let first = Block::new(1 << 40).unwrap();
        drop(Block::new(3 << 20));
        let again = in_kernel(|| Block::new(3 << 20)).unwrap();
        assert_eq!(stats().live, before);
        note_scratch(1 << 20, 3);
        let live = blocks::with_plan(|notes| notes.live()).unwrap();
        assert_eq!(live.iter().filter(|item| item.kernel).count(), 1);
        let outlives = Block::new(1 << 20).unwrap();
        drop((first, again));
        set(false);
        let (notes, stats) = end_plan().unwrap();
        begin_plan();
        drop(outlives);
        assert_eq!(end_plan().unwrap().1, blocks::Stats::default());
        assert_eq!(notes.peak, (1 << 40) + (3 << 20) + (1 << 20) + (4 << 20));
        assert_eq!((notes.at_peak.len(), notes.scratch_at_peak, stats.live), (3, 4 << 20, 1 << 20));
    }
}
