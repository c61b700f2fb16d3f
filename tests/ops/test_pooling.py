"""Max and average pooling: values, indices, gradients, ties, memory orders, errors."""

import itertools

import numpy as np
import pytest
from orders import channels_last, every_order

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.nn import functional as F
from neurenix.ops.pooling import same_pool2d
from neurenix.testing import assert_same_bits, check_adjoint, check_gradient, check_used_twice, random_array


def outputs(n, kernel, stride, padding, dilation, ceil):
    span = n + 2 * padding - dilation * (kernel - 1) - 1
    m = (-(-span // stride) if ceil else span // stride) + 1
    return m - 1 if ceil and (m - 1) * stride >= n + padding else m


def reference(x, kernel, stride, padding, dilation, ceil):
    """Maxima and the places of the first ones, through windows of a padded map."""
    ends = ((0, 0), (0, 0), *(((padding, padding + stride + dilation * kernel),) * 2))
    padded = np.pad(x, ends, constant_values=-np.inf)
    places = np.pad(np.arange(x[0, 0].size).reshape(1, 1, *x.shape[2:]), ends, constant_values=-1)
    oh, ow = (outputs(n, kernel, stride, padding, dilation, ceil) for n in x.shape[2:])

    def windows(a):
        view = np.lib.stride_tricks.sliding_window_view(a, (dilation * (kernel - 1) + 1,) * 2, axis=(2, 3))
        return view[:, :, ::stride, ::stride, ::dilation, ::dilation][:, :, :oh, :ow].reshape(*a.shape[:2], oh, ow, -1)

    values = windows(padded)
    first = values.argmax(-1)[..., None]
    found = np.take_along_axis(np.broadcast_to(windows(places), values.shape), first, -1)
    return np.take_along_axis(values, first, -1)[..., 0], found[..., 0]


FORMS = [
    (2, 2, 0, 1, False),
    (3, 2, 1, 1, True),
    (2, 1, 0, 2, False),
    (3, 3, 1, 1, False),
    (5, 1, 2, 1, False),
    (7, 2, 3, 1, True),
    (4, 1, 2, 2, False),
    (13, 1, 6, 1, False),
    (9, 1, 2, 1, False),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 3, 16, 70])
def test_max_pool_is_the_first_maximum(form, channels, level):
    x = np.round(random_array(1, channels, 13, 37, dtype=np.float32) * 2)  # rounded: ties
    values, places = reference(x, *form)
    for given in (x, channels_last(x)):
        y, index = F.max_pool2d(given, *form, return_indices=True)
        assert_same_bits(y, values)
        assert_same_bits(index, places)
        assert_same_bits(F.max_pool2d(given, *form), y)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels", [1, 3, 17, 33])
def test_max_pool_gradient_goes_to_the_index(form, channels):
    x = np.round(random_array(2, channels, 9, 21))
    for given in (x, channels_last(x)):
        leaf = nx.Tensor(given, requires_grad=True)
        y, index = F.max_pool2d(given, *form, return_indices=True)
        g = random_array(*y.shape)
        F.max_pool2d(leaf, *form).backward(g)
        want = np.zeros((2, channels, 9 * 21))
        for n, c in np.ndindex(2, channels):
            np.add.at(want[n, c], index.numpy()[n, c].ravel(), g[n, c].ravel())
        np.testing.assert_allclose(leaf.grad.numpy().reshape(want.shape), want, rtol=1e-14, atol=1e-14)
        indexed = nx.Tensor(given, requires_grad=True)
        F.max_pool2d(indexed, *form, return_indices=True)[0].backward(g)
        assert_same_bits(indexed.grad, leaf.grad)


def test_nan_and_infinity():
    x = np.array([[[[np.nan, 1.0, np.nan, 2.0], [-np.inf, -np.inf, -np.inf, -np.inf]]]])
    y, index = F.max_pool2d(x, (1, 4), return_indices=True)
    assert np.isnan(y.numpy()[0, 0, 0, 0])
    np.testing.assert_array_equal(index.numpy().ravel(), [2, 4])
    np.testing.assert_array_equal(y.numpy()[0, 0, 1], [-np.inf])
    wide = np.full((1, 1, 5, 40), -np.inf)
    _, index = F.max_pool2d(wide, 5, 1, 2, return_indices=True)
    np.testing.assert_array_equal(index.numpy()[0, 0, :3, :4], np.tile([0, 0, 0, 1], (3, 1)))


def test_pools_keep_the_bits_in_any_order_and_number_of_threads(each_thread_count, level):
    x = random_array(2, 33, 18, 41, dtype=np.float32)
    for pool in (
        lambda t: F.max_pool2d(t, 3, 2, 1),
        lambda t: F.max_pool2d(t, 9, 1, 4),
        lambda t: F.max_pool2d(t, (3, 7), 1, (1, 3)),
        lambda t: F.avg_pool2d(t, 5, 1, 2),
        lambda t: F.avg_pool2d(t, 2),
    ):
        want = pool(x).numpy()
        for given in every_order(x):
            for y in each_thread_count(lambda given=given, pool=pool: pool(given).numpy()):
                assert_same_bits(y, want)


def test_the_output_keeps_the_order():
    x = channels_last(random_array(2, 5, 6, 7))
    for pool in (F.max_pool2d, F.avg_pool2d):
        assert pool(x, 2).data.transpose(0, 2, 3, 1).flags.c_contiguous
        assert pool(np.ascontiguousarray(x), 2).data.flags.c_contiguous


def test_average_counts_what_it_is_told():
    x = np.ones((1, 1, 3, 3), np.float32)
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, 2, 1).numpy()[0, 0], [[0.25, 0.5], [0.5, 1]])
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, 2, 1, count_include_pad=False).numpy()[0, 0], [[1, 1], [1, 1]])
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, 2, 1, divisor_override=-2).numpy()[0, 0], [[-0.5, -1], [-1, -2]])
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, 2, ceil_mode=True).numpy()[0, 0], [[1, 1], [1, 1]])


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_same_pools_of_ones_are_ones(size):
    x = np.ones((2, 3, 5, 7), np.float32)
    for kind in ("avg", "max"):
        np.testing.assert_array_equal(same_pool2d(x, size, kind).numpy(), x)


