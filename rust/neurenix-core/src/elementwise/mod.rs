//! One expression an element: the engine that walks views of any strides, and the lists of expressions.
//!
//! An expression is compiled into one loop over plain slices for each instruction set. Elements that do not lie side by
//! side (permuted, broadcast, sliced operands) are first collected in a small buffer, so every memory order runs the same
//! loop and gives the same bits.

mod binary;
mod compare;
mod gelu;
mod integer;
mod ternary;
mod unary;

pub use binary::binary;
pub use compare::{compare, select};
pub use integer::{integer_binary, integer_unary};
pub use ternary::ternary;
pub use unary::unary;

use std::mem::MaybeUninit;

use crate::error::{Error, Result};
use crate::view::{View, ViewMut, Walk};
use crate::{ensure_shape, streaming, threads};

/// Elements collected at a time; four such buffers stay within the first-level cache.
const BLOCK: usize = 512;
/// Elements of one task.
const TASK: usize = 1 << 14;

/// A walk over `K` views, which knows for which of them all elements lie side by side.
struct Plan<const K: usize> {
    walk: Walk<K>,
    dense: [bool; K],
    len: usize,
    /// Whether view 0, a dense result, is written past the caches.
    streams: bool,
}

impl<const K: usize> Plan<K> {
    fn new(what: &str, shape: &[usize], others: &[&[usize]], strides: [&[isize]; K]) -> Result<Self> {
        for other in others {
            ensure_shape!(*other == shape, "{what}: expected operands {shape:?}, got {other:?}");
        }
        let walk = Walk::new(shape, strides)?;
        let mut dense = [true; K];
        let mut step = 1;
        for (&size, steps) in walk.shape.iter().zip(&walk.steps).rev() {
            (0..K).for_each(|k| dense[k] &= steps[k] == step || size == 1);
            step *= size as isize;
        }
        Ok(Self { len: walk.shape.iter().product(), walk, dense, streams: false })
    }

    /// Calls `f(first, n)` for blocks that together are all positions, in parallel.
    fn run(&self, cost: usize, f: impl Fn(usize, usize) + Sync) {
        let inner = self.walk.inner();
        let all_dense = self.dense.iter().all(|&d| d);
        let steps = self.walk.inner_steps();
        let longest = if (0..K).all(|k| self.dense[k] || steps[k] == 1) { TASK } else { BLOCK };
        threads::parallel(self.len.div_ceil(TASK), TASK.min(self.len) * cost, |task| {
            let (mut at, last) = (task * TASK, self.len.min((task + 1) * TASK));
            while at < last {
                let n = match (all_dense, inner >= BLOCK) {
                    _ if self.streams => BLOCK,
                    (true, _) => last - at,
                    (_, true) => longest.min(inner - at % inner),
                    _ => BLOCK,
                };
                let n = n.min(last - at);
                f(at, n);
                at += n;
            }
            if self.streams {
                crate::simd::settle();
            }
        });
    }

    /// Calls `f(offset, step, n)` for the runs of view `k` that make up positions `at .. at + n`.
    fn pieces(&self, k: usize, at: usize, n: usize, mut f: impl FnMut(isize, isize, usize)) {
        let (inner, step) = (self.walk.inner(), self.walk.inner_steps()[k]);
        let (mut column, mut left) = (at % inner, n);
        let mut place = self.walk.place(at / inner);
        while left > 0 {
            let piece = left.min(inner - column);
            f(place.offsets[k] + column as isize * step, step, piece);
            left -= piece;
            column = 0;
            self.walk.advance(&mut place);
        }
    }

