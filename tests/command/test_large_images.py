"""``neurenix predict`` on images larger than a tile: parts, stops, full disks, bad files, odd paths; the files are those of the whole image."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import main, predict as predict_command
from neurenix.multiscale import predict_tiled
from neurenix.slides.ledger import Ledger
from neurenix.slides.lock import Lock

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (150, 130, 3), np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(3, 1, [4]).eval(), tmp_path / "my mödel.nx")
    return tmp_path / "my mödel.nx"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A link to an image, with a space in its name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "data.png").write_bytes(png.encode(IMAGE))
    (tmp_path / "große slides").mkdir()
    (tmp_path / "große slides" / "one 1.png").symlink_to(tmp_path / "real" / "data.png")
    return tmp_path / "große slides" / "one 1.png"


def predict(model: Path, images: Path, out: Path, *more: str) -> int:
    return main(["predict", str(model), str(images), "--out", str(out), *more])


def mask(model: Path) -> np.ndarray:
    return np.where(nx.predict(nx.load(model), IMAGE) > 0.5, 255, 0)


def test_parts_in_any_order_and_what_they_say(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found here"
    for part in ("3/3", "1/3"):
        assert predict(model, slide.parent, out, "--tile", "40", "--part", part, "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"out": str(out), "written": 0, "waiting": 1, "failed": [], "doubtful": []}
    assert predict(model, slide, out, "--tile", "40", "--join") == 1
    assert "run the missing parts" in capsys.readouterr().err
    assert predict(model, slide, out, "--part", "2/3") == 0  # the tile is that of the parts before
    assert [p.name for p in out.iterdir()] == ["one 1.png"]
    assert np.array_equal(png.decode((out / "one 1.png").read_bytes())[0], mask(model))
    assert predict(model, slide, out, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["written"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_stops_after_a_tile(number: int, model: Path, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = Ledger.add
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "add", lambda self, *entry: (add(self, *entry), os.kill(os.getpid(), number)))
        assert predict(model, slide, tmp_path / "out", "--tile", "40") == 75
    assert not (tmp_path / "out" / "one 1.png").exists()
    assert predict(model, slide, tmp_path / "out") == 1  # without --resume
    assert predict(model, slide, tmp_path / "out", "--resume") == 0
    assert np.array_equal(png.decode((tmp_path / "out" / "one 1.png").read_bytes())[0], mask(model))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_before_the_first_tile_says_what_to_do(
    number: int, model: Path, slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While images are counted there is nothing that --resume could go on with; a job that was begun before is."""
    count = predict_command.count_images

    def counted(path: Path) -> int:
        os.kill(os.getpid(), number)
        return count(path)

    monkeypatch.setattr(predict_command, "count_images", counted)
    assert predict(model, slide, tmp_path / "found", "--tile", "40") == 75
    assert "interrupted; nothing was written yet, run the same command again" in capsys.readouterr().err
    (tmp_path / "found" / ".one 1.job").mkdir(parents=True)
    assert predict(model, slide, tmp_path / "found", "--tile", "40") == 75
    assert "interrupted; run the same command with --resume" in capsys.readouterr().err


