"""Every model of neurenix.multiscale as an ONNX file gives in ONNX Runtime what it gives here, at sizes odd, tiny and oblong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import multiscale as ms, nn

onnx = pytest.importorskip("onnx", reason="the package onnx has no wheel for this Python")
pytest.importorskip("onnxruntime", reason="the package onnxruntime has no wheel for this Python")
SIZES = ((32, 32), (37, 21), (1, 1), (5, 3), (16, 50))
MAPS = [4, 6, 8]


def unet(**settings: object) -> nn.Module:
    return ms.UNet(2, 3, features=[4, 6, 8], **{"final_activation": None, **settings})


def small_convnext() -> nn.Module:
    return ms.ConvNeXtEncoder(2, depths=(1, 1, 2), widths=(8, 12, 16), layer_scale=0.5)


def over_scales(fusion: str, base: bool, **settings: object) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()) if base else None
    return ms.MultiScaleModel([1.0, 0.5, 0.29, 1.7], model, fusion, **settings)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "unet": unet,
    "unet sigmoid": lambda: unet(final_activation="sigmoid"),
    "unet softmax": lambda: unet(final_activation="softmax"),
    "unet group": lambda: unet(norm="group"),
    "unet instance": lambda: unet(norm="instance"),
    "unet without norm": lambda: unet(norm=None),
    "unet attention": lambda: unet(attention=True),
    "unet residual": lambda: unet(residual=True),
    "unet squeeze": lambda: unet(squeeze_excitation=True),
    "unet deep": lambda: unet(deep_supervision=True),
    "unet blur": lambda: unet(downsample="blur"),
    "unet all": lambda: unet(attention=True, residual=True, squeeze_excitation=True, deep_supervision=True),
    "unet nearest": lambda: unet(upsample="nearest", activation="leaky_relu"),
    "unet bilinear": lambda: unet(upsample="bilinear", activation="silu", attention=True),
    "unet plain": lambda: ms.UNet(
        2, 3, final_activation=None, encoder=ms.PlainConvEncoder(2, MAPS), norm="instance", activation="leaky_relu", deep_supervision=True
    ),
    "unet resnet": lambda: ms.UNet(2, 3, final_activation=None, encoder=ms.ResNetEncoder(18, 2, out_indices=[0, 1, 2])),
    "unet convnext": lambda: ms.UNet(
        2, 3, final_activation=None, norm="group", encoder=small_convnext(), attention=True, deep_supervision=True
    ),
    "unet++": lambda: ms.UNetPlusPlus(2, 3, features=MAPS, final_activation=None),
    "unet++ deep": lambda: ms.UNetPlusPlus(2, 3, features=MAPS, deep_supervision=True, norm="group"),
    "pyramid network": lambda: ms.PyramidNetwork(2, 3, base_channels=4, num_levels=4),
    "scales concat": lambda: over_scales("concat", True),
    "scales sum": lambda: over_scales("sum", True, final_activation="softmax"),
    "scales attention": lambda: over_scales("attention", True),
    "scales antialias": lambda: over_scales("attention", False, antialias=True),
    "resnet50": lambda: ms.ResNetEncoder(50, 2, replace_stride_with_dilation=(True, False, False), out_indices=[0, 1, 2]),
    "convnext": small_convnext,
    "fpn": lambda: ms.FeaturePyramidNetwork(MAPS, 5),
    "fpn max": lambda: ms.FeaturePyramidNetwork(MAPS, 5, ms.LastLevelMaxPool(), norm="batch"),
    "fpn p6p7": lambda: ms.FeaturePyramidNetwork(MAPS, 5, ms.LastLevelP6P7(8, 5)),
    "panet": lambda: ms.PANet(MAPS, 5, norm="group"),
    "bifpn": lambda: ms.BiFPN(MAPS, 8, num_layers=2),
    "aspp": lambda: ms.ASPP(4, [2, 3], 6),
    "sppf": lambda: ms.SPPF(4, 6),
    "ppm": lambda: ms.PPM(4, 6),
    "dappm": lambda: ms.DAPPM(4, 6, 5),
    "upernet": lambda: ms.UPerHead(MAPS, 3, channels=8),
    "attention gate": lambda: ms.AttentionGate(4, 6),
    "squeeze and excitation": lambda: ms.SqueezeExcitation(4),
    "residual block": lambda: ms.ResidualBlock(4, 6, 2, squeeze_excitation=True),
    "pools": ms.MultiScalePooling,
    "pools max": lambda: ms.MultiScalePooling([2, 5], "max"),
    "pyramid pooling": lambda: ms.PyramidPooling(4, 6),
    "spatial pyramid": ms.SpatialPyramidPooling,
    "spatial pyramid mean": lambda: ms.SpatialPyramidPooling(pool_type="avg"),
    "fusion concat": lambda: ms.FeatureFusion(MAPS, 6),
    "fusion sum": lambda: ms.FeatureFusion(MAPS, 6, "sum"),
    "fusion attention": lambda: ms.ScaleFusion([1.0, 0.5, 0.25], 4, 6, "attention"),
    "attention fusion": lambda: ms.AttentionFusion(MAPS, 6),
    "rescale": lambda: ms.Rescale(0.37, "bicubic"),
    "scale transform": lambda: ms.MultiScaleTransform([1.0, 0.29, 2.3], "bicubic", antialias=True),
    "nearest transform": lambda: ms.MultiScaleTransform([0.6, 2.3], "nearest"),
    "downsampling": ms.PyramidDownsample,
    "gaussian pyramid": lambda: ms.GaussianPyramid(4),
    "laplacian pyramid": lambda: ms.LaplacianPyramid(4),
    "scale space": lambda: ms.ScaleSpace(2, mode="symmetric"),
    "blur": lambda: ms.BlurPool(4, 4),
    "haar": lambda: ms.HaarWavelet(2),
    "cdf 5/3": lambda: ms.CDF53Wavelet(2),
}


def trained(model: nn.Module) -> nn.Module:
    """Running statistics and weights as training might leave them, so that no layer is nearly the identity."""
    random = np.random.default_rng(1)
    for m in model.modules():
        if getattr(m, "running_mean", None) is not None:
            m.running_mean.assign_(nx.tensor(random.normal(0, 0.3, m.running_mean.shape).astype(np.float32)))
            m.running_var.assign_(nx.tensor(random.uniform(0.5, 2, m.running_var.shape).astype(np.float32)))
    return model


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str, tmp_path: Path) -> None:
    nx.manual_seed(0)
    model = trained(MODELS[name]())
    nx.export.onnx(model, tmp_path / "m.onnx")
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)  # types and shapes of every node
    assert nx.export.check_onnx(model, tmp_path / "m.onnx", sizes=SIZES) < 1e-5
    assert model.training


@pytest.mark.devices
def test_models_on_any_device(device: str, tmp_path: Path) -> None:
    nx.manual_seed(0)
    model = ms.UNet(1, 1, features=[2], norm="group")
    nx.export.onnx(model, tmp_path / "cpu.onnx")
    nx.export.onnx(model.to(device=device), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == (tmp_path / "cpu.onnx").read_bytes()
    assert nx.export.check_onnx(model, tmp_path / "m.onnx", sizes=[(5, 4)]) < 1e-5


def test_a_gate_whose_signal_is_of_another_size(tmp_path: Path) -> None:
    import onnxruntime

    model, random = ms.AttentionGate(4, 6), np.random.default_rng(0)
    nx.export.onnx(model, tmp_path / "m.onnx")
    x, g = random.random((2, 4, 21, 33), np.float32), random.random((2, 6, 8, 11), np.float32)
    (theirs,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"input_0": x, "input_1": g})
    np.testing.assert_allclose(model(x, g).numpy(), theirs, atol=1e-6)


def test_differences_of_gaussians_within_rounding_of_what_they_are_differences_of(tmp_path: Path) -> None:
    model = ms.DifferenceOfGaussians(2)
    nx.export.onnx(model, tmp_path / "m.onnx")
    for size in [(32, 32), (37, 21)]:
        assert nx.export.check_onnx(model, tmp_path / "m.onnx", sizes=[size]) < 1e-5


def test_outputs_are_not_nearly_constant() -> None:
    """So that the comparison above can fail."""
    nx.manual_seed(0)
    for name in ("unet", "unet group", "unet resnet", "unet convnext", "unet++", "pyramid network", "scales attention", "convnext"):
        with nx.no_grad():
            y = trained(MODELS[name]()).eval()(nx.rand(1, 2, 32, 32))
        y = y[0] if isinstance(y, list) else y
        assert y.numpy().std() > 0.02 * np.abs(y.numpy()).max(), name


@pytest.mark.parametrize("size", [(700, 501), (1000, 3)])
def test_large_images(size: tuple[int, int], tmp_path: Path) -> None:
    """Places of resizing are exact: ONNX's own, in float32, are 1e-4 off here."""
    model = ms.MultiScaleTransform([0.37, 1.3], "bilinear")
    nx.export.onnx(model, tmp_path / "m.onnx")
    assert nx.export.check_onnx(model, tmp_path / "m.onnx", sizes=[size]) < 1e-6


def test_every_public_class_is_exported_here() -> None:
    shown = {type(m) for make in MODELS.values() for m in make().modules()} | {ms.DifferenceOfGaussians}
    public = {v for v in vars(ms).values() if isinstance(v, type) and issubclass(v, nn.Module)}
    assert not public - shown
