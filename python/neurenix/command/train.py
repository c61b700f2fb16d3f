"""``neurenix train``: from a folder of images and a folder of masks to a model."""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command import board, config
from neurenix.command.brightness import require_scale
from neurenix.command.checkpoints import Checkpoints
from neurenix.command.files import provenance, toml, write_text
from neurenix.command.folders import data, loader, normalization
from neurenix.command.predict import add_scale
from neurenix.command.run import Run
from neurenix.command.stopping import asked_to_stop, interrupted_by_signals
from neurenix.command.tasks import Task
from neurenix.command.together import agree, digest_of, set_threads, tell
from neurenix.data import ImageMaskFolder
from neurenix.errors import ArgumentError, FileError
from neurenix.images.placing import put
from neurenix.inference import evaluating, output_of
from neurenix.multiscale import UNet, UNetPlusPlus
from neurenix.parallel import Shards, ranks
from neurenix.picture import Pixels, overlay, rgb, save_picture, scaled, visible
from neurenix.progress import Progress
from neurenix.slides.job import prepared
from neurenix.slides.lock import Lock

HELP: Final = "train a model on a folder of images and a folder of masks"
EXAMPLE: Final = "neurenix train images/ masks/ --out run --steps 1000"
MODELS: Final = {"unet": UNet, "unet++": UNetPlusPlus}
SAVE_EVERY: Final = 60.0  # seconds
SHOWN: Final = 4  # validation images in the picture
PRECISIONS: Final = ("float32", "bfloat16", "float16")
DECIDING: Final = (
    "seed", "model", "features", "masks_are", "mask_suffix", "channels", "scale", "crop", "batch", "rate", "validate", "precision",
)  # fmt: skip # options on which the bits of a run depend, beside steps and shards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    parser.set_defaults(needs=("images", "masks", "--out"))
    parser.add_argument("images", type=Path, nargs="?", help="folder of images: PNG, TIFF, JPEG, npy, Zarr")
    parser.add_argument("masks", type=Path, nargs="?", help="folder of masks of the same names")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for the model, the log and pictures")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, to the same bits as if it had not stopped")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings as TOML, such as the config.toml of a run; options win over it"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="of training (1000)")
    length.add_argument("--epochs", type=int, help="instead of steps: how often every image is seen")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (0)")
    parser.add_argument("--model", choices=MODELS, default="unet", help="(unet)")
    parser.add_argument(
        "--features", type=int, nargs="+", default=[16, 32, 64, 128], metavar="N", help="channels of each level (16 32 64 128)"
    )
    parser.add_argument("--masks-are", choices=("auto", "binary", "classes", "instances"), default="auto", help="what masks hold (auto)")
    parser.add_argument("--mask-suffix", default="", metavar="S", help="what a mask's name has more than its image's")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="take images as grey or RGB; as they are by default")
    add_scale(parser, "told from all images")
    parser.add_argument("--crop", type=int, default=256, help="pixels of a training window (256, or the smallest image)")
    parser.add_argument("--batch", type=int, default=8, help="windows a step (8)")
    parser.add_argument(
        "--shards", type=int, metavar="S", help="parts of a batch that are computed one by one, or by as many ranks (4 of a batch of 8)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda (of each rank of a machine its own), cuda:1, ... (cpu)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="float32", help="of convolutions and products; weights stay float32 (float32)"
    )
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate (0.003)")
    parser.add_argument("--validate", type=float, default=0.2, metavar="PART", help="part of the files that is not trained on (0.2)")
    parser.add_argument("--looks", type=int, help="how often validation images are predicted (10, or after each of --epochs)")
    parser.add_argument("--patience", type=int, help="stop after so many looks without a better score")
    parser.add_argument("--keep", type=int, default=2, metavar="K", help="states of so many earlier looks stay beside last.nx (2)")
    parser.add_argument(
        "--tensorboard", action=argparse.BooleanOptionalAction, default=False, help="write logs for it into RUN/tensorboard"
    )
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop", help="at an image or mask that cannot be read (stop)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and the settings as TOML")


