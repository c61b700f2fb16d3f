//! Max pooling over windows that slide by one pixel: a few comparisons a pixel, however large the window.
//!
//! "The first maximum, or the last NaN" is associative, and a pixel counted twice changes nothing, so windows may be put together
//! from overlapping parts in their order. Along a row that is by doubling: maxima of 2, 4, 8 ... pixels, whole rows at a time. Along
//! columns a window is the end of one block of rows and the beginning of the next: three comparisons a pixel. Wide pixels whose places
//! are not kept go another way with AVX2: see [`pooling_blocks`](crate::pooling_blocks).
//! M. van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal kernels", Pattern Recognition
//! Letters 13, 1992; J. Gil and M. Werman, "Computing 2-D min, median, and max filters", IEEE Trans. PAMI 15, 1993.

use std::ops::Range;

use crate::conv::scratch;
use crate::error::Result;
use crate::levels;
use crate::planning;
use crate::pooling::{Kind, Of, Place, Shape, Windows};
use crate::pooling_blocks::{self, Axis, Map};
use crate::simd::{Float, Number};
use crate::threads::{Shared, parallel};

/// Channels of one task.
const CHANNELS: usize = 32;
/// Tasks of maps of wide pixels, at least, where the map is high enough.
const TASKS: usize = 16;
/// Elements that a strip of pooled rows holds, about.
const STRIP: usize = 1 << 16;
/// Elements of a block of rows that are compared at a time: they and their places stay in the first cache.
const ROOM: usize = 2048;

/// Where the first window begins, before the map where it is cut, if all windows have `taps` pixels and follow one another.
fn start(windows: &Windows<'_>, n: usize) -> Option<isize> {
    if windows.step != 1 || windows.len() == 0 {
        return None;
    }
    let (first, count) = windows.at(0);
    let start = if first == 0 { count as isize - windows.taps as isize } else { first as isize };
    let fits = |j: usize| {
        let (low, (first, count)) = (start + j as isize, windows.at(j));
        let high = (low + windows.taps as isize).min(n as isize);
        count > 0 && first as isize == low.max(0) && (first + count) as isize == high
    };
    (0..windows.len()).all(fits).then_some(start)
}

/// Values with their places, which are empty where none are wanted.
struct Maxima<'a, T> {
    values: &'a mut [T],
    codes: &'a mut [i32],
}

levels! {
    /// `to` = the later of `u` and `v`: `v` where it is larger, or NaN. A function by itself with slices for arguments: so the
    /// compiler knows that none overlaps another, and vectorises.
    fn merge<K: Kind, const NAN: bool>(to: &mut [K::T], place: &mut [i32], u: &[K::T], p: &[i32], v: &[K::T], q: &[i32]) {
        let n = to.len();
        let (u, v) = (&u[..n], &v[..n]);
        if K::P::KEPT {
            let (p, q, place) = (&p[..n], &q[..n], &mut place[..n]);
            for i in 0..n {
                let (a, b, c, d) = (u[i], v[i], p[i], q[i]);
                let better = (b > a) | (NAN && b.is_nan());
                to[i] = if better { b } else { a };
                // Not `if`: the compiler would choose between addresses, and gather.
                place[i] = c ^ ((c ^ d) & -i32::from(better));
            }
        } else {
            for i in 0..n {
                let (a, b) = (u[i], v[i]);
                to[i] = if (b > a) | (NAN && b.is_nan()) { b } else { a };
            }
        }
    }
}

levels! {
    /// The same, into `u`.
    fn merge_behind<K: Kind, const NAN: bool>(u: &mut [K::T], p: &mut [i32], v: &[K::T], q: &[i32]) {
        let n = u.len();
        let v = &v[..n];
        if K::P::KEPT {
            let (p, q) = (&mut p[..n], &q[..n]);
            for i in 0..n {
                let (a, b, c, d) = (u[i], v[i], p[i], q[i]);
                let better = (b > a) | (NAN && b.is_nan());
                u[i] = if better { b } else { a };
                p[i] = if better { d } else { c };
            }
        } else {
            for i in 0..n {
                let (a, b) = (u[i], v[i]);
                u[i] = if (b > a) | (NAN && b.is_nan()) { b } else { a };
            }
        }
    }
}

/// The part of places that goes with a part of values.
#[inline(always)]
fn codes<K: Kind>(all: &[i32], part: Range<usize>) -> &[i32] {
    if K::P::KEPT { &all[part] } else { &[] }
}

