"""``neurenix export``: the three kinds of file, their check, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.normalization import Normalization

pytest.importorskip("onnx", reason="the package onnx has no wheel for this Python")
pytest.importorskip("onnxruntime", reason="the package onnxruntime has no wheel for this Python")


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """A file as ``neurenix train`` writes it."""
    nx.manual_seed(0)
    folder = tmp_path / "a run"
    folder.mkdir()
    model = nx.multiscale.UNet(1, 3, features=[4, 8], final_activation=None)
    nx.save({"model": model, "task": "instances", "classes": 1}, folder / "best.nx")
    (folder / "config.toml").write_text("[train]\nsteps = 10\n")
    return str(folder / "best.nx")


def told(path: Path) -> dict[str, str]:
    import onnx

    return {p.key: p.value for p in onnx.load(path).metadata_props}


def test_onnx(trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new folder" / "m.onnx"
    assert main(["export", trained, "--to", "onnx", "--out", str(out), "--check", "--size", "31", "7", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["difference"] < 1e-5 and result["bytes"] == out.stat().st_size
    assert json.loads(told(out)["neurenix.classes"]) == ["background", "object", "border"]
    assert (told(out)["neurenix.task"], told(out)["neurenix.config"]) == ("instances", "[train]\nsteps = 10\n")


def test_a_file_that_differs_has_its_exit_status(
    trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neurenix.command.export.check_onnx", lambda *_, **__: 1e-3)
    assert main(["export", trained, "--to", "onnx", "--out", str(tmp_path / "m.onnx"), "--check"]) == 1
    assert "differs from the model by 1.0e-03 of the largest output, more than 1e-05" in capsys.readouterr().out


def test_bioimageio(trained: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30)).astype(np.uint8)
    (tmp_path / "i.png").write_bytes(png.encode(pixels))
    out = tmp_path / "m.zip"
    more = ["--name", "nuclei by me", "--image", str(tmp_path / "i.png"), "--author", "A", "--author", "B", "--check"]
    assert main(["export", trained, "--to", "bioimageio", "--out", str(out), *more]) == 0
    with zipfile.ZipFile(out) as archive:
        text = archive.read("rdf.yaml").decode()
    assert '- name: "A"\n  - name: "B"' in text and 'channel_names: ["background", "object", "border"]' in text


@pytest.mark.parametrize("kind", ["uint8", "uint16 of 12 bits", "float32 in colour"])
def test_bioimageio_test_accepts_what_is_exported(kind: str, tmp_path: Path) -> None:
    """The format's own program: format, inference with its preprocessing, other sizes and batches."""
    if find_spec("bioimageio") is None:
        pytest.skip("bioimageio.core is not installed (it needs pydantic below 2.12, which has no wheel for this Python)")
    nx.manual_seed(0)
    channels = 3 if kind.endswith("colour") else 1
    model = nx.multiscale.UNet(channels, 1, features=[4, 8], attention=channels == 3, final_activation="sigmoid")
    model.input_normalization = Normalization(0.4, [0.2] * channels, 4095.0 if "12" in kind else None)
    nx.save({"model": model, "task": "binary", "classes": 1}, tmp_path / "best.nx")
    pixels = np.random.default_rng(0).random((70, 50, channels)).squeeze()
    np.save(tmp_path / "i.npy", (pixels * {"u": 4095 if "12" in kind else 255, "f": 1}[kind[0]]).astype(kind.split(maxsplit=1)[0]))
    out = str(tmp_path / "m.zip")
    more = ["--name", "nuclei by me", "--image", str(tmp_path / "i.npy"), "--license", "MIT"]
    assert main(["export", str(tmp_path / "best.nx"), "--to", "bioimageio", "--out", out, *more]) == 0
    words = [sys.executable, "-m", "bioimageio.core", "test", out]
    environment = os.environ | {"BIOIMAGEIO_CACHE_PATH": str(tmp_path / "cache"), "COLUMNS": "200"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "\N{CROSS MARK}" not in said, said
    assert "Reproduce test outputs from test inputs (onnx)" in said and said.count("Run onnx inference for inputs with batch_size: 2") == 3


def test_safetensors(trained: str, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    assert main(["export", trained, "--to", "safetensors", "--out", str(out), "--names", "milesial", "--check"]) == 0
    assert "outc.conv.weight" in nx.load(out)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--to", "onnx", "--out", "m.zip"], "--out with the ending .onnx for --to onnx"),
        (["--to", "bioimageio", "--out", "m.zip"], "expected --name"),
        (["--to", "onnx", "--out", "m.onnx", "--classes", "a"], "list of 3 class names"),
        (["--to", "safetensors", "--out", "m.safetensors", "--names", "none.toml"], "No such file"),
    ],
)
def test_what_is_refused(
    trained: str, arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", trained, *arguments]) == 1
    assert text in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"a run"}
