"""Outputs that no machine holds are refused before anything of their size is made."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import OutOfMemoryError
from neurenix.multiscale import MultiScaleTransform, Rescale
from neurenix.nn import functional

IMAGE = np.ones((1, 3, 8, 8), np.float32)
HUGE = 2**40


@pytest.mark.parametrize(
    "run",
    [
        *(lambda m=m: functional.interpolate(IMAGE, size=(HUGE, 1), mode=m) for m in ("nearest", "bilinear", "bicubic", "area")),
        lambda: functional.interpolate(IMAGE, scale_factor=1e12),
        lambda: functional.interpolate(IMAGE, size=(2**31, 2**31)),
        lambda: functional.adaptive_avg_pool2d(IMAGE, (1, HUGE)),
        lambda: functional.adaptive_max_pool2d(IMAGE, HUGE),
        lambda: functional.pad(IMAGE, (HUGE, 0, 0, 0)),
        lambda: functional.pad(IMAGE, (0, 0, HUGE, 0), mode="replicate"),
        lambda: Rescale(1e12)(IMAGE),
        lambda: MultiScaleTransform([1e12])(IMAGE),
        lambda: nx.Tensor(shape=(HUGE,)),
        lambda: nx.multiscale.UNet(10**9, 10**9),
    ],
)
def test_refused_with_sizes(run):
    with pytest.raises(OutOfMemoryError, match=r"expected .*, got "):
        run()
