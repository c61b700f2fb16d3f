//! The gradient of a bias: sums over pixels.

use crate::error::{Result, expect_len, try_vec};
use crate::levels;
use crate::simd::Float;
use crate::threads;

/// Pixels of one partial sum, a fixed number.
const PIXELS: usize = 512;

levels! {
    fn add_pixels<T: Float>(total: &mut [T], pixels: &[T]) {
        let n = total.len();
        total.fill(T::ZERO);
        for pixel in pixels.chunks_exact(n) {
            for (t, &p) in total.iter_mut().zip(pixel) {
                *t += p;
            }
        }
    }
}

/// `db[k] = sum over pixels of dy[pixel, k]`, in fixed runs of pixels that are added in order.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn bias_gradient<T: Float>(db: &mut [T], dy: &[T], pixels: usize, k: usize) -> Result {
    expect_len("db", db.len(), &[k])?;
    expect_len("dy", dy.len(), &[pixels, k])?;
    db.fill(T::ZERO);
    if dy.is_empty() {
        return Ok(());
    }
    let mut parts = try_vec(pixels.div_ceil(PIXELS) * k, T::ZERO)?;
    threads::parallel_chunks(&mut parts, k, PIXELS, |i, part| {
        add_pixels(part, &dy[i * PIXELS * k..dy.len().min((i + 1) * PIXELS * k)]);
    });
    for part in parts.chunks_exact(k) {
        for (t, &p) in db.iter_mut().zip(part) {
            *t += p;
        }
    }
    Ok(())
}
