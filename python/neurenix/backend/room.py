"""What to say, and to advise, when a GPU's memory is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from neurenix.errors import OutOfMemoryError


def _nothing() -> bool:
    return False


recording: Callable[[], bool] = _nothing  # whether gradients are recorded; the tape, which stands above, sets it


class Room(NamedTuple):
    """Bytes of a GPU."""

    free: int  # of the driver
    total: int
    live: int  # in arrays of this process
    cached: int  # kept by this process for the next arrays

    @property
    def others(self) -> int:
        """Bytes that neither are free nor belong to this process's arrays: other processes, and the driver's own."""
        return max(self.total - self.free - self.live - self.cached, 0)


def size(count: int) -> str:
    """Bytes as text."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.1f} {unit}"
    return f"{count} bytes"


def advice(shape: Sequence[int], need: int, room: Room) -> str:
    """What is most likely to help."""
    batch = shape[0] if len(shape) >= 3 else 1
    smaller = "smaller batches" if batch > 1 else "smaller images or tiles of them (multiscale.predict_tiled)"
    if need > room.total:
        return f"no GPU of this size holds that one array: use {smaller}"
    if room.others > room.total // 2:
        return (
            f"other processes hold {size(room.others)} (nvidia-smi names them): end them, or choose another GPU with CUDA_VISIBLE_DEVICES"
        )
    if need <= room.free + room.cached:
        return "there is room, but in pieces: call nx.empty_cache(device), then use sizes that repeat"
    if recording():
        return f"use {smaller}, nx.enable_gradient_checkpointing() in training, and nx.no_grad() outside it"
    return f"use {smaller}, and delete results that are no longer needed"


def full(device: str, shape: Sequence[int], dtype: object, need: int, room: Room) -> OutOfMemoryError:
    """The error for an array that cannot be had."""
    return OutOfMemoryError(
        f"{device}: expected {size(need)} for an array {tuple(shape)} of {dtype}, got {size(room.free)} free of {size(room.total)} (this "
        f"process: {size(room.live)} in arrays, {size(room.cached)} cached); {advice(shape, need, room)}"
    )
