//! The gradient of max pooling, in the order of outputs whichever way it is computed.

use crate::levels;
use crate::pooling::{Shape, Windows};
use crate::simd::Float;
use crate::threads::{Shared, parallel};

/// Channels of one task that scatters.
const BLOCK: usize = 16;
/// Elements of one task that gathers.
const TASK: usize = 1 << 14;

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

levels! {
    fn gather_row<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], s: &Shape<'_>, k: usize) {
        for j in 0..s.cols.len() {
            let (left, count) = s.cols.at(j);
            let dy = &dy[j * s.inner..(j + 1) * s.inner];
            let tap = &tap[j * s.inner..(j + 1) * s.inner];
            for l in 0..count {
                let at = (left + l * s.cols.step) * s.inner;
                let number = (k * s.cols.taps + l) as u8;
                for ((dx, &dy), &tap) in dx[at..at + s.inner].iter_mut().zip(dy).zip(tap) {
                    *dx += if tap == number { dy } else { T::ZERO };
                }
            }
        }
    }
}

levels! {
    /// Windows of 2x2 pixels, 2 apart, in a plane: nothing overlaps.
    fn pair_row<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], number: u8) {
        for ((dx, &dy), &tap) in dx.chunks_exact_mut(2).zip(dy).zip(tap) {
            dx[0] = if tap == number { dy } else { T::ZERO };
            dx[1] = if tap == number + 1 { dy } else { T::ZERO };
        }
    }
}

/// Rows of the gradient, each gathered from the outputs whose windows hold it.
fn gather<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], s: &Shape<'_>) {
    let (oh, pitch, opitch) = (s.rows.len(), s.w * s.inner, s.cols.len() * s.inner);
    let holders = holders(&s.rows, s.h);
    let pairs = s.inner == 1 && s.cols.taps == 2 && (0..s.cols.len()).all(|j| s.cols.at(j) == (2 * j, 2)) && s.cols.step == 1;
    let total = dx.len() / pitch;
    let group = (TASK / pitch).max(1);
    let shared = Shared::new(dx);
    parallel(total.div_ceil(group), group * pitch * 2, |task| {
        for row in task * group..(task * group + group).min(total) {
            // SAFETY: a task owns its rows.
            let dx = unsafe { shared.slice(row * pitch, pitch) };
            let (o, r) = (row / s.h, row % s.h);
            let (first, last) = holders[r];
            let once = pairs && last == first + 1;
            dx[if once { 2 * s.cols.len() } else { 0 }..].fill(T::ZERO);
            for i in first..last {
                let (top, count) = s.rows.at(i);
                if r < top || !(r - top).is_multiple_of(s.rows.step) || (r - top) / s.rows.step >= count {
                    continue;
                }
                let k = (r - top) / s.rows.step;
                let at = (o * oh + i) * opitch;
                let (dy, tap) = (&dy[at..at + opitch], &tap[at..at + opitch]);
                if once {
                    pair_row(dx, dy, tap, (k * 2) as u8);
                } else {
                    gather_row(dx, dy, tap, s, k);
                }
            }
        }
    });
}

/// Whole planes of a block of channels, each output added where it came from.
fn scatter<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], outer: usize, s: &Shape<'_>) {
    let (oh, ow, inner) = (s.rows.len(), s.cols.len(), s.inner);
    let plane = s.h * s.w * inner;
    let blocks = inner.div_ceil(BLOCK);
    let offsets: Vec<usize> = (0..256).map(|t| (t / s.cols.taps * s.rows.step * s.w + t % s.cols.taps * s.cols.step) * inner).collect();
    let shared = Shared::new(dx);
    parallel(outer * blocks, (plane + 4 * oh * ow * inner) / blocks, |task| {
        let (o, c) = (task / blocks, task % blocks * BLOCK);
        let channels = BLOCK.min(inner - c);
        // SAFETY: a task owns these channels of this map; pieces of different tasks do not overlap.
        let piece = |at: usize, len: usize| unsafe { shared.slice(o * plane + at, len) };
        if blocks == 1 {
            piece(0, plane).fill(T::ZERO);
        } else {
            (0..s.h * s.w).for_each(|p| piece(p * inner + c, channels).fill(T::ZERO));
        }
        for i in 0..oh {
            for j in 0..ow {
                let from = ((o * oh + i) * ow + j) * inner + c;
                let base = (s.rows.at(i).0 * s.w + s.cols.at(j).0) * inner + c;
                for (n, (&dy, &tap)) in dy[from..from + channels].iter().zip(&tap[from..from + channels]).enumerate() {
                    let at = base + offsets[usize::from(tap)] + n;
                    if at < plane {
                        piece(at, 1)[0] += dy;
                    }
                }
            }
        }
    });
}

/// The map's gradient from the outputs' and the number of the tap that each took.
pub(crate) fn backward<T: Float>(dx: &mut [T], dy: &[T], tap: &[u8], outer: usize, s: Shape<'_>) {
    if dx.is_empty() {
        return;
    }
    if dy.is_empty() {
        dx.fill(T::ZERO);
        return;
    }
    let tests = s.rows.taps * s.cols.taps * s.rows.len() * s.cols.len();
    let planar = s.inner == 1 && !(s.cols.taps == 2 && s.rows.taps == 2);
    if planar || tests > 3 * s.h * s.w {
        scatter(dx, dy, tap, outer, &s);
    } else {
        gather(dx, dy, tap, &s);
    }
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
}