#[inline(always)]
fn codes_mut<K: Kind>(all: &mut [i32], part: Range<usize>) -> &mut [i32] {
    if K::P::KEPT { &mut all[part] } else { &mut [] }
}

levels! {
    fn any_nan<T: Float>(x: &[T]) -> bool {
        let mut found = T::ZERO;
        for &v in x {
            found = if v.is_nan() { T::ONE } else { found };
        }
        found == T::ONE
    }
}

/// Maxima of `taps` neighbours `apart` elements apart, by doubling: into `to` from `one`, which is spent, as is `two`.
fn along<K: Kind, const NAN: bool>(to: Maxima<'_, K::T>, one: Maxima<'_, K::T>, two: Maxima<'_, K::T>, taps: usize, apart: usize) {
    let (outputs, mut from, mut next, mut reach) = (to.values.len(), one, two, 1);
    if taps == 1 {
        to.values.copy_from_slice(&from.values[..outputs]);
        codes_mut::<K>(to.codes, 0..outputs).copy_from_slice(codes::<K>(from.codes, 0..outputs));
        return;
    }
    loop {
        let step = reach.min(taps - reach);
        reach += step;
        let len = outputs + (taps - reach) * apart;
        let part = step * apart..step * apart + len;
        let (u, v) = (&from.values[..len], &from.values[part.clone()]);
        let (p, q) = (codes::<K>(from.codes, 0..len), codes::<K>(from.codes, part));
        if reach == taps {
            merge::<K, NAN>(to.values, to.codes, u, p, v, q);
            return;
        }
        merge::<K, NAN>(&mut next.values[..len], codes_mut::<K>(next.codes, 0..len), u, p, v, q);
        (from, next) = (next, from);
    }
}

/// Some elements of the rows of `x`, `pitch` apart: for each window of rows, counted from the first, its maxima to `put`'s row.
fn down<K: Kind, const NAN: bool>(
    to: &mut [K::T],
    place: &mut [i32],
    x: &[K::T],
    code: &[i32],
    windows: &[(usize, usize)],
    some: &Range<usize>,
    pitch: usize,
    taps: usize,
    held: Maxima<'_, K::T>,
) {
    let (n, rows) = (some.len(), x.len() / pitch);
    let row = |r: usize| {
        (&x[r * pitch + some.start..][..n], codes::<K>(code, if K::P::KEPT { r * pitch + some.start..r * pitch + some.end } else { 0..0 }))
    };
    let (suffixes, prefix) = held.values.split_at_mut(taps * n);
    let (suffix_codes, prefix_code) = if K::P::KEPT { held.codes.split_at_mut(taps * n) } else { (&mut [][..], &mut [][..]) };
    let (mut first, mut last, mut begun, mut done) = (0, 0, 0, 0);
    for (i, &(low, high)) in windows.iter().enumerate() {
        if low >= last {
            (first, last) = (low / taps * taps, (low / taps * taps + taps).min(rows));
            for r in (first..last).rev() {
                let (own, later) = suffixes.split_at_mut((r - first + 1) * n);
                let (own_code, later_code) =
                    if K::P::KEPT { suffix_codes.split_at_mut((r - first + 1) * n) } else { (&mut [][..], &mut [][..]) };
                let (own, own_code) = (&mut own[(r - first) * n..], codes_mut::<K>(own_code, (r - first) * n..(r - first + 1) * n));
                if r + 1 == last {
                    own.copy_from_slice(row(r).0);
                    own_code.copy_from_slice(row(r).1);
                } else {
                    merge::<K, NAN>(own, own_code, row(r).0, row(r).1, later, later_code);
                }
            }
            (begun, done) = (first, first);
        }
        let to = &mut to[i * pitch + some.start..][..n];
        let place = codes_mut::<K>(place, if K::P::KEPT { i * pitch + some.start..i * pitch + some.end } else { 0..0 });
        let part = (low - first) * n..(low - first + 1) * n;
        let suffix = (&suffixes[part.clone()], codes::<K>(suffix_codes, part));
        if high == last {
            to.copy_from_slice(suffix.0);
            place.copy_from_slice(suffix.1);
            continue;
        }
        if high > last && begun != last {
            (begun, done) = (last, last);
        }
        for r in done..high {
            if r == begun {
                prefix[..n].copy_from_slice(row(r).0);
                codes_mut::<K>(prefix_code, 0..n).copy_from_slice(row(r).1);
            } else {
                merge_behind::<K, NAN>(&mut prefix[..n], prefix_code, row(r).0, row(r).1);
            }
        }
        done = high;
        if high > last {
            merge::<K, NAN>(to, place, suffix.0, suffix.1, prefix, prefix_code);
        } else {
            to.copy_from_slice(&prefix[..n]);
            place.copy_from_slice(codes::<K>(prefix_code, 0..n));
        }
    }
}

