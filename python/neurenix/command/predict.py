"""``neurenix predict``: a model over one image or a folder of them, each in memory or, where it is large, from file to file."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

import neurenix as nx
from neurenix.command.brightness import Doubts
from neurenix.command.files import images_in, listed
from neurenix.command.sayings import said
from neurenix.command.stopping import asked_to_stop, interrupted_by_signals
from neurenix.command.tasks import Task
from neurenix.command.together import tell
from neurenix.command.writing import write
from neurenix.errors import ArgumentError, DTypeError, FileError, NeurenixError, ShapeError
from neurenix.images import count_images, open_image
from neurenix.images.opening import FORMATS, require
from neurenix.images.placing import remove
from neurenix.images.source import Metadata
from neurenix.inference import computed, evaluating
from neurenix.parallel import Ranks
from neurenix.progress import Progress, say
from neurenix.slides import Part, Settings, predict_file
from neurenix.slides.job import check_percentiles, prepared, work_folder
from neurenix.slides.outputs import Output
from neurenix.slides.planning import TILE
from neurenix.slides.statistics import percentiles, require_finite_band
from neurenix.slides.tile_plan import memory_bytes
from neurenix.tiling import predict_tiled

HELP: Final = "find in images what a model was trained to find"
EXAMPLE: Final = "neurenix predict run/best.nx images/ --out found"
AGAIN: Final = 75
SMALL: Final = 512  # pixels: with --memory larger images are run in tiles
Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for masks, named as their images")
    parser.add_argument("--classes", action="store_true", help="numbers of classes, in NAME_classes, instead of the model's kind of mask")
    parser.add_argument(
        "--instances", action="store_true", help="numbers of objects, in NAME_instances, instead of the model's kind of mask"
    )
    parser.add_argument("--probabilities", action="store_true", help="also probabilities, as .npy (K, H, W)")
    parser.add_argument("--overlay", action="store_true", help="also a small picture of image and mask, NAME_overlay.png")
    parser.add_argument(
        "--memory", metavar="SIZE", help="that the process may take, e.g. 1GB: large images are run in the largest tiles that fit"
    )
    parser.add_argument("--format", choices=FORMATS, default="png", help="of masks (png)")
    parser.add_argument("--resume", action="store_true", help="leave out what is there, go on with images that are not done")
    parser.add_argument("--overwrite", action="store_true", help="remove files of the same names first; without, no file is replaced")
    parser.add_argument(
        "--part", default="1/1", metavar="I/N", help="one of N array jobs: every Nth image, or an Nth of few images' tiles (1/1)"
    )
    parser.add_argument("--join", action="store_true", help="compute nothing: make the files of large images whose parts are done")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done: images are opened, nothing is computed or written")
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop", help="at an image that cannot be read (stop)")
    parser.add_argument("--skip-errors", dest="on_error", action="store_const", const="skip", help="as --on-error skip")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """What ``predict`` and ``eval`` have in common."""
    parser.add_argument("model", type=Path, help="file that train wrote, or a saved model")
    parser.add_argument("images", type=Path, help="an image, or a folder of them")
    parser.add_argument(
        "--tile",
        type=int,
        nargs="+",
        metavar="N",
        help=f"larger images are run in tiles, with the same bits: rows and columns, or N for N / 2 and 2 N ({TILE})",
    )
    add_approximate(parser)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (cpu)")
    parser.add_argument("--average", action="store_true", help="average over the eight flips and turns (images up to a tile)")
    parser.add_argument("--precision", choices=("fast", "ieee"), default="fast", help="of float32; ieee reads less around a tile (fast)")
    parser.add_argument(
        "--percentiles", type=float, nargs=2, metavar=("LOW", "HIGH"), help="map these of each channel of the whole image to 0 and 1"
    )
    add_scale(parser, "what train divided by")


def add_scale(parser: argparse.ArgumentParser, default: str) -> None:
    """What pixels are divided by, of ``train``, ``predict`` and ``eval``."""
    parser.add_argument(
        "--scale", type=float, metavar="N", help=f"what pixels are divided by, e.g. 4095 for a camera's 12 bits ({default})"
    )


def add_approximate(parser: argparse.ArgumentParser) -> None:
    """Options for models of which no tile can have the bits of the whole image."""
    parser.add_argument(
        "--approximate", action="store_true", help="for models that see the whole image: square tiles by themselves, blended; not exact"
    )
    parser.add_argument("--overlap", type=int, metavar="N", help="pixels that such tiles overlap by (a quarter of a tile)")


def require_approximate(given: argparse.Namespace) -> None:
    """Refuse an overlap of tiles that have none.

    Raises
    ------
    ArgumentError
    """
    if given.overlap is not None and not given.approximate:
        raise ArgumentError(f"{given.command}: expected --overlap with --approximate, got {given.overlap} alone; tiles are exact without")


def load_model(path: Path, device: str = "cpu") -> tuple[nx.nn.Module, Task]:
    """A model, on a device, and what its outputs mean.

    Raises
    ------
    FileError
        If the file holds no model.
    """
    try:
        found = nx.load(path)
    except FileError:
        if path.suffix == ".nx":
            raise
        raise FileError(f"expected a model that train wrote, such as run/best.nx, got {str(path)!r}; the model comes first") from None
    held: dict[str, Any] = found if isinstance(found, dict) else {"model": found}
    model = held.get("model")
    if not isinstance(model, nx.nn.Module):
        raise FileError(f"expected a file with a model, got {path} without one; pass RUN/best.nx")
    outputs = int(getattr(model, "out_channels", 1))
    task = Task(held.get("task", "binary" if outputs == 1 else "classes"), int(held.get("classes", outputs)))
    return model.to(device=nx.device(device)).eval(), task


def tile_of(given: Sequence[int] | None) -> int | tuple[int, int] | None:
    """One number, or rows and columns.

    Raises
    ------
    ArgumentError
        If there are more, or they are not positive.
    """
    if given is None:
        return None
    if len(given) > 2 or min(given) < 1:
        raise ArgumentError(f"predict: expected --tile as rows and columns, or one number, got {list(given)}; pass e.g. 512 2048")
    return given[0] if len(given) == 1 else (given[0], given[1])


def _exceeds(size: tuple[int, ...], tile: int | tuple[int, int]) -> bool:
    rows, columns = tile if isinstance(tile, tuple) else (tile, tile)
    return size[0] > rows or size[1] > columns


class Item(NamedTuple):
    """One image, and the files that are made of it."""

    path: Path
    number: int
    outputs: dict[Output, Path]


@interrupted_by_signals()
def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Predict; exit status and result."""
    require_approximate(given)
    with nx.set_float32_precision(given.precision):
        return _run(given)


