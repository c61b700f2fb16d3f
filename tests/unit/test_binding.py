"""Whatever arguments a compiled kernel gets, it answers with one of our errors: no crash, no panic, no hang."""

import numpy as np
import pytest

from neurenix import _rust
from neurenix.errors import InternalError, NeurenixError

ROWS = _rust.rows()
HUGE = 2**62
_FIXED = {"Index": "i8", "IndexOut": "i8", "Mask": "?", "MaskOut": "?", "Double": "f8", "DoubleOut": "f8", "Other": "f4"}
_VALUES = {"Size": 2, "Offset": 0, "Real": 0.5, "Enum": 0, "Key": 7}


def array(role, size, dtype):
    inner = role.rstrip(">").rpartition("<")[2]
    made = np.ones(size, _FIXED.get(inner, dtype))
    return [made] if role.startswith("List") else made


def arguments(row, size=4, dtype="f4", value=None):
    """One argument a role: arrays of ``size`` elements, small numbers or ``value``."""
    args = []
    for _, role in ROWS[row][1]:
        if role not in _VALUES:
            args.append(array(role, size, dtype))
        elif value is None or role == "Real":
            args.append(_VALUES[role])
        else:
            args.append(value)
    return args


def call(row, args):
    """Run a row; any of our errors will do, and a panic is not one."""
    error = None
    try:
        getattr(_rust, row)(*args)
    except NeurenixError as raised:
        error = raised
    assert "a kernel failed" not in str(error), f"{row}{tuple(args)}: {error}"
    return error


@pytest.mark.parametrize("row", ROWS)
def test_wrong_numbers_of_arguments(row):
    args = arguments(row)
    for given in ([], args[:-1], [*args, 1]):
        assert isinstance(call(row, given), InternalError)


@pytest.mark.parametrize("row", ROWS)
def test_wrong_types_of_arguments(row):
    args = arguments(row)
    for i in range(len(args)):
        for wrong in ("text", object(), {}, np.ones(4, "c8"), np.ones(4, ">f4"), np.ma.ones(4), np.float32(1), -1.5):
            call(row, [*args[:i], wrong, *args[i + 1 :]])


@pytest.mark.parametrize("row", ROWS)
def test_element_types(row):
    for dtype in ("f2", "f8", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "?"):
        call(row, arguments(row, dtype=dtype))
        mixed = arguments(row)
        for i, (_, role) in enumerate(ROWS[row][1]):
            if role not in _VALUES:
                call(row, [*mixed[:i], array(role, 4, dtype), *mixed[i + 1 :]])


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("size", [(), 0, 1, 3, (2, 2), (0, 3), (1,) * 20], ids=str)
def test_sizes_of_arrays(row, size):
    call(row, arguments(row, size=size))
    for i, (_, role) in enumerate(ROWS[row][1]):
        if role not in _VALUES:
            args = arguments(row)
            call(row, [*args[:i], array(role, size, "f4"), *args[i + 1 :]])


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("value", [0, 1, 3, 2**31, HUGE, 2**64 - 1, -1, 2**70], ids=str)
def test_sizes_that_do_not_fit(row, value):
    call(row, arguments(row, value=value))
    for i, (_, role) in enumerate(ROWS[row][1]):
        if role in ("Size", "Offset", "Enum", "Key"):
            for size in (4, 0):
                args = arguments(row, size=size)
                call(row, [*args[:i], value, *args[i + 1 :]])


@pytest.mark.parametrize("row", ROWS)
def test_empty_arrays_and_zero_sizes(row):
    call(row, arguments(row, size=0, value=0))


@pytest.mark.parametrize("row", ROWS)
def test_numbers_that_are_not_finite(row):
    for number in (float("nan"), float("inf"), -1e300):
        args = [number if role == "Real" else a for a, (_, role) in zip(arguments(row), ROWS[row][1], strict=True)]
        call(row, args)


@pytest.mark.parametrize("row", ROWS)
def test_overlapping_and_read_only_outputs_are_refused(row):
    places = [
        i for i, (_, role) in enumerate(ROWS[row][1]) if role in ("In", "Out", "InOut", "Strided<In>", "Strided<Out>", "Strided<InOut>")
    ]
    written = [i for i in places if "Out" in ROWS[row][1][i][1]]
    args = arguments(row)
    for i in written:
        frozen = np.ones(4, "f4")
        frozen.flags.writeable = False
        assert isinstance(call(row, [*args[:i], frozen, *args[i + 1 :]]), InternalError)
        for k in places:
            if k != i:
                assert isinstance(call(row, [args[i] if j == k else a for j, a in enumerate(args)]), InternalError)
