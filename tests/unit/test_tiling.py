"""Tiles of large images: the bits of the whole, for any tile; what sees the whole image is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import autograd, nn
from neurenix.backend.kernel import skipped
from neurenix.errors import ArgumentError, DTypeError, ShapeError, WindowError
from neurenix.multiscale import (
    ASPP,
    DAPPM,
    PPM,
    FeaturePyramidNetwork,
    PANet,
    PlainConvEncoder,
    PyramidNetwork,
    PyramidPooling,
    UNet,
    UNetPlusPlus,
    predict_tiled,
    receptive_field,
)
from neurenix.window import Window, followed
from neurenix.window_rules import Cropped, Enlarged, Framed, Scattering, Sliding, Span


def trained(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with running statistics that are not those of a new one, in evaluation."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.assign_(rng.normal(0, 0.2, module.running_mean.shape).astype(np.float32))
            module.running_var.assign_(rng.uniform(0.5, 2, module.running_var.shape).astype(np.float32))
            module.num_batches_tracked.assign_(np.array(100))
    return model.eval()


def whole(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with nx.no_grad():
        y = model(x)
    return (y[0] if isinstance(y, list) else y).numpy()


class Necked(nn.Module):
    """An encoder of three levels, a feature pyramid and a path upwards: the finest map."""

    def __init__(self) -> None:
        self.stem = nn.ConvNormAct(1, 4)
        self.down = nn.ModuleList([nn.ConvNormAct(4, 8, stride=2), nn.ConvNormAct(8, 8, stride=2)])
        self.pyramid, self.path = FeaturePyramidNetwork([4, 8, 8], 8), PANet([8, 8, 8], 8)

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        maps = [self.stem(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        return self.path(self.pyramid(maps))[0]


MODELS = {
    "unet": lambda: UNet(3, 2, features=[4, 8, 16]),
    "unet, wide": lambda: UNet(3, 1, features=[16, 32]),
    "unet, softmax, no norm": lambda: UNet(3, 3, features=[4, 8], norm=None, final_activation="softmax"),
    "unet, residual, blurred": lambda: UNet(3, 1, features=[4, 8], residual=True, downsample="blur"),
    "unet, resized": lambda: UNet(3, 1, features=[4, 8], upsample="bilinear", activation="silu"),
    "unet, plain encoder": lambda: UNet(3, 1, encoder=PlainConvEncoder(3, [4, 8, 8], norm="batch"), upsample="nearest"),
    "unet, gates": lambda: UNet(3, 1, features=[4, 8, 8], attention=True),
    "unet, supervised": lambda: UNet(3, 1, features=[4, 8, 8], deep_supervision=True),
    "unet++": lambda: UNetPlusPlus(3, 1, [4, 8, 8]),
    "pyramid network": lambda: PyramidNetwork(3, 2, num_levels=3),
    "odd layers": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, dilation=3),
        nn.ReLU(),
        nn.Conv2d(4, 8, 5, stride=2, padding=2),
        nn.LeakyReLU(),
        nn.MaxPool2d(3, 1, 1),
        nn.ConvTranspose2d(8, 2, 4, 2, 1, output_padding=1),
        nn.AvgPool2d(3, 1, 1),
        nn.Softmax(dim=1),
    ),
    "enlarged": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2, 1, 3, padding=1, padding_mode="replicate"),
    ),
    "many channels": lambda: nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 20, 3, padding=1),
        nn.ConvTranspose2d(20, 16, 3, padding=1),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(16, 16, 3),
        nn.ConvTranspose2d(16, 16, 3),
    ),
    "quarter": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.SiLU(), nn.Conv2d(4, 1, 3, 2, 1)),
}


@pytest.mark.parametrize("size", [(133, 90), (96, 64), (61, 128)])
@pytest.mark.parametrize("name", MODELS)
def test_tiles_have_the_bits_of_the_whole(name: str, size: tuple[int, int]) -> None:
    nx.manual_seed(0)
    model = trained(MODELS[name]())
    x = np.random.default_rng(1).standard_normal((1, 3, *size)).astype(np.float32)
    expected = whole(model, x)
    assert np.array_equal(predict_tiled(model, x, tile=32), expected)


@pytest.mark.parametrize("name", MODELS)
def test_many_strips_and_columns(name: str) -> None:
    """Each operation's kept rows are used twenty times, and every column is as narrow as it can be."""
    nx.manual_seed(0)
    model = trained(MODELS[name]())
    x = np.random.default_rng(1).standard_normal((1, 3, 301, 55)).astype(np.float32)
    assert np.array_equal(predict_tiled(model, x, tile=(1, 16)), whole(model, x))


