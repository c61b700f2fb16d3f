"""Networks of other libraries, built from their weights alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from neurenix import nn
from neurenix.errors import StateError
from neurenix.export.weights import load_torch
from neurenix.multiscale import PlainConvEncoder, ResNetEncoder, UNet
from neurenix.nn import Module
from neurenix.serialization import weights

Given = Mapping[str, Any]
_INSIDE: Final = ("network_weights", "state_dict", "model_state_dict", "model")  # where checkpoints keep the weights


def from_torch(source: Any) -> Module:
    """Build one of the common U-Nets from another library's weights: its sizes are told from their shapes.

    Parameters
    ----------
    source : path or mapping
        A safetensors or ``.npz`` file, or a state dict: of milesial/Pytorch-UNet, of ``Unet`` of segmentation_models_pytorch with a
        ResNet, or of nnU-Net's ``PlainConvUNet`` for images.

    Returns
    -------
    UNet
        In evaluation mode, its outputs logits.

    Raises
    ------
    StateError
        If the names are none of these, or the network has parts that ours has not.

    Notes
    -----
    Outputs are those of the other library where it takes the size as it is: multiples of 16 or 32.

    Examples
    --------
    >>> import neurenix as nx
    >>> theirs = nx.export.to_torch(nx.multiscale.UNet(3, 2, features=[4, 8]), "milesial")
    >>> model = nx.export.from_torch(theirs)
    >>> model.in_channels, model.out_channels, model.features
    (3, 2, [4, 8])
    """
    for name in _INSIDE:
        if isinstance(source, Mapping) and isinstance(source.get(name), Mapping):
            source = source[name]
    given = weights.unwrapped(weights.entries_of(source), {})
    for key, (names, build) in _KNOWN.items():
        if key in given:
            model = build(given)
            given = {n: v for n, v in given.items() if n not in _unused(names, model)}
            load_torch(model, given, names=names)
            return model.eval()
    raise StateError(
        f"from_torch: expected weights of milesial/Pytorch-UNet, segmentation_models_pytorch or nnU-Net, got {list(given)[:3]}; "
        "build the model and use load_torch with names"
    )


def _shape(given: Given, name: str) -> tuple[int, ...]:
    if name not in given:
        raise StateError(f"from_torch: expected the weight {name!r}, got none; the network has other parts than ours")
    shape = tuple(int(n) for n in np.shape(given[name]))
    if len(shape) != 4:
        raise StateError(
            f"from_torch: expected a convolution's weight (O, I, kH, kW) for {name!r}, got shape {shape}; the network has other parts than ours"
        )
    return shape


def _count(given: Given, pattern: str) -> int:
    """How many numbers there are in names of a pattern."""
    return len({m[1] for n in given if (m := re.match(pattern, n))})


def _milesial(given: Given) -> UNet:
    n = _count(given, r"down(\d+)\.")
    _shape(given, "up1.up.weight")  # of bilinear=True, whose levels have other widths, there is none
    features = [_shape(given, f"{p}double_conv.3.weight")[0] for p in ("inc.", *(f"down{i}.maxpool_conv.1." for i in range(1, n)))]
    return UNet(_shape(given, "inc.double_conv.0.weight")[1], _shape(given, "outc.conv.weight")[0], features, final_activation=None)


def _smp(given: Given) -> UNet:
    blocks, wide = _count(given, r"encoder\.layer3\.(\d+)\."), "encoder.layer1.0.conv3.weight" in given
    depth = {(2, False): 18, (6, False): 34, (6, True): 50}.get((blocks, wide))
    if depth is None:
        raise StateError(
            f"from_torch: expected a ResNet of depth 18, 34 or 50, got {blocks} blocks in its third layer; build the model yourself"
        )
    n = _count(given, r"decoder\.blocks\.(\d+)\.")
    features = [_shape(given, f"decoder.blocks.{n - 1 - i}.conv2.0.weight")[0] for i in range(n)]
    encoder = ResNetEncoder(depth, _shape(given, "encoder.conv1.weight")[1], out_indices=range(n))
    classes, _, size, _ = _shape(given, "segmentation_head.0.weight")
    model = UNet(encoder.in_channels, classes, features, encoder=encoder, upsample="nearest", final_activation=None)
    model.head = nn.Conv2d(features[0], classes, size, padding=size // 2)
    return model


def _nnunet(given: Given) -> UNet:
    stages, convs = _count(given, r"encoder\.stages\.(\d+)\."), _count(given, r"encoder\.stages\.0\.0\.convs\.(\d+)\.")
    kernels = {_shape(given, f"decoder.transpconvs.{i}.weight")[2:] for i in range(stages - 1)}
    if kernels != {(2, 2)}:
        raise StateError(
            f"from_torch: expected a network for images whose stages halve them, got transposed convolutions of {sorted(kernels)}; there is none here"
        )
    features = [_shape(given, f"encoder.stages.{i}.0.convs.0.conv.weight")[0] for i in range(stages)]
    encoder = PlainConvEncoder(_shape(given, "encoder.stages.0.0.convs.0.conv.weight")[1], features, convs)
    classes = _shape(given, f"decoder.seg_layers.{stages - 2}.weight")[0]
    return UNet(encoder.in_channels, classes, encoder=encoder, norm="instance", activation="leaky_relu", final_activation=None)


def _unused(names: str, model: UNet) -> set[str]:
    """Heads of deep supervision, which the model is built without."""
    if names != "nnunet":
        return set()
    return {f"decoder.seg_layers.{i}.{part}" for i in range(len(model.features) - 1) for part in ("weight", "bias")}


_KNOWN: Final[dict[str, tuple[str, Callable[[Given], UNet]]]] = {
    "inc.double_conv.0.weight": ("milesial", _milesial),
    "decoder.blocks.0.conv1.0.weight": ("smp", _smp),
    "encoder.stages.0.0.convs.0.conv.weight": ("nnunet", _nnunet),
}
