"""Saved at some step, built anew and loaded: every optimizer under every schedule goes on to the same bits."""

import numpy as np
import pytest
from formula import numbers
from training_cases import OPTIMIZERS, SCHEDULES, advance

import neurenix as nx
from neurenix.errors import ArgumentError, FileError
from neurenix.optim import lr_scheduler

SETTINGS = {name: grid[-1] for name, grid in OPTIMIZERS.items()} | {"Lion": {"weight_decay": 0.1}}
SHAPES = [(2, 3), (), (4,)]


class Run:
    """Parameters in two groups, an optimizer and a schedule."""

    def __init__(self, name, schedule, values, settings):
        self.params = [nx.Tensor(v.copy(), requires_grad=True) for v in values]
        groups = [{"params": self.params[:2]}, {"params": self.params[2:], "lr": 0.03}]
        self.optimizer = getattr(nx.optim, name)(groups, **settings)
        if "cycle_momentum" not in schedule and not {"momentum", "betas"} & set(self.optimizer.defaults):
            self.optimizer.defaults["momentum"] = 0.0  # so that schedules of momentum can be built
        self.schedule = SCHEDULES[schedule](lr_scheduler, self.optimizer)

    def train(self, start, end):
        for t in range(start, end):
            for i, p in enumerate(self.params[: 2 if t < 2 else 3]):  # the last one joins late
                p.grad = nx.Tensor(numbers(p.shape, 7 * t + i).astype(p.dtype))
            self.optimizer.step()
            advance(self.schedule, t)
        return [p.numpy().copy() for p in self.params]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_under_every_schedule(schedule, dtype, tmp_path):
    values = [numbers(s, i).astype(dtype) for i, s in enumerate(SHAPES)]
    for k, (name, settings) in enumerate(SETTINGS.items()):
        want = Run(name, schedule, values, settings).train(0, 12)
        first, at = Run(name, schedule, values, settings), 3 + k % 6
        middle = first.train(0, at)
        path = tmp_path / f"{name}.nx"
        nx.save({"optimizer": first.optimizer.state_dict(), "schedule": first.schedule.state_dict(), "params": middle}, path)
        saved = nx.load(path)
        second = Run(name, schedule, saved["params"], {**settings, "lr": 7.0})
        second.optimizer.load_state_dict(saved["optimizer"])
        second.schedule.load_state_dict(saved["schedule"])
        for got, expected in zip(second.train(at, 12), want, strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=f"{name} {schedule}")
        assert second.schedule.get_last_lr() == [g["lr"] for g in second.optimizer.param_groups]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_state_without_an_entry_changes_nothing(schedule):
    optimizer = nx.optim.Adam([{"params": [nx.tensor([1.0])]}, {"params": [nx.tensor([1.0])]}])
    s = SCHEDULES[schedule](lr_scheduler, optimizer)
    before = s.state_dict()
    for entry in before:
        with pytest.raises(FileError, match="load_state_dict: expected "):
            s.load_state_dict({k: v for k, v in before.items() if k != entry})
    assert s.state_dict() == before


def test_what_a_callable_object_holds_is_saved():
    class Slowing:
        def __init__(self):
            self.calls = 0

        def __call__(self, t):
            self.calls += 1
            return 1 / self.calls

    first = lr_scheduler.LambdaLR(nx.optim.SGD([nx.tensor([1.0])], lr=1.0), Slowing())
    first.step()
    second = lr_scheduler.LambdaLR(nx.optim.SGD([nx.tensor([1.0])], lr=1.0), Slowing())
    second.load_state_dict(first.state_dict())
    for s in (first, second):
        s.step()
        assert s.get_last_lr() == [1 / 3]


def test_a_bad_setting_in_a_state_changes_nothing():
    p = nx.tensor([1.0], requires_grad=True)
    optimizer = nx.optim.Adam([p])
    state = optimizer.state_dict()
    with pytest.raises(ArgumentError, match="Adam: expected lr of at least 0, got -1"):
        optimizer.load_state_dict({**state, "param_groups": [{**state["param_groups"][0], "lr": -1.0}]})
    assert optimizer.param_groups[0]["lr"] == 1e-3


def test_a_rate_that_rounding_left_below_zero_can_be_resumed():
    def made():
        optimizer = nx.optim.SGD([nx.tensor([1.0], requires_grad=True)], lr=0.1)
        return optimizer, nx.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 3, end_factor=0.0, total_iters=4)

    optimizer, schedule = made()
    for _ in range(4):
        optimizer.step()
        schedule.step()
    (rate,) = schedule.get_last_lr()
    assert -1e-15 < rate < 0  # as PyTorch's
    again, resumed = made()
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert again.param_groups[0]["lr"] == rate
