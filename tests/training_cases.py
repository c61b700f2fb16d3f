"""Settings of optimizers and schedules that the tests compare with PyTorch's numbers; the maker of those numbers uses them too."""

import itertools

DECAY = [{}, {"weight_decay": 0.1}]
UP = [{}, {"maximize": True}]


def _grid(*choices):
    return [dict(item for part in parts for item in part.items()) for parts in itertools.product(*choices)]


def _decoupled(name):
    return [*_grid(DECAY, UP), {"weight_decay": 0.1, "decoupled_weight_decay": True}, {"betas": (0.5, 0.75), "eps": 1e-3, "lr": 0.1}]


OPTIMIZERS = {
    "SGD": _grid(
        [{"lr": 0.05}], DECAY, UP, [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.8, "dampening": 0.25}]
    ),
    "Adam": _grid([{"amsgrad": False}, {"amsgrad": True}], _decoupled("Adam")),
    "AdamW": _grid([{}, {"weight_decay": 0.2}], [{}, {"amsgrad": True}], UP, [{}, {"betas": (0.5, 0.75), "eps": 1e-3, "lr": 0.1}]),
    "Adamax": _grid(DECAY, UP, [{}, {"betas": (0.5, 0.75), "eps": 1e-3, "lr": 0.1}]),
    "NAdam": _grid([{}, {"momentum_decay": 0.05}], _decoupled("NAdam")),
    "RAdam": _grid([{}, {"betas": (0.8, 0.5)}], _decoupled("RAdam")),
    "RMSprop": _grid(DECAY, UP, [{}, {"centered": True}], [{}, {"momentum": 0.5}], [{}, {"alpha": 0.5, "eps": 1e-3}]),
    "Adagrad": _grid(DECAY, UP, [{}, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5, "eps": 1e-3}]),
    "Adadelta": _grid(DECAY, UP, [{}, {"rho": 0.5, "eps": 1e-2, "lr": 0.5}]),
    "Rprop": _grid(UP, [{}, {"etas": (0.25, 1.5)}, {"step_sizes": (1e-3, 0.02)}]),
    "ASGD": _grid(DECAY, UP, [{}, {"t0": 3.0, "lambd": 0.05, "alpha": 0.5}]),
}
OPTIMIZER_CASES = [(name, settings) for name, grid in OPTIMIZERS.items() for settings in grid]

# name: (settings of the optimizer, the schedule made with PyTorch's classes or ours, steps)
SCHEDULES = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda t: 0.95**t, lambda t: 1 / (t + 1)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda t: 0.9 + 0.01 * t),
    "StepLR": lambda s, o: s.StepLR(o, 3),
    "StepLR gamma": lambda s, o: s.StepLR(o, 1, 0.7),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 11], 0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o),
    "ConstantLR 7": lambda s, o: s.ConstantLR(o, 0.7, 7),
    "LinearLR": lambda s, o: s.LinearLR(o),
    "LinearLR down": lambda s, o: s.LinearLR(o, 0.9, 0.1, 8),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.87),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o),
    "PolynomialLR 0.9": lambda s, o: s.PolynomialLR(o, 17, 0.9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 7),
    "CosineAnnealingLR eta": lambda s, o: s.CosineAnnealingLR(o, 5, 1e-3),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "CosineAnnealingWarmRestarts 2": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 1e-3),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.5, 24),
    "OneCycleLR linear": lambda s, o: s.OneCycleLR(o, [0.5, 0.2], epochs=4, steps_per_epoch=6, anneal_strategy="linear", pct_start=0.4),
    "OneCycleLR three": lambda s, o: s.OneCycleLR(o, 0.5, 24, three_phase=True, base_momentum=0.7, div_factor=10, final_div_factor=100),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4),
    "CyclicLR 2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.1, 3, 5, mode="triangular2"),
    "CyclicLR exp": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, mode="exp_range", gamma=0.9, base_momentum=0.6),
    "CyclicLR scale": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "CyclicLR iterations": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 0.9**x, scale_mode="iterations"),
    "warm-up and cosine": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 15, 1e-4)], [5]),
    "three in a row": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.5, 3), s.ExponentialLR(o, 0.9), s.StepLR(o, 2, 0.5)], [4, 9]),
    "row with restarts": lambda s, o: s.SequentialLR(o, [s.CosineAnnealingWarmRestarts(o, 3), s.PolynomialLR(o, 6, 2.0)], [7]),
    "row with functions": lambda s, o: s.SequentialLR(
        o, [s.MultiplicativeLR(o, lambda t: 0.8), s.MultiplicativeLR(o, lambda t: 1.1), s.LambdaLR(o, lambda t: 0.9**t)], [4, 8]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)]),
    "chain of a row": lambda s, o: s.ChainedScheduler(
        [s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 4), s.ExponentialLR(o, 0.95)], [4]), s.StepLR(o, 6, 0.5)]
    ),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=2),
    "ReduceLROnPlateau max": lambda s, o: s.ReduceLROnPlateau(
        o, "max", 0.3, 1, threshold=0.05, threshold_mode="abs", cooldown=2, min_lr=[1e-3, 1e-2]
    ),
    "ReduceLROnPlateau rel": lambda s, o: s.ReduceLROnPlateau(o, "min", 0.3, 0, threshold=0.1, eps=1e-2),
}
METRICS = [3.0, 2.5, 2.6, 2.4, 2.39, 2.41, 2.5, 2.38, 2.0, 2.0, 2.0, 2.1, 1.9, 1.89, 1.95, 1.95, 1.95, 1.7, 1.8, 1.8, 1.8, 1.8, 1.8, 1.8]
SCHEDULE_OPTIMIZERS = {"SGD": {"momentum": 0.9}, "Adam": {}}


def advance(schedule, t):
    """One step of a schedule, with a metric where it wants one."""
    schedule.step(METRICS[t]) if "Plateau" in type(schedule).__name__ else schedule.step()


def trace(schedule, optimizer, steps):
    """Learning rate and momentum of each group in force at each step."""
    rows = []
    for t in range(steps):
        rows.append([[g["lr"], g["momentum"] if "momentum" in g else g["betas"][0]] for g in optimizer.param_groups])
        advance(schedule, t)
    return rows
