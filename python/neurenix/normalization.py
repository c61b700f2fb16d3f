"""What is done to an image before a model sees it; kept with the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, ShapeError
from neurenix.tensor import Tensor, as_tensor


class Normalization:
    """``(image / scale - mean) / std``.

    Assign it to a model's attribute ``input_normalization``: :func:`neurenix.predict` applies it, and it is saved with the model.

    Parameters
    ----------
    mean, std : float or sequence of float
        Of the scaled image: one number a channel, or one for all.
    scale : float, optional
        ``None`` divides integers by their type's largest value (uint8 by 255, uint16 by 65535) and leaves floats.

    Raises
    ------
    ArgumentError
        If a number is not finite, or ``std`` or ``scale`` not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from neurenix.normalization import Normalization
    >>> Normalization(mean=0.5, std=0.5)(np.array([[[0, 255]]], np.uint8)).tolist()
    [[[-1.0, 1.0]]]
    """

    def __init__(self, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0, scale: float | None = None) -> None:
        self.mean, self.std = _numbers("mean", mean), _numbers("std", std)
        self.scale = None if scale is None else _numbers("scale", scale)[0]
        if not all(s > 0 for s in (*self.std, 1.0 if self.scale is None else self.scale)):
            raise ArgumentError(f"Normalization: expected std and scale above 0, got std={std!r}, scale={scale!r}; pass e.g. std=1.0")

    def __call__(self, image: Any) -> Tensor:
        """The normalised image (..., C, H, W), float32 unless it was float64.

        Raises
        ------
        ShapeError
            If the image has not as many channels as there are numbers.
        """
        x = as_tensor(image)
        natural = 1.0 if x.dtype.kind in "fb" else float(np.iinfo(x.dtype).max)
        scale = natural if self.scale is None else self.scale
        x = x if x.dtype in (np.float32, np.float64) else x.to(dtype=np.float32)
        return self.standardized(x if scale == 1 else x / scale)

    def standardized(self, image: Any) -> Tensor:
        """The normalised image (..., C, H, W) of one that is divided by its scale already.

        Raises
        ------
        ShapeError
            If the image has not as many channels as there are numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from neurenix.normalization import Normalization
        >>> Normalization(mean=0.5, std=0.5, scale=100.0).standardized(np.array([[[0.0, 1.0]]])).tolist()
        [[[-1.0, 1.0]]]
        """
        x = as_tensor(image)
        x = x if not any(self.mean) else x - _column("mean", self.mean, x)
        return x if all(s == 1 for s in self.std) else x / _column("std", self.std, x)

    def arguments(self) -> list[Any]:
        """What makes it again, as a file keeps it."""
        return [list(self.mean), list(self.std), self.scale]

    def __repr__(self) -> str:
        return f"Normalization(mean={self.mean}, std={self.std}, scale={self.scale})"


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(v) for v in (value if isinstance(value, Sequence) else (value,)))
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or not all(math.isfinite(v) for v in numbers):
        raise ArgumentError(f"Normalization: expected {name} to be a finite number or some, got {value!r}; pass e.g. {name}=1.0")
    return numbers


def _column(name: str, values: tuple[float, ...], x: Tensor) -> Tensor:
    """One number a channel, in the shape that meets (..., C, H, W)."""
    if x.ndim < 3 or len(values) not in (1, x.shape[-3]):
        raise ShapeError(
            f"Normalization: expected (..., {len(values)}, H, W) for {len(values)} of {name}, got {x.shape}; give one a channel"
        )
    return Tensor(np.asarray(values, x.dtype).reshape(-1, 1, 1)).to(device=x.device)