def test_bad_files_are_named_and_left_out_or_end_it(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = slide.parent
    (folder / "broken.png").write_bytes((tmp_path / "real" / "data.png").read_bytes()[:-30000])
    (folder / "text.tif").write_text("no image")
    np.save(folder / "five.npy", np.zeros((5, 90, 91), np.uint8))
    bad = IMAGE.astype(np.float32)
    bad[77, 66, 1] = np.nan
    np.save(folder / "nan.npy", bad)
    assert predict(model, folder, tmp_path / "out", "--tile", "40", "--on-error", "skip", "--json") == 1
    said = capsys.readouterr()
    assert sorted(json.loads(said.out)["failed"]) == ["broken.png", "five.npy", "nan.npy", "text.tif"]
    assert "got nan in nan.npy at channel, row, column [1, 77, 66]; mend the image" in said.err
    assert "expected 3 channels, got 5 in five.npy" in said.err
    assert np.array_equal(png.decode((tmp_path / "out" / "one 1.png").read_bytes())[0], mask(model))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["one 1.png"]
    assert predict(model, folder, tmp_path / "stopped", "--tile", "40") == 1
    assert "text.tif" in capsys.readouterr().err
    assert not (tmp_path / "stopped").exists()


def test_an_image_is_not_to_blame_for_the_machine(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, skip = tmp_path / "out", ("--tile", "40", "--on-error", "skip")
    (out / ".one 1.job").mkdir(parents=True)
    with Lock(out / ".one 1.job" / "part-1-of-1.lock", "it"):
        assert predict(model, slide, out, *skip, "--resume") == 75
    assert f"to be free, got process {os.getpid()} on" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert predict(model, slide, tmp_path / "file" / "out", *skip) == 1
    assert "Not a directory" in capsys.readouterr().err


FULL = """
set -e
mount -t tmpfs -o size=$6 none "$3"
status=0
"$5" -m neurenix predict "$1" "$2" --out "$3" --tile 40 --probabilities $7 || status=$?
test "$status" = 75
mount -o remount,size=8m "$3"
"$5" -m neurenix predict "$1" "$2" --out "$3" --probabilities --resume $7
cp "$3"/* "$4"
"""


@pytest.fixture
def seeing_all(tmp_path: Path) -> Path:
    """A model of which no tile has the bits of the whole."""
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(3, 1, [4], norm="instance").eval(), tmp_path / "seeing all.nx")
    return tmp_path / "seeing all.nx"


@pytest.mark.parametrize(("room", "more"), [("96k", ""), ("96k", "--approximate"), ("300k", "--approximate")])
def test_a_full_disk_loses_nothing(room: str, more: str, model: Path, seeing_all: Path, slide: Path, tmp_path: Path) -> None:
    """On a small file system of its own, full among tiles or while they are blended; with more room the same command goes on to the same files."""
    model = seeing_all if more else model
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system of one's own to be had here")
    for name in ("straight", "disk", "copy"):
        (tmp_path / name).mkdir()
    assert predict(model, slide, tmp_path / "straight", "--tile", "40", "--probabilities", *more.split()) == 0
    paths = [str(p) for p in (model, slide, tmp_path / "disk", tmp_path / "copy", sys.executable)]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", FULL, "sh", *paths, room, more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert ("\ntile " in done.stderr) == (room == "96k")  # tiles were left; otherwise it was full when they were blended
    for path in (tmp_path / "straight").iterdir():
        assert (tmp_path / "copy" / path.name).read_bytes() == path.read_bytes()


READ_ONLY = """
set -e
mount -t tmpfs none "$3"
mkdir "$3/begun"
"$5" -m neurenix predict "$1" "$2" --out "$3/begun" --tile 40 --part 1/2 $6
mount -o remount,ro "$3"
for out in begun new; do
  status=0
  "$5" -m neurenix predict "$1" "$2" --out "$3/$out" --tile 40 --resume --on-error skip $6 || status=$?
  test "$status" = 1
done
mount -o remount,rw "$3"
"$5" -m neurenix predict "$1" "$2" --out "$3/begun" --resume $6
cp "$3"/begun/* "$4"
"""


@pytest.mark.parametrize("more", ["", "--approximate"])
def test_a_read_only_folder_is_named_and_what_was_done_before_counts(
    more: str, model: Path, seeing_all: Path, slide: Path, tmp_path: Path
) -> None:
    model = seeing_all if more else model
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system of one's own to be had here")
    for name in ("disk", "copy"):
        (tmp_path / name).mkdir()
    paths = [str(p) for p in (model, slide, tmp_path / "disk", tmp_path / "copy", sys.executable)]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", *paths, more], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Read-only file system") == 2
    assert "Traceback" not in done.stderr
    if more:
        pixels = IMAGE.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        found = predict_tiled(nx.load(model), pixels, tile=40, approximate=True)[0, 0]
        expected = np.where(found > 0.5, 255, 0)
    else:
        expected = mask(model)
    assert np.array_equal(png.decode((tmp_path / "copy" / "one 1.png").read_bytes())[0], expected)


