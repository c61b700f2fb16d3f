//! The gradient of max pooling, in the order of outputs whichever way it is computed.

use std::ops::Range;

use crate::conv::scratch;
use crate::error::Result;
use crate::levels;
use crate::pooling::{Shape, Windows};
use crate::simd::{Float, prefetch_first};
use crate::threads::{Shared, parallel};

/// Channels that are compared at once.
const BLOCK: usize = 16;
/// Channels of one task that scatters.
const CHANNELS: usize = 256;
/// Elements of one task that gathers.
const TASK: usize = 1 << 14;
/// Elements of a strip of one task that scatters, about: they stay in the second cache.
const STRIP: usize = 1 << 16;

/// Tasks of maps whose channels are added side by side, at least, where the map is high enough.
const TASKS: usize = 16;
/// Channels, and outputs of a row, from which on channels are added side by side: fewer do not pay for a row's table of offsets.
const WIDE: usize = 32;
/// Pixels of outputs that are asked for ahead.
const AHEAD: usize = 12;
/// An offset that no place has.
const OUTSIDE: usize = usize::MAX / 2;

/// For each pixel of an axis the outputs whose windows may hold it: `first[i] .. last[i]`.
fn holders(windows: &Windows<'_>, n: usize) -> Vec<(usize, usize)> {
    let mut holders = vec![(0, 0); n];
    for o in 0..windows.len() {
        let (first, count) = windows.at(o);
        for k in 0..count {
            let pixel = &mut holders[first + k * windows.step];
            *pixel = (if pixel.1 == 0 { o } else { pixel.0 }, o + 1);
        }
    }
    holders
}

/// The gradients whose tap is `number`, zero in the other lanes.
#[inline(always)]
fn chosen<T: Float>(dy: &[T; BLOCK], tap: &[u8; BLOCK], number: u8) -> [T; BLOCK] {
    let mut chosen = [T::ZERO; BLOCK];
    for l in 0..BLOCK {
        chosen[l] = if tap[l] == number { dy[l] } else { T::ZERO };
    }
    chosen
}

/// Calls `f` on blocks of an output pixel's channels, `g` on each channel left over.
#[inline(always)]
fn in_blocks<T: Float>(dy: &[T], tap: &[u8], mut f: impl FnMut(usize, &[T; BLOCK], &[u8; BLOCK]), mut g: impl FnMut(usize, T, u8)) {
    let (blocks, rest) = dy.as_chunks::<BLOCK>();
    let (taps, others) = tap.as_chunks::<BLOCK>();
    blocks.iter().zip(taps).enumerate().for_each(|(b, (dy, tap))| f(b * BLOCK, dy, tap));
    let done = blocks.len() * BLOCK;
    rest.iter().zip(others).enumerate().for_each(|(c, (&dy, &tap))| g(done + c, dy, tap));
}

levels! {
    /// Adds row `k` of the windows of one output row to the pixels they cover.
    fn gather_row<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], s: &Shape<'_>, k: usize) {
        for (j, (dy, tap)) in dy.chunks_exact(s.inner).zip(tap.chunks_exact(s.inner)).enumerate() {
            let (left, count) = s.cols.at(j);
            for l in 0..count {
                let number = (k * s.cols.taps + l) as u8;
                let at = (left + l * s.cols.step) * s.inner;
                let dx = &mut dx[at..at + s.inner];
                let (blocks, rest) = dx.as_chunks_mut::<BLOCK>();
                in_blocks(
                    dy,
                    tap,
                    |c, dy, tap| {
                        let (dx, add) = (&mut blocks[c / BLOCK], chosen(dy, tap, number));
                        for n in 0..BLOCK {
                            dx[n] += add[n];
                        }
                    },
                    |c, dy, tap| rest[c % BLOCK] += if tap == number { dy } else { T::ZERO },
                );
            }
        }
    }
}

levels! {
    /// The same where every column lies in one window: written, not added.
    fn gather_once<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], s: &Shape<'_>, k: usize) {
        for (j, (dy, tap)) in dy.chunks_exact(s.inner).zip(tap.chunks_exact(s.inner)).enumerate() {
            let (left, count) = s.cols.at(j);
            for l in 0..count {
                let number = (k * s.cols.taps + l) as u8;
                let at = (left + l) * s.inner;
                let dx = &mut dx[at..at + s.inner];
                let (blocks, rest) = dx.as_chunks_mut::<BLOCK>();
                in_blocks(
                    dy,
                    tap,
                    |c, dy, tap| blocks[c / BLOCK] = chosen(dy, tap, number),
                    |c, dy, tap| rest[c % BLOCK] = if tap == number { dy } else { T::ZERO },
                );
            }
        }
    }
}

