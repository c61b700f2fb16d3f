"""Products of bfloat16 pairs on a CPU: convolutions, linear maps and their gradients under autocast, beside double precision."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.nn import functional as F
from neurenix.ops import _conv
from neurenix.testing import assert_same_bits, random_array


def nearest(x):
    """The nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def conv(**options):
    return lambda x, w, b=None: F.conv2d(x, w, b, **options)


def transposed(**options):
    return lambda x, w, b=None: F.conv_transpose2d(x, w, b, **options)


# Outputs, gradients of the input and of the weight that are products of pairs; all of them where nothing is said.
ONLY = {
    "1x1, to one output": (),
    "3x3, one channel": (),
    "3x3, three channels": (),
    "3x3, by Winograd": (),
    "3x3, depthwise": (),
    "7x7, strided": (0, 2),
}
CASES = {
    "1x1": (conv(), (2, 70, 9, 11), (40, 70, 1, 1), 40),
    "1x1, many channels": (conv(), (1, 300, 5, 7), (130, 300, 1, 1), 130),
    "1x1, to one output": (conv(), (2, 24, 9, 11), (1, 24, 1, 1), 1),
    "1x1, strided": (conv(stride=2), (1, 33, 9, 9), (66, 33, 1, 1), 66),
    "2x2, strided": (conv(stride=2), (3, 16, 8, 8), (24, 16, 2, 2), 24),
    "3x3, one channel": (conv(padding=1), (2, 1, 17, 9), (32, 1, 3, 3), 32),
    "3x3, three channels": (conv(padding=1), (1, 3, 13, 50), (64, 3, 3, 3), 64),
    "3x3, strided": (conv(padding=1, stride=2), (1, 20, 15, 14), (36, 20, 3, 3), 36),
    "3x3, dilated": (conv(padding=6, dilation=6), (1, 24, 13, 13), (40, 24, 3, 3), 40),
    "3x3, by Winograd": (conv(padding=1), (2, 20, 9, 10), (24, 20, 3, 3), 24),
    "3x3, in groups": (conv(padding=1, groups=3), (2, 30, 9, 7), (60, 10, 3, 3), 60),
    "3x3, depthwise": (conv(padding=1, groups=12), (2, 12, 9, 7), (12, 1, 3, 3), 12),
    "7x7, strided": (conv(padding=3, stride=2), (1, 3, 31, 30), (64, 3, 7, 7), 64),
    "3x2, uneven": (conv(padding=(2, 0), stride=(2, 1), dilation=(1, 2)), (2, 11, 9, 8), (17, 11, 3, 2), 17),
    "transposed 2x2": (transposed(stride=2), (2, 36, 6, 5), (36, 20, 2, 2), 20),
    "transposed 3x3": (transposed(stride=2, padding=1, output_padding=1), (1, 18, 7, 6), (18, 10, 3, 3), 10),
    "transposed in groups": (transposed(stride=2, groups=2), (1, 20, 4, 6), (20, 12, 3, 3), 24),
    "linear": (F.linear, (5, 7, 150), (90, 150), 90),
    "linear, one row": (F.linear, (150,), (90, 150), 90),
}


def arrays(name, dtype=np.float32):
    _, x, w, k = CASES[name]
    return [random_array(*shape, seed=i, dtype=np.float32).astype(dtype) for i, shape in enumerate((x, w, (k,)))]


def run(name, given, autocast=True):
    """The result, and gradients for a random one of it."""
    tensors = [nx.tensor(a, requires_grad=True) for a in given]
    with nx.autocast("cpu", dtype=nx.bfloat16, enabled=autocast):
        y = CASES[name][0](*tensors)
    y.backward(nx.tensor(cotangent(y.shape, y.dtype)))
    return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]


def cotangent(shape, dtype):
    """Random numbers; in double precision those that are rounded to bfloat16."""
    g = random_array(*shape, seed=7, dtype=np.float32)
    return nearest(g).astype(np.float64) if dtype == np.float64 else g


@pytest.mark.parametrize("name", CASES)
def test_sums_are_exact_but_for_float32(name):
    """Within the step of a bfloat16 and the rounding of float32 sums of what double precision gives for the rounded numbers; others as ever."""
    given = arrays(name)
    found, plain = run(name, given), run(name, given, False)
    exact = run(name, [nearest(a).astype(np.float64) for a in given[:2]] + [given[2].astype(np.float64)])  # biases are added as they are
    pairs = ONLY.get(name, (0, 1, 2))
    for i, (got, want) in enumerate(zip(found, exact, strict=True)):
        if i not in pairs:
            assert_same_bits(got, plain[i])
            continue
        assert_same_bits(got, nearest(got))
        error = np.abs(got - want)
        assert (error <= 2.0**-8 * np.abs(want) + 2e-6 * np.abs(want).max()).all(), error.max()


@pytest.mark.parametrize("name", CASES)
def test_bits_do_not_depend_on_threads_or_level(name, each_thread_count):
    given, before = arrays(name), _rust.level()
    want = run(name, given)
    try:
        for level in _rust.levels():
            _rust.set_level(level)
            for got in each_thread_count(lambda: run(name, given)):
                for a, b in zip(got, want, strict=True):
                    assert_same_bits(a, b)
    finally:
        _rust.set_level(before)


@pytest.mark.parametrize("name", ["1x1", "3x3, strided", "7x7, strided", "transposed 2x2", "linear"])
def test_bits_do_not_depend_on_the_batch(name):
    x, *rest = (nx.tensor(a) for a in arrays(name))
    x = nx.cat([x, x * 0.5, x + 1.0])
    with nx.autocast("cpu"), nx.no_grad():
        whole = CASES[name][0](x, *rest).numpy()
        for i in range(len(x)):
            assert_same_bits(CASES[name][0](x[i : i + 1], *rest).numpy(), whole[i : i + 1])


