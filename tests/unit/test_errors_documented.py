"""Errors that the documentation promises: their type and their text, one line each.

Each text has the form ``op: expected what, got what; what to do``. The table grows with the library; tests of one operation's own
arguments stand beside that operation's tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurenix as nx
from neurenix import data, errors, nn, optim
from neurenix.multiscale import (
    CDF53Wavelet,
    DifferenceOfGaussians,
    FeatureFusion,
    GaussianPyramid,
    HaarWavelet,
    LaplacianPyramid,
    MultiScaleModel,
    MultiScalePooling,
    PyramidDownsample,
    Rescale,
    ScaleFusion,
    ScaleSpace,
    SpatialPyramidPooling,
    UNet,
)
from neurenix.nn import functional as F

X, WEIGHT = nx.Tensor(shape=(1, 3, 8, 8)), nx.Tensor(shape=(4, 3, 3, 3))


def unet() -> UNet:
    return UNet(3, 1, [4, 8]).eval()


CASES: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (errors.ArgumentError, "Tensor: expected either data or shape=, got neither; pass one of them", nx.Tensor),
    (errors.ArgumentError, "Tensor: expected either data or shape=, got both; pass one of them", lambda: nx.Tensor([1], shape=(1,))),
    (errors.ShapeError, "Tensor: expected sizes that are integers of at least 0, got shape=(-1,)", lambda: nx.Tensor(shape=(-1,))),
    (
        errors.ShapeError,
        "Tensor: expected sizes that are integers of at least 0, got shape=(nan, 2)",
        lambda: nx.Tensor(shape=(float("nan"), 2)),
    ),
    (errors.DTypeError, "Tensor: expected a plain array, got a masked array", lambda: nx.Tensor(np.ma.masked_array([1.0], [True]))),
    (
        errors.DTypeError,
        "Tensor: expected float16, float32, float64, an integer type or bool, got complex128",
        lambda: nx.Tensor(np.array([1j])),
    ),
    (errors.DTypeError, "requires_grad_: expected a float tensor, got int64", lambda: nx.tensor([1]).requires_grad_()),
    (errors.ArgumentError, 'device: expected "cpu", "cuda" or "cuda:N", got \'tpu\'', lambda: nx.Tensor([1], device="tpu")),
    (errors.ShapeError, "item: expected one element, got shape (2,)", lambda: nx.Tensor([1, 2]).item()),
    (errors.GraphError, "backward: expected a tensor that was recorded", lambda: nx.Tensor([1]).backward()),
    (
        errors.ShapeError,
        "conv2d: expected x with 3 channels (weight is (4, 3, 3, 3)), got (1, 4, 8, 8)",
        lambda: F.conv2d(nx.Tensor(shape=(1, 4, 8, 8)), WEIGHT),
    ),
    (errors.ArgumentError, "conv2d: expected stride of at least 1, got 0", lambda: F.conv2d(X, WEIGHT, stride=0)),
    (errors.DTypeError, "conv2d: expected weight of float32 like the input, got float64", lambda: F.conv2d(X, WEIGHT.double())),
    (
        errors.ShapeError,
        "UNet: expected x with 3 channels (N, 3, H, W), got shape (1, 4, 8, 8)",
        lambda: unet()(nx.Tensor(shape=(1, 4, 8, 8))),
    ),
    (errors.ShapeError, "UNet: expected x (N, 3, H, W), got shape (3, 8, 8)", lambda: unet()(nx.Tensor(shape=(3, 8, 8)))),
    (errors.DTypeError, "UNet: expected a float image, got uint8(1, 3, 8, 8)", lambda: unet()(np.zeros((1, 3, 8, 8), np.uint8))),
    (
        errors.ShapeError,
        "UNet: expected x with 3 channels (N, 3, H, W), got shape (1, 8, 8, 3)",
        lambda: unet()(np.zeros((1, 8, 8, 3), np.float32)),
    ),
    (errors.ArgumentError, "UNet: expected features as a list of integers, got []", lambda: UNet(3, 1, features=[])),
    (errors.ArgumentError, "UNet: expected out_channels of at least 1, got 0", lambda: UNet(3, 0)),
    (errors.ArgumentError, "UNet: expected in_channels as an integer, got True", lambda: UNet(True, 1)),
    (errors.ArgumentError, "UNet: expected norm 'batch', 'group', 'instance' or None, got 'layer'", lambda: UNet(3, 1, norm="layer")),
    (
        errors.ArgumentError,
        "UNet: expected final_activation 'sigmoid', 'softmax' or None, got 'tanh'",
        lambda: UNet(3, 1, final_activation="tanh"),
    ),
    (errors.GraphError, "get_encoder_features: expected a forward pass before it, got none", lambda: UNet(3, 1).get_encoder_features()),
    (errors.ArgumentError, "MultiScaleModel: expected scales as a list of numbers, got []", lambda: MultiScaleModel([])),
    (
        errors.ArgumentError,
        "MultiScaleModel: expected scales[1] as a finite number above 0, got nan",
        lambda: MultiScaleModel([1.0, float("nan")]),
    ),
    (
        errors.ArgumentError,
        "MultiScaleModel: expected fusion_method one of 'concat', 'sum', 'attention', got 'max'",
        lambda: MultiScaleModel([1.0], fusion_method="max"),
    ),
    (errors.ArgumentError, "add_scale: expected a new scale, got 1.0, which is among [1.0]", lambda: MultiScaleModel([1.0]).add_scale(1.0)),
    (
        errors.ArgumentError,
        "remove_scale: expected to keep a scale, got the last one, 1.0",
        lambda: MultiScaleModel([1.0]).remove_scale(1.0),
    ),
    (errors.ArgumentError, "remove_scale: expected one of [1.0], got 0.5", lambda: MultiScaleModel([1.0]).remove_scale(0.5)),
    (errors.ArgumentError, "FeatureFusion: expected 2 maps, got 1", lambda: FeatureFusion([3, 4], 2)([X])),
    (
        errors.ShapeError,
        "ScaleFusion: expected a map of about (4, 4) at scale 0.5 ((8, 8) at 1.0), got (8, 8)",
        lambda: ScaleFusion([1.0, 0.5], 3, 2)([X, X]),
    ),
    (errors.ArgumentError, "Rescale: expected scale_factor as a finite number above 0, got 0.0", lambda: Rescale(0.0)),
    (
        errors.ArgumentError,
        "Rescale: expected mode one of 'nearest', 'bilinear', 'bicubic', got 'lanczos'",
        lambda: Rescale(0.5, "lanczos"),
    ),
    (errors.GraphError, "get_level: expected a forward pass before it, got none", lambda: PyramidDownsample(2).get_level(0)),
    (errors.ArgumentError, "GaussianPyramid: expected num_levels of at most 32, got 33", lambda: GaussianPyramid(33)),
    (errors.ArgumentError, "LaplacianPyramid: expected 2 levels, got 1", lambda: LaplacianPyramid(2).inverse([X])),
    (
        errors.ArgumentError,
        "HaarWavelet: expected 1 triples of bands and a low band, got 1 entries",
        lambda: HaarWavelet(1).inverse([X]),
    ),
    (
        errors.DTypeError,
        "CDF53Wavelet: expected float32, float64 or integers up to int64, got bool; convert it with .to(nx.uint8)",
        lambda: CDF53Wavelet(1)(np.zeros((1, 2, 2), bool)),
    ),
    (errors.ArgumentError, "ScaleSpace: expected assumed_blur of at most sigma, 1.6, got 2.0", lambda: ScaleSpace(assumed_blur=2.0)),
    (errors.ShapeError, "DifferenceOfGaussians: expected x (N, C, H, W) or (C, H, W)", lambda: DifferenceOfGaussians()(np.zeros((4, 4)))),
    (
        errors.ArgumentError,
        "MultiScaleModel: expected return_weights only with fusion_method 'attention', got it with 'concat'; leave it out",
        lambda: MultiScaleModel([1.0])(X, return_weights=True),
    ),
    (
        errors.ShapeError,
        "pyramid_expand: expected size of which (8, 8) is half, rounded up, got (8, 8)",
        lambda: F.pyramid_expand(X, (8, 8)),
    ),
    (errors.ShapeError, "pyramid_reduce: expected x (N, C, H, W) or (C, H, W)", lambda: F.pyramid_reduce(np.zeros(4))),
    (errors.ArgumentError, "gaussian_blur: expected sigma as finite numbers of at least 0, got -1", lambda: F.gaussian_blur(X, -1)),
    (errors.ArgumentError, "MultiScalePooling: expected pool_sizes[0] of at least 1, got 0", lambda: MultiScalePooling([0])),
    (
        errors.ArgumentError,
        "MultiScalePooling: expected pool_type one of 'avg', 'max', got 'median'",
        lambda: MultiScalePooling([2], "median"),
    ),
    (errors.ArgumentError, "SpatialPyramidPooling: expected num_levels of at least 1, got 0", lambda: SpatialPyramidPooling(0)),
    (
        errors.ArgumentError,
        "binary_cross_entropy: expected probabilities in [0, 1], got values outside",
        lambda: nn.BCELoss()(nx.tensor([2.0]), nx.tensor([1.0])),
    ),
    (
        errors.ShapeError,
        "binary_cross_entropy: expected a target of shape (2, 1, 4, 4), got (2, 4, 4)",
        lambda: nn.BCELoss()(nx.Tensor(shape=(2, 1, 4, 4)), nx.Tensor(shape=(2, 4, 4))),
    ),
    (
        errors.ArgumentError,
        "binary_cross_entropy_with_logits: expected logits, got the output of sigmoid, which would be applied twice",
        lambda: nn.BCEWithLogitsLoss()(nx.tensor([[0.5, 2.0]]).sigmoid(), nx.Tensor(shape=(1, 2))),
    ),
    (errors.ArgumentError, "Adam: expected parameters, got none", lambda: optim.Adam([])),
    (errors.ArgumentError, "Adam: expected lr of at least 0, got -1.0", lambda: optim.Adam(unet().parameters(), lr=-1.0)),
    (
        errors.ArgumentError,
        "DataLoader: expected batch_size to be an integer of at least 1, got 0",
        lambda: data.DataLoader([1, 2], batch_size=0),
    ),
    (
        errors.DTypeError,
        "add: expected operands of one float type, got float32 and float64",
        lambda: nx.Tensor([1.0]) + nx.Tensor(np.ones(2)),
    ),
    (
        errors.ShapeError,
        "add: expected shapes that broadcast, got (2, 3) and (4,)",
        lambda: nx.Tensor(shape=(2, 3)) + nx.Tensor(shape=(4,)),
    ),
    (errors.ArgumentError, "cat: expected at least one tensor, got none", lambda: nx.cat([])),
    (errors.ShapeError, "reshape: expected 6 elements as in shape (2, 3), got (4,)", lambda: nx.Tensor(shape=(2, 3)).reshape(4)),
    (
        errors.RangeError,
        "getitem: expected an index inside shape (2, 3), got 5 (index 5 is out of bounds for axis 0 with size 2)",
        lambda: nx.Tensor(shape=(2, 3))[5],
    ),
    (errors.ArgumentError, "set_num_threads: expected 1 to 1024 threads, got 0", lambda: nx.set_num_threads(0)),
    (
        errors.ArgumentError,
        'set_float32_precision: expected "ieee", "fast" or "tf32", got \'best\'',
        lambda: nx.set_float32_precision("best"),
    ),
    (
        errors.StateError,
        "load_state_dict: expected the 66 entries of UNet, got missing encoder.0.first.0.weight",
        lambda: unet().load_state_dict({}),
    ),
    (
        errors.ShapeError,
        "predict: expected an image of 3 channels, got shape (8, 8, 2)",
        lambda: nx.predict(unet(), np.zeros((8, 8, 2), np.float32)),
    ),
    (errors.ShapeError, "overlay: expected a mask of (4, 4) pixels, got (5, 5)", lambda: nx.overlay(np.zeros((4, 4)), np.zeros((5, 5)))),
    (errors.DTypeError, "mean: expected float32 or float64, got int64", lambda: nx.mean(nx.tensor([1, 2]))),
    (errors.ArgumentError, "interpolate: expected size of at least 1, got 0", lambda: F.interpolate(X, size=(0, 4))),
    (errors.ArgumentError, "max_pool2d: expected kernel_size of at least 1, got 0", lambda: F.max_pool2d(X, 0)),
]


@pytest.mark.parametrize(("kind", "text", "call"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_raises(kind: type[Exception], text: str, call: Callable[[], Any]) -> None:
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(text), message
    assert "expected" in message
    assert "got" in message
    assert ";" in message, f"the message does not say what to do: {message}"


@pytest.mark.parametrize("name", [n for n in vars(errors) if n.endswith("Error") and n != "NeurenixError"])
def test_each_error_is_also_a_built_in_one(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.NeurenixError)
    assert any(base.__module__ == "builtins" and base not in (Exception, BaseException, object) for base in kind.__mro__)
