//! Memory that a thread keeps for its tasks.

use std::cell::Cell;

use crate::error::{Error, Result};
use crate::simd::Float;

/// One cache line, so that the memory starts at one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

thread_local! {
    static KEPT: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// Runs `f` on `len` elements with no meaning in them.
///
/// # Errors
/// [`Error::Memory`].
pub fn with<T: Float, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> Result<R> {
    let bytes = len.checked_mul(size_of::<T>()).ok_or(Error::Memory { bytes: usize::MAX })?;
    let lines = bytes.div_ceil(size_of::<Line>());
    let mut kept = KEPT.take();
    if kept.len() < lines {
        kept.clear();
        kept.try_reserve_exact(lines).map_err(|_| Error::Memory { bytes })?;
        kept.resize(lines, Line { _bytes: [0; 64] });
    }
    // SAFETY: `lines` lines hold `len` elements, every bit pattern is a float, and a line is aligned for any of them.
    let result = f(unsafe { std::slice::from_raw_parts_mut(kept.as_mut_ptr().cast::<T>(), len) });
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
