"""``neurenix plan``: what predicting images will take, before it begins."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, Final

import neurenix as nx
from neurenix.command import slurm
from neurenix.command.files import images_in
from neurenix.command.predict import add_approximate, load_model, require_approximate, tile_of
from neurenix.errors import ArgumentError
from neurenix.images import count_images, open_image
from neurenix.progress import Progress
from neurenix.slides.blended_plan import plan_blended_source
from neurenix.slides.planning import plan_source
from neurenix.slides.tile_plan import TilePlan, duration
from neurenix.system import get_num_threads

HELP: Final = "say what predicting images will take: tile, memory, work, time"
EXAMPLE: Final = "neurenix plan run/best.nx slides/ --memory 4GB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    parser.add_argument("model", type=Path, nargs="?", help="file that train wrote, or a saved model")
    parser.add_argument("images", type=Path, nargs="?", help="an image, or a folder of them")
    parser.add_argument("--memory", metavar="SIZE", help="that the process may take, e.g. 4GB: the largest tile that fits is chosen")
    parser.add_argument("--tile", type=int, nargs="+", metavar="N", help="rows and columns, or one number as of predict (1024)")
    add_approximate(parser)
    parser.add_argument("--precision", choices=("fast", "ieee"), default="fast", help="of float32; ieee reads less around a tile (fast)")
    parser.add_argument("--parts", type=int, default=1, metavar="N", help="array jobs that share the work (1)")
    parser.add_argument(
        "--slurm",
        choices=tuple(slurm.KINDS),
        help="print a job script: of prediction, filled in by the plan, or of training on one machine, a GPU or several machines, without model and images",
    )


def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Plan; exit status and result."""
    if given.slurm not in (None, "predict"):
        script = slurm.template(given.slurm)
        print("" if given.json else script, end="")
        return 0, {"script": script}
    if given.images is None:
        raise ArgumentError("plan: expected a model and images, got too little; pass e.g. run/best.nx slides/")
    require_approximate(given)
    model, _ = load_model(given.model)
    tile = tile_of(given.tile)
    kinds: dict[tuple[tuple[int, int, int], str, str], list[tuple[Path, int]]] = {}
    channels = getattr(model, "in_channels", None)
    for path in Progress(images_in(given.images), "reading images", patient=True):
        for number in range(count_images(path)):
            with open_image(path, number, channels) as source:
                kinds.setdefault((source.shape, source.dtype.str, path.suffix), []).append((path, number))
    plans: list[tuple[int, TilePlan]] = []
    planned = partial(plan_blended_source, overlap=given.overlap) if given.approximate else plan_source
    with nx.set_float32_precision(given.precision):
        for alike in kinds.values():
            with open_image(*alike[0], channels) as source:
                plans.append((len(alike), planned(model, source, given.memory, tile=tile)))
    seconds = sum(count * (found.seconds or 0.0) for count, found in plans)
    memory = max(found.memory for _, found in plans)
    result = {"seconds": seconds, "memory": memory, "parts": given.parts, "seconds_a_part": seconds / given.parts}
    if given.slurm:
        result["script"] = slurm.template(given.slurm, **_filled(given, memory, seconds / given.parts))
        print("" if given.json else result["script"], end="")
    elif not given.json:
        print("\n\n".join(f"{count} image{'s' * (count > 1)}\n{found}" for count, found in plans))
        print(f"\nall together: {duration(seconds)}, {memory / 2**20:,.0f} MiB" + _shared(given.parts, seconds))
    return 0, result | {"images": [{"count": count, **_plain(found)} for count, found in plans]}


def _plain(found: TilePlan) -> dict[str, Any]:
    return found._asdict() | {"maps": [one._asdict() for one in found.maps]}


def _filled(given: argparse.Namespace, memory: int, seconds: float) -> dict[str, Any]:
    """What a plan says to a job script: twice the time and ten minutes, a gibibyte more memory, and the tile or memory asked for."""
    minutes = 10 + -(-2 * seconds // 60)
    options = ["--tile", *given.tile] if given.tile else ["--memory", given.memory] if given.memory else []
    options += ["--approximate"] if given.approximate else []
    options += [] if given.overlap is None else ["--overlap", given.overlap]
    options += [] if given.precision == "fast" else ["--precision", given.precision]
    filled = {"model": given.model, "images": given.images, "parts": given.parts, "options": options, "cpus": get_num_threads()}
    return filled | {"memory": f"{1 + -(-memory // 2**30)}G", "time": f"{int(minutes // 60):02d}:{int(minutes % 60):02d}:00"}


def _shared(parts: int, seconds: float) -> str:
    return "" if parts == 1 else f"; in {parts} parts {duration(seconds / parts)} each"
