"""Numbers by a formula, the same wherever they are made."""

import zlib

import numpy as np


def numbers(shape: tuple[int, ...], start: int) -> np.ndarray:
    """Doubles in [-0.5, 0.5) that look random: multiples of the golden ratio, modulo 1."""
    n = np.arange(int(np.prod(shape)), dtype=np.int64) + start
    return (((n * 2654435761) % 2**32) / 2**32 - 0.5).reshape(shape)


def image(shape: tuple[int, ...]) -> np.ndarray:
    """An image of shape (N, C, H, W)."""
    return numbers(shape, 12345)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Values for each entry of a network's state: of a size that keeps maps near 1."""
    made = {}
    for name, shape in shapes.items():
        values = numbers(shape, zlib.crc32(name.encode()) % 10**6)
        if name.endswith("num_batches_tracked"):
            made[name] = np.array(100)
        elif name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
            made[name] = values + 1.0
        elif len(shape) in (2, 4):
            made[name] = values * (12 / np.prod(shape[1:])) ** 0.5
        else:
            made[name] = values
    return made
