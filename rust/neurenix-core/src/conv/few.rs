//! Convolutions with few outputs: vectors lie along the channels that a sum runs over, since along the outputs most of them would be empty.
//!
//! A sum has [`LANES`] parts, whatever the vector's length: element `i` of a run goes to part `i % LANES`. The parts of
//! neighbouring pixels are turned over and added in pairs.

#![allow(clippy::needless_range_loop)] // a tile of registers reads best by its two indices

use std::mem::MaybeUninit;

use super::kernel::{Panel, Pixel, load};
use crate::levels;
use crate::simd::{Float, LANES, Vector, prefetch_first};

/// Sums of as many pixels as a vector has elements, in parts: `[pixel][part]`.
type Parts<T> = [MaybeUninit<T>; LANES * LANES];

/// `P` pixels from the first of `pixels` on times `K` outputs from `output` on: their parts, one after another.
#[inline(always)]
unsafe fn dots<T: Float, V: Vector<T>, const P: usize, const K: usize>(
    panel: &Panel<'_, T>,
    pixels: &[Pixel],
    from: usize,
    output: usize,
    parts: &mut [Parts<T>; 2],
) {
    let rows = panel.weights.len() / panel.width;
    let mut x = [panel.x; P];
    for p in 0..P {
        x[p] = panel.x.wrapping_add(pixels[(from + p).min(pixels.len() - 1)].x);
    }
    for lane in (0..LANES).step_by(V::N) {
        let mut sums = [[V::splat(T::ZERO); K]; P];
        let mut w = panel.weights.as_ptr().wrapping_add(output * rows);
        for run in panel.runs {
            for step in (lane..run.steps).step_by(LANES) {
                let left = run.steps - step;
                // SAFETY: the caller gives runs inside the input for each pixel, and as many weights for each output.
                unsafe {
                    let mut weights = [V::splat(T::ZERO); K];
                    for k in 0..K {
                        weights[k] = load(w.add(k * rows + step), left);
                    }
                    for p in 0..P {
                        let value: V = load(x[p].add(run.offset + step), left);
                        for k in 0..K {
                            sums[p][k] = value.fma(weights[k], sums[p][k]);
                        }
                    }
                }
            }
            w = w.wrapping_add(run.steps + run.skip);
        }
        for p in 0..P {
            for k in 0..K {
                // SAFETY: the caller's pixels are no more than a vector has elements, at most `LANES`.
                unsafe { sums[p][k].store(parts[k].as_mut_ptr().add((from + p) * LANES + lane).cast()) };
            }
        }
    }
}

/// The sums of a vector of pixels from their parts.
#[inline(always)]
unsafe fn total<T: Float, V: Vector<T>>(parts: &Parts<T>) -> V {
    let mut turned = [MaybeUninit::<T>::uninit(); LANES * LANES];
    let mut sums = [V::splat(T::ZERO); LANES];
    let (from, to) = (parts.as_ptr().cast::<T>(), turned.as_mut_ptr().cast::<T>());
    // SAFETY: the caller gives `N` pixels' parts; as many vectors of `N` pixels are written.
    unsafe {
        for lane in (0..LANES).step_by(V::N) {
            V::transpose(from.add(lane), LANES, V::N, to.add(lane * V::N), V::N as isize);
        }
        for lane in 0..LANES {
            sums[lane] = V::load(to.add(lane * V::N));
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] = sums[lane].add(sums[lane + half]);
        }
        half /= 2;
    }
    sums[0]
}

/// A vector of pixels times `K` outputs from `output` on, `P` pixels at a time.
#[inline(always)]
unsafe fn group<T: Float, V: Vector<T>, const P: usize, const K: usize>(panel: &Panel<'_, T>, pixels: &[Pixel], output: usize) {
    let mut parts = [[MaybeUninit::<T>::uninit(); LANES * LANES]; 2];
    let mut finished = [T::ZERO; LANES];
    // SAFETY: as the caller says; `live` channels of every pixel lie inside the output.
    unsafe {
        for from in (0..V::N).step_by(P) {
            dots::<T, V, P, K>(panel, pixels, from, output, &mut parts);
        }
        for k in 0..K {
            let mut sum = total::<T, V>(&parts[k]);
            if let Some(last) = &panel.last {
                sum = last.finish_one(sum, output + k);
            }
            sum.store(finished.as_mut_ptr());
            for (pixel, &value) in pixels.iter().take(V::N).zip(&finished) {
                panel.y.add(pixel.y + output + k).write(value);
            }
        }
    }
}

/// Asks for the elements that the first run of some pixels meets.
#[inline(always)]
fn bring_near<T>(panel: &Panel<'_, T>, pixels: &[Pixel]) {
    const LINE: usize = 64;
    if let Some(run) = panel.runs.first() {
        for pixel in pixels {
            let from = panel.x.wrapping_add(pixel.x + run.offset);
            (0..run.steps).step_by(LINE / size_of::<T>()).for_each(|at| prefetch_first(from.wrapping_add(at)));
        }
    }
}

levels! {
    /// As [`super::kernel::run_panel`] with weights `[output][step]`, and all channels at once: the panel's first are its last.
    pub fn run_few<T, V>(panel: &Panel<'_, T>) {
        let mut rest = panel.pixels;
        while !rest.is_empty() {
            let (pixels, behind) = rest.split_at(V::N.min(rest.len()));
            bring_near(panel, &behind[..V::N.min(behind.len())]);
            let mut output = 0;
            while output < panel.live {
                let some = (panel.live - output).min(2);
                // SAFETY: as the caller says.
                unsafe {
                    match (V::N >= 4, some) {
                        (true, 1) => group::<T, V, 4, 1>(panel, pixels, output),
                        (true, _) => group::<T, V, 4, 2>(panel, pixels, output),
                        (false, 1) => group::<T, V, 1, 1>(panel, pixels, output),
                        (false, _) => group::<T, V, 1, 2>(panel, pixels, output),
                    }
                }
                output += some;
            }
            rest = behind;
        }
    }
}
