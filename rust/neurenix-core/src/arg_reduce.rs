//! Where the extreme elements of strided views are, over their last axes.

use crate::error::Result;
use crate::reduce::{Axes, COLUMNS, UNIT, offset};
use crate::simd::Number;
use crate::threads::{Shared, parallel};
use crate::view::View;
use crate::{ensure_argument, ensure_shape};

/// The logical index, among the folded positions, of the largest (`op` 0) or smallest (1) element; the first of equals, NaN
/// before all numbers.
///
/// # Errors
/// [`Error::Shape`] unless `index` has the kept sizes, [`Error::Argument`] where there is nothing to choose from.
pub fn arg_reduce<T: Number>(x: View<'_, T>, index: &mut [i64], kept: usize, op: usize) -> Result {
    ensure_shape!(kept <= x.shape().len(), "arg_reduce: expected at least {kept} axes, got {:?}", x.shape());
    let axes = Axes::new(&x, kept, true);
    ensure_shape!(index.len() == axes.outputs, "arg_reduce: expected {} results, got {}", axes.outputs, index.len());
    if index.is_empty() {
        return Ok(());
    }
    ensure_argument!(axes.count > 0, "arg_reduce: expected elements to choose from, got none");
    let better = |new: T, best: T| !best.is_nan() && (new.is_nan() || if op == 0 { new > best } else { new < best });
    let width = if axes.by_columns() { COLUMNS } else { 1 };
    let inner = if width > 1 { axes.kept.last().map_or(1, |a| a.0) } else { 1 };
    let blocks_of_row = inner.div_ceil(width);
    let blocks = axes.outputs / inner * blocks_of_row;
    let group = (UNIT / (axes.count * width).max(1)).max(1);
    let shared = Shared::new(index);
    parallel(blocks.div_ceil(group), group * axes.count * width, |task| {
        for block in task * group..blocks.min((task + 1) * group) {
            let column = block % blocks_of_row * width;
            let (first, n) = (block / blocks_of_row * inner + column, width.min(inner - column));
            let base = offset(&axes.kept, first);
            // SAFETY: blocks' outputs do not overlap; positions of the axes lie inside the view.
            unsafe {
                let to = shared.slice(first, n);
                let mut best = [T::ZERO; COLUMNS];
                let (size, step) = axes.folded.last().copied().unwrap_or((1, 1));
                for row in 0..axes.count / size {
                    let from = base + offset(&axes.folded[..axes.folded.len().saturating_sub(1)], row);
                    if n == 1 {
                        for i in 0..size {
                            let new = *x.as_ptr().offset(from + i as isize * step);
                            let place = (row * size + i) as i64;
                            if place == 0 || better(new, best[0]) {
                                (best[0], to[0]) = (new, place);
                            }
                        }
                        continue;
                    }
                    for i in 0..size {
                        let x = x.as_ptr().offset(from + i as isize * step);
                        let place = (row * size + i) as i64;
                        for (j, (to, best)) in to.iter_mut().zip(&mut best).enumerate() {
                            let new = *x.add(j);
                            if place == 0 || better(new, *best) {
                                (*best, *to) = (new, place);
                            }
                        }
                    }
                }
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_and_nan_before_all() {
        let data = [1.0f32, 3.0, 3.0, f32::NAN];
        for (n, want) in [(3, 1), (4, 3)] {
            let mut index = [0i64];
            let shape = [n];
            // SAFETY: inside `data`.
            let view = unsafe { View::new(data.as_ptr(), &shape, &[1]) };
            arg_reduce(view, &mut index, 0, 0).unwrap();
            assert_eq!(index, [want]);
        }
    }
}
