//! Connected regions of equal values in arrays of one to three axes.

use crate::error::{Result, expect_len};
use crate::simd::Number;

/// A step to a neighbour: along depth, height and width.
pub(crate) type Step = (isize, isize, isize);

/// The steps to all neighbours that differ along at most `connectivity` axes: straight ones first, then in order of memory.
pub(crate) fn neighbours(connectivity: usize) -> Vec<Step> {
    let reach = -1..=1isize;
    let mut steps = Vec::with_capacity(26);
    for axes in 1..=connectivity {
        for z in reach.clone() {
            for y in reach.clone() {
                steps.extend(
                    reach.clone().map(|x| (z, y, x)).filter(|&(z, y, x)| [z, y, x].iter().filter(|&&step| step != 0).count() == axes),
                );
            }
        }
    }
    steps
}

/// Refuses sizes that are not those of the arrays, and an unknown connectivity.
pub(crate) fn check(what: &str, len: usize, sizes: &[usize; 3], connectivity: usize) -> Result {
    expect_len(what, len, sizes)?;
    crate::ensure_argument!((1..=3).contains(&connectivity), "{what}: expected connectivity 1 to 3, got {connectivity}");
    Ok(())
}

/// The first pixel of the region that `at` belongs to so far; shortens the way for those who ask next.
fn root(parent: &mut [i64], mut at: usize) -> usize {
    while parent[at] as usize != at {
        let above = parent[parent[at] as usize];
        parent[at] = above;
        at = above as usize;
    }
    at
}

/// Numbers the regions of equal values other than 0, in the order of their first pixels: union and find, each root the
/// first pixel of its region.
///
/// # Errors
/// [`crate::error::Error::Shape`] unless both are (depth, height, width), [`crate::error::Error::Argument`] unless
/// connectivity is 1 to 3.
pub fn label<T: Number>(values: &[T], labels: &mut [i64], depth: usize, height: usize, width: usize, connectivity: usize) -> Result {
    check("label_components values", values.len(), &[depth, height, width], connectivity)?;
    check("label_components labels", labels.len(), &[depth, height, width], connectivity)?;
    if values.is_empty() {
        return Ok(());
    }
    let before: Vec<Step> = neighbours(connectivity).into_iter().filter(|&step| step < (0, 0, 0)).collect();
    for row in 0..depth * height {
        let (z, y) = (row / height, row % height);
        let there: Vec<(isize, isize)> = before
            .iter()
            .filter(|step| z.checked_add_signed(step.0).is_some() && y.checked_add_signed(step.1).is_some_and(|y| y < height))
            .map(|step| ((step.0 * height as isize + step.1) * width as isize + step.2, step.2))
            .collect();
        for x in 0..width {
            let at = row * width + x;
            if values[at] == T::ZERO {
                labels[at] = -1;
                continue;
            }
            let mut own = at as i64;
            for &(offset, dx) in &there {
                let inside = x.checked_add_signed(dx).is_some_and(|x| x < width);
                let other = at.wrapping_add_signed(offset);
                if !inside || values[other] != values[at] || labels[other] == own {
                    continue;
                }
                own = if own == at as i64 {
                    labels[other]
                } else {
                    let (a, b) = (root(labels, own as usize), root(labels, other));
                    labels[a.max(b)] = a.min(b) as i64;
                    a.min(b) as i64
                };
            }
            labels[at] = own;
        }
    }
    let mut count = 0;
    for at in 0..labels.len() {
        // A parent stands before its children, so it has its number already.
        labels[at] = match labels[at] {
            -1 => 0,
            parent if parent as usize == at => {
                count += 1;
                count
            }
            parent => labels[parent as usize],
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_faces_edges_and_corners() {
        assert_eq!([1, 2, 3].map(|c| neighbours(c).len()), [6, 18, 26]);
        assert_eq!(neighbours(1)[..2], [(-1, 0, 0), (0, -1, 0)]);
    }

    #[test]
    fn regions_that_meet_late_are_one() {
        let mut labels = [0; 9];
        label(&[1u8, 0, 1, 1, 0, 1, 1, 1, 1], &mut labels, 1, 3, 3, 1).unwrap();
        assert_eq!(labels, [1, 0, 1, 1, 0, 1, 1, 1, 1]);
        label(&[1u8, 0, 2, 0, 2, 0, 2, 0, 1], &mut labels, 1, 3, 3, 1).unwrap();
        assert_eq!(labels, [1, 0, 2, 0, 3, 0, 4, 0, 5]);
        label(&[1u8, 0, 2, 0, 2, 0, 2, 0, 1], &mut labels, 1, 3, 3, 2).unwrap();
        assert_eq!(labels, [1, 0, 2, 0, 2, 0, 2, 0, 3]);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(label(&[1u8; 4], &mut [0; 4], 1, 2, 3, 1).is_err());
        assert!(label(&[1u8; 6], &mut [0; 6], 1, 2, 3, 4).is_err());
        assert!(label::<u8>(&[], &mut [], 0, usize::MAX, 3, 1).is_ok());
    }
}
