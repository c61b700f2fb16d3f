"""Write tests/optim/schedules.json and tests/optim/steps.json: what PyTorch's schedules and optimizers do.

Needs PyTorch; the tests read the files only.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from formula import numbers  # noqa: E402 - the tests use it too
from training_cases import OPTIMIZER_CASES, SCHEDULE_OPTIMIZERS, SCHEDULES, trace  # noqa: E402

SHAPES, STEPS, SAVED = [(2, 3), (4,), ()], 20, 8


def schedules() -> dict[str, object]:
    """Rates and momenta over 24 steps."""
    found = {}
    for kind, settings in SCHEDULE_OPTIMIZERS.items():
        for name, build in SCHEDULES.items():
            groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.03}]
            optimizer = getattr(torch.optim, kind)(groups, lr=0.2, **settings)
            found[f"{kind} {name}"] = trace(build(torch.optim.lr_scheduler, optimizer), optimizer, 24)
    return found


def plain(value: object) -> object:
    """Tensors as nested lists with their shape lost only where they are numbers."""
    return value.tolist() if isinstance(value, torch.Tensor) else value


def run(name: str, settings: dict[str, object]) -> dict[str, object]:
    """Parameters after all steps, and the state dict after the first few."""
    params = [torch.tensor(numbers(s, i), requires_grad=True) for i, s in enumerate(SHAPES)]
    optimizer = getattr(torch.optim, name)(params, **settings)
    found: dict[str, object] = {}
    for t in range(STEPS):
        if t == SAVED:
            state = optimizer.state_dict()
            states = {i: {k: plain(v) for k, v in s.items()} for i, s in state["state"].items()}
            found |= {"state": {"state": states, "param_groups": state["param_groups"]}, "middle": [p.tolist() for p in params]}
        for i, p in enumerate(params):
            p.grad = torch.tensor(numbers(p.shape, 10 * t + i + 3))
        optimizer.step()
    return found | {"end": [p.tolist() for p in params]}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="raise")
    for name, content in {"schedules": schedules(), "steps": [run(*case) for case in OPTIMIZER_CASES]}.items():
        (TESTS / "optim" / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
