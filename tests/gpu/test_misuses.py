"""What is refused on a CPU is refused on a GPU, with the same type and the same text."""

import re

import pytest
from unit import test_misuses

import neurenix as nx

ARRAYS = re.compile(r"\b(X|I|M|nx\.\w+\()")
LINES = [m for m in test_misuses.table() if ARRAYS.search(m.expression)]
LOOKED_AT = {  # errors about values of arrays, which a GPU would have to be waited for
    "nn.JaccardLoss()(X - 5, X)",
    "F.generalized_dice_loss(X, nx.zeros(1, 8, 8, dtype=np.int64) + 3)",
    "F.max_unpool3d(X, nx.zeros(1, 3, 8, 8, dtype=np.int64) + 9999, 1)",
}


@pytest.fixture(autouse=True)
def default_device(door):
    """Tensors are made on the emulated GPU."""
    nx.set_default_device("emulated")
    yield
    nx.set_default_device("cpu")


@pytest.mark.parametrize("misuse", LINES, ids=lambda m: f"{m.name}: {m.expression}")
def test_raises_what_the_cpu_raises(misuse):
    got = test_misuses.outcome(misuse.expression)
    assert got == ("nothing" if misuse.expression in LOOKED_AT else misuse.raised)


def test_values_that_are_not_looked_at_are_few():
    assert {m.expression for m in LINES} >= LOOKED_AT
