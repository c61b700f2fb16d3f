"""Operations: one file a family, with its shape rule, gradient and kernel rows."""

# convert
from neurenix.ops.convert import cast as cast, target as target, to_device as to_device

# elementwise
from neurenix.ops.arithmetic import (
    add as add, div as div, divide as divide, floor_divide as floor_divide, fmod as fmod, maximum as maximum, minimum as
    minimum, mul as mul, multiply as multiply, remainder as remainder, rsub as rsub, sub as sub, subtract as subtract, true_divide as
    true_divide,
)  # fmt: skip
from neurenix.ops.power import (
    clamp as clamp, clamp_max as clamp_max, clamp_min as clamp_min, clip as clip, nan_to_num as nan_to_num, pow as pow,
)  # fmt: skip
from neurenix.ops.unary import (
    abs as abs, absolute as absolute, ceil as ceil, erf as erf, exp as exp, exp2 as exp2, expm1 as expm1, fix as fix, floor as floor,
    frac as frac, log as log, log10 as log10, log1p as log1p, log2 as log2, neg as neg, negative as negative, reciprocal as reciprocal,
    round as round, rsqrt as rsqrt, sign as sign, sqrt as sqrt, square as square, trunc as trunc,
)  # fmt: skip
from neurenix.ops.trigonometry import (
    acos as acos, acosh as acosh, arccos as arccos, arccosh as arccosh, arcsin as arcsin, arcsinh as arcsinh, arctan as arctan, arctan2
    as arctan2, arctanh as arctanh, asin as asin, asinh as asinh, atan as atan, atan2 as atan2, atanh as atanh, cos as cos, cosh as
    cosh, sin as sin, sinh as sinh, tan as tan, tanh as tanh,
)  # fmt: skip
from neurenix.ops.compare import (
    allclose as allclose, bitwise_and as bitwise_and, bitwise_left_shift as bitwise_left_shift, bitwise_not as bitwise_not, bitwise_or
    as bitwise_or, bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor, eq as eq, equal as equal, ge as ge, greater
    as greater, greater_equal as greater_equal, gt as gt, isclose as isclose, isfinite as isfinite, isinf as isinf, isnan as isnan, le
    as le, less as less, less_equal as less_equal, logical_and as logical_and, logical_not as logical_not, logical_or as logical_or,
    logical_xor as logical_xor, lt as lt, ne as ne, not_equal as not_equal,
)  # fmt: skip
from neurenix.ops.activation import (
    celu as celu, elu as elu, gelu as gelu, glu as glu, hardshrink as hardshrink, hardsigmoid as hardsigmoid, hardswish as hardswish,
    hardtanh as hardtanh, leaky_relu as leaky_relu, logsigmoid as logsigmoid, mish as mish, prelu as prelu, relu as relu, relu6 as
    relu6, selu as selu, sigmoid as sigmoid, silu as silu, softplus as softplus, softshrink as softshrink, softsign as softsign,
    tanhshrink as tanhshrink, threshold as threshold,
)  # fmt: skip
from neurenix.ops.compound import (
    addcdiv as addcdiv, addcmul as addcmul, aminmax as aminmax, cdist as cdist, deg2rad as deg2rad, diag_embed as diag_embed, diff as
    diff, dstack as dstack, erfc as erfc, hstack as hstack, hypot as hypot, lerp as lerp, logit as logit,
    nanmean as nanmean, nansum as nansum, rad2deg as rad2deg, vstack as vstack, xlogy as xlogy, row_stack as row_stack,
)  # fmt: skip

# reduce
from neurenix.ops.reduce import (
    amax as amax, amin as amin, argmax as argmax, argmin as argmin, mean as mean, sum as sum,
)  # fmt: skip
from neurenix.ops.truth import (
    all as all, any as any, count_nonzero as count_nonzero,
)  # fmt: skip
from neurenix.ops.statistics import (
    cosine_similarity as cosine_similarity, dist as dist, normalize as normalize, pairwise_distance as pairwise_distance, std as std,
    std_mean as std_mean, var as var, var_mean as var_mean,
)  # fmt: skip
from neurenix.ops import statistics as _statistics
from neurenix.ops.scan import (
    cumprod as cumprod, cumsum as cumsum, prod as prod,
)  # fmt: skip