def _run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    model, task = load_model(given.model, given.device)
    part, _ = _part(given.part), tile_of(given.tile)
    check_percentiles(given.percentiles)
    doubts = Doubts(model, given)
    if given.memory is not None:
        memory_bytes(given.memory)
        if given.tile is not None:
            raise ArgumentError("predict: expected --memory or --tile, got both; leave one out")
    require(given.format, given.out)
    if given.overwrite and (given.resume or given.join):
        raise ArgumentError("predict: expected --overwrite without --resume and --join, got both; leave one out")
    failed: list[str] = []
    items = _items(given, failed)
    spread = part if len(items) < part.of else Part()  # few images: every part does some tiles of each
    mine = items if spread == part else items[part.number - 1 :: part.of]
    old = _in_the_way(model, mine, given, spread)
    if old and not given.overwrite:
        raise FileError(
            f"predict: expected names that are free, got {listed(old)} in {given.out}, which would be lost; "
            "pass --resume to leave them and do the rest, --overwrite to replace them, or another --out"
        )
    if given.dry_run:
        return _would(model, mine, given, failed, len(old))
    states: list[str] = []
    with asked_to_stop() as seen:
        for path in old:  # all of them now: should this stop, --resume leaves out nothing but new ones
            remove(path)
        for item in Progress(mine, "image"):
            try:
                states.append("stopped" if seen else _predict(model, task, item, given, spread, lambda: bool(seen), doubts))
            except NeurenixError as error:
                _failed(item.path, error, given, failed)
            if states and states[-1] == "stopped":
                break
    return _told(given, states, failed, doubts.names)


