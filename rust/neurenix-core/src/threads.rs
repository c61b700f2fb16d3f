//! Our own thread pool: resizable, and safe across `fork`.
//!
//! Rayon's global pool cannot be resized and deadlocks in a forked child, whose copy of the pool has no threads. Ours
//! stands behind one pointer that the child's `pthread_atfork` handler clears; the child then builds its own.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::planning;
use crate::simd::FloatMode;

static POOL: AtomicPtr<ThreadPool> = AtomicPtr::new(std::ptr::null_mut());
static WANTED: AtomicUsize = AtomicUsize::new(0);
static BUILD: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Below this many element-operations a region runs on the calling thread: waking the pool costs 12 to 22 microseconds.
const SMALL: usize = 1 << 15;
/// From this many element-operations on a region takes milliseconds: its caller looks up from time to time.
const LONG: usize = 1 << 25;
/// How often it does.
const PATIENCE: Duration = Duration::from_millis(100);

/// Threads: what was set, else `NEURENIX_NUM_THREADS`, else what affinity mask, cgroup quota and `SLURM_CPUS_PER_TASK` allow.
pub fn num_threads() -> usize {
    match WANTED.load(Ordering::Acquire) {
        0 => {
            let n = default_threads();
            WANTED.store(n, Ordering::Release);
            n
        }
        n => n,
    }
}

fn default_threads() -> usize {
    let number = |name| std::env::var(name).ok().and_then(|text| text.trim().parse().ok()).filter(|n| (1..=1024).contains(n));
    number("NEURENIX_NUM_THREADS").unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        number("SLURM_CPUS_PER_TASK").unwrap_or(cores).min(cores)
    })
}

/// Sets the number of threads; takes effect at the next parallel region.
///
/// # Errors
/// [`Error::Argument`] unless `n` is 1 to 1024.
pub fn set_num_threads(n: usize) -> Result {
    crate::ensure_argument!(
        (1..=1024).contains(&n),
        "set_num_threads: expected 1 to 1024 threads, got {n}; pass the number of cores to use"
    );
    let _guard = BUILD.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    WANTED.store(n, Ordering::Release);
    // A region may still run in the old pool, so it is left to it: a resize is rare and an idle pool is small.
    POOL.store(std::ptr::null_mut(), Ordering::Release);
    Ok(())
}

extern "C" fn child_after_fork() {
    POOL.store(std::ptr::null_mut(), Ordering::Release);
}

fn pool() -> Result<&'static ThreadPool> {
    // SAFETY: a pool is leaked when it is published, so a pointer once read stays valid.
    if let Some(pool) = unsafe { POOL.load(Ordering::Acquire).as_ref() } {
        return Ok(pool);
    }
    static FORK: Once = Once::new();
    // SAFETY: the handler only stores to an atomic.
    FORK.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(child_after_fork));
    });
    let n = num_threads();
    let built = ThreadPoolBuilder::new()
        .num_threads(n)
        .thread_name(|i| format!("neurenix-{i}"))
        .build()
        .map_err(|e| Error::Argument(format!("threads: expected to start {n} threads, got {e}; call set_num_threads with fewer")))?;
    let built = Box::into_raw(Box::new(built));
    match POOL.compare_exchange(std::ptr::null_mut(), built, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just leaked, never freed.
        Ok(_) => Ok(unsafe { &*built }),
        Err(other) => {
            // SAFETY: `built` lost the race and nobody else has seen it; `other` was published by the winner.
            unsafe {
                drop(Box::from_raw(built));
                Ok(&*other)
            }
        }
    }
}

/// What unwinds a kernel whose caller was asked to stop.
#[derive(Debug)]
pub struct Stop;

thread_local! {
    static WATCH: Cell<Option<(fn() -> bool, Instant)>> = const { Cell::new(None) };
    static PLANNED: Cell<usize> = const { Cell::new(0) };
}

/// Runs `f`, asking `stop` every tenth of a second, between tasks: where it says so, `f` unwinds with [`Stop`].
pub fn watched<R>(stop: fn() -> bool, f: impl FnOnce() -> R) -> R {
    struct Before(Option<(fn() -> bool, Instant)>);
    impl Drop for Before {
        fn drop(&mut self) {
            WATCH.set(self.0);
        }
    }
    let _before = Before(WATCH.replace(Some((stop, Instant::now()))));
    f()
}

/// Whether the caller of this thread's kernel was asked to stop; looks at most every tenth of a second.
fn is_stopped() -> bool {
    match WATCH.get() {
        Some((stop, last)) if last.elapsed() >= PATIENCE => {
            WATCH.set(Some((stop, Instant::now())));
            stop()
        }
        _ => false,
    }
}

fn unwind() -> ! {
    std::panic::resume_unwind(Box::new(Stop)) // no message, no backtrace
}

/// Threads that the region of a plan would have; 0 for the calling one.
pub fn planned() -> usize {
    PLANNED.get()
}

