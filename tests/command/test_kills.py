"""A training killed at any place loses nothing: gone on with it ends with the same files. ``NEURENIX_KILLS`` rounds, 4 by default."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command.runs import STEPS, contents, make_folders, words
from slides.test_kills import RNG, ROUNDS, forked

from neurenix.command import main

pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


def test_killed_anywhere_nothing_is_lost(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """While files are read, in steps, in looks, in the middle of every kind of writing."""
    folders = make_folders(tmp_path)

    def job(name: str) -> None:
        run = tmp_path / name
        resumed = ["--resume"] if (run / "last.nx").exists() else []
        assert main(words(folders, run, *STEPS, *resumed)) == 0
        sys.stderr.flush()

    calls = forked(lambda: job("straight"))
    straight = contents(tmp_path / "straight")
    assert {"best.nx", "last.nx", "step-0000006.nx", "step-0000009.nx", "validation.png", "log"} == set(straight)
    for number in range(ROUNDS):
        killed = 0
        while forked(lambda: job(str(number)), int(RNG.integers(calls // 8, calls))) < 0 and killed < 5:  # noqa: B023 - called at once
            killed += 1
        assert forked(lambda: job(str(number))) > 0  # noqa: B023
        assert contents(tmp_path / str(number)) == straight, f"round {number}, killed {killed} times: {capfd.readouterr().err}"
        left = {p.name for p in (tmp_path / str(number)).iterdir()} - set(straight) - {"config.toml", "log.csv"}
        assert not left, f"round {number}, killed {killed} times, left behind {left}"
