"""U-Nets of other libraries from their weights alone: their names, their shapes, their outputs (``torch_unets.py`` made them)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import formula
import numpy as np
import pytest

import neurenix as nx
from neurenix import errors
from neurenix.export.names import LAYOUTS

THEIRS: dict[str, Any] = json.loads(Path(__file__).with_name("torch_unets.json").read_text())


def is_twin(name: str) -> bool:
    """Whether nnU-Net has this tensor under another name as well."""
    return ".all_modules." in name or name.startswith("decoder.encoder.")


def state(name: str) -> dict[str, np.ndarray]:
    """Their state dict, with its other names for the same tensors."""
    shapes = {n: tuple(s) for n, s in THEIRS[name]["shapes"].items()}
    values = formula.weights({n: s for n, s in shapes.items() if name != "nnunet" or not is_twin(n)})
    again = {twin: v for n, v in values.items() for twin in LAYOUTS["nnunet"].twins(n)} if name == "nnunet" else {}
    assert {**values, **again}.keys() == shapes.keys()
    return {n: v.astype(np.float32) if v.dtype.kind == "f" else v for n, v in (values | again).items()}


@pytest.mark.parametrize("name", THEIRS)
def test_networks_give_what_theirs_give(name: str) -> None:
    given = state(name)
    model = nx.export.from_torch({"network_weights": given} if name == "nnunet" else given)
    assert not model.training
    with nx.no_grad():
        found = model(formula.image((1, THEIRS[name]["channels"], 64, 96)).astype(np.float32)).numpy()
    np.testing.assert_allclose(found[0, :, 3::16, 5::16].reshape(-1), THEIRS[name]["output"], rtol=1e-4, atol=1e-5)

    layout = name.split(maxsplit=1)[0]
    back = nx.export.to_torch(model, layout)
    lacks = given.keys() - back.keys()  # biases without effect, and heads of deep supervision, which the model has not
    assert all(".conv." in n or ".all_modules.0." in n or "seg_layers" in n or "double_conv" in n for n in lacks)
    assert (name.endswith("biases") or name == "nnunet") == bool(lacks)
    assert all(v.shape == given[n].shape for n, v in back.items())
    same = [n for n in back if not n.endswith(("running_mean", "num_batches_tracked"))]
    assert all(np.array_equal(back[n], given[n]) for n in same)


def test_what_their_files_hold_besides_is_left_out() -> None:
    """Grey levels that milesial's training saves among the weights; stages that smp makes though ``encoder_depth`` does not use them."""
    assert nx.export.from_torch(state("milesial") | {"mask_values": [0, 255]}).out_channels == 2
    encoder = nx.multiscale.ResNetEncoder(18, out_indices=range(4))
    shallow = nx.multiscale.UNet(3, 2, [4, 8, 12, 16], encoder=encoder, upsample="nearest", final_activation=None)
    whole = {n: v for n, v in state("smp resnet18").items() if n.startswith("encoder.")}
    assert any(n.startswith("encoder.layer4.") for n in whole)
    model = nx.export.from_torch(nx.export.to_torch(shallow, "smp") | whole)
    assert model.features == [4, 8, 12, 16]
    assert np.array_equal(model.encoder.layer3[0].conv1.weight, whole["encoder.layer3.0.conv1.weight"])


def test_names_that_a_file_leaves_out_are_not_missed() -> None:
    """Files of safetensors hold no tensor twice."""
    given = {n: v for n, v in state("nnunet").items() if not is_twin(n)}
    assert nx.export.from_torch(given).encoder.out_channels == [4, 8, 12, 12]


def test_deep_supervision_of_nnunet_has_all_its_heads() -> None:
    given = state("nnunet")
    model = nx.multiscale.UNet(
        1, 3, encoder=nx.multiscale.PlainConvEncoder(1, [4, 8, 12, 12]), norm="instance", activation="leaky_relu", deep_supervision=True
    )
    assert nx.export.load_torch(model, given, names="nnunet") == ([], [])
    assert np.array_equal(model.heads[1].weight, given["decoder.seg_layers.0.weight"])
    assert {n for n in given if "seg_layers" in n} <= nx.export.to_torch(model, "nnunet").keys()


def without(name: str, *parts: str) -> dict[str, np.ndarray]:
    return {n: v for n, v in state(name).items() if not n.startswith(parts)}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"a.weight": np.zeros(3)}, "got ['a.weight']; build the model and use load_torch with names"),
        (without("milesial", "up1.up."), "the weight 'up1.up.weight', got none; the network has other parts than ours"),
        (without("smp resnet18", "encoder.layer3.1."), "a ResNet of depth 18, 34 or 50, got 1 blocks"),
        (without("nnunet", "decoder.stages.1."), "missing decoder.1.first.0.weight"),
        (state("smp resnet18") | {"decoder.blocks.0.attention1.weight": np.zeros(3)}, "unexpected decoder.blocks.0.attention1.weight"),
        (
            state("milesial") | {"outc.conv.weight": np.zeros(3)},
            "a convolution's weight (O, I, kH, kW) for 'outc.conv.weight', got shape (3,)",
        ),
        (state("smp resnet18") | {"decoder.blocks.0.conv1.0.weight": np.zeros(3)}, "wrong shape for decoder.4.first.0.weight"),
        (state("milesial with biases") | {"inc.double_conv.0.bias": np.zeros(3)}, "unexpected encoder.0.first.0.bias"),
        (state("nnunet") | {"decoder.transpconvs.0.weight": np.zeros((12, 12, 1, 2))}, "transposed convolutions of [(1, 2), (2, 2)]"),
    ],
)
def test_other_networks_are_refused_by_what_differs(given: dict[str, np.ndarray], text: str) -> None:
    with pytest.raises(errors.StateError) as caught:
        nx.export.from_torch(given)
    assert text in str(caught.value)
