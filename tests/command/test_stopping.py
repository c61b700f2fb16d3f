"""When a training ends: early, by Ctrl-C, beside another process in its folder, where it cannot write."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command.runs import STEPS, contents, make_folders, train, words

import neurenix as nx
from neurenix.command import main, train as command
from neurenix.command.tasks import Task

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("data"))


def test_patience_ends_a_run_which_then_stays_ended(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.5, 0.4, 0.6, 0.6, 0.1, 0.9])
    monkeypatch.setattr(Task, "score", lambda *_: next(scores))
    asked = ["--steps", "12", "--looks", "6", "--patience", "2"]
    assert train(folders, tmp_path / "run", *asked, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["step"], told["best"], told["score"]) == (10, 0.6, 0.1)
    before = contents(tmp_path / "run")
    assert train(folders, tmp_path / "run", *asked, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out) == told
    assert contents(tmp_path / "run") == before
    assert train(folders, tmp_path / "run", *asked[:-1], "3", "--resume", "--json") == 0  # more patience
    assert json.loads(capsys.readouterr().out)["best"] == 0.9


def test_each_epoch_is_looked_at(folders: Folders, tmp_path: Path) -> None:
    """Four times three images, in steps of two windows: an epoch takes a step and a half."""
    asked = ["train", *map(str, folders), "--out", str(tmp_path / "run"), "--features", "4", "--crop", "16", "--batch", "2"]
    assert main([*asked, "--validate", "0.25", "--epochs", "4"]) == 0
    log = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["step", "2", "3", "5", "6"]


def test_a_second_ctrl_c_does_not_wait(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a look; the state is that of the look before, and goes on to the same files."""
    look = command._look

    def twice(training: Any, rest: Any) -> None:
        if training.done == 6:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        look(training, rest)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(command, "_look", twice)
        assert train(folders, tmp_path / "run", *STEPS) == 75
    assert "interrupted; run the same command with --resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert nx.load(tmp_path / "run" / "last.nx")["run"]["done"] == 3
    assert train(folders, tmp_path / "run", *STEPS, "--resume") == 0
    assert train(folders, tmp_path / "straight", *STEPS) == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "straight")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_before_the_first_step_ends_it_at_once(
    number: signal.Signals, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While images are read, which may take long; there is nothing to go on from, and the same command begins anew."""
    before = signal.getsignal(number)

    def read(*_: object) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("went on reading")

    with monkeypatch.context() as patch:
        patch.setattr(command, "data", read)
        assert train(folders, tmp_path / "run", *STEPS) == 75
    assert "interrupted; nothing was trained yet, run the same command again" in capsys.readouterr().err
    assert signal.getsignal(number) is before
    assert train(folders, tmp_path / "run", "--steps", "1", "--looks", "1") == 0


BESIDE = """
import sys
from neurenix.command import main, train
begin = train._begin
def begun(*given):
    begin(*given)
    print("begun", flush=True)
    sys.stdin.read()
train._begin = begun
sys.exit(main(sys.argv[1:]))
"""


def test_a_second_process_in_the_folder_is_refused(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While the first is at work; afterwards the folder holds a run, and a kill leaves no lock behind."""
    argv = words(folders, tmp_path / "run", "--steps", "1", "--looks", "1")
    first = subprocess.Popen([sys.executable, "-c", BESIDE, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "begun\n"
        assert main(argv) == 75
        assert f"expected the run in {tmp_path / 'run'} to be free, got process {first.pid}" in capsys.readouterr().err
        first.stdin.close()
        first.stdout.read()
    assert first.returncode == 0
    assert main(argv) == 1
    assert "pass --resume to go on with it" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "run")
    killed = subprocess.Popen([sys.executable, "-c", BESIDE, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        killed.kill()
    assert main(argv) == 0


def test_where_it_cannot_write(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert train(folders, tmp_path / "file" / "run", *STEPS) == 1
    assert "Not a directory" in capsys.readouterr().err
    assert train(folders, tmp_path / "file", *STEPS) == 1
    assert "expected a folder for --out, got the file" in capsys.readouterr().err
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        return
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs -o ro,size=1m none "$1"; shift; "$@"'
    argv = [sys.executable, "-m", "neurenix", *words(folders, tmp_path / "disk" / "run", *STEPS)]
    ran = ["unshare", "-rm", "sh", "-c", script, "sh", str(tmp_path / "disk"), *argv]
    done = subprocess.run(ran, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr


def test_other_settings_or_files_than_the_run_began_with_are_refused(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "images", tmp_path / "masks"
    for one, other in zip(folders, own, strict=True):
        shutil.copytree(one, other)
    run, asked = tmp_path / "run", ["--steps", "2", "--looks", "1"]
    assert train(own, run, *asked) == 0
    before = contents(run)
    for more, says in (
        (["--seed", "4"], "got --seed 4 (there: --seed 0); pass --seed 0"),
        (["--features", "4"], "got --features 4 (there: --features 4 8); pass --features 4 8"),
        (["--channels", "3"], "got --channels 3 (there: no --channels); leave out --channels"),
        (["--rate", "1", "--batch", "2"], "pass --batch 4 --rate 0.003"),
    ):
        assert train(own, run, *asked, *more, "--resume") == 1
        assert says in capsys.readouterr().err
    shutil.copyfile(own[0] / "1.png", own[0] / "9.png")
    shutil.copyfile(own[1] / "1.png", own[1] / "9.png")
    assert train(own, run, *asked, "--resume") == 1
    assert "expected the files that the run in" in capsys.readouterr().err
    assert contents(run) == before
