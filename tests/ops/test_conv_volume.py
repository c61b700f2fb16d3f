"""Convolutions of volumes: values against a plain loop, the transpose, gradients, bits, slabs, errors."""

import itertools

import numpy as np
import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.ops import conv_volume
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, check_used_twice, gradients, random_array


class Case:
    """Shapes and arguments of one convolution."""

    def __init__(self, x, weight, stride=(1, 1, 1), padding=(0, 0, 0), dilation=(1, 1, 1), groups=1):
        self.x, self.weight, self.options = x, weight, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}

    def __repr__(self):
        return f"{self.x}-{self.weight}-{'-'.join(map(str, self.options.values()))}".replace(" ", "")

    def arrays(self, dtype=np.float64):
        return random_array(*self.x, seed=1, dtype=dtype), random_array(*self.weight, seed=2, dtype=dtype)

    def bias(self, dtype=np.float64):
        return random_array(self.weight[0], seed=3, dtype=dtype)


CASES = [
    Case((2, 3, 5, 6, 7), (4, 3, 3, 3, 3), padding=(1, 1, 1)),
    Case((1, 1, 9, 8, 7), (5, 1, 3, 3, 3), padding=(1, 1, 1)),
    Case((2, 4, 7, 9, 8), (6, 2, 3, 2, 1), stride=(2, 3, 1), padding=(1, 2, 0), dilation=(2, 1, 3), groups=2),
    Case((1, 3, 8, 8, 8), (2, 3, 2, 2, 2), stride=(2, 2, 2)),
    Case((2, 5, 4, 6, 6), (5, 1, 3, 3, 3), padding=(1, 1, 1), groups=5),
    Case((1, 4, 9, 6, 5), (8, 1, 2, 3, 3), stride=(3, 1, 2), padding=(0, 1, 1), groups=4),
    Case((2, 3, 5, 6, 7), (4, 3, 1, 3, 3), padding=(0, 1, 1)),
    Case((2, 3, 5, 6, 7), (4, 3, 3, 1, 1), padding=(1, 0, 0)),
    Case((1, 3, 6, 4, 4), (4, 3, 1, 1, 1), stride=(2, 1, 1)),
    Case((1, 2, 2, 3, 2), (3, 2, 3, 3, 3), padding=(3, 2, 2), dilation=(2, 1, 2)),
    Case((1, 2, 9, 4, 4), (3, 2, 2, 2, 2), stride=(4, 1, 1), padding=(0, 1, 1)),  # some planes are met by no window
    Case((1, 1, 1, 1, 1), (1, 1, 1, 1, 1)),
]


