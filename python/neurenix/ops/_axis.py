"""Tables of one axis: which inputs an output is made of, with which weights. Computed once on the host in double, and cached."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from neurenix import backend
from neurenix._typing import Array
from neurenix.backend.doors import door_named

Host: TypeAlias = np.ndarray[Any, Any]


class Table(NamedTuple):
    """A sparse matrix by rows: output ``i`` is the sum of ``weight[k] * x[source[k]]``, k from start[i] to start[i + 1]."""

    start: Host
    source: Host
    weight: Host

    def transposed(self, size: int) -> Table:
        """The table of the gradient, over ``size`` inputs, each summed in the order of outputs."""
        output = np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))
        order = np.argsort(self.source, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(self.source, minlength=size))]).astype(np.int64)
        return Table(start, output[order].astype(np.int64), self.weight[order])


def table_of(first: Host, weights: Host, counts: Host | None = None, limit: int | None = None) -> Table:
    """Taps ``first[i] + k`` with ``weights[i, k]``, the first ``counts[i]`` of them, clamped below ``limit``."""
    taps = weights.shape[1]
    index = first[:, None] + np.arange(taps)
    if limit is not None:
        index = np.clip(index, 0, limit - 1)
    keep = np.ones(weights.shape, bool) if counts is None else np.arange(taps) < counts[:, None]
    start = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
    return Table(start.astype(np.int64), index[keep].astype(np.int64), weights[keep])


def identity(size: int) -> Table:
    """Every output is the input of its number."""
    return Table(np.arange(size + 1), np.arange(size), np.ones(size))


def picks(index: Host) -> Table:
    """One tap an output, none where the index is negative."""
    keep = index >= 0
    return Table(np.concatenate([[0], np.cumsum(keep)]).astype(np.int64), index[keep].astype(np.int64), np.ones(int(keep.sum())))


def sums(windows: Host, weight: Host) -> Table:
    """Windows (first, count) whose taps all have their output's weight."""
    first, counts = windows[:, 0], windows[:, 1]
    taps = max(int(counts.max(initial=0)), 1)
    return table_of(first, np.broadcast_to(weight[:, None], (len(first), taps)), counts)


@lru_cache(maxsize=1024)
def _placed(key: tuple[bytes, str], dtype: str, device: str, _queue: int) -> Array:
    data, kind = key
    return backend.to_device(np.frombuffer(data, kind).astype(dtype), device)


def placed(host: Host, dtype: str, device: str) -> Array:
    """A host table as an array of a type on a device, kept for the next call."""
    if device == "cpu" and host.dtype == dtype:
        return host
    return _placed((host.tobytes(), host.dtype.str), dtype, device, door_named(device).queue(device))


def place(table: Table, like: Array) -> tuple[Array, Array, Array]:
    """The three columns of a table beside ``like``, weights of its type."""
    device = backend.device_of(like)
    return placed(table.start, "int64", device), placed(table.source, "int64", device), placed(table.weight, like.dtype.name, device)


def adaptive_windows(size: int, bins: int) -> Host:
    """The windows of ``bins`` bins over ``size`` pixels: from ``floor(i n / o)`` to ``ceil((i + 1) n / o)``."""
    i = np.arange(bins, dtype=np.int64)
    first = i * size // bins
    return np.stack([first, -((-(i + 1) * size) // bins) - first], axis=1)


def sliding_windows(size: int, outputs: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Host:
    """The windows of a kernel that slides over a padded axis, without the padding."""
    first = np.arange(outputs, dtype=np.int64) * stride - padding
    skipped = np.maximum(-(first // dilation), 0)
    start = first + skipped * dilation
    stop = np.minimum(first + (kernel - 1) * dilation + 1, size)
    count = np.maximum(-((start - stop) // dilation), 0)
    return np.stack([np.where(count > 0, start, 0), count], axis=1)
