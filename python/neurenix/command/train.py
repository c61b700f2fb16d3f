"""``neurenix train``: from a folder of images and a folder of masks to a model."""

from __future__ import annotations

import argparse
import copy
import io
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.files import provenance, toml, write_text
from neurenix.command.run import Run
from neurenix.command.stopping import asked_to_stop
from neurenix.command.tasks import Task, recognise
from neurenix.command.together import agree, set_threads, tell
from neurenix.data import (
    Compose,
    DataLoader,
    ForegroundCrop,
    GaussianNoise,
    ImageMaskFolder,
    RandomBrightness,
    RandomContrast,
    RandomHorizontalFlip,
    RandomRotate90,
    RandomVerticalFlip,
)
from neurenix.errors import ArgumentError, FileError
from neurenix.images.placing import put
from neurenix.multiscale import UNet, UNetPlusPlus
from neurenix.normalization import Normalization
from neurenix.parallel import Shards, ranks
from neurenix.picture import Pixels, overlay, rgb, save_picture
from neurenix.progress import Progress

HELP: Final = "train a model on a folder of images and a folder of masks"
EXAMPLE: Final = "neurenix train images/ masks/ --out run --steps 1000"
MODELS: Final = {"unet": UNet, "unet++": UNetPlusPlus}
SAVE_EVERY: Final = 60.0  # seconds
SHOWN: Final = 4  # validation images in the picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    parser.add_argument("images", type=Path, help="folder of images: PNG, TIFF, JPEG, npy, Zarr")
    parser.add_argument("masks", type=Path, help="folder of masks of the same names")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder for the model, the log and pictures")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, to the same bits as if it had not stopped")
    parser.add_argument("--steps", type=int, default=1000, help="of training (1000)")
    parser.add_argument("--epochs", type=int, help="instead of steps: how often every image is seen")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (0)")
    parser.add_argument("--model", choices=MODELS, default="unet", help="(unet)")
    parser.add_argument(
        "--features", type=int, nargs="+", default=[16, 32, 64, 128], metavar="N", help="channels of each level (16 32 64 128)"
    )
    parser.add_argument("--masks-are", choices=("auto", "binary", "classes", "instances"), default="auto", help="what masks hold (auto)")
    parser.add_argument("--mask-suffix", default="", metavar="S", help="what a mask's name has more than its image's")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="take images as grey or RGB; as they are by default")
    parser.add_argument("--crop", type=int, default=256, help="pixels of a training window (256, or the smallest image)")
    parser.add_argument("--batch", type=int, default=8, help="windows a step (8)")
    parser.add_argument(
        "--shards", type=int, metavar="S", help="parts of a batch that are computed one by one, or by as many ranks (4 of a batch of 8)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda (of each rank of a machine its own), cuda:1, ... (cpu)")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate (0.003)")
    parser.add_argument("--validate", type=float, default=0.2, metavar="PART", help="part of the files that is not trained on (0.2)")
    parser.add_argument("--looks", type=int, default=10, help="how often validation images are predicted (10)")
    parser.add_argument("--patience", type=int, help="stop after so many looks without a better score")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")


