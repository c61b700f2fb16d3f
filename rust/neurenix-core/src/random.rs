//! Random numbers: Philox4x32-10, a function of a key and a counter, so that any element can be drawn alone.
//!
//! The key is the seed. The counter's four words are the block of four 32-bit words inside a sample, the number of the
//! sample, and the number of the call (two words). Who draws an element, and when, changes nothing.
//! Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

use crate::error::{Result, expect_len};
use crate::math::{Math, sin_cos_turns};
use crate::simd::{Float, Number};
use crate::{ensure_argument, ensure_shape, levels, threads};

/// Blocks of one task.
const RUN: usize = 1 << 11;
/// Blocks that are drawn side by side: so many that the compiler sees loops to vectorise.
const ABREAST: usize = 128;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Ten rounds of Philox4x32: four random words for a counter and a key.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..10 {
        let (a, b) = (u64::from(MULTIPLIERS[0]) * u64::from(c[0]), u64::from(MULTIPLIERS[1]) * u64::from(c[2]));
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// One stream of blocks: a seed, a call of it, a sample of the call.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    key: [u32; 2],
    call: [u32; 2],
}

impl Stream {
    /// The stream of one call under a seed.
    pub fn new(seed: u64, call: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], call: [call as u32, (call >> 32) as u32] }
    }

    /// Four words; `position` is the sample's number in the high half and the block's in the low half.
    #[inline(always)]
    pub fn block(&self, position: u64) -> [u32; 4] {
        philox([position as u32, (position >> 32) as u32, self.call[0], self.call[1]], self.key)
    }
}

