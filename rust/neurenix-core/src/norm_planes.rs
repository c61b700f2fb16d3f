//! Statistics, sums and passes of [`norm`](crate::norm) over single planes: maps of one channel, where pixels are the vector.
//!
//! A plane's units are those of any map and each of its sums is added in the same order, so the bits are those of the other
//! memory order: runs of four pixels are added up side by side along a row first, then one after the other into their unit.

use crate::blocks::Buffer;
use crate::error::Result;
use crate::norm::{LANES, Part, TILE, UNIT_TILES, Unit, passed, tree};
use crate::simd::{Float, Vector, prefetch};
use crate::{levels, streaming, threads};

/// Pixel rows of one task: as many tile rows as fill whole units whatever the width.
const BAND: usize = TILE * UNIT_TILES;
/// Tiles whose runs are held at once: those of as many units as a sum has lanes.
const HELD: usize = LANES * UNIT_TILES;
/// Elements from those in use to those that are asked for ahead.
const AHEAD: usize = 2048;
/// Elements of one task of a pass over a map.
const RUN: usize = 1 << 14;

/// What is added up: `K` numbers of a run, from `S` maps and a mean.
trait Terms<T, const S: usize, const K: usize> {
    /// Those of pairs of pixels; a run's are the sum of its two pairs'.
    fn pair<V: Vector<T>>(&self, even: [V; S], odd: [V; S], middle: V) -> [V; K];
    /// `sum` and those of one pixel, of a run that is not whole.
    fn pixel(&self, sum: [T; K], values: [T; S], middle: T) -> [T; K];
}

/// `S` bands of rows, `h` by `w` pixels.
#[derive(Clone, Copy)]
struct Bands<'a, T, const S: usize> {
    maps: [&'a [T]; S],
    h: usize,
    w: usize,
}

/// `K` sums a unit of a band of rows; `means` are the units', or one for all.
#[inline(always)]
fn by_units<T: Float, V: Vector<T>, const S: usize, const K: usize>(
    mut out: [&mut [T]; K],
    b: Bands<'_, T, S>,
    means: &[T],
    terms: &impl Terms<T, S, K>,
) {
    let (wide, whole) = (b.w.div_ceil(TILE), b.w / TILE);
    let tiles = b.h.div_ceil(TILE) * wide;
    for first in (0..tiles).step_by(HELD) {
        let (last, mut middle) = (tiles.min(first + HELD), [T::ZERO; 2 * HELD]);
        for (unit, middle) in middle.chunks_mut(2 * UNIT_TILES).enumerate() {
            middle.fill(means[(first / UNIT_TILES + unit).min(means.len() - 1)]);
        }
        // Runs that are not there count as zeros: no sum is minus zero.
        let (mut held, mut t) = ([[[T::ZERO; HELD]; TILE]; K], first);
        while t < last {
            let (top, left) = (t / wide * TILE, t % wide);
            let n = (wide - left).min(last - t);
            let some = t - first..t - first + n.min(whole - left.min(whole));
            for r in 0..TILE.min(b.h - top) {
                let at = (top + r) * b.w + left * TILE;
                runs::<T, V, S, K>(&mut held, r, some.clone(), b.maps.map(|x| &x[at..]), &middle, terms);
            }
            t += n;
        }
        for k in 0..K {
            sums_of_held::<T, V>(&mut out[k][first / UNIT_TILES..last.div_ceil(UNIT_TILES)], &held[k]);
        }
        if whole < wide {
            with_narrow_tiles(&mut out, &held, &b, first..last, means, terms);
        }
    }
}

/// Elements of even and of odd number.
const PLACES: [[i32; LANES]; 2] = {
    let (mut places, mut l) = ([[0; LANES]; 2], 0);
    while l < LANES {
        (places[0][l], places[1][l]) = (2 * l as i32, 2 * l as i32 + 1);
        l += 1;
    }
    places
};

