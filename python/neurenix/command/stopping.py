"""Signals that ask a command to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """The signals that asked to stop, which then does not happen in the middle of a step; a second Ctrl-C does not wait."""
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        if number == signal.SIGINT and number in seen:
            raise KeyboardInterrupt
        seen.append(number)

    with _handled(note, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        yield seen


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While there is nothing to save SIGTERM and SIGUSR1 end a command as Ctrl-C does: at once, with the status that asks for another try."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt, signal.SIGTERM, signal.SIGUSR1):
        yield


@contextmanager
def _handled(handler: Callable[[int, Any], None], *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
