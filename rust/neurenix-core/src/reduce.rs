//! Reductions of strided views over their last axes.
//!
//! Elements are folded in fixed units, each with 16 virtual lanes or a row of columns, in double for floats; units are
//! merged in order. What a unit is follows from the shape and memory order alone, so bits do not depend on threads.

use crate::blocks::Buffer;
use crate::error::{Error, Result};
use crate::math::Math;
use crate::simd::{LANES, Number};
use crate::threads::{Shared, parallel};
use crate::view::View;
use crate::{ensure_shape, levels};

/// Elements of one unit.
pub(crate) const UNIT: usize = 1 << 14;
/// Columns folded together where they, not the folded elements, lie side by side.
pub(crate) const COLUMNS: usize = 64;

/// An element and what its folds are kept in.
pub trait Reducible: Number {
    /// double for floats, the integer itself otherwise.
    type Sum: Accumulator;
    /// Into the accumulator, exactly.
    fn widen(self) -> Self::Sum;
    /// Back, rounded.
    fn narrow(sum: Self::Sum) -> Self;
}

/// Arithmetic of accumulators.
pub trait Accumulator: Number {
    /// Absolute value.
    fn magnitude(self) -> Self;
    /// To a power.
    fn power(self, p: Self) -> Self;
    /// e to the power.
    fn exponential(self) -> Self;
}

impl Accumulator for f64 {
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }
    #[inline(always)]
    fn power(self, p: Self) -> Self {
        libm::pow(self, p)
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        self.exp_()
    }
}

impl Accumulator for i64 {
    #[inline(always)]
    fn magnitude(self) -> Self {
        self.wrapping_abs()
    }
    #[inline(always)]
    fn power(self, _: Self) -> Self {
        self
    }
    #[inline(always)]
    fn exponential(self) -> Self {
        self
    }
}

macro_rules! reducible {
    ($($t:ident: $sum:ident),*) => { $(impl Reducible for $t {
        type Sum = $sum;
        #[inline(always)]
        fn widen(self) -> $sum { self as $sum }
        #[inline(always)]
        fn narrow(sum: $sum) -> Self { sum as $t }
    })* };
}
reducible!(f32: f64, f64: f64, i64: i64);

/// Numbers of the reductions, as in `neurenix/ops/reduce.py`.
mod op {
    pub const SUM: usize = 0;
    pub const MEAN: usize = 1;
    pub const PROD: usize = 2;
    pub const MAX: usize = 3;
    pub const MIN: usize = 4;
    pub const ABS_SUM: usize = 5;
    pub const NORM: usize = 6;
    pub const ABS_MAX: usize = 7;
    pub const ABS_MIN: usize = 8;
    pub const NONZERO: usize = 9;
    pub const POWER: usize = 10;
    // The second passes of var, std and logsumexp; `p` is the mean or the maximum.
    pub const SQUARES_AROUND: usize = 11;
    pub const EXP_FROM: usize = 12;
    // Passes of reductions that take two.
    pub const VAR: usize = 13;
    pub const STD: usize = 14;
    pub const LOGSUMEXP: usize = 15;
}

#[inline(always)]
fn start<S: Number>(op: usize) -> S {
    match op {
        op::PROD => S::ONE,
        op::MAX => S::LOWEST,
        op::MIN | op::ABS_MIN => S::HIGHEST,
        _ => S::ZERO,
    }
}

#[inline(always)]
fn larger<S: Number>(a: S, b: S) -> S {
    if a > b || a.is_nan() { a } else { b }
}

#[inline(always)]
fn smaller<S: Number>(a: S, b: S) -> S {
    if a < b || a.is_nan() { a } else { b }
}