levels! {
    /// The same for windows of two columns in a plane.
    fn gather_pairs<T, V>(dx: &mut [T], dy: &[T], tap: &[u8], number: u8) {
        // Two blocks of lanes, first and second columns, become one of pairs.
        let index: [i32; 64] = std::array::from_fn(|e| (e % 2 * V::N + e / 2) as i32);
        let pairs = dx;
        let (wholes, _) = pairs.as_chunks_mut::<{ 2 * BLOCK }>();
        let done = wholes.len().min(dy.len() / BLOCK) * BLOCK;
        in_blocks(
            &dy[..done],
            &tap[..done],
            |p, dy, tap| {
                let (first, second) = (chosen(dy, tap, number), chosen(dy, tap, number + 1));
                let to = &mut wholes[p / BLOCK];
                let mut lanes = [T::ZERO; 64];
                for q in (0..BLOCK).step_by(V::N) {
                    lanes[..V::N].copy_from_slice(&first[q..q + V::N]);
                    lanes[V::N..2 * V::N].copy_from_slice(&second[q..q + V::N]);
                    // SAFETY: `lanes` and `index` hold `2 N` elements; `to` takes as many from `2 q` on.
                    unsafe {
                        V::pick(lanes.as_ptr(), index.as_ptr()).store(to.as_mut_ptr().add(2 * q));
                        V::pick(lanes.as_ptr(), index.as_ptr().add(V::N)).store(to.as_mut_ptr().add(2 * q + V::N));
                    }
                }
            },
            |_, _, _| {},
        );
        for (pair, (&dy, &tap)) in pairs[2 * done..].chunks_exact_mut(2).zip(dy[done..].iter().zip(&tap[done..])) {
            pair[0] = if tap == number { dy } else { T::ZERO };
            pair[1] = if tap == number + 1 { dy } else { T::ZERO };
        }
    }
}

/// Where the windows of an axis tile its beginning without gaps: the first pixel behind them.
fn tiled(windows: &Windows<'_>) -> Option<usize> {
    let mut next = 0;
    for o in 0..windows.len() {
        let (first, count) = windows.at(o);
        if first != next {
            return None;
        }
        next += count;
    }
    (windows.step == 1).then_some(next)
}

/// Rows of the gradient, each gathered from the outputs whose windows hold it.
fn gather<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], s: &Shape<'_>) {
    let (oh, pitch, opitch) = (s.rows.len(), s.w * s.inner, s.cols.len() * s.inner);
    let holders = holders(&s.rows, s.h);
    let end = tiled(&s.cols).filter(|_| tiled(&s.rows).is_some());
    let pairs = s.inner == 1 && end == Some(2 * s.cols.len()) && s.cols.taps == 2;
    let total = dx.len() / pitch;
    let group = (TASK / pitch).max(1);
    let shared = Shared::new(dx);
    parallel(total.div_ceil(group), group * pitch * 2, |task| {
        for row in task * group..(task * group + group).min(total) {
            // SAFETY: a task owns its rows.
            let dx = unsafe { shared.slice(row * pitch, pitch) };
            let (o, r) = (row / s.h, row % s.h);
            let (first, last) = holders[r];
            let once = end.filter(|_| last == first + 1);
            dx[once.unwrap_or(0) * s.inner..].fill(T::ZERO);
            for i in first..last {
                let (top, count) = s.rows.at(i);
                if r < top || !(r - top).is_multiple_of(s.rows.step) || (r - top) / s.rows.step >= count {
                    continue;
                }
                let k = (r - top) / s.rows.step;
                let at = (o * oh + i) * opitch;
                let (dy, tap) = (&dy[at..at + opitch], &tap[at..at + opitch]);
                match once {
                    Some(_) if pairs => gather_pairs(dx, dy, tap, (k * 2) as u8),
                    Some(_) => gather_once(dx, dy, tap, s, k),
                    None => gather_row(dx, dy, tap, s, k),
                }
            }
        }
    });
}

/// A part of the gradient that one task adds to: rows of a map, of which it owns some channels.
struct Strip<T> {
    start: *mut T,
    len: usize,
}

impl<T: Float> Strip<T> {
    /// Adds each of `dy` at `base`, its start and its tap's offset, if that lies inside.
    ///
    /// # Safety
    /// The strip's memory is there, and nobody else uses these channels of it.
    unsafe fn add(&self, dy: &[T], tap: &[u8], starts: &[usize], offsets: &[usize; 256], base: usize) {
        for ((&dy, &tap), &start) in dy.iter().zip(tap).zip(starts) {
            let at = base.wrapping_add(start).wrapping_add(offsets[usize::from(tap)]);
            if at < self.len {
                // SAFETY: inside; the rest is the caller's.
                unsafe { *self.start.add(at) += dy };
            }
        }
    }

