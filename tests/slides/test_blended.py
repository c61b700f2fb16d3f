"""Models that no exact pass can run, from file to file: tiles blended where they overlap, the same bits however they are cut, stopped, shared."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import nn
from neurenix.command import main
from neurenix.errors import ArgumentError, FileError, ShapeError, StateError, WindowError
from neurenix.multiscale import UNet, predict_tiled
from neurenix.slides import Part, Settings, blended, predict_file
from neurenix.slides.blended_plan import plan_blended
from neurenix.slides.job import work_folder

SIZE = (93, 150)
IMAGE = np.random.default_rng(3).random((2, *SIZE)).astype(np.float32)
CUT = Settings(tile=(40, 48), overlap=9, approximate=True)


def made(outputs: int = 1) -> nn.Module:
    nx.manual_seed(0)
    model = UNet(2, outputs, [4, 8], norm="instance", final_activation="sigmoid" if outputs == 1 else None).eval()
    model.head.bias.assign_(np.float32([-0.1, 0.2, 0.0][:outputs]))
    return model


class Attending(nn.Module):
    """Every pixel of the map sees every other."""

    in_channels, out_channels = 2, 1

    def __init__(self) -> None:
        self.into, self.attention, self.out = (
            nn.Conv2d(2, 8, 4, stride=4),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Conv2d(8, 1, 1),
        )

    def forward(self, x: nx.Tensor) -> nx.Tensor:
        y = self.into(x)
        words = y.flatten(2).transpose(1, 2)
        seen = self.attention(words, words, words)[0].transpose(1, 2).reshape(*y.shape)
        return nx.sigmoid(nn.functional.interpolate(self.out(seen), size=x.shape[2:], mode="nearest"))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    np.save(tmp_path / "slide.npy", IMAGE)
    return tmp_path / "slide.npy"


@pytest.mark.parametrize("band", [1, 16 << 20])
@pytest.mark.parametrize("name", ["instance norm", "attention", "classes"])
def test_the_bits_of_arrays_in_tiles(name: str, band: int, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are blended a row of pixels at a time."""
    monkeypatch.setattr(blended, "_BAND", band)
    nx.manual_seed(1)
    model, kind = {"instance norm": (made(), "binary"), "attention": (Attending().eval(), "binary"), "classes": (made(3), "classes")}[name]
    with pytest.raises(WindowError, match="approximate=True"):
        predict_file(model, slide, {"mask": tmp_path / "m.npy"})
    want = predict_tiled(model, IMAGE[None], tile=CUT.tile, overlap=9, approximate=True)[0]
    out = {"probabilities": tmp_path / "p.npy", "classes": tmp_path / "c.npy"}
    assert predict_file(model, slide, out, CUT._replace(kind=kind)) == "written"
    p, c = np.load(tmp_path / "p.npy"), np.load(tmp_path / "c.npy")
    assert np.array_equal(p, want if kind == "binary" else nn.functional.softmax(nx.tensor(want), 0).numpy())
    assert np.array_equal(c, want[0] > 0.5 if kind == "binary" else want.argmax(0))
    assert np.ptp(p) > 1e-4
    assert name == "attention" or len(np.unique(c)) > 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.npy", "p.npy", "slide.npy"]


def test_one_tile_is_the_whole_image(slide: Path, tmp_path: Path) -> None:
    assert predict_file(made(), slide, {"probabilities": tmp_path / "p.npy"}, Settings(tile=200, approximate=True)) == "written"
    with nx.no_grad():
        assert np.array_equal(np.load(tmp_path / "p.npy"), made()(nx.tensor(IMAGE[None])).numpy()[0])


def test_stopped_anywhere_and_resumed_without_saying_the_tiles_again(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blended, "_BAND", 4 * 150 * 20)
    model, out, settings = made(), {"probabilities": tmp_path / "p.npy"}, CUT
    places: set[bool] = set()
    for tiles in itertools.cycle((3, 1, 0, 2)):
        count = itertools.count()
        state = predict_file(model, slide, out, settings, lambda count=count, tiles=tiles: next(count) >= tiles)
        if state == "written":
            break
        assert state == "stopped"
        places.add(any((work_folder(out) / "blended" / "tiles").iterdir()))
        with pytest.raises(StateError, match="pass --resume to go on"):
            predict_file(model, slide, out, CUT)
        with pytest.raises(WindowError):  # an exact job is another
            predict_file(model, slide, out, Settings(resume=True))
        with pytest.raises(StateError, match="overlap was 9 and is 8"):
            predict_file(model, slide, out, Settings(resume=True, approximate=True, overlap=8))
        settings = Settings(resume=True, approximate=True)
    assert places == {False, True}  # while tiles were computed, and while they were blended
    assert np.array_equal(np.load(tmp_path / "p.npy"), predict_tiled(model, IMAGE[None], tile=(40, 48), overlap=9, approximate=True)[0])


