"""Elements chosen by index: ``x[...]`` with integers, slices and masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurenix.errors import DTypeError, RangeError
from neurenix.ops.parts import taken
from neurenix.tensor import Tensor, as_tensor


def getitem(x: Any, key: Any) -> Tensor:
    """``x[key]``"""
    x = as_tensor(x)
    keys = key if isinstance(key, tuple) else (key,)
    plain = tuple(_plain(k) for k in keys)
    try:
        return taken("getitem", x, plain)
    except IndexError as error:
        if isinstance(error, RangeError):
            raise
        raise RangeError(f"getitem: expected an index inside shape {x.shape}, got {key!r} ({error}); check its axes") from None


def _plain(key: Any) -> Any:
    if key is None or key is Ellipsis or isinstance(key, slice) or (isinstance(key, (int, np.integer)) and not isinstance(key, bool)):
        return key
    if isinstance(key, Tensor) and key.ndim == 0 and key.dtype.kind in "iu":
        return int(key)
    raise DTypeError(f"getitem: expected integers, slices, ..., None, or integer or bool tensors, got {key!r}; convert it with nx.tensor")
