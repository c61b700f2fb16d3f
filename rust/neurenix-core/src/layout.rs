//! Moving elements: copies between strided views, sums of gradients, changes of type.

use half::f16;

use crate::error::Result;
use crate::simd::{Number, settle};
use crate::turning::{Turned, turn};
use crate::view::{View, ViewMut, Walk};
use crate::{ensure_shape, levels, streaming, threads};

/// Elements of one task: small enough to share out, large enough to be worth a task.
const RUN: usize = 1 << 14;

/// Calls `f(y, x, n)` for every inner run of a pair of views of one shape, in parallel; runs are at most [`RUN`] long.
fn runs<Y: Send, X: Sync>(
    what: &str,
    y: &ViewMut<'_, Y>,
    x: &View<'_, X>,
    f: impl Fn(*mut Y, *const X, usize, [isize; 2]) + Sync,
) -> Result {
    ensure_shape!(y.shape() == x.shape(), "{what}: expected {:?}, got {:?}", y.shape(), x.shape());
    let walk = Walk::new(y.shape(), [y.strides(), x.strides()])?;
    if walk.shape.contains(&0) {
        return Ok(());
    }
    let (n, steps) = (walk.inner(), walk.inner_steps());
    let pieces = n.div_ceil(RUN);
    let group = (RUN / n).max(1);
    let rows = walk.rows();
    threads::parallel(rows.div_ceil(group) * pieces, group * n.min(RUN), |task| {
        let (first, piece) = (task / pieces * group, task % pieces);
        let start = (piece * RUN) as isize;
        let mut place = walk.place(first);
        for _ in first..(first + group).min(rows) {
            let [oy, ox] = place.offsets;
            // SAFETY: the walk stays inside both views.
            let (py, px) = unsafe { (y.as_ptr().offset(oy + start * steps[0]), x.as_ptr().offset(ox + start * steps[1])) };
            f(py, px, (n - piece * RUN).min(RUN), steps);
            walk.advance(&mut place);
        }
        settle();
    });
    Ok(())
}

/// `y = x` between views of one shape.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape.
pub fn copy<T: Copy + Send + Sync>(y: ViewMut<'_, T>, x: View<'_, T>) -> Result {
    if transpose(&y, &x)? {
        return Ok(());
    }
    let large = streaming::pays(x.shape().iter().product::<usize>() * size_of::<T>());
    runs("copy", &y, &x, |py, px, n, steps| {
        // SAFETY: `runs` gives `n` positions inside both views, which do not overlap.
        unsafe {
            if steps == [1, 1] && large {
                streaming::copy(px, py, n);
            } else if steps == [1, 1] {
                std::ptr::copy_nonoverlapping(px, py, n);
            } else {
                (0..n as isize).for_each(|i| *py.offset(i * steps[0]) = *px.offset(i * steps[1]));
            }
        }
    })
}

/// Side of the squares that a transposing copy moves: a square of each operand stays in the first-level cache.
const SIDE: usize = 32;

/// Rows of one task where squares are turned over in registers.
const TURNED: usize = 64;

/// [`transpose`] of elements of four bytes: `y[i * y_step + j] = x[i + j * x_step]` at every place of the walk's outer axes.
fn in_squares((y, x): (*mut f32, *const f32), (rows, columns): (usize, usize), (y_step, x_step): (isize, usize), outer: &Walk<2>) {
    let down = rows.div_ceil(TURNED);
    let (y, x) = (y as usize, x as usize); // addresses cross threads
    threads::parallel(outer.rows() * down, columns * TURNED * 2, |task| {
        let ([oy, ox], first) = (outer.offsets(task / down), task % down * TURNED);
        // SAFETY: positions of both views, which do not overlap; each is written by one task. Moving bits as floats keeps them.
        unsafe {
            let to = (y as *mut f32).offset(oy + first as isize * y_step);
            let from = (x as *const f32).offset(ox).add(first);
            turn(&Turned { y: to, x: from, rows: TURNED.min(rows - first), columns, y_step, x_step });
        }
    });
}

/// The copy where elements lie side by side along one axis in `y` and another one in `x`; whether that was the case.
fn transpose<T: Copy + Send + Sync>(y: &ViewMut<'_, T>, x: &View<'_, T>) -> Result<bool> {
    if y.shape() != x.shape() {
        return Ok(false); // refused by the other way
    }
    let mut walk = Walk::new(y.shape(), [y.strides(), x.strides()])?;
    let last = walk.shape.len() - 1;
    let across = (0..last).find(|&a| walk.steps[a][1] == 1 && walk.shape[a] >= 4);
    let (Some(across), 1) = (across, walk.steps[last][0]) else { return Ok(false) };
    if walk.shape[last] < 4 || walk.shape.contains(&0) {
        return Ok(false);
    }
    // The two axes last: `across`, then the one along which `y` is written.
    let (rows, step) = (walk.shape.remove(across), walk.steps.remove(across));
    let (columns, inner) = (walk.inner(), walk.inner_steps());
    if size_of::<T>() == size_of::<f32>() && align_of::<T>() == align_of::<f32>() && inner[1] > 0 {
        let whole = (y.as_ptr().cast::<f32>(), x.as_ptr().cast::<f32>());
        in_squares(whole, (rows, columns), (step[0], inner[1] as usize), &walk);
        return Ok(true);
    }
    let (down, along) = (rows.div_ceil(SIDE), columns.div_ceil(SIDE));
    threads::parallel(walk.rows() * down, along * SIDE * SIDE * 2, |task| {
        let [oy, ox] = walk.offsets(task / down);
        let first = task % down * SIDE;
        for column in (0..columns).step_by(SIDE) {
            let (last_row, last_column) = (rows.min(first + SIDE), columns.min(column + SIDE));
            // SAFETY: positions of both views, which do not overlap; each is written by one task.
            unsafe {
                let (y0, x0) = (y.as_ptr().offset(oy), x.as_ptr().offset(ox));
                // Along the operand whose lines lie farther apart: at distances of powers of two they share a few places of the cache.
                if inner[1].abs() > step[0].abs() {
                    for j in column..last_column {
                        let (to, from) = (y0.add(j), x0.offset(j as isize * inner[1]));
                        for i in first..last_row {
                            *to.offset(i as isize * step[0]) = *from.offset(i as isize * step[1]);
                        }
                    }
                } else {
                    for i in first..last_row {
                        let (to, from) = (y0.offset(i as isize * step[0]), x0.offset(i as isize * step[1]));
                        for j in column..last_column {
                            *to.add(j) = *from.offset(j as isize * inner[1]);
                        }
                    }
                }
            }
        }
    });
    Ok(true)
}

