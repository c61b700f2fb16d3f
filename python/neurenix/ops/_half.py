"""Rounding to half precision around the operations that :class:`neurenix.autocast` names.

On a GPU the tensor cores multiply numbers of either type exactly, twice as many at a time as TF32's: where the "fast" setting takes
three TF32 products a multiplication, one of halves is enough for rounded numbers, forward and backward, and loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
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


def in_half(run: Callable[..., Tensor], x: Tensor, *others: Tensor | None, weights: bool = True) -> Tensor:
    """``run(x, *others)``; under autocast on rounded tensors, and its result rounded.

    ``weights`` says that the others are a layer's, whose rounded twins are kept where nothing is recorded.
    """
    dtype = type_of(x)
    if dtype is None:
        return run(x, *others)
    given = [None if t is None else _kept(t, dtype) if weights else rounded(t, dtype) for t in others]
    return rounded(_by_cores(run, dtype, rounded(x, dtype), *given), dtype)


def _in_halves(device: str, dtype: str) -> AbstractContextManager[None]:
    """Context in which a GPU's tensor cores multiply halves; under "ieee" they are not used."""
    return within(dtype) if device != "cpu" and get_float32_precision() != "ieee" else nullcontext()


def _by_cores(run: Callable[..., Tensor], dtype: str, *given: Tensor | None) -> Tensor:
    """``run(*given)`` on rounded tensors, and its gradient later."""
    device = str(given[0].device) if given[0] is not None else "cpu"
    with _in_halves(device, dtype):
        y = run(*given)
    if device != "cpu" and y._node is not None and y._node.vjp is not None:
        rule = y._node.vjp

        def vjp(g: Array) -> Sequence[Any]:
            with _in_halves(device, dtype):
                return rule(g)

        y._node.vjp = vjp
    return y


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
