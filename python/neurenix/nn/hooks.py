"""Functions that a module calls before and after its forward."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from neurenix.errors import DTypeError

Hooks = dict[int, Callable[..., Any]]
_numbers = itertools.count()


class HookHandle:
    """Takes a hook away again."""

    def __init__(self, hooks: Hooks, number: int) -> None:
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._number, None)


def add_hook(hooks: Hooks, hook: Callable[..., Any]) -> HookHandle:
    """Add a hook behind the others."""
    if not callable(hook):
        raise DTypeError(f"register hook: expected a callable, got {type(hook).__name__}; pass a function")
    number = next(_numbers)
    hooks[number] = hook
    return HookHandle(hooks, number)


def before(module: Any, hooks: Hooks, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments after every hook has seen, and perhaps replaced, them."""
    for hook in tuple(hooks.values()):
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    return args


def after(module: Any, hooks: Hooks, args: tuple[Any, ...], output: Any) -> Any:
    """The output after every hook has seen, and perhaps replaced, it."""
    for hook in tuple(hooks.values()):
        changed = hook(module, args, output)
        output = output if changed is None else changed
    return output
