"""A plan of predicting a large image, and how it is said: bytes, hours, a table."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from neurenix.errors import ArgumentError

_UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


class MapPlan(NamedTuple):
    """A pass over the image before the last, which makes a map that operations see as a whole.

    Attributes
    ----------
    op : str
        The operation that sees it first.
    shape : (int, int, int)
        Channels, rows and columns of the map.
    disk : int
        Bytes of the map, which lies on the disk until operations have seen it.
    multiply_adds : int
    """

    op: str
    shape: tuple[int, int, int]
    disk: int
    multiply_adds: int


class TilePlan(NamedTuple):
    """What predicting an image takes; printed as a table.

    Attributes
    ----------
    shape : (int, int, int)
        Channels, rows and columns of the image.
    tile : (int, int)
        Rows of a strip and columns of the column of the image that it moves down.
    tiles : int
    memory : int
        Bytes of the process at its peak; on a GPU those of its arrays are not among them.
    multiply_adds : int
    overhead : float
        Multiply-adds over those of the whole image at once.
    seconds : float or None
        Estimated from a small part that was computed; ``None`` where that was not asked for.
    maps : tuple of MapPlan
        The passes before the last, in order; none, where outputs depend on pixels near them.
    disk : int
        Bytes of outputs that lie on the disk until tiles are blended; none of exact tiles.

    Examples
    --------
    >>> import neurenix as nx
    >>> shape, tile = (3, 40000, 60000), (512, 2048)
    >>> plan = nx.slides.TilePlan(shape, tile, 2400, 2**30, 123456789, 1.05, 5400.0)
    >>> print(plan)
    image          40000 x 60000, 3 channels
    tile           512 x 2048, 2400 of them
    memory         1,024 MiB
    multiply-adds  123,456,789, 1.05 times the whole image's
    time           1.5 h
    """

    shape: tuple[int, int, int]
    tile: tuple[int, int]
    tiles: int
    memory: int
    multiply_adds: int
    overhead: float
    seconds: float | None
    maps: tuple[MapPlan, ...] = ()
    disk: int = 0

    def __str__(self) -> str:
        channels, height, width = self.shape
        lines = [
            ("image", f"{height} x {width}, {channels} channels"),
            ("tile", f"{self.tile[0]} x {self.tile[1]}, {self.tiles} of them"),
            ("memory", f"{self.memory / 2**20:,.0f} MiB"),
            ("multiply-adds", f"{self.multiply_adds:,}, {self.overhead:.2f} times the whole image's"),
        ]
        lines += [("passes", f"{len(self.maps) + 1}, of which the last makes the output")] if self.maps else []
        lines += [(f"pass {number}", self._map(one)) for number, one in enumerate(self.maps, 1)]
        lines += [("blended", f"{self.disk / 2**20:,.0f} MiB on the disk until then; the result depends on the tile")] if self.disk else []
        lines += [] if self.seconds is None else [("time", duration(self.seconds))]
        return "\n".join(f"{name:<14} {text}" for name, text in lines)

    def _map(self, one: MapPlan) -> str:
        size, disk = " x ".join(str(n) for n in one.shape), f"{one.disk / 2**20:,.0f} MiB on the disk"
        return f"for {one.op}: {size}, {disk}, {one.multiply_adds / self.multiply_adds:.0%} of the multiply-adds"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as far as they matter."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def memory_bytes(text: int | str) -> int:
    """Bytes of ``"1GB"``, ``"512MiB"``, ``"4G"`` or a number.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", str(text).lower())
    found = 0 if match is None or isinstance(text, bool) else int(float(match[1]) * _UNITS[match[2] or ""])
    if found <= 0:
        raise ArgumentError(f"plan: expected memory such as '1GB' or a number of bytes, got {text!r}; pass e.g. '4GB'")
    return found
