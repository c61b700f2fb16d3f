"""Transforms between scales: they take and give tensors or plain arrays, with or without a batch axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurenix.errors import ArgumentError, GraphError, RangeError
from neurenix.multiscale import _checks
from neurenix.nn import functional
from neurenix.nn.module import Module
from neurenix.ops._arguments import integer
from neurenix.tensor import Tensor, as_tensor

Size = tuple[int, int]


class _Resizer(Module):
    """What the transforms share: a mode, and resizing of whatever kind an image comes in."""

    _takes_arrays = True
    mode: str
    antialias: bool

    def _set(self, mode: str, antialias: bool) -> None:
        op = type(self).__name__
        self.mode = _checks.choice(op, "mode", mode, _checks.MODES)
        self.antialias = _checks.flag(op, "antialias", antialias)
        if antialias and mode == "nearest":
            raise ArgumentError(f"{op}: expected antialias only with 'bilinear' and 'bicubic', got it with 'nearest'; leave it out")

    def _size(self, x: Any) -> Size:
        return _checks.image_size(type(self).__name__, x)

    def _resize(self, x: Any, size: Size) -> Any:
        """``x`` at another size, of the kind that it is; itself where it has that size."""
        if self._size(x) == size:
            return x
        t = as_tensor(x)
        y = functional.interpolate(t if t.ndim == 4 else t[None], size=size, mode=self.mode, antialias=self.antialias)
        y = y if t.ndim == 4 else y[0]
        return y if isinstance(x, Tensor) else y.data

    def _original(self, size: Any) -> Size:
        if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
            raise ArgumentError(f"{type(self).__name__}: expected original_size as (H, W), got {size!r}; pass x.shape[-2:]")
        h, w = (integer(type(self).__name__, f"original_size[{i}]", n, 1) for i, n in enumerate(size))
        return h, w


class Rescale(_Resizer):
    """Rescale an image by a factor, and back.

    Parameters
    ----------
    scale_factor : float
        Height and width become ``max(1, floor(size * scale_factor))``.
    mode : {"nearest", "bilinear", "bicubic"}
        Half-pixel aligned; see :func:`neurenix.nn.functional.interpolate`.
    antialias : bool
        Stretch the filter when shrinking, so that fine detail does not alias.

    Raises
    ------
    ArgumentError
        If the factor is not a finite number above 0, or the mode is none of these.

    Examples
    --------
    >>> import neurenix as nx
    >>> half = nx.multiscale.Rescale(0.5)
    >>> half(nx.Tensor(shape=(1, 3, 5, 8))).shape
    (1, 3, 2, 4)
    >>> half.inverse(nx.Tensor(shape=(1, 3, 2, 4))).shape
    (1, 3, 5, 8)
    """

    def __init__(self, scale_factor: float = 0.5, mode: str = "bilinear", *, antialias: bool = False) -> None:
        self.scale_factor = _checks.scale("Rescale", "scale_factor", scale_factor)
        self._set(mode, antialias)
        self._sizes: dict[Size, Size] = {}

    def forward(self, x: Any) -> Any:
        """Rescale ``x``, (N, C, H, W) or (C, H, W); a tensor gives a tensor, an array an array."""
        h, w = self._size(x)
        size = _checks.scaled(h, self.scale_factor), _checks.scaled(w, self.scale_factor)
        self._sizes[size] = (h, w)
        return self._resize(x, size)

    def inverse(self, x: Any, *, original_size: Size | None = None) -> Any:
        """Rescale back.

        Parameters
        ----------
        x : Tensor or array
            Of a size that ``forward`` gave, or of any other.
        original_size : (int, int), optional
            Height and width to go back to. Without it: those of the last ``forward`` that gave ``x``'s size, otherwise
            ``round(size / scale_factor)``.

        Raises
        ------
        ArgumentError
            If ``original_size`` is not two integers of at least 1.

        Examples
        --------
        >>> import numpy as np, neurenix as nx
        >>> half, image = nx.multiscale.Rescale(0.5), np.zeros((3, 5, 8), np.float32)
        >>> half.inverse(half(image)).shape  # the odd height is remembered
        (3, 5, 8)
        >>> half.inverse(half(image), original_size=(10, 16)).shape
        (3, 10, 16)
        """
        h, w = self._size(x)
        if original_size is not None:
            return self._resize(x, self._original(original_size))
        guess = max(1, round(h / self.scale_factor)), max(1, round(w / self.scale_factor))
        return self._resize(x, self._sizes.get((h, w), guess))


class MultiScaleTransform(_Resizer):
    """An image at several scales, and back.

    Parameters
    ----------
    scales : list of float
        Different finite numbers above 0; sizes become ``max(1, floor(size * scale))``.
    mode : {"nearest", "bilinear", "bicubic"}
        Half-pixel aligned; see :func:`neurenix.nn.functional.interpolate`.
    antialias : bool
        Stretch the filter when shrinking.

    Raises
    ------
    ArgumentError
        If a scale is not such a number or occurs twice, or the mode is none of these.

    Examples
    --------
    >>> import neurenix as nx
    >>> transform = nx.multiscale.MultiScaleTransform([1.0, 0.5])
    >>> [y.shape for y in transform(nx.Tensor(shape=(1, 3, 5, 8)))]
    [(1, 3, 5, 8), (1, 3, 2, 4)]
    """

    def __init__(self, scales: list[float] = [1.0, 0.5, 0.25], mode: str = "bilinear", *, antialias: bool = False) -> None:  # noqa: B006 - the API document's default; copied
        self.scales = _checks.scales("MultiScaleTransform", scales)
        self._set(mode, antialias)

    def forward(self, x: Any) -> list[Any]:
        """Give ``x`` at every scale, in the order of ``scales``; a tensor gives tensors, an array arrays."""
        h, w = self._size(x)
        return [self._resize(x, (_checks.scaled(h, s), _checks.scaled(w, s))) for s in self.scales]

    def inverse(self, x: Any, original_size: Size) -> Any:
        """Resize one image, or every image of a list, to ``original_size`` = (H, W); the same kind comes back.

        Raises
        ------
        ArgumentError
            If ``original_size`` is not two integers of at least 1.

        Examples
        --------
        >>> import neurenix as nx
        >>> transform, image = nx.multiscale.MultiScaleTransform([1.0, 0.5]), nx.zeros(1, 3, 5, 8)
        >>> [y.shape for y in transform.inverse(transform(image), (5, 8))]
        [(1, 3, 5, 8), (1, 3, 5, 8)]
        """
        size = self._original(original_size)
        return [self._resize(y, size) for y in x] if isinstance(x, (list, tuple)) else self._resize(x, size)


class PyramidDownsample(_Resizer):
    """A pyramid: the image itself, then half its size, a quarter, ...

    Parameters
    ----------
    num_levels : int
        1 to 32; the image itself is level 0 and counts.
    mode : {"nearest", "bilinear", "bicubic"}
        Half-pixel aligned; see :func:`neurenix.nn.functional.interpolate`.
    antialias : bool
        Stretch the filter when shrinking.

    Raises
    ------
    ArgumentError
        If the number of levels is out of range, or the mode is none of these.

    Examples
    --------
    >>> import neurenix as nx
    >>> pyramid = nx.multiscale.PyramidDownsample(3)
    >>> [y.shape for y in pyramid(nx.Tensor(shape=(1, 3, 5, 8)))]
    [(1, 3, 5, 8), (1, 3, 3, 4), (1, 3, 2, 2)]
    """

    def __init__(self, num_levels: int = 3, mode: str = "bilinear", *, antialias: bool = False) -> None:
        self.num_levels = _checks.levels("PyramidDownsample", num_levels)
        self._set(mode, antialias)
        self._levels: list[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A copy starts without a last pass."""
        return {**vars(self), "_levels": None}

    def forward(self, x: Any) -> list[Any]:
        """Give all levels, finest first: each halves the one before, rounded up."""
        found = [x]
        for _ in range(self.num_levels - 1):
            h, w = self._size(found[-1])
            found.append(self._resize(found[-1], ((h + 1) // 2, (w + 1) // 2)))
        self._size(x)
        self._levels = found
        return list(found)

    def get_level(self, level: int) -> Any:
        """Give one level of the last forward pass.

        Raises
        ------
        GraphError
            Before any forward pass.
        RangeError
            If there is no such level.

        Examples
        --------
        >>> import neurenix as nx
        >>> pyramid = nx.multiscale.PyramidDownsample(3)
        >>> levels = pyramid(nx.zeros(1, 3, 5, 8))
        >>> pyramid.get_level(2).shape
        (1, 3, 2, 2)
        """
        index = integer("get_level", "level", level, -(1 << 62))
        if self._levels is None:
            raise GraphError("get_level: expected a forward pass before it, got none; call the transform on an image first")
        if not 0 <= index < len(self._levels):
            raise RangeError(
                f"get_level: expected a level from 0 to {len(self._levels) - 1}, got {index}; there are {len(self._levels)} levels"
            )
        return self._levels[index]
