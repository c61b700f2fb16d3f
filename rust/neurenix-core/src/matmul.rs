//! Products of matrices, mostly through the `gemm` crate: the same bits for any number of threads, and of rows too but for one form.
//!
//! Left to itself the library changes how it sums with the number of rows: one row, few elements, and long sums, which it cuts
//! by the caches that it finds, have algorithms of their own. Here an element is chains of fused multiply-adds, each of at most
//! [`DEPTH`] products, and a single column is summed otherwise, its rows as independent. Left to the library, because its
//! algorithms are several times faster there, are one row and few elements where sums lie dense in both matrices (`x @ w.T`).

use std::borrow::Cow;

use gemm::Parallelism;

use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::levels;
use crate::simd::{Float, LANES, best_level};
use crate::threads::{Shared, install, num_threads, parallel};
use crate::view::View;

/// Multiply-adds below which a product stays on the calling thread.
const SMALL: usize = 1 << 18;
/// The most products in one chain; the library cuts no sum of this length.
const DEPTH: usize = 512;
/// Columns of a single row that a task takes: their sums stay in the nearest cache.
const COLUMNS: usize = 1024;
/// Multiply-adds up to which a product is done before the library has prepared itself.
const TINY: usize = 256;
/// Elements of a result up to which the library has an algorithm of its own for dense sums.
const FEW: usize = 256;

/// One of the products: positions and steps of two matrices, and their sizes.
#[derive(Clone, Copy)]
struct Product<T> {
    a: *const T,
    b: *const T,
    a_steps: (isize, isize),
    b_steps: (isize, isize),
    m: usize,
    k: usize,
    n: usize,
    /// The length of a chain.
    depth: usize,
}

/// `y[i] = a[i] b[i]` for each of `batch` pairs of (m, k) and (k, n) matrices of any strides.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless the sizes are these.
pub fn matmul<T: Float>(y: &mut [T], a: View<'_, T>, b: View<'_, T>, batch: usize, m: usize, k: usize, n: usize) -> Result {
    expect_len("matmul y", y.len(), &[batch, m, n])?;
    ensure_shape!(a.shape() == [batch, m, k], "matmul: expected a {:?}, got {:?}", [batch, m, k], a.shape());
    ensure_shape!(b.shape() == [batch, k, n], "matmul: expected b {:?}, got {:?}", [batch, k, n], b.shape());
    if y.is_empty() {
        return Ok(());
    }
    if k == 0 {
        y.fill(T::ZERO);
        return Ok(());
    }
    let (sa, sb, depth) = (a.strides(), b.strides(), chain_length(k));
    let product = |i: usize| {
        // SAFETY: the views' positions are readable.
        let (a, b) = unsafe { (a.as_ptr().offset(i as isize * sa[0]), b.as_ptr().offset(i as isize * sb[0])) };
        Product { a, b, a_steps: (sa[1], sa[2]), b_steps: (sb[1], sb[2]), m, k, n, depth }.forward()
    };
    // SAFETY: the views' positions are readable, and y has the results' sizes.
    unsafe { each(Shared::new(y), product, batch) }
}

/// Chains as long as they can be, so that none is short: the library has an algorithm of its own for one or two products.
fn chain_length(k: usize) -> usize {
    let mut depth = k.div_ceil(k.div_ceil(DEPTH));
    while depth > 3 && (1..3).contains(&(k % depth)) {
        depth -= 1;
    }
    depth
}

