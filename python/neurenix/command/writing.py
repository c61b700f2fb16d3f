"""The files of an image that was predicted in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurenix.command.tasks import Task
from neurenix.images.opening import write_image
from neurenix.images.placing import put
from neurenix.images.source import Metadata
from neurenix.labelling import connected_components
from neurenix.picture import overlay, save_picture, visible
from neurenix.slides.outputs import Output

Array = np.ndarray[Any, Any]


class _Held(NamedTuple):
    """Pixels (K, H, W) in memory, as a writer takes them."""

    pixels: Array

    @property
    def shape(self) -> Any:
        return self.pixels.shape

    @property
    def dtype(self) -> Any:
        return self.pixels.dtype

    def read(self, plane: int, rows: slice) -> Array:
        return np.asarray(self.pixels[plane, rows])


def write(task: Task, outputs: dict[Output, Path], pixels: Array, output: Array, metadata: Metadata) -> None:
    """Write what is asked for of an image (C, H, W) and is not there, out of what the model made of it (K, H, W)."""
    mask = task.decide(output)
    for name, path in outputs.items():
        if path.exists():
            continue
        if name == "overlay":
            put(path, partial(save_picture, pixels=overlay(visible(pixels), mask)))
            continue
        made = task.probabilities(output) if name == "probabilities" else _numbers(task, name, mask, output)[None]
        put(path, partial(write_image, pixels=_Held(made), metadata=metadata))


def _numbers(task: Task, name: str, mask: Array, output: Array) -> Array:
    if name == "classes":
        return mask if task.kind == "binary" else _narrow(output.argmax(0), len(output))
    if task.kind == "instances" or name == "instances":
        return (mask if task.kind == "instances" else connected_components(mask)).astype(np.int32)
    return mask if task.kind == "binary" else _narrow(mask, len(output))


def _narrow(numbers: Array, classes: int) -> Array:
    return numbers.astype(np.uint8 if classes <= 256 else np.uint16)
