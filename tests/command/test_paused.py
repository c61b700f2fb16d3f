"""A process that is halted and goes on (SIGSTOP, SIGCONT: a laptop's lid, a batch system that suspends jobs) ends with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command.runs import STEPS, contents, make_folders, train, words

import neurenix as nx
from neurenix.command import main

pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


def halted_now_and_then(arguments: Sequence[str]) -> tuple[int, int]:
    """Exit status of the command, and how often it was halted."""
    process = subprocess.Popen([sys.executable, "-m", "neurenix", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    times = 0
    while process.poll() is None:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.02)
        os.kill(process.pid, signal.SIGCONT)
        times += 1
        time.sleep(0.03)
    return process.returncode, times


def test_train(tmp_path: Path) -> None:
    folders = make_folders(tmp_path / "data")
    assert train(folders, tmp_path / "straight", *STEPS) == 0
    status, times = halted_now_and_then(words(folders, tmp_path / "halted", *STEPS))
    assert status == 0 and times > 5
    assert contents(tmp_path / "halted") == contents(tmp_path / "straight")


def test_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nx.manual_seed(0)
    nx.save(nx.multiscale.UNet(1, 1, [8, 16]).eval(), tmp_path / "m.nx")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (400, 500), np.uint8))
    asked = ["predict", str(tmp_path / "m.nx"), str(tmp_path / "a.npy"), "--tile", "40", "--probabilities"]
    assert main([*asked, "--out", str(tmp_path / "straight"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 1
    status, times = halted_now_and_then([*asked, "--out", str(tmp_path / "halted")])
    assert status == 0 and times > 5
    for path in (tmp_path / "straight").iterdir():
        assert (tmp_path / "halted" / path.name).read_bytes() == path.read_bytes()