levels! {
    /// Places from numbers that count from the map's first row and column.
    fn put_places<K: Kind>(place: &mut [K::P], code: &[i32], lefts: &[i32], base: i32) {
        for ((place, &code), &left) in place.iter_mut().zip(code).zip(lefts) {
            *place = K::P::of(code.wrapping_sub(base).wrapping_sub(left));
        }
    }
}

/// What one call holds, shared by its tasks.
struct Job<'a, K: Kind> {
    y: Shared<'a, K::T>,
    place: Shared<'a, K::P>,
    x: &'a [K::T],
    s: Shape<'a>,
    /// Where the first window of columns begins.
    left: isize,
}

/// Values and places that are cut off the memory of a task.
struct Room<'a, T> {
    values: &'a mut [T],
    codes: &'a mut [i32],
}

impl<'a, T> Room<'a, T> {
    /// The next `n` of both; no places where none are kept.
    fn cut<K: Kind>(&mut self, n: usize) -> Maxima<'a, T> {
        let some = if K::P::KEPT { n } else { 0 };
        let (values, codes) = (std::mem::take(&mut self.values), std::mem::take(&mut self.codes));
        let ((values, rest), (codes, others)) = (values.split_at_mut(n), codes.split_at_mut(some));
        (self.values, self.codes) = (rest, others);
        Maxima { values, codes }
    }
}

