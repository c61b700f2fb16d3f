"""BioImage.IO packages: a model as ONNX with what others need to run it and to see that it runs as it did here."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from neurenix._rust import __version__
from neurenix.errors import ArgumentError, DTypeError, ShapeError
from neurenix.export.graph import OPSET
from neurenix.export.onnx_file import class_list, onnx
from neurenix.images.placing import put
from neurenix.inference import predict
from neurenix.nn import Module
from neurenix.normalization import Normalization
from neurenix.picture import rgb
from neurenix.png import encode
from neurenix.serialization.modules import class_name

FORMAT: Final = "0.5.3"
PIXELS: Final = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
_SIZE: Final = 256  # of the picture that is made where no image is given


class About(NamedTuple):
    """What a package says of its model beside what the model is."""

    name: str
    description: str
    authors: list[str]
    license: str | None
    classes: list[str]
    pixels: str


def bioimageio(
    model: Module,
    path: str | os.PathLike[str],
    *,
    name: str,
    image: Any = None,
    class_names: Sequence[str] | None = None,
    description: str | None = None,
    authors: Sequence[str] = (),
    license: str | None = None,
    documentation: str | None = None,
) -> None:
    """Write a BioImage.IO package: ``rdf.yaml``, weights as ONNX, an input and its output to test with, documentation and a cover.

    Parameters
    ----------
    model : Module
        From images (N, C, H, W) to one map of the same size. Its ``input_normalization`` becomes the package's preprocessing.
    path : path
        Where to, ending in ``.zip``; a file that is there is replaced in one step.
    name : str
        Of the model, 5 to 128 letters, digits and spaces.
    image : array, shape (C, H, W) or (H, W), optional
        A real image to test with, uint8, uint16 or float32: what the package's users are to pass. Without it: a smooth random one of uint8.
    class_names : sequence of str, optional
        What the channels of the output are.
    description, license, documentation : str, optional
        In a sentence what it does; an SPDX name such as ``"CC-BY-4.0"``; Markdown.
    authors : sequence of str
        Names.

    Raises
    ------
    ArgumentError
        If a text is not what the format takes, or the model cannot be said in ONNX.
    ShapeError
        If the model's output is not one map of the image's size.
    DTypeError
        If ``model`` is no module.

    Notes
    -----
    Format 0.5.3. Without the packages of BioImage.IO; ``bioimageio test model.zip`` of ``bioimageio.core`` checks the result.

    Examples
    --------
    >>> import neurenix as nx
    >>> import os, tempfile, zipfile
    >>> path = os.path.join(tempfile.mkdtemp(), "nuclei.zip")
    >>> nx.export.bioimageio(nx.multiscale.UNet(1, 1, features=[4, 8]), path, name="nuclei by neurenix", class_names=["nucleus"])
    >>> sorted(zipfile.ZipFile(path).namelist())
    ['README.md', 'cover.png', 'rdf.yaml', 'test_input.npy', 'test_output.npy', 'weights.onnx']
    """
    if not isinstance(model, Module):
        raise DTypeError(f"bioimageio: expected a module, got {type(model).__name__}; pass the model first, then the path")
    if not re.fullmatch(r"[\w\- ()+.]{5,128}", str(name)):
        raise ArgumentError(
            f"bioimageio: expected a name of 5 to 128 letters, digits and spaces, got {name!r}; pass e.g. 'nuclei in fluorescence'"
        )
    if Path(path).suffix != ".zip":
        raise ArgumentError(f"bioimageio: expected a path that ends in .zip, got {os.fspath(path)!r}; pass e.g. 'model.zip'")
    given = _given(model, image)
    output = _output(model, given)
    classes = class_list(model, class_names) or [f"channel_{i}" for i in range(output.shape[1])]
    classes = classes if len(classes) == output.shape[1] else classes[-output.shape[1] :]  # of one channel, not what it is not
    about = About(
        str(name), description or f"{name}: {type(model).__name__} made with neurenix", list(authors), license, classes, given.dtype.name
    )
    files = {
        "weights.onnx": _weights(model, classes),
        "test_input.npy": _npy(given),
        "test_output.npy": _npy(output),
        "cover.png": encode(_cover(given[0], output[0])),
        "README.md": (documentation or _readme(model, about)).encode(),
    }
    files["rdf.yaml"] = ("\n".join(yaml(_description(model, about, given, output, files))) + "\n").encode()
    put(Path(os.path.realpath(path)), lambda beside: beside.write_bytes(_zipped(files)))


def _given(model: Module, image: Any) -> Any:
    """The test image as a batch of one."""
    channels = next((c for m in model.modules() if isinstance(c := getattr(m, "in_channels", None), int)), 1)
    if image is None:
        rough = np.random.default_rng(0).random((channels, 17, 17))
        places = np.linspace(0, 16, _SIZE).round().astype(int)
        image = (rough[:, places][:, :, places] * 255).astype(np.uint8)
    array = np.asarray(image)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[0] != channels or array.dtype.name not in PIXELS:
        raise ShapeError(
            f"bioimageio: expected an image ({channels}, H, W) of uint8, uint16 or float32, got {array.dtype}{array.shape}; convert or transpose it"
        )
    return np.ascontiguousarray(array[None])


def _output(model: Module, given: Any) -> Any:
    found = predict(model, given)
    if not isinstance(found, np.ndarray) or found.ndim != 4 or found.shape[2:] != given.shape[2:]:
        raise ShapeError(
            f"bioimageio: expected one map of the image's size {given.shape[2:]}, got {np.shape(found)}; export it as ONNX instead"
        )
    return np.ascontiguousarray(found)


def _weights(model: Module, classes: list[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        onnx(model, Path(folder) / "weights.onnx", class_names=classes)
        return (Path(folder) / "weights.onnx").read_bytes()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _cover(image: Any, output: Any) -> Any:
    """Image and output side by side, at most 512 pixels high."""
    side = min(*image.shape[1:], 512)
    first = output[0] if output.shape[0] == 1 else output.argmax(0)
    halves = [
        rgb(image[:, :side, :side] if image.shape[0] in (1, 3) else image[0, :side, :side]),
        rgb(first[:side, :side].astype(np.float32)),
    ]
    return np.ascontiguousarray(np.concatenate(halves, axis=1))


def preprocessing(how: Normalization, pixels: str) -> list[dict[str, Any]]:
    """An input normalisation in the format's words: ``gain * pixel + offset``."""
    scale = PIXELS[pixels] if how.scale is None else how.scale
    channels = max(len(how.mean), len(how.std))
    means, stds = (v * channels if len(v) == 1 else v for v in (how.mean, how.std))
    gain, offset = [1 / (scale * s) for s in stds], [0.0 - m / s for m, s in zip(means, stds, strict=True)]
    kwargs = {"axis": "channel", "gain": gain, "offset": offset} if channels > 1 else {"gain": gain[0], "offset": offset[0]}
    changes = any(a != 1 for a in gain) or any(offset)
    floats = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    return [
        floats,
        *([{"id": "scale_linear", "kwargs": kwargs}] if changes else []),
        floats,
    ]  # without the last one readers go back to the pixels' type


