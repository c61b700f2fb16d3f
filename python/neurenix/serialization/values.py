"""Python values as JSON: numbers, texts, containers, and references to what JSON cannot hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurenix.errors import ArgumentError, FileError
from neurenix.nn.module import Module
from neurenix.serialization.safetensors import STORED
from neurenix.tensor import Tensor


class Packer:
    """Turns a value into JSON and collects its arrays by name.

    Parameters
    ----------
    module : callable
        Gives the JSON of a module, from the module and the name of its place.
    """

    def __init__(self, module: Callable[[Module, str], Any]) -> None:
        self.arrays: dict[str, np.ndarray[Any, Any]] = {}
        self._module = module

    def keep(self, name: str, array: np.ndarray[Any, Any]) -> str:
        """Take an array under ``name``, or under a name like it where that one is taken; give the name."""
        free = name or "value"
        while free in self.arrays or free == "__metadata__":
            free += "'"
        self.arrays[free] = array
        return free

    def pack(self, value: Any, place: str) -> Any:
        """JSON of a value; ``place`` names it in errors and names its arrays.

        Raises
        ------
        ArgumentError
            If there is something in it that no file can hold.
        """
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, (Tensor, np.ndarray)):
            kind = "tensor" if isinstance(value, Tensor) else "array"
            if value.dtype.name not in STORED:
                raise ArgumentError(
                    f"save: expected numbers in arrays, got {value.dtype} at {place or 'the top'!r}; convert it, or leave it out"
                )
            return {kind: self.keep(place, value.numpy() if isinstance(value, Tensor) else value)}
        if isinstance(value, Module):
            return {"module": self._module(value, place)}
        return self._pack_more(value, place)

    def _pack_more(self, value: Any, place: str) -> Any:
        inside = f"{place}." if place else ""
        if isinstance(value, (list, tuple)):
            items = [self.pack(v, f"{inside}{i}") for i, v in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        if isinstance(value, Mapping):
            return {"dict": [[self.pack(k, place), self.pack(v, f"{inside}{k}")] for k, v in value.items()]}
        if isinstance(value, np.generic):
            return self.pack(value.item(), place)
        if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
            return {"dtype": np.dtype(value).name}
        if isinstance(value, type) and issubclass(value, Module):
            return {"class": f"{value.__module__}.{value.__qualname__}"}
        raise ArgumentError(
            f"save: expected numbers, texts, arrays, modules and lists or dicts of them, got {type(value).__name__} at {place or 'the top'!r}; "
            "leave it out, or make it from such values"
        )


def unpack(value: Any, arrays: Callable[[str], Any], module: Callable[[Any], Any], find: Callable[[str], type]) -> Any:
    """The value that :meth:`Packer.pack` turned into JSON.

    Parameters
    ----------
    value : JSON value
        What was stored.
    arrays, module, find : callable
        Give an array by its name, a module from its JSON, a class by its name.

    Raises
    ------
    FileError
        If it is no such JSON.
    """

    def again(v: Any) -> Any:
        return unpack(v, arrays, module, find)

    if isinstance(value, list):
        return [again(v) for v in value]
    if not isinstance(value, dict):
        return value
    try:
        ((kind, inside),) = value.items()
        if kind == "dict":
            return {again(k): again(v) for k, v in inside}
        if kind == "tuple":
            return tuple(again(v) for v in inside)
        if kind == "tensor":
            return Tensor(arrays(inside))
        if kind in ("float", "dtype"):
            return float(inside) if kind == "float" else np.dtype(inside)
        return {"array": arrays, "module": module, "class": find}[kind](inside)
    except FileError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise FileError(f"load: expected a stored value, got {str(value)[:80]}; the file is damaged") from error
