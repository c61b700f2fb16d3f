//! Memory for arrays: recycled, aligned blocks, small ones in size classes, large ones cut from ranges that join ([`crate::ranges`]).
//!
//! Fresh memory costs page faults: filling 64 new 1 MB arrays took 31 ms, from this pool 2.6 ms. The pool keeps
//! little more than what was once in use at the same time: before it grows a thirty-second past its own peak, or an eighth up to
//! [`SLACK`], it gives cached memory back.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::planning;
use crate::ranges::{PAGE, Ranges, map, unmap};

/// Every block starts at a multiple of this many bytes: a cache line, and a vector of the widest level.
pub const ALIGN: usize = 64;
/// From this size on a block is a part of a mapping, so that giving it back really shrinks the process.
const LARGE: usize = 256 << 10;
/// An eighth past its peak, up to so many bytes, the pool may keep in any case: in a network of 100 MB a thirty-second was less than the
/// gaps between blocks in use, which went back and came again in each pass as huge pages, 2 MB for the system to clear.
const SLACK: usize = 16 << 20;

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
    /// Free small blocks, by class.
    small: BTreeMap<usize, Vec<usize>>,
    /// Bytes of small blocks, free and in use.
    small_bytes: usize,
    large: Ranges,
    live: usize,
    peak: usize,
    /// The most that was ever in use, by which the pool's size is kept.
    high: usize,
    limit: usize,
    /// What a plan notes of its own pool; the pool of arrays has none.
    plan: Option<planning::Notes>,
}