def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Train; exit status and result."""
    here = ranks()
    set_threads(given.threads, here)
    given.device = here.device(str(nx.device(given.device)))
    _check(given)
    shards = Shards(given.shards, here)
    folder, task, train, rest = _data(given)
    steps = given.steps if given.epochs is None else -(-given.epochs * len(train) // given.batch)
    channels, smallest = _look_at(folder)
    crop = min(given.crop, smallest)
    agree(here, given, folder)
    tell(
        f"{len(train)} images to train on, {len(rest)} to validate by; masks are {task.kind}"
        f"{f' ({task.classes} classes)' if task.kind == 'classes' else ''}; {channels} channels, windows of {crop} pixels, {steps} steps"
        f"{f', {here.size} ranks of {nx.get_num_threads()} threads' if here.size > 1 else ''}",
        here,
    )
    if given.dry_run:
        return 0, {"train": len(train), "validate": len(rest), "task": task.kind, "classes": task.classes, "steps": steps}
    nx.manual_seed(given.seed)
    model = MODELS[given.model](channels, task.outputs, given.features, final_activation="sigmoid" if task.kind == "binary" else None)
    model.input_normalization = _normalization(train)
    model.to(device=given.device)
    training = Run(given.out, model, task, _loader(train, task, crop, steps, given, shards.part), steps, given.rate, shards)
    _begin(given, training, task)
    stopped = _train(training, rest, given)
    here.gather(None)  # srun ends the ranks that are left when the first one leaves with another status than 0
    result = {"out": str(given.out), "step": training.done, "score": training.rows[-1]["score"] if training.rows else None}
    result |= {"best": training.best if np.isfinite(training.best) else None, "measure": task.measure}
    if stopped:
        tell(f"stopped at step {training.done} of {steps}; run the same command with --resume", here)
    elif not given.json and here.rank == 0:
        print(f"{given.out / 'best.nx'}: {task.measure} {result['best']:.4f}" if rest else f"{given.out / 'best.nx'}: no validation images")
    return (75 if stopped else 0), result


def _check(given: argparse.Namespace) -> None:
    """Refuse numbers that make no sense, and a folder that holds another run."""
    for name in ("steps", "batch", "crop", "looks", "epochs", "patience"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise ArgumentError(f"train: expected --{name} of at least 1, got {value}; pass a larger number")
    given.shards = math.gcd(given.batch, 4) if given.shards is None else given.shards
    if given.shards < 1 or given.batch % given.shards:
        raise ArgumentError(f"train: expected --shards that divide a batch of {given.batch}, got {given.shards}; pass e.g. --shards 1")
    if not 0 <= given.validate < 1:
        raise ArgumentError(f"train: expected --validate from 0 to below 1, got {given.validate}; pass e.g. 0.2")
    there = (given.out / "last.nx").exists()
    if there and not given.resume and not given.dry_run:
        raise FileError(f"train: expected a new folder, got {given.out} with a run in it; pass --resume to go on with it, or another --out")
    if given.resume and not there:
        raise FileError(f"train: expected a run to go on with, got no last.nx in {given.out}; leave out --resume")


def _data(given: argparse.Namespace) -> tuple[ImageMaskFolder, Task, ImageMaskFolder, ImageMaskFolder]:
    """The folder, what its masks are, and its two parts by file."""
    settings: dict[str, Any] = {"mask_suffix": given.mask_suffix, "channels": given.channels, "unpaired": "skip"}
    folder = ImageMaskFolder(given.images, given.masks, mask_type="instances", **settings)
    for path in folder.unpaired[:10]:
        tell(f"left out, without a partner: {path}", ranks())
    if len(folder.unpaired) > 10:
        tell(f"left out, without a partner: {len(folder.unpaired) - 10} files more", ranks())
    found = recognise(folder)
    kind = found.kind if given.masks_are == "auto" else given.masks_are
    task = found if kind == found.kind else Task(kind, max(found.classes, 2) if kind == "classes" else 1)
    classes: dict[str, Any] = {"num_classes": task.classes} if kind == "classes" else {}
    folder = ImageMaskFolder(given.images, given.masks, mask_type=kind, **settings, **classes)
    files = sorted({item[0] for item in folder.items})
    chosen = np.random.default_rng(given.seed).permutation(len(files))[: round(given.validate * len(files)) if len(files) > 1 else 0]
    held = {files[i] for i in chosen}
    return folder, task, _part(folder, held, inside=False), _part(folder, held, inside=True)


def _part(folder: ImageMaskFolder, files: set[Path], *, inside: bool) -> ImageMaskFolder:
    part = copy.copy(folder)
    part.items = [item for item in folder.items if (item[0] in files) == inside]
    return part


def _look_at(folder: ImageMaskFolder) -> tuple[int, int]:
    """Channels of the images, and the least of their heights and widths."""
    shapes = {folder[i][0].shape for i in range(len(folder))}
    channels = {shape[0] for shape in shapes}
    if len(channels) > 1:
        raise FileError(f"train: expected images of as many channels each, got {sorted(channels)}; pass --channels 1 or 3")
    return channels.pop(), min(min(shape[1:]) for shape in shapes)


def _normalization(train: ImageMaskFolder) -> Normalization:
    images = [train[i][0].astype(np.float64) for i in range(min(len(train), 50))]
    mean = np.mean([x.mean((1, 2)) for x in images], 0)
    spread = np.sqrt(np.mean([((x - mean[:, None, None]) ** 2).mean((1, 2)) for x in images], 0))
    return Normalization([round(float(m), 4) for m in mean], [max(round(float(s), 4), 1e-3) for s in spread])


def _loader(train: ImageMaskFolder, task: Task, crop: int, steps: int, given: argparse.Namespace, share: tuple[int, int]) -> DataLoader:
    """All batches of the run: windows, half of them on foreground, turned, flipped, brightened, with noise."""
    turns = [RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotate90()]
    light = [RandomBrightness(0.2), RandomContrast(0.2), GaussianNoise(sigma=(0, 0.03))]
    part = copy.copy(train)
    part.transform = Compose(
        [ForegroundCrop(crop, foreground=0.5, per_label=True), *turns, *light, lambda image, mask: (image, task.target(mask))]
    )
    part.repeats = -(-steps * given.batch // len(train.items))
    return DataLoader(
        part, batch_size=given.batch, shuffle=True, num_workers=1, seed=given.seed, drop_last=True, part=share, device=given.device
    )


def _begin(given: argparse.Namespace, training: Run, task: Task) -> None:
    """Make or open the run's folder."""
    if given.resume:
        training.restore()
        return
    if not training.writes:
        return
    given.out.mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in vars(given).items() if k not in ("run", "command", "json", "resume", "dry_run", "threads")}
    text = toml({"train": settings, "task": {"kind": task.kind, "classes": task.classes}, "made_by": provenance()})
    write_text(given.out / "config.toml", text)