/// The numbers of whole runs of row `r` of `tiles`; their pixels begin the maps.
#[inline(always)]
fn runs<T: Float, V: Vector<T>, const S: usize, const K: usize>(
    held: &mut [[[T; HELD]; TILE]; K],
    r: usize,
    tiles: std::ops::Range<usize>,
    maps: [&[T]; S],
    middle: &[T; 2 * HELD],
    terms: &impl Terms<T, S, K>,
) {
    let places = &PLACES;
    for t in tiles.clone().step_by(V::N) {
        let n = V::N.min(tiles.end - t);
        let at = (t - tiles.start) * TILE;
        let (mut rest, mut from) = ([[T::ZERO; TILE * LANES]; S], [std::ptr::null(); S]);
        for s in 0..S {
            if n == V::N {
                from[s] = maps[s][at..at + TILE * V::N].as_ptr();
                for v in 0..TILE {
                    prefetch(from[s].wrapping_add(AHEAD + v * V::N));
                }
            } else {
                rest[s][..TILE * n].copy_from_slice(&maps[s][at..at + TILE * n]);
                from[s] = rest[s].as_ptr();
            }
        }
        let mut pairs = [[T::ZERO; 2 * LANES]; K];
        for half in 0..2 {
            let (mut even, mut odd) = ([V::splat(T::ZERO); S], [V::splat(T::ZERO); S]);
            // SAFETY: `4 N` elements lie behind each address, two means a tile of [`HELD`], `2 N` pairs of `2 LANES`.
            unsafe {
                for s in 0..S {
                    let from = from[s].add(2 * V::N * half);
                    (even[s], odd[s]) = (V::pick(from, places[0].as_ptr()), V::pick(from, places[1].as_ptr()));
                }
                let means = V::load(middle.as_ptr().add((2 * t + half * V::N).min(2 * HELD - V::N)));
                let terms = terms.pair(even, odd, means);
                for k in 0..K {
                    terms[k].store(pairs[k].as_mut_ptr().add(half * V::N));
                }
            }
        }
        for k in 0..K {
            let to = &mut held[k][r][t..t + n];
            // SAFETY: `2 N` pairs were stored, and `n` places are there.
            unsafe {
                let run = V::pick(pairs[k].as_ptr(), places[0].as_ptr()).add(V::pick(pairs[k].as_ptr(), places[1].as_ptr()));
                if n == V::N { run.store(to.as_mut_ptr()) } else { run.store_first(to.as_mut_ptr(), n) }
            }
        }
    }
}

/// Sums of the runs of up to [`LANES`] units, each in its order.
#[inline(always)]
fn sums_of_held<T: Float, V: Vector<T>>(sums: &mut [T], held: &[[T; HELD]; TILE]) {
    let (mut turned, mut all) = ([[T::ZERO; HELD]; TILE], [T::ZERO; LANES]);
    for (held, turned) in held.iter().zip(&mut turned) {
        for unit in (0..LANES).step_by(V::N) {
            for tile in (0..UNIT_TILES).step_by(V::N) {
                // SAFETY: [`LANES`] units of [`UNIT_TILES`] tiles are [`HELD`] elements, in either order.
                unsafe {
                    let (from, to) = (held.as_ptr().add(unit * UNIT_TILES + tile), turned.as_mut_ptr().add(tile * LANES + unit));
                    V::transpose(from, UNIT_TILES, V::N.min(UNIT_TILES), to, LANES as isize);
                }
            }
        }
    }
    for unit in (0..LANES).step_by(V::N) {
        let mut sum = V::splat(T::ZERO);
        for at in (unit..HELD).step_by(LANES) {
            for turned in &turned {
                // SAFETY: `N` of [`HELD`] elements from `at` on, and of [`LANES`] from `unit` on.
                sum = sum.add(unsafe { V::load(turned.as_ptr().add(at)) });
            }
        }
        // SAFETY: as above.
        unsafe { sum.store(all.as_mut_ptr().add(unit)) };
    }
    sums.copy_from_slice(&all[..sums.len()]);
}

