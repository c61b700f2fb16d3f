//! The inverse of max pooling: values go, or gradients come back, by index.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result, expect_len};
use crate::simd::Float;
use crate::threads::{Shared, parallel};

/// Channels of one task.
const BLOCK: usize = 16;
/// Elements of one task that only reads by index.
const TASK: usize = 1 << 14;

/// Runs `f(plane, first channel, channels)` so that every task owns whole planes of some channels.
fn by_plane(outer: usize, inner: usize, cost: usize, f: impl Fn(usize, usize, usize) + Sync) {
    let blocks = inner.div_ceil(BLOCK);
    parallel(outer * blocks, cost * inner.min(BLOCK), |task| {
        let c = task % blocks * BLOCK;
        f(task / blocks, c, BLOCK.min(inner - c));
    });
}

fn spread<T: Float>(y: &mut [T], x: &[T], index: &[i64], outer: usize, pixels: usize, inner: usize, count: usize, add: bool) -> Result {
    expect_len("unpool: y", y.len(), &[outer, count, inner])?;
    expect_len("unpool: x", x.len(), &[outer, pixels, inner])?;
    expect_len("unpool: index", index.len(), &[outer, pixels, inner])?;
    let outside = AtomicBool::new(false);
    let shared = Shared::new(y);
    by_plane(outer, inner, pixels + count, |o, c, channels| {
        // SAFETY: a task owns these channels of this map; the pieces of different tasks do not overlap.
        let piece = |p: usize| unsafe { shared.slice((o * count + p) * inner + c, channels) };
        (0..count).for_each(|p| piece(p).fill(T::ZERO));
        for p in 0..pixels {
            let at = (o * pixels + p) * inner + c;
            for (n, (&x, &to)) in x[at..at + channels].iter().zip(&index[at..at + channels]).enumerate() {
                if to < 0 || to as usize >= count {
                    outside.store(true, Ordering::Relaxed);
                    continue;
                }
                let y = &mut piece(to as usize)[n];
                *y = if add { *y + x } else { x };
            }
        }
    });
    if outside.load(Ordering::Relaxed) {
        return Err(Error::Argument(format!(
            "max_unpool: expected indices from 0 to {}, got others; pass the indices of the max pool and its input's size",
            count.saturating_sub(1)
        )));
    }
    Ok(())
}

/// `y[o, index[o, p, c], c] = x[o, p, c]`, the last of several, and zero elsewhere.
///
/// # Errors
/// [`Error::Shape`] when slices do not fit the sizes, [`Error::Argument`] for an index outside.
pub fn unpool<T: Float>(y: &mut [T], x: &[T], index: &[i64], outer: usize, pixels: usize, inner: usize, count: usize) -> Result {
    spread(y, x, index, outer, pixels, inner, count, false)
}

/// `y[o, q, c]`: the sum of the x[o, p, c] whose index is q, in the order of p.
///
/// # Errors
/// [`Error::Shape`] when slices do not fit the sizes, [`Error::Argument`] for an index outside.
pub fn unpool_add<T: Float>(y: &mut [T], x: &[T], index: &[i64], outer: usize, pixels: usize, inner: usize, count: usize) -> Result {
    spread(y, x, index, outer, pixels, inner, count, true)
}

/// `dx[o, p, c] = dy[o, index[o, p, c], c]`, zero for an index outside.
///
/// # Errors
/// [`Error::Shape`] when slices do not fit the sizes.
pub fn unpool_backward<T: Float>(dx: &mut [T], dy: &[T], index: &[i64], outer: usize, pixels: usize, inner: usize, count: usize) -> Result {
    expect_len("unpool_backward: dx", dx.len(), &[outer, pixels, inner])?;
    expect_len("unpool_backward: dy", dy.len(), &[outer, count, inner])?;
    expect_len("unpool_backward: index", index.len(), &[outer, pixels, inner])?;
    let row = pixels * inner;
    crate::threads::parallel_chunks(dx, TASK, 4, |task, part| {
        for (n, dx) in part.iter_mut().enumerate() {
            let at = task * TASK + n;
            let q = index[at];
            let inside = q >= 0 && (q as usize) < count;
            *dx = if inside { dy[(at / row * count + q as usize) * inner + at % inner] } else { T::ZERO };
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_outside_is_refused() {
        let mut y = [0.0f32; 2];
        assert!(matches!(unpool(&mut y, &[1.0], &[2], 1, 1, 1, 2), Err(Error::Argument(_))));
        assert!(unpool(&mut y, &[1.0], &[1], 1, 1, 1, 2).is_ok() && y == [0.0, 1.0]);
    }
}
