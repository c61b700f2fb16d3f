"""Checks of arguments that spatial operations share."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.tensor import Tensor, as_tensor

_MOST = 2**48  # products with steps stay within int64


def integer(op: str, name: str, value: Any, least: int) -> int:
    """``value`` as an int of at least ``least``."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ArgumentError(f"{op}: expected {name} as an integer, got {value!r}; pass e.g. {name}={max(least, 2)}")
    if number < least:
        raise ArgumentError(f"{op}: expected {name} of at least {least}, got {number}; pass a larger number")
    if number > _MOST:
        raise ArgumentError(f"{op}: expected {name} of at most {_MOST}, got {number}; no map is that large")
    return number


def integers(op: str, name: str, value: Any, n: int, least: int) -> tuple[int, ...]:
    """One integer for each of ``n`` axes: from one number, or one or ``n`` of them."""
    if type(value) is int and least <= value <= _MOST:  # what nearly every call has
        return (value,) * n
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) not in (1, n):
        raise ArgumentError(f"{op}: expected {name} as one integer or {n}, got {value!r}; pass e.g. {name}={(max(least, 2),) * n}")
    numbers = tuple(integer(op, name, v, least) for v in values)
    return numbers * n if len(numbers) == 1 else numbers


def is_plain(value: Any) -> bool:
    """Whether an argument is equal to no other that would be refused: 1 is equal to True and 1.0."""
    return type(value) is int or type(value) is str or (type(value) is tuple and all(type(v) is int for v in value))


def floats(op: str, x: Any) -> Tensor:
    """``x`` as a tensor of float32 or float64."""
    t: Tensor = as_tensor(x)
    if t.dtype.char not in "fd":
        raise DTypeError(f"{op}: expected float32 or float64, got {t.dtype}; convert it with .float()")
    return t


def spatial(op: str, x: Tensor, n: int, unbatched: bool = True) -> Tensor:
    """Refuse what is not a map with ``n`` spatial axes."""
    names = "N, C, " + ", ".join("DHW"[3 - n :]) if n > 1 else "N, C, L"
    if x.ndim != n + 2 and not (unbatched and x.ndim == n + 1):
        if x.ndim == n + 1:
            raise ShapeError(f"{op}: expected x ({names}), got shape {x.shape}; add the batch axis with x.unsqueeze(0)")
        raise ShapeError(f"{op}: expected x with {n + 2} axes ({names}), got shape {x.shape}; reshape it")
    return x


def choice(op: str, name: str, value: Any, choices: Sequence[str]) -> str:
    """Refuse an unknown name, and say which there are."""
    if value not in choices:
        raise ArgumentError(f"{op}: expected {name} one of {', '.join(map(repr, choices))}, got {value!r}; pass one of them")
    return str(value)
