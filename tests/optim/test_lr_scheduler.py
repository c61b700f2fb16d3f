"""Learning rate schedules: closed forms, resuming, errors."""

import math

import pytest

import neurenix as nx
from neurenix.errors import ArgumentError, DTypeError
from neurenix.optim import lr_scheduler as ls


def optimizer(lr=1.0, **settings):
    return nx.optim.SGD([nx.tensor([1.0])], lr=lr, **settings)


def rates(build, steps, lr=1.0):
    o = optimizer(lr)
    schedule = build(o)
    out = []
    for _ in range(steps):
        out.append(o.param_groups[0]["lr"])
        assert schedule.get_last_lr() == [out[-1]]
        schedule.step()
    return out


@pytest.mark.parametrize(
    ("build", "want"),
    [
        (lambda o: ls.LambdaLR(o, lambda t: 1 / (t + 1)), [1, 1 / 2, 1 / 3, 1 / 4]),
        (lambda o: ls.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
        (lambda o: ls.MultiStepLR(o, [1, 3, 3], 0.5), [1, 0.5, 0.5, 0.125, 0.125]),
        (lambda o: ls.ExponentialLR(o, 0.5), [1, 0.5, 0.25]),
        (lambda o: ls.LinearLR(o, 0.5, 1.0, 2), [0.5, 0.75, 1, 1, 1]),
        (lambda o: ls.CosineAnnealingLR(o, 4, 0.2), [0.2 + 0.4 * (1 + math.cos(math.pi * t / 4)) for t in range(9)]),
        (lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.5, 1.0, 2), ls.ExponentialLR(o, 0.5)], [2]), [0.5, 0.75, 1, 0.5, 0.25]),
        (
            lambda o: ls.OneCycleLR(o, 2.0, 5, pct_start=0.4, anneal_strategy="linear", div_factor=4, final_div_factor=5),
            [0.5, 2, 1.3667, 0.7333, 0.1],
        ),
    ],
)
def test_rates(build, want):
    assert rates(build, len(want)) == pytest.approx(want, abs=1e-4)


def test_one_cycle_moves_momentum_the_other_way():
    for o, name in ((optimizer(momentum=0.9), "momentum"), (nx.optim.Adam([nx.tensor([1.0])]), "betas")):
        schedule = ls.OneCycleLR(o, 1.0, 10, three_phase=True)
        seen = []
        for _ in range(9):
            value = o.param_groups[0][name]
            seen.append(value if name == "momentum" else value[0])
            schedule.step()
        assert max(seen) == 0.95
        assert min(seen) == pytest.approx(0.85, abs=0.001)
    schedule.step()
    with pytest.raises(ArgumentError, match="OneCycleLR: expected at most 10 steps"):
        schedule.step()


def test_plateau():
    o = optimizer()
    schedule = ls.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1, min_lr=0.3)
    seen = []
    for metric in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0):
        schedule.step(metric)
        seen.append(o.param_groups[0]["lr"])
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]
    again = ls.ReduceLROnPlateau(o, mode="max", threshold_mode="abs")
    again.load_state_dict(schedule.state_dict())
    assert again.best == 2.0
    assert again.get_last_lr() == [0.3]


@pytest.mark.parametrize(
    "build",
    [
        lambda o: ls.CosineAnnealingLR(o, 7),
        lambda o: ls.SequentialLR(o, [ls.LinearLR(o), ls.StepLR(o, 2)], [3]),
        lambda o: ls.OneCycleLR(o, 2.0, 30),
        lambda o: ls.LambdaLR(o, lambda t: 0.9**t),
    ],
)
def test_resumes(build):
    o = optimizer()
    schedule = build(o)
    for _ in range(4):
        schedule.step()
    saved, rate = schedule.state_dict(), o.state_dict()
    want = []
    for _ in range(4):
        schedule.step()
        want.append(o.param_groups[0]["lr"])
    other = optimizer()
    schedule = build(other)
    schedule.load_state_dict(saved)
    other.load_state_dict(rate)
    got = []
    for _ in range(4):
        schedule.step()
        got.append(other.param_groups[0]["lr"])
    assert got == want


def test_errors():
    o = optimizer()
    with pytest.raises(DTypeError, match="StepLR: expected an optimizer, got int"):
        ls.StepLR(3, 1)
    with pytest.raises(ArgumentError, match="ExponentialLR: expected 'initial_lr' in each group to resume"):
        ls.ExponentialLR(o, 0.5, last_epoch=3)
    with pytest.raises(ArgumentError, match="LambdaLR: expected 1 functions, got 2"):
        ls.LambdaLR(o, [abs, abs])
    with pytest.raises(ArgumentError, match="StepLR: expected a step_size of at least 1, got 0"):
        ls.StepLR(o, 0)
    with pytest.raises(ArgumentError, match=r"LinearLR: expected a start_factor in \(0, 1\], got 0"):
        ls.LinearLR(o, 0)
    with pytest.raises(ArgumentError, match=r"LinearLR: expected an end_factor in \[0, 1\], got 2"):
        ls.LinearLR(o, 1.0, 2)
    with pytest.raises(ArgumentError, match="CosineAnnealingLR: expected a T_max of at least 1, got 0"):
        ls.CosineAnnealingLR(o, 0)
    with pytest.raises(ArgumentError, match="OneCycleLR: expected total_steps"):
        ls.OneCycleLR(o, 1.0)
    with pytest.raises(ArgumentError, match="OneCycleLR: expected anneal_strategy"):
        ls.OneCycleLR(o, 1.0, 5, anneal_strategy="log")
    with pytest.raises(ArgumentError, match="OneCycleLR: expected pct_start"):
        ls.OneCycleLR(o, 1.0, 5, pct_start=2.0)
    with pytest.raises(ArgumentError, match="SequentialLR: expected one milestone fewer"):
        ls.SequentialLR(o, [ls.StepLR(o, 1)], [1])
    with pytest.raises(ArgumentError, match="ReduceLROnPlateau: expected mode 'min' or 'max'"):
        ls.ReduceLROnPlateau(o, mode="up")
    with pytest.raises(ArgumentError, match="ReduceLROnPlateau: expected a factor below 1"):
        ls.ReduceLROnPlateau(o, factor=2.0)