/// Takes the sums of those units again that hold a tile narrower than [`TILE`], whose pixels are added one by one.
#[inline(always)]
fn with_narrow_tiles<T: Float, const S: usize, const K: usize>(
    out: &mut [&mut [T]; K],
    held: &[[[T; HELD]; TILE]; K],
    b: &Bands<'_, T, S>,
    tiles: std::ops::Range<usize>,
    means: &[T],
    terms: &impl Terms<T, S, K>,
) {
    let wide = b.w.div_ceil(TILE);
    for start in tiles.clone().step_by(UNIT_TILES) {
        let end = tiles.end.min(start + UNIT_TILES);
        if !(start..end).any(|tile| tile % wide == wide - 1) {
            continue;
        }
        let (mut sum, middle) = ([T::ZERO; K], means[(start / UNIT_TILES).min(means.len() - 1)]);
        for tile in start..end {
            let top = tile / wide * TILE;
            for y in top..b.h.min(top + TILE) {
                sum = if tile % wide == wide - 1 {
                    let pixels = y * b.w + b.w / TILE * TILE..(y + 1) * b.w;
                    pixels.fold(sum, |sum, at| terms.pixel(sum, b.maps.map(|x| x[at]), middle))
                } else {
                    std::array::from_fn(|k| sum[k] + held[k][y - top][tile - tiles.start])
                };
            }
        }
        (0..K).for_each(|k| out[k][start / UNIT_TILES] = sum[k]);
    }
}

/// Elements.
struct Plain;

impl<T: Float> Terms<T, 1, 1> for Plain {
    #[inline(always)]
    fn pair<V: Vector<T>>(&self, [even]: [V; 1], [odd]: [V; 1], _: V) -> [V; 1] {
        [even.add(odd)]
    }

    #[inline(always)]
    fn pixel(&self, [sum]: [T; 1], [x]: [T; 1], _: T) -> [T; 1] {
        [sum + x]
    }
}

/// Squared distances to the mean.
struct Squares;

impl<T: Float> Terms<T, 1, 1> for Squares {
    #[inline(always)]
    fn pair<V: Vector<T>>(&self, [even]: [V; 1], [odd]: [V; 1], middle: V) -> [V; 1] {
        let (p, q) = (even.sub(middle), odd.sub(middle));
        [p.fma(p, q.mul(q))]
    }

    #[inline(always)]
    fn pixel(&self, [sum]: [T; 1], [x]: [T; 1], middle: T) -> [T; 1] {
        let d = x - middle;
        [d.mul_add(d, sum)]
    }
}

/// `g` and `g * (x - mean)`, `g` counting only where `x * scale + shift` is positive if `RELU`.
struct Products<T, const RELU: bool> {
    scale: T,
    shift: T,
}

impl<T: Float, const RELU: bool> Terms<T, 2, 2> for Products<T, RELU> {
    #[inline(always)]
    fn pair<V: Vector<T>>(&self, [g, x]: [V; 2], [h, z]: [V; 2], middle: V) -> [V; 2] {
        let (scale, shift) = (V::splat(self.scale), V::splat(self.shift));
        let p = if RELU { g.unless_below_zero(x.fma(scale, shift)) } else { g };
        let q = if RELU { h.unless_below_zero(z.fma(scale, shift)) } else { h };
        [p.add(q), p.fma(x.sub(middle), q.mul(z.sub(middle)))]
    }

    #[inline(always)]
    fn pixel(&self, [first, second]: [T; 2], [g, x]: [T; 2], middle: T) -> [T; 2] {
        let p = passed::<T, RELU>(g, x, self.scale, self.shift);
        [first + p, p.mul_add(x - middle, second)]
    }
}

levels! {
    /// Sums of the units of rows `x`, `w` pixels wide.
    fn sums_of_units<T, V>(sum: &mut [T], x: &[T], w: usize) {
        by_units::<T, V, 1, 1>([sum], Bands { maps: [x], h: x.len() / w, w }, &[T::ZERO], &Plain);
    }
}

levels! {
    /// Sums of squared distances to the units' means.
    fn squares_of_units<T, V>(square: &mut [T], mean: &[T], x: &[T], w: usize) {
        by_units::<T, V, 1, 1>([square], Bands { maps: [x], h: x.len() / w, w }, mean, &Squares);
    }
}

levels! {
    /// Sums of `g` and of `g * (x - mean)`; `tables` are the plane's mean, scale and shift.
    fn products_of_units<T, V, const RELU: bool>(first: &mut [T], second: &mut [T], g: &[T], x: &[T], tables: [T; 3], w: usize) {
        let [mean, scale, shift] = tables;
        by_units::<T, V, 2, 2>([first, second], Bands { maps: [g, x], h: x.len() / w, w }, &[mean], &Products::<T, RELU> { scale, shift });
    }
}

