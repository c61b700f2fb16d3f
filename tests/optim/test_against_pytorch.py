"""Optimizers and schedules against PyTorch's numbers, kept in steps.json and schedules.json; state dicts in its layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from formula import numbers
from training_cases import OPTIMIZER_CASES, SCHEDULE_OPTIMIZERS, SCHEDULES, trace

import neurenix as nx
from neurenix.optim import lr_scheduler

HERE = Path(__file__).parent
STEPS = json.loads((HERE / "steps.json").read_text())
RATES = json.loads((HERE / "schedules.json").read_text())
SHAPES = [(2, 3), (4,), ()]
CASES = list(zip(OPTIMIZER_CASES, STEPS, strict=True))
NAMES = [f"{name} {settings}" for name, settings in OPTIMIZER_CASES]


def step(optimizer, params, start, end):
    for t in range(start, end):
        for i, p in enumerate(params):
            p.grad = nx.Tensor(numbers(p.shape, 10 * t + i + 3))
        optimizer.step()


def close(params, want):
    for p, w in zip(params, want, strict=True):
        np.testing.assert_allclose(p.numpy(), w, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("case", "want"), CASES, ids=NAMES)
def test_twenty_steps(case, want):
    name, settings = case
    params = [nx.Tensor(numbers(s, i), requires_grad=True) for i, s in enumerate(SHAPES)]
    step(getattr(nx.optim, name)(params, **settings), params, 0, 20)
    close(params, want["end"])


@pytest.mark.parametrize(("case", "want"), CASES, ids=NAMES)
def test_goes_on_from_its_state_dict(case, want):
    params = [nx.Tensor(np.array(m), requires_grad=True) for m in want["middle"]]
    optimizer = getattr(nx.optim, case[0])(params, lr=123.0)
    state = {i: {k: np.array(v) for k, v in s.items() if v is not None} for i, s in want["state"]["state"].items()}
    optimizer.load_state_dict({**want["state"], "state": state})
    step(optimizer, params, 8, 20)
    close(params, want["end"])


@pytest.mark.parametrize(("case", "want"), CASES, ids=NAMES)
def test_state_dict_has_its_layout(case, want):
    name, settings = case
    params = [nx.Tensor(numbers(s, i), requires_grad=True) for i, s in enumerate(SHAPES)]
    optimizer = getattr(nx.optim, name)(params, **settings)
    step(optimizer, params, 0, 8)
    mine, theirs = optimizer.state_dict(), want["state"]
    assert set(mine["param_groups"][0]) == set(theirs["param_groups"][0])
    assert mine["param_groups"][0]["params"] == [0, 1, 2]
    for i in range(3):
        wanted = theirs["state"].get(str(i), {})
        assert set(mine["state"][i]) - {"step"} == set(wanted) - {"step"}
        for key, value in wanted.items():
            np.testing.assert_allclose(mine["state"][i][key], value, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", SCHEDULE_OPTIMIZERS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(kind, name):
    groups = [{"params": [nx.tensor([0.0])]}, {"params": [nx.tensor([0.0])], "lr": 0.03}]
    optimizer = getattr(nx.optim, kind)(groups, lr=0.2, **SCHEDULE_OPTIMIZERS[kind])
    got = trace(SCHEDULES[name](lr_scheduler, optimizer), optimizer, 24)
    np.testing.assert_allclose(got, RATES[f"{kind} {name}"], rtol=1e-15, atol=1e-18)
