"""Checks of arguments and inputs that the multi-scale classes share."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, Final

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.ops._arguments import choice, integer
from neurenix.ops.inputs import refuse_raw_image
from neurenix.tensor import Tensor

__all__ = [
    "MODES", "MOST_LEVELS", "choice", "flag", "float_map", "image_size", "integers", "levels", "position",
    "probability", "scale", "scaled", "scales",
]  # fmt: skip
MODES: Final = ("nearest", "bilinear", "bicubic")
MOST_LEVELS: Final = 32


def integers(op: str, name: str, values: Any) -> list[int]:
    """A copy of a list of integers of at least 1, which is not empty."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ArgumentError(f"{op}: expected {name} as a list of integers, got {values!r}; pass e.g. {name}=[64, 128]")
    return [integer(op, f"{name}[{i}]", v, 1) for i, v in enumerate(values)]


def levels(op: str, value: Any) -> int:
    """A number of levels: 1 to 32, each of which halves an image."""
    n = integer(op, "num_levels", value, 1)
    if n > MOST_LEVELS:
        raise ArgumentError(f"{op}: expected num_levels of at most {MOST_LEVELS}, got {n}; an image of 2**{MOST_LEVELS} pixels has no more")
    return n


def scale(op: str, name: str, value: Any) -> float:
    """A finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value <= 0:
        raise ArgumentError(f"{op}: expected {name} as a finite number above 0, got {value!r}; pass e.g. 0.5")
    return float(value)


def scales(op: str, values: Any) -> list[float]:
    """A copy of a list of different scales, which is not empty."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ArgumentError(f"{op}: expected scales as a list of numbers, got {values!r}; pass e.g. scales=[1.0, 0.5]")
    found = [scale(op, f"scales[{i}]", v) for i, v in enumerate(values)]
    for i, s in enumerate(found):
        if position(found[:i], s) is not None:
            raise ArgumentError(f"{op}: expected different scales, got {s} twice in {found}; leave one out")
    return found


def position(values: Sequence[float], value: float) -> int | None:
    """Where a scale stands among others, but for rounding; ``None`` where it does not."""
    return next((i for i, v in enumerate(values) if math.isclose(v, value, rel_tol=1e-9)), None)


def probability(op: str, name: str, value: Any) -> float:
    """A number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise ArgumentError(f"{op}: expected {name} as a number from 0 to 1, got {value!r}; pass e.g. {name}=0.1")
    return float(value)


def flag(op: str, name: str, value: Any) -> bool:
    """A bool."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{op}: expected {name} True or False, got {value!r}; pass a bool")
    return value


def scaled(size: int, by: float) -> int:
    """``max(1, floor(size * by))``, where 0.29 * 100 is 29."""
    exact = size * by
    near = round(exact)
    return max(1, near if math.isclose(exact, near, rel_tol=1e-9) else math.floor(exact))


def image_size(op: str, x: Any) -> tuple[int, int]:
    """Height and width of a tensor or array (N, C, H, W) or (C, H, W) that is not empty."""
    shape = getattr(x, "shape", None)
    if not isinstance(shape, tuple) or len(shape) not in (3, 4) or 0 in shape[-3:]:
        got = type(x).__name__ if shape is None else f"shape {shape}"
        raise ShapeError(f"{op}: expected x (N, C, H, W) or (C, H, W) of at least one pixel, got {got}; add the missing axes, e.g. x[None]")
    return shape[-2], shape[-1]


def float_map(op: str, x: Any, channels: int | None = None) -> Tensor:
    """Refuse what is not a float (N, C, H, W) map of at least one pixel, with the line that helps."""
    if not isinstance(x, Tensor):
        raise DTypeError(f"{op}: expected a tensor or array, got {type(x).__name__}; pass an image (N, C, H, W)")
    if x.ndim != 4:
        raise ShapeError(f"{op}: expected x (N, {channels or 'C'}, H, W), got shape {x.shape}; {_advice(x, channels)}")
    refuse_raw_image(op, x)
    if x.dtype.name not in ("float32", "float64"):
        raise DTypeError(f"{op}: expected float32 or float64, got {x.dtype}; convert it with .float()")
    if channels is not None and x.shape[1] != channels:
        raise ShapeError(f"{op}: expected x with {channels} channels (N, {channels}, H, W), got shape {x.shape}; {_advice(x, channels)}")
    if min(x.shape[2:]) < 1:
        raise ShapeError(f"{op}: expected at least one pixel, got shape {x.shape}; pass an image that is not empty")
    return x


def _advice(x: Tensor, channels: int | None) -> str:
    last = x.ndim > 0 and x.shape[-1] == channels
    if x.ndim == 4:
        return "it is (N, H, W, C): pass x.transpose(0, 3, 1, 2)" if last else "build the model for that many channels, or select them"
    if x.ndim == 3 and last and x.shape[0] != channels:
        return "it is (H, W, C): pass x.transpose(2, 0, 1)[None]"
    if x.ndim == 3:
        return "add the batch axis with x[None]"
    return "add batch and channel axes with x[None, None]" if x.ndim == 2 else "reshape it"
