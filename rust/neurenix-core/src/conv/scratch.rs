//! Memory that a thread keeps for its tasks.

use std::cell::Cell;

use crate::blocks::Kept;
use crate::error::{Error, Result};
use crate::planning;
use crate::simd::Float;
use crate::threads;

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept::NONE) };
}

/// Runs `f` on `len` elements with no meaning in them.
///
/// # Errors
/// [`Error::Memory`]; [`Error::Stopped`] in a plan, which only notes the memory.
pub fn with<T: Float, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let bytes = len.checked_mul(size_of::<T>()).ok_or(Error::Memory { bytes: usize::MAX })?;
    if planning::is_on() {
        planning::note_scratch(bytes, threads::planned());
        return Err(Error::Stopped);
    }
    let mut kept = KEPT.take();
    if kept.len() < bytes {
        drop(kept);
        kept = Kept::new(bytes)?;
    }
    let result = f(kept.elements(len));
    KEPT.set(kept);
    Ok(result)
}

/// Remembers that a task could not get its memory.
#[derive(Debug, Default)]
pub struct Failure(std::sync::atomic::AtomicUsize);

impl Failure {
    /// Nothing has failed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a task's result.
    pub fn note(&self, result: Result) {
        if let Err(Error::Memory { bytes }) = result {
            self.0.store(bytes.max(1), std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// The error, if a task failed.
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn result(self) -> Result {
        match self.0.into_inner() {
            0 => Ok(()),
            bytes => Err(Error::Memory { bytes }),
        }
    }
}
