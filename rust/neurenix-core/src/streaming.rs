//! Writing past the caches: a large result is not read again before it has left them, and a line that is written whole need not
//! be fetched first.

use std::ops::Range;

use crate::levels;
use crate::simd::{self, Number};

/// Results of more bytes are written past the caches.
const LARGE: usize = 8 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Elements of a computed result that are held before they are written past the caches: they stay in the first one.
const HELD: usize = 2048;

/// Whether a result of so many bytes is written past the caches.
pub(crate) fn pays(bytes: usize) -> bool {
    bytes > LARGE
}

/// Whether a result of so many bytes, which is computed and not copied, is written past the caches: it waits in the first one for
/// that. Measured to pay with AVX2. With AVX-512 a sum gained nothing; norms have not been measured there.
pub(crate) fn pays_for_computed(bytes: usize) -> bool {
    bytes >= LARGE && cfg!(target_arch = "x86_64") && simd::level() == 1
}

/// Has `f` fill parts of `y`, each some times `width` elements long, with where each lies; past the caches where it `streams`.
pub(crate) fn fill<T: Number>(y: &mut [T], width: usize, streams: bool, f: impl Fn(&mut [T], Range<usize>)) {
    let (len, part) = (y.len(), HELD / width.max(1) * width);
    if !streams || part == 0 {
        return f(y, 0..len);
    }
    let mut held = [T::ZERO; HELD];
    for first in (0..len).step_by(part) {
        let n = part.min(len - first);
        f(&mut held[..n], first..first + n);
        // SAFETY: `n` elements of both, which do not overlap.
        unsafe { copy(held.as_ptr(), y[first..first + n].as_mut_ptr(), n) };
    }
    simd::settle();
}

levels! {
    fn stream_lines<T, V>(to: &mut [T], from: &[T]) {
        let n = to.len().min(from.len());
        debug_assert!(n.is_multiple_of(V::N) && to.as_ptr().addr().is_multiple_of(LINE));
        for i in (0..n).step_by(V::N) {
            // SAFETY: whole vectors inside both; `to` begins at a line, the length of some vectors.
            unsafe { V::load(from.as_ptr().add(i)).stream(to.as_mut_ptr().add(i)) };
        }
    }
}

/// Copies `n` elements past the caches; call [`settle`](crate::simd::settle) behind the last.
///
/// # Safety
/// As [`std::ptr::copy_nonoverlapping`].
pub(crate) unsafe fn copy<T: Copy>(from: *const T, to: *mut T, n: usize) {
    let size = size_of::<T>();
    let head = (to.addr().next_multiple_of(LINE) - to.addr()) / size;
    let lines = n.saturating_sub(head) * size / LINE;
    if !LINE.is_multiple_of(size) || !to.addr().is_multiple_of(size) || !from.addr().is_multiple_of(4) || lines == 0 {
        // SAFETY: as the caller says.
        unsafe { std::ptr::copy_nonoverlapping(from, to, n) };
        return;
    }
    let (whole, floats) = (lines * LINE / size, lines * LINE / 4);
    // SAFETY: parts of what the caller vouches for; bits that are moved as floats stay the same, and both addresses suit floats.
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, head);
        let (source, lines) = (from.add(head).cast::<f32>(), to.add(head).cast::<f32>());
        if source.is_aligned() {
            stream_lines(std::slice::from_raw_parts_mut(lines, floats), std::slice::from_raw_parts(source, floats));
        } else {
            std::ptr::copy_nonoverlapping(from.add(head), to.add(head), whole);
        }
        std::ptr::copy_nonoverlapping(from.add(head + whole), to.add(head + whole), n - head - whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same<T: Copy + PartialEq + std::fmt::Debug + From<u8>>() {
        let x: Vec<T> = (0..5000).map(|i| T::from((i % 251) as u8)).collect();
        for level in 0..3 {
            simd::set_level(level);
            for (start, n) in [(0, 5000), (1, 4999), (3, 7), (5, 0), (17, 4096), (2, 64)] {
                let mut y = vec![T::from(255); 5000];
                // SAFETY: `n` elements from `start` on lie inside both.
                unsafe { copy(x.as_ptr().add(start / 2), y.as_mut_ptr().add(start), n) };
                simd::settle();
                assert_eq!(y[start..start + n], x[start / 2..start / 2 + n]);
                assert!(y[..start].iter().chain(&y[start + n..]).all(|&v| v == T::from(255)));
            }
        }
        simd::set_level(2);
    }

    #[test]
    fn all_parts_are_filled() {
        for (start, n, width, streams) in [(0, 5000, 1, true), (3, 4999, 96, true), (1, 5000, 3000, true), (2, 100, 7, false)] {
            let mut y = vec![0f32; start + n];
            fill(&mut y[start..], width, streams, |y, at| {
                assert!(at.start.is_multiple_of(width) && y.len() == at.len());
                y.iter_mut().zip(at).for_each(|(y, at)| *y = at as f32 + 1.0);
            });
            assert!(y[start..].iter().enumerate().all(|(i, &v)| v == i as f32 + 1.0) && y[..start].iter().all(|&v| v == 0.0));
        }
    }

    #[test]
    fn what_is_streamed_arrives_and_nothing_else() {
        same::<u8>();
        same::<u16>();
        same::<f32>();
        same::<f64>();
    }
}
