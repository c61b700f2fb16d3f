"""Multi-scale models (U-Net, feature pyramids, pooling, fusion, transforms) on plain NumPy and CuPy arrays."""

import importlib
from typing import TYPE_CHECKING, Any

from neurenix._rust import __version__ as __version__
from neurenix import autograd as autograd
from neurenix.autograd import (
    enable_grad as enable_grad, inference_mode as inference_mode, is_grad_enabled as is_grad_enabled, no_grad as no_grad, set_grad_enabled as
    set_grad_enabled,
)  # fmt: skip
from neurenix.tensor import Tensor as Tensor, set_default_device as set_default_device, tensor as tensor

# tensor functions
from numpy import (
    float16 as float16, float32 as float32, float64 as float64, int8 as int8, int16 as int16, int32 as int32, int64 as int64, uint8 as
    uint8, uint16 as uint16, uint32 as uint32, uint64 as uint64, bool_ as bool_,
)  # fmt: skip
from neurenix.ops import (
    abs as abs, absolute as absolute, acos as acos, acosh as acosh, add as add, addbmm as addbmm, addcdiv as addcdiv, addcmul as
    addcmul, addmm as addmm, addmv as addmv, all as all, allclose as allclose, amax as amax, amin as amin, aminmax as aminmax, any as
    any, arange as arange, arccos as arccos, arccosh as arccosh, arcsin as arcsin, arcsinh as arcsinh, arctan as arctan, arctanh as
    arctanh, argmax as argmax, argmin as argmin, argsort as argsort, argwhere as argwhere, as_tensor as as_tensor, asin as asin, asinh as asinh, atan as atan,
    atan2 as atan2, atanh as atanh, baddbmm as baddbmm, bitwise_and as bitwise_and, bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_not, bitwise_or as bitwise_or, bitwise_right_shift as bitwise_right_shift, bitwise_xor as bitwise_xor, bmm as
    bmm, broadcast_tensors as broadcast_tensors, broadcast_to as broadcast_to, cat as cat, cdist as cdist, ceil as ceil, celu as celu,
    chain_matmul as chain_matmul, chunk as chunk, clamp as clamp, clamp_max as clamp_max, clamp_min as clamp_min, clip as clip, clone as
    clone, concat as concat, concatenate as concatenate, contiguous as contiguous, cos as cos, cosh as cosh, cosine_similarity as
    cosine_similarity, count_nonzero as count_nonzero, cumprod as cumprod, cumsum as cumsum, deg2rad as deg2rad, diag as diag,
    diag_embed as diag_embed, diagonal as diagonal, diff as diff, dist as dist, div as div, divide as divide, dot as dot, dstack as
    dstack, einsum as einsum, empty as empty, empty_like as empty_like, eq as eq, equal as equal, erf as erf, erfc as erfc, exp as exp,
    exp2 as exp2, expand as expand, expand_as as expand_as, expm1 as expm1, eye as eye, fix as fix, flatten as flatten, flip as flip,
    fliplr as fliplr, flipud as flipud, floor as floor, floor_divide as floor_divide, fmod as fmod, frac as frac, from_dlpack as
    from_dlpack, from_numpy as from_numpy, full as full, full_like as full_like, gather as gather, ge as ge, greater as greater,
    greater_equal as greater_equal, gt as gt, hardshrink as hardshrink, hstack as hstack, hypot as hypot, index_select as index_select,
    inner as inner, isclose as isclose, isfinite as isfinite, isinf as isinf, isnan as isnan, kthvalue as kthvalue, le as le, lerp as
    lerp, less as less, less_equal as less_equal, linspace as linspace, log as log, log10 as log10, log1p as log1p, log2 as log2,
    log_softmax as log_softmax, logaddexp as logaddexp, logical_and as logical_and, logical_not as logical_not, logical_or as
    logical_or, logical_xor as logical_xor, logit as logit, logspace as logspace, logsumexp as logsumexp, lt as lt, masked_fill as
    masked_fill, masked_select as masked_select, matmul as matmul, max as max, maximum as maximum, mean as mean, median as median,
    meshgrid as meshgrid, min as min, minimum as minimum, mm as mm, moveaxis as moveaxis, movedim as movedim, mul as mul, multiply as
    multiply, mv as mv, nan_to_num as nan_to_num, nanmean as nanmean, nansum as nansum, narrow as narrow, ne as ne, neg as neg, negative
    as negative, nonzero as nonzero, not_equal as not_equal, ones as ones, ones_like as ones_like, outer as outer, pairwise_distance as
    pairwise_distance, permute as permute, pow as pow, prelu as prelu, prod as prod, rad2deg as rad2deg, ravel as ravel, reciprocal as
    reciprocal, relu as relu, remainder as remainder, repeat as repeat, repeat_interleave as repeat_interleave, reshape as reshape,
    reshape_as as reshape_as, roll as roll, rot90 as rot90, round as round, swapdims as swapdims, arctan2 as arctan2, rsqrt as rsqrt, rsub as rsub, scatter as scatter,
    scatter_add as scatter_add, select as select, selu as selu, sigmoid as sigmoid, sign as sign, sin as sin, sinh as sinh, softmax as
    softmax, sort as sort, split as split, split_with_sizes as split_with_sizes, sqrt as sqrt, square as square, squeeze as squeeze,
    stack as stack, std as std, std_mean as std_mean, sub as sub, subtract as subtract, sum as sum, swapaxes as swapaxes, t as t, take
    as take, take_along_dim as take_along_dim, tan as tan, tanh as tanh, tensordot as tensordot, tile as tile, topk as topk, transpose
    as transpose, tril as tril, triu as triu, true_divide as true_divide, trunc as trunc, unbind as unbind, unflatten as unflatten,
    unsqueeze as unsqueeze, var as var, var_mean as var_mean, view as view, view_as as view_as, vstack as vstack,
    where as where, xlogy as xlogy, zeros as zeros, zeros_like as zeros_like,
)  # fmt: skip
from neurenix.ops import (
    addr as addr, atleast_1d as atleast_1d, atleast_2d as atleast_2d, atleast_3d as atleast_3d, bincount as bincount, block_diag as
    block_diag, broadcast_shapes as broadcast_shapes, bucketize as bucketize, cartesian_prod as cartesian_prod, column_stack as
    column_stack, combinations as combinations, copysign as copysign, corrcoef as corrcoef, cov as cov, cross as cross, cummax as cummax,
    cummin as cummin, cumulative_trapezoid as cumulative_trapezoid, diagflat as diagflat, diagonal_scatter as diagonal_scatter, digamma as
    digamma, dsplit as dsplit, erfinv as erfinv, float_power as float_power, fmax as fmax, fmin as fmin, gcd as gcd, ger as ger, gradient
    as gradient, heaviside as heaviside, histc as histc, hsplit as hsplit, i0 as i0, index_add as index_add, index_copy as index_copy,
    index_fill as index_fill, index_put as index_put, index_reduce as index_reduce, isin as isin, isneginf as isneginf, isposinf as
    isposinf, isreal as isreal, kron as kron, lcm as lcm, ldexp as ldexp, lgamma as lgamma, logaddexp2 as logaddexp2, logcumsumexp as
    logcumsumexp, masked_scatter as masked_scatter, matrix_power as matrix_power, mode as mode, msort as msort, mvlgamma as mvlgamma,
    nanmedian as nanmedian, nanquantile as nanquantile, pdist as pdist, polygamma as polygamma, positive as positive, quantile as
    quantile, renorm as renorm, row_stack as row_stack, scatter_reduce as scatter_reduce, searchsorted as searchsorted, select_scatter as
    select_scatter, sgn as sgn, signbit as signbit, sinc as sinc, slice_scatter as slice_scatter, tensor_split as tensor_split, trace as
    trace, trapezoid as trapezoid, trapz as trapz, tril_indices as tril_indices, triu_indices as triu_indices, unique as unique,
    unique_consecutive as unique_consecutive, unravel_index as unravel_index, vdot as vdot, vsplit as vsplit,
)  # fmt: skip
from neurenix.ops import vector_norm as norm  # noqa: F401 - the name that PyTorch has for it

