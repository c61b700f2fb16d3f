"""Functions that PyTorch and NumPy have under two names."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def named(name: str, function: F) -> F:
    """``function`` once more under another name, which tracebacks and errors of it then say."""
    code = function.__code__.replace(co_name=name, co_qualname=name)
    twin = FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)
    twin.__kwdefaults__, twin.__annotations__ = function.__kwdefaults__, function.__annotations__
    twin.__doc__, twin.__module__ = function.__doc__, function.__module__
    twin.__wrapped__ = function  # type: ignore[attr-defined]  # as of decorated functions: who asks finds that they are one
    return cast("F", twin)
