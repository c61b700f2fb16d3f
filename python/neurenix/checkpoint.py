"""Gradient checkpointing: run a part twice instead of keeping what its gradient needs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

_rerun: ContextVar[bool] = ContextVar("rerun", default=False)
_noted: ContextVar[list[tuple[Any, bool]] | None] = ContextVar("noted", default=None)


def is_rerun() -> bool:
    """Whether this is a second run for a gradient: running statistics and remembered features must not move again."""
    return _rerun.get()


def note(module: Any) -> None:
    """Remember, inside a checkpointed part, in which mode a module and those below it ran."""
    noted = _noted.get()
    if noted is not None:
        noted.extend((m, m.training) for m in module.modules())
