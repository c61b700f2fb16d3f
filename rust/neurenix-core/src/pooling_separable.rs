//! Max pooling over large windows: first along rows, then along columns.
//!
//! "The first maximum, or the last NaN" is associative, so the result is that of the whole window, bit for bit.

use crate::error::Result;
use crate::levels;
use crate::pooling::{BLOCK, Kind, Of, Place, Shape, Windows};
use crate::pooling_rows::{Scratch, Thin, wide_row};
use crate::simd::{Float, Number};
use crate::threads::{Shared, parallel};

/// Channels of one task.
const CHANNELS: usize = 2 * BLOCK;
/// Elements that a strip of pooled rows holds, about.
const STRIP: usize = 1 << 15;

/// The first input row and the one after the last that output rows need.
fn reach(rows: &Windows<'_>, outputs: std::ops::Range<usize>) -> (usize, usize) {
    let ends = |i: usize| (rows.at(i).0, rows.at(i).0 + (rows.at(i).1.max(1) - 1) * rows.step + 1);
    outputs.map(ends).fold((usize::MAX, 0), |(low, high), (a, b)| (low.min(a), high.max(b)))
}

levels! {
    /// One output row from rows that are pooled along themselves: `best` values, `column` where each was.
    fn stack<K: Kind>(y: &mut [K::T], place: &mut [K::P], best: &[K::T], column: &[i32], s: &Shape<'_>, i: usize, from: usize, lefts: &[i32], code: &mut [i32]) {
        let (pitch, (top, count)) = (y.len(), s.rows.at(i));
        for k in 0..count {
            let row = top + k * s.rows.step;
            let number = if K::P::TAP { k * s.cols.taps } else { row * s.w } as i32;
            let v = &best[(row - from) * pitch..][..pitch];
            if K::P::KEPT {
                let (c, code) = (&column[(row - from) * pitch..][..pitch], &mut code[..pitch]);
                for l in 0..pitch {
                    // The first row stands where all are minus infinity.
                    let (a, b, old, new) = (y[l], v[l], code[l], number + c[l]);
                    let better = (b > a) | b.is_nan() | (k == 0);
                    y[l] = if better { b } else { a };
                    code[l] = if better { new } else { old };
                }
            } else {
                for l in 0..pitch {
                    let (a, b) = (y[l], v[l]);
                    y[l] = if (b > a) | b.is_nan() | (k == 0) { b } else { a };
                }
            }
        }
        for ((place, &code), &left) in place.iter_mut().zip(code.iter()).zip(lefts) {
            *place = K::P::of(code - if K::P::TAP { left } else { 0 });
        }
    }
}

/// What one call holds, shared by its tasks.
struct Job<'a, K: Kind> {
    y: Shared<'a, K::T>,
    place: Shared<'a, K::P>,
    x: &'a [K::T],
    s: Shape<'a>,
    thin: Thin,
}

impl<K: Kind> Job<'_, K> {
    /// Output rows `rows` of map `o`, channels `c .. c + channels`.
    fn strip(&self, o: usize, rows: std::ops::Range<usize>, c: usize, channels: usize) {
        let s = &self.s;
        let (ow, oh) = (s.cols.len(), s.rows.len());
        let pitch = ow * channels;
        let (from, to) = reach(&s.rows, rows.clone());
        let (mut best, mut column) = (vec![K::T::ZERO; (to - from) * pitch], vec![0; if K::P::KEPT { (to - from) * pitch } else { 0 }]);
        let line = Shape { rows: Windows { table: &[0, 1], step: 1, taps: 1 }, h: 1, ..*s };
        let mut scratch = Scratch::default();
        let mut empty = vec![(); if K::P::KEPT { 0 } else { pitch }];
        for row in from..to {
            let at = (o * s.h + row) * s.w * s.inner;
            let (x, at) = (&self.x[at..at + s.w * s.inner], (row - from) * pitch);
            let best = &mut best[at..at + pitch];
            let mut nothing = [];
            let column = if K::P::KEPT { &mut column[at..at + pitch] } else { &mut nothing };
            match (K::P::KEPT, s.inner >= BLOCK) {
                (true, true) => wide_row::<Of<K::T, i32>>(best, column, x, &line, 0, (c, channels), &mut scratch.codes),
                (true, false) => self.thin.row::<Of<K::T, i32>>(best, column, x, &line, 0, &mut scratch),
                (false, true) => wide_row::<Of<K::T, ()>>(best, &mut empty, x, &line, 0, (c, channels), &mut scratch.codes),
                (false, false) => self.thin.row::<Of<K::T, ()>>(best, &mut empty, x, &line, 0, &mut scratch),
            }
        }
        let lefts: Vec<i32> = (0..pitch).map(|e| s.cols.at(e / channels).0 as i32).collect();
        let (mut y, mut place) = (vec![K::T::ZERO; pitch], vec![K::P::of(0); pitch]);
        let mut code = vec![0; if K::P::KEPT { pitch } else { 0 }];
        for i in rows {
            stack::<K>(&mut y, &mut place, &best, &column, s, i, from, &lefts, &mut code);
            let at = (o * oh + i) * ow * s.inner + c;
            // A row that a task has alone is in one piece.
            let (pieces, len) = if channels == s.inner { (1, pitch) } else { (ow, channels) };
            for j in 0..pieces {
                // SAFETY: a task owns these channels of its output rows.
                let (to, kept) = unsafe { (self.y.slice(at + j * s.inner, len), self.place.slice(at + j * s.inner, len)) };
                to.copy_from_slice(&y[j * len..(j + 1) * len]);
                kept.copy_from_slice(&place[j * len..(j + 1) * len]);
            }
        }
    }
}

/// All output rows, in strips of rows and blocks of channels.
pub(crate) fn forward<T: Float, P: Place>(y: &mut [T], place: &mut [P], x: &[T], outer: usize, s: Shape<'_>) -> Result {
    let (oh, ow) = (s.rows.len(), s.cols.len());
    let channels = if s.inner >= 2 * CHANNELS { CHANNELS } else { s.inner };
    let blocks = s.inner / channels;
    let strip = (STRIP / (ow * channels)).max(s.rows.taps).min(oh);
    let strips = oh.div_ceil(strip);
    let job = Job::<Of<T, P>> { y: Shared::new(y), place: Shared::new(place), x, s, thin: Thin::new::<P>(&s) };
    parallel(outer * strips * blocks, (strip * ow * channels).saturating_mul(s.rows.taps), |task| {
        let (o, rest) = (task / (strips * blocks), task % (strips * blocks));
        let (first, block) = (rest / blocks * strip, rest % blocks);
        // The last block takes the channels that are left over.
        let c = block * channels;
        let channels = if block + 1 == blocks { s.inner - c } else { channels };
        job.strip(o, first..(first + strip).min(oh), c, channels);
    });
    Ok(())
}
