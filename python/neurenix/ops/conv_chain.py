"""Runs of convolution, normalisation and activation, with as few passes over memory as the moment allows.

Where nothing is recorded, and no autocast rounds what lies between, a convolution applies the stored statistics' scale and shift and ReLU to
its sums before they are written. Where gradients are recorded, a run is one node (:mod:`neurenix.ops._chain_node`): a convolution reads its
predecessor's own output and normalises it on the way in, and nothing else is kept. Else the operations run one by one. All give the
same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import anomaly, autograd, backend, window
from neurenix.errors import ShapeError
from neurenix.layout import contiguous
from neurenix.ops import activation
from neurenix.ops._chain_node import Norm as Norm, Unit as Unit, fitted, record_run, source_of
from neurenix.ops._conv import LANE, Epilogue, by_winograd, cell, run, run_winograd, sides
from neurenix.ops._half import type_of
from neurenix.ops.conv import conv2d
from neurenix.ops.parts import cat
from neurenix.tensor import Tensor, as_tensor

Parts = tuple[Tensor, ...]  # a map, or two with half of the channels each


def _is_recorded(parts: Parts, unit: Unit) -> bool:
    return autograd.is_grad_enabled() and any(t is not None and t.requires_grad for t in (*parts, *unit.leaves))


def _one_by_one(parts: Parts, unit: Unit) -> Tensor:
    x = _joined(parts)
    y = conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
    if unit.norm is not None:
        return unit.norm(y, unit.relu)
    return activation.relu(y) if unit.relu else y


def _in_one_pass(parts: Parts, unit: Unit) -> Tensor | None:
    fit = fitted(parts, unit)
    source = source_of(parts)
    end = Epilogue(None if unit.bias is None else contiguous(unit.bias._array), relu=unit.relu)
    if unit.norm is not None:
        tables = unit.norm.stored_tables(source.first, unit.weight.shape[0])
        if tables is None:
            return None
        if unit.norm.watch is not None:
            unit.norm.watch(parts[0])
        end = end._replace(scale=tables.scale, shift=tables.shift)
    size, like, weight = (fit.size[0], fit.size[1]), source.first, unit.weight
    if source.second is None:
        y = run(like, weight, fit.window, size, False, end)
    else:
        y = backend.new(like, (source.shape[0], *size, weight.shape[0]))
        run_winograd((y, None), source, weight, fit.window, False, end)
    inputs = (parts[0], weight, *parts[1:])  # who counts work looks for the weight there
    return autograd.record(
        "conv2d",
        fit.form.logical(y),
        inputs,
        lambda _: [None] * len(inputs),
        lambda: fit.local(False, cell(like, weight, fit.window, False)),
    )


def _joined(parts: Parts) -> Tensor:
    return parts[0] if len(parts) == 1 else cat(parts, 1)


def _reads_halves(parts: Parts, unit: Unit) -> bool:
    """Whether a unit's convolution can read two maps as the halves of its input's channels."""
    x, beside = parts
    if x.shape != beside.shape or x.dtype != beside.dtype or x.shape[1] % LANE or type_of(x) is not None or window.is_followed():
        return False  # windows are cut to what both hold where they are copied together
    if type(x._array) is not np.ndarray or type(beside._array) is not np.ndarray:
        return False
    return by_winograd(x._array, fitted(parts, unit).window, *sides(unit.weight, unit.groups, False))


def _run_length(parts: Parts, units: Sequence[Unit]) -> int:
    """How many units from the first on stand on the tape as one."""
    x = parts[0]
    plain = type_of(x) is None and not anomaly.is_detecting() and not window.is_followed()
    if not (plain and x.dtype in (np.float32, np.float64) and all(t._array.size for t in parts) and _is_recorded(parts, units[0])):
        return 0
    for i, unit in enumerate(units):
        if not unit.is_plain(x._array):
            return i
        if unit.activation not in (None, "relu"):
            return i + 1
    return len(units)


def _alone(parts: Parts, unit: Unit) -> Tensor:
    """A unit as far as its ReLU."""
    y = None if _is_recorded(parts, unit) or type_of(parts[0]) else _in_one_pass(parts, unit)
    return _one_by_one(parts, unit) if y is None else y


def conv_chain(input: Any, units: Sequence[Unit], beside: Any = None) -> Tensor:
    """Run units of convolution, normalisation and activation on a map (N, C, H, W).

    The same values and gradients, in bits, as the functions one after the other. The channels of ``beside``, where it is given, follow
    those of ``input``.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As the functions do.
    """
    parts: Parts = (as_tensor(input),) if beside is None else (as_tensor(input), as_tensor(beside))
    for x in parts:
        if x.ndim != 4:
            raise ShapeError(f"conv_chain: expected x (N, C, H, W), got shape {x.shape}; add the batch axis with x.unsqueeze(0)")
    if len(parts) == 2 and not (units and _reads_halves(parts, units[0])):
        parts = (_joined(parts),)
    i = 0
    while i < len(units):
        length = _run_length(parts, units[i:])
        y = record_run(parts, units[i : i + length]) if length else _alone(parts, units[i])
        i += max(length, 1)
        last = units[i - 1].activation
        parts = (last(y) if callable(last) else y,)
    return _joined(parts)
