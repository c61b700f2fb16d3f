//! Memory that a thread keeps for its tasks.

use std::cell::Cell;

use crate::blocks::Kept;
use crate::error::{Error, Result};
use crate::planning;
use crate::simd::Number;
use crate::threads;

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept::NONE) };
}

/// Runs `f` on `len` elements with no meaning in them.
///
/// # Errors
/// [`Error::Memory`]; [`Error::Stopped`] in a plan, which only notes the memory.
pub fn with<T: Number, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    with_two::<T, u8, R>(len, 0, |elements, _| f(elements))
}

/// The same with elements of two types.
///
/// # Errors
/// As [`with`].
pub fn with_two<T: Number, U: Number, R>(first: usize, second: usize, f: impl FnOnce(&mut [T], &mut [U]) -> R) -> Result<R> {
    let bytes = Kept::bytes::<T, U>(first, second).ok_or(Error::Memory { bytes: usize::MAX })?;
    if planning::is_on() {
        planning::note_scratch(bytes, threads::planned());
        return Err(Error::Stopped);
    }
    let mut kept = KEPT.take();
    if kept.len() < bytes {
        drop(kept);
        kept = Kept::new(bytes)?;
    }
    let (first, second) = kept.two(first, second);
    let result = f(first, second);
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
