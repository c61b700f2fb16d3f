"""From file to file: the bits of the whole image, whatever is cut, killed, resumed or shared; other jobs are refused."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.data import PercentileNormalize
from neurenix.errors import BusyError, FileError, ShapeError, StateError, WindowError
from neurenix.labelling import connected_components, objects_of_classes
from neurenix.multiscale import UNet
from neurenix.nn.functional import softmax
from neurenix.normalization import Normalization
from neurenix.slides import Part, Settings, ledger, plan, predict_file
from neurenix.slides.job import work_folder

SIZE = (300, 411)
RNG = np.random.default_rng(0)
SMOOTH = sum(np.sin(np.add.outer(np.arange(SIZE[0]) * a, np.arange(SIZE[1]) * b)) for a, b in ((0.1, 0.07), (-0.03, 0.2), (0.31, 0.3)))
IMAGE = (np.clip(SMOOTH * 30 + 120 + RNG.normal(0, 8, SIZE), 0, 255)).astype(np.uint8)


def made(outputs: int, seed: int = 0) -> UNet:
    """A small model whose outputs vary as those of a trained one; binary with one output, logits with more."""
    nx.manual_seed(seed)
    model, used = (UNet(1, outputs, [4, 8], final_activation=last).eval() for last in (None, "sigmoid" if outputs == 1 else None))
    logits = whole(model)
    gain = 4 / logits.std(axis=(1, 2))
    last = [m for m in model.modules() if isinstance(m, nx.nn.Conv2d)][-1]
    last.weight.assign_(last.weight.numpy() * gain[:, None, None, None])
    last.bias.assign_((last.bias.numpy() - np.median(logits, axis=(1, 2))) * gain)
    used.load_state_dict(model.state_dict())
    return used


def whole(model: UNet, image: np.ndarray = IMAGE) -> np.ndarray:
    found = nx.predict(model, image[None, None] if image.ndim == 2 else image[None])[0]
    return np.asarray(found)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    np.save(tmp_path / "my slïde.npy", IMAGE)
    return tmp_path / "my slïde.npy"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("tile", [64, 100, 1024])
def test_a_binary_model(tile: int, slide: Path, tmp_path: Path) -> None:
    model, out = made(1), {k: tmp_path / "out" / f"{k}.{e}" for k, e in (("mask", "png"), ("instances", "npy"), ("probabilities", "npy"))}
    assert predict_file(model, slide, out, Settings(tile=tile)) == "written"
    p = whole(model)
    assert 0.2 < (p > 0.5).mean() < 0.8
    assert np.array_equal(np.load(out["probabilities"]), p)
    assert np.array_equal(png.decode(out["mask"].read_bytes())[0], np.where(p[0] > 0.5, 255, 0))
    numbers = connected_components(p[0] > 0.5)
    assert numbers.max() > 20
    assert np.array_equal(np.load(out["instances"]), numbers)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["instances.npy", "mask.png", "probabilities.npy"]


@pytest.mark.parametrize("band", [1 << 20, 16 * 411])
def test_objects_and_classes(band: int, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurenix.slides.labels.BAND", band)
    model = made(3)
    logits = whole(model)
    objects = {k: tmp_path / f"{k}.npy" for k in ("mask", "classes", "probabilities")}
    assert predict_file(model, slide, objects, Settings("instances", tile=96)) == "written"
    p = softmax(nx.tensor(logits), 0).numpy()
    expected = objects_of_classes(p)
    assert expected.max() > 5
    assert np.array_equal(np.load(objects["mask"]), expected)
    assert np.array_equal(np.load(objects["classes"]), logits.argmax(0))
    assert np.array_equal(np.load(objects["probabilities"]), p)
    classes = {k: tmp_path / f"of {k}.npy" for k in ("mask", "instances")}
    assert predict_file(model, slide, classes, Settings("classes", tile=96)) == "written"
    assert np.array_equal(np.load(classes["mask"]), logits.argmax(0))
    assert np.array_equal(np.load(classes["instances"]), connected_components(logits.argmax(0)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_percentiles_are_those_of_the_whole_image(dtype: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurenix.slides.statistics._BAND", 411 * 10)
    image = np.stack([IMAGE, IMAGE[::-1] // 2 + 3]).astype(dtype)
    image = image - dtype(120) if dtype in (np.int32, np.float32, np.float64) else image
    image = image + RNG.normal(0, 1e-3, image.shape).astype(dtype) if dtype in (np.float32, np.float64) else image
    np.save(tmp_path / "a.npy", image)
    nx.manual_seed(0)
    model = UNet(2, 1, [4]).eval()
    model.input_normalization = Normalization([0.4, 0.5], [0.3, 0.2])
    settings = Settings(tile=64, percentiles=(1.0, 99.8))
    assert predict_file(model, tmp_path / "a.npy", {"probabilities": tmp_path / "b.npy"}, settings) == "written"
    expected = whole(model, PercentileNormalize(1.0, 99.8, channel_wise=True)(image))
    assert np.array_equal(np.load(tmp_path / "b.npy"), expected)


def test_stopped_anywhere_and_resumed_gives_the_same_file(slide: Path, tmp_path: Path) -> None:
    model = made(1)
    straight, out = {"mask": tmp_path / "straight.png"}, {"mask": tmp_path / "out.png"}
    predict_file(model, slide, straight, Settings(tile=64))
    settings = Settings(tile=64)
    for tiles in (3, 1, 0, 7):
        count = itertools.count()
        assert predict_file(model, slide, out, settings, lambda count=count, tiles=tiles: next(count) >= tiles) == "stopped"
        settings = Settings(resume=True)  # the tile is that of the job
    assert len(ledger.done(work_folder(out))) == 11
    assert predict_file(model, slide, out, settings) == "written"
    assert digest(out["mask"]) == digest(straight["mask"])
    assert predict_file(model, slide, out, settings) == "there"


def damage(folder: Path, what: str) -> None:
    """What a crash may leave behind."""
    lines = folder / "part-1-of-1.ledger"
    first = min((folder / "tiles").iterdir())
    if what == "a line that breaks off":
        lines.write_bytes(lines.read_bytes()[:-4])
    elif what == "zeros behind the last line":
        lines.write_bytes(lines.read_bytes() + b"\0" * 9)
    elif what == "a tile that is gone":
        first.unlink()
    elif what == "a tile that breaks off":
        first.write_bytes(first.read_bytes()[:100])
    elif what == "a tile with other bytes":
        first.write_bytes(bytes(255 - b for b in first.read_bytes()))
    elif what == "a stale lock":
        (folder / "part-1-of-1.lock").write_text('{"host": "elsewhere", "pid": 1, "began": "1", "job": ""}')
        os.utime(folder / "part-1-of-1.lock", (0, 0))
    else:
        (folder / "part-1-of-1.lock").write_text("")


@pytest.mark.parametrize(
    "what",
    [
        "a line that breaks off", "zeros behind the last line", "a tile that is gone", "a tile that breaks off", "a tile with other bytes",
        "a stale lock", "an empty lock",
    ],
)  # fmt: skip
def test_what_a_crash_leaves_behind_is_computed_again(what: str, slide: Path, tmp_path: Path) -> None:
    model = made(1)
    straight, out = {"mask": tmp_path / "straight.png"}, {"mask": tmp_path / "out.png"}
    predict_file(model, slide, straight, Settings(tile=64))
    count = itertools.count()
    predict_file(model, slide, out, Settings(tile=64), lambda: next(count) >= 4)
    damage(work_folder(out), what)
    assert predict_file(model, slide, out, Settings(resume=True)) == "written"
    assert digest(out["mask"]) == digest(straight["mask"])


def test_parts_in_any_order_make_the_same_file(slide: Path, tmp_path: Path) -> None:
    model = made(1)
    straight, out = {"mask": tmp_path / "straight.png"}, {"mask": tmp_path / "out.png"}
    predict_file(model, slide, straight, Settings(tile=64))
    with pytest.raises(FileError, match="expected tiles of my slïde.npy .* got none; run its parts first"):
        predict_file(model, slide, out, Settings(tile=64, join=True))
    assert predict_file(model, slide, out, Settings(tile=64, part=Part(1, 9))) == "part done"
    with pytest.raises(FileError, match="expected all 40 tiles of my slïde.npy, got 4; run the missing parts"):
        predict_file(model, slide, out, Settings(tile=64, join=True))
    assert [predict_file(model, slide, out, Settings(tile=64, part=Part(i, 4))) for i in (3, 1, 4, 2)] == [*["part done"] * 3, "written"]
    assert digest(out["mask"]) == digest(straight["mask"])
    assert sorted(t for i in range(1, 5) for t in Part(i, 4).tiles(40)) == list(range(40))


def test_another_model_image_or_setting_is_refused(slide: Path, tmp_path: Path) -> None:
    model, out = made(1), {"mask": tmp_path / "out.png"}

    def begin(settings: Settings | None = None, model: UNet = model) -> str:
        count = itertools.count()
        return predict_file(model, slide, out, settings or Settings(tile=64), lambda: next(count) >= 2)

    assert begin() == "stopped"
    with pytest.raises(StateError, match="pass --resume to go on"):
        begin()
    with pytest.raises(StateError, match="model was"):
        begin(Settings(resume=True), made(1, seed=1))
    with pytest.raises(StateError, match=r"tile was \[32, 128\] and is \[64, 256\]"):
        begin(Settings(resume=True, tile=128))
    with pytest.raises(StateError, match="percentiles was None and is"):
        begin(Settings(resume=True, percentiles=(1.0, 99.0)))
    with pytest.raises(StateError, match="precision was fast and is ieee"), nx.set_float32_precision("ieee"):
        begin(Settings(resume=True))
    other = IMAGE.copy()
    other[7, 7] ^= 1
    np.save(slide, other)
    with pytest.raises(StateError, match="image was"):
        begin(Settings(resume=True))
    np.save(slide, IMAGE)
    assert begin(Settings(resume=True)) == "stopped"
    (work_folder(out) / "job.json").write_text("{")
    with pytest.raises(FileError, match="expected a job's header"):
        begin(Settings(resume=True))


def test_two_processes_at_the_same_tiles_are_refused(slide: Path, tmp_path: Path) -> None:
    model, out = made(1), {"mask": tmp_path / "out.png"}
    seen: list[str] = []

    def inside() -> bool:
        for part in (Part(2, 3), Part(1, 2), Part(1, 1)):
            with pytest.raises(
                BusyError, match=rf"expected part \d/\d of my slïde.npy to be free, got process {os.getpid()} on .* at work"
            ):
                predict_file(model, slide, out, Settings(tile=64, part=part, resume=True))
        seen.append(predict_file(model, slide, out, Settings(tile=64, part=Part(1, 3), resume=True)))
        return True

    assert predict_file(model, slide, out, Settings(tile=64, part=Part(2, 3)), inside) == "stopped"
    assert seen == ["part done"]


def test_a_lock_of_another_machine_is_kept_while_it_shows_life(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = made(1), {"mask": tmp_path / "out.png"}
    predict_file(model, slide, out, Settings(tile=64), lambda: True)
    path = work_folder(out) / "part-1-of-1.lock"
    path.write_text('{"host": "elsewhere", "pid": 7, "began": "1", "job": "4711"}')
    with pytest.raises(BusyError, match="got process 7 on elsewhere at work on it"):
        predict_file(model, slide, out, Settings(resume=True))
    monkeypatch.setenv("SLURM_JOB_ID", "4711")  # the same job, which was queued again
    assert predict_file(model, slide, out, Settings(resume=True)) == "written"


@pytest.mark.parametrize("alive", [True, False])
def test_a_clock_that_was_set_back_keeps_no_lock(alive: bool, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine's sign of life lies in the future: the next one tells whether it lives."""
    monkeypatch.setattr("neurenix.slides.lock.BEAT", 0.2)
    model, out, ended = made(1), {"mask": tmp_path / "out.png"}, threading.Event()
    predict_file(model, slide, out, Settings(tile=64), lambda: True)
    path = work_folder(out) / "part-1-of-1.lock"
    path.write_text('{"host": "elsewhere", "pid": 7, "began": "1", "job": ""}')
    os.utime(path, (time.time() + 1e6,) * 2)

    def beat() -> None:
        while alive and not ended.wait(0.05):
            os.utime(path)

    other = threading.Thread(target=beat)
    other.start()
    if alive:
        with pytest.raises(BusyError, match="got process 7 on elsewhere at work on it"):
            predict_file(model, slide, out, Settings(resume=True))
    else:
        assert predict_file(model, slide, out, Settings(resume=True)) == "written"
    ended.set()
    other.join()


