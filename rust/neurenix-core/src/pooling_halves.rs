//! Maxima of 2x2 windows at stride 2 over rows that another pass has near.
//!
//! Windows at an odd size's end have one row or column where outputs round up, and are left out where they do not. Of equal values
//! the first is taken, of NaNs the last; a tap counts `row * columns + column` of its window, as in [`pooling`](crate::pooling).

use crate::error::Result;
use crate::simd::Float;
use crate::{ensure_shape, levels};

/// Refuses sizes that are not half of a map's.
pub(crate) fn expect_halves((h, w): (usize, usize), (oh, ow): (usize, usize)) -> Result {
    let fits = |full: usize, half: usize| half == full / 2 || half == full.div_ceil(2);
    ensure_shape!(fits(h, oh) && fits(w, ow), "max_pool: expected half of ({h}, {w}), got ({oh}, {ow})");
    Ok(())
}

levels! {
    /// Maxima over two rows of `w` pixels with `c` channels, and their taps. A row twice, with `down` 0, is one row.
    pub(crate) fn maxima<T: Float>(y: &mut [T], tap: &mut [u8], rows: [&[T]; 2], down: i32, w: usize, c: usize) {
        for (j, (y, tap)) in y.chunks_exact_mut(c).zip(tap.chunks_exact_mut(c)).enumerate() {
            let right = usize::from(2 * j + 1 < w);
            let [upper, lower] = rows.map(|row| &row[2 * j * c..(2 * j + 1 + right) * c]);
            let [a, b, d, e] = [&upper[..c], &upper[right * c..][..c], &lower[..c], &lower[right * c..][..c]];
            let right = right as i32;
            for i in 0..c {
                let (mut best, mut code) = (T::LOWEST, 0);
                for (v, number) in [(a[i], 0), (b[i], right), (d[i], down), (e[i], down + right)] {
                    let better = (v > best) | v.is_nan();
                    best = if better { v } else { best };
                    code = if better { number } else { code };
                }
                (y[i], tap[i]) = (best, code as u8);
            }
        }
    }
}
