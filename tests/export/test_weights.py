"""Weights under other libraries' names: out, in, and back to the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import neurenix as nx
from neurenix import errors, nn
from neurenix.normalization import Normalization

MILESIAL = {
    "inc.double_conv.1.num_batches_tracked",
    "up1.conv.double_conv.0.weight",
    "outc.conv.weight",
    "inc.double_conv.1.weight",
    "down1.maxpool_conv.1.double_conv.0.weight",
    "inc.double_conv.1.running_mean",
    "inc.double_conv.3.weight",
    "up1.up.weight",
    "up1.up.bias",
    "outc.conv.bias",
    "up2.conv.double_conv.4.running_var",
    "inc.double_conv.1.bias",
    "down2.maxpool_conv.1.double_conv.4.bias",
    "inc.double_conv.0.weight",
    "inc.double_conv.1.running_var",
}  # some of them


def unet(seed: int = 0) -> nx.multiscale.UNet:
    nx.manual_seed(seed)
    return nx.multiscale.UNet(3, 2, features=[4, 8])


def test_a_safetensors_file_is_what_its_own_package_reads(tmp_path: Path) -> None:
    model = unet()
    model.input_normalization = Normalization(0.5, 0.25)
    nx.export.safetensors(model, tmp_path / "m.safetensors", class_names=["a", "b"], metadata={"by": "me"})
    held = load_file(tmp_path / "m.safetensors")
    assert {n: t.shape for n, t in model.state_dict().items()} == {n: a.shape for n, a in held.items()}
    assert held["encoder.0.first.0.weight"].shape == (4, 3, 3, 3)
    header = (tmp_path / "m.safetensors").read_bytes()
    told = json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]
    assert (told["format"], told["by"], told["neurenix.class"]) == ("pt", "me", "neurenix.multiscale.UNet")
    assert json.loads(told["neurenix.classes"]) == ["a", "b"] and json.loads(told["neurenix.normalization"])["mean"] == [0.5]
    other = unet(1)
    assert nx.export.load_torch(other, tmp_path / "m.safetensors") == ([], [])
    assert all(np.array_equal(t, other.state_dict()[n]) for n, t in model.state_dict().items())


def test_names_of_milesial(tmp_path: Path) -> None:
    model = unet()
    nx.export.safetensors(model, tmp_path / "m.safetensors", names="milesial")
    held = load_file(tmp_path / "m.safetensors")
    assert held.keys() >= MILESIAL and len(held) == len(model.state_dict())
    assert held["up1.up.weight"].shape == (16, 8, 2, 2) and held["up2.conv.double_conv.0.weight"].shape == (4, 8, 3, 3)
    save_file({f"module.{n}": a for n, a in held.items()}, tmp_path / "wrapped.safetensors")
    other = unet(1)
    assert nx.export.load_torch(other, tmp_path / "wrapped.safetensors", names="milesial") == ([], [])
    assert all(np.array_equal(t, other.state_dict()[n]) for n, t in model.state_dict().items())
    with pytest.raises(errors.ArgumentError, match="a model that is the UNet of milesial/Pytorch-UNet"):
        nx.export.to_torch(nx.multiscale.UNet(3, 2, features=[4], attention=True), "milesial")


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_biases_before_a_normalisation_change_nothing(norm: str) -> None:
    """Older versions of that network have them."""
    nx.manual_seed(0)
    model, random = nx.multiscale.UNet(1, 1, features=[4], norm=norm, final_activation=None), np.random.default_rng(0)
    theirs = dict(nx.export.to_torch(model, "milesial"))
    bias = random.normal(size=4).astype(np.float32)
    theirs["inc.double_conv.0.bias"] = bias
    conv, image = model.encoder[0].first[0], nx.Tensor(random.random((1, 1, 8, 8), np.float32))
    biased = nn.Conv2d(1, 4, 3, padding=1)
    biased.load_state_dict({"weight": conv.weight.numpy(), "bias": bias})
    model.encoder[0].first[0] = biased
    expected = model.eval()(image).numpy()
    loaded = nx.multiscale.UNet(1, 1, features=[4], norm=norm, final_activation=None)
    assert nx.export.load_torch(loaded, theirs, names="milesial") == ([], [])
    np.testing.assert_allclose(loaded.eval()(image).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_names_from_a_file_and_a_mapping(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    (tmp_path / "names.toml").write_text('"stem." = "0."\n[head]\nweight = "1.weight"\nbias = "1.bias"\n')
    theirs = nx.export.to_torch(model, tmp_path / "names.toml")
    assert list(theirs) == ["stem.weight", "stem.bias", "head.weight", "head.bias"]
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 1, 1))
    assert nx.export.load_torch(other, theirs, names={"stem.": "0.", "head.": "1."}) == ([], [])
    assert np.array_equal(other[1].weight, model[1].weight)
    with pytest.raises(errors.StateError, match="missing 0.weight, 0.bias"):
        nx.export.load_torch(other, theirs, names={"head.": "1."})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("= 3", "TOML with lines like"),
        ('"a." = 3', "a text for each name, got 3 at 'a.'"),
        ("", "a text for each name"),
        (b"\xff", "TOML with lines like"),
    ],
)
def test_files_of_names_that_are_none(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(errors.FileError, match=message):
        nx.export.to_torch(nn.Conv2d(1, 1, 1), path)


def test_two_names_that_become_one_are_refused() -> None:
    with pytest.raises(errors.StateError, match=r"got \['1.weight'\] for several"):
        nx.export.to_torch(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)), {"1.weight": "0.weight"})
    with pytest.raises(errors.ArgumentError, match="expected one of .*'milesial'.*, got 'milesal'"):
        nx.export.to_torch(nn.Conv2d(1, 1, 1), "milesal")
