"""A process killed at any place loses nothing: run again it ends with the same file. ``NEURENIX_KILLS`` rounds, 4 by default."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neurenix as nx
from neurenix.slides import Part, Settings, predict_file

ROUNDS = int(os.environ.get("NEURENIX_KILLS", "4"))
RNG = np.random.default_rng(int(os.environ.get("NEURENIX_KILLS_SEED", "0")))
IMAGE = RNG.integers(0, 256, (150, 130), np.uint8)


def forked(work: Callable[[], object], calls: int | None = None) -> int:
    """Run in a child, which kills itself after so many of Python's calls; how many it made, or -1 where it was killed."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        made = itertools.count(1)

        def count(*_: object) -> None:
            if next(made) == calls:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            nx.set_num_threads(1)
            sys.setprofile(count)
            work()
            sys.setprofile(None)
            os.write(into, str(next(made)).encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as told:
        text = told.read()
    _, status = os.waitpid(child, 0)
    assert text or os.WTERMSIG(status) == signal.SIGKILL, "the child failed"
    return int(text) if text else -1


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("kind", ["binary", "instances", "passes", "blended"])
def test_killed_anywhere_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGE)
    nx.manual_seed(0)
    outputs, last = (3, None) if kind == "instances" else (1, "sigmoid")
    norm = "instance" if kind == "blended" else "batch"
    model = nx.multiscale.UNet(1, outputs, [4], final_activation=last, norm=norm, squeeze_excitation=kind == "passes").eval()
    settings = Settings("instances" if kind == "instances" else "binary", tile=(32, 64), resume=True, approximate=kind == "blended")

    def job(name: str, part: Part) -> Callable[[], object]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        outputs = {k: folder / f"{k}.{e}" for k, e in (("mask", "png"), ("probabilities", "npy"))}
        return lambda: predict_file(model, tmp_path / "a.npy", outputs, settings._replace(part=part))

    calls = forked(job("straight", Part()))
    straight = contents(tmp_path / "straight")
    assert sorted(straight) == ["mask.png", "probabilities.npy"]
    for number in range(ROUNDS):
        killed = 0
        while forked(job(str(number), Part()), int(RNG.integers(1, calls))) < 0 and killed < 5:
            killed += 1
        for part in (Part(2, 2), Part(1, 2), Part()) if number % 2 else (Part(),):  # the last ends what other passes the parts leave
            assert forked(job(str(number), part)) > 0
        assert contents(tmp_path / str(number)) == straight, f"round {number}, killed {killed} times"
