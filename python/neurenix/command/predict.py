"""``neurenix predict``: a model over one image or a folder of them."""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.files import images_in, write, write_mask
from neurenix.command.tasks import Task
from neurenix.data.files import count_pages, planes, read_page
from neurenix.errors import ArgumentError, FileError, NeurenixError
from neurenix.picture import scaled
from neurenix.progress import Progress

HELP: Final = "find in images what a model was trained to find"
EXAMPLE: Final = "neurenix predict run/best.nx images/ --out found"
Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for masks (PNG), named as their images")
    parser.add_argument("--probabilities", action="store_true", help="also the model's outputs, as .npy (K, H, W)")
    parser.add_argument("--resume", action="store_true", help="leave out images whose masks are there")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="only every Nth image from the Ith, for array jobs (1/1)")
    parser.add_argument("--skip-errors", action="store_true", help="go on after an image that cannot be read; the exit status is 1 still")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """What ``predict`` and ``eval`` have in common."""
    parser.add_argument("model", type=Path, help="file that train wrote, or a saved model")
    parser.add_argument("images", type=Path, help="an image, or a folder of them")
    parser.add_argument(
        "--tile", type=int, default=1024, help="larger images are run in tiles of so many pixels, with the same bits (1024)"
    )
    parser.add_argument("--average", action="store_true", help="average over the eight flips and turns (images up to a tile)")


def load_model(path: Path) -> tuple[nx.nn.Module, Task]:
    """A model and what its outputs mean.

    Raises
    ------
    FileError
        If the file holds no model.
    """
    found = nx.load(path)
    held: dict[str, Any] = found if isinstance(found, dict) else {"model": found}
    model = held.get("model")
    if not isinstance(model, nx.nn.Module):
        raise FileError(f"expected a file with a model, got {path} without one; pass RUN/best.nx")
    outputs = int(getattr(model, "out_channels", 1))
    task = Task(held.get("task", "binary" if outputs == 1 else "classes"), int(held.get("classes", outputs)))
    return model.eval(), task


def read_image(path: Path, page: int, model: nx.nn.Module) -> Array:
    """Pixels (C, H, W) in 0 to 1, with the model's channels.

    Raises
    ------
    FileError
        If a pixel is not finite, with its place.
    """
    wanted = getattr(model, "in_channels", None)
    channels = wanted if wanted in (1, 3) else None
    image = scaled(planes(read_page(path, page, channels), path, channels))
    if not np.isfinite(image).all():
        place = [int(i) for i in np.argwhere(~np.isfinite(image))[0]]
        raise FileError(f"expected finite pixels, got {image[tuple(place)]} in {path.name} at channel, row, column {place}; mend the image")
    return image


def output_of(model: nx.nn.Module, image: Array, given: argparse.Namespace) -> Array:
    """What a model makes of an image (C, H, W): (K, H, W)."""
    large = max(image.shape[1:]) > given.tile
    found: Array = nx.predict(model, image[None], tta=given.average and not large, tile=given.tile if large else None)[0]
    return found


def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Predict; exit status and result."""
    model, task = load_model(given.model)
    first, every = _part(given.part)
    items = [(path, page) for path in images_in(given.images) for page in range(count_pages(path))][first - 1 :: every]
    given.out.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    written = 0
    for path, page in Progress(items, "image"):
        name = path.stem if count_pages(path) == 1 else f"{path.stem}_{page:04d}"
        target = given.out / f"{name}.png"
        if given.resume and target.exists():
            continue
        try:
            output = output_of(model, read_image(path, page, model), given)
        except NeurenixError as error:
            if not given.skip_errors:
                raise
            failed.append(path.name)
            print(f"left out: {error}", file=sys.stderr)
            continue
        if given.probabilities:
            write(given.out / f"{name}.npy", partial(_save_array, output))
        write_mask(target, task.decide(output))
        written += 1
    if not given.json:
        print(f"{written} masks written to {given.out}" + (f", {len(failed)} images left out" if failed else ""))
    return (1 if failed else 0), {"out": str(given.out), "written": written, "failed": failed}


def _save_array(values: Array, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, values)


def _part(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    first, every = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= first <= every:
        raise ArgumentError(f"predict: expected --part I/N with I from 1 to N, got {text!r}; pass e.g. 1/4")
    return first, every