impl<K: Kind> Job<'_, K> {
    /// How rows are numbered: so many a row.
    fn per_row(&self) -> usize {
        if K::P::TAP { self.s.cols.taps } else { self.s.w }
    }

    /// The pixels that a row's windows take, of those that exist: the first place among them, the first pixel, their number.
    fn met(&self) -> (usize, usize, usize) {
        let (before, first) = ((-self.left).max(0) as usize, self.left.max(0) as usize);
        (before, first, (self.s.w - first).min(self.s.cols.len() + self.s.cols.taps - 1 - before))
    }

    /// Elements of a row of `channels` with all that its windows take.
    fn wide(&self, channels: usize) -> usize {
        (self.s.cols.len() + self.s.cols.taps - 1) * channels
    }

    /// Rows from `from` on of map `o`, each pooled along itself; whether there is a NaN.
    fn rows(&self, best: &mut Maxima<'_, K::T>, room: &mut Room<'_, K::T>, o: usize, from: usize, c: usize, channels: usize) -> bool {
        let s = &self.s;
        let (pitch, (before, first, count)) = (s.cols.len() * channels, self.met());
        let wide = self.wide(channels);
        let (one, two, plain) = (room.cut::<K>(wide), room.cut::<K>(wide), room.cut::<K>(wide).codes);
        plain.iter_mut().enumerate().for_each(|(e, code)| *code = ((e / channels).saturating_sub(before) + first) as i32);
        let mut nan = false;
        for (row, values) in best.values.chunks_exact_mut(pitch).enumerate() {
            let at = ((o * s.h + from + row) * s.w + first) * s.inner;
            let source = &self.x[at..at + count * s.inner];
            let (ahead, rest) = one.values.split_at_mut(before * channels);
            let (held, behind) = rest.split_at_mut(count * channels);
            ahead.fill(K::T::LOWEST);
            behind.fill(K::T::LOWEST);
            if channels == s.inner {
                held.copy_from_slice(source);
            } else {
                let pixels = held.chunks_exact_mut(channels).zip(source.chunks_exact(s.inner));
                pixels.for_each(|(to, from)| to.copy_from_slice(&from[c..c + channels]));
            }
            let base = ((from + row) * self.per_row()) as i32;
            one.codes.iter_mut().zip(&*plain).for_each(|(to, &code)| *to = base.wrapping_add(code));
            let here = any_nan(held);
            nan |= here;
            let run = if here { along::<K, true> } else { along::<K, false> };
            let codes = codes_mut::<K>(best.codes, if K::P::KEPT { row * pitch..(row + 1) * pitch } else { 0..0 });
            let (one, two) =
                (Maxima { values: &mut *one.values, codes: &mut *one.codes }, Maxima { values: &mut *two.values, codes: &mut *two.codes });
            run(Maxima { values, codes }, one, two, s.cols.taps, channels);
        }
        nan
    }

    /// Elements of a block of rows of `pitch` that are compared at a time.
    fn step(&self, pitch: usize) -> usize {
        (ROOM / (self.s.rows.taps + 1)).next_multiple_of(64).min(pitch)
    }

    /// Output rows `rows` of map `o`, channels `c .. c + channels`.
    fn strip(&self, o: usize, rows: Range<usize>, c: usize, channels: usize) -> Result {
        let s = &self.s;
        let (pitch, taps) = (s.cols.len() * channels, s.rows.taps);
        let windows: Vec<(usize, usize)> = rows.clone().map(|i| (s.rows.at(i).0, s.rows.at(i).0 + s.rows.at(i).1)).collect();
        let (from, end) = (windows[0].0, windows[windows.len() - 1].1);
        let windows: Vec<(usize, usize)> = windows.iter().map(|w| (w.0 - from, w.1 - from)).collect();
        let len = (end - from + rows.len()) * pitch + 3 * self.wide(channels) + (taps + 1) * self.step(pitch);
        scratch::with_two(len, if K::P::KEPT { len } else { 0 }, |values, codes| {
            let mut room = Room { values, codes };
            let mut best = room.cut::<K>((end - from) * pitch);
            let found = room.cut::<K>(rows.len() * pitch);
            let nan = self.rows(&mut best, &mut room, o, from, c, channels);
            let whole = channels == s.inner;
            let first = (o * s.rows.len() + rows.start) * s.cols.len() * s.inner;
            // SAFETY: a task that takes all channels owns its output rows.
            let to = if whole { unsafe { self.y.slice(first, rows.len() * pitch) } } else { &mut *found.values };
            let held = room.cut::<K>((taps + 1) * self.step(pitch));
            let run = if nan { down::<K, true> } else { down::<K, false> };
            for start in (0..pitch).step_by(self.step(pitch)) {
                let some = start..(start + self.step(pitch)).min(pitch);
                let held = Maxima { values: &mut *held.values, codes: &mut *held.codes };
                run(to, found.codes, best.values, best.codes, &windows, &some, pitch, taps, held);
            }
            let values = if whole { &[][..] } else { &*found.values };
            self.write(values, found.codes, first + c, rows, channels);
        })
    }

    /// Copies what a strip found to where it belongs, `at` the first element.
    fn write(&self, values: &[K::T], codes: &[i32], at: usize, rows: Range<usize>, channels: usize) {
        let s = &self.s;
        let (ow, inner) = (s.cols.len(), s.inner);
        let pitch = ow * channels;
        for (row, values) in values.chunks_exact(pitch).enumerate() {
            for (j, values) in values.chunks_exact(channels).enumerate() {
                // SAFETY: a task owns these channels of its output rows.
                unsafe { self.y.slice(at + (row * ow + j) * inner, channels) }.copy_from_slice(values);
            }
        }
        if !K::P::KEPT {
            return;
        }
        let left = |e: usize| if K::P::TAP { s.cols.at(e / channels).0 as i32 } else { 0 };
        let lefts: Vec<i32> = (0..pitch).map(left).collect();
        let (pieces, len) = if channels == inner { (1, pitch) } else { (ow, channels) };
        for ((row, code), i) in codes.chunks_exact(pitch).enumerate().zip(rows) {
            let base = if K::P::TAP { (s.rows.at(i).0 * self.per_row()) as i32 } else { 0 };
            for j in 0..pieces {
                // SAFETY: as above.
                let place = unsafe { self.place.slice(at + (row * ow + j) * inner, len) };
                put_places::<K>(place, &code[j * len..(j + 1) * len], &lefts[j * len..(j + 1) * len], base);
            }
        }
    }
}

/// Whether all windows slide by one pixel.
pub(crate) fn slides(s: &Shape<'_>) -> bool {
    start(&s.rows, s.h).is_some() && start(&s.cols, s.w).is_some()
}

