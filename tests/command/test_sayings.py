"""Each pattern that turns a function's error into the command's words meets the error that the library raises today, in a run of the command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import command, png
from neurenix.command import main, sayings

RNG = np.random.default_rng(0)
GREY, COLOURS = (RNG.integers(0, 256, shape, np.uint8) for shape in ((40, 41), (40, 41, 3)))
TWO, MANY = np.where(GREY > 99, 255, 0).astype(np.uint8), (GREY % 9).astype(np.uint8)


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.encode(pixels))


class Place:
    """A folder with models, images and masks, and what the command and the library say of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.raised = root, list[str]()
        nx.manual_seed(0)
        binary, seeing_all = nx.multiscale.UNet(1, 1, [4]), nx.multiscale.UNet(1, 1, [4], norm="instance")
        self.models = {"binary": binary, "seeing_all": seeing_all, "colour": nx.multiscale.UNet(3, 1, [4])}
        self.models["classes"] = nx.multiscale.UNet(1, 3, [4], final_activation=None)
        for name, model in self.models.items():
            nx.save({"model": model.eval(), "task": "classes" if name == "classes" else "binary"}, root / f"{name}.nx")
        nx.save({"model": binary, "task": "lines"}, root / "lines.nx")
        picture(root / "images" / "a.png", GREY)

    def run(self, *words: str) -> None:
        """Run a command whose paths are names in the folder; it ends with an error."""
        paths = {"eval": 3, "predict": 2, "plan": 2, "train": 2, "export": 1}[words[0]]
        out = [] if "eval" in words or "plan" in words else ["--out", str(self.root / "out")]
        assert main([words[0], *(str(self.root / w) for w in words[1 : 1 + paths]), *words[1 + paths :], *out]) == 1

    def judge(self, mask: np.ndarray, model: str = "binary") -> None:
        """Judge a model by the mask of one image."""
        np.save(self.root / "masks" / "a.npy", mask) if mask.dtype.kind == "f" else picture(self.root / "masks" / "a.png", mask)
        self.run("eval", f"{model}.nx", "images", "masks")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    (tmp_path / "masks").mkdir()
    found = Place(tmp_path)

    def said(error: Exception) -> str:
        found.raised.append(str(error))
        return sayings.said(error)

    monkeypatch.setattr(command, "said", said)
    return found


def five_channels(place: Place) -> None:
    np.save(place.root / "images" / "five.npy", np.zeros((40, 41, 5), np.uint8))
    picture(place.root / "masks" / "five.png", TWO)
    place.run("eval", "colour.nx", "images", "masks")


def cut_png(place: Place) -> None:
    (place.root / "images" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    place.run("predict", "binary.nx", "images")


def cut_picture(place: Place) -> None:
    pytest.importorskip("PIL")
    (place.root / "images" / "a.jpg").write_bytes(b"no picture")
    place.run("predict", "binary.nx", "images/a.jpg")


INSTEAD: dict[str, Callable[[Place], None]] = {
    "pass mask_type='classes' and colors=": lambda p: p.judge(np.stack([MANY, TWO, TWO], -1) // 3 * 3),
    "pass mask_type='binary', threshold=0": lambda p: p.judge(GREY.astype(np.float32) / 255),
    "pass mask_type='classes' for numbers": lambda p: p.judge(MANY),
    "raise num_classes": lambda p: p.judge(MANY, "classes"),
    "check the folders and mask_suffix=": lambda p: p.run("eval", "binary.nx", "images", "masks"),
    "leave out channels=": five_channels,
    "approximate=True": lambda p: p.run("predict", "seeing_all.nx", "images", "--tile", "16"),
}
INSIDE: dict[str, Callable[[Place], None]] = {
    "train": lambda p: p.run("train", "images", "masks", "--steps", "0"),
    "predict": lambda p: p.run("predict", "binary.nx", "images", "--part", "3/2"),
    "eval": lambda p: p.run("eval", "binary.nx", "images", "masks", "--out", str(p.root / "none" / "table.csv")),
    "plan": lambda p: p.run("plan", "binary.nx", "images", "--memory", "x"),
    "export": lambda p: p.run("export", "binary.nx", "--to", "onnx", "--author", "A"),
    "predict_file": lambda p: p.run("predict", "lines.nx", "images", "--tile", "16"),
    "ImageMaskFolder": lambda p: p.judge(MANY),
    "open_image": cut_png,
    "read_picture": cut_picture,
}


def pattern_of(text: str) -> tuple[re.Pattern[str], str]:
    """The one pattern that begins so, and its words."""
    (found,) = [pair for pair in sayings._INSTEAD if pair[0].pattern.replace("\\", "").startswith(text)]
    return found


def test_no_pattern_is_left_out() -> None:
    assert len(INSTEAD) == len(sayings._INSTEAD)
    assert set(INSIDE) == set(re.search(r"\(\?:(.*?)\)", sayings._INSIDE.pattern)[1].split("|"))


@pytest.mark.parametrize("start", INSTEAD)
def test_arguments_of_functions_become_options(start: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    pattern, words = pattern_of(start)
    INSTEAD[start](place)
    assert pattern.search(place.raised[-1]), f"sayings.py: nothing raises {pattern.pattern!r} here, but {place.raised[-1]!r}"
    told = capsys.readouterr().err
    assert words in told and not pattern.search(told)


@pytest.mark.parametrize("name", INSIDE)
def test_names_of_functions_are_not_said(name: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    INSIDE[name](place)
    assert place.raised[-1].startswith(f"{name}: expected"), f"sayings.py: {name!r} is not said here, but {place.raised[-1]!r}"
    assert f": expected{place.raised[-1].removeprefix(f'{name}: expected')[:20]}" in (told := capsys.readouterr().err)
    assert not re.search(rf"neurenix \w+: {name}: ", told)
