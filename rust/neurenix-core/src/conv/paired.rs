//! Convolutions of maps and weights that are rounded to bfloat16, with sums of float32: see [`crate::simd::pairs`].
//!
//! Sums run over pairs of channels, those of a weight's gradient over pairs of pixels in a row. They are those of the other direct
//! convolutions with a pair in the place of a channel: a partial sum closes every 128 channels. Where a row of pixels is odd, its last one is
//! paired with zero in the small map, and with a pixel or zero in the large map: a NaN there is one in more taps than meet it.

use super::arithmetic::Paired;
use super::direct::{self, Problem};
use super::kernel::Epilogue;
use super::pack::Weight;
use super::plan::Panels;
use super::{Direction, Windows, direction_of, packed_len, rectifies, weight_grad};
use crate::error::{Result, expect_len};

/// As [`super::pack`], for [`convolve_pairs`]: rounded, two channels in an element.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn pack_pairs(
    packed: &mut [f32],
    weight: &[f32],
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
    let panels = Panels { groups, channels: channels.div_ceil(2), outputs };
    expect_len("weight", weight.len(), &[groups, outputs, channels, kh, kw])?;
    expect_len("packed", packed.len(), &[packed_len(groups, outputs, panels.channels, kh, kw)?])?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    let (rows, columns) = windows.axes(direction, (1, 1), (1, 1))?;
    let second = if direction == Direction::Gather { channels } else { outputs };
    Weight { values: weight, second, kh, kw, direction }.pack_pairs(packed, &panels, channels, &rows, &columns)
}

/// As [`super::convolve`], of inputs that are rounded and weights by [`pack_pairs`]; the result is rounded too.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn convolve_pairs(
    y: &mut [f32],
    x: &[f32],
    packed: &[f32],
    bias: Option<&[f32]>,
    scale: Option<&[f32]>,
    shift: Option<&[f32]>,
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
    scatter: usize,
    activation: usize,
) -> Result {
    let panels = Panels { groups, channels: channels.div_ceil(2), outputs };
    expect_len("y", y.len(), &[n, oh, ow, groups, outputs])?;
    expect_len("x", x.len(), &[n, h, w, groups, channels])?;
    expect_len("packed", packed.len(), &[packed_len(groups, outputs, panels.channels, kh, kw)?])?;
    let plain = Epilogue::checked(bias, scale, shift, rectifies(activation)?, groups * outputs)?;
    let windows = Windows::new((kh, kw), (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w));
    let (rows, columns) = windows.axes(direction_of(scatter)?, (h, w), (oh, ow))?;
    let problem = Problem { n, rows, columns, panels, channels };
    direct::run::<f32, Paired>(y, x, packed, Epilogue { rounds: true, ..plain }, problem)
}

/// As [`super::weight_gradient`], of maps that are rounded; the result is rounded too.
///
/// # Errors
/// [`crate::error::Error::Shape`] for slices that do not have these sizes, [`crate::error::Error::Memory`].
pub fn weight_gradient_pairs(
    dw: &mut [f32],
    small: &[f32],
    large: &[f32],
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
    weight_grad::run::<f32, Paired>(dw, small, large, problem)
}
