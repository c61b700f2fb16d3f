"""Models that see whole maps, from file to file: a pass for each map, with the bits of the whole image, whatever is cut, stopped or shared."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.command import main
from neurenix.errors import FileError, StateError, WindowError
from neurenix.multiscale import PPM, UNet
from neurenix.ops.resize_like import resize_like
from neurenix.slides import Part, Settings, predict_file
from neurenix.slides.job import work_folder

SIZE = (93, 150)
IMAGE = np.random.default_rng(3).random((2, *SIZE)).astype(np.float32)


class Pooled(nn.Module):
    """Pyramid pooling at half the image's size."""

    in_channels = 2

    def __init__(self) -> None:
        self.down, self.context = nn.ConvNormAct(2, 7, stride=2), PPM(7, 1)

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        return resize_like(self.context(self.down(x)), x)


class Largest(nn.Module):
    """The image beside its largest pixels and its sum over channels too."""

    in_channels = 2

    def __init__(self) -> None:
        self.gain = nn.Parameter(np.float32(2.0))

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        y = self.gain * x - nx.nn.functional.adaptive_max_pool2d(x, 1)
        return (y * x.mean((1, 2, 3), keepdim=True)).mean(1, keepdim=True)


def gated() -> nn.Module:
    return UNet(2, 1, features=[4], squeeze_excitation=True)


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {"pooled": (Pooled, 2), "gated": (gated, 4), "largest": (Largest, 2)}


def made(name: str, dtype: type = np.float32) -> nn.Module:
    nx.manual_seed(0)
    model: nn.Module = MODELS[name][0]().eval()
    return model.to(dtype=dtype)


def whole(model: nn.Module, dtype: type = np.float32) -> np.ndarray:
    with nx.no_grad():
        found = model(nx.tensor(IMAGE[None].astype(dtype))).numpy()[0]
    return np.asarray(found)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    np.save(tmp_path / "slide.npy", IMAGE)
    return tmp_path / "slide.npy"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("held", [1, 64 << 20])
