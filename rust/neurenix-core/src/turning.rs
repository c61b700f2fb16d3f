//! Rows that become columns: squares of elements are turned over in registers, so that every line of memory is read and
//! written whole.

use crate::levels;
use crate::simd::{Float, LANES, Vector};

/// `y[i * y_step + j] = x[i + j * x_step]` for `i < rows`, `j < columns`.
pub(crate) struct Turned<T> {
    pub y: *mut T,
    pub x: *const T,
    pub rows: usize,
    pub columns: usize,
    pub y_step: isize,
    pub x_step: usize,
}

/// Turns over the square that begins with `y[i * y_step + j]`; all its columns are there.
#[inline(always)]
fn square<T, V: Vector<T>>(t: &Turned<T>, i: usize, j: usize) {
    // SAFETY: positions of `x` and `y`, which whoever made `t` vouched for.
    unsafe {
        let (from, to) = (t.x.add(j * t.x_step + i), t.y.offset(i as isize * t.y_step).add(j));
        V::transpose(from, t.x_step, V::N.min(t.rows - i), to, t.y_step);
    }
}

/// Columns that are turned over before the next ones: some lines of each row.
const SIDE: usize = 64;

levels! {
    fn turn_all<T, V>(t: &Turned<T>) {
        let whole = t.columns / V::N * V::N;
        for first in (0..whole).step_by(SIDE) {
            let last = whole.min(first + SIDE);
            // Along the operand whose lines lie farther apart.
            if t.y_step.unsigned_abs() > t.x_step {
                for i in (0..t.rows).step_by(V::N) {
                    for j in (first..last).step_by(V::N) {
                        square::<T, V>(t, i, j);
                    }
                }
            } else {
                for j in (first..last).step_by(V::N) {
                    for i in (0..t.rows).step_by(V::N) {
                        square::<T, V>(t, i, j);
                    }
                }
            }
        }
        for i in 0..t.rows {
            for j in whole..t.columns {
                // SAFETY: as above.
                unsafe { t.y.offset(i as isize * t.y_step).add(j).write(t.x.add(j * t.x_step + i).read()) };
            }
        }
    }
}

/// Does it.
///
/// # Safety
/// All positions are readable in `x` and writable in `y`, by nobody else meanwhile.
pub(crate) unsafe fn turn<T: Float>(t: &Turned<T>) {
    turn_all(t);
}

/// Up to this many elements a column is taken apart by loops of its own.
const FEW: usize = 4;

// Slices as arguments: so the compiler knows that none overlaps another, and makes loads and shuffles of whole vectors.
levels! {
    fn collect_2<T: Float>(a: &mut [T], b: &mut [T], x: &[[T; 2]]) {
        let n = x.len();
        let (a, b) = (&mut a[..n], &mut b[..n]);
        for i in 0..n {
            (a[i], b[i]) = (x[i][0], x[i][1]);
        }
    }
}

levels! {
    fn collect_3<T: Float>(a: &mut [T], b: &mut [T], c: &mut [T], x: &[[T; 3]]) {
        let n = x.len();
        let (a, b, c) = (&mut a[..n], &mut b[..n], &mut c[..n]);
        for i in 0..n {
            (a[i], b[i], c[i]) = (x[i][0], x[i][1], x[i][2]);
        }
    }
}

levels! {
    fn collect_4<T: Float>(a: &mut [T], b: &mut [T], c: &mut [T], d: &mut [T], x: &[[T; FEW]]) {
        let n = x.len();
        let (a, b, c, d) = (&mut a[..n], &mut b[..n], &mut c[..n], &mut d[..n]);
        for i in 0..n {
            (a[i], b[i], c[i], d[i]) = (x[i][0], x[i][1], x[i][2], x[i][3]);
        }
    }
}

fn collect_many<T: Float>(block: &mut [T], x: &[T], n: usize, width: usize) {
    assert!(block.len() >= n * width && x.len() >= n * width);
    turn_all(&Turned { y: block.as_mut_ptr(), x: x.as_ptr(), rows: n, columns: width, y_step: width as isize, x_step: n });
}

