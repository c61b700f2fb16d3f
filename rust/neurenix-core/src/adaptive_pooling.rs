//! Averages over the bins of several grids in one pass over a map.
//!
//! Each grid's sums are those of [`resize`](crate::resize) with its tables: rows are combined first, in order, then columns. A
//! pass that keeps one sum a grid adds in that order, so the bits are those of separate calls.

use crate::conv::scratch;
use crate::ensure_shape;
use crate::error::{Error, Result, expect_len};
use crate::levels;
use crate::resize::{WIDE, resize};
use crate::resize_rows::divide;
use crate::simd::{Float, prefetch};
use crate::threads::{self, Shared, parallel};

/// Rows that are added at once: more are more streams than a processor follows.
const ROWS: usize = 8;
/// Elements of each row that are added before the next rows.
const RUN: usize = 2048;
/// Elements of the sums of all bins along rows: they stay in the second cache.
const ROOM: usize = 1 << 15;
/// Channels of one task are a multiple of this, where there are too few maps to share out.
const CHANNELS: usize = 64;

/// One axis of a grid: which pixels, or of the gradient which bins, each place takes, and what each bin's are multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Axis<'a, T> {
    windows: &'a [i64],
    pub weight: &'a [T],
    divisor: &'a [T],
}

impl<T: Float> Axis<'_, T> {
    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.weight.len()
    }

    /// First and count of place `i`.
    #[inline(always)]
    pub fn at(&self, i: usize) -> (usize, usize) {
        (self.windows[2 * i] as usize, self.windows[2 * i + 1] as usize)
    }
}

/// One grid; `first` is where its averages begin.
#[derive(Clone, Copy)]
pub(crate) struct Grid<'a, T> {
    pub rows: Axis<'a, T>,
    pub cols: Axis<'a, T>,
    pub first: usize,
}

/// Sizes of the map.
#[derive(Clone, Copy)]
pub(crate) struct Map {
    pub outer: usize,
    pub h: usize,
    pub w: usize,
    pub inner: usize,
}

/// The next `n` elements of a list.
fn taken<'a, T>(what: &str, list: &mut &'a [T], n: usize) -> Result<&'a [T]> {
    ensure_shape!(n <= list.len(), "{what}: expected {n} more elements of a table, got {}", list.len());
    let (some, rest) = list.split_at(n);
    *list = rest;
    Ok(some)
}

/// The grids whose numbers of bins are `bins`; `back` where windows are the bins of each pixel.
pub(crate) fn grids<'a, T: Float>(
    what: &str,
    mut windows: &'a [i64],
    mut weight: &'a [T],
    mut divisor: &'a [T],
    bins: &[i64],
    m: Map,
    back: bool,
) -> Result<Vec<Grid<'a, T>>> {
    let most = weight.len() as i64;
    ensure_shape!(bins.iter().all(|&b| (1..=most).contains(&b)), "{what}: expected 1 to {most} bins an axis, got {bins:?}");
    let mut axis = |n: usize, size: usize| {
        let (places, limit) = if back { (size, n) } else { (n, size) };
        let windows = taken(what, &mut windows, 2 * places)?;
        let inside = |w: &[i64]| w[0] >= 0 && w[1] >= 1 && w[0].checked_add(w[1]).is_some_and(|end| end as usize <= limit);
        ensure_shape!(windows.chunks_exact(2).all(inside), "{what}: expected windows inside {limit}");
        Ok::<_, Error>(Axis {
            windows,
            weight: taken(what, &mut weight, n)?,
            divisor: taken(what, &mut divisor, if back { 0 } else { n })?,
        })
    };
    let (mut found, mut first) = (Vec::new(), 0);
    for pair in bins.chunks_exact(2) {
        let (rows, cols) = (axis(pair[0] as usize, m.h)?, axis(pair[1] as usize, m.w)?);
        found.push(Grid { rows, cols, first });
        first += m.outer * rows.bins() * cols.bins() * m.inner;
    }
    ensure_shape!(windows.is_empty() && weight.is_empty() && divisor.is_empty(), "{what}: expected no more than {bins:?} bins");
    Ok(found)
}

