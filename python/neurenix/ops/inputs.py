"""What a module takes: plain arrays become tensors, and raw images are refused with the line that helps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from neurenix import backend, layout
from neurenix._typing import DTypeLike
from neurenix.errors import DTypeError
from neurenix.tensor import Tensor, is_foreign

_NAMED = frozenset({dict, OrderedDict})
_SCALES = {"uint8": 255, "uint16": 65535}


def is_plain(value: Any) -> bool:
    """Whether ``value`` is, or holds, an array that is not a tensor yet."""
    if isinstance(value, (list, tuple)):
        return any(is_plain(v) for v in value)
    if type(value) in _NAMED:
        return any(is_plain(v) for v in value.values())
    return _is_array(value)


def _is_array(value: Any) -> bool:
    return not isinstance(value, Tensor) and (backend.is_array(value) or is_foreign(value))


def as_input(value: Any, dtype: DTypeLike | None) -> Any:
    """``value`` with its arrays, also those in lists, tuples and dicts, as tensors; floating ones of type ``dtype`` where given."""
    if isinstance(value, list):
        return [as_input(v, dtype) for v in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(as_input(v, dtype) for v in value)
    if type(value) in _NAMED:
        return type(value)((k, as_input(v, dtype)) for k, v in value.items())
    if not _is_array(value):
        return value
    x = Tensor(value)
    if dtype is None or x.dtype.kind != "f" or x.dtype == dtype:
        return x
    return Tensor._wrap(layout.cast(x._array, dtype))


def first_float(values: Any) -> Tensor | None:
    """The first floating tensor among values, also in lists, tuples and dicts."""
    for value in values:
        if isinstance(value, Tensor) and value.dtype.kind == "f":
            return value
        if isinstance(value, (list, tuple)) or type(value) in _NAMED:
            found = first_float(value.values() if isinstance(value, dict) else value)
            if found is not None:
                return found
    return None


def refuse_raw_image(name: str, x: Any) -> None:
    """Raise where ``x`` is an image as a camera or file gives it, which a trained module cannot take."""
    scale = _SCALES.get(str(x.dtype)) if isinstance(x, Tensor) and x.ndim >= 3 else None
    if scale is not None:
        raise DTypeError(f"{name}: expected a float image, got {x.dtype}{x.shape}; divide it by {scale}, e.g. model(image / {scale}.0)")
