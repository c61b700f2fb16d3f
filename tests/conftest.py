"""Fixtures of the whole suite."""

import pytest

from neurenix import _rust


def pytest_generate_tests(metafunc):
    """Let a test marked ``devices`` run on the CPU and on the emulated GPU."""
    if "device" in metafunc.fixturenames and metafunc.definition.get_closest_marker("devices"):
        metafunc.parametrize("device", ["cpu", "emulated"], indirect=True)


@pytest.fixture
def device(request):
    """The device that a test's tensors are on."""
    name = getattr(request, "param", "cpu")
    if name == "emulated":
        from gpu import emulated

        emulated.require()
    return name


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