    /// Adds all rows of outputs `rows` of a map, `dy` and `tap`; `first` is the strip's first row.
    ///
    /// # Safety
    /// The strip's memory is there, and nobody else uses channels `c .. c + channels` of it.
    unsafe fn add_rows(&self, dy: &[T], tap: &[u8], s: &Shape<'_>, rows: Range<usize>, first: usize, (c, channels): (usize, usize)) {
        let (inner, ow) = (s.inner, s.cols.len());
        let starts: Vec<usize> = (0..ow * channels).map(|e| s.cols.at(e / channels).0 * inner + c + e % channels).collect();
        let (offsets, piece) = (offsets(s), if channels == inner { ow * inner } else { channels });
        for i in rows {
            let base = (s.rows.at(i).0 * s.w * inner).wrapping_sub(first * s.w * inner);
            for (j, starts) in starts.chunks(piece).enumerate() {
                let at = (i * ow + j) * inner + c;
                // SAFETY: as the caller says: offsets are whole pixels.
                unsafe { self.add(&dy[at..at + piece], &tap[at..at + piece], starts, &offsets, base) };
            }
        }
    }
}

/// Strips of rows of a block of channels, each output added where it came from.
fn scatter<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], outer: usize, s: &Shape<'_>) {
    let (inner, oh, ow) = (s.inner, s.rows.len(), s.cols.len());
    let channels = if inner >= 2 * CHANNELS { CHANNELS } else { inner };
    let blocks = inner / channels;
    let reach = (s.rows.taps - 1) * s.rows.step;
    let strip = (STRIP / (s.w * channels)).max(4 * reach).clamp(1, s.h);
    let strips = s.h.div_ceil(strip);
    let holders = holders(&s.rows, s.h);
    let shared = Shared::new(dx);
    parallel(outer * strips * blocks, (strip + reach) * s.w * channels * 4, |task| {
        let (o, first, block) = (task / (strips * blocks), task / blocks % strips * strip, task % blocks);
        // The last block takes the channels that are left over.
        let c = block * channels;
        let channels = if block + 1 == blocks { inner - c } else { channels };
        let rows = first..(first + strip).min(s.h);
        let at = (o * s.h + first) * s.w * inner;
        let (pieces, piece) = if channels == inner { (1, rows.len() * s.w * inner) } else { (rows.len() * s.w, channels) };
        for i in 0..pieces {
            // SAFETY: a task owns these channels of its rows.
            unsafe { shared.slice(at + i * inner + c, piece) }.fill(T::ZERO);
        }
        let strip = Strip { start: shared.as_ptr().wrapping_add(at), len: rows.len() * s.w * inner };
        let some = holders[rows].iter().filter(|h| h.1 > 0);
        let (low, high) = some.fold((oh, 0), |(low, high), h| (low.min(h.0), high.max(h.1)));
        let map = o * oh * ow * inner..(o + 1) * oh * ow * inner;
        // SAFETY: the strip lies inside `dx`, and the task owns its channels.
        unsafe { strip.add_rows(&dy[map.clone()], &tap[map], s, low..high, first, (c, channels)) };
    });
}

/// The rows of a gradient that windows reach at a time, of channels side by side: they stay in the first caches, and do not evict
/// each other, as the rows of a wide map do that lie a power of two apart.
struct Ring<'a, T> {
    held: &'a mut [T],
    /// Rows that there is room for.
    slots: usize,
    /// Elements of a row.
    pitch: usize,
    /// The first row that is not written yet, and the first that is not begun.
    written: usize,
    begun: usize,
}

impl<T: Float> Ring<'_, T> {
    fn row(&mut self, row: usize) -> &mut [T] {
        let at = row % self.slots * self.pitch;
        &mut self.held[at..at + self.pitch]
    }

    /// Rows up to `end` are zero to begin with.
    fn begin(&mut self, end: usize) {
        for row in self.begun..end {
            self.row(row).fill(T::ZERO);
        }
        self.begun = self.begun.max(end);
    }

    /// Rows up to `end` are complete: they go to `put`.
    fn finish(&mut self, end: usize, put: impl Fn(usize, &[T])) {
        for row in self.written..end {
            self.begin(row + 1);
            put(row, self.row(row));
        }
        self.written = self.written.max(end);
    }
}

