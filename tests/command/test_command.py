"""The command line: from two folders to a model, masks and scores; stopped runs go on to the same bits; bad input is named."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix import png
from neurenix.command import COMMANDS, main
from neurenix.command.files import provenance
from neurenix.command.predict import load_model
from neurenix.errors import BusyError
from neurenix.examples.shared import load_nuclei

SMALL = ["--features", "4", "8", "--crop", "48", "--looks", "2"]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Six pieces of the bundled image in ``images``, their nuclei as binary masks in ``masks``, one image without a mask."""
    image, labels = load_nuclei()
    images, masks = tmp_path / "my images", tmp_path / "mäsks"
    for folder, pixels in ((images, image), (masks, np.where(labels > 0, 255, 0).astype(np.uint8))):
        folder.mkdir()
        for i in range(6):
            (folder / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(pixels[64 * i : 64 * i + 64, :80])))
    return images, masks


def train(folders: tuple[Path, Path], out: Path, *more: str) -> int:
    return main(["train", *map(str, folders), "--out", str(out), *SMALL, *more])


def test_from_two_folders_to_masks_and_scores(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, _ = folders
    (images / "lone.png").write_bytes((images / "0.png").read_bytes())
    run = tmp_path / "run"
    assert train(folders, run, "--steps", "40") == 0
    said = capsys.readouterr()
    assert "lone.png" in said.err
    assert "5 images to train on, 1 to validate by; masks are binary; 1 channels, windows of 48 pixels, 40 steps" in said.err
    assert f"{run / 'best.nx'}: IoU" in said.out
    assert {p.name for p in run.iterdir()} == {"best.nx", "last.nx", "step-0000020.nx", "config.toml", "log.csv", "validation.png"}
    config = tomllib.loads((run / "config.toml").read_text())
    assert (config["train"]["steps"], config["task"]["kind"], config["made_by"]["neurenix"]) == (40, "binary", nx.__version__)
    rows = list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["20", "40"]
    (images / "lone.png").unlink()

    assert main(["predict", str(run / "best.nx"), str(images), "--out", str(tmp_path / "found"), "--probabilities"]) == 0
    model = nx.load(run / "best.nx")["model"].eval()
    for i in range(6):
        pixels, _ = png.decode((images / f"{i}.png").read_bytes())
        probability = nx.predict(model, pixels)
        assert np.array_equal(np.load(tmp_path / "found" / f"{i}.npy")[0], probability)
        assert np.array_equal(png.decode((tmp_path / "found" / f"{i}.png").read_bytes())[0], np.where(probability > 0.5, 255, 0))

    capsys.readouterr()
    assert main(["eval", str(run / "best.nx"), *map(str, folders), "--out", str(tmp_path / "scores.csv"), "--json"]) == 0
    pooled = json.loads(capsys.readouterr().out)
    table = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["image"] for row in table] == [*(f"{i}.png" for i in range(6)), "all"]
    assert float(table[-1]["IoU"]) == pooled["IoU"] > 0.3


