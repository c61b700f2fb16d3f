"""One piece of a job that makes tiles: its tiles in a folder, shared by parts, each with a ledger of those that it has done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

from neurenix.errors import FileError, StateError
from neurenix.images.source import Array
from neurenix.passes import Pass
from neurenix.progress import Progress
from neurenix.slides import ledger
from neurenix.slides.lock import Lock
from neurenix.slides.strips import outputs_of, tiles
from neurenix.slides.tiles import Grid, Layer, Tiles
from neurenix.tensor import Tensor

Make: TypeAlias = Callable[[Sequence[int]], Iterator[tuple[int, Array]]]


class Part(NamedTuple):
    """One of several array jobs that share the tiles of an image.

    Attributes
    ----------
    number : int
        From 1.
    of : int
        How many there are.

    Examples
    --------
    >>> import neurenix as nx
    >>> second = nx.slides.Part(2, of=3)
    >>> second.tiles(10), second.name
    (range(3, 6), 'part-2-of-3')
    """

    number: int = 1
    of: int = 1

    def tiles(self, count: int) -> range:
        """Its share of ``count`` tiles: neighbours, so that little of the image is read twice.

        Examples
        --------
        >>> import neurenix as nx
        >>> [list(nx.slides.Part(number, of=3).tiles(7)) for number in (1, 2, 3)]
        [[0, 1], [2, 3], [4, 5, 6]]
        """
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)

    @property
    def name(self) -> str:
        """Of its files.

        Examples
        --------
        >>> import neurenix as nx
        >>> nx.slides.Part(2, of=3).name
        'part-2-of-3'
        """
        return f"part-{self.number}-of-{self.of}"


class Stage:
    """Tiles that are made once, and known to be there.

    Parameters
    ----------
    tiles : Tiles
        In a folder that is made where it is missing, beside which the ledgers lie.
    keep : callable
        From a tile's outputs (K, h, w) to the layers of the tiles.
    image : str
        Its name, for errors.
    """

    def __init__(self, tiles: Tiles, keep: Callable[[Array], dict[str, Array]], image: str) -> None:
        tiles.folder.mkdir(parents=True, exist_ok=True)
        self.tiles, self.folder, self._keep, self._image = tiles, tiles.folder.parent, keep, image

    def require_resume(self, part: Part, resume: bool) -> None:
        """Refuse to go on with what was begun unless that is asked for.

        Raises
        ------
        StateError
            If this part has done tiles.
        """
        written = self.folder / f"{part.name}.ledger"
        if written.exists() and written.stat().st_size and not resume:
            raise StateError(
                f"predict: expected nothing begun, got tiles of {self._image} in {self.folder}; pass --resume to go on, or delete it"
            )

    def run(self, make: Make, part: Part, resume: bool, stop: Callable[[], bool], shown: str | None) -> bool:
        """Compute the tiles of this part that are not there; whether all of them are now.

        Parameters
        ----------
        make : callable
            Numbers of tiles, in ascending order, to each with its outputs (K, h, w).
        part : Part
        resume : bool
        stop : callable
            Asked before each tile.
        shown : str or None
            What stands before the numbers of tiles that are done.
        """
        mine = part.tiles(len(self.tiles))
        with Lock(self.folder / f"{part.name}.lock", f"part {part.number}/{part.of} of {self._image}"):
            self._refuse_overlap(part, mine)
            self.require_resume(part, resume)
            done = ledger.done(self.folder)
            left = [t for t in mine if t not in done or self.tiles.check(t) != done[t]]
            lines = ledger.Ledger(self.folder / f"{part.name}.ledger")
            try:
                made = make(left)
                for _ in Progress(left, shown) if shown and left else left:
                    if stop():
                        return False
                    tile, values = next(made)
                    lines.add(tile, self.tiles.write(tile, self._keep(values)))
            finally:
                lines.close()
        return True

    def _refuse_overlap(self, part: Part, mine: range) -> None:
        """Refuse where a job cut into other parts is at work on some of these tiles."""
        for path in self.folder.glob("part-*.lock"):
            match = re.fullmatch(r"part-(\d+)-of-(\d+)", path.stem)
            other = Part(int(match[1]), int(match[2])) if match else part
            theirs = other.tiles(len(self.tiles))
            if other != part and theirs.start < mine.stop and mine.start < theirs.stop:
                with Lock(path, f"part {other.number}/{other.of} of {self._image}"):
                    pass

    def missing(self) -> int:
        """How many tiles are not there yet.

        Raises
        ------
        FileError
            If some are there and not whole.
        """
        done = ledger.done(self.folder)
        if missing := len(self.tiles) - len(done):
            return missing
        bad = [t for t, check in done.items() if self.tiles.check(t) != check]
        if bad:
            raise FileError(f"predict: expected whole tiles in {self.folder}, got {len(bad)} that are not; run their parts with --resume")
        return 0


class PassStage(Stage):
    """The tiles of what one pass over an image makes.

    Parameters
    ----------
    one : Pass
    folder : path
    grid : Grid
        Of the image.
    layers : list of Layer
    keep, image
        As of :class:`Stage`.
    """

    def __init__(
        self, one: Pass, folder: Path, grid: Grid, layers: list[Layer], keep: Callable[[Array], dict[str, Array]], image: str
    ) -> None:
        super().__init__(Tiles(folder / "tiles", outputs_of(one, grid), layers), keep, image)
        self.one, self.grid = one, grid

    def make(self, read: Callable[[slice, slice], Tensor], known: Sequence[Sequence[Tensor]]) -> Make:
        """What computes tiles, out of the image and of what operations make of the maps of earlier passes."""
        return partial(tiles, self.one, known, read, self.grid)
