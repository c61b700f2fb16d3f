"""States of a run: how many stay, which one a run goes on from when some are damaged, that the only good one is never lost."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command.runs import SETTINGS, STEPS, contents, make_folders, train

import neurenix as nx
from neurenix.command.checkpoints import Checkpoints

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def straight(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped: looks at steps 3, 6, 9 and 12."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    assert train(folders, out, *STEPS) == 0
    return out


def states(run: Path) -> dict[str, int]:
    """The step of each state."""
    return {p.name: nx.load(p)["run"]["done"] for p in sorted(run.glob("*.nx")) if p.name != "best.nx"}


def test_as_many_stay_as_asked_for(straight: Path, folders: Folders, tmp_path: Path) -> None:
    assert states(straight) == {"last.nx": 12, "step-0000006.nx": 6, "step-0000009.nx": 9}
    assert train(folders, tmp_path / "none", *STEPS, "--keep", "0") == 0
    assert states(tmp_path / "none") == {"last.nx": 12}
    assert (tmp_path / "none" / "last.nx").read_bytes() == (straight / "last.nx").read_bytes()
    assert all(p.stat().st_nlink == 1 for p in straight.iterdir())  # damage to one file is damage to one state


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    """One bit, in the middle of the weights."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def another(path: Path) -> None:
    """A file that is whole, and no state."""
    shutil.copyfile(path.with_name("best.nx"), path)


@pytest.mark.parametrize(
    ("damage", "names", "used"),
    [
        (cut, ["last.nx"], "step-0000009.nx"),
        (flip, ["last.nx", "step-0000009.nx"], "step-0000006.nx"),
        (empty, ["last.nx"], "step-0000009.nx"),
        (another, ["last.nx"], "step-0000009.nx"),
        (Path.unlink, ["last.nx"], "step-0000009.nx"),
        (flip, ["best.nx", "last.nx"], "step-0000009.nx"),
    ],
)
def test_damaged_states_are_named_and_the_newest_whole_one_goes_on(
    damage: Callable[[Path], None], names: list[str], used: str, straight: Path, folders: Folders, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """To the same files, the damaged ones among them."""
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    for name in names:
        damage(run / name)
    assert train(folders, run, *STEPS, "--resume") == 0
    said = capsys.readouterr().err
    assert all(f"{name} cannot be read" in said for name in names)
    assert f"going on from {used}, step {int(used[5:12])}" in said
    got, want = contents(run), contents(straight)
    if "best.nx" in names:  # the next look's is the best there is
        assert nx.load(run / "best.nx")["task"] == "binary"
        del got["best.nx"], got["last.nx"], want["best.nx"], want["last.nx"]
    assert got == want


def test_a_run_without_a_whole_state_is_refused_and_left_as_it_is(
    straight: Path, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    for name in states(straight):
        flip(run / name)
    before = contents(run)
    assert train(folders, run, *STEPS, "--resume") == 1
    said = capsys.readouterr().err
    assert "got none that can be read" in said
    assert all(name in said for name in states(straight))
    assert contents(run) == before


def test_older_states_go_when_the_newer_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def state(step: int) -> dict[str, object]:
        return {"model": 0, "optimizer": 0, "settings": {}, "rows": [{"step": step}], "run": {"done": step}}

    checkpoints = Checkpoints(tmp_path, 1)
    for step in (1, 2):
        checkpoints.write(state(step))
    assert states(tmp_path) == {"last.nx": 2, "step-0000001.nx": 1}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(nx, "save", full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.write(state(3))
    assert states(tmp_path) == {"last.nx": 2, "step-0000001.nx": 1, "step-0000002.nx": 2}
    flip(tmp_path / "last.nx")  # and the other name of its bytes: the disk was full before new ones were written
    again = Checkpoints(tmp_path, 1)
    path, found = again.newest()
    assert (path.name, found["run"]["done"]) == ("step-0000001.nx", 1)
    with monkeypatch.context() as patch:
        patch.setattr(nx, "save", full)
        with pytest.raises(OSError, match="No space"):
            again.write(state(2))
    assert nx.load(tmp_path / "step-0000001.nx")["run"]["done"] == 1  # the only good one
    again.write(state(2))
    assert states(tmp_path) == {"last.nx": 2, "step-0000001.nx": 1}  # and the damaged ones are gone


def test_a_file_system_without_links_keeps_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refused)
    checkpoints = Checkpoints(tmp_path, 2)
    for step in (1, 2, 3, 4):
        checkpoints.write({"model": 0, "optimizer": 0, "settings": {}, "rows": [{"step": step}], "run": {"done": step}})
    assert states(tmp_path) == {"last.nx": 4, "step-0000002.nx": 2, "step-0000003.nx": 3}


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    left = [".last.nx.0123456789abcdef.tmp", ".best.nx.0123456789abcdef.tmp", ".17.validation.png", ".17.step-0000003.nx"]
    for name in [*left, ".gitignore", ".lock", "step-0000003.nx"]:
        (tmp_path / name).touch()
    Checkpoints(tmp_path, 2).clear()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".gitignore", ".lock", "step-0000003.nx"]


FULL = """
set -e
mount -t tmpfs -o size=500k none "$3"
status=0
"$5" -m neurenix train "$1" "$2" --out "$3/run" {settings} || status=$?
test "$status" = 75
"$5" -c 'import neurenix as nx, sys; print("whole:", nx.load(sys.argv[1])["run"]["done"])' "$3/run/last.nx"
mount -o remount,size=8m "$3"
"$5" -m neurenix train "$1" "$2" --out "$3/run" {settings} --resume
cp -r "$3/run" "$4"
"""


def test_a_full_disk_loses_nothing(straight: Path, folders: Folders, tmp_path: Path) -> None:
    """On a file system with room for three states of four; with more room the same command goes on to the same files."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system of one's own to be had here")
    (tmp_path / "disk").mkdir()
    script = FULL.replace("{settings}", " ".join([*SETTINGS, *STEPS]))
    paths = [*map(str, folders), str(tmp_path / "disk"), str(tmp_path / "copy"), sys.executable]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stderr
    assert "whole:" in done.stdout
    assert contents(tmp_path / "copy") == contents(straight)
