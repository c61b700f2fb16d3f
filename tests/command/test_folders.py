"""What ``neurenix train`` makes of folders as people have them: odd names, links, many files, damaged ones, rare classes."""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command.runs import SETTINGS, contents, make_folders, train, words

import neurenix as nx
from neurenix import png
from neurenix.command import main, parser
from neurenix.command.folders import data, loader
from neurenix.command.tasks import Task, recognise

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return make_folders(tmp_path / "data", 5)


def dry(folders: Folders, *more: str) -> int:
    return main(words(folders, folders[0].parent / "run", "--dry-run", "--json", *more))


def write(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(png.encode(np.ascontiguousarray(pixels)))


def test_names_and_links_as_people_have_them(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run from links to files, in folders that are links, under names with anything in them."""
    plain = tmp_path / "plain"
    names = {"0": "a b", "1": "zelle nr. 2", "2": "中文 ü", "3": "it's [new]", "4": "%20#?"}
    odd = tmp_path / "odd \N{MICROSCOPE}"
    for folder in folders:
        (odd / folder.name).mkdir(parents=True)
        plain_folder = plain / folder.name
        plain_folder.mkdir(parents=True)
        for i, name in enumerate(sorted(names, key=lambda n: names[n])):  # files are taken in the order of their names
            shutil.copyfile(folder / f"{name}.png", plain_folder / f"{i}.png")
            (odd / folder.name / f"{names[name]}.PNG").symlink_to(plain_folder / f"{i}.png")
        (tmp_path / f"link to {folder.name}").symlink_to(odd / folder.name)
    asked = ["--steps", "2", "--looks", "1"]
    assert train((plain / folders[0].name, plain / folders[1].name), tmp_path / "run", *asked) == 0
    linked = tmp_path / f"link to {folders[0].name}", tmp_path / f"link to {folders[1].name}"
    run = tmp_path / "ein Lauf, мой"
    assert train(linked, run, *asked) == 0
    assert (run / "best.nx").read_bytes() == (tmp_path / "run" / "best.nx").read_bytes()
    capsys.readouterr()
    assert main(["train", "--config", str(run / "config.toml"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "best.nx").read_bytes() == (run / "best.nx").read_bytes()


@pytest.mark.slow
def test_ten_thousand_small_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    image, mask = np.add.outer(np.arange(8), np.arange(8)).astype(np.uint8) * 16, np.eye(8, dtype=np.uint8)
    for folder, pixels in ((images, image), (masks, mask)):
        folder.mkdir()
        content = png.encode(pixels)
        for i in range(10_000):
            (folder / f"{i}.png").write_bytes(content)
    (masks / "77.png").unlink()
    assert main([*words((images, masks), tmp_path / "run", "--steps", "2", "--looks", "1", "--validate", "0.0005"), "--json"]) == 0
    said = capsys.readouterr()
    assert "9994 images to train on, 5 to validate by; masks are binary; 1 channels, windows of 8 pixels" in said.err
    assert said.err.count("without a partner") == 1
    assert json.loads(said.out)["step"] == 2


@pytest.mark.parametrize("command", ["train", "predict", "plan"])
def test_a_folder_that_takes_long_to_read_says_how_far_it_is(
    command: str, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line every few seconds; here every look at the clock is six seconds later than the one before."""
    now = itertools.count(0, 6)
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(1, 1, [4]).eval(), tmp_path / "model.nx")
    monkeypatch.setattr("neurenix.progress.time", SimpleNamespace(monotonic=lambda: float(next(now))))
    if command == "train":
        assert dry(folders) == 0
        wanted = ["counting images", "reading masks", "reading images"]
    else:
        out = ["--out", str(tmp_path / "found")] if command == "predict" else []
        assert main([command, str(tmp_path / "model.nx"), str(folders[0]), *out]) == 0
        wanted = ["counting images"] if command == "predict" else ["reading images"]
    said = capsys.readouterr().err
    for what in wanted:
        assert f"{what} 2/5, 12 s, about 18 s to go" in said, said


def test_files_without_a_partner_are_listed(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(12):
        shutil.copyfile(folders[i % 2] / "0.png", folders[i % 2] / f"lone {i:02}.png")
    assert dry(folders) == 0
    said = capsys.readouterr()
    assert said.err.count("left out, without a partner: ") == 11
    assert "left out, without a partner: 2 files more" in said.err
    assert json.loads(said.out)["train"] + json.loads(said.out)["validate"] == 5


def cut(folders: Folders) -> None:
    path = folders[0] / "3.png"
    path.write_bytes(path.read_bytes()[:100])


def cut_mask(folders: Folders) -> None:
    path = folders[1] / "3.png"
    path.write_bytes(path.read_bytes()[:-40])


def nan(folders: Folders) -> None:
    image = np.zeros((40, 48), np.float32)
    image[7, 9] = np.nan
    (folders[0] / "3.png").unlink()
    np.save(folders[0] / "3.npy", image)


def other_size(folders: Folders) -> None:
    write(folders[1] / "3.png", np.zeros((40, 47), np.uint8))


def fractions(folders: Folders) -> None:
    (folders[1] / "3.png").unlink()
    np.save(folders[1] / "3.npy", np.full((40, 48), 0.5, np.float32))


def nowhere(folders: Folders) -> None:
    (folders[0] / "3.png").unlink()
    (folders[0] / "3.png").symlink_to(folders[0] / "gone.png")


def cut_pages(folders: Folders) -> None:
    tifffile = pytest.importorskip("tifffile")
    (folders[0] / "3.png").unlink()
    tifffile.imwrite(folders[0] / "3.tif", np.zeros((40, 48), np.uint8))
    (folders[0] / "3.tif").write_bytes((folders[0] / "3.tif").read_bytes()[:9])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut, "3.png"),
        (cut_mask, "3.png"),
        (nan, "got nan in 3.npy at channel, row, column [0, 7, 9]"),
        (other_size, "expected a mask of (40, 48) pixels for 3.png, got (40, 47)"),
        (fractions, "got float32 in 3.npy"),
        (nowhere, "3.png"),
        (cut_pages, "3.tif"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_left_out_where_asked(
    damage: Any, says: str, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folders)
    assert dry(folders) == 1
    assert says in capsys.readouterr().err
    run = tmp_path / "run"
    assert train(folders, run, "--steps", "1", "--looks", "1", "--on-error", "skip", "--json") == 1
    said = capsys.readouterr()
    assert said.err.count("left out: ") == 1
    assert says in said.err
    assert [Path(name).stem for name in json.loads(said.out)["left_out"]] == ["3"]
    assert json.loads(said.out)["step"] == 1


def test_a_folder_of_which_nothing_can_be_read(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for path in folders[0].iterdir():
        path.write_bytes(b"nothing")
    assert dry(folders, "--on-error", "skip") == 1
    assert "that can be read, got none" in capsys.readouterr().err


def test_one_file_at_least_is_trained_on(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for part, left in (("0.99", 1), ("0.5", 3), ("0", 5)):
        assert dry(folders, "--validate", part) == 0
        assert json.loads(capsys.readouterr().out)["train"] == left


def test_images_of_other_channels_are_named(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    write(folders[0] / "3.png", np.zeros((40, 48, 3), np.uint8))
    assert dry(folders) == 1
    assert "got 1 in 0.png, 3 in 3.png; pass --channels 1 or 3" in capsys.readouterr().err
    for channels in ("1", "3"):
        assert dry(folders, "--channels", channels) == 0
        assert f"{channels} channels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("masks", "task"),
    [
        ([np.zeros((8, 8), np.uint8)], Task("binary")),
        ([np.eye(8, dtype=bool)], Task("binary")),
        ([np.eye(8, dtype=np.uint8) * 255, np.zeros((8, 8), np.uint8)], Task("binary")),
        (
            [np.eye(8, dtype=np.uint8) * 255, np.eye(8, dtype=bool), np.zeros((8, 8), np.uint8)],
            Task("binary"),
        ),  # as two programs write them
        ([np.eye(8, dtype=np.uint8), np.eye(8, dtype=np.uint8) * 2], Task("classes", 3)),
        ([np.arange(64).reshape(8, 8) // 16] * 4, Task("classes", 4)),  # each one region, the same in all masks
        ([np.arange(64).reshape(8, 8) // n for n in (12, 14, 16, 18)], Task("instances")),  # each one region, now more, now fewer
        ([np.kron(np.eye(4), np.ones((2, 2))).astype(np.uint8) * 3, np.ones((8, 8), np.uint8)], Task("classes", 4)),
        ([np.arange(64).reshape(8, 8) // 2], Task("instances")),  # more numbers than classes have
        ([np.repeat(np.arange(10), 10)[None].repeat(4, 0) * (np.arange(100) % 10 > 1)], Task("instances")),  # each one region
        ([(np.arange(64).reshape(8, 8) * 7) % 5], Task("classes", 5)),  # as few, in many regions
    ],
)
def test_masks_are_told_apart(masks: list[np.ndarray], task: Task) -> None:
    assert recognise(masks) == task


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("kind", ["first.npy", "last.npy", "ome.tif"])
def test_images_of_several_dyes(channels: int, kind: str, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any number of channels, first or last, through training, prediction and the report, whose pictures show some of them."""
    tifffile = pytest.importorskip("tifffile")
    for path in list(folders[0].iterdir()):
        pixels = np.stack([png.decode(path.read_bytes())[0] // (n + 1) for n in range(channels)])
        if kind == "ome.tif":  # its mask is named without .ome
            tifffile.imwrite(path.with_suffix(".ome.tif"), pixels, photometric="minisblack", metadata={"axes": "CYX"})
        else:
            np.save(path.with_suffix(".npy"), pixels if kind == "first.npy" else pixels.transpose(1, 2, 0))
        path.unlink()
    assert train(folders, tmp_path / "run", "--steps", "1", "--looks", "1") == 0
    assert f"{channels} channels" in capsys.readouterr().err
    model = str(tmp_path / "run" / "best.nx")
    assert main(["predict", model, str(folders[0]), "--out", str(tmp_path / "found"), "--overlay"]) == 0
    assert main(["eval", model, *map(str, folders), "--report", str(tmp_path / "r.html"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["images"] == 5
    assert (tmp_path / "r.html").stat().st_size > 1000 and len(list((tmp_path / "found").iterdir())) == 10


def blurred(steps: int) -> np.ndarray:
    """A disc whose rim has shades, as JPEG and smooth resizing make them."""
    rows, columns = np.ogrid[:40, :48]
    return np.clip(128 + 40 * (15 - np.hypot(rows - 20, columns - 24)), 0, 255).astype(np.uint8) // steps * steps


def test_shades_of_grey_are_neither_classes_nor_objects(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for path in folders[1].iterdir():
        write(path, blurred(1))
    assert dry(folders) == 1
    said = capsys.readouterr().err
    assert "neurenix train: expected numbers of classes or of objects in masks, got" in said
    assert "as shades of grey are (of JPEG files, or of masks that were resized smoothly); save masks as PNG or TIFF" in said
    assert dry(folders, "--masks-are", "instances") == 0
    pillow = pytest.importorskip("PIL.Image")
    for path in list(folders[1].iterdir()):
        pillow.fromarray(np.where(blurred(1) > 128, 255, 0).astype(np.uint8)).save(path.with_suffix(".jpg"))
        path.unlink()
    assert dry(folders) == 1
    assert "of JPEG files" in capsys.readouterr().err


def test_whole_numbers_that_are_floats_are_masks(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for path in list(folders[1].iterdir()):
        np.save(path.with_suffix(".npy"), (png.decode(path.read_bytes())[0] > 0).astype(np.float64))
        path.unlink()
    assert dry(folders) == 0
    assert "masks are binary" in capsys.readouterr().err


def test_masks_that_lack_something_are_told(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for path in folders[1].iterdir():
        write(path, np.zeros((40, 48), np.uint8))
    assert dry(folders) == 0
    assert "no mask holds anything but 0: a model that is trained on them finds nothing" in capsys.readouterr().err
    for path in folders[1].iterdir():
        write(path, (np.arange(40 * 48).reshape(40, 48) * 7 % 5 // 4 * 3 + np.eye(40, 48)).astype(np.uint8).clip(0, 3))
    assert dry(folders) == 0
    assert "no mask holds class 2\n" in capsys.readouterr().err


def test_errors_of_masks_are_in_the_commands_words(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No argument of Python's is advised, and no name of a class begins the text."""
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(1, 1, [4], final_activation="sigmoid").eval(), tmp_path / "binary.nx")
    nx.save(nx.multiscale.UNet(1, 2, [4]).eval(), tmp_path / "classes.nx")
    colours = np.zeros((40, 48, 3), np.uint8)
    colours[3:9], colours[20:25] = (255, 0, 0), (0, 0, 255)
    three = np.arange(40 * 48).reshape(40, 48).astype(np.uint8) % 3

    def judged(model: str, mask: np.ndarray) -> str:
        write(folders[1] / "3.png", mask)
        assert main(["eval", str(tmp_path / model), *map(str, folders)]) == 1
        return capsys.readouterr().err

    write(folders[1] / "3.png", colours)
    assert dry(folders) == 1
    said = capsys.readouterr().err
    assert said.rstrip().endswith("3 colours (0, 0, 0), (255, 0, 0), (0, 0, 255); save the number of its class in each pixel")
    assert "neurenix train: expected one number a pixel in the mask 3.png" in said
    assert "train with --masks-are classes for numbers of classes, --masks-are instances" in judged("binary.nx", three)
    assert "the model knows no more: number classes as in training" in judged("classes.nx", three)
    for path, (status, text, others) in {"3.png": (0, "left out, without a partner: ", 2), "*": (1, "got no pair", 0)}.items():
        for mask in list(folders[1].glob(path)):
            mask.rename(mask.with_name(f"{mask.stem}_mask.png"))
        assert main(["eval", str(tmp_path / "binary.nx"), *map(str, folders)]) == status
        said = capsys.readouterr().err
        assert text in said and said.count("without a partner") == others
    assert "check the folders, or pass --mask-suffix where masks have longer names" in said


def test_what_masks_are_can_be_said(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, text in (("instances", "masks are instances"), ("classes", "masks are classes (2 classes)"), ("binary", "masks are binary")):
        for path in folders[1].iterdir():
            write(path, np.eye(40, 48, dtype=np.uint8))
        assert dry(folders, "--masks-are", kind) == 0
        assert text in capsys.readouterr().err
    write(folders[1] / "3.png", np.arange(40 * 48).reshape(40, 48).astype(np.uint8))
    assert dry(folders, "--masks-are", "binary") == 1
    assert "expected a binary mask (0 and one other value) in 3.png" in capsys.readouterr().err


def test_rare_classes_come_as_often_as_others(folders: Folders) -> None:
    """A class on four pixels of one image in five is in far more windows than lie on it by chance."""
    for i in range(5):
        mask = np.ones((40, 48), np.uint8)
        mask[:, :24] = 0
        mask[20:22, 30:32] = 2 if i == 3 else 1
        write(folders[1] / f"{i}.png", mask)
    given = parser().parse_args(words(folders, Path("run"), "--crop", "8", "--batch", "8", "--validate", "0"))
    found = data(given)
    assert found.task == Task("classes", 3)
    nx.manual_seed(0)
    batches = loader(found.train, found.task, 8, 100, given, "cpu", (0, 1))
    having = np.mean([[(mask == 2).any() for mask in masks.numpy()] for _, masks in batches])
    by_chance = 9 * 9 / (33 * 41) / 5
    assert having > 4 * by_chance
    assert having < 0.2  # of one image in five, half of the windows lie on foreground


def arguments(*words: str) -> argparse.Namespace:
    return parser().parse_args(["train", *words])


def test_runs_are_the_same_with_the_same_seed_and_any_number_of_threads(folders: Folders, tmp_path: Path) -> None:
    before = nx.get_num_threads()
    try:
        for name, more in (("one", ["--threads", "1"]), ("two", ["--threads", "2"]), ("other", ["--seed", "1"])):
            assert train(folders, tmp_path / name, "--steps", "3", "--looks", "1", *more) == 0
    finally:
        nx.set_num_threads(before)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one")["last.nx"] != contents(tmp_path / "other")["last.nx"]


def test_settings_are_those_of_the_small_runs() -> None:
    assert arguments("a", "b", "--out", "c", *SETTINGS).looks == 4