def test_times_of_files_and_a_clock_that_goes_back_change_nothing(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, count = made(1), itertools.count()
    assert predict_file(model, slide, {"mask": tmp_path / "straight.png"}, Settings(tile=64)) == "written"
    clock = itertools.count(2e9, -1000.0)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    out = {"mask": tmp_path / "out.png"}
    assert predict_file(model, slide, out, Settings(tile=64), lambda: next(count) > 5) == "stopped"
    for path in (slide, *work_folder(out).rglob("*")):
        os.utime(path, (4e9, 4e9))
    assert predict_file(model, slide, out, Settings(resume=True)) == "written"
    assert out["mask"].read_bytes() == (tmp_path / "straight.png").read_bytes()
    assert plan(model, IMAGE[None].shape, tile=64).seconds > 0


def test_a_png_is_decoded_once_whatever_the_tiles_and_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png.encode(IMAGE))
    np.save(tmp_path / "a.npy", IMAGE)
    model, decoded, unfiltered = made(1), [], png.unfiltered
    monkeypatch.setattr(png, "unfiltered", lambda kinds, *more: (decoded.append(len(kinds) - 1), unfiltered(kinds, *more))[1])
    for name, parts in (("npy", 1), ("png", 3)):
        states = [predict_file(model, tmp_path / f"a.{name}", {"mask": tmp_path / f"of {name}.npy"}, Settings(tile=64, part=Part(i, parts)))
                  for i in range(1, parts + 1)]  # fmt: skip
        assert states[-1] == "written"
    assert sum(decoded) == SIZE[0]
    assert (tmp_path / "of png.npy").read_bytes() == (tmp_path / "of npy.npy").read_bytes()


