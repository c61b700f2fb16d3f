"""From an image in a file to results in files, a tile at a time: what is done stays done, whatever ends the process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from neurenix import autograd, precision
from neurenix.blending import Laps
from neurenix.errors import ArgumentError, DTypeError, FileError
from neurenix.images import Source, open_image
from neurenix.images.npy import Unpacked, unpack
from neurenix.images.opening import FORMATS
from neurenix.images.placing import put
from neurenix.images.source import Array
from neurenix.inference import evaluating
from neurenix.memory import empty_cache
from neurenix.nn import Module
from neurenix.normalization import Normalization
from neurenix.picture import scaled
from neurenix.slides import ledger, statistics
from neurenix.slides.blended_plan import plan_blended_source
from neurenix.slides.identity import image_hash, model_hash
from neurenix.slides.lock import Lock
from neurenix.slides.outputs import OUTPUTS, Assembly, Kind, Output, kept, layers
from neurenix.slides.planning import TILE, plan_source
from neurenix.slides.stage import Part
from neurenix.slides.ways import Approximate, Exact, Way
from neurenix.system import VERSION
from neurenix.tensor import Tensor

State = Literal["written", "there", "part done", "pass done", "stopped"]


class Settings(NamedTuple):
    """How an image is predicted.

    Attributes
    ----------
    kind : {"binary", "classes", "instances"}
        What the model's outputs mean: a probability; logits of classes; logits of background, object and border.
    image : int
        Which of the file's.
    tile : int or (int, int), optional
        Rows and columns of a tile, or ``t`` for t / 2 rows and 2 t columns; that of the job that is resumed, or 1024.
    memory : int or str, optional
        Bytes that the process may take, e.g. ``"1GB"``: instead of ``tile``, the largest that fits.
    percentiles : (float, float), optional
        Of each channel over the whole image: they become 0 and 1 before the model's own normalisation, which otherwise comes
        after pixels are divided by its ``scale``, or whole numbers by their type's largest value.
    resume : bool
        Go on with what a run before left.
    part : Part
    join : bool
        Compute nothing, make the files of the tiles that are there.
    progress : bool
        Show how many tiles are done.
    approximate : bool
        For models with operations that see the whole image otherwise than by averages and maxima: each tile is its own image, of as
        many rows as columns where ``tile`` is one number, and tiles are blended where they overlap. The result depends on ``tile``.
    overlap : int, optional
        Of approximate tiles, in pixels; a quarter of ``tile`` by default.
    overwrite : bool
        Whether outputs that are there when the tiles are done are replaced; otherwise only the others are made, and nothing is done where
        all are there.

    Examples
    --------
    >>> import neurenix as nx
    >>> settings = nx.slides.Settings(kind="classes", memory="2GB")
    >>> settings.kind, settings.image, settings._replace(resume=True).resume
    ('classes', 0, True)
    """

    kind: Kind = "binary"
    image: int = 0
    tile: int | tuple[int, int] | None = None
    memory: int | str | None = None
    percentiles: tuple[float, float] | None = None
    resume: bool = False
    part: Part = Part()
    join: bool = False
    progress: bool = False
    approximate: bool = False
    overlap: int | None = None
    overwrite: bool = True


def predict_file(
    model: Module,
    path: Path,
    outputs: dict[Output, Path],
    settings: Settings | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> State:
    """Predict an image that need not fit memory, with the bits of the whole: from a file to files.

    Parameters
    ----------
    model : Module
        Of maps (N, C, H, W) to maps (N, K, H, W) whose outputs depend on pixels near them.
    path : path
        PNG, ``.npy``, TIFF, Zarr.
    outputs : dict of path
        What is wanted, and the files that it is written to: ``"mask"`` of the model's kind, ``"classes"``, ``"instances"``,
        ``"probabilities"``, ``"overlay"``; the endings name the formats.
    settings : Settings, optional
    stop : callable
        Asked before each tile; true ends the run so that it can be resumed.

    Returns
    -------
    {"written", "there", "part done", "pass done", "stopped"}
        The files are written; were there and are left; wait for other parts; the next pass waits for other parts' share of this one, call it
        again with ``resume``; stopped by ``stop``.

    Raises
    ------
    ArgumentError, DTypeError
        If what is asked for cannot be.
    WindowError
        If an operation of the model sees the whole image otherwise than by averages and maxima, by its name.
    BusyError
        If another process is at work on the same tiles.
    StateError
        If a job that was begun has another model, image or settings, or ``resume`` is not set.
    FileError
        If the image is damaged or holds a pixel that is no number, with its place.

    Notes
    -----
    While it is under way, everything lies in a folder beside the first output, ``.NAME.job``: tiles, a ledger of those that are done,
    locks. Files appear whole under their names and the folder goes.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from pathlib import Path
    >>> import neurenix as nx
    >>> from neurenix.slides import Settings, predict_file
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "slide.npy", np.random.default_rng(0).random((150, 131), np.float32))
    >>> model = nx.multiscale.UNet(1, 1, features=[4, 8])
    >>> predict_file(model, folder / "slide.npy", {"probabilities": folder / "found.npy"}, Settings(tile=64))
    'written'
    >>> np.load(folder / "found.npy").shape
    (1, 150, 131)
    """
    settings = settings or Settings()
    _check(model, outputs, settings)
    folder = work_folder(outputs)
    retired = folder.with_suffix(".gone")
    if retired.exists():
        shutil.rmtree(retired, ignore_errors=True)
    if (settings.resume or not settings.overwrite) and not folder.exists() and all(p.exists() for p in outputs.values()):
        return "there"
    if settings.join and not folder.exists():
        raise FileError(f"predict: expected tiles of {path.name} in {folder}, got none; run its parts first")
    channels = getattr(model, "in_channels", None)
    with open_image(path, settings.image, channels) as source, evaluating(model), autograd.no_grad():
        job = _Job(model, source, outputs, settings, folder)
        try:
            state = "part done" if settings.join else job.run(stop)
            return job.join(retired, stop) if state == "part done" else state
        finally:
            job.source.close()
            if job.unreadable and settings.part.of == 1:  # a mended image is another: nothing here is of use to it
                shutil.rmtree(folder, ignore_errors=True)


def _check(model: Module, outputs: dict[Output, Path], settings: Settings) -> None:
    """Refuse at once what would be found out only when all is computed."""
    if not isinstance(model, Module):
        raise DTypeError(f"predict_file: expected a Module, got {type(model).__name__}; pass the model first, then the image")
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown or not outputs:
        raise ArgumentError(f"predict_file: expected some of {', '.join(OUTPUTS)}, got {unknown or 'none'}; name what is wanted")
    for name, path in outputs.items():
        kind = path.suffix.lower().lstrip(".").replace("tiff", "tif")
        if kind not in FORMATS or (kind == "png" and name == "probabilities") or (kind != "png" and name == "overlay"):
            raise ArgumentError(
                f"predict_file: expected a file that can hold {name}, got {path.name!r}; end it in .npy, .tif or .zarr, masks also in .png"
            )
    if settings.kind not in ("binary", "classes", "instances"):
        raise ArgumentError(f"predict_file: expected kind binary, classes or instances, got {settings.kind!r}; say what outputs mean")
    if not 1 <= settings.part.number <= settings.part.of:
        raise ArgumentError(f"predict_file: expected a part from 1 to their number, got {settings.part}; pass e.g. Part(1, 4)")
    if settings.memory is not None and settings.tile is not None:
        raise ArgumentError("predict_file: expected memory or tile, got both; leave one out")
    if settings.overlap is not None and not settings.approximate:
        raise ArgumentError("predict_file: expected overlap with approximate=True, got it alone; tiles are exact without")
    check_percentiles(settings.percentiles)


def check_percentiles(given: Sequence[float] | None) -> None:
    """Refuse what are no two percentiles.

    Raises
    ------
    ArgumentError
        With what came.
    """
    if given is not None and not (len(given) == 2 and 0 <= given[0] < given[1] <= 100):
        raise ArgumentError(f"predict: expected percentiles 0 <= low < high <= 100, got {list(given)}; pass e.g. 1 and 99.8")


def work_folder(outputs: dict[Output, Path]) -> Path:
    """Where a job's tiles are while it is under way."""
    first = next(iter(outputs.values()))
    return first.with_name(f".{first.stem}.job")


