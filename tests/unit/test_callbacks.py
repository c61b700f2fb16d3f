import numpy as np
import pytest

import neurenix as nx
from neurenix.callbacks import EarlyStopping, ModelCheckpoint
from neurenix.errors import ArgumentError, GraphError


class Scale(nx.nn.Module):
    def __init__(self, start=1.0):
        self.factor = nx.nn.Parameter([float(start)])
        self.count = nx.nn.Buffer(np.zeros((), np.int64))

    def forward(self, x):
        return x * self.factor

    def put(self, value, count=0):
        self.load_state_dict({"factor": np.array([value], np.float32), "count": np.asarray(count)})


def test_stopping_waits_as_long_as_told():
    stopping = EarlyStopping(patience=2)
    assert [stopping.step(v) for v in (3, 2, 2, 2)] == [False, False, False, True]
    assert (stopping.best, stopping.best_step) == (2.0, 1)


def test_stopping_for_scores_small_changes_and_nan():
    stopping = EarlyStopping(patience=2, mode="max", min_delta=0.1)
    assert [stopping.step(v) for v in (0.5, 0.55, float("nan"))] == [False, False, True]
    assert stopping.best == 0.5
    assert EarlyStopping(patience=1).step(float("nan"))
    assert not EarlyStopping(patience=1).step(nx.tensor(0.5))


def test_stopping_goes_on_from_its_state():
    first, second = EarlyStopping(patience=3), EarlyStopping(patience=3)
    for value in (2, 1, 1.5):
        first.step(value)
    second.load_state_dict(first.state_dict())
    assert [second.step(v) for v in (1.5, 1.5)] == [False, True]
    assert second.best_step == 1
    with pytest.raises(ArgumentError, match="got one without .'waited'"):
        second.load_state_dict({"best": 1, "best_step": 0, "steps": 1})


def test_checkpoint_keeps_the_best(tmp_path):
    model = Scale()
    checkpoint = ModelCheckpoint(model, tmp_path / "best.nx", mode="max")
    with pytest.raises(GraphError, match="expected a saved model, got none"):
        checkpoint.restore()
    saved = []
    for value, score in ((2.0, 0.5), (3.0, 0.9), (4.0, 0.7)):
        model.put(value)
        saved.append(checkpoint.step(score))
    assert saved == [True, True, False]
    assert checkpoint.best == 0.9
    checkpoint.restore()
    assert model.factor.item() == 3.0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: EarlyStopping(0), "expected patience of at least 1 step, got 0"),
        (lambda: EarlyStopping(True), "got True"),
        (lambda: EarlyStopping(mode="best"), "expected mode 'min' or 'max', got 'best'"),
        (lambda: EarlyStopping(min_delta=-1), "expected min_delta of at least 0"),
        (lambda: EarlyStopping(min_delta=float("nan")), "expected min_delta"),
        (lambda: ModelCheckpoint("a.nx", Scale()), "expected a Module, got str"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ArgumentError, match=text):
        make()


def test_a_resumed_run_keeps_the_better_file(tmp_path):
    """All that a run holds in one file: it goes on as if it had never stopped."""
    losses = [3.0, 2.0, 2.5, 1.5, 1.7, 1.6]

    def run(model, stopping, checkpoint, start, end):
        told = []
        for t in range(start, end):
            model.put(float(t))
            told.append((checkpoint.step(losses[t]), stopping.step(losses[t])))
        return told

    whole, model = EarlyStopping(patience=2), Scale()
    want = run(model, whole, ModelCheckpoint(model, tmp_path / "whole.nx"), 0, 6)
    model = Scale()
    stopping, checkpoint = EarlyStopping(patience=2), ModelCheckpoint(model, tmp_path / "best.nx")
    got = run(model, stopping, checkpoint, 0, 3)
    nx.save({"model": model, "stopping": stopping.state_dict(), "checkpoint": checkpoint.state_dict()}, tmp_path / "run.nx")
    saved = nx.load(tmp_path / "run.nx", classes=[Scale])
    stopping, checkpoint = EarlyStopping(patience=2), ModelCheckpoint(saved["model"], tmp_path / "best.nx")
    stopping.load_state_dict(saved["stopping"])
    checkpoint.load_state_dict(saved["checkpoint"])
    checkpoint.restore()
    assert saved["model"].factor.tolist() == [1.0]
    assert got + run(saved["model"], stopping, checkpoint, 3, 6) == want
    assert (stopping.best, stopping.best_step, checkpoint.best) == (1.5, 3, 1.5)
    checkpoint.restore()
    assert saved["model"].factor.tolist() == [3.0]
    with pytest.raises(ArgumentError, match="ModelCheckpoint: expected a state from state_dict"):
        checkpoint.load_state_dict({})


def test_what_is_no_number_is_refused():
    stopping = EarlyStopping()
    with pytest.raises(ArgumentError, match="EarlyStopping.step: expected a number or a one-element tensor, got 'low'"):
        stopping.step("low")
    assert (stopping.best, stopping.best_step) == (None, None)
