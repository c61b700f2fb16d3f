//! Convolutions on channels-last buffers.
//!
//! A convolution and its transpose are one algorithm ([`plan`]); which of them runs is a [`Direction`]. Weights are packed
//! once a layer ([`pack`]), then panels of them meet blocks of pixels in the micro-kernel ([`kernel`]). A sum runs over the
//! taps and 64 channels in a fixed order, or in 16 parts where outputs are [`few`], whatever the image's size, the number of
//! threads or the instruction set. Windows of 3x3
//! at stride 1 have a faster way with a different rounding ([`winograd`]); the caller chooses. So does he where inputs and weights are
//! to be rounded to bfloat16 ([`paired`]): two channels are one step of a sum then.

mod arithmetic;
mod bias;
mod depthwise;
mod depthwise_gradient;
mod depthwise_tile;
mod direct;
mod few;
mod kernel;
mod outer;
mod pack;
mod pack_pairs;
mod paired;
mod plan;
pub(crate) mod scratch;
mod weight_grad;
mod winograd;

pub use bias::bias_gradient;
pub use depthwise::convolve_depthwise_volume;
pub use paired::{convolve_pairs, pack_pairs, weight_gradient_pairs};
pub use winograd::{convolve_winograd, winograd_pack, winograd_weight_gradient};

use crate::ensure_shape;
use crate::error::{Result, expect_len};
use crate::simd::Float;
use arithmetic::Single;
use direct::Problem;
use kernel::Epilogue;
use plan::{Axis, Panels, Window};

/// Which way a weight (first, second, kh, kw) maps channels and pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the second channel axis to the first, windows in the input: a convolution.
    Gather,
    /// From the first to the second, windows in the output: its transpose.
    Scatter,
}

/// Both axes of a convolution over windows.
struct Windows {
    rows: Window,
    columns: Window,
}

impl Windows {
    /// Both axes from (rows, columns) pairs.
    fn new(kernel: (usize, usize), stride: (usize, usize), pad: (usize, usize), dilation: (usize, usize)) -> Self {
        Self {
            rows: Window { kernel: kernel.0, stride: stride.0, dilation: dilation.0, pad: pad.0 },
            columns: Window { kernel: kernel.1, stride: stride.1, dilation: dilation.1, pad: pad.1 },
        }
    }

    fn axes(&self, direction: Direction, input: (usize, usize), output: (usize, usize)) -> Result<(Axis, Axis)> {
        Ok(match direction {
            Direction::Gather => (self.rows.gather(input.0, output.0)?, self.columns.gather(input.1, output.1)?),
            Direction::Scatter => (self.rows.scatter(input.0, output.0)?, self.columns.scatter(input.1, output.1)?),
        })
    }
}

/// Elements that the packed weights of a layer take.
///
/// # Errors
/// [`crate::error::Error::Shape`] when they do not fit memory.
fn packed_len(groups: usize, outputs: usize, channels: usize, kh: usize, kw: usize) -> Result<usize> {
    crate::error::product("packed", &[groups, outputs.div_ceil(plan::LANE) * plan::LANE, channels, kh, kw])
}

fn direction_of(scatter: usize) -> Result<Direction> {
    match scatter {
        0 => Ok(Direction::Gather),
        1 => Ok(Direction::Scatter),
        _ => Err(crate::error::Error::Argument(format!("conv: expected direction 0 or 1, got {scatter}"))),
    }
}

/// Packs a weight (first, second, kh, kw) for one direction; `outputs` and `channels` are those of a group.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn pack<T: Float>(
    packed: &mut [T],
    weight: &[T],
    groups: usize,
    outputs: usize,
    channels: usize,
    kh: usize,
    kw: usize,
    stride_h: usize,
    stride_w: usize,
    pad_h: usize,
    pad_w: usize,
    dilation_h: usize,
    dilation_w: usize,
    scatter: usize,
) -> Result {
    let direction = direction_of(scatter)?;
    expect_len("weight", weight.len(), &[groups, outputs, channels, kh, kw])?;
    expect_len("packed", packed.len(), &[packed_len(groups, outputs, channels, kh, kw)?])?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    // The order of the phases that have taps does not depend on the size.
    let (rows, columns) = windows.axes(direction, (1, 1), (1, 1))?;
    let panels = Panels { groups, channels, outputs };
    if panels.side_by_side(&rows, &columns) {
        depthwise::pack(packed, weight, &panels, kh * kw, direction);
        return Ok(());
    }
    let second = if direction == Direction::Gather { channels } else { outputs };
    pack::Weight { values: weight, second, kh, kw, direction }.pack(packed, &panels, &rows, &columns)
}

