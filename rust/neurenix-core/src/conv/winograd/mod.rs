//! Winograd's algorithm F(4x4, 3x3): 3x3 convolutions with stride 1 in 36 multiplications a tile where direct sums take 144.
//!
//! A tile of 4x4 outputs comes from a patch of 6x6 inputs. Patches, weights and outputs are taken to six points along each axis
//! and back ([`transform`]), where a convolution is 36 products of matrices, `[tiles][channels]` times `[channels][outputs]`
//! ([`product`]). The grid of tiles starts at the first pixel of each image ([`patches`]). Modes ([`schedule`]) say in which order
//! tasks do this and what stays in which cache. All of them do the same arithmetic: a product's sum closes every
//! [`BLOCK`](super::plan::BLOCK) channels, and those sums are added in order. The gradient of the weights ([`weight_gradient`]) goes
//! the transposed way, with sums over tiles.
//!
//! S. Winograd, "Arithmetic complexity of computations", 1980; A. Lavin and S. Gray, "Fast algorithms for convolutional neural
//! networks", CVPR 2016. The points halve the error of their integers.

mod ahead;
mod gather;
mod inverse;
mod moments;
mod outer;
mod patches;
mod product;
mod schedule;
mod source;
mod transform;
mod weight_gradient;
mod weights;

pub use weight_gradient::winograd_weight_gradient;

use super::kernel::Epilogue;
use super::pack::Weight;
use super::plan::Panels;
use super::{Direction, direction_of};
use crate::error::{Error, Result, expect_len, product};
use crate::norm::{Part, Units};
use crate::simd::Float;
use crate::threads::Shared;
use crate::{ensure_argument, ensure_shape};
use moments::Moments;
use patches::Grid;
use schedule::{Job, Mode, Output, Weights};
use source::{Map, Normal};

/// Outputs along each side of a tile.
pub const SIDE: usize = 4;
/// Inputs along each side of a patch, and points along each axis.
pub const PATCH: usize = 6;
/// Products of matrices, one for each pair of points.
pub const PLANES: usize = PATCH * PATCH;

/// Elements from one plane of a scratch to the next, for planes of `len`: an odd number of lines of 16, so that the same place in
/// all planes falls into different sets of a cache.
fn spaced(len: usize) -> usize {
    let lines = len.div_ceil(16);
    (lines + 5 - lines % 2) * 16
}

/// Elements of the weights of a layer at the points.
fn points_len(outputs: usize, channels: usize) -> Result<usize> {
    product("points", &[PLANES, channels, outputs.div_ceil(super::plan::LANE) * super::plan::LANE])
}

fn weight_of<T>(values: &[T], outputs: usize, channels: usize, scatter: usize) -> Result<Weight<'_, T>> {
    expect_len("weight", values.len(), &[outputs, channels, 3, 3])?;
    let direction = direction_of(scatter)?;
    let second = if direction == Direction::Gather { channels } else { outputs };
    Ok(Weight { values, second, kh: 3, kw: 3, direction })
}

/// Takes a weight (first, second, 3, 3) to the points, for [`convolve_winograd`] in one direction.
///
/// # Errors
/// [`Error::Shape`] for slices that do not have these sizes, [`Error::Memory`].
pub fn winograd_pack<T: Float>(points: &mut [T], weight: &[T], outputs: usize, channels: usize, scatter: usize) -> Result {
    let weight = weight_of(weight, outputs, channels, scatter)?;
    expect_len("points", points.len(), &[points_len(outputs, channels)?])?;
    if points.is_empty() {
        return Ok(());
    }
    weights::pack(points, &weight, &Panels { groups: 1, channels, outputs })
}

