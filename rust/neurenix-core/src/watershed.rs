//! The watershed of an image by flooding from markers (Meyer): lowest pixels first, of equals the one that was reached first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::components::{check, neighbours};
use crate::error::{Error, Result, try_vec};
use crate::simd::Number;

/// A pixel that waits to be flooded, in the order of waiting: level, age, place, and the marker that reached it.
type Waiting = Reverse<(u64, u32, u32, u32)>;

/// Doubles as integers of the same order, NaN last.
fn rank(level: f64) -> u64 {
    let bits = level.to_bits();
    match (level.is_nan(), bits >> 63) {
        (true, _) => u64::MAX,
        (false, 0) => bits | 1 << 63,
        (false, _) => !bits,
    }
}

/// The image with a closed border of one pixel along each axis longer than 1, so that every step stays inside.
struct Sea<'a> {
    labels: &'a mut [i64],
    open: &'a mut [bool],
    levels: &'a [u64],
    steps: &'a [isize],
    heap: BinaryHeap<Waiting>,
    age: u32,
}

impl Sea<'_> {
    fn push(&mut self, waiting: (u64, u32, u32, u32)) -> Result {
        self.heap.try_reserve(1).map_err(|_| Error::Memory { bytes: self.heap.len() * size_of::<Waiting>() })?;
        self.heap.push(Reverse(waiting));
        Ok(())
    }

    /// Whether an open neighbour of `at` belongs to another marker than `label`'s.
    fn between(&self, at: usize, label: i64) -> bool {
        self.steps.iter().any(|&step| {
            let other = at.wrapping_add_signed(step);
            self.open[other] && self.labels[other] != 0 && self.labels[other] != label
        })
    }

    /// Labels pixels in order until none waits. With lines, a pixel gets its label when its turn comes, else when it is reached.
    fn flood<const LINE: bool>(&mut self) -> Result {
        while let Some(Reverse((_, _, at, source))) = self.heap.pop() {
            let here = at as usize;
            if LINE {
                if !self.open[here] || (self.labels[here] != 0 && at != source) {
                    continue; // reached from another side before
                }
                let label = self.labels[source as usize];
                if self.between(here, label) {
                    self.open[here] = false;
                } else {
                    self.labels[here] = label;
                }
            }
            for i in 0..self.steps.len() {
                let other = here.wrapping_add_signed(self.steps[i]);
                if self.open[other] && self.labels[other] == 0 {
                    if !LINE {
                        self.labels[other] = self.labels[here];
                    }
                    self.age += 1;
                    self.push((self.levels[other], self.age, other as u32, source))?;
                }
            }
        }
        Ok(())
    }
}

/// Floods `image` from the pixels whose marker is not 0, inside the mask; with `line` 1, pixels where two floods meet stay 0.
///
/// # Errors
/// [`Error::Shape`] unless all are (depth, height, width), [`Error::Argument`] unless connectivity is 1 to 3 and the pixels
/// can be counted in 32 bits.
#[allow(clippy::too_many_arguments)]
pub fn flood<T: Number>(
    image: &[T],
    markers: &[i64],
    mask: &[u8],
    labels: &mut [i64],
    depth: usize,
    height: usize,
    width: usize,
    connectivity: usize,
    line: usize,
) -> Result {
    let sizes = [depth, height, width];
    for (name, len) in [("image", image.len()), ("markers", markers.len()), ("mask", mask.len()), ("labels", labels.len())] {
        check(&format!("watershed_flood {name}"), len, &sizes, connectivity)?;
    }
    if image.is_empty() {
        return Ok(());
    }
    let padded = sizes.map(|n| n + 2 * usize::from(n > 1));
    let steps: Vec<isize> = neighbours(connectivity)
        .into_iter()
        .filter(|step| (depth > 1 || step.0 == 0) && (height > 1 || step.1 == 0) && (width > 1 || step.2 == 0))
        .map(|step| (step.0 * padded[1] as isize + step.1) * padded[2] as isize + step.2)
        .collect();
    let len = padded.iter().product::<usize>();
    crate::ensure_argument!(
        len.saturating_mul(steps.len() + 1) < u32::MAX as usize,
        "watershed: expected fewer than {} pixels, got {}; flood it in parts",
        u32::MAX as usize / (steps.len() + 1),
        image.len()
    );
    let place = |row: usize| {
        ((row / height + usize::from(depth > 1)) * padded[1] + row % height + usize::from(height > 1)) * padded[2] + usize::from(width > 1)
    };
    let (mut sea_labels, mut open, mut levels) = (try_vec(len, 0i64)?, try_vec(len, false)?, try_vec(len, 0u64)?);
    for row in 0..depth * height {
        for x in 0..width {
            let (from, to) = (row * width + x, place(row) + x);
            levels[to] = rank(image[from].to_f64());
            open[to] = mask[from] != 0;
            sea_labels[to] = if open[to] { markers[from] } else { 0 };
        }
    }
    let mut sea = Sea { labels: &mut sea_labels, open: &mut open, levels: &levels, steps: &steps, heap: BinaryHeap::new(), age: 0 };
    for at in (0..len).filter(|&at| sea.labels[at] != 0).collect::<Vec<_>>() {
        sea.push((levels[at], 0, at as u32, at as u32))?;
    }
    if line == 1 { sea.flood::<true>() } else { sea.flood::<false>() }?;
    for row in 0..depth * height {
        labels[row * width..][..width].copy_from_slice(&sea_labels[place(row)..][..width]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_basins_meet_on_the_ridge() {
        let image = [0.0f32, 1.0, 5.0, 2.0, 0.0];
        let markers = [1, 0, 0, 0, 2];
        let mut labels = [0; 5];
        flood(&image, &markers, &[1; 5], &mut labels, 1, 1, 5, 1, 0).unwrap();
        assert_eq!(labels, [1, 1, 1, 2, 2]);
        flood(&image, &markers, &[1; 5], &mut labels, 1, 1, 5, 1, 1).unwrap();
        assert_eq!(labels, [1, 1, 0, 2, 2]);
        flood(&image, &markers, &[1, 0, 1, 1, 1], &mut labels, 1, 1, 5, 1, 0).unwrap();
        assert_eq!(labels, [1, 0, 2, 2, 2]);
    }

    #[test]
    fn not_a_number_is_flooded_last() {
        let mut labels = [0; 4];
        flood(&[0.0f64, f64::NAN, 9.0, 0.0], &[1, 0, 0, 2], &[1; 4], &mut labels, 1, 2, 2, 1, 0).unwrap();
        assert_eq!(labels, [1, 1, 1, 2]);
    }

    #[test]
    fn ranks_are_in_order() {
        let values = [f64::NEG_INFINITY, -2.5, -0.0, 1e-300, 7.0, f64::INFINITY, f64::NAN];
        assert!(values.windows(2).all(|pair| rank(pair[0]) < rank(pair[1])));
    }
}
