"""What tells one job from another: hashes of models and of images."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from neurenix.nn import Module

_WHOLE = 1 << 28  # bytes: larger files are hashed in samples
_PLAIN = (bool, int, float, str, tuple, type(None))
_SAMPLES, _SAMPLE = 256, 1 << 20


def model_hash(model: Module) -> str:
    """Of a model's structure, weights and input normalisation."""
    found = hashlib.sha256(f"{model!r}\n{getattr(model, 'input_normalization', None)!r}".encode())
    for name, module in model.named_modules():
        plain = {k: v for k, v in vars(module).items() if k != "training" and not k.startswith("_") and isinstance(v, _PLAIN)}
        found.update(f"{name} {sorted(plain.items())}\n".encode())
    for name, value in model.state_dict().items():
        array = np.ascontiguousarray(value.to(device="cpu").numpy())
        found.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        found.update(array.data)
    return found.hexdigest()


def image_hash(path: Path) -> str:
    """Of a file, or of all files of a folder with their names: of all bytes up to 256 MB, above of 256 samples of 1 MB and the size."""
    found = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    budget = max(1, _SAMPLES // len(files))
    whole = sum(p.stat().st_size for p in files) <= _WHOLE
    for file in files:
        size = file.stat().st_size
        found.update(f"{file.relative_to(path) if path.is_dir() else ''} {size}\n".encode())
        with file.open("rb") as opened:
            starts = range(0, size, _SAMPLE) if whole else np.linspace(0, max(0, size - _SAMPLE), budget).astype(np.int64)
            for start in starts:
                opened.seek(int(start))
                found.update(opened.read(_SAMPLE))
    return found.hexdigest()
