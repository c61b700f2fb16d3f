"""Normalisation layers without statistics of a batch that are kept: over trailing axes, over neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix import ops
from neurenix._typing import DeviceLike, DTypeLike
from neurenix.nn.module import Module
from neurenix.nn.norm import _filled, _number
from neurenix.nn.parameter import Parameter
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor


class LocalResponseNorm(Module):
    """Divide by a power of the mean square of neighbouring channels, see :func:`neurenix.nn.functional.local_response_norm`.

    Parameters
    ----------
    size : int
        Channels that count, the pixel's own in their middle.
    alpha, beta, k : float
        The divisor is ``(k + alpha * mean square) ** beta``.

    Raises
    ------
    ArgumentError
        If ``size`` is not an integer of at least 1.
    ShapeError
        In the call, if the input is not (N, C, ...) with pixels.

    References
    ----------
    .. [1] A. Krizhevsky et al., "ImageNet classification with deep convolutional neural networks", NeurIPS 2012.

    Examples
    --------
    >>> import neurenix as nx
    >>> x = nx.tensor([[[2.0], [2.0], [0.0]]])  # (N, C, L)
    >>> layer = nx.nn.LocalResponseNorm(3, alpha=3.0, beta=0.5, k=1.0)
    >>> layer(x).numpy().round(4).ravel()  # 2 / (1 + 4 + 4) ** 0.5, twice
    array([0.6667, 0.6667, 0.    ], dtype=float32)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = integer("LocalResponseNorm", "size", size, 1)
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, input: Any) -> Tensor:
        """Normalise."""
        return ops.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _sizes(layer: str, normalized_shape: Any) -> tuple[int, ...]:
    sizes = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    return tuple(integer(layer, "normalized_shape", s, 1) for s in sizes)


class LayerNorm(Module):
    """Normalise each sample over its trailing axes, see :func:`neurenix.nn.functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The trailing sizes.
    eps : float
    elementwise_affine : bool
        Whether to scale and shift by trained parameters of that shape.
    bias : bool
        Whether the affine part has a shift.
    device, dtype
        Of the parameters.

    Raises
    ------
    ShapeError
        In the call, if the input's last sizes are not ``normalized_shape``.

    References
    ----------
    .. [1] J. Ba et al., "Layer normalization", arXiv:1607.06450, 2016.

    Examples
    --------
    >>> import neurenix as nx
    >>> layer = nx.nn.LayerNorm(4)
    >>> layer(nx.tensor([[1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0]])).numpy().round(3)
    array([[-1.342, -0.447,  0.447,  1.342],
           [-1.342, -0.447,  0.447,  1.342]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.normalized_shape = shape = _sizes("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = _number("LayerNorm", "eps", eps), elementwise_affine
        self.weight = Parameter(_filled(1.0, shape, device, dtype)) if elementwise_affine else None
        self.bias = Parameter(_filled(0.0, shape, device, dtype)) if elementwise_affine and bias else None

    def forward(self, input: Any) -> Tensor:
        """Normalise."""
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(Module):
    """Divide each sample by the root mean square of its trailing axes, see :class:`LayerNorm` for the parameters.

    ``eps`` is the element type's machine epsilon if ``None``.

    References
    ----------
    .. [1] B. Zhang and R. Sennrich, "Root mean square layer normalization", NeurIPS 2019.

    Examples
    --------
    >>> import neurenix as nx
    >>> nx.nn.RMSNorm(2)(nx.tensor([[3.0, 4.0]])).numpy().round(4)  # over (12.5) ** 0.5; the mean stays
    array([[0.8485, 1.1314]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.normalized_shape = shape = _sizes("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = None if eps is None else _number("RMSNorm", "eps", eps), elementwise_affine
        self.weight = Parameter(_filled(1.0, shape, device, dtype)) if elementwise_affine else None

    def forward(self, input: Any) -> Tensor:
        """Normalise."""
        return ops.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