def test_the_bits_of_the_whole(name: str, dtype: type, held: int, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two channels of a map are read at a time; double shows in which order sums were taken."""
    monkeypatch.setattr("neurenix.slides.whole._HELD", held)
    monkeypatch.setattr("neurenix.slides.whole._ROWS", 1000)
    model, out = made(name, dtype), {"probabilities": tmp_path / "out.npy"}
    assert predict_file(model, slide, out, Settings(tile=(16, 32))) == "written"
    assert np.array_equal(np.load(out["probabilities"]), whole(model, dtype))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.npy", "slide.npy"]


@pytest.mark.alone  # the process counts
def test_a_plan_says_which_maps_are_made_first(tmp_path: Path, slide: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = made("gated").plan((2, *SIZE), tile=(16, 32), measure=False)
    assert [(one.op, one.shape) for one in plan.maps] == [("mean", (4, 93, 150)), ("mean", (8, 47, 75)), ("mean", (4, 93, 150))]
    assert [one.disk for one in plan.maps] == [4 * one.shape[0] * one.shape[1] * one.shape[2] for one in plan.maps]
    assert sum(one.multiply_adds for one in plan.maps) < plan.multiply_adds
    assert [one.multiply_adds for one in plan.maps] == sorted(one.multiply_adds for one in plan.maps)
    assert UNet(2, 1, features=[4]).plan((2, *SIZE), measure=False).maps == ()
    large = made("pooled").plan((2, 20000, 20000), tile=(64, 1024), measure=False)
    assert large.maps[0].disk == 7 * 10000 * 10000 * 4
    assert 800e6 < large.memory < 1400e6  # two of the seven channels at a time, or three
    nx.save(made("gated"), tmp_path / "model.nx")
    assert main(["plan", str(tmp_path / "model.nx"), str(slide), "--tile", "16", "32"]) == 0
    said = capsys.readouterr().out
    assert "passes         4, of which the last makes the output" in said
    assert "pass 1         for mean: 4 x 93 x 150, 0 MiB on the disk" in said
    assert main(["plan", str(tmp_path / "model.nx"), str(slide), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["maps"][1]["shape"] == [8, 47, 75]


@pytest.mark.parametrize("name", ["pooled", "gated"])
def test_stopped_in_any_pass_and_resumed(name: str, slide: Path, tmp_path: Path) -> None:
    model, out, settings = made(name), {"probabilities": tmp_path / "out.npy"}, Settings(tile=(32, 64))
    seen: set[tuple[str, ...]] = set()
    for tiles in itertools.cycle((3, 1, 0, 5)):
        count = itertools.count()
        state = predict_file(model, slide, out, settings, lambda count=count, tiles=tiles: next(count) >= tiles)
        if state == "written":
            break
        assert state == "stopped"
        folder = work_folder(out)
        seen.add(tuple(sorted(p.parent.name for p in folder.glob("pass-*/made.npz"))))
        assert not [p for p in folder.glob("pass-*/made.npz") if (p.parent / "tiles").glob("*") and list((p.parent / "tiles").glob("*"))]
        with pytest.raises(StateError, match="pass --resume to go on"):
            predict_file(model, slide, out, Settings(tile=(32, 64)))
        settings = Settings(resume=True)
    assert len(seen) == MODELS[name][1]  # it was stopped in every pass
    assert np.array_equal(np.load(out["probabilities"]), whole(model))


@pytest.mark.parametrize("what", ["made", "ledger", "tile"])
def test_what_a_crash_leaves_of_a_pass_is_computed_again(what: str, slide: Path, tmp_path: Path) -> None:
    model, out = made("pooled"), {"probabilities": tmp_path / "out.npy"}
    count = itertools.count()
    predict_file(model, slide, out, Settings(tile=(32, 64)), lambda: next(count) >= (12 if what == "made" else 4))
    folder = work_folder(out) / "pass-1"
    assert (folder / "made.npz").exists() == (what == "made")
    damaged = {"made": folder / "made.npz", "ledger": folder / "part-1-of-1.ledger", "tile": next((folder / "tiles").glob("*"), folder)}[
        what
    ]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert predict_file(model, slide, out, Settings(resume=True)) == "written"
    assert np.array_equal(np.load(out["probabilities"]), whole(model))


def test_parts_share_every_pass(slide: Path, tmp_path: Path) -> None:
    model, out = made("gated"), {"probabilities": tmp_path / "out.npy"}

    def run(part: int, resume: bool = True) -> str:
        return predict_file(model, slide, out, Settings(tile=(32, 64), part=Part(part, 3), resume=resume))

    with pytest.raises(FileError, match="run its parts first"):
        predict_file(model, slide, out, Settings(tile=(32, 64), join=True))
    assert [run(part, resume=False) for part in (2, 3)] == ["pass done"] * 2
    with pytest.raises(StateError, match="pass --resume to go on"):
        run(2, resume=False)
    assert run(2) == "pass done"
    with pytest.raises(FileError, match="run the missing parts"):
        predict_file(model, slide, out, Settings(tile=(32, 64), join=True))
    # The first part goes on to each pass that it is the last to end, and the second one after it likewise.
    assert [run(part) for part in (1, 2, 3, 1, 2, 3, 1)] == ["pass done"] * 4 + ["part done"] * 2 + ["written"]
    assert np.array_equal(np.load(out["probabilities"]), whole(model))


def test_the_command_tells_parts_to_come_again(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.save(made("gated"), tmp_path / "model.nx")
    base = ["predict", str(tmp_path / "model.nx"), str(slide), "--tile", "32", "64", "--probabilities", "--format", "npy"]

    def run(*words: str, out: str = "out") -> int:
        return main([*base, "--out", str(tmp_path / out), *words])

    assert run(out="straight") == 0
    assert run("--part", "1/2") == 75
    assert "run the same command with --resume when they are done" in capsys.readouterr().err
    assert [run("--part", f"{i}/2", "--resume") for i in (2, 1, 2, 1)] == [75, 75, 0, 0]
    digests = [{p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / name).iterdir()} for name in ("straight", "out")]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 2


def test_what_no_pass_can_know_is_named(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(WindowError, match=r"^instance_norm: expected an operation .*approximate=True"):
        predict_file(UNet(2, 1, [4], norm="instance", squeeze_excitation=True), slide, {"mask": tmp_path / "a.png"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slide.npy"]