@pytest.mark.parametrize(("precision", "most"), [("ieee", 1.06), ("fast", 1.2)])
def test_little_is_computed_twice(precision: str, most: float) -> None:
    """Multiply-adds of tiles of 1024 pixels over those of the whole image, for a U-Net of four levels; kernels are skipped."""
    model, size = UNet(3, 1, features=[16, 32, 64, 128]).eval(), 4096
    work = []

    def watch(op: str, data: np.ndarray, inputs: tuple[nx.Tensor, ...]) -> None:
        if "conv" in op:
            pixels = inputs[0].shape if "transpose" in op else data.shape
            work.append(pixels[2] * pixels[3] * inputs[1].numpy().size)

    with nx.set_float32_precision(precision), skipped(), nx.no_grad():
        with autograd.watched(watch):
            model(nx.zeros(1, 3, 256, 256))
        once = sum(work) * (size // 256) ** 2
        work.clear()
        receptive_field(model)
        with autograd.watched(watch):
            predict_tiled(model, np.broadcast_to(np.float32(0), (1, 3, size, size)))
            twice = sum(work)
            work.clear()
            receptive_field(model)
    assert once < (twice - sum(work)) / 2 < most * once  # every strip is followed once and computed once


def test_a_model_that_changes_its_operations_is_refused() -> None:
    class Counting(nn.Module):
        in_channels, runs = 1, 0

        def forward(self, x: nx.Tensor) -> nx.Tensor:
            self.runs += 1
            return nn.functional.max_pool2d(x, 1) if self.runs < 6 else nn.functional.avg_pool2d(x, 1)

    with pytest.raises(WindowError, match="same operations for every strip, got avg_pool2d where max_pool2d was"):
        predict_tiled(Counting(), np.zeros((1, 1, 64, 8), np.float32), tile=8)


@pytest.mark.parametrize("precision", ["ieee", "fast"])
@pytest.mark.parametrize("tile", [1, 16, 50, (16, 16), (90, 8), 1000])
def test_any_tile_and_precision(tile: int | tuple[int, int], precision: str) -> None:
    nx.manual_seed(1)
    model = trained(UNet(1, 1, features=[16, 16]))
    x = np.random.default_rng(2).standard_normal((2, 1, 75, 50)).astype(np.float32)
    with nx.set_float32_precision(precision):
        assert np.array_equal(predict_tiled(model, x, tile=tile), whole(model, x))


@pytest.mark.parametrize("size", [(70, 41), (33, 64)])
def test_necks_and_float64(size: tuple[int, int]) -> None:
    nx.manual_seed(2)
    model = trained(Necked()).to(dtype=np.float64)
    x = np.random.default_rng(3).standard_normal((1, 1, *size))
    assert np.array_equal(predict_tiled(model, x, tile=16), whole(model, x))


def test_a_memory_map_to_a_memory_map(tmp_path: Path) -> None:
    model = trained(UNet(1, 2, features=[4]))
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (1, 1, 65, 40))
    x[:] = np.random.default_rng(4).standard_normal(x.shape)
    y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.float32, (1, 2, 65, 40))
    assert predict_tiled(model, x, tile=16, out=y) is y
    assert np.array_equal(y, whole(model, np.array(x)))


def test_the_model_stays_as_it_was_and_tensors_give_tensors() -> None:
    model = UNet(1, 1, features=[4]).train()
    y = predict_tiled(model, nx.zeros(1, 1, 20, 20), tile=8)
    assert isinstance(y, nx.Tensor)
    assert not y.requires_grad
    assert model.training
    assert all(m.training for m in model.modules())


