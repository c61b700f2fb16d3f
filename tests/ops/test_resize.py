"""Resizing: PyTorch's coordinates, exact small numbers, gradients, memory orders, errors."""

import numpy as np
import pytest
from orders import channels_last, every_order

import neurenix as nx
from neurenix.errors import ArgumentError, ShapeError
from neurenix.nn import functional as F
from neurenix.testing import assert_same_bits, check_adjoint, check_used_twice, random_array

MODES = ["nearest", "nearest-exact", "bilinear", "bicubic", "area"]


def test_small_numbers():
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_array_equal(F.interpolate(x, (2, 4), mode="bilinear").numpy()[0, 0], [[1, 1.25, 1.75, 2], [3, 3.25, 3.75, 4]])
    corners = F.interpolate(x, (2, 3), mode="bilinear", align_corners=True).numpy()[0, 0]
    np.testing.assert_array_equal(corners, [[1, 1.5, 2], [3, 3.5, 4]])
    np.testing.assert_array_equal(F.interpolate(x, scale_factor=1.5).numpy()[0, 0], [[1, 1, 2], [1, 1, 2], [3, 3, 4]])
    np.testing.assert_array_equal(F.interpolate(x, (2, 3), mode="nearest-exact").numpy()[0, 0], [[1, 2, 2], [3, 4, 4]])
    np.testing.assert_allclose(
        F.interpolate(x[..., :1, :], (1, 4), mode="bicubic").numpy()[0, 0], [[0.84375, 1.2265625, 1.7734375, 2.15625]], atol=0.1
    )
    np.testing.assert_array_equal(F.interpolate(x, 1, mode="area").numpy()[0, 0], [[2.5]])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(5, 9), (12, 7), (1, 1), (3, 40), (24, 14)])
def test_the_identity_of_a_constant_and_of_the_size(mode, size):
    ones = np.ones((1, 3, 12, 7), np.float32)
    np.testing.assert_allclose(F.interpolate(ones, size, mode=mode).numpy(), np.ones((1, 3, *size)), rtol=3e-7)
    x = random_array(1, 3, 12, 7, dtype=np.float32)
    assert_same_bits(F.interpolate(x, (12, 7), mode=mode), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 2, 3, 8, 19])
def test_the_adjoint(mode, channels):
    for size in ((5, 19), (9, 4), (1, 3), (14, 22)):
        for x in (random_array(2, channels, 7, 11), channels_last(random_array(2, channels, 7, 11))):
            check_adjoint(lambda t, size=size: F.interpolate(t, size, mode=mode), x)
    check_used_twice(lambda t: F.interpolate(t, scale_factor=2, mode=mode), random_array(1, channels, 3, 3))


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_adjoint_with_corners_and_antialias(mode, align):
    for size in ((5, 19), (9, 4), (1, 3)):
        for x in every_order(random_array(2, 3, 7, 11)):
            check_adjoint(lambda t, size=size: F.interpolate(t, size, mode=mode, align_corners=align), x)
            check_adjoint(lambda t, size=size: F.interpolate(t, size, mode=mode, align_corners=align, antialias=True), x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3, 40])
def test_bits_do_not_depend_on_order_threads_or_level(mode, channels, each_thread_count, level):
    x = random_array(2, channels, 17, 33, dtype=np.float32)
    for size in ((34, 66), (8, 16), (23, 51)):
        want = F.interpolate(x, size, mode=mode).numpy()
        for given in every_order(x):
            for y in each_thread_count(lambda given=given, size=size: F.interpolate(given, size, mode=mode).numpy()):
                assert_same_bits(y, want)


def test_levels_give_the_same_bits():
    from neurenix import _rust

    before, found = _rust.level(), []
    x = nx.Tensor(random_array(2, 3, 17, 33, dtype=np.float32), requires_grad=True)
    for name in _rust.levels():
        _rust.set_level(name)
        y = F.interpolate(x, (40, 21), mode="bicubic")
        x.grad = None
        y.backward(y.numpy())
        found.append((y.numpy(), x.grad.numpy()))
    _rust.set_level(before)
    for y, g in found[1:]:
        assert_same_bits(y, found[0][0])
        assert_same_bits(g, found[0][1])


def test_infinity_stays_where_it_is_sampled():
    x = np.zeros((1, 1, 1, 40), np.float32)
    x[..., 20] = np.inf
    y = F.interpolate(x, (1, 80)).numpy()
    assert np.isinf(y[0, 0, 0, 40:42]).all()
    assert np.isfinite(np.delete(y, [40, 41])).all()


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float16", "uint16"])
def test_nearest_takes_any_type(dtype):
    x = (np.arange(12).reshape(1, 1, 3, 4) % 2).astype(dtype)
    y = F.interpolate(x, scale_factor=2)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), x.repeat(2, 2).repeat(2, 3))


def test_sizes_floor_as_pytorch_does():
    x = np.zeros((1, 1, 100, 10))
    assert F.interpolate(x, scale_factor=0.29).shape == (1, 1, 28, 2)  # 0.29 * 100 is a little less than 29
    assert F.interpolate(x, scale_factor=(0.5, 1.25)).shape == (1, 1, 50, 12)
    a = F.interpolate(random_array(1, 1, 5, 5), scale_factor=1.3, mode="bilinear").numpy()
    b = F.interpolate(random_array(1, 1, 5, 5), scale_factor=1.3, mode="bilinear", recompute_scale_factor=True).numpy()
    assert a.shape == b.shape
    assert not np.allclose(a, b)


