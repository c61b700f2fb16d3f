"""Convolutions and products on a real GPU: `pytest -m gpu`. Without one these are skipped, with NEURENIX_REQUIRE_GPU=1 they fail.

None has been run yet. What they ask is what the emulator's tests ask, at sizes that fill a card.
"""

import os

import numpy as np
import pytest

import neurenix as nx
from neurenix.backend import doors
from neurenix.nn import functional as F

pytestmark = pytest.mark.gpu
BOUNDS = {"ieee": 5e-7, "fast": 1.5e-6, "tf32": 1e-3}
LAYERS = {
    "64 channels": (lambda x, w: F.conv2d(x, w, padding=1), (4, 64, 56, 56), (64, 64, 3, 3)),
    "few outputs": (lambda x, w: F.conv2d(x, w, padding=1), (2, 40, 60, 44), (24, 40, 3, 3)),
    "odd numbers of everything": (lambda x, w: F.conv2d(x, w, stride=2, padding=2, dilation=(1, 2)), (3, 77, 41, 29), (91, 77, 5, 3)),
    "a long sum": (lambda x, w: F.conv2d(x, w, padding=1), (1, 512, 16, 16), (256, 512, 3, 3)),
    "groups": (lambda x, w: F.conv2d(x, w, padding=1, groups=4), (2, 96, 28, 28), (160, 24, 3, 3)),
    "upwards": (lambda x, w: F.conv_transpose2d(x, w, stride=2), (2, 128, 24, 24), (128, 64, 2, 2)),
    "rows": (F.linear, (300, 520), (130, 520)),
    "a product": (nx.matmul, (3, 200, 310), (3, 310, 150)),
}


@pytest.fixture(autouse=True)
def card():
    """A GPU."""
    if not nx.cuda.is_available():
        pytest.fail("needs a GPU") if os.environ.get("NEURENIX_REQUIRE_GPU") else pytest.skip("needs a GPU")


def arrays_of(name):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape).astype("f4") for shape in LAYERS[name][1:]]


def outcome(name, device, precision, dtype="f4"):
    """The result and the gradients of both inputs."""
    with nx.set_float32_precision(precision):
        inputs = [nx.tensor(a.astype(dtype)).to(device).requires_grad_(True) for a in arrays_of(name)]
        y = LAYERS[name][0](*inputs)
        y.backward(nx.tensor(np.random.default_rng(4).standard_normal(y.shape).astype("f4").astype(dtype)).to(device))
        return [t.detach().cpu().numpy() for t in (y, *(x.grad for x in inputs))]


@pytest.mark.parametrize("precision", BOUNDS)
@pytest.mark.parametrize("name", LAYERS)
def test_within_the_bound_and_the_same_bits_again(name, precision):
    exact = outcome(name, "cpu", "ieee", "f8")
    first, second = (outcome(name, "cuda", precision) for _ in range(2))
    for what, e, a, b in zip(("y", "dx", "dw"), exact, first, second, strict=True):
        assert np.linalg.norm(a - e) <= BOUNDS[precision] * np.linalg.norm(e), what
        np.testing.assert_array_equal(a, b, err_msg=what)


@pytest.mark.parametrize("precision", BOUNDS)
def test_parts_of_a_batch_and_of_a_sum(monkeypatch, precision):
    x, w = (nx.tensor(a).to("cuda") for a in arrays_of("a long sum"))
    door = doors.door_of(x._array)
    batch = nx.cat([x, x * 0.5, x + 1.0])
    with nx.no_grad(), nx.set_float32_precision(precision):
        shared = F.conv2d(batch, w, padding=1).cpu().numpy()
        alone = np.concatenate([F.conv2d(batch[i : i + 1], w, padding=1).cpu().numpy() for i in range(3)])
        capability, _ = door.card()
        monkeypatch.setattr(door, "card", lambda: (capability, 0))  # no card is so small: one block adds whole sums
        whole = F.conv2d(batch, w, padding=1).cpu().numpy()
    np.testing.assert_array_equal(shared, alone)
    np.testing.assert_array_equal(shared, whole)