def by_hand(x, w, stride=(1, 1, 1), padding=(0, 0, 0), dilation=(1, 1, 1), groups=1):
    k, c, *kernel = w.shape
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    size = [(n - d * (a - 1) - 1) // s + 1 for n, d, a, s in zip(x.shape[2:], dilation, kernel, stride, strict=True)]
    y = np.zeros((x.shape[0], k, *size))
    for g in range(groups):
        out = slice(g * k // groups, (g + 1) * k // groups)
        for at in itertools.product(*map(range, kernel)):
            places = tuple(slice(a * d, a * d + (n - 1) * s + 1, s) for a, d, n, s in zip(at, dilation, size, stride, strict=True))
            met = x[(slice(None), slice(g * c, (g + 1) * c), *places)]
            y[:, out] += np.einsum("ncdhw,kc->nkdhw", met, w[(out, slice(None), *at)])
    return y


@pytest.fixture(params=["whole", "slabs"])
def slabs(request, monkeypatch):
    """Volumes folded at once, and plane by plane."""
    if request.param == "slabs":
        monkeypatch.setattr(conv_volume, "SLAB", 1)


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.usefixtures("slabs")
def test_values(case):
    x, w = case.arrays()
    want = by_hand(x, w, **case.options)
    y = F.conv3d(x, w, case.bias(), **case.options)
    np.testing.assert_allclose(y.numpy(), want + case.bias()[:, None, None, None], rtol=1e-11, atol=1e-11)
    assert y._array.transpose(0, 2, 3, 4, 1).flags.c_contiguous
    single = F.conv3d(x.astype(np.float32), w.astype(np.float32), **case.options)
    assert single.dtype == np.float32
    assert np.linalg.norm(single.numpy() - want) <= 5e-7 * np.linalg.norm(want)


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.usefixtures("slabs")
def test_gradients(case):
    x, w = case.arrays()
    check_gradient(lambda x, w, b: F.conv3d(x, w, b, **case.options), x, w, case.bias(), tolerance=1e-6)
    check_used_twice(lambda x, w: F.conv3d(x, w, **case.options), x, w)
    check_adjoint(lambda x: F.conv3d(x, w, **case.options), x)
    check_adjoint(lambda w: F.conv3d(x, w, **case.options), w)


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.usefixtures("slabs")
def test_transposed_is_the_transpose(case):
    x, w = case.arrays()
    y = random_array(*by_hand(x, w, **case.options).shape, seed=5)
    (want,) = gradients(lambda x: F.conv3d(x, w, **case.options), [x], [y])
    size = F.conv_transpose3d(y, w, **case.options).shape
    extra = tuple(want.shape[i] - size[i] for i in (2, 3, 4))
    transpose = lambda y, w, b: F.conv_transpose3d(y, w, b, output_padding=extra, **case.options)  # noqa: E731
    bias = random_array(case.weight[1] * case.options["groups"], seed=4)
    np.testing.assert_allclose(transpose(y, w, bias).numpy(), want + bias[:, None, None, None], rtol=1e-11, atol=1e-11)
    check_gradient(transpose, y, w, bias)
    check_adjoint(lambda w: F.conv_transpose3d(y, w, output_padding=extra, **case.options), w)


@pytest.mark.usefixtures("slabs")
def test_planes_that_meet_themselves_only_and_planes_added_behind():
    x, w = random_array(2, 3, 4, 5, 6), random_array(3, 2, 1, 2, 2)
    y = F.conv_transpose3d(x, w, bias=[1.0, 2.0], output_padding=(1, 0, 0), dilation=(2, 1, 1))
    np.testing.assert_array_equal(y.numpy()[:, :, 4], np.broadcast_to(np.array([1.0, 2.0])[:, None, None], (2, 2, 6, 7)))
    np.testing.assert_allclose(y.numpy()[:, :, :4], F.conv_transpose3d(x, w, bias=[1.0, 2.0]).numpy(), rtol=1e-12)
    check_gradient(lambda x, w: F.conv_transpose3d(x, w, output_padding=(1, 0, 0), dilation=(2, 1, 1)), x, w)


def test_one_plane_is_a_map():
    x, w, b = random_array(2, 6, 9, 8), random_array(4, 3, 3, 3), random_array(4)
    options = {"stride": (1, 2), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    volume = {name: (value if name == "groups" else (name != "padding", *value)) for name, value in options.items()}
    volume = {name: value if name == "groups" else tuple(map(int, value)) for name, value in volume.items()}
    got = F.conv3d(x[:, :, None], w[:, :, None], b, **volume)
    assert_same_bits(got.numpy()[:, :, 0], F.conv2d(x, w, b, **options).numpy())
    v = random_array(6, 2, 3, 3)
    got = F.conv_transpose3d(x[:, :, None], v[:, :, None], b, **volume)
    assert_same_bits(got.numpy()[:, :, 0], F.conv_transpose2d(x, v, b, **options).numpy())


def test_exact_numbers():
    x = np.arange(8.0).reshape(1, 1, 2, 2, 2)
    w = np.array([1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7]).reshape(1, 1, 2, 2, 2)
    assert F.conv3d(x, w).item() == 76543210.0
    y = F.conv_transpose3d(np.full((1, 1, 1, 1, 1), 3.0), w, bias=[1.0], stride=2).numpy()
    np.testing.assert_array_equal(y, 3 * w + 1)
    ones = np.ones((1, 1, 3, 3, 3))
    counts = F.conv3d(ones, ones, padding=1).numpy()[0, 0]  # how many voxels lie around each
    np.testing.assert_array_equal(counts, np.multiply.outer(np.multiply.outer([2, 3, 2], [2, 3, 2]), [2, 3, 2]))
    np.testing.assert_array_equal(F.conv_transpose3d(ones, ones, padding=1).numpy()[0, 0], counts)
    same = F.conv3d(np.arange(4.0).reshape(1, 4, 1, 1), np.ones((1, 1, 2, 1, 1)), padding="same")
    assert same.tolist() == [[[[1.0]], [[3.0]], [[5.0]], [[3.0]]]]


@pytest.mark.parametrize("case", CASES[:6], ids=repr)
@pytest.mark.usefixtures("slabs")
def test_bits_do_not_depend_on_threads(case, each_thread_count):
    x, w = case.arrays(np.float32)
    cotangent = random_array(*by_hand(x, w, **case.options).shape, dtype=np.float32)

    def run():
        y = F.conv3d(x, w, case.bias(np.float32), **case.options)
        return [y.numpy(), *gradients(lambda x, w: F.conv3d(x, w, **case.options), [x, w], [cotangent])]

    want = run()
    for got in each_thread_count(run):
        for a, b in zip(got, want, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("slab", [1, 4000, 1 << 21])
def test_bits_depend_neither_on_the_batch_nor_on_slabs_nor_on_memory_order(monkeypatch, slab):
    x, w = random_array(4, 5, 6, 7, 9, dtype=np.float32), random_array(8, 5, 3, 3, 3, dtype=np.float32)
    v = random_array(5, 8, 3, 3, 3, dtype=np.float32)
    whole, spread = F.conv3d(x, w, padding=1).numpy(), F.conv_transpose3d(x, v, stride=2).numpy()
    monkeypatch.setattr(conv_volume, "SLAB", slab)
    for i in range(4):
        assert_same_bits(F.conv3d(x[i], w, padding=1).numpy(), whole[i])
    assert_same_bits(F.conv_transpose3d(x, v, stride=2).numpy(), spread)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    for array in (last, np.asfortranarray(x)):
        assert_same_bits(F.conv3d(array, w, padding=1).numpy(), whole)


def test_slabs_join_to_the_same_gradients(monkeypatch):
    x, w = random_array(3, 4, 6, 5, 7), random_array(6, 2, 3, 3, 3)
    run = lambda: gradients(lambda x, w: F.conv3d(x, w, padding=1, groups=2), [x, w])  # noqa: E731
    want = run()
    for slab in (1, 500, 20000):
        monkeypatch.setattr(conv_volume, "SLAB", slab)
        for got, wanted in zip(run(), want, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_empty_batch():
    w = random_array(3, 2, 3, 3, 3)
    for function in (F.conv3d, F.conv_transpose3d):
        weight = w if function is F.conv3d else random_array(2, 3, 3, 3, 3)
        gx, gw, gb = gradients(lambda x, w, b, f=function: f(x, w, b, padding=1), [np.zeros((0, 2, 5, 5, 5)), weight, np.ones(3)])
        assert gx.shape == (0, 2, 5, 5, 5)
        assert not gw.any()
        assert not gb.any()


@pytest.mark.parametrize("shape", [(1, 0, 3, 3, 3), (0, 2, 3, 3, 3), (2, 2, 0, 3, 3), (2, 2, 3, 0, 3)])
@pytest.mark.parametrize("outputs", [0, 3])
def test_empty_axes(shape, outputs):
    x = np.zeros(shape)
    for size in (1, 2):
        w = np.ones((outputs, shape[1], size, size, 1))
        got = gradients(lambda x, w: F.conv3d(x, w, padding=1), [x, w])
        assert [g.shape for g in got] == [x.shape, w.shape]
        assert not any(g.any() for g in got)
    if shape[2] == 0:  # planes that nothing reached
        v = np.ones((2, outputs, 3, 1, 1))
        assert F.conv_transpose3d(x, v, bias=np.full(outputs, 2.0)).tolist() == np.full((2, outputs, 2, 3, 3), 2.0).tolist()
        assert [g.shape for g in gradients(F.conv_transpose3d, [x, v])] == [x.shape, v.shape]
    if 0 not in shape[2:]:
        v = np.ones((shape[1], outputs, 2, 2, 1))
        got = gradients(lambda x, v: F.conv_transpose3d(x, v, stride=2), [x, v])
        assert [g.shape for g in got] == [x.shape, v.shape]


def test_weights_are_never_stale():
    x, w = random_array(1, 3, 4, 4, 4, dtype=np.float32), nx.Tensor(shape=(4, 3, 3, 3, 3))
    w.assign_(random_array(4, 3, 3, 3, 3, dtype=np.float32))
    y = F.conv3d(x, w)
    kept = w._derived
    F.conv3d(x, w)
    assert w._derived is kept
    w.assign_(2 * w.numpy())
    np.testing.assert_array_equal(F.conv3d(x, w).numpy(), 2 * y.numpy())
    w.data[...] *= 2
    np.testing.assert_array_equal(F.conv3d(x, w).numpy(), 4 * y.numpy())


@pytest.mark.devices
def test_devices(device):
    x, w, v = random_array(2, 4, 4, 5, 3), random_array(6, 2, 3, 2, 3), random_array(4, 3, 2, 2, 2)
    want = by_hand(x, w, (1, 2, 1), (1, 0, 1), groups=2)
    place = lambda a: nx.Tensor(a).to(device=device)  # noqa: E731
    got = F.conv3d(place(x), place(w), stride=(1, 2, 1), padding=(1, 0, 1), groups=2)
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-11, atol=1e-11)
    options = {"stride": 2, "padding": 1, "groups": 2}
    want = gradients(lambda x, v: F.conv_transpose3d(x, v, **options), [x, v])
    for a, b in zip(gradients(lambda x, v: F.conv_transpose3d(x, v, **options), [x, v], device=device), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


VOLUME, KERNEL = np.zeros((1, 3, 4, 4, 4), np.float32), np.zeros((2, 3, 3, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "text", "run"),
    [
        (
            ShapeError,
            r"conv3d: expected x \(N, C, D, H, W\) or \(C, D, H, W\), got shape \(4, 4\)",
            lambda: F.conv3d(VOLUME[0, 0, 0], KERNEL),
        ),
        (ShapeError, "conv3d: expected a weight with 5 axes", lambda: F.conv3d(VOLUME, KERNEL[0])),
        (ShapeError, r"conv3d: expected x with 3 channels \(weight is \(2, 3, 3, 3, 3\)\)", lambda: F.conv3d(VOLUME[:, :2], KERNEL)),
        (ShapeError, "conv3d: expected an input of at least 3 with its padding", lambda: F.conv3d(VOLUME[:, :, :2], KERNEL)),
        (ShapeError, r"conv3d: expected bias of shape \(2,\)", lambda: F.conv3d(VOLUME, KERNEL, np.zeros(3, np.float32))),
        (DTypeError, "conv3d: expected weight of float32 like the input", lambda: F.conv3d(VOLUME, KERNEL.astype(np.float64))),
        (ArgumentError, "conv3d: expected stride as one integer or 3", lambda: F.conv3d(VOLUME, KERNEL, stride=(1, 2))),
        (ArgumentError, 'conv3d: expected stride 1 with padding="same"', lambda: F.conv3d(VOLUME, KERNEL, stride=2, padding="same")),
        (ArgumentError, "conv3d: expected groups that divide the 2 channels", lambda: F.conv3d(VOLUME, KERNEL, groups=3)),
        (
            ArgumentError,
            "conv_transpose3d: expected output_padding below stride or dilation",
            lambda: F.conv_transpose3d(VOLUME, np.zeros((3, 2, 3, 3, 3), np.float32), output_padding=1),
        ),
        (
            ShapeError,
            "conv_transpose3d: expected an output of at least 1 pixel",
            lambda: F.conv_transpose3d(VOLUME, np.zeros((3, 2, 1, 1, 1), np.float32), padding=2),
        ),
    ],
)
def test_errors(error, text, run):
    with pytest.raises(error, match=text):
        run()
