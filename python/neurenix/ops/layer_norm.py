"""Layer norm and RMS norm: each sample by the statistics of its trailing axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix import autograd, backend, layout
from neurenix._typing import Array
from neurenix.backend.kernel import Double, DoubleOut, Enum, In, Optional, Out, Real, Size, kernel
from neurenix.errors import DTypeError, ShapeError
from neurenix.tensor import Tensor, as_tensor


@kernel("floats")
def layer_norm_forward(
    y: Out,
    mean: DoubleOut,
    rstd: DoubleOut,
    x: In,
    weight: Optional[In],
    bias: Optional[In],
    rows: Size,
    size: Size,
    eps: Real,
    centred: Enum,
) -> None:
    """y = (x - mean) * rstd * weight + bias by row; mean = 0 unless centred."""


@kernel("floats")
def layer_norm_backward(
    dx: Out, g: In, x: In, mean: Double, rstd: Double, weight: Optional[In], rows: Size, size: Size, centred: Enum
) -> None:
    """dx = (g w - mean(g w) - xhat mean(g w xhat)) rstd by row, xhat = (x - mean) rstd; no first mean unless centred."""


@kernel("floats")
def layer_norm_backward_parameters(
    dweight: Out, dbias: Optional[Out], g: In, x: In, mean: Double, rstd: Double, rows: Size, size: Size
) -> None:
    """dweight = sum over rows of g xhat, dbias = sum over rows of g."""


@kernel("floats")
def layer_norm_backward_whole(
    dx: Out,
    dweight: Out,
    dbias: Optional[Out],
    g: In,
    x: In,
    mean: Double,
    rstd: Double,
    weight: Optional[In],
    rows: Size,
    size: Size,
    centred: Enum,
) -> None:
    """Both in one pass over g and x, a CPU's way: the same bits."""


def _shape(op: str, x: Tensor, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[x.ndim - len(shape) :] != shape or len(shape) > x.ndim:
        raise ShapeError(f"{op}: expected an input that ends in {shape}, got {x.shape}; pass its trailing sizes as normalized_shape")
    if not x.is_floating_point() or x.dtype.itemsize < 4:
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")
    return shape


def _parameter(op: str, name: str, value: Any, x: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    if value is None:
        return None
    t = as_tensor(value, x)
    if t.shape != shape:
        raise ShapeError(f"{op}: expected {name} of shape {shape}, got {t.shape}; give it the normalized shape")
    if t.dtype != x.dtype:
        raise DTypeError(f"{op}: expected {name} of {x.dtype} like the input, got {t.dtype}; convert one with .to(dtype)")
    backend.same_device(op, x._array, t._array)
    return t


def _normalise(
    op: str, x: Tensor, shape: tuple[int, ...], parameters: tuple[Tensor | None, Tensor | None], eps: float, centred: bool
) -> Tensor:
    size = math.prod(shape)
    rows = math.prod(x.shape[: x.ndim - len(shape)])
    data = layout.contiguous(x._array)
    weight, bias = (None if t is None else layout.contiguous(t._array) for t in parameters)
    y, mean, rstd = backend.new(data, data.shape), backend.new(data, (rows,), np.float64), backend.new(data, (rows,), np.float64)
    layer_norm_forward(y, mean, rstd, data, weight, bias, rows, size, eps, centred)
    inputs = (x, *parameters)
    needs = tuple(t is not None and t.requires_grad for t in inputs)

    def vjp(g: Array) -> list[Array | None]:
        g = layout.contiguous(g)
        dx = backend.new(g, g.shape) if needs[0] else None
        dweight = backend.new(g, shape) if needs[1] or needs[2] else None
        dbias = backend.new(g, shape) if needs[2] else None
        if dx is not None and dweight is not None and backend.device_of(g) == "cpu":
            layer_norm_backward_whole(dx, dweight, dbias, g, data, mean, rstd, weight, rows, size, centred)
        else:
            if dx is not None:
                layer_norm_backward(dx, g, data, mean, rstd, weight, rows, size, centred)
            if dweight is not None:
                layer_norm_backward_parameters(dweight, dbias, g, data, mean, rstd, rows, size)
        return [found for found, t in zip((dx, dweight, dbias), inputs, strict=True) if t is not None]

    return autograd.record(op, y, tuple(t for t in inputs if t is not None), vjp)


def layer_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise each sample over its trailing axes: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : int or sequence of int
        The trailing sizes to normalise over.
    weight, bias : Tensor, shape ``normalized_shape``, optional
    eps : float

    Returns
    -------
    Tensor, shape and dtype of ``input``

    Raises
    ------
    ShapeError, DTypeError
        If sizes or element types do not fit.

    References
    ----------
    .. [1] J. L. Ba et al., "Layer normalization", 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.layer_norm(nx.tensor([[1.0, 3.0], [5.0, 9.0]]), 2, eps=0.0).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    x = as_tensor(input)
    shape = _shape("layer_norm", x, normalized_shape)
    parameters = (_parameter("layer_norm", "weight", weight, x, shape), _parameter("layer_norm", "bias", bias, x, shape))
    return _normalise("layer_norm", x, shape, parameters, eps, True)


def rms_norm(input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None) -> Tensor:
    """Divide each sample by the root mean square of its trailing axes: ``x / sqrt(mean(x^2) + eps) * weight``.

    ``normalized_shape`` are the sizes of those axes; ``eps`` is the element type's machine epsilon if ``None``; see
    :func:`layer_norm` for the other arguments.

    References
    ----------
    .. [1] B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.functional.rms_norm(nx.tensor([3.0, 3.0]), 2, eps=0.0).tolist()
    [1.0, 1.0]
    """
    x = as_tensor(input)
    shape = _shape("rms_norm", x, normalized_shape)
    parameters = (_parameter("rms_norm", "weight", weight, x, shape), None)
    return _normalise("rms_norm", x, shape, parameters, float(np.finfo(x.dtype).eps) if eps is None else eps, False)