/// Adds the channels of one output pixel, whose window starts at `start`.
#[inline(always)]
fn add_pixel<T: Float>(held: &mut [T], dy: &[T], tap: &[u8], start: usize, offsets: &[usize; 256]) {
    for (l, (&dy, &tap)) in dy.iter().zip(tap).enumerate() {
        if let Some(sum) = held.get_mut(start + offsets[usize::from(tap)] + l) {
            *sum += dy;
        }
    }
}

/// Adds some channels of a row of outputs, of which `dy` and `tap` begin at the first, to the rows that are held.
fn add_side<T: Float>(held: &mut [T], dy: &[T], tap: &[u8], starts: &[usize], offsets: &[usize; 256], (inner, channels): (usize, usize)) {
    for (j, &start) in starts.iter().enumerate() {
        let at = j * inner;
        prefetch_first(dy.as_ptr().wrapping_add(at + AHEAD * inner));
        prefetch_first(tap.as_ptr().wrapping_add(at + AHEAD * inner));
        let (dy, tap) = (&dy[at..at + channels], &tap[at..at + channels]);
        match (<&[T; BLOCK]>::try_from(dy), <&[u8; BLOCK]>::try_from(tap)) {
            (Ok(dy), Ok(tap)) => add_pixel(held, dy, tap, start, offsets),
            _ => add_pixel(held, dy, tap, start, offsets),
        }
    }
}

/// Rows `rows` of map `o`, channels `c .. c + channels`: `put` gets each row.
fn side<T: Float>(
    held: &mut [T],
    (dy, tap, s): (&[T], &[u8], &Shape<'_>),
    (outputs, rows): (Range<usize>, Range<usize>),
    (c, channels): (usize, usize),
    put: impl Fn(usize, &[T]),
) {
    let (slots, pitch, ow) = (s.rows.taps, s.w * channels, s.cols.len());
    let starts: Vec<usize> = (0..ow).map(|j| s.cols.at(j).0 * channels).collect();
    let mut ring = Ring { held, slots, pitch, written: rows.start, begun: rows.start };
    for i in outputs {
        let (top, count) = s.rows.at(i);
        ring.finish(top.min(rows.end), &put);
        ring.begin((top + count).min(rows.end));
        let mut offsets = [OUTSIDE; 256];
        for k in (0..count).filter(|k| rows.contains(&(top + k))) {
            for l in 0..s.cols.taps {
                offsets[k * s.cols.taps + l] = (top + k) % slots * pitch + l * s.cols.step * channels;
            }
        }
        let at = i * ow * s.inner + c;
        add_side(ring.held, &dy[at..], &tap[at..], &starts, &offsets, (s.inner, channels));
    }
    ring.finish(rows.end, &put);
}

/// Whether windows of rows follow each other, and none is empty: what [`side_by_side`] wants.
fn follow(s: &Shape<'_>) -> bool {
    let rises = (1..s.rows.len()).all(|i| s.rows.at(i).0 >= s.rows.at(i - 1).0);
    let full = |windows: &Windows<'_>| (0..windows.len()).all(|i| windows.at(i).1 > 0);
    rises && s.rows.step == 1 && full(&s.rows) && full(&s.cols) && s.rows.taps.saturating_mul(s.cols.taps) <= 256
}

/// Blocks of channels, whose rows are held while windows reach them; few maps are cut into strips of rows.
fn side_by_side<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], outer: usize, s: &Shape<'_>) -> Result {
    let (inner, opitch) = (s.inner, s.rows.len() * s.cols.len() * s.inner);
    let blocks = inner.div_ceil(BLOCK);
    let strips = TASKS.div_ceil(outer * blocks).min(s.h / (4 * s.rows.taps)).max(1);
    let strip = s.h.div_ceil(strips);
    let (holders, shared, failed) = (holders(&s.rows, s.h), Shared::new(dx), scratch::Failure::new());
    parallel(outer * strips * blocks, (strip + s.rows.taps) * s.w * BLOCK * 4, |task| {
        // Neighbouring blocks of one strip, which share cache lines of taps, are neighbouring tasks.
        let (o, first, c) = (task / (strips * blocks), task / blocks % strips * strip, task % blocks * BLOCK);
        let (rows, channels) = (first.min(s.h)..(first + strip).min(s.h), BLOCK.min(inner - c));
        let some = holders[rows.clone()].iter().filter(|h| h.1 > 0);
        let (low, high) = some.fold((s.rows.len(), 0), |(low, high), h| (low.min(h.0), high.max(h.1)));
        let map = o * opitch..(o + 1) * opitch;
        let put = |row: usize, from: &[T]| {
            for (j, from) in from.chunks_exact(channels).enumerate() {
                // SAFETY: a task owns these channels of its rows.
                unsafe { shared.slice(((o * s.h + row) * s.w + j) * inner + c, channels) }.copy_from_slice(from);
            }
        };
        failed.note(scratch::with(s.rows.taps * s.w * channels, |held| {
            side(held, (&dy[map.clone()], &tap[map], s), (low..high.max(low), rows), (c, channels), put);
        }));
    });
    failed.result()
}

