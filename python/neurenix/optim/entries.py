"""Settings and states of optimizers, one entry at a time: checked, shown, read from files."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np

from neurenix import backend, layout
from neurenix._typing import Array
from neurenix.errors import FileError
from neurenix.tensor import Tensor

Group = dict[str, Any]
NUMBERS = ("step", "mu_product", "eta", "mu")  # entries of a state that are one number whatever the parameter


def is_number(value: Any) -> TypeGuard[float]:
    """A plain number, and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_pair(values: Any) -> bool:
    """Whether a setting is two numbers."""
    return isinstance(values, (tuple, list)) and len(values) == 2 and all(is_number(v) for v in values)


def unrounded(settings: Group) -> Group:
    """A rate that a schedule brought down to 0 and rounding a little below it, as 0: a run that ends there can be resumed."""
    rate, first = settings.get("lr"), settings.get("initial_lr")
    return {"lr": 0.0} if is_number(rate) and is_number(first) and -1e-9 * abs(first) <= rate < 0 else {}


def own(array: Array) -> Array:
    """A dense copy that can be written."""
    copy = backend.new(array, array.shape)
    layout.copy_into(copy, array)
    return copy


def view_of(value: Any) -> Any:
    """An array as a read-only one on the CPU; anything else as it is."""
    if not backend.is_array(value):
        return value
    view = backend.to_numpy(value).view()
    view.flags.writeable = False
    return view


def plain(value: Any) -> Any:
    """A setting as plain numbers where it is one-element arrays or tensors, this or another library's."""
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    return value.item() if hasattr(value, "item") and math.prod(getattr(value, "shape", ())) == 1 else value


def restored(name: str, value: Any, p: Tensor) -> Any:
    """One entry of a state: a number, or an array of the parameter's shape copied to its device and type."""
    if value is None or isinstance(value, (int, float)):
        return value
    array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    if name in NUMBERS:
        return int(array.item()) if name == "step" else float(array.item())
    if array.shape != p.shape:
        raise FileError(
            f"load_state_dict: expected {name} of shape {p.shape}, got {array.shape}; build the optimizer with the same parameters"
        )
    return backend.to_device(own(layout.cast(np.ascontiguousarray(array), p.dtype)), p.device)
