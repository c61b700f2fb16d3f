"""Layers that weigh elements along an axis against each other."""

from __future__ import annotations

import operator
from typing import Any

from neurenix import ops
from neurenix.errors import DTypeError, ShapeError
from neurenix.nn.module import Module
from neurenix.tensor import Tensor, as_tensor


def _axis(layer: str, dim: Any) -> int | None:
    if dim is not None and (isinstance(dim, bool) or not hasattr(dim, "__index__")):
        raise DTypeError(f"{layer}: expected dim as an integer, got {dim!r}; pass e.g. dim=1")
    return None if dim is None else operator.index(dim)


class GLU(Module):
    """The first half along ``dim`` times the sigmoid of the second; the axis has an even size.

    References
    ----------
    .. [1] Y. Dauphin et al., "Language modeling with gated convolutional networks", ICML 2017.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.GLU(dim=1)(nx.tensor([[4.0, 6.0, 0.0, 100.0]])).tolist()  # 4 sigmoid(0), 6 sigmoid(100)
    [[2.0, 6.0]]
    """

    _shown = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Any) -> Tensor:
        """Apply it."""
        return ops.glu(input, self.dim)


class Softmax(Module):
    """``exp(x)`` over its sum along ``dim``; the result carries its logits, so that a log loss of it is stable.

    Raises
    ------
    DTypeError
        If ``dim`` is not an integer.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softmax(dim=1)(nx.tensor([[0.0, 0.0, 1000.0], [1.0, 1.0, 1.0]])).numpy().round(4)
    array([[0.    , 0.    , 1.    ],
           [0.3333, 0.3333, 0.3333]], dtype=float32)
    """

    _shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = _axis("Softmax", dim)

    def forward(self, input: Any) -> Tensor:
        """Apply it along the axis."""
        return ops.softmax(input, self.dim)


class LogSoftmax(Module):
    """The logarithm of softmax along ``dim``, ``x - log(sum exp(x))``, without overflow.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.LogSoftmax(dim=1)(nx.tensor([[0.0, 0.0], [0.0, 3.0]])).numpy().round(4)
    array([[-0.6931, -0.6931],
           [-3.0486, -0.0486]], dtype=float32)
    """

    _shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = _axis("LogSoftmax", dim)

    def forward(self, input: Any) -> Tensor:
        """Apply it along the axis."""
        return ops.log_softmax(input, self.dim)


class Softmin(Module):
    """Softmax of ``-x`` along ``dim``: the smallest weighs most.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softmin(dim=0)(nx.tensor([0.0, 1.0, 2.0])).numpy().round(4)
    array([0.6652, 0.2447, 0.09  ], dtype=float32)
    """

    _shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = _axis("Softmin", dim)

    def forward(self, input: Any) -> Tensor:
        """Apply it along the axis."""
        return ops.softmin(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W).

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.Softmax2d()(nx.zeros(1, 2, 1, 1)).tolist()
    [[[[0.5]], [[0.5]]]]
    """

    def forward(self, input: Any) -> Tensor:
        """Apply it along the channels."""
        input = as_tensor(input)
        if input.ndim not in {3, 4}:
            raise ShapeError(f"Softmax2d: expected (N, C, H, W) or (C, H, W), got shape {input.shape}; use Softmax(dim)")
        return ops.softmax(input, -3)
