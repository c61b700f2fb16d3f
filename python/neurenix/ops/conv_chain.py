"""Runs of convolution, normalisation and activation, with as few passes over memory as the moment allows.

Where nothing is recorded, and no autocast rounds what lies between, a convolution applies the stored statistics' scale and shift and ReLU to its sums before they are
written; else the operations run one by one. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from neurenix import autograd
from neurenix._typing import Array
from neurenix.errors import ArgumentError, ShapeError
from neurenix.layout import contiguous
from neurenix.ops import activation, channel_norm, norm
from neurenix.ops._conv import Epilogue, cell, run
from neurenix.ops._half import type_of
from neurenix.ops.conv import conv2d, fit, operands
from neurenix.tensor import Tensor, as_tensor


class Norm(NamedTuple):
    """A normalisation, as its function takes it."""

    kind: str  # "batch", "instance" or "group"
    weight: Tensor | None = None
    bias: Tensor | None = None
    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    training: bool = True  # whether the map's own statistics are used
    momentum: float = 0.1
    eps: float = 1e-5
    groups: int = 1

    def __call__(self, x: Tensor, relu: bool) -> Tensor:
        """Normalise, then ReLU in the same pass."""
        if self.kind == "group":
            return channel_norm.group_norm(x, self.groups, self.weight, self.bias, self.eps, relu=relu)
        if self.kind not in ("batch", "instance"):
            raise ArgumentError(f"conv_chain: expected a batch, instance or group norm, got {self.kind!r}; pass one of them")
        apply = channel_norm.batch_norm if self.kind == "batch" else channel_norm.instance_norm
        running = (self.running_mean, self.running_var)
        return apply(x, *running, self.weight, self.bias, self.training, self.momentum, self.eps, relu=relu)

    def tables(self, source: Array, channels: int) -> tuple[Array, Array] | None:
        """Scale and shift where they do not depend on the map; ``None`` also where the function would refuse the tensors."""
        stored = (self.running_mean, self.running_var)
        if self.kind not in ("batch", "instance") or self.training or any(t is None for t in stored):
            return None
        arrays = [None if t is None else t._array for t in (*stored, self.weight, self.bias)]
        if any(a is not None and (type(a), a.dtype, a.shape) != (type(source), source.dtype, (channels,)) for a in arrays):
            return None
        mean, var, weight, bias = (None if a is None else contiguous(a) for a in arrays)
        tables = norm.running_tables(source, mean, var, weight, bias, self.eps)
        return tables.scale, tables.shift


class Unit(NamedTuple):
    """One convolution and what follows it."""

    weight: Tensor
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1
    norm: Norm | None = None
    activation: str | Callable[[Tensor], Tensor] | None = None  # "relu" shares a pass

    @property
    def relu(self) -> bool:
        """Whether the activation is ReLU."""
        return self.activation == "relu"

    @property
    def leaves(self) -> tuple[Tensor | None, ...]:
        """Tensors that a gradient may flow to."""
        return (self.weight, self.bias) + ((self.norm.weight, self.norm.bias) if self.norm else ())


def _recorded(x: Tensor, unit: Unit) -> bool:
    return autograd.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, *unit.leaves))


def _one_by_one(x: Tensor, unit: Unit) -> Tensor:
    y = conv2d(x, unit.weight, unit.bias, unit.stride, unit.padding, unit.dilation, unit.groups)
    if unit.norm is not None:
        return unit.norm(y, unit.relu)
    return activation.relu(y) if unit.relu else y


def _in_one_pass(x: Tensor, unit: Unit) -> Tensor | None:
    tensors = x, w, b = operands("conv2d", x, unit.weight, unit.bias)
    fitted = fit("conv2d", 2, tensors, unit.stride, unit.padding, unit.dilation, unit.groups)
    form, size = fitted.form, fitted.size
    end = Epilogue(None if b is None else contiguous(b._array), relu=unit.relu)
    source = form.buffer(x._array)
    if unit.norm is not None:
        tables = unit.norm.tables(source, w.shape[0])
        if tables is None:
            return None
        end = end._replace(scale=tables[0], shift=tables[1])
    y = form.logical(run(source, w, fitted.window, (size[0], size[1]), False, end))
    return autograd.record("conv2d", y, (x, w), _no_gradient, lambda: fitted.local(False, cell(source, w, fitted.window, False)))


def _no_gradient(_: Array) -> list[Array | None]:
    return [None, None]


def conv_chain(input: Any, units: Sequence[Unit]) -> Tensor:
    """Run units of convolution, normalisation and activation on a map (N, C, H, W).

    The same values and gradients, in bits, as the functions one after the other.

    Raises
    ------
    ShapeError, DTypeError, ArgumentError
        As the functions do.
    """
    x = as_tensor(input)
    if x.ndim != 4:
        raise ShapeError(f"conv_chain: expected x (N, C, H, W), got shape {x.shape}; add the batch axis with x.unsqueeze(0)")
    for unit in units:
        y = None if _recorded(x, unit) or type_of(x) else _in_one_pass(x, unit)
        x = _one_by_one(x, unit) if y is None else y
        if callable(unit.activation):
            x = unit.activation(x)
    return x
