//! The passes of a normalisation that write a map: `x * scale + shift`, alone or with 2x2 maxima of it, and the gradient of the input.

use crate::error::{Result, expect_len};
use crate::norm::{expect_tables, passed};
use crate::pooling_halves::{expect_halves, maxima};
use crate::simd::Float;
use crate::threads::Shared;
use crate::{levels, norm_planes, streaming, threads};

/// Elements of one task.
const RUN: usize = 1 << 14;
/// Elements of a row that are pooled while the first cache has them.
const PART: usize = 1 << 11;

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
    let (streams, shared) = (streaming::pays_for_computed(size_of_val(y)), Shared::new(y));
    over_runs(rows, n, pixels, c, |row, start, len| {
        let (x, scale, shift) = (&x[start..start + len], &scale[row * width..(row + 1) * width], &shift[row * width..(row + 1) * width]);
        // SAFETY: runs do not overlap.
        let y = unsafe { shared.slice(start, len) };
        streaming::fill(y, width, streams, |y, at| apply_run(y, &x[at], scale, shift, relu != 0));
    });
    Ok(())
}

/// Sizes of a map whose rows are normalised in pairs, some columns at a time, and pooled while they are near.
struct Pairs {
    h: usize,
    w: usize,
    c: usize,
    oh: usize,
    ow: usize,
    columns: usize,
}

impl Pairs {
    /// Rows `2 i` and `2 i + 1` of an image from column `left` on; `held` has room for what is not kept in `y`.
    fn part<T: Float>(
        &self,
        (image, i, left): (usize, usize, usize),
        x: &[T],
        tables: [&[T]; 2],
        relu: bool,
        y: Option<&Shared<T>>,
        (pooled, tap): (&Shared<T>, &Shared<u8>),
        held: &mut [T],
    ) {
        let &Self { h, w, c, oh, ow, columns } = self;
        let (rows, count) = ((h - 2 * i).min(2), (w - left).min(columns));
        let (mut room, mut both): (_, [&mut [T]; 2]) = (held.chunks_mut(columns * c), [&mut [], &mut []]);
        for (k, to) in both.iter_mut().enumerate().take(rows) {
            let (start, len) = (((image * h + 2 * i + k) * w + left) * c, count * c);
            *to = match y {
                // SAFETY: a task owns its pairs of rows, and asks for each part of a row once.
                Some(y) => unsafe { y.slice(start, len) },
                None => &mut room.next().unwrap_or_default()[..len],
            };
            apply_run(to, &x[start..start + len], tables[0], tables[1], relu);
        }
        let (first, last) = (left / 2, ow.min((left + count).div_ceil(2)));
        if i < oh && first < last {
            let (from, len) = (((image * oh + i) * ow + first) * c, (last - first) * c);
            // SAFETY: outputs belong to the task that has their rows.
            let (pooled, tap) = unsafe { (pooled.slice(from, len), tap.slice(from, len)) };
            let down = if rows > 1 { w.min(2) } else { 0 };
            maxima(pooled, tap, [&*both[0], &*both[rows - 1]], down as i32, count, c);
        }
    }
}

/// As [`apply`] with tables of one row; `pooled` and `tap` are what [`crate::pooling::max_pool`] by 2x2 at stride 2 gives of `y`, which
/// need not be kept. An odd row or column makes an output of its own where `oh` and `ow` have one for it.
///
/// # Errors
/// [`crate::error::Error::Shape`] for sizes that do not fit.
pub fn apply_pooled<T: Float>(
    pooled: &mut [T],
    y: Option<&mut [T]>,
    tap: &mut [u8],
    x: &[T],
    scale: &[T],
    shift: &[T],
    n: usize,
    h: usize,
    w: usize,
    c: usize,
    oh: usize,
    ow: usize,
    relu: usize,
) -> Result {
    expect_halves((h, w), (oh, ow))?;
    expect_len("norm x", x.len(), &[n, h, w, c])?;
    expect_len("norm y", y.as_ref().map_or(x.len(), |y| y.len()), &[n, h, w, c])?;
    expect_len("norm pooled", pooled.len(), &[n, oh, ow, c])?;
    expect_len("norm tap", tap.len(), &[n, oh, ow, c])?;
    expect_tables(1, n, c, &[("scale", scale.len()), ("shift", shift.len())])?;
    if x.is_empty() {
        return Ok(());
    }
    let times = repeats(c, n * h * w);
    let (scale, shift) = (repeated(scale, c, times)?, repeated(shift, c, times)?);
    let pairs = Pairs { h, w, c, oh, ow, columns: (PART / c).max(2).next_multiple_of(2).min(w.next_multiple_of(2)) };
    let (high, room) = (h.div_ceil(2), if y.is_some() { 0 } else { 2 * pairs.columns * c });
    let step = (RUN / (2 * w * c)).max(1);
    let (pooled, tap, y) = (Shared::new(pooled), Shared::new(tap), y.map(Shared::new));
    threads::parallel((n * high).div_ceil(step), step.min(n * high) * 2 * w * c, |task| {
        let mut held = vec![T::ZERO; room];
        for pair in task * step..(task * step + step).min(n * high) {
            for left in (0..w).step_by(pairs.columns) {
                let at = (pair / high, pair % high, left);
                pairs.part(at, x, [&scale, &shift], relu != 0, y.as_ref(), (&pooled, &tap), &mut held);
            }
        }
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
    let (streams, shared) = (streaming::pays_for_computed(size_of_val(dx)), Shared::new(dx));
    let run = if relu == 0 { backward_run::<T, false> } else { backward_run::<T, true> };
    over_runs(rows, n, pixels, c, |row, start, len| {
        let (g, x, tables) = (&g[start..start + len], &x[start..start + len], wide.each_ref().map(|t| &t[row * width..(row + 1) * width]));
        // SAFETY: runs do not overlap.
        let dx = unsafe { shared.slice(start, len) };
        streaming::fill(dx, width, streams, |dx, at| run(dx, &g[at.clone()], &x[at], tables));
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps large enough to be written past the caches, `n` tables.
    fn large(n: usize, pixels: usize, c: usize) {
        let x: Vec<f32> = (0..n * pixels * c).map(|i| (i % 1013) as f32 - 500.0).collect();
        let g: Vec<f32> = x.iter().map(|v| v * 0.5 + 3.0).collect();
        let [scale, shift, a, b, d] = [1, 2, 3, 4, 5].map(|k| (0..n * c).map(|i| ((i * k) as f32).sin()).collect::<Vec<f32>>());
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        apply(&mut y, &x, &scale, &shift, n, n, pixels, c, 0).unwrap();
        backward_apply(&mut dx, &g, &x, &a, &b, &d, &scale, &shift, n, n, pixels, c, 1).unwrap();
        for (i, (&x, &g)) in x.iter().zip(&g).enumerate() {
            let at = i / (pixels * c) * c + i % c;
            assert_eq!(y[i], x.mul_add(scale[at], shift[at]));
            assert_eq!(dx[i], passed::<f32, true>(g, x, scale[at], shift[at]).mul_add(a[at], x.mul_add(b[at], d[at])));
        }
    }

    #[test]
    fn large_maps_are_written_whole() {
        large(2, 33333, 33);
        large(2, 1050, 1100);
        large(1, 700, 3001);
        large(37, 60001, 1);
    }
}