def test_a_result_says_where_it_came_from(tmp_path, monkeypatch):
    """Versions, the machine, and the commit of the folder that the command ran in, where it has one."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("needs git")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = provenance()
    assert (found["neurenix"], found["numpy"], found["host"]) == (nx.__version__, np.__version__, platform.node())
    assert "commit" not in found
    for command in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run([git, *command], check=True)
    head = subprocess.run([git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert provenance()["commit"] == head


def test_tiles_and_parts_give_the_same_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    images, _ = folders
    assert train(folders, tmp_path / "run", "--steps", "20") == 0
    common = ["predict", str(tmp_path / "run" / "best.nx"), str(images)]
    assert main([*common, "--out", str(tmp_path / "whole")]) == 0
    for part in ("1/2", "2/2"):
        assert main([*common, "--out", str(tmp_path / "parts"), "--tile", "16", "--part", part]) == 0
    assert len(list((tmp_path / "parts").iterdir())) == 6
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "parts" / path.name).read_bytes()


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 75), (signal.SIGKILL, -9)])
def test_a_stopped_run_goes_on_to_the_same_bits(number: signal.Signals, expected: int, folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Stopped by a signal after the first look, in a process of its own; then resumed, against a run that never stopped."""
    steps = ["--steps", "60"]
    assert train(folders, tmp_path / "straight", *steps) == 0
    stopper = (
        "import os, sys\n"
        "from neurenix.command import main, train\n"
        "look = train._look\n"
        "def stop(training, rest):\n"
        "    look(training, rest)\n"
        "    training.save()\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "train._look = stop\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["train", *map(str, folders), "--out", str(tmp_path / "stopped"), *SMALL, *steps]
    done = subprocess.run([sys.executable, "-c", stopper, *command], capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    assert nx.load(tmp_path / "stopped" / "last.nx")["run"]["done"] in (30, 31)
    assert main([*command, "--resume"]) == 0
    for name in ("best.nx", "last.nx", "validation.png"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()
    logs = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader((tmp_path / run / "log.csv").read_text().splitlines())]
        for run in ("straight", "stopped")
    ]
    assert logs[0] == logs[1]


def make_classes(labels: np.ndarray) -> np.ndarray:
    return (labels > 0).astype(np.uint8) + (labels > 40).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "kind", "measure"),
    [(make_classes, "classes", "mean IoU"), (lambda labels: labels.astype(np.uint16), "instances", "panoptic quality")],
)
def test_other_masks_are_told_apart(
    make: Callable[[np.ndarray], np.ndarray], kind: str, measure: str, folders: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    images, masks = folders
    _, labels = load_nuclei()
    for i in range(6):
        (masks / f"{i}.png").write_bytes(png.encode(np.ascontiguousarray(make(labels)[64 * i : 64 * i + 64, :80])))
    assert train(folders, tmp_path / "run", "--steps", "20", "--json") == 0
    said = capsys.readouterr()
    assert f"masks are {kind}" in said.err
    assert json.loads(said.out)["measure"] == measure
    assert load_model(tmp_path / "run" / "last.nx")[1] == load_model(tmp_path / "run" / "best.nx")[1]
    assert main(["predict", str(tmp_path / "run" / "best.nx"), str(images), "--out", str(tmp_path / "found")]) == 0
    assert main(["eval", str(tmp_path / "run" / "best.nx"), *map(str, folders)]) == 0
    assert measure in capsys.readouterr().out


def test_a_damaged_image_is_named(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, _ = folders
    assert train(folders, tmp_path / "run", "--steps", "20") == 0
    (images / "3.png").write_bytes((images / "3.png").read_bytes()[:100])
    np.save(images / "nan.npy", np.full((40, 40), np.nan, np.float32))
    common = ["predict", str(tmp_path / "run" / "best.nx"), str(images), "--out", str(tmp_path / "found")]
    assert main(common) == 1
    assert "3.png" in capsys.readouterr().err
    assert main([*common, "--skip-errors", "--resume"]) == 1
    said = capsys.readouterr()
    assert "3.png" in said.err
    assert "got nan in nan.npy at channel, row, column [0, 0, 0]" in said.err
    assert sorted(p.name for p in (tmp_path / "found").iterdir()) == ["0.png", "1.png", "2.png", "4.png", "5.png"]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "found").iterdir()}
    (tmp_path / "found" / "1.png").unlink()
    assert main([*common, "--skip-errors", "--resume"]) == 1
    assert [p.name for p in (tmp_path / "found").iterdir() if p.stat().st_mtime_ns != before.get(p)] == ["1.png"]


