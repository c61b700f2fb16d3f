"""What the tests of half-precision training and their reference both start from; needs NumPy only."""

from __future__ import annotations

import numpy as np

WEIGHTS = {
    "x": (2, 3, 8, 8),
    "w1": (6, 3, 3, 3),
    "b1": (6,),
    "g": (6,),
    "h": (6,),
    "w2": (6, 5, 2, 2),
    "w3": (7, 5),
    "b3": (7,),
    "m": (7, 4),
}
SCALER = {"init_scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.25, "growth_interval": 3}
INFINITE_AT = (0, 4, 5, 9)


def numbers(name: str) -> np.ndarray:
    """A tensor's values, the same wherever it runs."""
    shape = WEIGHTS[name]
    i = np.arange(int(np.prod(shape)), dtype=np.float64) + 17 * len(name) + sum(map(ord, name))
    return (np.sin(i * 12.9898) * 0.8 + 0.1).astype(np.float32).reshape(shape)
