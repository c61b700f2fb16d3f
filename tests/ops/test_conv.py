"""Convolutions: values against a plain loop, gradients, bits, kept layouts, errors; Winograd's are in test_conv_winograd.py."""

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.ops import _conv, _derived
from neurenix.ops.elementwise import RELU
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, check_used_twice, gradients, random_array


class Case:
    """Shapes and arguments of one convolution."""

    def __init__(self, x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
        self.x, self.weight, self.options = x, weight, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def __repr__(self):
        return f"{self.x}-{self.weight}-{'-'.join(map(str, self.options.values()))}".replace(" ", "")

    def arrays(self, dtype=np.float64):
        return random_array(*self.x, seed=1, dtype=dtype), random_array(*self.weight, seed=2, dtype=dtype)

    def bias(self, dtype=np.float64):
        return random_array(self.weight[0], seed=3, dtype=dtype)


CASES = [
    Case((2, 5, 9, 7), (7, 5, 3, 3), padding=(1, 1)),
    Case((1, 3, 33, 65), (64, 3, 3, 3), padding=(1, 1)),
    Case((1, 130, 6, 7), (70, 130, 3, 3), padding=(1, 1)),
    Case((2, 8, 11, 13), (12, 2, 3, 2), stride=(2, 3), padding=(1, 2), dilation=(2, 1), groups=4),
    Case((2, 64, 5, 8), (128, 64, 1, 1)),
    Case((1, 66, 9, 9), (33, 66, 1, 1), stride=(2, 2)),
    Case((1, 4, 15, 12), (4, 4, 7, 7), stride=(2, 2), padding=(3, 3)),
    Case((1, 17, 1, 300), (5, 17, 1, 5), stride=(1, 2), padding=(0, 2)),
    Case((2, 37, 9, 17), (37, 1, 3, 3), padding=(1, 1), groups=37),
    Case((1, 20, 9, 17), (20, 1, 5, 3), stride=(2, 3), padding=(1, 1), dilation=(1, 2), groups=20),
    Case((1, 4, 9, 8), (8, 1, 3, 3), padding=(1, 0), groups=4),
    Case((1, 2, 3, 2), (3, 2, 3, 3), padding=(2, 2), dilation=(1, 2)),
    Case((1, 1, 1, 1), (1, 1, 1, 1)),
    Case((3, 4, 4, 4), (6, 4, 2, 2), stride=(2, 2)),
    Case((2, 70, 9, 11), (1, 70, 1, 1)),  # few outputs: vectors along channels
    Case((1, 37, 8, 21), (3, 37, 3, 3), padding=(1, 1)),
    Case((1, 64, 7, 9), (8, 64, 3, 2), stride=(2, 1), padding=(1, 1)),
    Case((1, 24, 13, 13), (40, 24, 3, 3), padding=(6, 6), dilation=(6, 6)),  # taps that meet zeros only
    Case((1, 18, 9, 30), (18, 1, 7, 7), padding=(3, 3), groups=18),  # depthwise: eight, four and single pixels
    Case((1, 17, 12, 23), (17, 1, 3, 3), padding=(1, 1), groups=17),
    Case((1, 18, 9, 35), (18, 1, 5, 5), stride=(2, 2), padding=(2, 2), groups=18),
    Case((2, 24, 9, 21), (24, 4, 3, 3), padding=(1, 1), groups=6),  # small groups: vectors across them
    Case((1, 40, 13, 12), (40, 8, 3, 3), stride=(2, 2), padding=(1, 1), groups=5),
    Case((1, 10, 9, 17), (10, 2, 5, 3), stride=(1, 2), padding=(2, 1), dilation=(1, 2), groups=5),
    Case((1, 16, 9, 9), (16, 8, 7, 7), padding=(3, 3), groups=2),
    Case((1, 66, 8, 9), (20, 66, 5, 5), padding=(2, 2)),  # sums of several passes over the pixels
    Case((1, 64, 5, 14), (17, 64, 2, 11), padding=(1, 5)),
    Case((1, 40, 25, 7), (16, 40, 3, 3), padding=(8, 8), dilation=(8, 8)),
]
SMALL = [c for c in CASES if np.prod(c.x) * np.prod(c.weight) < 2e6]


def by_hand(x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    (n, _, h, width), (k, c, kh, kw) = x.shape, w.shape
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    oh = (h + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, k, oh, ow))
    for g in range(groups):
        out = slice(g * k // groups, (g + 1) * k // groups)
        for a in range(kh):
            for b in range(kw):
                rows = slice(a * dilation[0], a * dilation[0] + (oh - 1) * stride[0] + 1, stride[0])
                columns = slice(b * dilation[1], b * dilation[1] + (ow - 1) * stride[1] + 1, stride[1])
                y[:, out] += np.einsum("nchw,kc->nkhw", x[:, g * c : (g + 1) * c, rows, columns], w[out, :, a, b])
    return y


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_values(case):
    x, w = case.arrays()
    want = by_hand(x, w, **case.options)
    y = F.conv2d(x, w, case.bias(), **case.options)
    np.testing.assert_allclose(y.numpy(), want + case.bias()[:, None, None], rtol=1e-11, atol=1e-11)
    assert y._array.transpose(0, 2, 3, 1).flags.c_contiguous
    with nx.set_float32_precision("ieee"):
        single = F.conv2d(x.astype(np.float32), w.astype(np.float32), **case.options)
    assert single.dtype == np.float32
    assert np.linalg.norm(single.numpy() - want) <= 5e-7 * np.linalg.norm(want)


@pytest.mark.parametrize("case", SMALL, ids=repr)
def test_gradients(case):
    x, w = case.arrays()
    check_gradient(lambda x, w, b: F.conv2d(x, w, b, **case.options), x, w, case.bias(), tolerance=1e-6)
    check_used_twice(lambda x, w: F.conv2d(x, w, **case.options), x, w)
    check_adjoint(lambda x: F.conv2d(x, w, **case.options), x)
    check_adjoint(lambda w: F.conv2d(x, w, **case.options), w)


@pytest.mark.parametrize("case", SMALL, ids=repr)
def test_transposed_is_the_transpose(case):
    x, w = case.arrays()
    shape = by_hand(x, w, **case.options).shape
    y = random_array(*shape, seed=5)
    (want,) = gradients(lambda x: F.conv2d(x, w, **case.options), [x], [y])
    size = F.conv_transpose2d(y, w, **case.options).shape
    extra = tuple(want.shape[i] - size[i] for i in (2, 3))
    transpose = lambda y, w, b: F.conv_transpose2d(y, w, b, output_padding=extra, **case.options)  # noqa: E731
    bias = random_array(case.weight[1] * case.options["groups"], seed=4)
    np.testing.assert_allclose(transpose(y, w, bias).numpy(), want + bias[:, None, None], rtol=1e-11, atol=1e-11)
    check_gradient(transpose, y, w, bias)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_bits_do_not_depend_on_threads_or_level(case, each_thread_count):
    from neurenix import _rust

    x, w = case.arrays(np.float32)
    cotangent = random_array(*by_hand(x, w, **case.options).shape, dtype=np.float32)

    def run():
        y = F.conv2d(x, w, case.bias(np.float32), **case.options)
        return [y.numpy(), *gradients(lambda x, w: F.conv2d(x, w, **case.options), [x, w], [cotangent])]

    want, before = run(), _rust.level()
    try:
        for level in _rust.levels():
            _rust.set_level(level)
            for got in each_thread_count(run):
                for a, b in zip(got, want, strict=True):
                    assert_same_bits(a, b)
    finally:
        _rust.set_level(before)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [2, 4, 8])
def test_small_groups_have_the_bits_of_each_alone(channels, stride):
    x, w = (
        random_array(*shape, seed=seed, dtype=np.float32)
        for seed, shape in enumerate([(1, 3 * channels, 9, 20), (3 * channels, channels, 3, 3)])
    )
    parts = [slice(i * channels, (i + 1) * channels) for i in range(3)]
    for function in (F.conv2d, F.conv_transpose2d):
        with nx.set_float32_precision("ieee"):
            together = function(nx.tensor(x), nx.tensor(w), stride=stride, padding=1, groups=3).numpy()
            alone = [function(nx.tensor(x[:, part]), nx.tensor(w[part]), stride=stride, padding=1).numpy() for part in parts]
        assert_same_bits(together, np.concatenate(alone, axis=1))


def test_bits_do_not_depend_on_the_batch():
    x, w = random_array(5, 24, 13, 11, dtype=np.float32), random_array(40, 24, 3, 3, dtype=np.float32)
    whole = F.conv2d(x, w, padding=1).numpy()
    for i in range(5):
        assert_same_bits(F.conv2d(x[i], w, padding=1).numpy(), whole[i])
    rows, m = random_array(301, 130, dtype=np.float32), random_array(77, 130, dtype=np.float32)
    whole = F.linear(rows, m).numpy()
    for part in (1, 2, 7, 240):
        assert_same_bits(F.linear(rows[:part], m).numpy(), whole[:part])
    assert_same_bits(F.conv2d(rows.reshape(7, 43, 130).transpose(2, 0, 1), m[:, :, None, None]).numpy().reshape(77, -1).T, whole)


@pytest.mark.parametrize(("function", "kernel"), [(F.conv_transpose2d, 2), (F.conv2d, 1)])
def test_outputs_that_are_written_past_the_caches_have_the_same_bits(function, kernel):
    x, w = random_array(2, 32, 256 // kernel, 192 // kernel, dtype=np.float32), random_array(32, 32, kernel, kernel, dtype=np.float32)
    options = {"stride": kernel, "bias": random_array(32, dtype=np.float32)}
    whole = function(x, w, **options).numpy()
    assert whole.nbytes > 8 << 20 >= whole[0].nbytes
    for image, want in zip(x, whole, strict=True):
        assert_same_bits(function(image, w, **options).numpy(), want)


@pytest.mark.parametrize("kernel", [2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_depthwise_rows_of_any_length(kernel, stride):
    """Where tiles of a row overlap, begin or end outside, or are longer than it."""
    for width in (1, 3, 4, 5, 8, 9, 12, 13, 17, 20):
        x, w = random_array(1, 18, 3, width, seed=width, dtype=np.float32), random_array(18, 1, kernel, kernel, seed=1, dtype=np.float32)
        options = {"stride": (stride, stride), "padding": (kernel - 1, kernel - 1), "dilation": (1, 1), "groups": 18}
        want = by_hand(x.astype(np.float64), w.astype(np.float64), **options)
        np.testing.assert_allclose(F.conv2d(x, w, **options).numpy(), want, rtol=1e-5, atol=1e-5)


def test_memory_order_of_the_input_changes_no_bit():
    x, w = random_array(2, 6, 9, 8, dtype=np.float32), random_array(5, 6, 3, 3, dtype=np.float32)
    want = F.conv2d(x, w).numpy()
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    wide = np.zeros((2, 6, 18, 16), np.float32)[:, :, ::2, ::-2]
    wide[...] = x
    for array in (last, wide, np.asfortranarray(x)):
        assert_same_bits(F.conv2d(array, w).numpy(), want)
    assert_same_bits(F.conv2d(x, np.asfortranarray(w)).numpy(), want)


def test_one_axis_is_two_with_one_row():
    x, w, b = random_array(2, 6, 20), random_array(4, 3, 5), random_array(4)
    options = {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}
    got = F.conv1d(x, w, b, **options)
    want = F.conv2d(x[:, :, None], w[:, :, None], b, stride=(1, 2), padding=(0, 3), dilation=(1, 2), groups=2)
    assert_same_bits(got.numpy(), want.numpy()[:, :, 0])
    assert_same_bits(F.conv1d(x[0], w, b, **options).numpy(), got.numpy()[0])
    check_gradient(lambda *a: F.conv1d(*a, **options), x, w, b)
    v = random_array(6, 2, 4)
    got = F.conv_transpose1d(x, v, stride=3, padding=1, output_padding=2)
    want = F.conv_transpose2d(x[:, :, None], v[:, :, None], stride=(1, 3), padding=(0, 1), output_padding=(0, 2))
    assert_same_bits(got.numpy(), want.numpy()[:, :, 0])
    check_gradient(lambda *a: F.conv_transpose1d(*a, stride=3, padding=1, output_padding=2), x[0], v)


@pytest.mark.parametrize(("kernel", "dilation"), [((3, 3), 1), ((2, 4), 1), ((2, 3), 3)])
def test_padding_by_name(kernel, dilation):
    x, w = random_array(1, 2, 9, 10), random_array(3, 2, *kernel)
    total = [dilation * (k - 1) for k in kernel]
    around = [(t // 2, t - t // 2) for t in total]
    padded = np.pad(x, ((0, 0), (0, 0), *around))
    same = F.conv2d(x, w, padding="same", dilation=dilation)
    assert_same_bits(same.numpy(), F.conv2d(padded, w, dilation=dilation).numpy())
    assert same.shape == (1, 3, 9, 10)
    assert_same_bits(F.conv2d(x, w, padding="valid").numpy(), F.conv2d(x, w).numpy())
    check_gradient(lambda x, w: F.conv2d(x, w, padding="same", dilation=dilation), x, w)


def test_linear():
    x, w, b = random_array(2, 3, 5), random_array(4, 5), random_array(4)
    np.testing.assert_allclose(F.linear(x, w, b).numpy(), x @ w.T + b, rtol=1e-12)
    check_gradient(F.linear, x, w, b)
    check_used_twice(F.linear, x, w, b)
    np.testing.assert_allclose(F.linear(x, w[0]).numpy(), x @ w[0], rtol=1e-12)
    check_gradient(F.linear, x, w[0])
    assert F.linear(x[0, 0], w).shape == (4,)
    assert F.linear(np.zeros((0, 5)), w).shape == (0, 4)
    np.testing.assert_array_equal(F.linear(np.zeros((2, 0)), np.zeros((4, 0)), b).numpy(), [b, b])


def test_empty_batch():
    w = random_array(3, 2, 3, 3)
    gx, gw, gb = gradients(lambda x, w, b: F.conv2d(x, w, b, padding=1), [np.zeros((0, 2, 5, 5)), w, np.ones(3)])
    assert gx.shape == (0, 2, 5, 5)
    assert not gw.any()
    assert not gb.any()


def test_frozen_inputs_get_no_gradient():
    x, w, b = nx.Tensor(random_array(1, 2, 5, 5)), nx.Tensor(random_array(3, 2, 3, 3)), nx.Tensor(np.zeros(3), requires_grad=True)
    F.conv2d(x, w, b).backward(nx.Tensor(np.ones((1, 3, 3, 3))))
    assert x.grad is None
    assert w.grad is None
    np.testing.assert_array_equal(b.grad.numpy(), [9.0] * 3)


def test_epilogue_is_bias_affine_relu():
    x, w = random_array(1, 5, 6, 70), nx.Tensor(random_array(70, 70, 1, 1))
    bias, scale, shift = (random_array(70, seed=i) for i in (1, 2, 3))
    window = _conv.Window((1, 1), (1, 1), (0, 0), (1, 1), 1)
    plain = _conv.run(x, w, window, (5, 6), False)
    end = _conv.run(x, w, window, (5, 6), False, _conv.Epilogue(bias, scale, shift, RELU))
    np.testing.assert_allclose(end, np.maximum((plain + bias) * scale + shift, 0), rtol=1e-13, atol=1e-13)


def test_layouts_are_kept_and_never_stale():
    x, w = random_array(1, 3, 5, 5, dtype=np.float32), nx.Tensor(shape=(4, 3, 3, 3))
    w.assign_(random_array(4, 3, 3, 3, dtype=np.float32))
    y = F.conv2d(x, w)
    kept = w._derived
    F.conv2d(x, w)
    assert w._derived is kept
    w.assign_(2 * w.numpy())
    np.testing.assert_array_equal(F.conv2d(x, w).numpy(), 2 * y.numpy())
    w.data[...] *= 2
    np.testing.assert_array_equal(F.conv2d(x, w).numpy(), 4 * y.numpy())
    kept = w._derived
    F.conv2d(x, w)
    assert w._derived is kept
    w.data[0, 0, 0, 0] += 1
    assert (F.conv2d(x, w).numpy() != 4 * y.numpy()).any()
    w.requires_grad_()
    F.conv2d(x, w)
    F.conv2d(x, w.assign_(w.numpy()))
    assert w._derived is None


def test_an_array_that_the_user_kept_may_change():
    x, w = random_array(1, 3, 5, 5), random_array(4, 3, 3, 3)
    t = nx.Tensor(w)
    y = F.conv2d(x, t).numpy()
    w *= 2
    np.testing.assert_array_equal(F.conv2d(x, t).numpy(), 2 * y)
    t.detach().data[...] *= 2
    np.testing.assert_array_equal(F.conv2d(x, t).numpy(), 4 * y)


def test_checksum_does_not_depend_on_threads(each_thread_count):
    x = random_array(70_001, dtype=np.float32)
    assert len(set(each_thread_count(lambda: _derived._sum_of(x)))) == 1


X, W = np.zeros((1, 3, 8, 8), np.float32), np.zeros((4, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: F.conv2d(np.zeros((1, 4, 8, 8), np.float32), W),
            ShapeError,
            r"conv2d: expected x with 3 channels \(weight is \(4, 3, 3, 3\)\), got \(1, 4, 8, 8\); pass in_channels=4 or select 3 channels",
        ),
        (lambda: F.conv2d(np.zeros((3, 8), np.float32), W), ShapeError, r"conv2d: expected x \(N, C, H, W\) or \(C, H, W\)"),
        (lambda: F.conv2d(X, W[0]), ShapeError, "conv2d: expected a weight with 4 axes"),
        (lambda: F.conv2d(X, W, np.zeros(3, np.float32)), ShapeError, r"conv2d: expected bias of shape \(4,\)"),
        (lambda: F.conv2d(X.astype(np.float64), W), DTypeError, "conv2d: expected weight of float64"),
        (lambda: F.conv2d(X.astype(np.int64), W), DTypeError, "conv2d: expected float32 or float64, got int64"),
        (lambda: F.conv2d(X, W, stride=0), ArgumentError, "conv2d: expected stride of at least 1, got 0"),
        (lambda: F.conv2d(X, W, padding=-1), ArgumentError, "conv2d: expected padding of at least 0"),
        (lambda: F.conv2d(X, W, padding="full"), ArgumentError, 'expected padding as numbers, "valid" or "same"'),
        (lambda: F.conv2d(X, W, padding="same", stride=2), ArgumentError, "expected stride 1 with padding"),
        (lambda: F.conv2d(X, W, groups=3), ArgumentError, "expected groups that divide the 4 channels"),
        (lambda: F.conv2d(X, W, dilation=4), ShapeError, "conv2d: expected an input of at least 9"),
        (lambda: F.conv_transpose2d(X, W), ShapeError, "conv_transpose2d: expected x with 4 channels"),
        (lambda: F.conv_transpose2d(X[:, :1], W[:1], output_padding=1), ArgumentError, "expected output_padding below stride or dilation"),
        (lambda: F.conv_transpose2d(X[:, :1, :1, :1], W[:1], padding=2), ShapeError, "expected an output of at least 1 pixel"),
        (lambda: F.linear(X, W[0, 0]), ShapeError, r"linear: expected last axis 3 \(weight is \(3, 3\)\), got \(1, 3, 8, 8\)"),
        (lambda: F.linear(X[..., :3], W[0, 0], np.zeros(4, np.float32)), ShapeError, r"linear: expected bias of shape \(3,\)"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_arguments_are_refused_that_equal_known_ones():
    F.conv2d(X, W, stride=1, padding=(1, 1))
    for arguments in ({"stride": True, "padding": (1, 1)}, {"stride": 1.0, "padding": (1, 1)}, {"stride": 1, "padding": (1.0, 1)}):
        with pytest.raises(ArgumentError, match="as an integer"):
            F.conv2d(X, W, **arguments)