/// The number of ReLU among the expressions of one element.
const RELU: usize = 40;

/// Whether the activation is ReLU, rather than 0 for none; others are passes of their own on a CPU, where maps of two parts are joined.
fn rectifies(activation: usize) -> Result<bool> {
    ensure_shape!(activation == 0 || activation == RELU, "activation: expected none or relu, got {activation}");
    Ok(activation == RELU)
}

/// `y[n, oy, ox, k] = sum over c, taps of x[n, iy, ix, c] * w[k, c, tap]`, then the epilogue; see [`Direction`].
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn convolve<T: Float>(
    y: &mut [T],
    x: &[T],
    second: Option<&[T]>,
    packed: &[T],
    bias: Option<&[T]>,
    scale: Option<&[T]>,
    shift: Option<&[T]>,
    n: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    groups: usize,
    outputs: usize,
    channels: usize,
    kh: usize,
    kw: usize,
    stride_h: usize,
    stride_w: usize,
    pad_h: usize,
    pad_w: usize,
    dilation_h: usize,
    dilation_w: usize,
    first: usize,
    scatter: usize,
    activation: usize,
    _a: f64,
    _b: f64,
) -> Result {
    ensure_shape!(second.is_none() && first == channels, "second: expected one map");
    expect_len("y", y.len(), &[n, oh, ow, groups, outputs])?;
    expect_len("x", x.len(), &[n, h, w, groups, channels])?;
    expect_len("packed", packed.len(), &[packed_len(groups, outputs, channels, kh, kw)?])?;
    let epilogue = Epilogue::checked(bias, scale, shift, rectifies(activation)?, groups * outputs)?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    let (rows, columns) = windows.axes(direction_of(scatter)?, (h, w), (oh, ow))?;
    let problem = Problem { n, rows, columns, panels: Panels { groups, channels, outputs }, channels };
    if problem.panels.side_by_side(&problem.rows, &problem.columns) {
        return depthwise::run_groups(y, x, packed, epilogue, (kh, kw), &problem);
    }
    direct::run::<T, Single>(y, x, packed, epilogue, problem)
}

/// As [`convolve`] with one channel and one output a group; the weight is (groups, 1, kh, kw) as it is.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn convolve_depthwise<T: Float>(
    y: &mut [T],
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    scale: Option<&[T]>,
    shift: Option<&[T]>,
    n: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    channels: usize,
    kh: usize,
    kw: usize,
    stride_h: usize,
    stride_w: usize,
    pad_h: usize,
    pad_w: usize,
    dilation_h: usize,
    dilation_w: usize,
    scatter: usize,
    activation: usize,
    _a: f64,
    _b: f64,
) -> Result {
    expect_len("y", y.len(), &[n, oh, ow, channels])?;
    expect_len("x", x.len(), &[n, h, w, channels])?;
    expect_len("weight", weight.len(), &[channels, kh, kw])?;
    let epilogue = Epilogue::checked(bias, scale, shift, rectifies(activation)?, channels)?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    let (rows, columns) = windows.axes(direction_of(scatter)?, (h, w), (oh, ow))?;
    let problem = Problem { n, rows, columns, panels: Panels { groups: channels, channels: 1, outputs: 1 }, channels: 1 };
    depthwise::run(y, x, weight, epilogue, (kh, kw), &problem)
}

/// `dw[s, l, tap] = sum over pixels of small[pixel, s] * large[pixel at tap, l]`: the gradient of a weight (small, large,
/// kh, kw), where windows over the large map (h, w) stand at the small map's pixels (oh, ow).
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn weight_gradient<T: Float>(
    dw: &mut [T],
    small: &[T],
    large: &[T],
    n: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    groups: usize,
    outputs: usize,
    channels: usize,
    kh: usize,
    kw: usize,
    stride_h: usize,
    stride_w: usize,
    pad_h: usize,
    pad_w: usize,
    dilation_h: usize,
    dilation_w: usize,
) -> Result {
    expect_len("dw", dw.len(), &[groups, outputs, channels, kh, kw])?;
    expect_len("small", small.len(), &[n, oh, ow, groups, outputs])?;
    expect_len("large", large.len(), &[n, h, w, groups, channels])?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    let (rows, columns) = windows.axes(Direction::Gather, (h, w), (oh, ow))?;
    let problem = Problem { n, rows, columns, panels: Panels { groups, channels, outputs }, channels };
    if groups > 1 && outputs == channels && matches!(channels, 1 | 2 | 4 | 8) {
        return depthwise_gradient::weight_gradient(dw, small, large, &problem);
    }
    weight_grad::run::<T, Single>(dw, small, large, problem)
}
