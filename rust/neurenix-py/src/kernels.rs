//! The kernel table's Rust side: one declaration line a kernel.
//!
//! `name<group>(argument: Role, ...) = module::function;` declares `_rust.name`. The group is the set of element types
//! that `T` ranges over, chosen by the first array argument:
//! `singles` (float32), `floats` (float32, float64), `wide` (also int64), `integers` (bool as uint8), `numbers` (floats and integers), `every` (also float16), `bytes` (any type,
//! moved as bits).

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::array::Kind;
use crate::roles::*;

/// One row: its name, its arguments with their roles, its call.
struct Row {
    name: &'static str,
    group: &'static str,
    params: &'static [(&'static str, &'static str)],
    call: fn(Python<'_>, &[Bound<'_, PyAny>]) -> PyResult<()>,
}

macro_rules! dispatch {
    (floats, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
            kind => Err(Refusal(format!("expected float32 or float64, got {}", kind.name()))),
        }
    };
    (singles, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::F32 => {
                type $T = f32;
                $body
            }
            kind => Err(Refusal(format!("expected float32, got {}", kind.name()))),
        }
    };
    (numbers, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::F32 => {
                type $T = f32;
                $body
            }
            Kind::F64 => {
                type $T = f64;
                $body
            }
            Kind::F16 => Err(Refusal("expected numbers, got float16".into())),
            kind => dispatch!(integers, kind, $T, $body),
        }
    };
    (wide, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::I64 => {
                type $T = i64;
                $body
            }
            kind => dispatch!(floats, kind, $T, $body),
        }
    };
    (integers, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::I64 => {
                type $T = i64;
                $body
            }
            Kind::I32 => {
                type $T = i32;
                $body
            }
            Kind::I16 => {
                type $T = i16;
                $body
            }
            Kind::I8 => {
                type $T = i8;
                $body
            }
            Kind::U8 | Kind::Bool => {
                type $T = u8;
                $body
            }
            Kind::U16 => {
                type $T = u16;
                $body
            }
            Kind::U32 => {
                type $T = u32;
                $body
            }
            Kind::U64 => {
                type $T = u64;
                $body
            }
            kind => Err(Refusal(format!("expected integers, got {}", kind.name()))),
        }
    };
    (every, $kind:expr, $T:ident, $body:expr) => {
        match $kind {
            Kind::F16 => {
                type $T = half::f16;
                $body
            }
            kind => dispatch!(numbers, kind, $T, $body),
        }
    };
    (bytes, $kind:expr, $T:ident, $body:expr) => {
        match $kind.size() {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

macro_rules! kernels {
    ($($name:ident<$group:ident>($($arg:ident: $role:ty),* $(,)?) = $module:ident::$function:ident;)*) => {
        $(
            fn $name(py: Python<'_>, args: &[Bound<'_, PyAny>]) -> PyResult<()> {
                let mut call = Call::new(args);
                let run = |call: &mut Call<'_, '_>| -> Result<Result<(), neurenix_core::error::Error>, Refusal> {
                    let kind = call.kind()?;
                    dispatch!($group, kind, T, {
                        $(let $arg = <$role as Role<'_, T>>::take(call)
                            .map_err(|refusal| Refusal(format!(concat!(stringify!($arg), ": {}"), refusal.0)))?;)*
                        call.finish()?;
                        const IN_PLACE: bool = $(is_in_place(stringify!($role)) |)* false;
                        Ok(execute(py, (stringify!($module), IN_PLACE), || neurenix_core::$module::$function($($arg),*)))
                    })
                };
                match run(&mut call) {
                    Ok(result) => result.map_err(|error| raise(py, stringify!($name), error)),
                    Err(refusal) => Err(internal(py, stringify!($name), refusal)),
                }
            }
        )*
        const ROWS: &[Row] = &[$(Row {
            name: stringify!($name),
            group: stringify!($group),
            params: &[$((stringify!($arg), stringify!($role))),*],
            call: $name,
        }),*];
    };
}

kernels! {
    // layout
    copy_into<bytes>(y: Strided<Out>, x: Strided<In>) = layout::copy;
    accumulate<numbers>(total: Strided<InOut>, more: Strided<In>) = layout::accumulate;
    cast_into<every>(y: Strided<Out>, x: Strided<Other>) = layout::cast;
    truth_into<every>(y: Strided<Out>, x: Strided<Other>) = layout::truth;

    // elementwise
    unary<floats>(y: Strided<Out>, x: Strided<In>, op: Enum, a: Real, b: Real) = elementwise::unary;
    binary<floats>(y: Strided<Out>, x: Strided<In>, other: Strided<In>, op: Enum, a: Real, b: Real) = elementwise::binary;
    ternary<floats>(y: Strided<Out>, g: Strided<In>, x: Strided<In>, other: Strided<In>, op: Enum) = elementwise::ternary;
    integer_unary<integers>(y: Strided<Out>, x: Strided<In>, op: Enum) = elementwise::integer_unary;
    integer_binary<integers>(y: Strided<Out>, x: Strided<In>, other: Strided<In>, op: Enum) = elementwise::integer_binary;
    compare<numbers>(x: Strided<In>, other: Strided<In>, y: Strided<MaskOut>, op: Enum) = elementwise::compare;
    select<bytes>(y: Strided<Out>, mask: Strided<Mask>, x: Strided<In>, other: Strided<In>) = elementwise::select;

    // reduce
    reduce<wide>(y: Out, x: Strided<In>, kept: Size, op: Enum, a: Real) = reduce::reduce;
    arg_reduce<numbers>(x: Strided<In>, index: IndexOut, kept: Size, op: Enum) = arg_reduce::arg_reduce;
    nuclear_norm<floats>(y: Out, slope: Out, values: DoubleOut, left: DoubleOut, right: DoubleOut, x: In, batch: Size, rows: Size, columns: Size) = nuclear::nuclear_norm;
    scan<wide>(y: Out, x: In, outer: Size, n: Size, inner: Size, op: Enum, reverse: Enum) = scan::scan;
    prod_grad<floats>(gx: Out, g: In, x: In, outer: Size, n: Size, inner: Size) = scan::prod_grad;
    cumprod_grad<floats>(gx: Out, g: In, x: In, outer: Size, n: Size, inner: Size) = scan::cumprod_grad;

    // softmax
    softmax_rows<floats>(y: Out, x: In, outer: Size, n: Size, inner: Size, log: Enum) = softmax::softmax;
    softmax_grad<floats>(gx: Out, g: In, y: In, outer: Size, n: Size, inner: Size, log: Enum) = softmax::softmax_grad;

    // indexing
    take<bytes>(y: Out, x: In, index: Index, outer: Size, n: Size, inner: Size) = scatter::take;
    take_sum<wide>(gx: Out, g: In, index: Index, outer: Size, n: Size, inner: Size) = scatter::take_sum;
    gather_rows<bytes>(y: Out, x: In, index: Index, outer: Size, m: Size, n: Size, inner: Size) = scatter::gather;
    scatter_rows<bytes>(y: InOut, index: Index, src: In, outer: Size, m: Size, n: Size, inner: Size) = scatter::scatter;
    scatter_add_rows<wide>(y: InOut, index: Index, src: In, outer: Size, m: Size, n: Size, inner: Size) = scatter::scatter_add;
    nonzero_rows<bytes>(mask: Mask, index: IndexOut) = scatter::nonzero;
    sort_rows<numbers>(values: Out, indices: IndexOut, x: In, outer: Size, n: Size, inner: Size, descending: Enum) = sort::sort;

    // matmul
    matmul_rows<floats>(y: Out, a: Strided<In>, b: Strided<In>, batch: Size, m: Size, k: Size, n: Size) = matmul::matmul;

    // conv
    conv_pack<floats>(packed: Out, weight: In, groups: Size, outputs: Size, channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size,
        pad_h: Size, pad_w: Size, dilation_h: Size, dilation_w: Size, scatter: Enum) = conv::pack;
    convolve<floats>(y: Out, x: In, second: Optional<In>, packed: In, bias: Optional<In>, scale: Optional<In>, shift: Optional<In>, n: Size,
        h: Size, w: Size, oh: Size, ow: Size, groups: Size, outputs: Size, channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size,
        pad_h: Size, pad_w: Size, dilation_h: Size, dilation_w: Size, first: Size, scatter: Enum, activation: Enum, a: Real,
        b: Real) = conv::convolve;
    convolve_depthwise<floats>(y: Out, x: In, weight: In, bias: Optional<In>, scale: Optional<In>, shift: Optional<In>, n: Size, h: Size, w: Size,
        oh: Size, ow: Size, channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size, pad_h: Size, pad_w: Size, dilation_h: Size,
        dilation_w: Size, scatter: Enum, activation: Enum, a: Real, b: Real) = conv::convolve_depthwise;
    convolve_depthwise_volume<floats>(y: Out, x: In, weight: In, bias: Optional<In>, n: Size, d: Size, h: Size, w: Size, od: Size, oh: Size,
        ow: Size, channels: Size, kd: Size, kh: Size, kw: Size, stride_d: Size, stride_h: Size, stride_w: Size, pad_d: Size, pad_h: Size,
        pad_w: Size, dilation_d: Size, dilation_h: Size, dilation_w: Size, scatter: Enum) = conv::convolve_depthwise_volume;
    conv_weight_gradient<floats>(dw: Out, small: In, large: In, n: Size, h: Size, w: Size, oh: Size, ow: Size, groups: Size, outputs: Size,
        channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size, pad_h: Size, pad_w: Size, dilation_h: Size,
        dilation_w: Size) = conv::weight_gradient;
    conv_pack_pairs<singles>(packed: Out, weight: In, groups: Size, outputs: Size, channels: Size, kh: Size, kw: Size, stride_h: Size,
        stride_w: Size, pad_h: Size, pad_w: Size, dilation_h: Size, dilation_w: Size, scatter: Enum) = conv::pack_pairs;
    convolve_pairs<singles>(y: Out, x: In, packed: In, bias: Optional<In>, scale: Optional<In>, shift: Optional<In>, n: Size, h: Size, w: Size,
        oh: Size, ow: Size, groups: Size, outputs: Size, channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size, pad_h: Size,
        pad_w: Size, dilation_h: Size, dilation_w: Size, scatter: Enum, activation: Enum) = conv::convolve_pairs;
    conv_weight_gradient_pairs<singles>(dw: Out, small: In, large: In, n: Size, h: Size, w: Size, oh: Size, ow: Size, groups: Size,
        outputs: Size, channels: Size, kh: Size, kw: Size, stride_h: Size, stride_w: Size, pad_h: Size, pad_w: Size, dilation_h: Size,
        dilation_w: Size) = conv::weight_gradient_pairs;
    winograd_pack<floats>(points: Out, weight: In, outputs: Size, channels: Size, scatter: Enum) = conv::winograd_pack;
    convolve_winograd<floats>(y: Out, second_y: Optional<Out>, x: In, second_x: Optional<In>, weight: In, bias: Optional<In>,
        scale: Optional<In>, shift: Optional<In>, x_scale: Optional<In>, x_shift: Optional<In>, mean: Optional<DoubleOut>,
        square: Optional<DoubleOut>, n: Size, h: Size, w: Size, oh: Size, ow: Size, outputs: Size, channels: Size, rows: Size, pad_h: Size,
        pad_w: Size, scatter: Enum, relu: Enum, x_relu: Enum, packed: Enum, mode: Enum) = conv::convolve_winograd;
    winograd_weight_gradient<floats>(dw: Out, small: In, large: In, second_large: Optional<In>, scale: Optional<In>, shift: Optional<In>,
        n: Size, h: Size, w: Size, oh: Size, ow: Size, outputs: Size, channels: Size, rows: Size, pad_h: Size, pad_w: Size,
        relu: Enum) = conv::winograd_weight_gradient;
    bias_gradient<floats>(db: Out, dy: In, pixels: Size, k: Size) = conv::bias_gradient;

    // derived
    checksum<bytes>(x: In, sum: IndexOut) = derived::checksum;

    // pooling
    max_pool<floats>(y: Out, tap: Optional<MaskOut>, x: In, row_windows: Index, col_windows: Index, outer: Size, h: Size, w: Size, inner: Size,
        oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size) = pooling::max_pool;
    max_pool_indices<floats>(y: Out, index: IndexOut, x: In, row_windows: Index, col_windows: Index, outer: Size, h: Size, w: Size, inner: Size,
        oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size) = pooling::max_pool_indices;
    max_pool_backward<floats>(dx: Out, dy: In, tap: Mask, row_windows: Index, col_windows: Index, outer: Size, h: Size, w: Size, inner: Size,
        oh: Size, ow: Size, row_taps: Size, col_taps: Size, row_step: Size, col_step: Size) = pooling::max_pool_backward;
    unpool<floats>(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) = unpooling::unpool;
    unpool_add<floats>(y: Out, x: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) = unpooling::unpool_add;
    unpool_backward<floats>(dx: Out, dy: In, index: Index, outer: Size, pixels: Size, inner: Size, count: Size) = unpooling::unpool_backward;

    // adaptive_pooling
    average_bins<floats>(y: Out, x: In, windows: Index, weight: In, divisor: In, bins: Index, count: Size, outer: Size, h: Size, w: Size, inner: Size) = adaptive_pooling::average_bins;
    average_bins_backward<floats>(dx: Out, dy: In, windows: Index, weight: In, bins: Index, count: Size, outer: Size, h: Size, w: Size, inner: Size) = adaptive_pooling_backward::average_bins_backward;

    // resize
    resize<floats>(y: Out, x: In, row_start: Index, row_index: Index, row_weight: In, col_start: Index, col_index: Index, col_weight: In,
        row_divisor: Optional<In>, col_divisor: Optional<In>, outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size) = resize::resize;

    // padding
    take_map<bytes>(y: Out, x: In, fill: In, rows: Index, cols: Index, outer: Size, h: Size, w: Size, inner: Size, oh: Size, ow: Size) = padding::take;

    // sampling
    grid_sample_map<floats>(y: Out, x: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size, mode: Enum, padding: Enum, align: Enum) = sampling::grid_sample;
    grid_sample_backward<floats>(dx: Out, dy: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size, mode: Enum, padding: Enum, align: Enum) = sampling::grid_sample_backward;
    grid_sample_grid_backward<floats>(dgrid: Out, dy: In, x: In, grid: In, n: Size, outer: Size, d: Size, h: Size, w: Size, inner: Size, points: Size, axes: Size, mode: Enum, padding: Enum, align: Enum) = sampling::grid_sample_grid_backward;

    // warp
    warp_points<floats>(field: In, points: DoubleOut, matrix: Double, fh: Size, fw: Size, oh: Size, ow: Size) = warp::points;
    warp_sample<numbers>(y: Out, x: In, points: Double, planes: Size, h: Size, w: Size, oh: Size, ow: Size, order: Enum, mode: Enum, fill: Real) = warp::sample;

    // norm
    norm_moments<floats>(x: In, mean: DoubleOut, square: DoubleOut, n: Size, h: Size, w: Size, c: Size) = norm::moments;
    norm_tables<floats>(scale: Out, shift: Out, mean: DoubleOut, rstd: DoubleOut, running_mean: Optional<InOut>, running_var: Optional<InOut>, moment_mean: Double, moment_square: Double, weight: Optional<In>, bias: Optional<In>, n: Size, c: Size, pixels: Size, groups: Size, eps: Real, momentum: Real) = norm_tables::from_moments;
    norm_running_tables<floats>(scale: Out, shift: Out, mean: DoubleOut, rstd: DoubleOut, running_mean: In, running_var: In, weight: Optional<In>, bias: Optional<In>, c: Size, eps: Real) = norm_tables::from_running;
    norm_apply<floats>(y: Out, x: In, scale: In, shift: In, rows: Size, n: Size, pixels: Size, c: Size, relu: Enum) = norm_apply::apply;
    norm_apply_pooled<floats>(pooled: Out, y: Optional<Out>, tap: MaskOut, x: In, scale: In, shift: In, n: Size, h: Size, w: Size, c: Size, oh: Size, ow: Size, relu: Enum) = norm_apply::apply_pooled;
    norm_backward_sums<floats>(g: In, x: In, sum_g: DoubleOut, sum_gx: DoubleOut, mean: Double, scale: In, shift: In, rows: Size, n: Size, h: Size, w: Size, c: Size, relu: Enum) = norm::backward_sums;
    norm_backward_tables<floats>(a: Out, b: Out, d: Out, dweight: Optional<Out>, dbias: Optional<Out>, sum_g: Optional<Double>, sum_gx: Optional<Double>, mean: Double, rstd: Double, weight: Optional<In>, n: Size, c: Size, pixels: Size, groups: Size, training: Enum) = norm_tables::backward;
    norm_backward_apply<floats>(dx: Out, g: In, x: In, a: In, b: In, d: In, scale: In, shift: In, rows: Size, n: Size, pixels: Size, c: Size, relu: Enum) = norm_apply::backward_apply;
    layer_norm_forward<floats>(y: Out, mean: DoubleOut, rstd: DoubleOut, x: In, weight: Optional<In>, bias: Optional<In>, rows: Size, size: Size, eps: Real, centred: Enum) = layer_norm::forward;
    layer_norm_backward<floats>(dx: Out, g: In, x: In, mean: Double, rstd: Double, weight: Optional<In>, rows: Size, size: Size, centred: Enum) = layer_norm_backward::backward;
    layer_norm_backward_parameters<floats>(dweight: Out, dbias: Optional<Out>, g: In, x: In, mean: Double, rstd: Double, rows: Size, size: Size) = layer_norm_backward::backward_parameters;
    layer_norm_backward_whole<floats>(dx: Out, dweight: Out, dbias: Optional<Out>, g: In, x: In, mean: Double, rstd: Double, weight: Optional<In>, rows: Size, size: Size, centred: Enum) = layer_norm_backward::backward_whole;

    // loss
    loss_elements<floats>(y: Out, x: In, t: In, weight: Optional<In>, positive: Optional<In>, n: Size, way: Enum, a: Real, b: Real) = loss::elements;
    loss_elements_sum<floats>(total: Out, x: In, t: In, weight: Optional<In>, positive: Optional<In>, n: Size, way: Enum, a: Real, b: Real, divisor: Real) = loss::elements_sum;
    loss_elements_backward<floats>(dx: Out, g: In, x: In, t: In, weight: Optional<In>, positive: Optional<In>, n: Size, way: Enum, a: Real, b: Real, divisor: Real, of_target: Enum) = loss::elements_backward;
    loss_sum<floats>(total: Out, x: In, divisor: Real) = loss::sum;
    loss_ratio<floats>(ratio: Out, denominator: Out, x: In, share: In) = loss::ratio;
    cross_entropy_rows<floats>(loss: Out, lse: Out, share: Out, x: In, target: Index, weight: Optional<In>, rows: Size, classes: Size, inner: Size, smoothing: Real, ignore: Offset, most: Real) = cross_entropy::cross_entropy;
    cross_entropy_rows_backward<floats>(dx: Out, x: In, lse: In, target: Index, weight: Optional<In>, g: In, denominator: Optional<In>, rows: Size, classes: Size, inner: Size, smoothing: Real, ignore: Offset) = cross_entropy::cross_entropy_backward;
    soft_cross_entropy_rows<floats>(loss: Out, lse: Out, x: In, t: In, weight: Optional<In>, rows: Size, classes: Size, smoothing: Real) = class_loss::soft_cross_entropy;
    soft_cross_entropy_rows_backward<floats>(dx: Out, dt: Optional<Out>, x: In, lse: In, t: In, weight: Optional<In>, g: In, rows: Size, classes: Size, smoothing: Real, divisor: Real) = class_loss::soft_cross_entropy_backward;
    likelihood_rows<floats>(loss: Out, share: Out, x: In, target: Index, weight: Optional<In>, rows: Size, classes: Size, ignore: Offset) = class_loss::likelihood;
    likelihood_rows_backward<floats>(dx: Out, target: Index, weight: Optional<In>, g: In, denominator: Optional<In>, rows: Size, classes: Size, ignore: Offset) = class_loss::likelihood_backward;
    multi_margin_rows<floats>(loss: Out, dx: Out, x: In, target: Index, weight: Optional<In>, rows: Size, classes: Size, p: Size, margin: Real) = margin_loss::multi_margin;
    multilabel_margin_rows<floats>(loss: Out, dx: Out, x: In, target: Index, rows: Size, classes: Size) = margin_loss::multilabel_margin;
    scale_rows<floats>(y: Out, x: In, g: In, rows: Size, classes: Size, divisor: Real) = margin_loss::scale_rows;

    // regions
    label_components<integers>(values: In, labels: IndexOut, depth: Size, height: Size, width: Size, connectivity: Size) = components::label;
    distance_pass<floats>(y: Out, x: In, outer: Size, n: Size, inner: Size, spacing: Real) = distance::pass;
    watershed_flood<floats>(image: In, markers: Index, mask: Mask, labels: IndexOut, depth: Size, height: Size, width: Size, connectivity: Size, line: Enum) = watershed::flood;

    // random
    random_uniform<floats>(y: Out, low: Real, high: Real, seed: Key, call: Key) = random::uniform;
    random_normal<floats>(y: Out, mean: Real, deviation: Real, seed: Key, call: Key) = random::normal;
    random_truncated_normal<floats>(y: Out, mean: Real, deviation: Real, low: Real, high: Real, seed: Key, call: Key) = random::truncated_normal;
    random_integers<numbers>(y: IndexOut, low: Offset, span: Key, seed: Key, call: Key) = random::integers;
    random_permutation<numbers>(y: IndexOut, seed: Key, call: Key) = random::permutation;
    random_poisson<floats>(y: Out, x: In, scale: Real, seed: Key, call: Key) = poisson::poisson;
    dropout_into<floats>(y: Out, x: In, samples: Size, size: Size, period: Size, drop: Real, scale: Real, shift: Real, fill: Real, seed: Key, call: Key, first: Key) = random::dropout;

    // optim
    sgd_step<floats>(p: List<InOut>, g: List<In>, buffer: List<InOut>, lr: Real, momentum: Real, dampening: Real, weight_decay: Real, nesterov: Enum, maximize: Enum, first: Enum) = optim::sgd;
    adam_step<floats>(p: List<InOut>, g: List<In>, m: List<InOut>, v: List<InOut>, largest: List<InOut>, lr: Real, beta1: Real, beta2: Real, eps: Real, weight_decay: Real, correction1: Real, correction2: Real, decoupled: Enum, maximize: Enum) = optim::adam;
    nadam_step<floats>(p: List<InOut>, g: List<In>, m: List<InOut>, v: List<InOut>, lr: Real, beta1: Real, beta2: Real, eps: Real, weight_decay: Real, by_gradient: Real, by_moment: Real, correction2: Real, decoupled: Enum, maximize: Enum) = optim::nadam;
    adamax_step<floats>(p: List<InOut>, g: List<In>, m: List<InOut>, largest: List<InOut>, lr: Real, beta1: Real, beta2: Real, eps: Real, weight_decay: Real, correction1: Real, maximize: Enum) = optim::adamax;
    lion_step<floats>(p: List<InOut>, g: List<In>, m: List<InOut>, lr: Real, beta1: Real, beta2: Real, weight_decay: Real, maximize: Enum) = optim::lion;
    rmsprop_step<floats>(p: List<InOut>, g: List<In>, square: List<InOut>, mean: List<InOut>, buffer: List<InOut>, lr: Real, alpha: Real, eps: Real, weight_decay: Real, momentum: Real, maximize: Enum) = optim_more::rmsprop;
    adagrad_step<floats>(p: List<InOut>, g: List<In>, sum: List<InOut>, lr: Real, eps: Real, weight_decay: Real, maximize: Enum) = optim_more::adagrad;
    adadelta_step<floats>(p: List<InOut>, g: List<In>, square: List<InOut>, delta: List<InOut>, lr: Real, rho: Real, eps: Real, weight_decay: Real, maximize: Enum) = optim_more::adadelta;
    rprop_step<floats>(p: List<InOut>, g: List<In>, before: List<InOut>, size: List<InOut>, slower: Real, faster: Real, least: Real, most: Real, maximize: Enum) = optim_more::rprop;
    asgd_step<floats>(p: List<InOut>, g: List<In>, average: List<InOut>, decay: Real, eta: Real, mu: Real, weight_decay: Real, maximize: Enum) = optim_more::asgd;
    average_step<floats>(average: List<InOut>, p: List<In>, decay: Real) = optim_more::average;
    total_norm<floats>(g: List<In>, total: DoubleOut, order: Real) = optim_more::total_norm;
    clip_norm<floats>(g: List<InOut>, norm: Double, most: Real) = optim_more::clip_norm;
    clip_value<floats>(g: List<InOut>, most: Real) = optim_more::clip_value;
}

/// The rows as Python reads them: `{name: (group, ((argument, role), ...))}`.
#[pyfunction]
fn rows(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let table = PyDict::new(py);
    for row in ROWS {
        table.set_item(row.name, (row.group, PyTuple::new(py, row.params)?))?;
    }
    Ok(table)
}

/// Adds every row's function to the module.
pub fn add_to(m: &Bound<'_, PyModule>) -> PyResult<()> {
    for row in ROWS {
        let name = std::ffi::CString::new(row.name)?;
        let params: Vec<&str> = row.params.iter().map(|p| p.0).collect();
        let doc = std::ffi::CString::new(format!("{}({}, /)\n--\n\nKernel over {}.", row.name, params.join(", "), row.group))?;
        let call = row.call;
        let function = PyCFunction::new_closure(
            m.py(),
            // Names and texts of built-in functions live as long as the process.
            Some(Box::leak(name.into_boxed_c_str())),
            Some(Box::leak(doc.into_boxed_c_str())),
            move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| call(args.py(), &args.iter().collect::<Vec<_>>()),
        )?;
        m.add(row.name, function)?;
    }
    m.add_function(wrap_pyfunction!(rows, m)?)
}
