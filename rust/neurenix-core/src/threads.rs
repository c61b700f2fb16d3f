//! Parallel regions, on threads of our own: resizable, and safe across `fork`.
//!
//! A forked child has none of its parent's threads, and a pool that it took over would wait for them forever. The helpers of
//! regions ([`Team`]), and rayon's pool for libraries that use it, stand behind pointers that the child's `pthread_atfork`
//! handler clears; the child then builds its own.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::planning;
use crate::simd::FloatMode;
use crate::team::Team;

static TEAM: AtomicPtr<Team> = AtomicPtr::new(std::ptr::null_mut());
static POOL: AtomicPtr<ThreadPool> = AtomicPtr::new(std::ptr::null_mut());
static WANTED: AtomicUsize = AtomicUsize::new(0);
static BUILD: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Below this many element-operations a region runs on the calling thread: waking a helper costs some microseconds.
const SMALL: usize = 1 << 15;
/// From this many element-operations on a region takes milliseconds: its caller looks up between tasks.
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
    TEAM.store(std::ptr::null_mut(), Ordering::Release);
}

/// What `slot` points to, else what `build` gives: it is never freed.
fn published<P>(slot: &'static AtomicPtr<P>, build: impl FnOnce() -> Result<P>) -> Result<&'static P> {
    // SAFETY: what is published is leaked, so a pointer once read stays valid.
    if let Some(found) = unsafe { slot.load(Ordering::Acquire).as_ref() } {
        return Ok(found);
    }
    static FORK: Once = Once::new();
    // SAFETY: the handler only stores to atomics.
    FORK.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(child_after_fork));
    });
    let built = Box::into_raw(Box::new(build()?));
    match slot.compare_exchange(std::ptr::null_mut(), built, Ordering::AcqRel, Ordering::Acquire) {
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

/// The helpers: threads start when a region first wants them.
fn team() -> Result<&'static Team> {
    published(&TEAM, || Ok(Team::default()))
}

/// Rayon's pool, for libraries that call it.
fn pool() -> Result<&'static ThreadPool> {
    let n = num_threads();
    published(&POOL, || {
        let built = ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("neurenix-rayon-{i}")).build();
        built.map_err(|e| Error::Argument(format!("threads: expected to start {n} threads, got {e}; call set_num_threads with fewer")))
    })
}

/// What unwinds a kernel whose caller was asked to stop.
#[derive(Debug)]
pub struct Stop;

thread_local! {
    static WATCH: Cell<Option<(fn() -> bool, Instant)>> = const { Cell::new(None) };
    static PLANNED: Cell<usize> = const { Cell::new(0) };
    static IN_REGION: Cell<bool> = const { Cell::new(false) };
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

/// Threads that the region of a plan would have beside the calling one.
pub fn planned() -> usize {
    PLANNED.get()
}

/// Runs `f(0), ..., f(tasks - 1)`, each once, on this and other threads; `cost` is the element-operations of one task.
///
/// Each thread begins with neighbours of its own and then helps the others, so what a task computes must not depend on who runs it.
/// Small work, and what is inside a task, stays on the calling thread.
pub fn parallel(tasks: usize, cost: usize, f: impl Fn(usize) + Sync) {
    let _mode = FloatMode::ieee();
    let work = tasks.saturating_mul(cost);
    let alone = tasks <= 1 || num_threads() == 1 || work < SMALL || IN_REGION.get();
    if planning::is_on() {
        PLANNED.set(if alone { 0 } else { num_threads() - 1 });
        (0..tasks.min(1)).for_each(f);
        return;
    }
    let team = if alone { None } else { team().ok() };
    match team {
        None => one_by_one(tasks, cost, f),
        Some(team) => together(team, tasks, work, f),
    }
}

/// Marks this thread as one that is inside a region.
struct Inside(bool);

impl Inside {
    fn mark() -> Self {
        Self(IN_REGION.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IN_REGION.set(self.0);
    }
}

/// The tasks of one of a region's threads: from `next` on, up to `end`.
#[repr(align(128))] // counters of several threads in one cache line would make them wait for each other
struct Range {
    next: AtomicUsize,
    end: usize,
}

/// The tasks of a region, a range of neighbours for each thread, which takes of the others' what is left when it is through.
///
/// The same thread starts with the same range in each region, so that it finds near what it wrote or read in the last one: cores that
/// share no cache are slow to read each other's.
struct Ranges(Vec<Range>);

impl Ranges {
    fn new(tasks: usize, threads: usize) -> Self {
        Self((0..threads).map(|i| Range { next: AtomicUsize::new(tasks * i / threads), end: tasks * (i + 1) / threads }).collect())
    }

    /// The next task of a thread, by its number.
    fn take(&self, number: usize) -> Option<usize> {
        let (before, from) = self.0.split_at(number % self.0.len());
        from.iter().chain(before).find_map(|range| {
            let is_left = range.next.load(Ordering::Relaxed) < range.end; // a look is cheaper than taking, and finds most that are empty
            let task = if is_left { range.next.fetch_add(1, Ordering::Relaxed) } else { range.end };
            (task < range.end).then_some(task)
        })
    }

    /// Leaves nothing to take.
    fn end(&self) {
        self.0.iter().for_each(|range| range.next.store(range.end, Ordering::Relaxed));
    }
}

/// Runs tasks on this and other threads. Where the work is long this one looks up between tasks, and takes no more when it is asked to stop.
fn together(team: &'static Team, tasks: usize, work: usize, f: impl Fn(usize) + Sync) {
    if is_stopped() {
        unwind();
    }
    let threads = num_threads().min(tasks);
    let ranges = Ranges::new(tasks, threads);
    let share = |number: usize| {
        let (_mode, _inside) = (FloatMode::ieee(), Inside::mark());
        while let Some(task) = ranges.take(number) {
            f(task);
        }
    };
    let mut stopped = false;
    team.run(threads - 1, &|number| share(number + 1), || {
        let _inside = Inside::mark();
        while let Some(task) = ranges.take(0) {
            f(task);
            if work >= LONG && is_stopped() {
                stopped = true;
                ranges.end();
            }
        }
    });
    if stopped {
        unwind();
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
    fn callers_at_once_and_regions_in_regions_run_every_task() {
        set_num_threads(3).unwrap();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        parallel(7, SMALL, |_| {
                            parallel(3, SMALL, |_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 4 * 200 * 7 * 3);
    }

    #[test]
    fn a_panic_of_any_task_reaches_the_caller() {
        set_num_threads(2).unwrap();
        for bad in [0, 99] {
            let run = || {
                parallel(100, SMALL, |task| {
                    std::thread::sleep(Duration::from_micros(100));
                    assert!(task != bad, "task {bad}");
                });
            };
            let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
            assert_eq!(panic.downcast_ref::<String>().unwrap(), &format!("task {bad}"));
        }
        let again = AtomicUsize::new(0);
        parallel(100, SMALL, |_| {
            again.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(again.into_inner(), 100);
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