levels! {
    fn add_into<T: Number>(total: &mut [T], more: &[T]) {
        for (t, &m) in total.iter_mut().zip(more) {
            *t = t.plus(m);
        }
    }
}

/// `total += more`, the tape's sum of gradients.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape.
pub fn accumulate<T: Number>(total: ViewMut<'_, T>, more: View<'_, T>) -> Result {
    runs("accumulate", &total, &more, |pt, pm, n, steps| {
        // SAFETY: as in `copy`.
        unsafe {
            if steps == [1, 1] {
                add_into(std::slice::from_raw_parts_mut(pt, n), std::slice::from_raw_parts(pm, n));
            } else {
                (0..n as isize).for_each(|i| *pt.offset(i * steps[0]) = (*pt.offset(i * steps[0])).plus(*pm.offset(i * steps[1])));
            }
        }
    })
}

/// A view of any element type.
#[derive(Debug, Clone, Copy)]
pub enum AnyView<'a> {
    /// float32
    F32(View<'a, f32>),
    /// float64
    F64(View<'a, f64>),
    /// float16
    F16(View<'a, f16>),
    /// int64
    I64(View<'a, i64>),
    /// int32
    I32(View<'a, i32>),
    /// int16
    I16(View<'a, i16>),
    /// int8
    I8(View<'a, i8>),
    /// uint8 and bool
    U8(View<'a, u8>),
    /// uint16
    U16(View<'a, u16>),
    /// uint32
    U32(View<'a, u32>),
    /// uint64
    U64(View<'a, u64>),
}

/// An element that others convert to, as `as` does.
pub trait Cast: Copy + Send + Sync {
    /// From a float.
    fn from_float(x: f64) -> Self;
    /// From an integer.
    fn from_int(x: i128) -> Self;
}

macro_rules! cast {
    ($($t:ty),*) => { $(impl Cast for $t {
        #[inline(always)]
        fn from_float(x: f64) -> Self { x as $t }
        #[inline(always)]
        fn from_int(x: i128) -> Self { x as $t }
    })* };
}
cast!(f32, f64, i64, i32, i16, i8, u8, u16, u32, u64);

impl Cast for f16 {
    #[inline(always)]
    fn from_float(x: f64) -> Self {
        Self::from_f64(x)
    }
    #[inline(always)]
    fn from_int(x: i128) -> Self {
        Self::from_f64(x as f64)
    }
}

fn convert<T: Cast, X: Copy + Sync>(y: &ViewMut<'_, T>, x: &View<'_, X>, f: impl Fn(X) -> T + Sync) -> Result {
    runs("cast", y, x, |py, px, n, steps| {
        // SAFETY: as in `copy`.
        unsafe {
            if steps == [1, 1] {
                (0..n).for_each(|i| *py.add(i) = f(*px.add(i)));
            } else {
                (0..n as isize).for_each(|i| *py.offset(i * steps[0]) = f(*px.offset(i * steps[1])));
            }
        }
    })
}

/// `y = x` with a change of type: floats to integers towards zero, saturating; integers wrap.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape.
pub fn cast<T: Cast>(y: ViewMut<'_, T>, x: AnyView<'_>) -> Result {
    match x {
        AnyView::F32(x) => convert(&y, &x, |v| T::from_float(f64::from(v))),
        AnyView::F64(x) => convert(&y, &x, T::from_float),
        AnyView::F16(x) => convert(&y, &x, |v| T::from_float(v.to_f64())),
        AnyView::I64(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::I32(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::I16(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::I8(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::U8(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::U16(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::U32(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
        AnyView::U64(x) => convert(&y, &x, |v| T::from_int(i128::from(v))),
    }
}

/// `y = (x != 0)`, how a number becomes a bool; NaN is true.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both have one shape.
pub fn truth<T: Cast>(y: ViewMut<'_, T>, x: AnyView<'_>) -> Result {
    let (no, yes) = (T::from_int(0), T::from_int(1));
    macro_rules! nonzero {
        ($x:expr, $zero:expr) => {
            convert(&y, &$x, |v| if v == $zero { no } else { yes })
        };
    }
    match x {
        AnyView::F32(x) => nonzero!(x, 0.0),
        AnyView::F64(x) => nonzero!(x, 0.0),
        AnyView::F16(x) => nonzero!(x, f16::ZERO),
        AnyView::I64(x) => nonzero!(x, 0),
        AnyView::I32(x) => nonzero!(x, 0),
        AnyView::I16(x) => nonzero!(x, 0),
        AnyView::I8(x) => nonzero!(x, 0),
        AnyView::U8(x) => nonzero!(x, 0),
        AnyView::U16(x) => nonzero!(x, 0),
        AnyView::U32(x) => nonzero!(x, 0),
        AnyView::U64(x) => nonzero!(x, 0),
    }
}