def test_receptive_field_is_where_an_output_changes() -> None:
    """Every input pixel that moves an output lies within the field, and the field without its rounding is not larger."""
    nx.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(1, 2, 5, padding=2), nn.Conv2d(2, 2, 3, padding=2, dilation=2), nn.Conv2d(2, 1, (1, 3), padding=(0, 1)))
    field = receptive_field(model)
    assert field == ((4, 5), (4, 5), 1, (Fraction(1), Fraction(1)))
    x = nx.zeros(1, 1, 21, 21).requires_grad_()
    model(x)[0, 0, 10, 10].backward()
    rows, columns = np.nonzero(x.grad.numpy()[0, 0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 14, 5, 15)


def test_what_sees_the_whole_image_is_named() -> None:
    x = np.zeros((1, 1, 64, 64), np.float32)
    wanted = {
        "instance_norm": UNet(1, 1, features=[4], norm="instance"),
        "group_norm": UNet(1, 1, features=[4], norm="group"),
        "mean": UNet(1, 1, features=[4], squeeze_excitation=True),
        "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d(1),
        "flatten|reshape": nn.Flatten(2),
    }
    for name, model in wanted.items():
        with pytest.raises(
            WindowError, match=f"^({name}): expected an operation whose outputs depend on pixels near them.*approximate=True"
        ):
            predict_tiled(model, x)
    with pytest.raises(WindowError, match="approximate=True"):
        predict_tiled(nn.Upsample(size=(32, 32), mode="bilinear"), x, tile=16)


def test_a_map_of_other_place_is_refused() -> None:
    class Positional(nn.Module):
        def __init__(self) -> None:
            self.where = nx.nn.Parameter(np.zeros((1, 1, 64, 64), np.float32))

        def forward(self, x: nx.Tensor) -> nx.Tensor:
            return x + self.where

    with pytest.raises(ShapeError, match="add: expected shapes that broadcast"):
        predict_tiled(Positional(), np.zeros((1, 1, 64, 64), np.float32), tile=16)
    part = nx.zeros(1, 1, 16, 16)
    part._window = Window(Span(64, 16, 16, 32), Span(64, 0, 0, 16))
    with followed(), pytest.raises(WindowError, match="one beside a whole map"):
        part + nx.zeros(1, 1, 16, 16)
    other = nx.zeros(1, 1, 16, 16)
    other._window = Window(Span(64, 32, 32, 48), Span(64, 0, 0, 16))
    with followed(), pytest.raises(WindowError, match="windows that overlap"):
        part + other
    assert (part + 1)._window is None  # elsewhere nothing is followed


def test_approximate_tiles_add_to_one_and_change_little() -> None:
    x = np.random.default_rng(5).standard_normal((2, 1, 100, 131)).astype(np.float32)
    same = nn.Conv2d(1, 1, 1)
    assert np.allclose(predict_tiled(same, x, tile=32, approximate=True), whole(same, x), atol=1e-6)
    nx.manual_seed(4)
    model = trained(UNet(1, 1, features=[4, 8], norm="instance"))
    assert np.abs(predict_tiled(model, x, tile=64, approximate=True) - whole(model, x)).mean() < 0.02
    assert np.array_equal(predict_tiled(model, x, tile=500, approximate=True), whole(model, x))


class Around(nn.Module):
    """Two convolutions and a module at half the image's size."""

    def __init__(self, inner: nn.Module) -> None:
        self.first, self.second, self.inner = nn.ConvNormAct(3, 8), nn.ConvNormAct(8, 8, stride=2), inner

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        return self.inner(self.second(self.first(x)))


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (lambda: Around(PyramidPooling(8, 4)), 2),
        (lambda: Around(PPM(8, 4)), 2),
        (lambda: Around(ASPP(8, [2, 3], 4)), 2),
        (lambda: Around(DAPPM(8, 4, 4)), 2),
        (lambda: UNet(3, 1, features=[4, 8], squeeze_excitation=True), 6),
    ],
)
def test_passes_make_whole_maps(make: Callable[[], nn.Module], passes: int) -> None:
    """Averages of whole maps, a pass for each map; one pass fewer is refused by the operation's name."""
    nx.manual_seed(0)
    model = trained(make())
    x = np.random.default_rng(1).standard_normal((2, 3, 93, 70)).astype(np.float32)
    assert np.array_equal(predict_tiled(model, x, tile=(16, 32), passes=passes), whole(model, x))
    with pytest.raises(WindowError, match="(mean|adaptive_avg_pool2d): expected an operation .* got one that may see the whole map"):
        predict_tiled(model, x, tile=(16, 32), passes=passes - 1)


def test_models_without_neighbours_and_averages_of_the_image_itself() -> None:
    class Centred(nn.Module):
        in_channels = 1

        def forward(self, x: nx.Tensor) -> nx.Tensor:
            return x - x.mean((2, 3), keepdim=True)

    x = np.random.default_rng(8).standard_normal((2, 1, 64, 40)).astype(np.float32)
    assert np.array_equal(predict_tiled(Centred(), x, tile=(8, 16), passes=2), whole(Centred(), x))
    for model in (nn.Sequential(nn.Sigmoid()), nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())):
        model.in_channels = 1
        assert np.array_equal(predict_tiled(model, x, tile=(8, 16)), whole(model, x))


