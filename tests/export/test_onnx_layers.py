"""Layers as ONNX operators, what is refused, and what a file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurenix as nx
from neurenix import errors, nn
from neurenix.export.graph import RULES
from neurenix.normalization import Normalization

onnx = pytest.importorskip("onnx", reason="the package onnx has no wheel for this Python")
pytest.importorskip("onnxruntime", reason="the package onnxruntime has no wheel for this Python")
IMAGE, LINE, VOLUME = (None, 4, None, None), (None, 4, None), (None, 4, None, None, None)
LAYERS: list[tuple[nn.Module, Any]] = [
    (nn.Conv1d(4, 6, 3, padding="same", dilation=2), LINE),
    (nn.Conv2d(4, 6, 4, padding="same", groups=2, padding_mode="circular"), IMAGE),
    (nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect", stride=2, bias=False), IMAGE),
    (nn.Conv2d(4, 6, 3, padding=2, padding_mode="replicate"), IMAGE),
    (nn.Conv3d(4, 6, 3, padding=1, stride=(1, 2, 2)), VOLUME),
    (nn.ConvTranspose1d(4, 6, 3, 2), LINE),
    (nn.ConvTranspose2d(4, 6, 3, 2, padding=1, output_padding=1, groups=2, dilation=1), IMAGE),
    (nn.ConvTranspose3d(4, 6, 2, 2, bias=False), VOLUME),
    (nn.Linear(4, 6), (None, None, 4)),
    (nn.Flatten(), IMAGE),
    (nn.Flatten(0, 1), IMAGE),
    (nn.Flatten(2), VOLUME),
    (nn.BatchNorm1d(4), LINE),
    (nn.BatchNorm2d(4, affine=False), IMAGE),
    (nn.BatchNorm3d(4), VOLUME),
    (nn.InstanceNorm1d(4), LINE),
    (nn.InstanceNorm2d(4, affine=True, track_running_stats=True), IMAGE),
    (nn.InstanceNorm3d(4), VOLUME),
    (nn.GroupNorm(2, 4), VOLUME),
    (nn.GroupNorm(2, 4, affine=False), IMAGE),
    (nn.LayerNorm([4], bias=False), (None, None, 4)),
    (nn.RMSNorm(4), (None, None, 4)),
    (nn.LocalResponseNorm(3), IMAGE),
    (nn.MaxPool1d(3, 2, 1), LINE),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    (nn.MaxPool2d(3, 1, dilation=2), IMAGE),
    (nn.MaxPool3d(2), VOLUME),
    (nn.AvgPool1d(3, 2, 1), LINE),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    (nn.AvgPool2d((2, 3), count_include_pad=False), IMAGE),
    (nn.AvgPool3d(2, 1, 1), VOLUME),
    (nn.AdaptiveAvgPool1d(3), LINE),
    (nn.AdaptiveAvgPool2d((3, None)), IMAGE),
    (nn.AdaptiveAvgPool3d(2), VOLUME),
    (nn.AdaptiveMaxPool1d(4), LINE),
    (nn.AdaptiveMaxPool2d((2, 7)), IMAGE),
    (nn.AdaptiveMaxPool2d(1), IMAGE),
    (nn.AdaptiveMaxPool3d(2), VOLUME),
    (nn.ZeroPad2d((1, 2, 0, -1)), IMAGE),
    (nn.ConstantPad1d(2, 1.5), LINE),
    (nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    (nn.ReplicationPad3d(2), VOLUME),
    (nn.CircularPad2d(3), IMAGE),
    (nn.Upsample(scale_factor=2), IMAGE),
    (nn.Upsample(scale_factor=(1.7, 0.6), mode="bilinear"), IMAGE),
    (nn.Upsample(scale_factor=1.7, mode="bicubic", align_corners=True), IMAGE),
    (nn.Upsample(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True), IMAGE),
    (nn.Upsample(size=(7, 1), mode="bilinear", align_corners=True), IMAGE),
    (nn.Upsample(size=11, mode="area"), IMAGE),
    (nn.Upsample(scale_factor=0.7, mode="nearest-exact"), IMAGE),
    (nn.Upsample(scale_factor=1.3, mode="trilinear"), VOLUME),
    (nn.Upsample(scale_factor=2.05), IMAGE),
    (nn.Upsample(scale_factor=1.05), IMAGE),
    (nn.Upsample(scale_factor=1.05, mode="bilinear"), IMAGE),
    (nn.Upsample(scale_factor=2.05), VOLUME),
    (nn.Upsample(size=9, mode="linear"), LINE),
    (nn.UpsamplingBilinear2d(scale_factor=2), IMAGE),
    (nn.PixelShuffle(2), IMAGE),
    (nn.Sequential(nn.Upsample(scale_factor=6), nn.PixelUnshuffle(3)), IMAGE),
    (nn.ChannelShuffle(2), IMAGE),
    (nn.ConvNormAct(4, 6, activation="gelu", norm="group"), IMAGE),
    *((layer, IMAGE) for layer in (
        nn.ReLU(), nn.SELU(), nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.Tanh(), nn.LogSigmoid(), nn.Softsign(), nn.LeakyReLU(0.2), nn.ELU(0.7),
        nn.CELU(1.3), nn.GELU(), nn.GELU("tanh"), nn.Softplus(2.0, 0.5), nn.PReLU(4), nn.PReLU(), nn.RReLU(), nn.ReLU6(), nn.Hardswish(),
        nn.Hardsigmoid(), nn.Tanhshrink(), nn.Hardtanh(-0.1, 0.3), nn.Threshold(0.2, 0.1), nn.Hardshrink(0.3), nn.Softshrink(0.2), nn.GLU(1),
        nn.Softmax(), nn.Softmax2d(), nn.Softmin(2), nn.LogSoftmax(1), nn.Dropout(), nn.Dropout2d(), nn.Identity(),
    )),
]  # fmt: skip
WITHOUT = {
    "Module", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "LPPool1d", "LPPool2d",
    "LPPool3d", "Fold", "Unfold", "Bilinear", "Embedding", "Unflatten", "PairwiseDistance",
}  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: repr(v).split("\n")[0] if isinstance(v, nn.Module) else "")
def test_layers(layer: nn.Module, shape: Any, tmp_path: Path) -> None:
    model = nn.Sequential(Shifted(), layer)
    nx.export.onnx(model, tmp_path / "m.onnx", inputs=[shape])
    assert nx.export.check_onnx(model, tmp_path / "m.onnx", inputs=[shape], sizes=[(12, 12), (9, 13)]) < 2e-6


class Shifted(nn.Module):
    """Numbers of both signs."""

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        return (x - 0.5) * 2.0


@nx.export.rule(Shifted)
def shifted(_: nx.export.Graph, __: Shifted, x: nx.export.Value) -> nx.export.Value:
    return (x - 0.5) * 2.0


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 5}])
def test_attention_of_three_inputs(first: bool, sizes: dict[str, int], tmp_path: Path) -> None:
    model = nn.MultiheadAttention(8, 2, batch_first=first, **sizes)
    inputs = [(None, None, n) for n in (8, sizes.get("kdim", 8), sizes.get("vdim", 8))]
    nx.export.onnx(model, tmp_path / "m.onnx", inputs=inputs)
    import onnxruntime

    random, lengths = np.random.default_rng(0), (3, 5, 5)
    arrays = [
        random.normal(size=(2, n, c) if first else (n, 2, c)).astype(np.float32) for n, (_, _, c) in zip(lengths, inputs, strict=True)
    ]
    theirs = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {f"input_{i}": a for i, a in enumerate(arrays)})
    for a, b in zip(model.eval()(*arrays), theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)


def test_every_layer_has_a_rule_or_is_listed() -> None:
    layers = {v for v in vars(nn).values() if isinstance(v, type) and issubclass(v, nn.Module) and "Loss" not in v.__name__}
    without = {v.__name__ for v in layers if not any(k in RULES for k in v.__mro__)}
    assert without == WITHOUT


class Own(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        return self.conv(x)


class Renamed(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(4, 2, 3)


class Changed(nn.Conv2d):
    def forward(self, input: Any) -> nx.Tensor:
        return super().forward(input) * 2


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(Own())), "got Own at '1.0'; replace it, or say what it is with nx.export.rule"),
        (Changed(4, 2, 3), "got Changed as the model"),
        (
            nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)),
            "without running statistics, whose outputs depend on the batch at '0'",
        ),
        (nn.MaxPool2d(2, return_indices=True), "MaxPool2d with return_indices"),
        (nn.LocalResponseNorm(4), "of an even size"),
        (nn.AvgPool2d(2, divisor_override=3), "divisor_override"),
    ],
)
def test_what_cannot_be_said_is_refused_by_name_and_nothing_is_written(model: nn.Module, text: str, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match="export: expected modules that there are ONNX operators for") as caught:
        nx.export.onnx(model, tmp_path / "m.onnx")
    assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_hooks_are_refused_and_a_subclass_that_adds_a_constructor_is_not(tmp_path: Path) -> None:
    model = Renamed()
    nx.export.onnx(model, tmp_path / "m.onnx")
    assert nx.export.check_onnx(model, tmp_path / "m.onnx") < 1e-5
    model.register_forward_hook(lambda m, i, y: y * 2)
    with pytest.raises(errors.ArgumentError, match="Renamed with hooks"):
        nx.export.onnx(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("inputs", [3, [], [(None, "H")], [[(1, 2), 3]], [(0, 4)], [(True, 4)]])
def test_inputs_are_shapes(inputs: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match="export: expected inputs as a list of shapes, one an argument, got"):
        nx.export.onnx(nn.ReLU(), tmp_path / "m.onnx", inputs=inputs)


def test_inputs_that_the_model_does_not_take_are_refused_as_it_refuses_them(tmp_path: Path) -> None:
    with pytest.raises(errors.ShapeError, match="conv2d: expected x with 4 channels"):
        nx.export.onnx(nn.Conv2d(4, 2, 3), tmp_path / "m.onnx", inputs=[(None, 3, None, None)])
    with pytest.raises(errors.ArgumentError, match=r"expected inputs that Conv2d takes, got 2 arguments \(.*positional.*\); pass inputs="):
        nx.export.onnx(nn.Conv2d(4, 2, 3), tmp_path / "m.onnx", inputs=[IMAGE, IMAGE])
    assert list(tmp_path.iterdir()) == []


class Both(nn.Module):
    def forward(self, x: nx.Tensor) -> list[nx.Tensor]:
        return [x, x]


@nx.export.rule(Both)
def both(_: nx.export.Graph, __: Both, x: nx.export.Value) -> nx.export.Value:
    return x


def test_a_rule_that_gives_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(
        errors.ArgumentError, match=r"a rule of Both that gives what its forward gives, 2 outputs of \[4, 4\] axes, got \[4\]"
    ):
        nx.export.onnx(Both(), tmp_path / "m.onnx")


def test_more_weights_than_a_file_may_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurenix.export.onnx_file._LARGEST", 100)
    with pytest.raises(errors.FileError, match="at most 2 GB of weights, which an ONNX file may have, got .* bytes; use safetensors"):
        nx.export.onnx(nn.Conv2d(4, 8, 3), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_are_given_stay(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5))
    nx.export.onnx(model, tmp_path / "m.onnx", inputs=[(None, 2, 3, 4)])
    proto = onnx.load(tmp_path / "m.onnx")
    shapes = [[d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in (*proto.graph.input, *proto.graph.output)]
    assert shapes == [["batch", 2, 3, 4], ["batch", 5]]
    assert nx.export.check_onnx(model, tmp_path / "m.onnx", inputs=[(None, 2, 3, 4)]) < 1e-6


def test_float64_is_refused_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(errors.DTypeError, match=r"got float64 at weight; convert it with model.float\(\)"):
        nx.export.onnx(nn.Conv2d(1, 1, 1).double(), tmp_path / "m.onnx")


def test_a_file_tells_what_it_is(tmp_path: Path) -> None:
    model = nx.multiscale.UNet(1, 2, features=[4])
    model.input_normalization = Normalization(0.25, 0.5, 255.0)
    path = tmp_path / "m.onnx"
    nx.export.onnx(model, path, class_names=["nucleus", "border"], metadata={"trained on": "plates 1 to 4"})
    proto = onnx.load(path)
    told = {p.key: p.value for p in proto.metadata_props}
    assert (told["neurenix.version"], told["neurenix.class"]) == (nx.__version__, "neurenix.multiscale.UNet")
    assert json.loads(told["neurenix.classes"]) == ["nucleus", "border"]
    assert json.loads(told["neurenix.normalization"]) == {"mean": [0.25], "std": [0.5], "scale": 255.0, "in_graph": False}
    assert told["trained on"] == "plates 1 to 4"
    assert {i.name for i in proto.graph.initializer} >= {n for n in model.state_dict() if "num_batches" not in n}
    shapes = [[d.dim_value or d.dim_param for d in v.type.tensor_type.shape.dim] for v in (*proto.graph.input, *proto.graph.output)]
    assert shapes == [["batch", 1, "input_height", "input_width"], ["batch", 2, "output_height", "output_width"]]
    with pytest.raises(errors.ArgumentError, match="list of 2 class names"):
        nx.export.onnx(model, path, class_names=["nucleus"])


def test_normalisation_inside_the_graph(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3))
    with pytest.raises(errors.ArgumentError, match="with input_normalization"):
        nx.export.onnx(model, tmp_path / "m.onnx", normalize=True)
    model.input_normalization = Normalization([0.25, 0.5], [0.5, 2.0], 255.0)
    nx.export.onnx(model, tmp_path / "m.onnx", normalize=True)
    import onnxruntime

    image = np.random.default_rng(0).integers(0, 256, (1, 2, 9, 8)).astype(np.float32)
    (theirs,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"input": image})
    np.testing.assert_allclose(nx.predict(model, image), theirs, rtol=1e-5, atol=1e-6)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(errors.BackendUnavailableError, match=r"^onnx: expected the package for ONNX files.*neurenix-multiscale\[export\]"):
        nx.export.onnx(nn.ReLU(), tmp_path / "m.onnx")
