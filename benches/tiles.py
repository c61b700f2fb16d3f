"""A generated image of 20,000 x 20,000 pixels, three channels, from file to file under a limit of memory: `python benches/tiles.py`.

Planned and measured: the time, the peak of the process's memory, and the multiply-adds over those of the whole image at once. It may be
ended at any time: run again it goes on, and what was measured before counts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _harness import HERE, machine, report

import neurenix as nx
from neurenix.memory import held_by_process
from neurenix.slides.tile_plan import duration, memory_bytes

BAND = 256
MODELS = {"small": ([16, 32, 64, 128], "1GB"), "large": ([64, 128, 256, 512], "3GB")}
ENVIRONMENT = os.environ | {"PYTHONPATH": str(HERE.parent / "python")}
POLL = 0.5  # seconds between two looks at the process


def once(path: Path, make: Callable[[Path], None]) -> Path:
    """A file that is made whole or not at all, and kept."""
    if not path.exists():
        beside = path.with_name(f"{path.stem}.part{path.suffix}")
        make(beside)
        beside.replace(path)
    return path


def make_image(path: Path, size: int) -> None:
    """Cells on a slide, about: noise of several sizes in three colours, a band of rows at a time."""
    image = np.lib.format.open_memmap(path, "w+", np.uint8, (size, size, 3))
    rng = np.random.default_rng(0)
    coarse = rng.random((3, size // 64 + 2, size // 64 + 2))
    for top in range(0, size, BAND):
        rows = np.arange(top, min(top + BAND, size))
        smooth = coarse[:, rows // 64][:, :, np.arange(size) // 64]
        fine = rng.integers(0, 8, (len(rows), size, 3), np.uint8)
        image[rows[0] : rows[-1] + 1] = fine + (smooth * 247).astype(np.uint8).transpose(1, 2, 0)
        image.flush()


def make_model(path: Path, image: Path, features: list[int]) -> None:
    """Untrained, its last bias such that about half of the pixels are found."""
    nx.manual_seed(0)
    logits, model = (nx.multiscale.UNet(3, 1, features, final_activation=last).eval() for last in (None, "sigmoid"))
    last = [m for m in logits.modules() if isinstance(m, nx.nn.Conv2d)][-1]
    found = nx.predict(logits, np.load(image, mmap_mode="r")[:512, :512])
    last.bias.assign_(last.bias.numpy() - np.median(found))
    model.load_state_dict(logits.state_dict())
    nx.save(model, path)


def make_plan(path: Path, model: Path, image: Path, memory: str, precision: str) -> None:
    """What the command says before."""
    command = ["plan", str(model), str(image), "--memory", memory, "--precision", precision, "--json"]
    path.write_bytes(
        subprocess.run([sys.executable, "-m", "neurenix", *command], env=ENVIRONMENT, check=True, stdout=subprocess.PIPE).stdout
    )


class Spent:
    """Seconds and the most bytes of memory of one job, over all the processes that worked at it, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds, self.peak, self.runs = json.loads(path.read_text()) if path.exists() else (0.0, 0, 0)

    def run(self, command: list[str]) -> None:
        """Run a command, which is watched; an error if it fails."""
        self.runs += 1
        before, begun = self.seconds, time.perf_counter()
        child = subprocess.Popen([sys.executable, "-m", "neurenix", *command], env=ENVIRONMENT)
        try:
            while child.poll() is None:
                self.peak = max(self.peak, held_by_process(child.pid, most=True))
                self.seconds = before + time.perf_counter() - begun
                self._save()
                time.sleep(POLL)
        finally:
            if child.poll() is None:
                child.terminate()  # it ends its tile first
                child.wait()
        if child.returncode:
            raise SystemExit(child.returncode)

    def _save(self) -> None:
        beside = self._path.with_suffix(".part")
        beside.write_text(json.dumps([self.seconds, self.peak, self.runs]))
        beside.replace(self._path)


def measured(files: tuple[Path, Path, Path], memory: str, precision: str, settings: list[str]) -> dict[str, Any]:
    """A row: planned, and then done, or gone on with."""
    model, image, out = files
    shape = np.load(image, mmap_mode="r").shape
    planned = once(out.with_suffix(".plan.json"), lambda path: make_plan(path, model, image, memory, precision))
    plan = json.loads(planned.read_text())["images"][0]
    print(f"{out.name}: {plan['tiles']} tiles, planned {plan['memory'] / 1e6:,.0f} MB, {duration(plan['seconds'])}", flush=True)
    spent = Spent(out.with_suffix(".spent.json"))
    if spent.runs:
        print(f"{out.name}: goes on after {duration(spent.seconds)}", flush=True)
    mask = out / "slide_instances.npy"
    if not mask.exists():
        spent.run(["predict", str(model), str(image), "--out", str(out), "--precision", precision, "--resume", *settings])
    row = {"precision": precision, "memory": memory, "tile": "{} x {}".format(*plan["tile"]), "overhead": plan["overhead"]}
    row |= {
        "multiply-adds": plan["multiply_adds"],
        "planned MB": plan["memory"] / 1e6,
        "MB": spent.peak / 1e6,
        "fits": spent.peak <= memory_bytes(memory),
    }
    row |= {"planned s": plan["seconds"], "s": spent.seconds, "runs": spent.runs, "Mpixel/s": shape[0] * shape[1] / spent.seconds / 1e6}
    with mask.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return row | {"objects": int(np.load(mask, mmap_mode="r").max()), "sha256": digest[:16]}


def main() -> None:
    """Run and report; status 1 if the memory was exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20000)
    parser.add_argument(
        "--model", choices=MODELS, default="small", help="a U-Net of 16 to 128 channels, or one of 64 to 512 (31 million parameters)"
    )
    parser.add_argument("--memory", help="that the process may take (1GB, and 3GB of the large model)")
    parser.add_argument("--precision", nargs="+", default=["fast", "ieee"])
    parser.add_argument(
        "--folder", type=Path, default=HERE.parent / "build" / "tiles", help="for the image, 3 bytes a pixel, and twice as much again"
    )
    parser.add_argument("--fresh", action="store_true", help="begin again rather than go on")
    args = parser.parse_args()
    features, usual = MODELS[args.model]
    memory = args.memory or usual
    folder = args.folder / f"{args.size}"
    if args.fresh:
        shutil.rmtree(folder / args.model, ignore_errors=True)
    (folder / args.model).mkdir(parents=True, exist_ok=True)
    image = once(folder / "slide.npy", lambda path: make_image(path, args.size))
    model = once(folder / args.model / "model.nx", lambda path: make_model(path, image, features))
    settings = ["--memory", memory, "--instances", "--overlay", "--format", "npy"]
    rows = [
        measured((model, image, folder / args.model / f"found-{precision}-{memory}"), memory, precision, settings)
        for precision in args.precision
    ]
    about = machine() | {"image": f"{args.size} x {args.size} x 3, uint8", "model": f"U-Net {features}"}
    report("tiles" if args.model == "small" else f"tiles_{args.model}", rows, about)
    sys.exit(0 if all(row["fits"] for row in rows) else 1)


if __name__ == "__main__":
    main()
