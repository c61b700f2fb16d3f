//! Softmax and its gradient along one axis of (outer, n, inner).
//!
//! Sixteen positions are taken together as columns of a small block, whatever the memory order, so every order runs the
//! same loops and gives the same bits.

use crate::blocks::Buffer;
use crate::error::{Result, expect_len};
use crate::levels;
use crate::math::Math;
use crate::simd::LANES;
use crate::threads::{Shared, parallel};

levels! {
    fn softmax_block<T: Math, const LOG: usize>(block: &mut [T]) {
        let mut most = [T::LOWEST; LANES];
        for row in block.chunks_exact(LANES) {
            for (m, &x) in most.iter_mut().zip(row) {
                *m = if x > *m || x.is_nan() { x } else { *m };
            }
        }
        let mut sum = [T::ZERO; LANES];
        for row in block.chunks_exact_mut(LANES) {
            for ((x, &m), s) in row.iter_mut().zip(&most).zip(&mut sum) {
                let d = *x - m;
                let e = d.exp_();
                *x = if LOG == 1 { d } else { e };
                *s += e;
            }
        }
        if LOG == 1 {
            sum.iter_mut().for_each(|s| *s = s.ln_());
        }
        for row in block.chunks_exact_mut(LANES) {
            for (x, &s) in row.iter_mut().zip(&sum) {
                *x = if LOG == 1 { *x - s } else { *x / s };
            }
        }
    }
}

levels! {
    fn gradient_block<T: Math, const LOG: usize>(g: &mut [T], y: &[T]) {
        let mut sum = [T::ZERO; LANES];
        for (g, y) in g.chunks_exact(LANES).zip(y.chunks_exact(LANES)) {
            for ((s, &g), &y) in sum.iter_mut().zip(g).zip(y) {
                *s = if LOG == 1 { *s + g } else { g.mul_add(y, *s) };
            }
        }
        for (g, y) in g.chunks_exact_mut(LANES).zip(y.chunks_exact(LANES)) {
            for ((g, &y), &s) in g.iter_mut().zip(y).zip(&sum) {
                *g = if LOG == 1 { *g - y.exp_() * s } else { y * (*g - s) };
            }
        }
    }
}

/// Where the columns lie: `positions` of them, each with `n` elements `inner` apart.
#[derive(Clone, Copy)]
struct Columns {
    n: usize,
    inner: usize,
    positions: usize,
}

impl Columns {
    fn start(self, position: usize) -> usize {
        position / self.inner * self.n * self.inner + position % self.inner
    }

    /// Whether all columns from `first` on lie side by side.
    fn together(self, first: usize) -> bool {
        first % self.inner + LANES <= self.inner
    }

    /// Collects the columns from `first` on; columns that are not there are copies of the last.
    fn load<T: Copy>(self, block: &mut [T], x: &[T], first: usize) {
        if self.together(first) {
            let start = self.start(first);
            for (k, row) in block.chunks_exact_mut(LANES).enumerate() {
                row.copy_from_slice(&x[start + k * self.inner..][..LANES]);
            }
            return;
        }
        for lane in 0..LANES {
            let start = self.start((first + lane).min(self.positions - 1));
            let column = x[start..start + (self.n - 1) * self.inner + 1].iter().step_by(self.inner);
            block[lane..].iter_mut().step_by(LANES).zip(column).for_each(|(to, &x)| *to = x);
        }
    }

    /// Puts the columns back.
    fn store<T: Copy>(self, y: &Shared<'_, T>, block: &[T], first: usize) {
        if self.together(first) {
            let start = self.start(first);
            for (k, row) in block.chunks_exact(LANES).enumerate() {
                // SAFETY: each position belongs to one block, each block to one task.
                unsafe { y.slice(start + k * self.inner, LANES) }.copy_from_slice(row);
            }
            return;
        }
        for lane in 0..LANES.min(self.positions - first) {
            let start = self.start(first + lane);
            for k in 0..self.n {
                // SAFETY: as above; the position is inside `y`, which has (positions, n) elements.
                unsafe { y.as_ptr().add(start + k * self.inner).write(block[k * LANES + lane]) };
            }
        }
    }
}

fn by_blocks<T: Math>(y: &mut [T], (n, inner): (usize, usize), f: impl Fn(&Shared<'_, T>, &mut [T], Columns, usize) + Sync) -> Result {
    if y.is_empty() {
        return Ok(());
    }
    let columns = Columns { n, inner, positions: y.len() / n };
    let blocks = columns.positions.div_ceil(LANES);
    let group = (4096 / (n * LANES)).max(1);
    let tasks = blocks.div_ceil(group);
    let mut scratch = Buffer::<T>::new(tasks.min(64) * n * LANES * 2)?;
    let (shared, scratch) = (Shared::new(y), Shared::new(&mut scratch));
    // Each of at most 64 tasks has its own scratch and every 64th group of blocks.
    parallel(tasks.min(64), blocks.div_ceil(tasks.min(64)) * n * LANES * 8, |task| {
        // SAFETY: each task has its own part.
        let block = unsafe { scratch.slice(task * n * LANES * 2, n * LANES * 2) };
        for piece in (task..tasks).step_by(64) {
            for b in piece * group..blocks.min((piece + 1) * group) {
                f(&shared, block, columns, b * LANES);
            }
        }
    });
    Ok(())
}

/// `y = softmax(x)` along the middle axis of (outer, n, inner), or its logarithm (`log` 1).
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have these sizes.
pub fn softmax<T: Math>(y: &mut [T], x: &[T], outer: usize, n: usize, inner: usize, log: usize) -> Result {
    expect_len("softmax y", y.len(), &[outer, n, inner])?;
    expect_len("softmax x", x.len(), &[outer, n, inner])?;
    by_blocks(y, (n, inner), |y, block, columns, first| {
        let block = &mut block[..n * LANES];
        columns.load(block, x, first);
        if log == 1 {
            softmax_block::<T, 1>(block)
        } else {
            softmax_block::<T, 0>(block)
        }
        columns.store(y, block, first);
    })
}

/// The gradient of [`softmax`] from its result `y` and the result's gradient `g`.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless all have these sizes.
pub fn softmax_grad<T: Math>(gx: &mut [T], g: &[T], y: &[T], outer: usize, n: usize, inner: usize, log: usize) -> Result {
    expect_len("softmax gradient gx", gx.len(), &[outer, n, inner])?;
    expect_len("softmax gradient g", g.len(), &[outer, n, inner])?;
    expect_len("softmax gradient y", y.len(), &[outer, n, inner])?;
    by_blocks(gx, (n, inner), |gx, block, columns, first| {
        let (a, b) = block.split_at_mut(n * LANES);
        columns.load(a, g, first);
        columns.load(b, y, first);
        if log == 1 {
            gradient_block::<T, 1>(a, b)
        } else {
            gradient_block::<T, 0>(a, b)
        }
        columns.store(gx, a, first);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_memory_orders_give_the_same_bits_and_sum_to_one() {
        let (outer, n, inner) = (3, 21, 37);
        let x: Vec<f32> = (0..outer * n * inner).map(|i| ((i * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
        let mut y = vec![0.0; x.len()];
        softmax(&mut y, &x, outer, n, inner, 0).unwrap();
        let last =
            |v: &[f32]| -> Vec<f32> { (0..v.len()).map(|i| v[i / (n * inner) * n * inner + i % n * inner + i / n % inner]).collect() };
        let mut z = vec![0.0; x.len()];
        softmax(&mut z, &last(&x), outer * inner, n, 1, 0).unwrap();
        assert_eq!(z, last(&y));
        assert!((z[..n].iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