/// Folds one element in; `p` is a norm's exponent, a mean or a maximum.
#[inline(always)]
fn fold<S: Accumulator>(op: usize, sum: S, x: S, p: S) -> S {
    match op {
        op::PROD => sum.times(x),
        op::MAX => larger(sum, x),
        op::MIN => smaller(sum, x),
        op::ABS_SUM => sum.plus(x.magnitude()),
        op::NORM => sum.plus(x.times(x)),
        op::ABS_MAX => larger(sum, x.magnitude()),
        op::ABS_MIN => smaller(sum, x.magnitude()),
        op::NONZERO => sum.plus(if x == S::ZERO { S::ZERO } else { S::ONE }),
        op::POWER => sum.plus(x.magnitude().power(p)),
        op::SQUARES_AROUND => {
            let d = x.minus(p);
            sum.plus(d.times(d))
        }
        op::EXP_FROM => sum.plus(x.minus(p).exponential()),
        _ => sum.plus(x),
    }
}

/// Joins two partial results.
#[inline(always)]
fn merge<S: Accumulator>(op: usize, a: S, b: S) -> S {
    match op {
        op::PROD => a.times(b),
        op::MAX | op::ABS_MAX => larger(a, b),
        op::MIN | op::ABS_MIN => smaller(a, b),
        _ => a.plus(b),
    }
}

levels! {
    fn fold_row<T: Reducible, const OP: usize>(lanes: &mut [T::Sum; LANES], x: &[T], p: T::Sum) {
        let mut chunks = x.chunks_exact(LANES);
        for chunk in &mut chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = fold(OP, *lane, x.widen(), p);
            }
        }
        for (lane, &x) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane = fold(OP, *lane, x.widen(), p);
        }
    }
}

levels! {
    fn fold_columns<T: Reducible, const OP: usize>(sums: &mut [T::Sum], x: &[T], p: &[T::Sum]) {
        if p.len() == sums.len() {
            for (sum, (&x, &p)) in sums.iter_mut().zip(x.iter().zip(p)) {
                *sum = fold(OP, *sum, x.widen(), p);
            }
        } else {
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum = fold(OP, *sum, x.widen(), p[0]);
            }
        }
    }
}

levels! {
    /// Folds `sums.len()` rows of `n` elements each, `step` apart.
    fn fold_rows<T: Reducible, const OP: usize>(sums: &mut [T::Sum], x: &[T], n: usize, step: usize, p: &[T::Sum]) {
        let chunks = n / LANES * LANES;
        for (i, sum) in sums.iter_mut().enumerate() {
            let row = &x[i * step..i * step + n];
            let p = if p.len() == 1 { p[0] } else { p[i] };
            let mut lanes = [start::<T::Sum>(OP); LANES];
            let mut at = 0;
            while at < chunks {
                for (lane, &x) in lanes.iter_mut().zip(&row[at..at + LANES]) {
                    *lane = fold(OP, *lane, x.widen(), p);
                }
                at += LANES;
            }
            for (lane, &x) in lanes.iter_mut().zip(&row[chunks..]) {
                *lane = fold(OP, *lane, x.widen(), p);
            }
            *sum = join_lanes(OP, lanes);
        }
    }
}

