//! Stable sorting along one axis of (outer, n, inner).

use std::cmp::Ordering;

use crate::error::{Result, expect_len};
use crate::simd::Number;
use crate::threads::{Shared, parallel};

/// From so many elements on, lines of floats are sorted by their bits.
const BY_BITS: usize = 512;
/// Bits of a digit.
const DIGIT: usize = 11;

/// Ascending order with NaN after all numbers.
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// What a float's bits must be to be ordered as [`order`] does, of `bits` bits: both zeros alike, and all NaNs.
fn key(x: f64, bits: u64, raised: u64) -> u64 {
    let top = 1 << (bits - 1);
    if x.is_nan() {
        2 * (top - 1) + 1
    } else if x == 0.0 {
        top
    } else if raised & top != 0 {
        !raised & (2 * (top - 1) + 1)
    } else {
        raised | top
    }
}

/// Sorts by `bits` bits of the keys, digit by digit from the last; what is in `other` does not matter.
fn by_digits<K: Copy>(line: &mut Vec<K>, other: &mut Vec<K>, bits: usize, key: impl Fn(&K) -> u64) {
    let digits = bits.div_ceil(DIGIT);
    let mut counts = vec![[0usize; 1 << DIGIT]; digits];
    for item in line.iter() {
        let key = key(item);
        for (d, counts) in counts.iter_mut().enumerate() {
            counts[(key >> (d * DIGIT)) as usize % (1 << DIGIT)] += 1;
        }
    }
    for (d, counts) in counts.iter_mut().enumerate() {
        if counts.contains(&line.len()) {
            continue; // all have this digit
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            (*count, start) = (start, start + *count);
        }
        for item in line.iter() {
            let place = &mut counts[(key(item) >> (d * DIGIT)) as usize % (1 << DIGIT)];
            other[*place] = *item;
            *place += 1;
        }
        std::mem::swap(line, other);
    }
}

/// Memory for the lines that one task sorts.
struct Sorter<T> {
    line: Vec<(T, i64)>,
    short: [Vec<u64>; 2],
    long: [Vec<(u64, u32)>; 2],
}

impl<T: Number> Sorter<T> {
    fn new() -> Self {
        Self { line: Vec::new(), short: Default::default(), long: Default::default() }
    }

    /// Calls `put(rank, place)` for every element of a line: comparison sort, or by bits for floats.
    fn sort(&mut self, n: usize, at: impl Fn(usize) -> T, descending: bool, mut put: impl FnMut(usize, usize)) {
        let float = T::of(0.5) != T::ZERO && (size_of::<T>() == 4 || size_of::<T>() == 8);
        if n < BY_BITS || u32::try_from(n).is_err() || !float {
            self.line.clear();
            self.line.extend((0..n).map(|k| (at(k), k as i64)));
            if descending {
                self.line.sort_by(|a, b| order(b.0, a.0));
            } else {
                self.line.sort_by(|a, b| order(a.0, b.0));
            }
            self.line.iter().enumerate().for_each(|(rank, item)| put(rank, item.1 as usize));
        } else if size_of::<T>() == 4 {
            // A key and, below it, its place: equals stay in order because digits of the place are never looked at.
            let turn = if descending { u64::from(u32::MAX) } else { 0 };
            let key = |k: usize| key(at(k).to_f64(), 32, u64::from((at(k).to_f64() as f32).to_bits())) ^ turn;
            let [line, other] = &mut self.short;
            line.clear();
            line.extend((0..n).map(|k| (key(k) << 32) | k as u64));
            other.resize(n, 0);
            by_digits(line, other, 32, |item| item >> 32);
            line.iter().enumerate().for_each(|(rank, &item)| put(rank, item as u32 as usize));
        } else {
            let turn = if descending { u64::MAX } else { 0 };
            let [line, other] = &mut self.long;
            line.clear();
            line.extend((0..n).map(|k| (key(at(k).to_f64(), 64, at(k).to_f64().to_bits()) ^ turn, k as u32)));
            other.resize(n, (0, 0));
            by_digits(line, other, 64, |item| item.0);
            line.iter().enumerate().for_each(|(rank, item)| put(rank, item.1 as usize));
        }
    }
}

/// The elements in order, and where each was; equals keep theirs, NaN counts as the largest.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all are (outer, n, inner).
pub fn sort<T: Number>(values: &mut [T], indices: &mut [i64], x: &[T], outer: usize, n: usize, inner: usize, descending: usize) -> Result {
    expect_len("sort values", values.len(), &[outer, n, inner])?;
    expect_len("sort indices", indices.len(), &[outer, n, inner])?;
    expect_len("sort x", x.len(), &[outer, n, inner])?;
    if x.is_empty() {
        return Ok(());
    }
    let lines = outer * inner;
    let group = (4096 / n).max(1);
    let (values, indices) = (Shared::new(values), Shared::new(indices));
    parallel(lines.div_ceil(group), group * n * 32, |task| {
        let mut sorter = Sorter::new();
        for at in task * group..lines.min((task + 1) * group) {
            let start = at / inner * n * inner + at % inner;
            let element = |k: usize| x[start + k * inner];
            sorter.sort(n, element, descending == 1, |rank, place| {
                // SAFETY: each line is written by one task.
                unsafe {
                    values.slice(start + rank * inner, 1)[0] = element(place);
                    indices.slice(start + rank * inner, 1)[0] = place as i64;
                }
            });
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_ways_agree<T: Number>() {
        let odd = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-42, -1e-42];
        let x: Vec<T> =
            (0..2000).map(|i| T::of(if i % 7 == 0 { odd[i / 7 % 8] } else { ((i * 7919) % 301) as f64 / 7.0 - 20.0 })).collect();
        for descending in [0, 1] {
            let (mut values, mut indices) = (vec![T::ZERO; x.len()], vec![0; x.len()]);
            sort(&mut values, &mut indices, &x, 1, x.len(), 1, descending).unwrap();
            let mut want: Vec<usize> = (0..x.len()).collect();
            want.sort_by(|&a, &b| if descending == 1 { order(x[b], x[a]) } else { order(x[a], x[b]) });
            assert!(indices.iter().zip(&want).all(|(&i, &w)| i as usize == w));
            assert!(values.iter().zip(&want).all(|(v, &w)| order(*v, x[w]) == Ordering::Equal));
        }
    }

    #[test]
    fn bits_and_comparisons_give_one_order() {
        both_ways_agree::<f32>();
        both_ways_agree::<f64>();
    }
}
