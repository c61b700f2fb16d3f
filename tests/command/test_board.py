"""Logs for TensorBoard, read by its own reader; what is said where the package is missing."""

from __future__ import annotations

import csv
import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from command.runs import STEPS, make_folders, train

from neurenix import png
from neurenix.command import board, train as command

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("data"))


def read(run: Path) -> Any:
    pytest.importorskip("tensorboardX")
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return accumulators.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def test_the_log_and_the_pictures_are_there_once_though_the_run_was_stopped(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a look was written down and before its state was: that step comes again, and is read once."""
    pytest.importorskip("tensorboardX")
    run, look = tmp_path / "run", command._look

    def dies(training: Any, rest: Any) -> None:
        look(training, rest)
        if training.done == 6:
            raise SystemExit(9)
        if training.done == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(command, "_look", dies)
    with pytest.raises(SystemExit):
        train(folders, run, *STEPS, "--tensorboard")
    assert len(read(run).Scalars("loss")) == 2
    monkeypatch.setattr(command, "_look", lambda training, rest: (look(training, rest), os.kill(os.getpid(), signal.SIGTERM)))
    assert train(folders, run, *STEPS, "--tensorboard", "--resume") == 75
    with next((run / "tensorboard").iterdir()).open("ab") as file:
        file.write(b"\x20\x00\x00")  # a record cut by a kill
    monkeypatch.undo()
    assert train(folders, run, *STEPS, "--tensorboard", "--resume") == 0
    events, rows = read(run), list(csv.DictReader((run / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    for name in ("loss", "rate", "score"):
        assert [(e.step, e.value) for e in events.Scalars(name)] == [(int(row["step"]), pytest.approx(float(row[name]))) for row in rows]
    pictures = events.Images("validation")
    assert [e.step for e in pictures] == [3, 6, 9, 12]
    assert pictures[-1].encoded_image_string == (run / "validation.png").read_bytes()
    height, width = png.decode(pictures[-1].encoded_image_string)[0].shape[:2]
    assert (pictures[-1].height, pictures[-1].width) == (height, width)


def test_a_missing_package_is_told_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    none = (tmp_path / "none", tmp_path / "none either")
    assert train(none, tmp_path / "run", "--tensorboard") == 1
    assert "pip install 'neurenix-multiscale[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_an_error_and_no_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboardX")
    log = board.Board(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.scalars(1, {"loss": 1.0})
    log.close()
