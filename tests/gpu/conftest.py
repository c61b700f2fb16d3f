"""Fixtures of the GPU's tests."""

import pytest
from gpu import emulated


@pytest.fixture
def door():
    """The emulated device, with an empty record of launches."""
    emulated.require()
    emulated.door.launched.clear()
    emulated.door.kernels.clear()
    return emulated.door