/// How far from a window's first pixel each of its taps lies, in elements.
fn offsets(s: &Shape<'_>) -> [usize; 256] {
    let mut offsets = [0; 256];
    for (tap, offset) in offsets.iter_mut().enumerate() {
        *offset = (tap / s.cols.taps * s.rows.step * s.w + tap % s.cols.taps * s.cols.step) * s.inner;
    }
    offsets
}

/// The map's gradient from the outputs' and the number of the tap that each took.
///
/// # Errors
/// [`crate::error::Error::Memory`].
pub(crate) fn backward<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], outer: usize, s: Shape<'_>) -> Result {
    if dx.is_empty() {
        return Ok(());
    }
    if dy.is_empty() {
        dx.fill(T::ZERO);
        return Ok(());
    }
    let tests = s.rows.taps.saturating_mul(s.cols.taps).saturating_mul(s.rows.len() * s.cols.len());
    let pairs = s.inner == 1 && s.cols.taps == 2 && tiled(&s.cols) == Some(2 * s.cols.len());
    let few = tests <= 3 * s.h * s.w;
    if s.inner >= WIDE && s.cols.len() >= WIDE && !few && follow(&s) {
        return side_by_side(dx, dy, tap, outer, &s);
    }
    if s.inner < BLOCK && !pairs || !few {
        scatter(dx, dy, tap, outer, &s);
    } else {
        gather(dx, dy, tap, &s);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_and_scatter_give_the_same_bits() {
        let (h, w, inner, oh, ow) = (5, 7, 5, 4, 6);
        let rows: Vec<i64> = (0..oh).flat_map(|i| [i, 2]).collect();
        let cols: Vec<i64> = (0..ow).flat_map(|i| [i, 2]).collect();
        let windows = |t, n, m| Windows::new("", t, n, m, 2, 1).unwrap();
        let s = Shape { rows: windows(&rows, h, oh as usize), cols: windows(&cols, w, ow as usize), h, w, inner };
        let dy: Vec<f32> = (0..oh as usize * ow as usize * inner).map(|i| (i as f32).sin()).collect();
        let tap: Vec<u8> = (0..dy.len()).map(|i| (i * 7 % 4) as u8).collect();
        let (mut a, mut b) = (vec![0.0; h * w * inner], vec![0.0; h * w * inner]);
        gather(&mut a, &dy, &tap, &s);
        scatter(&mut b, &dy, &tap, 1, &s);
        assert_eq!(a, b);
    }

    #[test]
    fn channels_side_by_side_give_the_same_bits() {
        for (h, w, inner, taps, stride, outer) in [(23, 9, 37, 5, 1, 1), (64, 5, 16, 3, 1, 2), (40, 8, 18, 4, 3, 1), (3, 4, 20, 7, 1, 1)] {
            let ends = |i: usize, n: usize| ((i * stride).saturating_sub(taps / 2), (i * stride + taps - taps / 2).min(n));
            let around = |n: usize| -> Vec<i64> {
                (0..n.div_ceil(stride)).map(|i| ends(i, n)).flat_map(|(low, high)| [low as i64, (high - low) as i64]).collect()
            };
            let (rows, cols) = (around(h), around(w));
            let windows = |t, n: usize| Windows::new("", t, n, n.div_ceil(stride), taps, 1).unwrap();
            let s = Shape { rows: windows(&rows, h), cols: windows(&cols, w), h, w, inner };
            assert!(follow(&s));
            let pixels = s.rows.len() * s.cols.len();
            let dy: Vec<f32> = (0..outer * pixels * inner).map(|i| (i as f32).sin()).collect();
            let held = |e: usize| (s.rows.at(e / inner % pixels / s.cols.len()).1, s.cols.at(e / inner % s.cols.len()).1);
            let tap: Vec<u8> = (0..dy.len()).map(|e| (e * 7919 / 3 % held(e).0 * taps + e * 31 / 7 % held(e).1) as u8).collect();
            let (mut a, mut b) = (vec![1.0; outer * h * w * inner], vec![2.0; outer * h * w * inner]);
            gather(&mut a, &dy, &tap, &s);
            side_by_side(&mut b, &dy, &tap, outer, &s).unwrap();
            assert_eq!(a, b);
        }
    }
}