def test_wrong_commands_say_what_to_do(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, masks = map(str, folders)
    assert train(folders, tmp_path / "run", "--steps", "20") == 0
    cases = {
        ("train", images, masks, "--out", str(tmp_path / "run")): "pass --resume to go on with it",
        ("train", images, masks, "--out", str(tmp_path / "new"), "--resume"): "leave out --resume",
        ("train", images, masks, "--out", str(tmp_path / "new"), "--steps", "0"): "expected --steps of at least 1, got 0",
        ("train", images, str(tmp_path / "none"), "--out", str(tmp_path / "new")): "expected a folder",
        ("train", images, masks, "--out", str(tmp_path / "run"), "--resume", "--steps", "3"): "pass --steps 20",
        ("train", images, masks, "--out", str(tmp_path / "run"), *SMALL, "--resume", "--steps", "20", "--shards", "2"): "pass --shards 4",
        (
            "train",
            images,
            masks,
            "--out",
            str(tmp_path / "new"),
            "--device",
            "tpu",
        ): """device: expected "cpu", "cuda" or "cuda:N", got 'tpu'""",
        ("train", images, masks, "--out", str(tmp_path / "new"), "--shards", "3"): "expected --shards that divide a batch of 8, got 3",
        ("predict", str(tmp_path / "run" / "last.nx.gone"), images, "--out", str(tmp_path / "x")): "last.nx.gone",
        ("predict", str(tmp_path / "run" / "best.nx"), str(tmp_path / "nowhere"), "--out", str(tmp_path / "x")): "check the path",
        ("predict", str(tmp_path / "run" / "best.nx"), images, "--out", str(tmp_path / "x"), "--part", "3/2"): "--part I/N",
    }
    for argv, text in cases.items():
        assert main(argv) == 1
        assert text in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["train", images])
    assert not (tmp_path / "new").exists()
    assert main(["train", images, masks, "--out", str(tmp_path / "new"), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 1000
    assert not (tmp_path / "new").exists()


def test_info_and_doctor(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folders, tmp_path / "run", "--steps", "20") == 0
    capsys.readouterr()
    assert main(["info", str(tmp_path / "run" / "best.nx")]) == 0
    said = capsys.readouterr().out
    assert "UNet for masks that are binary" in said
    assert "encoder.0" in said
    assert 'masks_are = "auto"' in said
    assert main(["doctor", "--json"]) in (0, 1)
    assert {f["what"] for f in json.loads(capsys.readouterr().out)["findings"]} >= {"processor", "threads", "memory"}


def test_results_are_one_line_of_json(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else on standard output."""
    model, images, masks = str(tmp_path / "run" / "best.nx"), *map(str, folders)
    for words, names in (
        (["train", images, masks, "--out", str(tmp_path / "run"), *SMALL, "--steps", "20"], {"out", "step", "score", "best", "measure"}),
        (["predict", model, images, "--out", str(tmp_path / "found")], {"out", "failed"}),
        (["info", model], {"model", "task", "parameters", "multiply_adds", "receptive_field"}),
        (["plan", model, images], {"seconds", "memory"}),
        (["eval", model, images, masks], {"IoU"}),
        (["export", model, "--to", "safetensors", "--out", str(tmp_path / "model.safetensors")], {"out", "bytes"}),
    ):
        assert main([*words, "--json"]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert names <= set(json.loads(line)), line


def test_dry_runs_say_what_would_be_done_and_write_nothing(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, masks = map(str, folders)
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(1, 1, [4]).eval(), tmp_path / "model.nx")
    model, out = str(tmp_path / "model.nx"), tmp_path / "found"

    def said(*words: str) -> dict[str, object]:
        assert main([*words, "--dry-run"]) == 0
        assert capsys.readouterr().out.endswith("\n")
        assert main([*words, "--dry-run", "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    (folders[0] / "large.png").write_bytes(png.encode(np.zeros((70, 90), np.uint8)))
    predict = ["predict", model, images, "--out", str(out), "--tile", "80"]
    assert said(*predict) == {"out": str(out), "images": 7, "there": 0, "tiled": 1, "whole": 6, "removed": 0, "failed": []}
    assert not out.exists()
    assert main([*predict[:2], str(folders[0] / "3.png"), *predict[3:]]) == 0
    assert said(*predict, "--resume")["there"] == 1
    assert said(*predict, "--overwrite")["removed"] == 1
    assert main([*predict, "--dry-run"]) == 1
    assert [p.name for p in out.iterdir()] == ["3.png"]
    (out / "3.png").unlink()
    assert said(*predict, "--part", "2/2")["images"] == 3
    (folders[0] / "large.png").write_bytes(b"no picture")
    assert main([*predict, "--dry-run"]) == 1
    assert main([*predict, "--dry-run", "--on-error", "skip"]) == 1
    assert "1 would be left out" in capsys.readouterr().out
    (folders[0] / "large.png").unlink()
    assert said("eval", model, images, masks, "--out", str(tmp_path / "scores.csv")) == {"images": 6, "task": "binary"}
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_exit_statuses(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """2 for words that the command does not know, 1 for an error, 75 for an end before the end: with what to do."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--nonsense"])
    assert ended.value.code == 2
    assert "usage: neurenix" in capsys.readouterr().err
    gone = str(tmp_path / "gone")
    words = {
        "train": [gone, gone, "--out", str(tmp_path / "run")],
        "predict": [gone, gone, "--out", str(tmp_path / "found")],
        "plan": [gone, gone],
        "eval": [gone, gone, gone],
        "export": [gone, "--to", "onnx", "--out", str(tmp_path / "model.onnx")],
        "info": [gone],
        "doctor": ["--threads", "0"],
    }[command]
    assert main([command, *words]) == 1
    assert capsys.readouterr().err.startswith(f"neurenix {command}: ")
    for error, status, text in (
        (KeyboardInterrupt(), 75, "run the same command again"),
        (BusyError("predict: expected a free folder"), 75, "expected a free folder"),
        (OSError(28, "No space left on device", "x.nx"), 75, "No space left on device"),
        (OSError(13, "Permission denied", "x.nx"), 1, "Permission denied"),
    ):

        def run(_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(COMMANDS[command], "run", run)
        assert main([command, *([] if command == "doctor" else words)]) == status
        assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neurenix", command, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120"},
    )
    assert done.returncode == 0
    assert f"example: neurenix {command}" in done.stdout
    assert "exit status" in done.stdout
