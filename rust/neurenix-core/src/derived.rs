//! Whether a user wrote into an array behind our back.

use crate::error::{Result, expect_len, try_vec};
use crate::levels;
use crate::threads;

/// Elements of one run, a fixed number.
const RUN: usize = 1 << 14;
const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
const LANES: usize = 16;

/// Elements as numbers.
pub trait Word: Copy + Sync + Into<u64> {}
impl<T: Copy + Sync + Into<u64>> Word for T {}

fn mix(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(PRIME).rotate_left(29)
}

levels! {
    /// Sums of the elements and of those sums, lane by lane (Fletcher's checksum): any changed element and its place show.
    fn sums<T: Word>(run: &[T]) -> [[u64; LANES]; 2] {
        let mut sums = [[0u64; LANES]; 2];
        let (groups, rest) = run.as_chunks::<LANES>();
        for words in groups {
            for lane in 0..LANES {
                sums[0][lane] = sums[0][lane].wrapping_add(words[lane].into());
                sums[1][lane] = sums[1][lane].wrapping_add(sums[0][lane]);
            }
        }
        for (lane, &word) in rest.iter().enumerate() {
            sums[0][lane] = sums[0][lane].wrapping_add(word.into());
            sums[1][lane] = sums[1][lane].wrapping_add(sums[0][lane]);
        }
        sums
    }
}

/// A 64-bit checksum of the elements in `sum[0]`, the same for any number of threads.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless `sum` has one element, [`crate::error::Error::Memory`].
pub fn checksum<T: Word>(x: &[T], sum: &mut [i64]) -> Result {
    expect_len("sum", sum.len(), &[1])?;
    let mut hashes = try_vec(x.len().div_ceil(RUN), 0u64)?;
    threads::parallel_chunks(&mut hashes, 1, RUN, |i, hash| {
        let [first, second] = sums(&x[i * RUN..x.len().min((i + 1) * RUN)]);
        hash[0] = first.into_iter().chain(second).fold(i as u64, mix);
    });
    sum[0] = hashes.into_iter().fold(x.len() as u64, mix) as i64;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_and_its_place_count() {
        let sum = |x: &[u32]| {
            let mut sum = [0];
            checksum(x, &mut sum).unwrap();
            sum[0]
        };
        let x: Vec<u32> = (0..40_000).collect();
        for i in [0, 1, 17, 16_384, 39_999] {
            let mut y = x.clone();
            y[i] ^= 1 << 31;
            assert_ne!(sum(&x), sum(&y));
        }
        let mut y = x.clone();
        y.swap(3, 11);
        assert_ne!(sum(&x), sum(&y));
        assert_eq!(sum(&x), sum(&x.clone()));
    }
}