    /// Positions `at .. at + n` of view `k` side by side: where they lie, or copied into `buffer`.
    ///
    /// # Safety
    /// `start` is the first element of the `k`-th view, which is readable for `'b`; `n <= BLOCK` unless they lie side by side.
    unsafe fn pull<'b, T: Copy>(&self, k: usize, start: *const T, at: usize, n: usize, buffer: &'b mut Buffer<T>) -> &'b [T] {
        // SAFETY: positions of the walk lie inside the view; the buffer holds `BLOCK` elements.
        unsafe {
            if let Some(offset) = self.direct(k, at, n) {
                return std::slice::from_raw_parts(start.offset(offset), n);
            }
            let to = buffer.as_mut_ptr().cast::<T>();
            let mut filled = 0;
            self.pieces(k, at, n, |offset, step, piece| {
                let (from, to) = (start.offset(offset), to.add(filled));
                match step {
                    1 => std::ptr::copy_nonoverlapping(from, to, piece),
                    0 => {
                        let value = *from;
                        (0..piece).for_each(|i| *to.add(i) = value);
                    }
                    _ => (0..piece).for_each(|i| *to.add(i) = *from.offset(i as isize * step)),
                }
                filled += piece;
            });
            std::slice::from_raw_parts(to, n)
        }
    }

    /// The offset of positions `at .. at + n` of view `k` where they lie side by side.
    fn direct(&self, k: usize, at: usize, n: usize) -> Option<isize> {
        if self.dense[k] {
            return Some(at as isize);
        }
        let column = at % self.walk.inner();
        (self.walk.inner_steps()[k] == 1 && column + n <= self.walk.inner())
            .then(|| self.walk.offsets(at / self.walk.inner())[k] + column as isize)
    }

    /// Lets `f` write positions `at .. at + n` of view `k`.
    ///
    /// # Safety
    /// As for [`Self::pull`], writable, and nobody else writes these positions.
    unsafe fn push<T: Copy>(&self, k: usize, start: *mut T, at: usize, n: usize, f: impl FnOnce(&mut [T])) {
        let mut buffer = Buffer::<T>::uninit();
        // SAFETY: as in `pull`; the buffer's elements are written by `f` before they are read, and any bits are a number.
        unsafe {
            let direct = self.direct(k, at, n);
            if let (Some(offset), false) = (direct, self.streams) {
                return f(std::slice::from_raw_parts_mut(start.offset(offset), n));
            }
            std::ptr::write_bytes(buffer.as_mut_ptr(), 0, 1);
            let from = buffer.as_mut_ptr().cast::<T>();
            f(std::slice::from_raw_parts_mut(from, n));
            if let Some(offset) = direct {
                return streaming::copy(from, start.offset(offset), n);
            }
            let mut taken = 0;
            self.pieces(k, at, n, |offset, step, piece| {
                let (to, from) = (start.offset(offset), from.add(taken));
                (0..piece).for_each(|i| *to.offset(i as isize * step) = *from.add(i));
                taken += piece;
            });
        }
    }
}

type Buffer<T> = MaybeUninit<[T; BLOCK]>;

/// `y = f(x)` between views of one shape; `cost` is an element's, about 1 for an addition.
fn map1<Y: Copy + Send, X: Copy + Sync>(
    what: &str,
    y: &ViewMut<'_, Y>,
    x: &View<'_, X>,
    cost: usize,
    f: impl Fn(&mut [Y], &[X]) + Sync,
) -> Result {
    let plan = Plan::new(what, y.shape(), &[x.shape()], [y.strides(), x.strides()])?;
    plan.run(cost, |at, n| {
        let mut buffer = Buffer::uninit();
        // SAFETY: the plan was made from these views; blocks of different tasks do not overlap.
        unsafe {
            let x = plan.pull(1, x.as_ptr(), at, n, &mut buffer);
            plan.push(0, y.as_ptr(), at, n, |y| f(y, x));
        }
    });
    Ok(())
}

/// `y = f(u, v)` between views of one shape.
fn map2<Y: Copy + Send, U: Copy + Sync, V: Copy + Sync>(
    what: &str,
    y: &ViewMut<'_, Y>,
    u: &View<'_, U>,
    v: &View<'_, V>,
    cost: usize,
    f: impl Fn(&mut [Y], &[U], &[V]) + Sync,
) -> Result {
    let mut plan = Plan::new(what, y.shape(), &[u.shape(), v.shape()], [y.strides(), u.strides(), v.strides()])?;
    // What takes longer to compute than to write does not wait; a result of half the size is near to whoever reads it.
    plan.streams = cost == 1 && plan.dense[0] && streaming::pays_for_computed(plan.len * size_of::<Y>() / 2);
    plan.run(cost, |at, n| {
        let (mut first, mut second) = (Buffer::uninit(), Buffer::uninit());
        // SAFETY: as in `map1`.
        unsafe {
            let u = plan.pull(1, u.as_ptr(), at, n, &mut first);
            let v = plan.pull(2, v.as_ptr(), at, n, &mut second);
            plan.push(0, y.as_ptr(), at, n, |y| f(y, u, v));
        }
    });
    Ok(())
}