impl Pool {
    const fn new(plan: Option<planning::Notes>) -> Self {
        Self { small: BTreeMap::new(), small_bytes: 0, large: Ranges::new(), live: 0, peak: 0, high: 0, limit: usize::MAX, plan }
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

/// The size that a request is rounded up to: whole pages, below them four classes an octave, at most 25% more.
fn class_of(bytes: usize) -> usize {
    if bytes >= LARGE {
        return bytes.next_multiple_of(PAGE);
    }
    let bytes = bytes.max(ALIGN);
    let step = (bytes.next_power_of_two() / 8).max(ALIGN);
    bytes.next_multiple_of(step)
}

/// A new small block.
fn fresh(class: usize) -> Option<usize> {
    let layout = Layout::from_size_align(class, ALIGN).ok()?;
    // SAFETY: the size is not zero.
    let start = unsafe { std::alloc::alloc(layout) };
    (!start.is_null()).then_some(start as usize)
}

/// Bytes that a pool whose peak is `high` may hold past it.
fn slack(high: usize) -> usize {
    (high / 32).max(SLACK.min(high / 8))
}

fn give_back(start: usize, class: usize) {
    if class < LARGE {
        // SAFETY: `start` came from `fresh` with this class, whose layout was valid.
        unsafe { std::alloc::dealloc(start as *mut u8, Layout::from_size_align_unchecked(class, ALIGN)) };
    } else {
        unmap(start, class);
    }
}

impl Pool {
    /// Bytes of memory, in use and free.
    fn resident(&self) -> usize {
        self.small_bytes + self.large.mapped()
    }

    fn stats(&self) -> Stats {
        Stats { live: self.live, peak: self.peak, cached: self.resident() - self.live }
    }

    /// Gives free memory back, at least `wanted` bytes if there is so much.
    fn trim(&mut self, wanted: usize) {
        let goal = self.resident().saturating_sub(wanted);
        self.large.release(wanted);
        while self.resident() > goal {
            let Some(mut largest) = self.small.last_entry() else { break };
            let class = *largest.key();
            if let Some(start) = largest.get_mut().pop() {
                self.small_bytes -= class;
                give_back(start, class);
            }
            if largest.get().is_empty() {
                largest.remove();
            }
        }
    }

    /// Gives all free memory back.
    fn empty(&mut self) {
        self.large.clear();
        self.trim(usize::MAX);
    }

    /// Free memory for a class, or, unless bytes are scarce, a small block at most a quarter larger: its class and address.
    fn recycle(&mut self, class: usize) -> Option<(usize, usize)> {
        if class >= LARGE {
            return self.large.take(class).map(|start| (class, start));
        }
        let most = if self.limit == usize::MAX { class + class / 4 } else { class };
        let (&found, blocks) = self.small.range_mut(class..=most).next()?;
        let start = blocks.pop()?;
        if blocks.is_empty() {
            self.small.remove(&found);
        }
        Some((found, start))
    }

    /// New memory for a class, if the system has it.
    fn grow(&mut self, class: usize) -> Option<usize> {
        if class >= LARGE {
            let planned = self.plan.is_some();
            return if self.large.extend(class, planned) { self.large.take(class) } else { None };
        }
        let start = fresh(class)?;
        self.small_bytes += class;
        Some(start)
    }

    /// New memory for a class, in the place of what is free where the pool would outgrow its peak.
    fn fresh(&mut self, class: usize) -> Result<(usize, usize)> {
        let high = self.high.max(self.live.saturating_add(class));
        let more = if class >= LARGE { self.large.growth(class) } else { class };
        self.trim(self.resident().saturating_add(more).saturating_sub(high + slack(high)));
        let found = self.grow(class).or_else(|| {
            self.empty();
            self.grow(class)
        });
        found.map(|start| (class, start)).ok_or(Error::Memory { bytes: class })
    }

    fn take(&mut self, wanted: usize) -> Result<Block> {
        if self.live.saturating_add(wanted) > self.limit {
            return Err(Error::Memory { bytes: wanted });
        }
        let (class, start) = match self.recycle(wanted) {
            Some(found) => found,
            None => self.fresh(wanted)?,
        };
        self.live += class;
        self.peak = self.peak.max(self.live);
        self.high = self.high.max(self.live);
        let resident = self.resident();
        if let Some(notes) = &mut self.plan {
            notes.take(start, class, resident);
        }
        Ok(Block { start, class, plan: self.plan.as_ref().map_or(0, |plan| plan.number) })
    }

    fn put(&mut self, block: &Block) {
        self.live -= block.class;
        if block.class >= LARGE {
            self.large.put(block.start, block.class);
        } else {
            self.small.entry(block.class).or_default().push(block.start);
        }
        if let Some(plan) = &mut self.plan {
            plan.free(block.start);
        }
    }
}

/// Memory of one array; goes back to the pool when dropped.
#[derive(Debug)]
pub struct Block {
    start: usize,
    class: usize,
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
            Some(plan) if planned => plan.take(class),
            _ => pools.arrays.take(class),
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
        let new = |class| if class < LARGE { fresh(class) } else { map(class) };
        let start = class.and_then(new).ok_or(Error::Memory { bytes })?;
        let kept = Self { start, class: class_of(bytes) };
        if kept.class < LARGE {
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
    with_pool(|pool| pool.stats())
}

/// Bytes of the pool's memory that were written to: what it adds to the size of the process.
pub fn resident() -> usize {
    with_pool(|pool| pool.resident())
}

/// Starts a plan: from now on the threads in [`planning`] take their memory from a pool of its own.
pub fn begin_plan() {
    with_pools(|pools| pools.plan = Some(Pool::new(Some(planning::Notes::new()))));
}

/// Ends the plan: what it noted, and what its pool holds.
pub fn end_plan() -> Option<(planning::Notes, Stats)> {
    with_pools(|pools| {
        let mut plan = pools.plan.take()?;
        let (notes, stats) = (plan.plan.take()?, plan.stats());
        plan.empty();
        Some((notes, stats))
    })
}

/// Lets the plan look for its peaks anew; bytes of the blocks that are in use.
pub fn reset_plan() -> usize {
    with_pools(|pools| {
        let Some(plan) = &mut pools.plan else { return 0 };
        plan.peak = plan.live;
        if let Some(notes) = &mut plan.plan {
            notes.reset_peak();
        }
        plan.live
    })
}

/// Runs `f` on what the plan noted so far, if there is one.
pub fn with_plan<R>(f: impl FnOnce(&mut planning::Notes) -> R) -> Option<R> {
    with_pools(|pools| pools.plan.as_mut().and_then(|pool| pool.plan.as_mut()).map(f))
}

/// Sets the peak to what is alive now.
pub fn reset_peak() {
    with_pool(|pool| pool.peak = pool.live);
}

/// Gives all cached memory back to the system.
pub fn empty_cache() {
    with_pool(|pool| {
        pool.empty();
        pool.high = pool.live;
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
            assert!(class >= bytes && class <= bytes + bytes / 4 + PAGE, "{bytes} -> {class}");
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
