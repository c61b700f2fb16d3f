"""Fuzzing the folder dataset: images and masks of every format, their bytes changed."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from fuzz.binding import Random, pick
from fuzz.files import changed_bytes
from PIL import Image

from neurenix.data import ImageMaskFolder
from neurenix.errors import NeurenixError


def encoded(array: np.ndarray, ending: str) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    if ending == ".npy":
        np.save(buffer, array)
    else:
        Image.fromarray(array).save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}.get(ending, ending[1:].upper()))
    return buffer.getvalue()


def seeds() -> list[tuple[str, bytes]]:
    """Small pictures of every format and kind of pixel."""
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (9, 7), np.uint8), rng.integers(0, 256, (9, 7, 3), np.uint8)
    found = [(ending, encoded(a, ending)) for ending in (".png", ".jpg", ".bmp", ".gif", ".tif", ".npy") for a in (grey, colour)]
    found += [(ending, encoded(grey.astype(np.uint16) * 257, ending)) for ending in (".png", ".tif", ".npy")]
    found += [(".png", encoded(rng.integers(0, 256, (9, 7, 4), np.uint8), ".png")), (".npy", encoded(rng.random((9, 7)), ".npy"))]
    return [*found, (".tif", encoded(rng.random((9, 7), np.float32), ".tif"))]


class Images:
    """Files of a folder dataset; a case is the file's ending, a line's end, and its bytes."""

    name = "images"

    def __init__(self) -> None:
        self.seeds = seeds()
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz"))

    def make(self, rng: Random) -> bytes:
        """One case."""
        ending, data = pick(rng, self.seeds)
        if rng.random() < 0.05:
            ending = pick(rng, self.seeds)[0]
        return ending.encode() + b"\n" + changed_bytes(data, rng)

    def run(self, case: bytes) -> None:
        """Read the file as an image and as a mask; let anything but arrays or one of our errors pass on to the caller."""
        ending, data = case.split(b"\n", 1)
        good = encoded(np.zeros((9, 7), np.uint8), ".png")
        for damaged, kind in (("images", "binary"), ("masks", "classes")):
            for name in ("images", "masks"):
                shutil.rmtree(self.folder / name, ignore_errors=True)
                (self.folder / name).mkdir()
                path = self.folder / name / ("a" + (ending.decode() if name == damaged else ".png"))
                path.write_bytes(data if name == damaged else good)
            try:
                image, mask = ImageMaskFolder(self.folder / "images", self.folder / "masks", mask_type=kind)[0]
                assert image.ndim == 3 and mask.ndim in (2, 3)
            except NeurenixError as error:
                if not str(error):
                    raise AssertionError("an error without a text") from error
