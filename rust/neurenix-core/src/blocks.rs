//! Memory for arrays: recycled, aligned blocks in size classes.
//!
//! Fresh memory costs page faults: filling 64 new 1 MB arrays took 31 ms, from this pool 2.6 ms. The pool keeps
//! little more than what was once in use at the same time: before it grows a thirty-second past its own peak it gives cached
//! blocks back.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::planning;

/// Every block starts at a multiple of this many bytes: a cache line, and a vector of the widest level.
pub const ALIGN: usize = 64;
/// From this size on a block is its own mapping, so that giving it back really shrinks the process.
const MAPPED: usize = 256 << 10;
/// From this size on huge pages are asked for.
const HUGE: usize = 4 << 20;

/// What the pool holds, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// In arrays that are alive.
    pub live: usize,
    /// The most that was alive at once since the last reset.
    pub peak: usize,
    /// Kept for reuse.
    pub cached: usize,
}

struct Pool {
    /// By class: addresses, and how many bytes of each were ever written to.
    free: BTreeMap<usize, Vec<(usize, usize)>>,
    stats: Stats,
    /// Bytes of live and cached blocks that were written to.
    resident: usize,
    high: usize,
    limit: usize,
    /// What a plan notes of its own pool; the pool of arrays has none.
    plan: Option<planning::Notes>,
}

impl Pool {
    const fn new(plan: Option<planning::Notes>) -> Self {
        Self { free: BTreeMap::new(), stats: Stats { live: 0, peak: 0, cached: 0 }, resident: 0, high: 0, limit: usize::MAX, plan }
    }
}

/// The pool of arrays, and the one in which a plan counts.
struct Pools {
    arrays: Pool,
    plan: Option<Pool>,
}

/// A lock that a `fork` can carry over: the handlers take it before and free it on both sides.
struct Lock {
    taken: AtomicBool,
    pools: std::cell::UnsafeCell<Pools>,
}

// SAFETY: the cell is only reached while `taken` is held.
unsafe impl Sync for Lock {}

static LOCK: Lock =
    Lock { taken: AtomicBool::new(false), pools: std::cell::UnsafeCell::new(Pools { arrays: Pool::new(None), plan: None }) };

extern "C" fn acquire() {
    while LOCK.taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
}

extern "C" fn release() {
    LOCK.taken.store(false, Ordering::Release);
}

fn with_pools<R>(f: impl FnOnce(&mut Pools) -> R) -> R {
    struct Unlock;
    impl Drop for Unlock {
        fn drop(&mut self) {
            release();
        }
    }
    static FORK: Once = Once::new();
    // SAFETY: the handlers only touch the lock's flag.
    FORK.call_once(|| unsafe {
        libc::pthread_atfork(Some(acquire), Some(release), Some(release));
    });
    acquire();
    let _unlock = Unlock;
    // SAFETY: the lock is held until `_unlock` drops.
    f(unsafe { &mut *LOCK.pools.get() })
}

fn with_pool<R>(f: impl FnOnce(&mut Pool) -> R) -> R {
    with_pools(|pools| f(&mut pools.arrays))
}

/// The size that a request is rounded up to: four classes an octave, at most 25% more.
fn class_of(bytes: usize) -> usize {
    let bytes = bytes.max(ALIGN);
    let step = (bytes.next_power_of_two() / 8).max(ALIGN);
    let rounded = bytes.div_ceil(step) * step;
    if rounded >= MAPPED { rounded.div_ceil(4096) * 4096 } else { rounded }
}

/// New memory; that of a plan is promised by the system and never written to, however much it is.
fn fresh(class: usize, planned: bool) -> Option<usize> {
    if class < MAPPED {
        let layout = Layout::from_size_align(class, ALIGN).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { std::alloc::alloc(layout) };
        return (!start.is_null()).then_some(start as usize);
    }
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if planned { libc::MAP_NORESERVE } else { 0 };
    // SAFETY: an anonymous private mapping touches no other memory.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), class, libc::PROT_READ | libc::PROT_WRITE, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    #[cfg(target_os = "linux")]
    if class >= HUGE && !planned {
        // SAFETY: advice on our own mapping; a refusal is harmless.
        unsafe { libc::madvise(start, class, libc::MADV_HUGEPAGE) };
    }
    Some(start as usize)
}

fn give_back(start: usize, class: usize) {
    if class < MAPPED {
        // SAFETY: `start` came from `fresh` with this class, whose layout was valid.
        unsafe { std::alloc::dealloc(start as *mut u8, Layout::from_size_align_unchecked(class, ALIGN)) };
    } else {
        // SAFETY: as above, the mapping is ours and nobody uses it.
        unsafe { libc::munmap(start as *mut libc::c_void, class) };
    }
}

