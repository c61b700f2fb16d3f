"""Maps that operations see as a whole, too large for memory: read back from their tiles some channels at a time."""

from __future__ import annotations

import itertools
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from neurenix.backend.kernel import skipped
from neurenix.images.source import Array
from neurenix.passes import Pass
from neurenix.slides.ledger import sync_folder, write_durably
from neurenix.slides.lock import Lock
from neurenix.slides.stage import PassStage
from neurenix.slides.tiles import Layer, TileRows
from neurenix.streaming import Compute
from neurenix.tensor import Tensor

LAYER = "map"
_HELD = 64 << 20  # bytes of a map that are in memory at once, if two channels are no more
_ROWS = 1 << 20  # bytes of a channel that are read at once


def layers(planes: int, dtype: np.dtype[Any]) -> list[Layer]:
    """What is kept of a pass that makes a map."""
    return [Layer(LAYER, planes, dtype.str)]


def keep(values: Array) -> dict[str, Array]:
    """A tile of it."""
    return {LAYER: values}


def read_made(folder: Path, device: str) -> list[Tensor] | None:
    """What operations made of a pass's map, if that is done."""
    try:
        with (folder / "made.npz").open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return [Tensor(file[name], device=device) for name in file.files]
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):
        (folder / "made.npz").unlink(missing_ok=True)  # damaged: the pass is run again
        return None


def make(stage: PassStage, device: str) -> list[Tensor] | None:
    """What operations make of a pass's map, kept on the disk instead of the map; ``None`` where tiles are missing."""
    with Lock(stage.folder / "join.lock", "a map", wait=True):
        found = read_made(stage.folder, device)
        if found is not None or stage.missing():
            return found
        found = [_computed(stage, compute, device) for compute in stage.one.computes]
        arrays = {f"{number:06d}": np.ascontiguousarray(t.to(device="cpu").numpy()) for number, t in enumerate(found)}
        write_durably(stage.folder / "made.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # NumPy's own
        sync_folder(stage.folder)
        shutil.rmtree(stage.tiles.folder, ignore_errors=True)
    return found


def groups(one: Pass, shape: tuple[int, int, int], itemsize: int) -> list[list[slice]]:
    """For each operation that sees the map of this shape (C, H, W) the channels that it is given at once.

    All at once, unless it treats channels alike. One channel of several never comes alone: its memory order would be another.
    """
    most = max(2, _HELD // max(1, shape[1] * shape[2] * itemsize))
    found = []
    for compute in one.computes:
        count = max(1, min(-(-shape[0] // most), shape[0] // 2)) if _treats_channels_alike(compute) else 1
        edges = [shape[0] * i // count for i in range(count + 1)]
        found.append([slice(a, b) for a, b in itertools.pairwise(edges)])
    return found


def held_bytes(one: Pass, shape: tuple[int, int, int], itemsize: int) -> int:
    """Memory that :func:`make` takes."""
    widest = max((part.stop - part.start for parts in groups(one, shape, itemsize) for part in parts), default=0)
    return widest * shape[1] * shape[2] * itemsize


def _treats_channels_alike(compute: Compute) -> bool:
    with skipped():
        shapes = [compute(Tensor(np.zeros((1, channels, 8, 8), np.float32))).shape for channels in (2, 3)]
    return [shape[1:2] for shape in shapes] == [(2,), (3,)]


def _computed(stage: PassStage, compute: Compute, device: str) -> Tensor:
    one, rows = stage.one, TileRows(stage.tiles, LAYER)
    last = one.made(stage.grid.size).channels_last
    parts = groups(one, rows.shape, rows.dtype.itemsize)[one.computes.index(compute)]
    made = [np.asarray(compute(_channels(rows, part, device, last)).to(device="cpu").numpy()) for part in parts]
    return Tensor(made[0] if len(made) == 1 else np.concatenate(made, axis=1), device=device)


def _channels(rows: TileRows, wanted: slice, device: str, channels_last: bool) -> Tensor:
    """Some channels of the map, in the memory order in which it would come: sums follow it."""
    _, height, width = rows.shape
    count = wanted.stop - wanted.start
    pixels = (
        np.empty((height, width, count), rows.dtype).transpose(2, 0, 1) if channels_last else np.empty((count, height, width), rows.dtype)
    )
    step = max(1, _ROWS // (width * rows.dtype.itemsize))
    for top in range(0, height, step):
        band = slice(top, min(top + step, height))
        for channel in range(wanted.start, wanted.stop):
            pixels[channel - wanted.start, band] = rows.read(channel, band)
    return Tensor(pixels[None], device=device)