def test_links_in_a_folder(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link to an image is one, also a link to a folder; one that leads nowhere, or round in a circle, is a bad file."""
    (slide.parent / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (slide.parent / "round.png").symlink_to(slide.parent / "round.png")
    (tmp_path / "link").symlink_to(slide.parent, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert predict(model, tmp_path / "link", tmp_path / "out", "--tile", "40", "--skip-errors", "--json") == 1
    assert sorted(json.loads(capsys.readouterr().out)["failed"]) == ["gone.png", "round.png"]
    assert np.array_equal(png.decode((tmp_path / "elsewhere" / "one 1.png").read_bytes())[0], mask(model))
    assert predict(model, slide.parent, tmp_path / "other") == 1
    assert "gone.png" in capsys.readouterr().err


def test_a_folder_of_many_small_files(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``NEURENIX_FILES`` of them, 200 by default: each has its mask, some are bad, and a second run has nothing to do but those."""
    number = int(os.environ.get("NEURENIX_FILES", "200"))
    folder, out = tmp_path / "small", tmp_path / "out"
    folder.mkdir()
    for i in range(number):
        (folder / f"{i:05d}.png").write_bytes(png.encode(IMAGE[i % 100 : i % 100 + 9, i % 90 : i % 90 + 8]) if i % 50 != 3 else b"no image")
    bad = [f"{i:05d}.png" for i in range(3, number, 50)]
    assert predict(model, folder, out, "--skip-errors", "--json") == 1
    assert json.loads(capsys.readouterr().out)["failed"] == bad
    assert sorted(p.name for p in out.iterdir()) == [f"{i:05d}.png" for i in range(number) if i % 50 != 3]
    loaded = nx.load(model)
    for i in (0, 1, number - 1):
        expected = nx.predict(loaded, IMAGE[i % 100 : i % 100 + 9, i % 90 : i % 90 + 8]) > 0.5
        assert np.array_equal(png.decode((out / f"{i:05d}.png").read_bytes())[0], np.where(expected, 255, 0))
    assert predict(model, folder, out, "--skip-errors", "--resume", "--json") == 1
    assert json.loads(capsys.readouterr().out)["written"] == 0


def test_what_is_asked_for_is_written_and_small_images_give_the_same_files(model: Path, slide: Path, tmp_path: Path) -> None:
    asked = ("--classes", "--instances", "--probabilities", "--overlay", "--percentiles", "1", "99")
    for kind in ("png", "tif", "npy", "zarr"):
        for tile, out in ((("32", "64"), "strips"), (("200",), "whole")):
            assert predict(model, slide, tmp_path / kind / out, "--tile", *tile, "--format", kind, *asked) == 0
        found = sorted(p.relative_to(tmp_path / kind / "whole") for p in (tmp_path / kind / "whole").rglob("*") if p.is_file())
        names = {p.parts[0] for p in found}
        probabilities = "one 1.npy" if kind == "png" else f"one 1_probabilities.{kind}"
        assert names == {f"one 1_classes.{kind}", f"one 1_instances.{kind}", probabilities, "one 1_overlay.png"}
        for name in found:
            if name.name not in ("one 1_overlay.png", "zarr.json"):  # of a large image the overlay is drawn small
                assert (tmp_path / kind / "whole" / name).read_bytes() == (tmp_path / kind / "strips" / name).read_bytes()


def test_wrong_tiles_and_memory(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, text in (
        (("--tile", "1", "2", "3"), "--tile as rows"),
        (("--tile", "0"), "--tile as rows"),
        (("--memory", "x"), "'1GB'"),
        (("--percentiles", "99", "1"), "low < high"),
    ):
        assert predict(model, slide, tmp_path / "out", *words) == 1
        assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert predict(model, slide, tmp_path / "out", "--tile", "64", "--memory", "1GB") == 1
    assert "got both" in capsys.readouterr().err


def test_images_are_never_written_over(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in their own folder, nor in one that is the same by a link; masks of another format may lie beside."""
    before = slide.read_bytes()
    (tmp_path / "link").symlink_to(slide.parent, target_is_directory=True)
    for images, out in ((slide.parent, slide.parent), (slide, slide.parent), (slide.parent, tmp_path / "link")):
        for more in ((), ("--dry-run",)):
            assert predict(model, images, out, *more) == 1
            assert "expected --out that is not the images' folder" in capsys.readouterr().err
    assert slide.is_symlink() and slide.read_bytes() == before
    assert predict(model, slide, slide.parent, "--format", "npy") == 0
    assert slide.read_bytes() == before and np.array_equal(np.load(slide.with_suffix(".npy")) * 255, mask(model))


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_messages_that_cannot_be_written_end_nothing(where: str, model: Path, slide: Path, tmp_path: Path) -> None:
    """A log on a full disk, or none: masks are made, and standard output has nothing but the result."""
    words = [sys.executable, "-m", "neurenix", "predict", str(model), str(slide.parent), "--out", str(tmp_path / "out"), "--json"]
    (slide.parent / "broken.png").write_bytes(b"no image")
    done = subprocess.run(["sh", "-c", f'"$@" --skip-errors 2>{where}', "sh", *words], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"out": str(tmp_path / "out"), "written": 1, "waiting": 0, "failed": ["broken.png"], "doubtful": []}
    assert np.array_equal(png.decode((tmp_path / "out" / "one 1.png").read_bytes())[0], mask(model))


def test_what_is_no_model_and_what_is_no_folder(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(slide), str(model), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert f"neurenix predict: expected a model that train wrote, such as run/best.nx, got '{slide}'; the model comes first" in said
    (tmp_path / "file").write_text("")
    for words in (["predict", str(model), str(slide)], ["train", str(slide.parent), str(slide.parent)]):
        assert main([*words, "--out", str(tmp_path / "file")]) == 1
        assert "expected a folder" in (said := capsys.readouterr().err) and f"the file {tmp_path / 'file'}; pass another" in said


def test_eval_refuses_pixels_that_are_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.save(nx.multiscale.UNet(1, 1, [4], final_activation="sigmoid").eval(), tmp_path / "m.nx")
    for name, dtype in (("images", np.float32), ("masks", np.uint8)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.eye(9, dtype=dtype))
    bad = np.eye(9, dtype=np.float32)
    bad[3, 4] = np.inf
    np.save(tmp_path / "images" / "a.npy", bad)
    assert main(["eval", str(tmp_path / "m.nx"), str(tmp_path / "images"), str(tmp_path / "masks")]) == 1
    assert "expected finite pixels, got inf in a.npy at channel, row, column [0, 3, 4]" in capsys.readouterr().err


def test_two_images_that_want_one_name(model: Path, slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(slide.with_suffix(".npy"), IMAGE)
    assert predict(model, slide.parent, tmp_path / "out") == 1
    assert "expected images of different names, got one 1.npy and one 1.png, whose files would both be one 1.png" in capsys.readouterr().err
