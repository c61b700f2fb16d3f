"""The launch code: the same refusals as the CPU's binding, geometry, packing, symbols."""

import numpy as np
import pytest
from gpu.emulated import EmulatedArray
from unit.test_binding import _VALUES, ROWS, arguments
from unit.test_kernel_table import KERNELS

from neurenix import _rust, backend, layout
from neurenix.backend import launch, sources
from neurenix.backend.kernel import Kernel
from neurenix.errors import BackendUnavailableError, DeviceError, InternalError, NeurenixError, ShapeError

F = np.float32
WRONG = ["text", np.ones((2, 2), F)[:, :1], np.ones(4, "f8"), np.ones(4, "i8"), np.ones(4, "c8"), np.ones((4, 4), F).T, -1, 1.5, None]


class Recorder:
    """A device that remembers launches instead of running them."""

    array_type, most_blocks = EmulatedArray, 1000

    def __init__(self):
        self.calls = []

    def address(self, array):
        return array.view(np.ndarray).__array_interface__["data"][0]

    def card(self):
        return 70, 1

    def function(self, row, rule, suffix):
        return lambda *call: self.calls.append((f"{row.name}_{suffix}", *call))


@pytest.fixture
def every_row(monkeypatch):
    """Let every row of the table be launched, by the default rule."""
    monkeypatch.setattr(sources, "rules", lambda stem: dict.fromkeys(KERNELS, sources.Rule()))


def on(value, move):
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [move(v) for v in value]
    return move(value) if isinstance(value, np.ndarray) else value


def answer(function, args):
    try:
        function(*args)
    except NeurenixError as error:
        return error
    return None


def emulate(value):
    return value.view(EmulatedArray)


@pytest.mark.parametrize("name", [r for r in ROWS if r in KERNELS and not any("List" in role for _, role in ROWS[r][1])])
def test_refusals_are_those_of_the_cpu(every_row, name):
    args = arguments(name)
    cases = [args, args[:-1], [*args, 1], [args[0], *args[1:-1], args[0]]]
    cases += [[*args[:i], wrong, *args[i + 1 :]] for i in range(len(args)) for wrong in WRONG]
    cases += [arguments(name, dtype=d) for d in ("f2", "i4", "u1", "?", "c8")]
    for case in cases:
        cpu = answer(getattr(_rust, name), case)
        gpu = answer(lambda *a: launch.run(KERNELS[name], a, Recorder()), [on(a, emulate) for a in case])
        if isinstance(cpu, InternalError):
            ours, theirs = str(gpu).replace("gpu.emulated.EmulatedArray", "numpy.ndarray"), str(cpu)
            if "EmulatedArray" in ours:  # an array where a number was wanted prints otherwise
                ours, theirs = ours.partition(", got ")[0], theirs.partition(", got ")[0]
            assert ours == theirs, case
        else:
            assert not isinstance(gpu, InternalError), (case, gpu)


def test_overlap_and_read_only(every_row):
    memory = np.ones(8, F).view(EmulatedArray)
    with pytest.raises(InternalError, match="internal: copy_into: expected an output that overlaps no other array"):
        launch.run(layout.copy_into, (memory[:4], memory[3:7]), Recorder())
    launch.run(layout.copy_into, (memory[:4], memory[4:]), Recorder())
    frozen = np.ones(4, F)
    frozen.flags.writeable = False
    with pytest.raises(InternalError, match="y: expected a writable output whose elements are distinct"):
        launch.run(layout.copy_into, (frozen.view(EmulatedArray), memory[:4]), Recorder())
    with pytest.raises(InternalError, match="y: expected a writable output whose elements are distinct"):
        launch.run(layout.copy_into, (np.broadcast_to(memory[:1], (4,)), memory[:4]), Recorder())


def test_a_row_without_a_kernel_says_so():
    row = Kernel("frobnicate", "frob", "floats", (("y", "Out"),), "")
    with pytest.raises(BackendUnavailableError, match=r'frobnicate: no CUDA kernel yet; move the arrays to the CPU with \.to\("cpu"\)'):
        launch.run(row, (np.ones(1, F).view(EmulatedArray),), Recorder())


def test_mixed_devices_are_refused(door):
    x = np.ones(3, F)
    with pytest.raises(DeviceError, match="expected arrays on one device"):
        backend.same_device("add", x, backend.to_device(x, "emulated"))
    with pytest.raises(InternalError, match="x: expected gpu.emulated.EmulatedArray, got <class 'numpy.ndarray'>"):
        layout.copy_into(backend.to_device(x, "emulated"), x)


