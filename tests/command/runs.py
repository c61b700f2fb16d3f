"""Small runs of ``neurenix train`` for tests: four pieces of the bundled image, a U-Net of two levels, twelve steps."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from neurenix import png
from neurenix.command import main
from neurenix.examples.shared import load_nuclei

SETTINGS = ["--features", "4", "8", "--crop", "32", "--batch", "4", "--shards", "2", "--validate", "0.25", "--looks", "4"]
STEPS = ["--steps", "12"]


def make_folders(root: Path, count: int = 4) -> tuple[Path, Path]:
    """Images and their nuclei as binary masks."""
    image, labels = load_nuclei()
    folders = root / "my images", root / "mäsks"
    for folder, pixels in zip(folders, (image, np.where(labels > 0, 255, 0).astype(np.uint8)), strict=True):
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[100 + 40 * i : 140 + 40 * i, 200:248])))
    return folders


def words(folders: tuple[Path, Path], out: Path, *more: str) -> list[str]:
    """The command's words."""
    return ["train", *map(str, folders), "--out", str(out), *SETTINGS, *more]


def train(folders: tuple[Path, Path], out: Path, *more: str) -> int:
    return main(words(folders, out, *more))


def contents(run: Path) -> dict[str, object]:
    """What is the same in every such run: files, and the log without seconds."""
    found: dict[str, object] = {p.name: p.read_bytes() for p in run.iterdir() if p.suffix in (".nx", ".png")}
    rows = csv.DictReader((run / "log.csv").read_text().splitlines())
    return found | {"log": [{k: v for k, v in row.items() if k != "seconds"} for row in rows]}