@pytest.mark.parametrize("name", ["3x3, strided", "transposed 2x2"])
def test_values_at_the_ends_of_the_range_give_the_same_bits(name, each_thread_count):
    """Infinities, NaN, denormal numbers, sums that overflow or vanish: on every level."""
    given = arrays(name)
    flat = given[0].reshape(-1)
    flat[::7] *= np.float32(1e-38)
    flat[::11] *= np.float32(1e30)
    flat[5:60:19] = [np.inf, np.nan, 1e-41]
    given[1].reshape(-1)[::5] *= np.float32(1e-3)
    given[1].reshape(-1)[::13] *= np.float32(1e9)
    want, before = run(name, given), _rust.level()
    assert np.isnan(want[0]).any()
    assert np.isfinite(want[0]).any()
    try:
        for level in _rust.levels():
            _rust.set_level(level)
            for a, b in zip(run(name, given), want, strict=True):
                assert_same_bits(np.where(np.isnan(a), 0, a), np.where(np.isnan(b), 0, b))
                np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    finally:
        _rust.set_level(before)


def test_denormal_numbers_count_as_zero():
    x, w = np.full((1, 40), 1e-40, np.float32), np.full((16, 40), 1e38, np.float32)
    with nx.autocast("cpu"):
        assert (F.linear(x, w).numpy() == 0).all()
    assert (F.linear(x, w).numpy() > 0).all()


def test_pairs_are_what_runs(monkeypatch):
    """Forward and both gradients of the direct convolutions, and of nothing else."""
    calls = []
    for kernel in ("convolve_pairs", "conv_weight_gradient_pairs"):
        plain = getattr(_conv, kernel)
        monkeypatch.setattr(_conv, kernel, lambda *args, plain=plain, kernel=kernel: (calls.append(kernel), plain(*args)))
    for name in CASES:
        calls.clear()
        run(name, arrays(name))
        assert len(calls) == len(ONLY.get(name, (0, 1, 2))), name
    calls.clear()
    with nx.set_float32_precision("ieee"):
        run("1x1", arrays("1x1"))
    assert not calls


@pytest.mark.parametrize("shapes", [((40, 50), (50, 33)), ((2, 3, 40, 50), (50, 33)), ((3, 50), (50, 4)), ((2, 9, 50), (2, 50, 30))])
def test_matrix_products(shapes, level):
    """One matrix for all rows; where it has few columns, and where every product has its own, float32 stays."""
    given = [random_array(*shape, seed=i, dtype=np.float32) for i, shape in enumerate(shapes)]

    def found(arrays, autocast):
        x, y = (nx.tensor(a, requires_grad=True) for a in arrays)
        with nx.autocast("cpu", enabled=autocast):
            z = nx.matmul(x, y)
        z.backward(nx.tensor(cotangent(z.shape, z.dtype)))
        return [z.detach().numpy(), x.grad.numpy(), y.grad.numpy()]

    plain, exact = found(given, False), found([nearest(a).astype(np.float64) for a in given], False)
    pairs = () if len(shapes[1]) == 3 or shapes[1][1] == 4 else (0, 1, 2)
    for i, (got, want) in enumerate(zip(found(given, True), exact, strict=True)):
        if i not in pairs:
            assert_same_bits(got, plain[i])
        else:
            assert_same_bits(got, nearest(got))
            assert (np.abs(got - want) <= 2.0**-8 * np.abs(want) + 2e-6 * np.abs(want).max()).all()


def test_kept_weights_follow_their_values():
    layer, x = nx.nn.Conv2d(40, 24, 1, bias=False), nx.ones(1, 40, 1, 1)
    with nx.autocast("cpu"), nx.no_grad():
        for value in (1.0, 2.0):
            layer.weight.data[...] = value
            assert layer(x).numpy().ravel().tolist() == [40 * value] * 24


@pytest.mark.parametrize("grad", [False, True])
def test_blocks_have_the_bits_of_their_operations(grad):
    """A run of units stays one pass where nothing in it is rounded, and falls apart where something is."""
    nx.manual_seed(0)
    block = [nx.nn.Conv2d(3, 20, 3, padding=1, bias=False), nx.nn.BatchNorm2d(20), nx.nn.ReLU()]
    block += [nx.nn.Conv2d(20, 24, 3, padding=1, bias=False), nx.nn.BatchNorm2d(24), nx.nn.ReLU()]
    block += [nx.nn.Conv2d(24, 36, 3, stride=2, bias=False), nx.nn.BatchNorm2d(36), nx.nn.ReLU(), nx.nn.Conv2d(36, 2, 1)]
    model, x = nx.nn.Sequential(*block).train(grad), nx.rand(2, 3, 14, 15)

    def found(run):
        for p in model.parameters():
            p.grad = None
        for layer in block:
            if isinstance(layer, nx.nn.BatchNorm2d):
                layer.reset_running_stats()
        with nx.autocast("cpu"), nx.set_grad_enabled(grad):
            y = run(x)
        if grad:
            y.square().mean().backward()
        return [y.detach().numpy(), *(p.grad.numpy() for p in model.parameters() if grad)]

    def one_by_one(x):
        for layer in block:
            x = layer(x)
        return x

    for a, b in zip(found(model), found(one_by_one), strict=True):
        assert_same_bits(a, b)
    with nx.set_grad_enabled(grad):
        assert np.abs(model(x).detach().numpy() - found(model)[0]).max() > 0
