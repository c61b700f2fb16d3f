"""Positions beyond 2^31: what kernels compute of them, without arrays of that size, and how many blocks a launch has."""

import numpy as np
import pytest
from gpu import emulated
from gpu.emulated import EmulatedModule

from neurenix.backend import launch, sources
from neurenix.backend.kernel import KERNELS

HUGE = 2**31 + 12345
SOURCE = """
KERNEL k_at(int64* y, const View view, const int64* i) { y[threadIdx.x] = at(view, i[threadIdx.x]); }
KERNEL k_spot(int64* y, int64 i, int64 count, int64 h, int64 w, int64 inner) {
    const Spot spot(i, count, h, w, inner); y[0] = spot.o, y[1] = spot.i, y[2] = spot.j, y[3] = spot.c; }
KERNEL k_walk(int64* y, int64 size, int64 packed) {
    const Walk<4> walk(size, packed); y[0] = walk.first, y[1] = walk.apart, y[2] = walk.step, y[3] = walk.whole(size - 4), y[4] = walk.whole(size - 3); }
KERNEL k_each(int64* y, int64 count) { int64 last = -1; for (EACH(i, count)) last = i, i += count / 3; y[0] = last; }
KERNEL k_share(int64* y, int64 pixels, int64 parts, int64 p) { const Share share(pixels, parts, p); y[0] = share.start, y[1] = share.stop; }
"""


@pytest.fixture(scope="module")
def kernel():
    emulated.require()
    text = sources.unit("conv", "f32") + sources._pasted("packs.cuh", {"common.cuh"}) + SOURCE
    module = EmulatedModule(text)

    def run(name, count, *args):
        y = np.zeros(count, np.int64)
        module.get_function(name)((1,), (1,), (y, *args))
        return y.tolist()

    return run


@pytest.mark.parametrize("shape", [(3, 40000, 50000), (2**33,), (5, 2**31 + 7)])
def test_places_in_views(kernel, shape):
    strides = [2**34 + 3, 70001, -3][-len(shape) :]
    size = int(np.prod(shape, dtype=object))
    for i in (0, 2**31 - 1, HUGE, size - 1):
        where = sum(int(k) * s for k, s in zip(np.unravel_index(i, shape), strides, strict=True))
        assert kernel("k_at", 1, launch._view(shape, strides).reshape(()), np.array([i])) == [where]


def test_pixels_and_channels(kernel):
    shape = (3, 30000, 30000, 5)
    size = int(np.prod(shape, dtype=object))
    for i in (2**31 - 1, HUGE, size - 1):
        assert kernel("k_spot", 4, *(np.int64(v) for v in (i, size, *shape[1:]))) == [int(k) for k in np.unravel_index(i, shape)]


def test_loops_over_the_grid(kernel):
    assert kernel("k_walk", 5, np.int64(2**33), np.int64(1)) == [0, 1, 4, 1, 0]
    assert kernel("k_each", 1, np.int64(3 * HUGE)) == [2 * HUGE + 2]
    assert kernel("k_share", 2, np.int64(2**34 + 5), np.int64(3), np.int64(2)) == [2 * 11184811 * 512, 2**34 + 5]


def test_launches_of_as_many():
    """Every rule's grid, of elements beyond 2^31: within a GPU's limits or refused, never wrapped."""
    for name in ("unary", "binary", "copy_into", "cast_into", "compare", "select"):
        rule = sources.rules(KERNELS[name].stem)[name]
        assert rule.grid({}, HUGE, 65536) == (65536,)
    sort = sources.rules("ordering")["sort_rows"]
    sizes = {"outer": 1, "n": HUGE, "inner": 1, "values": HUGE}
    assert [step.grid(sizes, HUGE, 65536)[0] for step in sort.passes] == [-(-HUGE // 1024), -(-HUGE // 2048), -(-HUGE // 2048)]
    assert sort.passes[1].rounds(sizes) == 20
    assert sort.scratch_size(sizes) == 4 * HUGE


def test_tensor_cores_leave_maps_of_as_many_pixels_to_the_direct_kernel():
    sizes = {
        "n": 1,
        "h": 46341,
        "w": 46341,
        "oh": 1,
        "ow": 1,
        "groups": 1,
        "outputs": 64,
        "channels": 64,
        "kh": 3,
        "kw": 3,
        "processors": 132,
    }
    ways = [way for way in sources.ways("convolve") if "fast" in way.precisions]
    assert ways
    assert not any(way.suits(way.numbers(sizes | {"scatter": 0})) for way in ways)
    assert any(way.suits(way.numbers(sizes | {"scatter": 0, "h": 46340, "w": 46340})) for way in ways)