def test_same_pool_reaches_one_more_down_and_right():
    x = np.arange(6.0).reshape(1, 1, 2, 3)
    np.testing.assert_array_equal(same_pool2d(x, 2, "max").numpy()[0, 0], [[4, 5, 5], [4, 5, 5]])
    np.testing.assert_array_equal(same_pool2d(x, 2, "avg").numpy()[0, 0], [[2, 3, 3.5], [3.5, 4.5, 5]])


@pytest.mark.parametrize("channels", [1, 9])
def test_averages_are_linear(channels):
    for order in every_order(random_array(2, channels, 7, 9)):
        check_adjoint(lambda t: F.avg_pool2d(t, 3, 2, 1), order)
        check_adjoint(lambda t: F.avg_pool2d(t, (2, 5), (1, 2), (1, 0), ceil_mode=True, count_include_pad=False), order)
    check_used_twice(lambda t: F.avg_pool2d(t, 2), random_array(1, channels, 4, 4))


def test_other_numbers_of_axes():
    line = random_array(2, 3, 11)
    np.testing.assert_array_equal(F.max_pool1d(line, 3, 2).numpy(), np.stack([line[..., 2 * i : 2 * i + 3].max(-1) for i in range(5)], -1))
    np.testing.assert_allclose(F.avg_pool1d(line, 2).numpy(), (line[..., :-1:2] + line[..., 1::2]) / 2)
    volume = random_array(2, 3, 4, 6, 8)
    blocks = volume.reshape(2, 3, 2, 2, 3, 2, 4, 2)
    np.testing.assert_array_equal(F.max_pool3d(volume, 2).numpy(), blocks.max(axis=(3, 5, 7)))
    np.testing.assert_allclose(F.avg_pool3d(volume, 2).numpy(), blocks.mean(axis=(3, 5, 7)))
    check_gradient(lambda t: F.max_pool3d(t, 2, 1), volume)
    check_gradient(lambda t: F.max_pool1d(t, 2), line)
    check_adjoint(lambda t: F.avg_pool3d(t, 2, 1, 1), volume)
    assert F.max_pool2d(volume[0], 2).shape == (3, 4, 3, 4)
    assert F.max_pool2d(line, 2).shape == (2, 1, 5)