/// The lanes' partial results in a fixed tree.
#[inline(always)]
fn join_lanes<S: Accumulator>(op: usize, mut lanes: [S; LANES]) -> S {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = merge(op, lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

type Rows<T> = fn(&mut [<T as Reducible>::Sum], &[T], usize, usize, &[<T as Reducible>::Sum]);
type Row<T> = fn(&mut [<T as Reducible>::Sum; LANES], &[T], <T as Reducible>::Sum);
type Columns<T> = fn(&mut [<T as Reducible>::Sum], &[T], &[<T as Reducible>::Sum]);

macro_rules! loops {
    ($op:expr, [$($n:literal)*]) => {
        match $op {
            $($n => (fold_row::<T, $n> as Row<T>, fold_rows::<T, $n> as Rows<T>, fold_columns::<T, $n> as Columns<T>),)*
            op => return Err(Error::Argument(format!("internal: reduce: expected a number of a reduction, got {op}"))),
        }
    };
}

/// The kept and the folded axes of a view, each joined where they lie one after the other.
pub(crate) struct Axes {
    pub(crate) kept: Vec<(usize, isize)>,
    pub(crate) folded: Vec<(usize, isize)>,
    pub(crate) outputs: usize,
    pub(crate) count: usize,
}

fn join(axes: impl Iterator<Item = (usize, isize)>) -> Vec<(usize, isize)> {
    let mut joined: Vec<(usize, isize)> = Vec::new();
    for (size, step) in axes.filter(|a| a.0 != 1) {
        match joined.last_mut() {
            Some((outer, above)) if *above == step * size as isize => {
                *outer *= size;
                *above = step;
            }
            _ => joined.push((size, step)),
        }
    }
    joined
}

pub(crate) fn offset(axes: &[(usize, isize)], index: usize) -> isize {
    let mut rest = index;
    axes.iter().rev().fold(0, |sum, &(size, step)| {
        let at = (rest % size) as isize;
        rest /= size;
        sum + at * step
    })
}

impl Axes {
    pub(crate) fn new<T>(x: &View<'_, T>, kept: usize, ordered: bool) -> Self {
        let all: Vec<(usize, isize)> = x.shape().iter().copied().zip(x.strides().iter().copied()).collect();
        let mut folded = all[kept..].to_vec();
        if !ordered {
            folded.sort_by_key(|&(_, step)| std::cmp::Reverse(step.unsigned_abs()));
        }
        Self {
            kept: join(all[..kept].iter().copied()),
            folded: join(folded.into_iter()),
            outputs: all[..kept].iter().map(|a| a.0).product(),
            count: all[kept..].iter().map(|a| a.0).product(),
        }
    }

    /// Whether kept positions rather than folded ones lie side by side.
    pub(crate) fn by_columns(&self) -> bool {
        self.kept.last().is_some_and(|a| a.1 == 1) && self.folded.last().is_none_or(|a| a.1 != 1)
    }
}

/// One pass of a reduction over all elements, into `sums`.
fn pass<T: Reducible>(sums: &mut [T::Sum], x: &View<'_, T>, axes: &Axes, op: usize, p: &[T::Sum]) -> Result {
    let (row, many, columns) = loops!(op, [0 2 3 4 5 6 7 8 9 10 11 12]);
    if let ([(n, 1)], [(_, step)], true) = (axes.folded.as_slice(), axes.kept.as_slice(), axes.outputs > 1)
        && let (Ok(step), true) = (usize::try_from(*step), axes.folded[0].0 <= UNIT)
    {
        short_rows(sums, x, *n, step, p, many);
        return Ok(());
    }
    let width = if axes.by_columns() { COLUMNS } else { 1 };
    let inner = if width > 1 { axes.kept.last().map_or(1, |a| a.0) } else { 1 };
    let (folded, innermost) = match axes.folded.split_last() {
        Some((last, rest)) if width == 1 => (rest, *last),
        _ => (axes.folded.as_slice(), (1, 1)),
    };
    let rows: usize = folded.iter().map(|a| a.0).product();
    // A unit is some whole rows, or a piece of one.
    let pieces = innermost.0.div_ceil(UNIT);
    let rows_of_unit = (UNIT / (innermost.0.min(UNIT) * width)).max(1);
    let units = rows.div_ceil(rows_of_unit) * pieces;
    let blocks_of_row = inner.div_ceil(width);
    let blocks = axes.outputs / inner * blocks_of_row;
    let outputs_of = |block: usize| {
        let first = block % blocks_of_row * width;
        (block / blocks_of_row * inner + first, width.min(inner - first))
    };
    let unit_of = |sums: &mut [T::Sum], block: usize, unit: usize| {
        let (first, n) = outputs_of(block);
        let base = offset(&axes.kept, first);
        let rows = unit / pieces * rows_of_unit..rows.min((unit / pieces + 1) * rows_of_unit);
        let p = if p.len() == 1 { p } else { &p[first..first + n] };
        if width > 1 {
            sums.fill(start(op));
            for row in rows {
                // SAFETY: positions of the axes lie inside the view, and `n` columns side by side do.
                columns(sums, unsafe { std::slice::from_raw_parts(x.as_ptr().offset(base + offset(folded, row)), n) }, p);
            }
            return;
        }
        let mut lanes = [start(op); LANES];
        let piece = unit % pieces * UNIT;
        for r in rows {
            let from = base + offset(folded, r) + piece as isize * innermost.1;
            // SAFETY: as above.
            unsafe { fold_strided(row, &mut lanes, x.as_ptr().offset(from), innermost.1, UNIT.min(innermost.0 - piece), p[0]) };
        }
        sums[0] = join_lanes(op, lanes);
    };
    let gather = |to: &mut [T::Sum], partial: &[T::Sum], first: bool| {
        to.iter_mut().zip(partial).for_each(|(t, &s)| *t = if first { s } else { merge(op, *t, s) });
    };
    let cost = rows_of_unit * innermost.0.min(UNIT) * width;
    if blocks >= 64 || units <= 1 {
        let shared = Shared::new(sums);
        let group = (UNIT / (cost * units).max(1)).max(1);
        parallel(blocks.div_ceil(group), group * cost * units, |task| {
            let mut partial = [T::Sum::ZERO; COLUMNS];
            for block in task * group..blocks.min((task + 1) * group) {
                let (first, n) = outputs_of(block);
                // SAFETY: blocks' outputs do not overlap.
                let to = unsafe { shared.slice(first, n) };
                for unit in 0..units {
                    unit_of(&mut partial[..n], block, unit);
                    gather(to, &partial[..n], unit == 0);
                }
            }
        });
        return Ok(());
    }
    let mut partials = Buffer::<T::Sum>::new(blocks * units * width)?;
    let shared = Shared::new(&mut partials);
    parallel(blocks * units, cost, |task| {
        let (block, unit) = (task / units, task % units);
        // SAFETY: each task has its own partial results.
        unit_of(unsafe { shared.slice(task * width, outputs_of(block).1) }, block, unit);
    });
    for task in 0..blocks * units {
        let (first, n) = outputs_of(task / units);
        gather(&mut sums[first..first + n], &partials[task * width..task * width + n], task % units == 0);
    }
    Ok(())
}

/// Folds rows that lie side by side and are no longer than a unit, many in one call.
fn short_rows<T: Reducible>(sums: &mut [T::Sum], x: &View<'_, T>, n: usize, step: usize, p: &[T::Sum], many: Rows<T>) {
    let group = (UNIT / n).max(1);
    let (count, shared) = (sums.len(), Shared::new(sums));
    parallel(count.div_ceil(group), group * n, |task| {
        let first = task * group;
        let rows = group.min(count - first);
        // SAFETY: each task has its own results; the rows lie inside the view.
        let (to, x) =
            unsafe { (shared.slice(first, rows), std::slice::from_raw_parts(x.as_ptr().add(first * step), (rows - 1) * step + n)) };
        many(to, x, n, step, if p.len() == 1 { p } else { &p[first..first + rows] });
    });
}

/// Folds `n` elements with any step.
///
/// # Safety
/// They are readable.
unsafe fn fold_strided<T: Reducible>(row: Row<T>, lanes: &mut [T::Sum; LANES], x: *const T, step: isize, n: usize, p: T::Sum) {
    if step == 1 {
        // SAFETY: the caller vouches for `n` elements.
        return row(lanes, unsafe { std::slice::from_raw_parts(x, n) }, p);
    }
    let mut buffer = [T::ZERO; 512];
    for at in (0..n).step_by(buffer.len()) {
        let piece = buffer.len().min(n - at);
        for (i, to) in buffer[..piece].iter_mut().enumerate() {
            // SAFETY: as above.
            *to = unsafe { *x.offset((at + i) as isize * step) };
        }
        row(lanes, &buffer[..piece], p);
    }
}

/// `y = op(x)` over all axes of `x` behind the first `kept`; `a` is a norm's exponent or a variance's correction.
///
/// # Errors
/// [`Error::Shape`] unless `y` has the kept sizes, [`Error::Argument`] for an unknown reduction.
pub fn reduce<T: Reducible>(y: &mut [T], x: View<'_, T>, kept: usize, op: usize, a: f64) -> Result {
    ensure_shape!(kept <= x.shape().len(), "reduce: expected at least {kept} axes, got {:?}", x.shape());
    let axes = Axes::new(&x, kept, false);
    ensure_shape!(y.len() == axes.outputs, "reduce: expected {} results, got {}", axes.outputs, y.len());
    let of = T::Sum::of;
    let mut sums = Buffer::<T::Sum>::new(y.len())?;
    let count = axes.count as f64;
    if axes.count == 0 || y.is_empty() {
        sums.fill(start(op));
    } else {
        let (first, second) = match op {
            op::VAR | op::STD => (op::SUM, Some(op::SQUARES_AROUND)),
            op::LOGSUMEXP => (op::MAX, Some(op::EXP_FROM)),
            op::MEAN => (op::SUM, None),
            op => (op, None),
        };
        pass(&mut sums, &x, &axes, first, &[of(a)])?;
        if let Some(second) = second {
            let mut centres = Buffer::<T::Sum>::new(y.len())?;
            let centre = |s: f64| match op {
                op::LOGSUMEXP => {
                    if s.is_infinite() {
                        0.0
                    } else {
                        s
                    }
                }
                _ => s / count,
            };
            centres.iter_mut().zip(sums.iter()).for_each(|(c, s)| *c = of(centre(s.to_f64())));
            pass(&mut sums, &x, &axes, second, &centres)?;
            if op == op::LOGSUMEXP {
                for ((y, s), c) in y.iter_mut().zip(sums.iter()).zip(centres.iter()) {
                    *y = T::narrow(of(s.to_f64().ln_() + c.to_f64()));
                }
                return Ok(());
            }
        }
    }
    let finish = |s: T::Sum| match op {
        op::MEAN => of(s.to_f64() / count),
        op::NORM => of(s.to_f64().sqrt()),
        op::POWER => of(libm::pow(s.to_f64(), 1.0 / a)),
        op::VAR => of(s.to_f64() / (count - a).max(0.0)),
        op::STD => of((s.to_f64() / (count - a).max(0.0)).sqrt()),
        op::LOGSUMEXP => of(s.to_f64().ln_()),
        _ => s,
    };
    y.iter_mut().zip(sums.iter()).for_each(|(y, &s)| *y = T::narrow(finish(s)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum_of(data: &[f32], shape: &[usize], strides: &[isize], kept: usize, op: usize) -> Vec<f32> {
        let mut y = vec![0.0; shape[..kept].iter().product()];
        // SAFETY: the tests' strides stay inside `data`.
        reduce(&mut y, unsafe { View::new(data.as_ptr(), shape, strides) }, kept, op, 1.0).unwrap();
        y
    }

    #[test]
    fn rows_columns_and_threads_agree() {
        let (n, m) = (70, 20_001);
        let data: Vec<f32> = (0..n * m).map(|i| (i % 1013) as f32 * 0.25 - 100.0).collect();
        let exact = |i: usize| (0..m).map(|j| f64::from(data[i * m + j])).sum::<f64>();
        let mut seen = Vec::new();
        for threads in [1, 2, 3] {
            crate::threads::set_num_threads(threads).unwrap();
            let rows = sum_of(&data, &[n, m], &[m as isize, 1], 1, op::SUM);
            rows.iter().enumerate().for_each(|(i, &s)| assert!((f64::from(s) - exact(i)).abs() <= exact(i).abs() * 6e-8));
            let columns = sum_of(&data, &[m, n], &[1, m as isize], 1, op::VAR);
            let all = sum_of(&data, &[n, m], &[m as isize, 1], 0, op::MEAN);
            seen.push((rows, columns, all));
        }
        assert!(seen[0] == seen[1] && seen[1] == seen[2]);
    }

    #[test]
    fn extremes_keep_nan() {
        let data = [1.0f32, 3.0, 3.0, f32::NAN];
        assert!(sum_of(&data, &[4], &[1], 0, op::MAX)[0].is_nan());
    }
}
