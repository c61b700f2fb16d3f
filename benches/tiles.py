"""A generated image of 20,000 x 20,000 pixels, three channels, from file to file under a limit of memory: `python benches/tiles.py`.

Planned and measured: the time, the peak of the process's memory, and the multiply-adds over those of the whole image at once.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _harness import machine, report

import neurenix as nx

BAND = 256


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


RUN = """
import sys
from pathlib import Path
from neurenix.command import main
status = main(sys.argv[2:])
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
Path(sys.argv[1]).write_text(peak)
sys.exit(status)
"""


def run(command: list[str], told: Path) -> tuple[float, int]:
    """Seconds and the most bytes of memory that a command took, as the system counts them for its process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", RUN, str(told), *command], check=True)
    return time.perf_counter() - begun, int(told.read_text()) << 10


def measured(folder: Path, memory: str, precision: str) -> dict[str, Any]:
    model, image, out = folder / "model.nx", folder / "slide.npy", folder / f"found {precision}"
    shape = np.load(image, mmap_mode="r").shape
    with nx.set_float32_precision(precision):
        plan = nx.load(model).plan((3, *shape[:2]), memory)
    print(f"{precision}, {memory}:\n{plan}", flush=True)
    command = ["predict", str(model), str(image), "--out", str(out), "--memory", memory, "--precision", precision]
    command += ["--instances", "--overlay", "--format", "npy"]
    seconds, peak = run(command, folder / "peak")
    numbers = np.load(out / "slide_instances.npy", mmap_mode="r")
    digest, objects = hashlib.sha256((out / "slide_instances.npy").read_bytes()).hexdigest(), int(numbers.max())
    print(f"{'took':<14} {seconds:.0f} s, {peak / 2**20:,.0f} MiB, {objects} objects\n", flush=True)
    shutil.rmtree(out)
    row = {"precision": precision, "memory": memory, "tile": f"{plan.tile[0]} x {plan.tile[1]}", "overhead": round(plan.overhead, 3)}
    row |= {"planned MiB": plan.memory >> 20, "MiB": peak >> 20, "planned s": round(plan.seconds or 0), "s": round(seconds)}
    return row | {"Mpixel/s": round(shape[0] * shape[1] / seconds / 1e6, 2), "objects": objects, "sha256": digest[:16]}


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20000)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--precision", nargs="+", default=["fast", "ieee"])
    parser.add_argument("--folder", type=Path, help="for the image, 3 bytes a pixel, and as much again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        make_image(folder / "slide.npy", args.size)
        make_model(folder / "model.nx", folder / "slide.npy", args.features)
        rows = [measured(folder, args.memory, precision) for precision in args.precision]
    about = machine() | {"image": f"{args.size} x {args.size} x 3, uint8", "model": f"U-Net {args.features}"}
    report("tiles", rows, about)


if __name__ == "__main__":
    main()