/// Collects columns that lie one after the other as rows: `block[k * width + lane] = x[lane * n + k]`.
pub(crate) fn collect<T: Float>(block: &mut [T], x: &[T], n: usize, width: usize) {
    let (a, rest) = block.split_at_mut(width);
    match n {
        2 => collect_2(a, rest, x[..2 * width].as_chunks().0),
        3 => {
            let (b, c) = rest.split_at_mut(width);
            collect_3(a, b, c, x[..3 * width].as_chunks().0);
        }
        FEW => {
            let (b, rest) = rest.split_at_mut(width);
            let (c, d) = rest.split_at_mut(width);
            collect_4(a, b, c, d, x[..FEW * width].as_chunks().0);
        }
        _ => collect_many(block, x, n, width),
    }
}

levels! {
    fn spread_2<T: Float>(y: &mut [[T; 2]], a: &[T], b: &[T]) {
        let n = y.len();
        let (a, b) = (&a[..n], &b[..n]);
        for i in 0..n {
            y[i] = [a[i], b[i]];
        }
    }
}

levels! {
    fn spread_3<T: Float>(y: &mut [[T; 3]], a: &[T], b: &[T], c: &[T]) {
        let n = y.len();
        let (a, b, c) = (&a[..n], &b[..n], &c[..n]);
        for i in 0..n {
            y[i] = [a[i], b[i], c[i]];
        }
    }
}

levels! {
    fn spread_4<T: Float>(y: &mut [[T; FEW]], a: &[T], b: &[T], c: &[T], d: &[T]) {
        let n = y.len();
        let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
        for i in 0..n {
            y[i] = [a[i], b[i], c[i], d[i]];
        }
    }
}

/// Rows that a block of columns of `n` elements needs room for, for [`spread`].
pub(crate) fn rows_to_spread(n: usize) -> usize {
    if n <= FEW { n } else { n.next_multiple_of(LANES) }
}

levels! {
    fn spread_many<T, V>(y: &mut [T], block: &[T], n: usize, width: usize) {
        assert!(block.len() >= rows_to_spread(n) * width && y.len() >= n * width);
        let whole = width / V::N * V::N;
        for lane in (0..whole).step_by(V::N) {
            for k in (0..n).step_by(V::N) {
                // SAFETY: rows `k .. k + N`, those that are there, of the block and lanes `lane .. lane + N` of both, as asserted.
                unsafe {
                    let (from, to) = (block.as_ptr().add(k * width + lane), y.as_mut_ptr().add(lane * n + k));
                    if n - k >= V::N {
                        V::transpose(from, width, V::N, to, n as isize);
                    } else {
                        V::transpose_some(from, width, n - k, to, n as isize);
                    }
                }
            }
        }
        for lane in whole..width {
            (0..n).for_each(|k| y[lane * n + k] = block[k * width + lane]);
        }
    }
}

/// Puts rows back as columns: `y[lane * n + k] = block[k * width + lane]`. The block has room for [`rows_to_spread`].
pub(crate) fn spread<T: Float>(y: &mut [T], block: &[T], n: usize, width: usize) {
    let row = |k: usize| &block[k * width..(k + 1) * width];
    match n {
        2 => spread_2(y.as_chunks_mut().0, row(0), row(1)),
        3 => spread_3(y.as_chunks_mut().0, row(0), row(1), row(2)),
        FEW => spread_4(y.as_chunks_mut().0, row(0), row(1), row(2), row(3)),
        _ => spread_many(y, block, n, width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_collected_and_put_back_on_every_level() {
        for (n, width) in [(1usize, 5), (2, 64), (3, 37), (4, 16), (5, 64), (16, 20), (21, 64), (33, 7), (40, 33)] {
            let x: Vec<f32> = (0..n * width).map(|i| i as f32).collect();
            for level in 0..3 {
                crate::simd::set_level(level);
                let mut block = vec![0.0; rows_to_spread(n) * width];
                collect(&mut block, &x, n, width);
                assert!((0..n * width).all(|i| block[i] == x[i % width * n + i / width]), "{n} {width} {level}");
                let mut y = vec![0.0; n * width];
                spread(&mut y, &block, n, width);
                assert_eq!(x, y, "{n} {width} {level}");
            }
            crate::simd::set_level(2);
        }
    }
}