def launched(row, *args, rule=None):
    device = Recorder()
    launch.run(row, args, device)
    return device.calls


def test_every_role_is_packed(monkeypatch):
    roles = [
        "Out",
        "In",
        "Optional[In]",
        "Index",
        "Strided[In]",
        "Strided[Other]",
        "Size",
        "Offset",
        "Enum",
        "Key",
        "Real",
    ]
    row = Kernel("row", "stem", "floats", tuple((f"a{i}", r) for i, r in enumerate(roles)), "")
    monkeypatch.setattr(sources, "rules", lambda stem: {"row": sources.Rule()})
    y, x, index = np.ones((2, 3), F).view(EmulatedArray), np.ones(6, F).view(EmulatedArray), np.ones(2, "i8").view(EmulatedArray)
    view = np.ones((4, 6), F).view(EmulatedArray)[::2, ::-3]
    other = np.ones(3, "u1").view(EmulatedArray)
    ((symbol, grid, block, given),) = launched(row, y, x, None, index, view, other, 7, -2, 1, 2**64 - 1, 0.5)
    assert (symbol, grid, block) == ("row_f32", (1,), (256,))
    assert given[0] is y
    assert given[2] is None
    geometry = given[5]
    assert geometry.dtype == launch.VIEW
    assert (geometry["axes"], geometry["size"], geometry["shape"][:2].tolist(), geometry["strides"][:2].tolist()) == (
        2,
        4,
        [2, 2],
        [12, -3],
    )
    assert given[8] == sources.KINDS.index("u8")
    assert [type(v) for v in given[9:14]] == [np.int64, np.int64, np.int64, np.uint64, np.float64]


def test_geometry():
    rule = sources._rule("row", " blocks n * h / 64, k + 1 / 8; block 128; joined ")
    assert (rule.grid({"n": 3, "h": 50, "k": 5}, 0, 10), rule.block, rule.joined) == ((3, 6), 128, True)
    assert sources._rule("row", "threads n - 1").grid({"n": 1025}, 0, 10) == (4,)
    assert sources.Rule().grid({}, 10**9, 500) == (500,)
    assert sources.Rule().grid({}, 0, 500) == (0,)
    for wrong in ("nonsense", "threads n ** 2", "blocks n(2)"):
        with pytest.raises(InternalError, match="internal"):
            sources._rule("row", wrong).grid({"n": 1}, 1, 1)


def test_nothing_is_launched_for_empty_arrays():
    empty = np.ones((0, 3), F).view(EmulatedArray)
    assert launched(layout.copy_into, empty, np.ones((0, 3), F).view(EmulatedArray)) == []


def test_grids_that_no_gpu_has(monkeypatch):
    row = Kernel("row", "stem", "floats", (("y", "Out"), ("n", "Size")), "")
    monkeypatch.setattr(sources, "rules", lambda stem: {"row": sources._rule("row", "blocks 1, n")})
    with pytest.raises(ShapeError, match="within the grid of a GPU"):
        launched(row, np.ones(1, F).view(EmulatedArray), 70000)


def test_strided_arrays_are_walked_in_few_axes():
    def walk(*arrays):
        return launch.joined([np.asarray(a) for a in arrays])

    x = np.zeros((2, 4, 3, 5), F)
    last = np.zeros((2, 3, 5, 4), F).transpose(0, 3, 1, 2)
    assert walk(x, x) == ([120], [[1], [1]])
    assert walk(last, last) == ([120], [[1], [1]])
    assert walk(x, last) == ([2, 4, 15], [[60, 15, 1], [60, 1, 4]])
    assert walk(x, np.broadcast_to(np.zeros(5, F), x.shape)) == ([24, 5], [[5, 1], [0, 1]])
    assert walk(np.zeros((), F)) == ([1], [[1]])


@pytest.mark.parametrize(
    ("group", "dtype", "suffix"),
    [
        ("floats", "f4", "f32"), ("floats", "f8", "f64"), ("floats", "i4", None), ("numbers", "?", "u8"), ("numbers", "f2", None), ("numbers", "i8", "i64"),
        ("every", "f2", "f16"), ("bytes", "f2", "b2"), ("bytes", "?", "b1"), ("bytes", "f8", "b8"), ("bytes", "c8", None),
    ],
)  # fmt: skip
def test_suffixes(group, dtype, suffix):
    assert sources.suffix_of(Kernel("row", "stem", group, (("y", "Out"),), ""), np.dtype(dtype)) == suffix


def test_values_of_roles_stay_in_step():
    assert set(launch._VALUES) == set(_VALUES)
