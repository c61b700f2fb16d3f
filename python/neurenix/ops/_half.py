"""Rounding to half precision around the operations that :class:`neurenix.autocast` names.

On a GPU the tensor cores multiply numbers of either type exactly, twice as many at a time as TF32's: where the "fast" setting takes
three TF32 products a multiplication, one of halves is enough for rounded numbers, forward and backward, and loses nothing.

On a CPU bfloat16 is what products are computed in that gain from it: their kernels round as they read and write, told by the precision
that they run under. All others stay float32 as they are; rounding them would be passes over memory for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from neurenix import autograd, half
from neurenix._typing import Array
from neurenix.ops._derived import derived
from neurenix.ops.elementwise import Unary, map1
from neurenix.precision import get_float32_precision, within
from neurenix.tensor import Tensor

_NEAREST = {"bfloat16": Unary.NEAREST_BFLOAT16, "float16": Unary.NEAREST_FLOAT16}


def type_of(t: Tensor) -> str | None:
    """The half-precision type that a float32 tensor is rounded to here, if any."""
    return half.chosen(t.device) if half.is_on() and t.dtype == np.float32 else None


def in_half(run: Callable[..., Tensor], x: Tensor, *others: Tensor | None, weights: bool = True, pairs: bool = True) -> Tensor:
    """``run(x, *others)``; under autocast on rounded tensors, and its result rounded.

    ``weights`` says that the others are a layer's, whose rounded twins are kept where nothing is recorded; ``pairs`` that on a CPU
    the operation has kernels over pairs of bfloat16.
    """
    dtype = type_of(x)
    if dtype is None or (is_left_to_kernels(x) and not pairs):
        return run(x, *others)
    if is_left_to_kernels(x):
        return _under(dtype, run, x, *others)
    given = [None if t is None else _kept(t, dtype) if weights else rounded(t, dtype) for t in others]
    return rounded(_by_cores(run, dtype, rounded(x, dtype), *given), dtype)


def _by_cores(run: Callable[..., Tensor], dtype: str, *given: Tensor | None) -> Tensor:
    """``run(*given)`` on rounded tensors, and its gradient later."""
    device = str(given[0].device) if given[0] is not None else "cpu"
    if device == "cpu" or get_float32_precision() == "ieee":  # under "ieee" a GPU's tensor cores are not used
        return run(*given)
    return _under(dtype, run, *given)


def _under(precision: str, run: Callable[..., Tensor], *given: Tensor | None) -> Tensor:
    """``run(*given)`` under a precision, its gradient too unless that is asked for under "ieee"."""
    with within(precision):
        y = run(*given)
    if y._node is not None and y._node.vjp is not None:
        rule = y._node.vjp

        def vjp(g: Array) -> Sequence[Any]:
            with nullcontext() if get_float32_precision() == "ieee" else within(precision):
                return rule(g)

        y._node.vjp = vjp
    return y


def is_left_to_kernels(x: Tensor) -> bool:
    """Whether autocast leaves rounding to those kernels that gain from it: of bfloat16 on a CPU, unless the precision is "ieee"."""
    return type_of(x) == "bfloat16" and x.device == "cpu" and get_float32_precision() != "ieee"


def rounded(t: Tensor, dtype: str) -> Tensor:
    """The nearest numbers of a half-precision type, as float32; the gradient is rounded as well."""
    op = _NEAREST[dtype]

    def vjp(g: Array) -> tuple[Array]:
        return (map1(op, g),)

    return autograd.record("autocast", map1(op, t._array), (t,), vjp)


def _kept(t: Tensor, dtype: str) -> Tensor:
    """As :func:`rounded`; where nothing is recorded it is kept until the values change, and with it what kernels made of it."""
    if t.requires_grad and autograd.is_grad_enabled():
        return rounded(t, dtype)

    def make() -> Any:
        return Tensor._wrap(map1(_NEAREST[dtype], t._array))

    twin: Tensor = derived(t, ("half", dtype), make)
    return twin
