"""NumPy's names of arguments, which PyTorch takes too: ``axis`` for ``dim``, ``keepdims`` for ``keepdim``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import update_wrapper
from types import FunctionType
from typing import Any

from neurenix.errors import ArgumentError

_OURS = {"axis": "dim", "keepdims": "keepdim", "axis0": "dim0", "axis1": "dim1"}


def with_numpy_names(function: FunctionType) -> FunctionType:
    """``function`` with NumPy's names for those of its arguments that have one; itself where none has."""
    code = function.__code__
    taken = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    ours = {name: own for name, own in _OURS.items() if own in taken and name not in taken}
    if not ours:
        return function

    def in_our_names(args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
        for name in ours.keys() & named.keys():
            own, value = ours[name], named.pop(name)
            if own in named or own in taken[: min(len(args), code.co_argcount)]:
                raise ArgumentError(f"{function.__name__}: expected {own} or {name}, got both; pass one of them")
            named[own] = value
        return named

    def call(*args: Any, **named: Any) -> Any:
        for name in named:
            if name in ours:
                return function(*args, **in_our_names(args, named))
        return function(*args, **named)

    # In the function's own module, where who looks for examples to run finds it.
    wrapper = FunctionType(call.__code__, function.__globals__, function.__name__, None, call.__closure__)
    update_wrapper(wrapper, function)
    return wrapper


def accept_numpy_names(room: dict[str, Any], classes: Iterable[type]) -> None:
    """Let the functions of ``room``, there and in the files they are from, and the methods of ``classes`` take NumPy's names."""
    for name, value in list(room.items()):
        if isinstance(value, FunctionType) and not name.startswith("_") and value.__module__.startswith("neurenix.ops."):
            made = with_numpy_names(value)
            if made is not value:
                room[name] = vars(sys.modules[value.__module__])[value.__name__] = made
    for cls in classes:
        for name, value in list(vars(cls).items()):
            if isinstance(value, FunctionType) and not name.startswith("_"):
                setattr(cls, name, with_numpy_names(value))