impl Pool {
    /// Gives cached blocks back until at most `wanted` bytes are left: the smallest that is enough, else the largest.
    fn trim(&mut self, wanted: usize) {
        while self.stats.cached > wanted {
            let enough = self.free.range(self.stats.cached - wanted..).next();
            let Some((&class, _)) = enough.or_else(|| self.free.iter().next_back()) else { break };
            if let Some((start, touched)) = self.free.get_mut(&class).and_then(Vec::pop) {
                self.stats.cached -= class;
                self.resident -= touched;
                give_back(start, class);
            }
            if self.free.get(&class).is_some_and(Vec::is_empty) {
                self.free.remove(&class);
            }
        }
    }

    /// A cached block of a class, or, unless bytes are scarce, of one at most a quarter larger: its class, address and how much of
    /// it was written to.
    fn recycle(&mut self, class: usize) -> Option<(usize, usize, usize)> {
        let most = if self.limit == usize::MAX { class + class / 4 } else { class };
        let (&found, blocks) = self.free.range_mut(class..=most).next()?;
        let (start, touched) = blocks.pop()?;
        if blocks.is_empty() {
            self.free.remove(&found);
        }
        self.stats.cached -= found;
        Some((found, start, touched))
    }

    /// A block whose first `bytes` will be written to.
    fn take(&mut self, wanted: usize, bytes: usize) -> Result<Block> {
        if self.stats.live.saturating_add(wanted) > self.limit {
            return Err(Error::Memory { bytes: wanted });
        }
        let recycled = self.recycle(wanted);
        let class = recycled.map_or(wanted, |(class, _, _)| class);
        if recycled.is_none() {
            // A new scratch buffer must not cost a large block that the next operation wants back.
            let room = (self.high + self.high / 32).saturating_sub(self.stats.live.saturating_add(class));
            self.trim(room);
        }
        let plan = self.plan.as_ref().map_or(0, |plan| plan.number);
        let (start, before) = match recycled {
            Some((_, start, before)) => (start, before),
            None => (self.fresh(class, plan > 0)?, 0),
        };
        let touched = touched(class, bytes).max(before);
        self.resident += touched - before;
        self.stats.live += class;
        self.stats.peak = self.stats.peak.max(self.stats.live);
        self.high = self.high.max(self.stats.live);
        if let Some(notes) = &mut self.plan {
            notes.take(start, touched, self.resident);
        }
        Ok(Block { start, class, touched, plan })
    }

    fn fresh(&mut self, class: usize, planned: bool) -> Result<usize> {
        let found = fresh(class, planned).or_else(|| {
            self.trim(0);
            fresh(class, planned)
        });
        found.ok_or(Error::Memory { bytes: class })
    }

    fn put(&mut self, block: &Block) {
        self.stats.live -= block.class;
        self.stats.cached += block.class;
        self.free.entry(block.class).or_default().push((block.start, block.touched));
        if let Some(plan) = &mut self.plan {
            plan.free(block.start);
        }
    }
}

/// Bytes of a class that become resident when the first `bytes` of it are written: whole pages, which are huge from [`HUGE`] on.
fn touched(class: usize, bytes: usize) -> usize {
    let page = if class >= HUGE { 2 << 20 } else { 4096 };
    bytes.div_ceil(page).saturating_mul(page).min(class)
}

/// Memory of one array; goes back to the pool when dropped.
#[derive(Debug)]
pub struct Block {
    start: usize,
    class: usize,
    touched: usize,
    /// The number of its plan; 0 for real memory.
    plan: usize,
}

impl Block {
    /// At least `bytes` bytes of uninitialised memory, aligned to [`ALIGN`].
    ///
    /// # Errors
    /// [`Error::Memory`] when the system has none or the limit is reached.
    pub fn new(bytes: usize) -> Result<Self> {
        if bytes > isize::MAX as usize / 2 {
            return Err(Error::Memory { bytes });
        }
        let class = class_of(bytes);
        let planned = planning::is_on();
        with_pools(|pools| match &mut pools.plan {
            Some(plan) if planned => plan.take(class, bytes),
            _ => pools.arrays.take(class, bytes),
        })
    }

    /// The first byte.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start as *mut u8
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        with_pools(|pools| match &mut pools.plan {
            Some(pool) if pool.plan.as_ref().is_some_and(|notes| notes.number == self.plan) => pool.put(self),
            _ if self.plan > 0 => give_back(self.start, self.class), // it outlived its plan
            _ => pools.arrays.put(self),
        });
    }
}

/// Memory that a thread keeps for itself, outside the pool: zeros at first.
#[derive(Debug)]
pub struct Kept {
    start: usize,
    class: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self::NONE
    }
}

impl Kept {
    /// None.
    pub const NONE: Self = Self { start: 0, class: 0 };

    /// At least `bytes` bytes, aligned to [`ALIGN`].
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(bytes: usize) -> Result<Self> {
        let class = if bytes > isize::MAX as usize / 2 { None } else { Some(class_of(bytes)) };
        let start = class.and_then(|class| fresh(class, false)).ok_or(Error::Memory { bytes })?;
        let kept = Self { start, class: class_of(bytes) };
        if kept.class < MAPPED {
            // SAFETY: the block has so many bytes, and nobody else knows of it yet.
            unsafe { std::ptr::write_bytes(start as *mut u8, 0, kept.class) };
        }
        Ok(kept)
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.class
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.class == 0
    }