/// A number in [0, 1) with 53 random bits.
#[inline(always)]
pub(crate) fn unit(low: u32, high: u32) -> f64 {
    (((u64::from(high) << 32) | u64::from(low)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Two normal numbers from two uniform ones (Box and Muller).
#[inline(always)]
fn normal_pair(u: f64, v: f64) -> [f64; 2] {
    let radius = (-2.0 * u.ln_()).sqrt();
    let (sin, cos) = sin_cos_turns(v);
    [radius * cos, radius * sin]
}

/// Fills `y` block by block: `draw(words, out)` writes the `PER` numbers of one block.
fn fill<T: Number, const PER: usize>(y: &mut [T], stream: Stream, draw: impl Fn([u32; 4]) -> [T; PER] + Sync) {
    threads::parallel_chunks(y, RUN * PER, 8, |task, run| {
        for (i, out) in run.chunks_mut(PER).enumerate() {
            let numbers = draw(stream.block((task * RUN + i) as u64));
            out.copy_from_slice(&numbers[..out.len()]);
        }
    });
}

/// `y = low + (high - low) * u`, `u` uniform in [0, 1): 24 random bits for float32, 53 for float64.
///
/// # Errors
/// [`crate::error::Error::Argument`] unless both bounds are finite.
pub fn uniform<T: Float>(y: &mut [T], low: f64, high: f64, seed: u64, call: u64) -> Result {
    ensure_argument!((high - low).is_finite(), "uniform: expected finite bounds, got {low} and {high}; pass finite numbers");
    let stream = Stream::new(seed, call);
    let scaled = |u: f64| T::of(u.mul_add(high - low, low));
    if size_of::<T>() == 4 {
        fill(y, stream, |w| w.map(|word| scaled(f64::from(word >> 8) * (1.0 / 16_777_216.0))));
    } else {
        fill(y, stream, |w| [scaled(unit(w[0], w[1])), scaled(unit(w[2], w[3]))]);
    }
    Ok(())
}

/// The words of [`ABREAST`] blocks from `first` on: word `k` of block `l` is `words[k][l]`.
#[inline(always)]
fn words_abreast(stream: Stream, first: u64) -> [[u32; ABREAST]; 4] {
    let mut words = [[0; ABREAST]; 4];
    for l in 0..ABREAST {
        let block = stream.block(first.wrapping_add(l as u64));
        (words[0][l], words[1][l], words[2][l], words[3][l]) = (block[0], block[1], block[2], block[3]);
    }
    words
}

levels! {
    /// Normal numbers of the blocks from `first` on: two pairs a block for float32, one of more bits for float64.
    fn normal_run<T: Float>(y: &mut [T], stream: Stream, first: u64, mean: f64, deviation: f64) {
        let pairs = if size_of::<T>() == 4 { 2 } else { 1 };
        let mut numbers = [T::ZERO; 4 * ABREAST];
        for (lot, out) in y.chunks_mut(2 * pairs * ABREAST).enumerate() {
            let w = words_abreast(stream, first + (lot * ABREAST) as u64);
            for pair in 0..pairs {
                for l in 0..ABREAST {
                    // The first number of a pair is in (0, 1]: its logarithm is finite.
                    let (u, v) = if pairs == 2 {
                        let step = 1.0 / 4_294_967_296.0;
                        ((f64::from(w[2 * pair][l]) + 1.0) * step, f64::from(w[2 * pair + 1][l]) * step)
                    } else {
                        (1.0 - unit(w[0][l], w[1][l]), unit(w[2][l], w[3][l]))
                    };
                    let [a, b] = normal_pair(u, v);
                    numbers[2 * (l * pairs + pair)] = T::of(a.mul_add(deviation, mean));
                    numbers[2 * (l * pairs + pair) + 1] = T::of(b.mul_add(deviation, mean));
                }
            }
            out.copy_from_slice(&numbers[..out.len()]);
        }
    }
}

/// `y = mean + deviation * z`, `z` standard normal.
///
/// # Errors
/// None.
pub fn normal<T: Float>(y: &mut [T], mean: f64, deviation: f64, seed: u64, call: u64) -> Result {
    let stream = Stream::new(seed, call);
    let per = if size_of::<T>() == 4 { 4 } else { 2 };
    threads::parallel_chunks(y, RUN * per, 8, |task, run| normal_run(run, stream, (task * RUN) as u64, mean, deviation));
    Ok(())
}

/// Attempts at one number of [`truncated_normal`] before it is clamped: the range then holds less than 1 draw in 100.
const ATTEMPTS: u64 = 4000;

/// `y = mean + deviation * z`, draws outside [low, high] repeated.
///
/// # Errors
/// [`crate::error::Error::Argument`] unless low <= high.
pub fn truncated_normal<T: Float>(y: &mut [T], mean: f64, deviation: f64, low: f64, high: f64, seed: u64, call: u64) -> Result {
    ensure_argument!(low <= high, "truncated_normal: expected low <= high, got {low} and {high}; exchange them");
    let stream = Stream::new(seed, call);
    threads::parallel_chunks(y, RUN, 50, |task, run| {
        for (i, out) in run.iter_mut().enumerate() {
            let element = (task * RUN + i) as u64;
            let mut value = f64::NAN;
            for attempt in 0..ATTEMPTS {
                let w = stream.block((attempt << 32) ^ element);
                let pair = normal_pair(1.0 - unit(w[0], w[1]), unit(w[2], w[3])).map(|z| z.mul_add(deviation, mean));
                if let Some(&inside) = pair.iter().find(|v| (low..=high).contains(*v)) {
                    value = inside;
                    break;
                }
                value = pair[0].clamp(low, high);
            }
            *out = T::of(value);
        }
    });
    Ok(())
}

/// `y` = integers of [low, low + span), each equally likely up to span / 2^64.
///
/// # Errors
/// [`crate::error::Error::Argument`] for an empty range.
pub fn integers(y: &mut [i64], low: isize, span: u64, seed: u64, call: u64) -> Result {
    ensure_argument!(span > 0, "randint: expected high above low, got an empty range; raise high");
    let number = |a: u32, b: u32| {
        let word = (u64::from(b) << 32) | u64::from(a);
        (low as i64).wrapping_add(((u128::from(word) * u128::from(span)) >> 64) as i64)
    };
    fill(y, Stream::new(seed, call), |w| [number(w[0], w[1]), number(w[2], w[3])]);
    Ok(())
}

/// `y` = the numbers 0 to n - 1 in random order (Fisher and Yates).
///
/// # Errors
/// None.
pub fn permutation(y: &mut [i64], seed: u64, call: u64) -> Result {
    let stream = Stream::new(seed, call);
    y.iter_mut().enumerate().for_each(|(i, v)| *v = i as i64);
    for i in (1..y.len()).rev() {
        let w = stream.block(i as u64);
        let word = (u64::from(w[1]) << 32) | u64::from(w[0]);
        y.swap(i, ((u128::from(word) * (i as u128 + 1)) >> 64) as usize);
    }
    Ok(())
}

/// `y = x * scale + shift` where an element is kept, `fill` where it is dropped.
///
/// The arrays are `samples` runs of `size` elements. Element `e` of sample `s` is dropped when word `e % period` of
/// sample `first + s` is below `drop` * 2^32: the mask of a sample depends neither on its place in the batch nor on the element type.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit, [`crate::error::Error::Argument`] for a probability outside [0, 1].
pub fn dropout<T: Float>(
    y: &mut [T],
    x: &[T],
    samples: usize,
    size: usize,
    period: usize,
    drop: f64,
    scale: f64,
    shift: f64,
    fill: f64,
    seed: u64,
    call: u64,
    first: u64,
) -> Result {
    expect_len("dropout y", y.len(), &[samples, size])?;
    expect_len("dropout x", x.len(), &[samples, size])?;
    ensure_argument!((0.0..=1.0).contains(&drop), "dropout: expected p in [0, 1], got {drop}; pass a probability");
    ensure_shape!(period > 0 && period.div_ceil(4) <= u32::MAX as usize, "dropout: expected a period of 1 to 2^34, got {period}");
    let stream = Stream::new(seed, call);
    let below = (drop * 4_294_967_296.0).round() as u64;
    let (scale, shift, fill) = (T::of(scale), T::of(shift), T::of(fill));
    let run = RUN * 4;
    let pieces = size.div_ceil(run);
    let shared = threads::Shared::new(y);
    threads::parallel(samples * pieces, run.min(size) * 8, |task| {
        let (sample, start) = (task / pieces, task % pieces * run);
        let len = run.min(size - start);
        let at = sample * size + start;
        // SAFETY: every task has its own run of `y`.
        let out = unsafe { shared.slice(at, len) };
        let high = first.wrapping_add(sample as u64) << 32;
        let (mut held, mut words) = (usize::MAX, [0u32; 4]);
        for (i, (out, &v)) in out.iter_mut().zip(&x[at..at + len]).enumerate() {
            let element = (start + i) % period;
            if element / 4 != held {
                held = element / 4;
                words = stream.block(high | held as u64);
            }
            *out = if u64::from(words[element % 4]) >= below { v.mul_add(scale, shift) } else { fill };
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        assert_eq!(philox(pi, [0xa409_3822, 0x299f_31d0]), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn a_permutation_holds_every_number() {
        let mut y = [0i64; 101];
        permutation(&mut y, 3, 0).unwrap();
        assert!(y.windows(2).any(|w| w[0] > w[1]));
        y.sort_unstable();
        assert!(y.iter().enumerate().all(|(i, &v)| v == i as i64));
    }

    #[test]
    fn a_sample_keeps_its_mask_anywhere_in_the_batch() {
        let x = [1.0f32; 60];
        let (mut all, mut last) = ([0.0f32; 60], [0.0f32; 20]);
        dropout(&mut all, &x, 3, 20, 20, 0.5, 2.0, 0.0, 0.0, 1, 7, 0).unwrap();
        dropout(&mut last, &x[..20], 1, 20, 20, 0.5, 2.0, 0.0, 0.0, 1, 7, 2).unwrap();
        assert_eq!(all[40..], last);
    }
}