def test_empty_batches():
    x = np.zeros((0, 3, 4, 4), np.float32)
    leaf = nx.Tensor(x, requires_grad=True)
    y = F.max_pool2d(leaf, 2)
    y.backward(np.zeros(y.shape, np.float32))
    assert leaf.grad.shape == x.shape
    assert F.avg_pool2d(x, 2).shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: F.max_pool2d(x, 0), ArgumentError, "max_pool2d: expected kernel_size of at least 1, got 0"),
        (lambda x: F.max_pool2d(x, True), ArgumentError, "expected kernel_size as an integer, got True"),
        (lambda x: F.max_pool2d(x, 2, padding=2), ArgumentError, "expected padding of at most half the kernel size"),
        (lambda x: F.max_pool2d(x, (2, 2, 2)), ArgumentError, "expected kernel_size as one integer or 2"),
        (lambda x: F.max_pool2d(x, 9), ShapeError, "at least as large as the window"),
        (lambda x: F.avg_pool2d(x[0, 0], 2), ShapeError, "avg_pool2d: expected x with 4 axes"),
        (lambda x: F.avg_pool2d(x, 2, divisor_override=0), ArgumentError, "other than 0"),
        (lambda x: F.avg_pool2d(x.astype(np.int64), 2), DTypeError, "expected float32 or float64, got int64"),
        (lambda x: same_pool2d(x, 2, "min"), ArgumentError, "expected kind one of 'avg', 'max', got 'min'"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as raised:
        call(np.zeros((1, 2, 5, 5)))
    assert text in str(raised.value)


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d, F.adaptive_max_pool2d])
def test_maps_without_channels_or_pixels_are_refused_and_empty_batches_are_not(pool):
    for shape in ((1, 0, 4, 4), (0, 4, 4), (1, 2, 0, 4)):
        with pytest.raises(ShapeError, match="got shape"):
            pool(nx.zeros(shape), 2)
    assert pool(nx.zeros(0, 2, 4, 4), 2).shape == (0, 2, 2, 2)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_max_pool_of_integers(form, dtype):
    x = np.abs(random_array(2, 3, 13, 11, dtype=np.float32) * 3).astype(dtype)  # few values: ties
    values, places = reference(x.astype(np.float64), *form)
    y, index = F.max_pool2d(x, *form, return_indices=True)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), values)
    np.testing.assert_array_equal(index.numpy(), places)
    assert_same_bits(F.max_pool2d(channels_last(x), *form), y)
    assert_same_bits(
        F.max_pool3d(x[:, :, None], (1, form[0], form[0]), (1, *form[1:2] * 2), (0, *form[2:3] * 2), (1, *form[3:4] * 2), form[4])[:, :, 0],
        y,
    )


def test_max_pool_of_integers_that_no_float_holds():
    x = np.array([[[2**62, 2**62 + 1, -5, -(2**63)]]])
    assert F.max_pool1d(x, 2).tolist() == [[[2**62 + 1, -5]]]
    volume, where = F.max_pool3d(x.reshape(1, 1, 2, 1, 2), (2, 1, 1), return_indices=True)
    assert (volume.tolist(), where.tolist()) == ([[[[[2**62, 2**62 + 1]]]]], [[[[[0, 1]]]]])
    assert F.max_pool1d(np.array([[[7, 7]]]), 2, padding=1, dilation=3).tolist() == [[[-(2**63)]]]  # a window between the pixels
    with pytest.raises(DTypeError, match="max_pool2d: expected float32 or float64, got bool"):
        F.max_pool2d(np.ones((1, 1, 2, 2), bool), 2)


def pooled_by_hand(a, g, k, p, d, s):
    """Maxima over windows whose taps beside the map do not count, and where their gradients go."""
    (h, w), out, dx = a.shape[2:], np.full(g.shape, -np.inf), np.zeros_like(a)
    for b, c, i, j in np.ndindex(*g.shape):
        taps = [(i * s - p + u * d, j * s - p + v * d) for u, v in itertools.product(range(k), repeat=2)]
        inside = [(r, q) for r, q in taps if 0 <= r < h and 0 <= q < w]
        if inside:
            r, q = max(inside, key=lambda at: a[b, c, at[0], at[1]])
            out[b, c, i, j] = a[b, c, r, q]
            dx[b, c, r, q] += g[b, c, i, j]
    return out, dx


@pytest.mark.parametrize("w", [1, 2, 4])
@pytest.mark.parametrize("h", [1, 2, 3])
def test_windows_beside_the_map_give_no_gradient(h, w):
    rng, seen = np.random.default_rng(h * 5 + w), 0
    for k, p, d, s in itertools.product((2, 3), (0, 1), (2, 3, 4), (1, 2)):
        a = rng.normal(size=(2, 3, h, w))
        x = nx.tensor(a, requires_grad=True)
        if h + 2 * p <= d * (k - 1) or w + 2 * p <= d * (k - 1):
            continue
        y = nx.nn.functional.max_pool2d(x, k, s, p, d)
        g = rng.normal(size=y.shape)
        y.backward(nx.tensor(g))
        out, dx = pooled_by_hand(a, g, k, p, d, s)
        assert_same_bits(y.numpy(), out)
        np.testing.assert_allclose(x.grad.numpy(), dx, rtol=0, atol=1e-15)
        seen += 1
    assert seen or (h, w) == (1, 1)
