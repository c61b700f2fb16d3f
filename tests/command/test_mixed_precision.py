"""``neurenix train --precision``: what is rounded, that weights are float32, that a run goes on to the same bits with its scale."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command.runs import STEPS, contents, make_folders, train

import neurenix as nx
from neurenix import half
from neurenix.command import train as command

Folders = tuple[Path, Path]
pytestmark = pytest.mark.filterwarnings("ignore:BatchNorm2d")  # of few steps


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture
def small_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scales so large that steps are left out, and that grow again after two good ones."""
    monkeypatch.setattr(nx.amp.GradScaler.__init__, "__defaults__", ("cuda", 2.0**24, 2.0, 0.5, 2, True))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    precision: str, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_scales: None
) -> None:
    asked = [*STEPS, "--precision", precision]
    assert train(folders, tmp_path / "straight", *asked) == 0
    look = command._look

    def stop(training: Any, rest: Any) -> None:
        look(training, rest)
        if training.done == 3:
            os.kill(os.getpid(), signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(command, "_look", stop)
        assert train(folders, tmp_path / "stopped", *asked) == 75
    between = nx.load(tmp_path / "stopped" / "last.nx")
    assert train(folders, tmp_path / "stopped", *asked, "--resume") == 0
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")
    state = nx.load(tmp_path / "straight" / "last.nx")
    assert {p.dtype for p in state["model"].parameters()} == {np.dtype(np.float32)}
    assert all(np.isfinite(p.numpy()).all() for p in state["model"].parameters())
    if precision == "float16":
        assert between["scaler"]["scale"] < 2.0**24  # steps were left out before it was stopped
        assert state["scaler"]["growth_interval"] == 2
        assert between["scaler"] != state["scaler"]
    else:
        assert state["scaler"] == {}


def test_precisions_differ_and_are_the_runs(folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--steps", "4"]
    for precision in command.PRECISIONS:
        assert train(folders, tmp_path / precision, *asked, "--precision", precision) == 0
    assert train(folders, tmp_path / "plain", *asked) == 0
    weights = {run: (tmp_path / run / "best.nx").read_bytes() for run in (*command.PRECISIONS, "plain")}
    assert weights["plain"] == weights["float32"]
    assert len(set(weights.values())) == 3
    capsys.readouterr()
    assert train(folders, tmp_path / "plain", *asked, "--resume", "--precision", "float16") == 1
    assert "got --precision float16 (there: --precision float32); pass --precision float32" in capsys.readouterr().err


def test_the_emulated_gpu_trains_under_autocast(folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps with every tensor there: what convolutions get is rounded, and the scale is divided out again."""
    from gpu import emulated

    emulated.require()
    seen: list[str | None] = []
    chosen = half.chosen
    monkeypatch.setattr(half, "chosen", lambda name: seen.append(chosen(name)) or seen[-1])
    asked = ["--steps", "2", "--looks", "1", "--features", "2", "--crop", "8", "--batch", "2", "--validate", "0"]
    assert train(folders, tmp_path / "there", *asked, "--precision", "float16", "--device", "emulated") == 0
    assert "float16" in seen
    assert train(folders, tmp_path / "here", *asked, "--precision", "float16") == 0
    there, here = (nx.load(tmp_path / run / "last.nx") for run in ("there", "here"))
    assert there["scaler"] == here["scaler"]
    for one, other in zip(there["model"].parameters(), here["model"].parameters(), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-2, atol=2e-3)  # two steps of AdamW, float16 inside


@pytest.mark.parametrize(("precision", "help"), [("float32", "a lower --rate"), ("float16", "pass --precision bfloat16")])
def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_in_the_weights(
    precision: str, help: str, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from neurenix.parallel import Shards

    backward, steps = Shards.backward, []

    def overflows(self: Shards, *args: Any) -> nx.Tensor:
        steps.append(1)
        loss = backward(self, *args)
        return loss * float("inf") if len(steps) == 5 else loss

    monkeypatch.setattr(Shards, "backward", overflows)
    assert train(folders, tmp_path / "run", *STEPS, "--precision", precision) == 1
    said = capsys.readouterr().err
    assert "train: expected a finite loss, got inf at step 5" in said
    assert help in said
    assert nx.load(tmp_path / "run" / "last.nx")["run"]["done"] == 3