/// Elements of all averages.
pub(crate) fn averages<T: Float>(grids: &[Grid<'_, T>], m: Map) -> usize {
    grids.last().map_or(0, |g| g.first + m.outer * g.rows.bins() * g.cols.bins() * m.inner)
}

/// A bin to whose sum a row is added: where its sums begin, in rows of sums, and whether these are its first rows.
struct Active<T> {
    bin: usize,
    weight: T,
    begins: bool,
}

/// Rows that lie in the same bins.
struct Segment<T> {
    rows: std::ops::Range<usize>,
    active: Vec<Active<T>>,
}

fn segments<T: Float>(grids: &[Grid<'_, T>]) -> Vec<Segment<T>> {
    let bins: Vec<(usize, usize, T)> = grids
        .iter()
        .flat_map(|g| (0..g.rows.bins()).map(|i| (g.rows.at(i).0, g.rows.at(i).0 + g.rows.at(i).1, g.rows.weight[i])))
        .collect();
    let mut ends: Vec<usize> = bins.iter().flat_map(|&(first, end, _)| [first, end]).collect();
    ends.sort_unstable();
    ends.dedup();
    let active = |first: usize, end: usize| {
        let inside = bins.iter().enumerate().filter(|(_, b)| b.0 <= first && b.1 >= end);
        inside.map(|(bin, b)| Active { bin, weight: b.2, begins: b.0 == first }).collect()
    };
    ends.windows(2).map(|e| Segment { rows: e[0]..e[1], active: active(e[0], e[1]) }).collect()
}

/// Which part of each row is added: `pixels` of `channels` elements from `start` on, `step` apart; rows, of which this is number
/// `row` of `h`, are `pitch` apart.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    pixels: usize,
    channels: usize,
    step: usize,
    pitch: usize,
    row: usize,
    h: usize,
}

impl Piece {
    /// From row `k` to what is read [`ROWS`] rows later: of this part of the map, or of the next.
    #[inline(always)]
    fn ahead(&self, k: usize) -> isize {
        let (rows, next) = ((ROWS * self.pitch) as isize, (self.pixels * self.step) as isize);
        if self.row + k + ROWS < self.h { rows } else { rows + next - (self.h * self.pitch) as isize }
    }
}

levels! {
    /// Adds `K` rows of `x` to the sums of the bins that they lie in; a bin's sums have `room` elements.
    fn add_rows<T, V, const K: usize>(sums: &mut [T], x: &[T], active: &[Active<T>], begins: bool, p: Piece, room: usize) {
        let last = p.start + (K - 1) * p.pitch + (p.pixels - 1) * p.step + p.channels;
        assert!(last <= x.len() && p.pixels * p.channels <= room && active.iter().all(|a| (a.bin + 1) * room <= sums.len()));
        let mut ahead = [0; K];
        for k in 0..K {
            ahead[k] = p.ahead(k);
        }
        for pixel in 0..p.pixels {
            for c in (0..p.channels).step_by(V::N) {
                let left = (p.channels - c).min(V::N);
                let mut rows = [V::splat(T::ZERO); K];
                // SAFETY: `c + N <= channels` (or the first lanes) of pixels of rows of `x` and of sums, as asserted.
                unsafe {
                    let from = x.as_ptr().add(p.start + pixel * p.step + c);
                    for k in 0..K {
                        let at = from.add(k * p.pitch);
                        rows[k] = if left == V::N { V::load(at) } else { V::load_first(at, left) };
                        prefetch(at.wrapping_offset(ahead[k]));
                    }
                    for a in active {
                        let (to, w) = (sums.as_mut_ptr().add(a.bin * room + pixel * p.channels + c), V::splat(a.weight));
                        let mut sum = match (begins && a.begins, left == V::N) {
                            (true, _) => w.mul(rows[0]),
                            (false, true) => w.fma(rows[0], V::load(to)),
                            (false, false) => w.fma(rows[0], V::load_first(to, left)),
                        };
                        for k in 1..K {
                            sum = w.fma(rows[k], sum);
                        }
                        if left == V::N { sum.store(to) } else { sum.store_first(to, left) }
                    }
                }
            }
        }
    }
}

levels! {
    /// `y = [y +] sum over l of weight * x[l]`, of `y.len()` channels.
    fn add_columns<T: Float>(y: &mut [T], x: &[T], weight: T, begins: bool) {
        let channels = y.len();
        for (l, x) in x.chunks_exact(channels).enumerate() {
            if l == 0 && begins {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = weight * x;
                }
            } else {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = weight.mul_add(x, *y);
                }
            }
        }
    }
}

/// One call: its grids, rows by their bins, and how it is shared out.
struct Job<'a, T> {
    grids: &'a [Grid<'a, T>],
    segments: Vec<Segment<T>>,
    m: Map,
    /// Bins along rows of all grids.
    bins: usize,
    channels: usize,
    pixels: usize,
}

