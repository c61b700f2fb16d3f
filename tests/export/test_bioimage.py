"""BioImage.IO packages: what is in them fits together; ``test_command.py`` has ``bioimageio test`` look at some."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import errors, png
from neurenix.export.bioimage import identifier, preprocessing, yaml
from neurenix.normalization import Normalization

pytest.importorskip("onnx", reason="the package onnx has no wheel for this Python")
runtime = pytest.importorskip("onnxruntime", reason="the package onnxruntime has no wheel for this Python")


@pytest.fixture
def model() -> nx.nn.Module:
    nx.manual_seed(0)
    model = nx.multiscale.UNet(3, 2, features=[4], final_activation="softmax")
    model.input_normalization = Normalization([0.25, 0.5, 0.0], 0.5)
    return model


def test_a_package_holds_what_it_says(model: nx.nn.Module, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 21, 34)).astype(np.uint8)
    path = tmp_path / "m.zip"
    about = {"class_names": ["nucleus", "cell border"], "authors": ["Ada Lovelace"], "license": "CC-BY-4.0"}
    nx.export.bioimageio(model, path, name="nuclei (demo)", image=image, **about)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    text = files["rdf.yaml"].decode()
    sums = dict(re.findall(r'source: "([^"]+)"\n +sha256: "([^"]+)"', text))
    assert sums == {n: hashlib.sha256(files[n]).hexdigest() for n in ("test_input.npy", "test_output.npy", "weights.onnx")}
    assert 'name: "nuclei (demo)"' in text and 'channel_names: ["nucleus", "cell_border"]' in text and '- name: "Ada Lovelace"' in text
    pixels, _ = png.decode(files["cover.png"])
    assert pixels.shape == (21, 42, 3)

    given, expected = (np.load(io.BytesIO(files[n])) for n in ("test_input.npy", "test_output.npy"))
    assert given.dtype == np.uint8 and np.array_equal(given[0], image)
    gain, offset = (np.array(json.loads(re.search(rf"{key}: (\[.*\])", text)[1])).reshape(1, 3, 1, 1) for key in ("gain", "offset"))
    (found,) = runtime.InferenceSession(files["weights.onnx"]).run(None, {"input": (given * gain + offset).astype(np.float32)})
    np.testing.assert_allclose(found, expected, atol=1e-6)

    nx.export.bioimageio(model, tmp_path / "again.zip", name="nuclei (demo)", image=image, **about)
    assert (tmp_path / "again.zip").read_bytes() == path.read_bytes()


def test_preprocessing_is_the_models_normalisation() -> None:
    floats = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    assert preprocessing(Normalization(), "float32") == [floats, floats]  # a scaling by 1 is not allowed there
    steps = preprocessing(Normalization(0.5, 0.25), "uint16")
    assert steps == [floats, {"id": "scale_linear", "kwargs": {"gain": 4 / 65535, "offset": -2.0}}, floats]
    assert preprocessing(Normalization(0.0, 1.0, 100.0), "uint8")[1]["kwargs"] == {"gain": 0.01, "offset": 0.0}


def test_yaml_quotes_texts_and_nests() -> None:
    value = {"a": 'x: "y" é', "b": [{"c": 1.5, "d": {"e": [1, 2]}}, {"f": True}]}
    assert yaml(value) == ['a: "x: \\"y\\" é"', "b:", "  - c: 1.5", "    d:", "      e: [1, 2]", "  - f: true"]
    assert [identifier(n) for n in ("Cell border", "0", " µ-m ")] == ["cell_border", "class_0", "µ_m"]


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"name": "x"}, errors.ArgumentError, "a name of 5 to 128 letters"),
        ({"path": "m.onnx"}, errors.ArgumentError, "ends in .zip"),
        ({"image": np.zeros((2, 8, 8), np.uint8)}, errors.ShapeError, r"an image \(3, H, W\)"),
        ({"image": np.zeros((3, 8, 8), np.int64)}, errors.ShapeError, "int64"),
        ({"model": nx.nn.Conv2d(3, 1, 3)}, errors.ShapeError, "one map of the image's size"),
        ({"class_names": ["a"]}, errors.ArgumentError, "list of 2 class names"),
    ],
)
def test_what_the_format_does_not_take_is_refused(model: nx.nn.Module, change: dict, error: type, text: str, tmp_path: Path) -> None:
    settings = {"model": model, "name": "nuclei", **change}
    path = tmp_path / settings.pop("path", "m.zip")
    with pytest.raises(error, match=text):
        nx.export.bioimageio(settings.pop("model"), path, **settings)
    assert list(tmp_path.iterdir()) == []