def test_bad_pixels_and_models_are_named(tmp_path: Path) -> None:
    image = IMAGE.astype(np.float32)
    image[201, 33] = np.inf
    np.save(tmp_path / "a.npy", image)
    with pytest.raises(FileError, match=r"got inf in a.npy at channel, row, column \[0, 201, 33\]"):
        predict_file(made(1), tmp_path / "a.npy", {"mask": tmp_path / "b.png"}, Settings(tile=64))
    np.save(tmp_path / "c.npy", IMAGE)
    with pytest.raises(WindowError, match="instance_norm"):
        predict_file(UNet(1, 1, [4], norm="instance"), tmp_path / "c.npy", {"mask": tmp_path / "d.png"})
    np.save(tmp_path / "e.npy", np.zeros((5, 50, 60)))
    with pytest.raises(ShapeError, match="expected 3 channels, got 5 in e.npy"):
        predict_file(UNet(3, 1, [4]), tmp_path / "e.npy", {"mask": tmp_path / "d.png"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "c.npy", "e.npy"]


def test_the_thumbnail_shows_image_and_mask(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurenix.slides.thumbnail.LONGEST", 100)
    monkeypatch.setattr("neurenix.slides.thumbnail._BAND", 411 * 12)
    model, out = made(1), {"mask": tmp_path / "a.png", "overlay": tmp_path / "b.png"}
    predict_file(model, slide, out, Settings(tile=64))
    picture, _ = png.decode(out["overlay"].read_bytes())
    assert picture.shape == (60, 83, 3)
    mask = png.decode(out["mask"].read_bytes())[0]
    rows, columns = (np.minimum(np.arange(0, n, 5) + 2, n - 1) for n in SIZE)
    means = np.stack([np.rint(IMAGE[:, i : i + 5].reshape(60, -1).mean(1)).astype(np.uint8) for i in range(0, 411, 5)], axis=1)
    assert np.array_equal(picture, nx.overlay(means, mask[np.ix_(rows, columns)] > 0))


@pytest.mark.devices
def test_a_model_on_another_device(device: str, tmp_path: Path) -> None:
    nx.manual_seed(0)
    model = UNet(1, 1, [4]).eval()
    np.save(tmp_path / "a.npy", IMAGE[:40, :30])
    expected = whole(model, IMAGE[:40, :30])
    model.to(device)
    assert model.plan((40, 30), tile=(16, 16), measure=False).tiles == 6
    out = {"probabilities": tmp_path / "b.npy"}
    assert predict_file(model, tmp_path / "a.npy", out, Settings(tile=(16, 16))) == "written"
    assert np.allclose(np.load(out["probabilities"]), expected, atol=1e-6)
