"""Ctrl-C where it must not come between: it waits until a piece of work is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def undisturbed() -> Iterator[None]:
    """Context in which Ctrl-C is noted, and answered at the end; elsewhere than in the main thread it does not arrive anyway."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    seen: list[Any] = []
    signal.signal(signal.SIGINT, lambda *call: seen.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if seen:
        handler(*seen[-1])
