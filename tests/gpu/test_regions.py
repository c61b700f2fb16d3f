"""Regions, floods and places where a mask holds, on the emulated GPU: what the CPU finds."""

import numpy as np
import pytest
from gpu.test_sampling import rows_agree

import neurenix as nx
from neurenix.ops import regions
from neurenix.ops.scatter import nonzero_rows

RNG = np.random.default_rng(0)


def snake(size):
    """One region, a pixel wide, that winds to and fro, and a second from below that meets nothing."""
    x = np.zeros((size, size), "u1")
    x[::2] = 1
    x[1::4, -1] = x[3::4, 0] = 1
    x[-3, 1:-1] = 0
    return x


MAPS = {
    "noise": RNG.integers(0, 3, (1, 13, 17)).astype("i4"),
    "dense": (RNG.random((1, 70, 70)) < 0.6).astype("u1"),
    "snake": snake(41)[None],
    "volume": (RNG.random((4, 5, 6)) < 0.4).astype("i8"),
    "line": RNG.integers(0, 2, (1, 1, 50)).astype("u2"),
    "nothing": np.zeros((1, 4, 5), "i2"),
    "empty": np.zeros((0, 4, 5), "i1"),
}


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("name", MAPS)
def test_regions_are_numbered_as_on_the_cpu(door, name, connectivity, monkeypatch):
    x = MAPS[name]
    for orders in ((0, 1), (1, 0)):  # which order of threads counts in the joins
        monkeypatch.setattr(door, "orders", orders)
        rows_agree(regions.label_components, [1], x, np.zeros(x.shape, np.int64), *x.shape, connectivity)


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("connectivity", [1, 2])
@pytest.mark.parametrize("shape", [(1, 12, 15), (3, 5, 6), (1, 1, 40), (0, 3, 3)])
def test_floods_are_those_of_the_cpu(door, shape, connectivity, line):
    for levels, dtype in ((3, "f4"), (1000, "f8")):  # many equals, and hardly any
        image = RNG.integers(-levels, levels, shape).astype(dtype)
        image.reshape(-1)[::11] = np.nan
        markers = np.where(RNG.random(shape) < 0.1, RNG.integers(1, 5, shape), 0)
        mask = RNG.random(shape) < 0.9
        rows_agree(regions.watershed_flood, [3], image, markers, mask, np.zeros(shape, np.int64), *shape, connectivity, line)


@pytest.mark.parametrize("size", [0, 1, 15, 4096, 10001])
def test_places_where_a_mask_holds(door, size):
    for share in (0.0, 0.3, 1.0):
        mask = RNG.random(size) < share
        rows_agree(nonzero_rows, [1], mask, np.zeros(int(mask.sum()), np.int64))


def test_a_mask_that_begins_anywhere(door):
    mask = (RNG.random(9000) < 0.5).reshape(3, 3000)
    x = RNG.standard_normal((3, 3000)).astype("f4")
    t, m = nx.Tensor(x, device="emulated"), nx.Tensor(mask, device="emulated")
    np.testing.assert_array_equal(t[1:][m[1:]].numpy(), x[1:][mask[1:]])
    np.testing.assert_array_equal(t[0, 3:][m[0, 3:]].numpy(), x[0, 3:][mask[0, 3:]])
