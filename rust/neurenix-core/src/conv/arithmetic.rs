//! How direct convolutions multiply: element by element, or in pairs of bfloat16, two channels or pixels that a sum runs over in one element.

use super::kernel::{Panel, run_pairs, run_panel};
use super::outer::{Outer, add_pairs, add_unit};
use super::pack::{Image, Patch};
use crate::pair_levels;
use crate::simd::Float;

/// A way to multiply.
pub trait Arithmetic<T>: Sync {
    /// Numbers in one element of what the micro-kernel reads.
    const TOGETHER: usize;
    /// Copies `depth` channels from `channel` on of a patch, [`Self::TOGETHER`] in an element.
    fn copy(image: &Image<'_, T>, to: &mut [T], patch: Patch, channel: usize, depth: usize);
    /// Runs a panel; safety is the caller's, see [`run_panel`].
    fn panel(panel: &Panel<'_, T>);
    /// Every `len` elements become pairs of those of `from`, `pitch` further each time, and those `apart` behind them, zero beyond the last.
    fn join(to: &mut [T], len: usize, from: &[T], pitch: usize, apart: usize);
    /// Adds a unit to a weight's gradient.
    fn add(outer: &Outer<'_, T>);
}

/// Element by element.
#[derive(Debug)]
pub struct Single;

impl<T: Float> Arithmetic<T> for Single {
    const TOGETHER: usize = 1;

    fn copy(image: &Image<'_, T>, to: &mut [T], patch: Patch, channel: usize, depth: usize) {
        image.copy(to, patch, channel, depth);
    }

    fn panel(panel: &Panel<'_, T>) {
        run_panel(panel);
    }

    fn join(to: &mut [T], _len: usize, from: &[T], _pitch: usize, _apart: usize) {
        to.copy_from_slice(&from[..to.len()]);
    }

    fn add(outer: &Outer<'_, T>) {
        add_unit(outer);
    }
}

/// Pairs of bfloat16 in the bits of a float32.
#[derive(Debug)]
pub struct Paired;

impl Arithmetic<f32> for Paired {
    const TOGETHER: usize = 2;

    fn copy(image: &Image<'_, f32>, to: &mut [f32], patch: Patch, channel: usize, depth: usize) {
        image.copy_with(to, patch, channel, (depth, depth.div_ceil(2)), |to, from, pitch| pair_channels(to, from, pitch, depth));
    }

    fn panel(panel: &Panel<'_, f32>) {
        run_pairs(panel);
    }

    fn join(to: &mut [f32], len: usize, from: &[f32], pitch: usize, apart: usize) {
        pair_pixels(to, len, from, pitch, apart);
    }

    fn add(outer: &Outer<'_, f32>) {
        add_pairs(outer);
    }
}

pair_levels! {
    /// The first `depth` of every `pitch` elements in pairs of neighbours.
    fn pair_channels<V, P>(to: &mut [f32], from: &[f32], pitch: usize, depth: usize) {
        for (i, pixel) in to.chunks_exact_mut(depth.div_ceil(2)).enumerate() {
            let from = &from[i * pitch..i * pitch + depth];
            for at in (0..pixel.len()).step_by(V::N) {
                let some = V::N.min(pixel.len() - at);
                // SAFETY: `depth - 2 * at` numbers are left of the pixel, and room for half of them.
                unsafe {
                    let pairs = P::neighbours(from.as_ptr().add(2 * at), depth - 2 * at);
                    let place = pixel.as_mut_ptr().add(at);
                    if some == V::N { pairs.store(place) } else { pairs.store_first(place, some) }
                }
            }
        }
    }
}

pair_levels! {
    /// See [`Arithmetic::join`].
    fn pair_pixels<V, P>(to: &mut [f32], len: usize, from: &[f32], pitch: usize, apart: usize) {
        for (i, to) in to.chunks_exact_mut(len.max(1)).enumerate() {
            let first = &from[i * pitch..i * pitch + len];
            let second = &from[(i * pitch + apart).min(from.len())..];
            for at in (0..len).step_by(V::N) {
                let left = len - at;
                let behind = second.len().saturating_sub(at);
                // SAFETY: `left` elements from the place on lie inside the first ones and the pairs, `behind` inside the second ones.
                unsafe {
                    let load = |from: &[f32], some: usize| {
                        let from = from.as_ptr().wrapping_add(at);
                        if some >= V::N { V::load(from) } else if some > 0 { V::load_first(from, some) } else { V::splat(0.0) }
                    };
                    let pairs = P::joined(load(first, left), load(second, behind));
                    let place = to.as_mut_ptr().add(at);
                    if left >= V::N { pairs.store(place) } else { pairs.store_first(place, left) }
                }
            }
        }
    }
}
