"""Runs of convolution, normalisation and activation, with as few passes over memory as the moment allows.

Where nothing is recorded, and no autocast rounds what a convolution reads and gives, it applies the stored statistics' scale and shift and ReLU,
on a GPU any common activation, to its sums before they are written, and reads two maps beside each other where they lie. Where gradients
are recorded, a run is one node (:mod:`neurenix.ops._chain_node`): a convolution reads its predecessor's own output and normalises it on the
way in, and nothing else is kept; the pass that normalises the last map also takes the maxima of a 2x2 max pool behind it. Else the
operations run one by one; on a GPU a convolution then reads two maps where they lie too. All give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from neurenix import anomaly, autograd, backend, window
from neurenix._typing import Array
from neurenix.errors import ShapeError
from neurenix.layout import contiguous
from neurenix.ops import activation
from neurenix.ops._arguments import integer, integers, is_plain
from neurenix.ops._chain_node import Fusible as Fusible, Halving, Norm as Norm, Unit as Unit, conv_of_two, fitted, record_run, source_of
from neurenix.ops._conv import Epilogue, Source, Window, by_winograd, cell, run, run_winograd, sides
from neurenix.ops._conv_pairs import LANE, by_pairs
from neurenix.ops._half import is_left_to_kernels, type_of
from neurenix.ops._one_pass import OnePass as OnePass, mode as mode
from neurenix.ops.conv import Fit, conv2d
from neurenix.ops.elementwise import NONE, Activation as Activation
from neurenix.ops.parts import cat
from neurenix.ops.pooling import halves
from neurenix.tensor import Tensor, as_tensor

HALVED: Final = 128  # channels from which on a CPU pools a map while it is normalised: no slower than in two passes
Parts = tuple[Tensor, ...]  # a map, or two with a part of the channels each


def _is_recorded(parts: Parts, unit: Unit) -> bool:
    return autograd.is_grad_enabled() and any(t is not None and t.requires_grad for t in (*parts, *unit.leaves))


def _is_rounded(x: Tensor, unit: Unit) -> bool:
    """Whether autocast rounds what a unit's convolution of maps like ``x`` reads or gives, forward or backward."""
    if type_of(x) is None:
        return False
    if not is_left_to_kernels(x) or unit.weight.ndim != 4:
        return True
    _, _, kh, kw = unit.weight.shape
    (sh, sw), (dh, dw) = (integers("conv2d", name, getattr(unit, name), 2, 1) for name in ("stride", "dilation"))
    window = Window((kh, kw), (sh, sw), (0, 0), (dh, dw), integer("conv2d", "groups", unit.groups, 1))
    outputs, channels = sides(unit.weight, window.groups, False)
    if by_winograd(x._array, window, outputs, channels):
        return False
    return by_pairs(window.kernel, outputs, channels) or by_pairs(window.kernel, channels, outputs)


def _one_by_one(parts: Parts, unit: Unit) -> Tensor:
    if len(parts) == 2 and type(parts[0]._array) is not np.ndarray:
        return _followed(conv_of_two(parts, unit), unit)
    x = _joined(parts)
    y = conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
    return _followed(y, unit)


def _followed(y: Tensor, unit: Unit) -> Tensor:
    """What follows a unit's convolution, in passes of their own."""
    if unit.norm is not None:
        y = unit.norm(y, unit.relu)
    elif unit.relu:
        y = activation.relu(y)
    return unit.activation(y) if callable(unit.activation) else y


def _in_one_pass(parts: Parts, unit: Unit) -> Tensor | None:
    fit = fitted(parts, unit)
    source = source_of(parts)
    like, weight, tables = source.first, unit.weight, None
    end = Epilogue(None if unit.bias is None else contiguous(unit.bias._array))
    if unit.norm is not None:
        tables = unit.norm.stored_tables(like, weight.shape[0])
        if tables is None and (source.second is None or type(like) is np.ndarray):
            return None
        if tables is not None and unit.norm.watch is not None:
            unit.norm.watch(parts[0])
    whole = unit.norm is None or tables is not None
    if whole:
        scale, shift = (None, None) if tables is None else (tables.scale, tables.shift)
        end = Epilogue(end.bias, scale, shift, unit.fused(like))
    inputs = (parts[0], weight, *parts[1:])  # who counts work looks for the weight there
    y = autograd.record(
        "conv2d",
        fit.form.logical(_convolved(source, weight, fit, end)),
        inputs,
        lambda _: [None] * len(inputs),
        lambda: fit.local(False, cell(like, weight, fit.window, False)),
    )
    if not whole:
        return _followed(y, unit)
    return unit.activation(y) if callable(unit.activation) and end.activation == NONE else y


def _convolved(source: Source, weight: Tensor, fit: Fit, end: Epilogue) -> Array:
    """The convolution of a map, or of two beside each other."""
    size, like = (fit.size[0], fit.size[1]), source.first
    if source.second is None or not by_winograd(like, fit.window, *sides(weight, fit.groups, False)):
        return run(like, weight, fit.window, size, False, end, second=source.second)
    y = backend.new(like, (source.shape[0], *size, weight.shape[0]))
    run_winograd((y, None), source, weight, fit.window, False, end)
    return y


