//! Ranges of addresses for large blocks: cut from what is mapped by the best fit, and joined again when they are free. A mapping follows
//! the one before it in addresses that are reserved for it.
//!
//! Blocks that kept their sizes could not serve each other: a training step mapped 550 MB anew that the one before it had given back.

use std::collections::{BTreeMap, BTreeSet};

/// What is mapped grows by as much: a huge page.
const UNIT: usize = 2 << 20;
/// Large blocks are multiples of this.
pub const PAGE: usize = 4096;

/// Free ranges, and how much is mapped with those in use.
pub struct Ranges {
    /// Bytes, by start. Neighbours are joined, so that none of them touch.
    free: BTreeMap<usize, usize>,
    /// The same: (bytes, start).
    sizes: BTreeSet<(usize, usize)>,
    /// Addresses from `floor` on that nobody else gets, up to `lowest`, where the last mapping starts: the next one lies below it, since
    /// ranges join across mappings.
    floor: usize,
    lowest: usize,
    mapped: usize,
}

impl Ranges {
    /// Nothing.
    pub const fn new() -> Self {
        Self { free: BTreeMap::new(), sizes: BTreeSet::new(), floor: 0, lowest: 0, mapped: 0 }
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

    /// Bytes to map so that a range of `bytes` is free.
    pub fn growth(&self, bytes: usize) -> usize {
        let beside = self.free.get(&self.lowest).map_or(0, |&n| n);
        let more = bytes.saturating_sub(beside).next_multiple_of(UNIT);
        if more <= self.lowest - self.floor { more } else { bytes.next_multiple_of(UNIT) }
    }

    /// Maps what a range of `bytes` needs; whether the system gave it. What is `planned` is promised and never written to,
    /// however much it is.
    pub fn extend(&mut self, bytes: usize, planned: bool) -> bool {
        let grow = self.growth(bytes);
        if grow > self.lowest - self.floor {
            let Some((floor, end)) = reserve(grow) else { return false };
            unmap(self.floor, self.lowest - self.floor);
            (self.floor, self.lowest) = (floor, end);
        }
        let start = self.lowest - grow;
        if !commit(start, grow, planned) {
            return false;
        }
        self.lowest = start;
        self.mapped += grow;
        self.put(start, grow);
        true
    }

    /// Gives free memory back until it is at least `wanted` bytes or all there is: whole units, then pages, of the largest ranges first,
    /// but for the range that [`Self::extend`] would have grown.
    pub fn release(&mut self, wanted: usize) {
        let mut left = wanted;
        for unit in [UNIT, PAGE] {
            let found: Vec<_> = self.sizes.iter().rev().copied().filter(|&(_, start)| start != self.lowest).collect();
            for (bytes, start) in found {
                let (first, end) = (start.next_multiple_of(unit), (start + bytes) / unit * unit);
                let some = left.next_multiple_of(unit).min(end.saturating_sub(first));
                if some > 0 && unmap(first, some) {
                    self.remove(start, bytes);
                    self.insert(start, first - start);
                    self.insert(first + some, start + bytes - first - some);
                    self.mapped -= some;
                    left = left.saturating_sub(some);
                }
            }
        }
    }

    /// Gives all that is free back, parts of units too.
    pub fn clear(&mut self) {
        let found = std::mem::take(&mut self.free);
        self.sizes.clear();
        for (start, bytes) in found {
            if unmap(start, bytes) {
                self.mapped -= bytes;
            } else {
                self.insert(start, bytes);
            }
        }
    }
}

/// New memory where the system likes; what is only `reserved` may not be touched.
fn new(bytes: usize, reserved: bool) -> Option<usize> {
    let (may, kind) = if reserved { (libc::PROT_NONE, libc::MAP_NORESERVE) } else { (libc::PROT_READ | libc::PROT_WRITE, 0) };
    // SAFETY: an anonymous private mapping, not at a fixed place, touches no other memory.
    let got = unsafe { libc::mmap(std::ptr::null_mut(), bytes, may, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | kind, -1, 0) };
    (got != libc::MAP_FAILED).then_some(got as usize)
}

/// Addresses for mappings of together `bytes` at least, whole units: as many as this machine has memory, unless addresses are scarce.
fn reserve(bytes: usize) -> Option<(usize, usize)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills what it is given, and asks for numbers.
    let (pages, free) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) == 0) };
    let scarce = !free || limit.rlim_cur != libc::RLIM_INFINITY;
    let ample = if scarce { bytes } else { bytes.max(usize::try_from(pages).unwrap_or(0).saturating_mul(4096)) };
    for wanted in [ample, bytes] {
        let len = wanted.checked_add(2 * UNIT)?;
        if let Some(got) = new(len, true) {
            let (floor, end) = (got.next_multiple_of(UNIT), (got + len) / UNIT * UNIT);
            unmap(got, floor - got);
            unmap(end, got + len - end);
            return Some((floor, end));
        }
    }
    None
}

/// Lets reserved addresses be written to, with huge pages unless it is only `planned`.
fn commit(start: usize, bytes: usize, planned: bool) -> bool {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | if planned { libc::MAP_NORESERVE } else { 0 };
    let at = start as *mut libc::c_void;
    // SAFETY: the addresses are reserved by us, and nobody uses them.
    let got = unsafe { libc::mmap(at, bytes, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0) };
    if got == at && !planned {
        advise(start, bytes);
    }
    got == at
}

/// A mapping of its own.
pub fn map(bytes: usize) -> Option<usize> {
    let start = new(bytes, false)?;
    advise(start, bytes);
    Some(start)
}

/// Asks for huge pages.
fn advise(start: usize, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= UNIT {
        // SAFETY: advice on our own mapping; a refusal is harmless.
        unsafe { libc::madvise(start as *mut libc::c_void, bytes, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// Gives a part of what was mapped or reserved back, which nobody uses; whether the system took it.
pub fn unmap(start: usize, bytes: usize) -> bool {
    // SAFETY: the mapping is ours and nobody uses it, as the caller says.
    bytes == 0 || unsafe { libc::munmap(start as *mut libc::c_void, bytes) } == 0
}

impl Drop for Ranges {
    fn drop(&mut self) {
        unmap(self.floor, self.lowest - self.floor);
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
        assert_eq!(ranges.mapped(), 6 * UNIT);
        ranges.put(large, 5 * UNIT);
        ranges.put(used, UNIT);
        ranges.release(UNIT + 1);
        assert_eq!(ranges.mapped(), 6 * UNIT); // what would grow is kept
        ranges.clear();
        assert_eq!(ranges.mapped(), 0);
    }

    #[test]
    fn parts_of_units_are_given_back_where_no_whole_one_is_free() {
        let mut ranges = Ranges::new();
        assert!(ranges.extend(2 * UNIT, true));
        let parts: Vec<_> = (0..4).map(|_| ranges.take(UNIT / 2).unwrap()).collect();
        ranges.put(parts[0], UNIT / 2);
        ranges.put(parts[2], UNIT / 2);
        ranges.release(UNIT / 2 + 1);
        assert_eq!(ranges.mapped(), UNIT / 2 * 3 - PAGE);
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