# softmax
from neurenix.ops.softmax import (
    log_softmax as log_softmax, logsumexp as logsumexp, softmax as softmax, softmin as softmin,
)  # fmt: skip

# indexing
from neurenix.ops.indexing import (
    argwhere as argwhere, getitem as getitem, masked_select as masked_select, nonzero as nonzero, take as take,
)  # fmt: skip
from neurenix.ops.ordering import (
    argsort as argsort, kthvalue as kthvalue, max as max, median as median, min as min, sort as sort, topk as topk,
)  # fmt: skip
from neurenix.ops.embedding import embedding as embedding, one_hot as one_hot
from neurenix.ops.scatter import (
    gather as gather, index_select as index_select, scatter as scatter, scatter_add as scatter_add, take_along_dim as take_along_dim,
)  # fmt: skip

# shape
from neurenix.ops.copies import clone as clone, contiguous as contiguous
from neurenix.ops.shape import (
    broadcast_tensors as broadcast_tensors, broadcast_to as broadcast_to, expand as expand,
    expand_as as expand_as, flatten as flatten, moveaxis as moveaxis, movedim as movedim, permute as permute, ravel as ravel, reshape as
    reshape, reshape_as as reshape_as, squeeze as squeeze, swapaxes as swapaxes, swapdims as swapdims, t as t, transpose as transpose, unflatten as unflatten,
    unsqueeze as unsqueeze, view as view, view_as as view_as,
)  # fmt: skip
from neurenix.ops.parts import (
    cat as cat, chunk as chunk, concat as concat, concatenate as concatenate, narrow as narrow, select as select, split as split,
    split_with_sizes as split_with_sizes, stack as stack, unbind as unbind,
)  # fmt: skip
from neurenix.ops.diagonals import diag as diag, diagonal as diagonal, tril as tril, triu as triu
from neurenix.ops.layouts import (
    flip as flip, fliplr as fliplr, flipud as flipud, masked_fill as masked_fill, repeat as repeat, repeat_interleave as
    repeat_interleave, roll as roll, rot90 as rot90, tile as tile, where as where,
)  # fmt: skip
from neurenix.ops.create import (
    arange as arange, as_tensor as as_tensor, empty as empty, empty_like as empty_like, eye as eye, from_dlpack as from_dlpack, from_numpy as from_numpy, full
    as full, full_like as full_like, linspace as linspace, logspace as logspace, meshgrid as meshgrid, ones as ones, ones_like as
    ones_like, zeros as zeros, zeros_like as zeros_like,
)  # fmt: skip

# matmul
from neurenix.ops.matmul import (
    addbmm as addbmm, addmm as addmm, addmv as addmv, baddbmm as baddbmm, bmm as bmm, dot as dot, inner as inner, matmul as matmul, mm
    as mm, mv as mv, outer as outer, ger as ger,
)  # fmt: skip
from neurenix.ops.einsum import (
    chain_matmul as chain_matmul, einsum as einsum, tensordot as tensordot,
)  # fmt: skip
from neurenix.ops.attention import (
    bilinear as bilinear, scaled_dot_product_attention as scaled_dot_product_attention,
)  # fmt: skip

# conv
from neurenix.ops.conv import (
    conv1d as conv1d, conv2d as conv2d, conv_transpose1d as conv_transpose1d, conv_transpose2d as conv_transpose2d,
)  # fmt: skip
from neurenix.ops.conv_volume import conv3d as conv3d, conv_transpose3d as conv_transpose3d
from neurenix.ops.linear import linear as linear

# pooling
from neurenix.ops.pooling import (
    avg_pool1d as avg_pool1d, avg_pool2d as avg_pool2d, avg_pool3d as avg_pool3d, max_pool1d as max_pool1d, max_pool2d as max_pool2d,
    same_pool2d as same_pool2d,
)  # fmt: skip
from neurenix.ops.unpooling import max_unpool1d as max_unpool1d, max_unpool2d as max_unpool2d, max_unpool3d as max_unpool3d

