"""``neurenix predict`` among files that are there: none is replaced that was not meant to be, and stopped commands still go on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main
from neurenix.slides.ledger import Ledger
from neurenix.slides.outputs import Assembly

RNG = np.random.default_rng(0)
IMAGES = {name: RNG.integers(0, 256, (50, side), np.uint8) for name, side in (("a", 48), ("b", 49), ("large", 150))}
DRAWN = b"drawn by hand"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(1, 1, [4]).eval(), tmp_path / "model.nx")
    (tmp_path / "images").mkdir()
    for name, pixels in IMAGES.items():
        (tmp_path / "images" / f"{name}.png").write_bytes(png.encode(pixels))
    return tmp_path


def predict(place: Path, *more: str, images: str = "images") -> int:
    return main(["predict", str(place / "model.nx"), str(place / images), "--out", str(place / "out"), "--tile", "64", *more])


def files(place: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (place / "out").iterdir() if p.is_file()}


@pytest.fixture
def made(place: Path) -> Iterator[dict[str, bytes]]:
    """What predict makes in an empty folder."""
    assert predict(place, "--probabilities") == 0
    yield files(place)
    for path in (place / "out").iterdir():
        assert path.suffix != ".job" and ".png." not in path.name, f"left behind {path}"


def draw(place: Path, *names: str) -> None:
    """Leave in the folder nothing but such masks."""
    for path in (place / "out").iterdir():
        path.unlink()
    for name in names:
        (place / "out" / name).write_bytes(DRAWN)


@pytest.mark.parametrize("name", ["a.png", "large.png", "b.npy"])
def test_no_file_is_replaced(name: str, place: Path, made: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    """Of an image in memory, of one in tiles, and of probabilities: refused before anything is computed, or left out."""
    draw(place, name)
    for more in ((), ("--dry-run",), ("--on-error", "skip")):
        assert predict(place, "--probabilities", *more) == 1
        said = capsys.readouterr().err
        assert f"expected names that are free, got {name} in {place / 'out'}" in said
        assert "--resume" in said and "--overwrite" in said and files(place) == {name: DRAWN}
    assert predict(place, "--probabilities", "--resume") == 0
    assert files(place) == made | {name: DRAWN}


def test_what_is_there_is_replaced_if_asked_for(place: Path, made: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    draw(place, *made)
    assert predict(place, "--probabilities", "--overwrite", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removed"] == len(made)
    assert predict(place, "--probabilities") == 1
    assert "got a.png, a.npy, b.png, b.npy, large.png and 1 more in" in capsys.readouterr().err
    assert predict(place, "--probabilities", "--overwrite", "--resume") == 1
    assert "expected --overwrite without --resume" in capsys.readouterr().err
    (place / "out" / "other.png").write_bytes(DRAWN)
    assert predict(place, "--probabilities", "--overwrite") == 0
    assert files(place) == made | {"other.png": DRAWN}


def test_folders_of_chunks_are_files(place: Path) -> None:
    pytest.importorskip("zarr")
    assert predict(place, "--format", "zarr") == 0
    marker = place / "out" / "large.zarr" / "mine"
    marker.write_bytes(DRAWN)
    assert predict(place, "--format", "zarr") == 1
    assert predict(place, "--format", "zarr", "--resume") == 0 and marker.exists()
    assert predict(place, "--format", "zarr", "--overwrite") == 0 and not marker.exists()


def test_stopped_among_old_files_it_goes_on_to_new_ones(
    place: Path, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is not done when it stops is not there: --resume leaves no old file among the new."""
    draw(place, *made)
    add = Ledger.add
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "add", lambda self, *entry: (add(self, *entry), os.kill(os.getpid(), signal.SIGTERM)))
        assert predict(place, "--probabilities", "--overwrite") == 75
    assert "run the same command with --resume instead of --overwrite" in capsys.readouterr().err
    assert DRAWN not in files(place).values()
    assert predict(place, "--probabilities", "--resume") == 0
    assert files(place) == made


def test_ended_between_the_files_of_an_image_it_goes_on(place: Path, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    draw(place)
    make = Assembly.make

    def fail(self: Assembly, output: str, path: Path) -> None:
        if output == "probabilities":
            raise OSError(28, "No space left on device", str(path))
        make(self, output, path)

    with monkeypatch.context() as patched:
        patched.setattr(Assembly, "make", fail)
        assert predict(place, "--probabilities") == 75
    assert (place / "out" / "large.png").exists() and not (place / "out" / "large.npy").exists()
    assert predict(place, "--probabilities") == 1
    assert predict(place, "--probabilities", "--resume") == 0
    assert files(place) == made


def test_a_file_that_comes_while_tiles_are_computed_stays(place: Path, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    draw(place)
    add = Ledger.add
    monkeypatch.setattr(Ledger, "add", lambda self, *entry: (add(self, *entry), (place / "out" / "large.png").write_bytes(DRAWN)))
    assert predict(place, "--probabilities") == 0
    assert files(place) == made | {"large.png": DRAWN}


def test_parts_do_not_take_each_other_s_files_for_old_ones(place: Path, made: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    """Three images in five parts: the first makes the small ones, the last that ends the large one."""
    for more in ((), ("--overwrite",)):
        draw(place, *(made if more else ()))
        for number in (2, 1, 4, 3, 5):
            assert predict(place, "--probabilities", "--part", f"{number}/5", *more) == 0
        assert files(place) == made
    for number in (1, 3):
        assert predict(place, "--probabilities", "--part", f"{number}/5") == 1
        assert ("a.png" in capsys.readouterr().err) == (number == 1)


def test_two_images_whose_files_have_one_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not only masks: the overlay of one may be called as the mask of another."""
    (place / "images" / "a_overlay.png").write_bytes(png.encode(IMAGES["b"]))
    assert predict(place, "--overlay") == 1
    assert "got a.png and a_overlay.png, whose files would both be a_overlay.png; rename one" in capsys.readouterr().err
    assert not (place / "out").exists()
