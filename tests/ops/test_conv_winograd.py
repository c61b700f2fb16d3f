"""Winograd convolutions: values and errors against float64, bits, kept weights, what a pixel without a value spoils."""

import numpy as np
import pytest

import neurenix as nx
from neurenix import _rust
from neurenix.nn import functional as F
from neurenix.ops import _conv
from neurenix.ops.elementwise import RELU
from neurenix.testing import assert_same_bits, gradients, random_array

LIMIT = 1.5e-6  # relative L2 error of a layer
EPS = np.finfo(np.float32).eps
BOUND = 16  # of an output's error, see test_elementwise_bound
SIZES = [(1, 1), (2, 3), (3, 4), (4, 4), (5, 9), (8, 6), (13, 17)]
CHANNELS = [(16, 16), (17, 33), (40, 64), (64, 16), (80, 130), (129, 70)]
MODES = {"chosen": 0, "tiles": 1, "panels": 2, "pieces": 3}


def positive(*shape, seed=0):
    """What a ReLU gives: half of it zeros."""
    return np.maximum(random_array(*shape, seed=seed, dtype=np.float32), 0)


def relative(got, want):
    return np.linalg.norm(np.float64(got) - want) / max(np.linalg.norm(want), 1e-300)


def exact(x, w, **options):
    return F.conv2d(np.float64(x), np.float64(w), **options).numpy()


def direct(function, *args, **options):
    with nx.set_float32_precision("ieee"):
        return function(*args, **options).numpy()