@interrupted_by_signals()
def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Train; exit status and result."""
    here = ranks()
    set_threads(given.threads, here)
    device = here.device(str(nx.device(given.device)))
    _check(given)
    _check_folder(given)
    shards = Shards(given.shards, here)
    folder, train, rest, task, channels, smallest, lost = data(given)
    steps = given.steps if given.epochs is None else -(-given.epochs * len(train) // given.batch)
    crop = min(given.crop, smallest)
    agree(here, given, folder)
    tell(
        f"{len(train)} images to train on, {len(rest)} to validate by; masks are {task.kind}"
        f"{f' ({task.classes} classes)' if task.kind == 'classes' else ''}; {channels} channels, windows of {crop} pixels, {steps} steps"
        f"{f', {here.size} ranks of {nx.get_num_threads()} threads' if here.size > 1 else ''}",
        here,
    )
    if given.dry_run:
        return int(bool(lost)), _would(given, task) | {"train": len(train), "validate": len(rest), "steps": steps}
    nx.manual_seed(given.seed)
    model = MODELS[given.model](channels, task.outputs, given.features, final_activation="sigmoid" if task.kind == "binary" else None)
    model.input_normalization = normalization(train)
    model.to(device=device)
    deciding = {"steps": steps, "shards": given.shards, **{name: getattr(given, name) for name in DECIDING}, "files": digest_of(folder)}
    batches = loader(train, task, crop, steps, given, device, shards.part)
    training = Run(given.out, model, task, batches, steps, given.rate, shards, deciding, precision=given.precision, keep=given.keep)
    with _alone(given, training):
        _begin(given, training, task)
        stopped = _train(training, rest, given)
    status = here.leave(75 if stopped else int(bool(lost)))
    return status, _told(given, training, stopped=stopped, validated=bool(rest)) | {"left_out": [p.name for p in lost]}


def _would(given: argparse.Namespace, task: Task) -> dict[str, Any]:
    """What a run would be, printed as the file that it would write."""
    settings = {name: str(v) if isinstance(v, Path) else v for name, v in config.settings(given).items() if v is not None}
    if not given.json and ranks().rank == 0:
        print(toml({"train": settings}), end="")
    return {"task": task.kind, "classes": task.classes, "config": settings}


def _told(given: argparse.Namespace, training: Run, *, stopped: bool, validated: bool) -> dict[str, Any]:
    """Say how a run ended; the result."""
    here, measure = training.shards.ranks, training.task.measure
    result = {"out": str(given.out), "step": training.done, "score": training.rows[-1]["score"] if training.rows else None}
    result |= {"best": training.best if np.isfinite(training.best) else None, "measure": measure}
    if stopped:
        tell(f"stopped at step {training.done} of {training.steps}; run the same command with --resume", here)
    elif not given.json and here.rank == 0:
        print(f"{given.out / 'best.nx'}: {f'{measure} {training.best:.4f}' if validated else 'no validation images'}")
    return result


def how_to_go_on(given: argparse.Namespace) -> str:
    """What to do after a command that was stopped: there may be nothing yet that --resume goes on with."""
    begun = given.out is not None and Checkpoints(given.out, given.keep).exist()
    return "run the same command with --resume" if begun else "nothing was trained yet, run the same command again"


def _check(given: argparse.Namespace) -> None:
    """Refuse numbers that make no sense, and what this machine has not."""
    given.looks = given.looks if given.looks is not None else 10 if given.epochs is None else given.epochs
    given.steps = 1000 if given.steps is None and given.epochs is None else given.steps
    for name in ("steps", "batch", "crop", "looks", "epochs", "patience"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise ArgumentError(f"train: expected --{name} of at least 1, got {value}; pass a larger number")
    require_scale(given)
    given.shards = math.gcd(given.batch, 4) if given.shards is None else given.shards
    if given.shards < 1 or given.batch % given.shards:
        raise ArgumentError(f"train: expected --shards that divide a batch of {given.batch}, got {given.shards}; pass e.g. --shards 1")
    if not 0 <= given.validate < 1:
        raise ArgumentError(f"train: expected --validate from 0 to below 1, got {given.validate}; pass e.g. 0.2")
    if given.keep < 0:
        raise ArgumentError(f"train: expected --keep of at least 0, got {given.keep}; pass e.g. 2")
    if given.tensorboard:
        board.require()


def _check_folder(given: argparse.Namespace) -> None:
    """Refuse a folder that holds another run, or none to go on with."""
    if given.out.exists() and not given.out.is_dir():
        raise FileError(f"train: expected a folder for --out, got the file {given.out}; pass another")
    there = Checkpoints(given.out, given.keep).exist()
    if there and not given.resume and not given.dry_run:
        raise FileError(f"train: expected a new folder, got {given.out} with a run in it; pass --resume to go on with it, or another --out")
    if given.resume and not there:
        raise FileError(f"train: expected a run to go on with, got no last.nx in {given.out}; leave out --resume")


@contextmanager
def _alone(given: argparse.Namespace, training: Run) -> Iterator[None]:
    """Hold the run's folder, which is made if need be, against other processes that would write into it."""
    if not training.writes:
        yield
        return
    given.out.mkdir(parents=True, exist_ok=True)
    with Lock(given.out / ".lock", f"the run in {given.out}", op="train"):
        _check_folder(given)  # again: until now another process may have had it
        training.checkpoints.clear()
        try:
            yield
        finally:
            if training.board is not None:
                training.board.close()