def test_misuse() -> None:
    model, x = UNet(1, 1, features=[4]), np.zeros((1, 1, 32, 32), np.float32)
    for call, error, text in (
        (lambda: predict_tiled(x, model), DTypeError, "expected a Module"),
        (lambda: predict_tiled(model, x[0]), ShapeError, r"expected x \(N, C, H, W\)"),
        (lambda: predict_tiled(model, x, tile=0), ArgumentError, "tile"),
        (lambda: predict_tiled(model, x, passes=0), ArgumentError, "passes"),
        (lambda: predict_tiled(model, x, tile="64"), ArgumentError, "tile"),
        (lambda: predict_tiled(model, x, tile=(64, 0)), ArgumentError, "tile"),
        (lambda: predict_tiled(model, x, tile=(64, 64, 64)), ArgumentError, "tile"),
        (lambda: predict_tiled(model, x, out=np.zeros((1, 1, 3, 3))), ShapeError, "expected out of shape"),
        (lambda: predict_tiled(model, x, tile=16, overlap=9, approximate=True), ArgumentError, "at most half the tile"),
        (lambda: receptive_field(nn.ReLU()), ArgumentError, "pass channels="),
    ):
        with pytest.raises(error, match=text):
            call()


def sixteen(x: nx.Tensor) -> tuple[nx.Tensor, np.ndarray]:
    """A map of enough channels for Winograd's algorithm, and a weight of such a layer."""
    weight = np.random.default_rng(7).standard_normal((16, 16, 3, 3)).astype(np.float32)
    return nx.cat([x * (i + 0.3) for i in range(16)], dim=1), weight


@pytest.mark.parametrize(
    ("rule", "run"),
    [
        (Sliding(1, 1, 1, 2), lambda x: nn.functional.max_pool2d(x, 3, 1, 1)),
        (Sliding(2, 1, 1, 2), lambda x: nn.functional.max_pool2d(x, 3, 2, 1)),
        (Sliding(2, 0, 0, 1, True), lambda x: nn.functional.max_pool2d(x, 2, ceil_mode=True)),
        (Sliding(3, 1, 1, 4), lambda x: nn.functional.max_pool2d(x, 3, 3, 1, dilation=2)),
        (Scattering(2, 1, 0, 2), lambda x: nn.functional.conv_transpose2d(x, nx.ones(1, 1, 3, 3), None, 2, 1, 1)),
        (Sliding(1, 1, 1, 2, grid=4), lambda x: nn.functional.conv2d(*sixteen(x), padding=1)[:, 0]),
        (Sliding(1, 2, 2, 2, grid=4), lambda x: nn.functional.conv_transpose2d(*sixteen(x))[:, 0]),
        (Framed(2, 3, 4), lambda x: nn.functional.pad(x, (2, 3, 2, 3), mode="reflect")),
        (Enlarged(2, True, 0, 1), lambda x: nn.functional.interpolate(x, scale_factor=2, mode="bilinear")),
        (Enlarged(4, True, 1, 2), lambda x: nn.functional.interpolate(x, scale_factor=4, mode="bicubic")),
        (Enlarged(2, False, 0, 0), lambda x: nn.functional.interpolate(x, scale_factor=2, mode="nearest")),
        (Cropped(24, 3), lambda x: x[..., :-3, :-3]),
    ],
)
def test_rules_say_what_is_exact(rule: object, run: object) -> None:
    """Against the operation itself: pixels that a rule calls exact are the whole map's, and nearly all that are so are called exact."""
    x = np.random.default_rng(6).standard_normal((1, 1, 48, 48)).astype(np.float32)
    full = run(nx.tensor(x)).numpy()
    for start, stop in ((0, 24), (24, 48), (12, 36)):
        part = run(nx.tensor(np.ascontiguousarray(x[..., start:stop, start:stop]))).numpy()
        span = rule.follow("op", Span(48, start, start, stop)).kept(part.shape[-1])
        assert span.full == full.shape[-1] or (isinstance(rule, Cropped) and stop < 48)  # what is cut there is no end
        a, b = span.low - span.start, span.high - span.start
        assert b > a
        assert np.array_equal(part[..., a:b, a:b], full[..., span.low : span.high, span.low : span.high])
        assert b - a >= part.shape[-1] - 4 * (part.shape[-1] // 24 + 2) - 3 * getattr(rule, "grid", 1)
    for first, last in (
        (0, 0),
        (5, 9),
        (8, min(30, full.shape[-1] - 1)),
        (0, full.shape[-1] - 1),
        (full.shape[-1] - 2, full.shape[-1] - 1),
    ):
        low, high = rule.needs(first, last, 48)
        span = Span(48, max(0, low // rule.step * rule.step), max(0, low), min(high, 48))
        after = rule.follow("op", span)  # what it says that outputs need makes them exact
        assert after.low <= first
        assert after.high > last or isinstance(rule, Cropped)
