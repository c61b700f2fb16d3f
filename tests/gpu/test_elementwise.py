"""Every expression of the elementwise family on the emulated GPU against the CPU, special values included."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import backend
from neurenix.ops import elementwise as rows, reduce as reductions

# These go through the platform's functions in double, rounded once: the last place may differ.
PLATFORM = {
    rows.unary: {
        "EXP2",
        "SIN",
        "COS",
        "TAN",
        "ASIN",
        "ACOS",
        "ATAN",
        "SINH",
        "COSH",
        "ASINH",
        "ACOSH",
        "ATANH",
        "POW_NUMBER",
        "NUMBER_POW",
        "ERFC",
        "ERFINV",
        "LGAMMA",
        "DIGAMMA",
        "TRIGAMMA",
        "I0",
        "I0E",
        "I1",
        "I1E",
        "NDTRI",
    },
    rows.binary: {"POW", "ATAN2", "SIN_GRAD", "COS_GRAD", "SINH_GRAD", "COSH_GRAD", "POW_NUMBER_GRAD"},
    rows.ternary: {"BASE", "EXPONENT"},
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -3.0, 20.5, -21.0, 1e-30, 1e30, 90.0, -105.0, np.inf, -np.inf, np.nan]


def numbers(dtype, seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([SPECIAL, rng.permutation(SPECIAL), rng.standard_normal(60) * 2])
    return values.astype(dtype)


def both(row, inputs, *rest, dtype=None):
    """The row's result on the CPU and on the emulated GPU."""
    results = []
    for device in ("cpu", "emulated"):
        arrays = [backend.to_device(a, device) for a in inputs]
        y = backend.new(arrays[0], arrays[0].shape, dtype)
        row(y, *arrays, *rest)
        results.append(backend.to_numpy(y))
    return results


def agree(expected, got, exact, crosses_zero=False):
    if exact:
        np.testing.assert_array_equal(got, expected)
    else:
        near = 4 * np.finfo(expected.dtype).eps
        np.testing.assert_allclose(got, expected, rtol=near, atol=near if crosses_zero else 0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("op", rows.Unary)
def test_unary(door, op, dtype):
    cpu, gpu = both(rows.unary, [numbers(dtype, 1)], op, 0.75, 1.5)
    agree(cpu, gpu, op.name not in PLATFORM[rows.unary], crosses_zero=op.name in ("LGAMMA", "DIGAMMA"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("op", rows.Binary)
def test_binary(door, op, dtype):
    cpu, gpu = both(rows.binary, [numbers(dtype, 1), numbers(dtype, 2)], op, 0.75, 1.5)
    agree(cpu, gpu, op.name not in PLATFORM[rows.binary])


@pytest.mark.parametrize("op", rows.Ternary)
def test_ternary(door, op):
    cpu, gpu = both(rows.ternary, [numbers("f4", 1), numbers("f4", 2), numbers("f4", 3)], op)
    agree(cpu, gpu, op.name not in PLATFORM[rows.ternary])


def integers(dtype, seed):
    rng, info = np.random.default_rng(seed), np.iinfo(dtype)
    values = [info.min, info.max, 0, 1, 2, 3, 5, 7, 8, 31, 40]
    return np.concatenate([rng.permutation(np.array(values, dtype)), rng.integers(0 if info.min == 0 else -9, 9, 30).astype(dtype)])


@pytest.mark.parametrize("dtype", ["i8", "i1", "u1"])
def test_integers(door, dtype):
    x, y = integers(dtype, 1), integers(dtype, 2)
    for op in rows.IntegerUnary:
        agree(*both(rows.integer_unary, [x], op), exact=True)
    for op in rows.IntegerBinary:
        agree(*both(rows.integer_binary, [x, y], op), exact=True)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "u1"])
def test_comparisons(door, dtype):
    x, y = (numbers(dtype, 1), numbers(dtype, 1)[::-1].copy()) if dtype[0] == "f" else (integers(dtype, 1), integers(dtype, 2))
    for op in rows.Question if dtype[0] == "f" else list(rows.Question)[:6]:
        agree(*both(lambda out, a, b, o: rows.compare(a, b, out, o), [x, y], op, dtype=bool), exact=True)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "u1"])
