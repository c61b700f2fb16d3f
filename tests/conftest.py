"""Fixtures of the whole suite."""

import os
import subprocess
import sys

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust


def pytest_generate_tests(metafunc):
    """Let a test marked ``devices`` or ``everywhere`` run on the CPU and on the emulated GPU."""
    if "device" in metafunc.fixturenames and metafunc.definition.get_closest_marker("devices"):
        metafunc.parametrize("device", ["cpu", "emulated"], indirect=True)
    elif metafunc.definition.get_closest_marker("everywhere") and not {"level", "each_thread_count"} & set(metafunc.fixturenames):
        metafunc.parametrize("everywhere", ["cpu", "emulated"], indirect=True)


def pytest_pyfunc_call(pyfuncitem):
    """Run a test marked ``alone`` in a process of its own: what others left in this one's memory would count."""
    if pyfuncitem.get_closest_marker("alone") is None or os.environ.get("NEURENIX_TEST_ALONE"):
        return None
    here = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {"NEURENIX_TEST_ALONE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", pyfuncitem.nodeid]
    done = subprocess.run(command, cwd=pyfuncitem.config.rootpath, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return True


@pytest.fixture
def device(request):
    """The device that a test's tensors are on."""
    name = getattr(request, "param", "cpu")
    if name == "emulated":
        from gpu import emulated

        emulated.require()
    return name


@pytest.fixture(autouse=True)
def everywhere(request):
    """Where tensors are made: a test marked ``everywhere`` runs again with all of its NumPy arrays on the emulated GPU."""
    if getattr(request, "param", "cpu") == "cpu":
        yield
        return
    from gpu import emulated

    emulated.require()
    plain = nx.Tensor.__init__

    def moved(self, data=None, *, device=None, **given):
        plain(self, data, device="emulated" if device is None and type(data) is np.ndarray else device, **given)

    nx.Tensor.__init__ = moved
    try:
        with nx.device("emulated"):
            yield
    finally:
        nx.Tensor.__init__ = plain


@pytest.fixture(params=_rust.levels())
def level(request):
    """Each instruction-set level that this processor has, in force during the test."""
    before = _rust.level()
    _rust.set_level(request.param)
    yield request.param
    _rust.set_level(before)


@pytest.fixture
def each_thread_count():
    """Call a function under 1, 2 and 3 threads and return the list of its results."""
    before = _rust.num_threads()

    def run(fn):
        results = []
        for n in (1, 2, 3):
            _rust.set_num_threads(n)
            results.append(fn())
        return results

    yield run
    _rust.set_num_threads(before)