def test_an_axis_that_keeps_its_size_is_copied_whatever_the_factor():
    """As in PyTorch: 1.2 of 4 is 4 again, and a map that stays as large is not blurred; nearest pixels are also doubled exactly."""
    x = random_array(2, 3, 4, 5)
    for how in ({"mode": "nearest"}, {"mode": "bilinear"}, {"mode": "bilinear", "antialias": True}, {"mode": "bicubic", "antialias": True}):
        assert_same_bits(F.interpolate(x, scale_factor=1.15, **how), x)
    assert_same_bits(F.interpolate(x, scale_factor=(2.2, 2.1)), x.repeat(2, 2).repeat(2, 3))
    # cubic pixels, and nearest ones of lines and volumes, follow the factor
    assert not np.array_equal(F.interpolate(x, scale_factor=1.15, mode="bicubic").numpy(), x)
    line = np.arange(4.0)[None, None]
    np.testing.assert_array_equal(F.interpolate(line, scale_factor=2.2).numpy()[0, 0], [0, 0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(F.interpolate(line, scale_factor=1.2).numpy()[0, 0], [0, 0, 1, 2])
    assert_same_bits(F.interpolate(line, scale_factor=1.2, mode="linear"), line)


def test_other_numbers_of_axes():
    line, volume = random_array(2, 3, 7), random_array(2, 3, 3, 4, 5)
    check_adjoint(lambda t: F.interpolate(t, 12, mode="linear"), line)
    check_adjoint(lambda t: F.interpolate(t, (5, 3, 9), mode="trilinear"), volume)
    check_adjoint(lambda t: F.interpolate(t, (5, 3, 9), mode="area"), channels_last(volume))
    np.testing.assert_array_equal(F.interpolate(volume, scale_factor=2).numpy(), volume.repeat(2, 2).repeat(2, 3).repeat(2, 4))


def test_a_pixel_of_many_channels_grows_channels_last():
    y = F.interpolate(random_array(1, 16, 1, 1), (4, 5), mode="bilinear")
    assert y.data.transpose(0, 2, 3, 1).flags.c_contiguous


def test_upsample_names():
    x = random_array(1, 2, 4, 4)
    assert_same_bits(F.upsample_nearest(x, scale_factor=2), F.interpolate(x, scale_factor=2))
    assert_same_bits(F.upsample_bilinear(x, size=(7, 7)), F.interpolate(x, (7, 7), mode="bilinear", align_corners=True))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (F.interpolate, ArgumentError, "expected either size or scale_factor, got neither"),
        (lambda x: F.interpolate(x, 3, 2.0), ArgumentError, "got both"),
        (lambda x: F.interpolate(x, 3, mode="cubic"), ArgumentError, "expected mode one of 'nearest'"),
        (lambda x: F.interpolate(x, 3, mode="linear"), ArgumentError, "use mode='bilinear'"),
        (lambda x: F.interpolate(x, 3, align_corners=True), ArgumentError, "expected align_corners only with"),
        (lambda x: F.interpolate(x, 3, antialias=True), ArgumentError, "expected antialias only with"),
        (lambda x: F.interpolate(x, (3, 3, 3)), ShapeError, "expected size as one number or 2"),
        (lambda x: F.interpolate(x, 0), ArgumentError, "expected size of at least 1, got 0"),
        (lambda x: F.interpolate(x, scale_factor=-1.0), ArgumentError, "expected a positive scale_factor"),
        (lambda x: F.interpolate(x, scale_factor=0.1), ShapeError, "use a larger scale_factor"),
        (lambda x: F.interpolate(x[0, 0], 3), ShapeError, "add the batch axis"),
        (lambda x: F.interpolate(x, 3, recompute_scale_factor=True), ArgumentError, "only with scale_factor"),
        (lambda x: F.interpolate(x[:, :, :0], 3), ShapeError, "not empty"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as raised:
        call(np.zeros((1, 2, 5, 5)))
    assert text in str(raised.value)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_an_axis_that_keeps_its_size_is_copied(mode, antialias):
    """NaN and infinity stay where they are, whatever the factor was; PyTorch's bicubic without antialias samples all the same."""
    x = random_array(1, 2, 5, 6)
    x[0, 0, 2, 3], x[0, 1, 4, 0] = np.nan, np.inf
    if mode == "bilinear" or antialias:
        for settings in ({"size": (5, 6)}, {"scale_factor": 1.1}):
            np.testing.assert_array_equal(F.interpolate(x, mode=mode, antialias=antialias, **settings).numpy(), x)
        rows = F.interpolate(x, size=(5, 12), mode=mode, antialias=antialias).numpy()
        assert np.isnan(rows[0, 0, 2]).any() and np.isfinite(rows[0, 0, [0, 1, 3, 4]]).all()
    else:
        assert np.isnan(F.interpolate(x, size=(5, 6), mode=mode).numpy()).sum() > 1
