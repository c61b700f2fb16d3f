"""Checks of arguments that transforms, datasets and loaders share."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite real number, and no bool."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool) and math.isfinite(value)


def check_number(owner: str, name: str, value: Any, least: float = -math.inf, example: float = 1.0) -> float:
    """``value`` as a finite float of at least ``least``; ArgumentError otherwise."""
    if not is_number(value) or value < least:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ArgumentError(f"{owner}: expected {name} to be a finite number{bound}, got {value!r}; pass e.g. {name}={example:g}")
    return float(value)


def check_positive(owner: str, name: str, value: Any, example: float = 1.0) -> float:
    """``value`` as a finite float above 0; ArgumentError otherwise."""
    if not is_number(value) or value <= 0:
        raise ArgumentError(f"{owner}: expected {name} as a finite number above 0, got {value!r}; pass e.g. {name}={example:g}")
    return float(value)


def check_probability(owner: str, name: str, value: Any) -> float:
    """``value`` as a float of 0 to 1; ArgumentError otherwise."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ArgumentError(f"{owner}: expected {name} from 0 to 1, got {value!r}; pass e.g. {name}=0.5")
    return float(value)


def check_range(owner: str, name: str, value: Any, least: float = -math.inf, example: str = "(0.8, 1.2)") -> tuple[float, float]:
    """``value`` as (low, high): a pair, or one number twice; ArgumentError otherwise."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(is_number(v) and v >= least for v in pair) or pair[0] > pair[1]:
        bound = "" if least == -math.inf else f" of at least {least:g}"
        raise ArgumentError(f"{owner}: expected {name} as a number or (low, high){bound}, got {value!r}; pass e.g. {name}={example}")
    return float(pair[0]), float(pair[1])


def check_weights(owner: str, weights: Any, count: int | None = None) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``weights`` as finite floats of at least 0, not all 0, ``count`` of them; ArgumentError otherwise."""
    try:
        found = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 1 or (count is not None and len(found) != count) or not (found >= 0).all() or not 0 < found.sum() < np.inf:
        some = "weights" if count is None else f"{count} weights"
        raise ArgumentError(f"{owner}: expected {some} of at least 0, not all 0, got {reprlib.repr(weights)}; pass one for each")
    return found


def check_fill(owner: str, name: str, value: float, kind: np.dtype[Any], remedy: str) -> None:
    """Refuse a number that integers or bools of this type do not hold."""
    low, high = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max) if kind.kind in "iu" else (-math.inf, math.inf)
    if not low <= value <= high:
        raise ArgumentError(f"{owner}: expected {name} from {low} to {high} for an array of {kind}, got {value:g}; {remedy}")


def check_around(owner: str, name: str, value: Any, centre: float, least: float = -math.inf) -> tuple[float, float]:
    """(low, high): a pair, or ``centre`` less and more one number of at least 0, cut at ``least``."""
    if isinstance(value, (tuple, list)):
        return check_range(owner, name, value, least)
    number = check_number(owner, name, value, 0, 0.2)
    return max(centre - number, least), centre + number


def check_ignore_index(owner: str, value: Any) -> int | None:
    """``value`` as an integer, or None; ArgumentError otherwise."""
    if value is not None and (not is_number(value) or value != int(value)):
        raise ArgumentError(f"{owner}: expected ignore_index to be an integer or None, got {value!r}; pass e.g. 255")
    return None if value is None else int(value)


def check_choice(owner: str, name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """``value`` where it is among ``choices``; ArgumentError otherwise."""
    if isinstance(value, bool) or value not in choices:
        raise ArgumentError(f"{owner}: expected {name} to be one of {choices}, got {value!r}; pass one of them")
    return value