impl<'a, T: Float> Job<'a, T> {
    fn new(grids: &'a [Grid<'a, T>], m: Map) -> Self {
        let bins = grids.iter().map(|g| g.rows.bins()).sum::<usize>();
        let blocks = threads::num_threads().div_ceil(m.outer).min(m.inner.div_ceil(CHANNELS));
        let channels = m.inner.div_ceil(blocks).next_multiple_of(CHANNELS).min(m.inner);
        let pixels = (RUN.min(ROOM / bins) / channels).clamp(1, m.w);
        Self { grids, segments: segments(grids), m, bins, channels, pixels }
    }

    fn run(&self, y: &Shared<'_, T>, x: &[T]) -> Result {
        let (m, blocks) = (self.m, self.m.inner.div_ceil(self.channels));
        let (plane, failed) = (m.h * m.w * m.inner, scratch::Failure::new());
        parallel(m.outer * blocks, m.h * m.w * self.channels * self.grids.len(), |task| {
            let (o, c) = (task / blocks, task % blocks * self.channels);
            let channels = self.channels.min(m.inner - c);
            let x = &x[o * plane..(o + 1) * plane];
            let room = self.pixels * channels;
            failed.note(scratch::with(self.bins * room, |sums: &mut [T]| {
                for first in (0..m.w).step_by(self.pixels) {
                    let some = self.pixels.min(m.w - first);
                    self.rows(sums, x, (first, some), (c, channels), room);
                    self.columns(y, sums, o, (first, some), (c, channels), room);
                }
                self.divide(y, o, c, channels);
            }));
        });
        failed.result()
    }

    /// The sums along rows of `pixels` columns from `first` on.
    fn rows(&self, sums: &mut [T], x: &[T], (first, pixels): (usize, usize), (c, channels): (usize, usize), room: usize) {
        let m = self.m;
        let pitch = m.w * m.inner;
        for segment in &self.segments {
            let mut r = segment.rows.start;
            while r < segment.rows.end {
                let some = segment.rows.end - r;
                let k = if some >= ROWS { ROWS } else { 1 << some.ilog2() };
                let start = r * pitch + first * m.inner + c;
                let piece = Piece { start, pixels, channels, step: m.inner, pitch, row: r, h: m.h };
                let begins = r == segment.rows.start;
                match k {
                    8 => add_rows::<T, 8>(sums, x, &segment.active, begins, piece, room),
                    4 => add_rows::<T, 4>(sums, x, &segment.active, begins, piece, room),
                    2 => add_rows::<T, 2>(sums, x, &segment.active, begins, piece, room),
                    _ => add_rows::<T, 1>(sums, x, &segment.active, begins, piece, room),
                }
                r += k;
            }
        }
    }

    /// Calls `f(average, i, j)` for `channels` of bin (i, j) of a grid.
    fn each(&self, g: &Grid<'_, T>, y: &Shared<'_, T>, o: usize, (c, channels): (usize, usize), mut f: impl FnMut(&mut [T], usize, usize)) {
        let (bh, bw) = (g.rows.bins(), g.cols.bins());
        for (i, j) in (0..bh).flat_map(|i| (0..bw).map(move |j| (i, j))) {
            let at = g.first + ((o * bh + i) * bw + j) * self.m.inner + c;
            // SAFETY: a task owns these channels of a map's averages.
            f(unsafe { y.slice(at, channels) }, i, j);
        }
    }

    /// Adds the sums along rows to the averages that their columns lie in.
    fn columns(
        &self,
        y: &Shared<'_, T>,
        sums: &[T],
        o: usize,
        (first, pixels): (usize, usize),
        (c, channels): (usize, usize),
        room: usize,
    ) {
        let mut bin = 0;
        for g in self.grids {
            self.each(g, y, o, (c, channels), |y, i, j| {
                let (left, count) = g.cols.at(j);
                let (from, to) = (left.max(first), (left + count).min(first + pixels));
                if from < to {
                    let sums = &sums[(bin + i) * room + (from - first) * channels..(bin + i) * room + (to - first) * channels];
                    add_columns(y, sums, g.cols.weight[j], from == left);
                }
            });
            bin += g.rows.bins();
        }
    }

    fn divide(&self, y: &Shared<'_, T>, o: usize, c: usize, channels: usize) {
        for g in self.grids {
            self.each(g, y, o, (c, channels), |y, i, j| {
                let by = g.rows.divisor[i] * g.cols.divisor[j];
                if by != T::ONE {
                    divide(y, by);
                }
            });
        }
    }
}