def _begin(given: argparse.Namespace, training: Run, task: Task) -> None:
    """Write down what the run is, or go back to where it was."""
    if given.resume:
        training.restore()
    elif training.writes:
        made_by = {**provenance(), "folder": Path.cwd()}
        text = toml({"train": config.settings(given), "task": {"kind": task.kind, "classes": task.classes}, "made_by": made_by})
        write_text(given.out / "config.toml", text)
    if given.tensorboard and training.writes:
        training.board = board.Board(given.out / "tensorboard", training.done)


def _train(training: Run, rest: ImageMaskFolder, given: argparse.Namespace) -> bool:
    """Run the steps that are left, look at validation images now and then; whether a signal stopped it."""
    if given.patience is not None and training.since >= given.patience:
        return False  # it had ended
    here = training.shards.ranks
    saved = time.monotonic()
    with asked_to_stop() as seen:
        progress = Progress(_Left(training), "step", stream=None if training.writes else io.StringIO())
        for loss in progress:
            progress.note(f"loss {loss:.3f}")
            stop = here.any(bool(seen))  # a signal to one rank stops all of them, after the same step
            if training.done * given.looks // training.steps > (training.done - 1) * given.looks // training.steps:
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
        own = [(i, *_judge(training, *rest.stored(i), shown=i < SHOWN)) for i in range(here.rank, len(rest), here.size)]
    found = sorted((row for rows in here.gather(own) for row in rows), key=lambda row: row[0])
    better = training.log(float(np.mean([score for _, score, _ in found])) if found else None)
    if better:
        training.save_best()
    if found and training.writes:
        shown = [row for _, _, row in found if row is not None]
        width = max(row.shape[1] for row in shown)
        sheet = np.concatenate([np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in shown])
        put(training.folder / "validation.png", lambda p: save_picture(p, sheet))
        if training.board is not None:
            training.board.picture(training.done, "validation", training.folder / "validation.png")
    score = (
        f"{task.measure} {training.rows[-1]['score']}{', the best' if better else ''}"
        if found
        else "no validation images, best.nx is this one"
    )
    tell(f"step {training.done}: {score}", here)


def _judge(training: Run, image: Pixels, mask: Pixels, *, shown: bool) -> tuple[float, Pixels | None]:
    """The score of one validation image, and a picture of image, truth and prediction."""
    with evaluating(training.model), nx.no_grad():
        found = training.task.decide(np.asarray(output_of(training.model, prepared(training.model, image, None)).cpu().numpy())[0])
    picture = [_visible(image), *(overlay(_visible(image), m) for m in (mask.reshape(found.shape), found))] if shown else []
    return training.task.score(found, mask), np.concatenate(picture, 1) if shown else None


def _visible(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return rgb(visible(scaled(image)))