def _description(model: Module, about: About, given: Any, output: Any, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of ``rdf.yaml``."""

    def source(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    channels = ["gray"] if given.shape[1] == 1 else ["red", "green", "blue"] if given.shape[1] == 3 else None
    channels = channels or [f"channel_{i}" for i in range(given.shape[1])]
    free: list[dict[str, Any]] = [{"type": "space", "id": axis, "size": {"min": 1, "step": 1}} for axis in "yx"]
    same: list[dict[str, Any]] = [{"type": "space", "id": axis, "size": {"tensor_id": "input", "axis_id": axis}} for axis in "yx"]

    def tensor(name: str, names: list[str], axes: list[dict[str, Any]], kind: str) -> dict[str, Any]:
        every = [{"type": "batch"}, {"type": "channel", "channel_names": names}, *axes]
        return {"id": name, "axes": every, "data": {"type": kind}, "test_tensor": source(f"test_{name}.npy")}

    taken = tensor("input", channels, free, about.pixels)
    taken["preprocessing"] = preprocessing(model.input_normalization or Normalization(), about.pixels)
    made = tensor("output", [identifier(c) for c in about.classes], same, output.dtype.name)
    head: dict[str, Any] = {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": about.description,
        "version": "1.0",
    }
    head |= {"authors": [{"name": a} for a in about.authors]} if about.authors else {}
    head |= {"license": about.license} if about.license else {}
    return head | {
        "tags": ["neurenix", "segmentation", "2d", type(model).__name__.lower()],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "inputs": [taken],
        "outputs": [made],
        "weights": {"onnx": {**source("weights.onnx"), "opset_version": OPSET}},
        "config": {"neurenix": {"version": __version__, "class": class_name(type(model)), "classes": about.classes}},
    }


def identifier(name: str) -> str:
    """A class's name as the format takes it."""
    text = re.sub(r"\W+", "_", name.strip()).lower()
    return text if text[:1].isalpha() else f"class_{text}"


def _readme(model: Module, about: About) -> str:
    classes = "".join(f"- {c}\n" for c in about.classes)
    return (
        f"# {about.name}\n\n{about.description}.\n\nA {type(model).__name__} made with neurenix {__version__}. Takes images of any size as they are "
        f"({about.pixels}).\n\n## Outputs\n\n{classes}\n## Validation\n\n`test_output.npy` is what the model gave for `test_input.npy` when it was "
        "exported. Compare with annotated images of your own before you rely on it.\n"
    )


def yaml(value: Any, indent: int = 0) -> list[str]:
    """Lines of YAML for mappings, lists, texts and numbers."""
    space, lines = "  " * indent, list[str]()
    entries = list(value.items()) if isinstance(value, dict) else [(None, v) for v in value]
    for key, entry in entries:
        head = f"{space}- " if key is None else f"{space}{key}: "
        if isinstance(entry, dict) or (isinstance(entry, list) and any(isinstance(e, (dict, list)) for e in entry)):
            inner = yaml(entry, indent + 1)
            lines += [head + inner[0].lstrip(), *inner[1:]] if key is None else [head.rstrip(), *inner]
        else:
            lines.append(head + json.dumps(entry, ensure_ascii=False))
    return lines


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive with the same bytes whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
