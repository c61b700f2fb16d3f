//! The gradient of a depthwise weight: sums of products over pixels, channels in the vector's lanes.

use super::depthwise::inside;
use super::direct::Problem;
use super::plan::Axis;
use crate::error::{Result, try_vec};
use crate::levels;
use crate::simd::{Float, Vector};
use crate::threads;

/// Rows of the map that one partial sum of the weight gradient covers, at most; their number is fixed by the map.
const CHUNKS: usize = 32;

/// `sums[c] += sum over pixels of x[pixel, c] * dy[pixel, c]` for `R` vectors of channels, or the first `left` with `R = 0`.
#[inline(always)]
unsafe fn products<T: Float, V: Vector<T>, const R: usize>(
    sums: &mut [T],
    x: *const T,
    dy: *const T,
    pixels: usize,
    steps: (usize, usize),
) {
    let mut part = [V::splat(T::ZERO); 4];
    let (left, vectors) = (sums.len(), R.max(1));
    // SAFETY: the caller has so many pixels with the channels of `sums`.
    unsafe {
        for pixel in 0..pixels {
            let (a, b) = (x.add(pixel * steps.0), dy.add(pixel * steps.1));
            for j in 0..vectors {
                let (a, b) = (a.add(j * V::N), b.add(j * V::N));
                let (a, b): (V, V) = if R == 0 { (V::load_first(a, left), V::load_first(b, left)) } else { (V::load(a), V::load(b)) };
                part[j] = a.fma(b, part[j]);
            }
        }
        for j in 0..vectors {
            let to = sums.as_mut_ptr().add(j * V::N);
            if R == 0 {
                V::load_first(to, left).add(part[j]).store_first(to, left);
            } else {
                V::load(to).add(part[j]).store(to);
            }
        }
    }
}

/// One row of both maps, and the sums of the row of taps that joins them.
struct Pair<'a, T> {
    large: &'a [T],
    small: &'a [T],
    columns: &'a Axis,
    channels: usize,
}

levels! {
    /// Adds a pair of rows to `sums[tap][channel]`.
    fn add_rows<T, V>(pair: &Pair<'_, T>, sums: &mut [T]) {
        let n = pair.channels;
        let mut at = 0;
        while at < n {
            let whole = ((n - at) / V::N).min(4);
            let some = if whole == 0 { n - at } else { whole * V::N };
            for (index, tap) in pair.columns.phases[0].taps.iter().enumerate() {
                let (first, last) = inside(pair.columns, pair.columns.output, tap.offset, tap.offset);
                if first == last {
                    continue;
                }
                let from = ((first * pair.columns.in_step) as isize + tap.offset) as usize * n + at;
                let (x, dy) = (&pair.large[from..], &pair.small[first * n + at..]);
                let sums = &mut sums[index * n + at..index * n + at + some];
                let steps = (pair.columns.in_step * n, n);
                // SAFETY: `inside` says that the tap exists from pixel `first` to `last`.
                unsafe {
                    match whole {
                        0 => products::<T, V, 0>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        1 => products::<T, V, 1>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        2 => products::<T, V, 2>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        3 => products::<T, V, 3>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                        _ => products::<T, V, 4>(sums, x.as_ptr(), dy.as_ptr(), last - first, steps),
                    }
                }
            }
            at += some;
        }
    }
}

/// `dw[c, tap] = sum over pixels of small[pixel, c] * large[pixel at tap, c]`, in fixed chunks of rows added in order.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub fn weight_gradient<T: Float>(dw: &mut [T], small: &[T], large: &[T], problem: &Problem) -> Result {
    dw.fill(T::ZERO);
    if small.is_empty() || large.is_empty() || dw.is_empty() {
        return Ok(());
    }
    let (rows, columns, channels) = (&problem.rows, &problem.columns, problem.panels.groups);
    let (down, across) = (&rows.phases[0], &columns.phases[0]);
    let (lines, taps) = (problem.n * rows.output, down.taps.len() * across.taps.len());
    let chunks = CHUNKS.min(lines);
    let mut parts = try_vec(chunks * taps * channels, T::ZERO)?;
    threads::parallel_chunks(&mut parts, taps * channels, lines / chunks * columns.output, |chunk, part| {
        for line in lines * chunk / chunks..lines * (chunk + 1) / chunks {
            let (image, oy) = (line / rows.output, line % rows.output);
            for row in &down.taps {
                let iy = (oy * rows.in_step) as isize + row.offset;
                if !(0..rows.input as isize).contains(&iy) {
                    continue;
                }
                let x = &large[(image * rows.input + iy as usize) * columns.input * channels..][..columns.input * channels];
                let small = &small[line * columns.output * channels..(line + 1) * columns.output * channels];
                let sums = &mut part[row.index * across.taps.len() * channels..(row.index + 1) * across.taps.len() * channels];
                add_rows(&Pair { large: x, small, columns, channels }, sums);
            }
        }
    });
    for part in parts.chunks_exact(taps * channels) {
        for (tap, row) in part.chunks_exact(channels).enumerate() {
            row.iter().enumerate().for_each(|(c, &value)| dw[c * taps + tap] += value);
        }
    }
    Ok(())
}
