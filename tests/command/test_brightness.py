"""Images whose element type says little about their brightness: 12 bits in 16, Python's int64, floats of any size; dark, blinding, mixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command.runs import make_folders, train

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.command.brightness import merged, told_scale
from neurenix.data import ImageMaskFolder
from neurenix.errors import ArgumentError, NeurenixWarning
from neurenix.parallel import ranks

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps
ASKED = ("--steps", "4", "--looks", "2")


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return make_folders(tmp_path / "uint8", 4)


def stored(folders: Folders, name: str, change: object) -> Folders:
    """The images as other numbers, with the same masks."""
    images = folders[0].parent.parent / name
    images.mkdir()
    for path in folders[0].iterdir():
        np.save(images / f"{path.stem}.npy", change(png.decode(path.read_bytes())[0]))
    return images, folders[1]


def weights(run: Path) -> list[np.ndarray]:
    return [t.numpy() for t in nx.load(run / "best.nx")["model"].state_dict().values()]


def test_the_same_pixels_in_wider_types_train_the_same_model(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folders, tmp_path / "run", *ASKED) == 0
    assert "divided by" not in capsys.readouterr().err
    for kind in ("uint16", "int32", "int64", "float32"):
        wide = stored(folders, kind, lambda pixels, kind=kind: pixels.astype(kind))
        more = ("--scale", "255") if kind == "float32" else ()  # a float's largest value is no round number
        assert train(wide, tmp_path / f"run {kind}", *ASKED, *more) == 0
        said = capsys.readouterr().err
        assert more or f"images are {kind} with values from " in said
        assert more or "divided by 255, as predict and eval will do (--scale says otherwise)" in said
        assert all(np.array_equal(a, b) for a, b in zip(weights(tmp_path / "run"), weights(tmp_path / f"run {kind}"), strict=True))
        assert (tmp_path / f"run {kind}" / "validation.png").read_bytes() == (tmp_path / "run" / "validation.png").read_bytes()

        words = [str(tmp_path / f"run {kind}" / "best.nx"), str(wide[0])]
        assert main(["predict", *words, "--out", str(tmp_path / kind), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["doubtful"] == []
        words = [str(tmp_path / "run" / "best.nx"), str(folders[0]), "--probabilities", "--overwrite"]
        assert main(["predict", *words, "--out", str(tmp_path / "plain")]) == 0
        for path in folders[0].iterdir():
            assert (tmp_path / kind / path.name).read_bytes() == (tmp_path / "plain" / path.name).read_bytes()


def test_twelve_bits_in_sixteen(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = stored(folders, "deep", lambda pixels: pixels.astype(np.uint16) * 16 + 3)
    assert train(deep, tmp_path / "run", *ASKED, "--json") == 0
    assert "divided by 4095" in capsys.readouterr().err
    how = nx.load(tmp_path / "run" / "best.nx")["model"].input_normalization
    assert how.scale == 4095 and 0.03 < how.std[0] < 0.5
    assert train(deep, tmp_path / "run", *ASKED, "--resume", "--scale", "1023") == 1
    assert "leave out --scale" in capsys.readouterr().err


@pytest.mark.parametrize("tile", ["1024", "20"])
def test_an_image_of_another_depth_is_doubted_and_scale_mends_it(
    tile: str, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In memory and in tiles; predict and eval say so of the first, name the others, and with what they advise the masks are right."""
    assert train(folders, tmp_path / "run", *ASKED) == 0
    model = str(tmp_path / "run" / "best.nx")
    capsys.readouterr()
    deep, wide = (stored(folders, kind, lambda pixels, kind=kind: pixels.astype(kind)) for kind in ("uint16", "int32"))
    assert main(["predict", model, str(folders[0]), "--out", str(tmp_path / "right"), "--tile", tile, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["doubtful"] == []
    for images, most in ((deep[0], 65535), (wide[0], 2147483647)):
        words = ["predict", model, str(images), "--tile", tile, "--overwrite"]
        assert main([*words, "--out", str(tmp_path / "dark"), "--json"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)["doubtful"] == [f"{i}.npy" for i in range(4)]
        assert f"0.npy: {np.load(images / '0.npy').dtype} with values from " in said.err
        assert f"divided by {most}, leaves little of the contrast that the model was trained on" in said.err
        assert said.err.count("--scale 255 or --percentiles 1 99.8") == 1
        assert said.err.count("the same may be said of") == 3
        assert main([*words, "--out", str(tmp_path / f"mask {images.name}"), "--scale", "255", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["doubtful"] == []
        assert main([*words, "--out", str(tmp_path / "percentiles"), "--percentiles", "1", "99.8", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["doubtful"] == []
        for path in folders[0].iterdir():
            assert (tmp_path / f"mask {images.name}" / path.name).read_bytes() == (tmp_path / "right" / path.name).read_bytes()
        scores = []
        for more in (["--scale", "255"], []):
            assert main(["eval", model, str(images), str(folders[1]), "--tile", tile, "--json", *more]) == 0
            scores.append(json.loads(capsys.readouterr().out))
        assert (len(scores[0]["doubtful"]), len(scores[1]["doubtful"])) == (0, 4)
        assert main(["eval", model, str(folders[0]), str(folders[1]), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == scores[0]


def test_what_is_doubted(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Floats to 255 for a model of 0 to 1; neither a blank image of 8 bits, nor a dim one that has what contrast models are trained on."""
    assert train(folders, tmp_path / "run", *ASKED) == 0
    pixels = png.decode((folders[0] / "0.png").read_bytes())[0]
    images = tmp_path / "odd"
    images.mkdir()
    np.save(images / "bright.npy", pixels.astype(np.float32))
    np.save(images / "blank.npy", np.full_like(pixels, 3))
    np.save(images / "dim.npy", (pixels.astype(np.uint16) * 64))
    np.save(images / "fractions.npy", pixels / np.float32(255))
    words = ["predict", str(tmp_path / "run" / "best.nx"), str(images), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["doubtful"] == ["bright.npy"]
    assert "divided by 1, leaves pixels far above those that the model was trained on" in said.err
    for more, text in (
        (("--scale", "0"), "expected --scale above 0, got 0.0"),
        (("--scale", "255", "--percentiles", "1", "99"), "expected --scale or --percentiles, got both"),
    ):
        assert main([*words, *more]) == 1
        assert f"neurenix predict: {text}" in capsys.readouterr().err
    assert train(folders, tmp_path / "other", *ASKED, "--scale", "-1") == 1
    assert "neurenix train: expected --scale above 0" in capsys.readouterr().err


def test_what_predict_and_eval_say_needs_no_mpi(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by srun as several processes that know nothing of each other, as array parts may be."""
    nx.save(nx.multiscale.UNet(1, 1, [4], final_activation="sigmoid").eval(), tmp_path / "m.nx")
    wide = stored(folders, "wide", lambda pixels: pixels.astype(np.int32))
    (folders[1] / "lone.png").write_bytes((folders[1] / "0.png").read_bytes())
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    ranks.cache_clear()
    try:
        assert main(["predict", str(tmp_path / "m.nx"), str(wide[0]), "--out", str(tmp_path / "out"), "--tile", "20", "--average"]) == 0
        assert main(["eval", str(tmp_path / "m.nx"), *map(str, wide)]) == 0
        assert train(folders, tmp_path / "run", *ASKED) == 1  # which does need it
    finally:
        ranks.cache_clear()


def test_a_few_of_many_are_named(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.save(nx.multiscale.UNet(1, 1, [4], final_activation="sigmoid").eval(), tmp_path / "m.nx")
    (tmp_path / "many").mkdir()
    for i in range(14):
        np.save(tmp_path / "many" / f"{i:02}.npy", np.eye(9, dtype=np.int64))
    assert main(["predict", str(tmp_path / "m.nx"), str(tmp_path / "many"), "--out", str(tmp_path / "out"), "--json"]) == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["doubtful"]) == 14
    assert said.err.count("the same may be said of ") == 10 and said.err.count("others, which --json lists") == 1
    assert main(["predict", str(tmp_path / "m.nx"), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "pass one of the folders in it, such as many" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "scale", "said"),
    [
        ([np.uint8([0, 20])], None, ""),
        ([np.uint16([0, 65535])], None, ""),
        ([np.uint16([7, 1000])], 1023.0, "uint16 with values from 7 to 1000: divided by 1023"),
        ([np.uint16([0, 100]), np.uint16([5, 16000])], 16383.0, "to 16000: divided by 16383"),
        ([np.int16([-1024, 3071])], 4095.0, "int16 with values from -1024 to 3071"),
        ([np.int64([0, 70000])], 2.0**24 - 1, "from 0 to 70000: divided by 16777215,"),
        ([np.uint64([0, 2**63 + 5])], None, ""),
        ([np.float32([0, 1])], None, ""),
        ([np.float64([-3.25, 812.5])], 812.0, "float64 with values from -3.25 to 812.5: divided by 812"),
        ([np.float32([0, 2e-5])], 2e-5, "divided by 2e-05"),
        ([np.zeros(3, np.int32)], None, ""),
        ([np.array([True, False])], None, ""),
        ([np.uint8([0, 255]), np.uint16([0, 60000])], None, ""),
        ([np.uint8([0, 255]), np.uint16([0, 4000])], None, "images are of several types"),
        ([np.uint8([0, 255]), np.float32([0, 255])], None, "the greatest in 1.npy): each is divided"),
    ],
)
def test_scales_are_told_from_pixels(arrays: list[np.ndarray], scale: float | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    seen: dict = {}
    for i, array in enumerate(arrays):
        seen[array.dtype.name] = merged(seen.get(array.dtype.name), array, Path(f"{i}.npy"))
    assert told_scale(seen) == scale
    err = capsys.readouterr().err
    assert said in err and bool(said) == bool(err)


def test_a_folder_in_python_warns_and_takes_a_scale(folders: Folders) -> None:
    wide = stored(folders, "wide", lambda pixels: pixels.astype(np.int32) * 60)
    with pytest.warns(NeurenixWarning, match=r"int32 pixels of at most \d+ in 0.npy are nearly black.*pass scale=4095"):
        dark = ImageMaskFolder(*wide)[0][0]
    assert 0 < dark.max() < 1e-5
    right = ImageMaskFolder(*wide, scale=4095)[0][0]
    assert np.array_equal(right, np.load(wide[0] / "0.npy").astype(np.float32)[None] / np.float32(4095))
    with pytest.raises(ArgumentError, match="expected scale as a finite number above 0, got 0"):
        ImageMaskFolder(*wide, scale=0)


def test_the_command_divides_as_predict_in_python_does(folders: Folders, tmp_path: Path) -> None:
    """A model with a scale of its own: once."""
    nx.manual_seed(0)
    model = nx.multiscale.UNet(1, 1, [4], final_activation="sigmoid").eval()
    model.input_normalization = nx.normalization.Normalization(0.4, 0.2, 100.0)
    nx.save(model, tmp_path / "m.nx")
    for name, more in (("whole", []), ("tiles", ["--tile", "20"])):
        words = ["predict", str(tmp_path / "m.nx"), str(folders[0]), "--out", str(tmp_path / name), "--probabilities", *more]
        assert main(words) == 0
        expected = nx.predict(model, png.decode((folders[0] / "1.png").read_bytes())[0])
        assert np.array_equal(np.load(tmp_path / name / "1.npy")[0], expected)