/// All products, by what suits their sizes and steps.
///
/// # Safety
/// The matrices' positions are readable, and `y` is (batch, m, n).
unsafe fn each<T: Float>(y: Shared<'_, T>, product: impl Fn(usize) -> Product<T> + Sync, batch: usize) -> Result {
    let Product { a_steps, b_steps, m, k, n, .. } = product(0);
    let work = m.saturating_mul(n).saturating_mul(k);
    let fused = best_level() > 0; // without it the library's chains are not these
    // SAFETY: as the caller promises; each task has its own part of y.
    unsafe {
        if n == 1 && a_steps.1 != 1 && (a_steps.0 == 1 || m == 1) {
            rows(y, |i| product(i).transposed(), batch);
        } else if n == 1 {
            columns(y, product, batch);
        } else if b_steps.1 == 1 && (m == 1 || k <= 2) && fused {
            rows(y, product, batch);
        } else if k > 2 && work <= TINY && b_steps.0 != 1 && fused {
            tiny(y, product, batch);
        } else if batch == 1 && work >= SMALL {
            return install(|| general(y.slice(0, m * n), product(0), Parallelism::Rayon(num_threads())));
        } else {
            parallel(batch, work, |i| general(y.slice(i * m * n, m * n), product(i), Parallelism::None));
        }
    }
    Ok(())
}

impl<T> Product<T> {
    /// The same product, its sums taken as the second matrix lies in memory: the library would turn them.
    fn forward(self) -> Self {
        if self.b_steps.0 >= 0 {
            return self;
        }
        let last = self.k as isize - 1;
        // The last column and row are positions of the matrices.
        let (a, b) = (self.a.wrapping_offset(last * self.a_steps.1), self.b.wrapping_offset(last * self.b_steps.0));
        Self { a, b, a_steps: (self.a_steps.0, -self.a_steps.1), b_steps: (-self.b_steps.0, self.b_steps.1), ..self }
    }

    /// The product whose result is this one's, transposed.
    fn transposed(self) -> Self {
        let swap = |(r, c)| (c, r);
        let (a_steps, b_steps) = (swap(self.b_steps), swap(self.a_steps));
        Self { a: self.b, b: self.a, a_steps, b_steps, m: self.n, n: self.m, ..self }
    }
}

