//! The two passes of a normalisation that write a map: `x * scale + shift`, and the gradient of the input.

use crate::error::{Result, expect_len};
use crate::norm::{expect_tables, passed};
use crate::simd::Float;
use crate::{levels, norm_planes, threads};

/// Elements of one task.
const RUN: usize = 1 << 14;

/// Elements that share a pass over tables: narrow rows are repeated until the loops over them are worth their start.
fn repeats(c: usize, pixels: usize) -> usize {
    256usize.div_ceil(c.max(1)).clamp(1, pixels.max(1))
}

/// Calls `f(row, start, len)` for runs of whole pixels, `row` naming the table row, in parallel.
fn over_runs(rows: usize, n: usize, pixels: usize, c: usize, f: impl Fn(usize, usize, usize) + Sync) {
    let (images, pixels) = if rows == 1 { (1, n * pixels) } else { (n, pixels) };
    let group = repeats(c, pixels);
    let step = (RUN / c.max(1)).max(1).next_multiple_of(group);
    let pieces = pixels.div_ceil(step);
    threads::parallel(images * pieces, step.min(pixels) * c, |task| {
        let (image, first) = (task / pieces, task % pieces * step);
        f(image, (image * pixels + first) * c, step.min(pixels - first) * c);
    });
}

/// A table's rows, each repeated `times` times.
fn repeated<T: Float>(table: &[T], c: usize, times: usize) -> Result<Vec<T>> {
    let mut wide = crate::error::try_vec(table.len() * times, T::ZERO)?;
    if c > 0 {
        for (to, from) in wide.chunks_exact_mut(c * times).zip(table.chunks_exact(c)) {
            to.chunks_exact_mut(c).for_each(|part| part.copy_from_slice(from));
        }
    }
    Ok(wide)
}

levels! {
    fn apply_run<T: Float>(y: &mut [T], x: &[T], scale: &[T], shift: &[T], relu: bool) {
        let width = scale.len();
        for (y, x) in y.chunks_mut(width).zip(x.chunks(width)) {
            let (n, scale, shift) = (y.len(), &scale[..y.len()], &shift[..y.len()]);
            let x = &x[..n];
            if relu {
                for i in 0..n {
                    let v = x[i].mul_add(scale[i], shift[i]);
                    y[i] = if v < T::ZERO { T::ZERO } else { v };
                }
            } else {
                for i in 0..n {
                    y[i] = x[i].mul_add(scale[i], shift[i]);
                }
            }
        }
    }
}

/// `y = x * scale + shift`, then ReLU where asked, over an (n, pixels, c) map; the tables have `rows` rows, 1 or n.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn apply<T: Float>(
    y: &mut [T],
    x: &[T],
    scale: &[T],
    shift: &[T],
    rows: usize,
    n: usize,
    pixels: usize,
    c: usize,
    relu: usize,
) -> Result {
    expect_len("norm y", y.len(), &[n, pixels, c])?;
    expect_len("norm x", x.len(), &[n, pixels, c])?;
    expect_tables(rows, n, c, &[("scale", scale.len()), ("shift", shift.len())])?;
    if y.is_empty() {
        return Ok(());
    }
    if c == 1 && rows == n {
        norm_planes::apply(y, x, scale, shift, pixels, relu != 0);
        return Ok(());
    }
    let times = repeats(c, if rows == 1 { n * pixels } else { pixels });
    let (scale, shift, width) = (repeated(scale, c, times)?, repeated(shift, c, times)?, c * times);
    let shared = threads::Shared::new(y);
    over_runs(rows, n, pixels, c, |row, start, len| {
        let at = row * width..(row + 1) * width;
        // SAFETY: runs do not overlap.
        apply_run(unsafe { shared.slice(start, len) }, &x[start..start + len], &scale[at.clone()], &shift[at], relu != 0);
    });
    Ok(())
}

levels! {
    fn backward_run<T: Float, const RELU: bool>(dx: &mut [T], g: &[T], x: &[T], tables: [&[T]; 5]) {
        let width = tables[0].len();
        for ((dx, g), x) in dx.chunks_mut(width).zip(g.chunks(width)).zip(x.chunks(width)) {
            let n = dx.len();
            let [a, b, d, scale, shift] = tables;
            let (a, b, d, scale, shift) = (&a[..n], &b[..n], &d[..n], &scale[..n], &shift[..n]);
            let (g, x) = (&g[..n], &x[..n]);
            for i in 0..n {
                let g = passed::<T, RELU>(g[i], x[i], scale[i], shift[i]);
                dx[i] = g.mul_add(a[i], x[i].mul_add(b[i], d[i]));
            }
        }
    }
}

/// `dx = g * a + (x * b + d)`, `g` counting only where `x * scale + shift` is positive if `relu`.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn backward_apply<T: Float>(
    dx: &mut [T],
    g: &[T],
    x: &[T],
    a: &[T],
    b: &[T],
    d: &[T],
    scale: &[T],
    shift: &[T],
    rows: usize,
    n: usize,
    pixels: usize,
    c: usize,
    relu: usize,
) -> Result {
    expect_len("norm dx", dx.len(), &[n, pixels, c])?;
    expect_len("norm g", g.len(), &[n, pixels, c])?;
    expect_len("norm x", x.len(), &[n, pixels, c])?;
    expect_tables(rows, n, c, &[("a", a.len()), ("b", b.len()), ("d", d.len()), ("scale", scale.len()), ("shift", shift.len())])?;
    if dx.is_empty() {
        return Ok(());
    }
    if c == 1 && rows == n {
        norm_planes::backward_apply(dx, g, x, [a, b, d, scale, shift], pixels, relu != 0);
        return Ok(());
    }
    let (times, width) = {
        let times = repeats(c, if rows == 1 { n * pixels } else { pixels });
        (times, c * times)
    };
    let wide =
        [repeated(a, c, times)?, repeated(b, c, times)?, repeated(d, c, times)?, repeated(scale, c, times)?, repeated(shift, c, times)?];
    let shared = threads::Shared::new(dx);
    let run = if relu == 0 { backward_run::<T, false> } else { backward_run::<T, true> };
    over_runs(rows, n, pixels, c, |row, start, len| {
        let tables = wide.each_ref().map(|t| &t[row * width..(row + 1) * width]);
        // SAFETY: runs do not overlap.
        run(unsafe { shared.slice(start, len) }, &g[start..start + len], &x[start..start + len], tables);
    });
    Ok(())
}
