"""Dropout: elements or whole channels set to zero at random while training."""

from __future__ import annotations

import math
from typing import Any

from neurenix import autograd, backend, layout, random
from neurenix._typing import Array
from neurenix.backend.kernel import In, Key, Out, Real, Size, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor, as_tensor

_SELU_FLOOR = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


@kernel("floats")
def dropout_into(
    y: Out,
    x: In,
    samples: Size,
    size: Size,
    period: Size,
    drop: Real,
    scale: Real,
    shift: Real,
    fill: Real,
    seed: Key,
    call: Key,
    first: Key,
) -> None:
    """y[s, e] = x[s, e] * scale + shift, or fill where Philox(seed, call, first + s, e % period) < drop * 2^32."""


def _check(op: str, x: Tensor, p: float) -> None:
    if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{op}: expected a probability p in [0, 1], got {p!r}; pass e.g. p=0.5")
    if not x.is_floating_point():
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")


def _rows(array: Array, channels: bool) -> tuple[Array, tuple[int, ...], int, int, int]:
    """The dense buffer, the axes that undo its order, samples, elements a sample, elements until the mask repeats.

    Elements are numbered channels last, so that the mask does not depend on how a map happens to lie in memory.
    """
    n = array.ndim
    order = (0, *range(2, n), 1) if n > 2 else tuple(range(n))
    buffer = layout.contiguous(array.transpose(order))
    samples = array.shape[0] if n > 1 else 1
    size = math.prod(array.shape[1:]) if n > 1 else array.size
    inverse = tuple(order.index(i) for i in range(n))
    return buffer, inverse, samples, size, max(1, array.shape[1] if channels else size)


def _drop(op: str, x: Tensor, p: float, channels: bool, scale: float, shift: float, fill: float) -> Tensor:
    key, first = random.generator().next_call(), random.sample_base()

    def masked(array: Array, shift: float, fill: float) -> Array:
        buffer, inverse, samples, size, period = _rows(array, channels)
        y = backend.new(buffer, buffer.shape)
        dropout_into(y, buffer, samples, size, period, float(p), scale, shift, fill, *key, first)
        return y.transpose(inverse)

    def vjp(g: Array) -> tuple[Array]:
        return (masked(g, 0.0, 0.0),)

    return autograd.record(op, masked(x._array, shift, fill), (x,), vjp)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set each element to zero with probability ``p`` and scale the rest by 1 / (1 - p).

    Parameters
    ----------
    input : Tensor
        Any shape; the first axis counts samples where there are at least two.
    p : float
        Probability of zero, 0 to 1.
    training : bool
        Whether anything is done.
    inplace : bool
        Accepted for PyTorch's sake; the result is a new tensor either way.

    Returns
    -------
    Tensor, shape and dtype of ``input``

    Raises
    ------
    ArgumentError
        If ``p`` is not a probability.

    Notes
    -----
    The mask is a function of (seed, call, sample, element), so it is not stored: backward and a checkpoint's second run
    compute it again.

    References
    ----------
    .. [1] N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.dropout(nx.tensor([1.0, 2.0]), p=0.5, training=False).tolist()
    [1.0, 2.0]
    """
    x = as_tensor(input)
    _check("dropout", x, p)
    if not training or p == 0:
        return x
    return _drop("dropout", x, p, False, 1.0 / (1.0 - p) if p < 1 else 0.0, 0.0, 0.0)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of (N, C, ...) to zero with probability ``p`` and scale the rest by 1 / (1 - p).

    Raises
    ------
    ShapeError
        If ``input`` has fewer than three axes.
    """
    x = as_tensor(input)
    _check("dropout2d", x, p)
    if x.ndim < 3:
        raise ShapeError(f"dropout2d: expected (N, C, H, W), got {x.shape}; use dropout for other shapes")
    if not training or p == 0:
        return x
    return _drop("dropout2d", x, p, True, 1.0 / (1.0 - p) if p < 1 else 0.0, 0.0, 0.0)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of SELU's outputs: dropped elements become SELU's floor.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.
    """
    x = as_tensor(input)
    _check("alpha_dropout", x, p)
    if not training or p == 0:
        return x
    if p == 1:
        return _drop("alpha_dropout", x, p, False, 0.0, 0.0, 0.0)
    scale = (1.0 / ((1.0 - p) * (1.0 + p * _SELU_FLOOR**2))) ** 0.5
    shift = -scale * p * _SELU_FLOOR
    return _drop("alpha_dropout", x, p, False, scale, shift, scale * _SELU_FLOOR + shift)
