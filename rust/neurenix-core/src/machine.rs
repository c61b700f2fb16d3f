//! The machine's own limits: those that are printed beside every benchmark, and the cache by which work is cut.

use std::sync::OnceLock;
use std::time::Instant;

use crate::error::Result;
use crate::threads::{self, Shared};
use crate::{blocks::Buffer, levels};

/// Bytes of a core's second-level cache; 1 MiB where the processor does not tell. Orders of work may depend on it, arithmetic may not.
pub fn second_level_cache() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| told().filter(|&bytes| bytes > 0).unwrap_or(1 << 20))
}

/// What the processor says of it: AMD's and Intel's have it in the same place.
#[cfg(target_arch = "x86_64")]
fn told() -> Option<usize> {
    use std::arch::x86_64::__cpuid;
    const LEAF: u32 = 0x8000_0006;
    if cfg!(miri) {
        return None; // it knows no such instruction
    }
    (__cpuid(0x8000_0000).eax >= LEAF).then(|| (__cpuid(LEAF).ecx as usize >> 16) << 10)
}

#[cfg(not(target_arch = "x86_64"))]
fn told() -> Option<usize> {
    None
}

levels! {
    /// Twelve independent chains of multiply-adds, `rounds` long: what the arithmetic units can do and nothing else.
    fn chains<T, V>(rounds: usize, start: T) -> T {
        let factor = V::splat(start);
        let mut sums = [V::splat(start); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = factor.fma(factor, *sum);
            }
        }
        let mut total = sums[0];
        for sum in &sums[1..] {
            total = total.add(*sum);
        }
        let mut out = [T::ZERO; 16];
        // SAFETY: no vector is longer than 16 elements.
        unsafe { total.store(out.as_mut_ptr()) };
        std::hint::black_box(out[0])
    }
}

fn lanes() -> usize {
    [1, 8, 16, 16][usize::from(crate::simd::level())]
}

/// Multiply-adds of float32 that all threads reach together, in GFLOP/s (a multiply-add is two).
pub fn fma_peak() -> f64 {
    let (rounds, tasks) = (2_000_000 * lanes() / 16, threads::num_threads());
    let best = (0..5).map(|_| {
        let begin = Instant::now();
        threads::parallel(tasks, rounds, |_| {
            chains::<f32>(rounds, f32::EPSILON);
        });
        begin.elapsed().as_secs_f64()
    });
    (2 * 12 * lanes() * rounds * tasks) as f64 / best.fold(f64::INFINITY, f64::min) / 1e9
}

/// Bytes read and written a second by all threads copying 128 MiB, in GB/s.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn copy_bandwidth() -> Result<f64> {
    const WORDS: usize = 16 << 20;
    const PIECE: usize = 1 << 18;
    let (from, mut to) = (Buffer::<u64>::new(WORDS)?, Buffer::<u64>::new(WORDS)?);
    let shared = Shared::new(&mut to);
    let best = (0..5).map(|_| {
        let begin = Instant::now();
        threads::parallel(WORDS / PIECE, PIECE, |i| {
            // SAFETY: pieces do not overlap.
            unsafe { shared.slice(i * PIECE, PIECE) }.copy_from_slice(&from[i * PIECE..(i + 1) * PIECE]);
        });
        begin.elapsed().as_secs_f64()
    });
    Ok((2 * 8 * WORDS) as f64 / best.fold(f64::INFINITY, f64::min) / 1e9)
}

#[cfg(test)]
mod tests {
    use super::second_level_cache;

    #[test]
    fn the_cache_is_one_of_a_processor() {
        assert!((128 << 10..=64 << 20).contains(&second_level_cache()), "{}", second_level_cache());
    }
}
