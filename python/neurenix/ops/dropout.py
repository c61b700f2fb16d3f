"""Dropout: elements or whole channels set to zero at random while training."""

from __future__ import annotations

import math
from typing import Any

from neurenix import autograd, backend, layout, random
from neurenix._typing import Array
from neurenix.backend.kernel import In, Key, Out, Real, Size, kernel
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops.shape import squeeze, unsqueeze
from neurenix.tensor import Tensor, as_tensor

_SPATIAL = {1: "L", 2: "H, W", 3: "D, H, W"}
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


def _channels(op: str, input: Any, p: float, training: bool, spatial: int) -> Tensor:
    """Drop whole channels of (N, C, ...), or of (C, ...) with exactly ``spatial`` axes behind."""
    x = as_tensor(input)
    _check(op, x, p)
    least = spatial + 1 if spatial != 2 else 3
    if x.ndim < least:
        raise ShapeError(f"{op}: expected (N, C, {_SPATIAL[spatial]}), got {x.shape}; use dropout for other shapes")
    if not training or p == 0:
        return x
    scale = 1.0 / (1.0 - p) if p < 1 else 0.0
    if spatial != 2 and x.ndim == least:
        return squeeze(_drop(op, unsqueeze(x, 0), p, True, scale, 0.0, 0.0), 0)
    return _drop(op, x, p, True, scale, 0.0, 0.0)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of (N, C, L) or (C, L) to zero with probability ``p`` and scale the rest; see :func:`dropout2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.functional.dropout1d(nx.ones(2, 4, 100))
    >>> (y.amax(2) == y.amin(2)).all().item()
    True
    """
    return _channels("dropout1d", input, p, training, 1)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of (N, C, ...) to zero with probability ``p`` and scale the rest by 1 / (1 - p); the input unless ``training``.

    Raises
    ------
    ShapeError
        If ``input`` has fewer than three axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.functional.dropout2d(nx.ones(2, 4, 8, 8), p=0.75)
    >>> y.shape, set(y.unique().tolist()) <= {0.0, 4.0}
    ((2, 4, 8, 8), True)
    """
    return _channels("dropout2d", input, p, training, 2)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels of (N, C, D, H, W) or (C, D, H, W) to zero with probability ``p``; see :func:`dropout2d`.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.ones(2, 4, 3, 8, 8)
    >>> nx.nn.functional.dropout3d(x, training=False).equal(x)
    True
    """
    return _channels("dropout3d", input, p, training, 3)


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean and variance of SELU's outputs: elements become SELU's floor with probability ``p``.

    The input itself unless ``training``.

    References
    ----------
    .. [1] G. Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.functional.alpha_dropout(nx.zeros(2000), p=0.5, training=True)
    >>> nx.round(y.unique(), decimals=3)
    tensor([-0.779,  0.779])
    """
    return _alpha("alpha_dropout", input, p, training, False)


def feature_alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (N, C, ...); a :class:`ShapeError` for fewer axes.

    Examples
    --------
    >>> import neurenix as nx
    >>> y = nx.nn.functional.feature_alpha_dropout(nx.ones(2, 4, 8, 8), training=True)
    >>> (y.amax((2, 3)) == y.amin((2, 3))).all().item()
    True
    """
    return _alpha("feature_alpha_dropout", input, p, training, True)


def _alpha(op: str, input: Any, p: float, training: bool, channels: bool) -> Tensor:
    x = as_tensor(input)
    _check(op, x, p)
    if channels and x.ndim < 2:
        raise ShapeError(f"{op}: expected (N, C, ...), got {x.shape}; use alpha_dropout for other shapes")
    if not training or p == 0:
        return x
    if p == 1:
        return _drop(op, x, p, channels, 0.0, 0.0, 0.0)
    scale = (1.0 / ((1.0 - p) * (1.0 + p * _SELU_FLOOR**2))) ** 0.5
    shift = -scale * p * _SELU_FLOOR
    return _drop(op, x, p, channels, scale, shift, scale * _SELU_FLOOR + shift)