/// `y = f(u, v, w)` between views of one shape.
fn map3<Y: Copy + Send, U: Copy + Sync, V: Copy + Sync, W: Copy + Sync>(
    what: &str,
    y: &ViewMut<'_, Y>,
    (u, v, w): (&View<'_, U>, &View<'_, V>, &View<'_, W>),
    cost: usize,
    f: impl Fn(&mut [Y], &[U], &[V], &[W]) + Sync,
) -> Result {
    let strides = [y.strides(), u.strides(), v.strides(), w.strides()];
    let plan = Plan::new(what, y.shape(), &[u.shape(), v.shape(), w.shape()], strides)?;
    plan.run(cost, |at, n| {
        let (mut first, mut second, mut third) = (Buffer::uninit(), Buffer::uninit(), Buffer::uninit());
        // SAFETY: as in `map1`.
        unsafe {
            let u = plan.pull(1, u.as_ptr(), at, n, &mut first);
            let v = plan.pull(2, v.as_ptr(), at, n, &mut second);
            let w = plan.pull(3, w.as_ptr(), at, n, &mut third);
            plan.push(0, y.as_ptr(), at, n, |y| f(y, u, v, w));
        }
    });
    Ok(())
}

fn unknown<T>(what: &str, op: usize) -> Result<T> {
    Err(Error::Argument(format!("internal: {what}: expected a number of an expression, got {op}")))
}

/// The compiled loop of expression `$op`: one of `$loop::<T, 0>`, `$loop::<T, 1>`, ...
macro_rules! pick {
    ($what:literal, $op:expr, $loop:ident::<$T:ident>, [$($n:literal)*]) => {
        match $op {
            $($n => $loop::<$T, $n>,)*
            op => return $crate::elementwise::unknown($what, op),
        }
    };
}
use pick;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_sum_is_written_whole() {
        let n = (1 << 22) + 999;
        let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
        let (row, mut y, shape, [one, zero]) = ([0.5f32], vec![-1.0f32; n + 2], [n], [[1isize], [0]]);
        // SAFETY: shapes and strides stay inside the vectors.
        let (yv, xv, rv) = unsafe {
            let y = ViewMut::new(y.as_mut_ptr().add(1), &shape, &one);
            (y, View::new(x.as_ptr(), &shape, &one), View::new(row.as_ptr(), &shape, &zero))
        };
        map2("test", &yv, &xv, &rv, 1, |y: &mut [f32], u: &[f32], v: &[f32]| {
            y.iter_mut().zip(u.iter().zip(v)).for_each(|(y, (u, v))| *y = u + v);
        })
        .unwrap();
        assert!((y[0], y[n + 1]) == (-1.0, -1.0) && y[1..=n].iter().zip(&x).all(|(y, x)| *y == x + 0.5));
    }

    #[test]
    fn any_strides_give_the_same_elements() {
        let x: Vec<f32> = (0..7 * 3 * 700).map(|i| i as f32).collect();
        // A (7, 700, 3) view of (7, 3, 700) memory, added to a broadcast row of 3, into dense and transposed outputs.
        let shape = [7usize, 700, 3];
        let (xs, rs) = ([2100isize, 1, 700], [0isize, 0, 1]);
        let row = [10.0f32, 20.0, 30.0];
        for ys in [[2100isize, 3, 1], [2100, 1, 700]] {
            let mut y = vec![0.0f32; x.len()];
            // SAFETY: shapes and strides stay inside the vectors.
            let (yv, xv, rv) = unsafe {
                (ViewMut::new(y.as_mut_ptr(), &shape, &ys), View::new(x.as_ptr(), &shape, &xs), View::new(row.as_ptr(), &shape, &rs))
            };
            map2("test", &yv, &xv, &rv, 1, |y: &mut [f32], u: &[f32], v: &[f32]| {
                y.iter_mut().zip(u.iter().zip(v)).for_each(|(y, (u, v))| *y = u + v);
            })
            .unwrap();
            for i in 0..7 {
                for j in 0..700 {
                    for k in 0..3 {
                        assert_eq!(y[i * 2100 + j * ys[1] as usize + k * ys[2] as usize], x[i * 2100 + k * 700 + j] + row[k]);
                    }
                }
            }
        }
    }
}
