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


def test_warm_restarts_at_a_fraction_of_an_epoch():
    o = optimizer()
    schedule = ls.CosineAnnealingWarmRestarts(o, 2, 2, eta_min=0.2)
    for epoch, at in ((0.5, 0.25), (1.75, 0.875), (2.0, 0.0), (5.5, 0.875), (6.0, 0.0), (13.0, 0.875), (14.0, 0.0)):
        schedule.step(epoch)
        assert o.param_groups[0]["lr"] == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi * at)), abs=1e-15)
    assert schedule.last_epoch == 14
    with pytest.raises(ArgumentError, match="CosineAnnealingWarmRestarts: expected an epoch of at least 0, got -1"):
        schedule.step(-1)


@pytest.mark.parametrize(
    "build",
    [
        lambda o, last: ls.StepLR(o, 3, 0.5, last),
        lambda o, last: ls.ConstantLR(o, 0.5, 7, last),
        lambda o, last: ls.LinearLR(o, 0.5, 1.0, 8, last),
        lambda o, last: ls.ExponentialLR(o, 0.9, last),
        lambda o, last: ls.PolynomialLR(o, 12, 0.9, last),
        lambda o, last: ls.CosineAnnealingLR(o, 7, 0.01, last),
        lambda o, last: ls.CosineAnnealingWarmRestarts(o, 2, 2, 0.01, last),
        lambda o, last: ls.MultiplicativeLR(o, lambda t: 0.9, last),
        lambda o, last: ls.OneCycleLR(o, 0.5, 20, last_epoch=last),
        lambda o, last: ls.CyclicLR(o, 0.01, 0.1, 4, last_epoch=last),
    ],
)
def test_goes_on_from_a_number_of_steps(build):
    """The groups hold what is needed: the way of those who keep no schedule's state. The step of the constructor is step 6."""
    o = optimizer(momentum=0.9)
    schedule, whole = build(o, -1), []
    for _ in range(12):
        whole.append(o.param_groups[0]["lr"])
        if len(whole) == 6:
            kept = dict(o.param_groups[0])
        schedule.step()
    other = optimizer(momentum=0.9)
    other.param_groups[0].update({**kept, "params": other.param_groups[0]["params"]})
    schedule = build(other, 4)
    for want in whole[5:]:
        assert other.param_groups[0]["lr"] == pytest.approx(want, rel=1e-14)
        schedule.step()


def test_a_chain_begins_again_inside_a_row():
    def build(o):
        chain = ls.ChainedScheduler([ls.ConstantLR(o, 0.5, 2), ls.ExponentialLR(o, 0.5)])
        return ls.SequentialLR(
            o, [chain, ls.StepLR(o, 1, 0.5), ls.ChainedScheduler([ls.ConstantLR(o, 0.25, 9), ls.StepLR(o, 1, 0.5)])], [3, 5]
        )

    assert rates(build, 8) == [0.5, 0.25, 0.25, 1.0, 0.5, 0.25, 0.125, 0.0625]


def test_a_row_inside_a_row():
    def build(o):
        inner = ls.SequentialLR(o, [ls.ConstantLR(o, 0.5, 9), ls.ExponentialLR(o, 0.5)], [2])
        return ls.SequentialLR(o, [ls.StepLR(o, 1, 0.5), inner], [2])

    assert rates(build, 7) == [1.0, 0.5, 0.5, 0.5, 1.0, 0.5, 0.25]


def test_rates_given_by_all_groups_at_once():
    class Halves(ls.LRScheduler):
        def get_lr(self):
            return [base * 0.5**self.last_epoch for base in self.base_lrs]

    assert rates(Halves, 3) == [1.0, 0.5, 0.25]
    with pytest.raises(NotImplementedError, match="LRScheduler: expected a method next_lr"):
        ls.LRScheduler(optimizer())


def test_groups_added_later():
    o = optimizer()
    schedule, plateau = ls.StepLR(o, 1), ls.ReduceLROnPlateau(optimizer(), patience=0, factor=0.5)
    o.add_param_group({"params": [nx.tensor([2.0])]})
    with pytest.raises(ArgumentError, match="StepLR: expected the 1 groups it was built with, got 2"):
        schedule.step()
    plateau.optimizer.add_param_group({"params": [nx.tensor([2.0])], "lr": 4.0})
    plateau.step(1.0)
    plateau.step(1.0)
    assert plateau.get_last_lr() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda o: ls.ConstantLR(o, 0.0), r"ConstantLR: expected a factor in \(0, 1\], got 0.0"),
        (lambda o: ls.PolynomialLR(o, 0), "PolynomialLR: expected a total_iters of at least 1, got 0"),
        (lambda o: ls.CosineAnnealingWarmRestarts(o, 0), "CosineAnnealingWarmRestarts: expected a T_0 of at least 1"),
        (lambda o: ls.CosineAnnealingWarmRestarts(o, 2, 0), "CosineAnnealingWarmRestarts: expected a T_mult of at least 1"),
        (lambda o: ls.OneCycleLR(o, 1.0, 0), "OneCycleLR: expected a total_steps of at least 1, got 0"),
        (lambda o: ls.OneCycleLR(o, [1.0, 2.0], 5), "OneCycleLR: expected 1 max_lr, got 2; pass one, or one a group"),
        (
            lambda o: ls.OneCycleLR(nx.optim.Adagrad([nx.tensor([1.0])]), 1.0, 5),
            "OneCycleLR: expected an optimizer with momentum or betas, got Adagrad; pass cycle_momentum=False",
        ),
        (
            lambda o: ls.CyclicLR(o, 0.1, 1.0, mode="round"),
            "CyclicLR: expected mode 'triangular', 'triangular2' or 'exp_range', got 'round'",
        ),
        (lambda o: ls.CyclicLR(o, 0.1, 1.0, scale_mode="step"), "CyclicLR: expected scale_mode 'cycle' or 'iterations', got 'step'"),
        (lambda o: ls.CyclicLR(o, 0.1, 1.0, step_size_down=0), "CyclicLR: expected a step_size_down of at least 1, got 0"),
        (lambda o: ls.ChainedScheduler([]), "ChainedScheduler: expected schedules, got none"),
        (
            lambda o: ls.ChainedScheduler([ls.StepLR(o, 1), ls.StepLR(optimizer(), 1)]),
            "expected schedules of this optimizer, got one of another",
        ),
        (lambda o: ls.ReduceLROnPlateau(o, min_lr=[0.1, 0.2]), "ReduceLROnPlateau: expected 1 min_lr, got 2"),
        (lambda o: ls.ReduceLROnPlateau(o, threshold_mode="up"), "ReduceLROnPlateau: expected threshold_mode 'rel' or 'abs'"),
    ],
)
def test_more_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call(optimizer())


def test_types_are_checked():
    o = optimizer()
    with pytest.raises(DTypeError, match="LambdaLR: expected functions of the epoch, got int"):
        ls.LambdaLR(o, 3)
    with pytest.raises(DTypeError, match="MultiStepLR: expected a list of milestones, got 3; pass e.g."):
        ls.MultiStepLR(o, 3)
    with pytest.raises(DTypeError, match="SequentialLR: expected schedules that step by themselves, got ReduceLROnPlateau"):
        ls.SequentialLR(o, [ls.StepLR(o, 1), ls.ReduceLROnPlateau(o)], [2])
    for build in (lambda: ls.ReduceLROnPlateau(3), lambda: ls.CyclicLR(3, 0.1, 1.0), lambda: ls.OneCycleLR(3, 0.1, 9)):
        with pytest.raises(DTypeError, match="expected an optimizer, got int"):
            build()