def _joined(parts: Parts) -> Tensor:
    return parts[0] if len(parts) == 1 else cat(parts, 1)


def _reads_both(parts: Parts, unit: Unit) -> bool:
    """Whether a unit's convolution can read two maps where they lie, one's channels behind the other's."""
    x, beside = parts
    alike = (x.shape[0], x.shape[2:], x.dtype, type(x._array)) == (beside.shape[0], beside.shape[2:], beside.dtype, type(beside._array))
    if not alike or window.is_followed():
        return False  # windows are cut to what both hold where they are copied together
    if type(x._array) is not np.ndarray:
        one_device = backend.device_of(x._array) == backend.device_of(beside._array)
        return one_device and unit.groups == 1 and x.shape[1] % 4 == 0
    if _is_rounded(x, unit) or x.shape != beside.shape or x.shape[1] % LANE:
        return False
    return by_winograd(x._array, fitted(parts, unit).window, *sides(unit.weight, unit.groups, False))


def reads_two(x: Tensor, unit: Unit) -> bool:
    """Whether nothing is recorded, and a unit reads ``x`` and a map like it as the halves of its channels in one pass."""
    stored = unit.norm is None or not unit.norm.is_own
    return stored and not autograd.is_grad_enabled() and not _is_rounded(x, unit) and _reads_both((x, x), unit)


def prepared(unit: Unit, x: Tensor, beside: Tensor | None = None) -> OnePass | None:
    """The one pass that :func:`conv_chain` makes of a unit here, for more maps of these sizes; ``None`` where it makes others.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As the functions do.
    """
    now, norm = mode(), unit.norm
    if now is None or type(x._array) is not np.ndarray or unit.activation not in (None, "relu"):
        return None
    stored = norm is None or (not norm.is_own and norm.fits(x._array, unit.weight.shape[0]))
    lasting = all(map(is_plain, (unit.stride, unit.padding, unit.dilation, unit.groups)))
    dense = all(t is None or t._array.flags.c_contiguous for t in (unit.bias, *((*norm.running, *norm.affine) if norm else ())))
    if not (stored and lasting and dense) or _is_rounded(x, unit) or (beside is not None and not _reads_both((x, beside), unit)):
        return None
    return OnePass(now, unit, x, beside)


def _run_length(parts: Parts, units: Sequence[Unit]) -> int:
    """How many units from the first on stand on the tape as one."""
    x = parts[0]
    plain = not anomaly.is_detecting() and not window.is_followed()
    if not (plain and x.dtype in (np.float32, np.float64) and all(t._array.size for t in parts) and _is_recorded(parts, units[0])):
        return 0
    for i, unit in enumerate(units):
        if not unit.is_plain(x._array) or _is_rounded(x, unit):
            return i
        if unit.activation not in (None, "relu"):
            return i + 1
    return len(units)


def _alone(parts: Parts, unit: Unit) -> Tensor:
    y = None if _is_recorded(parts, unit) or _is_rounded(parts[0], unit) else _in_one_pass(parts, unit)
    return _one_by_one(parts, unit) if y is None else y


def _chained(input: Any, units: Sequence[Unit], beside: Any, halving: Halving | None) -> tuple[Tensor, tuple[Array, Array] | None]:
    """What units make of a map, and its maxima and their taps where the last pass gave them too."""
    parts: Parts = (as_tensor(input),) if beside is None else (as_tensor(input), as_tensor(beside))
    for x in parts:
        if x.ndim != 4:
            raise ShapeError(f"conv_chain: expected x (N, C, H, W), got shape {x.shape}; add the batch axis with x.unsqueeze(0)")
    if len(parts) == 2 and not (units and _reads_both(parts, units[0])):
        parts = (_joined(parts),)
    i, made = 0, None
    while i < len(units):
        length = _run_length(parts, units[i:])
        last = units[max(i + length, i + 1) - 1]
        if length:
            least = HALVED if type(parts[0]._array) is np.ndarray else 2
            pools = i + length == len(units) and not callable(last.activation) and last.weight.shape[0] >= least
            y, made = record_run(parts, units[i : i + length], halving if pools else None)
        else:
            y = _alone(parts, units[i])
        i += max(length, 1)
        parts = (last.activation(y) if length and callable(last.activation) else y,)
    return _joined(parts), made


def conv_chain(input: Any, units: Sequence[Unit], beside: Any = None) -> Tensor:
    """Run units of convolution, normalisation and activation on a map (N, C, H, W).

    The same values and gradients, in bits, as the functions one after the other. The channels of ``beside``, where it is given, follow
    those of ``input``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As the functions do.
    """
    return _chained(input, units, beside, None)[0]


def halved_chain(
    input: Any, units: Sequence[Unit], beside: Any = None, *, ceil_mode: bool = False, keeps: bool = True
) -> tuple[Tensor | None, Tensor]:
    """:func:`conv_chain`, and ``max_pool2d(., 2, ceil_mode=ceil_mode)`` of what it gives, in one pass where gradients are recorded.

    The map itself is ``None`` unless ``keeps`` asks for it: it is then not written either.
    """
    y, made = _chained(input, units, beside, Halving(ceil_mode, keeps))
    return y if keeps else None, halves(y, ceil_mode, made)