def _in_the_way(model: nx.nn.Module, items: list[Item], given: argparse.Namespace, part: Part) -> list[Path]:
    """Files that are there and that this command would make; of images that all parts share the first part makes those of small ones."""
    found: list[Path] = []
    for item in [] if given.resume or given.join else items:
        there = [path for path in item.outputs.values() if path.exists()]
        with suppress(NeurenixError):  # which is told when the image's turn comes
            found += there if there and (part.number == 1 or _is_tiled(model, item, given)) else []
    return found


def _would(model: nx.nn.Module, items: list[Item], given: argparse.Namespace, failed: list[str], old: int) -> tuple[int, dict[str, Any]]:
    """Say what would be done."""
    counts = {"there": 0, "tiled": 0, "whole": 0}
    for item in Progress(items, "reading images", patient=True):
        try:
            counts["there" if _is_there(item, given) else "tiled" if _is_tiled(model, item, given) else "whole"] += 1
        except NeurenixError as error:
            _failed(item.path, error, given, failed)
    if not given.json:
        left = f", {len(failed)} would be left out" if failed else ""
        left += f"; {old} files would be removed first" if old else ""
        print(
            f"{counts['whole']} images would be predicted whole, {counts['tiled']} in tiles, to {given.out}; {counts['there']} are there{left}"
        )
    return int(bool(failed)), {"out": str(given.out), "images": len(items), **counts, "removed": old, "failed": failed}


def _is_there(item: Item, given: argparse.Namespace) -> bool:
    """Whether nothing is left to do."""
    done = all(path.exists() for path in item.outputs.values())
    return (given.resume or given.join) and done and not work_folder(item.outputs).exists()


def _is_tiled(model: nx.nn.Module, item: Item, given: argparse.Namespace) -> bool:
    """Whether an image goes from file to file."""
    with open_image(item.path, item.number, getattr(model, "in_channels", None)) as source:
        size = source.shape[1:]
    return _exceeds(size, tile_of(given.tile) or (SMALL if given.memory else TILE)) or given.join or work_folder(item.outputs).exists()


def _items(given: argparse.Namespace, failed: list[str]) -> list[Item]:
    """All images with their outputs; two must not want the same file."""
    items: list[Item] = []
    taken: dict[Path, Path] = {}
    images = images_in(given.images)
    inputs = {os.path.realpath(path) for path in images}
    for path in Progress(images, "counting images", patient=True):
        try:
            count = count_images(path)
        except NeurenixError as error:
            _failed(path, error, given, failed)
            continue
        for number in range(count):
            outputs = _outputs(given, path.stem if count == 1 else f"{path.stem}_{number:04d}")
            if twice := [p for p in outputs.values() if p in taken]:
                names = f"{taken[twice[0]].name} and {path.name}, whose files would both be {twice[0].name}"
                raise FileError(f"predict: expected images of different names, got {names}; rename one")
            taken |= dict.fromkeys(outputs.values(), path)
            if over := [p for p in outputs.values() if os.path.realpath(p) in inputs]:
                raise FileError(
                    f"predict: expected --out that is not the images' folder, got {given.out}: {over[0].name} is an image there; pass another"
                )
            items.append(Item(path, number, outputs))
    return items


def _outputs(given: argparse.Namespace, name: str) -> dict[Output, Path]:
    found: dict[Output, Path] = {}
    if given.classes:
        found["classes"] = given.out / f"{name}_classes.{given.format}"
    if given.instances:
        found["instances"] = given.out / f"{name}_instances.{given.format}"
    if not found:
        found["mask"] = given.out / f"{name}.{given.format}"
    if given.probabilities:
        found["probabilities"] = given.out / (f"{name}.npy" if given.format == "png" else f"{name}_probabilities.{given.format}")
    if given.overlay:
        found["overlay"] = given.out / f"{name}_overlay.png"
    return found


def _failed(path: Path, error: NeurenixError, given: argparse.Namespace, failed: list[str]) -> None:
    """Note an image that cannot be predicted, or give up."""
    if given.on_error == "stop" or not isinstance(error, FileError | ShapeError | DTypeError):  # others are not the image's fault
        raise error
    failed.append(path.name)
    say(f"left out: {said(error)}")