# adaptive_pooling
from neurenix.ops.adaptive_pooling import (
    adaptive_avg_pool1d as adaptive_avg_pool1d, adaptive_avg_pool2d as adaptive_avg_pool2d, adaptive_avg_pool3d as adaptive_avg_pool3d,
    adaptive_max_pool1d as adaptive_max_pool1d, adaptive_max_pool2d as adaptive_max_pool2d, pyramid_averages2d as pyramid_averages2d,
)  # fmt: skip

# pooling_volume
from neurenix.ops.pooling_volume import (
    adaptive_max_pool3d as adaptive_max_pool3d, lp_pool1d as lp_pool1d, lp_pool2d as lp_pool2d, lp_pool3d as lp_pool3d, max_pool3d as
    max_pool3d,
)  # fmt: skip
from neurenix.ops.pooling_indices import (
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices as
    adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices, max_pool1d_with_indices as
    max_pool1d_with_indices, max_pool2d_with_indices as max_pool2d_with_indices, max_pool3d_with_indices as max_pool3d_with_indices,
)  # fmt: skip

# resize
from neurenix.ops.resize import (
    interpolate as interpolate,
    upsample as upsample,
    upsample_bilinear as upsample_bilinear,
    upsample_nearest as upsample_nearest,
)

# padding
from neurenix.ops.padding import pad as pad

# pyramids
from neurenix.ops.lifting import lift as lift, unlift as unlift
from neurenix.ops.pyramid import (
    difference_type as difference_type, fitted as fitted, pyramid_expand as pyramid_expand, pyramid_reduce as pyramid_reduce,
)  # fmt: skip
from neurenix.ops.smoothing import gaussian_blur as gaussian_blur

# sampling
from neurenix.ops.fold import fold as fold, unfold as unfold
from neurenix.ops.sampling import affine_grid as affine_grid, grid_sample as grid_sample
from neurenix.ops.shuffle import channel_shuffle as channel_shuffle, pixel_shuffle as pixel_shuffle, pixel_unshuffle as pixel_unshuffle

# norm
from neurenix.ops.channel_norm import (
    batch_norm as batch_norm, group_norm as group_norm, instance_norm as instance_norm, local_response_norm as local_response_norm,
)  # fmt: skip
from neurenix.ops.layer_norm import layer_norm as layer_norm, rms_norm as rms_norm

# loss
from neurenix.ops.error_loss import (
    huber_loss as huber_loss,
    kl_div as kl_div,
    l1_loss as l1_loss,
    mse_loss as mse_loss,
    multilabel_soft_margin_loss as multilabel_soft_margin_loss,
    poisson_nll_loss as poisson_nll_loss,
    smooth_l1_loss as smooth_l1_loss,
    soft_margin_loss as soft_margin_loss,
)
from neurenix.ops.loss import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from neurenix.ops.dice import dice_loss as dice_loss
from neurenix.ops.boundary_loss import boundary_loss as boundary_loss, signed_distance as signed_distance
from neurenix.ops.focal_loss import focal_loss as focal_loss, sigmoid_focal_loss as sigmoid_focal_loss
from neurenix.ops.lovasz_loss import lovasz_hinge_loss as lovasz_hinge_loss, lovasz_softmax_loss as lovasz_softmax_loss
from neurenix.ops.overlap_loss import (
    focal_tversky_loss as focal_tversky_loss,
    generalized_dice_loss as generalized_dice_loss,
    jaccard_loss as jaccard_loss,
    tversky_loss as tversky_loss,
)
from neurenix.ops.skeleton_loss import soft_cldice_loss as soft_cldice_loss, soft_skeleton as soft_skeleton
from neurenix.ops.ssim import ms_ssim as ms_ssim, ssim as ssim
from neurenix.ops.resize_labels import resize_labels as resize_labels
from neurenix.ops.margin_loss import multi_margin_loss as multi_margin_loss, multilabel_margin_loss as multilabel_margin_loss
from neurenix.ops.class_loss import (
    cross_entropy as cross_entropy,
    nll_loss as nll_loss,
)