def kernel(x, w, padding=(1, 1), mode="chosen", packed=False, scatter=False, end=_conv.PLAIN, dtype=np.float32):
    """The row itself on (N, C, H, W) arrays, in a mode that is asked for."""
    x, w = np.ascontiguousarray(x.transpose(0, 2, 3, 1), dtype), np.ascontiguousarray(w, dtype)
    n, h, width, c = x.shape
    k = w.shape[1] if scatter else w.shape[0]
    size = [s + 2 - 2 * p if scatter else s + 2 * p - 2 for s, p in zip((h, width), padding, strict=True)]
    y = np.full((n, *size, k), np.nan, dtype)
    if packed:
        points = np.full(36 * c * (-(-k // 16) * 16), np.nan, dtype)
        _conv.winograd_pack(points, w, k, c, scatter)
        w = points
    arrays = (y, None, x, None, w, *end[:3], None, None, None, None)
    _conv.convolve_winograd(*arrays, n, h, width, *size, k, c, 1, *padding, scatter, end.activation == RELU, False, packed, MODES[mode])
    return y.transpose(0, 3, 1, 2)


PADDINGS = [(0, 0), (1, 1), (2, 1), (0, 5)]
FITTING = [(s, p) for s in SIZES for p in PADDINGS if min(n + 2 * q for n, q in zip(s, p, strict=True)) >= 3]


@pytest.mark.parametrize(("size", "padding"), FITTING, ids=str)
def test_values_of_every_size_and_padding(size, padding):
    x, w, b = positive(2, 20, *size), random_array(24, 20, 3, 3, dtype=np.float32), random_array(24, dtype=np.float32)
    want = exact(x, w, padding=padding)
    got = F.conv2d(x, w, padding=padding)
    assert got.shape == want.shape
    assert relative(got.numpy(), want) <= LIMIT
    assert_same_bits(F.conv2d(x, w, b, padding=padding).numpy(), got.numpy() + b[:, None, None])


@pytest.mark.parametrize(("channels", "outputs"), CHANNELS)
def test_values_and_input_gradient_of_every_number_of_channels(channels, outputs):
    x, w = positive(2, channels, 9, 10), random_array(outputs, channels, 3, 3, dtype=np.float32)
    g = random_array(2, outputs, 9, 10, seed=3, dtype=np.float32)
    assert relative(F.conv2d(x, w, padding=1).numpy(), exact(x, w, padding=1)) <= LIMIT
    assert_same_bits(F.conv2d(x, w, padding=1).numpy(), kernel(x, w))
    (dx,) = gradients(lambda x: F.conv2d(x, w, padding=1), [x], [g])
    (want,) = gradients(lambda x: F.conv2d(x, np.float64(w), padding=1), [np.float64(x)], [np.float64(g)])
    assert relative(dx, want) <= LIMIT
    assert_same_bits(dx, kernel(g, w, scatter=True))


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_transposed(padding):
    x, w = positive(1, 33, 7, 6), random_array(33, 18, 3, 3, dtype=np.float32)
    got = F.conv_transpose2d(x, w, padding=padding)
    want = F.conv_transpose2d(np.float64(x), np.float64(w), padding=padding).numpy()
    assert got.shape == want.shape
    assert relative(got.numpy(), want) <= LIMIT
    (dx,) = gradients(lambda x: F.conv_transpose2d(x, w, padding=padding), [x], [want.astype(np.float32)])
    (exactly,) = gradients(lambda x: F.conv_transpose2d(x, np.float64(w), padding=padding), [np.float64(x)], [want])
    assert relative(dx, exactly) <= LIMIT


def test_the_formulas_in_double():
    x, w = random_array(2, 70, 7, 9), random_array(40, 70, 3, 3)
    for mode in MODES:
        np.testing.assert_allclose(kernel(x, w, mode=mode, dtype=np.float64), exact(x, w, padding=1), atol=1e-11)
        got = kernel(x, w.transpose(1, 0, 2, 3), (0, 2), mode, scatter=True, dtype=np.float64)
        np.testing.assert_allclose(got, exact(x, w[:, :, ::-1, ::-1], padding=(2, 0)), atol=1e-11)


@pytest.mark.parametrize(
    ("maps", "outputs"), [((3, 70, 13, 11), 100), ((1, 16, 50, 61), 16), ((2, 130, 8, 8), 48), ((1, 200, 1, 3), 64)], ids=str
)
def test_bits_depend_on_neither_mode_level_nor_threads(maps, outputs):
    x, w = random_array(*maps, dtype=np.float32), random_array(outputs, maps[1], 3, 3, dtype=np.float32)
    back = random_array(maps[1], outputs, 3, 3, seed=4, dtype=np.float32)
    want, other = kernel(x, w), kernel(x, back, scatter=True)
    level, threads = _rust.level(), _rust.num_threads()
    try:
        for one in _rust.levels():
            _rust.set_level(one)
            for number in (1, 2, 3, 8):
                _rust.set_num_threads(number)
                for mode in MODES:
                    assert_same_bits(kernel(x, w, mode=mode), want)
                    assert_same_bits(kernel(x, back, mode=mode, scatter=True), other)
                    if mode != "pieces":
                        assert_same_bits(kernel(x, w, mode=mode, packed=True), want)
    finally:
        _rust.set_level(level)
        _rust.set_num_threads(threads)


def test_many_runs_give_the_same_bits():
    x, w = random_array(1, 64, 33, 34, dtype=np.float32), random_array(96, 64, 3, 3, dtype=np.float32)
    want = kernel(x, w)
    for mode in [*MODES] * 5:
        assert_same_bits(kernel(x, w, mode=mode), want)


def test_bits_depend_on_neither_the_batch_nor_the_map_around():
    x, w = random_array(5, 24, 13, 11, dtype=np.float32), random_array(40, 24, 3, 3, dtype=np.float32)
    whole = F.conv2d(x, w, padding=1).numpy()
    for i in range(5):
        assert_same_bits(F.conv2d(x[i], w, padding=1).numpy(), whole[i])
    for h, width in ((9, 11), (13, 6), (5, 5)):  # a tile's bits depend on its patch alone
        part = F.conv2d(x[..., :h, :width], w, padding=1).numpy()
        inner = (slice(None), slice(None), slice(0, (h - 1) // 4 * 4), slice(0, (width - 1) // 4 * 4))
        assert_same_bits(part[inner], whole[inner])


def test_memory_order_and_large_outputs():
    x, w = random_array(2, 16, 40, 36, dtype=np.float32), random_array(16, 16, 3, 3, dtype=np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert_same_bits(F.conv2d(last, w, padding=1).numpy(), F.conv2d(x, w, padding=1).numpy())
    # Outputs above 8 MB are written past the caches.
    large, w = random_array(1, 16, 200, 180, dtype=np.float32), random_array(64, 16, 3, 3, dtype=np.float32)
    got = F.conv2d(large, w, padding=1).numpy()
    assert got.nbytes > 8 << 20
    assert_same_bits(got[:, :, :100], F.conv2d(large[:, :, :101], w, padding=1).numpy()[:, :, :100])


def test_epilogue_gives_the_bits_of_the_parts():
    x, w = nx.Tensor(random_array(2, 30, 9, 10, dtype=np.float32)), random_array(70, 30, 3, 3, dtype=np.float32)
    bias, scale, shift = (random_array(70, seed=i, dtype=np.float32) for i in (1, 2, 3))
    plain = kernel(x.numpy(), w)
    end = _conv.Epilogue(bias, scale, shift, RELU)
    fused = kernel(x.numpy(), w, end=end)
    biased = (plain + bias[:, None, None]).astype(np.float64)
    once = (biased * scale[:, None, None].astype(np.float64) + shift[:, None, None]).astype(np.float32)
    np.testing.assert_allclose(fused, np.maximum(once, 0), rtol=3e-7, atol=1e-30)
    mean, var = nx.Tensor(random_array(70, seed=5, dtype=np.float32)), nx.Tensor(np.abs(random_array(70, seed=6, dtype=np.float32)) + 0.1)
    layers = [nx.nn.Conv2d(30, 70, 3, padding=1), nx.nn.BatchNorm2d(70), nx.nn.ReLU()]
    layers[1].running_mean.assign_(mean)
    layers[1].running_var.assign_(var)
    model = nx.nn.Sequential(*layers).eval()
    with nx.no_grad():
        together, one_by_one = model(x), x
        for layer in layers:
            one_by_one = layer(one_by_one)
    assert_same_bits(together.numpy(), one_by_one.numpy())


@pytest.mark.parametrize("channels", [16, 64, 128, 256, 512, 1024])
def test_error_of_a_layer(channels):
    x = positive(1, channels, 16, 16)
    w = random_array(channels, channels, 3, 3, dtype=np.float32) / np.float32(3 * channels**0.5)
    g = random_array(1, channels, 16, 16, seed=3, dtype=np.float32)
    assert relative(F.conv2d(x, w, padding=1).numpy(), exact(x, w, padding=1)) <= LIMIT
    assert relative(direct(F.conv2d, x, w, padding=1), exact(x, w, padding=1)) <= 5e-7
    (dx,) = gradients(lambda x: F.conv2d(x, w, padding=1), [x], [g])
    (want,) = gradients(lambda x: F.conv2d(x, np.float64(w), padding=1), [np.float64(x)], [np.float64(g)])
    assert relative(dx, want) <= LIMIT


def patches(x, padding=1):
    """The largest magnitude of the 6x6 patch of each 4x4 tile of outputs, spread over the tile's pixels."""
    n, c, h, width = x.shape
    down, across = -(-h // 4), -(-width // 4)
    padded = np.zeros((n, c, 4 * down + 2, 4 * across + 2))
    padded[:, :, padding : padding + h, padding : padding + width] = np.abs(x)
    largest = np.zeros((n, 1, down, across))
    for i in range(6):
        for j in range(6):
            part = padded[:, :, i : i + 4 * down - 3 : 4, j : j + 4 * across - 3 : 4]
            largest = np.maximum(largest, part.max(1, keepdims=True))
    return largest.repeat(4, 2).repeat(4, 3)[:, :, :h, :width]


def extremes(kind, *shape):
    """Inputs that are not tame: pixels without data, a wide range, an offset."""
    x = positive(*shape, seed=9)
    if kind == "nodata":
        x[:, :, ::7, ::5] = -9999
    elif kind == "range":
        x *= np.float32(10) ** np.random.default_rng(1).integers(-6, 7, shape).astype(np.float32)
    elif kind == "offset":
        x += np.float32(1000)
    return x


@pytest.mark.parametrize("kind", ["relu", "nodata", "range", "offset"])
@pytest.mark.parametrize("channels", [16, 64, 320])
@pytest.mark.parametrize("signs", [False, True])
def test_elementwise_bound(kind, channels, signs):
    """|error| <= BOUND * eps * (largest magnitude of the patch) * (sum of the weights' magnitudes)."""
    x, w = extremes(kind, 1, channels, 21, 22), random_array(32, channels, 3, 3, dtype=np.float32)
    w = w if signs else np.abs(w)
    error = np.abs(F.conv2d(x, w, padding=1).numpy() - exact(x, w, padding=1))
    scale = EPS * patches(x) * np.abs(w).sum((1, 2, 3), dtype=np.float64)[:, None, None]
    assert (error <= BOUND * scale).all(), (error / scale).max()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_pixel_without_a_value_spoils_the_tiles_that_see_it(value):
    x, w = random_array(1, 16, 24, 24, dtype=np.float32), random_array(16, 16, 3, 3, dtype=np.float32)
    want = F.conv2d(x, w, padding=1).numpy()
    x[0, 3, 9, 8] = value  # rows 9 and columns 7 to 9 see it: the tiles of rows 8 to 11, and of columns 4 to 11
    got = F.conv2d(x, w, padding=1).numpy()
    seen = np.zeros((24, 24), bool)
    seen[8:12, 4:12] = True
    assert not np.isfinite(got[:, :, 8:11, 7:10]).any()
    assert_same_bits(got[..., ~seen], want[..., ~seen])
    assert np.isfinite(direct(F.conv2d, x, w, padding=1)[..., 4:8, 4:8]).all()


def test_who_uses_it():
    def same(x, w, **options):
        return np.array_equal(F.conv2d(x, w, **options).numpy(), direct(F.conv2d, x, w, **options))

    x, w = random_array(1, 32, 12, 12, dtype=np.float32), random_array(32, 32, 3, 3, dtype=np.float32)
    assert not same(x, w)
    assert same(x, w, stride=2)
    assert same(x, w, dilation=2)
    assert same(x, w[:, :16], groups=2)
    assert same(x, w[:15])
    assert same(x[:, :15], w[:, :15])
    assert same(x, w[:, :, :1])
    assert same(np.float64(x), np.float64(w))
    with nx.set_float32_precision("tf32"):
        assert_same_bits(F.conv2d(x, w).numpy(), kernel(x, w, (0, 0)))
    assert F.conv2d(x[:0], w, padding=1).shape == (0, 32, 12, 12)


def test_weights_are_kept_transformed_unless_they_change_or_are_large():
    x, w = random_array(1, 16, 9, 9, dtype=np.float32), nx.Tensor(random_array(24, 16, 3, 3, dtype=np.float32))
    y = F.conv2d(x, w).numpy()
    (points,) = w._derived.layouts.values()
    assert points.shape == (36 * 16 * 32,)
    kept = w._derived
    assert_same_bits(F.conv2d(x, w).numpy(), y)
    assert w._derived is kept
    w.assign_(2 * w.numpy())
    assert_same_bits(F.conv2d(x, w).numpy(), 2 * y)
    w.data[...] *= 2
    assert_same_bits(F.conv2d(x, w).numpy(), 4 * y)
    w.requires_grad_()
    assert_same_bits(F.conv2d(x, w).numpy(), 4 * y)
    assert w._derived is None
    with nx.no_grad():
        assert_same_bits(F.conv2d(x, w).numpy(), 4 * y)
    assert w._derived is not None
    large = nx.Tensor(random_array(512, 272, 3, 3, dtype=np.float32))
    F.conv2d(random_array(1, 272, 4, 4, dtype=np.float32), large)
    assert large._derived is None


def trained(precision, seed, steps=80):
    """The losses of a small U-Net that learns to find bright blobs in noise."""
    nx.manual_seed(seed)
    random = np.random.default_rng(5)
    model = nx.multiscale.UNet(1, 1, features=[16, 32], final_activation=None)
    optimizer, losses = nx.optim.Adam(model.parameters(), lr=3e-3), []
    with nx.set_float32_precision(precision):
        for _ in range(steps):
            masks = F.interpolate(random.random((4, 1, 6, 6), np.float32), size=(36, 36), mode="bicubic") > 0.6
            images = masks.to(dtype=np.float32) + random.standard_normal((4, 1, 36, 36), np.float32)
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(images), masks.to(dtype=np.float32))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return np.array(losses)


def test_training_follows_the_direct_path():
    fast, direct_one, direct_other = trained("fast", 0), trained("ieee", 0), trained("ieee", 1)
    assert direct_one[-10:].mean() < 0.6 * direct_one[0]
    assert not np.array_equal(fast, direct_one)
    np.testing.assert_allclose(fast[:10], direct_one[:10], rtol=1e-3)
    assert np.abs(fast - direct_one)[-20:].mean() < np.abs(direct_other - direct_one)[-20:].mean() / 4
