//! Strided views: what a permuted, sliced or broadcast array is to a kernel.

use crate::ensure_shape;
use crate::error::Result;

/// The most axes an array may have.
pub const MAX_AXES: usize = 16;

/// A readable strided view; strides are in elements, zero where an axis is broadcast.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    start: *const T,
    shape: &'a [usize],
    strides: &'a [isize],
}

/// A writable strided view; no two of its positions are the same element.
#[derive(Debug)]
pub struct ViewMut<'a, T> {
    start: *mut T,
    shape: &'a [usize],
    strides: &'a [isize],
}

// SAFETY: a shared view only reads.
unsafe impl<T: Sync> Send for View<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for View<'_, T> {}
// SAFETY: a view is the only way to its elements while it lives.
unsafe impl<T: Send> Send for ViewMut<'_, T> {}
// SAFETY: `&ViewMut` only gives its geometry and a raw pointer.
unsafe impl<T: Send> Sync for ViewMut<'_, T> {}

impl<'a, T> View<'a, T> {
    /// A view of memory described by its first element, shape and strides.
    ///
    /// # Safety
    /// Every position inside `shape` is a readable element for `'a`, and nobody writes it meanwhile.
    pub unsafe fn new(start: *const T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { start, shape, strides }
    }
    /// The address of position (0, ..., 0).
    pub fn as_ptr(&self) -> *const T {
        self.start
    }
    /// Sizes of the axes.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }
    /// Steps of the axes in elements.
    pub fn strides(&self) -> &'a [isize] {
        self.strides
    }
}

impl<'a, T> ViewMut<'a, T> {
    /// A view of memory described by its first element, shape and strides.
    ///
    /// # Safety
    /// Every position inside `shape` is a writable element for `'a` that no other position and nobody else names.
    pub unsafe fn new(start: *mut T, shape: &'a [usize], strides: &'a [isize]) -> Self {
        Self { start, shape, strides }
    }
    /// The address of position (0, ..., 0).
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
    /// Sizes of the axes.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }
    /// Steps of the axes in elements.
    pub fn strides(&self) -> &'a [isize] {
        self.strides
    }
}

/// Where a walk is: the offsets of an inner loop in each view, and its index on the outer axes.
#[derive(Debug, Clone, Copy)]
pub struct Place<const K: usize> {
    /// In elements from position (0, ..., 0).
    pub offsets: [isize; K],
    index: [usize; MAX_AXES],
}

/// A walk over several views of one shape: axes ordered and joined so that the inner loop is as long as it can be.
#[derive(Debug, Clone)]
pub struct Walk<const K: usize> {
    /// Sizes, outermost first, never empty; the last is the inner loop's.
    pub shape: Vec<usize>,
    /// Steps of each view along each of these axes.
    pub steps: Vec<[isize; K]>,
}

impl<const K: usize> Walk<K> {
    /// Plans the walk; the first view decides the order of the axes (its largest step outermost).
    ///
    /// # Errors
    /// [`crate::error::Error::Shape`] when the strides do not belong to the shape.
    pub fn new(shape: &[usize], strides: [&[isize]; K]) -> Result<Self> {
        ensure_shape!(shape.len() <= MAX_AXES, "expected at most {MAX_AXES} axes, got {}", shape.len());
        ensure_shape!(strides.iter().all(|s| s.len() == shape.len()), "expected one stride an axis of {shape:?}");
        let mut axes: Vec<(usize, [isize; K])> =
            (0..shape.len()).filter(|&i| shape[i] != 1).map(|i| (shape[i], std::array::from_fn(|k| strides[k][i]))).collect();
        axes.sort_by_key(|(_, steps)| std::cmp::Reverse(steps.map(isize::unsigned_abs)));
        let mut joined: Vec<(usize, [isize; K])> = Vec::new();
        for (size, steps) in axes {
            match joined.last_mut() {
                Some((outer, above)) if (0..K).all(|k| above[k] == steps[k] * size as isize) => {
                    *outer *= size;
                    *above = steps;
                }
                _ => joined.push((size, steps)),
            }
        }
        if joined.is_empty() {
            joined.push((1, [1; K]));
        }
        Ok(Self { shape: joined.iter().map(|a| a.0).collect(), steps: joined.iter().map(|a| a.1).collect() })
    }

    /// Length of the inner loop.
    pub fn inner(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Steps of the inner loop.
    pub fn inner_steps(&self) -> [isize; K] {
        self.steps[self.steps.len() - 1]
    }

    /// The number of inner loops.
    pub fn rows(&self) -> usize {
        self.shape[..self.shape.len() - 1].iter().product()
    }

    /// Inner loop `row` as a place that [`Self::advance`] moves on from.
    pub fn place(&self, row: usize) -> Place<K> {
        let mut index = [0; MAX_AXES];
        let mut rest = row;
        for axis in (0..self.shape.len() - 1).rev() {
            index[axis] = rest % self.shape[axis];
            rest /= self.shape[axis];
        }
        Place { offsets: self.offsets(row), index }
    }

    /// Moves on to the next inner loop, without a division.
    #[inline]
    pub fn advance(&self, place: &mut Place<K>) {
        for axis in (0..self.shape.len() - 1).rev() {
            let (size, steps) = (self.shape[axis], &self.steps[axis]);
            place.index[axis] += 1;
            let back = if place.index[axis] < size { 0 } else { size as isize };
            for (offset, step) in place.offsets.iter_mut().zip(steps) {
                *offset += step - back * step;
            }
            if back == 0 {
                return;
            }
            place.index[axis] = 0;
        }
    }

    /// Where inner loop `row` starts in each view, in elements from position (0, ..., 0).
    pub fn offsets(&self, row: usize) -> [isize; K] {
        let mut rest = row;
        let mut offsets = [0; K];
        for axis in (0..self.shape.len() - 1).rev() {
            let index = (rest % self.shape[axis]) as isize;
            rest /= self.shape[axis];
            for (offset, step) in offsets.iter_mut().zip(self.steps[axis]) {
                *offset += index * step;
            }
        }
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_last_operands_join_into_one_loop() {
        let strides: &[isize] = &[60, 1, 20, 4]; // (2, 4, 3, 5) in N, H, W, C memory
        let walk = Walk::new(&[2, 4, 3, 5], [strides, strides]).unwrap();
        assert_eq!((walk.shape.as_slice(), walk.inner_steps()), ([120].as_slice(), [1, 1]));
    }

    #[test]
    fn a_broadcast_axis_stays_apart() {
        let walk = Walk::new(&[3, 4], [&[4, 1], &[0, 1]]).unwrap();
        assert_eq!((walk.rows(), walk.inner(), walk.offsets(2)), (3, 4, [8, 0]));
    }

    #[test]
    fn advancing_visits_every_row() {
        let walk = Walk::new(&[2, 3, 5, 4], [&[1000, 200, 20, 3], &[0, 1, 7, 50]]).unwrap();
        let mut place = walk.place(1);
        for row in 1..walk.rows() {
            assert_eq!(place.offsets, walk.offsets(row));
            walk.advance(&mut place);
        }
    }
}