/// Two merged numbers a plane: `band(plane, elements, first, second)` fills those of a band's units.
fn per_plane<T: Float>(
    first: &mut [f64],
    second: &mut [f64],
    planes: usize,
    (h, w): (usize, usize),
    band: impl Fn(usize, std::ops::Range<usize>, &mut [T], &mut [T]) + Sync,
    merge: impl Fn(Part, Part) -> Part + Sync,
) -> Result {
    let (units, bands, of_band) = (Unit::count(h, w), h.div_ceil(BAND), w.div_ceil(TILE));
    if planes == 0 || units == 0 {
        first.fill(0.0);
        second.fill(0.0);
        return Ok(());
    }
    let mut scratch = Buffer::<T>::new(2 * planes * units)?;
    let (a, b) = scratch.split_at_mut(planes * units);
    let (shared_a, shared_b) = (threads::Shared::new(a), threads::Shared::new(b));
    threads::parallel(planes * bands, h.min(BAND) * w, |task| {
        let (plane, index) = (task / bands, task % bands);
        let (at, len) = (plane * units + index * of_band, of_band.min(units - index * of_band));
        let rows = plane * h + index * BAND..plane * h + h.min((index + 1) * BAND);
        // SAFETY: each band has its own units.
        let (a, b) = unsafe { (shared_a.slice(at, len), shared_b.slice(at, len)) };
        band(plane, rows.start * w..rows.end * w, a, b);
    });
    let counts: Vec<f64> = (0..units).map(|index| Unit::new(index, h, w).pixels as f64).collect();
    let (first, second) = (threads::Shared::new(first), threads::Shared::new(second));
    threads::parallel(planes.div_ceil(LANES), units * LANES * 8, |task| {
        let start = task * LANES;
        let len = LANES.min(planes - start);
        let leaf = |index: usize| {
            let mut part = Part { n: counts[index], ..Part::NONE };
            for i in 0..len {
                let at = (start + i) * units + index;
                (part.first[i], part.second[i]) = (a[at].to_f64(), b[at].to_f64());
            }
            part
        };
        let total = tree(Part::NONE, units, leaf, &merge);
        // SAFETY: each task has its own planes.
        unsafe {
            first.slice(start, len).copy_from_slice(&total.first[..len]);
            second.slice(start, len).copy_from_slice(&total.second[..len]);
        }
    });
    Ok(())
}

/// Mean and sum of squared distances to it of every plane; the sizes were checked.
pub(crate) fn moments<T: Float>(x: &[T], mean: &mut [f64], square: &mut [f64], planes: usize, size: (usize, usize)) -> Result {
    let (h, w) = size;
    let units: Vec<T> =
        (0..Unit::count(h.min(BAND), w)).map(|index| T::ONE / T::of(Unit::new(index, h.min(BAND), w).pixels as f64)).collect();
    let rest = h % BAND;
    let last: Vec<T> = (0..Unit::count(rest, w)).map(|index| T::ONE / T::of(Unit::new(index, rest, w).pixels as f64)).collect();
    let band = |_: usize, at: std::ops::Range<usize>, mean: &mut [T], square: &mut [T]| {
        let x = &x[at];
        sums_of_units(mean, x, w);
        let scales = if x.len() == h.min(BAND) * w { &units } else { &last };
        mean.iter_mut().zip(scales).for_each(|(m, &scale)| *m = *m * scale);
        squares_of_units(square, mean, x, w);
    };
    per_plane(mean, square, planes, size, band, Part::union)
}

/// Of every plane the sums of `g` and of `g * (x - mean)`; the tables have one row, or one a plane.
pub(crate) fn backward_sums<T: Float>(
    g: &[T],
    x: &[T],
    sums: [&mut [f64]; 2],
    [mean, scale, shift]: [&[T]; 3],
    planes: usize,
    size: (usize, usize),
    relu: bool,
) -> Result {
    let run = if relu { products_of_units::<T, true> } else { products_of_units::<T, false> };
    let band = |plane: usize, at: std::ops::Range<usize>, a: &mut [T], b: &mut [T]| {
        let row = plane.min(mean.len() - 1);
        run(a, b, &g[at.clone()], &x[at], [mean[row], scale[row], shift[row]], size.1);
    };
    let [first, second] = sums;
    per_plane(first, second, planes, size, band, Part::sum)
}