/// A grid's averages of planes, whose columns [`resize`] has its own way to add.
fn thin<T: Float>(y: &mut [T], x: &[T], g: &Grid<'_, T>, m: Map) -> Result {
    let table = |a: &Axis<'_, T>| {
        let (mut start, mut index, mut weight) = (vec![0i64], Vec::new(), Vec::new());
        for i in 0..a.bins() {
            let (first, count) = a.at(i);
            index.extend((first..first + count).map(|k| k as i64));
            weight.resize(index.len(), a.weight[i]);
            start.push(index.len() as i64);
        }
        (start, index, weight)
    };
    let (r, c) = (table(&g.rows), table(&g.cols));
    let ones = |a: &Axis<'_, T>| a.divisor.iter().all(|&d| d == T::ONE);
    let divided = !(ones(&g.rows) && ones(&g.cols));
    let (by_row, by_col) = (divided.then_some(g.rows.divisor), divided.then_some(g.cols.divisor));
    let (bh, bw) = (g.rows.bins(), g.cols.bins());
    resize(y, x, &r.0, &r.1, &r.2, &c.0, &c.1, &c.2, by_row, by_col, m.outer, m.h, m.w, m.inner, bh, bw)
}

/// For each grid in order, `y[o, i, j, c]`: the sum over bin (i, j) of `x[o, :, :, c]`, each row times the weight of its bin, then
/// each column; over the product of both divisors. `bins` holds the numbers of bins of each grid along rows and columns, the tables
/// those of each grid's rows and columns.
///
/// # Errors
/// [`Error::Shape`] when tables or slices do not fit the sizes, [`Error::Memory`] without scratch memory.
pub fn average_bins<T: Float>(
    y: &mut [T],
    x: &[T],
    windows: &[i64],
    weight: &[T],
    divisor: &[T],
    bins: &[i64],
    count: usize,
    outer: usize,
    h: usize,
    w: usize,
    inner: usize,
) -> Result {
    let m = Map { outer, h, w, inner };
    expect_len("average_bins: x", x.len(), &[outer, h, w, inner])?;
    expect_len("average_bins: bins", bins.len(), &[count, 2])?;
    let grids = grids("average_bins", windows, weight, divisor, bins, m, false)?;
    expect_len("average_bins: y", y.len(), &[averages(&grids, m)])?;
    if y.is_empty() {
        return Ok(());
    }
    if inner < WIDE {
        return grids.iter().try_for_each(|g| {
            let len = outer * g.rows.bins() * g.cols.bins() * inner;
            thin(&mut y[g.first..g.first + len], x, g, m)
        });
    }
    Job::new(&grids, m).run(&Shared::new(y), x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of `bins` bins over `n` pixels.
    fn windows(n: usize, bins: usize) -> Vec<i64> {
        (0..bins).flat_map(|i| [i * n / bins, ((i + 1) * n).div_ceil(bins) - i * n / bins]).map(|v| v as i64).collect()
    }

    #[test]
    fn memory_orders_and_levels_give_the_same_bits() {
        let (h, w, c, sizes) = (13, 11, 37, [1usize, 2, 3, 6]);
        let x: Vec<f32> = (0..h * w * c).map(|i| (i as f32 * 0.37).sin()).collect();
        let planes: Vec<f32> = (0..c).flat_map(|k| (0..h * w).map(move |p| p * c + k)).map(|i| x[i]).collect();
        let tables: Vec<i64> = sizes.iter().flat_map(|&b| [windows(h, b), windows(w, b)].concat()).collect();
        let bins: Vec<i64> = sizes.iter().flat_map(|&b| [b as i64; 2]).collect();
        let (ones, by): (Vec<f32>, Vec<f32>) = tables.chunks(2).map(|w| (1.0, w[1] as f32)).unzip();
        let run = |x: &[f32], outer, inner| {
            let mut y = vec![0.0; 50 * c];
            average_bins(&mut y, x, &tables, &ones, &by, &bins, 4, outer, h, w, inner).unwrap();
            y
        };
        let want = run(&planes, c, 1);
        for level in 0..3 {
            crate::simd::set_level(level);
            let (y, mut at) = (run(&x, 1, c), 0);
            for b in sizes {
                assert!((0..c).all(|k| (0..b * b).all(|p| y[at * c + p * c + k] == want[at * c + k * b * b + p])), "{level} {b}");
                at += b * b;
            }
        }
        crate::simd::set_level(2);
    }

    #[test]
    fn refuses_bins_outside() {
        let run = |windows: [i64; 4]| average_bins(&mut [0.0], &[1.0, 2.0], &windows, &[1.0; 2], &[1.0; 2], &[1, 1], 1, 1, 1, 2, 1);
        assert!(run([0, 1, 0, 2]).is_ok());
        assert!(matches!(run([0, 1, 1, 2]), Err(Error::Shape(_))));
        assert!(matches!(run([0, 1, 0, 0]), Err(Error::Shape(_))));
    }
}
