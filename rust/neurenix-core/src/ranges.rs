//! Ranges of addresses for large blocks: cut from what is mapped by the best fit, and joined again when they are free.
//!
//! Blocks that kept their sizes could not serve each other: a training step mapped 550 MB anew that the one before it had given back.

use std::collections::{BTreeMap, BTreeSet};

/// What is mapped grows and shrinks by as much: a huge page.
const UNIT: usize = 2 << 20;

/// Free ranges, and how much is mapped with those in use.
pub struct Ranges {
    /// Bytes, by start. Neighbours are joined, so that none of them touch.
    free: BTreeMap<usize, usize>,
    /// The same: (bytes, start).
    sizes: BTreeSet<(usize, usize)>,
    /// Where the last mapping starts: the next one is asked for below it, since ranges join across mappings.
    lowest: usize,
    mapped: usize,
}

impl Ranges {
    /// Nothing.
    pub const fn new() -> Self {
        Self { free: BTreeMap::new(), sizes: BTreeSet::new(), lowest: 0, mapped: 0 }
    }

    /// Bytes that are mapped, free and in use.
    pub fn mapped(&self) -> usize {
        self.mapped
    }

    fn insert(&mut self, start: usize, bytes: usize) {
        if bytes > 0 {
            self.free.insert(start, bytes);
            self.sizes.insert((bytes, start));
        }
    }

    fn remove(&mut self, start: usize, bytes: usize) {
        self.free.remove(&start);
        self.sizes.remove(&(bytes, start));
    }

    /// The end of the smallest free range that holds `bytes`.
    pub fn take(&mut self, bytes: usize) -> Option<usize> {
        let &(found, start) = self.sizes.range((bytes, 0)..).next()?;
        self.remove(start, found);
        self.insert(start, found - bytes);
        Some(start + found - bytes)
    }

    /// A range is free; it is joined with its neighbours.
    pub fn put(&mut self, mut start: usize, mut bytes: usize) {
        if let Some(&after) = self.free.get(&(start + bytes)) {
            self.remove(start + bytes, after);
            bytes += after;
        }
        let before = self.free.range(..start).next_back().map(|(&at, &n)| (at, n));
        if let Some((at, n)) = before.filter(|(at, n)| at + n == start) {
            self.remove(at, n);
            (start, bytes) = (at, bytes + n);
        }
        self.insert(start, bytes);
    }

    /// Bytes to map so that a range of `bytes` is free, if the place below the last mapping is: up to a whole unit's start.
    pub fn growth(&self, bytes: usize) -> usize {
        let beside = self.free.get(&self.lowest).map_or(0, |&n| n);
        let more = bytes.saturating_sub(beside);
        self.lowest.checked_sub(more).map_or_else(|| more.next_multiple_of(UNIT), |start| self.lowest - start / UNIT * UNIT)
    }

    /// Maps what a range of `bytes` needs; whether the system gave it. What is `planned` is promised and never written to,
    /// however much it is.
    pub fn extend(&mut self, bytes: usize, planned: bool) -> bool {
        let grow = self.growth(bytes);
        let found = self.map_below(grow, planned).map(|start| (start, grow)).or_else(|| {
            let whole = bytes.next_multiple_of(UNIT);
            map_whole_units(whole, planned).map(|start| (start, whole))
        });
        let Some((start, grow)) = found else { return false };
        self.lowest = start;
        self.mapped += grow;
        self.put(start, grow);
        true
    }

    /// New memory below the last mapping, unless others are there.
    fn map_below(&self, bytes: usize, planned: bool) -> Option<usize> {
        let start = self.lowest.checked_sub(bytes).filter(|&start| start > 0)?;
        let got = map(start, bytes, planned)?;
        if got != start {
            unmap(got, bytes);
            return None;
        }
        Some(got)
    }

    /// Gives whole units of free ranges back, of the largest first, until it is at least `wanted` bytes or all there are, but for
    /// the range that [`Self::extend`] would have grown.
    pub fn release(&mut self, wanted: usize) {
        let mut left = wanted;
        let found: Vec<_> = self.sizes.iter().rev().copied().collect();
        for (bytes, start) in found {
            let (first, end) = (start.next_multiple_of(UNIT), (start + bytes) / UNIT * UNIT);
            let some = left.next_multiple_of(UNIT).min(end.saturating_sub(first));
            if some == 0 || start == self.lowest || !unmap(first, some) {
                continue;
            }
            self.remove(start, bytes);
            self.insert(start, first - start);
            self.insert(first + some, start + bytes - first - some);
            self.mapped -= some;
            left = left.saturating_sub(some);
        }
    }