    /// The first `len` elements.
    pub fn elements<T: crate::simd::Number>(&mut self, len: usize) -> &mut [T] {
        self.two::<T, u8>(len, 0).0
    }

    /// Elements of two types: `first`, and behind them, from the next multiple of [`ALIGN`] bytes on, `second`.
    pub fn two<T: crate::simd::Number, U: crate::simd::Number>(&mut self, first: usize, second: usize) -> (&mut [T], &mut [U]) {
        let bytes = Self::bytes::<T, U>(first, second);
        assert!(bytes.is_some_and(|bytes| bytes <= self.class), "{first} and {second} elements of {} bytes", self.class);
        let start = self.start.max(ALIGN);
        let behind = start + (first * size_of::<T>()).next_multiple_of(if second == 0 { 1 } else { ALIGN });
        // SAFETY: the memory is ours, holds as many, is aligned for any of them, and every bit pattern is a number.
        unsafe { (std::slice::from_raw_parts_mut(start as *mut T, first), std::slice::from_raw_parts_mut(behind as *mut U, second)) }
    }

    /// Bytes that [`Kept::two`] needs.
    pub fn bytes<T, U>(first: usize, second: usize) -> Option<usize> {
        let whole = first.checked_mul(size_of::<T>())?;
        if second == 0 { Some(whole) } else { whole.checked_next_multiple_of(ALIGN)?.checked_add(second.checked_mul(size_of::<U>())?) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.class > 0 {
            give_back(self.start, self.class);
        }
    }
}

/// A scratch buffer of a kernel, from the pool.
#[derive(Debug)]
pub struct Buffer<T> {
    block: Block,
    len: usize,
    life: std::marker::PhantomData<T>,
}

impl<T: Copy + Default> Buffer<T> {
    /// `len` elements, all `T::default()`.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(len: usize) -> Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Error::Memory { bytes: usize::MAX })?;
        let block = Block::new(bytes)?;
        let mut buffer = Self { block, len, life: std::marker::PhantomData };
        let start = buffer.block.as_ptr().cast::<T>();
        // SAFETY: the block holds at least `len` elements; writing through a pointer needs no initialised memory.
        (0..len).for_each(|i| unsafe { start.add(i).write(T::default()) });
        buffer.len = len;
        Ok(buffer)
    }
}

impl<T> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote all elements; the block lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr().cast(), self.len) }
    }
}

impl<T> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr().cast(), self.len) }
    }
}

/// What the pool holds now.
pub fn stats() -> Stats {
    with_pool(|pool| pool.stats)
}

/// Bytes of the pool's memory that were written to: what it adds to the size of the process.
pub fn resident() -> usize {
    with_pool(|pool| pool.resident)
}

/// Starts a plan: from now on the threads in [`planning`] take their memory from a pool of its own.
pub fn begin_plan() {
    with_pools(|pools| pools.plan = Some(Pool::new(Some(planning::Notes::new()))));
}

/// Ends the plan: what it noted, and what its pool holds.
pub fn end_plan() -> Option<(planning::Notes, Stats)> {
    with_pools(|pools| {
        let mut plan = pools.plan.take()?;
        let (notes, stats) = (plan.plan.take()?, plan.stats);
        plan.trim(0);
        Some((notes, stats))
    })
}

/// Lets the plan look for its peaks anew; bytes of the blocks that are in use.
pub fn reset_plan() -> usize {
    with_pools(|pools| {
        let Some(plan) = &mut pools.plan else { return 0 };
        plan.stats.peak = plan.stats.live;
        if let Some(notes) = &mut plan.plan {
            notes.reset_peak();
        }
        plan.stats.live
    })
}

/// Runs `f` on what the plan noted so far, if there is one.
pub fn with_plan<R>(f: impl FnOnce(&mut planning::Notes) -> R) -> Option<R> {
    with_pools(|pools| pools.plan.as_mut().and_then(|pool| pool.plan.as_mut()).map(f))
}

/// Sets the peak to what is alive now.
pub fn reset_peak() {
    with_pool(|pool| pool.stats.peak = pool.stats.live);
}

/// Gives all cached memory back to the system.
pub fn empty_cache() {
    with_pool(|pool| {
        pool.trim(0);
        pool.high = pool.stats.live;
    });
}

/// The most bytes that may be alive at once; `usize::MAX` for no limit.
pub fn set_limit(bytes: usize) {
    with_pool(|pool| pool.limit = bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_a_quarter() {
        for bytes in (64..5_000_000).step_by(977) {
            let class = class_of(bytes);
            assert!(class >= bytes && class <= bytes + bytes / 4 + 4096, "{bytes} -> {class}");
        }
    }

    #[test]
    fn a_block_is_recycled_and_aligned() {
        let first = Block::new(3_000_000).unwrap();
        let address = first.as_ptr();
        assert_eq!(address as usize % ALIGN, 0);
        drop(first);
        assert!(stats().cached >= 3_000_000);
        drop(Block::new(usize::MAX).unwrap_err());
    }
}
