"""Progress of a loop: a bar on a terminal where tqdm is installed, otherwise a plain line every few seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar

from neurenix.optional import has, load

T = TypeVar("T")


class Progress(Generic[T]):
    """Iterate over something and show how far it is.

    Parameters
    ----------
    items : iterable with a length
    name : str
        What stands before the numbers.
    seconds : float
        Between two plain lines.
    stream : text file, optional
        Where it is shown; standard error if ``None``.
    patient : bool
        Show nothing where all is done within ``seconds``.

    Examples
    --------
    >>> import io
    >>> from neurenix.progress import Progress
    >>> out = io.StringIO()
    >>> progress = Progress(range(2), "step", stream=out)
    >>> for step in progress:
    ...     progress.note(f"loss {1 / (step + 1)}")
    >>> out.getvalue().startswith("step 2/2, loss 0.5")
    True
    """

    def __init__(
        self, items: Iterable[T], name: str = "step", *, seconds: float = 5.0, stream: TextIO | None = None, patient: bool = False
    ) -> None:
        self.items, self.name, self.seconds, self.patient = items, name, seconds, patient
        self.stream = sys.stderr if stream is None else stream
        self._text, self._bar = "", None
        if _is_terminal(self.stream):
            self._bar = _bar(items, name, self.stream, seconds if patient else 0.0)

    def note(self, text: str) -> None:
        """What is shown beside the numbers."""
        self._text = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def __iter__(self) -> Iterator[T]:
        return iter(self._bar) if self._bar is not None else self._plain()

    def _plain(self) -> Iterator[T]:
        total = _length(self.items)
        begun = shown = time.monotonic()
        done = 0
        for done, item in enumerate(self.items, 1):
            yield item
            now = time.monotonic()
            if now - shown >= self.seconds and done != total:
                self._line(done, total, now - begun)
                shown = now
        if not self.patient or shown > begun:
            self._line(done, total, time.monotonic() - begun)

    def _line(self, done: int, total: int | None, seconds: float) -> None:
        count = f"{done}" if total is None else f"{done}/{total}"
        rest = 0.0 if not total or not done else seconds / done * (total - done)
        to_go = [] if rest < 1 else [f"about {_rough(rest)} to go"]
        parts = [f"{self.name} {count}", *([self._text] if self._text else []), f"{seconds:.0f} s", *to_go]
        say(", ".join(parts), self.stream)


def say(text: str, stream: TextIO | None = None) -> None:
    """Write a line to standard error, or to a stream; work goes on where that is not possible, as on a full disk.

    Standard error is then let go: what could not be written would be tried again when the process ends, and change its status.
    """
    stream = sys.stderr if stream is None else stream
    if stream is None:  # closed before the process began
        return
    try:
        print(text, file=stream, flush=True)
    except OSError:
        if stream is sys.stderr:
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process


def _rough(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _length(items: object) -> int | None:
    """How many there are, where that is known: a loader of an iterable has ``__len__`` and no length."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except TypeError:
        return None


def _is_terminal(stream: TextIO) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()


def _bar(items: Iterable[Any], name: str, stream: TextIO, delay: float) -> Any:
    if not has("tqdm"):
        return None
    return load("tqdm", "a bar", "demo").tqdm(items, desc=name, file=stream, delay=delay)