def prepared(model: Module, window: Array, limits: Array | None) -> Tensor:
    """Pixels (C, h, w) of a file as the model takes them: (1, C, h, w)."""
    normalization = _normalization(model)
    if limits is None:
        x = scaled(window, normalization.scale)
    else:
        x = window if window.dtype == np.float64 else window.astype(np.float32)
        kind = x.dtype.type
        each = [
            (plane - kind(low)) * kind(1 / (high - low)) + kind(0) if high > low else np.zeros_like(plane)
            for plane, (low, high) in zip(x, limits, strict=True)
        ]
        x = np.stack(each)
    return _for_model(model, normalization.standardized(x[None]))


def _normalization(model: Module) -> Normalization:
    return getattr(model, "input_normalization", None) or Normalization()


def _for_model(model: Module, x: Tensor) -> Tensor:
    weights = next(iter(model.parameters()), None)
    return x if weights is None else x.to(device=weights.device, dtype=weights.dtype)


class _Job:
    """One image's job: the folder of its tiles, and what it must agree with."""

    def __init__(self, model: Module, source: Source, outputs: dict[Output, Path], settings: Settings, folder: Path) -> None:
        self.model, self.source, self.outputs, self.settings, self.folder = model, source, outputs, settings, folder
        self.unreadable = False
        self.device = str(next((p.device for p in model.parameters()), "cpu"))
        self.way: Way = Approximate(model, source.shape) if settings.approximate else Exact(model, source.shape, self.device)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with Lock(folder / "header.lock", "the job", wait=True):
                self._cut()
                self.layers = layers(settings.kind, list(outputs), *self.way.made())
                self.source = self._unpacked()
                found = ledger.agree(folder / "job.json", self._identity(), self._statistics)
        except BaseException:
            if not (folder / "job.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self.limits = None if settings.percentiles is None else np.array(found["limits"])
        self.way.begin(folder, self.layers, partial(kept, settings.kind, self.layers), source.path.name)
        self.way.require_resume(settings.part, settings.resume or settings.join)

    def _cut(self) -> None:
        """Into tiles as asked for, else as those of the job that was begun, or ones that fit."""
        begun, settings = ledger.begun_with(self.folder / "job.json"), self.settings
        overlap = begun.overlap if settings.approximate and settings.overlap is None else settings.overlap
        tile = settings.tile or begun.tile
        if tile is None and settings.memory is not None:
            tile = self._fitting(settings.memory, overlap)
        self.way.cut(tile or TILE, overlap)

    def _fitting(self, memory: int | str, overlap: int | None) -> tuple[int, int]:
        if self.settings.approximate:
            return plan_blended_source(self.model, self.source, memory, overlap=overlap, measure=False).tile
        return plan_source(self.model, self.source, memory, measure=False).tile

    def _unpacked(self) -> Source:
        """The image; one that can only be read from its first row on is unpacked once for all columns of tiles, and all parts."""
        path = self.folder / "pixels.npy"
        if not self.source.sequential or self.way.grid.across == 1:
            return self.source
        if not path.exists():
            put(path, partial(unpack, source=self.source))
        return Unpacked(path, self.source)

    def _identity(self) -> dict[str, Any]:
        scale = _normalization(self.model).scale
        return {
            "model": model_hash(self.model),
            "image": image_hash(self.source.path),
            "number": self.settings.image,
            "shape": self.source.shape,
            "kind": self.settings.kind,
            "keeps": [list(layer) for layer in self.layers],
            "percentiles": self.settings.percentiles,
            "tile": self.way.grid.tile,
            **({"overlap": self.way.grid.overlap} if isinstance(self.way.grid, Laps) else {}),
            **({} if scale is None else {"scale": scale}),
            "precision": precision.get_float32_precision(),
            "device": self.device.partition(":")[0],
            "neurenix": VERSION,
        }

    def _statistics(self) -> dict[str, Any]:
        """One pass or two over the whole image, for all parts."""
        statistics.require_finite(self.source)
        if self.settings.percentiles is None:
            return {}
        return {"limits": statistics.percentiles(self.source, self.settings.percentiles).tolist()}

    def run(self, stop: Callable[[], bool]) -> State:
        """Compute this part's tiles that are not there, as far as other parts' tiles are."""
        return self.way.run(self._read, self.settings.part, self.settings.resume, stop, self.settings.progress)

    def _read(self, rows: slice, columns: slice) -> Tensor:
        try:
            window = self.source.read(rows, columns)
            statistics.require_finite_band(self.source, rows.start, columns.start, window)
        except FileError:
            self.unreadable = True
            raise
        return prepared(self.model, window, self.limits)

    def join(self, retired: Path, stop: Callable[[], bool]) -> State:
        """Make the files, where all tiles are there and nobody else makes them."""
        if not self.folder.exists():
            return "written"  # by the part that was last
        with ExitStack() as held:
            try:
                held.enter_context(Lock(self.folder / "join.lock", f"the files of {self.source.path.name}", wait=True))
            except FileNotFoundError:
                return "written"  # while this one waited
            missing, count = self.way.last.missing(), len(self.way.last.tiles)
            if missing and self.settings.join:
                raise FileError(
                    f"predict: expected all {count} tiles of {self.source.path.name}, got {count - missing}; run the missing parts"
                )
            if missing:
                return "part done"
            empty_cache()
            tiles = self.way.whole(stop, self.settings.progress)
            if tiles is None:
                return "stopped"
            assembly = Assembly(tiles, self.settings.kind, self.source, self.folder)
            for output, path in self.outputs.items():
                if self.settings.overwrite or not path.exists():
                    assembly.make(output, path)
            self.folder.rename(retired)
        shutil.rmtree(retired, ignore_errors=True)
        return "written"