/// As [`super::convolve`] with one group and windows of 3x3 whose stride and dilation are 1.
///
/// Input and output may lie in two arrays each, one for either half of the channels. With `x_scale` and `x_shift`, of `rows` rows, 1 or n,
/// the input is normalised on the way in: `x * x_scale + x_shift`, then ReLU if `x_relu`; zeros around it are zeros behind that. `mean` and
/// `square` get what [`crate::norm::moments`] finds in the output.
///
/// The weight is (first, second, 3, 3), or as [`winograd_pack`] leaves it where `packed` is 1. `mode` 0 leaves the order of work to
/// the sizes; 1, 2 and 3 are those of [`Mode`]: all give the same bits.
///
/// # Errors
/// [`Error::Shape`] for slices that do not have these sizes, [`Error::Argument`], [`Error::Memory`].
pub fn convolve_winograd<T: Float>(
    y: &mut [T],
    second_y: Option<&mut [T]>,
    x: &[T],
    second_x: Option<&[T]>,
    weight: &[T],
    bias: Option<&[T]>,
    scale: Option<&[T]>,
    shift: Option<&[T]>,
    x_scale: Option<&[T]>,
    x_shift: Option<&[T]>,
    mean: Option<&mut [f64]>,
    square: Option<&mut [f64]>,
    n: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    outputs: usize,
    channels: usize,
    rows: usize,
    pad_h: usize,
    pad_w: usize,
    scatter: usize,
    relu: usize,
    x_relu: usize,
    packed: usize,
    mode: usize,
) -> Result {
    let pitch = source::pitch(outputs, second_y.is_some())?;
    for part in [Some(&*y), second_y.as_deref()].into_iter().flatten() {
        expect_len("y", part.len(), &[n, oh, ow, pitch])?;
    }
    let map = Map::checked("x", x, second_x, n, h, w, channels)?;
    let normal = Normal::checked(x_scale, x_shift, rows, n, channels, x_relu != 0)?;
    let limit = isize::MAX as usize / 8;
    let sizes = [h, w, oh, ow, pad_h, pad_w];
    ensure_shape!(channels > 0 && sizes.iter().all(|&size| size < limit), "expected channels and sizes that fit memory, got {sizes:?}");
    let weights = if packed == 0 {
        Weights::Plain(weight_of(weight, outputs, channels, scatter)?)
    } else {
        expect_len("weight", weight.len(), &[points_len(outputs, channels)?])?;
        Weights::Points(weight)
    };
    ensure_argument!(mode < 4, "conv: expected mode 0 to 3, got {mode}");
    let mode = [None, Some(Mode::Tiles), Some(Mode::Panels), Some(Mode::Pieces)][mode];
    let epilogue = Epilogue::checked(bias, scale, shift, relu != 0, outputs)?;
    let low = |pad: usize| match direction_of(scatter)? {
        Direction::Gather => Ok::<_, Error>(-(pad as isize)),
        Direction::Scatter => Ok(pad as isize - 2),
    };
    let grid = Grid { n, input: (h, w), output: (oh, ow), low: (low(pad_h)?, low(pad_w)?) };
    let (panels, plain) = (Panels { groups: 1, channels, outputs }, mean.is_none() && square.is_none());
    let units = if plain { None } else { Some(units_of(&mean, &square, second_y.is_some(), [n, oh, ow, outputs])?) };
    if y.is_empty() {
        mean.into_iter().chain(square).for_each(|m| m.fill(0.0));
        return Ok(());
    }
    let start = y.as_ptr();
    let output = Output::new(y, second_y, pitch);
    let mut job = Job { grid, panels, y: output, x: map, normal, epilogue, moments: None };
    let (Some(mut units), Some(mean), Some(square)) = (units, mean, square) else { return job.run(weights, mode) };
    job.moments = Some(Moments { numbers: Shared::new(&mut units.numbers), grid: &grid, y: start, c: outputs });
    job.run(weights, mode)?;
    units.merge(mean, square, Part::union);
    Ok(())
}

/// Room for the numbers of an output's units.
fn units_of<T: Float>(mean: &Option<&mut [f64]>, square: &Option<&mut [f64]>, halved: bool, sizes: [usize; 4]) -> Result<Units<T>> {
    let [n, h, w, c] = sizes;
    let fit = [mean, square].iter().all(|m| m.as_deref().is_some_and(|m| n.checked_mul(c) == Some(m.len())));
    ensure_shape!(fit && !halved, "expected mean and square of ({n}, {c}), and an output in one array");
    Units::new(n, h, w, c)
}