def _told(given: argparse.Namespace, states: list[str], failed: list[str], doubtful: list[str]) -> tuple[int, dict[str, Any]]:
    counts = {state: states.count(state) for state in ("written", "there", "part done", "pass done", "stopped")}
    waiting = counts["part done"] + counts["pass done"]
    resume = "--resume instead of --overwrite" if given.overwrite else "--resume"
    if counts["stopped"]:
        say(f"stopped before the end; {f'run the same command with {resume}' if given.overwrite else how_to_go_on(given)}")
    if counts["pass done"]:
        say(f"the next pass needs all parts of this one; run the same command with {resume} when they are done")
    if not given.json:
        others = f", {waiting} wait for other parts" if waiting else ""
        left = f", {len(failed)} images left out" if failed else ""
        print(f"{counts['written']} masks written to {given.out}{others}{left}")
    status = AGAIN if counts["stopped"] or counts["pass done"] else 1 if failed else 0
    return status, {"out": str(given.out), "written": counts["written"], "waiting": waiting, "failed": failed, "doubtful": doubtful}


def how_to_go_on(given: argparse.Namespace) -> str:
    """What to do after a command that was stopped: there may be nothing yet that --resume goes on with, or only what --overwrite is to remove."""
    begun = not given.overwrite and given.out.is_dir() and any(given.out.iterdir())
    return "run the same command with --resume" if begun else "nothing was written yet, run the same command again"


def _predict(
    model: nx.nn.Module, task: Task, item: Item, given: argparse.Namespace, part: Part, stop: Callable[[], bool], doubts: Doubts
) -> str:
    """One image, in memory or from file to file; what became of it."""
    if _is_there(item, given):
        return "there"
    tiled = _is_tiled(model, item, given)
    given.out.mkdir(parents=True, exist_ok=True)
    if tiled:
        if given.average:
            tell(f"{item.path.name} is larger than a tile: predicted without --average", Ranks())
        with open_image(item.path, item.number, getattr(model, "in_channels", None)) as source:
            doubts.look(item.path, source.dtype, source)
        limits = None if given.percentiles is None else (given.percentiles[0], given.percentiles[1])
        settings = Settings(task.kind, item.number, tile_of(given.tile), given.memory, limits, given.resume, part, given.join, True)
        settings = settings._replace(approximate=given.approximate, overlap=given.overlap, overwrite=False)
        return predict_file(model, item.path, item.outputs, settings, stop)
    if part.number > 1:
        return "part done"  # by the first
    image = read_prepared(item.path, item.number, model, given)
    doubts.look(item.path, image[0].dtype, image[0])
    write(task, item.outputs, image[0], output_of(model, image[1], given), image[2])
    return "written"


def read_prepared(path: Path, number: int, model: nx.nn.Module, given: argparse.Namespace) -> tuple[Array, nx.Tensor, Metadata]:
    """An image (C, H, W) in memory: as it is in the file, as the model takes it (1, C, H, W), and what the file says beside.

    Raises
    ------
    FileError
        If a pixel is not finite, with its place.
    """
    with open_image(path, number, getattr(model, "in_channels", None)) as source:
        pixels = source.read(slice(0, source.shape[1]), slice(0, source.shape[2]))
        require_finite_band(source, 0, 0, pixels)
        limits = None if given.percentiles is None else percentiles(source, tuple(given.percentiles))
        return pixels, prepared(model, pixels, limits), source.metadata


def output_of(model: nx.nn.Module, x: nx.Tensor, given: argparse.Namespace) -> Array:
    """What a model makes of a prepared image (1, C, H, W): (K, H, W)."""
    tile = tile_of(given.tile) or TILE
    large = _exceeds(x.shape[2:], tile)
    with evaluating(model), nx.no_grad():
        if large and given.approximate:
            found = predict_tiled(model, x, tile=tile, approximate=True, overlap=given.overlap)
        else:
            found = computed(model, x, given.average and not large, tile if large else None)
    return np.asarray(found.to(device="cpu").numpy()[0])


def _part(text: str) -> Part:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= of:
        raise ArgumentError(f"predict: expected --part I/N with I from 1 to N, got {text!r}; pass e.g. 1/4")
    return Part(number, of)