/// All output rows, in strips of rows and blocks of channels; the windows slide.
pub(crate) fn forward<T: Float, P: Place>(y: &mut [T], place: &mut [P], x: &[T], outer: usize, s: Shape<'_>) -> Result {
    let (oh, ow) = (s.rows.len(), s.cols.len());
    let channels = if s.inner >= 2 * CHANNELS { CHANNELS } else { s.inner };
    // A plan of memory counts what a map with NaN takes, which is more.
    let (blocks, wide) = (s.inner / channels, !P::KEPT && pooling_blocks::pays::<T>(s.inner) && !planning::is_on());
    let strips = TASKS.div_ceil(outer * blocks).min(oh / (4 * s.rows.taps)).max(1);
    let strip = if wide { oh.div_ceil(strips) } else { (STRIP / (ow * channels)).max(4 * s.rows.taps).min(oh) };
    let strips = oh.div_ceil(strip);
    let (top, left) = (start(&s.rows, s.h).unwrap_or(0), start(&s.cols, s.w).unwrap_or(0));
    let job = Job::<Of<T, P>> { y: Shared::new(y), place: Shared::new(place), x, s, left };
    let map = Map { y: job.y, x, size: [s.h, s.w], inner: s.inner, outputs: [oh, ow], left, taps: s.cols.taps };
    let failed = scratch::Failure::new();
    parallel(outer * strips * blocks, (strip * ow * channels).saturating_mul(8), |task| {
        let (o, rest) = (task / (strips * blocks), task % (strips * blocks));
        let (first, block) = (rest / blocks * strip, rest % blocks);
        // The last block takes the channels that are left over.
        let c = block * channels;
        let channels = if block + 1 == blocks { s.inner - c } else { channels };
        let rows = first..(first + strip).min(oh);
        let done = if wide { map.strip(o, Axis::new(top, s.rows.taps, s.h, rows.clone()), c..c + channels) } else { Ok(0) };
        failed.note(done.and_then(|done| if done < channels { job.strip(o, rows, c + done, channels - done) } else { Ok(()) }));
    });
    failed.result()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of `taps` pixels around each of `n`.
    fn around(n: usize, taps: usize) -> Vec<i64> {
        let ends = |i: usize| (i.saturating_sub(taps / 2), (i + taps - taps / 2).min(n));
        (0..n).map(ends).flat_map(|(low, high)| [low as i64, (high - low) as i64]).collect()
    }

    fn same<T: Float, P: Place + PartialEq + std::fmt::Debug>(
        outer: usize,
        (h, w, inner): (usize, usize, usize),
        taps: (usize, usize),
        strange: f64,
    ) {
        let odd = [0.0, -0.0, strange, f64::NEG_INFINITY, 1.0, f64::NEG_INFINITY];
        let value = |i: usize| if i % 11 < 3 { odd[i * 7919 % 6] } else { (i * 7919 % 13) as f64 - 6.0 };
        let x: Vec<T> = (0..outer * h * w * inner).map(|i| T::of(value(i))).collect();
        let (rows, cols) = (around(h, taps.0), around(w, taps.1));
        let rows = Windows::new("rows", &rows, h, h, taps.0, 1).unwrap();
        let s = Shape { rows, cols: Windows::new("columns", &cols, w, w, taps.1, 1).unwrap(), h, w, inner };
        assert!(slides(&s));
        let bits = |y: &[T]| y.iter().map(|v| (v.is_nan(), (T::ONE / *v).to_f64().to_bits(), v.to_f64().to_bits())).collect::<Vec<_>>();
        let (mut want, mut places) = (vec![T::ZERO; x.len()], vec![P::of(0); x.len()]);
        crate::pooling_separable::forward(&mut want, &mut places, &x, outer, s).unwrap();
        for level in 0..3 {
            crate::simd::set_level(level);
            let (mut y, mut place) = (vec![T::ZERO; x.len()], vec![P::of(0); x.len()]);
            forward(&mut y, &mut place, &x, outer, s).unwrap();
            assert_eq!((bits(&y), place), (bits(&want), places.clone()));
        }
        crate::simd::set_level(2);
    }

    #[test]
    fn the_same_bits_and_places_as_tap_by_tap() {
        let sizes = [
            ((20, 33, 1), (5, 5)),
            ((9, 12, 70), (3, 9)),
            ((40, 7, 3), (13, 4)),
            ((1, 30, 16), (1, 13)),
            ((12, 12, 130), (7, 2)),
            ((70, 9, 40), (5, 6)),
            ((13, 700, 16), (5, 9)),
        ];
        for (size, taps) in sizes {
            for strange in [f64::NAN, f64::INFINITY, -1.0] {
                same::<f32, ()>(2, size, taps, strange);
                same::<f32, u8>(2, size, taps, strange);
                same::<f64, ()>(1, size, taps, strange);
                same::<f64, i64>(1, size, taps, strange);
            }
        }
    }

    #[test]
    fn other_windows_do_not_slide() {
        let bins = [0, 3, 2, 3, 5, 3];
        let windows = Windows::new("bins", &bins, 8, 3, 3, 1).unwrap();
        assert!(start(&windows, 8).is_none());
    }
}