    /// Gives all that is free back, parts of units too.
    pub fn clear(&mut self) {
        let found = std::mem::take(&mut self.free);
        self.sizes.clear();
        for (start, bytes) in found {
            if unmap(start, bytes) {
                self.mapped -= bytes;
                if start == self.lowest {
                    self.lowest = start + bytes;
                }
            } else {
                self.insert(start, bytes);
            }
        }
    }
}

/// New memory at `start` or, where that is taken, elsewhere; 0 leaves the place to the system. Unless it is `planned` it is asked
/// to be of huge pages.
pub fn map(start: usize, bytes: usize, planned: bool) -> Option<usize> {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if planned { libc::MAP_NORESERVE } else { 0 };
    // SAFETY: an anonymous private mapping, not at a fixed place, touches no other memory.
    let got = unsafe { libc::mmap(start as *mut libc::c_void, bytes, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0) };
    if got == libc::MAP_FAILED {
        return None;
    }
    #[cfg(target_os = "linux")]
    if bytes >= UNIT && !planned {
        // SAFETY: advice on our own mapping; a refusal is harmless.
        unsafe { libc::madvise(got, bytes, libc::MADV_HUGEPAGE) };
    }
    Some(got as usize)
}

/// Gives a part of what [`map`] gave back, which nobody uses; whether the system took it.
pub fn unmap(start: usize, bytes: usize) -> bool {
    // SAFETY: the mapping is ours and nobody uses it, as the caller says.
    bytes == 0 || unsafe { libc::munmap(start as *mut libc::c_void, bytes) } == 0
}

/// New memory that starts at a multiple of a unit.
fn map_whole_units(bytes: usize, planned: bool) -> Option<usize> {
    let got = map(0, bytes.checked_add(UNIT)?, planned)?;
    let start = got.next_multiple_of(UNIT);
    unmap(got, start - got);
    unmap(start + bytes, got + UNIT - start);
    Some(start)
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_serve_larger_ones() {
        let mut ranges = Ranges::new();
        assert!(ranges.take(4096).is_none() && ranges.extend(UNIT, true));
        let parts: Vec<_> = (0..4).map(|_| ranges.take(UNIT / 4).unwrap()).collect();
        assert!(parts.windows(2).all(|p| p[1] + UNIT / 4 == p[0]) && ranges.take(4096).is_none());
        for i in [2, 0, 3, 1] {
            ranges.put(parts[i], UNIT / 4);
        }
        assert_eq!(ranges.take(UNIT), Some(parts[3]));
        ranges.put(parts[3], UNIT);
        ranges.clear();
        assert_eq!((ranges.mapped(), ranges.free.len(), ranges.sizes.len()), (0, 0, 0));
    }

    #[test]
    fn a_mapping_grows_by_what_the_free_range_beside_it_lacks() {
        let mut ranges = Ranges::new();
        assert!(ranges.extend(3 * UNIT, true));
        let used = ranges.take(UNIT).unwrap();
        assert_eq!(ranges.growth(5 * UNIT), 3 * UNIT);
        assert!(ranges.extend(5 * UNIT, true));
        let large = ranges.take(5 * UNIT).unwrap();
        assert!(ranges.mapped() == 6 * UNIT || ranges.mapped() == 8 * UNIT, "{}", ranges.mapped());
        ranges.put(large, 5 * UNIT);
        ranges.put(used, UNIT);
        ranges.release(UNIT + 1);
        assert!(ranges.mapped() <= 6 * UNIT);
        ranges.clear();
        assert_eq!(ranges.mapped(), 0);
    }

    #[test]
    fn the_smallest_range_that_is_enough_is_cut() {
        let mut ranges = Ranges::new();
        for (start, bytes) in [(1 << 30, 5 << 20), (1 << 31, 2 << 20), (1 << 32, 3 << 20)] {
            ranges.put(start, bytes);
        }
        assert_eq!(ranges.take(2 << 20), Some(1 << 31));
        assert_eq!(ranges.take(2 << 20), Some((1 << 32) + (1 << 20)));
        assert_eq!(ranges.take(6 << 20), None);
        std::mem::forget(ranges); // nothing of it is mapped
    }
}