def test_choices_between_broadcast_and_permuted_operands(door, dtype):
    rng = np.random.default_rng(3)
    mask, x, y = rng.random((2, 3, 4)) > 0.5, rng.random((2, 4, 3)).astype(dtype), rng.random((3, 1)).astype(dtype)
    results = []
    for device in ("cpu", "emulated"):
        m, a, b = (backend.to_device(v, device) for v in (mask, x, y))
        out = backend.new(a, (4, 2, 3)).transpose(1, 2, 0)
        rows.select(out, m, a.transpose(0, 2, 1), np.broadcast_to(b, (2, 3, 4)))
        results.append(backend.to_numpy(out))
    agree(*results, exact=True)
    np.testing.assert_array_equal(results[0], np.where(mask, x.transpose(0, 2, 1), y))


SHAPES = {
    "rows": ((7, 300), (0, 1), 1),
    "columns": ((300, 40), (1, 0), 1),
    "all": ((5, 700), (0, 1), 0),
    "few": ((600, 3), (0, 1), 1),
    "one": ((9, 1), (0, 1), 1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_reductions(door, shape, dtype):
    size, order, kept = SHAPES[shape]
    x = (np.random.default_rng(5).standard_normal(size) * 3).astype(dtype)
    for op in reductions.Fold if dtype[0] == "f" else list(reductions.Fold)[:5]:
        found = []
        for device in ("cpu", "emulated"):
            a = backend.to_device(x, device).transpose(order)
            y = backend.new(a, a.shape[:kept])
            reductions.reduce(y, a, kept, op, 1.0)
            found.append(backend.to_numpy(y))
        if op.name in ("MAX", "MIN", "ABS_MAX", "ABS_MIN", "NONZERO") or dtype == "i8":
            agree(*found, exact=True)
        else:
            np.testing.assert_allclose(found[1], found[0], rtol=1e-6 if dtype == "f4" else 1e-13, atol=1e-12 * x.size)


@pytest.mark.parametrize("shape", SHAPES)
def test_where_extremes_are(door, shape):
    size, order, kept = SHAPES[shape]
    x = np.random.default_rng(6).integers(0, 6, size).astype("f4")
    x[3, -1] = np.nan
    for op in (0, 1):
        found = []
        for device in ("cpu", "emulated"):
            a = backend.to_device(x, device).transpose(order)
            index = backend.new(a, a.shape[:kept], np.int64)
            reductions.arg_reduce(a, index, kept, op)
            found.append(backend.to_numpy(index))
        agree(*found, exact=True)


@pytest.mark.parametrize("size", [3, 4, 5, 31, 1000])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_runs_go_16_bytes_at_once_where_they_can(door, monkeypatch, size, dtype):
    x, y = np.random.default_rng(0).standard_normal((2, size + 3)).astype(dtype)
    for guard in ("left", "right"):
        monkeypatch.setattr(door, "guard", guard)
        for first in (0, 1, 2):  # where the run begins: on a boundary or beside one
            a, b = (nx.Tensor(t, device="emulated")[first : first + size] for t in (x, y))
            p, q = x[first : first + size], y[first : first + size]
            for got, want in ((-a, -p), (a + b, p + q), (a * 2.0, p * p.dtype.type(2)), (a.clone(), p)):
                np.testing.assert_array_equal(got.numpy(), want)


ROWS = {
    "a number for each channel": lambda x, y: x * y[0, 0, :8],
    "a number for each row": lambda x, y: x + y[:, :, :1],
    "rows cut on a boundary": lambda x, y: x - y[:, :, 4:12],
    "rows cut elsewhere": lambda x, y: x - y[:, :, 3:11],
    "rows backwards": lambda x, y: x.flip(1) * y[:, :, :8],
    "side by side": lambda x, y: nx.cat([x, y, x[:, :, :4]], 2),
    "side by side, odd": lambda x, y: nx.cat([x[:, :, :3], y], 2),
    "chosen": lambda x, y: nx.where(x > y[:, :, :8], x, y[0, 0, 8:16]),
    "of another type": lambda x, y: y[:, :, 4:12].to(dtype="float64") + x.to(dtype="float64"),
}


@pytest.mark.parametrize("guard", ["left", "right"])
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_whole_packs_and_others(door, monkeypatch, guard, name):
    monkeypatch.setattr(door, "guard", guard)
    rng = np.random.default_rng(6)
    arrays = [rng.standard_normal(shape).astype("f4") for shape in ((3, 5, 8), (3, 5, 16))]
    cpu, gpu = (ROWS[name](*(nx.tensor(a).to(device) for a in arrays)).numpy() for device in ("cpu", "emulated"))
    np.testing.assert_array_equal(gpu, cpu)