levels! {
    fn apply_run<T: Float>(y: &mut [T], x: &[T], scale: T, shift: T, relu: bool) {
        if relu {
            for (y, &x) in y.iter_mut().zip(x) {
                let v = x.mul_add(scale, shift);
                *y = if v < T::ZERO { T::ZERO } else { v };
            }
        } else {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = x.mul_add(scale, shift);
            }
        }
    }
}

/// Calls `f(plane, elements)` for parts of all planes, in parallel.
fn over_planes(planes: usize, pixels: usize, f: impl Fn(usize, std::ops::Range<usize>) + Sync) {
    let group = (RUN / pixels.max(1)).max(1);
    let pieces = pixels.div_ceil(RUN);
    threads::parallel(planes.div_ceil(group) * pieces, group * pixels.min(RUN), |task| {
        let (first, start) = (task / pieces * group, task % pieces * RUN);
        for plane in first..(first + group).min(planes) {
            f(plane, plane * pixels + start..plane * pixels + pixels.min(start + RUN));
        }
    });
}

/// `y = x * scale + shift` with a number a plane of each; the sizes were checked.
pub(crate) fn apply<T: Float>(y: &mut [T], x: &[T], scale: &[T], shift: &[T], pixels: usize, relu: bool) {
    let (streams, shared) = (streaming::pays_for_computed(size_of_val(y)), threads::Shared::new(y));
    over_planes(scale.len(), pixels, |plane, at| {
        // SAFETY: parts do not overlap.
        let (y, x) = (unsafe { shared.slice(at.start, at.len()) }, &x[at]);
        streaming::fill(y, 1, streams, |y, at| apply_run(y, &x[at], scale[plane], shift[plane], relu));
    });
}

levels! {
    fn backward_run<T: Float, const RELU: bool>(dx: &mut [T], g: &[T], x: &[T], tables: [T; 5]) {
        let [a, b, d, scale, shift] = tables;
        for ((dx, &g), &x) in dx.iter_mut().zip(g).zip(x) {
            *dx = passed::<T, RELU>(g, x, scale, shift).mul_add(a, x.mul_add(b, d));
        }
    }
}

/// `dx = g * a + (x * b + d)` with a number a plane of each of `[a, b, d, scale, shift]`; the sizes were checked.
pub(crate) fn backward_apply<T: Float>(dx: &mut [T], g: &[T], x: &[T], tables: [&[T]; 5], pixels: usize, relu: bool) {
    let run = if relu { backward_run::<T, true> } else { backward_run::<T, false> };
    let (streams, shared) = (streaming::pays_for_computed(size_of_val(dx)), threads::Shared::new(dx));
    over_planes(tables[0].len(), pixels, |plane, at| {
        // SAFETY: parts do not overlap.
        let (dx, g, x) = (unsafe { shared.slice(at.start, at.len()) }, &g[at.clone()], &x[at]);
        streaming::fill(dx, 1, streams, |dx, at| run(dx, &g[at.clone()], &x[at], tables.map(|t| t[plane])));
    });
}

#[cfg(test)]
mod tests {
    use crate::norm::{backward_sums, moments};

    #[test]
    fn planes_and_channels_have_the_same_bits() {
        for (h, w) in [(1, 1), (3, 5), (4, 32), (14, 14), (33, 130), (70, 6), (65, 300)] {
            let (n, c) = (2, 3);
            let x: Vec<f32> = (0..n * h * w * c).map(|i| ((i * 7919 % 1009) as f32 * 0.37).sin() + 2.0).collect();
            let g: Vec<f32> = x.iter().map(|v| (v * 31.0).cos()).collect();
            let planes = |v: &[f32]| -> Vec<f32> {
                (0..n * c * h * w).map(|i| v[(i / (c * h * w) * h * w + i % (h * w)) * c + i / (h * w) % c]).collect()
            };
            let both = |x: &[f32], g: &[f32], n: usize, c: usize| {
                let mut out = vec![vec![0.0; n * c]; 4];
                let [m, s, a, b] = &mut out[..] else { unreachable!() };
                moments(x, m, s, n, h, w, c).unwrap();
                backward_sums(g, x, a, b, m, &vec![0.5; n * c], &vec![-1.0; n * c], n, n, h, w, c, 1).unwrap();
                out
            };
            assert_eq!(both(&x, &g, n, c), both(&planes(&x), &planes(&g), n * c, 1), "{h} {w}");
        }
    }
}