@pytest.mark.parametrize("what", ["ledger", "tile", "band"])
def test_what_a_crash_leaves_is_computed_again(what: str, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blended, "_BAND", 4 * 150 * 20)
    model, out, count = made(), {"probabilities": tmp_path / "p.npy"}, itertools.count()
    tiles = 12  # three rows of four
    assert predict_file(model, slide, out, CUT, lambda: next(count) >= tiles + 3) == "stopped"
    folder = work_folder(out)
    wanted = {"ledger": "part-1-of-1.ledger", "tile": "tiles/0000004.output", "band": "blended/tiles/0000001.probabilities"}
    damaged = folder / wanted[what]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert predict_file(model, slide, out, Settings(resume=True, approximate=True)) == "written"
    assert np.array_equal(np.load(tmp_path / "p.npy"), predict_tiled(model, IMAGE[None], tile=(40, 48), overlap=9, approximate=True)[0])


def test_parts_of_the_command_write_the_files_of_one(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.save(made(), tmp_path / "model.nx")
    base = ["predict", str(tmp_path / "model.nx"), str(slide), "--tile", "40", "--probabilities", "--instances", "--overlay"]

    def run(out: str, *words: str) -> int:
        return main([*base, "--out", str(tmp_path / out), *words])

    assert run("none") == 1
    assert "pass --approximate for tiles blended where they overlap" in capsys.readouterr().err
    assert run("straight", "--approximate") == 0
    assert [run("parts", "--approximate", "--part", f"{i}/3") for i in (3, 1)] == [0, 0]
    assert run("parts", "--approximate", "--join") == 1
    assert run("parts", "--approximate", "--part", "2/3", "--resume") == 0
    digests = [{p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / name).iterdir()} for name in ("straight", "parts")]
    assert digests[0] == digests[1]
    assert sorted(digests[0]) == ["slide.npy", "slide_instances.png", "slide_overlay.png"]
    assert run("none", "--overlap", "3") == 1
    assert "expected --overlap with --approximate" in capsys.readouterr().err


def test_eval_takes_the_same_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    image = np.random.default_rng(0).random((70, 90)).astype(np.float32)
    np.save(tmp_path / "images" / "a.npy", image)
    nx.manual_seed(0)
    model = UNet(1, 1, [4], norm="instance", final_activation="sigmoid").eval()
    nx.save(model, tmp_path / "model.nx")
    found = predict_tiled(model, image[None, None], tile=32, approximate=True)[0, 0] > 0.5
    np.save(tmp_path / "masks" / "a.npy", found.astype(np.uint8))
    words = ["eval", str(tmp_path / "model.nx"), str(tmp_path / "images"), str(tmp_path / "masks"), "--tile", "32", "--json"]
    assert main(words) == 1
    capsys.readouterr()
    assert main([*words, "--approximate"]) == 0
    assert json.loads(capsys.readouterr().out)["IoU"] == 1.0
    assert 0 < found.mean() < 1


@pytest.mark.alone  # the process counts
def test_a_plan_fits_memory_and_says_what_lies_on_the_disk(slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, large = (plan_blended(made(), (2, 3000, 3000), m, measure=False) for m in ("400MB", "800MB"))
    assert small.memory < 400e6 < large.memory < 800e6
    assert small.tile[0] == small.tile[1] < large.tile[0] == large.tile[1]
    assert 1.3 < large.overhead < small.overhead < 2
    found = plan_blended(made(), (2, *SIZE), tile=(40, 48), overlap=9, measure=False)
    assert (found.tiles, found.disk) == (12, 4 * (93 + 2 * 9) * (150 + 3 * 9))
    nx.save(made(), tmp_path / "model.nx")
    words = ["plan", str(tmp_path / "model.nx"), str(slide), "--tile", "40"]
    assert main(words) == 1
    assert "--approximate" in capsys.readouterr().err
    assert main([*words, "--approximate", "--overlap", "9", "--slurm", "predict"]) == 0
    assert "--approximate --overlap 9" in capsys.readouterr().out
    assert main([*words, "--approximate"]) == 0
    assert "the result depends on the tile" in capsys.readouterr().out


def test_a_job_takes_the_tile_that_fits(slide: Path, tmp_path: Path) -> None:
    out = {"probabilities": tmp_path / "p.npy"}
    assert predict_file(made(), slide, out, Settings(memory=1 << 40, approximate=True), lambda: True) == "stopped"
    assert json.loads((work_folder(out) / "job.json").read_text())["job"]["tile"] == [192, 192]


def test_what_is_refused(slide: Path, tmp_path: Path) -> None:
    out = {"probabilities": tmp_path / "p.npy"}
    with pytest.raises(ArgumentError, match="overlap of at most half the tile"):
        predict_file(made(), slide, out, CUT._replace(overlap=21))
    with pytest.raises(ArgumentError, match="expected overlap with approximate=True"):
        predict_file(made(), slide, out, Settings(overlap=8))
    with pytest.raises(ShapeError, match="expected an output of the tile's size"):
        predict_file(nn.Sequential(made(), nn.MaxPool2d(2)), slide, out, CUT)
    with pytest.raises(FileError, match="run its parts first"):
        predict_file(made(), slide, out, CUT._replace(join=True, part=Part(1, 2)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["slide.npy"]
