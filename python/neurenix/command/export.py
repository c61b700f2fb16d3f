"""``neurenix export``: a trained model for other programs."""

from __future__ import annotations

import argparse
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

import neurenix as nx
from neurenix.command.predict import load_model
from neurenix.command.tasks import Task
from neurenix.errors import ArgumentError, FileError
from neurenix.export import bioimageio, check_onnx, onnx, safetensors, to_torch
from neurenix.images.channels import planes
from neurenix.images.opening import read_image

HELP: Final = "write a model as an ONNX file, a BioImage.IO package or a safetensors file, for other programs"
EXAMPLE: Final = "neurenix export run/best.nx --to onnx --out nuclei.onnx --check"
ENDINGS: Final = {"onnx": ".onnx", "bioimageio": ".zip", "safetensors": ".safetensors"}
LIMIT: Final = 1e-5  # of the largest output: how far another runtime's results may be from ours
_SIZES: Final = ((64, 64), (97, 61), (33, 128))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's grammar."""
    parser.add_argument("model", type=Path, help="file that train wrote, or a saved model")
    parser.add_argument("--to", required=True, choices=list(ENDINGS), help="kind of file")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to (.onnx, .zip, .safetensors)")
    parser.add_argument("--check", action="store_true", help="compare what the file gives with the model; exit status 1 where they differ")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="also check at this size of image")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="what the channels of the output are, kept in the file")
    parser.add_argument("--normalize", action="store_true", help="onnx: the file's model normalises its images itself")
    parser.add_argument("--names", metavar="NAMES", help="safetensors: milesial, smp, nnunet, or a .toml file of their = our names")
    parser.add_argument("--name", help="bioimageio: the model's name, 5 to 128 letters")
    parser.add_argument("--image", type=Path, metavar="FILE", help="bioimageio: an image to test with, as users are to pass them")
    parser.add_argument("--author", action="append", default=[], metavar="NAME", help="bioimageio: may be given several times")
    parser.add_argument("--license", metavar="SPDX", help="bioimageio: e.g. CC-BY-4.0")
    parser.add_argument("--description", metavar="TEXT", help="bioimageio: what the model does, in a sentence")


def run(given: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Export; exit status and result."""
    if given.out.suffix != ENDINGS[given.to]:
        raise ArgumentError(
            f"export: expected --out with the ending {ENDINGS[given.to]} for --to {given.to}, got {str(given.out)!r}; change one"
        )
    model, task = load_model(given.model)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    classes = given.classes or (["background", "object", "border"] if task.kind == "instances" else None)
    writer = {"onnx": _onnx, "bioimageio": _bioimageio, "safetensors": _safetensors}[given.to]
    writer(given, model, task, classes)
    result: dict[str, Any] = {"out": str(given.out), "to": given.to, "bytes": given.out.stat().st_size}
    status, told = 0, ""
    if given.check:
        difference = _difference(given, model)
        result["difference"] = difference
        status = 0 if difference <= LIMIT else 1
        told = f"; it differs from the model by {difference:.1e} of the largest output" + (f", more than {LIMIT}" if status else "")
    if not given.json:
        print(f"{given.out}: {type(model).__name__} as {given.to}, {result['bytes']} bytes{told}")
    return status, result


def _metadata(given: argparse.Namespace, task: Task) -> dict[str, str]:
    """What the outputs mean, and how the model was made where that is known."""
    config = given.model.parent / "config.toml"
    made = {"neurenix.config": config.read_text(encoding="utf-8")} if config.exists() else {}
    return {"neurenix.task": task.kind} | made


def _onnx(given: argparse.Namespace, model: nx.nn.Module, task: Task, classes: list[str] | None) -> None:
    onnx(model, given.out, class_names=classes, normalize=given.normalize, metadata=_metadata(given, task))


def _safetensors(given: argparse.Namespace, model: nx.nn.Module, task: Task, classes: list[str] | None) -> None:
    safetensors(model, given.out, names=given.names, class_names=classes, metadata=_metadata(given, task))


def _bioimageio(given: argparse.Namespace, model: nx.nn.Module, _: Task, classes: list[str] | None) -> None:
    if given.name is None:
        raise ArgumentError("export: expected --name for a BioImage.IO package, got none; pass e.g. --name 'nuclei in fluorescence'")
    wanted = getattr(model, "in_channels", None)
    image = None if given.image is None else planes(read_image(given.image, 0, wanted), given.image, wanted)
    texts = {"description": given.description, "authors": given.author, "license": given.license}
    bioimageio(model, given.out, name=given.name, image=image, class_names=classes, **texts)


def _difference(given: argparse.Namespace, model: nx.nn.Module) -> float:
    sizes = [*_SIZES, *([tuple(given.size)] if given.size else [])]
    if given.to == "onnx":
        return check_onnx(model, given.out, sizes=sizes, normalize=given.normalize)
    if given.to == "bioimageio":
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(given.out) as archive:
            return check_onnx(model, archive.extract("weights.onnx", folder), sizes=sizes)
    held, want = nx.load(given.out), to_torch(model, given.names)
    if held.keys() != want.keys():
        raise FileError(f"export: expected {len(want)} weights in {given.out}, got {len(held)}; export it again")
    return 0.0 if all(np.array_equal(held[n].numpy(), want[n]) for n in want) else float("inf")