/// The whole product by the library.
///
/// # Safety
/// The matrices' positions are readable, and `y` is (m, n).
unsafe fn general<T: Float>(y: &mut [T], p: Product<T>, parallelism: Parallelism) {
    let (across, one) = (p.n as isize, T::ONE);
    let dense = p.a_steps.1 == 1 && p.b_steps.0 == 1 && (p.m == 1 || p.m * p.n <= FEW);
    let longest = if dense { p.k } else { p.depth };
    for from in (0..p.k).step_by(longest) {
        let (depth, start) = (longest.min(p.k - from), from as isize);
        // SAFETY: as the caller promises.
        unsafe {
            let (a, b) = (p.a.offset(start * p.a_steps.1), p.b.offset(start * p.b_steps.0));
            let to = y.as_mut_ptr();
            gemm::gemm(
                p.m,
                p.n,
                depth,
                to,
                1,
                across,
                from > 0,
                a,
                p.a_steps.1,
                p.a_steps.0,
                b,
                p.b_steps.1,
                p.b_steps.0,
                one,
                one,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

levels! {
    /// `sums[j] = the sum over l of a[l] b[l][j]` in the order of `l`, each product and addition fused.
    ///
    /// Rows of `b` come by eights, so that long ones are read in streams; the sums stay near meanwhile.
    fn chains<T, V>(sums: &mut [T], a: *const T, a_step: isize, b: *const T, b_step: isize, depth: usize) {
        let mut l = 0;
        while l < depth {
            let group = if depth - l >= 8 { 8 } else { 1 };
            // SAFETY: the caller's pointers reach `depth` factors and as many rows of `sums.len()`.
            let (factors, rows) = unsafe { (a.offset(l as isize * a_step), b.offset(l as isize * b_step)) };
            let mut j = 0;
            while j < sums.len() {
                let left = sums.len() - j;
                let whole = left >= V::N;
                // SAFETY: `min(N, left)` elements lie inside the sums and each row.
                unsafe {
                    let to = sums.as_mut_ptr().add(j);
                    let load = |from: *const T| if whole { V::load(from) } else { V::load_first(from, left) };
                    let mut sum = if l == 0 { V::splat(T::ZERO) } else { load(to) };
                    if group == 8 {
                        for i in 0..8 {
                            sum = load(rows.offset(i * b_step).add(j)).fma(V::splat(*factors.offset(i * a_step)), sum);
                        }
                    } else {
                        sum = load(rows.add(j)).fma(V::splat(*factors), sum);
                    }
                    if whole { sum.store(to) } else { sum.store_first(to, left) }
                }
                j += V::N;
            }
            l += group;
        }
    }
}

/// Columns `first..first + to.len()` of one row of a product whose second matrix has its columns side by side.
///
/// # Safety
/// The matrices' positions are readable.
unsafe fn row<T: Float>(to: &mut [T], p: &Product<T>, row: usize, first: usize) {
    // SAFETY: as the caller promises.
    let (a, b) = unsafe { (p.a.offset(row as isize * p.a_steps.0), p.b.add(first)) };
    let part = |sums: &mut [T], from: usize| {
        let start = from as isize;
        // SAFETY: as above.
        let (a, b) = unsafe { (a.offset(start * p.a_steps.1), b.offset(start * p.b_steps.0)) };
        chains::<T>(sums, a, p.a_steps.1, b, p.b_steps.0, p.depth.min(p.k - from));
    };
    part(to, 0);
    if p.k > p.depth {
        let mut sums = [T::ZERO; COLUMNS];
        let sums = &mut sums[..to.len()];
        for from in (p.depth..p.k).step_by(p.depth) {
            part(sums, from);
            for (to, &sum) in to.iter_mut().zip(sums.iter()) {
                *to += sum;
            }
        }
    }
}

/// Products whose second matrix has its columns side by side, row by row, with the bits of [`general`].
///
/// # Safety
/// As [`general`], for each of `batch` products, whose results lie one after another in `y`.
unsafe fn rows<T: Float>(y: Shared<'_, T>, product: impl Fn(usize) -> Product<T> + Sync, batch: usize) {
    let Product { m, k, n, .. } = product(0);
    let parts = n.div_ceil(COLUMNS);
    parallel(batch * m * parts, n.min(COLUMNS) * k, |task| {
        let (line, first) = (task / parts, task % parts * COLUMNS);
        // SAFETY: each task has its own part of y; the matrices' positions are readable.
        unsafe { row(y.slice(line * n + first, COLUMNS.min(n - first)), &product(line / m), line % m, first) };
    });
}

levels! {
    /// A product of at most [`TINY`] multiply-adds, one chain an element.
    fn by_hand<T: Float>(y: &mut [T], p: Product<T>) {
        for r in 0..p.m {
            for c in 0..p.n {
                let mut sum = T::ZERO;
                for l in 0..p.k {
                    let (r, c, l) = (r as isize, c as isize, l as isize);
                    // SAFETY: the caller's matrices have these positions.
                    let (a, b) = unsafe { (*p.a.offset(r * p.a_steps.0 + l * p.a_steps.1), *p.b.offset(l * p.b_steps.0 + c * p.b_steps.1)) };
                    sum = a.mul_add(b, sum);
                }
                y[r * p.n + c] = sum;
            }
        }
    }
}

/// Products too small for the library's preparations, with its bits.
///
/// # Safety
/// As [`rows`].
unsafe fn tiny<T: Float>(y: Shared<'_, T>, product: impl Fn(usize) -> Product<T> + Sync, batch: usize) {
    let Product { m, k, n, .. } = product(0);
    let group = (1 << 12) / (m * n * k);
    parallel(batch.div_ceil(group), group * m * n * k, |task| {
        for i in task * group..batch.min((task + 1) * group) {
            // SAFETY: each task has its own part of y.
            by_hand(unsafe { y.slice(i * m * n, m * n) }, product(i));
        }
    });
}

levels! {
    /// The sums of the products of `b` and each of `R` rows of its length, in [`LANES`] lanes.
    fn dots<T, V, const R: usize>(sums: &mut [T], a: *const T, step: isize, b: &[T]) {
        let mut lanes = [[V::splat(T::ZERO); LANES]; R];
        for at in (0..b.len()).step_by(LANES) {
            for i in 0..LANES / V::N {
                let from = at + i * V::N;
                if from < b.len() {
                    let left = b.len() - from;
                    // SAFETY: the caller's pointer reaches the rows; `min(N, left)` elements are left of each.
                    let load = |x: *const T| unsafe { if left >= V::N { V::load(x.add(from)) } else { V::load_first(x.add(from), left) } };
                    let factor = load(b.as_ptr());
                    for r in 0..R {
                        lanes[r][i] = load(a.wrapping_offset(r as isize * step)).fma(factor, lanes[r][i]);
                    }
                }
            }
        }
        for r in 0..R {
            let mut sum = [T::ZERO; LANES];
            for i in 0..LANES / V::N {
                // SAFETY: the vectors are the lanes, one after another.
                unsafe { lanes[r][i].store(sum.as_mut_ptr().add(i * V::N)) };
            }
            let mut half = LANES / 2;
            while half > 0 {
                for i in 0..half {
                    let other = sum[i + half];
                    sum[i] += other;
                }
                half /= 2;
            }
            sums[r] = sum[0];
        }
    }
}

/// Products of one column each.
///
/// # Safety
/// As [`rows`].
unsafe fn columns<T: Float>(y: Shared<'_, T>, product: impl Fn(usize) -> Product<T> + Sync, batch: usize) {
    const ROWS: usize = 4;
    let Product { m, k, .. } = product(0);
    let group = ((1 << 16) / k / ROWS * ROWS).max(ROWS);
    let parts = m.div_ceil(group);
    parallel(batch * parts, group.min(m) * k, |task| {
        let (p, first) = (product(task / parts), task % parts * group);
        let height = group.min(m - first);
        // SAFETY: the matrices' positions are readable.
        let column: Cow<'_, [T]> = unsafe {
            if p.b_steps.0 == 1 {
                Cow::Borrowed(std::slice::from_raw_parts(p.b, k))
            } else {
                Cow::Owned((0..k).map(|l| *p.b.offset(l as isize * p.b_steps.0)).collect())
            }
        };
        // SAFETY: each task has its own part of y.
        let to = unsafe { y.slice(task / parts * m + first, height) };
        for (r, sums) in to.chunks_mut(ROWS).enumerate() {
            // SAFETY: the matrices' positions are readable.
            let a = unsafe { p.a.offset((first + r * ROWS) as isize * p.a_steps.0) };
            if p.a_steps.1 != 1 {
                for (i, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let at = |l: usize| unsafe { *a.offset(i as isize * p.a_steps.0 + l as isize * p.a_steps.1) };
                    let row: Vec<T> = (0..k).map(at).collect();
                    dots::<T, 1>(std::slice::from_mut(sum), row.as_ptr(), 0, &column);
                }
            } else if sums.len() == ROWS {
                dots::<T, ROWS>(sums, a, p.a_steps.0, &column);
            } else {
                for i in 0..sums.len() {
                    dots::<T, 1>(&mut sums[i..=i], a.wrapping_offset(i as isize * p.a_steps.0), p.a_steps.0, &column);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposed_operands_and_threads_agree() {
        let (m, k, n) = (130usize, 70usize, 90usize);
        let a: Vec<f64> = (0..m * k).map(|i| (i % 17) as f64 - 8.0).collect();
        let b: Vec<f64> = (0..k * n).map(|i| (i % 13) as f64 - 6.0).collect();
        let mut seen = Vec::new();
        for threads in [1, 2] {
            crate::threads::set_num_threads(threads).unwrap();
            let mut y = vec![0.0; m * n];
            let (shapes, strides) = (([1, m, k], [1, k, n]), ([0, 1, m as isize], [0, n as isize, 1]));
            // SAFETY: the strides stay inside the vectors; `a` is read as the transposed of (k, m).
            let (va, vb) = unsafe { (View::new(a.as_ptr(), &shapes.0, &strides.0), View::new(b.as_ptr(), &shapes.1, &strides.1)) };
            matmul(&mut y, va, vb, 1, m, k, n).unwrap();
            let want: f64 = (0..k).map(|l| a[l * m + 5] * b[l * n + 7]).sum();
            assert_eq!(y[5 * n + 7], want);
            seen.push(y);
        }
        assert_eq!(seen[0], seen[1]);
    }
}
