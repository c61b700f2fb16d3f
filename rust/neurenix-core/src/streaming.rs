//! Writing past the caches: a large result is not read again before it has left them, and a line that is written whole need not
//! be fetched first.

use crate::levels;

/// Results of more bytes are written past the caches.
const LARGE: usize = 8 << 20;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Whether a result of so many bytes is written past the caches.
pub(crate) fn pays(bytes: usize) -> bool {
    bytes > LARGE
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
            crate::simd::set_level(level);
            for (start, n) in [(0, 5000), (1, 4999), (3, 7), (5, 0), (17, 4096), (2, 64)] {
                let mut y = vec![T::from(255); 5000];
                // SAFETY: `n` elements from `start` on lie inside both.
                unsafe { copy(x.as_ptr().add(start / 2), y.as_mut_ptr().add(start), n) };
                crate::simd::settle();
                assert_eq!(y[start..start + n], x[start / 2..start / 2 + n]);
                assert!(y[..start].iter().chain(&y[start + n..]).all(|&v| v == T::from(255)));
            }
        }
        crate::simd::set_level(2);
    }

    #[test]
    fn what_is_streamed_arrives_and_nothing_else() {
        same::<u8>();
        same::<u16>();
        same::<f32>();
        same::<f64>();
    }
}
