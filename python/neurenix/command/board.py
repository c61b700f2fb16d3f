"""Logs for TensorBoard, through tensorboardX."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurenix.errors import BackendUnavailableError
from neurenix.png import decode


def _load(name: str) -> Any:
    try:
        return importlib.import_module(f"tensorboardX.{name}")
    except ImportError as error:
        got = "no such package" if error.name == "tensorboardX" else f"one that cannot be imported ({error})"
        raise BackendUnavailableError(
            f"train: expected the package tensorboardX for --tensorboard, got {got}; install it with: "
            "pip install 'neurenix-multiscale[tensorboard]'"
        ) from None


def require() -> None:
    """Make sure that logs can be written.

    Raises
    ------
    BackendUnavailableError
        If the package is missing; the text says how to get it.
    """
    _load("event_file_writer")


class Board:
    """Events of a run: each on the disk when the call returns.

    Parameters
    ----------
    folder : Path
        Where event files go; made if need be.
    done : int
        Steps that the run has behind it. Readers forget what an earlier process wrote about later ones.

    Notes
    -----
    The plain writer of events is used, not the one with a thread of its own, which waits for ever once the disk is full.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        events, self._summaries = _load("proto.event_pb2"), _load("proto.summary_pb2")
        self._event = events.Event
        folder.mkdir(parents=True, exist_ok=True)
        # Readers take the files of a folder in the order of their names; two processes may begin in the same second.
        self._writer = _load("event_file_writer").EventsWriter(str(folder / "events"), f".{done:07d}.{os.getpid()}")
        if done:
            start = events.SessionLog(status=events.SessionLog.START)
            self._writer.write_event(events.Event(wall_time=time.time(), step=done + 1, session_log=start))
        self._writer.flush()

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write numbers of a step."""
        self._write(step, [{"tag": tag, "simple_value": value} for tag, value in values.items() if value is not None])

    def picture(self, step: int, tag: str, path: Path) -> None:
        """Write a PNG file as the picture of a step."""
        png = path.read_bytes()
        height, width = decode(png)[0].shape[:2]
        image = self._summaries.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        self._write(step, [{"tag": tag, "image": image}])

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, step: int, values: list[dict[str, Any]]) -> None:
        summary = self._summaries.Summary(value=[self._summaries.Summary.Value(**value) for value in values])
        self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()