# random numbers
from neurenix.ops import bernoulli as bernoulli, multinomial as multinomial, normal as normal
from neurenix.generators import Generator as Generator
from neurenix.random import (
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    rand as rand,
    rand_like as rand_like,
    randint as randint,
    randint_like as randint_like,
    randn as randn,
    randn_like as randn_like,
    randperm as randperm,
    set_rng_state as set_rng_state,
)

# precision, threads, memory
from neurenix.backend.devices import device as device
from neurenix.checkpoint import checkpoint as checkpoint, enable_gradient_checkpointing as enable_gradient_checkpointing
from neurenix.half import (
    autocast as autocast,
    bfloat16 as bfloat16,
    get_autocast_dtype as get_autocast_dtype,
    is_autocast_enabled as is_autocast_enabled,
)
from neurenix.memory import (
    empty_cache as empty_cache,
    get_memory_limit as get_memory_limit,
    memory_stats as memory_stats,
    reset_peak as reset_peak,
    set_memory_limit as set_memory_limit,
)
from neurenix.precision import get_float32_precision as get_float32_precision, set_float32_precision as set_float32_precision
from neurenix.system import (
    diagnose as diagnose,
    get_num_threads as get_num_threads,
    set_num_threads as set_num_threads,
    show_config as show_config,
)

from neurenix.amp import GradScaler as GradScaler

from neurenix.anomaly import detect_anomaly as detect_anomaly

# rooms
from neurenix import amp as amp, multiscale as multiscale, nn as nn, optim as optim


if TYPE_CHECKING:
    from neurenix.callbacks import EarlyStopping as EarlyStopping, ModelCheckpoint as ModelCheckpoint
    from neurenix.inference import predict as predict
    from neurenix.picture import overlay as overlay
    from neurenix.serialization import load as load, load_weights as load_weights, save as save

# What a first result does without loads when first used: these rooms and names take a third of a whole import.
_LATER = ("cuda", "data", "export", "linalg", "metrics", "parallel", "slides", "special", "testing")
_FROM = {
    "EarlyStopping": "callbacks",
    "ModelCheckpoint": "callbacks",
    "load": "serialization",
    "load_weights": "serialization",
    "overlay": "picture",
    "predict": "inference",
    "save": "serialization",
}


def __getattr__(name: str) -> Any:
    """A room or name that loads when it is first used."""
    if name in _LATER:
        return importlib.import_module(f"neurenix.{name}")
    if name in _FROM:
        value = globals()[name] = getattr(importlib.import_module(f"neurenix.{_FROM[name]}"), name)
        return value
    raise AttributeError(f"module 'neurenix' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_FROM})
