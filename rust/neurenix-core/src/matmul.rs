//! Products of matrices, through the `gemm` crate: the same bits for any number of threads.

use gemm::Parallelism;

use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::simd::Float;
use crate::threads::{Shared, install, num_threads, parallel};
use crate::view::View;

/// Multiply-adds below which a product stays on the calling thread.
const SMALL: usize = 1 << 18;

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
    let shared = Shared::new(y);
    let one = |i: usize, parallelism: Parallelism| {
        let (sa, sb) = (a.strides(), b.strides());
        // SAFETY: each product has its own part of y; the views' positions are readable.
        unsafe {
            let to = shared.slice(i * m * n, m * n);
            gemm::gemm(
                m,
                n,
                k,
                to.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr().offset(i as isize * sa[0]),
                sa[2],
                sa[1],
                b.as_ptr().offset(i as isize * sb[0]),
                sb[2],
                sb[1],
                T::ZERO,
                T::ONE,
                false,
                false,
                false,
                parallelism,
            );
        }
    };
    let work = m.saturating_mul(n).saturating_mul(k);
    if batch == 1 && work >= SMALL {
        return install(|| one(0, Parallelism::Rayon(num_threads())));
    }
    parallel(batch, work, |i| one(i, Parallelism::None));
    Ok(())
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