/// Runs `f(0), ..., f(tasks - 1)`, each once, on the pool; `cost` is the element-operations of one task.
///
/// Tasks are taken in order by whoever is free, so what a task computes must not depend on who runs it. Small work
/// and a pool of one thread stay on the calling thread. May be called from inside a task.
pub fn parallel(tasks: usize, cost: usize, f: impl Fn(usize) + Sync) {
    let _mode = FloatMode::ieee();
    let work = tasks.saturating_mul(cost);
    let alone = tasks <= 1 || num_threads() == 1 || work < SMALL || rayon::current_thread_index().is_some();
    if planning::is_on() {
        PLANNED.set(if alone { 0 } else { num_threads() });
        (0..tasks.min(1)).for_each(f);
        return;
    }
    let pool = if alone { None } else { pool().ok() };
    match pool {
        None => one_by_one(tasks, cost, f),
        Some(pool) => {
            if is_stopped() {
                unwind();
            }
            let next = AtomicUsize::new(0);
            let share = || {
                let _mode = FloatMode::ieee();
                while let Some(task) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&task| task < tasks) {
                    f(task);
                }
            };
            if work < LONG || WATCH.get().is_none() {
                pool.broadcast(|_| share());
            } else if looked_after(pool, share, || next.store(tasks, Ordering::Relaxed)) {
                unwind();
            }
        }
    }
}

fn one_by_one(tasks: usize, cost: usize, f: impl Fn(usize)) {
    let often = (LONG / 8 / cost.max(1)).max(1);
    for task in 0..tasks {
        if task % often == 0 && is_stopped() {
            unwind();
        }
        f(task);
    }
}

/// Runs `share` on all threads of the pool while the caller looks up from time to time; whether it was asked to stop, and called `stop`.
fn looked_after(pool: &ThreadPool, share: impl Fn() + Send + Sync, stop: impl Fn()) -> bool {
    struct Leaving<'a>(&'a AtomicUsize, std::thread::Thread);
    impl Drop for Leaving<'_> {
        fn drop(&mut self) {
            if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.1.unpark();
            }
        }
    }
    let (left, caller) = (AtomicUsize::new(pool.current_num_threads()), std::thread::current());
    let mut stopped = false;
    pool.in_place_scope(|scope| {
        scope.spawn_broadcast(|_, _| {
            let _leaving = Leaving(&left, caller.clone());
            share();
        });
        while left.load(Ordering::Acquire) > 0 {
            std::thread::park_timeout(PATIENCE);
            if is_stopped() {
                stopped = true;
                stop();
            }
        }
    });
    stopped
}

/// Runs `f` inside the pool, for libraries that call rayon themselves.
///
/// # Errors
/// [`Error::Argument`] when the threads cannot be started.
pub fn install<R: Send>(f: impl FnOnce() -> R + Send) -> Result<R> {
    Ok(pool()?.install(f))
}

/// Splits `data` into runs of `chunk` elements and runs `f(index, run)` on the pool; `cost` is per element.
pub fn parallel_chunks<T: Send>(data: &mut [T], chunk: usize, cost: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let chunk = chunk.max(1);
    let len = data.len();
    let shared = Shared::new(data);
    parallel(len.div_ceil(chunk), chunk.saturating_mul(cost), |i| {
        let start = i * chunk;
        // SAFETY: runs of different tasks do not overlap and lie inside `data`, which is borrowed for the call.
        f(i, unsafe { shared.slice(start, chunk.min(len - start)) });
    });
}

/// A mutable slice that tasks share, each writing its own part.
#[derive(Clone, Copy)]
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `slice`, whose caller promises that parts do not overlap.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Shares `data` for as long as it is borrowed.
    pub fn new(data: &'a mut [T]) -> Self {
        Self { start: data.as_mut_ptr(), len: data.len(), life: std::marker::PhantomData }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first element's address.
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }

    /// The part `[start, start + len)`.
    ///
    /// # Safety
    /// No other part that overlaps it is alive.
    ///
    /// # Panics
    /// When the part does not lie inside the slice.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part {start}+{len} of {}", self.len);
        // SAFETY: inside the borrowed slice; the caller promises it is the only one.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_thread_count() {
        for threads in [1, 2, 3, 8] {
            set_num_threads(threads).unwrap();
            let mut seen = vec![0u32; 100_003];
            parallel_chunks(&mut seen, 97, 10, |_, run| run.iter_mut().for_each(|x| *x += 1));
            assert!(seen.iter().all(|&x| x == 1));
        }
    }

    #[test]
    fn a_long_region_stops_where_it_is_asked_to() {
        for threads in [1, 2] {
            set_num_threads(threads).unwrap();
            let done = AtomicUsize::new(0);
            let run = || {
                watched(
                    || true,
                    || {
                        parallel(10_000, LONG, |_| {
                            std::thread::sleep(Duration::from_millis(2));
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                    },
                );
            };
            let stop = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
            assert!(stop.is::<Stop>());
            assert!(done.into_inner() < 5_000);
            let again = AtomicUsize::new(0);
            parallel(100, LONG, |_| {
                again.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(again.into_inner(), 100);
        }
    }

    #[test]
    fn refuses_no_threads() {
        assert!(set_num_threads(0).is_err());
        assert!(set_num_threads(5000).is_err());
    }
}
