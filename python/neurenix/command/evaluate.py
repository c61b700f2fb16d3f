"""``neurenix eval``: how well a model finds what is known."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.brightness import Doubts
from neurenix.command.files import write_rows
from neurenix.command.folders import Turned, tell_unpaired
from neurenix.command.predict import add_inputs, load_model, output_of, require_approximate
from neurenix.command.report import pictures_of, write_report
from neurenix.command.tasks import Task
from neurenix.data import ImageMaskFolder
from neurenix.errors import FileError
from neurenix.images.source import Held
from neurenix.metrics import Dice, IoU, Metric, ObjectF1, PanopticQuality
from neurenix.parallel import Ranks
from neurenix.picture import scaled
from neurenix.progress import Progress
from neurenix.slides.job import prepared
from neurenix.slides.statistics import percentiles, require_finite_band

HELP: Final = "judge a model by images whose masks are known"
EXAMPLE: Final = "neurenix eval run/best.nx test_images/ test_masks/ --out scores.csv --report report.html"
Array = np.ndarray[Any, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    add_inputs(parser)
    parser.add_argument("masks", type=Path, help="folder of masks of the same names")
    parser.add_argument("--mask-suffix", default="", metavar="S", help="what a mask's name has more than its image's")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as comma-separated values")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write a page with the table and pictures of image, truth and prediction"
    )
    parser.add_argument("--dry-run", action="store_true", help="say how many images have masks; nothing is computed or written")


def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Judge; exit status and result."""
    require_approximate(given)
    for path in (given.out, given.report):
        if path is not None and not path.parent.is_dir():
            raise FileError(f"eval: expected a folder for {path.name!r}, got {str(path.parent)!r}, which is none; make it first")
    model, task = load_model(given.model, given.device)
    wanted = getattr(model, "in_channels", None)
    doubts = Doubts(model, given)
    settings: dict[str, Any] = {"mask_suffix": given.mask_suffix, "channels": wanted if wanted in (1, 3) else None}
    settings |= {"num_classes": task.classes} if task.kind == "classes" else {}
    folder = ImageMaskFolder(given.images, given.masks, mask_type=task.kind, unpaired="skip", **settings)
    tell_unpaired(folder, Ranks())
    if given.dry_run:
        print("" if given.json else f"{len(folder)} images with masks would be judged: {task.kind}\n", end="")
        return 0, {"images": len(folder), "task": task.kind}
    rows: list[dict[str, Any]] = []
    pictures: list[tuple[str, str, str]] = []
    every, turned = _Scores(task), Turned(Ranks())
    for i in Progress(range(len(folder)), "image"):
        image, mask = folder.stored(i)
        require_finite_band(Held(folder.items[i][0], image.transpose(1, 2, 0)), 0, 0, image)
        turned.look(*folder.items[i][:2])
        doubts.look(folder.items[i][0], image.dtype, image)
        with nx.set_float32_precision(given.precision):
            found = task.decide(output_of(model, _prepared(model, image, folder.items[i][0], given), given))
        one = _Scores(task)
        for scores in (one, every):
            scores.update(found, mask.reshape(found.shape) > 0 if task.kind == "binary" else mask)
        rows.append({"image": folder.items[i][0].name, "page": folder.items[i][2]} | one.compute())
        if given.report is not None:
            pictures.append(pictures_of(scaled(image), mask, found))
    pooled = every.compute()
    if given.out is not None:
        write_rows(given.out, [*rows, {"image": "all", "page": ""} | pooled])
    if given.report is not None:
        write_report(given.report, f"{given.model} on {given.images}", rows, pooled, pictures)
    if not given.json:
        _print(rows, pooled)
    return 0, {"images": len(rows), **pooled, "doubtful": doubts.names}


def _print(rows: list[dict[str, Any]], pooled: dict[str, float]) -> None:
    """The table."""
    names = list(pooled)
    width = max(len(row["image"]) for row in rows)
    print(f"{'image':<{width}}  {'  '.join(names)}")
    for row in [*rows, {"image": "all"} | pooled]:
        print(f"{row['image']:<{width}}  {'  '.join(f'{row[n]:>{len(n)}.4f}' for n in names)}")


def _prepared(model: nx.nn.Module, image: Array, path: Path, given: argparse.Namespace) -> nx.Tensor:
    """An image (C, H, W) of a file as the model takes it."""
    limits = None if given.percentiles is None else percentiles(Held(path, image.transpose(1, 2, 0)), tuple(given.percentiles))
    return prepared(model, image, limits)


class _Scores:
    """The measures of a task, over one image or over all pixels and objects of several."""

    def __init__(self, task: Task) -> None:
        self.kind = task.kind
        if task.kind == "instances":
            self.parts: dict[str, Metric] = {"panoptic quality": PanopticQuality(), "F1 at 0.5": ObjectF1()}
        elif task.kind == "binary":
            self.parts = {"IoU": IoU(), "Dice": Dice()}
        else:
            self.parts = {"IoU": IoU(task.classes, average="none")}

    def update(self, found: Array, truth: Array) -> None:
        for part in self.parts.values():
            part.update(found, truth)

    def compute(self) -> dict[str, float]:
        values = {name: np.ravel(part.compute()) for name, part in self.parts.items()}
        if self.kind != "classes":
            return {name: float(value[0]) for name, value in values.items()}
        each = values["IoU"]
        return {"mean IoU": float(np.nanmean(each))} | {f"IoU {i}": float(v) for i, v in enumerate(each)}
