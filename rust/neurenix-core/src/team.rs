//! Threads that help the caller of a parallel region.
//!
//! The caller works itself, and never waits for a helper that has not begun: one that wakes too late finds the region closed.
//! So a short region costs one wake-up call, not the time that a core takes to wake up. Helpers look for another region for a while
//! before they sleep, since regions come one after another.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::place::{self, Place};

/// How long a thread looks for what it waits for before it sleeps: a core that has fallen asleep needs longer than that to wake up,
/// and an operation follows another within some tens of microseconds.
const AWAKE: Duration = Duration::from_micros(50);

/// What helpers do of a region, and who is inside.
struct Region<'a> {
    share: &'a (dyn Fn(usize) + Sync),
    inside: AtomicUsize,
    failed: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A region that helpers may enter, as many as there is room for.
struct Open {
    region: *const Region<'static>,
    room: usize,
}

// SAFETY: what a region holds may be used by any thread, and its caller waits for all that are inside before it goes.
unsafe impl Send for Open {}

#[derive(Default)]
struct State {
    open: Vec<Open>,
    /// Where each helper sleeps.
    places: Vec<Place>,
    /// Helpers that sleep.
    asleep: usize,
    /// Callers that sleep until their region is empty.
    waiting: usize,
}

/// Helpers, and the regions that wait for them. It is never freed.
#[derive(Default)]
pub struct Team {
    state: Mutex<State>,
    /// Grows with each region.
    regions: AtomicUsize,
    opened: Condvar,
    emptied: Condvar,
}

/// Whether `is_so` becomes true while a thread stays awake. It does not give way to other threads: who does may wait for milliseconds.
fn soon(is_so: impl Fn() -> bool) -> bool {
    const LOOKS: usize = 32;
    let begin = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if is_so() {
                return true;
            }
            std::hint::spin_loop();
        }
        if begin.elapsed() > AWAKE {
            return false;
        }
    }
}

impl Team {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `own` in this thread while up to `helpers` others run `share` of their numbers, which they keep from region to region;
    /// all have left when it returns, or unwinds.
    pub fn run(&'static self, helpers: usize, share: &(dyn Fn(usize) + Sync), own: impl FnOnce()) {
        let region = Region { share, inside: AtomicUsize::new(0), failed: Mutex::new(None) };
        // SAFETY: only the lifetime changes; `Closing` waits for all that are inside, and none can enter any more, before `region` ends.
        let place = unsafe { std::mem::transmute::<*const Region<'_>, *const Region<'static>>(&raw const region) };
        let closing = Closing(self, place);
        self.open(place, helpers);
        own();
        drop(closing);
        if let Some(panic) = region.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    fn open(&'static self, region: *const Region<'static>, helpers: usize) {
        let mut state = self.state();
        while state.places.len() < helpers {
            let number = state.places.len();
            if std::thread::Builder::new().name(format!("neurenix-{number}")).spawn(move || self.work(number)).is_err() {
                break; // the others, and the caller, do it alone
            }
            state.places.push(Place::default());
        }
        state.open.push(Open { region, room: helpers });
        self.regions.fetch_add(1, Ordering::Release);
        let wake = state.asleep.min(helpers);
        if wake > 0 {
            place::make_way(&mut state.places);
        }
        drop(state);
        (0..wake).for_each(|_| self.opened.notify_one());
    }

    /// A helper's life.
    fn work(&self, number: usize) {
        loop {
            let region = self.entered(number);
            // SAFETY: this thread is inside, so the caller waits for it.
            let (share, failed) = unsafe { ((*region).share, &(*region).failed) };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| share(number))) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            let state = self.state();
            // SAFETY: as above; what follows does not touch the region, which its caller may free.
            let last = unsafe { (*region).inside.fetch_sub(1, Ordering::Release) } == 1;
            if last && state.waiting > 0 {
                self.emptied.notify_all();
            }
        }
    }

    /// Waits for a region with room, and enters it.
    fn entered(&self, number: usize) -> *const Region<'static> {
        loop {
            let mut state = self.state();
            if let Some(open) = state.open.iter_mut().find(|open| open.room > 0) {
                open.room -= 1;
                // SAFETY: an open region's caller is in `run`, and closes it under the lock.
                unsafe { (*open.region).inside.fetch_add(1, Ordering::Relaxed) };
                return open.region;
            }
            let seen = self.regions.load(Ordering::Acquire);
            drop(state);
            let is_new = || self.regions.load(Ordering::Relaxed) != seen;
            if !soon(is_new) {
                let mut state = self.state();
                while !is_new() {
                    state.asleep += 1;
                    state.places[number].leave();
                    state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.places[number].come_back();
                    state.asleep -= 1;
                }
            }
        }
    }
}

/// Closes a region and waits until it is empty.
struct Closing(&'static Team, *const Region<'static>);

impl Drop for Closing {
    fn drop(&mut self) {
        let (team, place) = (self.0, self.1);
        team.state().open.retain(|open| open.region != place);
        // SAFETY: the region lives until this returns.
        let inside = unsafe { &(*place).inside };
        if !soon(|| inside.load(Ordering::Relaxed) == 0) {
            let mut state = team.state();
            state.waiting += 1;
            while inside.load(Ordering::Relaxed) > 0 {
                state = team.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
        }
        fence(Ordering::Acquire); // what the helpers wrote
    }
}