def _train(training: Run, rest: ImageMaskFolder, given: argparse.Namespace) -> bool:
    """Run the steps that are left, look at validation images now and then; whether a signal stopped it."""
    every, here = -(-training.steps // given.looks), training.shards.ranks
    saved = time.monotonic()
    with asked_to_stop() as seen:
        progress = Progress(_Left(training), "step", stream=None if training.writes else io.StringIO())
        for loss in progress:
            progress.note(f"loss {loss:.3f}")
            stop = here.any(bool(seen))  # a signal to one rank stops all of them, after the same step
            if training.done % every == 0 or training.done == training.steps:
                _look(training, rest)
                training.save()
                saved = time.monotonic()
                if given.patience is not None and training.since >= given.patience:
                    return False
            if stop or time.monotonic() - saved > SAVE_EVERY:
                training.save()
                saved = time.monotonic()
            if stop:
                return training.done < training.steps
    return False


class _Left:
    """The steps that are left, with their number."""

    def __init__(self, training: Run) -> None:
        self.training, self.number = training, training.steps - training.done

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[float]:
        return self.training.train()


def _look(training: Run, rest: ImageMaskFolder) -> None:
    """Predict the validation images with the averaged weights, judge, write down, keep the best."""
    here, task = training.shards.ranks, training.task
    here.agree("train", {"weights": training.digest()})
    with training.average.applied():
        own = [(i, *_judge(training, *rest[i], shown=i < SHOWN)) for i in range(here.rank, len(rest), here.size)]
    found = sorted((row for rows in here.gather(own) for row in rows), key=lambda row: row[0])
    better = training.log(float(np.mean([score for _, score, _ in found])) if found else None)
    if better:
        training.save_best()
    if found and training.writes:
        shown = [row for _, _, row in found if row is not None]
        width = max(row.shape[1] for row in shown)
        sheet = np.concatenate([np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in shown])
        put(training.folder / "validation.png", lambda p: save_picture(p, sheet))
    tell(f"step {training.done}: {task.measure} {training.rows[-1]['score']}{', the best' if better else ''}", here)


def _judge(training: Run, image: Pixels, mask: Pixels, *, shown: bool) -> tuple[float, Pixels | None]:
    """The score of one validation image, and a picture of image, truth and prediction."""
    found = training.task.decide(nx.predict(training.model, image[None], tta=False)[0])
    picture = [_visible(image), *(overlay(_visible(image), m) for m in (mask.reshape(found.shape), found))] if shown else []
    return training.task.score(found, mask), np.concatenate(picture, 1) if shown else None


def _visible(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pixels = image[:3].transpose(1, 2, 0) if len(image) >= 3 else image[0]
    return rgb(pixels)
