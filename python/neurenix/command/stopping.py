"""Signals that ask a command to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """The signals that asked to stop, which then does not happen in the middle of a step; a second Ctrl-C does not wait."""
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
