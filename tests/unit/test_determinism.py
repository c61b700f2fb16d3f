"""The same bits for any number of threads, run, level and split of a batch: four models, their outputs, loss and all gradients."""

import hashlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.multiscale import MultiScaleModel, PyramidNetwork, UNet, UNetPlusPlus

MODELS = {
    "unet": lambda: UNet(3, 2, features=[16, 24], final_activation=None),
    "unet++": lambda: UNetPlusPlus(3, 2, features=[8, 16, 16], final_activation=None),
    "pyramid": lambda: PyramidNetwork(3, 2, num_levels=3, base_channels=16),
    "multi-scale": lambda: MultiScaleModel([1.0, 0.5], nx.nn.Sequential(nx.nn.ConvNormAct(3, 20), nx.nn.Conv2d(20, 2, 1)), "attention"),
}
RUNS = int(os.environ.get("NEURENIX_RUNS", "3"))  # with each number of threads; more where one has the time


def digest(*arrays):
    """A number for the bits of arrays."""
    found = hashlib.sha256()
    for a in arrays:
        found.update(np.ascontiguousarray(a).tobytes())
    return found.hexdigest()


def step(name, precision="fast"):
    """The bits of one training step from the same weights and images."""
    nx.manual_seed(3)
    rng = np.random.default_rng(5)
    model = MODELS[name]()
    x = nx.Tensor(rng.standard_normal((2, 3, 41, 50)).astype(np.float32), requires_grad=True)
    target = rng.integers(0, 2, (2, 41, 50))
    with nx.set_float32_precision(precision):
        y = model(x)
        loss = nx.nn.functional.cross_entropy(y, target)
        loss.backward()
    state = [t.numpy() for t in model.state_dict().values()]
    return digest(y.numpy(), loss.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters()), *state)


@pytest.fixture
def threads():
    """Set the number of threads; it is put back afterwards."""
    before = nx.get_num_threads()
    yield nx.set_num_threads
    nx.set_num_threads(before)


@pytest.mark.parametrize("precision", ["fast", "ieee"])
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_for_any_threads_and_run(name, precision, threads):
    found = set()
    for n in (1, 2, 3, 8):
        threads(n)
        found |= {step(name, precision) for _ in range(RUNS if precision == "fast" else 1)}
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few batches
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_however_a_batch_is_split(name):
    nx.manual_seed(4)
    model = MODELS[name]()
    x = nx.Tensor(np.random.default_rng(6).standard_normal((5, 3, 38, 45)).astype(np.float32))
    with nx.no_grad():
        model(x)  # running statistics that are no one's start
        model.eval()
        whole = model(x).numpy()
        for sizes in ([1] * 5, [2, 3], [4, 1]):
            parts = [model(part).numpy() for part in nx.split(x, sizes)]
            assert digest(np.concatenate(parts)) == digest(whole)


@pytest.mark.filterwarnings("ignore:BatchNorm2d")
@pytest.mark.parametrize("name", MODELS)
def test_same_bits_recorded_checkpointed_and_not(name):
    """Evaluation joins convolution, normalisation and activation; a recorded pass and a checkpointed one run them apart or again."""
    nx.manual_seed(4)
    model = MODELS[name]().eval()
    x = nx.Tensor(np.random.default_rng(6).standard_normal((2, 3, 38, 45)).astype(np.float32))
    recorded = model(x)
    with nx.no_grad():
        joined = model(x)
    with nx.enable_gradient_checkpointing():
        again = model(x)
    assert digest(recorded.numpy()) == digest(joined.numpy()) == digest(again.numpy())
    gradients = []
    for y in (recorded, again):
        model.zero_grad()
        (y * y).mean().backward()
        gradients.append(digest(*(p.grad.numpy() for p in model.parameters())))
    assert gradients[0] == gradients[1]


LEVEL = """
    import sys
    sys.path.insert(0, sys.argv[1])
    from unit.test_determinism import MODELS, step
    print(*(step(name) for name in MODELS))
"""


def test_same_bits_on_every_level_of_the_processor():
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH120, PTH100
    found = {}
    for level in _rust.levels():
        command = [sys.executable, "-c", textwrap.dedent(LEVEL), tests]
        environment = {**os.environ, "NEURENIX_SIMD": level}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        found[level] = done.stdout
    assert len(set(found.values())) == 1, found