# random
from neurenix.ops.dropout import (
    alpha_dropout as alpha_dropout, dropout as dropout, dropout1d as dropout1d, dropout2d as dropout2d, dropout3d as dropout3d,
    feature_alpha_dropout as feature_alpha_dropout,
)  # fmt: skip
from neurenix.ops.rrelu import rrelu as rrelu

# families of rarer functions
from neurenix.ops.pairwise import (
    copysign as copysign, float_power as float_power, fmax as fmax, fmin as fmin, gcd as gcd, heaviside as heaviside, isneginf as
    isneginf, isposinf as isposinf, isreal as isreal, lcm as lcm, ldexp as ldexp, logaddexp as logaddexp, logaddexp2 as logaddexp2,
    positive as positive, sgn as sgn, signbit as signbit,
)  # fmt: skip
from neurenix.ops.special import (
    digamma as digamma, entr as entr, erfcx as erfcx, erfinv as erfinv, i0 as i0, i0e as i0e, i1 as i1, i1e as i1e, lgamma as lgamma,
    log_ndtr as log_ndtr, mvlgamma as mvlgamma, ndtr as ndtr, ndtri as ndtri, polygamma as polygamma, sinc as sinc, xlog1py as xlog1py,
)  # fmt: skip
from neurenix.ops.searching import (
    bincount as bincount, bucketize as bucketize, histc as histc, isin as isin, mode as mode, msort as msort, searchsorted as
    searchsorted, tril_indices as tril_indices, triu_indices as triu_indices, unique as unique, unique_consecutive as unique_consecutive,
    unravel_index as unravel_index,
)  # fmt: skip
from neurenix.ops.quantiles import (
    nanmedian as nanmedian, nanquantile as nanquantile, quantile as quantile,
)  # fmt: skip
from neurenix.ops.running import (
    cummax as cummax, cummin as cummin, cumulative_trapezoid as cumulative_trapezoid, gradient as gradient, logcumsumexp as logcumsumexp,
    trapezoid as trapezoid, trapz as trapz,
)  # fmt: skip
from neurenix.ops.replace import (
    diagonal_scatter as diagonal_scatter, index_add as index_add, index_copy as index_copy, index_fill as index_fill, index_put as
    index_put, index_reduce as index_reduce, masked_scatter as masked_scatter, put as put, scatter_reduce as scatter_reduce,
    select_scatter as select_scatter, slice_scatter as slice_scatter,
)  # fmt: skip
from neurenix.ops.arrangement import (
    atleast_1d as atleast_1d, atleast_2d as atleast_2d, atleast_3d as atleast_3d, block_diag as block_diag, broadcast_shapes as
    broadcast_shapes, cartesian_prod as cartesian_prod, column_stack as column_stack, combinations as combinations, diagflat as diagflat,
    dsplit as dsplit, hsplit as hsplit, renorm as renorm, sliding_windows as sliding_windows, sum_to_size as
    sum_to_size, tensor_split as tensor_split, vsplit as vsplit,
)  # fmt: skip
from neurenix.ops.vectors import (
    addr as addr, corrcoef as corrcoef, cov as cov, cross as cross, kron as kron, matrix_power as matrix_power, trace as
    trace, vdot as vdot,
)  # fmt: skip
from neurenix.ops.draws import (
    bernoulli as bernoulli, gumbel_softmax as gumbel_softmax, multinomial as multinomial, normal as normal,
)  # fmt: skip
from neurenix.ops.distance_loss import (
    cosine_embedding_loss as cosine_embedding_loss, gaussian_nll_loss as gaussian_nll_loss, hinge_embedding_loss as hinge_embedding_loss,
    margin_ranking_loss as margin_ranking_loss, pdist as pdist, triplet_margin_loss as triplet_margin_loss,
    triplet_margin_with_distance_loss as triplet_margin_with_distance_loss,
)  # fmt: skip

vector_norm = _statistics.norm  # `ops.norm` is a module

from neurenix.ops._numpy_names import accept_numpy_names as _accept_numpy_names  # noqa: E402 - of all that is above
from neurenix.tensor import Tensor as _Tensor  # noqa: E402

_accept_numpy_names(globals(), _Tensor.__mro__[:-1])
